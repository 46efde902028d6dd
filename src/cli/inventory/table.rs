//! Clients as they are shown.

use serde::Serialize;

use super::form;
use crate::inventory::{Reason, SmtpClient, Verdict, verdict_of};

/// A client and whether it could go to the provider directly.
#[derive(Debug, Serialize)]
pub(super) struct Judged<'a> {
    #[serde(flatten)]
    client: &'a SmtpClient,
    could_go_directly: bool,
    reasons: Vec<Reason>,
}

impl<'a> Judged<'a> {
    pub(super) fn of(client: &'a SmtpClient) -> Self {
        let reasons = match verdict_of(client) {
            Verdict::CouldGoDirectly => Vec::new(),
            Verdict::NeedsGateway(reasons) => reasons,
        };
        Self { client, could_go_directly: reasons.is_empty(), reasons }
    }

    fn words(&self) -> String {
        let words: Vec<String> = self.reasons.iter().map(Reason::to_string).collect();
        words.join("; ")
    }

    fn row(&self) -> [String; 8] {
        let client = self.client;
        [
            client.address.to_string(),
            client.listener.to_string(),
            client.client_name.clone().unwrap_or_default(),
            client.reverse_path.clone().unwrap_or_default(),
            client.messages.to_string(),
            client.refused.to_string(),
            client.last_seen.strftime("%Y-%m-%d %H:%M").to_string(),
            if self.could_go_directly { "yes".to_owned() } else { format!("no: it {}", self.words()) },
        ]
    }
}

/// The heading and a line for each client, columns aligned.
pub(super) fn rows(judged: &[Judged<'_>]) -> Vec<String> {
    let heading =
        ["ADDRESS", "LISTENER", "NAME", "SENDER", "MESSAGES", "REFUSED", "LAST SEEN", "COULD GO DIRECTLY"];
    form::table(heading, judged.iter().map(Judged::row).collect())
}

/// The heading and a record for each client (RFC 4180), without line ends.
pub(super) fn csv(judged: &[Judged<'_>]) -> Vec<String> {
    let heading = [
        "address",
        "listener",
        "acquaintance",
        "client_name",
        "reverse_path",
        "tls",
        "mechanism",
        "account",
        "quirks",
        "largest_message",
        "messages",
        "refused",
        "first_seen",
        "last_seen",
        "could_go_directly",
        "reasons",
    ];
    let records = judged.iter().map(|judged| {
        let client = judged.client;
        let acquaintance = serde_json::to_value(client.acquaintance).ok();
        [
            client.address.to_string(),
            client.listener.to_string(),
            acquaintance.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default(),
            client.client_name.clone().unwrap_or_default(),
            client.reverse_path.clone().unwrap_or_default(),
            client.tls.to_string(),
            client.mechanism.clone().unwrap_or_default(),
            client.account.clone().unwrap_or_default(),
            client.quirks.quirks().to_string(),
            client.largest_message.to_string(),
            client.messages.to_string(),
            client.refused.to_string(),
            client.first_seen.to_string(),
            client.last_seen.to_string(),
            judged.could_go_directly.to_string(),
            judged.words(),
        ]
    });
    form::csv(heading, records.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, name: &str, tls: &str) -> SmtpClient {
        let json = serde_json::json!({
            "listener": "devices", "address": address, "acquaintance": "own", "client_name": name,
            "reverse_path": "scan@corp.example", "tls": tls, "mechanism": "LOGIN", "account": "scanner",
            "quirks": [], "largest_message": 700, "messages": 3, "refused": 0,
            "first_seen": "2026-01-02T03:04:05Z", "last_seen": "2026-02-03T04:05:06Z",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn who_could_go_directly_is_seen_at_a_glance() {
        let clients = [client("192.0.2.7", "scanner7", "TLS 1.2"), client("192.0.2.31", "複合機", "none")];
        let rows = rows(&clients.iter().map(Judged::of).collect::<Vec<_>>());
        assert_eq!(
            rows,
            [
                "ADDRESS     LISTENER  NAME      SENDER             MESSAGES  REFUSED  LAST SEEN         COULD GO DIRECTLY",
                "192.0.2.7   devices   scanner7  scan@corp.example  3         0        2026-02-03 04:05  yes",
                "192.0.2.31  devices   複合機    scan@corp.example  3         0        2026-02-03 04:05  no: it uses no TLS here",
            ]
        );
    }

    #[test]
    fn what_a_client_calls_itself_is_neither_a_formula_nor_another_cell() {
        let clients = [client("192.0.2.7", "=HYPERLINK(\"http://x\",1)", "TLS 1.3")];
        let lines = csv(&clients.iter().map(Judged::of).collect::<Vec<_>>());
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains(",\"'=HYPERLINK(\"\"http://x\"\",1)\","), "{}", lines[1]);
        assert!(lines[1].ends_with(",true,"), "{}", lines[1]);
    }

    #[test]
    fn json_has_the_verdict_beside_the_facts() {
        let client = client("192.0.2.7", "scanner7", "failed: offers at most TLS 1.0");
        let json = serde_json::to_value(Judged::of(&client)).unwrap();
        assert_eq!(json["could_go_directly"], false);
        assert_eq!(json["reasons"][0], "offers at most TLS 1.0; TLS 1.2 is needed");
        assert_eq!(json["tls"], "failed: offers at most TLS 1.0");
    }
}
