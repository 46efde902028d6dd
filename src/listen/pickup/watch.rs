//! Word from the kernel that a file came, so that nobody waits for the next look.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe;

/// A watch on the pickup directory. Where the kernel gives none (too many watches, a network file system), files are
/// found by looking alone.
#[derive(Debug)]
pub(super) struct Watch {
    /// Read as a pipe is: the runtime waits for any descriptor in that way, and for others only with unsafe code.
    kernel: Option<pipe::Receiver>,
    /// Files that were renamed into the directory and are not dealt with yet.
    renamed: HashSet<OsString>,
}

impl Watch {
    pub(super) fn new(path: &Path) -> Self {
        let kernel = open(path)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "The pickup directory cannot be watched; it is looked into every second.");
            })
            .ok();
        Self { kernel, renamed: HashSet::new() }
    }

    /// Returns when something came since the last call; never without the kernel's help.
    pub(super) async fn changed(&mut self) {
        let Some(kernel) = &self.kernel else { return pending().await };
        match events_of(kernel).await {
            Ok(octets) => {
                let room = MOST.saturating_sub(self.renamed.len());
                self.renamed.extend(moved(&octets).into_iter().take(room));
            }
            Err(error) => {
                tracing::warn!(%error, "The pickup directory cannot be watched any more; it is looked into every second.");
                self.kernel = None;
            }
        }
    }

    /// Files that were renamed into the directory.
    pub(super) const fn renamed(&self) -> &HashSet<OsString> {
        &self.renamed
    }

    /// A file was dealt with, or is not there.
    pub(super) fn forget(&mut self, name: &OsStr) {
        self.renamed.remove(name);
    }

    /// Only those that are there are remembered.
    pub(super) fn retain(&mut self, there: &HashSet<OsString>) {
        self.renamed.retain(|name| there.contains(name));
    }
}

fn open(path: &Path) -> io::Result<pipe::Receiver> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let wanted = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(path, wanted)?;
    pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))
}

async fn events_of(kernel: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; 4096];
    loop {
        kernel.readable().await?;
        match kernel.try_read(&mut octets) {
            Ok(length) => {
                octets.truncate(length);
                return Ok(octets);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The names that were renamed into the directory, from the structures of inotify(7): four numbers of four octets (watch,
/// mask, cookie, length), then the name, filled up with NULs.
fn moved(mut octets: &[u8]) -> Vec<OsString> {
    let mut names = Vec::new();
    while let Some((head, rest)) = octets.split_first_chunk::<16>() {
        let number = |at: usize| {
            head.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_ne_bytes(*four))
        };
        let length = usize::try_from(number(12)).unwrap_or(usize::MAX);
        let Some((name, behind)) = rest.split_at_checked(length) else { break };
        octets = behind;
        if AddWatchFlags::from_bits_truncate(number(4)).contains(AddWatchFlags::IN_MOVED_TO) {
            let name = name.split(|octet| *octet == 0).next().unwrap_or_default();
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names
}

/// What is forgotten beyond is found to be at rest by looking.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn the_kernel_tells_which_files_were_renamed_into_the_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(scratch.path());
        fs::write(scratch.path().join("written.eml"), "x").unwrap();
        fs::rename(scratch.path().join("written.eml"), scratch.path().join("a rather long name.eml"))
            .unwrap();
        while watch.renamed().is_empty() {
            watch.changed().await;
        }
        assert_eq!(watch.renamed().iter().collect::<Vec<_>>(), ["a rather long name.eml"]);
        watch.forget("a rather long name.eml".as_ref());
        assert!(watch.renamed().is_empty());
    }
}
