use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::session::netbios_client::Stage;
use crate::wire::datagram::Datagram;
use crate::wire::oem_text::CodePage;

fn message(text: &str) -> NetSend {
    NetSend::new("UPS7", &"ALERTS".parse().unwrap(), text, CodePage::Cp437).unwrap()
}

fn sender(gateway: Option<Traces>) -> NetSender {
    let network = Network { interfaces: Interfaces::All, servers: Vec::new(), scope: Scope::default() };
    NetSender::new(network, gateway)
}

async fn send(sender: &NetSender, text: &str, targets: &Targets, way: Way) -> Sent {
    let message = message(text);
    sender.send(Lengths { session: &message, mailslot: &message }, targets, way).await
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("IPv4"),
    }
}

async fn mailslot() -> (UdpSocket, SocketAddrV4) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = v4(socket.local_addr().unwrap());
    (socket, address)
}

#[tokio::test]
async fn without_anybody_on_tcp_it_goes_to_the_mailslot_and_is_known_as_our_own() {
    let (receiver, address) = mailslot().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let targets = Targets { hosts: vec![v4(closed)], mailslots: vec![address], obstacle: None };
    let traces = Traces { own: Arc::default(), metrics: Arc::new(Metrics::new()) };
    let sent = send(&sender(Some(traces.clone())), "on battery", &targets, Way::SessionElseMailslot).await;
    let Sent::Unconfirmed { to, left_out, obstacle: Some(NoSession::Unreachable { .. }) } = sent else {
        panic!("{sent:?}")
    };
    assert_eq!((to, left_out), (vec![address], vec![]));
    let mut buffer = [0; 1024];
    let (length, source) = receiver.recv_from(&mut buffer).await.unwrap();
    let Ok(Datagram::Direct(direct)) = Datagram::parse(&buffer[..length]) else { panic!("no datagram") };
    assert_eq!(source, SocketAddr::from((direct.header.source_ip, direct.header.source_port)));
    let own = traces.own.lock().unwrap();
    assert!(own.is_own(direct.header.dgm_id, direct.user_data, std::time::Instant::now()));
}

#[tokio::test]
async fn a_session_alone_never_becomes_a_datagram() {
    let (receiver, address) = mailslot().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let targets = Targets { hosts: vec![v4(closed)], mailslots: vec![address], obstacle: None };
    let sent = send(&sender(None), "on battery", &targets, Way::Session).await;
    let Sent::Not(NotSent::NoSession { obstacle: NoSession::Unreachable { .. }, too_long: None }) = sent
    else {
        panic!("{sent:?}")
    };
    assert_eq!(receiver.try_recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_text_that_is_too_long_for_a_datagram_says_so_beside_why_there_is_no_session() {
    let (_receiver, address) = mailslot().await;
    let nobody = NoSession::Nobody { name: message("").destination_name(), denied_by: None };
    let targets = Targets { hosts: Vec::new(), mailslots: vec![address], obstacle: Some(nobody) };
    let sent = send(&sender(None), &"x".repeat(600), &targets, Way::SessionElseMailslot).await;
    let Sent::Not(not) = sent else { panic!("{sent:?}") };
    assert_eq!(
        not.to_string(),
        "nobody owns the name ALERTS<03>: no host answers for it; and the mailslot was no way: the text takes 600 bytes; \
         beside these names 411 fit into one datagram"
    );
}

#[tokio::test]
async fn a_host_that_hangs_up_before_a_session_leaves_the_mailslot_as_a_way() {
    let (_receiver, address) = mailslot().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = v4(listener.local_addr().unwrap());
    let hanging_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let targets = Targets { hosts: vec![host], mailslots: vec![address], obstacle: None };
    let sent = send(&sender(None), "on battery", &targets, Way::SessionElseMailslot).await;
    hanging_up.await.unwrap();
    let outcome = Outcome::Lost(Stage::Opening);
    let obstacle = Some(NoSession::Ended { host, outcome });
    assert_eq!(sent, Sent::Unconfirmed { to: vec![address], left_out: Vec::new(), obstacle });
}

#[test]
fn a_port_that_is_given_belongs_to_one_service() {
    let at = |way, port| {
        let address = Address { host: Ipv4Addr::LOCALHOST, port };
        let targets = Targets::at(&[address], &"ALERTS".parse().unwrap(), way);
        let ports = |list: &[SocketAddrV4]| list.iter().map(SocketAddrV4::port).collect::<Vec<_>>();
        (ports(&targets.hosts), ports(&targets.mailslots))
    };
    assert_eq!(at(Way::SessionElseMailslot, None), (vec![139], vec![138]));
    assert_eq!(at(Way::SessionElseMailslot, Some(10138)), (vec![], vec![10138]));
    assert_eq!(at(Way::Session, Some(10139)).0, [10139]);
    assert_eq!(at(Way::Mailslot, None), (vec![], vec![138]));
}
