// SPDX-License-Identifier: GPL-2.0

//! The cells of a lockless bitmap under a new geometry.
//!
//! When an array changes size, or its chunks double because the cells no longer fit, each new chunk covers old
//! chunks, and perhaps space that was not there before. Its cell is the [`merge`] of all their cells: never more
//! promising than the least promising of them, so that no need for a sync is lost. C md changes the geometry and
//! leaves the cells where they are, which gives each chunk the state of another.
//!
//! No pass and no write may be under way: a chunk that was being synced needs its sync again.
//!
//! # On media
//!
//! The length of a chunk is in the header, and cells are elsewhere, on each of several members: they do not change at
//! once. That the bitmap is out of date is no help, as an unwritten chunk is believed even then, and its cell may be
//! that of another chunk. So, when chunks change their length, media are given three things, one after the other:
//!
//! 1. the [`bridge`](Resize::bridge) between the cells, under the old header;
//! 2. the new header, which is one sector;
//! 3. the new cells.
//!
//! Whatever of it arrives, who reads it finds cells that promise nothing untrue under the header that it finds.

use super::cell::{Cell, Redundancy};
use super::geometry::{ChunkSpan, Geometry};
use crate::units::BitmapChunk;

/// The cell of a chunk made of two parts.
///
/// | parts | result |
/// |---|---|
/// | neither holds data, both have parity | `CleanUnwritten` |
/// | neither holds data, parity of one was asked for | `NeedSyncUnwritten` |
/// | neither holds data | `Unwritten` |
/// | one needs a sync | `NeedSync` |
/// | one holds data, the other has no parity (levels 4, 5 and 6) | `NeedSync` |
/// | one is dirty | `Dirty` |
/// | otherwise | `Clean` |
///
/// Commutative and associative, so the order of the parts does not matter.
pub const fn merge(a: Cell, b: Cell, redundancy: Redundancy) -> Cell {
    if a.promises_no_data() && b.promises_no_data() {
        return merge_unwritten(a, b);
    }
    if needs_sync(a) || needs_sync(b) || lacks_parity(a, redundancy) || lacks_parity(b, redundancy)
    {
        Cell::NeedSync
    } else if matches!(a, Cell::Dirty) || matches!(b, Cell::Dirty) {
        Cell::Dirty
    } else {
        Cell::Clean
    }
}

const fn merge_unwritten(a: Cell, b: Cell) -> Cell {
    if asked_for(a) || asked_for(b) {
        Cell::NeedSyncUnwritten
    } else if a.promises_sync() && b.promises_sync() {
        Cell::CleanUnwritten
    } else {
        Cell::Unwritten
    }
}

const fn asked_for(cell: Cell) -> bool {
    matches!(cell, Cell::NeedSyncUnwritten | Cell::SyncingUnwritten)
}

const fn needs_sync(cell: Cell) -> bool {
    matches!(cell, Cell::NeedSync | Cell::Syncing) || asked_for(cell)
}

/// Next to data, a part without parity makes the parity of the chunk wrong; in a mirror a chunk with data never said
/// anything about the sectors of it that were not written.
const fn lacks_parity(cell: Cell, redundancy: Redundancy) -> bool {
    matches!((cell, redundancy), (Cell::Unwritten, Redundancy::Parity))
}

/// A cell while no pass is under way.
const fn at_rest(cell: Cell) -> Cell {
    match cell {
        Cell::Syncing => Cell::NeedSync,
        Cell::SyncingUnwritten => Cell::NeedSyncUnwritten,
        other => other,
    }
}

/// A change of geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// The geometry the cells are in.
    pub from: Geometry,
    /// The geometry they are to be in.
    pub to: Geometry,
    /// The kind of level.
    pub redundancy: Redundancy,
    /// The cell of space that is new: `Unwritten`, or `Clean` when it is known to be equal on all members.
    pub fill: Cell,
}

impl Resize {
    /// The old chunks whose data are in `chunk` of the new geometry; `None` when all of it is new.
    pub fn sources(&self, chunk: BitmapChunk) -> Option<ChunkSpan> {
        self.to
            .sectors_of(chunk)
            .and_then(|range| self.from.touched(range))
    }

    /// The cell of `chunk` in the new geometry; `old` reads cells in the old one. `None` beyond the last new chunk.
    pub fn cell(&self, chunk: BitmapChunk, old: impl Fn(BitmapChunk) -> Cell) -> Option<Cell> {
        let range = self.to.sectors_of(chunk)?;
        let grown = range.end().get() > self.from.data().get();
        let new = grown.then_some(self.fill);
        let kept = self
            .sources(chunk)
            .map(ChunkSpan::iter)
            .into_iter()
            .flatten()
            .map(old);
        let cell = kept
            .chain(new)
            .reduce(|a, b| merge(a, b, self.redundancy))?;
        // One part alone keeps its state, but for a sync that is not going on any more.
        Some(at_rest(cell))
    }

    /// Whether the cells change their places, so that media need a [`bridge`](Self::bridge).
    pub fn moves_cells(&self) -> bool {
        self.from.chunk() != self.to.chunk()
    }

