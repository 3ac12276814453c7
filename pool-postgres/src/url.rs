//! PostgreSQL URLs and libpq's `keyword=value` texts:
//! `postgres://user:password@host:5432/db?sslmode=verify-full` or
//! `host=/run/postgresql user=me dbname=db`.
//!
//! In URLs `%20` is a space, IPv6 addresses stand in brackets, several hosts are separated by
//! commas, a host that begins with `%2F` is the folder of a Unix socket, none is the default host,
//! and a parameter overrides what stands before the `?`. In the other form, values with spaces
//! stand in single quotes, with `\'` and `\\` for a quote and a backslash. A later parameter
//! overrides an earlier one of the same name. `PG*` environment variables are not read.
//!
//! | parameter | value |
//! |---|---|
//! | `host` | names, addresses or folders of Unix sockets, with commas between |
//! | `hostaddr` | addresses to connect to instead, one for each host |
//! | `port` | one for all hosts, or one for each; default 5432 |
//! | `user`, `password`, `dbname`, `application_name`, `options` | as libpq |
//! | `passfile` | a file as libpq's `~/.pgpass` |
//! | `connect_timeout` | seconds for one host; 0 or less: no limit |
//! | `keepalives` | `1` (default) or `0` |
//! | `keepalives_idle`, `keepalives_interval` | seconds; 0: the system's |
//! | `keepalives_count` | probes; 0: the system's |
//! | `tcp_user_timeout` | milliseconds; 0: the system's |
//! | `target_session_attrs` | the words of [`TargetSessionAttrs`], such as `read-write` |
//! | `load_balance_hosts` | `disable` (default), `random` |
//! | `channel_binding` | `disable`, `prefer` (default), `require` |
//! | `sslmode` | `disable`, `allow`, `prefer` (default), `require`, `verify-ca`, `verify-full` |
//! | `ssl` | `true`: the same as `sslmode=require` |
//! | `sslnegotiation` | `postgres` (default), `direct` |
//! | `sslrootcert` | a file, or `system`, which implies `verify-full` |
//! | `sslcert`, `sslkey` | files |
//! | `sslsni` | `1` (default) or `0` |
//! | `max_size` | connections |
//! | `statement_cache_size` | statements a connection |
//! | `pgbouncer` | `true` or `false`: whether there is a pooler in transaction mode between |
//! | `fallback_application_name` | used if there is no `application_name` |
//! | `client_encoding` | `UTF8` or `auto`; it is always UTF-8 |
//! | `gssencmode` | `disable` or `prefer`; it is never used |
//! | `sslcompression` | has no effect |
//!
//! An empty value is the default of a text, a file or a list. Errors name every parameter that is
//! wrong and never show a password.

use std::net::IpAddr;
use std::num::NonZero;
use std::time::Duration;

use pool_sql::{Secret, ServerUrl, nearest};

use crate::error::{PgError, PgErrorKind};
use crate::options::{
    ChannelBinding, DEFAULT_PORT, PgHost, PgOptions, RootCert, SslMode, SslNegotiation,
    TargetSessionAttrs,
};

const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    "passfile",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
    "load_balance_hosts",
    "channel_binding",
    "sslmode",
    "ssl",
    "sslnegotiation",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslsni",
    "max_size",
    "statement_cache_size",
    "pgbouncer",
    "fallback_application_name",
    "client_encoding",
    "gssencmode",
    "sslcompression",
];

/// What other libraries know, and what to do instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("service", "write its parameters here"),
    ("servicefile", "write the service's parameters here"),
    ("sslcrl", "certificates are not checked for revocation"),
    ("sslcrldir", "certificates are not checked for revocation"),
    ("sslpassword", "the key must not be encrypted; keep its file readable for its owner only"),
    ("sslcertmode", "name a certificate with sslcert, or none"),
    ("sslkeylogfile", "TLS keys are not logged"),
    ("ssl_min_protocol_version", "TLS is always 1.2 or 1.3"),
    ("ssl_max_protocol_version", "TLS is always 1.2 or 1.3"),
    ("min_protocol_version", "the protocol is always 3.0"),
    ("max_protocol_version", "the protocol is always 3.0"),
    ("krbsrvname", "there is no GSSAPI; use SCRAM or a client certificate"),
    ("gsslib", "there is no GSSAPI; use SCRAM or a client certificate"),
    ("gssdelegation", "there is no GSSAPI; use SCRAM or a client certificate"),
    ("replication", "a replication connection does not belong in a pool"),
    ("requirepeer", "use a host name and sslmode=verify-full to be sure of the server"),
    ("require_auth", "use sslmode=verify-full or channel_binding=require"),
    ("scram_client_key", "write the password"),
    ("scram_server_key", "write the password"),
    ("oauth_issuer", "there is no OAuth; use SCRAM or a client certificate"),
    ("oauth_client_id", "there is no OAuth; use SCRAM or a client certificate"),
    ("oauth_client_secret", "there is no OAuth; use SCRAM or a client certificate"),
    ("oauth_scope", "there is no OAuth; use SCRAM or a client certificate"),
    ("connection_limit", "write max_size"),
    ("pool_timeout", "set it where the pool is built"),
    ("schema", "write options=-csearch_path=name"),
    ("search_path", "write options=-csearch_path=name"),
    ("statement_timeout", "write options=-cstatement_timeout=time"),
];

