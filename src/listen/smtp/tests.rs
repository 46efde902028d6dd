//! The front-end in this process, on loopback, with settings made in code.

#![expect(clippy::disallowed_methods, reason = "the tests give a grace period")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::settings::{Bounces, SmtpListener};
use crate::message::id::DestinationName;
use crate::message::mail::{Body, Reports};
use crate::policy::relay::{
    AcceptedDomains, Authentication, DomainName, DomainPattern, ListenerPolicy, RelayPolicy, RelayTo,
    TrustedNetwork,
};
use crate::policy::route::{Route, RouteDomain, RouteTo};
use crate::spool::{Filter, Limits, NoticeFailures};
use crate::wire::smtp::path::Mailbox;

/// A front-end with one listener that takes mail for corp.example.
struct Bench {
    front_end: FrontEnd,
    spool: Spool,
    _dir: TempDir,
}

impl Bench {
    fn start() -> Self {
        Self::start_with(smtp())
    }

    fn start_with(smtp: SmtpFrontEnd) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::built_in(dir.path(), TimeZone::UTC);
        settings.hostname = Some("gw1.plant.example".to_owned());
        settings.smtp = smtp;
        let metrics = Arc::new(Metrics::new());
        let limits = Limits {
            max_size: None,
            min_free: 0,
            reserved_for_notices: 0,
            failed_keep: Duration::from_secs(60),
            delay_report: None,
            notice_failures: NoticeFailures::Kept,
        };
        let expire = Duration::from_secs(3600);
        let spool = Spool::open(&dir.path().join("spool"), limits, expire, Arc::clone(&metrics)).unwrap();
        let sockets = Sockets::bind(&settings.smtp).unwrap();
        let front_end =
            FrontEnd::start(sockets, &settings, spool.clone(), None, Arc::clone(&metrics)).unwrap();
        Self { front_end, spool, _dir: dir }
    }

    fn address(&self) -> SocketAddr {
        self.front_end.addresses()[0].1
    }
}

fn smtp() -> SmtpFrontEnd {
    let policy = ListenerPolicy {
        name: ListenerName::new("mx").unwrap(),
        trusted_networks: Vec::new(),
        authentication: Authentication::Optional,
    };
    let listener = SmtpListener {
        addresses: vec!["127.0.0.1:0".parse().unwrap()],
        policy: Arc::new(policy),
        tolerance: None,
        clients: Vec::new(),
        tls: None,
        auth: None,
        dnsbl: Vec::new(),
        proxy_protocol_from: Vec::new(),
    };
    let route = Route {
        domain: RouteDomain::Any,
        via: DestinationName::new("inbox").unwrap(),
        to: RouteTo::Recipient,
    };
    let accepted = vec![DomainPattern::parse("corp.example").unwrap()];
    let relay = RelayPolicy {
        accepted_domains: AcceptedDomains::new(accepted),
        routes: vec![route],
        ..RelayPolicy::default()
    };
    SmtpFrontEnd { listeners: vec![listener], relay: Arc::new(relay), ..SmtpFrontEnd::default() }
}

/// Says each line and gives the reply's first line; `None` once the server has closed.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn reply(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = timeout(Duration::from_secs(30), self.0.read_line(&mut line)).await.unwrap();
            if !matches!(read, Ok(read) if read > 0) {
                return None;
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Some(line);
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await.expect("the server must answer")
    }
}

#[tokio::test]
async fn a_message_is_in_the_spool_before_its_client_hears_250() {
    let bench = Bench::start();
    let mut client = Client::connect(bench.address()).await;
    assert!(client.reply().await.unwrap().starts_with("220 gw1.plant.example "));
    for (line, code) in [
        ("EHLO client.test", "250 "),
        ("MAIL FROM:<a@client.test>", "250 "),
        ("RCPT TO:<ops@corp.example>", "250 "),
        ("DATA", "354 "),
    ] {
        let reply = client.say(line).await;
        assert!(reply.starts_with(code), "{line}: {reply}");
    }
    let reply = client.say("Subject: hi\r\n\r\nBody\r\n.").await;
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    let waiting = bench.spool.waiting().await.unwrap();
    assert_eq!(waiting.iter().map(|(_, copies)| *copies).sum::<i64>(), 1);
    assert!(client.say("QUIT").await.starts_with("221 "));
    assert_eq!(client.reply().await, None);
}