    /// What media have in the place of cell `number` while they may say either geometry: it promises nothing that the
    /// cell with this number does not promise in one of them. `None` beyond the last cell of both.
    pub fn bridge(&self, number: BitmapChunk, old: impl Fn(BitmapChunk) -> Cell) -> Option<Cell> {
        let before = (number.get() < self.from.chunks()).then(|| at_rest(old(number)));
        match (before, self.cell(number, old)) {
            (Some(before), Some(after)) => Some(merge(before, after, self.redundancy)),
            (one, None) | (None, one) => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitmap::geometry::{Area, PageShift};
    use crate::format::BlockSize;
    use crate::units::Sectors;

    #[test]
    fn merging_is_commutative_and_associative() {
        for r in Redundancy::ALL {
            for a in Cell::ALL {
                for b in Cell::ALL {
                    assert_eq!(merge(a, b, r), merge(b, a, r));
                    for c in Cell::ALL {
                        assert_eq!(
                            merge(merge(a, b, r), c, r),
                            merge(a, merge(b, c, r), r),
                            "{a} {b} {c} {r:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn merging_promises_nothing_that_a_part_does_not() {
        for r in Redundancy::ALL {
            for a in Cell::ALL {
                for b in Cell::ALL {
                    let m = merge(a, b, r);
                    for part in [a, b] {
                        assert!(
                            !m.promises_no_data() || part.promises_no_data(),
                            "{a} {b} {m}"
                        );
                        let silent = part == Cell::Unwritten && r == Redundancy::Mirror;
                        assert!(
                            !m.promises_sync() || part.promises_sync() || silent,
                            "{a} {b} {m}"
                        );
                        let needs = matches!(part, Cell::NeedSync | Cell::Syncing);
                        assert!(!needs || m == Cell::NeedSync, "{a} {b} {m}");
                        let dirty = part == Cell::Dirty;
                        assert!(
                            !dirty || matches!(m, Cell::Dirty | Cell::NeedSync),
                            "{a} {b} {m}"
                        );
                    }
                }
            }
        }
    }

    fn geometry(data: u64, space: u64) -> Geometry {
        let (data, space) = (Sectors::new(data), Sectors::new(space));
        let area = Area {
            data,
            space,
            page: PageShift::FOUR_KIB,
            block: BlockSize::SECTOR,
        };
        Geometry::choose(&area).expect("it fits")
    }

    fn cells(resize: &Resize, old: &[Cell]) -> Vec<Cell> {
        let read = |c: BitmapChunk| old[usize::try_from(c.get()).expect("small")];
        resize
            .to
            .all()
            .iter()
            .map(|c| resize.cell(c, read).expect("in range"))
            .collect()
    }

    #[test]
    fn growing_appends_and_tells_the_last_chunk() {
        use Cell::{Clean, CleanUnwritten, NeedSync, Unwritten};
        let (from, to) = (geometry(200, 256), geometry(500, 256));
        let resize = |redundancy| Resize {
            from,
            to,
            redundancy,
            fill: Unwritten,
        };
        let mirror = cells(&resize(Redundancy::Mirror), &[Clean, Clean]);
        assert_eq!(mirror, [Clean, Clean, Unwritten, Unwritten]);
        let parity = cells(&resize(Redundancy::Parity), &[CleanUnwritten, Clean]);
        assert_eq!(parity, [CleanUnwritten, NeedSync, Unwritten, Unwritten]);
    }

    #[test]
    fn doubling_merges_pairs() {
        use Cell::{Clean, Dirty, NeedSync, Syncing, Unwritten};
        // Three sectors of space hold 512 cells.
        let (from, to) = (geometry(512 * 128, 3), geometry(513 * 128, 3));
        assert_eq!((from.chunk().get(), to.chunk().get()), (7, 8));
        let mut old = [Unwritten; 512];
        old[..6].copy_from_slice(&[Clean, Dirty, Syncing, Clean, Unwritten, Clean]);
        let resize = Resize {
            from,
            to,
            redundancy: Redundancy::Mirror,
            fill: Unwritten,
        };
        let new = cells(&resize, &old);
        assert_eq!(new.len(), 257);
        assert_eq!(new[..4], [Dirty, NeedSync, Clean, Unwritten]);
    }

    #[test]
    fn a_bridge_is_both() {
        use Cell::{Clean, Dirty, NeedSync, Syncing, Unwritten};
        let (from, to) = (geometry(512 * 128, 3), geometry(513 * 128, 3));
        let resize = Resize {
            from,
            to,
            redundancy: Redundancy::Mirror,
            fill: Unwritten,
        };
        let mut old = [Unwritten; 512];
        // New: Dirty, Unwritten, NeedSync, Clean, then nothing.
        old[..8].copy_from_slice(&[
            Clean, Dirty, Unwritten, Unwritten, Syncing, Unwritten, Clean, Clean,
        ]);
        old[511] = Syncing;
        let bridge = |n| resize.bridge(BitmapChunk::new(n), |c| old[c.get() as usize]);
        let first: Vec<_> = (0..8).map_while(bridge).collect();
        let wanted = [
            Dirty, Dirty, NeedSync, Clean, NeedSync, Unwritten, Clean, Clean,
        ];
        assert_eq!(first, wanted);
        // Only one of the two geometries has these.
        assert_eq!(bridge(511), Some(NeedSync));
        assert_eq!(bridge(512), None);
    }
}
