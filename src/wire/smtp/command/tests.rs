use super::*;
use crate::wire::smtp::dsn::Notify;

fn strict(line: &str) -> Result<Command, CommandFault> {
    Command::parse(line.as_bytes(), Tolerance::Strict)
}

fn device(line: &str) -> Result<Command, CommandFault> {
    Command::parse(line.as_bytes(), Tolerance::Device)
}

fn code(parsed: Result<Command, CommandFault>) -> String {
    let (code, status, _) = parsed.unwrap_err().reply();
    format!("{code} {status}")
}

fn name(parsed: Result<Command, CommandFault>) -> String {
    let (Command::Ehlo(name) | Command::Helo(name)) = parsed.unwrap() else { panic!("no greeting") };
    name.as_str().to_owned()
}

#[test]
fn verbs_have_any_case_and_may_have_spaces_behind_them() {
    for (line, command) in [
        ("data", Command::Data),
        ("DATA  ", Command::Data),
        ("rSeT", Command::Rset),
        ("QUIT ", Command::Quit),
        ("noop anything", Command::Noop),
        ("HELP MAIL", Command::Help),
        ("vrfy ops", Command::Vrfy),
        ("EXPN staff", Command::Expn),
        ("StartTLS", Command::StartTls),
    ] {
        assert_eq!(strict(line), Ok(command), "{line}");
    }
}

#[test]
fn clients_name_themselves_with_a_domain_or_an_address_literal() {
    for line in [
        "EHLO client.example",
        "helo [192.0.2.1]",
        "EHLO [IPv6:2001:db8::1]",
        "EHLO my_host",
        "EHLO a.example.",
    ] {
        assert_eq!(name(strict(line)), line.split_once(' ').unwrap().1);
    }
    for line in
        ["EHLO", "HELO ", "EHLO two words", "EHLO [x y]", "EHLO ümlaut.example", "EHLO a..b", "HELO <script>"]
    {
        assert_eq!(code(strict(line)), "501 5.5.4", "{line}");
    }
}

#[test]
fn a_device_may_name_itself_oddly_or_not_at_all() {
    assert_eq!(name(device("EHLO")), "");
    assert_eq!(name(device("HELO  Scanner 2, ground floor ")), "Scanner 2, ground floor");
    assert_eq!(name(Command::parse(b"HELO \x82\xa0\x07", Tolerance::Device)), "\u{fffd}\u{fffd}?");
    assert_eq!(code(Command::parse(b"HELO a\0b", Tolerance::Device)), "500 5.5.2");
    assert_eq!(name(device(&format!("HELO {}", "x".repeat(400)))).len(), 255);
}

#[test]
fn mail_brings_its_parameters() {
    let line = "MAIL FROM:<ops@example.com> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1 AUTH=<>";
    let mailbox = crate::wire::smtp::path::Mailbox::parse("ops@example.com").unwrap();
    let mail = Mail {
        reverse_path: ReversePath::Mailbox(mailbox),
        size: Some(1000),
        body: Some(Body::EightBitMime),
        smtputf8: true,
        ret: Some(Ret::Headers),
        envid: Some("QQ+2B1".to_owned()),
    };
    assert_eq!(strict(line), Ok(Command::Mail(mail.clone())));
    assert_eq!(strict(&line.replace(' ', "  ").replacen("  ", " ", 1)), Ok(Command::Mail(mail)));
}

#[test]
fn a_size_that_no_machine_holds_is_just_too_large() {
    let Ok(Command::Mail(mail)) = strict("MAIL FROM:<> SIZE=99999999999999999999") else { panic!() };
    assert_eq!(mail.size, Some(u64::MAX));
    assert_eq!(code(strict("MAIL FROM:<> SIZE=999999999999999999999")), "501 5.5.4");
}

#[test]
fn rcpt_brings_what_its_sender_wants_reported() {
    let dsn = |line: &str| match strict(line) {
        Ok(Command::Rcpt(rcpt)) => rcpt.dsn,
        other => panic!("{other:?}"),
    };
    assert_eq!(dsn("RCPT TO:<ops@example.com>"), RecipientDsn::default());
    let asked = dsn("RCPT TO:<ops@example.com> NOTIFY=SUCCESS,delay ORCPT=rfc822;Ops+2Bx@example.com");
    assert_eq!(asked.notify, Some(Notify::On { success: true, failure: false, delay: true }));
    assert_eq!(asked.orcpt.as_deref(), Some("rfc822;Ops+2Bx@example.com"));
    assert_eq!(dsn("RCPT TO:<ops@example.com> NOTIFY=NEVER").notify, Some(Notify::Never));
    assert!(dsn("RCPT TO:<jörg@example.com> ORCPT=utf-8;jörg@example.com").orcpt.is_some());
}

