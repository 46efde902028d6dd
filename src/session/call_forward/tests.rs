use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

fn mailbox() -> Mailbox {
    Mailbox::parse("Ops@corp.example").unwrap()
}

fn session() -> (Instant, CallForward) {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let now = Instant::now();
    (now, CallForward::new(now, "gw.example".to_owned(), TIMEOUT))
}

/// A session that was greeted and said EHLO.
fn idle(extensions: &str) -> (Instant, CallForward) {
    let (now, mut session) = session();
    assert_eq!(said(&mut session, now, "220 mx.corp.example\r\n"), [send("EHLO gw.example\r\n")]);
    assert_eq!(said(&mut session, now, extensions), [Output::Idle]);
    (now, session)
}

fn said(session: &mut CallForward, now: Instant, replies: &str) -> Vec<Output> {
    session.handle_input(now, Input::Bytes(replies.as_bytes()));
    outputs(session)
}

fn asked(session: &mut CallForward, now: Instant, mailbox: &Mailbox) -> Vec<Output> {
    session.handle_input(now, Input::Ask(mailbox));
    outputs(session)
}

fn outputs(session: &mut CallForward) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn send(text: &str) -> Output {
    Output::Send(text.as_bytes().to_vec())
}

fn answer(existence: Existence, text: &str) -> Output {
    Output::Answer(existence, text.to_owned())
}

#[test]
fn a_question_goes_out_at_once_where_there_is_pipelining() {
    let (now, mut session) = idle("250-mx\r\n250 PIPELINING\r\n");
    let all = "MAIL FROM:<>\r\nRCPT TO:<Ops@corp.example>\r\nRSET\r\n";
    for _ in 0..2 {
        assert_eq!(asked(&mut session, now, &mailbox()), [send(all)]);
        let outputs = said(&mut session, now, "250 2.1.0 ok\r\n550 5.1.1 no such user\r\n250 ok\r\n");
        assert_eq!(outputs, [answer(Existence::Unknown, "550 5.1.1 no such user"), Output::Idle]);
    }
    session.handle_input(now, Input::Quit);
    assert_eq!(outputs(&mut session), [send("QUIT\r\n")]);
    assert_eq!(said(&mut session, now, "221 bye\r\n"), [Output::Closed(Ending::Quit)]);
}

#[test]
fn without_pipelining_each_command_waits_for_its_reply() {
    let (now, mut session) = idle("250 mx\r\n");
    assert_eq!(asked(&mut session, now, &mailbox()), [send("MAIL FROM:<>\r\n")]);
    assert_eq!(said(&mut session, now, "250 ok\r\n"), [send("RCPT TO:<Ops@corp.example>\r\n")]);
    assert_eq!(said(&mut session, now, "250 ok\r\n"), [answer(Existence::Known, "250 ok"), send("RSET\r\n")]);
    assert_eq!(said(&mut session, now, "250 ok\r\n"), [Output::Idle]);
}

#[test]
fn a_next_hop_that_refuses_the_null_reverse_path_has_not_answered() {
    let refused = "550 5.7.1 no bounces here";
    let (now, mut session) = idle("250 mx\r\n");
    asked(&mut session, now, &mailbox());
    let outputs = said(&mut session, now, &format!("{refused}\r\n"));
    assert_eq!(outputs, [answer(Existence::Unavailable, refused), send("RSET\r\n")]);
    assert_eq!(said(&mut session, now, "250 ok\r\n"), [Output::Idle]);

    let (now, mut session) = idle("250-mx\r\n250 PIPELINING\r\n");
    asked(&mut session, now, &mailbox());
    let outputs = said(&mut session, now, &format!("{refused}\r\n550 5.1.1 no mail\r\n250 ok\r\n"));
    assert_eq!(outputs, [answer(Existence::Unavailable, refused), Output::Idle]);
}

