//! `retry` and `spool`: how long and how much is kept.

use std::time::Duration;

use super::super::problem::Problem;
use super::super::raw::{self, At, OrOff, Size};
use super::super::settings::SpoolLimits;
use super::{Checking, spelled};
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

    pub(super) fn spool(&mut self, spool: Option<At<raw::Spool>>) -> SpoolLimits {
        let raw::Spool { max_size, min_free, reserved_for_notices, failed_keep, .. } =
            spool.map(|spool| spool.value).unwrap_or_default();
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
        limits
    }
}

const DEFAULT_SPOOL_SIZE: u64 = 10 << 30;
/// Of a Maildir or the spool: some hundred notices.
const LEAST_USEFUL: u64 = 1 << 20;
const DEFAULT_MIN_FREE: u64 = 200 << 20;
const DEFAULT_RESERVED: u64 = 256 << 20;
const DEFAULT_FAILED_KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
