//! What a file of recipients says: an address, or `@domain`, a line.

use crate::directory::address::Addresses;
use crate::wire::smtp::path::PathError;

/// Why a text is no list of recipients.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::directory) enum ListingError {
    /// A line is neither empty, nor a comment, nor an address, nor `@domain`.
    #[error("line {line}: {source}; {fix}, or @domain for all of one, or begin the line with #", fix = .source.fix())]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: PathError,
    },
    /// A line has octets that are no UTF-8.
    #[error("line {line} is not UTF-8; save the file in that encoding")]
    Encoding {
        /// Counted from 1.
        line: usize,
    },
    /// There is not one entry. A list in the configuration may be empty and then means what it says; a file that is
    /// empty was cut off.
    #[error("it has no address; to refuse every recipient, write `list: []` instead of a file")]
    Empty,
}

/// The addresses of a file. One bad line spoils it all: what else is wrong with it nobody knows.
///
/// Comments begin with `#` at the beginning of a line, or behind an entry and a space: the sign itself may stand in a
/// local part. A byte order mark and CRLF are taken.
pub(super) fn parse(octets: &[u8]) -> Result<Addresses, ListingError> {
    let octets = octets.strip_prefix(BYTE_ORDER_MARK).unwrap_or(octets);
    let mut addresses = Addresses::default();
    for (index, line) in octets.split(|&octet| octet == b'\n').enumerate() {
        let number = index.saturating_add(1);
        let line = std::str::from_utf8(line).map_err(|_| ListingError::Encoding { line: number })?;
        let entry = without_comment(line).trim();
        if !entry.is_empty() {
            addresses.add(entry).map_err(|source| ListingError::Line { line: number, source })?;
        }
    }
    if addresses.is_empty() { Err(ListingError::Empty) } else { Ok(addresses) }
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    let comment = line.match_indices('#').find(|(at, _)| {
        // Not inside the quotes of a local part.
        line.get(..*at).is_some_and(|before| {
            before.ends_with([' ', '\t']) && before.matches('"').count().is_multiple_of(2)
        })
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::address::Address;
    use crate::wire::smtp::path::Mailbox;

    #[test]
    fn addresses_domains_comments_and_empty_lines_are_told_apart() {
        let text = "\u{feff}# recipients\r\n\r\n  Ops@corp.example  # the team\r\n@plant.example\n\
                    #a@corp.example\nb#c@corp.example\n\"night # shift\"@corp.example\n";
        let addresses = parse(text.as_bytes()).unwrap();
        for (address, contained) in [
            ("ops@corp.example", true),
            ("x@plant.example", true),
            ("a@corp.example", false),
            ("b#c@corp.example", true),
            ("\"night # shift\"@corp.example", true),
        ] {
            let address = Address::of(&Mailbox::parse(address).unwrap());
            assert_eq!(addresses.contains(&address), contained, "{address:?}");
        }
        assert_eq!(addresses.len(), 4);
    }

    #[test]
    fn a_bad_line_is_named_and_spoils_the_whole() {
        let error = parse(b"ops@corp.example\nops\n").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("line 2: \"ops\" has no domain; write the whole address"), "{text}");
        assert_eq!(parse(b"ops@corp.example\n\xff\n"), Err(ListingError::Encoding { line: 2 }));
        assert!(matches!(parse(b"a@corp.example b@corp.example"), Err(ListingError::Line { line: 1, .. })));
    }

    #[test]
    fn a_file_that_says_nothing_is_broken_and_knows_nobody_by_no_means() {
        for text in ["", "\n\n", "# nothing yet\n"] {
            assert_eq!(parse(text.as_bytes()), Err(ListingError::Empty), "{text:?}");
        }
    }
}
