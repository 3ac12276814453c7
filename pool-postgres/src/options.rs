//! [`PgOptions`]: which servers, who logs in, and how the connections are made.
//!
//! Nothing is read from `PG*` environment variables: what a pool connects to is what its options
//! say. Of the home folder only the files are read that libpq reads by default: `~/.pgpass`, and
//! what is in `~/.postgresql` for TLS.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use pool_sql::Secret;

use crate::error::{PgError, PgErrorKind};

pub(crate) const DEFAULT_PORT: u16 = 5432;
const DEFAULT_FOLDER: &str = "/var/run/postgresql";

/// How the connections of a pool are made.
///
/// The setters take what the parameters of a URL say. A clone is independent of its original.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// Never empty.
    pub(crate) hosts: Vec<PgHost>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) passfile: Option<PathBuf>,
    pub(crate) dbname: Option<String>,
    pub(crate) application_name: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) keepalives: bool,
    pub(crate) keepalives_idle: Option<Duration>,
    pub(crate) keepalives_interval: Option<Duration>,
    pub(crate) keepalives_count: Option<u32>,
    pub(crate) tcp_user_timeout: Option<Duration>,
    pub(crate) target_session_attrs: TargetSessionAttrs,
    pub(crate) load_balance_hosts: bool,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) sslmode: SslMode,
    pub(crate) sslnegotiation: SslNegotiation,
    pub(crate) sslsni: bool,
    pub(crate) sslrootcert: Option<RootCert>,
    pub(crate) sslcert: Option<PathBuf>,
    pub(crate) sslkey: Option<PathBuf>,
    pub(crate) max_size: Option<u32>,
    pub(crate) statement_cache: Option<usize>,
    pub(crate) pooler: Option<bool>,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            hosts: vec![PgHost::new("", DEFAULT_PORT)],
            user: None,
            password: None,
            passfile: None,
            dbname: None,
            application_name: None,
            options: None,
            connect_timeout: None,
            keepalives: true,
            keepalives_idle: None,
            keepalives_interval: None,
            keepalives_count: None,
            tcp_user_timeout: None,
            target_session_attrs: TargetSessionAttrs::Any,
            load_balance_hosts: false,
            channel_binding: ChannelBinding::Prefer,
            sslmode: SslMode::Prefer,
            sslnegotiation: SslNegotiation::Postgres,
            sslsni: true,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            max_size: None,
            statement_cache: None,
            pooler: None,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* fn $name:ident($value:ident: $type:ty) { $set:expr })*) => {
        impl PgOptions {
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
    /// Who logs in. Default: the name of the operating system's user.
    fn user(name: impl Into<String>) { Some(name.into()) }

    /// The password. An empty one is none. Default: what the [`passfile`](Self::passfile) says.
    fn password(password: impl Into<String>) { Some(Secret::from(password.into())) }

    /// The file with passwords, read again for each connection. Default: `~/.pgpass`. As with
    /// libpq, a file that is not there or that the group or others may read counts as empty.
    fn passfile(path: impl Into<PathBuf>) { Some(path.into()) }

    /// The database. Default: the one with the user's name.
    fn dbname(name: impl Into<String>) { Some(name.into()) }

    /// The name that the server shows for these connections, in `pg_stat_activity` for instance.
    fn application_name(name: impl Into<String>) { Some(name.into()) }

    /// Server settings for each session, such as `-c statement_timeout=5s -c geqo=off`.
    fn options(options: impl Into<String>) { Some(options.into()) }

    /// How long the way to one host may take, from TCP over TLS to the end of the authentication.
    /// Default: no limit but the deadline of the pool.
    fn connect_timeout(limit: Duration) { (!limit.is_zero()).then_some(limit) }

    /// Whether TCP probes connections on which nothing happens. Default: yes.
    fn keepalives(on: bool) { on }

    /// How long nothing happens before the first probe, in whole seconds. Default: the system's.
    fn keepalives_idle(after: Duration) { (!after.is_zero()).then_some(after) }

    /// The time between probes, in whole seconds. Default: the system's.
    fn keepalives_interval(every: Duration) { (!every.is_zero()).then_some(every) }

    /// How many probes without an answer end the connection. Default: the system's.
    fn keepalives_count(probes: u32) { (probes > 0).then_some(probes) }

    /// How long sent data may stay unacknowledged before the connection ends, in whole
    /// milliseconds; on Linux only. Default: the system's.
    fn tcp_user_timeout(limit: Duration) { (!limit.is_zero()).then_some(limit) }

    /// Which role a server has to have. Default: any.
    fn target_session_attrs(attrs: TargetSessionAttrs) { attrs }

    /// Whether each connection tries the hosts in an order by lot. Default: no, in their order.
    fn load_balance_hosts(on: bool) { on }

    /// Whether the password exchange is bound to the TLS connection. Default: if it can be.
    fn channel_binding(binding: ChannelBinding) { binding }

    /// Whether TLS is used, and what it verifies. Default: `Prefer`, which verifies nothing and
    /// goes on without TLS where there is none: choose `VerifyFull` where the network is not yours.
    fn sslmode(mode: SslMode) { mode }

    /// How TLS begins. Default: by asking the server first.
    fn sslnegotiation(negotiation: SslNegotiation) { negotiation }

    /// Whether TLS tells the server the host name it was called by. Default: yes.
    fn sslsni(on: bool) { on }

    /// Who is trusted to sign the server's certificate. Default: `~/.postgresql/root.crt` if it
    /// exists; else the system's store if `sslmode` is `VerifyCa` or `VerifyFull`.
    fn sslrootcert(root: RootCert) { Some(root) }

    /// The client's certificate with its chain, in PEM. Default: `~/.postgresql/postgresql.crt` if
    /// it exists.
    fn sslcert(path: impl Into<PathBuf>) { Some(path.into()) }

    /// The key of the client's certificate, in PEM and not encrypted; nobody else may read it.
    /// Default: `~/.postgresql/postgresql.key`.
    fn sslkey(path: impl Into<PathBuf>) { Some(path.into()) }

    /// The most connections of the pool. Default: the pool's own.
    fn max_size(connections: u32) { Some(connections) }

    /// How many prepared statements each connection keeps. Default: the pool's own.
    fn statement_cache(statements: usize) { Some(statements) }

    /// Whether there is a pooler such as PgBouncer, in transaction mode, before the server.
    /// Default: the pool's own.
    fn pooler(between: bool) { Some(between) }
}

impl PgOptions {
    /// The only server: a name, an address, or the folder of a Unix socket (it begins with `/`). An
    /// empty one is the default: `/var/run/postgresql` if it exists, else `localhost`.
    #[must_use]
    pub fn host(self, host: &str, port: u16) -> Self {
        self.hosts([PgHost::new(host, port)])
    }

    /// The servers, in the order in which they are tried. None at all is the default host.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = PgHost>) -> Self {
        self.hosts = hosts.into_iter().collect();
        if self.hosts.is_empty() {
            self.hosts.push(PgHost::new("", DEFAULT_PORT));
        }
        self
    }

    /// The target as errors name it: `postgres://user@host1:5432,host2:5432/db`, with no password.
    pub(crate) fn name(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(PgHost::to_string).collect();
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let dbname = self.dbname.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("postgres://{user}{}{dbname}", hosts.join(","))
    }

    /// What does not go together, each with what would be right.
    pub(crate) fn conflicts(&self) -> Vec<&'static str> {
        let mut faults = Vec::new();
        if self.sslnegotiation == SslNegotiation::Direct && self.sslmode < SslMode::Require {
            faults.push("sslnegotiation=direct: want sslmode=require, verify-ca or verify-full");
        }
        if self.sslrootcert == Some(RootCert::System) && self.sslmode != SslMode::VerifyFull {
            // Anybody can have a certificate that the system trusts, for another name.
            faults.push("sslrootcert=system: want sslmode=verify-full");
        }
        faults
    }

    /// An error if something does not go together.
    pub(crate) fn check(&self) -> Result<(), PgError> {
        match self.conflicts() {
            faults if faults.is_empty() => Ok(()),
            faults => Err(PgError::text(PgErrorKind::Config, faults.join("; "))),
        }
    }

    /// The password for that host: the given one, else the first that fits in the passfile.
    ///
    /// It reads the file each time, so that a changed password counts from the next connection.
    pub(crate) fn password_for(&self, host: &PgHost, user: &str, dbname: &str) -> Option<Secret> {
        if let Some(password) =
            self.password.as_ref().filter(|password| !password.expose().is_empty())
        {
            return Some(password.clone());
        }
        let text = self.passwords().ok()?;
        let wanted = [&host.in_passfile(), &host.port.to_string(), dbname, user];
        text.lines().find_map(|line| password_in(line, wanted))
    }

    /// Why the passfile counts as empty though it is there, if it is so.
    pub(crate) fn passfile_fault(&self) -> Option<String> {
        self.passwords().err().filter(|fault| !fault.is_empty())
    }

    /// The text of the passfile; an empty fault if there is none.
    fn passwords(&self) -> Result<String, String> {
        let home = || std::env::home_dir().map(|home| home.join(".pgpass"));
        let path = self.passfile.clone().or_else(home).ok_or_else(String::new)?;
        read_passwords(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => String::new(),
            _ => format!("{} is not used: {error}", path.display()),
        })
    }
}

