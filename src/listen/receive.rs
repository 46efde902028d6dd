//! Datagrams from the kernel, many in one call, with where each was addressed and how many the kernel lost.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

use nix::libc::in_pktinfo;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, recvmmsg};

/// One datagram as the kernel gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// All of its payload.
    pub bytes: &'a [u8],
    /// Address and port it came from.
    pub source: SocketAddr,
    /// The destination of its IP header: our own address, or a broadcast one.
    pub destination: Option<IpAddr>,
    /// Index of the interface it came in by.
    pub interface: Option<u32>,
}

/// What one call brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// How many datagrams.
    pub datagrams: usize,
    /// How many more the kernel dropped since the previous call because its buffer was full.
    ///
    /// The kernel tells it along with a datagram, so losses at the end of a burst are counted with the next datagram
    /// that gets in.
    pub dropped: u32,
}

/// Room for [`Batch::SIZE`] datagrams of any length.
///
/// The room is 2 MiB of addresses, but memory only where datagrams have been: the usual ones, under 600 bytes, touch
/// a page or two of each slot.
#[derive(Debug)]
pub struct Batch {
    room: Vec<u8>,
    dropped: u32,
}

impl Batch {
    /// The most datagrams of one call. Twice as many measured no faster.
    pub const SIZE: usize = 32;

    /// Empty room.
    #[must_use]
    pub fn new() -> Self {
        Self { room: vec![0; Self::SIZE * SLOT], dropped: 0 }
    }

    /// Reads what waits, up to [`Batch::SIZE`] datagrams, and hands each to `take` in the order of arrival. Never
    /// blocks.
    ///
    /// # Errors
    /// `WouldBlock` when nothing waits; else what the kernel reports for the socket. Datagrams that were read before
    /// an error are handed out, and the error comes with the next call.
    pub fn receive(&mut self, socket: &impl AsRawFd, mut take: impl FnMut(Received<'_>)) -> io::Result<Read> {
        // The headers are made anew each time: the kernel shortens the length of the control buffer to what it used,
        // and `MultiHeaders` does not restore it, so the drop counter, which comes only after the first loss, would
        // never find room.
        let control = nix::cmsg_space!(in_pktinfo, u32);
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(Self::SIZE, Some(control));
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            self.room.chunks_exact_mut(SLOT).map(|slot| [IoSliceMut::new(slot)]).collect();
        let messages =
            recvmmsg(socket.as_raw_fd(), &mut headers, slots.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut datagrams = 0;
        let mut counter = self.dropped;
        for message in messages {
            datagrams += 1;
            let (received, total) = read(&message);
            counter = total.unwrap_or(counter);
            take(received);
        }
        let dropped = counter.wrapping_sub(self.dropped);
        self.dropped = counter;
        Ok(Read { datagrams, dropped })
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// The datagram of one header, and the socket's count of drops since it was opened, which is absent until the first.
fn read<'a>(message: &RecvMsg<'_, 'a, SockaddrIn>) -> (Received<'a>, Option<u32>) {
    let source = message.address.map_or(NOBODY, SocketAddrV4::from);
    let bytes = message.iovs().next().unwrap_or_default();
    let mut received = Received { bytes, source: source.into(), destination: None, interface: None };
    let mut total = None;
    for control in message.cmsgs().into_iter().flatten() {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only these two were asked for")]
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                received.destination = Some(address.into());
                received.interface = u32::try_from(info.ipi_ifindex).ok().filter(|&index| index != 0);
            }
            ControlMessageOwned::RxqOvfl(count) => total = Some(count),
            _ => {}
        }
    }
    (received, total)
}

/// A slot holds the longest UDP payload (65 507 bytes) and is an odd number of cache lines long, so that the first
/// lines of the slots, which are the ones in use, do not compete for the same few places of the cache.
const SLOT: usize = 1025 * 64;

const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::listen::socket::DatagramSocket;

    fn pair(receive_buffer: usize) -> (UdpSocket, UdpSocket) {
        let bound = DatagramSocket::bind_with_buffer("0.0.0.0:0".parse().unwrap(), receive_buffer).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(("127.0.0.1", bound.address().port())).unwrap();
        sender.set_broadcast(true).unwrap();
        (bound.into_inner(), sender)
    }

    fn receive_all(batch: &mut Batch, socket: &UdpSocket) -> (Vec<Vec<u8>>, u32) {
        let (mut all, mut dropped) = (Vec::new(), 0);
        loop {
            match batch.receive(socket, |received| all.push(received.bytes.to_vec())) {
                Ok(read) => dropped += read.dropped,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    return (all, dropped);
                }
            }
        }
    }

    #[test]
    fn a_datagram_tells_source_destination_and_interface() {
        let (socket, sender) = pair(1 << 20);
        sender.send(b"one").unwrap();
        let mut seen = Vec::new();
        let read = Batch::new().receive(&socket, |received| {
            seen.push((received.bytes.to_vec(), received.source, received.destination, received.interface));
        });
        assert_eq!(read.unwrap(), Read { datagrams: 1, dropped: 0 });
        let loopback = Some(nix::net::if_::if_nametoindex("lo").unwrap());
        let destination = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(seen, [(b"one".to_vec(), sender.local_addr().unwrap(), destination, loopback)]);
    }

    #[test]
    fn more_than_a_batch_comes_in_order_and_empty_or_greatest_datagrams_are_whole() {
        let (socket, sender) = pair(4 << 20);
        let mut batch = Batch::new();
        let mut sent: Vec<Vec<u8>> = (0..Batch::SIZE * 2 + 3).map(|n| n.to_be_bytes().to_vec()).collect();
        sent.push(Vec::new());
        sent.push(vec![7; 65_507]);
        for bytes in &sent {
            sender.send(bytes).unwrap();
        }
        assert!(receive_all(&mut batch, &socket) == (sent, 0));
    }

    #[test]
    fn what_the_kernel_drops_is_counted_though_earlier_reads_saw_no_drop() {
        let (socket, sender) = pair(4096);
        let mut batch = Batch::new();
        sender.send(b"early").unwrap();
        assert_eq!(receive_all(&mut batch, &socket), (vec![b"early".to_vec()], 0));
        for round in 1..=2 {
            for _ in 0..200 {
                sender.send(&[0; 512]).unwrap();
            }
            let (burst, dropped_before) = receive_all(&mut batch, &socket);
            sender.send(b"after").unwrap();
            let (after, dropped) = receive_all(&mut batch, &socket);
            assert_eq!(after.len(), 1);
            let heard = u32::try_from(burst.len()).unwrap();
            assert!(heard < 200, "round {round}: the buffer is too small for all");
            assert_eq!(heard + dropped_before + dropped, 200, "round {round}");
        }
    }
}
