//! Times, sizes and foreign words for people's eyes.

use jiff::Timestamp;

/// How long, in one or two units: `12 s`, `5 min`, `3 h 20 min`, `4 d 2 h`.
#[must_use]
pub fn spell_seconds(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let both = |great: u64, great_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{great} {great_unit}"),
        _ => format!("{great} {great_unit} {small} {small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{minutes} min"),
        3600..86_400 => both(hours, "h", minutes, "min"),
        _ => both(days, "d", hours, "h"),
    }
}

/// How long from one time to a later one; none where it is not later.
#[must_use]
pub fn spell_between(from: Timestamp, to: Timestamp) -> String {
    spell_seconds(u64::try_from(to.duration_since(from).as_secs()).unwrap_or_default())
}

/// A size in the unit that fits: `712 B`, `1.4 MiB`.
#[must_use]
pub fn spell_bytes(bytes: u64) -> String {
    let Some((shift, unit)) = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes >> shift > 0)
    else {
        return format!("{bytes} B");
    };
    let (whole, tenth) = (bytes >> shift, ((bytes >> (shift - 10)) & 1023) * 10 / 1024);
    format!("{whole}.{tenth} {unit}")
}

/// Whether a character moves, reorders or hides what stands around it, on a terminal or a page (UAX #9 §2).
#[must_use]
pub fn spoils(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_the_unit_that_fits() {
        let seconds = [0, 119, 120, 3599, 3600, 12_000, 86_399, 86_400, 360_000];
        let spelt = seconds.map(spell_seconds);
        let expected =
            ["0 s", "119 s", "2 min", "59 min", "1 h", "3 h 20 min", "23 h 59 min", "1 d", "4 d 4 h"];
        assert_eq!(spelt, expected);
        let sizes = [0, 1023, 1024, 1_468_006, 35 << 20, u64::MAX].map(spell_bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.3 MiB", "35.0 MiB", "16777215.9 TiB"]);
    }

    #[test]
    fn a_clock_that_was_set_back_gives_no_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(spell_between(at(90), at(30)), "0 s");
        assert_eq!(spell_between(at(30), at(90)), "60 s");
    }
}
