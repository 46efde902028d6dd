//! Which files of the pickup directory are complete. Pure: the caller looks and tells the time.
//!
//! A file that was renamed into the directory is complete at once: renaming is how a program says so. One that is written
//! there is complete when nothing of it changed between looks at least [`QUIET`] apart.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    /// Device and inode.
    pub(super) file: (u64, u64),
    /// Octets.
    pub(super) size: u64,
    /// Seconds and nanoseconds of the last change of its content.
    pub(super) modified: (i64, i64),
}

/// The files that were there at the last look.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    known: HashMap<OsString, Known>,
}

#[derive(Debug)]
struct Known {
    look: Look,
    since: Instant,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    /// It was dealt with and could not be taken away: not again, as long as it stays as it is.
    Over,
}

impl Arrivals {
    /// Takes note of what is there now; those that are complete, in the order of `found`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        found: Vec<(OsString, Look)>,
        renamed: &HashSet<OsString>,
    ) -> Vec<OsString> {
        let mut before = std::mem::take(&mut self.known);
        let mut complete = Vec::new();
        for (name, look) in found {
            let known = match before.remove(&name) {
                Some(known) if known.look == look => known,
                _ => Known { look, since: now, fate: Fate::Waiting },
            };
            let quiet = now.saturating_duration_since(known.since) >= QUIET;
            if known.fate == Fate::Waiting && (quiet || renamed.contains(&name)) {
                complete.push(name.clone());
            }
            self.known.insert(name, known);
        }
        complete
    }

    /// A file was dealt with and is still there, since it can be neither removed nor moved away.
    pub(super) fn is_over(&mut self, name: &OsString) {
        if let Some(known) = self.known.get_mut(name) {
            known.fate = Fate::Over;
        }
    }
}

/// How long a file must stay as it is.
pub(super) const QUIET: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn look(size: u64) -> Look {
        Look { file: (1, 2), size, modified: (size.cast_signed(), 0) }
    }

    fn found(size: u64) -> Vec<(OsString, Look)> {
        vec![("x.eml".into(), look(size))]
    }

    #[test]
    fn a_file_that_is_written_slowly_is_taken_when_it_has_come_to_rest() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let mut arrivals = Arrivals::default();
        let none = HashSet::new();
        for (tenths, size) in [(0, 10), (15, 20), (30, 30), (40, 30), (49, 30)] {
            assert!(arrivals.look(at(tenths), found(size), &none).is_empty(), "{tenths}");
        }
        assert_eq!(arrivals.look(at(50), found(30), &none), ["x.eml"]);
        assert_eq!(arrivals.look(at(51), found(30), &none), ["x.eml"], "until it is dealt with");
        arrivals.is_over(&"x.eml".into());
        assert!(arrivals.look(at(90), found(30), &none).is_empty());
        assert!(arrivals.look(at(91), found(31), &none).is_empty(), "another one of its name");
        assert_eq!(arrivals.look(at(111), found(31), &none), ["x.eml"]);
        assert!(arrivals.look(at(112), Vec::new(), &none).is_empty());
        assert!(arrivals.known.is_empty());
    }

    #[test]
    fn a_file_that_is_renamed_into_the_directory_is_complete_at_once() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let renamed = HashSet::from(["x.eml".into()]);
        assert_eq!(Arrivals::default().look(start, found(10), &renamed), ["x.eml"]);
    }
}
