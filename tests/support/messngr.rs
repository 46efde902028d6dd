//! A `net send` of the test's own wording.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use mailslotd::wire::datagram::{Flags, Header, MsgType};
use mailslotd::wire::messenger::Text;
use mailslotd::wire::netbios_name::{NameType, NetbiosName};

static NEXT_ID: AtomicU16 = AtomicU16::new(1);

/// The payload of a MESSNGR write to `ALERTS`, as NT sends it; each has a DGM_ID of its own.
pub(crate) fn messngr(from: &str, text: &str) -> Vec<u8> {
    messngr_by(from, from, text)
}

/// The same of a host that is called `source` and calls its user `from`.
pub(crate) fn messngr_by(source: &str, from: &str, text: &str) -> Vec<u8> {
    let dgm_id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let header = Header { flags: Flags::FIRST, dgm_id, source_ip: Ipv4Addr::LOCALHOST, source_port: 138 };
    let name = |text: &str| NetbiosName::new(text.as_bytes(), NameType::MESSENGER).unwrap();
    let message = Text { from: from.as_bytes(), to: b"ALERTS", text: text.as_bytes() };
    message.datagram(header, MsgType::DirectUnique, name(source), name("ALERTS")).unwrap()
}
