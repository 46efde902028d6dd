//! One connection to a Redis server, on which commands follow each other without waiting for answers.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, RedisConnectionInfo, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::bounded::{Allowance, Bounded};
use super::entry::Entry;
use super::verdict;
use crate::config::settings;
use crate::delivery::broker::{Endpoint, words};
use crate::delivery::outcome::{Health, RecipientNumber};

/// A connection that was let in. Dropped, it is closed.
pub(super) struct Connection {
    commands: MultiplexedConnection,
    allowance: Allowance,
    /// Reads and writes until the connection ends.
    driver: AbortOnDropHandle<()>,
    /// How many WAITs have begun.
    begun: AtomicU64,
    /// Held by whoever waits; the last WAIT that has ended.
    waited: Mutex<Waited>,
}

/// A WAIT that has ended.
struct Waited {
    /// Its number, from 1; 0: none has.
    number: u64,
    verdict: Result<(), Health>,
}

/// What the server said to one XADD.
#[derive(Debug)]
pub(super) enum Answer {
    /// The id of the entry.
    Added(String),
    /// An error: its code, such as `OOM`, and the rest.
    Refused { code: String, said: String },
}

impl Connection {
    /// Connects and says who we are.
    pub(super) async fn open(endpoint: &Endpoint, settings: &settings::Redis) -> Result<Self, Health> {
        let allowance = Allowance::new();
        let stream = Bounded::new(endpoint.open().await?, allowance.clone());
        // Who we are is said below, where its refusal can be told from others.
        let nobody = RedisConnectionInfo::default().set_skip_set_lib_name();
        let patience = AsyncConnectionConfig::new().set_response_timeout(Some(endpoint.timeout));
        let greeting = MultiplexedConnection::new_with_config(&nobody, stream, patience);
        let (commands, driver) = timeout(endpoint.timeout, greeting)
            .await
            .map_err(|_| words::silent(&endpoint.to_string(), "a greeting", endpoint.timeout))?
            .map_err(|error| ended(endpoint, &allowance, "a greeting", &error))?;
        let connection = Self {
            commands,
            allowance,
            driver: AbortOnDropHandle::new(tokio::spawn(driver)),
            begun: AtomicU64::new(0),
            waited: Mutex::new(Waited { number: 0, verdict: Ok(()) }),
        };
        connection.introduce(endpoint, settings).await?;
        Ok(connection)
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.driver.is_finished()
    }

    /// AUTH and SELECT as far as they are needed, and PING, so that a server which holds its connections and does nothing
    /// is found out before any event is sent.
    async fn introduce(&self, endpoint: &Endpoint, settings: &settings::Redis) -> Result<(), Health> {
        let mut commands = Pipeline::new();
        if let Some(password) = &settings.broker.password {
            let command = commands.cmd("AUTH");
            if let Some(user) = &settings.broker.user {
                command.arg(user);
            }
            command.arg(password.text.as_str());
        }
        if settings.database > 0 {
            commands.cmd("SELECT").arg(settings.database);
        }
        commands.cmd("PING");
        let mut answers = self.send(endpoint, &commands, "the answer to PING").await?;
        let ping = answers.pop();
        for answer in answers {
            if let Value::ServerError(error) = answer {
                let said = error.details().unwrap_or_default();
                return Err(verdict::introduction(&endpoint.to_string(), settings, error.code(), said));
            }
        }
        match ping {
            // It may be forbidden, and was answered.
            Some(Value::ServerError(error)) if error.code() != "NOPERM" => {
                let said = error.details().unwrap_or_default();
                Err(verdict::introduction(&endpoint.to_string(), settings, error.code(), said))
            }
            _ => Ok(()),
        }
    }

    /// Adds all entries; an answer for each.
    ///
    /// # Errors
    /// The connection ended or the server is silent: it may have added some, all or none.
    pub(super) async fn add(
        &self,
        endpoint: &Endpoint,
        settings: &settings::Redis,
        entries: &[(RecipientNumber, Entry)],
    ) -> Result<Vec<Answer>, Health> {
        let mut commands = Pipeline::with_capacity(entries.len());
        for (_, Entry { stream, fields, .. }) in entries {
            let command = commands.cmd("XADD").arg(stream);
            if let Some(length) = settings.max_length {
                command.arg("MAXLEN").arg("~").arg(length);
            }
            command.arg("*");
            for (field, value) in fields {
                command.arg(*field).arg(&value[..]);
            }
        }
        let answers = self.send(endpoint, &commands, "the answer to XADD").await?;
        if settings.replicas > 0 {
            self.wait_for_replicas(endpoint, settings).await?;
        }
        Ok(answers.into_iter().map(Answer::of).collect())
    }

    /// WAIT holds up the connection and is about everything that was said on it before: one at a time, for all that have
    /// their answers when it begins.
    async fn wait_for_replicas(&self, endpoint: &Endpoint, settings: &settings::Redis) -> Result<(), Health> {
        let needed = self.begun.load(Ordering::Acquire).saturating_add(1);
        let mut waited = self.waited.lock().await;
        if waited.number >= needed {
            return waited.verdict.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        // Its own answer must come before ours is given up.
        let milliseconds = u64::try_from(endpoint.timeout.as_millis() / 2).unwrap_or(u64::MAX).max(1);
        let mut command = Pipeline::new();
        command.cmd("WAIT").arg(settings.replicas).arg(milliseconds);
        let answers = self.send(endpoint, &command, "the answer to WAIT").await;
        let verdict = answers.and_then(|mut answers| {
            verdict::replicas(&endpoint.to_string(), settings, answers.pop().as_ref())
        });
        *waited = Waited { number, verdict: verdict.clone() };
        verdict
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        commands: &Pipeline,
        waiting_for: &str,
    ) -> Result<Vec<Value>, Health> {
        let count = commands.len();
        let _awaited = self.allowance.await_answers(count);
        // A clone is a handle on the same connection.
        let answers = self.commands.clone().send_packed_commands(commands, 0, count).await;
        answers.map_err(|error| ended(endpoint, &self.allowance, waiting_for, &error))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("alive", &self.is_alive()).finish_non_exhaustive()
    }
}

impl Answer {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else a server may say is no answer to XADD")]
    fn of(value: Value) -> Self {
        match value {
            Value::BulkString(id) => Self::Added(String::from_utf8_lossy(&id).into_owned()),
            Value::SimpleString(id) => Self::Added(id),
            Value::ServerError(error) => Self::Refused {
                code: error.code().to_owned(),
                said: error.details().unwrap_or_default().to_owned(),
            },
            other => Self::Refused { code: "ERR".to_owned(), said: format!("no answer to XADD: {other:?}") },
        }
    }
}

fn ended(endpoint: &Endpoint, allowance: &Allowance, waiting_for: &str, error: &RedisError) -> Health {
    let at = endpoint.to_string();
    if error.is_timeout() {
        words::silent(&at, waiting_for, endpoint.timeout)
    } else if let Some(refusal) = allowance.tls_refusal() {
        words::no_tls(&at, refusal)
    } else if error.is_io_error() {
        words::lost(&at, waiting_for, error)
    } else {
        words::down(format!(
            "{at} answers what is no RESP where {waiting_for} should be ({}); check the port in `url`",
            words::quoted(&error.to_string())
        ))
    }
}
