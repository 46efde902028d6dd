//! What the log was told of which client, so that one that comes back every minute does not fill it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the log is told at most once an hour of each client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// Its TLS handshake failed, and there is something to do about it.
    Handshake,
    /// It is a named proxy and brought no PROXY header.
    ProxyHeader,
    /// It was turned away before its session.
    Refusal,
    /// The policy refused it something, for this reason.
    Denial(&'static str),
}

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<(Topic, IpAddr), Instant>>);

impl Told {
    /// Whether something is to be told of a client now; if so, not again for an hour. Of very many clients at once
    /// nothing is told until some have been forgotten.
    #[must_use]
    pub(super) fn is_news(&self, topic: Topic, client: IpAddr, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= EVERY;
        if told.get(&(topic, client)).is_some_and(|at| !is_old(at)) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, at| !is_old(at));
            if told.len() >= MOST {
                return false;
            }
        }
        told.insert((topic, client), now);
        true
    }
}

const EVERY: Duration = Duration::from_secs(60 * 60);
/// Clients and topics that are remembered.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_device_that_fails_every_minute_is_told_of_once_an_hour_and_a_flood_is_bounded() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let told = Told::default();
        let device = IpAddr::from([192, 0, 2, 31]);
        let minutes = (0..120).filter(|minute| {
            told.is_news(Topic::Handshake, device, start + Duration::from_secs(60 * minute))
        });
        assert_eq!(minutes.collect::<Vec<_>>(), [0, 60]);
        assert!(told.is_news(Topic::Refusal, device, start), "another topic");
        let flood = (0..10_000_u32)
            .filter(|&number| told.is_news(Topic::Refusal, Ipv4Addr::from(number).into(), start));
        assert!(flood.count() < MOST);
        let later = start + 3 * EVERY;
        assert!(told.is_news(Topic::Refusal, device, later), "the flood is forgotten");
    }
}
