//! TLS towards next hops: which roots are trusted, and why a handshake failed.

mod naming;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use naming::{Distrusted, NamesIssuer};

/// Why no TLS connection can be made at all.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file with the trusted authorities cannot be read.
    #[error("ca_file {path} cannot be read: {source}; correct the path, or let this user read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The file has no certificate that can be a trusted authority.
    #[error("ca_file {path} has no usable certificate; it must be PEM with at least one `BEGIN CERTIFICATE`")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The certificate that we show, or its key, cannot be read.
    #[error(
        "{what} {path} cannot be read: {source}; it must be PEM, and this user must be allowed to read it"
    )]
    ClientFile {
        /// The key of the configuration.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The certificate that we show and its key do not belong together, or cannot be used.
    #[error(
        "key_file {key_file} does not fit client_certificate: {source}; it must be the key that the certificate was made for"
    )]
    Mismatch {
        /// The key's file.
        key_file: PathBuf,
        /// Why.
        source: Box<rustls::Error>,
    },
    /// The system has no trusted roots, or the provider cannot be used.
    #[error(
        "the system's trusted roots cannot be used: {0}; install the package ca-certificates, or set ca_file"
    )]
    System(rustls::Error),
    /// The provider has no usable TLS version; a defect of this build.
    #[error("TLS 1.2 and 1.3 are not available in this build: {0}")]
    Versions(rustls::Error),
}

/// What makes TLS 1.2 and 1.3 connections that trust `ca_file`, or else the system's roots.
///
/// Reads files: call it at start, not for each connection.
///
/// # Errors
/// [`TlsSetupError`], each a sentence for the operator.
pub fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsSetupError> {
    connector_with(ca_file, None)
}

/// As [`connector`]; shows a certificate to a server that asks for one, with those that lead to its root: the PEM files
/// of certificate and key.
///
/// # Errors
/// [`TlsSetupError`], each a sentence for the operator.
pub fn connector_with(
    ca_file: Option<&Path>,
    client: Option<(&Path, &Path)>,
) -> Result<TlsConnector, TlsSetupError> {
    Ok(client_config_with(ca_file, client)?.into())
}

/// As [`connector`], for what makes its connections itself.
///
/// # Errors
/// [`TlsSetupError`], each a sentence for the operator.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsSetupError> {
    client_config_with(ca_file, None)
}

/// As [`connector_with`], for what makes its connections itself.
///
/// # Errors
/// [`TlsSetupError`], each a sentence for the operator.
pub fn client_config_with(
    ca_file: Option<&Path>,
    client: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = NamesIssuer(verifier(ca_file, &provider)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsSetupError::Versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key_file)) => {
            let (chain, key) = (chain(certificate)?, key(key_file)?);
            builder.with_client_auth_cert(chain, key).map_err(|source| TlsSetupError::Mismatch {
                key_file: key_file.to_owned(),
                source: Box::new(source),
            })?
        }
    };
    Ok(Arc::new(config))
}

/// Checks against the authorities of the file, or else the system's.
fn verifier(
    ca_file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsSetupError> {
    let provider = Arc::clone(provider);
    match ca_file {
        Some(path) => {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots(path)?), provider).build();
            Ok(verifier.map_err(|_| TlsSetupError::NoCertificate { path: path.to_owned() })?)
        }
        None => Ok(Arc::new(Verifier::new(provider).map_err(TlsSetupError::System)?)),
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let unreadable =
        |source| TlsSetupError::ClientFile { what: "client_certificate", path: path.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
    if chain.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsSetupError::ClientFile {
        what: "key_file",
        path: path.to_owned(),
        source,
    })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsSetupError> {
    let unreadable = |source| TlsSetupError::Unreadable { path: path.to_owned(), source };
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TlsSetupError::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeFault {
    /// The connection broke.
    Io(std::io::Error),
    /// The certificate does not prove that this is the host; what and how to mend it.
    Certificate {
        /// "its certificate expired"
        cause: String,
        /// "renew it there"
        fix: &'static str,
    },
    /// What came is no TLS.
    NotTls,
    /// No version or cipher suite in common, or anything else the standard has an alert for.
    Incompatible(rustls::Error),
}

impl HandshakeFault {
    /// What the error of a handshake means.
    #[must_use]
    pub fn of(error: std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(fault)) => Self::certificate(fault),
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(other) => Self::Incompatible(other.clone()),
            None => Self::Io(error),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows; its text says enough")]
    fn certificate(fault: &CertificateError) -> Self {
        const RENEW: &str = "renew it on that server, and check the clocks of both hosts";
        let (cause, fix) = match fault {
            CertificateError::UnknownIssuer => (format!("{UNTRUSTED} here"), NAME_IT),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("its certificate has expired".to_owned(), RENEW)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("its certificate is not valid yet".to_owned(), RENEW)
            }
            CertificateError::NotValidForName => {
                ("its certificate is for another name".to_owned(), OTHER_NAME)
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                (format!("its certificate is for {}", names(presented)), OTHER_NAME)
            }
            CertificateError::Revoked => ("its certificate was revoked".to_owned(), RENEW),
            CertificateError::Other(other) if other.0.is::<Distrusted>() => {
                let issuer = other.0.downcast_ref().map_or("?", |Distrusted { issuer }| issuer);
                (format!("{UNTRUSTED} here ({issuer})"), NAME_IT)
            }
            // The verifier has no code of its own for what `openssl req -x509` makes unless told otherwise.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => (
                "its certificate is that of an authority, not of a server".to_owned(),
                "give that server a certificate of its own with CA:FALSE",
            ),
            other => (format!("its certificate does not verify: {other}"), "replace it on that server"),
        };
        Self::Certificate { cause, fix }
    }
}

