use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::message::session_message::SessionMessage;
use crate::policy::called_name::CalledNames;
use crate::session::netbios_session::{self, Decision, NetbiosSession, Profile};
use crate::wire::netbios_name::{NameType, NetbiosName, Scope};
use crate::wire::session_service::RefusalCode;
use crate::wire::smb::Status;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn message(text: &[u8]) -> Outgoing {
    let name = |text: &[u8]| NetbiosName::new(text, NameType::MESSENGER).unwrap();
    Outgoing {
        called: name(b"ALERTS"),
        calling: name(b"GW1"),
        from: b"GW1".to_vec(),
        to: b"ALERTS".to_vec(),
        text: text.to_vec(),
    }
}

fn client(text: &[u8], framing: Framing) -> NetbiosClient {
    NetbiosClient::new(start(), message(text), framing, Timeouts::default())
}

/// Sends a message to a receiver of our own that decides like this; the outcome, and what it received.
fn to_our_own(
    outgoing: Outgoing,
    framing: Framing,
    decision: Decision,
) -> (Option<Outcome>, Vec<SessionMessage>) {
    let now = start();
    let names = CalledNames::new(b"GW2", [b"ALERTS".as_slice()], Scope::default());
    let profile = Profile { names: Arc::new(names), timeouts: netbios_session::Timeouts::default() };
    let mut server = NetbiosSession::new(now, profile);
    let mut client = NetbiosClient::new(now, outgoing, framing, Timeouts::default());
    let (mut outcome, mut received) = (None, Vec::new());
    loop {
        let mut idle = true;
        while let Some(output) = client.poll_output() {
            idle = false;
            match output {
                Output::Send(bytes) => server.handle_input(now, netbios_session::Input::Bytes(&bytes)),
                Output::Closed(how) => outcome = Some(how),
            }
        }
        while let Some(output) = server.poll_output() {
            idle = false;
            match output {
                // Octet by octet, as a slow network brings them.
                netbios_session::Output::Send(bytes) => {
                    bytes.iter().for_each(|byte| client.handle_input(now, Input::Bytes(&[*byte])));
                }
                netbios_session::Output::Deliver(message) => {
                    received.push(*message);
                    server.handle_input(now, netbios_session::Input::Decided(decision));
                }
                netbios_session::Output::Abandoned(why) => panic!("{why:?}"),
                netbios_session::Output::Closed(_) => client.handle_input(now, Input::Disconnected),
            }
        }
        if idle {
            return (outcome, received);
        }
    }
}

#[test]
fn every_length_arrives_at_our_own_receiver_however_it_is_cut() {
    for framing in [Framing::WholeWhereItFits, Framing::Blocks] {
        for length in [0, 1, 127, 128, 129, 256, 1500, 65_536] {
            let text: Vec<u8> = (0..length).map(|number: u32| (number % 251) as u8).collect();
            let (outcome, received) = to_our_own(message(&text), framing, Decision::Durable);
            assert_eq!(outcome, Some(Outcome::Confirmed), "{length} bytes");
            let [received] = received.as_slice() else { panic!("{length} bytes: {received:?}") };
            assert_eq!(received.fields(), Text { from: b"GW1", to: b"ALERTS", text: &text });
        }
    }
}

#[test]
fn a_refusal_of_the_message_and_one_of_the_session_are_told_apart() {
    let (outcome, _) = to_our_own(message(b"x"), Framing::Blocks, Decision::Refused);
    assert_eq!(outcome, Some(Outcome::Refused(Status::REQUEST_NOT_ACCEPTED)));
    let others =
        Outgoing { called: NetbiosName::new(b"OTHERS", NameType::MESSENGER).unwrap(), ..message(b"x") };
    let (outcome, _) = to_our_own(others, Framing::Blocks, Decision::Durable);
    let refused = Outcome::SessionRefused(RefusalCode::CALLED_NAME_NOT_PRESENT);
    assert_eq!(outcome, Some(refused));
    assert_eq!(refused.to_string(), "the receiver opens no session: it does not have this name (error 0x82)");
}

