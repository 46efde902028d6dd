//! TLS towards clients: the handshake, and why one failed.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, PeerIncompatible, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Certificate;
use super::tap::Tap;
use crate::session::smtp_server::TlsSession;
use crate::wire::client_hello::{CipherSuite, ClientHello, Version};

/// A connection under TLS.
pub(super) type Secured = TlsStream<Tap<TcpStream>>;

/// Takes handshakes of TLS 1.2 and 1.3 with this certificate.
///
/// # Errors
/// When the provider lacks those versions: a defect of this build.
pub(super) fn acceptor(certificate: Arc<Certificate>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // Clients of an SMTP server come back rarely; one ticket is enough.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config).into())
}

/// Carries out the server's side of a handshake.
///
/// # Errors
/// [`HandshakeFault`], whose text tells the operator what the client can do and what mends it.
pub(super) async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    patience: Duration,
) -> Result<(Box<Secured>, TlsSession), HandshakeFault> {
    let mut accepting = acceptor.accept(Tap::new(stream)).into_fallible();
    match timeout(patience, &mut accepting).await {
        Ok(Ok(mut secured)) => {
            secured.get_mut().0.close();
            let session = session_of(&secured);
            Ok((Box::new(secured), session))
        }
        Ok(Err((error, tap))) => Err(HandshakeFault::of(&error, tap.heard())),
        Err(_) => Err(HandshakeFault::TimedOut(patience)),
    }
}

fn session_of(secured: &Secured) -> TlsSession {
    let (_, connection) = secured.get_ref();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    TlsSession { version, cipher: cipher.map_or("unknown", iana_name) }
}

/// rustls writes `TLS13_AES_128_GCM_SHA256` for IANA's `TLS_AES_128_GCM_SHA256`.
fn iana_name(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// Why a handshake failed. The text says what the client offered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum HandshakeFault {
    /// The client knows no version that is spoken here.
    TooOld {
        /// The newest that it knows.
        newest: Version,
        /// What it offered with it.
        suites: Vec<CipherSuite>,
    },
    /// A version in common, but no cipher suite, or no group or signature to use it with.
    NothingInCommon {
        /// What is missing.
        what: &'static str,
        /// What it offered.
        suites: Vec<CipherSuite>,
    },
    /// The client refused our certificate, with this alert.
    Distrusted(AlertDescription),
    /// What came is no TLS.
    NotTls,
    /// The client closed the connection, or it broke.
    Disconnected,
    /// It was not over in this time.
    TimedOut(Duration),
    /// Anything else the standard has an alert for.
    Other(rustls::Error),
}

