//! One file on its way into the spool.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::unistd::{Uid, User};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::folder::{Folder, look_of};
use super::judgement::{Refused, THIS_HOST, judge, to_look_up};
use crate::config::settings::{Bounces, Pickup, Settings};
use crate::directory::{Asker, Directory};
use crate::message::id::QueueId;
use crate::message::intake::{Intake, IntakeFault, MAX_HEADER, Missing};
use crate::message::mail::{Body, Client, Message, Priority, Submitted};
use crate::message::own_envelope::{EnvelopeFault, OwnEnvelope, envelope_of};
use crate::message::recipient::Recipient;
use crate::message::trace::{Origin, Trace};
use crate::policy::admission::Acquaintance;
use crate::policy::relay::{ListenerPolicy, RelayPolicy};
use crate::policy::route::route_of;
use crate::session::smtp_server::Existence;
use crate::spool::{Draft, Spool, SpoolError};
use crate::wire::smtp::data::{ContentDecoder, Framing, HeaderOctets};
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};
use crate::wire::smtp::tolerance::Tolerance;

/// Takes files into the spool.
#[derive(Debug)]
pub(super) struct Taker {
    hostname: String,
    timezone: TimeZone,
    relay: Arc<RelayPolicy>,
    listener: Arc<ListenerPolicy>,
    bounces: Bounces,
    postmaster: Option<Mailbox>,
    message_size: Option<u64>,
    most_recipients: usize,
    directory: Arc<Directory>,
    folder: Folder,
    spool: Spool,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum Taking {
    /// It is in the spool.
    Taken(Box<Taken>),
    /// It is not there any more.
    Gone,
    /// It is not in the spool.
    Not(Fault),
}

/// Why a file is not taken: cause and fix.
#[derive(Debug)]
pub(super) enum Fault {
    /// It may not be sent.
    Refused(String),
    /// It cannot be read, or is no mail.
    Unusable(String),
    /// Not now.
    Later(String),
    /// Not now, and nothing else either.
    NothingNow(String),
}

/// A message that was picked up, for the log.
#[derive(Debug)]
pub(super) struct Taken {
    id: QueueId,
    pub(super) file: (u64, u64),
    user: String,
    reverse_path: ReversePath,
    recipients: usize,
    octets: u64,
}

impl Taken {
    pub(super) fn tell(&self, name: &OsStr) {
        tracing::info!(
            id = %self.id,
            file = %name.to_string_lossy().escape_debug(),
            user = %self.user.escape_debug(),
            from = %self.reverse_path.to_string().escape_debug(),
            recipients = self.recipients,
            octets = self.octets,
            "Mail picked up."
        );
    }
}

impl Taker {
    pub(super) fn new(
        settings: &Settings,
        pickup: &Pickup,
        directory: Arc<Directory>,
        folder: Folder,
        spool: Spool,
    ) -> Self {
        let hostname = settings.hostname.clone().unwrap_or_else(|| "localhost.invalid".to_owned());
        let smtp = &settings.smtp;
        Self {
            timezone: settings.timezone.clone(),
            relay: Arc::clone(&smtp.relay),
            listener: Arc::clone(&pickup.policy),
            bounces: smtp.bounces,
            postmaster: smtp
                .postmaster
                .clone()
                .or_else(|| Mailbox::parse(&format!("postmaster@{hostname}")).ok()),
            message_size: smtp.limits.size_to(
                pickup.policy.trusted_network_of(THIS_HOST).map(|own| own.relay_to).unwrap_or_default(),
            ),
            most_recipients: smtp.limits.own_recipients(),
            hostname,
            directory,
            folder,
            spool,
        }
    }

    pub(super) async fn take(&self, name: &OsStr) -> Taking {
        match self.try_take(name).await {
            Ok(Some(taken)) => Taking::Taken(Box::new(taken)),
            Ok(None) => Taking::Gone,
            Err(fault) => Taking::Not(fault),
        }
    }

    async fn try_take(&self, name: &OsStr) -> Result<Option<Taken>, Fault> {
        let Some((file, metadata)) = self.open(name)? else { return Ok(None) };
        let mut reading = Reading::new(file, self.message_size);
        let header = reading.header().await?;
        let envelope = envelope_of(&header).map_err(|fault| no_envelope(&fault))?;
        self.judge(&envelope).await?;
        let user = user_of(metadata.uid());
        let mut intake = Intake::new(self.trace(name, &metadata, &user, &envelope), Missing::Added);
        let mut draft = self.spool.draft();
        let mut piece = Vec::new();
        intake.push(&envelope.header, &mut piece);
        loop {
            draft.write(&piece).await.map_err(spool_fault)?;
            piece.clear();
            let Some(octets) = reading.next().await? else { break };
            intake.push(&octets, &mut piece);
        }
        intake.finish(&mut piece).map_err(|fault| no_mail(&fault))?;
        draft.write(&piece).await.map_err(spool_fault)?;
        let recipients = envelope.recipients.len();
        let id = self.accept(draft, &envelope).await?;
        let (reverse_path, octets) = (envelope.reverse_path, reading.octets);
        let file = look_of(&metadata).file;
        Ok(Some(Taken { id, file, user, reverse_path, recipients, octets }))
    }

