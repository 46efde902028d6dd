//! What a display shows of a message.

use std::io;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::message::mail::{Body, Content, Gathered, Spooled};
use crate::message::mail_text::mail_text;

/// The text for a display: of a legacy message who sent it and what; of a mail its sender, its subject and its text.
/// `subject` is the rule's, and stands first.
pub(super) async fn of(message: &Spooled, subject: Option<&str>) -> io::Result<String> {
    Ok(match &message.body {
        Body::Notice(gathered) => of_notice(gathered, subject),
        Body::Mail { content, .. } => mail_text(&beginning(content).await?),
    })
}

fn of_notice(gathered: &Gathered, subject: Option<&str>) -> String {
    let notice = &gathered.first;
    let text = notice.full_text();
    let repeats = if gathered.count > 1 { format!(" ({} times)", gathered.count) } else { String::new() };
    match (subject, &*notice.originator) {
        (Some(subject), _) => format!("{subject}{repeats}\n{text}"),
        (None, "") => format!("{text}{repeats}"),
        (None, originator) => format!("{originator}: {text}{repeats}"),
    }
}

/// As much of a mail as can matter on a display, however long it is.
async fn beginning(content: &Content) -> io::Result<Vec<u8>> {
    match content {
        Content::Inline(bytes) => Ok(bytes.to_vec()),
        Content::File { path, .. } => {
            let mut bytes = Vec::new();
            File::open(path).await?.take(READ).read_to_end(&mut bytes).await?;
            Ok(bytes)
        }
    }
}

/// Header and beginning of the body.
const READ: u64 = 256 << 10;
