//! Mail through Microsoft Graph (`sendMail` with raw MIME), for tenants that allow no SMTP.
//!
//! A request holds the whole mail in base64. Graph knows no envelope: it sends to whom the header names, so the header is
//! given exactly the recipients of the envelope ([`crate::message::rewrite::name_recipients`]). It tells of no delivery
//! later but by mail to the sender's mailbox.
#![expect(clippy::disallowed_methods, reason = "answers name times to wait for")]

mod answer;

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::event::{self, Share};
use super::oauth::{TokenFault, TokenSource};
use super::outcome::{Attempt, Health, Outcome, RecipientNumber, Report};
use super::submission::content::{Outgoing, Reader};
use super::submission::senders::Senders;
use crate::config::settings::{self, OutboundProxy};
use crate::message::compose::{Addressees, ComposeError, Identity, compose};
use crate::message::id::DestinationName;
use crate::message::mail::Body;
use crate::message::recipient::{EnhancedStatus, Recipient};
use crate::message::rewrite::name_recipients;
use crate::net::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use crate::net::http::{Client, HeaderMap, Limits, Method, Options, Request, Response};
use crate::net::tls::TlsSetupError;
use crate::policy::graph::{self, Complaint};
use crate::policy::reach::Reach;
use crate::session::oauth::AccessToken;
use crate::wire::smtp::path::Mailbox;
use crate::wire::url::HttpUrl;

/// A mailbox that sends through Graph. Clones share its connections and tokens.
#[derive(Debug, Clone)]
pub struct Graph(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    tokens: TokenSource,
    url: HttpUrl,
    /// Host and port, for sentences.
    at: String,
    mailbox: Mailbox,
    senders: Senders,
    identity: Identity,
    message_size: Option<u64>,
}

/// Why nothing can be sent, or what came of it.
enum Verdict {
    /// The outcome of all recipients.
    Message(Outcome),
    /// It concerns every message.
    Destination(Health),
}

impl Graph {
    /// Reads files for TLS, connects to nothing.
    ///
    /// # Errors
    /// [`TlsSetupError`], for settings that can never work.
    pub fn new(
        name: DestinationName,
        settings: &settings::Graph,
        identity: Identity,
        proxy: Option<&OutboundProxy>,
    ) -> Result<Self, TlsSetupError> {
        let settings::Graph { mailbox, url, oauth, from, tls, limits } = settings;
        let limits_of_client =
            Limits { connections: limits.in_flight, timeout: limits.timeout, body: MOST_ANSWER };
        Ok(Self(Arc::new(Shared {
            client: Client::new(Options { tls, proxy, reach: Reach::Anywhere, limits: limits_of_client })?,
            tokens: TokenSource::new(name, oauth, proxy)?,
            url: url.with_target(&format!("/v1.0/users/{}/sendMail", percent(mailbox.as_str()))),
            at: url.authority(),
            mailbox: mailbox.clone(),
            senders: Senders::of(Some(from.clone())),
            identity,
            message_size: limits.message_size,
        })))
    }

    /// Sends one message to all these recipients. Where Graph takes it for none of them since one is invalid, halves are
    /// tried, and of those that are refused the halves.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        let mut outcomes = Vec::new();
        let mut groups = vec![addressees(&attempt.recipients, &mut outcomes)];
        while let Some(mut group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            let outcome = match self.0.deliver(&attempt, &group).await {
                Verdict::Message(outcome) => outcome,
                Verdict::Destination(health) => return Report { outcomes, health },
            };
            if group.len() > 1 && is_about_a_recipient(&outcome) {
                let behind = group.split_off(group.len().div_ceil(2));
                groups.extend([group, behind]);
            } else {
                outcomes.extend(group.into_iter().map(|(number, _)| (number, outcome.clone())));
            }
        }
        Report { outcomes, health: Health::Up }
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.at
    }

    /// Ends connections that idle too long. Due about once a minute.
    pub fn tend(&self) {
        self.0.client.tend();
    }

    /// Waits for requests for tokens that nobody may wait for any more.
    pub async fn settled(&self) {
        self.0.tokens.settled().await;
    }

    /// Ends all connections; no attempt may be under way.
    pub fn close(&self) {
        self.0.client.close();
    }
}

impl Shared {
    async fn deliver(&self, attempt: &Attempt, group: &[(RecipientNumber, Mailbox)]) -> Verdict {
        let mailboxes: Vec<Mailbox> = group.iter().map(|(_, mailbox)| mailbox.clone()).collect();
        match self.mime(attempt, &mailboxes).await {
            // The share of memory goes back when the mail is gone.
            Ok((mime, _share)) => self.send(mime).await,
            Err(verdict) => verdict,
        }
    }

    /// The mail in base64. Long ones wait until those before them are sent, as long events do.
    async fn mime(&self, attempt: &Attempt, mailboxes: &[Mailbox]) -> Result<(Bytes, Share), Verdict> {
        let message = &attempt.message;
        let addresses: Vec<&str> = mailboxes.iter().map(Mailbox::as_str).collect();
        let subject = attempt.recipients.first().and_then(|(_, recipient)| recipient.subject.as_deref());
        let content = compose(message, Addressees::Mailboxes(&addresses), subject, &self.identity)
            .map_err(|error| unfit(&error))?;
        let mail = match &message.body {
            Body::Notice(_) => Outgoing::unchanged(content),
            Body::Mail { reverse_path, .. } => {
                let path = reverse_path.as_deref().and_then(|path| Mailbox::parse(path).ok());
                self.senders.apply(content, path).await.map_err(|error| unreadable(&error))?.0
            }
        };
        self.check_size(mail.length())?;
        let share = event::share(mail.length()).await;
        let whole = read(&mail).await.map_err(|error| unreadable(&error))?;
        let (header, body) = whole.split_at_checked(header_length(&whole)).unwrap_or((&whole, &[]));
        let mut mime = name_recipients(header, mailboxes);
        mime.extend_from_slice(body);
        Ok((STANDARD.encode(mime).into(), share))
    }

