//! What goes in and what comes out of the sender of a message.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use crate::wire::netbios_name::NetbiosName;
use crate::wire::session_service::RefusalCode;
use crate::wire::smb::Status;

/// A message on its way to a receiver, its strings in the receiver's OEM code page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom the session is opened.
    pub called: NetbiosName,
    /// Who opens it.
    pub calling: NetbiosName,
    /// OriginatorName. A NUL in it is left out.
    pub from: Vec<u8>,
    /// DestinationName. A NUL in it is left out.
    pub to: Vec<u8>,
    /// The text, with the line ends that the receiver wants.
    pub text: Vec<u8>,
}

/// How a message is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A text of up to 128 bytes whole (D0), a longer one in blocks, as Windows does.
    WholeWhereItFits,
    /// In blocks (D5, D7 …, D6), which Samba wants.
    Blocks,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the receiver.
    Bytes(&'a [u8]),
    /// The receiver has closed its side, or the connection broke.
    Disconnected,
}

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these octets.
    Send(Vec<u8>),
    /// Close the connection; nothing comes after it.
    Closed(Outcome),
}

/// What became of a message on one connection. Its text tells an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has taken it and said so.
    Confirmed,
    /// There is no session with that name.
    SessionRefused(RefusalCode),
    /// The receiver is elsewhere (RFC 1002 §4.3.5).
    Retargeted(SocketAddrV4),
    /// The receiver did not take it.
    Refused(Status),
    /// The receiver hung up when the whole message came: it may know blocks only.
    HungUpOnWhole,
    /// The connection ended before the receiver confirmed anything.
    Lost(Stage),
    /// The receiver did not answer in time.
    TimedOut(Stage),
    /// What came is no answer of a receiver of messages.
    NotAReceiver(Stage),
}

/// How far a message had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The session was asked for.
    Opening,
    /// The message was being sent.
    Sending,
    /// All of it was sent: the receiver may have taken it.
    Sent,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed => f.write_str("the receiver confirmed it"),
            Self::SessionRefused(code) => refusal(*code, f),
            Self::Retargeted(elsewhere) => write!(f, "the receiver says that the name is at {elsewhere}"),
            Self::Refused(status) => refusal_of_message(*status, f),
            Self::HungUpOnWhole => f.write_str("the receiver hung up when the message came in one block"),
            Self::Lost(stage) => write!(f, "the connection ended {stage}"),
            Self::TimedOut(stage) => write!(f, "the receiver did not answer in time {stage}"),
            Self::NotAReceiver(stage) => {
                write!(f, "what answers there is no receiver of `net send` messages ({stage})")
            }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "when the session was asked for",
            Self::Sending => "in the middle of the message",
            Self::Sent => "before it confirmed the message, which it may have taken all the same",
        })
    }
}

fn refusal(code: RefusalCode, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let why = match code {
        RefusalCode::NOT_LISTENING_ON_CALLED_NAME => "nobody listens for messages there under this name",
        RefusalCode::NOT_LISTENING_FOR_CALLING_NAME => "it takes no messages from this sender",
        RefusalCode::CALLED_NAME_NOT_PRESENT => "it does not have this name",
        RefusalCode::INSUFFICIENT_RESOURCES => "it has no room for another session; try again later",
        _ => "it does not say why",
    };
    write!(f, "the receiver opens no session: {why} (error 0x{:02X})", code.0)
}

fn refusal_of_message(status: Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let why = match status {
        Status::REQUEST_NOT_ACCEPTED => "it accepts no messages now",
        Status::INVALID_PARAMETER => "it finds a part of the message invalid",
        Status::UNKNOWN_SMB => "it does not know messages",
        _ => "it does not say why in a way known here",
    };
    write!(
        f,
        "the receiver did not take the message: {why} (error class {}, code {})",
        status.class, status.code
    )
}

/// How long the receiver may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To answer the session request.
    pub session: Duration,
    /// To answer each part of the message; a receiver that shows it to somebody first may take long.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { session: Duration::from_secs(10), answer: Duration::from_secs(30) }
    }
}
