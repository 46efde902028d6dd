//! Who may connect, and how many messages one may send: pure state, the time is an argument.
//!
//! Strangers are counted by network. One who has a whole IPv6 /48 has 65 536 networks, so that all of them together get
//! [`SITE_SHARE`] times the share of one.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::message::id::ListenerName;
use crate::policy::client_network::ClientNetwork;
use crate::policy::rate::{Rate, TokenBucket};
use crate::policy::relay::Facts;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of one client network at once, trusted clients apart; of all those of one IPv6 site [`SITE_SHARE`] times as many.
    pub per_network: Option<usize>,
    /// Of one client network in a time, trusted clients apart; of all those of one IPv6 site as above.
    pub rate: Option<Rate>,
    /// In all, of everybody; strangers find [`ConnectionLimits::most_for`] of them.
    pub in_all: usize,
}

impl ConnectionLimits {
    /// How many may be open in all while one more client of this acquaintance is let in: an eighth is kept for trusted
    /// ones, so that no flood from the Internet shuts out the devices.
    #[must_use]
    pub const fn most_for(&self, acquaintance: Acquaintance) -> usize {
        match acquaintance {
            Acquaintance::Trusted => self.in_all,
            Acquaintance::Stranger => self.in_all.saturating_sub(self.in_all / 8),
        }
    }
}

/// Whether the limits of client networks hold for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// It is in a trusted network: only the limit in all holds, and all of it.
    Trusted,
    /// They hold.
    Stranger,
}

/// Whether a connection is taken. All refusals are 421 4.7.0 and close, but for the limit in all: 421 4.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionVerdict {
    /// It is, and counts until [`Connections::closed`].
    Admitted,
    /// There are too many in all, or too many for a stranger.
    TooManyInAll,
    /// Its network, or its site, has too many open.
    TooManyOfNetwork,
    /// Its network, or its site, has made too many lately.
    TooFast,
}

/// The connections that are open.
#[derive(Debug)]
pub struct Connections {
    limits: ConnectionLimits,
    open: usize,
    /// Of each network that has any, and of each site.
    of_network: HashMap<ClientNetwork, usize>,
    rates: Rates<ClientNetwork>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits, open: 0, of_network: HashMap::new(), rates: Rates::default() }
    }

    /// Goes by these limits from the next connection on; nobody is put out.
    pub const fn adopt(&mut self, limits: ConnectionLimits) {
        self.limits = limits;
    }

    /// How many are open.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// A client wants to connect.
    pub fn admit(
        &mut self,
        network: ClientNetwork,
        acquaintance: Acquaintance,
        now: Instant,
    ) -> ConnectionVerdict {
        if self.open >= self.limits.most_for(acquaintance) {
            return ConnectionVerdict::TooManyInAll;
        }
        if acquaintance == Acquaintance::Stranger {
            if self.has_its_share(network) {
                return ConnectionVerdict::TooManyOfNetwork;
            }
            if self
                .limits
                .rate
                .is_some_and(|rate| take_of_network(&mut self.rates, network, rate, now).is_err())
            {
                return ConnectionVerdict::TooFast;
            }
        }
        self.open = self.open.saturating_add(1);
        for counted in [Some(network), network.site()].into_iter().flatten() {
            let open = self.of_network.entry(counted).or_default();
            *open = open.saturating_add(1);
        }
        ConnectionVerdict::Admitted
    }

    /// Whether a network, or the site that it is a part of, has as many open as it may.
    fn has_its_share(&self, network: ClientNetwork) -> bool {
        let Some(most) = self.limits.per_network else { return false };
        let open = |network| self.of_network.get(&network).copied().unwrap_or_default();
        let of_site = most.saturating_mul(usize::from(SITE_SHARE));
        open(network) >= most || network.site().is_some_and(|site| open(site) >= of_site)
    }

    /// A connection that was admitted is closed.
    pub fn closed(&mut self, network: ClientNetwork) {
        self.open = self.open.saturating_sub(1);
        for counted in [Some(network), network.site()].into_iter().flatten() {
            let Some(open) = self.of_network.get_mut(&counted) else { continue };
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.of_network.remove(&counted);
            }
        }
    }
}

