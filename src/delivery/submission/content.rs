//! The bytes of a mail, a piece at a time, wherever they lie.

use std::io;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::message::mail::Content;
use crate::wire::smtp::content::Coding;

/// Reads a content from its start to its end; never holds more than one piece of a file.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    content: &'a Content,
    position: u64,
    file: Option<File>,
    piece: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// At the start.
    pub(super) const fn new(content: &'a Content) -> Self {
        Self { content, position: 0, file: None, piece: Vec::new() }
    }

    /// The next piece, `None` at the end.
    ///
    /// A file that is not as long as it should be is an error: half a mail must not be taken for a whole one.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        match self.content {
            Content::Inline(bytes) => {
                let start = usize::try_from(self.position).unwrap_or(usize::MAX);
                let rest = bytes.get(start..).unwrap_or_default();
                let piece = rest.get(..PIECE).unwrap_or(rest);
                self.position = self.position.saturating_add(length(piece));
                Ok((!piece.is_empty()).then_some(piece))
            }
            Content::File { path, length: expected } => {
                let file = match &mut self.file {
                    Some(file) => file,
                    None => self.file.insert(File::open(path).await?),
                };
                self.piece.resize(PIECE, 0);
                let read = file.read(&mut self.piece).await?;
                self.piece.truncate(read);
                self.position = self.position.saturating_add(length(&self.piece));
                let complete = self.position == *expected;
                if self.position > *expected || (read == 0 && !complete) {
                    let text = "the file in the spool has another length than was accepted";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Ok((read > 0).then_some(self.piece.as_slice()))
            }
        }
    }
}

/// Whether the content needs 8BITMIME; reads all of it unless an octet early on says so.
pub(super) async fn coding(content: &Content) -> io::Result<Coding> {
    let mut reader = Reader::new(content);
    while let Some(piece) = reader.next().await? {
        if Coding::SevenBit.and(piece) == Coding::EightBit {
            return Ok(Coding::EightBit);
        }
    }
    Ok(Coding::SevenBit)
}

fn length(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

/// Octets; a few TLS records.
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn collect(content: &Content) -> io::Result<Vec<u8>> {
        let (mut reader, mut all) = (Reader::new(content), Vec::new());
        while let Some(piece) = reader.next().await? {
            assert!(piece.len() <= PIECE);
            all.extend_from_slice(piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_content_over_several_pieces_comes_whole_from_memory_and_from_a_file() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 128).unwrap()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let stored = Content::File { path: file.path().to_owned(), length: 200_000 };
        let inline = Content::Inline(Bytes::from(bytes.clone()));
        assert_eq!(collect(&inline).await.unwrap(), bytes);
        assert_eq!(collect(&stored).await.unwrap(), bytes);
        assert_eq!(coding(&stored).await.unwrap(), Coding::SevenBit);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_or_grew_is_an_error_and_not_a_shorter_mail() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"Subject: half").unwrap();
        for length in [12, 14] {
            let content = Content::File { path: file.path().to_owned(), length };
            assert_eq!(collect(&content).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
        }
    }

    #[tokio::test]
    async fn an_octet_above_127_anywhere_is_seen() {
        let mut bytes = vec![b'a'; 150_000];
        bytes[140_000] = 0xE9;
        assert_eq!(coding(&Content::Inline(Bytes::from(bytes))).await.unwrap(), Coding::EightBit);
    }
}
