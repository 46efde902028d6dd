//! `\MAILSLOT\NET\NETLOGON` and `\MAILSLOT\NET\NTLOGON`: the search for a logon server (MS-ADTS §6.3.1, §6.3.5).
//!
//! Read to tell who still searches that way, never to answer: an answer would go to an address and a mailslot of the
//! caller's choice. Little-endian; UTF-16 texts begin at an even distance from the start of the mailslot's data,
//! whatever that start's own place in the datagram.

use std::fmt::{self, Write as _};

use super::reader::{Reader, Reason, WireError};

/// What a NETLOGON frame begins with. Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opcode(pub u16);

impl Opcode {
    /// A LAN Manager client wants to log on.
    pub const LOGON_REQUEST: Self = Self(0x00);
    /// A LAN Manager 2.0 server answers a logon request.
    pub const LOGON_RESPONSE: Self = Self(0x06);
    /// Who is the primary domain controller?
    pub const PRIMARY_QUERY: Self = Self(0x07);
    /// The primary domain controller tells of changed accounts.
    pub const UAS_CHANGE: Self = Self(0x0A);
    /// The primary domain controller answers.
    pub const PRIMARY_RESPONSE: Self = Self(0x0C);
    /// An NT client searches a domain controller.
    pub const SAM_LOGON_REQUEST: Self = Self(0x12);
    /// A domain controller answers.
    pub const SAM_LOGON_RESPONSE: Self = Self(0x13);
    /// A domain controller answers that its logon service pauses.
    pub const SAM_PAUSE_RESPONSE: Self = Self(0x14);
    /// A domain controller answers that it does not know the user.
    pub const SAM_USER_UNKNOWN: Self = Self(0x15);
    /// As [`Self::SAM_LOGON_RESPONSE`], with DNS names.
    pub const SAM_LOGON_RESPONSE_EX: Self = Self(0x17);
    /// As [`Self::SAM_PAUSE_RESPONSE`], with DNS names.
    pub const SAM_PAUSE_RESPONSE_EX: Self = Self(0x18);
    /// As [`Self::SAM_USER_UNKNOWN`], with DNS names.
    pub const SAM_USER_UNKNOWN_EX: Self = Self(0x19);

    /// Its name in MS-ADTS §6.3.1.3, where it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::LOGON_REQUEST => "LOGON_REQUEST",
            Self::LOGON_RESPONSE => "LOGON_RESPONSE2",
            Self::PRIMARY_QUERY => "LOGON_PRIMARY_QUERY",
            Self::UAS_CHANGE => "ANNOUNCE_UAS_CHANGE",
            Self::PRIMARY_RESPONSE => "LOGON_PRIMARY_RESPONSE",
            Self::SAM_LOGON_REQUEST => "LOGON_SAM_LOGON_REQUEST",
            Self::SAM_LOGON_RESPONSE => "LOGON_SAM_LOGON_RESPONSE",
            Self::SAM_PAUSE_RESPONSE => "LOGON_SAM_PAUSE_RESPONSE",
            Self::SAM_USER_UNKNOWN => "LOGON_SAM_USER_UNKNOWN",
            Self::SAM_LOGON_RESPONSE_EX => "LOGON_SAM_LOGON_RESPONSE_EX",
            Self::SAM_PAUSE_RESPONSE_EX => "LOGON_SAM_PAUSE_RESPONSE_EX",
            Self::SAM_USER_UNKNOWN_EX => "LOGON_SAM_USER_UNKNOWN_EX",
            _ => return None,
        })
    }
}

/// `LOGON_PRIMARY_QUERY (0x07)`
impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name().unwrap_or("unknown NETLOGON frame"), self.0)
    }
}

/// A text in UTF-16, little-endian, as it lies in the datagram and without its NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Utf16<'a>(&'a [[u8; 2]]);

impl<'a> Utf16<'a> {
    /// The characters; U+FFFD for each unpaired surrogate.
    pub fn chars(self) -> impl Iterator<Item = char> {
        char::decode_utf16(self.0.iter().map(|&unit| u16::from_le_bytes(unit)))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Reads from the next even offset to the NUL, or to the end where none follows.
    fn parse(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        if !reader.offset().is_multiple_of(2) {
            reader.u8(field)?;
        }
        let (units, _) = reader.rest().as_chunks::<2>();
        if units.is_empty() {
            return Err(reader.bad(field, Reason::Truncated { need: 2, left: reader.left() }));
        }
        let text = units.split(|unit| *unit == [0, 0]).next().unwrap_or_default();
        let with_nul = text.len().saturating_add(1).min(units.len());
        reader.bytes(field, with_nul.saturating_mul(2))?;
        Ok(Self(text))
    }
}

/// The text, with controls, quotes and backslashes escaped.
impl fmt::Display for Utf16<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().flat_map(char::escape_debug).try_for_each(|c| f.write_char(c))
    }
}

