//! What replies mean for a recipient, for the destination, and for its operator.

use std::fmt;
use std::time::Duration;

use crate::policy::replies::{ReplyMeaning, ReplyTable};
use crate::session::sasl::client::{BearerError, NoMechanism, SaslFault};
use crate::wire::reader::WireError;
use crate::wire::smtp::mechanism::{BearerMechanism, SaslMechanism};
use crate::wire::smtp::reply::{Reply, Severity};
use crate::wire::smtp::status::EnhancedStatus;

/// What the next hop decided for one recipient; the names are the `Action` values of RFC 3464 §2.3.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It took responsibility.
    Delivered {
        /// Its reply to the end of data.
        text: String,
    },
    /// It may accept later, or nobody knows whether it did.
    Delayed {
        /// Why.
        status: EnhancedStatus,
        /// Its reply, or what happened instead of one.
        text: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// It never will.
    Failed {
        /// Why.
        status: EnhancedStatus,
        /// Its reply, or what made it pointless to ask.
        text: String,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// We said QUIT.
    Quit,
    /// The connection broke or was closed at this stage.
    Lost(Stage),
    /// No reply came in time at this stage.
    TimedOut(Stage),
    /// What came is no SMTP reply.
    NotSmtp(Stage, WireError),
    /// A reply that nothing asked for, or one that its command cannot have.
    OutOfTurn(Stage, Reply),
    /// The next hop wants no more for a while.
    Throttled {
        /// How long, where it said so.
        retry_after: Option<Duration>,
        /// Its reply.
        reply: Reply,
    },
    /// The next hop refused the content before its end; its recipients have their fates.
    ContentRefused,
    /// The next hop cannot protect the session or check the login now (4yz to STARTTLS or AUTH, RFC 3207 §4, RFC 4954
    /// §6): a trouble of its own, that passes without anyone here.
    Unready(Stage, Reply),
    /// Our side could not read the content; its recipients are delayed.
    ContentUnreadable,
    /// Someone must act; no message is to blame.
    Operator(OperatorFault),
}

/// What only a person can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorFault {
    /// The next hop refuses this client before anything was asked, or refuses its name.
    Refused(Stage, Reply),
    /// TLS is required here and not offered there.
    NoStartTls,
    /// TLS is required here, offered there, and refused when asked for.
    StartTlsRefused(Reply),
    /// Octets followed the reply to STARTTLS in the clear: someone on the way injects replies (RFC 3207 §6).
    InjectedBeforeTls,
    /// No mechanism is both offered and allowed.
    NoMechanism(NoMechanism),
    /// The credentials were refused.
    CredentialsRefused(SaslMechanism, Reply),
    /// The token was refused, with what the server said of it before, if anything.
    TokenRefused(BearerMechanism, Reply, Option<BearerError>),
    /// The next hop failed to prove itself, or breaks the mechanism.
    Mechanism(SaslMechanism, SaslFault),
    /// The next hop wants a login or TLS that the configuration does not give, or blocks this account.
    NotPermitted(Reply),
    /// The configured sender is not one that the next hop lets this account use.
    SenderRefused(Reply),
    /// The configured sender needs SMTPUTF8, which the next hop does not offer.
    SenderNeedsSmtpUtf8,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The 220 that opens.
    Greeting,
    /// The reply to EHLO or HELO.
    Hello,
    /// The reply to STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// The reply to AUTH or to a response.
    Auth,
    /// The next transaction.
    Idle,
    /// The replies to MAIL, RCPT and DATA.
    Envelope,
    /// Our own content to be sent.
    Content,
    /// The reply to the end of data.
    EndOfData,
    /// The reply to QUIT.
    Quit,
}

impl Stage {
    /// Whether the next hop may have a message although it did not say so.
    #[must_use]
    pub const fn is_within_content(self) -> bool {
        matches!(self, Self::Content | Self::EndOfData)
    }
}

/// To follow "while waiting for".
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "the reply to EHLO",
            Self::StartTls => "the reply to STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::Auth => "the reply to AUTH",
            Self::Idle => "the next message",
            Self::Envelope => "the reply to MAIL, RCPT or DATA",
            Self::Content => "the content to be taken",
            Self::EndOfData => "the reply to the end of data",
            Self::Quit => "the reply to QUIT",
        })
    }
}

/// What a reply means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// As asked.
    Accepted,
    /// Send the content.
    GoOn,
    /// This one later.
    Delayed,
    /// This one never.
    Failed,
    /// All later.
    Throttled,
    /// A login, TLS, or a free account is missing.
    NotPermitted,
    /// This account may not send as this sender.
    SenderRefused,
}

impl Meaning {
    /// What `reply` to MAIL, RCPT, DATA, the end of data or AUTH means.
    pub(super) fn of(reply: &Reply, table: &ReplyTable) -> Self {
        let plain = match reply.severity() {
            Severity::Positive => return Self::Accepted,
            Severity::Intermediate => return Self::GoOn,
            Severity::Transient => Self::Delayed,
            Severity::Permanent => Self::Failed,
        };
        table.find(reply).map_or(plain, |rule| match rule.meaning {
            ReplyMeaning::Wait => Self::Throttled,
            ReplyMeaning::Later => Self::Delayed,
            ReplyMeaning::Operator => Self::NotPermitted,
            ReplyMeaning::Sender => Self::SenderRefused,
            ReplyMeaning::Failed => Self::Failed,
        })
    }
}

