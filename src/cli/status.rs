//! `mailslotd status`: how the running gateway stands.

mod group;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::exit::Exit;
use super::load::{self, Reading};
use super::output::{answer, answer_json, note};
use super::table::{aligned, plain};
use super::{Global, runtime};
use crate::admin::api::{
    DestinationStatus, NameStatus, SmtpListenerStatus, SpoolStatus, Status, is_first_of_listener,
};
use crate::admin::client::{Client, ClientError};
use crate::admin::readiness;
use crate::admin::words::{spell_between, spell_bytes};
use crate::credentials::Credential;
use crate::policy::expiry::day_of;
use crate::policy::mailslot_switch::{Direction, Passing};
use crate::policy::spelling::counted;
use crate::spool::SpoolState;
use crate::switch::SwitchStatus;

/// Shows how the running gateway stands.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// Carries out `status`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "ages are shown against now")]
pub fn run(_: &Args, global: &Global) -> Exit {
    runtime(async {
        let now = Timestamp::now();
        match ask::<Status>("/api/v1/status", global).await {
            Ok(status) if global.json => answer_json(&status),
            Ok(status) => lines(&status, now).into_iter().for_each(answer),
            Err(exit) => return exit,
        }
        Exit::Done
    })
}

/// Asks the gateway that runs with this configuration; says why when it does not answer.
pub(super) async fn ask<T: DeserializeOwned>(route: &str, global: &Global) -> Result<T, Exit> {
    get(&connect(global).await?, route).await
}

async fn connect(global: &Global) -> Result<Client, Exit> {
    let settings = load::load_or_tell(global, Reading::WithoutSecrets)?.checked.settings;
    Client::connect(&settings.state_dir).await.map_err(|error| told(&error))
}

async fn get<T: DeserializeOwned>(client: &Client, route: &str) -> Result<T, Exit> {
    client.get(route).await.map_err(|error| told(&error))
}

fn told(error: &ClientError) -> Exit {
    note(format_args!("mailslotd: {error}"));
    if matches!(error, ClientError::NotNow(_)) { Exit::TryLater } else { Exit::Unavailable }
}

fn lines(status: &Status, now: Timestamp) -> Vec<String> {
    let mut lines = vec![
        format!(
            "mailslotd {}{}, process {}: {}, since {} ({})",
            status.version,
            status.hostname.as_ref().map(|hostname| format!(" on {hostname}")).unwrap_or_default(),
            status.pid,
            stage(status.stage),
            status.started_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            spell_between(status.started_at, now),
        ),
        hears(status),
        spool(&status.spool, now),
    ];
    lines.extend(status.group.iter().flat_map(|standing| group::lines(standing, now)));
    lines.extend(status.mailslots.iter().filter_map(|switch| switched(switch, now)));
    lines.extend(status.credentials.iter().map(|credential| ends(credential, now)));
    if let Some(heard_lately) = &status.heard_lately {
        lines.push(format!("Messages in the last 30 days from: {}", plain(&heard_lately.to_string())));
    }
    if !status.netbios.names.is_empty() {
        let heading = ["NAME", "CLAIM"].map(str::to_owned);
        let row = |claimed: &NameStatus| [plain(&claimed.name), claimed.state.clone()];
        let rows: Vec<_> = std::iter::once(heading).chain(status.netbios.names.iter().map(row)).collect();
        lines.push(String::new());
        lines.extend(aligned(&rows));
    }
    if !status.smtp.is_empty() {
        let heading = ["LISTENER", "ADDRESS", "CONNECTIONS", "ACCEPTED"].map(str::to_owned);
        let row = |place| listener(&status.smtp, place);
        let rows: Vec<_> = std::iter::once(heading).chain((0..status.smtp.len()).filter_map(row)).collect();
        lines.push(String::new());
        lines.extend(aligned(&rows));
    }
    if !status.destinations.is_empty() {
        let heading =
            ["DESTINATION", "STATE", "FOR", "WAIT", "FAILED", "WHY, OR LAST REPLY"].map(str::to_owned);
        let row = |destination: &DestinationStatus| row(destination, &status.spool, now);
        let rows: Vec<_> = std::iter::once(heading).chain(status.destinations.iter().map(row)).collect();
        lines.push(String::new());
        lines.extend(aligned(&rows));
    }
    lines
}

