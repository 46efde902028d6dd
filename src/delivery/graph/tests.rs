use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::settings::{BrokerTls, DisplayName, Grant, OAuth, QueueLimits, Sender};
use crate::delivery::event::unclaimed;
use crate::delivery::oauth::tests::provider::{Manner, Rotating};
use crate::message::id::QueueId;
use crate::message::mail::{Content, Priority, Spooled, Submitted};

/// A mailbox of Graph whose tokens come from there, by the refresh token in a file.
pub(in crate::delivery) fn mailbox(name: &str, token_url: &str, file: &Path) -> Graph {
    let mailbox = Mailbox::parse("alerts@corp.example").unwrap();
    let grant = Grant::RefreshToken { client_id: "id".to_owned(), proof: None, file: file.to_owned() };
    let settings = settings::Graph {
        mailbox: mailbox.clone(),
        url: HttpUrl::parse("http://127.0.0.1:9").unwrap(),
        oauth: OAuth {
            grant,
            token_url: HttpUrl::parse(token_url).unwrap(),
            device_url: None,
            scope: "mail".to_owned(),
            tls: BrokerTls::default(),
        },
        from: Sender { address: mailbox, keep: Vec::new(), display: DisplayName::default() },
        tls: BrokerTls::default(),
        limits: QueueLimits {
            in_flight: 1,
            rate: None,
            message_size: None,
            timeout: Duration::from_secs(10),
        },
    };
    let identity = Identity::new(Some("gw1.plant.example"), "", None, jiff::tz::TimeZone::UTC);
    Graph::new(DestinationName::new(name).unwrap(), &settings, identity, None).unwrap()
}

fn mail(octets: usize) -> Attempt {
    let text = format!("Subject: scan\r\n\r\n{}", "x".repeat(octets));
    let message = Spooled {
        id: QueueId::from_row(1).unwrap(),
        body: Body::Mail {
            reverse_path: None,
            content: Content::Inline(text.into()),
            submitted: Box::new(Submitted::default()),
        },
        accepted_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        priority: Priority::Normal,
        rule: None,
    };
    let recipient = Recipient::new(DestinationName::new("graph").unwrap(), "it@corp.example");
    Attempt { message, recipients: vec![(RecipientNumber(0), recipient)] }
}

#[tokio::test]
async fn a_long_mail_has_its_share_of_the_memory_until_its_request_has_ended() {
    let provider = Rotating::start(Manner::Holds).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("refresh");
    std::fs::write(&file, "token-0\n").unwrap();
    let graph = mailbox("graph", &provider.url, &file);
    let delivery = tokio::spawn(async move { graph.deliver(mail(8 << 20)).await });
    // Whoever asks for a token holds the mail already.
    provider.asked().await;
    let (left, whole) = unclaimed();
    assert!(whole - left >= 32 << 10, "{left} of {whole} kibibytes are left");
    delivery.abort();
}
