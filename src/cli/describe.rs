//! What is in some bytes, layer by layer, in lines for people.
//!
//! `mailslotd decode` prints it and the golden fixtures record it, so it is stable. A layer that cannot be read ends
//! the description with a line that begins with `!` and says "field at byte N: reason", N counting from the first byte
//! of that layer. Whatever the peer wrote is escaped: nothing of it reaches a terminal as a control character. The
//! length stays within 64 times that of the bytes and a constant.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::wire::netbios_name::{NetbiosName, Scope};
use crate::wire::oem_text::SenderText;
use crate::wire::reader::WireError;

mod announcement;
mod datagram;
mod name_service;
mod session;

/// What is in the payload of a datagram on UDP 137.
#[must_use]
pub fn name_service(payload: &[u8]) -> String {
    let mut page = Page::default();
    page.name_service(payload);
    page.text
}

/// What is in the payload of a datagram on UDP 138, with texts in the code page of its `sender`.
#[must_use]
pub fn datagram(payload: &[u8], sender: SenderText) -> String {
    let mut page = Page::default();
    page.datagram(payload, sender);
    page.text
}

/// What is in bytes of one direction of a connection to TCP 139, which begin where a packet begins. Requests and
/// responses tell themselves apart.
#[must_use]
pub fn session(stream: &[u8], sender: SenderText) -> String {
    let mut page = Page::default();
    page.session(stream, sender);
    page.text
}

/// The lines written so far.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// Begins a layer.
    fn layer(&mut self, name: impl Display, bytes: &[u8]) {
        self.line(format_args!("{name}, {} bytes", bytes.len()));
    }

    /// One field of the layer.
    fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("  {name:<20} {value}"));
    }

    /// A text of the sender's.
    fn oem(&mut self, name: &str, text: &[u8], sender: SenderText) {
        let decoded = sender.decode(text);
        let lossy = if decoded.lossy { " (not all of it has a meaning in this code page)" } else { "" };
        self.field(name, format_args!("{}{lossy}", Quoted(&decoded.text)));
    }

    /// Bytes that nothing is known of.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.field(name, format_args!("{} bytes \"{}\"", bytes.len(), bytes.escape_ascii()));
    }

    /// Why a layer cannot be read.
    fn error(&mut self, error: WireError) {
        self.line(format_args!("  ! {error}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").ok();
    }
}

/// A text in quotation marks; those within it, backslashes and all that cannot be seen are escaped.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if c == '\'' { f.write_char(c) } else { write!(f, "{}", c.escape_debug()) }?;
        }
        f.write_char('"')
    }
}

/// `ALERTS<03>`, or `ALERTS<03>.PLANT.LOCAL` in a scope.
fn qualified(name: NetbiosName, scope: &Scope) -> String {
    if scope.is_empty() { name.to_string() } else { format!("{name}.{}", scope.text().escape_ascii()) }
}
