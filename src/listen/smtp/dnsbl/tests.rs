//! Against a name server of the test's own, over UDP on loopback.
#![expect(clippy::disallowed_methods, reason = "the time limit is real here")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::*;

/// What the server does with questions for one name, in lower case with the final dot.
#[derive(Debug, Clone)]
enum Entry {
    /// A records, and the TXT record.
    Listed(Vec<[u8; 4]>, &'static [u8]),
    /// RCODE 2.
    ServerFailure,
    /// No answer.
    Silence,
}

/// A name server. Whatever it has no entry for does not exist.
struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    async fn start(entries: &[(&str, Entry)]) -> Self {
        let entries: HashMap<String, Entry> =
            entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (length, peer) = socket.recv_from(&mut query).await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some(response) = response(&query[..length], &entries) {
                    socket.send_to(&response, peer).await.unwrap();
                }
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn lists(&self, domains: &[&str]) -> (BlockLists, Arc<Metrics>) {
        let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
        let metrics = Arc::new(Metrics::new());
        let lists = BlockLists::new(&domains, NameServers::At(self.address), Arc::clone(&metrics)).unwrap();
        (lists, metrics)
    }
}

/// RFC 1035 §4.1.
fn response(query: &[u8], entries: &HashMap<String, Entry>) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name.push_str(std::str::from_utf8(&query[at + 1..=at + length]).unwrap());
        name.push('.');
        at += length + 1;
    }
    let question = &query[12..at + 5];
    let record_type = query[at + 2];
    let (rcode, records): (u8, Vec<Vec<u8>>) = match entries.get(&name.to_lowercase()) {
        None => (3, Vec::new()),
        Some(Entry::Silence) => return None,
        Some(Entry::ServerFailure) => (2, Vec::new()),
        Some(Entry::Listed(addresses, text)) => match record_type {
            1 => (0, addresses.iter().map(|address| address.to_vec()).collect()),
            16 => (0, vec![[&[u8::try_from(text.len()).unwrap()], *text].concat()]),
            _ => (0, Vec::new()),
        },
    };
    let mut message =
        [&query[..2], &[0x81, 0x80 | rcode, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]]
            .concat();
    message.extend(question);
    for data in records {
        message.extend([0xC0, 12, 0, record_type, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        message.extend(data);
    }
    Some(message)
}

fn client(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn listed(text: &'static [u8]) -> Entry {
    Entry::Listed(vec![[127, 0, 0, 2]], text)
}

fn count(metrics: &Metrics, list: &str, outcome: &str) -> bool {
    metrics
        .encode()
        .contains(&format!("mailslotd_dnsbl_lookups_total{{list=\"{list}\",outcome=\"{outcome}\"}} 1"))
}

#[tokio::test]
async fn a_listed_client_is_told_by_which_list_and_why() {
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example.";
    let server = NameServer::start(&[
        ("1.2.0.192.bl.example.", listed(b"spam, see https://bl.example")),
        (v6, listed(b"v6")),
    ])
    .await;
    let (lists, _) = server.lists(&["clean.example", "bl.example"]);
    for from in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert_eq!(
            lists.listed(client(from)).await.as_deref(),
            Some("Client host [192.0.2.1] is listed by bl.example; spam, see https://bl.example")
        );
    }
    assert!(lists.listed(client("2001:db8::1")).await.unwrap().ends_with("v6"));
    assert_eq!(lists.listed(client("192.0.2.2")).await, None);
}

#[tokio::test]
async fn an_answer_is_remembered_and_asked_for_once_by_all_who_ask_at_once() {
    let server = NameServer::start(&[("1.2.0.192.bl.example.", listed(b"x"))]).await;
    let (lists, metrics) = server.lists(&["bl.example"]);
    let (first, second) = tokio::join!(lists.listed(client("192.0.2.1")), lists.listed(client("192.0.2.1")));
    assert!(first.is_some() && first == second);
    assert_eq!(lists.listed(client("192.0.2.1")).await, first);
    assert_eq!(lists.listed(client("192.0.2.9")).await, None);
    assert_eq!(lists.listed(client("192.0.2.9")).await, None);
    // A and TXT of the one, A of the other.
    assert_eq!(server.asked(), 3);
    assert!(count(&metrics, "bl.example", "listed") && count(&metrics, "bl.example", "not_listed"));
}

#[tokio::test]
async fn a_list_that_refuses_us_or_a_resolver_that_makes_answers_up_lists_nobody() {
    let server = NameServer::start(&[
        ("1.2.0.192.a.example.", Entry::Listed(vec![[127, 255, 255, 254]], b"go away")),
        ("1.2.0.192.b.example.", Entry::Listed(vec![[192, 0, 2, 80]], b"search page")),
        ("1.2.0.192.c.example.", Entry::ServerFailure),
    ])
    .await;
    let (lists, metrics) = server.lists(&["a.example", "b.example", "c.example"]);
    assert_eq!(lists.listed(client("192.0.2.1")).await, None);
    for (list, outcome) in [("a.example", "refused"), ("b.example", "foreign"), ("c.example", "failed")] {
        assert!(count(&metrics, list, outcome), "{list}: {}", metrics.encode());
    }
}

#[tokio::test]
async fn a_silent_list_delays_nobody_for_longer_than_the_limit_and_hides_no_other() {
    let server = NameServer::start(&[
        ("1.2.0.192.slow.example.", Entry::Silence),
        ("2.2.0.192.slow.example.", Entry::Silence),
        ("2.2.0.192.bl.example.", listed(b"x")),
    ])
    .await;
    let (lists, metrics) = server.lists(&["slow.example", "bl.example"]);
    let begun = Instant::now();
    let answer = timeout(TIME_LIMIT * 2, lists.listed(client("192.0.2.2"))).await.unwrap();
    assert!(answer.is_some() && begun.elapsed() < TIME_LIMIT, "{answer:?} after {:?}", begun.elapsed());
    assert_eq!(timeout(TIME_LIMIT * 2, lists.listed(client("192.0.2.1"))).await.unwrap(), None);
    let text = metrics.encode();
    assert!(
        count(&metrics, "slow.example", "timed_out") || count(&metrics, "slow.example", "failed"),
        "{text}"
    );
    // Remembered for a while, so that the next connection does not wait.
    let begun = Instant::now();
    assert_eq!(lists.listed(client("192.0.2.1")).await, None);
    assert!(begun.elapsed() < TIME_LIMIT / 4);
}

#[tokio::test]
async fn nobody_asks_about_addresses_inside_the_site() {
    let server = NameServer::start(&[("1.1.168.192.bl.example.", listed(b"x"))]).await;
    let (lists, _) = server.lists(&["bl.example"]);
    for address in ["192.168.1.1", "127.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"] {
        assert_eq!(lists.listed(client(address)).await, None, "{address}");
    }
    assert_eq!(server.asked(), 0);
}

#[test]
fn a_domain_that_is_none_is_a_problem_of_the_configuration() {
    let error =
        BlockLists::new(&["zen".to_owned()], NameServers::System, Arc::default()).unwrap_err().to_string();
    assert_eq!(error, "dnsbl: \"zen\" is no domain of a block list; write for example zen.dnsbl.example");
}
