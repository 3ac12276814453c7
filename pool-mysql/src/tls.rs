//! What TLS verifies: the driver's settings of [`MySqlOptions`].
//!
//! | `ssl-mode` | with `ssl-ca` | without |
//! |---|---|---|
//! | `preferred`, `required` | the chain | nothing |
//! | `verify-ca` | the chain | the chain, by the system's roots |
//! | `verify-identity` | the chain and the host's name | both, by the system's roots |
//!
//! It is rustls that verifies, and it is stricter than the servers' own clients:
//!
//! * `verify-identity` wants the name among the certificate's alternative names (SAN). The
//!   certificates that MySQL makes by itself have none: with those, use `verify-ca` and its
//!   `ca.pem`.
//! * A certificate has to be of X.509 version 3, even if nothing is verified. What MariaDB 11.4.0
//!   and 11.4.1 make by themselves is of version 1.
//! * A server's certificate that is itself the one in `ssl-ca`, as after `openssl req -x509`, is
//!   refused if it says `CA:TRUE`, as that does by default.
//! * TLS is 1.2 or 1.3.
//!
//! # The chain without the name
//!
//! The driver can skip the name, but it knows that the name is all that is wrong by a word in the
//! text of the error, and rustls words it otherwise by now, so that it never skips. The text has
//! the name in it, though, as it was looked for. So the name to look for is that word; see
//! [`CHAIN_ONLY`].
//!
//! # The provider of cryptography
//!
//! The driver takes the default of the process, and panics if there is none and the program has
//! rustls with both `ring` and `aws-lc-rs`. So if there is none at the first connect with TLS, it
//! becomes `ring`. A program that wants another installs it before, at its start.

use std::path::Path;
use std::sync::Arc;

use mysql_async::{ClientIdentity, Error, IoError, SslOpts};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::error::{MySqlError, MySqlErrorKind};
use crate::options::{MySqlOptions, RootCert, SslMode};

/// The name to look for where the chain is to be verified, and the name is not.
///
/// rustls verifies the chain first, with all that belongs to it, and without a name. Only then it
/// looks for the name, which no certificate has. Its error of that names what it looked for, and it
/// alone does; the driver finds this word in its text and takes the certificate. Should rustls ever
/// word it so that the driver does not find it, the connect fails.
const CHAIN_ONLY: &str = "NotValidForName";

/// How TLS is asked of the driver.
pub(crate) struct Tls {
    /// By the host's name.
    pub(crate) named: SslOpts,
    /// By any name: where the chain is verified, and the name is not.
    pub(crate) unnamed: Option<SslOpts>,
}

/// `None` if TLS is never used. It reads the files of the options, thus it is made once for a pool.
pub(crate) fn settings(options: &MySqlOptions) -> Result<Option<Tls>, MySqlError> {
    let mode = options.effective_ssl_mode();
    if mode == SslMode::Disabled || options.socket.is_some() {
        return Ok(None);
    }
    // The zone of an IPv6 address (`fe80::1%eth0`) means something here only.
    let host = options.host.split('%').next().unwrap_or_default();
    if ServerName::try_from(host).is_err() {
        return Err(fault("host", "TLS wants a name of letters, digits, - and _, or an address"));
    }
    let common = SslOpts::default().with_danger_tls_hostname_override(Some(host.to_owned()));
    let common = common.with_client_identity(client_identity(options)?);
    let Some(roots) = roots(options, mode)? else {
        // There have to be roots, though none is looked at: those that are built in.
        let named = common.with_danger_accept_invalid_certs(true);
        return Ok(Some(Tls { named, unnamed: None }));
    };
    let roots = roots.into_iter().map(|root| root.to_vec().into()).collect();
    let named = common.with_root_certs(roots).with_disable_built_in_roots(true);
    let unnamed = (mode < SslMode::VerifyIdentity).then(|| {
        let named = named.clone().with_danger_tls_hostname_override(Some(CHAIN_ONLY));
        named.with_danger_skip_domain_validation(true)
    });
    Ok(Some(Tls { named, unnamed }))
}

/// Sees to it that the driver finds a provider.
pub(crate) fn provide() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
}

/// Whether the certificate is for another name, and nothing else is wrong with it.
pub(crate) fn is_other_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(
        of_rustls(error),
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
    )
}

