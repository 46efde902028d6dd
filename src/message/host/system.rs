//! Which operating system a host seems to run, and how sure that is.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::browser::{Announcement, ElectionCriteria, ServerType, Version};
use crate::wire::lanman;

/// An operating system, as far as announcements tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "their names are the documentation; `as_str` has them in full")]
pub enum System {
    LanManager,
    Os2,
    WindowsForWorkgroups,
    Windows9x,
    Windows98,
    WindowsNt4,
    Windows2000,
    WindowsXp,
    Windows2003,
    WindowsVista,
    Windows2008,
    Windows7,
    Windows2008R2,
    Windows8,
    Windows2012,
    Windows81,
    Windows2012R2,
    Windows10,
    Windows2016,
    WindowsNt,
    WindowsNtServer,
    Samba,
    Unix,
    Vms,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::LanManager,
        Self::Os2,
        Self::WindowsForWorkgroups,
        Self::Windows9x,
        Self::Windows98,
        Self::WindowsNt4,
        Self::Windows2000,
        Self::WindowsXp,
        Self::Windows2003,
        Self::WindowsVista,
        Self::Windows2008,
        Self::Windows7,
        Self::Windows2008R2,
        Self::Windows8,
        Self::Windows2012,
        Self::Windows81,
        Self::Windows2012R2,
        Self::Windows10,
        Self::Windows2016,
        Self::WindowsNt,
        Self::WindowsNtServer,
        Self::Samba,
        Self::Unix,
        Self::Vms,
    ];

    /// Its name for people, in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LanManager => "LAN Manager",
            Self::Os2 => "OS/2",
            Self::WindowsForWorkgroups => "Windows for Workgroups",
            Self::Windows9x => "Windows 95, 98 or ME",
            Self::Windows98 => "Windows 98",
            Self::WindowsNt4 => "Windows NT 4.0",
            Self::Windows2000 => "Windows 2000",
            Self::WindowsXp => "Windows XP",
            Self::Windows2003 => "Windows Server 2003",
            Self::WindowsVista => "Windows Vista",
            Self::Windows2008 => "Windows Server 2008",
            Self::Windows7 => "Windows 7",
            Self::Windows2008R2 => "Windows Server 2008 R2",
            Self::Windows8 => "Windows 8",
            Self::Windows2012 => "Windows Server 2012",
            Self::Windows81 => "Windows 8.1",
            Self::Windows2012R2 => "Windows Server 2012 R2",
            Self::Windows10 => "Windows 10 or 11",
            Self::Windows2016 => "Windows Server 2016 or later",
            Self::WindowsNt => "Windows of the NT family",
            Self::WindowsNtServer => "Windows Server",
            Self::Samba => "Samba",
            Self::Unix => "Unix",
            Self::Vms => "VMS",
        }
    }

    fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.as_str() == text)
    }
}

/// How sure a guess is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// One weak hint.
    Low,
    /// One good sign, which others share or which anyone can set.
    Medium,
    /// Several signs that agree.
    High,
}

impl Certainty {
    /// The word in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Reads [`Self::as_str`]; any other word is the least.
    #[must_use]
    pub fn named(word: &str) -> Self {
        [Self::High, Self::Medium]
            .into_iter()
            .find(|certainty| certainty.as_str() == word)
            .unwrap_or(Self::Low)
    }
}

/// Which system a host seems to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SystemGuess {
    /// The system.
    pub system: System,
    /// How sure.
    pub certainty: Certainty,
}

impl SystemGuess {
    /// A guess of the database; `None` for a system that this version does not know.
    #[must_use]
    pub fn named(system: &str, certainty: &str) -> Option<Self> {
        Some(Self { system: System::named(system)?, certainty: Certainty::named(certainty) })
    }

    /// From a host's announcement in the browser's mailslot. A domain's announcement holds no version of a system, so
    /// none is guessed from it: masters of the NT family write 3.10 there.
    #[must_use]
    pub fn of_announcement(host: &Announcement<'_>) -> Option<Self> {
        let agrees = host.browser_version == BROWSER_15_1;
        of_claims(host.os_version, host.server_type, Some(host.browser_version), agrees)
    }

    /// From an announcement of a LAN Manager.
    #[must_use]
    pub fn of_lanman(host: &lanman::Announcement<'_>) -> Option<Self> {
        let special =
            host.server_type.contains(ServerType::UNIX) || host.server_type.contains(ServerType::NT);
        match host.os_version.major {
            36..=38 => Some(medium(System::Os2)),
            1..=3 if !special => Some(Self { system: System::LanManager, certainty: Certainty::Low }),
            _ => of_claims(host.os_version, host.server_type, None, false),
        }
    }

