//! The gateways that share a spool, in a few lines.

use jiff::Timestamp;

use crate::admin::words::{spell_between, spell_bytes};
use crate::cli::table::plain;
use crate::policy::spelling::counted;
use crate::spool::{Contact, GatewaySign, GroupStanding, Lead};

/// Whether NATS answers, what waits for it, who lives and who leads.
pub(super) fn lines(group: &GroupStanding, now: Timestamp) -> Vec<String> {
    let since = spell_between(group.since, now);
    let servers = plain(&group.servers);
    let contact = match &group.contact {
        Contact::Open => format!("Group: NATS ({servers}) answers, for {since}{}", replicas(group)),
        Contact::Silent(why) => format!(
            "Group: NATS ({servers}) has not answered for {since}, so nothing is delivered until it does: {}",
            plain(why)
        ),
    };
    let mut lines = vec![contact];
    if group.local.messages > 0 {
        let oldest =
            group.local.oldest.map(|oldest| format!(", the oldest for {}", spell_between(oldest, now)));
        lines.push(format!(
            "Group: {}, {}, in this gateway's own spool until NATS takes it{}",
            counted(group.local.messages, "message waits", "messages wait"),
            spell_bytes(group.local.bytes),
            oldest.unwrap_or_default()
        ));
    }
    if group.lead == Lead::Lapsed {
        lines.push("Group: this gateway led it; another may by now".to_owned());
    }
    let gateways: Vec<String> = group.gateways.iter().map(|gateway| sign(group, gateway, now)).collect();
    if !gateways.is_empty() {
        let live = match group.contact {
            Contact::Open => "live",
            Contact::Silent(_) => "lived then",
        };
        let count = u64::try_from(gateways.len()).unwrap_or(u64::MAX);
        lines.push(format!(
            "Group: {} {live}: {}",
            counted(count, "gateway", "gateways"),
            gateways.join(", ")
        ));
    }
    lines
}

fn replicas(group: &GroupStanding) -> String {
    group.replicas.current.map_or_else(String::new, |current| {
        format!("; {current} of {} up to date", counted_replicas(group.replicas.wanted))
    })
}

fn counted_replicas(wanted: usize) -> String {
    counted(u64::try_from(wanted).unwrap_or(u64::MAX), "replica is", "replicas are")
}

fn sign(group: &GroupStanding, gateway: &GatewaySign, now: Timestamp) -> String {
    let mut words = Vec::new();
    words.extend((gateway.name == group.gateway).then(|| "this one".to_owned()));
    words.extend((group.leader.as_ref() == Some(&gateway.name)).then(|| "leads".to_owned()));
    words.push(format!("seen {} ago", spell_between(gateway.seen_at, now)));
    format!("{} ({})", plain(&gateway.name), words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_is_cut_off_says_since_when_and_what_waits() {
        let standing = serde_json::json!({
            "gateway": "gw1-0f", "servers": "nats1:4222", "contact": { "silent": "connection refused" },
            "since": "2026-02-03T05:00:06Z", "lead": "lapsed", "leader": "gw1-0f",
            "gateways": [{ "name": "gw1-0f", "seen_at": "2026-02-03T05:00:05Z" }],
            "replicas": { "wanted": 3, "current": 3 },
            "local": { "messages": 7, "bytes": 2048, "oldest": "2026-02-03T05:01:06Z" },
        });
        let standing: GroupStanding = serde_json::from_value(standing).unwrap();
        assert_eq!(
            lines(&standing, "2026-02-03T05:05:06Z".parse().unwrap()),
            [
                "Group: NATS (nats1:4222) has not answered for 5 min, so nothing is delivered until it does: connection \
                 refused",
                "Group: 7 messages wait, 2.0 KiB, in this gateway's own spool until NATS takes it, the oldest for 4 min",
                "Group: this gateway led it; another may by now",
                "Group: 1 gateway lived then: gw1-0f (this one, leads, seen 5 min ago)",
            ]
        );
    }
}
