// SPDX-License-Identifier: GPL-2.0

//! What is particular to raid10 in the mirror engine.

use super::{moving::Moving, seat::Seat, walk::Located, Mirror};
use crate::{
    log::Text,
    personality::{Reshaping, Shape},
};
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{alloc::page::PAGE_SECTORS, block::limits::Limits};
use md_core::{
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{FarSpread, Placement, Raid10, Raid10Layout},
        reshape::Part,
    },
    mirror::balance::{choose_raid10, prefer_replacement, Choice, Copies, ReadOrder},
    units::{Sector, Sectors, SECTOR_SHIFT},
    words::mdstat::{FarCopies, Raid10Geometry},
};

/// `EINVAL` for a shape that cannot be.
pub(super) fn layout(array: &str, shape: &Shape) -> Result<Raid10> {
    let word = shape.layout.unwrap_or(Raid10Layout::DEFAULT_WORD);
    geometry_of(
        array,
        word,
        shape.chunk,
        shape.raid_disks,
        shape.member_size,
    )
}

/// A geometry of members that have so many sectors each. `EINVAL` for one that cannot be.
pub(crate) fn geometry_of(
    array: &str,
    word: u32,
    chunk: Sectors,
    slots: u16,
    member_size: Sectors,
) -> Result<Raid10> {
    let bad = |what: &dyn core::fmt::Display| {
        pr_warn!("{array}: {}\n", Text(what));
        EINVAL
    };
    let members = MemberCount::new(slots).ok_or(EINVAL)?;
    let layout = Raid10Layout::parse(word).map_err(|why| bad(&why))?;
    let page = Sectors::new(u64::from(PAGE_SECTORS));
    let chunk = u32::try_from(chunk.get()).map_err(|_| EINVAL)?;
    let chunk = ChunkSize::new(chunk)
        .and_then(|chunk| PowerOfTwoChunk::new(chunk, page))
        .map_err(|why| bad(&why))?;
    Raid10::new(layout, chunk, members, member_size).map_err(|why| bad(&why))
}

/// The reshape that the array is in. `EINVAL` for one that cannot go on.
pub(super) fn moving(array: &str, reshaping: &Reshaping) -> Result<Arc<Moving>> {
    let Reshaping { reshape, position } = reshaping;
    let position = reshape.resume(*position).map_err(|why| {
        pr_warn!("{array}: {}\n", Text(why));
        EINVAL
    })?;
    Moving::new(*reshape, position)
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
    part: &Part<'_>,
    order: ReadOrder,
    start: Sector,
) -> Option<Choice<Located<'a>>> {
    let layout = part.layout.layout();
    let spread = match (layout.near(), layout.far()) {
        (_, 1) => Copies::Near,
        (1, _) => Copies::Far,
        _ => Copies::NearAndFar,
    };
    let copies = part.layout.copies(start).ok()?;
    let (length, geometry) = (part.length.min(copies.run()), part.geometry);
    let candidates = copies.filter_map(|copy| {
        let [main, replacement] = mirror.seats_of(copy.slot);
        let candidate = |seat: Option<&'a Seat>| {
            let seat = seat?;
            let at = seat.at(copy.sector, geometry);
            Located { seat, at, geometry }.candidate(length)
        };
        prefer_replacement(length, candidate(main), candidate(replacement))
    });
    choose_raid10(length, order, spread, candidates)
}
