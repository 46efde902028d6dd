//! The switch for mailslot messages, inbound and outbound: what the configuration says, what the operator ordered, and
//! whether messages pass now.
//!
//! [`crate::policy::mailslot_switch`] decides; this keeps the orders in a file of the state directory, tells the
//! listeners through a [`Passage`], and announces what ends.

mod depending;
mod passage;
mod record;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use self::depending::Depending;
pub use self::passage::Passage;
pub use self::record::RecordError;
use self::record::{Kept, Record};
use crate::config::settings::Mailslots;
use crate::policy::mailslot_switch::{
    Announced, Command, Configured, Direction, MailslotSwitch, Passing, Stage, Wanted,
};
use crate::telemetry::metrics::Metrics;

/// Both switches of a gateway. Clones are the same.
#[derive(Debug, Clone)]
pub struct Switches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    both: Mutex<Both>,
    inbound: Arc<Passage>,
    outbound: Arc<Passage>,
    metrics: Arc<Metrics>,
    ordered: Notify,
}

#[derive(Debug, Clone)]
struct Both {
    inbound: Side,
    outbound: Side,
}

#[derive(Debug, Clone)]
struct Side {
    switch: MailslotSwitch,
    announced: Option<Announced>,
}

/// What the operator orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// For which messages; once each.
    pub directions: Vec<Direction>,
    /// What becomes of them.
    pub action: Action,
    /// Who orders it, for people.
    pub by: String,
}

/// What becomes of the messages of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub enum Action {
    /// They pass, whatever the configuration says; up to `until`, where that is given.
    Enable {
        /// When the configuration counts again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// They do not.
    Disable {
        /// When the configuration counts again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The configuration counts.
    Reset,
}

/// How one direction stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchStatus {
    /// Which.
    pub direction: Direction,
    /// Whether messages pass now.
    pub state: Passing,
    /// What the configuration says.
    pub configured: Configured,
    /// The order that overrides it, where one is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
}

impl Switches {
    /// The switches of this configuration, with the orders kept in `state_dir`. Orders given under another
    /// configuration of the same direction are no longer in force. A file that cannot be understood is set aside, and
    /// an error logged: then the configuration counts.
    ///
    /// # Errors
    /// [`RecordError`] when the file can neither be read nor set aside.
    pub fn open(
        state_dir: &Path,
        configured: &Mailslots,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> Result<Self, RecordError> {
        let path = state_dir.join(record::FILE);
        let record = record::read_or_set_aside(&path, now)?;
        let inner = Inner {
            path,
            both: Mutex::new(Both::new(configured, record)),
            inbound: Arc::default(),
            outbound: Arc::default(),
            metrics,
            ordered: Notify::new(),
        };
        inner.apply(&inner.both(), now);
        Ok(Self(Arc::new(inner)))
    }

    /// Whether messages that are heard pass; asked for each.
    #[must_use]
    pub fn inbound(&self) -> Arc<Passage> {
        Arc::clone(&self.0.inbound)
    }

    /// Whether messages to legacy displays pass; asked for each.
    #[must_use]
    pub fn outbound(&self) -> Arc<Passage> {
        Arc::clone(&self.0.outbound)
    }

    /// How both stand.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Vec<SwitchStatus> {
        self.0.both().status(now)
    }

    /// Goes by another configuration from now on. An order that was given under the old one is no longer in force.
    pub fn configure(&self, configured: &Mailslots, now: Timestamp) {
        let mut both = self.0.both();
        *both = Both::new(configured, both.record());
        self.0.apply(&both, now);
        drop(both);
        self.0.ordered.notify_one();
    }

