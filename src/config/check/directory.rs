//! `relay.recipients`: who knows which recipients exist.

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::problem::Problem;
use super::super::raw::{self, At, CallForwardTlsMode};
use super::super::settings::{CallForward, CallForwardTls, Ldap, RecipientSource, TlsMode};
use super::{Checking, SecretOwner, Secrets, domain_fault, ldap_filter};
use crate::policy::relay::{AcceptedDomains, DomainName, DomainPattern};
use crate::wire::smtp::path::Mailbox;

impl Checking<'_> {
    pub(super) fn recipient_sources(
        &mut self,
        sources: Option<At<raw::Many<raw::RecipientSource>>>,
        accepted: &[At<DomainPattern>],
    ) -> Vec<RecipientSource> {
        let mut checked = Vec::new();
        for At { value: source, place } in sources.map(|list| list.value.0).unwrap_or_default() {
            let raw::RecipientSource { list, file, ldap, callforward, lost, .. } = source;
            let count = [list.is_some(), file.is_some(), ldap.is_some(), callforward.is_some()];
            let count = count.into_iter().filter(|there| *there).count();
            if count > 1 {
                let cause = "is more than one source";
                self.problem(Problem::subject(
                    &place,
                    cause,
                    "write an entry of its own for each; any yes wins",
                ));
            } else if count == 0 && lost.is_empty() {
                let fix = "add `list:`, `file:`, `ldap:` or `callforward:`";
                self.incomplete(&place, "does not say who knows the recipients", fix);
            }
            if let Some(list) = list {
                checked.push(RecipientSource::List(self.known_addresses(list, accepted)));
            } else if let Some(file) = file {
                checked.extend(self.recipients_file(&file));
            } else if let Some(ldap) = ldap {
                let owner = SecretOwner::Directory(checked.len());
                checked
                    .extend(self.ldap(ldap.value, &owner).map(|ldap| RecipientSource::Ldap(Box::new(ldap))));
            } else if let Some(callforward) = callforward {
                checked.extend(self.callforward(callforward.value).map(RecipientSource::CallForward));
            }
            self.recipient_places.resize(checked.len(), place);
        }
        checked
    }

    /// Addresses and whole domains (`@corp.example`).
    fn known_addresses(
        &mut self,
        list: At<raw::Many<String>>,
        accepted: &[At<DomainPattern>],
    ) -> Vec<String> {
        let accepted = AcceptedDomains::new(accepted.iter().map(|at| at.value.clone()).collect());
        let mut known = Vec::new();
        for address in list.value.0 {
            let domain = match address.value.strip_prefix('@') {
                Some(domain) => DomainName::parse(domain).map_err(|error| (error.to_string(), error.fix())),
                None => Mailbox::parse(&address.value)
                    .map_err(|error| (error.to_string(), error.fix()))
                    .and_then(|mailbox| {
                        DomainName::parse(mailbox.domain()).map_err(|error| (error.to_string(), error.fix()))
                    }),
            };
            match domain {
                Err((cause, fix)) => self.problem(address.problem(cause, fix)),
                Ok(domain)
                    if accepted.matching(&domain).is_none() && self.is_sound("relay.accepted_domains") =>
                {
                    let cause =
                        format!("{domain} is none of `relay.accepted_domains`, so nobody asks for it");
                    let fix = "add the domain there, or remove the address";
                    self.problems.warn(address.problem(cause, fix));
                }
                Ok(_) => {}
            }
            known.push(address.value);
        }
        known
    }

    fn recipients_file(&mut self, file: &At<String>) -> Option<RecipientSource> {
        let path = self.absolute(file)?;
        if let Secrets::Online { file: read, .. } = self.surroundings.secrets
            && let Err(error) = read(&path)
        {
            let cause = format!("{} cannot be read: {error}", path.display());
            let fix = "put the file there, an address a line, or let the service's user read it";
            self.problem(file.problem(cause, fix));
        }
        Some(RecipientSource::File(path))
    }

    fn ldap(&mut self, ldap: raw::Ldap, owner: &SecretOwner) -> Option<Ldap> {
        self.ldap_is_complete(&ldap);
        let bind = self.ldap_bind(&ldap, owner);
        let raw::Ldap { url, tls, base, filter, timeout, .. } = ldap;
        if let Some(filter) = &filter
            && let Some((cause, fix)) = ldap_filter::fault(&filter.value)
        {
            self.problem(filter.problem(format!("{:?} {cause}", filter.value), fix));
        }
        let tls = tls.map(|tls| tls.value).unwrap_or_default();
        let mode = url.as_ref().map_or(TlsMode::Implicit, |url| self.ldap_security(url, tls.mode.as_ref()));
        let ca_file = tls.ca_file.and_then(|path| self.authorities(&path, mode));
        if let Some((dn, _)) = bind.as_ref().filter(|_| mode == TlsMode::None) {
            let cause = "the password would go over the network in clear";
            let fix = "write `url: ldaps://…`, or `tls: { mode: starttls }`; without `bind_dn` the search is anonymous";
            self.problem(dn.problem(cause, fix));
        }
        Some(Ldap {
            url: url?.value,
            tls: mode,
            ca_file,
            base: base?.value,
            filter: filter?.value,
            bind: bind.map(|(dn, password)| (dn.value, password)),
            timeout: self.nonzero(timeout, DIRECTORY_TIMEOUT),
        })
    }

    fn ldap_is_complete(&mut self, ldap: &raw::Ldap) {
        let raw::Ldap { place, lost, url, base, filter, bind_dn, .. } = ldap;
        if url.is_none() {
            let fix = "add the server, for example `url: ldaps://dc1.corp.example`";
            self.missing(place, lost, "url", fix);
        }
        if base.is_none() {
            let fix = "add where the search begins, for example `base: 'dc=corp,dc=example'`";
            self.missing(place, lost, "base", fix);
        }
        if filter.is_none() {
            let fix = "add it, for example `filter: '(proxyAddresses=smtp:{address})'`";
            self.missing(place, lost, "filter", fix);
        }
        // Active Directory takes user@domain and DOMAIN\user to bind, too.
        let base = base.as_ref().filter(|base| !base.value.contains('='));
        let bind_dn = bind_dn.as_ref().filter(|dn| !dn.value.contains(['=', '@', '\\']));
        for name in base.into_iter().chain(bind_dn) {
            let cause = format!("{:?} is no distinguished name", name.value);
            self.problem(name.problem(cause, "write one such as dc=corp,dc=example"));
        }
    }

    /// Who asks, and the password for it; `None`: nobody in particular.
    fn ldap_bind(
        &mut self,
        ldap: &raw::Ldap,
        owner: &SecretOwner,
    ) -> Option<(At<String>, Zeroizing<String>)> {
        let raw::Ldap { place, lost, bind_dn, password_file, password_env, .. } = ldap;
        let Some(dn) = bind_dn else {
            if (password_file.is_some() || password_env.is_some()) && !lost.has("bind_dn") {
                let cause = "has a password, but no `bind_dn` that it belongs to";
                self.incomplete(place, cause, "add `bind_dn:`, or remove the password");
            }
            return None;
        };
        let password = self.password(owner, password_file.clone(), password_env.clone(), (place, lost));
        Some((dn.clone(), password))
    }

    /// What the URL and `tls.mode` say together.
    fn ldap_security(&mut self, url: &At<String>, mode: Option<&At<TlsMode>>) -> TlsMode {
        let (scheme, rest) = url.value.split_once("://").unwrap_or_default();
        let host = rest.trim_end_matches('/');
        let cause = match scheme {
            "ldap" | "ldaps" if host_and_port(host, 389).is_some() => None,
            "ldap" | "ldaps" if rest.contains('/') => Some("has more than a host and a port"),
            "ldap" | "ldaps" => Some("has no host that can exist"),
            _ => Some("is no LDAP URL"),
        };
        if let Some(cause) = cause {
            let fix = "write ldaps://dc1.corp.example, with a port behind it unless it is 636 (ldaps) or 389 (ldap); where the search begins stands in `base`";
            self.problem(url.problem(format!("{:?} {cause}", url.value), fix));
        }
        match (scheme, mode.map(|mode| mode.value)) {
            ("ldap", None | Some(TlsMode::StartTls)) => TlsMode::StartTls,
            ("ldap", Some(TlsMode::None)) => TlsMode::None,
            (_, None | Some(TlsMode::Implicit)) if scheme != "ldap" => TlsMode::Implicit,
            _ => {
                let (cause, fix) = if scheme == "ldap" {
                    ("ldap:// begins without TLS", "write `url: ldaps://…`, or `mode: starttls`")
                } else {
                    ("ldaps:// is TLS from the first byte", "remove `mode`, or write `url: ldap://…`")
                };
                if let Some(mode) = mode {
                    self.problem(mode.problem(cause, fix));
                }
                TlsMode::Implicit
            }
        }
    }

    fn callforward(&mut self, callforward: raw::CallForward) -> Option<CallForward> {
        let raw::CallForward { place, lost, host, tls, timeout } = callforward;
        let timeout = self.nonzero(timeout, CALLFORWARD_TIMEOUT);
        let tls = tls.map(|tls| self.callforward_tls(tls.value)).unwrap_or_default();
        let Some(written) = host else {
            let fix = "add the next hop, for example `host: mail.corp.example:25`";
            self.missing(&place, &lost, "host", fix);
            return None;
        };
        let is_implicit = matches!(&tls, CallForwardTls::Configured(tls) if tls.mode == TlsMode::Implicit);
        let Some((host, port)) = host_and_port(&written.value, if is_implicit { 465 } else { 25 }) else {
            let cause = format!("{:?} is neither a host name nor an IP address", written.value);
            let fix = "write a host and its port, for example mail.corp.example:25, 192.0.2.25:25 or '[2001:db8::25]:25'";
            self.problem(written.problem(cause, fix));
            return None;
        };
        if is_implicit && matches!(port, 25 | 587) {
            let fix = "write `tls: { mode: starttls }`, or port 465";
            self.problems.warn(written.problem("25 and 587 begin without TLS", fix));
        }
        Some(CallForward { host, port, tls, timeout })
    }

    fn callforward_tls(&mut self, tls: raw::CallForwardTls) -> CallForwardTls {
        let raw::CallForwardTls { place, lost, mode, ca_file, client_certificate, key_file } = tls;
        let mode = match mode {
            Some(At { value: CallForwardTlsMode::As(mode), place }) => At { value: mode, place },
            Some(At { value: CallForwardTlsMode::Opportunistic, .. }) | None => {
                for file in [ca_file, client_certificate, key_file].into_iter().flatten() {
                    let cause = "nobody proves who they are with `mode: opportunistic`, the default";
                    self.problem(file.problem(cause, "write `mode: starttls`, or remove it"));
                }
                return CallForwardTls::Opportunistic;
            }
        };
        let tls = raw::Tls { place, lost, mode: Some(mode), ca_file, client_certificate, key_file };
        CallForwardTls::Configured(self.tls(tls))
    }
}

/// A host name or an IP address, and the port behind it.
fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_string(), usual));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        _ => (text, usual),
    };
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => Some((address.parse::<std::net::Ipv6Addr>().ok()?.to_string(), port)),
        None => (domain_fault(host).is_none()).then(|| (host.to_owned(), port)),
    }
}

/// A client waits 5 minutes for the reply to RCPT (RFC 5321 §4.5.3.2); several sources may be asked by then.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(5);
const CALLFORWARD_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_alone_or_with_its_port() {
        let read = |text| host_and_port(text, 25).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(read("mail.corp.example:2525").as_deref(), Some("mail.corp.example 2525"));
        assert_eq!(read("mail.corp.example").as_deref(), Some("mail.corp.example 25"));
        assert_eq!(read("192.0.2.25:26").as_deref(), Some("192.0.2.25 26"));
        assert_eq!(read("[2001:db8::25]:26").as_deref(), Some("2001:db8::25 26"));
        assert_eq!(read("2001:db8::25").as_deref(), Some("2001:db8::25 25"));
        assert_eq!(read("[2001:db8::25]").as_deref(), Some("2001:db8::25 25"));
        for text in ["", ":25", "mail:0", "mail:99999", "ma il:25", "[mail]:25", "http://mail"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
