//! Messages for people: the text in `\MAILSLOT\MESSNGR`, and the message blocks of TCP 139 (MS-MSRP §2.2).
//!
//! All strings are in the sender's OEM code page; a double-byte character may be cut between two blocks, so blocks are
//! joined before anything is decoded.

use super::datagram::{self, Direct, MsgType};
use super::mailslot::{Class, MailslotName, MailslotWrite};
use super::netbios_name::NetbiosName;
use super::reader::{Reader, Reason, WireError};
use super::smb::{Command, Header, Status};

/// The data of a write to `\MAILSLOT\MESSNGR`: `From NUL To NUL Text NUL`. There is no type byte and no length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// The user or computer it claims to come from; may be empty.
    pub from: &'a [u8],
    /// A computer, user or workgroup, or `*`; may be empty.
    pub to: &'a [u8],
    /// The message; may be empty.
    pub text: &'a [u8],
}

impl<'a> Text<'a> {
    /// Reads the data of a mailslot write. The last NUL may be missing, and whatever follows it is left aside: senders
    /// that allocate a few bytes too many send them.
    ///
    /// # Errors
    /// `Malformed` when From or To has no NUL.
    pub fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(data);
        Ok(Self {
            from: reader.until_nul("From")?,
            to: reader.until_nul("To")?,
            text: reader.until_nul_or_end(),
        })
    }

    /// Writes the data that [`Self::parse`] reads. A NUL within a field would end it early and is left out.
    pub fn emit(&self, out: &mut Vec<u8>) {
        for field in [self.from, self.to, self.text] {
            emit_string(field, out);
        }
    }

    /// A complete UDP payload for port 138, as Windows NT sends it: a second-class write of priority 1.
    ///
    /// # Errors
    /// `OutOfBounds` past the 512 bytes of user data that a datagram may carry: 425 for From, To, Text and three NULs.
    pub fn datagram(
        &self,
        header: datagram::Header,
        msg_type: MsgType,
        source_name: NetbiosName,
        destination_name: NetbiosName,
    ) -> Result<Vec<u8>, WireError> {
        let mut data = Vec::new();
        self.emit(&mut data);
        let name = MailslotName::MESSNGR;
        let write = MailslotWrite { name, priority: 1, class: Class::SECOND, data: &data };
        let mut user_data = Vec::new();
        write.emit(&mut user_data)?;
        if user_data.len() > Direct::MAX_USER_DATA {
            let value = u64::try_from(user_data.len()).unwrap_or(u64::MAX);
            return Err(WireError::new("USER_DATA", 82, Reason::OutOfBounds { value, limit: 512 }));
        }
        let mut out = Vec::new();
        Direct::new(header, msg_type, source_name, destination_name, &user_data)?.emit(&mut out);
        Ok(out)
    }
}

/// MessageGroupId: which message of several blocks a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MessageGroupId(pub u16);

/// A request of the messenger service on TCP 139. The order is start, text …, end: D5, D7 …, D6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// SMB_COM_SEND_MESSAGE (D0): a whole message of up to 128 bytes.
    Single(Text<'a>),
    /// SMB_COM_SEND_START_MB_MESSAGE (D5).
    Start {
        /// OriginatorName.
        from: &'a [u8],
        /// DestinationName.
        to: &'a [u8],
    },
    /// SMB_COM_SEND_TEXT_MB_MESSAGE (D7): up to 128 bytes of text.
    Block {
        /// The message that this block continues.
        group: MessageGroupId,
        /// The text of the block.
        text: &'a [u8],
    },
    /// SMB_COM_SEND_END_MB_MESSAGE (D6): the message is complete.
    End {
        /// The message that ends.
        group: MessageGroupId,
    },
    /// D1 to D4, which nothing has sent since LAN Manager; the answer is [`Status::UNKNOWN_SMB`].
    Obsolete(Command),
}

