//! Hosts as they are shown: what they do, whether somebody would miss it, and what to ask the vendor.

use jiff::Timestamp;
use serde::Serialize;

use super::form;
use crate::inventory::{Dependence, Host, Snapshot, advice};
use crate::message::host::{Purpose, Role};
use crate::policy::spelling::counted;

/// A host, and what follows from it.
#[derive(Debug, Serialize)]
pub(super) struct Assessed<'a> {
    #[serde(flatten)]
    pub(super) host: &'a Host,
    /// What would become of it if the legacy protocols were switched off today.
    pub(super) if_switched_off: Dependence,
    /// Whether somebody would miss messages.
    pub(super) would_break: bool,
    /// What to do about it and to ask its vendor.
    pub(super) advice: Vec<String>,
}

/// All hosts at the moment of a snapshot, those that would be missed first.
pub(super) fn assess(snapshot: &Snapshot) -> Vec<Assessed<'_>> {
    let now = snapshot.taken_at;
    let mut assessed: Vec<Assessed<'_>> = snapshot.hosts.iter().map(|host| Assessed::of(host, now)).collect();
    assessed.sort_by(|a, b| (a.if_switched_off, &a.host.name).cmp(&(b.if_switched_off, &b.host.name)));
    assessed
}

impl<'a> Assessed<'a> {
    fn of(host: &'a Host, now: Timestamp) -> Self {
        let if_switched_off = Dependence::of(host, now);
        let would_break = if_switched_off == Dependence::Breaks;
        Self { host, if_switched_off, would_break, advice: advice(host) }
    }

    /// `192.0.2.7 and 2 more`
    pub(super) fn addresses(&self) -> String {
        form::few(self.host.addresses.iter().map(|seen| seen.address), 1)
    }

    pub(super) fn system(&self) -> String {
        self.host.system.map(|guess| guess.to_string()).unwrap_or_default()
    }

    /// `12 messages, \MAILSLOT\ACME\BUS, logon`
    pub(super) fn sends(&self) -> String {
        let mut words = Vec::new();
        match self.host.uses(&[Purpose::Messenger]) {
            0 => {}
            count => words.push(counted(count, "message", "messages")),
        }
        let vendor = self.host.channels.iter().filter(|used| used.channel.purpose() == Purpose::Vendor);
        words.extend(vendor.map(|used| used.channel.to_string()));
        if self.host.last_logon().is_some() {
            words.push("logon".to_owned());
        }
        form::few(words, 3)
    }

    fn row(&self) -> [String; 8] {
        let host = self.host;
        // What almost every host is says little.
        let telling = |role: &Role| !matches!(role, Role::PotentialBrowser | Role::DomainMember);
        [
            host.name.clone(),
            self.addresses(),
            host.workgroup.clone().unwrap_or_default(),
            self.system(),
            form::few(host.roles.iter().filter(telling).map(Role::as_str), 2),
            self.sends(),
            minute(host.last_seen),
            self.if_switched_off.words().to_owned(),
        ]
    }

    fn record(&self) -> [String; 16] {
        let host = self.host;
        let joined = |words: Vec<String>| words.join("; ");
        let messages = host.messages.iter();
        let pairs = messages.map(|sent| format!("{} -> {} ({})", sent.from, sent.to, sent.count)).collect();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            host.name.clone(),
            joined(host.addresses.iter().map(|seen| seen.address.to_string()).collect()),
            text(&host.workgroup),
            host.system.map(|guess| guess.system.as_str().to_owned()).unwrap_or_default(),
            host.system.map(|guess| guess.certainty.as_str().to_owned()).unwrap_or_default(),
            host.roles.to_string(),
            text(&host.comment),
            joined(host.channels.iter().map(|used| format!("{} ({})", used.channel, used.count)).collect()),
            joined(pairs),
            host.uses(&[Purpose::Messenger, Purpose::Vendor]).to_string(),
            host.last_needed().map(|at| at.to_string()).unwrap_or_default(),
            host.sightings.to_string(),
            host.first_seen.to_string(),
            host.last_seen.to_string(),
            self.if_switched_off.as_str().to_owned(),
            joined(self.advice.clone()),
        ]
    }
}

