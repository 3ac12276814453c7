//! [`MySqlOptions`]: which server, who logs in, and how the connections are made.
//!
//! Nothing is read from the environment, from `my.cnf` or from `~/.mylogin.cnf`: what a pool
//! connects to is what its options say.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pool_sql::Secret;

use crate::error::{MySqlError, MySqlErrorKind};

pub(crate) const DEFAULT_HOST: &str = "localhost";
pub(crate) const DEFAULT_PORT: u16 = 3306;
/// Below what routers and load balancers forget connections after.
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(60);

/// How the connections of a pool are made.
///
/// The setters take what the parameters of a [URL](crate::url) say. A clone is independent of its
/// original.
#[derive(Clone, Debug)]
pub struct MySqlOptions {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: Option<String>,
    pub(crate) ssl_mode: Option<SslMode>,
    pub(crate) ssl_ca: Option<RootCert>,
    pub(crate) ssl_cert: Option<PathBuf>,
    pub(crate) ssl_key: Option<PathBuf>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tcp_keepalive: Option<Duration>,
    pub(crate) tcp_nodelay: bool,
    pub(crate) compression: bool,
    pub(crate) collation: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) sql_mode: Option<String>,
    pub(crate) set_up: Vec<String>,
    pub(crate) found_rows: bool,
    pub(crate) application_name: Option<String>,
    pub(crate) max_size: Option<u32>,
    pub(crate) statement_cache: Option<usize>,
}

impl Default for MySqlOptions {
    fn default() -> Self {
        Self {
            host: DEFAULT_HOST.into(),
            port: DEFAULT_PORT,
            socket: None,
            user: None,
            password: None,
            database: None,
            ssl_mode: None,
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            connect_timeout: None,
            tcp_keepalive: Some(DEFAULT_KEEPALIVE),
            tcp_nodelay: true,
            compression: false,
            collation: None,
            time_zone: None,
            sql_mode: None,
            set_up: Vec::new(),
            found_rows: false,
            application_name: None,
            max_size: None,
            statement_cache: None,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* fn $name:ident($value:ident: $type:ty) { $set:expr })*) => {
        impl MySqlOptions {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $value: $type) -> Self {
                self.$name = $set;
                self
            })*
        }
    };
}

setters! {
    /// The server's name or address, always by TCP: `localhost` too, which for the servers' own
    /// clients means a socket. Default: `localhost`.
    fn host(host: impl Into<String>) { host.into() }

    /// Where the server listens. Default: 3306.
    fn port(port: u16) { port }

    /// The server's Unix socket; host and port count no more. Default: none.
    fn socket(path: impl Into<PathBuf>) { Some(path.into()) }

    /// Who logs in. Default: nobody, which servers let in as their anonymous user if they have one.
    fn user(name: impl Into<String>) { Some(name.into()) }

    /// The password. Default: none.
    fn password(password: impl Into<String>) { Some(Secret::from(password.into())) }

    /// The database. Default: none.
    fn database(name: impl Into<String>) { Some(name.into()) }

    /// Whether TLS is used, and what it verifies. Default: `VerifyCa` if there is an
    /// [`ssl_ca`](Self::ssl_ca), as with `mysql`; else `Preferred`, which verifies nothing and goes
    /// on without TLS where there is none: choose `VerifyIdentity` where the network is not yours.
    fn ssl_mode(mode: SslMode) { Some(mode) }

    /// Who is trusted to sign the server's certificate. Default: whom the system trusts if
    /// `ssl_mode` is `VerifyCa` or `VerifyIdentity`; the other modes then verify nothing.
    fn ssl_ca(root: RootCert) { Some(root) }

    /// The client's certificate with its chain, in PEM. Default: none.
    fn ssl_cert(path: impl Into<PathBuf>) { Some(path.into()) }

    /// The key of the client's certificate, in PEM and not encrypted; nobody else may read it.
    fn ssl_key(path: impl Into<PathBuf>) { Some(path.into()) }

    /// How long a connect may take, from the name over TLS to the end of the authentication. Zero
    /// is the default: no limit but the deadline of the pool.
    fn connect_timeout(limit: Duration) { (!limit.is_zero()).then_some(limit) }

    /// How long nothing happens on a connection before TCP probes it, in whole seconds; zero:
    /// never. Default: 60 s.
    fn tcp_keepalive(after: Duration) { (!after.is_zero()).then_some(after) }

    /// Whether small packets are sent at once. Default: yes.
    fn tcp_nodelay(on: bool) { on }

    /// Whether the protocol is compressed, by zlib. It takes time on both sides, and with TLS tells
    /// by the packets' length something of what is in them. Default: no.
    fn compression(on: bool) { on }

    /// How texts compare and sort that come from here, such as `utf8mb4_0900_ai_ci`. Default: what
    /// the server has for `utf8mb4`.
    fn collation(name: impl Into<String>) { Some(name.into()) }

    /// The sessions' time zone: `+00:00`, or a name if the server has the tables of names. Default:
    /// the server's.
    fn time_zone(zone: impl Into<String>) { Some(zone.into()) }

    /// The sessions' SQL mode, words with commas between; an empty one turns all off. Default: the
    /// server's.
    fn sql_mode(words: impl Into<String>) { Some(words.into()) }

    /// Whether an `UPDATE` counts the rows that it found, not only those that it changed. Default:
    /// no.
    fn found_rows(on: bool) { on }

    /// The name that the server shows for these connections, in
    /// `performance_schema.session_connect_attrs` as `program_name`.
    fn application_name(name: impl Into<String>) { Some(name.into()) }

    /// The most connections of the pool. Default: the pool's own.
    fn max_size(connections: u32) { Some(connections) }

    /// How many prepared statements each connection keeps. Default: the pool's own.
    fn statement_cache(statements: usize) { Some(statements) }
}

