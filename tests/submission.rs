//! Submission to a real Postfix that demands TLS and a login.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use mailslotd::config::settings;
use mailslotd::config::settings::{Auth, Credentials, Mechanism, Tls, TlsMode};
use mailslotd::delivery::outcome::{Attempt, Health, Outcome, RecipientNumber, Report};
use mailslotd::delivery::submission::Submission;
use mailslotd::message::compose::Identity;
use mailslotd::message::id::DestinationName;
use mailslotd::message::mail::{Body, Content};
use mailslotd::policy::replies::ReplyTable;
use support::attempt::{attempt, notice};
use support::postfix::{PASSWORD, Postfix, SENDER, USER};
use support::{free_port, require};
use zeroize::Zeroizing;

/// On several threads, as in the program: a login may compute for long and then makes room for other tasks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mechanism_delivers_under_starttls_and_under_implicit_tls() {
    let postfix = require!(Postfix::start());
    let ways = [
        (TlsMode::StartTls, Mechanism::ScramSha256),
        (TlsMode::StartTls, Mechanism::Plain),
        (TlsMode::StartTls, Mechanism::Login),
        (TlsMode::StartTls, Mechanism::CramMd5),
        (TlsMode::Implicit, Mechanism::ScramSha256),
    ];
    for (mode, mechanism) in ways {
        let port = if mode == TlsMode::Implicit { postfix.implicit_port() } else { postfix.starttls_port() };
        let submission = submission(&Setup { mode, mechanism, port, ..Setup::new(&postfix) });
        let report = submission.deliver(notice(7, &["ops"])).await;
        assert_eq!(report.health, Health::Up, "{mechanism}: {}", postfix.maillog());
        assert!(
            matches!(report.outcomes.as_slice(), [(RecipientNumber(0), Outcome::Delivered { .. })]),
            "{report:?}"
        );
        submission.close().await;
        let login = format!("sasl_method={mechanism}, sasl_username={USER}");
        assert!(postfix.maillog().contains(&login), "no {login} in\n{}", postfix.maillog());
    }
    for mail in postfix.delivered("ops", ways.len()).await {
        assert!(mail.contains("Message-ID: <0000000000007.notice@gw1.plant.example>"), "{mail}");
        assert!(mail.contains(&format!("Return-Path: <{SENDER}>")), "{mail}");
        assert!(mail.contains("on battery"), "{mail}");
    }
}

#[tokio::test]
async fn faults_of_the_operator_are_named_and_blame_no_message() {
    let postfix = require!(Postfix::start());
    let right = Setup::new(&postfix);
    let other_ca = tempfile::NamedTempFile::new().unwrap();
    let authority = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
    std::fs::write(other_ca.path(), authority.cert.pem()).unwrap();
    let faults = [
        (
            Setup { password: "wrong", ..right.clone() },
            "refuses the login by SCRAM-SHA-256: 535 5.7.8",
            "check auth.user and the password",
        ),
        (
            Setup { password: "wrong", mechanism: Mechanism::Plain, ..right.clone() },
            "refuses the login by PLAIN: 535 5.7.8",
            "check auth.user and the password",
        ),
        (
            Setup { ca_file: other_ca.path().to_owned(), ..right.clone() },
            "is from an authority that is not trusted here",
            "name it in tls.ca_file",
        ),
        (
            Setup { host: "127.0.0.2", listen_elsewhere: true, ..right.clone() },
            "its certificate is for localhost, 127.0.0.1",
            "as `host`",
        ),
        (
            Setup { mode: TlsMode::Implicit, port: postfix.starttls_port(), ..right.clone() },
            "does not speak TLS where it is expected",
            "tls.mode: starttls",
        ),
        (
            Setup { mode: TlsMode::None, auth: false, ..right.clone() },
            "530 5.7.0",
            "check `auth` and tls.mode",
        ),
        (
            Setup { mode: TlsMode::None, mechanism: Mechanism::Plain, ..right.clone() },
            "the server offers none; allowed are PLAIN",
            "use TLS",
        ),
        (
            Setup { from: "ceo@plant.example", ..right.clone() },
            "does not take mail from the configured sender",
            "set `from`",
        ),
    ];
    for (setup, cause, fix) in faults {
        let relay =
            if setup.listen_elsewhere { Some(relay_on_other_address(setup.port).await) } else { None };
        let port = relay.as_ref().map_or(setup.port, |(port, _)| *port);
        let report = submission(&Setup { port, ..setup }).deliver(notice(1, &["ops"])).await;
        // A recipient over whom the session ended waits by itself; none fails.
        let waits = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Delayed { .. });
        assert!(report.outcomes.iter().all(waits), "{cause}: {report:?}");
        let Health::OperatorFault { reason } = &report.health else { panic!("{cause}: {report:?}") };
        assert!(reason.contains(cause) && reason.contains(fix), "{reason}\nhas not: {cause} … {fix}");
        assert!(!reason.contains("wrong"), "a password in {reason}");
        if let Some((_, task)) = relay {
            task.abort();
        }
    }
    // Nothing was lost on the way: the same notice goes out once the settings are right.
    let report = submission(&right).deliver(notice(1, &["ops"])).await;
    assert_eq!(report.health, Health::Up);
    postfix.delivered("ops", 1).await;
}

