use super::*;

fn at(text: &str) -> Zoned {
    text.parse().unwrap()
}

fn status(address: &str, action: Action, code: (u8, u16, u16), diagnostic: &str) -> RecipientStatus {
    RecipientStatus {
        address: address.to_owned(),
        orcpt: None,
        action,
        status: EnhancedStatus::new(code.0, code.1, code.2),
        remote_mta: Some("mail.corp.example".to_owned()),
        diagnostic: diagnostic.to_owned(),
        last_attempt: at("2026-03-05T09:00:00+09:00[Asia/Tokyo]"),
    }
}

struct Case {
    sender: &'static str,
    postmaster: Option<&'static str>,
    envid: Option<&'static str>,
    alphabet: Alphabet,
    recipients: Vec<RecipientStatus>,
    returned: Returned,
}

fn compose(case: &Case) -> String {
    let postmaster = case.postmaster.map(|text| Mailbox::parse(text).unwrap());
    let notification = Notification {
        hostname: "gw1.plant.example",
        postmaster: postmaster.as_ref(),
        sender: &Mailbox::parse(case.sender).unwrap(),
        id: "01K8Z4Q3M7T2W.1772668801000000.dsn",
        at: &at("2026-03-05T09:00:01+09:00[Asia/Tokyo]"),
        accepted_at: &at("2026-03-05T08:30:00+09:00[Asia/Tokyo]"),
        envid: case.envid,
        alphabet: case.alphabet,
        recipients: &case.recipients,
        returned: case.returned.clone(),
    };
    let text = String::from_utf8(notification.compose().to_vec()).unwrap();
    assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n']) && line.len() <= 998), "{text}");
    text.replace("\r\n", "\n")
}

fn header() -> Returned {
    Returned::Header(Bytes::from_static(b"From: scanner7@corp.example\r\nSubject: scan\r\n"))
}

/// Compares with what a person has read and found good.
fn matches_golden(name: &str, golden: &str, case: &Case) {
    let found = compose(case);
    assert!(found == golden, "{name} differs, it is now:\n{found}");
}

#[test]
fn a_failure_at_the_next_hop_with_all_that_the_sender_gave() {
    let mut refused = status(
        "a@corp.example",
        Action::Failed,
        (5, 1, 1),
        "550 5.1.1 <a@corp.example>: Recipient address rejected: User unknown in local recipient table",
    );
    refused.orcpt = Some("rfc822;a+2Bscan@plant.example".to_owned());
    let mut unsent = status(
        "b@corp.example",
        Action::Failed,
        (5, 3, 4),
        "the message has 4096 octets, message_size allows 1024",
    );
    unsent.remote_mta = None;
    let case = Case {
        sender: "scanner7@corp.example",
        postmaster: Some("it@corp.example"),
        envid: Some("QQ+2B314159"),
        alphabet: Alphabet::Ascii,
        recipients: vec![refused, unsent],
        returned: header(),
    };
    matches_golden("failed.eml", include_str!("../../../tests/fixtures/dsn/failed.eml"), &case);
}

#[test]
fn late_delivered_and_handed_on_in_one_report_with_the_whole_message() {
    let until = at("2026-03-10T08:30:00+09:00[Asia/Tokyo]");
    let case = Case {
        sender: "scanner7@corp.example",
        postmaster: None,
        envid: None,
        alphabet: Alphabet::Ascii,
        recipients: vec![
            status("late@corp.example", Action::Delayed { until }, (4, 2, 2), "452 4.2.2 mailbox full"),
            status("read@corp.example", Action::Delivered, (2, 0, 0), ""),
            status("on@corp.example", Action::Relayed, (2, 0, 0), "250 2.0.0 queued as 1234"),
        ],
        returned: Returned::Message(Bytes::from_static(
            b"Subject: scan\r\n\r\n--=_01K8Z4Q3M7T2W.1772668801000000.dsn\r\n",
        )),
    };
    matches_golden("mixed.eml", include_str!("../../../tests/fixtures/dsn/mixed.eml"), &case);
}

#[test]
fn an_address_outside_ascii_is_told_in_letters_only_to_a_sender_whose_mail_had_them() {
    let case = |alphabet| Case {
        sender: "scanner7@corp.example",
        postmaster: None,
        envid: None,
        alphabet,
        recipients: vec![status(
            "jörg@corp.example",
            Action::Failed,
            (5, 6, 7),
            "550 5.6.7 no letters like ö here",
        )],
        returned: header(),
    };
    let ascii = compose(&case(Alphabet::Ascii));
    assert!(ascii.is_ascii());
    assert!(ascii.contains("Final-Recipient: utf-8; j\\x{F6}rg@corp.example\n"), "{ascii}");
    let utf8 = compose(&case(Alphabet::Utf8));
    for part in ["message/global-delivery-status", "message/global-headers", "charset=utf-8"] {
        assert!(utf8.contains(part), "{part} in {utf8}");
    }
    assert!(utf8.contains("Final-Recipient: utf-8; jörg@corp.example\n"), "{utf8}");
}

#[test]
fn nothing_that_a_host_or_a_sender_wrote_adds_a_field() {
    let mut evil =
        status("a@corp.example", Action::Failed, (5, 1, 1), "550 x\r\nAction: delivered\r\n\r\n--=_");
    evil.orcpt = Some("rfc822;a+0D+0AAction:+20delivered".to_owned());
    evil.remote_mta = Some("mx\r\nAction: delivered".to_owned());
    let case = Case {
        sender: "scanner7@corp.example",
        postmaster: None,
        envid: Some("x+0D+0AAction:+20delivered"),
        alphabet: Alphabet::Ascii,
        recipients: vec![evil],
        returned: header(),
    };
    let text = compose(&case);
    assert_eq!(
        text.lines().filter(|line| line.starts_with("Action:")).collect::<Vec<_>>(),
        ["Action: failed"]
    );
}

#[test]
fn an_original_recipient_that_is_no_xtext_is_left_out() {
    for orcpt in ["rfc822;a b", "no type", ";x", "rf c;x"] {
        let mut recipient = status("a@corp.example", Action::Failed, (5, 1, 1), "");
        recipient.orcpt = Some(orcpt.to_owned());
        let case = Case {
            sender: "scanner7@corp.example",
            postmaster: None,
            envid: None,
            alphabet: Alphabet::Ascii,
            recipients: vec![recipient],
            returned: header(),
        };
        assert!(!compose(&case).contains("Original-Recipient"), "{orcpt}");
    }
}
