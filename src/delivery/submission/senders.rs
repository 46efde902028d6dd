//! Which senders mail may have at a next hop, and what becomes of others.

use std::io;

use super::content::{self, Outgoing};
use crate::config::settings;
use crate::message::mail::Content;
use crate::message::rewrite::{Author, author, rewrite};
use crate::session::smtp_client::Sender;
use crate::wire::smtp::path::{Mailbox, ReversePath};

/// The senders that a next hop allows.
#[derive(Debug)]
pub(in crate::delivery) struct Senders(Option<settings::Sender>);

/// MAIL FROM of one message.
#[derive(Debug)]
pub(in crate::delivery) struct From {
    /// `None`: the null reverse-path.
    pub(in crate::delivery) reverse_path: Option<Mailbox>,
    /// Whose choice that was.
    pub(in crate::delivery) sender: Sender,
}

impl From {
    /// The operator's.
    pub(in crate::delivery) const fn configured(mailbox: Mailbox) -> Self {
        Self { reverse_path: Some(mailbox), sender: Sender::Configured }
    }

    /// The message's own.
    const fn of_message(reverse_path: Option<Mailbox>) -> Self {
        Self { reverse_path, sender: Sender::OfMessage }
    }
}

impl Senders {
    /// Those of the settings; without any, every sender may stay.
    pub(in crate::delivery) const fn of(settings: Option<settings::Sender>) -> Self {
        Self(settings)
    }

    /// The mail and its reverse-path, each with another sender if its own may not stay. A null reverse-path stays null
    /// whatever is configured: nobody may answer a report.
    pub(in crate::delivery) async fn apply(
        &self,
        content: Content,
        reverse_path: Option<Mailbox>,
    ) -> io::Result<(Outgoing, From)> {
        let Some(settings) = &self.0 else {
            return Ok((Outgoing::unchanged(content), From::of_message(reverse_path)));
        };
        let header = content::header(&content).await?;
        let author = author(&header).unwrap_or_default();
        let mail = match &author.address {
            Some(address) if may_stay(settings, address) => Outgoing::unchanged(content),
            Some(_) | None => {
                let name = settings.display.of(original(&author, reverse_path.as_ref()));
                let head = rewrite(&header, &settings.address, &name, reverse_path.as_ref());
                let skip = u64::try_from(header.len()).unwrap_or(u64::MAX);
                Outgoing::with_header(head.into(), content, skip)
            }
        };
        let from = match reverse_path {
            Some(path) if !may_stay(settings, &path) => From::configured(settings.address.clone()),
            own => From::of_message(own),
        };
        Ok((mail, from))
    }
}

fn may_stay(settings: &settings::Sender, address: &Mailbox) -> bool {
    let path = ReversePath::Mailbox(address.clone());
    *address == settings.address || settings.keep.iter().any(|pattern| pattern.matches(&path))
}

/// What a display name shows of the sender: its name, else its address.
fn original<'a>(author: &'a Author, reverse_path: Option<&'a Mailbox>) -> &'a str {
    match &author.address {
        _ if !author.name.is_empty() => &author.name,
        Some(address) => address.as_str(),
        None => reverse_path.map_or("", Mailbox::as_str),
    }
}
