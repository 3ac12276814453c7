//! What TLS verifies: a rustls configuration of [`PgOptions`].
//!
//! | `sslmode` | with root certificates | without |
//! |---|---|---|
//! | `allow`, `prefer`, `require` | the chain | nothing |
//! | `verify-ca` | the chain | the chain, by the system's roots |
//! | `verify-full` | the chain and the host's name | both, by the system's roots |
//!
//! As with libpq, it is the file of root certificates (`sslrootcert`, else
//! `~/.postgresql/root.crt`) that makes the weaker modes verify the chain. Other than with libpq:
//!
//! * Without such a file the `verify-*` modes use the roots of the system; libpq fails.
//! * A file that `sslrootcert` or `sslcert` names has to be there; libpq goes on without it.
//! * `verify-full` wants the name among the certificate's alternative names (SAN); libpq takes the
//!   common name of one that has none.
//! * A certificate that is to be verified has to be of X.509 version 3. `openssl x509 -req` of
//!   OpenSSL 3.0 makes version 1 unless it is given extensions. The modes that verify nothing take
//!   those, with TLS 1.3.
//! * Each certificate in the file is the end of a chain: neither its dates nor who signed it count.
//!
//! A server's certificate that is itself in the file of root certificates, as after
//! `openssl req -x509`, is trusted while it is valid, though it is the one of an authority.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::error::{PgError, PgErrorKind};
use crate::options::{Address, PgHost, PgOptions, RootCert, SslMode, SslNegotiation};

/// The configuration, or `None` if TLS is never used. It reads the files of the options, thus it is
/// made once for a pool.
pub(crate) fn client_config(options: &PgOptions) -> Result<Option<Arc<ClientConfig>>, PgError> {
    let folder = std::env::home_dir().map(|home| home.join(".postgresql"));
    client_config_in(folder.as_deref(), options)
}

/// The same, with the folder of the default files.
fn client_config_in(
    folder: Option<&Path>,
    options: &PgOptions,
) -> Result<Option<Arc<ClientConfig>>, PgError> {
    options.check()?;
    if options.sslmode == SslMode::Disable {
        return Ok(None);
    }
    // Never the default of the process: it panics if the program has two providers.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier {
        chain: match roots(folder, options)? {
            Some(roots) => Some(Chain::new(roots, options.sslmode, &provider)?),
            None => None,
        },
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("TLS", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client_certificate(folder, options)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| fault("sslcert and sslkey", error))?,
    };
    config.enable_sni = options.sslsni;
    if options.sslnegotiation == SslNegotiation::Direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Some(Arc::new(config)))
}

/// The name for the handshake: the host's, else its address.
pub(crate) fn server_name(host: &PgHost) -> String {
    match &host.address {
        // The zone of an IPv6 address (`fe80::1%eth0`) means something here only.
        Address::Tcp { name: Some(name), .. } => {
            name.split('%').next().unwrap_or_default().to_owned()
        }
        Address::Tcp { ip: Some(ip), .. } => ip.to_string(),
        // Without any use: there is no TLS on Unix sockets.
        Address::Tcp { .. } | Address::Unix(_) => "localhost".into(),
    }
}

/// The certificates to verify by; `None`: nothing is verified.
fn roots(
    folder: Option<&Path>,
    options: &PgOptions,
) -> Result<Option<Vec<CertificateDer<'static>>>, PgError> {
    let default = folder.map(|folder| folder.join("root.crt")).filter(|path| path.exists());
    let file = match &options.sslrootcert {
        Some(RootCert::File(path)) => Some(path.clone()),
        Some(RootCert::System) => None,
        None => default,
    };
    match file {
        Some(path) => certificates("sslrootcert", &path).map(Some),
        None if options.sslmode >= SslMode::VerifyCa => system_roots().map(Some),
        None => Ok(None),
    }
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, PgError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(fault("sslrootcert", format!("the system has no root certificates{why}")));
    }
    Ok(found.certs)
}

