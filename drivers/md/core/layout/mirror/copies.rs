// SPDX-License-Identifier: GPL-2.0

//! The walk over the copies of one sector.

use crate::{
    layout::{chunk::MemberCount, MemberSector},
    units::{Sector, Sectors, Slot},
};

/// The far sets of an array: sets of `size` members, of which the last takes the remainder too.
///
/// # Invariants
///
/// `size` is not zero; `last_start` is a multiple of it; `last_start + last_size` is the number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetTable {
    size: u16,
    last_start: u16,
    last_size: u16,
}

/// One far set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FarSet {
    pub(super) start: u16,
    pub(super) size: u16,
}

impl SetTable {
    /// Cuts `members` into sets of `size`; `None` unless `1 <= size <= members`.
    pub(super) fn new(members: MemberCount, size: u16) -> Option<Self> {
        let members = members.get();
        let sets = members.checked_div(size)?;
        let last_start = sets.checked_sub(1)?.checked_mul(size)?;
        // INVARIANT: zero was refused by the division, and the last set takes all from its start.
        Some(Self {
            size,
            last_start,
            last_size: members.checked_sub(last_start)?,
        })
    }

    /// All members as one set.
    pub(super) const fn whole(members: MemberCount) -> Self {
        // INVARIANT: a count is not zero, and the only set is the last one.
        Self {
            size: members.get(),
            last_start: 0,
            last_size: members.get(),
        }
    }

    /// How many members a set has that is not the last.
    pub(super) const fn size(self) -> u16 {
        self.size
    }

    /// The set that `slot` belongs to.
    #[inline]
    pub(super) fn of(self, slot: u16) -> FarSet {
        if slot >= self.last_start {
            return FarSet {
                start: self.last_start,
                size: self.last_size,
            };
        }
        // By the type invariant the size is not zero.
        let offset = slot.checked_rem(self.size).unwrap_or(0);
        FarSet {
            start: slot.saturating_sub(offset),
            size: self.size,
        }
    }

    /// Whether the last set is not the only one and longer than the others.
    pub(super) const fn has_longer_last(self) -> bool {
        self.last_start > 0 && self.last_size != self.size
    }
}

impl FarSet {
    /// `slot` moved on by `step` inside the set; `step` is at most the size of the set.
    #[inline]
    pub(super) const fn forward(self, slot: Slot, step: u16) -> Slot {
        let slot = slot.get();
        let end = self.start.saturating_add(self.size);
        let room = end.saturating_sub(slot);
        Slot::new(match step.checked_sub(room) {
            Some(over) => self.start.saturating_add(over),
            None => slot.saturating_add(step),
        })
    }

    /// `slot` moved back by `step` inside the set; `step` is at most the size of the set.
    #[inline]
    pub(super) const fn backward(self, slot: Slot, step: u16) -> Slot {
        let offset = slot.get().saturating_sub(self.start);
        Slot::new(match offset.checked_sub(step) {
            Some(offset) => self.start.saturating_add(offset),
            None => {
                // What is left to go from the end; adding first could leave the 16 bits of a slot.
                let rest = step.saturating_sub(offset);
                self.start.saturating_add(self.size.saturating_sub(rest))
            }
        })
    }
}

/// What all copies of an array have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) members: u16,
    pub(super) near: u16,
    pub(super) far: u16,
    /// From one far copy to the next, in sectors.
    pub(super) stride: u64,
    /// From a row to the next one, in sectors.
    pub(super) row: u64,
    pub(super) sets: SetTable,
}

/// The copies of one array sector: near copies in order, each followed by its far copies.
#[derive(Clone, Debug)]
pub struct Copies {
    pattern: Pattern,
    run: Sectors,
    /// The current near copy.
    slot: u16,
    sector: u64,
    near_left: u16,
    /// The next far copy of it.
    far_slot: u16,
    far_sector: u64,
    far_left: u16,
    set: FarSet,
}

impl Copies {
    #[inline]
    pub(super) fn new(pattern: &Pattern, first: MemberSector, run: Sectors) -> Self {
        let (slot, sector) = (first.slot.get(), first.sector.get());
        Self {
            pattern: *pattern,
            run,
            slot,
            sector,
            near_left: pattern.near,
            far_slot: slot,
            far_sector: sector,
            far_left: pattern.far,
            set: pattern.sets.of(slot),
        }
    }

    /// For how many sectors all copies go on without a gap; never zero.
    #[inline]
    pub const fn run(&self) -> Sectors {
        self.run
    }

    /// The copies that are not on `slot`: where a recovery of `slot` may read.
    pub fn except(self, slot: Slot) -> impl Iterator<Item = MemberSector> {
        self.filter(move |copy| copy.slot != slot)
    }

    #[inline]
    fn next_near(&mut self) {
        self.near_left = self.near_left.saturating_sub(1);
        self.slot = self.slot.saturating_add(1);
        if self.slot >= self.pattern.members {
            self.slot = 0;
            self.sector = self.sector.saturating_add(self.pattern.row);
        }
        self.far_slot = self.slot;
        self.far_sector = self.sector;
        self.far_left = self.pattern.far;
        if self.pattern.far > 1 {
            self.set = self.pattern.sets.of(self.slot);
        }
    }
}

impl Iterator for Copies {
    type Item = MemberSector;

    #[inline]
    fn next(&mut self) -> Option<MemberSector> {
        if self.near_left == 0 {
            return None;
        }
        let copy = MemberSector {
            slot: Slot::new(self.far_slot),
            sector: Sector::new(self.far_sector),
        };
        self.far_left = self.far_left.saturating_sub(1);
        if self.far_left == 0 {
            self.next_near();
        } else {
            let from = Slot::new(self.far_slot);
            self.far_slot = self.set.forward(from, self.pattern.near).get();
            self.far_sector = self.far_sector.saturating_add(self.pattern.stride);
        }
        Some(copy)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let later = usize::from(self.near_left.saturating_sub(1));
        let left = match self.near_left {
            0 => 0,
            _ => later
                .saturating_mul(usize::from(self.pattern.far))
                .saturating_add(usize::from(self.far_left)),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Copies {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_and_forward_undo_each_other_in_the_largest_set() {
        let set = FarSet {
            start: 0,
            size: u16::MAX,
        };
        for slot in [0, 1, 32_768, 65_534].map(Slot::new) {
            for step in [0, 1, 255, 65_025, u16::MAX] {
                assert_eq!(
                    set.forward(set.backward(slot, step), step),
                    slot,
                    "{slot} {step}"
                );
            }
        }
    }
}
