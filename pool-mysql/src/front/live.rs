//! Connects to real servers: each ssl-mode, client certificates, sockets, failures.

use std::future::IntoFuture;
use std::path::Path;
use std::process::Command;

use mysql_async::prelude::Queryable;
use pool_testkit::servers::{MariaDb, MariaDbBuilder};
use tempfile::TempDir;

use super::*;
use crate::options::RootCert;
use crate::tls::certificates::{Authority, Signed, write};

/// A hang is a failure.
async fn soon<T>(work: impl IntoFuture<Output = T>) -> T {
    pool_testkit::hard_deadline();
    timeout(Duration::from_secs(60), work).await.expect("hangs")
}

/// A server, with TLS if there is a certificate for it.
fn server(certificate: Option<&Signed>) -> MariaDbBuilder {
    match certificate {
        None => MariaDb::builder().setting("skip-ssl", "1"),
        Some(signed) => MariaDb::builder()
            .file("server.crt", &*signed.certificate)
            .file("server.key", &*signed.key)
            .setting("ssl-cert", "../server.crt")
            .setting("ssl-key", "../server.key"),
    }
}

fn options(server: &MariaDb) -> MySqlOptions {
    MySqlOptions::default().port(server.port()).user("test").database("test")
}

async fn connect(options: MySqlOptions) -> Result<Conn, MySqlError> {
    soon(Front::new(options)?.connect(None, None)).await
}

async fn cipher(connection: &mut Conn) -> String {
    let found: Option<(String, String)> =
        connection.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await.unwrap();
    found.unwrap().1
}

/// One value of text.
async fn ask(connection: &mut Conn, question: &str) -> String {
    soon(connection.query_first(question)).await.unwrap().unwrap()
}

/// What comes of a connect, in a word, and why if that is not all.
async fn outcome(options: MySqlOptions) -> (&'static str, String) {
    match connect(options).await {
        Ok(mut connection) => {
            let cipher = cipher(&mut connection).await;
            connection.disconnect().await.unwrap();
            (if cipher.is_empty() { "plain" } else { "TLS" }, cipher)
        }
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, MySqlErrorKind::Tls | MySqlErrorKind::Config), "{error}");
            ("refused", error.to_string())
        }
    }
}

/// The same, of the server's own client.
fn outcome_of_mariadb(server: &MariaDb, more: &[&str]) -> &'static str {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", "mariadb", "--no-defaults", "--batch"]);
    command.args(["--skip-column-names", "--host=localhost", "--protocol=tcp", "--user=test"]);
    command.arg(format!("--port={}", server.port())).args(more);
    let output = command.args(["--execute", "SHOW STATUS LIKE 'Ssl_cipher'"]).output().unwrap();
    match (output.status.code(), output.stdout.trim_ascii()) {
        (Some(0), b"Ssl_cipher") => "plain",
        (Some(0), _) => "TLS",
        (Some(1), _) => "refused",
        _ => panic!("{output:?}"),
    }
}

const MODES: [SslMode; 5] = SslMode::ALL;

