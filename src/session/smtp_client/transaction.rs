//! One mail transaction (RFC 5321 §3.3): its commands, and which reply belongs to which.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::verdict::Fate;
use crate::policy::relay::in_ascii;
use crate::wire::smtp::content::Coding;
use crate::wire::smtp::dsn::RecipientDsn;
pub use crate::wire::smtp::dsn::Ret;
use crate::wire::smtp::extensions::{Extensions, Size};
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::status::EnhancedStatus;

/// What to send and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// MAIL FROM; `None` is the null reverse-path.
    pub reverse_path: Option<Mailbox>,
    /// Whose choice that was.
    pub sender: Sender,
    /// RCPT TO, at least one and at most [`MAX_RECIPIENTS`].
    pub forward_paths: Vec<ForwardPath>,
    /// Octets of the content, before dots are doubled.
    pub length: u64,
    /// Whether the content needs 8BITMIME.
    pub coding: Coding,
    /// Whether the header needs SMTPUTF8; the addresses tell by themselves.
    pub letters: Letters,
    /// What reports the next hop should give, where it offers DSN.
    pub dsn: Dsn,
}

/// Which letters the header of a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Letters {
    /// ASCII, or octets of no known meaning that its sender never called UTF-8.
    #[default]
    Ascii,
    /// Others, and its sender said SMTPUTF8 (RFC 6531 §3.6).
    Utf8,
}

/// Who chose the reverse-path, and so who must mend it when it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The operator, for all messages.
    Configured,
    /// The message's own sender.
    OfMessage,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPath {
    /// RCPT TO.
    pub mailbox: Mailbox,
    /// What the sender wants reported about it; told to a next hop that offers DSN.
    pub dsn: RecipientDsn,
}

impl ForwardPath {
    /// A recipient without further wishes.
    #[must_use]
    pub fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, dsn: RecipientDsn::default() }
    }
}

/// Parameters of MAIL for reports (RFC 3461 §4.3, §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dsn {
    /// What of the message a report carries; `None` leaves that to the next hop.
    pub ret: Option<Ret>,
    /// What a report names the message by, in xtext; one of over 100 characters is not sent.
    pub envid: Option<String>,
}

/// Every server takes so many (RFC 5321 §4.5.3.1.8); and a pipelined flight of so many commands fits the buffers
/// between both sides, so that neither waits for the other to read.
pub const MAX_RECIPIENTS: usize = 100;

/// A command whose reply matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Rset,
    Mail,
    /// The recipient with this index.
    Rcpt(usize),
    Data,
}

/// How far a recipient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Pending,
    Accepted,
    Decided,
}

/// A transaction between its first command and the reply to DATA.
#[derive(Debug)]
pub(super) struct Envelope {
    transaction: Transaction,
    unsent: VecDeque<Step>,
    awaited: VecDeque<Step>,
    recipients: Vec<Progress>,
}

impl Envelope {
    /// A transaction of which nothing was sent yet; `before` is what must be asked first.
    pub(super) fn new(transaction: Transaction, before: Option<Step>) -> Self {
        let recipients = vec![Progress::Pending; transaction.forward_paths.len()];
        let mut envelope =
            Self { transaction, unsent: VecDeque::new(), awaited: VecDeque::new(), recipients };
        envelope.unsent.extend(before);
        envelope
    }

    /// Decides without asking what these extensions make impossible; returns those fates. Plans the commands for the
    /// rest.
    pub(super) fn plan(&mut self, extensions: &Extensions) -> Vec<(usize, Fate)> {
        let mut decided = Vec::new();
        if !extensions.smtputf8 {
            self.transaction.spell_domains_in_ascii();
        }
        if let Some((status, text)) = self.transaction.obstacle(extensions) {
            decided = self.decide_all(&Fate::Failed { status, text });
        } else if !extensions.smtputf8 {
            let needs = |(_, path): &(usize, &ForwardPath)| path.mailbox.needs_smtputf8();
            let foreign =
                self.transaction.forward_paths.iter().enumerate().filter(needs).map(|(index, _)| index);
            let status = EnhancedStatus::new(5, 6, 7);
            let fate = Fate::Failed { status, text: NO_SMTPUTF8.to_owned() };
            decided = foreign.map(|index| (index, fate.clone())).collect();
            for (index, _) in &decided {
                self.set(*index, Progress::Decided);
            }
        }
        let pending: Vec<usize> = self.indices(Progress::Pending);
        if pending.is_empty() {
            self.unsent.clear();
        } else {
            self.unsent.push_back(Step::Mail);
            self.unsent.extend(pending.into_iter().map(Step::Rcpt));
            self.unsent.push_back(Step::Data);
        }
        decided
    }

