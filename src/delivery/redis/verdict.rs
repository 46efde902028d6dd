//! What an error of a Redis server means: for the message, or for all of its stream, or for the whole destination.
//!
//! No message is blamed for the state of the server. A stream that a rule's template names may be wrong while others
//! are right, and whoever writes the fields of a template must not stop a destination by them: such a fault delays that
//! message alone.

use redis::Value;

use crate::config::settings;
use crate::delivery::broker::words::{self, down, operator, throttled};
use crate::delivery::outcome::{Health, Outcome};
use crate::message::recipient::EnhancedStatus;

/// Whom an answer concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This message alone.
    Message(Outcome),
    /// Everything that goes there.
    Destination(Health),
}

/// How far a fault of one stream reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// It is the stream of the settings.
    Destination,
    /// It is one that a rule named.
    Stream,
}

/// What the answer `code said` to XADD means.
pub(super) fn of(at: &str, settings: &settings::Redis, code: &str, said: &str, scope: Scope) -> Verdict {
    let quoted = words::quoted(&format!("{code} {said}"));
    if let Some(health) = state(at, settings, code, said) {
        return Verdict::Destination(health);
    }
    let fix = match code {
        "WRONGTYPE" => {
            "under that name the server keeps something that is no stream; name another stream, or delete the key"
        }
        "NOPERM" => "let the user add to it: `ACL SETUSER … +xadd ~mailslot`",
        "MOVED" | "ASK" => "in a cluster, name the node that has the stream in `url`",
        "ERR" if is_too_large(said) => {
            let status = EnhancedStatus::new(5, 3, 4);
            let text = format!("{quoted}: the server's `proto-max-bulk-len` is smaller than the event");
            return Verdict::Message(Outcome::Failed { status, text });
        }
        _ => {
            let status = EnhancedStatus::new(4, 3, 0);
            return Verdict::Message(Outcome::Delayed { status, text: quoted, retry_after: None });
        }
    };
    match scope {
        Scope::Destination => Verdict::Destination(operator(format!(
            "{at} refuses the stream {:?}: {quoted}; {fix}",
            settings.stream
        ))),
        Scope::Stream => Verdict::Message(Outcome::Delayed {
            status: EnhancedStatus::new(4, 3, 5),
            text: format!("{quoted}; {fix}"),
            retry_after: None,
        }),
    }
}

/// What the answer `code said` to AUTH, SELECT or PING means.
pub(super) fn introduction(at: &str, settings: &settings::Redis, code: &str, said: &str) -> Health {
    let quoted = words::quoted(&format!("{code} {said}"));
    if let Some(health) = state(at, settings, code, said) {
        return health;
    }
    if said.contains("without any password configured") || said.contains("no password is set") {
        return operator(format!(
            "{at} has no password for this user: {quoted}; remove ours, or set one there"
        ));
    }
    if said.contains("DB index") || code == "NOPERM" {
        let database = settings.database;
        return operator(format!(
            "{at} does not let us use database {database}: {quoted}; check the number behind the slash of `url`, and the \
             user's `+select`"
        ));
    }
    if said.contains("wrong number of arguments") {
        return operator(format!(
            "{at} knows no users: {quoted}; remove `user`, or install Redis 6 or later"
        ));
    }
    operator(format!("{at} does not let us in: {quoted}; check `url`, and that a Redis server answers there"))
}

/// What the number of replicas in the answer to WAIT means.
pub(super) fn replicas(at: &str, settings: &settings::Redis, answer: Option<&Value>) -> Result<(), Health> {
    match answer {
        Some(Value::Int(count)) if *count >= i64::from(settings.replicas) => Ok(()),
        Some(Value::Int(count)) => Err(down(format!(
            "{at} has {count} replicas that follow, and `replicas` wants {}; start them, or lower it",
            settings.replicas
        ))),
        Some(Value::ServerError(error)) => Err(operator(format!(
            "{at} refuses WAIT: {}; let the user do it (`+wait`), or remove `replicas`",
            words::quoted(&format!("{} {}", error.code(), error.details().unwrap_or_default()))
        ))),
        _ => Err(down(format!("{at} does not say how many replicas follow; look into its log"))),
    }
}

