//! `mailslotd explain relay`: may this client send this, by what, and why not by the other methods.

mod limits;
mod recipients;
mod told;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::cli::exit::Exit;
use crate::cli::load::{LoadError, Loaded, Reading, load, load_or_tell};
use crate::cli::output::{answer, note};
use crate::cli::{Global, awaited};
use crate::config::check::spelled;
use crate::config::settings::{Settings, SmtpFrontEnd};
use crate::config::users::UsersFile;
use crate::directory::{Asker, SetupError};
use crate::policy::account::{Accounts, ServerSecret};
use crate::policy::relay::{ListenerPolicy, RelayExplanation, RelayVerdict, Supposed, explain_relay};
use crate::policy::tarpit::Exemption;
use crate::wire::smtp::path::{ForwardPath, Mailbox, PathError, ReversePath};
use recipients::{Filter, Reach};
use told::{Outcome, Told};

/// The mail to explain. Nothing is sent; the sources of recipients are asked, 10 seconds at most
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
    /// Ask no directory and no next hop whether the recipient exists, only lists and files
    #[arg(long)]
    offline: bool,
}

/// Runs the command: done when the message would be accepted, else no.
#[must_use]
pub(super) fn run(args: &Args, global: &Global) -> Exit {
    let (loaded, reach) = match args.load(global) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let told = match awaited(args.told(&loaded.checked.settings, &reach)) {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => {
            note(&error);
            return error.exit();
        }
        Err(exit) => return exit,
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
    #[error("{0}")]
    Recipients(#[from] SetupError),
}

impl Unexplained {
    const fn exit(&self) -> Exit {
        match self {
            Self::NoListener(..) | Self::NoUsersFile => Exit::Usage,
            Self::Unreadable { .. } | Self::Users(_) | Self::NoAccount { .. } => Exit::BadInput,
            Self::Recipients(_) => Exit::Config,
        }
    }
}

impl Args {
    /// The configuration, and who can be asked for recipients with it. Whoever may not read its passwords is told all
    /// that can be said without them.
    fn load(&self, global: &Global) -> Result<(Loaded, Reach), Exit> {
        if self.offline {
            let reach = Reach::ThisHost { why: "--offline".to_owned() };
            return Ok((load_or_tell(global, Reading::WithoutSecrets)?, reach));
        }
        match load(global, Reading::Everything) {
            Err(LoadError::Problems(problems)) => {
                let loaded = load_or_tell(global, Reading::WithoutSecrets)?;
                let first = problems.problems.first().map_or("", |problem| problem.cause());
                Ok((loaded, Reach::ThisHost { why: format!("{first}; try again as the service's user") }))
            }
            Ok(_) | Err(LoadError::Unreadable { .. }) => {
                Ok((load_or_tell(global, Reading::Everything)?, Reach::Network))
            }
        }
    }

    async fn told(&self, settings: &Settings, reach: &Reach) -> Result<Told, Unexplained> {
        let smtp = &settings.smtp;
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
        let (from, to) = match paths {
            Ok(paths) => paths,
            Err((command, error)) => return Ok(Told::no_address(command, &error)),
        };
        let supposed =
            Supposed { listener, client: self.client, account, reverse_path: &from, forward_path: &to };
        let mut told = explained(smtp, supposed);
        if let (true, ForwardPath::Mailbox(recipient)) = (told.asks_for_the_recipient, &to) {
            let is_trusted = listener.trusted_network_of(self.client).is_some();
            let asker = if account.is_some() || is_trusted { Asker::OwnUser } else { Asker::Stranger };
            told.hear(Filter::ask(settings, recipient, asker, reach).await?, &to);
        }
        Ok(told)
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
}

fn explained(smtp: &SmtpFrontEnd, supposed: Supposed<'_>) -> Told {
    let Supposed { listener, client, account, forward_path, .. } = supposed;
    let RelayExplanation { sender, relay, findings } = explain_relay(&smtp.relay, supposed);
    let outcome = Outcome::of(sender, relay, forward_path);
    let is_allowed = matches!(outcome, Outcome::Allowed { .. });
    let tar_pit = match account {
        Some(_) => "never, since the client has authenticated".to_owned(),
        None => tar_pit(smtp, listener, client),
    };
    Told {
        allowed: is_allowed,
        outcome,
        findings,
        asks_for_the_recipient: is_allowed && relay == RelayVerdict::AcceptedDomain,
        recipients: None,
        limits: limits::of(smtp, supposed),
        tar_pit: Some(tar_pit),
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

#[cfg(test)]
mod tests;
