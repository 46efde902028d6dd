//! Packets of UDP and TCP out of pcap and pcapng files.
//!
//! Link types: Ethernet with or without VLAN tags, Linux cooked (both versions), raw IP, null and loopback. IPv4
//! fragments are put together. What a damaged or cut file still holds is given before the error.

pub mod clock;
mod network;
pub mod sessions;
#[cfg(test)]
mod tests;

use std::io::{self, Cursor, Read};
use std::net::SocketAddr;

use jiff::Timestamp;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::{Endianness, PcapError, TsResolution};

use self::network::Network;
use crate::message::notice::{Arrival, Listener};
use crate::wire::reader::{Reader, WireError};

/// One UDP datagram or TCP segment of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The frame it was in (of a fragmented one the last), counted from 1 as other tools do.
    pub frame: u64,
    /// When it was captured.
    pub at: Timestamp,
    /// UDP or TCP.
    pub transport: Transport,
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it was sent.
    pub destination: SocketAddr,
    /// Of a TCP segment the sequence number of its first octet.
    pub sequence: Option<u32>,
    /// What the transport carried.
    pub payload: Vec<u8>,
}

impl Packet {
    /// As if a listener had heard it.
    #[must_use]
    pub const fn arrival(&self, listener: Listener) -> Arrival {
        Arrival {
            at: self.at,
            source: self.source,
            destination: Some(self.destination.ip()),
            interface: None,
            listener,
        }
    }
}

/// The transport of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// Frames that gave no packet, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Skipped {
    /// Neither UDP nor TCP over IP.
    pub other_protocols: u64,
    /// Cut short by the snapshot length of the capture, or with lengths that contradict each other.
    pub cut_or_damaged: u64,
    /// IP fragments whose other part is not in the capture.
    pub lone_fragments: u64,
    /// Of an interface whose link type is not read here.
    pub unknown_link_types: u64,
}

