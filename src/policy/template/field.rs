//! What may stand in the braces of a template.

use super::TemplateReason;
use crate::message::id::RuleName;
use crate::message::notice::Notice;
use crate::policy::mapping::Context;
use crate::policy::spelling::nearest;
use crate::wire::smtp::path::Mailbox;

/// The fields that one kind of template may have.
pub trait TemplateField: Copy + Eq + std::fmt::Debug + 'static {
    /// What the fields of one message stand for.
    type Values<'a>: Copy;

    /// Every field, in the order of the manual.
    const ALL: &'static [Self];

    /// As it is written between the braces.
    fn as_str(self) -> &'static str;

    /// Gives the field's value as it is, unbounded and with the sender's control characters, to `f`.
    fn with_value<R>(self, values: Self::Values<'_>, f: impl FnOnce(&str) -> R) -> R;

    /// Why a name that is no field's is none, where there is more to say than that.
    fn refused(_name: &str) -> Option<TemplateReason> {
        None
    }

    /// The field with this name, blanks around it ignored.
    ///
    /// # Errors
    /// A name that is none of ours, with the nearest one.
    fn named(name: &str) -> Result<Self, TemplateReason> {
        let name = name.trim();
        if let Some(field) = Self::ALL.iter().find(|field| field.as_str() == name) {
            return Ok(*field);
        }
        if let Some(reason) = Self::refused(name) {
            return Err(reason);
        }
        let name: String = name.chars().take(40).collect();
        let known: Vec<&'static str> = Self::ALL.iter().map(|field| field.as_str()).collect();
        Err(TemplateReason::UnknownField { nearest: nearest(&name, known.iter().copied()), name, known })
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $origin:ident;)*) => {
        /// What may stand in braces in a rule's template.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        impl Field {
            /// Every field, in the order of the manual.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is written between the braces.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Who chooses its value.
            #[must_use]
            pub const fn origin(self) -> Origin {
                match self { $(Self::$variant => Origin::$origin,)* }
            }
        }
    };
}

fields! {
    /// The From inside the message, else the source name.
    Originator = "originator", Sender;
    /// The To inside the message, else the destination name.
    To = "to", Sender;
    /// The sender's name in the NetBIOS header, without its type.
    SourceName = "source_name", Sender;
    /// The receiver's name in the NetBIOS header, without its type.
    DestinationName = "destination_name", Sender;
    /// The mailslot in upper case.
    Mailslot = "mailslot", Sender;
    /// The IP address that the packet came from. UDP lets a sender forge it.
    Source = "source", Sender;
    /// `datagram` or `messenger`.
    Listener = "listener", Gateway;
    /// The whole text.
    Text = "text", Sender;
    /// The first line of the text that is not blank.
    FirstLine = "first_line", Sender;
    /// When the message arrived, in the configured time zone: `2026-11-21 19:25:01 +09:00`.
    Time = "time", Gateway;
    /// The gateway's `hostname`.
    Host = "host", Operator;
    /// The configured `site`.
    Site = "site", Operator;
    /// The name of the rule that decided.
    Rule = "rule", Operator;
}

impl Field {
    /// Its value, where that is the operator's and the same for every message.
    #[must_use]
    pub fn constant<'c>(self, rule: &'c RuleName, context: &'c Context) -> Option<&'c str> {
        match self {
            Self::Host => Some(&context.host),
            Self::Site => Some(&context.site),
            Self::Rule => Some(rule.as_str()),
            Self::Originator
            | Self::To
            | Self::SourceName
            | Self::DestinationName
            | Self::Mailslot
            | Self::Source
            | Self::Listener
            | Self::Text
            | Self::FirstLine
            | Self::Time => None,
        }
    }
}

/// Who chooses a field's value. NetBIOS authenticates nobody, so what a sender chooses may never become an address of
/// mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Whoever sent the datagram.
    Sender,
    /// The gateway itself, for each message anew.
    Gateway,
    /// The configuration; the same for every message.
    Operator,
}

/// What the fields of one legacy message stand for.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The message.
    pub notice: &'a Notice<'a>,
    /// The rule that decided.
    pub rule: &'a RuleName,
    /// What the configuration says of this gateway.
    pub context: &'a Context,
}

impl TemplateField for Field {
    type Values<'a> = Values<'a>;

    const ALL: &'static [Self] = Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }

    fn with_value<R>(self, values: Values<'_>, f: impl FnOnce(&str) -> R) -> R {
        let Values { notice, rule, context } = values;
        match self {
            Self::Originator => f(&notice.originator),
            Self::To => f(&notice.to),
            Self::SourceName => f(&notice.source_name.text),
            Self::DestinationName => f(&notice.destination_name.text),
            Self::Mailslot => f(&notice.mailslot),
            Self::Source => f(&notice.arrival.source.ip().to_canonical().to_string()),
            Self::Listener => f(notice.arrival.listener.as_str()),
            Self::Text => f(&notice.text),
            Self::FirstLine => f(notice.first_line()),
            Self::Time => {
                let zoned = notice.arrival.at.to_zoned(context.timezone.clone());
                f(&zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
            }
            Self::Host => f(&context.host),
            Self::Site => f(&context.site),
            Self::Rule => f(rule.as_str()),
        }
    }

    fn refused(name: &str) -> Option<TemplateReason> {
        (name == "id").then_some(TemplateReason::QueueId)
    }
}

/// What may stand in braces in a route's template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MailField {
    /// The recipient's address.
    Recipient,
    /// What stands before its last `@`.
    LocalPart,
    /// What stands behind it.
    Domain,
    /// The reverse-path; empty for the null one.
    Sender,
    /// The gateway's `hostname`.
    Host,
    /// The configured `site`.
    Site,
}

/// What the fields of one mail stand for.
#[derive(Debug, Clone, Copy)]
pub struct MailValues<'a> {
    /// For whom the copy is.
    pub recipient: &'a Mailbox,
    /// The reverse-path; `None` for the null one.
    pub sender: Option<&'a str>,
}

impl TemplateField for MailField {
    type Values<'a> = MailValues<'a>;

    const ALL: &'static [Self] =
        &[Self::Recipient, Self::LocalPart, Self::Domain, Self::Sender, Self::Host, Self::Site];

    fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::LocalPart => "local_part",
            Self::Domain => "domain",
            Self::Sender => "sender",
            Self::Host => "host",
            Self::Site => "site",
        }
    }

    /// Those of the operator are put in when the configuration is checked, and are empty here.
    fn with_value<R>(self, values: MailValues<'_>, f: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Recipient => f(values.recipient.as_str()),
            Self::LocalPart => f(values.recipient.local_part()),
            Self::Domain => f(values.recipient.domain()),
            Self::Sender => f(values.sender.unwrap_or_default()),
            Self::Host | Self::Site => f(""),
        }
    }
}