    /// Carries out an order: it is in force when this returns, and after a restart too.
    ///
    /// # Errors
    /// [`RecordError`] when it cannot be kept; then nothing has changed.
    pub fn order(&self, order: &Order, now: Timestamp) -> Result<Vec<SwitchStatus>, RecordError> {
        let mut both = self.0.both();
        let mut changed = both.clone();
        for direction in &order.directions {
            changed.side(*direction).carry_out(order.action, &order.by, now);
        }
        record::write(&self.0.path, &changed.record())?;
        *both = changed;
        self.0.apply(&both, now);
        let status = both.status(now);
        drop(both);
        for direction in &order.directions {
            let direction = direction.as_str();
            match order.action {
                Action::Enable { until } => {
                    tracing::info!(
                        direction,
                        by = order.by,
                        until = until.map(tracing::field::display),
                        "Mailslot messages were enabled."
                    );
                }
                Action::Disable { until } => {
                    tracing::info!(
                        direction,
                        by = order.by,
                        until = until.map(tracing::field::display),
                        "Mailslot messages were disabled."
                    );
                }
                Action::Reset => {
                    tracing::info!(
                        direction,
                        by = order.by,
                        "Mailslot messages pass as the configuration says."
                    );
                }
            }
        }
        self.0.ordered.notify_one();
        Ok(status)
    }
}

/// How both stand for a gateway that does not run, or for one that is only asked: nothing is locked or changed.
///
/// # Errors
/// [`RecordError`] when the orders cannot be read.
pub fn look(
    state_dir: &Path,
    configured: &Mailslots,
    now: Timestamp,
) -> Result<Vec<SwitchStatus>, RecordError> {
    let record = record::read(&state_dir.join(record::FILE))?;
    Ok(Both::new(configured, record).status(now))
}

/// How both stand by the configuration alone.
#[must_use]
pub fn configured(configured: &Mailslots, now: Timestamp) -> Vec<SwitchStatus> {
    Both::new(configured, Record::default()).status(now)
}

impl Inner {
    fn both(&self) -> MutexGuard<'_, Both> {
        self.both.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the listeners and the metrics how both stand.
    fn apply(&self, both: &Both, now: Timestamp) {
        for (side, passage) in [(&both.inbound, &self.inbound), (&both.outbound, &self.outbound)] {
            match side.switch.passing(now) {
                Passing::On => passage.open_until(None),
                Passing::Until { end } => passage.open_until(Some(end)),
                Passing::Off => passage.close(),
            }
        }
        for status in both.status(now) {
            let end = match status.state {
                Passing::Until { end } => Some(end),
                Passing::On | Passing::Off => None,
            };
            self.metrics.set_mailslots(status.direction.as_str(), status.state != Passing::Off, end);
        }
    }
}

impl Both {
    fn new(configured: &Mailslots, record: Record) -> Self {
        Self {
            inbound: Side::new(Direction::Inbound, configured.inbound, record.inbound),
            outbound: Side::new(Direction::Outbound, configured.outbound, record.outbound),
        }
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    fn status(&self, now: Timestamp) -> Vec<SwitchStatus> {
        let status = |direction, side: &Side| SwitchStatus {
            direction,
            state: side.switch.passing(now),
            configured: side.switch.configured(),
            command: side.switch.command(now).cloned(),
        };
        vec![status(Direction::Inbound, &self.inbound), status(Direction::Outbound, &self.outbound)]
    }

    fn record(&self) -> Record {
        let kept = |side: &Side| Kept { command: side.switch.given().cloned(), announced: side.announced };
        Record { inbound: kept(&self.inbound), outbound: kept(&self.outbound) }
    }
}

impl Side {
    fn new(direction: Direction, configured: Configured, kept: Kept) -> Self {
        if let Some(command) = kept.command.as_ref().filter(|command| command.configured != configured) {
            tracing::info!(
                direction = direction.as_str(),
                by = command.by,
                at = %command.at,
                "An order about mailslot messages is no longer in force: the configuration was changed after it."
            );
        }
        Self { switch: MailslotSwitch::new(configured, kept.command), announced: kept.announced }
    }

    fn carry_out(&mut self, action: Action, by: &str, now: Timestamp) {
        match action {
            Action::Enable { until } => {
                self.switch.order(Wanted::Enabled, by.to_owned(), until, now);
                // Who orders an end knows of it: what lies before is not announced again.
                if let Passing::Until { end } = self.switch.passing(now) {
                    let known = Stage::at(end, now).map(|stage| Announced { end, stage });
                    self.announced = known.or(self.announced);
                }
            }
            Action::Disable { until } => self.switch.order(Wanted::Disabled, by.to_owned(), until, now),
            Action::Reset => drop(self.switch.reset(now)),
        }
    }
}

#[cfg(test)]
mod tests;