impl MySqlOptions {
    /// One more statement that each session begins with, after those that were given before: at its
    /// connect, and again after each reset.
    #[must_use]
    pub fn set_up(mut self, statement: impl Into<String>) -> Self {
        self.set_up.push(statement.into());
        self
    }

    /// The target as errors name it: `mysql://user@host:3306/db`, with no password.
    pub(crate) fn name(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let database = self.database.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let (host, port) = (&self.host, self.port);
        match &self.socket {
            Some(path) => format!("mysql://{user}unix({}){database}", path.display()),
            None if host.contains(':') => format!("mysql://{user}[{host}]:{port}{database}"),
            None => format!("mysql://{user}{host}:{port}{database}"),
        }
    }

    /// The given mode, else the one that follows from the root certificates.
    pub(crate) fn effective_ssl_mode(&self) -> SslMode {
        match (self.ssl_mode, &self.ssl_ca) {
            (Some(mode), _) => mode,
            (None, Some(RootCert::System)) => SslMode::VerifyIdentity,
            (None, Some(_)) => SslMode::VerifyCa,
            (None, None) => SslMode::Preferred,
        }
    }

    /// What a new session runs first, and again after each reset, in this order.
    ///
    /// The character set is named in any case: a reset gives the session the server's own, as MySQL
    /// does it (MariaDB keeps it), and texts would be taken for `latin1`, say.
    pub(crate) fn set_up_statements(&self) -> Vec<String> {
        let collation = self.collation.as_ref().map(|name| format!(" COLLATE '{name}'"));
        let mut statements = vec![format!("SET NAMES utf8mb4{}", collation.unwrap_or_default())];
        // Quoted as they are: `conflicts` lets nothing through that would end the quotes.
        statements.extend(self.time_zone.as_ref().map(|zone| format!("SET time_zone = '{zone}'")));
        statements.extend(self.sql_mode.as_ref().map(|words| format!("SET sql_mode = '{words}'")));
        statements.extend(self.set_up.iter().cloned());
        statements
    }

