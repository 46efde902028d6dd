use proptest::prelude::*;

use super::*;

/// Everything given out, and what was left behind the end.
fn decode(pieces: &[&[u8]], tolerance: Tolerance) -> (Result<Vec<u8>, ContentFault>, Option<Vec<u8>>) {
    let mut decoder = ContentDecoder::new(Framing::Dots, tolerance, HeaderOctets::Ascii);
    let mut out = Vec::new();
    let mut left = None;
    for (number, piece) in pieces.iter().enumerate() {
        let mut rest = *piece;
        if decoder.decode(&mut rest, &mut out) == Progress::End {
            left = Some([rest, &pieces[number + 1..].concat()].concat());
            break;
        }
        assert!(rest.is_empty());
    }
    (decoder.finish(&mut out).map(|()| out), left)
}

fn content(bytes: &[u8], tolerance: Tolerance) -> Result<String, ContentFault> {
    let (content, left) = decode(&[bytes], tolerance);
    assert_eq!(left.as_deref(), Some(&b""[..]), "no end in {:?}", String::from_utf8_lossy(bytes));
    content.map(|octets| String::from_utf8(octets).unwrap())
}

fn strict(bytes: &[u8]) -> Result<String, ContentFault> {
    content(bytes, Tolerance::Strict)
}

fn device(bytes: &[u8]) -> String {
    content(bytes, Tolerance::Device).unwrap()
}

#[test]
fn what_a_device_is_borne_with_is_noted() {
    let quirks = |bytes: &[u8], header| {
        let mut decoder = ContentDecoder::new(Framing::Dots, Tolerance::Device, header);
        decoder.decode(&mut &*bytes, &mut Vec::new());
        decoder.quirks().to_string()
    };
    let long = [b"\r\n".as_slice(), &[b'x'; 1200], b"\r\n.\r\n"].concat();
    for (bytes, expected) in [
        (b"A: b\r\n\r\nc\xe9\r\n.\r\n".as_slice(), ""),
        (b"A: b\r\n\r\nc\nd\r\n.\r\n", "bare-line-end"),
        (b"A: b\r\r\n\r\n.\r\n", "bare-line-end"),
        (b"A: b\r\n\r\nc\0d\r\n.\r\n", "nul"),
        (b"A: b\xe9\r\n\r\n.\r\n", "8bit-header"),
        (&long, "long-line"),
    ] {
        assert_eq!(quirks(bytes, HeaderOctets::Ascii), expected, "{bytes:?}");
    }
    assert_eq!(quirks(b"A: b\xc3\xa9\r\n\r\n.\r\n", HeaderOctets::Utf8), "");
}

#[test]
fn dots_are_undone_and_the_end_is_found() {
    for read in [|bytes: &[u8]| strict(bytes).unwrap(), |bytes: &[u8]| device(bytes)] {
        assert_eq!(read(b".\r\n"), "", "an empty message");
        assert_eq!(read(b"..a\r\n...\r\nb.c\r\n.\r\n"), ".a\r\n..\r\nb.c\r\n");
        assert_eq!(read(b"a\r\n.b\r\n.\r\n"), "a\r\nb\r\n");
    }
    let (_, left) = decode(&[b"a\r\n.\r", b"\nMAIL", b" FROM"], Tolerance::Strict);
    assert_eq!(left.unwrap(), b"MAIL FROM");
}

#[test]
fn nothing_but_crlf_dot_crlf_ends_data() {
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\r\n.\0\r\n",
        "\r\n.\r\0\n",
        "\n.\r\r\n",
    ] {
        let bytes = format!("a{end}MAIL FROM:<x@example.net>\r\n.\r\n");
        for tolerance in [Tolerance::Strict, Tolerance::Device] {
            let (_, left) = decode(&[bytes.as_bytes()], tolerance);
            assert_eq!(left.as_deref(), Some(&b""[..]), "{end:?}");
        }
        assert!(strict(bytes.as_bytes()).is_err(), "{end:?}");
        let normal = device(bytes.as_bytes());
        assert!(normal.ends_with("\r\nMAIL FROM:<x@example.net>\r\n"), "{normal:?}");
    }
}

