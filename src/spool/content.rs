//! Content of mail on its way into the spool: in memory while small, in a file beyond.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::error::SpoolError;
use super::files;
use super::gate::UnderWay;
use super::local::Unverified;
use super::rows::{hex, length_u64};
use crate::message::mail::Content;

/// Content being written. Keep it until [`super::Spool::accept`] has returned: a draft dropped before leaves nothing,
/// one dropped after is the spool's.
#[derive(Debug)]
pub struct Draft {
    drafts: Arc<Drafts>,
    written: Written,
    /// What was written and is not in the file; as long as there is none, all of it.
    kept: Vec<u8>,
    /// The room in memory that it has of [`Drafts::in_memory`].
    in_memory: usize,
    /// `None` where the limits are somebody else's care.
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum Written {
    InMemory,
    Whole(Bytes),
    InFile {
        name: String,
        /// `None` while something is being written, and after a write that failed.
        file: Option<File>,
        /// With what is kept.
        length: u64,
        sum: Box<Sha256>,
    },
    Sealed {
        name: String,
        length: u64,
    },
    Failed,
}

impl Draft {
    /// Up to so many bytes stay in memory and go into the database; more go into a file, 32 KiB at a time. While all
    /// drafts together have 64 MiB in memory, further bytes of any go into its file at once.
    pub const INLINE: usize = 64 * 1024;

    /// With `under_way`, what goes into a file is held to the spool's limits as it is written.
    pub(super) const fn new(drafts: Arc<Drafts>, under_way: Option<UnderWay>) -> Self {
        Self { drafts, written: Written::InMemory, kept: Vec::new(), in_memory: 0, under_way }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`SpoolError::Full`] past a limit, [`SpoolError::Full`] or [`SpoolError::Io`] when the file cannot be written; the
    /// draft is then of no further use. Its file is removed at once, however long its owner keeps it: a disk that is full
    /// has room again, though the client goes on sending.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        if matches!(self.written, Written::InMemory) {
            if self.keep(bytes, Self::INLINE) == Kept::Yes {
                return Ok(());
            }
            self.begin_file()?;
        }
        self.account_for(bytes)?;
        if self.keep(bytes, PIECE) == Kept::Yes {
            return Ok(());
        }
        self.put().await?;
        match self.keep(bytes, PIECE) {
            Kept::Yes => Ok(()),
            Kept::No => self.append(bytes.to_vec()).await.map(drop),
        }
    }

    /// All that was written, for [`crate::message::mail::Body::Mail`]; a file is fsynced, and so is its folder. Nothing
    /// may be written after it; asked again it says the same.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn finish(&mut self) -> Result<Content, SpoolError> {
        if matches!(self.written, Written::InFile { .. }) {
            self.put().await?;
            self.give_room_back();
        }
        match std::mem::replace(&mut self.written, Written::Failed) {
            Written::InMemory => {
                let bytes = Bytes::from(std::mem::take(&mut self.kept));
                self.written = Written::Whole(bytes.clone());
                Ok(Content::Inline(bytes))
            }
            Written::Whole(bytes) => {
                self.written = Written::Whole(bytes.clone());
                Ok(Content::Inline(bytes))
            }
            Written::InFile { name, file: Some(file), length, sum } => {
                let path = self.drafts.path(&name);
                self.written = Written::Sealed { name: name.clone(), length };
                sync(file, &path, &self.drafts.dir).await?;
                let seal = Seal { sha256: sum.finalize().into() };
                self.drafts.all().insert(name, Stage::Sealed(seal));
                Ok(Content::File { path, length })
            }
            Written::Sealed { name, length } => {
                let path = self.drafts.path(&name);
                self.written = Written::Sealed { name, length };
                Ok(Content::File { path, length })
            }
            unfit @ (Written::InFile { file: None, .. } | Written::Failed) => {
                self.written = unfit;
                Err(self.of_no_use())
            }
        }
    }

    /// Keeps bytes in memory where they fit below `most` and all drafts together may have them there.
    fn keep(&mut self, bytes: &[u8], most: usize) -> Kept {
        let needed = self.kept.len().saturating_add(bytes.len());
        if needed > most {
            return Kept::No;
        }
        if needed > self.in_memory {
            // As a `Vec` grows; what counts is the room that it takes, not how much of it is filled.
            let room = needed.max(self.in_memory.saturating_mul(2)).min(most);
            if self.drafts.lend(room.saturating_sub(self.in_memory)) == Lent::No {
                return Kept::No;
            }
            self.in_memory = room;
            self.kept.reserve_exact(room.saturating_sub(self.kept.len()));
        }
        self.kept.extend_from_slice(bytes);
        Kept::Yes
    }

    /// From now on it is in a file, where what is kept will go first.
    fn begin_file(&mut self) -> Result<(), SpoolError> {
        self.written = Written::Failed;
        let name = self.drafts.begin()?;
        let path = self.drafts.path(&name);
        match files::create_new(&path) {
            Ok(file) => {
                let (file, sum) = (Some(file), Box::new(Sha256::new()));
                self.written = Written::InFile { name, file, length: 0, sum };
            }
            Err(error) => {
                self.drafts.all().remove(&name);
                return Err(SpoolError::file("create", &path, error));
            }
        }
        let kept = std::mem::take(&mut self.kept);
        self.account_for(&kept)?;
        self.kept = kept;
        Ok(())
    }

    /// Counts bytes that come into the file by and by.
    fn account_for(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let grown = self.under_way.as_mut().map(|under_way| under_way.grow(length_u64(bytes.len())));
        if let Some(Err(full)) = grown {
            self.discard();
            return Err(full);
        }
        let Written::InFile { length, sum, .. } = &mut self.written else { return Err(self.of_no_use()) };
        sum.update(bytes);
        *length = length.saturating_add(length_u64(bytes.len()));
        Ok(())
    }

    /// What is kept goes into the file. Its room stays for the next piece, but for what a piece does not need.
    async fn put(&mut self) -> Result<(), SpoolError> {
        let kept = std::mem::take(&mut self.kept);
        self.kept = self.append(kept).await?;
        self.kept.clear();
        if self.in_memory > PIECE {
            self.give_room_back();
        }
        Ok(())
    }

    fn give_room_back(&mut self) {
        self.kept = Vec::new();
        self.drafts.take_back(std::mem::take(&mut self.in_memory));
    }

    /// Writes octets to the file and gives their room back.
    async fn append(&mut self, octets: Vec<u8>) -> Result<Vec<u8>, SpoolError> {
        let Written::InFile { name, file: place, .. } = &mut self.written else {
            return Err(self.of_no_use());
        };
        let path = self.drafts.path(name);
        let Some(mut file) = place.take() else { return Err(self.of_no_use()) };
        let writing = tokio::task::spawn_blocking(move || {
            let written = file.write_all(&octets);
            written.map(|()| (file, octets))
        });
        match writing.await.unwrap_or_else(|defect| Err(io::Error::other(defect))) {
            Ok((file, octets)) => {
                *place = Some(file);
                Ok(octets)
            }
            Err(error) => {
                self.discard();
                Err(SpoolError::file("write", &path, error))
            }
        }
    }

    /// Has every further write of its file fail, as on a disk that is full.
    #[cfg(test)]
    pub(super) fn break_file(&mut self) {
        let Written::InFile { name, file, .. } = &mut self.written else { panic!("it is in no file") };
        *file = Some(File::open(self.drafts.path(name)).unwrap());
    }

    fn of_no_use(&self) -> SpoolError {
        SpoolError::ForeignContent { path: self.drafts.dir.clone() }
    }

    /// Removes the file unless the spool took it, and gives its room back.
    fn discard(&mut self) {
        match std::mem::replace(&mut self.written, Written::Failed) {
            Written::InFile { name, .. } | Written::Sealed { name, .. } => self.drafts.abandon(&name),
            Written::InMemory | Written::Whole(_) | Written::Failed => {}
        }
        self.under_way = None;
        self.give_room_back();
    }
}