impl HandshakeFault {
    fn of(error: &io::Error, heard: &[u8]) -> Self {
        let hello = ClientHello::parse(heard);
        if let Ok(ClientHello { newest, cipher_suites: suites }) = &hello
            && *newest < Version::TLS12
        {
            return Self::TooOld { newest: *newest, suites: suites.clone() };
        }
        let suites = || hello.as_ref().map_or_else(|_| Vec::new(), |hello| hello.cipher_suites.clone());
        let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::Disconnected;
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "foreign enums that grow; their texts say enough")]
        match fault {
            rustls::Error::PeerIncompatible(lack) => match lack {
                PeerIncompatible::NoCipherSuitesInCommon => {
                    Self::NothingInCommon { what: "no cipher suite", suites: suites() }
                }
                PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NoEcPointFormatsInCommon
                | PeerIncompatible::NamedGroupsExtensionRequired => {
                    Self::NothingInCommon { what: "no elliptic curve", suites: suites() }
                }
                PeerIncompatible::NoSignatureSchemesInCommon
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired => Self::NothingInCommon {
                    what: "no signature algorithm for our certificate",
                    suites: suites(),
                },
                _ => Self::Other(fault.clone()),
            },
            rustls::Error::AlertReceived(alert) if is_distrust(*alert) => Self::Distrusted(*alert),
            rustls::Error::InvalidMessage(_) if hello.is_err() => Self::NotTls,
            other => Self::Other(other.clone()),
        }
    }

    /// The label of `mailslotd_smtp_tls_handshakes_total`.
    #[must_use]
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::TooOld { .. } => "too_old",
            Self::NothingInCommon { .. } => "nothing_in_common",
            Self::Distrusted(_) => "distrusted",
            Self::NotTls => "not_tls",
            Self::Disconnected => "disconnected",
            Self::TimedOut(_) => "timed_out",
            Self::Other(_) => "other",
        }
    }

    /// The newest version that the client knows, where it is too old.
    #[must_use]
    pub(super) const fn newest(&self) -> Option<Version> {
        match self {
            Self::TooOld { newest, .. } => Some(*newest),
            Self::NothingInCommon { .. }
            | Self::Distrusted(_)
            | Self::NotTls
            | Self::Disconnected
            | Self::TimedOut(_)
            | Self::Other(_) => None,
        }
    }

    /// What the operator can do for this client, where it is the client that cannot do better.
    #[must_use]
    pub(super) fn fix(&self, client: IpAddr) -> Option<String> {
        match self {
            Self::TooOld { .. } | Self::NothingInCommon { .. } => Some(format!(
                "to take its mail without TLS, hide STARTTLS from it: `clients: [{{ source: {client}, hide: [STARTTLS] }}]`, or \
                 give it a listener with `tls: {{ mode: none }}`"
            )),
            Self::Distrusted(_) => Some(
                "have it trust the authority that signed `tls.certificate`, or show a certificate that it trusts".to_owned(),
            ),
            Self::NotTls => Some("choose STARTTLS instead of TLS from the start on that client, or another port".to_owned()),
            Self::Disconnected | Self::TimedOut(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { newest, suites } => {
                write!(f, "the client offers at most {newest}, and TLS 1.2 is the oldest spoken here")?;
                offered(f, suites)
            }
            Self::NothingInCommon { what, suites } => {
                write!(f, "the client and this gateway have {what} in common")?;
                offered(f, suites)
            }
            Self::Distrusted(alert) => write!(f, "the client does not accept our certificate ({alert:?})"),
            Self::NotTls => f.write_str("what the client sent is no TLS"),
            Self::Disconnected => f.write_str("the client closed the connection in the handshake"),
            Self::TimedOut(patience) => {
                write!(f, "the handshake was not over after {} s", patience.as_secs())
            }
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

/// The first few, for some clients offer a hundred.
fn offered(f: &mut fmt::Formatter<'_>, suites: &[CipherSuite]) -> fmt::Result {
    for (place, suite) in suites.iter().take(SHOWN).enumerate() {
        write!(f, "{}{suite}", if place == 0 { "; it offers " } else { ", " })?;
    }
    match suites.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => write!(f, " and {more} more"),
        _ => Ok(()),
    }
}

const SHOWN: usize = 6;

const fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::settings::CertificateFiles;

    /// What comes of a client that sends these octets and closes its side.
    async fn handshake_with(octets: &[u8], patience: Duration) -> HandshakeFault {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["gw1.plant.example".to_owned()]).unwrap();
        let (certificate, key_file) = (dir.path().join("tls.pem"), dir.path().join("tls.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
        let files = CertificateFiles { certificate, key_file };
        let acceptor = acceptor(Arc::new(Certificate::load(&files).unwrap())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(octets).await.unwrap();
        let client = async {
            // An alert comes, or nothing.
            drop(client.read_to_end(&mut Vec::new()).await);
        };
        let server = async { handshake(&acceptor, server, patience).await.map(|_| ()).unwrap_err() };
        let (fault, ()) = tokio::join!(server, client);
        fault
    }

    /// A TLS record with a hello of `version` that offers RC4 and Triple-DES.
    fn old_hello(version: u8) -> Vec<u8> {
        let mut hello = vec![3, version];
        hello.extend([7; 32]);
        hello.extend([0, 0, 4, 0x00, 0x05, 0x00, 0x0A, 1, 0]);
        let mut record = vec![0x16, 3, 0, 0, u8::try_from(hello.len() + 4).unwrap(), 1, 0, 0];
        record.push(u8::try_from(hello.len()).unwrap());
        record.extend(hello);
        record
    }

    #[tokio::test]
    async fn a_device_that_is_too_old_is_told_by_what_it_offers_with_the_setting_that_mends_it() {
        for (minor, version) in [(0, "SSL 3.0"), (1, "TLS 1.0"), (2, "TLS 1.1")] {
            let fault = handshake_with(&old_hello(minor), Duration::from_secs(30)).await;
            assert_eq!(
                fault.to_string(),
                format!(
                    "the client offers at most {version}, and TLS 1.2 is the oldest spoken here; it offers \
                     TLS_RSA_WITH_RC4_128_SHA, TLS_RSA_WITH_3DES_EDE_CBC_SHA"
                )
            );
            let fix = fault.fix("192.0.2.31".parse().unwrap()).unwrap();
            assert!(fix.contains("clients: [{ source: 192.0.2.31, hide: [STARTTLS] }]"), "{fix}");
        }
    }

    #[tokio::test]
    async fn tls_1_2_with_nothing_in_common_is_told_so() {
        let fault = handshake_with(&old_hello(3), Duration::from_secs(30)).await;
        assert!(matches!(fault, HandshakeFault::NothingInCommon { .. }), "{fault:?}");
    }

    #[tokio::test]
    async fn a_client_that_speaks_smtp_where_tls_is_expected_is_told_apart() {
        let fault = handshake_with(b"EHLO scanner\r\n", Duration::from_secs(30)).await;
        assert_eq!(fault, HandshakeFault::NotTls);
    }

    #[tokio::test]
    async fn a_handshake_that_stands_still_is_given_up() {
        let patience = Duration::from_millis(50);
        let fault = handshake_with(&old_hello(3)[..20], patience).await;
        assert_eq!(fault, HandshakeFault::TimedOut(patience));
    }
}
