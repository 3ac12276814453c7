//! Certificates made for the tests: an authority, and what it signs.

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

    /// For a server that goes by these names.
    pub(crate) fn server(&self, hosts: &[&str]) -> Signed {
        self.sign(&named("server", hosts))
    }

    /// The same, valid no more.
    pub(crate) fn expired(&self, hosts: &[&str]) -> Signed {
        let mut params = named("server", hosts);
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(2000, 1, 1);
        self.sign(&params)
    }

    /// For a user.
    pub(crate) fn client(&self, user: &str) -> Signed {
        self.sign(&named(user, &[]))
    }

    /// A server's certificate that nobody else signed, of an authority or not.
    pub(crate) fn own(host: &str, is_authority: bool) -> Signed {
        let mut params = named("server", &[host]);
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    fn sign(&self, params: &CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Writes a file that nobody else can read, as it has to be for a key.
pub(crate) fn write(
    folder: &tempfile::TempDir,
    name: &str,
    text: impl AsRef<[u8]>,
) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    path
}
