//! Recording what became of copies, and keeping the reports about them.

use std::collections::{BTreeMap, HashSet};

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::carried::json;
use super::fault::Fault;
use super::link::{Session, TRIES};
use super::record::Effect;
use super::subject::Entry;
use crate::message::id::QueueId;
use crate::message::recipient::RecipientNumber;
use crate::policy::operator::{Earlier, ReportVerdict, Topic, decide_report};
use crate::spool::copy::{FateReport, Pace, Settled};
use crate::spool::error::SpoolError;
use crate::telemetry::metrics::ReportOutcome;

/// What the queue bucket holds of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ToldOf {
    told_at: Timestamp,
    held_back: u64,
}

impl Shared {
    /// See [`crate::spool::Spool::record`]. Reports are kept first: should the servers fail between the two, one is sent
    /// again rather than not at all.
    pub(in crate::spool) async fn record(
        &self,
        settled: Vec<Settled>,
        reports: Vec<FateReport>,
    ) -> Result<(), SpoolError> {
        let session = self.needed("record in")?;
        let recorded = self.still_to_record(&settled);
        let mut told = HashSet::new();
        for report in reports {
            let about = report.about.clone();
            self.report(&session, report, &recorded).await?;
            told.extend(about);
        }
        let mut messages: BTreeMap<QueueId, Vec<Settled>> = BTreeMap::new();
        for each in settled {
            messages.entry(each.id).or_default().push(each);
        }
        let told = &told;
        let session = &*session;
        let changes = messages.into_iter().map(|(id, settled)| async move {
            let changed = self.settle(session, id, &settled, told).await;
            (id, settled, changed)
        });
        let mut changes = stream::iter(changes).buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some((id, settled, changed)) = changes.next().await {
            if let Err(fault) = changed {
                tracing::debug!(%id, %fault, "What became of a message is not recorded yet.");
                // Those of the others are recorded, and recorded again they are passed over.
                for each in settled {
                    self.state().hand_again(id, each.number);
                }
                failed = Some(fault);
            }
        }
        failed.map_or(Ok(()), |fault| Err(fault.in_spool("record in")))
    }

    /// See [`crate::spool::Spool::put_back`].
    pub(in crate::spool) fn put_back(&self, copies: Vec<(QueueId, RecipientNumber)>) {
        let ids: HashSet<QueueId> = {
            let mut state = self.state();
            copies.iter().for_each(|copy| state.put_back(copy));
            copies.iter().map(|(id, _)| *id).collect()
        };
        let Some(session) = self.session() else { return };
        let shared = self.clone();
        self.spawn(async move {
            for id in ids {
                shared.let_go(&session, id).await;
            }
        });
    }

    /// See [`crate::spool::Spool::held_back`].
    pub(in crate::spool) async fn held_back(&self, topic: &Topic) -> Result<u64, SpoolError> {
        let session = self.needed("read")?;
        let found = told_of(&session, topic).await.map_err(|fault| fault.in_spool("read"))?;
        Ok(found.map_or(0, |(told, _)| told.held_back))
    }

    async fn settle(
        &self,
        session: &Session,
        id: QueueId,
        settled: &[Settled],
        told: &HashSet<(QueueId, RecipientNumber)>,
    ) -> Result<(), Fault> {
        {
            let mut state = self.state();
            settled.iter().for_each(|each| state.put_back(&(id, each.number)));
        }
        let change = |record: &mut super::record::Record| {
            for each in settled {
                record.settle(each);
                if told.contains(&(id, each.number)) {
                    record.note_told(each.number);
                }
            }
        };
        self.change(session, id, change).await?;
        let mut state = self.state();
        if !state.is_handed(id) {
            state.files.remove(&id);
        }
        Ok(())
    }

    /// The copies whose fates are still to be recorded and told.
    fn still_to_record(&self, settled: &[Settled]) -> HashSet<(QueueId, RecipientNumber)> {
        let state = self.state();
        let news = settled.iter().filter(|each| {
            let Some(known) = state.index.of(each.id) else { return false };
            known.record.clone().settle(each) == Effect::Recorded
        });
        news.map(|each| (each.id, each.number)).collect()
    }

    /// Keeps one report, unless its pace holds it back or what it tells was recorded before.
    async fn report(
        &self,
        session: &Session,
        report: FateReport,
        recorded: &HashSet<(QueueId, RecipientNumber)>,
    ) -> Result<(), SpoolError> {
        let FateReport { message, kind, about, pace } = report;
        let copies = about.iter().filter(|copy| recorded.contains(*copy)).count();
        if copies == 0 {
            return Ok(());
        }
        let copies = u64::try_from(copies).unwrap_or(u64::MAX);
        let verdict = match pace {
            Some(pace) => {
                let paced = pace_of(session, &pace, copies, message.accepted_at).await;
                paced.map_err(|fault| fault.in_spool("record in"))?
            }
            None => ReportVerdict::Tell,
        };
        let outcome = match verdict {
            ReportVerdict::Tell => {
                self.accept_all(vec![message]).await.pop().unwrap_or(Err(SpoolError::Closed))?;
                ReportOutcome::Kept
            }
            ReportVerdict::HoldBack => ReportOutcome::HeldBack,
        };
        self.0.metrics.report(kind, outcome);
        Ok(())
    }
}

/// Whether a report about so many copies goes now; one that does not is counted.
async fn pace_of(session: &Session, pace: &Pace, copies: u64, at: Timestamp) -> Result<ReportVerdict, Fault> {
    let Pace { topic, repeat, held_back } = pace;
    for _ in 0..TRIES {
        let found = told_of(session, topic).await?;
        let earlier = found.map(|(told, _)| Earlier { told_at: told.told_at });
        let before = found.map_or(0, |(told, _)| told.held_back);
        let verdict = decide_report(earlier, *repeat, at);
        let told_of = match (verdict, found) {
            (ReportVerdict::HoldBack, Some((told, _))) => {
                ToldOf { held_back: before.saturating_add(copies), ..told }
            }
            (ReportVerdict::Tell | ReportVerdict::HoldBack, _) => {
                ToldOf { told_at: at, held_back: before.saturating_sub(*held_back) }
            }
        };
        let name = entry(topic).to_string();
        let written = match found {
            Some((_, revision)) => session.update(&session.queue, &name, json(&told_of), revision).await,
            None => session.create(&session.queue, &name, json(&told_of)).await,
        };
        match written {
            // Where there is no room to write that it was told, it may be told again; what it is about is recorded all the
            // same.
            Ok(_) | Err(Fault::Full(_)) => return Ok(verdict),
            Err(Fault::Conflict) => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(Fault::Conflict)
}

async fn told_of(session: &Session, topic: &Topic) -> Result<Option<(ToldOf, u64)>, Fault> {
    let found = session.entry(&session.queue, &entry(topic).to_string()).await?;
    Ok(found.and_then(|(value, revision)| Some((serde_json::from_slice(&value).ok()?, revision))))
}

fn entry(topic: &Topic) -> Entry {
    Entry::Told(topic.destination.clone(), topic.cause.as_str().to_owned())
}

/// Messages whose fates are written at the same time.
const AT_ONCE: usize = 64;
