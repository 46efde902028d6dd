//! What a broker's answer means: for a message, or for the destination.
//!
//! A topic that is not permitted or not valid concerns that message alone, since a rule's template may have made it of
//! what a sender wrote.

use crate::config::settings;
use crate::delivery::broker::{Endpoint, words};
use crate::delivery::outcome::{Handoff, Health, Outcome};
use crate::message::recipient::EnhancedStatus;
use crate::session::mqtt_publisher::{Ending, Fate, Stage};
use crate::wire::mqtt::{Acknowledgement, ConnAck, Disconnect, ReasonCode};

/// Whom an answer concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This message alone.
    Message(Outcome),
    /// Everything that goes there.
    Destination(Health),
}

/// What became of a message.
pub(super) fn of(endpoint: &Endpoint, fate: Fate) -> Verdict {
    let Acknowledgement { reason, reason_string } = match fate {
        Fate::Acknowledged(acknowledgement) => acknowledgement,
        Fate::TooLarge { octets, limit } => {
            let text = format!("its packet has {octets} octets, and the broker takes {limit}");
            return Verdict::Message(Outcome::Failed { status: EnhancedStatus::new(5, 3, 4), text });
        }
    };
    let said = said(reason, reason_string.as_deref());
    let failed = |status, text| Verdict::Message(Outcome::Failed { status, text });
    let delayed = |status, text| Verdict::Message(Outcome::Delayed { status, text, retry_after: None });
    match reason {
        ReasonCode::QUOTA_EXCEEDED | ReasonCode::SERVER_BUSY | ReasonCode::MESSAGE_RATE_TOO_HIGH => {
            Verdict::Destination(words::throttled(format!(
                "{endpoint} wants no more for now: {said}; raise the quota of this client there"
            )))
        }
        ReasonCode::TOPIC_NAME_INVALID => failed(EnhancedStatus::new(5, 1, 3), said),
        ReasonCode::PACKET_TOO_LARGE => failed(EnhancedStatus::new(5, 3, 4), said),
        ReasonCode::PAYLOAD_FORMAT_INVALID => failed(EnhancedStatus::new(5, 6, 0), said),
        ReasonCode::NOT_AUTHORIZED => {
            let text = format!("{said}; let this client write to the topic in the broker's access list");
            delayed(EnhancedStatus::new(4, 7, 1), text)
        }
        refused if refused.is_failure() => delayed(EnhancedStatus::new(4, 3, 0), said),
        _ => Verdict::Message(Outcome::Delivered { text: said, handoff: Handoff::Silent }),
    }
}

/// What the end of a connection says of the destination.
pub(super) fn health(endpoint: &Endpoint, settings: &settings::Mqtt, ending: &Ending) -> Health {
    let at = endpoint.to_string();
    match ending {
        Ending::Quit => words::lost(&at, "acknowledgements", &"we took leave"),
        Ending::Lost(Stage::Connecting) => {
            // Under TLS 1.3 a certificate is judged after the handshake.
            let wanted = if endpoint.has_tls() { "a `tls.client_certificate` that it knows" } else { "TLS" };
            words::down(format!(
                "{at} ended the connection instead of answering CONNECT; it may speak MQTT 3 only, or want {wanted}: check \
                 `url` and its log"
            ))
        }
        Ending::Lost(stage) => words::lost(&at, &stage.to_string(), &"without a word"),
        Ending::TimedOut(stage) => words::silent(&at, &stage.to_string(), endpoint.timeout),
        Ending::NotMqtt(stage, error) => words::down(format!(
            "{at} says no MQTT 5 where {stage} should be ({error}); check the port in `url`, and write `mqtts://` where it \
             has TLS"
        )),
        Ending::OutOfTurn(stage) => {
            words::down(format!("{at} breaks MQTT 5 where {stage} should be; look into its log"))
        }
        Ending::NoQos1 => words::operator(format!(
            "{at} acknowledges nothing (its maximum is QoS 0), so nothing is sent; raise its `max_qos`"
        )),
        Ending::Refused(ack) => refused(&at, settings, ack),
        Ending::Disconnected(farewell) => disconnected(&at, farewell),
    }
}

fn refused(at: &str, settings: &settings::Mqtt, ack: &ConnAck) -> Health {
    let said = said(ack.reason, ack.reason_string.as_deref());
    match ack.reason {
        ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::NOT_AUTHORIZED => {
            let user = settings.broker.user.as_deref();
            let fix = match user {
                Some(user) => format!("check the password of {user:?} in its file, and the account there"),
                None => "add `user` and `password_file`, or a `client_certificate` that it knows".to_owned(),
            };
            words::operator(format!("{at} does not let us in: {said}; {fix}"))
        }
        ReasonCode::MQTT_3_ONLY | ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => words::operator(format!(
            "{at} does not speak MQTT 5: {said}; enable it there, or name another broker"
        )),
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => words::operator(format!(
            "{at} does not take our client id: {said}; write a `client_id` of up to 23 letters and digits"
        )),
        ReasonCode::BANNED | ReasonCode::BAD_AUTHENTICATION_METHOD => {
            words::operator(format!("{at} does not let us in: {said}; ask its administrator"))
        }
        ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED => {
            moved(at, &said, ack.server_reference.as_deref())
        }
        ReasonCode::QUOTA_EXCEEDED | ReasonCode::SERVER_BUSY | ReasonCode::CONNECTION_RATE_EXCEEDED => {
            words::throttled(format!("{at} takes no more connections for now: {said}"))
        }
        _ => words::down(format!("{at} refuses the connection: {said}; look into its log")),
    }
}

fn disconnected(at: &str, farewell: &Disconnect) -> Health {
    let said = said(farewell.reason, farewell.reason_string.as_deref());
    match farewell.reason {
        ReasonCode::SESSION_TAKEN_OVER => words::operator(format!(
            "{at} ended the connection: {said}; another client has our `client_id`, give each its own"
        )),
        ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED => {
            words::operator(format!("{at} ended the connection: {said}; ask its administrator"))
        }
        ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED => {
            moved(at, &said, farewell.server_reference.as_deref())
        }
        ReasonCode::QUOTA_EXCEEDED
        | ReasonCode::SERVER_BUSY
        | ReasonCode::MESSAGE_RATE_TOO_HIGH
        | ReasonCode::CONNECTION_RATE_EXCEEDED => {
            words::throttled(format!("{at} wants no more for now: {said}"))
        }
        _ => words::down(format!("{at} ended the connection: {said}; look into its log")),
    }
}

fn moved(at: &str, said: &str, reference: Option<&str>) -> Health {
    let to = reference.map_or_else(String::new, |to| format!(" {}", words::quoted(to)));
    words::operator(format!("{at} sends us elsewhere{to}: {said}; write the other broker's address in `url`"))
}

fn said(reason: ReasonCode, words: Option<&str>) -> String {
    match words {
        Some(words) => format!("{reason}: {}", words::quoted(words)),
        None => reason.to_string(),
    }
}
