//! What is remembered of networks, when it is looked at again, and when it is forgotten.

use std::time::{Duration, Instant};

use super::line::{Noted, after};
use super::pit::{Session, Tarpit};
use crate::policy::client_network::ClientNetwork;

/// Whether one more network can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Made,
    None,
}

impl Tarpit {
    /// How long one that joins now would wait if everybody before it were refused. Zero where nothing is owed and nobody
    /// has waited for a debt: honest mail that only waits for look-ups is not counted against its network.
    pub(super) fn line_length(&self, network: ClientNetwork, now: Instant) -> Duration {
        let Some(line) = self.networks.get(&network) else { return Duration::ZERO };
        let owed = line.owed(now);
        let first = line.waiting.first().and_then(|ticket| self.sessions.get(ticket));
        let backlog = first.is_some_and(|first| Some(first.since) < line.owes_until);
        if owed.is_zero() && !backlog {
            return Duration::ZERO;
        }
        let waiting = u32::try_from(line.waiting.len()).unwrap_or(u32::MAX);
        owed.saturating_add(self.policy.hold(line.refusals).saturating_mul(waiting))
    }

    pub(super) fn count_delay(&mut self, network: ClientNetwork, delay: Duration) {
        self.facts.delay = self.facts.delay.saturating_add(delay);
        if let Some(line) = self.networks.get_mut(&network) {
            line.delayed.delay = line.delayed.delay.saturating_add(delay);
        }
    }

    /// Notes when a network is to be looked at again, or forgets it where there is nothing to remember.
    pub(super) fn note(&mut self, network: ClientNetwork, now: Instant) {
        let Some(line) = self.networks.get_mut(&network) else { return };
        match line.noted.take() {
            Some(Noted::Agenda(at)) => self.agenda.remove(&(at, network)),
            Some(Noted::Settled(at)) => self.settled.remove(&(at, network)),
            None => false,
        };
        if line.is_blank() {
            self.networks.forget(&network);
            return;
        }
        let first = line.waiting.first().and_then(|ticket| self.sessions.get(ticket));
        if let Some(first) = first {
            let gives_up = after(first.since, self.policy.max_line);
            let at = match line.deciding {
                Some(_) => gives_up,
                None => line.owes_until.map_or(now, |paid| paid.max(now)).min(gives_up),
            };
            line.noted = Some(Noted::Agenda(at));
            self.agenda.insert((at, network));
        } else if line.deciding.is_none() {
            let at = after(line.owes_until.unwrap_or(now), MEMORY);
            line.noted = Some(Noted::Settled(at));
            self.settled.insert((at, network));
        }
    }

    /// Ends holds and memories whose time has come.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(until, ticket)) = self.held.first() {
            if until > now {
                break;
            }
            self.held.pop_first();
            if let Some(Session { network, since, .. }) = self.sessions.remove(&ticket) {
                self.count_delay(network, until.saturating_duration_since(since));
            }
        }
        while let Some(&(at, network)) = self.settled.first() {
            if at > now {
                break;
            }
            self.settled.pop_first();
            self.networks.forget(&network);
        }
    }

    /// Makes room for one more network, at the cost of the one that has owed nothing for longest; one that owes or waits
    /// is never forgotten.
    pub(super) fn make_room(&mut self, now: Instant) -> Room {
        if self.networks.len() < MAX_NETWORKS {
            return Room::Made;
        }
        match self.settled.first().copied() {
            Some((at, network))
                if self.networks.get(&network).is_none_or(|line| line.owed(now).is_zero()) =>
            {
                self.settled.remove(&(at, network));
                self.networks.forget(&network);
                Room::Made
            }
            Some(_) | None => Room::None,
        }
    }
}

/// How long a network is remembered that owes nothing: for `step`, and to tell whether it proves good.
const MEMORY: Duration = Duration::from_secs(60 * 60);

/// Networks that are remembered, of about 300 octets each.
const MAX_NETWORKS: usize = 65_536;
