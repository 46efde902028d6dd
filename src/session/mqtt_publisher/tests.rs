use super::*;
use crate::wire::mqtt::Disconnect;

struct World {
    now: Instant,
    machine: MqttPublisher,
}

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a first point in time")]
        let now = Instant::now();
        let profile = Profile {
            client_id: MqttString::default(),
            user: Some(MqttString::lossy("gw")),
            password: Some(Zeroizing::new("secret".to_owned())),
            in_flight: 4,
            patience: Duration::from_secs(10),
        };
        let mut world = Self { now, machine: MqttPublisher::new(now, profile) };
        let outputs = world.outputs();
        assert!(
            matches!(outputs.as_slice(), [Output::SendSecret(packet)] if packet.ends_with(b"\x00\x06secret"))
        );
        assert!(!format!("{outputs:?}").contains("secret"));
        world
    }

    /// Ready to publish, with these properties of CONNACK.
    fn open(properties: &[u8]) -> Self {
        let mut world = Self::new();
        let length = u8::try_from(properties.len()).unwrap();
        let ack = [&[0x20, length + 3, 0, 0, length], properties].concat();
        assert_eq!(world.hear(&ack), [Output::Ready]);
        world
    }

    fn hear(&mut self, octets: &[u8]) -> Vec<Output> {
        self.machine.handle_input(self.now, Input::Bytes(octets));
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn publish(&mut self, ticket: u64, payload: &'static [u8]) -> Vec<Output> {
        let publication = Publication {
            ticket: Ticket(ticket),
            topic: TopicName::new("plant/alarm").unwrap(),
            content_type: MqttString::lossy("application/json"),
            user_properties: Vec::new(),
            payload: Bytes::from_static(payload),
        };
        self.machine.handle_input(self.now, Input::Publish(publication));
        self.outputs()
    }

    fn pass(&mut self, seconds: u64) -> Vec<Output> {
        self.now += Duration::from_secs(seconds);
        self.machine.handle_timeout(self.now);
        self.outputs()
    }
}

fn done(ticket: u64, reason: ReasonCode) -> Output {
    Output::Done(Ticket(ticket), Fate::Acknowledged(Acknowledgement { reason, reason_string: None }))
}

#[test]
fn each_acknowledgement_is_that_of_its_message_in_whatever_order() {
    let mut world = World::open(&[]);
    for ticket in 1..=3 {
        assert!(matches!(world.publish(ticket, b"x").as_slice(), [Output::Send(_)]));
    }
    let acks = [&b"\x40\x02\x00\x03"[..], b"\x40\x03\x00\x01\x87", b"\x40\x03\x00\x02\x10"].concat();
    let mut outputs = Vec::new();
    for octet in acks.chunks(1) {
        outputs.extend(world.hear(octet));
    }
    assert_eq!(
        outputs,
        [
            done(3, ReasonCode::SUCCESS),
            done(1, ReasonCode::NOT_AUTHORIZED),
            done(2, ReasonCode::NO_MATCHING_SUBSCRIBERS)
        ]
    );
}

#[test]
fn the_servers_receive_maximum_is_never_passed() {
    let mut world = World::open(b"\x21\x00\x02");
    assert_eq!(world.publish(1, b"a").len(), 1);
    assert_eq!(world.publish(2, b"b").len(), 1);
    assert_eq!(world.publish(3, b"c"), []);
    let outputs = world.hear(b"\x40\x02\x00\x01");
    assert!(
        matches!(outputs.as_slice(), [Output::Send(sent), Output::Done(Ticket(1), _)] if sent.ends_with(b"c"))
    );
}

#[test]
fn a_message_over_the_servers_packet_size_is_not_sent_and_keeps_no_other() {
    let mut world = World::open(b"\x27\x00\x00\x00\x40");
    let outputs = world.publish(1, &[b'x'; 100]);
    assert!(matches!(outputs.as_slice(), [Output::Done(Ticket(1), Fate::TooLarge { limit: 64, .. })]));
    assert_eq!(world.publish(2, b"x").len(), 1);
}

#[test]
fn packet_identifiers_begin_anew_and_pass_over_those_on_their_way() {
    let mut world = World::open(&[]);
    world.publish(1, b"stays");
    world.machine.last_packet_id = u16::MAX;
    world.publish(2, b"next");
    assert_eq!(world.hear(b"\x40\x02\x00\x02"), [done(2, ReasonCode::SUCCESS)]);
}

#[test]
fn a_server_that_is_silent_is_asked_and_then_given_up() {
    let mut world = World::new();
    assert_eq!(world.pass(10), [Output::Closed(Ending::TimedOut(Stage::Connecting))]);

    let mut world = World::open(&[]);
    assert_eq!(world.pass(20), [Output::Send(vec![0xC0, 0])]);
    assert_eq!(world.hear(b"\xd0\x00"), []);
    assert_eq!(world.pass(20), [Output::Send(vec![0xC0, 0])]);
    assert_eq!(world.pass(10), [Output::Closed(Ending::TimedOut(Stage::Open))]);
}

#[test]
fn refusals_and_farewells_say_why() {
    let mut world = World::new();
    let outputs = world.hear(b"\x20\x03\x00\x86\x00");
    assert!(
        matches!(outputs.as_slice(), [Output::Closed(Ending::Refused(ack))] if ack.reason == ReasonCode::BAD_USER_NAME_OR_PASSWORD)
    );
    let mut world = World::open(&[]);
    world.publish(1, b"x");
    let disconnect =
        Disconnect { reason: ReasonCode::SESSION_TAKEN_OVER, reason_string: None, server_reference: None };
    assert_eq!(world.hear(b"\xe0\x01\x8e"), [Output::Closed(Ending::Disconnected(disconnect))]);
    assert_eq!(world.machine.poll_timeout(), None);
}

#[test]
fn an_acknowledgement_of_nothing_ends_the_connection() {
    let mut world = World::open(&[]);
    assert_eq!(world.hear(b"\x40\x02\x00\x09"), [Output::Closed(Ending::OutOfTurn(Stage::Open))]);
}

#[test]
fn a_server_that_acknowledges_nothing_is_not_used() {
    let mut world = World::new();
    assert_eq!(world.hear(b"\x20\x05\x00\x00\x02\x24\x00"), [Output::Closed(Ending::NoQos1)]);
}
