//! Whether mailslot messages pass: the gateway's counterpart of `EnableMailslots` of `Set-SmbServerConfiguration`
//! (inbound) and `Set-SmbClientConfiguration` (outbound).
//!
//! The configuration says it; a command of the operator overrides that for a time, or until that key of the
//! configuration changes. What passes only for a time ends by itself, and because a silent end is an alarm that nobody
//! hears, it is announced 14, 3 and 1 days before.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Those that are heard.
    Inbound,
    /// Those that are sent.
    Outbound,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// As written in the configuration, in labels and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// What the configuration says of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "switch")]
pub enum Configured {
    /// Messages pass.
    On,
    /// They do not, except for a time that ends by itself.
    Off {
        /// The first moment at which they no longer pass; `None`: they do not pass at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exception_until: Option<Timestamp>,
    },
}

/// What the operator wants of one direction, whatever the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Whether messages pass.
    pub wanted: Wanted,
    /// Who gave it, for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it ends and the configuration counts again; `None`: not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the configuration said then. When it says something else, its author knew of more than this command did.
    pub configured: Configured,
}

/// Whether messages are to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// They are.
    Enabled,
    /// They are not.
    Disabled,
}

/// How one direction stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "passing")]
pub enum Passing {
    /// Messages pass, without an end in sight.
    On,
    /// They pass up to a moment.
    Until {
        /// The first one at which they no longer do.
        end: Timestamp,
    },
    /// They do not pass.
    Off,
}

/// One direction: what the configuration says and what the operator ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailslotSwitch {
    configured: Configured,
    command: Option<Command>,
}

impl MailslotSwitch {
    /// A command that was given under another configuration is dropped.
    #[must_use]
    pub fn new(configured: Configured, command: Option<Command>) -> Self {
        Self { configured, command: command.filter(|command| command.configured == configured) }
    }

    /// What the configuration says.
    #[must_use]
    pub const fn configured(&self) -> Configured {
        self.configured
    }

    /// The command that is in force at `now`.
    #[must_use]
    pub fn command(&self, now: Timestamp) -> Option<&Command> {
        self.command.as_ref().filter(|command| command.until.is_none_or(|until| now < until))
    }

    /// The command that was given last, in force or not.
    #[must_use]
    pub const fn given(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// From `now` on it is as the operator wants; `until` ends it.
    pub fn order(&mut self, wanted: Wanted, by: String, until: Option<Timestamp>, now: Timestamp) {
        self.command = Some(Command { wanted, by, at: now, until, configured: self.configured });
    }

    /// From now on it is as the configuration says. Returns the command that was in force.
    pub fn reset(&mut self, now: Timestamp) -> Option<Command> {
        let command = self.command(now).cloned();
        self.command = None;
        command
    }

    /// How it stands.
    #[must_use]
    pub fn passing(&self, now: Timestamp) -> Passing {
        let Some(command) = self.command(now) else { return self.configured.passing(now) };
        match (command.wanted, command.until) {
            (Wanted::Disabled, _) => Passing::Off,
            (Wanted::Enabled, None) => Passing::On,
            (Wanted::Enabled, Some(end)) => match self.configured.passing(end) {
                Passing::Off => Passing::Until { end },
                // The configuration lets them pass from there on.
                longer @ (Passing::On | Passing::Until { .. }) => longer,
            },
        }
    }

    /// When it next changes by itself; `None`: never.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let of_command = self.command(now).and_then(|command| command.until);
        let of_configuration = match self.configured {
            Configured::Off { exception_until } => exception_until.filter(|end| now < *end),
            Configured::On => None,
        };
        [of_command, of_configuration].into_iter().flatten().min()
    }
}

impl Configured {
    fn passing(self, now: Timestamp) -> Passing {
        match self {
            Self::On => Passing::On,
            Self::Off { exception_until: Some(end) } if now < end => Passing::Until { end },
            Self::Off { .. } => Passing::Off,
        }
    }
}

/// How long before an end it is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Two weeks, enough to talk to a vendor.
    FourteenDays,
    /// Three days, enough to ask for longer.
    ThreeDays,
    /// A day.
    OneDay,
}

impl Stage {
    const ALL: [Self; 3] = [Self::FourteenDays, Self::ThreeDays, Self::OneDay];

    const fn days(self) -> u64 {
        match self {
            Self::FourteenDays => 14,
            Self::ThreeDays => 3,
            Self::OneDay => 1,
        }
    }

    fn begins(self, end: Timestamp) -> Timestamp {
        // A day of 24 hours: what counts is the time that is left.
        let before = Duration::from_secs(self.days().saturating_mul(24 * 60 * 60));
        end.checked_sub(before).unwrap_or(Timestamp::MIN)
    }

    /// The last stage that has begun.
    #[must_use]
    pub fn at(end: Timestamp, now: Timestamp) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|stage| stage.begins(end) <= now)
    }
}

/// The announcement of an end that was made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Of which end.
    pub end: Timestamp,
    /// How long before.
    pub stage: Stage,
}

/// The announcement that is due, where one is: of an end at which messages no longer pass, once for each [`Stage`].
/// One that was missed is not made up for by two.
#[must_use]
pub fn announcement_due(passing: Passing, last: Option<Announced>, now: Timestamp) -> Option<Announced> {
    let Passing::Until { end } = passing else { return None };
    let stage = Stage::at(end, now)?;
    let is_made = last.is_some_and(|last| last.end == end && last.stage >= stage);
    (!is_made).then_some(Announced { end, stage })
}