/// Removes the file unless the spool took it.
impl Drop for Draft {
    fn drop(&mut self) {
        self.discard();
    }
}

/// What a finished file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) sha256: [u8; 32],
}

/// The files that no row owns yet.
#[derive(Debug)]
pub(super) struct Drafts {
    dir: PathBuf,
    all: Mutex<HashMap<String, Stage>>,
    /// Bytes of drafts in memory, however slow their clients are.
    in_memory: AtomicUsize,
}

/// How far a file is.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Being written.
    Open,
    /// On the disk.
    Sealed(Seal),
    /// With the writer, for a row; its draft still lives.
    Claimed(Seal),
    /// With the writer, for a row; its draft is gone, so it goes too if the row is refused.
    Orphaned,
}

impl Drafts {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, all: Mutex::new(HashMap::new()), in_memory: AtomicUsize::new(0) }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether some draft or message on its way owns this file.
    pub(super) fn owns(&self, name: &str) -> Owned {
        if self.all().contains_key(name) { Owned::Yes } else { Owned::No }
    }

    /// Gives a finished file to the writer.
    pub(super) fn claim(self: &Arc<Self>, path: &Path) -> Result<Claim, SpoolError> {
        let foreign = || SpoolError::ForeignContent { path: path.to_owned() };
        if path.parent() != Some(&self.dir) {
            return Err(foreign());
        }
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(foreign)?.to_owned();
        let mut all = self.all();
        let Some(&Stage::Sealed(seal)) = all.get(&name) else { return Err(foreign()) };
        all.insert(name.clone(), Stage::Claimed(seal));
        Ok(Claim { drafts: Arc::clone(self), name, seal })
    }

    /// The row committed: the file is the spool's.
    pub(super) fn adopt(&self, name: &str) {
        self.all().remove(name);
    }

    /// There is no row: the file is its draft's again.
    fn give_back(&self, name: &str) {
        let mut all = self.all();
        match all.get(name).copied() {
            Some(Stage::Claimed(seal)) => {
                all.insert(name.to_owned(), Stage::Sealed(seal));
            }
            Some(Stage::Orphaned) => self.remove(all, name),
            Some(Stage::Open | Stage::Sealed(_)) | None => {}
        }
    }

    /// Counts so many bytes more in memory, if all together may have them.
    fn lend(&self, bytes: usize) -> Lent {
        let more = |all: usize| all.checked_add(bytes).filter(|&all| all <= IN_MEMORY);
        match self.in_memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Lent::Yes,
            Err(_) => Lent::No,
        }
    }

    fn take_back(&self, bytes: usize) {
        self.in_memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn begin(&self) -> Result<String, SpoolError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| SpoolError::file("name a file in", &self.dir, io::Error::other(error)))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.all().insert(name.clone(), Stage::Open);
        Ok(name)
    }

    fn abandon(&self, name: &str) {
        let mut all = self.all();
        match all.get_mut(name) {
            Some(stage @ Stage::Claimed(_)) => *stage = Stage::Orphaned,
            Some(Stage::Open | Stage::Sealed(_)) => self.remove(all, name),
            Some(Stage::Orphaned) | None => {}
        }
    }

    /// Removes a file that nobody owns any more. It may be large and the disk slow: nobody else waits for that.
    fn remove(&self, mut all: MutexGuard<'_, HashMap<String, Stage>>, name: &str) {
        all.remove(name);
        drop(all);
        files::remove(&self.path(name));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Stage>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is memory for more of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lent {
    Yes,
    /// It goes into its file.
    No,
}

/// Whether bytes of a draft stay in memory for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    /// They go into its file.
    No,
}

