//! What goes to a webhook and what its answers mean: bodies, signatures and verdicts, without any connection.
//!
//! Whatever a sender wrote into a message stays text: in a body of the operator's own it is put into strings of JSON after
//! these were parsed, and in the ready ones it goes into elements that show no markup.

mod fields;
mod preset;
mod signature;
mod template;
mod verdict;

pub use fields::{BodyField, Fields};
pub use preset::{NotATopic, Preset, ntfy_topic};
pub use signature::{Key, signature};
pub use template::{BodyTemplateError, JsonTemplate, TextTemplate};
pub use verdict::{LONGEST_WAIT, Verdict, excerpt, judge, retry_after};

/// How a body is laid out, other than as a CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// As a service wants it.
    Preset(Preset),
    /// JSON of the operator's own.
    Json(JsonTemplate),
    /// Text of the operator's own.
    Text(TextTemplate),
}

impl Body {
    /// The media type.
    #[must_use]
    pub const fn media_type(&self) -> &'static str {
        match self {
            Self::Preset(_) | Self::Json(_) => "application/json",
            Self::Text(_) => "text/plain; charset=utf-8",
        }
    }

    /// The body for one message.
    ///
    /// # Errors
    /// [`NotATopic`]: ntfy has no such topic.
    pub fn render(&self, fields: &Fields) -> Result<Vec<u8>, NotATopic> {
        match self {
            Self::Preset(preset) => preset.render(fields),
            Self::Json(template) => Ok(template.render(fields)),
            Self::Text(template) => Ok(template.render(fields).into_bytes()),
        }
    }
}
