//! Legacy displays, as a place that messages go.

use crate::policy::rate::Rate;
use crate::wire::oem_text::CodePage;

/// How messages go to legacy displays. Such a destination is only there in mode answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displays {
    /// The NetBIOS name that messages come from; `None`: the host's.
    pub from: Option<String>,
    /// The code page of the displays; `None`: that of the senders that no exception names.
    pub code_page: Option<CodePage>,
    /// Whether a message may go where nobody confirms it.
    pub unconfirmed: Unconfirmed,
    /// Bytes of text in that code page, mark included; what is longer is cut.
    pub max_text: usize,
    /// Messages in a time, where limited.
    pub rate: Option<Rate>,
}

/// What becomes of a message that no display confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconfirmed {
    /// It goes to the mailslot, over UDP, and counts as delivered.
    Accept,
    /// It is tried again until a display confirms it, or it expires.
    Never,
}
