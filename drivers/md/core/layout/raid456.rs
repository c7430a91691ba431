// SPDX-License-Identifier: GPL-2.0

//! Striping with rotating parity: raid4, raid5 and raid6.
//!
//! A *row* is one chunk on each member at the same member sector. In each row one member holds P, in raid6 another
//! one holds Q, and the rest hold data. All layouts of md are rows of one table, [`Rule`]: how P moves from row to
//! row, where Q is beside it, and in which order the data chunks take the members that are left.
//!
//! [`Raid456`] maps array sectors; [`Roles`] says what each member holds in a row, and gives the order in which data
//! enters the Q syndrome.

mod roles;
mod word;

pub use roles::{Role, Roles, SyndromeBlock};
pub use word::{ParityLayout, Raid5Layout, Raid6Layout, UnknownLayout};

use super::{
    chunk::{MemberCount, PowerOfTwoChunk},
    BeyondEnd, MemberSector,
};
use crate::units::{Sector, SectorRange, Sectors, Slot};
use core::fmt;
use roles::Rule;

/// Why a geometry is refused; EINVAL in C md where it refuses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid456Error {
    /// raid4 and raid5 take at least 2 members, raid6 at least 4.
    TooFewMembers,
    /// The array would be longer than 2^64 sectors.
    TooLong,
}

impl fmt::Display for Raid456Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooFewMembers => "not enough configured devices for the level",
            Self::TooLong => "the array exceeds 2^64 sectors",
        })
    }
}

/// Where an array sector is, and what else is in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The member sector that holds the data. P and Q of it are at the same sector of their members.
    pub data: MemberSector,
    /// What each member holds in this row.
    pub roles: Roles,
    /// Sectors to the end of the chunk, never zero.
    pub run: Sectors,
}

/// A raid4, raid5 or raid6 array.
///
/// # Invariants
///
/// There are at least two members more than parities in raid6 and one more in raid4 and raid5, and `array_size` does
/// not exceed 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid456 {
    layout: ParityLayout,
    rule: Rule,
    chunk: PowerOfTwoChunk,
    members: MemberCount,
    data: MemberCount,
    member_size: Sectors,
    array_size: Sectors,
}

impl Raid456 {
    /// An array on members that have at least `available` sectors for data each.
    ///
    /// # Errors
    ///
    /// All of [`Raid456Error`].
    pub fn new(
        layout: ParityLayout,
        chunk: PowerOfTwoChunk,
        members: MemberCount,
        available: Sectors,
    ) -> Result<Self, Raid456Error> {
        let parities = layout.parities();
        let data = members
            .get()
            .checked_sub(parities)
            .filter(|data| *data >= parities)
            .and_then(MemberCount::new)
            .ok_or(Raid456Error::TooFewMembers)?;
        let rule = Rule::of(layout, members).ok_or(Raid456Error::TooFewMembers)?;
        let member_size = chunk.size().round_down(available);
        let array_size = member_size
            .checked_mul(u64::from(data.get()))
            .ok_or(Raid456Error::TooLong)?;
        // INVARIANT: both clauses were checked above.
        Ok(Self {
            layout,
            rule,
            chunk,
            members,
            data,
            member_size,
            array_size,
        })
    }

    /// The layout.
    pub const fn layout(&self) -> ParityLayout {
        self.layout
    }

    /// The chunk length.
    pub const fn chunk(&self) -> PowerOfTwoChunk {
        self.chunk
    }

    /// How many members the array has.
    pub const fn members(&self) -> MemberCount {
        self.members
    }

    /// How many members hold data in each row.
    pub const fn data_members(&self) -> MemberCount {
        self.data
    }

    /// The number of sectors used on each member. Resync and recovery run over `0..member_size`, in member sectors.
    pub const fn member_size(&self) -> Sectors {
        self.member_size
    }

    /// The number of sectors in the array.
    pub const fn array_size(&self) -> Sectors {
        self.array_size
    }

    /// Maps an array sector; the run reaches to the end of the chunk.
    ///
    /// # Errors
    ///
    /// [`BeyondEnd`].
    #[inline]
    pub fn locate(&self, at: Sector) -> Result<Located, BeyondEnd> {
        if at.get() >= self.array_size.get() {
            return Err(BeyondEnd);
        }
        let (chunk, offset) = self.chunk.split(at);
        let (row, index) = self.data.split(chunk);
        let roles = self.rule.roles(row);
        let chunk_len = self.chunk.sectors().get();
        // By the type invariant below the member's size, so nothing saturates.
        let sector = row.saturating_mul(chunk_len).saturating_add(offset.get());
        Ok(Located {
            data: MemberSector {
                slot: roles.data_slot(index),
                sector: Sector::new(sector),
            },
            roles,
            run: Sectors::new(chunk_len.saturating_sub(offset.get())),
        })
    }

    /// What each member holds in the row of member sector `at`. The row need not be in the array.
    #[inline]
    pub fn roles_at(&self, at: Sector) -> Roles {
        let (row, _) = self.chunk.split(at);
        self.rule.roles(row)
    }

    /// The array sector that a member's sector holds, or what else it holds.
    #[inline]
    pub fn holds(&self, at: MemberSector) -> Held {
        if at.sector.get() >= self.member_size.get() {
            return Held::Nothing;
        }
        let (row, offset) = self.chunk.split(at.sector);
        match self.rule.roles(row).role(at.slot) {
            None => Held::Nothing,
            Some(Role::P) => Held::P,
            Some(Role::Q) => Held::Q,
            Some(Role::Data(index)) => {
                // By the type invariant below the array's size, so nothing saturates.
                let chunk = row
                    .saturating_mul(u64::from(self.data.get()))
                    .saturating_add(u64::from(index));
                let start = chunk.saturating_mul(self.chunk.sectors().get());
                Held::Data(Sector::new(start).saturating_add(offset))
            }
        }
    }

    /// The member sectors of all rows that `range` of the array touches: what a bitmap that counts member sectors has
    /// to mark for a write. Cut off at the end of the array; `None` when the range lies behind it.
    pub fn rows_of(&self, range: SectorRange) -> Option<SectorRange> {
        let last = range.end().checked_sub(Sectors::new(1))?;
        let (first_row, _) = self.data.split(self.chunk.split(range.start()).0);
        let (last_row, _) = self.data.split(self.chunk.split(last).0);
        let start = self.chunk.start_of(first_row)?;
        let end = self
            .chunk
            .start_of(last_row.checked_add(1)?)?
            .get()
            .min(self.member_size.get());
        SectorRange::new(start, Sectors::new(end.checked_sub(start.get())?))
    }

    /// Whether the member in `slot` holds parity in every row. Such a member may be out of date in an array that is
    /// both dirty and degraded without any data being in doubt.
    pub fn is_parity_only(&self, slot: Slot) -> bool {
        self.members.has(slot) && self.rule.is_parity_only(slot)
    }
}

/// What a member's sector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// This array sector.
    Data(Sector),
    /// The XOR parity of its row.
    P,
    /// The second syndrome of its row.
    Q,
    /// Nothing: the slot is not in the array, or the sector lies behind the last row.
    Nothing,
}
