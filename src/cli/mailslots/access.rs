//! The switch of a running gateway, or of one that is stopped.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use crate::admin::api::MailslotsStatus;
use crate::admin::client::{Client, ClientError};
use crate::cli::exit::Exit;
use crate::config::settings::Settings;
use crate::inventory::{self, DATABASE};
use crate::spool::{Lock, SpoolError};
use crate::switch::{self, Depending, Order, RecordError, Switches};
use crate::telemetry::metrics::Metrics;

/// How the switch is reached.
pub(super) enum Access<'s> {
    /// Through the gateway that runs.
    Running(Client),
    /// Directly: none runs.
    Stopped(&'s Settings),
}

/// Why the switch was not read or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Lock(#[from] SpoolError),
    #[error("there is no terminal to ask on; give --yes to go on without being asked")]
    NoTerminal,
    #[error("the terminal cannot be asked: {0}")]
    Terminal(#[from] io::Error),
}

impl Failure {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::NoTerminal | Self::Client(ClientError::BadRequest(_)) => Exit::Usage,
            Self::Client(ClientError::NotNow(_)) | Self::Lock(SpoolError::Locked { .. }) => Exit::TryLater,
            Self::Client(_) | Self::Record(_) | Self::Lock(_) | Self::Terminal(_) => Exit::Unavailable,
        }
    }
}

impl<'s> Access<'s> {
    pub(super) async fn open(settings: &'s Settings) -> Result<Self, Failure> {
        match Client::connect(&settings.state_dir).await {
            Ok(client) => Ok(Self::Running(client)),
            Err(ClientError::NotRunning { .. }) => Ok(Self::Stopped(settings)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn status(&self, now: Timestamp) -> Result<MailslotsStatus, Failure> {
        match self {
            Self::Running(client) => Ok(client.get(ROUTE).await?),
            Self::Stopped(settings) => {
                let switches = switch::look(&settings.state_dir, &settings.mailslots, now)?;
                Ok(MailslotsStatus { switches, heard_lately: heard_lately(settings, now) })
            }
        }
    }

    pub(super) async fn order(&self, order: &Order, now: Timestamp) -> Result<MailslotsStatus, Failure> {
        match self {
            Self::Running(client) => Ok(client.post(ROUTE, order).await?),
            Self::Stopped(settings) => {
                let _only_us = Lock::of(&settings.spool_dir())?;
                let metrics = Arc::new(Metrics::new());
                let kept = Switches::open(&settings.state_dir, &settings.mailslots, metrics, now)?;
                let switches = kept.order(order, now)?;
                Ok(MailslotsStatus { switches, heard_lately: heard_lately(settings, now) })
            }
        }
    }
}

/// Nobody is told of where the inventory cannot be read: it is worth less than the switch.
fn heard_lately(settings: &Settings, now: Timestamp) -> Depending {
    let contents = inventory::read(&settings.state_dir.join(DATABASE)).ok().flatten();
    contents.map_or_else(Depending::default, |contents| Depending::among(&contents.hosts, now))
}

const ROUTE: &str = "/api/v1/mailslots";
