//! The failures of client networks, one record each, but for a site that has many.

use std::collections::HashMap;
use std::time::Instant;

use super::{AuthGuardPolicy, Failure};
use crate::policy::client_network::ClientNetwork;

/// The failures that are remembered.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: HashMap<ClientNetwork, Record>,
    /// The networks of each site that have records of their own; sites that have none are absent.
    of_sites: HashMap<ClientNetwork, Vec<ClientNetwork>>,
}

/// The failures of one network.
#[derive(Debug)]
pub(super) struct Record {
    failures: u32,
    /// How many of them a success of the account with this hash forgives: never more entries than failures until the
    /// network is refused.
    forgivable: Vec<(u64, u32)>,
    first: Instant,
    refused_at: Option<Instant>,
}

impl Records {
    /// Under which record the failures of a client network go: its own, or that of its site while [`MAX_OF_SITE`] others
    /// of it have failures that count, and for as long as the site's own count then.
    pub(super) fn counted_under(
        &self,
        network: ClientNetwork,
        policy: &AuthGuardPolicy,
        now: Instant,
    ) -> ClientNetwork {
        let Some(site) = network.site() else { return network };
        let counts = |network: &ClientNetwork| {
            self.records.get(network).is_some_and(|record| !record.is_over(policy, now))
        };
        if counts(&network) {
            return network;
        }
        let of_site = self.of_sites.get(&site).map(Vec::as_slice).unwrap_or_default();
        let has_many = of_site.iter().filter(|network| counts(network)).count() >= MAX_OF_SITE;
        if has_many || counts(&site) { site } else { network }
    }

    pub(super) fn get(&self, network: &ClientNetwork) -> Option<&Record> {
        self.records.get(network)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The record of a network, which is remembered from now on.
    pub(super) fn of(
        &mut self,
        network: ClientNetwork,
        policy: &AuthGuardPolicy,
        now: Instant,
    ) -> &mut Record {
        if !self.records.contains_key(&network) {
            self.make_room(policy, now);
            if let Some(site) = network.site() {
                self.forget_over_of(site, policy, now);
                self.of_sites.entry(site).or_default().push(network);
            }
        }
        let record = self.records.entry(network).or_insert_with(|| Record::fresh(now));
        if record.is_over(policy, now) {
            *record = Record::fresh(now);
        }
        record
    }

    /// The account with this hash was proved: the failures as it were slips, unless they were too many.
    pub(super) fn forgive(&mut self, network: &ClientNetwork, account: u64) {
        let Some(record) = self.records.get_mut(network).filter(|record| record.refused_at.is_none()) else {
            return;
        };
        record.forgive(account);
        if record.failures == 0 {
            self.forget(*network);
        }
    }

    /// Room for one more network: the oldest is forgotten, refused ones last.
    fn make_room(&mut self, policy: &AuthGuardPolicy, now: Instant) {
        if self.records.len() < policy.networks {
            return;
        }
        let over = self.records.iter().filter(|(_, record)| record.is_over(policy, now));
        let over: Vec<ClientNetwork> = over.map(|(network, _)| *network).collect();
        over.into_iter().for_each(|network| self.forget(network));
        while self.records.len() >= policy.networks {
            let oldest =
                self.records.iter().min_by_key(|(_, record)| (record.refused_at.is_some(), record.first));
            let Some((&network, _)) = oldest else { return };
            self.forget(network);
        }
    }

    /// What of a site counts no more goes, so that its list stays as short as what counts.
    fn forget_over_of(&mut self, site: ClientNetwork, policy: &AuthGuardPolicy, now: Instant) {
        let of_site = self.of_sites.get(&site).map(Vec::as_slice).unwrap_or_default();
        let is_over = |network: &&ClientNetwork| {
            self.records.get(network).is_none_or(|record| record.is_over(policy, now))
        };
        let over: Vec<ClientNetwork> = of_site.iter().filter(is_over).copied().collect();
        over.into_iter().for_each(|network| self.forget(network));
    }

    fn forget(&mut self, network: ClientNetwork) {
        self.records.remove(&network);
        let Some(site) = network.site() else { return };
        if let Some(of_site) = self.of_sites.get_mut(&site) {
            of_site.retain(|other| *other != network);
            if of_site.is_empty() {
                self.of_sites.remove(&site);
            }
        }
    }
}

impl Record {
    const fn fresh(now: Instant) -> Self {
        Self { failures: 0, forgivable: Vec::new(), first: now, refused_at: None }
    }

    /// One more failure as this account, if it is one.
    pub(super) fn fail(&mut self, account: Option<u64>, policy: &AuthGuardPolicy, now: Instant) -> Failure {
        if self.refused_at.is_some() {
            return Failure::Counted;
        }
        self.count(account);
        if policy.failures.is_some_and(|most| self.failures >= most) {
            self.refused_at = Some(now);
            self.forgivable = Vec::new();
            return Failure::Refused;
        }
        Failure::Counted
    }

    pub(super) fn is_refused(&self, policy: &AuthGuardPolicy, now: Instant) -> bool {
        self.refused_at.is_some_and(|at| now.saturating_duration_since(at) < policy.refused_for)
    }

    fn count(&mut self, account: Option<u64>) {
        self.failures = self.failures.saturating_add(1);
        let Some(account) = account else { return };
        match self.forgivable.iter_mut().find(|(known, _)| *known == account) {
            Some((_, failures)) => *failures = failures.saturating_add(1),
            None => self.forgivable.push((account, 1)),
        }
    }

    fn forgive(&mut self, account: u64) {
        if let Some(place) = self.forgivable.iter().position(|(known, _)| *known == account) {
            let (_, failures) = self.forgivable.swap_remove(place);
            self.failures = self.failures.saturating_sub(failures);
        }
    }

    /// Whether it counts no more.
    fn is_over(&self, policy: &AuthGuardPolicy, now: Instant) -> bool {
        match self.refused_at {
            Some(_) => !self.is_refused(policy, now),
            None => now.saturating_duration_since(self.first) >= policy.within,
        }
    }
}

/// Networks of one site that have records of their own.
const MAX_OF_SITE: usize = 16;
