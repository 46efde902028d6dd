//! Whether a text is an LDAP search filter (RFC 4515) that asks for an address.

use std::iter::Peekable;
use std::str::Chars;

/// What stands for the address that is looked up.
const ADDRESS: &str = "{address}";

/// What is wrong with a filter, and how to mend it; `None`: it can be used.
pub(super) fn fault(filter: &str) -> Option<(String, &'static str)> {
    const EXAMPLE: &str = "write a filter such as (proxyAddresses=smtp:{address}) or (mail={address})";
    if !filter.starts_with('(') {
        return Some(("does not begin with `(`".to_owned(), "put the whole filter in parentheses"));
    }
    if let Some(found) = other_field(filter) {
        return Some((format!("has {found}, which stands for nothing"), "write {address} for the address"));
    }
    if !filter.contains(ADDRESS) {
        return Some(("has no {address}, so it would find everybody or nobody".to_owned(), EXAMPLE));
    }
    // The address goes where a value stands, escaped; a letter shows where that is.
    let filled = filter.replace(ADDRESS, "a");
    let mut rest = filled.chars().peekable();
    if !is_filter(&mut rest, 0) {
        return Some(("is no LDAP filter (RFC 4515)".to_owned(), EXAMPLE));
    }
    rest.next().is_some().then(|| {
        let cause = "goes on behind its closing parenthesis".to_owned();
        (cause, "join conditions as (&(…)(…)) for all of them or (|(…)(…)) for one of them")
    })
}

/// A word in braces that is not the address.
fn other_field(filter: &str) -> Option<String> {
    filter.replace(ADDRESS, "").split('{').skip(1).find_map(|rest| {
        let (word, _) = rest.split_once('}')?;
        word.chars().all(|letter| letter.is_alphanumeric() || letter == '_').then(|| format!("{{{word}}}"))
    })
}

/// Reads `"(" filtercomp ")"`.
fn is_filter(rest: &mut Peekable<Chars<'_>>, depth: usize) -> bool {
    if depth > MAX_DEPTH || rest.next() != Some('(') {
        return false;
    }
    let inner = match rest.peek() {
        Some('&' | '|') => {
            rest.next();
            let mut count = 0_usize;
            while rest.peek() == Some(&'(') {
                if !is_filter(rest, depth + 1) {
                    return false;
                }
                count += 1;
            }
            count > 0
        }
        Some('!') => {
            rest.next();
            is_filter(rest, depth + 1)
        }
        _ => is_item(rest),
    };
    inner && rest.next() == Some(')')
}

/// Reads `attribute` `=`, `~=`, `>=`, `<=` or `:=` and a value, up to the parenthesis.
fn is_item(rest: &mut Peekable<Chars<'_>>) -> bool {
    let is_attribute = |letter: char| letter.is_ascii_alphanumeric() || ".-;:~<>".contains(letter);
    let mut attribute = 0_usize;
    while rest.next_if(|letter| is_attribute(*letter)).is_some() {
        attribute += 1;
    }
    if attribute == 0 || rest.next() != Some('=') {
        return false;
    }
    while let Some(letter) = rest.next_if(|letter| *letter != ')') {
        let is_value = match letter {
            '(' | '\0' => false,
            '\\' => (0..2).all(|_| rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => true,
        };
        if !is_value {
            return false;
        }
    }
    true
}

/// No directory's filter is nested deeper.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_common_directories_pass() {
        for filter in [
            "(proxyAddresses=smtp:{address})",
            "(|(mail={address})(mailAlternateAddress={address}))",
            "(&(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2))(mail={address}))",
            r"(&(cn=Ops \28night\29)(mail={address}))",
            "(&(objectClass=*)(mail={address}))",
        ] {
            assert_eq!(fault(filter), None, "{filter}");
        }
    }

    #[test]
    fn what_would_be_refused_or_would_find_everybody_is_told() {
        for (filter, cause) in [
            ("mail={address}", "does not begin with `(`"),
            ("(mail=*)", "has no {address}, so it would find everybody or nobody"),
            ("(mail={mail})", "has {mail}, which stands for nothing"),
            ("(mail={address}", "is no LDAP filter (RFC 4515)"),
            ("(&)({address})", "is no LDAP filter (RFC 4515)"),
            ("(={address})", "is no LDAP filter (RFC 4515)"),
            (r"(cn=\zz)(mail={address})", "is no LDAP filter (RFC 4515)"),
            ("(mail={address})(uid={address})", "goes on behind its closing parenthesis"),
        ] {
            assert_eq!(fault(filter).map(|(cause, _)| cause).as_deref(), Some(cause), "{filter}");
        }
        let deep = format!("{}(mail={{address}}){}", "(!".repeat(100), ")".repeat(100));
        assert!(fault(&deep).is_some());
    }
}
