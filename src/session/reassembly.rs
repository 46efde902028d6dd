//! Datagram fragments (RFC 1002 §5.3.1, §5.3.3).
//!
//! No sender in the wild is known to fragment, so a rare feature meets every forger's input: all of it is bounded, and
//! pieces that contradict each other are dropped rather than guessed at. Pieces may come in any order.
//!
//! RFC 1002 can be read in three ways about PACKET_OFFSET, and in two about the names, and all of them are accepted:
//! the offset counts the names and the data before the piece (the packet's diagram), the data alone, or what is still
//! to come (the formula of §5.3.1); later pieces repeat the names (the diagram) or not (the formula).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::wire::datagram::{Fragment, Header, MsgType, Place};

/// The datagrams of which some pieces have come, and others not.
///
/// Call [`Self::handle_input`] with each fragment, and [`Self::handle_timeout`] when [`Self::poll_timeout`] says so;
/// extra calls are harmless.
#[derive(Debug, Default)]
pub struct Reassembly {
    /// In the order of their first pieces' arrival, so the first one expires first.
    pending: Vec<Pending>,
    /// Given up since [`Self::handle_timeout`] last told.
    expired: usize,
    /// Since when there is something to tell.
    untold_since: Option<Instant>,
}

/// What became of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Kept, until the rest of its datagram comes.
    Pending,
    /// The last one missing: the UDP payload of the datagram as if it had come in one piece.
    Complete(Vec<u8>),
    /// Dropped, together with all that was kept of its datagram where the pieces contradict each other.
    Dropped(Reason),
}

/// Why a fragment was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Pieces cover the same bytes twice, or go past DGM_LENGTH.
    Overlap,
    /// Pieces have as many bytes as DGM_LENGTH says, and still leave some out.
    Gap,
    /// Pieces of one DGM_ID disagree about MSG_TYPE, DGM_LENGTH or the names, or two claim the same place.
    Contradiction,
    /// The piece holds no data.
    Empty,
    /// More than [`Reassembly::MAX_PIECES`] pieces.
    TooManyPieces,
    /// The source has [`Reassembly::MAX_PER_SOURCE`] unfinished datagrams already.
    SourceLimit,
    /// All sources together have [`Reassembly::MAX_PENDING`] unfinished datagrams, or [`Reassembly::MAX_BYTES`] of them.
    Limit,
}

impl Reason {
    /// Whether a bound was met, rather than a rule broken.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        match self {
            Self::Overlap | Self::Gap | Self::Contradiction | Self::Empty => false,
            Self::TooManyPieces | Self::SourceLimit | Self::Limit => true,
        }
    }
}

impl Reassembly {
    /// FRAGMENT_TO: how long the first piece to come waits for the others (RFC 1002 §6).
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// Unfinished datagrams of one source address.
    pub const MAX_PER_SOURCE: usize = 4;
    /// Unfinished datagrams in all.
    pub const MAX_PENDING: usize = 256;
    /// Bytes of unfinished datagrams in all.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// Pieces of one datagram. RFC 1002 makes two at most.
    pub const MAX_PIECES: usize = 8;

    /// Nothing pending.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a fragment that came from the address `source`: that of the packet, never the one in the header.
    pub fn handle_input(&mut self, now: Instant, source: IpAddr, fragment: &Fragment<'_>) -> Verdict {
        self.expire(now);
        if fragment.body.is_empty() {
            return Verdict::Dropped(Reason::Empty);
        }
        let known = self.pending.iter().position(|pending| pending.is_of(source, fragment));
        if let Err(reason) = self.check_limits(source, fragment, known.is_some()) {
            return Verdict::Dropped(reason);
        }
        let index = known.unwrap_or_else(|| {
            self.pending.push(Pending::new(now, source, fragment));
            self.pending.len().saturating_sub(1)
        });
        let progress = self.pending.get_mut(index).map_or(Ok(None), |pending| pending.take(fragment));
        let verdict = match progress {
            Ok(None) => return Verdict::Pending,
            Ok(Some(whole)) => Verdict::Complete(whole),
            Err(reason) => Verdict::Dropped(reason),
        };
        self.pending.remove(index);
        verdict
    }

    /// Gives up the datagrams whose time has run out, and says how many were since the last call.
    pub fn handle_timeout(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.untold_since = None;
        std::mem::take(&mut self.expired)
    }

