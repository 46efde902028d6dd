//! All accounts, and the checks of what clients claim.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::cram_md5::CramMd5Secret;
use super::keys::hmac_sha256;
use super::name::{AccountName, Key};
use super::password::PasswordHash;
use super::scram::ScramVerifier;
use super::{Check, CheckAnswer, Permissions, Principal, Refusal, ScramParameters};
use crate::policy::rate::Rate;
use crate::policy::relay::AddressPattern;
use crate::wire::smtp::mechanism::Mechanism;

/// One account, as the operator made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name; not that of another account.
    pub name: AccountName,
    /// Whether anybody can log in as it.
    pub state: AccountState,
    /// For PLAIN and LOGIN.
    pub password: PasswordHash,
    /// For SCRAM-SHA-256, where the operator wanted it.
    pub scram: Option<ScramVerifier>,
    /// For CRAM-MD5, where the operator asked for it.
    pub cram_md5: Option<CramMd5Secret>,
    /// The reverse-paths it may use; `None`: any.
    pub may_send_as: Option<Vec<AddressPattern>>,
    /// How many messages it may send in a time, where limited.
    pub rate: Option<Rate>,
    /// Accounts that it may log in as with its own password, by giving them as the authorization identity.
    pub may_act_for: Vec<AccountName>,
}

impl Account {
    /// Whether what proves to be this account is what proved to be the other. A password that was set anew, be it to the
    /// same, is another one.
    fn is_proved_as(&self, other: &Self) -> bool {
        self.password == other.password && self.scram == other.scram && self.cram_md5 == other.cram_md5
    }
}

/// Whether anybody can log in as an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccountState {
    /// With the right password.
    #[default]
    Enabled,
    /// Nobody.
    Disabled,
}

/// What the answers for accounts that do not exist are made of. Whoever knows it can tell which accounts exist.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerSecret(Zeroizing<[u8; 32]>);

impl ServerSecret {
    /// `octets` must be random, and remain the same for as long as accounts shall not be told apart.
    #[must_use]
    pub fn new(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// What it was made of.
    #[must_use]
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Shows nothing.
impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret")
    }
}

/// Two accounts have the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are two accounts {0}")]
pub struct DuplicateName(pub AccountName);

/// All accounts.
///
/// From outside, an account that does not exist looks like one whose password is wrong: the same is computed for it,
/// with what one of the accounts has, always the same for the same name.
#[derive(Debug, Clone)]
pub struct Accounts {
    by_name: HashMap<Key, Entry>,
    /// All keys, sorted, since the order of a map changes with each start.
    keys: Vec<Key>,
    /// Those of accounts with a verifier of SCRAM, sorted.
    scram_keys: Vec<Key>,
    secret: ServerSecret,
}

#[derive(Debug, Clone)]
struct Entry {
    account: Arc<Account>,
    permissions: Arc<Permissions>,
}

/// What is to be computed, and what comes of it.
struct Trial<V> {
    verifier: V,
    if_right: Result<Principal, Refusal>,
    if_wrong: Refusal,
}

impl Accounts {
    /// These accounts.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn new(accounts: Vec<Account>, secret: ServerSecret) -> Result<Self, DuplicateName> {
        let mut by_name: HashMap<Key, Entry> = HashMap::new();
        for account in accounts {
            let permissions = Arc::new(Permissions {
                name: account.name.clone(),
                may_send_as: account.may_send_as.clone(),
                rate: account.rate,
            });
            let key = account.name.key().clone();
            let account = Arc::new(account);
            if let Some(Entry { account, .. }) = by_name.insert(key, Entry { account, permissions }) {
                return Err(DuplicateName(account.name.clone()));
            }
        }
        let mut keys: Vec<Key> = by_name.keys().cloned().collect();
        keys.sort_unstable();
        let has_scram = |key: &&Key| by_name.get(*key).is_some_and(|entry| entry.account.scram.is_some());
        let scram_keys = keys.iter().filter(has_scram).cloned().collect();
        Ok(Self { by_name, keys, scram_keys, secret })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether any enabled account can use this mechanism. A listener that offers one that none can use is a mistake.
    #[must_use]
    pub fn supports(&self, mechanism: Mechanism) -> bool {
        self.by_name.values().any(|Entry { account, .. }| {
            account.state == AccountState::Enabled
                && match mechanism {
                    Mechanism::Plain | Mechanism::Login => true,
                    Mechanism::CramMd5 => account.cram_md5.is_some(),
                    Mechanism::ScramSha256 => account.scram.is_some(),
                }
        })
    }

    /// What the account of this name may do, if there is one and it is enabled. Proves nothing: for explanations.
    #[must_use]
    pub fn permissions_of(&self, user: &str) -> Option<&Permissions> {
        let entry = self.by_name.get(&Key::of(user))?;
        (entry.account.state == AccountState::Enabled).then_some(&*entry.permissions)
    }

    /// Whether a client that proved to be somebody, by whichever accounts there were then, would still be so here: both
    /// accounts are enabled, the one may act for the other and has the password that was proved, and the other may do
    /// what it might do then.
    #[must_use]
    pub fn still_grant(&self, principal: &Principal) -> bool {
        let Some(entry) = self.by_name.get(&Key::of(principal.proved_by())) else { return false };
        let now = self.principal(entry, Some(principal.name()));
        entry.account.is_proved_as(&principal.proved_by)
            && now.is_ok_and(|now| now.permissions == principal.permissions)
    }

    /// The name of this account, enabled or not, as the operator spells it. What clients give for a user may be a
    /// password in the wrong field: only what this knows may be logged.
    #[must_use]
    pub fn name_of(&self, user: &str) -> Option<&str> {
        self.by_name.get(&Key::of(user)).map(|entry| entry.account.name.as_str())
    }

