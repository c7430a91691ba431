// SPDX-License-Identifier: GPL-2.0

//! Which copy to read.
//!
//! The rules are those of `read_balance()` in raid1.c and raid10.c. Both first settle whether there is a choice at all
//! ([`read_order`]): where copies may differ, every read of a sector must come from the same one. Unlike C md 7.2's
//! raid1, a member that is not recovered that far is not read then either.

use super::{Clear, Place, Reads};
use crate::policy::FailFast;
use crate::units::{Sector, SectorRange, Sectors};

/// A copy that could be read. `C` is what the caller knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<C = Place> {
    /// Which copy.
    pub copy: C,
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
pub struct Choice<C = Place> {
    /// Which copy.
    pub copy: C,
    /// How much of the request to read from it, never zero; the rest is another request.
    pub length: Sectors,
    /// Whether there is another copy to turn to, so that the device may give up early.
    pub fail_fast: FailFast,
}

impl<C: Copy> Candidate<C> {
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

    const fn choice(&self, length: Sectors) -> Choice<C> {
        Choice {
            copy: self.copy,
            length,
            fail_fast: FailFast::No,
        }
    }
}

/// Chooses a copy for a raid1: `candidates` are the main members by slot, then the replacements. `None`: no copy of the
/// first sector can be read.
pub fn choose_raid1<C: Copy>(
    length: Sectors,
    order: ReadOrder,
    candidates: impl Iterator<Item = Candidate<C>> + Clone,
) -> Option<Choice<C>> {
    if order == ReadOrder::First {
        return first(length, candidates);
    }
    let is_normal = |candidate: &Candidate<C>| candidate.reads == Reads::Normal;
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
pub fn choose_raid10<C: Copy>(
    length: Sectors,
    order: ReadOrder,
    copies: Copies,
    candidates: impl Iterator<Item = Candidate<C>> + Clone,
) -> Option<Choice<C>> {
    if order == ReadOrder::First {
        return first(length, candidates);
    }
    let cost = |candidate: &Candidate<C>| match copies {
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
        lower(&mut cheapest, cost(&candidate), candidate.copy);
        if candidate.media.is_solid() {
            lower(&mut solid, candidate.in_flight.into(), candidate.copy);
        }
    }
    solid
        .or(cheapest)
        .map(|(_, copy)| among(able, copy, length))
        .or_else(|| longest(length, candidates))
}

/// Of the two members of one place in a raid10, the one to read: the replacement as soon as it is recovered that far.
pub fn prefer_replacement<C: Copy>(
    length: Sectors,
    main: Option<Candidate<C>>,
    replacement: Option<Candidate<C>>,
) -> Option<Candidate<C>> {
    replacement
        .filter(|replacement| replacement.is_valid(length))
        .or(main)
}

/// The first copy that can be read. Where an earlier one has bad blocks, nothing beyond them is read from a later one.
fn first<C: Copy>(
    length: Sectors,
    candidates: impl Iterator<Item = Candidate<C>>,
) -> Option<Choice<C>> {
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
fn longest<C: Copy>(
    length: Sectors,
    candidates: impl Iterator<Item = Candidate<C>>,
) -> Option<Choice<C>> {
    let mut best: Option<Choice<C>> = None;
    for candidate in candidates.filter(|candidate| candidate.is_valid(length)) {
        let usable = candidate.clear(length).usable(length);
        if usable > best.as_ref().map_or(Sectors::ZERO, |best| best.length) {
            best = Some(candidate.choice(usable));
        }
    }
    best
}

/// The best of the copies that are whole: the one that goes on with a stream; else, with an idle member or solid media
/// about, the one with the least to do; else the closest.
fn best_of_whole<C: Copy>(
    length: Sectors,
    candidates: impl Iterator<Item = Candidate<C>>,
) -> Option<Choice<C>> {
    let mut seen = Survey::NOTHING;
    for candidate in candidates.filter(|candidate| candidate.is_whole(length)) {
        seen.add(&candidate);
    }
    Some(among(seen.able, seen.best()?, length))
}

/// The choice of one of so many.
const fn among<C: Copy>(able: u32, copy: C, length: Sectors) -> Choice<C> {
    Choice {
        copy,
        length,
        fail_fast: FailFast::Yes.among(able),
    }
}

/// Keeps the first of those with the lowest cost.
fn lower<C: Copy>(best: &mut Option<(u64, C)>, cost: u64, copy: C) {
    if best.is_none_or(|(least, _)| cost < least) {
        *best = Some((cost, copy));
    }
}

/// What one walk over the copies finds; every read takes it, so there is only one.
struct Survey<C> {
    /// How many there are.
    able: u32,
    /// Whether any is on solid media.
    solid: bool,
    /// The first of those with the least to do.
    least: Option<(u64, C)>,
    /// The first of the closest.
    nearest: Option<(u64, C)>,
    /// The first that should go on with its stream.
    streaming: Option<C>,
    /// The last that could.
    next: Option<C>,
}

impl<C: Copy> Survey<C> {
    const NOTHING: Self = Self {
        able: 0,
        solid: false,
        least: None,
        nearest: None,
        streaming: None,
        next: None,
    };

    fn add(&mut self, candidate: &Candidate<C>) {
        self.able = self.able.saturating_add(1);
        self.solid |= candidate.media.is_solid();
        lower(&mut self.least, load(candidate).into(), candidate.copy);
        lower(&mut self.nearest, candidate.distance(), candidate.copy);
        if is_next(candidate) {
            self.next = Some(candidate.copy);
            if self.streaming.is_none() && !may_hop(candidate) {
                self.streaming = Some(candidate.copy);
            }
        }
    }

    fn best(&self) -> Option<C> {
        let (load, least) = self.least?;
        match (self.streaming, self.next) {
            (Some(streaming), _) => Some(streaming),
            _ if load == 0 => Some(least),
            // Its stream is long enough to hop, but there is no idle member to hop to.
            (None, Some(next)) => Some(next),
            (None, None) if self.solid => Some(least),
            (None, None) => self.nearest.map(|(_, copy)| copy),
        }
    }
}

/// Whether the request is what the member was about to be read for.
fn is_next<C: Copy>(candidate: &Candidate<C>) -> bool {
    candidate.stream.next == candidate.start || candidate.head == candidate.start
}

/// Whether the member need not go on with its stream: a solid one hops after its optimal length.
fn may_hop<C: Copy>(candidate: &Candidate<C>) -> bool {
    match candidate.media {
        Media::Rotating => false,
        Media::Solid { optimal } => candidate.stream.is_at_least(optimal),
    }
}

/// The requests in flight, and one more for a member in the middle of a stream so that an idle one is preferred.
fn load<C: Copy>(candidate: &Candidate<C>) -> u32 {
    candidate
        .in_flight
        .saturating_add(u32::from(is_next(candidate)))
}

#[cfg(test)]
mod tests;
