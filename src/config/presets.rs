//! What is known of the large providers, as data: where they listen, what they take, and what their replies mean. Every
//! value is only a default.
//!
//! Sources: Microsoft Learn, "Exchange Online limits", "How to set up a multifunction device or application to send email
//! using Microsoft 365", "Manage mass mailing with High Volume Email"; Google Workspace Admin Help, "Gmail sending limits",
//! "SMTP relay service"; Amazon SES Developer Guide, "Service quotas" and "SMTP response codes".

use std::time::Duration;

use super::settings::{ProviderPreset, TlsMode};
use crate::policy::rate::Rate;
use crate::policy::replies::ReplyMeaning::{Operator, Sender, Wait};
use crate::policy::replies::ReplyRule;

/// What is known of a provider.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) mode: TlsMode,
    pub(super) max_connections: usize,
    pub(super) rate: Option<Rate>,
    /// Octets.
    pub(super) message_size: Option<u64>,
    /// Of one transaction.
    pub(super) max_recipients: Option<usize>,
    pub(super) login: Login,
    /// Where tokens come from, where they are taken.
    pub(super) tokens: Option<Tokens>,
    pub(super) replies: &'static [ReplyRule],
}

/// Where the provider listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// Always there.
    Fixed(&'static str),
    /// The domain with hyphens for dots, and this behind it.
    OfDomain(&'static str),
    /// It depends; an example.
    Such(&'static str),
}

/// Who we are there unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    /// Nobody: it knows our address or our certificate.
    None,
    /// `auth` must say.
    Needed(&'static str),
}

/// Whose tokens a provider takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// Those of the Microsoft identity platform.
    Microsoft,
    /// Google's.
    Google,
}

impl ProviderPreset {
    /// What is known of it.
    pub(super) const fn facts(self) -> &'static Facts {
        match self {
            Self::M365 => &M365,
            Self::M365Connector => &M365_CONNECTOR,
            Self::M365Hve => &M365_HVE,
            Self::Google => &GOOGLE,
            Self::GoogleRelay => &GOOGLE_RELAY,
            Self::AmazonSes => &AMAZON_SES,
        }
    }
}

const fn per(count: u32, seconds: u64) -> Option<Rate> {
    Some(Rate { count, period: Duration::from_secs(seconds) })
}

const fn reply(
    code: u16,
    status: Option<(u8, u16, u16)>,
    text: &'static str,
    meaning: crate::policy::replies::ReplyMeaning,
    fix: Option<&'static str>,
) -> ReplyRule {
    ReplyRule::known(code, status, text, meaning, fix)
}

const MIB: u64 = 1 << 20;
const DAY: u64 = 24 * 60 * 60;
const M365_LOGIN: &str = "add `auth: { oauth: { grant: client-credentials, tenant: example.onmicrosoft.com, client_id: …, \
     client_secret_file: …, user: alerts@example.com } }`; `mailslotd oauth setup m365 --mailbox alerts@example.com` prints the steps";

/// SMTP AUTH client submission. A mailbox may send 35 MiB unless its MaxSendSize is raised, to 150 MiB at most.
static M365: Facts = Facts {
    host: Host::Fixed("smtp.office365.com"),
    port: 587,
    mode: TlsMode::StartTls,
    max_connections: 3,
    rate: per(30, 60),
    message_size: Some(35 * MIB),
    max_recipients: None,
    login: Login::Needed(M365_LOGIN),
    tokens: Some(Tokens::Microsoft),
    replies: &M365_REPLIES,
};

/// The tenant's own MX host, which knows this host by a connector.
static M365_CONNECTOR: Facts = Facts {
    host: Host::OfDomain(".mail.protection.outlook.com"),
    port: 25,
    mode: TlsMode::StartTls,
    max_connections: 10,
    rate: None,
    message_size: Some(150 * MIB),
    max_recipients: None,
    login: Login::None,
    tokens: None,
    replies: &M365_CONNECTOR_REPLIES,
};

/// High Volume Email, for recipients within the tenant.
static M365_HVE: Facts = Facts {
    host: Host::Fixed("smtp-hve.office365.com"),
    port: 587,
    mode: TlsMode::StartTls,
    max_connections: 3,
    rate: None,
    message_size: Some(10 * MIB),
    max_recipients: Some(50),
    login: Login::Needed(M365_LOGIN),
    tokens: Some(Tokens::Microsoft),
    replies: &M365_REPLIES,
};

/// A Workspace mailbox: 2 000 messages a day, and 100 recipients of one by SMTP.
static GOOGLE: Facts = Facts {
    host: Host::Fixed("smtp.gmail.com"),
    port: 587,
    mode: TlsMode::StartTls,
    max_connections: 5,
    rate: per(2000, DAY),
    message_size: Some(25 * MIB),
    max_recipients: Some(100),
    login: Login::Needed(
        "add `auth: { oauth: { grant: jwt-bearer, service_account_file: …, user: alerts@example.com } }`; `mailslotd oauth \
         setup google --mailbox alerts@example.com` prints the steps",
    ),
    tokens: Some(Tokens::Google),
    replies: &GOOGLE_REPLIES,
};

/// The relay of a Workspace domain, which knows this host by its address.
static GOOGLE_RELAY: Facts = Facts {
    host: Host::Fixed("smtp-relay.gmail.com"),
    port: 587,
    mode: TlsMode::StartTls,
    max_connections: 10,
    rate: None,
    message_size: Some(25 * MIB),
    max_recipients: Some(100),
    login: Login::None,
    tokens: Some(Tokens::Google),
    replies: &GOOGLE_REPLIES,
};