fn read_passwords(path: &Path) -> std::io::Result<String> {
    // A pipe would block its reader; and what counts is the file that is read.
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    let mut file = File::open(path)?;
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o077 != 0 {
        return Err(std::io::Error::other("group or others may read it; want chmod 0600"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The password of a line `host:port:database:user:password`, if the first four fit. A `*` fits
/// anything, `\:` is a colon and `\\` a backslash.
fn password_in(line: &str, wanted: [&str; 4]) -> Option<Secret> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for wanted in wanted {
        rest = match rest.strip_prefix("*:") {
            Some(rest) => rest,
            None => {
                let (field, after) = unescape(rest, Some(':'));
                (field == wanted).then_some(after?)?
            }
        };
    }
    Some(Secret::from(unescape(rest, None).0))
}

/// The text without its backslashes, up to the end or the separator; what follows that.
fn unescape(text: &str, separator: Option<char>) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => field.push(chars.next().unwrap_or('\\')),
            c if Some(c) == separator => return (field, Some(chars.as_str())),
            c => field.push(c),
        }
    }
    (field, None)
}

/// One server: where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgHost {
    pub(crate) address: Address,
    pub(crate) port: u16,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// The address if it is given, else those of the name. One of both is always there; the name
    /// is what certificates and the passfile are about.
    Tcp { name: Option<Box<str>>, ip: Option<IpAddr> },
    /// The folder of the socket.
    Unix(PathBuf),
}

