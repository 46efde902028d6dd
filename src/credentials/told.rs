//! What the operator has been told by mail, in a file of the state directory: each stage once, whatever restarts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Credential;
use crate::policy::expiry::Stage;

/// The file's name in the state directory.
pub(super) const FILE: &str = "credentials.json";

/// The last stage of each that was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told(BTreeMap<String, LastTold>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct LastTold {
    end: Timestamp,
    stage: Stage,
}

impl Told {
    /// What was written last. A file that is damaged is none: something is told once more.
    pub(super) fn read(path: &Path) -> Self {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "What was told of ends cannot be read; it is told again.");
                Self::default()
            }),
            Err(_) => Self::default(),
        }
    }

    /// Writes it so that after a power failure either the old or the new one is there.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let draft = path.with_extension("json.new");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// The stage that is to be told now. A credential that was renewed begins anew; one that was replaced by another near its
    /// end is told of at its next stage.
    pub(super) fn due(&mut self, credential: &Credential, now: Timestamp) -> Option<Stage> {
        let Some(stage) = Stage::at(credential.end, now) else {
            self.0.remove(&key(credential));
            return None;
        };
        match self.0.get_mut(&key(credential)) {
            Some(told) if told.stage >= stage => {
                *told = LastTold { end: credential.end, stage };
                None
            }
            Some(_) | None => Some(stage),
        }
    }

    /// It was told.
    pub(super) fn note(&mut self, credential: &Credential, stage: Stage) {
        self.0.insert(key(credential), LastTold { end: credential.end, stage });
    }
}

fn key(credential: &Credential) -> String {
    format!("{} {}", credential.kind.as_str(), credential.name)
}
