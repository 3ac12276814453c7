//! TLS with real servers: each sslmode as `psql` has it, passwords bound to the connection, client
//! certificates, and cancel requests.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pool_postgres::{PgError, PgErrorKind, PgPool};
use pool_testkit::servers::{Postgres, PostgresBuilder};
use tempfile::TempDir;

use crate::certificates::{Authority, Signed};
use crate::soon;

const USES_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

const HOST: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
const HOSTSSL: &str = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
const HOSTNOSSL: &str = "local all all trust\nhostnossl all all 127.0.0.1/32 trust\n";
const PASSWORD: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
const PASSWORD_PLAIN: &str = "local all all trust\nhostnossl all all 127.0.0.1/32 scram-sha-256\n";
const CERTIFICATE: &str = "local all all trust\nhostssl all all 127.0.0.1/32 cert\n";

/// A server with these lines of `pg_hba.conf`, and TLS if there is a certificate for it.
fn server(hba: &str, certificate: Option<&Signed>) -> PostgresBuilder {
    // Other than the files for TLS, this one is looked for where the server was started.
    let server = Postgres::builder().file("hba", hba).setting("hba_file", "hba");
    match certificate {
        Some(certificate) => certificate.serve(server),
        None => server,
    }
}

/// How it is reached by the name in its certificate, in words that `psql` understands as well.
fn way(server: &Postgres, more: &str) -> String {
    let port = server.port();
    // Kerberos would be another way to encrypt; a file of passwords may be at home, and one that is
    // not used is to change nothing.
    let common = "host=localhost hostaddr=127.0.0.1 user=test dbname=test gssencmode=disable";
    format!("{common} passfile=/dev/null port={port} {more}")
}

/// Files of a client.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes one that nobody else can read, as it has to be for a key; its path as a parameter.
    fn write(&self, parameter: &str, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!(" {parameter}='{}'", path.display())
    }

    fn root(&self, authority: &Authority) -> String {
        self.write("sslrootcert", "root.crt", &authority.root)
    }

    fn client(&self, signed: &Signed) -> String {
        self.write("sslcert", "client.crt", &signed.certificate)
            + &self.write("sslkey", "client.key", &signed.key)
    }
}

/// A pool that tries for ever, unless what fails is known to be permanent.
fn pool(way: &str) -> Result<PgPool, PgError> {
    PgPool::builder(way)?.max_size(1).acquire_timeout(None).build_unchecked()
}

/// Why there is no connection. That there is an end to it shows that it counts as permanent.
async fn refusal(way: &str) -> PgError {
    match pool(way).unwrap().acquire().await {
        Ok(_) => panic!("connects: {way}"),
        Err(error) => error.into(),
    }
}

/// What comes of a connect.
enum Outcome {
    Tls,
    Plain,
    Refused(String),
}

impl Outcome {
    fn of(uses_tls: bool) -> Self {
        if uses_tls { Self::Tls } else { Self::Plain }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Plain => "plain",
            Self::Refused(_) => "refused",
        }
    }

    async fn of_ours(way: &str) -> Self {
        let connection = match pool(way) {
            Ok(pool) => pool.acquire().await.map_err(PgError::from),
            Err(error) => Err(error),
        };
        match connection {
            Ok(connection) => Self::of(connection.query_one(USES_TLS, &[]).await.unwrap().get(0)),
            Err(error) => Self::Refused(error.to_string()),
        }
    }

    /// Of `psql`, with nothing around it that could tell it more than its arguments do.
    fn of_psql(psql: &Path, way: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "30"]).arg(psql).args(["-XAtqw", "-c", USES_TLS, "-d", way]);
        command.env_clear().env("HOME", home.path()).env("PGCONNECT_TIMEOUT", "20");
        let output = command.output().unwrap();
        match (output.status.code(), output.stdout.trim_ascii()) {
            (Some(0), b"t") => Self::Tls,
            (Some(0), b"f") => Self::Plain,
            // What psql says if it gets no connection.
            (Some(2), b"") => Self::Refused(String::from_utf8_lossy(&output.stderr).into_owned()),
            _ => panic!("{output:?}"),
        }
    }
}

