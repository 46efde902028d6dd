//! `\MAILSLOT\BROWSE` announcements and elections (MS-BRWS §2.2).
//!
//! Little-endian after the opcode. Names and comments are in the sender's OEM code page and are borrowed from the
//! datagram. Every frame is a claim that nobody checked; none of them may be obeyed.

use std::fmt;
use std::time::Duration;

use super::reader::{Reader, Reason, WireError};

pub use server_type::ServerType;

mod server_type;

/// What a browser frame begins with. Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A server tells of itself (§2.2.1).
    pub const HOST_ANNOUNCEMENT: Self = Self(0x01);
    /// Asks servers to announce themselves (§2.2.5).
    pub const REQUEST_ANNOUNCEMENT: Self = Self(0x02);
    /// One ballot of an election (§2.2.3).
    pub const REQUEST_ELECTION: Self = Self(0x08);
    /// Asks for the backup browsers (§2.2.4).
    pub const GET_BACKUP_LIST_REQUEST: Self = Self(0x09);
    /// Names the backup browsers (§2.2.2).
    pub const GET_BACKUP_LIST_RESPONSE: Self = Self(0x0A);
    /// Makes a server a backup browser (§2.2.9).
    pub const BECOME_BACKUP: Self = Self(0x0B);
    /// A master browser tells of its domain or workgroup (§2.2.6).
    pub const DOMAIN_ANNOUNCEMENT: Self = Self(0x0C);
    /// A local master browser makes itself known to the domain's (§2.2.10).
    pub const MASTER_ANNOUNCEMENT: Self = Self(0x0D);
    /// Tells a browser to forget what it is (§2.2.8).
    pub const RESET_STATE: Self = Self(0x0E);
    /// A local master browser tells of itself (§2.2.7).
    pub const LOCAL_MASTER_ANNOUNCEMENT: Self = Self(0x0F);

    /// Its name in MS-BRWS, where it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::HOST_ANNOUNCEMENT => "HostAnnouncement",
            Self::REQUEST_ANNOUNCEMENT => "RequestAnnouncement",
            Self::REQUEST_ELECTION => "RequestElection",
            Self::GET_BACKUP_LIST_REQUEST => "GetBackupListRequest",
            Self::GET_BACKUP_LIST_RESPONSE => "GetBackupListResponse",
            Self::BECOME_BACKUP => "BecomeBackup",
            Self::DOMAIN_ANNOUNCEMENT => "DomainAnnouncement",
            Self::MASTER_ANNOUNCEMENT => "MasterAnnouncement",
            Self::RESET_STATE => "ResetStateRequest",
            Self::LOCAL_MASTER_ANNOUNCEMENT => "LocalMasterAnnouncement",
            _ => return None,
        })
    }
}

/// `HostAnnouncement (0x01)`
impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name().unwrap_or("unknown browser frame"), self.0)
    }
}

/// Two octets `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the dot.
    pub major: u8,
    /// After the dot.
    pub minor: u8,
}

