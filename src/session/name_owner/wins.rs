//! One WINS server: which of our names it has, and whether it answers at all.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::event::Event;
use super::identity::OwnName;
use super::registration::{Change, Registration, Step};
use crate::wire::name_service::{Kind, Packet, RecordData, ResourceRecord};
use crate::wire::netbios_name::NetbiosName;

/// A WINS server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Ipv4Addr,
    /// Our address on the way to it, where it is that of a link.
    pub(super) from: Option<Ipv4Addr>,
    /// Whether it was looked for at all.
    was_sought: bool,
    health: Health,
    /// One for each of our names, in their order.
    registrations: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: NetbiosName,
    registration: Registration,
    /// Whether the last answer was a refusal.
    refused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Health {
    Answers,
    /// It is left alone until then, and longer each time.
    Silent {
        until: Instant,
        wait: Duration,
    },
}

/// How the way to a server has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not at all.
    AsBefore,
    /// It is reached from another address of ours.
    Changed,
    /// No link leads there any more.
    Lost,
}

/// A packet of a registration: which name it is about, its transaction, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) name: usize,
    pub(super) transaction: u16,
    pub(super) step: Step,
}

impl Server {
    /// Requests under way at once, so that many names are no burst.
    pub(super) const MAX_UNDER_WAY: usize = 8;
    const FIRST_REST: Duration = Duration::from_secs(30);
    const LONGEST_REST: Duration = Duration::from_secs(600);

    pub(super) fn new(address: Ipv4Addr, names: &[OwnName]) -> Self {
        let entry =
            |own: &OwnName| Entry { name: own.name, registration: Registration::new(), refused: false };
        let registrations = names.iter().map(entry).collect();
        Self { address, from: None, was_sought: false, health: Health::Answers, registrations }
    }

    /// It is reached from our address `from` now, or not at all. What it has under another one counts no more.
    pub(super) fn reach(&mut self, from: Option<Ipv4Addr>) -> Reach {
        if std::mem::replace(&mut self.was_sought, true) && self.from == from {
            return Reach::AsBefore;
        }
        self.from = from;
        for name in 0..self.registrations.len() {
            self.forget(name);
        }
        if from.is_some() { Reach::Changed } else { Reach::Lost }
    }

    /// The name at `name` is ours on the way to this server, and is to be registered from `at` on.
    pub(super) fn want(&mut self, name: usize, at: Instant) {
        if let Some(entry) = self.registrations.get_mut(name) {
            entry.registration.want(at);
        }
    }

    /// The name at `name` is not ours any more.
    pub(super) fn forget(&mut self, name: usize) {
        if let Some(entry) = self.registrations.get_mut(name) {
            entry.registration.forget();
            entry.refused = false;
        }
    }

    pub(super) fn refuses(&self, name: usize) -> bool {
        self.registrations.get(name).is_some_and(|entry| entry.refused)
    }

    /// The names that it has, for their release.
    pub(super) fn registered(&self) -> impl Iterator<Item = usize> {
        let registered = |(name, entry): (usize, &Entry)| entry.registration.is_registered().then_some(name);
        self.registrations.iter().enumerate().filter_map(registered)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let entries = || self.registrations.iter().map(|entry| &entry.registration);
        let under_way = entries().filter_map(Registration::deadline).min();
        let due = entries().filter_map(Registration::due).min().filter(|_| self.room() > 0);
        let due = due.map(|due| match self.health {
            Health::Answers => due,
            Health::Silent { until, .. } => due.max(until),
        });
        [under_way, due].into_iter().flatten().min()
    }

    /// How many more requests may begin.
    fn room(&self) -> usize {
        let most = match self.health {
            Health::Answers => Self::MAX_UNDER_WAY,
            Health::Silent { .. } => 1,
        };
        let under_way = self.registrations.iter().filter(|entry| entry.registration.is_under_way()).count();
        most.saturating_sub(under_way)
    }

