//! MySQL URLs: `mysql://user:password@host:3306/db?ssl-mode=verify-identity`, or `mariadb://..`.
//!
//! `%20` is a space, IPv6 addresses stand in brackets, no host is `localhost`, always by TCP, and a
//! parameter overrides what stands before the `?`. A later parameter overrides an earlier one of
//! the same name. In the names of parameters `_` and `-` are the same.
//!
//! | parameter | value |
//! |---|---|
//! | `host`, `port`, `user`, `password`, `database` | as before the `?` |
//! | `socket` | the file of a Unix socket, instead of host and port |
//! | `ssl-mode` (`sslmode`) | `disabled`, `preferred` (default), `required`, `verify-ca` (default with `ssl-ca`), `verify-identity`; in any case, with `_` or `-`, and libpq's words |
//! | `ssl-ca` | a file, or `system`, which implies `verify-identity` |
//! | `ssl-cert`, `ssl-key` | files |
//! | `connect-timeout` | seconds; 0: no limit but the pool's |
//! | `tcp-keepalive` | seconds without traffic until TCP probes (default 60); 0: never |
//! | `tcp-nodelay` | `true` (default) or `false` |
//! | `compression` | `false` (default); `zlib` or `true` |
//! | `charset` | `utf8mb4`; it is always that |
//! | `collation` | one of utf8mb4, such as `utf8mb4_0900_ai_ci` |
//! | `time-zone` | `+00:00`, or a name; the `+` may be written as it is, or as `%2B` |
//! | `sql-mode` | words with commas between |
//! | `found-rows` (`client-found-rows`) | `true`: an `UPDATE` counts what it found; default `false` |
//! | `application-name` | `program_name` among the connection's attributes |
//! | `max-size` | connections |
//! | `statement-cache-size` | statements a connection |
//!
//! An empty value is the default. Errors name every parameter that is wrong and never show a
//! password.

use std::num::NonZero;
use std::str::FromStr;
use std::time::Duration;

use pool_sql::{Secret, ServerUrl, nearest};

use crate::error::{MySqlError, MySqlErrorKind};
use crate::options::{MySqlOptions, RootCert, SslMode};

const KNOWN: &[&str] = &[
    "host",
    "port",
    "user",
    "password",
    "database",
    "socket",
    "ssl-mode",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "connect-timeout",
    "tcp-keepalive",
    "tcp-nodelay",
    "compression",
    "charset",
    "collation",
    "time-zone",
    "sql-mode",
    "found-rows",
    "application-name",
    "max-size",
    "statement-cache-size",
];