    /// The commands to send now: all with PIPELINING (RFC 2920), else the next when its turn has come.
    pub(super) fn next_flight(&mut self, extensions: &Extensions) -> Vec<u8> {
        let mut flight = String::new();
        while let Some(step) = self.unsent.front().copied() {
            if !extensions.pipelining && !self.awaited.is_empty() {
                break;
            }
            self.unsent.pop_front();
            // Without PIPELINING it is known by now whether anybody is there to send it to.
            if step == Step::Data && !extensions.pipelining && !self.has_accepted() {
                break;
            }
            self.transaction.write(step, extensions, &mut flight);
            self.awaited.push_back(step);
        }
        flight.into_bytes()
    }

    /// The command that the next reply answers.
    pub(super) fn take_awaited(&mut self) -> Option<Step> {
        self.awaited.pop_front()
    }

    /// Those over whom the session ends, when it does so where `step` was to be answered: the recipient itself, or all
    /// that are open. A message that ends every session must have its own back-off, or no other gets past it.
    pub(super) fn suspects(&self, step: Option<Step>) -> Vec<usize> {
        match step {
            Some(Step::Rcpt(index)) if self.is_pending(index) => vec![index],
            Some(Step::Rcpt(_)) => Vec::new(),
            Some(Step::Rset | Step::Mail | Step::Data) | None => self.open(),
        }
    }

    /// Whether every command was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.awaited.is_empty()
    }

    /// The wait that the next reply deserves is that of DATA.
    pub(super) fn awaits_data(&self) -> bool {
        self.awaited.front() == Some(&Step::Data)
    }

    pub(super) const fn sender(&self) -> Sender {
        self.transaction.sender
    }

    /// The server accepts a recipient, unless MAIL was refused already.
    pub(super) fn accept(&mut self, index: usize) {
        if self.is_pending(index) {
            self.set(index, Progress::Accepted);
        }
    }

    /// A recipient's fate is known; `None` when it was already.
    pub(super) fn decide(&mut self, index: usize, fate: Fate) -> Option<(usize, Fate)> {
        self.is_pending(index).then(|| {
            self.set(index, Progress::Decided);
            (index, fate)
        })
    }

    /// MAIL was refused: all that is still open has this fate, and nothing more need be sent.
    pub(super) fn decide_all(&mut self, fate: &Fate) -> Vec<(usize, Fate)> {
        self.unsent.clear();
        let open = self.open();
        for index in &open {
            self.set(*index, Progress::Decided);
        }
        open.into_iter().map(|index| (index, fate.clone())).collect()
    }

    pub(super) fn has_accepted(&self) -> bool {
        self.recipients.contains(&Progress::Accepted)
    }

    /// Those who wait for the reply to the end of data.
    pub(super) fn accepted(&self) -> Vec<usize> {
        self.indices(Progress::Accepted)
    }

    fn open(&self) -> Vec<usize> {
        [self.indices(Progress::Pending), self.indices(Progress::Accepted)].concat()
    }

    fn indices(&self, wanted: Progress) -> Vec<usize> {
        let found = self.recipients.iter().enumerate().filter(|(_, progress)| **progress == wanted);
        found.map(|(index, _)| index).collect()
    }

    fn is_pending(&self, index: usize) -> bool {
        self.recipients.get(index) == Some(&Progress::Pending)
    }

    fn set(&mut self, index: usize, progress: Progress) {
        if let Some(entry) = self.recipients.get_mut(index) {
            *entry = progress;
        }
    }
}