    /// What is to be sent now. `transactions` gives the next NAME_TRN_ID.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        mut transactions: impl FnMut() -> u16,
        events: &mut Vec<Event>,
    ) -> Vec<Sending> {
        let mut sendings = Vec::new();
        let mut silence = false;
        for (name, entry) in self.registrations.iter_mut().enumerate() {
            let Entry { registration, .. } = entry;
            if registration.deadline().is_none_or(|deadline| now < deadline) {
                continue;
            }
            match registration.go_on(now) {
                Ok(step) => sendings.push(Sending { name, transaction: registration.transaction, step }),
                Err(change) => silence |= change == Change::Silence,
            }
        }
        if silence {
            self.rest(now, events);
        }
        if let Health::Silent { until, .. } = self.health
            && now < until
        {
            return sendings;
        }
        let mut room = self.room();
        for (name, Entry { registration, .. }) in self.registrations.iter_mut().enumerate() {
            if room > 0
                && registration.due().is_some_and(|due| due <= now)
                && let Some(step) = registration.begin(now, transactions())
            {
                room = room.saturating_sub(1);
                sendings.push(Sending { name, transaction: registration.transaction, step });
            }
        }
        sendings
    }

    /// An answer from this server, or from a host that it made us ask. Whether it was one.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        from: Ipv4Addr,
        packet: &Packet<'_>,
        events: &mut Vec<Event>,
    ) -> bool {
        let Some(record) = packet.answers.first() else { return false };
        let Some(entry) = self.registrations.iter_mut().find(|entry| {
            entry.registration.is_under_way()
                && entry.registration.transaction == packet.transaction
                && entry.name == record.name
        }) else {
            return false;
        };
        let change = match packet.flags.kind() {
            Kind::QueryResponse if entry.registration.challenged() == Some(from) => {
                entry.registration.on_owner_answer(now, packet.flags)
            }
            Kind::Wait if from == self.address => {
                entry.registration.on_wait(now, record.ttl);
                Change::None
            }
            Kind::RegistrationResponse | Kind::Conflict if from == self.address => {
                // Servers return the record of the request; only another address tells anything.
                let owner = address_in(record).filter(|owner| Some(*owner) != self.from);
                entry.registration.on_answer(now, packet.flags, record.ttl, owner)
            }
            Kind::QueryResponse
            | Kind::Wait
            | Kind::RegistrationResponse
            | Kind::Conflict
            | Kind::Query
            | Kind::Registration
            | Kind::Overwrite
            | Kind::MultiHomedRegistration
            | Kind::Refresh
            | Kind::Release
            | Kind::ReleaseResponse
            | Kind::Unknown => return false,
        };
        let (name, server) = (entry.name, self.address);
        match change {
            Change::None | Change::Silence => {}
            Change::Registered(ttl) => {
                entry.refused = false;
                events.push(Event::Registered { name, server, ttl });
            }
            Change::Refused { rcode, owner } => {
                if !std::mem::replace(&mut entry.refused, true) {
                    events.push(Event::RefusedByWins { name, server, rcode, owner });
                }
            }
        }
        if from == server && matches!(self.health, Health::Silent { .. }) {
            self.health = Health::Answers;
            events.push(Event::WinsAnswers { server });
        }
        true
    }

    /// A demand in this server's name to give `name` up. Whether the server is asked again.
    pub(super) fn assert_again(&mut self, now: Instant, name: usize) -> bool {
        self.registrations.get_mut(name).is_some_and(|entry| entry.registration.assert_again(now))
    }

    /// It does not answer: everything waits, and one request tries it again later.
    fn rest(&mut self, now: Instant, events: &mut Vec<Event>) {
        let wait = match self.health {
            Health::Answers => {
                events.push(Event::WinsSilent { server: self.address });
                Self::FIRST_REST
            }
            // Others that were under way with the one that found out.
            Health::Silent { until, .. } if now < until => return,
            Health::Silent { wait, .. } => wait.saturating_mul(2).min(Self::LONGEST_REST),
        };
        self.health = Health::Silent { until: now.checked_add(wait).unwrap_or(now), wait };
    }
}

fn address_in(record: &ResourceRecord<'_>) -> Option<Ipv4Addr> {
    match &record.data {
        RecordData::Addresses(addresses) => addresses.first().map(|owner| owner.address),
        RecordData::NodeStatus(_) | RecordData::Wait(_) | RecordData::Other(_) => None,
    }
}
