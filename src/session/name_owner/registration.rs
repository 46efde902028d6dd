//! The registration of one name with one WINS server (RFC 1002 §5.1.2.1, for the P node).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::wire::name_service::{Flags, Rcode};

/// Where the registration stands.
#[derive(Debug)]
pub(super) struct Registration {
    /// NAME_TRN_ID of the request under way.
    pub(super) transaction: u16,
    stage: Stage,
    /// How long the next refusal keeps us from trying again.
    wait: Duration,
    asserted_at: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    /// The name is not ours on the way to this server.
    Unwanted,
    /// To be asked for from then on.
    Due { request: Request, at: Instant },
    /// Asked for so many times; what is next is due then.
    Asking { request: Request, sent: u8, next: Instant },
    /// The server leaves it to us to ask the owner that it knows.
    Challenging { owner: Ipv4Addr, sent: u8, next: Instant, ttl: Duration },
    /// The server has it under our address.
    Registered { refresh: Instant },
}

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// NAME REGISTRATION REQUEST.
    Register,
    /// NAME REFRESH REQUEST.
    Refresh,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To the server: a claim under these flags.
    Claim(Flags),
    /// To the host that the server believes to be the owner: does it still have the name?
    Query(Ipv4Addr),
}

/// What a step or an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that anybody need know.
    None,
    /// The server has the name under our address now, for so long.
    Registered(Duration),
    /// The server gives the name to somebody else.
    Refused {
        /// Its reason.
        rcode: Rcode,
        /// Who has it, where that is known.
        owner: Option<Ipv4Addr>,
    },
    /// No answer to all tries.
    Silence,
}