impl PgHost {
    /// A name, an address, or the folder of a Unix socket (it begins with `/`). An empty one is the
    /// default: `/var/run/postgresql` if it exists, else `localhost`.
    pub fn new(host: &str, port: u16) -> Self {
        let host = match host {
            "" if cfg!(unix) && Path::new(DEFAULT_FOLDER).is_dir() => DEFAULT_FOLDER,
            "" => "localhost",
            host => host,
        };
        let address = match host.starts_with('/') {
            true => Address::Unix(host.into()),
            false => Address::Tcp { name: Some(host.into()), ip: host.parse().ok() },
        };
        Self { address, port }
    }

    /// The address to connect to, as libpq's `hostaddr`: the name is then not looked up, and only
    /// what the server's certificate is checked against.
    #[must_use]
    pub fn hostaddr(mut self, ip: IpAddr) -> Self {
        self.address = match self.address {
            Address::Tcp { name, .. } => Address::Tcp { name, ip: Some(ip) },
            Address::Unix(_) => Address::Tcp { name: None, ip: Some(ip) },
        };
        self
    }

    /// The file of the Unix socket, if it is one.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        match &self.address {
            Address::Unix(folder) => Some(folder.join(format!(".s.PGSQL.{}", self.port))),
            Address::Tcp { .. } => None,
        }
    }

    /// The host as a line of the passfile names it.
    fn in_passfile(&self) -> String {
        match &self.address {
            Address::Unix(folder) if folder == Path::new(DEFAULT_FOLDER) => "localhost".into(),
            Address::Unix(folder) => folder.display().to_string(),
            Address::Tcp { name: Some(name), .. } => name.to_string(),
            Address::Tcp { ip, .. } => ip.map(|ip| ip.to_string()).unwrap_or_default(),
        }
    }
}