#[test]
fn what_a_device_sends_becomes_whole_lines() {
    assert_eq!(device(b"a\nb\rc\r\r\nd\0e\r\n\r\n.\r\n"), "a\r\nb\r\nc\r\nde\r\n\r\n");
    assert_eq!(device(b"a\r\r\rb\r\n.\r\n"), "a\r\n\r\n\r\nb\r\n");
    assert_eq!(device(b"a\n.css\r\n.\r\n"), "a\r\n.css\r\n", "a dot behind a bare LF was not doubled");
}

#[test]
fn what_breaks_the_rules_is_refused_by_name_and_read_to_the_end() {
    let long = [vec![b'x'; 999], b"\r\n.\r\n".to_vec()].concat();
    let refused: [(&[u8], ContentFault); 7] = [
        (b"a\nb\r\n.\r\n", ContentFault::BareLineEnd),
        (b"a\rb\r\n.\r\n", ContentFault::BareLineEnd),
        (b"a\r\r\n.\r\n", ContentFault::BareLineEnd),
        (b"a\0\n\r\n.\r\n", ContentFault::Nul),
        (b"Subject: \xC3\xBC\r\n.\r\n", ContentFault::EightBitHeader),
        (b"\r\n\0\r\n.\r\n", ContentFault::Nul),
        (&long, ContentFault::LineTooLong),
    ];
    for (bytes, fault) in refused {
        assert_eq!(strict(bytes), Err(fault));
    }
    assert_eq!(strict(b"a: b\r\n\r\n\xC3\xBC\r\n.\r\n").unwrap(), "a: b\r\n\r\nü\r\n");
    assert!(strict(&long[1..]).is_ok(), "998 octets are a line");
    assert!(strict(&[b".", &long[1..]].concat()).is_ok(), "the doubled dot does not count");
}

#[test]
fn a_header_in_utf8_passes_where_it_was_announced() {
    let mut decoder = ContentDecoder::new(Framing::Dots, Tolerance::Strict, HeaderOctets::Utf8);
    let mut out = Vec::new();
    assert_eq!(decoder.decode(&mut "Subject: ü\r\n.\r\n".as_bytes(), &mut out), Progress::End);
    assert_eq!(decoder.finish(&mut out), Ok(()));
}

fn chunks(pieces: &[&[u8]], tolerance: Tolerance) -> Result<Vec<u8>, ContentFault> {
    let mut decoder = ContentDecoder::new(Framing::Chunks, tolerance, HeaderOctets::Ascii);
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        assert_eq!(decoder.decode(&mut rest, &mut out), Progress::More);
    }
    decoder.finish(&mut out).map(|()| out)
}

#[test]
fn chunks_keep_their_dots_and_end_nowhere_by_themselves() {
    for tolerance in [Tolerance::Strict, Tolerance::Device] {
        assert_eq!(chunks(&[b"a\r", b"\n.\r\n..b"], tolerance).unwrap(), b"a\r\n.\r\n..b\r\n");
    }
    assert_eq!(chunks(&[b"a\r"], Tolerance::Strict), Err(ContentFault::BareLineEnd));
    assert_eq!(chunks(&[b"a\r"], Tolerance::Device).unwrap(), b"a\r\n");
    assert_eq!(chunks(&[b"a\r\r"], Tolerance::Device).unwrap(), b"a\r\n\r\n");
}

fn folded(text: &str) -> Vec<String> {
    let whole = device(format!("{text}\r\n.\r\n").as_bytes());
    let lines: Vec<String> = whole.strip_suffix("\r\n").unwrap().split("\r\n").map(str::to_owned).collect();
    assert!(lines.iter().all(|line| line.len() <= 998));
    lines
}

