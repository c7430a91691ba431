// SPDX-License-Identifier: GPL-2.0

//! raid10: chunks striped over the members, each with the same number of copies.
//!
//! Near copies go on neighbouring members, wrapping into the next row; then each near copy has far copies, on members
//! further on in its far set, a `stride` further down.
//!
//! Some layout words that the C driver takes put two chunks in one place, or two copies on one member: they lose data
//! even while nothing fails. No tool of mdadm makes them; here they have a name and are refused.

use super::{
    copies::{Copies, Pattern, SetTable},
    word::{FarSets, FarSpread, Raid10Layout},
    Placement,
};
use crate::{
    layout::{
        chunk::{MemberCount, PowerOfTwoChunk},
        BeyondEnd, MemberSector,
    },
    units::{Sector, Sectors, Slot},
};
use core::fmt;

/// Why a layout does not fit the members; EINVAL in C md where it refuses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid10Error {
    /// One copy only: that is raid0.
    TooFewCopies,
    /// More copies than members.
    MoreCopiesThanMembers,
    /// A far set is smaller than the number of copies, so a member gets two copies of a chunk. C md warns "This
    /// RAID10 layout does not provide data safety" for some of these and runs the array.
    CopiesShareMember,
    /// Near copies cross into the longer last far set, where they overwrite each other's far copies; C md runs the
    /// array and corrupts it.
    NearCopiesCrossSets,
    /// Near copies wrap into the rows that hold the offset copies; C md runs the array and corrupts it.
    NearCopiesHitOffset,
    /// The array would be longer than 2^64 sectors.
    TooLong,
    /// Sections of far copies would move: the array can be neither resized nor reshaped.
    HasSections,
}

impl fmt::Display for Raid10Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooFewCopies => "the raid10 layout has a single copy",
            Self::MoreCopiesThanMembers => "the raid10 layout has more copies than members",
            Self::CopiesShareMember => "the raid10 layout puts two copies on one member",
            Self::NearCopiesCrossSets => {
                "near copies of the raid10 layout overwrite far copies of another set"
            }
            Self::NearCopiesHitOffset => "near copies of the raid10 layout overwrite offset copies",
            Self::TooLong => "the raid10 array exceeds 2^64 sectors",
            Self::HasSections => {
                "a raid10 array with far copies can be neither resized nor reshaped"
            }
        })
    }
}

/// A raid10 array.
///
/// # Invariants
///
/// `2 <= near * far <= members`, no two copies share a member or a place, and no product of a sector of the array
/// with the numbers of the pattern exceeds 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid10 {
    layout: Raid10Layout,
    chunk: PowerOfTwoChunk,
    members: MemberCount,
    near: MemberCount,
    /// Rows of chunks in one section (far), or all rows without their offset copies (offset).
    rows: u64,
    array_size: Sectors,
    pattern: Pattern,
}

impl Raid10 {
    /// An array on members that have at least `available` sectors for data each.
    ///
    /// # Errors
    ///
    /// All of [`Raid10Error`] but [`Raid10Error::HasSections`].
    pub fn new(
        layout: Raid10Layout,
        chunk: PowerOfTwoChunk,
        members: MemberCount,
        available: Sectors,
    ) -> Result<Self, Raid10Error> {
        let sets = check_copies(layout, members)?;
        let near = MemberCount::new(layout.near()).ok_or(Raid10Error::TooFewCopies)?;
        let (chunks, _) = chunk.split(Sector::new(available.get()));
        let rows = chunks
            .checked_div(u64::from(layout.far()))
            .ok_or(Raid10Error::TooFewCopies)?;
        let array_size = size_of(chunk, members, near, rows).ok_or(Raid10Error::TooLong)?;
        let chunk_len = chunk.sectors().get();
        let stride = match layout.spread() {
            FarSpread::Offset => chunk_len,
            FarSpread::Far => rows.checked_mul(chunk_len).ok_or(Raid10Error::TooLong)?,
        };
        // INVARIANT: `check_copies` refused what collides; `size_of` and the stride did the largest products.
        Ok(Self {
            layout,
            chunk,
            members,
            near,
            rows,
            array_size,
            pattern: Pattern {
                members: members.get(),
                near: layout.near(),
                far: layout.far(),
                stride,
                row: chunk_len,
                sets,
            },
        })
    }