    /// When [`Self::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = || self.pending.first().and_then(|pending| pending.since.checked_add(Self::TIMEOUT));
        self.untold_since.or_else(next)
    }

    fn expire(&mut self, now: Instant) {
        let before = self.pending.len();
        self.pending.retain(|pending| now.saturating_duration_since(pending.since) < Self::TIMEOUT);
        let expired = before.saturating_sub(self.pending.len());
        if expired > 0 {
            self.expired = self.expired.saturating_add(expired);
            self.untold_since.get_or_insert(now);
        }
    }

    fn check_limits(&self, source: IpAddr, fragment: &Fragment<'_>, known: bool) -> Result<(), Reason> {
        let of_source = self.pending.iter().filter(|pending| pending.source == source).count();
        let bytes = self.pending.iter().map(Pending::bytes).fold(fragment.body.len(), usize::saturating_add);
        if bytes > Self::MAX_BYTES || (!known && self.pending.len() >= Self::MAX_PENDING) {
            Err(Reason::Limit)
        } else if !known && of_source >= Self::MAX_PER_SOURCE {
            Err(Reason::SourceLimit)
        } else {
            Ok(())
        }
    }
}

/// One unfinished datagram.
#[derive(Debug)]
struct Pending {
    since: Instant,
    source: IpAddr,
    /// Of the piece that came first; all others must agree.
    header: Header,
    msg_type: MsgType,
    dgm_length: u16,
    first: Option<First>,
    later: Vec<Later>,
}

/// The piece with the names.
#[derive(Debug)]
struct First {
    names_length: usize,
    body: Vec<u8>,
}

/// A piece behind it.
#[derive(Debug, PartialEq, Eq)]
struct Later {
    offset: usize,
    more: bool,
    body: Vec<u8>,
}

/// A reading of PACKET_OFFSET in a later piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Bytes of names and data before the piece.
    NamesAndData,
    /// Bytes of data before the piece.
    Data,
    /// Bytes of data from the piece on.
    Remaining,
}

impl Pending {
    fn new(now: Instant, source: IpAddr, fragment: &Fragment<'_>) -> Self {
        let &Fragment { header, msg_type, dgm_length, .. } = fragment;
        Self { since: now, source, header, msg_type, dgm_length, first: None, later: Vec::new() }
    }

    fn is_of(&self, source: IpAddr, fragment: &Fragment<'_>) -> bool {
        self.source == source && self.header.dgm_id == fragment.header.dgm_id
    }

    fn bytes(&self) -> usize {
        let later = self.later.iter().map(|piece| piece.body.len());
        later.fold(self.first.as_ref().map_or(0, |first| first.body.len()), usize::saturating_add)
    }

