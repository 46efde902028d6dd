use super::*;

/// A method frame of the broker.
fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend_from_slice(&class.to_be_bytes());
    payload.extend_from_slice(&method.to_be_bytes());
    payload.extend_from_slice(arguments);
    frame(1, channel, &payload)
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xCE);
    frame
}

fn start() -> Vec<u8> {
    start_of(&[])
}

/// A greeting of a broker with these properties.
fn start_of(properties: &[u8]) -> Vec<u8> {
    let mut arguments = vec![0, 9];
    arguments.extend_from_slice(&u32::try_from(properties.len()).unwrap().to_be_bytes());
    arguments.extend_from_slice(properties);
    for text in ["PLAIN AMQPLAIN", "en_US"] {
        arguments.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        arguments.extend_from_slice(text.as_bytes());
    }
    method(0, 10, 10, &arguments)
}

fn close(channel: u16, class: u16, id: u16, code: u16, text: &str) -> Vec<u8> {
    let mut arguments = code.to_be_bytes().to_vec();
    arguments.push(u8::try_from(text.len()).unwrap());
    arguments.extend_from_slice(text.as_bytes());
    arguments.extend_from_slice(&[0; 4]);
    method(channel, class, id, &arguments)
}

/// frame-max 4096, heartbeat 10 s.
fn tune() -> Vec<u8> {
    method(0, 10, 30, &[0, 0, 0, 0, 0x10, 0, 0, 10])
}

fn ack(tag: u8, multiple: u8) -> Vec<u8> {
    method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, tag, multiple])
}

struct World {
    now: Instant,
    machine: AmqpPublisher,
}

impl World {
    fn new(identity: Identity, exchange: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a first point in time")]
        let now = Instant::now();
        let profile = Profile {
            identity,
            virtual_host: ShortString::new("/").unwrap(),
            exchange: ShortString::new(exchange).unwrap(),
            unroutable: Unroutable::Return,
            connection_name: ShortString::new("mailslotd").unwrap(),
            patience: Duration::from_secs(30),
        };
        Self { now, machine: AmqpPublisher::new(now, profile) }
    }

    /// Ready to publish.
    fn open() -> Self {
        let mut world = Self::new(password(), "mailslot");
        world.hear(&start());
        world.hear(&tune());
        world.hear(&method(0, 10, 41, &[0]));
        world.hear(&method(1, 20, 11, &[0; 4]));
        world.hear(&method(1, 40, 11, &[]));
        assert_eq!(world.hear(&method(1, 85, 11, &[])), [Output::Ready]);
        world
    }