impl Registration {
    /// How long an answer is waited for.
    pub(super) const INTERVAL: Duration = Duration::from_secs(2);
    /// UCAST_REQ_RETRY_COUNT (RFC 1002 §6).
    pub(super) const TRIES: u8 = 3;
    /// The time for which a name is asked for, as Windows asks for it.
    pub(super) const TTL: Duration = Duration::from_secs(300_000);
    /// A server that asks to wait (WACK) is waited for so long at most.
    pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
    const REFRESH_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(7 * 86_400));
    /// For a registration that never expires: the server may forget it all the same.
    const REFRESH_OF_ENDLESS: Duration = Duration::from_secs(86_400);
    const FIRST_RETRY: Duration = Duration::from_secs(60);
    const LONGEST_RETRY: Duration = Duration::from_secs(960);
    const ASSERT_EVERY: Duration = Duration::from_secs(60);

    pub(super) const fn new() -> Self {
        Self { transaction: 0, stage: Stage::Unwanted, wait: Self::FIRST_RETRY, asserted_at: None }
    }

    /// The name is ours: it is to be registered from `at` on.
    pub(super) fn want(&mut self, at: Instant) {
        if matches!(self.stage, Stage::Unwanted) {
            self.stage = Stage::Due { request: Request::Register, at };
        }
    }

    /// The name is not ours any more.
    pub(super) fn forget(&mut self) {
        self.stage = Stage::Unwanted;
    }

    pub(super) const fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Registered { .. })
    }

    /// Whether an answer is being waited for.
    pub(super) const fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Asking { .. } | Stage::Challenging { .. })
    }

    /// When a request is to begin.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due { at, .. } => Some(at),
            Stage::Registered { refresh } => Some(refresh),
            Stage::Unwanted | Stage::Asking { .. } | Stage::Challenging { .. } => None,
        }
    }

    /// When the request under way needs attention.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asking { next, .. } | Stage::Challenging { next, .. } => Some(next),
            Stage::Unwanted | Stage::Due { .. } | Stage::Registered { .. } => None,
        }
    }

    /// Begins what is due.
    pub(super) fn begin(&mut self, now: Instant, transaction: u16) -> Option<Step> {
        let request = match self.stage {
            Stage::Due { request, .. } => request,
            Stage::Registered { .. } => Request::Refresh,
            Stage::Unwanted | Stage::Asking { .. } | Stage::Challenging { .. } => return None,
        };
        self.transaction = transaction;
        self.stage = Stage::Asking { request, sent: 0, next: now };
        self.go_on(now).ok()
    }

    /// Sends the request under way again, or draws the conclusion from the silence.
    pub(super) fn go_on(&mut self, now: Instant) -> Result<Step, Change> {
        let next = now.checked_add(Self::INTERVAL).unwrap_or(now);
        match self.stage {
            Stage::Asking { request, sent, .. } if sent < Self::TRIES => {
                self.stage = Stage::Asking { request, sent: sent.saturating_add(1), next };
                Ok(Step::Claim(match request {
                    Request::Register => Flags::REGISTRATION,
                    Request::Refresh => Flags::REFRESH,
                }))
            }
            Stage::Asking { request, .. } => {
                self.stage = Stage::Due { request, at: now };
                Err(Change::Silence)
            }
            Stage::Challenging { owner, sent, ttl, .. } if sent < Self::TRIES => {
                self.stage = Stage::Challenging { owner, sent: sent.saturating_add(1), next, ttl };
                Ok(Step::Query(owner))
            }
            Stage::Challenging { ttl, .. } => {
                self.registered(now, ttl);
                Ok(Step::Claim(Flags::OVERWRITE))
            }
            Stage::Unwanted | Stage::Due { .. } | Stage::Registered { .. } => Err(Change::None),
        }
    }

    /// The server asks to wait (RFC 1002 §4.2.16).
    pub(super) fn on_wait(&mut self, now: Instant, wait: Duration) {
        if let Stage::Asking { next, .. } = &mut self.stage {
            let wait = wait.clamp(Self::INTERVAL, Self::LONGEST_WAIT);
            *next = now.checked_add(wait).unwrap_or(now);
        }
    }

    /// The server answers the request under way.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        flags: Flags,
        ttl: Duration,
        owner: Option<Ipv4Addr>,
    ) -> Change {
        let Stage::Asking { request, .. } = self.stage else { return Change::None };
        match (flags.rcode(), owner) {
            (Rcode::POSITIVE, Some(owner)) if !flags.contains(Flags::RECURSION_AVAILABLE) => {
                self.stage = Stage::Challenging { owner, sent: 0, next: now, ttl };
                Change::None
            }
            (Rcode::POSITIVE, _) => {
                self.registered(now, ttl);
                match request {
                    Request::Register => Change::Registered(ttl),
                    Request::Refresh => Change::None,
                }
            }
            // It forgot us, or gave the name away: only a registration tells which.
            _ if request == Request::Refresh => {
                self.stage = Stage::Due { request: Request::Register, at: now };
                Change::None
            }
            (rcode, owner) => self.refused(now, rcode, owner),
        }
    }

    /// The host that is being asked, because the server believes it to be the owner.
    pub(super) const fn challenged(&self) -> Option<Ipv4Addr> {
        match self.stage {
            Stage::Challenging { owner, .. } => Some(owner),
            Stage::Unwanted | Stage::Due { .. } | Stage::Asking { .. } | Stage::Registered { .. } => None,
        }
    }

    /// That host answers.
    pub(super) fn on_owner_answer(&mut self, now: Instant, flags: Flags) -> Change {
        match &mut self.stage {
            Stage::Challenging { owner, .. } if flags.rcode() == Rcode::POSITIVE => {
                let owner = *owner;
                self.refused(now, Rcode::ACT_ERR, Some(owner))
            }
            Stage::Challenging { sent, next, .. } => {
                (*sent, *next) = (Self::TRIES, now);
                Change::None
            }
            Stage::Unwanted | Stage::Due { .. } | Stage::Asking { .. } | Stage::Registered { .. } => {
                Change::None
            }
        }
    }

    /// Somebody demands in the server's name that a registered name be given up: the server itself is asked. Whether
    /// it is to be done now.
    pub(super) fn assert_again(&mut self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < Self::ASSERT_EVERY;
        if !self.is_registered() || self.asserted_at.is_some_and(lately) {
            return false;
        }
        self.asserted_at = Some(now);
        self.stage = Stage::Due { request: Request::Register, at: now };
        true
    }

    fn registered(&mut self, now: Instant, ttl: Duration) {
        let (least, most) = Self::REFRESH_BOUNDS;
        let half = if ttl.is_zero() { Self::REFRESH_OF_ENDLESS } else { ttl.div_f64(2.0).clamp(least, most) };
        self.stage = Stage::Registered { refresh: now.checked_add(half).unwrap_or(now) };
        self.wait = Self::FIRST_RETRY;
    }

    fn refused(&mut self, now: Instant, rcode: Rcode, owner: Option<Ipv4Addr>) -> Change {
        let at = now.checked_add(self.wait).unwrap_or(now);
        self.stage = Stage::Due { request: Request::Register, at };
        self.wait = self.wait.saturating_mul(2).min(Self::LONGEST_RETRY);
        Change::Refused { rcode, owner }
    }
}
