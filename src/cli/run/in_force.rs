//! The configuration that is in force, and how another one takes its place.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::admin::reload::{NotReloaded, Reloaded};
use crate::app::Gateway;
use crate::app::reload::needs_restart;
use crate::cli::Global;
use crate::cli::load::{self, Loaded, Reading};
use crate::config::check::{Checked, SecretOrigin};
use crate::config::difference::changed_keys;
use crate::config::settings::Settings;
use crate::config::show::show;

/// The configuration that is in force.
#[derive(Debug)]
pub(super) struct InForce {
    global: Global,
    settings: Settings,
    shown: Value,
    seals: Seals,
}

/// What was in the files of secrets, as far as it takes to see that it is something else now.
#[derive(Debug, Clone)]
struct Seals {
    key: RandomState,
    of: BTreeMap<PathBuf, Option<u64>>,
}

impl InForce {
    /// What was read with these options.
    pub(super) fn new(global: &Global, checked: &Checked) -> Self {
        Self {
            global: global.clone(),
            settings: checked.settings.clone(),
            shown: shown(checked),
            seals: Seals::of(checked, RandomState::new()),
        }
    }

    /// Reads the files again and puts what they say in force, all of it or nothing. The log says which.
    pub(super) async fn read_again(&mut self, gateway: &Gateway) -> Result<Reloaded, NotReloaded> {
        let answer = self.reload(gateway).await;
        match &answer {
            Ok(Reloaded { changed }) if changed.is_empty() => {
                tracing::info!("The configuration was read again; nothing in it has changed.");
            }
            Ok(Reloaded { changed }) => {
                tracing::info!(
                    changed = changed.join(", "),
                    "The configuration was read again and is in force."
                );
            }
            Err(NotReloaded::Faulty(problems)) => {
                tracing::error!(%problems, "The configuration was read again and has problems, so the old one stays in force.");
            }
            Err(error @ (NotReloaded::NeedsRestart(_) | NotReloaded::Busy)) => {
                tracing::error!(%error, "The configuration was read again and the old one stays in force.");
            }
        }
        answer
    }

    async fn reload(&mut self, gateway: &Gateway) -> Result<Reloaded, NotReloaded> {
        let global = self.global.clone();
        let read = tokio::task::spawn_blocking(move || load::load(&global, Reading::Everything));
        let faulty = |error: &dyn std::fmt::Display| NotReloaded::Faulty(error.to_string());
        let Loaded { checked, .. } =
            read.await.map_err(|error| faulty(&error))?.map_err(|error| faulty(&error))?;
        if !checked.warnings.warnings.is_empty() {
            tracing::warn!(warnings = %checked.warnings, "The configuration says what is probably not meant.");
        }
        let shown = shown(&checked);
        let changed = changed_keys(&self.shown, &shown);
        let seals = Seals::of(&checked, self.seals.key.clone());
        let settings = checked.settings;
        let mut needing = needs_restart(&changed, &self.settings, &settings);
        needing.extend(self.seals.broken(&seals));
        if !needing.is_empty() {
            return Err(NotReloaded::NeedsRestart(needing));
        }
        gateway.adopt(&settings);
        (self.settings, self.shown, self.seals) = (settings, shown, seals);
        Ok(Reloaded { changed })
    }
}

impl Seals {
    /// Those of the files that secrets were read from.
    fn of(checked: &Checked, key: RandomState) -> Self {
        let files = checked.secrets.iter().filter_map(|(_, origin)| match origin {
            SecretOrigin::File(path) => Some(path),
            SecretOrigin::Variable(_) => None,
        });
        let seal = |path: &PathBuf| {
            let text = fs::read(path).map(Zeroizing::new).ok();
            (path.clone(), text.map(|text| key.hash_one(&**text)))
        };
        let of = files.map(seal).collect();
        Self { key, of }
    }

    /// The secrets that are others in `now`, in words: who uses one has read it at the start.
    fn broken(&self, now: &Self) -> Vec<String> {
        let changed = |(path, seal): (&PathBuf, &Option<u64>)| {
            let is_other = now.of.get(path).is_some_and(|now| now != seal);
            is_other.then(|| format!("the secret in {}", path.display()))
        };
        self.of.iter().filter_map(changed).collect()
    }
}

fn shown(checked: &Checked) -> Value {
    serde_json::to_value(show(&checked.settings, &checked.secrets)).unwrap_or_default()
}
