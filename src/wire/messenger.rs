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
