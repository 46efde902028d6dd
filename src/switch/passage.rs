//! Whether messages of one direction pass, to be asked for each of them.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// A door that is open up to a moment, which may be the end of time or its beginning. Asking it takes no lock.
#[derive(Debug)]
pub struct Passage {
    /// In milliseconds of Unix time; the first one at which nothing passes.
    closes_at: AtomicI64,
}

impl Passage {
    /// One that never closes by itself.
    #[must_use]
    pub const fn open() -> Self {
        Self { closes_at: AtomicI64::new(i64::MAX) }
    }

    /// From now on messages pass up to `end`; `None`: without an end.
    pub fn open_until(&self, end: Option<Timestamp>) {
        self.closes_at.store(end.map_or(i64::MAX, Timestamp::as_millisecond), Ordering::Relaxed);
    }

    /// From now on nothing passes.
    pub fn close(&self) {
        self.closes_at.store(i64::MIN, Ordering::Relaxed);
    }

    /// Whether a message passes at this moment.
    #[must_use]
    pub fn lets_through(&self, at: Timestamp) -> bool {
        at.as_millisecond() < self.closes_at.load(Ordering::Relaxed)
    }
}

impl Default for Passage {
    fn default() -> Self {
        Self::open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_ends_at_its_moment_without_anybody_doing_anything() {
        let (passage, end) = (Passage::open(), Timestamp::from_second(1_800_000_000).unwrap());
        assert!(passage.lets_through(end));
        passage.open_until(Some(end));
        assert!(
            passage.lets_through(end - jiff::SignedDuration::from_millis(1)) && !passage.lets_through(end)
        );
        passage.close();
        assert!(!passage.lets_through(Timestamp::UNIX_EPOCH));
        passage.open_until(None);
        assert!(passage.lets_through(end));
    }
}
