// SPDX-License-Identifier: GPL-2.0

//! raid0: chunks in turn over the members, in zones where the members differ in size.

use super::{
    single::{fit, Members, Ready},
    AtWork, Seated, Shape,
};
use crate::{array::live::Live, error::OrErrno};
use kernel::prelude::*;
use kernel_ext::{
    block::{
        bio::{Bio, Op},
        limits::{Features, Limits},
        status::Status,
    },
    params::Int,
};
use md_core::{
    layout::{
        chunk::ChunkSize,
        raid0::{OrderPolicy, Raid0 as Map, Zone, ZoneOrder},
    },
    state::takeover::Zones,
    units::{Sector, SectorRange, Sectors, Slot, SECTOR_SHIFT},
    words::mdstat::Geometry,
};

/// Module parameter `default_layout`: 1 or 2 for arrays of several zones whose superblock does not say which it is.
pub(crate) static DEFAULT_LAYOUT: Int = Int::new(0);

/// A raid0 at work.
pub(crate) struct Raid0 {
    map: Map<KVec<Zone>, KVec<Slot>>,
    members: Members,
    slots: u32,
    chunk: u32,
}

impl Raid0 {
    /// `EINVAL` without members or chunk, `EOPNOTSUPP` when the order of the zones is not known.
    pub(super) fn start(array: &str, shape: &Shape, slots: KVec<Seated>) -> Result<Self> {
        let sectors = u32::try_from(shape.chunk.get()).map_err(|_| EINVAL)?;
        let chunk = ChunkSize::new(sectors).or_errno()?;
        let (lengths, members) = Members::of(slots)?;
        let order = OrderPolicy {
            recorded: shape.layout.and_then(ZoneOrder::from_word),
            default_layout: u32::try_from(DEFAULT_LAYOUT.get())
                .ok()
                .and_then(ZoneOrder::from_word),
        };
        let needs = Map::needs(chunk, &lengths).or_errno()?;
        let zones = KVec::from_elem(Zone::EMPTY, needs.zones, GFP_KERNEL)?;
        let table = KVec::from_elem(Slot::ZERO, needs.slots, GFP_KERNEL)?;
        let map = Map::build(chunk, &lengths, order, zones, table).inspect_err(|error| {
            pr_warn!("{array}: {}\n", crate::log::Text(error));
        });
        Ok(Self {
            map: map.or_errno()?,
            slots: u32::try_from(lengths.len()).map_err(|_| EINVAL)?,
            members,
            chunk: sectors,
        })
    }

    /// Whether all of it is on all members alike.
    pub(super) fn zones(&self) -> Zones {
        match self.map.zone_count() {
            0 | 1 => Zones::One,
            _ => Zones::Several,
        }
    }

    /// Prepares the front of a bio; the rest goes back to the disk. `None` when the bio has ended. May sleep if it may
    /// wait.
    #[inline(never)]
    pub(super) fn prepare(&self, live: &Live, bio: Bio) -> Option<Ready> {
        if bio.op() == Op::Discard {
            return self.prepare_discard(live, bio);
        }
        let run = self.map.map(Sector::new(bio.sector()));
        self.members.prepare(live, bio, run)
    }

    /// A discard may be long, and what one member has of it lies together: one request for each.
    fn prepare_discard(&self, live: &Live, bio: Bio) -> Option<Ready> {
        let length = Sectors::new(u64::from(bio.sectors()));
        let range = SectorRange::new(Sector::new(bio.sector()), length);
        let Some(spread) = range.and_then(|range| self.map.spread(range).ok()) else {
            bio.end(Status::IO_ERROR);
            return None;
        };
        let bio = fit(bio, spread.covered())?;
        self.members.prepare_discard(live, bio, spread)
    }
}

impl AtWork for Raid0 {
    fn size(&self) -> Sectors {
        self.map.array_size()
    }

    fn limits(&self, limits: &mut Limits) {
        limits.add_features(Features::NOWAIT | Features::ATOMIC_WRITES | Features::PCI_P2PDMA);
        let bytes = self.chunk.saturating_mul(1 << SECTOR_SHIFT);
        limits.set_max_hw_sectors(self.chunk);
        limits.set_max_write_zeroes_sectors(self.chunk);
        limits.set_io_min(bytes);
        limits.set_io_opt(bytes.saturating_mul(self.slots));
        limits.set_chunk_sectors(self.chunk);
    }

    fn geometry(&self) -> Geometry {
        Geometry::Raid0 {
            chunk: Sectors::new(u64::from(self.chunk)),
        }
    }
}
