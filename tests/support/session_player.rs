//! The player of NetBIOS session transcripts: a client, a kernel buffer, and decisions, all on virtual time.
#![expect(clippy::disallowed_methods, reason = "an origin for virtual time")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailslotd::message::session_message::SessionMessage;
use mailslotd::policy::called_name::CalledNames;
use mailslotd::session::netbios_session::{Decision, Input, NetbiosSession, Output, Profile, Timeouts};
use mailslotd::wire::messenger::{MessageGroupId, Request, Response, Text};
use mailslotd::wire::netbios_name::{NameType, NetbiosName, Scope};
use mailslotd::wire::session_service::{Endpoint, Packet, Received};
use mailslotd::wire::smb::{Command, Header};
use transcript::unescape;

#[path = "transcript.rs"]
mod transcript;

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
        .filter(|path| path.extension().is_some_and(|extension| extension == "nbss"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
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
    let mut player = Player::new(pieces);
    let mut lines = script.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end())).peekable();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
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
        } else {
            let (expected, decision) = line.rsplit_once(" -> ").map_or((line, None), |(e, d)| (e, Some(d)));
            match player.done.pop_front() {
                Some(did) if did == expected => {}
                Some(did) => {
                    return Err(format!("line {number}: expected {expected:?}, the machine does {did:?}"));
                }
                None => {
                    return Err(format!("line {number}: expected {expected:?}, the machine does nothing"));
                }
            }
            if let Some(decision) = decision {
                player.expect_nothing(number)?;
                player.decide(decision);
            }
        }
    }
    player.expect_nothing(script.lines().count())
}

/// A client and the session that serves it.
pub(crate) struct Player {
    machine: NetbiosSession,
    pieces: Pieces,
    now: Instant,
    /// What the client has sent and the machine has not read.
    kernel: VecDeque<u8>,
    /// What the machine did and the transcript has not named yet.
    pub(crate) done: VecDeque<String>,
    /// The messages that it gave out.
    pub(crate) messages: Vec<SessionMessage>,
    /// Whether one is being decided about.
    pub(crate) deciding: bool,
    pub(crate) closed: bool,
}

impl Player {
    pub(crate) fn new(pieces: Pieces) -> Self {
        let aliases: [&[u8]; 3] = [b"ALERTS", b"OPERATORS", b"SMBALPHA"];
        let profile = Profile {
            names: Arc::new(CalledNames::new(b"GW1", aliases, Scope::default())),
            timeouts: Timeouts::default(),
        };
        let now = Instant::now();
        Self {
            machine: NetbiosSession::new(now, profile),
            pieces,
            now,
            kernel: VecDeque::new(),
            done: VecDeque::new(),
            messages: Vec::new(),
            deciding: false,
            closed: false,
        }
    }

    /// The client sends octets.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.kernel.extend(octets);
        self.read();
    }

    /// Feeds what the machine is willing to read of what is there.
    fn read(&mut self) {
        while let Some(most) = self.machine.poll_read() {
            let most = if self.pieces == Pieces::Octets { 1 } else { most };
            let octets: Vec<u8> = self.kernel.drain(..most.min(self.kernel.len())).collect();
            if octets.is_empty() {
                break;
            }
            self.machine.handle_input(self.now, Input::Bytes(&octets));
            self.collect();
        }
    }

    fn input(&mut self, line: &str) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("LOST", _) => self.handle(Input::Disconnected),
            ("SHUTDOWN", _) => self.handle(Input::Shutdown),
            ("DECIDE", decision) => self.decide(decision),
            ("TIME", rest) => {
                let seconds = rest.strip_prefix('+').and_then(|rest| rest.strip_suffix('s')).unwrap();
                self.now += Duration::from_secs(seconds.parse().unwrap());
                // Calls before the deadline must change nothing.
                self.machine.handle_timeout(self.now);
                self.collect();
                self.read();
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.now, input);
        self.collect();
        self.read();
    }

    pub(crate) fn decide(&mut self, decision: &str) {
        let decision = match decision {
            "durable" => Decision::Durable,
            "duplicate" => Decision::Duplicate,
            "refused" => Decision::Refused,
            "nothing yet" => return,
            other => panic!("{other}"),
        };
        self.deciding = false;
        self.handle(Input::Decided(decision));
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            assert!(!self.closed, "{output:?} after the end");
            let did = match output {
                Output::Send(octets) => describe_answer(&octets),
                Output::Deliver(message) => {
                    let did = describe_message(&message);
                    self.messages.push(*message);
                    self.deciding = true;
                    did
                }
                Output::Abandoned(why) => format!("ABANDONED {why:?}"),
                Output::Closed(ending) => {
                    self.closed = true;
                    assert_eq!((self.machine.poll_read(), self.machine.poll_timeout()), (None, None));
                    format!("CLOSED {ending:?}")
                }
            };
            self.done.push_back(did);
        }
    }

    fn expect_nothing(&self, number: usize) -> Result<(), String> {
        match self.done.front() {
            None => Ok(()),
            Some(did) => Err(format!("line {number}: the machine also does {did:?}")),
        }
    }
}

