//! The decision table: every flow, every method, every form of address that has ever opened a relay.

use super::decide::{Account, Client, relay, sender};
use super::*;
use crate::message::id::DestinationName;
use crate::policy::route::{Route, RouteDomain, RouteTo};
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};

fn policy() -> RelayPolicy {
    let patterns = ["corp.example", ".branches.example", "bücher.example"];
    RelayPolicy {
        accepted_domains: AcceptedDomains::new(
            patterns.map(|text| DomainPattern::parse(text).unwrap()).to_vec(),
        ),
        routes: vec![Route {
            domain: RouteDomain::Any,
            via: DestinationName::new("smarthost").unwrap(),
            to: RouteTo::Recipient,
        }],
        hostname: Some(DomainName::parse("gw1.plant.example").unwrap()),
    }
}

fn patterns(texts: &[&str]) -> Vec<AddressPattern> {
    texts.iter().map(|text| AddressPattern::parse(text).unwrap()).collect()
}

fn trusted(network: &str, relay_to: RelayTo, from: Option<&[&str]>) -> TrustedNetwork {
    TrustedNetwork { network: network.parse().unwrap(), relay_to, from: from.map(patterns), rate: None }
}

fn listener(authentication: Authentication) -> ListenerPolicy {
    ListenerPolicy {
        name: ListenerName::new("devices").unwrap(),
        trusted_networks: vec![
            trusted("192.0.2.0/25", RelayTo::AcceptedDomains, Some(&["*@corp.example"])),
            trusted("192.0.2.200/32", RelayTo::Any, Some(&["*@corp.example", "<>"])),
            trusted("2001:db8:7::/64", RelayTo::Any, None),
            trusted("::ffff:198.51.100.0/120", RelayTo::Any, None),
        ],
        authentication,
    }
}

/// The clients of the table: an address, and whether it has authenticated as an account that may send as
/// `ups@corp.example` only.
#[derive(Debug, Clone, Copy)]
enum Who {
    /// Somebody on the Internet.
    Stranger,
    /// A device that may mail accepted domains as `*@corp.example`.
    Device,
    /// A device that may mail anyone.
    Freed,
    /// Somebody on the Internet who has authenticated.
    Account,
    /// The device, which has authenticated.
    DeviceWithAccount,
}
use Who::{Account as User, Device, DeviceWithAccount, Freed, Stranger};

impl Who {
    fn address(self) -> IpAddr {
        let text = match self {
            Stranger | User => "203.0.113.9",
            Device | DeviceWithAccount => "192.0.2.7",
            Freed => "192.0.2.200",
        };
        text.parse().unwrap()
    }

    fn client<'a>(self, listener: &'a ListenerPolicy, may_send_as: &'a [AddressPattern]) -> Client<'a> {
        Client {
            listener,
            trusted: listener.trusted_network_of(self.address()),
            account: match self {
                Stranger | Device | Freed => None,
                User | DeviceWithAccount => Some(Account { may_send_as: Some(may_send_as) }),
            },
        }
    }
}

fn reverse_path(text: &str) -> ReversePath {
    if text.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(Mailbox::parse(text).unwrap()) }
}

