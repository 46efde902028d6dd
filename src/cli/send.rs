//! `mailslotd send`: a message to a person's screen or to another gateway, as `net send` sent it over UDP 138.

mod permission;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::str::FromStr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::Global;
use super::exit::Exit;
use super::output;
use crate::wire::datagram::{Flags, Header, MsgType};
use crate::wire::messenger::Text;
use crate::wire::netbios_name::{NameType, NetbiosName};
use crate::wire::oem_text::{CodePage, Unencodable};
use crate::wire::reader::WireError;

/// Send a message as `net send` did, over UDP 138
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The NetBIOS name to send from, at most 15 characters; else the name of this host
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// How to send it: to the mailslot \MAILSLOT\MESSNGR over UDP, which is what `auto` means too
    #[arg(long, value_enum, default_value_t = Via::Auto)]
    via: Via,
    /// Where to send it, else the broadcast address of every interface; repeatable
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_address)]
    address: Vec<SocketAddrV4>,
    /// The OEM code page that the receivers read
    #[arg(long, value_name = "CP", default_value_t = CodePage::Cp437)]
    code_page: CodePage,
    /// A computer or user, `*` for everyone who hears it, or /domain:NAME for a workgroup
    #[arg(value_name = "TO")]
    to: To,
    /// The message; several words are joined by blanks
    #[arg(value_name = "TEXT", required = true)]
    text: Vec<String>,
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Via {
    /// The mailslot.
    Auto,
    /// The mailslot `\MAILSLOT\MESSNGR`, over UDP 138.
    Mailslot,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    /// A computer or user: the unique name `NAME<03>`.
    Name(String),
    /// Whoever hears it.
    Everyone,
    /// A workgroup or domain: the group name `NAME<00>`.
    Workgroup(String),
}

impl FromStr for To {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let prefix = text.get(..8).filter(|prefix| prefix.eq_ignore_ascii_case("/domain:"));
        match (prefix, text) {
            (Some(prefix), _) => match text.strip_prefix(prefix) {
                Some(name) if !name.is_empty() => Ok(Self::Workgroup(name.to_owned())),
                _ => Err("write the workgroup behind the colon, for example /domain:PLANT"),
            },
            (None, "") => Err("a name has at least one character"),
            (None, "*") => Ok(Self::Everyone),
            (None, name) if name.starts_with('/') => {
                Err("a workgroup is written /domain:NAME, everyone is written *")
            }
            (None, name) => Ok(Self::Name(name.to_owned())),
        }
    }
}

/// Sends the message and says where to.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    let refuse = |error: &dyn fmt::Display, exit| {
        output::note(format_args!("nothing was sent: {error}"));
        exit
    };
    let from = match &args.from {
        Some(name) => name.clone(),
        None => match host_name() {
            Ok(name) => name,
            Err(error) => {
                let error =
                    format_args!("the name of this host cannot be read ({error}); give one with --from");
                return refuse(&error, Exit::Usage);
            }
        },
    };
    let message = match Outgoing::new(&from, &args.to, &args.text.join(" "), args.code_page) {
        Ok(message) => message,
        Err(error) => return refuse(&error, Exit::Usage),
    };
    let targets = match targets(&args.address) {
        Ok(targets) if targets.is_empty() => {
            let error = "no interface of this host has a broadcast address; give one with --address";
            return refuse(&error, Exit::Unavailable);
        }
        Ok(targets) => targets,
        Err(error) => return refuse(&error, Exit::Unavailable),
    };
    if let Err(forbidden) = permission::may_send(&targets, global) {
        return refuse(&forbidden, forbidden.exit());
    }
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => return refuse(&error, Exit::Unavailable),
    };
    send_all(&socket, &message, &targets, global)
}

fn send_all(socket: &UdpSocket, message: &Outgoing, targets: &[SocketAddrV4], global: &Global) -> Exit {
    let mut exit = Exit::Done;
    let mut sent = Vec::new();
    for target in targets {
        match send_to(socket, message, *target) {
            Ok(()) => sent.push(target.to_string()),
            Err(error) => {
                output::note(format_args!("not sent to {target}: {error}"));
                exit = Exit::Unavailable;
            }
        }
    }
    if sent.is_empty() {
        return Exit::Unavailable;
    }
    if global.json {
        output::answer(serde_json::json!({ "sent_to": sent, "receipt": false }));
    } else {
        output::answer(format_args!("sent to {}", sent.join(", ")));
        if !global.quiet {
            output::note(
                "UDP gives no receipt: nothing tells whether anyone heard it, or showed it to a person",
            );
        }
    }
    exit
}

/// A message whose parts are in the code page and fit into one datagram.
#[derive(Debug)]
struct Outgoing {
    from: Vec<u8>,
    to: Vec<u8>,
    text: Vec<u8>,
    msg_type: MsgType,
    source_name: NetbiosName,
    destination_name: NetbiosName,
}

