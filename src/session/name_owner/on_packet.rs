//! What others say, and what is answered.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::claim::Objection;
use super::event::Event;
use super::identity::{Link, Membership, OwnName};
use super::on_link::OnLink;
use super::registration::Registration;
use super::verdict::{Ignored, Verdict};
use super::{Datagram, Defence, Heard, NameOwner, answer};
use crate::policy::answer_rate::AnswerRate;
use crate::wire::name_service::{
    Flags, Kind, NameFlags, NbAddress, Packet, Question, Rcode, RecordData, RecordType, ResourceRecord,
};
use crate::wire::netbios_name::{NameType, NetbiosName};

/// A packet, the link that it came in by, and whether it was sent to us alone.
#[derive(Clone, Copy)]
struct Came<'a> {
    packet: &'a Packet<'a>,
    heard: Heard,
    link: usize,
    cast: Cast,
}

/// To whom a packet was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cast {
    Unicast,
    Broadcast,
}

impl NameOwner {
    pub(super) fn on_packet(&mut self, now: Instant, packet: &Packet<'_>, heard: Heard) -> Verdict {
        let source = heard.source;
        let is_ours = self.is_our_address(*source.ip());
        if is_ours && source.port() == self.port {
            return Verdict::Ignored(Ignored::Own);
        }
        let Some((link, cast)) = self.arrived_on(heard) else {
            return Verdict::Ignored(Ignored::NoLink);
        };
        let came = Came { packet, heard, link, cast };
        let on_link = self.links.iter().filter(|link| is_ours || link.link.interface == heard.interface);
        if !self.identity.askers().contain(source, on_link.map(|link| link.link.network)) {
            // A host that a WINS server made us ask may be anywhere.
            let is_asked = packet.flags.kind() == Kind::QueryResponse && self.on_wins_answer(now, came);
            return if is_asked { Verdict::Taken } else { Verdict::Ignored(Ignored::Stranger) };
        }
        match packet.flags.kind() {
            Kind::Query => self.on_query(now, came),
            Kind::Registration | Kind::Overwrite | Kind::MultiHomedRegistration | Kind::Refresh => {
                self.on_claim(now, came)
            }
            Kind::RegistrationResponse | Kind::Conflict => self.on_objection(now, came),
            Kind::Release => self.on_release(now, came),
            Kind::QueryResponse | Kind::Wait | Kind::ReleaseResponse => {
                if self.on_wins_answer(now, came) {
                    Verdict::Taken
                } else {
                    Verdict::Ignored(Ignored::Unsolicited)
                }
            }
            Kind::Unknown => Verdict::Ignored(Ignored::Unknown),
        }
    }

    fn is_our_address(&self, address: Ipv4Addr) -> bool {
        self.links.iter().any(|link| link.link.address == address)
    }

    /// The link whose address stands in an answer. A host with several interfaces gets packets for any of its addresses
    /// by any of them, and those of its own programs by the loopback one.
    fn arrived_on(&self, heard: Heard) -> Option<(usize, Cast)> {
        let Heard { source, destination, interface } = heard;
        let links = || self.links.iter().enumerate();
        if let Some((at, _)) = links().find(|(_, link)| link.link.address == destination) {
            let is_served = links().any(|(_, link)| link.link.interface == interface);
            return (is_served || self.is_our_address(*source.ip())).then_some((at, Cast::Unicast));
        }
        let on_interface = || links().filter(|(_, link)| link.link.interface == interface);
        let is_broadcast = |link: &Link| destination.is_broadcast() || link.broadcast == Some(destination);
        on_interface()
            .filter(|(_, link)| is_broadcast(&link.link))
            .min_by_key(|(_, link)| !link.link.network.contains(source.ip()))
            .map(|(at, _)| (at, Cast::Broadcast))
    }

