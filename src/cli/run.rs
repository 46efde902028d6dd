//! `mailslotd run`: the gateway, in the foreground.

mod in_force;

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Global;
use super::exit::Exit;
use super::load::{self, Reading};
use super::output::note;
use crate::app::{Gateway, StartError};
use crate::config::settings;
use crate::spool::SpoolError;
use crate::telemetry::log::{self, Form, Verbosity};
use in_force::InForce;

/// Runs the gateway until SIGTERM or SIGINT; a second one ends it at once. Nothing accepted is lost either way. SIGHUP has
/// it read its configuration again, as `mailslotd reload` does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long running deliveries may take to finish at shutdown
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    grace: u64,
}

/// Carries out `run`.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    let loaded = match load::load_or_tell(global, Reading::Everything) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let in_force = InForce::new(global, &loaded.checked);
    let settings = loaded.checked.settings;
    start_log(settings.log, global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(format_args!("mailslotd: cannot start: {error}"));
            return Exit::TryLater;
        }
    };
    runtime.block_on(async {
        let Ok(signals) = Signals::new() else {
            note("mailslotd: cannot listen for signals");
            return Exit::TryLater;
        };
        let gateway = match Gateway::start(settings).await {
            Ok(gateway) => gateway,
            Err(error) => return refused(&error),
        };
        tell_systemd(sd_notify::NotifyState::Ready);
        until_stopped(gateway, in_force, Duration::from_secs(args.grace), signals).await
    })
}

/// What the operator says by signals.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the gateway is to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn until_stopped(
    gateway: Gateway,
    mut in_force: InForce,
    grace: Duration,
    mut signals: Signals,
) -> Exit {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            // The log tells what came of it.
            _ = signals.hangup.recv() => drop(in_force.read_again(&gateway).await),
            request = gateway.reload_asked() => request.answer(in_force.read_again(&gateway).await),
            () = gateway.broke() => {
                note("mailslotd: a part of the gateway ended by a defect; stopping so that it can be started again");
                gateway.shutdown(grace).await;
                return Exit::TryLater;
            }
        }
    }
    tell_systemd(sd_notify::NotifyState::Stopping);
    tracing::info!("Stopping; a second signal ends at once.");
    tokio::select! {
        () = gateway.shutdown(grace) => Exit::Done,
        () = signals.stop() => Exit::Done,
    }
}

fn start_log(form: settings::Log, global: &Global) {
    let form = match form {
        settings::Log::Human => Form::Human,
        settings::Log::Json => Form::Json,
    };
    let verbosity = if global.quiet { Verbosity::Quiet } else { Verbosity::of_count(global.verbose) };
    if let Err(error) = log::init(form, verbosity, global.color.into()) {
        note(format_args!("mailslotd: no log: {error}"));
    }
}

fn refused(error: &StartError) -> Exit {
    note(format_args!("mailslotd: {error}"));
    match error {
        StartError::Destination(_) | StartError::FrontEnd(_) => Exit::Config,
        StartError::Spool(SpoolError::Locked { .. } | SpoolError::Full { .. }) => Exit::TryLater,
        StartError::StateDir { .. }
        | StartError::Bind(_)
        | StartError::StreamBind(_)
        | StartError::Watch { .. }
        | StartError::Admin { .. }
        | StartError::Spool(_)
        | StartError::Switch(_)
        | StartError::Pickup(_)
        | StartError::Control(_) => Exit::Unavailable,
    }
}

fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "Could not tell systemd.");
    }
}
