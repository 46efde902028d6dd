//! Commands of a client (RFC 5321 §4.1 and the extensions that the server side offers), read from one line.

mod parameters;

use std::fmt;

use zeroize::Zeroizing;

use super::dsn::{RecipientDsn, Ret};
use super::mechanism::Mechanism;
use super::path::{ForwardPath, PathFault, ReversePath};
use super::reply::is_unprintable;
use super::status::EnhancedStatus;
use super::tolerance::Tolerance;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO (§4.1.1.1).
    Ehlo(ClientName),
    /// HELO (§4.1.1.1).
    Helo(ClientName),
    /// MAIL (§4.1.1.2).
    Mail(Mail),
    /// RCPT (§4.1.1.3).
    Rcpt(Rcpt),
    /// DATA (§4.1.1.4).
    Data,
    /// BDAT (RFC 3030 §2).
    Bdat(Chunk),
    /// RSET (§4.1.1.5).
    Rset,
    /// NOOP (§4.1.1.9), with any argument.
    Noop,
    /// HELP (§4.1.1.8), with any argument.
    Help,
    /// VRFY (§4.1.1.6): the argument is not kept, since nothing is told about it.
    Vrfy,
    /// EXPN (§4.1.1.7), likewise.
    Expn,
    /// QUIT (§4.1.1.10).
    Quit,
    /// STARTTLS (RFC 3207 §4).
    StartTls,
    /// AUTH (RFC 4954 §4).
    Auth(Auth),
}

/// MAIL with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// FROM.
    pub reverse_path: ReversePath,
    /// SIZE (RFC 1870 §6): octets of the content as the client counts them; above 2^64 - 1 it is that.
    pub size: Option<u64>,
    /// BODY (RFC 6152 §3).
    pub body: Option<Body>,
    /// SMTPUTF8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461 §4.4), still in xtext; at most 100 octets.
    pub envid: Option<String>,
}

/// BODY (RFC 6152 §3): what a client says of its content. Nothing is decided by it, since many that send 8-bit octets
/// do not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// 7BIT.
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
}

/// RCPT with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// TO.
    pub forward_path: ForwardPath,
    /// NOTIFY and ORCPT (RFC 3461 §4.1, §4.2).
    pub dsn: RecipientDsn,
}

/// The argument of BDAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many octets follow the command.
    pub length: u64,
    /// Whether more chunks follow.
    pub place: Place,
}

/// Where a chunk stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// More follow.
    Amid,
    /// LAST.
    Last,
}

/// AUTH with its arguments. The mechanism is `None` where this program knows none of that name.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Which.
    pub mechanism: Option<Mechanism>,
    /// In base64, or `=` for an empty one; wiped when dropped.
    pub initial_response: Option<Zeroizing<String>>,
}

/// Shows no response.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// As a client names itself in EHLO or HELO: printable, at most 255 characters; a device's may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName(Box<str>);

impl ClientName {
    /// Whether it is what RFC 5321 §4.1.1.1 asks for; a device may name itself otherwise.
    #[must_use]
    pub fn is_lawful(&self) -> bool {
        is_client_name(&self.0)
    }

