// SPDX-License-Identifier: GPL-2.0

//! Which copy to read.
//!
//! The rules are those of `read_balance()` in raid1.c and raid10.c. Both first settle whether there is a choice at all
//! ([`read_order`]): where copies may differ, every read of a sector must come from the same one. Unlike C md 7.2's
//! raid1, a member that is not recovered that far is not read then either.

use super::{Clear, Place, Reads};
use crate::policy::FailFast;
use crate::units::{Sector, SectorRange, Sectors};

/// A copy that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which copy.
    pub place: Place,
    /// Where the request begins in the member's data.
    pub start: Sector,
    /// Its data is valid below this; [`Sector::MAX`] when the member is in sync.
    pub valid_below: Sector,
    /// The first run of bad blocks in the request, in the member's data.
    pub bad: Option<SectorRange>,
    /// Whether it is read like any other. raid10 does not ask.
    pub reads: Reads,
    /// How it moves.
    pub media: Media,
    /// Requests in flight to the member.
    pub in_flight: u32,
    /// Where its last request ended.
    pub head: Sector,
    /// What it was read for lately. Only raid1 asks.
    pub stream: Stream,
}

/// What moves when a member is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A head: distance costs time.
    Rotating,
    /// Nothing.
    Solid {
        /// The length at which it works best (`io_opt`); 0 when unknown.
        optimal: Sectors,
    },
}

impl Media {
    const fn is_solid(self) -> bool {
        matches!(self, Self::Solid { .. })
    }
}

/// The sequential reads that a member has served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    start: Sector,
    next: Sector,
}

impl Stream {
    /// No read so far.
    pub const NONE: Self = Self {
        start: Sector::MAX,
        next: Sector::ZERO,
    };

    /// The stream after a read of `length` at `start`.
    #[must_use]
    pub fn after(self, start: Sector, length: Sectors) -> Self {
        let begin = if self.next == start {
            self.start.min(start)
        } else {
            start
        };
        Self {
            start: begin,
            next: start.saturating_add(length),
        }
    }

    /// Whether it is as long as the member likes them to be.
    fn is_at_least(self, optimal: Sectors) -> bool {
        let served = self.next.distance_from(self.start);
        !optimal.is_zero() && served.is_some_and(|served| served >= optimal)
    }
}

/// Whether there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOrder {
    /// None: the first copy that can be read is.
    First,
    /// Any copy will do.
    Any,
}

/// Whether another node of a cluster resyncs what is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteResync {
    /// It does not.
    Elsewhere,
    /// It does.
    Here,
}

/// Whether a read up to `end` has a choice, with the array resynced up to `resynced`.
pub fn read_order(end: Sector, resynced: Sector, remote: RemoteResync) -> ReadOrder {
    if end > resynced || remote == RemoteResync::Here {
        ReadOrder::First
    } else {
        ReadOrder::Any
    }
}

/// The copy to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which copy.
    pub place: Place,
    /// How much of the request to read from it, never zero; the rest is another request.
    pub length: Sectors,
    /// Whether there is another copy to turn to, so that the device may give up early.
    pub fail_fast: FailFast,
}

impl Candidate {
    fn clear(&self, length: Sectors) -> Clear {
        Clear::of(self.start, length, self.bad)
    }

    fn is_valid(&self, length: Sectors) -> bool {
        self.start
            .checked_add(length)
            .is_some_and(|end| end <= self.valid_below)
    }

    fn is_whole(&self, length: Sectors) -> bool {
        self.is_valid(length) && self.clear(length) == Clear::All
    }

    const fn distance(&self) -> u64 {
        self.start.get().abs_diff(self.head.get())
    }

    const fn choice(&self, length: Sectors) -> Choice {
        Choice {
            place: self.place,
            length,
            fail_fast: FailFast::No,
        }
    }
}

/// Chooses a copy for a raid1: `candidates` are the main members by slot, then the replacements. `None`: no copy of the
/// first sector can be read.
pub fn choose_raid1(
    length: Sectors,
    order: ReadOrder,
    candidates: impl Iterator<Item = Candidate> + Clone,
) -> Option<Choice> {
    if order == ReadOrder::First {
        return first(length, candidates);
    }
    let is_normal = |candidate: &Candidate| candidate.reads == Reads::Normal;
    let normal = candidates.clone().filter(is_normal);
    let slow = candidates.filter(move |candidate| !is_normal(candidate));
    best_of_whole(length, normal.clone())
        .or_else(|| longest(length, normal))
        .or_else(|| longest(length, slow))
}

/// How the copies of a raid10 are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// All near: an idle member is as good as the closest.
    Near,
    /// All far or offset: the lowest address is fastest.
    Far,
    /// Some near, some far: an idle member first, then the lowest address.
    NearAndFar,
}

