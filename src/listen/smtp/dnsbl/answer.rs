//! What the answer of a list means (RFC 5782 §2.3), and what the client is told.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// What a list said of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is listed; the text for the reply.
    Listed(Arc<str>),
    /// It is not.
    NotListed,
    /// The list turns away whoever asks: too many questions, or by way of a public resolver.
    Refused,
    /// An address that no list answers with.
    Foreign(Ipv4Addr),
    /// Nothing in time.
    TimedOut,
    /// The resolver failed; how.
    Failed(String),
}

impl Answer {
    /// Listed is whoever has an address of 127.0.0.0/8 there, but for 127.255.255.0/24, by which lists say that they do
    /// not answer. One such address spoils the others.
    pub(super) fn of(addresses: &[Ipv4Addr]) -> Self {
        let is_refusal = |address: &&Ipv4Addr| matches!(address.octets(), [127, 255, 255, _]);
        if addresses.iter().any(|address| is_refusal(&address)) {
            Self::Refused
        } else if addresses.iter().any(Ipv4Addr::is_loopback) {
            Self::Listed("".into())
        } else if let Some(foreign) = addresses.first() {
            Self::Foreign(*foreign)
        } else {
            Self::NotListed
        }
    }
}

/// What the 550 says: the list by name, and its reason as far as it is printable ASCII and not too long for a reply.
pub(super) fn reply_text(client: IpAddr, list: &str, reason: Option<&[u8]>) -> Arc<str> {
    let mut text = format!("Client host [{client}] is listed by {list}");
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        text.push_str("; ");
        for octet in reason.iter().take(MAX_REASON) {
            let is_printable = octet.is_ascii_graphic() || *octet == b' ';
            text.push(if is_printable { char::from(*octet) } else { '?' });
        }
        if reason.len() > MAX_REASON {
            text.push_str("...");
        }
    }
    text.into()
}

/// With the rest of the line well below the 512 octets of a reply (RFC 5321 §4.5.3.1.5).
const MAX_REASON: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_of_the_list_itself_lists_a_client() {
        let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        for (addresses, answer) in [
            (&[][..], Answer::NotListed),
            (&["127.0.0.2"], Answer::Listed("".into())),
            (&["127.0.0.4", "127.0.0.11"], Answer::Listed("".into())),
            (&["127.255.255.254"], Answer::Refused),
            (&["127.0.0.2", "127.255.255.255"], Answer::Refused),
            (&["192.0.2.80"], Answer::Foreign(address("192.0.2.80"))),
            (&["192.0.2.80", "127.0.0.2"], Answer::Listed("".into())),
        ] {
            let parsed: Vec<Ipv4Addr> = addresses.iter().map(|text| address(text)).collect();
            assert_eq!(Answer::of(&parsed), answer, "{addresses:?}");
        }
    }

    #[test]
    fn a_reason_cannot_break_or_fill_the_reply() {
        let client = "192.0.2.1".parse().unwrap();
        let text = |reason: Option<&[u8]>| reply_text(client, "bl.example", reason).to_string();
        assert_eq!(text(None), "Client host [192.0.2.1] is listed by bl.example");
        assert_eq!(text(Some(b"")), "Client host [192.0.2.1] is listed by bl.example");
        assert_eq!(
            text(Some(b"see https://bl.example/?ip=1\r\n250 ok\xff\x1b[2J")),
            "Client host [192.0.2.1] is listed by bl.example; see https://bl.example/?ip=1??250 ok??[2J"
        );
        let long = text(Some(&[b'x'; 65_535]));
        assert!(long.len() < 300 && long.ends_with("x..."), "{long}");
    }
}
