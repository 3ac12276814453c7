//! [`ServerUrl`]: the parts of a URL that names a server, for the backends that read their options
//! out of one.

/// The parts of `user:password@host:port/database?name=value&..`, which follows the scheme. What is
/// not there is empty; characters may be percent-encoded still, see [`decode`](Self::decode).
///
/// ```
/// use pool_sql::ServerUrl;
///
/// let url = ServerUrl::split("me:p@ss@[::1]:5432/shop?a=1").unwrap();
/// assert_eq!((url.user, url.password, url.database), ("me", "p@ss", "shop"));
/// assert_eq!(ServerUrl::split_host(url.hosts), Ok(("::1", "5432")));
/// assert_eq!(url.parameters().collect::<Vec<_>>(), [Ok(("a", "1"))]);
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ServerUrl<'u> {
    /// Who logs in.
    pub user: &'u str,
    /// The password.
    pub password: &'u str,
    /// One host with its port, or what a backend takes for several.
    pub hosts: &'u str,
    /// The database.
    pub database: &'u str,
    query: &'u str,
}

impl<'u> ServerUrl<'u> {
    /// Splits what follows the scheme.
    ///
    /// # Errors
    /// What would be right, if part of a password may stand where host, database or parameters are.
    /// It quotes nothing.
    pub fn split(rest: &'u str) -> Result<Self, &'static str> {
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A host has no @, thus the last one ends the password, even if it has some that are not
        // encoded.
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let first = query.split('=').next().unwrap_or_default();
        let port = hosts.rsplit_once(':').map_or("", |(_, port)| port);
        let no_port = userinfo.is_empty() && port.contains(|c: char| c.is_ascii_alphabetic());
        if path.contains('@') || first.contains('@') || (no_port && query.contains('@')) {
            // What looks like host, database and parameters may be the password then.
            return Err("an @ after the first / or ?: want %2F and %3F for those in user and \
                        password, and %40 for an @ in the name of the database");
        }
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let database = path.strip_prefix('/').unwrap_or(path);
        Ok(Self { user, password, hosts, database, query })
    }

    /// The parameters, name and value, in their order.
    ///
    /// # Errors
    /// For each that has no `=`: what would be right.
    pub fn parameters(self) -> impl Iterator<Item = Result<(&'u str, &'u str), &'static str>> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').ok_or("a parameter without =: want name=value"))
    }

    /// One host, without the brackets of an IPv6 address, and its port.
    ///
    /// # Errors
    /// What would be right.
    pub fn split_host(text: &str) -> Result<(&str, &str), &'static str> {
        let (host, rest) = match text.strip_prefix('[') {
            None => text.split_at(text.find(':').unwrap_or(text.len())),
            Some(text) => match text.split_once(']') {
                None => return Err("host: want a ] after the IPv6 address"),
                Some(("", _)) => return Err("host: want an IPv6 address in the []"),
                Some((host, rest)) => (host, rest),
            },
        };
        match rest.strip_prefix(':') {
            None if !rest.is_empty() => Err("host: want nothing but :port after the ]"),
            Some(port) if port.contains(':') => Err("host: want IPv6 addresses in []"),
            port => Ok((host, port.unwrap_or_default())),
        }
    }

    /// A part with its percent-encoded characters.
    ///
    /// # Errors
    /// What would be right; it quotes nothing.
    pub fn decode(text: &str) -> Result<String, &'static str> {
        let hex = |c: Option<&u8>| c.is_some_and(u8::is_ascii_hexdigit);
        let bytes = text.as_bytes();
        for (at, _) in text.match_indices('%') {
            if !hex(bytes.get(at + 1)) || !hex(bytes.get(at + 2)) {
                return Err("want two hexadecimal digits after a %, and %25 for a % itself");
            }
        }
        match percent_encoding::percent_decode_str(text).decode_utf8() {
            Ok(text) if text.contains('\0') => Err("want no %00"),
            Ok(text) => Ok(text.into()),
            Err(_) => Err("want UTF-8"),
        }
    }
}

impl std::fmt::Debug for ServerUrl<'_> {
    /// Nothing of it: where the password ends is a guess.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerUrl").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_no_host() {
        for wrong in ["me:p/ss@host/db", "me:p?ss@host/db", "host:p?a=b@c", "h/d@b"] {
            assert!(ServerUrl::split(wrong).is_err(), "{wrong}");
        }
        let url = ServerUrl::split("me@host/db?a=b@c&&c").unwrap();
        assert_eq!((url.user, url.password, url.hosts, url.database), ("me", "", "host", "db"));
        let parameters: Vec<_> = url.parameters().collect();
        assert_eq!(parameters[0], Ok(("a", "b@c")));
        assert!(parameters[1].is_err() && parameters.len() == 2);
        assert_eq!(format!("{url:?}"), "ServerUrl { .. }");
    }

    #[test]
    fn hosts_and_encodings_are_right_or_told() {
        assert_eq!(ServerUrl::split_host("h"), Ok(("h", "")));
        assert_eq!(ServerUrl::split_host("h:1"), Ok(("h", "1")));
        for wrong in ["::1", "[::1", "[]", "[::1]1"] {
            assert!(ServerUrl::split_host(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ServerUrl::decode("a%40%C3%A9"), Ok("a@é".into()));
        for wrong in ["%", "%4", "%zz", "%00", "%ff"] {
            assert!(ServerUrl::decode(wrong).is_err(), "{wrong}");
        }
    }
}
