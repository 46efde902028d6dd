//! Could a client go to the provider directly?

use std::fmt;

use serde::{Serialize, Serializer};

use super::client::SmtpClient;
use super::sighting::TlsSeen;
use crate::wire::client_hello::Version;
use crate::wire::smtp::mechanism::Mechanism;
use crate::wire::smtp::quirk::Quirk;

/// Whether a client could send its mail to a mail provider without this gateway, by what its sessions showed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does all that providers ask for.
    CouldGoDirectly,
    /// It does not.
    NeedsGateway(Vec<Reason>),
}

/// Why a client needs the gateway. Displays as a clause that follows its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing that it sent was accepted, so too little is known.
    NothingSent,
    /// It uses no TLS.
    NoTls,
    /// It cannot do TLS 1.2.
    OldTls(Version),
    /// Its handshakes fail though it offers enough, or what it offers was not understood.
    TlsFails,
    /// It does not authenticate.
    NoAuth,
    /// It authenticates by a mechanism that providers do not offer.
    Mechanism,
    /// It does what strict servers refuse.
    Quirk(Quirk),
}

/// The verdict on a client. What it does not do here, it might still be able to do: a listener that offers no AUTH is
/// sent none.
#[must_use]
pub fn verdict_of(client: &SmtpClient) -> Verdict {
    let mut reasons = Vec::new();
    if client.messages == 0 {
        reasons.push(Reason::NothingSent);
    }
    match client.tls {
        TlsSeen::Tls12 | TlsSeen::Tls13 => {}
        TlsSeen::None => reasons.push(Reason::NoTls),
        TlsSeen::Failed { newest: Some(newest) } if newest < Version::TLS12 => {
            reasons.push(Reason::OldTls(newest))
        }
        TlsSeen::Failed { .. } => reasons.push(Reason::TlsFails),
    }
    match client.mechanism.as_deref() {
        None => reasons.push(Reason::NoAuth),
        Some(mechanism) if mechanism == Mechanism::CramMd5.as_str() => reasons.push(Reason::Mechanism),
        Some(_) => {}
    }
    reasons.extend(client.quirks.quirks().iter().map(Reason::Quirk));
    if reasons.is_empty() { Verdict::CouldGoDirectly } else { Verdict::NeedsGateway(reasons) }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingSent => "has sent nothing yet",
            Self::NoTls => "uses no TLS here",
            Self::OldTls(newest) => return write!(f, "offers at most {newest}; TLS 1.2 is needed"),
            Self::TlsFails => "does not come to a TLS session",
            Self::NoAuth => "does not authenticate here",
            Self::Mechanism => "authenticates by CRAM-MD5, which providers do not offer",
            Self::Quirk(quirk) => match quirk {
                Quirk::BareLineEnd => "sends bare CR or LF",
                Quirk::LongLine => "sends lines over 1000 octets",
                Quirk::EightBitHeader => "sends raw 8-bit header fields",
                Quirk::OddHelo => "names itself with what is no domain",
                Quirk::PathWithoutBrackets => "writes addresses without angle brackets",
                Quirk::MissingDate => "writes no Date",
                Quirk::MissingMessageId => "writes no Message-ID",
                Quirk::MissingHeader => "sends text without a header",
                Quirk::Nul => "sends NUL octets",
                Quirk::HiddenKeywords => "stumbles over EHLO keywords that are hidden from it here",
            },
        })
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::client::tests::seen;
    use crate::inventory::sighting::SmtpClientSeen;
    use crate::wire::smtp::quirk::Quirks;

    fn client(tls: TlsSeen, mechanism: Option<Mechanism>, quirks: &[Quirk]) -> SmtpClient {
        let quirks = quirks.iter().copied().collect::<Quirks>();
        SmtpClient {
            tls,
            mechanism: mechanism.map(|mechanism| mechanism.as_str().to_owned()),
            messages: 1,
            ..SmtpClient::new(SmtpClientSeen { quirks, ..seen("192.0.2.7", 1) })
        }
    }

    #[test]
    fn a_modern_client_could_go_directly() {
        for tls in [TlsSeen::Tls12, TlsSeen::Tls13] {
            let verdict = verdict_of(&client(tls, Some(Mechanism::Login), &[]));
            assert_eq!(verdict, Verdict::CouldGoDirectly);
        }
    }

    #[test]
    fn an_old_scanner_needs_the_gateway_for_every_reason_that_it_gives() {
        let tls = TlsSeen::Failed { newest: Some(Version(0x0301)) };
        let quirks = [Quirk::BareLineEnd, Quirk::MissingDate];
        let Verdict::NeedsGateway(reasons) = verdict_of(&client(tls, None, &quirks)) else {
            panic!("it cannot do TLS 1.2")
        };
        let words: Vec<String> = reasons.iter().map(Reason::to_string).collect();
        assert_eq!(
            words,
            [
                "offers at most TLS 1.0; TLS 1.2 is needed",
                "does not authenticate here",
                "sends bare CR or LF",
                "writes no Date",
            ]
        );
    }

    #[test]
    fn each_lack_alone_is_enough() {
        let modern = client(TlsSeen::Tls12, Some(Mechanism::Plain), &[]);
        let cases = [
            (SmtpClient { messages: 0, ..modern.clone() }, Reason::NothingSent),
            (SmtpClient { tls: TlsSeen::None, ..modern.clone() }, Reason::NoTls),
            (
                SmtpClient { tls: TlsSeen::Failed { newest: Some(Version(0x0304)) }, ..modern.clone() },
                Reason::TlsFails,
            ),
            (SmtpClient { mechanism: None, ..modern.clone() }, Reason::NoAuth),
            (client(TlsSeen::Tls13, Some(Mechanism::CramMd5), &[]), Reason::Mechanism),
        ];
        for (client, reason) in cases {
            assert_eq!(verdict_of(&client), Verdict::NeedsGateway(vec![reason]));
        }
        for quirk in Quirk::ALL {
            let verdict = verdict_of(&client(TlsSeen::Tls12, Some(Mechanism::Plain), &[quirk]));
            assert_eq!(verdict, Verdict::NeedsGateway(vec![Reason::Quirk(quirk)]));
        }
    }
}
