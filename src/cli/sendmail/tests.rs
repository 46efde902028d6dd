use super::*;
use crate::cli::sendmail::input::Dot;

fn request(read: Recipients, recipients: &[&str]) -> Request {
    let recipients = recipients.iter().map(ToString::to_string).collect();
    Request { read, dot: Dot::Ends, sender: Sender::OfHeader, full_name: None, recipients }
}

const HEADER: &[u8] = b"From: App <app@corp.example>\nTo: ops@corp.example, root\nBcc: boss@corp.example\n\n";

#[test]
fn recipients_come_from_the_arguments_and_with_t_from_the_header_too() {
    let named = |request: &Request| {
        let envelope = envelope(request, HEADER, Some("gw1.example")).unwrap();
        let recipients: Vec<String> = envelope.recipients.iter().map(ToString::to_string).collect();
        (envelope.reverse_path.to_string(), recipients)
    };
    let arguments = named(&request(Recipients::OfArguments, &["a@x.example,b@x.example", "root"]));
    assert_eq!(arguments.0, "app@corp.example");
    assert_eq!(arguments.1, ["a@x.example", "b@x.example", "root@gw1.example"]);
    let both = named(&request(Recipients::OfHeaderToo, &["boss@corp.example"])).1;
    assert_eq!(both, ["boss@corp.example", "ops@corp.example", "root@gw1.example"]);
    let none = envelope(&request(Recipients::OfArguments, &[]), HEADER, None);
    assert!(matches!(none, Err(Failure::NoRecipients)));
}

#[test]
fn without_a_host_name_nothing_is_made_up() {
    let bare = envelope(&request(Recipients::OfArguments, &["root"]), HEADER, None);
    assert!(matches!(bare, Err(Failure::Address(_))));
    let anonymous = envelope(&request(Recipients::OfArguments, &["a@x.example"]), b"Subject: x\n\n", None);
    assert!(matches!(anonymous, Err(Failure::NoSender)));
}

#[test]
fn a_missing_from_is_written_and_a_name_cannot_break_out_of_it() {
    let mut request = request(Recipients::OfArguments, &["a@x.example"]);
    request.sender = Sender::Named("app@corp.example".to_owned());
    let envelope = envelope(&request, b"Subject: x\n\n", None).unwrap();
    assert_eq!(
        front(&envelope, b"Subject: x\n\n", Some("Night \"shift\"\nBcc: x@y.example")),
        "X-Sender: <app@corp.example>\nX-Receiver: <a@x.example>\n\
         From: \"Night \\\"shift\\\"Bcc: x@y.example\" <app@corp.example>\n"
    );
    assert!(!front(&envelope, HEADER, Some("Name")).contains("From: \""));
}
