//! `http:` and `https:` URLs (RFC 3986, RFC 9110 §4.2), as far as a client of one server needs them.
//!
//! Stricter than browsers on purpose: an address has one spelling, so that nobody reads another host in a URL than is
//! connected to, and neither names nor passwords stand before the host.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A URL that a request can go to. Its path and query may be a secret, so [`fmt::Debug`] and [`HttpUrl::authority`]
/// leave them out.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
    target: String,
}

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Under TLS.
    Https,
}

/// Who is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name in lower case, without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Why a text is no URL that a request can go to; with [`Self::fix`] a sentence for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It begins with neither scheme.
    #[error("does not begin with https:// or http://")]
    Scheme,
    /// A name or password stands before the host.
    #[error("has a user name or password before the host")]
    UserInfo,
    /// The host is missing or is none.
    #[error("has no valid host")]
    Host,
    /// The host has letters outside ASCII.
    #[error("has a host with letters outside ASCII")]
    HostNotAscii,
    /// An address that is written in one of its odd forms, such as `127.1` or `0x7f000001`.
    #[error("has a host that some programs read as an IPv4 address and others as a name")]
    OddAddress,
    /// The port is none.
    #[error("has a port that is no number from 1 to 65535")]
    Port,
    /// A character that may stand in no URL: a space, a control, a letter outside ASCII.
    #[error("has {0:?} in it, which may not stand in a URL as it is")]
    Character(char),
    /// A `#`: servers never see what follows.
    #[error("has a `#`, behind which nothing is sent to a server")]
    Fragment,
    /// Longer than [`MAX_URL`].
    #[error("is longer than {MAX_URL} characters")]
    TooLong,
}

impl UrlError {
    /// How to mend it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Scheme => "write it whole, for example https://hooks.example.com/services/1",
            Self::UserInfo => "remove them; what proves who we are has keys of its own",
            Self::Host | Self::OddAddress => {
                "write a host name, or an address in its usual form: 192.0.2.1, [2001:db8::1]"
            }
            Self::HostNotAscii => "write the host in its ASCII form, which begins with xn--",
            Self::Port => "write for example https://hooks.example.com:8443/",
            Self::Character(_) => "write its bytes as %XX",
            Self::Fragment => "remove it and what follows, or write %23",
            Self::TooLong => "ask its service for a shorter one",
        }
    }
}

impl Scheme {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Where its servers listen unless told otherwise (RFC 9110 §4.2.1, §4.2.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl HttpUrl {
    /// What a URL says.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let port = port.unwrap_or(scheme.default_port());
        if target.contains('#') {
            return Err(UrlError::Fragment);
        }
        if let Some(odd) = target.chars().find(|letter| !may_stand_in_a_target(*letter)) {
            return Err(UrlError::Character(odd));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { scheme, host, port, target })
    }

    /// How its server is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its server.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port of its server.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query: the origin form of a request's target (RFC 9112 §3.2.1).
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The same server with another path and query, which must begin with a slash and be escaped as they are sent.
    #[must_use]
    pub fn with_target(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// Host and port with a colon between: the target of CONNECT (RFC 9112 §3.2.3), and what may be shown.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The field `Host` (RFC 9110 §7.2): the port only where it is not the usual one.
    #[must_use]
    pub fn host_field(&self) -> String {
        if self.port == self.scheme.default_port() { self.host.to_string() } else { self.authority() }
    }

    /// All of it: the absolute form of a request's target (RFC 9112 §3.2.2). May hold a secret.
    #[must_use]
    pub fn absolute(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.host_field(), self.target)
    }
}

/// Without path and query.
impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.scheme.as_str(), self.host_field())
    }
}

impl Host {
    /// A name or an address, as it stands in a URL: IPv6 in brackets.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return address
                .parse::<Ipv6Addr>()
                .map(|address| Self::Address(address.into()))
                .map_err(|_| UrlError::Host);
        }
        if !text.is_ascii() {
            return Err(UrlError::HostNotAscii);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return if address.is_ipv4() { Ok(Self::Address(address)) } else { Err(UrlError::Host) };
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() || name.len() > 253 || !name.split('.').all(is_label) {
            return Err(UrlError::Host);
        }
        if name.rsplit('.').next().is_some_and(is_number) {
            Err(UrlError::OddAddress)
        } else {
            Ok(Self::Name(name))
        }
    }

    /// As a resolver and a certificate know it: IPv6 without brackets.
    #[must_use]
    pub fn bare(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Address(address) => address.to_string(),
        }
    }
}

