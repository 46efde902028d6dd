//! Guessing passwords is stopped by client network, and checking them may not cost more than the machine can spare.
//!
//! A network that fails too often is refused at once for a while, without a computation. A success forgives the slips
//! of its own account alone, or whoever has one account could guess those of others for ever. Computations wait in a line,
//! which is bounded for all and for each network. How long the reply to a single failure is held, the tar pit says.
//!
//! Whoever has a whole IPv6 /48 has 65 536 networks. It guesses from a few of them as others do from one; its further
//! ones count as one network, and all of them wait in one line.

mod records;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use self::records::Records;
use crate::policy::client_network::ClientNetwork;

/// How many failures are too many, and how long the line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthGuardPolicy {
    /// So many failures of one network; `None`: none is too many …
    pub failures: Option<u32>,
    /// … within this time, counted from the first, …
    pub within: Duration,
    /// … and it is refused for so long.
    pub refused_for: Duration,
    /// Networks with failures that are remembered; then the oldest is forgotten, refused ones last.
    pub networks: usize,
    /// Computations that may wait, in all.
    pub line: usize,
    /// Computations of one network that may wait; of all those of one IPv6 /48 together.
    pub line_of_network: usize,
}

impl Default for AuthGuardPolicy {
    /// 10 failures in 10 minutes, then refused for 5: fewer than 3000 guesses a day. 10 000 networks. A line of 256, of
    /// one network 64: with 20 ms for each and two at once, nobody waits longer than some 3 s.
    fn default() -> Self {
        Self {
            failures: Some(10),
            within: Duration::from_secs(10 * 60),
            refused_for: Duration::from_secs(5 * 60),
            networks: 10_000,
            line: 256,
            line_of_network: 64,
        }
    }
}

/// Whether a network may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It may.
    Allowed,
    /// It failed too often.
    TooManyFailures,
    /// Too many wait already.
    LineFull,
}

/// What a failure brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It was counted.
    Counted,
    /// It was one too many: the network is refused from now on.
    Refused,
}

/// Failures and the line, for all networks.
#[derive(Debug)]
pub struct AuthGuard {
    policy: AuthGuardPolicy,
    records: Records,
    /// Keeps names of accounts out of the memory.
    hasher: RandomState,
    /// Of each network that has any; of an IPv6 network, its site's.
    waiting: HashMap<ClientNetwork, usize>,
    waiting_in_all: usize,
}

impl AuthGuard {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(policy: AuthGuardPolicy) -> Self {
        Self {
            policy,
            records: Records::default(),
            hasher: RandomState::new(),
            waiting: HashMap::new(),
            waiting_in_all: 0,
        }
    }

    /// Whether a client of this network may try now. To be asked again when its turn in the line comes, so that those
    /// that wait together do not get around the limit.
    #[must_use]
    pub fn may_try(&self, network: ClientNetwork, now: Instant) -> Attempt {
        let counted = self.records.counted_under(network, &self.policy, now);
        let refused = self.records.get(&counted).is_some_and(|record| record.is_refused(&self.policy, now));
        if refused { Attempt::TooManyFailures } else { Attempt::Allowed }
    }

    /// A client of this network wants a computation. If it is [`Attempt::Allowed`], [`Self::leave`] must follow.
    pub fn join(&mut self, network: ClientNetwork, now: Instant) -> Attempt {
        match self.may_try(network, now) {
            Attempt::Allowed => {}
            refused @ (Attempt::TooManyFailures | Attempt::LineFull) => return refused,
        }
        let network = in_line(network);
        let of_network = self.waiting.get(&network).copied().unwrap_or_default();
        if self.waiting_in_all >= self.policy.line || of_network >= self.policy.line_of_network {
            return Attempt::LineFull;
        }
        self.waiting.insert(network, of_network.saturating_add(1));
        self.waiting_in_all = self.waiting_in_all.saturating_add(1);
        Attempt::Allowed
    }

    /// A computation of this network is done, or nobody waits for it any more.
    pub fn leave(&mut self, network: ClientNetwork) {
        let network = in_line(network);
        let Some(of_network) = self.waiting.get_mut(&network) else { return };
        *of_network = of_network.saturating_sub(1);
        if *of_network == 0 {
            self.waiting.remove(&network);
        }
        self.waiting_in_all = self.waiting_in_all.saturating_sub(1);
    }

    /// A client of this network proved to be this account: the network's failures as this account were slips. Others
    /// stay, and a network that is refused stays so.
    pub fn proved(&mut self, network: ClientNetwork, account: &str, now: Instant) {
        let hash = self.hash_of(account);
        let counted = self.records.counted_under(network, &self.policy, now);
        self.records.forgive(&counted, hash);
    }

