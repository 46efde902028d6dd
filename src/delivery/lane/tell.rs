//! What the operator reads of deliveries: names and numbers of ours, the next hop's words, never a message's.

use jiff::Timestamp;

use crate::delivery::view::label;
use crate::message::id::DestinationName;
use crate::message::recipient::EnhancedStatus;
use crate::policy::availability::{Event, State};
use crate::spool::{Due, SpoolError};

pub(super) fn delivered(destination: &DestinationName, row: &Due, text: &str) {
    tracing::debug!(id = %row.id, number = row.number.0, %destination, text, "Delivered.");
}

pub(super) fn delayed(
    destination: &DestinationName,
    row: &Due,
    status: EnhancedStatus,
    text: &str,
    due: Timestamp,
) {
    tracing::warn!(
        id = %row.id, number = row.number.0, %destination, %status, text, %due,
        "Delayed; it is tried again."
    );
}

pub(super) fn failed(destination: &DestinationName, row: &Due, status: EnhancedStatus, text: &str) {
    tracing::error!(
        id = %row.id, number = row.number.0, %destination, %status, text,
        "Refused for good; it is kept as failed, `mailslotd queue retry` tries it again."
    );
}

pub(super) fn broke_off(destination: &DestinationName, rows: &[Due]) {
    tracing::error!(
        %destination, id = rows.first().map(|row| tracing::field::display(row.id)),
        "A delivery ended by a defect in this program; it is tried again. Please report it."
    );
}

pub(super) fn spool(destination: &DestinationName, error: &SpoolError) {
    tracing::error!(%destination, %error, "The spool fails; deliveries wait for it.");
}

pub(super) fn event(destination: &DestinationName, event: &Event) {
    match event {
        Event::Began { state: State::OperatorFault, reason, .. } => tracing::error!(
            %destination, reason,
            "A destination waits for the operator; nothing is lost, everything for it is kept. `mailslotd queue retry \
             --all` tries it at once."
        ),
        Event::Began { state, reason, probe_in } => tracing::warn!(
            %destination, state = label(*state).as_str(), reason, ?probe_in,
            "A destination takes nothing; everything for it is kept."
        ),
        Event::Persists { state, reason, since, failures } => tracing::error!(
            %destination, state = label(*state).as_str(), reason, ?since, failures,
            "A destination still takes nothing; everything for it is kept until it expires."
        ),
        Event::CameBack { after } => tracing::info!(%destination, ?after, "A destination works again."),
    }
}
