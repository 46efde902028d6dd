//! What a source answered lately.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::policy::remembered::Remembered;
use crate::session::smtp_server::Existence;

/// Answers of one source. Each kind has a map of its own, so that a harvester, who makes nothing but unknown addresses,
/// drives out nobody's known one.
#[derive(Debug)]
pub(super) struct Memory {
    known: Remembered<Arc<str>, ()>,
    unknown: Remembered<Arc<str>, ()>,
    unavailable: Remembered<Arc<str>, ()>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            known: Remembered::new(KNOWN_FOR, MAX_KNOWN),
            unknown: Remembered::new(UNKNOWN_FOR, MAX_UNKNOWN),
            unavailable: Remembered::new(UNAVAILABLE_FOR, MAX_UNAVAILABLE),
        }
    }

    /// What was answered, if that still holds.
    pub(super) fn recall(&self, address: &str, now: Instant) -> Option<Existence> {
        let held = |map: &Remembered<Arc<str>, ()>| map.recall(address, now).is_some();
        if held(&self.known) {
            Some(Existence::Known)
        } else if held(&self.unknown) {
            Some(Existence::Unknown)
        } else if held(&self.unavailable) {
            Some(Existence::Unavailable)
        } else {
            None
        }
    }

    /// Takes note of an answer, instead of what was answered before.
    pub(super) fn note(&mut self, address: Arc<str>, answer: Existence, now: Instant) {
        self.known.forget(&*address);
        self.unknown.forget(&*address);
        self.unavailable.forget(&*address);
        match answer {
            Existence::Known => self.known.note(address, (), now),
            Existence::Unknown => self.unknown.note(address, (), now),
            Existence::Unavailable => self.unavailable.note(address, (), now),
        }
    }

    pub(super) fn len(&self) -> usize {
        [&self.known, &self.unknown, &self.unavailable].iter().map(|map| map.len()).sum()
    }
}

/// An account that was deleted gets mail so much longer; the next hop then answers for it.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// An account that was made is refused so much longer: a false 550, so it must be short.
const UNKNOWN_FOR: Duration = Duration::from_secs(2 * 60);
/// Spares a directory in trouble those who ask again at once.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(3);
/// About 100 octets each.
const MAX_KNOWN: usize = 50_000;
const MAX_UNKNOWN: usize = 50_000;
const MAX_UNAVAILABLE: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    #[test]
    fn each_answer_holds_for_its_own_time() {
        for (answer, lifetime) in [
            (Existence::Known, KNOWN_FOR),
            (Existence::Unknown, UNKNOWN_FOR),
            (Existence::Unavailable, UNAVAILABLE_FOR),
        ] {
            let start = start();
            let mut memory = Memory::new();
            memory.note("ops@corp.example".into(), answer, start);
            let almost = start + lifetime - Duration::from_millis(1);
            assert_eq!(memory.recall("ops@corp.example", almost), Some(answer));
            assert_eq!(memory.recall("ops@corp.example", start + lifetime), None, "{answer:?}");
            assert_eq!(memory.recall("night@corp.example", start), None);
        }
    }

    #[test]
    fn a_new_answer_replaces_the_old_one() {
        let now = start();
        let mut memory = Memory::new();
        for answer in [Existence::Known, Existence::Unavailable, Existence::Unknown, Existence::Known] {
            memory.note("ops@corp.example".into(), answer, now);
            assert_eq!((memory.recall("ops@corp.example", now), memory.len()), (Some(answer), 1));
        }
    }

    #[test]
    fn a_harvester_drives_out_no_known_address_and_fills_no_memory() {
        let now = start();
        let mut memory = Memory::new();
        memory.note("ops@corp.example".into(), Existence::Known, now);
        for number in 0..MAX_UNKNOWN + 1000 {
            memory.note(format!("guess{number}@corp.example").into(), Existence::Unknown, now);
        }
        assert_eq!(memory.recall("ops@corp.example", now), Some(Existence::Known));
        assert_eq!(memory.len(), MAX_UNKNOWN + 1);
    }
}
