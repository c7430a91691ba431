// SPDX-License-Identifier: GPL-2.0

//! The way of a pass over a mirror: the pieces it does, one after the other.
//!
//! A pass that makes all copies agree goes over the *array*: each piece is a range of it. One that fills members can
//! go over the array too where member and array have the same sectors (raid1). In a raid10 it goes over the
//! *members*: at each of their sectors there is a piece for every member that is being filled, since each holds
//! something else there. Its progress is then a member sector, which is what the superblock of such a member records.

use super::{Place, Seat};
use crate::layout::{
    mirror::{Placement, RecoveryStep},
    MemberSector,
};
use crate::units::{Sector, Sectors};

/// What a pass goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The array, by its sectors.
    Array,
    /// The members that are being filled, by theirs.
    Members,
}

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The sector, of the array or of the members.
    pub at: Sector,
    /// The last of the members that was dealt with there.
    pub done: Option<Place>,
}

impl Cursor {
    /// At the beginning of `at`.
    pub const fn new(at: Sector) -> Self {
        Self { at, done: None }
    }

    /// How much of the pass a piece that begins here is, which limits of speed go by. Of pieces at the same sectors of
    /// several members the first counts: they are written side by side.
    pub const fn counts(&self, length: Sectors) -> Sectors {
        match self.done {
            None => length,
            Some(_) => Sectors::ZERO,
        }
    }

    fn after(at: Sector, length: Sectors) -> Self {
        Self::new(at.saturating_add(length))
    }
}

/// How long a piece may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Where the pass ends, or is to pause.
    pub limit: Sector,
    /// The longest piece, not zero.
    pub most: Sectors,
    /// No piece crosses a multiple of this many sectors of the array: a power of two, and if larger than the chunk a
    /// multiple of it.
    pub unit: Sectors,
}

impl Bounds {
    /// The longest piece at `at`; zero at the limit.
    fn longest(&self, at: Sector) -> Sectors {
        let left = self.limit.distance_from(at).unwrap_or(Sectors::ZERO);
        let into = at.get() & self.unit.get().saturating_sub(1);
        let unit_left = Sectors::new(self.unit.get().saturating_sub(into));
        left.min(self.most).min(unit_left)
    }
}

/// The next piece of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Do a range of the array.
    Do {
        /// Where it begins, in the array.
        array: Sector,
        /// Its length, not zero.
        length: Sectors,
        /// The member that is to be filled; `None` for all copies that the pass is about.
        target: Option<Place>,
        /// Where the pass is then.
        next: Cursor,
    },
    /// There is nothing to do up to there.
    Skip {
        /// Where the pass is then.
        next: Cursor,
    },
    /// The limit, or the end of what can be gone over, is reached.
    End,
}

/// The next piece of a pass over the array.
pub fn array_piece(layout: &impl Placement, cursor: Cursor, bounds: &Bounds) -> Piece {
    let longest = bounds.longest(cursor.at);
    let limit = cursor.at.saturating_add(longest);
    match layout.resync_step(cursor.at, limit) {
        Some(length) => Piece::Do {
            array: cursor.at,
            length,
            target: None,
            next: Cursor::after(cursor.at, length),
        },
        None => Piece::End,
    }
}

/// The next piece of a pass over `members`: the main ones by slot, then the replacements by slot.
pub fn member_piece(
    layout: &impl Placement,
    members: impl Iterator<Item = Place> + Clone,
    cursor: Cursor,
    bounds: &Bounds,
) -> Piece {
    let at = cursor.at;
    let limit = at.saturating_add(bounds.longest(at));
    let step = |place: Place| {
        let here = MemberSector {
            slot: place.slot,
            sector: at,
        };
        layout.recovery_step(here, limit)
    };
    // Chunks begin at the same sectors on all members, so this is what each of them would do alone, but for those
    // that have nothing of the array there.
    let length = members.clone().filter_map(|place| step(place).len()).min();
    let Some(length) = length else {
        return Piece::End;
    };
    let is_left = |place: &Place| cursor.done.is_none_or(|done| order(*place) > order(done));
    for place in members.filter(is_left) {
        if let RecoveryStep::Copy { array, .. } = step(place) {
            let done = Some(place);
            return Piece::Do {
                array,
                length,
                target: Some(place),
                next: Cursor { at, done },
            };
        }
    }
    Piece::Skip {
        next: Cursor::after(at, length),
    }
}

