//! What would break if the legacy protocols were switched off, and what to ask the vendor.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::host::Host;
use crate::message::host::{Purpose, Role, System};

/// For how long something that a host sent counts as something it depends on.
pub const RECENT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How a host depends on the legacy protocols, by what it was heard to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// It sent messages, or what programs tell each other, in the last 30 days: switched off today, somebody misses it.
    Breaks,
    /// It finds its logon servers by mailslot, and did so in the last 30 days.
    Logon,
    /// It did either, but not in the last 30 days.
    Quiet,
    /// It announces itself or looks for others; nothing else would be missed than its entry in the list of computers.
    Announces,
}

impl Dependence {
    /// That of `host` at `now`.
    #[must_use]
    pub fn of(host: &Host, now: Timestamp) -> Self {
        let recently = |at: Option<Timestamp>| at.is_some_and(|at| is_recent(at, now));
        if recently(host.last_use(&MESSAGES)) {
            Self::Breaks
        } else if recently(host.last_logon()) {
            Self::Logon
        } else if host.last_needed().is_some() {
            Self::Quiet
        } else {
            Self::Announces
        }
    }

    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Logon => "logon",
            Self::Quiet => "quiet",
            Self::Announces => "announces",
        }
    }

    /// A clause for people: if it were switched off today …
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Breaks => "its messages would be lost",
            Self::Logon => "it may not find its domain",
            Self::Quiet => "nothing for 30 days",
            Self::Announces => "only announces itself",
        }
    }
}

impl Serialize for Dependence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Host {
    /// When it last did what somebody depends on: a message, something between programs, a search for a logon server.
    #[must_use]
    pub fn last_needed(&self) -> Option<Timestamp> {
        self.last_use(&MESSAGES).max(self.last_logon())
    }

    /// When it last searched its logon servers by mailslot. Those that answer use the same mailslots and search nothing.
    #[must_use]
    pub fn last_logon(&self) -> Option<Timestamp> {
        self.last_use(&[Purpose::Logon]).filter(|_| self.roles.contains(Role::LogonClient))
    }

    /// Whether it did such a thing once, and not for this long.
    #[must_use]
    pub fn is_quiet_for(&self, span: Duration, now: Timestamp) -> bool {
        self.last_needed().is_some_and(|at| age(at, now) >= span)
    }
}

/// What to do about a host and to ask its vendor: sentences for people, none for one that only announces itself.
#[must_use]
pub fn advice(host: &Host) -> Vec<String> {
    let mut advice = Vec::new();
    let generation = Generation::of(host);
    if host.uses(&[Purpose::Messenger]) > 0 {
        advice.push(about_messages(host, generation).to_owned());
    }
    let vendor = host.channels.iter().filter(|used| used.channel.purpose() == Purpose::Vendor);
    let mailslots: Vec<String> = vendor.map(|used| used.channel.to_string()).collect();
    if !mailslots.is_empty() {
        advice.push(format!(
            "Find out which program writes to {} (on Windows, `handle` or Process Monitor shows it) and ask its vendor \
             whether a version works with remote mailslots disabled, and over which TCP port.",
            mailslots.join(" and ")
        ));
    }
    if host.last_logon().is_some() {
        advice.push(about_logon(generation).to_owned());
    }
    if host.roles.contains(Role::DomainController) && host.uses(&[Purpose::Logon]) > 0 {
        advice.push(ANSWERS_LOGONS.to_owned());
    }
    advice
}

/// Systems that can do alike about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// Windows and its forerunners with a messenger service of their own.
    WithMessenger,
    /// Windows since Vista, which has none.
    WithoutMessenger,
    /// Samba and other Unix.
    Unix,
    /// OS/2, VMS and LAN Manager.
    Other,
    /// Nothing hints at a system.
    Unknown,
}

impl Generation {
    const fn of(host: &Host) -> Self {
        let Some(guess) = host.system else { return Self::Unknown };
        match guess.system {
            System::WindowsForWorkgroups
            | System::Windows9x
            | System::Windows98
            | System::WindowsNt4
            | System::Windows2000
            | System::WindowsXp
            | System::Windows2003 => Self::WithMessenger,
            System::WindowsVista
            | System::Windows2008
            | System::Windows7
            | System::Windows2008R2
            | System::Windows8
            | System::Windows2012
            | System::Windows81
            | System::Windows2012R2
            | System::Windows10
            | System::Windows2016 => Self::WithoutMessenger,
            System::Samba | System::Unix => Self::Unix,
            System::LanManager | System::Os2 | System::Vms => Self::Other,
            System::WindowsNt | System::WindowsNtServer => Self::Unknown,
        }
    }
}

