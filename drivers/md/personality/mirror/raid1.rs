// SPDX-License-Identifier: GPL-2.0

//! What is particular to raid1 in the mirror engine.

use super::{
    barrier,
    walk::{Located, Walk},
    Layout,
};
use crate::personality::Shape;
use kernel::prelude::*;
use kernel_ext::block::limits::Limits;
use md_core::{
    layout::{chunk::MemberCount, mirror::Raid1},
    mirror::balance::{choose_raid1, Choice, ReadOrder},
    units::Sectors,
};

/// `EINVAL` without slots.
pub(super) fn layout(shape: &Shape) -> Result<Layout> {
    let members = MemberCount::new(shape.raid_disks).ok_or(EINVAL)?;
    Ok(Layout::Raid1(Raid1::new(members, shape.member_size)))
}

/// No bio crosses the units of the barrier.
pub(super) fn limits(limits: &mut Limits) {
    limits.set_chunk_sectors(barrier::UNIT);
}

/// The copy to read.
#[inline]
pub(super) fn choose<'a>(
    length: Sectors,
    order: ReadOrder,
    copies: Walk<'a>,
) -> Option<Choice<Located<'a>>> {
    let candidates = copies.filter_map(|copy| copy.candidate(length));
    choose_raid1(length, order, candidates)
}