fn client_certificate(
    folder: Option<&Path>,
    options: &PgOptions,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, PgError> {
    let default = |name: &str| folder.map(|folder| folder.join(name)).filter(|path| path.exists());
    let named = options.sslcert.is_some() || options.sslkey.is_some();
    let certificate = options.sslcert.clone().or_else(|| default("postgresql.crt"));
    let key = options.sslkey.clone().or_else(|| default("postgresql.key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Ok(Some((certificates("sslcert", &certificate)?, private_key(&key)?)))
        }
        (Some(_), None) if named => Err(fault("sslkey", "want the key of the certificate")),
        (None, Some(_)) if named => Err(fault("sslcert", "want the certificate of the key")),
        _ => Ok(None),
    }
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PgError> {
    let what = format!("{what} {}", path.display());
    let text = std::fs::read(path).map_err(|error| fault(&what, error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found.map_err(|error| fault(&what, error))? {
        found if found.is_empty() => Err(fault(&what, "no certificate in it; want PEM")),
        found => Ok(found),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PgError> {
    let what = format!("sslkey {}", path.display());
    let metadata = path.metadata().map_err(|error| fault(&what, error))?;
    if !metadata.is_file() {
        return Err(fault(&what, "it is not a plain file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // A key of root may be for a group: so keys are kept that several services use.
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & forbidden != 0 {
            let want = "group or others may read it; want chmod 0600, or 0640 if it is root's";
            return Err(fault(&what, want));
        }
    }
    let text = std::fs::read(path).map_err(|error| fault(&what, error))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            fault(&what, "no key in it; want PEM that is not encrypted")
        }
        error => fault(&what, error),
    })
}

fn fault(what: &str, problem: impl std::fmt::Display) -> PgError {
    PgError::text(PgErrorKind::Config, format!("{what}: {problem}"))
}

/// Verifies what the mode wants of the certificate, and always that the server has its key.
#[derive(Debug)]
struct Verifier {
    /// `None`: whatever the certificate is.
    chain: Option<Chain>,
    provider: Arc<CryptoProvider>,
}

/// By what and how far a certificate is verified.
#[derive(Debug)]
struct Chain {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    name: bool,
}

impl Chain {
    fn new(
        roots: Vec<CertificateDer<'static>>,
        mode: SslMode,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, PgError> {
        let mut store = RootCertStore::empty();
        // A system may have one that is too old to be understood; the others are as good.
        if store.add_parsable_certificates(roots.iter().cloned()).0 == 0 {
            return Err(fault("sslrootcert", "none of its certificates can be read"));
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
                .build()
                .map_err(|error| fault("sslrootcert", error))?;
        Ok(Self { verifier, roots, name: mode == SslMode::VerifyFull })
    }

    /// Of a certificate that is itself among the roots: whether all that is wrong with it is that
    /// an authority's certificate serves as a server's. Its validity was looked at before that.
    fn is_root(&self, end_entity: &CertificateDer<'_>, error: &CertificateError) -> bool {
        // The error's type is not ours to name; its text is the name of its variant.
        matches!(error, CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity")
            && self.roots.iter().any(|root| root == end_entity)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            chain.verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match &verified {
            // The name comes last: all else is right then.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !chain.name => Ok(ServerCertVerified::assertion()),
            Err(Error::InvalidCertificate(error)) if chain.is_root(end_entity, error) => {
                if chain.name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match (&self.chain, key_of_version_1(certificate)) {
            (None, Some(key)) => {
                verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
            }
            _ => verify_tls13_signature(message, certificate, signed, algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The key in a certificate of X.509 version 1, which webpki does not read.
fn key_of_version_1<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'a>> {
    const SEQUENCE: u8 = 0x30;
    let (certificate, ..) = element(SEQUENCE, certificate)?;
    let (mut fields, ..) = element(SEQUENCE, certificate)?;
    // The serial number is the first field of version 1 only; later ones begin with their version.
    const INTEGER: u8 = 0x02;
    // Serial number, then algorithm, issuer, validity and subject.
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        fields = element(tag, fields)?.2;
    }
    element(SEQUENCE, fields).map(|(_, key, _)| key.into())
}

/// The first element of a DER text if it has that tag: its content, the whole of it, what follows.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&[found, length], content) = der.split_first_chunk()?;
    let (length, content) = match length {
        0x00..=0x7f => (usize::from(length), content),
        0x81 => (usize::from(*content.first()?), &content[1..]),
        0x82 => (usize::from(u16::from_be_bytes(*content.first_chunk()?)), &content[2..]),
        _ => return None, // no certificate is that long
    };
    let (content, rest) = content.split_at_checked(length)?;
    (found == tag).then_some((content, &der[..der.len() - rest.len()], rest))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    use rustls::server::ServerConfig;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConnection, ServerConnection};

    /// `openssl x509 -req -signkey`, without extensions.
    const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBFjCBvQIUDl2CKM8YVuKC4JZeR5yC787o8c0wCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCZGIwIBcNMjYxMTIxMTkwMzA3WhgPMjEyNjEwMjgxOTAzMDdaMA0xCzAJ
BgNVBAMMAmRiMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJH350LMe+fXNzDCh
Oc03eDMq/zHRHFEvwxmu/S8HVcbqEQoG4DIWY/tIoPhdT+Y09BCRxvdwJC42Ob8y
+n5hnzAKBggqhkjOPQQDAgNIADBFAiBJ1aMIKH1nTTCxkBRNnMTr2o0Hl5cHeLqK
tSN/1Fd/ywIhAL5g/E3EV105ik//7TAKZZeVU1FNTwhakJ1BW3S03lRw
-----END CERTIFICATE-----
";
    const VERSION_1_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEVpKhrUq5sflMRJz
C+KOIE04MMzc0hmhXVhzuUIfru+hRANCAAQkffnQsx759c3MMKE5zTd4Myr/MdEc
US/DGa79LwdVxuoRCgbgMhZj+0ig+F1P5jT0EJHG93AkLjY5vzL6fmGf
-----END PRIVATE KEY-----
";

    /// A certificate and its key, in PEM.
    struct Pair {
        certificate: String,
        key: String,
    }

    struct Files {
        folder: tempfile::TempDir,
        /// For `localhost`, by the authority in `root.crt`.
        server: Pair,
    }

    fn authority() -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(["localhost".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    }

    fn files() -> Files {
        let (params, key) = authority();
        let folder = tempfile::tempdir().unwrap();
        let root = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("root.crt"), root.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".into()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Files { folder, server: Pair { certificate, key: key.serialize_pem() } }
    }

    impl Files {
        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str, _mode: u32) -> PathBuf {
            std::fs::write(self.path(name), text).unwrap();
            #[cfg(unix)]
            std::fs::set_permissions(
                self.path(name),
                std::os::unix::fs::PermissionsExt::from_mode(_mode),
            )
            .unwrap();
            self.path(name)
        }

        /// What comes of a handshake with that server, called by that name.
        fn shake(&self, options: &PgOptions, server: &Pair, name: &str) -> Result<(), Error> {
            let config = client_config_in(Some(self.folder.path()), options).unwrap().unwrap();
            handshake(config, server, name)
        }

        fn root(&self) -> RootCert {
            RootCert::File(self.path("root.crt"))
        }
    }

    fn handshake(client: Arc<ClientConfig>, server: &Pair, name: &str) -> Result<(), Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = CertificateDer::pem_slice_iter(server.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let certified = CertifiedKey::new(chain.collect::<Result<_, _>>().unwrap(), key);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = client.alpn_protocols.clone();
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(client, name).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut sent = &bytes[..];
            while !sent.is_empty() {
                server.read_tls(&mut sent).unwrap();
                server.process_new_packets()?;
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut sent = &bytes[..];
            while !sent.is_empty() {
                client.read_tls(&mut sent).unwrap();
                client.process_new_packets()?;
            }
        }
        Ok(())
    }

    fn options(mode: SslMode) -> PgOptions {
        PgOptions::default().sslmode(mode)
    }

    #[test]
    fn each_mode_verifies_what_it_says() {
        let ours = files();
        let theirs = files();
        let nowhere = Files { folder: tempfile::tempdir().unwrap(), server: files().server };
        for mode in [SslMode::Allow, SslMode::Prefer, SslMode::Require] {
            nowhere.shake(&options(mode), &theirs.server, "other").unwrap();
            // The file of root certificates alone makes them verify the chain.
            ours.shake(&options(mode), &ours.server, "other").unwrap();
            ours.shake(&options(mode), &theirs.server, "localhost").unwrap_err();
            let named = options(mode).sslrootcert(ours.root());
            nowhere.shake(&named, &ours.server, "other").unwrap();
            nowhere.shake(&named, &theirs.server, "other").unwrap_err();
        }
        for (mode, other) in [(SslMode::VerifyCa, true), (SslMode::VerifyFull, false)] {
            let options = options(mode).sslrootcert(ours.root());
            ours.shake(&options, &ours.server, "localhost").unwrap();
            assert_eq!(ours.shake(&options, &ours.server, "other").is_ok(), other, "{mode:?}");
            ours.shake(&options, &theirs.server, "localhost").unwrap_err();
        }
        assert!(client_config(&options(SslMode::Disable)).unwrap().is_none());
    }

    #[test]
    fn a_server_whose_own_certificate_is_trusted_is_let_in_while_it_is_valid() {
        let files = files();
        let mut servers = Vec::new();
        for last in [2000, 4000] {
            let (mut params, key) = authority();
            params.not_before = date_time_ymd(1999, 1, 1);
            params.not_after = date_time_ymd(last, 1, 1);
            let certificate = params.self_signed(&key).unwrap().pem();
            servers.push(Pair { certificate, key: key.serialize_pem() });
        }
        let [expired, valid] = &servers[..] else { unreachable!() };
        let both = expired.certificate.clone() + &valid.certificate;
        let both = RootCert::File(files.write("both", &both, 0o644));
        for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
            let options = options(mode).sslrootcert(both.clone());
            files.shake(&options, valid, "localhost").unwrap();
            files.shake(&options, expired, "localhost").unwrap_err();
            let other = files.shake(&options, valid, "other").is_ok();
            assert_eq!(other, mode != SslMode::VerifyFull);
            let untrusted = options.sslrootcert(files.root());
            files.shake(&untrusted, valid, "localhost").unwrap_err();
        }
    }

    #[test]
    fn a_server_without_the_key_of_its_certificate_is_refused_even_if_nothing_is_verified() {
        let nowhere = Files { folder: tempfile::tempdir().unwrap(), server: files().server };
        let key = || KeyPair::generate().unwrap().serialize_pem();
        for certificate in [files().server.certificate, VERSION_1.to_owned()] {
            let liar = Pair { certificate, key: key() };
            let error = nowhere.shake(&options(SslMode::Require), &liar, "x").unwrap_err();
            let text = error.to_string();
            assert!(text.contains("BadSignature"), "{text}");
        }
    }

    #[test]
    fn a_certificate_of_version_1_will_do_where_nothing_is_verified() {
        let server = Pair { certificate: VERSION_1.into(), key: VERSION_1_KEY.into() };
        let nowhere = Files { folder: tempfile::tempdir().unwrap(), server };
        nowhere.shake(&options(SslMode::Require), &nowhere.server, "other").unwrap();
        let trusted = RootCert::File(nowhere.write("trusted", VERSION_1, 0o644));
        let verified = options(SslMode::VerifyCa).sslrootcert(trusted);
        nowhere.shake(&verified, &nowhere.server, "other").unwrap_err();
        let version_3 = CertificateDer::from_pem_slice(files().server.certificate.as_bytes());
        assert!(key_of_version_1(&version_3.unwrap()).is_none());
    }

    #[test]
    fn a_client_certificate_comes_with_a_key_that_nobody_else_may_read() {
        let files = files();
        let Pair { certificate, key } = &files.server;
        let make = |options: &PgOptions| client_config_in(Some(files.folder.path()), options);
        let fault = |options: &PgOptions| make(options).unwrap_err().to_string();
        let plain = options(SslMode::Require);
        let has = |options: &PgOptions| {
            make(options).unwrap().unwrap().client_auth_cert_resolver.has_certs()
        };
        assert!(!has(&plain));
        let cert = files.write("postgresql.crt", certificate, 0o644);
        assert!(!has(&plain), "the default files count only together");
        assert!(fault(&plain.clone().sslcert(&cert)).contains("sslkey: want the key"));
        files.write("postgresql.key", key, 0o600);
        assert!(has(&plain));
        let other = files.write("other", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
        assert!(fault(&plain.clone().sslkey(other)).contains("sslcert and sslkey"));
        #[cfg(unix)]
        {
            let open = plain.clone().sslkey(files.write("open", key, 0o644));
            assert!(fault(&open).contains("want chmod 0600"));
        }
        let no_key = plain.clone().sslkey(files.write("no.key", certificate, 0o600));
        assert!(fault(&no_key).contains("no key in it"));
        let empty = plain.sslrootcert(RootCert::File(files.write("empty", "", 0o600)));
        assert!(fault(&empty).contains("no certificate in it"));
    }

    #[test]
    fn direct_tls_names_its_protocol_and_sni_can_be_left_out() {
        let direct = options(SslMode::Require).sslnegotiation(SslNegotiation::Direct).sslsni(false);
        let config = client_config_in(None, &direct).unwrap().unwrap();
        assert_eq!(config.alpn_protocols, [b"postgresql"]);
        assert!(!config.enable_sni);
        let config = client_config_in(None, &options(SslMode::Prefer)).unwrap().unwrap();
        assert!(config.alpn_protocols.is_empty() && config.enable_sni);
    }

    #[test]
    fn the_handshake_is_about_the_name_else_the_address() {
        let ip = "10.0.0.1".parse().unwrap();
        assert_eq!(server_name(&PgHost::new("db.example", 1).hostaddr(ip)), "db.example");
        assert_eq!(server_name(&PgHost::from(ip)), "10.0.0.1");
        assert_eq!(server_name(&PgHost::new("fe80::1%eth0", 1)), "fe80::1");
    }
}
