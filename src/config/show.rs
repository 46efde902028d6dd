//! The settings in effect as the operator would write them, every default included, secrets as the place they came
//! from.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::check::{SecretOrigin, spelled};
use super::settings::{Destination, DestinationKind, Log, Maildir, Mechanism, Settings, Submission, TlsMode};
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::message::mail::Priority;
use crate::policy::mapping::{Action, Delivery, Glob, Grouping, Keys, Match, Otherwise, Rule};
use crate::policy::rate::Rate;
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

/// The whole configuration, to be written as YAML or JSON. What it writes can be loaded again.
#[must_use]
pub fn show<'s>(
    settings: &'s Settings,
    secrets: &'s [(DestinationName, SecretOrigin)],
) -> impl Serialize + 's {
    Shown {
        hostname: settings.hostname.as_deref(),
        site: &settings.site,
        timezone: settings.timezone.iana_name(),
        state_dir: &settings.state_dir,
        netbios: Netbios::of(settings),
        listeners: Listeners {
            datagram: Address { address: settings.datagram.to_string() },
            admin: Address { address: settings.admin.to_string() },
        },
        destinations: Named(
            settings.destinations.iter().map(|destination| named(destination, secrets)).collect(),
        ),
        rules: settings.rules.rules().iter().map(ShownRule::of).collect(),
        retry: Retry {
            first: spelled(settings.retry.first),
            max: spelled(settings.retry.max),
            expire: spelled(settings.retry.expire),
        },
        spool: Spool {
            max_size: limit(settings.spool.max_size, size),
            min_free: size(settings.spool.min_free),
            reserved_for_notices: size(settings.spool.reserved_for_notices),
            failed_keep: spelled(settings.spool.failed_keep),
        },
        log: ShownLog {
            format: match settings.log {
                Log::Human => "human",
                Log::Json => "json",
            },
        },
    }
}

#[derive(Serialize)]
struct Shown<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'s str>,
    site: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'s str>,
    state_dir: &'s Path,
    netbios: Netbios<'s>,
    listeners: Listeners,
    destinations: Named<'s>,
    rules: Vec<ShownRule<'s>>,
    retry: Retry,
    spool: Spool,
    log: ShownLog,
}

#[derive(Serialize)]
struct Netbios<'s> {
    mode: &'static str,
    code_page: CodePage,
    utf8: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    code_pages: Vec<CodePageException>,
    scope: Cow<'s, str>,
}

#[derive(Serialize)]
struct CodePageException {
    source: String,
    code_page: CodePage,
    utf8: &'static str,
}

impl<'s> Netbios<'s> {
    fn of(settings: &'s Settings) -> Self {
        const fn utf8(text: SenderText) -> &'static str {
            match text.utf8 {
                Utf8::Never => "never",
                Utf8::Auto => "auto",
            }
        }
        let decoding = &settings.decoding;
        let exceptions = decoding.exceptions.iter().map(|(network, text)| CodePageException {
            source: network.to_string(),
            code_page: text.code_page,
            utf8: utf8(*text),
        });
        Self {
            mode: "observe",
            code_page: decoding.code_page.code_page,
            utf8: utf8(decoding.code_page),
            code_pages: exceptions.collect(),
            scope: String::from_utf8_lossy(&decoding.scope),
        }
    }
}

#[derive(Serialize)]
struct Listeners {
    datagram: Address,
    admin: Address,
}

#[derive(Serialize)]
struct Address {
    address: String,
}

/// A map in the order it has.
struct Named<'s>(Vec<(&'s str, ShownDestination<'s>)>);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, destination)| (name, destination)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ShownDestination<'s> {
    Submission(Box<ShownSubmission<'s>>),
    Maildir(ShownMaildir<'s>),
}

#[derive(Serialize)]
struct ShownSubmission<'s> {
    host: &'s str,
    port: u16,
    tls: ShownTls<'s>,
    auth: Auth<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<From<'s>>,
    limits: Limits,
    timeout: String,
}

#[derive(Serialize)]
struct ShownTls<'s> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'s Path>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Auth<'s> {
    None(&'static str),
    User {
        user: &'s str,
        #[serde(skip_serializing_if = "Option::is_none")]
        password_file: Option<&'s Path>,
        #[serde(skip_serializing_if = "Option::is_none")]
        password_env: Option<&'s str>,
        mechanisms: Vec<&'static str>,
    },
}

#[derive(Serialize)]
struct From<'s> {
    address: &'s str,
}

#[derive(Serialize)]
struct Limits {
    max_connections: usize,
    rate: String,
    message_size: String,
}

#[derive(Serialize)]
struct ShownMaildir<'s> {
    path: &'s Path,
    max_size: String,
    keep: String,
}

fn named<'s>(
    destination: &'s Destination,
    secrets: &'s [(DestinationName, SecretOrigin)],
) -> (&'s str, ShownDestination<'s>) {
    let shown = match &destination.kind {
        DestinationKind::Submission(submission) => {
            let secret = secrets.iter().find(|(name, _)| *name == destination.name).map(|(_, origin)| origin);
            ShownDestination::Submission(Box::new(ShownSubmission::of(submission, secret)))
        }
        DestinationKind::Maildir(Maildir { path, max_size, keep }) => {
            ShownDestination::Maildir(ShownMaildir {
                path,
                max_size: limit(*max_size, size),
                keep: limit(*keep, spelled),
            })
        }
    };
    (destination.name.as_str(), shown)
}

