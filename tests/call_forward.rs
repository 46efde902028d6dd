//! The recipient filter against a real Postfix, and next hops that are silent, away, or back again.
#![expect(clippy::disallowed_methods, reason = "the time limits of real servers")]

mod support;

use std::time::Instant;

use mailslotd::config::settings::RecipientSource;
use mailslotd::directory::{FindingKind, SourceKind};
use mailslotd::session::smtp_server::Existence::{Known, Unavailable, Unknown};
use support::postfix::{CATCH_ALL, DOMAIN, Postfix};
use support::recipients::{Scene, TIMEOUT, next_hop, silent_next_hop};
use support::require;

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
    let is_abandoned = |line: &&str| {
        line.contains(": disconnect from ") && line.contains(" rcpt=") && !line.contains(" quit=1 ")
    };
    assert_eq!(log.lines().find(is_abandoned), None);
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
    let findings = scene.directory.examine(&[DOMAIN, CATCH_ALL]).await;
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.source, SourceKind::CallForward);
    assert_eq!(finding.kind, FindingKind::AcceptsEverything(CATCH_ALL.to_owned()));
    assert_eq!(scene.look_up(&format!("anybody@{CATCH_ALL}")).await, Known);
}

#[tokio::test]
async fn a_next_hop_that_wants_tls_first_has_not_answered() {
    let postfix = require!(Postfix::start());
    let scene = Scene::new(&[next_hop(postfix.starttls_port())]);
    assert_eq!(scene.look_up(&format!("ops@{DOMAIN}")).await, Unavailable);
    let faults = scene.faults(DOMAIN).await;
    assert!(
        matches!(&faults[..], [fault] if fault.contains("530 5.7.0 Must issue a STARTTLS")),
        "{faults:?}"
    );
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
