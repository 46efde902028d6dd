//! The sender that a next hop lets us use.

use crate::policy::relay::AddressPattern;
use crate::wire::smtp::path::Mailbox;

/// The sender that a next hop lets us use: a mailbox that is licensed there, usually.
///
/// Notices are sent from it. Mail that devices and applications bring gets it in MAIL FROM and From unless `keep` has the
/// sender; what stood there goes to Reply-To. A next hop without one takes mail with every sender, and no notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The address.
    pub address: Mailbox,
    /// Senders of mail that stay as they are.
    pub keep: Vec<AddressPattern>,
    /// The name before the address in a From that was rewritten.
    pub display: DisplayName,
}

/// A display name in which `{original}` stands for whom the From named before; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName(String);

/// What is wrong with a display name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DisplayNameError {
    /// A brace that is neither doubled nor one of `{original}`.
    #[error("has a brace that is not one of {{original}}")]
    Brace,
    /// A line break or another control character.
    #[error("has a line break or another control character")]
    Control,
}

impl DisplayName {
    /// Checks and takes a display name.
    ///
    /// # Errors
    /// For braces that mean nothing and for control characters.
    pub fn parse(text: &str) -> Result<Self, DisplayNameError> {
        if text.chars().any(char::is_control) {
            return Err(DisplayNameError::Control);
        }
        expand(text, "").map(|_| Self(text.to_owned()))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The display name for a From that named `original`: its display name where it had one, else its address. What is
    /// put in is never expanded again, and is not encoded for a header yet.
    #[must_use]
    pub fn of(&self, original: &str) -> String {
        expand(&self.0, original).unwrap_or_default()
    }
}

impl Default for DisplayName {
    /// Whom the From named before.
    fn default() -> Self {
        Self(ORIGINAL.to_owned())
    }
}

const ORIGINAL: &str = "{original}";

fn expand(text: &str, original: &str) -> Result<String, DisplayNameError> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, at)) = rest.find(['{', '}']).and_then(|brace| rest.split_at_checked(brace)) {
        expanded.push_str(before);
        let (put_in, behind) = [(ORIGINAL, original), ("{{", "{"), ("}}", "}")]
            .into_iter()
            .find_map(|(written, meant)| at.strip_prefix(written).map(|behind| (meant, behind)))
            .ok_or(DisplayNameError::Brace)?;
        expanded.push_str(put_in);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_names_the_original_once_and_braces_are_doubled() {
        let name = |text: &str| DisplayName::parse(text).unwrap().of("scan{original}@plant.example");
        assert_eq!(name("{original} (scanner)"), "scan{original}@plant.example (scanner)");
        assert_eq!(name("{{gateway}}"), "{gateway}");
        assert_eq!(DisplayName::default().of("x"), "x");
    }

    #[test]
    fn other_fields_lone_braces_and_line_breaks_are_refused() {
        for text in ["{from}", "{original", "}", "{ original }"] {
            assert_eq!(DisplayName::parse(text), Err(DisplayNameError::Brace), "{text}");
        }
        assert_eq!(DisplayName::parse("a\r\nBcc: b"), Err(DisplayNameError::Control));
    }
}
