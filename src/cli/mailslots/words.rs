//! What is said of the switch.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::shown;
use crate::admin::api::MailslotsStatus;
use crate::admin::words::spell_between;
use crate::cli::table::plain;
use crate::policy::mailslot_switch::{Command, Configured, Direction, Passing, Wanted};
use crate::switch::{Action, Order, SwitchStatus};

/// What is asked before an order is carried out.
pub(super) fn question(order: &Order, before: &MailslotsStatus) -> String {
    let which = match order.directions.as_slice() {
        [Direction::Inbound] => "Messages that are heard",
        [Direction::Outbound] => "Messages that are sent",
        _ => "Messages that are heard and messages that are sent",
    };
    match order.action {
        Action::Enable { until: None } => format!("{which} will pass until somebody says otherwise. Go on?"),
        Action::Enable { until: Some(_) } => format!("{which} will pass for that time. Go on?"),
        Action::Disable { .. } if order.directions.contains(&Direction::Inbound) => format!(
            "{which} will not pass. In the last 30 days messages came from: {}. Go on?",
            plain(&before.heard_lately.to_string())
        ),
        Action::Disable { .. } => format!("{which} will not pass. Go on?"),
        Action::Reset => format!("{which} will pass or not as the configuration says. Go on?"),
    }
}

/// How both directions stand, in lines.
pub(super) fn status(status: &MailslotsStatus, timezone: &TimeZone, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for switch in &status.switches {
        lines.extend(direction(switch, timezone, now));
    }
    lines.push(format!("Messages in the last 30 days from: {}", plain(&status.heard_lately.to_string())));
    lines
}

fn direction(switch: &SwitchStatus, timezone: &TimeZone, now: Timestamp) -> Vec<String> {
    let what = match switch.direction {
        Direction::Inbound => "Inbound (messages heard)",
        Direction::Outbound => "Outbound (messages sent)",
    };
    let state = match switch.state {
        Passing::On => "enabled".to_owned(),
        Passing::Until { end } => {
            format!("enabled until {} (in {})", shown(end, timezone), spell_between(now, end))
        }
        Passing::Off => "disabled".to_owned(),
    };
    let configured = match switch.configured {
        Configured::On => "enabled".to_owned(),
        Configured::Off { exception_until: None } => "disabled".to_owned(),
        Configured::Off { exception_until: Some(end) } => {
            format!("disabled, with an exception until {}", shown(end, timezone))
        }
    };
    let mut lines = vec![format!("{what}: {state}"), format!("  configuration: {configured}")];
    lines.extend(switch.command.as_ref().map(|command| format!("  order: {}", ordered(command, timezone))));
    lines
}

fn ordered(command: &Command, timezone: &TimeZone) -> String {
    let wanted = match command.wanted {
        Wanted::Enabled => "enabled",
        Wanted::Disabled => "disabled",
    };
    let until = match command.until {
        Some(until) => format!("until {}", shown(until, timezone)),
        None => "until `mailslots reset`, or until the configuration changes".to_owned(),
    };
    format!("{wanted} by {} on {}, {until}", plain(&command.by), shown(command.at, timezone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::Depending;

    #[test]
    fn both_values_and_who_ordered_otherwise_are_shown() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let end = at("2026-12-02T12:00:00Z");
        let (off, until) = (Configured::Off { exception_until: None }, Some(end));
        let command = Command {
            wanted: Wanted::Enabled,
            by: "alice\u{1b}[2J".into(),
            at: at("2026-11-25T12:00:00Z"),
            until,
            configured: off,
        };
        let inbound = SwitchStatus {
            direction: Direction::Inbound,
            state: Passing::Until { end },
            configured: off,
            command: Some(command),
        };
        let outbound = SwitchStatus {
            direction: Direction::Outbound,
            state: Passing::Off,
            configured: off,
            command: None,
        };
        let heard_lately = Depending { names: vec!["CNC-07".into(), "UPS-3".into()], count: 5 };
        let status = MailslotsStatus { switches: vec![inbound, outbound], heard_lately };
        let lines = super::status(&status, &TimeZone::UTC, at("2026-11-25T12:00:00Z"));
        assert_eq!(lines[0], "Inbound (messages heard): enabled until 2026-12-02 12:00 UTC (in 7 d)");
        assert_eq!(lines[1], "  configuration: disabled");
        assert!(lines[2].starts_with("  order: enabled by alice"), "{lines:?}");
        assert!(lines[2].ends_with("on 2026-11-25 12:00 UTC, until 2026-12-02 12:00 UTC"), "{lines:?}");
        assert!(!lines[2].contains('\u{1b}'));
        assert_eq!(lines[3..5], ["Outbound (messages sent): disabled", "  configuration: disabled"]);
        assert_eq!(lines[5], "Messages in the last 30 days from: CNC-07, UPS-3 and 3 others");
    }

    #[test]
    fn who_disables_is_told_who_falls_silent() {
        let before = MailslotsStatus {
            switches: Vec::new(),
            heard_lately: Depending { names: vec!["CNC-07".into()], count: 1 },
        };
        let order = |directions, action| Order { directions, action, by: "alice".into() };
        let disable = order(vec![Direction::Inbound], Action::Disable { until: None });
        assert_eq!(
            question(&disable, &before),
            "Messages that are heard will not pass. In the last 30 days messages came from: CNC-07. Go on?"
        );
        let disable = order(vec![Direction::Outbound], Action::Disable { until: None });
        assert_eq!(question(&disable, &before), "Messages that are sent will not pass. Go on?");
    }
}
