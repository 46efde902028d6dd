//! The accounts of clients: the users file, and whether anybody can use what listeners offer.

use std::io;
use std::path::{Path, PathBuf};

use super::super::problem::{Place, Problem};
use super::super::raw::At;
use super::super::settings::Mechanism;
use super::super::users::UsersFile;
use super::{Checking, Readers, Secrets};
use crate::policy::account::{Accounts, ServerSecret};

impl Checking<'_> {
    /// The path of the users file, and what is in it. No accounts offline, or when the file has problems, which are noted.
    pub(super) fn users_file(&mut self, written: Option<At<String>>) -> (Option<PathBuf>, Option<Accounts>) {
        let Some(written) = written else { return (None, None) };
        let path = self.absolute(&written);
        let accounts = path.as_ref().and_then(|path| self.accounts(path, &written));
        (path, accounts)
    }

    fn accounts(&mut self, path: &Path, written: &At<String>) -> Option<Accounts> {
        let Secrets::Online { file, .. } = self.surroundings.secrets else { return None };
        let shown = path.display();
        let secret = match file(path) {
            Ok(secret) => secret,
            Err(error) => {
                let fix = if error.kind() == io::ErrorKind::NotFound {
                    "`mailslotd user add NAME` makes it".to_owned()
                } else {
                    format!("let the service's user read it: `chgrp mailslotd {shown} && chmod 640 {shown}`")
                };
                self.problem(written.problem(format!("{shown} cannot be read: {error}"), fix));
                return None;
            }
        };
        if secret.readers == Readers::Everybody {
            let cause = format!("every user of this machine may read {shown}, and try passwords on it");
            self.problems.warn(written.problem(cause, format!("chmod o= {shown}")));
        }
        match UsersFile::read(&shown.to_string(), &secret.text) {
            Ok(users) => users.into_accounts(ServerSecret::new([0; 32])).ok(),
            Err(found) => {
                found.problems.into_iter().for_each(|problem| self.problem(problem));
                None
            }
        }
    }

    /// Notes a mechanism that is offered and that no account can use.
    pub(super) fn mechanism_is_usable(
        &mut self,
        mechanism: Mechanism,
        place: &Place,
        accounts: Option<&Accounts>,
    ) {
        let Some(accounts) = accounts.filter(|accounts| !accounts.supports(mechanism)) else { return };
        let (cause, fix) = if accounts.is_empty() {
            (
                "nobody can authenticate: `users_file` has no accounts",
                "add one: `mailslotd user add NAME`".to_owned(),
            )
        } else {
            let option = match mechanism {
                Mechanism::ScramSha256 => "passwd --scram",
                Mechanism::CramMd5 => "passwd --cram-md5",
                Mechanism::Plain | Mechanism::Login => "enable",
            };
            (
                "no account can use it",
                format!("`mailslotd user {option} NAME` for one that shall, or remove it"),
            )
        };
        self.problem(Problem::new(place, format!("{mechanism}: {cause}"), fix));
    }
}
