//! Plays `tests/transcripts/client-*.smtp` against the SMTP client machine on virtual time.
//!
//! A transcript is a text of lines. `#` begins a comment. What the test does to the machine:
//!
//! * `PROFILE security=starttls|established|none [user=… password=…|token=… mechanisms=A,B] [nonce=…] [limit=30s]`;
//!   `token=x*3000` is a token of so many octets
//! * `S: text`: the server sends this line; lines that follow each other arrive together. `S> text`: without CRLF, with
//!   escapes.
//! * `TLS OK`, `LOST`, `TIME +5s`, `QUIT`
//! * `BEGIN from=… to=a,b [sender=message] [length=n] [coding=8bit] [letters=utf8] [notify=…] [orcpt=…] [envid=…]`
//! * `CONTENT text` (with escapes), `END`, `UNREADABLE`
//!
//! What the machine must do, in this order and nothing else: `C: line`, `C> text` (no line end), `STARTTLS`, `IDLE`,
//! `NEED CONTENT`, `RCPT n delivered|delayed|failed …`, `CLOSED …`.
//!
//! Each transcript is played with every piece of the server's octets as written, and again octet by octet; `WHOLE`
//! leaves out the second, where the situation is that octets arrive together.
#![expect(clippy::disallowed_methods, reason = "an origin for virtual time")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use mailslotd::policy::replies::ReplyTable;
use mailslotd::session::oauth::AccessToken;
use mailslotd::session::sasl::Nonce;
use mailslotd::session::sasl::client::{BearerIdentity, Identity, PasswordIdentity};
use mailslotd::session::smtp_client::{
    Dsn, Ending, Fate, ForwardPath, Input, Letters, OperatorFault, Output, Profile, Ret, Security, Sender,
    SmtpClient, Timeouts, Transaction,
};
use mailslotd::wire::smtp::content::Coding;
use mailslotd::wire::smtp::dsn::RecipientDsn;
use mailslotd::wire::smtp::mechanism::{BearerMechanism, Mechanism};
use mailslotd::wire::smtp::path::Mailbox;
use transcript::{duration, unescape};
use zeroize::Zeroizing;

#[path = "support/transcript.rs"]
mod transcript;

#[derive(Clone, Copy, PartialEq)]
enum Pieces {
    AsWritten,
    Octets,
}

#[test]
fn every_transcript_holds() {
    let mut played = 0;
    let mut failures = String::new();
    for entry in std::fs::read_dir("tests/transcripts").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !(name.starts_with("client-") && name.ends_with(".smtp")) {
            continue;
        }
        let script = std::fs::read_to_string(&path).unwrap();
        let whole_only = script.lines().any(|line| line == "WHOLE");
        for pieces in [Pieces::AsWritten, Pieces::Octets] {
            if whole_only && pieces == Pieces::Octets {
                continue;
            }
            if let Err(difference) = play(&script, pieces) {
                let how = if pieces == Pieces::Octets { " octet by octet" } else { "" };
                writeln!(failures, "{name}{how}: {difference}").unwrap();
            }
        }
        played += 1;
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(played >= 20, "only {played} transcripts were found");
}

#[test]
fn a_transcript_that_expects_something_else_fails() {
    let script = "PROFILE security=none\nS: 220 mx\nC: EHLO gw.example\nC: NOOP\n";
    let difference = play(script, Pieces::AsWritten).unwrap_err();
    assert_eq!(difference, "line 4: expected \"C: NOOP\", the machine does nothing");
}

struct Player {
    machine: SmtpClient,
    now: Instant,
    /// What the machine did and the transcript has not named yet.
    done: VecDeque<String>,
}

fn play(script: &str, pieces: Pieces) -> Result<(), String> {
    let mut lines = script.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end())).peekable();
    let mut player = None;
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') || line == "WHOLE" {
            continue;
        }
        if let Some(words) = line.strip_prefix("PROFILE ") {
            player = Some(Player::new(&fields(words)));
            continue;
        }
        let player: &mut Player = player.as_mut().expect("PROFILE comes first");
        if let Some(mut octets) = server_octets(line) {
            while let Some(more) = lines.peek().and_then(|(_, line)| server_octets(line)) {
                octets.extend(more);
                lines.next();
            }
            player.expect_nothing(number)?;
            player.server_sends(&octets, pieces);
        } else if is_input(line) {
            player.expect_nothing(number)?;
            player.input(line);
        } else {
            match player.done.pop_front() {
                Some(did) if did == line => {}
                Some(did) => {
                    return Err(format!("line {number}: expected {line:?}, the machine does {did:?}"));
                }
                None => return Err(format!("line {number}: expected {line:?}, the machine does nothing")),
            }
        }
    }
    player.expect("PROFILE comes first").expect_nothing(script.lines().count())
}