impl<'a> Request<'a> {
    /// Reads the SMB of one session message.
    ///
    /// ByteCount is not looked at, and a text length past the end means all that is there.
    ///
    /// # Errors
    /// `NotAllowed` for another SMB or another buffer format; `Malformed` for a name without NUL; the truncation.
    pub fn parse(message: &'a [u8]) -> Result<(Header, Self), WireError> {
        let mut reader = Reader::new(message);
        let header = Header::parse(&mut reader)?;
        let request = match header.command {
            Command::SEND_MESSAGE => {
                let (from, to) = parse_names(&mut reader)?;
                Self::Single(Text { from, to, text: parse_text(&mut reader)? })
            }
            Command::START_MB => {
                let (from, to) = parse_names(&mut reader)?;
                Self::Start { from, to }
            }
            Command::TEXT_MB => {
                let group = parse_group(&mut reader)?;
                Self::Block { group, text: parse_text(&mut reader)? }
            }
            Command::END_MB => Self::End { group: parse_group(&mut reader)? },
            Command(0xD1..=0xD4) => Self::Obsolete(header.command),
            Command(other) => {
                return Err(WireError::new("Command", 4, Reason::NotAllowed { value: other.into() }));
            }
        };
        Ok((header, request))
    }

    /// The command that says which request it is.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Single(_) => Command::SEND_MESSAGE,
            Self::Start { .. } => Command::START_MB,
            Self::Block { .. } => Command::TEXT_MB,
            Self::End { .. } => Command::END_MB,
            Self::Obsolete(command) => *command,
        }
    }

    /// Writes the SMB, `header` with this request's command. Nothing follows the header of an obsolete one.
    ///
    /// # Errors
    /// `OutOfBounds` when a 16-bit length cannot express the text.
    pub fn emit(&self, header: Header, out: &mut Vec<u8>) -> Result<(), WireError> {
        let mut words: &[MessageGroupId] = &[];
        let mut buffer = Vec::new();
        match self {
            Self::Single(Text { from, to, text }) => {
                emit_names(from, to, &mut buffer);
                emit_text(text, &mut buffer)?;
            }
            Self::Start { from, to } => emit_names(from, to, &mut buffer),
            Self::Block { group, text } => {
                words = std::slice::from_ref(group);
                emit_text(text, &mut buffer)?;
            }
            Self::End { group } => words = std::slice::from_ref(group),
            Self::Obsolete(_) => {}
        }
        let byte_count = length("ByteCount", buffer.len())?;
        Header { command: self.command(), ..header }.emit(out);
        emit_words(words, out);
        out.extend_from_slice(&byte_count.to_le_bytes());
        out.extend_from_slice(&buffer);
        Ok(())
    }
}

/// An answer to a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Taken.
    Done,
    /// A message of several blocks may begin. Samba leaves the identifier out; its clients then use 0.
    Started {
        /// What its blocks are to carry.
        group: MessageGroupId,
    },
    /// Not taken, and why.
    Refused(Status),
}

impl Response {
    /// Reads the SMB of an answer.
    ///
    /// # Errors
    /// What [`Header::parse`] refuses, and a truncation within the words.
    pub fn parse(message: &[u8]) -> Result<(Header, Self), WireError> {
        let mut reader = Reader::new(message);
        let header = Header::parse(&mut reader)?;
        if header.status != Status::SUCCESS {
            return Ok((header, Self::Refused(header.status)));
        }
        let word_count = reader.u8("WordCount")?;
        let response = match (header.command, word_count) {
            (Command::START_MB, 0) => Self::Started { group: MessageGroupId(0) },
            (Command::START_MB, _) => {
                Self::Started { group: MessageGroupId(reader.u16_le("MessageGroupId")?) }
            }
            _ => Self::Done,
        };
        Ok((header, response))
    }

    /// Writes the answer to the request with the header `request`.
    pub fn emit(&self, request: Header, out: &mut Vec<u8>) {
        let (status, words): (_, &[MessageGroupId]) = match self {
            Self::Done => (Status::SUCCESS, &[]),
            Self::Started { group } => (Status::SUCCESS, std::slice::from_ref(group)),
            Self::Refused(status) => (*status, &[]),
        };
        request.reply(status).emit(out);
        emit_words(words, out);
        out.extend_from_slice(&[0; 2]);
    }
}

