//! Templates of rules and routes: `UPS {originator}: {first_line}`.
//!
//! A field in braces is replaced by its value once; what the value itself contains is never looked at again, so a
//! sender that writes `{site}` into a message gets those six characters. `{{` and `}}` are a brace each.

mod address;
mod field;
mod line;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::message::id::RuleName;
use crate::policy::mapping::Context;

pub use address::{AddressFault, AddressForm, AddressTemplate};
pub use field::{Field, MailField, MailValues, Origin, TemplateField, Values};
use line::Line;
pub use line::MAX_LINE;
pub(in crate::policy) use line::is_invisible;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<F: TemplateField = Field> {
    source: Box<str>,
    parts: Box<[Part<F>]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<F> {
    Literal(Box<str>),
    Field(F),
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
        /// Every field that there is.
        known: Vec<&'static str>,
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
            Self::UnknownField { name, nearest: Some(nearest), known: _ } => {
                write!(f, "there is no field {{{name}}}; did you mean {{{nearest}}}?")
            }
            Self::UnknownField { name, nearest: None, known } => {
                write!(f, "there is no field {{{name}}}; the fields are")?;
                known.iter().try_for_each(|field| write!(f, " {{{field}}}"))
            }
            Self::QueueId => f.write_str(
                "{id} is not known yet when a rule is applied; the Message-ID of the mail carries the queue id",
            ),
            Self::Unclosed => f.write_str("`{` is not closed; a brace of its own is written `{{`"),
            Self::Unopened => f.write_str("`}` closes nothing; a brace of its own is written `}}`"),
        }
    }
}

impl<F: TemplateField> Template<F> {
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
                let field = F::named(name).map_err(|reason| TemplateError { position, reason })?;
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

    /// A template without fields that makes `text`.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        let source = text.replace('{', "{{").replace('}', "}}");
        Self { source: source.into(), parts: Box::new([Part::Literal(text.into())]) }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The fields in it, in order.
    pub fn fields(&self) -> impl Iterator<Item = F> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(*field),
            Part::Literal(_) => None,
        })
    }

    /// The text of one line for a subject or an address: line breaks and runs of blanks become one blank, other controls, and characters
    /// that reorder or hide text, are left out, and what is over [`MAX_LINE`] characters is cut, which `…` shows.
    #[must_use]
    pub fn render_line(&self, values: F::Values<'_>) -> String {
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

impl<F: TemplateField> fmt::Display for Template<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Template {
    /// The text that it makes of the operator's values alone, the same for every message; `None` when another field
    /// stands in it.
    #[must_use]
    pub fn constant(&self, rule: &RuleName, context: &Context) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            out.push_str(match part {
                Part::Literal(text) => text,
                Part::Field(field) => field.constant(rule, context)?,
            });
        }
        Some(out)
    }
}
