//! The vectors in `tests/fixtures/*.hex`.
//!
//! A line is a comment (`# …`, the last one before a vector is its label) or a vector: what carries it, and its bytes
//! in hexadecimal. `udp137`, `udp138` and `tcp139` carry one UDP payload or one TCP segment of one direction;
//! `udp138/cp932` is one whose texts are in that code page, where CP850 is the rule. Addresses in comments are from
//! 192.0.2.0/24; the bytes are as captured, so other addresses stand in them.

use std::fs;
use std::path::{Path, PathBuf};

use mailslotd::cli::describe;
use mailslotd::wire::oem_text::{CodePage, SenderText, Utf8};

/// Where the fixtures are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// One UDP payload or TCP segment.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    /// The last comment line before it, without `# `.
    pub(crate) label: String,
    /// What carries it.
    pub(crate) carrier: Carrier,
    /// The code page of its texts.
    pub(crate) sender: SenderText,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// What carries a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    /// A datagram of the name service.
    Udp137,
    /// A datagram of the datagram service.
    Udp138,
    /// A segment of the session service.
    Tcp139,
}

impl Vector {
    /// What `mailslotd decode` says of it.
    pub(crate) fn describe(&self) -> String {
        describe(self.carrier, &self.bytes, self.sender)
    }
}

/// What `mailslotd decode` says of bytes.
pub(crate) fn describe(carrier: Carrier, bytes: &[u8], sender: SenderText) -> String {
    match carrier {
        Carrier::Udp137 => describe::name_service(bytes),
        Carrier::Udp138 => describe::datagram(bytes, sender),
        Carrier::Tcp139 => describe::session(bytes, sender),
    }
}

/// The vectors of the file `stem`.hex in order. A line that is no vector fails the test.
pub(crate) fn vectors(stem: &str) -> Vec<Vector> {
    let path = folder().join(stem).with_extension("hex");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut label = "";
    let mut vectors = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match line.strip_prefix("# ") {
            Some(comment) => label = comment,
            None => vectors
                .push(vector(label, line).unwrap_or_else(|| {
                    panic!("{}:{number}: neither a comment nor a vector", path.display())
                })),
        }
    }
    vectors
}

fn vector(label: &str, line: &str) -> Option<Vector> {
    let (carrier, hex) = line.split_once(' ')?;
    let (carrier, page) = carrier.split_once('/').unwrap_or((carrier, "cp850"));
    let carrier = match carrier {
        "udp137" => Carrier::Udp137,
        "udp138" => Carrier::Udp138,
        "tcp139" => Carrier::Tcp139,
        _ => return None,
    };
    let code_page: CodePage = page.parse().ok()?;
    let sender = SenderText { code_page, utf8: Utf8::Auto };
    Some(Vector { label: label.to_owned(), carrier, sender, bytes: bytes(hex)? })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
