//! The queue for people's eyes. What peers said is escaped: a terminal obeys control characters.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::admin::words::spoils;
use crate::cli::output::answer;
use crate::cli::table::{columns, columns_of, plain};
use crate::message::id::DestinationName;
use crate::spool::{Copy, Place, Shown, SpoolState};

/// The heading and a line for each copy, columns aligned.
fn rows(copies: &[Copy], now: Timestamp) -> Vec<String> {
    let to: Vec<String> = copies.iter().map(|copy| shortened(&to(copy))).collect();
    let width = to.iter().map(|to| columns(to)).max().unwrap_or(0).max(LEAST_TO);
    let padded = |to: &str| format!("{to}{}", " ".repeat(width.saturating_sub(columns(to))));
    let mut rows = vec![format!(
        "{:13}  {:7}  {:8}  {}  {:>3}  NEXT OR LAST",
        "ID",
        "STATE",
        "AGE",
        padded("TO"),
        "TRY"
    )];
    rows.extend(copies.iter().zip(&to).map(|(copy, to)| {
        format!(
            "{:13}  {:7}  {:8}  {}  {:>3}  {}",
            copy.id.to_string(),
            copy.state.as_str(),
            apart(copy.accepted_at, now),
            padded(to),
            copy.attempts,
            next(copy, now),
        )
    }));
    rows
}

#[expect(clippy::disallowed_methods, reason = "ages are shown against now")]
pub(super) fn list(copies: &[Copy], troubles: &BTreeMap<DestinationName, String>) {
    for row in rows(copies, Timestamp::now()) {
        answer(row);
    }
    let concerned = |name: &DestinationName| {
        copies.iter().any(|copy| copy.destination == *name && copy.state == SpoolState::Queued)
    };
    for (name, trouble) in troubles.iter().filter(|(name, _)| concerned(name)) {
        answer(format_args!("\nWhat is queued for {name} waits: {}", plain(trouble)));
    }
}

pub(super) fn show(shown: &Shown, troubles: &BTreeMap<DestinationName, String>) {
    for copy in &shown.copies {
        answer(format_args!("{} copy {} to {}", copy.id, copy.number.0, to(copy)));
        answer(format_args!("  state     {}", copy.state.as_str()));
        match copy.state {
            SpoolState::Queued | SpoolState::Held => {
                answer(format_args!("  accepted  {}   given up {}", copy.accepted_at, copy.expires_at));
            }
            SpoolState::Failed | SpoolState::Corrupt => {
                answer(format_args!("  accepted  {}", copy.accepted_at))
            }
        }
        if copy.place == Place::Local {
            answer(
                "  lies      in this gateway's own spool, and goes into that of its group when NATS answers",
            );
        }
        if let Some(mailbox) = &copy.mailbox {
            answer(format_args!("  mailbox   {}", plain(mailbox)));
        }
        if let Some(rule) = &copy.rule {
            answer(format_args!("  rule      {rule}"));
        }
        if let Some(reports) = reports(copy) {
            answer(format_args!("  reports   {reports}"));
        }
        if let Some(due) = copy.due {
            answer(format_args!("  next try  {due}   after {} attempts", copy.attempts));
        }
        if let (SpoolState::Queued, Some(trouble)) = (copy.state, troubles.get(&copy.destination)) {
            answer(format_args!("  waits     {}: {}", copy.destination, plain(trouble)));
        }
        if let Some(text) = &copy.text {
            let status = copy.status.as_deref().unwrap_or_default();
            answer(format_args!("  last      {status} {}", plain(text)));
        }
    }
    answer("");
    let pretty = serde_json::from_str::<serde_json::Value>(&shown.body)
        .and_then(|value| serde_json::to_string_pretty(&value));
    match pretty {
        Ok(pretty) => answer(printable(&pretty)),
        Err(_) => answer(plain(&shown.body)),
    }
}

