//! What goes in and what comes out of a NetBIOS session.

use std::sync::Arc;
use std::time::Duration;

use crate::message::session_message::SessionMessage;
use crate::policy::called_name::CalledNames;

/// What a session knows of the gateway.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The names that it may be opened to.
    pub names: Arc<CalledNames>,
    /// How long it waits.
    pub timeouts: Timeouts,
}

/// How long a session waits for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to the end of the session request.
    pub request: Duration,
    /// From the first byte of a message to its end, however many blocks it has.
    pub message: Duration,
    /// Between messages. Keepalives and requests that were refused do not begin it anew.
    pub idle: Duration,
    /// For a message, after the client has negotiated as with a file server and learned that there is none.
    pub after_negotiate: Duration,
}

impl Default for Timeouts {
    /// The 30 s of a message are as long as WinPopup waits for an answer.
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            message: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            after_negotiate: Duration::from_secs(5),
        }
    }
}

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client.
    Bytes(&'a [u8]),
    /// What became of the message of [`Output::Deliver`].
    Decided(Decision),
    /// The client has closed its side, or the connection broke.
    Disconnected,
    /// The gateway stops: the session ends as soon as no message is under way.
    Shutdown,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is in the spool and survives a power cut.
    Durable,
    /// It repeats one that is durable already: the sender is told the same.
    Duplicate,
    /// It will not be delivered: the spool is full, the source too eager, a rule discards it, mailslots are off. The
    /// sender is told so: ERRDOS/71, request not accepted.
    Refused,
}

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these octets.
    Send(Vec<u8>),
    /// Decide about this message and answer with [`Input::Decided`]; until then nothing else is read. The client waits for
    /// the answer.
    Deliver(Box<SessionMessage>),
    /// A message was begun that will never be whole, and why.
    Abandoned(Abandoned),
    /// Close the connection; nothing comes after it.
    Closed(Ending),
}

/// Why a message that was begun is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abandoned {
    /// The session ended before its end.
    Incomplete,
    /// The client began another one instead.
    Restarted,
    /// Its text is longer than is taken; the client was told.
    TooLong,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The client closed the connection.
    Disconnected,
    /// The called name is none of ours: 83 82.
    NameNotPresent,
    /// The called name is this host's, for a service that it does not offer: 83 80.
    NotListening,
    /// The client wanted a file server.
    FileServer,
    /// What came is no packet of the session service.
    NotNetbios,
    /// A packet or an SMB is broken or longer than any message needs.
    Malformed,
    /// A packet that a client does not send, or not then.
    OutOfStep,
    /// The client took too long.
    TimedOut,
    /// The gateway stops.
    Shutdown,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Disconnected,
        Self::NameNotPresent,
        Self::NotListening,
        Self::FileServer,
        Self::NotNetbios,
        Self::Malformed,
        Self::OutOfStep,
        Self::TimedOut,
        Self::Shutdown,
    ];

    /// As a label and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::NameNotPresent => "name_not_present",
            Self::NotListening => "not_listening",
            Self::FileServer => "file_server",
            Self::NotNetbios => "not_netbios",
            Self::Malformed => "malformed",
            Self::OutOfStep => "out_of_step",
            Self::TimedOut => "timed_out",
            Self::Shutdown => "shutdown",
        }
    }
}
