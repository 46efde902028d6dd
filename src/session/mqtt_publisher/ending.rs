//! Why a connection of a publisher ended, and how far it had come.

use std::fmt;

use crate::wire::mqtt::{ConnAck, Disconnect};
use crate::wire::reader::WireError;

/// How far a connection has come; displayed as what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// We have said who we are.
    Connecting,
    /// Messages may be published.
    Open,
    /// Over.
    Closed,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "CONNACK",
            Self::Open => "acknowledgements",
            Self::Closed => "the end",
        })
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// We took leave.
    Quit,
    /// It was closed or broke.
    Lost(Stage),
    /// Nothing came in time.
    TimedOut(Stage),
    /// What came is no MQTT 5.
    NotMqtt(Stage, WireError),
    /// What came is MQTT, but not what belongs there.
    OutOfTurn(Stage),
    /// The server refused the connection.
    Refused(ConnAck),
    /// The server acknowledges nothing: its maximum is QoS 0.
    NoQos1,
    /// The server ended the connection and said why.
    Disconnected(Disconnect),
}
