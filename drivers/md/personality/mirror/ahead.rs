// SPDX-License-Identifier: GPL-2.0

//! What comes next in a pass over a mirror, and which copies it is about.

use super::{
    barrier::{self, ResyncPass},
    resync::{Mode, WINDOW},
    walk::Located,
    Layout, Mirror, Side,
};
use crate::{array::live::Live, member::Health};
use kernel_ext::sync::gated::Entered;
use md_core::{
    bitmap::SyncAnswer,
    layout::{mirror::Placement, reshape::Raid10Step},
    mirror::route::{array_piece, member_piece, Bounds, Cursor, Piece, Route},
    state::{member::Place, pass::Action},
    units::{Sector, Sectors},
    words::mdstat::Reads,
};

/// What a pass does next, and may begin as soon as the writes there have ended.
pub(crate) struct Part {
    pub(super) pass: ResyncPass,
    pub(super) array: Sector,
    pub(super) sectors: u32,
    pub(super) target: Option<Place>,
    pub(super) share: Sectors,
}

/// Where a pass is, and how it may go on.
pub(crate) struct Ahead {
    /// What the pass is.
    pub(crate) action: Action,
    /// Where it is.
    pub(crate) cursor: Cursor,
    /// Where it ends, or is to pause.
    pub(crate) limit: Sector,
    /// The chunk of the bitmap: no request is in two. `Sectors::MAX` without one.
    pub(crate) chunk: Sectors,
}

/// What is next in a pass.
pub(crate) enum Upcoming {
    /// This; the pass is there then.
    Part(Part, Cursor),
    /// Nothing up to there.
    Skip(Cursor),
    /// Others write there, and must be let through first.
    Blocked(Sector),
    /// The end.
    End,
}

impl Mirror {
    /// What a pass goes over.
    pub(crate) fn route(layout: &Layout, action: Action) -> Route {
        match (layout, action) {
            (Layout::Raid10(_), Action::Recover) => Route::Members,
            _ => Route::Array,
        }
    }

    /// What comes next in a pass; `ask` knows what is to be done of the array.
    pub(crate) fn upcoming(
        live: &Entered<Live>,
        ahead: &Ahead,
        ask: impl FnMut(Sector) -> SyncAnswer,
    ) -> Upcoming {
        let Some(mirror) = live.personality().mirror() else {
            return Upcoming::End;
        };
        let bounds = Bounds {
            limit: ahead.limit,
            most: Sectors::new(u64::from(WINDOW)),
            unit: Sectors::new(u64::from(barrier::UNIT)).min(ahead.chunk),
        };
        let (layout, cursor) = (&mirror.layout, ahead.cursor);
        let piece = match Self::route(layout, ahead.action) {
            Route::Array => array_piece(layout, cursor, &bounds, ask),
            Route::Members => member_piece(layout, mirror.filling(), cursor, &bounds, ask),
        };
        let (array, length, target, next) = match piece {
            Piece::Do {
                array,
                length,
                target,
                next,
            } => (array, length, target, next),
            Piece::Skip { next } => return Upcoming::Skip(next),
            Piece::End => return Upcoming::End,
        };
        if !mirror.has_work(Mode::of(ahead.action), array, length, target) {
            // What no member of a raid1 has to give or to get here, none has further on.
            let behind = match layout {
                Layout::Raid1(_) => Cursor::new(ahead.limit),
                Layout::Raid10(_) => next,
            };
            return Upcoming::Skip(behind);
        }
        let Some(pass) = ResyncPass::announce(live, array) else {
            return Upcoming::Blocked(array);
        };
        let part = Part {
            pass,
            array,
            // It is at most a window.
            sectors: u32::try_from(length.get()).unwrap_or(WINDOW),
            target,
            share: cursor.counts(length),
        };
        Upcoming::Part(part, next)
    }

    /// What comes next in a reshape, whose step this is; `Blocked` or a part.
    pub(crate) fn upcoming_step(
        live: &Entered<Live>,
        step: &Raid10Step,
        cursor: Cursor,
    ) -> Upcoming {
        let (start, length) = (step.range.start(), step.range.len());
        let Some(pass) = ResyncPass::announce(live, start) else {
            return Upcoming::Blocked(start);
        };
        let part = Part {
            pass,
            array: start,
            // It is at most a window.
            sectors: u32::try_from(length.get()).unwrap_or(WINDOW),
            target: None,
            share: length,
        };
        Upcoming::Part(part, Cursor::new(cursor.at.saturating_add(length)))
    }

