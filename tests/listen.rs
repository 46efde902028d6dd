//! The receiver on real sockets: loopback, and network namespaces of the tests' own.
#![expect(clippy::disallowed_methods, reason = "tests wait for real sockets")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailslotd::config::settings::Decoding;
use mailslotd::listen::backlog::Backlog;
use mailslotd::listen::datagram::Receiver;
use mailslotd::listen::intake::{Intake, Left};
use mailslotd::listen::judge::{Hearing, HearingLimits, Judge, Shared};
use mailslotd::listen::pipeline::Pipeline;
use mailslotd::listen::socket::{BindError, DatagramSocket};
use mailslotd::message::id::{DestinationName, DiscardReason, RuleName};
use mailslotd::message::mail::Body;
use mailslotd::message::notice::Notice;
use mailslotd::policy::mapping::{Action, Context, Delivery, Match, Rule, RuleSet};
use mailslotd::policy::own_datagrams::OwnDatagrams;
use mailslotd::policy::template::{AddressForm, AddressTemplate};
use mailslotd::spool::{Fate, Limits, NoticeFailures, Settled, Spool};
use mailslotd::telemetry::metrics::{DropReason, Metrics};
use mailslotd::wire::datagram::{Flags, Header, MsgType};
use mailslotd::wire::messenger::Text;
use mailslotd::wire::netbios_name::{NameType, NetbiosName};
use mailslotd::wire::oem_text::{CodePage, SenderText, Utf8};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_messngr_write_ends_in_the_spool_with_where_it_came_from_and_where_it_went() {
    let gateway = Gateway::start(LARGE, Backlog::LIMIT, UNLIMITED);
    let sender = sender("127.0.0.1");
    send(&sender, gateway.address, &messngr(1, b"on battery"));
    let [notice] = gateway.spooled().await;
    assert_eq!((&*notice.originator, &*notice.to, &*notice.text), ("UPS7", "ALERTS", "on battery"));
    assert_eq!(notice.arrival.source, sender.local_addr().unwrap());
    assert_eq!(notice.arrival.destination, Some(IpAddr::from([127, 0, 0, 1])));
    assert_eq!(notice.arrival.interface, Some(nix::net::if_::if_nametoindex("lo").unwrap()));
    assert_eq!(gateway.stop().await, Left::default());
}

#[tokio::test]
async fn a_directed_broadcast_is_heard_with_the_address_it_went_to() {
    // A socket on one address of the host gets no broadcasts.
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let gateway = Gateway::on(DatagramSocket::bind(any).unwrap(), Backlog::LIMIT, UNLIMITED);
    let broadcast = SocketAddrV4::new(Ipv4Addr::new(127, 255, 255, 255), gateway.address.port());
    send(&sender("127.0.0.1"), broadcast, &messngr(1, b"to all"));
    let [notice] = gateway.spooled().await;
    assert_eq!(notice.arrival.destination, Some(IpAddr::from([127, 255, 255, 255])));
    assert_eq!(gateway.stop().await, Left::default());
}

#[tokio::test]
async fn bytes_that_are_no_datagram_are_counted_and_the_next_message_is_heard() {
    let gateway = Gateway::start(LARGE, Backlog::LIMIT, UNLIMITED);
    let sender = sender("127.0.0.1");
    let good = messngr(1, b"still here");
    for bad in [&b""[..], b"\x10", b"GET / HTTP/1.0\r\n\r\n", &good[..50]] {
        send(&sender, gateway.address, bad);
    }
    send(&sender, gateway.address, &good[..100]);
    send(&sender, gateway.address, &good);
    let [notice] = gateway.spooled().await;
    assert_eq!(notice.text, "still here");
    assert_eq!(gateway.metrics.dropped_so_far(DropReason::MalformedDatagram), 4);
    assert_eq!(gateway.metrics.dropped_so_far(DropReason::MalformedTransaction), 1);
    gateway.expect_line("mailslotd_datagrams_received_total 6");
    gateway.stop().await;
}

