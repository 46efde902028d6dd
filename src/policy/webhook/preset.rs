//! Bodies as certain services want them, within their limits.
//!
//! Texts of senders go where a service shows them as they are: Slack's `plain_text`, text runs of adaptive cards, and the
//! plain messages of ntfy and Gotify. No markup, link or mention comes out of them.

use serde_json::{Value, json};

use super::fields::Fields;
use crate::message::mail::Priority;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Microsoft Teams: a workflow "Post to a channel when a webhook request is received". Takes 28 KB.
    Teams,
    /// Slack: an incoming webhook. A header takes 150 characters, a section 3000.
    Slack,
    /// ntfy, published as JSON to its root; `to` is the topic. A message takes 4096 octets.
    Ntfy,
    /// Gotify: `/message`, with the application's token in the field `X-Gotify-Key`.
    Gotify,
}

/// What `to` makes is no topic of ntfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{NTFY_RULE}")]
pub struct NotATopic;

impl Preset {
    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Teams => "teams",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
            Self::Gotify => "gotify",
        }
    }

    /// The body for one message.
    ///
    /// # Errors
    /// [`NotATopic`]: ntfy has no such topic.
    pub fn render(self, fields: &Fields) -> Result<Vec<u8>, NotATopic> {
        let body = match self {
            Self::Teams => teams(fields),
            Self::Slack => slack(fields),
            Self::Ntfy => ntfy(fields, ntfy_topic(&fields.subject)?),
            Self::Gotify => gotify(fields),
        };
        Ok(body.to_string().into_bytes())
    }
}

/// The topic, if it is one.
///
/// # Errors
/// [`NotATopic`].
pub fn ntfy_topic(subject: &str) -> Result<&str, NotATopic> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if (1..=64).contains(&subject.len()) && subject.bytes().all(fits) { Ok(subject) } else { Err(NotATopic) }
}

fn teams(fields: &Fields) -> Value {
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let block = |inline: Value| json!({ "type": "RichTextBlock", "inlines": [inline], "spacing": "None" });
    let title = cut(title(fields), 200, 600);
    let mut body = vec![json!({
        "type": "RichTextBlock",
        "inlines": [{ "type": "TextRun", "text": title, "weight": "Bolder", "size": "Large" }],
    })];
    let text = cut(&fields.text, TEAMS_TEXT, TEAMS_TEXT);
    let mut lines = text.lines();
    // A block for each line: a card does not promise to break lines within one.
    body.extend(
        lines.by_ref().take(TEAMS_LINES).map(|line| block(run(if line.is_empty() { " " } else { line }))),
    );
    if lines.next().is_some() {
        body.push(block(run("…")));
    }
    body.push(json!({
        "type": "RichTextBlock",
        "inlines": [{ "type": "TextRun", "text": footer(fields), "isSubtle": true, "size": "Small" }],
        "separator": true,
    }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

fn slack(fields: &Fields) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let title = title(fields);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&cut(title, 150, usize::MAX)) })];
    if !fields.text.trim().is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&cut(&fields.text, 3000, usize::MAX)) }));
    }
    blocks.push(json!({ "type": "context", "elements": [plain(&footer(fields))] }));
    // For notifications; here a `<!channel>` would be a mention.
    let fallback =
        cut(title, 150, usize::MAX).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": fallback, "blocks": blocks })
}

fn ntfy(fields: &Fields, topic: &str) -> Value {
    let priority = match fields.urgency {
        Priority::Urgent => 5,
        Priority::Normal => 3,
        Priority::Bulk => 2,
    };
    json!({
        "topic": topic,
        "title": cut(title(fields), 200, 250),
        "message": with_footer(fields, 4096),
        "priority": priority,
    })
}

fn gotify(fields: &Fields) -> Value {
    let priority = match fields.urgency {
        Priority::Urgent => 8,
        Priority::Normal => 5,
        Priority::Bulk => 2,
    };
    json!({
        "title": cut(title(fields), 200, usize::MAX),
        "message": with_footer(fields, GOTIFY_MESSAGE),
        "priority": priority,
        "extras": { "client::display": { "contentType": "text/plain" } },
    })
}

fn title(fields: &Fields) -> &str {
    if fields.title.trim().is_empty() { "(no text)" } else { &fields.title }
}

/// Text and footer in so many octets: it is the text that is cut.
fn with_footer(fields: &Fields, octets: usize) -> String {
    let footer = footer(fields);
    let room = octets.saturating_sub(footer.len()).saturating_sub(1);
    format!("{}\n{footer}", cut(&fields.text, usize::MAX, room))
}

