//! How often strangers are answered over UDP: a bound for each source and one for all together.
//!
//! A source address of UDP can be forged, so every answer may go to somebody who never asked. The bound for one source
//! is what such a victim gets; the bound for all is what this host can be made to send.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::rate::{Rate, TokenBucket};

/// The answers of one kind that were given lately.
#[derive(Debug)]
pub struct AnswerRate {
    per_source: Rate,
    in_all: TokenBucket,
    sources: HashMap<Ipv4Addr, TokenBucket>,
    /// When those that are full again were looked for last: not for each packet of a flood.
    swept_at: Option<Instant>,
    /// What all sources share for which there is no room in `sources`.
    others: TokenBucket,
}

/// Which bound forbids an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exceeded {
    /// That of its source.
    PerSource,
    /// That of all sources together.
    InAll,
}

impl AnswerRate {
    /// Sources that are told apart at once; the others share the bound of one.
    pub const MAX_SOURCES: usize = 1024;

    /// How often at most room is made for sources, which takes a look at all of them.
    pub const SWEEP_EVERY: Duration = Duration::from_millis(100);

    /// Nobody was answered yet.
    #[must_use]
    pub fn new(per_source: Rate, in_all: Rate, now: Instant) -> Self {
        Self {
            per_source,
            in_all: TokenBucket::new(in_all, now),
            sources: HashMap::new(),
            swept_at: None,
            others: TokenBucket::new(per_source, now),
        }
    }

    /// Whether `source` may be answered once more; the answer counts from then on.
    ///
    /// # Errors
    /// The bound that forbids it.
    pub fn admit(&mut self, source: Ipv4Addr, now: Instant) -> Result<(), Exceeded> {
        let is_due = self.swept_at.is_none_or(|at| now.saturating_duration_since(at) >= Self::SWEEP_EVERY);
        if is_due && self.sources.len() >= Self::MAX_SOURCES && !self.sources.contains_key(&source) {
            self.swept_at = Some(now);
            // A bucket that is full again is no different from none.
            self.sources.retain(|_, bucket| bucket.full_at() > now);
        }
        let bucket = if self.sources.contains_key(&source) || self.sources.len() < Self::MAX_SOURCES {
            self.sources.entry(source).or_insert_with(|| TokenBucket::new(self.per_source, now))
        } else {
            &mut self.others
        };
        bucket.take(now).map_err(|_| Exceeded::PerSource)?;
        self.in_all.take(now).map_err(|_| {
            bucket.put_back();
            Exceeded::InAll
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(count: u32) -> Rate {
        Rate { count, period: SECOND }
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    fn source(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0A00_0000 + number)
    }

    #[test]
    fn an_eager_source_uses_up_its_own_share_and_nobody_elses() {
        let start = start();
        let mut rate = AnswerRate::new(rate(2), rate(100), start);
        assert_eq!([0; 3].map(|_| rate.admit(source(1), start)), [Ok(()), Ok(()), Err(Exceeded::PerSource)]);
        assert_eq!(rate.admit(source(2), start), Ok(()));
        assert_eq!(rate.admit(source(1), start + SECOND), Ok(()));
    }

    #[test]
    fn all_sources_together_get_no_more_than_the_whole() {
        let start = start();
        let mut rate = AnswerRate::new(rate(2), rate(5), start);
        let admitted = (0..100).filter(|number| rate.admit(source(*number), start).is_ok()).count();
        assert_eq!(admitted, 5);
        assert_eq!(rate.admit(source(101), start), Err(Exceeded::InAll));
        assert_eq!(rate.admit(source(101), start + SECOND), Ok(()), "a refusal by the whole cost it nothing");
    }

    #[test]
    fn a_flood_of_forged_sources_takes_bounded_memory_and_those_past_it_share_one_bound() {
        let start = start();
        let mut rate = AnswerRate::new(rate(1), rate(1_000_000), start);
        let admitted = (0..100_000).filter(|number| rate.admit(source(*number), start).is_ok()).count();
        assert_eq!(admitted, AnswerRate::MAX_SOURCES + 1);
        assert_eq!(rate.sources.len(), AnswerRate::MAX_SOURCES);
        assert_eq!(rate.admit(source(200_000), start + SECOND), Ok(()), "the flood is over");
        assert_eq!(rate.sources.len(), 1);
    }
}