/// Chooses a copy for a raid10: `candidates` are the copies in the order of the layout, each after
/// [`prefer_replacement`]. `None`: no copy of the first sector can be read.
pub fn choose_raid10(
    length: Sectors,
    order: ReadOrder,
    copies: Copies,
    candidates: impl Iterator<Item = Candidate> + Clone,
) -> Option<Choice> {
    if order == ReadOrder::First {
        return first(length, candidates);
    }
    let cost = |candidate: &Candidate| match copies {
        Copies::Near | Copies::NearAndFar if candidate.in_flight == 0 => 0,
        Copies::Near => candidate.distance(),
        Copies::Far | Copies::NearAndFar => candidate.start.get(),
    };
    let (mut able, mut solid, mut cheapest) = (0_u32, None, None);
    // One walk, as finding where a copy lies is what costs.
    let whole = candidates
        .clone()
        .filter(|candidate| candidate.is_whole(length));
    for candidate in whole {
        able = able.saturating_add(1);
        lower(&mut cheapest, cost(&candidate), candidate.place);
        if candidate.media.is_solid() {
            lower(&mut solid, candidate.in_flight.into(), candidate.place);
        }
    }
    solid
        .or(cheapest)
        .map(|(_, place)| among(able, place, length))
        .or_else(|| longest(length, candidates))
}

/// Of the two members of one place in a raid10, the one to read: the replacement as soon as it is recovered that far.
pub fn prefer_replacement(
    length: Sectors,
    main: Option<Candidate>,
    replacement: Option<Candidate>,
) -> Option<Candidate> {
    replacement
        .filter(|replacement| replacement.is_valid(length))
        .or(main)
}

/// The first copy that can be read. Where an earlier one has bad blocks, nothing beyond them is read from a later one.
fn first(length: Sectors, candidates: impl Iterator<Item = Candidate>) -> Option<Choice> {
    let mut length = length;
    for candidate in candidates {
        if !candidate.is_valid(length) {
            continue;
        }
        match candidate.clear(length) {
            Clear::NotBefore(bad) => length = bad,
            clear => return Some(candidate.choice(clear.usable(length))),
        }
    }
    None
}

/// The copy with the most to read before its first bad block; the first of equals.
fn longest(length: Sectors, candidates: impl Iterator<Item = Candidate>) -> Option<Choice> {
    let mut best: Option<Choice> = None;
    for candidate in candidates.filter(|candidate| candidate.is_valid(length)) {
        let usable = candidate.clear(length).usable(length);
        if usable > best.map_or(Sectors::ZERO, |best| best.length) {
            best = Some(candidate.choice(usable));
        }
    }
    best
}

/// The best of the copies that are whole: the one that goes on with a stream; else, with an idle member or solid media
/// about, the one with the least to do; else the closest.
fn best_of_whole(length: Sectors, candidates: impl Iterator<Item = Candidate>) -> Option<Choice> {
    let mut seen = Survey::NOTHING;
    for candidate in candidates.filter(|candidate| candidate.is_whole(length)) {
        seen.add(&candidate);
    }
    Some(among(seen.able, seen.best()?, length))
}

/// The choice of one of so many.
const fn among(able: u32, place: Place, length: Sectors) -> Choice {
    Choice {
        place,
        length,
        fail_fast: FailFast::Yes.among(able),
    }
}

/// Keeps the first of those with the lowest cost.
fn lower(best: &mut Option<(u64, Place)>, cost: u64, place: Place) {
    if best.is_none_or(|(least, _)| cost < least) {
        *best = Some((cost, place));
    }
}

/// What one walk over the copies finds; every read takes it, so there is only one.
struct Survey {
    /// How many there are.
    able: u32,
    /// Whether any is on solid media.
    solid: bool,
    /// The first of those with the least to do.
    least: Option<(u64, Place)>,
    /// The first of the closest.
    nearest: Option<(u64, Place)>,
    /// The first that should go on with its stream.
    streaming: Option<Place>,
    /// The last that could.
    next: Option<Place>,
}

impl Survey {
    const NOTHING: Self = Self {
        able: 0,
        solid: false,
        least: None,
        nearest: None,
        streaming: None,
        next: None,
    };

    fn add(&mut self, candidate: &Candidate) {
        self.able = self.able.saturating_add(1);
        self.solid |= candidate.media.is_solid();
        lower(&mut self.least, load(candidate).into(), candidate.place);
        lower(&mut self.nearest, candidate.distance(), candidate.place);
        if is_next(candidate) {
            self.next = Some(candidate.place);
            if self.streaming.is_none() && !may_hop(candidate) {
                self.streaming = Some(candidate.place);
            }
        }
    }

