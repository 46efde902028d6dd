//! `mailslotd explain relay`: may this client send this, by what, and why not by the other methods.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::cli::load::{Reading, load_or_tell};
use crate::cli::output::{answer, note};
use crate::config::check::spelled;
use crate::config::settings::{RecipientSource, SmtpFrontEnd};
use crate::config::users::UsersFile;
use crate::policy::account::{Accounts, Permissions, ServerSecret};
use crate::policy::relay::{
    Bearing, Finding, ListenerPolicy, Method, RelayExplanation, RelayVerdict, SenderVerdict, Supposed,
    explain_relay,
};
use crate::policy::tarpit::Exemption;
use crate::wire::smtp::path::{ForwardPath, Mailbox, PathError, ReversePath};

/// The mail to explain. Nothing is sent and nobody is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The listener that the client comes to
    #[arg(long, value_name = "L")]
    listener: String,
    /// The client's IP address
    #[arg(long, value_name = "IP")]
    client: IpAddr,
    /// MAIL FROM; <> for a report
    #[arg(long, value_name = "A")]
    from: String,
    /// RCPT TO
    #[arg(long, value_name = "B")]
    to: String,
    /// Suppose that the client has authenticated as this account
    #[arg(long, value_name = "U")]
    user: Option<String>,
}

/// Runs the command: done when the message would be accepted, else no.
#[must_use]
pub(super) fn run(args: &Args, global: &Global) -> Exit {
    let loaded = match load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let told = match args.told(&loaded.checked.settings.smtp) {
        Ok(told) => told,
        Err(error) => {
            note(&error);
            return error.exit();
        }
    };
    if global.json {
        answer(serde_json::to_string_pretty(&told).unwrap_or_default());
    } else {
        told.for_people(global).into_iter().for_each(answer);
    }
    if told.allowed { Exit::Done } else { Exit::No }
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
enum Unexplained {
    #[error("there is no SMTP listener {0:?}; {1}")]
    NoListener(String, String),
    #[error("there are no accounts: the configuration has no `users_file`")]
    NoUsersFile,
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Users(String),
    #[error("nobody can authenticate as {user:?}: {} has no enabled account of this name", path.display())]
    NoAccount { user: String, path: PathBuf },
}

impl Unexplained {
    const fn exit(&self) -> Exit {
        match self {
            Self::NoListener(..) | Self::NoUsersFile => Exit::Usage,
            Self::Unreadable { .. } | Self::Users(_) | Self::NoAccount { .. } => Exit::BadInput,
        }
    }
}

impl Args {
    fn told(&self, smtp: &SmtpFrontEnd) -> Result<Told, Unexplained> {
        let listener = self.listener(smtp)?;
        let accounts = match (&self.user, &smtp.users_file) {
            (None, _) => None,
            (Some(_), None) => return Err(Unexplained::NoUsersFile),
            (Some(user), Some(path)) => Some((user, path, accounts(path)?)),
        };
        let account =
            match &accounts {
                None => None,
                Some((user, path, accounts)) => Some(accounts.permissions_of(user).ok_or_else(|| {
                    Unexplained::NoAccount { user: (*user).clone(), path: (*path).clone() }
                })?),
            };
        let paths = reverse_path(&self.from)
            .map_err(|error| ("MAIL", error))
            .and_then(|from| Ok((from, forward_path(&self.to).map_err(|error| ("RCPT", error))?)));
        Ok(match paths {
            Ok((from, to)) => self.explained(smtp, listener, account, &from, &to),
            Err((command, error)) => Told::no_address(command, &error),
        })
    }

    fn listener<'s>(&self, smtp: &'s SmtpFrontEnd) -> Result<&'s ListenerPolicy, Unexplained> {
        let all = || {
            let sockets = smtp.listeners.iter().map(|listener| &*listener.policy);
            sockets.chain(smtp.pickup.iter().map(|pickup| &*pickup.policy))
        };
        all().find(|policy| policy.name.as_str() == self.listener).ok_or_else(|| {
            let names: Vec<&str> = all().map(|policy| policy.name.as_str()).collect();
            let there = match &*names {
                [] => "the configuration has none".to_owned(),
                names => format!("the configuration has {}", names.join(", ")),
            };
            Unexplained::NoListener(self.listener.clone(), there)
        })
    }

    fn explained(
        &self,
        smtp: &SmtpFrontEnd,
        listener: &ListenerPolicy,
        account: Option<&Permissions>,
        from: &ReversePath,
        to: &ForwardPath,
    ) -> Told {
        let supposed =
            Supposed { listener, client: self.client, account, reverse_path: from, forward_path: to };
        let RelayExplanation { sender, relay, findings } = explain_relay(&smtp.relay, supposed);
        let outcome = Outcome::of(sender, relay, to);
        let filter = match (&outcome, relay) {
            (Outcome::Allowed { .. }, RelayVerdict::AcceptedDomain) => Some(filter(&smtp.recipients)),
            _ => None,
        };
        let tar_pit = match account {
            Some(_) => "never, since the client has authenticated".to_owned(),
            None => tar_pit(smtp, listener, self.client),
        };
        Told {
            allowed: matches!(outcome, Outcome::Allowed { .. }),
            outcome,
            findings,
            recipients: filter,
            tar_pit: Some(tar_pit),
        }
    }
}

