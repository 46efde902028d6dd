//! Commands and content read by this program and by `smtp-proto`, which shares no code with it: both must see the same.
//!
//! Generated lines are well formed. Where the two differ on purpose (postmaster, source routes, address literals, line
//! ends that are not CRLF, an empty message), the unit tests of `wire::smtp::command` and `data` say what is right.

use mailslotd::wire::smtp::command::{Body, Command, Place};
use mailslotd::wire::smtp::content::ContentEncoder;
use mailslotd::wire::smtp::data::{ContentDecoder, Framing, HeaderOctets, Progress};
use mailslotd::wire::smtp::dsn::{Notify, Ret};
use mailslotd::wire::smtp::tolerance::Tolerance;
use proptest::prelude::*;
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::{
    MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_RET_FULL, MAIL_RET_HDRS, MAIL_SMTPUTF8, RCPT_NOTIFY_DELAY,
    RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_NEVER, RCPT_NOTIFY_SUCCESS, Request,
};

fn theirs(line: &str) -> Request<String> {
    let octets = format!("{line}\r\n");
    Request::parse(&mut octets.as_bytes().iter()).unwrap().into_owned()
}

fn ours(line: &str) -> Command {
    Command::parse(line.as_bytes(), Tolerance::Strict).unwrap()
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), mailbox()]
}

fn mailbox() -> impl Strategy<Value = String> {
    ("[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\\.[a-z0-9]{1,8}){0,2}", "[a-z0-9]{1,10}(\\.[a-z0-9]{1,10}){0,3}")
        .prop_map(|(local_part, domain)| format!("{local_part}@{domain}"))
}

proptest! {
    #[test]
    fn mail_is_the_same(
        address in address(),
        size in proptest::option::of(0_u32..u32::MAX),
        eight_bit in proptest::option::of(any::<bool>()),
        smtputf8 in any::<bool>(),
        full in proptest::option::of(any::<bool>()),
        envid in proptest::option::of("[A-Za-z0-9@.-]{1,20}"),
        lower in any::<bool>(),
    ) {
        let mut line = format!("MAIL FROM:<{address}>");
        line += &size.map_or(String::new(), |size| format!(" SIZE={size}"));
        line += &eight_bit.map_or(String::new(), |yes| format!(" BODY={}", if yes { "8BITMIME" } else { "7BIT" }));
        line += if smtputf8 { " SMTPUTF8" } else { "" };
        line += &full.map_or(String::new(), |full| format!(" RET={}", if full { "FULL" } else { "HDRS" }));
        let line = if lower { line.to_ascii_lowercase() } else { line };
        let line = envid.iter().fold(line, |line, envid| format!("{line} ENVID={envid}"));

        let (Command::Mail(ours), Request::Mail { from }) = (ours(&line), theirs(&line)) else { panic!("{line}") };

        prop_assert_eq!(ours.reverse_path.to_string(), from.address);
        prop_assert_eq!(ours.size.unwrap_or(0), u64::try_from(from.size).unwrap());
        prop_assert_eq!(ours.smtputf8, from.flags & MAIL_SMTPUTF8 != 0);
        prop_assert_eq!(ours.body == Some(Body::SevenBit), from.flags & MAIL_BODY_7BIT != 0);
        prop_assert_eq!(ours.body == Some(Body::EightBitMime), from.flags & MAIL_BODY_8BITMIME != 0);
        prop_assert_eq!(ours.ret == Some(Ret::Full), from.flags & MAIL_RET_FULL != 0);
        prop_assert_eq!(ours.ret == Some(Ret::Headers), from.flags & MAIL_RET_HDRS != 0);
        prop_assert_eq!(ours.envid, from.env_id);
    }

    #[test]
    fn rcpt_is_the_same(
        address in mailbox(),
        notify in proptest::option::of(proptest::sample::subsequence(vec!["SUCCESS", "FAILURE", "DELAY"], 0..=3)),
    ) {
        let notify = notify.map(|events| if events.is_empty() { "NEVER".to_owned() } else { events.join(",") });
        let parameters = notify.map_or(String::new(), |notify| format!(" NOTIFY={notify}"));
        let line = format!("RCPT TO:<{address}>{parameters}");

        let (Command::Rcpt(ours), Request::Rcpt { to }) = (ours(&line), theirs(&line)) else { panic!("{line}") };

        prop_assert_eq!(ours.forward_path.to_string(), to.address);
        let wanted = |flag| to.flags & flag != 0;
        let expected = if wanted(RCPT_NOTIFY_NEVER) {
            Some(Notify::Never)
        } else if wanted(RCPT_NOTIFY_SUCCESS | RCPT_NOTIFY_FAILURE | RCPT_NOTIFY_DELAY) {
            Some(Notify::On {
                success: wanted(RCPT_NOTIFY_SUCCESS),
                failure: wanted(RCPT_NOTIFY_FAILURE),
                delay: wanted(RCPT_NOTIFY_DELAY),
            })
        } else {
            None
        };
        prop_assert_eq!(ours.dsn.notify, expected);
    }

    #[test]
    fn chunks_are_the_same(length in 0_u32..u32::MAX, last in any::<bool>()) {
        let line = format!("BDAT {length}{}", if last { " LAST" } else { "" });
        let (Command::Bdat(ours), Request::Bdat { chunk_size, is_last }) = (ours(&line), theirs(&line)) else {
            panic!("{line}")
        };
        prop_assert_eq!(ours.length, u64::try_from(chunk_size).unwrap());
        prop_assert_eq!(ours.place == Place::Last, is_last);
    }

    #[test]
    fn content_is_the_same(
        lines in proptest::collection::vec("[.a]{0,6}", 1..12),
        piece in 1_usize..20,
    ) {
        let content = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
        let (mut encoder, mut wire) = (ContentEncoder::new(), Vec::new());
        encoder.encode(content.as_bytes(), &mut wire);
        encoder.finish(&mut wire);
        wire.extend_from_slice(b"QUIT\r\n");

        let mut decoder = ContentDecoder::new(Framing::Dots, Tolerance::Strict, HeaderOctets::Ascii);
        let mut ours = Vec::new();
        let mut read = 0;
        for chunk in wire.chunks(piece) {
            let mut rest = chunk;
            let progress = decoder.decode(&mut rest, &mut ours);
            read += chunk.len() - rest.len();
            if progress == Progress::End {
                break;
            }
        }
        prop_assert_eq!(decoder.finish(&mut ours), Ok(()));
        prop_assert_eq!(&wire[read..], b"QUIT\r\n");
        prop_assert_eq!(std::str::from_utf8(&ours).unwrap(), &content);

        // It sees a dot on the first line only behind a line end.
        let mut receiver = DataReceiver::new();
        let mut theirs = Vec::new();
        prop_assert!(!receiver.ingest(&mut b"\r\n".iter(), &mut theirs));
        let mut octets = wire.iter();
        prop_assert!(receiver.ingest(&mut octets, &mut theirs));
        prop_assert_eq!(octets.as_slice(), b"QUIT\r\n");
        prop_assert_eq!(&theirs[2..], ours.as_slice());
    }
}
