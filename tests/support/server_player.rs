//! The player of server transcripts: a client, a kernel buffer, and answers, all on virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mailslotd::message::id::{ListenerName, QueueId};
use mailslotd::policy::account::{CheckAnswer, Cleartext};
use mailslotd::policy::relay::{AddressPattern, Authentication, ListenerPolicy, RelayTo, TrustedNetwork};
use mailslotd::session::sasl::Nonces;
use mailslotd::session::smtp_server::{
    Abandonment, Admission, Answer, Behind, ContentFacts, Existence, Hold, Input, Limits, Offence, Offers,
    Output, Profile, Question, RecipientRoom, SmtpServer, Standing, Stored, Submission, Timeouts, TlsSession,
    Turn,
};
use mailslotd::wire::smtp::dsn::RecipientDsn;
use mailslotd::wire::smtp::mechanism::Mechanism;
use mailslotd::wire::smtp::tolerance::Tolerance;
use transcript::{duration, unescape};
use world::World;

#[path = "transcript.rs"]
mod transcript;
#[path = "server_world.rs"]
mod world;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pieces {
    AsWritten,
    Octets,
}

/// All transcripts with their names, in the same order each time.
pub(crate) fn scripts() -> Vec<(String, String)> {
    let mut scripts: Vec<(String, String)> = std::fs::read_dir("tests/transcripts")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name.starts_with("server-") && name.ends_with(".smtp"))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect();
    scripts.sort();
    scripts
}

/// Plays a transcript.
///
/// # Errors
/// The first difference.
pub(crate) fn play(script: &str, pieces: Pieces) -> Result<(), String> {
    let mut lines = script.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end())).peekable();
    let mut player: Option<Player> = None;
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') || line == "WHOLE" {
            continue;
        }
        if let Some(words) = line.strip_prefix("PROFILE") {
            if let Some(before) = &mut player {
                before.collect();
                before.expect_nothing(number)?;
            }
            let words = words_of(words);
            let world = player.take().map_or_else(|| World::new(&words), |before| before.world);
            player = Some(Player::new(&words, pieces, world));
            continue;
        }
        let player: &mut Player = player.as_mut().expect("PROFILE comes first");
        if let Some(text) = line.strip_prefix("EARLY ") {
            player.handle(Input::Bytes(&unescape(text)));
            continue;
        }
        player.collect();
        if let Some(mut octets) = client_octets(line) {
            while let Some(more) = lines.peek().and_then(|(_, line)| client_octets(line)) {
                octets.extend(more);
                lines.next();
            }
            player.expect_nothing(number)?;
            player.kernel.extend(octets);
            player.read();
        } else if is_input(line) {
            player.expect_nothing(number)?;
            player.input(line);
        } else if let Some(words) = line.strip_prefix("READ ") {
            let willing = player.machine.poll_read().map_or("none".to_owned(), |octets| octets.to_string());
            if willing != words {
                return Err(format!("line {number}: expected {line:?}, the machine reads {willing}"));
            }
        } else {
            let (expected, answer) = line.split_once(" -> ").map_or((line, None), |(e, a)| (e, Some(a)));
            let (times, expected) = repeated(expected);
            for _ in 0..times {
                match player.done.pop_front() {
                    Some(did) if did == expected => {}
                    did => {
                        let did = did.map_or_else(|| "nothing".to_owned(), |did| format!("{did:?}"));
                        return Err(format!("line {number}: expected {expected:?}, the machine does {did}"));
                    }
                }
            }
            if let Some(answer) = answer {
                player.expect_nothing(number)?;
                player.answer(answer);
            }
        }
    }
    player.expect("PROFILE comes first").expect_nothing(script.lines().count())
}

struct Player {
    machine: SmtpServer,
    pieces: Pieces,
    /// What is the same for all sessions of a transcript.
    world: World,
    /// As the machine was told it.
    profile: Profile,
    /// What the client has sent and the machine has not read.
    kernel: VecDeque<u8>,
    /// The question that is open.
    asked: Option<Question>,
    /// What the machine did and the transcript has not named yet.
    done: VecDeque<String>,
}

impl Player {
    fn new(words: &BTreeMap<String, String>, pieces: Pieces, world: World) -> Self {
        let profile = profile(words);
        let machine = SmtpServer::new(world.now, profile.clone());
        Self { machine, pieces, world, profile, kernel: VecDeque::new(), asked: None, done: VecDeque::new() }
    }

