//! `mailslotd sendmail`, also under the name `sendmail`: what programs of this host expect at /usr/sbin/sendmail.
//!
//! The message goes into the pickup directory, under a temporary name first, then renamed: that works while the gateway
//! is down, and needs no right but the directory's. What the relay policy would refuse is refused at once, as far as the
//! configuration can be read; the gateway judges again in any case.
//!
//! The directory is the one of the configuration, or `$MAILSLOTD_PICKUP`, for users who may drop mail and may not read
//! the configuration.

mod dropping;
mod input;
mod options;

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use nix::unistd::{User, getuid};

use self::dropping::Dropping;
use self::input::Input;
use self::options::{Asked, Recipients, Request, Sender};
use super::Global;
use super::exit::Exit;
use super::load::{self, LoadError, Reading};
use super::output::note;
use crate::config::settings::Settings;
use crate::listen::pickup::{Refused, judge};
use crate::message::own_envelope::{
    OwnEnvelope, addresses, header_recipients, header_sender, leading_envelope_length,
};
use crate::wire::smtp::path::{ForwardPath, Mailbox, PathError, ReversePath};

/// Takes a message from standard input: `sendmail [-t] [-i] [-f SENDER] [-F NAME] [RECIPIENT…]`.
///
/// -t reads recipients from To, Cc and Bcc; -i does not end at a line with a dot alone; -f is the envelope's sender, -F
/// the name in a From that is missing. Other options of sendmail(8) are taken and do nothing; -bs and -bp are refused.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Options and recipients as of sendmail(8)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION|RECIPIENT")]
    pub(super) words: Vec<OsString>,
}

/// Why a message was not dropped.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}; {fix}", fix = .0.fix())]
    Address(#[from] PathError),
    #[error("no recipients: name them as arguments, or use -t and write a To, Cc or Bcc")]
    NoRecipients,
    #[error("no sender: use -f, or write a From")]
    NoSender,
    #[error("{}", .0.iter().map(Refused::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refused>),
    #[error("the message is larger than `relay.limits.message_size`, {0} octets")]
    TooLarge(u64),
    #[error("the header is longer than any honest one; put an empty line between it and the text")]
    HeaderTooLong,
    #[error("standard input cannot be read: {0}")]
    Input(io::Error),
    #[error(transparent)]
    Configuration(#[from] LoadError),
    #[error(
        "there is no pickup directory: write `pickup: {{ path: … }}` into the configuration, or set $MAILSLOTD_PICKUP"
    )]
    NoPickup,
    #[error(
        "cannot write into the pickup directory {path}: {source}; the group of that directory may (`mailslotd run` makes it), \
         nothing was accepted",
        path = path.display()
    )]
    Drop { path: PathBuf, source: io::Error },
}

impl Failure {
    const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Address(_) | Self::NoRecipients | Self::NoSender => Exit::Usage,
            Self::Refused(_) | Self::TooLarge(_) => Exit::No,
            Self::HeaderTooLong | Self::Input(_) => Exit::BadInput,
            Self::Configuration(_) | Self::NoPickup => Exit::Config,
            Self::Drop { .. } => Exit::TryLater,
        }
    }
}

/// Carries out `sendmail …` with these words behind the command's name.
#[must_use]
pub fn run(words: &[OsString], global: &Global) -> Exit {
    let done = match options::parse(words) {
        Asked::Send(request) => send(&request, global),
        Asked::NothingToDo => Ok(()),
        Asked::Refused(text) => Err(Failure::Usage(text)),
    };
    match done {
        Ok(()) => Exit::Done,
        Err(failure) => {
            note(format_args!("sendmail: {failure}"));
            failure.exit()
        }
    }
}

