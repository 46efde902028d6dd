//! The configuration that a command works with: which files it is made of, and what they say.
#![expect(clippy::disallowed_methods, reason = "the edge where certificates are held against today")]

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::Global;
use super::exit::Exit;
use super::output::note;
use crate::config::check::{Checked, Readers, SecretFile, Secrets, Source, Surroundings, check};
use crate::config::problem::Problems;
use crate::listen::routers;
use crate::net::link::Link;

/// A configuration without problems, and its files.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub checked: Checked,
    /// The main file and those of `conf.d`; none at all is the built-in configuration.
    pub files: Vec<PathBuf>,
}

/// Whether secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Password and authority files are read, and this machine's routers and interfaces are found out.
    Everything,
    /// They are not, so the configuration can be looked at where they are out of reach.
    WithoutSecrets,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that was named, or is there, cannot be read.
    #[error("{} cannot be read: {source}; name another one with --config, or let this user read it", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration has problems.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// The configuration of `--config`, else of `$MAILSLOTD_CONFIG`, else /etc/mailslotd/mailslotd.yaml, else the built-in
/// one. `conf.d/*.yaml` beside the file is part of it, in the order of the names.
///
/// # Errors
/// A file that cannot be read, or everything that is wrong with the configuration.
pub fn load(global: &Global, reading: Reading) -> Result<Loaded, LoadError> {
    let files = files(global)?;
    let mut texts = Vec::new();
    for path in &files {
        let text = fs::read_to_string(path)
            .map_err(|source| LoadError::Unreadable { path: path.clone(), source })?;
        texts.push((path.display().to_string(), text));
    }
    let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source { file, text }).collect();
    let secrets = match reading {
        Reading::Everything => {
            Secrets::Online { file: &secret_file, variable: &secret_variable, now: Timestamp::now() }
        }
        Reading::WithoutSecrets => Secrets::Offline,
    };
    let (routers, interfaces) = match reading {
        Reading::Everything => (routers::of_this_machine(), interfaces()),
        Reading::WithoutSecrets => (Vec::new(), Vec::new()),
    };
    let surroundings =
        Surroundings { state_dir: state_dir(), timezone: TimeZone::system(), secrets, routers, interfaces };
    Ok(Loaded { checked: check(&sources, &surroundings)?, files })
}

/// As [`load`], with what is wrong and what is doubtful told on stderr.
///
/// # Errors
/// The exit code for what was told.
pub fn load_or_tell(global: &Global, reading: Reading) -> Result<Loaded, Exit> {
    match load(global, reading) {
        Ok(loaded) => {
            if !loaded.checked.warnings.warnings.is_empty() && !global.quiet {
                note(&loaded.checked.warnings);
            }
            Ok(loaded)
        }
        Err(error) => {
            note(&error);
            Err(Exit::Config)
        }
    }
}

fn files(global: &Global) -> Result<Vec<PathBuf>, LoadError> {
    let named = global
        .config
        .clone()
        .or_else(|| env::var_os("MAILSLOTD_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    let (main, must_exist) = match named {
        Some(path) => (path, true),
        None => (PathBuf::from(DEFAULT_FILE), false),
    };
    let folder = main.parent().map(|folder| folder.join("conf.d")).unwrap_or_default();
    let there = must_exist
        || main.try_exists().map_err(|source| LoadError::Unreadable { path: main.clone(), source })?;
    let mut files = if there { vec![main] } else { Vec::new() };
    files
        .extend(fragments(&folder).map_err(|source| LoadError::Unreadable { path: folder.clone(), source })?);
    Ok(files)
}

/// The files `*.yaml` of a folder by name; hidden ones are editors' leftovers.
fn fragments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The names of this machine's interfaces; none where the system does not tell.
fn interfaces() -> Vec<String> {
    let mut names: Vec<String> = Link::all().unwrap_or_default().into_iter().map(|link| link.name).collect();
    names.dedup();
    names
}

fn secret_file(path: &Path) -> io::Result<SecretFile> {
    let text = Zeroizing::new(fs::read_to_string(path)?);
    let mode = fs::metadata(path)?.permissions().mode();
    let readers = if mode & 0o004 == 0 { Readers::Few } else { Readers::Everybody };
    Ok(SecretFile { text, readers })
}

fn secret_variable(name: &str) -> Option<Zeroizing<String>> {
    env::var(name).ok().map(Zeroizing::new)
}

/// Where state lies when the configuration does not say: what systemd gives the service, for root the system's place,
/// for anybody else their own.
fn state_dir() -> PathBuf {
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(given) =
        env::var("STATE_DIRECTORY").ok().and_then(|list| list.split(':').next().map(PathBuf::from))
        && given.is_absolute()
    {
        return given;
    }
    if nix::unistd::geteuid().is_root() {
        return DEFAULT_STATE.into();
    }
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .map_or_else(|| DEFAULT_STATE.into(), |folder| folder.join("mailslotd"))
}

const DEFAULT_FILE: &str = "/etc/mailslotd/mailslotd.yaml";
const DEFAULT_STATE: &str = "/var/lib/mailslotd";

#[cfg(test)]
mod tests {
    use super::*;

    fn global(path: &Path) -> Global {
        Global { config: Some(path.into()), ..Global::default() }
    }

    #[test]
    fn fragments_are_read_by_name_and_hidden_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("mailslotd.yaml");
        fs::write(&main, "site: a\n").unwrap();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        for name in ["20-b.yaml", "10-a.yaml", ".hidden.yaml", "readme.txt", "c.yaml~"] {
            fs::write(folder.path().join("conf.d").join(name), "").unwrap();
        }
        let loaded = load(&global(&main), Reading::Everything).unwrap();
        let names: Vec<_> =
            loaded.files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["mailslotd.yaml", "10-a.yaml", "20-b.yaml"]);
        assert_eq!(loaded.checked.settings.site, "a");
    }

    #[test]
    fn a_file_that_was_named_and_is_not_there_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            load(&global(&folder.path().join("none.yaml")), Reading::Everything).unwrap_err().to_string();
        assert!(error.contains("none.yaml cannot be read: ") && error.contains("--config"), "{error}");
    }

    #[test]
    fn a_password_file_that_others_may_read_is_a_warning_of_its_mode_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let [main, password] = ["mailslotd.yaml", "pw"].map(|name| folder.path().join(name));
        let yaml = format!(
            "hostname: gw1.plant.example\nnetbios: {{ code_page: cp850 }}\ndestinations:\n  s:\n    submission:\n      host: smtp.example\n      \
             auth: {{ user: a, password_file: {} }}\n      from: {{ address: a@b.example }}\n\
             rules: [{{ name: all, match: any, deliver: [{{ via: s, to: a@b.example }}] }}]\n",
            password.display()
        );
        fs::write(&main, yaml).unwrap();
        fs::write(&password, "hunter2\n").unwrap();
        for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
            fs::set_permissions(&password, fs::Permissions::from_mode(mode)).unwrap();
            let loaded = load(&global(&main), Reading::Everything).unwrap();
            assert_eq!(loaded.checked.warnings.warnings.len(), warnings, "{mode:o}");
        }
        fs::remove_file(&password).unwrap();
        assert!(load(&global(&main), Reading::Everything).is_err());
        assert!(load(&global(&main), Reading::WithoutSecrets).is_ok(), "offline asks for no file");
    }
}
