//! Why there is no connection to a cluster, in sentences for its administrator.

use std::error::Error as _;
use std::fmt;
use std::io;

use async_nats::{ConnectError, ConnectErrorKind, ServerError};

use crate::net::tls::HandshakeFault;

/// Why there is no connection, in a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsFault {
    /// No server can be reached now; it may be otherwise soon.
    Unreachable(String),
    /// Someone must act: a refused login, a certificate that does not verify.
    Operator(String),
}

impl fmt::Display for NatsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(said) | Self::Operator(said) => f.write_str(said),
        }
    }
}

impl NatsFault {
    pub(super) fn silent(at: &str) -> Self {
        Self::Unreachable(format!(
            "{at} cannot be reached: it does not answer; check `servers`, the server and the firewalls on the way"
        ))
    }

    pub(super) fn lost(at: &str, error: &dyn fmt::Display) -> Self {
        Self::Unreachable(format!("{at} closed the connection at once ({error}); look into its log"))
    }

    pub(super) fn of_connect(at: &str, error: &ConnectError) -> Self {
        let source = error.source();
        if let Some(tls) = source.and_then(rustls_error) {
            return Self::of_handshake(at, HandshakeFault::of(io::Error::other(tls.clone())));
        }
        let detail = shown(&source.map_or_else(|| error.to_string(), ToString::to_string));
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation => Self::Operator(format!(
                "{at} refuses the login: Authorization Violation; check `auth` here, and this user on the server"
            )),
            ConnectErrorKind::Authentication => Self::Operator(format!(
                "the login at {at} cannot be signed ({detail}); write the file of nkey_file or credentials_file anew"
            )),
            ConnectErrorKind::Tls => Self::Operator(format!(
                "TLS with {at} cannot be set up: {detail}; check `tls` and this machine's certificates"
            )),
            ConnectErrorKind::Dns => Self::Unreachable(format!(
                "{at} cannot be reached: its name does not resolve ({detail}); check `servers` and this machine's DNS"
            )),
            ConnectErrorKind::TimedOut => Self::silent(at),
            ConnectErrorKind::Io | ConnectErrorKind::ServerParse | ConnectErrorKind::MaxReconnects => {
                match source.and_then(|source| source.downcast_ref()) {
                    Some(ServerError::Other(said)) => Self::said(at, said),
                    Some(ServerError::AuthorizationViolation | ServerError::SlowConsumer(_)) | None => {
                        Self::Unreachable(format!(
                            "{at} cannot be reached: {detail}; check `servers` and whether nats-server runs"
                        ))
                    }
                }
            }
        }
    }

    /// The server greets and then has something against us.
    fn said(at: &str, said: &str) -> Self {
        let said = shown(said);
        let lower = said.to_ascii_lowercase();
        if ["authenti", "authori", "revoked", "expired", "permission"].iter().any(|word| lower.contains(word))
        {
            Self::Operator(format!(
                "{at} refuses the login: {said}; check `auth` here, and this user on the server"
            ))
        } else {
            Self::Unreachable(format!("{at} takes no connection now: {said}; look into its log"))
        }
    }

    fn of_handshake(at: &str, fault: HandshakeFault) -> Self {
        match fault {
            HandshakeFault::Io(error) => Self::Unreachable(format!(
                "{at} ended the TLS handshake: {error}; it is tried again by itself"
            )),
            HandshakeFault::Certificate { cause, fix } => {
                Self::Operator(format!("{at} is not trusted: {cause}; {fix}"))
            }
            HandshakeFault::NotTls => Self::Operator(format!(
                "{at} does not speak TLS; give the server a `tls` block, or write `nats://` without `tls:` in a network that \
                 you trust"
            )),
            HandshakeFault::Incompatible(rustls::Error::AlertReceived(alert)) => Self::Operator(format!(
                "{at} broke off TLS ({alert:?}); where the server verifies clients, set tls.client_certificate and \
                 tls.key_file to a certificate that it trusts"
            )),
            HandshakeFault::Incompatible(error) => Self::Operator(format!(
                "{at} and this program have no common TLS ({error}); TLS 1.2 or 1.3 must be enabled on that server"
            )),
        }
    }
}

/// What a peer said, on one line and not too much of it.
#[must_use]
pub fn shown(said: &str) -> String {
    said.chars().take(LONGEST_SAID).flat_map(char::escape_debug).collect()
}

/// The TLS error at the bottom of another.
fn rustls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|inner| rustls_error(inner)),
        None => error.source().and_then(rustls_error),
    }
}

const LONGEST_SAID: usize = 200;
