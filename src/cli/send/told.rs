//! What became of a message, for people, for programs, and as an exit code.

use std::net::SocketAddrV4;

use serde_json::json;

use super::super::Global;
use super::super::exit::Exit;
use super::super::output;
use crate::delivery::net_send::{NoSession, NotSent, Sent};
use crate::message::net_send::Addressee;
use crate::session::netbios_client::{Outcome, Stage};

/// Says what became of the message to `to`, and how the command ends.
pub(super) fn tell(to: &Addressee, sent: &Sent, global: &Global) -> Exit {
    match sent {
        Sent::Confirmed { by } => {
            if global.json {
                output::answer(json!({ "sent_to": [by], "receipt": true, "confirmed_by": by.ip() }));
            } else {
                output::answer(format_args!("{to} ({}) confirmed it", place(*by)));
            }
            Exit::Done
        }
        Sent::Unconfirmed { to: targets, left_out, obstacle } => {
            for (target, error) in left_out {
                output::note(format_args!("not sent to {target}: {error}"));
            }
            unconfirmed(targets, obstacle.as_ref(), global);
            if left_out.is_empty() { Exit::Done } else { Exit::Unavailable }
        }
        Sent::Not(not) => {
            if global.json {
                output::answer(json!({ "sent_to": [], "receipt": false, "reason": not.to_string() }));
            }
            let beginning = if is_uncertain(not) { "not confirmed" } else { "not delivered" };
            output::note(format_args!("{beginning}: {not}"));
            exit(not)
        }
    }
}

fn unconfirmed(targets: &[SocketAddrV4], obstacle: Option<&NoSession>, global: &Global) {
    let obstacle = obstacle.filter(|obstacle| !matches!(obstacle, NoSession::Several));
    if global.json {
        let reason = obstacle.map(ToString::to_string);
        output::answer(json!({ "sent_to": targets, "receipt": false, "reason": reason }));
        return;
    }
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    output::answer(format_args!("sent to {}", targets.join(", ")));
    if !global.quiet {
        if let Some(obstacle) = obstacle {
            output::note(format_args!("no session: {obstacle}"));
        }
        output::note("UDP gives no receipt: nothing tells whether anyone heard it, or showed it to a person");
    }
}

/// The host alone where the port is the service's own.
fn place(host: SocketAddrV4) -> String {
    if host.port() == 139 { host.ip().to_string() } else { host.to_string() }
}

const fn is_uncertain(not: &NotSent) -> bool {
    match not {
        NotSent::NoSession { obstacle: NoSession::Ended { outcome, .. }, .. } => {
            matches!(outcome, Outcome::Lost(Stage::Sent) | Outcome::TimedOut(Stage::Sent))
        }
        NotSent::NoSession { .. }
        | NotSent::TooLong(_)
        | NotSent::Nowhere
        | NotSent::Faults(_)
        | NotSent::System(_) => false,
    }
}

/// "No" where somebody says it or nobody is there; "try later" where nothing is certain.
const fn exit(not: &NotSent) -> Exit {
    match not {
        _ if is_uncertain(not) => Exit::TryLater,
        NotSent::NoSession { obstacle, .. } => match obstacle {
            NoSession::Nobody { .. } | NoSession::Several => Exit::No,
            NoSession::Unreachable { .. } => Exit::Unavailable,
            NoSession::Ended { outcome, .. } => match outcome {
                Outcome::Refused(_) | Outcome::SessionRefused(_) => Exit::No,
                Outcome::Confirmed
                | Outcome::Retargeted(_)
                | Outcome::HungUpOnWhole
                | Outcome::Lost(_)
                | Outcome::TimedOut(_)
                | Outcome::NotAReceiver(_) => Exit::Unavailable,
            },
        },
        NotSent::TooLong(_) => Exit::Usage,
        NotSent::Nowhere | NotSent::Faults(_) | NotSent::System(_) => Exit::Unavailable,
    }
}
