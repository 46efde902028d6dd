//! NATS JetStream as a place that messages go, against a real nats-server.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "what another process does is awaited on the wall clock")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailslotd::config::check::SecretOrigin;
use mailslotd::config::settings::{
    BrokerTls, CertificateFiles, NatsAuth, NatsCluster, NatsServer as Address, Secret,
};
use mailslotd::net::nats::{Cluster, Denial, NatsFault};
use mailslotd::spool::SpoolState;
use mailslotd::telemetry::metrics::DestinationState;
use nkeys::{KeyPair, KeyPairType};
use tokio::time::sleep;

mod support;

use support::nats_server::NatsServer;
use support::queue_world::{HOSTILE, QueueWorld, eventually, in_state, shut_down};
use support::require;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn cluster(server: &NatsServer) -> NatsCluster {
    let servers = vec![Address { host: "localhost".to_owned(), port: server.port }];
    NatsCluster { servers, tls: None, auth: NatsAuth::None }
}

#[tokio::test]
async fn a_connection_that_breaks_is_over_and_nothing_waits_for_another() {
    let mut server = require!(NatsServer::start(""));
    let cluster = Cluster::new(&cluster(&server), "test").unwrap();
    let connection = cluster.connect(PATIENCE).await.unwrap();
    let client = connection.client();
    let _nobody_answers = client.subscribe("plant.ups").await.unwrap();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.request("plant.ups", "?".into()).await }
    });
    client.flush().await.unwrap();
    server.kill();
    let asked = tokio::time::timeout(PATIENCE / 2, asking).await.expect("what is awaited ends at once");
    assert!(asked.unwrap().is_err());
    server.start_again();
    let late = client.publish("plant.ups", "x".into()).await;
    assert!(late.is_err(), "it did not connect by itself");
    assert!(cluster.connect(PATIENCE).await.is_ok());
}

#[tokio::test]
async fn who_may_not_connect_is_told_why() {
    let server = require!(NatsServer::start("authorization { user: gw, password: secret }"));
    let there = Cluster::new(&cluster(&server), "test").unwrap();
    let Err(NatsFault::Operator(said)) = there.connect(PATIENCE).await else { panic!("let in") };
    assert!(said.contains("refuses the login: Authorization Violation; check `auth` here"), "{said}");

    let nobody =
        NatsCluster { servers: vec![Address { host: "127.0.0.1".to_owned(), port: 1 }], ..cluster(&server) };
    let nobody = Cluster::new(&nobody, "test").unwrap();
    let Err(NatsFault::Unreachable(said)) = nobody.connect(PATIENCE).await else { panic!("connected") };
    assert!(said.starts_with("127.0.0.1:1 cannot be reached: ") && said.contains("refused"), "{said}");

    server.freeze();
    let began = std::time::Instant::now();
    let Err(NatsFault::Unreachable(said)) = there.connect(Duration::from_secs(1)).await else {
        panic!("connected")
    };
    assert!(said.contains("does not answer") && began.elapsed() < PATIENCE / 2, "{said}");
}

