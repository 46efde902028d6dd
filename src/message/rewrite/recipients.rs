//! The recipients in a mail's header, replaced by those of the envelope: for a next hop that knows no envelope and sends to
//! whom the header names.
//!
//! Pure, on the header block. Whoever wrote the mail chose its header, and the gateway decided about its envelope alone, so
//! no address of the one may become a recipient that the other does not have. Recipient fields are therefore written anew
//! from the envelope, and nothing of the old ones is left but under names that no server sends to.

use super::author::authors;
use super::{Field, fields, mailbox};
use crate::wire::smtp::path::Mailbox;

/// The header with exactly these recipients.
///
/// * Those that To and Cc name stay there, with their display names; all others are in Bcc.
/// * To and Cc that name anybody else, or cannot be read, are kept whole as X-Original-To and X-Original-Cc.
/// * Bcc and the fields of a mail that was sent on (Resent-To and so on, RFC 5322 §3.6.6) go.
/// * Bare CR and NUL become blanks: some servers would see another field behind them.
#[must_use]
pub fn name_recipients(header: &[u8], recipients: &[Mailbox]) -> Vec<u8> {
    let mut left: Vec<&Mailbox> = recipients.iter().collect();
    let mut out = Vec::with_capacity(header.len().saturating_add(256));
    let mut named = Vec::new();
    let mut separator: &[u8] = b"";
    for field in fields(header) {
        if field.is_separator() {
            separator = field.whole();
        } else if let Some(kept) = kept_name(&field) {
            let new = take(field.value(), &mut left);
            if new.others == Others::Some {
                put(&mut out, kept.original.as_bytes());
                put(&mut out, b":");
                put(&mut out, field.value());
            }
            named.push((kept.name, new.mailboxes));
        } else if !names_recipients(&field) {
            put(&mut out, field.whole());
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    let hidden = left.iter().map(|recipient| mailbox("", recipient)).collect();
    named.push(("Bcc", hidden));
    for name in ["To", "Cc", "Bcc"] {
        let of_name = named.iter().filter(|(other, _)| *other == name);
        let mailboxes: Vec<&str> =
            of_name.flat_map(|(_, mailboxes)| mailboxes.iter().map(String::as_str)).collect();
        if !mailboxes.is_empty() {
            out.extend_from_slice(format!("{name}: {}\r\n", mailboxes.join(",\r\n ")).as_bytes());
        }
    }
    out.extend_from_slice(separator);
    out
}

/// A field whose recipients readers should see.
struct Kept {
    name: &'static str,
    original: &'static str,
}

fn kept_name(field: &Field<'_>) -> Option<Kept> {
    let all = [Kept { name: "To", original: ORIGINAL_TO }, Kept { name: "Cc", original: ORIGINAL_CC }];
    all.into_iter().find(|kept| field.is(kept.name))
}

/// Whether a server might send to whom this field names; and our own names, which the mail must not bring along.
fn names_recipients(field: &Field<'_>) -> bool {
    ["Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To", ORIGINAL_TO, ORIGINAL_CC]
        .iter()
        .any(|name| field.is(name))
}

/// What of a field goes into the new one.
struct Taken {
    mailboxes: Vec<String>,
    others: Others,
}

/// Whether a field named others besides.
#[derive(PartialEq, Eq)]
enum Others {
    None,
    Some,
}

/// Those of the recipients that are left and that this field names.
fn take(value: &[u8], left: &mut Vec<&Mailbox>) -> Taken {
    let mut taken = Taken { mailboxes: Vec::new(), others: Others::None };
    for author in authors(value) {
        let address = author.address.as_ref();
        let same = |recipient: &&Mailbox| {
            address.is_some_and(|address| address.as_str().eq_ignore_ascii_case(recipient.as_str()))
        };
        match left.iter().position(same) {
            Some(at) => taken.mailboxes.push(mailbox(&author.name, left.remove(at))),
            None => taken.others = Others::Some,
        }
    }
    taken
}

fn put(out: &mut Vec<u8>, octets: &[u8]) {
    let mut octets = octets.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        let bare = octet == b'\r' && octets.peek() != Some(&b'\n');
        out.push(if bare || octet == 0 { b' ' } else { octet });
    }
}

const ORIGINAL_TO: &str = "X-Original-To";
const ORIGINAL_CC: &str = "X-Original-Cc";

#[cfg(test)]
mod tests {
    use super::*;

    fn named(header: &str, recipients: &[&str]) -> String {
        let recipients: Vec<Mailbox> =
            recipients.iter().map(|recipient| Mailbox::parse(recipient).unwrap()).collect();
        String::from_utf8(name_recipients(header.as_bytes(), &recipients)).unwrap()
    }

    #[test]
    fn who_is_in_to_and_cc_stays_and_the_others_are_hidden() {
        let header = "From: a@x.example\r\nTo: \"Ops, Night\" <OPS@x.example>,\r\n b@x.example\r\nSubject: s\r\nCc: c@x.example\r\n\r\n";
        assert_eq!(
            named(header, &["c@x.example", "ops@x.example", "b@x.example", "d@x.example"]),
            "From: a@x.example\r\nSubject: s\r\nTo: \"Ops, Night\" <ops@x.example>,\r\n <b@x.example>\r\nCc: <c@x.example>\r\nBcc: <d@x.example>\r\n\r\n"
        );
    }

    #[test]
    fn nobody_becomes_a_recipient_who_is_not_in_the_envelope() {
        for hostile in [
            "To: victim@y.example\r\n",
            "To: ops@x.example, victim@y.example\r\n",
            "tO : victim@y.example\r\n",
            "Bcc: victim@y.example\r\n",
            "bcc\t:victim@y.example\r\n",
            "Resent-To: victim@y.example\r\n",
            "Resent-Bcc: victim@y.example\r\n",
            "To: Team: ops@x.example, victim@y.example;\r\n",
            "To: \"ops@x.example\" <victim@y.example>\r\n",
            "To: ops@x.example (\r\n ), victim@y.example\r\n",
            "To: <ops@x.example>, <@relay:victim@y.example>\r\n",
            "X-A: b\rBcc: victim@y.example\r\n",
            "X-A: b\r\n\x00Bcc: victim@y.example\r\n",
            "X-Original-To: victim@y.example\r\n",
            "X-A: b\nBcc: victim@y.example\n",
            "To: =?utf-8?q?victim=40y.example?=\r\n",
            "To: ops@x.example\r\n\tvictim@y.example\r\n",
        ] {
            let out = named(&format!("{hostile}From: a@x.example\r\n\r\n"), &["ops@x.example"]);
            let unfolded = out.replace("\r\n ", " ").replace("\r\n\t", " ").replace('\r', "\n");
            for line in unfolded.split('\n').filter(|line| line.contains("victim")) {
                assert!(line.starts_with("X-"), "{hostile:?}: {out}");
            }
            let sent =
                unfolded.split('\n').filter(|line| line.starts_with("To: ") || line.starts_with("Bcc: "));
            assert_eq!(
                sent.filter(|line| line.ends_with("<ops@x.example>")).count(),
                1,
                "{hostile:?}: {out}"
            );
        }
    }

    #[test]
    fn a_header_without_an_end_gets_its_recipients_all_the_same() {
        assert_eq!(named("Subject: s", &["ops@x.example"]), "Subject: s\r\nBcc: <ops@x.example>\r\n");
        assert_eq!(named("\r\n", &["ops@x.example"]), "Bcc: <ops@x.example>\r\n\r\n");
    }

    #[test]
    fn names_outside_ascii_are_encoded_anew() {
        let out = named("To: =?utf-8?b?6Zu7?= <ops@x.example>\r\n\r\n", &["ops@x.example"]);
        assert_eq!(out, "To: =?UTF-8?B?6Zu7?=\r\n <ops@x.example>\r\n\r\n");
    }
}
