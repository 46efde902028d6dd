//! What the front-end of the real binary makes of clients it does not know: who speaks out of turn and who lawfully sends
//! much at once, who is on a block list, who comes through a proxy; and which certificate they are shown.

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use support::smtp::{Client, Config, FrontEnd, Reply, timed, write_certificates};

const MX: &str = "    - { name: mx, addresses: ['{any}'] }\n";
/// Everybody comes through a proxy, so that octets can be there before the session begins.
const BEHIND: &str = "    - { name: mx, addresses: ['{any}'], proxy_protocol_from: [127.0.0.1] }\n";
const SECURED: &str = "    - { name: mx, addresses: ['{any}'], tls: { mode: implicit, {tls} } }\n";
/// As many octets as a session takes at once.
const PIECE: usize = 1024;

fn start(listeners: &str) -> (FrontEnd, SocketAddr) {
    start_with(&Config { listeners, ..Config::default() })
}

fn start_with(config: &Config<'_>) -> (FrontEnd, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    write_certificates(dir.path());
    let mut front_end = FrontEnd::start_in(dir, config);
    let address = front_end.address("mx");
    (front_end, address)
}

fn ended(front_end: &FrontEnd, ending: &str) {
    let series = format!("mailslotd_smtp_sessions_ended_total{{ending=\"{ending}\",listener=\"mx\"}}");
    front_end.gateway.wait_for_metric(&series, 1);
}

/// A whole transaction in one piece but for its content, which ends where the piece of a session does.
fn group_up_to_a_piece() -> Vec<u8> {
    let head = "MAIL FROM:<a@client.test>\r\nRCPT TO:<ops@corp.example>\r\nNOOP ";
    let tail = "\r\nDATA\r\n";
    let padding = "x".repeat(480);
    let rest = PIECE - head.len() - tail.len() - padding.len() - "\r\nNOOP ".len();
    format!("{head}{padding}\r\nNOOP {}{tail}", "x".repeat(rest)).into_bytes()
}

#[test]
fn a_stranger_that_sends_its_next_groups_behind_a_content_is_answered_for_all_of_them() {
    let (front_end, address) = start_with(&Config {
        listeners: MX,
        tarpit: Some("{ time: 1s, max_line: 30s }"),
        ..Config::default()
    });
    let mut client = Client::greeted(address);
    let content = format!("Subject: one\r\n\r\n{}\r\n.\r\n", "text\r\n".repeat(3000));
    let idle = format!("NOOP {}\r\n", "x".repeat(400));
    let group = format!(
        "{content}{}MAIL FROM:<a@client.test>\r\nRCPT TO:<ops@corp.example>\r\nRCPT TO:<guess@corp.example>\r\nDATA\r\n",
        idle.repeat(40)
    );
    for command in ["MAIL FROM:<a@client.test>", "RCPT TO:<ops@corp.example>"] {
        assert_eq!(client.say(command).code, 250);
    }
    assert_eq!(client.say("DATA").code, 354);
    client.send(group.as_bytes()).unwrap();
    let expected = [vec![250; 1 + 40 + 2], vec![550, 354]].concat();
    let codes: Vec<u16> = expected.iter().map(|_| client.reply().code).collect();
    assert_eq!(codes, expected);
    client.send(b"Subject: two\r\n\r\ntext\r\n.\r\nQUIT\r\n").unwrap();
    assert_eq!([client.reply().code, client.reply().code], [250, 221]);
    front_end.delivered(2);
}

