//! What a server offers in its reply to EHLO (RFC 5321 §4.1.1.1).

use super::reply::Reply;

/// The service extensions that matter to a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870.
    pub size: Size,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// The SASL mechanisms of AUTH (RFC 4954 §3) in upper case, each once, in the server's order.
    pub auth: Vec<String>,
}

/// What the SIZE extension said (RFC 1870 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Size {
    /// Not offered: MAIL must not carry `SIZE=`.
    #[default]
    NotOffered,
    /// Offered without a limit, or with 0.
    Unlimited,
    /// No message of more octets is accepted.
    Limit(u64),
}

impl Extensions {
    /// The extensions of a positive reply to EHLO; unknown ones and broken lines are passed over.
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        // The first line greets.
        for line in reply.lines().iter().skip(1) {
            // `AUTH=LOGIN` is how servers of before RFC 2554 wrote it, and some still do beside the right form.
            let (keyword, parameters) = line.split_once([' ', '=']).unwrap_or((line, ""));
            extensions.add(&keyword.to_ascii_uppercase(), parameters);
        }
        extensions
    }

    fn add(&mut self, keyword: &str, parameters: &str) {
        match keyword {
            "STARTTLS" => self.starttls = true,
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "CHUNKING" => self.chunking = true,
            "SIZE" => {
                self.size = match parameters.trim().parse() {
                    Ok(limit) if limit > 0 => Size::Limit(limit),
                    _ => Size::Unlimited,
                };
            }
            "AUTH" => {
                for name in parameters.split_ascii_whitespace().filter(|name| is_mechanism_name(name)) {
                    let name = name.to_ascii_uppercase();
                    if !self.auth.contains(&name) && self.auth.len() < MAX_MECHANISMS {
                        self.auth.push(name);
                    }
                }
            }
            _ => {}
        }
    }
}

/// RFC 4422 §3.1: 1 to 20 letters, digits, hyphens or underscores.
fn is_mechanism_name(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// More mechanisms than any server has; they end up in a message to the operator.
const MAX_MECHANISMS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::reply::ReplyParser;

    fn extensions(text: &str) -> Extensions {
        let bytes = text.replace('\n', "\r\n");
        Extensions::parse(&ReplyParser::new().parse(&mut bytes.as_bytes()).unwrap().unwrap())
    }

    #[test]
    fn everything_a_modern_server_offers_is_seen_in_any_case() {
        let found = extensions(
            "250-mx\n250-pipelining\n250-SIZE 35882577\n250-StartTLS\n250-AUTH PLAIN scram-sha-256 PLAIN\n\
             250-AUTH=LOGIN\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250-SMTPUTF8\n250-X-OWN 1\n250 CHUNKING\n",
        );
        let expected = Extensions {
            starttls: true,
            pipelining: true,
            size: Size::Limit(35_882_577),
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            enhanced_status_codes: true,
            chunking: true,
            auth: ["PLAIN", "SCRAM-SHA-256", "LOGIN"].map(String::from).to_vec(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_host_that_is_called_starttls_offers_nothing() {
        assert_eq!(extensions("250 STARTTLS\n"), Extensions::default());
    }

    #[test]
    fn a_size_of_nothing_or_zero_is_no_limit() {
        for text in ["250-mx\n250 SIZE\n", "250-mx\n250 SIZE 0\n", "250-mx\n250 SIZE big\n"] {
            assert_eq!(extensions(text).size, Size::Unlimited, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_mechanism_name_is_passed_over() {
        assert_eq!(extensions("250-mx\n250 AUTH PLAIN \u{1b}[2J ABCDEFGHIJKLMNOPQRSTU\n").auth, ["PLAIN"]);
    }
}
