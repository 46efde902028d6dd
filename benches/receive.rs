//! How fast datagrams are heard, on loopback and on this machine's disk: `cargo bench --bench receive [PART…]`.
//!
//! - `drain`: a filled socket buffer read by the whole path (receive, decode, decide, count, discard), as a ratio to
//!   a bare `recvmmsg` loop; both take turns, so what disturbs the machine disturbs both. Goal: 0.60.
//! - `steady`: 100 000 datagrams a second for ten seconds. Goal: none lost.
//! - `durable`: datagrams to messages on disk, as fast as they become durable. Goal: 20 000 a second.
//!
//! A goal that is missed ends it with exit code 1.
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::disallowed_macros, reason = "its answer is what it prints")]

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use mailslotd::config::settings::{Decoding, Interfaces};
use mailslotd::inventory::{HostRecorder, Inventory};
use mailslotd::listen::backlog::Backlog;
use mailslotd::listen::datagram::Receiver;
use mailslotd::listen::intake::Intake;
use mailslotd::listen::judge::{Hearing, HearingLimits, Judge, Shared};
use mailslotd::listen::links::Reach;
use mailslotd::listen::pipeline::Pipeline;
use mailslotd::listen::receive::Batch;
use mailslotd::listen::socket::DatagramSocket;
use mailslotd::message::id::{DestinationName, DiscardReason, RuleName};
use mailslotd::policy::allowed_sources::AllowedSources;
use mailslotd::policy::mapping::{Action, Context, Delivery, Match, Rule, RuleSet};
use mailslotd::policy::own_datagrams::OwnDatagrams;
use mailslotd::policy::template::{AddressForm, AddressTemplate};
use mailslotd::spool::{Limits, NoticeFailures, Spool};
use mailslotd::telemetry::metrics::{DropReason, Metrics};
use mailslotd::wire::datagram::{Flags, Header, MsgType};
use mailslotd::wire::messenger::Text;
use mailslotd::wire::netbios_name::{NameType, NetbiosName};
use mailslotd::wire::oem_text::{CodePage, SenderText, Utf8};
use nix::libc::in_pktinfo;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A part: its name, and whether it met its goal.
type Part = (&'static str, fn() -> bool);

const PARTS: [Part; 3] = [("drain", drain), ("steady", steady), ("durable", durable)];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut met = true;
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            met &= part();
        }
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads of a filled buffer: how much of the bare rate is left when each datagram is also understood.
fn drain() -> bool {
    const DATAGRAMS: usize = 4000;
    const ROUNDS: usize = 61;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sample = messngr(1, b"UPS on battery, 14 minutes left, please shut down");
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (socket, filled) = filled(&sample, DATAGRAMS);
        bare.push(per_datagram(filled, drain_bare(socket, filled)));
        let (socket, filled) = self::filled(&sample, DATAGRAMS);
        whole.push(per_datagram(filled, drain_whole(&runtime, socket, filled)));
    }
    let ratios = bare.iter().zip(&whole).map(|(bare, whole)| bare / whole).collect();
    let (bare, whole, ratio) = (median(bare), median(whole), median(ratios));
    println!(
        "drain: {} bytes, bare recvmmsg {bare:.0} ns, whole path {whole:.0} ns a datagram, \
         ratio {ratio:.2} (median of {ROUNDS}; goal 0.60)",
        sample.len()
    );
    ratio >= 0.60
}

/// A socket whose buffer holds about so many datagrams, and how many it really holds.
fn filled(sample: &[u8], datagrams: usize) -> (DatagramSocket, usize) {
    let socket = DatagramSocket::bind(LOOPBACK).unwrap();
    let mut sender = Sender::to(socket.address());
    for _ in 0..datagrams / Sender::BURST {
        sender.burst(sample);
    }
    (socket, datagrams / Sender::BURST * Sender::BURST)
}