/// What other libraries know, in lower case and with dashes, and what to do instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    // mysql_async
    ("pool-min", "set min_size where the pool is built"),
    ("pool-max", "write max-size"),
    ("prefer-socket", "a socket is used if it is named: write socket=path"),
    ("stmt-cache-size", "write statement-cache-size"),
    ("require-ssl", "write ssl-mode=required"),
    ("verify-ca", "write ssl-mode=verify-ca"),
    ("verify-identity", "write ssl-mode=verify-identity"),
    ("built-in-roots", "write ssl-ca=system, or ssl-ca=file"),
    ("conn-ttl", "set max_lifetime where the pool is built"),
    ("abs-conn-ttl", "set max_lifetime where the pool is built"),
    ("abs-conn-ttl-jitter", "max_lifetime always has a jitter"),
    ("inactive-connection-ttl", "set idle_timeout where the pool is built"),
    ("ttl-check-interval", "idle connections end in time by themselves"),
    ("reset-connection", "set the reset level where the pool is built"),
    ("wait-timeout", "the server's is read, and stayed below"),
    ("max-allowed-packet", "the server's is read"),
    ("secure-auth", "the passwords of old servers are never sent"),
    ("enable-cleartext-plugin", "passwords are not sent in clear text"),
    // The servers' own clients, PyMySQL, mysqlclient
    ("unix-socket", "write socket=path"),
    ("keepalives", "write tcp-keepalive=seconds"),
    ("init-command", "give it to set_up of MySqlOptions"),
    ("default-character-set", "it is always utf8mb4; write collation=name for another order"),
    ("use-unicode", "texts are always Unicode"),
    ("autocommit", "it is always on; transactions are for what belongs together"),
    ("local-infile", "the server does not get to read files from here"),
    ("allow-local-infile", "the server does not get to read files from here"),
    ("allowallfiles", "the server does not get to read files from here"),
    ("read-default-file", "no my.cnf is read; write its values here"),
    ("defaults-file", "no my.cnf is read; write its values here"),
    ("ssl", "write ssl-mode=required, verify-ca or verify-identity"),
    ("ssl-verify-server-cert", "write ssl-mode=verify-identity"),
    ("ssl-check-hostname", "write ssl-mode=verify-identity"),
    ("ssl-verify-identity", "write ssl-mode=verify-identity"),
    ("ssl-verify-cert", "write ssl-mode=verify-ca"),
    ("ssl-capath", "write ssl-ca=file"),
    ("ssl-crl", "certificates are not checked for revocation"),
    ("ssl-crlpath", "certificates are not checked for revocation"),
    ("ssl-cipher", "the ciphers are rustls' own"),
    ("tls-version", "TLS is always 1.2 or 1.3"),
    ("tls-ciphersuites", "the ciphers are rustls' own"),
    ("compress", "write compression=true"),
    ("compression-algorithms", "write compression=zlib"),
    ("zstd-compression-level", "there is zlib only: write compression=true"),
    ("read-timeout", "give the operation a deadline, tokio's timeout for instance"),
    ("write-timeout", "give the operation a deadline, tokio's timeout for instance"),
    ("bind-address", "the system chooses the address on this side"),
    ("default-auth", "the server says how; the password serves for all that are supported"),
    // SQLAlchemy
    ("pool-size", "write max-size"),
    ("max-overflow", "write max-size"),
    ("pool-recycle", "set max_lifetime where the pool is built; wait_timeout is stayed below"),
    ("pool-pre-ping", "set the validation where the pool is built"),
    // Prisma
    ("connection-limit", "write max-size"),
    ("pool-timeout", "set acquire_timeout where the pool is built"),
    ("socket-timeout", "give the operation a deadline, tokio's timeout for instance"),
    ("sslaccept", "write ssl-mode=verify-identity for strict, required for accept_invalid_certs"),
    ("sslcert", "write ssl-ca=file for the authority, ssl-cert for a certificate of one's own"),
    ("sslidentity", "write ssl-cert=file and ssl-key=file, both in PEM"),
    ("sslpassword", "the key must not be encrypted; keep its file readable for its owner only"),
    // sqlx, and libpq's words
    ("sslca", "write ssl-ca=file"),
    ("sslkey", "write ssl-key=file"),
    ("sslrootcert", "write ssl-ca=file"),
    ("timezone", "write time-zone"),
    ("dbname", "write database, or /name after the host"),
    ("passfile", "write the password"),
    // JDBC
    ("usessl", "write ssl-mode=preferred for true, disabled for false"),
    ("requiressl", "write ssl-mode=required"),
    ("verifyservercertificate", "write ssl-mode=verify-ca"),
    ("trustcertificatekeystoreurl", "write ssl-ca=file, in PEM"),
    ("clientcertificatekeystoreurl", "write ssl-cert=file and ssl-key=file, both in PEM"),
    ("allowpublickeyretrieval", "the key is asked for where there is no TLS; better use TLS"),
    ("servertimezone", "write time-zone"),
    ("connectiontimezone", "write time-zone"),
    ("autoreconnect", "the pool replaces broken connections by itself"),
    ("characterencoding", "it is always utf8mb4; write collation=name for another order"),
    ("connectioncollation", "write collation"),
    ("useunicode", "texts are always Unicode"),
    ("connecttimeout", "write connect-timeout, in seconds"),
    ("sockettimeout", "give the operation a deadline, tokio's timeout for instance"),
    ("sessionvariables", "give SET statements to set_up of MySqlOptions"),
    ("useaffectedrows", "it is so by default; write found-rows=true for the other way"),
    ("allowmultiqueries", "a text may have several statements; values go as parameters"),
    ("rewritebatchedstatements", "use the batch methods of the pool"),
    ("cacheprepstmts", "write statement-cache-size"),
    ("prepstmtcachesize", "write statement-cache-size"),
    ("useserverprepstmts", "statements with parameters are always prepared"),
    ("zerodatetimebehavior", "a zero date is read as it is; NO_ZERO_DATE in sql-mode forbids them"),
    // Go
    ("tls", "write ssl-mode"),
    ("timeout", "write connect-timeout, in seconds"),
    ("readtimeout", "give the operation a deadline, tokio's timeout for instance"),
    ("writetimeout", "give the operation a deadline, tokio's timeout for instance"),
    ("parsetime", "the type that a value is read as decides"),
    ("loc", "write time-zone"),
    ("clientfoundrows", "write found-rows"),
    ("multistatements", "a text may have several statements; values go as parameters"),
    ("interpolateparams", "values go as parameters"),
    ("maxallowedpacket", "the server's is read"),
    ("allownativepasswords", "they are always allowed"),
    ("allowcleartextpasswords", "passwords are not sent in clear text"),
];

