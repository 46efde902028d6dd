//! The users file: the accounts of clients that authenticate. Written by `mailslotd user`, read by the gateway.
//!
//! Pure: text in, accounts or every problem out, and back. No problem repeats what stands behind a key, since that may
//! be a password in the wrong place.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::document;
use super::problem::{Place, Problem, Problems};
use super::raw::users::{Secret, User, Users};
use super::raw::{self, At, Many, Read as _};
use super::show;
use crate::policy::account::{
    Account, AccountName, AccountState, Accounts, CramMd5Secret, DuplicateName, PasswordHash, ScramVerifier,
    ServerSecret,
};
use crate::policy::rate::Rate;
use crate::policy::relay::AddressPattern;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsersFile {
    /// What answers for accounts that do not exist are derived from. A file made by hand may lack it; then such
    /// answers change with each start.
    pub secret: Option<ServerSecret>,
    /// The accounts in the order of the file.
    pub accounts: Vec<Account>,
}

impl UsersFile {
    /// Reads the text of a file; `file` is how problems name it.
    ///
    /// # Errors
    /// Everything that is wrong with it, two accounts of one name included.
    pub fn read(file: &str, text: &str) -> Result<Self, Problems> {
        let file: Arc<str> = file.into();
        let mut reading = Reading::default();
        let secret = match document::parse(&file, text) {
            Ok(root) => {
                let place = Place { file: Arc::clone(&file), line: 1, path: String::new() };
                let users = Users::read(&root, &place, &mut reading.problems);
                users.and_then(|users| reading.file(users))
            }
            Err(problem) => {
                reading.problems.push(problem);
                None
            }
        };
        let Reading { mut problems, accounts } = reading;
        problems.sort(&[file]);
        if !problems.problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { secret, accounts: accounts.into_iter().map(|(account, _)| account).collect() })
    }

    /// The text of the file, for [`Self::read`].
    #[must_use]
    pub fn write(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(HEADER.to_owned());
        if let Some(secret) = &self.secret {
            line(&mut text, "secret", STANDARD.encode(secret.octets()));
        }
        text.push_str(if self.accounts.is_empty() { "users: []\n" } else { "users:\n" });
        for account in &self.accounts {
            line(&mut text, "  - name", &account.name);
            if account.state == AccountState::Disabled {
                text.push_str("    state: disabled\n");
            }
            line(&mut text, "    password_hash", &account.password);
            if let Some(verifier) = &account.scram {
                line(&mut text, "    scram_sha_256", verifier);
            }
            if let Some(secret) = &account.cram_md5 {
                line(&mut text, "    cram_md5", secret);
            }
            if let Some(patterns) = &account.may_send_as {
                list(&mut text, "    may_send_as", patterns);
            }
            if let Some(rate) = account.rate {
                line(&mut text, "    rate", rate_text(rate));
            }
            if !account.may_act_for.is_empty() {
                list(&mut text, "    may_act_for", &account.may_act_for);
            }
        }
        text
    }

    /// The accounts, for checking claims. `random` takes the place of a secret that the file lacks.
    ///
    /// # Errors
    /// Two accounts have the same name, which is not so in a file that was read.
    pub fn into_accounts(self, random: ServerSecret) -> Result<Accounts, DuplicateName> {
        Accounts::new(self.accounts, self.secret.unwrap_or(random))
    }
}

/// Reads a rate as the file has it: `30/min`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn rate(text: &str) -> Result<Rate, String> {
    raw::rate(text).map_err(|(cause, fix)| format!("{cause}; {fix}"))
}

/// A rate as the file has it.
#[must_use]
pub fn rate_text(rate: Rate) -> String {
    show::rate(rate)
}

/// What is known while a file is read.
#[derive(Default)]
struct Reading {
    problems: Problems,
    /// With the line of each.
    accounts: Vec<(Account, u32)>,
}

impl Reading {
    fn file(&mut self, file: Users) -> Option<ServerSecret> {
        let users = file.users.map_or_else(Vec::new, |users| users.value.0);
        let mut act_for = Vec::new();
        for user in users {
            let place = user.value.place.clone();
            if let Some(account) = self.account(user.value, &place, &mut act_for) {
                self.accounts.push((account, place.line));
            }
        }
        for (name, place) in act_for {
            // Where an account could not be read, its name may be the one that is missing.
            let known = self.accounts.iter().any(|(account, _)| account.name == name);
            if !known && self.problems.problems.is_empty() {
                let fix = "name one of the accounts of this file";
                self.problems.push(Problem::new(&place, "there is no such account", fix));
            }
        }
        let secret = file.secret?;
        let octets = STANDARD.decode(&*secret.value.0).ok().and_then(|octets| octets.try_into().ok());
        if octets.is_none() {
            let fix = "remove the line; `mailslotd user` makes a new one with the next change";
            self.problems.push(secret.problem("these are not 32 octets in base64", fix));
        }
        octets.map(ServerSecret::new)
    }

