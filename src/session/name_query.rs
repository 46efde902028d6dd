//! Who owns a name: the question of an end node on UDP 137, and how its answers are taken (RFC 1002 §5.1.2, §5.2.2).
//!
//! First the name servers are asked, each by itself, then everybody by broadcast, as a hybrid node does. The caller owns
//! the socket: it feeds what comes in with `handle_input`, calls `handle_timeout` when `poll_timeout` has passed, and does
//! what `poll_output` says until that returns `None`. The last output is [`Output::Done`].
//!
//! The first positive answer counts. What repeats it is ignored (nmbd answers every broadcast twice), as is what another
//! question's answer, another name's, or a server that was not asked says. End nodes are silent about names that they do
//! not own, so a negative answer counts only from a name server.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::wire::name_service::{Flags, Kind, NameFlags, Packet, Question, Rcode, RecordData, RecordType};
use crate::wire::netbios_name::{NetbiosName, Scope};

/// A question for one name.
#[derive(Debug)]
pub struct NameQuery {
    question: Question,
    transaction: u16,
    /// Still to be asked, in this order.
    rest: VecDeque<Ask>,
    asking: Option<Asking>,
    /// A server that said no.
    denied_by: Option<Ipv4Addr>,
    outputs: VecDeque<Output>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these octets to UDP 137 of this address.
    Send {
        /// A host, or a broadcast address.
        to: Ipv4Addr,
        /// A name query request.
        bytes: Vec<u8>,
    },
    /// The question is over.
    Done(Answer),
}

/// Who owns a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One host, at these addresses: at least one, at most [`NameQuery::MOST_ADDRESSES`], each once.
    Owner(Vec<Ipv4Addr>),
    /// A group: nobody in particular.
    Group,
    /// Nobody answered, or a name server said so.
    Nobody {
        /// The name server that does not know it.
        denied_by: Option<Ipv4Addr>,
    },
}

/// Whom to ask, together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    Server(Ipv4Addr),
    /// The broadcast address of each interface.
    Everybody(Vec<Ipv4Addr>),
}

/// Who is being asked.
#[derive(Debug)]
struct Asking {
    whom: Ask,
    /// How often it may still be repeated.
    repeats: u32,
    deadline: Instant,
}

impl NameQuery {
    /// How often a question is asked (BCAST_REQ_RETRY_COUNT and UCAST_REQ_RETRY_COUNT, RFC 1002 §6).
    pub const TIMES: u32 = 3;

    /// How long an answer to a broadcast is waited for (BCAST_REQ_RETRY_TIMEOUT).
    pub const BROADCAST_TIMEOUT: Duration = Duration::from_millis(250);

    /// How long a name server's answer is waited for. RFC 1002 §6 has 5 s, Windows 1.5 s: somebody waits for the end.
    pub const SERVER_TIMEOUT: Duration = Duration::from_secs(1);

    /// How much longer a name server that asks to wait (WACK) is waited for, at most.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

    /// Addresses of one owner that are kept.
    pub const MOST_ADDRESSES: usize = 8;

    /// A question for `name`, asked of `servers` one after the other and then by broadcast to all of `broadcasts`.
    /// `transaction` should be random: it is all that tells an answer from a forgery.
    #[must_use]
    pub fn new(
        now: Instant,
        (name, scope): (NetbiosName, Scope),
        transaction: u16,
        servers: &[Ipv4Addr],
        broadcasts: &[Ipv4Addr],
    ) -> Self {
        let mut rest: VecDeque<Ask> = servers.iter().copied().map(Ask::Server).collect();
        if !broadcasts.is_empty() {
            rest.push_back(Ask::Everybody(broadcasts.to_vec()));
        }
        let question = Question::new(name, scope, RecordType::NB);
        let outputs = VecDeque::new();
        let mut query = Self { question, transaction, rest, asking: None, denied_by: None, outputs };
        query.ask_next(now);
        query
    }

