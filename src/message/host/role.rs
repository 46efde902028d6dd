//! What a host is and does in its network.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::browser::ServerType;
use crate::wire::netbios_name::NameType;

/// Something that a host is or does, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Finds the primary domain controller in itself.
    DomainController,
    /// A further domain controller.
    BackupDomainController,
    /// Shares files.
    FileServer,
    /// Shares printers.
    PrintServer,
    /// Has a Microsoft SQL server.
    SqlServer,
    /// Takes calls (RAS).
    DialInServer,
    /// Calls others (RAS).
    DialInClient,
    /// Tells the time.
    TimeSource,
    /// Shares files with Macintoshes.
    AppleFileServer,
    /// A Novell server, or one that speaks its language.
    Novell,
    /// Keeps the list of all its domain's computers.
    DomainMasterBrowser,
    /// Keeps the list of its segment's computers.
    MasterBrowser,
    /// Keeps a copy of that list.
    BackupBrowser,
    /// Would keep it if elected.
    PotentialBrowser,
    /// Belongs to a domain.
    DomainMember,
    /// Searches its logon server by mailslot.
    LogonClient,
    /// Has a messenger name: it may send and show popups.
    Messenger,
    /// Exchanges data by NetDDE.
    NetDde,
}

impl Role {
    /// All of them, the most telling first.
    pub const ALL: [Self; 18] = [
        Self::DomainController,
        Self::BackupDomainController,
        Self::FileServer,
        Self::PrintServer,
        Self::SqlServer,
        Self::DialInServer,
        Self::DialInClient,
        Self::TimeSource,
        Self::AppleFileServer,
        Self::Novell,
        Self::DomainMasterBrowser,
        Self::MasterBrowser,
        Self::BackupBrowser,
        Self::PotentialBrowser,
        Self::DomainMember,
        Self::LogonClient,
        Self::Messenger,
        Self::NetDde,
    ];

    /// The word in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DomainController => "domain-controller",
            Self::BackupDomainController => "backup-domain-controller",
            Self::FileServer => "file-server",
            Self::PrintServer => "print-server",
            Self::SqlServer => "sql-server",
            Self::DialInServer => "dial-in-server",
            Self::DialInClient => "dial-in-client",
            Self::TimeSource => "time-source",
            Self::AppleFileServer => "apple-file-server",
            Self::Novell => "novell",
            Self::DomainMasterBrowser => "domain-master-browser",
            Self::MasterBrowser => "master-browser",
            Self::BackupBrowser => "backup-browser",
            Self::PotentialBrowser => "potential-browser",
            Self::DomainMember => "domain-member",
            Self::LogonClient => "logon-client",
            Self::Messenger => "messenger",
            Self::NetDde => "netdde",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// The bit in [`Roles`]: its place in [`Role::ALL`], which the declaration has in the same order.
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Roles(u32);

impl Roles {
    /// Whether it is among them.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Those of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }

    /// Reads what [`fmt::Display`] wrote; words of a later version are passed over.
    #[must_use]
    pub fn from_words(text: &str) -> Self {
        text.split(' ').filter_map(Role::named).collect()
    }

    /// Those that an announcement's bits tell of (MS-BRWS §2.2.1).
    #[must_use]
    pub fn of_server_type(server_type: ServerType) -> Self {
        BY_SERVER_TYPE
            .into_iter()
            .filter(|(bit, _)| server_type.contains(*bit))
            .map(|(_, role)| role)
            .collect()
    }

    /// Those that the type of a name tells under which a host sends.
    #[must_use]
    pub fn of_name_type(name_type: NameType) -> Self {
        BY_NAME_TYPE.into_iter().filter(|(of, _)| *of == name_type).map(|(_, role)| role).collect()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |all, role| all | role.bit()))
    }
}

/// The words, separated by blanks.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Role::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Role::as_str))
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Ok(words.iter().filter_map(|word| Role::named(word)).collect())
    }
}

/// `SERVER` says that the server service runs, as it does on every Windows: it is a file server's sign all the same,
/// since nothing else is.
const BY_SERVER_TYPE: [(ServerType, Role); 14] = [
    (ServerType::DOMAIN_CONTROLLER, Role::DomainController),
    (ServerType::BACKUP_DOMAIN_CONTROLLER, Role::BackupDomainController),
    (ServerType::SERVER, Role::FileServer),
    (ServerType::PRINT_QUEUE_SERVER, Role::PrintServer),
    (ServerType::SQL_SERVER, Role::SqlServer),
    (ServerType::DIAL_IN_SERVER, Role::DialInServer),
    (ServerType::TIME_SOURCE, Role::TimeSource),
    (ServerType::APPLE_FILE_SERVER, Role::AppleFileServer),
    (ServerType::NOVELL, Role::Novell),
    (ServerType::DOMAIN_MASTER_BROWSER, Role::DomainMasterBrowser),
    (ServerType::MASTER_BROWSER, Role::MasterBrowser),
    (ServerType::BACKUP_BROWSER, Role::BackupBrowser),
    (ServerType::POTENTIAL_BROWSER, Role::PotentialBrowser),
    (ServerType::DOMAIN_MEMBER, Role::DomainMember),
];

const BY_NAME_TYPE: [(NameType, Role); 7] = [
    (NameType::MESSENGER, Role::Messenger),
    (NameType(0x06), Role::DialInServer),
    (NameType::DOMAIN_MASTER, Role::DomainMasterBrowser),
    (NameType::LOCAL_MASTER, Role::MasterBrowser),
    (NameType(0x1F), Role::NetDde),
    (NameType::FILE_SERVER, Role::FileServer),
    (NameType(0x21), Role::DialInClient),
];