    /// What is wrong or does not go together, each with what would be right.
    pub(crate) fn conflicts(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut want = |wrong: bool, what: &str| {
            if wrong {
                faults.push(what.into());
            }
        };
        let mode = self.effective_ssl_mode();
        let host = self.host.as_str();
        want(
            host.is_empty() || host.contains(['/', '@', ',', '[', ' ']),
            "host: want one name or address; for a Unix socket write socket=/path",
        );
        want(
            self.socket.as_ref().is_some_and(|path| path.to_str().is_none()),
            "socket: want a path in UTF-8",
        );
        want(self.port == 0, "port: want 1 to 65535");
        want(self.max_size == Some(0), "max-size: want a number of connections from 1 on");
        want(
            self.socket.is_some() && mode >= SslMode::VerifyCa,
            "socket: there is no TLS on Unix sockets, and no certificate to verify; want \
             ssl-mode=required, for which a socket is as good, and no ssl-ca",
        );
        want(
            // Anybody can have a certificate that the system trusts, for another name.
            self.ssl_ca == Some(RootCert::System) && mode != SslMode::VerifyIdentity,
            "ssl-ca=system: want ssl-mode=verify-identity",
        );
        want(self.ssl_cert.is_some() && self.ssl_key.is_none(), "ssl-key: want that of ssl-cert");
        want(self.ssl_key.is_some() && self.ssl_cert.is_none(), "ssl-cert: want that of ssl-key");
        let lacks = |text: &Option<String>, more: &str| {
            let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
            !text.as_deref().unwrap_or_default().chars().all(is_fit)
        };
        want(
            lacks(&self.collation, "")
                || self.collation.as_ref().is_some_and(|name| !name.starts_with("utf8mb4_")),
            "collation: want the name of one of utf8mb4, such as utf8mb4_0900_ai_ci",
        );
        want(
            lacks(&self.time_zone, "+-:/") || self.time_zone.as_deref() == Some(""),
            "time-zone: want an offset such as +00:00, or a name such as Europe/Paris; no quotes",
        );
        want(
            lacks(&self.sql_mode, ","),
            "sql-mode: want words with commas between, such as TRADITIONAL,ANSI_QUOTES; no quotes \
             and no spaces",
        );
        want(
            self.set_up.iter().any(|statement| statement.trim().is_empty()),
            "set_up: want a statement, one is empty",
        );
        faults
    }

    /// An error if something is wrong or does not go together.
    pub(crate) fn check(&self) -> Result<(), MySqlError> {
        match self.conflicts() {
            faults if faults.is_empty() => Ok(()),
            faults => Err(MySqlError::text(MySqlErrorKind::Config, faults.join("; "))),
        }
    }
}

/// Who is trusted to sign the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootCert {
    /// The certificates in this file, in PEM.
    File(PathBuf),
    /// These certificates, in PEM.
    Pem(Vec<u8>),
    /// Those that the system trusts. Only with `VerifyIdentity`: anybody can have a certificate of
    /// theirs, for another name.
    System,
}

/// Whether TLS is used, and what it verifies. A later one is stricter.
///
/// With an [`ssl_ca`](MySqlOptions::ssl_ca), `Preferred` and `Required` verify the chain as well
/// wherever there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SslMode {
    /// Never.
    Disabled,
    /// If the server has it.
    Preferred,
    /// Always; or a Unix socket, which servers count as secure too.
    Required,
    /// Always, and the certificate is signed by a trusted one.
    VerifyCa,
    /// Always, and the certificate is signed by a trusted one and is for the host's name.
    VerifyIdentity,
}

impl SslMode {
    pub(crate) const ALL: [Self; 5] =
        [Self::Disabled, Self::Preferred, Self::Required, Self::VerifyCa, Self::VerifyIdentity];

