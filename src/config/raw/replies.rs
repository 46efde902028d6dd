//! `replies` of a submission destination as they are written.

use super::super::document::Node;
use super::super::problem::{Place, Problems};
use super::read::{At, Lost, Read, section};
use super::scalar::text_value;
pub(in crate::config) use crate::policy::replies::ReplyMeaning;
use crate::wire::smtp::status::EnhancedStatus;

/// The code of a refusal: 400 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct RefusalCode(pub(in crate::config) u16);

section! {
    /// What some replies of a next hop mean, whatever their code says. All that is given must hold.
    pub(in crate::config) struct Reply {
        /// The reply code. Default: any.
        code: RefusalCode,
        /// The enhanced status code. Default: any or none.
        status: EnhancedStatus,
        /// Part of the text; case does not count. Default: any.
        text: String,
        /// `wait` (everything for this next hop waits), `later` (this message waits), `operator` (everything waits, and someone
        /// must act), `sender` (the account may not send as this sender) or `failed`. No default.
        means: ReplyMeaning,
        /// How to mend it, for the log and `mailslotd status`. Default: none.
        fix: String,
    }
    later: []
}

impl Read for RefusalCode {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            let code = text.parse().ok().filter(|code| (400..=599).contains(code));
            code.map(Self).ok_or_else(|| {
                (format!("{text} is no code of a refusal"), "write a number from 400 to 599".to_owned())
            })
        })
    }
}

impl Read for EnhancedStatus {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            let status = text.parse::<Self>().ok().filter(|status| status.class != 2);
            status.ok_or_else(|| {
                let fix = "write for example 5.7.1; it begins with 4 or 5";
                (format!("{text:?} is no enhanced status code of a refusal"), fix.to_owned())
            })
        })
    }
}
