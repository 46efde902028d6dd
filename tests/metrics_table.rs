//! Everything that speaks of a metric speaks of one that exists: README, alert rules, dashboard.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mailslotd::session::netbios_session::Ending;
use mailslotd::session::smtp_server::Denial;
use mailslotd::telemetry::metrics::messenger::{SessionMessageOutcome, SessionRefusal};
use mailslotd::telemetry::metrics::smtp::{AuthOutcome, CLASSES, MessageOutcome, Refusal, TurnedAway};
use mailslotd::telemetry::metrics::{
    ConflictWith, CredentialKind, DeliveryResult, DestinationState, DropReason, NameState, ReportKind,
    ReportOutcome, SpoolState, TABLE,
};
use regex::Regex;
use serde_json::Value;

#[test]
fn the_readmes_table_is_that_of_the_code() {
    let readme = read("README.md");
    let expected = markdown_table();
    assert!(
        readme.contains(&expected),
        "README.md has another table of metrics; it should be:\n\n{expected}"
    );
}

#[test]
fn every_metric_that_the_readme_names_exists() {
    assert_eq!(unknown_metrics(&read("README.md")), BTreeSet::new());
}

#[test]
fn alert_rules_are_complete_and_their_expressions_name_what_exists() {
    let text = read("deploy/alerts.yaml");
    let file: Value = serde_yaml::from_str(&text).unwrap();
    let rules: Vec<&Value> =
        array(&file, "/groups").iter().flat_map(|group| array(group, "/rules")).collect();
    assert!(rules.len() >= 5, "{} rules", rules.len());
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        for field in ["/labels/severity", "/annotations/summary", "/annotations/description"] {
            assert!(rule.pointer(field).is_some_and(Value::is_string), "{name}: no {field}");
        }
        check_expression(name, rule["expr"].as_str().unwrap());
    }
    assert_eq!(unknown_metrics(&text), BTreeSet::new());
}

