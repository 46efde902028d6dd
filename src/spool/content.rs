//! Content of mail on its way into the spool: in memory while small, in a file beyond.

use super::SpoolError;
use crate::message::mail::Content;

/// Content being written. Keep it until [`super::Spool::accept`] has returned: a draft dropped before leaves nothing.
#[derive(Debug)]
pub struct Draft {}

impl Draft {
    /// Up to so many bytes stay in memory and go into the database; more go into a file.
    pub const INLINE: usize = 64 * 1024;

    /// Appends bytes.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`] when the file cannot be written; the draft is then of no further use.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        unimplemented!("{}", bytes.len())
    }

    /// All that was written, for [`crate::message::mail::Body::Mail`]; a file is fsynced, and so is its folder. Nothing
    /// may be written after it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn finish(&mut self) -> Result<Content, SpoolError> {
        unimplemented!()
    }
}
