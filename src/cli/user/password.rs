//! Where a new password comes from, and which ones are accepted.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::exit::Exit;
use crate::cli::output::note;
use crate::policy::account::AccountName;

/// Where a password comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Typed twice, without being shown.
    Terminal,
    /// Its first line.
    StandardInput,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
    #[error(
        "there is no terminal to ask for the password on; give --password-stdin and write it to standard input"
    )]
    NoTerminal,
    #[error("the two passwords differ; nothing was changed")]
    Differ,
    #[error("the password cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Unacceptable(#[from] Weakness),
}

impl PasswordError {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::NoTerminal => Exit::Usage,
            Self::Differ | Self::Unacceptable(_) => Exit::No,
            Self::Unreadable(_) => Exit::BadInput,
        }
    }
}

/// Why a password is not accepted. None repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Weakness {
    #[error("the password is empty; it must have {LEAST} characters at least")]
    Empty,
    #[error("the password has {0} characters; it must have {LEAST} at least")]
    Short(usize),
    #[error("the password has more than {MOST} octets, which not every client can send")]
    Long,
    #[error("the password has a control character, which not every client can send")]
    Control,
    #[error("the password begins or ends with a blank, which some clients cut off")]
    OuterBlank,
    #[error("the password is the account's name, or one character over and over")]
    Guessable,
}

/// A new password for this account.
pub(super) fn ask(name: &AccountName, source: Source) -> Result<Zeroizing<String>, PasswordError> {
    let password = match source {
        Source::StandardInput => first_line(io::stdin().lock())?,
        Source::Terminal => {
            if !io::stdin().is_terminal() {
                return Err(PasswordError::NoTerminal);
            }
            let _echo_off = EchoOff::new()?;
            let password = prompt(&format!("Password for {name}: "))?;
            judge(&password, name)?;
            if prompt("Once more: ")? != password {
                return Err(PasswordError::Differ);
            }
            password
        }
    };
    judge(&password, name)?;
    if !password.is_ascii() {
        note(
            "The password has letters outside ASCII. Some devices send those in another encoding than UTF-8, and are \
             then refused.",
        );
    }
    Ok(password)
}

fn judge(password: &str, name: &AccountName) -> Result<(), Weakness> {
    let characters = password.chars().count();
    let first = password.chars().next().ok_or(Weakness::Empty)?;
    if characters < LEAST {
        return Err(Weakness::Short(characters));
    }
    if password.len() > MOST {
        return Err(Weakness::Long);
    }
    if password.chars().any(char::is_control) {
        return Err(Weakness::Control);
    }
    if password.trim() != password {
        return Err(Weakness::OuterBlank);
    }
    let is_name = AccountName::new(password).is_ok_and(|password| password == *name);
    if is_name || password.chars().all(|c| c == first) {
        return Err(Weakness::Guessable);
    }
    Ok(())
}

fn prompt(text: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = io::stderr().lock();
    write!(terminal, "{text}")?;
    terminal.flush()?;
    let line = first_line(io::stdin().lock());
    // The line end that was typed is not shown either.
    writeln!(terminal)?;
    line
}

/// Without its line end; what is too long is cut off behind what is still too long.
fn first_line(input: impl io::BufRead) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(READ_AT_MOST));
    input.take(READ_AT_MOST as u64).read_line(&mut line)?;
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    Ok(line)
}

/// The terminal shows nothing that is typed until this is dropped. A shell puts its terminal right itself when a command
/// is interrupted meanwhile.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut without = before.clone();
        without.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &without)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // Nothing is left to do where the terminal is gone.
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0).ok();
    }
}

/// Characters. NIST SP 800-63B asks for 15 where nothing but a password protects; many scanners take 16 at most.
const LEAST: usize = 12;
/// Octets that PLAIN must carry (RFC 4616 §2).
const MOST: usize = 255;
const READ_AT_MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(password: &str) -> Result<(), Weakness> {
        judge(password, &AccountName::new("Scanner-Floor-3").unwrap())
    }

    #[test]
    fn a_password_must_be_long_enough_and_must_survive_the_way() {
        assert_eq!(judged("twelve chars"), Ok(()));
        for (password, weakness) in [
            ("", Weakness::Empty),
            ("eleven char", Weakness::Short(11)),
            (&"long enough ".repeat(22), Weakness::Long),
            ("with a\ttabulator", Weakness::Control),
            ("blank at the end ", Weakness::OuterBlank),
            ("scanner-floor-3", Weakness::Guessable),
            ("aaaaaaaaaaaaaaaa", Weakness::Guessable),
        ] {
            assert_eq!(judged(password), Err(weakness), "{password:?}");
        }
    }

    #[test]
    fn only_the_first_line_counts_and_only_its_end_is_cut_off() {
        let read = |text: &str| first_line(text.as_bytes()).unwrap().to_string();
        assert_eq!(read("sesame open\nmore\n"), "sesame open");
        assert_eq!(read("sesame open\r\n"), "sesame open");
        assert_eq!(read(" sesame open "), " sesame open ");
        assert_eq!(read(""), "");
        assert_eq!(read(&"x".repeat(100_000)).len(), READ_AT_MOST);
        assert!(first_line(&b"\xFF\n"[..]).is_err());
    }
}
