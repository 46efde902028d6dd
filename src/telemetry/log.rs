//! Logs: events of `tracing` as lines for people or as JSON, on stderr.
//!
//! One sentence per event, its details as fields. INFO is what an operator did or wants to see once, WARN something
//! that was recovered from or needs a look, ERROR something lost or to be mended by someone, DEBUG each datagram and
//! each attempt. Text of messages and credentials are never logged; bytes of a peer only escaped.

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A line for people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line: `timestamp`, `level`, `target`, `message` and the event's fields.
    Json,
}

/// How much is said. `RUST_LOG` overrides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Only what went wrong: WARN and ERROR (`-q`).
    Quiet,
    /// INFO of this program as well.
    #[default]
    Normal,
    /// DEBUG of this program as well (`-v`).
    Verbose,
    /// Everything, that of the libraries included (`-vv`).
    Everything,
}

impl Verbosity {
    /// What that many `-v` ask for.
    #[must_use]
    pub const fn of_count(verbose: u8) -> Self {
        match verbose {
            0 => Self::Normal,
            1 => Self::Verbose,
            _ => Self::Everything,
        }
    }

    /// The clients of brokers tell of each attempt that fails; lanes say once what comes of it.
    const fn directives(self) -> &'static str {
        match self {
            Self::Quiet => "warn,async_nats=off",
            Self::Normal => "warn,mailslotd=info,async_nats=off",
            Self::Verbose => "warn,mailslotd=debug,async_nats=off",
            Self::Everything => "trace",
        }
    }
}

/// When lines for people are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// Where stderr is a terminal and `NO_COLOR` is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colours {
    fn chosen(self) -> Colour {
        let wanted = match self {
            Self::Auto => {
                io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
            }
            Self::Always => true,
            Self::Never => false,
        };
        if wanted { Colour::Ansi } else { Colour::None }
    }
}

/// Sends the events of the whole process to stderr from now on; no time where it is systemd's journal, which has its
/// own.
///
/// A `RUST_LOG` that cannot be read is said so and ignored: a typing error must not keep the gateway from starting.
///
/// # Errors
/// When it was called before.
pub fn init(form: Form, verbosity: Verbosity, colours: Colours) -> Result<(), TryInitError> {
    let wanted = env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let (filter, refused) = filter(verbosity, wanted.as_deref());
    let style = Style {
        colour: colours.chosen(),
        time: if env::var_os("JOURNAL_STREAM").is_some() { Time::Omitted } else { Time::Utc },
    };
    subscriber(form, style, filter, io::stderr).try_init()?;
    if let Some(cause) = refused {
        tracing::warn!(
            cause,
            "RUST_LOG is not understood and ignored; an example is RUST_LOG=mailslotd=debug."
        );
    }
    Ok(())
}

/// Says something that may happen many times a second once, then at most every `every` with how often it happened.
///
/// Pure: the caller logs when it is told to, and calls [`Recurring::due`] at [`Recurring::poll_timeout`], so that the
/// last ones of a burst are told as well.
#[derive(Debug, Clone)]
pub struct Recurring {
    every: Duration,
    untold: u64,
    told_at: Option<Instant>,
}

impl Recurring {
    /// Nothing happened yet.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, untold: 0, told_at: None }
    }

    /// It happened `count` times more. `Some` when it is to be told now: how often since it was told last.
    pub fn happened(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(count);
        self.due(now)
    }

    /// `Some` when something is still to be told and its time has come.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let waited = self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= self.every);
        if self.untold == 0 || !waited {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// When [`Recurring::due`] has something to tell.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.told_at.filter(|_| self.untold > 0).map(|at| at + self.every)
    }
}

/// Whether lines are in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Ansi,
    None,
}

/// Whether lines begin with the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    Utc,
    Omitted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    colour: Colour,
    time: Time,
}

/// What is said, and why the operator's wish for it could not be followed.
fn filter(verbosity: Verbosity, wanted: Option<&str>) -> (EnvFilter, Option<String>) {
    let refused = match wanted.map(EnvFilter::try_new) {
        Some(Ok(filter)) => return (filter, None),
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    (EnvFilter::new(verbosity.directives()), refused)
}

fn subscriber<W>(form: Form, style: Style, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines =
        fmt::fmt().with_env_filter(filter).with_writer(writer).with_ansi(style.colour == Colour::Ansi);
    match (form, style.time) {
        (Form::Json, _) => {
            Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish())
        }
        (Form::Human, Time::Utc) => Box::new(lines.with_target(false).finish()),
        (Form::Human, Time::Omitted) => Box::new(lines.with_target(false).without_time().finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(form: Form, style: Style, verbosity: Verbosity, say: impl FnOnce()) -> String {
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = subscriber(form, style, filter(verbosity, None).0, move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const PLAIN: Style = Style { colour: Colour::None, time: Time::Omitted };

    #[test]
    fn a_line_for_people_is_the_level_the_sentence_and_its_fields() {
        let text = written(Form::Human, PLAIN, Verbosity::Normal, || {
            tracing::warn!(count = 3, "messages were dropped");
        });
        assert_eq!(text, " WARN messages were dropped count=3\n");
    }

    #[test]
    fn json_is_one_object_a_line_with_the_fields_beside_the_sentence() {
        let style = Style { colour: Colour::None, time: Time::Utc };
        let text = written(Form::Json, style, Verbosity::Normal, || {
            tracing::info!(address = %"192.0.2.1", "listening");
        });
        let line: serde_json::Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"listening".into()));
        assert_eq!(line["address"], "192.0.2.1");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_peer_cannot_start_a_line_or_colour_it() {
        let text = written(Form::Human, PLAIN, Verbosity::Normal, || {
            tracing::info!(name = ?"A\n ERROR \u{1b}[31mB", "heard");
        });
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn each_v_says_more_and_q_says_only_what_went_wrong() {
        let lines = |verbosity| {
            written(Form::Human, PLAIN, verbosity, || {
                tracing::error!("1");
                tracing::warn!("2");
                tracing::info!("3");
                tracing::debug!("4");
                tracing::trace!("5");
                tracing::info!(target: "a_library", "6");
            })
            .lines()
            .count()
        };
        let all = [Verbosity::Quiet, Verbosity::of_count(0), Verbosity::of_count(1), Verbosity::of_count(9)];
        assert_eq!(all.map(lines), [2, 3, 4, 6]);
    }

    #[test]
    fn a_mistake_in_rust_log_leaves_the_level_as_the_flags_say_and_is_reported() {
        let (ignored, refused) = filter(Verbosity::Quiet, Some("mailslotd=loud"));
        assert_eq!(ignored.to_string(), "async_nats=off,warn");
        assert!(refused.is_some());
        let (followed, refused) = filter(Verbosity::Quiet, Some("mailslotd=debug"));
        assert_eq!((followed.to_string().as_str(), refused), ("mailslotd=debug", None));
    }

    #[test]
    fn what_recurs_is_told_at_once_and_then_with_its_number_at_intervals() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut lost = Recurring::new(Duration::from_secs(10));
        assert_eq!((lost.due(start), lost.poll_timeout()), (None, None));
        assert_eq!(lost.happened(1, start), Some(1));
        assert_eq!((lost.happened(40, after(1)), lost.happened(2, after(9))), (None, None));
        assert_eq!(lost.poll_timeout(), Some(after(10)));
        assert_eq!(lost.due(after(10)), Some(42));
        assert_eq!((lost.due(after(60)), lost.poll_timeout()), (None, None), "nothing new");
        assert_eq!(lost.happened(5, after(61)), Some(5));
    }
}