impl Version {
    fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, WireError> {
        let [major, minor] = reader.array(field)?;
        Ok(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A name in a field of 16 bytes: it ends at the first NUL, and what follows is the sender's garbage.
///
/// Senders exist that fill all 16 bytes and write no NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FixedName<'a>(&'a [u8]);

impl<'a> FixedName<'a> {
    /// A name for a field of 16 bytes.
    ///
    /// # Errors
    /// `OutOfBounds` for more than 16 bytes, `Malformed` for a NUL among them.
    pub fn new(text: &'a [u8]) -> Result<Self, WireError> {
        if text.contains(&0) {
            return Err(WireError::new("ServerName", 0, Reason::Malformed("a NUL inside the name")));
        }
        if text.len() > FIXED_NAME_LENGTH {
            let value = u64::try_from(text.len()).unwrap_or(u64::MAX);
            return Err(WireError::new("ServerName", 0, Reason::OutOfBounds { value, limit: 16 }));
        }
        Ok(Self(text))
    }

    /// The bytes before the first NUL, in the sender's OEM code page; at most 16.
    #[must_use]
    pub const fn text(self) -> &'a [u8] {
        self.0
    }

    fn parse(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        Ok(Self(reader.sub(field, FIXED_NAME_LENGTH)?.until_nul_or_end()))
    }

    fn emit(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
        out.resize(out.len().saturating_add(FIXED_NAME_LENGTH.saturating_sub(self.0.len())), 0);
    }
}

impl fmt::Debug for FixedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What a server tells of itself (MS-BRWS §2.2.1; §2.2.7 for a local master browser).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// Counts up with each announcement of some senders; Windows sends zero.
    pub update_count: u8,
    /// How long until the next one; a list forgets the server after three of them. Up to 2³²−1 ms.
    pub period: Duration,
    /// The server.
    pub server_name: FixedName<'a>,
    /// The version of its operating system, as it claims (Samba claims to be Windows).
    pub os_version: Version,
    /// What it is and does.
    pub server_type: ServerType,
    /// The version of the browser protocol: 15.1, but 21.4 from Windows 98.
    pub browser_version: Version,
    /// 0xAA55.
    pub signature: u16,
    /// A text for people; empty where it is missing.
    pub comment: &'a [u8],
}

impl<'a> Announcement<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            update_count: reader.u8("UpdateCount")?,
            period: Duration::from_millis(reader.u32_le("Periodicity")?.into()),
            server_name: FixedName::parse(reader, "ServerName")?,
            os_version: Version::parse(reader, "OSVersion")?,
            server_type: ServerType(reader.u32_le("ServerType")?),
            browser_version: Version::parse(reader, "BrowserVersion")?,
            signature: reader.u16_le("Signature")?,
            comment: reader.until_nul_or_end(),
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.update_count);
        out.extend(milliseconds(self.period).to_le_bytes());
        self.server_name.emit(out);
        out.extend([self.os_version.major, self.os_version.minor]);
        out.extend(self.server_type.0.to_le_bytes());
        out.extend([self.browser_version.major, self.browser_version.minor]);
        out.extend(self.signature.to_le_bytes());
        emit_text(self.comment, out);
    }
}

/// What a master browser tells of its domain or workgroup (MS-BRWS §2.2.6).
///
/// The layout of an [`Announcement`] with other meanings: it holds no operating system's version, although masters of
/// the NT family write 3.10 there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainAnnouncement<'a> {
    /// Must be ignored.
    pub update_count: u8,
    /// How long until the next one.
    pub period: Duration,
    /// The domain or workgroup.
    pub machine_group: FixedName<'a>,
    /// The version of the browser's configuration.
    pub browser_config_version: Version,
    /// What the master browser knows of the group; [`ServerType::DOMAIN_ENUM`] is set.
    pub server_type: ServerType,
    /// `0F 01 55 AA` from Samba, left-over memory from Windows.
    pub trailer: [u8; 4],
    /// The local master browser.
    pub local_master: &'a [u8],
}

impl<'a> DomainAnnouncement<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            update_count: reader.u8("UpdateCount")?,
            period: Duration::from_millis(reader.u32_le("Periodicity")?.into()),
            machine_group: FixedName::parse(reader, "MachineGroup")?,
            browser_config_version: Version::parse(reader, "BrowserConfigVersion")?,
            server_type: ServerType(reader.u32_le("ServerType")?),
            trailer: reader.array("Signature")?,
            local_master: reader.until_nul_or_end(),
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.update_count);
        out.extend(milliseconds(self.period).to_le_bytes());
        self.machine_group.emit(out);
        out.extend([self.browser_config_version.major, self.browser_config_version.minor]);
        out.extend(self.server_type.0.to_le_bytes());
        out.extend(self.trailer);
        emit_text(self.local_master, out);
    }
}

/// How strong a ballot is; the greater number wins (MS-BRWS §2.2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElectionCriteria(pub u32);

impl ElectionCriteria {
    /// Which system: 0x01 Windows for Workgroups or 9x, 0x10 NT workstation, 0x20 NT server.
    #[must_use]
    pub const fn os(self) -> u8 {
        let [os, ..] = self.0.to_be_bytes();
        os
    }

    /// The version of the election protocol: major and minor.
    #[must_use]
    pub const fn revision(self) -> Version {
        let [_, minor, major, _] = self.0.to_be_bytes();
        Version { major, minor }
    }

    /// What the candidate is, from the strongest bit: 0x80 primary domain controller, 0x20 WINS client, 0x08 preferred
    /// master, 0x04 running master, 0x02 standby, 0x01 backup.
    #[must_use]
    pub const fn role(self) -> u8 {
        let [.., role] = self.0.to_be_bytes();
        role
    }
}

