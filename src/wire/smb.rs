//! The SMB header and the SMB_COM_TRANSACTION request (MS-CIFS §2.2.3.1, §2.2.4.33) as mailslot writes use them.

use std::fmt;

use super::reader::{Reader, Reason, WireError};

/// SMB_Header.Command. Unknown values pass through to the logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// SMB_COM_TRANSACTION, which carries mailslot writes.
    pub const TRANSACTION: Self = Self(0x25);
    /// SMB_COM_NEGOTIATE, by which clients of file servers begin.
    pub const NEGOTIATE: Self = Self(0x72);
    /// SMB_COM_SEND_MESSAGE: a whole message (MS-MSRP §2.2).
    pub const SEND_MESSAGE: Self = Self(0xD0);
    /// SMB_COM_SEND_BROADCAST_MESSAGE; obsolete.
    pub const SEND_BROADCAST: Self = Self(0xD1);
    /// SMB_COM_FORWARD_USER_NAME; obsolete.
    pub const FORWARD_USER_NAME: Self = Self(0xD2);
    /// SMB_COM_CANCEL_FORWARD; obsolete.
    pub const CANCEL_FORWARD: Self = Self(0xD3);
    /// SMB_COM_GET_MACHINE_NAME; obsolete.
    pub const GET_MACHINE_NAME: Self = Self(0xD4);
    /// SMB_COM_SEND_START_MB_MESSAGE: begins a message of several blocks.
    pub const START_MB: Self = Self(0xD5);
    /// SMB_COM_SEND_END_MB_MESSAGE: ends it. The number is lower than that of its text blocks.
    pub const END_MB: Self = Self(0xD6);
    /// SMB_COM_SEND_TEXT_MB_MESSAGE: one block of it.
    pub const TEXT_MB: Self = Self(0xD7);
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// SMB_Header.Status in its DOS form: class and code (MS-CIFS §2.2.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Status {
    /// ErrorClass: 0 success, 1 ERRDOS, 2 ERRSRV.
    pub class: u8,
    /// ErrorCode within the class.
    pub code: u16,
}

impl Status {
    /// No error.
    pub const SUCCESS: Self = Self { class: 0, code: 0 };
    /// ERRDOS/71, "request not accepted": what Samba answers when it cannot deliver a message.
    pub const REQUEST_NOT_ACCEPTED: Self = Self { class: 1, code: 0x47 };
    /// ERRDOS/87, invalid parameter: a text block or end without a start.
    pub const INVALID_PARAMETER: Self = Self { class: 1, code: 87 };
    /// ERRSRV/22, unknown SMB.
    pub const UNKNOWN_SMB: Self = Self { class: 2, code: 0x16 };
}

/// SMB_Header: 32 bytes that begin with `FF 'SMB'`. The default is all zero, as mailslot writes send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What is asked or answered.
    pub command: Command,
    /// How it went, in an answer.
    pub status: Status,
    /// Flags; 80 marks an answer.
    pub flags: u8,
    /// Flags2. Its Unicode bit (8000) means nothing here: mailslot names and messages are OEM text always.
    pub flags2: u16,
    /// PIDHigh.
    pub pid_high: u16,
    /// SecurityFeatures.
    pub security_features: [u8; 8],
    /// Tree identifier.
    pub tid: u16,
    /// PIDLow.
    pub pid_low: u16,
    /// User identifier.
    pub uid: u16,
    /// Multiplex identifier; an answer repeats it.
    pub mid: u16,
}

impl Header {
    /// Bytes of the header.
    pub const LENGTH: usize = 32;
    /// SMB_FLAGS_REPLY.
    pub const REPLY: u8 = 0x80;

    /// A header that is zero but for its command.
    #[must_use]
    pub const fn new(command: Command) -> Self {
        Self {
            command,
            status: Status::SUCCESS,
            flags: 0,
            flags2: 0,
            pid_high: 0,
            security_features: [0; 8],
            tid: 0,
            pid_low: 0,
            uid: 0,
            mid: 0,
        }
    }

