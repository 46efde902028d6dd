//! `listeners.smtp` and `pickup`: where mail comes in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Listed, OrOff, RequireTls, Required};
use super::super::settings::{
    ClientException, Mechanism, Pickup, ServerAuth, ServerTls, SmtpListener, TlsMode, TlsStart,
};
use super::certificates::WrittenFiles;
use super::{Checking, domain_fault};
use crate::message::id::ListenerName;
use crate::policy::account::{Accounts, Cleartext};
use crate::policy::relay::{
    AddressPattern, Authentication, ListenerPolicy, TrustedNetwork, TrustedProxy, TrustedRouter,
    open_relay_faults, trusted_proxies, trusted_routers,
};

/// A listener and where it was written.
pub(super) struct Listener {
    pub(super) settings: SmtpListener,
    pub(super) place: Place,
}

impl Checking<'_> {
    pub(super) fn smtp_listeners(
        &mut self,
        listeners: Option<At<raw::Many<raw::SmtpListener>>>,
        accounts: Option<&Accounts>,
    ) -> Vec<Listener> {
        let mut checked: Vec<Listener> = Vec::new();
        let mut addresses: Vec<At<SocketAddr>> = Vec::new();
        for At { value: listener, .. } in listeners.map(|list| list.value.0).unwrap_or_default() {
            let place = listener.place.clone();
            let own = listener.addresses.as_ref().map(|list| &*list.value.0).unwrap_or_default();
            for address in own {
                self.is_free(address, &addresses);
                addresses.push(At { value: address.value, place: address.place.clone() });
            }
            let settings = self.smtp_listener(listener, accounts);
            let name = &settings.policy.name;
            if let Some(other) = checked.iter().find(|other| other.settings.policy.name == *name) {
                let cause = format!("has the name of the listener on line {}", other.place.line);
                let fix = "give it a name of its own: logs and metrics tell listeners by name";
                self.problem(Problem::subject(&place, cause, fix));
            } else if name.as_str() == PICKUP {
                let cause = "has the name under which picked up mail is logged and counted";
                self.problem(Problem::subject(&place, cause, "give it another name"));
            }
            checked.push(Listener { settings, place });
        }
        checked
    }

    /// Notes when another listener has the address already.
    fn is_free(&mut self, address: &At<SocketAddr>, others: &[At<SocketAddr>]) {
        let Some(other) = others.iter().find(|other| is_same_socket(other.value, address.value)) else {
            return;
        };
        let of_file = if other.place.file == address.place.file {
            String::new()
        } else {
            format!(" of {}", other.place.file)
        };
        let cause =
            format!("{} is on line {}{of_file} already, as {}", address.value, other.place.line, other.value);
        self.problem(address.problem(cause, "remove one of the two, or write another port"));
    }

    fn smtp_listener(&mut self, listener: raw::SmtpListener, accounts: Option<&Accounts>) -> SmtpListener {
        let raw::SmtpListener { place, lost, name, addresses, trusted_networks, profile, .. } = listener;
        let raw::SmtpListener { clients, tls, auth, dnsbl, proxy_protocol_from, .. } = listener;
        if name.is_none() {
            let fix = "add one, for example `name: devices`: logs and metrics show it";
            self.missing(&place, &lost, "name", fix);
        }
        if addresses.is_none() {
            let fix = "add where it listens, for example `addresses: [0.0.0.0:25]`";
            self.missing(&place, &lost, "addresses", fix);
        }
        let addresses: Vec<At<SocketAddr>> = addresses.map(|list| list.value.0).unwrap_or_default();
        let tls = tls.and_then(|tls| self.server_tls(tls.value, &addresses));
        let (trusted_networks, places) = self.trusted_networks(trusted_networks);
        let (auth, authentication, open) = match auth {
            Some(auth) => self.server_auth(auth, tls.as_ref(), accounts),
            None => (None, Authentication::Optional, None),
        };
        let clients = clients.map(|list| list.value.0).unwrap_or_default();
        let name = name.map_or_else(|| named("unnamed"), |name| name.value);
        let policy = ListenerPolicy { name, trusted_networks, authentication };
        self.is_no_open_relay(&policy, &places, open);
        self.proxies(&policy, proxy_protocol_from.as_ref());
        self.routers(&policy, &places);
        SmtpListener {
            addresses: addresses.into_iter().map(|address| address.value).collect(),
            policy: Arc::new(policy),
            tolerance: profile.map(|profile| profile.value),
            clients: clients.into_iter().filter_map(|client| self.client(client.value)).collect(),
            tls,
            auth,
            dnsbl: self.dnsbl(dnsbl),
            proxy_protocol_from: plain(proxy_protocol_from),
        }
    }

    /// The networks, and where each was written.
    fn trusted_networks(
        &mut self,
        list: Option<At<raw::Many<raw::TrustedEntry>>>,
    ) -> (Vec<TrustedNetwork>, Vec<Place>) {
        let mut trusted: Vec<(TrustedNetwork, Place)> = Vec::new();
        for At { value: raw::TrustedEntry(entry), place } in list.map(|list| list.value.0).unwrap_or_default()
        {
            let Some(network) = entry.network else {
                let fix = "add the network, for example `network: 192.0.2.0/24`";
                self.missing(&place, &entry.lost, "network", fix);
                continue;
            };
            let network = network.value.0;
            if let Some((earlier, at)) =
                trusted.iter().find(|(earlier, _)| earlier.network.contains(&network))
            {
                let cause =
                    format!("{network} can never decide: {} on line {} has it", earlier.network, at.line);
                let fix = format!(
                    "move it above line {}, or delete it: the first network that contains a client decides",
                    at.line
                );
                self.problem(Problem::new(&place, cause, fix));
            }
            let trusted_network = TrustedNetwork {
                network,
                relay_to: entry.relay_to.map(|to| to.value).unwrap_or_default(),
                from: patterns(entry.from),
                rate: entry.rate.and_then(|rate| rate.value.limit()),
            };
            trusted.push((trusted_network, place));
        }
        trusted.into_iter().unzip()
    }

    /// Notes everything by which strangers would count as trusted, or could read passwords. `open`: where AUTH was
    /// allowed to send them in clear.
    fn is_no_open_relay(&mut self, policy: &ListenerPolicy, networks: &[Place], open: Option<Place>) {
        let cleartext = if open.is_some() { Cleartext::Allowed } else { Cleartext::Refused };
        for fault in open_relay_faults(policy, Some(cleartext)) {
            // Several networks add up to too many: the last one is what is too much.
            let network = fault.networks().last().and_then(|last| networks.get(*last));
            let Some(place) = network.or(open.as_ref()) else { continue };
            let mut lines: Vec<u32> = Vec::new();
            lines
                .extend(fault.networks().iter().filter_map(|number| networks.get(*number)).map(|at| at.line));
            lines.dedup();
            let cause = match &*lines {
                [first, .., last] => format!("{fault} (lines {first} to {last})"),
                _ => fault.to_string(),
            };
            self.problem(Problem::new(place, cause, fault.fix()));
        }
    }

    /// Warns of load balancers that are trusted for their own address.
    fn proxies(&mut self, policy: &ListenerPolicy, proxies: Option<&At<raw::Many<raw::Network>>>) {
        let Some(written) = proxies else { return };
        let proxies: Vec<IpNet> = written.value.0.iter().map(|proxy| proxy.value.0).collect();
        for TrustedProxy { proxy, network } in trusted_proxies(policy, &proxies) {
            let place = written.value.0.get(proxy).map_or(&written.place, |proxy| &proxy.place);
            let network = policy.trusted_networks.get(network).map(|trusted| trusted.network.to_string());
            let cause = format!(
                "it is in the trusted network {}: what it passed on without a PROXY header would be trusted",
                network.unwrap_or_default()
            );
            let fix = "take it out of `trusted_networks`; clients behind it count under their own addresses";
            self.problems.warn(Problem::new(place, cause, fix));
        }
    }

    /// Warns of routers that are trusted with their network.
    fn routers(&mut self, policy: &ListenerPolicy, networks: &[Place]) {
        for TrustedRouter { router, network } in trusted_routers(policy, &self.surroundings.routers) {
            let (Some(place), Some(trusted)) = (networks.get(network), policy.trusted_networks.get(network))
            else {
                continue;
            };
            let cause = format!(
                "the router {router} is in {}: whoever it lets in under its own address would be trusted",
                trusted.network
            );
            let fix = format!(
                "write an entry for the router alone before it, bound to what it sends mail as: `{{ network: {router}, from: [router@example.com] }}`"
            );
            self.problems.warn(Problem::new(place, cause, fix));
        }
    }

    fn client(&mut self, client: raw::Client) -> Option<ClientException> {
        if client.source.is_none() {
            let fix = "add the device's address, for example `source: 192.0.2.31`";
            self.missing(&client.place, &client.lost, "source", fix);
        }
        if client.hide.is_none() && client.profile.is_none() && client.lost.is_empty() {
            let cause = "changes nothing: it has neither `hide` nor `profile`";
            self.incomplete(&client.place, cause, "add for example `hide: [STARTTLS, CHUNKING]`");
        }
        let source = client.source?.value.0.into_iter().map(|network| network.value.0).collect();
        let hide = client.hide.map(|list| list.value.0).unwrap_or_default();
        let hide: Vec<String> = hide.into_iter().map(|keyword| keyword.value.0.to_owned()).collect();
        Some(ClientException {
            source,
            hide: hide.into(),
            tolerance: client.profile.map(|profile| profile.value),
        })
    }

    fn server_tls(&mut self, tls: raw::ServerTls, addresses: &[At<SocketAddr>]) -> Option<ServerTls> {
        let mode = tls.mode.as_ref().map_or(TlsMode::StartTls, |mode| mode.value);
        for address in addresses {
            self.usual_port(address, mode);
        }
        let start = match mode {
            TlsMode::StartTls => TlsStart::StartTls,
            TlsMode::Implicit => TlsStart::Implicit,
            TlsMode::None => {
                if let Some(file) = tls.certificate.or(tls.key_file) {
                    let cause = "there is no TLS to use it with";
                    self.problem(file.problem(cause, "remove it, or write `mode: starttls`"));
                }
                return None;
            }
        };
        let (place, lost) = (&tls.place, &tls.lost);
        let files = WrittenFiles {
            place,
            lost,
            certificate_key: "certificate",
            certificate: tls.certificate,
            key_file: tls.key_file,
        };
        Some(ServerTls { start, files: self.certificate_files(files)? })
    }

    /// Warns of a port on which clients expect something else.
    fn usual_port(&mut self, address: &At<SocketAddr>, mode: TlsMode) {
        let (cause, fix) = match (address.value.port(), mode) {
            (465, TlsMode::StartTls | TlsMode::None) => (
                "clients begin TLS with the first byte on port 465",
                "write `tls: { mode: implicit, … }`, or port 587",
            ),
            (25 | 587, TlsMode::Implicit) => (
                "clients begin without TLS on ports 25 and 587",
                "write `tls: { mode: starttls, … }`, or port 465",
            ),
            _ => return,
        };
        self.problems.warn(address.problem(cause, fix));
    }

    /// How clients authenticate, whether they must, and where passwords were allowed in clear.
    fn server_auth(
        &mut self,
        auth: At<raw::ServerAuth>,
        tls: Option<&ServerTls>,
        accounts: Option<&Accounts>,
    ) -> (Option<ServerAuth>, Authentication, Option<Place>) {
        let raw::ServerAuth { mechanisms, require_tls, required, .. } = auth.value;
        let written = mechanisms.map(|list| list.value.0).unwrap_or_else(|| {
            DEFAULT_MECHANISMS.map(|value| At { value, place: auth.place.clone() }).into()
        });
        let mut offered: Vec<Mechanism> = Vec::new();
        for At { value, place } in written {
            if offered.contains(&value) {
                self.problem(Problem::new(&place, "stands in the list already", "remove it"));
                continue;
            }
            self.mechanism_is_usable(value, &place, accounts);
            offered.push(value);
        }
        let cleartext = match require_tls.as_ref().map(|written| written.value) {
            Some(RequireTls::No) => Cleartext::Allowed,
            Some(RequireTls::Yes) | None => Cleartext::Refused,
        };
        if cleartext == Cleartext::Refused && tls.is_none() && self.is_sound(&auth.place.path) {
            let cause = "can never be offered: it waits for TLS (`require_tls`), and the listener has none";
            let fix = "add `tls: { mode: starttls, certificate: …, key_file: … }`; or, for devices in `trusted_networks` only, write `require_tls: false`";
            self.incomplete(&auth.place, cause, fix);
        }
        let open = require_tls
            .filter(|_| {
                cleartext == Cleartext::Allowed && offered.iter().any(|mechanism| mechanism.sends_password())
            })
            .map(|written| written.place);
        let authentication = match required.map(|required| required.value) {
            Some(Required::Yes) => Authentication::Required,
            Some(Required::No) | None => Authentication::Optional,
        };
        (Some(ServerAuth { mechanisms: offered, cleartext }), authentication, open)
    }

    fn dnsbl(&mut self, lists: Option<At<raw::Many<String>>>) -> Vec<String> {
        let mut checked = Vec::new();
        for list in lists.map(|lists| lists.value.0).unwrap_or_default() {
            let name = list.value.trim_end_matches('.').to_ascii_lowercase();
            if let Some(fault) = domain_fault(&name) {
                let fix = "write the list's domain, for example zen.dnsbl.example";
                self.problem(list.problem(format!("{:?} {fault}", list.value), fix));
            } else if checked.contains(&name) {
                self.problem(list.problem("stands in the list already", "remove it"));
            } else {
                checked.push(name);
            }
        }
        checked
    }

    /// The pickup directory, and where it was written.
    pub(super) fn pickup(&mut self, pickup: At<raw::Pickup>) -> Option<(Pickup, Place)> {
        let raw::Pickup { place, lost, path, relay_to, from, rate, badmail_keep } = pickup.value;
        let Some(path) = path else {
            let fix = "add the directory, for example `path: /var/lib/mailslotd/pickup`";
            self.missing(&place, &lost, "path", fix);
            return None;
        };
        let relay_to = relay_to.map(|to| to.value).unwrap_or_default();
        let (from, rate) = (patterns(from), rate.and_then(|rate: At<OrOff<_>>| rate.value.limit()));
        let trusted_networks = own_addresses()
            .map(|network| TrustedNetwork { network, relay_to, from: from.clone(), rate })
            .into();
        let policy = ListenerPolicy {
            name: named(PICKUP),
            trusted_networks,
            authentication: Authentication::Optional,
        };
        let badmail_keep = self.badmail_keep(badmail_keep);
        Some((Pickup { path: self.absolute(&path)?, policy: Arc::new(policy), badmail_keep }, place))
    }

    fn badmail_keep(&mut self, written: Option<At<OrOff<Duration>>>) -> Option<Duration> {
        let Some(written) = written else { return Some(DEFAULT_BADMAIL_KEEP) };
        if written.value.limit().is_some_and(|keep| keep.is_zero()) {
            let cause = "nobody could read why a file was refused";
            self.problem(written.problem(cause, "write a time such as 30d, or `off` to keep it for ever"));
        }
        written.value.limit()
    }
}

