//! NATS JetStream, in files.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;

use crate::load::{Load, Round};
use crate::support::Missing;
use crate::support::nats_server::NatsServer;

/// As a destination has it by default.
const IN_FLIGHT: usize = 1024;

pub(crate) fn measure(load: &Load) -> Result<Vec<Round>, Missing> {
    let server = NatsServer::start("")?;
    let url = server.url();
    // Each turn has a stream of its own, so that none is longer than another.
    let turn = AtomicU32::new(0);
    let stream = || format!("TURN{}", turn.fetch_add(1, Ordering::Relaxed));
    let load = *load;
    Ok(load.turn_about(|| bare(&url, stream(), load), || spool(&url, stream(), load)))
}

async fn spool(url: &str, stream: String, load: Load) -> f64 {
    let destination = format!(
        "  queue: {{ nats: {{ servers: ['{url}'], stream: {stream}, create: {{ subjects: ['{stream}.>'] }}, limits: {{ in_flight: {IN_FLIGHT} }} }} }}\n"
    );
    load.drain(&destination, &format!("{stream}.ups")).await
}

/// Events of the same size with the same headers.
async fn bare(url: &str, stream: String, load: Load) -> f64 {
    let jetstream = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    let config = async_nats::jetstream::stream::Config {
        name: stream.clone(),
        subjects: vec![format!("{stream}.>")],
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    let subject = format!("{stream}.ups");
    let payload = bytes::Bytes::from(vec![b'x'; EVENT]);
    let started = Instant::now();
    let mut waiting: VecDeque<PublishAckFuture> = VecDeque::with_capacity(IN_FLIGHT);
    for number in 0..load.messages {
        if waiting.len() == IN_FLIGHT
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await.unwrap();
        }
        let message = PublishMessage::build()
            .payload(payload.clone())
            .header("Content-Type", "application/cloudevents+json")
            .expected_stream(&stream)
            .message_id(format!("{number:020}.0123456789abcdef01234567"));
        waiting.push_back(jetstream.send_publish(subject.clone(), message).await.unwrap());
    }
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    load.rate(started)
}

/// Bytes of a structured event of the load.
const EVENT: usize = 800;
