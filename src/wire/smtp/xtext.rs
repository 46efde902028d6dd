//! xtext (RFC 3461 §4): how parameters of SMTP carry any text in printable ASCII.

/// Printable ASCII but `+` and `=` as it is, every other octet as `+` and two hexadecimal digits.
#[must_use]
pub fn emit(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=') {
            out.push(char::from(byte));
        } else {
            out.push('+');
            out.extend([byte >> 4, byte & 15].map(digit));
        }
    }
    out
}

/// What an xtext stands for; `None` when it is none, or no text in UTF-8.
#[must_use]
pub fn parse(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let octet = match byte {
            b'+' => {
                let mut nibble =
                    || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                (nibble()? << 4) | nibble()?
            }
            b'!'..=b'~' if byte != b'=' => byte,
            // A utf-8-address (RFC 6533 §3) may have them as they are.
            0x80.. => byte,
            _ => return None,
        };
        out.push(octet);
    }
    String::from_utf8(out).ok()
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads_back_as_written() {
        for (text, xtext) in
            [("QQ314159", "QQ314159"), ("a+b=c d", "a+2Bb+3Dc+20d"), ("jörg", "j+C3+B6rg"), ("", "")]
        {
            assert_eq!(emit(text), xtext);
            assert_eq!(parse(xtext).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_xtext_is_refused() {
        for text in ["a b", "+4", "+", "+ZZ", "a=b", "+FF", "a\r\nb"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
