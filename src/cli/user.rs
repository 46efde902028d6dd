//! `mailslotd user …`: the accounts of clients that authenticate.
//!
//! Works on the users file alone; a running gateway reads it again by itself.

mod list;
mod password;
mod store;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use zeroize::Zeroizing;

use self::list::Shown;
use self::password::PasswordError;
use self::store::{Store, StoreError};
use super::Global;
use super::exit::Exit;
use super::load::{Reading, load_or_tell};
use super::output::{answer, answer_json, note};
use crate::config::users::{self, UsersFile};
use crate::policy::account::{
    Account, AccountName, AccountState, Cost, CramMd5Secret, OutOfMemory, PasswordHash, ScramVerifier,
};
use crate::policy::rate::Rate;
use crate::policy::relay::AddressPattern;

/// Shows and changes the accounts of clients that authenticate.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// The users file, else the one that the configuration names
    #[arg(long, global = true, value_name = "FILE")]
    users_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an account
    Add {
        /// What the client logs in as; case does not count
        name: AccountName,
        #[command(flatten)]
        secret: Secret,
        /// A reverse-path that it may use: an address or *@domain; repeatable. Default: any
        #[arg(long, value_name = "PATTERN", value_parser = parse_pattern)]
        may_send_as: Vec<AddressPattern>,
        /// How many messages it may send, for example 20/min. Default: no limit
        #[arg(long, value_parser = users::rate)]
        rate: Option<Rate>,
    },
    /// List the accounts
    List,
    /// Remove an account
    Remove {
        /// As `user list` prints it
        name: AccountName,
    },
    /// Give an account another password; it keeps the mechanisms that it had
    Passwd {
        /// As `user list` prints it
        name: AccountName,
        #[command(flatten)]
        secret: Secret,
    },
    /// Let nobody log in as this account until it is enabled again
    Disable {
        /// As `user list` prints it
        name: AccountName,
    },
    /// Let clients log in as this account again
    Enable {
        /// As `user list` prints it
        name: AccountName,
    },
}

/// A password, and what is made of it.
#[derive(Debug, ClapArgs)]
struct Secret {
    /// Read the password from the first line of standard input, instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    /// Allow SCRAM-SHA-256 too, which never sends the password
    #[arg(long)]
    scram: bool,
    /// Allow CRAM-MD5 too, for old devices: whoever reads the users file can then log in by it
    #[arg(long = "cram-md5")]
    cram_md5: bool,
}

fn parse_pattern(text: &str) -> Result<AddressPattern, String> {
    AddressPattern::parse(text).map_err(|error| format!("{error}; {}", error.fix()))
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("there is no account {0}; `mailslotd user list` shows those there are")]
    Unknown(AccountName),
    #[error("there is an account {0} already; `mailslotd user passwd` gives it another password")]
    Exists(AccountName),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    #[error("there are no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    const fn exit(&self) -> Exit {
        match self {
            Self::Unknown(_) | Self::Exists(_) => Exit::No,
            Self::Password(error) => error.exit(),
            Self::Memory(_) | Self::Random(_) => Exit::TryLater,
            Self::Store(error) => error.exit(),
        }
    }
}

/// Carries out `user …`.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    let store = match store(args.users_file, global) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let done = match args.action {
        Action::List => store.read().map_err(Failure::from).map(|file| list::list(&file, global)),
        Action::Add { name, secret, may_send_as, rate } => {
            let may_send_as = (!may_send_as.is_empty()).then_some(may_send_as);
            add(&store, name, &secret, may_send_as, rate).map(|account| told(&account, "added", global))
        }
        Action::Remove { name } => {
            store.change(|file| remove(file, &name)).map(|account| told(&account, "removed", global))
        }
        Action::Passwd { name, secret } => {
            passwd(&store, &name, &secret).map(|account| told(&account, "has a new password", global))
        }
        Action::Disable { name } => store
            .change(|file| put_in_state(file, &name, AccountState::Disabled))
            .map(|account| told(&account, "disabled", global)),
        Action::Enable { name } => store
            .change(|file| put_in_state(file, &name, AccountState::Enabled))
            .map(|account| told(&account, "enabled", global)),
    };
    done.map_or_else(
        |failure| {
            note(format_args!("mailslotd: {failure}"));
            failure.exit()
        },
        |()| Exit::Done,
    )
}

