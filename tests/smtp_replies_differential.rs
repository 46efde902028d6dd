//! Replies read by this program and by `smtp-proto`, which shares no code with it: both must see the same.
//!
//! Generated replies are well formed. Where the two differ on purpose (a code that changes inside a reply, codes
//! outside 200 to 599, more than 4096 octets), the unit tests of `wire::smtp::reply` say what is right.

use mailslotd::wire::smtp::extensions::{Extensions, Size};
use mailslotd::wire::smtp::reply::{Reply, ReplyParser};
use mailslotd::wire::smtp::status::EnhancedStatus;
use proptest::prelude::*;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{
    AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_PLAIN, AUTH_SCRAM_SHA_256, AUTH_XOAUTH2, EXT_8BIT_MIME, EXT_AUTH,
    EXT_CHUNKING, EXT_DSN, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS,
    EhloResponse,
};

proptest! {
    #[test]
    fn code_text_and_status_are_the_same(
        code in 200_u16..600,
        status in proptest::option::of((0_u8..8, 0_u8..200)),
        lines in proptest::collection::vec("[A-Za-z<][ -~]{0,60}", 1..6),
        piece in 1_usize..40,
    ) {
        let class = code / 100;
        let status = status.filter(|_| class != 3).map(|(subject, detail)| format!("{class}.{subject}.{detail} "));
        let bytes = write(code, status.as_deref().unwrap_or_default(), &lines);

        let reply = ours(&bytes, piece);
        let mut receiver = ResponseReceiver::default();
        let theirs = receiver.parse(&mut bytes.iter()).unwrap();

        prop_assert_eq!(reply.code().number(), theirs.code);
        let without_status: Vec<&str> =
            reply.lines().iter().map(|line| EnhancedStatus::leading(line).map_or(line.as_str(), |(_, rest)| rest)).collect();
        // They join lines with LF and keep the CR of each.
        let message = theirs.message.replace("\r\n", "\n");
        prop_assert_eq!(without_status.join("\n"), message.trim_end_matches('\r'));
        let [class, subject, detail] = theirs.esc;
        let expected = status.is_some().then(|| EnhancedStatus::new(class, subject.into(), detail.into()));
        prop_assert_eq!(reply.status(), expected);
    }

    #[test]
    fn extensions_are_the_same(
        offered in proptest::sample::subsequence(EXTENSIONS.to_vec(), 0..=EXTENSIONS.len()),
        mechanisms in proptest::sample::subsequence(MECHANISMS.to_vec(), 0..=MECHANISMS.len()),
        size in proptest::option::of(0_u32..100_000_000),
        lower in any::<bool>(),
    ) {
        let mut lines = vec!["mx.example.net".to_owned()];
        lines.extend(offered.iter().map(|keyword| (*keyword).to_owned()));
        if !mechanisms.is_empty() {
            let names: Vec<&str> = mechanisms.iter().map(|(name, _)| *name).collect();
            lines.push(format!("AUTH {}", names.join(" ")));
        }
        lines.extend(size.map(|size| format!("SIZE {size}")));
        if lower {
            lines.iter_mut().for_each(|line| *line = line.to_ascii_lowercase());
        }
        let bytes = write(250, "", &lines);

        let extensions = Extensions::parse(&ours(&bytes, 7));
        let theirs = EhloResponse::parse(&mut bytes.iter()).unwrap();

        let flags = [
            (extensions.starttls, EXT_START_TLS),
            (extensions.pipelining, EXT_PIPELINING),
            (extensions.eight_bit_mime, EXT_8BIT_MIME),
            (extensions.smtputf8, EXT_SMTP_UTF8),
            (extensions.dsn, EXT_DSN),
            (extensions.enhanced_status_codes, EXT_ENHANCED_STATUS_CODES),
            (extensions.chunking, EXT_CHUNKING),
            (extensions.size != Size::NotOffered, EXT_SIZE),
            (!extensions.auth.is_empty(), EXT_AUTH),
        ];
        for (ours, flag) in flags {
            prop_assert_eq!(ours, theirs.has_capability(flag), "capability {:#x}", flag);
        }
        if let Size::Limit(limit) = extensions.size {
            prop_assert_eq!(limit, u64::try_from(theirs.size).unwrap());
        }
        for (name, flag) in MECHANISMS {
            let offered = extensions.auth.iter().any(|mechanism| mechanism == name);
            prop_assert_eq!(offered, theirs.auth() & flag != 0, "{}", name);
        }
    }

    #[test]
    fn octets_of_any_kind_give_a_reply_or_an_error_and_never_a_panic(
        bytes in proptest::collection::vec(prop_oneof![
            4 => proptest::sample::select(b"2450- .\r\nab".to_vec()),
            1 => any::<u8>(),
        ], 0..200),
    ) {
        let mut rest = bytes.as_slice();
        let mut parser = ReplyParser::new();
        let mut replies = 0;
        while let Ok(Some(reply)) = parser.parse(&mut rest) {
            replies += 1;
            prop_assert!((200..=599).contains(&reply.code().number()));
            prop_assert!(!reply.to_string().contains(['\r', '\n', '\0']));
        }
        prop_assert!(replies <= bytes.len() / 4);
    }
}

fn write(code: u16, status: &str, lines: &[String]) -> Vec<u8> {
    let last = lines.len() - 1;
    let separator = |number| if number == last { ' ' } else { '-' };
    let write = |(number, line): (usize, &String)| format!("{code}{}{status}{line}\r\n", separator(number));
    lines.iter().enumerate().map(write).collect::<String>().into_bytes()
}

/// Fed in pieces of this size.
fn ours(bytes: &[u8], piece: usize) -> Reply {
    let mut parser = ReplyParser::new();
    let mut replies = bytes.chunks(piece).filter_map(|mut piece| parser.parse(&mut piece).unwrap());
    let reply = replies.next().unwrap();
    assert_eq!(replies.next(), None);
    reply
}

const EXTENSIONS: [&str; 7] =
    ["STARTTLS", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING"];
const MECHANISMS: [(&str, u64); 5] = [
    ("PLAIN", AUTH_PLAIN),
    ("LOGIN", AUTH_LOGIN),
    ("CRAM-MD5", AUTH_CRAM_MD5),
    ("SCRAM-SHA-256", AUTH_SCRAM_SHA_256),
    ("XOAUTH2", AUTH_XOAUTH2),
];
