//! The socket on UDP 138, and why it could not be had.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

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

    /// Binds `address`, with a large receive buffer.
    ///
    /// # Errors
    /// [`BindError`], whose text tells the operator what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::bind_with_buffer(address, Self::RECEIVE_BUFFER)
    }

    /// Binds `address` with a receive buffer of about `bytes`; without `CAP_NET_ADMIN` the kernel gives no more than
    /// `net.core.rmem_max`.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_with_buffer(address: SocketAddr, bytes: usize) -> Result<Self, BindError> {
        let SocketAddr::V4(wanted) = address else {
            return Err(BindError::NotIpv4 { address });
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
        socket.bind(&SockAddr::from(wanted)).map_err(|source| BindError::of(wanted, source))?;
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
         `setcap cap_net_bind_service=+ep` on the program, or set `listeners.datagram.address` to a high port such as \
         {}:10138",
        address.ip()
    )]
    NotPermitted {
        /// What was asked for.
        address: SocketAddrV4,
    },
    /// Somebody else has it.
    #[error("cannot hear on UDP {address}: {owner}")]
    InUse {
        /// What was asked for.
        address: SocketAddrV4,
        /// Who has it.
        owner: Owner,
    },
    /// The host does not have the address.
    #[error(
        "cannot hear on UDP {address}: no interface of this host has {}; `ip address` shows those it has, and 0.0.0.0 in \
         `listeners.datagram.address` hears on all of them, broadcasts included",
        address.ip()
    )]
    NotOurs {
        /// What was asked for.
        address: SocketAddrV4,
    },
    /// NetBIOS over UDP is defined for IPv4 only (RFC 1002 §4).
    #[error(
        "cannot hear on UDP {address}: NetBIOS datagrams exist on IPv4 only; set `listeners.datagram.address` to an \
         IPv4 address, for example 0.0.0.0:138"
    )]
    NotIpv4 {
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
    fn of(address: SocketAddrV4, source: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of errors are the kernel's, not ours")]
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            io::ErrorKind::AddrInUse => {
                Self::InUse { address, owner: Owner::find(Path::new("/proc"), address) }
            }
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            _ => Self::Io { address, operation: "bind it", source },
        }
    }
}

/// Who holds a UDP port; its text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This process.
    Process {
        /// Its name, as the kernel keeps it: at most 15 bytes.
        name: String,
        /// Its id.
        pid: u32,
    },
    /// A process of another user, or of another container.
    Hidden {
        /// The port.
        port: u16,
    },
}

impl Owner {
    /// Looks through the sockets and processes under `proc`, which is `/proc` outside tests.
    fn find(proc: &Path, wanted: SocketAddrV4) -> Self {
        let inodes: Vec<u64> = ["net/udp", "net/udp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(proc.join(table)).ok())
            .flat_map(|table| inodes_in_conflict(&table, wanted))
            .collect();
        process_with_socket(proc, &inodes).unwrap_or(Self::Hidden { port: wanted.port() })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, pid) = match self {
            Self::Process { name, pid } => (name.as_str(), pid),
            Self::Hidden { port } => {
                return write!(
                    f,
                    "another process holds it; `ss -ulpn sport = :{port}` as root names it: stop that one, or set \
                     `listeners.datagram.address` to another port"
                );
            }
        };
        write!(f, "{} (pid {pid}) holds it; ", name.escape_debug())?;
        match name {
            "nmbd" => f.write_str(
                "stop it with `systemctl disable --now nmbd`, or set `disable netbios = yes` in smb.conf and restart Samba",
            ),
            "samba" => f.write_str("remove `nbt` from `server services` in smb.conf and restart Samba"),
            "mailslotd" => f.write_str("one gateway is enough for a host: stop that one first"),
            _ => f.write_str("stop it, or set `listeners.datagram.address` to another port"),
        }
    }
}

