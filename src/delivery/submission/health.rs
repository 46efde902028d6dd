//! What the end of a connection says about the destination, in a sentence for the operator: what happened, why, and
//! how to mend it.

use std::io;

use super::connection::Ended;
use super::endpoint::Endpoint;
use crate::delivery::outcome::Health;
use crate::net::connect::ConnectFault;
use crate::net::tls::HandshakeFault;
use crate::session::sasl::client::{Channel, SaslFault};
use crate::session::smtp_client::{Ending, OperatorFault, Stage};

/// The finding about the destination, and nothing about any message.
pub(super) fn health(endpoint: &Endpoint, ended: Ended) -> Health {
    let at = format!("{}:{}", endpoint.host, endpoint.port);
    match ended {
        Ended::Connect(fault) => Health::Down { reason: connect(&at, &fault) },
        Ended::Random(error) => Health::Down {
            reason: format!("no random numbers for the login at {at}: {error}; check this host"),
        },
        Ended::Token(fault) => fault.health(),
        Ended::Handshake(fault) => handshake(&at, fault),
        Ended::Session(ending, error) => session(&at, endpoint, ending, error.as_ref()),
    }
}

fn connect(at: &str, fault: &ConnectFault) -> String {
    match fault {
        ConnectFault::Resolve(error) => {
            format!(
                "{at} cannot be reached: its name does not resolve ({error}); check `host` and this machine's DNS"
            )
        }
        ConnectFault::Refused(address, error) => format!(
            "{at} cannot be reached: {address} answers \"{error}\"; check `host`, `port` and whether the server runs"
        ),
        ConnectFault::TimedOut => format!(
            "{at} cannot be reached: it does not answer; check `host`, `port` and the firewalls on the way"
        ),
    }
}

fn handshake(at: &str, fault: HandshakeFault) -> Health {
    match fault {
        HandshakeFault::Io(error) => Health::Down {
            reason: format!("{at} ended the TLS handshake: {error}; it is tried again by itself"),
        },
        HandshakeFault::Certificate { cause, fix } => {
            operator(format!("{at} is not trusted: {cause}; {fix}"))
        }
        HandshakeFault::NotTls => operator(format!(
            "{at} does not speak TLS where it is expected; with port 587 or 25 write tls.mode: starttls, with 465 implicit"
        )),
        HandshakeFault::Incompatible(error) => operator(format!(
            "{at} and this program have no common TLS ({error}); TLS 1.2 or 1.3 must be enabled on that server"
        )),
    }
}

fn session(at: &str, endpoint: &Endpoint, ending: Ending, error: Option<&io::Error>) -> Health {
    let detail = error.map(|error| format!(" ({error})")).unwrap_or_default();
    match ending {
        // The message had its chance and has its fate; whether the destination is well, the next one will tell. A
        // message that some box on the way cannot bear must not hold up all others.
        Ending::Quit | Ending::ContentRefused | Ending::ContentUnreadable => Health::Up,
        Ending::Lost(stage) if stage.is_within_content() => Health::Up,
        Ending::Lost(stage) => Health::Down {
            reason: format!(
                "{at} closed the connection while we waited for {stage}{detail}; look into its log"
            ),
        },
        Ending::TimedOut(stage) => Health::Down {
            reason: format!(
                "{at} leaves us waiting for {stage}, past the `timeout` of {} s; check that server, or set a longer one",
                endpoint.timeout.as_secs()
            ),
        },
        Ending::NotSmtp(stage, fault) => Health::Down {
            reason: format!(
                "{at} sends no SMTP where {stage} should be ({fault}); check `host`, `port` and tls.mode"
            ),
        },
        Ending::OutOfTurn(stage, reply) => Health::Down {
            reason: format!(
                "{at} breaks SMTP: it says \"{reply}\" where {stage} should be; look into its log"
            ),
        },
        Ending::Unready(stage, reply) => {
            let what = if stage == Stage::StartTls { "begin TLS" } else { "check the login" };
            Health::Down {
                reason: format!(
                    "{at} cannot {what} now: {reply}; look into its log if that lasts, it is tried again by itself"
                ),
            }
        }
        Ending::Throttled { retry_after, reply } => {
            Health::Throttled { retry_after, reason: format!("{at} wants no more for now: {reply}") }
        }
        Ending::Operator(fault) => operator(operator_fault(at, endpoint, fault)),
    }
}

