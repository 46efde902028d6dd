//! What a client does that strict servers refuse: what [`Tolerance::Device`](super::tolerance::Tolerance) bears with.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something a client does, or must be spared, that a strict server would refuse it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quirk {
    /// A CR or an LF that belongs to no CRLF.
    BareLineEnd,
    /// A line over 1000 octets.
    LongLine,
    /// Raw octets above 127 in a header without SMTPUTF8.
    EightBitHeader,
    /// A HELO or EHLO name that is no domain, or none.
    OddHelo,
    /// MAIL or RCPT without angle brackets.
    PathWithoutBrackets,
    /// No Date field.
    MissingDate,
    /// No Message-ID field.
    MissingMessageId,
    /// Text without a header.
    MissingHeader,
    /// The operator hides keywords of EHLO from it.
    HiddenKeywords,
    /// NUL in content.
    Nul,
}

impl Quirk {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::BareLineEnd,
        Self::LongLine,
        Self::EightBitHeader,
        Self::OddHelo,
        Self::PathWithoutBrackets,
        Self::MissingDate,
        Self::MissingMessageId,
        Self::MissingHeader,
        Self::HiddenKeywords,
        Self::Nul,
    ];

    /// The word in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BareLineEnd => "bare-line-end",
            Self::LongLine => "long-line",
            Self::EightBitHeader => "8bit-header",
            Self::OddHelo => "odd-helo",
            Self::PathWithoutBrackets => "path-without-brackets",
            Self::MissingDate => "missing-date",
            Self::MissingMessageId => "missing-message-id",
            Self::MissingHeader => "missing-header",
            Self::HiddenKeywords => "hidden-keywords",
            Self::Nul => "nul",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quirk| quirk.as_str() == word)
    }

    const fn bit(self) -> u16 {
        match self {
            Self::BareLineEnd => 1,
            Self::LongLine => 1 << 1,
            Self::EightBitHeader => 1 << 2,
            Self::OddHelo => 1 << 3,
            Self::PathWithoutBrackets => 1 << 4,
            Self::MissingDate => 1 << 5,
            Self::MissingMessageId => 1 << 6,
            Self::MissingHeader => 1 << 7,
            Self::HiddenKeywords => 1 << 8,
            Self::Nul => 1 << 9,
        }
    }
}

/// A set of quirks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Quirks(u16);

impl Quirks {
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub const fn insert(&mut self, quirk: Quirk) {
        self.0 |= quirk.bit();
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn contains(self, quirk: Quirk) -> bool {
        self.0 & quirk.bit() != 0
    }

    /// Those of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`Quirk::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL.into_iter().filter(move |quirk| self.contains(*quirk))
    }

    /// Reads what [`fmt::Display`] wrote; words of a later version are passed over.
    #[must_use]
    pub fn from_words(text: &str) -> Self {
        text.split(' ').filter_map(Quirk::named).collect()
    }
}

impl FromIterator<Quirk> for Quirks {
    fn from_iter<I: IntoIterator<Item = Quirk>>(quirks: I) -> Self {
        let mut all = Self::default();
        quirks.into_iter().for_each(|quirk| all.insert(quirk));
        all
    }
}

/// The words, separated by blanks.
impl fmt::Display for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Quirk::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Debug for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Quirks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Quirk::as_str))
    }
}

impl<'de> Deserialize<'de> for Quirks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Ok(words.iter().filter_map(|word| Quirk::named(word)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_back_as_written_and_passes_over_what_it_does_not_know() {
        let all: Quirks = Quirk::ALL.into_iter().collect();
        assert_eq!(Quirks::from_words(&all.to_string()), all);
        assert_eq!(all.iter().count(), Quirk::ALL.len(), "each has a bit of its own");
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Quirks>(&json).unwrap(), all);
        assert_eq!(Quirks::from_words("sings odd-helo").iter().collect::<Vec<_>>(), [Quirk::OddHelo]);
        assert!(Quirks::from_words("").is_empty());
    }
}