    /// Checks a claim. For a password that takes some 20 ms of a core and 19 MiB; everything else is quick.
    #[must_use]
    pub fn answer(&self, check: &Check) -> CheckAnswer {
        match check {
            Check::Password { user, authorize_as, password, .. } => {
                if user.is_empty() || password.is_empty() {
                    return CheckAnswer::Refused(Refusal::Empty);
                }
                let trial = self.password_trial(user, authorize_as.as_deref());
                match trial.verifier.is_of(password) {
                    Ok(is_right) => trial.verdict(is_right.then_some(CheckAnswer::Proved)),
                    Err(_) => CheckAnswer::Unavailable,
                }
            }
            Check::CramMd5 { user, challenge, digest } => {
                let trial = self.cram_md5_trial(user);
                let is_right = trial.verifier.check(challenge, digest);
                trial.verdict(is_right.then_some(CheckAnswer::Proved))
            }
            Check::ScramStart { user } => CheckAnswer::Scram(self.scram_parameters(user)),
            Check::ScramProof { user, authorize_as, auth_message, proof } => {
                let trial = self.scram_trial(user, authorize_as.as_deref());
                let signature = trial.verifier.check(auth_message, proof);
                trial.verdict(
                    signature.map(|signature| {
                        move |principal| CheckAnswer::ProvedWithSignature(principal, signature)
                    }),
                )
            }
        }
    }

    fn password_trial(&self, user: &str, authorize_as: Option<&str>) -> Trial<PasswordHash> {
        let key = Key::of(user);
        let example = self.example(&self.keys, &key);
        let decoy = example.map_or_else(PasswordHash::decoy, |account| account.password.decoy_like());
        self.trial(&key, authorize_as, |account| Some(&account.password), decoy)
    }

    fn cram_md5_trial(&self, user: &str) -> Trial<CramMd5Secret> {
        self.trial(&Key::of(user), None, |account| account.cram_md5.as_ref(), CramMd5Secret::decoy())
    }

    fn scram_trial(&self, user: &str, authorize_as: Option<&str>) -> Trial<ScramVerifier> {
        let key = Key::of(user);
        let salt = |length| self.derive("SCRAM", &key, length);
        let example = self.example(&self.scram_keys, &key).and_then(|account| account.scram.as_ref());
        let decoy = match example {
            Some(example) => example.decoy_like(salt),
            None => ScramVerifier::decoy(salt),
        };
        self.trial(&key, authorize_as, |account| account.scram.as_ref(), decoy)
    }

    fn scram_parameters(&self, user: &str) -> ScramParameters {
        self.scram_trial(user, None).verifier.parameters().clone()
    }

    /// The verifier of an account, or `decoy`, which is right for nobody. That is made in any case, so that an account
    /// that exists does not save the time.
    fn trial<V: Clone>(
        &self,
        key: &Key,
        authorize_as: Option<&str>,
        verifier: impl Fn(&Account) -> Option<&V>,
        decoy: V,
    ) -> Trial<V> {
        let refused = |verifier, refusal| Trial { verifier, if_right: Err(refusal), if_wrong: refusal };
        let Some(entry) = self.by_name.get(key) else { return refused(decoy, Refusal::UnknownAccount) };
        let Some(verifier) = verifier(&entry.account) else { return refused(decoy, Refusal::NoVerifier) };
        Trial {
            verifier: verifier.clone(),
            if_right: self.principal(entry, authorize_as),
            if_wrong: Refusal::WrongPassword,
        }
    }

    /// Whom a client that proves to be this account may act as.
    fn principal(&self, entry: &Entry, authorize_as: Option<&str>) -> Result<Principal, Refusal> {
        let account = &entry.account;
        if account.state == AccountState::Disabled {
            return Err(Refusal::Disabled);
        }
        let own = account.name.key();
        let asked = authorize_as.map_or_else(|| own.clone(), Key::of);
        let permitted = asked == *own || account.may_act_for.iter().any(|name| *name.key() == asked);
        let target = self.by_name.get(&asked).filter(|_| permitted).ok_or(Refusal::MayNotActFor)?;
        match target.account.state {
            AccountState::Enabled => {
                Ok(Principal { permissions: Arc::clone(&target.permissions), proved_by: Arc::clone(account) })
            }
            AccountState::Disabled => Err(Refusal::MayNotActFor),
        }
    }

    /// One of these accounts; always the same for the same key while the accounts are the same.
    fn example(&self, among: &[Key], key: &Key) -> Option<&Account> {
        let number = u64::from_be_bytes(*self.derive("example", key, 8).first_chunk()?);
        let place = number.checked_rem(u64::try_from(among.len()).ok()?)?;
        let chosen = among.get(usize::try_from(place).ok()?)?;
        self.by_name.get(chosen).map(|entry| &*entry.account)
    }

    /// So many octets that nobody can tell from random ones without the secret; always the same for the same name.
    fn derive(&self, purpose: &str, key: &Key, length: usize) -> Vec<u8> {
        let octets = (0_u8..=u8::MAX).flat_map(|block| {
            hmac_sha256(self.secret.octets(), format!("{purpose}\0{block}\0{}", key.as_str()).as_bytes())
        });
        octets.take(length).collect()
    }
}

impl<V> Trial<V> {
    /// `proved`: how the verdict is given if it is right; `None`: it is not.
    fn verdict(self, proved: Option<impl FnOnce(Principal) -> CheckAnswer>) -> CheckAnswer {
        match (proved, self.if_right) {
            (Some(proved), Ok(principal)) => proved(principal),
            (Some(_), Err(refusal)) => CheckAnswer::Refused(refusal),
            (None, _) => CheckAnswer::Refused(self.if_wrong),
        }
    }
}

#[cfg(test)]
mod tests;
