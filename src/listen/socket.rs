//! The sockets on UDP 138 and 137, and why they could not be had.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::owner::{self, Taken};

/// What is heard on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The datagram service, UDP 138.
    Datagram,
    /// The name service, UDP 137.
    Name,
}

impl Service {
    /// Where the operator chooses its address.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Datagram => "`listeners.datagram.address`",
            Self::Name => "`listeners.name_service.address`",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Datagram => 138,
            Self::Name => 137,
        }
    }

    /// One that needs no privilege.
    const fn high_port(self) -> u16 {
        match self {
            Self::Datagram => 10138,
            Self::Name => 10137,
        }
    }
}

/// A bound socket that hears unicast and broadcast datagrams and tells where each was addressed.
///
/// It shares its port with nobody (no `SO_REUSEADDR`, no `SO_REUSEPORT`): of two receivers on one port each would miss
/// some messages without a word.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddrV4,
    receive_buffer: usize,
}

impl DatagramSocket {
    /// What is asked of the kernel to hold between two reads: at 100 000 datagrams of 600 bytes a second, a tenth of a
    /// second. Taken only while datagrams wait.
    pub const RECEIVE_BUFFER: usize = 16 << 20;

    /// What is asked for on the name service: questions are short, and are repeated where they are lost.
    pub const NAME_SERVICE_BUFFER: usize = 1 << 20;

    /// Binds `address` for the datagram service, with a large receive buffer.
    ///
    /// # Errors
    /// [`BindError`], whose text tells the operator what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::bind_with_buffer(address, Self::RECEIVE_BUFFER)
    }

    /// Binds `address` for the name service.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_name_service(address: SocketAddr) -> Result<Self, BindError> {
        Self::bind_for(Service::Name, address, Self::NAME_SERVICE_BUFFER)
    }

    /// Binds `address` for the datagram service with a receive buffer of about `bytes`; without `CAP_NET_ADMIN` the
    /// kernel gives no more than `net.core.rmem_max`.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_with_buffer(address: SocketAddr, bytes: usize) -> Result<Self, BindError> {
        Self::bind_for(Service::Datagram, address, bytes)
    }

    fn bind_for(service: Service, address: SocketAddr, bytes: usize) -> Result<Self, BindError> {
        let SocketAddr::V4(wanted) = address else {
            return Err(BindError::NotIpv4 { service, address });
        };
        let failed = |operation| move |source| BindError::Io { address: wanted, operation, source };
        let socket =
            Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).map_err(failed("open a socket"))?;
        socket.set_nonblocking(true).map_err(failed("make it non-blocking"))?;
        socket.set_broadcast(true).map_err(failed("set SO_BROADCAST"))?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)
            .map_err(|errno| failed("set IP_PKTINFO")(errno.into()))?;
        setsockopt(&socket, sockopt::RxqOvfl, &1).map_err(|errno| failed("set SO_RXQ_OVFL")(errno.into()))?;
        if setsockopt(&socket, sockopt::RcvBufForce, &bytes).is_err() {
            socket.set_recv_buffer_size(bytes).map_err(failed("set SO_RCVBUF"))?;
        }
        let receive_buffer = socket.recv_buffer_size().map_err(failed("read SO_RCVBUF"))?;
        socket.bind(&SockAddr::from(wanted)).map_err(|source| BindError::of(service, wanted, source))?;
        let bound = socket.local_addr().map_err(failed("read its address"))?;
        let address = bound.as_socket_ipv4().unwrap_or(wanted);
        Ok(Self { socket: socket.into(), address, receive_buffer })
    }

    /// The address it is bound to; the real port where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Bytes that the kernel holds for it, its own bookkeeping included (about as much again as the datagrams).
    #[must_use]
    pub const fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// The socket itself.
    #[must_use]
    pub fn into_inner(self) -> UdpSocket {
        self.socket
    }
}

