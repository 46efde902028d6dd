//! Who leads the group: a lease that its holder renews, and that another takes when it has not been for long enough.
//!
//! Nobody trusts another's clock, nor the servers': the holder counts from before it asked for a renewal, the others from
//! after they saw the last one, so that it lets go before they take over. The caller writes and reads as [`Election::step`]
//! says and tells what came of it; time is an argument.

use std::time::{Duration, Instant};

use crate::spool::Lead;

/// One gateway's view of the lease.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// When the renewal began that succeeded last, since this gateway leads.
    renewed: Option<Instant>,
    lease: Lease,
}

/// The lease as it was seen last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lease {
    /// Not at all, or somebody wrote since.
    #[default]
    Unknown,
    /// Nobody's.
    Vacant,
    /// This gateway's, as of this revision.
    Ours(u64),
    /// Another's, unchanged since a time.
    Anothers { revision: u64, since: Instant },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Write the lease where there is none.
    Create,
    /// Write it over this revision.
    Update(u64),
    /// Read it.
    Look,
}

/// Whose lease was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Us,
    Another,
}

impl Election {
    /// Between two steps.
    pub(super) const EVERY: Duration = Duration::from_secs(1);
    /// How long after its last renewal a gateway leads.
    pub(super) const HELD: Duration = Duration::from_secs(3);
    /// How long another's lease is unchanged before it is taken.
    pub(super) const VACANT_AFTER: Duration = Duration::from_secs(4);

    /// What to do at `now`.
    pub(super) fn step(&self, now: Instant) -> Step {
        match self.lease {
            Lease::Unknown => Step::Look,
            Lease::Vacant => Step::Create,
            Lease::Ours(revision) => Step::Update(revision),
            Lease::Anothers { revision, since } => {
                if now.saturating_duration_since(since) >= Self::VACANT_AFTER {
                    Step::Update(revision)
                } else {
                    Step::Look
                }
            }
        }
    }

    /// The lease was written, by a step that began at `began`.
    pub(super) fn written(&mut self, began: Instant, revision: u64) {
        self.renewed = Some(began);
        self.lease = Lease::Ours(revision);
    }

    /// There was no room to write the lease, by a step that began at `began`. Nobody else can take it at that moment, and
    /// who led until then leads on. Should another find room first, this gateway hears of it with its next step but one.
    pub(super) fn unwritten(&mut self, began: Instant) {
        let leads = self.lead(began) == Lead::Ours;
        match self.lease {
            Lease::Ours(_) | Lease::Vacant if leads => self.renewed = Some(began),
            Lease::Ours(_) | Lease::Vacant | Lease::Unknown | Lease::Anothers { .. } => {}
        }
    }

    /// Somebody else wrote first, or this gateway did and heard no answer.
    pub(super) fn refused(&mut self) {
        self.lease = Lease::Unknown;
    }

    /// The lease was read, with its revision; the answer came at `now`.
    pub(super) fn read(&mut self, now: Instant, found: Option<(Holder, u64)>) {
        self.lease = match found {
            None => Lease::Vacant,
            // That it was written is known; when, is not. The next step renews it.
            Some((Holder::Us, revision)) => Lease::Ours(revision),
            Some((Holder::Another, revision)) => {
                self.renewed = None;
                let since = match self.lease {
                    Lease::Anothers { revision: before, since } if before == revision => since,
                    Lease::Unknown | Lease::Vacant | Lease::Ours(_) | Lease::Anothers { .. } => now,
                };
                Lease::Anothers { revision, since }
            }
        };
    }

    /// Whether this gateway leads at `now`.
    pub(super) fn lead(&self, now: Instant) -> Lead {
        match self.lapses_at() {
            None => Lead::Another,
            Some(lapses_at) if now < lapses_at => Lead::Ours,
            Some(_) => Lead::Lapsed,
        }
    }

    /// When the lead lapses unless it is renewed; `None` while there is none.
    pub(super) fn lapses_at(&self) -> Option<Instant> {
        self.renewed.and_then(|renewed| renewed.checked_add(Self::HELD))
    }

