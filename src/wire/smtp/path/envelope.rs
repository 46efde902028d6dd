//! The paths that MAIL and RCPT carry (RFC 5321 §4.1.2), read from a command line.

use std::fmt;

use super::{Mailbox, PathFault, check_domain};
use crate::wire::smtp::tolerance::Tolerance;

/// Where reports go: the argument of MAIL (RFC 5321 §4.1.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: of a report, which nobody may report about.
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// Whom a message is for: the argument of RCPT (RFC 5321 §4.1.1.3). A source route that stood before the mailbox is
/// gone: nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` in any case, without a domain: always local (§4.5.1).
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Takes the path from the front of `text`, which followed `FROM:`, and returns it with what comes behind it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(text: &str, tolerance: Tolerance) -> Result<(Self, &str), PathFault> {
        let (path, rest) = split(text, tolerance)?;
        if path.is_empty() {
            return Ok((Self::Null, rest));
        }
        Ok((Self::Mailbox(mailbox(path)?), rest))
    }

    /// Whether only a next hop with SMTPUTF8 (RFC 6531) can take it.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Mailbox(mailbox) => mailbox.needs_smtputf8(),
        }
    }
}

impl ForwardPath {
    /// Takes the path from the front of `text`, which followed `TO:`, and returns it with what comes behind it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(text: &str, tolerance: Tolerance) -> Result<(Self, &str), PathFault> {
        let (path, rest) = split(text, tolerance)?;
        if path.eq_ignore_ascii_case("postmaster") {
            return Ok((Self::Postmaster, rest));
        }
        Ok((Self::Mailbox(mailbox(path)?), rest))
    }

    /// Whether only a next hop with SMTPUTF8 (RFC 6531) can take it.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        match self {
            Self::Postmaster => false,
            Self::Mailbox(mailbox) => mailbox.needs_smtputf8(),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("postmaster"),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// What stands between the brackets, and what comes behind them. Spaces after the colon pass: too many clients send
/// one.
fn split(text: &str, tolerance: Tolerance) -> Result<(&str, &str), PathFault> {
    let text = text.trim_start_matches(' ');
    let Some(inner) = text.strip_prefix('<') else {
        return split_bare(text, tolerance);
    };
    let end = closing_bracket(inner).ok_or(PathFault::Brackets)?;
    let (path, rest) = inner.split_at_checked(end).ok_or(PathFault::Brackets)?;
    let rest = rest.strip_prefix('>').ok_or(PathFault::Brackets)?;
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(PathFault::Brackets);
    }
    if path.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    let path = match tolerance {
        Tolerance::Strict => path,
        Tolerance::Device => path.trim_matches(' '),
    };
    Ok((path, rest))
}

/// A path without brackets, which only devices may send.
fn split_bare(text: &str, tolerance: Tolerance) -> Result<(&str, &str), PathFault> {
    let (path, rest) = text.split_at_checked(text.find(' ').unwrap_or(text.len())).unwrap_or((text, ""));
    match tolerance {
        Tolerance::Strict => Err(PathFault::Brackets),
        Tolerance::Device if path.is_empty() => Err(PathFault::Empty),
        Tolerance::Device => Ok((path, rest)),
    }
}

/// The first `>` that no quotes enclose.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                characters.next();
            }
            '>' if !quoted => return Some(place),
            _ => {}
        }
    }
    None
}

/// The mailbox behind the source route, if there is one (RFC 5321 appendix C: accepted and ignored).
fn mailbox(path: &str) -> Result<Mailbox, PathFault> {
    let mailbox = if path.starts_with('@') {
        let (route, mailbox) = path.split_once(':').ok_or(PathFault::SourceRoute)?;
        for hop in route.split(',') {
            let domain = hop.strip_prefix('@').ok_or(PathFault::SourceRoute)?;
            check_domain(domain).map_err(|_| PathFault::SourceRoute)?;
        }
        mailbox
    } else {
        path
    };
    Mailbox::parse(mailbox).map_err(|error| error.fault())
}

/// Octets between the brackets of a path, which has 256 with them (RFC 5321 §4.5.3.1.3).
const MAX_PATH: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(text: &str, tolerance: Tolerance) -> Result<String, PathFault> {
        ForwardPath::take(text, tolerance).map(|(path, rest)| format!("{path}|{rest}"))
    }

    #[test]
    fn a_path_is_taken_and_the_parameters_are_left() {
        let strict = |text| forward(text, Tolerance::Strict).unwrap();
        assert_eq!(strict("<ops@example.com>"), "ops@example.com|");
        assert_eq!(strict(" <ops@example.com> NOTIFY=NEVER"), "ops@example.com| NOTIFY=NEVER");
        assert_eq!(strict("<\"a b\"@example.com> X"), "\"a b\"@example.com| X");
        assert_eq!(strict("<ops@[IPv6:2001:db8::1]>"), "ops@[IPv6:2001:db8::1]|");
        assert_eq!(strict("<PostMaster>"), "postmaster|");
    }

    #[test]
    fn a_source_route_is_dropped_and_a_broken_one_refused() {
        let strict = |text| forward(text, Tolerance::Strict);
        assert_eq!(strict("<@a.example,@[192.0.2.1]:ops@b.example>").unwrap(), "ops@b.example|");
        for text in ["<@a.example>", "<@a.example,b.example:ops@c.example>", "<@:ops@c.example>"] {
            assert_eq!(strict(text), Err(PathFault::SourceRoute), "{text}");
        }
    }

    #[test]
    fn only_a_device_may_leave_the_brackets_away() {
        assert_eq!(forward("ops@example.com NOTIFY=NEVER", Tolerance::Strict), Err(PathFault::Brackets));
        assert_eq!(
            forward("ops@example.com NOTIFY=NEVER", Tolerance::Device).unwrap(),
            "ops@example.com| NOTIFY=NEVER"
        );
        assert_eq!(forward("< ops@example.com >", Tolerance::Device).unwrap(), "ops@example.com|");
        assert_eq!(forward("postmaster", Tolerance::Device).unwrap(), "postmaster|");
        assert_eq!(forward("ops@example.com>", Tolerance::Device), Err(PathFault::Forbidden('>')));
        assert_eq!(forward("", Tolerance::Device), Err(PathFault::Empty));
    }

    #[test]
    fn the_null_path_is_a_sender_and_no_recipient() {
        assert_eq!(
            ReversePath::take("<> BODY=7BIT", Tolerance::Strict),
            Ok((ReversePath::Null, " BODY=7BIT"))
        );
        assert_eq!(forward("<>", Tolerance::Strict), Err(PathFault::Empty));
    }

    #[test]
    fn brackets_must_close_and_stand_alone() {
        for text in ["<ops@example.com", "<ops@example.com>x", "<\"ops>@example.com", "ops@example.com"] {
            assert_eq!(forward(text, Tolerance::Strict), Err(PathFault::Brackets), "{text}");
        }
        assert_eq!(forward("<\"o>ps\"@example.com>", Tolerance::Strict), Err(PathFault::Forbidden('>')));
    }

    #[test]
    fn a_path_over_256_octets_is_refused_with_its_route() {
        let route = ["@a.example"; 26].join(",");
        assert_eq!(forward(&format!("<{route}:ops@b.example>"), Tolerance::Strict), Err(PathFault::TooLong));
    }
}
