// SPDX-License-Identifier: GPL-2.0

//! raid1: every member holds the whole array.

use super::{
    copies::{Copies, Pattern, SetTable},
    Placement,
};
use crate::{
    layout::{chunk::MemberCount, BeyondEnd, MemberSector},
    units::{Sector, Sectors, Slot},
};

/// A raid1 array: array sector and member sector are the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid1 {
    members: MemberCount,
    size: Sectors,
    pattern: Pattern,
}

impl Raid1 {
    /// An array of `size` sectors, the superblock's component size; raid1 rounds nothing.
    pub const fn new(members: MemberCount, size: Sectors) -> Self {
        Self {
            members,
            size,
            pattern: Pattern {
                members: members.get(),
                near: members.get(),
                far: 1,
                stride: 0,
                row: 0,
                sets: SetTable::whole(members),
            },
        }
    }
}

impl Placement for Raid1 {
    fn members(&self) -> MemberCount {
        self.members
    }

    fn array_size(&self) -> Sectors {
        self.size
    }

    fn member_size(&self) -> Sectors {
        self.size
    }

    fn copy_count(&self) -> u16 {
        self.members.get()
    }

    #[inline]
    fn copies(&self, at: Sector) -> Result<Copies, BeyondEnd> {
        let run = self.size.get().checked_sub(at.get()).ok_or(BeyondEnd)?;
        if run == 0 {
            return Err(BeyondEnd);
        }
        let first = MemberSector {
            slot: Slot::new(0),
            sector: at,
        };
        Ok(Copies::new(&self.pattern, first, Sectors::new(run)))
    }

    fn array_sector(&self, at: MemberSector) -> Option<Sector> {
        (self.members.has(at.slot) && at.sector.get() < self.size.get()).then_some(at.sector)
    }

    fn done_below(&self, at: Sector) -> Sector {
        at.min(Sector::new(self.size.get()))
    }

    fn chunk_left(&self, at: Sector) -> Sectors {
        Sectors::new(self.size.get().saturating_sub(at.get()))
    }

    fn has_enough(&self, works: impl Fn(Slot) -> bool) -> bool {
        self.members.slots().any(works)
    }
}