    /// Adds a piece; the whole payload when it was the last.
    fn take(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, Reason> {
        if self.msg_type != fragment.msg_type || self.dgm_length != fragment.dgm_length {
            return Err(Reason::Contradiction);
        }
        let body = fragment.body.to_vec();
        let offset = usize::from(fragment.packet_offset);
        match fragment.place {
            Place::First { names_length } => match &self.first {
                None => self.first = Some(First { names_length, body }),
                // The same packet, heard twice.
                Some(first) if first.body == body => {}
                Some(_) => return Err(Reason::Contradiction),
            },
            Place::Middle => self.take_later(Later { offset, more: true, body })?,
            Place::Last => self.take_later(Later { offset, more: false, body })?,
        }
        self.join()
    }

    fn take_later(&mut self, piece: Later) -> Result<(), Reason> {
        if self.later.contains(&piece) {
            return Ok(());
        }
        if self.later.iter().any(|other| other.offset == piece.offset || !(other.more || piece.more)) {
            return Err(Reason::Contradiction);
        }
        // The first piece makes one more.
        if self.later.len().saturating_add(1) >= Reassembly::MAX_PIECES {
            return Err(Reason::TooManyPieces);
        }
        self.later.push(piece);
        Ok(())
    }

    /// The whole payload, if all of it is there.
    fn join(&self) -> Result<Option<Vec<u8>>, Reason> {
        let Some(first) = &self.first else { return Ok(None) };
        let Some(missing) = usize::from(self.dgm_length).checked_sub(first.body.len()) else {
            return Err(Reason::Overlap);
        };
        let pieces: Vec<(&Later, &[u8])> =
            self.later.iter().map(|piece| (piece, first.without_names(&piece.body))).collect();
        if pieces.iter().any(|(_, data)| data.is_empty()) {
            return Err(Reason::Empty);
        }
        let there = pieces.iter().map(|(_, data)| data.len()).fold(0, usize::saturating_add);
        if there > missing {
            return Err(Reason::Overlap);
        }
        if there < missing || pieces.is_empty() {
            return Ok(None);
        }
        let readings = [Reading::NamesAndData, Reading::Data, Reading::Remaining];
        let Some(ordered) = readings.into_iter().find_map(|reading| self.tile(first, &pieces, reading))
        else {
            return Err(self.conflict(first, &pieces));
        };
        Ok(Some(self.emit(first, &ordered)))
    }

    /// The data of the pieces in order, if under this reading each begins where the one before it ends.
    fn tile<'p>(
        &self,
        first: &First,
        pieces: &[(&Later, &'p [u8])],
        reading: Reading,
    ) -> Option<Vec<&'p [u8]>> {
        let mut placed = pieces
            .iter()
            .map(|(piece, data)| Some((self.position(first, piece.offset, reading)?, piece.more, *data)))
            .collect::<Option<Vec<_>>>()?;
        placed.sort_by_key(|(position, ..)| *position);
        let end = usize::from(self.dgm_length);
        let mut next = first.body.len();
        for (position, more, data) in &placed {
            if *position != next {
                return None;
            }
            next = next.checked_add(data.len())?;
            if *more == (next == end) {
                return None;
            }
        }
        (next == end).then(|| placed.into_iter().map(|(.., data)| data).collect())
    }

    /// Where a piece lies, counted from the first byte of the names.
    fn position(&self, first: &First, offset: usize, reading: Reading) -> Option<usize> {
        match reading {
            Reading::NamesAndData => Some(offset),
            Reading::Data => offset.checked_add(first.names_length),
            Reading::Remaining => usize::from(self.dgm_length).checked_sub(offset),
        }
    }

    /// Why pieces of the right length do not fit, judged by the reading that makes most sense.
    fn conflict(&self, first: &First, pieces: &[(&Later, &[u8])]) -> Reason {
        let mut placed: Vec<_> = pieces.iter().map(|(piece, data)| (piece.offset, data.len())).collect();
        placed.sort_unstable();
        let mut next = first.body.len();
        for (position, length) in placed {
            match position.cmp(&next) {
                std::cmp::Ordering::Less => return Reason::Overlap,
                std::cmp::Ordering::Greater => return Reason::Gap,
                std::cmp::Ordering::Equal => next = next.saturating_add(length),
            }
        }
        // They fit, but a piece in the middle says it is the last, or the last one that more follow.
        Reason::Contradiction
    }

    fn emit(&self, first: &First, later: &[&[u8]]) -> Vec<u8> {
        let body = [&[first.body.as_slice()], later].concat().concat();
        let header = Header { flags: self.header.flags.unfragmented(), ..self.header };
        let &Self { msg_type, dgm_length, .. } = self;
        let whole =
            Fragment { header, msg_type, dgm_length, packet_offset: 0, place: Place::Last, body: &body };
        let mut out = Vec::new();
        whole.emit(&mut out);
        out
    }
}

impl First {
    /// The data of a later piece, whether it repeats the names of this one or not.
    fn without_names<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        self.body.get(..self.names_length).and_then(|names| body.strip_prefix(names)).unwrap_or(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::datagram::{Datagram, Direct, Flags};
    use crate::wire::mailslot::MailslotWrite;
    use crate::wire::messenger::Text;
    use crate::wire::vectors;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 30));

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    /// The UDP payloads of a scenario, in the order of the file.
    fn scenario(label: &str) -> Vec<Vec<u8>> {
        vectors::vectors(vectors::FRAGMENTS, label)
    }

    fn feed(reassembly: &mut Reassembly, now: Instant, payload: &[u8]) -> Verdict {
        match Datagram::parse(payload) {
            Ok(Datagram::Fragment(fragment)) => reassembly.handle_input(now, SOURCE, &fragment),
            other => panic!("no fragment: {other:?}"),
        }
    }

    fn verdicts(label: &str) -> Vec<Verdict> {
        let (mut reassembly, now) = (Reassembly::new(), start());
        scenario(label).iter().map(|payload| feed(&mut reassembly, now, payload)).collect()
    }

