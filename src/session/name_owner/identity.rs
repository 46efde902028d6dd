//! Which names a gateway owns, and where.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::policy::name_askers::NameAskers;
use crate::wire::name_service::{NameFlags, NbAddress};
use crate::wire::netbios_name::{NameType, NetbiosName, Scope};

/// What a gateway is called, and who may ask for it.
#[derive(Debug, Clone)]
pub struct Identity {
    names: Vec<OwnName>,
    by_name: HashMap<NetbiosName, usize>,
    scope: Scope,
    askers: NameAskers,
}

/// A name that the gateway owns or wants to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnName {
    /// Its sixteen bytes.
    pub name: NetbiosName,
    /// Whether others may have it too.
    pub membership: Membership,
}

/// Whether a name has one owner or many (RFC 1001 §11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// One host has it.
    Unique,
    /// All members of the group have it.
    Group,
}

/// A network that an interface is in, with the address that names stand for there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The interface's index.
    pub interface: u32,
    /// Our address.
    pub address: Ipv4Addr,
    /// The network that is reached without a router.
    pub network: Ipv4Net,
    /// Where all of its hosts are reached; `None`: nowhere, so names are answered without having been claimed.
    pub broadcast: Option<Ipv4Addr>,
    /// The MAC address; zeros where there is none.
    pub unit_id: [u8; 6],
}

impl Identity {
    /// `host_name` is claimed as `<00>` and `<20>`, each of `messengers` as `<03>`, the group `workgroup` as `<00>`,
    /// whatever types they have here; a name that comes twice counts once. There is no way to claim the names of
    /// browsers (`<1B>`, `<1D>`, `<1E>`).
    #[must_use]
    pub fn new(
        host_name: NetbiosName,
        messengers: &[NetbiosName],
        workgroup: NetbiosName,
        scope: Scope,
        askers: NameAskers,
    ) -> Self {
        let unique =
            |name: NetbiosName, kind| OwnName { name: name.with_type(kind), membership: Membership::Unique };
        let host = [NameType::WORKSTATION, NameType::FILE_SERVER].map(|kind| unique(host_name, kind));
        let group =
            OwnName { name: workgroup.with_type(NameType::WORKSTATION), membership: Membership::Group };
        let messengers = messengers.iter().map(|name| unique(*name, NameType::MESSENGER));
        let mut identity = Self { names: Vec::new(), by_name: HashMap::new(), scope, askers };
        for name in host.into_iter().chain([group]).chain(messengers) {
            let next = identity.names.len();
            identity.by_name.entry(folded(&name.name)).or_insert_with(|| {
                identity.names.push(name);
                next
            });
        }
        identity
    }

    /// All names: the host's own, the workgroup, the messengers in their order.
    #[must_use]
    pub fn names(&self) -> &[OwnName] {
        &self.names
    }

    /// The scope that all names are in.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Who is answered.
    #[must_use]
    pub const fn askers(&self) -> &NameAskers {
        &self.askers
    }

    /// Where `name` is among [`Self::names`]. ASCII letters are compared without regard to case, as Samba does and TCP
    /// 139 here: senders that do not convert a name to upper case mean the same.
    pub(super) fn position(&self, name: &NetbiosName) -> Option<usize> {
        self.by_name.get(&folded(name)).copied()
    }

    /// Whether `scope` is ours. Some programs convert it to upper case.
    pub(super) fn is_own_scope(&self, scope: &Scope) -> bool {
        scope.text().eq_ignore_ascii_case(self.scope.text())
    }

    /// NB_FLAGS of a name: what it is, and which node type has it. With WINS servers an H node, as Windows; else a B
    /// node.
    pub(super) fn flags_of(&self, name: OwnName) -> NameFlags {
        let node = if self.askers.wins.is_empty() { NameFlags(0) } else { NameFlags::H_NODE };
        match name.membership {
            Membership::Unique => node,
            Membership::Group => node.with(NameFlags::GROUP),
        }
    }

    /// What a name stands for where our address is `address`.
    pub(super) fn address_of(&self, name: OwnName, address: Ipv4Addr) -> NbAddress {
        NbAddress { flags: self.flags_of(name), address }
    }
}

/// A name with its ASCII letters in upper case; the type is none of them.
fn folded(name: &NetbiosName) -> NetbiosName {
    NetbiosName::from_bytes(name.as_bytes().map(|byte| byte.to_ascii_uppercase())).with_type(name.name_type())
}
