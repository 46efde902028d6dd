//! Why a message would be let through or not, in words: what each method says, for the operator.

use std::net::IpAddr;

use serde::Serialize;

use super::address::{AddressPattern, RouteSign};
use super::decide::{Account, Client, RelayRefusal, SenderRefusal, relay, sender};
use super::domain::{DomainName, DomainPattern};
use super::{
    Authentication, ListenerPolicy, RelayPolicy, RelayTo, RelayVerdict, SenderVerdict, TrustedNetwork,
};
use crate::policy::account::Permissions;
use crate::policy::mapping::listed;
use crate::policy::route::{RouteTo, route_of};
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};

/// What would be asked of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Supposed<'a> {
    /// The listener that the client came to.
    pub listener: &'a ListenerPolicy,
    /// Where it is.
    pub client: IpAddr,
    /// The account it has authenticated as, if it has. A supposition: it proves nothing and opens nothing.
    pub account: Option<&'a Permissions>,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// RCPT TO.
    pub forward_path: &'a ForwardPath,
}

/// What would come of it, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayExplanation {
    /// At MAIL.
    pub sender: SenderVerdict,
    /// At RCPT, were MAIL accepted.
    pub relay: RelayVerdict,
    /// What each method says, in the order in which they are asked.
    pub findings: Vec<Finding>,
}

/// What one method says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The method.
    pub method: Method,
    /// What it means for the verdict.
    pub bearing: Bearing,
    /// Why, as a sentence without its full stop.
    pub words: String,
    /// Each rule of the method in its order, where it has rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleFinding>,
}

/// One rule of a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleFinding {
    /// As written in the configuration.
    pub rule: String,
    /// Whether it holds of this message.
    pub holds: bool,
}

/// What is asked of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// May it use this reverse-path?
    Sender,
    /// Is the recipient's domain ours?
    Domain,
    /// Has the client authenticated?
    Authentication,
    /// Is it in a trusted network?
    Network,
    /// Where would the message go?
    Route,
}

/// What a method means for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// The recipient is accepted because of it.
    Decides,
    /// It has nothing against it.
    Agrees,
    /// It does not let the message through, nor keep it out.
    Silent,
    /// The message is refused because of it.
    Refuses,
}

/// What would come of a message, and what each method and rule says to it.
#[must_use]
pub fn explain_relay(policy: &RelayPolicy, supposed: Supposed<'_>) -> RelayExplanation {
    let Supposed { listener, client, account, reverse_path, forward_path } = supposed;
    let asking = Client {
        listener,
        trusted: listener.trusted_network_of(client),
        account: account.map(|permissions| Account { may_send_as: permissions.may_send_as() }),
    };
    let sender = sender(asking, reverse_path);
    let relay = relay(policy, asking, forward_path);
    let findings = vec![
        of_sender(supposed, asking.trusted, sender),
        of_domain(policy, forward_path, relay),
        of_authentication(supposed, relay),
        of_network(supposed, asking.trusted, relay),
        of_route(policy, reverse_path, forward_path),
    ];
    RelayExplanation { sender, relay, findings }
}

fn of_sender(supposed: Supposed<'_>, trusted: Option<&TrustedNetwork>, verdict: SenderVerdict) -> Finding {
    let Supposed { account, reverse_path, listener, .. } = supposed;
    let path = format!("<{reverse_path}>");
    let (who, patterns) = match (account, trusted) {
        (Some(account), _) => (format!("account {}", account.name()), account.may_send_as()),
        (None, Some(trusted)) => (trusted.network.to_string(), trusted.from.as_deref()),
        (None, None) => ("anybody".to_owned(), None),
    };
    let found = patterns.and_then(|all| all.iter().find(|pattern| pattern.matches(reverse_path)));
    let words = match (verdict, found, patterns) {
        (SenderVerdict::Refused(SenderRefusal::AuthenticationRequired), ..) => {
            format!("{} takes no MAIL before AUTH", listener.name)
        }
        (SenderVerdict::Refused(_), _, None | Some([])) => format!("{who} may send as nobody"),
        (SenderVerdict::Refused(_), _, Some(patterns)) => {
            format!("{who} may send as {} only, not as {path}", listed(patterns))
        }
        (SenderVerdict::Unproved, ..) => {
            format!("anybody may call itself {path}, so nothing is allowed because of it")
        }
        (_, Some(pattern), _) => format!("{who} may send as {path}: {pattern}"),
        (_, None, _) => format!("{who} may send as anyone, {path} too"),
    };
    let bearing = match verdict {
        SenderVerdict::Authenticated | SenderVerdict::TrustedNetwork { .. } => Bearing::Agrees,
        SenderVerdict::Unproved => Bearing::Silent,
        SenderVerdict::Refused(_) => Bearing::Refuses,
    };
    let rule = |pattern: &AddressPattern| RuleFinding {
        rule: pattern.to_string(),
        holds: pattern.matches(reverse_path),
    };
    let rules = patterns.unwrap_or_default().iter().map(rule).collect();
    Finding { method: Method::Sender, bearing, words, rules }
}

