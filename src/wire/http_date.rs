//! Times in fields of HTTP (RFC 9110 §5.6.7): the form that is sent today, and the two obsolete ones that every
//! recipient must understand.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The time that a field names; nothing for anything else.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim_matches([' ', '\t']);
    let read = |format| DateTime::strptime(format, text).ok();
    let civil = FORMATS.into_iter().find_map(read)?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// IMF-fixdate, RFC 850, and what `asctime` of C writes.
const FORMATS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_the_standard_are_one_time() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text).map(Timestamp::as_second), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in ["", "120", "Sun, 06 Nov 1994 08:49:37 +0100", "Mon, 06 Nov 1994 08:49:37 GMT", "now"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