fn send(request: &Request, global: &Global) -> Result<(), Failure> {
    let (pickup, settings) = pickup(global)?;
    let mut input = Input::new(io::stdin().lock(), request.dot);
    let header = input.header()?;
    let header =
        header.split_at_checked(leading_envelope_length(&header)).map_or(&*header, |(_, header)| header);
    let hostname = settings.as_ref().and_then(|settings| settings.hostname.as_deref());
    let envelope = envelope(request, header, hostname)?;
    if let Some(settings) = &settings
        && let Some(pickup) = &settings.smtp.pickup
    {
        let refused = judge(&settings.smtp.relay, &pickup.policy, &envelope);
        if !refused.is_empty() {
            return Err(Failure::Refused(refused));
        }
    }
    let most = settings.and_then(|settings| settings.smtp.limits.message_size);
    let failed = |source| Failure::Drop { path: pickup.clone(), source };
    let mut dropping = Dropping::begin(&pickup).map_err(failed)?;
    let front = front(&envelope, header, request.full_name.as_deref());
    let mut octets = u64::try_from(header.len()).unwrap_or(u64::MAX);
    dropping.write(front.as_bytes()).and_then(|()| dropping.write(header)).map_err(failed)?;
    while let Some(piece) = input.next().map_err(Failure::Input)? {
        octets = octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if let Some(most) = most.filter(|most| octets > *most) {
            return Err(Failure::TooLarge(most));
        }
        dropping.write(&piece).map_err(failed)?;
    }
    dropping.finish().map_err(failed)
}

/// Where to drop, and the configuration where it can be read.
fn pickup(global: &Global) -> Result<(PathBuf, Option<Settings>), Failure> {
    let named = env::var_os("MAILSLOTD_PICKUP").filter(|path| !path.is_empty()).map(PathBuf::from);
    let loaded = load::load(global, Reading::WithoutSecrets).map(|loaded| loaded.checked.settings);
    match (named, loaded) {
        (Some(path), loaded) => Ok((path, loaded.ok())),
        (None, Ok(settings)) => {
            let path = settings.smtp.pickup.as_ref().map(|pickup| pickup.path.clone());
            Ok((path.ok_or(Failure::NoPickup)?, Some(settings)))
        }
        (None, Err(error)) => Err(error.into()),
    }
}

fn envelope(request: &Request, header: &[u8], hostname: Option<&str>) -> Result<OwnEnvelope, Failure> {
    let mut written: Vec<String> = request.recipients.iter().flat_map(|word| addresses(word)).collect();
    if request.read == Recipients::OfHeaderToo {
        written.extend(header_recipients(header));
    }
    let (mut seen, mut recipients) = (HashSet::new(), Vec::new());
    for address in written {
        let path = ForwardPath::Mailbox(qualified(&address, hostname)?);
        if seen.insert(path.clone()) {
            recipients.push(path);
        }
    }
    if recipients.is_empty() {
        return Err(Failure::NoRecipients);
    }
    let reverse_path = match &request.sender {
        Sender::Null => ReversePath::Null,
        Sender::Named(address) => ReversePath::Mailbox(qualified(address, hostname)?),
        Sender::OfHeader => {
            let address =
                header_sender(header).or_else(|| hostname.and_then(|_| user()).map(|user| user.name));
            ReversePath::Mailbox(qualified(&address.ok_or(Failure::NoSender)?, hostname)?)
        }
    };
    Ok(OwnEnvelope { reverse_path, recipients, header: Vec::new() })
}

/// A name without a domain is one of this host, as cron writes it.
fn qualified(address: &str, hostname: Option<&str>) -> Result<Mailbox, PathError> {
    match hostname {
        Some(hostname) if !address.contains('@') => Mailbox::parse(&format!("{address}@{hostname}")),
        _ => Mailbox::parse(address),
    }
}

/// What stands before the header: the envelope, and a From where there is none.
fn front(envelope: &OwnEnvelope, header: &[u8], full_name: Option<&str>) -> String {
    let mut front = format!("X-Sender: <{}>\n", envelope.reverse_path);
    for path in &envelope.recipients {
        front.push_str(&format!("X-Receiver: <{path}>\n"));
    }
    if let ReversePath::Mailbox(mailbox) = &envelope.reverse_path
        && header_sender(header).is_none()
    {
        front.push_str(&from(mailbox, full_name));
    }
    front
}

fn from(mailbox: &Mailbox, full_name: Option<&str>) -> String {
    let printable: String =
        full_name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(78).collect();
    let name = printable.replace('\\', "\\\\").replace('"', "\\\"");
    if name.trim().is_empty() {
        format!("From: <{mailbox}>\n")
    } else {
        format!("From: \"{name}\" <{mailbox}>\n")
    }
}

fn user() -> Option<User> {
    User::from_uid(getuid()).ok().flatten()
}

#[cfg(test)]
mod tests;
