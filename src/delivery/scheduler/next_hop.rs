//! A next hop on loopback that speaks just enough SMTP and misbehaves on request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What it does with the next connection or message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Takes everything.
    Kind,
    /// Greets with 554: it does not want this client at all.
    Refuses,
    /// Answers MAIL with 432 4.3.2.
    Throttles,
    /// Answers MAIL with a plain 451.
    Delays,
    /// Answers RCPT of a mailbox that begins with `poison` with 421 and closes; takes everything else.
    ClosesOnPoison,
    /// The same without a word.
    DropsOnPoison,
    /// Answers it with 550 5.1.1 and goes on; takes everything else.
    RefusesPoison,
    /// Says this together with 354, and then takes the message.
    SpeaksWith354(&'static str),
    /// Says this after the first line of the content, and then reads on.
    SpeaksAmidContent(&'static str),
    /// Takes the message and closes without a reply to the end of data.
    Vanishes,
    /// Withholds the reply to the end of data until [`NextHop::let_go`].
    Holds,
}

/// A message that it saw whole, whatever it answered.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) recipients: Vec<String>,
    pub(super) content: String,
}

impl Seen {
    /// The value of a header field of one line.
    pub(super) fn field(&self, name: &str) -> &str {
        let row = self.content.lines().find_map(|row| row.strip_prefix(name)?.strip_prefix(": "));
        row.unwrap_or_else(|| panic!("no {name} in {:?}", self.content))
    }
}

pub(super) struct NextHop {
    pub(super) address: SocketAddr,
    pub(super) seen: mpsc::Receiver<Seen>,
    manner: Arc<Mutex<Manner>>,
    gate: Arc<Semaphore>,
    poison: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl NextHop {
    pub(super) async fn start(manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), manner).await
    }

    pub(super) async fn start_at(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (saw, seen) = mpsc::channel(10_000);
        let manner = Arc::new(Mutex::new(manner));
        let gate = Arc::new(Semaphore::new(0));
        let stop = CancellationToken::new();
        let poison = Arc::new(AtomicUsize::new(0));
        let session = Session {
            manner: Arc::clone(&manner),
            gate: Arc::clone(&gate),
            poison: Arc::clone(&poison),
            saw,
        };
        let accepting = stop.clone();
        tokio::spawn(accepting.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = session.clone().serve(stream);
                tokio::spawn(accepting.clone().run_until_cancelled_owned(serving));
            }
        }));
        Self { address, seen, manner, gate, poison, _stop: stop.drop_guard() }
    }

    pub(super) fn become_(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Lets one withheld reply go.
    pub(super) fn let_go(&self) {
        self.gate.add_permits(1);
    }

    /// How many sessions it ended over a mailbox that begins with `poison`.
    pub(super) fn poisoned(&self) -> usize {
        self.poison.load(Ordering::SeqCst)
    }

    /// The next message that it sees.
    pub(super) async fn next(&mut self) -> Seen {
        let deadline = std::time::Duration::from_secs(20);
        tokio::time::timeout(deadline, self.seen.recv()).await.expect("no message in 20 s").unwrap()
    }
}

#[derive(Clone)]
struct Session {
    manner: Arc<Mutex<Manner>>,
    gate: Arc<Semaphore>,
    poison: Arc<AtomicUsize>,
    saw: mpsc::Sender<Seen>,
}

impl Session {
    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    fn is_poison(&self, command: &str) -> bool {
        let hurts =
            matches!(self.manner(), Manner::ClosesOnPoison | Manner::DropsOnPoison | Manner::RefusesPoison);
        hurts && command.contains("<POISON")
    }

    /// Ends when the client does, however it does.
    async fn serve(self, stream: TcpStream) {
        self.talk(stream).await.unwrap_or_default();
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        if self.manner() == Manner::Refuses {
            return stream.write_all(b"554 5.7.1 not you\r\n").await;
        }
        stream.write_all(b"220 next.hop.example ESMTP\r\n").await?;
        let mut recipients = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let command = line.trim_end().to_ascii_uppercase();
            let reply = match command.split([' ', ':']).next().unwrap() {
                "EHLO" => "250-next.hop.example\r\n250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n",
                "MAIL" => match self.manner() {
                    Manner::Throttles => "432 4.3.2 Concurrent connections limit exceeded\r\n",
                    Manner::Delays => "451 4.3.0 try later\r\n",
                    Manner::Kind
                    | Manner::Refuses
                    | Manner::ClosesOnPoison
                    | Manner::DropsOnPoison
                    | Manner::RefusesPoison
                    | Manner::SpeaksWith354(_)
                    | Manner::SpeaksAmidContent(_)
                    | Manner::Vanishes
                    | Manner::Holds => "250 2.1.0 ok\r\n",
                },
                "RCPT" if self.is_poison(&command) && self.manner() == Manner::RefusesPoison => {
                    "550 5.1.1 no such user\r\n"
                }
                "RCPT" if self.is_poison(&command) => {
                    self.poison.fetch_add(1, Ordering::SeqCst);
                    let last_words =
                        if self.manner() == Manner::ClosesOnPoison { "421 4.3.0 oops\r\n" } else { "" };
                    return stream.write_all(last_words.as_bytes()).await;
                }
                "RCPT" => {
                    recipients.push(line.split(['<', '>']).nth(1).unwrap().to_owned());
                    "250 2.1.5 ok\r\n"
                }
                "RSET" => {
                    recipients.clear();
                    "250 2.0.0 ok\r\n"
                }
                "DATA" if recipients.is_empty() => "503 5.5.1 no recipient\r\n",
                "DATA" => {
                    let early = if let Manner::SpeaksWith354(reply) = self.manner() { reply } else { "" };
                    stream.write_all(format!("354 go\r\n{early}").as_bytes()).await?;
                    if let Manner::SpeaksAmidContent(reply) = self.manner() {
                        stream.read_line(&mut line).await?;
                        stream.write_all(reply.as_bytes()).await?;
                    }
                    let content = content(&mut stream).await?;
                    let seen = Seen { recipients: std::mem::take(&mut recipients), content };
                    self.saw.send(seen).await.unwrap_or_default();
                    match self.manner() {
                        Manner::Vanishes => return Ok(()),
                        Manner::Holds => self.gate.acquire().await.unwrap().forget(),
                        Manner::Kind
                        | Manner::Refuses
                        | Manner::Throttles
                        | Manner::Delays
                        | Manner::ClosesOnPoison
                        | Manner::DropsOnPoison
                        | Manner::RefusesPoison
                        | Manner::SpeaksWith354(_)
                        | Manner::SpeaksAmidContent(_) => {}
                    }
                    "250 2.0.0 taken\r\n"
                }
                "QUIT" => return stream.write_all(b"221 2.0.0 bye\r\n").await,
                _ => "500 5.5.2 what\r\n",
            };
            stream.write_all(reply.as_bytes()).await?;
        }
    }
}

/// Up to `<CRLF>.<CRLF>`, without the dots that were stuffed.
async fn content(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut content = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
