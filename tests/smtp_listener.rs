//! The SMTP front-end of the real binary on loopback: what clients that are in a hurry, slow, old, gone or many can do to
//! it, and what they cannot.
#![expect(clippy::disallowed_methods, reason = "the tests wait for another process on the wall clock")]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::gateway::{command, http_get, http_get_with, until};
use support::smtp::{Client, Config, FrontEnd, KNOWN, timed, write_certificates, write_smtp_config};

const MX: &str = "    - { name: mx, addresses: ['{any}'] }\n";
const DEVICES: &str = "    - name: devices
      addresses: ['{any}', '[::1]:0']
      trusted_networks: [{ network: 127.0.0.1, relay_to: any }]
      tls: { mode: starttls, {tls} }
";

fn mx() -> FrontEnd {
    FrontEnd::start(&Config { listeners: MX, ..Config::default() })
}

fn devices() -> FrontEnd {
    let dir = tempfile::tempdir().unwrap();
    write_certificates(dir.path());
    FrontEnd::start_in(dir, &Config { listeners: DEVICES, ..Config::default() })
}

/// A transaction that is open as far as 354.
fn in_mid_data(address: SocketAddr) -> Client {
    let mut client = Client::greeted(address);
    assert_eq!(client.say("MAIL FROM:<a@client.test>").code, 250);
    assert_eq!(client.say("RCPT TO:<ops@corp.example>").code, 250);
    assert_eq!(client.say("DATA").code, 354);
    client
}

#[test]
fn a_mail_arrives_with_a_trace_header_and_is_told_in_one_sentence() {
    let mut front_end = mx();
    let address = front_end.address("mx");
    let reply =
        Client::greeted(address).transact("a@client.test", "ops@corp.example", "Subject: hi\r\n\r\nBody");
    assert_eq!(reply.code, 250, "{reply:?}");
    let [mail] = front_end.delivered(1).try_into().unwrap();
    assert!(mail.contains("Received: from client.test ([127.0.0.1])"), "{mail}");
    assert!(mail.ends_with("Body\r\n") || mail.ends_with("Body\n"), "{mail:?}");
    let told = front_end.gateway.wait_for("Mail accepted.");
    assert_eq!((&told["listener"], &told["from"]), (&"mx".into(), &"a@client.test".into()));
    assert!(reply.text.contains(told["id"].as_str().unwrap()), "{reply:?}: {told}");
    assert_eq!(
        front_end.gateway.metric("mailslotd_smtp_messages_total{listener=\"mx\",outcome=\"accepted\"}"),
        1
    );
}

#[test]
fn a_client_that_vanishes_in_mid_data_leaves_nothing() {
    let mut front_end = mx();
    let address = front_end.address("mx");
    let mut client = in_mid_data(address);
    // More than stays in memory, so that there is a file to leave.
    for _ in 0..300 {
        client.send(&[b"x".repeat(998), b"\r\n".to_vec()].concat()).unwrap();
    }
    drop(client);
    let series = "mailslotd_smtp_sessions_ended_total{ending=\"abandoned\",listener=\"mx\"}";
    front_end.gateway.wait_for_metric(series, 1);
    let content = front_end.folder().join("state/spool/content");
    until("no file is left", || std::fs::read_dir(&content).unwrap().next().is_none());
    assert!(front_end.mails().is_empty());
    assert_eq!(front_end.gateway.metric("mailslotd_smtp_connections{listener=\"mx\"}"), 0);
    assert_eq!(
        front_end.gateway.metric("mailslotd_smtp_messages_total{listener=\"mx\",outcome=\"abandoned\"}"),
        1
    );
}

#[test]
fn a_message_that_is_refused_for_its_content_counts_apart_from_those_that_were_given_up() {
    let mut front_end = mx();
    let address = front_end.address("mx");
    let mut client = in_mid_data(address);
    client.send(b"a\0b\r\n").unwrap();
    assert_eq!(client.say(".").code, 554);
    let count = |outcome| {
        let series = format!("mailslotd_smtp_messages_total{{listener=\"mx\",outcome=\"{outcome}\"}}");
        front_end.gateway.metric(&series)
    };
    assert_eq!((count("refused"), count("abandoned")), (1, 0));
}