    /// The revision to give back at the end, where the lease is this gateway's.
    pub(super) const fn to_give_back(&self) -> Option<u64> {
        match self.lease {
            Lease::Ours(revision) => Some(revision),
            Lease::Unknown | Lease::Vacant | Lease::Anothers { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lease as the servers have it: its holder and its revision.
    #[derive(Default)]
    struct Bucket(Option<(usize, u64)>);

    impl Bucket {
        fn carry_out(&mut self, me: usize, election: &mut Election, now: Instant) {
            let revision = self.0.map_or(0, |(_, revision)| revision);
            match election.step(now) {
                Step::Look => election.read(
                    now,
                    self.0.map(|(holder, revision)| {
                        (if holder == me { Holder::Us } else { Holder::Another }, revision)
                    }),
                ),
                Step::Create if self.0.is_none() => self.write(me, election, now),
                Step::Update(expected) if self.0.is_some() && expected == revision => {
                    self.write(me, election, now);
                }
                Step::Create | Step::Update(_) => election.refused(),
            }
        }

        fn write(&mut self, me: usize, election: &mut Election, now: Instant) {
            let revision = self.0.map_or(1, |(_, revision)| revision + 1);
            self.0 = Some((me, revision));
            election.written(now, revision);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn one_that_is_cut_off_lets_go_before_another_takes_over_whatever_the_phase_of_their_clocks() {
        for phase in (0..1000).step_by(50) {
            let (begin, at) = (origin(), Duration::from_millis);
            let mut bucket = Bucket::default();
            let (mut one, mut other) = (Election::default(), Election::default());
            let (mut cut_off, mut taken_over) = (None, None);
            for millisecond in 0..20_000_u64 {
                let now = begin + at(millisecond);
                if millisecond % 1000 == 0 && millisecond < 8000 {
                    bucket.carry_out(1, &mut one, now);
                    cut_off = Some(millisecond);
                }
                if millisecond % 1000 == phase {
                    bucket.carry_out(2, &mut other, now);
                }
                let leads = [&one, &other].map(|election| election.lead(now));
                assert_ne!(leads, [Lead::Ours; 2], "{phase} {millisecond}");
                if leads[1] == Lead::Ours && taken_over.is_none() {
                    assert_eq!(leads[0], Lead::Lapsed, "{phase} {millisecond}");
                    taken_over = Some(millisecond);
                }
            }
            let took = taken_over.unwrap() - cut_off.unwrap();
            assert!((4000..6000).contains(&took), "{phase} {took}");
            bucket.carry_out(1, &mut one, begin + at(20_000));
            bucket.carry_out(1, &mut one, begin + at(21_000));
            assert_eq!(one.lead(begin + at(21_000)), Lead::Another);
        }
    }

    #[test]
    fn a_renewal_whose_answer_was_lost_is_found_and_renewed() {
        let begin = origin();
        let (mut bucket, mut one) = (Bucket::default(), Election::default());
        for second in 0..3 {
            bucket.carry_out(1, &mut one, begin + Duration::from_secs(second));
        }
        bucket.0 = bucket.0.map(|(holder, revision)| (holder, revision + 1));
        for second in 3..6 {
            bucket.carry_out(1, &mut one, begin + Duration::from_secs(second));
        }
        assert_eq!(one.lead(begin + Duration::from_secs(6)), Lead::Ours);
    }

    #[test]
    fn who_leads_leads_on_where_there_is_no_room_to_say_so_and_nobody_begins_to() {
        let at = {
            let begin = origin();
            move |second| begin + Duration::from_secs(second)
        };
        let (mut one, mut other) = (Election::default(), Election::default());
        one.read(at(0), None);
        one.written(at(0), 1);
        for second in 1..20 {
            // The server forgot what it had no room to replace.
            if second == 5 {
                one.read(at(second), None);
            }
            one.unwritten(at(second));
            other.read(at(second), Some((Holder::Another, 1)));
            other.unwritten(at(second));
            assert_eq!((one.lead(at(second)), other.lead(at(second))), (Lead::Ours, Lead::Another));
        }
        assert_eq!(one.lead(at(23)), Lead::Lapsed);
        one.unwritten(at(23));
        assert_eq!(one.lead(at(23)), Lead::Lapsed, "another may lead by now");
    }

    #[test]
    fn a_lease_that_was_given_back_is_anothers_at_once() {
        let begin = origin();
        let (mut bucket, mut other) = (Bucket(Some((1, 7))), Election::default());
        bucket.carry_out(2, &mut other, begin);
        assert_eq!(other.lead(begin), Lead::Another);
        bucket.0 = None;
        for second in 1..3 {
            bucket.carry_out(2, &mut other, begin + Duration::from_secs(second));
        }
        assert_eq!(other.lead(begin + Duration::from_secs(2)), Lead::Ours);
        assert_eq!(other.to_give_back(), Some(1));
    }
}
