//! The gateways that share a spool.

use super::html::{Cell, Html, Tone};
use super::{Facts, spelled};
use crate::admin::words::{spell_between, spell_bytes};
use crate::policy::spelling::counted;
use crate::spool::{Contact, GroupStanding, Lead};

/// Whether NATS answers, what waits for it, who lives and who leads; nothing where there is no group.
pub(super) fn group(facts: &Facts<'_>, html: &mut Html) {
    let Some(group) = &facts.status.group else { return };
    html.markup("<section>\n<h2>Group</h2>\n<p>");
    match &group.contact {
        Contact::Open => html.mark(Tone::Good, "NATS answers"),
        Contact::Silent(why) => html.mark(Tone::Bad, format_args!("NATS does not answer: {why}")),
    };
    html.markup("</p>\n").known(&known(group, facts));
    let rows = group.gateways.iter().map(|gateway| {
        let leads = if group.leader.as_ref() == Some(&gateway.name) { "leads" } else { "" };
        let seen = format!("{} ago", spell_between(gateway.seen_at, facts.now));
        [Cell::text(&gateway.name), Cell::Text(seen), Cell::text(leads)]
    });
    html.table(["Gateway", "Last sign of life", "Names and sweeps"], rows);
    html.markup("</section>\n");
}

fn known(group: &GroupStanding, facts: &Facts<'_>) -> Vec<(&'static str, String)> {
    let lead = match group.lead {
        Lead::Ours => "yes",
        Lead::Lapsed => "it did; another may by now",
        Lead::Another => "no",
    };
    let current = group.replicas.current.map_or_else(|| "?".to_owned(), |current| current.to_string());
    let mut known = vec![
        ("Servers", group.servers.clone()),
        ("Since", spelled(group.since).to_string()),
        ("Replicas up to date", format!("{current} of {}", group.replicas.wanted)),
        ("This gateway", group.gateway.clone()),
        ("It leads", lead.to_owned()),
    ];
    if group.local.messages > 0 {
        let messages = counted(group.local.messages, "message", "messages");
        let oldest =
            group.local.oldest.map(|oldest| format!(", the oldest for {}", spell_between(oldest, facts.now)));
        let wait = format!("{messages}, {}{}", spell_bytes(group.local.bytes), oldest.unwrap_or_default());
        known.push(("Waits in its own spool for NATS", wait));
    }
    known
}
