//! Messages of ours over TCP 139 to an smbd with a message command.

mod support;

use mailslotd::session::netbios_client::{Course, Framing, Outcome, Outgoing};
use mailslotd::wire::netbios_name::{NameType, NetbiosName};
use support::gateway::until;
use support::smbd::Smbd;
use support::{Missing, require, session_sender};

fn outgoing(text: &[u8]) -> Outgoing {
    let name = |text: &[u8]| NetbiosName::new(text, NameType::MESSENGER).unwrap();
    Outgoing {
        called: name(b"NBPEER"),
        calling: name(b"GW1"),
        from: b"GW1".to_vec(),
        to: b"NBPEER".to_vec(),
        text: text.to_vec(),
    }
}

#[test]
fn an_smbd_gets_short_messages_in_blocks_after_it_hung_up_on_a_whole_one() {
    let smbd = require!(Smbd::start().map_err(Missing));
    let (outcome, course) =
        session_sender::send(&outgoing(b"L\x81fter 3 steht\r\n"), Course::new(smbd.address()));
    assert_eq!((outcome, course.framing()), (Outcome::Confirmed, Framing::Blocks), "{outcome}");
    until("the message is there", || !smbd.messages().is_empty());
    assert_eq!(smbd.messages(), ["Lüfter 3 steht\n"]);
}

#[test]
fn an_smbd_gets_a_long_message_whole() {
    let smbd = require!(Smbd::start().map_err(Missing));
    let text = "0123456789".repeat(500);
    let (outcome, _) = session_sender::send(&outgoing(text.as_bytes()), Course::new(smbd.address()));
    assert_eq!(outcome, Outcome::Confirmed, "{outcome}");
    until("the message is there", || !smbd.messages().is_empty());
    assert_eq!(smbd.messages(), [text]);
}