/// Whose messages are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageSource {
    /// Those of a client network, or of a site, by the limit for strangers.
    Network(ClientNetwork),
    /// Those of one client in a trusted network of this listener, by that network's rate.
    TrustedClient(ListenerName, IpAddr),
    /// Those of an account, by its rate, wherever it sends from.
    Account(String),
}

/// A token bucket for each key: `Rates<MessageSource>` says who sends too much. Bounded: a bucket that is full again is forgotten, since a fresh one is no different.
#[derive(Debug)]
pub struct Rates<K> {
    buckets: HashMap<K, Entry>,
    /// By when they are full again.
    full: BTreeSet<(Instant, K)>,
}

#[derive(Debug)]
struct Entry {
    rate: Rate,
    bucket: TokenBucket,
    full_at: Instant,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { buckets: HashMap::new(), full: BTreeSet::new() }
    }
}

impl From<ClientNetwork> for MessageSource {
    fn from(network: ClientNetwork) -> Self {
        Self::Network(network)
    }
}

/// Counts one message more of a client. Who has proved an account counts by its rate alone, wherever it sends from; a
/// trusted client by its network's, each address by itself; everybody else by network, at the rate of `strangers`. Where
/// the rate is none, nothing is counted.
///
/// # Errors
/// When it is one too many: how long until it is not.
pub fn take_message(
    rates: &mut Rates<MessageSource>,
    facts: Facts<'_>,
    network: ClientNetwork,
    strangers: Option<Rate>,
    now: Instant,
) -> Result<(), Duration> {
    let Facts { listener, client, principal } = facts;
    let (source, rate) = match (principal, listener.trusted_network_of(client)) {
        (Some(account), _) => (MessageSource::Account(account.name().to_owned()), account.rate()),
        (None, Some(trusted)) => (MessageSource::TrustedClient(listener.name.clone(), client), trusted.rate),
        (None, None) => {
            return strangers.map_or(Ok(()), |rate| take_of_network(rates, network, rate, now));
        }
    };
    rate.map_or(Ok(()), |rate| rates.take(source, rate, now))
}

/// Takes one token of the network's bucket, and one of its site's, which has [`SITE_SHARE`] times as many: of the latter
/// first, so that a site that has none left fills no memory with buckets of its networks.
///
/// # Errors
/// When either has none: how long until one is there.
pub fn take_of_network<K>(
    rates: &mut Rates<K>,
    network: ClientNetwork,
    rate: Rate,
    now: Instant,
) -> Result<(), Duration>
where
    K: From<ClientNetwork> + Clone + Ord + std::hash::Hash,
{
    if let Some(site) = network.site() {
        let rate = Rate { count: rate.count.saturating_mul(u32::from(SITE_SHARE)), ..rate };
        rates.take(site.into(), rate, now)?;
    }
    rates.take(network.into(), rate, now)
}