    /// The same array on members of another length.
    ///
    /// # Errors
    ///
    /// [`Raid10Error::HasSections`], [`Raid10Error::TooLong`].
    pub fn resized(&self, available: Sectors) -> Result<Self, Raid10Error> {
        if self.layout.has_sections() {
            return Err(Raid10Error::HasSections);
        }
        Self::new(self.layout, self.chunk, self.members, available)
    }

    /// The layout.
    pub const fn layout(&self) -> Raid10Layout {
        self.layout
    }

    /// The chunk length.
    pub const fn chunk(&self) -> PowerOfTwoChunk {
        self.chunk
    }

    /// Chunks that follow each other in the array before a member comes again: `io_opt` in units of chunks.
    pub fn chunks_per_stripe(&self) -> u16 {
        match self.members.get().checked_rem(self.near.get()) {
            Some(0) => self
                .members
                .get()
                .checked_div(self.near.get())
                .unwrap_or(self.members.get()),
            _ => self.members.get(),
        }
    }

    /// The place of the first copy of chunk number `chunk`, at `offset` into it. The chunk need not be in the array.
    #[inline]
    fn first_copy(&self, chunk: u64, offset: Sectors) -> MemberSector {
        let (row, slot) = self
            .members
            .split(chunk.saturating_mul(u64::from(self.near.get())));
        let row = match self.layout.spread() {
            FarSpread::Offset => row.saturating_mul(u64::from(self.pattern.far)),
            FarSpread::Far => row,
        };
        let sector = row
            .saturating_mul(self.pattern.row)
            .saturating_add(offset.get());
        MemberSector {
            slot: Slot::new(slot),
            sector: Sector::new(sector),
        }
    }

    /// From one far copy to the next, on the members.
    pub(super) const fn stride(&self) -> Sectors {
        Sectors::new(self.pattern.stride)
    }

    /// How many members each far set has, but for the last one, which takes the rest too.
    pub const fn far_set_size(&self) -> u16 {
        self.pattern.sets.size()
    }

    /// Whether a row holds one chunk, so that consecutive chunks are consecutive on the members too.
    const fn is_unstriped(&self) -> bool {
        self.near.get() == self.members.get()
    }

    /// From a member's sector to the row of the *first* copies, the number of the far copy, and the offset in the
    /// chunk.
    fn unfar(&self, at: Sector) -> Option<(u64, u16, Sectors)> {
        let (chunk, offset) = self.chunk.split(at);
        let far = u64::from(self.pattern.far);
        let (row, copy) = match self.layout.spread() {
            FarSpread::Offset => (chunk.checked_div(far)?, chunk.checked_rem(far)?),
            FarSpread::Far => (chunk.checked_rem(self.rows)?, chunk.checked_div(self.rows)?),
        };
        let copy = u16::try_from(copy).ok()?;
        (copy < self.pattern.far && row < self.rows).then_some((row, copy, offset))
    }
}

impl Placement for Raid10 {
    fn members(&self) -> MemberCount {
        self.members
    }

    fn array_size(&self) -> Sectors {
        self.array_size
    }

    /// Always `far copies * rows`: what C md's `calc_sectors` rounds its way to.
    fn member_size(&self) -> Sectors {
        let chunks = self.rows.saturating_mul(u64::from(self.pattern.far));
        Sectors::new(chunks.saturating_mul(self.pattern.row))
    }

    fn copy_count(&self) -> u16 {
        self.layout.copies()
    }

    #[inline]
    fn copies(&self, at: Sector) -> Result<Copies, BeyondEnd> {
        let left = self.array_size.get().saturating_sub(at.get());
        if left == 0 {
            return Err(BeyondEnd);
        }
        let (chunk, offset) = self.chunk.split(at);
        let run = if self.is_unstriped() {
            left
        } else {
            self.pattern.row.saturating_sub(offset.get())
        };
        let first = self.first_copy(chunk, offset);
        Ok(Copies::new(&self.pattern, first, Sectors::new(run)))
    }

