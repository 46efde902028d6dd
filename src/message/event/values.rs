//! Values in JSON that more than one type of data has.

use std::borrow::Cow;

use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// Octets as base64 (RFC 4648 §4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Base64<'a>(pub(super) &'a [u8]);

impl Base64<'_> {
    /// Octets that its string has in JSON, quotes included.
    pub(super) const fn json_length(octets: usize) -> usize {
        octets.div_ceil(3).saturating_mul(4).saturating_add(2)
    }
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(self.0, &STANDARD))
    }
}

impl JsonSchema for Base64<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

/// A value of our own types as JSON. They hold nothing that JSON cannot say.
pub(super) fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

/// As much of the beginning of `text` as has at most `room` octets inside a string in JSON, and how many those are.
pub(super) fn cut(text: &str, room: usize) -> (&str, usize) {
    let mut octets: usize = 0;
    for (at, letter) in text.char_indices() {
        let more = octets.saturating_add(json_width(letter));
        if more > room {
            return (text.get(..at).unwrap_or_default(), octets);
        }
        octets = more;
    }
    (text, octets)
}

/// Octets that a character has inside a string in JSON, as serde_json writes it.
const fn json_width(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{C}' => 2,
        '\0'..='\u{1F}' => 6,
        _ => letter.len_utf8(),
    }
}