    /// A client of this network did not prove to be this account; `None`: there is none of the name that it gave, and
    /// so no success will forgive it.
    pub fn failed(&mut self, network: ClientNetwork, account: Option<&str>, now: Instant) -> Failure {
        let hash = account.map(|account| self.hash_of(account));
        let policy = self.policy;
        let counted = self.records.counted_under(network, &policy, now);
        self.records.of(counted, &policy, now).fail(hash, &policy, now)
    }

    /// Of an account's name as the operator spells it; with a key of this process.
    fn hash_of(&self, account: &str) -> u64 {
        self.hasher.hash_one(account)
    }
}

/// In whose line a client of this network waits: however few of a site's networks have failed yet, they may not fill the
/// line of all.
fn in_line(network: ClientNetwork) -> ClientNetwork {
    network.site().unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::client_network::Prefixes;

    fn network(number: u8) -> ClientNetwork {
        Prefixes::default().network_of(std::net::IpAddr::from([203, 0, number, 1]))
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn fail(guard: &mut AuthGuard, number: u8, times: u32, now: Instant) -> Failure {
        (0..times).map(|_| guard.failed(network(number), Some("ups"), now)).last().unwrap()
    }

    #[test]
    fn a_network_that_fails_too_often_is_refused_for_a_while_and_no_other_one_notices() {
        let (mut guard, now) = (AuthGuard::new(AuthGuardPolicy::default()), start());
        assert_eq!(fail(&mut guard, 1, 9, now), Failure::Counted);
        assert_eq!(guard.may_try(network(1), now), Attempt::Allowed);
        assert_eq!(guard.failed(network(1), Some("ups"), now), Failure::Refused);
        let end = now + Duration::from_secs(300);
        assert_eq!(guard.may_try(network(1), end - Duration::from_millis(1)), Attempt::TooManyFailures);
        assert_eq!(guard.join(network(1), now), Attempt::TooManyFailures);
        assert_eq!(guard.may_try(network(2), now), Attempt::Allowed);
        assert_eq!(guard.may_try(network(1), end), Attempt::Allowed);
        assert_eq!(fail(&mut guard, 1, 9, end), Failure::Counted, "and it begins anew");
        assert_eq!(guard.failed(network(1), None, end), Failure::Refused);
    }

    #[test]
    fn failures_under_way_when_a_network_is_refused_do_not_lengthen_it() {
        let (mut guard, now) = (AuthGuard::new(AuthGuardPolicy::default()), start());
        fail(&mut guard, 1, 10, now);
        assert_eq!(fail(&mut guard, 1, 5, now + Duration::from_secs(200)), Failure::Counted);
        assert_eq!(guard.may_try(network(1), now + Duration::from_secs(300)), Attempt::Allowed);
    }

    #[test]
    fn where_no_number_of_failures_is_too_many_nobody_is_refused() {
        let policy = AuthGuardPolicy { failures: None, ..AuthGuardPolicy::default() };
        let (mut guard, now) = (AuthGuard::new(policy), start());
        assert_eq!(fail(&mut guard, 1, 10_000, now), Failure::Counted);
        assert_eq!(guard.join(network(1), now), Attempt::Allowed);
    }

    #[test]
    fn slips_are_forgotten_by_a_success_and_by_time() {
        let (mut guard, now) = (AuthGuard::new(AuthGuardPolicy::default()), start());
        for _ in 0..5 {
            assert_eq!(fail(&mut guard, 1, 9, now), Failure::Counted);
            guard.proved(network(1), "ups", now);
        }
        fail(&mut guard, 1, 9, now);
        assert_eq!(fail(&mut guard, 1, 9, now + Duration::from_secs(600)), Failure::Counted);
    }

    #[test]
    fn who_has_one_account_cannot_guess_others_for_ever() {
        let (mut guard, now) = (AuthGuard::new(AuthGuardPolicy::default()), start());
        let mut guesses = 0;
        while guard.may_try(network(1), now) == Attempt::Allowed {
            guard.failed(network(1), [Some("boss"), None][guesses % 2], now);
            guard.proved(network(1), "ups", now);
            guesses += 1;
            assert!(guesses <= 10);
        }
        assert_eq!(guesses, 10);
        // Slips as that account are forgiven again and again, whatever others did.
        assert_eq!(guard.failed(network(2), Some("boss"), now), Failure::Counted);
        for _ in 0..3 {
            for _ in 0..8 {
                assert_eq!(guard.failed(network(2), Some("ups"), now), Failure::Counted);
            }
            guard.proved(network(2), "ups", now);
        }
        guard.proved(network(2), "boss", now);
        assert!(guard.records.get(&network(2)).is_none());
    }

    #[test]
    fn the_line_is_bounded_for_all_and_for_each_network() {
        let policy = AuthGuardPolicy { line: 5, line_of_network: 3, ..AuthGuardPolicy::default() };
        let (mut guard, now) = (AuthGuard::new(policy), start());
        let mut join = |number| guard.join(network(number), now);
        assert_eq!([1, 1, 1, 1].map(&mut join).map(|a| a == Attempt::Allowed), [true, true, true, false]);
        assert_eq!([2, 2, 3].map(&mut join), [Attempt::Allowed, Attempt::Allowed, Attempt::LineFull]);
        guard.leave(network(1));
        assert_eq!(guard.join(network(3), now), Attempt::Allowed);
        for number in [1, 1, 2, 2, 3] {
            guard.leave(network(number));
        }
        guard.leave(network(3));
        assert_eq!((guard.waiting.len(), guard.waiting_in_all), (0, 0));
    }

    #[test]
    fn memory_is_bounded_and_refused_networks_are_forgotten_last() {
        let policy = AuthGuardPolicy { networks: 3, ..AuthGuardPolicy::default() };
        let (mut guard, now) = (AuthGuard::new(policy), start());
        fail(&mut guard, 0, 10, now);
        for number in 1..=200 {
            guard.failed(network(number), None, now + Duration::from_secs(u64::from(number)));
            assert!(guard.records.len() <= 3);
        }
        let now = now + Duration::from_secs(200);
        assert_eq!(guard.may_try(network(0), now), Attempt::TooManyFailures);
        assert!(guard.records.get(&network(200)).is_some() && guard.records.get(&network(199)).is_some());
    }

    /// The /64 of this number of the /48 of this one.
    fn of_site(site: u16, number: u16) -> ClientNetwork {
        let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, site, number, 0, 0, 0, 1);
        Prefixes::default().network_of(address.into())
    }

    /// Guesses from each network of a site until it is refused: how many there were.
    fn guess_from_everywhere(guard: &mut AuthGuard, site: u16, now: Instant) -> usize {
        let mut guesses = 0;
        for number in 0..1000 {
            while guard.may_try(of_site(site, number), now) == Attempt::Allowed {
                guard.failed(of_site(site, number), Some("boss"), now);
                guesses += 1;
            }
        }
        guesses
    }

    #[test]
    fn a_site_gains_nothing_by_having_65536_networks_and_no_other_one_notices() {
        let (mut guard, now) = (AuthGuard::new(AuthGuardPolicy::default()), start());
        assert_eq!(guess_from_everywhere(&mut guard, 1, now), 170, "sixteen networks, and all others as one");
        assert_eq!(guard.may_try(of_site(1, 60_000), now), Attempt::TooManyFailures);
        assert_eq!(guard.may_try(of_site(2, 1), now), Attempt::Allowed);
        let end = now + Duration::from_secs(300);
        assert_eq!(guard.may_try(of_site(1, 60_000), end), Attempt::Allowed, "refused for a while only");
        assert_eq!(guess_from_everywhere(&mut guard, 1, end), 170);
    }

    #[test]
    fn slips_of_long_ago_do_not_make_one_network_of_a_site() {
        let (mut guard, now) = (AuthGuard::new(AuthGuardPolicy::default()), start());
        for number in 0..100_u16 {
            let now = now + Duration::from_secs(60) * number.into();
            guard.failed(of_site(1, number), Some("ups"), now);
        }
        let now = now + Duration::from_secs(6000);
        for _ in 0..9 {
            guard.failed(of_site(1, 1000), None, now);
        }
        assert_eq!(guard.failed(of_site(1, 1001), None, now), Failure::Counted);
        guard.proved(of_site(1, 99), "ups", now);
        assert!(guard.records.get(&of_site(1, 99)).is_none());
    }

    #[test]
    fn a_site_waits_in_one_line() {
        let policy = AuthGuardPolicy { line: 5, line_of_network: 3, ..AuthGuardPolicy::default() };
        let (mut guard, now) = (AuthGuard::new(policy), start());
        let joined =
            (0..100).filter(|number| guard.join(of_site(1, *number), now) == Attempt::Allowed).count();
        assert_eq!(joined, 3);
        assert_eq!(guard.join(network(1), now), Attempt::Allowed, "there is room for others");
        for number in 0..3 {
            guard.leave(of_site(1, number));
        }
        guard.leave(network(1));
        assert_eq!((guard.waiting.len(), guard.waiting_in_all), (0, 0));
    }
}