#[tokio::test]
async fn a_refused_recipient_does_not_hold_up_the_accepted_one() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    let report = submission.deliver(notice(2, &["ghost", "ops", "not an address", "night"])).await;
    assert_eq!(report.health, Health::Up);
    for (number, outcome) in sorted(report) {
        match (number.0, outcome) {
            (0, Outcome::Failed { status, text }) => {
                assert_eq!(status.to_string(), "5.1.1");
                assert!(text.contains("ghost@plant.example"), "{text}");
            }
            (2, Outcome::Failed { status, text }) => {
                assert_eq!(status.to_string(), "5.1.3");
                assert!(text.contains("\"not an address@plant.example\""), "{text}");
            }
            (1 | 3, Outcome::Delivered { text, .. }) => assert!(text.starts_with("250 2.0.0"), "{text}"),
            (number, outcome) => panic!("recipient {number}: {outcome}"),
        }
    }
    postfix.delivered("ops", 1).await;
    postfix.delivered("night", 1).await;
}

#[tokio::test]
async fn messages_that_follow_each_other_share_a_connection() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    for id in 1..=5 {
        let report = submission.deliver(notice(id, &["archive"])).await;
        assert_eq!(report.health, Health::Up, "{report:?}");
    }
    postfix.delivered("archive", 5).await;
    submission.close().await;
    let [session] = postfix.sessions(1).await.try_into().unwrap();
    assert!(session.contains(" auth=1 mail=5 rcpt=5 data=5 quit=1 "), "{session}");
}

#[tokio::test]
async fn attempts_at_the_same_time_open_no_more_connections_than_allowed() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    let mut attempts = tokio::task::JoinSet::new();
    for id in 1..=12 {
        let submission = submission.clone();
        attempts.spawn(async move { submission.deliver(notice(id, &["archive"])).await });
    }
    for report in attempts.join_all().await {
        assert_eq!(report.health, Health::Up, "{report:?}");
    }
    postfix.delivered("archive", 12).await;
    submission.close().await;
    let sessions = postfix.sessions(2).await;
    assert_eq!(sessions.len(), 2, "max_connections is 2: {sessions:?}");
}

#[tokio::test]
async fn more_recipients_than_a_transaction_takes_are_spread_over_several() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    let mailboxes: Vec<String> = (0..150).map(|number| format!("archive+{number}")).collect();
    let mailboxes: Vec<&str> = mailboxes.iter().map(String::as_str).collect();
    let report = submission.deliver(notice(1, &mailboxes)).await;
    let delivered =
        report.outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. }));
    assert_eq!(delivered.count(), 150, "{report:?}");
    postfix.delivered("archive", 150).await;
    submission.close().await;
    let [session] = postfix.sessions(1).await.try_into().unwrap();
    assert!(session.contains(" mail=2 rcpt=150 data=2 "), "{session}");
}

#[tokio::test]
async fn a_postfix_that_is_stopped_is_down_and_used_again_once_it_is_back() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    assert_eq!(submission.deliver(notice(1, &["ops"])).await.health, Health::Up);

    postfix.stop();
    let report = submission.deliver(notice(2, &["ops"])).await;
    assert!(report.outcomes.is_empty(), "{report:?}");
    let Health::Down { reason } = &report.health else { panic!("{report:?}") };
    assert!(reason.contains("cannot be reached") && reason.contains("whether the server runs"), "{reason}");

    postfix.start_again();
    assert_eq!(submission.deliver(notice(2, &["ops"])).await.health, Health::Up);

    // A kept connection that broke unnoticed is replaced within the attempt, and nobody is told of it.
    postfix.stop();
    postfix.start_again();
    assert_eq!(submission.deliver(notice(3, &["ops"])).await.health, Health::Up);
    postfix.delivered("ops", 3).await;
}

#[tokio::test]
async fn a_mail_streams_from_a_file_and_arrives_octet_for_octet() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    let mut text =
        String::from("Subject: scan\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    for line in 0..20_000 {
        text.push_str(&format!(".{line} dötted {}\r\n", "x".repeat(line % 40)));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    let length = u64::try_from(text.len()).unwrap();
    let content = Content::File { path: file.path().to_owned(), length };
    let report = submission.deliver(mail(1, content.clone(), &["ops"])).await;
    assert!(matches!(report.outcomes.as_slice(), [(_, Outcome::Delivered { .. })]), "{report:?}");
    let [delivered] = postfix.delivered("ops", 1).await.try_into().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n");
    assert!(delivered.ends_with(&body), "the content changed on its way");

    // Over the limit that the server announces: known before MAIL, and no other recipient is asked.
    let large = Content::Inline(Bytes::from(format!("Subject: large\r\n\r\n{}", "x\r\n".repeat(700_000))));
    let report = submission.deliver(mail(2, large, &["ops"])).await;
    let [(_, Outcome::Failed { status, text: reason })] = report.outcomes.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!(status.to_string(), "5.3.4");
    assert!(reason.contains("the next hop takes 2000000"), "{reason}");

    // A file that was cut is no shorter mail, and the message is not blamed for good.
    std::fs::write(file.path(), &text.as_bytes()[..100_000]).unwrap();
    let report = submission.deliver(mail(3, content, &["ops"])).await;
    assert!(matches!(report.outcomes.as_slice(), [(_, Outcome::Delayed { .. })]), "{report:?}");
    assert_eq!(report.health, Health::Up);
}

