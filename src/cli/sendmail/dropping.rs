//! A file on its way into the pickup directory: under a hidden name until it is whole and on disk.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::listen::pickup::TEMPORARY;

/// A file being written. Dropped before [`Dropping::finish`], it leaves nothing.
pub(super) struct Dropping {
    folder: PathBuf,
    name: String,
    file: BufWriter<File>,
}

impl Dropping {
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        let name = unique_name();
        let path = hidden(folder, &name);
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path)?;
        // The umask may have taken the right of the group that the gateway reads it by.
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok(Self { folder: folder.to_owned(), name, file: BufWriter::new(file) })
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }

    /// It is whole: on disk under its name when this returns.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_ref();
        file.sync_all()?;
        fs::rename(hidden(&self.folder, &self.name), self.folder.join(format!("{}.eml", self.name)))?;
        match File::open(&self.folder) {
            Ok(folder) => folder.sync_all(),
            // Who may drop may not open the folder; its file system is synced instead.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                nix::unistd::syncfs(file).map_err(io::Error::from)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        // Once it has its name, nothing is here.
        fs::remove_file(hidden(&self.folder, &self.name)).ok();
    }
}

fn hidden(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}{TEMPORARY}"))
}

/// Rises with time, and is no other process's.
fn unique_name() -> String {
    #[expect(clippy::disallowed_methods, reason = "part of a file's name")]
    let now = Timestamp::now();
    let random = getrandom::u32().unwrap_or_default();
    format!("{:020}-{}-{random:08x}", now.as_nanosecond(), std::process::id())
}

/// The gateway reads by the group that the directory gives.
const MODE: u32 = 0o640;
