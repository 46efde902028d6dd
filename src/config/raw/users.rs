//! The users file as it is written.

use zeroize::Zeroizing;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problem, Problems};
use super::read::{At, Lost, Many, Read, section};
use crate::policy::account::AccountState;
use crate::policy::rate::Rate;
use crate::policy::spelling::nearest;

section! {
    /// The whole users file.
    pub(in crate::config) struct Users {
        /// What made-up answers for accounts that do not exist are derived from: 32 random octets in base64.
        /// `mailslotd user` makes it.
        secret: Secret,
        /// The accounts.
        users: Many<User>,
    }
    later: []
}

section! {
    /// One account.
    pub(in crate::config) struct User {
        /// What the client logs in as. Compared after NFKC, without regard to case.
        name: Secret,
        /// `enabled` (the default) or `disabled`.
        state: AccountState,
        /// For PLAIN and LOGIN: an Argon2id hash in PHC form. No default.
        password_hash: Secret,
        /// For SCRAM-SHA-256: a verifier after RFC 5803.
        scram_sha_256: Secret,
        /// For CRAM-MD5: what HMAC-MD5 makes of the password.
        cram_md5: Secret,
        /// The reverse-paths it may use: addresses, `*@domain`. Default: any.
        may_send_as: Many<Secret>,
        /// How many messages it may send. Default: no limit.
        rate: Rate,
        /// Accounts that it may log in as with its own password.
        may_act_for: Many<Secret>,
    }
    later: []
    label: name
}

/// A text that no problem repeats, since it may be a password in the wrong place.
pub(in crate::config) struct Secret(pub(in crate::config) Zeroizing<String>);

/// Shows nothing.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Read for Secret {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let (cause, fix) = match &node.value {
            Value::Text(text) => return Some(Self(Zeroizing::new(text.clone()))),
            Value::Nothing => ("nothing stands behind it".to_owned(), "write a value, or remove the key"),
            Value::Number(_) | Value::Truth(_) => {
                (format!("{} where a text belongs", node.kind()), "put it in single quotes")
            }
            Value::List(_) | Value::Map(_) => {
                (format!("{} where one text belongs", node.kind()), "write one value behind the key")
            }
        };
        problems.push(Problem::new(place, cause, fix));
        None
    }
}

impl Read for AccountState {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let fix = match &node.value {
            Value::Text(text) if text == "enabled" => return Some(Self::Enabled),
            Value::Text(text) if text == "disabled" => return Some(Self::Disabled),
            Value::Text(text) => nearest(text, ["enabled", "disabled"]),
            Value::Nothing | Value::Truth(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        };
        let fix = fix.map_or("write `enabled` or `disabled`".to_owned(), |meant| format!("write `{meant}`"));
        problems.push(Problem::new(place, "this is no state of an account", fix));
        None
    }
}
