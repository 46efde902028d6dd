//! The legacy side: where it hears, what it is called there, and whether messages pass.

use std::net::SocketAddr;

use super::html::{Cell, Html, Tone};
use super::{Facts, spelled};
use crate::policy::mailslot_switch::{Direction, Passing};
use crate::switch::SwitchStatus;
use crate::telemetry::metrics::NameState;

/// The names with where each claim stands, the sessions, and the switch.
pub(super) fn netbios(facts: &Facts<'_>, html: &mut Html) {
    let netbios = &facts.status.netbios;
    let at = |address: Option<SocketAddr>| address.map_or_else(|| "closed".to_owned(), |at| at.to_string());
    let sessions = netbios.sessions.as_ref();
    let mut known = vec![
        ("Datagrams, UDP 138", facts.status.datagram.to_string()),
        ("Names, UDP 137", at(netbios.name_service)),
        ("Sessions, TCP 139", at(sessions.map(|sessions| sessions.address))),
    ];
    known.extend(sessions.into_iter().flat_map(|sessions| {
        [
            ("Sessions now", sessions.connections.to_string()),
            ("Messages accepted by session", sessions.accepted.to_string()),
        ]
    }));
    html.markup("<section>\n<h2>NetBIOS</h2>\n").known(&known);
    if !netbios.names.is_empty() {
        let rows = netbios.names.iter().map(|claimed| {
            [Cell::text(&claimed.name), Cell::Mark(tone(&claimed.state), claimed.state.clone())]
        });
        html.table(["Name", "Claim"], rows);
    }
    html.table(["Messages", "Pass", "Until"], facts.status.mailslots.iter().map(switch));
    html.markup("</section>\n");
}

fn switch(switch: &SwitchStatus) -> [Cell; 3] {
    let messages = match switch.direction {
        Direction::Inbound => "that are heard",
        Direction::Outbound => "that are sent",
    };
    let (tone, pass, until) = match (switch.direction, switch.state) {
        (_, Passing::On) => (Tone::Good, "yes", String::new()),
        (_, Passing::Until { end }) => (Tone::Warning, "for now", spelled(end).to_string()),
        (Direction::Inbound, Passing::Off) => (Tone::Bad, "no", String::new()),
        // As it is unless somebody wants otherwise.
        (Direction::Outbound, Passing::Off) => (Tone::Good, "no", String::new()),
    };
    [Cell::text(messages), Cell::Mark(tone, pass.to_owned()), Cell::Text(until)]
}

fn tone(state: &str) -> Tone {
    if state == NameState::Claimed.as_str() {
        Tone::Good
    } else if state == NameState::Conflict.as_str() {
        Tone::Bad
    } else {
        Tone::Warning
    }
}
