//! Domain names that can be compared, and the patterns that an operator writes for them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::wire::punycode;
use crate::wire::smtp::path::Mailbox;

/// A domain name in the one form in which two spellings of it are equal: ASCII in lower case, labels beyond ASCII as
/// their A-labels (RFC 5890 §2.3.2.1), no dot at either end.
///
/// Address literals, IP addresses and characters that only look like others (full-width letters, ideographic full
/// stops, ligatures) are no domain: what a next hop might map to another name is not compared at all.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(String);

impl DomainName {
    /// Checks and takes a domain.
    ///
    /// # Errors
    /// [`NotADomain`] with the cause; [`NotADomain::fix`] says what to write.
    pub fn parse(text: &str) -> Result<Self, NotADomain> {
        let refused = |fault| NotADomain { text: text.to_owned(), fault };
        let fault = match text {
            "" => Some(DomainFault::Empty),
            _ if text.starts_with('[') => Some(DomainFault::Address),
            _ if text.contains('*') => Some(DomainFault::Wildcard),
            _ if text.contains('@') => Some(DomainFault::Mailbox),
            _ if text.ends_with('.') => Some(DomainFault::TrailingDot),
            _ if text.len() > MAX_TEXT => Some(DomainFault::TooLong),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(refused(fault));
        }
        let labels: Result<Vec<Cow<'_, str>>, DomainFault> = text.split('.').map(a_label).collect();
        let labels = labels.map_err(refused)?;
        // No top-level domain is a number (RFC 3696 §2), an IPv4 address ends with one.
        if labels.last().is_some_and(|label| label.bytes().all(|octet| octet.is_ascii_digit())) {
            return Err(refused(DomainFault::Address));
        }
        let name = labels.join(".");
        if name.len() > MAX_NAME { Err(refused(DomainFault::TooLong)) } else { Ok(Self(name)) }
    }

    /// In ASCII and lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With U-labels in place of A-labels (RFC 5890 §2.3.2.1). What only looks like an A-label stays as it is.
    #[must_use]
    pub fn in_unicode(&self) -> String {
        let label = |label: &str| u_label(label).unwrap_or_else(|| label.to_owned());
        self.0.split('.').map(label).collect::<Vec<_>>().join(".")
    }

    /// The name without its first label; `None` for a top-level domain.
    fn parent(name: &str) -> Option<&str> {
        name.split_once('.').map(|(_, parent)| parent)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A domain, or with a leading dot its sub-domains (and not itself). Displays as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DomainPattern {
    /// Exactly this one.
    Exact(DomainName),
    /// Every domain below this one, at any depth: `.corp.example`.
    Below(DomainName),
}

impl DomainPattern {
    /// Reads `corp.example` or `.corp.example`.
    ///
    /// # Errors
    /// [`NotADomain`] with the cause; [`NotADomain::fix`] says what to write.
    pub fn parse(text: &str) -> Result<Self, NotADomain> {
        let parsed = match text.strip_prefix('.') {
            Some(parent) => DomainName::parse(parent).map(Self::Below),
            None => DomainName::parse(text).map(Self::Exact),
        };
        parsed.map_err(|refused| NotADomain { text: text.to_owned(), ..refused })
    }

    /// Whether it stands for this domain. Labels are compared whole: `evilcorp.example` is not `corp.example`.
    #[must_use]
    pub fn matches(&self, domain: &DomainName) -> bool {
        match self {
            Self::Exact(exact) => exact == domain,
            Self::Below(parent) => domain
                .as_str()
                .strip_suffix(parent.as_str())
                .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.')),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => write!(f, "{domain}"),
            Self::Below(parent) => write!(f, ".{parent}"),
        }
    }
}

/// Recipient domains we are responsible for (method 1). Finding one costs a look-up for each label of the domain,
/// however many there are.
#[derive(Clone, Default)]
pub struct AcceptedDomains {
    patterns: Vec<DomainPattern>,
    exact: HashMap<DomainName, usize>,
    below: HashMap<String, usize>,
}

impl AcceptedDomains {
    /// These; what is given twice counts once.
    #[must_use]
    pub fn new(patterns: Vec<DomainPattern>) -> Self {
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        for (number, pattern) in patterns.iter().enumerate() {
            match pattern {
                DomainPattern::Exact(domain) => {
                    exact.entry(domain.clone()).or_insert(number);
                }
                DomainPattern::Below(parent) => {
                    below.entry(parent.as_str().to_owned()).or_insert(number);
                }
            }
        }
        Self { patterns, exact, below }
    }

    /// In the order they were given.
    #[must_use]
    pub fn patterns(&self) -> &[DomainPattern] {
        &self.patterns
    }

    /// The pattern that stands for this domain: the exact one before a parent's, a near parent's before a far one's.
    #[must_use]
    pub fn matching(&self, domain: &DomainName) -> Option<&DomainPattern> {
        let parents =
            std::iter::successors(DomainName::parent(domain.as_str()), |name| DomainName::parent(name));
        let number =
            self.exact.get(domain).or_else(|| parents.into_iter().find_map(|p| self.below.get(p)))?;
        self.patterns.get(*number)
    }
}

impl PartialEq for AcceptedDomains {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for AcceptedDomains {}

impl fmt::Debug for AcceptedDomains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

/// A text that is no domain; displays as the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotADomain {
    text: String,
    fault: DomainFault,
}

/// What is wrong with a text that should be a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DomainFault {
    Empty,
    Label,
    TooLong,
    TrailingDot,
    Wildcard,
    Mailbox,
    Address,
    LookAlike,
}

impl NotADomain {
    /// What to write instead, beginning in lower case and without a full stop.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self.fault {
            DomainFault::Empty => "write a domain, for example corp.example",
            DomainFault::Label => {
                "use letters, digits, inner hyphens and single dots, for example corp.example; a leading dot means its \
                 sub-domains"
            }
            DomainFault::TooLong => "a domain has at most 253 octets, each label at most 63",
            DomainFault::TrailingDot => "leave the dot at the end out",
            DomainFault::Wildcard => "write .corp.example for every domain below corp.example",
            DomainFault::Mailbox => "write what is behind the @",
            DomainFault::Address => "write a domain name; mail for an IP address is for nobody's domain",
            DomainFault::LookAlike => "write it in its plain form, or in its xn-- form",
        }
    }
}

