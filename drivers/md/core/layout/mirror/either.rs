// SPDX-License-Identifier: GPL-2.0

//! Either placement, for an engine that learns which when an array starts.

use super::{Copies, Placement, Raid1, Raid10};
use crate::{
    layout::{chunk::MemberCount, BeyondEnd, MemberSector},
    units::{Sector, Sectors, Slot},
};

/// The placement of a mirror of either level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorLayout {
    /// Every member holds everything.
    Raid1(Raid1),
    /// Striped copies.
    Raid10(Raid10),
}

impl MirrorLayout {
    /// Whether what is used of each member is fixed: sections of far copies would move.
    pub const fn is_fixed(&self) -> bool {
        match self {
            Self::Raid1(_) => false,
            Self::Raid10(raid10) => raid10.layout().has_sections(),
        }
    }
}

/// Asks whichever it is.
macro_rules! either {
    ($layout:expr, $inner:ident => $answer:expr) => {
        match $layout {
            MirrorLayout::Raid1($inner) => $answer,
            MirrorLayout::Raid10($inner) => $answer,
        }
    };
}

impl Placement for MirrorLayout {
    #[inline]
    fn members(&self) -> MemberCount {
        either!(self, layout => layout.members())
    }

    fn array_size(&self) -> Sectors {
        either!(self, layout => layout.array_size())
    }

    fn member_size(&self) -> Sectors {
        either!(self, layout => layout.member_size())
    }

    fn copy_count(&self) -> u16 {
        either!(self, layout => layout.copy_count())
    }

    #[inline]
    fn copies(&self, at: Sector) -> Result<Copies, BeyondEnd> {
        either!(self, layout => layout.copies(at))
    }

    fn array_sector(&self, at: MemberSector) -> Option<Sector> {
        either!(self, layout => layout.array_sector(at))
    }

    fn done_below(&self, at: Sector) -> Sector {
        either!(self, layout => layout.done_below(at))
    }

    fn chunk_left(&self, at: Sector) -> Sectors {
        either!(self, layout => layout.chunk_left(at))
    }

    fn has_enough(&self, works: impl Fn(Slot) -> bool) -> bool {
        either!(self, layout => layout.has_enough(works))
    }
}
