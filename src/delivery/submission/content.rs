//! The bytes of a mail, a piece at a time, wherever they lie.

use std::io::{self, SeekFrom};

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::message::downgrade::{Downgrade, Plan, Survey};
use crate::message::mail::Content;
use crate::session::smtp_client::Transaction;
use crate::wire::smtp::content::Coding;

/// A mail as it goes to one next hop: what lies in the spool, perhaps with another header.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Outgoing {
    head: Bytes,
    content: Content,
    /// Octets of the content that `head` stands for.
    skip: u64,
}

impl Outgoing {
    /// As it lies in the spool.
    pub(in crate::delivery) const fn unchanged(content: Content) -> Self {
        Self { head: Bytes::new(), content, skip: 0 }
    }

    /// With another header in place of its own, which has so many octets.
    pub(in crate::delivery) const fn with_header(head: Bytes, content: Content, skip: u64) -> Self {
        Self { head, content, skip }
    }

    /// In octets.
    pub(in crate::delivery) fn length(&self) -> u64 {
        self.content.length().saturating_sub(self.skip).saturating_add(length(&self.head))
    }
}

/// Reads a mail from its start to its end; never holds more than one piece of a file.
#[derive(Debug)]
pub(in crate::delivery) struct Reader<'a> {
    mail: &'a Outgoing,
    head_taken: usize,
    position: u64,
    file: Option<File>,
    piece: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// At the start.
    pub(in crate::delivery) const fn new(mail: &'a Outgoing) -> Self {
        Self { mail, head_taken: 0, position: mail.skip, file: None, piece: Vec::new() }
    }

    /// The next piece, `None` at the end.
    ///
    /// A file that is not as long as it should be is an error: half a mail must not be taken for a whole one.
    pub(in crate::delivery) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let head = self.mail.head.get(self.head_taken..).unwrap_or_default();
        if !head.is_empty() {
            let piece = head.get(..PIECE).unwrap_or(head);
            self.head_taken = self.head_taken.saturating_add(piece.len());
            return Ok(Some(piece));
        }
        match &self.mail.content {
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
                    None => {
                        let mut file = File::open(path).await?;
                        file.seek(SeekFrom::Start(self.position)).await?;
                        self.file.insert(file)
                    }
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

/// What is sent of a mail.
#[derive(Debug)]
pub(in crate::delivery) enum Source<'a> {
    /// All of it as it is.
    Plain(Reader<'a>),
    /// In seven bits, for a next hop without 8BITMIME.
    Downgraded {
        reader: Reader<'a>,
        /// `None` at the end.
        downgrade: Option<Box<Downgrade>>,
        piece: Vec<u8>,
    },
    /// It could not be read when it was looked at.
    Unreadable(Option<io::Error>),
}

impl<'a> Source<'a> {
    /// The mail in seven bits; the transaction is told so, and how long that is.
    pub(in crate::delivery) async fn downgraded(mail: &'a Outgoing, transaction: &mut Transaction) -> Self {
        transaction.coding = Coding::SevenBit;
        match plan(mail).await {
            Ok((plan, length)) => {
                transaction.length = length;
                let downgrade = Some(Box::new(Downgrade::new(plan)));
                Self::Downgraded { reader: Reader::new(mail), downgrade, piece: Vec::new() }
            }
            Err(error) => Self::Unreadable(Some(error)),
        }
    }

    /// As [`Reader::next`].
    pub(in crate::delivery) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        match self {
            Self::Plain(reader) => reader.next().await,
            Self::Unreadable(error) => Err(error.take().unwrap_or_else(|| io::ErrorKind::Other.into())),
            Self::Downgraded { reader, downgrade, piece } => {
                piece.clear();
                // A piece that only begins a line gives nothing yet.
                while let Some(coder) = downgrade.as_mut().filter(|_| piece.is_empty()) {
                    match reader.next().await? {
                        Some(octets) => coder.push(octets, piece),
                        None => {
                            if let Some(coder) = downgrade.take() {
                                coder.finish(piece);
                            }
                        }
                    }
                }
                Ok((!piece.is_empty()).then_some(piece.as_slice()))
            }
        }
    }
}

/// Which parts of a mail become what, and how long it is then.
async fn plan(mail: &Outgoing) -> io::Result<(Plan, u64)> {
    let (mut reader, mut survey) = (Reader::new(mail), Survey::new());
    while let Some(piece) = reader.next().await? {
        survey.push(piece);
    }
    let plan = survey.finish();
    let (mut reader, mut downgrade) = (Reader::new(mail), Downgrade::new(plan.clone()));
    let (mut octets, mut total) = (Vec::new(), 0_u64);
    while let Some(piece) = reader.next().await? {
        octets.clear();
        downgrade.push(piece, &mut octets);
        total = total.saturating_add(length(&octets));
    }
    octets.clear();
    downgrade.finish(&mut octets);
    Ok((plan, total.saturating_add(length(&octets))))
}