    /// The header of the answer to this request.
    #[must_use]
    pub const fn reply(self, status: Status) -> Self {
        Self { status, flags: self.flags | Self::REPLY, ..self }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// `NotAllowed` for anything but `FF 'SMB'` (under the name SMB2 for `FE 'SMB'`); the truncation.
    #[inline]
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let start = reader.offset();
        let Some(bytes) = reader.rest().first_chunk() else {
            return Err(truncation(reader.clone()));
        };
        let header = Self::from_bytes(bytes, start)?;
        reader.bytes("SMB_Header", Self::LENGTH)?;
        Ok(header)
    }

    /// The header in these bytes, which begin `start` bytes into their message.
    fn from_bytes(bytes: &[u8; Self::LENGTH], start: usize) -> Result<Self, WireError> {
        let b = bytes;
        check_protocol([b[0], b[1], b[2], b[3]], start)?;
        Ok(Self {
            command: Command(b[4]),
            status: Status { class: b[5], code: u16::from_le_bytes([b[7], b[8]]) },
            flags: b[9],
            flags2: u16::from_le_bytes([b[10], b[11]]),
            pid_high: u16::from_le_bytes([b[12], b[13]]),
            security_features: [b[14], b[15], b[16], b[17], b[18], b[19], b[20], b[21]],
            tid: u16::from_le_bytes([b[24], b[25]]),
            pid_low: u16::from_le_bytes([b[26], b[27]]),
            uid: u16::from_le_bytes([b[28], b[29]]),
            mid: u16::from_le_bytes([b[30], b[31]]),
        })
    }

    fn check_command(&self) -> Result<(), WireError> {
        expect("Command", COMMAND_OFFSET, self.command.0, Command::TRANSACTION.0)
    }

    /// Writes the 32 bytes that [`Self::parse`] reads.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&PROTOCOL);
        out.extend_from_slice(&[self.command.0, self.status.class, 0]);
        out.extend_from_slice(&self.status.code.to_le_bytes());
        out.push(self.flags);
        out.extend_from_slice(&self.flags2.to_le_bytes());
        out.extend_from_slice(&self.pid_high.to_le_bytes());
        out.extend_from_slice(&self.security_features);
        out.extend_from_slice(&[0; 2]);
        for id in [self.tid, self.pid_low, self.uid, self.mid] {
            out.extend_from_slice(&id.to_le_bytes());
        }
    }
}

/// An SMB_COM_TRANSACTION request with three setup words, no parameters and some data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// The SMB header; its command is [`Command::TRANSACTION`].
    pub header: Header,
    /// Flags; 2 asks for no answer. There is none to a datagram in any case.
    pub flags: u16,
    /// How long an answer may take, in milliseconds.
    pub timeout: u32,
    /// The setup words: for a mailslot, opcode, priority and class.
    pub setup: [u16; 3],
    /// Name without its NUL, in the sender's OEM code page.
    pub name: &'a [u8],
    /// The data; at least one byte.
    pub data: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// Reads a request whose first byte is that of the SMB header, as offsets in it count from there.
    ///
    /// ByteCount, the maxima and the parameter fields are not looked at: they say nothing the data depends on, and
    /// some senders fill them with nonsense.
    ///
    /// # Errors
    /// `NotAllowed` when it is something else: another protocol, command, number of words or of setup words. Any other
    /// reason when it is broken: truncated, no data, data outside the message or inside what comes before it, or more
    /// data announced for later.
    // Always: its one hot caller needs three of the fields and is spared the copy of the others.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        // One check of the bounds for all that comes before the name: every datagram has it.
        let (Some(header), Some((b, rest))) = (bytes.first_chunk(), bytes.split_first_chunk::<NAME_OFFSET>())
        else {
            Header::parse(&mut Reader::new(bytes))?.check_command()?;
            return Err(truncation(Reader::new(bytes)));
        };
        let header = Header::from_bytes(header, 0)?;
        header.check_command()?;
        expect("WordCount", WORD_COUNT_OFFSET, b[WORD_COUNT_OFFSET], WORD_COUNT)?;
        expect("SetupCount", SETUP_COUNT_OFFSET, b[SETUP_COUNT_OFFSET], SETUP_COUNT)?;
        let total_data_count = u16::from_le_bytes([b[35], b[36]]);
        let flags = u16::from_le_bytes([b[43], b[44]]);
        let timeout = u32::from_le_bytes([b[45], b[46], b[47], b[48]]);
        let data_count = u16::from_le_bytes([b[55], b[56]]);
        let data_offset = u16::from_le_bytes([b[57], b[58]]);
        let setup = [[b[61], b[62]], [b[63], b[64]], [b[65], b[66]]].map(u16::from_le_bytes);
        let mut reader = Reader::at(rest, NAME_OFFSET);
        let name = reader.until_nul("Name")?;
        let data = data(bytes, total_data_count, data_count, data_offset, reader.offset())?;
        Ok(Self { header, flags, timeout, setup, name, data })
    }

    /// Writes the request, its data right behind the name.
    ///
    /// # Errors
    /// `OutOfBounds` when name and data do not fit the 16-bit counts; `out` is unchanged then.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let data_offset = NAME_OFFSET.saturating_add(self.name.len()).saturating_add(1);
        let end = data_offset.saturating_add(self.data.len());
        let byte_count = end.saturating_sub(NAME_OFFSET);
        let too_long = |_| {
            let value = u64::try_from(end).unwrap_or(u64::MAX);
            WireError::new(
                "ByteCount",
                BYTE_COUNT_OFFSET,
                Reason::OutOfBounds { value, limit: u16::MAX.into() },
            )
        };
        let _fits_a_message: u16 = u16::try_from(end).map_err(too_long)?;
        let data_offset = u16::try_from(data_offset).map_err(too_long)?;
        let data_count = u16::try_from(self.data.len()).map_err(too_long)?;
        let byte_count = u16::try_from(byte_count).map_err(too_long)?;

        self.header.emit(out);
        out.extend_from_slice(&[WORD_COUNT, 0, 0]);
        out.extend_from_slice(&data_count.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.timeout.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&data_count.to_le_bytes());
        out.extend_from_slice(&data_offset.to_le_bytes());
        out.extend_from_slice(&[SETUP_COUNT, 0]);
        for word in self.setup {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&byte_count.to_le_bytes());
        out.extend_from_slice(self.name);
        out.push(0);
        out.extend_from_slice(self.data);
        Ok(())
    }
}