    /// Feeds what the machine is willing to read of what is there.
    fn read(&mut self) {
        while let Some(most) = self.machine.poll_read() {
            let most = if self.pieces == Pieces::Octets { 1 } else { most };
            let octets: Vec<u8> = self.kernel.drain(..most.min(self.kernel.len())).collect();
            if octets.is_empty() {
                break;
            }
            self.machine.handle_input(self.world.now, Input::Bytes(&octets));
            self.collect();
        }
    }

    fn input(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            // What came in the clear belongs to nobody.
            "TLS" => {
                self.kernel.clear();
                self.handle(Input::TlsEstablished(TLS));
            }
            "LOST" => self.handle(Input::Disconnected),
            "SHUTDOWN" => self.handle(Input::Shutdown),
            "ANSWER" => self.answer(rest),
            "TIME" => {
                self.world.now += duration(rest.strip_prefix('+').unwrap());
                // Calls before the deadline must change nothing.
                self.machine.handle_timeout(self.world.now);
                self.collect();
                self.read();
            }
            other => panic!("{other}"),
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.world.now, input);
        self.collect();
        self.read();
    }

    fn answer(&mut self, text: &str) {
        let question = self.asked.take().expect("no question is open");
        let answer = match (&question, text) {
            (Question::Authenticate(check), "checked") => {
                Answer::Authenticate(self.world.authenticate(self.profile.client, check))
            }
            (Question::Admit, "by rate") => {
                let principal = self.machine.principal();
                Answer::Admit(self.world.admit(&self.profile.listener, self.profile.client, principal))
            }
            (Question::Hold(Offence::FailedAuth), "by the pit") => {
                Answer::Hold(self.world.hold_failed_auth(self.profile.client))
            }
            (question, text) => answer(question, text),
        };
        self.handle(Input::Answer(answer));
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Reply { code, octets } => self.replied(code, &octets),
                Output::StartTls => self.done.push_back("STARTTLS".to_owned()),
                Output::BeginContent(facts) => self.done.push_back(describe_facts(&facts)),
                Output::Content(octets) => self.content(&octets),
                Output::AbandonContent(why) => self.abandoned(why),
                // Its reply tells enough.
                Output::Denied { .. } => {}
                Output::Ask(Question::Behind) => {
                    let behind = if self.kernel.is_empty() { Behind::Nothing } else { Behind::Input };
                    self.machine.handle_input(self.world.now, Input::Answer(Answer::Behind(behind)));
                }
                Output::TurnOver => self.done.push_back("TURN OVER".to_owned()),
                Output::Ask(question) => {
                    self.done.push_back(format!("ASK {}", describe_question(&question)));
                    self.asked = Some(question);
                }
                Output::Closed(ending) => self.done.push_back(format!("CLOSED {ending:?}")),
            }
        }
    }

    fn replied(&mut self, code: u16, octets: &[u8]) {
        let text = std::str::from_utf8(octets).unwrap();
        assert!(text.ends_with("\r\n") && octets.len() <= 4096, "{text:?}");
        for line in text.split_terminator("\r\n") {
            assert!(line.starts_with(&code.to_string()) && line.len() <= 510, "{line:?}");
            assert!(has_status(code, line) || names_us(text), "without an enhanced status code: {line:?}");
            self.done.push_back(format!("S: {line}").trim_end().to_owned());
        }
    }

    /// Pieces of content that follow each other are one.
    fn content(&mut self, octets: &[u8]) {
        let text: String = octets.iter().map(|octet| octet.escape_ascii().to_string()).collect();
        match self.done.back_mut() {
            Some(last) if last.starts_with("CONTENT ") => last.push_str(&text),
            _ => self.done.push_back(format!("CONTENT {text}")),
        }
    }

    /// How much of it was given out before the fault hangs on how the octets came, and is thrown away.
    fn abandoned(&mut self, why: Abandonment) {
        self.done.pop_back_if(|did| did.starts_with("CONTENT "));
        self.done.push_back(match why {
            Abandonment::Refused => "ABANDON REFUSED".to_owned(),
            Abandonment::Incomplete => "ABANDON INCOMPLETE".to_owned(),
        });
    }

    fn expect_nothing(&self, number: usize) -> Result<(), String> {
        match self.done.front() {
            None => Ok(()),
            Some(did) => Err(format!("line {number}: the machine also does {did:?}")),
        }
    }
}