impl From<IpAddr> for PgHost {
    /// That address, at port 5432.
    fn from(ip: IpAddr) -> Self {
        Self { address: Address::Tcp { name: None, ip: Some(ip) }, port: DEFAULT_PORT }
    }
}

impl fmt::Display for PgHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(folder) => write!(f, "{}:{}", folder.display(), self.port),
            Address::Tcp { name: Some(name), .. } if name.contains(':') => {
                write!(f, "[{name}]:{}", self.port)
            }
            Address::Tcp { name: Some(name), .. } => write!(f, "{name}:{}", self.port),
            Address::Tcp { ip: Some(ip), .. } => {
                write!(f, "{}", std::net::SocketAddr::new(*ip, self.port))
            }
            Address::Tcp { .. } => write!(f, "localhost:{}", self.port),
        }
    }
}

/// Who is trusted to sign the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootCert {
    /// The certificates in this file, in PEM.
    File(PathBuf),
    /// Those that the system trusts. Only with `VerifyFull`: anybody can have a certificate of
    /// theirs, for another name.
    System,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The word as libpq writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn parse(word: &str) -> Result<Self, String> {
                match word {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("want one of {}", [$($text),*].join(", "))),
                }
            }
        }

        /// From the word as libpq writes it.
        impl FromStr for $name {
            type Err = PgError;

            fn from_str(word: &str) -> Result<Self, PgError> {
                let named = |want| format!("{}: {word}: {want}", stringify!($name));
                Self::parse(word).map_err(|want| PgError::text(PgErrorKind::Config, named(want)))
            }
        }
    };
}

words! {
    /// Whether TLS is used, and what it verifies. A later one is stricter.
    SslMode {
        /// Never.
        Disable = "disable",
        /// Only if the server does not let in without.
        Allow = "allow",
        /// If the server has it.
        Prefer = "prefer",
        /// Always. The certificate is not verified, unless there is a file with root certificates.
        Require = "require",
        /// Always, and the certificate is signed by a trusted one.
        VerifyCa = "verify-ca",
        /// Always, and the certificate is signed by a trusted one and is for the host's name.
        VerifyFull = "verify-full",
    }
}

words! {
    /// How TLS begins.
    SslNegotiation {
        /// By asking the server, in PostgreSQL's protocol.
        Postgres = "postgres",
        /// At once, a round trip less. From PostgreSQL 17 on, with `sslmode` from `Require` on.
        Direct = "direct",
    }
}

words! {
    /// Whether the password exchange is bound to the TLS connection, so that nobody between here
    /// and the server can pass it on.
    ChannelBinding {
        /// Never.
        Disable = "disable",
        /// If it can be.
        Prefer = "prefer",
        /// Always.
        Require = "require",
    }
}