/// As it stands in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn scheme(text: &str) -> Result<(Scheme, &str), UrlError> {
    let (name, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let known =
        [Scheme::Http, Scheme::Https].into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(name));
    known.map(|scheme| (scheme, rest)).ok_or(UrlError::Scheme)
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let Some((host, port)) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return Ok((authority, None));
    };
    let digits = port.bytes().all(|octet| octet.is_ascii_digit());
    match port.parse() {
        Ok(port) if port > 0 && digits => Ok((host, Some(port))),
        Ok(_) | Err(_) => Err(UrlError::Port),
    }
}

/// A label of a name; underscores are in use inside networks.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What `inet_aton` takes for the last part of an address.
fn is_number(label: &str) -> bool {
    let hex =
        label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()));
    hex || label.bytes().all(|octet| octet.is_ascii_digit())
}

const fn may_stand_in_a_target(letter: char) -> bool {
    letter.is_ascii_graphic() && !matches!(letter, '"' | '<' | '>' | '\\' | '^' | '`')
}

/// Longer ones are refused; servers need not take more than 8000 octets (RFC 9112 §3).
pub const MAX_URL: usize = 8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together_again() {
        for (text, authority, field, target) in [
            ("https://hooks.example", "hooks.example:443", "hooks.example", "/"),
            ("HTTPS://Hooks.Example.:443/a/b?c=d", "hooks.example:443", "hooks.example", "/a/b?c=d"),
            ("http://192.0.2.1:8080?x", "192.0.2.1:8080", "192.0.2.1:8080", "/?x"),
            ("http://[2001:DB8::1]/", "[2001:db8::1]:80", "[2001:db8::1]", "/"),
            ("https://[::1]:8443/{a|b}", "[::1]:8443", "[::1]:8443", "/{a|b}"),
        ] {
            let url = HttpUrl::parse(text).unwrap();
            let found = (url.authority(), url.host_field(), url.target().to_owned());
            assert_eq!(found, (authority.to_owned(), field.to_owned(), target.to_owned()), "{text}");
            assert_eq!(HttpUrl::parse(&url.absolute()).unwrap(), url, "{text}");
        }
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        for (text, error) in [
            ("hooks.example/x", UrlError::Scheme),
            ("ftp://hooks.example/x", UrlError::Scheme),
            ("https://user:word@hooks.example/", UrlError::UserInfo),
            ("https://hooks.example@evil.example/", UrlError::UserInfo),
            ("https:///x", UrlError::Host),
            ("https://a..b/", UrlError::Host),
            ("https://a%2eb/", UrlError::Host),
            ("https://a b/", UrlError::Host),
            ("https://::1/", UrlError::Host),
            ("https://[::1/", UrlError::Host),
            ("https://[::1%25eth0]/", UrlError::Host),
            ("https://hoöks.example/", UrlError::HostNotAscii),
            ("http://127.1/", UrlError::OddAddress),
            ("http://2130706433/", UrlError::OddAddress),
            ("http://0x7f000001/", UrlError::OddAddress),
            ("http://0177.0.0.1/", UrlError::OddAddress),
            ("https://a:0/", UrlError::Port),
            ("https://a:65536/", UrlError::Port),
            ("https://a:+80/", UrlError::Port),
            ("https://a:/", UrlError::Port),
            ("https://a/b c", UrlError::Character(' ')),
            ("https://a/b\r\nHost: c", UrlError::Character('\r')),
            ("https://a/ö", UrlError::Character('ö')),
            ("https://a/b#c", UrlError::Fragment),
            ("https://a#c", UrlError::Fragment),
        ] {
            assert_eq!(HttpUrl::parse(text), Err(error), "{text}");
        }
        assert_eq!(HttpUrl::parse(&format!("https://a/{}", "b".repeat(MAX_URL))), Err(UrlError::TooLong));
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let url = HttpUrl::parse("https://hooks.example/services/T0/secret?sig=secret").unwrap();
        assert_eq!(format!("{url:?}"), "https://hooks.example/…");
    }
}