/// What is wrong with TLS, if that is it.
pub(crate) fn failure(error: &Error, mode: SslMode) -> Option<MySqlError> {
    let advice = match of_rustls(error)? {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "; ssl-ca has to have the certificate of the authority that signed the server's"
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            // The error's type is not ours to name; its text is the name of its variant.
            match other.to_string().as_str() {
                "UnsupportedCertVersion" => "; the server wants a certificate of X.509 version 3",
                "CaUsedAsEndEntity" => {
                    "; the server's certificate is one of an authority: want one that it signed"
                }
                _ => "",
            }
        }
        _ if is_other_name(error) => "; ssl-mode=verify-ca takes it under any name",
        _ => "",
    };
    let without = match mode {
        SslMode::Preferred => "; ssl-mode=disabled goes without TLS",
        _ => "",
    };
    let text = match error {
        Error::Io(IoError::Io(error)) => error.to_string(),
        error => error.to_string(),
    };
    let text = format!("the TLS handshake: {text}{advice}{without}");
    Some(MySqlError::text(MySqlErrorKind::Tls, text))
}

fn of_rustls(error: &Error) -> Option<&rustls::Error> {
    match error {
        Error::Io(IoError::Io(error)) => error.get_ref()?.downcast_ref(),
        Error::Io(IoError::Tls(mysql_async::TlsError::Tls(error))) => Some(error),
        _ => None,
    }
}

/// The certificates to verify by; `None`: nothing is verified.
fn roots(
    options: &MySqlOptions,
    mode: SslMode,
) -> Result<Option<Vec<CertificateDer<'static>>>, MySqlError> {
    let (what, found) = match &options.ssl_ca {
        Some(RootCert::File(path)) => {
            let what = format!("ssl-ca {}", path.display());
            (what.clone(), certificates(&what, &read(&what, path)?)?)
        }
        Some(RootCert::Pem(text)) => ("ssl-ca".into(), certificates("ssl-ca", text)?),
        None if mode < SslMode::VerifyCa => return Ok(None),
        Some(RootCert::System) | None => ("ssl-ca".into(), system_roots()?),
    };
    let is_readable = |root: &CertificateDer<'static>| {
        RootCertStore::empty().add_parsable_certificates([root.clone()]).0 == 1
    };
    // A system may have one that is too old to be understood; the others are as good.
    let readable: Vec<_> = found.into_iter().filter(is_readable).collect();
    if readable.is_empty() {
        return Err(fault(&what, "none of its certificates can be read"));
    }
    Ok(Some(readable))
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, MySqlError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(fault("ssl-ca", format!("the system has no root certificates{why}")));
    }
    Ok(found.certs)
}

fn client_identity(options: &MySqlOptions) -> Result<Option<ClientIdentity>, MySqlError> {
    let (Some(certificate), Some(key)) = (&options.ssl_cert, &options.ssl_key) else {
        return Ok(None);
    };
    let what = format!("ssl-cert {}", certificate.display());
    let certificate = read(&what, certificate)?;
    let chain = certificates(&what, &certificate)?;
    let what = format!("ssl-key {}", key.display());
    let key = private_key(&what, key)?;
    let parsed = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            fault(&what, "no key in it; want PEM that is not encrypted")
        }
        error => fault(&what, error),
    })?;
    // Whether they fit, before the first connect asks.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_root_certificates(RootCertStore::empty());
            builder.with_client_auth_cert(chain, parsed)
        })
        .map_err(|error| fault("ssl-cert and ssl-key", error))?;
    Ok(Some(ClientIdentity::new(certificate.into(), key.into())))
}

fn certificates(what: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, MySqlError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found.map_err(|error| fault(what, error))? {
        found if found.is_empty() => Err(fault(what, "no certificate in it; want PEM")),
        found => Ok(found),
    }
}

