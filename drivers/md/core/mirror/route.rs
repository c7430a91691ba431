// SPDX-License-Identifier: GPL-2.0

//! The way of a pass over a mirror: the pieces it does, one after the other.
//!
//! A pass that makes all copies agree goes over the *array*: each piece is a range of it. One that fills members can
//! go over the array too where member and array have the same sectors (raid1). In a raid10 it goes over the
//! *members*: at each of their sectors there is a piece for every member that is being filled, since each holds
//! something else there. Its progress is then a member sector, which is what the superblock of such a member records.
//!
//! A bitmap is about sectors of the array. It is asked for each piece, by the array sector of which the piece is a
//! copy; [`done_below`] says which part of the array a pass that is so far has dealt with, on all members.

use super::{Place, Seat};
use crate::bitmap::SyncAnswer;
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
    /// No piece crosses a multiple of this many sectors of the array, so that a bitmap with chunks of as many, or more,
    /// has one answer for all of it: a power of two, as the chunk of the layout is.
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

/// Below which sector of the array a pass that is at `at` has dealt with every copy it is about.
pub fn done_below(route: Route, layout: &impl Placement, at: Sector) -> Sector {
    match route {
        Route::Array => at,
        Route::Members => layout.done_below(at),
    }
}

/// The next piece of a pass over the array; `ask` knows what is to be done there.
pub fn array_piece(
    layout: &impl Placement,
    cursor: Cursor,
    bounds: &Bounds,
    ask: impl FnOnce(Sector) -> SyncAnswer,
) -> Piece {
    let at = cursor.at;
    let limit = at.saturating_add(bounds.longest(at));
    let Some(length) = layout.resync_step(at, limit) else {
        return Piece::End;
    };
    let answer = ask(at);
    if !answer.needed {
        let next = at.saturating_add(answer.sectors).min(bounds.limit);
        return Piece::Skip {
            next: Cursor::new(next),
        };
    }
    let length = length.min(answer.sectors);
    Piece::Do {
        array: at,
        length,
        target: None,
        next: Cursor::after(at, length),
    }
}