    /// Whether a pass has copies to write, or to compare, in a piece: members may have failed since it began.
    fn has_work(&self, mode: Mode, start: Sector, length: Sectors, target: Option<Place>) -> bool {
        let mut working = self
            .located(Side::Previous, start, length)
            .filter(|copy| copy.seat.member.health() == Health::Working);
        match (mode, target) {
            (Mode::CopyToNew, Some(place)) => working.any(|copy| copy.seat.place == place),
            (Mode::CopyToNew, None) => working.any(|copy| !copy.is_valid(length)),
            (Mode::Move, _) => true,
            (Mode::CopyToAll | Mode::Compare | Mode::Mend, _) => working.nth(1).is_some(),
        }
    }

    /// How far a pass goes, in the sectors it goes over.
    pub(crate) fn extent(layout: &Layout, action: Action) -> Sector {
        let length = match action {
            Action::Recover => layout.member_size(),
            _ => layout.array_size(),
        };
        Sector::new(length.get())
    }

    /// How many members have failed and still have their places.
    pub(crate) fn members_lost(&self) -> usize {
        let failed = |seat: &&super::seat::Seat| seat.member.health() != Health::Working;
        self.seats().filter(failed).count()
    }

    /// The members that are being filled. One that failed stays among them until it has left.
    fn filling(&self) -> impl Iterator<Item = Place> + Clone + '_ {
        self.seats()
            .filter(|seat| seat.member.valid_below() != Sector::MAX)
            .map(|seat| seat.place)
    }

    /// The copies that a pass could read, in order: those read like any other first.
    fn sources(&self, start: Sector, length: Sectors) -> impl Iterator<Item = Located<'_>> {
        let with = move |reads: Reads| {
            self.located(Side::Previous, start, length)
                .filter(move |copy| copy.seat.member.reads() == reads)
        };
        Iterator::chain(with(Reads::Normal), with(Reads::WriteMostly))
    }

    /// Of [`Mirror::sources`] those that can be read.
    pub(super) fn readable(
        &self,
        start: Sector,
        length: Sectors,
    ) -> impl Iterator<Item = Located<'_>> {
        one_by_one(move |after| self.next_source(start, length, after))
    }

    /// The copies that a pass writes, in the order of the layout.
    pub(super) fn written(
        &self,
        side: Side,
        start: Sector,
        length: Sectors,
    ) -> impl Iterator<Item = Located<'_>> {
        one_by_one(move |after| self.next_copy(side, start, length, after))
    }

    /// Of [`Mirror::written`] the first behind `after`.
    #[inline(never)]
    fn next_copy(
        &self,
        side: Side,
        start: Sector,
        length: Sectors,
        after: Option<Place>,
    ) -> Option<Located<'_>> {
        behind(self.located(side, start, length), after).next()
    }

    /// Of [`Mirror::readable`] the first behind `after`.
    #[inline(never)]
    pub(super) fn next_source(
        &self,
        start: Sector,
        length: Sectors,
        after: Option<Place>,
    ) -> Option<Located<'_>> {
        behind(self.sources(start, length), after).find(|copy| copy.is_readable(length))
    }

    /// Whether a copy that a pass could read is valid, be it bad.
    #[inline(never)]
    pub(super) fn has_source(&self, start: Sector, length: Sectors) -> bool {
        self.sources(start, length)
            .any(|copy| copy.is_valid(length))
    }

    /// The other copies of what was read from one; all of them in another geometry.
    pub(super) fn targets(
        &self,
        mode: Mode,
        start: Sector,
        length: Sectors,
        from: Place,
    ) -> impl Iterator<Item = Located<'_>> {
        self.located(mode.writes(), start, length)
            .filter(move |copy| mode == Mode::Move || copy.seat.place != from)
            .filter(|copy| copy.seat.member.health() == Health::Working)
    }
}

/// Copies that `next` finds, each when it is asked for, by the place of the one before. Who submits to a member has not
/// the walk over the copies on its stack then, of which the member may need much, but the place that it has come to:
/// `next` is not to be inlined.
fn one_by_one<'a>(
    mut next: impl FnMut(Option<Place>) -> Option<Located<'a>>,
) -> impl Iterator<Item = Located<'a>> {
    let mut after = None;
    core::iter::from_fn(move || {
        let copy = next(after)?;
        after = Some(copy.seat.place);
        Some(copy)
    })
}

/// What comes behind a place; all without one.
fn behind<'a>(
    mut copies: impl Iterator<Item = Located<'a>>,
    after: Option<Place>,
) -> impl Iterator<Item = Located<'a>> {
    if let Some(after) = after {
        copies.find(|copy| copy.seat.place == after);
    }
    copies
}