/// The parameters in their order, and what is wrong with the text around them.
#[derive(Default)]
struct Parameters {
    pairs: Vec<(String, String)>,
    faults: Vec<String>,
}

/// The options under way: some parameters count together.
#[derive(Default)]
struct Draft {
    options: PgOptions,
    host: String,
    hostaddr: String,
    port: String,
    sslmode: Option<SslMode>,
    fallback_application_name: Option<String>,
}

/// Of a URL or a `keyword=value` text. The error names all that is wrong, without the password.
pub(crate) fn parse(text: &str) -> Result<PgOptions, PgError> {
    let rest =
        ["postgresql://", "postgres://"].iter().find_map(|scheme| text.trim().strip_prefix(scheme));
    let Parameters { pairs, mut faults } = match rest {
        Some(rest) => of_url(rest),
        None => of_words(text),
    };
    let mut draft = Draft::default();
    for (name, value) in pairs {
        if let Err(expected) = draft.apply(&name, &value) {
            faults.push(format!("{}: {expected}", shown(&name, &value)));
        }
    }
    let options = draft.finish(&mut faults);
    if faults.is_empty() {
        return Ok(options);
    }
    let text = format!("invalid PostgreSQL URL: {}", faults.join("; "));
    Err(PgError::text(PgErrorKind::Config, text))
}

/// The parameter as errors show it. What is no known name may be a piece of a password.
fn shown(name: &str, value: &str) -> String {
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    match name {
        // A whole URL may be in the second, and the rest of an unencoded password in the third.
        "password" | "dbname" | "port" => name.into(),
        name if KNOWN.contains(&name) => format!("{name}={value}"),
        name if !name.is_empty() && name.to_ascii_lowercase().chars().all(is_word) => name.into(),
        _ => "a parameter that is no word".into(),
    }
}

fn of_url(rest: &str) -> Parameters {
    let mut found = Parameters::default();
    let url = match ServerUrl::split(rest) {
        Ok(url) => url,
        Err(fault) => {
            found.faults.push(fault.into());
            return found;
        }
    };
    let (hosts, ports) = split_hosts(url.hosts).unwrap_or_else(|fault| {
        found.faults.push(fault.into());
        Default::default()
    });
    let before = [
        ("user", url.user),
        ("password", url.password),
        ("host", &*hosts),
        ("port", &*ports),
        ("dbname", url.database),
    ];
    for (name, value) in before.into_iter().filter(|(_, value)| !value.is_empty()) {
        found.decoded(name, value);
    }
    for parameter in url.parameters() {
        match parameter {
            Ok((name, value)) => found.decoded(name, value),
            Err(fault) => found.faults.push(fault.into()),
        }
    }
    found
}

impl Parameters {
    /// Takes a parameter in which characters may be percent-encoded.
    fn decoded(&mut self, name: &str, value: &str) {
        let plain = ServerUrl::decode(name).unwrap_or_default();
        match ServerUrl::decode(value) {
            Ok(value) => self.pairs.push((plain, value)),
            Err(fault) => self.faults.push(format!("{}: {fault}", shown(&plain, "..."))),
        }
    }
}

/// The hosts and the ports, each with commas between.
fn split_hosts(list: &str) -> Result<(String, String), &'static str> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for host in list.split(',') {
        let (host, port) = ServerUrl::split_host(host)?;
        hosts.push(host);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