fn check_protocol(protocol: [u8; 4], start: usize) -> Result<(), WireError> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    let field = if protocol == SMB2_PROTOCOL { "SMB2 ProtocolId" } else { "Protocol" };
    Err(WireError::new(field, start, Reason::NotAllowed { value: u32::from_be_bytes(protocol).into() }))
}

/// Checks an octet that has only one legal value.
fn expect(field: &'static str, offset: usize, value: u8, wanted: u8) -> Result<(), WireError> {
    if value == wanted {
        Ok(())
    } else {
        Err(WireError::new(field, offset, Reason::NotAllowed { value: value.into() }))
    }
}

/// Which field is cut off in a message that ends before the name of its transaction.
#[cold]
fn truncation(mut reader: Reader<'_>) -> WireError {
    let protocol = reader.rest().first_chunk().map(|protocol| check_protocol(*protocol, reader.offset()));
    if let Some(Err(error)) = protocol {
        return error;
    }
    FIELDS
        .iter()
        .find_map(|&(field, length)| reader.bytes(field, length).err())
        .unwrap_or_else(|| reader.bad("Name", Reason::Truncated { need: 1, left: reader.left() }))
}

/// The data of a transaction in `message`, whose fields before the data end at `name_end`.
fn data(
    message: &[u8],
    total_count: u16,
    count: u16,
    offset: u16,
    name_end: usize,
) -> Result<&[u8], WireError> {
    if count == 0 {
        return Err(WireError::new("DataCount", DATA_COUNT_OFFSET, Reason::Malformed("no data")));
    }
    if total_count != count {
        let reason = Reason::Malformed("differs from DataCount");
        return Err(WireError::new("TotalDataCount", TOTAL_DATA_COUNT_OFFSET, reason));
    }
    if usize::from(offset) < name_end {
        let reason = Reason::Malformed("points into the header or the name");
        return Err(WireError::new("DataOffset", DATA_OFFSET_OFFSET, reason));
    }
    let past = |value: u16, limit: usize| Reason::OutOfBounds {
        value: value.into(),
        limit: u64::try_from(limit).unwrap_or(u64::MAX),
    };
    let Some(rest) = message.get(usize::from(offset)..) else {
        return Err(WireError::new("DataOffset", DATA_OFFSET_OFFSET, past(offset, message.len())));
    };
    rest.get(..usize::from(count))
        .ok_or_else(|| WireError::new("DataCount", DATA_COUNT_OFFSET, past(count, rest.len())))
}