#[test]
fn only_a_reply_about_this_very_mailbox_says_that_it_is_unknown() {
    use Existence::{Known, Unavailable, Unknown};
    for (text, expected) in [
        ("250 2.1.5 ok", Known),
        ("251 user not local; will forward", Known),
        ("252 cannot verify", Unavailable),
        ("550 5.1.1 <x>: Recipient address rejected: User unknown in virtual mailbox table", Unknown),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", Unknown),
        ("550 5.1.0 address rejected", Unknown),
        ("551 5.1.6 moved", Unknown),
        ("553 5.1.3 bad mailbox", Unknown),
        ("550 no such user", Unknown),
        ("550 Unrouteable address", Unknown),
        ("550 5.1.2 domain not found", Unavailable),
        ("550 5.1.8 sender's domain", Unavailable),
        ("550 5.7.1 blocked", Unavailable),
        ("550 5.7.1 relaying denied", Unavailable),
        ("550 relay not permitted", Unavailable),
        ("550 Administrative prohibition", Unavailable),
        ("550-Your address is listed in a DNS block list\r\n550 go away", Unavailable),
        ("551 user not local", Unavailable),
        ("553 no", Unavailable),
        ("554 5.1.1 odd code", Unavailable),
        ("554 5.7.1 Relay access denied", Unavailable),
        ("530 5.7.0 Must issue a STARTTLS command first", Unavailable),
        ("501 5.1.3 syntax", Unavailable),
        ("552 5.2.2 mailbox full", Unavailable),
        ("450 4.1.1 unverified", Unavailable),
        ("451 4.7.1 greylisted", Unavailable),
        ("452 4.3.1 full", Unavailable),
        ("550 4.1.1 classes disagree", Unavailable),
    ] {
        let reply = ReplyParser::new().parse(&mut format!("{text}\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!(existence(&reply), expected, "{text}");
    }
}

#[test]
fn an_old_next_hop_is_greeted_with_helo() {
    let (now, mut session) = session();
    said(&mut session, now, "220 mx\r\n");
    assert_eq!(said(&mut session, now, "502 what?\r\n"), [send("HELO gw.example\r\n")]);
    assert_eq!(said(&mut session, now, "250 mx\r\n"), [Output::Idle]);
}

#[test]
fn a_next_hop_that_does_not_want_to_talk_is_quoted() {
    let (now, mut session) = session();
    let closed = Output::Closed(Ending::Refused("554 5.7.1 go away".to_owned()));
    assert_eq!(said(&mut session, now, "554 5.7.1 go away\r\n"), [closed]);
    assert_eq!(said(&mut session, now, "220 mx\r\n"), []);
}

#[test]
fn what_comes_unasked_is_taken_for_nobodys_answer() {
    let (now, mut session) = idle("250 mx\r\n");
    assert_eq!(said(&mut session, now, "250 ok\r\n"), [Output::Closed(Ending::NotSmtp)]);
    let (now, mut session) = idle("250 mx\r\n");
    assert_eq!(said(&mut session, now, "421 idle too long\r\n"), [Output::Closed(Ending::Lost)]);
}

#[test]
fn a_question_that_the_next_hop_cuts_short_is_not_decided() {
    for replies in ["421 too many errors\r\n", "250 ok\r\n421 4.7.0 too many errors\r\n"] {
        let (now, mut session) = idle("250-mx\r\n250 PIPELINING\r\n");
        asked(&mut session, now, &mailbox());
        assert_eq!(said(&mut session, now, replies), [Output::Closed(Ending::Lost)]);
        session.handle_input(now, Input::Disconnected);
        assert_eq!(outputs(&mut session), []);
    }
}

#[test]
fn silence_ends_in_time_and_idling_does_not() {
    let (now, mut session) = session();
    assert_eq!(session.poll_timeout(), Some(now + TIMEOUT));
    session.handle_timeout(now + TIMEOUT - Duration::from_millis(1));
    assert_eq!(outputs(&mut session), []);
    session.handle_timeout(now + TIMEOUT);
    assert_eq!(outputs(&mut session), [Output::Closed(Ending::TimedOut)]);
    let (_, mut session) = idle("250 mx\r\n");
    assert_eq!(session.poll_timeout(), None);
    session.handle_timeout(now + TIMEOUT * 1000);
    assert_eq!(outputs(&mut session), []);
}

#[test]
fn an_address_outside_ascii_is_asked_only_where_smtputf8_is_offered() {
    let mailbox = Mailbox::parse("störung@corp.example").unwrap();
    let (now, mut session) = idle("250 mx\r\n");
    let outputs = asked(&mut session, now, &mailbox);
    assert!(matches!(outputs[..], [Output::Answer(Existence::Unavailable, _), Output::Idle]), "{outputs:?}");
    let (now, mut session) = idle("250-mx\r\n250 SMTPUTF8\r\n");
    assert_eq!(asked(&mut session, now, &mailbox), [send("MAIL FROM:<> SMTPUTF8\r\n")]);
}

#[test]
fn where_only_the_domain_has_other_letters_its_a_labels_are_asked_for() {
    let mailbox = Mailbox::parse("Ops@bücher.example").unwrap();
    let (now, mut session) = idle("250-mx\r\n250 PIPELINING\r\n");
    let all = "MAIL FROM:<>\r\nRCPT TO:<Ops@xn--bcher-kva.example>\r\nRSET\r\n";
    assert_eq!(asked(&mut session, now, &mailbox), [send(all)]);
    let (now, mut session) = idle("250-mx\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n");
    let all = "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<Ops@bücher.example>\r\nRSET\r\n";
    assert_eq!(asked(&mut session, now, &mailbox), [send(all)]);
}

#[test]
fn what_is_no_smtp_ends_the_session() {
    let (now, mut session) = session();
    assert_eq!(said(&mut session, now, "HTTP/1.1 400\r\n"), [Output::Closed(Ending::NotSmtp)]);
}
