//! mosquitto, QoS 1, beside a loop around the same machine.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mailslotd::session::mqtt_publisher::{Fate, Input, MqttPublisher, Output, Profile, Publication, Ticket};
use mailslotd::wire::mqtt::{MqttString, TopicName};

use crate::load::{Load, Round};
use crate::support::Missing;
use crate::support::mosquitto::Mosquitto;

/// As a destination has it by default.
const IN_FLIGHT: usize = 256;

pub(crate) fn measure(load: &Load) -> Result<Vec<Round>, Missing> {
    let server = Mosquitto::start(&format!("max_inflight_messages {IN_FLIGHT}"))?;
    let load = *load;
    Ok(load.turn_about(|| bare(server.port, load), || spool(server.port, load)))
}

async fn spool(port: u16, load: Load) -> f64 {
    load.drain(&format!("  queue: {{ mqtt: {{ url: 'mqtt://127.0.0.1:{port}' }} }}\n"), "plant/ups").await
}

/// Messages of the same size with the same properties.
async fn bare(port: u16, load: Load) -> f64 {
    tokio::task::spawn_blocking(move || publish_all(port, load)).await.unwrap()
}

fn publish_all(port: u16, load: Load) -> f64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut machine = MqttPublisher::new(
        Instant::now(),
        Profile {
            client_id: MqttString::default(),
            user: None,
            password: None,
            in_flight: u16::try_from(IN_FLIGHT).unwrap(),
            patience: Duration::from_secs(60),
        },
    );
    let topic = TopicName::new("plant/ups").unwrap();
    let payload = Bytes::from(vec![b'x'; EVENT]);
    let (mut sent, mut done, mut started) = (0, 0, None);
    while done < load.messages {
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Send(octets) => stream.write_all(&octets).unwrap(),
                Output::SendSecret(octets) => stream.write_all(&octets).unwrap(),
                Output::Ready => started = Some(Instant::now()),
                Output::Done(_, Fate::Acknowledged(_)) => done += 1,
                Output::Done(_, other @ Fate::TooLarge { .. }) => panic!("{other:?}"),
                Output::Closed(ending) => panic!("{ending:?}"),
            }
        }
        let mut waits = true;
        while started.is_some() && sent < load.messages && sent - done < IN_FLIGHT {
            let id = format!("{sent:013}.0123456789abcdef01234567");
            let publication = Publication {
                ticket: Ticket(u64::try_from(sent).unwrap()),
                topic: topic.clone(),
                content_type: MqttString::lossy("application/cloudevents+json"),
                user_properties: vec![(MqttString::lossy("id"), MqttString::lossy(&id))],
                payload: payload.clone(),
            };
            machine.handle_input(Instant::now(), Input::Publish(publication));
            sent += 1;
            waits = false;
        }
        if waits && done < load.messages {
            let mut buffer = [0; 16 * 1024];
            let length = stream.read(&mut buffer).unwrap();
            machine.handle_input(Instant::now(), Input::Bytes(&buffer[..length]));
        }
    }
    load.rate(started.unwrap())
}

/// Bytes of a structured event of the load.
const EVENT: usize = 800;
