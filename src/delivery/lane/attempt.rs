//! Attempts: a message is read from the spool and handed to the transport.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::delivery::outcome::{Attempt, Report};
use crate::delivery::reports::Reporter;
use crate::delivery::transport::Transport;
use crate::spool::{Due, FateReport, Fetched, Spool, SpoolError};

/// What an attempt works with. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) spool: Spool,
    pub(super) transport: Transport,
    pub(super) reporter: Arc<Reporter>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    Reported(Box<Attempted>),
    /// The message is not there any more, or was set aside as corrupt: nothing to deliver.
    Gone,
    Unreadable(SpoolError),
    /// By a panic.
    BrokeOff,
}

/// What came of an attempt, and what the sender or the operator is told of it.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) report: Report,
    pub(super) told: Vec<FateReport>,
}

/// Makes attempts that begin together; each has copies of one message. The ends are in their order.
pub(super) async fn all(tools: Tools, attempts: Vec<Vec<Due>>) -> Vec<Ended> {
    let ids = attempts.iter().filter_map(|rows| rows.first()).map(|row| row.id).collect();
    let fetched = match tools.spool.fetch(ids).await {
        Ok(fetched) => fetched,
        Err(error) => return attempts.iter().map(|_| Ended::Unreadable(error.clone())).collect(),
    };
    let mut both: Vec<_> = fetched.into_iter().zip(attempts).collect();
    if both.len() == 1 {
        // Already in a task of its own.
        return match both.pop() {
            Some((fetched, rows)) => vec![one(&tools, fetched, rows).await],
            None => Vec::new(),
        };
    }
    let mut ends: Vec<Ended> = both.iter().map(|_| Ended::BrokeOff).collect();
    let mut running = JoinSet::new();
    for (place, (fetched, rows)) in both.into_iter().enumerate() {
        let tools = tools.clone();
        running.spawn(async move { (place, one(&tools, fetched, rows).await) });
    }
    while let Some(ended) = running.join_next().await {
        if let Ok((place, ended)) = ended
            && let Some(end) = ends.get_mut(place)
        {
            *end = ended;
        }
    }
    ends
}

async fn one(tools: &Tools, fetched: Fetched, rows: Vec<Due>) -> Ended {
    let Tools { spool, transport, reporter } = tools;
    let message = match spool.verify(fetched).await {
        Ok(Some(message)) => message,
        Ok(None) | Err(SpoolError::Corrupt { .. }) => return Ended::Gone,
        Err(error) => return Ended::Unreadable(error),
    };
    let recipients: Vec<_> = rows.into_iter().map(|row| (row.number, row.recipient)).collect();
    let attempt = Attempt { message: message.clone(), recipients: recipients.clone() };
    let report = transport.deliver(attempt).await;
    let (outcomes, host) = (&report.outcomes, transport.host());
    let told = reporter.on_outcomes(spool, &message, &recipients, outcomes, host, now()).await;
    Ended::Reported(Box::new(Attempted { report, told }))
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where deciding code is told the time")]
fn now() -> Timestamp {
    Timestamp::now()
}