/// Why an address could not be bound. The text is one message for the operator: what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel lets only privileged processes bind low ports.
    #[error(
        "cannot hear on UDP {address}: ports below 1024 need CAP_NET_BIND_SERVICE; start it by its systemd unit, or run \
         `setcap cap_net_bind_service=+ep` on the program, or set {} to a high port such as {}:{}",
        service.setting(), address.ip(), service.high_port()
    )]
    NotPermitted {
        /// What was to be heard there.
        service: Service,
        /// What was asked for.
        address: SocketAddrV4,
    },
    /// Somebody else has it.
    #[error("cannot hear on UDP {address}: {taken}")]
    InUse {
        /// What was asked for.
        address: SocketAddrV4,
        /// By whom, and what to do.
        taken: Taken,
    },
    /// The host does not have the address.
    #[error(
        "cannot hear on UDP {address}: no interface of this host has {}; `ip address` shows those it has, and 0.0.0.0 in \
         {} hears on all of them, broadcasts included",
        address.ip(), service.setting()
    )]
    NotOurs {
        /// What was to be heard there.
        service: Service,
        /// What was asked for.
        address: SocketAddrV4,
    },
    /// NetBIOS over UDP is defined for IPv4 only (RFC 1002 §4).
    #[error(
        "cannot hear on UDP {address}: NetBIOS exists on IPv4 only; set {} to an IPv4 address, for example 0.0.0.0:{}",
        service.setting(), service.port()
    )]
    NotIpv4 {
        /// What was to be heard there.
        service: Service,
        /// What was asked for.
        address: SocketAddr,
    },
    /// Anything else the kernel refuses.
    #[error("cannot hear on UDP {address}: cannot {operation}: {source}")]
    Io {
        /// What was asked for.
        address: SocketAddrV4,
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    fn of(service: Service, address: SocketAddrV4, source: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of errors are the kernel's, not ours")]
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { service, address },
            io::ErrorKind::AddrInUse => {
                let taken = Taken::find(owner::Protocol::Udp, address.into(), service.setting().to_owned());
                Self::InUse { address, taken }
            }
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { service, address },
            _ => Self::Io { address, operation: "bind it", source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::listen::owner::Owner;

    fn any(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)
    }

    #[test]
    fn a_low_port_without_the_privilege_gets_three_ways_out() {
        let text =
            BindError::of(Service::Datagram, any(138), io::Error::from_raw_os_error(nix::libc::EACCES))
                .to_string();
        assert_eq!(
            text,
            "cannot hear on UDP 0.0.0.0:138: ports below 1024 need CAP_NET_BIND_SERVICE; start it by its systemd unit, or \
             run `setcap cap_net_bind_service=+ep` on the program, or set `listeners.datagram.address` to a high port such \
             as 0.0.0.0:10138"
        );
    }

    #[test]
    fn for_the_name_service_the_ways_out_are_its_own() {
        let text = BindError::of(Service::Name, any(137), io::Error::from_raw_os_error(nix::libc::EACCES))
            .to_string();
        assert!(
            text.ends_with("set `listeners.name_service.address` to a high port such as 0.0.0.0:10137"),
            "{text}"
        );
    }

    #[test]
    fn an_address_of_another_host_is_said_to_be_so() {
        let error = DatagramSocket::bind("192.0.2.77:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
        assert!(error.to_string().starts_with(
            "cannot hear on UDP 192.0.2.77:0: no interface of this host has 192.0.2.77; `ip address` shows"
        ));
    }

    #[test]
    fn netbios_is_not_offered_on_ipv6() {
        let error = DatagramSocket::bind("[::1]:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, BindError::NotIpv4 { .. }), "{error}");
    }

    #[test]
    fn the_port_is_not_shared_even_with_this_process() {
        let first = DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = DatagramSocket::bind(first.address().into()).unwrap_err();
        let BindError::InUse { taken, .. } = &error else {
            panic!("{error}");
        };
        assert!(matches!(taken.owner(), Owner::Process { pid, .. } if *pid == std::process::id()), "{error}");
    }

    #[test]
    fn the_receive_buffer_that_was_given_is_reported() {
        let address = "127.0.0.1:0".parse().unwrap();
        let large = DatagramSocket::bind(address).unwrap();
        let small = DatagramSocket::bind_with_buffer(address, 8192).unwrap();
        assert_eq!(small.receive_buffer(), 16_384, "the kernel doubles what is asked for");
        assert!(large.receive_buffer() > small.receive_buffer());
    }
}