#[tokio::test]
async fn what_comes_while_the_process_is_not_running_is_heard_or_counted_as_lost_in_the_kernel() {
    let gateway = Gateway::start(4096, Backlog::LIMIT, UNLIMITED);
    let sender = sender("127.0.0.1");
    // One thread runs everything: the receiver gets no turn in here.
    for id in 0..300 {
        send(&sender, gateway.address, &messngr(id, b"flood"));
    }
    until("the flood is read", || gateway.received() > 0).await;
    // The kernel tells of losses along with the next datagram that gets in.
    send(&sender, gateway.address, &messngr(300, b"after"));
    let lost = || gateway.metrics.dropped_so_far(DropReason::Kernel);
    until("every datagram is accounted for", || gateway.received() + lost() == 301).await;
    assert!(lost() > 0, "the buffer was too small for all");
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_backlog_drops_the_newest_and_counts_them() {
    let receiver = Deaf::start(LARGE, 8192);
    let sender = sender("127.0.0.1");
    for id in 0..100 {
        send(&sender, receiver.address, &messngr(id, b"x"));
    }
    let dropped = || receiver.metrics.dropped_so_far(DropReason::SpoolBacklog);
    until("all are decided", || u64::try_from(receiver.backlog.waiting()).unwrap() + dropped() == 100).await;
    assert!(dropped() > 0);
    assert!(receiver.backlog.bytes() <= 8192);
    let kept = receiver.backlog.batch(100).await.unwrap();
    let ids: Vec<u16> = kept
        .iter()
        .map(|waiting| match &waiting.message.body {
            Body::Notice(notice) => notice.first.dgm_id,
            Body::Mail { .. } => panic!("no mail was sent"),
        })
        .collect();
    assert!(ids.iter().copied().eq(0..u16::try_from(ids.len()).unwrap()), "the oldest were kept: {ids:?}");
}

#[tokio::test]
async fn what_waited_for_a_full_spool_is_accepted_when_it_has_room_again() {
    let gateway = Gateway::start(LARGE, Backlog::LIMIT, 20_000);
    let sender = sender("127.0.0.1");
    let total = 100;
    for id in 0..total {
        send(&sender, gateway.address, &messngr(id, &[b'x'; 300]));
    }
    until("all are heard", || gateway.received() == u64::from(total)).await;
    let mut heard = HashSet::new();
    let mut refused_once = false;
    while heard.len() < usize::from(total) {
        // Delivering makes room for those that wait.
        for notice in gateway.deliver_due().await {
            assert!(heard.insert(notice.dgm_id), "{} twice", notice.dgm_id);
        }
        refused_once |= gateway.backlog.waiting() > 0;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refused_once, "the spool held them all at once");
    assert_eq!(gateway.metrics.dropped_so_far(DropReason::SpoolRefused), 0);
    assert_eq!(gateway.stop().await, Left::default());
}

#[tokio::test]
async fn what_a_full_spool_never_took_is_counted_when_the_grace_period_ends() {
    let gateway = Gateway::start(LARGE, Backlog::LIMIT, 1);
    send(&sender("127.0.0.1"), gateway.address, &messngr(1, b"too late"));
    until("it waits", || gateway.received() == 1).await;
    gateway.stop.cancel();
    gateway.grace_over.cancel();
    let metrics = Arc::clone(&gateway.metrics);
    let left = gateway.stop().await;
    assert_eq!(left.lost + left.unconfirmed, 1);
    assert_eq!(metrics.dropped_so_far(DropReason::SpoolRefused), u64::try_from(left.lost).unwrap());
}

#[tokio::test]
async fn what_the_kernel_holds_when_the_gateway_stops_is_still_accepted() {
    let gateway = Gateway::start(LARGE, Backlog::LIMIT, UNLIMITED);
    let sender = sender("127.0.0.1");
    // One thread runs everything: the receiver sees the stop and the messages at the same time.
    for id in 0..200 {
        send(&sender, gateway.address, &messngr(id, b"last words"));
    }
    gateway.stop.cancel();
    until("it is closed and empty", || gateway.backlog.bytes() == 0 && gateway.receiver.is_finished()).await;
    assert_eq!(gateway.spooled::<200>().await.len(), 200);
    assert_eq!(gateway.stop().await, Left::default());
}

#[tokio::test]
async fn new_rules_are_in_effect_without_a_restart() {
    let gateway = Gateway::start(LARGE, Backlog::LIMIT, UNLIMITED);
    let sender = sender("127.0.0.1");
    let discard = Action::Discard(DiscardReason::new("quiet").unwrap());
    gateway.hearing.send(hearing(discard)).unwrap();
    send(&sender, gateway.address, &messngr(1, b"not wanted"));
    until("it is heard", || gateway.received() == 1).await;
    gateway.expect_line(r#"mailslotd_notices_discarded_total{reason="quiet"} 1"#);
    gateway.stop().await;
}

#[test]
fn a_taken_port_names_its_owner_and_the_way_out() {
    let taken = DatagramSocket::bind(LOOPBACK).unwrap();
    let error = DatagramSocket::bind(SocketAddr::V4(taken.address())).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    let own_name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let text = format!(
        "cannot hear on UDP {}: {} (pid {}) holds it; stop it, or set `listeners.datagram.address` to another port",
        taken.address(),
        own_name.trim_end(),
        std::process::id()
    );
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_broadcast_from_another_host_arrives_with_its_interface() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test as root");
        skip("a_broadcast_from_another_host_arrives_with_its_interface", "network namespaces need root");
        return;
    }
    let network = Network::new();
    let any = SocketAddr::from(([0, 0, 0, 0], 138));
    let socket = network.gateway.enter(move || DatagramSocket::bind(any).unwrap());
    let interface = network.gateway.enter(|| nix::net::if_::if_nametoindex("gw0").unwrap());
    let host = network.host.enter(|| sender("192.0.2.7"));
    let gateway = Gateway::on(socket, Backlog::LIMIT, UNLIMITED);
    let broadcasts = [Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::BROADCAST];
    for (id, address) in (1..).zip(broadcasts) {
        send(&host, SocketAddrV4::new(address, 138), &messngr(id, b"from afar"));
    }
    let notices = gateway.spooled::<2>().await;
    for (notice, address) in notices.iter().zip(broadcasts) {
        assert_eq!(notice.arrival.source, host.local_addr().unwrap());
        assert_eq!(notice.arrival.destination, Some(IpAddr::from(address)));
        assert_eq!(notice.arrival.interface, Some(interface));
    }
    gateway.stop().await;
}

/// A receiver, an intake and a spool of its own.
struct Gateway {
    address: SocketAddrV4,
    spool: Spool,
    metrics: Arc<Metrics>,
    backlog: Arc<Backlog>,
    hearing: watch::Sender<Arc<Hearing>>,
    stop: CancellationToken,
    grace_over: CancellationToken,
    receiver: JoinHandle<()>,
    intake: JoinHandle<Left>,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(receive_buffer: usize, backlog: usize, spool_size: u64) -> Self {
        Self::on(DatagramSocket::bind_with_buffer(LOOPBACK, receive_buffer).unwrap(), backlog, spool_size)
    }

    fn on(socket: DatagramSocket, backlog: usize, spool_size: u64) -> Self {
        let Deaf { address, metrics, backlog, hearing, stop, receiver } = Deaf::on(socket, backlog);
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            max_size: Some(spool_size),
            min_free: 0,
            reserved_for_notices: 0,
            failed_keep: Duration::from_secs(3600),
            delay_report: None,
            notice_failures: NoticeFailures::Kept,
        };
        let spool =
            Spool::open(folder.path(), limits, Duration::from_secs(3600), Arc::clone(&metrics)).unwrap();
        let grace_over = CancellationToken::new();
        let intake = Intake::new(Arc::clone(&backlog), spool.clone(), Arc::clone(&metrics));
        let intake = tokio::spawn(intake.run(grace_over.clone()));
        Self {
            address,
            spool,
            metrics,
            backlog,
            hearing,
            stop,
            grace_over,
            receiver,
            intake,
            _folder: folder,
        }
    }

    fn received(&self) -> u64 {
        value(&self.metrics, "mailslotd_datagrams_received_total")
    }

    #[track_caller]
    fn expect_line(&self, line: &str) {
        let text = self.metrics.encode();
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }

    /// Waits until exactly this many messages are in the spool.
    async fn spooled<const N: usize>(&self) -> [Notice<'static>; N] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let notices = self.due().await;
            if notices.len() >= N {
                let notices: Vec<_> = notices.into_iter().map(|(_, notice)| notice).collect();
                return notices.try_into().expect("more than were sent");
            }
            assert!(Instant::now() < deadline, "{} of {N} messages in the spool", notices.len());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn due(&self) -> Vec<(mailslotd::spool::Due, Notice<'static>)> {
        let now = Timestamp::now() + Duration::from_secs(1);
        let due = self.spool.due(&inbox(), now, 1000, &HashSet::new()).await.unwrap();
        let mut notices = Vec::new();
        for copy in due {
            let message = self.spool.load(copy.id).await.unwrap().expect("a due message is there");
            match message.body {
                Body::Notice(notice) => notices.push((copy, notice.first)),
                Body::Mail { .. } => panic!("no mail was sent"),
            }
        }
        notices.sort_by_key(|(copy, _)| copy.id);
        notices
    }

    /// Marks everything due as delivered, which makes room.
    async fn deliver_due(&self) -> Vec<Notice<'static>> {
        let due = self.due().await;
        let at = Timestamp::now();
        let settled = due
            .iter()
            .map(|(copy, _)| Settled { id: copy.id, number: copy.number, fate: Fate::Delivered, at })
            .collect();
        self.spool.record(settled, Vec::new()).await.unwrap();
        due.into_iter().map(|(_, notice)| notice).collect()
    }

    async fn stop(self) -> Left {
        self.stop.cancel();
        self.receiver.await.unwrap();
        let left = self.intake.await.unwrap();
        self.spool.close().await;
        left
    }
}

