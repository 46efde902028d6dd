//! What is kept, and where it goes.

use super::html::{Cell, Html, Tone};
use super::{Facts, spelled};
use crate::admin::api::{DestinationStatus, SpoolStatus};
use crate::admin::words::{spell_between, spell_bytes};
use crate::policy::spelling::counted;
use crate::spool::SpoolState;
use crate::telemetry::metrics::DestinationState;

/// How much is kept, and how long the oldest has waited.
pub(super) fn spool(facts: &Facts<'_>, html: &mut Html) {
    let spool = &facts.status.spool;
    let oldest = spool.oldest_waiting.map(|oldest| spell_between(oldest, facts.now));
    let copies = |state| spool.copies(state, None).to_string();
    let mut known = vec![
        ("Messages", spool.messages.to_string()),
        ("Size", spell_bytes(spool.bytes)),
        ("Copies that wait", copies(SpoolState::Queued)),
    ];
    known.extend(oldest.map(|oldest| ("The oldest has waited for", oldest)));
    known.extend([
        ("Held", copies(SpoolState::Held)),
        ("Failed", copies(SpoolState::Failed)),
        ("Corrupt", copies(SpoolState::Corrupt)),
    ]);
    html.markup("<section>\n<h2>Spool</h2>\n").known(&known);
    let strays = strays(spool, &facts.status.destinations);
    if strays > 0 {
        let (one, many) = ("copy waits for a destination that is", "copies wait for destinations that are");
        let strays = format!("{} not configured.", counted(strays, one, many));
        html.markup("<p>").mark(Tone::Warning, strays).markup("</p>\n");
    }
    html.markup("</section>\n");
}

/// Each destination: whether it takes anything, and what became of the last attempt. Its words may name a recipient, so
/// they are told over the control socket only: whoever is on this host can read this page.
pub(super) fn destinations(facts: &Facts<'_>, html: &mut Html) {
    html.markup("<section>\n<h2>Destinations</h2>\n");
    if facts.status.destinations.is_empty() {
        html.paragraph("None is configured.");
    } else {
        let rows = facts.status.destinations.iter().map(|destination| row(facts, destination));
        html.table(["Destination", "State", "Since", "Wait", "Failed", "Why", "Last attempt"], rows);
    }
    html.markup("</section>\n");
}

fn row(facts: &Facts<'_>, destination: &DestinationStatus) -> [Cell; 7] {
    let copies = |state| Cell::figure(facts.status.spool.copies(state, Some(&destination.name)));
    let reply = destination
        .last_reply
        .as_ref()
        .map(|reply| format!("{} {} ago", reply.outcome, spell_between(reply.at, facts.now)));
    [
        Cell::text(&destination.name),
        Cell::Mark(tone(&destination.state), destination.state.replace('_', " ")),
        Cell::text(spelled(destination.since)),
        copies(SpoolState::Queued),
        copies(SpoolState::Failed),
        Cell::Text(destination.reason.clone().unwrap_or_default()),
        Cell::Text(reply.unwrap_or_default()),
    ]
}

fn tone(state: &str) -> Tone {
    if state == DestinationState::Up.as_str() {
        Tone::Good
    } else if state == DestinationState::OperatorFault.as_str() {
        Tone::Bad
    } else {
        Tone::Warning
    }
}

/// Copies that wait for what the configuration no longer has.
fn strays(spool: &SpoolStatus, configured: &[DestinationStatus]) -> u64 {
    let stray = spool.copies.iter().filter(|count| {
        count.state == SpoolState::Queued
            && !configured.iter().any(|destination| destination.name == count.destination)
    });
    stray.map(|count| count.copies).sum()
}