    fn account(
        &mut self,
        user: User,
        place: &Place,
        act_for: &mut Vec<(AccountName, Place)>,
    ) -> Option<Account> {
        let name = self.name(user.name, &user.lost, place);
        let password = match user.password_hash {
            Some(hash) => self.parsed(&hash, PasswordHash::parse, PASSWD),
            None => {
                if !user.lost.has("password_hash") {
                    self.problems.push(Problem::subject(place, "has no `password_hash`", PASSWD));
                }
                None
            }
        };
        let scram = user.scram_sha_256.map(|text| self.parsed(&text, ScramVerifier::parse, PASSWD_SCRAM));
        let cram_md5 = user.cram_md5.map(|text| self.parsed(&text, cram_md5, PASSWD_CRAM_MD5));
        let may_send_as = user.may_send_as.map(|list| self.patterns(list));
        let may_act_for: Vec<(AccountName, Place)> = user
            .may_act_for
            .map_or_else(Vec::new, |list| list.value.0)
            .into_iter()
            .filter_map(|text| Some((self.parsed(&text, AccountName::new, NAME)?, text.place)))
            .collect();
        act_for.extend(may_act_for.iter().cloned());
        Some(Account {
            name: name?,
            state: user.state.map_or_else(AccountState::default, |state| state.value),
            password: password?,
            scram: transposed(scram)?,
            cram_md5: transposed(cram_md5)?,
            may_send_as: transposed(may_send_as)?,
            rate: user.rate.map(|rate| rate.value),
            may_act_for: may_act_for.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// The name of an account, if no other one before it has it.
    fn name(&mut self, name: Option<At<Secret>>, lost: &raw::Lost, place: &Place) -> Option<AccountName> {
        let Some(text) = name else {
            if !lost.has("name") {
                self.problems.push(Problem::subject(place, "has no `name`", NAME));
            }
            return None;
        };
        let name = self.parsed(&text, AccountName::new, NAME)?;
        match self.accounts.iter().find(|(account, _)| account.name == name) {
            Some((_, line)) => {
                let cause = format!("the account of line {line} has this name already; case does not count");
                self.problems.push(text.problem(cause, "give this one another name, or remove it"));
                None
            }
            None => Some(name),
        }
    }

    fn patterns(&mut self, list: At<Many<Secret>>) -> Option<Vec<AddressPattern>> {
        let count = list.value.0.len();
        let patterns: Vec<AddressPattern> = list
            .value
            .0
            .into_iter()
            .filter_map(|text| match AddressPattern::parse(&text.value.0) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    self.problems.push(text.problem(error.to_string(), error.fix()));
                    None
                }
            })
            .collect();
        (patterns.len() == count).then_some(patterns)
    }

    fn parsed<T, E: Display>(
        &mut self,
        text: &At<Secret>,
        parse: impl FnOnce(&str) -> Result<T, E>,
        fix: &str,
    ) -> Option<T> {
        parse(&text.value.0).map_err(|error| self.problems.push(text.problem(error.to_string(), fix))).ok()
    }
}

/// `None` where something is there that could not be read.
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}

fn cram_md5(text: &str) -> Result<CramMd5Secret, String> {
    let secret = CramMd5Secret::parse(text).map_err(|error| error.to_string())?;
    if secret == CramMd5Secret::of("") {
        return Err("it is that of the empty password, which opens nothing here".to_owned());
    }
    Ok(secret)
}

/// Writes to a `String`, which takes everything.
fn line(text: &mut String, key: &str, value: impl Display) {
    writeln!(text, "{key}: {}", quoted(&value.to_string())).ok();
}

fn list(text: &mut String, key: &str, values: &[impl Display]) {
    let values: Vec<String> = values.iter().map(|value| quoted(&value.to_string())).collect();
    writeln!(text, "{key}: [{}]", values.join(", ")).ok();
}

/// A scalar of YAML that means exactly this text (YAML 1.2 §7.3).
fn quoted(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if !text.contains(breaks) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if breaks(c) => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

const HEADER: &str = "\
# Accounts of clients that authenticate. `mailslotd user` writes this file; a change by hand counts at once, too.
# Comments of your own are lost with the next change by command. Nobody but the service should be able to read it.
";
const NAME: &str = "write what the client logs in as, for example scanner-3";
const PASSWD: &str = "run `mailslotd user passwd` for this account";
const PASSWD_SCRAM: &str = "run `mailslotd user passwd --scram` for this account, or remove the line";
const PASSWD_CRAM_MD5: &str = "run `mailslotd user passwd --cram-md5` for this account, or remove the line";

#[cfg(test)]
mod tests;