impl fmt::Debug for Utf16<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which forms of answer a client understands, and the server used: `NETLOGON_NT_VERSION` bits (MS-ADTS §6.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NtVersion(pub u32);

/// A search for the primary domain controller (MS-ADTS §6.3.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryQuery<'a> {
    /// Who asks.
    pub computer_name: &'a [u8],
    /// Where the answer is wanted; of the caller's choice.
    pub reply_mailslot: &'a [u8],
    /// The part that LAN Manager clients leave out: the name once more, and what answers are understood.
    pub nt: Option<(Utf16<'a>, NtVersion)>,
}

/// An answer to [`PrimaryQuery`] (MS-ADTS §6.3.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryResponse<'a> {
    /// The primary domain controller.
    pub server_name: &'a [u8],
    /// The part that LAN Manager servers leave out: its name once more, and the domain.
    pub nt: Option<(Utf16<'a>, Utf16<'a>, NtVersion)>,
}

/// A search for a domain controller (MS-ADTS §6.3.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamLogonRequest<'a> {
    /// How often it was repeated.
    pub request_count: u16,
    /// Who asks.
    pub computer_name: Utf16<'a>,
    /// Who wants to log on; often empty.
    pub user_name: Utf16<'a>,
    /// Where the answer is wanted; of the caller's choice.
    pub reply_mailslot: &'a [u8],
    /// Which kinds of account are accepted.
    pub account_control: u32,
    /// The domain's security identifier; often empty.
    pub domain_sid: &'a [u8],
    /// What answers are understood.
    pub nt_version: NtVersion,
}

/// A NETLOGON frame: the data of a write to `\MAILSLOT\NET\NETLOGON`, or to the mailslot that a request named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called in MS-ADTS is what it is")]
pub enum Frame<'a> {
    /// A LAN Manager client wants to log on.
    LogonRequest { computer_name: &'a [u8], user_name: &'a [u8], reply_mailslot: &'a [u8] },
    /// A LAN Manager 2.0 server answers.
    LogonResponse { server_name: &'a [u8] },
    /// Who is the primary domain controller?
    PrimaryQuery(PrimaryQuery<'a>),
    /// The primary domain controller answers.
    PrimaryResponse(PrimaryResponse<'a>),
    /// The primary domain controller tells of changed accounts.
    UasChange { serial_number: u32, server_name: &'a [u8], domain_name: &'a [u8] },
    /// An NT client searches a domain controller.
    SamLogonRequest(SamLogonRequest<'a>),
    /// A domain controller answers; `opcode` tells how.
    SamLogonResponse { opcode: Opcode, server_name: Utf16<'a>, user_name: Utf16<'a>, domain_name: Utf16<'a> },
    /// A domain controller answers with DNS names, which are not taken apart.
    SamLogonResponseEx { opcode: Opcode, body: &'a [u8] },
    /// An opcode that nothing is known of.
    Unknown { opcode: Opcode, body: &'a [u8] },
}

impl<'a> Frame<'a> {
    /// The frame in the data of a mailslot write.
    ///
    /// # Errors
    /// The field that is truncated; its offset counts from the start of the data.
    pub fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(data);
        let reader = &mut reader;
        match Opcode(reader.u16_le("Opcode")?) {
            Opcode::LOGON_REQUEST => Ok(Self::LogonRequest {
                computer_name: reader.until_nul("ComputerName")?,
                user_name: reader.until_nul("UserName")?,
                reply_mailslot: reader.until_nul("MailslotName")?,
            }),
            Opcode::LOGON_RESPONSE => {
                Ok(Self::LogonResponse { server_name: reader.until_nul("LogonServer")? })
            }
            Opcode::PRIMARY_QUERY => primary_query(reader).map(Self::PrimaryQuery),
            Opcode::PRIMARY_RESPONSE => primary_response(reader).map(Self::PrimaryResponse),
            Opcode::UAS_CHANGE => uas_change(reader),
            Opcode::SAM_LOGON_REQUEST => sam_logon_request(reader).map(Self::SamLogonRequest),
            opcode @ (Opcode::SAM_LOGON_RESPONSE | Opcode::SAM_PAUSE_RESPONSE | Opcode::SAM_USER_UNKNOWN) => {
                Ok(Self::SamLogonResponse {
                    opcode,
                    server_name: Utf16::parse(reader, "UnicodeLogonServer")?,
                    user_name: Utf16::parse(reader, "UnicodeUserName")?,
                    domain_name: Utf16::parse(reader, "UnicodeDomainName")?,
                })
            }
            opcode @ (Opcode::SAM_LOGON_RESPONSE_EX
            | Opcode::SAM_PAUSE_RESPONSE_EX
            | Opcode::SAM_USER_UNKNOWN_EX) => Ok(Self::SamLogonResponseEx { opcode, body: reader.rest() }),
            opcode => Ok(Self::Unknown { opcode, body: reader.rest() }),
        }
    }

    /// What it begins with.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::LogonRequest { .. } => Opcode::LOGON_REQUEST,
            Self::LogonResponse { .. } => Opcode::LOGON_RESPONSE,
            Self::PrimaryQuery(_) => Opcode::PRIMARY_QUERY,
            Self::PrimaryResponse(_) => Opcode::PRIMARY_RESPONSE,
            Self::UasChange { .. } => Opcode::UAS_CHANGE,
            Self::SamLogonRequest(_) => Opcode::SAM_LOGON_REQUEST,
            Self::SamLogonResponse { opcode, .. }
            | Self::SamLogonResponseEx { opcode, .. }
            | Self::Unknown { opcode, .. } => *opcode,
        }
    }
}

fn primary_query<'a>(reader: &mut Reader<'a>) -> Result<PrimaryQuery<'a>, WireError> {
    Ok(PrimaryQuery {
        computer_name: reader.until_nul("ComputerName")?,
        reply_mailslot: reader.until_nul("MailslotName")?,
        nt: if reader.left() > LM_TRAILER {
            Some((Utf16::parse(reader, "UnicodeComputerName")?, NtVersion(reader.u32_le("NtVersion")?)))
        } else {
            None
        },
    })
}

fn primary_response<'a>(reader: &mut Reader<'a>) -> Result<PrimaryResponse<'a>, WireError> {
    Ok(PrimaryResponse {
        server_name: reader.until_nul("PrimaryDCName")?,
        nt: if reader.left() > LM_TRAILER {
            Some((
                Utf16::parse(reader, "UnicodePrimaryDCName")?,
                Utf16::parse(reader, "UnicodeDomainName")?,
                NtVersion(reader.u32_le("NtVersion")?),
            ))
        } else {
            None
        },
    })
}

