//! Messages on legacy displays: `net send` to a name, to a workgroup or to everyone.
//!
//! A message is delivered when a display confirms it in a session. Where the configuration accepts that nobody does, it
//! goes to the mailslot where there is no session. Text is cut to a limit, one message at a time goes to each receiver,
//! a receiver that is away holds up no other, and nothing goes in a circle: see [`crate::policy::display_loop`].
#![expect(clippy::disallowed_methods, reason = "the switch, and who is away, are asked as they stand now")]

mod away;
mod text;
mod turns;

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;

use super::net_send::{Lengths, NetSender, Network, NoSession, NotSent, Sent, Targets, Traces, Way};
use super::outcome::{Attempt, Handoff, Health, Outcome, Report};
use crate::config::settings::{Claims, Displays, Mode, Settings, Unconfirmed};
use crate::message::id::DestinationName;
use crate::message::mail::{Body, Spooled};
use crate::message::net_send::{Addressee, NetSend};
use crate::message::recipient::Recipient;
use crate::net::link::Link;
use crate::policy::display_loop::{self, Circle, Journey};
use crate::policy::own_datagrams::OwnDatagrams;
use crate::session::netbios_client::Outcome as Ended;
use crate::switch::Passage;
use crate::telemetry::metrics::Metrics;
use crate::wire::netbios_name::{NetbiosName, Scope};
use crate::wire::oem_text::CodePage;
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::status::EnhancedStatus;
use away::{Away, Presence};
use turns::Turns;

/// Legacy displays. Clones share the turns of their receivers.
#[derive(Debug, Clone)]
pub struct Netbios(Arc<Shared>);

/// What deliveries to legacy displays share with the rest of the gateway.
#[derive(Debug, Clone, Default)]
pub struct LegacySide {
    /// The datagrams that the gateway itself sent, which it must not hear.
    pub own: Arc<Mutex<OwnDatagrams>>,
    /// Whether messages to displays pass.
    pub outbound: Arc<Passage>,
}

#[derive(Debug)]
struct Shared {
    name: DestinationName,
    sender: NetSender,
    from: String,
    code_page: CodePage,
    unconfirmed: Unconfirmed,
    max_text: usize,
    /// `None` in mode observe, in which there is no such destination.
    claims: Option<Claims>,
    mark: String,
    outbound: Arc<Passage>,
    turns: Turns,
    away: Away,
}

impl Netbios {
    /// The displays that this configuration reaches. Sends nothing.
    #[must_use]
    pub fn new(
        name: DestinationName,
        displays: &Displays,
        settings: &Settings,
        legacy: &LegacySide,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let claims = match &settings.netbios.mode {
            Mode::Observe => None,
            Mode::Answer(claims) => Some((**claims).clone()),
        };
        let page = settings.decoding.code_page.code_page;
        let host_name = claims.as_ref().map_or_else(
            || "MAILSLOTD".to_owned(),
            |claims| page.decode(claims.host_name.text()).0.into_owned(),
        );
        let network = Network {
            interfaces: settings.netbios.interfaces.clone(),
            servers: claims.as_ref().map(|claims| claims.wins.clone()).unwrap_or_default(),
            scope: Scope::new(&settings.decoding.scope).unwrap_or_default(),
        };
        let traces = Traces { own: Arc::clone(&legacy.own), metrics: Arc::clone(metrics) };
        Self(Arc::new(Shared {
            name,
            sender: NetSender::new(network, Some(traces)),
            mark: display_loop::mark(&host_name),
            from: displays.from.clone().unwrap_or(host_name),
            code_page: displays.code_page.unwrap_or(page),
            unconfirmed: displays.unconfirmed,
            max_text: displays.max_text,
            claims,
            outbound: Arc::clone(&legacy.outbound),
            turns: Turns::new(),
            away: Away::new(settings.retry),
        }))
    }

    /// Sends one message to its receivers, one after the other. Each takes at most the time of a name query, a few
    /// connections and the answers of a session.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        let mut outcomes = Vec::new();
        for (number, recipient) in &attempt.recipients {
            if !self.0.outbound.lets_through(Timestamp::now()) {
                return Report {
                    outcomes,
                    health: Health::OperatorFault { reason: SWITCHED_OFF.to_owned() },
                };
            }
            let outcome = self.0.deliver(&attempt.message, recipient).await;
            outcomes.push((*number, outcome.unwrap_or_else(|undone| undone)));
        }
        tracing::debug!(destination = %self.0.name, decided = outcomes.len(), "An attempt ended.");
        Report { outcomes, health: Health::Up }
    }
}

