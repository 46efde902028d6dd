//! NATS: a stream of JetStream as a place that messages go, and how its servers are reached.

use std::fmt;
use std::time::Duration;

use super::{BrokerTls, EventMode, QueueLimits, Secret};

/// A stream of JetStream as a destination; `to` is the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nats {
    /// Where it is.
    pub cluster: NatsCluster,
    /// The stream that must take what is published, so that a wrong subject ends in no other.
    pub stream: StreamName,
    /// How the stream is made where it is absent; `None`: its absence is for the operator to mend.
    pub create: Option<StreamPlan>,
    /// How events are laid out.
    pub event: EventMode,
    /// How much it takes.
    pub limits: QueueLimits,
}

impl Nats {
    /// The greatest message that a server takes as it is installed (`max_payload`).
    pub const USUAL_SIZE: u64 = 1 << 20;
}

/// How the servers of one cluster are reached. Any of them serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsCluster {
    /// At least one.
    pub servers: Vec<NatsServer>,
    /// What TLS needs; `None`: TLS only where a server demands it.
    pub tls: Option<BrokerTls>,
    /// Who we are there.
    pub auth: NatsAuth,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    /// Host name (checked against its certificate) or IP address.
    pub host: String,
    /// Usually 4222.
    pub port: u16,
}

/// `nats.plant.example:4222`; an IPv6 address in brackets.
impl fmt::Display for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Who we are at the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsAuth {
    /// Nobody in particular, or whom our certificate names.
    None,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A token that stands for a user.
    Token(Secret),
    /// The seed of an NKey (`SU…`): it signs what the server asks for and is never sent.
    Nkey(Secret),
    /// A credentials file: a user's JWT and the seed of its NKey.
    Credentials(Secret),
}

/// The name of a stream: no spaces, dots, wildcards or path separators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamName(String);

impl StreamName {
    /// The name, if streams may have it (NATS ADR-6).
    ///
    /// # Errors
    /// What no name may have, for example "has a `.`".
    pub fn new(name: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("is empty".to_owned());
        }
        let unfit = |letter: &char| {
            letter.is_whitespace() || letter.is_control() || matches!(letter, '.' | '*' | '>' | '/' | '\\')
        };
        match name.chars().find(unfit) {
            Some(letter) => Err(format!("has a {letter:?}")),
            None if name.len() > Self::LONGEST => Err(format!("is longer than {} bytes", Self::LONGEST)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It is the name of a folder on the server.
    const LONGEST: usize = 255;
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a stream is made. It lies in files; a message that it has acknowledged survives its server's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPlan {
    /// What it takes; at least one.
    pub subjects: Vec<String>,
    /// On how many servers it lies: 1 to 5.
    pub replicas: usize,
    /// Messages older than this go.
    pub max_age: Option<Duration>,
    /// It holds at most so many bytes.
    pub max_bytes: Option<u64>,
    /// It holds at most so many messages.
    pub max_messages: Option<u64>,
    /// What becomes of a message for which there is no room.
    pub discard: Discard,
    /// How long a repeat is recognised by its id.
    pub duplicate_window: Duration,
}

/// What becomes of a message for which a stream has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discard {
    /// It takes the place of the oldest.
    #[default]
    Old,
    /// It is refused, and stays in the spool.
    New,
}

/// Whether a stream can take this: dot-separated tokens, none empty, among which wildcards may stand.
///
/// # Errors
/// What is wrong, for example "has an empty token".
pub fn check_subject_filter(subject: &str) -> Result<(), &'static str> {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() {
            return Err(if subject.is_empty() { "is empty" } else { "has an empty token" });
        }
        if token.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return Err("has white space or controls");
        }
        if token == ">" && tokens.peek().is_some() {
            return Err("has a `>` that is not its last token");
        }
        if token.len() > 1 && token.contains(['*', '>']) {
            return Err("has a wildcard within a token");
        }
    }
    if subject.starts_with('$') {
        return Err("begins with `$`, which is the server's own");
    }
    if subject.len() > LONGEST_SUBJECT {
        return Err("is longer than 255 bytes");
    }
    Ok(())
}

/// Whether a stream that takes `filter` takes `subject`: `*` stands for one token, a last `>` for one or more.
#[must_use]
pub fn covers_subject(filter: &str, subject: &str) -> bool {
    let (mut wanted, mut there) = (filter.split('.'), subject.split('.'));
    loop {
        match (wanted.next(), there.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(there)) if wanted == there => {}
            _ => return false,
        }
    }
}

/// The server takes 4 KiB for the whole line; what lies in a stream is best kept far below.
const LONGEST_SUBJECT: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_that_a_server_would_read_otherwise_are_refused() {
        for (subject, verdict) in [
            ("plant.ups.alarm", Ok(())),
            ("plant.停電", Ok(())),
            ("plant.*.>", Ok(())),
            ("plant.$SYS", Ok(())),
            ("", Err("is empty")),
            ("plant..alarm", Err("has an empty token")),
            ("plant.", Err("has an empty token")),
            ("plant.>.ups", Err("has a `>` that is not its last token")),
            ("plant.a*b", Err("has a wildcard within a token")),
            ("plant ups", Err("has white space or controls")),
            ("plant\r\nPUB x", Err("has white space or controls")),
            ("$JS.API.>", Err("begins with `$`, which is the server's own")),
        ] {
            assert_eq!(check_subject_filter(subject), verdict, "{subject:?}");
        }
        assert_eq!(check_subject_filter(&"x".repeat(256)), Err("is longer than 255 bytes"));
    }

    #[test]
    fn wildcards_cover_what_they_stand_for() {
        for (filter, subject, covers) in [
            ("plant.>", "plant.ups.alarm", true),
            ("plant.>", "plant", false),
            ("plant.*", "plant.ups", true),
            ("plant.*", "plant.ups.alarm", false),
            ("*.ups", "plant.ups", true),
            ("plant.ups", "plant.ups.alarm", false),
            (">", "plant", true),
        ] {
            assert_eq!(covers_subject(filter, subject), covers, "{filter} {subject}");
        }
    }

    #[test]
    fn a_stream_has_a_name_that_can_be_a_folder() {
        assert!(StreamName::new("MAILSLOT").is_ok());
        for name in ["", "A.B", "A B", "A*", "../x", "A\\B"] {
            assert!(StreamName::new(name).is_err(), "{name:?}");
        }
    }
}