fn private_key(what: &str, path: &Path) -> Result<Vec<u8>, MySqlError> {
    let metadata = path.metadata().map_err(|error| fault(what, error))?;
    if !metadata.is_file() {
        return Err(fault(what, "it is not a plain file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // A key of root may be for a group: so keys are kept that several services use.
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & forbidden != 0 {
            let want = "group or others may read it; want chmod 0600, or 0640 if it is root's";
            return Err(fault(what, want));
        }
    }
    read(what, path)
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, MySqlError> {
    std::fs::read(path).map_err(|error| fault(what, error))
}

fn fault(what: &str, problem: impl std::fmt::Display) -> MySqlError {
    MySqlError::text(MySqlErrorKind::Config, format!("{what}: {problem}"))
}

#[cfg(test)]
pub(crate) mod certificates;

#[cfg(test)]
mod tests {
    use super::certificates::{Authority, write};
    use super::*;

    fn refusal(options: &MySqlOptions) -> String {
        let Err(error) = settings(options) else { panic!("it takes {options:?}") };
        assert_eq!(error.kind(), MySqlErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn files_that_are_no_good_are_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Authority::new("one"), Authority::new("two"));
        let (one, two) = (one.client("me"), two.client("me"));
        let file = |name: &str, text: &str| write(&folder, name, text);
        let options = MySqlOptions::default;
        let ca = |path| options().ssl_ca(RootCert::File(path));
        let identity = |certificate, key| options().ssl_cert(certificate).ssl_key(key);
        let certificate = file("good.crt", &one.certificate);
        let key = file("good.key", &one.key);
        let broken = one.certificate.replace('M', "!");
        let shared = file("shared.key", &one.key);
        #[cfg(unix)]
        std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        for (options, parts) in [
            (ca(folder.path().join("none.crt")), ["ssl-ca", "none.crt: "]),
            (ca(file("empty.crt", "")), ["empty.crt", "no certificate in it; want PEM"]),
            (ca(file("broken.crt", &broken)), ["broken.crt: ", ""]),
            (ca(key.clone()), ["good.key", "no certificate in it"]),
            (
                ca(file("odd.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----")),
                ["odd.crt", "none of its certificates can be read"],
            ),
            (options().ssl_ca(RootCert::Pem(vec![])), ["ssl-ca: ", "no certificate in it"]),
            (identity("/none.crt".into(), key.clone()), ["ssl-cert /none.crt: ", ""]),
            (identity(certificate.clone(), "/none.key".into()), ["ssl-key /none.key: ", ""]),
            (identity(certificate.clone(), "/dev/null".into()), ["ssl-key", "not a plain file"]),
            (identity(certificate.clone(), certificate.clone()), ["good.crt", "no key in it"]),
            #[cfg(unix)]
            (identity(certificate.clone(), shared), ["shared.key", "want chmod 0600"]),
            (
                identity(certificate.clone(), file("other.key", &two.key)),
                ["ssl-cert and ssl-key: ", ""],
            ),
            (options().host("no host!"), ["host: TLS wants a name", ""]),
        ] {
            let error = refusal(&options);
            assert!(parts.iter().all(|part| error.contains(part)), "{parts:?} in {error}");
        }
        assert!(settings(&identity(certificate, key)).unwrap().is_some());
    }

    #[test]
    fn nothing_is_read_where_there_is_no_tls() {
        let options = MySqlOptions::default().ssl_ca(RootCert::File("/none.crt".into()));
        let plain = options.clone().ssl_mode(SslMode::Disabled);
        assert!(settings(&plain).unwrap().is_none());
        let socket = options.ssl_mode(SslMode::Required).socket("/run/my.sock");
        assert!(settings(&socket).unwrap().is_none());
    }

    #[test]
    fn only_where_the_name_does_not_count_there_is_a_way_around_it() {
        let root = RootCert::Pem(Authority::new("ours").root.into_bytes());
        for (mode, verified, around) in [
            (SslMode::Preferred, true, true),
            (SslMode::Required, true, true),
            (SslMode::VerifyCa, true, true),
            (SslMode::VerifyIdentity, true, false),
            (SslMode::Preferred, false, false),
            (SslMode::Required, false, false),
        ] {
            let options = MySqlOptions::default().ssl_mode(mode);
            let options = if verified { options.ssl_ca(root.clone()) } else { options };
            let tls = settings(&options).unwrap().unwrap();
            assert_eq!(tls.unnamed.is_some(), around, "{mode:?}");
            assert!(!tls.named.skip_domain_validation());
            assert_eq!(tls.named.accept_invalid_certs(), !verified);
            assert_eq!(tls.named.disable_built_in_roots(), verified);
            assert!(tls.unnamed.is_none_or(|tls| !tls.accept_invalid_certs()));
        }
    }
}
