//! A tunnel through an HTTP proxy (CONNECT, RFC 9110 §9.3.6), and Basic (RFC 7617) for one that wants to know who asks.

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::fault::Remedy;
use crate::config::settings::ProxyLogin;

/// Why a proxy does not let us through.
#[derive(Debug)]
pub(super) enum ProxyFault {
    /// 407, or 401 as tinyproxy says it: it wants to know who asks, or does not believe it.
    Login {
        /// What it would take: "Negotiate, NTLM"; `None` where it does not say.
        offered: Option<String>,
        /// Whether we said who we are.
        told: Told,
    },
    /// It answered with another status than 2xx.
    Refused {
        /// The status.
        status: u16,
        /// Its words, escaped.
        words: String,
    },
    /// What it answered is no HTTP, or has no end.
    NotHttp,
    /// It went on after its answer, before anything was said through the tunnel.
    SpokeTooEarly,
    /// The connection broke.
    Io(io::Error),
}

/// Whether a proxy was told who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It was, and did not believe it.
    Credentials,
    /// It was not.
    Nothing,
}

impl Told {
    pub(super) const fn by(login: Option<&ProxyLogin>) -> Self {
        if login.is_some() { Self::Credentials } else { Self::Nothing }
    }
}

impl ProxyFault {
    /// 5xx says that the server behind it is out of reach, which may pass; everything else is for the proxy's
    /// administrator.
    pub(super) const fn remedy(&self) -> Remedy {
        match self {
            Self::Refused { status: 500.., .. } | Self::Io(_) => Remedy::Wait,
            Self::Refused { .. } | Self::Login { .. } | Self::NotHttp | Self::SpokeTooEarly => {
                Remedy::Operator
            }
        }
    }

    pub(super) fn tell(&self, f: &mut fmt::Formatter<'_>, proxy: &str, at: &str) -> fmt::Result {
        match self {
            Self::Login { offered: Some(offered), .. } if !offered.to_ascii_lowercase().contains("basic") => {
                write!(
                    f,
                    "{proxy} wants a login by {offered}, and here is only Basic; allow that there, let this machine's address \
                 through, or name the host of {at} in outbound_proxy.except"
                )
            }
            Self::Login { told: Told::Credentials, .. } => {
                write!(f, "{proxy} refuses the login; check outbound_proxy.user and the password in its file")
            }
            Self::Login { told: Told::Nothing, .. } => {
                write!(f, "{proxy} wants a login; add outbound_proxy.user and its password_file")
            }
            Self::Refused { status: status @ 500.., words } => write!(
                f,
                "{proxy} cannot reach {at}: {status} {words}; check its URL, and whether the proxy resolves that name"
            ),
            Self::Refused { status, words } => write!(
                f,
                "{proxy} does not let us through to {at}: {status} {words}; its administrator must allow that, or name \
                 the host in outbound_proxy.except"
            ),
            Self::NotHttp => write!(f, "{proxy} does not speak HTTP; check outbound_proxy.url"),
            Self::SpokeTooEarly => {
                write!(f, "{proxy} sent more than its answer to CONNECT; check outbound_proxy.url")
            }
            Self::Io(error) => {
                write!(f, "{proxy} ended the connection when asked for {at}: {error}; look into its log")
            }
        }
    }
}