/// The least that reads everything: no addresses are looked at, no lengths, no bytes.
fn drain_bare(socket: DatagramSocket, filled: usize) -> Duration {
    const ROOM: usize = 2048;
    let socket = socket.into_inner();
    let start = Instant::now();
    let mut room = vec![0; Batch::SIZE * ROOM];
    let control = nix::cmsg_space!(in_pktinfo, u32);
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(Batch::SIZE, Some(control));
    let mut count = 0;
    loop {
        let mut slots: Vec<_> = room.chunks_exact_mut(ROOM).map(|slot| [IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(socket.as_raw_fd(), &mut headers, slots.iter_mut(), flags, None) {
            Ok(received) => count += received.count(),
            Err(nix::errno::Errno::EAGAIN) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let elapsed = start.elapsed();
    assert_eq!(count, filled);
    elapsed
}

/// The gateway's receiver, told to stop: it takes what the kernel holds and ends.
fn drain_whole(runtime: &tokio::runtime::Runtime, socket: DatagramSocket, filled: usize) -> Duration {
    let discard = Action::Discard(DiscardReason::new("bench").unwrap());
    let gateway = Listening::new(runtime, socket, discard);
    gateway.stop.cancel();
    let start = Instant::now();
    runtime.block_on(gateway.receiver.run(gateway.watched, gateway.stop));
    let elapsed = start.elapsed();
    assert_eq!(received(&gateway.metrics), u64::try_from(filled).unwrap());
    elapsed
}

/// 100 000 a second for ten seconds, in bursts of a millisecond.
fn steady() -> bool {
    const SECONDS: u32 = 10;
    const PER_SECOND: u32 = 100_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let discard = Action::Discard(DiscardReason::new("bench").unwrap());
    let gateway = Listening::new(&runtime, DatagramSocket::bind(LOOPBACK).unwrap(), discard);
    let (metrics, stop) = (gateway.metrics, gateway.stop);
    let mut sender = Sender::to(gateway.receiver.address());
    let receiver = runtime.spawn(gateway.receiver.run(gateway.watched, stop.clone()));
    let sample = messngr(1, b"UPS on battery, 14 minutes left, please shut down");
    let cpu = processor_time();
    let start = Instant::now();
    let burst = u32::try_from(Sender::BURST).unwrap();
    let total = PER_SECOND * SECONDS / burst;
    for number in 0..total {
        let due = Duration::from_secs(1) * number * burst / PER_SECOND;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        sender.burst(&sample);
    }
    let elapsed = start.elapsed();
    let cpu = processor_time() - cpu;
    // One more tells of losses at the end.
    std::thread::sleep(Duration::from_millis(200));
    sender.one(&sample);
    stop.cancel();
    runtime.block_on(receiver).unwrap();
    let sent = u64::from(total * burst) + 1;
    let (heard, kernel) = (received(&metrics), metrics.dropped_so_far(DropReason::Kernel));
    println!(
        "steady: {sent} sent in {:.2} s, {heard} heard, {kernel} lost in the kernel, {} unaccounted for; \
         {:.0} % of a processor for sender and receiver (goal: none lost)",
        elapsed.as_secs_f64(),
        sent - heard - kernel,
        100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64()
    );
    heard == sent
}

/// Messages on disk per second. The sender keeps a window of messages on their way, so that nothing is lost and
/// nothing waits for the sender.
fn durable() -> bool {
    const SECONDS: f64 = 5.0;
    const WINDOW: u64 = 16_384;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let to = AddressTemplate::constant("inbox", AddressForm::Folder);
    let via = DestinationName::new("inbox").unwrap();
    let deliver = Action::Deliver(vec![Delivery { via, to, subject: None, otherwise: Vec::new() }]);
    let gateway = Listening::new(&runtime, DatagramSocket::bind(LOOPBACK).unwrap(), deliver);
    let (metrics, stop, backlog) = (gateway.metrics, gateway.stop, gateway.backlog);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let spool = open_spool(&runtime, folder.path(), &metrics);
    let mut sender = Sender::to(gateway.receiver.address());
    let receiver = runtime.spawn(gateway.receiver.run(gateway.watched, stop.clone()));
    let intake = Intake::new(Arc::clone(&backlog), spool.clone(), Arc::clone(&metrics));
    let intake = runtime.spawn(intake.run(CancellationToken::new()));
    let sample = messngr(1, b"UPS on battery, 14 minutes left, please shut down");
    let mut sent = 0;
    let cpu = processor_time();
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < SECONDS {
        if sent < durable_so_far(&metrics) + WINDOW {
            sender.burst(&sample);
            sent += u64::try_from(Sender::BURST).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let (elapsed, count) = (start.elapsed(), durable_so_far(&metrics));
    let cpu = per_datagram(usize::try_from(count).unwrap(), processor_time() - cpu) / 1000.0;
    stop.cancel();
    runtime.block_on(receiver).unwrap();
    let left = runtime.block_on(intake).unwrap();
    runtime.block_on(spool.close());
    let all = durable_so_far(&metrics);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / elapsed.as_secs_f64();
    println!(
        "durable: {rate:.0} messages a second, {cpu:.0} µs of a processor each, sender included; \
         {all} of {sent} on disk at the end (goal 20 000, all)"
    );
    assert_eq!((left.lost, all), (0, sent), "nothing is lost below the window");
    rate >= 20_000.0
}

fn open_spool(runtime: &tokio::runtime::Runtime, folder: &Path, metrics: &Arc<Metrics>) -> Spool {
    let limits = Limits {
        max_size: None,
        min_free: 0,
        reserved_for_notices: 0,
        failed_keep: Duration::from_secs(3600),
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    };
    let _inside = runtime.enter();
    Spool::open(folder, limits, Duration::from_secs(3600), Arc::clone(metrics)).unwrap()
}

/// A receiver with one rule, ready to run.
struct Listening {
    receiver: Receiver,
    backlog: Arc<Backlog>,
    metrics: Arc<Metrics>,
    watched: watch::Receiver<Arc<Hearing>>,
    stop: CancellationToken,
    /// Of the inventory.
    _folder: TempDir,
}

impl Listening {
    fn new(runtime: &tokio::runtime::Runtime, socket: DatagramSocket, action: Action) -> Self {
        let metrics = Arc::new(Metrics::new());
        let backlog = Arc::new(Backlog::new(Backlog::LIMIT, Arc::clone(&metrics)));
        let rule = Rule::new(RuleName::new("everything").unwrap(), Match::Any, action);
        let code_page = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Auto };
        // Whom is heard is looked up for each; one sender of the same words over and over is not cut short.
        let reach = Reach { interfaces: Interfaces::All, allow: AllowedSources::OnLink };
        let limits = HearingLimits { reach: Some(reach), ..HearingLimits::NONE };
        let hearing = Arc::new(Hearing {
            decoding: Decoding { code_page, exceptions: Vec::new(), scope: Vec::new() },
            rules: Arc::new(RuleSet::new(vec![rule]).unwrap()),
            context: Context { site: String::new(), host: String::new(), timezone: TimeZone::UTC },
            limits,
        });
        let (_, watched) = watch::channel(Arc::clone(&hearing));
        let own = Arc::new(Mutex::new(OwnDatagrams::new()));
        let judge = Judge::new(hearing, Arc::new(Shared::default()), Arc::clone(&metrics));
        let folder = tempfile::tempdir().unwrap();
        let inventory = Inventory::open(&folder.path().join("inventory.db"), Arc::clone(&metrics)).unwrap();
        let hosts = Some(HostRecorder::new(inventory));
        let pipeline = Pipeline::new(judge, own, Arc::clone(&metrics)).with_hosts(hosts);
        let _inside = runtime.enter();
        let receiver = Receiver::new(socket, pipeline, Arc::clone(&backlog), Arc::clone(&metrics)).unwrap();
        Self { receiver, backlog, metrics, watched, stop: CancellationToken::new(), _folder: folder }
    }
}

/// Sends the same bytes many times with one call.
struct Sender {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrIn>,
}

impl Sender {
    const BURST: usize = 100;

    fn to(address: SocketAddrV4) -> Self {
        let socket = UdpSocket::bind(LOOPBACK).unwrap();
        socket.connect(address).unwrap();
        Self { socket, headers: MultiHeaders::preallocate(Self::BURST, None) }
    }

    fn burst(&mut self, bytes: &[u8]) {
        let slices = vec![[IoSlice::new(bytes)]; Self::BURST];
        let nowhere = [None; Self::BURST];
        let fd = self.socket.as_raw_fd();
        let sent = sendmmsg(fd, &mut self.headers, slices.iter(), nowhere, [], MsgFlags::empty()).unwrap();
        assert_eq!(sent.count(), Self::BURST);
    }

    fn one(&mut self, bytes: &[u8]) {
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
    }
}

fn messngr(dgm_id: u16, text: &[u8]) -> Vec<u8> {
    let header =
        Header { flags: Flags::FIRST, dgm_id, source_ip: Ipv4Addr::new(192, 0, 2, 7), source_port: 138 };
    let name = |text| NetbiosName::new(text, NameType::MESSENGER).unwrap();
    let text = Text { from: b"UPS7", to: b"ALERTS", text };
    text.datagram(header, MsgType::DirectUnique, name(b"UPS7"), name(b"ALERTS")).unwrap()
}

fn received(metrics: &Metrics) -> u64 {
    value(metrics, "mailslotd_datagrams_received_total ")
}

fn durable_so_far(metrics: &Metrics) -> u64 {
    value(metrics, "mailslotd_spool_accepted_total{class=\"notice\"} ")
}

fn value(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.encode();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |value| value.parse().unwrap())
}

/// Of this process so far, user and system.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        behind_name.split_ascii_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds for people")]
fn per_datagram(count: usize, elapsed: Duration) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const LOOPBACK: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