#[test]
fn every_fault_has_its_code() {
    let long_envid = format!("MAIL FROM:<> ENVID={}", "x".repeat(101));
    for (line, expected) in [
        ("", "500 5.5.2"),
        ("GET / HTTP/1.1", "500 5.5.2"),
        ("EHLOx", "500 5.5.2"),
        ("TURN", "500 5.5.2"),
        ("NÖÖP", "500 5.5.2"),
        ("NOOP ü", "500 5.5.2"),
        ("NOOP a\tb", "500 5.5.2"),
        ("RCPT TO:<o\0ps@example.com>", "500 5.5.2"),
        ("DATA now", "501 5.5.4"),
        ("STARTTLS please", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL <ops@example.com>", "501 5.5.4"),
        ("MAIL TO:<ops@example.com>", "501 5.5.4"),
        ("MAIL FROM:ops@example.com", "501 5.1.7"),
        ("MAIL FROM:<ops>", "501 5.1.7"),
        ("MAIL FROM:<ops@example.com", "501 5.1.7"),
        ("RCPT TO:", "501 5.1.3"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<ops@example.com.>", "501 5.1.3"),
        ("RCPT TO:<ops@example.com> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("RCPT TO:<ops@example.com> NOTIFY=", "501 5.5.4"),
        ("RCPT TO:<ops@example.com> NOTIFY", "501 5.5.4"),
        ("RCPT TO:<ops@example.com> ORCPT=rfc822", "501 5.5.4"),
        ("RCPT TO:<ops@example.com> ORCPT=rfc822;a=b", "501 5.5.4"),
        ("RCPT TO:<ops@example.com> SIZE=1", "555 5.5.4"),
        ("MAIL FROM:<> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<> SIZE=1 SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<> SMTPUTF8=yes", "501 5.5.4"),
        ("MAIL FROM:<> ENVID=a+2", "501 5.5.4"),
        (long_envid.as_str(), "501 5.5.4"),
        ("MAIL FROM:<> AUTH=a b", "555 5.5.4"),
        ("MAIL FROM:<> AUTH=a=b", "501 5.5.4"),
        ("MAIL FROM:<> MT-PRIORITY=3", "555 5.5.4"),
        ("BDAT", "501 5.5.4"),
        ("BDAT -1", "501 5.5.4"),
        ("BDAT 10 FIRST", "501 5.5.4"),
        ("AUTH", "501 5.5.4"),
        ("AUTH PLAIN a b", "501 5.5.4"),
    ] {
        assert_eq!(code(strict(line)), expected, "{line:?}");
    }
}

#[test]
fn what_is_no_utf8_is_no_command() {
    assert_eq!(code(Command::parse(b"RCPT TO:<\xff@example.com>", Tolerance::Device)), "500 5.5.2");
}

#[test]
fn chunks_say_their_length_and_whether_they_are_the_last() {
    let chunk = |length, place| Ok(Command::Bdat(Chunk { length, place }));
    assert_eq!(strict("BDAT 1000"), chunk(1000, Place::Amid));
    assert_eq!(strict("bdat 0 last"), chunk(0, Place::Last));
}

#[test]
fn auth_names_a_mechanism_and_shows_no_secret() {
    let Ok(Command::Auth(auth)) = strict("auth plain AHRpbQBzZWNyZXQ=") else { panic!() };
    assert_eq!(auth.mechanism, Some(Mechanism::Plain));
    assert_eq!(auth.initial_response.as_deref().map(String::as_str), Some("AHRpbQBzZWNyZXQ="));
    assert!(!format!("{auth:?}").contains("AHRp"));
    let Ok(Command::Auth(auth)) = strict("AUTH NTLM") else { panic!() };
    assert_eq!((auth.mechanism, auth.initial_response), (None, None));
}
