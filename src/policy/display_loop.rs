//! Whether a message that is to go to a legacy display would go in a circle.
//!
//! A display may be a gateway: this one under another name, or one that sends on what it hears. Nothing in a legacy
//! message counts its hops, so what goes to a display carries a mark in its text, and what carries one already goes to no
//! other display.

use std::net::Ipv4Addr;

/// Why a message would go in a circle; the text goes on after "the message".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Circle {
    /// The display's name is one that this gateway answers to.
    #[error("is for a name that this gateway itself answers to")]
    OwnName,
    /// The display's address is this machine's.
    #[error("would come back: the display is on this machine")]
    OwnHost,
    /// The message came from the host that it would go to.
    #[error("came from the host that it would go to")]
    ItsSource,
    /// A gateway has sent it to a display before.
    #[error("was sent to a display by a gateway before: its text carries a gateway's mark")]
    Marked,
}

/// What is known of a message and of the display that it would go to.
#[derive(Debug, Clone, Copy)]
pub struct Journey<'a> {
    /// The addresses that answer to the display's name.
    pub hosts: &'a [Ipv4Addr],
    /// Those of this machine.
    pub own: &'a [Ipv4Addr],
    /// Where the message came from, for a legacy one.
    pub source: Option<Ipv4Addr>,
}

impl Journey<'_> {
    /// Whether the message may go.
    ///
    /// # Errors
    /// [`Circle`].
    pub fn check(&self) -> Result<(), Circle> {
        if self.hosts.iter().any(|host| host.is_loopback() || self.own.contains(host)) {
            return Err(Circle::OwnHost);
        }
        match self.source {
            Some(source) if self.hosts.contains(&source) => Err(Circle::ItsSource),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a message may go to `receiver` from somebody who goes by `senders`: where nobody owns a name its mailslot is
/// written to by broadcast, and the sender would read that as well.
///
/// # Errors
/// [`Circle::ItsSource`].
pub fn check_names(receiver: &str, senders: &[&str]) -> Result<(), Circle> {
    let receiver = receiver.to_uppercase();
    if senders.iter().any(|sender| sender.to_uppercase() == receiver) {
        Err(Circle::ItsSource)
    } else {
        Ok(())
    }
}

/// What the gateway with this NetBIOS name writes under a text that it sends to a display.
#[must_use]
pub fn mark(host_name: &str) -> String {
    format!("{MARK}{host_name}]")
}

/// Whether some gateway has sent this text to a display.
#[must_use]
pub fn is_marked(text: &str) -> bool {
    let name = |rest: &str| rest.split_once(']').map(|(name, _)| name.chars().count());
    text.split(MARK).skip(1).any(|rest| name(rest).is_some_and(|length| (1..=15).contains(&length)))
}

const MARK: &str = "[mailslotd ";

#[cfg(test)]
mod tests {
    use super::*;

    const fn host(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, last)
    }

    #[test]
    fn what_would_come_back_to_this_machine_or_to_its_sender_does_not_go() {
        let check = |hosts: &[Ipv4Addr], source| Journey { hosts, own: &[host(1)], source }.check();
        assert_eq!(check(&[host(9)], Some(host(7))), Ok(()));
        assert_eq!(check(&[host(9)], None), Ok(()));
        assert_eq!(check(&[host(9), host(1)], None), Err(Circle::OwnHost));
        assert_eq!(check(&[Ipv4Addr::LOCALHOST], None), Err(Circle::OwnHost));
        assert_eq!(check(&[host(8), host(9)], Some(host(9))), Err(Circle::ItsSource));
        assert_eq!(check(&[], Some(host(9))), Ok(()), "a broadcast goes to others as well");
        assert_eq!(check_names("PC01", &["UPS7", "Müller"]), Ok(()));
        assert_eq!(check_names("ups7", &["UPS7", "Müller"]), Err(Circle::ItsSource));
        assert_eq!(check_names("MÜLLER", &["UPS7", "Müller"]), Err(Circle::ItsSource));
    }

    #[test]
    fn a_text_is_marked_wherever_the_mark_stands_and_ordinary_brackets_are_none() {
        assert!(is_marked(&format!("door open\r\n{}", mark("GW1"))));
        assert!(is_marked(&format!("> quoted {} in a mail\nmore", mark("FIFTEENLETTERSX"))));
        for text in ["", "[mailslotd", "[mailslotd ]", "[mailslotd is great, they say]", "mailslotd GW1"] {
            assert!(!is_marked(text), "{text}");
        }
    }
}
