//! What is the same for all sessions of one transcript: time, the accounts, and the policies that count.
#![expect(clippy::disallowed_methods, reason = "an origin for virtual time")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mailslotd::message::id::DestinationName;
use mailslotd::policy::account::{
    Account, AccountName, AccountState, Accounts, Check, CheckAnswer, Cost, CramMd5Secret, PasswordHash,
    Principal, ScramVerifier, ServerSecret,
};
use mailslotd::policy::admission::{MessageSource, Rates, take_message};
use mailslotd::policy::auth_guard::{Attempt, AuthGuard, AuthGuardPolicy};
use mailslotd::policy::client_network::Prefixes;
use mailslotd::policy::rate::Rate;
use mailslotd::policy::relay::{
    AcceptedDomains, AddressPattern, DomainName, DomainPattern, Facts, ListenerPolicy, RelayPolicy,
};
use mailslotd::policy::route::{Route, RouteDomain, RouteTo};
use mailslotd::policy::tarpit::{self, Tarpit, TarpitPolicy};
use mailslotd::session::smtp_server::{Admission, Hold};

/// What is the same for all sessions of one transcript.
pub(crate) struct World {
    pub(crate) now: Instant,
    guard: AuthGuard,
    pit: Tarpit,
    rates: Rates<MessageSource>,
    /// How many messages a network of strangers may send.
    messages: Option<Rate>,
}

impl World {
    /// By the words of the first session.
    pub(crate) fn new(words: &BTreeMap<String, String>) -> Self {
        let failures = words.get("failures").map_or(10, |text| text.parse().unwrap());
        Self {
            now: Instant::now(),
            guard: AuthGuard::new(AuthGuardPolicy { failures: Some(failures), ..AuthGuardPolicy::default() }),
            pit: Tarpit::new(TarpitPolicy { time: Duration::from_secs(5), ..TarpitPolicy::default() }),
            rates: Rates::default(),
            messages: words.get("messages").map(|text| per_minute(text)),
        }
    }

    /// As the front-end asks the guard and the accounts.
    pub(crate) fn authenticate(&mut self, client: IpAddr, check: &Check) -> CheckAnswer {
        let network = Prefixes::default().network_of(client);
        if self.guard.may_try(network, self.now) != Attempt::Allowed {
            return CheckAnswer::Unavailable;
        }
        let answer = ACCOUNTS.answer(check);
        match &answer {
            CheckAnswer::Proved(principal) | CheckAnswer::ProvedWithSignature(principal, _) => {
                self.guard.proved(network, principal.proved_by(), self.now);
            }
            CheckAnswer::Refused(_) => {
                self.guard.failed(network, ACCOUNTS.name_of(check.user()), self.now);
            }
            CheckAnswer::Scram(_) | CheckAnswer::Unavailable => {}
        }
        answer
    }

    /// Whether one message more is within the rate that counts for this client.
    pub(crate) fn admit(
        &mut self,
        listener: &ListenerPolicy,
        client: IpAddr,
        principal: Option<&Principal>,
    ) -> Admission {
        let facts = Facts { listener, client, principal };
        let network = Prefixes::default().network_of(client);
        let taken = take_message(&mut self.rates, facts, network, self.messages, self.now);
        if taken.is_ok() { Admission::Granted } else { Admission::OverRate }
    }

    pub(crate) fn hold_failed_auth(&mut self, client: IpAddr) -> Hold {
        match self.pit.fail_auth(Prefixes::default().network_of(client), self.now) {
            tarpit::Hold::Not => Hold::For(Duration::ZERO),
            tarpit::Hold::For(_, duration) => Hold::For(duration),
            tarpit::Hold::Full => Hold::Full,
        }
    }
}

/// Everybody's password is `tanstaaftanstaaf`.
static ACCOUNTS: LazyLock<Accounts> = LazyLock::new(|| {
    let password = "tanstaaftanstaaf";
    let hash = PasswordHash::of(password, [7; 16], Cost::new(7168, 5, 1).unwrap()).unwrap();
    let account = |name: &str| Account {
        name: AccountName::new(name).unwrap(),
        state: AccountState::Enabled,
        password: hash.clone(),
        scram: Some(ScramVerifier::of(password, [7; 16])),
        cram_md5: Some(CramMd5Secret::of(password)),
        may_send_as: None,
        rate: None,
        may_act_for: Vec::new(),
    };
    let may_send_as = Some(vec![AddressPattern::parse("scanner@corp.example").unwrap()]);
    let accounts = vec![
        account("tim"),
        Account { may_send_as, ..account("scanner") },
        Account { rate: Some(per_minute("2")), ..account("ups") },
        Account { state: AccountState::Disabled, ..account("retired") },
        Account { may_act_for: vec![AccountName::new("scanner").unwrap()], ..account("printserver") },
    ];
    Accounts::new(accounts, ServerSecret::new([9; 32])).unwrap()
});

/// So many a minute.
pub(crate) fn per_minute(text: &str) -> Rate {
    Rate { count: text.parse().unwrap(), period: Duration::from_secs(60) }
}

/// We are responsible for corp.example, for all below branches.example, and for bücher.example.
pub(crate) fn relay() -> RelayPolicy {
    let patterns = ["corp.example", ".branches.example", "bücher.example"];
    let route =
        |domain| Route { domain, via: DestinationName::new("smarthost").unwrap(), to: RouteTo::Recipient };
    RelayPolicy {
        accepted_domains: AcceptedDomains::new(
            patterns.map(|text| DomainPattern::parse(text).unwrap()).to_vec(),
        ),
        routes: vec![route(RouteDomain::Any)],
        hostname: Some(DomainName::parse("gw.example").unwrap()),
    }
}
