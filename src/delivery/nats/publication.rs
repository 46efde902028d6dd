//! One event on its way into a stream.

use async_nats::HeaderMap;
use async_nats::header::{HeaderValue, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;

use super::verdict::{self, Unanswered, Verdict};
use super::{Open, delivered};
use crate::config::settings::{EventMode, StreamName};
use crate::message::event::{Event, STRUCTURED_MEDIA_TYPE, header_value};

/// An event laid out for NATS (CloudEvents NATS binding 1.0.3).
pub(super) struct Publication<'s> {
    headers: HeaderMap,
    payload: Bytes,
    stream: &'s StreamName,
}

/// Octets beside a structured event of the same copy: headers, where attributes may take three octets for each of theirs.
pub(super) const fn beside(mode: EventMode) -> u64 {
    match mode {
        EventMode::Structured => 512,
        EventMode::Binary => 4096,
    }
}

impl<'s> Publication<'s> {
    pub(super) fn new(event: &Event, mode: EventMode, stream: &'s StreamName) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, HeaderValue::from(event.id()));
        headers.insert(NATS_EXPECTED_STREAM, HeaderValue::from(stream.as_str()));
        let payload = match mode {
            EventMode::Structured => {
                headers.insert("Content-Type", STRUCTURED_MEDIA_TYPE);
                event.structured()
            }
            EventMode::Binary => {
                for (name, value) in event.attributes() {
                    headers.insert(format!("ce-{name}").as_str(), &*header_value(&value));
                }
                event.data()
            }
        };
        Self { headers, payload, stream }
    }

    /// Publishes and waits for what the stream says.
    ///
    /// # Errors
    /// Nobody answered.
    pub(super) async fn send(self, open: &Open, subject: &str) -> Result<Verdict, Unanswered> {
        let mut denials = open.connection.watch();
        let message = PublishMessage::build().payload(self.payload).headers(self.headers);
        let sent = open.jetstream.send_publish(subject.to_owned(), message);
        let acknowledged = async {
            match sent.await {
                Ok(acknowledgement) => acknowledgement.await,
                Err(error) => Err(error),
            }
        };
        let answer = tokio::select! {
            answer = acknowledged => answer,
            denial = denials.denied(subject) => return Ok(verdict::denied(open, &denial)),
        };
        match answer {
            // The stream itself would have refused what names another: somebody else has answered.
            Ok(PublishAck { stream, .. }) if stream != self.stream.as_str() => {
                Ok(verdict::acknowledged_elsewhere(open, &stream, self.stream, subject))
            }
            Ok(PublishAck { stream, sequence, duplicate: false, .. }) => {
                Ok(Verdict::Message(delivered(format!("{stream} has it as {sequence}"))))
            }
            Ok(PublishAck { stream, sequence, .. }) => {
                Ok(Verdict::Message(delivered(format!("{stream} has it already, as {sequence}"))))
            }
            Err(error) => match error.kind() {
                PublishErrorKind::StreamNotFound => Err(Unanswered::NoResponder),
                PublishErrorKind::TimedOut => Err(Unanswered::Silence),
                PublishErrorKind::MaxPayloadExceeded
                | PublishErrorKind::BrokenPipe
                | PublishErrorKind::MaxAckPending
                | PublishErrorKind::WrongLastMessageId
                | PublishErrorKind::WrongLastSequence
                | PublishErrorKind::Other => Ok(verdict::refused(open, &error)),
            },
        }
    }
}
