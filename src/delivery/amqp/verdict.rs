//! What a broker's answer means: for a message, or for the destination.
//!
//! A broker ends the channel, and with it everything on its way, over a single message that it can never take. The
//! message is known by what the broker says of it, and alone has to answer for it.

use crate::config::settings;
use crate::delivery::broker::{Endpoint, words};
use crate::delivery::outcome::{Handoff, Health, Outcome};
use crate::message::recipient::EnhancedStatus;
use crate::session::amqp_publisher::{Confirmation, Ending, Stage};
use crate::wire::amqp::Close;

/// Who made a broker end the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Culprit {
    /// This message.
    This(Outcome),
    /// Another message; this one may go again.
    Another,
    /// No message.
    Nobody,
}

/// What the broker did with a message.
pub(super) fn outcome(confirmation: Confirmation) -> Outcome {
    match confirmation {
        Confirmation::Acked => Outcome::Delivered { text: "confirmed".to_owned(), handoff: Handoff::Silent },
        Confirmation::Nacked => Outcome::Delayed {
            status: EnhancedStatus::new(4, 2, 2),
            text: "basic.nack: a queue is full (`x-overflow: reject-publish`) or cannot store it".to_owned(),
            retry_after: None,
        },
        Confirmation::Returned { code, text } => Outcome::Delayed {
            status: EnhancedStatus::new(4, 4, 4),
            text: format!(
                "{code} {}: no queue is bound for this routing key; bind one to the exchange, or correct `to`",
                words::quoted(&text)
            ),
            retry_after: None,
        },
    }
}

/// Whether the message with this routing key and so many octets made the broker end the channel.
pub(super) fn culprit(ending: &Ending, routing_key: &str, octets: usize) -> Culprit {
    let Ending::ChannelClosed(Stage::Open, Close { code, text }) = ending else { return Culprit::Nobody };
    let said = words::quoted(text);
    match code {
        406 if text.contains("message size ") => {
            let size: Option<usize> = text
                .split_once("message size ")
                .and_then(|(_, rest)| rest.split_ascii_whitespace().next()?.parse().ok());
            if size.is_none_or(|size| size == octets) {
                let status = EnhancedStatus::new(5, 3, 4);
                Culprit::This(Outcome::Failed { status, text: format!("{code} {said}") })
            } else {
                Culprit::Another
            }
        }
        403 if text.contains("access to topic '") => {
            if text.contains(&format!("access to topic '{routing_key}'")) {
                let fix = "let the user write to it: `rabbitmqctl set_topic_permissions`";
                Culprit::This(Outcome::Delayed {
                    status: EnhancedStatus::new(4, 7, 1),
                    text: format!("{code} {said}; {fix}"),
                    retry_after: None,
                })
            } else {
                Culprit::Another
            }
        }
        _ => Culprit::Nobody,
    }
}

/// The broker has no memory or no disk left for messages. The connection stays, so asking again soon costs nothing.
pub(super) fn blocked(endpoint: &Endpoint, reason: &str) -> Health {
    Health::Throttled {
        retry_after: Some(BLOCKED_WAIT),
        reason: format!(
            "{endpoint} takes no messages for now (connection.blocked): it is {}; free memory or disk there, \
             `rabbitmq-diagnostics alarms` says which",
            words::quoted(reason)
        ),
    }
}

/// What the end of a connection says of the destination.
pub(super) fn health(endpoint: &Endpoint, settings: &settings::Amqp, ending: &Ending) -> Health {
    let at = endpoint.to_string();
    match ending {
        Ending::Quit => words::lost(&at, "confirms", &"we took leave"),
        Ending::Lost(stage) => words::lost(&at, &stage.to_string(), &"without a word"),
        Ending::TimedOut(stage) => words::silent(&at, &stage.to_string(), endpoint.timeout),
        Ending::NotAmqp(stage, error) => words::down(format!(
            "{at} says no AMQP 0-9-1 where {stage} should be ({error}); check the port in `url`, and write `amqps://` \
             where it has TLS"
        )),
        Ending::OutOfTurn(stage) => {
            words::down(format!("{at} breaks AMQP 0-9-1 where {stage} should be; look into its log"))
        }
        Ending::NoMechanism { wanted, offered } => no_mechanism(&at, wanted, offered),
        Ending::ConnectionClosed(stage, close) => connection_closed(&at, settings, *stage, close),
        Ending::ChannelClosed(_, close) => channel_closed(&at, settings, close),
    }
}