/// Where a mail has octets above 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::delivery) struct Codings {
    /// In its header.
    pub(in crate::delivery) header: Coding,
    /// Anywhere.
    pub(in crate::delivery) whole: Coding,
}

/// Where a mail has octets above 127; reads all of it unless that is known early.
pub(in crate::delivery) async fn codings(mail: &Outgoing) -> io::Result<Codings> {
    let (mut reader, mut border) = (Reader::new(mail), Border::default());
    let mut found = Codings::default();
    while let Some(piece) = reader.next().await? {
        let (header, _) = piece.split_at_checked(border.find(piece)).unwrap_or((piece, &[]));
        found.header = found.header.and(header);
        found.whole = found.whole.and(piece);
        if found.whole == Coding::EightBit && (found.header == Coding::EightBit || border.is_passed()) {
            break;
        }
    }
    Ok(found)
}

/// The header of a mail up to and with its empty line; all of a mail that has none.
///
/// One of over [`MAX_HEADER`] octets is an error: nothing such comes into the spool.
pub(in crate::delivery) async fn header(content: &Content) -> io::Result<Bytes> {
    let mail = Outgoing::unchanged(content.clone());
    let (mut reader, mut border, mut header) = (Reader::new(&mail), Border::default(), Vec::new());
    while let Some(piece) = reader.next().await? {
        let end = border.find(piece);
        header.extend_from_slice(piece.get(..end).unwrap_or(piece));
        if border.is_passed() {
            break;
        }
        if header.len() > MAX_HEADER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its header has no end"));
        }
    }
    Ok(header.into())
}

/// Finds the end of the header over any division into pieces: the first empty line.
#[derive(Debug, Default)]
struct Border {
    line: Line,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Line {
    #[default]
    Start,
    Cr,
    Inside,
    Passed,
}

impl Border {
    fn is_passed(&self) -> bool {
        self.line == Line::Passed
    }

    /// How many octets of the next piece belong to the header.
    fn find(&mut self, piece: &[u8]) -> usize {
        for (at, octet) in piece.iter().enumerate() {
            self.line = match (self.line, octet) {
                (Line::Passed, _) => return 0,
                (Line::Start, b'\r') => Line::Cr,
                (Line::Start | Line::Cr, b'\n') => {
                    self.line = Line::Passed;
                    return at.saturating_add(1);
                }
                (Line::Inside, b'\n') => Line::Start,
                (Line::Start | Line::Cr | Line::Inside, _) => Line::Inside,
            };
        }
        piece.len()
    }
}

/// What comes in is bounded by [`crate::message::intake::MAX_HEADER`], before a trace header and others are added.
const MAX_HEADER: usize = 2 * crate::message::intake::MAX_HEADER;

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
        read(&Outgoing::unchanged(content.clone())).await
    }

    async fn read(mail: &Outgoing) -> io::Result<Vec<u8>> {
        let (mut reader, mut all) = (Reader::new(mail), Vec::new());
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
        assert_eq!(codings(&Outgoing::unchanged(stored)).await.unwrap(), Codings::default());
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
    async fn another_header_takes_the_place_of_its_own_in_memory_and_in_a_file() {
        let bytes = b"From: a\r\n\r\nbody\r\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        for content in [
            Content::Inline(Bytes::from_static(bytes)),
            Content::File { path: file.path().to_owned(), length: 17 },
        ] {
            let own = header(&content).await.unwrap();
            assert_eq!(&own[..], b"From: a\r\n\r\n");
            let mail =
                Outgoing::with_header(Bytes::from_static(b"From: other\r\n\r\n"), content, length(&own));
            assert_eq!(read(&mail).await.unwrap(), b"From: other\r\n\r\nbody\r\n");
            assert_eq!(mail.length(), 21);
        }
        let bare = Content::Inline(Bytes::from_static(b"From: a\r\n"));
        assert_eq!(&header(&bare).await.unwrap()[..], b"From: a\r\n", "no empty line");
    }

    #[tokio::test]
    async fn an_octet_above_127_is_seen_in_header_and_body() {
        let codings_of = async |header: &[u8], body: &[u8]| {
            let bytes = [header, b"\r\n\r\n", body].concat();
            codings(&Outgoing::unchanged(Content::Inline(Bytes::from(bytes)))).await.unwrap()
        };
        let mut body = vec![b'a'; 150_000];
        body[140_000] = 0xE9;
        let (seven, eight) = (Coding::SevenBit, Coding::EightBit);
        assert_eq!(codings_of(b"A: b", &body).await, Codings { header: seven, whole: eight });
        assert_eq!(codings_of(b"A: \xE9", b"x").await, Codings { header: eight, whole: eight });
        assert_eq!(codings_of(&body, b"x").await, Codings { header: eight, whole: eight });
    }
}
