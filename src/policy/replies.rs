//! SMTP replies that do not mean what their first digit says: a quota that looks permanent, a blocked account that looks
//! like a bad recipient.
//!
//! A table, read from top to bottom: the rows of the configuration, then those of a provider, then those below, which
//! hold for every next hop. A reply that no row fits means what RFC 5321 §4.2.1 says.

use std::borrow::Cow;
use std::sync::Arc;

use crate::wire::smtp::reply::{Reply, Severity};
use crate::wire::smtp::status::EnhancedStatus;

/// What a reply means, whatever its first digit pretends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMeaning {
    /// The next hop wants nothing more for a while: everything for it waits.
    Wait,
    /// This message may go later; others may go now.
    Later,
    /// Someone must act; no message is to blame, and everything for the next hop waits.
    Operator,
    /// The account may not send as this sender: the operator's fault where the operator chose it, else the message's.
    Sender,
    /// The next hop never will take this message.
    Failed,
}

impl ReplyMeaning {
    /// The word that the configuration has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Later => "later",
            Self::Operator => "operator",
            Self::Sender => "sender",
            Self::Failed => "failed",
        }
    }
}

/// One row: which replies it is about, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRule {
    /// The reply code; `None`: any of 400 to 599.
    pub code: Option<u16>,
    /// The enhanced status code that the text begins with; `None`: any or none.
    pub status: Option<EnhancedStatus>,
    /// What a line of the text contains, in lower case; empty: anything.
    pub text: Cow<'static, str>,
    /// What it means.
    pub meaning: ReplyMeaning,
    /// How to mend it, in the words of that provider's administrator.
    pub fix: Option<Cow<'static, str>>,
}

impl ReplyRule {
    /// A row of this program; 0 is any code.
    pub(crate) const fn known(
        code: u16,
        status: Option<(u8, u16, u16)>,
        text: &'static str,
        meaning: ReplyMeaning,
        fix: Option<&'static str>,
    ) -> Self {
        let status = match status {
            Some((class, subject, detail)) => Some(EnhancedStatus::new(class, subject, detail)),
            None => None,
        };
        let fix = match fix {
            Some(fix) => Some(Cow::Borrowed(fix)),
            None => None,
        };
        let code = if code == 0 { None } else { Some(code) };
        Self { code, status, text: Cow::Borrowed(text), meaning, fix }
    }

    fn fits(&self, reply: &Reply) -> bool {
        self.code.is_none_or(|wanted| wanted == reply.code().number())
            && self.status.is_none_or(|wanted| Some(wanted) == reply.status())
            && reply.mentions(&self.text)
    }
}

/// What is known of a next hop's replies. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTable(Arc<[ReplyRule]>);

impl Default for ReplyTable {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl ReplyTable {
    /// These rows before those that hold for every next hop.
    #[must_use]
    pub fn new(rules: Vec<ReplyRule>) -> Self {
        Self(rules.into())
    }

    /// The rows that hold for this next hop only.
    #[must_use]
    pub fn rules(&self) -> &[ReplyRule] {
        &self.0
    }

    /// The first row that fits a refusal; `None` for other replies, and for one that means what its first digit says.
    #[must_use]
    pub fn find(&self, reply: &Reply) -> Option<&ReplyRule> {
        match reply.severity() {
            Severity::Positive | Severity::Intermediate => None,
            Severity::Transient | Severity::Permanent => {
                self.0.iter().chain(EVERYWHERE).find(|rule| rule.fits(reply))
            }
        }
    }

