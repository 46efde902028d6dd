use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::check::SecretOrigin;
use crate::config::settings::{ProxyLogin, Secret};
use crate::wire::url::Host;

/// A server that answers each request on each connection with what `script` gives for its number, counted over all;
/// then closes if that is empty. Notes what it read.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Self { address, connections: Arc::clone(&connections), heads: Arc::clone(&heads) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, script, Arc::clone(&heads)));
            }
        });
        server
    }

    fn request(&self) -> Request {
        request(&format!("http://{}/hook?key=secret", self.address))
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, script: &'static [&'static str], heads: Arc<Mutex<Vec<String>>>) {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        seen.extend_from_slice(&piece[..read]);
        if !seen.ends_with(b"ping") {
            continue;
        }
        let number = {
            let mut heads = heads.lock().unwrap();
            heads.push(String::from_utf8(std::mem::take(&mut seen)).unwrap());
            heads.len() - 1
        };
        let Some(answer) = script.get(number).filter(|answer| !answer.is_empty()) else { return };
        if stream.write_all(answer.as_bytes()).await.is_err() || answer.ends_with("never") {
            return;
        }
    }
}

fn request(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: HttpUrl::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"ping"),
    }
}

fn client(reach: Reach, proxy: Option<&OutboundProxy>) -> Client {
    let limits = Limits { connections: 2, timeout: Duration::from_millis(700), body: 16 };
    Client::new(Options { tls: &BrokerTls::default(), proxy, reach, limits }).unwrap()
}

fn anywhere() -> Client {
    client(Reach::Anywhere, None)
}

