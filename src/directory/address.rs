//! Addresses as directories compare them, and sets of them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

use crate::policy::relay::DomainName;
use crate::wire::smtp::path::{Mailbox, PathError};

/// An address in the form that is compared.
///
/// The domain counts without regard to case (RFC 1035 §2.3.3), and its U-labels are their A-labels (RFC 5890 §2.3.2.4).
/// So does the local part: RFC 5321 §2.4 leaves its case to
/// the receiving host, but none in use tells `Ops` from `ops`, devices and people write both, and to refuse either would
/// be a false 550. Quotes around a local part that needs none are taken off (§4.1.2: both spellings are one mailbox), and
/// letters are composed (NFC). Nothing else is touched: a sub-address (`ops+x`, RFC 5233) is an address of its own, for
/// only the receiving host knows its delimiter, and what was stripped here might be refused there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Address(Arc<str>);

impl Address {
    pub(super) fn of(mailbox: &Mailbox) -> Self {
        let local_part = folded(&mailbox.bare_local_part());
        let domain = DomainName::parse(mailbox.domain())
            .map_or_else(|_| folded(mailbox.domain()), |domain| domain.as_str().to_owned());
        Self(format!("{local_part}@{domain}").into())
    }

    /// Every spelling of the domain that a directory of somebody else's may hold: in A-labels, and in U-labels where it
    /// has any.
    #[cfg(any(feature = "ldap", test))]
    pub(super) fn spellings(&self) -> Vec<String> {
        let mut spellings = vec![self.0.to_string()];
        if let Ok(domain) = DomainName::parse(self.domain()) {
            let in_unicode = format!("{}@{}", self.local_part(), domain.in_unicode());
            spellings.extend((in_unicode != *self.0).then_some(in_unicode));
        }
        spellings
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    pub(super) fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local_part, _)| local_part)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

fn folded(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).collect()
}

/// Addresses, and domains of which every address counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    single: HashSet<Box<str>>,
    domains: HashSet<Box<str>>,
}

impl Addresses {
    /// Adds an address, or with `@domain` all of that domain (and none of its sub-domains).
    pub(super) fn add(&mut self, entry: &str) -> Result<(), PathError> {
        if let Some(domain) = entry.strip_prefix('@') {
            // Any local part will do to have the domain checked.
            let address = Address::of(&Mailbox::parse(&format!("postmaster@{domain}"))?);
            self.domains.insert(address.domain().into());
        } else {
            self.single.insert(Address::of(&Mailbox::parse(entry)?).as_str().into());
        }
        Ok(())
    }

    pub(super) fn contains(&self, address: &Address) -> bool {
        self.single.contains(address.as_str()) || self.domains.contains(address.domain())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.single.is_empty() && self.domains.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.single.len().saturating_add(self.domains.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::of(&Mailbox::parse(text).unwrap())
    }

    #[test]
    fn spellings_of_one_mailbox_are_one_address_and_others_are_not() {
        for (one, other, same) in [
            ("ops@corp.example", "OPS@Corp.Example", true),
            ("\"ops\"@corp.example", "ops@corp.example", true),
            ("\"o\\ps\"@corp.example", "ops@corp.example", true),
            ("sto\u{308}rung@corp.example", "ST\u{d6}RUNG@corp.example", true),
            ("\"night shift\"@corp.example", "\"Night Shift\"@corp.example", true),
            ("ops@bücher.example", "ops@xn--bcher-kva.example", true),
            ("ops@BÜCHER.example", "Ops@XN--BCHER-KVA.Example", true),
            ("ops@sub.例え.example", "ops@sub.xn--r8jz45g.example", true),
            ("ops@xn--bcher-kvb.example", "ops@bücher.example", false),
            ("ops+x@corp.example", "ops@corp.example", false),
            ("\"ops@corp.example\"@corp.example", "ops@corp.example", false),
            ("ops@sub.corp.example", "ops@corp.example", false),
            ("o.ps@corp.example", "ops@corp.example", false),
        ] {
            assert_eq!(address(one) == address(other), same, "{one} {other}");
        }
    }

    #[test]
    fn a_directory_is_asked_for_both_spellings_of_a_domain_that_has_two() {
        assert_eq!(address("Ops@corp.example").spellings(), ["ops@corp.example"]);
        for text in ["ops@bücher.example", "ops@xn--bcher-kva.example"] {
            assert_eq!(address(text).spellings(), ["ops@xn--bcher-kva.example", "ops@bücher.example"]);
        }
    }

    #[test]
    fn an_entry_that_begins_with_an_at_sign_stands_for_exactly_its_domain() {
        let mut addresses = Addresses::default();
        addresses.add("Ops@corp.example").unwrap();
        addresses.add("@Plant.Example").unwrap();
        addresses.add("@Bücher.example").unwrap();
        addresses.add("ops@xn--r8jz45g.example").unwrap();
        for (text, contained) in [
            ("ops@CORP.example", true),
            ("night@corp.example", false),
            ("anybody@plant.example", true),
            ("\"a@corp.example\"@plant.example", true),
            ("\"a@plant.example\"@corp.example", false),
            ("anybody@sub.plant.example", false),
            ("anybody@evilplant.example", false),
            ("anybody@xn--bcher-kva.example", true),
            ("ops@例え.example", true),
            ("night@例え.example", false),
        ] {
            assert_eq!(addresses.contains(&address(text)), contained, "{text}");
        }
        assert_eq!(addresses.len(), 4);
    }

    #[test]
    fn what_is_neither_address_nor_domain_is_refused() {
        for entry in ["", "@", "ops", "@corp..example", "ops@", "*@corp.example x"] {
            assert!(Addresses::default().add(entry).is_err(), "{entry:?}");
        }
    }
}