    /// A name query or a node status request.
    fn on_query(&mut self, now: Instant, came: Came<'_>) -> Verdict {
        let Some(question) = came.packet.questions.first() else {
            return Verdict::Ignored(Ignored::NotOurs);
        };
        if !self.identity.is_own_scope(&question.scope) {
            return Verdict::Ignored(Ignored::ForeignScope);
        }
        let Some(on_link) = self.links.get(came.link) else { return Verdict::Ignored(Ignored::NoLink) };
        let position = self.identity.position(&question.name).filter(|name| on_link.owns(*name));
        let own = position.and_then(|name| self.identity.names().get(name)).copied();
        let address = match own {
            Some(own) => Some(self.identity.address_of(own, on_link.link.address)),
            None if is_wildcard(&question.name) => {
                Some(NbAddress { flags: NameFlags(0), address: on_link.link.address })
            }
            None => None,
        };
        match (question.record_type, address, came.cast) {
            (RecordType::NB, Some(address), _) => self
                .answer(now, came, Verdict::Positive, |_| answer::positive(came.packet, question, address)),
            (RecordType::NB, None, Cast::Unicast) => {
                self.answer(now, came, Verdict::Negative, |_| answer::negative(came.packet, question))
            }
            // To a broadcast, each host would answer with many times as many bytes.
            (RecordType::NBSTAT, Some(_), Cast::Unicast) => {
                self.answer(now, came, Verdict::NodeStatus, |owner| owner.node_status(came, question))
            }
            _ => Verdict::Ignored(Ignored::NotOurs),
        }
    }

    fn node_status(&self, came: Came<'_>, question: &Question) -> Vec<u8> {
        let Some(on_link) = self.links.get(came.link) else { return Vec::new() };
        let names = self.identity.names().iter().zip(&on_link.claims);
        let names =
            names.filter(|(_, claim)| claim.is_owned() || claim.rival().is_some()).map(|(own, claim)| {
                let flags = self.identity.flags_of(*own).with(NameFlags::ACTIVE);
                (own.name, if claim.is_owned() { flags } else { flags.with(NameFlags::CONFLICT) })
            });
        answer::node_status(came.packet, question, names.collect(), on_link.link.unit_id)
    }

    /// Somebody registers, takes or refreshes a name.
    fn on_claim(&mut self, now: Instant, came: Came<'_>) -> Verdict {
        let Some((question, claim, name)) = self.claim_of(came.packet) else {
            return Verdict::Ignored(Ignored::NotOurs);
        };
        if !self.identity.is_own_scope(&question.scope) {
            return Verdict::Ignored(Ignored::ForeignScope);
        }
        let Some(own) = self.owned(came.link, name) else { return Verdict::Ignored(Ignored::NotOurs) };
        // Our own packet, that a relay between networks has sent on.
        if self.is_our_address(claim.address) {
            return Verdict::Ignored(Ignored::Own);
        }
        if own.membership == Membership::Group && claim.flags.contains(NameFlags::GROUP) {
            return Verdict::Ignored(Ignored::NotOurs);
        }
        if self.defence == Defence::Yield {
            return Verdict::Yielded;
        }
        let verdict =
            self.answer(now, came, Verdict::Objection, |_| answer::objection(came.packet, question, claim));
        if verdict == Verdict::Objection {
            self.tell(Event::Defended { name: own.name, claimant: *came.heard.source.ip() });
        }
        verdict
    }

