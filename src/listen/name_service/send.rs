//! Packets from a chosen address by a chosen interface.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use crate::session::name_owner::Datagram;

/// Sends it now or not at all. A socket on all addresses would else answer from the address that the routes prefer, which
/// need not be the one that was asked, and would broadcast on one interface only.
///
/// # Errors
/// What the kernel reports; `WouldBlock` when its buffer is full.
pub(super) fn send(socket: &impl AsRawFd, datagram: &Datagram) -> io::Result<()> {
    let from = in_addr { s_addr: u32::from_ne_bytes(datagram.from.octets()) };
    let interface = datagram.interface.and_then(|index| i32::try_from(index).ok()).unwrap_or(ANY);
    let info = in_pktinfo { ipi_ifindex: interface, ipi_spec_dst: from, ipi_addr: in_addr { s_addr: 0 } };
    let payload = [IoSlice::new(&datagram.payload)];
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    let to = SockaddrIn::from(datagram.to);
    sendmsg(socket.as_raw_fd(), &payload, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

/// The interface that the routes say.
const ANY: i32 = 0;
