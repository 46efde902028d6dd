//! The part of a report for people.

use std::fmt::Write as _;

use super::fields::{date, is_reply};
use super::{Action, Notification, RecipientStatus, Returned};
use crate::message::recipient::EnhancedStatus;

impl Notification<'_> {
    /// What a person sees of it in a list.
    pub(super) const fn subject(&self) -> &'static str {
        match self.gravest() {
            Gravity::Failed => "Your message could not be delivered",
            Gravity::Delayed => "Your message is delayed, nothing to do yet",
            Gravity::Done => "Your message was delivered",
        }
    }

    /// The explanation, CRLF line ends and lines that fit a screen.
    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        paragraph(&mut text, &format!("This is the mail system at {}.", self.hostname));
        let of = format!("The message that you sent on {}", date(self.accepted_at));
        self.section(&mut text, &format!("{of} could not be delivered to:"), &|action| {
            *action == Action::Failed
        });
        let late =
            "is late. It was accepted and is still on its way; you need not send it again. It waits for:";
        self.section(&mut text, &format!("{of} {late}"), &|action| matches!(action, Action::Delayed { .. }));
        self.section(&mut text, &format!("{of} was delivered to:"), &|action| *action == Action::Delivered);
        let relayed = "was handed to the next mail system, which sends no further confirmation, for:";
        self.section(&mut text, &format!("{of} {relayed}"), &|action| *action == Action::Relayed);
        let below = match self.returned {
            Returned::Message(_) => "Your message is attached.",
            Returned::Header(_) => "The header of your message is attached.",
        };
        let who = match self.postmaster {
            Some(postmaster) => {
                format!("Questions? Ask {}, and send this report along.", self.plain(postmaster.as_str()))
            }
            None => "Questions? Ask your administrator, and send this report along.".to_owned(),
        };
        paragraph(&mut text, &format!("{below} {who}"));
        text
    }

    fn section(&self, text: &mut String, heading: &str, wanted: &dyn Fn(&Action) -> bool) {
        let mut heading = Some(heading);
        for recipient in self.recipients.iter().filter(|recipient| wanted(&recipient.action)) {
            if let Some(heading) = heading.take() {
                paragraph(text, heading);
            }
            self.entry(text, recipient);
        }
    }

    fn entry(&self, text: &mut String, recipient: &RecipientStatus) {
        line(text, &format!("  <{}>", self.plain(&recipient.address)));
        let said = self.plain(&recipient.diagnostic);
        match &recipient.remote_mta {
            _ if said.is_empty() => {}
            Some(host) if is_reply(&said) => {
                wrap(text, &format!("{} said: {said}", self.plain(host)), "    ")
            }
            Some(_) | None => wrap(text, &said, "    "),
        }
        match &recipient.action {
            Action::Failed => wrap(text, advice(recipient.status), "    "),
            Action::Delayed { until } => wrap(text, &format!("It is tried until {}.", date(until)), "    "),
            Action::Delivered | Action::Relayed => {}
        }
        line(text, "");
    }

    const fn gravest(&self) -> Gravity {
        let mut gravest = Gravity::Done;
        let mut rest = self.recipients;
        while let Some((first, others)) = rest.split_first() {
            match first.action {
                Action::Failed => return Gravity::Failed,
                Action::Delayed { .. } => gravest = Gravity::Delayed,
                Action::Delivered | Action::Relayed => {}
            }
            rest = others;
        }
        gravest
    }
}

#[derive(Debug, Clone, Copy)]
enum Gravity {
    Failed,
    Delayed,
    Done,
}

/// What a sender can do about a failure, by the subject of its code (RFC 3463 §3).
const fn advice(status: EnhancedStatus) -> &'static str {
    match (status.subject, status.detail) {
        (1, 7 | 8) => "The receiving side does not take mail from your address.",
        (1, _) => "Check the spelling of the address, or ask the recipient for the present one.",
        (2, 2) => "The recipient's mailbox is full. Try again later, or reach the recipient in another way.",
        (2, _) => "The mailbox takes no mail at present. Reach the recipient in another way.",
        (3, 4) => "The message is too large for the receiving side. Send less, or in another way.",
        (4, 7) => {
            "The receiving side could not be reached in all this time. Send it again if it still matters."
        }
        (3 | 4, _) => {
            "There is trouble between the mail systems. Send it again later, or tell your administrator."
        }
        (5 | 6, _) => "The receiving side cannot take a message of this form. Tell your administrator.",
        (7, _) => {
            "The receiving side refuses it by its rules. Ask the recipient how to reach them, or your administrator."
        }
        _ => "Check the address, and ask your administrator if it is right.",
    }
}

fn paragraph(text: &mut String, words: &str) {
    wrap(text, words, "");
    line(text, "");
}

fn line(text: &mut String, line: &str) {
    let written = write!(text, "{line}\r\n");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// Breaks at blanks, so that no line is over [`WIDTH`] unless a word is.
fn wrap(text: &mut String, words: &str, indent: &str) {
    let mut row = String::new();
    for word in words.split(' ') {
        let fits =
            row.is_empty() || row.len().saturating_add(word.len()) < WIDTH.saturating_sub(indent.len());
        if !fits {
            line(text, &format!("{indent}{row}"));
            row.clear();
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    line(text, &format!("{indent}{row}"));
}

const WIDTH: usize = 78;