/// A secret or certificate that ends soon, or has ended.
fn ends(credential: &Credential, now: Timestamp) -> String {
    let (what, day) = (plain(&credential.what()), day_of(credential.end));
    if credential.end <= now {
        format!("Over since {day}: {what}; make another and put it in its place")
    } else {
        format!("Ends on {day}, in {}: {what}", spell_between(now, credential.end))
    }
}

/// Where it is reached.
fn hears(status: &Status) -> String {
    let names = status.netbios.name_service.map(|address| format!(", UDP 137 on {address}"));
    let sessions = status.netbios.sessions.map(|sessions| {
        let open = counted(sessions.connections, "connection", "connections");
        let accepted = counted(sessions.accepted, "message", "messages");
        format!(", TCP 139 on {} ({open}, {accepted} accepted)", sessions.address)
    });
    format!(
        "Hears UDP 138 on {}{}{}; monitors and the page on http://{}/",
        status.datagram,
        names.unwrap_or_default(),
        sessions.unwrap_or_default(),
        status.admin
    )
}

const fn stage(stage: readiness::Stage) -> &'static str {
    match stage {
        readiness::Stage::Starting => "starting",
        readiness::Stage::Ready => "ready",
        readiness::Stage::Stopping => "stopping",
    }
}

/// What is unusual about a switch: messages that are heard pass, and none are sent, unless somebody wants otherwise.
fn switched(switch: &SwitchStatus, now: Timestamp) -> Option<String> {
    let (what, usual) = match switch.direction {
        Direction::Inbound => ("Messages that are heard", Passing::On),
        Direction::Outbound => ("Messages that are sent", Passing::Off),
    };
    let by = switch.command.as_ref().map(|command| format!(", as {} ordered", plain(&command.by)));
    let state = match switch.state {
        state if state == usual && switch.command.is_none() => return None,
        Passing::On => "pass".to_owned(),
        Passing::Until { end } => format!("pass for another {}", spell_between(now, end)),
        Passing::Off => "are switched off".to_owned(),
    };
    Some(format!("{what} {state}{}; see `mailslotd mailslots status`", by.unwrap_or_default()))
}

fn spool(spool: &SpoolStatus, now: Timestamp) -> String {
    let oldest =
        spool.oldest_waiting.map(|oldest| format!(", the oldest for {}", spell_between(oldest, now)));
    let refuses = match (&spool.refuses, &spool.refuses_mail) {
        (Some(refuses), _) => format!("; it refuses messages: {}", plain(refuses)),
        (None, Some(refuses)) => format!("; it refuses mail: {}", plain(refuses)),
        (None, None) => String::new(),
    };
    format!(
        "Spool: {}, {}; {}{}, {} failed, {} held, {} corrupt{}",
        counted(spool.messages, "message", "messages"),
        spell_bytes(spool.bytes),
        counted(spool.copies(SpoolState::Queued, None), "copy waits", "copies wait"),
        oldest.unwrap_or_default(),
        spool.copies(SpoolState::Failed, None),
        spool.copies(SpoolState::Held, None),
        spool.copies(SpoolState::Corrupt, None),
        refuses,
    )
}

/// One address of a listener; what is counted over all its addresses stands at the first.
fn listener(addresses: &[SmtpListenerStatus], place: usize) -> Option<[String; 4]> {
    let listener = addresses.get(place)?;
    let is_first = is_first_of_listener(addresses, place);
    let count = |count: u64| if is_first { count.to_string() } else { String::new() };
    let (name, address) = (listener.listener.to_string(), listener.address.to_string());
    Some([name, address, count(listener.connections), count(listener.accepted)])
}