/// Skips the words of a request that should have none, its ByteCount too, and reads the two names.
fn parse_names<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let word_count = usize::from(reader.u8("WordCount")?);
    reader.bytes("Words", word_count.saturating_mul(2))?;
    reader.u16_le("ByteCount")?;
    expect_format(reader, FORMAT_ASCII)?;
    let from = reader.until_nul("OriginatorName")?;
    expect_format(reader, FORMAT_ASCII)?;
    let to = reader.until_nul("DestinationName")?;
    Ok((from, to))
}

/// Reads the first word, which is the MessageGroupId, and skips the others and ByteCount.
fn parse_group(reader: &mut Reader<'_>) -> Result<MessageGroupId, WireError> {
    let start = reader.offset();
    let word_count = usize::from(reader.u8("WordCount")?);
    let Some(others) = word_count.checked_sub(1) else {
        return Err(WireError::new("WordCount", start, Reason::NotAllowed { value: 0 }));
    };
    let group = MessageGroupId(reader.u16_le("MessageGroupId")?);
    reader.bytes("Words", others.saturating_mul(2))?;
    reader.u16_le("ByteCount")?;
    Ok(group)
}

fn parse_text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    expect_format(reader, FORMAT_DATA)?;
    let length = usize::from(reader.u16_le("Length")?).min(reader.left());
    reader.bytes("Text", length)
}

fn expect_format(reader: &mut Reader<'_>, wanted: u8) -> Result<(), WireError> {
    let start = reader.offset();
    match reader.u8("BufferFormat")? {
        value if value == wanted => Ok(()),
        value => Err(WireError::new("BufferFormat", start, Reason::NotAllowed { value: value.into() })),
    }
}

fn emit_names(from: &[u8], to: &[u8], out: &mut Vec<u8>) {
    for name in [from, to] {
        out.push(FORMAT_ASCII);
        emit_string(name, out);
    }
}

fn emit_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let length = length("Length", text.len())?;
    out.push(FORMAT_DATA);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text);
    Ok(())
}

fn emit_words(words: &[MessageGroupId], out: &mut Vec<u8>) {
    out.push(u8::try_from(words.len()).unwrap_or(u8::MAX));
    for MessageGroupId(word) in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn emit_string(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().filter(|&&byte| byte != 0));
    out.push(0);
}

fn length(field: &'static str, bytes: usize) -> Result<u16, WireError> {
    u16::try_from(bytes).map_err(|_| {
        let value = u64::try_from(bytes).unwrap_or(u64::MAX);
        WireError::new(field, Header::LENGTH, Reason::OutOfBounds { value, limit: u16::MAX.into() })
    })
}