/// The parameters in their order, and what is wrong with the text around them.
#[derive(Default)]
struct Parameters {
    pairs: Vec<(String, String)>,
    faults: Vec<String>,
}

/// The options that a URL says.
///
/// ```
/// let options = pool_mysql::url::parse("mysql://me:secret@db.example/shop?ssl-mode=required")?;
/// let wrong = pool_mysql::url::parse("mysql://db.example/shop?sslmood=required").unwrap_err();
/// assert!(wrong.to_string().contains("sslmood: no such parameter; did you mean ssl-mode?"));
/// # let _ = options;
/// # Ok::<(), pool_mysql::MySqlError>(())
/// ```
///
/// # Errors
///
/// Names all that is wrong, without the password.
pub fn parse(url: &str) -> Result<MySqlOptions, MySqlError> {
    let rest = ["mysql://", "mariadb://"].iter().find_map(|scheme| url.trim().strip_prefix(scheme));
    let Parameters { pairs, mut faults } = match rest {
        Some(rest) => pieces(rest),
        None => Parameters {
            faults: vec!["want mysql://user@host/database".into()],
            ..Default::default()
        },
    };
    let mut options = MySqlOptions::default();
    for (name, value) in pairs {
        if let Err(expected) = apply(&mut options, &name, &value) {
            faults.push(format!("{}: {expected}", shown(&name, &value)));
        }
    }
    faults.extend(options.conflicts());
    if faults.is_empty() {
        return Ok(options);
    }
    let text = format!("invalid MySQL URL: {}", faults.join("; "));
    Err(MySqlError::text(MySqlErrorKind::Config, text))
}

/// The parameter as errors show it. What is no known name may be a piece of a password.
fn shown(name: &str, value: &str) -> String {
    let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
    match name {
        // The rest of an unencoded password may be in these, or a whole URL.
        "host" | "port" | "user" | "password" | "database" => name.into(),
        name if KNOWN.contains(&name) && value.contains('@') => name.into(),
        name if KNOWN.contains(&name) => format!("{name}={value}"),
        name if !name.is_empty() && name.to_ascii_lowercase().chars().all(is_word) => name.into(),
        _ => "a parameter that is no word".into(),
    }
}

fn pieces(rest: &str) -> Parameters {
    let mut found = Parameters::default();
    let url = match ServerUrl::split(rest) {
        Ok(url) => url,
        Err(fault) => {
            found.faults.push(fault.into());
            return found;
        }
    };
    let split = match url.hosts.contains(',') {
        true => Err("host: want one; there is no choice among several"),
        false => ServerUrl::split_host(url.hosts),
    };
    let (host, port) = split.unwrap_or_else(|fault| {
        found.faults.push(fault.into());
        Default::default()
    });
    let before = [
        ("user", url.user),
        ("password", url.password),
        ("host", host),
        ("port", port),
        ("database", url.database),
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
        let name = canonical(&ServerUrl::decode(name).unwrap_or_default());
        match ServerUrl::decode(value) {
            Ok(value) => self.pairs.push((name, value)),
            Err(fault) => self.faults.push(format!("{}: {fault}", shown(&name, "..."))),
        }
    }
}

/// The name that it goes by here.
fn canonical(name: &str) -> String {
    let name = name.replace('_', "-");
    match name.as_str() {
        "sslmode" => "ssl-mode".into(),
        "client-found-rows" => "found-rows".into(),
        _ => name,
    }
}

