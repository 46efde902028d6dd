//! RabbitMQ, a durable queue and persistent messages, beside a loop around the same machine.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mailslotd::session::amqp_publisher::{
    AmqpPublisher, Confirmation, Identity, Input, Output, Profile, Publication, Ticket,
};
use mailslotd::wire::amqp::{Properties, ShortString, Unroutable};

use crate::load::{Load, Round};
use crate::support::Missing;
use crate::support::rabbitmq::{PASSWORD, RabbitMq};

/// As a destination has it by default.
const IN_FLIGHT: usize = 256;

pub(crate) fn measure(load: &Load) -> Result<Vec<Round>, Missing> {
    let rabbit = RabbitMq::start()?;
    let load = *load;
    Ok(load.turn_about(|| bare(&rabbit, load), || spool(&rabbit, load)))
}

async fn spool(rabbit: &RabbitMq, load: Load) -> f64 {
    rabbit.control(&["purge_queue", "all"]);
    let secret = rabbit.path("secret");
    std::fs::write(&secret, PASSWORD).unwrap();
    let destination = format!(
        "  queue: {{ amqp: {{ url: 'amqp://127.0.0.1:{}', user: gw, password_file: {}, exchange: mailslot }} }}\n",
        rabbit.port,
        secret.display()
    );
    load.drain(&destination, "plant.ups").await
}

/// Messages of the same size with the same properties.
async fn bare(rabbit: &RabbitMq, load: Load) -> f64 {
    rabbit.control(&["purge_queue", "all"]);
    let port = rabbit.port;
    tokio::task::spawn_blocking(move || publish_all(port, load)).await.unwrap()
}

fn publish_all(port: u16, load: Load) -> f64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let short = |text: &str| ShortString::new(text).unwrap();
    let mut machine = AmqpPublisher::new(
        Instant::now(),
        Profile {
            identity: Identity::Password { user: "gw".to_owned(), password: PASSWORD.to_owned().into() },
            virtual_host: short("/"),
            exchange: short("mailslot"),
            unroutable: Unroutable::Return,
            connection_name: short("bare"),
            patience: Duration::from_secs(60),
        },
    );
    let body = Bytes::from(vec![b'x'; EVENT]);
    let (mut sent, mut confirmed, mut started) = (0, 0, None);
    while confirmed < load.messages {
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Send(octets) => stream.write_all(&octets).unwrap(),
                Output::SendSecret(octets) => stream.write_all(&octets).unwrap(),
                Output::Ready => started = Some(Instant::now()),
                Output::Confirmed(_, Confirmation::Acked) => confirmed += 1,
                Output::Confirmed(_, other) => panic!("{other:?}"),
                Output::Closed(ending) => panic!("{ending:?}"),
            }
        }
        let mut waits = true;
        while started.is_some() && sent < load.messages && sent - confirmed < IN_FLIGHT {
            let properties = Properties {
                content_type: short("application/cloudevents+json"),
                message_id: short(&format!("{sent:013}.0123456789abcdef01234567")),
                message_type: short("mailslotd.messenger.v1"),
                app_id: short("mailslotd"),
                ..Properties::default()
            };
            let ticket = Ticket(u64::try_from(sent).unwrap());
            let publication =
                Publication { ticket, routing_key: short("plant.ups"), properties, body: body.clone() };
            machine.handle_input(Instant::now(), Input::Publish(publication));
            sent += 1;
            waits = false;
        }
        if waits && confirmed < load.messages {
            let mut buffer = [0; 16 * 1024];
            let length = stream.read(&mut buffer).unwrap();
            machine.handle_input(Instant::now(), Input::Bytes(&buffer[..length]));
        }
    }
    load.rate(started.unwrap())
}

/// Bytes of a structured event of the load.
const EVENT: usize = 800;
