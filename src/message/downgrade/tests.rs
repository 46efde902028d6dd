use proptest::prelude::*;

use super::*;

fn downgraded(mail: &[u8], piece: usize) -> Vec<u8> {
    let mut survey = Survey::new();
    mail.chunks(piece).for_each(|piece| survey.push(piece));
    let (mut downgrade, mut out) = (Downgrade::new(survey.finish()), Vec::new());
    mail.chunks(piece).for_each(|piece| downgrade.push(piece, &mut out));
    downgrade.finish(&mut out);
    out
}

fn text(mail: &str) -> String {
    String::from_utf8(downgraded(mail.replace('\n', "\r\n").as_bytes(), 4096)).unwrap().replace("\r\n", "\n")
}

#[test]
fn the_parts_of_a_mail_that_need_it_are_encoded_and_no_others() {
    let mail = include_str!("../../../tests/fixtures/downgrade/mixed.eml");
    let golden = include_str!("../../../tests/fixtures/downgrade/mixed.out");
    let found = text(mail);
    assert!(found == golden, "it is now:\n{found}");
}

#[test]
fn a_device_s_text_without_any_mime_is_quoted_printable_of_an_unknown_charset() {
    assert_eq!(
        text("Subject: Füllstand niedrig\nTo: a@b.example\n\nBehälter 1 \nEnde\n"),
        "Subject: =?utf-8?B?RsO8bGxzdGFuZA==?= niedrig\nTo: a@b.example\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n\
         Beh=C3=A4lter 1=20\nEnde\n"
    );
    assert_eq!(
        text("\nü"),
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC"
    );
}

#[test]
fn two_words_that_are_encoded_keep_the_blank_between_them() {
    let found = text("Subject: über\n größe x <ä@b.example>\n\nä\n");
    assert!(
        found.starts_with("Subject: =?utf-8?B?w7xiZXIgZ3LDtsOfZQ==?= x <=?utf-8?B?w6RAYi5leGFtcGxl?=>\n"),
        "{found}"
    );
}

#[test]
fn a_header_in_no_known_charset_says_so() {
    let found = downgraded(b"Subject: \x83\x67\x83\x69\r\n\r\nx\r\n", 4096);
    assert!(found.starts_with(b"Subject: =?unknown-8bit?B?g2eDaQ==?=\r\n"), "{found:?}");
}

#[test]
fn a_long_line_breaks_softly_and_binary_content_comes_back_whole() {
    let line = "ä".repeat(100);
    let found = text(&format!("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{line}\n"));
    assert!(found.split('\n').all(|line| line.len() <= 76), "{found}");
    assert_eq!(
        found.split_once("\n\n").unwrap().1.replace("=\n", "").replace("=C3=A4", "ä"),
        format!("{line}\n")
    );
}

#[test]
fn a_mail_in_seven_bits_stays_as_it_is() {
    let mail = include_str!("../../../tests/fixtures/dsn/mixed.eml");
    assert_eq!(text(mail), mail);
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()),
        Just(b"Content-Type: message/rfc822\r\n".to_vec()),
        Just(b"Content-Type: application/x\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: 8bit\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"--b\r\n".to_vec()),
        Just(b"--b--\r\n".to_vec()),
        Just(b"x\xE9: \xFF".to_vec()),
        Just(b"text\r\n".to_vec()),
        Just(b" ".to_vec()),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_leaves_in_ascii_and_the_borders_of_pieces_do_not_show(
        words in proptest::collection::vec(word(), 0..24), piece in 1..40_usize,
    ) {
        let mail = words.concat();
        let whole = downgraded(&mail, mail.len().max(1));
        prop_assert!(whole.is_ascii());
        prop_assert_eq!(&downgraded(&mail, piece), &whole);
        prop_assert_eq!(&downgraded(&whole, piece), &whole, "a second time changes nothing");
    }
}
