//! Bodies of the operator's own.
//!
//! In texts a field in braces is replaced by its value once; `{{` and `}}` are a brace each. JSON is written as a tree
//! whose texts are such templates: values are put into strings that stand already, so nothing in them can end one.

use std::fmt::Write as _;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::fields::{BodyField, Fields};
use crate::policy::spelling::nearest;

/// A text with fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate {
    source: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Field(BodyField),
}

/// A value of JSON whose texts have fields; its maps keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonTemplate {
    /// `null`
    Null,
    /// `true` or `false`
    Truth(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string.
    Text(TextTemplate),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Map(Vec<(String, Self)>),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyTemplateError {
    /// The name between the braces is none of ours.
    #[error("there is no field {{{name}}}{}", meant(*nearest))]
    UnknownField {
        /// As written.
        name: String,
        /// The field that it most resembles.
        nearest: Option<&'static str>,
    },
    /// A `{` without its `}`, or the other way round.
    #[error("a brace stands alone; one that is meant as such is written twice: `{{{{` or `}}}}`")]
    LoneBrace,
}

fn meant(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(
        || {
            let mut known = "; the fields are".to_owned();
            for field in BodyField::ALL {
                // Writing to a String cannot fail.
                write!(known, " {{{}}}", field.as_str()).unwrap_or_default();
            }
            known
        },
        |nearest| format!("; did you mean {{{nearest}}}?"),
    )
}

impl TextTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`BodyTemplateError`].
    pub fn parse(text: &str) -> Result<Self, BodyTemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at_checked(at).unwrap_or((rest, ""));
            literal.push_str(before);
            if let Some(after) = ["{{", "}}"].iter().find_map(|doubled| brace.strip_prefix(doubled)) {
                literal.extend(brace.chars().next());
                rest = after;
                continue;
            }
            let named = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = named.ok_or(BodyTemplateError::LoneBrace)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Field(field(name)?));
            rest = after;
        }
        literal.push_str(rest);
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

    /// With the values of one message.
    #[must_use]
    pub fn render(&self, fields: &Fields) -> String {
        let values = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Field(field) => fields.value(*field),
        });
        values.collect()
    }
}

fn field(name: &str) -> Result<BodyField, BodyTemplateError> {
    let known = BodyField::ALL.iter().find(|field| field.as_str() == name);
    known.copied().ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        let nearest = nearest(&shown, BodyField::ALL.iter().map(|field| field.as_str()));
        BodyTemplateError::UnknownField { name: shown, nearest }
    })
}

impl JsonTemplate {
    /// With the values of one message.
    #[must_use]
    pub fn render(&self, fields: &Fields) -> Vec<u8> {
        // Every value of this type has a form in JSON.
        serde_json::to_vec(&Rendered { template: self, fields }).unwrap_or_default()
    }
}

struct Rendered<'a> {
    template: &'a JsonTemplate,
    fields: &'a Fields,
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = |template| Self { template, fields: self.fields };
        match self.template {
            JsonTemplate::Null => serializer.serialize_unit(),
            JsonTemplate::Truth(truth) => serializer.serialize_bool(*truth),
            JsonTemplate::Number(number) => number.serialize(serializer),
            JsonTemplate::Text(text) => serializer.serialize_str(&text.render(self.fields)),
            JsonTemplate::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&inner(item))?;
                }
                list.end()
            }
            JsonTemplate::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &inner(value))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text(source: &str) -> TextTemplate {
        TextTemplate::parse(source).unwrap()
    }

    fn hostile() -> Fields {
        let text = "\"}], \"admin\": true, {site}\\\n\u{2028}\u{0}</script>".to_owned();
        Fields { text, site: "plant".to_owned(), ..Fields::default() }
    }

    #[test]
    fn fields_are_replaced_once_and_doubled_braces_are_one() {
        assert_eq!(text("{{{site}}}: {site}{{x").render(&hostile()), "{plant}: plant{x");
        assert!(text("{text}").render(&hostile()).contains("{site}"));
        assert_eq!(text("").render(&hostile()), "");
    }

    #[test]
    fn what_is_no_template_says_why() {
        let error = |source| TextTemplate::parse(source).unwrap_err().to_string();
        assert_eq!(error("{titel}"), "there is no field {titel}; did you mean {title}?");
        assert!(error("{xyzzy}").contains("the fields are {id} {type} {subject}"), "{}", error("{xyzzy}"));
        for lone in ["{title", "title}", "{title}}", "a } b"] {
            assert_eq!(TextTemplate::parse(lone), Err(BodyTemplateError::LoneBrace), "{lone}");
        }
    }

    #[test]
    fn nothing_that_a_sender_writes_leaves_its_string() {
        let template = JsonTemplate::Map(vec![
            ("z".to_owned(), JsonTemplate::List(vec![JsonTemplate::Null, JsonTemplate::Truth(true)])),
            ("a".to_owned(), JsonTemplate::Text(text("{site}: {text}"))),
            ("n".to_owned(), JsonTemplate::Number(5.into())),
        ]);
        let body = template.render(&hostile());
        assert!(body.starts_with(b"{\"z\":"), "the order stays");
        let expected = json!({ "z": [null, true], "a": format!("plant: {}", hostile().text), "n": 5 });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }
}
