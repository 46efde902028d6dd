//! Templates of rules: `UPS {originator}: {first_line}`.
//!
//! A field in braces is replaced by its value once; what the value itself contains is never looked at again, so a
//! sender that writes `{site}` into a message gets those six characters. `{{` and `}}` are a brace each.

use std::fmt::{self, Write as _};

use crate::message::id::RuleName;
use crate::message::notice::Notice;
use crate::policy::mapping::Context;
use crate::policy::spelling::nearest;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Field(Field),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $origin:ident;)*) => {
        /// What may stand in braces.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        impl Field {
            /// Every field, in the order of the manual.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is written between the braces.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Who chooses its value.
            #[must_use]
            pub const fn origin(self) -> Origin {
                match self { $(Self::$variant => Origin::$origin,)* }
            }
        }
    };
}

fields! {
    /// The From inside the message, else the source name.
    Originator = "originator", Sender;
    /// The To inside the message, else the destination name.
    To = "to", Sender;
    /// The sender's name in the NetBIOS header, without its type.
    SourceName = "source_name", Sender;
    /// The receiver's name in the NetBIOS header, without its type.
    DestinationName = "destination_name", Sender;
    /// The mailslot in upper case.
    Mailslot = "mailslot", Sender;
    /// The IP address that the packet came from. UDP lets a sender forge it.
    Source = "source", Sender;
    /// `datagram` or `messenger`.
    Listener = "listener", Gateway;
    /// The whole text.
    Text = "text", Sender;
    /// The first line of the text that is not blank.
    FirstLine = "first_line", Sender;
    /// When the message arrived, in the configured time zone: `2026-11-21 19:25:01 +09:00`.
    Time = "time", Gateway;
    /// The gateway's `hostname`.
    Host = "host", Operator;
    /// The configured `site`.
    Site = "site", Operator;
    /// The name of the rule that decided.
    Rule = "rule", Operator;
}

/// Who chooses a field's value. NetBIOS authenticates nobody, so what a sender chooses may never become an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Whoever sent the datagram.
    Sender,
    /// The gateway itself, for each message anew.
    Gateway,
    /// The configuration; the same for every message.
    Operator,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {position}: {reason}")]
pub struct TemplateError {
    /// The character where it begins, counted from 1.
    pub position: usize,
    /// What is wrong there.
    pub reason: TemplateReason,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateReason {
    /// The name between the braces is none of ours.
    UnknownField {
        /// As written.
        name: String,
        /// The field that it most resembles.
        nearest: Option<&'static str>,
    },
    /// `{id}`: the spool gives a message its number after the rule has been applied.
    QueueId,
    /// A `{` without its `}`.
    Unclosed,
    /// A `}` without its `{`.
    Unopened,
}

impl fmt::Display for TemplateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { name, nearest: Some(nearest) } => {
                write!(f, "there is no field {{{name}}}; did you mean {{{nearest}}}?")
            }
            Self::UnknownField { name, nearest: None } => {
                write!(f, "there is no field {{{name}}}; the fields are")?;
                Field::ALL.iter().try_for_each(|field| write!(f, " {{{}}}", field.as_str()))
            }
            Self::QueueId => f.write_str(
                "{id} is not known yet when a rule is applied; the Message-ID of the mail carries the queue id",
            ),
            Self::Unclosed => f.write_str("`{` is not closed; a brace of its own is written `{{`"),
            Self::Unopened => f.write_str("`}` closes nothing; a brace of its own is written `}}`"),
        }
    }
}

