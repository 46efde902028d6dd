//! The content of a mail on its way into the spool: a trace header before it, what its header lacks, and what is wrong
//! with it.
//!
//! Streams: however long the content is, no more is held than the name of one header field. What the client sent stays as
//! it is, folding and 8-bit octets included.
//!
//! * Missing Date and Message-ID are added for own clients only (RFC 6409 §8): what comes from elsewhere is its sender's
//!   to say, and an added Message-ID would hide that two copies are one message.
//! * A missing From is never added. It names who wrote the message; the envelope does not know that, and a receiver that
//!   refuses such mail (RFC 5322 §3.6 wants one) tells the device's owner more than an invented author would. A
//!   destination that rewrites the sender gives one, by the operator's choice.
//! * Devices that send text without a header get the empty line that separates one from the other.

use super::trace::Trace;
use crate::wire::smtp::content::Coding;

/// Takes the content of one message apart as it comes.
#[derive(Debug)]
pub struct Intake {
    trace: Trace,
    missing: Missing,
    state: State,
    header_octets: usize,
    facts: IntakeFacts,
    has_date: bool,
    has_message_id: bool,
    fault: Option<IntakeFault>,
}

/// What becomes of a header without Date or Message-ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They are added: for trusted and authenticated clients, pickup and sendmail.
    Added,
    /// It stays as it is: for everybody else.
    Left,
}

/// What was seen of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IntakeFacts {
    /// How many hosts have had it before: trace headers of others.
    pub hops: usize,
    /// Whether it has octets above 127, anywhere.
    pub coding: Coding,
    /// A Date was added.
    pub added_date: bool,
    /// A Message-ID was added.
    pub added_message_id: bool,
    /// Text came where the header should be or before it had ended: the empty line between was added.
    pub separated: bool,
}

/// Why a content is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntakeFault {
    /// More trace headers than [`MAX_HOPS`] (RFC 5321 §6.3): 554 5.4.6.
    #[error("the message has gone through more than {MAX_HOPS} hosts and goes round in circles")]
    Loop,
    /// The header does not end within [`MAX_HEADER`] octets: 552 5.3.4.
    #[error("the header of the message is longer than {MAX_HEADER} octets")]
    HeaderTooLong,
}

/// A message that more hosts have had goes round in circles.
pub const MAX_HOPS: usize = 50;

/// Octets of a header as it comes; no honest one has a tenth of it.
pub const MAX_HEADER: usize = 256 * 1024;

/// Where the next octet belongs.
#[derive(Debug)]
enum State {
    /// Before the first.
    Begin,
    /// At the start of a line of the header; what came of it so far, undecided.
    LineStart(Vec<u8>),
    /// Inside a line of the header.
    Field,
    /// Behind the empty line.
    Body,
}

/// What the start of a line of the header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Undecided,
    /// The empty line that ends the header.
    Separator,
    /// `Name:`.
    Field,
    /// It belongs to the field before it.
    Continuation,
    /// What some programs put before a message in a file, and some devices send.
    MailboxLine,
    /// No line of a header.
    Text,
}

impl Intake {
    /// Before the first octet of a content.
    #[must_use]
    pub fn new(trace: Trace, missing: Missing) -> Self {
        Self {
            trace,
            missing,
            state: State::Begin,
            header_octets: 0,
            facts: IntakeFacts::default(),
            has_date: false,
            has_message_id: false,
            fault: None,
        }
    }

