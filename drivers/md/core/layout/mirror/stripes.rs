// SPDX-License-Identifier: GPL-2.0

//! Whole stripes of a raid10, which are a few long runs on every member: what a large discard is made of.

use super::{word::FarSpread, Placement, Raid10};
use crate::units::{Sector, SectorRange, Sectors};

/// Whole stripes of a raid10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripes {
    /// How much of the array they are.
    pub length: Sectors,
    /// The first copies, on every member.
    first: SectorRange,
    /// How many runs there are on every member.
    sections: u16,
    /// From one run to the next.
    stride: Sectors,
}

impl Stripes {
    /// The runs, the same on every member.
    pub fn runs(self) -> impl Iterator<Item = SectorRange> {
        (0..self.sections).filter_map(move |section| {
            let down = self.stride.get().checked_mul(u64::from(section))?;
            let start = self.first.start().checked_add(Sectors::new(down))?;
            SectorRange::new(start, self.first.len())
        })
    }
}

impl Raid10 {
    /// How many runs whole stripes are on a member.
    pub fn sections(&self) -> u16 {
        match self.layout().spread() {
            FarSpread::Far => self.layout().far(),
            FarSpread::Offset => 1,
        }
    }

    /// The whole stripes at the beginning of a range: the first copies of a stripe fill whole rows of chunks. `None`
    /// where none begins, or it is not whole.
    pub fn whole_stripes(&self, at: Sector, length: Sectors) -> Option<Stripes> {
        let (members, near) = (
            u64::from(self.members().get()),
            u64::from(self.layout().near()),
        );
        let chunk = self.chunk().sectors().get();
        // So many rows, and chunks of the array, until both end together.
        let common = greatest_common_divisor(members, near)?;
        let (rows, chunks) = (near.checked_div(common)?, members.checked_div(common)?);
        let stripe = chunks.checked_mul(chunk)?;
        if at.get().checked_rem(stripe)? != 0 {
            return None;
        }
        let (index, count) = (
            at.get().checked_div(stripe)?,
            length.get().checked_div(stripe)?,
        );
        let row = match self.layout().spread() {
            FarSpread::Far => chunk,
            FarSpread::Offset => chunk.checked_mul(u64::from(self.layout().far()))?,
        };
        let high = rows.checked_mul(row)?;
        let start = Sector::new(index.checked_mul(high)?);
        let first = SectorRange::new(start, Sectors::new(count.checked_mul(high)?))?;
        let length = Sectors::new(count.checked_mul(stripe)?);
        let end = at.checked_add(length)?;
        (end.get() <= self.array_size().get()).then_some(Stripes {
            length,
            first,
            sections: self.sections(),
            stride: self.stride(),
        })
    }
}

/// `None` for two zeroes.
fn greatest_common_divisor(one: u64, other: u64) -> Option<u64> {
    let (mut high, mut low) = (one.max(other), one.min(other));
    while let Some(rest) = high.checked_rem(low) {
        (high, low) = (low, rest);
    }
    (high != 0).then_some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::Raid10Layout,
    };
    use std::collections::BTreeSet;

    const CHUNK: u64 = 16;

    fn raid10(word: u32, members: u16) -> Raid10 {
        let layout = Raid10Layout::parse(word).expect("a layout");
        let chunk = ChunkSize::new(16).and_then(|c| PowerOfTwoChunk::new(c, Sectors::new(8)));
        let members = MemberCount::new(members).expect("members");
        Raid10::new(layout, chunk.expect("a chunk"), members, Sectors::new(320)).expect("a raid10")
    }

    /// The member chunks that hold copies of a range, found chunk by chunk.
    fn held(layout: &Raid10, start: u64, end: u64) -> BTreeSet<(u16, u64)> {
        (start..end)
            .step_by(16)
            .flat_map(|at| layout.copies(Sector::new(at)).expect("in the array"))
            .map(|copy| (copy.slot.get(), copy.sector.get()))
            .collect()
    }

    #[test]
    fn whole_stripes_are_all_copies_and_nothing_else() {
        let layouts = [
            (0x102, 2),
            (0x102, 3),
            (0x102, 4),
            (0x103, 4),
            (0x104, 6),
            (0x201, 3),
            (0x202, 4),
            (0x301, 5),
            (0x4_0201, 5),
            (0x1_0201, 3),
            (0x1_0202, 4),
        ];
        for (word, members) in layouts {
            let layout = raid10(word, members);
            let size = layout.array_size().get();
            let mut found = 0;
            for at in (0..size).step_by(8) {
                for length in (0..=size - at).step_by(8) {
                    let stripes = layout.whole_stripes(Sector::new(at), Sectors::new(length));
                    let Some(stripes) = stripes else {
                        continue;
                    };
                    found += 1;
                    assert!(stripes.length.get() <= length);
                    let runs: BTreeSet<_> = stripes
                        .runs()
                        .flat_map(|run| (run.start().get()..run.end().get()).step_by(16))
                        .flat_map(|sector| (0..members).map(move |slot| (slot, sector)))
                        .collect();
                    let want = held(&layout, at, at + stripes.length.get());
                    assert_eq!(runs, want, "{word:x} on {members} at {at} for {length}");
                }
            }
            assert!(found > 0, "{word:x} on {members}");
        }
    }

    #[test]
    fn parts_of_stripes_are_none() {
        let layout = raid10(0x102, 4);
        let stripes = |at, length| layout.whole_stripes(Sector::new(at), Sectors::new(length));
        assert_eq!(stripes(0, 2 * CHUNK - 1), None);
        assert_eq!(stripes(CHUNK, 8 * CHUNK), None);
        assert_eq!(
            stripes(2 * CHUNK, 5 * CHUNK).map(|stripes| stripes.length.get()),
            Some(4 * CHUNK)
        );
        assert_eq!(stripes(layout.array_size().get(), 4 * CHUNK), None);
    }
}
