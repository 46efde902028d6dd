//! Values that are words, names or patterns.

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problem, Problems};
use super::read::{Read, quoted, shown};
use super::scalar::text_value;
use super::{
    Algorithm, BearerMechanism, CallForwardTlsMode, Discard, Enabled, EventMode, GrantWord, GroupField,
    Keyword, LogFormat, Mechanism, Mode, ProviderPreset, ReplyMeaning, RequireTls, Required, TlsMode,
    Unconfirmed, WebhookMethod,
};
use crate::config::settings::{Bounces, DisplayName, OnFailure};
use crate::message::id::{DiscardReason, ListenerName, NotAName, RuleName};
use crate::message::mail::Priority;
use crate::message::notice::Listener;
use crate::policy::mapping::text::PatternFault;
use crate::policy::mapping::{Glob, TextPattern};
use crate::policy::reach::Reach;
use crate::policy::relay::{AddressPattern, DomainPattern, RelayTo};
use crate::policy::route::RouteDomain;
use crate::policy::spelling::nearest;
use crate::policy::tarpit::Trusted;
use crate::policy::template::{Field, Template, TemplateField};
use crate::wire::amqp::{DeliveryMode, ShortString, Unroutable};
use crate::wire::oem_text::{CodePage, Utf8};
use crate::wire::smtp::tolerance::Tolerance;

/// One of some words.
fn word<T: Copy>(node: &Node, place: &Place, problems: &mut Problems, words: &[(&str, T)]) -> Option<T> {
    text_value(node, place, problems, |text| {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let fix = match nearest(text, names.iter().copied()) {
            Some(meant) => format!("write `{meant}`"),
            None => format!("write {}", quoted(&names, "or")),
        };
        Err((format!("{text:?} is not allowed here"), fix))
    })
}

macro_rules! words {
    ($($type:ty { $($word:literal => $value:expr,)* })*) => {$(
        impl Read for $type {
            fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
                word(node, place, problems, &[$(($word, $value)),*])
            }
        }
    )*};
}

words! {
    Mode {
        "observe" => Self::Observe,
        "answer" => Self::Answer,
    }
    Utf8 {
        "never" => Self::Never,
        "auto" => Self::Auto,
    }
    Unconfirmed {
        "accept" => Self::Accept,
        "never" => Self::Never,
    }
    EventMode {
        "structured" => Self::Structured,
        "binary" => Self::Binary,
    }
    Discard {
        "old" => Self::Old,
        "new" => Self::New,
    }
    TlsMode {
        "starttls" => Self::StartTls,
        "implicit" => Self::Implicit,
        "none" => Self::None,
    }
    CallForwardTlsMode {
        "opportunistic" => Self::Opportunistic,
        "starttls" => Self::As(TlsMode::StartTls),
        "implicit" => Self::As(TlsMode::Implicit),
        "none" => Self::As(TlsMode::None),
    }
    Mechanism {
        "scram-sha-256" => Self::ScramSha256,
        "plain" => Self::Plain,
        "login" => Self::Login,
        "cram-md5" => Self::CramMd5,
    }
    BearerMechanism {
        "xoauth2" => Self::Xoauth2,
        "oauthbearer" => Self::OauthBearer,
    }
    GrantWord {
        "client-credentials" => Self::ClientCredentials,
        "refresh-token" => Self::RefreshToken,
        "jwt-bearer" => Self::JwtBearer,
    }
    Algorithm {
        "ps256" => Self::Ps256,
        "rs256" => Self::Rs256,
    }
    ProviderPreset {
        "m365" => Self::M365,
        "m365-connector" => Self::M365Connector,
        "m365-hve" => Self::M365Hve,
        "google" => Self::Google,
        "google-relay" => Self::GoogleRelay,
        "amazon-ses" => Self::AmazonSes,
    }
    ReplyMeaning {
        "wait" => Self::Wait,
        "later" => Self::Later,
        "operator" => Self::Operator,
        "sender" => Self::Sender,
        "failed" => Self::Failed,
    }
    Priority {
        "urgent" => Self::Urgent,
        "normal" => Self::Normal,
        "bulk" => Self::Bulk,
    }
    Listener {
        "datagram" => Self::Datagram,
        "messenger" => Self::Messenger,
    }
    Tolerance {
        "strict" => Self::Strict,
        "device" => Self::Device,
    }
    RelayTo {
        "accepted-domains" => Self::AcceptedDomains,
        "any" => Self::Any,
    }
    OnFailure {
        "defer" => Self::Defer,
        "accept" => Self::Accept,
    }
    Bounces {
        "own-users" => Self::OwnUsers,
        "everyone" => Self::Everyone,
        "off" => Self::Off,
    }
    Trusted {
        "exempt" => Self::Exempt,
        "delay" => Self::Delay,
    }
    Keyword {
        "PIPELINING" => Self("PIPELINING"),
        "SIZE" => Self("SIZE"),
        "8BITMIME" => Self("8BITMIME"),
        "SMTPUTF8" => Self("SMTPUTF8"),
        "ENHANCEDSTATUSCODES" => Self("ENHANCEDSTATUSCODES"),
        "CHUNKING" => Self("CHUNKING"),
        "DSN" => Self("DSN"),
        "STARTTLS" => Self("STARTTLS"),
        "AUTH" => Self("AUTH"),
    }
    LogFormat {
        "human" => Self::Human,
        "json" => Self::Json,
    }
    GroupField {
        "originator" => Self(Field::Originator),
        "to" => Self(Field::To),
        "source_name" => Self(Field::SourceName),
        "destination_name" => Self(Field::DestinationName),
        "mailslot" => Self(Field::Mailslot),
        "source" => Self(Field::Source),
        "listener" => Self(Field::Listener),
        "text" => Self(Field::Text),
        "first_line" => Self(Field::FirstLine),
    }
}

