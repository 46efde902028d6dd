//! What the fields of a body's template stand for.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::message::event::Event;
use crate::message::mail::Priority;
use crate::policy::template::is_invisible;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $name:ident;)*) => {
        /// What may stand in the braces of a body's template.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum BodyField {
            $($(#[$doc])* $variant,)*
        }

        impl BodyField {
            /// Every field, in the order of the manual.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is written between the braces.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        /// The values of one message. Those that a sender chose have no control characters but line ends and tabs.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Fields {
            $($(#[$doc])* pub $name: String,)*
            /// The same as a value.
            pub urgency: Priority,
        }

        impl Fields {
            /// The value of a field.
            #[must_use]
            pub fn value(&self, field: BodyField) -> &str {
                match field { $(BodyField::$variant => &self.$name,)* }
            }
        }
    };
}

fields! {
    /// The event's id: the same each time that this copy is sent.
    Id = "id", id;
    /// The event's type: `mailslotd.messenger.v1`, `mailslotd.mail.v1` and so on.
    Type = "type", event_type;
    /// What `to` of the rule or route makes.
    Subject = "subject", subject;
    /// When the message arrived, in the configured time zone: `2026-11-21 19:25:01 +09:00`.
    Time = "time", time;
    /// The line for people: the rule's `subject`, the mail's Subject, else the first line of the text.
    Title = "title", title;
    /// The text.
    Text = "text", text;
    /// The first line of the text that is not blank.
    FirstLine = "first_line", first_line;
    /// Who wrote it, by its own words.
    Originator = "originator", originator;
    /// For whom it was: the To inside the message, or the mail's recipient.
    To = "to", to;
    /// The IP address that it came from.
    Source = "source", source;
    /// The mailslot in upper case; empty for mail.
    Mailslot = "mailslot", mailslot;
    /// How often it came, where repeats were gathered; else `1`.
    Count = "count", count;
    /// The name of the rule that decided; empty for mail.
    Rule = "rule", rule;
    /// `urgent`, `normal` or `bulk`.
    Priority = "priority", priority;
    /// The gateway's `hostname`.
    Host = "host", host;
    /// The configured `site`.
    Site = "site", site;
}

impl Fields {
    /// The values of this event, times in this zone.
    #[must_use]
    pub fn of(event: &Event, timezone: &TimeZone) -> Self {
        let data: Value = serde_json::from_slice(&event.data()).unwrap_or_default();
        let at = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).map(plain).unwrap_or_default();
        let first = |pointers: &[&str]| {
            pointers.iter().map(|pointer| at(pointer)).find(|value| !value.is_empty()).unwrap_or_default()
        };
        let text = at("/text");
        let first_line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let title = first(&["/title", "/header/subject"]);
        let title = if title.is_empty() { first_line.to_owned() } else { title };
        let attributes = event.attributes();
        let attribute = |name: &str| {
            let found = attributes.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let priority = attribute("priority");
        let urgency = [Priority::Urgent, Priority::Bulk].into_iter().find(|known| known.as_str() == priority);
        Self {
            id: event.id().to_owned(),
            event_type: event.event_type().as_str().to_owned(),
            subject: attribute("subject"),
            time: local(&attribute("time"), timezone),
            title,
            first_line: first_line.to_owned(),
            originator: first(&[
                "/originator",
                "/header/from/0/name",
                "/header/from/0/address",
                "/envelope/reverse_path",
                "/source/name",
            ]),
            to: first(&["/to", "/envelope/recipient"]),
            source: first(&["/source/address", "/client/address"]),
            mailslot: at("/mailslot"),
            count: data.pointer("/repeats/count").and_then(Value::as_u64).unwrap_or(1).to_string(),
            rule: attribute("rule"),
            priority,
            host: host(&attribute("source")),
            site: attribute("site"),
            urgency: urgency.unwrap_or_default(),
            text,
        }
    }
}

/// Without what shows nothing but changes how others look.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| matches!(letter, '\n' | '\t') || !is_invisible(*letter)).collect()
}

fn local(time: &str, timezone: &TimeZone) -> String {
    time.parse::<Timestamp>().map_or_else(
        |_| time.to_owned(),
        |at| at.to_zoned(timezone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
    )
}

/// Of `//HOSTNAME/mailslotd`.
fn host(source: &str) -> String {
    source.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned()
}