    /// Takes the next octets, and appends to `out` what is to be kept of them. Line ends are CRLF by now, and no NUL is
    /// among them. After a fault nothing is appended any more: the rest may be read and thrown away.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if matches!(self.state, State::Begin) {
            out.extend_from_slice(self.trace.header().as_bytes());
            self.state = State::LineStart(Vec::new());
        }
        self.facts.coding = self.facts.coding.and(octets);
        let mut rest = octets;
        while !rest.is_empty() && self.fault.is_none() {
            rest = match self.state {
                State::Body => {
                    out.extend_from_slice(rest);
                    &[]
                }
                State::Field => self.inside_field(rest, out),
                State::Begin | State::LineStart(_) => self.at_line_start(rest, out),
            };
        }
    }

    /// Why the content will not be taken, as soon as that is known.
    #[must_use]
    pub const fn fault(&self) -> Option<IntakeFault> {
        self.fault
    }

    /// The content has ended: appends what is left, and says what was seen.
    ///
    /// # Errors
    /// [`IntakeFault`]: nothing of it may be kept.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<IntakeFacts, IntakeFault> {
        self.push(&[], out);
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match std::mem::replace(&mut self.state, State::Body) {
            State::Body => {}
            // A header alone is a message (RFC 5322 §3.5); the empty line makes it one for everybody.
            State::LineStart(start) if start.is_empty() => self.end_header(out),
            State::LineStart(start) => {
                self.end_header(out);
                self.facts.separated = true;
                out.extend_from_slice(&start);
            }
            State::Begin | State::Field => {
                out.extend_from_slice(b"\r\n");
                self.end_header(out);
            }
        }
        Ok(self.facts)
    }

    fn inside_field<'a>(&mut self, octets: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = octets.iter().position(|octet| *octet == b'\n').map(|at| at.saturating_add(1));
        let (line, rest) = octets.split_at_checked(end.unwrap_or(octets.len())).unwrap_or((octets, &[]));
        self.count(line.len());
        out.extend_from_slice(line);
        if end.is_some() {
            self.state = State::LineStart(Vec::new());
        }
        rest
    }

    fn at_line_start<'a>(&mut self, octets: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let State::LineStart(mut start) = std::mem::replace(&mut self.state, State::Field) else {
            return &[];
        };
        let mut rest = octets;
        while let Some((octet, after)) = rest.split_first() {
            start.push(*octet);
            rest = after;
            let first_line = self.header_octets == 0;
            let found = classify(&start, first_line);
            if found == Start::Undecided {
                continue;
            }
            let length = start.len();
            self.decided(found, start, out);
            if found != Start::Text {
                self.count(length);
            }
            return rest;
        }
        self.state = State::LineStart(start);
        rest
    }

    fn decided(&mut self, found: Start, start: Vec<u8>, out: &mut Vec<u8>) {
        match found {
            Start::Separator => self.end_header(out),
            Start::Text => {
                self.end_header(out);
                self.facts.separated = true;
                out.extend_from_slice(&start);
            }
            Start::MailboxLine => {
                out.extend_from_slice(b"X-Mailbox-Line: ");
                out.extend_from_slice(&start);
            }
            Start::Field => {
                self.note(&start);
                out.extend_from_slice(&start);
            }
            Start::Continuation | Start::Undecided => out.extend_from_slice(&start),
        }
    }

    /// Remembers a field by its name, which ends in a colon.
    fn note(&mut self, start: &[u8]) {
        let name = start.strip_suffix(b":").unwrap_or(start).trim_ascii_end();
        if name.eq_ignore_ascii_case(b"Received") {
            self.facts.hops = self.facts.hops.saturating_add(1);
            if self.facts.hops > MAX_HOPS {
                self.fault = Some(IntakeFault::Loop);
            }
        }
        self.has_date |= name.eq_ignore_ascii_case(b"Date");
        self.has_message_id |= name.eq_ignore_ascii_case(b"Message-ID");
    }

    /// Adds what is missing, and the empty line.
    fn end_header(&mut self, out: &mut Vec<u8>) {
        if self.missing == Missing::Added {
            if !self.has_date {
                self.facts.added_date = true;
                out.extend_from_slice(format!("Date: {}\r\n", self.trace.date()).as_bytes());
            }
            if !self.has_message_id {
                self.facts.added_message_id = true;
                out.extend_from_slice(format!("Message-ID: {}\r\n", self.trace.message_id()).as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        self.state = State::Body;
    }

    fn count(&mut self, octets: usize) {
        self.header_octets = self.header_octets.saturating_add(octets);
        if self.header_octets > MAX_HEADER && !matches!(self.state, State::Body) {
            self.fault.get_or_insert(IntakeFault::HeaderTooLong);
        }
    }
}

/// What the octets at the start of a line are, as far as they tell.
fn classify(start: &[u8], first_line: bool) -> Start {
    let Some((last, before)) = start.split_last() else { return Start::Undecided };
    // Behind a blank nothing but more of them leaves it open, so the octet before tells of all.
    let behind_blank = before.last().is_some_and(u8::is_ascii_whitespace);
    // RFC 5322 §2.1.1: no line has more.
    let while_it_may_be_one = || if start.len() < MAX_LINE { Start::Undecided } else { Start::Text };
    let is_mailbox_line = || first_line && (before.starts_with(b"From ") || before.starts_with(b">From "));
    match (last, before) {
        (b'\r', []) => Start::Undecided,
        (b'\n', [] | b"\r") => Start::Separator,
        (b' ' | b'\t', []) if first_line => Start::Text,
        (b' ' | b'\t', []) => Start::Continuation,
        (b':', [_, ..]) => Start::Field,
        // Blanks before the colon are obsolete (RFC 5322 §4.5) and in use.
        (b' ' | b'\t', _) => while_it_may_be_one(),
        (b'!'..=b'~', _) if *last != b':' && !behind_blank => while_it_may_be_one(),
        _ if is_mailbox_line() => Start::MailboxLine,
        _ => Start::Text,
    }
}

/// Octets of a line without its end.
const MAX_LINE: usize = 998;

#[cfg(test)]
mod tests;
