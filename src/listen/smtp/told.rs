//! What the log was told of which client, so that one that comes back every minute does not fill it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::admission::Acquaintance;
use crate::policy::rate::{Rate, TokenBucket};
use crate::policy::remembered::Remembered;

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

/// What was told lately. Strangers can neither silence the operator's own clients nor fill the log.
#[derive(Debug)]
pub(super) struct Told(Mutex<Lately>);

#[derive(Debug)]
struct Lately {
    own: Remembered<(Topic, IpAddr), ()>,
    strangers: Remembered<(Topic, IpAddr), ()>,
    /// How often something is told of strangers, of however many of them.
    of_strangers: TokenBucket,
}

impl Told {
    /// Nothing yet.
    #[must_use]
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Lately {
            own: Remembered::new(EVERY, MOST),
            strangers: Remembered::new(EVERY, MOST),
            of_strangers: TokenBucket::new(OF_STRANGERS, now),
        }))
    }

    /// Whether something is to be told of a client now; if so, not again for an hour, unless very many others come in
    /// between. Of very many strangers only some are told of.
    #[must_use]
    pub(super) fn is_news(
        &self,
        topic: Topic,
        client: IpAddr,
        acquaintance: Acquaintance,
        now: Instant,
    ) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Lately { own, strangers, of_strangers } = &mut *lately;
        let told = match acquaintance {
            Acquaintance::Trusted => own,
            Acquaintance::Stranger => strangers,
        };
        if told.recall(&(topic, client), now).is_some() {
            return false;
        }
        if acquaintance == Acquaintance::Stranger && of_strangers.take(now).is_err() {
            return false;
        }
        told.note((topic, client), (), now);
        true
    }
}

const EVERY: Duration = Duration::from_secs(60 * 60);
/// Clients and topics that are remembered, of the operator's own and of strangers each; the oldest give way.
const MOST: usize = 4096;
const OF_STRANGERS: Rate = Rate { count: 4096, period: EVERY };

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    const DEVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 31));

    #[test]
    fn a_device_that_fails_every_minute_is_told_of_once_an_hour() {
        let start = start();
        let told = Told::new(start);
        for acquaintance in [Acquaintance::Trusted, Acquaintance::Stranger] {
            let minutes = (0..120).filter(|minute| {
                let now = start + Duration::from_secs(60 * minute);
                told.is_news(Topic::Handshake, DEVICE, acquaintance, now)
            });
            assert_eq!(minutes.collect::<Vec<_>>(), [0, 60]);
        }
        assert!(told.is_news(Topic::Refusal, DEVICE, Acquaintance::Trusted, start), "another topic");
    }

    #[test]
    fn a_flood_of_strangers_neither_fills_the_log_nor_silences_anybody() {
        let start = start();
        let told = Told::new(start);
        let flood = (0..10_000_u32).filter(|&number| {
            told.is_news(Topic::Refusal, Ipv4Addr::from(number).into(), Acquaintance::Stranger, start)
        });
        assert_eq!(flood.count(), MOST);
        assert!(
            told.is_news(Topic::Refusal, DEVICE, Acquaintance::Trusted, start),
            "one of the operator's own"
        );
        let soon = start + Duration::from_secs(1);
        assert!(told.is_news(Topic::Refusal, DEVICE, Acquaintance::Stranger, soon), "the oldest gives way");
        assert!(!told.is_news(
            Topic::Refusal,
            DEVICE,
            Acquaintance::Stranger,
            soon + Duration::from_secs(60)
        ));
    }

    #[test]
    fn very_many_own_clients_are_all_told_of() {
        let start = start();
        let told = Told::new(start);
        let news = (0..10_000_u32).filter(|&number| {
            told.is_news(Topic::Refusal, Ipv4Addr::from(number).into(), Acquaintance::Trusted, start)
        });
        assert_eq!(news.count(), 10_000);
    }
}