    fn open(&self, name: &OsStr) -> Result<Option<(File, Metadata)>, Fault> {
        let unreadable = |error: io::Error| {
            Fault::Unusable(format!(
                "the file cannot be read: {error}\nfix: let the group of the pickup directory read it (chmod g+r), and drop it again\n"
            ))
        };
        let file = match self.folder.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A symbolic link took its place since the look; the next look passes over it.
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(unreadable(error)),
            Err(error) => return Err(Fault::Later(format!("a file cannot be opened: {error}"))),
        };
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        if metadata.nlink() > 1 {
            // It may be a file that only the gateway may read, linked here by somebody who may not.
            return Err(Fault::Unusable(
                "the file has other names elsewhere (hard links)\nfix: copy it into the directory\n"
                    .to_owned(),
            ));
        }
        if self.message_size.is_some_and(|most| metadata.len() > most) {
            return Err(too_large(self.message_size));
        }
        Ok(Some((File::from_std(file), metadata)))
    }

    /// The policy, and the recipient filter. Everything that is wrong is said at once.
    async fn judge(&self, envelope: &OwnEnvelope) -> Result<(), Fault> {
        if envelope.recipients.len() > self.most_recipients {
            return Err(Fault::Refused(format!(
                "more than {} recipients\nfix: drop one file for each part of them, or raise `relay.limits.recipients`\n",
                self.most_recipients
            )));
        }
        let mut refused = judge(&self.relay, &self.listener, envelope);
        for mailbox in to_look_up(&self.relay, &self.listener, envelope) {
            match self.directory.look_up(mailbox, Asker::OwnUser).await {
                Existence::Known => {}
                Existence::Unknown => refused.push(Refused::Unknown { path: mailbox.clone() }),
                Existence::Unavailable => {
                    return Err(Fault::Later("a source of `relay.recipients` does not answer".to_owned()));
                }
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = refused.iter().map(|refused| format!("{refused}\n")).collect();
        Err(Fault::Refused(lines.concat()))
    }

    fn trace(&self, name: &OsStr, metadata: &Metadata, user: &str, envelope: &OwnEnvelope) -> Trace {
        let single_recipient = match envelope.recipients.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        };
        let modified = Timestamp::new(metadata.mtime(), 0).unwrap_or(Timestamp::UNIX_EPOCH);
        Trace {
            origin: Origin::Local { user: user.to_owned() },
            hostname: self.hostname.clone(),
            id: id_of(name, metadata),
            single_recipient,
            at: modified.min(now()).to_zoned(self.timezone.clone()),
        }
    }

    async fn accept(&self, mut draft: Draft, envelope: &OwnEnvelope) -> Result<QueueId, Fault> {
        let recipients = self.recipients(envelope)?;
        let content = draft.finish().await.map_err(spool_fault)?;
        let submitted = Submitted {
            ret: None,
            envid: None,
            smtputf8: envelope.reverse_path.needs_smtputf8()
                || envelope.recipients.iter().any(ForwardPath::needs_smtputf8),
            reports: self.bounces.reports(Acquaintance::Trusted),
            client: Some(Client {
                listener: self.listener.name.clone(),
                address: THIS_HOST,
                principal: None,
            }),
        };
        let reverse_path = match &envelope.reverse_path {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox.as_str().to_owned()),
        };
        let message = Message {
            body: Body::Mail { reverse_path, content, submitted: Box::new(submitted) },
            accepted_at: now(),
            expire: None,
            priority: Priority::Normal,
            rule: None,
            group: None,
            recipients,
        };
        self.spool.accept(message).await.map_err(spool_fault)
    }