fn forward_path(text: &str) -> ForwardPath {
    if text == "postmaster" {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Mailbox(Mailbox::parse(text).unwrap())
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn at_mail_a_reverse_path_narrows_and_never_widens() {
    let (open, closed) = (listener(Authentication::Optional), listener(Authentication::Required));
    let may_send_as = patterns(&["ups@corp.example"]);
    let authenticate = SenderVerdict::Refused(SenderRefusal::AuthenticationRequired);
    let not_of_account = SenderVerdict::Refused(SenderRefusal::NotOfAccount);
    let device = net("192.0.2.0/25");
    let not_of_network = SenderVerdict::Refused(SenderRefusal::NotOfNetwork { network: device });
    let of_device = SenderVerdict::TrustedNetwork { network: device };
    let of_freed = SenderVerdict::TrustedNetwork { network: net("192.0.2.200/32") };
    for (listener, who, from, verdict) in [
        (&open, Stranger, "someone@elsewhere.example", SenderVerdict::Unproved),
        (&open, Stranger, "boss@corp.example", SenderVerdict::Unproved),
        (&open, Stranger, "", SenderVerdict::Unproved),
        (&open, Device, "scanner@corp.example", of_device),
        (&open, Device, "SCANNER@CORP.EXAMPLE", of_device),
        (&open, Device, "scanner@elsewhere.example", not_of_network),
        (&open, Device, "scanner@evilcorp.example", not_of_network),
        (&open, Device, "\"a@corp.example\"@elsewhere.example", not_of_network),
        (&open, Device, "", not_of_network),
        (&open, Freed, "scanner@corp.example", of_freed),
        (&open, Freed, "", of_freed),
        (&open, User, "ups@corp.example", SenderVerdict::Authenticated),
        (&open, User, "boss@corp.example", not_of_account),
        (&open, User, "", not_of_account),
        // Who has proved who it is is judged by that alone, wherever it sits.
        (&open, DeviceWithAccount, "ups@corp.example", SenderVerdict::Authenticated),
        (&open, DeviceWithAccount, "scanner@corp.example", not_of_account),
        (&closed, Stranger, "someone@elsewhere.example", authenticate),
        (&closed, Stranger, "", authenticate),
        (&closed, Device, "scanner@corp.example", authenticate),
        (&closed, Freed, "scanner@corp.example", authenticate),
        (&closed, User, "ups@corp.example", SenderVerdict::Authenticated),
        (&closed, User, "boss@corp.example", not_of_account),
    ] {
        let client = who.client(listener, &may_send_as);
        assert_eq!(sender(client, &reverse_path(from)), verdict, "{who:?} {from}");
    }
}

#[test]
fn an_account_without_may_send_as_sends_as_anyone() {
    let listener = listener(Authentication::Required);
    let client = Client { account: Some(Account { may_send_as: None }), ..User.client(&listener, &[]) };
    for from in ["anyone@elsewhere.example", ""] {
        assert_eq!(sender(client, &reverse_path(from)), SenderVerdict::Authenticated);
    }
    // An empty list means none.
    assert_eq!(
        sender(User.client(&listener, &[]), &reverse_path("ups@corp.example")),
        SenderVerdict::Refused(SenderRefusal::NotOfAccount)
    );
}

#[test]
fn the_four_flows_by_the_three_methods() {
    let (open, closed) = (listener(Authentication::Optional), listener(Authentication::Required));
    let authenticate = RelayVerdict::Denied(RelayRefusal::AuthenticationRequired);
    let not_accepted = RelayVerdict::Denied(RelayRefusal::NotAccepted);
    let beyond = RelayVerdict::Denied(RelayRefusal::BeyondNetwork { network: net("192.0.2.0/25") });
    let of_freed = RelayVerdict::TrustedNetwork { network: net("192.0.2.200/32") };
    let (ours, theirs) = ("ops@corp.example", "someone@elsewhere.example");
    for (listener, who, to, verdict) in [
        // Flow 1: from our own to a local domain. Flow 2: from the Internet to a local domain.
        (&open, Device, ours, RelayVerdict::AcceptedDomain),
        (&open, Freed, ours, RelayVerdict::AcceptedDomain),
        (&open, User, ours, RelayVerdict::AcceptedDomain),
        (&open, Stranger, ours, RelayVerdict::AcceptedDomain),
        // Flow 3: from our own to anywhere else.
        (&open, Device, theirs, beyond),
        (&open, Freed, theirs, of_freed),
        (&open, User, theirs, RelayVerdict::Authenticated),
        (&open, DeviceWithAccount, theirs, RelayVerdict::Authenticated),
        // Flow 4: from the Internet to anywhere else.
        (&open, Stranger, theirs, not_accepted),
        // The postmaster has no domain and is always there.
        (&open, Stranger, "postmaster", RelayVerdict::Postmaster),
        (&open, Device, "postmaster", RelayVerdict::Postmaster),
        // So has our own host, and nobody else there nor anywhere near.
        (&open, Stranger, "postmaster@gw1.plant.example", RelayVerdict::Postmaster),
        (&open, Stranger, "PostMaster@GW1.Plant.Example", RelayVerdict::Postmaster),
        (&open, Stranger, "ops@gw1.plant.example", not_accepted),
        (&open, Stranger, "postmaster@x.gw1.plant.example", not_accepted),
        (&open, Stranger, "postmaster@plant.example", not_accepted),
        (&open, Stranger, "ops%postmaster@gw1.plant.example", not_accepted),
        (&open, Device, "postmaster@elsewhere.example", beyond),
        (&closed, Stranger, "postmaster@gw1.plant.example", authenticate),
        // A listener for accounts only lets nobody else near, should MAIL ever be forgotten.
        (&closed, Stranger, ours, authenticate),
        (&closed, Stranger, "postmaster", authenticate),
        (&closed, Freed, theirs, authenticate),
        (&closed, User, ours, RelayVerdict::AcceptedDomain),
        (&closed, User, theirs, RelayVerdict::Authenticated),
    ] {
        let client = who.client(listener, &[]);
        assert_eq!(relay(&policy(), client, &forward_path(to)), verdict, "{who:?} {to}");
    }
}

/// What each address is to a stranger, to a device bound to accepted domains, and to a client that may mail anyone.
#[test]
fn no_form_of_address_takes_a_foreign_destination_past_the_policy() {
    #[derive(Clone, Copy)]
    enum Form {
        Ours,
        Theirs,
        Routed(RouteSign),
    }
    use Form::{Ours, Routed, Theirs};
    let listener = listener(Authentication::Optional);
    for (to, form) in [
        ("ops@corp.example", Ours),
        ("OPS@CORP.Example", Ours),
        ("\"night shift\"@corp.example", Ours),
        ("ops+tag/x=y@corp.example", Ours),
        ("ops@a.branches.example", Ours),
        ("ops@a.b.branches.example", Ours),
        ("ops@BÜCHER.example", Ours),
        ("ops@xn--bcher-kva.example", Ours),
        ("ops@branches.example", Theirs),
        ("ops@mail.corp.example", Theirs),
        ("ops@evilcorp.example", Theirs),
        ("ops@corp.example.net", Theirs),
        ("ops@xcorp-example", Theirs),
        ("ops@example", Theirs),
        ("ops@bucher.example", Theirs),
        ("corp.example@elsewhere.example", Theirs),
        ("\"ops@corp.example\"@elsewhere.example", Theirs),
        ("ops%corp.example@elsewhere.example", Theirs),
        ("corp.example!ops@elsewhere.example", Theirs),
        ("ops@[192.0.2.10]", Theirs),
        ("ops@[127.0.0.1]", Theirs),
        ("ops@[IPv6:::1]", Theirs),
        ("ops@192.0.2.10", Theirs),
        ("ops@localhost", Theirs),
        ("ops@ｃｏｒｐ.example", Theirs),
        ("ops@corp⒈example", Theirs),
        ("ops@corp①.example", Theirs),
        ("user%elsewhere.example@corp.example", Routed(RouteSign::Percent)),
        ("user%40elsewhere.example@corp.example", Routed(RouteSign::Percent)),
        ("a%b%elsewhere.example@corp.example", Routed(RouteSign::Percent)),
        ("user%@corp.example", Routed(RouteSign::Percent)),
        ("elsewhere.example!user@corp.example", Routed(RouteSign::Bang)),
        ("a!b!elsewhere.example!user@a.branches.example", Routed(RouteSign::Bang)),
        ("\"user@elsewhere.example\"@corp.example", Routed(RouteSign::At)),
        ("\"user\\@elsewhere.example\"@corp.example", Routed(RouteSign::At)),
        ("\"@elsewhere.example:user\"@corp.example", Routed(RouteSign::At)),
        ("\"elsewhere.example!user\"@corp.example", Routed(RouteSign::Bang)),
        ("user＠elsewhere.example@corp.example", Routed(RouteSign::At)),
        ("user％elsewhere.example@corp.example", Routed(RouteSign::Percent)),
    ] {
        let verdict = |who: Who| relay(&policy(), who.client(&listener, &[]), &forward_path(to));
        let denied = |refusal| RelayVerdict::Denied(refusal);
        let (stranger, device, freed, user) = match form {
            Ours => [RelayVerdict::AcceptedDomain; 4].into(),
            Theirs => (
                denied(RelayRefusal::NotAccepted),
                denied(RelayRefusal::BeyondNetwork { network: net("192.0.2.0/25") }),
                RelayVerdict::TrustedNetwork { network: net("192.0.2.200/32") },
                RelayVerdict::Authenticated,
            ),
            Routed(sign) => (
                denied(RelayRefusal::Routed(sign)),
                denied(RelayRefusal::Routed(sign)),
                RelayVerdict::AcceptedDomain,
                RelayVerdict::AcceptedDomain,
            ),
        };
        assert_eq!(verdict(Stranger), stranger, "{to}");
        assert_eq!(verdict(Device), device, "{to}");
        assert_eq!(verdict(Freed), freed, "{to}");
        assert_eq!(verdict(User), user, "{to}");
    }
}

#[test]
fn stops_that_only_look_like_dots_and_dots_at_the_end_are_no_mailbox_at_all() {
    for text in [
        "ops@corp.example.",
        "ops@.corp.example",
        "ops@corp..example",
        "ops@corp。example",
        "ops@corp．example",
        "ops@corp｡example",
        "ops@corp.example\u{200b}",
        "ops@corp.example@elsewhere.example",
        "@elsewhere.example:ops@corp.example",
    ] {
        assert!(Mailbox::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_client_is_in_a_network_however_its_address_is_written() {
    let listener = listener(Authentication::Optional);
    for (client, network) in [
        ("192.0.2.7", Some("192.0.2.0/25")),
        ("::ffff:192.0.2.7", Some("192.0.2.0/25")),
        ("192.0.2.127", Some("192.0.2.0/25")),
        ("192.0.2.128", None),
        ("192.0.2.200", Some("192.0.2.200/32")),
        ("2001:db8:7::1", Some("2001:db8:7::/64")),
        ("2001:db8:7:1::1", None),
        ("198.51.100.1", Some("::ffff:198.51.100.0/120")),
        ("::ffff:198.51.100.1", Some("::ffff:198.51.100.0/120")),
        ("198.51.101.1", None),
    ] {
        let found = listener.trusted_network_of(client.parse().unwrap()).map(|trusted| trusted.network);
        assert_eq!(found, network.map(net), "{client}");
    }
}

#[test]
fn the_first_network_that_contains_the_client_decides() {
    let mut listener = listener(Authentication::Optional);
    listener.trusted_networks.insert(0, trusted("192.0.2.0/24", RelayTo::AcceptedDomains, None));
    let verdict = relay(&policy(), Freed.client(&listener, &[]), &forward_path("a@elsewhere.example"));
    let network = net("192.0.2.0/24");
    assert_eq!(verdict, RelayVerdict::Denied(RelayRefusal::BeyondNetwork { network }));
}

#[test]
fn where_no_route_leads_is_refused_whoever_asks_but_a_refusal_for_another_reason_comes_first() {
    let listener = listener(Authentication::Optional);
    let onprem = Route {
        domain: RouteDomain::Domain(DomainPattern::parse("corp.example").unwrap()),
        via: DestinationName::new("onprem").unwrap(),
        to: RouteTo::Recipient,
    };
    let policy = RelayPolicy { routes: vec![onprem], ..policy() };
    for (who, to, verdict) in [
        (User, "a@elsewhere.example", RelayVerdict::Denied(RelayRefusal::NoRoute)),
        (Stranger, "a@x.branches.example", RelayVerdict::Denied(RelayRefusal::NoRoute)),
        (Stranger, "a@elsewhere.example", RelayVerdict::Denied(RelayRefusal::NotAccepted)),
        (Stranger, "a@corp.example", RelayVerdict::AcceptedDomain),
    ] {
        assert_eq!(relay(&policy, who.client(&listener, &[]), &forward_path(to)), verdict, "{who:?} {to}");
    }
}

#[test]
fn without_accepted_domains_and_trusted_networks_nobody_reaches_anyone() {
    let listener = ListenerPolicy { trusted_networks: Vec::new(), ..listener(Authentication::Optional) };
    let policy = RelayPolicy { accepted_domains: AcceptedDomains::default(), ..policy() };
    for to in ["ops@corp.example", "someone@elsewhere.example", "ops@[192.0.2.10]"] {
        let verdict = relay(&policy, Device.client(&listener, &[]), &forward_path(to));
        assert_eq!(verdict, RelayVerdict::Denied(RelayRefusal::NotAccepted), "{to}");
    }
}

#[test]
fn spellings_of_one_forward_path_are_one_and_others_are_not() {
    for (one, other, is_one) in [
        ("ops@corp.example", "ops@CORP.Example", true),
        ("\"ops\"@corp.example", "ops@corp.example", true),
        ("ops@bücher.example", "ops@xn--bcher-kva.example", true),
        ("x@[IPv6:2001:DB8::1]", "x@[ipv6:2001:db8::1]", true),
        ("postmaster", "PostMaster@GW1.Plant.Example", true),
        // The case of a local part is the receiving host's business.
        ("ops@corp.example", "Ops@corp.example", false),
        ("ops@corp.example", "ops@mail.corp.example", false),
        ("\"night shift\"@corp.example", "night@corp.example", false),
        ("postmaster", "postmaster@corp.example", false),
        ("ops@ｃorp.example", "ops@corp.example", false),
    ] {
        let (one, other) = (forward_path(one), forward_path(other));
        assert_eq!(policy().is_one(&one, &other), is_one, "{one} {other}");
        assert_eq!(policy().is_one(&other, &one), is_one, "{other} {one}");
    }
}

#[test]
fn an_accepted_domain_has_a_postmaster_of_its_own_also_where_our_host_has_its_name() {
    let operator = Mailbox::parse("it@corp.example").unwrap();
    let of = |policy: &RelayPolicy, to: &str| {
        policy.mailbox_of(&forward_path(to), Some(&operator)).map(ToString::to_string)
    };
    let policy = policy();
    assert_eq!(of(&policy, "postmaster@gw1.plant.example").as_deref(), Some("it@corp.example"));
    assert_eq!(of(&policy, "postmaster").as_deref(), Some("it@corp.example"));
    assert_eq!(of(&policy, "postmaster@corp.example").as_deref(), Some("postmaster@corp.example"));
    let named_so = RelayPolicy { hostname: DomainName::parse("corp.example").ok(), ..policy };
    assert_eq!(of(&named_so, "postmaster@corp.example").as_deref(), Some("postmaster@corp.example"));
}

#[test]
fn each_refusal_has_its_reply() {
    let network = net("192.0.2.0/25");
    for (refusal, reply) in [
        (RelayRefusal::AuthenticationRequired, "530 5.7.0 Authentication required"),
        (RelayRefusal::NotAccepted, "554 5.7.1 Relay access denied"),
        (RelayRefusal::BeyondNetwork { network }, "554 5.7.1 Relay access denied"),
        (RelayRefusal::Routed(RouteSign::Bang), "553 5.1.3 Routes in the local part are not followed"),
        (RelayRefusal::NoRoute, "550 5.4.4 No route to this domain"),
    ] {
        assert_eq!(format!("{} {} {refusal}", refusal.code(), refusal.status()), reply);
    }
    for (refusal, reply) in [
        (SenderRefusal::AuthenticationRequired, "530 5.7.0 Authentication required"),
        (SenderRefusal::NotOfAccount, "550 5.7.1 This account may not send as this address"),
        (SenderRefusal::NotOfNetwork { network }, "550 5.7.1 This client may not send as this address"),
    ] {
        assert_eq!(format!("{} {} {refusal}", refusal.code(), refusal.status()), reply);
    }
}

#[test]
fn what_is_explained_is_what_is_decided_and_exactly_one_method_decides() {
    let (open, closed) = (listener(Authentication::Optional), listener(Authentication::Required));
    for listener in [&open, &closed] {
        for who in [Stranger, Device, Freed] {
            for from in ["scanner@corp.example", "x@elsewhere.example", ""] {
                for to in [
                    "postmaster",
                    "a@corp.example",
                    "a@elsewhere.example",
                    "a%b@corp.example",
                    "a@[192.0.2.1]",
                ] {
                    let (reverse_path, forward_path) = (reverse_path(from), forward_path(to));
                    let client = who.address();
                    let supposed = Supposed {
                        listener,
                        client,
                        account: None,
                        reverse_path: &reverse_path,
                        forward_path: &forward_path,
                    };
                    let facts = Facts { listener, client, principal: None };
                    let explained = explain_relay(&policy(), supposed);
                    assert_eq!(explained.sender, decide_sender(facts, &reverse_path));
                    assert_eq!(explained.relay, decide_relay(&policy(), facts, &forward_path));
                    let count =
                        |bearing| explained.findings.iter().filter(|one| one.bearing == bearing).count();
                    let accepted = !matches!(explained.relay, RelayVerdict::Denied(_));
                    assert_eq!(count(Bearing::Decides), usize::from(accepted), "{who:?} {from} {to}");
                    let refused = matches!(explained.sender, SenderVerdict::Refused(_));
                    assert_eq!(explained.findings[0].bearing == Bearing::Refuses, refused);
                }
            }
        }
    }
}