fn server_octets(line: &str) -> Option<Vec<u8>> {
    if let Some(text) = line.strip_prefix("S: ") {
        return Some(format!("{text}\r\n").into_bytes());
    }
    line.strip_prefix("S> ").map(unescape)
}

fn is_input(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    matches!(word, "TLS" | "LOST" | "TIME" | "QUIT" | "BEGIN" | "CONTENT" | "END" | "UNREADABLE")
}

impl Player {
    fn new(fields: &BTreeMap<&str, &str>) -> Self {
        let now = Instant::now();
        let security = match fields["security"] {
            "starttls" => Security::StartTls,
            "established" => Security::Established,
            "none" => Security::Absent,
            other => panic!("security={other}"),
        };
        let identity = fields.get("user").map(|user| identity(user, fields));
        let profile = Profile {
            hostname: "gw.example".to_owned(),
            security,
            identity,
            nonce: Nonce::new(fields.get("nonce").unwrap_or(&"rOprNGfwEbeRWgbNEkqO")).unwrap(),
            timeouts: Timeouts::within(
                fields.get("limit").map_or(Duration::from_secs(600), |text| duration(text)),
            ),
            replies: ReplyTable::default(),
        };
        Self { machine: SmtpClient::new(now, profile), now, done: VecDeque::new() }
    }

    fn server_sends(&mut self, octets: &[u8], pieces: Pieces) {
        match pieces {
            Pieces::AsWritten => self.handle(Input::Bytes(octets)),
            Pieces::Octets => octets.iter().for_each(|octet| self.handle(Input::Bytes(&[*octet]))),
        }
    }

    fn input(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "TLS" => self.handle(Input::TlsEstablished),
            "LOST" => self.handle(Input::Disconnected),
            "QUIT" => self.handle(Input::Quit),
            "BEGIN" => self.handle(Input::Begin(transaction(&fields(rest)))),
            "CONTENT" => self.handle(Input::Content(&unescape(rest))),
            "END" => self.handle(Input::ContentEnd),
            "UNREADABLE" => self.handle(Input::ContentFailed),
            "TIME" => {
                self.now += duration(rest.strip_prefix('+').unwrap());
                // Calls before the deadline must change nothing.
                self.machine.handle_timeout(self.now);
                self.collect();
            }
            other => panic!("{other}"),
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send(octets) => self.sent(&octets),
                Output::SendSecret(line) => self.sent(line.as_bytes()),
                Output::StartTls => self.done.push_back("STARTTLS".to_owned()),
                Output::Idle => self.done.push_back("IDLE".to_owned()),
                Output::NeedContent => self.done.push_back("NEED CONTENT".to_owned()),
                Output::RecipientDone { index, fate } => {
                    self.done.push_back(format!("RCPT {index} {}", describe_fate(&fate)));
                }
                Output::Closed(ending) => self.done.push_back(format!("CLOSED {}", describe_ending(&ending))),
            }
        }
    }

    fn sent(&mut self, octets: &[u8]) {
        let text = std::str::from_utf8(octets).unwrap();
        for line in text.split_inclusive("\r\n") {
            self.done.push_back(match line.strip_suffix("\r\n") {
                Some(line) => format!("C: {line}").trim_end().to_owned(),
                None => format!("C> {}", line.escape_default()),
            });
        }
    }

    fn expect_nothing(&self, number: usize) -> Result<(), String> {
        match self.done.front() {
            None => Ok(()),
            Some(did) => Err(format!("line {number}: the machine also does {did:?}")),
        }
    }
}

fn describe_fate(fate: &Fate) -> String {
    match fate {
        Fate::Delivered { text } => format!("delivered {text}"),
        Fate::Delayed { status, text, retry_after: None } => format!("delayed {status} {text}"),
        Fate::Delayed { status, text, retry_after: Some(wait) } => {
            format!("delayed {status} {text} (wait {} s)", wait.as_secs())
        }
        Fate::Failed { status, text } => format!("failed {status} {text}"),
    }
}

