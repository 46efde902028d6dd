//! What a server's answer means, in the words of its administrator.

use std::error::Error as _;
use std::io;
use std::sync::atomic::Ordering;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};

use super::stream::StreamState;
use super::{Open, Shared};
use crate::config::settings::{StreamName, covers_subject};
use crate::delivery::outcome::{Health, Outcome};
use crate::message::recipient::EnhancedStatus;
use crate::net::nats::{Denial, shown};

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This message has its fate.
    Message(Outcome),
    /// It concerns every message.
    Destination(Health),
}

/// How a publication ended without an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The server knows of nobody who would take it.
    NoResponder,
    /// Nothing came in time.
    Silence,
}

impl Verdict {
    pub(super) const fn failed(status: EnhancedStatus, text: String) -> Self {
        Self::Message(Outcome::Failed { status, text })
    }

    const fn delayed(status: EnhancedStatus, text: String) -> Self {
        Self::Message(Outcome::Delayed { status, text, retry_after: None })
    }

    pub(super) fn unreadable(error: &io::Error) -> Self {
        let text = format!("the content could not be read from the spool: {error}");
        Self::delayed(EnhancedStatus::new(4, 3, 0), text)
    }

    const fn down(reason: String) -> Self {
        Self::Destination(Health::Down { reason })
    }

    const fn operator(reason: String) -> Self {
        Self::Destination(Health::OperatorFault { reason })
    }
}

/// The account may not do what publishing needs.
pub(super) fn denied(open: &Open, denial: &Denial) -> Verdict {
    let at = open.connection.named();
    match denial {
        Denial::Subscribe(inbox) => Verdict::operator(format!(
            "{at} lets nobody answer us: this account may not subscribe to {}; allow it to subscribe to `_INBOX.>`",
            shown(inbox)
        )),
        Denial::Publish(subject) => {
            let subject = shown(subject);
            let said = format!(
                "this account may not publish to {subject}; allow it in the `publish` permissions of that account"
            );
            if open.acknowledged.load(Ordering::Relaxed) {
                // RFC 3463 §3.8: delivery not authorized. Other subjects go on.
                Verdict::delayed(EnhancedStatus::new(4, 7, 1), said)
            } else {
                Verdict::operator(format!("{at} does not let us publish: {said}"))
            }
        }
    }
}

/// An acknowledgement names another stream than was written to.
pub(super) fn acknowledged_elsewhere(
    open: &Open,
    stream: &str,
    expected: &StreamName,
    subject: &str,
) -> Verdict {
    Verdict::operator(format!(
        "{} acknowledges in the name of the stream {} what is for {expected}, so nothing counts as delivered; see who answers \
         on {}, and allow nobody but the stream to",
        open.connection.named(),
        shown(stream),
        shown(subject)
    ))
}

/// The stream, or the server, refused it in words; or the connection broke.
pub(super) fn refused(open: &Open, error: &PublishError) -> Verdict {
    let at = open.connection.named();
    let source = error.source();
    if let Some(said) = source.and_then(|source| source.downcast_ref::<jetstream::Error>()) {
        return of_stream(at, said);
    }
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        let limit = open.connection.client().max_payload();
        return Verdict::failed(
            TOO_LARGE,
            format!("the event is greater than the {limit} bytes of max_payload of {at}"),
        );
    }
    let detail = shown(&error.to_string());
    Verdict::down(format!(
        "{at} ended the connection ({detail}); check whether nats-server runs, and its log"
    ))
}

/// By the server's `err_code`, or else by its status as in HTTP.
fn of_stream(at: &str, error: &jetstream::Error) -> Verdict {
    let said = shown(&error.to_string());
    match error.error_code() {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            Verdict::failed(TOO_LARGE, said)
        }
        ErrorCode::STREAM_NOT_MATCH => Verdict::delayed(
            UNROUTABLE,
            format!(
                "another stream takes this subject: {said}; correct `stream`, or the subjects of the streams"
            ),
        ),
        ErrorCode::STREAM_SEALED => {
            Verdict::operator(format!("{at}: the stream is sealed: {said}; name another in `stream`"))
        }
        ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED
        | ErrorCode::STREAM_TOO_MANY_REQUESTS
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES => Verdict::Destination(Health::Throttled {
            retry_after: None,
            reason: format!(
                "{at} has no room: {said}; raise the limits of the stream or the account, or let its readers catch up"
            ),
        }),
        _ if error.code() >= 500 => Verdict::down(format!(
            "{at} cannot store now: {said}; look into its log, it is tried again by itself"
        )),
        _ => Verdict::delayed(EnhancedStatus::new(4, 3, 0), said),
    }
}

impl Shared {
    /// Nobody acknowledged: what the state of the stream says of that.
    pub(super) fn without_answer(
        &self,
        open: &Open,
        unanswered: Unanswered,
        state: &StreamState,
        subject: &str,
    ) -> Verdict {
        let (at, stream) = (open.connection.named(), &self.stream);
        match state {
            StreamState::Takes(subjects) if subjects.iter().any(|filter| covers_subject(filter, subject)) => {
                let why = match unanswered {
                    Unanswered::NoResponder => "has no leader".to_owned(),
                    Unanswered::Silence => {
                        format!("acknowledges nothing within {} s", self.limits.timeout.as_secs())
                    }
                };
                Verdict::down(format!(
                    "{at}: stream {stream} {why}; look at `nats stream info {stream}` and the server's log"
                ))
            }
            StreamState::Takes(subjects) => Verdict::delayed(
                UNROUTABLE,
                format!(
                    "stream {stream} does not take {}, only {}; add it with `nats stream edit {stream} --subjects`",
                    shown(subject),
                    shown(&subjects.join(", "))
                ),
            ),
            StreamState::Made => {
                Verdict::down(format!("{at}: stream {stream} was made and takes nothing yet"))
            }
            StreamState::Absent => Verdict::operator(format!(
                "{at} has no stream {stream}; make it with `nats stream add {stream} --subjects '{}'`, or say under `create` how \
                 it is made",
                shown(subject)
            )),
            StreamState::Unmade(said) => Verdict::operator(format!(
                "{at} does not make stream {stream}: {said}; correct `create`, or make it with `nats stream add {stream}`"
            )),
            StreamState::NoJetStream(said) => Verdict::operator(format!(
                "{at} has no JetStream for us: {said}; enable `jetstream` in the configuration of the server and the account"
            )),
            StreamState::Denied(what) => Verdict::operator(format!(
                "{at} does not say whether there is a stream {stream}: this account may not use {what}; allow it, and make the \
                 stream there with `nats stream add {stream}` if it is absent"
            )),
            StreamState::Unknown(said) => {
                let why = match unanswered {
                    Unanswered::NoResponder => "knows of no stream for us",
                    Unanswered::Silence => "does not answer",
                };
                Verdict::down(format!(
                    "{at} {why} ({said}); look into its log, and whether its cluster has a leader"
                ))
            }
        }
    }
}

/// RFC 3463 §3.4: message too big for system.
const TOO_LARGE: EnhancedStatus = EnhancedStatus::new(5, 3, 4);
/// RFC 3463 §3.5: unable to route.
const UNROUTABLE: EnhancedStatus = EnhancedStatus::new(4, 4, 4);
