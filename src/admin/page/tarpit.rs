//! What the tar pit does to clients, honest ones above all.

use super::Facts;
use super::html::{Cell, Html, Tone};
use crate::admin::api::{ClientNetworkStatus, TarpitStatus};
use crate::admin::words::{spell_between, spell_seconds};
use crate::policy::spelling::counted;

/// What the tar pit does, and to whom.
pub(super) fn tarpit(facts: &Facts<'_>, html: &mut Html) {
    let pit = facts.tarpit;
    html.markup("<section>\n<h2>Tar pit</h2>\n");
    match pit.time_seconds {
        0 => html.paragraph("It is off (tarpit.time); only the reply to a failed AUTH may be held."),
        time => html.paragraph(format_args!(
            "Each refusal (5yz) is held for {} at least, unless its client has authenticated or is exempt.",
            spell_seconds(time)
        )),
    };
    if pit.is_untouched() {
        html.paragraph("It has held nobody yet.").markup("</section>\n");
        return;
    }
    figures(pit, html);
    if pit.proved_good > 0 {
        html.markup("<p>")
            .mark(Tone::Warning, counted(pit.proved_good, PROVED_GOOD[0], PROVED_GOOD[1]))
            .text(" The log names them, and by what: AUTH or a message. tarpit.exempt spares those that are wanted.")
            .markup("</p>\n");
    }
    if !pit.most_responsible.is_empty() {
        html.markup("<h3>Client networks most in debt</h3>\n");
        let rows = pit.most_responsible.iter().map(|network| row(facts, network));
        html.table(
            ["Network", "Owes", "Wait now", "Refusals", "Delayed replies", "Delay", "Gave up", "Last seen"],
            rows,
        );
    }
    html.markup("</section>\n");
}

fn figures(pit: &TarpitStatus, html: &mut Html) {
    html.known(&[
        ("Wait now", pit.waiting.to_string()),
        ("Delayed replies", pit.delayed_replies.to_string()),
        ("Turns waited for", pit.turns_waited.to_string()),
        ("Delay in all", spell_seconds(pit.delay_seconds)),
        ("Gave up waiting", pit.gave_up.to_string()),
        ("Proved good later", pit.proved_good.to_string()),
        ("Turned away for debt", pit.turned_away.line_too_long.to_string()),
        ("Turned away, pit full", pit.turned_away.full.to_string()),
        ("Networks remembered", pit.networks.to_string()),
    ]);
}

fn row(facts: &Facts<'_>, network: &ClientNetworkStatus) -> [Cell; 8] {
    [
        Cell::text(network.network),
        Cell::Figure(spell_seconds(network.owed_seconds)),
        Cell::figure(network.waiting),
        Cell::figure(network.refusals),
        Cell::figure(network.delayed_replies),
        Cell::Figure(spell_seconds(network.delay_seconds)),
        Cell::figure(network.gave_up),
        Cell::text(format_args!("{} ago", spell_between(network.last_seen, facts.now))),
    ]
}

const PROVED_GOOD: [&str; 2] =
    ["network that was delayed proved good later.", "networks that were delayed proved good later."];
