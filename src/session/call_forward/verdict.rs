//! What a reply to RCPT says about the recipient.

use crate::session::smtp_server::Existence;
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::reply::Reply;
use crate::wire::smtp::status::EnhancedStatus;

/// What a reply to RCPT says about the recipient, which was asked for in these words.
///
/// *Known*: 250, 251 (will forward). *Unknown*, which becomes a 550 of ours: only what says that this very mailbox is not
/// there, as a row of [`UNKNOWN`] does. Everything else, 4yz or a block or a wish for TLS or a login, is about ourselves
/// or about now: *not available*.
///
/// Words of the recipient's own address tell nothing: it may be relay@blockchain.example.
pub(super) fn existence(reply: &Reply, asked: &Mailbox) -> Existence {
    // Of whatever class: 550 with a status of class 4 contradicts itself, and is no plain 550.
    let status =
        reply.lines().first().and_then(|line| EnhancedStatus::leading(line)).map(|(status, _)| status);
    let code = reply.code().number();
    if matches!(code, 250 | 251) {
        Existence::Known
    } else if UNKNOWN.iter().any(|row| row.fits(code, status, &text_without(reply, asked))) {
        Existence::Unknown
    } else {
        Existence::Unavailable
    }
}

/// What it says in lower case, without the address that was asked for, and without its domain where that stands alone.
fn text_without(reply: &Reply, asked: &Mailbox) -> String {
    let text = reply.lines().join("\n").to_ascii_lowercase();
    let [address, domain] = [asked.as_str(), asked.domain()].map(str::to_ascii_lowercase);
    text.replace(&address, "…").replace(&domain, "…")
}

/// A reply that means "no such recipient".
struct Row {
    codes: &'static [u16],
    status: Option<EnhancedStatus>,
    words: Words,
}

/// What its text must be like, in lower case.
enum Words {
    /// The status says all.
    Any,
    /// It alone is no proof: the text must have this.
    Saying(&'static str),
    /// It alone is no proof: the text must have nothing of [`OTHER_REASONS`].
    Innocent,
}

impl Row {
    fn fits(&self, code: u16, status: Option<EnhancedStatus>, text: &str) -> bool {
        let fits = match self.words {
            Words::Any => true,
            Words::Saying(words) => text.contains(words),
            Words::Innocent => !OTHER_REASONS.iter().any(|words| text.contains(words)),
        };
        // Postfix may refuse a sender as late as at RCPT (`smtpd_delay_reject`), whatever status its operator wrote.
        self.codes.contains(&code) && self.status == status && fits && !text.contains("sender address")
    }
}

const fn row(codes: &'static [u16], status: (u16, u16), words: Words) -> Row {
    Row { codes, status: Some(EnhancedStatus::new(5, status.0, status.1)), words }
}

/// Not here: X.1.2 and X.1.4, which speak of domain and configuration; X.1.7 and X.1.8, of the sender; X.2.z, of a mailbox
/// that is there; X.7.z, of what we may, `550 5.7.1 RESOLVER.RST.AuthRequired` of a group and `554 5.7.1 Relay access
/// denied` for example.
const UNKNOWN: &[Row] = &[
    // RFC 3463 §3.2, bad mailbox. Postfix, Exim, Sendmail, Google; Exchange's recipient filter (`User unknown`), Exchange
    // 2010 (`RESOLVER.ADR.RecipNotFound`, `RESOLVER.ADR.ExRecipNotFound`).
    row(&[550, 551, 553], (1, 1), Words::Any),
    // Recipient without a mail host (RFC 7505 §4.2); Exchange 2016 and Exchange Online say so of a recipient they do not
    // find (`RESOLVER.ADR.RecipientNotFound`, Microsoft: "Fix NDR error code 5.1.10 in Exchange Online").
    row(&[550, 551, 553], (1, 10), Words::Any),
    // Other address status, of sender or recipient. Exchange and others that say no more.
    row(&[550, 551, 553], (1, 0), Words::Innocent),
    // Exchange Online, Directory Based Edge Blocking: says "access denied" of every address that its directory lacks
    // (Microsoft: "Use Directory-Based Edge Blocking to reject messages sent to invalid recipients"). Any other 5.4.1 is
    // about the network (RFC 3463 §3.5).
    row(&[550], (4, 1), Words::Saying("recipient address rejected: access denied")),
    // Bad mailbox syntax: as it is written, nobody there can have it.
    row(&[550, 551, 553], (1, 3), Words::Any),
    // Moved, and not forwarded.
    row(&[550, 551, 553], (1, 6), Words::Any),
    // Servers without enhanced status codes: "no such user", "Unrouteable address".
    Row { codes: &[550], status: None, words: Words::Innocent },
];

/// Words of a 550 that is not about the recipient.
const OTHER_REASONS: [&str; 18] = [
    "relay",
    "block",
    "spam",
    "denied",
    "prohibit",
    "policy",
    "blacklist",
    "reputation",
    "sender",
    "mail from",
    "helo",
    "reverse",
    "dns",
    "listed",
    "authenticat",
    "not allowed",
    "permi",
    "quota",
];

#[cfg(test)]
mod tests {
    use super::Existence::{Known, Unavailable, Unknown};
    use super::*;
    use crate::wire::smtp::reply::ReplyParser;

