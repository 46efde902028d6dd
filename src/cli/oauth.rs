//! `mailslotd oauth …`: whether tokens can be had and are taken, the login that gives a refresh token, and what an
//! administrator of the provider does before.

mod login;
mod setup;
mod steps;
mod test;

use clap::{Args as ClapArgs, Subcommand};

use super::exit::Exit;
use super::load::{Reading, load_or_tell};
use super::output::note;
use super::{Global, runtime};
use crate::config::settings::{Auth, BearerCredentials, Destination, DestinationKind, OAuth, Settings};
use crate::message::id::DestinationName;

/// Tests and sets up logins by OAuth tokens
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show each step to a token and a login, and what is wrong; sends no mail
    Test {
        /// The destination
        destination: DestinationName,
    },
    /// Log in as a user, with a code to type into any browser, and keep the refresh token
    Login {
        /// The destination, with `grant: refresh-token`
        destination: DestinationName,
    },
    /// Print what an administrator of the provider does, and the configuration that follows
    Setup {
        /// The provider
        provider: setup::Provider,
        /// The mailbox that sends
        #[arg(long, value_name = "ADDRESS")]
        mailbox: String,
        /// The Microsoft tenant: its ID or a domain name
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
}

/// Carries out `oauth …`.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    match args.action {
        Action::Setup { provider, mailbox, tenant } => setup::run(provider, &mailbox, tenant.as_deref()),
        Action::Test { destination } => with(&destination, global, |settings, found| {
            runtime(test::run(&destination, found, settings, global))
        }),
        Action::Login { destination } => with(&destination, global, |settings, found| {
            runtime(login::run(&destination, found.oauth, settings))
        }),
    }
}

/// A destination that logs in by tokens.
#[derive(Debug, Clone, Copy)]
struct Found<'s> {
    destination: &'s Destination,
    oauth: &'s OAuth,
    /// The mailbox, where it is an SMTP next hop.
    bearer: Option<&'s BearerCredentials>,
}

fn with(name: &DestinationName, global: &Global, work: impl FnOnce(&Settings, Found<'_>) -> Exit) -> Exit {
    let settings = match load_or_tell(global, Reading::Everything) {
        Ok(loaded) => loaded.checked.settings,
        Err(exit) => return exit,
    };
    let Some(destination) = settings.destinations.iter().find(|destination| destination.name == *name) else {
        let names: Vec<&str> =
            settings.destinations.iter().map(|destination| destination.name.as_str()).collect();
        note(format_args!("there is no destination {name}; there are {}", names.join(", ")));
        return Exit::No;
    };
    match found(destination) {
        Some(found) => work(&settings, found),
        None => {
            note(format_args!("{name} does not log in by tokens: it has no `auth: {{ oauth: … }}`"));
            Exit::No
        }
    }
}

fn found(destination: &Destination) -> Option<Found<'_>> {
    match &destination.kind {
        DestinationKind::Submission(submission) => match &submission.auth {
            Some(Auth::Bearer(bearer)) => {
                Some(Found { destination, oauth: &bearer.oauth, bearer: Some(bearer) })
            }
            Some(Auth::Password(_)) | None => None,
        },
        DestinationKind::Graph(graph) => Some(Found { destination, oauth: &graph.oauth, bearer: None }),
        DestinationKind::Maildir(_)
        | DestinationKind::Netbios(_)
        | DestinationKind::Nats(_)
        | DestinationKind::Webhook(_)
        | DestinationKind::Amqp(_)
        | DestinationKind::Mqtt(_)
        | DestinationKind::Redis(_) => None,
    }
}