/// The one of the same version as the server.
fn psql(server: &Postgres) -> PathBuf {
    let server = format!("/proc/{}/exe", server.pid().unwrap());
    fs::read_link(server).unwrap().with_file_name("psql")
}

/// What comes of connects with the same parameters: a row for a server, a column for what is added.
struct Comparison {
    columns: Vec<String>,
    ours: Vec<Row>,
    psqls: Vec<Row>,
}

struct Row(String, Vec<Outcome>);

impl Comparison {
    fn new(columns: impl IntoIterator<Item = String>) -> Self {
        Self { columns: columns.into_iter().collect(), ours: Vec::new(), psqls: Vec::new() }
    }

    async fn row(&mut self, name: &str, server: &Postgres, more: &str) {
        let psql = psql(server);
        let (mut ours, mut psqls) = (Vec::new(), Vec::new());
        for column in &self.columns {
            let way = way(server, &format!("{column} {more}"));
            ours.push(soon(Outcome::of_ours(&way)).await);
            psqls.push(Outcome::of_psql(&psql, &way));
        }
        self.ours.push(Row(name.into(), ours));
        self.psqls.push(Row(name.into(), psqls));
    }

    /// Both are the same. Not why it is refused: the words differ, and so may what was looked at
    /// first.
    fn check(&self) {
        let words = |rows: &[Row]| -> Vec<_> {
            rows.iter().flat_map(|Row(_, outcomes)| outcomes).map(Outcome::as_str).collect()
        };
        let are_same = words(&self.ours) == words(&self.psqls);
        assert!(are_same, "pool:{}\n\npsql:{}", self.table(&self.ours), self.table(&self.psqls));
    }

    fn table(&self, rows: &[Row]) -> String {
        let mut table = format!("\n{:44}", "");
        let mut reasons = String::new();
        for column in &self.columns {
            write!(table, "{column:20}").unwrap();
        }
        for Row(name, outcomes) in rows {
            write!(table, "\n{name:44}").unwrap();
            for (column, outcome) in self.columns.iter().zip(outcomes) {
                write!(table, "{:20}", outcome.as_str()).unwrap();
                if let Outcome::Refused(why) = outcome {
                    write!(reasons, "\n{name}, {column}: {}", why.trim()).unwrap();
                }
            }
        }
        table + "\n" + &reasons
    }
}

#[tokio::test]
async fn each_sslmode_connects_as_psql_does() {
    // Without the parameter, the file at home would count, and psql has another home.
    let home = std::env::home_dir().unwrap_or_default().join(".postgresql");
    assert!(!home.exists(), "{} would be in the way", home.display());

    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.server("localhost");
    let expired = ours.expired("localhost");
    let servers = [
        ("no TLS", HOST, None),
        ("good certificate", HOST, Some(&good)),
        ("expired certificate", HOST, Some(&expired)),
        ("certificate for another host", HOST, Some(&ours.server("elsewhere"))),
        ("certificate of another authority", HOST, Some(&theirs.server("localhost"))),
        ("good certificate, only TLS", HOSTSSL, Some(&good)),
        ("good certificate, only plain", HOSTNOSSL, Some(&good)),
        ("expired certificate, only TLS", HOSTSSL, Some(&expired)),
    ];
    let files = Files::new();
    let root = files.root(&ours);
    let modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    let mut comparison = Comparison::new(modes.map(|mode| format!("sslmode={mode}")));
    for (name, hba, certificate) in servers {
        let server = server(hba, certificate).start().unwrap();
        comparison.row(&format!("{name}, root"), &server, &root).await;
        comparison.row(&format!("{name}, no root"), &server, "").await;
    }
    comparison.check();
}

