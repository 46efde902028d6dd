//! Mail of devices on its way to a next hop that offers neither DSN nor 8BITMIME.

use crate::config::settings::{DisplayName, Sender};
use crate::message::mail::{Reports, Submitted};
use crate::message::recipient::RecipientDsn;
use crate::policy::relay::{AddressPattern, RelayPolicy};
use crate::policy::replies::ReplyTable;
use crate::policy::route::{Route, RouteDomain, RouteTo};
use crate::wire::smtp::path::Mailbox;

use super::*;

/// A world in which reports go by `hop`.
fn reporting(hop: &NextHop) -> World {
    let mut world = World::new();
    let mut settings = Settings::built_in(world.scratch.path(), TimeZone::UTC);
    settings.hostname = Some("gw1.plant.example".to_owned());
    let routes = vec![Route { domain: RouteDomain::Any, via: destination("hop"), to: RouteTo::Recipient }];
    settings.smtp.relay = Arc::new(RelayPolicy { routes, ..RelayPolicy::default() });
    world.reporter = Reporter::of(&settings, &world.metrics);
    world.hop("hop", hop.address, 1);
    world
}

fn relayed(content: &str, recipients: Vec<Recipient>) -> Message {
    let submitted = Box::new(Submitted { reports: Reports::Owed, ..Submitted::default() });
    let body = Body::Mail {
        reverse_path: Some("scanner7@plant.example".to_owned()),
        content: Content::Inline(content.to_owned().into_bytes().into()),
        submitted,
    };
    Message { body, recipients, ..message("hop", "") }
}

fn wanting(notify: &str, recipient: Recipient) -> Recipient {
    let dsn = RecipientDsn { notify: Some(notify.parse().unwrap()), orcpt: None };
    Recipient { dsn, ..recipient }
}

const SCAN: &str = "From: Scanner 7 <scanner7@plant.example>\r\nSubject: scan\r\n\r\nx\r\n";

#[tokio::test]
async fn a_success_that_no_next_hop_will_report_is_reported_here() {
    let mut hop = NextHop::start(Manner::Kind).await;
    let mut world = reporting(&hop);
    world.inbox("inbox");
    let recipients = vec![
        wanting("SUCCESS", recipient("hop", "a@corp.example")),
        wanting("FAILURE", recipient("hop", "b@corp.example")),
    ];
    world.spool.accept(relayed(SCAN, recipients)).await.unwrap();
    let scheduler = world.start();
    assert_eq!(hop.next().await.recipients, ["a@corp.example", "b@corp.example"]);
    let report = hop.next().await;
    assert_eq!(report.recipients, ["scanner7@plant.example"]);
    assert!(report.content.contains("\r\nFinal-Recipient: rfc822; a@corp.example\r\nAction: relayed\r\n"));
    assert!(!report.content.contains("b@corp.example"), "{}", report.content);

    let folder =
        RecipientDsn { notify: "SUCCESS".parse().ok(), orcpt: Some("rfc822;c@corp.example".to_owned()) };
    let kept = Recipient { dsn: folder, ..recipient("inbox", "") };
    world.spool.accept(relayed(SCAN, vec![kept])).await.unwrap();
    let report = hop.next().await;
    assert!(report.content.contains("\r\nFinal-Recipient: rfc822; c@corp.example\r\nAction: delivered\r\n"));
    world.drained().await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_next_hop_that_allows_one_sender_gets_its_mail_from_that_and_in_seven_bits() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Kind).await;
    let settings = settings::Submission {
        host: hop.address.ip().to_string(),
        port: hop.address.port(),
        tls: Tls { mode: TlsMode::None, ca_file: None, client_certificate: None },
        auth: None,
        from: Some(Sender {
            address: Mailbox::parse("alerts@corp.example").unwrap(),
            keep: vec![AddressPattern::parse("*@corp.example").unwrap()],
            display: DisplayName::parse("{original} (gateway)").unwrap(),
        }),
        max_connections: 1,
        rate: None,
        message_size: None,
        max_recipients: Some(1),
        timeout: Duration::from_secs(10),
        replies: ReplyTable::default(),
        preset: None,
    };
    let submission = Submission::new(destination("hop"), &settings, identity(), None).unwrap();
    let limits = Limits { concurrency: 1, recipients: 100, together: 1, rate: None };
    world.plan.push((destination("hop"), Transport::Submission(submission), limits));
    let recipients = vec![recipient("hop", "a@corp.example"), recipient("hop", "b@corp.example")];
    let content = "From: Scanner 7 <scanner7@plant.example>\r\nSubject: scan\r\n\r\nBehälter\r\n";
    world.spool.accept(relayed(content, recipients)).await.unwrap();
    let kept = "From: boss@corp.example\r\n\r\nx\r\n";
    let scheduler = world.start();
    for to in ["a@corp.example", "b@corp.example"] {
        let seen = hop.next().await;
        assert_eq!(seen.recipients, [to], "one recipient in a transaction");
        assert_eq!(seen.field("From"), "\"Scanner 7 (gateway)\" <alerts@corp.example>");
        assert_eq!(seen.field("Reply-To"), "Scanner 7 <scanner7@plant.example>");
        assert_eq!(seen.field("X-Original-From"), "Scanner 7 <scanner7@plant.example>");
        assert_eq!(seen.field("Content-Transfer-Encoding"), "quoted-printable");
        assert!(seen.content.ends_with("\r\n\r\nBeh=C3=A4lter\r\n"), "{}", seen.content);
    }
    world.spool.accept(relayed(kept, vec![recipient("hop", "a@corp.example")])).await.unwrap();
    assert_eq!(hop.next().await.content, kept, "what may stay is not touched");
    assert!(scheduler.shutdown(within(20)).await);
}