/// What the fields of one message stand for.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The message.
    pub notice: &'a Notice<'a>,
    /// The rule that decided.
    pub rule: &'a RuleName,
    /// What the configuration says of this gateway.
    pub context: &'a Context,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first brace that makes no sense, with its position and the field probably meant.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        let mut position = 0_usize;
        while let Some(letter) = rest.next() {
            position = position.saturating_add(1);
            let doubled = matches!(letter, '{' | '}') && rest.as_str().starts_with(letter);
            if doubled {
                rest.next();
                position = position.saturating_add(1);
                literal.push(letter);
            } else if letter == '}' {
                return Err(TemplateError { position, reason: TemplateReason::Unopened });
            } else if letter == '{' {
                let unclosed = TemplateError { position, reason: TemplateReason::Unclosed };
                let (name, tail) = rest.as_str().split_once('}').ok_or(unclosed)?;
                let field = Field::parse(name).map_err(|reason| TemplateError { position, reason })?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Field(field));
                position = position.saturating_add(name.chars().count()).saturating_add(1);
                rest = tail.chars();
            } else {
                literal.push(letter);
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self { source: text.into(), parts: parts.into() })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The fields in it, in order.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(*field),
            Part::Literal(_) => None,
        })
    }

    /// The text that it makes of the operator's values alone, the same for every message; `None` when another field
    /// stands in it.
    #[must_use]
    pub fn constant(&self, rule: &RuleName, context: &Context) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            out.push_str(match part {
                Part::Literal(text) => text,
                Part::Field(Field::Host) => &context.host,
                Part::Field(Field::Site) => &context.site,
                Part::Field(Field::Rule) => rule.as_str(),
                Part::Field(_) => return None,
            });
        }
        Some(out)
    }

    /// The text of one line for a subject or an address: line breaks and runs of blanks become one blank, other controls, and characters
    /// that reorder or hide text, are left out, and what is over [`MAX_LINE`] characters is cut, which `…` shows.
    #[must_use]
    pub fn render_line(&self, values: Values<'_>) -> String {
        let mut line = Line::default();
        for part in &self.parts {
            match part {
                Part::Literal(text) => line.push_str(text),
                Part::Field(field) => field.with_value(values, |value| line.push_str(value)),
            }
        }
        line.finish()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Field {
    /// The field with this name, blanks around it ignored.
    ///
    /// # Errors
    /// A name that is none of ours, with the nearest one.
    pub fn parse(name: &str) -> Result<Self, TemplateReason> {
        let name = name.trim();
        if let Some(field) = Self::ALL.iter().find(|field| field.as_str() == name) {
            return Ok(*field);
        }
        if name == "id" {
            return Err(TemplateReason::QueueId);
        }
        let name: String = name.chars().take(40).collect();
        let nearest = nearest(&name, Self::ALL.iter().map(|field| field.as_str()));
        Err(TemplateReason::UnknownField { name, nearest })
    }

    /// Gives the field's value as it is, unbounded and with the sender's control characters, to `f`.
    pub fn with_value<R>(self, values: Values<'_>, f: impl FnOnce(&str) -> R) -> R {
        let Values { notice, rule, context } = values;
        match self {
            Self::Originator => f(&notice.originator),
            Self::To => f(&notice.to),
            Self::SourceName => f(&notice.source_name.text),
            Self::DestinationName => f(&notice.destination_name.text),
            Self::Mailslot => f(&notice.mailslot),
            Self::Source => f(&notice.arrival.source.ip().to_canonical().to_string()),
            Self::Listener => f(notice.arrival.listener.as_str()),
            Self::Text => f(&notice.text),
            Self::FirstLine => f(notice.first_line()),
            Self::Time => {
                let zoned = notice.arrival.at.to_zoned(context.timezone.clone());
                f(&zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
            }
            Self::Host => f(&context.host),
            Self::Site => f(&context.site),
            Self::Rule => f(rule.as_str()),
        }
    }
}

/// The most characters of a rendered line.
pub const MAX_LINE: usize = 200;

/// One line that grows up to [`MAX_LINE`] characters.
#[derive(Default)]
struct Line {
    text: String,
    characters: usize,
    cut: bool,
}

impl Line {
    fn push_str(&mut self, text: &str) {
        for letter in text.chars() {
            if self.cut {
                return;
            }
            let letter = match letter {
                '\n' | '\r' | '\t' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
                letter if is_invisible(letter) => continue,
                letter => letter,
            };
            if self.characters >= MAX_LINE {
                self.cut = true;
            } else if letter != ' ' || !self.text.ends_with(' ') {
                self.text.push(letter);
                self.characters = self.characters.saturating_add(1);
            }
        }
    }

    fn finish(mut self) -> String {
        if self.cut {
            self.text.pop();
            self.text.truncate(self.text.trim_end().len());
            self.text.write_char('…').unwrap_or_default();
        }
        self.text.trim().to_owned()
    }
}

/// Whether a character shows nothing of its own but changes how others look: controls, marks of direction, joiners of
/// words, tags. The zero-width (non-)joiners stay; Persian and Indic scripts and emoji need them.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
                | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::mapping::tests::{context, notice};

    fn render(template: &str, text: &str) -> String {
        let mut notice = notice();
        notice.text = text.into();
        let rule = RuleName::new("ups").unwrap();
        let context = context();
        Template::parse(template).unwrap().render_line(Values {
            notice: &notice,
            rule: &rule,
            context: &context,
        })
    }

    #[test]
    fn fields_are_replaced_and_doubled_braces_are_one() {
        assert_eq!(
            render("UPS {originator}: {{{first_line}}}", "\n on battery \nx"),
            "UPS UPS-1: {on battery}"
        );
        assert_eq!(
            render("{site}/{host}/{rule}/{source}/{listener}/{time}", ""),
            "plant-1/gw1.plant.example/ups/192.0.2.7/datagram/2026-11-21 19:25:01 +09:00"
        );
    }

    #[test]
    fn a_field_written_by_the_sender_is_not_expanded() {
        assert_eq!(render("{text}", "{site} {{"), "{site} {{");
    }

    #[test]
    fn line_breaks_controls_and_bidi_marks_of_the_sender_do_not_reach_a_subject() {
        let hostile = "a\r\nBcc: x@example.com\u{2028}b\u{202E}c\u{1B}[31m\u{2066}d\u{0}e\u{FEFF}";
        assert_eq!(render("{text}", hostile), "a Bcc: x@example.com bc[31mde");
    }

    #[test]
    fn a_long_text_is_cut_by_characters_and_shows_it() {
        let line = render("{text}", &"電".repeat(5000));
        assert_eq!(line.chars().count(), MAX_LINE);
        assert!(line.ends_with("電…"));
        assert_eq!(render("{text}", &"x".repeat(MAX_LINE)), "x".repeat(MAX_LINE));
    }

    #[test]
    fn an_error_names_the_position_the_field_and_the_one_meant() {
        let error = |text| Template::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("UPS {orignator}"),
            "character 5: there is no field {orignator}; did you mean {originator}?"
        );
        assert!(
            error("電{xyzzy}")
                .starts_with("character 2: there is no field {xyzzy}; the fields are {originator}")
        );
        assert_eq!(error("a {to"), "character 3: `{` is not closed; a brace of its own is written `{{`");
        assert_eq!(error("{to} }"), "character 6: `}` closes nothing; a brace of its own is written `}}`");
        assert!(error("{id}").contains("Message-ID"));
    }

    #[test]
    fn only_a_template_of_the_operators_fields_is_the_same_for_every_message() {
        let rule = RuleName::new("ups").unwrap();
        let constant = |text: &str| Template::parse(text).unwrap().constant(&rule, &context());
        assert_eq!(constant("{rule}@{site}.example").as_deref(), Some("ups@plant-1.example"));
        for field in Field::ALL.iter().filter(|field| field.origin() != Origin::Operator) {
            assert_eq!(constant(&format!("{{{}}}@example.com", field.as_str())), None, "{field:?}");
        }
    }
}
