//! `mailslotd tarpit`: what the tar pit of the running gateway does to clients, and who is responsible.

use clap::Args as ClapArgs;

use super::exit::Exit;
use super::output::{answer, answer_json};
use super::status::ask;
use super::table::aligned;
use super::{Global, runtime};
use crate::admin::api::{ClientNetworkStatus, TarpitStatus};
use crate::admin::words::spell_seconds;
use crate::policy::spelling::counted;

/// Shows what the tar pit does to clients, and which networks are responsible.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// Carries out `tarpit`.
#[must_use]
pub fn run(_: &Args, global: &Global) -> Exit {
    runtime(async {
        match ask("/api/v1/tarpit", global).await {
            Ok(tarpit) if global.json => answer_json(&tarpit),
            Ok(tarpit) => lines(&tarpit).into_iter().for_each(answer),
            Err(exit) => return exit,
        }
        Exit::Done
    })
}

fn lines(pit: &TarpitStatus) -> Vec<String> {
    let mut lines = vec![match pit.time_seconds {
        0 => "The tar pit is off (`tarpit.time`); only the reply to a failed AUTH may be held.".to_owned(),
        time => {
            format!("Each refusal to an unauthenticated client is held for {} at least.", spell_seconds(time))
        }
    }];
    if pit.is_untouched() {
        lines.push("It has held nobody since the start.".to_owned());
        return lines;
    }
    lines.push(format!(
        "Now {}. Since the start {} held and {} for their turn, {} in all.",
        counted(pit.waiting, "session waits", "sessions wait"),
        counted(pit.delayed_replies, "reply was", "replies were"),
        counted(pit.turns_waited, "RCPT waited", "RCPTs waited"),
        spell_seconds(pit.delay_seconds),
    ));
    lines.push(format!(
        "{} gave up; {} proved good later; turned away: {} for debt, {} because it was full.",
        counted(pit.gave_up, "client", "clients"),
        counted(pit.proved_good, "network", "networks"),
        pit.turned_away.line_too_long,
        pit.turned_away.full,
    ));
    if !pit.most_responsible.is_empty() {
        let heading = ["NETWORK", "OWES", "WAIT", "REFUSALS", "DELAYED", "DELAY", "GAVE UP", "LAST SEEN"];
        let rows: Vec<_> =
            std::iter::once(heading.map(str::to_owned)).chain(pit.most_responsible.iter().map(row)).collect();
        lines.push(String::new());
        lines.extend(aligned(&rows));
    }
    lines
}

fn row(network: &ClientNetworkStatus) -> [String; 8] {
    [
        network.network.to_string(),
        spell_seconds(network.owed_seconds),
        network.waiting.to_string(),
        network.refusals.to_string(),
        network.delayed_replies.to_string(),
        spell_seconds(network.delay_seconds),
        network.gave_up.to_string(),
        network.last_seen.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::TurnedAway;

    #[test]
    fn a_tar_pit_that_held_somebody_names_whom_and_what_it_cost_honest_ones() {
        let network = serde_json::json!({
            "network": "203.0.113.0/24", "owed_seconds": 45, "waiting": 2, "refusals": 9, "delayed_replies": 8,
            "delay_seconds": 40, "gave_up": 1, "last_seen": "2026-02-03T04:05:06Z",
        });
        let pit = TarpitStatus {
            time_seconds: 5,
            delayed_replies: 8,
            proved_good: 1,
            turned_away: TurnedAway { line_too_long: 3, full: 0 },
            most_responsible: vec![serde_json::from_value(network).unwrap()],
            ..TarpitStatus::default()
        };
        let lines = lines(&pit);
        assert!(lines[2].contains("1 network proved good later; turned away: 3 for debt"), "{lines:#?}");
        assert_eq!(
            lines[4..],
            [
                "NETWORK         OWES  WAIT  REFUSALS  DELAYED  DELAY  GAVE UP  LAST SEEN",
                "203.0.113.0/24  45 s  2     9         8        40 s   1        2026-02-03 04:05:06Z",
            ]
        );
    }

    #[test]
    fn one_that_is_off_or_idle_says_so() {
        let told = lines(&TarpitStatus::default());
        assert!(told[0].contains("is off") && told[1].contains("held nobody"), "{told:#?}");
    }
}
