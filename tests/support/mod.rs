//! Real peers for tests, started and stopped by the test itself, on loopback or in network namespaces of its own.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test uses the peers it needs")]

use std::io::Write as _;

pub(crate) mod attempt;
pub(crate) mod broker_certificates;
pub(crate) mod certificates;
pub(crate) mod display;
pub(crate) mod dovecot;
pub(crate) mod fixtures;
pub(crate) mod gateway;
pub(crate) mod http_proxy;
pub(crate) mod json_schema;
pub(crate) mod lan_gateway;
pub(crate) mod mail_programs;
pub(crate) mod messngr;
pub(crate) mod mosquitto;
pub(crate) mod name_programs;
pub(crate) mod namespace;
pub(crate) mod nats_server;
pub(crate) mod net_send;
pub(crate) mod nginx;
pub(crate) mod postfix;
pub(crate) mod python;
pub(crate) mod queue_world;
pub(crate) mod rabbitmq;
pub(crate) mod recipients;
pub(crate) mod redis_server;
pub(crate) mod samba;
pub(crate) mod samba_folder;
pub(crate) mod server;
pub(crate) mod session_sender;
#[cfg(feature = "nats")]
pub(crate) mod shared_gateway;
pub(crate) mod slapd;
pub(crate) mod smbd;
pub(crate) mod smtp;
pub(crate) mod web_service;

/// What this machine lacks for a test.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// The value, or an end of the test where this machine lacks something: with one line that says what, and as a failure
/// when `CI=true`, so that nothing is skipped unseen where everything should be there.
macro_rules! require {
    ($started:expr) => {
        match $started {
            Ok(started) => started,
            Err(missing) => {
                $crate::support::skip(&missing);
                return;
            }
        }
    };
}
pub(crate) use require;

/// Says that a test is left out, past the test harness, which shows the output of failed tests only.
pub(crate) fn skip(missing: &Missing) {
    let line = format!("skipped: {}\n", missing.0);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A TCP port of loopback that nothing listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether a program is where this machine looks for programs, or in `/usr/sbin`.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|dir| dir.join(name).is_file())
}