const fn about_messages(host: &Host, generation: Generation) -> &'static str {
    match generation {
        Generation::WithMessenger => {
            "Find out which program sends its messages (UPS, backup, antivirus and control software use `net send`) and ask \
             the vendor for alerts by SMTP, which most offer in a later version; until then keep this gateway in its segment."
        }
        Generation::WithoutMessenger => {
            "Its system has no Messenger service, so a program writes to the mailslot itself: ask the vendor for alerts by \
             SMTP. Windows 11 24H2 and Server 2025 refuse remote mailslots by default (error 3025), so it breaks with that update."
        }
        Generation::Unix => {
            "A script with `smbclient -M`, or an appliance built on Samba: let the script call `mail` or `sendmail`, or turn \
             on alerts by SMTP in the appliance."
        }
        Generation::Other => {
            "The system itself cannot do better: ask the vendor of what runs on it how it reports alarms elsewhere (serial \
             line, SNMP, relay contact), or keep this gateway in its segment."
        }
        Generation::Unknown if host.roles.contains(Role::PrintServer) => {
            "It shares printers and announces no system: turn on alerts by SMTP in the printer's or print server's own pages, or \
             ask the vendor for firmware that has them."
        }
        Generation::Unknown => {
            "It announces no system: often a UPS card, a NAS, a printer or a controller. Ask the vendor for firmware with \
             alerts by SMTP or syslog; the address and the MAC vendor help to find it."
        }
    }
}

const fn about_logon(generation: Generation) -> &'static str {
    match generation {
        Generation::WithMessenger | Generation::Other => {
            "It finds domain controllers by NetBIOS only if DNS does not help: give it the DNS servers of the domain, or take \
             it out of the domain before mailslots are switched off."
        }
        Generation::WithoutMessenger | Generation::Unix | Generation::Unknown => {
            "It can find domain controllers by DNS: see why it asks by mailslot (a short domain name in a script or in a \
             program, or missing SRV records) and mend that."
        }
    }
}

const ANSWERS_LOGONS: &str = "It answers searches for a domain controller by mailslot: before they are switched off there, \
     see to the hosts that are listed as searching.";

/// What somebody would miss: texts for people, and what programs tell each other.
const MESSAGES: [Purpose; 2] = [Purpose::Messenger, Purpose::Vendor];

pub(super) fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    age(at, now) < RECENT
}

/// Zero for what is yet to come: clocks are set back.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::{messenger, sighting};
    use crate::message::host::{Certainty, Channel, HostSighting, SystemGuess};

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 24 * 60 * 60).unwrap()
    }

    fn with(channel: &str, day: i64) -> Host {
        let seen = sighting("PC01", "192.0.2.7", day * 24 * 60 * 60);
        let channel = Channel::named(channel);
        let client = channel.purpose() == Purpose::Logon;
        let roles = client.then_some(Role::LogonClient).into_iter().collect();
        Host::new(HostSighting { channel, roles, ..seen }, 1)
    }

    #[test]
    fn what_was_sent_within_30_days_would_break_and_what_was_sent_before_is_quiet() {
        for (channel, soon, later) in [
            (r"\MAILSLOT\MESSNGR", Dependence::Breaks, Dependence::Quiet),
            ("TCP 139", Dependence::Breaks, Dependence::Quiet),
            (r"\MAILSLOT\ACME\BUS", Dependence::Breaks, Dependence::Quiet),
            (r"\MAILSLOT\NET\NETLOGON", Dependence::Logon, Dependence::Quiet),
            (r"\MAILSLOT\BROWSE", Dependence::Announces, Dependence::Announces),
        ] {
            let host = with(channel, 100);
            let on = |day| Dependence::of(&host, at(day));
            assert_eq!((on(100), on(129), on(130)), (soon, soon, later), "{channel}");
        }
    }

    #[test]
    fn a_domain_controller_that_answers_by_mailslot_searches_nothing() {
        let mut host = with(r"\MAILSLOT\NET\GETDC042", 100);
        host.roles = [Role::DomainController].into_iter().collect();
        assert_eq!(Dependence::of(&host, at(100)), Dependence::Announces);
        assert_eq!(advice(&host), [ANSWERS_LOGONS]);
    }

    #[test]
    fn a_host_that_still_announces_itself_is_quiet_all_the_same() {
        let mut host = with(r"\MAILSLOT\MESSNGR", 100);
        host.add(sighting("PC01", "192.0.2.7", 150 * 24 * 60 * 60), 1);
        let month = Duration::from_secs(30 * 24 * 60 * 60);
        assert!(host.is_quiet_for(month, at(150)) && !host.is_quiet_for(month, at(120)));
        assert!(!with(r"\MAILSLOT\BROWSE", 1).is_quiet_for(month, at(150)), "it never sent anything");
    }

    #[test]
    fn the_advice_fits_the_system_and_what_is_sent() {
        let mut host = Host::new(messenger("PC01", "192.0.2.7", 0), 1);
        assert!(advice(&host)[0].starts_with("It announces no system"));
        host.roles = [Role::PrintServer].into_iter().collect();
        assert!(advice(&host)[0].starts_with("It shares printers"));
        let guess = |system| Some(SystemGuess { system, certainty: Certainty::High });
        for (system, word) in [
            (System::WindowsNt4, "net send"),
            (System::Windows7, "error 3025"),
            (System::Samba, "smbclient -M"),
            (System::Os2, "serial line"),
        ] {
            host.system = guess(system);
            let [sentence] = advice(&host).try_into().unwrap();
            assert!(sentence.contains(word), "{sentence}");
        }
        let vendor = advice(&with(r"\MAILSLOT\ACME\BUS", 0));
        assert!(vendor[0].contains(r"writes to \MAILSLOT\ACME\BUS "), "{vendor:?}");
        assert_eq!(advice(&with(r"\MAILSLOT\NET\NETLOGON", 0)).len(), 1);
        assert_eq!(advice(&with(r"\MAILSLOT\BROWSE", 0)).len(), 0);
    }
}