    /// The word as `mysql` writes it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Preferred => "preferred",
            Self::Required => "required",
            Self::VerifyCa => "verify-ca",
            Self::VerifyIdentity => "verify-identity",
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let plain = word.to_ascii_lowercase().replace('_', "-");
        let plain = match &*plain {
            "disable" => "disabled",
            "allow" | "prefer" => "preferred",
            "require" => "required",
            "verify-full" => "verify-identity",
            own => own,
        };
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == plain);
        found.ok_or_else(|| format!("want one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// From the word as `mysql` writes it, or libpq (`allow` is `Preferred`).
impl FromStr for SslMode {
    type Err = MySqlError;

    fn from_str(word: &str) -> Result<Self, MySqlError> {
        let named = |want| format!("SslMode: {word}: {want}");
        Self::parse(word).map_err(|want| MySqlError::text(MySqlErrorKind::Config, named(want)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MySqlOptions {
        MySqlOptions::default()
    }

    #[test]
    fn neither_the_name_nor_debug_shows_the_password() {
        let options = options().host("::1").user("me").password("hunter2").database("db");
        assert_eq!(options.name(), "mysql://me@[::1]:3306/db");
        assert!(!format!("{options:?}").contains("hunter2"));
        let socket = options.socket("/run/my.sock");
        assert_eq!(socket.name(), "mysql://me@unix(/run/my.sock)/db");
        assert_eq!(MySqlOptions::default().name(), "mysql://localhost:3306");
    }

    #[test]
    fn a_session_is_set_up_in_the_order_in_which_it_was_written() {
        assert_eq!(options().set_up_statements(), ["SET NAMES utf8mb4"]);
        let options = options()
            .set_up("SET @a = 1")
            .sql_mode("")
            .set_up("SET @a = 2")
            .time_zone("-03:30")
            .collation("utf8mb4_bin");
        options.check().unwrap();
        let expected = [
            "SET NAMES utf8mb4 COLLATE 'utf8mb4_bin'",
            "SET time_zone = '-03:30'",
            "SET sql_mode = ''",
            "SET @a = 1",
            "SET @a = 2",
        ];
        assert_eq!(options.set_up_statements(), expected);
    }

    #[test]
    fn a_root_certificate_is_there_to_verify_by() {
        let file = || RootCert::File("/ca.pem".into());
        assert_eq!(options().effective_ssl_mode(), SslMode::Preferred);
        assert_eq!(options().ssl_ca(file()).effective_ssl_mode(), SslMode::VerifyCa);
        let system = options().ssl_ca(RootCert::System);
        assert_eq!(system.effective_ssl_mode(), SslMode::VerifyIdentity);
        let required = options().ssl_ca(file()).ssl_mode(SslMode::Required);
        assert_eq!(required.effective_ssl_mode(), SslMode::Required);
    }

    #[test]
    fn zero_is_no_limit_and_no_probe() {
        let options = options().connect_timeout(Duration::ZERO).tcp_keepalive(Duration::ZERO);
        assert_eq!((options.connect_timeout, options.tcp_keepalive), (None, None));
    }

    #[test]
    fn settings_that_are_wrong_or_do_not_go_together_are_named() {
        for (options, fault) in [
            (options().host(""), "host: want one name"),
            (options().host("a,b"), "host: want one name"),
            (options().host("/run/my.sock"), "write socket=/path"),
            (options().port(0), "port: want 1"),
            (options().max_size(0), "max-size: want"),
            (options().collation("latin1_swedish_ci"), "collation: want the name of one"),
            (options().collation("utf8mb4_'"), "collation: want"),
            (options().time_zone("UTC'; DROP TABLE t; --"), "time-zone: want an offset"),
            (options().time_zone("UTC\\"), "time-zone: want"),
            (options().time_zone(""), "time-zone: want"),
            (options().sql_mode("ANSI', autocommit = '0"), "sql-mode: want words"),
            (options().sql_mode("ANSI\\"), "sql-mode: want"),
            (options().set_up(" "), "set_up: want a statement"),
            (options().ssl_cert("/c"), "ssl-key: want that of ssl-cert"),
            (options().ssl_key("/k"), "ssl-cert: want that of ssl-key"),
            (options().socket("/s").ssl_mode(SslMode::VerifyCa), "socket: there is no TLS"),
            (options().socket("/s").ssl_ca(RootCert::Pem(vec![])), "socket: there is no TLS"),
            (
                options().ssl_ca(RootCert::System).ssl_mode(SslMode::VerifyCa),
                "ssl-ca=system: want ssl-mode=verify-identity",
            ),
        ] {
            let error = options.check().unwrap_err();
            assert_eq!(error.kind(), MySqlErrorKind::Config);
            assert!(error.to_string().contains(fault), "{fault} in {error}");
        }
        let all = options().port(0).time_zone("'").check().unwrap_err().to_string();
        assert!(all.contains("port: want") && all.contains("time-zone: want"), "{all}");
        for options in [
            options().time_zone("Etc/GMT+1").sql_mode("STRICT_ALL_TABLES,NO_ZERO_DATE"),
            options().socket("/s").ssl_mode(SslMode::Required),
            options().ssl_mode(SslMode::VerifyCa),
        ] {
            options.check().unwrap();
        }
    }

    #[test]
    fn ssl_modes_are_read_as_servers_and_drivers_write_them() {
        for mode in SslMode::ALL {
            let word = mode.as_str();
            for text in [word.to_owned(), word.to_uppercase(), word.replace('-', "_")] {
                assert_eq!(SslMode::parse(&text), Ok(mode));
            }
        }
        for (word, mode) in [
            ("disable", SslMode::Disabled),
            ("allow", SslMode::Preferred),
            ("prefer", SslMode::Preferred),
            ("require", SslMode::Required),
            ("verify-full", SslMode::VerifyIdentity),
        ] {
            assert_eq!(word.parse::<SslMode>().unwrap(), mode, "libpq's {word}");
        }
        let error = "tls".parse::<SslMode>().unwrap_err();
        assert_eq!(error.kind(), MySqlErrorKind::Config);
        let all = "tls: want one of disabled, preferred, required, verify-ca, verify-identity";
        assert!(error.to_string().contains(all), "{error}");
    }
}
