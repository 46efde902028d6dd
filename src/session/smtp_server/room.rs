//! Memory for the recipients of open transactions. Clients that are neither trusted nor authenticated share it, since
//! thousands of them may be connected, and each may name many recipients and be silent then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Submission;
use crate::wire::smtp::dsn::RecipientDsn;
use crate::wire::smtp::path::ForwardPath;

/// Memory for recipients of strangers, beyond what each transaction has for itself. A clone is the same memory.
#[derive(Debug, Clone)]
pub struct RecipientRoom(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    taken: AtomicUsize,
    octets: usize,
}

impl RecipientRoom {
    /// Of so many octets, all of them free.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        Self(Arc::new(Pool { taken: AtomicUsize::new(0), octets }))
    }
}

/// What one session has of the room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    /// `None`: a client of our own, whose recipients are not counted.
    room: Option<RecipientRoom>,
    /// What was taken of it.
    taken: usize,
}

impl Share {
    /// Nothing yet.
    pub(super) const fn of(room: Option<RecipientRoom>) -> Self {
        Self { room, taken: 0 }
    }

    /// Whether one recipient more may be kept for a transaction of at most `recipients`.
    pub(super) fn has_room(
        &self,
        submission: &Submission,
        (path, dsn): (&ForwardPath, &RecipientDsn),
        recipients: usize,
    ) -> bool {
        let Some(RecipientRoom(pool)) = &self.room else { return true };
        let octets = kept(submission).saturating_add(of_recipient(path, dsn));
        let more = octets.saturating_sub(OWN).saturating_sub(self.taken);
        octets <= recipients.saturating_mul(LONG_RECIPIENT).saturating_add(ENVID)
            && (more == 0 || pool.taken.load(Ordering::Relaxed).saturating_add(more) <= pool.octets)
    }

    /// The transaction is this one now. What is one recipient too much, since others were faster, is taken all the same.
    pub(super) fn keep(&mut self, submission: &Submission) {
        if self.room.is_some() {
            self.take(kept(submission).saturating_sub(OWN));
        }
    }

    /// There is no transaction.
    pub(super) fn give_back(&mut self) {
        self.take(0);
    }

    fn take(&mut self, octets: usize) {
        let Some(RecipientRoom(pool)) = &self.room else { return };
        let before = std::mem::replace(&mut self.taken, octets);
        pool.taken.fetch_add(octets, Ordering::Relaxed);
        pool.taken.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn kept(submission: &Submission) -> usize {
    let recipients = submission.recipients.iter();
    recipients.fold(submission.envid.as_ref().map_or(0, String::len), |sum, (path, dsn)| {
        sum.saturating_add(of_recipient(path, dsn))
    })
}

fn of_recipient(path: &ForwardPath, dsn: &RecipientDsn) -> usize {
    let path = match path {
        ForwardPath::Postmaster => 0,
        ForwardPath::Mailbox(mailbox) => mailbox.as_str().len(),
    };
    let orcpt = dsn.orcpt.as_ref().map_or(0, String::len);
    PLACE.saturating_add(path).saturating_add(orcpt)
}

/// What each transaction has for itself, whatever others do: some 20 recipients.
const OWN: usize = 4 * 1024;
/// A place in the list, which is up to twice as long as it is full, and what two texts cost beside their octets.
const PLACE: usize = 160;
/// The longest mailbox, once as it is and once as ORCPT. As many as a transaction may have always fit; only recipients
/// that are longer on average, as none in earnest are, do not (ORCPT may have 500 octets, RFC 3461 §4.2).
const LONG_RECIPIENT: usize = PLACE + 254 + 7 + 254;
/// The longest one (RFC 3461 §4.4).
const ENVID: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::path::{Mailbox, ReversePath};

    fn submission(recipients: usize) -> Submission {
        Submission {
            reverse_path: ReversePath::Null,
            recipients: vec![recipient(); recipients],
            ret: None,
            envid: Some("x".repeat(ENVID)),
            smtputf8: false,
        }
    }

    /// As long as one may be on average.
    fn recipient() -> (ForwardPath, RecipientDsn) {
        let label = "b".repeat(63);
        let mailbox = format!("{}@{label}.{label}.{}", "a".repeat(64), "c".repeat(61));
        assert_eq!(mailbox.len(), 254);
        let dsn = RecipientDsn { notify: None, orcpt: Some(format!("rfc822;{mailbox}")) };
        (ForwardPath::Mailbox(Mailbox::parse(&mailbox).unwrap()), dsn)
    }

    fn has_room(share: &Share, recipients: usize) -> bool {
        let (path, dsn) = recipient();
        share.has_room(&submission(recipients), (&path, &dsn), 100)
    }

    #[test]
    fn a_hundred_of_the_longest_recipients_fit_and_no_octet_more() {
        let share = Share::of(Some(RecipientRoom::new(usize::MAX)));
        assert!(has_room(&share, 99) && !has_room(&share, 100));
        let (path, mut dsn) = recipient();
        dsn.orcpt.as_mut().unwrap().push('d');
        assert!(!share.has_room(&submission(99), (&path, &dsn), 100));
    }

    #[test]
    fn strangers_share_what_goes_beyond_their_own_and_get_it_back() {
        let room = RecipientRoom::new(20 * LONG_RECIPIENT);
        let [mut one, mut other] = [(); 2].map(|()| Share::of(Some(room.clone())));
        one.keep(&submission(25));
        assert!(!has_room(&other, 20), "the first has most of it");
        other.keep(&submission(4));
        assert!(has_room(&other, 4), "what is its own it has in any case");
        one.give_back();
        assert!(has_room(&other, 20));
        one.keep(&submission(25));
        drop(one);
        assert!(has_room(&other, 20));
        drop(other);
        assert_eq!(room.0.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn recipients_of_our_own_clients_are_not_counted() {
        let mut share = Share::of(None);
        share.keep(&submission(1000));
        assert!(has_room(&share, 1000));
    }
}