/// Sets what one parameter says, or tells what would be right.
fn apply(options: &mut MySqlOptions, name: &str, value: &str) -> Result<(), String> {
    if !KNOWN.contains(&name) {
        return Err(unknown(name));
    }
    let default = MySqlOptions::default;
    let text = (!value.is_empty()).then(|| value.to_owned());
    let path = text.clone().map(Into::into);
    match name {
        "host" => options.host = text.unwrap_or_else(|| default().host),
        "port" if value.is_empty() => options.port = default().port,
        "port" => options.port = number::<NonZero<u16>>(value, "1 to 65535")?.get(),
        "user" => options.user = text,
        "password" => options.password = text.map(Secret::from),
        "database" if value.contains("://") => return Err("want a name".into()),
        "database" => options.database = text,
        "socket" => options.socket = path,
        "ssl-mode" => options.ssl_mode = text.map(|word| SslMode::parse(&word)).transpose()?,
        "ssl-ca" if value == "system" => options.ssl_ca = Some(RootCert::System),
        "ssl-ca" => options.ssl_ca = path.map(RootCert::File),
        "ssl-cert" => options.ssl_cert = path,
        "ssl-key" => options.ssl_key = path,
        "connect-timeout" => options.connect_timeout = seconds(value, default().connect_timeout)?,
        "tcp-keepalive" => options.tcp_keepalive = seconds(value, default().tcp_keepalive)?,
        "tcp-nodelay" => options.tcp_nodelay = flag(value, default().tcp_nodelay)?,
        "compression" => {
            options.compression = match value.to_ascii_lowercase().as_str() {
                "zlib" => true,
                "none" => false,
                "zstd" => return Err("not supported: there is zlib only".into()),
                other => flag(other, false).map_err(|_| "want zlib or true, or false")?,
            }
        }
        "charset" => match value.to_ascii_lowercase().as_str() {
            "" | "utf8mb4" => {}
            "utf8" | "utf8mb3" => {
                return Err("want utf8mb4; what MySQL calls utf8 has no room for emoji".into());
            }
            _ => return Err("want utf8mb4; texts are Unicode here, and tables may differ".into()),
        },
        "collation" => options.collation = text,
        "time-zone" => options.time_zone = text,
        "sql-mode" => options.sql_mode = text,
        "found-rows" => options.found_rows = flag(value, false)?,
        "application-name" => options.application_name = text,
        "max-size" => {
            let what = "a number of connections from 1 on";
            let size = text.map(|text| number::<NonZero<u32>>(&text, what)).transpose()?;
            options.max_size = size.map(NonZero::get);
        }
        "statement-cache-size" => {
            options.statement_cache =
                text.map(|text| number(&text, "a number of statements")).transpose()?;
        }
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn unknown(name: &str) -> String {
    let plain = name.to_ascii_lowercase();
    if let Some((_, instead)) = UNSUPPORTED.iter().find(|(known, _)| *known == plain) {
        return format!("not supported: {instead}");
    }
    let nearest = nearest(&plain, KNOWN).unwrap_or_default();
    format!("no such parameter; did you mean {nearest}?")
}

fn number<T: FromStr>(value: &str, what: &str) -> Result<T, String> {
    value.trim().parse().map_err(|_| format!("want {what}"))
}

/// A time; none for zero.
fn seconds(value: &str, default: Option<Duration>) -> Result<Option<Duration>, String> {
    if value.is_empty() {
        return Ok(default);
    }
    let count: u64 = number(value, "a whole number of seconds")?;
    Ok((count > 0).then(|| Duration::from_secs(count)))
}

fn flag(value: &str, default: bool) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "" => Ok(default),
        "1" | "true" | "on" => Ok(true),
        "0" | "false" | "off" => Ok(false),
        _ => Err("want 1 or 0, true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    fn password(options: &MySqlOptions) -> Option<&str> {
        options.password.as_ref().map(Secret::expose)
    }

    #[test]
    fn every_part_of_a_url_is_optional() {
        for (url, name) in [
            ("mysql://", "mysql://localhost:3306"),
            (" mariadb:// \n", "mysql://localhost:3306"),
            ("mysql:///db", "mysql://localhost:3306/db"),
            ("mysql://me@/", "mysql://me@localhost:3306"),
            ("mysql://h", "mysql://h:3306"),
            ("mysql://h:", "mysql://h:3306"),
            ("mysql://:7", "mysql://localhost:7"),
            ("mysql://me@[::1]:2/db", "mysql://me@[::1]:2/db"),
            ("mysql://h?user=me&port=5&database=d&host=::1", "mysql://me@[::1]:5/d"),
            ("mysql://me@h/db?socket=/run/my.sock", "mysql://me@unix(/run/my.sock)/db"),
            ("mysql://m%40e@h/d%2Fb", "mysql://m@e@h:3306/d/b"),
        ] {
            assert_eq!(parse(url).unwrap().name(), name, "{url}");
        }
        let options = parse("mysql://me:a%27b%20c%2F@h").unwrap();
        assert_eq!(password(&options), Some("a'b c/"));
        assert_eq!(password(&parse("mysql://me:@h").unwrap()), None);
    }

    #[test]
    fn every_parameter_arrives() {
        let options = parse(
            "mysql://h?ssl_mode=VERIFY_CA&ssl-ca=/r&ssl-cert=/c&ssl_key=/k&connect-timeout=3\
             &tcp-keepalive=4&tcp-nodelay=off&compression=zlib&charset=UTF8MB4\
             &collation=utf8mb4_bin&time-zone=+01:00&sql_mode=ANSI,TRADITIONAL&found-rows=1\
             &application-name=x%3Dy&max-size=9&statement_cache_size=0",
        )
        .unwrap();
        assert_eq!(options.ssl_mode, Some(SslMode::VerifyCa));
        assert_eq!(options.ssl_ca, Some(RootCert::File("/r".into())));
        assert_eq!(options.ssl_cert.as_deref(), Some("/c".as_ref()));
        assert_eq!(options.ssl_key.as_deref(), Some("/k".as_ref()));
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(3)));
        assert_eq!(options.tcp_keepalive, Some(Duration::from_secs(4)));
        assert!(!options.tcp_nodelay && options.compression && options.found_rows);
        assert_eq!(options.collation.as_deref(), Some("utf8mb4_bin"));
        assert_eq!(options.time_zone.as_deref(), Some("+01:00"));
        assert_eq!(options.sql_mode.as_deref(), Some("ANSI,TRADITIONAL"));
        assert_eq!(options.application_name.as_deref(), Some("x=y"));
        assert_eq!((options.max_size, options.statement_cache), (Some(9), Some(0)));
        for url in ["mysql://h?sslmode=required", "mysql://h?ssl-mode=Required"] {
            assert_eq!(parse(url).unwrap().ssl_mode, Some(SslMode::Required), "{url}");
        }
        assert!(parse("mysql://h?client_found_rows=true").unwrap().found_rows);
        assert!(parse("mysql://h?compression=true").unwrap().compression);
        assert!(!parse("mysql://h?compression=off").unwrap().compression);
        assert_eq!(parse("mysql://h?tcp-keepalive=0").unwrap().tcp_keepalive, None);
        let system = parse("mysql://h?ssl-ca=system").unwrap();
        assert_eq!(system.ssl_ca, Some(RootCert::System));
    }

    #[test]
    fn an_empty_value_is_the_default() {
        let default = format!("{:?}", MySqlOptions::default());
        for name in KNOWN {
            let options = parse(&format!("mysql://?{name}=")).unwrap();
            assert_eq!(format!("{options:?}"), default, "{name}");
            let fault = parse(&format!("mysql://?{name}=x y")).err().map(|error| error.to_string());
            assert!(!fault.is_some_and(|fault| fault.contains("no such")), "{name}");
        }
    }

    #[test]
    fn every_wrong_parameter_is_named_with_what_would_be_right() {
        let error = fault(
            "mysql://h:99999/db?sslmod=x&ssl-mode=verify&connect-timeout=soon&ssl-crl=/x\
             &tcp_nodelay=2&charset=utf8&max-size=0&frobnicate=1&compression=zstd\
             &database=%zz&alone&time-zone='&statement-cache-size=-1&charset=latin1&ssl-key=/k",
        );
        for part in [
            "invalid MySQL URL: ",
            "port: want 1 to 65535",
            "sslmod: no such parameter; did you mean ssl-mode?",
            "ssl-mode=verify: want one of disabled, preferred",
            "connect-timeout=soon: want a whole number of seconds",
            "ssl-crl: not supported: certificates are not checked",
            "tcp-nodelay=2: want 1 or 0",
            "charset=utf8: want utf8mb4; what MySQL calls utf8",
            "charset=latin1: want utf8mb4; texts are",
            "max-size=0: want a number of connections from 1 on",
            "frobnicate: no such parameter;",
            "compression=zstd: not supported: there is zlib only",
            "database: want two hexadecimal digits",
            "a parameter without =",
            "time-zone: want an offset",
            "statement-cache-size=-1: want a number of statements",
            "ssl-cert: want that of ssl-key",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        for (url, part) in [
            ("mysql://[::1", "want a ]"),
            ("mysql://[]", "want an IPv6 address"),
            ("mysql://[::1]z", "nothing but :port"),
            ("mysql://::1/db", "want IPv6 addresses in []"),
            ("mysql://a,b/db", "want one; there is no choice"),
            ("mysql://a%00b", "want no %00"),
            ("mysql://%2Frun%2Fmy.sock", "write socket=/path"),
            ("mysql+pymysql://h", "want mysql://user@host/database"),
            ("h/db", "want mysql://"),
            ("", "want mysql://"),
            ("mysql://?socket=/s&ssl-mode=verify-ca", "socket: there is no TLS"),
        ] {
            assert!(fault(url).contains(part), "{part} in {}", fault(url));
        }
    }

    #[test]
    fn what_other_libraries_call_it_is_known() {
        for (parameter, instead) in [
            ("pool_min=1", "set min_size"),
            ("pool_max=1", "write max-size"),
            ("prefer_socket=true", "write socket=path"),
            ("stmt_cache_size=1", "write statement-cache-size"),
            ("pool_recycle=3600", "set max_lifetime"),
            ("connection_limit=5", "write max-size"),
            ("pool_timeout=5", "set acquire_timeout"),
            ("useSSL=true", "write ssl-mode=preferred"),
            ("requireSSL=true", "write ssl-mode=required"),
            ("serverTimezone=UTC", "write time-zone"),
            ("allowPublicKeyRetrieval=true", "better use TLS"),
            ("autoReconnect=true", "replaces broken connections"),
            ("unix_socket=/s", "write socket=path"),
            ("parseTime=true", "decides"),
        ] {
            let error = fault(&format!("mysql://h?{parameter}"));
            let name = parameter.split('=').next().unwrap().replace('_', "-");
            let expected = format!("{name}: not supported: ");
            assert!(error.contains(&expected) && error.contains(instead), "{error}");
        }
        for (name, instead) in UNSUPPORTED {
            assert!(!KNOWN.contains(name) && canonical(name) == **name, "{name}");
            assert_eq!(**name, name.to_ascii_lowercase(), "{instead}");
        }
    }

    #[test]
    fn an_at_sign_in_user_or_password_needs_no_encoding() {
        let options = parse("mysql://me@server:p@ss:word@host/db").unwrap();
        assert_eq!(options.user.as_deref(), Some("me@server"));
        assert_eq!(password(&options), Some("p@ss:word"));
        assert_eq!(options.name(), "mysql://me@server@host:3306/db");
    }

    #[test]
    fn no_error_shows_a_password() {
        for text in [
            "mysql://me:hunter2@h:x/db?ssl-mode=hunter",
            "mysql://me:hunter2%zz@h/db",
            "mysql://me:hunter2/x@h/db",
            "mysql://me:5/hunter2@h/db",
            "mysql://me:x?hunter2@h/db?y=1",
            "mysql://me:x?hunter2@h/db",
            "mysql://me:x?hunter2=y@h/db",
            "mysql://me:5?ssl-mode=hunter2@h/db",
            "postgres://me:hunter2@h/db?a=b",
            "mysqll://me:hunter2@h/db?a=b",
            "me:hunter2@h/db",
            "mysql://h?pasword=hunter2",
            "mysql://h?sslpassword=hunter2",
            "mysql://h?password=hunter2%zz",
            "mysql://h?password%zz=hunter2",
            "mysql://h?database=mysql://me:hunter2@h/db",
            "mysql://h?host=mysql://me:hunter2@h/db",
            "mysql://h?time-zone=mysql://me:hunter2@h/db",
            "mysql://h?port=hunter2",
            "mysql://h?hunter2",
            "mysql://h?max-size=me:hunter2@h",
        ] {
            let error = fault(text);
            assert!(!error.to_lowercase().contains("hunter2"), "{text}: {error}");
        }
    }
}
