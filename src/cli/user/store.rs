//! The users file on the disk: read whole, written whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::Failure;
use crate::cli::exit::Exit;
use crate::cli::output::note;
use crate::config::problem::Problems;
use crate::config::users::UsersFile;
use crate::policy::account::ServerSecret;

/// Where the users file is.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// Whose group a new users file gets: the service can read this one.
    configuration: Option<PathBuf>,
}

/// Why the users file could not be read or written; it is then as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("there is no users file {}; `mailslotd user add` makes it", .0.display())]
    Missing(PathBuf),
    #[error("{} cannot be read: {source}; run this as its owner or as root", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}; nothing was changed", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the owner of {} cannot be kept: {source}; run this as its owner or as root; nothing was changed", path.display())]
    Owner { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Problems(#[from] Problems),
}

impl StoreError {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Missing(_) => Exit::No,
            Self::Unreadable { .. } | Self::Problems(_) => Exit::Config,
            Self::Unwritable { .. } | Self::Owner { .. } => Exit::Unavailable,
        }
    }
}

impl Store {
    pub(super) const fn new(path: PathBuf, configuration: Option<PathBuf>) -> Self {
        Self { path, configuration }
    }

    pub(super) fn read(&self) -> Result<UsersFile, StoreError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing(self.path.clone()));
            }
            Err(source) => return Err(StoreError::Unreadable { path: self.path.clone(), source }),
        };
        Ok(UsersFile::read(&self.path.display().to_string(), &text)?)
    }

    pub(super) fn read_or_empty(&self) -> Result<UsersFile, StoreError> {
        match self.read() {
            Err(StoreError::Missing(_)) => Ok(UsersFile::default()),
            read => read,
        }
    }

    /// Reads, changes and writes while no other command does.
    pub(super) fn change<T>(
        &self,
        edit: impl FnOnce(&mut UsersFile) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // Asked first: there may be no folder to lock.
        self.read()?;
        self.change_or_make(edit)
    }

    /// As [`Self::change`]; makes the file where there is none.
    pub(super) fn change_or_make<T>(
        &self,
        edit: impl FnOnce(&mut UsersFile) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let target = Target::of(&self.path).map_err(|source| self.unwritable(source))?;
        let _lock = target.lock().map_err(|source| self.unwritable(source))?;
        let mut file = self.read_or_empty()?;
        let outcome = edit(&mut file)?;
        if file.secret.is_none() {
            let mut octets = [0; 32];
            getrandom::fill(&mut octets)?;
            file.secret = Some(ServerSecret::new(octets));
        }
        target.replace(&file.write(), self.configuration.as_deref())?;
        Ok(outcome)
    }

    fn unwritable(&self, source: io::Error) -> StoreError {
        StoreError::Unwritable { path: self.path.clone(), source }
    }
}

/// A file that is replaced as a whole.
struct Target {
    /// Where it is in truth, symbolic links followed.
    path: PathBuf,
    folder: PathBuf,
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path)?,
            real => real?,
        };
        let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        DirBuilder::new().recursive(true).create(&folder)?;
        Ok(Self { path, folder })
    }

    /// Commands wait for each other on the folder, since the file itself is another one after each change.
    fn lock(&self) -> io::Result<Flock<File>> {
        Flock::lock(File::open(&self.folder)?, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
    }

    /// The whole new text or, whatever happens, the whole old one. Owner, group and mode stay.
    fn replace(&self, text: &str, configuration: Option<&Path>) -> Result<(), StoreError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let draft = self.folder.join(format!(".{name}.{}", std::process::id()));
        let written = self.write_draft(&draft, text, configuration);
        if written.is_err() {
            // The first error is the one to tell.
            fs::remove_file(&draft).ok();
        }
        written
    }

    fn write_draft(&self, draft: &Path, text: &str, configuration: Option<&Path>) -> Result<(), StoreError> {
        let failed = |source| StoreError::Unwritable { path: self.path.clone(), source };
        let before = match fs::metadata(&self.path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        match &before {
            Some(before) => {
                keep_owner(&file, before)
                    .map_err(|source| StoreError::Owner { path: self.path.clone(), source })?;
            }
            None => self.choose_group(&file, configuration),
        }
        let mode = before.map_or(NEW_MODE, |before| before.mode() & 0o7777);
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(draft, &self.path).map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// The group of a new file is that of the configuration, which the service can read.
    fn choose_group(&self, file: &File, configuration: Option<&Path>) {
        let group = configuration.and_then(|path| fs::metadata(path).ok()).map(|there| there.gid());
        if group.is_none_or(|group| fchown(file, None, Some(group)).is_err()) {
            note(format_args!(
                "{} is new; see to it that the service's group can read it",
                self.path.display()
            ));
        }
    }
}

fn keep_owner(file: &File, before: &fs::Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    fchown(file, Some(before.uid()), Some(before.gid()))
}

/// For the owner and the service's group.
const NEW_MODE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::account::{Account, AccountName, AccountState, Cost, PasswordHash};

    fn account(name: &str) -> Account {
        Account {
            name: AccountName::new(name).unwrap(),
            state: AccountState::Enabled,
            password: PasswordHash::of("x", [1; 16], Cost::DEFAULT).unwrap(),
            scram: None,
            cram_md5: None,
            may_send_as: None,
            rate: None,
            may_act_for: Vec::new(),
        }
    }

    fn add(store: &Store, name: &str) {
        let account = account(name);
        store
            .change_or_make(|file| {
                file.accounts.push(account);
                Ok(())
            })
            .unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_file_is_for_owner_and_group_and_an_old_one_keeps_its_mode_and_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/users.yaml");
        let store = Store::new(path.clone(), None);
        add(&store, "a");
        assert_eq!(mode(&path), 0o640);
        let secret = store.read().unwrap().secret.unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        add(&store, "b");
        assert_eq!(mode(&path), 0o600);
        let file = store.read().unwrap();
        assert_eq!((file.accounts.len(), file.secret), (2, Some(secret)));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.yaml"), folder.path().join("users.yaml"));
        add(&Store::new(real.clone(), None), "a");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        add(&Store::new(link.clone(), None), "b");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Store::new(real, None).read().unwrap().accounts.len(), 2);
    }

    #[test]
    fn a_broken_file_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.yaml");
        fs::write(&path, "users: [{ name: a }]\n").unwrap();
        let failure = Store::new(path.clone(), None).change(|_| Ok(())).unwrap_err();
        assert_eq!(failure.exit(), Exit::Config);
        assert_eq!(fs::read_to_string(&path).unwrap(), "users: [{ name: a }]\n");
        let missing = Store::new(folder.path().join("none.yaml"), None).change(|_| Ok(())).unwrap_err();
        assert_eq!(missing.exit(), Exit::No);
    }

    #[test]
    fn commands_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.yaml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let store = Store::new(path.clone(), None);
                scope.spawn(move || add(&store, &format!("user-{number}")));
            }
        });
        assert_eq!(Store::new(path, None).read().unwrap().accounts.len(), 8);
    }
}