    /// What an administrator of that provider does about this reply, where it is known.
    #[must_use]
    pub fn fix(&self, reply: &Reply) -> Option<&str> {
        self.find(reply)?.fix.as_deref()
    }
}

use ReplyMeaning::{Later, Operator, Sender, Wait};

const fn row(
    code: u16,
    status: Option<(u8, u16, u16)>,
    text: &'static str,
    meaning: ReplyMeaning,
) -> ReplyRule {
    ReplyRule::known(code, status, text, meaning, None)
}

const fn mended(
    code: u16,
    status: Option<(u8, u16, u16)>,
    text: &'static str,
    meaning: ReplyMeaning,
    fix: &'static str,
) -> ReplyRule {
    ReplyRule::known(code, status, text, meaning, Some(fix))
}

/// Replies of servers in use; the first column 0 is any code. The narrower row comes first.
const EVERYWHERE: &[ReplyRule] = &[
    // M365: the ways in which it says that SMTP AUTH is not allowed.
    mended(
        535,
        Some((5, 7, 139)),
        "smtpclientauthentication is disabled for the tenant",
        Operator,
        "allow it for the mailbox (Exchange Online PowerShell): Set-CASMailbox -Identity MAILBOX \
         -SmtpClientAuthenticationDisabled $false",
    ),
    mended(
        535,
        Some((5, 7, 139)),
        "smtpclientauthentication is disabled for the mailbox",
        Operator,
        "allow it for the mailbox (Exchange Online PowerShell): Set-CASMailbox -Identity MAILBOX \
         -SmtpClientAuthenticationDisabled $false",
    ),
    mended(
        535,
        Some((5, 7, 139)),
        "security defaults",
        Operator,
        "security defaults of the tenant block it: use `auth: { oauth: … }`, or conditional access instead of the defaults",
    ),
    mended(
        535,
        Some((5, 7, 139)),
        "conditional access",
        Operator,
        "a conditional access policy blocks the sign-in: exclude this application or this host's address from it in the \
         Microsoft Entra admin center",
    ),
    mended(
        535,
        Some((5, 7, 139)),
        "locked",
        Operator,
        "the account is locked: unlock it in the Microsoft Entra admin center",
    ),
    mended(
        535,
        Some((5, 7, 139)),
        "basic authentication is disabled",
        Operator,
        "use `auth: { oauth: … }`; `mailslotd oauth setup m365 --mailbox MAILBOX` prints the steps",
    ),
    mended(
        550,
        Some((5, 7, 30)),
        "",
        Operator,
        "use `auth: { oauth: … }`; `mailslotd oauth setup m365 --mailbox MAILBOX` prints the steps",
    ),
    mended(
        530,
        Some((5, 7, 57)),
        "",
        Operator,
        "the connection is not logged in: write `auth`; for a connector, let this host's address or certificate into it",
    ),
    // RFC 4954 §6, RFC 3207 §4: a login or TLS is missing.
    row(530, None, "", Operator),
    row(534, None, "", Operator),
    row(535, None, "", Operator),
    row(538, None, "", Operator),
    // M365: the account is blocked for spam.
    mended(
        550,
        Some((5, 1, 8)),
        "",
        Operator,
        "the mailbox sent too much that looked like spam and is blocked: find out what, then remove it from the restricted \
         entities in the Microsoft Defender portal",
    ),
    // M365: SendAsDenied. Postfix: not owned by the user, and said at RCPT only (`smtpd_delay_reject`).
    mended(
        550,
        Some((5, 7, 60)),
        "",
        Sender,
        "set `from` to the mailbox that logs in, or give it SendAs on that address",
    ),
    mended(
        0,
        Some((5, 2, 252)),
        "",
        Sender,
        "set `from` to the mailbox that logs in, or give it SendAs on that address",
    ),
    row(550, None, "sender address rejected", Sender),
    row(553, None, "sender address rejected", Sender),
    row(554, None, "sender address rejected", Sender),
    // Postfix: the whole client is refused, and that is said at RCPT only.
    row(554, None, "client host rejected", Operator),
    row(504, None, "helo command rejected", Operator),
    row(550, None, "helo command rejected", Operator),
    // M365: a quota of the sending mailbox, over by the next hour or day.
    row(554, Some((5, 2, 0)), "submissionquotaexceeded", Wait),
    row(554, Some((5, 2, 2)), "", Later),
    // Google: the day's limit of the relay.
    row(550, Some((5, 4, 5)), "", Wait),
    // M365: over three connections of one mailbox; "server busy".
    row(432, Some((4, 3, 2)), "", Wait),
    row(451, Some((4, 7, 500)), "", Wait),
    // Postfix' anvil, and others.
    row(450, None, "too much mail from", Wait),
    row(450, None, "too many connections", Wait),
    row(451, None, "too many connections", Wait),
    row(452, None, "too many connections", Wait),
    row(421, None, "", Wait),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::reply::ReplyParser;

    fn reply(text: &str) -> Reply {
        ReplyParser::new().parse(&mut format!("{text}\r\n").as_bytes()).unwrap().unwrap()
    }

    fn meaning(table: &ReplyTable, text: &str) -> Option<ReplyMeaning> {
        table.find(&reply(text)).map(|rule| rule.meaning)
    }

    #[test]
    fn a_row_of_the_configuration_goes_before_those_for_everybody() {
        let own = ReplyRule::known(550, Some((5, 4, 5)), "", ReplyMeaning::Failed, None);
        let table = ReplyTable::new(vec![own]);
        assert_eq!(meaning(&table, "550 5.4.5 Daily limit"), Some(ReplyMeaning::Failed));
        assert_eq!(meaning(&ReplyTable::default(), "550 5.4.5 Daily limit"), Some(Wait));
        assert_eq!(meaning(&table, "550 5.1.1 unknown"), None, "it means what it says");
        assert_eq!(meaning(&table, "250 2.0.0 5.4.5"), None, "no refusal");
    }

    #[test]
    fn what_an_administrator_does_about_a_reply_stands_beside_it() {
        let table = ReplyTable::default();
        let disabled =
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.";
        assert!(table.fix(&reply(disabled)).unwrap().contains("Set-CASMailbox"));
        let basic = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.";
        assert!(table.fix(&reply(basic)).unwrap().contains("oauth setup m365"));
        assert_eq!(table.fix(&reply("535 5.7.8 wrong password")), None);
    }

    #[test]
    fn every_row_is_reached_by_some_reply() {
        for (number, rule) in EVERYWHERE.iter().enumerate() {
            let (code, status) = (rule.code.unwrap_or(550), rule.status);
            let status = status.map(|status| format!("{status} ")).unwrap_or_default();
            let text = format!("{code} {status}{}", rule.text);
            let found = ReplyTable::default().find(&reply(&text)).cloned();
            assert_eq!(found.as_ref(), Some(rule), "row {number}: {text}");
        }
    }
}
