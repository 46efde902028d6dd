//! What a client does that strict servers refuse, as long as it goes on doing it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::smtp::quirk::{Quirk, Quirks};

/// Quirks, each with the day (UTC) on which it was last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Habits(BTreeMap<Quirk, Date>);

impl Habits {
    /// A quirk counts no more when the client has sent mail without it for so many days.
    pub const DAYS: i64 = 90;

    /// The quirks.
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        self.0.keys().copied().collect()
    }

    /// A session showed these.
    pub(super) fn note(&mut self, quirks: Quirks, at: Timestamp) {
        let day = day(at);
        for quirk in quirks.iter() {
            let seen = self.0.entry(quirk).or_insert(day);
            *seen = day.max(*seen);
        }
    }

    /// A session sent mail: what was not seen for long is over, a new firmware for example.
    pub(super) fn forget(&mut self, at: Timestamp) {
        if let Ok(oldest) = day(at).checked_sub(Span::new().days(Self::DAYS)) {
            self.0.retain(|_, seen| *seen >= oldest);
        }
    }

    /// Reads what [`fmt::Display`] wrote; a word without a day was last seen `at`, and words of a later version are passed
    /// over.
    pub(super) fn from_words(text: &str, at: Timestamp) -> Self {
        let habit = |word: &str| {
            let (word, seen) = word.split_once('@').unwrap_or((word, ""));
            let quirk = Quirks::from_words(word).iter().next()?;
            Some((quirk, seen.parse().unwrap_or_else(|_| day(at))))
        };
        Self(text.split(' ').filter_map(habit).collect())
    }
}

/// The words with their days, separated by blanks: `bare-line-end@2026-02-03`.
impl fmt::Display for Habits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> =
            self.0.iter().map(|(quirk, seen)| format!("{}@{seen}", quirk.as_str())).collect();
        f.write_str(&words.join(" "))
    }
}

/// Answers have the words alone.
impl Serialize for Habits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.quirks().serialize(serializer)
    }
}

/// Of an answer: the days are not known.
impl<'de> Deserialize<'de> for Habits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let quirks = Quirks::deserialize(deserializer)?;
        Ok(Self(quirks.iter().map(|quirk| (quirk, Date::ZERO)).collect()))
    }
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("{text}T12:00:00Z").parse().unwrap()
    }

    fn quirks(words: &str) -> Quirks {
        Quirks::from_words(words)
    }

    #[test]
    fn what_a_client_has_not_done_for_ninety_days_of_mail_is_forgotten_and_the_rest_stays() {
        let mut habits = Habits::default();
        habits.note(quirks("bare-line-end missing-date"), at("2026-01-01"));
        habits.note(quirks("missing-date"), at("2026-03-01"));
        habits.forget(at("2026-04-01"));
        assert_eq!(habits.quirks(), quirks("bare-line-end missing-date"), "ninety days have not passed");
        habits.forget(at("2026-04-02"));
        assert_eq!(habits.quirks(), quirks("missing-date"));
        habits.note(quirks("missing-date"), at("2026-01-01"));
        assert_eq!(habits.to_string(), "missing-date@2026-03-01", "a clock that was set back");
    }

    #[test]
    fn they_read_back_as_written_and_those_of_an_earlier_version_have_the_day_of_their_row() {
        let mut habits = Habits::default();
        habits.note(quirks("bare-line-end nul"), at("2026-01-01"));
        assert_eq!(Habits::from_words(&habits.to_string(), at("2026-05-05")), habits);
        let old = Habits::from_words("nul sings@2026-01-01", at("2026-05-05"));
        assert_eq!(old.to_string(), "nul@2026-05-05");
        assert_eq!(Habits::from_words("", at("2026-05-05")), Habits::default());
        assert_eq!(serde_json::to_string(&habits).unwrap(), r#"["bare-line-end","nul"]"#);
    }
}
