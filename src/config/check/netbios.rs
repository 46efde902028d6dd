//! `netbios`: what the gateway is called, where, and to whom it listens.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, OrOff};
use super::super::settings::{Claims, Interfaces, Mode, Netbios, Sessions};
use super::Checking;
use super::relay::chosen;
use crate::policy::allowed_sources::AllowedSources;
use crate::policy::public_space::covers_public;
use crate::policy::rate::Rate;
use crate::policy::source_rate::SourceRate;
use crate::policy::spelling::nearest;
use crate::wire::netbios_name::{NameType, NetbiosName};
use crate::wire::oem_text::CodePage;

/// What of `netbios` is not about text.
#[derive(Default)]
pub(super) struct Written {
    pub(super) mode: Option<At<raw::Mode>>,
    pub(super) host_name: Option<At<String>>,
    pub(super) names: Option<At<raw::Many<String>>>,
    pub(super) workgroup: Option<At<String>>,
    pub(super) interfaces: Option<At<raw::Interfaces>>,
    pub(super) allow: Option<At<raw::Allow>>,
    pub(super) wins: Option<At<raw::Many<Ipv4Addr>>>,
    pub(super) dedup_window: Option<At<OrOff<Duration>>>,
    pub(super) rate: Option<At<raw::MessageRate>>,
    pub(super) sessions: Option<At<raw::Sessions>>,
    /// Where the code page is known: names outside ASCII are claimed as its bytes.
    pub(super) code_page: Option<CodePage>,
}

