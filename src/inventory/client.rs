//! What is known of one client.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::habits::Habits;
use super::sighting::{Acquaintance, AuthSeen, SmtpClientSeen, TlsSeen};
use crate::message::host::bounded_line;
use crate::message::id::ListenerName;
use crate::wire::smtp::path::ReversePath;

/// A client of one listener, as all its sessions together show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmtpClient {
    /// Where it comes in.
    pub listener: ListenerName,
    /// Where it is.
    pub address: IpAddr,
    /// Whether it is one of ours, or ever was.
    pub acquaintance: Acquaintance,
    /// As it last named itself: one line of at most 255 characters, controls escaped.
    pub client_name: Option<String>,
    /// Its last reverse-path, as the client name; `<>` is the null one.
    pub reverse_path: Option<String>,
    /// TLS of its last session that told anything of it.
    pub tls: TlsSeen,
    /// The mechanism of the last session that sent mail; absent where that did not authenticate.
    pub mechanism: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// What it does that strict servers refuse.
    pub quirks: Habits,
    /// Octets of its largest message.
    pub largest_message: u64,
    /// Messages that were accepted.
    pub messages: u64,
    /// Messages, senders and recipients that were refused.
    pub refused: u64,
    /// When it first came.
    pub first_seen: Timestamp,
    /// When it last came.
    pub last_seen: Timestamp,
}

impl SmtpClient {
    /// A client that was never here before.
    #[must_use]
    pub(super) fn new(seen: SmtpClientSeen) -> Self {
        let mut client = Self {
            listener: seen.listener.clone(),
            address: seen.address,
            acquaintance: Acquaintance::Stranger,
            client_name: None,
            reverse_path: None,
            tls: TlsSeen::None,
            mechanism: None,
            account: None,
            quirks: Habits::default(),
            largest_message: 0,
            messages: 0,
            refused: 0,
            first_seen: seen.at,
            last_seen: seen.at,
        };
        client.add(seen);
        client
    }

    /// It was here again.
    pub(super) fn add(&mut self, seen: SmtpClientSeen) {
        let SmtpClientSeen { acquaintance, client_name, reverse_path, tls, auth, .. } = seen;
        self.acquaintance = self.acquaintance.max(acquaintance);
        if let Some(name) = client_name {
            self.client_name = Some(plain(&name));
        }
        if let Some(path) = reverse_path {
            self.reverse_path = Some(match path {
                ReversePath::Null => "<>".to_owned(),
                ReversePath::Mailbox(mailbox) => plain(mailbox.as_str()),
            });
        }
        self.tls = self.tls.and_then(tls);
        self.authenticated(auth, seen.messages);
        self.quirks.note(seen.quirks, seen.at);
        if seen.messages > 0 {
            self.quirks.forget(seen.at);
        }
        self.largest_message = self.largest_message.max(seen.largest_message);
        self.messages = self.messages.saturating_add(seen.messages);
        self.refused = self.refused.saturating_add(seen.refused);
        self.last_seen = self.last_seen.max(seen.at);
    }

    /// A session that sends nothing says nothing by not authenticating: monitors only look whether somebody answers.
    fn authenticated(&mut self, auth: Option<AuthSeen>, messages: u64) {
        if let Some(AuthSeen { mechanism, account }) = auth {
            self.mechanism = Some(mechanism.as_str().to_owned());
            self.account = Some(plain(&account));
        } else if messages > 0 {
            (self.mechanism, self.account) = (None, None);
        }
    }
}

/// What a peer says, in one line that harms nobody.
fn plain(text: &str) -> String {
    bounded_line(text, MOST_CHARACTERS)
}

/// The longest domain (RFC 5321 §4.5.3.1.2), which a path hardly exceeds.
const MOST_CHARACTERS: usize = 255;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::smtp::mechanism::Mechanism;
    use crate::wire::smtp::quirk::Quirks;

    pub(crate) fn seen(address: &str, second: i64) -> SmtpClientSeen {
        SmtpClientSeen {
            listener: ListenerName::new("devices").unwrap(),
            address: address.parse().unwrap(),
            acquaintance: Acquaintance::Own,
            client_name: Some("scanner7".to_owned()),
            reverse_path: None,
            tls: TlsSeen::None,
            auth: None,
            quirks: Quirks::default(),
            largest_message: 0,
            messages: 0,
            refused: 0,
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn sessions_add_up() {
        let path =
            |text| Some(ReversePath::take(text, crate::wire::smtp::tolerance::Tolerance::Strict).unwrap().0);
        let auth = Some(AuthSeen { mechanism: Mechanism::Login, account: "scanner".to_owned() });
        let first = SmtpClientSeen {
            messages: 2,
            largest_message: 700,
            reverse_path: path("<scan@corp.example>"),
            auth,
            ..seen("192.0.2.7", 100)
        };
        let mut client = SmtpClient::new(first);
        client.add(SmtpClientSeen { refused: 1, largest_message: 30, ..seen("192.0.2.7", 200) });
        assert_eq!((client.messages, client.refused, client.largest_message), (2, 1, 700));
        assert_eq!(client.account.as_deref(), Some("scanner"), "a session without mail says nothing of it");
        assert_eq!(client.reverse_path.as_deref(), Some("scan@corp.example"));
        assert_eq!((client.first_seen.as_second(), client.last_seen.as_second()), (100, 200));
        client.add(SmtpClientSeen { messages: 1, reverse_path: path("<>"), ..seen("192.0.2.7", 150) });
        assert_eq!((client.mechanism, client.account), (None, None));
        assert_eq!(client.reverse_path.as_deref(), Some("<>"));
        assert_eq!(client.last_seen.as_second(), 200, "a clock that was set back");
    }

    #[test]
    fn what_a_client_calls_itself_is_one_bounded_line() {
        let name = format!("a\u{202e}b\n{}", "x".repeat(5000));
        let client = SmtpClient::new(SmtpClientSeen { client_name: Some(name), ..seen("192.0.2.7", 1) });
        let name = client.client_name.unwrap();
        assert!(name.starts_with("a\\u{202e}b\\nxxx"), "{name}");
        assert!(name.len() < 300);
    }
}