#[tokio::test]
async fn passwords_are_bound_to_the_tls_connection_as_psql_does_it() {
    let certificate = Authority::new("ours").server("localhost");
    let modes = ["disable", "prefer", "require"];
    let mut comparison = Comparison::new(modes.map(|mode| format!("sslmode={mode}")));
    let servers = [
        ("password", PASSWORD, Some(&certificate)),
        ("password, no TLS", PASSWORD, None),
        ("password, only plain", PASSWORD_PLAIN, Some(&certificate)),
        ("trust", HOST, Some(&certificate)),
    ];
    for (name, hba, certificate) in servers {
        let server = server(hba, certificate).start().unwrap();
        server.sql("ALTER ROLE test PASSWORD 'right'").unwrap();
        for binding in ["disable", "prefer", "require"] {
            let more = format!("channel_binding={binding} password=right");
            comparison.row(&format!("{name}, binding {binding}"), &server, &more).await;
        }
        comparison.row(&format!("{name}, wrong"), &server, "password=wrong").await;
        comparison.row(&format!("{name}, none"), &server, "").await;
    }
    comparison.check();
}

/// The one difference from `psql`, which takes any refusal for a reason to go on in the other way.
/// A password that is wrong is wrong there too, and not everybody on the network need see it.
#[tokio::test]
async fn a_password_refused_by_tls_is_not_said_again_without_tls_as_psql_does() {
    let certificate = Authority::new("ours").server("localhost");
    let hba = "local all all trust\n\
               hostssl all all 127.0.0.1/32 scram-sha-256\n\
               hostnossl all all 127.0.0.1/32 trust\n";
    let server = server(hba, Some(&certificate)).start().unwrap();
    server.sql("ALTER ROLE test PASSWORD 'right'").unwrap();
    let way = way(&server, "sslmode=prefer password=wrong");
    assert!(matches!(Outcome::of_psql(&psql(&server), &way), Outcome::Plain));
    let error = soon(refusal(&way)).await;
    assert_eq!(error.code().unwrap().code(), "28P01", "{error}");
}