fn accounts(path: &Path) -> Result<Accounts, Unexplained> {
    let text = fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|source| Unexplained::Unreadable { path: path.to_owned(), source })?;
    let file = UsersFile::read(&path.display().to_string(), &text)
        .map_err(|problems| Unexplained::Users(problems.to_string()))?;
    // The secret matters to those who do not know a password; nobody logs in here.
    file.into_accounts(ServerSecret::new([0; 32])).map_err(|error| Unexplained::Users(error.to_string()))
}

fn reverse_path(text: &str) -> Result<ReversePath, PathError> {
    match bare(text) {
        "" => Ok(ReversePath::Null),
        mailbox => Mailbox::parse(mailbox).map(ReversePath::Mailbox),
    }
}

fn forward_path(text: &str) -> Result<ForwardPath, PathError> {
    match bare(text) {
        postmaster if postmaster.eq_ignore_ascii_case("postmaster") => Ok(ForwardPath::Postmaster),
        mailbox => Mailbox::parse(mailbox).map(ForwardPath::Mailbox),
    }
}

/// Without the brackets of a path.
fn bare(text: &str) -> &str {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text)
}

/// Who says whether recipients of accepted domains exist; empty: nobody.
fn filter(sources: &[RecipientSource]) -> Vec<String> {
    let named = |source: &RecipientSource| match source {
        RecipientSource::List(_) => "the list in the configuration".to_owned(),
        RecipientSource::File(path) => path.display().to_string(),
        RecipientSource::Ldap(ldap) => ldap.url.clone(),
        RecipientSource::CallForward(next_hop) => format!("{}:{}", next_hop.host, next_hop.port),
    };
    sources.iter().map(named).collect()
}

fn tar_pit(smtp: &SmtpFrontEnd, listener: &ListenerPolicy, client: IpAddr) -> String {
    let policy = &smtp.tarpit;
    match policy.exemption(listener, client) {
        Some(Exemption::Off) => "off".to_owned(),
        Some(Exemption::TrustedNetwork(network)) => {
            format!("never, since {client} is in the trusted network {network}")
        }
        Some(Exemption::Network(network)) => {
            format!("never, since {client} is in the exempt network {network}")
        }
        None => {
            let network = policy.prefixes.network_of(client);
            format!("refusals are held for {} or more, counted for {network}", spelled(policy.time))
        }
    }
}

/// What is told of a message.
#[derive(Debug, Serialize)]
struct Told {
    allowed: bool,
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    /// Who is asked next whether the recipient exists; empty: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tar_pit: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Allowed { by: &'static str },
    Refused { command: &'static str, reason: &'static str, reply: String },
    NoAddress { command: &'static str, reason: &'static str, words: String },
}

impl Outcome {
    fn of(sender: SenderVerdict, relay: RelayVerdict, to: &ForwardPath) -> Self {
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
    fn no_address(command: &'static str, error: &PathError) -> Self {
        let words = error.to_string();
        let outcome = Outcome::NoAddress { command, reason: "no_address", words };
        Self { allowed: false, outcome, findings: Vec::new(), recipients: None, tar_pit: None }
    }

    fn for_people(&self, global: &Global) -> Vec<String> {
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
        match self.recipients.as_deref() {
            None => {}
            Some([]) => lines.push(row("recipients", "no filter: every address of the domain is taken")),
            Some(sources) => lines.push(row(
                "recipients",
                &format!("asked next, unknown ones get 550 5.1.1: {}", sources.join(", ")),
            )),
        }
        lines.extend(self.tar_pit.iter().map(|words| row("tar pit", words)));
        lines
    }
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

#[cfg(test)]
mod tests;