fn uas_change<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, WireError> {
    let serial_number = reader.u32_le("LowSerialNumber")?;
    reader.bytes("DateAndTime, Pulse, Random", 12)?;
    Ok(Frame::UasChange {
        serial_number,
        server_name: reader.until_nul("PrimaryDCName")?,
        domain_name: reader.until_nul("DomainName")?,
    })
}

fn sam_logon_request<'a>(reader: &mut Reader<'a>) -> Result<SamLogonRequest<'a>, WireError> {
    let request_count = reader.u16_le("RequestCount")?;
    let computer_name = Utf16::parse(reader, "UnicodeComputerName")?;
    let user_name = Utf16::parse(reader, "UnicodeUserName")?;
    let reply_mailslot = reader.until_nul("MailslotName")?;
    let account_control = reader.u32_le("AllowableAccountControlBits")?;
    let sid_size = reader.u32_le("DomainSidSize")?;
    let domain_sid = if sid_size == 0 {
        &[]
    } else {
        let pad = reader.offset().next_multiple_of(4).saturating_sub(reader.offset());
        reader.bytes("DomainSid", pad)?;
        reader.bytes("DomainSid", usize::try_from(sid_size).unwrap_or(usize::MAX))?
    };
    let nt_version = NtVersion(reader.u32_le("NtVersion")?);
    Ok(SamLogonRequest {
        request_count,
        computer_name,
        user_name,
        reply_mailslot,
        account_control,
        domain_sid,
        nt_version,
    })
}

