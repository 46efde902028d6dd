//! Webhooks: signed requests to an nginx that reads them whole, beside bare connections of the same client library.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::load::{Load, Round};
use crate::support::Missing;
use crate::support::nginx::Nginx;

/// As a destination has it by default; each has a connection.
const IN_FLIGHT: usize = 16;

pub(crate) fn measure(load: &Load) -> Result<Vec<Round>, Missing> {
    let nginx = Nginx::start()?;
    let load = *load;
    Ok(load.turn_about(|| bare(&nginx, load), || spool(&nginx, load)))
}

async fn spool(nginx: &Nginx, load: Load) -> f64 {
    let secret = nginx.path("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let destination = format!(
        "  queue: {{ webhook: {{ url: 'http://127.0.0.1:{}/hook', allow_private: true, hmac: {{ secret_file: {} }} }} }}\n",
        nginx.port,
        secret.display()
    );
    let rate = load.drain(&destination, "ups").await;
    check(nginx, load);
    rate
}

/// Requests of the same size with the same fields, one after the other on each of as many connections.
async fn bare(nginx: &Nginx, load: Load) -> f64 {
    let host = format!("127.0.0.1:{}", nginx.port);
    let mut senders = Vec::with_capacity(IN_FLIGHT);
    for _ in 0..IN_FLIGHT {
        let stream = TcpStream::connect(&host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut publishers = JoinSet::new();
    for sender in senders {
        publishers.spawn(publish(sender, host.clone(), Arc::clone(&next), load.messages));
    }
    publishers.join_all().await;
    let rate = load.rate(started);
    check(nginx, load);
    rate
}

async fn publish(mut sender: SendRequest<Full<Bytes>>, host: String, next: Arc<AtomicUsize>, most: usize) {
    let body = Bytes::from(vec![b'x'; EVENT]);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= most {
            return;
        }
        let request = Request::post("/hook")
            .header("host", &host)
            .header("user-agent", "bare")
            .header("content-type", "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", format!("{number:013}.0123456789abcdef01234567"))
            .header("webhook-timestamp", "1700000000")
            .header("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")
            .body(Full::new(body.clone()))
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 204);
        response.into_body().collect().await.unwrap();
    }
}

/// Everything came, each once.
fn check(nginx: &Nginx, load: Load) {
    let taken = nginx.taken(load.messages);
    let different: HashSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (load.messages, load.messages));
    nginx.forget();
}

/// Bytes of a structured event of the load.
const EVENT: usize = 800;
