//! DATA and BDAT: the content of a message, from the first octet to the reply that makes us answerable for it.

use std::time::Instant;

use super::holding::After;
use super::questions::{ContentFacts, Question, Stored, Submission};
use super::reply::{self, Reply};
use super::{Abandonment, Asked, Behind, Ending, Hello, Output, SmtpServer, State};
use crate::wire::smtp::command::{Chunk, Place};
use crate::wire::smtp::data::{ContentDecoder, ContentFault, Framing, HeaderOctets, Progress};
use crate::wire::smtp::tolerance::Tolerance;

/// A message whose content arrives.
#[derive(Debug)]
pub(super) struct Receiving {
    submission: Submission,
    decoder: ContentDecoder,
    arriving: Arriving,
    /// Octets given out so far.
    octets: u64,
    refusal: Option<Reply>,
    /// Octets read since it was refused.
    discarded: u64,
    /// When the first of it was announced.
    pub(super) began: Instant,
}

/// How the octets that come now are framed.
#[derive(Debug, Clone, Copy)]
enum Arriving {
    /// By DATA.
    Dots,
    /// By BDAT: so many are left of this chunk.
    Chunk { left: u64, place: Place },
}

/// What a chunk that nobody wants leaves behind.
#[derive(Debug)]
pub(super) struct Unwanted {
    reply: Reply,
    next: State,
    /// When it was announced.
    pub(super) began: Instant,
}

impl Receiving {
    /// Whether the content is thrown away already.
    pub(super) const fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Octets left of the chunk; `None` under DATA, where nobody knows.
    pub(super) const fn left(&self) -> Option<u64> {
        match self.arriving {
            Arriving::Dots => None,
            Arriving::Chunk { left, .. } => Some(left),
        }
    }

    /// Takes octets from the front of `bytes`; the content that they are is appended to `out`.
    fn take(&mut self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Progress {
        let Arriving::Chunk { left, .. } = &mut self.arriving else {
            return self.decoder.decode(bytes, out);
        };
        let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        let (mut chunk, rest) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
        *left = left.saturating_sub(wide(chunk.len()));
        *bytes = rest;
        let ended = *left == 0;
        self.decoder.decode(&mut chunk, out);
        if ended { Progress::End } else { Progress::More }
    }
}

impl SmtpServer {
    pub(super) fn on_data(&mut self, now: Instant, behind: Behind) {
        match (behind, self.profile.tolerance) {
            // Whatever follows was meant as content, by a client that does not wait to hear whether it may send any.
            (Behind::Input, _) => self.refuse_early_talker(),
            (Behind::Nothing, Tolerance::Strict) => {
                let state = std::mem::replace(&mut self.state, State::Idle);
                self.ask(Asked::Behind(Box::new(state)), Question::Behind);
            }
            // Some old devices wait for a while rather than for the reply; a slow network must not cost them their scan.
            (Behind::Nothing, Tolerance::Device) => self.answer_data(now),
        }
    }

    pub(super) fn on_behind(&mut self, now: Instant, state: State, behind: Behind) {
        self.state = state;
        match behind {
            Behind::Input => self.refuse_early_talker(),
            Behind::Nothing => self.answer_data(now),
        }
    }

    fn answer_data(&mut self, now: Instant) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Transaction(submission) = state else {
            let is_open = matches!(state, State::Chunks(_));
            let refusal = if is_open { reply::IN_TRANSACTION } else { reply::NEED_MAIL };
            return self.refuse_fault(refusal, state);
        };
        if submission.recipients.is_empty() {
            return self.refuse_fault(reply::NO_RECIPIENTS, State::Transaction(submission));
        }
        let receiving = self.begin_content(now, *submission, Framing::Dots, Arriving::Dots);
        self.accept(&reply::START_MAIL_INPUT, State::Content(Box::new(receiving)));
    }

    /// A chunk follows its command whatever the reply (RFC 3030 §2), so it is read before that is given.
    pub(super) fn on_bdat(&mut self, now: Instant, chunk: Chunk) {
        let arriving = Arriving::Chunk { left: chunk.length, place: chunk.place };
        let state = std::mem::replace(&mut self.state, State::Idle);
        if self.hides("CHUNKING") {
            return self.discard(now, chunk, reply::NOT_IMPLEMENTED, state);
        }
        let receiving = if let State::Chunks(mut receiving) = state {
            receiving.arriving = arriving;
            receiving
        } else if let State::Transaction(submission) = state {
            if submission.recipients.is_empty() {
                return self.discard(now, chunk, reply::NO_RECIPIENTS, State::Transaction(submission));
            }
            Box::new(self.begin_content(now, *submission, Framing::Chunks, arriving))
        } else {
            return self.discard(now, chunk, reply::NEED_MAIL, state);
        };
        self.state = State::Content(receiving);
        if chunk.length == 0 {
            self.on_content(&mut &[][..]);
        }
    }

    fn begin_content(
        &mut self,
        now: Instant,
        submission: Submission,
        framing: Framing,
        arriving: Arriving,
    ) -> Receiving {
        self.outputs.push_back(Output::BeginContent(self.content_facts(&submission)));
        let header = if submission.smtputf8 { HeaderOctets::Utf8 } else { HeaderOctets::Ascii };
        let decoder = ContentDecoder::new(framing, self.profile.tolerance, header);
        Receiving { submission, decoder, arriving, octets: 0, refusal: None, discarded: 0, began: now }
    }

    fn content_facts(&self, submission: &Submission) -> ContentFacts {
        let single = match submission.recipients.as_slice() {
            [(path, _)] => Some(path.clone()),
            _ => None,
        };
        ContentFacts {
            client_name: self
                .hello
                .as_ref()
                .map_or_else(String::new, |hello| hello.name().as_str().to_owned()),
            protocol: self.protocol(submission),
            tls: self.tls,
            principal: self.principal.clone(),
            single_recipient: single,
        }
    }