/// One ballot of an election (MS-BRWS §2.2.3). All zero from a Windows 98 that wants an election and not the office.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Election<'a> {
    /// The version of the election protocol: 1.
    pub version: u8,
    /// How strong the candidate is.
    pub criteria: ElectionCriteria,
    /// How long it has been running; decides between equals.
    pub uptime: Duration,
    /// The candidate.
    pub server_name: &'a [u8],
}

/// A browser frame: the data of a write to `\MAILSLOT\BROWSE`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called in MS-BRWS is what it is")]
pub enum Frame<'a> {
    /// A server tells of itself.
    HostAnnouncement(Announcement<'a>),
    /// Asks servers to announce themselves to `response_name`.
    RequestAnnouncement { unused: u8, response_name: &'a [u8] },
    /// One ballot of an election.
    RequestElection(Election<'a>),
    /// Asks for at most `requested_count` backup browsers.
    GetBackupListRequest { requested_count: u8, token: u32 },
    /// The backup browsers, under the token of the request; at most 255.
    GetBackupListResponse { token: u32, servers: Vec<&'a [u8]> },
    /// Makes a server a backup browser.
    BecomeBackup { browser_to_promote: &'a [u8] },
    /// A master browser tells of its domain or workgroup.
    DomainAnnouncement(DomainAnnouncement<'a>),
    /// A local master browser makes itself known to the domain's.
    MasterAnnouncement { master_browser: &'a [u8] },
    /// Tells a browser to stop being master (bit 0), forget its list (bit 1) or stop for good (bit 2). Nothing protects
    /// it: never obey.
    ResetState { options: u8 },
    /// A local master browser tells of itself.
    LocalMasterAnnouncement(Announcement<'a>),
    /// An opcode that MS-BRWS does not know.
    Unknown { opcode: Opcode, body: &'a [u8] },
}

impl<'a> Frame<'a> {
    /// The frame in the data of a mailslot write. What follows a complete frame is ignored, as receivers do.
    ///
    /// # Errors
    /// The field that is truncated; its offset counts from the start of the data.
    pub fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(data);
        let reader = &mut reader;
        Ok(match Opcode(reader.u8("Opcode")?) {
            Opcode::HOST_ANNOUNCEMENT => Self::HostAnnouncement(Announcement::parse(reader)?),
            Opcode::REQUEST_ANNOUNCEMENT => Self::RequestAnnouncement {
                unused: reader.u8("Unused")?,
                response_name: response_name(reader),
            },
            Opcode::REQUEST_ELECTION => Self::RequestElection(election(reader)?),
            Opcode::GET_BACKUP_LIST_REQUEST => Self::GetBackupListRequest {
                requested_count: reader.u8("RequestedCount")?,
                token: reader.u32_le("Token")?,
            },
            Opcode::GET_BACKUP_LIST_RESPONSE => backup_list(reader)?,
            Opcode::BECOME_BACKUP => Self::BecomeBackup { browser_to_promote: reader.until_nul_or_end() },
            Opcode::DOMAIN_ANNOUNCEMENT => Self::DomainAnnouncement(DomainAnnouncement::parse(reader)?),
            Opcode::MASTER_ANNOUNCEMENT => {
                Self::MasterAnnouncement { master_browser: reader.until_nul_or_end() }
            }
            Opcode::RESET_STATE => Self::ResetState { options: reader.u8("Options")? },
            Opcode::LOCAL_MASTER_ANNOUNCEMENT => Self::LocalMasterAnnouncement(Announcement::parse(reader)?),
            opcode => Self::Unknown { opcode, body: reader.rest() },
        })
    }

    /// What it begins with.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::HostAnnouncement(_) => Opcode::HOST_ANNOUNCEMENT,
            Self::RequestAnnouncement { .. } => Opcode::REQUEST_ANNOUNCEMENT,
            Self::RequestElection(_) => Opcode::REQUEST_ELECTION,
            Self::GetBackupListRequest { .. } => Opcode::GET_BACKUP_LIST_REQUEST,
            Self::GetBackupListResponse { .. } => Opcode::GET_BACKUP_LIST_RESPONSE,
            Self::BecomeBackup { .. } => Opcode::BECOME_BACKUP,
            Self::DomainAnnouncement(_) => Opcode::DOMAIN_ANNOUNCEMENT,
            Self::MasterAnnouncement { .. } => Opcode::MASTER_ANNOUNCEMENT,
            Self::ResetState { .. } => Opcode::RESET_STATE,
            Self::LocalMasterAnnouncement(_) => Opcode::LOCAL_MASTER_ANNOUNCEMENT,
            Self::Unknown { opcode, .. } => *opcode,
        }
    }

    /// Appends the data of a mailslot write that [`Self::parse`] reads back. Every text ends with a NUL; one inside a
    /// text would end it early.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.opcode().0);
        match self {
            Self::HostAnnouncement(announcement) | Self::LocalMasterAnnouncement(announcement) => {
                announcement.emit(out);
            }
            Self::RequestAnnouncement { unused, response_name } => {
                out.push(*unused);
                emit_text(response_name, out);
            }
            Self::RequestElection(election) => {
                out.push(election.version);
                out.extend(election.criteria.0.to_le_bytes());
                out.extend(milliseconds(election.uptime).to_le_bytes());
                out.extend([0; 4]);
                emit_text(election.server_name, out);
            }
            Self::GetBackupListRequest { requested_count, token } => {
                out.push(*requested_count);
                out.extend(token.to_le_bytes());
            }
            Self::GetBackupListResponse { token, servers } => {
                let count = u8::try_from(servers.len()).unwrap_or(u8::MAX);
                out.push(count);
                out.extend(token.to_le_bytes());
                servers.iter().take(count.into()).for_each(|server| emit_text(server, out));
            }
            Self::BecomeBackup { browser_to_promote: name }
            | Self::MasterAnnouncement { master_browser: name } => {
                emit_text(name, out);
            }
            Self::DomainAnnouncement(announcement) => announcement.emit(out),
            Self::ResetState { options } => out.push(*options),
            Self::Unknown { body, .. } => out.extend_from_slice(body),
        }
    }
}

/// The name to which announcements are asked for. Samba writes a stray NUL before it and none after it.
fn response_name<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    match reader.until_nul_or_end() {
        [] => reader.until_nul_or_end(),
        name => name,
    }
}

fn election<'a>(reader: &mut Reader<'a>) -> Result<Election<'a>, WireError> {
    let version = reader.u8("Version")?;
    let criteria = ElectionCriteria(reader.u32_le("Criteria")?);
    let uptime = Duration::from_millis(reader.u32_le("Uptime")?.into());
    reader.u32_le("Unused")?;
    Ok(Election { version, criteria, uptime, server_name: reader.until_nul_or_end() })
}

fn backup_list<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, WireError> {
    let count = reader.u8("BackupServerCount")?;
    let token = reader.u32_le("Token")?;
    let mut servers = Vec::new();
    for _ in 0..count {
        if reader.left() == 0 {
            return Err(reader.bad("BackupServerList", Reason::Truncated { need: 1, left: 0 }));
        }
        servers.push(reader.until_nul_or_end());
    }
    Ok(Frame::GetBackupListResponse { token, servers })
}

fn emit_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    out.push(0);
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

const FIXED_NAME_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn host<'a>(name: &'a [u8], comment: &'a [u8]) -> Announcement<'a> {
        Announcement {
            update_count: 0,
            period: Duration::from_mins(1),
            server_name: FixedName::new(name).unwrap(),
            os_version: Version { major: 6, minor: 1 },
            server_type: ServerType(0x0081_9A23),
            browser_version: Version { major: 15, minor: 1 },
            signature: 0xAA55,
            comment,
        }
    }

    fn bytes_of(frame: &Frame<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        frame.emit(&mut out);
        out
    }

    #[test]
    fn every_frame_reads_back_as_emitted() {
        let announcement = host(b"SMBALPHA", b"Lab vm");
        let domain = DomainAnnouncement {
            update_count: 3,
            period: Duration::from_millis(u32::MAX.into()),
            machine_group: FixedName::new(b"NBLAB").unwrap(),
            browser_config_version: Version { major: 3, minor: 10 },
            server_type: ServerType(0x8000_1000),
            trailer: [0xFE, 7, 0, 0],
            local_master: b"SMBALPHA",
        };
        let election = Election {
            version: 1,
            criteria: ElectionCriteria(0x2001_0F08),
            uptime: Duration::from_secs(6),
            server_name: b"SMBALPHA",
        };
        for frame in [
            Frame::HostAnnouncement(announcement),
            Frame::RequestAnnouncement { unused: 1, response_name: b"WIN98PC" },
            Frame::RequestAnnouncement { unused: 1, response_name: b"" },
            Frame::RequestElection(election),
            Frame::GetBackupListRequest { requested_count: 4, token: 0x0102_0304 },
            Frame::GetBackupListResponse { token: 9, servers: vec![b"A", b"", b"B"] },
            Frame::BecomeBackup { browser_to_promote: b"A" },
            Frame::DomainAnnouncement(domain),
            Frame::MasterAnnouncement { master_browser: b"A" },
            Frame::ResetState { options: 2 },
            Frame::LocalMasterAnnouncement(announcement),
            Frame::Unknown { opcode: Opcode(0x7F), body: b"\x01\0\x02" },
        ] {
            assert_eq!(Frame::parse(&bytes_of(&frame)), Ok(frame));
        }
    }

    #[test]
    fn a_server_name_of_sixteen_bytes_has_no_nul() {
        let frame = Frame::HostAnnouncement(host(b"SIXTEENBYTENAME1", b""));
        let bytes = bytes_of(&frame);
        assert_eq!(bytes.len(), 33);
        assert_eq!(Frame::parse(&bytes), Ok(frame));
        assert!(FixedName::new(b"SEVENTEENBYTENAME").is_err());
        assert!(FixedName::new(b"A\0B").is_err());
    }

    #[test]
    fn garbage_after_the_nul_is_no_part_of_the_server_name() {
        let mut bytes = bytes_of(&Frame::HostAnnouncement(host(b"SOMEHOST", b"")));
        bytes[6 + 10..6 + 12].copy_from_slice(&[0x14, 0xFF]);
        let Ok(Frame::HostAnnouncement(announcement)) = Frame::parse(&bytes) else { panic!() };
        assert_eq!(announcement.server_name.text(), b"SOMEHOST");
    }

    #[test]
    fn a_comment_may_be_missing_or_lack_its_nul() {
        let bytes = bytes_of(&Frame::HostAnnouncement(host(b"A", b"pump")));
        for (end, comment) in [(32, b"".as_slice()), (36, b"pump"), (34, b"pu")] {
            let Ok(Frame::HostAnnouncement(announcement)) = Frame::parse(&bytes[..end]) else { panic!() };
            assert_eq!(announcement.comment, comment);
        }
        let error = Frame::parse(&bytes[..31]).unwrap_err();
        assert_eq!(error.to_string(), "Signature at byte 30: need 2 bytes, 1 left");
    }

    #[test]
    fn sambas_request_announcement_has_a_stray_nul_before_the_name() {
        let frame = Frame::parse(b"\x02\x01\0SMBALPHA").unwrap();
        assert_eq!(frame, Frame::RequestAnnouncement { unused: 1, response_name: b"SMBALPHA" });
        let frame = Frame::parse(b"\x02\0WIN98PC\0").unwrap();
        assert_eq!(frame, Frame::RequestAnnouncement { unused: 0, response_name: b"WIN98PC" });
    }

    #[test]
    fn a_zero_ballot_of_windows_98_is_a_ballot() {
        let bytes = [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let Ok(Frame::RequestElection(election)) = Frame::parse(&bytes) else { panic!() };
        assert_eq!(
            (election.version, election.criteria, election.server_name),
            (0, ElectionCriteria(0), &b""[..])
        );
    }

    #[test]
    fn criteria_come_apart_into_system_revision_and_role() {
        // Samba 4.17, capture 01: `8A 0F 01 41` on the wire.
        let criteria = ElectionCriteria(u32::from_le_bytes([0x8A, 0x0F, 0x01, 0x41]));
        assert_eq!((criteria.os(), criteria.role()), (0x41, 0x8A));
        assert_eq!(criteria.revision(), Version { major: 15, minor: 1 });
    }

    #[test]
    fn a_backup_list_shorter_than_its_count_is_refused() {
        let error = Frame::parse(b"\x0A\x02\0\0\0\0ALPHA\0").unwrap_err();
        assert_eq!(error.field(), "BackupServerList");
    }

    #[test]
    fn no_frame_is_found_in_nothing() {
        assert_eq!(Frame::parse(b"").unwrap_err().field(), "Opcode");
    }
}