    /// The name, fit for a log and for a trace header's comment but for parentheses and backslashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandFault {
    /// Its verb is none of [`Command`]'s.
    Unknown,
    /// It has a NUL or another control character, or octets above 127 where none may be.
    Octets,
    /// Its argument is missing, wrong, or should not be there: how it is written.
    Argument(&'static str),
    /// MAIL's path.
    ReversePath(PathFault),
    /// RCPT's path.
    ForwardPath(PathFault),
    /// A parameter that is known has a value that it cannot have, or stands there twice.
    ParameterValue,
    /// A parameter that is not known.
    UnknownParameter,
}

impl CommandFault {
    /// The reply code, the enhanced status code and the text that answer it.
    #[must_use]
    pub const fn reply(self) -> (u16, EnhancedStatus, &'static str) {
        let (code, subject, detail, text) = match self {
            Self::Unknown => (500, 5, 2, "Command not recognized"),
            Self::Octets => (500, 5, 2, "Control or 8-bit characters in a command"),
            Self::Argument(syntax) => (501, 5, 4, syntax),
            Self::ReversePath(_) => (501, 1, 7, "Bad sender address syntax"),
            Self::ForwardPath(_) => (501, 1, 3, "Bad recipient address syntax"),
            Self::ParameterValue => (501, 5, 4, "Bad value of a parameter"),
            Self::UnknownParameter => (555, 5, 4, "Unsupported parameter"),
        };
        (code, EnhancedStatus::new(5, subject, detail), text)
    }
}

impl Command {
    /// Reads a line, given without its line end.
    ///
    /// # Errors
    /// What is wrong with it; [`CommandFault::reply`] answers it.
    pub fn parse(line: &[u8], tolerance: Tolerance) -> Result<Self, CommandFault> {
        if let Some(greeting) = parse_greeting(line, tolerance) {
            return greeting;
        }
        let text = std::str::from_utf8(line).map_err(|_| CommandFault::Octets)?;
        if text.chars().any(is_unprintable) {
            return Err(CommandFault::Octets);
        }
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        let argument = argument.trim_end_matches(' ');
        // Only a path may have letters outside ASCII, and a parameter of DSN that repeats one (RFC 6533 §3).
        let command = match verb.to_ascii_uppercase().as_str() {
            "MAIL" => return parse_mail(argument, tolerance),
            "RCPT" => return parse_rcpt(argument, tolerance),
            "VRFY" => return parse_asked(Self::Vrfy, argument, "Syntax: VRFY address"),
            "EXPN" => return parse_asked(Self::Expn, argument, "Syntax: EXPN list"),
            _ if !text.is_ascii() => return Err(CommandFault::Octets),
            "BDAT" => return parse_bdat(argument),
            "AUTH" => return parse_auth(argument),
            "NOOP" => return Ok(Self::Noop),
            "HELP" => return Ok(Self::Help),
            "DATA" => Self::Data,
            "RSET" => Self::Rset,
            "QUIT" => Self::Quit,
            "STARTTLS" => Self::StartTls,
            _ => return Err(CommandFault::Unknown),
        };
        if argument.is_empty() { Ok(command) } else { Err(CommandFault::Argument("No argument allowed")) }
    }
}

/// EHLO and HELO, whose argument may be any octets where devices are borne with; `None` for another command.
fn parse_greeting(line: &[u8], tolerance: Tolerance) -> Option<Result<Command, CommandFault>> {
    let (verb, argument) = line.split_at_checked(4)?;
    let command = match verb {
        verb if verb.eq_ignore_ascii_case(b"EHLO") => Command::Ehlo,
        verb if verb.eq_ignore_ascii_case(b"HELO") => Command::Helo,
        _ => return None,
    };
    if !matches!(argument.first(), None | Some(b' ')) {
        return None;
    }
    let argument = argument.trim_ascii();
    if argument.contains(&0) {
        return Some(Err(CommandFault::Octets));
    }
    let name = String::from_utf8_lossy(argument);
    if tolerance == Tolerance::Strict && !is_client_name(&name) {
        return Some(Err(CommandFault::Argument("Syntax: EHLO or HELO and a host name")));
    }
    let printable = |c: char| if is_unprintable(c) { '?' } else { c };
    let shown: String = name.chars().map(printable).take(MAX_NAME).collect();
    Some(Ok(command(ClientName(shown.into()))))
}

/// A domain or an address literal (§4.1.3); underscores pass, since many hosts are named with them.
fn is_client_name(name: &str) -> bool {
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let in_literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-');
        return !literal.is_empty() && literal.len() <= MAX_NAME && literal.chars().all(in_literal);
    }
    let in_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(in_label);
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

fn parse_mail(argument: &str, tolerance: Tolerance) -> Result<Command, CommandFault> {
    let path =
        after_keyword(argument, "FROM:").ok_or(CommandFault::Argument("Syntax: MAIL FROM:<address>"))?;
    let (reverse_path, rest) = ReversePath::take(path, tolerance).map_err(CommandFault::ReversePath)?;
    parameters::of_mail(reverse_path, rest).map(Command::Mail)
}

fn parse_rcpt(argument: &str, tolerance: Tolerance) -> Result<Command, CommandFault> {
    let path = after_keyword(argument, "TO:").ok_or(CommandFault::Argument("Syntax: RCPT TO:<address>"))?;
    let (forward_path, rest) = ForwardPath::take(path, tolerance).map_err(CommandFault::ForwardPath)?;
    parameters::of_rcpt(rest).map(|dsn| Command::Rcpt(Rcpt { forward_path, dsn }))
}

fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (word, rest) = argument.trim_start_matches(' ').split_at_checked(keyword.len())?;
    word.eq_ignore_ascii_case(keyword).then_some(rest)
}

fn parse_asked(command: Command, argument: &str, syntax: &'static str) -> Result<Command, CommandFault> {
    if argument.is_empty() { Err(CommandFault::Argument(syntax)) } else { Ok(command) }
}

fn parse_bdat(argument: &str) -> Result<Command, CommandFault> {
    let fault = CommandFault::Argument("Syntax: BDAT size [LAST]");
    let (length, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    let length = parameters::number(length).ok_or(fault)?;
    let place = match rest.trim_start_matches(' ') {
        "" => Place::Amid,
        word if word.eq_ignore_ascii_case("LAST") => Place::Last,
        _ => return Err(fault),
    };
    Ok(Command::Bdat(Chunk { length, place }))
}

fn parse_auth(argument: &str) -> Result<Command, CommandFault> {
    let fault = CommandFault::Argument("Syntax: AUTH mechanism [initial-response]");
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let name = words.next().ok_or(fault)?;
    let initial_response = words.next().map(|word| Zeroizing::new(word.to_owned()));
    if words.next().is_some() {
        return Err(fault);
    }
    Ok(Command::Auth(Auth { mechanism: Mechanism::named(name), initial_response }))
}

/// Octets of a domain (§4.5.3.1.2).
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests;
