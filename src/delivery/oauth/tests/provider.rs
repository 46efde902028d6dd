//! A provider on loopback that rotates refresh tokens, as strict as RFC 9700 §4.14.2 wants it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// It takes each refresh token once, beginning with `token-0`; at one that is spent it withdraws all.
pub(in crate::delivery) struct Rotating {
    pub(in crate::delivery) url: String,
    ledger: Arc<Ledger>,
}

struct Ledger {
    /// The number of the one token that is good.
    good: Mutex<usize>,
    seen: AtomicUsize,
    came: Notify,
    spent_again: AtomicUsize,
    gate: Semaphore,
}

/// When it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Manner {
    /// As soon as another request has come, or a moment later: two that are under way at once meet.
    LooksForOthers,
    /// After [`Rotating::let_go`].
    Holds,
}

impl Rotating {
    pub(in crate::delivery) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let ledger = Arc::new(Ledger {
            good: Mutex::new(0),
            seen: AtomicUsize::new(0),
            came: Notify::new(),
            spent_again: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        let shared = Arc::clone(&ledger);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&shared).serve(stream, manner));
            }
        });
        Self { url, ledger }
    }

    /// How many requests came.
    pub(in crate::delivery) fn seen(&self) -> usize {
        self.ledger.seen.load(Ordering::SeqCst)
    }

    /// How many of them had a token that was spent.
    pub(in crate::delivery) fn spent_again(&self) -> usize {
        self.ledger.spent_again.load(Ordering::SeqCst)
    }

    /// Returns when a request has come.
    pub(in crate::delivery) async fn asked(&self) {
        while self.seen() == 0 {
            self.ledger.came.notified().await;
        }
    }

    /// Lets one answer go.
    pub(in crate::delivery) fn let_go(&self) {
        self.ledger.gate.add_permits(1);
    }
}

impl Ledger {
    async fn serve(self: Arc<Self>, mut stream: TcpStream, manner: Manner) {
        let token = token_of(&mut stream).await;
        self.seen.fetch_add(1, Ordering::SeqCst);
        self.came.notify_one();
        match manner {
            Manner::LooksForOthers => {
                // A test that fails fails by what the others met meanwhile.
                tokio::time::timeout(MEET, self.came.notified()).await.ok();
                tokio::time::timeout(MEET, self.came.notified()).await.ok();
            }
            Manner::Holds => self.gate.acquire().await.unwrap().forget(),
        }
        let (status, body) = self.answer(&token);
        let answer = format!(
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Whoever asked may be gone.
        stream.write_all(answer.as_bytes()).await.ok();
    }

    fn answer(&self, token: &str) -> (u16, String) {
        let mut good = self.good.lock().unwrap();
        if token != format!("token-{good}") {
            self.spent_again.fetch_add(1, Ordering::SeqCst);
            *good = usize::MAX;
            return (400, r#"{"error":"invalid_grant"}"#.to_owned());
        }
        *good += 1;
        let body =
            format!(r#"{{"access_token":"access-{good}","refresh_token":"token-{good}","expires_in":3600}}"#);
        (200, body)
    }
}

/// The refresh token of a request.
async fn token_of(stream: &mut TcpStream) -> String {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).await.unwrap();
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request);
        // Nothing of ours follows it but the scope.
        if let Some((_, rest)) = text.split_once("&refresh_token=")
            && let Some((token, _)) = rest.split_once("&scope=mail")
        {
            return token.to_owned();
        }
        assert!(read > 0, "no refresh token: {text}");
    }
}

const MEET: Duration = Duration::from_millis(100);