/// A string that ends with NUL.
const FORMAT_ASCII: u8 = 0x04;
/// A block with a length before it.
const FORMAT_DATA: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::datagram::{Datagram, Flags};
    use crate::wire::netbios_name::NameType;
    use crate::wire::session_service::{Packet, Received};
    use crate::wire::vectors::{EDGE_SESSIONS, SESSIONS, vectors};

    fn text<'a>(from: &'a [u8], to: &'a [u8], text: &'a [u8]) -> Text<'a> {
        Text { from, to, text }
    }

    #[test]
    fn three_strings_are_read_with_or_without_the_last_nul_and_with_junk_behind_it() {
        let expected = text(b"UPS1", b"ALERTS", b"power failure");
        for data in [
            b"UPS1\0ALERTS\0power failure\0".as_slice(),
            b"UPS1\0ALERTS\0power failure",
            b"UPS1\0ALERTS\0power failure\0\0junk",
        ] {
            assert_eq!(Text::parse(data), Ok(expected));
        }
    }

    #[test]
    fn no_type_byte_is_expected_before_the_originator() {
        // What a real Windows 98 sends; a parser that wants a leading 01 refuses all of it.
        let data = b"WIN98USER\0WORKGROUP\0HELLO WORLD\0";
        assert_eq!(Text::parse(data), Ok(text(b"WIN98USER", b"WORKGROUP", b"HELLO WORLD")));
    }

    #[test]
    fn empty_fields_are_allowed_and_missing_ones_are_not() {
        assert_eq!(Text::parse(b"\0\0\0"), Ok(text(b"", b"", b"")));
        assert_eq!(Text::parse(b"A\0B\0"), Ok(text(b"A", b"B", b"")));
        assert_eq!(Text::parse(b"A\0B").unwrap_err().field(), "To");
        assert_eq!(Text::parse(b"A").unwrap_err().field(), "From");
    }

    #[test]
    fn a_datagram_of_ours_is_what_a_receiver_reads() {
        let header = datagram::Header {
            flags: Flags::FIRST,
            dgm_id: 7,
            source_ip: [192, 0, 2, 1].into(),
            source_port: 138,
        };
        let name = |text: &[u8]| NetbiosName::new(text, NameType::MESSENGER).unwrap();
        let sent = text(b"GW1", b"ALERTS", b"test");
        let bytes = sent.datagram(header, MsgType::DirectUnique, name(b"GW1"), name(b"ALERTS")).unwrap();
        let Ok(Datagram::Direct(direct)) = Datagram::parse(&bytes) else { panic!() };
        assert!(!direct.length_mismatch());
        // The header of Windows NT: zeros, DataOffset 87, a timeout of one second.
        assert_eq!((&direct.user_data[5..32], direct.user_data[57]), ([0; 27].as_slice(), 87));
        assert_eq!(direct.user_data[45..49], 1000_u32.to_le_bytes());
        let write = MailslotWrite::parse(direct.user_data).unwrap();
        assert_eq!(Text::parse(write.data), Ok(sent));
    }

    #[test]
    fn a_text_that_fits_no_datagram_is_refused() {
        let header = datagram::Header {
            flags: Flags::FIRST,
            dgm_id: 7,
            source_ip: [192, 0, 2, 1].into(),
            source_port: 138,
        };
        let name = NetbiosName::new(b"A", NameType::MESSENGER).unwrap();
        let send = |length| {
            text(b"A", b"B", &vec![b'x'; length]).datagram(header, MsgType::DirectUnique, name, name)
        };
        assert_eq!(send(420).map(|bytes| bytes.len()), Ok(594));
        assert_eq!(send(421).unwrap_err().field(), "USER_DATA");
    }

    /// The SMBs of one direction of a recorded session: its segments that hold a session message.
    fn smbs(file: &str, label: &str) -> Vec<Vec<u8>> {
        vectors(file, label)
            .iter()
            .filter_map(|segment| match Packet::parse(segment) {
                Ok(Received::Complete { packet: Packet::Message(smb), .. }) => Some(smb.to_vec()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_real_client_sends_start_text_end_and_they_are_written_alike() {
        let messages = smbs(SESSIONS, "stream 1 client");
        let requests: Vec<_> = messages.iter().map(|smb| Request::parse(smb).unwrap()).collect();
        let commands: Vec<u8> = requests.iter().map(|(_, request)| request.command().0).collect();
        assert_eq!(commands, [0xD5, 0xD7, 0xD6], "D7 is text and D6 is the end");
        assert_eq!(requests[0].1, Request::Start { from: b"karl", to: b"SMBALPHA" });
        let Request::Block { group, text } = requests[1].1 else { panic!() };
        assert_eq!(group, MessageGroupId(0));
        assert!(text.starts_with(b"Groesse: Gr\x94\xE1e"), "{}", text.escape_ascii());
        for ((header, request), bytes) in requests.iter().zip(&messages) {
            let mut out = Vec::new();
            request.emit(*header, &mut out).unwrap();
            assert_eq!(&out, bytes);
        }
    }

    #[test]
    fn sambas_answers_are_read_and_a_start_without_an_identifier_means_0() {
        let answers: Vec<_> =
            smbs(SESSIONS, "stream 1 server").iter().map(|smb| Response::parse(smb).unwrap().1).collect();
        assert_eq!(answers, [Response::Started { group: MessageGroupId(0) }, Response::Done, Response::Done]);
    }

    fn single(bytes: &[u8]) -> Text<'_> {
        match Request::parse(bytes) {
            Ok((_, Request::Single(text))) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_single_block_message_is_read() {
        let smb = smbs(EDGE_SESSIONS, "stream 0 client").remove(0);
        let message = single(&smb);
        assert_eq!((message.from, message.to), (b"WIN98PC".as_slice(), b"SMBALPHA".as_slice()));
        assert!(message.text.starts_with(b"Einzelblock: Gr\x81\xE1e"));
    }

    #[test]
    fn a_text_length_past_the_end_means_all_that_is_there() {
        let smb = smbs(EDGE_SESSIONS, "stream 2 client").remove(0);
        assert_eq!(single(&smb).text, b"lying length");
    }

    #[test]
    fn the_obsolete_commands_are_known_and_others_refused() {
        for command in 0xD1..=0xD4 {
            let mut bytes = Vec::new();
            let request = Request::Obsolete(Command(command));
            request.emit(Header::new(Command(0)), &mut bytes).unwrap();
            assert_eq!(Request::parse(&bytes).unwrap().1, request);
        }
        let mut bytes = Vec::new();
        Header::new(Command(0x72)).emit(&mut bytes);
        let error = Request::parse(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "Command at byte 4: value 0x72 not allowed");
    }

    #[test]
    fn a_block_or_end_without_its_word_and_a_wrong_buffer_format_are_refused() {
        for command in [Command::TEXT_MB, Command::END_MB] {
            let mut bytes = Vec::new();
            Header::new(command).emit(&mut bytes);
            bytes.extend([0, 0, 0]);
            assert_eq!(Request::parse(&bytes).unwrap_err().field(), "WordCount");
        }
        let mut smb = smbs(EDGE_SESSIONS, "stream 0 client").remove(0);
        smb[35] = 0x05;
        assert_eq!(
            Request::parse(&smb).unwrap_err().to_string(),
            "BufferFormat at byte 35: value 0x05 not allowed"
        );
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_text() {
        let smb = smbs(EDGE_SESSIONS, "stream 0 client").remove(0);
        let whole = single(&smb);
        for length in 0..smb.len() {
            if let Ok((_, Request::Single(cut))) = Request::parse(&smb[..length]) {
                assert!(cut.text.len() < whole.text.len() && whole.text.starts_with(cut.text));
            }
        }
    }

    #[test]
    fn answers_repeat_the_identifiers_and_say_why_not() {
        let request = Header { pid_low: 14989, mid: 3, ..Header::new(Command::START_MB) };
        for response in [
            Response::Started { group: MessageGroupId(5) },
            Response::Refused(Status::REQUEST_NOT_ACCEPTED),
            Response::Refused(Status::INVALID_PARAMETER),
        ] {
            let mut bytes = Vec::new();
            response.emit(request, &mut bytes);
            let (header, read) = Response::parse(&bytes).unwrap();
            assert_eq!(read, response);
            assert_eq!((header.pid_low, header.mid, header.flags), (14989, 3, Header::REPLY));
        }
        let mut bytes = Vec::new();
        Response::Refused(Status::REQUEST_NOT_ACCEPTED).emit(request, &mut bytes);
        assert_eq!(bytes[5..9], [1, 0, 0x47, 0], "class 1, code 0x47");
        let mut bytes = Vec::new();
        Response::Done.emit(Header::new(Command::SEND_MESSAGE), &mut bytes);
        assert_eq!((bytes.len(), &bytes[32..]), (35, [0; 3].as_slice()));
    }
}