#[test]
fn who_talks_before_the_greeting_gets_none() {
    let (front_end, address) = start(BEHIND);
    let mut client = Client::connect(address);
    client.send(b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\nEHLO client.test\r\n").unwrap();
    let reply = client.reply();
    assert_eq!(reply.code, 554, "{reply:?}");
    assert!(client.is_closed());
    ended(&front_end, "early_talker");
}

#[test]
fn who_talks_before_the_greeting_under_tls_gets_none() {
    let (front_end, address) = start(SECURED);
    let mut client = Secured::connect(address, front_end.folder());
    // In one piece with the end of the handshake.
    client.send(b"EHLO client.test\r\n");
    let reply = client.reply();
    assert_eq!(reply.code, 554, "{reply:?}");
    ended(&front_end, "early_talker");
}

#[test]
fn content_that_waits_in_the_kernel_when_data_is_read_is_never_taken() {
    let (front_end, address) = start(MX);
    let mut client = Client::greeted(address);
    client.send(&[group_up_to_a_piece(), b"Subject: smuggled\r\n\r\n.\r\n".to_vec()].concat()).unwrap();
    let codes: Vec<u16> = (0..5).map(|_| client.reply().code).collect();
    assert_eq!(codes, [250, 250, 250, 250, 554]);
    assert!(client.is_closed());
    ended(&front_end, "early_talker");
    assert!(front_end.mails().is_empty());
}

#[test]
fn content_that_waits_under_tls_when_data_is_read_is_never_taken() {
    let (front_end, address) = start(SECURED);
    let mut client = Secured::connect(address, front_end.folder());
    assert_eq!(client.reply().code, 220);
    client.send(b"EHLO client.test\r\n");
    assert_eq!(client.reply().code, 250);
    client.send(&[group_up_to_a_piece(), b"Subject: smuggled\r\n\r\n.\r\n".to_vec()].concat());
    let codes: Vec<u16> = (0..5).map(|_| client.reply().code).collect();
    assert_eq!(codes, [250, 250, 250, 250, 554]);
    ended(&front_end, "early_talker");
    // Who waits is served.
    let mut patient = Secured::connect(address, front_end.folder());
    assert_eq!(patient.reply().code, 220);
    for (command, code) in [("EHLO client.test", 250), ("MAIL FROM:<a@client.test>", 250)] {
        patient.send(format!("{command}\r\n").as_bytes());
        assert_eq!(patient.reply().code, code, "{command}");
    }
    patient.send(b"RCPT TO:<ops@corp.example>\r\nDATA\r\n");
    assert_eq!([patient.reply().code, patient.reply().code], [250, 354]);
    patient.send(b"Subject: hello\r\n\r\ntext\r\n.\r\n");
    assert_eq!(patient.reply().code, 250);
    front_end.delivered(1);
}

/// A DNS server on loopback that knows one list, `bl.example`, with one address on it: 198.51.100.66.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut query) {
            socket.send_to(&dns_response(&query[..length]), peer).unwrap();
        }
    });
    address
}

/// RFC 1035 §4.1.
fn dns_response(query: &[u8]) -> Vec<u8> {
    let (mut name, mut at) = (String::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        write!(name, "{}.", String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase()).unwrap();
        at += length + 1;
    }
    let record_type = query[at + 2];
    let reason = b"Sends junk; see bl.example/66";
    let record = match (name.as_str(), record_type) {
        ("66.100.51.198.bl.example.", 1) => vec![127, 0, 0, 2],
        ("66.100.51.198.bl.example.", 16) => [&[29], &reason[..]].concat(),
        _ => Vec::new(),
    };
    let is_known = name == "66.100.51.198.bl.example.";
    let rcode = if is_known { 0 } else { 3 };
    let count = u8::from(!record.is_empty());
    let mut message = [&query[..2], &[0x81, 0x80 | rcode, 0, 1, 0, count, 0, 0, 0, 0]].concat();
    message.extend(&query[12..at + 5]);
    if count == 1 {
        let length = u8::try_from(record.len()).unwrap();
        message.extend([0xC0, 12, 0, record_type, 0, 1, 0, 0, 0, 60, 0, length]);
        message.extend(record);
    }
    message
}

/// Connects as this client, through the proxy that the test is.
fn proxied(address: SocketAddr, client: &str) -> Client {
    let mut proxy = Client::connect(address);
    proxy.send(format!("PROXY TCP4 {client} 192.0.2.1 4711 25\r\n").as_bytes()).unwrap();
    assert_eq!(proxy.reply().code, 220);
    assert_eq!(proxy.say("EHLO client.test").code, 250);
    proxy
}

const LISTED_BY: &str =
    "    - { name: mx, addresses: ['{any}'], proxy_protocol_from: [127.0.0.1], dnsbl: [bl.example] }\n";