impl Read for CodePage {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            text.parse().map_err(|_| {
                let fix = "`chcp` on a sender shows its number; write cp437, cp850, cp852, cp866, cp932, cp936, cp949, \
                           cp950, cp1252 or another one";
                (format!("{text:?} is no code page known here"), fix.to_owned())
            })
        })
    }
}

impl Read for RuleName {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| Self::new(text).map_err(|error| no_name(text, error)))
    }
}

impl Read for ListenerName {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| Self::new(text).map_err(|error| no_name(text, error)))
    }
}

fn no_name(text: &str, error: NotAName) -> (String, String) {
    (format!("{text:?} is no name: {error}"), name_fix(text))
}

impl Read for DiscardReason {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::new(text).map_err(|error| (format!("{text:?} is no reason: {error}"), name_fix(text)))
        })
    }
}

/// A name made of what was written.
fn name_fix(text: &str) -> String {
    let parts = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let name: String = parts.collect::<Vec<_>>().join("-").to_ascii_lowercase().chars().take(64).collect();
    if name.is_empty() { "write a word such as `not-mapped`".to_owned() } else { format!("write `{name}`") }
}

impl Read for Glob {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::new(text).map_err(|error| (error.to_string(), "write a name, or `*` for any".to_owned()))
        })
    }
}

impl Read for TextPattern {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::new(text).map_err(|error| {
                let fix = match error.reason() {
                    PatternFault::Syntax => {
                        "put a backslash before `( ) [ ] { } . * + ? | ^ $` where the character itself is meant"
                    }
                    PatternFault::Size => "write smaller numbers of repetitions, or two rules",
                };
                (format!("/{text}/ is no regular expression: {error}"), fix.to_owned())
            })
        })
    }
}

impl<F: TemplateField> Read for Template<F> {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::parse(text).map_err(|error| {
                (
                    error.to_string(),
                    "mend the field, or double the brace where the character itself is meant".to_owned(),
                )
            })
        })
    }
}

impl Read for DomainPattern {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::parse(text).map_err(|error| (error.to_string(), error.fix().to_owned()))
        })
    }
}

impl Read for RouteDomain {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        if matches!(&node.value, Value::Text(text) if text == "*") {
            return Some(Self::Any);
        }
        DomainPattern::read(node, place, problems).map(Self::Domain)
    }
}

impl Read for AddressPattern {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::parse(text).map_err(|error| (error.to_string(), error.fix().to_owned()))
        })
    }
}

impl Read for DisplayName {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::parse(text).map_err(|error| {
                let fix = "write a name, in which {original} stands for whom From named, and {{ for a brace";
                (format!("{text:?} {error}"), fix.to_owned())
            })
        })
    }
}

impl Read for RequireTls {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        truth(node, place, problems, Self::Yes, Self::No)
    }
}

impl Read for Required {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        truth(node, place, problems, Self::Yes, Self::No)
    }
}

impl Read for WebhookMethod {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let words = [Self::Post, Self::Put, Self::Patch].map(|method| (method.as_str(), method));
        word(node, place, problems, &words)
    }
}

/// `allow_private`
impl Read for Reach {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        truth(node, place, problems, Self::Anywhere, Self::PublicOnly)
    }
}

impl Read for Unroutable {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        truth(node, place, problems, Self::Return, Self::Drop)
    }
}

impl Read for DeliveryMode {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        truth(node, place, problems, Self::Persistent, Self::Transient)
    }
}

impl Read for ShortString {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            Self::new(text).map_err(|error| (error.to_string(), "shorten it".to_owned()))
        })
    }
}

impl Read for Enabled {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        truth(node, place, problems, Self::Yes, Self::No)
    }
}

/// `true` or `false`; nothing that only resembles them.
fn truth<T>(node: &Node, place: &Place, problems: &mut Problems, yes: T, no: T) -> Option<T> {
    let fix = match &node.value {
        Value::Truth(true) => return Some(yes),
        Value::Truth(false) => return Some(no),
        Value::Text(text) if ["yes", "on"].contains(&&*text.to_ascii_lowercase()) => "write true",
        Value::Text(text) if ["no", "off"].contains(&&*text.to_ascii_lowercase()) => "write false",
        Value::Nothing | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            "write true or false"
        }
    };
    problems.push(Problem::new(place, format!("{} is neither true nor false", shown(node)), fix));
    None
}
