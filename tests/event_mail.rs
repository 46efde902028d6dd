//! From the wire to a queue: the real binary takes mail and datagrams, and a real nats-server has the events.
#![cfg(feature = "nats")]

use std::net::UdpSocket;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

mod support;

use support::gateway::{Gateway, until, write_config};
use support::messngr::messngr;
use support::nats_server::NatsServer;
use support::require;
use support::smtp::Client;

/// A gateway whose mail and notices all go to one stream.
struct World {
    gateway: Gateway,
    server: NatsServer,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl World {
    fn start(server: NatsServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rest = format!(
            "  smtp:
    - {{ name: devices, addresses: ['127.0.0.1:0'], trusted_networks: [127.0.0.0/8] }}
site: hall.3
netbios: {{ code_page: cp850 }}
operator: {{ postmaster: ops@corp.example }}
destinations:
  bus:
    nats: {{ servers: ['{}'], stream: ALL, create: {{ subjects: ['mail.>', 'plant.>'] }}, limits: {{ message_size: 256KiB }} }}
relay:
  accepted_domains: [corp.example]
  routes: [{{ domain: '*', via: bus, to: 'mail.{{site}}.{{domain}}.{{local_part}}' }}]
rules:
  - {{ name: everything, match: any, deliver: [{{ via: bus, to: 'plant.{{originator}}.alarm', subject: 'From {{originator}}' }}] }}
",
            server.url()
        );
        let gateway = Gateway::start(&write_config(dir.path(), &rest));
        Self { gateway, server, runtime: tokio::runtime::Runtime::new().unwrap(), _dir: dir }
    }

    fn client(&mut self) -> Client {
        let events = self.gateway.events();
        let listener =
            events.iter().find(|event| event["listener"] == "devices" && event["address"].is_string());
        Client::connect(listener.unwrap()["address"].as_str().unwrap().parse().unwrap())
    }

    /// Subject and event of each message in the stream, once there are so many.
    fn stored(&self, count: u64) -> Vec<(String, Value)> {
        self.gateway
            .wait_for_metric(r#"mailslotd_deliveries_total{destination="bus",outcome="delivered"}"#, count);
        self.runtime.block_on(async {
            let client = async_nats::connect(self.server.url()).await.unwrap();
            let stream = async_nats::jetstream::new(client).get_stream("ALL").await.unwrap();
            let state = stream.cached_info().state.clone();
            assert_eq!(state.messages, count);
            let mut all = Vec::new();
            for sequence in state.first_sequence..=state.last_sequence {
                let message = stream.get_raw_message(sequence).await.unwrap();
                let event: Value = serde_json::from_slice(&message.payload).unwrap();
                assert_eq!(message.headers.get("Nats-Msg-Id").unwrap().as_str(), event["id"]);
                all.push((message.subject.to_string(), event));
            }
            all
        })
    }
}

#[test]
fn a_mail_from_a_device_is_an_event_for_each_recipient_with_all_of_it() {
    let mut world = World::start(require!(NatsServer::start("")));
    let mut client = world.client();
    assert_eq!(client.reply().code, 220);
    let size = (256 - 48) * 1024 / 4 * 3;
    let offered = client.say("EHLO scanner.test").text;
    assert!(offered.contains(&format!("SIZE {size}\r\n")), "{offered}");
    assert_eq!(client.say(&format!("MAIL FROM:<scanner@corp.example> SIZE={}", size + 1)).code, 552);

    assert_eq!(client.say("MAIL FROM:<scanner@corp.example>").code, 250);
    for recipient in ["office@corp.example", "a.b*@corp.example"] {
        assert_eq!(client.say(&format!("RCPT TO:<{recipient}>")).code, 250);
    }
    assert_eq!(client.say("DATA").code, 354);
    let line = format!("{}\r\n", "x".repeat(70));
    let mail = format!("Subject: scan\r\n\r\nSee below.\r\n{}", line.repeat((size - 1000) / line.len()));
    client.send(mail.as_bytes()).unwrap();
    assert_eq!(client.say(".").code, 250);

    let stored = world.stored(2);
    let mut subjects: Vec<&str> = stored.iter().map(|(subject, _)| &**subject).collect();
    subjects.sort_unstable();
    let prefix = "mail.hall%2E3.corp%2Eexample";
    assert_eq!(subjects, [format!("{prefix}.a%2Eb%2A"), format!("{prefix}.office")]);
    for (subject, event) in &stored {
        assert_eq!(
            (&event["type"], &event["subject"]),
            (&"mailslotd.mail.v1".into(), &subject.clone().into())
        );
        let data = &event["data"];
        let original = STANDARD.decode(data["original"].as_str().unwrap()).unwrap();
        let body = mail.split_once("\r\n\r\n").unwrap().1;
        assert!(
            original.starts_with(b"Received: ") && original.ends_with(body.as_bytes()),
            "the original, traced"
        );
        assert!(data["text"].as_str().unwrap().starts_with("See below.\nxxx"));
        assert_eq!(data["client"]["listener"], "devices");
        assert_eq!(data["envelope"]["reverse_path"], "scanner@corp.example");
    }
    let field = |name: &str| -> std::collections::BTreeSet<String> {
        stored.iter().map(|(_, event)| event.pointer(name).unwrap().as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((field("/data/queue_id").len(), field("/id").len()), (1, 2), "one message, two copies");
    assert_eq!(
        Vec::from_iter(field("/data/envelope/recipient")),
        ["a.b*@corp.example", "office@corp.example"]
    );
}

#[test]
fn no_name_of_a_sender_leaves_its_token() {
    let world = World::start(require!(NatsServer::start("")));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for name in ["UPS-3", "A.B", ">", "$SYS.X", "A B"] {
        world.gateway.send(&socket, &messngr(name, "on battery"));
    }
    let received = r#"mailslotd_deliveries_total{destination="bus",outcome="delivered"}"#;
    until("five events", || world.gateway.metric(received) == 5);
    let stored = world.stored(5);
    let mut subjects: Vec<&str> = stored.iter().map(|(subject, _)| &**subject).collect();
    subjects.sort_unstable();
    assert_eq!(
        subjects,
        [
            "plant.%24SYS%2EX.alarm",
            "plant.%3E.alarm",
            "plant.A%20B.alarm",
            "plant.A%2EB.alarm",
            "plant.UPS-3.alarm"
        ]
    );
    for (_, event) in &stored {
        let data = &event["data"];
        assert_eq!(data["title"], format!("From {}", data["originator"].as_str().unwrap()));
    }
}