#[tokio::test]
async fn content_that_would_smuggle_a_second_mail_arrives_as_one() {
    let postfix = require!(Postfix::start());
    let submission = submission(&Setup::new(&postfix));
    let second = "MAIL FROM:<gw@plant.example>\r\nRCPT TO:<night@plant.example>\r\nDATA\r\nsmuggled\r\n.\r\n";
    let content = format!("Subject: one\r\n\r\nbody\n.\n{second}more\r.\r{second}more\n.\r\n{second}");
    let report = submission.deliver(mail(1, Content::Inline(Bytes::from(content)), &["ops"])).await;
    // `smtpd_forbid_bare_newline = reject` would refuse a bare LF: there is none.
    assert!(matches!(report.outcomes.as_slice(), [(_, Outcome::Delivered { .. })]), "{report:?}");
    let [delivered] = postfix.delivered("ops", 1).await.try_into().unwrap();
    assert_eq!(delivered.matches("smuggled").count(), 3, "{delivered}");
    // Whatever followed the mail on the wire would have been taken by now: this one came behind it.
    let report = submission.deliver(notice(2, &["archive"])).await;
    assert_eq!(report.health, Health::Up);
    postfix.delivered("archive", 1).await;
    assert!(!postfix.maillog().contains("night@plant.example"), "{}", postfix.maillog());
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_down_with_its_cause() {
    let setup = Setup {
        host: "nowhere.invalid",
        port: free_port(),
        mode: TlsMode::None,
        mechanism: Mechanism::Plain,
        password: "",
        ca_file: PathBuf::new(),
        from: SENDER,
        auth: false,
        listen_elsewhere: false,
    };
    let Health::Down { reason } = submission(&setup).deliver(notice(1, &["ops"])).await.health else {
        panic!("not down")
    };
    assert!(reason.contains("its name does not resolve") && reason.contains("DNS"), "{reason}");
}

#[derive(Clone)]
struct Setup {
    host: &'static str,
    port: u16,
    mode: TlsMode,
    mechanism: Mechanism,
    password: &'static str,
    ca_file: PathBuf,
    from: &'static str,
    auth: bool,
    listen_elsewhere: bool,
}

impl Setup {
    fn new(postfix: &Postfix) -> Self {
        Self {
            host: "localhost",
            port: postfix.starttls_port(),
            mode: TlsMode::StartTls,
            mechanism: Mechanism::ScramSha256,
            password: PASSWORD,
            ca_file: postfix.ca_file(),
            from: SENDER,
            auth: true,
            listen_elsewhere: false,
        }
    }
}

fn submission(setup: &Setup) -> Submission {
    let settings = settings::Submission {
        host: setup.host.to_owned(),
        port: setup.port,
        tls: Tls { mode: setup.mode, ca_file: Some(setup.ca_file.clone()), client_certificate: None },
        auth: setup.auth.then(|| {
            Auth::Password(Credentials {
                user: USER.to_owned(),
                password: Zeroizing::new(setup.password.to_owned()),
                mechanisms: vec![setup.mechanism],
            })
        }),
        from: None,
        max_connections: 2,
        rate: None,
        message_size: None,
        max_recipients: None,
        timeout: Duration::from_secs(20),
        replies: ReplyTable::default(),
        preset: None,
    };
    let identity = Identity::new(Some("gw1.plant.example"), "plant-1", Some(setup.from), TimeZone::UTC);
    Submission::new(DestinationName::new("smarthost").unwrap(), &settings, identity, None).unwrap()
}

/// A port of 127.0.0.2 that leads to `port` of 127.0.0.1: the same server under an address its certificate lacks.
async fn relay_on_other_address(port: u16) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let relay_port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut inner, _) = listener.accept().await.unwrap();
        let mut outer = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // The client ends it in the middle of the handshake.
        tokio::io::copy_bidirectional(&mut inner, &mut outer).await.ok();
    });
    (relay_port, task)
}

fn sorted(report: Report) -> Vec<(RecipientNumber, Outcome)> {
    let mut outcomes = report.outcomes;
    outcomes.sort_by_key(|(number, _)| *number);
    let numbers: Vec<u32> = outcomes.iter().map(|(number, _)| number.0).collect();
    assert_eq!(numbers, [0, 1, 2, 3], "each recipient has one outcome");
    outcomes
}

fn mail(id: i64, content: Content, mailboxes: &[&str]) -> Attempt {
    attempt(
        id,
        Body::Mail { reverse_path: Some(SENDER.to_owned()), content, submitted: Box::default() },
        mailboxes,
    )
}
