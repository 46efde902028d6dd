//! `mailslots`: whether legacy messages pass at all.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::problem::Problem;
use super::super::raw::{self, At, Enabled};
use super::super::settings::Mailslots;
use super::Checking;
use crate::policy::mailslot_switch::Configured;

impl Checking<'_> {
    /// An exception lasts through its day in `timezone`.
    pub(super) fn mailslots(
        &mut self,
        mailslots: Option<At<raw::Mailslots>>,
        timezone: &TimeZone,
    ) -> Mailslots {
        let raw::Mailslots { inbound, outbound, .. } =
            mailslots.map(|mailslots| mailslots.value).unwrap_or_default();
        Mailslots {
            inbound: self.switch(inbound, Enabled::Yes, timezone),
            outbound: self.switch(outbound, Enabled::No, timezone),
        }
    }

    fn switch(
        &mut self,
        switch: Option<At<raw::Switch>>,
        default: Enabled,
        timezone: &TimeZone,
    ) -> Configured {
        let raw::Switch { enabled, exception_until, .. } =
            switch.map(|switch| switch.value).unwrap_or_default();
        let enabled = enabled.map_or(default, |enabled| enabled.value);
        let end = exception_until.as_ref().and_then(|day| {
            let end: Option<Timestamp> = day
                .value
                .tomorrow()
                .and_then(|next| next.to_zoned(timezone.clone()))
                .map(|midnight| midnight.timestamp())
                .ok();
            if end.is_none() {
                let fix = "write a day that somebody here will see";
                self.problem(day.problem("is past the end of the calendar", fix));
            }
            end
        });
        match (enabled, exception_until) {
            (Enabled::No, _) => Configured::Off { exception_until: end },
            (Enabled::Yes, None) => Configured::On,
            (Enabled::Yes, Some(day)) => {
                let cause = "has no effect beside `enabled: true`, which does not end";
                let fix = "write `enabled: false`: messages pass until that day and no longer";
                self.problems.warn(Problem::subject(&day.place, cause, fix));
                Configured::On
            }
        }
    }
}