fn of_words(text: &str) -> Parameters {
    let mut found = Parameters::default();
    let mut rest = text.trim_start();
    let is_url = rest.split_once("://").is_some_and(|(scheme, _)| {
        scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    if is_url || rest.is_empty() {
        found.faults.push("want postgres://user@host/database, or host=.. user=..".into());
        return found;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            // It is not shown: it may be the rest of a password.
            let before =
                found.pairs.last().map(|(name, _)| format!(" after {}", shown(name, "..")));
            found.faults.push(format!(
                "a word without ={}: want values with spaces in single quotes",
                before.unwrap_or_default()
            ));
            return found;
        };
        let Some((value, after)) = word(value.trim_start()) else {
            found.faults.push(format!("{}: want a quote at its end", shown(name, "..")));
            return found;
        };
        found.pairs.push((name.into(), value));
        rest = after.trim_start();
    }
    found
}

/// The value at the beginning of the text, and what follows it. `None`: no quote ends it.
fn word(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut chars = text[usize::from(quoted)..].chars();
    let mut value = String::new();
    loop {
        let rest = chars.as_str();
        match chars.next() {
            None => return (!quoted).then_some((value, "")),
            Some('\'') if quoted => return Some((value, chars.as_str())),
            Some(c) if !quoted && c.is_whitespace() => return Some((value, rest)),
            Some('\\') => value.extend(chars.next()),
            Some(c) => value.push(c),
        }
    }
}

impl Draft {
    /// Sets what one parameter says, or tells what would be right.
    fn apply(&mut self, name: &str, value: &str) -> Result<(), String> {
        let options = &mut self.options;
        let text = (!value.is_empty()).then(|| value.to_owned());
        let path = text.clone().map(Into::into);
        match name {
            "host" => self.host = value.into(),
            "hostaddr" => self.hostaddr = value.into(),
            "port" => self.port = value.into(),
            "user" => options.user = text,
            "password" => options.password = text.map(Secret::from),
            // Others expand it; here its password would get into every error.
            "dbname" if value.contains("://") => {
                return Err("want a name; a URL stands alone".into());
            }
            "dbname" => options.dbname = text,
            "application_name" => options.application_name = text,
            "fallback_application_name" => self.fallback_application_name = text,
            "options" => options.options = text,
            "passfile" => options.passfile = path,
            "connect_timeout" => options.connect_timeout = time(value, Duration::from_secs)?,
            "keepalives" => options.keepalives = flag(value)?,
            "keepalives_idle" => options.keepalives_idle = time(value, Duration::from_secs)?,
            "keepalives_interval" => {
                options.keepalives_interval = time(value, Duration::from_secs)?
            }
            "keepalives_count" => {
                let probes = number(value, "a number of probes")?;
                options.keepalives_count = (probes > 0).then_some(probes);
            }
            "tcp_user_timeout" => options.tcp_user_timeout = time(value, Duration::from_millis)?,
            "target_session_attrs" => {
                options.target_session_attrs = TargetSessionAttrs::parse(value)?;
            }
            "load_balance_hosts" => {
                options.load_balance_hosts = match value {
                    "disable" => false,
                    "random" => true,
                    _ => return Err("want disable or random".into()),
                }
            }
            "channel_binding" => options.channel_binding = ChannelBinding::parse(value)?,
            "sslmode" => self.sslmode = Some(SslMode::parse(value)?),
            "ssl" if value == "true" => self.sslmode = Some(SslMode::Require),
            "ssl" => return Err("want true, or sslmode instead".into()),
            "sslnegotiation" => options.sslnegotiation = SslNegotiation::parse(value)?,
            "sslsni" => options.sslsni = flag(value)?,
            "sslrootcert" if value == "system" => options.sslrootcert = Some(RootCert::System),
            "sslrootcert" => options.sslrootcert = path.map(RootCert::File),
            "sslcert" => options.sslcert = path,
            "sslkey" => options.sslkey = path,
            "max_size" => {
                let connections: NonZero<u32> = number(value, "a number of connections from 1 on")?;
                options.max_size = Some(connections.get());
            }
            "statement_cache_size" => {
                options.statement_cache = Some(number(value, "a number of statements")?);
            }
            "pgbouncer" => options.pooler = Some(flag(value)?),
            "client_encoding" => match value.to_ascii_lowercase().as_str() {
                "utf8" | "utf-8" | "unicode" | "auto" => {}
                _ => return Err("want UTF8 or auto; it is always UTF-8".into()),
            },
            "gssencmode" => match value {
                "disable" | "prefer" => {}
                "require" => return Err("not supported: there is no GSSAPI; use sslmode".into()),
                _ => return Err("want disable or prefer".into()),
            },
            "sslcompression" => {}
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn finish(self, faults: &mut Vec<String>) -> PgOptions {
        let mut options = self.options;
        match combine(&self.host, &self.hostaddr, &self.port) {
            Ok(hosts) => options = options.hosts(hosts),
            Err(fault) => faults.push(fault),
        }
        options.application_name = options.application_name.or(self.fallback_application_name);
        options.sslmode = match (self.sslmode, &options.sslrootcert) {
            (Some(mode), _) => mode,
            (None, Some(RootCert::System)) => SslMode::VerifyFull,
            (None, _) => options.sslmode,
        };
        faults.extend(options.conflicts().into_iter().map(Into::into));
        options
    }
}

/// libpq's rules: as many addresses as hosts, one port for all or as many as those, and what is
/// left empty is the default.
fn combine(hosts: &str, addresses: &str, ports: &str) -> Result<Vec<PgHost>, String> {
    let list = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    let (names, ips, numbers) = (list(hosts), list(addresses), list(ports));
    let count = if addresses.is_empty() { names.len() } else { ips.len() };
    if !addresses.is_empty() && !hosts.is_empty() && names.len() != count {
        let names = names.len();
        return Err(format!("hostaddr: want as many as hosts ({names}), there are {count}"));
    }
    if numbers.len() != 1 && numbers.len() != count {
        let numbers = numbers.len();
        return Err(format!("port: want one, or as many as hosts ({count}), there are {numbers}"));
    }
    let at = |list: &[String], i: usize| list.get(i).cloned().unwrap_or_default();
    let mut combined = Vec::with_capacity(count);
    for i in 0..count {
        let (name, ip) = (at(&names, i), at(&ips, i));
        let port = match &numbers[if numbers.len() == 1 { 0 } else { i }] {
            port if port.is_empty() => DEFAULT_PORT,
            port => port.parse::<NonZero<u16>>().map_err(|_| "port: want 1 to 65535")?.get(),
        };
        if name.starts_with('@') {
            return Err("host: abstract sockets are not supported; want a folder".into());
        } else if !name.starts_with('/') && name.contains(['@', '/']) {
            // A piece of a URL, and perhaps of its password.
            return Err("host: want a name, an address, or a folder that begins with /".into());
        }
        combined.push(match ip.as_str() {
            "" => PgHost::new(&name, port),
            ip => {
                let ip: IpAddr = ip.parse().map_err(|_| "hostaddr: want IP addresses")?;
                match name.is_empty() {
                    true => PgHost { port, ..ip.into() },
                    false => PgHost::new(&name, port).hostaddr(ip),
                }
            }
        });
    }
    Ok(combined)
}

fn unknown(name: &str) -> String {
    if let Some((_, instead)) = UNSUPPORTED.iter().find(|(known, _)| *known == name) {
        return format!("not supported: {instead}");
    }
    let nearest = nearest(name, KNOWN).unwrap_or_default();
    format!("no such parameter; did you mean {nearest}?")
}

fn number<T: std::str::FromStr>(value: &str, what: &str) -> Result<T, String> {
    value.trim().parse().map_err(|_| format!("want {what}"))
}

/// A time, or the default for what is not above zero.
fn time(value: &str, unit: fn(u64) -> Duration) -> Result<Option<Duration>, String> {
    let what = match unit(1).as_secs() {
        1 => "a whole number of seconds",
        _ => "a whole number of milliseconds",
    };
    let count: i64 = number(value, what)?;
    Ok(u64::try_from(count).ok().filter(|count| *count > 0).map(unit))
}

fn flag(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" => Ok(true),
        "0" | "false" | "off" => Ok(false),
        _ => Err("want 1 or 0, true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Address;

    fn hosts(text: &str) -> Vec<String> {
        parse(text).unwrap().hosts.iter().map(PgHost::to_string).collect()
    }

    fn fault(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    fn password(options: &PgOptions) -> Option<&str> {
        options.password.as_ref().map(|password| password.expose())
    }

    #[test]
    fn a_url_and_a_keyword_text_say_the_same() {
        let texts = [
            "postgres://me:a%27b%20c@h1:1,[::1]:2/db%2F1?application_name=x%3Dy&connect_timeout=3",
            "postgresql:///db%2f1?host=h1,::1&port=1,2&user=me&password=a%27b%20c\
             &application_name=x=y&connect_timeout=3",
            "host=h1,::1 port = 1,2  user='me' password='a\\'b c' dbname=db/1 \
             application_name=x=y connect_timeout= 3 ",
            "host=h1,::1 port=1,2 user=me password=a\\'b\\ c dbname=db/1 \
             application_name='x=y'connect_timeout=3",
        ];
        for (at, text) in texts.into_iter().enumerate() {
            let options = parse(text).unwrap();
            assert_eq!(options.name(), "postgres://me@h1:1,[::1]:2/db/1", "{at}");
            assert_eq!(password(&options), Some("a'b c"), "{at}");
            assert_eq!(options.application_name.as_deref(), Some("x=y"), "{at}");
            assert_eq!(options.connect_timeout, Some(Duration::from_secs(3)), "{at}");
        }
    }

    #[test]
    fn hosts_and_ports_are_combined_as_libpq_does() {
        let local = PgHost::new("", 5432).to_string();
        for text in ["postgres://", "postgres:///", "postgres://me@/db", "user=me", "host='' port="]
        {
            assert_eq!(hosts(text), [&*local], "{text}");
        }
        assert_eq!(hosts("postgres://h/db"), ["h:5432"]);
        assert_eq!(hosts(" postgres://@h:?user=x\n"), ["h:5432"]);
        assert_eq!(hosts("postgres://%2Frun%2Fpg:1/db"), ["/run/pg:1"]);
        assert_eq!(hosts("postgres://:7?host=/run/pg"), ["/run/pg:7"]);
        assert_eq!(hosts("postgres://a,b:2,c?port=3"), ["a:3", "b:3", "c:3"]);
        assert_eq!(hosts("postgres://a,b:2"), ["a:5432", "b:2"]);
        assert_eq!(hosts("host=a,/run,c port=1,,3"), ["a:1", "/run:5432", "c:3"]);
        assert_eq!(hosts("postgres://?hostaddr=::1,10.0.0.1&port=9"), ["[::1]:9", "10.0.0.1:9"]);
        let both = parse("host=db.example hostaddr=10.0.0.1").unwrap();
        let expected =
            Address::Tcp { name: Some("db.example".into()), ip: Some("10.0.0.1".parse().unwrap()) };
        assert_eq!(both.hosts, [PgHost { address: expected, port: 5432 }]);
        assert!(fault("host=a,b hostaddr=::1").contains("hostaddr: want as many as hosts (2)"));
        assert!(fault("host=a,b,c port=1,2").contains("port: want one, or as many as hosts (3)"));
        assert!(fault("postgres://a:1,b:2?host=c").contains("port: want one, or as many"));
    }

    #[test]
    fn every_parameter_arrives() {
        let options = parse(
            "host=h options='-c geqo=off' passfile=/p keepalives=0 keepalives_idle=5 \
             keepalives_interval=6 keepalives_count=7 tcp_user_timeout=8 \
             target_session_attrs=prefer-standby load_balance_hosts=random \
             channel_binding=require sslmode=verify-ca sslnegotiation=direct sslrootcert=/r \
             sslcert=/c sslkey=/k sslsni=0 max_size=9 statement_cache_size=10 pgbouncer=true \
             sslcompression=0 gssencmode=prefer client_encoding=utf-8 \
             fallback_application_name=f",
        )
        .unwrap();
        assert_eq!(options.options.as_deref(), Some("-c geqo=off"));
        assert_eq!(options.passfile.as_deref(), Some("/p".as_ref()));
        assert!(!options.keepalives && options.load_balance_hosts && !options.sslsni);
        assert_eq!(options.keepalives_idle, Some(Duration::from_secs(5)));
        assert_eq!(options.keepalives_interval, Some(Duration::from_secs(6)));
        assert_eq!(options.keepalives_count, Some(7));
        assert_eq!(options.tcp_user_timeout, Some(Duration::from_millis(8)));
        assert_eq!(options.target_session_attrs, TargetSessionAttrs::PreferStandby);
        assert_eq!(options.channel_binding, ChannelBinding::Require);
        assert_eq!(options.sslmode, SslMode::VerifyCa);
        assert_eq!(options.sslnegotiation, SslNegotiation::Direct);
        assert_eq!(options.sslrootcert, Some(RootCert::File("/r".into())));
        assert_eq!(options.sslcert.as_deref(), Some("/c".as_ref()));
        assert_eq!(options.sslkey.as_deref(), Some("/k".as_ref()));
        assert_eq!((options.max_size, options.statement_cache), (Some(9), Some(10)));
        assert_eq!(options.pooler, Some(true));
        assert_eq!(options.application_name.as_deref(), Some("f"));
        assert_eq!(parse("connect_timeout=-1").unwrap().connect_timeout, None);
        assert_eq!(parse("ssl=true").unwrap().sslmode, SslMode::Require);
        for name in KNOWN {
            let fault = parse(&format!("{name}=x")).err().map(|error| error.to_string());
            assert!(!fault.is_some_and(|fault| fault.contains("no such")), "{name}");
        }
    }

    #[test]
    fn every_wrong_parameter_is_named_with_what_would_be_right() {
        let error = fault(
            "postgres://h:99999/db?sslmod=x&sslmode=verify&connect_timeout=soon&sslcrl=/x\
             &keepalives=2&gssencmode=require&max_size=0&frobnicate=1&client_encoding=latin1\
             &dbname=%zz&alone",
        );
        for part in [
            "sslmod: no such parameter; did you mean sslmode?",
            "sslmode=verify: want one of disable, allow",
            "connect_timeout=soon: want a whole number of seconds",
            "sslcrl: not supported: certificates are not checked",
            "keepalives=2: want 1 or 0",
            "gssencmode=require: not supported",
            "max_size=0: want a number of connections from 1 on",
            "frobnicate: no such parameter;",
            "client_encoding=latin1: want UTF8",
            "dbname: want two hexadecimal digits",
            "a parameter without =",
            "port: want 1 to 65535",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        for (url, part) in [
            ("postgres://[::1", "want a ]"),
            ("postgres://[]", "want an IPv6 address"),
            ("postgres://[::1]z", "nothing but :port"),
            ("postgres://::1/db", "want IPv6 addresses in []"),
            ("postgres://a%00b", "want no %00"),
            ("host=@abstract", "abstract sockets"),
            ("hostaddr=localhost", "hostaddr: want IP addresses"),
            ("user='me", "user=..: want a quote at its end"),
            ("", "want postgres://"),
        ] {
            assert!(fault(url).contains(part), "{part} in {}", fault(url));
        }
    }

    #[test]
    fn tls_settings_that_contradict_each_other_are_an_error_as_in_libpq() {
        assert_eq!(parse("sslrootcert=system").unwrap().sslmode, SslMode::VerifyFull);
        assert!(fault("sslrootcert=system sslmode=require").contains("want sslmode=verify-full"));
        assert!(fault("sslnegotiation=direct").contains("want sslmode=require"));
        assert!(parse("sslnegotiation=direct sslmode=require").is_ok());
    }

    #[test]
    fn an_at_sign_in_user_or_password_needs_no_encoding() {
        let options = parse("postgres://me@server:p@ss:word@host/db").unwrap();
        assert_eq!(options.user.as_deref(), Some("me@server"));
        assert_eq!(password(&options), Some("p@ss:word"));
        assert_eq!(options.name(), "postgres://me@server@host:5432/db");
    }

    #[test]
    fn no_error_shows_a_password() {
        for text in [
            "postgres://me:hunter2@h:x/db?sslmode=hunter",
            "postgres://me:hunter2%zz@h/db",
            "postgres://me:hunter2/x@h/db",
            "postgres://me:5/hunter2@h/db",
            "postgres://me:x?hunter2@h/db?y=1",
            "postgres://me:x?hunter2@h/db",
            "postgres://me:x?hunter2=y@h/db",
            "mysql://me:hunter2@h/db?a=b",
            "postgre://me:hunter2@h/db?a=b",
            "host=postgres://me:hunter2@h/db?a=b",
            "pasword=hunter2",
            "sslpassword=hunter2",
            "password=hunter1 hunter2",
            "password='hunter2",
            "password=x Hunter2=y",
            "postgres://h?password=hunter2%zz",
            "postgres://h?password%zz=hunter2",
            "dbname=postgres://me:hunter2@h/db",
        ] {
            let error = fault(text);
            assert!(!error.to_lowercase().contains("hunter2"), "{text}: {error}");
        }
    }
}
