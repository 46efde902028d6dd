use std::borrow::Cow;

use etherparse::{EtherType, IpNumber, Ipv4Header, PacketBuilder, SingleVlanHeader, UdpHeader, VlanId};
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::blocks::simple_packet::SimplePacketBlock;
use pcap_file::{DataLink, Endianness};

use super::*;

const SOURCE: [u8; 4] = [192, 0, 2, 7];
const BROADCAST: [u8; 4] = [192, 0, 2, 255];
const PAYLOAD: &[u8] = b"what a legacy sender says";

/// An IPv4 packet with UDP from port 138 to port 138.
fn ip_packet(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(SOURCE, BROADCAST, 64).udp(138, 138);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[0xFF; 6][..], &[2, 0, 0, 0, 0, 1], &ether_type.to_be_bytes(), payload].concat()
}

fn vlan(id: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let header = SingleVlanHeader {
        vlan_id: VlanId::try_new(id).unwrap(),
        ether_type: EtherType(ether_type),
        ..SingleVlanHeader::default()
    };
    [&header.to_bytes()[..], payload].concat()
}

fn pcap_of(link: DataLink, order: Endianness, resolution: TsResolution, frames: &[Vec<u8>]) -> Vec<u8> {
    let header =
        PcapHeader { datalink: link, endianness: order, ts_resolution: resolution, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap();
        let data = Cow::Borrowed(frame.as_slice());
        let packet =
            RawPcapPacket { ts_sec: 1_800_000_000, ts_frac: 250, incl_len: length, orig_len: length, data };
        writer.write_raw_packet(&packet).unwrap();
    }
    writer.into_writer()
}

fn pcap(link: DataLink, frames: &[Vec<u8>]) -> Vec<u8> {
    pcap_of(link, Endianness::Little, TsResolution::MicroSecond, frames)
}

fn read(file: Vec<u8>) -> (Vec<Packet>, Option<CaptureError>, Skipped) {
    let mut capture = Capture::new(Cursor::new(file)).unwrap();
    let (mut packets, mut error) = (Vec::new(), None);
    for item in &mut capture {
        match item {
            Ok(packet) => packets.push(packet),
            Err(last) => error = Some(last),
        }
    }
    (packets, error, capture.skipped())
}

fn expected(at: &str) -> Packet {
    Packet {
        frame: 1,
        at: at.parse().unwrap(),
        transport: Transport::Udp,
        source: SocketAddr::from((SOURCE, 138)),
        destination: SocketAddr::from((BROADCAST, 138)),
        sequence: None,
        payload: PAYLOAD.to_vec(),
    }
}