fn of_domain(policy: &RelayPolicy, forward_path: &ForwardPath, verdict: RelayVerdict) -> Finding {
    let finding = |bearing, words, rules| Finding { method: Method::Domain, bearing, words, rules };
    let recipient = match forward_path {
        ForwardPath::Mailbox(mailbox) if !policy.is_own_postmaster(forward_path) => mailbox,
        ForwardPath::Mailbox(_) | ForwardPath::Postmaster => {
            let words = "<postmaster>, without a domain or at our own host, is always ours (RFC 5321 §4.5.1)";
            let bearing =
                if matches!(verdict, RelayVerdict::Postmaster) { Bearing::Decides } else { Bearing::Silent };
            return finding(bearing, words.to_owned(), Vec::new());
        }
    };
    let patterns = policy.accepted_domains.patterns();
    let domain = match DomainName::parse(recipient.domain()) {
        Ok(domain) => domain,
        Err(error) => {
            return finding(Bearing::Silent, format!("{error}, and so none of ours"), rules(patterns, None));
        }
    };
    let rules = rules(patterns, Some(&domain));
    let Some(accepted) = policy.accepted_domains.matching(&domain) else {
        return finding(Bearing::Silent, not_ours(patterns, &domain), rules);
    };
    let accepted = match accepted {
        DomainPattern::Exact(_) => format!("{domain} is an accepted domain"),
        DomainPattern::Below(_) => format!("{domain} is an accepted domain by {accepted}"),
    };
    match (verdict, RouteSign::find(recipient.local_part())) {
        (RelayVerdict::Denied(RelayRefusal::Routed(sign)), _) => finding(
            Bearing::Refuses,
            format!(
                "{accepted}, but the next hop may read the {sign} before its @ as the way to somewhere else, where this \
                 client may not send"
            ),
            rules,
        ),
        (RelayVerdict::AcceptedDomain, Some(sign)) => {
            let words = format!(
                "{accepted}; the {sign} before its @ is let pass, since this client may send anywhere"
            );
            finding(Bearing::Decides, words, rules)
        }
        (RelayVerdict::AcceptedDomain, None) => finding(Bearing::Decides, accepted, rules),
        _ => finding(Bearing::Agrees, accepted, rules),
    }
}

fn rules(patterns: &[DomainPattern], domain: Option<&DomainName>) -> Vec<RuleFinding> {
    let holds = |pattern: &DomainPattern| domain.is_some_and(|domain| pattern.matches(domain));
    patterns.iter().map(|pattern| RuleFinding { rule: pattern.to_string(), holds: holds(pattern) }).collect()
}

fn not_ours(patterns: &[DomainPattern], domain: &DomainName) -> String {
    if patterns.is_empty() {
        return "there are no accepted domains".to_owned();
    }
    let above = patterns.iter().find_map(|pattern| match pattern {
        DomainPattern::Exact(parent) if DomainPattern::Below(parent.clone()).matches(domain) => Some(parent),
        DomainPattern::Exact(_) | DomainPattern::Below(_) => None,
    });
    match above {
        Some(parent) => {
            format!(
                "{domain} is not accepted: {parent} stands for itself only, .{parent} for what is below it"
            )
        }
        None => format!("{domain} is not {}", listed(patterns)),
    }
}