/// Why a capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Neither pcap nor pcapng.
    #[error("this is neither a pcap nor a pcapng file; a compressed one must be decompressed first")]
    NotACapture,
    /// A pcap file with frames of a kind that is not read here.
    #[error(
        "its frames have link type {0}, which is not read here; Ethernet, Linux cooked, raw IP and loopback are"
    )]
    LinkType(u16),
    /// The end came too early.
    #[error("the file ends in the middle of what follows frame {0}, or a length there is damaged")]
    Truncated(u64),
    /// The file contradicts its own format.
    #[error("the file is damaged after frame {after}: {reason}")]
    Damaged {
        /// The last frame that could be read.
        after: u64,
        /// What is wrong, in the words of the format.
        reason: String,
    },
    /// Reading failed.
    #[error("reading stopped after frame {after}: {source}")]
    Io {
        /// The last frame that could be read.
        after: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// The packets of a capture, in the order of the file. An error is the last item.
pub struct Capture {
    file: File,
    network: Network,
    frame: u64,
    last_time: Timestamp,
    ended: bool,
}

enum File {
    Pcap(PcapReader<Box<dyn Read>>),
    PcapNg(PcapNgReader<Box<dyn Read>>),
}

/// A frame as the file has it.
struct Frame {
    at: Timestamp,
    link_type: u16,
    bytes: Vec<u8>,
}

impl Capture {
    /// Whether a file with these first four bytes is a pcap or pcapng file.
    #[must_use]
    pub fn begins_with(head: [u8; 4]) -> bool {
        head == PCAPNG || PCAP.contains(&head)
    }

    /// Begins to read a capture.
    ///
    /// # Errors
    /// [`CaptureError`] when its head is none, or says that nothing of it can be read.
    pub fn new(mut reader: impl Read + 'static) -> Result<Self, CaptureError> {
        let mut head = [0; 4];
        reader.read_exact(&mut head).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                CaptureError::NotACapture
            } else {
                CaptureError::Io { after: 0, source }
            }
        })?;
        if !Self::begins_with(head) {
            return Err(CaptureError::NotACapture);
        }
        let whole: Box<dyn Read> = Box::new(Cursor::new(head).chain(reader));
        let file = if head == PCAPNG {
            File::PcapNg(PcapNgReader::new(whole).map_err(|error| stopped(0, error))?)
        } else {
            let pcap = PcapReader::new(whole).map_err(|error| stopped(0, error))?;
            let link_type = link_type(pcap.header().datalink.into());
            if !network::is_known(link_type) {
                return Err(CaptureError::LinkType(link_type));
            }
            File::Pcap(pcap)
        };
        Ok(Self {
            file,
            network: Network::default(),
            frame: 0,
            last_time: Timestamp::UNIX_EPOCH,
            ended: false,
        })
    }

    /// The frames so far that gave no packet.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.network.skipped()
    }

    /// How many frames were read so far.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frame
    }

    fn next_frame(&mut self) -> Option<Result<Frame, CaptureError>> {
        match &mut self.file {
            File::Pcap(pcap) => {
                let header = pcap.header();
                let raw = match pcap.next_raw_packet()? {
                    Ok(raw) => raw,
                    Err(error) => return Some(Err(stopped(self.frame, error))),
                };
                let nanoseconds = match header.ts_resolution {
                    TsResolution::MicroSecond => raw.ts_frac.saturating_mul(1000),
                    TsResolution::NanoSecond => raw.ts_frac,
                };
                let at = i128::from(raw.ts_sec) * 1_000_000_000 + i128::from(nanoseconds);
                let link_type = link_type(header.datalink.into());
                Some(Ok(Frame { at: timestamp(at), link_type, bytes: raw.data.into_owned() }))
            }
            File::PcapNg(pcapng) => loop {
                let (kind, body) = match pcapng.next_raw_block()? {
                    Ok(block) => (block.type_, block.body.into_owned()),
                    Err(error) => return Some(Err(stopped(self.frame, error))),
                };
                if let Some(frame) = block_frame(pcapng, kind, &body, self.last_time) {
                    return Some(frame.map_err(|error| CaptureError::Damaged {
                        after: self.frame,
                        reason: error.to_string(),
                    }));
                }
            },
        }
    }
}

impl Iterator for Capture {
    type Item = Result<Packet, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_frame() {
                Some(Ok(frame)) => {
                    self.frame += 1;
                    self.last_time = frame.at;
                    if let Some(packet) = self.network.packet(self.frame, &frame) {
                        return Some(Ok(packet));
                    }
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => self.ended = true,
            }
        }
        None
    }
}

/// The frame in a block of a pcapng file; `None` for blocks without one.
///
/// Read here and not by the library, which takes every unit of time for a nanosecond and wants options without fault.
fn block_frame(
    file: &PcapNgReader<Box<dyn Read>>,
    kind: u32,
    body: &[u8],
    last_time: Timestamp,
) -> Option<Result<Frame, WireError>> {
    let layout = match kind {
        ENHANCED_PACKET | OBSOLETE_PACKET => time_and_data(file, kind, body),
        SIMPLE_PACKET => simple_data(file, body).map(|data| (0, None, data)),
        _ => return None,
    };
    Some(layout.map(|(interface, time, bytes)| {
        let description = usize::try_from(interface).ok().and_then(|index| file.interfaces().get(index));
        Frame {
            at: time.map_or(last_time, |units| {
                timestamp(nanoseconds(units, description.map_or(&[], |interface| &interface.options)))
            }),
            // Frames of an interface that was never described are counted as of an unknown link type.
            link_type: description.map_or(u16::MAX, |interface| link_type(interface.linktype.into())),
            bytes: bytes.to_vec(),
        }
    }))
}

type TimeAndData<'a> = (u32, Option<u64>, &'a [u8]);