#[tokio::test]
async fn whoever_writes_to_the_postmaster_of_this_host_reaches_the_operator() {
    let mut smtp = smtp();
    smtp.postmaster = Some(Mailbox::parse("it@corp.example").unwrap());
    let mut relay = RelayPolicy::clone(&smtp.relay);
    relay.hostname = Some(DomainName::parse("gw1.plant.example").unwrap());
    smtp.relay = Arc::new(relay);
    let bench = Bench::start_with(smtp);
    let mut client = Client::connect(bench.address()).await;
    client.reply().await.unwrap();
    client.say("EHLO client.test").await;
    assert!(client.say("MAIL FROM:<a@client.test>").await.starts_with("250 "));
    for (to, code) in [
        ("PostMaster", "250 "),
        ("Postmaster@GW1.plant.example", "250 "),
        ("root@gw1.plant.example", "554 5.7.1 "),
        ("postmaster@gw2.plant.example", "554 5.7.1 "),
    ] {
        let reply = client.say(&format!("RCPT TO:<{to}>")).await;
        assert!(reply.starts_with(code), "{to}: {reply}");
    }
    assert!(client.say("DATA").await.starts_with("354 "));
    assert!(client.say("Subject: hi\r\n\r\nBody\r\n.").await.starts_with("250 "));
    let copies = bench.spool.list(Filter { limit: 10, ..Filter::default() }).await.unwrap();
    let addresses: Vec<_> = copies.iter().map(|copy| copy.address.as_str()).collect();
    assert_eq!(addresses, ["it@corp.example"], "once, however it was written");
}

#[tokio::test]
async fn a_stop_ends_idle_sessions_and_lets_nobody_in() {
    let bench = Bench::start();
    let mut client = Client::connect(bench.address()).await;
    client.reply().await.unwrap();
    let address = bench.address();
    let ended = tokio::spawn(bench.front_end.ended(Instant::now() + Duration::from_secs(20)));
    assert!(client.reply().await.unwrap().starts_with("421 4.3.2 "));
    assert_eq!(client.reply().await, None);
    assert!(ended.await.unwrap());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn strangers_cannot_take_all_connections_from_a_trusted_device() {
    let mut smtp = smtp();
    smtp.limits.connections_in_all = 8;
    let mut policy = ListenerPolicy::clone(&smtp.listeners[0].policy);
    policy.trusted_networks.push(TrustedNetwork {
        network: "127.0.0.9/32".parse().unwrap(),
        relay_to: RelayTo::AcceptedDomains,
        from: None,
        rate: None,
    });
    smtp.listeners[0].policy = Arc::new(policy);
    let bench = Bench::start_with(smtp);
    let mut strangers = Vec::new();
    for _ in 0..7 {
        let mut stranger = Client::connect(bench.address()).await;
        assert!(stranger.reply().await.unwrap().starts_with("220 "));
        strangers.push(stranger);
    }
    let mut eighth = Client::connect(bench.address()).await;
    assert!(eighth.reply().await.unwrap().starts_with("421 4.3.2 "));
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut device = Client(BufReader::new(socket.connect(bench.address()).await.unwrap()));
    assert!(device.reply().await.unwrap().starts_with("220 "));
}

#[tokio::test]
async fn whether_a_sender_is_owed_reports_is_decided_when_its_mail_is_accepted() {
    for (bounces, network, owed) in [
        (Bounces::OwnUsers, None, Reports::None),
        (Bounces::OwnUsers, Some("127.0.0.0/8"), Reports::Owed),
        (Bounces::Everyone, None, Reports::Owed),
        (Bounces::Off, Some("127.0.0.0/8"), Reports::None),
    ] {
        let mut smtp = SmtpFrontEnd { bounces, ..smtp() };
        let trusted = network.map(|network| TrustedNetwork {
            network: network.parse().unwrap(),
            relay_to: RelayTo::AcceptedDomains,
            from: None,
            rate: None,
        });
        let policy = Arc::make_mut(&mut smtp.listeners[0].policy);
        policy.trusted_networks = trusted.into_iter().collect();
        let bench = Bench::start_with(smtp);
        let mut client = Client::connect(bench.address()).await;
        client.reply().await.unwrap();
        for line in ["HELO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<ops@corp.example>", "DATA"] {
            client.say(line).await;
        }
        assert!(client.say("hello\r\n.").await.starts_with("250 "));
        let filter = Filter { limit: Filter::PAGE, ..Filter::default() };
        let [copy] = bench.spool.list(filter).await.unwrap().try_into().unwrap();
        let Body::Mail { submitted, .. } = bench.spool.load(copy.id).await.unwrap().unwrap().body else {
            panic!("it is a mail")
        };
        assert_eq!(submitted.reports, owed, "{bounces:?} {network:?}");
    }
}
