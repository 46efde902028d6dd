//! Who is told, and is the postmaster.

use serde::Serialize;

use super::super::check::spelled;
use super::super::settings::Settings;
use super::limit;
use crate::policy::operator::{Notify, Way};
use crate::wire::smtp::path::Mailbox;

#[derive(Serialize)]
pub(super) struct Operator<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    postmaster: Option<&'s str>,
    /// Absent where the postmaster is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<Vec<ShownWay<'s>>>,
    repeat: String,
}

#[derive(Serialize)]
struct ShownWay<'s> {
    via: &'s str,
    to: &'s str,
}

impl<'s> Operator<'s> {
    pub(super) fn of(settings: &'s Settings) -> Self {
        let notify = match &settings.operator.notify {
            Notify::Postmaster => None,
            Notify::These(ways) => Some(ways.iter().map(ShownWay::of).collect()),
        };
        Self {
            postmaster: settings.smtp.postmaster.as_ref().map(Mailbox::as_str),
            notify,
            repeat: limit(settings.operator.repeat, spelled),
        }
    }
}

impl<'s> ShownWay<'s> {
    fn of(way: &'s Way) -> Self {
        Self { via: way.via.as_str(), to: &way.to }
    }
}
