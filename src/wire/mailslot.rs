//! Mailslot writes (MS-MAIL §2.2.1): a name, a priority, a class, and the data.

use std::borrow::Cow;
use std::fmt;

use super::reader::{Reason, WireError};
use super::smb::{Command, Header, Transaction};

/// The name of a mailslot, such as `\MAILSLOT\MESSNGR`: `\MAILSLOT\` and 1 to 245 printable ASCII characters.
///
/// Case means nothing in it (Win32, "Mailslot Names"), so it is kept in upper case; no name that arrives in upper case
/// is copied.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailslotName<'a>(Cow<'a, str>);

impl MailslotName<'static> {
    /// The messenger service: `net send /domain`, `net send *`, WinPopup.
    pub const MESSNGR: Self = Self(Cow::Borrowed(r"\MAILSLOT\MESSNGR"));
    /// The browser service (MS-BRWS).
    pub const BROWSE: Self = Self(Cow::Borrowed(r"\MAILSLOT\BROWSE"));
    /// The announcements of LAN Manager.
    pub const LANMAN: Self = Self(Cow::Borrowed(r"\MAILSLOT\LANMAN"));
    /// The logon service of a domain (MS-ADTS §6.3.5).
    pub const NETLOGON: Self = Self(Cow::Borrowed(r"\MAILSLOT\NET\NETLOGON"));
    /// The same, for Windows NT.
    pub const NTLOGON: Self = Self(Cow::Borrowed(r"\MAILSLOT\NET\NTLOGON"));
}

impl<'a> MailslotName<'a> {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 255;

    /// Checks and takes a name, in any case.
    ///
    /// # Errors
    /// `Malformed` without `\MAILSLOT\` before it, with nothing behind that, or with a byte outside printable ASCII;
    /// `OutOfBounds` past 255 bytes.
    pub fn new(name: &'a [u8]) -> Result<Self, WireError> {
        if let Some(known) = KNOWN.iter().find(|known| known.as_bytes() == name) {
            return Ok(Self(Cow::Borrowed(known)));
        }
        let refuse = |reason| WireError::new("mailslot name", NAME_OFFSET, reason);
        let Some((prefix, rest)) = name.split_at_checked(PREFIX.len()) else {
            return Err(refuse(Reason::Malformed("does not begin with \\MAILSLOT\\")));
        };
        if !prefix.eq_ignore_ascii_case(PREFIX) || rest.is_empty() {
            return Err(refuse(Reason::Malformed("does not begin with \\MAILSLOT\\ and a name")));
        }
        if name.len() > Self::MAX_LENGTH {
            let value = u64::try_from(name.len()).unwrap_or(u64::MAX);
            return Err(refuse(Reason::OutOfBounds { value, limit: 255 }));
        }
        match str::from_utf8(name) {
            Ok(text) if name.iter().all(|byte| (0x20..=0x7E).contains(byte)) => {
                if name.iter().any(u8::is_ascii_lowercase) {
                    Ok(Self(Cow::Owned(text.to_ascii_uppercase())))
                } else {
                    Ok(Self(Cow::Borrowed(text)))
                }
            }
            _ => Err(refuse(Reason::Malformed("a byte outside printable ASCII"))),
        }
    }

    /// The name in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in upper case, borrowed where it came so.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        self.0
    }
}

impl fmt::Display for MailslotName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailslotName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The class of a mailslot write. Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl Class {
    /// Answered, over a session; LAN Manager only.
    pub const FIRST: Self = Self(1);
    /// Unanswered, by datagram.
    pub const SECOND: Self = Self(2);
}

/// A mailslot write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailslotWrite<'a> {
    /// The mailslot.
    pub name: MailslotName<'a>,
    /// 0 to 9, higher is more urgent; senders differ for no reason a receiver could use.
    pub priority: u16,
    /// Whether an answer is expected; datagrams get none in either case.
    pub class: Class,
    /// What is written; at least one byte.
    pub data: &'a [u8],
}

