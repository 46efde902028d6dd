//! A question for a name that nobody was heard to answer.

use std::net::IpAddr;

use jiff::Timestamp;

use super::line::bounded_line;
use super::reading::upper;
use crate::wire::message_text::name_text;
use crate::wire::netbios_name::{NameType, NetbiosName};
use crate::wire::oem_text::SenderText;

/// A host asked by broadcast for a name, and no answer was heard. Answers are sent to the asker alone, so a listener
/// beside it hardly ever hears one: that the asker repeats its question is what tells that nobody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameQuerySeen {
    /// When it asked last.
    pub at: Timestamp,
    /// Who asked.
    pub asker: IpAddr,
    /// The name without its type, in upper case; one line of at most 32 characters.
    pub name: String,
    /// Its type; `<03>` is the messenger.
    pub name_type: NameType,
    /// How sure it is that nobody answered.
    pub silence: Silence,
}

/// How sure it is that a question for a name stayed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It was asked once; an answer may have gone to the asker unheard, or its program does not repeat.
    AskedOnce,
    /// It was repeated, as RFC 1002 §5.1.2.1 wants while no answer comes (after 250 ms, at most three times in all).
    Repeated,
}

impl NameQuerySeen {
    /// A question for `name` by `asker`, whose text is `sender`.
    #[must_use]
    pub fn new(
        at: Timestamp,
        asker: IpAddr,
        name: &NetbiosName,
        sender: SenderText,
        silence: Silence,
    ) -> Self {
        let text = name_text(sender.decode(name.text()).text);
        Self {
            at,
            asker,
            name: upper(&bounded_line(&text, super::MOST_NAME)),
            name_type: name.name_type(),
            silence,
        }
    }
}