impl Checking<'_> {
    pub(super) fn netbios(&mut self, written: Written, hostname: Option<&str>) -> Netbios {
        let Written { mode, host_name, names, workgroup, interfaces, allow, wins, .. } = written;
        let code_page = written.code_page;
        let in_mode_answer_only = [
            host_name.as_ref().map(|key| &key.place),
            names.as_ref().map(|key| &key.place),
            workgroup.as_ref().map(|key| &key.place),
            wins.as_ref().map(|key| &key.place),
        ];
        let observes = mode.as_ref().is_none_or(|mode| mode.value == raw::Mode::Observe);
        if observes && self.is_sound("netbios.mode") {
            for place in in_mode_answer_only.into_iter().flatten() {
                let cause = "has no effect in mode observe, in which nothing is claimed or asked";
                let fix = "write `mode: answer`, or remove it";
                self.problems.warn(Problem::subject(place, cause, fix));
            }
        }
        // Checked in both modes: who switches over to `answer` has no surprise.
        let host_name = match (host_name, hostname) {
            (Some(name), _) => self.netbios_name(&name, NameType::WORKSTATION, code_page),
            (None, hostname) => hostname.and_then(first_label),
        };
        let workgroup = match workgroup {
            Some(name) => self.workgroup(&name, host_name, code_page),
            None => NetbiosName::new(DEFAULT_WORKGROUP, NameType::WORKSTATION).ok(),
        };
        let names = self.messenger_names(names, code_page);
        let wins = self.wins(wins);
        if let (Some(mode), None) = (mode.filter(|_| !observes), host_name) {
            let cause = "answer has neither `host_name` nor `hostname` to claim";
            let fix =
                "add `host_name: GW1`, or `hostname` at the top of the file, whose first label is taken";
            self.incomplete(&mode.place, cause, fix);
        }
        let mode = match (host_name, workgroup) {
            (Some(host_name), Some(workgroup)) if !observes => {
                Mode::Answer(Box::new(Claims { host_name, names, workgroup, wins }))
            }
            _ => Mode::Observe,
        };
        Netbios {
            interfaces: self.interfaces(interfaces),
            allow: self.allowed(allow, &mode),
            mode,
            dedup_window: self.dedup_window(written.dedup_window),
            rate: self.source_rate(written.rate),
            sessions: self.sessions(written.sessions),
        }
    }

    /// The bytes that a name is claimed as.
    fn netbios_name(
        &mut self,
        name: &At<String>,
        kind: NameType,
        code_page: Option<CodePage>,
    ) -> Option<NetbiosName> {
        let text = &name.value;
        let (cause, fix) = match claimable(text, kind, code_page) {
            Ok(name) => return Some(name),
            Err(Unclaimable::Empty) => {
                ("the name is empty".to_owned(), "write a name of at most 15 characters".to_owned())
            }
            Err(Unclaimable::Blank) => {
                (format!("{text:?} begins or ends with a blank"), format!("write {:?}", text.trim()))
            }
            Err(Unclaimable::Character(character)) => (
                format!("{text:?} has {character:?}, which no NetBIOS name may have"),
                "write letters, digits, blanks within, and - _ $".to_owned(),
            ),
            Err(Unclaimable::CodePageUnknown) => (
                format!(
                    "{text:?} has letters outside ASCII, and which bytes they are depends on the code page"
                ),
                "add `code_page`, or write a name in ASCII".to_owned(),
            ),
            Err(Unclaimable::NotIn(code_page, character)) => (
                format!("{text:?} has {character:?}, which {code_page} does not have"),
                "write a name that the senders can write".to_owned(),
            ),
            Err(Unclaimable::Length(bytes)) => (
                format!("{text:?} has {bytes} bytes; a NetBIOS name has 15"),
                "write a shorter name".to_owned(),
            ),
        };
        self.problem(name.problem(cause, fix));
        None
    }

    fn workgroup(
        &mut self,
        workgroup: &At<String>,
        host_name: Option<NetbiosName>,
        code_page: Option<CodePage>,
    ) -> Option<NetbiosName> {
        let name = self.netbios_name(workgroup, NameType::WORKSTATION, code_page)?;
        if host_name == Some(name) {
            let cause = "is the host's own name: one name cannot be a host's and a group's";
            self.problem(Problem::subject(&workgroup.place, cause, "write another workgroup or host_name"));
            return None;
        }
        Some(name)
    }

    fn messenger_names(
        &mut self,
        names: Option<At<raw::Many<String>>>,
        code_page: Option<CodePage>,
    ) -> Vec<NetbiosName> {
        let mut claimed: Vec<At<NetbiosName>> = Vec::new();
        for written in names.map(|names| names.value.0).unwrap_or_default() {
            let Some(name) = self.netbios_name(&written, NameType::MESSENGER, code_page) else { continue };
            if let Some(earlier) = claimed.iter().find(|earlier| earlier.value == name) {
                let cause = format!("{:?} is on line {} already", written.value, earlier.place.line);
                self.problem(
                    written.problem(cause, "remove one of the two; upper and lower case are the same"),
                );
            } else if claimed.len() >= MAX_NAMES {
                let cause = format!("is one more than the {MAX_NAMES} names that one host may claim");
                self.problem(Problem::subject(&written.place, cause, "remove it"));
                break;
            } else {
                claimed.push(At { value: name, place: written.place });
            }
        }
        claimed.into_iter().map(|name| name.value).collect()
    }

    fn wins(&mut self, wins: Option<At<raw::Many<Ipv4Addr>>>) -> Vec<Ipv4Addr> {
        let mut servers = Vec::new();
        for server in wins.map(|wins| wins.value.0).unwrap_or_default() {
            let address = server.value;
            if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
                let fix = "write the address of the WINS server";
                self.problem(server.problem(format!("{address} is no address of a server"), fix));
            } else if servers.contains(&address) {
                self.problem(server.problem(format!("{address} is there already"), "remove one of the two"));
            } else {
                servers.push(address);
            }
        }
        servers
    }

    fn allowed(&mut self, allow: Option<At<raw::Allow>>, mode: &Mode) -> AllowedSources {
        let Some(At { value: raw::Allow::Networks(networks), place }) = allow else {
            return AllowedSources::OnLink;
        };
        if networks.is_empty() {
            self.problems.warn(Problem::new(
                &place,
                "the list is empty, so nobody is heard",
                HEAR_NEIGHBOURS,
            ));
        }
        if matches!(mode, Mode::Answer(_)) {
            let public = networks.iter().filter(|network| covers_public(network.value.0));
            for At { value: raw::Network(network), place } in public {
                let cause = format!(
                    "{network} has addresses of the Internet, which anybody can forge: they would be answered too"
                );
                self.problems.warn(Problem::new(place, cause, HEAR_NEIGHBOURS));
            }
        }
        AllowedSources::Networks(networks.into_iter().map(|network| network.value.0).collect())
    }

    fn interfaces(&mut self, interfaces: Option<At<raw::Interfaces>>) -> Interfaces {
        let Some(At { value: raw::Interfaces::Named(written), place }) = interfaces else {
            return Interfaces::All;
        };
        if written.is_empty() {
            let fix = "name those of your segments, or write `interfaces: all`";
            self.problems.warn(Problem::new(&place, "the list is empty, so nothing is heard", fix));
        }
        let is_interface = |name: &str| {
            (1..=15).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        };
        let mut names = Vec::new();
        for At { value: name, place } in written {
            if !is_interface(&name) {
                let fix = "write a name as `ip link` shows it, for example eth0, or `interfaces: all`";
                self.problem(Problem::new(&place, format!("{name:?} is no name of an interface"), fix));
            } else if names.contains(&name) {
                self.problem(Problem::new(
                    &place,
                    format!("{name} is there already"),
                    "remove one of the two",
                ));
            } else {
                self.interface_is_there(&name, &place);
                names.push(name);
            }
        }
        Interfaces::Named(names)
    }

    /// One that does not exist is no fault, since it may appear later; a slip of the pen looks like a quiet segment.
    fn interface_is_there(&mut self, name: &str, place: &Place) {
        let present = &self.surroundings.interfaces;
        if present.is_empty() || present.iter().any(|present| present == name) {
            return;
        }
        let fix = match nearest(name, present.iter().map(String::as_str)) {
            Some(meant) => format!("write {meant}, or leave it if it appears later"),
            None => format!("this machine has {}; leave it if it appears later", present.join(", ")),
        };
        let cause = format!("this machine has no interface {name} that is up, so nothing is heard there");
        self.problems.warn(Problem::new(place, cause, fix));
    }

    fn dedup_window(&mut self, window: Option<At<OrOff<Duration>>>) -> Option<Duration> {
        let Some(At { value, place }) = window else { return Some(DEFAULT_DEDUP_WINDOW) };
        let window = value.limit()?;
        if window.is_zero() {
            self.problem(Problem::new(&place, "may not be zero", "write `off`, or a time such as 5s"));
        } else if window > MAX_DEDUP_WINDOW {
            let cause = "is so long that an alarm that comes again would be taken for a copy";
            let fix = "write at most 1m; to make one mail of repeats use `group` of a rule";
            self.problem(Problem::subject(&place, cause, fix));
        }
        Some(window)
    }

    fn source_rate(&mut self, written: Option<At<raw::MessageRate>>) -> Option<SourceRate> {
        let raw::MessageRate { per_source, burst, .. } = written.map(|rate| rate.value).unwrap_or_default();
        let rate = match per_source {
            None => DEFAULT_RATE,
            Some(At { value: OrOff::On(rate), .. }) => rate,
            Some(At { value: OrOff::Off, .. }) => {
                if let Some(burst) = burst {
                    let cause = "has no effect beside `per_source: off`";
                    self.problems.warn(Problem::subject(&burst.place, cause, "remove one of the two"));
                }
                return None;
            }
        };
        Some(SourceRate { rate, burst: burst.map_or(DEFAULT_BURST, |burst| burst.value) })
    }
}

