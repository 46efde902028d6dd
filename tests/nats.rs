//! NATS JetStream as a place that messages go, against a real nats-server.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "what another process does is awaited on the wall clock")]

use std::time::Duration;

use mailslotd::config::check::SecretOrigin;
use mailslotd::config::settings::{
    BrokerTls, CertificateFiles, NatsAuth, NatsCluster, NatsServer as Address, Secret,
};
use mailslotd::net::nats::{Cluster, Denial, NatsFault};

mod support;

use support::nats_server::NatsServer;
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
    assert!(untrusted.contains("is not trusted: its certificate is from an authority"), "{untrusted}");

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
