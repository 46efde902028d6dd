use std::time::Duration;

use super::*;
use crate::wire::datagram::Datagram;
use crate::wire::mailslot::MailslotWrite;

fn outgoing(from: &str, to: &str, text: &str, code_page: CodePage) -> Result<Outgoing, Unsendable> {
    Outgoing::new(from, &to.parse().unwrap(), text, code_page)
}

/// What a receiver reads: MSG_TYPE, the names of the header, From, To and Text.
fn received(bytes: &[u8]) -> (MsgType, String, String, Vec<u8>, Vec<u8>, Vec<u8>) {
    let Ok(Datagram::Direct(direct)) = Datagram::parse(bytes) else { panic!("no direct datagram") };
    assert!(!direct.length_mismatch());
    let write = MailslotWrite::parse(direct.user_data).unwrap();
    assert_eq!(write.name.as_str(), r"\MAILSLOT\MESSNGR");
    let text = Text::parse(write.data).unwrap();
    let (source, destination) = (direct.source_name.to_string(), direct.destination_name.to_string());
    (direct.msg_type, source, destination, text.from.to_vec(), text.to.to_vec(), text.text.to_vec())
}

#[test]
fn each_kind_of_receiver_has_its_own_name_type_and_msg_type() {
    for (to, msg_type, destination) in [
        ("alerts", MsgType::DirectUnique, "ALERTS<03>"),
        ("*", MsgType::Broadcast, "*<00>"),
        ("/domain:plant", MsgType::DirectGroup, "PLANT<00>"),
        ("/DOMAIN:plant", MsgType::DirectGroup, "PLANT<00>"),
    ] {
        let message = outgoing("ups7", to, "on battery", CodePage::Cp437).unwrap();
        let source = "192.0.2.7:138".parse().unwrap();
        let (kind, from, name, claimed, addressed, text) = received(&message.datagram(7, source).unwrap());
        assert_eq!((kind, from.as_str(), name.as_str()), (msg_type, "UPS7<03>", destination));
        let (to, _) = destination.split_once('<').unwrap();
        assert_eq!(
            (&claimed[..], &addressed[..], &text[..]),
            (&b"UPS7"[..], to.as_bytes(), &b"on battery"[..])
        );
    }
}

#[test]
fn receivers_that_make_no_sense_are_refused() {
    for text in ["", "/domain:", "/users", "/domain"] {
        assert!(text.parse::<To>().is_err(), "{text:?}");
    }
}

#[test]
fn text_goes_in_the_receivers_code_page_with_their_line_breaks() {
    let message = outgoing("küche", "alerts", "Öl\nläuft", CodePage::Cp850).unwrap();
    assert_eq!(message.from, b"K\x9ACHE");
    assert_eq!(message.text, b"\x99l\r\nl\x84uft");
}

#[test]
fn a_character_without_a_place_is_named_and_not_replaced() {
    let error = outgoing("UPS7", "ALERTS", "5 €", CodePage::Cp437).unwrap_err().to_string();
    assert_eq!(
        error,
        "the text: '€' (U+20AC) has no place in cp437; leave it out, or give the receivers' code page with --code-page"
    );
    assert!(
        outgoing("UPS7", "電源", "x", CodePage::Cp850).unwrap_err().to_string().starts_with("the name: ")
    );
}

#[test]
fn a_text_of_just_the_limit_goes_and_one_byte_more_is_refused_with_the_number() {
    // 424 bytes less UPS7, ALERTS and three NULs.
    let message = outgoing("UPS7", "ALERTS", &"x".repeat(411), CodePage::Cp437).unwrap();
    assert!(message.datagram(1, "192.0.2.7:138".parse().unwrap()).is_ok());
    let error = outgoing("UPS7", "ALERTS", &"x".repeat(412), CodePage::Cp437).unwrap_err().to_string();
    assert_eq!(error, "the text takes 412 bytes in cp437; beside these names 411 fit into one datagram");
    // The limit is in bytes, and in CP932 a kana takes two.
    assert!(outgoing("UPS7", "ALERTS", &"ア".repeat(206), CodePage::Cp932).is_err());
}

#[test]
fn a_name_of_sixteen_bytes_and_a_nul_are_refused() {
    let error = outgoing("UPS7", "SIXTEENBYTENAME1", "x", CodePage::Cp437).unwrap_err().to_string();
    assert_eq!(error, "the name \"SIXTEENBYTENAME1\" takes 16 bytes in cp437; a NetBIOS name has at most 15");
    assert!(matches!(outgoing("UPS7", "ALERTS", "a\0b", CodePage::Cp437), Err(Unsendable::Nul)));
}

#[test]
fn a_name_that_nobody_would_see_is_refused() {
    for from in ["", " ", "UP\0", "A\nBcc: x@y"] {
        assert!(matches!(outgoing(from, "ALERTS", "x", CodePage::Cp437), Err(Unsendable::UnfitName(_))));
    }
}

#[test]
fn addresses_take_the_port_of_the_service_unless_they_name_one() {
    assert_eq!(parse_address("192.0.2.255"), Ok("192.0.2.255:138".parse().unwrap()));
    assert_eq!(parse_address("127.0.0.1:10138"), Ok("127.0.0.1:10138".parse().unwrap()));
    assert!(parse_address("gw1").is_err() && parse_address("[::1]:138").is_err());
}

#[test]
fn a_receiver_on_loopback_hears_it_with_the_true_source_in_its_header() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let SocketAddr::V4(target) = receiver.local_addr().unwrap() else { panic!("IPv4") };
    let message = outgoing("UPS7", "ALERTS", "on battery", CodePage::Cp437).unwrap();
    send_to(&open().unwrap(), &message, target).unwrap();
    let mut buffer = [0; 1024];
    let (length, source) = receiver.recv_from(&mut buffer).unwrap();
    let Ok(Datagram::Direct(direct)) = Datagram::parse(&buffer[..length]) else { panic!("no datagram") };
    assert_eq!(source, SocketAddr::from((direct.header.source_ip, direct.header.source_port)));
    assert_eq!(received(&buffer[..length]).5, b"on battery");
}