    fn check_size(&self, length: u64) -> Result<(), Verdict> {
        match self.message_size.filter(|limit| length > *limit) {
            None => Ok(()),
            Some(limit) => {
                let text = format!("the message has {length} octets, message_size allows {limit}");
                Err(Verdict::Message(Outcome::Failed { status: EnhancedStatus::new(5, 3, 4), text }))
            }
        }
    }

    /// Sends it, once more with another token where the first is not taken.
    async fn send(&self, mime: Bytes) -> Verdict {
        let token = match self.tokens.token().await {
            Ok(token) => token,
            Err(fault) => return no_token(fault),
        };
        let response = match self.ask(&token, mime.clone()).await {
            Ok(response) if !is_unauthorized(&response) => return self.judge(&response),
            Ok(response) => response,
            Err(verdict) => return verdict,
        };
        tracing::debug!(status = %response.status, "Graph refuses a token; it is renewed once.");
        let token = match self.tokens.after_refusal(&token).await {
            Ok(token) => token,
            Err(fault) => return no_token(fault),
        };
        match self.ask(&token, mime).await {
            Ok(response) => {
                if is_unauthorized(&response) {
                    self.tokens.forget().await;
                }
                self.judge(&response)
            }
            Err(verdict) => verdict,
        }
    }

    async fn ask(&self, token: &AccessToken, body: Bytes) -> Result<Response, Verdict> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        // A token is visible ASCII.
        if let Ok(mut bearer) = HeaderValue::from_maybe_shared(bearer(token)) {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let request = Request { method: Method::POST, url: self.url.clone(), headers, body };
        self.client.send(&request).await.map_err(|fault| Verdict::Destination(answer::fault(&fault)))
    }

    fn judge(&self, response: &Response) -> Verdict {
        answer::verdict(&self.at, &self.mailbox, response, Timestamp::now())
    }
}

/// The value of `Authorization` (RFC 6750 §2.1), wiped with the last of it; room for all of it, so that no copy is left
/// behind when it grows.
fn bearer(token: &AccessToken) -> Bytes {
    const SCHEME: &str = "Bearer ";
    let mut value = String::with_capacity(SCHEME.len().saturating_add(token.expose().len()));
    value.push_str(SCHEME);
    value.push_str(token.expose());
    Bytes::from_owner(Zeroizing::new(value))
}

fn is_about_a_recipient(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { status, .. } if *status == graph::INVALID_RECIPIENT)
}

fn is_unauthorized(response: &Response) -> bool {
    let code = Complaint::of(&response.body).code;
    graph::judge(response.status.as_u16(), &code, None) == graph::Verdict::Unauthorized
}

fn no_token(fault: TokenFault) -> Verdict {
    Verdict::Destination(fault.health())
}

fn unfit(error: &ComposeError) -> Verdict {
    let text = error.to_string();
    match error {
        ComposeError::BadFrom => Verdict::Destination(Health::OperatorFault { reason: text }),
        ComposeError::NoMailbox | ComposeError::DateOutOfRange => {
            Verdict::Message(Outcome::Failed { status: error.status(), text })
        }
    }
}

fn unreadable(error: &io::Error) -> Verdict {
    let text = format!("the content could not be read from the spool: {error}");
    let status = EnhancedStatus::new(4, 3, 0);
    Verdict::Message(Outcome::Delayed { status, text, retry_after: None })
}

/// The recipients that are mailboxes; the others fail.
fn addressees(
    recipients: &[(RecipientNumber, Recipient)],
    outcomes: &mut Vec<(RecipientNumber, Outcome)>,
) -> Vec<(RecipientNumber, Mailbox)> {
    let mut mailboxes = Vec::new();
    for (number, recipient) in recipients {
        match Mailbox::parse(&recipient.to) {
            Ok(mailbox) => mailboxes.push((*number, mailbox)),
            Err(error) => {
                let text = format!("{error}; {}", error.fix());
                outcomes.push((*number, Outcome::Failed { status: EnhancedStatus::new(5, 1, 3), text }));
            }
        }
    }
    mailboxes
}

async fn read(mail: &Outgoing) -> io::Result<Vec<u8>> {
    let (mut reader, mut whole) = (Reader::new(mail), Vec::new());
    while let Some(piece) = reader.next().await? {
        whole.extend_from_slice(piece);
    }
    Ok(whole)
}

/// Octets up to and with the first empty line; all of a mail that has none.
fn header_length(mail: &[u8]) -> usize {
    let mut length: usize = 0;
    for line in mail.split_inclusive(|octet| *octet == b'\n') {
        length = length.saturating_add(line.len());
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    length
}

/// As a part of a path (RFC 3986 §3.3).
fn percent(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~@+".contains(&octet);
    text.bytes()
        .map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") })
        .collect()
}

/// Octets of an answer that are read.
const MOST_ANSWER: usize = 8 << 10;

#[cfg(test)]
pub(super) mod tests;
