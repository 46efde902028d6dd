//! What goes into a session, what comes out of it, and how it ends.

use super::Denial;
use super::profile::TlsSession;
use super::questions::{Answer, ContentFacts, Question};

/// What happens to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client, in pieces of any size up to what `poll_read` allowed.
    Bytes(&'a [u8]),
    /// The handshake that [`Output::StartTls`] asked for succeeded.
    TlsEstablished(TlsSession),
    /// The client closed the connection, or it broke.
    Disconnected,
    /// The answer to the open question.
    Answer(Answer),
    /// The gateway stops: an open transaction may end, then 421 4.3.2.
    Shutdown,
}

/// What the caller must do.
#[derive(Debug)]
pub enum Output {
    /// Write one reply.
    Reply {
        /// Its code, for the metrics.
        code: u16,
        /// All its lines, with line ends.
        octets: Vec<u8>,
    },
    /// Begin the TLS handshake. Octets read before it must be thrown away (RFC 3207 §6); none were read past STARTTLS.
    StartTls,
    /// Answer this with [`Input::Answer`].
    Ask(Question),
    /// A transaction's content begins: what comes is written down, behind a trace header of these facts.
    BeginContent(ContentFacts),
    /// Octets of the content: dots undone, line ends CRLF.
    Content(Vec<u8>),
    /// The transaction whose content was begun is over without [`Question::Store`]: nothing of it stays.
    AbandonContent(Abandonment),
    /// A sender or a recipient was refused by policy: for the metrics and the log. Its reply comes by itself.
    Denied {
        /// What was refused, and why.
        denial: Denial,
        /// The path that it is about.
        path: String,
    },
    /// The RCPT whose turn it was is answered without a delay: the next in the line may go.
    TurnOver,
    /// Close the connection; the session is over.
    Closed(Ending),
}

/// Why the content of a transaction is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandonment {
    /// It is larger than the client may send, or has what no message may have: 552 or 554 at its end.
    Refused,
    /// Its end did not come: the client went away, began anew or was silent for too long, or the session had to end.
    Incomplete,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// QUIT.
    Quit,
    /// The client went away between transactions.
    Disconnected,
    /// The client went away in the middle of a transaction.
    Abandoned,
    /// The client went away while a reply to it was held.
    GaveUpWaiting,
    /// The client said nothing for too long: 421 4.4.2.
    TimedOut,
    /// Too many errors, or commands that do nothing: 421 4.7.0.
    TooManyErrors,
    /// The client talked before the greeting, or before the reply to a command that must be the last of its group
    /// (RFC 2920 §3.1): EHLO, DATA, AUTH.
    EarlyTalker,
    /// Where the next command begins cannot be known any more: BDAT without a length, a line or a content without end.
    OutOfStep,
    /// The client's network owes the tar pit too much: 421 4.7.0.
    InDebt,
    /// The tar pit is full: 421 4.7.0.
    TarpitFull,
    /// The account that the client proved is gone or has changed, its password included: 421 4.7.0.
    Revoked,
    /// The gateway stops.
    Shutdown,
}
