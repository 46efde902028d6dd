//! What two configurations differ in, by the keys that the operator wrote.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The keys that differ between two configurations as [`super::show::show`] writes them, each named as problems name
/// it: `netbios.dedup_window`, `rules "ups-alarms" deliver`. What was added or removed is named itself, not its parts.
#[must_use]
pub fn changed_keys(before: &Value, after: &Value) -> Vec<String> {
    let mut changed = Vec::new();
    compare("", before, after, &mut changed);
    changed
}

fn compare(path: &str, before: &Value, after: &Value, changed: &mut Vec<String>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => compare_maps(path, before, after, changed),
        (Value::Array(before), Value::Array(after)) => match (named(before), named(after)) {
            (Some(before), Some(after)) => compare_named(path, &before, &after, changed),
            (None, _) | (_, None) => changed.push(path.to_owned()),
        },
        _ => changed.push(path.to_owned()),
    }
}

fn compare_maps(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changed: &mut Vec<String>,
) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let joint = match path.chars().last() {
            None => "",
            Some('"') => " ",
            Some(_) => ".",
        };
        let path = format!("{path}{joint}{key}");
        match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => compare(&path, before, after, changed),
            (Some(_), None) | (None, Some(_)) => changed.push(path),
            (None, None) => {}
        }
    }
}

/// A list whose items have names is compared by these; that their order is another one is a change of the list.
fn compare_named(path: &str, before: &[(&str, &Value)], after: &[(&str, &Value)], changed: &mut Vec<String>) {
    let of = |list: &[(&str, &Value)]| list.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let (names_before, names_after) = (of(before), of(after));
    let all: BTreeSet<&String> = names_before.iter().chain(&names_after).collect();
    let is_sorted_alike = || {
        let kept = |names: &[String], among: &[String]| {
            names.iter().filter(|name| among.contains(name)).cloned().collect::<Vec<_>>()
        };
        kept(&names_before, &names_after) == kept(&names_after, &names_before)
    };
    if !is_sorted_alike() {
        changed.push(path.to_owned());
    }
    for name in all {
        let item = |list: &[(&str, &Value)]| {
            list.iter().find(|(known, _)| known == name).map(|(_, value)| (*value).clone())
        };
        let path = format!("{path} {name:?}");
        match (item(before), item(after)) {
            (Some(before), Some(after)) => compare(&path, &before, &after, changed),
            (Some(_), None) | (None, Some(_)) => changed.push(path),
            (None, None) => {}
        }
    }
}

/// The items of a list with their names; `None` where one has none.
fn named(list: &[Value]) -> Option<Vec<(&str, &Value)>> {
    list.iter().map(|item| Some((item.get("name")?.as_str()?, item))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_the_same_is_not_told() {
        let configuration = json!({ "rules": [{ "name": "a" }], "retry": { "first": "30s" } });
        assert!(changed_keys(&configuration, &configuration).is_empty());
    }

    #[test]
    fn keys_are_named_as_the_operator_wrote_them() {
        let before = json!({
            "site": "a",
            "netbios": { "dedup_window": "5s", "allow": "on-link", "names": ["A"] },
            "destinations": { "smarthost": { "submission": { "host": "a" } }, "old": { "maildir": {} } },
        });
        let after = json!({
            "netbios": { "dedup_window": "9s", "allow": ["192.0.2.0/24"], "names": ["A", "B"] },
            "destinations": { "smarthost": { "submission": { "host": "b" } }, "new": { "maildir": {} } },
        });
        assert_eq!(
            changed_keys(&before, &after),
            [
                "destinations.new",
                "destinations.old",
                "destinations.smarthost.submission.host",
                "netbios.allow",
                "netbios.dedup_window",
                "netbios.names",
                "site",
            ]
        );
    }

    #[test]
    fn rules_are_compared_by_their_names_and_their_order_counts() {
        let rule = |name: &str, discard: &str| json!({ "name": name, "discard": discard });
        let rules = |rules: &[Value]| json!({ "rules": rules });
        let before = rules(&[rule("a", "x"), rule("b", "x"), rule("end", "x")]);
        let changed = changed_keys(&before, &rules(&[rule("a", "y"), rule("c", "x"), rule("end", "x")]));
        assert_eq!(changed, ["rules \"a\" discard", "rules \"b\"", "rules \"c\""]);
        let changed = changed_keys(&before, &rules(&[rule("b", "x"), rule("a", "x"), rule("end", "x")]));
        assert_eq!(changed, ["rules"]);
    }
}
