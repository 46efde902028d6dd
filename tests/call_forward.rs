//! The recipient filter against a real Postfix, and next hops that are silent, away, or back again.
#![expect(clippy::disallowed_methods, reason = "the time limits of real servers")]

mod support;

use std::time::Instant;

use mailslotd::config::settings::{CallForwardTls, RecipientSource, Tls, TlsMode};
use mailslotd::directory::{FindingKind, SourceKind};
use mailslotd::session::smtp_server::Existence::{Known, Unavailable, Unknown};
use support::postfix::{BUSY, CATCH_ALL, DOMAIN, Postfix};
use support::recipients::{PATIENCE, Scene, TIMEOUT, next_hop, protected_next_hop, silent_next_hop};
use support::require;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn postfix_is_asked_who_exists_and_gets_no_mail() {
    let postfix = require!(Postfix::start());
    let scene = Scene::new(&[next_hop(postfix.mx_port())]);
    for (address, existence) in [
        (format!("ops@{DOMAIN}"), Known),
        (format!("Night@{DOMAIN}"), Known),
        (format!("ops+x@{DOMAIN}"), Known),
        (format!("guess@{DOMAIN}"), Unknown),
        (format!("postmaster@{DOMAIN}"), Known),
        // Not its domain: that is about its configuration, not about a recipient.
        ("ops@elsewhere.example".to_owned(), Unavailable),
    ] {
        assert_eq!(scene.look_up(&address).await, existence, "{address}");
    }
    scene.directory.close().await;
    assert!(postfix.mails("ops").is_empty());
    let log = postfix.maillog();
    assert!(!log.contains("improper command pipelining"), "{log}");
    assert!(log.lines().all(|line| !is_abandoned(line)), "{log}");
}

/// Whether a session with a question ended without QUIT.
fn is_abandoned(line: &str) -> bool {
    line.contains(": disconnect from ") && line.contains(" rcpt=") && !line.contains(" quit=1 ")
}

#[tokio::test]
async fn a_harvesters_guesses_do_not_wear_out_the_next_hop() {
    let postfix = require!(Postfix::start());
    let scene = Scene::new(&[next_hop(postfix.mx_port())]);
    for number in 0..50 {
        assert_eq!(scene.look_up(&format!("guess{number}@{DOMAIN}")).await, Unknown, "guess {number}");
    }
    assert_eq!(scene.look_up(&format!("ops@{DOMAIN}")).await, Known);
    let log = postfix.maillog();
    assert!(!log.contains("too many errors"), "{log}");
}

#[tokio::test]
async fn a_next_hop_that_takes_every_address_is_found_out() {
    let postfix = require!(Postfix::start());
    let scene = Scene::new(&[next_hop(postfix.mx_port())]);
    let findings = scene.directory.examine(&[DOMAIN, CATCH_ALL], PATIENCE).await;
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.source, SourceKind::CallForward);
    assert_eq!(finding.kind, FindingKind::AcceptsEverything(CATCH_ALL.to_owned()));
    assert_eq!(scene.look_up(&format!("anybody@{CATCH_ALL}")).await, Known);
}

#[test]
fn the_operator_is_told_what_a_next_hop_says_and_that_it_takes_everything() {
    let postfix = require!(Postfix::start());
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mailslotd.yaml");
    let port = postfix.mx_port();
    let yaml = format!(
        "hostname: gw.example\noperator: {{ postmaster: it@{DOMAIN} }}\n\
         listeners: {{ smtp: [{{ name: mx, addresses: ['127.0.0.1:0'] }}] }}\n\
         relay:\n  accepted_domains: [{DOMAIN}, {CATCH_ALL}]\n  recipients:\n    - callforward: {{ host: '127.0.0.1:{port}' }}\n  \
         routes: [{{ domain: '*', via: inbox }}]\ntarpit: {{ time: 5s }}\nrules: [{{ name: all, match: any, discard: no }}]\n"
    );
    std::fs::write(&config, yaml).unwrap();
    let run = |words: &[&str]| {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_mailslotd"))
            .args(words)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        (program.status.code(), String::from_utf8(program.stdout).unwrap())
    };
    let (code, told) = run(&["check"]);
    let warning = format!(
        "line 7  relay.recipients[0] takes every address of {CATCH_ALL}, so that nobody is refused and the tar pit has no effect"
    );
    assert!(code == Some(0) && told.contains(&warning), "{told}");
    assert!(!told.contains(&format!("every address of {DOMAIN}")), "{told}");
    let (_, offline) = run(&["check", "--offline"]);
    assert!(!offline.contains("takes every address"), "{offline}");

    for (recipient, code, begin, answer) in [
        ("ops", 0, "allowed: accepted domain", "says yes"),
        ("guess", 1, "refused at RCPT: 550 5.1.1", "says no"),
        (
            BUSY,
            1,
            "refused at RCPT: 451 4.3.0",
            "gives no answer: neither takes nor refuses recipients: 450 4.2.1",
        ),
    ] {
        let to = format!("{recipient}@{DOMAIN}");
        let words = [
            "explain",
            "relay",
            "--listener",
            "mx",
            "--client",
            "203.0.113.9",
            "--from",
            "a@b.example",
            "--to",
            &to,
        ];
        let (exit, told) = run(&words);
        assert_eq!(exit, Some(code), "{told}");
        assert!(told.starts_with(begin) && told.contains(&format!("127.0.0.1:{port} {answer}")), "{told}");
    }
    postfix.stop();
    let (code, told) = run(&["check"]);
    assert!(code == Some(0) && told.contains("does not accept a connection"), "{told}");
}

