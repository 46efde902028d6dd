//! Whom a From names (RFC 5322 §3.4): as much as is needed to recognise an address and to show a name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::Encoding;

use super::fields;
use crate::wire::smtp::path::Mailbox;

/// Whom a From names first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Author {
    /// Its address, where it is one.
    pub address: Option<Mailbox>,
    /// Its display name in plain letters; empty without one.
    pub name: String,
}

/// The author in a header block; `None` without a From.
#[must_use]
pub fn author(header: &[u8]) -> Option<Author> {
    fields(header).find(|field| field.is("From")).map(|field| of(field.value()))
}

/// The author in the value of a From.
pub(super) fn of(value: &[u8]) -> Author {
    mailboxes(&text(value)).next().as_deref().map(one).unwrap_or_default()
}

/// Everybody in the value of a To or Cc; whoever is in a group has no address.
pub(super) fn authors(value: &[u8]) -> Vec<Author> {
    mailboxes(&text(value)).map(|mailbox| one(&mailbox)).collect()
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn one(mailbox: &str) -> Author {
    let (name, address) = match mailbox.rfind('<').and_then(|at| mailbox.split_at_checked(at)) {
        Some((name, route)) => (name, route.trim_start_matches('<').split('>').next().unwrap_or_default()),
        None => ("", mailbox),
    };
    let address = Mailbox::parse(&without_comments(address)).ok();
    Author { address, name: phrase(name) }
}

/// The parts between commas that are in no quotes, comment or angle brackets.
fn mailboxes(text: &str) -> impl Iterator<Item = String> {
    let (mut quoted, mut escaped, mut depth, mut angle) = (false, false, 0_u32, false);
    let mut parts = vec![String::new()];
    for character in text.chars() {
        let border = !quoted && depth == 0 && !angle && character == ',';
        if border {
            parts.push(String::new());
            continue;
        }
        if !escaped {
            match character {
                '"' if depth == 0 => quoted = !quoted,
                '(' if !quoted => depth = depth.saturating_add(1),
                ')' if !quoted => depth = depth.saturating_sub(1),
                '<' if !quoted && depth == 0 => angle = true,
                '>' if !quoted && depth == 0 => angle = false,
                _ => {}
            }
        }
        escaped = character == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.into_iter().filter(|part| !part.trim().is_empty())
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    let kept = text.chars().filter(|character| {
        match character {
            '(' => depth = depth.saturating_add(1),
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    });
    kept.collect::<String>().trim().to_owned()
}

/// A display name as a person reads it: quotes undone, encoded-words decoded (RFC 2047).
fn phrase(text: &str) -> String {
    let text = text.trim();
    let unquoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = unquoted.map_or_else(|| text.to_owned(), unescape);
    let (mut out, mut before_was_word) = (String::new(), false);
    for word in text.split_ascii_whitespace() {
        let decoded = decode_word(word);
        // Blanks between two encoded-words are not part of the text (§6.2).
        let joined = before_was_word && decoded.is_some();
        if !(out.is_empty() || joined) {
            out.push(' ');
        }
        before_was_word = decoded.is_some();
        out.push_str(decoded.as_deref().unwrap_or(word));
    }
    out
}

fn unescape(text: &str) -> String {
    let mut escaped = false;
    text.chars()
        .filter(|character| {
            escaped = *character == '\\' && !escaped;
            !escaped
        })
        .collect()
}

/// `=?charset?B|Q?text?=`; `None` when it is none, or in letters that nobody knows.
fn decode_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut parts = inner.splitn(3, '?');
    let (charset, coding, text) = (parts.next()?, parts.next()?, parts.next()?);
    // RFC 2231 §5: a language may follow the charset.
    let encoding = Encoding::for_label(charset.split('*').next()?.as_bytes())?;
    let bytes = match coding {
        "B" | "b" => STANDARD.decode(text).ok()?,
        "Q" | "q" => decode_q(text)?,
        _ => return None,
    };
    Some(encoding.decode_without_bom_handling(&bytes).0.into_owned())
}

fn decode_q(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut characters = text.bytes();
    while let Some(byte) = characters.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let mut nibble =
                    || char::from(characters.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                (nibble()? << 4) | nibble()?
            }
            other => other,
        });
    }
    Some(bytes)
}
