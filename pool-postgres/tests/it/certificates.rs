//! Certificates made for the tests: an authority, and what it signs.

use pool_testkit::servers::PostgresBuilder;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub(crate) root: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// Each has a name of its own: to be another one takes more than another key.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// For a server that is called by that host name.
    pub(crate) fn server(&self, host: &str) -> Signed {
        self.sign(&named(host, &[host]), KeyPair::generate().unwrap())
    }

    /// The same, valid no more.
    pub(crate) fn expired(&self, host: &str) -> Signed {
        let mut params = named(host, &[host]);
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(2000, 1, 1);
        self.sign(&params, KeyPair::generate().unwrap())
    }

    /// For a user.
    pub(crate) fn client(&self, user: &str) -> Signed {
        self.sign(&named(user, &[]), KeyPair::generate().unwrap())
    }

    fn sign(&self, params: &CertificateParams, key: KeyPair) -> Signed {
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

impl Signed {
    /// TLS, with this as the server's certificate.
    pub(crate) fn serve(&self, server: PostgresBuilder) -> PostgresBuilder {
        server
            .file("server.crt", &*self.certificate)
            .file("server.key", &*self.key)
            .setting("ssl", "on")
            .setting("ssl_cert_file", "../server.crt")
            .setting("ssl_key_file", "../server.key")
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