impl Shared {
    async fn deliver(&self, message: &Spooled, recipient: &Recipient) -> Result<Outcome, Outcome> {
        let to = addressee(&recipient.to)?;
        let text = text::of(message, recipient.subject.as_deref()).await.map_err(unreadable)?;
        if display_loop::is_marked(&text) {
            return Err(circle(Circle::Marked));
        }
        let long = self.message(&to, &text, self.max_text)?;
        let short = self.message(&to, &text, self.max_text.min(long.datagram_limit()))?;
        if self.claims.as_ref().is_some_and(|claims| claims.has(long.destination_name())) {
            return Err(circle(Circle::OwnName));
        }
        if let (Addressee::Name(name), Body::Notice(gathered)) = (&to, &message.body) {
            let senders = [&*gathered.first.originator, &*gathered.first.source_name.text];
            display_loop::check_names(name, &senders).map_err(circle)?;
        }
        let way = match self.unconfirmed {
            Unconfirmed::Accept => Way::SessionElseMailslot,
            Unconfirmed::Never if matches!(to, Addressee::Name(_)) => Way::Session,
            Unconfirmed::Never => return Err(failed((5, 3, 3), NOT_CONFIRMED)),
        };
        let name = long.destination_name();
        let _turn = self.turn(&to, name).await?;
        let targets = self.sender.locate(&to, name, way, &[]).await;
        let targets = targets.map_err(|error| delayed((4, 3, 0), error))?;
        journey(message, &targets)?;
        let lengths = Lengths { session: &long, mailslot: &short };
        let outcome = outcome(&to, self.sender.send(lengths, &targets, way).await);
        match &outcome {
            Outcome::Delayed { status, .. } if *status == NO_ANSWER => {
                self.away.was_away(name, Instant::now());
            }
            Outcome::Delayed { .. } | Outcome::Delivered { .. } | Outcome::Failed { .. } => {
                self.away.was_there(name);
            }
        }
        Ok(outcome)
    }

    /// The turn of a receiver. One that was away lately is waited for by nobody: whoever waits keeps a place among the
    /// attempts that messages to others need.
    async fn turn(&self, to: &Addressee, name: NetbiosName) -> Result<OwnedMutexGuard<()>, Outcome> {
        let turn = match self.away.presence(name, Instant::now()) {
            Presence::Unknown => Some(self.turns.take(to).await),
            Presence::Doubtful => self.turns.take_now(to),
            Presence::Away(_) => None,
        };
        match (turn, self.away.presence(name, Instant::now())) {
            (Some(turn), Presence::Unknown | Presence::Doubtful) => Ok(turn),
            // Another message has found out in the meantime, or is about to.
            (_, Presence::Away(rest)) => Err(still_away(to, rest)),
            (None, Presence::Unknown | Presence::Doubtful) => Err(still_away(to, self.away.rest())),
        }
    }

    fn message(&self, to: &Addressee, text: &str, limit: usize) -> Result<NetSend, Outcome> {
        let end = format!("\n{}", self.mark);
        NetSend::fitted(&self.from, to, (text, &end), limit, self.code_page)
            .map_err(|error| failed((5, 1, 3), error))
    }
}

/// A receiver as a rule names it; of a mail's recipient the local part, which never means several.
fn addressee(to: &str) -> Result<Addressee, Outcome> {
    let Ok(mailbox) = Mailbox::parse(to) else {
        return to.parse().map_err(|error| failed((5, 1, 3), format_args!("{to:?} is no receiver: {error}")));
    };
    let local = mailbox.local_part();
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_$ ".contains(letter);
    if local.chars().all(is_plain) {
        Ok(Addressee::Name(local.to_owned()))
    } else {
        Err(failed((5, 1, 3), format_args!("{local:?} is no name of a display")))
    }
}