fn operator_fault(at: &str, endpoint: &Endpoint, fault: OperatorFault) -> String {
    match fault {
        OperatorFault::Refused(Stage::Greeting, reply) => {
            format!("{at} refuses this host: {reply}; ask its administrator to let this address connect")
        }
        OperatorFault::Refused(_, reply) => format!(
            "{at} refuses EHLO {}: {reply}; check `hostname`, and that the server speaks ESMTP",
            endpoint.hostname
        ),
        OperatorFault::NoStartTls => format!(
            "{at} does not offer STARTTLS, and nothing is sent without; enable it there, or write tls.mode: implicit with \
             port 465, or none in a network that you trust"
        ),
        OperatorFault::StartTlsRefused(reply) => {
            format!(
                "{at} offers STARTTLS and then refuses it: {reply}; check the certificate and key on that server"
            )
        }
        OperatorFault::InjectedBeforeTls => format!(
            "{at} sent more in the clear after its reply to STARTTLS; someone on the way may inject replies, or the server \
             needs the fix for CVE-2011-0411"
        ),
        OperatorFault::NoMechanism(none) => {
            let fix = match none.channel {
                Channel::Clear => "use TLS, or allow one that is offered in auth.mechanisms",
                Channel::Tls if none.offered.is_empty() => {
                    "enable AUTH on that server, check `port`, or write auth: none if it knows this host otherwise"
                }
                Channel::Tls => {
                    "allow one that is offered in auth.mechanisms, or enable another on that server"
                }
            };
            format!("no login at {at} is possible: {none}; {fix}")
        }
        OperatorFault::CredentialsRefused(mechanism, reply) => {
            let usual = "check auth.user and the password in its file, or allow another mechanism";
            let fix = endpoint.replies.fix(&reply).unwrap_or(usual);
            format!("{at} refuses the login by {mechanism}: {reply}; {fix}")
        }
        OperatorFault::TokenRefused(mechanism, reply, said) => {
            let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
            let fix = endpoint.replies.fix(&reply).filter(|fix| !fix.contains("auth: { oauth"));
            let fix = fix.unwrap_or(
                "check `user` and `scope` of auth.oauth, and at the provider that the application may send for this mailbox; \
                 `mailslotd oauth test` shows what the token says",
            );
            format!("{at} refuses the token by {mechanism}, and a new one too: {reply}{said}; {fix}")
        }
        OperatorFault::Mechanism(mechanism, SaslFault::Signature | SaslFault::Unproven) => format!(
            "{at} did not prove by {mechanism} that it knows this user's password, so it may be an impostor; check \
             `host`, and the account on that server"
        ),
        OperatorFault::Mechanism(mechanism, SaslFault::Refused) => {
            format!("{at} refuses the login by {mechanism}; check auth.user and the password in its file")
        }
        OperatorFault::Mechanism(mechanism, fault) => format!(
            "the login at {at} by {mechanism} was broken off: {fault}; allow another mechanism in auth.mechanisms"
        ),
        OperatorFault::NotPermitted(reply) => {
            let usual = "check `auth` and tls.mode here, and the account there";
            let fix = endpoint.replies.fix(&reply).unwrap_or(usual);
            format!("{at} does not let this account send: {reply}; {fix}")
        }
        OperatorFault::SenderRefused(reply) => {
            let usual = "set `from` to an address that this account may use";
            let fix = endpoint.replies.fix(&reply).unwrap_or(usual);
            format!("{at} does not take mail from the configured sender: {reply}; {fix}")
        }
        OperatorFault::SenderNeedsSmtpUtf8 => {
            format!("{at} takes senders in ASCII only; set `from` to an address without other letters")
        }
    }
}

const fn operator(reason: String) -> Health {
    Health::OperatorFault { reason }
}