/// What concerns everything, whatever was asked.
fn state(at: &str, settings: &settings::Redis, code: &str, said: &str) -> Option<Health> {
    let quoted = words::quoted(&format!("{code} {said}"));
    Some(match code {
        "OOM" => throttled(format!(
            "{at} is full: {quoted}; raise `maxmemory` there, or keep fewer entries with `max_length`"
        )),
        "ERR" if said.contains("max number of clients") => {
            throttled(format!("{at} has too many clients: {quoted}; raise `maxclients` there"))
        }
        "LOADING" => down(format!("{at} still loads its data: {quoted}; it is tried again by itself")),
        "READONLY" => down(format!(
            "{at} is a replica: {quoted}; name the primary in `url`; after a failover it is found by itself"
        )),
        "MASTERDOWN" => {
            down(format!("{at} is a replica whose primary is gone: {quoted}; name the primary in `url`"))
        }
        "NOREPLICAS" => down(format!(
            "{at} misses replicas: {quoted}; start them, or lower `min-replicas-to-write` there"
        )),
        "CLUSTERDOWN" => {
            down(format!("{at} is part of a cluster that is down: {quoted}; `CLUSTER INFO` says why"))
        }
        "BUSY" | "TRYAGAIN" => down(format!("{at} is busy: {quoted}; it is tried again by itself")),
        "MISCONF" => operator(format!(
            "{at} takes no more because it cannot save: {quoted}; mend its disk, its log says what is wrong with it"
        )),
        "NOAUTH" => operator(format!(
            "{at} wants to know who we are: {quoted}; add `password_file`, and `user` where it has users"
        )),
        "WRONGPASS" => {
            let user = settings.broker.user.as_deref().unwrap_or("default");
            operator(format!(
                "{at} refuses user {user:?}: {quoted}; check `user` and the password in its file, and `ACL LIST` there"
            ))
        }
        "ERR" if said.contains("invalid password") => {
            operator(format!("{at} refuses the password: {quoted}; check the one in its file"))
        }
        "DENIED" | "-DENIED" => operator(format!(
            "{at} lets in only clients of its own host: {quoted}; set a password there, or switch its protected mode off"
        )),
        "ERR" if said.contains("unknown command") => operator(format!(
            "{at} has no streams or forbids them: {quoted}; Redis 5 or later is needed, with XADD not renamed"
        )),
        _ => return None,
    })
}

fn is_too_large(said: &str) -> bool {
    said.contains("bulk length") || said.contains("maximum allowed size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Broker, EventMode, QueueLimits, WrittenBroker, WrittenUrl};

    fn settings() -> settings::Redis {
        settings::Redis {
            broker: Broker {
                host: "redis.test".to_owned(),
                port: 6379,
                tls: None,
                user: Some("gw".to_owned()),
                password: None,
                written: WrittenBroker {
                    url: WrittenUrl::Plain("redis://redis.test".to_owned()),
                    user: None,
                },
            },
            database: 0,
            stream: "mailslot".to_owned(),
            max_length: None,
            replicas: 2,
            event: EventMode::Structured,
            limits: QueueLimits {
                in_flight: 1,
                rate: None,
                message_size: None,
                timeout: std::time::Duration::from_secs(1),
            },
        }
    }

    #[test]
    fn the_state_of_the_server_blames_no_message() {
        let answers = [
            ("OOM", "command not allowed when used memory > 'maxmemory'.", "throttled"),
            ("ERR", "max number of clients reached", "throttled"),
            ("LOADING", "Redis is loading the dataset in memory", "down"),
            ("READONLY", "You can't write against a read only replica.", "down"),
            ("NOREPLICAS", "Not enough good replicas to write.", "down"),
            ("CLUSTERDOWN", "The cluster is down", "down"),
            ("MISCONF", "Redis is configured to save RDB snapshots", "operator"),
            ("NOAUTH", "Authentication required.", "operator"),
            ("WRONGPASS", "invalid username-password pair or user is disabled.", "operator"),
            ("ERR", "unknown command 'XADD', with args beginning with: ", "operator"),
        ];
        for (code, said, expected) in answers {
            for scope in [Scope::Destination, Scope::Stream] {
                let verdict = of("redis.test:6379", &settings(), code, said, scope);
                let Verdict::Destination(health) = verdict else { panic!("{code}: {verdict:?}") };
                let found = match health {
                    Health::Up => "up",
                    Health::Throttled { .. } => "throttled",
                    Health::Down { .. } => "down",
                    Health::OperatorFault { .. } => "operator",
                };
                assert_eq!(found, expected, "{code}");
            }
        }
    }

    #[test]
    fn a_wrong_stream_of_a_rule_stops_no_other() {
        for (code, said) in [
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value"),
            ("NOPERM", "this user has no permissions to access one of the keys used as arguments"),
        ] {
            let of = |scope| of("redis.test:6379", &settings(), code, said, scope);
            assert!(matches!(of(Scope::Stream), Verdict::Message(Outcome::Delayed { .. })), "{code}");
            assert!(
                matches!(of(Scope::Destination), Verdict::Destination(Health::OperatorFault { .. })),
                "{code}"
            );
        }
    }

    #[test]
    fn an_event_that_the_server_never_takes_fails() {
        let verdict =
            of("redis.test:6379", &settings(), "ERR", "Protocol error: invalid bulk length", Scope::Stream);
        assert!(matches!(verdict, Verdict::Message(Outcome::Failed { .. })), "{verdict:?}");
    }

    #[test]
    fn too_few_replicas_hold_everything_back() {
        assert!(replicas("redis.test:6379", &settings(), Some(&Value::Int(2))).is_ok());
        assert!(replicas("redis.test:6379", &settings(), Some(&Value::Int(1))).is_err());
        assert!(replicas("redis.test:6379", &settings(), None).is_err());
    }
}