fn describe_ending(ending: &Ending) -> String {
    match ending {
        Ending::Quit => "quit".to_owned(),
        Ending::Lost(stage) => format!("lost: {stage}"),
        Ending::TimedOut(stage) => format!("timed out: {stage}"),
        Ending::NotSmtp(stage, error) => format!("not SMTP: {stage}: {error}"),
        Ending::OutOfTurn(stage, reply) => format!("out of turn: {stage}: {reply}"),
        Ending::Throttled { retry_after: None, reply } => format!("throttled: {reply}"),
        Ending::Throttled { retry_after: Some(wait), reply } => {
            format!("throttled for {} s: {reply}", wait.as_secs())
        }
        Ending::Unready(stage, reply) => format!("unready: {stage}: {reply}"),
        Ending::ContentRefused => "content refused".to_owned(),
        Ending::ContentUnreadable => "content unreadable".to_owned(),
        Ending::Operator(fault) => format!("operator: {}", describe_fault(fault)),
    }
}

fn describe_fault(fault: &OperatorFault) -> String {
    match fault {
        OperatorFault::Refused(stage, reply) => format!("refused: {stage}: {reply}"),
        OperatorFault::NoStartTls => "no STARTTLS".to_owned(),
        OperatorFault::StartTlsRefused(reply) => format!("STARTTLS refused: {reply}"),
        OperatorFault::InjectedBeforeTls => "injected before TLS".to_owned(),
        OperatorFault::NoMechanism(reason) => format!("no mechanism: {reason}"),
        OperatorFault::CredentialsRefused(mechanism, reply) => {
            format!("credentials refused: {mechanism}: {reply}")
        }
        OperatorFault::TokenRefused(mechanism, reply, said) => {
            let said = said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
            format!("token refused: {mechanism}: {reply}{said}")
        }
        OperatorFault::Mechanism(mechanism, fault) => format!("{mechanism}: {fault}"),
        OperatorFault::NotPermitted(reply) => format!("not permitted: {reply}"),
        OperatorFault::SenderRefused(reply) => format!("sender refused: {reply}"),
        OperatorFault::SenderNeedsSmtpUtf8 => "sender needs SMTPUTF8".to_owned(),
    }
}

fn transaction(fields: &BTreeMap<&str, &str>) -> Transaction {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let dsn = RecipientDsn {
        notify: fields.get("notify").map(|text| text.parse().unwrap()),
        orcpt: fields.get("orcpt").map(|text| (*text).to_owned()),
    };
    let forward_path = |text| ForwardPath { mailbox: mailbox(text), dsn: dsn.clone() };
    let envid = fields.get("envid").map(|text| (*text).to_owned());
    Transaction {
        reverse_path: Some(fields["from"]).filter(|text| !text.is_empty()).map(mailbox),
        sender: if fields.contains_key("sender") { Sender::OfMessage } else { Sender::Configured },
        forward_paths: fields["to"].split(',').map(forward_path).collect(),
        length: fields.get("length").map_or(100, |text| text.parse().unwrap()),
        coding: if fields.contains_key("coding") { Coding::EightBit } else { Coding::SevenBit },
        letters: if fields.contains_key("letters") { Letters::Utf8 } else { Letters::Ascii },
        dsn: Dsn { ret: envid.as_ref().map(|_| Ret::Headers), envid },
    }
}

fn identity(user: &str, fields: &BTreeMap<&str, &str>) -> Identity {
    let user = user.to_owned();
    let mechanisms = fields["mechanisms"].split(',');
    let Some(token) = fields.get("token") else {
        return Identity::Password(PasswordIdentity {
            user,
            password: Zeroizing::new(fields["password"].to_owned()),
            mechanisms: mechanisms.map(|name| Mechanism::named(name).unwrap()).collect(),
        });
    };
    let token = match token.split_once('*') {
        Some((letter, count)) => letter.repeat(count.parse().unwrap()),
        None => (*token).to_owned(),
    };
    let bearer = |name| {
        let all = [BearerMechanism::Xoauth2, BearerMechanism::OauthBearer];
        all.into_iter().find(|mechanism| mechanism.as_str() == name).unwrap()
    };
    Identity::Bearer(BearerIdentity {
        user,
        token: AccessToken::new(&token).unwrap(),
        mechanisms: mechanisms.map(bearer).collect(),
        host: "mx.example.net".to_owned(),
        port: 587,
    })
}

fn fields(words: &str) -> BTreeMap<&str, &str> {
    words.split(' ').map(|word| word.split_once('=').unwrap()).collect()
}