#[tokio::test]
async fn each_ssl_mode_connects_as_the_table_says() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let here = &["localhost", "127.0.0.1"];
    let folder = tempfile::tempdir().unwrap();
    let root = write(&folder, "root.crt", &ours.root);
    let anything = ["plain", "TLS", "TLS", "refused", "refused"];
    let nothing = ["plain", "refused", "refused", "refused", "refused"];
    let no_name = ["plain", "TLS", "TLS", "TLS", "refused"];
    // By mode: with the root certificate, and without.
    let rows = [
        ("no TLS", None, ["plain", "plain", "refused", "refused", "refused"], None),
        ("good", Some(ours.server(here)), ["plain", "TLS", "TLS", "TLS", "TLS"], Some(anything)),
        ("for another host", Some(ours.server(&["elsewhere"])), no_name, Some(anything)),
        ("for any of a domain", Some(ours.server(&["*.example"])), no_name, Some(anything)),
        ("for no host", Some(ours.server(&[])), no_name, Some(anything)),
        ("expired", Some(ours.expired(here)), nothing, Some(anything)),
        ("expired, for no host", Some(ours.expired(&[])), nothing, Some(anything)),
        ("theirs", Some(theirs.server(here)), nothing, Some(anything)),
        ("theirs, for another host", Some(theirs.server(&["elsewhere"])), nothing, Some(anything)),
        ("theirs, for no host", Some(theirs.server(&[])), nothing, Some(anything)),
        (
            "theirs, for the name that is never one",
            Some(theirs.server(&["notvalidforname"])),
            nothing,
            Some(anything),
        ),
    ];
    for (name, certificate, rooted, rootless) in rows {
        let Some(server) = server(certificate.as_ref()).for_test() else { return };
        let mut differ = String::new();
        for (has_root, expected) in [(true, rooted), (false, rootless.unwrap_or(rooted))] {
            for (mode, expected) in MODES.into_iter().zip(expected) {
                let options = options(&server).ssl_mode(mode);
                let options = match has_root {
                    true => options.ssl_ca(RootCert::File(root.clone())),
                    false => options,
                };
                let (found, why) = outcome(options).await;
                if found != expected {
                    differ += &format!("{mode:?}, root {has_root}: {found}, {why}\n");
                }
            }
        }
        assert!(differ.is_empty(), "server: {name}\n{differ}");
        // The one of MariaDB 10 takes the common name, and `--ssl` for a wish.
        let ca = format!("--ssl-ca={}", root.display());
        for (mode, more) in [
            (SslMode::Disabled, &["--skip-ssl"][..]),
            (SslMode::VerifyCa, &["--ssl", &ca]),
            (SslMode::VerifyIdentity, &["--ssl", &ca, "--ssl-verify-server-cert"]),
        ] {
            if certificate.is_some() {
                let expected = rooted[mode as usize];
                assert_eq!(outcome_of_mariadb(&server, more), expected, "{name} {mode:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_root_certificate_alone_is_to_verify_the_chain() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Some(server) = server(Some(&ours.server(&["elsewhere"]))).for_test() else { return };
    let pem = |authority: &Authority| RootCert::Pem(authority.root.clone().into_bytes());
    assert_eq!(outcome(options(&server).ssl_ca(pem(&ours))).await.0, "TLS");
    let (found, why) = outcome(options(&server).ssl_ca(pem(&theirs))).await;
    assert_eq!(found, "refused");
    assert!(why.contains("UnknownIssuer; ssl-ca has to have"), "{why}");
    let identity = options(&server).ssl_ca(pem(&ours)).ssl_mode(SslMode::VerifyIdentity);
    let (_, why) = outcome(identity).await;
    assert!(why.contains("elsewhere") && why.contains("ssl-mode=verify-ca takes it"), "{why}");
    assert!(why.starts_with("mysql://test@localhost:"), "{why}");
}

#[tokio::test]
async fn a_certificate_may_be_its_own_root_unless_it_is_one_of_an_authority() {
    for (is_authority, expected) in [(false, "TLS"), (true, "refused")] {
        let signed = Authority::own("localhost", is_authority);
        let Some(server) = server(Some(&signed)).for_test() else { return };
        let root = RootCert::Pem(signed.certificate.clone().into_bytes());
        for mode in [SslMode::VerifyCa, SslMode::VerifyIdentity] {
            let options = options(&server).ssl_ca(root.clone()).ssl_mode(mode);
            let (found, why) = outcome(options).await;
            assert_eq!(found, expected, "{mode:?}: {why}");
            let says = why.contains("the server's certificate is one of an authority");
            assert_eq!(says, is_authority, "{mode:?}: {why}");
        }
        assert_eq!(outcome(options(&server).ssl_mode(SslMode::Required)).await.0, "TLS");
    }
}

/// The second connect knows what the first found out.
#[tokio::test]
async fn that_the_certificate_is_for_another_name_is_found_once() {
    let ours = Authority::new("ours");
    let Some(server) = server(Some(&ours.server(&["elsewhere"]))).for_test() else { return };
    let root = RootCert::Pem(ours.root.clone().into_bytes());
    let front = Front::new(options(&server).ssl_ca(root)).unwrap();
    assert_eq!(aborted_by(&server, &front).await, [1, 0, 0]);
}

#[tokio::test]
async fn that_the_server_has_no_tls_is_found_once_a_minute() {
    let Some(server) = server(None).for_test() else { return };
    let front = Front::new(options(&server)).unwrap();
    assert_eq!(aborted_by(&server, &front).await, [1, 0, 0]);
    front.remember(Instant::now().checked_sub(REMEMBERED).unwrap());
    assert_eq!(aborted_by(&server, &front).await, [1, 0, 0]);
}

/// How many connects come to nothing before each of three that do not.
async fn aborted_by(server: &MariaDb, front: &Front) -> [u64; 3] {
    let count = || {
        let row = server.sql("SHOW GLOBAL STATUS LIKE 'Aborted_connects'").unwrap();
        row.split_once('\t').unwrap().1.parse::<u64>().unwrap()
    };
    let mut found = [0; 3];
    for found in &mut found {
        let before = count();
        let connection = soon(front.connect(None, None)).await.unwrap();
        connection.disconnect().await.unwrap();
        *found = count() - before;
    }
    found
}

#[tokio::test]
async fn a_client_certificate_logs_in_whom_it_names() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = server(Some(&ours.server(&["localhost"])))
        .file("root.crt", &*ours.root)
        .setting("ssl-ca", "../root.crt");
    let Some(server) = server.for_test() else { return };
    server.sql("CREATE USER me REQUIRE X509; GRANT ALL ON test.* TO me").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = options(&server).user("me").ssl_mode(SslMode::Required);
    let with = |name: &str, signed: Signed, folder: &TempDir| {
        let certificate = write(folder, &format!("{name}.crt"), &signed.certificate);
        let key = write(folder, &format!("{name}.key"), &signed.key);
        options.clone().ssl_cert(certificate).ssl_key(key)
    };
    let mut connection = connect(with("good", ours.client("me"), &folder)).await.unwrap();
    assert!(ask(&mut connection, "SELECT CURRENT_USER()").await.starts_with("me@"));
    let error = connect(options.clone()).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Authentication, "{error}");
    let error = connect(with("bad", theirs.client("me"), &folder)).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Tls, "{error}");
}