/// Refuses what would go in a circle.
fn journey(message: &Spooled, targets: &Targets) -> Result<(), Outcome> {
    let source = match &message.body {
        Body::Notice(gathered) => match gathered.first.arrival.source.ip().to_canonical() {
            IpAddr::V4(source) => Some(source),
            IpAddr::V6(_) => None,
        },
        Body::Mail { .. } => None,
    };
    let links = Link::all().map_err(|error| delayed((4, 3, 0), error))?;
    let own: Vec<Ipv4Addr> =
        links.iter().flat_map(|link| &link.addresses).map(|address| address.address).collect();
    let hosts: Vec<Ipv4Addr> = targets.hosts.iter().map(|host| *host.ip()).collect();
    Journey { hosts: &hosts, own: &own, source }.check().map_err(circle)
}

fn outcome(to: &Addressee, sent: Sent) -> Outcome {
    match sent {
        Sent::Confirmed { by } => {
            Outcome::Delivered { text: format!("{to} ({}) confirmed it", by.ip()), handoff: Handoff::Final }
        }
        Sent::Unconfirmed { to, left_out, obstacle: _ } => {
            for (target, error) in left_out {
                tracing::warn!(%target, %error, "A message to displays could not be sent by one interface.");
            }
            let to: Vec<String> = to.iter().map(SocketAddrV4::to_string).collect();
            let text = format!("sent to {}; UDP gives no receipt", to.join(", "));
            Outcome::Delivered { text, handoff: Handoff::Silent }
        }
        Sent::Not(not) => not_sent(&not),
    }
}

/// A display that is away or takes nothing now may do so later (RFC 3463 §3.5, §3.4).
fn not_sent(not: &NotSent) -> Outcome {
    let status = match not {
        NotSent::NoSession { obstacle: NoSession::Several, .. } => return failed((5, 3, 3), not),
        NotSent::NoSession { obstacle, .. } => match obstacle {
            NoSession::Nobody { .. } | NoSession::Unreachable { .. } | NoSession::Several => {
                return Outcome::Delayed { status: NO_ANSWER, text: not.to_string(), retry_after: None };
            }
            NoSession::Ended { outcome, .. } => match outcome {
                Ended::Refused(_) | Ended::SessionRefused(_) => (4, 3, 2),
                Ended::NotAReceiver(_) | Ended::HungUpOnWhole | Ended::Retargeted(_) => (4, 3, 5),
                Ended::Confirmed | Ended::Lost(_) | Ended::TimedOut(_) => (4, 4, 2),
            },
        },
        NotSent::TooLong(_) => return failed((5, 3, 4), not),
        NotSent::Nowhere | NotSent::Faults(_) => (4, 4, 4),
        NotSent::System(_) => (4, 3, 0),
    };
    delayed(status, not)
}

/// Not tried, as the display did not answer a moment ago.
fn still_away(to: &Addressee, rest: Duration) -> Outcome {
    let text = format!("{to} was away a moment ago; messages to others do not wait for it");
    Outcome::Delayed { status: NO_ANSWER, text, retry_after: Some(rest) }
}

fn circle(circle: Circle) -> Outcome {
    // RFC 3463 §3.5: routing loop detected.
    failed((5, 4, 6), format_args!("the message {circle}"))
}

fn unreadable(error: std::io::Error) -> Outcome {
    delayed((4, 3, 0), format_args!("the content could not be read from the spool: {error}"))
}

fn delayed(status: (u8, u16, u16), text: impl ToString) -> Outcome {
    let (class, subject, detail) = status;
    let status = EnhancedStatus::new(class, subject, detail);
    Outcome::Delayed { status, text: text.to_string(), retry_after: None }
}

fn failed(status: (u8, u16, u16), text: impl ToString) -> Outcome {
    let (class, subject, detail) = status;
    Outcome::Failed { status: EnhancedStatus::new(class, subject, detail), text: text.to_string() }
}

/// RFC 3463 §3.5: no answer from host.
const NO_ANSWER: EnhancedStatus = EnhancedStatus::new(4, 4, 1);

const NOT_CONFIRMED: &str = "nobody confirms a message to several displays; `unconfirmed: accept` of this destination lets it go all the same";

/// The text of Windows' error, and how to mend it.
const SWITCHED_OFF: &str = "system error 3025 has occurred: remote mailslots have been deprecated (ERROR_REMOTE_MAILSLOTS_DEPRECATED). They are \
     switched off here; `mailslotd mailslots enable --outbound --for 7d` allows them, or `mailslots.outbound` in the \
     configuration. Messages to displays wait";

#[cfg(test)]
mod tests;
