//! Content of mail on its way into the spool: in memory while small, in a file beyond.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::error::SpoolError;
use super::gate::UnderWay;
use super::rows::{hex, length_u64};
use super::{Unverified, files};
use crate::message::mail::Content;

/// Content being written. Keep it until [`super::Spool::accept`] has returned: a draft dropped before leaves nothing,
/// one dropped after is the spool's.
#[derive(Debug)]
pub struct Draft {
    drafts: Arc<Drafts>,
    written: Written,
    /// Of [`Drafts::in_memory`].
    in_memory: usize,
    /// `None` where the limits are somebody else's care.
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum Written {
    InMemory(Vec<u8>),
    Whole(Bytes),
    InFile { name: String, file: File, length: u64, sum: Box<Sha256> },
    Sealed { name: String, length: u64 },
    Failed,
}

impl Draft {
    /// Up to so many bytes stay in memory and go into the database; more go into a file. So does any draft while all
    /// together have 64 MiB in memory.
    pub const INLINE: usize = 64 * 1024;

    /// With `under_way`, what goes into a file is held to the spool's limits as it is written.
    pub(super) const fn new(drafts: Arc<Drafts>, under_way: Option<UnderWay>) -> Self {
        Self { drafts, written: Written::InMemory(Vec::new()), in_memory: 0, under_way }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`SpoolError::Full`] past a limit, [`SpoolError::Full`] or [`SpoolError::Io`] when the file cannot be written; the
    /// draft is then of no further use. Past a limit its file is removed at once, however long its owner keeps it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        if let Written::InMemory(small) = &mut self.written {
            if small.len().saturating_add(bytes.len()) <= Self::INLINE
                && self.drafts.lend(bytes.len()) == Lent::Yes
            {
                self.in_memory = self.in_memory.saturating_add(bytes.len());
                small.extend_from_slice(bytes);
                return Ok(());
            }
            let small = std::mem::take(small);
            self.spill().await?;
            self.drafts.take_back(std::mem::take(&mut self.in_memory));
            self.append(&small).await?;
        }
        self.append(bytes).await
    }

    /// All that was written, for [`crate::message::mail::Body::Mail`]; a file is fsynced, and so is its folder. Nothing
    /// may be written after it; asked again it says the same.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn finish(&mut self) -> Result<Content, SpoolError> {
        match std::mem::replace(&mut self.written, Written::Failed) {
            Written::InMemory(small) => {
                let bytes = Bytes::from(small);
                self.written = Written::Whole(bytes.clone());
                Ok(Content::Inline(bytes))
            }
            Written::Whole(bytes) => {
                self.written = Written::Whole(bytes.clone());
                Ok(Content::Inline(bytes))
            }
            Written::InFile { name, file, length, sum } => {
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
            Written::Failed => Err(SpoolError::ForeignContent { path: self.drafts.dir.clone() }),
        }
    }

    async fn spill(&mut self) -> Result<(), SpoolError> {
        self.written = Written::Failed;
        let name = self.drafts.begin()?;
        let path = self.drafts.path(&name);
        let made = files::create_new(&path);
        match made {
            Ok(file) => {
                let file = File::from_std(file);
                self.written = Written::InFile { name, file, length: 0, sum: Box::new(Sha256::new()) };
                Ok(())
            }
            Err(error) => {
                self.drafts.all().remove(&name);
                Err(SpoolError::file("create", &path, error))
            }
        }
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        if let Some(Err(full)) =
            self.under_way.as_mut().map(|under_way| under_way.grow(length_u64(bytes.len())))
        {
            self.discard();
            return Err(full);
        }
        let Written::InFile { name, file, length, sum } = &mut self.written else {
            return Err(SpoolError::ForeignContent { path: self.drafts.dir.clone() });
        };
        sum.update(bytes);
        *length = length.saturating_add(length_u64(bytes.len()));
        let path = self.drafts.path(name);
        file.write_all(bytes).await.map_err(|error| SpoolError::file("write", &path, error))
    }

    /// Removes the file unless the spool took it, and gives its room back.
    fn discard(&mut self) {
        match std::mem::replace(&mut self.written, Written::Failed) {
            Written::InFile { name, .. } | Written::Sealed { name, .. } => self.drafts.abandon(&name),
            Written::InMemory(_) | Written::Whole(_) | Written::Failed => {}
        }
        self.under_way = None;
        self.drafts.take_back(std::mem::take(&mut self.in_memory));
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
            Some(Stage::Orphaned) => {
                all.remove(name);
                files::remove(&self.path(name));
            }
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
            .map_err(|error| SpoolError::file("name a file in", &self.dir, std::io::Error::other(error)))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.all().insert(name.clone(), Stage::Open);
        Ok(name)
    }

    fn abandon(&self, name: &str) {
        let mut all = self.all();
        match all.get_mut(name) {
            Some(stage @ Stage::Claimed(_)) => *stage = Stage::Orphaned,
            Some(Stage::Open | Stage::Sealed(_)) => {
                all.remove(name);
                files::remove(&self.path(name));
            }
            Some(Stage::Orphaned) | None => {}
        }
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

impl Drop for Claim {
    fn drop(&mut self) {
        self.drafts.give_back(&self.name);
    }
}

/// Compares a content file with what its row says of it.
pub(super) async fn verify(path: &Path, length: u64, sha256: Option<String>) -> Result<(), Unverified> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || summarize(&file)).await;
    match read.unwrap_or_else(|defect| Err(std::io::Error::other(defect))) {
        Ok((found, _)) if found != length => {
            Err(Unverified::Corrupt(format!("its content file has {found} bytes instead of {length}")))
        }
        Ok((_, sum)) if Some(hex(&sum)) != sha256 => {
            Err(Unverified::Corrupt("its content file differs from its checksum".to_owned()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Unverified::Corrupt("its content file is missing".to_owned()))
        }
        Err(error) => Err(Unverified::Unreadable(SpoolError::file("read", path, error))),
    }
}

fn summarize(path: &Path) -> std::io::Result<(u64, [u8; 32])> {
    let mut file = std::fs::File::open(path)?;
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

async fn sync(mut file: File, path: &Path, dir: &Path) -> Result<(), SpoolError> {
    let failed = |error| SpoolError::file("sync", path, error);
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    let folder = File::open(dir).await.map_err(|error| SpoolError::file("open", dir, error))?;
    folder.sync_all().await.map_err(|error| SpoolError::file("sync", dir, error))
}

/// Bytes that all drafts together have in memory at most.
const IN_MEMORY: usize = 64 * 1024 * 1024;
