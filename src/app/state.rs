//! What a gateway keeps on disk, or with its group, opened.

use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use jiff::Timestamp;

use super::StartError;
use crate::config::settings::{Settings, SpoolLimits};
use crate::inventory::{self, Inventory};
#[cfg(feature = "nats")]
use crate::net::nats::Cluster;
use crate::policy::mailslot_switch::{Direction, Passing};
use crate::policy::operator::Told;
#[cfg(feature = "nats")]
use crate::spool::{GroupPlan, Part, Sweeping};
use crate::spool::{Limits, NoticeFailures, Spool, SpoolError};
use crate::switch::{RecordError, Switches};
use crate::telemetry::metrics::Metrics;

/// What a spool is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A gateway takes messages in and delivers.
    ToDeliver,
    /// A command looks at it and acts for the operator.
    ToLook,
}

/// The spool of a configuration, for the gateway or, while none runs, for a command. One that several gateways share
/// connects in the background.
///
/// # Errors
/// [`SpoolError::Locked`] while another process has it; else as [`Spool::open`].
pub fn open_spool(settings: &Settings, metrics: Arc<Metrics>, opening: Opening) -> Result<Spool, SpoolError> {
    let SpoolLimits { max_size, min_free, reserved_for_notices, failed_keep } = settings.spool;
    let delay_report = settings.smtp.delay_report;
    let notice_failures =
        match settings.operator.told(settings.smtp.postmaster.as_ref(), &settings.smtp.relay.routes) {
            Told::These(_) => NoticeFailures::Told,
            Told::NoRoute | Told::Nobody => NoticeFailures::Kept,
        };
    let limits =
        Limits { max_size, min_free, reserved_for_notices, failed_keep, delay_report, notice_failures };
    let (dir, expire) = (settings.spool_dir(), settings.retry.expire);
    match group_plan(settings, opening)? {
        #[cfg(feature = "nats")]
        Some(plan) => Spool::open_shared(&dir, limits, expire, metrics, plan),
        _ => Spool::open(&dir, limits, expire, metrics),
    }
}

/// Where the spool of the group is, if there is a group.
#[cfg(feature = "nats")]
fn group_plan(settings: &Settings, opening: Opening) -> Result<Option<GroupPlan>, SpoolError> {
    let Some(group) = &settings.spool_group else { return Ok(None) };
    let name = settings.hostname.as_deref().unwrap_or("gateway");
    let cluster = Cluster::new(&group.cluster, &format!("mailslotd spool of {name}"));
    let cluster = cluster.map_err(|error| SpoolError::Group { op: "open", what: error.to_string() })?;
    Ok(Some(GroupPlan {
        cluster,
        replicas: group.replicas,
        max_bytes: group.max_bytes,
        dedup_window: settings.netbios.dedup_window.unwrap_or_default(),
        name: name.to_owned(),
        part: match opening {
            Opening::ToDeliver => Part::Gateway,
            Opening::ToLook => Part::Visitor,
        },
        sweeping: Sweeping::default(),
    }))
}

/// A build without NATS has refused a configuration that names a group.
#[cfg(not(feature = "nats"))]
fn group_plan(
    _settings: &Settings,
    _opening: Opening,
) -> Result<Option<std::convert::Infallible>, SpoolError> {
    Ok(None)
}

/// Mail does not depend on it, so the gateway runs without one that cannot be had.
pub(super) fn open_inventory(settings: &Settings, metrics: &Arc<Metrics>) -> Option<Inventory> {
    let opened = Inventory::open(&settings.state_dir.join(inventory::DATABASE), Arc::clone(metrics));
    opened.inspect_err(|error| tracing::error!("{error}. The gateway runs without it.")).ok()
}

/// The switch for mailslot messages; says so when nothing passes.
pub(super) fn open_switches(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    now: Timestamp,
) -> Result<Switches, RecordError> {
    let switches = Switches::open(&settings.state_dir, &settings.mailslots, Arc::clone(metrics), now)?;
    for status in switches.status(now) {
        if (status.direction, status.state) == (Direction::Inbound, Passing::Off) {
            tracing::warn!(
                "Mailslot messages that are heard are switched off: they are counted, and not delivered. \
                 `mailslotd mailslots status` says by whom."
            );
        }
    }
    Ok(switches)
}

pub(super) fn make_state_dir(settings: &Settings) -> Result<(), StartError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(&settings.state_dir)
        .map_err(|source| StartError::StateDir { path: settings.state_dir.clone(), source })
}
