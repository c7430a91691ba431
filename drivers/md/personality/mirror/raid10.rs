// SPDX-License-Identifier: GPL-2.0

//! What is particular to raid10 in the mirror engine.

use super::{seat::Seat, walk::Located, Layout, Mirror};
use crate::{log::Text, personality::Shape};
use kernel::prelude::*;
use kernel_ext::{alloc::page::PAGE_SECTORS, block::limits::Limits};
use md_core::{
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{FarSpread, Placement, Raid10, Raid10Layout},
    },
    mirror::balance::{choose_raid10, prefer_replacement, Choice, Copies, ReadOrder},
    units::{Sector, Sectors, SECTOR_SHIFT},
    words::mdstat::{FarCopies, Raid10Geometry},
};

/// `EINVAL` for a shape that cannot be.
pub(super) fn layout(array: &str, shape: &Shape) -> Result<Layout> {
    let bad = |what: &dyn core::fmt::Display| {
        pr_warn!("{array}: {}\n", Text(what));
        EINVAL
    };
    let members = MemberCount::new(shape.raid_disks).ok_or(EINVAL)?;
    let word = shape.layout.unwrap_or(Raid10Layout::DEFAULT_WORD);
    let layout = Raid10Layout::parse(word).map_err(|why| bad(&why))?;
    let page = Sectors::new(u64::from(PAGE_SECTORS));
    let chunk = u32::try_from(shape.chunk.get()).map_err(|_| EINVAL)?;
    let chunk = ChunkSize::new(chunk)
        .and_then(|chunk| PowerOfTwoChunk::new(chunk, page))
        .map_err(|why| bad(&why))?;
    let raid10 = Raid10::new(layout, chunk, members, shape.member_size).map_err(|why| bad(&why))?;
    Ok(Layout::Raid10(raid10))
}

/// Chunks and stripes are what I/O had best be made of.
pub(super) fn limits(layout: &Raid10, limits: &mut Limits) {
    let sectors = u32::try_from(layout.chunk().sectors().get()).unwrap_or(u32::MAX);
    let bytes = sectors.saturating_mul(1 << SECTOR_SHIFT);
    limits.set_chunk_sectors(sectors);
    limits.set_io_min(bytes);
    limits.set_io_opt(bytes.saturating_mul(u32::from(layout.chunks_per_stripe())));
}

/// What `/proc/mdstat` tells of its shape.
pub(super) fn geometry(raid10: &Raid10) -> Raid10Geometry {
    let layout = raid10.layout();
    let far = u32::from(layout.far());
    Raid10Geometry {
        chunk: raid10.chunk().sectors(),
        slots: u32::from(raid10.members().get()),
        near_copies: u32::from(layout.near()),
        far: match layout.spread() {
            _ if far == 1 => FarCopies::None,
            FarSpread::Far => FarCopies::Far(far),
            FarSpread::Offset => FarCopies::Offset(far),
        },
        far_set_slots: u32::from(raid10.far_set_size()),
    }
}

/// The copy to read, in the order of the layout.
pub(super) fn choose<'a>(
    mirror: &'a Mirror,
    raid10: &Raid10,
    length: Sectors,
    order: ReadOrder,
    start: Sector,
) -> Option<Choice<Located<'a>>> {
    let layout = raid10.layout();
    let spread = match (layout.near(), layout.far()) {
        (_, 1) => Copies::Near,
        (1, _) => Copies::Far,
        _ => Copies::NearAndFar,
    };
    let candidates = raid10.copies(start).ok()?.filter_map(|copy| {
        let [main, replacement] = mirror.seats_of(copy.slot);
        let candidate = |seat: Option<&'a Seat>| seat?.candidate(copy.sector, length);
        prefer_replacement(length, candidate(main), candidate(replacement))
    });
    choose_raid10(length, order, spread, candidates)
}
