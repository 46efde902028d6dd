//! When to tell the operator that a secret or a certificate will end.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How near the end is. Each is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Within 30 days.
    Month,
    /// Within 7 days.
    Week,
    /// Within a day.
    Day,
    /// It is over.
    Over,
}

impl Stage {
    /// How near `end` is at `now`; `None` while it is far.
    #[must_use]
    pub fn at(end: Timestamp, now: Timestamp) -> Option<Self> {
        let left = end.duration_since(now);
        let days = |days: i64| SignedDuration::from_hours(days.saturating_mul(24));
        if left <= SignedDuration::ZERO {
            Some(Self::Over)
        } else if left <= days(1) {
            Some(Self::Day)
        } else if left <= days(7) {
            Some(Self::Week)
        } else if left <= days(30) {
            Some(Self::Month)
        } else {
            None
        }
    }

    /// To follow what it is: "expires on 2027-10-01".
    #[must_use]
    pub fn told(self, day: Date) -> String {
        match self {
            Self::Month | Self::Week | Self::Day => format!("expires on {day}"),
            Self::Over => format!("expired on {day}"),
        }
    }
}

/// The end of a day that the operator wrote: nobody knows the provider's hour, so it is over when the day begins in UTC,
/// rather early than late.
#[must_use]
pub fn end_of(day: Date) -> Option<Timestamp> {
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The day of an end, in UTC as certificates have it.
#[must_use]
pub fn day_of(end: Timestamp) -> Date {
    end.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_told_thirty_and_seven_days_and_one_before_and_when_it_is_over() {
        let end = end_of("2027-10-01".parse().unwrap()).unwrap();
        for (now, stage) in [
            ("2027-08-31T23:59:59Z", None),
            ("2027-09-01T00:00:00Z", Some(Stage::Month)),
            ("2027-09-24T00:00:00Z", Some(Stage::Week)),
            ("2027-09-30T00:00:00Z", Some(Stage::Day)),
            ("2027-10-01T00:00:00Z", Some(Stage::Over)),
            ("2028-01-01T00:00:00Z", Some(Stage::Over)),
        ] {
            assert_eq!(Stage::at(end, now.parse().unwrap()), stage, "{now}");
        }
        assert_eq!(Stage::Over.told(day_of(end)), "expired on 2027-10-01");
    }
}