/// JSON escapes C0 controls itself; C1 and direction overrides it does not.
fn printable(json: &str) -> String {
    json.chars()
        .map(|c| if c != '\n' && spoils(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect()
}

/// At most [`MOST_TO`] columns; `queue show` has the whole.
fn shortened(text: &str) -> String {
    if columns(text) <= MOST_TO {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut width: usize = 1;
    for c in text.chars() {
        width = width.saturating_add(columns_of(c));
        if width > MOST_TO {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// What the sender said of reports at RCPT.
fn reports(copy: &Copy) -> Option<String> {
    let notify = copy.dsn.notify.map(|notify| format!("NOTIFY={notify}"));
    let orcpt = copy.dsn.orcpt.as_ref().map(|orcpt| format!("ORCPT={}", plain(orcpt)));
    let words: Vec<String> = [notify, orcpt].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn to(copy: &Copy) -> String {
    format!("{}:{}", copy.destination, plain(&copy.address))
}

fn next(copy: &Copy, now: Timestamp) -> String {
    let last = copy
        .text
        .as_ref()
        .map(|text| format!("{} {}", copy.status.as_deref().unwrap_or_default(), plain(text)));
    let due =
        copy.due.map(|due| if due <= now { "due now".to_owned() } else { format!("in {}", apart(now, due)) });
    let due = match copy.place {
        Place::Spool => due,
        Place::Local => Some(LOCAL.to_owned()),
    };
    let words: Vec<String> = [due, last].into_iter().flatten().collect();
    words.join("; ")
}

/// How long from one time to a later one, in one unit: `3d`, `17min`.
fn apart(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}min", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What keeps a copy in the local spool of a gateway of a group.
const LOCAL: &str = "local, waits for NATS";
/// Columns of TO, so that a short queue looks like a long one.
const LEAST_TO: usize = 24;
const MOST_TO: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::id::{DestinationName, QueueId};
    use crate::message::mail::{Class, Priority};
    use crate::message::recipient::{RecipientDsn, RecipientNumber};
    use crate::spool::SpoolState;

    fn copy(address: &str, text: &str) -> Copy {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        Copy {
            id: QueueId::from_row(1).unwrap(),
            number: RecipientNumber(0),
            destination: DestinationName::new("smarthost").unwrap(),
            address: address.to_owned(),
            state: SpoolState::Queued,
            due: Some(at(0)),
            standby_of: None,
            attempts: 1,
            settled_at: None,
            status: Some("4.7.0".to_owned()),
            text: Some(text.to_owned()),
            priority: Priority::Normal,
            class: Class::Notice,
            rule: None,
            accepted_at: at(0),
            expires_at: at(3600),
            bytes: 1,
            dsn: RecipientDsn::default(),
            place: Place::Spool,
            mailbox: None,
        }
    }

    #[test]
    fn what_waits_for_the_spool_of_the_group_says_so_in_place_of_a_time() {
        let local = Copy { place: Place::Local, ..copy("ops@example.com", "wait") };
        let row = rows(&[local], Timestamp::from_second(60).unwrap()).remove(1);
        assert!(row.ends_with("  local, waits for NATS; 4.7.0 wait"), "{row}");
    }

    #[test]
    fn what_a_transport_escaped_is_not_escaped_again_and_controls_never_pass() {
        let escaped = copy("\"night shift\"@example.com", "451 4.7.0 \\u{1b}[31m said \"wait\"");
        let row = rows(&[escaped], Timestamp::from_second(60).unwrap()).remove(1);
        assert!(row.contains("smarthost:\"night shift\"@example.com  "), "{row}");
        assert!(row.ends_with("4.7.0 451 4.7.0 \\u{1b}[31m said \"wait\""), "{row}");
        let raw = copy("a\u{1b}[2J\u{202e}@b", "x\r\n\u{9b}1m\u{200f}\u{7f}");
        let row = rows(&[raw], Timestamp::from_second(60).unwrap()).remove(1);
        assert!(
            row.contains("a\\u{1b}[2J\\u{202e}@b") && row.contains("x\\r\\n\\u{9b}1m\\u{200f}\\u{7f}"),
            "{row}"
        );
        assert!(!row.chars().any(spoils), "{row:?}");
    }

    #[test]
    fn columns_stay_aligned_whatever_the_addresses_are() {
        let long = format!("{}@example.com", "a".repeat(64));
        let copies = ["ops@example.com", "a-rather-long-alias@maintenance.example.com", &long, "設備監視"]
            .map(|to| copy(to, "MARK"));
        let rows = rows(&copies, Timestamp::from_second(60).unwrap());
        let starts: Vec<usize> = rows
            .iter()
            .map(|row| columns(row.split_once("NEXT").or_else(|| row.split_once("due now")).unwrap().0))
            .collect();
        assert!(starts.windows(2).all(|pair| pair[0] == pair[1]), "{rows:#?}");
        assert!(
            rows[2].contains("a-rather-long-alias@maintenance.example.com") && rows[3].contains('…'),
            "{rows:#?}"
        );
    }

    #[test]
    fn ages_are_in_one_unit_that_fits() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let ages = [5, 119, 120, 7199, 7200, 172_800].map(|seconds| apart(at(0), at(seconds)));
        assert_eq!(ages, ["5s", "119s", "2min", "119min", "2h", "2d"]);
        assert_eq!(apart(at(9), at(3)), "0s", "a clock that was set back");
    }

    #[test]
    fn a_terminal_is_not_moved_by_what_a_sender_wrote() {
        assert_eq!(printable("a\u{9b}b\u{202e}c\nd"), "a\\u009bb\\u202ec\nd");
    }
}