/// A client that was told these packets; its last word.
fn told(mut client: NetbiosClient, packets: &[Packet<'_>]) -> Option<Outcome> {
    for packet in packets {
        let mut bytes = Vec::new();
        packet.emit(&mut bytes).unwrap();
        client.handle_input(start(), Input::Bytes(&bytes));
    }
    last_word(&mut client)
}

fn last_word(client: &mut NetbiosClient) -> Option<Outcome> {
    std::iter::from_fn(|| client.poll_output())
        .filter_map(|output| match output {
            Output::Closed(outcome) => Some(outcome),
            Output::Send(_) => None,
        })
        .last()
}

#[test]
fn a_retarget_answer_says_where() {
    let packet = Packet::Retarget { address: Ipv4Addr::new(192, 0, 2, 9), port: 1139 };
    let outcome = told(client(b"x", Framing::Blocks), &[Packet::KeepAlive, packet]);
    assert_eq!(outcome, Some(Outcome::Retargeted("192.0.2.9:1139".parse().unwrap())));
}

#[test]
fn an_end_of_the_connection_means_what_its_moment_says() {
    let mut opening = client(b"x", Framing::WholeWhereItFits);
    opening.handle_input(start(), Input::Disconnected);
    assert_eq!(last_word(&mut opening), Some(Outcome::Lost(Stage::Opening)));

    let mut whole = client(b"x", Framing::WholeWhereItFits);
    whole.handle_input(start(), Input::Bytes(&[0x82, 0, 0, 0]));
    whole.handle_input(start(), Input::Disconnected);
    assert_eq!(last_word(&mut whole), Some(Outcome::HungUpOnWhole));

    let mut blocks = client(b"x", Framing::Blocks);
    blocks.handle_input(start(), Input::Bytes(&[0x82, 0, 0, 0]));
    blocks.handle_input(start(), Input::Disconnected);
    assert_eq!(last_word(&mut blocks), Some(Outcome::Lost(Stage::Sending)));
}

#[test]
fn silence_has_an_end() {
    let now = start();
    let mut client = NetbiosClient::new(now, message(b"x"), Framing::WholeWhereItFits, Timeouts::default());
    client.handle_timeout(now + Duration::from_secs(9));
    client.handle_input(now + Duration::from_secs(9), Input::Bytes(&[0x82, 0, 0, 0]));
    client.handle_timeout(now + Duration::from_secs(38));
    assert_eq!(last_word(&mut client), None);
    client.handle_timeout(now + Duration::from_secs(39));
    assert_eq!(last_word(&mut client), Some(Outcome::TimedOut(Stage::Sent)));
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn what_no_receiver_says_ends_it() {
    let answer = |command, flags| {
        let mut smb = Vec::new();
        Header { flags, ..Header::new(command) }.emit(&mut smb);
        smb.extend([0; 3]);
        smb
    };
    let not_asked = answer(Command::END_MB, Header::REPLY);
    let request = answer(Command::SEND_MESSAGE, 0);
    for said in [not_asked.as_slice(), &request, b"\xFFSMB", b"220 mail.example ESMTP"] {
        let outcome =
            told(client(b"x", Framing::WholeWhereItFits), &[Packet::Positive, Packet::Message(said)]);
        assert_eq!(outcome, Some(Outcome::NotAReceiver(Stage::Sent)), "{}", said.escape_ascii());
    }
    for octets in [b"220 mail.example ESMTP\r\n".as_slice(), &[0, 1, 0, 0]] {
        let mut client = client(b"x", Framing::Blocks);
        client.handle_input(start(), Input::Bytes(octets));
        assert_eq!(last_word(&mut client), Some(Outcome::NotAReceiver(Stage::Opening)));
    }
}
