//! Which files of the pickup directory are complete. Pure: the caller looks and tells the time.
//!
//! A file that was renamed into the directory is complete at once: renaming is how a program says so. One that is written
//! there is complete when nothing of it changed between looks at least [`QUIET`] apart.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
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

/// The files that were seen at the last look, and those that were tried before and are still there.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    known: HashMap<OsString, Known>,
    left: Arc<Left>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    look: Look,
    since: Instant,
}

/// Files that were tried and are still there. Shared with whoever looks into the directory, who passes over them, so that
/// they take no place from others.
#[derive(Debug, Clone, Default)]
pub(super) struct Left(HashMap<OsString, LeftFile>);

#[derive(Debug, Clone, Copy)]
struct LeftFile {
    known: Known,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is tried again then.
    PutOff(Instant),
    /// It was dealt with and could not be taken away: not again, as long as it stays as it is.
    Over,
}

/// What a file in the directory is to whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was not tried yet as it is now.
    Fresh,
    /// It was put off, and its time has come.
    Due,
    /// It is to be passed over.
    Left,
}

impl Left {
    pub(super) fn standing(&self, name: &OsStr, look: Look, now: Instant) -> Standing {
        match self.0.get(name) {
            Some(file) if file.known.look != look => Standing::Fresh,
            Some(LeftFile { fate: Fate::PutOff(until), .. }) if *until <= now => Standing::Due,
            Some(_) => Standing::Left,
            None => Standing::Fresh,
        }
    }
}

impl Arrivals {
    /// What to pass over at the next look.
    pub(super) fn left(&self) -> Arc<Left> {
        Arc::clone(&self.left)
    }

    /// How many files were dealt with and cannot be removed.
    pub(super) fn over(&self) -> usize {
        self.left.0.values().filter(|file| file.fate == Fate::Over).count()
    }

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
            if self.left.standing(&name, look, now) == Standing::Left {
                continue;
            }
            let seen = before.remove(&name).or_else(|| self.left.0.get(&name).map(|file| file.known));
            let known = seen.filter(|known| known.look == look).unwrap_or(Known { look, since: now });
            let quiet = now.saturating_duration_since(known.since) >= QUIET;
            if quiet || renamed.contains(&name) {
                complete.push(name.clone());
            }
            self.known.insert(name, known);
        }
        complete
    }

    /// A file was dealt with and is still there, since it cannot be removed.
    pub(super) fn is_over(&mut self, name: &OsStr) {
        self.leave(name, Fate::Over);
    }

    /// A file has to wait until then.
    pub(super) fn put_off(&mut self, name: &OsStr, until: Instant) {
        if self.left.0.len() < MOST_LEFT || self.left.0.contains_key(name) {
            self.leave(name, Fate::PutOff(until));
        }
    }

    /// A file is not there any more.
    pub(super) fn forget(&mut self, name: &OsStr) {
        if self.left.0.contains_key(name) {
            Arc::make_mut(&mut self.left).0.remove(name);
        }
    }

    /// Only those that are there are remembered.
    pub(super) fn retain(&mut self, there: &HashSet<OsString>) {
        if !self.left.0.is_empty() {
            Arc::make_mut(&mut self.left).0.retain(|name, _| there.contains(name));
        }
    }

    fn leave(&mut self, name: &OsStr, fate: Fate) {
        if let Some(&known) = self.known.get(name) {
            Arc::make_mut(&mut self.left).0.insert(name.to_owned(), LeftFile { known, fate });
        }
    }
}

/// How long a file must stay as it is.
pub(super) const QUIET: Duration = Duration::from_secs(2);
/// Files that have to wait and are remembered as such; others are tried at each look.
const MOST_LEFT: usize = 50_000;

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
        arrivals.put_off("x.eml".as_ref(), at(80));
        assert!(arrivals.look(at(79), found(30), &none).is_empty(), "it has to wait");
        assert_eq!(arrivals.look(at(80), found(30), &none), ["x.eml"], "and has come to rest already");
        arrivals.is_over("x.eml".as_ref());
        assert!(arrivals.look(at(90), found(30), &none).is_empty());
        assert!(arrivals.look(at(91), found(31), &none).is_empty(), "another one of its name");
        assert_eq!(arrivals.look(at(111), found(31), &none), ["x.eml"]);
        assert!(arrivals.look(at(112), Vec::new(), &none).is_empty());
        arrivals.retain(&HashSet::new());
        assert!(arrivals.known.is_empty() && arrivals.left.0.is_empty());
    }

    #[test]
    fn a_file_that_is_renamed_into_the_directory_is_complete_at_once() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let renamed = HashSet::from(["x.eml".into()]);
        assert_eq!(Arrivals::default().look(start, found(10), &renamed), ["x.eml"]);
    }
}
