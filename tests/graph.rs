//! Mail through Microsoft Graph, against a fake of the test's own: the real one cannot be reached from a test.
//!
//! The fake is a web service that answers as Graph documents it; it gives the tokens too, so their renewal is real. What it
//! gets is read by Python's `email` package, a second opinion on who the recipients are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use mailslotd::message::id::DestinationName;
use mailslotd::message::mail::{Body, Content, Message, Priority, Submitted};
use mailslotd::message::recipient::Recipient;
use mailslotd::spool::SpoolState;
use mailslotd::telemetry::metrics::DestinationState;
use serde_json::{Value, json};

mod support;

use support::python::Python;
use support::queue_world::{QueueWorld, eventually, in_state, shut_down};
use support::require;
use support::web_service::WebService;

const MAILBOX: &str = "alerts@corp.example";

fn world(service: &WebService, secret: &std::path::Path, more: &str) -> QueueWorld {
    let port = service.port;
    QueueWorld::new(&format!(
        "  graph:\n    graph:\n      mailbox: {MAILBOX}\n      url: 'http://localhost:{port}'\n      limits: {{ rate: off, timeout: 2s, in_flight: 1 }}\n      \
         auth: {{ oauth: {{ grant: client-credentials, token_url: 'http://localhost:{port}/token', client_id: id, \
         client_secret_file: {} }} }}\n{more}",
        secret.display()
    ))
}

fn secret() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sesame\n").unwrap();
    file
}

fn token(text: &str) -> Value {
    let body = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": text }).to_string();
    json!({ "status": 200, "headers": { "Content-Type": "application/json" }, "body": body })
}

fn accepted() -> Value {
    json!({ "status": 202, "body": "", "headers": { "request-id": "7f1b" } })
}

fn refused(status: u16, code: &str) -> Value {
    let body = json!({ "error": { "code": code, "message": "It is so." } }).to_string();
    json!({ "status": status, "body": body })
}

fn to_graph(seen: &[Value]) -> Vec<&Value> {
    seen.iter().filter(|request| request["path"] != "/token").collect()
}

/// What Python reads in the mail of a request.
fn mail(python: Python, request: &Value) -> Value {
    let mime = STANDARD.decode(request["body"].as_str().unwrap()).unwrap();
    let script = r"
import email, email.policy, email.utils, json, sys
mail = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
all = lambda name: [address for _, address in email.utils.getaddresses([str(value) for value in mail.get_all(name, [])])]
print(json.dumps({'to': all('To'), 'cc': all('Cc'), 'bcc': all('Bcc'), 'from': all('From'), 'reply_to': all('Reply-To'),
                  'original_to': mail['X-Original-To'], 'subject': mail['Subject'], 'body': mail.get_content().strip()}))
";
    python.json(script, std::str::from_utf8(&mime).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "mail comes now")]