fn proxy_at(address: SocketAddr, login: Option<ProxyLogin>) -> OutboundProxy {
    OutboundProxy { host: Host::Address(address.ip()), port: address.port(), login, except: Vec::new() }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong";

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let server = Server::start(&[OK, OK]).await;
    let client = anywhere();
    for _ in 0..2 {
        let response = client.send(&server.request()).await.unwrap();
        assert_eq!(
            (response.status, &response.body[..], response.extent),
            (StatusCode::OK, &b"pong"[..], Extent::Whole)
        );
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let heads = server.heads();
    assert!(heads[0].starts_with("POST /hook?key=secret HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains(&format!("host: {}\r\n", server.address)), "{heads:?}");
    assert!(heads[0].contains("content-length: 4\r\n"), "{heads:?}");
}

#[tokio::test]
async fn a_kept_connection_that_ended_meanwhile_is_replaced_unseen() {
    let server = Server::start(&[OK, "", OK]).await;
    let client = anywhere();
    for _ in 0..2 {
        client.send(&server.request()).await.unwrap();
    }
    assert_eq!(server.heads().len(), 3, "the second request came twice");
}

#[tokio::test]
async fn a_fresh_connection_that_ends_without_an_answer_is_a_fault_and_not_repeated() {
    let server = Server::start(&["", OK]).await;
    let fault = anywhere().send(&server.request()).await.unwrap_err();
    assert_eq!((fault.stage(), fault.remedy()), (Stage::Exchange, Remedy::Wait));
    assert!(fault.to_string().contains("closed the connection before its answer was whole"), "{fault}");
    assert!(!fault.to_string().contains("secret"), "{fault}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let server = Server::start(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnever"]).await;
    let fault = anywhere().send(&server.request()).await.unwrap_err();
    assert!(fault.to_string().contains("closed the connection before its answer was whole"), "{fault}");
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_kept_and_the_rest_not_waited_for() {
    let server =
        Server::start(&["HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n0123456789abcdefXX", OK]).await;
    let client = anywhere();
    let response = client.send(&server.request()).await.unwrap();
    assert_eq!((&response.body[..], response.extent), (&b"0123456789abcdef"[..], Extent::Cut));
    client.send(&server.request()).await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 2, "that connection is of no more use");
}

#[tokio::test]
async fn a_server_that_never_answers_meets_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = request(&format!("http://{}/", listener.local_addr().unwrap()));
    let fault = anywhere().send(&silent).await.unwrap_err();
    assert_eq!((fault.stage(), fault.remedy()), (Stage::Exchange, Remedy::Wait));
    assert!(fault.to_string().contains("leaves us waiting"), "{fault}");
}

#[tokio::test]
async fn what_is_no_http_and_what_has_no_end_are_told_apart() {
    let server = Server::start(&["220 mail.example ESMTP\r\n"]).await;
    let fault = anywhere().send(&server.request()).await.unwrap_err();
    assert_eq!(fault.remedy(), Remedy::Operator, "{fault}");
    assert!(fault.to_string().contains("sends no HTTP/1.1"), "{fault}");
    let endless: &'static str = format!("HTTP/1.1 200 OK\r\n{}", "A: bcdefgh\r\n".repeat(10_000)).leak();
    let script: &'static [&'static str] = vec![endless].leak();
    let fault = anywhere().send(&Server::start(script).await.request()).await.unwrap_err();
    assert_eq!(fault.remedy(), Remedy::Wait, "{fault}");
    assert!(fault.to_string().contains("header fields without end"), "{fault}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let server =
        Server::start(&["HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", OK])
            .await;
    let response = anywhere().send(&server.request()).await.unwrap();
    assert_eq!(response.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn addresses_inside_the_network_are_out_of_reach_by_name_and_by_every_spelling() {
    let server = Server::start(&[OK]).await;
    let (client, port) = (client(Reach::PublicOnly, None), server.address.port());
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
    ] {
        let fault = client.send(&request(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert_eq!((fault.stage(), fault.remedy()), (Stage::Connect, Remedy::Operator), "{fault}");
        assert!(fault.to_string().contains("write `allow_private: true`"), "{fault}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_proxy_reads_http_whole_and_is_told_who_asks() {
    let proxy = Server::start(&[
        OK,
        "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
    ])
    .await;
    let text = zeroize::Zeroizing::new("word".to_owned());
    let password = Secret { text, origin: SecretOrigin::Variable("X".to_owned()) };
    let settings = proxy_at(proxy.address, Some(ProxyLogin { user: "user".to_owned(), password }));
    let client = client(Reach::PublicOnly, Some(&settings));
    let request = request("http://hooks.invalid/a?b");
    client.send(&request).await.unwrap();
    let heads = proxy.heads();
    assert!(heads[0].starts_with("POST http://hooks.invalid/a?b HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains("host: hooks.invalid\r\n"), "{heads:?}");
    assert!(heads[0].contains("proxy-authorization: Basic dXNlcjp3b3Jk\r\n"), "{heads:?}");
    let fault = client.send(&request).await.unwrap_err();
    assert_eq!((fault.stage(), fault.remedy()), (Stage::Proxy, Remedy::Operator));
    assert!(fault.to_string().contains("refuses the login"), "{fault}");
}

#[tokio::test]
async fn an_address_inside_the_network_is_not_asked_of_a_proxy_either() {
    let proxy = Server::start(&[]).await;
    let settings = proxy_at(proxy.address, None);
    let client = client(Reach::PublicOnly, Some(&settings));
    let fault = client.send(&request("https://169.254.169.254/latest/meta-data")).await.unwrap_err();
    assert!(fault.to_string().contains("169.254.169.254 is the metadata service of a cloud"), "{fault}");
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_traced_request_tells_each_stage_and_the_one_that_fails() {
    let server = Server::start(&["HTTP/1.1 204 No\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"]).await;
    let trace = anywhere().traced(&server.request()).await;
    assert_eq!(trace.result.unwrap().status, StatusCode::NO_CONTENT);
    let findings: Vec<Finding> = trace.steps.into_iter().map(|step| step.finding).collect();
    let [Finding::Resolved { .. }, Finding::Connected { address }, Finding::Answered { clock_skew, .. }] =
        &*findings
    else {
        panic!("{findings:?}")
    };
    assert_eq!(*address, server.address);
    assert!(clock_skew.unwrap().as_secs() < -86_400);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let trace = anywhere().traced(&request(&format!("http://{closed}/"))).await;
    assert_eq!((trace.steps.len(), trace.result.unwrap_err().stage()), (1, Stage::Connect));
}

#[tokio::test]
async fn every_character_that_a_url_may_have_can_be_asked_for() {
    let server = Server::start(&[OK]).await;
    let odd: String =
        ('!'..='~').filter(|letter| !matches!(letter, '#' | '"' | '<' | '>' | '\\' | '^' | '`')).collect();
    let url = format!("http://{}/{odd}?{odd}", server.address);
    anywhere().send(&request(&url)).await.unwrap();
    assert!(
        server.heads()[0].starts_with(&format!("POST /{odd}?{odd} HTTP/1.1\r\n")),
        "{:?}",
        server.heads()
    );
}
