//! The names to claim, as they are shown.

use super::form;
use super::hosts::minute;
use crate::config::settings::{Mode, Settings};
use crate::inventory::{AskedName, Snapshot};
use crate::wire::netbios_name::{NameType, NetbiosName};

/// The messenger names that nobody was heard to answer for, and that are not `claimed` by now.
pub(super) fn unanswered<'a>(snapshot: &'a Snapshot, claimed: &[String]) -> Vec<&'a AskedName> {
    let is_free = |name: &&AskedName| name.name_type == NameType::MESSENGER && !claimed.contains(&name.name);
    snapshot.asked_names.iter().filter(is_free).collect()
}

/// The messenger names that the gateway claims by these settings.
pub(super) fn claimed(settings: &Settings) -> Vec<String> {
    let Mode::Answer(claims) = &settings.netbios.mode else { return Vec::new() };
    let text = |name: &NetbiosName| settings.decoding.code_page.decode(name.text()).text.to_uppercase();
    claims.names.iter().map(text).collect()
}

/// The heading and a line for each name, columns aligned, and what they mean.
pub(super) fn rows(names: &[&AskedName], snapshot: &Snapshot) -> Vec<String> {
    let heading = ["NAME", "ASKED", "REPEATED", "LAST ASKED", "ASKED BY"];
    let rows = names.iter().map(|name| {
        [
            format!("{}{}", name.name, name.name_type),
            name.asked.to_string(),
            name.repeated.to_string(),
            minute(name.last_seen),
            askers(name, snapshot, 3),
        ]
    });
    let mut lines = form::table(heading, rows.collect());
    lines.push(String::new());
    lines.extend(MEANING.map(str::to_owned));
    lines
}

/// The heading and a record for each name (RFC 4180), without line ends.
pub(super) fn csv(names: &[&AskedName], snapshot: &Snapshot) -> Vec<String> {
    let heading = ["name", "type", "asked", "repeated", "first_asked", "last_asked", "askers"];
    let rows = names.iter().map(|name| {
        [
            name.name.clone(),
            name.name_type.to_string(),
            name.asked.to_string(),
            name.repeated.to_string(),
            name.first_seen.to_string(),
            name.last_seen.to_string(),
            askers(name, snapshot, AskedName::MOST_ASKERS),
        ]
    });
    form::csv(heading, rows.collect())
}

/// `SCADA1 (192.0.2.7), 192.0.2.8 and 2 more`
pub(super) fn askers(name: &AskedName, snapshot: &Snapshot, most: usize) -> String {
    let words = name.askers.iter().map(|asker| {
        let is_there = |host: &&crate::inventory::Host| {
            host.addresses.first().is_some_and(|seen| seen.address == asker.address)
        };
        match snapshot.hosts.iter().filter(is_there).max_by_key(|host| host.last_seen) {
            Some(host) if host.name != asker.address.to_string() => {
                format!("{} ({})", host.name, asker.address)
            }
            _ => asker.address.to_string(),
        }
    });
    form::few(words, most)
}

/// What a reader must know of these names.
pub(super) const MEANING: [&str; 3] = [
    "A question that was repeated was answered by nobody: claim that name with `netbios.names`, and its messages arrive.",
    "One that was only asked once may have been answered, since answers go to the asker alone, or its program never repeats.",
    "Not to be seen here: names asked for at a WINS server, found in LMHOSTS files, or in networks that no broadcast reaches.",
];

#[cfg(test)]
mod tests {
    use super::super::hosts::tests::{host, snapshot};
    use super::*;

    fn name(name: &str, name_type: u8) -> AskedName {
        let at = "2026-02-28T03:04:05Z";
        let json = serde_json::json!({
            "name": name, "type": name_type, "asked": 14, "repeated": 12, "first_seen": at, "last_seen": at,
            "askers": [
                { "address": "192.0.2.7", "asked": 13, "repeated": 12, "last_seen": at },
                { "address": "192.0.2.9", "asked": 1, "repeated": 0, "last_seen": at },
            ],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn messenger_names_are_listed_with_who_asks() {
        let mut snapshot = snapshot(vec![host("SCADA1", r"\MAILSLOT\BROWSE", "2026-02-28T03:04:05Z")]);
        snapshot.asked_names = vec![name("LEITSTAND", 3), name("PLANT", 0x1B)];
        let lines = rows(&unanswered(&snapshot, &[]), &snapshot);
        assert_eq!(
            lines[..3],
            [
                "NAME           ASKED  REPEATED  LAST ASKED        ASKED BY",
                "LEITSTAND<03>  14     12        2026-02-28 03:04  SCADA1 (192.0.2.7), 192.0.2.9",
                "",
            ]
        );
        assert!(lines.last().unwrap().contains("WINS") && lines.last().unwrap().contains("LMHOSTS"));
        let csv = csv(&unanswered(&snapshot, &[]), &snapshot);
        assert!(csv[1].starts_with("LEITSTAND,<03>,14,12,"), "{}", csv[1]);
        assert_eq!(unanswered(&snapshot, &["LEITSTAND".to_owned()]).len(), 0, "once it is claimed");
    }
}