    fn hear(&mut self, octets: &[u8]) -> Vec<Output> {
        self.machine.handle_input(self.now, Input::Bytes(octets));
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn publish(&mut self, ticket: u64, id: &str, body: &'static [u8]) -> Vec<u8> {
        let publication = Publication {
            ticket: Ticket(ticket),
            routing_key: ShortString::new("plant.alarm").unwrap(),
            properties: Properties { message_id: ShortString::new(id).unwrap(), ..Properties::default() },
            body: Bytes::from_static(body),
        };
        self.machine.handle_input(self.now, Input::Publish(publication));
        let mut outputs = self.outputs();
        match (outputs.pop(), outputs.is_empty()) {
            (Some(Output::Send(sent)), true) => sent,
            other => panic!("{other:?}"),
        }
    }

    fn pass(&mut self, seconds: u64) -> Vec<Output> {
        self.now += Duration::from_secs(seconds);
        self.machine.handle_timeout(self.now);
        self.outputs()
    }
}

fn password() -> Identity {
    Identity::Password { user: "gw".to_owned(), password: Zeroizing::new("secret".to_owned()) }
}

fn confirmed(ticket: u64, confirmation: Confirmation) -> Output {
    Output::Confirmed(Ticket(ticket), confirmation)
}

/// `basic.return` of a content with this id, in its three frames.
fn returned(id: &str, body: &[u8]) -> Vec<u8> {
    let mut frames = method(1, 60, 50, b"\x01\x38\x08NO_ROUTE\x08mailslot\x0bplant.alarm");
    let mut header = vec![0, 60, 0, 0];
    header.extend_from_slice(&u64::try_from(body.len()).unwrap().to_be_bytes());
    header.extend_from_slice(&(1_u16 << 7).to_be_bytes());
    header.push(u8::try_from(id.len()).unwrap());
    header.extend_from_slice(id.as_bytes());
    frames.extend(frame(2, 1, &header));
    if !body.is_empty() {
        frames.extend(frame(3, 1, body));
    }
    frames
}

#[test]
fn a_login_says_the_password_and_what_we_understand() {
    let mut world = World::new(password(), "mailslot");
    assert_eq!(world.outputs(), [Output::Send(PROTOCOL_HEADER.to_vec())]);
    let outputs = world.hear(&start());
    assert!(!format!("{outputs:?}").contains("secret"));
    let [Output::SendSecret(secret)] = outputs.as_slice() else { panic!("no login") };
    let said = String::from_utf8_lossy(secret).into_owned();
    for part in ["PLAIN", "\0gw\0secret", "authentication_failure_close", "connection.blocked"] {
        assert!(said.contains(part), "{part}");
    }
}

/// Arrays in arrays, as deep as a frame before the login permits: each level would be a call of a parser that follows them.
#[test]
fn how_deep_the_properties_of_a_broker_are_does_not_matter() {
    let levels = 780_u32;
    let mut properties = b"\x01a".to_vec();
    for inner in (0..levels).rev() {
        properties.push(b'A');
        properties.extend_from_slice(&(5 * inner).to_be_bytes());
    }
    let mut world = World::new(password(), "mailslot");
    world.outputs();
    let outputs = world.hear(&start_of(&properties));
    assert!(matches!(outputs.as_slice(), [Output::SendSecret(_)]), "{outputs:?}");

    properties.resize(100_000, 0);
    let mut world = World::new(password(), "mailslot");
    world.outputs();
    let outputs = world.hear(&start_of(&properties));
    assert!(
        matches!(outputs.as_slice(), [Output::Closed(Ending::NotAmqp(Stage::Greeting, _))]),
        "{outputs:?}"
    );
}

#[test]
fn confirms_come_for_one_or_for_all_before_it_in_whatever_pieces() {
    let mut world = World::open();
    for ticket in 1..=4 {
        world.publish(ticket, &format!("id-{ticket}"), b"on battery");
    }
    let frames = [ack(2, 0), ack(3, 1), method(1, 60, 120, &[0, 0, 0, 0, 0, 0, 0, 4, 0])].concat();
    let mut outputs = Vec::new();
    for octet in frames.chunks(1) {
        outputs.extend(world.hear(octet));
    }
    assert_eq!(
        outputs,
        [
            confirmed(2, Confirmation::Acked),
            confirmed(1, Confirmation::Acked),
            confirmed(3, Confirmation::Acked),
            confirmed(4, Confirmation::Nacked),
        ]
    );
}

#[test]
fn what_comes_back_is_told_of_the_message_that_it_was() {
    let mut world = World::open();
    world.publish(1, "id-1", b"a");
    world.publish(2, "id-2", b"");
    let frames = [returned("id-2", b""), returned("id-1", b"a"), ack(2, 1)].concat();
    let returned = Confirmation::Returned { code: 312, text: "NO_ROUTE".to_owned() };
    assert_eq!(world.hear(&frames), [confirmed(1, returned.clone()), confirmed(2, returned)]);
}

#[test]
fn a_body_longer_than_a_frame_is_divided() {
    let mut world = World::open();
    let body: &'static [u8] = Box::leak(vec![b'x'; 10_000].into_boxed_slice());
    let sent = world.publish(1, "id", body);
    let mut rest = sent.as_slice();
    let mut parts = Vec::new();
    while let Some((length, frame)) = Frame::parse(rest, LEAST_FRAME_MAX).unwrap() {
        if let Payload::Body(part) = frame.payload {
            parts.push(part.len());
        }
        rest = &rest[length..];
    }
    assert_eq!(parts, [4088, 4088, 1824]);
}

#[test]
fn refusals_are_told_with_the_stage_and_the_brokers_words() {
    let mut world = World::new(password(), "mailslot");
    world.hear(&start());
    let outputs = world.hear(&close(0, 10, 50, 403, "ACCESS_REFUSED - Login was refused"));
    let refused = Close { code: 403, text: "ACCESS_REFUSED - Login was refused".to_owned() };
    assert_eq!(outputs.last(), Some(&Output::Closed(Ending::ConnectionClosed(Stage::Login, refused))));

    let mut world = World::open();
    world.publish(1, "id", b"x");
    let outputs = world.hear(&close(1, 20, 40, 404, "NOT_FOUND"));
    let gone = Close { code: 404, text: "NOT_FOUND".to_owned() };
    assert_eq!(outputs.last(), Some(&Output::Closed(Ending::ChannelClosed(Stage::Open, gone))));
    assert_eq!(world.machine.poll_timeout(), None);
    assert_eq!(world.hear(&ack(1, 0)), [], "nothing after the end");
}

#[test]
fn a_broker_without_our_way_of_login_is_told_from_one_that_refuses() {
    let mut world = World::new(Identity::Certificate, "mailslot");
    let outputs = world.hear(&start());
    let none = Ending::NoMechanism { wanted: "EXTERNAL", offered: "PLAIN AMQPLAIN".to_owned() };
    assert_eq!(outputs.last(), Some(&Output::Closed(none)));
}

#[test]
fn the_default_exchange_is_not_asked_for() {
    let mut world = World::new(password(), "");
    world.hear(&start());
    world.hear(&tune());
    world.hear(&method(0, 10, 41, &[0]));
    world.hear(&method(1, 20, 11, &[0; 4]));
    assert_eq!(world.hear(&method(1, 85, 11, &[])), [Output::Ready]);
}

#[test]
fn silence_ends_the_opening_and_later_the_connection_while_heartbeats_go() {
    let mut world = World::new(password(), "mailslot");
    world.outputs();
    assert_eq!(world.pass(29), []);
    assert_eq!(world.pass(1), [Output::Closed(Ending::TimedOut(Stage::Greeting))]);

    let mut world = World::open();
    assert_eq!(world.pass(5), [Output::Send(HEARTBEAT.to_vec())]);
    world.hear(&HEARTBEAT);
    for _ in 0..3 {
        assert_eq!(world.pass(5), [Output::Send(HEARTBEAT.to_vec())]);
    }
    assert_eq!(world.pass(5), [Output::Closed(Ending::TimedOut(Stage::Open))]);
}

#[test]
fn a_broker_without_room_says_so_and_says_when_it_has_some() {
    let mut world = World::open();
    world.hear(&method(0, 10, 60, b"\x0dlow on memory"));
    assert_eq!(world.machine.blocked(), Some("low on memory"));
    world.hear(&method(0, 10, 61, &[]));
    assert_eq!(world.machine.blocked(), None);
}

#[test]
fn another_protocol_is_known_by_its_first_octets() {
    let mut world = World::new(password(), "mailslot");
    let outputs = world.hear(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(
        matches!(outputs.last(), Some(Output::Closed(Ending::NotAmqp(Stage::Greeting, _)))),
        "{outputs:?}"
    );
}
