//! Accounts as they are shown: nothing of their passwords.

use serde::Serialize;

use crate::cli::Global;
use crate::cli::output::{answer, answer_json};
use crate::cli::table::aligned;
use crate::config::users::{UsersFile, rate_text};
use crate::policy::account::{Account, AccountState};
use crate::wire::smtp::mechanism::Mechanism;

/// One account.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    name: String,
    state: &'static str,
    mechanisms: Vec<&'static str>,
    /// `None`: any.
    may_send_as: Option<Vec<String>>,
    /// `None`: no limit.
    rate: Option<String>,
    may_act_for: Vec<String>,
}

impl Shown {
    pub(super) fn of(account: &Account) -> Self {
        let scram = account.scram.as_ref().map(|_| Mechanism::ScramSha256);
        let cram_md5 = account.cram_md5.as_ref().map(|_| Mechanism::CramMd5);
        let mechanisms = [Some(Mechanism::Plain), Some(Mechanism::Login), scram, cram_md5];
        Self {
            name: account.name.to_string(),
            state: match account.state {
                AccountState::Enabled => "enabled",
                AccountState::Disabled => "disabled",
            },
            mechanisms: mechanisms.into_iter().flatten().map(Mechanism::as_str).collect(),
            may_send_as: account
                .may_send_as
                .as_ref()
                .map(|patterns| patterns.iter().map(ToString::to_string).collect()),
            rate: account.rate.map(rate_text),
            may_act_for: account.may_act_for.iter().map(ToString::to_string).collect(),
        }
    }

    fn row(&self) -> [String; 5] {
        let may_send_as = match self.may_send_as.as_deref() {
            None => "anybody".to_owned(),
            Some([]) => "nobody".to_owned(),
            Some(patterns) => patterns.join(" "),
        };
        let act_for = if self.may_act_for.is_empty() {
            String::new()
        } else {
            format!("; may act for {}", self.may_act_for.join(", "))
        };
        [
            self.name.clone(),
            self.state.to_owned(),
            self.rate.clone().unwrap_or_else(|| "no limit".to_owned()),
            self.mechanisms.join(" "),
            may_send_as + &act_for,
        ]
    }
}

pub(super) fn list(file: &UsersFile, global: &Global) {
    let shown: Vec<Shown> = file.accounts.iter().map(Shown::of).collect();
    if global.json {
        answer_json(&shown);
    } else if shown.is_empty() {
        answer("There are no accounts.");
    } else {
        rows(&shown).into_iter().for_each(answer);
    }
}

/// The heading and a line for each account, columns aligned.
fn rows(shown: &[Shown]) -> Vec<String> {
    let heading = ["NAME", "STATE", "RATE", "MECHANISMS", "MAY SEND AS"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(shown.iter().map(Shown::row)).collect();
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, may_send_as: Option<&[&str]>) -> Shown {
        Shown {
            name: name.to_owned(),
            state: "enabled",
            mechanisms: vec!["PLAIN", "LOGIN"],
            may_send_as: may_send_as.map(|patterns| patterns.iter().map(ToString::to_string).collect()),
            rate: None,
            may_act_for: Vec::new(),
        }
    }

    #[test]
    fn columns_stay_aligned_whatever_the_names_are() {
        let rows = rows(&[
            shown("設備", None),
            shown("a-long-name", Some(&["*@corp.example"])),
            shown("x", Some(&[])),
        ]);
        assert_eq!(
            rows,
            [
                "NAME         STATE    RATE      MECHANISMS   MAY SEND AS",
                "設備         enabled  no limit  PLAIN LOGIN  anybody",
                "a-long-name  enabled  no limit  PLAIN LOGIN  *@corp.example",
                "x            enabled  no limit  PLAIN LOGIN  nobody",
            ]
        );
    }
}