impl fmt::Display for NotADomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.text.chars().take(80).flat_map(char::escape_debug).collect();
        write!(f, "\"{shown}\" ")?;
        f.write_str(match self.fault {
            DomainFault::Empty => "is no domain",
            DomainFault::Label => "has a label that no domain can have",
            DomainFault::TooLong => "is too long for a domain",
            DomainFault::TrailingDot => "has a dot at its end",
            DomainFault::Wildcard => "has a wildcard, which domains do not take",
            DomainFault::Mailbox => "is a whole address, not a domain",
            DomainFault::Address => "is an IP address, not a domain",
            DomainFault::LookAlike => "has characters that stand for others in a domain",
        })
    }
}

impl std::error::Error for NotADomain {}

/// The mailbox with its domain in A-labels, which every next hop takes, one without SMTPUTF8 too. `None` where the local
/// part has letters outside ASCII, or the domain is none that can be compared.
#[must_use]
pub fn in_ascii(mailbox: &Mailbox) -> Option<Mailbox> {
    let domain = DomainName::parse(mailbox.domain()).ok()?;
    Mailbox::parse_ascii(&format!("{}@{domain}", mailbox.local_part())).ok()
}

/// One label as it is compared.
fn a_label(label: &str) -> Result<Cow<'_, str>, DomainFault> {
    if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
        return Err(DomainFault::Label);
    }
    let written: Cow<'_, str> = if label.is_ascii() {
        if !label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            return Err(DomainFault::Label);
        }
        Cow::Owned(label.to_ascii_lowercase())
    } else {
        // Full-width letters and stops, ligatures, numbers in circles: a U-label has none (RFC 5892 §2.2).
        if label.nfkc().ne(label.chars()) {
            return Err(DomainFault::LookAlike);
        }
        if !label.chars().all(|c| c.is_alphanumeric() || c == '-' || is_combining_mark(c)) {
            return Err(DomainFault::Label);
        }
        let lower: String = label.chars().flat_map(char::to_lowercase).nfc().collect();
        let digits = punycode::encode(&lower).ok_or(DomainFault::TooLong)?;
        Cow::Owned(format!("{ACE_PREFIX}{digits}"))
    };
    if written.len() > MAX_LABEL { Err(DomainFault::TooLong) } else { Ok(written) }
}

/// The U-label that an A-label stands for.
fn u_label(label: &str) -> Option<String> {
    let decoded = punycode::decode(label.strip_prefix(ACE_PREFIX)?)?;
    a_label(&decoded).is_ok_and(|encoded| encoded == label).then_some(decoded)
}