/// When the next announcement becomes due after `now`.
#[must_use]
pub fn next_announcement(passing: Passing, now: Timestamp) -> Option<Timestamp> {
    let Passing::Until { end } = passing else { return None };
    Stage::ALL.into_iter().map(|stage| stage.begins(end)).find(|begins| *begins > now)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_hours(24 * day)
    }

    const OFF: Configured = Configured::Off { exception_until: None };

    fn off_until(end: i64) -> Configured {
        Configured::Off { exception_until: Some(day(end)) }
    }

    fn until(end: i64) -> Passing {
        Passing::Until { end: day(end) }
    }

    #[test]
    fn an_exception_of_the_configuration_ends_by_itself() {
        let switch = MailslotSwitch::new(off_until(7), None);
        assert_eq!(switch.passing(day(0)), until(7));
        assert_eq!(switch.passing(day(7)), Passing::Off);
        assert_eq!((switch.next_change(day(0)), switch.next_change(day(7))), (Some(day(7)), None));
        assert_eq!(MailslotSwitch::new(Configured::On, None).passing(day(0)), Passing::On);
    }

    #[test]
    fn a_command_overrides_the_configuration_until_its_time_is_over() {
        let mut switch = MailslotSwitch::new(OFF, None);
        switch.order(Wanted::Enabled, "alice".into(), Some(day(7)), day(0));
        assert_eq!((switch.passing(day(6)), switch.passing(day(7))), (until(7), Passing::Off));
        assert_eq!(switch.command(day(6)).unwrap().by, "alice");
        assert_eq!(switch.command(day(7)), None);
        let mut switch = MailslotSwitch::new(Configured::On, None);
        switch.order(Wanted::Disabled, "bob".into(), Some(day(1)), day(0));
        assert_eq!((switch.passing(day(0)), switch.passing(day(1))), (Passing::Off, Passing::On));
        assert_eq!(switch.next_change(day(0)), Some(day(1)));
    }

    #[test]
    fn a_command_that_ends_within_a_longer_exception_is_not_the_end() {
        let mut switch = MailslotSwitch::new(off_until(30), None);
        switch.order(Wanted::Enabled, "alice".into(), Some(day(7)), day(0));
        assert_eq!(switch.passing(day(0)), until(30));
        switch.order(Wanted::Enabled, "alice".into(), Some(day(60)), day(0));
        assert_eq!(switch.passing(day(0)), until(60));
        switch.order(Wanted::Enabled, "alice".into(), None, day(0));
        assert_eq!(switch.passing(day(300)), Passing::On);
    }

    #[test]
    fn a_changed_configuration_or_a_reset_takes_the_command_back() {
        let mut switch = MailslotSwitch::new(OFF, None);
        switch.order(Wanted::Enabled, "alice".into(), None, day(0));
        let command = switch.command(day(0)).cloned();
        assert_eq!(MailslotSwitch::new(OFF, command.clone()).passing(day(1)), Passing::On);
        assert_eq!(MailslotSwitch::new(off_until(7), command.clone()).passing(day(1)), until(7));
        assert_eq!(switch.reset(day(1)), command);
        assert_eq!((switch.passing(day(1)), switch.reset(day(1))), (Passing::Off, None));
    }

    /// What is announced when somebody looks every six hours.
    fn announcements(from: i64, passing: Passing) -> Vec<(Stage, i64)> {
        let (mut now, mut last, mut made) = (day(from), None, Vec::new());
        while now < day(40) {
            if let Some(due) = announcement_due(passing, last, now) {
                made.push((due.stage, (now.as_second() - day(0).as_second()) / 3600));
                last = Some(due);
            }
            now += SignedDuration::from_hours(6);
        }
        made
    }

    #[test]
    fn an_end_is_announced_14_3_and_1_days_before() {
        let due = [(Stage::FourteenDays, 16 * 24), (Stage::ThreeDays, 27 * 24), (Stage::OneDay, 29 * 24)];
        assert_eq!(announcements(0, until(30)), due);
        assert_eq!(announcements(0, Passing::On), []);
        assert_eq!(announcements(0, Passing::Off), []);
    }

    #[test]
    fn who_starts_late_is_told_at_once_and_only_of_what_is_left() {
        assert_eq!(announcements(20, until(30))[0], (Stage::FourteenDays, 20 * 24));
        assert_eq!(announcements(28, until(30)), [(Stage::ThreeDays, 28 * 24), (Stage::OneDay, 29 * 24)]);
    }

    #[test]
    fn another_end_is_announced_anew() {
        let last = Some(Announced { end: day(30), stage: Stage::OneDay });
        assert_eq!(announcement_due(until(30), last, day(29)), None);
        let due = Announced { end: day(31), stage: Stage::ThreeDays };
        assert_eq!(announcement_due(until(31), last, day(29)), Some(due));
    }

    #[test]
    fn the_next_announcement_is_known_beforehand() {
        assert_eq!(next_announcement(until(30), day(0)), Some(day(16)));
        assert_eq!(next_announcement(until(30), day(16)), Some(day(27)));
        assert_eq!(next_announcement(until(30), day(29)), None);
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        let mut switch = MailslotSwitch::new(off_until(7), None);
        switch.order(Wanted::Enabled, "alice".into(), Some(day(7)), day(0));
        let command = switch.command(day(0)).unwrap();
        let text = serde_json::to_string(command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), *command);
    }
}
