//! `netbios`, `mailslots` and `listeners`: how legacy senders are heard.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::civil::Date;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problems};
use super::read::{At, Listed, Lost, Many, OneOrMany, Read, section};
use super::scalar::{Network, OrOff, text_value};
use super::{Address, SmtpListener};
use crate::policy::rate::Rate;
use crate::wire::oem_text::{CodePage, Utf8};

section! {
    /// How legacy senders are heard and their bytes understood, and what the gateway is called there.
    pub(in crate::config) struct Netbios {
        /// `observe`: nothing is sent, no name claimed. `answer`: names are claimed, questions answered, sessions
        /// accepted. Default: `observe`.
        mode: Mode,
        /// The computer name, claimed as `<00>` and `<20>`; at most 15 bytes in the code page. Default: the first label
        /// of `hostname`.
        host_name: String,
        /// Names claimed as `<03>`, to which `net send` finds its way. Default: none.
        names: Many<String>,
        /// The workgroup, whose messages are heard. Default: `WORKGROUP`.
        workgroup: String,
        /// `all`, or the names of the interfaces that are heard and answered on. With `all`, one that has a public
        /// address is left out. Default: `all`.
        interfaces: Interfaces,
        /// `on-link`, or the networks whose messages may be delivered and whose questions answered. Default: `on-link`.
        allow: Allow,
        /// WINS servers that the names are registered with. Default: none.
        wins: Many<Ipv4Addr>,
        /// The OEM code page of senders, as `chcp` shows it there: `cp850`, `cp932`, … Needed as soon as text leaves
        /// the inbox; until then `cp850`.
        code_page: CodePage,
        /// `never`: the code page decides alone. `auto`: text that is valid UTF-8 is taken as such, which Samba sends
        /// for characters outside its page; not with cp932, cp936, cp949, cp950. Default: `never`.
        utf8: Utf8,
        /// Exceptions by source address; the first that contains it decides.
        code_pages: Many<CodePageException>,
        /// The NetBIOS scope that is heard. Default: the empty one.
        scope: String,
        /// How long a copy of a message from the same source is the same message, counted from the first. Default: `5s`.
        dedup_window: OrOff<Duration>,
        /// How much one source may send.
        rate: MessageRate,
        /// How many sessions of `net send` there may be, and how long they wait.
        sessions: Sessions,
    }
    later: []
}

/// What the gateway does on the NetBIOS side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Mode {
    /// It listens.
    Observe,
    /// It claims names and answers.
    Answer,
}

/// Which interfaces are heard.
#[derive(Debug)]
pub(in crate::config) enum Interfaces {
    /// All but public ones.
    All,
    /// These.
    Named(Vec<At<String>>),
}

/// Who is listened to.
#[derive(Debug)]
pub(in crate::config) enum Allow {
    /// Whoever an interface reaches without a router.
    OnLink,
    /// These.
    Networks(Vec<At<Network>>),
}

section! {
    /// The code page of some senders.
    pub(in crate::config) struct CodePageException {
        /// A network or an address, or a list of them.
        source: OneOrMany<Network>,
        /// As `netbios.code_page`.
        code_page: CodePage,
        /// As `netbios.utf8`. Default: `never`.
        utf8: Utf8,
    }
    later: []
}

section! {
    /// How much one source may send.
    pub(in crate::config) struct MessageRate {
        /// Messages in a time from each source address. Default: `20/s`.
        per_source: OrOff<Rate>,
        /// How many at once after a silence. Default: 100.
        burst: u32,
    }
    later: []
}

section! {
    /// Limits of sessions on TCP 139.
    pub(in crate::config) struct Sessions {
        /// Connections of one source address at once. Default: 128.
        per_source: OrOff<u32>,
        /// Connections in all. Default: 2048.
        in_all: u32,
        /// How long one may stay open without a message. Default: `60s`.
        idle: Duration,
        /// How long a message may take from its first byte to its end. Default: `30s`.
        message: Duration,
    }
    later: []
}

section! {
    /// Whether legacy messages pass at all.
    pub(in crate::config) struct Mailslots {
        /// Messages heard. Default: enabled.
        inbound: Switch,
        /// Messages sent. Default: not enabled, as in Windows.
        outbound: Switch,
    }
    later: []
}

section! {
    /// One direction.
    pub(in crate::config) struct Switch {
        /// Whether messages pass.
        enabled: Enabled,
        /// The last day on which they pass though they are not enabled. Default: no such day.
        exception_until: Date,
    }
    later: []
}

/// Whether messages pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Enabled {
    Yes,
    No,
}

section! {
    /// Addresses that are listened on.
    pub(in crate::config) struct Listeners {
        /// UDP 138. Default address: 0.0.0.0:138.
        datagram: Address,
        /// UDP 137. Default address: 0.0.0.0:137.
        name_service: Address,
        /// TCP 139, open in mode `answer` only. Default address: 0.0.0.0:139.
        messenger: Address,
        /// TCP on which mail is taken. Default: nowhere.
        smtp: Many<SmtpListener>,
        /// Metrics and health over HTTP. Default address: 127.0.0.1:9138. Only loopback addresses.
        admin: Address,
    }
    later: ["metrics"]
}

impl Read for Interfaces {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        if matches!(&node.value, Value::Text(text) if text == "all") {
            return Some(Self::All);
        }
        Listed::read(node, place, problems).map(|names| Self::Named(names.0))
    }
}

impl Read for Allow {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        if matches!(&node.value, Value::Text(text) if text == "on-link") {
            return Some(Self::OnLink);
        }
        Listed::read(node, place, problems).map(|networks| Self::Networks(networks.0))
    }
}

impl Read for Ipv4Addr {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            text.parse().map_err(|_| {
                let fix = match text.parse::<SocketAddr>() {
                    Ok(SocketAddr::V4(with_port)) => format!("write {}, without a port", with_port.ip()),
                    _ => "write an IPv4 address, for example 192.0.2.5".to_owned(),
                };
                (format!("{text:?} is no IPv4 address"), fix)
            })
        })
    }
}

impl Read for Date {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            // Only the form that sorts: 03/04/2027 means two days.
            let is_iso = text.len() == "2027-03-31".len();
            text.parse().ok().filter(|_| is_iso).ok_or_else(|| {
                let fix = "write year, month and day, for example 2027-03-31";
                (format!("{text:?} is no date"), fix.to_owned())
            })
        })
    }
}
