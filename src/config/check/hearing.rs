//! How legacy senders are heard: `netbios` and `listeners`.

use std::net::{Ipv4Addr, SocketAddr};

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At};
use super::super::settings::{Decoding, DestinationKind, Netbios};
use super::rules::CheckedRules;
use super::{Checking, netbios};
use crate::message::id::RuleName;
use crate::policy::template::AddressForm;
use crate::wire::netbios_name::Scope;
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

impl Checking<'_> {
    pub(super) fn hearing(
        &mut self,
        netbios: Option<At<raw::Netbios>>,
        hostname: Option<&str>,
    ) -> (Decoding, Netbios) {
        let netbios = netbios.map(|netbios| netbios.value).unwrap_or_default();
        let raw::Netbios { code_page, utf8, code_pages, scope, .. } = netbios;
        let own = netbios::Written {
            mode: netbios.mode,
            host_name: netbios.host_name,
            names: netbios.names,
            workgroup: netbios.workgroup,
            interfaces: netbios.interfaces,
            allow: netbios.allow,
            wins: netbios.wins,
            dedup_window: netbios.dedup_window,
            rate: netbios.rate,
            sessions: netbios.sessions,
            code_page: code_page.as_ref().map(|page| page.value),
        };
        let netbios = self.netbios(own, hostname);
        let decoding = self.decoding(code_page, utf8, code_pages, scope);
        (decoding, netbios)
    }

    fn decoding(
        &mut self,
        code_page: Option<At<CodePage>>,
        utf8: Option<At<Utf8>>,
        code_pages: Option<At<raw::Many<raw::CodePageException>>>,
        scope: Option<At<String>>,
    ) -> Decoding {
        let code_page = self.sender_text(code_page, utf8);
        let mut exceptions = Vec::new();
        for At { value: exception, .. } in code_pages.map(|list| list.value.0).unwrap_or_default() {
            if exception.source.is_none() {
                let fix = "add the network, for example `source: 192.0.2.0/25`";
                self.missing(&exception.place, &exception.lost, "source", fix);
            }
            if exception.code_page.is_none() {
                let fix = "add it, for example `code_page: cp850`";
                self.missing(&exception.place, &exception.lost, "code_page", fix);
            }
            let text = self.sender_text(exception.code_page, exception.utf8);
            let networks = exception.source.map(|source| source.value.0).unwrap_or_default();
            exceptions.extend(networks.into_iter().map(|network| (network.value.0, text)));
        }
        let scope = scope.map_or_else(Vec::new, |scope| {
            if let Err(error) = Scope::new(scope.value.as_bytes()) {
                let fix = "write labels of at most 63 characters, joined by dots, or remove the key: almost nobody uses one";
                self.problem(scope.problem(format!("{:?} is no NetBIOS scope: {error}", scope.value), fix));
            }
            scope.value.into_bytes()
        });
        Decoding { code_page, exceptions, scope }
    }

    fn sender_text(&mut self, code_page: Option<At<CodePage>>, utf8: Option<At<Utf8>>) -> SenderText {
        let page = code_page.map_or(BUILT_IN_CODE_PAGE, |page| page.value);
        if let Some(utf8) = utf8.as_ref().filter(|utf8| utf8.value == Utf8::Auto && page.is_double_byte()) {
            let cause = format!("`auto` cannot go with {page}, whose text is often valid UTF-8 by accident");
            self.problem(utf8.problem(
                cause,
                "write `utf8: never`; give Samba hosts an entry of their own in `code_pages`",
            ));
        }
        SenderText { code_page: page, utf8: utf8.map_or(Utf8::Never, |utf8| utf8.value) }
    }

    /// Refuses to guess the code page where text leaves the inbox or is compared.
    pub(super) fn code_page_is_needed(
        &mut self,
        rules: &CheckedRules,
        netbios: Option<&At<raw::Netbios>>,
        file: &Place,
    ) {
        let Some((rule, why)) = &rules.needs_code_page else { return };
        let place = netbios.map_or_else(|| file.key("netbios", 1), |netbios| netbios.place.clone());
        let cause = format!("has no `code_page`, and rule {:?} {why}", rule.as_str());
        let fix = "add the OEM code page of your senders, for example `netbios: { code_page: cp850 }`; `chcp` shows it there";
        self.incomplete(&place, cause, fix);
    }

    /// Where it listens, but for SMTP.
    pub(super) fn listeners(&mut self, listeners: Option<At<raw::Listeners>>) -> Addresses {
        let raw::Listeners { datagram, name_service, messenger, admin, .. } =
            listeners.map(|listeners| listeners.value).unwrap_or_default();
        let admin = admin.and_then(|listener| listener.value.address);
        if let Some(address) = admin.as_ref().filter(|address| !address.value.ip().is_loopback()) {
            let port = address.value.port();
            let cause = "has neither passwords nor TLS in this version, so only this machine may reach it";
            let fix = format!("write 127.0.0.1:{port}; from elsewhere use `ssh -L {port}:127.0.0.1:{port}`");
            self.problem(Problem::subject(&address.place, cause, fix));
        }
        Addresses {
            datagram: self.netbios_address(datagram, 138),
            name_service: self.netbios_address(name_service, 137),
            messenger: self.netbios_address(messenger, 139),
            admin: admin.map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9138)), |address| address.value),
        }
    }

    fn netbios_address(&mut self, listener: Option<At<raw::Address>>, usual: u16) -> SocketAddr {
        let Some(address) = listener.and_then(|listener| listener.value.address) else {
            return SocketAddr::from((Ipv4Addr::UNSPECIFIED, usual));
        };
        if address.value.is_ipv6() {
            let fix = format!("write 0.0.0.0:{}", address.value.port());
            self.problem(address.problem("NetBIOS exists over IPv4 only", fix));
        }
        address.value
    }
}

/// Where it listens, but for SMTP.
pub(super) struct Addresses {
    pub(super) datagram: SocketAddr,
    pub(super) name_service: SocketAddr,
    pub(super) messenger: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// Why a rule cannot do without the code page.
pub(super) fn code_page_reason(
    name: &RuleName,
    kinds: &[&DestinationKind],
    compares: Compares,
) -> Option<(RuleName, &'static str)> {
    let goes_to = |is: fn(AddressForm) -> bool| kinds.iter().any(|kind| is(kind.address_form()));
    if goes_to(|form| form == AddressForm::Mailbox) {
        Some((name.clone(), "mails its text: nothing on the wire says what the bytes mean"))
    } else if goes_to(|form| form == AddressForm::Display) {
        Some((name.clone(), "sends its text to displays: nothing on the wire says what the bytes mean"))
    } else if goes_to(AddressForm::is_of_event) {
        Some((name.clone(), "tells its text in events: nothing on the wire says what the bytes mean"))
    } else if compares == Compares::BeyondAscii {
        Some((name.clone(), "compares letters outside ASCII: nothing on the wire says what the bytes mean"))
    } else {
        None
    }
}

/// Which letters a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compares {
    Ascii,
    BeyondAscii,
}

/// As long as text stays in the inbox, a wrong guess can be mended by reading the data kept beside it.
const BUILT_IN_CODE_PAGE: CodePage = CodePage::Cp850;
