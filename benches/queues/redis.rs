//! Redis Streams, with every answer on disk, beside redis-benchmark.

use std::process::Command;

use crate::load::{Load, Round};
use crate::support::Missing;
use crate::support::redis_server::RedisServer;

/// As a destination has it by default.
const IN_FLIGHT: usize = 256;

pub(crate) fn measure(load: &Load) -> Result<Vec<Round>, Missing> {
    let server = RedisServer::start("")?;
    let load = *load;
    Ok(load.turn_about(|| bare(&server, load), || spool(&server, load)))
}

async fn spool(server: &RedisServer, load: Load) -> f64 {
    server.command(&["FLUSHALL"]);
    let port = server.port;
    load.drain(&format!("  queue: {{ redis: {{ url: 'redis://127.0.0.1:{port}' }} }}\n"), "mailslot").await
}

/// Entries of the same size, as many at once on one connection.
async fn bare(server: &RedisServer, load: Load) -> f64 {
    server.command(&["FLUSHALL"]);
    let (port, count, depth) = (server.port.to_string(), load.messages.to_string(), IN_FLIGHT.to_string());
    let event = "x".repeat(EVENT);
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-n", &count, "-c", "1", "-P", &depth, "--csv"])
        .args([
            "XADD",
            "mailslot",
            "MAXLEN",
            "~",
            "1000000",
            "*",
            "id",
            "0123456789.0123456789abcdef",
            "event",
        ])
        .arg(event)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // "XADD …","rate","latency"…
    let rate = said.lines().last().and_then(|line| line.rsplit("\",\"").nth(6));
    rate.and_then(|rate| rate.trim_matches('"').parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

/// Bytes of a structured event of the load.
const EVENT: usize = 800;
