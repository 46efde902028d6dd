//! What ends by itself is announced before, and told when it has ended.
#![expect(clippy::disallowed_methods, reason = "the edge where the time is read")]

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Both, Depending, Switches, record};
use crate::inventory::Inventory;
use crate::policy::mailslot_switch::{Announced, Direction, Passing, announcement_due, next_announcement};

/// What happened since it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Announcements that are due.
    pub(super) announcements: Vec<(Direction, Announced)>,
    /// Directions that changed without anybody's order, and how they stand now.
    pub(super) changes: Vec<(Direction, Passing)>,
    /// When something is to be done next, where that is known.
    pub(super) next: Option<Timestamp>,
}

impl Events {
    /// Whether messages to displays, which did not pass, do now.
    pub(super) fn sends_again(&self) -> bool {
        let is_opened = |(direction, passing): &(Direction, Passing)| {
            *direction == Direction::Outbound && *passing != Passing::Off
        };
        self.changes.iter().any(is_opened)
    }
}

impl Switches {
    /// Announces and tells until `stop`. `inventory` knows who would fall silent; `sends_again` is called when outbound
    /// messages pass again by themselves, so that what waited for it goes at once.
    pub async fn watch(
        self,
        inventory: Option<Inventory>,
        sends_again: impl Fn() + Send,
        stop: CancellationToken,
    ) {
        let mut last = self.passing(Timestamp::now());
        loop {
            let now = Timestamp::now();
            let events = self.look_after(&last, now);
            last = self.passing(now);
            if events.sends_again() {
                sends_again();
            }
            if !events.announcements.is_empty() || !events.changes.is_empty() {
                let depending = Self::depending(inventory.as_ref(), now).await;
                tell(&events, &depending, now);
            }
            let until_next =
                events.next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
            let pause = until_next.map_or(LONGEST_PAUSE, |pause| pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.ordered.notified() => last = self.passing(Timestamp::now()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Who sent messages lately; nobody, where there is no inventory.
    pub async fn depending(inventory: Option<&Inventory>, now: Timestamp) -> Depending {
        match inventory {
            Some(inventory) => Depending::among(&inventory.hosts().await.0, now),
            None => Depending::default(),
        }
    }

    fn passing(&self, now: Timestamp) -> [(Direction, Passing); 2] {
        let mut both = self.0.both();
        Direction::ALL.map(|direction| (direction, both.side(direction).switch.passing(now)))
    }

    /// Puts into effect what changes by itself at `now`, and remembers the announcements that it returns as made.
    pub(super) fn look_after(&self, last: &[(Direction, Passing)], now: Timestamp) -> Events {
        let mut both = self.0.both();
        let mut events = Events::default();
        for &(direction, before) in last {
            let side = both.side(direction);
            let passing = side.switch.passing(now);
            if passing != before {
                events.changes.push((direction, passing));
            }
            if let Some(due) = announcement_due(passing, side.announced, now) {
                side.announced = Some(due);
                events.announcements.push((direction, due));
            }
            let next = [side.switch.next_change(now), next_announcement(passing, now)];
            events.next = events.next.into_iter().chain(next.into_iter().flatten()).min();
        }
        self.0.apply(&both, now);
        if !events.announcements.is_empty() {
            self.keep(&both);
            for (direction, _) in &events.announcements {
                self.0.metrics.mailslots_end_announced(direction.as_str());
            }
        }
        events
    }

    /// An announcement that cannot be remembered is made again after a restart, which is better than none.
    fn keep(&self, both: &Both) {
        if let Err(error) = record::write(&self.0.path, &both.record()) {
            tracing::warn!("{error}. What was announced will be announced again after a restart.");
        }
    }
}

fn tell(events: &Events, depending: &Depending, now: Timestamp) {
    for (direction, Announced { end, .. }) in &events.announcements {
        let hours = end.duration_since(now).as_hours();
        let (days, hours) = (hours / 24, hours % 24);
        tracing::warn!(
            direction = direction.as_str(),
            %end,
            days,
            hours,
            heard_lately = %depending,
            count = depending.count,
            "Mailslot messages will be switched off when their exception ends; \
             `mailslotd mailslots enable --for 30d`, or `exception_until` in the configuration, prolongs it."
        );
    }
    for (direction, passing) in &events.changes {
        let direction = direction.as_str();
        match passing {
            Passing::Off => tracing::warn!(
                direction,
                heard_lately = %depending,
                count = depending.count,
                "Mailslot messages are switched off now; they are counted, and not delivered."
            ),
            Passing::On | Passing::Until { .. } => {
                tracing::info!(direction, "Mailslot messages pass again, as the configuration says.");
            }
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Clocks are set, and machines sleep.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