#[tokio::test]
async fn a_socket_is_as_good_as_required_tls() {
    let Some(server) = server(None).for_test() else { return };
    for mode in [SslMode::Disabled, SslMode::Preferred, SslMode::Required] {
        let options = options(&server).port(1).socket(server.socket()).ssl_mode(mode);
        let mut connection = connect(options).await.unwrap();
        let host = ask(&mut connection, "SELECT SUBSTRING_INDEX(USER(), '@', -1)").await;
        assert_eq!(host, "localhost", "{mode:?}");
    }
    let nowhere = options(&server).socket(Path::new("/nowhere.sock"));
    let error = connect(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn what_a_session_is_set_up_with_holds_and_comes_back_after_a_reset() {
    let Some(server) = MariaDb::builder()
        .setting("character-set-server", "latin1")
        .setting("performance-schema", "ON")
        .for_test()
    else {
        return;
    };
    let options = options(&server)
        .collation("utf8mb4_bin")
        .time_zone("+03:30")
        .sql_mode("ANSI_QUOTES,NO_BACKSLASH_ESCAPES")
        .set_up("SET @order = 1")
        .set_up("SET @order = @order * 10 + 2")
        .application_name("it's me")
        .compression(true)
        .found_rows(true);
    let statements = options.set_up_statements();
    let mut connection = connect(options).await.unwrap();
    for _ in 0..2 {
        for statement in &statements {
            soon(connection.query_drop(statement)).await.unwrap();
        }
        let question = "SELECT CONCAT_WS(' ', @@character_set_client, @@collation_connection, \
                        @@time_zone, @@sql_mode, @order)";
        let expected = "utf8mb4 utf8mb4_bin +03:30 ANSI_QUOTES,NO_BACKSLASH_ESCAPES 12";
        assert_eq!(ask(&mut connection, question).await, expected);
        assert_eq!(ask(&mut connection, "SELECT 'ß😀'").await, "ß😀");
        assert!(soon(connection.reset()).await.unwrap());
    }
    // What the set-up is there for.
    let collation = "SELECT @@collation_connection";
    assert_ne!(ask(&mut connection, collation).await, "utf8mb4_bin");
    let name = "SELECT attr_value FROM performance_schema.session_connect_attrs \
                WHERE attr_name = 'program_name' AND processlist_id = ";
    assert_eq!(server.sql(&format!("{name}{}", connection.id())).unwrap(), "it's me");
    let compressed: (String, String) =
        connection.query_first("SHOW STATUS LIKE 'Compression'").await.unwrap().unwrap();
    assert_eq!(compressed.1, "ON");
    connection.query_drop("CREATE TEMPORARY TABLE t SELECT 1 AS n").await.unwrap();
    connection.query_drop("UPDATE t SET n = 1").await.unwrap();
    assert_eq!(connection.affected_rows(), 1, "it was found");
}

#[tokio::test]
async fn failures_say_what_they_are_and_where() {
    let Some(server) = MariaDb::for_test() else { return };
    server.sql("CREATE USER me IDENTIFIED BY 'right'; GRANT ALL ON test.* TO me").unwrap();
    let me = || options(&server).user("me").password("hunter2");
    let front = Front::new(me()).unwrap();
    soon(front.connect(None, Some("right"))).await.unwrap();
    soon(front.connect(Some("test"), Some(""))).await.unwrap();
    let port = server.port();
    for (options, kind, name) in [
        (me(), MySqlErrorKind::Authentication, format!("mysql://me@localhost:{port}/test: ")),
        (
            me().password("right").database("nowhere"),
            MySqlErrorKind::Denied,
            format!("mysql://me@localhost:{port}/nowhere: "),
        ),
        (me().port(1), MySqlErrorKind::Unreachable, "mysql://me@localhost:1/test: ".into()),
        (
            me().host("no-such-host.invalid"),
            MySqlErrorKind::Unreachable,
            format!("mysql://me@no-such-host.invalid:{port}/test: "),
        ),
    ] {
        let error = connect(options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(&name), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    server.freeze().unwrap();
    let hasty = options(&server).connect_timeout(Duration::from_millis(200));
    let error = connect(hasty).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Unreachable);
    assert!(error.to_string().contains("does not answer within 200ms"), "{error}");
}
