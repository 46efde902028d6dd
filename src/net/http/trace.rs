//! What a request met on its way.
#![expect(clippy::disallowed_methods, reason = "how long a stage takes is measured here")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::fault::{Fault, Stage};
use super::{Response, StatusCode, elapsed};

/// A request and all that happened to it.
#[derive(Debug)]
pub struct Trace {
    /// The stages that went well, in their order.
    pub steps: Vec<Step>,
    /// The answer, or the stage that failed.
    pub result: Result<Response, Fault>,
}

/// A stage that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was found out.
    pub finding: Finding,
    /// How long it took.
    pub took: Duration,
}

/// What a stage found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The addresses of the server, or of the proxy before it.
    Resolved {
        /// Its name or address.
        host: String,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
    /// One of them answers over TCP.
    Connected {
        /// The address.
        address: SocketAddr,
    },
    /// The proxy made a tunnel.
    Tunnelled {
        /// The host and port that it leads to.
        target: String,
    },
    /// TLS stands, and the server's certificate is its own.
    Secured {
        /// "TLS 1.3"
        version: &'static str,
        /// Who issued the certificate: not the usual authority where a proxy looks into TLS.
        issuer: String,
    },
    /// There is an answer.
    Answered {
        /// Its status.
        status: StatusCode,
        /// How far the server's clock is ahead of this machine's, in whole seconds, where it says what time it is.
        clock_skew: Option<SignedDuration>,
    },
}

/// How far a request has got.
#[derive(Debug)]
pub(super) struct Progress {
    /// The stage that is under way.
    pub(super) stage: Stage,
    pub(super) steps: Vec<Step>,
    since: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Resolve, steps: Vec::new(), since: Instant::now() }
    }

    pub(super) fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = Instant::now();
    }

    pub(super) fn found(&mut self, finding: Finding) {
        self.steps.push(Step { finding, took: elapsed(self.since) });
    }
}