/// RFC 5890 §2.3.2.5.
const ACE_PREFIX: &str = "xn--";
const MAX_LABEL: usize = 63;
/// In ASCII, so that its form on the wire keeps to 255 octets (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// As it is written, before labels become A-labels; what MAIL and RCPT carry is shorter.
const MAX_TEXT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn spellings_of_one_domain_are_equal() {
        for (one, other) in [
            ("Corp.Example", "corp.example"),
            ("BÜCHER.example", "bücher.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.Example", "bücher.example"),
            ("例え.example", "xn--r8jz45g.example"),
            ("ΣΟΦΟΣ.example", "σοφοσ.example"),
        ] {
            assert_eq!(name(one), name(other));
        }
        assert_ne!(name("straße.example"), name("strasse.example"));
    }

    #[test]
    fn a_domain_is_shown_with_the_letters_that_its_a_labels_stand_for() {
        for (text, shown) in [
            ("BÜCHER.example", "bücher.example"),
            ("shop.xn--bcher-kva.example", "shop.bücher.example"),
            ("corp.example", "corp.example"),
            // Its digits stand for nothing.
            ("xn--9.example", "xn--9.example"),
        ] {
            assert_eq!(name(text).in_unicode(), shown);
            assert_eq!(name(shown), name(text));
        }
    }

    #[test]
    fn a_mailbox_has_an_ascii_form_where_only_its_domain_has_other_letters() {
        let in_ascii = |text| in_ascii(&Mailbox::parse(text).unwrap()).map(|mailbox| mailbox.to_string());
        assert_eq!(in_ascii("Ops@bücher.example").as_deref(), Some("Ops@xn--bcher-kva.example"));
        assert_eq!(in_ascii("jörg@bücher.example"), None);
        assert_eq!(in_ascii("ops@ｃｏｒｐ.example"), None);
    }

    #[test]
    fn what_is_no_domain_is_refused_with_cause_and_fix() {
        let long = format!("{}.example", "a".repeat(64));
        let total = ["c".repeat(60).as_str(); 5].join(".");
        for (text, fault) in [
            ("", DomainFault::Empty),
            (".", DomainFault::TrailingDot),
            ("corp.example.", DomainFault::TrailingDot),
            ("corp..example", DomainFault::Label),
            ("-corp.example", DomainFault::Label),
            ("corp_1.example", DomainFault::Label),
            ("corp.example:25", DomainFault::Label),
            ("corp example", DomainFault::Label),
            ("*.corp.example", DomainFault::Wildcard),
            ("*", DomainFault::Wildcard),
            ("ops@corp.example", DomainFault::Mailbox),
            ("[192.0.2.1]", DomainFault::Address),
            ("192.0.2.1", DomainFault::Address),
            ("corp。example", DomainFault::Label),
            ("ｃｏｒｐ.example", DomainFault::LookAlike),
            ("corp．example", DomainFault::LookAlike),
            ("a⒈example", DomainFault::LookAlike),
            ("bac\u{212a}.example", DomainFault::LookAlike),
            ("bu\u{308}cher.example", DomainFault::LookAlike),
            ("co\u{200d}rp.example", DomainFault::Label),
            ("co\u{ad}rp.example", DomainFault::Label),
            ("corp\u{2024}example", DomainFault::LookAlike),
            (&long, DomainFault::TooLong),
            (&total, DomainFault::TooLong),
        ] {
            assert_eq!(DomainName::parse(text).map_err(|error| error.fault), Err(fault), "{text:?}");
        }
        let error = DomainPattern::parse(".corp.example.").unwrap_err();
        assert_eq!(error.to_string(), "\".corp.example.\" has a dot at its end");
        assert_eq!(error.fix(), "leave the dot at the end out");
    }

    #[test]
    fn labels_are_compared_whole_and_a_leading_dot_means_below() {
        for (pattern, domain, matches) in [
            ("corp.example", "corp.example", true),
            ("corp.example", "CORP.EXAMPLE", true),
            ("corp.example", "evilcorp.example", false),
            ("corp.example", "mail.corp.example", false),
            ("corp.example", "corp.example.net", false),
            (".corp.example", "corp.example", false),
            (".corp.example", "mail.corp.example", true),
            (".corp.example", "a.b.corp.example", true),
            (".corp.example", "evilcorp.example", false),
            (".bücher.example", "shop.xn--bcher-kva.example", true),
        ] {
            let parsed = DomainPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(&name(domain)), matches, "{pattern} {domain}");
            let accepted = AcceptedDomains::new(vec![parsed.clone()]);
            assert_eq!(accepted.matching(&name(domain)).is_some(), matches, "{pattern} {domain}");
        }
    }

    #[test]
    fn of_several_patterns_the_exact_one_is_named_and_then_the_nearest_parent() {
        let patterns = [".example", ".corp.example", "mail.corp.example"];
        let accepted =
            AcceptedDomains::new(patterns.map(|text| DomainPattern::parse(text).unwrap()).to_vec());
        let named = |domain| accepted.matching(&name(domain)).map(ToString::to_string);
        assert_eq!(named("mail.corp.example").as_deref(), Some("mail.corp.example"));
        assert_eq!(named("a.b.corp.example").as_deref(), Some(".corp.example"));
        assert_eq!(named("corp.example").as_deref(), Some(".example"));
        assert_eq!(named("example"), None);
    }
}
