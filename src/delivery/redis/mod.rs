//! Entries in streams of Redis (XADD), over one connection that pipelines.
//!
//! `to` is the stream; empty, it is the one of the settings. In structured mode an entry has the fields `id` and `event`,
//! the whole event in JSON; in binary mode it has a field for each attribute of the event, `id` among them, and `data`.
//! Its id in the stream is the server's; what tells a repeat is the event's own `id`.
//!
//! An entry counts as delivered when the server has answered XADD, and with `replicas` when so many replicas have it
//! too (WAIT). What an answer is worth in a power failure the server decides by `appendonly yes` and `appendfsync`:
//! with `everysec`, its default, the last second may be lost; with `always`, nothing that was answered is.
//!
//! An answer has at most 8 KiB: a server that says more is none that is meant, and its connection is given up.
//!
//! A user of an ACL needs `+xadd`, `+ping`, `+select` with a database other than 0, `+wait` with `replicas`, and the
//! stream as `~mailslot`.

mod bounded;
mod connection;
mod entry;
mod verdict;

use std::sync::Arc;

use super::broker::queue::{Publish, Queue};
use super::broker::words;
use super::outcome::{Attempt, Handoff, Health, Outcome, RecipientNumber, Report};
use super::submission::SetupError;
use crate::config::settings::{self, EventMode};
use crate::message::event::{Event, EventIdentity};
use crate::message::id::DestinationName;
use crate::message::mail::Spooled;
use crate::message::recipient::Recipient;
use connection::{Answer, Connection};
use entry::Entry;
use verdict::{Scope, Verdict};

/// Streams of one server. Clones share its connection.
#[derive(Debug, Clone)]
pub struct Redis(Arc<Queue<settings::Redis, Connection>>);

impl Redis {
    /// Connects to nothing. Reads the trusted roots, so call it at start.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn new(
        name: DestinationName,
        settings: &settings::Redis,
        identity: EventIdentity,
    ) -> Result<Self, SetupError> {
        let queue = Queue::new(name, identity, &settings.broker, settings.limits, settings.clone())?;
        Ok(Self(Arc::new(queue)))
    }

    /// Adds an entry for each recipient. Ends within the timeouts of connecting and of one answer.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        self.0.deliver(attempt).await
    }

    /// The server's host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.endpoint.host()
    }

    /// Gives the connection up.
    #[expect(clippy::unused_async, reason = "as other brokers, of which leave is taken")]
    pub async fn close(&self) {
        drop(self.0.connection.take());
    }
}

impl Publish for Queue<settings::Redis, Connection> {
    type Letter = Entry;

    fn lay_out(&self, event: &Event, _: &Spooled, recipient: &Recipient) -> Result<Entry, Outcome> {
        let stream = if recipient.to.is_empty() { &self.settings.stream } else { &recipient.to };
        Ok(match self.settings.event {
            EventMode::Structured => Entry::structured(stream, event),
            EventMode::Binary => Entry::binary(stream, event),
        })
    }

    fn octets(entry: &Entry) -> usize {
        entry.octets
    }

    async fn publish(
        &self,
        entries: Vec<(RecipientNumber, Entry)>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> Health {
        let open = Connection::open(&self.endpoint, &self.settings);
        let connection = match self.connection.open(Connection::is_alive, open).await {
            Ok(connection) => connection,
            Err(health) => return health,
        };
        let health = match connection.add(&self.endpoint, &self.settings, &entries).await {
            Ok(answers) => self.judge(&entries, answers, outcomes),
            Err(health) => health,
        };
        if health != Health::Up {
            self.connection.discard(&connection);
        }
        health
    }
}

impl Queue<settings::Redis, Connection> {
    fn judge(
        &self,
        entries: &[(RecipientNumber, Entry)],
        answers: Vec<Answer>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> Health {
        let mut health = Health::Up;
        for ((number, entry), answer) in entries.iter().zip(answers) {
            let (code, said) = match answer {
                Answer::Added(id) => {
                    let text = format!("{} in stream {}", words::quoted(&id), entry.stream.escape_debug());
                    outcomes.push((*number, Outcome::Delivered { text, handoff: Handoff::Silent }));
                    continue;
                }
                Answer::Refused { code, said } => (code, said),
            };
            let scope = if entry.stream == self.settings.stream { Scope::Destination } else { Scope::Stream };
            match verdict::of(&self.endpoint.to_string(), &self.settings, &code, &said, scope) {
                Verdict::Message(outcome) => outcomes.push((*number, outcome)),
                Verdict::Destination(fault) => health = fault,
            }
        }
        health
    }
}