    /// The question of a claim, its record, and which of our names it is about.
    fn claim_of<'a>(&self, packet: &'a Packet<'_>) -> Option<(&'a Question, NbAddress, usize)> {
        let question = packet.questions.first()?;
        let name = self.identity.position(&question.name)?;
        let RecordData::Addresses(addresses) = &packet.additionals.first()?.data else { return None };
        Some((question, *addresses.first()?, name))
    }

    fn owned(&self, link: usize, name: usize) -> Option<OwnName> {
        self.links.get(link).filter(|link| link.owns(name))?;
        self.identity.names().get(name).copied()
    }

    /// The answer to a registration: of an owner on the link, or of a WINS server.
    fn on_objection(&mut self, now: Instant, came: Came<'_>) -> Verdict {
        if self.on_wins_answer(now, came) {
            return Verdict::Taken;
        }
        let Some(record) = came.packet.answers.first() else { return Verdict::Ignored(Ignored::Unsolicited) };
        let Some(name) = self.position_in_scope(record) else {
            return Verdict::Ignored(Ignored::Unsolicited);
        };
        let is_refusal = came.packet.flags.rcode() != Rcode::POSITIVE;
        let Some(on_link) = self.links.get_mut(came.link) else { return Verdict::Ignored(Ignored::NoLink) };
        let (address, owner) = (on_link.link.address, *came.heard.source.ip());
        match on_link.claims.get_mut(name) {
            Some(claim) if claim.transaction == came.packet.transaction => {
                if !is_refusal {
                    return Verdict::Taken;
                }
                match claim.on_objection(now, owner) {
                    Objection::Lost => {
                        self.lost(name, address);
                        let name = record.name;
                        self.tell(Event::Conflict { name, address, owner });
                        Verdict::Taken
                    }
                    Objection::StillLost => {
                        self.lost(name, address);
                        Verdict::Taken
                    }
                    Objection::Contested => self.assert_again(now, came, name),
                    Objection::Unasked => Verdict::Ignored(Ignored::Unsolicited),
                }
            }
            Some(_) if came.packet.flags.kind() == Kind::Conflict => self.assert_again(now, came, name),
            _ => Verdict::Ignored(Ignored::Unsolicited),
        }
    }

    fn position_in_scope(&self, record: &ResourceRecord<'_>) -> Option<usize> {
        self.identity.position(&record.name).filter(|_| self.identity.is_own_scope(&record.scope))
    }

    /// A name is another's where our address is `address`; WINS servers reached from there need not know of it.
    fn lost(&mut self, name: usize, address: Ipv4Addr) {
        for server in self.servers.iter_mut().filter(|server| server.from == Some(address)) {
            server.forget(name);
        }
    }

    /// Somebody gives a name up, or demands that we do.
    fn on_release(&mut self, now: Instant, came: Came<'_>) -> Verdict {
        let Some((question, claim, name)) = self.claim_of(came.packet) else {
            return Verdict::Ignored(Ignored::NotOurs);
        };
        if !self.identity.is_own_scope(&question.scope) {
            return Verdict::Ignored(Ignored::ForeignScope);
        }
        if self.is_our_address(claim.address) {
            return self.assert_again(now, came, name);
        }
        let owner = *came.heard.source.ip();
        if let Some(claim) = self.links.get_mut(came.link).and_then(|link| link.claims.get_mut(name)) {
            claim.on_release(now, owner);
        }
        Verdict::Ignored(Ignored::NotOurs)
    }

    /// Somebody demands that a name of ours be given up, which is never done: hosts of the link, and the WINS server
    /// where it seems to be the one, are told instead that it is ours.
    fn assert_again(&mut self, now: Instant, came: Came<'_>, name: usize) -> Verdict {
        let from = *came.heard.source.ip();
        let claim = self.links.get_mut(came.link).and_then(|link| link.claims.get_mut(name));
        if claim.is_some_and(|claim| claim.assert_again(now)) {
            self.broadcast(came.link, name, Flags::OVERWRITE, Registration::TTL);
            if let Some(own) = self.identity.names().get(name) {
                let name = own.name;
                self.tell(Event::Demanded { name, from });
            }
        }
        for server in 0..self.servers.len() {
            let Some(known) = self.servers.get_mut(server).filter(|server| server.address == from) else {
                continue;
            };
            if known.assert_again(now, name) {
                self.advance_registrations(now, server);
            }
        }
        Verdict::Ignored(Ignored::Demand)
    }

    /// Whether it answers something that a WINS server was asked, or made us ask.
    fn on_wins_answer(&mut self, now: Instant, came: Came<'_>) -> bool {
        let mut events = Vec::new();
        let from = *came.heard.source.ip();
        let answered =
            self.servers.iter_mut().position(|server| server.on_answer(now, from, came.packet, &mut events));
        for event in events {
            self.tell(event);
        }
        if let Some(server) = answered {
            self.advance_registrations(now, server);
        }
        answered.is_some()
    }

    /// Answers the source, if it has not had too many answers of the kind.
    fn answer(
        &mut self,
        now: Instant,
        came: Came<'_>,
        verdict: Verdict,
        payload: impl FnOnce(&Self) -> Vec<u8>,
    ) -> Verdict {
        let to = came.heard.source;
        if self.rate_of(verdict).admit(*to.ip(), now).is_err() {
            return Verdict::Ignored(Ignored::RateLimited);
        }
        let payload = payload(self);
        let Some(OnLink { link, .. }) = self.links.get(came.link) else {
            return Verdict::Ignored(Ignored::NoLink);
        };
        // Beyond the link the way back is the routes' business.
        let interface = link.network.contains(to.ip()).then_some(link.interface);
        self.send(Datagram { payload, to, from: link.address, interface });
        verdict
    }

    fn rate_of(&mut self, verdict: Verdict) -> &mut AnswerRate {
        match verdict {
            Verdict::NodeStatus => &mut self.rates.node_statuses,
            Verdict::Objection => &mut self.rates.objections,
            Verdict::Positive
            | Verdict::Negative
            | Verdict::Yielded
            | Verdict::Taken
            | Verdict::Ignored(_) => &mut self.rates.answers,
        }
    }
}

/// `*` with NULs: whoever you are (RFC 1001 §14; node status requests of Windows and Samba).
fn is_wildcard(name: &NetbiosName) -> bool {
    NetbiosName::new(b"*", NameType::WORKSTATION).is_ok_and(|wildcard| wildcard == *name)
}