/// What a line of a transcript has the client send, if anything.
pub(crate) fn client_octets(line: &str) -> Option<Vec<u8>> {
    if let Some(text) = line.strip_prefix("C: ").or((line == "C:").then_some("")) {
        return Some(format!("{text}\r\n").into_bytes());
    }
    if let Some(times) = line.strip_prefix("C* ") {
        let (times, text) = times.split_once(' ').unwrap();
        let numbered = (1..=times.parse().unwrap()).map(|number: usize| number.to_string());
        return Some(numbered.flat_map(|number| unescape(&text.replace("{n}", &number))).collect());
    }
    line.strip_prefix("C> ").map(unescape)
}

/// How often a line is expected, and the line.
fn repeated(line: &str) -> (usize, String) {
    match line.strip_prefix("S* ").and_then(|rest| rest.split_once(' ')) {
        Some((times, text)) => (times.parse().unwrap(), format!("S: {text}")),
        None => (1, line.to_owned()),
    }
}

/// Whether a reply's line has a status of the class that its code has (RFC 2034 §4), where it must have one.
fn has_status(code: u16, line: &str) -> bool {
    let class = code / 100;
    class == 3 || line.get(4..).is_some_and(|text| text.starts_with(&format!("{class}.")))
}

/// The greeting, and the replies to EHLO and HELO.
fn names_us(reply: &str) -> bool {
    reply.get(4..).is_some_and(|text| text.starts_with("gw.example"))
}

fn is_input(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    matches!(word, "TLS" | "LOST" | "TIME" | "SHUTDOWN" | "ANSWER")
}

fn describe_question(question: &Question) -> String {
    match question {
        Question::Admit => "admit".to_owned(),
        Question::Turn => "turn".to_owned(),
        Question::Behind => unreachable!("the kernel answers it"),
        Question::Recipient(mailbox) => format!("recipient {mailbox}"),
        Question::Hold(Offence::Refusal) => "hold refusal".to_owned(),
        Question::Hold(Offence::FailedAuth) => "hold failed-auth".to_owned(),
        Question::Authenticate(check) => format!("authenticate {check:?} {}", check.user()),
        Question::Store(submission) => format!("store {}", describe_submission(submission)),
    }
}

fn describe_submission(submission: &Submission) -> String {
    let Submission { reverse_path, recipients, ret, envid, smtputf8 } = submission;
    let recipients: Vec<String> = recipients
        .iter()
        .map(|(path, RecipientDsn { notify, orcpt })| {
            let notify = notify.map_or(String::new(), |notify| format!(" NOTIFY={notify}"));
            let orcpt = orcpt.as_ref().map_or(String::new(), |orcpt| format!(" ORCPT={orcpt}"));
            format!("<{path}>{notify}{orcpt}")
        })
        .collect();
    let mut text = format!("<{reverse_path}> to {}", recipients.join(", "));
    if let Some(ret) = ret {
        text += &format!(" ret={ret:?}");
    }
    if let Some(envid) = envid {
        text += &format!(" envid={envid}");
    }
    if *smtputf8 {
        text += " smtputf8";
    }
    text
}

fn describe_facts(facts: &ContentFacts) -> String {
    let ContentFacts { client_name, protocol, tls, principal, single_recipient } = facts;
    let mut text = format!("BEGIN {protocol} {client_name:?}");
    if let Some(tls) = tls {
        text += &format!(" tls={}", tls.version);
    }
    if let Some(principal) = principal {
        text += &format!(" as={}", principal.name());
    }
    if let Some(recipient) = single_recipient {
        text += &format!(" for=<{recipient}>");
    }
    text
}

