//! The recipient filter against a real slapd, and servers that are slow, away, or back again.
#![cfg(feature = "ldap")]
#![expect(clippy::disallowed_methods, reason = "the time limits of real servers")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailslotd::config::settings::{Ldap, OnFailure, RecipientSource, TlsMode};
use mailslotd::directory::{Asker, Finding, FindingKind, SourceKind};
use mailslotd::session::smtp_server::Existence::{Known, Unavailable, Unknown};
use mailslotd::wire::smtp::path::Mailbox;
use support::recipients::{PATIENCE, Scene, TIMEOUT, silent_next_hop};
use support::require;
use support::slapd::{BASE, BIND_DN, BLIND_DN, PASSWORD, Slapd};

fn settings(slapd: &Slapd) -> Ldap {
    Ldap {
        url: slapd.ldaps_url(),
        tls: TlsMode::Implicit,
        ca_file: Some(slapd.ca_file()),
        base: BASE.to_owned(),
        filter: "(proxyAddresses=smtp:{address})".to_owned(),
        bind: Some((BIND_DN.to_owned(), PASSWORD.to_owned().into())),
        timeout: Duration::from_secs(2),
    }
}

fn scene(settings: Ldap) -> Scene {
    Scene::new(&[RecipientSource::Ldap(Box::new(settings))])
}

#[tokio::test]
async fn an_address_of_active_directory_is_known_and_a_trick_is_not() {
    let slapd = require!(Slapd::start());
    let starttls = Ldap { url: slapd.url(), tls: TlsMode::StartTls, ..settings(&slapd) };
    let clear = Ldap { url: slapd.url(), tls: TlsMode::None, ca_file: None, ..settings(&slapd) };
    for settings in [settings(&slapd), starttls, clear] {
        let scene = scene(settings);
        for (address, existence) in [
            ("ops@corp.example", Known),
            ("OPS@Corp.Example", Known),
            ("alerts@corp.example", Known),
            ("o'brien+a/b=c*d@corp.example", Known),
            // Found twice, which is past the size limit of one.
            ("twice@corp.example", Known),
            ("guess@corp.example", Unknown),
            ("ops+x@corp.example", Unknown),
            ("*@corp.example", Unknown),
            ("o*@corp.example", Unknown),
            ("\"x)(cn=*\"@corp.example", Unknown),
            ("\"a\\\\2a\"@corp.example", Unknown),
            ("störung@corp.example", Unknown),
        ] {
            assert_eq!(scene.look_up(address).await, existence, "{address}");
        }
        assert_eq!(scene.faults("corp.example").await, [""; 0]);
    }
}

#[tokio::test]
async fn a_domain_with_letters_outside_ascii_is_found_as_either_of_its_spellings() {
    let slapd = require!(Slapd::start());
    // `mail` has ASCII only (RFC 4524 §2.16): to ask it for other letters must spoil no answer.
    let filter = "(|(proxyAddresses=smtp:{address})(mail={address}))".to_owned();
    let scene = scene(Ldap { filter, ..settings(&slapd) });
    for domain in ["bücher.example", "xn--bcher-kva.example", "XN--BCHER-KVA.Example"] {
        for (local_part, existence) in
            [("books", Known), ("desk", Known), ("shop", Known), ("guess", Unknown), ("störung", Unknown)]
        {
            assert_eq!(
                scene.look_up(&format!("{local_part}@{domain}")).await,
                existence,
                "{local_part}@{domain}"
            );
        }
    }
}

