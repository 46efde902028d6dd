use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::*;
use crate::config::settings::{EventMode, QueueLimits, WrittenBroker, WrittenUrl};
use crate::delivery::event::unclaimed;
use crate::message::id::QueueId;
use crate::message::mail::{Body, Content, Priority, Spooled, Submitted};
use crate::message::recipient::{Recipient, RecipientNumber};
use crate::wire::amqp::{DeliveryMode, ShortString, Unroutable};

fn mail(content: Bytes) -> Attempt {
    let content = Content::Inline(content);
    let message = Spooled {
        id: QueueId::from_row(1).unwrap(),
        body: Body::Mail { reverse_path: None, content, submitted: Box::new(Submitted::default()) },
        accepted_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        priority: Priority::Normal,
        rule: None,
    };
    let recipient = Recipient::new(DestinationName::new("bus").unwrap(), "mail");
    Attempt { message, recipients: vec![(RecipientNumber(0), recipient)] }
}

fn brokers(port: u16) -> [Broker; 3] {
    let name = || DestinationName::new("bus").unwrap();
    let identity = || EventIdentity::new(None, "");
    let broker = settings::Broker {
        host: "127.0.0.1".to_owned(),
        port,
        tls: None,
        user: None,
        password: None,
        written: WrittenBroker { url: WrittenUrl::Plain(String::new()), user: None },
    };
    let timeout = Duration::from_secs(60);
    let limits = QueueLimits { in_flight: 1, rate: None, message_size: None, timeout };
    let event = EventMode::Structured;
    let amqp = settings::Amqp {
        broker: broker.clone(),
        virtual_host: ShortString::default(),
        exchange: ShortString::default(),
        unroutable: Unroutable::Return,
        delivery_mode: DeliveryMode::Persistent,
        event,
        limits,
    };
    let mqtt = settings::Mqtt { broker: broker.clone(), client_id: None, event, limits };
    let stream = "mailslot".to_owned();
    let redis = settings::Redis { broker, database: 0, stream, max_length: None, replicas: 0, event, limits };
    [
        Broker::amqp(name(), &amqp, identity()).unwrap(),
        Broker::mqtt(name(), &mqtt, identity()).unwrap(),
        Broker::redis(name(), &redis, identity()).unwrap(),
    ]
}

#[tokio::test]
async fn a_long_event_keeps_its_share_of_the_memory_until_its_attempt_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for broker in brokers(listener.local_addr().unwrap().port()) {
        let shown = format!("{broker:?}");
        let delivery = tokio::spawn(async move { broker.deliver(mail(vec![b'x'; 1 << 20].into())).await });
        // Who has connected has rendered before, and waits for a greeting that never comes.
        let _silent = listener.accept().await.unwrap();
        let (left, whole) = unclaimed();
        assert!(left < whole, "{shown}");
        delivery.abort();
        delivery.await.unwrap_err();
    }
}