words! {
    /// Which role a server has to have.
    TargetSessionAttrs {
        /// Any.
        Any = "any",
        /// Its sessions can write.
        ReadWrite = "read-write",
        /// Its sessions cannot write.
        ReadOnly = "read-only",
        /// It is not in recovery.
        Primary = "primary",
        /// It is in recovery.
        Standby = "standby",
        /// As `Standby`; any if none of the hosts is one.
        PreferStandby = "prefer-standby",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passfile(text: &str) -> (tempfile::TempDir, PgOptions) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        std::fs::write(&path, text).unwrap();
        permit(&path, 0o600);
        (folder, PgOptions::default().passfile(path))
    }

    fn permit(path: &Path, _mode: u32) {
        #[cfg(unix)]
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(_mode))
            .unwrap();
        #[cfg(not(unix))]
        let _ = path;
    }

    fn found(options: &PgOptions, host: &PgHost, user: &str, dbname: &str) -> Option<String> {
        options.password_for(host, user, dbname).map(|password| password.expose().into())
    }

    #[test]
    fn words_are_read_as_libpq_writes_them() {
        for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            assert_eq!(mode.parse::<SslMode>().unwrap().as_str(), mode);
        }
        let error = "required".parse::<SslMode>().unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Config);
        let says = "SslMode: required: want one of disable, allow, prefer, require, verify-ca";
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let (_folder, options) = passfile(
            "# host:5432:db:me:comment\n\
             host:5433:db:me:other port\n\
             host:5432:a\\:b\\\\:me:a\\:\\\\c:d\r\n\
             host:*:*:me:wild\n\
             *:*:*:you:anywhere\n\
             localhost:5432:db:me:socket\n",
        );
        let host = PgHost::new("host", 5432);
        assert_eq!(found(&options, &host, "me", "a:b\\").as_deref(), Some("a:\\c:d"));
        assert_eq!(found(&options, &host, "me", "db").as_deref(), Some("wild"));
        assert_eq!(found(&options, &PgHost::new("x", 1), "you", "db").as_deref(), Some("anywhere"));
        assert_eq!(found(&options, &PgHost::new("x", 1), "me", "db"), None);
        let socket = PgHost::new(DEFAULT_FOLDER, 5432);
        assert_eq!(found(&options, &socket, "me", "db").as_deref(), Some("socket"));
    }

    #[test]
    fn a_given_password_comes_before_the_passfile_and_an_empty_one_is_none() {
        let (_folder, options) = passfile("*:*:*:*:file\n");
        let host = PgHost::new("host", 1);
        let given = options.clone().password("given");
        assert_eq!(found(&given, &host, "me", "db").as_deref(), Some("given"));
        let empty = options.password("");
        assert_eq!(found(&empty, &host, "me", "db").as_deref(), Some("file"));
    }

    #[cfg(unix)]
    #[test]
    fn a_passfile_that_others_may_read_counts_as_empty() {
        let (folder, options) = passfile("*:*:*:*:file\n");
        assert_eq!(options.passfile_fault(), None);
        permit(&folder.path().join("pass"), 0o640);
        assert_eq!(found(&options, &PgHost::new("host", 1), "me", "db"), None);
        assert!(options.passfile_fault().unwrap().contains("chmod 0600"));
        let nowhere = options.passfile(folder.path().join("nowhere"));
        assert_eq!(nowhere.passfile_fault(), None);
    }

    #[test]
    fn neither_the_name_nor_debug_shows_the_password() {
        let options = PgOptions::default()
            .hosts([PgHost::new("a", 5432), PgHost::new("::1", 1), PgHost::new("/run", 2)])
            .user("me")
            .password("hunter2")
            .dbname("db");
        assert_eq!(options.name(), "postgres://me@a:5432,[::1]:1,/run:2/db");
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn an_address_without_a_name_takes_the_place_of_a_folder() {
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(PgHost::new("/run", 5432).hostaddr(ip), PgHost::from(ip));
        assert_eq!(PgHost::from(ip).to_string(), "10.0.0.1:5432");
        assert_eq!(PgHost::new("/run", 1).socket().unwrap(), Path::new("/run/.s.PGSQL.1"));
    }

    #[test]
    fn settings_that_do_not_go_together_are_named() {
        let options = PgOptions::default()
            .sslnegotiation(SslNegotiation::Direct)
            .sslrootcert(RootCert::System);
        let error = options.check().unwrap_err().to_string();
        for part in ["sslnegotiation=direct: want", "sslrootcert=system: want"] {
            assert!(error.contains(part), "{error}");
        }
        options.sslmode(SslMode::VerifyFull).check().unwrap();
    }
}