    /// `with` of the trace header (RFC 3848, RFC 6531 §4.3).
    fn protocol(&self, submission: &Submission) -> &'static str {
        match (submission.smtputf8, self.tls.is_some(), self.principal.is_some()) {
            (true, false, false) => "UTF8SMTP",
            (true, true, false) => "UTF8SMTPS",
            (true, false, true) => "UTF8SMTPA",
            (true, true, true) => "UTF8SMTPSA",
            (false, true, true) => "ESMTPSA",
            (false, false, true) => "ESMTPA",
            (false, ..) if matches!(self.hello, Some(Hello::Smtp(_)) | None) => "SMTP",
            (false, true, false) => "ESMTPS",
            (false, false, false) => "ESMTP",
        }
    }

    /// Octets arrived for the message in [`State::Content`].
    pub(super) fn on_content(&mut self, bytes: &mut &[u8]) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Content(mut receiving) = state else { return self.state = state };
        let before = bytes.len();
        let mut out = Vec::new();
        let progress = receiving.take(bytes, &mut out);
        self.give_out(&mut receiving, out);
        if receiving.is_refused() {
            let read = wide(before.saturating_sub(bytes.len()));
            receiving.discarded = receiving.discarded.saturating_add(read);
        }
        match progress {
            Progress::End => self.end_content(*receiving),
            Progress::More if receiving.discarded > self.patience() => {
                let refusal = receiving.refusal.take().unwrap_or(reply::TOO_LARGE);
                self.refuse(refusal, After::Close(Ending::OutOfStep));
            }
            Progress::More => self.state = State::Content(receiving),
        }
    }

    /// Passes content on while nothing is wrong with it; with the first fault it is thrown away.
    fn give_out(&mut self, receiving: &mut Receiving, out: Vec<u8>) {
        if receiving.is_refused() {
            return;
        }
        receiving.octets = receiving.octets.saturating_add(wide(out.len()));
        let is_too_large = self.limits().message_size.is_some_and(|limit| receiving.octets > limit);
        let refusal =
            if is_too_large { Some(reply::TOO_LARGE) } else { receiving.decoder.fault().map(refusal_of) };
        if refusal.is_some() {
            receiving.refusal = refusal;
            self.outputs.push_back(Output::AbandonContent(Abandonment::Refused));
        } else if !out.is_empty() {
            self.outputs.push_back(Output::Content(out));
        }
    }

    fn end_content(&mut self, mut receiving: Receiving) {
        if let (Arriving::Chunk { place: Place::Amid, .. }, None) = (receiving.arriving, &receiving.refusal) {
            return self.accept(&reply::CHUNK_OK, State::Chunks(Box::new(receiving)));
        }
        self.quirks = self.quirks.union(receiving.decoder.quirks());
        let mut out = Vec::new();
        if let (Err(fault), None) = (receiving.decoder.finish(&mut out), &receiving.refusal) {
            receiving.refusal = Some(refusal_of(fault));
            self.outputs.push_back(Output::AbandonContent(Abandonment::Refused));
        }
        self.give_out(&mut receiving, out);
        match receiving.refusal {
            Some(refusal) => self.refuse_fault(refusal, State::Idle),
            None => self.ask(Asked::Store, Question::Store(Box::new(receiving.submission))),
        }
    }

    pub(super) fn on_stored(&mut self, stored: Stored) {
        self.state = State::Idle;
        let refusal = match stored {
            Stored::Accepted(id) => {
                self.idle_commands = 0;
                self.overshoot = 0;
                Reply::lines(250, &[format!("2.0.0 Ok: queued as {id}")])
            }
            Stored::Full => reply::SPOOL_FULL,
            Stored::Failed => reply::LOCAL_ERROR,
            Stored::Loop => reply::LOOP,
            Stored::HeaderTooLong => reply::HEADER_TOO_LONG,
        };
        self.refuse(refusal, After::Go(State::Idle));
    }

    /// Reads a chunk and throws it away, then says why.
    fn discard(&mut self, now: Instant, chunk: Chunk, reply: Reply, next: State) {
        if chunk.length > self.patience() {
            self.state = next;
            self.refuse_and_close(reply::TOO_LARGE, Ending::OutOfStep);
        } else if chunk.length == 0 {
            self.refuse_fault(reply, next);
        } else {
            let unwanted = Box::new(Unwanted { reply, next, began: now });
            self.state = State::Discarding { left: chunk.length, unwanted };
        }
    }

    /// Octets arrived for the chunk in [`State::Discarding`].
    pub(super) fn on_unwanted(&mut self, bytes: &mut &[u8]) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Discarding { left, unwanted } = state else { return self.state = state };
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        *bytes = bytes.get(now..).unwrap_or_default();
        match left.saturating_sub(wide(now)) {
            0 => self.refuse_fault(unwanted.reply, unwanted.next),
            left => self.state = State::Discarding { left, unwanted },
        }
    }

    /// Octets that are read only to be thrown away, so that a client hears why.
    fn patience(&self) -> u64 {
        self.limits().message_size.unwrap_or(0).max(MIN_PATIENCE)
    }
}

const fn refusal_of(fault: ContentFault) -> Reply {
    match fault {
        ContentFault::BareLineEnd => reply::CONTENT_BARE,
        ContentFault::Nul => reply::CONTENT_NUL,
        ContentFault::LineTooLong => reply::CONTENT_LINE,
        ContentFault::EightBitHeader => reply::CONTENT_HEADER,
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Below it no limit is worth breaking off for.
const MIN_PATIENCE: u64 = 1024 * 1024;
