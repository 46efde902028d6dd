use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

fn mailbox() -> Mailbox {
    Mailbox::parse("Ops@corp.example").unwrap()
}

fn session(security: Security) -> (Instant, CallForward) {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let now = Instant::now();
    let profile = Profile { hostname: "gw.example".to_owned(), security, timeout: TIMEOUT };
    (now, CallForward::new(now + TIMEOUT, profile))
}

/// A session that has said STARTTLS.
fn starting_tls(security: Security) -> (Instant, CallForward) {
    let (now, mut session) = session(security);
    said(&mut session, now, "220 mx.corp.example\r\n");
    assert_eq!(said(&mut session, now, "250-mx\r\n250 STARTTLS\r\n"), [send("STARTTLS\r\n")]);
    (now, session)
}

/// A session that was greeted and said EHLO.
fn idle(extensions: &str) -> (Instant, CallForward) {
    let (now, mut session) = session(Security::Absent);
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
fn whatever_is_said_to_mail_or_before_it_no_recipient_is_unknown() {
    for refused in ["550 5.1.1 user unknown", "550 5.1.0 address rejected", "553 no such user", "550 no"] {
        let (now, mut session) = idle("250 mx\r\n");
        asked(&mut session, now, &mailbox());
        let outputs = said(&mut session, now, &format!("{refused}\r\n"));
        assert_eq!(outputs, [answer(Existence::Unavailable, refused), send("RSET\r\n")]);
        let (now, mut session) = self::session(Security::Absent);
        let closed = Output::Closed(Ending::Refused(refused.to_owned()));
        assert_eq!(said(&mut session, now, &format!("{refused}\r\n")), [closed]);
    }
}

#[test]
fn an_old_next_hop_is_greeted_with_helo() {
    let (now, mut session) = session(Security::Absent);
    said(&mut session, now, "220 mx\r\n");
    assert_eq!(said(&mut session, now, "502 what?\r\n"), [send("HELO gw.example\r\n")]);
    assert_eq!(said(&mut session, now, "250 mx\r\n"), [Output::Idle]);
}

#[test]
fn a_next_hop_that_does_not_want_to_talk_is_quoted() {
    let (now, mut session) = session(Security::Absent);
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
    let (now, mut session) = session(Security::Absent);
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
    assert_eq!(asked(&mut session, now, &mailbox), [Output::NeedsSmtputf8, Output::Idle]);
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
    let (now, mut session) = session(Security::Absent);
    assert_eq!(said(&mut session, now, "HTTP/1.1 400\r\n"), [Output::Closed(Ending::NotSmtp)]);
}

#[test]
fn tls_begins_where_it_is_offered_and_what_was_said_before_it_is_forgotten() {
    for security in [Security::Opportunistic, Security::StartTls] {
        let (now, mut session) = starting_tls(security);
        assert_eq!(said(&mut session, now, "220 2.0.0 go\r\n"), [Output::StartTls]);
        session.handle_input(now, Input::TlsEstablished);
        assert_eq!(outputs(&mut session), [send("EHLO gw.example\r\n")]);
        // STARTTLS once more would be nonsense of the next hop's.
        assert_eq!(said(&mut session, now, "250-mx\r\n250-STARTTLS\r\n250 PIPELINING\r\n"), [Output::Idle]);
        let all = "MAIL FROM:<>\r\nRCPT TO:<Ops@corp.example>\r\nRSET\r\n";
        assert_eq!(asked(&mut session, now, &mailbox()), [send(all)]);
    }
}

#[test]
fn opportunism_goes_on_in_clear_text_and_a_requirement_does_not() {
    let refused = "454 4.7.0 TLS not available";
    let (now, mut session) = starting_tls(Security::Opportunistic);
    assert_eq!(said(&mut session, now, &format!("{refused}\r\n")), [Output::Idle]);
    assert_eq!(asked(&mut session, now, &mailbox()), [send("MAIL FROM:<>\r\n")]);
    let (now, mut session) = starting_tls(Security::StartTls);
    let closed = Output::Closed(Ending::StartTlsRefused(refused.to_owned()));
    assert_eq!(said(&mut session, now, &format!("{refused}\r\n")), [closed]);

    let offered_nothing = |security| {
        let (now, mut session) = self::session(security);
        said(&mut session, now, "220 mx\r\n");
        said(&mut session, now, "250 mx\r\n")
    };
    assert_eq!(offered_nothing(Security::Opportunistic), [Output::Idle]);
    assert_eq!(offered_nothing(Security::StartTls), [Output::Closed(Ending::NoStartTls)]);

    let no_ehlo = |security| {
        let (now, mut session) = self::session(security);
        said(&mut session, now, "220 mx\r\n");
        said(&mut session, now, "502 what?\r\n")
    };
    assert_eq!(no_ehlo(Security::Opportunistic), [send("HELO gw.example\r\n")]);
    assert_eq!(no_ehlo(Security::StartTls), [Output::Closed(Ending::Refused("502 what?".to_owned()))]);
}

#[test]
fn replies_that_someone_puts_before_tls_answer_nothing() {
    for security in [Security::Opportunistic, Security::StartTls] {
        let (now, mut session) = starting_tls(security);
        let outputs = said(&mut session, now, "220 go\r\n250 mx\r\n");
        assert_eq!(outputs, [Output::Closed(Ending::InjectedBeforeTls)]);
        let (now, mut session) = starting_tls(security);
        assert_eq!(said(&mut session, now, "220 go\r\n"), [Output::StartTls]);
        assert_eq!(said(&mut session, now, "2"), [Output::Closed(Ending::InjectedBeforeTls)]);
    }
}
