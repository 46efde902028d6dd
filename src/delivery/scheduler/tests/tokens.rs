//! Requests for tokens at shutdown.

use super::*;
use crate::delivery::graph::tests::mailbox;
use crate::delivery::oauth::tests::provider::{Manner as Provider, Rotating};

#[tokio::test]
async fn shutdown_waits_for_the_refresh_token_of_a_request_whose_attempt_it_breaks_off() {
    let provider = Rotating::start(Provider::Holds).await;
    let mut world = World::new();
    let file = world.scratch.path().join("refresh");
    std::fs::write(&file, "token-0\n").unwrap();
    let limits = Limits { concurrency: 1, recipients: 1, together: 1, rate: None };
    let graph = Transport::Graph(mailbox("graph", &provider.url, &file));
    world.plan.push((destination("graph"), graph, limits));
    world.accept("graph", "on battery").await;
    let scheduler = world.start();
    provider.asked().await;
    let stopped = tokio::spawn(async move { scheduler.shutdown(within(0)).await });
    tokio::pin!(stopped);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut stopped).await.is_err(),
        "it does not wait"
    );
    provider.let_go();
    assert!(!stopped.await.unwrap(), "the attempt itself is broken off");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "token-1\n");
}
