//! `retry` and `spool`: how long and how much is kept.

use std::time::Duration;

use super::super::problem::Problem;
use super::super::raw::{self, At, OrOff, Size};
use super::super::settings::{DestinationKind, SpoolGroup, SpoolLimits};
use super::destinations::Destinations;
use super::{Checking, Completeness, spelled};
use crate::policy::retry::Retry;

impl Checking<'_> {
    pub(super) fn retry(&mut self, retry: Option<At<raw::Retry>>) -> Retry {
        let raw::Retry { first, max, expire, .. } = retry.map(|retry| retry.value).unwrap_or_default();
        let default = Retry::default();
        let place = max.as_ref().or(first.as_ref()).map(|duration| duration.place.clone());
        let retry = Retry {
            first: self.nonzero(first, default.first),
            max: self.nonzero(max, default.max),
            expire: self.nonzero(expire, default.expire),
        };
        if let Some(place) = place
            && retry.first > retry.max
        {
            let cause =
                format!("first ({}) is longer than max ({})", spelled(retry.first), spelled(retry.max));
            self.problem(Problem::new(
                &place,
                cause,
                "waits grow from first to max; write the shorter one as first",
            ));
        }
        retry
    }

    /// Warns of a size that hardly one mail fits into: most likely its unit was forgotten.
    pub(super) fn holds_something(&mut self, max_size: Option<&At<OrOff<Size>>>, consequence: &str) {
        if let Some(written) = max_size
            && let Some(Size(bytes)) = written.value.limit()
            && bytes < LEAST_USEFUL
        {
            let cause = format!("is less than 1MiB, so {consequence}");
            self.problems.warn(Problem::subject(
                &written.place,
                cause,
                "write a size such as 1GiB, or `off`",
            ));
        }
    }

    pub(super) fn spool(
        &mut self,
        spool: Option<At<raw::Spool>>,
        destinations: &Destinations,
    ) -> (SpoolLimits, Option<SpoolGroup>) {
        let raw::Spool { max_size, min_free, reserved_for_notices, failed_keep, nats, replicas, .. } =
            spool.map(|spool| spool.value).unwrap_or_default();
        let written_size = max_size.as_ref().and_then(|size| size.value.limit()).map(|size| size.0);
        let group = self.spool_group(nats, replicas, written_size, destinations);
        let bytes = |size: &Option<At<OrOff<Size>>>, default: u64| {
            size.as_ref().map_or(Some(default), |size| size.value.limit().map(|size| size.0))
        };
        self.holds_something(max_size.as_ref(), "most messages would be refused");
        let limits = SpoolLimits {
            max_size: bytes(&max_size, DEFAULT_SPOOL_SIZE),
            min_free: bytes(&min_free, DEFAULT_MIN_FREE).unwrap_or(0),
            reserved_for_notices: bytes(&reserved_for_notices, DEFAULT_RESERVED).unwrap_or(0),
            failed_keep: self.nonzero(failed_keep, DEFAULT_FAILED_KEEP),
        };
        if let (Some(written), Some(limit)) =
            (max_size.as_ref().or(reserved_for_notices.as_ref()), limits.max_size)
            && limits.reserved_for_notices >= limit
        {
            let cause = "reserved_for_notices takes all of max_size, so that nothing is left for mail";
            self.problem(written.problem(cause, "make max_size greater than reserved_for_notices"));
        }
        (limits, group)
    }

    fn spool_group(
        &mut self,
        nats: Option<At<String>>,
        replicas: Option<At<u32>>,
        max_bytes: Option<u64>,
        destinations: &Destinations,
    ) -> Option<SpoolGroup> {
        let Some(nats) = nats else {
            if let Some(replicas) = replicas {
                let cause = "says on how many servers a shared spool lies, and there is none";
                self.problem(Problem::subject(&replicas.place, cause, "add `nats:`, or remove it"));
            }
            return None;
        };
        if cfg!(not(feature = "nats")) {
            let fix = "build with the Cargo feature `nats`, or remove the line";
            self.problem(nats.problem("this build has no NATS", fix));
        }
        let place = replicas.as_ref().map_or_else(|| nats.place.clone(), |replicas| replicas.place.clone());
        let replicas = self.replicas(replicas, DEFAULT_REPLICAS);
        let found =
            destinations.known.iter().find(|(destination, _)| destination.name.as_str() == nats.value);
        let cluster = match found.map(|(destination, _)| (&destination.name, &destination.kind)) {
            Some((name, DestinationKind::Nats(bus))) => Some((name.clone(), bus.cluster.clone())),
            Some(_) => {
                let cause = format!("{:?} is no destination of kind `nats`", nats.value);
                self.problem(nats.problem(cause, "name one, as the spool lies on its servers"));
                None
            }
            None => {
                let lost = destinations.lost.contains(&nats.value);
                if !lost && destinations.whole == Completeness::Whole {
                    let cause = format!("there is no destination {:?}", nats.value);
                    self.problem(nats.problem(cause, "add it under `destinations`, with kind `nats`"));
                }
                None
            }
        };
        if replicas < DEFAULT_REPLICAS {
            let servers = if replicas == 1 { "one server".to_owned() } else { format!("{replicas} servers") };
            let cause = format!(
                "puts the spool on {servers}: what was accepted is lost with a disk, and nothing is accepted there \
                 while a server is away"
            );
            let fix = "write `replicas: 3`, and set `sync_interval: always` on three servers: without it a power cut \
                       takes the last minutes of what they acknowledged";
            self.problems.warn(Problem::subject(&place, cause, fix));
        }
        cluster.map(|(via, cluster)| SpoolGroup { via, cluster, replicas, max_bytes })
    }
}

/// As many as lose none when one is lost.
const DEFAULT_REPLICAS: usize = 3;
const DEFAULT_SPOOL_SIZE: u64 = 10 << 30;
/// Of a Maildir or the spool: some hundred notices.
const LEAST_USEFUL: u64 = 1 << 20;
const DEFAULT_MIN_FREE: u64 = 200 << 20;
const DEFAULT_RESERVED: u64 = 256 << 20;
const DEFAULT_FAILED_KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
