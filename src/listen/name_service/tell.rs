//! What the operator is told of the name service, and what is counted.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::standings::NameStandings;
use crate::session::name_owner::{Event, Heard, Ignored, NameOwner, OwnName, Standing, Verdict};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::{ConflictWith, Metrics, NameState};
use crate::wire::name_service::{Kind, Packet};

/// The log and the metrics of the name service.
#[derive(Debug)]
pub(super) struct Told {
    metrics: Arc<Metrics>,
    shown: NameStandings,
    silent_servers: HashSet<Ipv4Addr>,
    defended: Recurring,
    demanded: Recurring,
    limited: Recurring,
    not_sent: Recurring,
}

impl Told {
    pub(super) fn new(owner: Option<&NameOwner>, metrics: Arc<Metrics>) -> Self {
        let [defended, demanded, limited, not_sent] = [(); 4].map(|()| Recurring::new(EVERY));
        let (shown, silent_servers) = (NameStandings::default(), HashSet::new());
        let told = Self { metrics, shown, silent_servers, defended, demanded, limited, not_sent };
        if let Some(owner) = owner {
            told.standings(owner);
        }
        told
    }

    /// Where the claims stand, for whoever asks.
    pub(super) fn shown(&self) -> NameStandings {
        self.shown.clone()
    }

    /// No names are claimed at this time.
    pub(super) fn no_names(&self) {
        for (name, _) in self.shown.all() {
            let suffix = format!("{:02X}", name.name_type().0);
            self.metrics.clear_name_state(&name.text().escape_ascii().to_string(), &suffix);
        }
        self.shown.set(Vec::new());
    }

    /// A packet that nothing answers, because we only observe.
    pub(super) fn observed(&self, packet: &Packet<'_>) {
        if packet.flags.kind() == Kind::Query {
            self.metrics.name_query(OBSERVED);
        }
    }

    /// What became of a packet.
    pub(super) fn verdict(&mut self, verdict: Verdict, packet: &Packet<'_>, heard: Heard, now: Instant) {
        if packet.flags.kind() == Kind::Query {
            self.metrics.name_query(verdict.as_str());
        }
        let Verdict::Ignored(reason) = verdict else { return };
        match reason {
            Ignored::RateLimited => {
                self.metrics.name_packets_ignored(verdict.as_str(), 1);
                if let Some(count) = self.limited.happened(1, now) {
                    tell_limited(count, Some(heard.source));
                }
            }
            Ignored::Stranger
            | Ignored::ForeignScope
            | Ignored::Demand
            | Ignored::Unsolicited
            | Ignored::Unknown => {
                self.metrics.name_packets_ignored(verdict.as_str(), 1);
                tracing::debug!(
                    source = %heard.source,
                    flags = %packet.flags,
                    reason = verdict.as_str(),
                    "A packet of the name service was ignored."
                );
            }
            Ignored::NotOurs | Ignored::Own | Ignored::NoLink | Ignored::Leaving => {}
        }
    }

    /// Something happened to our names.
    pub(super) fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Claimed { name, address } => {
                tracing::info!(%name, %address, "The name is ours now.");
            }
            Event::Conflict { name, address, owner } => {
                self.metrics.name_conflict(ConflictWith::Host);
                tracing::warn!(
                    %name,
                    %owner,
                    %address,
                    "Another host owns the name, so messages to it do not come here. It is tried for again from time to \
                     time; `nmblookup -A` with the owner's address tells what it is. Rename one of the two, or take the \
                     name out of `netbios.names`."
                );
            }
            Event::Defended { name, claimant } => {
                self.metrics.name_claim_refused();
                if let Some(count) = self.defended.happened(1, now) {
                    tracing::warn!(%name, %claimant, count, "Another host wanted a name of ours and was refused.");
                }
            }
            Event::Demanded { name, from } => {
                if let Some(count) = self.demanded.happened(1, now) {
                    tracing::warn!(
                        %name,
                        %from,
                        count,
                        "Somebody demands that a name of ours be given up, or claims to own it; it stays ours. Either two \
                         hosts have one name, or somebody tries to take it away."
                    );
                }
            }
            Event::Registered { name, server, ttl } => {
                tracing::info!(%name, %server, ttl_seconds = ttl.as_secs(), "The WINS server has registered the name.");
            }
            Event::RefusedByWins { name, server, rcode, owner } => {
                self.metrics.name_conflict(ConflictWith::Wins);
                tracing::warn!(
                    %name,
                    %server,
                    %rcode,
                    owner = owner.map(tracing::field::display),
                    "The WINS server does not register the name, so hosts that ask it do not find us. It is asked again \
                     from time to time; an entry of a host that is gone can be deleted there."
                );
            }
            Event::WinsSilent { server } => {
                self.silent_servers.insert(server);
                self.metrics.set_wins_silent(self.silent_servers.len());
                tracing::warn!(%server, "The WINS server does not answer; it is tried again from time to time.");
            }
            Event::WinsAnswers { server } => {
                self.silent_servers.remove(&server);
                self.metrics.set_wins_silent(self.silent_servers.len());
                tracing::info!(%server, "The WINS server answers again.");
            }
            Event::WinsOutOfReach { server } => {
                tracing::warn!(
                    %server,
                    "No interface that names are claimed on leads to the WINS server, so nothing is registered there; \
                     see `netbios.interfaces` and `ip route get`."
                );
            }
        }
    }

    /// Where the claims stand now.
    pub(super) fn standings(&self, owner: &NameOwner) {
        let mut shown = Vec::new();
        for (OwnName { name, .. }, standing) in owner.standings() {
            let state = match standing {
                Standing::Claiming => NameState::Claiming,
                Standing::Claimed => NameState::Claimed,
                Standing::Conflict => NameState::Conflict,
            };
            let suffix = format!("{:02X}", name.name_type().0);
            self.metrics.set_name_state(&name.text().escape_ascii().to_string(), &suffix, state);
            shown.push((name, state));
        }
        self.shown.set(shown);
    }

    /// The kernel did not take a packet.
    pub(super) fn not_sent(&mut self, error: &io::Error, to: SocketAddrV4, now: Instant) {
        if let Some(count) = self.not_sent.happened(1, now) {
            tracing::warn!(
                %error,
                %to,
                count,
                "A packet of the name service could not be sent; a firewall on this host may forbid it."
            );
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.limited.poll_timeout()
    }

    /// Tells how a flood went on.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(count) = self.limited.due(now) {
            tell_limited(count, None);
        }
    }
}

fn tell_limited(count: u64, last: Option<SocketAddrV4>) {
    tracing::warn!(
        count,
        last = last.map(tracing::field::display),
        "Questions about names were not answered because too many came; a host that asks so often is broken or means harm."
    );
}

/// How often the same is told while it goes on.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// What becomes of all queries in mode observe.
const OBSERVED: &str = "observed";