    fn best(&self) -> Option<Place> {
        let (load, least) = self.least?;
        match (self.streaming, self.next) {
            (Some(streaming), _) => Some(streaming),
            _ if load == 0 => Some(least),
            // Its stream is long enough to hop, but there is no idle member to hop to.
            (None, Some(next)) => Some(next),
            (None, None) if self.solid => Some(least),
            (None, None) => self.nearest.map(|(_, place)| place),
        }
    }
}

/// Whether the request is what the member was about to be read for.
fn is_next(candidate: &Candidate) -> bool {
    candidate.stream.next == candidate.start || candidate.head == candidate.start
}

/// Whether the member need not go on with its stream: a solid one hops after its optimal length.
fn may_hop(candidate: &Candidate) -> bool {
    match candidate.media {
        Media::Rotating => false,
        Media::Solid { optimal } => candidate.stream.is_at_least(optimal),
    }
}

/// The requests in flight, and one more for a member in the middle of a stream so that an idle one is preferred.
fn load(candidate: &Candidate) -> u32 {
    candidate
        .in_flight
        .saturating_add(u32::from(is_next(candidate)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Seat;
    use crate::units::Slot;

    const LENGTH: Sectors = Sectors::new(8);

    fn candidate(slot: u16) -> Candidate {
        Candidate {
            place: Place {
                slot: Slot::new(slot),
                seat: Seat::Main,
            },
            start: Sector::new(1000),
            valid_below: Sector::MAX,
            bad: None,
            reads: Reads::Normal,
            media: Media::Rotating,
            in_flight: 1,
            head: Sector::new(0),
            stream: Stream::NONE,
        }
    }

    fn bad(start: u64, length: u64) -> Option<SectorRange> {
        SectorRange::new(Sector::new(start), Sectors::new(length))
    }

    fn raid1(order: ReadOrder, candidates: &[Candidate]) -> Option<(u16, u64)> {
        choose_raid1(LENGTH, order, candidates.iter().copied())
            .map(|choice| (choice.place.slot.get(), choice.length.get()))
    }

    fn raid10(copies: Copies, candidates: &[Candidate]) -> Option<(u16, u64)> {
        choose_raid10(LENGTH, ReadOrder::Any, copies, candidates.iter().copied())
            .map(|choice| (choice.place.slot.get(), choice.length.get()))
    }

    #[test]
    fn what_is_not_resynced_is_read_from_one_place() {
        let order = |end, resynced| {
            read_order(
                Sector::new(end),
                Sector::new(resynced),
                RemoteResync::Elsewhere,
            )
        };
        assert_eq!(order(8, 8), ReadOrder::Any);
        assert_eq!(order(9, 8), ReadOrder::First);
        let remote = read_order(Sector::new(8), Sector::MAX, RemoteResync::Here);
        assert_eq!(remote, ReadOrder::First);

        let near = Candidate {
            head: Sector::new(1000),
            in_flight: 0,
            ..candidate(1)
        };
        assert_eq!(raid1(ReadOrder::First, &[candidate(0), near]), Some((0, 8)));
        let stale = Candidate {
            valid_below: Sector::new(1007),
            ..candidate(0)
        };
        assert_eq!(raid1(ReadOrder::First, &[stale, near]), Some((1, 8)));
    }

    #[test]
    fn bad_blocks_of_the_first_copy_bound_the_others() {
        let holed = Candidate {
            bad: bad(996, 7),
            ..candidate(0)
        };
        assert_eq!(
            raid1(ReadOrder::First, &[holed, candidate(1)]),
            Some((1, 3))
        );
        let later = Candidate {
            bad: bad(1002, 1),
            ..candidate(0)
        };
        assert_eq!(
            raid1(ReadOrder::First, &[later, candidate(1)]),
            Some((0, 2))
        );
        assert_eq!(raid1(ReadOrder::First, &[holed]), None);
    }

    #[test]
    fn heads_prefer_what_is_close_and_streams() {
        let close = Candidate {
            head: Sector::new(900),
            ..candidate(1)
        };
        assert_eq!(raid1(ReadOrder::Any, &[candidate(0), close]), Some((1, 8)));
        let streaming = Candidate {
            head: Sector::new(1000),
            in_flight: 9,
            ..candidate(0)
        };
        assert_eq!(raid1(ReadOrder::Any, &[close, streaming]), Some((0, 8)));
        let idle = Candidate {
            in_flight: 0,
            ..candidate(2)
        };
        assert_eq!(
            raid1(ReadOrder::Any, &[candidate(0), close, idle]),
            Some((2, 8))
        );
    }

    #[test]
    fn solid_members_share_by_load() {
        let optimal = Sectors::new(64);
        let solid = |slot, in_flight| Candidate {
            media: Media::Solid { optimal },
            in_flight,
            ..candidate(slot)
        };
        assert_eq!(
            raid1(ReadOrder::Any, &[solid(0, 3), solid(1, 2)]),
            Some((1, 8))
        );
        let short = Stream::NONE.after(Sector::new(992), LENGTH);
        let long = Stream::NONE.after(Sector::new(1000 - 64), optimal);
        let streaming = |stream| Candidate {
            stream,
            ..solid(0, 0)
        };
        assert_eq!(
            raid1(ReadOrder::Any, &[solid(1, 0), streaming(short)]),
            Some((0, 8))
        );
        assert_eq!(
            raid1(ReadOrder::Any, &[streaming(long), solid(1, 0)]),
            Some((1, 8))
        );
        assert_eq!(
            raid1(ReadOrder::Any, &[streaming(long), solid(1, 1)]),
            Some((0, 8))
        );
    }

    #[test]
    fn bad_blocks_and_write_mostly_are_last_resorts() {
        let holed = |slot, start| Candidate {
            bad: bad(start, 1),
            ..candidate(slot)
        };
        let slow = Candidate {
            reads: Reads::WriteMostly,
            in_flight: 0,
            ..candidate(2)
        };
        assert_eq!(raid1(ReadOrder::Any, &[slow, candidate(0)]), Some((0, 8)));
        assert_eq!(
            raid1(ReadOrder::Any, &[holed(0, 1002), holed(1, 1005), slow]),
            Some((1, 5))
        );
        assert_eq!(raid1(ReadOrder::Any, &[holed(0, 1000), slow]), Some((2, 8)));
        let slow_holed = Candidate {
            bad: bad(1003, 1),
            ..slow
        };
        assert_eq!(raid1(ReadOrder::Any, &[slow_holed]), Some((2, 3)));
        let stale = Candidate {
            valid_below: Sector::new(1000),
            ..candidate(0)
        };
        assert_eq!(raid1(ReadOrder::Any, &[stale]), None);
    }

    #[test]
    fn devices_may_give_up_early_only_with_another_copy() {
        let fail_fast = |candidates: &[Candidate]| {
            choose_raid1(LENGTH, ReadOrder::Any, candidates.iter().copied())
                .map(|choice| choice.fail_fast)
        };
        assert_eq!(
            fail_fast(&[candidate(0), candidate(1)]),
            Some(FailFast::Yes)
        );
        assert_eq!(fail_fast(&[candidate(0)]), Some(FailFast::No));
        let holed = Candidate {
            bad: bad(1004, 1),
            ..candidate(1)
        };
        assert_eq!(fail_fast(&[candidate(0), holed]), Some(FailFast::No));
    }

    #[test]
    fn raid10_goes_by_its_layout() {
        let at = |slot, start, head, in_flight| Candidate {
            start: Sector::new(start),
            head: Sector::new(head),
            in_flight,
            ..candidate(slot)
        };
        let low = at(0, 1000, 1000, 1);
        let idle = at(1, 9000, 0, 0);
        assert_eq!(raid10(Copies::Near, &[low, idle]), Some((0, 8)));
        assert_eq!(
            raid10(Copies::Near, &[at(0, 1000, 0, 1), idle]),
            Some((1, 8))
        );
        assert_eq!(raid10(Copies::Far, &[idle, low]), Some((0, 8)));
        assert_eq!(raid10(Copies::NearAndFar, &[low, idle]), Some((1, 8)));
        let solid = Candidate {
            media: Media::Solid {
                optimal: Sectors::ZERO,
            },
            ..at(2, 50, 0, 7)
        };
        assert_eq!(raid10(Copies::Far, &[low, idle, solid]), Some((2, 8)));
        let holed = Candidate {
            bad: bad(1004, 1),
            ..low
        };
        assert_eq!(raid10(Copies::Near, &[holed]), Some((0, 4)));
    }

    #[test]
    fn replacements_are_read_once_recovered() {
        let main = candidate(0);
        let place = Place {
            seat: Seat::Replacement,
            ..main.place
        };
        let replacement = Candidate {
            place,
            valid_below: Sector::new(1008),
            ..main
        };
        assert_eq!(
            prefer_replacement(LENGTH, Some(main), Some(replacement)),
            Some(replacement)
        );
        let behind = Candidate {
            valid_below: Sector::new(1007),
            ..replacement
        };
        assert_eq!(
            prefer_replacement(LENGTH, Some(main), Some(behind)),
            Some(main)
        );
        assert_eq!(prefer_replacement(LENGTH, None, Some(behind)), None);
    }
}