#[test]
fn thirty_megabytes_stream_through_while_memory_stays_flat() {
    let mut front_end = devices();
    let address = front_end.address("devices");
    let mut client = in_mid_data(address);
    let line = [b"y".repeat(76), b"\r\n".to_vec()].concat().repeat(1024);
    client.send(b"Subject: scan\r\n\r\n").unwrap();
    client.send(&line.repeat(10)).unwrap();
    let before = front_end.private_memory();
    let mut most = before;
    for piece in 0..390 {
        client.send(&line).unwrap();
        if piece % 50 == 0 {
            most = most.max(front_end.private_memory());
        }
    }
    assert_eq!(client.say(".").code, 250);
    most = most.max(front_end.private_memory());
    assert!(most < before + 8 * 1024, "{before} kB before, {most} kB at most");
    let [mail] = front_end.delivered(1).try_into().unwrap();
    assert!(mail.len() > 30_000_000, "{}", mail.len());
}

#[test]
fn of_two_thousand_recipients_those_past_the_limit_are_put_off() {
    let mut front_end = devices();
    let address = front_end.address("devices");
    let mut client = Client::greeted(address);
    assert_eq!(client.say("MAIL FROM:<a@client.test>").code, 250);
    let (mut taken, mut put_off) = (0_u64, 0);
    for number in 0..2000 {
        let reply = client.say(&format!("RCPT TO:<user{number}@elsewhere.example>"));
        match reply.code {
            250 => taken += 1,
            452 => put_off += 1,
            code => panic!("{code}: {reply:?}"),
        }
        assert!(reply.code == 250 || reply.text.contains("4.5.3"), "{reply:?}");
    }
    assert!(taken >= 100 && taken + put_off == 2000, "{taken} taken");
    assert_eq!(client.say("DATA").code, 354);
    assert_eq!(client.say("Subject: many\r\n\r\nHello\r\n.").code, 250);
    // One file in the one folder that all of them go to.
    front_end.delivered(1);
    let series = "mailslotd_deliveries_total{destination=\"inbox\",outcome=\"delivered\"}";
    front_end.gateway.wait_for_metric(series, taken);
}

#[test]
fn slow_octets_and_half_open_tls_bother_nobody_else() {
    let mut front_end = devices();
    let address = front_end.address("devices");
    let mut slow: Vec<Client> = (0..40).map(|_| Client::greeted(address)).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        if number % 2 == 0 {
            assert_eq!(client.say("STARTTLS").code, 220);
            client.send(&[0x16, 3, 1]).unwrap();
        } else {
            client.send(b"MAI").unwrap();
        }
    }
    let (reply, took) =
        timed(|| Client::greeted(address).transact("a@client.test", "ops@corp.example", "Hi"));
    assert_eq!(reply.code, 250);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(front_end.gateway.metric("mailslotd_smtp_connections{listener=\"devices\"}") >= 40);
}

#[test]
fn a_device_whose_tls_is_too_old_is_explained_in_the_log_and_counted() {
    let mut front_end = devices();
    let address = front_end.address("devices");
    let mut client = Client::greeted(address);
    assert_eq!(client.say("STARTTLS").code, 220);
    let mut hello = vec![0x16, 3, 0, 0, 47, 1, 0, 0, 43, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0x00, 0x05, 0x00, 0x0A, 1, 0]);
    hello[4] = u8::try_from(hello.len() - 5).unwrap();
    hello[8] = u8::try_from(hello.len() - 9).unwrap();
    client.send(&hello).unwrap();
    let told = front_end.gateway.wait_for("A TLS handshake failed.");
    let fault = told["fault"].as_str().unwrap();
    assert!(fault.contains("at most TLS 1.0") && fault.contains("TLS_RSA_WITH_RC4_128_SHA"), "{told}");
    assert!(told["fix"].as_str().unwrap().contains("hide: [STARTTLS]"), "{told}");
    let series = "mailslotd_smtp_tls_handshakes_total{listener=\"devices\",outcome=\"too_old\"}";
    assert_eq!(front_end.gateway.metric(series), 1);
}