/// One region's SMTP endpoint.
static AMAZON_SES: Facts = Facts {
    host: Host::Such("email-smtp.eu-central-1.amazonaws.com"),
    port: 587,
    mode: TlsMode::StartTls,
    max_connections: 10,
    rate: None,
    message_size: Some(40 * MIB),
    max_recipients: Some(50),
    login: Login::Needed(
        "add `auth: { user: …, password_file: …, mechanisms: [plain, login] }` with SMTP credentials, which are made in the SES \
         console and are no AWS access keys",
    ),
    tokens: None,
    replies: &AMAZON_SES_REPLIES,
};

static M365_REPLIES: [ReplyRule; 5] = [
    reply(
        535,
        Some((5, 7, 3)),
        "",
        Operator,
        Some(
            "the application may not send for this mailbox: New-ServicePrincipal with the Object ID of Enterprise applications, \
              Add-MailboxPermission and Set-CASMailbox; `mailslotd oauth setup m365 --mailbox MAILBOX` prints them; what is new counts after \
              up to an hour",
        ),
    ),
    reply(550, Some((5, 7, 708)), "", Operator, Some("new tenants may send little: ask Microsoft's support")),
    reply(
        550,
        Some((5, 7, 705)),
        "",
        Operator,
        Some("the tenant sent too much that looked like spam: ask Microsoft's support"),
    ),
    reply(
        550,
        Some((5, 7, 501)),
        "",
        Operator,
        Some(
            "the mailbox is blocked for spam: remove it from the restricted entities in the Microsoft Defender portal",
        ),
    ),
    reply(550, Some((5, 1, 90)), "", Wait, None),
];

static M365_CONNECTOR_REPLIES: [ReplyRule; 4] = [
    reply(
        550,
        Some((5, 7, 64)),
        "",
        Operator,
        Some(
            "no connector knows this host: Exchange admin center > Mail flow > Connectors, with this host's address or certificate",
        ),
    ),
    reply(
        550,
        Some((5, 7, 606)),
        "",
        Operator,
        Some("this host's address is banned: https://sender.office.com/"),
    ),
    reply(
        550,
        Some((5, 7, 511)),
        "",
        Operator,
        Some("this host's address is banned: https://sender.office.com/"),
    ),
    reply(
        550,
        Some((5, 7, 708)),
        "",
        Operator,
        Some("this host's address has no good name with Microsoft: ask its support"),
    ),
];

static GOOGLE_REPLIES: [ReplyRule; 6] = [
    reply(
        535,
        Some((5, 7, 8)),
        "",
        Operator,
        Some("use `auth: { oauth: … }`, or an app password of that account"),
    ),
    reply(
        534,
        Some((5, 7, 9)),
        "",
        Operator,
        Some("use `auth: { oauth: … }`, or an app password of that account"),
    ),
    reply(
        550,
        Some((5, 7, 1)),
        "invalid credentials for relay",
        Operator,
        Some(
            "let this host's address in: Google Admin console > Apps > Google Workspace > Gmail > Routing > SMTP relay service",
        ),
    ),
    reply(
        550,
        Some((5, 7, 0)),
        "mail relay denied",
        Operator,
        Some(
            "let this host's address in: Google Admin console > Apps > Google Workspace > Gmail > Routing > SMTP relay service",
        ),
    ),
    reply(421, Some((4, 7, 0)), "", Wait, None),
    reply(454, Some((4, 7, 0)), "too many login attempts", Wait, None),
];

static AMAZON_SES_REPLIES: [ReplyRule; 7] = [
    reply(454, None, "daily message quota exceeded", Wait, None),
    reply(454, None, "maximum sending rate exceeded", Wait, None),
    reply(454, None, "throttling failure", Wait, None),
    reply(
        554,
        None,
        "email address is not verified",
        Sender,
        Some(
            "verify the sender's domain in the SES console, in the region of `host`; in the sandbox recipients too",
        ),
    ),
    reply(
        554,
        None,
        "sending paused",
        Operator,
        Some("the account may not send now: look into the SES console"),
    ),
    reply(
        535,
        None,
        "authentication credentials invalid",
        Operator,
        Some("use SMTP credentials of this region, not AWS access keys"),
    ),
    reply(530, None, "must issue a starttls", Operator, Some("write `tls: { mode: starttls }`")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::status::EnhancedStatus;

    #[test]
    fn every_preset_takes_what_its_own_limits_say() {
        use ProviderPreset::{AmazonSes, Google, GoogleRelay, M365, M365Connector, M365Hve};
        for preset in [M365, M365Connector, M365Hve, Google, GoogleRelay, AmazonSes] {
            let facts = preset.facts();
            assert!(facts.max_connections >= 1 && facts.port > 0, "{preset:?}");
            assert!(facts.message_size.is_some_and(|size| size >= 10 * MIB), "{preset:?}");
            for rule in facts.replies {
                // Too many recipients of one transaction: the others of the same message go in the next one.
                assert_ne!(rule.status, Some(EnhancedStatus::new(4, 5, 3)), "{preset:?}");
                assert_eq!(*rule.text, *rule.text.to_lowercase(), "{preset:?}");
            }
        }
    }
}
