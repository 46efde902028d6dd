//! What all connections share: the settings, the limits, the spool.
#![expect(clippy::disallowed_methods, reason = "the edge where time is read")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::judgement::Judgement;
use crate::config::settings::Sessions;
use crate::listen::judge::Verdict;
use crate::message::mail::Message;
use crate::message::notice::Arrival;
use crate::message::session_message::SessionMessage;
use crate::policy::admission::{Acquaintance, ConnectionLimits, ConnectionVerdict, Connections};
use crate::policy::called_name::CalledNames;
use crate::policy::client_network::{ClientNetwork, Prefixes};
use crate::policy::heard::Claim;
use crate::session::netbios_session::{Abandoned, Decision, NetbiosSession, Profile, Timeouts};
use crate::spool::{Spool, SpoolError};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::messenger::{MessengerMetrics, SessionMessageOutcome, SessionRefusal};
use crate::telemetry::metrics::{Metrics, Withheld};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    names: Arc<CalledNames>,
    timeouts: Timeouts,
    judgement: Judgement,
    spool: Spool,
    pub(super) metrics: Arc<Metrics>,
    messenger: MessengerMetrics,
    connections: Mutex<Connections>,
    refusals: Mutex<Recurring>,
    too_long: Mutex<Recurring>,
    spool_faults: Mutex<Recurring>,
}

/// A connection that counts among those of its source, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    shared: Arc<Shared>,
    source: ClientNetwork,
}

impl Admitted {
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        locked(&self.shared.connections).closed(self.source);
        self.shared.messenger.connections().dec();
    }
}

impl Shared {
    pub(super) fn new(
        names: CalledNames,
        limits: Sessions,
        judgement: Judgement,
        spool: Spool,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Sessions { idle, message, .. } = limits;
        Self {
            names: Arc::new(names),
            timeouts: Timeouts { idle, message, ..Timeouts::default() },
            judgement,
            spool,
            messenger: metrics.messenger(),
            metrics,
            connections: Mutex::new(Connections::new(connection_limits(limits))),
            refusals: Mutex::new(Recurring::new(TELL_EVERY)),
            too_long: Mutex::new(Recurring::new(TELL_EVERY)),
            spool_faults: Mutex::new(Recurring::new(TELL_EVERY)),
        }
    }

    /// Who judges.
    pub(super) const fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// What a session knows of the gateway.
    pub(super) fn profile(&self) -> Profile {
        Profile { names: Arc::clone(&self.names), timeouts: self.timeouts }
    }

    /// Whether one more connection is served that came so.
    pub(super) fn admit(self: &Arc<Self>, arrival: &Arrival) -> Result<Admitted, SessionRefusal> {
        let now = Instant::now();
        if !self.judgement.is_heard(arrival, now) {
            return Err(SessionRefusal::NotAllowed);
        }
        let source = EACH_ADDRESS.network_of(arrival.source.ip());
        match locked(&self.connections).admit(source, Acquaintance::Stranger, now) {
            ConnectionVerdict::Admitted => {
                self.messenger.connections().inc();
                Ok(Admitted { shared: Arc::clone(self), source })
            }
            ConnectionVerdict::TooManyInAll => Err(SessionRefusal::ConnectionsInAll),
            ConnectionVerdict::TooManyOfNetwork | ConnectionVerdict::TooFast => {
                Err(SessionRefusal::ConnectionsOfSource)
            }
        }
    }

    /// A connection was turned away: counted, and said now and then.
    pub(super) fn refused(&self, source: IpAddr, reason: SessionRefusal) {
        self.messenger.refused(reason);
        if reason == SessionRefusal::NotAllowed {
            // Who judges says so.
            return;
        }
        if let Some(count) = locked(&self.refusals).happened(1, Instant::now()) {
            tracing::warn!(
                %source,
                reason = reason.as_str(),
                count,
                "Connections for `net send` were turned away; the latest came from this source."
            );
        }
    }

    /// A message of this source that was begun is not delivered.
    pub(super) fn abandoned(&self, source: IpAddr, why: Abandoned) {
        self.messenger.message(match why {
            Abandoned::Incomplete | Abandoned::Restarted => SessionMessageOutcome::Incomplete,
            Abandoned::TooLong => SessionMessageOutcome::TooLong,
        });
        if why == Abandoned::TooLong
            && let Some(count) = locked(&self.too_long).happened(1, Instant::now())
        {
            tracing::warn!(
                %source,
                count,
                "Messages of sessions were refused because their text is longer than {} KiB; the latest came from this \
                 source, which was told so.",
                NetbiosSession::MAX_TEXT >> 10
            );
        }
    }

    /// Makes a message durable, where it is to be delivered. The decision is for its sender.
    pub(super) async fn decide(&self, message: &SessionMessage, arrival: Arrival) -> Decision {
        let outcome = match self.judgement.of(message, arrival, Instant::now()) {
            Verdict::Deliver(message, claim) => self.keep(*message, claim).await,
            Verdict::Discarded => SessionMessageOutcome::Discarded,
            Verdict::Withheld(Withheld::Duplicate) => SessionMessageOutcome::Duplicate,
            Verdict::Withheld(Withheld::Throttled) => SessionMessageOutcome::Throttled,
            Verdict::Withheld(Withheld::SwitchedOff | Withheld::NotAllowed) => {
                SessionMessageOutcome::SwitchedOff
            }
        };
        self.messenger.message(outcome);
        match outcome {
            SessionMessageOutcome::Durable => Decision::Durable,
            SessionMessageOutcome::Duplicate => Decision::Duplicate,
            SessionMessageOutcome::Discarded
            | SessionMessageOutcome::Throttled
            | SessionMessageOutcome::SwitchedOff
            | SessionMessageOutcome::SpoolRefused
            | SessionMessageOutcome::TooLong
            | SessionMessageOutcome::Incomplete => Decision::Refused,
        }
    }

    async fn keep(&self, message: Message, claim: Claim) -> SessionMessageOutcome {
        match self.spool.accept(message).await {
            Ok(id) => {
                tracing::debug!(%id, "Accepted: a message of a session is durable.");
                self.judgement.durable(claim, Instant::now());
                SessionMessageOutcome::Durable
            }
            Err(error) => {
                self.tell_spool_fault(&error);
                self.judgement.lost(claim);
                SessionMessageOutcome::SpoolRefused
            }
        }
    }

    fn tell_spool_fault(&self, error: &SpoolError) {
        if let Some(count) = locked(&self.spool_faults).happened(1, Instant::now()) {
            tracing::error!(count, %error, "Messages of sessions cannot be made durable; their senders are refused.");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All senders are strangers, for whom an eighth of all connections is not there: so there are so many more.
const fn connection_limits(limits: Sessions) -> ConnectionLimits {
    let in_all = limits.in_all.saturating_add(limits.in_all / 7);
    ConnectionLimits { per_network: limits.per_source, rate: None, in_all }
}

/// Sources are counted one by one.
const EACH_ADDRESS: Prefixes = Prefixes { ipv4: 32, ipv6: 128, private: 32 };

const TELL_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_strangers_are_let_in_as_the_configuration_says() {
        for in_all in [1, 6, 7, 8, 100, 2048] {
            let limits = connection_limits(Sessions { in_all, ..Sessions::default() });
            assert_eq!(limits.most_for(Acquaintance::Stranger), in_all);
        }
    }
}