/// Asks a proxy for a tunnel to `target`, a host and port. Takes as long as the proxy does: wrap it in a time limit.
pub(super) async fn open_tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &str,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyFault> {
    let mut head = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if let Some(login) = login {
        head.push_str("Proxy-Authorization: ");
        head.push_str(&basic(login));
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.map_err(ProxyFault::Io)?;
    stream.flush().await.map_err(ProxyFault::Io)?;
    judge(&read_head(stream).await?, Told::by(login))
}

/// The value of `Proxy-Authorization`.
pub(super) fn basic(login: &ProxyLogin) -> Zeroizing<String> {
    let pair = Zeroizing::new([&*login.user, ":", &**login.password.text].concat());
    let mut value = Zeroizing::new(String::with_capacity(pair.len().saturating_mul(2).saturating_add(16)));
    value.push_str("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut value);
    value
}

/// The schemes of these challenges: "Basic, NTLM".
pub(super) fn offered<'c>(challenges: impl Iterator<Item = &'c str>) -> Option<String> {
    let schemes: Vec<String> = challenges
        .filter_map(|challenge| challenge.split_ascii_whitespace().next())
        .map(|scheme| scheme.chars().filter(char::is_ascii_alphanumeric).take(20).collect())
        .take(5)
        .collect();
    (!schemes.is_empty()).then(|| schemes.join(", "))
}

/// An answer up to and with its empty line, and nothing behind it if it is a good one.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, ProxyFault> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = stream.read(&mut piece).await.map_err(ProxyFault::Io)?;
        if read == 0 {
            return Err(ProxyFault::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        let begins = HTTP.iter().zip(&head).all(|(expected, octet)| expected == octet);
        if head.len() > MAX_HEAD || !begins {
            return Err(ProxyFault::NotHttp);
        }
        if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            let end = end.saturating_add(4);
            // The body of a refusal is for people in front of a browser.
            if head.len() > end && head.get(HTTP.len().saturating_add(2)) == Some(&b'2') {
                return Err(ProxyFault::SpokeTooEarly);
            }
            head.truncate(end);
            return Ok(head);
        }
    }
}

fn judge(head: &[u8], told: Told) -> Result<(), ProxyFault> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
    let (status, reason) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let status = status.parse::<u16>().ok().filter(|_| status.len() == 3).ok_or(ProxyFault::NotHttp)?;
    match status {
        200..300 => Ok(()),
        401 | 407 => Err(ProxyFault::Login { offered: offered(lines.filter_map(challenge)), told }),
        status => {
            let words = reason.chars().take(MAX_WORDS).flat_map(char::escape_debug).collect();
            Err(ProxyFault::Refused { status, words })
        }
    }
}

fn challenge(line: &str) -> Option<&str> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("proxy-authenticate").then_some(value)
}

/// What every answer begins with; a digit, a space and the status follow.
const HTTP: &[u8] = b"HTTP/1.";
/// Octets of an answer's header.
const MAX_HEAD: usize = 16 * 1024;
/// Characters of a reason phrase.
const MAX_WORDS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(reply: &[u8]) -> Result<(), ProxyFault> {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(reply).await.unwrap();
        theirs.shutdown().await.unwrap();
        open_tunnel(&mut ours, "hooks.example:443", None).await
    }

    struct Said(ProxyFault);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.tell(f, "the proxy p:3128", "hooks.example:443")
        }
    }

    #[tokio::test]
    async fn any_2xx_is_a_tunnel() {
        asked(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        asked(b"HTTP/1.0 204\r\nVia: x\r\n\r\n").await.unwrap();
    }

    #[tokio::test]
    async fn what_a_proxy_refuses_is_said_in_words() {
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(5000));
        for (reply, expected) in [
            (
                "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\nbody",
                "add outbound_proxy.user",
            ),
            (
                "HTTP/1.1 407 No\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate:NTLM\r\n\r\n",
                "wants a login by Negotiate, NTLM",
            ),
            ("HTTP/1.1 403 For\u{1B}bidden\r\n\r\n<html>", "403 For\\u{1b}bidden; its administrator"),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "cannot reach hooks.example:443: 503"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP"),
            ("HTTP/1.1 200 OK\r\n\r\n\x16", "more than its answer"),
            ("HTTP/1.1 200 OK\r\n", "unexpected end of file"),
            (&*endless, "does not speak HTTP"),
        ] {
            let said = Said(asked(reply.as_bytes()).await.unwrap_err()).to_string();
            assert!(said.contains(expected), "{reply:.40}: {said}");
        }
    }
}