async fn accept_mail(world: &QueueWorld, text: &str, recipients: &[&str]) {
    let via = DestinationName::new("graph").unwrap();
    let message = Message {
        body: Body::Mail {
            reverse_path: Some("scanner@plant.example".to_owned()),
            content: Content::Inline(Bytes::from(text.replace('\n', "\r\n"))),
            submitted: Box::new(Submitted::default()),
        },
        accepted_at: Timestamp::now(),
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients: recipients.iter().map(|to| Recipient::new(via.clone(), *to)).collect(),
    };
    assert!(world.spool.accept_all(vec![message]).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_notice_goes_out_from_the_mailbox() {
    let (python, secret) = (require!(Python::find()), secret());
    let service = require!(WebService::start());
    service.answer(json!([token("first"), accepted(), accepted()]));
    let world = world(&service, secret.path(), "");
    world.accept("graph", "ops@corp.example", 2).await;
    let scheduler = world.start();
    world.drained("graph").await;
    let seen = service.seen();
    assert_eq!(seen.len(), 3, "one token serves both");
    assert!(seen[0]["body"].as_str().unwrap().contains("scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"));
    for request in to_graph(&seen) {
        assert_eq!(
            (&request["method"], &request["path"]),
            (&"POST".into(), &format!("/v1.0/users/{MAILBOX}/sendMail").into())
        );
        let headers = &request["headers"];
        assert_eq!(
            (&headers["content-type"], &headers["authorization"]),
            (&"text/plain".into(), &"Bearer first".into())
        );
        let mail = mail(python, request);
        assert_eq!((&mail["to"], &mail["from"]), (&json!(["ops@corp.example"]), &json!([MAILBOX])));
        assert!(mail["body"].as_str().unwrap().contains("alarm"), "{mail}");
    }
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn only_the_envelope_says_who_gets_a_mail() {
    let (python, secret) = (require!(Python::find()), secret());
    let service = require!(WebService::start());
    let world = world(&service, secret.path(), "");
    let cases = [
        (
            "To: Ops <ops@corp.example>\nCc: it@corp.example\n",
            json!(["ops@corp.example"]),
            json!(["it@corp.example"]),
            json!(["night@corp.example"]),
        ),
        (
            "To: victim@elsewhere.example\nBcc: victim@elsewhere.example\n",
            json!([]),
            json!([]),
            json!(["ops@corp.example", "it@corp.example", "night@corp.example"]),
        ),
        (
            "To: ops@corp.example, victim@elsewhere.example\nResent-To: victim@elsewhere.example\n",
            json!(["ops@corp.example"]),
            json!([]),
            json!(["it@corp.example", "night@corp.example"]),
        ),
    ];
    service.answer(json!([token("first"), accepted(), accepted(), accepted()]));
    let scheduler = world.start();
    for (number, (recipients, to, cc, bcc)) in cases.into_iter().enumerate() {
        let text = format!(
            "From: Scanner <scanner@plant.example>\n{recipients}Subject: scan {number}\n\nThe page.\n"
        );
        accept_mail(&world, &text, &["ops@corp.example", "it@corp.example", "night@corp.example"]).await;
        world.drained("graph").await;
        let seen = service.seen();
        let mail = mail(python, to_graph(&seen).last().unwrap());
        assert_eq!((&mail["to"], &mail["cc"], &mail["bcc"]), (&to, &cc, &bcc), "{recipients}: {mail}");
        assert_eq!(
            (&mail["from"], &mail["reply_to"]),
            (&json!([MAILBOX]), &json!(["scanner@plant.example"]))
        );
        assert_eq!(
            (&mail["subject"], &mail["body"]),
            (&format!("scan {number}").into(), &"The page.".into())
        );
        assert_eq!(
            mail["original_to"].is_string(),
            recipients.contains("To: victim") || recipients.contains(", victim")
        );
    }
    assert_eq!(to_graph(&service.seen()).len(), 3, "one request for all three recipients");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_then_it_is_the_operators() {
    let secret = secret();
    let service = require!(WebService::start());
    let world = world(&service, secret.path(), "");
    let scheduler = world.start();
    let expired = refused(401, "InvalidAuthenticationToken");
    service.answer(json!([token("old"), expired, token("new"), accepted()]));
    world.accept("graph", "ops@corp.example", 1).await;
    world.drained("graph").await;
    let seen = service.seen();
    let tokens: Vec<&Value> =
        to_graph(&seen).into_iter().map(|request| &request["headers"]["authorization"]).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer new"]);

    service.answer(json!([expired, token("third"), expired, token("fourth"), accepted()]));
    world.accept("graph", "ops@corp.example", 1).await;
    let reason = in_state(&scheduler, "graph", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        reason.contains(
            "refuses the token, and the one after it: 401 Unauthorized: InvalidAuthenticationToken: It is so."
        ),
        "{reason}"
    );
    assert_eq!(world.copies("graph").await.iter().map(|copy| copy.attempts).sum::<u32>(), 0);
    world.drained("graph").await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn what_graph_refuses_is_told_in_its_administrators_words() {
    let secret = secret();
    let service = require!(WebService::start());
    let world = world(&service, secret.path(), "");
    service.answer(json!([token("first"), accepted()]));
    let scheduler = world.start();
    world.accept("graph", "ops@corp.example", 1).await;
    world.drained("graph").await;
    for (answer, state, said) in [
        (
            refused(403, "ErrorAccessDenied"),
            DestinationState::OperatorFault,
            "grant the application the permission Mail.Send",
        ),
        (refused(404, "ErrorInvalidUser"), DestinationState::OperatorFault, "check `mailbox`"),
        (refused(403, "ErrorSendAsDenied"), DestinationState::OperatorFault, "set `from.address`"),
        (
            json!({ "status": 429, "headers": { "Retry-After": "1" } }),
            DestinationState::Throttled,
            "wants no more for now from alerts@corp.example: 429",
        ),
        (
            refused(503, "ServiceUnavailable"),
            DestinationState::Down,
            "answers 503 Service Unavailable: ServiceUnavailable: It is so.",
        ),
        (json!({ "how": "silently" }), DestinationState::Down, "closed the connection"),
    ] {
        // Enough of them that the state is seen: one failure among answers is no trouble yet.
        service.answer(Value::Array(vec![answer.clone(); 5]));
        world.accept("graph", "ops@corp.example", 1).await;
        let reason = in_state(&scheduler, "graph", state).await.reason.unwrap();
        assert!(reason.contains(said), "{answer}: {reason}");
        assert_eq!(world.copies("graph").await.iter().map(|copy| copy.attempts).sum::<u32>(), 0, "{answer}");
        world.drained("graph").await;
        in_state(&scheduler, "graph", DestinationState::Up).await;
    }
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_recipient_that_graph_cannot_read_costs_the_others_nothing() {
    let (python, secret) = (require!(Python::find()), secret());
    let service = require!(WebService::start());
    let invalid = || refused(400, "ErrorInvalidRecipients");
    // All three; the last alone; the first two; each of these.
    service.answer(json!([token("first"), invalid(), accepted(), invalid(), invalid(), accepted()]));
    let world = world(&service, secret.path(), "");
    let recipients = ["a@corp.example", "b@corp.example", "c@corp.example"];
    accept_mail(&world, "Subject: scan\n\nSee below.\n", &recipients).await;
    let scheduler = world.start();
    eventually("one is left", async || world.copies("graph").await.len() == 1).await;
    let left = world.copies("graph").await;
    assert!(left[0].text.as_ref().unwrap().contains("ErrorInvalidRecipients"), "{left:?}");
    let seen = service.seen();
    let asked: Vec<Value> =
        to_graph(&seen).into_iter().map(|request| mail(python, request)["bcc"].clone()).collect();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert_eq!([&asked[1], &asked[4]], [&json!(["c@corp.example"]), &json!(["a@corp.example"])]);
    assert_eq!(asked[3], json!(["b@corp.example"]));
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_mail_that_is_too_large_fails_alone_whoever_finds_out() {
    let secret = secret();
    let service = require!(WebService::start());
    let world = world(&service, secret.path(), "");
    service.answer(json!([token("first"), refused(413, "ErrorMessageSizeExceeded"), accepted()]));
    let scheduler = world.start();
    world.accept("graph", "ops@corp.example", 1).await;
    let failed = world.one("graph", SpoolState::Failed, |_| true).await;
    assert!(
        failed.text.unwrap().ends_with("answers 413 Payload Too Large: ErrorMessageSizeExceeded: It is so.")
    );
    let long =
        format!("From: a@plant.example\nTo: ops@corp.example\n\n{}", "0123456789abcdef\n".repeat(200_000));
    accept_mail(&world, &long, &["ops@corp.example"]).await;
    world
        .one("graph", SpoolState::Failed, |copy| {
            copy.text.as_deref().is_some_and(|text| text.contains("message_size allows 3000000"))
        })
        .await;
    world.accept("graph", "ops@corp.example", 1).await;
    eventually("the last one is gone", async || world.copies("graph").await.len() == 2).await;
    assert_eq!(to_graph(&service.seen()).len(), 2);
    shut_down(&scheduler).await;
}
