//! Where accepted mail goes: by the domain of each recipient, the first route that matches.

use std::fmt;

use crate::message::id::DestinationName;
use crate::message::recipient::Recipient;
use crate::policy::relay::{DomainName, DomainPattern};
use crate::policy::template::{AddressTemplate, MailField, MailValues};
use crate::wire::smtp::path::Mailbox;

/// Where mail for a domain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The recipient's domain.
    pub domain: RouteDomain,
    /// The destination.
    pub via: DestinationName,
    /// What the destination is told.
    pub to: RouteTo,
}

impl Route {
    /// The copy for one recipient of a mail, with the reverse-path `sender`; `None` is the null one.
    #[must_use]
    pub fn copy(&self, recipient: &Mailbox, sender: Option<&str>) -> Recipient {
        let to = match &self.to {
            RouteTo::Recipient => return Recipient::new(self.via.clone(), recipient.as_str()),
            RouteTo::Folder(folder) => folder.as_str().to_owned(),
            RouteTo::Address(address) => address.render(MailValues { recipient, sender }),
        };
        Recipient { mailbox: Some(recipient.as_str().to_owned()), ..Recipient::new(self.via.clone(), to) }
    }
}

/// What the destination is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTo {
    /// The recipient: it is a next hop.
    Recipient,
    /// A folder: it is a Maildir. The operator names it; nothing that a recipient's address says makes folders.
    Folder(FolderName),
    /// An address at a broker. What a mail says becomes a token of it, and never more than one.
    Address(AddressTemplate<MailField>),
}

/// A folder of a Maildir: a plain word of at most 60 characters, one step below the Maildir. Empty: the Maildir's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderName(String);

impl FolderName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NotAFolder`], whose text goes on after "cannot be a folder: it".
    pub fn new(text: &str) -> Result<Self, NotAFolder> {
        if text.contains(['/', '\\']) {
            Err(NotAFolder::Separator)
        } else if text.starts_with('.') {
            Err(NotAFolder::Dot)
        } else if matches!(text, "cur" | "new" | "tmp") {
            Err(NotAFolder::Reserved)
        } else if text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            Err(NotAFolder::Blank)
        } else if text.chars().count() > MAX_FOLDER {
            Err(NotAFolder::TooLong)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for FolderName {
    /// `mail`.
    fn default() -> Self {
        Self("mail".to_owned())
    }
}

/// Why a text cannot be a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAFolder {
    /// It would be a path.
    #[error("has a separator; a folder is one step below its Maildir")]
    Separator,
    /// It would be hidden, or the Maildir's own.
    #[error("begins with a dot")]
    Dot,
    /// `cur`, `new` or `tmp`.
    #[error("is a part that every Maildir has")]
    Reserved,
    /// A character that shells and clients stumble over.
    #[error("has a blank or a control character")]
    Blank,
    /// More than a file name holds, whatever the letters.
    #[error("is longer than 60 characters")]
    TooLong,
}

/// A Maildir cuts longer ones.
const MAX_FOLDER: usize = 60;

/// The recipient's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteDomain {
    /// Every other one, and address literals.
    Any,
    /// These.
    Domain(DomainPattern),
}

impl fmt::Display for RouteDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Domain(pattern) => pattern.fmt(f),
        }
    }
}

/// The route that mail for this recipient takes: the first that matches. `None`: it has nowhere to go.
#[must_use]
pub fn route_of<'r>(routes: &'r [Route], recipient: &Mailbox) -> Option<&'r Route> {
    let domain = DomainName::parse(recipient.domain()).ok();
    routes.iter().find(|route| match &route.domain {
        RouteDomain::Any => true,
        RouteDomain::Domain(pattern) => domain.as_ref().is_some_and(|domain| pattern.matches(domain)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::template::{AddressForm, Template};

    fn routes(list: &[(&str, &str)]) -> Vec<Route> {
        list.iter()
            .map(|(domain, via)| Route {
                domain: match *domain {
                    "*" => RouteDomain::Any,
                    text => RouteDomain::Domain(DomainPattern::parse(text).unwrap()),
                },
                via: DestinationName::new(via).unwrap(),
                to: RouteTo::Recipient,
            })
            .collect()
    }

    #[test]
    fn a_copy_goes_to_the_recipient_or_where_the_operator_said_and_keeps_the_recipient() {
        let recipient = Mailbox::parse("etc/cur@corp.example").unwrap();
        let mut route = routes(&[("*", "inbox")]).remove(0);
        let whole = |route: &Route| {
            let Recipient { to, mailbox, .. } = route.copy(&recipient, Some("scanner@corp.example"));
            (to, mailbox)
        };
        assert_eq!(whole(&route), ("etc/cur@corp.example".to_owned(), None));
        let mailbox = Some("etc/cur@corp.example".to_owned());
        route.to = RouteTo::Folder(FolderName::new("scans").unwrap());
        assert_eq!(whole(&route), ("scans".to_owned(), mailbox.clone()));
        let template = Template::parse("mail/{local_part}/{sender}").unwrap();
        route.to = RouteTo::Address(AddressTemplate::new(template, AddressForm::MqttTopic));
        assert_eq!(whole(&route), ("mail/etc%2Fcur/scanner@corp.example".to_owned(), mailbox));
        for text in ["../x", "a\\b", ".hidden", "cur", "a b", &"x".repeat(61)] {
            assert!(FolderName::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_route_that_matches_is_taken() {
        let all = routes(&[("corp.example", "onprem"), (".corp.example", "branches"), ("*", "smarthost")]);
        let via = |routes: &[Route], recipient: &str| {
            route_of(routes, &Mailbox::parse(recipient).unwrap()).map(|route| route.via.to_string())
        };
        for (recipient, destination) in [
            ("a@Corp.Example", "onprem"),
            ("a@berlin.corp.example", "branches"),
            ("a@evilcorp.example", "smarthost"),
            ("\"a@corp.example\"@elsewhere.example", "smarthost"),
            ("a@[192.0.2.1]", "smarthost"),
        ] {
            assert_eq!(via(&all, recipient).as_deref(), Some(destination), "{recipient}");
        }
        assert_eq!(via(all.get(..2).unwrap(), "a@elsewhere.example"), None);
        assert_eq!(
            via(&routes(&[("*", "first"), ("corp.example", "never")]), "a@corp.example").as_deref(),
            Some("first")
        );
    }
}
