//! The bits of a host's server type.

use std::fmt;

/// What a host says it is and does: `SV_TYPE_…` bits (MS-BRWS §2.2.1, MS-SRVS §2.2.2.7).
///
/// Zero in a [`HostAnnouncement`](super::Frame::HostAnnouncement) means that the host goes away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ServerType(pub u32);

#[expect(missing_docs, reason = "the table below says each in words")]
impl ServerType {
    pub const WORKSTATION: Self = Self(0x0000_0001);
    pub const SERVER: Self = Self(0x0000_0002);
    pub const SQL_SERVER: Self = Self(0x0000_0004);
    pub const DOMAIN_CONTROLLER: Self = Self(0x0000_0008);
    pub const BACKUP_DOMAIN_CONTROLLER: Self = Self(0x0000_0010);
    pub const TIME_SOURCE: Self = Self(0x0000_0020);
    pub const APPLE_FILE_SERVER: Self = Self(0x0000_0040);
    pub const NOVELL: Self = Self(0x0000_0080);
    pub const DOMAIN_MEMBER: Self = Self(0x0000_0100);
    pub const PRINT_QUEUE_SERVER: Self = Self(0x0000_0200);
    pub const DIAL_IN_SERVER: Self = Self(0x0000_0400);
    pub const UNIX: Self = Self(0x0000_0800);
    pub const NT: Self = Self(0x0000_1000);
    pub const WINDOWS_FOR_WORKGROUPS: Self = Self(0x0000_2000);
    pub const NETWARE_FILE_AND_PRINT: Self = Self(0x0000_4000);
    pub const NT_SERVER: Self = Self(0x0000_8000);
    pub const POTENTIAL_BROWSER: Self = Self(0x0001_0000);
    pub const BACKUP_BROWSER: Self = Self(0x0002_0000);
    pub const MASTER_BROWSER: Self = Self(0x0004_0000);
    pub const DOMAIN_MASTER_BROWSER: Self = Self(0x0008_0000);
    pub const OSF: Self = Self(0x0010_0000);
    pub const VMS: Self = Self(0x0020_0000);
    pub const WINDOWS_95: Self = Self(0x0040_0000);
    pub const DFS: Self = Self(0x0080_0000);
    pub const ALTERNATE_TRANSPORT: Self = Self(0x2000_0000);
    pub const LOCAL_LIST_ONLY: Self = Self(0x4000_0000);
    pub const DOMAIN_ENUM: Self = Self(0x8000_0000);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Each set bit that has a name, from the lowest.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        SERVER_TYPES.into_iter().filter(move |&(bit, _)| self.contains(bit)).map(|(_, name)| name)
    }
}

/// `workstation, server, NT`; bits without a name as one hexadecimal number at the end; `none` for zero.
impl fmt::Display for ServerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let mut separator = "";
        for name in self.names() {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        let unnamed = SERVER_TYPES.iter().fold(self.0, |left, (bit, _)| left & !bit.0);
        if unnamed == 0 { Ok(()) } else { write!(f, "{separator}0x{unnamed:08X}") }
    }
}

impl fmt::Debug for ServerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerType(0x{:08X})", self.0)
    }
}

const SERVER_TYPES: [(ServerType, &str); 27] = [
    (ServerType::WORKSTATION, "workstation"),
    (ServerType::SERVER, "server"),
    (ServerType::SQL_SERVER, "SQL server"),
    (ServerType::DOMAIN_CONTROLLER, "primary domain controller"),
    (ServerType::BACKUP_DOMAIN_CONTROLLER, "backup domain controller"),
    (ServerType::TIME_SOURCE, "time source"),
    (ServerType::APPLE_FILE_SERVER, "Apple file server"),
    (ServerType::NOVELL, "Novell server"),
    (ServerType::DOMAIN_MEMBER, "domain member"),
    (ServerType::PRINT_QUEUE_SERVER, "print queue server"),
    (ServerType::DIAL_IN_SERVER, "dial-in server"),
    (ServerType::UNIX, "Unix"),
    (ServerType::NT, "NT"),
    (ServerType::WINDOWS_FOR_WORKGROUPS, "Windows for Workgroups"),
    (ServerType::NETWARE_FILE_AND_PRINT, "file and print services for NetWare"),
    (ServerType::NT_SERVER, "NT server"),
    (ServerType::POTENTIAL_BROWSER, "potential browser"),
    (ServerType::BACKUP_BROWSER, "backup browser"),
    (ServerType::MASTER_BROWSER, "master browser"),
    (ServerType::DOMAIN_MASTER_BROWSER, "domain master browser"),
    (ServerType::OSF, "OSF"),
    (ServerType::VMS, "VMS"),
    (ServerType::WINDOWS_95, "Windows 95 or later"),
    (ServerType::DFS, "DFS"),
    (ServerType::ALTERNATE_TRANSPORT, "alternate transport"),
    (ServerType::LOCAL_LIST_ONLY, "local list only"),
    (ServerType::DOMAIN_ENUM, "domain enumeration"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_types_are_a_list_in_words() {
        assert_eq!(ServerType(0x1003).to_string(), "workstation, server, NT");
        assert_eq!(ServerType(0).to_string(), "none");
        assert_eq!(ServerType(0x0100_0002).to_string(), "server, 0x01000000");
        assert_eq!(ServerType(0x0100_0000).to_string(), "0x01000000");
    }
}