const PROTOCOL: [u8; 4] = *b"\xFFSMB";
const SMB2_PROTOCOL: [u8; 4] = *b"\xFESMB";

/// 14 words of SMB_COM_TRANSACTION and the three setup words of a mailslot write.
const WORD_COUNT: u8 = 17;
const SETUP_COUNT: u8 = 3;

/// All that comes before the name of a transaction, with the length of each.
const FIELDS: [(&str, usize); 34] = [
    ("Protocol", 4),
    ("Command", 1),
    ("ErrorClass", 1),
    ("Reserved", 1),
    ("ErrorCode", 2),
    ("Flags", 1),
    ("Flags2", 2),
    ("PIDHigh", 2),
    ("SecurityFeatures", 8),
    ("Reserved", 2),
    ("TID", 2),
    ("PIDLow", 2),
    ("UID", 2),
    ("MID", 2),
    ("WordCount", 1),
    ("TotalParameterCount", 2),
    ("TotalDataCount", 2),
    ("MaxParameterCount", 2),
    ("MaxDataCount", 2),
    ("MaxSetupCount", 1),
    ("Reserved1", 1),
    ("Flags", 2),
    ("Timeout", 4),
    ("Reserved2", 2),
    ("ParameterCount", 2),
    ("ParameterOffset", 2),
    ("DataCount", 2),
    ("DataOffset", 2),
    ("SetupCount", 1),
    ("Reserved3", 1),
    ("Setup", 2),
    ("Setup", 2),
    ("Setup", 2),
    ("ByteCount", 2),
];

