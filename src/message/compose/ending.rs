//! The mail that tells the operator of a secret or a certificate that ends.

use bytes::Bytes;
use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;

use super::line::lines;
use super::{Addressees, ComposeError, HeaderFields, Identity, date, from, text, to};
use crate::message::mail::Content;

/// What ends, and what to do.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// "the client secret of smarthost"
    pub what: &'a str,
    /// "expires on 2027-10-01"
    pub when: &'a str,
    /// What follows from its end, and what to do, in sentences.
    pub advice: &'a str,
    /// When it is told.
    pub at: Timestamp,
    /// The Message-ID's left side.
    pub id: &'a str,
}

impl Ending<'_> {
    /// The whole mail with CRLF line ends, 7-bit like every notice; its reverse-path is `<>`.
    ///
    /// # Errors
    /// [`ComposeError`], where the configuration or the clock is at fault.
    pub fn compose(&self, addressees: Addressees<'_>, identity: &Identity) -> Result<Content, ComposeError> {
        let Self { what, when, advice, .. } = self;
        let subject = format!("{} {when}", what.replacen("the ", "The ", 1));
        let headers: HeaderFields<'_> = vec![
            ("From".into(), from("Mail Delivery System", identity)?),
            ("To".into(), to(addressees)?),
            ("Subject".into(), text(&subject)),
            ("Date".into(), Raw::new(date(self.at, identity)?).into()),
            ("Message-ID".into(), MessageId::new(format!("{}@{}", self.id, identity.hostname)).into()),
            ("Auto-Submitted".into(), Raw::new("auto-generated").into()), // RFC 3834 §5
            ("X-Auto-Response-Suppress".into(), Raw::new("All").into()),  // MS-OXCMAIL §2.1.3.2.21
        ];
        let told = format!(
            "{} proves itself by {what}, which {when}.\n\n{advice}\n\nThis is told 30 days, 7 days and 1 day before, and when it is \
             over. To see what ends, and when:\n\n  mailslotd status\n",
            identity.hostname
        );
        let body = Some(MimePart::new("text/plain", lines(&told)));
        let mut bytes = Vec::new();
        MessageBuilder { headers, body, ..MessageBuilder::new() }.serialize(&mut bytes);
        Ok(Content::Inline(Bytes::from(bytes)))
    }
}