impl Checking<'_> {
    fn sessions(&mut self, written: Option<At<raw::Sessions>>) -> Sessions {
        let raw::Sessions { per_source, in_all, idle, message, .. } =
            written.map(|sessions| sessions.value).unwrap_or_default();
        let default = Sessions::default();
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let sessions = Sessions {
            per_source: chosen(per_source, default.per_source, count),
            in_all: in_all.as_ref().map_or(default.in_all, |written| count(written.value)),
            idle: self.nonzero(idle, default.idle),
            message: self.nonzero(message, default.message),
        };
        if let Some(in_all) = in_all
            && sessions.per_source.is_some_and(|of_one| of_one > sessions.in_all)
        {
            let cause = "is less than `per_source`, so one source could take all there are";
            self.problems.warn(Problem::subject(&in_all.place, cause, "write a greater number"));
        }
        sessions
    }
}

/// Why a name cannot be claimed.
enum Unclaimable {
    Empty,
    Blank,
    Character(char),
    CodePageUnknown,
    NotIn(CodePage, char),
    Length(usize),
}

/// The name in upper case, as NetBIOS compares names byte by byte and Windows writes them so.
fn claimable(text: &str, kind: NameType, code_page: Option<CodePage>) -> Result<NetbiosName, Unclaimable> {
    if text.is_empty() {
        return Err(Unclaimable::Empty);
    }
    if text.trim() != text {
        return Err(Unclaimable::Blank);
    }
    // Those that Windows refuses in computer names; `*` begins the wildcard (RFC 1001 §14).
    let refused = |c: &char| c.is_control() || "\"/\\:*?<>|".contains(*c);
    if let Some(character) = text.chars().find(refused).or_else(|| text.chars().next().filter(|c| *c == '.'))
    {
        return Err(Unclaimable::Character(character));
    }
    let page = match code_page {
        None if !text.is_ascii() => return Err(Unclaimable::CodePageUnknown),
        page => page.unwrap_or(CodePage::Cp850),
    };
    let bytes = page.encode(&upper_case(text)).map_err(|error| Unclaimable::NotIn(page, error.character))?;
    NetbiosName::new(&bytes, kind).map_err(|_| Unclaimable::Length(bytes.len()))
}

/// Letter by letter, so that no name grows: ß stays.
fn upper_case(text: &str) -> String {
    let upper = |letter: char| {
        let mut upper = letter.to_uppercase();
        if upper.len() == 1 { upper.next().unwrap_or(letter) } else { letter }
    };
    text.chars().map(upper).collect()
}

/// The computer name that Windows would make of a DNS name: the first label in upper case, cut to 15 characters.
fn first_label(hostname: &str) -> Option<NetbiosName> {
    let label = hostname.split('.').next()?;
    let name: String = label.chars().take(15).collect();
    NetbiosName::new(name.to_ascii_uppercase().as_bytes(), NameType::WORKSTATION).ok()
}

const HEAR_NEIGHBOURS: &str = "name the networks of your own senders, or write `allow: on-link`";

/// A name table of Windows holds 254; so many also stay answerable in one node status response.
const MAX_NAMES: usize = 100;

const DEFAULT_WORKGROUP: &[u8] = b"WORKGROUP";
const DEFAULT_DEDUP_WINDOW: Duration = Duration::from_secs(5);
const MAX_DEDUP_WINDOW: Duration = Duration::from_secs(60);
const DEFAULT_RATE: Rate = Rate { count: 20, period: Duration::from_secs(1) };
const DEFAULT_BURST: u32 = 100;
