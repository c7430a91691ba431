// SPDX-License-Identifier: GPL-2.0

//! linear: the members one behind the other.

use super::{
    single::{Members, Ready},
    AtWork, Seated, Shape,
};
use crate::{array::live::Live, error::OrErrno};
use kernel::prelude::*;
use kernel_ext::block::{
    bio::Bio,
    limits::{Features, Limits},
};
use md_core::{
    layout::{
        chunk::ChunkSize,
        linear::{Linear as Map, Rounding},
    },
    units::{Sector, Sectors, SECTOR_SHIFT},
    words::mdstat::Geometry,
};

/// A linear array at work.
pub(crate) struct Linear {
    map: Map<KVec<Sectors>>,
    members: Members,
    rounding: Sectors,
}

impl Linear {
    /// `EINVAL` without members or for ones that are too long together.
    pub(super) fn start(shape: &Shape, slots: KVec<Seated>) -> Result<Self> {
        let (lengths, members) = Members::of(slots)?;
        let rounding = match u32::try_from(shape.chunk.get()) {
            Ok(0) => Rounding::Exact,
            Ok(sectors) => Rounding::Chunks(ChunkSize::new(sectors).or_errno()?),
            Err(_) => return Err(EINVAL),
        };
        Ok(Self {
            map: Map::from_lengths(lengths, rounding).or_errno()?,
            members,
            rounding: shape.chunk,
        })
    }

    /// Prepares the front of a bio; the rest goes back to the disk. `None` when the bio has ended. May sleep if it may
    /// wait.
    #[inline(never)]
    pub(super) fn prepare(&self, live: &Live, bio: Bio) -> Option<Ready> {
        let run = self.map.map(Sector::new(bio.sector()));
        self.members.prepare(live, bio, run)
    }
}

impl AtWork for Linear {
    fn size(&self) -> Sectors {
        self.map.array_size()
    }

    fn limits(&self, limits: &mut Limits) {
        limits.add_features(Features::NOWAIT | Features::ATOMIC_WRITES);
        if let Ok(chunk @ 1..) = u32::try_from(self.rounding.get()) {
            limits.set_max_hw_sectors(chunk);
            limits.set_max_write_zeroes_sectors(chunk);
            limits.set_io_min(chunk << SECTOR_SHIFT);
        }
    }

    fn geometry(&self) -> Geometry {
        Geometry::Linear {
            rounding: self.rounding,
        }
    }
}
