//! From a frame of some link to the payload of UDP or TCP; IPv4 fragments on the way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::defrag::IpDefragBuf;
use etherparse::{
    EtherType, IpNumber, Ipv4Slice, NetSlice, SlicedPacket, TcpSlice, TransportSlice, UdpSlice,
};
use jiff::{SignedDuration, Timestamp};

use super::{Frame, Packet, Skipped, Transport};

/// Reads frames one after another; keeps unfinished IPv4 packets.
#[derive(Default)]
pub(super) struct Network {
    unfinished: HashMap<FragmentKey, Unfinished>,
    skipped: Skipped,
}

#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct FragmentKey {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    identification: u16,
    protocol: u8,
}

struct Unfinished {
    pieces: IpDefragBuf,
    count: u64,
    first_at: Timestamp,
}

/// Whether frames of this link type are read.
pub(super) const fn is_known(link_type: u16) -> bool {
    matches!(
        link_type,
        NULL | ETHERNET | RAW_BSD | RAW_OPENBSD | RAW | LOOP | LINUX_SLL | IPV4 | IPV6 | LINUX_SLL2
    )
}

impl Network {
    /// The packet in a frame, or the one that a last fragment completes.
    pub(super) fn packet(&mut self, number: u64, frame: &Frame) -> Option<Packet> {
        if !is_known(frame.link_type) {
            self.skipped.unknown_link_types += 1;
            return None;
        }
        let Some(sliced) = slice(frame) else {
            self.skipped.cut_or_damaged += 1;
            return None;
        };
        let addresses = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header();
                if header.is_fragmenting_payload() {
                    return self.fragment(number, frame.at, ip);
                }
                (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr()))
            }
            Some(NetSlice::Ipv6(ip)) => {
                (IpAddr::from(ip.header().source_addr()), IpAddr::from(ip.header().destination_addr()))
            }
            Some(NetSlice::Arp(_)) | None => {
                self.skipped.other_protocols += 1;
                return None;
            }
        };
        let found = sliced.transport.as_ref().and_then(Segment::of).map(|segment| Packet {
            frame: number,
            at: frame.at,
            transport: segment.transport,
            source: SocketAddr::new(addresses.0, segment.ports.0),
            destination: SocketAddr::new(addresses.1, segment.ports.1),
            sequence: segment.sequence,
            payload: segment.payload.to_vec(),
        });
        self.skipped.other_protocols += u64::from(found.is_none());
        found
    }

    /// Frames that gave no packet so far, fragments that still wait among them.
    pub(super) fn skipped(&self) -> Skipped {
        let waiting: u64 = self.unfinished.values().map(|packet| packet.count).sum();
        Skipped { lone_fragments: self.skipped.lone_fragments + waiting, ..self.skipped }
    }

    fn fragment(&mut self, number: u64, at: Timestamp, ip: &Ipv4Slice<'_>) -> Option<Packet> {
        self.forget_old(at);
        let header = ip.header();
        let key = FragmentKey {
            source: header.source_addr(),
            destination: header.destination_addr(),
            identification: header.identification(),
            protocol: ip.payload().ip_number.0,
        };
        let waiting = self.unfinished.entry(key).or_insert_with(|| Unfinished {
            pieces: IpDefragBuf::new(ip.payload().ip_number, Vec::new(), Vec::new()),
            count: 0,
            first_at: at,
        });
        waiting.count += 1;
        let added =
            waiting.pieces.add(header.fragments_offset(), header.more_fragments(), ip.payload().payload);
        if added.is_ok() && !waiting.pieces.is_complete() {
            return None;
        }
        let waiting = self.unfinished.remove(&key)?;
        if added.is_err() {
            self.skipped.lone_fragments += waiting.count;
            return None;
        }
        let Some(segment) = Segment::parse(waiting.pieces.ip_number(), waiting.pieces.data()) else {
            self.skipped.other_protocols += waiting.count;
            return None;
        };
        Some(Packet {
            frame: number,
            at,
            transport: segment.transport,
            source: SocketAddr::new(key.source.into(), segment.ports.0),
            destination: SocketAddr::new(key.destination.into(), segment.ports.1),
            sequence: segment.sequence,
            payload: segment.payload.to_vec(),
        })
    }

    /// Drops what is too old (RFC 791 §3.2) and, past the limit, the oldest.
    fn forget_old(&mut self, now: Timestamp) {
        let lost = &mut self.skipped.lone_fragments;
        self.unfinished.retain(|_, waiting| {
            let keep = now.duration_since(waiting.first_at) <= REASSEMBLY_TIME;
            *lost += if keep { 0 } else { waiting.count };
            keep
        });
        if self.unfinished.len() >= MAX_UNFINISHED {
            let oldest =
                self.unfinished.iter().min_by_key(|(_, waiting)| waiting.first_at).map(|(key, _)| *key);
            if let Some(waiting) = oldest.and_then(|key| self.unfinished.remove(&key)) {
                self.skipped.lone_fragments += waiting.count;
            }
        }
    }
}

/// The headers of a frame; `None` where it is shorter than they say.
fn slice(frame: &Frame) -> Option<SlicedPacket<'_>> {
    let bytes = frame.bytes.as_slice();
    match frame.link_type {
        ETHERNET => SlicedPacket::from_ethernet(bytes).ok(),
        NULL | LOOP => SlicedPacket::from_ip(bytes.get(4..)?).ok(),
        LINUX_SLL => after_ether_type(bytes, 14, 16),
        LINUX_SLL2 => after_ether_type(bytes, 0, 20),
        _ => SlicedPacket::from_ip(bytes).ok(),
    }
}

/// The packet behind a cooked header of `length` bytes with its protocol at `at`.
fn after_ether_type(bytes: &[u8], at: usize, length: usize) -> Option<SlicedPacket<'_>> {
    let protocol = u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    SlicedPacket::from_ether_type(EtherType(protocol), bytes.get(length..)?).ok()
}

struct Segment<'a> {
    transport: Transport,
    /// Source and destination.
    ports: (u16, u16),
    sequence: Option<u32>,
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    fn of(transport: &TransportSlice<'a>) -> Option<Self> {
        match transport {
            TransportSlice::Udp(udp) => Some(Self::udp(udp)),
            TransportSlice::Tcp(tcp) => Some(Self::tcp(tcp)),
            TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => None,
        }
    }

    fn parse(protocol: IpNumber, bytes: &'a [u8]) -> Option<Self> {
        match protocol {
            IpNumber::UDP => UdpSlice::from_slice(bytes).ok().as_ref().map(Self::udp),
            IpNumber::TCP => TcpSlice::from_slice(bytes).ok().as_ref().map(Self::tcp),
            _ => None,
        }
    }

    fn udp(udp: &UdpSlice<'a>) -> Self {
        let ports = (udp.source_port(), udp.destination_port());
        Self { transport: Transport::Udp, ports, sequence: None, payload: udp.payload() }
    }

    fn tcp(tcp: &TcpSlice<'a>) -> Self {
        let ports = (tcp.source_port(), tcp.destination_port());
        let sequence = Some(tcp.sequence_number());
        Self { transport: Transport::Tcp, ports, sequence, payload: tcp.payload() }
    }
}

const REASSEMBLY_TIME: SignedDuration = SignedDuration::from_secs(30);

/// IPv4 packets in pieces at once; each takes at most 64 KiB.
const MAX_UNFINISHED: usize = 256;

/// Link types, as the registry of the pcap formats numbers them.
const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW_BSD: u16 = 12;
const RAW_OPENBSD: u16 = 14;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;
