//! What befell a connection to a broker, in a sentence for the operator: what happened, why, and how to mend it.

use std::fmt;
use std::time::Duration;

use crate::delivery::outcome::Health;
use crate::net::connect::ConnectFault;
use crate::net::tls::HandshakeFault;

/// No connection came about.
pub(in crate::delivery) fn unreachable(at: &str, fault: &ConnectFault) -> Health {
    down(match fault {
        ConnectFault::Resolve(error) => format!(
            "{at} cannot be reached: its name does not resolve ({error}); check `url` and this machine's DNS"
        ),
        ConnectFault::Refused(address, error) => format!(
            "{at} cannot be reached: {address} answers \"{error}\"; check `url` and whether the broker runs"
        ),
        ConnectFault::TimedOut => {
            format!("{at} cannot be reached: it does not answer; check `url` and the firewalls on the way")
        }
    })
}

/// A connection came about, and no TLS on it.
pub(in crate::delivery) fn no_tls(at: &str, fault: HandshakeFault) -> Health {
    match fault {
        HandshakeFault::Io(error) => {
            down(format!("{at} ended the TLS handshake: {error}; it is tried again by itself"))
        }
        HandshakeFault::Certificate { cause, fix } => {
            operator(format!("{at} is not trusted: {cause}; {fix}"))
        }
        HandshakeFault::NotTls => operator(format!(
            "{at} does not speak TLS there; check the port in `url`, or that TLS is enabled on the broker"
        )),
        HandshakeFault::Incompatible(error) => operator(format!(
            "{at} and this program have no common TLS ({error}); TLS 1.2 or 1.3 must be enabled there, and a broker that \
             asks for a certificate needs `tls.client_certificate` from an authority that it trusts"
        )),
    }
}

/// The broker kept us waiting past the time that it has.
pub(in crate::delivery) fn silent(at: &str, waiting_for: &str, after: Duration) -> Health {
    down(format!(
        "{at} leaves us waiting for {waiting_for}, past `limits.timeout` of {} s; check that broker, or set a longer time",
        after.as_secs_f32()
    ))
}

/// The connection ended while something was awaited.
pub(in crate::delivery) fn lost(at: &str, waiting_for: &str, why: &dyn fmt::Display) -> Health {
    down(format!("{at} ended the connection while we waited for {waiting_for} ({why}); look into its log"))
}

/// A defect of ours ended the task of the connection; the log has told of it.
pub(in crate::delivery) fn broke_off(at: &str) -> Health {
    down(format!("the connection to {at} broke off by a defect of this program; please report it"))
}

/// It cannot be used now and is tried again soon.
pub(in crate::delivery) const fn down(reason: String) -> Health {
    Health::Down { reason }
}

/// Someone must act.
pub(in crate::delivery) const fn operator(reason: String) -> Health {
    Health::OperatorFault { reason }
}

/// It wants no more for a while, and does not say for how long.
pub(in crate::delivery) const fn throttled(reason: String) -> Health {
    Health::Throttled { retry_after: None, reason }
}

/// What a broker said, on one line of bounded length, with nothing that changes how a terminal shows it.
pub(in crate::delivery) fn quoted(said: &str) -> String {
    let mut line = String::new();
    for (count, letter) in said.chars().enumerate() {
        if count >= MOST_SAID {
            line.push('…');
            break;
        }
        match letter {
            '\'' | '"' => line.push(letter),
            other => line.extend(other.escape_debug()),
        }
    }
    line
}

const MOST_SAID: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_is_one_line_that_does_not_grow() {
        assert_eq!(quoted("no\r\nway \u{1b}[31m"), "no\\r\\nway \\u{1b}[31m");
        assert_eq!(quoted(&"x".repeat(5000)).chars().count(), MOST_SAID + 1);
    }
}