    /// What to do next; call until `None` after every input and timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; `None` once it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.asking.as_ref().map(|asking| asking.deadline)
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.deadline <= now) else { return };
        let Some(repeats) = asking.repeats.checked_sub(1) else { return self.ask_next(now) };
        asking.repeats = repeats;
        asking.deadline = now.checked_add(asking.whom.timeout()).unwrap_or(now);
        let whom = asking.whom.clone();
        self.send(&whom);
    }

    /// A packet came from UDP port 137 of `source`, or from any port of it.
    pub fn handle_input(&mut self, now: Instant, source: Ipv4Addr, bytes: &[u8]) {
        let Some(whom) = self.asking.as_ref().map(|asking| asking.whom.clone()) else { return };
        let Ok(packet) = Packet::parse(bytes) else { return };
        let from_server = whom == Ask::Server(source);
        if packet.transaction != self.transaction || !(from_server || matches!(whom, Ask::Everybody(_))) {
            return;
        }
        match packet.flags.kind() {
            Kind::Wait if from_server => self.wait(now, &packet),
            Kind::QueryResponse if packet.flags.rcode() == Rcode::POSITIVE => self.answered(&packet),
            Kind::QueryResponse if from_server => {
                self.denied_by = Some(source);
                self.ask_next(now);
            }
            Kind::QueryResponse
            | Kind::Wait
            | Kind::Query
            | Kind::Registration
            | Kind::Overwrite
            | Kind::MultiHomedRegistration
            | Kind::Refresh
            | Kind::RegistrationResponse
            | Kind::Conflict
            | Kind::Release
            | Kind::ReleaseResponse
            | Kind::Unknown => {}
        }
    }

    fn answered(&mut self, packet: &Packet<'_>) {
        let answer = packet
            .answers
            .iter()
            .find(|record| record.name == self.question.name && record.scope == self.question.scope);
        let Some(RecordData::Addresses(records)) = answer.map(|record| &record.data) else { return };
        if records.iter().any(|record| record.flags.contains(NameFlags::GROUP)) {
            return self.done(Answer::Group);
        }
        let mut addresses: Vec<Ipv4Addr> = Vec::new();
        for address in records.iter().map(|record| record.address).filter(is_a_host) {
            if addresses.len() < Self::MOST_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if !addresses.is_empty() {
            self.done(Answer::Owner(addresses));
        }
    }

    /// The server needs longer and says how long.
    fn wait(&mut self, now: Instant, packet: &Packet<'_>) {
        let longer = packet.answers.first().map_or(Self::SERVER_TIMEOUT, |record| record.ttl);
        if let Some(asking) = &mut self.asking {
            asking.repeats = 0;
            asking.deadline = now.checked_add(longer.min(Self::LONGEST_WAIT)).unwrap_or(now);
        }
    }

    fn ask_next(&mut self, now: Instant) {
        let Some(whom) = self.rest.pop_front() else {
            return self.done(Answer::Nobody { denied_by: self.denied_by });
        };
        self.send(&whom);
        let deadline = now.checked_add(whom.timeout()).unwrap_or(now);
        self.asking = Some(Asking { whom, repeats: Self::TIMES.saturating_sub(1), deadline });
    }

    fn send(&mut self, whom: &Ask) {
        let (flags, to) = match whom {
            Ask::Server(server) => (Flags::QUERY, std::slice::from_ref(server)),
            Ask::Everybody(broadcasts) => (Flags::QUERY.with(Flags::BROADCAST), broadcasts.as_slice()),
        };
        let mut bytes = Vec::new();
        Packet::query(self.transaction, flags, self.question.clone()).emit(&mut bytes);
        self.outputs.extend(to.iter().map(|&to| Output::Send { to, bytes: bytes.clone() }));
    }

    fn done(&mut self, answer: Answer) {
        self.asking = None;
        self.rest = VecDeque::new();
        self.outputs.push_back(Output::Done(answer));
    }
}

impl Ask {
    const fn timeout(&self) -> Duration {
        match self {
            Self::Server(_) => NameQuery::SERVER_TIMEOUT,
            Self::Everybody(_) => NameQuery::BROADCAST_TIMEOUT,
        }
    }
}

/// Nobody is to be made to send a message to everybody.
fn is_a_host(address: &Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
}

#[cfg(test)]
mod tests;