#[test]
fn a_long_header_field_stays_one_field() {
    let words = "word ".repeat(400);
    let lines = folded(&format!("Subject: {}", words.trim_end()));
    assert_eq!(lines.len(), 3);
    assert!(lines[1..].iter().all(|line| line.starts_with(" word")), "{lines:?}");
    assert_eq!(lines.concat(), format!("Subject: {}", words.trim_end()), "unfolding restores it");

    let hostile = format!("X: {}Bcc: all@example.com", "x".repeat(995));
    assert!(folded(&hostile)[1..].iter().all(|line| line.starts_with(' ')));
    let blank = format!("X: a{}b", " ".repeat(1200));
    assert!(folded(&blank).iter().all(|line| !line.trim().is_empty()), "no line ends the header");
}

#[test]
fn a_fold_in_a_body_cuts_nothing_that_it_need_not() {
    let body = |text: &str| folded(&format!("a: b\r\n\r\n{text}"))[2..].to_vec();
    let base64 = "QUJD".repeat(600);
    assert_eq!(body(&base64).concat(), base64);
    let escaped = format!("x{}", "=C3=BC".repeat(300));
    assert!(
        body(&escaped).iter().all(|line| line.len() % 3 < 2 && line.trim_start_matches('x').starts_with('='))
    );
    let umlauts = "ü".repeat(900);
    assert_eq!(body(&umlauts).concat(), umlauts);
    let boundary = format!("{}--boundary--", "x".repeat(998));
    assert!(body(&boundary).iter().all(|line| !line.starts_with('-')), "{:?}", body(&boundary));
    let html = format!("<p>{}</p>", "word ".repeat(300));
    assert!(body(&html)[1].starts_with(" word"));
    let japanese = format!("{}\u{1b}$B{}\u{1b}(B", "x".repeat(900), "F|K\\".repeat(40));
    assert_eq!(body(&japanese)[0].len(), 900);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let octets = b"\r\r\n\n..a\0 \x81".to_vec();
    prop_oneof![
        6 => proptest::collection::vec(proptest::sample::select(octets), 0..24),
        1 => (500_usize..1200, 0_usize..30).prop_map(|(length, tail)| [vec![b'x'; length], b" y".repeat(tail)].concat()),
        1 => Just(b"\r\n.\r\n".to_vec()),
    ]
}

#[test]
fn of_two_faults_in_a_line_the_first_counts_wherever_pieces_end() {
    for (at, expected) in [
        (997, ContentFault::EightBitHeader),
        (998, ContentFault::LineTooLong),
        (1100, ContentFault::LineTooLong),
    ] {
        let mut line = vec![b'x'; 1200];
        line[at] = 0xE9;
        let bytes = [&line, b"\r\n.\r\n".as_slice()].concat();
        for size in [1, 500, 998, 999, bytes.len()] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(decode(&pieces, Tolerance::Strict).0, Err(expected), "octet {at}, pieces of {size}");
        }
    }
}

proptest! {
    #[test]
    fn piece_borders_do_not_show(
        pieces in proptest::collection::vec(piece(), 0..8),
        size in 1_usize..40,
    ) {
        let whole = pieces.concat();
        let cut: Vec<&[u8]> = whole.chunks(size).collect();
        for tolerance in [Tolerance::Strict, Tolerance::Device] {
            prop_assert_eq!(decode(&cut, tolerance), decode(&[&whole], tolerance));
            prop_assert_eq!(chunks(&cut, tolerance), chunks(&[&whole], tolerance));
        }
    }

    #[test]
    fn what_is_given_out_keeps_the_rules(pieces in proptest::collection::vec(piece(), 0..8)) {
        let whole = pieces.concat();
        for tolerance in [Tolerance::Strict, Tolerance::Device] {
            let results = [decode(&[&whole], tolerance).0, chunks(&[&whole], tolerance)];
            for out in results.into_iter().flatten() {
                let text: String = out.iter().copied().map(char::from).collect();
                prop_assert!(text.is_empty() || text.ends_with("\r\n"));
                prop_assert_eq!(text.replace("\r\n", "").find(['\r', '\n', '\0']), None);
                prop_assert!(text.split("\r\n").all(|line| line.chars().count() <= 998));
                prop_assert!(out.len() <= 2 * whole.len() + 1000);
            }
        }
    }
}
