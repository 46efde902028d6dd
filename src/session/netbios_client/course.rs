//! From one connection to the next, when the first did not do.

use std::net::SocketAddrV4;

use super::border::{Framing, Outcome};

/// Where a message goes, and how it is cut; at most a few connections, whatever receivers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    target: SocketAddrV4,
    framing: Framing,
    retargets: u8,
}

impl Course {
    /// A message to the receiver at this address, first as Windows cuts it.
    #[must_use]
    pub const fn new(target: SocketAddrV4) -> Self {
        Self { target, framing: Framing::WholeWhereItFits, retargets: 0 }
    }

    /// The same, but cut into blocks from the beginning: for a receiver that is known to want them.
    #[must_use]
    pub const fn in_blocks(self) -> Self {
        Self { framing: Framing::Blocks, ..self }
    }

    /// Where to connect.
    #[must_use]
    pub const fn target(&self) -> SocketAddrV4 {
        self.target
    }

    /// How to cut the message.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The next connection, where one may do better; `None`: `outcome` is the last word.
    ///
    /// A receiver that hung up on a whole message gets it in blocks: Samba takes no whole one from a sender that has not
    /// negotiated. It is repeated although another kind of receiver might have taken it, since a message twice is better
    /// than none.
    ///
    /// A receiver may send to another address, but to no other network (RFC 1002 §4.3.5 does not bound it): else whoever
    /// answers could have us connect anywhere.
    #[must_use]
    pub fn after(self, outcome: &Outcome) -> Option<Self> {
        match *outcome {
            Outcome::HungUpOnWhole if self.framing == Framing::WholeWhereItFits => {
                Some(Self { framing: Framing::Blocks, ..self })
            }
            Outcome::Retargeted(target) if self.retargets < MAX_RETARGETS && self.is_near(target) => {
                Some(Self { target, retargets: self.retargets.saturating_add(1), ..self })
            }
            Outcome::HungUpOnWhole
            | Outcome::Retargeted(_)
            | Outcome::Confirmed
            | Outcome::SessionRefused(_)
            | Outcome::Refused(_)
            | Outcome::Lost(_)
            | Outcome::TimedOut(_)
            | Outcome::NotAReceiver(_) => None,
        }
    }

    /// The same /16: another address of the same host, or a host of the same site.
    fn is_near(&self, target: SocketAddrV4) -> bool {
        self.target.ip().octets().first_chunk::<2>() == target.ip().octets().first_chunk::<2>()
    }
}

const MAX_RETARGETS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::super::Stage;
    use super::*;
    use crate::wire::session_service::RefusalCode;

    fn at(target: &str) -> Course {
        Course::new(target.parse().unwrap())
    }

    #[test]
    fn a_receiver_that_hangs_up_on_a_whole_message_gets_blocks_once() {
        let course = at("192.0.2.7:139").after(&Outcome::HungUpOnWhole).unwrap();
        assert_eq!((course.framing(), course.target()), (Framing::Blocks, at("192.0.2.7:139").target()));
        assert_eq!(course.after(&Outcome::HungUpOnWhole), None);
    }

    #[test]
    fn a_receiver_elsewhere_is_followed_nearby_and_not_in_circles() {
        let to = |text: &str| Outcome::Retargeted(text.parse().unwrap());
        let mut course = at("192.0.2.7:139");
        course = course.after(&to("192.0.2.8:1139")).unwrap();
        assert_eq!(course.target().to_string(), "192.0.2.8:1139");
        course = course.after(&to("192.0.2.7:139")).unwrap();
        assert_eq!(course.after(&to("192.0.2.8:1139")), None);
        assert_eq!(at("192.0.2.7:139").after(&to("203.0.113.1:25")), None);
    }

    #[test]
    fn every_other_outcome_is_the_last_word() {
        for outcome in [
            Outcome::Confirmed,
            Outcome::SessionRefused(RefusalCode::CALLED_NAME_NOT_PRESENT),
            Outcome::Lost(Stage::Sent),
            Outcome::TimedOut(Stage::Opening),
            Outcome::NotAReceiver(Stage::Opening),
        ] {
            assert_eq!(at("192.0.2.7:139").after(&outcome), None);
        }
    }
}
