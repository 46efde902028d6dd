//! What each gateway's configuration says of the stream, and what counts where two of them differ: what is there, for as
//! long as other gateways live. Who finds nobody else brings the stream to what its own configuration says.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::stream::Config;

use super::fault::Fault;
use super::link::Session;
use super::{Part, Shared, making, subject};

/// A setting that the stream has otherwise than this gateway's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// As the configuration names it.
    setting: &'static str,
    there: String,
    here: String,
}

/// `spool.replicas is 1 there and 3 here`
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} there and {} here", self.setting, self.there, self.here)
    }
}

impl Shared {
    /// Brings stream and buckets to what the configuration says, or says where they differ. One who only looks does
    /// neither.
    pub(super) async fn agree_on_settings(&self, session: &Session) -> Result<(), Fault> {
        let plan = &self.0.plan;
        if plan.part == Part::Visitor {
            return Ok(());
        }
        let wanted = making::spool_config(plan);
        let there = session.stream.get_info().await.map_err(Fault::lost)?.config;
        let differences = differences(&there, &wanted);
        let living = self.living(session).await?;
        if living.keys().any(|member| !self.0.me.is_a_start_of(member)) {
            self.tell(differences);
            return Ok(());
        }
        if !differences.is_empty() {
            let changed = Config {
                num_replicas: wanted.num_replicas,
                duplicate_window: wanted.duplicate_window,
                max_bytes: wanted.max_bytes,
                ..there
            };
            session.context.update_stream(changed).await.map_err(Fault::of_write)?;
            tracing::info!(
                settings = sentence(&differences),
                "The stream of the shared spool has the settings of this gateway's configuration from now on."
            );
        }
        for name in subject::BUCKETS {
            session.set_replicas(name, plan.replicas).await?;
        }
        Ok(())
    }

    /// Says once what is different.
    fn tell(&self, differences: Vec<Difference>) {
        let before = std::mem::replace(&mut self.state().differences, differences.clone());
        if differences.is_empty() || differences == before {
            return;
        }
        tracing::warn!(
            settings = sentence(&differences),
            "The stream of the shared spool has other settings than this gateway's configuration; what is there counts. \
             Write the same into the configuration of every gateway; who is started while none of the others runs \
             brings the stream to it, and so does `nats stream edit {}`.",
            subject::STREAM
        );
    }
}

/// All of them, in one line.
fn sentence(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn differences(there: &Config, here: &Config) -> Vec<Difference> {
    let bytes = |config: &Config| match config.max_bytes {
        none if none < 0 => "off".to_owned(),
        bytes => format!("{bytes} bytes"),
    };
    let window = |window: Duration| format!("{window:?}");
    let all = [
        ("spool.replicas", there.num_replicas.to_string(), here.num_replicas.to_string()),
        ("netbios.dedup_window", window(there.duplicate_window), window(here.duplicate_window)),
        ("spool.max_size", bytes(there), bytes(here)),
    ];
    let differs = |(setting, there, here): (&'static str, String, String)| {
        (there != here).then_some(Difference { setting, there, here })
    };
    all.into_iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_with_both_values_and_in_the_words_of_the_configuration() {
        let second = Duration::from_secs(1);
        let config = |num_replicas, max_bytes, seconds| Config {
            num_replicas,
            max_bytes,
            duplicate_window: second * seconds,
            ..Config::default()
        };
        assert_eq!(differences(&config(3, -1, 5), &config(3, -1, 5)), []);
        assert_eq!(
            sentence(&differences(&config(1, -1, 5), &config(3, 4096, 10))),
            "spool.replicas is 1 there and 3 here; netbios.dedup_window is 5s there and 10s here; spool.max_size is off \
             there and 4096 bytes here"
        );
    }
}