fn store(named: Option<PathBuf>, global: &Global) -> Result<Store, Exit> {
    if let Some(path) = named {
        return Ok(Store::new(path, None));
    }
    let loaded = load_or_tell(global, Reading::WithoutSecrets)?;
    if let Some(path) = loaded.checked.settings.smtp.users_file {
        return Ok(Store::new(path, loaded.files.into_iter().next()));
    }
    note(
        "mailslotd: the configuration names no users file; write `users_file: /etc/mailslotd/users.yaml` into it, or \
         name one with --users-file",
    );
    Err(Exit::Config)
}

fn add(
    store: &Store,
    name: AccountName,
    secret: &Secret,
    may_send_as: Option<Vec<AddressPattern>>,
    rate: Option<Rate>,
) -> Result<Account, Failure> {
    // Asked before the password is, and again when nobody else can change the file.
    let exists = |file: &UsersFile| file.accounts.iter().any(|account| account.name == name);
    if exists(&store.read_or_empty()?) {
        return Err(Failure::Exists(name));
    }
    let password = secret.password(&name)?;
    let (scram, cram_md5) = (secret.scram, secret.cram_md5);
    let account = Account {
        name: name.clone(),
        state: AccountState::Enabled,
        password: PasswordHash::of(&password, random()?, Cost::DEFAULT)?,
        scram: if scram { Some(ScramVerifier::of(&password, random()?)) } else { None },
        cram_md5: cram_md5.then(|| CramMd5Secret::of(&password)),
        may_send_as,
        rate,
        may_act_for: Vec::new(),
    };
    store.change_or_make(|file| {
        if exists(file) {
            return Err(Failure::Exists(name.clone()));
        }
        file.accounts.push(account.clone());
        Ok(account)
    })
}

fn passwd(store: &Store, name: &AccountName, secret: &Secret) -> Result<Account, Failure> {
    let before = find(&mut store.read()?, name)?.clone();
    let password = secret.password(name)?;
    let hash = PasswordHash::of(&password, random()?, Cost::DEFAULT)?;
    let wants_scram = secret.scram || before.scram.is_some();
    let scram = if wants_scram { Some(ScramVerifier::of(&password, random()?)) } else { None };
    let wants_cram_md5 = secret.cram_md5 || before.cram_md5.is_some();
    let cram_md5 = wants_cram_md5.then(|| CramMd5Secret::of(&password));
    store.change(|file| {
        let account = find(file, name)?;
        (account.password, account.scram, account.cram_md5) = (hash, scram, cram_md5);
        Ok(account.clone())
    })
}

fn remove(file: &mut UsersFile, name: &AccountName) -> Result<Account, Failure> {
    let place = file.accounts.iter().position(|account| account.name == *name);
    let removed = file.accounts.remove(place.ok_or_else(|| Failure::Unknown(name.clone()))?);
    for account in &mut file.accounts {
        account.may_act_for.retain(|other| other != name);
    }
    Ok(removed)
}

fn put_in_state(file: &mut UsersFile, name: &AccountName, state: AccountState) -> Result<Account, Failure> {
    let account = find(file, name)?;
    account.state = state;
    Ok(account.clone())
}

fn find<'f>(file: &'f mut UsersFile, name: &AccountName) -> Result<&'f mut Account, Failure> {
    let found = file.accounts.iter_mut().find(|account| account.name == *name);
    found.ok_or_else(|| Failure::Unknown(name.clone()))
}

impl Secret {
    fn password(&self, name: &AccountName) -> Result<Zeroizing<String>, PasswordError> {
        let source =
            if self.password_stdin { password::Source::StandardInput } else { password::Source::Terminal };
        password::ask(name, source)
    }
}

fn random() -> Result<[u8; 16], getrandom::Error> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets)?;
    Ok(octets)
}

fn told(account: &Account, what: &str, global: &Global) {
    if global.json {
        answer_json(&Shown::of(account));
    } else if !global.quiet {
        answer(format_args!("{} {what}", account.name));
    }
}