/// By what members are sorted.
const fn order(place: Place) -> (bool, u16) {
    (matches!(place.seat, Seat::Replacement), place.slot.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{Raid10, Raid10Layout},
    };
    use crate::units::Slot;

    fn raid10(word: u32, members: u16) -> Raid10 {
        let layout = Raid10Layout::parse(word).expect("a layout");
        let chunk = ChunkSize::new(64).and_then(|c| PowerOfTwoChunk::new(c, Sectors::new(8)));
        let members = MemberCount::new(members).expect("members");
        Raid10::new(layout, chunk.expect("a chunk"), members, Sectors::new(1024)).expect("a raid10")
    }

    fn place(slot: u16) -> Place {
        Place {
            slot: Slot::new(slot),
            seat: Seat::Main,
        }
    }

    const BOUNDS: Bounds = Bounds {
        limit: Sector::MAX,
        most: Sectors::new(48),
        unit: Sectors::new(256),
    };

    /// Walks a pass to its end: what it did.
    fn walk(
        mut next: impl FnMut(Cursor) -> Piece,
    ) -> Vec<(Sector, Sectors, Option<Place>, Cursor)> {
        let mut cursor = Cursor::new(Sector::ZERO);
        let mut done = Vec::new();
        loop {
            match next(cursor) {
                Piece::Do {
                    array,
                    length,
                    target,
                    next,
                } => {
                    done.push((array, length, target, cursor));
                    cursor = next;
                }
                Piece::Skip { next } => cursor = next,
                Piece::End => return done,
            }
        }
    }

    #[test]
    fn a_pass_over_the_array_does_every_sector_once() {
        for (word, members) in [(0x102, 4), (0x102, 3), (0x201, 3), (0x1_0201, 5)] {
            let layout = raid10(word, members);
            let mut at = 0;
            for (array, length, target, _) in walk(|cursor| array_piece(&layout, cursor, &BOUNDS)) {
                assert_eq!((array.get(), target), (at, None));
                assert!(length <= BOUNDS.most);
                at += length.get();
                assert_eq!(array.get() / 256, (at - 1) / 256);
            }
            assert_eq!(at, layout.array_size().get());
        }
    }

    #[test]
    fn a_pass_over_members_fills_each_of_them_once() {
        for (word, members) in [
            (0x102, 4),
            (0x102, 3),
            (0x201, 3),
            (0x1_0201, 5),
            (0x103, 4),
        ] {
            let layout = raid10(word, members);
            let targets = [place(0), place(2)];
            let pieces = walk(|cursor| member_piece(&layout, targets.into_iter(), cursor, &BOUNDS));
            let counted = pieces.iter().map(|piece| piece.3.counts(piece.1).get());
            let rows = pieces.iter().map(|piece| piece.3.at.get() + piece.1.get());
            assert_eq!(Some(counted.sum()), rows.max(), "{word:x} {members}");
            for target in targets {
                let mut at = 0;
                for (array, length, _, cursor) in
                    pieces.iter().filter(|piece| piece.2 == Some(target))
                {
                    assert_eq!(cursor.at.get(), at, "{word:x} {members}");
                    let copies = layout.copies(*array).expect("in the array");
                    assert!(*length <= copies.run());
                    assert!(copies
                        .into_iter()
                        .any(|copy| copy.slot == target.slot && copy.sector.get() == at));
                    at += length.get();
                }
                // An odd number of members leaves the end of some of them unused.
                let used = (0..layout.member_size().get()).rev().find(|sector| {
                    let here = MemberSector {
                        slot: target.slot,
                        sector: Sector::new(*sector),
                    };
                    layout.array_sector(here).is_some()
                });
                assert_eq!(used.map(|last| last + 1), Some(at), "{word:x} {members}");
            }
        }
    }

    #[test]
    fn nothing_is_beyond_the_limit() {
        let layout = raid10(0x102, 4);
        let bounds = Bounds {
            limit: Sector::new(40),
            ..BOUNDS
        };
        let cursor = Cursor::new(Sector::new(40));
        assert_eq!(array_piece(&layout, cursor, &bounds), Piece::End);
        let one = [place(1)].into_iter();
        assert_eq!(member_piece(&layout, one, cursor, &bounds), Piece::End);
        let none = core::iter::empty();
        let start = Cursor::new(Sector::ZERO);
        assert_eq!(member_piece(&layout, none, start, &bounds), Piece::End);
    }
}