impl<'s> ShownSubmission<'s> {
    fn of(submission: &'s Submission, secret: Option<&'s SecretOrigin>) -> Self {
        let auth = match &submission.auth {
            None => Auth::None("none"),
            Some(credentials) => Auth::User {
                user: &credentials.user,
                password_file: secret.and_then(|origin| match origin {
                    SecretOrigin::File(path) => Some(&**path),
                    SecretOrigin::Variable(_) => None,
                }),
                password_env: secret.and_then(|origin| match origin {
                    SecretOrigin::Variable(name) => Some(&**name),
                    SecretOrigin::File(_) => None,
                }),
                mechanisms: credentials.mechanisms.iter().copied().map(mechanism).collect(),
            },
        };
        Self {
            host: &submission.host,
            port: submission.port,
            tls: ShownTls {
                mode: match submission.tls.mode {
                    TlsMode::StartTls => "starttls",
                    TlsMode::Implicit => "implicit",
                    TlsMode::None => "none",
                },
                ca_file: submission.tls.ca_file.as_deref(),
            },
            auth,
            from: submission.from.as_ref().map(|sender| From { address: sender.address.as_str() }),
            limits: Limits {
                max_connections: submission.max_connections,
                rate: limit(submission.rate, rate),
                message_size: limit(submission.message_size, size),
            },
            timeout: spelled(submission.timeout),
        }
    }
}

const fn mechanism(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::ScramSha256 => "scram-sha-256",
        Mechanism::Plain => "plain",
        Mechanism::Login => "login",
        Mechanism::CramMd5 => "cram-md5",
    }
}

#[derive(Serialize)]
struct ShownRule<'s> {
    name: &'s RuleName,
    r#match: ShownMatch<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<ShownGroup>,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver: Option<Vec<ShownDelivery<'s>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discard: Option<&'s DiscardReason>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownMatch<'s> {
    Any(&'static str),
    Keys(Box<ShownKeys<'s>>),
}

#[derive(Serialize)]
struct ShownKeys<'s> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mailslot: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    originator: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_name: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destination_name: Vec<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'s str>,
}

#[derive(Serialize)]
struct ShownGroup {
    by: Vec<&'static str>,
    wait: String,
    repeat_after: String,
}

#[derive(Serialize)]
struct ShownDelivery<'s> {
    via: &'s DestinationName,
    to: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    otherwise: Vec<Self>,
}

impl<'s> ShownRule<'s> {
    fn of(rule: &'s Rule) -> Self {
        let (deliver, discard) = match rule.action() {
            Action::Deliver(deliveries) => (Some(deliveries.iter().map(ShownDelivery::of).collect()), None),
            Action::Discard(reason) => (None, Some(reason)),
        };
        Self {
            name: rule.name(),
            r#match: match rule.when() {
                Match::Any => ShownMatch::Any("any"),
                Match::Keys(keys) => ShownMatch::Keys(Box::new(ShownKeys::of(keys))),
            },
            group: rule.grouping().map(|Grouping { by, wait, repeat_after }| ShownGroup {
                by: by.iter().map(|field| field.as_str()).collect(),
                wait: spelled(*wait),
                repeat_after: spelled(*repeat_after),
            }),
            priority: rule.priority(),
            expire: rule.expire().map(spelled),
            deliver,
            discard,
        }
    }
}

impl<'s> ShownKeys<'s> {
    fn of(keys: &'s Keys) -> Self {
        let globs = |globs: &'s [Glob]| globs.iter().map(Glob::as_str).collect();
        Self {
            mailslot: globs(&keys.mailslot),
            originator: globs(&keys.originator),
            to: globs(&keys.to),
            source_name: globs(&keys.source_name),
            destination_name: globs(&keys.destination_name),
            listener: keys.listener.map(|listener| listener.as_str()),
            source: keys.source.iter().map(ToString::to_string).collect(),
            text: keys.text.as_ref().map(|text| text.as_str()),
        }
    }
}

impl<'s> ShownDelivery<'s> {
    fn of(delivery: &'s Delivery) -> Self {
        Self {
            via: &delivery.via,
            to: delivery.to.as_str(),
            subject: delivery.subject.as_ref().map(|subject| subject.as_str()),
            after: None,
            otherwise: delivery.otherwise.iter().map(Self::of_standby).collect(),
        }
    }

    fn of_standby(otherwise: &'s Otherwise) -> Self {
        Self {
            via: &otherwise.via,
            to: otherwise.to.as_str(),
            subject: otherwise.subject.as_ref().map(|subject| subject.as_str()),
            after: Some(spelled(otherwise.after)),
            otherwise: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Retry {
    first: String,
    max: String,
    expire: String,
}

#[derive(Serialize)]
struct Spool {
    max_size: String,
    min_free: String,
    reserved_for_notices: String,
    failed_keep: String,
}

#[derive(Serialize)]
struct ShownLog {
    format: &'static str,
}

fn limit<T>(limit: Option<T>, spell: impl FnOnce(T) -> String) -> String {
    limit.map_or_else(|| "off".to_owned(), spell)
}

/// Bytes in the greatest unit that divides them.
fn size(bytes: u64) -> String {
    [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .chain([("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)])
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

pub(super) fn rate(rate: Rate) -> String {
    let period = match rate.period {
        period if period <= Duration::from_secs(1) => "s",
        period if period <= Duration::from_secs(60) => "min",
        period if period <= Duration::from_secs(3600) => "h",
        _ => "d",
    };
    format!("{}/{period}", rate.count)
}