#[tokio::test]
async fn a_filter_that_finds_something_for_every_address_is_found_out() {
    let slapd = require!(Slapd::start());
    let filter = "(|(proxyAddresses=smtp:{address})(objectClass=organization))".to_owned();
    let scene = scene(Ldap { filter, ..settings(&slapd) });
    let findings = scene.directory.examine(&["corp.example"], PATIENCE).await;
    let [Finding { number: 0, source: SourceKind::Ldap, kind }] = &findings[..] else {
        panic!("{findings:?}")
    };
    assert_eq!(*kind, FindingKind::AcceptsEverything("corp.example".to_owned()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_asked_refuses_nobody_and_says_why() {
    let slapd = require!(Slapd::start());
    let good = || settings(&slapd);
    let bind = |dn: &str, password: &str| Some((dn.to_owned(), password.to_owned().into()));
    let closed = format!("ldap://127.0.0.1:{}", support::free_port());
    for (settings, cause) in [
        (Ldap { bind: bind(BIND_DN, "wrong"), ..good() }, "refuses bind_dn and its password"),
        (Ldap { bind: None, ..good() }, "cannot be seen by this account"),
        (Ldap { bind: bind(BLIND_DN, PASSWORD), ..good() }, "cannot be seen by this account"),
        (Ldap { base: format!("ou=typo,{BASE}"), ..good() }, "cannot be seen by this account"),
        // It refers us to another server, which is not followed.
        (Ldap { base: "dc=other,dc=example".to_owned(), ..good() }, "referral"),
        (Ldap { ca_file: None, ..good() }, "not trusted here"),
        (
            Ldap { url: slapd.ldaps_url().replace("localhost", "127.0.0.1"), ..good() },
            "its certificate is for",
        ),
        (Ldap { url: slapd.url().replace("ldap:", "ldaps:"), ..good() }, "TLS failed"),
        (Ldap { url: closed, tls: TlsMode::None, ..good() }, "does not accept a connection"),
    ] {
        let scene = scene(settings);
        for address in ["ops@corp.example", "guess@corp.example"] {
            assert_eq!(scene.look_up(address).await, Unavailable, "{cause}: {address}");
        }
        let faults = scene.faults("corp.example").await;
        assert!(matches!(&faults[..], [fault] if fault.contains(cause)), "{cause}: {faults:?}");
        assert!(!faults.concat().contains(PASSWORD));
    }
}

#[tokio::test]
async fn what_was_answered_is_remembered_while_the_server_is_away_and_it_is_found_again() {
    let mut slapd = require!(Slapd::start());
    let scene = scene(settings(&slapd));
    assert_eq!(scene.look_up("ops@corp.example").await, Known);
    assert_eq!(scene.look_up("guess@corp.example").await, Unknown);
    slapd.stop();
    assert_eq!(scene.look_up("ops@corp.example").await, Known);
    assert_eq!(scene.look_up("guess@corp.example").await, Unknown);
    assert_eq!(scene.look_up("alerts@corp.example").await, Unavailable);
    // Known to be away: the next is answered at once, and not connected for.
    let begun = Instant::now();
    assert_eq!(scene.look_up("next@corp.example").await, Unavailable);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    slapd.start_again();
    scene.await_answer("corp.example", Unknown).await;
    assert_eq!(scene.look_up("twice@corp.example").await, Known);
    assert_eq!(scene.faults("corp.example").await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_was_started_anew_between_two_questions_costs_no_answer() {
    let mut slapd = require!(Slapd::start());
    let scene = scene(settings(&slapd));
    assert_eq!(scene.look_up("ops@corp.example").await, Known);
    slapd.stop();
    slapd.start_again();
    assert_eq!(scene.look_up("alerts@corp.example").await, Known);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time_and_asked_again_when_it_goes_on() {
    let slapd = require!(Slapd::start());
    let scene = scene(Ldap { timeout: Duration::from_millis(400), ..settings(&slapd) });
    assert_eq!(scene.look_up("ops@corp.example").await, Known);
    slapd.freeze();
    let begun = Instant::now();
    assert_eq!(scene.look_up("alerts@corp.example").await, Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    slapd.thaw();
    scene.await_answer("corp.example", Unknown).await;
}

#[tokio::test]
async fn a_hundred_who_ask_for_one_address_at_once_are_one_search() {
    let slapd = require!(Slapd::start());
    let scene = Arc::new(scene(settings(&slapd)));
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let scene = Arc::clone(&scene);
        askers.spawn(async move { scene.look_up("ops@corp.example").await });
    }
    let answers = askers.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Known), "{answers:?}");
    assert_eq!(scene.lookups("ldap", "known"), 1);
    assert_eq!(scene.look_up("Ops@corp.example").await, Known);
    assert_eq!((scene.lookups("ldap", "known"), scene.lookups("memory", "known")), (1, 1));
}

#[tokio::test]
async fn many_addresses_at_once_share_one_connection() {
    let slapd = require!(Slapd::start());
    let scene = Arc::new(scene(settings(&slapd)));
    let mut askers = tokio::task::JoinSet::new();
    for number in 0..300 {
        let scene = Arc::clone(&scene);
        askers.spawn(async move { scene.look_up(&format!("guess{number}@corp.example")).await });
    }
    let answers = askers.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Unknown), "{answers:?}");
}

#[tokio::test]
async fn a_yes_need_not_wait_for_a_source_that_hangs_and_a_no_needs_it() {
    let slapd = require!(Slapd::start());
    let sources = [silent_next_hop().await, RecipientSource::Ldap(Box::new(settings(&slapd)))];
    let scene = Scene::with(&sources, OnFailure::Accept);
    let begun = Instant::now();
    assert_eq!(scene.look_up("ops@corp.example").await, Known);
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(scene.look_up("guess@corp.example").await, Unavailable);
    let guess = Mailbox::parse("guess@corp.example").unwrap();
    assert_eq!(scene.directory.look_up(&guess, Asker::OwnUser).await, Known);
}