/// A receiver whose backlog nobody drains.
struct Deaf {
    address: SocketAddrV4,
    metrics: Arc<Metrics>,
    backlog: Arc<Backlog>,
    hearing: watch::Sender<Arc<Hearing>>,
    stop: CancellationToken,
    receiver: JoinHandle<()>,
}

impl Deaf {
    fn start(receive_buffer: usize, backlog: usize) -> Self {
        Self::on(DatagramSocket::bind_with_buffer(LOOPBACK, receive_buffer).unwrap(), backlog)
    }

    fn on(socket: DatagramSocket, backlog: usize) -> Self {
        let metrics = Arc::new(Metrics::new());
        let backlog = Arc::new(Backlog::new(backlog, Arc::clone(&metrics)));
        let (hearing, watched) = watch::channel(hearing(deliver()));
        let own = Arc::new(Mutex::new(OwnDatagrams::new()));
        let judge =
            Judge::new(Arc::clone(&hearing.borrow()), Arc::new(Shared::default()), Arc::clone(&metrics));
        let pipeline = Pipeline::new(judge, own, Arc::clone(&metrics));
        let receiver = Receiver::new(socket, pipeline, Arc::clone(&backlog), Arc::clone(&metrics)).unwrap();
        let (address, stop) = (receiver.address(), CancellationToken::new());
        let receiver = tokio::spawn(receiver.run(watched, stop.clone()));
        Self { address, metrics, backlog, hearing, stop, receiver }
    }
}

