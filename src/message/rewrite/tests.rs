use super::*;

fn licensed() -> Mailbox {
    Mailbox::parse("alerts@corp.example").unwrap()
}

fn rewritten(header: &str, name: &str) -> String {
    let path = Mailbox::parse("scanner7@plant.example").unwrap();
    String::from_utf8(rewrite(header.as_bytes(), &licensed(), name, Some(&path))).unwrap()
}

#[test]
fn a_device_s_from_becomes_the_licensed_mailbox_and_stays_to_be_answered() {
    assert_eq!(
        rewritten(
            "Received: x\r\nFrom: Scanner 7\r\n <scanner7@plant.example>\r\nSubject: scan\r\n\r\n",
            "Scanner 7"
        ),
        "Received: x\r\n\
         From: \"Scanner 7\" <alerts@corp.example>\r\n\
         Reply-To: Scanner 7\r\n <scanner7@plant.example>\r\n\
         X-Original-From: Scanner 7\r\n <scanner7@plant.example>\r\n\
         Subject: scan\r\n\r\n"
    );
}

#[test]
fn a_reply_to_of_the_mail_stays_and_a_sender_is_set_aside() {
    assert_eq!(
        rewritten("From: a@b.example\r\nSender: c@d.example\r\nReply-To: e@f.example\r\n\r\n", "a@b.example"),
        "From: \"a@b.example\" <alerts@corp.example>\r\n\
         X-Original-From: a@b.example\r\n\
         X-Original-Sender: c@d.example\r\n\
         Reply-To: e@f.example\r\n\r\n"
    );
}

#[test]
fn a_mail_without_a_usable_from_is_answered_to_its_reverse_path() {
    for (header, rest) in [
        ("Subject: x\r\n\r\n", "Reply-To: <scanner7@plant.example>\r\n\r\n"),
        ("From: scanner\r\n\r\n", "Reply-To: <scanner7@plant.example>\r\nX-Original-From: scanner\r\n\r\n"),
        ("", "Reply-To: <scanner7@plant.example>\r\n"),
    ] {
        let found = rewritten(header, "gateway");
        assert!(found.ends_with(&format!("From: \"gateway\" <alerts@corp.example>\r\n{rest}")), "{found}");
    }
    let null = rewrite(b"Subject: x\r\n\r\n", &licensed(), "", None);
    assert_eq!(null, b"Subject: x\r\nFrom: <alerts@corp.example>\r\n\r\n");
}

#[test]
fn a_second_from_and_forged_originals_go() {
    let found = rewritten(
        "X-Original-From: boss@corp.example\r\nFrom: a@b.example\r\nfrom : c@d.example\r\n\r\n",
        "a",
    );
    assert_eq!(
        found,
        "From: \"a\" <alerts@corp.example>\r\nReply-To: a@b.example\r\nX-Original-From: a@b.example\r\n\r\n"
    );
}

#[test]
fn no_display_name_adds_a_field_or_an_address() {
    for (name, from) in [
        ("a\" <boss@corp.example>, \"b", "\"a\\\" <boss@corp.example>, \\\"b\""),
        ("a\r\nBcc: x@y.example", "\"a Bcc: x@y.example\""),
        ("=?utf-8?q?=0D=0ABcc:x?=", "=?UTF-8?B?PT91dGYtOD9xPz0wRD0wQUJjYzp4Pz0=?=\r\n"),
        ("back\\slash", "\"back\\\\slash\""),
        ("スキャナ 7", "=?UTF-8?B?44K544Kt44Oj44OKIDc=?=\r\n"),
    ] {
        let found = rewritten("From: a@b.example\r\n\r\n", name);
        assert!(found.starts_with(&format!("From: {from} <alerts@corp.example>\r\nReply-To: ")), "{found}");
        assert!(!found.to_lowercase().contains("\nbcc:"), "{found}");
    }
}

#[test]
fn an_author_is_known_whatever_its_form() {
    for (value, address, name) in [
        ("a@b.example", Some("a@b.example"), ""),
        (" \"Scanner, 7\" <a@b.example>", Some("a@b.example"), "Scanner, 7"),
        ("a@b.example (Scanner 7)", Some("a@b.example"), ""),
        (
            "=?ISO-2022-JP?B?GyRCJTklLSVjJUobKEI=?=\r\n =?utf-8?q?_7=21?= <a@b.example>",
            Some("a@b.example"),
            "スキャナ 7!",
        ),
        ("\"say \\\"hi\\\"\" <a@b.example>, c@d.example", Some("a@b.example"), "say \"hi\""),
        ("=?x-unknown?q?abc?= <a@b.example>", Some("a@b.example"), "=?x-unknown?q?abc?="),
        ("scanner", None, ""),
        ("Scanner <scanner>", None, "Scanner"),
        ("", None, ""),
        ("<<<", None, "<<"),
        ("\"<x@y.example>\" <a@b.example>", Some("a@b.example"), "<x@y.example>"),
    ] {
        let header = format!("From: {value}\r\n\r\n");
        let expected =
            Author { address: address.map(|text| Mailbox::parse(text).unwrap()), name: name.to_owned() };
        assert_eq!(author(header.as_bytes()), Some(expected), "{value}");
    }
    assert_eq!(author(b"Subject: x\r\n\r\n"), None);
}