#[test]
fn every_address_of_a_listener_answers_ipv6_included() {
    let mut front_end = devices();
    let events = front_end.gateway.events();
    let listening = events.iter().filter(|event| event["message"] == "Listening for SMTP.");
    let addresses: Vec<SocketAddr> =
        listening.map(|event| event["address"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(addresses.iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(), [false, true]);
    for address in addresses {
        Client::greeted(address);
    }
    let (_, ready) = http_get(front_end.gateway.admin, "/readyz");
    assert!(ready.contains(r#""listener":"devices""#), "{ready}");
}

#[test]
fn a_port_that_is_taken_is_said_with_its_owner_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let listeners = MX.replace("{any}", &taken.local_addr().unwrap().to_string());
    let path = write_smtp_config(dir.path(), &Config { listeners: &listeners, ..Config::default() });
    let output = command(&path).arg("run").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    let pid = format!("(pid {}) holds it", std::process::id());
    assert!(said.contains("for the SMTP listener mx") && said.contains(&pid), "{said}");
    assert!(!dir.path().join("state/spool").exists());
}

#[test]
fn at_the_stop_idle_sessions_hear_421_and_an_open_transaction_may_end() {
    let mut front_end = mx();
    let address = front_end.address("mx");
    let (mut idle, mut busy) = (Client::greeted(address), in_mid_data(address));
    let stopping = std::thread::spawn(move || front_end.stop());
    let farewell = idle.reply();
    assert_eq!(farewell.code, 421, "{farewell:?}");
    assert!(farewell.text.contains("4.3.2") && idle.is_closed());
    assert!(TcpStream::connect(address).is_err() || Client::connect(address).try_reply().is_none());
    assert_eq!(busy.say("Subject: last\r\n\r\nHello\r\n.").code, 250);
    assert_eq!(busy.reply().code, 421);
    let (status, events) = stopping.join().unwrap();
    assert!(status.success());
    assert!(events.iter().any(|event| event["message"] == "Stopped."), "{events:#?}");
}

#[test]
fn more_connections_of_one_network_than_allowed_are_turned_away_and_others_are_not() {
    let limits = Some("{ connections_per_network: 3 }");
    let mut front_end = FrontEnd::start(&Config { listeners: MX, limits, ..Config::default() });
    let address = front_end.address("mx");
    let kept: Vec<Client> = (0..3).map(|_| Client::greeted(address)).collect();
    let refused = Client::connect(address).reply();
    assert_eq!(refused.code, 421, "{refused:?}");
    assert!(refused.text.contains("4.7.0"), "{refused:?}");
    let mut other = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), address);
    assert_eq!(other.reply().code, 220);
    drop(kept);
    until("a place is free again", || Client::connect(address).reply().code == 220);
    let series =
        "mailslotd_smtp_connections_refused_total{listener=\"mx\",reason=\"connections_of_network\"}";
    assert!(front_end.gateway.metric(series) >= 1);
}

#[test]
fn a_client_without_a_proxy_header_is_cut_off_where_one_must_come_and_its_header_is_junk_elsewhere() {
    let listeners = "    - name: behind
      addresses: ['{any}']
      proxy_protocol_from: [127.0.0.1]
    - { name: mx, addresses: ['{any}'] }
";
    let mut front_end = FrontEnd::start(&Config { listeners, ..Config::default() });
    let (behind, mx) = (front_end.address("behind"), front_end.address("mx"));
    let mut bare = Client::connect(behind);
    bare.send(b"EHLO client.test\r\n").unwrap();
    assert!(bare.is_closed());

    let mut proxied = Client::connect(behind);
    proxied.send(b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n").unwrap();
    assert_eq!(proxied.reply().code, 220);
    assert_eq!(proxied.say("EHLO client.test").code, 250);
    assert_eq!(proxied.transact("a@client.test", "ops@corp.example", "Hi").code, 250);
    let told = front_end.gateway.wait_for("Mail accepted.");
    assert_eq!(told["client"], "192.0.2.77");
    let [mail] = front_end.delivered(1).try_into().unwrap();
    assert!(mail.contains("([192.0.2.77])"), "{mail}");

    let mut junk = Client::connect(mx);
    junk.send(b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n").unwrap();
    let reply = junk.reply();
    assert!(reply.code >= 400 || junk.reply().code >= 500, "{reply:?}");
}

#[test]
fn a_process_that_may_open_no_more_files_turns_clients_away_and_recovers() {
    let mut front_end = FrontEnd::start(&Config { listeners: MX, ..Config::default() });
    let address = front_end.address("mx");
    let pid = front_end.gateway.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let limit = u64::try_from(open + 10).unwrap();
    let limits = format!("--nofile={limit}:{limit}");
    let (said, set) = support::smtp::run("prlimit", &["--pid", &pid.to_string(), &limits], "");
    assert!(set, "{said}");
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
    let codes: Vec<u16> = clients.iter_mut().map(|client| client.reply().code).collect();
    assert!(codes.contains(&220) && codes.contains(&421), "{codes:?}");
    front_end.gateway.wait_for("LimitNOFILE");
    drop(clients);
    until("it serves again", || Client::connect(address).try_reply().is_some_and(|reply| reply.code == 220));
}

const PIT: &str = "{ time: 1s, max_line: 30s }";

fn pit() -> (FrontEnd, SocketAddr) {
    let mut front_end = FrontEnd::start(&Config { listeners: MX, tarpit: Some(PIT), ..Config::default() });
    let address = front_end.address("mx");
    (front_end, address)
}

fn harvester(address: SocketAddr) -> Client {
    let mut client = Client::greeted(address);
    assert_eq!(client.say("MAIL FROM:<a@client.test>").code, 250);
    client
}

/// How many names a strategy learned, and in which time.
fn assert_slow(learned: usize, took: Duration) {
    let most = took.as_secs_f64().floor() + 1.0;
    assert!(f64::from(u32::try_from(learned).unwrap()) <= most, "{learned} names in {took:?}");
}

#[test]
fn one_connection_learns_a_name_a_second() {
    let (front_end, address) = pit();
    let (codes, took) = timed(|| {
        let mut client = harvester(address);
        (0..4)
            .map(|number| client.say(&format!("RCPT TO:<guess{number}@corp.example>")).code)
            .collect::<Vec<_>>()
    });
    assert_eq!(codes, [550; 4]);
    assert_slow(codes.len(), took);
    assert_eq!(front_end.gateway.metric("mailslotd_tarpit_replies_total"), 4);
}

#[test]
fn ten_connections_at_once_learn_no_more_than_one() {
    let (_front_end, address) = pit();
    let begin = Instant::now();
    let threads: Vec<_> = (0..10)
        .map(|number| {
            std::thread::spawn(move || {
                let mut client = harvester(address);
                let mut learned = 0;
                while begin.elapsed() < Duration::from_secs(4) {
                    client.send(format!("RCPT TO:<guess{number}@corp.example>\r\n").as_bytes()).unwrap();
                    match client.try_reply() {
                        Some(reply) if reply.code == 550 => learned += 1,
                        Some(_) | None => break,
                    }
                }
                learned
            })
        })
        .collect();
    let learned: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(learned >= 2, "the line moves");
    assert_slow(learned, begin.elapsed());
}

#[test]
fn hanging_up_and_coming_back_gains_nothing() {
    let (front_end, address) = pit();
    let begin = Instant::now();
    let mut answered = 0;
    for number in 0..10 {
        let mut client = harvester(address);
        client.send(format!("RCPT TO:<guess{number}@corp.example>\r\n").as_bytes()).unwrap();
        // Silence is taken for "unknown".
        client.set_patience(Duration::from_millis(300));
        if client.try_reply().is_some() {
            answered += 1;
        }
    }
    assert_slow(answered, begin.elapsed());
    // A name that exists waits like the others as long as the network owes: silence tells nothing.
    let mut client = harvester(address);
    let (reply, took) = timed(|| client.say("RCPT TO:<ops@corp.example>"));
    assert!(reply.code == 250 || reply.code == 421, "{reply:?}");
    assert!(took > Duration::from_millis(300), "{took:?}");
    assert!(front_end.gateway.metric("mailslotd_tarpit_gave_up_total") >= 1);
}

#[test]
fn an_honest_client_sends_one_mail_after_another_to_several_recipients_without_a_wait() {
    let (front_end, address) = pit();
    let mut client = Client::greeted(address);
    let ((), took) = timed(|| {
        for _ in 0..3 {
            assert_eq!(client.say("MAIL FROM:<friend@elsewhere.example>").code, 250);
            for known in KNOWN {
                assert_eq!(client.say(&format!("RCPT TO:<{known}>")).code, 250);
            }
            assert_eq!(client.say("DATA").code, 354);
            assert_eq!(client.say("Subject: again\r\n\r\ntext\r\n.").code, 250);
        }
    });
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert_eq!(front_end.gateway.metric("mailslotd_tarpit_delayed"), 0);
}

#[test]
fn an_honest_session_of_another_network_does_not_notice_the_pit() {
    let (_front_end, address) = pit();
    let mut held: Vec<Client> = (0..10).map(|_| harvester(address)).collect();
    for client in &mut held {
        client.send(b"RCPT TO:<guess@corp.example>\r\n").unwrap();
    }
    let honest = || {
        let mut client = Client::connect_from(IpAddr::from([127, 0, 0, 9]), address);
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.say("EHLO honest.test").code, 250);
        client.transact("a@client.test", "ops@corp.example", "Hi")
    };
    let (reply, took) = timed(honest);
    assert_eq!(reply.code, 250);
    assert!(took < Duration::from_millis(900), "{took:?}");
}

#[test]
fn whoever_administers_it_sees_whom_the_tar_pit_holds_on_the_page_and_at_the_terminal() {
    let config = Config { listeners: MX, tarpit: Some("{ time: 1s }"), ..Config::default() };
    let mut front_end = FrontEnd::start(&config);
    let mut client = Client::greeted(front_end.address("mx"));
    assert_eq!(client.say("MAIL FROM:<a@client.test>").code, 250);
    assert_eq!(client.say("RCPT TO:<<b>nobody</b>@corp.example>").code, 501);
    assert_eq!(client.say("RCPT TO:<nobody@corp.example>").code, 550);

    let browser = [("Accept", "text/html,application/xhtml+xml")];
    let (head, page) = http_get_with(front_end.gateway.admin, "/", &browser);
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"), "{head}");
    assert!(page.contains("<title>gw.test: ready</title>"), "{page}");
    assert!(page.contains("<td>127.0.0.1/32</td>") && page.contains("<td>mx</td>"), "{page}");
    let (_, index) = http_get(front_end.gateway.admin, "/");
    assert!(index.contains("/metrics  for Prometheus"), "{index}");
    let foreign = [("Accept", "text/html"), ("Host", "evil.example")];
    let (head, _) = http_get_with(front_end.gateway.admin, "/", &foreign);
    assert!(head.starts_with("HTTP/1.1 421"), "{head}");

    let told = |words: &[&str]| {
        let output = command(&front_end.folder().join("mailslotd.yaml")).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(told(&["tarpit"]).contains("127.0.0.1/32"));
    let tarpit: serde_json::Value = serde_json::from_str(&told(&["tarpit", "--json"])).unwrap();
    assert_eq!(tarpit["most_responsible"][0]["network"], "127.0.0.1/32");
    assert_eq!(tarpit["delayed_replies"], 2);
    assert!(told(&["status"]).contains("\nmx        127.0.0.1:"));
    let status: serde_json::Value = serde_json::from_str(&told(&["status", "--json"])).unwrap();
    assert_eq!((&status["stage"], &status["smtp"][0]["connections"]), (&"ready".into(), &1.into()));
}

#[test]
fn a_gateway_that_does_not_run_has_no_status() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_smtp_config(dir.path(), &Config { listeners: MX, ..Config::default() });
    let output = command(&path).arg("status").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("no gateway runs on"), "{said}");
}
