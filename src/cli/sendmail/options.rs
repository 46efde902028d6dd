//! The options of sendmail(8), as programs use them.

use std::ffi::OsString;

use super::input::Dot;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Take a message.
    Send(Request),
    /// What the gateway does by itself, or has no need of.
    NothingToDo,
    /// What is not there, with what to use instead.
    Refused(String),
}

/// How a message is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) read: Recipients,
    pub(super) dot: Dot,
    pub(super) sender: Sender,
    /// For a From that is missing.
    pub(super) full_name: Option<String>,
    /// Each may be a list.
    pub(super) recipients: Vec<String>,
}

/// Whose recipients are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipients {
    /// Those of the command line.
    OfArguments,
    /// Those of To, Cc and Bcc besides.
    OfHeaderToo,
}

/// The envelope's sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sender {
    /// Whom the header names, else the user.
    OfHeader,
    /// `-f ''`, `-f '<>'`.
    Null,
    Named(String),
}

pub(super) fn parse(words: &[OsString]) -> Asked {
    let mut request = Request {
        read: Recipients::OfArguments,
        dot: Dot::Ends,
        sender: Sender::OfHeader,
        full_name: None,
        recipients: Vec::new(),
    };
    let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
            request.recipients.push(word);
            continue;
        };
        if option == "-" {
            request.recipients.extend(words);
            break;
        }
        let mut letters = option.chars();
        let Some(letter) = letters.next() else { continue };
        let rest = letters.as_str();
        let mut argument = || if rest.is_empty() { words.next() } else { Some(rest.to_owned()) };
        match letter {
            't' => request.read = Recipients::OfHeaderToo,
            'i' => request.dot = Dot::IsText,
            // `-ti` is in use.
            'v' | 'm' | 'n' | 'U' | 'G' | 'A' | 'x' => {}
            'f' | 'r' => match argument() {
                Some(address) => request.sender = sender(&address),
                None => return Asked::Refused(format!("-{letter} needs an address")),
            },
            'F' => match argument() {
                Some(name) => request.full_name = Some(name),
                None => return Asked::Refused("-F needs a name".to_owned()),
            },
            'o' if rest.starts_with('i') => request.dot = Dot::IsText,
            'o' if !rest.is_empty() => {}
            'o' | 'B' | 'N' | 'R' | 'V' | 'X' | 'O' | 'C' | 'h' | 'L' | 'p' | 'D' | 'd' => {
                if argument().is_none() {
                    return Asked::Refused(format!("-{letter} needs an argument"));
                }
            }
            'q' => return Asked::NothingToDo,
            'b' => match mode(rest) {
                Mode::Send => {}
                Mode::Nothing => return Asked::NothingToDo,
                Mode::No(instead) => return Asked::Refused(instead.to_owned()),
            },
            _ => {
                return Asked::Refused(format!("-{} is no option that is known here", option.escape_debug()));
            }
        }
        if letter == 't' && rest.contains('i') {
            request.dot = Dot::IsText;
        }
        if letter == 'i' && rest.contains('t') {
            request.read = Recipients::OfHeaderToo;
        }
    }
    Asked::Send(request)
}

enum Mode {
    Send,
    Nothing,
    No(&'static str),
}

fn mode(letter: &str) -> Mode {
    match letter {
        "m" => Mode::Send,
        // The aliases of the host are no concern of the gateway's.
        "i" | "I" => Mode::Nothing,
        "s" => Mode::No(
            "-bs, SMTP on standard input, is not there; connect to an SMTP listener of the gateway instead",
        ),
        "p" => Mode::No("-bp is not there; use `mailslotd queue list`"),
        "d" | "D" => Mode::No("-bd is not there; the gateway is `mailslotd run`"),
        _ => Mode::No("of the modes -b…, only -bm is there"),
    }
}

fn sender(address: &str) -> Sender {
    let trimmed = address.trim();
    let bare = trimmed.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(trimmed);
    if bare.is_empty() { Sender::Null } else { Sender::Named(bare.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Asked {
        parse(&line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect::<Vec<_>>())
    }

    fn request(line: &str) -> Request {
        let Asked::Send(request) = asked(line) else { panic!("{line}: nothing is sent") };
        request
    }

    #[test]
    fn what_cron_php_and_mail_programs_write_is_understood() {
        let cron = request("-FCronDaemon -i -B8BITMIME -oem root");
        assert_eq!((cron.full_name.as_deref(), cron.dot), (Some("CronDaemon"), Dot::IsText));
        assert_eq!(cron.recipients, ["root"]);
        for php in ["-t -i", "-ti", "-it", "-t -oi -odb -v"] {
            let php = request(php);
            assert_eq!((php.read, php.dot), (Recipients::OfHeaderToo, Dot::IsText));
        }
        let git = request("-i -f app@corp.example -- -odd@corp.example ops@corp.example");
        assert_eq!(git.sender, Sender::Named("app@corp.example".to_owned()));
        assert_eq!(git.recipients, ["-odd@corp.example", "ops@corp.example"]);
        assert_eq!(request("-r<> a@corp.example").sender, Sender::Null);
        assert_eq!(
            request("-N never -R hdrs -O DeliveryMode=b a@corp.example").recipients,
            ["a@corp.example"]
        );
        assert_eq!(request("-bm a@corp.example").dot, Dot::Ends);
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert!(matches!(asked("-bs"), Asked::Refused(text) if text.contains("SMTP listener")));
        assert!(matches!(asked("-bp"), Asked::Refused(text) if text.contains("queue list")));
        assert!(matches!(asked("-z"), Asked::Refused(_)));
        assert!(matches!(asked("-f"), Asked::Refused(_)));
        for nothing in ["-q", "-q30m", "-bi"] {
            assert_eq!(asked(nothing), Asked::NothingToDo);
        }
    }
}