#[tokio::test]
async fn tls_is_required_both_ways_and_each_fault_has_its_words() {
    let tls = "tls { cert_file: \"DIR/server.pem\", key_file: \"DIR/server.key\", ca_file: \"DIR/ca.pem\", verify: true }";
    let server = require!(NatsServer::start(tls));
    let files = |name: &str| CertificateFiles {
        certificate: server.path(&format!("{name}.pem")),
        key_file: server.path(&format!("{name}.key")),
    };
    let trusting =
        BrokerTls { ca_file: Some(server.path("ca.pem")), client_certificate: Some(files("client")) };
    let connect = async |tls: BrokerTls| {
        let settings = NatsCluster { tls: Some(tls), ..cluster(&server) };
        Cluster::new(&settings, "test").unwrap().connect(PATIENCE).await
    };
    assert!(connect(trusting.clone()).await.is_ok());
    let said = async |tls| match connect(tls).await {
        Err(NatsFault::Operator(said)) => said,
        other => panic!("{other:?}"),
    };
    let unshown = said(BrokerTls { client_certificate: None, ..trusting.clone() }).await;
    assert!(unshown.contains("broke off TLS") && unshown.contains("tls.client_certificate"), "{unshown}");
    let untrusted = said(BrokerTls { ca_file: None, ..trusting.clone() }).await;
    assert!(
        untrusted.contains("is not trusted: its certificate is from an authority")
            && untrusted.contains("ca_file"),
        "{untrusted}"
    );

    let clear = NatsServer::start("").unwrap();
    let settings = NatsCluster { tls: Some(trusting), ..cluster(&clear) };
    let Err(NatsFault::Operator(said)) = Cluster::new(&settings, "test").unwrap().connect(PATIENCE).await
    else {
        panic!("connected")
    };
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[tokio::test]
async fn what_an_account_may_not_publish_is_told_on_its_connection() {
    let permissions =
        "authorization { users: [{ user: gw, password: secret, permissions: { publish: \"plant.>\" } }] }";
    let server = require!(NatsServer::start(permissions));
    let secret = Secret {
        text: "secret".to_owned().into(),
        origin: SecretOrigin::Variable("NATS_PASSWORD".to_owned()),
    };
    let auth = NatsAuth::Password { user: "gw".to_owned(), password: secret };
    let cluster = Cluster::new(&NatsCluster { auth, ..cluster(&server) }, "test").unwrap();
    let connection = cluster.connect(PATIENCE).await.unwrap();
    let mut watch = connection.watch();
    connection.client().publish("office.door", "x".into()).await.unwrap();
    let denial = tokio::time::timeout(PATIENCE, watch.denied("office.door")).await.unwrap();
    assert_eq!(denial, Denial::Publish("office.door".to_owned()));
}

/// A destination `bus` at a server; `more` are its further keys.
fn bus(server: &NatsServer, more: &str) -> String {
    let url = server.url();
    format!(
        "  bus: {{ nats: {{ servers: ['{url}'], stream: MAILSLOT, limits: {{ timeout: 2s, in_flight: 500 }}{more} }} }}\n"
    )
}

const CREATE: &str = ", create: { subjects: ['plant.>'] }";

/// What a reader of the stream sees: how many messages, and how many different ids of events.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    messages: u64,
    ids: usize,
}

async fn jetstream(server: &NatsServer) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

