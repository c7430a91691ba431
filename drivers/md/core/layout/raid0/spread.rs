// SPDX-License-Identifier: GPL-2.0

//! A long range of a raid0 array as one contiguous range for each member.
//!
//! Only for requests without data (discard): the sectors of a member's range are not consecutive in the array.

use super::{unrotate, Raid0, Zone};
use crate::{
    layout::BeyondEnd,
    units::{Sector, SectorRange, Sectors, Slot},
};
use core::{cmp::Ordering, ops::Deref};

/// What one member holds of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The member.
    pub slot: Slot,
    /// The range in its data area.
    pub range: SectorRange,
}

/// A position inside a zone: row of chunks, place in the row, sector in the chunk.
#[derive(Clone, Copy)]
struct Corner {
    row: u64,
    index: u16,
    offset: u64,
}

impl Corner {
    /// How far into the zone the member at place `index` of each row is covered up to this corner.
    fn reach(self, index: u16, chunk: u64) -> u64 {
        let full = self.row.saturating_mul(chunk);
        match index.cmp(&self.index) {
            Ordering::Less => full.saturating_add(chunk),
            Ordering::Equal => full.saturating_add(self.offset),
            Ordering::Greater => full,
        }
    }
}

/// The pieces of a range that begins in one zone; made by [`Raid0::spread`].
#[derive(Clone)]
pub struct Spread<'a> {
    zone: Zone,
    slots: core::slice::Iter<'a, Slot>,
    member: u16,
    chunk: u64,
    first: Corner,
    last: Corner,
    covered: Sectors,
}

impl Spread<'_> {
    /// How many sectors from the start of the range the pieces cover: all of it, or up to the end of the zone. The
    /// caller goes on from there.
    pub const fn covered(&self) -> Sectors {
        self.covered
    }
}

impl Iterator for Spread<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let slot = *self.slots.next()?;
            let index = unrotate(&self.zone, self.member);
            self.member = self.member.saturating_add(1);
            let start = self.first.reach(index, self.chunk);
            let end = self.last.reach(index, self.chunk);
            let sector = Sector::new(start.saturating_add(self.zone.member_start));
            // A member that the range does not touch gives an empty range, which is none.
            if let Some(range) = SectorRange::new(sector, Sectors::new(end.saturating_sub(start))) {
                return Some(Piece { slot, range });
            }
        }
    }
}

impl<Z, D> Raid0<Z, D>
where
    Z: Deref<Target = [Zone]>,
    D: Deref<Target = [Slot]>,
{
    /// Spreads `range`, as far as it lies in the zone of its first sector, over the zone's members.
    ///
    /// # Errors
    ///
    /// [`BeyondEnd`] when the range begins, or would go on, beyond the end of the array.
    pub fn spread(&self, range: SectorRange) -> Result<Spread<'_>, BeyondEnd> {
        let zone = self.zone_of(range.start())?;
        if range.end().get() > self.array_size.get() {
            return Err(BeyondEnd);
        }
        let end = range.end().get().min(zone.end);
        let last_slot = zone
            .first_slot
            .saturating_add(usize::from(zone.members.get()));
        let slots = self
            .slots
            .get(zone.first_slot..last_slot)
            .ok_or(BeyondEnd)?;
        Ok(Spread {
            zone: *zone,
            slots: slots.iter(),
            member: 0,
            chunk: self.chunk.sectors().get(),
            first: self.corner(zone, range.start()),
            last: self.corner(zone, Sector::new(end)),
            covered: Sectors::new(end.saturating_sub(range.start().get())),
        })
    }

    fn corner(&self, zone: &Zone, at: Sector) -> Corner {
        let (chunk, offset) = self.chunk.split(at);
        let (row, index) = zone.members.split(chunk.saturating_sub(zone.start_chunk));
        Corner {
            row,
            index,
            offset: offset.get(),
        }
    }
}
