use super::*;
use crate::admin::api::{DestinationStatus, LastReply, SpoolStatus};
use crate::credentials::Credential;
use crate::telemetry::metrics::CredentialKind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn status() -> Status {
    let destination = |name: &str, state: &str| DestinationStatus {
        name: name.parse().unwrap(),
        state: state.to_owned(),
        since: at(0),
        reason: None,
        in_flight: 0,
        last_delivery: None,
        last_reply: None,
    };
    let copies = serde_json::json!([
        { "destination": "smarthost", "state": "queued", "copies": 3 },
        { "destination": "smarthost", "state": "failed", "copies": 1 },
        { "destination": "gone", "state": "queued", "copies": 2 },
    ]);
    Status {
        version: "1.2.3".to_owned(),
        hostname: Some("gw1.plant.example".to_owned()),
        pid: 77,
        started_at: at(-7260),
        stage: Stage::Ready,
        datagram: "192.0.2.1:138".parse().unwrap(),
        admin: "127.0.0.1:9138".parse().unwrap(),
        smtp: Vec::new(),
        netbios: serde_json::from_value(serde_json::json!({
            "name_service": "192.0.2.1:137",
            "names": [{ "name": "GW1<20>", "state": "claimed" }, { "name": "ALERTS<03>", "state": "conflict" }],
            "sessions": { "address": "192.0.2.1:139", "connections": 2, "accepted": 12 },
        }))
        .unwrap(),
        mailslots: Vec::new(),
        heard_lately: None,
        spool: SpoolStatus {
            refuses: None,
            refuses_mail: None,
            messages: 5,
            bytes: 2048,
            oldest_waiting: Some(at(-300)),
            copies: serde_json::from_value(copies).unwrap(),
        },
        group: None,
        destinations: vec![destination("inbox", "up"), destination("smarthost", "operator_fault")],
        credentials: Vec::new(),
    }
}

fn tarpit() -> TarpitStatus {
    let network = serde_json::json!({
        "network": "203.0.113.0/24", "owed_seconds": 45, "waiting": 2, "refusals": 9, "delayed_replies": 8,
        "delay_seconds": 3700, "gave_up": 1, "last_seen": at(-30),
    });
    TarpitStatus {
        time_seconds: 5,
        waiting: 4,
        delayed_replies: 8,
        proved_good: 1,
        most_responsible: vec![serde_json::from_value(network).unwrap()],
        ..TarpitStatus::default()
    }
}

fn page(status: &Status, tarpit: &TarpitStatus) -> String {
    render(&Facts { status, tarpit, now: at(0) })
}

#[test]
fn it_tells_at_a_glance_what_waits_and_why_and_who_is_held() {
    let mut status = status();
    status.destinations[1].reason = Some("it refuses the password".to_owned());
    let page = page(&status, &tarpit());
    for told in [
        "<title>gw1.plant.example: ready</title>",
        "up for 2 h 1 min",
        "<dt>Messages</dt><dd>5</dd>",
        "<dt>The oldest has waited for</dt><dd>5 min</dd>",
        "<dt>Sessions, TCP 139</dt><dd>192.0.2.1:139</dd>",
        "<td>GW1&lt;20&gt;</td><td><span class=\"good\">claimed</span></td>",
        "<td>ALERTS&lt;03&gt;</td><td><span class=\"bad\">conflict</span></td>",
        "2 copies wait for destinations that are not configured.",
        "<span class=\"bad\">operator fault</span>",
        "it refuses the password",
        "<td>203.0.113.0/24</td><td class=\"figure\">45 s</td>",
        "<td>30 s ago</td>",
        "1 network that was delayed proved good later.",
    ] {
        assert!(page.contains(told), "{told} in {page}");
    }
}

#[test]
fn secrets_and_certificates_that_end_stand_at_the_top() {
    let mut status = status();
    let credential = |name: &str, end: Timestamp| Credential {
        kind: CredentialKind::ClientSecret,
        name: name.to_owned(),
        end,
    };
    status.credentials = vec![credential("smarthost", at(-1)), credential("m365", at(86_400))];
    let page = page(&status, &tarpit());
    assert!(page.contains("<span class=\"bad\">the client secret of smarthost ended on "), "{page}");
    assert!(page.contains("the client secret of m365 ends on "), "{page}");
}

#[test]
fn what_others_said_stays_text() {
    let mut status = status();
    let evil = "<img src=x onerror=alert(1)>\"'&\u{202E}";
    let reply = LastReply { at: at(-1), outcome: "failed".to_owned(), text: evil.to_owned() };
    (status.destinations[0].last_reply, status.destinations[0].reason) = (Some(reply), Some(evil.to_owned()));
    (status.spool.refuses, status.hostname) = (Some(evil.to_owned()), Some(evil.to_owned()));
    let page = page(&status, &tarpit());
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;\\u{202e}"), "{page}");
    assert!(!page.contains("<img") && !page.contains('\u{202E}'), "{page}");
}

#[test]
fn a_reply_that_names_a_recipient_is_not_shown_to_everybody_on_this_host() {
    let mut status = status();
    let text = "550 5.1.1 <jane@corp.example>: no such user".to_owned();
    let outcome = "failed".to_owned();
    status.destinations[0].last_reply = Some(LastReply { at: at(-300), outcome, text });
    let page = page(&status, &tarpit());
    assert!(page.contains("failed 5 min ago") && !page.contains("jane"), "{page}");
    assert_eq!(status.destinations.remove(0).without_words().last_reply, None);
}

#[test]
fn nothing_in_it_runs_or_comes_from_elsewhere() {
    let page = page(&status(), &tarpit());
    for absent in
        ["<script", "http://", "https://", "src=", "url(", "@import", " style=", " on", "javascript:"]
    {
        let absent_in_markup =
            page.split('>').filter_map(|part| part.split_once('<')).all(|(_, tag)| !tag.contains(absent));
        assert!(absent_in_markup, "{absent}");
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
}

#[test]
fn a_browser_is_told_to_load_and_run_nothing_but_the_style() {
    let (status, tarpit) = (status(), tarpit());
    let response = response(&Facts { status: &status, tarpit: &tarpit, now: at(0) });
    let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    let style = STANDARD.encode(Sha256::digest(STYLE));
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains(&style) && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    let page = page(&status, &tarpit);
    assert!(page.contains(&format!("<style>{STYLE}</style>")), "the hash is of what stands there");
}

#[test]
fn a_gateway_that_refuses_or_stops_says_so_first() {
    let mut status = status();
    status.spool.refuses_mail = Some("the share of mail is used up".to_owned());
    let refusing = page(&status, &tarpit());
    assert!(refusing.contains("<title>gw1.plant.example: refuses mail</title>"), "{refusing}");
    assert!(refusing.contains("the share of mail is used up"), "{refusing}");
    status.spool.refuses = Some("the disk is full".to_owned());
    assert!(page(&status, &tarpit()).contains("<title>gw1.plant.example: refuses messages</title>"));
    status.stage = Stage::Stopping;
    assert!(page(&status, &tarpit()).contains("<span class=\"warning\">stopping</span>"));
}

#[test]
fn a_tar_pit_that_held_nobody_says_only_that() {
    let untouched = TarpitStatus { time_seconds: 5, ..TarpitStatus::default() };
    let page = page(&status(), &untouched);
    assert!(page.contains("It has held nobody yet.") && !page.contains("Delayed replies"), "{page}");
}
