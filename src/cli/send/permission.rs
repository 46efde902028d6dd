//! Whether the switch lets a message out: it governs `send` as soon as there is a configuration file.
#![expect(clippy::disallowed_methods, reason = "the switch is looked at as it stands now")]

use std::io;
use std::net::SocketAddrV4;

use jiff::Timestamp;

use super::super::Global;
use super::super::exit::Exit;
use super::super::load::{self, LoadError, Reading};
use super::super::output;
use crate::config::settings::Settings;
use crate::listen::links::Link;
use crate::policy::mailslot_switch::{Direction, Passing};
use crate::switch::{self, RecordError, SwitchStatus};

/// Why a message may not be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Forbidden {
    /// What Windows says with the protocol disabled, as it now is by default.
    #[error(
        "system error 3025 has occurred: remote mailslots have been deprecated \
         (ERROR_REMOTE_MAILSLOTS_DEPRECATED). They are switched off here; \
         `mailslotd mailslots enable --outbound --for 7d` allows them, or `mailslots.outbound` in the configuration. \
         To a gateway on this machine messages may go: --address 127.0.0.1"
    )]
    SwitchedOff,
    #[error("whether messages may be sent is not known: {0}")]
    Configuration(#[from] LoadError),
    #[error("whether messages may be sent is not known: {0}")]
    Record(#[from] RecordError),
    #[error("the addresses of this machine cannot be read: {0}")]
    Links(#[from] io::Error),
}

impl Forbidden {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::SwitchedOff => Exit::No,
            Self::Configuration(_) => Exit::Config,
            Self::Record(_) | Self::Links(_) => Exit::Unavailable,
        }
    }
}

/// Whether messages may go to these addresses. To this machine itself they always may, so that a first test works, and
/// without a configuration file to any.
pub(super) fn may_send(targets: &[SocketAddrV4], global: &Global) -> Result<(), Forbidden> {
    let links = Link::all()?;
    let is_own = |target: &SocketAddrV4| {
        let mut addresses = links.iter().flat_map(|link| &link.addresses);
        target.ip().is_loopback() || addresses.any(|own| own.address == *target.ip())
    };
    if targets.iter().all(is_own) { Ok(()) } else { may_send_away(global) }
}

/// Whether messages may leave this machine.
pub(super) fn may_send_away(global: &Global) -> Result<(), Forbidden> {
    let loaded = load::load(global, Reading::WithoutSecrets)?;
    if loaded.files.is_empty() {
        return Ok(());
    }
    let status = look(&loaded.checked.settings)?;
    let is_off =
        |status: &SwitchStatus| (status.direction, status.state) == (Direction::Outbound, Passing::Off);
    if status.iter().any(is_off) { Err(Forbidden::SwitchedOff) } else { Ok(()) }
}

/// How the switch stands. Who may not read the orders goes by the configuration, and is told so.
fn look(settings: &Settings) -> Result<Vec<SwitchStatus>, RecordError> {
    let now = Timestamp::now();
    match switch::look(&settings.state_dir, &settings.mailslots, now) {
        Err(error) if error.is_permission() => {
            output::note(format_args!(
                "orders of `mailslotd mailslots` are not known to this user, so the configuration counts: {error}"
            ));
            Ok(switch::configured(&settings.mailslots, now))
        }
        other => other,
    }
}