fn of_authentication(supposed: Supposed<'_>, verdict: RelayVerdict) -> Finding {
    let Supposed { account, listener, .. } = supposed;
    let (bearing, words) = match (account, listener.authentication) {
        (Some(account), _) => {
            let bearing = if matches!(verdict, RelayVerdict::Authenticated) {
                Bearing::Decides
            } else {
                Bearing::Agrees
            };
            (bearing, format!("authenticated as {}, who may send anywhere", account.name()))
        }
        (None, Authentication::Required) => {
            (Bearing::Refuses, format!("{} requires it, and nobody has authenticated", listener.name))
        }
        (None, Authentication::Optional) => {
            (Bearing::Silent, "nobody has authenticated; --user NAME supposes that somebody has".to_owned())
        }
    };
    Finding { method: Method::Authentication, bearing, words, rules: Vec::new() }
}

fn of_network(supposed: Supposed<'_>, trusted: Option<&TrustedNetwork>, verdict: RelayVerdict) -> Finding {
    let Supposed { client, listener, .. } = supposed;
    let networks: Vec<_> = listener.trusted_networks.iter().map(|trusted| trusted.network).collect();
    let (bearing, words) = match trusted {
        None if networks.is_empty() => (Bearing::Silent, format!("{} trusts no network", listener.name)),
        None => (Bearing::Silent, format!("{client} is not in {}", listed(&networks))),
        Some(TrustedNetwork { network, relay_to: RelayTo::AcceptedDomains, .. }) => {
            (Bearing::Silent, format!("{client} is in {network}, which may send to accepted domains only"))
        }
        Some(TrustedNetwork { network, relay_to: RelayTo::Any, .. }) => {
            let bearing = if matches!(verdict, RelayVerdict::TrustedNetwork { .. }) {
                Bearing::Decides
            } else {
                Bearing::Agrees
            };
            (bearing, format!("{client} is in {network}, which may send anywhere"))
        }
    };
    let rule = |one: &TrustedNetwork| RuleFinding {
        rule: one.network.to_string(),
        holds: trusted.is_some_and(|trusted| std::ptr::eq(trusted, one)),
    };
    let rules = listener.trusted_networks.iter().map(rule).collect();
    Finding { method: Method::Network, bearing, words, rules }
}

fn of_route(policy: &RelayPolicy, reverse_path: &ReversePath, forward_path: &ForwardPath) -> Finding {
    let finding = |bearing, words, rules| Finding { method: Method::Route, bearing, words, rules };
    let recipient: &Mailbox = match forward_path {
        ForwardPath::Mailbox(mailbox) if !policy.is_own_postmaster(forward_path) => mailbox,
        ForwardPath::Mailbox(_) | ForwardPath::Postmaster => {
            return finding(Bearing::Agrees, "to the operator's postmaster address".to_owned(), Vec::new());
        }
    };
    let taken = route_of(&policy.routes, recipient);
    let rule = |route: &crate::policy::route::Route| RuleFinding {
        rule: format!("{} via {}", route.domain, route.via),
        holds: taken.is_some_and(|taken| std::ptr::eq(taken, route)),
    };
    let rules = policy.routes.iter().map(rule).collect();
    match taken {
        Some(route) => {
            let way = format!("via {}, by the route for {}", route.via, route.domain);
            let sender = match reverse_path {
                ReversePath::Null => None,
                ReversePath::Mailbox(sender) => Some(sender.as_str()),
            };
            let copy = route.copy(recipient, sender);
            let words = match &route.to {
                RouteTo::Recipient => way,
                RouteTo::Folder(_) if copy.to.is_empty() => format!("{way}, into its inbox"),
                RouteTo::Folder(_) => format!("{way}, into the folder {}", copy.to),
                RouteTo::Address(_) if copy.to.is_empty() => way,
                RouteTo::Address(_) => format!("{way}, to {}", copy.to),
            };
            finding(Bearing::Agrees, words, rules)
        }
        None => finding(Bearing::Refuses, format!("no route leads to {}", recipient.domain()), rules),
    }
}