#[test]
fn who_is_on_a_block_list_is_refused_with_its_reason_as_late_as_any_refusal() {
    let rest = format!("dns_server: {}\n", name_server());
    let tarpit = Some("{ time: 1s, max_line: 30s }");
    let (front_end, address) =
        start_with(&Config { listeners: LISTED_BY, tarpit, rest: &rest, ..Config::default() });
    let mut listed = proxied(address, "198.51.100.66");
    assert_eq!(listed.say("MAIL FROM:<a@client.test>").code, 250);
    let (reply, took) = timed(|| listed.say("RCPT TO:<ops@corp.example>"));
    let expected =
        "550 5.7.1 Client host [198.51.100.66] is listed by bl.example; Sends junk; see bl.example/66\r\n";
    assert_eq!(reply.text, expected);
    assert!(took >= Duration::from_millis(950), "{took:?}");
    let mut honest = proxied(address, "203.0.113.1");
    assert_eq!(honest.transact("a@client.test", "ops@corp.example", "Hi").code, 250);
    front_end.delivered(1);
    for outcome in ["listed", "not_listed"] {
        let series = format!("mailslotd_dnsbl_lookups_total{{list=\"bl.example\",outcome=\"{outcome}\"}}");
        assert_eq!(front_end.gateway.metric(&series), 1, "{outcome}");
    }
}

#[test]
fn a_block_list_that_does_not_answer_refuses_nobody_and_is_not_waited_for_long() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rest = format!("dns_server: {}\n", silent.local_addr().unwrap());
    let (front_end, address) = start_with(&Config { listeners: LISTED_BY, rest: &rest, ..Config::default() });
    let (mut client, took) = timed(|| proxied(address, "198.51.100.66"));
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(client.transact("a@client.test", "ops@corp.example", "Hi").code, 250);
    front_end.delivered(1);
    let series = "mailslotd_dnsbl_lookups_total{list=\"bl.example\",outcome=\"timed_out\"}";
    assert_eq!(front_end.gateway.metric(series), 1);
}

/// Version 2 for IPv4: `client` to 192.0.2.1, from port 4711 to 25.
fn proxy_v2(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C".to_vec();
    header.extend(client);
    header.extend([192, 0, 2, 1]);
    header.extend([4711_u16.to_be_bytes(), 25_u16.to_be_bytes()].concat());
    header
}

/// A proxy in front of people in a trusted network and of strangers.
const TRUSTING: &str = "    - name: mx
      addresses: ['{any}']
      proxy_protocol_from: [127.0.0.1]
      trusted_networks: [{ network: 192.0.2.0/25, relay_to: any }]
";

#[test]
fn the_client_that_a_proxy_names_decides_what_is_let_through_and_is_in_the_trace() {
    let (front_end, address) = start(TRUSTING);
    let headers: [(Vec<u8>, u16); 4] = [
        (b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n".to_vec(), 250),
        (b"PROXY TCP4 192.0.2.177 192.0.2.1 4711 25\r\n".to_vec(), 554),
        (proxy_v2([192, 0, 2, 78]), 250),
        (proxy_v2([192, 0, 2, 178]), 554),
    ];
    for (header, code) in headers {
        let mut client = Client::connect(address);
        client.send(&header).unwrap();
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.say("EHLO client.test").code, 250);
        let reply = client.transact("a@client.test", "somebody@elsewhere.example", "Hi");
        assert_eq!(reply.code, code, "{}: {reply:?}", header.escape_ascii());
    }
    let mails = front_end.delivered(2);
    for client in ["([192.0.2.77])", "([192.0.2.78])"] {
        assert!(mails.iter().any(|mail| mail.contains(client)), "{client}: {mails:#?}");
    }
}