/// The inodes of the sockets in a table like `/proc/net/udp` that keep `wanted` from being bound.
fn inodes_in_conflict(table: &str, wanted: SocketAddrV4) -> Vec<u64> {
    let row = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (address, port) = columns.nth(1)?.split_once(':')?;
        let inode = columns.nth(7)?.parse().ok()?;
        let same_port = u16::from_str_radix(port, 16).ok()? == wanted.port();
        (same_port && addresses_collide(address, *wanted.ip())).then_some(inode)
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Whether a socket bound to `bound`, hexadecimal as the kernel prints it, gets datagrams that `wanted` would get.
fn addresses_collide(bound: &str, wanted: Ipv4Addr) -> bool {
    // An IPv6 socket on `::` takes IPv4 too; one on a mapped address ends in that address.
    let (v6, v4) = bound.split_at_checked(bound.len().saturating_sub(8)).unwrap_or(("", bound));
    let any_or_mapped = v6.bytes().all(|digit| digit == b'0') || v6.eq_ignore_ascii_case(MAPPED);
    let Ok(number) = u32::from_str_radix(v4, 16) else {
        return false;
    };
    // Network order in memory, printed as one number of this machine.
    let bound = Ipv4Addr::from(number.to_ne_bytes());
    any_or_mapped && (bound.is_unspecified() || wanted.is_unspecified() || bound == wanted)
}

/// `::ffff:0:0/96` as the kernel prints it on a little-endian machine.
const MAPPED: &str = "0000000000000000FFFF0000";

/// The first process that has one of these sockets open, as far as this user may see.
fn process_with_socket(proc: &Path, inodes: &[u64]) -> Option<Owner> {
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir(proc).ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = open.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name = if name.trim_end().is_empty() { "a process" } else { name.trim_end() };
            return Some(Owner::Process { name: name.to_owned(), pid });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  231: 00000000:008A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15701 2 0000000000000000 0
  232: 0A0200C0:008A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15702 2 0000000000000000 0
  233: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 15703 2 0000000000000000 0
";
    const TABLE6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  231: 00000000000000000000000000000000:008A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15801 2 0000000000000000 0
  232: 000080FE00000000FF005450B6AD1DFE:008A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15802 2 0000000000000000 0
";

    fn any(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_on_the_same_port_and_an_overlapping_address_are_in_conflict() {
        assert_eq!(inodes_in_conflict(TABLE, any(138)), [15701, 15702]);
        let one = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 11), 138);
        assert_eq!(inodes_in_conflict(TABLE, one), [15701], "192.0.2.10 is another's");
        assert!(inodes_in_conflict(TABLE, any(139)).is_empty());
        assert_eq!(inodes_in_conflict(TABLE6, any(138)), [15801], "a link-local IPv6 socket takes no IPv4");
        assert!(inodes_in_conflict("no table at all", any(138)).is_empty());
    }

    #[test]
    fn nmbd_is_named_with_the_ways_to_stop_it() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("net")).unwrap();
        fs::create_dir_all(proc.path().join("123/fd")).unwrap();
        fs::write(proc.path().join("net/udp"), TABLE).unwrap();
        fs::write(proc.path().join("123/comm"), "nmbd\n").unwrap();
        symlink("socket:[15701]", proc.path().join("123/fd/9")).unwrap();
        let owner = Owner::find(proc.path(), any(138));
        assert_eq!(
            BindError::InUse { address: any(138), owner }.to_string(),
            "cannot hear on UDP 0.0.0.0:138: nmbd (pid 123) holds it; stop it with `systemctl disable --now nmbd`, or set \
             `disable netbios = yes` in smb.conf and restart Samba"
        );
    }

    #[test]
    fn an_owner_that_may_not_be_seen_is_told_how_to_find() {
        let proc = tempfile::tempdir().unwrap();
        let owner = Owner::find(proc.path(), any(138));
        assert_eq!(owner, Owner::Hidden { port: 138 });
        assert!(owner.to_string().contains("`ss -ulpn sport = :138` as root names it"));
    }

    #[test]
    fn a_process_cannot_write_control_characters_into_the_message() {
        let owner = Owner::Process { name: "a\u{1b}[2Jb".to_owned(), pid: 7 };
        assert!(owner.to_string().starts_with(r"a\u{1b}[2Jb (pid 7) holds it; "));
    }

    #[test]
    fn a_low_port_without_the_privilege_gets_three_ways_out() {
        let text = BindError::of(any(138), io::Error::from_raw_os_error(nix::libc::EACCES)).to_string();
        assert_eq!(
            text,
            "cannot hear on UDP 0.0.0.0:138: ports below 1024 need CAP_NET_BIND_SERVICE; start it by its systemd unit, or \
             run `setcap cap_net_bind_service=+ep` on the program, or set `listeners.datagram.address` to a high port such \
             as 0.0.0.0:10138"
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
        let BindError::InUse { owner: Owner::Process { pid, .. }, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*pid, std::process::id());
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
