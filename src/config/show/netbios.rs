//! The NetBIOS side as the operator would write it.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::super::check::spelled;
use super::super::settings::{Claims, Interfaces, Mode, Settings};
use super::{limit, rate};
use crate::policy::allowed_sources::AllowedSources;
use crate::policy::mailslot_switch::Configured;
use crate::wire::netbios_name::NetbiosName;
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

#[derive(Serialize)]
pub(super) struct Netbios<'s> {
    mode: &'static str,
    #[serde(flatten)]
    claims: Option<ShownClaims<'s>>,
    interfaces: AllOr<Vec<&'s str>>,
    allow: AllOr<Vec<String>>,
    code_page: CodePage,
    utf8: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    code_pages: Vec<CodePageException>,
    scope: Cow<'s, str>,
    dedup_window: String,
    rate: MessageRate,
    sessions: ShownSessions,
}

#[derive(Serialize)]
struct ShownSessions {
    per_source: String,
    in_all: usize,
    idle: String,
    message: String,
}

#[derive(Serialize)]
struct ShownClaims<'s> {
    host_name: String,
    names: Vec<String>,
    workgroup: String,
    wins: &'s [Ipv4Addr],
}

/// A word that stands for a list, or the list.
#[derive(Serialize)]
#[serde(untagged)]
enum AllOr<T> {
    Word(&'static str),
    These(T),
}

#[derive(Serialize)]
struct CodePageException {
    source: String,
    code_page: CodePage,
    utf8: &'static str,
}

#[derive(Serialize)]
struct MessageRate {
    per_source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
}

impl<'s> Netbios<'s> {
    pub(super) fn of(settings: &'s Settings) -> Self {
        const fn utf8(text: SenderText) -> &'static str {
            match text.utf8 {
                Utf8::Never => "never",
                Utf8::Auto => "auto",
            }
        }
        let (netbios, decoding) = (&settings.netbios, &settings.decoding);
        let page = decoding.code_page.code_page;
        let (mode, claims) = match &netbios.mode {
            Mode::Observe => ("observe", None),
            Mode::Answer(claims) => ("answer", Some(ShownClaims::of(claims, page))),
        };
        let exceptions = decoding.exceptions.iter().map(|(network, text)| CodePageException {
            source: network.to_string(),
            code_page: text.code_page,
            utf8: utf8(*text),
        });
        Self {
            mode,
            claims,
            interfaces: match &netbios.interfaces {
                Interfaces::All => AllOr::Word("all"),
                Interfaces::Named(names) => AllOr::These(names.iter().map(|name| &**name).collect()),
            },
            allow: match &netbios.allow {
                AllowedSources::OnLink => AllOr::Word("on-link"),
                AllowedSources::Networks(networks) => {
                    AllOr::These(networks.iter().map(ToString::to_string).collect())
                }
            },
            code_page: page,
            utf8: utf8(decoding.code_page),
            code_pages: exceptions.collect(),
            scope: String::from_utf8_lossy(&decoding.scope),
            dedup_window: limit(netbios.dedup_window, spelled),
            rate: MessageRate {
                per_source: limit(netbios.rate, |share| rate(share.rate)),
                burst: netbios.rate.map(|share| share.burst),
            },
            sessions: ShownSessions {
                per_source: limit(netbios.sessions.per_source, |count| count.to_string()),
                in_all: netbios.sessions.in_all,
                idle: spelled(netbios.sessions.idle),
                message: spelled(netbios.sessions.message),
            },
        }
    }
}

impl<'s> ShownClaims<'s> {
    fn of(claims: &'s Claims, page: CodePage) -> Self {
        let text = |name: &NetbiosName| page.decode(name.text()).0.into_owned();
        Self {
            host_name: text(&claims.host_name),
            names: claims.names.iter().map(text).collect(),
            workgroup: text(&claims.workgroup),
            wins: &claims.wins,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Mailslots {
    inbound: Switch,
    outbound: Switch,
}

#[derive(Serialize)]
struct Switch {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_until: Option<Date>,
}

impl Mailslots {
    pub(super) fn of(settings: &Settings) -> Self {
        let switch = |configured| match configured {
            Configured::On => Switch { enabled: true, exception_until: None },
            Configured::Off { exception_until } => Switch {
                enabled: false,
                exception_until: exception_until.and_then(|end| last_day(end, &settings.timezone)),
            },
        };
        Self { inbound: switch(settings.mailslots.inbound), outbound: switch(settings.mailslots.outbound) }
    }
}

/// The day at whose end something ends: the one before the midnight that is its end.
fn last_day(end: Timestamp, timezone: &TimeZone) -> Option<Date> {
    end.to_zoned(timezone.clone()).date().yesterday().ok()
}
