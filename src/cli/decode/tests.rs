use std::io::Write as _;

use super::*;

fn bytes_of(words: &[&str]) -> Result<Vec<u8>, String> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    match input(&words)? {
        Input::Bytes(bytes) => Ok(bytes),
        Input::Capture(_) => panic!("a capture"),
    }
}

#[test]
fn digits_may_be_written_as_any_tool_prints_them() {
    for words in
        [&["1002ab"][..], &["10", "02", "AB"], &["10:02:ab"], &["0x10,0x02,0xab"], &["\\x10\\x02\\xab"]]
    {
        assert_eq!(bytes_of(words), Ok(vec![0x10, 0x02, 0xAB]), "{words:?}");
    }
}

#[test]
fn what_is_no_byte_is_refused_with_its_place() {
    assert_eq!(
        bytes_of(&["10zz"]).unwrap_err(),
        "\"10zz\" is no file, and not bytes in hexadecimal either: 'z' at character 3 is no hexadecimal digit"
    );
    assert_eq!(bytes_of(&["10", "0"]).unwrap_err(), "3 digits are half a byte too many");
    assert!(bytes_of(&[" "]).is_err());
}

#[test]
fn a_file_is_a_capture_by_its_first_bytes_and_hexadecimal_text_otherwise() {
    let fixture =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pcap/11-crafted-messngr-mailslots.pcap");
    assert!(matches!(input(&[fixture.to_owned()]), Ok(Input::Capture(_))));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"10 02\n01 00\n").unwrap();
    assert_eq!(bytes_of(&[file.path().to_str().unwrap()]), Ok(vec![0x10, 0x02, 0x01, 0x00]));
    let mut compressed = tempfile::NamedTempFile::new().unwrap();
    compressed.write_all(b"\x1F\x8B\x08\x00\xFF\xFE").unwrap();
    let error = bytes_of(&[compressed.path().to_str().unwrap()]).unwrap_err();
    assert!(error.contains("must be decompressed"), "{error}");
}

#[test]
fn every_netbios_packet_of_a_genuine_capture_finds_its_service() {
    let fixture =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pcap/01-nmbd-startup-election-announce.pcap");
    let Ok(Input::Capture(capture)) = input(&[fixture.to_owned()]) else { panic!("no capture") };
    let mut ports = Vec::new();
    for packet in *capture {
        let packet = packet.unwrap();
        let port = port_of(&packet).unwrap();
        let sender = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Never };
        let text = describe(port, &packet.payload, sender);
        assert!(!text.contains("  ! "), "frame {}: {text}", packet.frame);
        ports.push(port);
    }
    assert!(ports.contains(&Port::NameService) && ports.contains(&Port::Datagram), "{ports:?}");
}

#[test]
fn what_a_capture_could_not_tell_is_said_in_words() {
    assert!(skipped_lines(Skipped::default()).is_empty());
    let skipped = Skipped { cut_or_damaged: 2, lone_fragments: 1, ..Skipped::default() };
    let [cut, fragments] = skipped_lines(skipped).try_into().unwrap();
    assert!(cut.starts_with("2 frames are damaged") && fragments.starts_with("1 IP fragments"));
}