fn is_input(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    matches!(word, "LOST" | "TIME" | "SHUTDOWN" | "DECIDE")
}

fn describe_message(message: &SessionMessage) -> String {
    let Text { from, to, text } = message.fields();
    let shown = |text: &[u8]| {
        if text.len() > 200 {
            format!("{} bytes", text.len())
        } else {
            format!("\"{}\"", text.escape_ascii())
        }
    };
    let names = [message.calling(), message.called()].map(NetbiosName::to_string).join(" to ");
    format!("DELIVER {names}: {} to {}: {}", shown(from), shown(to), shown(text))
}

/// An answer, which must be one packet that repeats the identifiers of the request.
fn describe_answer(octets: &[u8]) -> String {
    let Ok(Received::Complete { packet, consumed }) = Packet::parse(octets) else {
        panic!("no packet: {}", octets.escape_ascii());
    };
    assert_eq!(consumed, octets.len(), "one packet at a time");
    match packet {
        Packet::Positive => "S: positive".to_owned(),
        Packet::Negative(code) => format!("S: negative {:02X}", code.0),
        Packet::Message(smb) if smb.get(4) == Some(&0x72) => {
            assert_eq!(smb[32..], [1, 0xFF, 0xFF, 0, 0]);
            "S: no dialect".to_owned()
        }
        Packet::Message(smb) => {
            let (header, response) = Response::parse(smb).unwrap();
            assert_eq!(header.flags & Header::REPLY, Header::REPLY);
            let command = header.command.0;
            match response {
                Response::Done => format!("S: {command:02X} done"),
                Response::Started { group } => format!("S: {command:02X} started {}", group.0),
                Response::Refused(status) => {
                    format!("S: {command:02X} refused {}/{}", status.class, status.code)
                }
            }
        }
        other @ (Packet::Request { .. } | Packet::Retarget { .. } | Packet::KeepAlive) => {
            panic!("a server does not send {other:?}")
        }
    }
}

/// What a line of a transcript has the client send, if anything.
pub(crate) fn client_octets(line: &str) -> Option<Vec<u8>> {
    if let Some(text) = line.strip_prefix("C> ") {
        return Some(unescape(text));
    }
    let (word, rest) = line.strip_prefix("C: ").map(|rest| rest.split_once(' ').unwrap_or((rest, "")))?;
    let mut words = rest.splitn(3, ' ');
    let mut next = || unescape(words.next().filter(|word| *word != "-").unwrap_or_default());
    Some(match word {
        "request" => {
            let (called, calling) = rest.split_once(" from ").unwrap();
            packet(&Packet::Request { called: endpoint(called), calling: endpoint(calling) })
        }
        "keepalive" => packet(&Packet::KeepAlive),
        "positive" => packet(&Packet::Positive),
        "smb" => {
            let mut smb = Vec::new();
            header(u8::from_str_radix(rest, 16).unwrap()).emit(&mut smb);
            smb.extend([0; 3]);
            packet(&Packet::Message(&smb))
        }
        "single" => {
            let [from, to, text] = [next(), next(), next()];
            request(&Request::Single(Text { from: &from, to: &to, text: &text }))
        }
        "start" => {
            let [from, to] = [next(), next()];
            request(&Request::Start { from: &from, to: &to })
        }
        "text" => {
            let (group, text) = rest.split_once(' ').unwrap_or((rest, ""));
            request(&Request::Block { group: MessageGroupId(group.parse().unwrap()), text: &unescape(text) })
        }
        // A block of so many letters.
        "letters" => {
            let text = vec![b'x'; rest.parse().unwrap()];
            request(&Request::Block { group: MessageGroupId(1), text: &text })
        }
        "end" => request(&Request::End { group: MessageGroupId(rest.parse().unwrap()) }),
        other => panic!("{other}"),
    })
}

fn header(command: u8) -> Header {
    Header { pid_low: 0x1234, mid: 1, ..Header::new(Command(command)) }
}

fn request(request: &Request<'_>) -> Vec<u8> {
    let mut smb = Vec::new();
    request.emit(header(0), &mut smb).unwrap();
    packet(&Packet::Message(&smb))
}

fn packet(packet: &Packet<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    packet.emit(&mut octets).unwrap();
    octets
}

/// `ALERTS<03>`, `ALERTS<03>.PLANT.LOCAL`
fn endpoint(text: &str) -> Endpoint {
    let (name, rest) = text.split_once('<').unwrap();
    let (kind, scope) = rest.split_once('>').unwrap();
    let kind = NameType(u8::from_str_radix(kind, 16).unwrap());
    let scope = Scope::new(scope.trim_start_matches('.').as_bytes()).unwrap();
    Endpoint { name: NetbiosName::new(name.as_bytes(), kind).unwrap(), scope }
}