/// Why a message cannot be sent as it is.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("{part}: {error}; leave it out, or give the receivers' code page with --code-page")]
    Character { part: &'static str, error: Unencodable },
    #[error("the name {name:?} takes {bytes} bytes in {code_page}; a NetBIOS name has at most 15")]
    LongName { name: String, bytes: usize, code_page: CodePage },
    #[error("the text takes {bytes} bytes in {code_page}; beside these names {limit} fit into one datagram")]
    LongText { bytes: usize, limit: usize, code_page: CodePage },
    #[error("the name {0:?} is empty or has a control character, which receivers would not show")]
    UnfitName(String),
    #[error("the text has a NUL, which would end it for the receivers")]
    Nul,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no random number can be had from the system: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Outgoing {
    fn new(from: &str, to: &To, text: &str, code_page: CodePage) -> Result<Self, Unsendable> {
        let (from, source_name) = name(from, NameType::MESSENGER, code_page)?;
        let (msg_type, (to, destination_name)) = match to {
            To::Name(to) => (MsgType::DirectUnique, name(to, NameType::MESSENGER, code_page)?),
            To::Workgroup(to) => (MsgType::DirectGroup, name(to, NameType::WORKSTATION, code_page)?),
            To::Everyone => (MsgType::Broadcast, name("*", NameType::WORKSTATION, code_page)?),
        };
        if text.contains('\0') {
            return Err(Unsendable::Nul);
        }
        let lines = text.replace("\r\n", "\n").replace('\n', "\r\n");
        let text =
            code_page.encode(&lines).map_err(|error| Unsendable::Character { part: "the text", error })?;
        let limit = MAX_DATA.saturating_sub(from.len() + to.len() + 3);
        if text.len() > limit {
            return Err(Unsendable::LongText { bytes: text.len(), limit, code_page });
        }
        Ok(Self { from, to, text, msg_type, source_name, destination_name })
    }

    fn datagram(&self, dgm_id: u16, source: SocketAddrV4) -> Result<Vec<u8>, WireError> {
        let header =
            Header { flags: Flags::FIRST, dgm_id, source_ip: *source.ip(), source_port: source.port() };
        let text = Text { from: &self.from, to: &self.to, text: &self.text };
        text.datagram(header, self.msg_type, self.source_name, self.destination_name)
    }
}

/// A name in upper case, as NetBIOS names are compared, in bytes and as the header has it.
fn name(text: &str, kind: NameType, code_page: CodePage) -> Result<(Vec<u8>, NetbiosName), Unsendable> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Unsendable::UnfitName(text.to_owned()));
    }
    let upper = text.to_uppercase();
    let bytes =
        code_page.encode(&upper).map_err(|error| Unsendable::Character { part: "the name", error })?;
    let name = NetbiosName::new(&bytes, kind).map_err(|_| Unsendable::LongName {
        name: upper,
        bytes: bytes.len(),
        code_page,
    })?;
    Ok((bytes, name))
}

fn send_to(socket: &UdpSocket, message: &Outgoing, target: SocketAddrV4) -> Result<(), Unsendable> {
    let dgm_id = u16::try_from(getrandom::u32().map_err(Unsendable::Random)? & 0xFFFF).unwrap_or_default();
    let port = socket.local_addr()?.port();
    let source = SocketAddrV4::new(source_address(target)?, port);
    socket.send_to(&message.datagram(dgm_id, source)?, target)?;
    Ok(())
}

/// The address that packets to `target` leave from.
fn source_address(target: SocketAddrV4) -> io::Result<Ipv4Addr> {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    probe.set_broadcast(true)?;
    probe.connect(target)?;
    Ok(match probe.local_addr()?.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    })
}

/// A socket from port 138, as senders have it, where that is permitted and free; else from any.
fn open() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))
        .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

/// The addresses that were asked for, else the broadcast address of every interface that is up.
fn targets(asked: &[SocketAddrV4]) -> io::Result<Vec<SocketAddrV4>> {
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    let mut found: Vec<SocketAddrV4> = getifaddrs()?
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST))
        .filter_map(|interface| Some(interface.broadcast?.as_sockaddr_in()?.ip()))
        .map(|address| SocketAddrV4::new(address, PORT))
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The first label of the host's name, as much of it as a NetBIOS name holds.
fn host_name() -> io::Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let label = name.trim().split('.').next().unwrap_or_default();
    Ok(label.chars().take(15).collect())
}

fn parse_address(text: &str) -> Result<SocketAddrV4, String> {
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT)))
        .map_err(|_| "write an IPv4 address, for example 192.0.2.255 or 192.0.2.255:138".to_owned())?;
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err("NetBIOS has no IPv6; write an IPv4 address".to_owned()),
    }
}

/// RFC 1002 §4.4.
const PORT: u16 = 138;

/// Bytes of From, To and Text with their NULs. A datagram carries one more, but Windows reads no mailslot message
/// between computers of over 424 bytes.
const MAX_DATA: usize = 424;