    /// Where each recipient's copy goes; one that is named in several spellings gets one. The policy has seen to it that
    /// there is a route, but for the postmaster.
    fn recipients(&self, envelope: &OwnEnvelope) -> Result<Vec<Recipient>, Fault> {
        let mut paths: Vec<&ForwardPath> = Vec::new();
        for path in &envelope.recipients {
            if !paths.iter().any(|known| self.relay.is_one(known, path)) {
                paths.push(path);
            }
        }
        let sender = match &envelope.reverse_path {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox.as_str()),
        };
        let copies = paths.into_iter().map(|path| {
            let mailbox = self.relay.mailbox_of(path, self.postmaster.as_ref())?;
            let route = route_of(&self.relay.routes, mailbox)?;
            Some(route.copy(mailbox, sender))
        });
        copies.collect::<Option<_>>().ok_or_else(|| {
            Fault::Refused(
                "a recipient has nowhere to go\nfix: add a route for its domain to `relay.routes`; <postmaster> without a \
                 domain is `operator.postmaster`\n"
                    .to_owned(),
            )
        })
    }
}

/// A file that is being read: its line ends made CRLF, NULs dropped, lines over 1000 octets folded.
struct Reading {
    file: File,
    decoder: Option<ContentDecoder>,
    most: Option<u64>,
    octets: u64,
    /// What was read with the header and belongs behind it.
    behind: Vec<u8>,
}

impl Reading {
    fn new(file: File, most: Option<u64>) -> Self {
        let decoder = ContentDecoder::new(Framing::Chunks, Tolerance::Device, HeaderOctets::Utf8);
        Self { file, decoder: Some(decoder), most, octets: 0, behind: Vec::new() }
    }

    /// The header with the empty line behind it; all of a file without one.
    async fn header(&mut self) -> Result<Vec<u8>, Fault> {
        let mut header = Vec::new();
        loop {
            let searched = header.len().saturating_sub(3);
            let Some(octets) = self.decoded().await? else { return Ok(header) };
            header.extend_from_slice(&octets);
            let end = if header.starts_with(b"\r\n") {
                Some(2)
            } else {
                let found = memchr::memmem::find(header.get(searched..).unwrap_or_default(), b"\r\n\r\n");
                found.map(|at| searched.saturating_add(at).saturating_add(4))
            };
            if let Some(end) = end {
                self.behind = header.split_off(end);
                return Ok(header);
            }
            if header.len() > MAX_HEADER {
                return Err(no_mail(&IntakeFault::HeaderTooLong));
            }
        }
    }

    /// What follows the header, piece by piece.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        if self.behind.is_empty() { self.decoded().await } else { Ok(Some(std::mem::take(&mut self.behind))) }
    }

    async fn decoded(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(None) };
        let mut octets = vec![0; PIECE];
        let later = |error: io::Error| Fault::Later(format!("a file cannot be read: {error}"));
        let length = self.file.read(&mut octets).await.map_err(later)?;
        let mut out = Vec::new();
        if length == 0 {
            decoder
                .finish(&mut out)
                .map_err(|fault| Fault::Unusable(format!("the content is broken: {fault:?}\n")))?;
            return Ok(Some(out));
        }
        self.octets = self.octets.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if self.most.is_some_and(|most| self.octets > most) {
            return Err(too_large(self.most));
        }
        let mut read = octets.get(..length).unwrap_or_default();
        decoder.decode(&mut read, &mut out);
        self.decoder = Some(decoder);
        Ok(Some(out))
    }
}

fn no_envelope(fault: &EnvelopeFault) -> Fault {
    Fault::Unusable(format!("{fault}\nfix: {}\n", fault.fix()))
}

fn no_mail(fault: &IntakeFault) -> Fault {
    let fix = match fault {
        IntakeFault::Loop => "find out which hosts send it to each other; its Received fields name them",
        IntakeFault::HeaderTooLong => "put an empty line between the header and the text",
    };
    Fault::Unusable(format!("{fault}\nfix: {fix}\n"))
}

fn too_large(most: Option<u64>) -> Fault {
    let most = most.unwrap_or(u64::MAX);
    Fault::Unusable(format!(
        "the message is larger than {most} octets\nfix: send less, or raise `message_size` in `relay.limits` or of the destination\n"
    ))
}

fn spool_fault(error: SpoolError) -> Fault {
    Fault::NothingNow(error.to_string())
}

/// The same for the same file, however often it is taken, and for no other one.
fn id_of(name: &OsStr, metadata: &Metadata) -> String {
    let mut sum = Sha256::new();
    let numbers = [metadata.dev(), metadata.ino(), metadata.len()];
    numbers.iter().for_each(|number| sum.update(number.to_be_bytes()));
    [metadata.mtime(), metadata.mtime_nsec()].iter().for_each(|number| sum.update(number.to_be_bytes()));
    sum.update(name.as_encoded_bytes());
    let digest = sum.finalize();
    let hex: Vec<String> = digest.iter().take(10).map(|octet| format!("{octet:02x}")).collect();
    hex.concat()
}

fn user_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

#[expect(clippy::disallowed_methods, reason = "the edge where the time of arrival is read")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Octets that are read at once.
const PIECE: usize = 32 * 1024;