    /// What every complete scenario carries.
    fn assert_carries_the_message(whole: &[u8]) {
        let Ok(Datagram::Direct(direct)) = Datagram::parse(whole) else { panic!("not whole") };
        assert!(!direct.length_mismatch());
        let text = Text::parse(MailslotWrite::parse(direct.user_data).unwrap().data).unwrap();
        assert_eq!(
            (text.from, text.to, text.text),
            (b"BIG".as_slice(), b"NBLAB".as_slice(), [b'F'; 600].as_slice())
        );
    }

    #[test]
    fn every_reading_of_the_rfc_completes() {
        for label in [
            "frag2: names only in first",
            "frag2 with names replicated",
            "offset counts user data only",
            "RFC pseudo-code literal offset",
            "reversed order",
            "three fragments",
        ] {
            let verdicts = verdicts(label);
            let (last, before) = verdicts.split_last().unwrap();
            assert!(before.iter().all(|verdict| *verdict == Verdict::Pending), "{label}: {before:?}");
            let Verdict::Complete(whole) = last else { panic!("{label}: {last:?}") };
            assert_carries_the_message(whole);
        }
    }

    #[test]
    fn three_pieces_complete_in_any_order() {
        let pieces = scenario("three fragments");
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut reassembly, now) = (Reassembly::new(), start());
            let last = order.map(|piece| feed(&mut reassembly, now, &pieces[piece])).into_iter().last();
            let Some(Verdict::Complete(whole)) = last else { panic!("{order:?}: {last:?}") };
            assert_carries_the_message(&whole);
            assert_eq!(reassembly.poll_timeout(), None, "nothing is left");
        }
    }

    #[test]
    fn an_overlap_and_a_gap_are_dropped_by_name_and_forgotten() {
        for (label, reason) in [("overlap", Reason::Overlap), ("gap", Reason::Gap)] {
            assert_eq!(verdicts(label), [Verdict::Pending, Verdict::Dropped(reason)]);
        }
    }

    #[test]
    fn a_piece_whose_rest_never_comes_expires_after_two_seconds() {
        for label in ["only first fragment", "only second fragment"] {
            let (mut reassembly, now) = (Reassembly::new(), start());
            assert_eq!(feed(&mut reassembly, now, &scenario(label)[0]), Verdict::Pending);
            let timeout = reassembly.poll_timeout().unwrap();
            assert_eq!(timeout, now + Reassembly::TIMEOUT);
            assert_eq!(reassembly.handle_timeout(timeout - Duration::from_millis(1)), 0);
            assert_eq!(reassembly.handle_timeout(timeout), 1);
            assert_eq!((reassembly.poll_timeout(), reassembly.handle_timeout(timeout)), (None, 0));
        }
    }

    #[test]
    fn a_rest_that_comes_too_late_finds_nothing_and_the_loss_is_told() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let pieces = scenario("frag2: names only in first");
        assert_eq!(feed(&mut reassembly, now, &pieces[0]), Verdict::Pending);
        let late = now + Reassembly::TIMEOUT;
        assert_eq!(feed(&mut reassembly, late, &pieces[1]), Verdict::Pending);
        assert_eq!(reassembly.poll_timeout(), Some(late), "the loss is to be told at once");
        assert_eq!(reassembly.handle_timeout(late), 1);
        assert_eq!(reassembly.poll_timeout(), Some(late + Reassembly::TIMEOUT));
    }

    #[test]
    fn a_piece_heard_on_two_interfaces_counts_once() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let pieces = scenario("three fragments");
        for piece in [0, 0, 1, 1] {
            assert_eq!(feed(&mut reassembly, now, &pieces[piece]), Verdict::Pending);
        }
        assert!(matches!(feed(&mut reassembly, now, &pieces[2]), Verdict::Complete(_)));
    }

    #[test]
    fn pieces_of_other_sources_are_never_joined() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let pieces = scenario("frag2: names only in first");
        assert_eq!(feed(&mut reassembly, now, &pieces[0]), Verdict::Pending);
        let Ok(Datagram::Fragment(rest)) = Datagram::parse(&pieces[1]) else { panic!() };
        let forger = IpAddr::from([192, 0, 2, 66]);
        assert_eq!(reassembly.handle_input(now, forger, &rest), Verdict::Pending);
    }

    #[test]
    fn a_second_first_piece_with_other_bytes_drops_both() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let mut payload = scenario("only first fragment").remove(0);
        assert_eq!(feed(&mut reassembly, now, &payload), Verdict::Pending);
        *payload.last_mut().unwrap() = b'G';
        assert_eq!(feed(&mut reassembly, now, &payload), Verdict::Dropped(Reason::Contradiction));
        assert_eq!(reassembly.poll_timeout(), None);
    }

    fn numbered(dgm_id: u16, packet_offset: u16, place: Place, body: &[u8]) -> Fragment<'_> {
        let flags = Flags(if place == Place::Last { 0 } else { 1 });
        let header = Header { flags, dgm_id, source_ip: [192, 0, 2, 30].into(), source_port: 138 };
        Fragment { header, msg_type: MsgType::DirectUnique, dgm_length: u16::MAX, packet_offset, place, body }
    }

    #[test]
    fn one_source_keeps_four_and_all_sources_256() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let from = |host: u8| IpAddr::from([192, 0, 2, host]);
        for id in 0..4 {
            let verdict = reassembly.handle_input(now, from(1), &numbered(id, 1, Place::Last, b"x"));
            assert_eq!(verdict, Verdict::Pending);
        }
        let fifth = numbered(4, 1, Place::Last, b"x");
        assert_eq!(reassembly.handle_input(now, from(1), &fifth), Verdict::Dropped(Reason::SourceLimit));
        for host in 2..=64 {
            for id in 0..4 {
                let verdict = reassembly.handle_input(now, from(host), &numbered(id, 1, Place::Last, b"x"));
                assert_eq!(verdict, Verdict::Pending);
            }
        }
        assert_eq!(reassembly.handle_input(now, from(65), &fifth), Verdict::Dropped(Reason::Limit));
        assert_eq!(reassembly.handle_timeout(now + Reassembly::TIMEOUT), 256);
        assert_eq!(reassembly.handle_input(now + Reassembly::TIMEOUT, from(65), &fifth), Verdict::Pending);
    }

    #[test]
    fn pieces_and_bytes_are_bounded() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let verdict =
            (1..=8).map(|n| reassembly.handle_input(now, SOURCE, &numbered(1, n, Place::Middle, b"x")));
        assert_eq!(verdict.last(), Some(Verdict::Dropped(Reason::TooManyPieces)));

        let body = vec![0; 60_000];
        let verdicts = (1..=18).map(|host| {
            reassembly.handle_input(now, IpAddr::from([192, 0, 2, host]), &numbered(1, 1, Place::Last, &body))
        });
        let verdicts: Vec<_> = verdicts.collect();
        assert!(verdicts[..17].iter().all(|verdict| *verdict == Verdict::Pending));
        assert_eq!(verdicts[17], Verdict::Dropped(Reason::Limit));
    }

    #[test]
    fn an_empty_piece_is_dropped() {
        let (mut reassembly, now) = (Reassembly::new(), start());
        let empty = numbered(1, 1, Place::Last, b"");
        assert_eq!(reassembly.handle_input(now, SOURCE, &empty), Verdict::Dropped(Reason::Empty));
    }

    #[test]
    fn a_whole_datagram_cut_anywhere_in_its_data_is_put_together_as_it_was() {
        let pieces = scenario("frag2: names only in first");
        let (mut reassembly, now) = (Reassembly::new(), start());
        let verdict = pieces.iter().map(|payload| feed(&mut reassembly, now, payload)).last();
        let Some(Verdict::Complete(whole)) = verdict else { panic!("{verdict:?}") };
        let Ok(Datagram::Direct(Direct { dgm_length, .. })) = Datagram::parse(&whole) else { panic!() };
        for cut in (14 + 69..whole.len()).step_by(37) {
            let (head, tail) = whole.split_at(cut);
            let mut first = head.to_vec();
            first[1] |= Flags::MORE.0;
            let mut last = whole[..14].to_vec();
            last[1] &= !Flags::FIRST.0;
            last[12..14].copy_from_slice(&u16::try_from(cut - 14).unwrap().to_be_bytes());
            last.extend(tail);
            assert_eq!(feed(&mut reassembly, now, &first), Verdict::Pending);
            assert_eq!(feed(&mut reassembly, now, &last), Verdict::Complete(whole.clone()), "cut at {cut}");
        }
        assert_eq!(usize::from(dgm_length), whole.len() - 14);
    }
}
