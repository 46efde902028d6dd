//! Why a connection of a publisher ended, and how far it had come.

use std::fmt;

use crate::wire::amqp::Close;
use crate::wire::reader::WireError;

/// How far a connection has come; displayed as what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connected; the broker has not greeted.
    Greeting,
    /// We have said who we are.
    Login,
    /// We have asked for the virtual host.
    VirtualHost,
    /// We have asked for a channel.
    Channel,
    /// We have asked whether the exchange is there.
    Exchange,
    /// We have asked for confirms.
    Confirms,
    /// Messages may be published.
    Open,
    /// Over.
    Closed,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "its greeting",
            Self::Login => "the answer to the login",
            Self::VirtualHost => "the virtual host",
            Self::Channel => "a channel",
            Self::Exchange => "word of the exchange",
            Self::Confirms => "publisher confirms",
            Self::Open => "confirms",
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
    /// What came is no AMQP 0-9-1.
    NotAmqp(Stage, WireError),
    /// What came is AMQP, but not what belongs there.
    OutOfTurn(Stage),
    /// The broker offers no way of login that we have.
    NoMechanism {
        /// `PLAIN` or `EXTERNAL`.
        wanted: &'static str,
        /// What it offers instead.
        offered: String,
    },
    /// The broker ended the connection and said why.
    ConnectionClosed(Stage, Close),
    /// The broker ended the channel and said why.
    ChannelClosed(Stage, Close),
}
