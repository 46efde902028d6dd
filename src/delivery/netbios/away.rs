//! Receivers that could not be reached lately: a message to one is no reason for messages to others to wait.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::retry::Retry;
use crate::wire::netbios_name::NetbiosName;

/// When which receivers were found to be away. Bounded.
#[derive(Debug)]
pub(super) struct Away {
    found: Mutex<HashMap<NetbiosName, Instant>>,
    rest: Duration,
}

/// What is known of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing that speaks against a delivery.
    Unknown,
    /// It was away, a while ago: one message may find out, and the others need not wait for that.
    Doubtful,
    /// It was away a moment ago; to be tried again after this time.
    Away(Duration),
}

impl Away {
    /// How long a receiver that was away is not tried at most.
    const LONGEST_REST: Duration = Duration::from_secs(30);

    /// How many receivers are remembered. Eight attempts at once that each take a second find half as many within
    /// [`Self::LONGEST_REST`].
    const MOST: usize = 512;

    /// Nobody is away. One that is found to be is not tried for as long as `retry`, by which its message waits, but not
    /// for longer than half a minute.
    pub(super) fn new(retry: Retry) -> Self {
        Self { found: Mutex::default(), rest: retry.first.min(Self::LONGEST_REST) }
    }

    /// How long a receiver that was away is not tried.
    pub(super) const fn rest(&self) -> Duration {
        self.rest
    }

    /// What is known of it.
    pub(super) fn presence(&self, receiver: NetbiosName, now: Instant) -> Presence {
        let Some(found) = self.found().get(&receiver).copied() else { return Presence::Unknown };
        match self.rest.checked_sub(now.saturating_duration_since(found)) {
            Some(rest) if !rest.is_zero() => Presence::Away(rest),
            Some(_) | None => Presence::Doubtful,
        }
    }

    /// It was away.
    pub(super) fn was_away(&self, receiver: NetbiosName, now: Instant) {
        let mut found = self.found();
        if found.len() >= Self::MOST && !found.contains_key(&receiver) {
            let longest_ago = found.iter().min_by_key(|(_, at)| **at).map(|(receiver, _)| *receiver);
            longest_ago.and_then(|receiver| found.remove(&receiver));
        }
        found.insert(receiver, now);
    }

    /// It was there.
    pub(super) fn was_there(&self, receiver: NetbiosName) {
        self.found().remove(&receiver);
    }

    fn found(&self) -> MutexGuard<'_, HashMap<NetbiosName, Instant>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::netbios_name::NameType;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn name(text: &str) -> NetbiosName {
        NetbiosName::new(text.as_bytes(), NameType::MESSENGER).unwrap()
    }

    #[test]
    fn who_was_away_rests_is_then_doubtful_and_is_forgotten_once_there() {
        let (away, now) = (Away::new(Retry::default()), start());
        let second = Duration::from_secs(1);
        assert_eq!(away.presence(name("PC09"), now), Presence::Unknown);
        away.was_away(name("PC09"), now);
        assert_eq!(away.presence(name("PC09"), now + second), Presence::Away(away.rest() - second));
        assert_eq!(away.presence(name("PC01"), now + second), Presence::Unknown);
        assert_eq!(away.presence(name("PC09"), now + away.rest()), Presence::Doubtful);
        away.was_there(name("PC09"));
        assert_eq!(away.presence(name("PC09"), now + away.rest()), Presence::Unknown);
    }

    #[test]
    fn many_that_are_away_cost_a_bounded_memory_and_those_of_long_ago_go_first() {
        let (away, now) = (Away::new(Retry::default()), start());
        for (number, after) in (0..2000).zip(0..) {
            away.was_away(name(&format!("PC{number}")), now + Duration::from_millis(after));
        }
        assert_eq!(away.found().len(), Away::MOST);
        assert_eq!(away.presence(name("PC0"), now), Presence::Unknown);
        assert!(matches!(away.presence(name("PC1999"), now + Duration::from_secs(2)), Presence::Away(_)));
    }
}
