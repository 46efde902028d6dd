//! What the gateway looks like now, for whoever asks: monitors, the page, the commands.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of an answer is read")]

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::api::{
    MailslotsStatus, NameStatus, NetbiosStatus, SessionsStatus, SmtpListenerStatus, SpoolStatus, Status,
    TarpitStatus, destinations,
};
use super::readiness::Readiness;
use crate::credentials::Credentials;
use crate::delivery::view::Views;
use crate::inventory::Inventory;
use crate::listen::name_service::NameStandings;
use crate::listen::smtp::TarpitView;
use crate::message::id::ListenerName;
use crate::message::mail::Class;
use crate::policy::mailslot_switch::{Passing, Stage};
use crate::spool::{Figures, GroupStanding, Spool};
use crate::switch::{Depending, Order, RecordError, SwitchStatus, Switches};
use crate::telemetry::metrics::messenger::SessionMessageOutcome;
use crate::telemetry::metrics::smtp::MessageOutcome;
use crate::telemetry::metrics::{Metrics, NameState};
use crate::wire::netbios_name::NetbiosName;

/// What is looked at. Clones look at the same.
#[derive(Debug, Clone)]
pub struct Glance {
    /// What does not change while the gateway runs.
    pub about: Arc<About>,
    /// Between start and stop.
    pub readiness: Readiness,
    /// The live state of the destinations.
    pub destinations: Views,
    /// What is kept.
    pub spool: Spool,
    /// What the tar pit does.
    pub tarpit: TarpitView,
    /// Whether mailslot messages pass.
    pub switches: Switches,
    /// Where the claims of its names stand.
    pub names: NameStandings,
    /// Who was heard; `None` where its file cannot be had.
    pub inventory: Option<Inventory>,
    /// When secrets and certificates end.
    pub credentials: Credentials,
    /// What was counted.
    pub metrics: Arc<Metrics>,
}

/// What does not change while the gateway runs.
#[derive(Debug)]
pub struct About {
    /// What it calls itself, where that is configured.
    pub hostname: Option<String>,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Where it hears UDP 138.
    pub datagram: SocketAddr,
    /// Where it hears UDP 137, where it does.
    pub name_service: Option<SocketAddr>,
    /// Where it takes sessions of `net send`, in mode answer.
    pub messenger: Option<SocketAddr>,
    /// Where it answers monitors.
    pub admin: SocketAddr,
    /// Where SMTP clients reach each listener.
    pub smtp: Vec<(ListenerName, SocketAddr)>,
}

impl Glance {
    /// The gateway at a glance. A spool that cannot be read counts as one that refuses, so that the rest is shown.
    pub async fn status(&self) -> Status {
        let (figures, unreadable) = match self.spool.figures().await {
            Ok(figures) => (figures, None),
            Err(error) => (Figures::default(), Some(error)),
        };
        let About { hostname, started_at, datagram, admin, smtp, .. } = &*self.about;
        let (now, switches) = (Timestamp::now(), self.switches.status(Timestamp::now()));
        let refuses = self.spool.accepting(Class::Notice).err().or(unreadable);
        let refuses_mail = match (&refuses, smtp.is_empty()) {
            (None, false) => self.spool.accepting(Class::Mail).err(),
            (Some(_), _) | (None, true) => None,
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: hostname.clone(),
            pid: std::process::id(),
            started_at: *started_at,
            stage: self.readiness.stage(),
            datagram: *datagram,
            admin: *admin,
            smtp: smtp.iter().map(|(listener, address)| self.listener(listener, *address)).collect(),
            netbios: self.netbios(),
            heard_lately: self.falls_silent(&switches, now).await,
            mailslots: switches,
            spool: SpoolStatus::of(
                figures,
                refuses.map(|error| error.to_string()),
                refuses_mail.map(|error| error.to_string()),
            ),
            group: self.group().await,
            destinations: destinations(&self.destinations),
            credentials: self.credentials.ending(Timestamp::now()),
        }
    }

    /// How the gateways stand that share its spool, where they do.
    pub async fn group(&self) -> Option<GroupStanding> {
        // An error says that the spool is closed, which the rest tells.
        self.spool.group().await.ok().flatten()
    }

    /// The tar pit at a glance.
    #[must_use]
    pub fn tarpit(&self) -> TarpitStatus {
        TarpitStatus::of(&self.tarpit.report(), Timestamp::now())
    }

    /// Whether mailslot messages pass, and who would miss it.
    pub async fn mailslots(&self) -> MailslotsStatus {
        let now = Timestamp::now();
        MailslotsStatus {
            switches: self.switches.status(now),
            heard_lately: Switches::depending(self.inventory.as_ref(), now).await,
        }
    }

    /// Switches mailslot messages.
    ///
    /// # Errors
    /// [`RecordError`] when the order cannot be kept; then nothing has changed.
    pub fn order_mailslots(&self, order: &Order) -> Result<(), RecordError> {
        self.switches.order(order, Timestamp::now()).map(drop)
    }

    /// Who would miss messages that pass by an exception, where one ends soon.
    async fn falls_silent(&self, switches: &[SwitchStatus], now: Timestamp) -> Option<Depending> {
        let ends_soon = |switch: &SwitchStatus| match switch.state {
            Passing::Until { end } => Stage::at(end, now).is_some(),
            Passing::On | Passing::Off => false,
        };
        if switches.iter().any(ends_soon) {
            Some(Switches::depending(self.inventory.as_ref(), now).await)
        } else {
            None
        }
    }

    fn netbios(&self) -> NetbiosStatus {
        let metrics = self.metrics.messenger();
        let name = |(name, state): (NetbiosName, NameState)| NameStatus {
            name: name.to_string(),
            state: state.as_str().to_owned(),
        };
        NetbiosStatus {
            name_service: self.about.name_service,
            names: self.names.all().into_iter().map(name).collect(),
            sessions: self.about.messenger.map(|address| SessionsStatus {
                address,
                connections: u64::try_from(metrics.connections().get()).unwrap_or_default(),
                accepted: metrics.messages(SessionMessageOutcome::Durable),
            }),
        }
    }

    fn listener(&self, listener: &ListenerName, address: SocketAddr) -> SmtpListenerStatus {
        let metrics = self.metrics.smtp_listener(listener);
        SmtpListenerStatus {
            listener: listener.clone(),
            address,
            connections: u64::try_from(metrics.connections().get()).unwrap_or_default(),
            accepted: metrics.messages(MessageOutcome::Accepted),
        }
    }
}
