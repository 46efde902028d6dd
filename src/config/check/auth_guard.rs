//! `auth`: how guessing passwords is stopped.

use std::time::Duration;

use super::super::problem::Problem;
use super::super::raw::{self, At};
use super::Checking;
use super::relay::chosen;
use crate::policy::auth_guard::AuthGuardPolicy;

impl Checking<'_> {
    pub(super) fn auth_guard(&mut self, auth: Option<At<raw::AuthGuard>>) -> AuthGuardPolicy {
        let raw::AuthGuard { failures, within, refused_for, line, line_per_network, .. } =
            auth.map(|auth| auth.value).unwrap_or_default();
        let default = AuthGuardPolicy::default();
        for time in [&within, &refused_for].into_iter().flatten().filter(|time| time.value.is_zero()) {
            let cause = "0s would stop nobody";
            self.problem(time.problem(cause, "write a time, for example 5m; `failures: off` stops nobody"));
        }
        let duration =
            |written: Option<At<Duration>>, default| written.map_or(default, |written| written.value);
        let count = |written: &Option<At<u32>>, default| {
            written.as_ref().map_or(default, |written| usize::try_from(written.value).unwrap_or(usize::MAX))
        };
        let policy = AuthGuardPolicy {
            failures: chosen(failures, default.failures, |count| count),
            within: duration(within, default.within),
            refused_for: duration(refused_for, default.refused_for),
            line: count(&line, default.line),
            line_of_network: count(&line_per_network, default.line_of_network),
            ..default
        };
        if let Some(written) = line_per_network.filter(|_| policy.line_of_network > policy.line) {
            let cause = format!("is more than `line` ({}), so one network could take all of it", policy.line);
            self.problems.warn(Problem::subject(&written.place, cause, "write a smaller number"));
        }
        policy
    }
}
