//! What is told of a message: its outcome, and why.

use serde::Serialize;

use super::limits::Limit;
use super::recipients::Filter;
use crate::cli::Global;
use crate::policy::relay::{Bearing, Finding, Method, RelayVerdict, SenderVerdict};
use crate::wire::smtp::path::{ForwardPath, PathError};

/// What is told of a message.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) allowed: bool,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
    /// Whether the verdict hangs on whether the recipient exists.
    #[serde(skip)]
    pub(super) asks_for_the_recipient: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recipients: Option<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) limits: Vec<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tar_pit: Option<String>,
}

/// What would come of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Allowed { by: &'static str },
    Refused { command: &'static str, reason: &'static str, reply: String },
    NoAddress { command: &'static str, reason: &'static str, words: String },
}

impl Outcome {
    pub(super) fn of(sender: SenderVerdict, relay: RelayVerdict, to: &ForwardPath) -> Self {
        if let SenderVerdict::Refused(refusal) = sender {
            let reply = format!("{} {} {refusal}", refusal.code(), refusal.status());
            return Self::Refused { command: "MAIL", reason: refusal.as_str(), reply };
        }
        match relay {
            RelayVerdict::Postmaster => Self::Allowed { by: "postmaster" },
            RelayVerdict::AcceptedDomain => Self::Allowed { by: "accepted_domain" },
            RelayVerdict::Authenticated => Self::Allowed { by: "authenticated" },
            RelayVerdict::TrustedNetwork { .. } => Self::Allowed { by: "trusted_network" },
            RelayVerdict::Denied(refusal) => {
                let reply = format!("{} {} <{to}>: {refusal}", refusal.code(), refusal.status());
                Self::Refused { command: "RCPT", reason: refusal.as_str(), reply }
            }
        }
    }
}

impl Told {
    /// An address that no rule is asked about.
    pub(super) fn no_address(command: &'static str, error: &PathError) -> Self {
        let words = error.to_string();
        let outcome = Outcome::NoAddress { command, reason: "no_address", words };
        Self {
            allowed: false,
            outcome,
            findings: Vec::new(),
            asks_for_the_recipient: false,
            recipients: None,
            limits: Vec::new(),
            tar_pit: None,
        }
    }

    /// Takes what the sources of recipients say of the recipient.
    pub(super) fn hear(&mut self, filter: Filter, to: &ForwardPath) {
        if let Some((reason, reply)) = filter.refusal(to) {
            self.allowed = false;
            self.outcome = Outcome::Refused { command: "RCPT", reason, reply };
        }
        self.recipients = Some(filter);
    }

    pub(super) fn for_people(&self, global: &Global) -> Vec<String> {
        let mut lines = vec![match &self.outcome {
            Outcome::Allowed { by } => format!("allowed: {}", by.replace('_', " ")),
            Outcome::Refused { command, reply, .. } => format!("refused at {command}: {reply}"),
            Outcome::NoAddress { command, words, .. } => {
                format!("refused at {command}, before any rule is asked: {words}")
            }
        }];
        for Finding { method, bearing, words, rules } in &self.findings {
            let bearing = match bearing {
                Bearing::Decides => "decides: ",
                Bearing::Refuses => "refuses: ",
                Bearing::Agrees | Bearing::Silent => "",
            };
            lines.push(row(label(*method), &format!("{bearing}{words}")));
            if global.verbose > 0 {
                let rule =
                    |holds, rule| row("", &format!("{} {rule}", if holds { "holds" } else { "not  " }));
                lines.extend(rules.iter().map(|finding| rule(finding.holds, &finding.rule)));
            }
        }
        lines.extend(rows("recipients", self.recipients.iter().flat_map(Filter::for_people)));
        lines.extend(rows("limits", self.limits.iter().map(ToString::to_string)));
        lines.extend(self.tar_pit.iter().map(|words| row("tar pit", words)));
        lines
    }
}

/// A row for each, of which the first has the label.
fn rows(label: &str, words: impl IntoIterator<Item = String>) -> Vec<String> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(words).map(|(label, words)| row(label, &words)).collect()
}

fn row(label: &str, words: &str) -> String {
    format!("  {label:<11} {words}")
}

const fn label(method: Method) -> &'static str {
    match method {
        Method::Sender => "sender",
        Method::Domain => "domain",
        Method::Authentication => "AUTH",
        Method::Network => "network",
        Method::Route => "route",
    }
}
