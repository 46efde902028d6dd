//! How many legacy messages one source address may send: `netbios.rate`.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::rate::{Rate, TokenBucket};

/// The share of one source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRate {
    /// How many for long.
    pub rate: Rate,
    /// How many at once after a silence; at least 1.
    pub burst: u32,
}

impl SourceRate {
    /// The same as a bucket: it holds the burst, and fills in the time in which the rate brings as many.
    fn bucket(self) -> Rate {
        let fill = self.rate.period.mul_f64(f64::from(self.burst) / f64::from(self.rate.count.max(1)));
        Rate { count: self.burst, period: fill.max(Duration::from_nanos(1)) }
    }
}

/// The shares of all sources that sent something lately; at most [`Shares::LIMIT`] of them.
///
/// Whoever sends forged addresses makes others be forgotten, not be refused: one that is forgotten has its whole share
/// again.
#[derive(Debug, Default)]
pub struct Shares {
    sources: HashMap<IpAddr, Share>,
    /// In the order of their first message; may name some that are gone.
    arrivals: VecDeque<IpAddr>,
    swept_at: Option<Instant>,
}

#[derive(Debug)]
struct Share {
    bucket: TokenBucket,
    rate: Rate,
    held_back: u64,
}

impl Shares {
    /// How many sources are remembered at most.
    pub const LIMIT: usize = 8192;

    /// Nobody sent anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one message from the share of `source`.
    ///
    /// `Ok` says how many of its messages were held back since the last one that passed, for that one to tell.
    ///
    /// # Errors
    /// [`OverRate`] when the share is used up.
    pub fn take(&mut self, source: IpAddr, limit: SourceRate, now: Instant) -> Result<u64, OverRate> {
        let rate = limit.bucket();
        if !self.sources.contains_key(&source) {
            self.make_room(now);
            self.arrivals.push_back(source);
        }
        let share = self.sources.entry(source).or_insert_with(|| Share::new(rate, now));
        if share.rate != rate {
            *share = Share { held_back: share.held_back, ..Share::new(rate, now) };
        }
        match share.bucket.take(now) {
            Ok(()) => Ok(std::mem::take(&mut share.held_back)),
            Err(_wait) => {
                share.held_back = share.held_back.saturating_add(1);
                Err(OverRate)
            }
        }
    }

    /// The message that was to tell of `count` others did not pass after all: the next one tells.
    pub fn untold(&mut self, source: IpAddr, count: u64) {
        if let Some(share) = self.sources.get_mut(&source) {
            share.held_back = share.held_back.saturating_add(count);
        }
    }

    /// Forgets those that are no different from new ones, and when there are none, who was first.
    fn make_room(&mut self, now: Instant) {
        if self.sources.len() < Self::LIMIT {
            return;
        }
        let swept_lately =
            self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1));
        if !swept_lately {
            self.swept_at = Some(now);
            self.sources.retain(|_, share| share.held_back > 0 || share.bucket.full_at() > now);
            let sources = &self.sources;
            self.arrivals.retain(|source| sources.contains_key(source));
        }
        while self.sources.len() >= Self::LIMIT {
            match self.arrivals.pop_front() {
                Some(first) => self.sources.remove(&first),
                None => return,
            };
        }
    }
}

impl Share {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { bucket: TokenBucket::new(rate, now), rate, held_back: 0 }
    }
}

/// The source sent more than its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverRate;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LIMIT: SourceRate =
        SourceRate { rate: Rate { count: 20, period: Duration::from_secs(1) }, burst: 100 };

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn host(number: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(number).unwrap()).into()
    }

    #[test]
    fn a_burst_passes_and_then_as_many_as_the_rate_brings() {
        let (mut shares, now) = (Shares::new(), start());
        let passed =
            |shares: &mut Shares, at| (0..1000).filter(|_| shares.take(host(1), LIMIT, at).is_ok()).count();
        assert_eq!(passed(&mut shares, now), 100);
        assert_eq!(passed(&mut shares, now + Duration::from_millis(1001)), 20);
        assert_eq!(passed(&mut shares, now + Duration::from_secs(60)), 100);
    }

    #[test]
    fn an_over_eager_source_costs_the_others_nothing() {
        let (mut shares, now) = (Shares::new(), start());
        for _ in 0..100_000 {
            shares.take(host(1), LIMIT, now).ok();
        }
        assert_eq!(shares.take(host(2), LIMIT, now), Ok(0));
        assert_eq!(shares.take(host(1), LIMIT, now), Err(OverRate));
    }

    #[test]
    fn the_next_message_that_passes_tells_how_many_did_not() {
        let (mut shares, now) = (Shares::new(), start());
        for _ in 0..107 {
            shares.take(host(1), LIMIT, now).ok();
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(shares.take(host(1), LIMIT, later), Ok(7));
        shares.untold(host(1), 7);
        assert_eq!(shares.take(host(1), LIMIT, later), Ok(7));
        assert_eq!(shares.take(host(1), LIMIT, later), Ok(0));
    }

    #[test]
    fn a_small_burst_beside_a_high_rate_and_a_new_limit_are_what_they_say() {
        let (mut shares, now) = (Shares::new(), start());
        let narrow = SourceRate { burst: 2, ..LIMIT };
        assert!(shares.take(host(1), narrow, now).is_ok() && shares.take(host(1), narrow, now).is_ok());
        assert_eq!(shares.take(host(1), narrow, now), Err(OverRate));
        let later = now + Duration::from_millis(51);
        assert_eq!(shares.take(host(1), narrow, later), Ok(1));
        assert_eq!(shares.take(host(1), narrow, later), Err(OverRate));
        assert_eq!(shares.take(host(1), LIMIT, later), Ok(1));
    }

    #[test]
    fn forged_sources_without_end_are_bounded_and_silence_nobody() {
        let (mut shares, now) = (Shares::new(), start());
        for number in 0..Shares::LIMIT * 3 {
            shares.take(host(number), LIMIT, now).unwrap();
        }
        assert!(shares.sources.len() <= Shares::LIMIT && shares.arrivals.len() <= Shares::LIMIT);
        assert!(shares.take(host(usize::from(u16::MAX)), LIMIT, now).is_ok());
    }

    #[test]
    fn those_that_fell_silent_make_room_before_one_that_is_throttled() {
        let (mut shares, now) = (Shares::new(), start());
        for _ in 0..200 {
            shares.take(host(0), LIMIT, now).ok();
        }
        for number in 1..Shares::LIMIT {
            shares.take(host(number), LIMIT, now).unwrap();
        }
        shares.take(host(Shares::LIMIT), LIMIT, now + Duration::from_secs(1)).unwrap();
        assert_eq!(shares.sources.len(), 2);
        assert_eq!(shares.arrivals.len(), 2);
    }
}