/// Whether something living owns a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owned {
    /// It must stay.
    Yes,
    /// Only a row may own it.
    No,
}

/// A finished file on its way to a row. Dropped without [`Drafts::adopt`], it is its draft's again.
#[derive(Debug)]
pub(super) struct Claim {
    drafts: Arc<Drafts>,
    pub(super) name: String,
    pub(super) seal: Seal,
}

#[cfg(feature = "nats")]
impl Claim {
    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.drafts.path(&self.name)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.drafts.give_back(&self.name);
    }
}

/// Compares a content file with what its row says of it.
pub(super) async fn verify(path: &Path, length: u64, sha256: Option<String>) -> Result<(), Unverified> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || summarize(&file)).await;
    match read.unwrap_or_else(|defect| Err(io::Error::other(defect))) {
        Ok((found, _)) if found != length => {
            Err(Unverified::Corrupt(format!("its content file has {found} bytes instead of {length}")))
        }
        Ok((_, sum)) if Some(hex(&sum)) != sha256 => {
            Err(Unverified::Corrupt("its content file differs from its checksum".to_owned()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Unverified::Corrupt("its content file is missing".to_owned()))
        }
        Err(error) => Err(Unverified::Unreadable(SpoolError::file("read", path, error))),
    }
}

fn summarize(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; Draft::INLINE];
    let (mut length, mut sum) = (0_u64, Sha256::new());
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((length, sum.finalize().into()));
        }
        length = length.saturating_add(length_u64(read));
        sum.update(chunk.get(..read).unwrap_or_default());
    }
}

async fn sync(file: File, path: &Path, dir: &Path) -> Result<(), SpoolError> {
    let failed = |error| SpoolError::file("sync", path, error);
    let (path, dir) = (path.to_owned(), dir.to_owned());
    let syncing = tokio::task::spawn_blocking(move || {
        file.sync_all().map_err(|error| SpoolError::file("sync", &path, error))?;
        let folder = File::open(&dir).map_err(|error| SpoolError::file("open", &dir, error))?;
        folder.sync_all().map_err(|error| SpoolError::file("sync", &dir, error))
    });
    syncing.await.unwrap_or_else(|defect| Err(failed(io::Error::other(defect))))
}

/// Bytes that all drafts together have in memory at most.
const IN_MEMORY: usize = 64 * 1024 * 1024;
/// Bytes that go into a file at once, while there is memory to gather them.
const PIECE: usize = 32 * 1024;
