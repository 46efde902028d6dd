//! A message that came over a session on TCP 139, joined from its blocks and not yet decoded (MS-MSRP §2.2.3).

use crate::wire::messenger::Text;
use crate::wire::netbios_name::NetbiosName;

/// Who was called by whom, and the From, To and Text of a `net send`, all in the sender's OEM code page.
///
/// The text is joined as bytes, since a block may end within a double-byte character. Whoever joins it sees to its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMessage {
    called: NetbiosName,
    calling: NetbiosName,
    /// `From NUL To NUL Text`.
    data: Vec<u8>,
    from: usize,
    to: usize,
}

impl SessionMessage {
    /// A message without a text yet, from the session request and from OriginatorName and DestinationName.
    #[must_use]
    pub fn new(called: NetbiosName, calling: NetbiosName, from: &[u8], to: &[u8]) -> Self {
        let data = [from, &[0], to, &[0]].concat();
        Self { called, calling, data, from: from.len(), to: to.len() }
    }

    /// Appends a block of text.
    pub fn push(&mut self, block: &[u8]) {
        self.data.extend_from_slice(block);
    }

    /// The name that the session was opened to.
    #[must_use]
    pub const fn called(&self) -> &NetbiosName {
        &self.called
    }

    /// The name that opened it, by its own account.
    #[must_use]
    pub const fn calling(&self) -> &NetbiosName {
        &self.calling
    }

    /// The three strings. Unlike those of a mailslot write, the text may hold NULs: its end is where its last block ends.
    #[must_use]
    pub fn fields(&self) -> Text<'_> {
        let (from, rest) = self.data.split_at_checked(self.from).unwrap_or_default();
        let (to, rest) = rest.get(1..).and_then(|rest| rest.split_at_checked(self.to)).unwrap_or_default();
        Text { from, to, text: rest.get(1..).unwrap_or_default() }
    }

    /// All of it in the form of a write to `\MAILSLOT\MESSNGR`: `From NUL To NUL Text`.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::netbios_name::NameType;

    #[test]
    fn blocks_are_joined_as_bytes_behind_the_two_names() {
        let name = NetbiosName::new(b"ALERTS", NameType::MESSENGER).unwrap();
        let mut message = SessionMessage::new(name, name, b"UPS1", b"");
        assert_eq!(message.fields(), Text { from: b"UPS1", to: b"", text: b"" });
        message.push(b"\x95");
        message.push(b"\x5C\0");
        assert_eq!(message.fields(), Text { from: b"UPS1", to: b"", text: b"\x95\x5C\0" });
        assert_eq!(message.data(), b"UPS1\0\0\x95\x5C\0");
    }
}