#[tokio::test]
async fn a_next_hop_that_wants_tls_first_is_asked_under_tls() {
    let postfix = require!(Postfix::start());
    // Its authority is unknown here: no secret travels, so by default nobody asks who signed.
    let by_default = next_hop(postfix.mx_starttls_port());
    for source in [
        by_default,
        protected_next_hop(postfix.mx_starttls_port(), tls(TlsMode::StartTls, Some(&postfix))),
        protected_next_hop(postfix.mx_implicit_port(), tls(TlsMode::Implicit, Some(&postfix))),
    ] {
        let scene = Scene::new(&[source]);
        for _ in 0..2 {
            assert_eq!(scene.look_up(&format!("ops@{DOMAIN}")).await, Known);
            assert_eq!(scene.look_up(&format!("guess@{DOMAIN}")).await, Unknown);
        }
        assert_eq!(scene.faults(DOMAIN).await, [""; 0]);
        scene.directory.close().await;
    }
    let log = postfix.maillog();
    assert!(log.contains(" starttls=1 ") && log.lines().all(|line| !is_abandoned(line)), "{log}");
}

#[tokio::test]
async fn a_next_hop_that_cannot_be_protected_as_required_has_not_answered() {
    let postfix = require!(Postfix::start());
    for (port, tls, cause) in [
        (postfix.mx_port(), tls(TlsMode::StartTls, Some(&postfix)), "does not offer STARTTLS"),
        (postfix.starttls_port(), tls(TlsMode::StartTls, None), "not trusted here"),
        (postfix.starttls_port(), tls(TlsMode::Implicit, Some(&postfix)), "what it sends is no TLS"),
        (postfix.starttls_port(), tls(TlsMode::None, None), "530 5.7.0 Must issue a STARTTLS"),
    ] {
        let scene = Scene::new(&[protected_next_hop(port, tls)]);
        assert_eq!(scene.look_up(&format!("ops@{DOMAIN}")).await, Unavailable, "{cause}");
        let faults = scene.faults(DOMAIN).await;
        assert!(matches!(&faults[..], [fault] if fault.contains(cause)), "{cause}: {faults:?}");
    }
}

/// It offers STARTTLS, and then has no TLS that anybody could use.
#[tokio::test]
async fn an_opportunity_for_tls_that_comes_to_nothing_costs_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = Scene::new(&[next_hop(listener.local_addr().unwrap().port())]);
    let next_hop = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, &["220 mx", "250-mx\r\n250 STARTTLS", "220 go"]).await;
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, &["220 mx", "250-mx\r\n250 STARTTLS", "250 ok", "550 5.1.1 unknown", "250 ok"])
            .await;
    };
    let (existence, ()) = tokio::join!(scene.look_up("guess@corp.example"), next_hop);
    assert_eq!(existence, Unknown);
}

#[tokio::test]
async fn an_address_that_needs_smtputf8_does_not_exist_where_that_is_not_offered_and_spoils_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = Scene::new(&[next_hop(listener.local_addr().unwrap().port())]);
    // One connection: what cannot be asked does not end it.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = tokio::io::BufStream::new(stream);
        let mut reply = "220 mx";
        loop {
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            assert!(line.is_ascii(), "{line}");
            reply = if line.starts_with("RCPT") { "550 5.1.1 unknown" } else { "250 ok" };
        }
    });
    assert_eq!(scene.look_up("störung@corp.example").await, Unknown);
    assert_eq!(scene.look_up("guess@corp.example").await, Unknown);
    assert_eq!(scene.faults("corp.example").await, [""; 0]);
    assert_eq!(scene.lookups("callforward", "unavailable"), 0);
}

/// Says the first reply, then the next for each line that comes.
async fn converse(stream: &mut tokio::net::TcpStream, replies: &[&str]) {
    let mut stream = tokio::io::BufStream::new(stream);
    for (number, reply) in replies.iter().enumerate() {
        if number > 0 {
            stream.read_line(&mut String::new()).await.unwrap();
        }
        stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

fn tls(mode: TlsMode, trusting: Option<&Postfix>) -> CallForwardTls {
    CallForwardTls::Configured(Tls {
        mode,
        ca_file: trusting.map(Postfix::ca_file),
        client_certificate: None,
    })
}

#[tokio::test]
async fn a_next_hop_that_goes_and_comes_back_is_asked_again() {
    let postfix = require!(Postfix::start());
    let scene = Scene::new(&[next_hop(postfix.mx_port())]);
    assert_eq!(scene.look_up(&format!("ops@{DOMAIN}")).await, Known);
    postfix.stop();
    assert_eq!(scene.look_up(&format!("ops@{DOMAIN}")).await, Known);
    assert_eq!(scene.look_up(&format!("night@{DOMAIN}")).await, Unavailable);
    postfix.start_again();
    scene.await_answer(DOMAIN, Unknown).await;
    assert_eq!(scene.look_up(&format!("archive@{DOMAIN}")).await, Known);
}

#[tokio::test]
async fn a_next_hop_that_says_nothing_is_given_up_in_time() {
    let scene = Scene::new(&[silent_next_hop().await]);
    let begun = Instant::now();
    assert_eq!(scene.look_up("ops@corp.example").await, Unavailable);
    assert!((TIMEOUT..TIMEOUT * 3).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let faults = scene.faults("corp.example").await;
    assert!(faults.concat().contains("did not answer in time"), "{faults:?}");
}

#[tokio::test]
async fn a_list_answers_for_its_own_whatever_the_next_hop_does() {
    let list = RecipientSource::List(vec!["ops@corp.example".to_owned()]);
    let scene = Scene::new(&[next_hop(support::free_port()), list]);
    assert_eq!(scene.look_up("ops@corp.example").await, Known);
    assert_eq!(scene.look_up("guess@corp.example").await, Unavailable);
    assert_eq!(scene.lookups("callforward", "known"), 0);
}