/// As long as failed messages.
const DEFAULT_BADMAIL_KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Whether both cannot be listened on at once: an unspecified address is all of its family.
fn is_same_socket(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    // The system chooses a port for 0, another one each time.
    one.port() == other.port() && one.port() != 0 && one.is_ipv4() == other.is_ipv4() && overlap
}

fn patterns(list: Option<At<Listed<AddressPattern>>>) -> Option<Vec<AddressPattern>> {
    list.map(|list| list.value.0.into_iter().map(|pattern| pattern.value).collect())
}

/// The networks of a list.
pub(super) fn plain(list: Option<At<raw::Many<raw::Network>>>) -> Vec<IpNet> {
    list.map(|list| list.value.0.into_iter().map(|network| network.value.0).collect()).unwrap_or_default()
}

/// Who puts something into the pickup directory is on this machine.
fn own_addresses() -> [IpNet; 2] {
    let v4 = Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).map(IpNet::V4);
    let v6 = Ipv6Net::new(Ipv6Addr::LOCALHOST, 128).map(IpNet::V6);
    [
        v4.unwrap_or_else(|_| IpAddr::from(Ipv4Addr::LOCALHOST).into()),
        v6.unwrap_or_else(|_| IpAddr::from(Ipv6Addr::LOCALHOST).into()),
    ]
}

fn named(name: &str) -> ListenerName {
    ListenerName::new(name).unwrap_or_else(|_| unreachable!("it is a name"))
}

/// The name under which picked up mail is judged, logged and counted.
const PICKUP: &str = "pickup";
const DEFAULT_MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
