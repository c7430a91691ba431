// SPDX-License-Identifier: GPL-2.0

//! Writes that failed, block by block.

use super::{
    seat::{Copy, Seat},
    write::Write,
};
use crate::member::Health;
use core::num::NonZeroU32;
use kernel_ext::block::{
    bdev::Target,
    bio::{Flags, Head, Part},
    fan::Fan,
};
use md_core::{
    mirror::retry::{blocks, makes_safe, narrowing_block, BadBlockGrain, Ending},
    units::{SectorRange, Sectors, SECTOR_SHIFT},
};

/// Finds out block by block which of a write's copies have failed where, and records that. May sleep.
pub(super) fn narrow(mut fan: Fan<Write>) -> Fan<Write> {
    let mut rescued = None;
    for leg in fan.legs() {
        let copy = leg.target();
        // Whatever the error was: what one copy has in the end, all are to have.
        if leg.status().is_ok() || copy.member.health() != Health::Working {
            continue;
        }
        let Some(seat) = fan.mirror().and_then(|mirror| mirror.seat(copy.place)) else {
            continue;
        };
        let whole = fan.data().is_some_and(|data| rewrite(data, seat, copy));
        let end = copy.at.saturating_add(copy.length);
        if whole && makes_safe(Ending::Ok, end, seat.member.valid_below()) {
            rescued = Some(copy.place);
        }
    }
    fan.rescued = rescued;
    fan
}

/// Writes a copy once more, block by block; whether all of it went well.
fn rewrite(data: &Head, seat: &Seat, copy: &Copy) -> bool {
    let device = copy.member.device();
    let grain = match copy.member.bad_blocks().shift() {
        Some(shift) => BadBlockGrain::Shift(shift),
        None => BadBlockGrain::NoList,
    };
    let logical = NonZeroU32::new(device.logical_block_size() >> SECTOR_SHIFT);
    let block = narrowing_block(grain, logical.unwrap_or(NonZeroU32::MIN));
    let start = seat.on_device(copy.at);
    let Some(range) = SectorRange::new(start, copy.length) else {
        return false;
    };
    let mut whole = true;
    for piece in blocks(range, block) {
        let skip = piece.start().distance_from(start).unwrap_or(Sectors::ZERO);
        let part = Part {
            skip: u32::try_from(skip.get()).unwrap_or(u32::MAX),
            sectors: u32::try_from(piece.len().get()).unwrap_or(0),
        };
        let status = data.do_part(part, device, piece.start().get(), Flags::NONE);
        if status.is_ok() {
            continue;
        }
        whole = false;
        if copy.member.note_bad(piece).is_err() {
            copy.member.report_failure();
            break;
        }
    }
    whole
}
