//! A session driven by dice: pieces, answers, time and accidents at random, and what must hold whatever comes.
#![expect(clippy::disallowed_methods, reason = "an origin for virtual time")]

use std::time::{Duration, Instant};

use mailslotd::message::id::QueueId;
use mailslotd::policy::account::{CheckAnswer, Refusal};
use mailslotd::session::smtp_server::{
    Admission, Answer, Behind, Existence, Hold, Input, MAX_READ, Output, Profile, Question, SmtpServer,
    Standing, Stored, TlsSession, Turn,
};

/// Numbers that are the same in every run (xorshift).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// Feeds a session these octets; returns how many messages it took.
pub(crate) fn run(profile: Profile, octets: &[u8], dice: &mut Dice) -> usize {
    let now = Instant::now();
    let mut session = Session {
        machine: SmtpServer::new(now, profile),
        now,
        question: None,
        content: Content::None,
        holds: 0,
        replied: 0,
        given_out: 0,
        stored: 0,
        closed: false,
        handshake: false,
    };
    let mut rest = octets;
    session.collect();
    for _ in 0..octets.len() * 4 + 400 {
        if session.closed {
            break;
        }
        session.step(&mut rest, dice);
    }
    if !session.closed {
        session.input(Input::Disconnected);
    }
    assert!(session.closed);
    assert!(session.machine.poll_output().is_none() && session.machine.poll_read().is_none());
    assert_eq!(session.machine.poll_timeout(), None);
    assert!(session.given_out <= 2 * octets.len() + 1000 * (session.stored + 1));
    assert!(session.replied <= 700 * (octets.len() / 4 + 4), "{} octets of replies", session.replied);
    session.stored
}

struct Session {
    machine: SmtpServer,
    now: Instant,
    question: Option<Question>,
    content: Content,
    /// Delays that were answered and whose reply has not come.
    holds: usize,
    replied: usize,
    given_out: usize,
    stored: usize,
    closed: bool,
    handshake: bool,
}

#[derive(Debug, PartialEq)]
enum Content {
    None,
    Begun,
}

impl Session {
    fn step(&mut self, rest: &mut &[u8], dice: &mut Dice) {
        match dice.below(1000) {
            0 => return self.input(Input::Disconnected),
            1 => return self.input(Input::Shutdown),
            2 => {
                self.now += Duration::from_secs(100);
                self.machine.handle_timeout(self.now);
                return self.collect();
            }
            _ => {}
        }
        if let Some(question) = self.question.take() {
            let answer = self.answer(&question, dice);
            self.input(Input::Answer(answer));
        } else if std::mem::take(&mut self.handshake) {
            self.input(Input::TlsEstablished(TlsSession {
                version: "TLSv1.3",
                cipher: "TLS_AES_128_GCM_SHA256",
            }));
        } else if let Some(most) = self.machine.poll_read() {
            assert!(most <= MAX_READ);
            // A line at a time for the most part, or no DATA would ever be obeyed.
            let line = rest.windows(2).position(|two| two == b"\r\n").map_or(rest.len(), |end| end + 2);
            let wanted = if dice.below(20) == 0 { 1 + dice.below(300) } else { line };
            let length = most.min(rest.len()).min(wanted);
            let (piece, left) = rest.split_at(length);
            *rest = left;
            if piece.is_empty() { self.input(Input::Disconnected) } else { self.input(Input::Bytes(piece)) }
        } else if let Some(deadline) = self.machine.poll_timeout() {
            self.now = self.now.max(deadline);
            self.machine.handle_timeout(self.now);
            self.collect();
        }
    }

    fn answer(&mut self, question: &Question, dice: &mut Dice) -> Answer {
        let rare = dice.below(12) == 0;
        match question {
            Question::Admit if rare => Answer::Admit(
                [Admission::OverRate, Admission::InDebt, Admission::SpoolFull, Admission::Revoked]
                    [dice.below(4)],
            ),
            Question::Admit => Answer::Admit(Admission::Granted),
            Question::Turn if rare => Answer::Turn([Turn::LineTooLong, Turn::Full][dice.below(2)]),
            Question::Turn => Answer::Turn(Turn::Come),
            Question::Recipient(_) if rare => {
                Answer::Recipient([Existence::Unknown, Existence::Unavailable][dice.below(2)])
            }
            Question::Recipient(_) => Answer::Recipient(Existence::Known),
            Question::Hold(_) if rare => Answer::Hold(Hold::Full),
            Question::Hold(_) => {
                self.holds += 1;
                Answer::Hold(Hold::For(Duration::from_secs([0, 5][dice.below(2)])))
            }
            Question::Behind => Answer::Behind(if rare { Behind::Input } else { Behind::Nothing }),
            Question::Authenticate(_) if rare => Answer::Authenticate(CheckAnswer::Unavailable),
            Question::Authenticate(_) => Answer::Authenticate(CheckAnswer::Refused(Refusal::WrongPassword)),
            Question::Store(_) if rare => Answer::Store(
                [Stored::Full, Stored::Failed, Stored::Loop, Stored::HeaderTooLong][dice.below(4)],
            ),
            Question::Store(_) => {
                self.stored += 1;
                Answer::Store(Stored::Accepted(QueueId::from_row(1).unwrap()))
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            assert!(!self.closed, "{output:?} behind the end");
            match output {
                Output::Reply { code, octets } => {
                    self.replied += octets.len();
                    if code >= 500 && self.machine.standing() == Standing::Subject {
                        self.holds = self.holds.checked_sub(1).expect("a 5yz that was not held");
                    }
                }
                Output::StartTls => self.handshake = true,
                Output::Ask(question) => {
                    if matches!(question, Question::Store(_)) {
                        assert_eq!(std::mem::replace(&mut self.content, Content::None), Content::Begun);
                    }
                    self.question = Some(question);
                }
                Output::BeginContent(_) => {
                    assert_eq!(std::mem::replace(&mut self.content, Content::Begun), Content::None);
                }
                Output::Content(octets) => {
                    assert_eq!(self.content, Content::Begun);
                    self.given_out += octets.len();
                }
                Output::AbandonContent(_) => {
                    assert_eq!(std::mem::replace(&mut self.content, Content::None), Content::Begun);
                }
                Output::Denied { .. } => {}
                Output::TurnOver => assert_eq!(self.machine.standing(), Standing::Subject),
                Output::Closed(_) => {
                    assert_eq!(self.content, Content::None, "a content is left behind");
                    self.closed = true;
                }
            }
        }
    }
}
