//! One mail becomes one file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::folder_sync::{FolderSync, sync};
use crate::message::mail::Content;
use crate::message::recipient::RecipientNumber;

/// What went wrong, with which file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// In the Maildir.
    #[error("cannot {op} {path}: {source}", path = .path.display())]
    Target {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// With the content in the spool.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Source {
        /// The file of the spool.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileError {
    pub(super) fn target(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Target { op, path: path.to_owned(), source }
    }

    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Target { source, .. } | Self::Source { source, .. } => source.kind(),
        }
    }
}

/// A mail on its way into one folder.
pub(super) struct Mail<'a> {
    /// The Maildir that is the folder.
    pub(super) folder: &'a Path,
    /// The file's name in `new`.
    pub(super) name: &'a str,
    /// Keeps two attempts for the same name apart in `tmp`.
    pub(super) number: RecipientNumber,
    /// The envelope's sender, empty for `<>`, where there is an envelope (RFC 5321 §4.4).
    pub(super) return_path: Option<&'a str>,
    /// What it holds, with CRLF line ends.
    pub(super) content: &'a Content,
    /// Shared by all that is written into one Maildir.
    pub(super) folders: &'a FolderSync,
}

impl Mail<'_> {
    /// Writes it; when this returns, it survives a power cut. Returns its size on disk in bytes.
    pub(super) fn write(&self) -> Result<u64, FileError> {
        let tmp = self.folder.join("tmp").join(format!("{}.{}", self.name, self.number.0));
        let result = self.fill(&tmp).and_then(|size| {
            match self.publish(&tmp) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make(self.folder)?;
                    self.publish(&tmp)
                }
                other => other,
            }
            .map(|()| size)
        });
        if result.is_err() {
            // What is left in tmp is removed by the next count in any case.
            std::fs::remove_file(&tmp).unwrap_or_default();
        }
        result
    }

    fn fill(&self, tmp: &Path) -> Result<u64, FileError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = match options.open(tmp) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(self.folder)?;
                options.open(tmp)
            }
            other => other,
        }
        .map_err(FileError::target("create", tmp))?;
        let mut out = UnixLines { out: io::BufWriter::new(file), pending: false, written: 0 };
        if let Some(return_path) = self.return_path {
            let path: String = return_path.chars().filter(|c| !c.is_control()).collect();
            let header = format!("Return-Path: <{path}>\r\n");
            out.take(header.as_bytes()).map_err(FileError::target("write", tmp))?;
        }
        self.copy(&mut out, tmp)?;
        let written = out.finish().map_err(FileError::target("write", tmp))?;
        let file =
            out.out.into_inner().map_err(|error| FileError::target("write", tmp)(error.into_error()))?;
        file.sync_all().map_err(FileError::target("fsync", tmp))?;
        Ok(written)
    }

    fn copy(&self, out: &mut UnixLines<io::BufWriter<File>>, tmp: &Path) -> Result<(), FileError> {
        let Content::File { path, .. } = self.content else {
            let Content::Inline(bytes) = self.content else { return Ok(()) };
            return out.take(bytes).map_err(FileError::target("write", tmp));
        };
        let unreadable = |source| FileError::Source { path: path.clone(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer).map_err(unreadable)? {
                0 => return Ok(()),
                length => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    out.take(bytes).map_err(FileError::target("write", tmp))?;
                }
            }
        }
    }

    fn publish(&self, tmp: &Path) -> Result<(), FileError> {
        let new = self.folder.join("new");
        let target = new.join(self.name);
        std::fs::rename(tmp, &target).map_err(FileError::target("rename into", &target))?;
        self.folders.sync(&new)
    }
}

/// Makes a Maildir with its three folders, durably.
fn make(folder: &Path) -> Result<(), FileError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    for part in ["tmp", "new", "cur"] {
        let path = folder.join(part);
        builder.create(&path).map_err(FileError::target("create", &path))?;
    }
    sync(folder)?;
    folder.parent().map_or(Ok(()), sync)
}

/// CRLF to LF, over any division into pieces; a CR that no LF follows stays.
struct UnixLines<W> {
    out: W,
    /// A CR came and what follows is not known yet.
    pending: bool,
    written: u64,
}

impl<W: io::Write> UnixLines<W> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\r') {
            if std::mem::take(&mut self.pending) && !piece.starts_with(b"\n") {
                self.put(b"\r")?;
            }
            let piece = match piece.strip_suffix(b"\r") {
                Some(before) => {
                    self.pending = true;
                    before
                }
                None => piece,
            };
            self.put(piece)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<u64> {
        if std::mem::take(&mut self.pending) {
            self.put(b"\r")?;
        }
        Ok(self.written)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.out.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_lf_wherever_the_pieces_are_cut() {
        let mail = b"a\r\nb\rc\n\r\r\nd\r";
        for cut in 0..=mail.len() {
            let (head, tail) = mail.split_at(cut);
            let mut out = UnixLines { out: Vec::new(), pending: false, written: 0 };
            out.take(head).unwrap();
            out.take(tail).unwrap();
            let written = out.finish().unwrap();
            assert_eq!(out.out, b"a\nb\rc\n\r\nd\r", "cut at {cut}");
            assert_eq!(written, 10);
        }
    }
}