fn row(destination: &DestinationStatus, spool: &SpoolStatus, now: Timestamp) -> [String; 6] {
    let reply = destination.last_reply.as_ref().map(|reply| format!("{}: {}", reply.outcome, reply.text));
    [
        destination.name.to_string(),
        destination.state.clone(),
        spell_between(destination.since, now),
        spool.copies(SpoolState::Queued, Some(&destination.name)).to_string(),
        spool.copies(SpoolState::Failed, Some(&destination.name)).to_string(),
        plain(&destination.reason.clone().or(reply).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_that_refuses_mail_alone_says_so() {
        let refuses = serde_json::json!({ "messages": 0, "bytes": 0, "copies": [], "refuses_mail": "full" });
        let line = spool(&serde_json::from_value(refuses).unwrap(), Timestamp::UNIX_EPOCH);
        assert!(line.ends_with("0 corrupt; it refuses mail: full"), "{line}");
    }

    #[test]
    fn everything_is_seen_at_a_glance_and_what_others_said_moves_no_terminal() {
        let status = serde_json::json!({
            "version": "1.2.3", "hostname": "gw1.plant.example", "pid": 77, "started_at": "2026-02-03T04:05:06Z",
            "stage": "ready", "datagram": "192.0.2.1:138", "admin": "127.0.0.1:9138",
            "netbios": {
                "name_service": "192.0.2.1:137",
                "names": [{ "name": "GW1<20>", "state": "claimed" }, { "name": "ALERTS<03>", "state": "conflict" }],
                "sessions": { "address": "192.0.2.1:139", "connections": 1, "accepted": 7 },
            },
            "heard_lately": { "names": ["CNC-07"], "count": 3 },
            "mailslots": [
                { "direction": "inbound", "state": { "passing": "until", "end": "2026-02-10T05:05:06Z" },
                  "configured": { "switch": "off", "exception_until": "2026-02-10T05:05:06Z" } },
                { "direction": "outbound", "state": { "passing": "off" }, "configured": { "switch": "off" } },
            ],
            "smtp": [
                { "listener": "mx", "address": "192.0.2.1:25", "connections": 3, "accepted": 12 },
                { "listener": "mx", "address": "[2001:db8::1]:25", "connections": 3, "accepted": 12 },
            ],
            "spool": {
                "messages": 1, "bytes": 4096, "oldest_waiting": "2026-02-03T04:30:00Z",
                "copies": [{ "destination": "smarthost", "state": "queued", "copies": 1 }],
            },
            "group": {
                "gateway": "gw1-0f", "servers": "nats1:4222, nats2:4222", "contact": "open",
                "since": "2026-02-03T05:00:06Z", "lead": "ours", "leader": "gw1-0f",
                "gateways": [
                    { "name": "gw1-0f", "seen_at": "2026-02-03T05:05:05Z" },
                    { "name": "gw2-1e", "seen_at": "2026-02-03T05:05:03Z" },
                ],
                "replicas": { "wanted": 3, "current": 2 }, "local": { "messages": 0, "bytes": 0 },
            },
            "credentials": [
                { "kind": "client_secret", "name": "smarthost", "end": "2026-02-05T05:05:06Z" },
                { "kind": "server_certificate", "name": "mx", "end": "2026-02-01T00:00:00Z" },
            ],
            "destinations": [{
                "name": "smarthost", "state": "up", "since": "2026-02-03T05:00:00Z", "in_flight": 0,
                "last_reply": { "at": "2026-02-03T05:00:00Z", "outcome": "delayed", "text": "later\u{1b}[2J" },
            }],
        });
        let status: Status = serde_json::from_value(status).unwrap();
        let lines = lines(&status, "2026-02-03T05:05:06Z".parse().unwrap());
        assert_eq!(
            lines,
            [
                "mailslotd 1.2.3 on gw1.plant.example, process 77: ready, since 2026-02-03 04:05:06Z (1 h)",
                "Hears UDP 138 on 192.0.2.1:138, UDP 137 on 192.0.2.1:137, TCP 139 on 192.0.2.1:139 (1 connection, \
                 7 messages accepted); monitors and the page on http://127.0.0.1:9138/",
                "Spool: 1 message, 4.0 KiB; 1 copy waits, the oldest for 35 min, 0 failed, 0 held, 0 corrupt",
                "Group: NATS (nats1:4222, nats2:4222) answers, for 5 min; 2 of 3 replicas are up to date",
                "Group: 2 gateways live: gw1-0f (this one, leads, seen 1 s ago), gw2-1e (seen 3 s ago)",
                "Messages that are heard pass for another 7 d; see `mailslotd mailslots status`",
                "Ends on 2026-02-05, in 2 d: the client secret of smarthost",
                "Over since 2026-02-01: the certificate of mx; make another and put it in its place",
                "Messages in the last 30 days from: CNC-07 and 2 others",
                "",
                "NAME        CLAIM",
                "GW1<20>     claimed",
                "ALERTS<03>  conflict",
                "",
                "LISTENER  ADDRESS           CONNECTIONS  ACCEPTED",
                "mx        192.0.2.1:25      3            12",
                "mx        [2001:db8::1]:25",
                "",
                "DESTINATION  STATE  FOR    WAIT  FAILED  WHY, OR LAST REPLY",
                "smarthost    up     5 min  1     0       delayed: later\\u{1b}[2J",
            ]
        );
    }
}