    fn of_asked(asked: &str, text: &str) -> Existence {
        let reply = ReplyParser::new().parse(&mut format!("{text}\r\n").as_bytes()).unwrap().unwrap();
        existence(&reply, &Mailbox::parse(asked).unwrap())
    }

    fn of(text: &str) -> Existence {
        of_asked("x@corp.example", text)
    }

    #[test]
    fn words_of_the_address_that_was_asked_for_are_no_reason() {
        for (asked, text, existence) in [
            ("relay@corp.example", "550 no such user <Relay@corp.example>", Unknown),
            ("ops@dnslab.example", "550 5.1.0 <ops@dnslab.example>: not here", Unknown),
            ("ops@dnslab.example", "550 nobody of that name at dnslab.example", Unknown),
            (
                "\"sender address\"@corp.example",
                "550 5.1.1 <\"sender address\"@corp.example>: User unknown in virtual mailbox table",
                Unknown,
            ),
            ("relay@corp.example", "550 relay not permitted for relay@corp.example", Unavailable),
            ("ops@dnslab.example", "550 dnslab.example: your address is listed", Unavailable),
            (
                "ops@corp.example",
                "550 5.1.0 <relay@other.example> is in nobody's list of relays",
                Unavailable,
            ),
        ] {
            assert_eq!(of_asked(asked, text), existence, "{asked}: {text}");
        }
    }

    #[test]
    fn a_recipient_that_is_taken_is_known() {
        assert_eq!(of("250 2.1.5 ok"), Known);
        assert_eq!(of("251 user not local; will forward"), Known);
        assert_eq!(of("252 cannot verify"), Unavailable);
    }

    #[test]
    fn what_servers_in_use_say_of_a_recipient_that_they_lack_is_unknown() {
        for text in [
            // Postfix.
            "550 5.1.1 <x>: Recipient address rejected: User unknown in virtual mailbox table",
            "550 5.1.1 <x>: Recipient address rejected: undeliverable address: host mx said: 550 no such user",
            // Sendmail.
            "550 5.1.1 <x>... User unknown",
            // Google.
            "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n550 5.1.1 double-checking",
            // Exchange: recipient filter; 2010; 2016 and later; Exchange Online.
            "550 5.1.1 User unknown",
            "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found",
            "550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            "550 5.1.0 address rejected",
            "550 5.1.0 RESOLVER.ADR.RecipNotFound; not found",
            "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [BN1.eop-nam02.prod.protection.outlook.com]",
            "550 5.4.1 [x@corp.example]: Recipient address rejected: Access denied",
            // RFC 3463.
            "551 5.1.6 moved",
            "553 5.1.3 bad mailbox",
            // Without enhanced status codes; Exim.
            "550 no such user",
            "550 Unrouteable address",
        ] {
            assert_eq!(of(text), Unknown, "{text}");
        }
    }

    #[test]
    fn nothing_else_makes_a_recipient_unknown() {
        for text in [
            "550 5.1.2 domain not found",
            "550 5.1.7 <s>: Sender address rejected: undeliverable address",
            "550 5.1.8 sender's domain",
            "550 5.1.0 <s> sender rejected",
            "550 5.1.0 Mail from is not one of ours",
            "550 5.1.1 <s>: Sender address rejected: not wanted",
            "550 5.2.1 The email account that you tried to reach is inactive",
            "552 5.2.2 mailbox full",
            "550 5.4.1 No answer from host",
            "554 5.4.1 Recipient address rejected: Access denied",
            "550 5.4.4 no route",
            "550 5.4.310 DNS domain does not exist",
            "550 5.7.1 blocked",
            "550 5.7.1 relaying denied",
            "550 5.7.1 Recipient address rejected: Access denied",
            "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required",
            "550 5.7.64 TenantAttribution; Relay Access Denied",
            "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
            "550 relay not permitted",
            "550 Administrative prohibition",
            "550-Your address is listed in a DNS block list\r\n550 go away",
            "550 4.1.1 classes disagree",
            "551 user not local",
            "553 no",
            "554 5.1.1 odd code",
            "554 5.7.1 Relay access denied",
            "530 5.7.0 Must issue a STARTTLS command first",
            "530 5.7.57 Client not authenticated to send mail",
            "501 5.1.3 syntax",
            "503 5.5.1 sequence",
            "450 4.1.1 unverified",
            "451 4.7.1 greylisted",
            "452 4.3.1 full",
        ] {
            assert_eq!(of(text), Unavailable, "{text}");
        }
    }
}