fn no_mechanism(at: &str, wanted: &str, offered: &str) -> Health {
    let fix = if wanted == "EXTERNAL" {
        "enable rabbitmq_auth_mechanism_ssl there, or add `user` and `password_file`"
    } else {
        "enable it there, or use `tls.client_certificate` alone where EXTERNAL is offered"
    };
    words::operator(format!("{at} does not offer the login {wanted}, only {}; {fix}", words::quoted(offered)))
}

fn connection_closed(at: &str, settings: &settings::Amqp, stage: Stage, close: &Close) -> Health {
    let Close { code, text } = close;
    let said = format!("{code} {}", words::quoted(text));
    let host = settings.virtual_host.as_str();
    match code {
        403 if stage == Stage::Login => {
            let fix = match &settings.broker.user {
                Some(user) => {
                    format!("check the password of {user:?} in its file, and `rabbitmqctl authenticate_user`")
                }
                None => {
                    "check that the broker knows a user with the name in `tls.client_certificate`".to_owned()
                }
            };
            words::operator(format!("{at} refuses the login: {said}; {fix}"))
        }
        530 | 402 if text.contains("limit") => {
            words::throttled(format!("{at} takes no more connections: {said}; raise the limit there"))
        }
        530 | 402 | 403 => words::operator(format!(
            "{at} does not let us use the virtual host {host:?}: {said}; check what stands behind the slash of `url`, and \
             `rabbitmqctl set_permissions -p {host}`"
        )),
        320 => words::down(format!("{at} closes its connections: {said}; it is tried again by itself")),
        _ => words::down(format!("{at} closed the connection: {said}; look into its log")),
    }
}

fn channel_closed(at: &str, settings: &settings::Amqp, close: &Close) -> Health {
    let Close { code, text } = close;
    let said = format!("{code} {}", words::quoted(text));
    let (exchange, host) = (settings.exchange.as_str(), settings.virtual_host.as_str());
    match code {
        404 => words::operator(format!(
            "{at} has no exchange {exchange:?}: {said}; declare it there, for example `rabbitmqadmin declare exchange \
             name={exchange} type=topic durable=true`, or correct `exchange`"
        )),
        403 => words::operator(format!(
            "{at} does not let us write to the exchange {exchange:?}: {said}; `rabbitmqctl set_permissions -p {host} … '' \
             '{exchange}' ''`"
        )),
        _ => words::down(format!("{at} closed the channel: {said}; look into its log")),
    }
}

/// Between two looks at a broker that has no room.
const BLOCKED_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, text: &str) -> Ending {
        Ending::ChannelClosed(Stage::Open, Close { code, text: text.to_owned() })
    }

    #[test]
    fn a_message_that_is_too_large_answers_for_it_alone() {
        let ending =
            closed(406, "PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536");
        assert!(matches!(culprit(&ending, "a", 70_000), Culprit::This(Outcome::Failed { .. })));
        assert_eq!(culprit(&ending, "a", 300), Culprit::Another);
    }

    #[test]
    fn a_topic_that_is_not_permitted_delays_those_who_use_it_alone() {
        let ending = closed(
            403,
            "ACCESS_REFUSED - access to topic 'plant.x' in exchange 'amq.topic' in vhost '/' refused",
        );
        assert!(matches!(culprit(&ending, "plant.x", 1), Culprit::This(Outcome::Delayed { .. })));
        assert_eq!(culprit(&ending, "plant.y", 1), Culprit::Another);
        let exchange =
            closed(403, "ACCESS_REFUSED - access to exchange 'mailslot' in vhost '/' refused for user 'gw'");
        assert_eq!(culprit(&exchange, "plant.x", 1), Culprit::Nobody);
    }
}