/// The next piece of a pass over `members`: the main ones by slot, then the replacements by slot. `ask` knows what is
/// to be done of the array; it is asked for each piece, and may be asked again.
pub fn member_piece(
    layout: &impl Placement,
    members: impl Iterator<Item = Place> + Clone,
    cursor: Cursor,
    bounds: &Bounds,
    mut ask: impl FnMut(Sector) -> SyncAnswer,
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
    if cursor.done.is_none() {
        let idle = idle_for(layout, members.clone(), at, bounds.limit, &mut ask);
        if !idle.is_zero() {
            return Piece::Skip {
                next: Cursor::after(at, idle),
            };
        }
    }
    let is_left = |place: &Place| cursor.done.is_none_or(|done| order(*place) > order(done));
    for place in members.filter(is_left) {
        let RecoveryStep::Copy { array, .. } = step(place) else {
            continue;
        };
        if ask(array).needed {
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

/// For how many sectors of the members from `at` nothing is to be done on any of them; at most up to `limit`.
fn idle_for(
    layout: &impl Placement,
    members: impl Iterator<Item = Place>,
    at: Sector,
    limit: Sector,
    ask: &mut impl FnMut(Sector) -> SyncAnswer,
) -> Sectors {
    let mut idle = limit.distance_from(at).unwrap_or(Sectors::ZERO);
    for place in members {
        let here = MemberSector {
            slot: place.slot,
            sector: at,
        };
        let nothing = match layout.recovery_step(here, limit) {
            RecoveryStep::Copy { array, len } => match ask(array) {
                SyncAnswer { needed: true, .. } => Sectors::ZERO,
                SyncAnswer { sectors, .. } => len.min(sectors),
            },
            RecoveryStep::Unused { len } => len,
            RecoveryStep::Done => idle,
        };
        idle = idle.min(nothing);
    }
    idle
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
        Raid10::new(layout, chunk.expect("a chunk"), members, Sectors::new(960)).expect("a raid10")
    }

    fn place(slot: u16) -> Place {
        Place {
            slot: Slot::new(slot),
            seat: Seat::Main,
        }
    }

    /// Without a bitmap.
    fn all(_: Sector) -> SyncAnswer {
        SyncAnswer::ALL
    }

    /// Layouts with their members: some leave a part of members unused, at the end or between sections.
    const SHAPES: [(u32, u16); 7] = [
        (0x102, 4),
        (0x102, 3),
        (0x201, 3),
        (0x1_0201, 5),
        (0x103, 4),
        (0x202, 5),
        (0x202, 4),
    ];

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
        for (word, members) in SHAPES {
            let layout = raid10(word, members);
            let mut at = 0;
            for (array, length, target, _) in
                walk(|cursor| array_piece(&layout, cursor, &BOUNDS, all))
            {
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
        for (word, members) in SHAPES {
            let layout = raid10(word, members);
            let targets = [place(0), place(2)];
            let pieces =
                walk(|cursor| member_piece(&layout, targets.into_iter(), cursor, &BOUNDS, all));
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

    /// Some chunks of `length` sectors are marked; all of a chunk is answered for.
    fn is_marked(at: Sector, length: u64) -> bool {
        (at.get() / length * 7 + 3) % 5 < 2
    }

    fn answer(at: Sector, length: u64) -> SyncAnswer {
        SyncAnswer {
            needed: is_marked(at, length),
            sectors: Sectors::new(length - at.get() % length),
        }
    }

    #[test]
    fn a_pass_over_the_array_does_what_is_marked() {
        for (word, members) in SHAPES {
            let layout = raid10(word, members);
            for length in [16, 64, 256] {
                let mut done = vec![false; layout.array_size().get().try_into().expect("small")];
                let ask = |at| answer(at, length);
                for piece in walk(|cursor| array_piece(&layout, cursor, &BOUNDS, ask)) {
                    let start = usize::try_from(piece.0.get()).expect("small");
                    let end = start + usize::try_from(piece.1.get()).expect("small");
                    done[start..end].fill(true);
                }
                for (done, at) in done.iter().zip((0..).map(Sector::new)) {
                    assert_eq!(*done, is_marked(at, length), "{word:x} {members} {at:?}");
                }
            }
        }
    }

    #[test]
    fn a_pass_over_members_copies_what_is_marked_and_no_more() {
        for (word, members) in SHAPES {
            let layout = raid10(word, members);
            for (length, start) in [(16, 0), (64, 0), (256, 0), (64, 40), (256, 331)] {
                let targets = [place(1), place(2)];
                let bounds = Bounds {
                    unit: BOUNDS.unit.min(Sectors::new(length)),
                    ..BOUNDS
                };
                let ask = |at| answer(at, length);
                let mut cursor = Cursor::new(Sector::new(start));
                let mut done = std::collections::HashSet::new();
                loop {
                    match member_piece(&layout, targets.into_iter(), cursor, &bounds, ask) {
                        Piece::Do {
                            length,
                            target,
                            next,
                            ..
                        } => {
                            for at in cursor.at.get()..cursor.at.get() + length.get() {
                                let slot = target.map(|place| place.slot.get());
                                assert!(done.insert((slot, at)), "twice");
                            }
                            cursor = next;
                        }
                        Piece::Skip { next } => cursor = next,
                        Piece::End => break,
                    }
                }
                for target in targets {
                    for at in 0..layout.member_size().get() {
                        let here = MemberSector {
                            slot: target.slot,
                            sector: Sector::new(at),
                        };
                        let array = layout.array_sector(here);
                        let wanted = at >= start && array.is_some_and(|at| is_marked(at, length));
                        let is_done = done.contains(&(Some(target.slot.get()), at));
                        assert_eq!(is_done, wanted, "{word:x} {members} {length} {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_done_of_the_array_is_done_on_all_members() {
        for (word, members) in SHAPES {
            let layout = raid10(word, members);
            // For each sector of the array, the last of its copies.
            let last: Vec<u64> = (0..layout.array_size().get())
                .map(|at| {
                    let copies = layout.copies(Sector::new(at)).expect("in the array");
                    copies.into_iter().map(|copy| copy.sector.get()).max()
                })
                .map(|last| last.expect("a copy"))
                .collect();
            for at in 0..=layout.member_size().get() {
                let below = done_below(Route::Members, &layout, Sector::new(at));
                let below = usize::try_from(below.get()).expect("small");
                assert!(last[..below].iter().all(|last| *last < at), "{word:x} {at}");
                // At most a row of chunks more is.
                let row = 64 * usize::from(layout.copy_count().max(members));
                let more = last[below..].iter().take_while(|last| **last < at).count();
                assert!(more <= row, "{word:x} {members} {at}: {more}");
            }
            let end = Sector::new(layout.member_size().get());
            let all = layout.array_size().get();
            assert_eq!(done_below(Route::Members, &layout, end).get(), all);
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
        assert_eq!(array_piece(&layout, cursor, &bounds, all), Piece::End);
        let one = [place(1)].into_iter();
        let piece = member_piece(&layout, one, cursor, &bounds, all);
        assert_eq!(piece, Piece::End);
        let none = core::iter::empty();
        let start = Cursor::new(Sector::ZERO);
        let piece = member_piece(&layout, none, start, &bounds, all);
        assert_eq!(piece, Piece::End);
    }
}