/// What this reply to the end of data, or a refusal, decides for a recipient.
pub(super) fn fate(meaning: Meaning, reply: &Reply) -> Fate {
    let text = reply.to_string();
    let status = |class| match reply.status() {
        // A class that the table of replies overrules would contradict the fate.
        Some(status) => EnhancedStatus { class, ..status },
        None => EnhancedStatus::new(class, 0, 0),
    };
    match meaning {
        Meaning::Accepted | Meaning::GoOn => Fate::Delivered { text },
        Meaning::Failed | Meaning::SenderRefused => Fate::Failed { status: status(5), text },
        Meaning::Delayed | Meaning::Throttled | Meaning::NotPermitted => {
            Fate::Delayed { status: status(4), text, retry_after: retry_after(reply) }
        }
    }
}

/// Whether a refusal of MAIL speaks of the sender: of its address (5.1.z) or of what it may do (5.7.z).
pub(super) fn blames_sender(reply: &Reply) -> bool {
    match reply.status() {
        Some(status) if status.subject != 0 => matches!(status.subject, 1 | 7),
        _ => matches!(reply.code().number(), 550 | 551 | 553 | 554),
    }
}

/// "Greylisted for 5 minutes", "try again in 300 seconds": no standard says how, many servers do.
pub(super) fn retry_after(reply: &Reply) -> Option<Duration> {
    if reply.severity() != Severity::Transient {
        return None;
    }
    let text = reply.lines().join(" ").to_ascii_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.windows(2).find_map(|pair| {
        let [number, unit] = pair else { return None };
        let unit = match *unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "hour" | "hours" => 60 * 60,
            _ => return None,
        };
        let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
        (1..=MAX_RETRY_AFTER).contains(&seconds).then(|| Duration::from_secs(seconds))
    })
}

/// A day, in seconds; a longer wish is no wish.
const MAX_RETRY_AFTER: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::reply::ReplyParser;

    fn reply(text: &str) -> Reply {
        ReplyParser::new().parse(&mut format!("{text}\r\n").as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn replies_mean_what_their_first_digit_says_unless_they_are_known_to_lie() {
        for (text, meaning) in [
            ("250 2.0.0 queued", Meaning::Accepted),
            ("354 go on", Meaning::GoOn),
            ("450 4.2.0 greylisted", Meaning::Delayed),
            ("550 5.1.1 unknown", Meaning::Failed),
            ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", Meaning::Throttled),
            ("554 5.2.0 STOREDRV.Submission.Exception:Other", Meaning::Failed),
            ("554 5.2.2 mailbox full", Meaning::Delayed),
            ("552 5.2.2 mailbox full", Meaning::Failed),
            ("550 5.4.5 Daily SMTP relay limit exceeded", Meaning::Throttled),
            ("535 5.7.139 Authentication unsuccessful", Meaning::NotPermitted),
            ("550 5.7.30 Basic authentication is not supported", Meaning::NotPermitted),
            ("530 5.7.57 Client not authenticated to send mail", Meaning::NotPermitted),
            ("550 5.1.8 Access denied, bad outbound sender", Meaning::NotPermitted),
            (
                "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
                Meaning::SenderRefused,
            ),
            ("553 5.7.1 <a@b>: Sender address rejected: not owned by user x", Meaning::SenderRefused),
            ("450 4.1.8 <a@b>: Sender address rejected: Domain not found", Meaning::Delayed),
            ("432 4.3.2 Concurrent connections limit exceeded", Meaning::Throttled),
            ("450 4.7.1 Error: too much mail from 192.0.2.7", Meaning::Throttled),
            ("421 4.3.2 closing", Meaning::Throttled),
        ] {
            assert_eq!(Meaning::of(&reply(text), &ReplyTable::default()), meaning, "{text}");
        }
    }

    #[test]
    fn a_permanent_code_that_means_wait_becomes_a_delay_with_a_transient_status() {
        let quota = reply("554 5.2.2 full");
        let Fate::Delayed { status, .. } = fate(Meaning::of(&quota, &ReplyTable::default()), &quota) else {
            panic!("not delayed")
        };
        assert_eq!(status, EnhancedStatus::new(4, 2, 2));
    }

    #[test]
    fn how_long_to_wait_is_read_from_the_text_where_it_says_so() {
        for (text, seconds) in [
            ("450 4.2.0 Greylisted for 5 minutes", Some(300)),
            ("451 try again in 90 seconds.", Some(90)),
            ("451 try again later", None),
            ("451 wait 99999999999999999999 seconds", None),
            ("451 wait 900000 seconds", None),
            ("550 5 minutes", None),
        ] {
            assert_eq!(retry_after(&reply(text)), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
