//! Sockets that clients connect to, and why one could not be had.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::listen::owner::{self, Taken};
use crate::message::id::ListenerName;

/// What listens on a socket, in the words of messages to the operator.
#[derive(Debug, Clone)]
pub struct Service {
    /// As in "for the SMTP listener devices".
    what: Box<str>,
    /// Where the address is set.
    setting: String,
    /// A port instead of one that only privileged processes may bind.
    unprivileged: fn(u16) -> u16,
}

impl Service {
    /// The SMTP listener of this name.
    #[must_use]
    pub fn smtp(name: &ListenerName) -> Self {
        Self {
            what: format!("the SMTP listener {name}").into(),
            setting: format!("`addresses` of the listener {name}"),
            unprivileged: |port| match port {
                465 => 4465,
                587 => 5587,
                _ => 2525,
            },
        }
    }

    /// The receiver of `net send`.
    #[must_use]
    pub fn messenger() -> Self {
        Self {
            what: "sessions of `net send`".into(),
            setting: "`listeners.messenger.address`".to_owned(),
            unprivileged: |_| 10139,
        }
    }
}

/// Binds `address` for `service` and listens.
///
/// An IPv6 socket takes IPv6 only, so that `0.0.0.0` and `[::]` may stand beside each other and every client's address is
/// of one form.
///
/// # Errors
/// [`BindError`], whose text tells the operator what to do.
pub fn listen(service: &Service, address: SocketAddr) -> Result<TcpListener, BindError> {
    let failed = |operation| {
        move |source| BindError {
            what: service.what.clone(),
            address,
            cause: Cause::Io { operation, source },
        }
    };
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP));
    let socket = socket.map_err(|source| match source.raw_os_error() {
        Some(nix::libc::EAFNOSUPPORT) => {
            BindError { what: service.what.clone(), address, cause: Cause::NoSuchFamily }
        }
        _ => failed("open a socket")(source),
    })?;
    socket.set_nonblocking(true).map_err(failed("make it non-blocking"))?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(failed("set IPV6_V6ONLY"))?;
    }
    // What still ends on this port from before must not keep a new start away; two that listen never share it.
    socket.set_reuse_address(true).map_err(failed("set SO_REUSEADDR"))?;
    let refused = |source| BindError {
        what: service.what.clone(),
        address,
        cause: Cause::of(service, address, source),
    };
    socket.bind(&SockAddr::from(address)).map_err(refused)?;
    socket.listen(BACKLOG).map_err(refused)?;
    Ok(socket.into())
}

/// Why an address could not be had. The text is one message for the operator: what, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on TCP {address} for {what}: {cause}")]
pub struct BindError {
    what: Box<str>,
    address: SocketAddr,
    cause: Cause,
}

impl BindError {
    /// Why.
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }
}

/// Why an address could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel lets only privileged processes bind low ports.
    #[error(
        "ports below 1024 need CAP_NET_BIND_SERVICE; start it by its systemd unit, or run `setcap \
         cap_net_bind_service=+ep` on the program, or set {setting} to a high port such as {instead}"
    )]
    NotPermitted {
        /// Where the operator chooses.
        setting: String,
        /// The same address with a port that everybody may bind.
        instead: SocketAddr,
    },
    /// Somebody else has it.
    #[error("{0}")]
    InUse(Taken),
    /// The host does not have the address.
    #[error(
        "no interface of this host has {address}; `ip address` shows those it has, and {any} in {setting} listens on all of \
         them"
    )]
    NotOurs {
        /// What was asked for.
        address: IpAddr,
        /// All of the same family.
        any: IpAddr,
        /// Where the operator chooses.
        setting: String,
    },
    /// IPv6 is switched off.
    #[error("this host has no IPv6; remove the address")]
    NoSuchFamily,
    /// Anything else the kernel refuses.
    #[error("cannot {operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Cause {
    fn of(service: &Service, address: SocketAddr, source: io::Error) -> Self {
        let setting = service.setting.clone();
        let any = if address.is_ipv4() { IpAddr::from([0_u8; 4]) } else { IpAddr::from([0_u8; 16]) };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of errors are the kernel's, not ours")]
        match source.kind() {
            io::ErrorKind::PermissionDenied => {
                let instead = SocketAddr::new(address.ip(), (service.unprivileged)(address.port()));
                Self::NotPermitted { setting, instead }
            }
            io::ErrorKind::AddrInUse => Self::InUse(Taken::find(owner::Protocol::Tcp, address, setting)),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address: address.ip(), any, setting },
            _ => Self::Io { operation: "bind it", source },
        }
    }
}

/// Connections that the kernel completes while the gateway is busy; it takes fewer where `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::owner::Owner;

    fn devices() -> Service {
        Service::smtp(&ListenerName::new("devices").unwrap())
    }

    fn refused(service: Service, address: &str, errno: i32) -> String {
        let address = address.parse().unwrap();
        let cause = Cause::of(&service, address, io::Error::from_raw_os_error(errno));
        BindError { what: service.what, address, cause }.to_string()
    }

    #[test]
    fn a_low_port_without_the_privilege_gets_three_ways_out() {
        assert_eq!(
            refused(devices(), "192.0.2.10:25", nix::libc::EACCES),
            "cannot listen on TCP 192.0.2.10:25 for the SMTP listener devices: ports below 1024 need \
             CAP_NET_BIND_SERVICE; start it by its systemd unit, or run `setcap cap_net_bind_service=+ep` on the program, \
             or set `addresses` of the listener devices to a high port such as 192.0.2.10:2525"
        );
        assert_eq!(
            refused(Service::messenger(), "0.0.0.0:139", nix::libc::EACCES),
            "cannot listen on TCP 0.0.0.0:139 for sessions of `net send`: ports below 1024 need CAP_NET_BIND_SERVICE; start it \
             by its systemd unit, or run `setcap cap_net_bind_service=+ep` on the program, or set \
             `listeners.messenger.address` to a high port such as 0.0.0.0:10139"
        );
    }

    #[test]
    fn an_address_of_another_host_is_said_to_be_so() {
        let error = listen(&devices(), "192.0.2.77:0".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot listen on TCP 192.0.2.77:0 for the SMTP listener devices: no interface of this host has 192.0.2.77; \
             `ip address` shows those it has, and 0.0.0.0 in `addresses` of the listener devices listens on all of them"
        );
    }

    #[test]
    fn the_port_is_not_shared_even_with_this_process() {
        let first = listen(&devices(), "127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listen(&devices(), first.local_addr().unwrap()).unwrap_err();
        let Cause::InUse(taken) = error.cause() else { panic!("{error}") };
        assert!(matches!(taken.owner(), Owner::Process { pid, .. } if *pid == std::process::id()), "{error}");
    }

    #[test]
    fn ipv4_and_ipv6_share_a_port_number() {
        let Ok(six) = listen(&devices(), "[::1]:0".parse().unwrap()) else {
            // A host without IPv6 has nothing to share.
            return;
        };
        let port = six.local_addr().unwrap().port();
        listen(&devices(), SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    }
}
