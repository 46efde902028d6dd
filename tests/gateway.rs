//! The real binary on loopback without a mail server: what it says of itself, and how it ends.
#![expect(clippy::disallowed_methods, reason = "the tests wait for other processes on the wall clock")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use support::free_port;
use support::gateway::{Gateway, http_get, write_config};
use support::messngr::messngr;

/// Everything by plain SMTP to this port, with these settings of the spool.
fn to_port(port: u16, spool: &str) -> String {
    format!(
        "netbios: {{ code_page: cp850 }}\nspool: {spool}\ndestinations:\n  smarthost:\n    submission: {{ host: 127.0.0.1, port: {port}, tls: {{ mode: none }}, auth: none, from: {{ address: alerts@plant.example }} }}\n\
         rules:\n  - name: everything\n    match: any\n    deliver: [{{ via: smarthost, to: ops@plant.example }}]\n"
    )
}

fn send(gateway: &Gateway, text: &str) {
    gateway.send(&UdpSocket::bind("127.0.0.1:0").unwrap(), &messngr("UPS-1", text));
}

/// Takes one message, says so on `seen`, and withholds its reply until `go` says something.
fn withholding_server(listener: TcpListener, seen: Sender<()>, go: Receiver<()>) {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut write = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        write.write_all(b"220 next.hop.example ESMTP\r\n").unwrap();
        while let Some(line) = lines.next() {
            let reply = match line.split([' ', ':']).next().unwrap().to_ascii_uppercase().as_str() {
                "DATA" => {
                    write.write_all(b"354 go\r\n").unwrap();
                    lines.by_ref().find(|line| line == ".").unwrap();
                    seen.send(()).unwrap();
                    go.recv().unwrap();
                    "250 2.0.0 taken\r\n"
                }
                "QUIT" => "221 2.0.0 bye\r\n",
                _ => "250 2.0.0 ok\r\n",
            };
            if write.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    });
}

#[test]
fn a_spool_that_refuses_alarms_is_unreadiness_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&write_config(dir.path(), &to_port(free_port(), "{ min_free: 1GiB }")));
    let (status, text) = http_get(gateway.admin, "/readyz");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains(r#""spool":"accepting""#), "{text}");
    drop(gateway);

    let config = write_config(dir.path(), &to_port(free_port(), "{ min_free: 900000GiB }"));
    let gateway = Gateway::start(&config);
    let (status, text) = http_get(gateway.admin, "/readyz");
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("spool.min_free") && text.contains(r#""stage":"ready""#), "{text}");
    assert_eq!(http_get(gateway.admin, "/healthz").0, 200, "the process works all the same");
}

#[test]
fn a_delivery_under_way_has_the_grace_period_too_while_the_spool_has_no_room_for_what_was_heard() {
    let dir = tempfile::tempdir().unwrap();
    let gateway =
        Gateway::start(&write_config(dir.path(), &to_port(free_port(), "{ reserved_for_notices: 0B }")));
    send(&gateway, "number 1");
    gateway.wait_for_metric("mailslotd_spool_accepted_total{class=\"notice\"}", 1);
    let held = gateway.metric("mailslotd_spool_bytes");
    gateway.kill();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ((saw, seen), (go, wait)) = (channel(), channel());
    withholding_server(listener, saw, wait);
    let room = format!("{{ max_size: {}B, reserved_for_notices: 0B }}", held + held / 2);
    let mut gateway = Gateway::start(&write_config(dir.path(), &to_port(port, &room)));
    seen.recv_timeout(Duration::from_secs(30)).expect("the first is on its way");
    send(&gateway, "number 2");
    gateway.wait_for("they wait in memory");
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        go.send(()).unwrap();
    });
    let (status, events) = gateway.stop();
    assert!(status.success());
    let said = |text: &str| {
        events.iter().any(|event| event["message"].as_str().is_some_and(|message| message.contains(text)))
    };
    assert!(said("Delivered."), "{events:#?}");
    assert!(!said("messages were lost"), "the delivery made room: {events:#?}");
    assert!(!said("did not end in time") && said("Stopped."), "{events:#?}");
}

/// The status line of a request with these header lines.
fn answer(admin: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_web_page_that_names_loopback_by_a_name_of_its_own_reads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&write_config(dir.path(), &to_port(free_port(), "{}")));
    let host = |host: &str| {
        answer(gateway.admin, &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    for allowed in ["127.0.0.1", "127.0.0.1:9138", "[::1]:9138", "localhost", "LocalHost:9138"] {
        assert!(host(allowed).starts_with("HTTP/1.1 200 "), "{allowed}");
    }
    for refused in
        ["evil.example", "localhost.evil.example:9138", "127.0.0.1.evil.example", "a@localhost", ""]
    {
        let answer = host(refused);
        assert!(answer.starts_with("HTTP/1.1 421 "), "{refused}: {answer}");
        assert!(answer.contains("localhost") && !answer.contains("mailslotd_"), "{answer}");
    }
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(answer(gateway.admin, absolute).starts_with("HTTP/1.1 421 "));
    let old = answer(gateway.admin, "GET /healthz HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200 "), "no browser speaks so: {old}");
}