async fn stored(server: &NatsServer) -> Stored {
    let stream = jetstream(server).await.get_stream("MAILSLOT").await.unwrap();
    let state = &stream.cached_info().state;
    let mut ids = std::collections::HashSet::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        ids.insert(message.headers.get("Nats-Msg-Id").unwrap().to_string());
    }
    Stored { messages: state.messages, ids: ids.len() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_made_where_it_is_asked_for_and_takes_every_event_once() {
    let server = require!(NatsServer::start(""));
    let world = QueueWorld::new(&bus(&server, CREATE));
    world.accept("bus", "plant.ups.alarm", 1000).await;
    let scheduler = world.start();
    world.drained("bus").await;
    assert_eq!(stored(&server).await, Stored { messages: 1000, ids: 1000 });
    let stream = jetstream(&server).await.get_stream("MAILSLOT").await.unwrap();
    let first = stream.get_raw_message(1).await.unwrap();
    assert_eq!(first.headers.get("Content-Type").unwrap().as_str(), "application/cloudevents+json");
    let event: serde_json::Value = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(event["type"], "mailslotd.messenger.v1");
    assert_eq!(event["id"], first.headers.get("Nats-Msg-Id").unwrap().as_str());
    assert_eq!((&event["subject"], first.subject.as_str()), (&"plant.ups.alarm".into(), "plant.ups.alarm"));
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn in_binary_mode_attributes_are_headers() {
    let server = require!(NatsServer::start(""));
    let world = QueueWorld::new(&bus(&server, &format!(", event: binary{CREATE}")));
    world.accept("bus", "plant.ups.停電", 1).await;
    let scheduler = world.start();
    world.drained("bus").await;
    let stream = jetstream(&server).await.get_stream("MAILSLOT").await.unwrap();
    let first = stream.get_raw_message(1).await.unwrap();
    let header = |name: &str| first.headers.get(name).unwrap().as_str();
    assert_eq!((header("ce-type"), header("ce-specversion")), ("mailslotd.messenger.v1", "1.0"));
    assert_eq!(header("ce-subject"), "plant.ups.%E5%81%9C%E9%9B%BB");
    assert_eq!(header("ce-id"), header("Nats-Msg-Id"));
    let data: serde_json::Value = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(data["text"], "alarm 0");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn an_absent_stream_is_the_operators_and_everything_goes_once_it_is_there() {
    let server = require!(NatsServer::start(""));
    let world = QueueWorld::new(&bus(&server, ""));
    world.accept("bus", "plant.ups", 100).await;
    let scheduler = world.start();
    let fault = in_state(&scheduler, "bus", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        fault.contains("has no stream MAILSLOT; make it with `nats stream add MAILSLOT --subjects"),
        "{fault}"
    );
    let attempts: u32 = world.copies("bus").await.iter().map(|copy| copy.attempts).sum();
    assert_eq!(attempts, 0, "no message is blamed");
    let config = async_nats::jetstream::stream::Config {
        name: "MAILSLOT".to_owned(),
        subjects: vec!["plant.>".to_owned()],
        ..Default::default()
    };
    jetstream(&server).await.create_stream(config).await.unwrap();
    world.drained("bus").await;
    assert_eq!(stored(&server).await, Stored { messages: 100, ids: 100 });
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_subject_that_no_stream_takes_holds_up_nothing_else() {
    let server = require!(NatsServer::start(""));
    let world = QueueWorld::new(&bus(&server, CREATE));
    world.accept("bus", "office.door", 1).await;
    world.accept("bus", "plant..ups", 1).await;
    world.accept("bus", "plant.ups", 100).await;
    let scheduler = world.start();
    let waiting = world.one("bus", SpoolState::Queued, |copy| copy.attempts > 0).await;
    let said = waiting.text.unwrap();
    assert!(said.starts_with("stream MAILSLOT does not take office.door, only plant.>; add it"), "{said}");
    let failed = world.one("bus", SpoolState::Failed, |_| true).await;
    assert_eq!(
        failed.text.unwrap(),
        "\"plant..ups\" is no NATS subject: it has an empty token: a dot at its beginning or its end, or two side by side"
    );
    eventually("the others are gone", async || world.copies("bus").await.len() == 2).await;
    in_state(&scheduler, "bus", DestinationState::Up).await;
    shut_down(&scheduler).await;
}

/// What this program says, of all tests of this file together.
#[derive(Clone, Default)]
struct Paper(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    /// As the log is by default.
    fn log(&self) {
        let (paper, filter) = (self.clone(), "warn,mailslotd=info,async_nats=off");
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(move || paper.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_under_load_loses_nothing() {
    let mut server = require!(NatsServer::start(""));
    let world = QueueWorld::new(&bus(&server, CREATE));
    let scheduler = world.start();
    for round in 1..=5_usize {
        world.accept("bus", "plant.ups", 2000).await;
        // In the midst of it: not all of this round, and more than of those before.
        let delivered = || world.delivered("bus");
        eventually("some are delivered", async || delivered() > 2000 * (round as u64 - 1) + 200).await;
        server.kill();
        sleep(Duration::from_millis(100)).await;
        server.start_again();
    }
    world.drained("bus").await;
    let Stored { messages, ids } = stored(&server).await;
    assert_eq!(ids, 10_000, "all that was accepted is there");
    assert!(
        (10_000..10_000 + 5 * 500).contains(&messages),
        "{messages}: at most what was on its way is repeated"
    );
    in_state(&scheduler, "bus", DestinationState::Up).await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_told_once_and_holds_up_no_other_destination() {
    let server = require!(NatsServer::start(""));
    let inbox = "  mails: { maildir: { path: /PATH } }\n";
    let scratch = tempfile::tempdir().unwrap();
    let inbox = inbox.replace("/PATH", scratch.path().join("mails").to_str().unwrap());
    let destinations = bus(&server, CREATE).replace("  bus:", "  hangs:") + &inbox;
    let world = QueueWorld::new(&destinations);
    let paper = Paper::default();
    paper.log();
    let scheduler = world.start();
    world.accept("hangs", "plant.ups", 10).await;
    world.drained("hangs").await;
    server.freeze();
    world.accept("hangs", "plant.ups", 1000).await;
    world.accept("mails", "ups", 200).await;
    world.drained("mails").await;
    assert!(!world.copies("hangs").await.is_empty(), "the other one did not wait for it");
    let down = in_state(&scheduler, "hangs", DestinationState::Down).await.reason.unwrap();
    assert!(down.contains("look into its log"), "{down}");
    // Some probes more.
    sleep(Duration::from_secs(5)).await;
    let attempts: u32 = world.copies("hangs").await.iter().map(|copy| copy.attempts).sum();
    assert_eq!(attempts, 0, "no message pays for it");
    server.thaw();
    world.drained("hangs").await;
    assert_eq!(stored(&server).await, Stored { messages: 1010, ids: 1010 });
    shut_down(&scheduler).await;
    let lines = paper.lines();
    let ours: Vec<_> = lines.iter().filter(|line| line.contains("destination=hangs")).collect();
    let about = |said: &str| ours.iter().filter(|line| line.contains(said)).count();
    assert_eq!(about("A destination takes nothing"), 1, "{ours:#?}");
    assert_eq!(about("A destination works again"), 1, "{ours:#?}");
    assert_eq!(ours.len(), 2, "{ours:#?}");
    assert!(!lines.iter().any(|line| line.contains("async_nats")), "{lines:#?}");
}

#[tokio::test]
async fn a_full_stream_takes_the_rest_once_it_has_room() {
    let server = require!(NatsServer::start(""));
    let full = ", create: { subjects: ['plant.>'], max_messages: 50, discard: new }";
    let world = QueueWorld::new(&bus(&server, full));
    world.accept("bus", "plant.ups", 100).await;
    let scheduler = world.start();
    let reason = in_state(&scheduler, "bus", DestinationState::Throttled).await.reason.unwrap();
    assert!(reason.contains("has no room: maximum messages exceeded"), "{reason}");
    eventually("it is full", async || world.copies("bus").await.len() == 50).await;
    jetstream(&server).await.get_stream("MAILSLOT").await.unwrap().purge().await.unwrap();
    world.drained("bus").await;
    assert_eq!(stored(&server).await, Stored { messages: 50, ids: 50 });
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_meanwhile_is_made_again() {
    let server = require!(NatsServer::start(""));
    let world = QueueWorld::new(&bus(&server, CREATE));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 10).await;
    world.drained("bus").await;
    jetstream(&server).await.delete_stream("MAILSLOT").await.unwrap();
    world.accept("bus", "plant.ups", 100).await;
    world.drained("bus").await;
    assert_eq!(stored(&server).await, Stored { messages: 100, ids: 100 });
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn what_a_stream_can_never_take_fails_and_what_is_too_long_is_cut() {
    let server = require!(NatsServer::start("max_payload: 2000"));
    let config = async_nats::jetstream::stream::Config {
        name: "MAILSLOT".to_owned(),
        subjects: vec!["plant.>".to_owned()],
        max_message_size: 1000,
        ..Default::default()
    };
    jetstream(&server).await.create_stream(config).await.unwrap();
    let world = QueueWorld::new(&bus(&server, ""));
    let long = support::queue_world::message("bus", "plant.ups", &"long ".repeat(200));
    world.spool.accept(long).await.unwrap();
    let scheduler = world.start();
    let failed = world.one("bus", SpoolState::Failed, |_| true).await;
    assert_eq!(failed.status.unwrap().to_string(), "5.3.4");
    assert!(failed.text.unwrap().contains("message size exceeds maximum allowed"));
    shut_down(&scheduler).await;

    let server = NatsServer::start("max_payload: 2000").unwrap();
    let world = QueueWorld::new(&bus(&server, CREATE));
    let long = support::queue_world::message("bus", "plant.ups", &"long ".repeat(1000));
    world.spool.accept(long).await.unwrap();
    let scheduler = world.start();
    world.drained("bus").await;
    let stream = jetstream(&server).await.get_stream("MAILSLOT").await.unwrap();
    let event = stream.get_raw_message(1).await.unwrap();
    let event: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(event["data"]["truncated"], true);
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_subject_that_is_denied_waits_alone_and_an_account_that_may_nothing_is_the_operators() {
    let users = |publish: &str| {
        format!(
            "authorization {{ users: [{{ user: gw, password: secret, permissions: {{ publish: [{publish}] }} }}, {{ user: all, password: all }}] }}"
        )
    };
    let server = require!(NatsServer::start(&users(r#""plant.>", "$JS.API.>""#)));
    let password = server.path("password");
    std::fs::write(&password, "secret").unwrap();
    let auth = format!("{CREATE}, auth: {{ user: gw, password_file: {} }}", password.display());
    let world = QueueWorld::new(&bus(&server, &auth));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 10).await;
    world.drained("bus").await;
    world.accept("bus", "office.door", 1).await;
    world.accept("bus", "plant.ups", 10).await;
    let denied = world.one("bus", SpoolState::Queued, |copy| copy.attempts > 0).await;
    assert!(denied.text.unwrap().starts_with("this account may not publish to office.door; allow it"));
    eventually("the others are gone", async || world.copies("bus").await.len() == 1).await;
    assert_eq!(in_state(&scheduler, "bus", DestinationState::Up).await.reason, None);
    shut_down(&scheduler).await;

    server.configure(&users(r#""elsewhere""#));
    server.reload();
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 1).await;
    let fault = in_state(&scheduler, "bus", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(fault.contains("does not let us publish: this account may not publish to "), "{fault}");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_login_that_is_revoked_under_way_is_the_operators_and_nothing_is_lost() {
    let user = |password: &str| format!("authorization {{ users: [{{ user: gw, password: {password} }}] }}");
    let server = require!(NatsServer::start(&user("secret")));
    let password = server.path("password");
    std::fs::write(&password, "secret").unwrap();
    let auth = format!("{CREATE}, auth: {{ user: gw, password_file: {} }}", password.display());
    let world = QueueWorld::new(&bus(&server, &auth));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 10).await;
    world.drained("bus").await;
    server.configure(&user("another"));
    server.reload();
    world.accept("bus", "plant.ups", 100).await;
    let fault = in_state(&scheduler, "bus", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(fault.contains("refuses the login: Authorization Violation"), "{fault}");
    server.configure(&user("secret"));
    server.reload();
    world.drained("bus").await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn what_senders_call_themselves_is_one_token_of_a_subject_and_nothing_else() {
    let server = require!(NatsServer::start(""));
    let rules = "netbios: { code_page: cp850 }\nrules: [{ name: all, match: any, deliver: [{ via: bus, to: 'plant.{originator}.alarm' }] }]\n";
    let world = QueueWorld::new(&format!("{}{rules}", bus(&server, CREATE)));
    let scheduler = world.start();
    for user in HOSTILE {
        world.hear(user).await;
    }
    world.drained("bus").await;
    let mut stream = jetstream(&server).await.get_stream("MAILSLOT").await.unwrap();
    let last = stream.info().await.unwrap().state.last_sequence;
    let mut subjects = std::collections::BTreeSet::new();
    for sequence in 1..=last {
        subjects.insert(stream.get_raw_message(sequence).await.unwrap().subject.to_string());
    }
    assert_eq!(subjects.len(), HOSTILE.len(), "each has a subject of its own: {subjects:?}");
    for subject in &subjects {
        let ["plant", token, "alarm"] = subject.split('.').collect::<Vec<_>>()[..] else {
            panic!("more than one token: {subject:?}")
        };
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_@=%".contains(&octet);
        assert!(!token.is_empty() && token.bytes().all(plain), "{token:?}");
    }
    for token in ["a%2Eb", "%3E", "%2A", "a%20b", "%2E%2E", "a%2E%2A%2E%3E", "%23%2B%2F%252E"] {
        assert!(subjects.contains(&format!("plant.{token}.alarm")), "{token} in {subjects:?}");
    }
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn who_answers_in_the_name_of_another_stream_has_taken_nothing() {
    let server = require!(NatsServer::start(""));
    let liar = async_nats::connect(server.url()).await.unwrap();
    let mut heard = liar.subscribe("plant.>").await.unwrap();
    liar.flush().await.unwrap();
    let world = QueueWorld::new(&bus(&server, ""));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 1).await;
    tokio::spawn(async move {
        while let Some(message) = futures_util::StreamExt::next(&mut heard).await {
            let answer = r#"{"stream":"OTHER","seq":1}"#;
            liar.publish(message.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
    let fault = in_state(&scheduler, "bus", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        fault.contains("acknowledges in the name of the stream OTHER what is for MAILSLOT")
            && fault.contains("see who answers on plant.ups"),
        "{fault}"
    );
    assert_eq!(world.copies("bus").await.len(), 1, "it waits");
    shut_down(&scheduler).await;
}

/// Keys that are the same at every run; nothing but these tests trusts them.
fn key(kind: KeyPairType, number: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [number; 32]).unwrap()
}

#[tokio::test]
async fn with_the_seed_of_an_nkey_that_the_server_knows_it_is_let_in_and_with_no_other() {
    let user = key(KeyPairType::User, 1);
    let server = require!(NatsServer::start(&format!(
        "authorization {{ users: [{{ nkey: {} }}] }}",
        user.public_key()
    )));
    let seed = server.path("user.nk");
    std::fs::write(&seed, format!("{}\n", user.seed().unwrap())).unwrap();
    let world =
        QueueWorld::new(&bus(&server, &format!("{CREATE}, auth: {{ nkey_file: {} }}", seed.display())));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 10).await;
    world.drained("bus").await;
    assert_eq!(world.delivered("bus"), 10);
    shut_down(&scheduler).await;

    let stranger = key(KeyPairType::User, 2).seed().unwrap();
    std::fs::write(&seed, &stranger).unwrap();
    let world =
        QueueWorld::new(&bus(&server, &format!("{CREATE}, auth: {{ nkey_file: {} }}", seed.display())));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 1).await;
    let fault = in_state(&scheduler, "bus", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(fault.contains("refuses the login"), "{fault}");
    assert!(!fault.contains(&stranger), "{fault}");
    shut_down(&scheduler).await;
}

/// A JWT of NATS: claims about `subject`, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: serde_json::Value) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = serde_json::json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(),
        "nats": nats,
    });
    let header = serde_json::json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_credentials_file_lets_in_as_long_as_its_jwt_is_of_an_account_that_the_operator_vouches_for() {
    let [operator, system, account] =
        [(KeyPairType::Operator, 3), (KeyPairType::Account, 4), (KeyPairType::Account, 5)]
            .map(|(kind, number)| key(kind, number));
    let user = key(KeyPairType::User, 6);
    let limits = serde_json::json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = |key: &KeyPair, name: &str, limits: &serde_json::Value| {
        jwt(&operator, key, name, serde_json::json!({ "type": "account", "version": 2, "limits": limits }))
    };
    // The account of the system has no JetStream of its own.
    let mut of_system = limits.clone();
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        of_system[limit] = 0.into();
    }
    let more = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        jwt(&operator, &operator, "plant", serde_json::json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        system.public_key(),
        of_account(&system, "SYS", &of_system),
        account.public_key(),
        of_account(&account, "alarms", &limits),
    );
    let server = require!(NatsServer::start(&more));
    let file = server.path("gateway.creds");
    let write = |issuer: &KeyPair| {
        let claims = serde_json::json!({ "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });
        let (jwt, seed) = (jwt(issuer, &user, "gateway", claims), user.seed().unwrap());
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n\
             ------END USER NKEY SEED------\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write(&account);
    let auth = format!("{CREATE}, auth: {{ credentials_file: {} }}", file.display());
    let world = QueueWorld::new(&bus(&server, &auth));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 10).await;
    world.drained("bus").await;
    assert_eq!(world.delivered("bus"), 10);
    shut_down(&scheduler).await;

    write(&key(KeyPairType::Account, 7));
    let world = QueueWorld::new(&bus(&server, &auth));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 1).await;
    let fault = in_state(&scheduler, "bus", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(fault.contains("refuses the login"), "{fault}");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn under_tls_with_a_client_certificate_events_arrive() {
    let tls = "tls { cert_file: \"DIR/server.pem\", key_file: \"DIR/server.key\", ca_file: \"DIR/ca.pem\", verify: true }";
    let server = require!(NatsServer::start(tls));
    let path = |name: &str| server.path(name).display().to_string();
    let world = QueueWorld::new(&format!(
        "  bus: {{ nats: {{ servers: ['tls://localhost:{}'], stream: MAILSLOT{CREATE}, tls: {{ ca_file: {}, client_certificate: {}, \
         key_file: {} }} }} }}\n",
        server.port,
        path("ca.pem"),
        path("client.pem"),
        path("client.key"),
    ));
    let scheduler = world.start();
    world.accept("bus", "plant.ups", 100).await;
    world.drained("bus").await;
    shut_down(&scheduler).await;
}