// Offsets from the SMB header, for errors and for the layout.
const COMMAND_OFFSET: usize = 4;
const WORD_COUNT_OFFSET: usize = 32;
const TOTAL_DATA_COUNT_OFFSET: usize = 35;
const DATA_COUNT_OFFSET: usize = 55;
const DATA_OFFSET_OFFSET: usize = 57;
const SETUP_COUNT_OFFSET: usize = 59;
const BYTE_COUNT_OFFSET: usize = 67;
const NAME_OFFSET: usize = 69;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vectors::{ANNOUNCEMENTS, MAILSLOT_WRITES, vector};

    /// USER_DATA of a crafted write as Windows NT would send it: DataOffset 87, DataCount 47, 134 bytes.
    fn nt() -> Vec<u8> {
        vector(MAILSLOT_WRITES, "NT-like to domain").split_off(82)
    }

    fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = nt();
        change(&mut bytes);
        Transaction::parse(&bytes).unwrap_err().to_string()
    }

    fn word(at: usize, value: u16) -> impl FnOnce(&mut Vec<u8>) {
        move |bytes| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes())
    }

    #[test]
    fn a_write_in_the_shape_of_nt_is_read() {
        let bytes = nt();
        let transaction = Transaction::parse(&bytes).unwrap();
        assert_eq!(transaction.name, br"\MAILSLOT\MESSNGR");
        assert_eq!((transaction.timeout, transaction.setup), (1000, [1, 0, 2]));
        assert_eq!(transaction.data, b"ADMINISTRATOR\0NBLAB\0Server shuts down at 18:00\0");
    }

    #[test]
    fn a_pad_byte_of_garbage_before_the_data_is_no_part_of_it() {
        let bytes = vector(MAILSLOT_WRITES, "Win98-like net send").split_off(82);
        assert_eq!(Transaction::parse(&bytes).unwrap().data, b"WIN98USER\0WORKGROUP\0HELLO WORLD\0");
    }

    #[test]
    fn other_protocols_and_other_requests_are_not_allowed() {
        for (at, value, text) in [
            (0, 0xFE, "SMB2 ProtocolId at byte 0: value 0xfe534d42 not allowed"),
            (0, 0x00, "Protocol at byte 0: value 0x534d42 not allowed"),
            (4, 0x72, "Command at byte 4: value 0x72 not allowed"),
            (32, 16, "WordCount at byte 32: value 0x10 not allowed"),
            (59, 2, "SetupCount at byte 59: value 0x02 not allowed"),
        ] {
            assert_eq!(refusal(|bytes| bytes[at] = value), text);
        }
    }

    #[test]
    fn data_outside_the_message_or_inside_what_precedes_it_is_refused() {
        let inside = "DataOffset at byte 57: points into the header or the name";
        assert_eq!(refusal(word(57, 0)), inside);
        assert_eq!(refusal(word(57, 86)), inside, "the NUL of the name");
        assert_eq!(refusal(word(57, 135)), "DataOffset at byte 57: value 135 past the limit of 134");
        assert_eq!(refusal(word(57, 88)), "DataCount at byte 55: value 47 past the limit of 46");
        assert_eq!(refusal(word(57, 0xFFFF)), "DataOffset at byte 57: value 65535 past the limit of 134");
    }

    #[test]
    fn no_data_and_data_announced_for_later_are_refused() {
        assert_eq!(refusal(word(55, 0)), "DataCount at byte 55: no data");
        assert_eq!(refusal(word(35, 48)), "TotalDataCount at byte 35: differs from DataCount");
    }

    #[test]
    fn a_byte_count_that_lies_and_the_unicode_bit_change_nothing() {
        let truth = nt();
        for (at, value) in [(67, 0), (67, 0xFFFF), (10, 0x8000), (37, 9), (53, 92)] {
            let mut bytes = nt();
            word(at, value)(&mut bytes);
            assert_eq!(Transaction::parse(&bytes).unwrap().data, Transaction::parse(&truth).unwrap().data);
        }
        let bytes = vector(MAILSLOT_WRITES, "UTF-16 flags2=0x8000").split_off(82);
        assert_eq!(Transaction::parse(&bytes).unwrap().header.flags2, 0x8000);
    }

    #[test]
    fn bytes_behind_the_data_are_ignored_and_an_endless_name_is_refused() {
        let mut bytes = nt();
        bytes.extend(b"trailing");
        assert!(Transaction::parse(&bytes).unwrap().data.ends_with(b"18:00\0"));
        let mut bytes = nt();
        bytes.truncate(80);
        assert_eq!(Transaction::parse(&bytes).unwrap_err().to_string(), "Name at byte 69: no NUL ends it");
    }

    #[test]
    fn every_truncation_is_an_error_that_names_the_field_cut_off() {
        let bytes = nt();
        for length in 0..bytes.len() {
            let error = Transaction::parse(&bytes[..length]).unwrap_err();
            if length < NAME_OFFSET {
                assert!(matches!(error.reason(), Reason::Truncated { .. }), "{length}: {error}");
                assert!(error.offset() <= length, "{length}: {error}");
            }
        }
        let cut = |length: usize| Transaction::parse(&bytes[..length]).unwrap_err().to_string();
        assert_eq!(cut(31), "MID at byte 30: need 2 bytes, 1 left");
        assert_eq!(cut(32), "WordCount at byte 32: need 1 bytes, 0 left");
        assert_eq!(cut(58), "DataOffset at byte 57: need 2 bytes, 1 left");
        assert_eq!(cut(68), "ByteCount at byte 67: need 2 bytes, 1 left");
        let lengths: usize = FIELDS.iter().map(|(_, length)| length).sum();
        assert_eq!(lengths, NAME_OFFSET);
    }

    #[test]
    fn a_short_message_of_another_kind_is_not_taken_for_a_broken_one() {
        let mut logon = nt();
        logon.truncate(40);
        logon[4] = 0x73;
        for bytes in [b"\xFESMB\0".as_slice(), &logon] {
            let error = Transaction::parse(bytes).unwrap_err();
            assert!(matches!(error.reason(), Reason::NotAllowed { .. }), "{error}");
        }
    }

    #[test]
    fn what_a_real_nmbd_sends_is_written_byte_for_byte() {
        let bytes = vector(ANNOUNCEMENTS, "frame 6 ").split_off(82);
        let mut out = Vec::new();
        Transaction::parse(&bytes).unwrap().emit(&mut out).unwrap();
        assert_eq!(out, bytes);
    }

    #[test]
    fn more_data_than_the_counts_can_say_is_refused_and_nothing_is_written() {
        let data = vec![0; 65_536];
        let bytes = nt();
        let transaction = Transaction { data: &data[..65_460], ..Transaction::parse(&bytes).unwrap() };
        let mut out = Vec::new();
        assert_eq!(transaction.emit(&mut out).unwrap_err().field(), "ByteCount");
        assert!(out.is_empty());
    }
}
