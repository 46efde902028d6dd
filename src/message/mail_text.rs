//! What a legacy display shows of a mail: who sent it, its subject, and the beginning of its text.

use mail_parser::{Address, Message, MessageParser};

/// `From`, `Subject` and the text of the mail that these bytes begin: all of it, or as much as is there. HTML without a
/// plain alternative is made plain; attachments are left out.
#[must_use]
pub fn mail_text(content: &[u8]) -> String {
    let Some(mail) = MessageParser::default().parse(content) else { return UNREADABLE.to_owned() };
    let from = mail.from().and_then(Address::first);
    let from = from.and_then(|from| from.name().or_else(|| from.address())).unwrap_or_default();
    let body = body_lines(&mail);
    let head = [("From", from), ("Subject", mail.subject().unwrap_or_default())];
    let head = head.into_iter().filter(|(_, value)| !value.is_empty());
    let head = head.map(|(field, value)| format!("{field}: {}", one_line(value)));
    let all: Vec<String> = head.chain(body).collect();
    if all.is_empty() { UNREADABLE.to_owned() } else { all.join("\n") }
}

/// The text of a mail, without the blanks around it; of HTML without a plain alternative, that made plain. Empty where there
/// is none.
#[must_use]
pub(super) fn body_text(mail: &Message<'_>) -> String {
    let lines: Vec<String> = body_lines(mail).collect();
    lines.join("\n")
}

fn body_lines(mail: &Message<'_>) -> impl Iterator<Item = String> {
    let body = mail.body_text(0).unwrap_or_default();
    let lines: Vec<String> = body.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.into_iter().skip_while(String::is_empty)
}

/// Nothing that a sender writes begins a line of its own.
fn one_line(value: &str) -> String {
    value.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

const UNREADABLE: &str = "(a mail without text)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_shows_who_what_and_the_text() {
        let mail = "From: \"Druckerei\" <press@plant.example>\r\nSubject: =?utf-8?q?Papier_f=C3=A4llt_aus?=\r\n\
                    Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                    \r\nBitte nachf=FCllen.\r\n\r\nDanke\r\n";
        let expected = "From: Druckerei\nSubject: Papier fällt aus\nBitte nachfüllen.\n\nDanke";
        assert_eq!(mail_text(mail.as_bytes()), expected);
    }

    #[test]
    fn of_several_parts_the_text_is_shown_and_html_made_plain() {
        let mail = "From: scan@plant.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
                    --x\r\nContent-Type: text/html\r\n\r\n<p>Toner <b>low</b></p>\r\n\
                    --x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x--\r\n";
        assert_eq!(mail_text(mail.as_bytes()), "From: scan@plant.example\nToner low");
    }

    #[test]
    fn a_mail_that_was_cut_off_or_has_nothing_to_show_is_shown_all_the_same() {
        let cut = "Subject: alarm\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
                   --x\r\n\r\nDoor open\r\n--x\r\nContent-Type: image/png\r\n\r\niVBOR";
        assert_eq!(mail_text(cut.as_bytes()), "Subject: alarm\nDoor open");
        assert_eq!(mail_text(b"Subject: alarm\r\n\r\nDoor op"), "Subject: alarm\nDoor op");
        assert_eq!(mail_text(b""), UNREADABLE);
    }
}