impl<'a> MailslotWrite<'a> {
    /// Reads the USER_DATA of a datagram.
    ///
    /// # Errors
    /// `NotAllowed` when it is no mailslot write at all; any other reason when it is a broken one.
    pub fn parse(user_data: &'a [u8]) -> Result<Self, WireError> {
        let Transaction { setup: [opcode, priority, class], name, data, .. } = Transaction::parse(user_data)?;
        if opcode != OPCODE_WRITE {
            let value = opcode.into();
            return Err(WireError::new("mailslot opcode", OPCODE_OFFSET, Reason::NotAllowed { value }));
        }
        Ok(Self { name: MailslotName::new(name)?, priority, class: Class(class), data })
    }

    /// Writes USER_DATA in the shape that Windows NT gives it: a header of zeros, a timeout of a second, the data right
    /// behind the name.
    ///
    /// # Errors
    /// `OutOfBounds` when it is longer than 16-bit counts can say; `out` is unchanged then.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let transaction = Transaction {
            header: Header::new(Command::TRANSACTION),
            flags: 0,
            timeout: 1000,
            setup: [OPCODE_WRITE, self.priority, self.class.0],
            name: self.name.as_str().as_bytes(),
            data: self.data,
        };
        transaction.emit(out)
    }
}

/// The names that are nearly all there is, to be recognised by one comparison.
const KNOWN: [&str; 5] = [
    r"\MAILSLOT\BROWSE",
    r"\MAILSLOT\MESSNGR",
    r"\MAILSLOT\LANMAN",
    r"\MAILSLOT\NET\NETLOGON",
    r"\MAILSLOT\NET\NTLOGON",
];

const PREFIX: &[u8] = br"\MAILSLOT\";
const OPCODE_WRITE: u16 = 1;

// Offsets from the SMB header, for errors.
const OPCODE_OFFSET: usize = 61;
const NAME_OFFSET: usize = 69;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::vectors::{MAILSLOT_WRITES, vector};

    #[test]
    fn a_name_in_any_case_is_the_same_mailslot() {
        let lower = MailslotName::new(br"\mailslot\Messngr").unwrap();
        assert_eq!(lower, MailslotName::MESSNGR);
        assert!(matches!(lower.into_text(), Cow::Owned(_)));
        let upper = MailslotName::new(br"\MAILSLOT\MESSNGR").unwrap();
        assert!(matches!(upper.into_text(), Cow::Borrowed(_)), "the usual case costs no copy");
        let bytes = vector(MAILSLOT_WRITES, "mailslot name lower case").split_off(82);
        assert_eq!(MailslotWrite::parse(&bytes).unwrap().name, MailslotName::MESSNGR);
    }

    #[test]
    fn names_that_are_none_or_would_need_escaping_are_refused() {
        for name in [
            b"".as_slice(),
            br"\PIPE\LANMAN",
            br"\MAILSLOT",
            br"\MAILSLOT\",
            b"\\MAILSLOT\\A\nB",
            b"\\MAILSLOT\\\x95\x5C",
            b"\\MAILSLOT\\A\x7F",
        ] {
            assert!(MailslotName::new(name).is_err(), "{}", name.escape_ascii());
        }
        let long = [br"\MAILSLOT\".as_slice(), &[b'A'; 246]].concat();
        assert!(MailslotName::new(&long).is_err());
        assert!(MailslotName::new(&long[..255]).is_ok());
    }

    #[test]
    fn another_opcode_is_no_write() {
        let mut bytes = vector(MAILSLOT_WRITES, "NT-like to domain").split_off(82);
        bytes[61] = 2;
        let error = MailslotWrite::parse(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "mailslot opcode at byte 61: value 0x02 not allowed");
    }

    #[test]
    fn neither_class_nor_priority_is_judged() {
        let mut bytes = vector(MAILSLOT_WRITES, "NT-like to domain").split_off(82);
        (bytes[63], bytes[65]) = (200, 1);
        let write = MailslotWrite::parse(&bytes).unwrap();
        assert_eq!((write.priority, write.class), (200, Class::FIRST));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            name in "[A-Z0-9_ .]{1,60}",
            (priority, class) in (any::<u16>(), any::<u16>()),
            data in proptest::collection::vec(any::<u8>(), 1..600),
        ) {
            let name = format!(r"\MAILSLOT\{name}");
            let name = MailslotName::new(name.as_bytes()).unwrap();
            let write = MailslotWrite { name, priority, class: Class(class), data: &data };
            let mut bytes = Vec::new();
            write.emit(&mut bytes).unwrap();
            prop_assert_eq!(MailslotWrite::parse(&bytes), Ok(write));
        }
    }
}