/// What follows the names from LAN Manager hosts: at most a pad byte and the token `FFFF`.
const LM_TRAILER: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn text(field: Utf16<'_>) -> String {
        field.chars().collect()
    }

    #[test]
    fn utf16_begins_at_an_even_distance_from_the_datas_start() {
        // One letter more moves the UTF-16 name to an odd place, where a pad byte of any value precedes it.
        for (mailslot, pad) in [(r"\MAILSLOT\NET\GETDC265", &[][..]), (r"\MAILSLOT\NET\GETDC26", &[0x42])] {
            let data = [
                b"\x07\0TORTURE_TEST\0",
                mailslot.as_bytes(),
                b"\0",
                pad,
                &utf16("TORTURE_TEST"),
                b"\x01\0\0\0\xff\xff\xff\xff",
            ]
            .concat();
            let Ok(Frame::PrimaryQuery(query)) = Frame::parse(&data) else { panic!("{mailslot}") };
            assert_eq!(
                (query.computer_name, query.reply_mailslot),
                (&b"TORTURE_TEST"[..], mailslot.as_bytes())
            );
            let (name, version) = query.nt.unwrap();
            assert_eq!((text(name).as_str(), version), ("TORTURE_TEST", NtVersion(1)));
        }
    }

    #[test]
    fn a_lan_manager_client_asks_without_the_nt_part() {
        for trailer in [&b""[..], b"\xff\xff", b"\0\xff\xff"] {
            let data = [&b"\x07\0OS2BOX\0\\MAILSLOT\\TEMP\0"[..], trailer].concat();
            let Ok(Frame::PrimaryQuery(query)) = Frame::parse(&data) else { panic!() };
            assert_eq!((query.computer_name, query.nt), (&b"OS2BOX"[..], None));
        }
    }

    #[test]
    fn a_sam_logon_request_has_its_sid_at_a_multiple_of_four() {
        for sid in [&b""[..], &[1, 4, 0, 0, 0, 0, 0, 5]] {
            let mut data = [
                &[0x12, 0, 3, 0],
                utf16("PC1").as_slice(),
                utf16("karl").as_slice(),
                b"\\MAILSLOT\\NET\\GETDC562\0",
                &0x80_u32.to_le_bytes(),
                &u32::try_from(sid.len()).unwrap().to_le_bytes(),
            ]
            .concat();
            if !sid.is_empty() {
                data.resize(data.len().next_multiple_of(4), 0);
            }
            data.extend_from_slice(sid);
            data.extend(b"\x0b\0\0\0\xff\xff\xff\xff");
            let Ok(Frame::SamLogonRequest(request)) = Frame::parse(&data) else { panic!() };
            assert_eq!((text(request.computer_name), text(request.user_name)), ("PC1".into(), "karl".into()));
            assert_eq!((request.request_count, request.account_control), (3, 0x80));
            assert_eq!((request.domain_sid, request.nt_version), (sid, NtVersion(11)));
        }
    }

    #[test]
    fn a_sid_longer_than_the_data_is_truncated_not_a_panic() {
        let data = [
            &[0x12, 0, 0, 0][..],
            &utf16("PC1"),
            &utf16(""),
            b"\\M\0",
            &[0; 4],
            &u32::MAX.to_le_bytes(),
            &[0; 8],
        ]
        .concat();
        assert_eq!(Frame::parse(&data).unwrap_err().field(), "DomainSid");
    }

    #[test]
    fn answers_are_recognised() {
        let data =
            [&[0x13, 0], utf16(r"\\SMBPDC").as_slice(), &utf16(""), &utf16("NBDOM"), &[1, 0, 0, 0]].concat();
        let Ok(Frame::SamLogonResponse { server_name, domain_name, .. }) = Frame::parse(&data) else {
            panic!()
        };
        assert_eq!((text(server_name), text(domain_name)), (r"\\SMBPDC".into(), "NBDOM".into()));

        let data = [&b"\x0c\0SMBPDC\0\0"[..], &utf16("SMBPDC"), &utf16("NBDOM"), &[1, 0, 0, 0]].concat();
        let Ok(Frame::PrimaryResponse(response)) = Frame::parse(&data) else { panic!() };
        assert_eq!(text(response.nt.unwrap().1), "NBDOM");

        for opcode in 0x17..=0x19 {
            let data = [opcode, 0, 0, 0];
            let frame = Frame::parse(&data).unwrap();
            assert!(matches!(frame, Frame::SamLogonResponseEx { body: [0, 0], .. }), "{opcode:02X}");
            assert!(frame.opcode().name().is_some(), "{opcode:02X}");
        }
        let frame = Frame::parse(b"\x06\0\\\\LM\0\xff\xff");
        assert_eq!(frame, Ok(Frame::LogonResponse { server_name: b"\\\\LM" }));
    }

    #[test]
    fn lan_manager_logons_and_account_changes_are_read() {
        let frame = Frame::parse(b"\0\0PC1\0KARL\0\\MAILSLOT\\TEMP\\NETLOGON\0\x01\xff\xff");
        let wanted = Frame::LogonRequest {
            computer_name: b"PC1",
            user_name: b"KARL",
            reply_mailslot: b"\\MAILSLOT\\TEMP\\NETLOGON",
        };
        assert_eq!(frame, Ok(wanted));
        let frame = Frame::parse(b"\x0a\0\x07\0\0\0____________PDC\0DOM\0");
        assert_eq!(
            frame,
            Ok(Frame::UasChange { serial_number: 7, server_name: b"PDC", domain_name: b"DOM" })
        );
    }

    #[test]
    fn an_unpaired_surrogate_is_marked_and_an_unterminated_text_ends_with_the_data() {
        let mut reader = Reader::new(&[b'A', 0, 0x00, 0xD8, b'B', 0, 0x0A, 0]);
        let field = Utf16::parse(&mut reader, "UnicodeUserName").unwrap();
        assert_eq!((text(field), reader.left()), ("A\u{FFFD}B\n".into(), 0));
        assert_eq!(field.to_string(), "A\u{FFFD}B\\n");
        assert!(Utf16::parse(&mut reader, "UnicodeUserName").is_err());
    }
}