impl<K: Clone + Ord + std::hash::Hash> Rates<K> {
    /// Takes one token of this key's bucket. A rate that has changed begins with a full one.
    ///
    /// # Errors
    /// When none is there: how long until one is.
    pub fn take(&mut self, key: K, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.forget_full(now);
        let known = self.buckets.remove(&key).filter(|entry| {
            self.full.remove(&(entry.full_at, key.clone()));
            entry.rate == rate
        });
        let mut bucket = known.map_or_else(|| TokenBucket::new(rate, now), |entry| entry.bucket);
        let taken = bucket.take(now);
        if self.buckets.len() >= MAX_KEYS {
            self.forget_fullest();
        }
        let full_at = bucket.full_at();
        self.full.insert((full_at, key.clone()));
        self.buckets.insert(key, Entry { rate, bucket, full_at });
        taken
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    fn forget_full(&mut self, now: Instant) {
        while self.full.first().is_some_and(|(full_at, _)| *full_at <= now) {
            self.forget_fullest();
        }
    }

    /// The one that is soonest full again: it has the least to be remembered for.
    fn forget_fullest(&mut self) {
        if let Some((_, key)) = self.full.pop_first() {
            self.buckets.remove(&key);
        }
    }
}

/// How many times the share of one network all those of one IPv6 /48 together get: large senders have several /64 for
/// their mail, and few have many.
pub const SITE_SHARE: u8 = 4;

/// Keys that are remembered, of about 250 octets each.
const MAX_KEYS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::client_network::Prefixes;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn network(address: &str) -> ClientNetwork {
        Prefixes::default().network_of(address.parse().unwrap())
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_network_has_so_many_connections_at_once_and_gets_room_when_one_closes() {
        let limits = ConnectionLimits { per_network: Some(2), rate: None, in_all: 100 };
        let (mut connections, now) = (Connections::new(limits), origin());
        let mut admit = |address: &str| connections.admit(network(address), Acquaintance::Stranger, now);
        assert_eq!(admit("203.0.113.1"), ConnectionVerdict::Admitted);
        assert_eq!(admit("203.0.113.2"), ConnectionVerdict::Admitted);
        assert_eq!(admit("203.0.113.3"), ConnectionVerdict::TooManyOfNetwork);
        assert_eq!(admit("203.0.114.1"), ConnectionVerdict::Admitted);
        connections.closed(network("203.0.113.2"));
        let verdict = connections.admit(network("203.0.113.3"), Acquaintance::Stranger, now);
        assert_eq!(verdict, ConnectionVerdict::Admitted);
        // Trusted clients are not counted against their network, only in all.
        let verdict = connections.admit(network("203.0.113.3"), Acquaintance::Trusted, now);
        assert_eq!((verdict, connections.open()), (ConnectionVerdict::Admitted, 4));
    }

    #[test]
    fn a_site_gets_four_shares_however_many_networks_it_has_and_gives_them_back() {
        let of_site = |number: u16| network(&format!("2001:db8:1:{number:x}::1"));
        let limits = ConnectionLimits { per_network: Some(50), rate: None, in_all: 12_000 };
        let (mut connections, now) = (Connections::new(limits), origin());
        let admitted = |connections: &mut Connections| -> Vec<u16> {
            let mut admit = |number| connections.admit(of_site(number), Acquaintance::Stranger, now);
            let all = (0..300).flat_map(|number| std::iter::repeat_n(number, 51));
            all.filter(|number| admit(*number) == ConnectionVerdict::Admitted).collect()
        };
        let numbers = admitted(&mut connections);
        assert_eq!((numbers.len(), connections.open()), (200, 200));
        let verdict = connections.admit(network("2001:db8:2::1"), Acquaintance::Stranger, now);
        assert_eq!(verdict, ConnectionVerdict::Admitted, "another site");
        let verdict = connections.admit(of_site(9), Acquaintance::Trusted, now);
        assert_eq!(verdict, ConnectionVerdict::Admitted, "a trusted client");
        connections.closed(network("2001:db8:2::1"));
        connections.closed(of_site(9));
        numbers.into_iter().for_each(|number| connections.closed(of_site(number)));
        assert!(connections.open() == 0 && connections.of_network.is_empty());
    }

    #[test]
    fn a_site_sends_four_shares_and_its_networks_fill_no_memory_behind_them() {
        let (mut rates, now) = (Rates::<MessageSource>::default(), origin());
        let rate = Rate { count: 10, period: seconds(60) };
        let sent = (0..u16::MAX).filter(|number| {
            let network = network(&format!("2001:db8:1:{number:x}::1"));
            take_of_network(&mut rates, network, rate, now).is_ok()
        });
        assert_eq!(sent.count(), 40);
        assert_eq!(rates.len(), 41);
        assert!(take_of_network(&mut rates, network("2001:db8:2::1"), rate, now).is_ok());
        let one = |rates: &mut Rates<_>| take_of_network(rates, network("203.0.113.1"), rate, now).is_ok();
        assert_eq!((0..20).filter(|_| one(&mut rates)).count(), 10);
    }

    #[test]
    fn past_the_limit_in_all_nobody_connects_and_a_refused_one_costs_nothing() {
        let rate = Some(Rate { count: 1, period: seconds(60) });
        let limits = ConnectionLimits { per_network: None, rate, in_all: 1 };
        let (mut connections, now) = (Connections::new(limits), origin());
        let (one, other) = (network("203.0.113.1"), network("203.0.114.1"));
        assert_eq!(connections.admit(one, Acquaintance::Stranger, now), ConnectionVerdict::Admitted);
        assert_eq!(connections.admit(other, Acquaintance::Stranger, now), ConnectionVerdict::TooManyInAll);
        assert_eq!(connections.admit(other, Acquaintance::Trusted, now), ConnectionVerdict::TooManyInAll);
        connections.closed(one);
        assert_eq!(connections.admit(one, Acquaintance::Stranger, now), ConnectionVerdict::TooFast);
        assert_eq!(connections.admit(other, Acquaintance::Stranger, now), ConnectionVerdict::Admitted);
        connections.closed(other);
        let later = now + seconds(61);
        assert_eq!(connections.admit(one, Acquaintance::Stranger, later), ConnectionVerdict::Admitted);
    }

    #[test]
    fn strangers_leave_the_last_eighth_to_trusted_clients() {
        let limits = ConnectionLimits { per_network: None, rate: None, in_all: 16 };
        let (mut connections, now) = (Connections::new(limits), origin());
        let mut admitted = |acquaintance| {
            let clients = (0..20).map(|number| network(&format!("203.0.{number}.1")));
            clients
                .filter(|network| {
                    connections.admit(*network, acquaintance, now) == ConnectionVerdict::Admitted
                })
                .count()
        };
        assert_eq!([Acquaintance::Stranger, Acquaintance::Trusted].map(&mut admitted), [14, 2]);
        assert_eq!([Acquaintance::Stranger, Acquaintance::Trusted].map(&mut admitted), [0, 0]);
    }

    #[test]
    fn each_source_has_messages_of_its_own() {
        let (mut rates, now) = (Rates::<MessageSource>::default(), origin());
        let rate = Rate { count: 2, period: seconds(60) };
        let sources = [
            MessageSource::Network(network("203.0.113.1")),
            MessageSource::TrustedClient(ListenerName::new("devices").unwrap(), "192.0.2.7".parse().unwrap()),
            MessageSource::TrustedClient(ListenerName::new("devices").unwrap(), "192.0.2.8".parse().unwrap()),
            MessageSource::Account("ups".to_owned()),
        ];
        for source in &sources {
            assert_eq!(rates.take(source.clone(), rate, now), Ok(()));
            assert_eq!(rates.take(source.clone(), rate, now), Ok(()));
            let wait = rates.take(source.clone(), rate, now).unwrap_err();
            assert!((wait.as_secs_f64() - 30.0).abs() < 0.1, "{wait:?}");
        }
        assert_eq!(rates.take(sources[0].clone(), rate, now + seconds(31)), Ok(()));
        // A changed rate begins anew.
        assert_eq!(rates.take(sources[1].clone(), Rate { count: 3, ..rate }, now), Ok(()));
    }

    #[test]
    fn what_is_full_again_is_forgotten_and_the_emptiest_is_never_pushed_out() {
        let (mut rates, now) = (Rates::<u32>::default(), origin());
        let rate = Rate { count: 10, period: seconds(60) };
        for _ in 0..10 {
            rates.take(0, rate, now).unwrap();
        }
        for key in 1..70_000 {
            rates.take(key, rate, now).unwrap();
        }
        assert_eq!(rates.len(), MAX_KEYS);
        assert!(rates.take(0, rate, now).is_err());
        rates.take(1, rate, now + seconds(61)).unwrap();
        assert_eq!(rates.len(), 1);
    }
}
