//! The queue for people's eyes. What peers said is escaped: a terminal obeys control characters.

use jiff::Timestamp;

use crate::cli::output::answer;
use crate::spool::{Copy, Shown};

#[expect(clippy::disallowed_methods, reason = "ages are shown against now")]
pub(super) fn list(copies: &[Copy]) {
    if copies.is_empty() {
        answer("The queue is empty.");
        return;
    }
    answer(format_args!(
        "{:13}  {:7}  {:8}  {:24}  {:>3}  {}",
        "ID", "STATE", "AGE", "TO", "TRY", "NEXT OR LAST"
    ));
    let now = Timestamp::now();
    for copy in copies {
        answer(format_args!(
            "{:13}  {:7}  {:8}  {:24}  {:>3}  {}",
            copy.id,
            copy.state.as_str(),
            apart(copy.accepted_at, now),
            to(copy),
            copy.attempts,
            next(copy, now),
        ));
    }
}

pub(super) fn show(shown: &Shown) {
    for copy in &shown.copies {
        answer(format_args!("{} copy {} to {}", copy.id, copy.number.0, to(copy)));
        answer(format_args!("  state     {}", copy.state.as_str()));
        answer(format_args!("  accepted  {}   given up {}", copy.accepted_at, copy.expires_at));
        if let Some(rule) = &copy.rule {
            answer(format_args!("  rule      {rule}"));
        }
        if let Some(due) = copy.due {
            answer(format_args!("  next try  {due}   after {} attempts", copy.attempts));
        }
        if let Some(text) = &copy.text {
            let status = copy.status.as_deref().unwrap_or_default();
            answer(format_args!("  last      {status} {}", text.escape_debug()));
        }
    }
    answer("");
    let pretty = serde_json::from_str::<serde_json::Value>(&shown.body)
        .and_then(|value| serde_json::to_string_pretty(&value));
    match pretty {
        Ok(pretty) => answer(printable(&pretty)),
        Err(_) => answer(shown.body.escape_debug()),
    }
}

/// JSON escapes C0 controls itself; C1 and direction overrides it does not.
fn printable(json: &str) -> String {
    let spoils = |c: char| {
        c != '\n'
            && (c.is_control()
                || matches!(c, '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'))
    };
    json.chars().map(|c| if spoils(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}

fn to(copy: &Copy) -> String {
    format!("{}:{}", copy.destination, copy.address.escape_debug())
}

fn next(copy: &Copy, now: Timestamp) -> String {
    let last = copy
        .text
        .as_ref()
        .map(|text| format!("{} {}", copy.status.as_deref().unwrap_or_default(), text.escape_debug()));
    let due =
        copy.due.map(|due| if due <= now { "due now".to_owned() } else { format!("in {}", apart(now, due)) });
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

#[cfg(test)]
mod tests {
    use super::*;

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