/// The heading and a line for each host, columns aligned, and what follows from all of them.
pub(super) fn rows(assessed: &[Assessed<'_>]) -> Vec<String> {
    let heading =
        ["NAME", "ADDRESS", "WORKGROUP", "SYSTEM", "ROLES", "SENDS", "LAST SEEN", "IF SWITCHED OFF"];
    let mut lines = form::table(heading, assessed.iter().map(Assessed::row).collect());
    lines.push(String::new());
    lines.push(verdict(assessed));
    lines
}

/// The heading and a record for each host (RFC 4180), without line ends.
pub(super) fn csv(assessed: &[Assessed<'_>]) -> Vec<String> {
    let heading = [
        "name",
        "addresses",
        "workgroup",
        "system",
        "certainty",
        "roles",
        "comment",
        "channels",
        "messages",
        "sent",
        "last_needed",
        "sightings",
        "first_seen",
        "last_seen",
        "if_switched_off",
        "advice",
    ];
    form::csv(heading, assessed.iter().map(Assessed::record).collect())
}

/// The answer to the question that all this is for.
pub(super) fn verdict(assessed: &[Assessed<'_>]) -> String {
    let of = |dependence| {
        let hosts = assessed.iter().filter(move |each| each.if_switched_off == dependence);
        hosts.map(|each| each.host.name.as_str()).collect::<Vec<_>>()
    };
    let (breaks, logon) = (of(Dependence::Breaks), of(Dependence::Logon));
    let mut verdict = match breaks.as_slice() {
        [] => "Nothing would be missed if remote mailslots and the Messenger service were switched off today, as far \
               as was heard here."
            .to_owned(),
        [one] => format!("Switched off today, messages of one host would be lost: {one}."),
        several => {
            format!("Switched off today, messages of {} hosts would be lost: {}.", several.len(), form::few(several, 8))
        }
    };
    if !logon.is_empty() {
        verdict.push_str(&format!(" By mailslot, logon servers are searched by {}.", form::few(logon, 8)));
    }
    verdict
}

/// Down to the minute, UTC.
pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A host whose texts are these.
    pub(crate) fn host(name: &str, channel: &str, last_seen: &str) -> Host {
        let json = serde_json::json!({
            "name": name, "named_by": "computer", "workgroup": "PLANT",
            "system": { "system": "Windows NT 4.0", "certainty": "high" },
            "roles": ["file-server", "potential-browser"], "comment": "boiler",
            "addresses": [{ "address": "192.0.2.7", "last_seen": last_seen }],
            "channels": [{ "channel": channel, "count": 3, "largest": 40, "first_seen": last_seen, "last_seen": last_seen }],
            "messages": [{ "channel": channel, "from": name, "to": "ALERTS", "count": 3, "last_seen": last_seen }],
            "sightings": 12, "left_at": null, "first_seen": last_seen, "last_seen": last_seen,
        });
        serde_json::from_value(json).unwrap()
    }

    pub(crate) fn snapshot(hosts: Vec<Host>) -> Snapshot {
        Snapshot { taken_at: "2026-03-01T00:00:00Z".parse().unwrap(), hosts, asked_names: Vec::new() }
    }

    #[test]
    fn who_would_be_missed_is_seen_at_a_glance() {
        let snapshot = snapshot(vec![
            host("OLD", r"\MAILSLOT\MESSNGR", "2026-01-02T03:04:05Z"),
            host("QUIET", r"\MAILSLOT\BROWSE", "2026-02-27T03:04:05Z"),
            host("SCADA1", r"\MAILSLOT\MESSNGR", "2026-02-28T03:04:05Z"),
        ]);
        let lines = rows(&assess(&snapshot));
        assert_eq!(
            lines,
            [
                "NAME    ADDRESS    WORKGROUP  SYSTEM          ROLES        SENDS       LAST SEEN         IF SWITCHED OFF",
                "SCADA1  192.0.2.7  PLANT      Windows NT 4.0  file-server  3 messages  2026-02-28 03:04  its messages would be lost",
                "OLD     192.0.2.7  PLANT      Windows NT 4.0  file-server  3 messages  2026-01-02 03:04  nothing for 30 days",
                "QUIET   192.0.2.7  PLANT      Windows NT 4.0  file-server              2026-02-27 03:04  only announces itself",
                "",
                "Switched off today, messages of one host would be lost: SCADA1.",
            ]
        );
    }

    #[test]
    fn a_name_is_neither_a_formula_nor_another_cell() {
        let snapshot = snapshot(vec![host("=CMD|\"X\",1", "TCP 139", "2026-02-28T03:04:05Z")]);
        let lines = csv(&assess(&snapshot));
        assert!(
            lines[1].starts_with("\"'=CMD|\"\"X\"\",1\",192.0.2.7,PLANT,Windows NT 4.0,high,"),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn json_has_what_follows_beside_the_facts_and_reads_back() {
        let snapshot = snapshot(vec![host("SCADA1", "TCP 139", "2026-02-28T03:04:05Z")]);
        let json = serde_json::to_value(assess(&snapshot)).unwrap();
        assert_eq!((&json[0]["would_break"], &json[0]["if_switched_off"]), (&true.into(), &"breaks".into()));
        assert!(json[0]["advice"][0].as_str().unwrap().contains("net send"));
        let back: Vec<Host> = serde_json::from_value(json).unwrap();
        assert_eq!(back, snapshot.hosts);
    }
}
