//! Which names are asked for by broadcast on UDP 137, and whether anybody was heard to answer.
//!
//! An answer is sent to the asker alone, so a host beside it hardly ever hears one. What tells is the asker itself: it
//! repeats its question, three times in all at 250 ms, until it is answered (RFC 1002 §5.1.2.1; Windows waits 750 ms).
//! Some programs ask only once, Samba's among them; for those it stays open.
//!
//! Sans-IO, and sending nothing: [`NameQuestions::handle_question`] and [`NameQuestions::handle_answer`] take what was
//! heard, [`NameQuestions::poll_output`] gives each question once its time is over. Bounded: past
//! [`NameQuestions::MOST`] open questions a new one is not followed, past [`NameQuestions::MOST_OF_ONE`] of one asker
//! neither.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::message::host::Silence;
use crate::wire::netbios_name::NetbiosName;

/// A question that nobody was heard to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// The name that was asked for.
    pub name: NetbiosName,
    /// Who asked.
    pub asker: IpAddr,
    /// Whether the question was repeated.
    pub silence: Silence,
}

/// Follows questions for names.
#[derive(Debug, Default)]
pub struct NameQuestions {
    open: HashMap<(IpAddr, NetbiosName), Open>,
    /// In the order of their first packets, which is that of their ends. A question that was answered is still here.
    ends: VecDeque<(Instant, (IpAddr, NetbiosName))>,
    over: VecDeque<Unanswered>,
}

#[derive(Debug)]
struct Open {
    packets: u32,
    /// When the last packet came, copies included.
    last: Instant,
    /// When the first packet came: what tells a question from a later one with the same name.
    end: Instant,
}

impl NameQuestions {
    /// Questions that are followed at once.
    pub const MOST: usize = 1024;

    /// Of these, how many of one asker: a printer server or a controller with a list of displays asks for many at once.
    pub const MOST_OF_ONE: usize = 64;

    /// For how long repeats are awaited: three questions at 750 ms, and some.
    pub const WINDOW: Duration = Duration::from_secs(3);

    /// Packets that come within this time of each other are one, heard over several interfaces or through several bridges.
    pub const COPIES: Duration = Duration::from_millis(100);

    /// Nothing was asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `asker` asked by broadcast for `name`.
    pub fn handle_question(&mut self, now: Instant, asker: IpAddr, name: NetbiosName) {
        self.handle_timeout(now);
        let key = (asker, name);
        if let Some(open) = self.open.get_mut(&key) {
            if now.saturating_duration_since(open.last) > Self::COPIES {
                open.packets = open.packets.saturating_add(1);
            }
            open.last = now;
            return;
        }
        let of_asker = self.open.keys().filter(|(of, _)| *of == asker);
        if self.ends.len() >= Self::MOST || of_asker.count() >= Self::MOST_OF_ONE {
            return;
        }
        let Some(end) = now.checked_add(Self::WINDOW) else { return };
        self.open.insert(key, Open { packets: 1, last: now, end });
        self.ends.push_back((end, key));
    }

    /// Somebody was heard to own `name`: an answer to `asker`, or to everyone.
    pub fn handle_answer(&mut self, asker: IpAddr, name: NetbiosName) {
        self.open.remove(&(asker, name));
    }

    /// When [`Self::handle_timeout`] is to be called; `None` while nothing is open. Calling it at other times does no
    /// harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Ends the questions whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((end, key)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            if self.open.get(&key).is_none_or(|open| open.end != end) {
                continue;
            }
            let Some(open) = self.open.remove(&key) else { continue };
            let silence = if open.packets > 1 { Silence::Repeated } else { Silence::AskedOnce };
            let (asker, name) = key;
            if self.over.len() < Self::MOST {
                self.over.push_back(Unanswered { name, asker, silence });
            }
        }
    }

    /// A question whose time is over, to be asked for until there is none.
    pub fn poll_output(&mut self) -> Option<Unanswered> {
        self.over.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::wire::netbios_name::NameType;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn name(text: &str) -> NetbiosName {
        NetbiosName::new(text.as_bytes(), NameType::MESSENGER).unwrap()
    }

    fn asker(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn all(questions: &mut NameQuestions) -> Vec<Unanswered> {
        std::iter::from_fn(|| questions.poll_output()).collect()
    }

    #[test]
    fn a_question_that_its_asker_repeats_had_no_answer_and_one_that_it_does_not_may_have_had_one() {
        let (mut questions, now) = (NameQuestions::new(), start());
        assert_eq!(questions.poll_timeout(), None);
        for repeat in 0..3 {
            questions.handle_question(now + Duration::from_millis(750) * repeat, asker(7), name("PC01"));
        }
        questions.handle_question(now, asker(8), name("PC01"));
        assert_eq!(all(&mut questions), []);
        assert_eq!(questions.poll_timeout(), Some(now + NameQuestions::WINDOW));
        questions.handle_timeout(now + NameQuestions::WINDOW);
        let expected = [(asker(7), Silence::Repeated), (asker(8), Silence::AskedOnce)]
            .map(|(asker, silence)| Unanswered { name: name("PC01"), asker, silence });
        assert_eq!(all(&mut questions), expected);
        assert_eq!(questions.poll_timeout(), None);
    }

    #[test]
    fn one_packet_that_is_heard_over_several_interfaces_is_no_repeat() {
        let (mut questions, now) = (NameQuestions::new(), start());
        for milliseconds in [0, 1, 3] {
            questions.handle_question(now + Duration::from_millis(milliseconds), asker(7), name("PC01"));
        }
        questions.handle_timeout(now + NameQuestions::WINDOW);
        assert_eq!(all(&mut questions)[0].silence, Silence::AskedOnce);
    }

    #[test]
    fn a_question_that_was_heard_to_be_answered_is_none() {
        let (mut questions, now) = (NameQuestions::new(), start());
        questions.handle_question(now, asker(7), name("PC01"));
        questions.handle_answer(asker(7), name("PC01"));
        let later = now + Duration::from_secs(1);
        questions.handle_question(later, asker(7), name("PC01"));
        questions.handle_timeout(now + NameQuestions::WINDOW);
        assert_eq!(all(&mut questions), [], "the second one is not over yet");
        questions.handle_timeout(later + NameQuestions::WINDOW);
        assert_eq!(all(&mut questions).len(), 1);
    }

    #[test]
    fn a_flood_of_questions_is_followed_in_bounds_and_one_asker_leaves_room_for_others() {
        let (mut questions, now) = (NameQuestions::new(), start());
        for number in 0..5000 {
            questions.handle_question(now, asker(7), name(&format!("X{number}")));
        }
        questions.handle_question(now, asker(8), name("PC01"));
        questions.handle_timeout(now + NameQuestions::WINDOW);
        let over = all(&mut questions);
        assert_eq!(over.len(), NameQuestions::MOST_OF_ONE + 1);
        assert_eq!(over.last().map(|last| last.asker), Some(asker(8)));
        for number in 0..5000_u32 {
            let asker = IpAddr::from(Ipv4Addr::from(0xC000_0200 + number));
            questions.handle_question(now + NameQuestions::WINDOW, asker, name("PC01"));
        }
        questions.handle_timeout(now + NameQuestions::WINDOW * 2);
        assert_eq!(all(&mut questions).len(), NameQuestions::MOST);
    }
}