fn time_and_data<'a>(
    file: &PcapNgReader<Box<dyn Read>>,
    kind: u32,
    body: &'a [u8],
) -> Result<TimeAndData<'a>, WireError> {
    let mut reader = Reader::new(body);
    let order = file.section().endianness;
    let interface = if kind == OBSOLETE_PACKET {
        let interface = u16_of(&mut reader, order, "Interface ID")?;
        u16_of(&mut reader, order, "Drops Count")?;
        u32::from(interface)
    } else {
        u32_of(&mut reader, order, "Interface ID")?
    };
    let high = u32_of(&mut reader, order, "Timestamp (Upper 4 bytes)")?;
    let low = u32_of(&mut reader, order, "Timestamp (Lower 4 bytes)")?;
    let captured = u32_of(&mut reader, order, "Captured Packet Length")?;
    u32_of(&mut reader, order, "Original Packet Length")?;
    let data = reader.bytes("Packet Data", usize::try_from(captured).unwrap_or(usize::MAX))?;
    Ok((interface, Some(u64::from(high) << 32 | u64::from(low)), data))
}

/// The data of a Simple Packet Block, which has neither time nor interface: it is of the first one.
fn simple_data<'a>(file: &PcapNgReader<Box<dyn Read>>, body: &'a [u8]) -> Result<&'a [u8], WireError> {
    let mut reader = Reader::new(body);
    let original = u32_of(&mut reader, file.section().endianness, "Original Packet Length")?;
    let snap_length = file.interfaces().first().map_or(0, |interface| interface.snaplen);
    let captured = if snap_length == 0 { original } else { original.min(snap_length) };
    reader.bytes("Packet Data", usize::try_from(captured).unwrap_or(usize::MAX))
}

fn u32_of(reader: &mut Reader<'_>, order: Endianness, field: &'static str) -> Result<u32, WireError> {
    match order {
        Endianness::Big => reader.u32_be(field),
        Endianness::Little => reader.u32_le(field),
    }
}

fn u16_of(reader: &mut Reader<'_>, order: Endianness, field: &'static str) -> Result<u16, WireError> {
    match order {
        Endianness::Big => reader.u16_be(field),
        Endianness::Little => reader.u16_le(field),
    }
}

/// Nanoseconds since 1970 from units of `if_tsresol` (microseconds where absent) and `if_tsoffset`.
fn nanoseconds(units: u64, options: &[InterfaceDescriptionOption<'_>]) -> i128 {
    let (mut resolution, mut offset_seconds) = (6, 0);
    for option in options {
        if let InterfaceDescriptionOption::IfTsResol(value) = option {
            resolution = *value;
        } else if let InterfaceDescriptionOption::IfTsOffset(seconds) = option {
            offset_seconds = i128::from(seconds.cast_signed());
        }
    }
    let units = i128::from(units) * 1_000_000_000;
    let power = u32::from(resolution & 0x7F);
    let base: i128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    let time = base.checked_pow(power).map_or(0, |units_per_second| units / units_per_second);
    time + offset_seconds * 1_000_000_000
}

/// A time outside jiff's range is nobody's true one.
fn timestamp(nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The link type without the bits beside it that tell of a frame check sequence.
fn link_type(field: u32) -> u16 {
    u16::try_from(field & 0xFFFF).unwrap_or(u16::MAX)
}

fn stopped(after: u64, error: PcapError) -> CaptureError {
    match error {
        PcapError::IncompleteBuffer => CaptureError::Truncated(after),
        PcapError::IoError(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            CaptureError::Truncated(after)
        }
        PcapError::IoError(source) => CaptureError::Io { after, source },
        other @ (PcapError::InvalidField(_)
        | PcapError::Utf8Error(_)
        | PcapError::FromUtf8Error(_)
        | PcapError::InvalidInterfaceId(_)) => CaptureError::Damaged { after, reason: other.to_string() },
    }
}

const PCAPNG: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];

/// Microseconds and nanoseconds, in both byte orders.
const PCAP: [[u8; 4]; 4] =
    [[0xA1, 0xB2, 0xC3, 0xD4], [0xD4, 0xC3, 0xB2, 0xA1], [0xA1, 0xB2, 0x3C, 0x4D], [0x4D, 0x3C, 0xB2, 0xA1]];

const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
