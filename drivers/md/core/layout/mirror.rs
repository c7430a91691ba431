// SPDX-License-Identifier: GPL-2.0

//! Where the copies of a sector lie: raid1 and raid10 behind one trait.
//!
//! [`Raid1`] puts a copy of every sector on every member. [`Raid10`] stripes chunks over the members with a fixed
//! number of copies each. Both answer through [`Placement`], so one engine serves both levels ([`MirrorLayout`] is
//! either); and both walk the same [`Copies`], raid1 being one set of near copies on all members.

mod copies;
mod either;
mod raid1;
mod raid10;
mod stripes;
mod word;

pub use copies::Copies;
pub use either::MirrorLayout;
pub use raid1::Raid1;
pub use raid10::{Raid10, Raid10Error};
pub use stripes::Stripes;
pub use word::{FarSets, FarSpread, LayoutWordError, Raid10Layout};

use super::{chunk::MemberCount, BeyondEnd, MemberSector};
use crate::units::{Sector, Sectors, Slot};

/// The placement of copies; implemented by [`Raid1`] and [`Raid10`].
///
/// An array sector is mapped by [`Placement::copies`] and a member's sector back by [`Placement::array_sector`]; the
/// two are inverse to each other.
pub trait Placement {
    /// How many members the array has.
    fn members(&self) -> MemberCount;

    /// The number of sectors in the array. A resync runs over `0..array_size`, in array sectors.
    fn array_size(&self) -> Sectors;

    /// The number of sectors used on each member. A recovery runs over `0..member_size`, in member sectors.
    fn member_size(&self) -> Sectors;

    /// How many copies each sector has.
    fn copy_count(&self) -> u16;

    /// The copies of an array sector, and how far all of them go on without a gap.
    ///
    /// # Errors
    ///
    /// [`BeyondEnd`].
    fn copies(&self, at: Sector) -> Result<Copies, BeyondEnd>;

    /// The array sector of which a member's sector holds a copy, or `None` where it holds none: a slot that is not in
    /// the array, or the unused rest behind the last row.
    fn array_sector(&self, at: MemberSector) -> Option<Sector>;

    /// The array sector below which every copy lies below member sector `at`, whichever member it is on. No less than
    /// what whole rows of chunks below `at` hold.
    fn done_below(&self, at: Sector) -> Sector;

    /// How much of a chunk is left at member sector `at`: what holds there for the chunk holds so far. All there is, in
    /// an array without chunks.
    fn chunk_left(&self, at: Sector) -> Sectors;

    /// Whether every sector of the array has a copy on a member for which `works` holds.
    fn has_enough(&self, works: impl Fn(Slot) -> bool) -> bool;

    /// The longest step of a resync at array sector `at` that ends at `limit` at the latest: it stays in one run of
    /// [`Placement::copies`]. `None` when there is nothing left.
    fn resync_step(&self, at: Sector, limit: Sector) -> Option<Sectors> {
        let left = limit.distance_from(at)?;
        let run = self.copies(at).ok()?.run();
        Some(left.min(run)).filter(|step| !step.is_zero())
    }

    /// The longest step of the recovery of one member, at most up to member sector `limit`.
    fn recovery_step(&self, at: MemberSector, limit: Sector) -> RecoveryStep {
        let end = Sector::new(self.member_size().get());
        let left = |to: Sector| to.distance_from(at.sector).filter(|left| !left.is_zero());
        let Some(left) = left(if limit < end { limit } else { end }) else {
            return RecoveryStep::Done;
        };
        let copy = self
            .array_sector(at)
            .and_then(|array| Some((array, self.copies(array).ok()?.run())));
        match copy {
            Some((array, run)) => RecoveryStep::Copy {
                array,
                len: left.min(run),
            },
            None => RecoveryStep::Unused {
                len: left.min(self.chunk_left(at.sector)),
            },
        }
    }
}

/// What the recovery of a member does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryStep {
    /// Rewrite `len` sectors from any other copy of array sector `array`.
    Copy {
        /// The array sector that the member's sector holds.
        array: Sector,
        /// The length, never zero.
        len: Sectors,
    },
    /// The member holds nothing of the array there; it may again behind that, where sections of far copies begin.
    Unused {
        /// The length, never zero.
        len: Sectors,
    },
    /// The limit or the end of the member is reached.
    Done,
}

impl RecoveryStep {
    /// How far it goes; `None` at the end.
    pub const fn len(&self) -> Option<Sectors> {
        match self {
            Self::Copy { len, .. } | Self::Unused { len } => Some(*len),
            Self::Done => None,
        }
    }
}