/// Who, from where, when, how often: at most 600 octets.
fn footer(fields: &Fields) -> String {
    let mut parts = vec![cut(&fields.originator, 60, 180), fields.source.clone(), fields.time.clone()];
    parts.push(cut(&fields.site, 60, 180));
    if fields.count != "1" {
        parts.push(format!("{} times", fields.count));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" · ").replace('\n', " ")
}

/// At most so many characters and octets, the last one `…` where something is missing.
fn cut(text: &str, characters: usize, octets: usize) -> String {
    if text.len() <= octets && text.chars().count() <= characters {
        return text.to_owned();
    }
    let (characters, octets) = (characters.saturating_sub(1), octets.saturating_sub('…'.len_utf8()));
    let mut kept = String::new();
    for letter in text.chars().take(characters) {
        if kept.len().saturating_add(letter.len_utf8()) > octets {
            break;
        }
        kept.push(letter);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

const NTFY_RULE: &str = "a topic of ntfy has 1 to 64 letters, digits, `-` and `_`";
/// Octets and characters of text in a card: twice as many where each is escaped, and room for the card itself.
const TEAMS_TEXT: usize = 8 << 10;
/// Lines of text in a card.
const TEAMS_LINES: usize = 60;
/// Its server has no limit of its own; this is enough for any display.
const GOTIFY_MESSAGE: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields {
            subject: "alarms".to_owned(),
            title: "UPS-1: on battery".to_owned(),
            originator: "UPS-1".to_owned(),
            source: "192.0.2.7".to_owned(),
            time: "2026-11-21 19:25:01 +09:00".to_owned(),
            count: "1".to_owned(),
            urgency: Priority::Urgent,
            text: text.to_owned(),
            ..Fields::default()
        }
    }

    fn rendered(preset: Preset, fields: &Fields) -> Value {
        serde_json::from_slice(&preset.render(fields).unwrap()).unwrap()
    }

    #[test]
    fn each_service_gets_title_text_and_origin() {
        for preset in [Preset::Teams, Preset::Slack, Preset::Ntfy, Preset::Gotify] {
            let body = rendered(preset, &fields("on battery\n電")).to_string();
            for expected in ["UPS-1: on battery", "電", "UPS-1 · 192.0.2.7 · 2026-11-21 19:25:01 +09:00"] {
                assert!(body.contains(expected), "{preset:?}: {body}");
            }
        }
    }

    #[test]
    fn limits_hold_whatever_the_text() {
        for letter in ["x", "電", "\"", "\n", "\\", "a\n"] {
            let mut long = fields(&letter.repeat(100_000));
            long.title = letter.repeat(1000);
            long.originator = letter.repeat(1000);
            assert!(Preset::Teams.render(&long).unwrap().len() <= 28_000, "{letter:?}");
            let ntfy = rendered(Preset::Ntfy, &long);
            assert!(ntfy["message"].as_str().unwrap().len() <= 4096, "{letter:?}");
            assert!(ntfy["title"].as_str().unwrap().len() <= 250, "{letter:?}");
            let slack = rendered(Preset::Slack, &long);
            for (block, most) in slack["blocks"].as_array().unwrap().iter().zip([150, 3000]) {
                if let Some(text) = block["text"]["text"].as_str() {
                    assert!((1..=most).contains(&text.chars().count()), "{letter:?}");
                }
            }
        }
    }

    #[test]
    fn what_would_be_a_mention_in_slack_is_text() {
        let mut hostile = fields("<!channel> & more");
        hostile.title = "<!channel> & more".to_owned();
        let body = rendered(Preset::Slack, &hostile);
        assert_eq!(body["text"], "&lt;!channel&gt; &amp; more");
        assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
        assert_eq!(body["blocks"][1]["text"]["text"], "<!channel> & more");
    }

    #[test]
    fn a_message_without_text_is_a_message_all_the_same() {
        let empty = Fields { subject: "alarms".to_owned(), ..Fields::default() };
        let slack = rendered(Preset::Slack, &empty);
        assert_eq!(slack["blocks"][0]["text"]["text"], "(no text)");
        assert_eq!(slack["blocks"][1]["type"], "context");
    }

    #[test]
    fn only_a_topic_is_a_topic() {
        assert_eq!(ntfy_topic("ups_alarms-1"), Ok("ups_alarms-1"));
        for bad in ["", "a/b", "a b", "電", "{x}", &"x".repeat(65)] {
            assert_eq!(ntfy_topic(bad), Err(NotATopic), "{bad}");
        }
    }
}