/// An answer to a question, as a transcript writes it.
fn answer(question: &Question, text: &str) -> Answer {
    match (question, text) {
        (Question::Admit, "granted") => Answer::Admit(Admission::Granted),
        (Question::Admit, "over rate") => Answer::Admit(Admission::OverRate),
        (Question::Admit, "in debt") => Answer::Admit(Admission::InDebt),
        (Question::Admit, "spool full") => Answer::Admit(Admission::SpoolFull),
        (Question::Admit, "revoked") => Answer::Admit(Admission::Revoked),
        (Question::Turn, "come") => Answer::Turn(Turn::Come),
        (Question::Turn, "line too long") => Answer::Turn(Turn::LineTooLong),
        (Question::Turn, "full") => Answer::Turn(Turn::Full),
        (Question::Recipient(_), "known") => Answer::Recipient(Existence::Known),
        (Question::Recipient(_), "unknown") => Answer::Recipient(Existence::Unknown),
        (Question::Recipient(_), "unavailable") => Answer::Recipient(Existence::Unavailable),
        (Question::Hold(_), "full") => Answer::Hold(Hold::Full),
        (Question::Hold(_), wait) => Answer::Hold(Hold::For(duration(wait))),
        (Question::Authenticate(_), "unavailable") => Answer::Authenticate(CheckAnswer::Unavailable),
        (Question::Store(_), "full") => Answer::Store(Stored::Full),
        (Question::Store(_), "failed") => Answer::Store(Stored::Failed),
        (Question::Store(_), "loop") => Answer::Store(Stored::Loop),
        (Question::Store(_), "header too long") => Answer::Store(Stored::HeaderTooLong),
        (Question::Store(_), "accepted") => Answer::Store(Stored::Accepted(QueueId::from_row(7).unwrap())),
        (question, text) => panic!("{question:?} -> {text}"),
    }
}

const TLS: TlsSession = TlsSession { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" };

/// The profile that these words describe.
pub(crate) fn profile(words: &BTreeMap<String, String>) -> Profile {
    let word = |key: &str| words.get(key).map(String::as_str);
    let list = |key: &str| word(key).map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
    // `accepted`, or with a network of its own: `any@192.0.2.200/32`.
    let trusted = list("trusted").unwrap_or_default().into_iter().map(|text| {
        let (relay_to, network) = text.split_once('@').unwrap_or((&text, "192.0.2.0/24"));
        TrustedNetwork {
            network: network.parse().unwrap(),
            relay_to: if relay_to == "any" { RelayTo::Any } else { RelayTo::AcceptedDomains },
            from: list("from").map(|patterns| {
                patterns.iter().map(|pattern| AddressPattern::parse(pattern).unwrap()).collect()
            }),
            rate: word("rate").map(world::per_minute),
        }
    });
    let authentication = match word("authentication") {
        Some("required") => Authentication::Required,
        _ => Authentication::Optional,
    };
    let limits = Limits {
        message_size: word("size").map(|text| text.parse().unwrap()),
        recipients: word("recipients").map_or(100, |text| text.parse().unwrap()),
    };
    let timeouts = Timeouts {
        command: Duration::from_secs(300),
        content: Duration::from_secs(300),
        whole: Duration::from_secs(1800),
    };
    Profile {
        hostname: "gw.example".into(),
        client: word("client").map_or(IpAddr::from([192, 0, 2, 31]), |text| text.parse().unwrap()),
        listener: Arc::new(ListenerPolicy {
            name: ListenerName::new("mx").unwrap(),
            trusted_networks: trusted.collect(),
            authentication,
        }),
        relay: Arc::new(world::relay()),
        tolerance: if word("tolerance") == Some("device") { Tolerance::Device } else { Tolerance::Strict },
        offers: Offers {
            starttls: word("tls") != Some("none"),
            mechanisms: list("mechanisms").map_or_else(all_mechanisms, |names| {
                names.iter().filter_map(|name| Mechanism::named(name)).collect()
            }),
            cleartext: if word("cleartext") == Some("allowed") {
                Cleartext::Allowed
            } else {
                Cleartext::Refused
            },
            hidden: list("hide").unwrap_or_default().into(),
        },
        tls: (word("tls") == Some("implicit")).then_some(TLS),
        limits,
        proved_limits: Limits { message_size: None, recipients: 1000 },
        room: Some(RecipientRoom::new(word("room").map_or(32 << 20, |text| text.parse().unwrap()))),
        nonces: Nonces::new([5; 32]),
        tarpit: if word("tarpit") == Some("exempt") { Standing::Exempt } else { Standing::Subject },
        listed: word("listed").map(|text| text.replace('_', " ").into()),
        timeouts,
    }
}

fn all_mechanisms() -> Vec<Mechanism> {
    vec![Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256]
}

/// `key=value` words; underscores in a value stand for spaces where a key wants them.
pub(crate) fn words_of(text: &str) -> BTreeMap<String, String> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}