#[test]
fn the_same_datagram_is_found_on_every_link() {
    let ip = ip_packet(PAYLOAD);
    let cooked_v1 = [&[0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &ip].concat();
    let cooked_v2 = [&[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &ip].concat();
    let in_vlan = ethernet(0x8100, &vlan(5, 0x0800, &ip));
    let in_two_vlans = ethernet(0x88A8, &vlan(100, 0x8100, &vlan(5, 0x0800, &ip)));
    let cases = [
        (DataLink::ETHERNET, ethernet(0x0800, &ip)),
        (DataLink::ETHERNET, [ethernet(0x0800, &ip), vec![0; 6]].concat()),
        (DataLink::ETHERNET, in_vlan),
        (DataLink::ETHERNET, in_two_vlans),
        (DataLink::LINUX_SLL, cooked_v1),
        (DataLink::LINUX_SLL2, cooked_v2),
        (DataLink::RAW, ip.clone()),
        (DataLink::IPV4, ip.clone()),
        (DataLink::NULL, [&2_u32.to_le_bytes()[..], &ip].concat()),
        (DataLink::LOOP, [&2_u32.to_be_bytes()[..], &ip].concat()),
        // The upper bits tell of a frame check sequence.
        (DataLink::Unknown(0x4400_0001), ethernet(0x0800, &ip)),
    ];
    for (link, frame) in cases {
        let (packets, error, skipped) = read(pcap(link, &[frame]));
        assert_eq!(packets, [expected("2027-01-15T08:00:00.00025Z")], "{link:?}");
        assert!(error.is_none() && skipped == Skipped::default(), "{link:?}: {error:?} {skipped:?}");
    }
}

#[test]
fn byte_order_and_resolution_of_a_pcap_file_are_honoured() {
    for order in [Endianness::Big, Endianness::Little] {
        let file = pcap_of(DataLink::RAW, order, TsResolution::NanoSecond, &[ip_packet(PAYLOAD)]);
        assert_eq!(read(file).0, [expected("2027-01-15T08:00:00.00000025Z")]);
    }
}

#[test]
fn tcp_and_ipv6_are_told_apart_and_the_rest_is_counted() {
    let mut tcp = Vec::new();
    PacketBuilder::ipv4(SOURCE, [192, 0, 2, 1], 64).tcp(1025, 139, 1, 512).write(&mut tcp, b"x").unwrap();
    let mut over_ipv6 = Vec::new();
    PacketBuilder::ipv6([0xFE; 16], [0xFD; 16], 64).udp(1, 2).write(&mut over_ipv6, b"y").unwrap();
    let mut ping = Vec::new();
    PacketBuilder::ipv4(SOURCE, [192, 0, 2, 1], 64).icmpv4_echo_request(1, 1).write(&mut ping, b"").unwrap();
    let mut short = ip_packet(PAYLOAD);
    short.truncate(30);
    let (packets, error, skipped) = read(pcap(DataLink::RAW, &[tcp, over_ipv6, ping, short]));
    let seen: Vec<_> = packets.iter().map(|packet| (packet.frame, packet.transport)).collect();
    assert_eq!(seen, [(1, Transport::Tcp), (2, Transport::Udp)]);
    assert_eq!(packets[0].destination.to_string(), "192.0.2.1:139");
    assert_eq!(skipped, Skipped { other_protocols: 1, cut_or_damaged: 1, ..Skipped::default() });
    assert!(error.is_none());
}

/// Pieces of one UDP datagram; `at` in units of eight bytes.
fn fragments(identification: u16, payload: &[u8], pieces: &[(usize, usize)]) -> Vec<Vec<u8>> {
    let length = payload.len();
    let header = UdpHeader::with_ipv4_checksum(
        138,
        138,
        &Ipv4Header::new(0, 64, IpNumber::UDP, SOURCE, BROADCAST).unwrap(),
        payload,
    );
    let udp = [&header.unwrap().to_bytes()[..], payload].concat();
    let piece = |&(from, to): &(usize, usize)| {
        let to = to.min(length + 8);
        let part = &udp[from..to];
        let size = u16::try_from(part.len()).unwrap();
        let mut ip = Ipv4Header::new(size, 64, IpNumber::UDP, SOURCE, BROADCAST).unwrap();
        ip.identification = identification;
        ip.fragment_offset = u16::try_from(from / 8).unwrap().try_into().unwrap();
        ip.more_fragments = to < length + 8;
        ip.header_checksum = ip.calc_header_checksum();
        [&ip.to_bytes()[..], part].concat()
    };
    pieces.iter().map(piece).collect()
}

#[test]
fn ipv4_fragments_in_any_order_become_one_datagram() {
    let payload: Vec<u8> = (0..600_u16).map(|n| n.to_be_bytes()[1]).collect();
    for pieces in [[(0, 256), (256, 512), (512, 999)], [(512, 999), (0, 256), (256, 512)]] {
        let (packets, _, skipped) = read(pcap(DataLink::RAW, &fragments(7, &payload, &pieces)));
        assert_eq!(packets.len(), 1, "{pieces:?}");
        assert_eq!((packets[0].frame, &packets[0].payload), (3, &payload));
        assert_eq!(skipped, Skipped::default());
    }
}

#[test]
fn fragments_without_their_other_part_are_counted_and_bounded() {
    let many = 3 * 256_u16;
    let lone: Vec<_> = (0..many).flat_map(|id| fragments(id, PAYLOAD, &[(0, 16)])).collect();
    let (packets, _, skipped) = read(pcap(DataLink::RAW, &lone));
    assert_eq!(packets, []);
    assert_eq!(skipped, Skipped { lone_fragments: many.into(), ..Skipped::default() });
}

#[test]
fn a_file_cut_short_gives_what_it_holds_and_then_says_so() {
    let mut file = pcap(DataLink::RAW, &[ip_packet(PAYLOAD), ip_packet(PAYLOAD)]);
    file.truncate(file.len() - 1);
    let (packets, error, _) = read(file);
    assert_eq!(packets.len(), 1);
    assert_eq!(
        error.unwrap().to_string(),
        "the file ends in the middle of what follows frame 1, or a length there is damaged"
    );
}

#[test]
fn what_is_no_capture_or_of_another_link_is_refused_by_name() {
    for bytes in [&b""[..], b"\x1F\x8B", b"\x1F\x8B\x08\x00 compressed", b"10020abc"] {
        let error = Capture::new(Cursor::new(bytes.to_vec())).err().unwrap();
        assert!(matches!(error, CaptureError::NotACapture), "{error}");
    }
    let wireless = pcap(DataLink::IEEE802_11, &[vec![0; 40]]);
    let error = Capture::new(Cursor::new(wireless)).err().unwrap().to_string();
    assert!(error.starts_with("its frames have link type 105,"), "{error}");
}

/// One Ethernet interface that counts in nanoseconds, one of wireless frames; a frame of each, and one without time.
fn pcapng(order: Endianness) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), order).unwrap();
    let mut nanoseconds = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
    nanoseconds.options.push(InterfaceDescriptionOption::IfTsResol(9));
    writer.write_pcapng_block(nanoseconds).unwrap();
    writer.write_pcapng_block(InterfaceDescriptionBlock::new(DataLink::IEEE802_11, 0)).unwrap();
    let frame = ethernet(0x0800, &ip_packet(PAYLOAD));
    let original_len = u32::try_from(frame.len()).unwrap();
    // The library writes nanoseconds whatever the interface says: the second one counts in microseconds.
    for (interface_id, units) in [(0, 1_800_000_000_000_250_000), (1, 1_800_000_000_000_250)] {
        let timestamp = std::time::Duration::from_nanos(units);
        let data = Cow::Borrowed(frame.as_slice());
        let block = EnhancedPacketBlock { interface_id, timestamp, original_len, data, options: Vec::new() };
        writer.write_pcapng_block(block).unwrap();
    }
    let simple = SimplePacketBlock { original_len, data: Cow::Borrowed(frame.as_slice()) };
    writer.write_pcapng_block(simple).unwrap();
    writer.into_inner()
}