    /// From a ballot, whose strength begins with the kind of system. Samba writes its `os level` there, which is 20
    /// where nobody set it.
    #[must_use]
    pub const fn of_election(criteria: ElectionCriteria) -> Option<Self> {
        let system = match criteria.os() {
            0x01 => System::Windows9x,
            0x10 => System::WindowsNt,
            0x14 => System::Samba,
            0x20 => System::WindowsNtServer,
            _ => return None,
        };
        Some(Self { system, certainty: Certainty::Low })
    }

    /// What is believed after one more guess: a better one, or a newer one that is as good.
    #[must_use]
    pub fn and_then(self, later: Self) -> Self {
        if later.certainty >= self.certainty { later } else { self }
    }
}

/// `Windows 98`, `Windows 7 (probably)`, `Samba (perhaps)`
impl fmt::Display for SystemGuess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.system.as_str())?;
        f.write_str(match self.certainty {
            Certainty::High => "",
            Certainty::Medium => " (probably)",
            Certainty::Low => " (perhaps)",
        })
    }
}

impl Serialize for System {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for System {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::named(&text).ok_or_else(|| serde::de::Error::custom("an unknown system"))
    }
}

/// The table of versions and bits. The Unix bit comes first: Samba claims to be Windows in all else.
fn of_claims(
    version: Version,
    server_type: ServerType,
    browser: Option<Version>,
    agrees: bool,
) -> Option<SystemGuess> {
    let is = |bit| server_type.contains(bit);
    if is(ServerType::UNIX) {
        let its_version = SAMBA_VERSIONS.contains(&(version.major, version.minor));
        return Some(match (is(ServerType::NT), its_version) {
            (true, true) => high(System::Samba),
            (true, false) | (false, true) => medium(System::Samba),
            (false, false) => medium(System::Unix),
        });
    }
    if is(ServerType::VMS) {
        return Some(medium(System::Vms));
    }
    if is(ServerType::WINDOWS_95) {
        let windows_98 = version.major == 4 && version.minor == 0 && browser == Some(BROWSER_21_4);
        return Some(if windows_98 { high(System::Windows98) } else { medium(System::Windows9x) });
    }
    if is(ServerType::WINDOWS_FOR_WORKGROUPS) {
        return Some(medium(System::WindowsForWorkgroups));
    }
    let system = nt_family(version, is_server(server_type))?;
    let of_nt = is(ServerType::NT) || is(ServerType::NT_SERVER);
    Some(if of_nt && agrees { high(system) } else { medium(system) })
}

const fn is_server(server_type: ServerType) -> bool {
    server_type.contains(ServerType::NT_SERVER)
        || server_type.contains(ServerType::DOMAIN_CONTROLLER)
        || server_type.contains(ServerType::BACKUP_DOMAIN_CONTROLLER)
}

const fn nt_family(version: Version, server: bool) -> Option<System> {
    Some(match (version.major, version.minor, server) {
        (4, 0, _) => System::WindowsNt4,
        (5, 0, _) => System::Windows2000,
        (5, 1, _) => System::WindowsXp,
        (5, 2, _) => System::Windows2003,
        (6, 0, false) => System::WindowsVista,
        (6, 0, true) => System::Windows2008,
        (6, 1, false) => System::Windows7,
        (6, 1, true) => System::Windows2008R2,
        (6, 2, false) => System::Windows8,
        (6, 2, true) => System::Windows2012,
        (6, 3, false) => System::Windows81,
        (6, 3, true) => System::Windows2012R2,
        (10, 0, false) => System::Windows10,
        (10, 0, true) => System::Windows2016,
        _ => return None,
    })
}

const fn high(system: System) -> SystemGuess {
    SystemGuess { system, certainty: Certainty::High }
}

const fn medium(system: System) -> SystemGuess {
    SystemGuess { system, certainty: Certainty::Medium }
}

/// What Samba writes as its system: old ones, and current ones.
const SAMBA_VERSIONS: [(u8, u8); 2] = [(4, 9), (6, 1)];

const BROWSER_15_1: Version = Version { major: 15, minor: 1 };

/// Of Windows 98 alone.
const BROWSER_21_4: Version = Version { major: 21, minor: 4 };