/// Two hosts on one cable, gone with this value.
struct Network {
    gateway: Namespace,
    host: Namespace,
}

struct Namespace(String);

impl Network {
    fn new() -> Self {
        let id = std::process::id();
        let [gateway, host] = ["gw", "host"].map(|name| Namespace::new(format!("mailslotd-{name}-{id}")));
        let (gw, peer) = (&gateway.0, &host.0);
        ip(&format!("link add gw0 netns {gw} type veth peer name host0 netns {peer}"));
        for (namespace, link, address) in [(gw, "gw0", "192.0.2.1"), (peer, "host0", "192.0.2.7")] {
            ip(&format!("-n {namespace} address add {address}/24 broadcast 192.0.2.255 dev {link}"));
            ip(&format!("-n {namespace} link set {link} up"));
            ip(&format!("-n {namespace} route add default dev {link}"));
        }
        Self { gateway, host }
    }
}

impl Namespace {
    fn new(name: String) -> Self {
        ip(&format!("netns add {name}"));
        Self(name)
    }

    /// Runs `f` inside; sockets that it makes stay there.
    fn enter<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.0)).unwrap();
        let inside = std::thread::spawn(move || {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            f()
        });
        inside.join().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.0));
    }
}

#[track_caller]
fn ip(arguments: &str) {
    let status = std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success() || std::thread::panicking(), "ip {arguments}");
}

#[expect(clippy::disallowed_macros, reason = "whoever runs the tests must see that one did not run")]
fn skip(test: &str, why: &str) {
    eprintln!("skipped {test}: {why}");
}

fn sender(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    socket
}

#[track_caller]
fn send(sender: &UdpSocket, to: SocketAddrV4, bytes: &[u8]) {
    assert_eq!(sender.send_to(bytes, to).unwrap(), bytes.len());
}

fn messngr(dgm_id: u16, text: &[u8]) -> Vec<u8> {
    let header =
        Header { flags: Flags::FIRST, dgm_id, source_ip: Ipv4Addr::new(192, 0, 2, 7), source_port: 138 };
    let name = |text| NetbiosName::new(text, NameType::MESSENGER).unwrap();
    let text = Text { from: b"UPS7", to: b"ALERTS", text };
    text.datagram(header, MsgType::DirectUnique, name(b"UPS7"), name(b"ALERTS")).unwrap()
}

fn hearing(action: Action) -> Arc<Hearing> {
    let rule = Rule::new(RuleName::new("everything").unwrap(), Match::Any, action);
    let code_page = SenderText { code_page: CodePage::Cp437, utf8: Utf8::Never };
    Arc::new(Hearing {
        decoding: Decoding { code_page, exceptions: Vec::new(), scope: Vec::new() },
        rules: Arc::new(RuleSet::new(vec![rule]).unwrap()),
        context: Context { site: String::new(), host: String::new(), timezone: TimeZone::UTC },
        limits: HearingLimits::NONE,
    })
}

fn deliver() -> Action {
    let to = AddressTemplate::constant("inbox", AddressForm::Folder);
    Action::Deliver(vec![Delivery { via: inbox(), to, subject: None, otherwise: Vec::new() }])
}

fn inbox() -> DestinationName {
    DestinationName::new("inbox").unwrap()
}

fn value(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    line.parse().unwrap()
}

/// Waits for what another task does.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const LOOPBACK: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
const LARGE: usize = 4 << 20;
const UNLIMITED: u64 = 1 << 40;
const PATIENCE: Duration = Duration::from_secs(20);