#[test]
fn every_panel_of_the_dashboard_names_what_exists() {
    let text = read("deploy/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = array(&dashboard, "/panels");
    assert!(panels.len() >= 4, "{} panels", panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        for target in array(panel, "/targets") {
            check_expression(title, target["expr"].as_str().unwrap());
        }
    }
    assert_eq!(unknown_metrics(&text), BTreeSet::new());
}

#[test]
fn a_metric_nobody_declared_and_a_label_it_lacks_are_noticed() {
    let text = "see mailslotd_datagrams_received_total and mailslotd_gone_total{x=\"1\"}";
    assert_eq!(unknown_metrics(text), BTreeSet::from(["mailslotd_gone_total".to_owned()]));
    assert_eq!(unknown_metrics("mailslotd_spool_commit_seconds_bucket"), BTreeSet::new());
    let groups = "sum by (reason, job, why) (rate(mailslotd_datagrams_dropped_total[5m]))";
    assert_eq!(wrong_groups(groups), ["why"]);
    for (expression, wrong) in [
        (r#"rate(mailslotd_datagrams_dropped_total{why="kernel"}[5m]) > 0"#, "label why"),
        (r#"rate(mailslotd_datagrams_dropped_total{reason="kernl"}[5m]) > 0"#, "value kernl"),
        (r#"mailslotd_destination_state{state!~"up|sleeping"} == 1"#, "value sleeping"),
    ] {
        let [found] = wrong_selectors(expression).try_into().unwrap();
        assert!(found.contains(wrong), "{found}");
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn array<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no list {pointer} in {value}"))
}

fn markdown_table() -> String {
    let mut table = String::from("| metric | labels | meaning |\n|---|---|---|\n");
    for (name, labels, help) in TABLE {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}` | {} | {help} |", labels.join(", ")).unwrap();
    }
    table
}

/// The metrics in a text that nobody declared; the parts of a histogram count as declared.
fn unknown_metrics(text: &str) -> BTreeSet<String> {
    let declared = |name: &str| TABLE.iter().any(|(known, ..)| *known == name);
    Regex::new(r"\bmailslotd_[a-z0-9_]+")
        .unwrap()
        .find_iter(text)
        .map(|found| found.as_str())
        .filter(|name| !declared(name))
        .filter(|name| {
            !["_bucket", "_sum", "_count"].iter().any(|part| histogram(name, part).is_some_and(declared))
        })
        .map(str::to_owned)
        .collect()
}

fn histogram<'a>(name: &'a str, part: &str) -> Option<&'a str> {
    name.strip_suffix(part).filter(|name| name.ends_with("_seconds"))
}

fn check_expression(place: &str, expression: &str) {
    assert!(expression.contains("mailslotd"), "{place}: `{expression}` asks for nothing of ours");
    assert_eq!(wrong_selectors(expression), Vec::<String>::new(), "{place}: {expression}");
    assert_eq!(wrong_groups(expression), Vec::<String>::new(), "{place}: {expression}");
}

/// Labels in `by (…)` that no metric of the expression has.
fn wrong_groups(expression: &str) -> Vec<String> {
    let groups = Regex::new(r"\bby \(([^)]*)\)").unwrap();
    let names = Regex::new(r"\bmailslotd_[a-z0-9_]+").unwrap();
    let named: Vec<&str> = names.find_iter(expression).map(|name| name.as_str()).collect();
    let has = |label: &str| {
        TABLE.iter().filter(|(name, ..)| named.contains(name)).any(|(_, labels, _)| labels.contains(&label))
    };
    let labels = groups
        .captures_iter(expression)
        .flat_map(|group| group[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
    labels.filter(|label| !has(label) && !matches!(&**label, "le" | "job" | "instance")).collect()
}

/// Labels and values in `{…}` behind our metrics that do not exist.
fn wrong_selectors(expression: &str) -> Vec<String> {
    let selector = Regex::new(r"\b(mailslotd_[a-z0-9_]+)\{([^}]*)\}").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let mut wrong = Vec::new();
    for found in selector.captures_iter(expression) {
        let name = &found[1];
        let labels = TABLE.iter().find(|(known, ..)| *known == name).map_or(&[][..], |(_, labels, _)| labels);
        for label in matcher.captures_iter(&found[2]) {
            let (key, values) = (&label[1], &label[2]);
            if !labels.contains(&key) && !matches!(key, "job" | "instance") {
                wrong.push(format!("{name} has no label {key}"));
            }
            let known = known_values(name, key);
            for value in values.split('|').filter(|value| !known.is_empty() && !known.contains(value)) {
                wrong.push(format!("{name} never has the value {value} in {key}"));
            }
        }
    }
    wrong
}

/// The values that a label can take, where the program and not the configuration decides.
fn known_values(metric: &str, label: &str) -> Vec<&'static str> {
    match (metric, label) {
        ("mailslotd_datagrams_dropped_total", "reason") => DropReason::ALL.map(DropReason::as_str).to_vec(),
        ("mailslotd_destination_state", "state") => {
            DestinationState::ALL.map(DestinationState::as_str).to_vec()
        }
        ("mailslotd_netbios_names", "state") => NameState::ALL.map(NameState::as_str).to_vec(),
        ("mailslotd_name_conflicts_total", "with") => ConflictWith::ALL.map(ConflictWith::as_str).to_vec(),
        ("mailslotd_spool_messages", "state") => {
            use SpoolState::{Corrupt, Failed, Held, Queued};
            [Queued, Held, Failed, Corrupt].map(SpoolState::as_str).to_vec()
        }
        ("mailslotd_deliveries_total", "outcome") => {
            use DeliveryResult::{Delayed, Delivered, Expired, Failed};
            [Delivered, Delayed, Failed, Expired].map(DeliveryResult::as_str).to_vec()
        }
        ("mailslotd_smtp_connections_refused_total", "reason") => Refusal::ALL.map(Refusal::as_str).to_vec(),
        ("mailslotd_tarpit_turned_away_total", "reason") => TurnedAway::ALL.map(TurnedAway::as_str).to_vec(),
        ("mailslotd_smtp_auth_total", "outcome") => AuthOutcome::ALL.map(AuthOutcome::as_str).to_vec(),
        ("mailslotd_credential_expiry_timestamp_seconds", "kind") => {
            CredentialKind::ALL.map(CredentialKind::as_str).to_vec()
        }
        ("mailslotd_reports_total", "kind") => ReportKind::ALL.map(ReportKind::as_str).to_vec(),
        ("mailslotd_reports_total", "outcome") => ReportOutcome::ALL.map(ReportOutcome::as_str).to_vec(),
        ("mailslotd_smtp_denied_total", "reason") => Denial::ALL.to_vec(),
        ("mailslotd_smtp_messages_total", "outcome") => {
            MessageOutcome::ALL.map(MessageOutcome::as_str).to_vec()
        }
        ("mailslotd_smtp_replies_total", "class") => CLASSES.to_vec(),
        ("mailslotd_messenger_connections_refused_total", "reason") => {
            SessionRefusal::ALL.map(SessionRefusal::as_str).to_vec()
        }
        ("mailslotd_messenger_sessions_ended_total", "ending") => Ending::ALL.map(Ending::as_str).to_vec(),
        ("mailslotd_messenger_messages_total", "outcome") => {
            SessionMessageOutcome::ALL.map(SessionMessageOutcome::as_str).to_vec()
        }
        (_, "class") => vec!["notice", "mail"],
        _ => Vec::new(),
    }
}
