//! `application/x-www-form-urlencoded` (RFC 6749 appendix B).

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// A form under way; wiped when dropped, since it holds secrets.
pub(super) struct Form(Zeroizing<String>);

impl Form {
    /// A form with a first field; room for all of it, so that no copy of a secret is left behind when it grows.
    pub(super) fn new(name: &str, value: &str) -> Self {
        let mut form = Self(Zeroizing::new(String::with_capacity(ROOM)));
        form.push(name, value);
        form
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                self.0.push(char::from(byte));
            } else {
                let written = write!(self.0, "%{byte:02X}");
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
        }
    }

    pub(super) fn into_text(self) -> Zeroizing<String> {
        self.0
    }
}

/// Octets of the longest form in sight: an assertion with a long signature, or a refresh token.
const ROOM: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_add_a_field() {
        let mut form = Form::new("a", "1&b=2 +%");
        form.push("c", "ü");
        assert_eq!(&*form.into_text(), "a=1%26b%3D2%20%2B%25&c=%C3%BC");
    }
}