/// The names in a certificate, not too many of them. The verifier writes `DnsName("mx.example.net")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').chars().filter(|c| !c.is_control()).take(80).collect()
    };
    let shown: Vec<String> = presented.iter().take(5).map(bare).collect();
    if shown.is_empty() { "no name at all".to_owned() } else { shown.join(", ") }
}

const UNTRUSTED: &str = "its certificate is from an authority that is not trusted";
const NAME_IT: &str = "put that authority's certificate into a PEM file and name it in tls.ca_file";
const OTHER_NAME: &str = "write one of those names as `host`, or correct the certificate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_certificates_is_told_from_one_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(matches!(connector(Some(&path)), Err(TlsSetupError::Unreadable { .. })));
        std::fs::write(&path, "no certificate\n").unwrap();
        assert!(matches!(connector(Some(&path)), Err(TlsSetupError::NoCertificate { .. })));
    }

    /// An authority, and a certificate for `name` with its key, as PEM files.
    fn authority(dir: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let own_name = dir.file_name().unwrap().to_str().unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, own_name);
        let authority =
            rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let files = ["ca.pem", "own.pem", "own.key"].map(|file| dir.join(file));
        for (path, text) in files.iter().zip([authority.pem(), certificate.pem(), key.serialize_pem()]) {
            std::fs::write(path, text).unwrap();
        }
        let [ca, own, key] = files;
        (ca, own, key)
    }

    #[tokio::test]
    async fn a_server_that_asks_who_we_are_is_shown_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, own, key_file) = authority(dir.path(), "localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots(&ca).unwrap()),
            Arc::clone(&provider),
        );
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain(&own).unwrap(), key(&key_file).unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        for (client, accepted) in [(Some((own.as_path(), key_file.as_path())), true), (None, false)] {
            let connector = connector_with(Some(&ca), client).unwrap();
            let (ours, theirs) = tokio::io::duplex(16 * 1024);
            let (_, served) = tokio::join!(
                connector.connect("localhost".try_into().unwrap(), ours),
                acceptor.accept(theirs)
            );
            assert_eq!(served.is_ok(), accepted, "{client:?}");
        }
    }

    #[tokio::test]
    async fn an_authority_that_is_not_trusted_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, _, _) = authority(dir.path(), "localhost");
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let (_, own, key_file) = authority(&other, "localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain(&own).unwrap(), key(&key_file).unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let connector = connector(Some(&ca)).unwrap();
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        let (connected, _) =
            tokio::join!(connector.connect("localhost".try_into().unwrap(), ours), acceptor.accept(theirs));
        let HandshakeFault::Certificate { cause, .. } = HandshakeFault::of(connected.unwrap_err()) else {
            panic!("not a certificate fault")
        };
        assert_eq!(cause, "its certificate is from an authority that is not trusted here (CN=other)");
    }

    #[test]
    fn a_key_that_does_not_fit_and_files_that_hold_nothing_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (_, own, key_file) = authority(dir.path(), "localhost");
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let (ca, _, other_key) = authority(&other, "localhost");
        let error = |certificate: &Path, key_file: &Path| {
            connector_with(Some(&ca), Some((certificate, key_file))).err().unwrap().to_string()
        };
        let said = error(&own, &other_key);
        assert!(said.contains("does not fit client_certificate"), "{said}");
        let said = error(&key_file, &key_file);
        assert!(said.starts_with("client_certificate ") && said.contains("must be PEM"), "{said}");
        let said = error(&own, &own);
        assert!(said.starts_with("key_file "), "{said}");
    }

    #[test]
    fn a_certificate_for_another_name_says_for_which() {
        let HandshakeFault::Certificate { cause, .. } =
            HandshakeFault::certificate(&CertificateError::NotValidForNameContext {
                expected: "mail.example.net".try_into().unwrap(),
                presented: vec!["DnsName(\"mx.example.net\")".to_owned(), "IpAddress(192.0.2.1)".to_owned()],
            })
        else {
            panic!("not a certificate fault")
        };
        assert_eq!(cause, "its certificate is for mx.example.net, 192.0.2.1");
    }
}
