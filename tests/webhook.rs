//! Webhooks as places that messages go, against a real web service of the test's own.

use std::path::Path;
use std::time::Duration;

use mailslotd::config::settings::DestinationKind;
use mailslotd::spool::SpoolState;
use mailslotd::telemetry::metrics::DestinationState;
use mailslotd::wire::url::HttpUrl;
use serde_json::{Value, json};

mod support;

use support::certificates::{Certificates, Validity};
use support::nginx::Nginx;
use support::queue_world::{QueueWorld, eventually, in_state, shut_down};
use support::require;
use support::web_service::{Certificate, WebService};

/// A destination `hook` at a service; `more` are its further keys.
fn hook(service: &WebService, more: &str) -> String {
    let port = service.port;
    format!(
        "  hook: {{ webhook: {{ url: 'http://localhost:{port}/hook?key=secret', allow_private: true, limits: {{ timeout: 5s }}{more} }} }}\n"
    )
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn body(request: &Value) -> Value {
    serde_json::from_str(request["body"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_comes_once_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "any words, 電"] {
        let service = require!(WebService::with_secret(secret));
        let (secret, token) =
            (write(dir.path(), "secret", secret), write(dir.path(), "token", "Bearer abc\n"));
        let more = format!(
            ", hmac: {{ secret_file: {secret} }}, headers: {{ Authorization: {{ file: {token} }}, X-Site: plant-1 }}"
        );
        let world = QueueWorld::new(&hook(&service, &more));
        world.accept("hook", "ups", 200).await;
        let scheduler = world.start();
        world.drained("hook").await;
        let seen = service.seen();
        let ids: std::collections::HashSet<_> =
            seen.iter().map(|request| body(request)["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!((seen.len(), ids.len()), (200, 200));
        for request in &seen {
            assert_eq!(request["signed"], true, "{request}");
            assert_eq!(request["headers"]["webhook-id"], body(request)["id"]);
        }
        let (first, headers) = (&seen[0], &seen[0]["headers"]);
        assert_eq!((&first["method"], &first["path"]), (&"POST".into(), &"/hook?key=secret".into()));
        assert_eq!(headers["content-type"], "application/cloudevents+json; charset=utf-8");
        assert_eq!(
            (&headers["authorization"], &headers["x-site"]),
            (&"Bearer abc".into(), &"plant-1".into())
        );
        assert_eq!(headers["host"], format!("localhost:{}", service.port));
        assert_eq!(
            (&body(first)["subject"], &body(first)["type"]),
            (&"ups".into(), &"mailslotd.messenger.v1".into())
        );
        let connections: std::collections::HashSet<_> =
            seen.iter().map(|request| request["connection"].as_u64().unwrap()).collect();
        assert!(connections.len() <= 16, "connections are kept: {}", connections.len());
        shut_down(&scheduler).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_server_of_the_world_gets_every_event_once_and_whole() {
    let nginx = require!(Nginx::start());
    let secret = nginx.path("secret");
    std::fs::write(&secret, "any words").unwrap();
    let port = nginx.port;
    let world = QueueWorld::new(&format!(
        "  hook: {{ webhook: {{ url: 'http://127.0.0.1:{port}/hook', allow_private: true, hmac: {{ secret_file: {} }} }} }}\n",
        secret.display()
    ));
    world.accept("hook", "ups", 2000).await;
    let scheduler = world.start();
    world.drained("hook").await;
    let taken = nginx.taken(2000);
    let different: std::collections::HashSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (2000, 2000));
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn in_binary_mode_attributes_are_headers() {
    let service = require!(WebService::start());
    let world = QueueWorld::new(&hook(&service, ", event: binary, method: PUT"));
    world.accept("hook", "停電 %", 1).await;
    let scheduler = world.start();
    world.drained("hook").await;
    let request = &service.seen()[0];
    let header = |name: &str| request["headers"][name].as_str().unwrap();
    assert_eq!((header("ce-type"), header("ce-specversion")), ("mailslotd.messenger.v1", "1.0"));
    assert_eq!(header("ce-subject"), "%E5%81%9C%E9%9B%BB%20%25");
    assert_eq!((header("content-type"), &request["method"]), ("application/json", &"PUT".into()));
    assert!(request["headers"].get("ce-datacontenttype").is_none());
    assert_eq!(body(request)["text"], "alarm 0");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_service_that_wants_no_more_or_is_down_gets_everything_later() {
    let service = require!(WebService::start());
    let world = QueueWorld::new(&hook(&service, ""));
    for (answer, state, said) in [
        (
            json!({ "status": 429, "headers": { "Retry-After": "1" } }),
            DestinationState::Throttled,
            "wants no more for now: 429",
        ),
        (
            json!({ "status": 503, "headers": { "Retry-After": "1" } }),
            DestinationState::Throttled,
            "503 Service Unavailable: taken",
        ),
        (json!({ "status": 503 }), DestinationState::Down, "answers 503 Service Unavailable: taken"),
        (
            json!({ "how": "silently" }),
            DestinationState::Down,
            "closed the connection before its answer was whole",
        ),
        (
            json!({ "how": "in_half" }),
            DestinationState::Down,
            "closed the connection before its answer was whole",
        ),
        (json!({ "how": "with_endless_head" }), DestinationState::Down, "header fields without end"),
    ] {
        // Enough of them that the state is seen.
        service.answer(Value::Array(vec![answer.clone(); 20]));
        let scheduler = world.start();
        world.accept("hook", "ups", 10).await;
        let reason = in_state(&scheduler, "hook", state).await.reason.unwrap();
        assert!(reason.contains(said) && reason.starts_with("localhost:"), "{answer}: {reason}");
        assert!(!reason.contains("secret"), "{reason}");
        let attempts: u32 = world.copies("hook").await.iter().map(|copy| copy.attempts).sum();
        assert_eq!(attempts, 0, "no message is blamed: {answer}");
        service.answer(json!([]));
        world.drained("hook").await;
        shut_down(&scheduler).await;
    }
}

#[tokio::test]
async fn a_service_that_hangs_meets_the_deadline_and_the_next_probe_delivers() {
    let service = require!(WebService::start());
    service.answer(json!([{ "how": "never" }]));
    let world = QueueWorld::new(&hook(&service, ""));
    world.accept("hook", "ups", 1).await;
    let scheduler = world.start();
    let reason = in_state(&scheduler, "hook", DestinationState::Down).await.reason.unwrap();
    assert!(reason.contains("leaves us waiting for its answer, past the timeout"), "{reason}");
    world.drained("hook").await;
    let seen = service.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(body(&seen[0])["id"], body(&seen[1])["id"], "a repeat has the same id");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn what_the_operator_must_mend_holds_everything_and_blames_no_message() {
    let service = require!(WebService::start());
    let world = QueueWorld::new(&hook(&service, ""));
    for (answer, said) in [
        (
            json!({ "status": 401, "body": "{\"error\": \"no\u{1b}[31m token\"}" }),
            "answers 401 Unauthorized: {\"error\": \"no\\u{1b}[31m token\"}; check the credential",
        ),
        (json!({ "status": 404 }), "answers 404 Not Found: taken; check the URL"),
        (json!({ "status": 405, "body": "" }), "answers 405 Method Not Allowed; check `method`"),
        (
            json!({ "status": 307, "headers": { "Location": "https://other.example/x?token=secret" } }),
            "if https://other.example/x is right, write that in the URL: redirects are not followed",
        ),
        (json!({ "status": 301, "headers": { "Location": "/elsewhere" } }), "if /elsewhere is right"),
    ] {
        service.answer(Value::Array(vec![answer.clone(); 20]));
        let scheduler = world.start();
        world.accept("hook", "ups", 5).await;
        let reason = in_state(&scheduler, "hook", DestinationState::OperatorFault).await.reason.unwrap();
        assert!(reason.contains(said), "{answer}: {reason}");
        assert!(!reason.contains("secret"), "{reason}");
        let attempts: u32 = world.copies("hook").await.iter().map(|copy| copy.attempts).sum();
        assert_eq!(attempts, 0, "{answer}");
        service.answer(json!([]));
        world.drained("hook").await;
        shut_down(&scheduler).await;
    }
    assert!(service.seen().iter().all(|request| request["path"] == "/hook?key=secret"));
}

#[tokio::test]
async fn a_message_that_is_refused_or_breaks_the_service_holds_up_nothing_else() {
    let service = require!(WebService::start());
    service
        .answer(json!([{ "status": 422, "body": "no\nsuch field" }, { "status": 413 }, { "status": 500 }]));
    let world = QueueWorld::new(
        &hook(&service, ", limits: { in_flight: 1 }").replace(", limits: { timeout: 5s }", ""),
    );
    world.accept("hook", "ups", 50).await;
    let scheduler = world.start();
    eventually("all others are gone", async || world.copies("hook").await.len() == 2).await;
    in_state(&scheduler, "hook", DestinationState::Up).await;
    let mut failed: Vec<String> =
        world.copies("hook").await.into_iter().filter_map(|copy| copy.text).collect();
    failed.sort();
    assert!(
        failed[0].ends_with("answers 413 Content Too Large: taken")
            || failed[0].ends_with("answers 413 Payload Too Large: taken"),
        "{failed:?}"
    );
    assert!(failed[1].ends_with("answers 422 Unprocessable Entity: no such field"), "{failed:?}");
    assert_eq!(service.seen().len(), 51, "the one that met 500 came again");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_message_that_a_filter_refuses_each_time_holds_up_nothing_else() {
    let service = require!(WebService::start());
    // The first, the probe with another, and the first as often as it comes.
    let mut answers = vec![json!({ "status": 403 }); 100];
    answers[1] = json!({ "status": 200 });
    service.answer(Value::Array(answers));
    let world = QueueWorld::new(
        &hook(&service, ", limits: { in_flight: 1 }").replace(", limits: { timeout: 5s }", ""),
    );
    world.accept("hook", "ups", 2).await;
    let scheduler = world.start();
    eventually("the first alone is left, and pays", async || {
        let left = world.copies("hook").await;
        let told = left.first().and_then(|copy| copy.text.clone()).unwrap_or_default();
        left.len() == 1 && left[0].attempts > 1 && told.contains("others are taken")
    })
    .await;
    in_state(&scheduler, "hook", DestinationState::Up).await;
    shut_down(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the time of a message runs out")]
async fn a_message_that_breaks_the_service_each_time_pays_and_at_last_fails_while_others_pass_it() {
    for (answer, said) in [
        (json!({ "status": 502, "body": "it crashed" }), "answers 502 Bad Gateway: it crashed"),
        (json!({ "how": "silently" }), "closed the connection before its answer was whole"),
        (json!({ "how": "never" }), "leaves us waiting for its answer, past the timeout"),
    ] {
        let service = require!(WebService::start());
        service.answer_each_with("alarm 40\"", &answer);
        let world = QueueWorld::new(&hook(&service, ""));
        world.accept("hook", "ups", 200).await;
        let scheduler = world.start();
        eventually("all others are taken", async || world.delivered("hook") == 199).await;
        // Only while others are taken it is known that the service works.
        let more = std::cell::Cell::new(0);
        let poison = || async { world.one("hook", SpoolState::Queued, |copy| copy.text.is_some()).await };
        eventually("it pays", async || {
            let other = support::queue_world::message("hook", "ups", &format!("more {}", more.get()));
            assert!(world.spool.accept_all(vec![other]).await.iter().all(Result::is_ok));
            more.set(more.get() + 1);
            world.copies("hook").await.iter().any(|copy| copy.attempts >= 2)
        })
        .await;
        let others = 199 + more.get();
        eventually("those came through too", async || world.delivered("hook") == others).await;
        let told = poison().await.text.unwrap();
        assert!(told.contains(said) && told.contains("others are taken"), "{told}");

        let before = in_state(&scheduler, "hook", DestinationState::Up).await;
        let attempts = poison().await.attempts;
        let late =
            (0..200).map(|number| support::queue_world::message("hook", "ups", &format!("late {number}")));
        assert!(world.spool.accept_all(late.collect()).await.iter().all(Result::is_ok));
        eventually("all that came late are taken", async || world.delivered("hook") == others + 200).await;
        world.one("hook", SpoolState::Queued, |copy| copy.attempts > attempts + 1).await;
        let after = in_state(&scheduler, "hook", DestinationState::Up).await;
        assert_eq!(before.since, after.since, "it was up all the time");
        let of_others = |request: &&Value| !request["body"].as_str().unwrap().contains("alarm 40\"");
        let came = service.seen().iter().filter(of_others).count();
        assert_eq!(u64::try_from(came), Ok(others + 200), "nothing came twice");
        shut_down(&scheduler).await;

        let later = jiff::Timestamp::now() + Duration::from_secs(2 * 3600);
        assert_eq!(world.spool.sweep(later).await.unwrap().expired.len(), 1);
        let failed = world.one("hook", SpoolState::Failed, |_| true).await;
        assert!(failed.text.as_ref().unwrap().contains(said), "{failed:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_that_says_yes_is_a_yes() {
    let service = require!(WebService::start());
    service.answer(json!([{ "how": "with_endless_body" }]));
    let world = QueueWorld::new(&hook(&service, ""));
    world.accept("hook", "ups", 1).await;
    let scheduler = world.start();
    world.drained("hook").await;
    assert_eq!(service.seen().len(), 1);
    shut_down(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_under_load_misses_nothing_and_repeats_show_in_their_ids() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let mut service = require!(WebService::with_record(&record));
    let world = QueueWorld::new(&hook(&service, ""));
    let scheduler = world.start();
    for _ in 0..3 {
        world.accept("hook", "ups", 500).await;
        service.seen_at_least(50);
        service.kill();
        in_state(&scheduler, "hook", DestinationState::Down).await;
        service.start_again();
    }
    world.drained("hook").await;
    assert!(world.copies("hook").await.is_empty());
    // It writes an id down before it answers, so a kill may lose an answer and never a record.
    let came: Vec<String> = std::fs::read_to_string(&record).unwrap().lines().map(str::to_owned).collect();
    let different: std::collections::HashSet<_> = came.iter().collect();
    assert_eq!(different.len(), 1500);
    assert!(came.len() <= 1500 + 3 * 16, "more repeats than requests were under way: {}", came.len());
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn bodies_for_services_and_of_the_operators_own() {
    let service = require!(WebService::start());
    let hostile = "\"}], {site} <!channel>\n\u{202E}電";
    for (more, expected) in [
        (", body: teams", "/attachments/0/content/body/0/inlines/0/text"),
        (", body: slack", "/blocks/0/text/text"),
        (", body: ntfy", "/title"),
        (", body: gotify", "/title"),
        (", body: { json: { a: [1, '{title}', null], b: { 'c d': '{{{text}}}' } } }", "/a/1"),
    ] {
        let world = QueueWorld::new(&hook(&service, more));
        let message = support::queue_world::message("hook", "ups-alarms", hostile);
        assert!(world.spool.accept_all(vec![message]).await.iter().all(Result::is_ok));
        let scheduler = world.start();
        world.drained("hook").await;
        let seen = service.seen();
        let request = seen.last().unwrap();
        assert_eq!(request["headers"]["content-type"], "application/json");
        assert_eq!(body(request).pointer(expected).unwrap(), "\"}], {site} <!channel>", "{more}: {request}");
        if more.contains("c d") {
            assert_eq!(body(request)["b"]["c d"], "{\"}], {site} <!channel>\n電}");
        }
        shut_down(&scheduler).await;
    }
    let world = QueueWorld::new(&hook(&service, ", body: { text: '{originator} ({source}): {first_line}' }"));
    world.accept("hook", "ups", 1).await;
    let scheduler = world.start();
    world.drained("hook").await;
    let seen = service.seen();
    assert_eq!(seen.last().unwrap()["body"], "UPS-07 (192.0.2.7): alarm 0");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn ntfy_without_a_topic_fails_that_message_alone() {
    let service = require!(WebService::start());
    let world = QueueWorld::new(&hook(&service, ", body: ntfy"));
    world.accept("hook", "no/topic", 1).await;
    world.accept("hook", "topic", 1).await;
    let scheduler = world.start();
    let failed = world.one("hook", SpoolState::Failed, |_| true).await;
    assert!(failed.text.unwrap().contains("a topic of ntfy has"));
    eventually("the other is gone", async || world.copies("hook").await.len() == 1).await;
    assert_eq!(body(&service.seen()[0])["topic"], "topic");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn tls_is_checked_both_ways_and_each_fault_has_its_words() {
    let (ours, theirs) = (Certificates::of_authority("Plant CA"), Certificates::of_authority("Other CA"));
    let (own, own_key) = ours.make("gw1.plant.example", Validity::Good);
    let ca_file = ours.ca_file();
    let client = format!(", client_certificate: {}, key_file: {}", own.display(), own_key.display());
    for (authority, host, validity, more, said) in [
        (&ours, "localhost", Validity::Good, &*client, None),
        (
            &ours,
            "localhost",
            Validity::Good,
            "",
            Some("it may want to know who we are, by tls.client_certificate"),
        ),
        (
            &ours,
            "hooks.example",
            Validity::Good,
            &*client,
            Some("is not trusted: its certificate is for hooks.example"),
        ),
        (
            &ours,
            "localhost",
            Validity::Expired,
            &*client,
            Some("is not trusted: its certificate has expired"),
        ),
        (
            &theirs,
            "localhost",
            Validity::Good,
            &*client,
            Some("from an authority that is not trusted here (CN=Other CA)"),
        ),
    ] {
        let (certificate, key) = authority.make(host, validity);
        let tls = Certificate { certificate: &certificate, key: &key, client_ca: Some(&ca_file) };
        let service = require!(WebService::with_tls(tls));
        let tls = format!(", tls: {{ ca_file: {}{more} }}", ca_file.display());
        let world = QueueWorld::new(&hook(&service, &tls).replace("http://", "https://"));
        world.accept("hook", "ups", 1).await;
        let scheduler = world.start();
        match said {
            None => world.drained("hook").await,
            Some(said) => {
                let name = mailslotd::message::id::DestinationName::new("hook").unwrap();
                let reason = || scheduler.views().of(&name).unwrap().reason.unwrap_or_default();
                eventually(said, async || reason().contains(said)).await;
                assert_eq!(
                    scheduler.views().of(&name).unwrap().state,
                    DestinationState::OperatorFault,
                    "{said}"
                );
            }
        }
        shut_down(&scheduler).await;
    }
}

#[tokio::test]
async fn nothing_inside_the_network_is_connected_to_unasked() {
    let service = require!(WebService::start());
    let leads_here = |name: &str| {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(name, service.port));
        found.is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
    };
    // `check` refuses this one by its name already; here the name is looked at when it has been resolved.
    assert!(leads_here("localhost"), "every test here reaches its service by this name");
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let others = ["localhost.localdomain", "ip6-localhost", hostname.trim()];
    let names = others.into_iter().filter(|name| leads_here(name)).chain(["localhost"]);
    for name in names {
        let yaml = hook(&service, "")
            .replace("localhost", "hooks.example")
            .replace("allow_private: true", "allow_private: false");
        let mut world = QueueWorld::new(&yaml);
        let hook = world.settings.destinations.iter_mut().find(|other| other.name.as_str() == "hook");
        let DestinationKind::Webhook(hook) = &mut hook.unwrap().kind else { panic!("no webhook") };
        hook.url = HttpUrl::parse(&format!("http://{name}:{}/hook", service.port)).unwrap();
        world.accept("hook", "ups", 1).await;
        let scheduler = world.start();
        let reason = in_state(&scheduler, "hook", DestinationState::OperatorFault).await.reason.unwrap();
        assert!(reason.contains("is this machine itself; write `allow_private: true`"), "{reason}");
        shut_down(&scheduler).await;
    }
    assert!(service.seen().is_empty());
}
