//! `tarpit`: how long refusals are held.

use std::time::Duration;

use super::super::problem::Problem;
use super::super::raw::{self, At, PrefixLength};
use super::front_end::open_to_strangers;
use super::listeners::{Listener, plain};
use super::relay::CheckedRelay;
use super::{Checking, spelled};
use crate::policy::client_network::Prefixes;
use crate::policy::tarpit::TarpitPolicy;

impl Checking<'_> {
    pub(super) fn tarpit(
        &mut self,
        tarpit: Option<At<raw::Tarpit>>,
        relay: &CheckedRelay,
        listeners: &[Listener],
    ) -> TarpitPolicy {
        let tarpit = tarpit.map(|tarpit| tarpit.value).unwrap_or_default();
        let default = TarpitPolicy::default();
        let duration = |written: &Option<At<Duration>>, default| {
            written.as_ref().map_or(default, |written| written.value)
        };
        let policy = TarpitPolicy {
            time: duration(&tarpit.time, default.time),
            step: duration(&tarpit.step, default.step),
            max: duration(&tarpit.max, default.max),
            max_line: duration(&tarpit.max_line, default.max_line),
            failed_auth: duration(&tarpit.failed_auth, default.failed_auth),
            max_delayed: tarpit
                .max_delayed
                .as_ref()
                .map_or(default.max_delayed, |count| usize::try_from(count.value).unwrap_or(usize::MAX)),
            trusted: tarpit.trusted.as_ref().map(|trusted| trusted.value).unwrap_or_default(),
            exempt: plain(tarpit.exempt),
            prefixes: self.prefixes(tarpit.prefix),
        };
        for written in [&tarpit.max, &tarpit.failed_auth].into_iter().flatten() {
            self.ends_before_clients_give_up(written);
        }
        self.delays_fit(&policy, tarpit.time.as_ref(), tarpit.max.as_ref(), tarpit.max_line.as_ref());
        if let Some(written) = tarpit.max_delayed
            && policy.max_delayed >= relay.limits.connections_in_all
        {
            let cause = format!(
                "so many waiting sessions could take all of `relay.limits.connections_in_all` ({})",
                relay.limits.connections_in_all
            );
            self.problems.warn(written.problem(cause, "write a smaller number, or a greater one there"));
        }
        self.tarpit_has_effect(tarpit.time.as_ref(), relay, listeners);
        policy
    }

    /// Notes a time that could never be waited.
    fn delays_fit(
        &mut self,
        policy: &TarpitPolicy,
        time: Option<&At<Duration>>,
        max: Option<&At<Duration>>,
        max_line: Option<&At<Duration>>,
    ) {
        let (name, limit, written, consequence) = if policy.time > policy.max {
            ("max", policy.max, max, "")
        } else if policy.time > policy.max_line {
            let consequence = ", so the second refusal would turn the whole network away";
            ("max_line", policy.max_line, max_line, consequence)
        } else if !policy.time.is_zero() && !policy.step.is_zero() && policy.max > policy.max_line {
            self.one_refusal_fits_in_the_line(policy, max_line.or(max).or(time));
            return;
        } else {
            return;
        };
        let Some(written) = written.or(time) else { return };
        let cause = format!(
            "time ({}) is longer than {name} ({}){consequence}",
            spelled(policy.time),
            spelled(limit)
        );
        self.problem(written.problem(cause, format!("write a longer {name}, or a shorter time")));
    }

    /// Notes a refusal that, held for as long as `step` lets it grow, would make its network owe more than `max_line`.
    fn one_refusal_fits_in_the_line(&mut self, policy: &TarpitPolicy, written: Option<&At<Duration>>) {
        let Some(written) = written else { return };
        let cause = format!(
            "max ({}) is longer than max_line ({}), so with a `step` one refusal would turn the whole network away in the end",
            spelled(policy.max),
            spelled(policy.max_line)
        );
        self.problem(written.problem(cause, "write a longer max_line, or a shorter max"));
    }

    /// Warns where the tar pit would do little, or is missed.
    fn tarpit_has_effect(
        &mut self,
        time: Option<&At<Duration>>,
        relay: &CheckedRelay,
        listeners: &[Listener],
    ) {
        match time {
            Some(time)
                if !time.value.is_zero()
                    && relay.recipients.is_empty()
                    && !listeners.is_empty()
                    && self.is_sound("relay") =>
            {
                let cause = "has little effect without `relay.recipients`: unknown recipients are not refused, so there is no refusal to hold";
                let fix = "say who knows the recipients, for example `recipients: [{ file: /etc/mailslotd/recipients.txt }]`";
                self.problems.warn(Problem::subject(&time.place, cause, fix));
            }
            None if !relay.recipients.is_empty() => {
                if let Some(listener) = open_to_strangers(relay, listeners) {
                    let cause = "tells strangers which recipients exist as fast as they can ask";
                    let fix = "switch the tar pit on, `tarpit: { time: 5s }`, or off explicitly, `tarpit: { time: 0s }`";
                    self.problems.warn(Problem::subject(&listener.place, cause, fix));
                }
            }
            Some(_) | None => {}
        }
    }

    /// A client waits at least 5 minutes for the reply to MAIL or RCPT (RFC 5321 §4.5.3.2).
    fn ends_before_clients_give_up(&mut self, written: &At<Duration>) {
        if written.value >= PATIENCE {
            let cause = format!(
                "clients give up after 5m (RFC 5321 §4.5.3.2) and come again, so {} is too long",
                spelled(written.value)
            );
            self.problem(written.problem(cause, "write a time below 5m, for example 60s"));
        }
    }

    fn prefixes(&mut self, prefix: Option<At<raw::Prefix>>) -> Prefixes {
        let raw::Prefix { ipv4, ipv6, private, .. } = prefix.map(|prefix| prefix.value).unwrap_or_default();
        let default = Prefixes::default();
        let mut length = |written: Option<At<PrefixLength>>, (least, most): (u8, u8), default: u8| {
            let Some(written) = written else { return default };
            if !(least..=most).contains(&written.value.0) {
                let cause = format!("/{} would make one client of too many, or of none", written.value.0);
                self.problem(written.problem(cause, format!("write a number from {least} to {most}")));
            }
            written.value.0.min(most)
        };
        Prefixes {
            ipv4: length(ipv4, (8, 32), default.ipv4),
            ipv6: length(ipv6, (16, 128), default.ipv6),
            private: length(private, (8, 32), default.private),
        }
    }
}

/// How long a client waits at least.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
