//! `mailslotd send`: a message to a person's screen or to another gateway, as `net send` sent it.

mod permission;
mod told;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use super::Global;
use super::exit::Exit;
use super::load::{self, LoadError, Reading};
use super::output;
use crate::config::settings::{Interfaces, Mode, Settings};
use crate::delivery::net_send::{Address, Lengths, NetSender, Network, Way};
use crate::message::net_send::{Addressee, NetSend};
use crate::wire::netbios_name::Scope;
use crate::wire::oem_text::CodePage;

/// Send a message as `net send` did: to the owner of a name, who confirms it, else to mailslots over UDP
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The NetBIOS name to send from, at most 15 characters; else the name of this host
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// How to send it
    #[arg(long, value_enum, default_value_t = Via::Auto)]
    via: Via,
    /// Where to send it, else to the owner of the name, else to everybody; repeatable. A port is the session's (TCP) with
    /// `--via session`, else the mailslot's (UDP)
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_address)]
    address: Vec<Address>,
    /// A WINS server to ask for the name's owner, before everybody is asked; repeatable. Else those of the configuration
    #[arg(long, value_name = "IP")]
    wins: Vec<Ipv4Addr>,
    /// The OEM code page that the receivers read; else that of the configuration, else cp437
    #[arg(long, value_name = "CP")]
    code_page: Option<CodePage>,
    /// A computer or user, `*` for everyone who hears it, or /domain:NAME for a workgroup
    #[arg(value_name = "TO")]
    to: Addressee,
    /// The message; several words are joined by blanks
    #[arg(value_name = "TEXT", required = true)]
    text: Vec<String>,
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Via {
    /// A session with the owner of the name; where there is none, the mailslot
    Auto,
    /// A session on TCP 139 alone: the receiver confirms the message
    Session,
    /// The mailslot `\MAILSLOT\MESSNGR` over UDP 138 alone: nobody confirms anything
    Mailslot,
}

impl From<Via> for Way {
    fn from(via: Via) -> Self {
        match via {
            Via::Auto => Self::SessionElseMailslot,
            Via::Session => Self::Session,
            Via::Mailslot => Self::Mailslot,
        }
    }
}

/// Sends the message and says what became of it.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    // One with problems says nothing; whether anything may be sent at all is asked later, and tells of them.
    let configured = configured(global).ok().flatten();
    let from = match args.from.clone().map_or_else(host_name, Ok) {
        Ok(name) => name,
        Err(error) => {
            let error = format_args!("the name of this host cannot be read ({error}); give one with --from");
            return refuse(&error, Exit::Usage);
        }
    };
    let code_page =
        args.code_page.or_else(|| configured.as_ref().map(|settings| settings.decoding.code_page.code_page));
    let code_page = code_page.unwrap_or(CodePage::Cp437);
    let message = match NetSend::new(&from, &args.to, &args.text.join(" "), code_page) {
        Ok(message) => message,
        Err(error) => return refuse(&error, Exit::Usage),
    };
    if args.via == Via::Session && !matches!(args.to, Addressee::Name(_)) {
        let error = "a session is with one host; leave --via out, and it goes to the mailslot of everybody";
        return refuse(&error, Exit::Usage);
    }
    super::runtime(send(args, message, configured.as_ref(), global))
}

async fn send(args: Args, message: NetSend, configured: Option<&Settings>, global: &Global) -> Exit {
    let Args { via, address, wins, to, .. } = args;
    let mut network = network(configured);
    if !wins.is_empty() {
        network.servers = wins;
    }
    // With messages switched off, not even the question for a name leaves this machine, unless the name may be its own.
    let can_be_own = !address.is_empty() || configured.is_some_and(|settings| is_own(settings, &message));
    if !can_be_own && let Err(forbidden) = permission::may_send_away(global) {
        return refuse(&forbidden, forbidden.exit());
    }
    let way = via.into();
    let sender = NetSender::new(network, None);
    let targets = match sender.locate(&to, message.destination_name(), way, &address).await {
        Ok(targets) => targets,
        Err(error) => return refuse(&error, Exit::Unavailable),
    };
    let everywhere: Vec<SocketAddrV4> = targets.all().collect();
    if can_be_own && let Err(forbidden) = permission::may_send(&everywhere, global) {
        return refuse(&forbidden, forbidden.exit());
    }
    let lengths = Lengths { session: &message, mailslot: &message };
    told::tell(&to, &sender.send(lengths, &targets, way).await, global)
}

fn is_own(settings: &Settings, message: &NetSend) -> bool {
    match &settings.netbios.mode {
        Mode::Observe => false,
        Mode::Answer(claims) => claims.has(message.destination_name()),
    }
}

fn refuse(error: &dyn fmt::Display, exit: Exit) -> Exit {
    output::note(format_args!("nothing was sent: {error}"));
    exit
}

/// The configuration that is in force, where there is a file of one.
fn configured(global: &Global) -> Result<Option<Settings>, LoadError> {
    let loaded = load::load(global, Reading::WithoutSecrets)?;
    Ok(Some(loaded.checked.settings).filter(|_| !loaded.files.is_empty()))
}

fn network(configured: Option<&Settings>) -> Network {
    let Some(settings) = configured else {
        return Network { interfaces: Interfaces::All, servers: Vec::new(), scope: Scope::default() };
    };
    Network {
        interfaces: settings.netbios.interfaces.clone(),
        servers: match &settings.netbios.mode {
            Mode::Observe => Vec::new(),
            Mode::Answer(claims) => claims.wins.clone(),
        },
        scope: Scope::new(&settings.decoding.scope).unwrap_or_default(),
    }
}

/// The first label of the host's name, as much of it as a NetBIOS name holds.
fn host_name() -> io::Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let label = name.trim().split('.').next().unwrap_or_default();
    Ok(label.chars().take(15).collect())
}

fn parse_address(text: &str) -> Result<Address, String> {
    let whole = text.parse::<SocketAddr>().map(|address| (address.ip(), Some(address.port())));
    let (host, port) = whole
        .or_else(|_| text.parse::<IpAddr>().map(|address| (address, None)))
        .map_err(|_| "write an IPv4 address, for example 192.0.2.255 or 192.0.2.255:138".to_owned())?;
    match host {
        IpAddr::V4(host) => Ok(Address { host, port }),
        IpAddr::V6(_) => Err("NetBIOS has no IPv6; write an IPv4 address".to_owned()),
    }
}
