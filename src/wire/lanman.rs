//! `\MAILSLOT\LANMAN` announcements: what LAN Manager and OS/2 hosts say where later ones use the browser's mailslot.
//!
//! Little-endian. No open specification has the layout; it is what LAN Manager sends and Samba sends and reads.

use std::fmt;
use std::time::Duration;

use super::browser::{ServerType, Version};
use super::reader::{Reader, WireError};

/// What a LANMAN frame begins with. Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command(pub u16);

impl Command {
    /// A server tells of itself.
    pub const ANNOUNCE: Self = Self(1);
    /// Asks servers to announce themselves.
    pub const REQUEST: Self = Self(2);
}

/// `announce (0x0001)`
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::ANNOUNCE => "announce",
            Self::REQUEST => "announcement request",
            _ => "unknown LANMAN frame",
        };
        write!(f, "{name} (0x{:04X})", self.0)
    }
}

/// What a server tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// What it is and does; zero when it goes away.
    pub server_type: ServerType,
    /// The version of its operating system, as it claims.
    pub os_version: Version,
    /// How long until the next one; whole seconds here, unlike in browser frames.
    pub period: Duration,
    /// The server, in its OEM code page; of any length.
    pub server_name: &'a [u8],
    /// A text for people, in its OEM code page; empty where it is missing.
    pub comment: &'a [u8],
}

/// A LANMAN frame: the data of a write to `\MAILSLOT\LANMAN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A server tells of itself.
    Announce(Announcement<'a>),
    /// Asks servers to announce themselves; what follows the command differs between senders.
    Request {
        /// Everything after the command.
        body: &'a [u8],
    },
    /// A command that nothing is known of.
    Unknown {
        /// What it begins with.
        command: Command,
        /// Everything after it.
        body: &'a [u8],
    },
}

impl<'a> Frame<'a> {
    /// The frame in the data of a mailslot write. The name and the comment may lack their NUL.
    ///
    /// # Errors
    /// The field that is truncated; its offset counts from the start of the data.
    pub fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(data);
        match Command(reader.u16_le("Command")?) {
            Command::ANNOUNCE => {
                let server_type = ServerType(reader.u32_le("ServerType")?);
                let [major, minor] = reader.array("OSVersion")?;
                Ok(Self::Announce(Announcement {
                    server_type,
                    os_version: Version { major, minor },
                    period: Duration::from_secs(reader.u16_le("Periodicity")?.into()),
                    server_name: reader.until_nul_or_end(),
                    comment: reader.until_nul_or_end(),
                }))
            }
            Command::REQUEST => Ok(Self::Request { body: reader.rest() }),
            command => Ok(Self::Unknown { command, body: reader.rest() }),
        }
    }

    /// What it begins with.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Announce(_) => Command::ANNOUNCE,
            Self::Request { .. } => Command::REQUEST,
            Self::Unknown { command, .. } => *command,
        }
    }

    /// Appends the data of a mailslot write that [`Self::parse`] reads back. A NUL inside a text would end it early;
    /// periods are cut to 65 535 s and to whole seconds.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.command().0.to_le_bytes());
        match self {
            Self::Announce(announcement) => {
                out.extend(announcement.server_type.0.to_le_bytes());
                out.extend([announcement.os_version.major, announcement.os_version.minor]);
                let seconds = u16::try_from(announcement.period.as_secs()).unwrap_or(u16::MAX);
                out.extend(seconds.to_le_bytes());
                for text in [announcement.server_name, announcement.comment] {
                    out.extend_from_slice(text);
                    out.push(0);
                }
            }
            Self::Request { body } | Self::Unknown { body, .. } => out.extend_from_slice(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samba 4.17, capture 01 frame 7.
    const SAMBA: &[u8] = b"\x01\x00\x23\x9a\x81\x00\x06\x01\x05\x00SMBALPHA\0LAB VM (SMBALPHA)\0";

    #[test]
    fn sambas_announcement_counts_its_period_in_seconds() {
        let Ok(Frame::Announce(announcement)) = Frame::parse(SAMBA) else { panic!() };
        assert_eq!(announcement.period, Duration::from_secs(5));
        assert_eq!(announcement.server_type, ServerType(0x0081_9A23));
        assert_eq!(announcement.os_version, Version { major: 6, minor: 1 });
        assert_eq!(announcement.server_name, b"SMBALPHA");
        assert_eq!(announcement.comment, b"LAB VM (SMBALPHA)");
    }

    #[test]
    fn every_frame_reads_back_as_emitted() {
        for bytes in [SAMBA, b"\x02\x00\x23\x9a", b"\x02\x00", b"\x63\x00rest"] {
            let frame = Frame::parse(bytes).unwrap();
            let mut out = Vec::new();
            frame.emit(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_name_without_its_nul_leaves_no_comment() {
        let Ok(Frame::Announce(announcement)) = Frame::parse(&SAMBA[..15]) else { panic!() };
        assert_eq!((announcement.server_name, announcement.comment), (&b"SMBAL"[..], &b""[..]));
        assert_eq!(
            Frame::parse(&SAMBA[..9]).unwrap_err().to_string(),
            "Periodicity at byte 8: need 2 bytes, 1 left"
        );
    }
}