#[tokio::test]
async fn a_required_channel_binding_takes_tls_and_a_password() {
    let certificate = Authority::new("ours").server("localhost");
    let server = server(PASSWORD, Some(&certificate)).start().unwrap();
    server.sql("ALTER ROLE test PASSWORD 'right'").unwrap();
    let bound = way(&server, "channel_binding=require password=right");
    soon(async {
        let pool = pool(&format!("{bound} sslmode=require")).unwrap();
        let row = pool.acquire().await.unwrap().query_one(USES_TLS, &[]).await.unwrap();
        assert!(row.get::<_, bool>(0));
        let error = refusal(&format!("{bound} sslmode=disable")).await;
        assert_eq!(error.kind(), PgErrorKind::Authentication, "{error}");
        assert!(error.to_string().contains("channel binding"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing_is_an_authentication_error_at_once() {
    let certificate = Authority::new("ours").server("localhost");
    let server = server(PASSWORD, Some(&certificate)).start().unwrap();
    server.sql("ALTER ROLE test PASSWORD 'right'").unwrap();
    for mode in ["disable", "prefer", "require"] {
        for password in ["password=wrong", ""] {
            let way = way(&server, &format!("sslmode={mode} {password}"));
            let error = soon(refusal(&way)).await;
            assert_eq!(error.kind(), PgErrorKind::Authentication, "{way}: {error}");
        }
    }
}

#[tokio::test]
async fn a_failed_verification_is_a_tls_error_at_once() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let files = Files::new();
    let root = files.root(&ours);
    for (certificate, fault) in [
        (ours.expired("localhost"), "expired"),
        (ours.server("elsewhere"), "not valid for name"),
        (theirs.server("localhost"), "UnknownIssuer"),
    ] {
        let server = server(HOSTSSL, Some(&certificate)).start().unwrap();
        let error = soon(refusal(&way(&server, &format!("sslmode=verify-full{root}")))).await;
        assert_eq!(error.kind(), PgErrorKind::Tls, "{error}");
        assert!(error.to_string().contains(fault), "{error}");
    }
}

#[tokio::test]
async fn where_tls_fails_and_plain_is_forbidden_the_fault_is_that_of_tls() {
    let ours = Authority::new("ours");
    let server = server(HOSTSSL, Some(&ours.expired("localhost"))).start().unwrap();
    let files = Files::new();
    let root = files.root(&ours);
    for mode in ["allow", "prefer"] {
        let error = soon(refusal(&way(&server, &format!("sslmode={mode}{root}")))).await;
        assert_eq!(error.kind(), PgErrorKind::Tls, "{error}");
        assert!(error.to_string().contains("expired"), "{error}");
    }
}

#[tokio::test]
async fn where_tls_is_forbidden_and_plain_fails_the_fault_is_that_of_plain() {
    let certificate = Authority::new("ours").server("localhost");
    let server = server(HOSTNOSSL, Some(&certificate)).start().unwrap();
    let error = soon(refusal(&way(&server, "sslmode=prefer dbname=nowhere"))).await;
    assert_eq!(error.kind(), PgErrorKind::Database, "{error}");
}

#[tokio::test]
async fn a_client_certificate_logs_in_whom_it_names() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = server(CERTIFICATE, Some(&ours.server("localhost")))
        .file("root.crt", &*ours.root)
        .setting("ssl_ca_file", "../root.crt")
        .start()
        .unwrap();
    let files = Files::new();
    let verified = way(&server, &format!("sslmode=verify-full{}", files.root(&ours)));
    let way = |client: &Signed| verified.clone() + &files.client(client);
    soon(async {
        let pool = pool(&way(&ours.client("test"))).unwrap();
        let connection = pool.acquire().await.unwrap();
        let subject = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let subject: String = connection.query_one(subject, &[]).await.unwrap().get(0);
        assert_eq!(subject, "/CN=test");

        let error = refusal(&verified).await;
        assert_eq!(error.kind(), PgErrorKind::Authentication, "{error}");
        let error = refusal(&way(&ours.client("somebody"))).await;
        assert_eq!(error.kind(), PgErrorKind::Authentication, "{error}");
        let error = refusal(&way(&theirs.client("test"))).await;
        assert_eq!(error.kind(), PgErrorKind::Tls, "{error}");
        assert!(error.to_string().contains("UnknownCA"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_cancel_request_goes_over_tls() {
    let ours = Authority::new("ours");
    // The server tells of each connection, and of each that it has encrypted.
    let server = server(HOSTSSL, Some(&ours.server("localhost")))
        .setting("log_connections", "on")
        .setting("log_min_messages", "debug2")
        .start()
        .unwrap();
    let files = Files::new();
    let pool = pool(&way(&server, &format!("sslmode=verify-full{}", files.root(&ours)))).unwrap();
    let sleepers = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let until_it_sleeps = async {
        while server.sql(sleepers).unwrap() != "1" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(async {
        let connection = pool.acquire().await.unwrap();
        let backend = connection.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
        tokio::select! {
            _ = connection.batch_execute("SELECT pg_sleep(3600)") => panic!("it does not sleep"),
            () = until_it_sleeps => {}
        }
        drop(connection);
        let connection = pool.acquire().await.unwrap();
        let now = connection.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
        assert_eq!(now.get::<_, i32>(0), backend.get::<_, i32>(0), "the connection is kept");
    })
    .await;
    assert_eq!(server.sql(sleepers).unwrap(), "0");
    let log = server.log();
    let received = log.matches("connection received: host=127.0.0.1").count();
    assert!(received >= 2, "a connection and a cancel request: {log}");
    assert_eq!(log.matches("SSL connection from").count(), received, "{log}");
}