impl Transaction {
    /// Why these extensions cannot carry this message at all.
    fn obstacle(&self, extensions: &Extensions) -> Option<(EnhancedStatus, String)> {
        match extensions.size {
            Size::Limit(limit) if self.length > limit => {
                let text = format!("the message has {} octets, the next hop takes {limit}", self.length);
                return Some((EnhancedStatus::new(5, 3, 4), text));
            }
            Size::Limit(_) | Size::Unlimited | Size::NotOffered => {}
        }
        if self.coding == Coding::EightBit && !extensions.eight_bit_mime {
            let text = "the message has 8-bit octets, the next hop does not offer 8BITMIME".to_owned();
            return Some((EnhancedStatus::new(5, 6, 3), text));
        }
        if self.letters == Letters::Utf8 && !extensions.smtputf8 {
            return Some((EnhancedStatus::new(5, 6, 7), HEADER_NEEDS_SMTPUTF8.to_owned()));
        }
        if self.sender_needs_smtputf8() && !extensions.smtputf8 {
            return Some((EnhancedStatus::new(5, 6, 7), NO_SMTPUTF8.to_owned()));
        }
        None
    }

    /// For a next hop without SMTPUTF8: a domain has a form in ASCII (RFC 5890 §2.3.2.1), a local part has none.
    fn spell_domains_in_ascii(&mut self) {
        let paths = self.forward_paths.iter_mut().map(|path| &mut path.mailbox);
        for mailbox in paths.chain(self.reverse_path.as_mut()).filter(|mailbox| mailbox.needs_smtputf8()) {
            if let Some(spelled) = in_ascii(mailbox) {
                *mailbox = spelled;
            }
        }
    }

    /// Whether the reverse-path has letters outside ASCII.
    pub(super) fn sender_needs_smtputf8(&self) -> bool {
        self.reverse_path.as_ref().is_some_and(Mailbox::needs_smtputf8)
    }

    /// Appends a command line. What goes in has been checked to be free of line ends.
    fn write(&self, step: Step, extensions: &Extensions, line: &mut String) {
        match step {
            Step::Rset => line.push_str("RSET"),
            Step::Mail => self.write_mail(extensions, line),
            Step::Rcpt(index) => {
                if let Some(path) = self.forward_paths.get(index) {
                    path.write(extensions, line);
                }
            }
            Step::Data => line.push_str("DATA"),
        }
        line.push_str("\r\n");
    }

    fn write_mail(&self, extensions: &Extensions, line: &mut String) {
        let path = self.reverse_path.as_ref().map_or("", Mailbox::as_str);
        append(line, format_args!("MAIL FROM:<{path}>"));
        if extensions.size != Size::NotOffered {
            append(line, format_args!(" SIZE={}", self.length));
        }
        if self.coding == Coding::EightBit {
            line.push_str(" BODY=8BITMIME");
        }
        let foreign = self.forward_paths.iter().any(|path| path.mailbox.needs_smtputf8());
        let letters = self.letters == Letters::Utf8;
        if extensions.smtputf8 && (foreign || letters || self.sender_needs_smtputf8()) {
            line.push_str(" SMTPUTF8");
        }
        if !extensions.dsn {
            return;
        }
        match self.dsn.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = self.dsn.envid.as_ref().filter(|envid| is_sendable(envid, MAX_ENVID)) {
            append(line, format_args!(" ENVID={envid}"));
        }
    }
}

impl ForwardPath {
    fn write(&self, extensions: &Extensions, line: &mut String) {
        append(line, format_args!("RCPT TO:<{}>", self.mailbox));
        if !extensions.dsn {
            return;
        }
        if let Some(notify) = self.dsn.notify {
            append(line, format_args!(" NOTIFY={notify}"));
        }
        // RFC 6533 §3 has a form for addresses outside ASCII; a report can do without.
        if let Some(orcpt) = self.dsn.orcpt.as_ref().filter(|orcpt| is_sendable(orcpt, MAX_ORCPT)) {
            append(line, format_args!(" ORCPT={orcpt}"));
        }
    }
}

fn append(line: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = line.write_fmt(arguments);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// Whether a parameter may stand in a command line as it is, and keeps to its limit.
fn is_sendable(xtext: &str, limit: usize) -> bool {
    !xtext.is_empty() && xtext.len() <= limit && xtext.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 3461 §4.4.
const MAX_ENVID: usize = 100;

/// RFC 3461 §4.2.
const MAX_ORCPT: usize = 500;

const HEADER_NEEDS_SMTPUTF8: &str =
    "the header has letters outside ASCII, the next hop does not offer SMTPUTF8";
const NO_SMTPUTF8: &str = "the address has letters outside ASCII, the next hop does not offer SMTPUTF8";