#[test]
fn pcapng_interfaces_have_their_own_link_type_and_clock() {
    for order in [Endianness::Big, Endianness::Little] {
        let (packets, error, skipped) = read(pcapng(order));
        let first = expected("2027-01-15T08:00:00.00025Z");
        assert_eq!(packets, [first.clone(), Packet { frame: 3, ..first }]);
        assert_eq!(skipped, Skipped { unknown_link_types: 1, ..Skipped::default() });
        assert!(error.is_none(), "{error:?}");
    }
}

#[test]
fn units_of_time_follow_the_interfaces_options() {
    use InterfaceDescriptionOption::{IfTsOffset, IfTsResol};
    assert_eq!(nanoseconds(1_500_000, &[]), 1_500_000_000);
    assert_eq!(nanoseconds(1_500, &[IfTsResol(3)]), 1_500_000_000);
    assert_eq!(nanoseconds(3, &[IfTsResol(0x81)]), 1_500_000_000);
    assert_eq!(nanoseconds(0, &[IfTsOffset(u64::MAX)]), -1_000_000_000);
    assert_eq!(nanoseconds(u64::MAX, &[IfTsResol(0x7F)]), 0);
}

#[test]
fn no_damage_to_one_byte_panics_or_gives_more_than_the_file_holds() {
    let frames = fragments(7, &[0x55; 64], &[(0, 32), (32, 99)]);
    for file in [pcapng(Endianness::Little), pcap(DataLink::RAW, &frames)] {
        for at in 0..file.len() {
            for damage in [0x00, 0xFF] {
                let mut file = file.clone();
                file[at] = damage;
                let size = file.len();
                if let Ok(capture) = Capture::new(Cursor::new(file)) {
                    let held: usize = capture.flatten().map(|packet| packet.payload.len()).sum();
                    assert!(held <= size, "byte {at} = {damage:#04x} gives {held} of {size} bytes");
                }
            }
        }
    }
}
