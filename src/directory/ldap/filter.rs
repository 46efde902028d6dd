//! Search filters with an address in them (RFC 4515).

/// A filter in which [`PLACE`] stands for the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::directory) struct Filter {
    /// What stands between the places.
    pieces: Vec<String>,
}

/// Where the address goes.
pub(in crate::directory) const PLACE: &str = "{address}";

impl Filter {
    /// `None` for what is no filter, or has no place for the address: it would find the same for every one of them.
    pub(in crate::directory) fn new(text: &str) -> Option<Self> {
        let pieces: Vec<String> = text.split(PLACE).map(str::to_owned).collect();
        let filter = (pieces.len() > 1).then_some(Self { pieces })?;
        ldap3::parse_filter(filter.of("ops@corp.example")).is_ok().then_some(filter)
    }

    /// The filter for any of these spellings of one address.
    pub(in crate::directory) fn of_any(&self, spellings: &[String]) -> String {
        match spellings {
            [one] => self.of(one),
            several => format!("(|{})", several.iter().map(|spelling| self.of(spelling)).collect::<String>()),
        }
    }

    /// The filter for this address.
    fn of(&self, address: &str) -> String {
        self.pieces.join(&escaped(address))
    }
}

/// RFC 4515 §3 wants NUL, `*`, `(`, `)` and `\` escaped, and allows it for every octet. All but those of plain addresses
/// are, so that nobody has to know what else a server or a library might give a meaning to.
fn escaped(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for octet in address.bytes() {
        if octet.is_ascii_alphanumeric() || b"@.-_".contains(&octet) {
            text.push(char::from(octet));
        } else {
            text.push_str(&format!("\\{octet:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_a_filter_loses_it() {
        for (address, text) in [
            ("ops@corp.example", "ops@corp.example"),
            ("o-p_s.1@corp.example", "o-p_s.1@corp.example"),
            ("*@corp.example", "\\2a@corp.example"),
            ("x)(uid=*@corp.example", "x\\29\\28uid\\3d\\2a@corp.example"),
            ("a\\2a@corp.example", "a\\5c2a@corp.example"),
            ("a&|!<>~/+'\"@corp.example", "a\\26\\7c\\21\\3c\\3e\\7e\\2f\\2b\\27\\22@corp.example"),
            ("{address}@corp.example", "\\7baddress\\7d@corp.example"),
            ("ö@corp.example", "\\c3\\b6@corp.example"),
            ("\0@corp.example", "\\00@corp.example"),
        ] {
            assert_eq!(escaped(address), text);
        }
    }

    #[test]
    fn the_address_goes_to_every_place_and_is_not_expanded_again() {
        let filter = Filter::new("(|(mail={address})(proxyAddresses=smtp:{address}))").unwrap();
        assert_eq!(
            filter.of("a*@x.example"),
            "(|(mail=a\\2a@x.example)(proxyAddresses=smtp:a\\2a@x.example))"
        );
        assert_eq!(Filter::new("(mail=*)"), None);
        assert_eq!(Filter::new("(mail={address}"), None);
    }

    #[test]
    fn two_spellings_of_one_address_are_asked_for_at_once() {
        let filter = Filter::new("(mail={address})").unwrap();
        let spellings = ["ops@xn--bcher-kva.example", "ops@bücher.example"].map(str::to_owned);
        let text = filter.of_any(&spellings);
        assert_eq!(text, "(|(mail=ops@xn--bcher-kva.example)(mail=ops@b\\c3\\bccher.example))");
        assert!(ldap3::parse_filter(&text).is_ok());
        assert_eq!(filter.of_any(&spellings[..1]), "(mail=ops@xn--bcher-kva.example)");
    }

    #[test]
    fn every_octet_that_an_address_may_have_gives_a_filter_that_parses() {
        let filter = Filter::new("(mail={address})").unwrap();
        for octet in 0..=127_u8 {
            let text = filter.of(&format!("a{}b@corp.example", char::from(octet)));
            assert!(ldap3::parse_filter(&text).is_ok(), "{text}");
        }
    }
}
