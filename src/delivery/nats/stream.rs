//! Why a stream does not answer: it is absent, takes other subjects, or has no leader.

use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, RequestErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{ErrorCode, context};

use tokio::time::timeout;

use super::{Open, Shared};
use crate::config::settings::{Discard, StreamPlan};
use crate::net::nats::{Denial, shown};

/// What is known of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StreamState {
    /// It is there and takes these subjects.
    Takes(Vec<String>),
    /// It was absent, and has just been made.
    Made,
    /// It is absent.
    Absent,
    /// It could not be made.
    Unmade(String),
    /// The server has no JetStream, or this account may not use it.
    NoJetStream(String),
    /// We may not ask.
    Denied(String),
    /// No answer, or one that says that it cannot be known now.
    Unknown(String),
}

impl Shared {
    /// Asks for the stream, and makes it where it is absent and the configuration says how.
    pub(super) async fn examine(&self, open: &Open) -> StreamState {
        let within = self.limits.timeout.min(PATIENCE);
        let asked = timeout(within, self.ask_for_stream(open)).await;
        let state = asked.unwrap_or_else(|_| StreamState::Unknown("no answer".to_owned()));
        match &self.create {
            Some(plan) if state == StreamState::Absent => self.make(open, plan).await,
            Some(_) | None => state,
        }
    }

    async fn ask_for_stream(&self, open: &Open) -> StreamState {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.stream);
        let mut denials = open.connection.watch();
        let answer = tokio::select! {
            answer = open.jetstream.get_stream(self.stream.as_str()) => answer,
            denial = denials.denied(&subject) => return denied(denial),
        };
        let error = match answer {
            Ok(stream) => return StreamState::Takes(stream.cached_info().config.subjects.clone()),
            Err(error) => error,
        };
        match error.kind() {
            GetStreamErrorKind::JetStream(error) => match error.error_code() {
                ErrorCode::STREAM_NOT_FOUND => StreamState::Absent,
                ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                    StreamState::NoJetStream(shown(&error.to_string()))
                }
                _ => StreamState::Unknown(shown(&error.to_string())),
            },
            GetStreamErrorKind::Request if is_without_responders(&error) => {
                StreamState::NoJetStream("no JetStream answers".to_owned())
            }
            GetStreamErrorKind::Request
            | GetStreamErrorKind::EmptyName
            | GetStreamErrorKind::InvalidStreamName => StreamState::Unknown(shown(&error.to_string())),
        }
    }

    async fn make(&self, open: &Open, plan: &StreamPlan) -> StreamState {
        let config = Config {
            name: self.stream.as_str().to_owned(),
            subjects: plan.subjects.clone(),
            storage: StorageType::File,
            num_replicas: plan.replicas,
            max_age: plan.max_age.unwrap_or_default(),
            max_bytes: signed(plan.max_bytes),
            max_messages: signed(plan.max_messages),
            discard: match plan.discard {
                Discard::Old => DiscardPolicy::Old,
                Discard::New => DiscardPolicy::New,
            },
            // The server refuses one that is longer than its messages live.
            duplicate_window: plan
                .max_age
                .map_or(plan.duplicate_window, |age| age.min(plan.duplicate_window)),
            description: Some("Messages of legacy senders, by mailslotd".to_owned()),
            ..Config::default()
        };
        let subject = format!("$JS.API.STREAM.CREATE.{}", self.stream);
        let mut denials = open.connection.watch();
        let made = tokio::select! {
            made = open.jetstream.create_stream(config) => made,
            denial = denials.denied(&subject) => return denied(denial),
        };
        match made {
            Ok(_) => {
                tracing::info!(stream = %self.stream, servers = open.connection.named(), "A stream was made.");
                StreamState::Made
            }
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                {
                    // Another gateway was faster.
                    StreamState::Made
                }
                CreateStreamErrorKind::TimedOut => StreamState::Unknown(shown(&error.to_string())),
                CreateStreamErrorKind::EmptyStreamName
                | CreateStreamErrorKind::InvalidStreamName
                | CreateStreamErrorKind::DomainAndExternalSet
                | CreateStreamErrorKind::JetStreamUnavailable
                | CreateStreamErrorKind::JetStream(_)
                | CreateStreamErrorKind::Response
                | CreateStreamErrorKind::NotFound
                | CreateStreamErrorKind::ResponseParse => StreamState::Unmade(shown(&error.to_string())),
            },
        }
    }
}

fn denied(denial: Denial) -> StreamState {
    match denial {
        Denial::Publish(subject) | Denial::Subscribe(subject) => StreamState::Denied(shown(&subject)),
    }
}

/// Whether the server said that nobody listens to requests for JetStream.
fn is_without_responders(error: &context::GetStreamError) -> bool {
    let source = std::error::Error::source(error);
    let request = source.and_then(|source| source.downcast_ref::<context::RequestError>());
    request.is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

/// A server that works answers at once; the publication has waited before.
const PATIENCE: Duration = Duration::from_secs(5);

/// 0 is no limit for the server.
fn signed(limit: Option<u64>) -> i64 {
    limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