#[test]
fn a_proxy_header_of_anybody_else_is_no_header() {
    let listeners = TRUSTING.replace("[127.0.0.1]", "[127.0.0.2]");
    let (front_end, address) = start(&listeners);
    for header in [b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n".to_vec(), proxy_v2([192, 0, 2, 78])] {
        let mut forger = Client::connect(address);
        forger.send(&header).unwrap();
        // It came before the greeting, or it is no command.
        let mut codes = Vec::new();
        forger.send(b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\n").ok();
        forger.send(b"RCPT TO:<somebody@elsewhere.example>\r\nQUIT\r\n").ok();
        while let Some(reply) = forger.try_reply() {
            codes.push(reply.code);
        }
        let refused = codes.iter().any(|code| *code >= 500);
        assert!(refused, "{}: {codes:?}", header.escape_ascii());
    }
    assert!(front_end.mails().is_empty());
}

#[test]
fn a_named_proxy_whose_header_is_broken_is_cut_off_and_the_log_says_what_to_mend() {
    let (mut front_end, address) = start(TRUSTING);
    let mut cut = proxy_v2([192, 0, 2, 78]);
    cut[15] = 2;
    let broken: [Vec<u8>; 4] = [
        b"PROXY TCP4 192.0.2.777 192.0.2.1 4711 25\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.77\r\n".to_vec(),
        cut,
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0C".to_vec(),
    ];
    let count = u64::try_from(broken.len()).unwrap();
    for header in broken {
        let mut proxy = Client::connect(address);
        proxy.send(&[header.clone(), vec![0; 64]].concat()).unwrap();
        assert!(proxy.is_closed(), "{}", header.escape_ascii());
    }
    let told = front_end.gateway.wait_for("brought no PROXY header");
    assert_eq!(told["proxy"], "127.0.0.1");
    let series = "mailslotd_smtp_connections_refused_total{listener=\"mx\",reason=\"proxy_header\"}";
    assert_eq!(front_end.gateway.metric(series), count);
}

#[test]
fn a_renewed_certificate_is_shown_to_the_next_client_and_a_broken_one_to_nobody() {
    let (mut front_end, address) = start(SECURED);
    let folder = front_end.folder().to_owned();
    let mut old = Secured::connect(address, &folder);
    assert_eq!(old.reply().code, 220);
    let before = std::fs::read(folder.join("server.pem")).unwrap();
    std::fs::write(folder.join("server.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let told = front_end.gateway.wait_for("A new certificate cannot be used; the old one is shown.");
    assert!(told["error"].as_str().unwrap().contains("server.pem"), "{told}");
    assert_eq!(Secured::connect(address, &folder).reply().code, 220, "the old one is still shown");

    // By another authority, which alone the next client believes.
    write_certificates(&folder);
    assert_ne!(std::fs::read(folder.join("server.pem")).unwrap(), before);
    front_end.gateway.wait_for("A new certificate is shown from now on.");
    assert_eq!(Secured::connect(address, &folder).reply().code, 220);
    old.send(b"NOOP\r\n");
    assert_eq!(old.reply().code, 250, "a session that is open keeps its own");
}

/// A client of implicit TLS, whose first octets come in one piece with the end of its handshake.
struct Secured {
    connection: ClientConnection,
    stream: TcpStream,
}

impl Secured {
    /// Goes as far as the handshake does without the client's last word; `folder` has `ca.pem`.
    fn connect(address: SocketAddr, folder: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(support::gateway::PATIENCE)).unwrap();
        connection.write_tls(&mut stream).unwrap();
        while connection.is_handshaking() {
            assert!(connection.read_tls(&mut stream).unwrap() > 0, "closed in the handshake");
            connection.process_new_packets().unwrap();
        }
        Self { connection, stream }
    }

    fn send(&mut self, octets: &[u8]) {
        self.connection.writer().write_all(octets).unwrap();
        self.flush();
    }

    /// In one piece.
    fn flush(&mut self) {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).unwrap();
        }
        self.stream.write_all(&records).unwrap();
    }

    fn reply(&mut self) -> Reply {
        self.flush();
        let mut tls = rustls::Stream::new(&mut self.connection, &mut self.stream);
        let mut text = String::new();
        loop {
            let begin = text.len();
            while !text.ends_with('\n') || text.len() == begin {
                let mut octet = [0];
                tls.read_exact(&mut octet).unwrap();
                text.push(char::from(octet[0]));
            }
            if text.as_bytes().get(begin + 3) != Some(&b'-') {
                return Reply { code: text.get(..3).unwrap().parse().unwrap(), text };
            }
        }
    }
}