    fn array_sector(&self, at: MemberSector) -> Option<Sector> {
        if !self.members.has(at.slot) {
            return None;
        }
        let (row, copy, offset) = self.unfar(at.sector)?;
        let set = self.pattern.sets.of(at.slot.get());
        // `copy * near` is below the number of copies, which fit into every set.
        let slot = set
            .backward(at.slot, copy.checked_mul(self.pattern.near)?)
            .get();
        let place = row
            .checked_mul(u64::from(self.members.get()))?
            .checked_add(u64::from(slot))?;
        let (chunk, _) = self.near.split(place);
        let sector = self.chunk.start_of(chunk)?.checked_add(offset)?;
        (sector.get() < self.array_size.get()).then_some(sector)
    }

    /// Rows are done from the first on; those of a layout with sections, when the last section is. A chunk whose near
    /// copies wrap into the next row is done with that row.
    fn done_below(&self, at: Sector) -> Sector {
        let far = u64::from(self.pattern.far);
        let before = match self.layout.spread() {
            FarSpread::Offset => 0,
            FarSpread::Far => far.saturating_sub(1).saturating_mul(self.pattern.stride),
        };
        let at = Sector::new(at.get().saturating_sub(before));
        let (chunks, _) = self.chunk.split(at);
        let rows = match self.layout.spread() {
            FarSpread::Offset => chunks.checked_div(far).unwrap_or(0),
            FarSpread::Far => chunks,
        };
        let rows = rows.min(self.rows);
        let places = rows.saturating_mul(u64::from(self.members.get()));
        let (chunks, _) = self.near.split(places);
        self.chunk.start_of(chunks).unwrap_or(Sector::ZERO)
    }

    fn chunk_left(&self, at: Sector) -> Sectors {
        let (_, offset) = self.chunk.split(at);
        Sectors::new(self.pattern.row.saturating_sub(offset.get()))
    }

    /// C md assumes that the copies of a chunk are on consecutive members, which small far sets break; this asks the
    /// placement itself. The first copies of chunks begin with every member at most once before they repeat.
    fn has_enough(&self, works: impl Fn(Slot) -> bool) -> bool {
        (0..u64::from(self.members.get())).all(|chunk| {
            let first = self.first_copy(chunk, Sectors::ZERO);
            Copies::new(&self.pattern, first, Sectors::ZERO).any(|copy| works(copy.slot))
        })
    }
}

/// Sectors in an array with `rows` rows of chunks before their far copies.
fn size_of(
    chunk: PowerOfTwoChunk,
    members: MemberCount,
    near: MemberCount,
    rows: u64,
) -> Option<Sectors> {
    let places = rows.checked_mul(u64::from(members.get()))?;
    let (chunks, _) = near.split(places);
    // The bound on `places` in sectors keeps the products of the maps below 2^64 too.
    chunk.start_of(places)?;
    Some(Sectors::new(chunk.start_of(chunks)?.get()))
}

/// Refuses layouts that cannot keep copies apart; gives the far sets of the others.
fn check_copies(layout: Raid10Layout, members: MemberCount) -> Result<SetTable, Raid10Error> {
    let copies = layout.copies();
    if copies < 2 {
        return Err(Raid10Error::TooFewCopies);
    }
    if copies > members.get() {
        return Err(Raid10Error::MoreCopiesThanMembers);
    }
    let size = match layout.sets() {
        FarSets::Whole => members.get(),
        FarSets::Copies => copies,
        FarSets::MembersByFar => members
            .get()
            .checked_div(layout.far())
            .ok_or(Raid10Error::CopiesShareMember)?,
    };
    let sets = SetTable::new(members, size).ok_or(Raid10Error::CopiesShareMember)?;
    if layout.far() > 1 {
        check_far_copies(layout, members, sets, size)?;
    }
    Ok(sets)
}

fn check_far_copies(
    layout: Raid10Layout,
    members: MemberCount,
    sets: SetTable,
    size: u16,
) -> Result<(), Raid10Error> {
    if size < layout.copies() {
        return Err(Raid10Error::CopiesShareMember);
    }
    if layout.near() > 1 && sets.has_longer_last() {
        return Err(Raid10Error::NearCopiesCrossSets);
    }
    let wraps = members.get().checked_rem(layout.near()) != Some(0);
    if wraps && layout.spread() == FarSpread::Offset {
        return Err(Raid10Error::NearCopiesHitOffset);
    }
    Ok(())
}
