// SPDX-License-Identifier: GPL-2.0

//! What is wrong with a bitmap.

use md_core::{
    format::{
        bitmap::{lockless_capacity, BitmapSb, Freshness, Kind, StateBits},
        extents::Extents,
        level::Level,
        sb1::CrashLog,
    },
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{Placement as _, Raid10, Raid10Layout},
    },
    units::Sectors,
};

use super::Findings;
use crate::{
    cells::{Bitmap, State},
    failure::Failure,
    found::Superblock,
    source::Source,
};

/// The shortest page of a kernel, which a raid10 chunk must not be smaller than.
pub(super) const PAGE: Sectors = Sectors::new(8);

/// Checks the bitmap that `member` names; gives its superblock when it can be used.
pub(super) fn check(
    source: &Source,
    member: &Superblock<'_>,
    findings: &mut Findings,
) -> Result<Option<BitmapSb>, Failure> {
    if !matches!(member.member().crash_log, CrashLog::Bitmap(_)) {
        return Ok(None);
    }
    let sb = match Bitmap::read_superblock(source, member) {
        Ok((_, sb)) => sb,
        Err(Failure::NoBitmap(why)) => {
            findings.add(
                "bitmap-refused",
                format_args!("the superblock names a bitmap: {why}"),
            );
            return Ok(None);
        }
        Err(other) => return Err(other),
    };
    check_events(&sb, member, findings);
    check_state(&sb, findings);
    check_size(&sb, member, findings);
    match Bitmap::read(source, member) {
        Ok(bitmap) => check_cells(&bitmap, findings),
        Err(Failure::Truncated { .. }) => {
            findings.add("bitmap-off-device", "the bitmap ends beyond the member")
        }
        Err(long @ Failure::TooLong { .. }) => findings.add("bitmap-unread", long),
        Err(other) => return Err(other),
    }
    Ok(Some(sb))
}

fn check_events(sb: &BitmapSb, member: &Superblock<'_>, findings: &mut Findings) {
    let events = member.array().events;
    match sb.freshness(member.set_uuid(), events) {
        Err(error) => findings.add("bitmap-uuid", error),
        Ok(Freshness::Fresh) => {}
        Ok(Freshness::Stale) if sb.state.contains(StateBits::STALE) => {
            findings.add("bitmap-stale", "the bitmap says itself that it is stale")
        }
        Ok(Freshness::Stale) => findings.add(
            "bitmap-stale",
            format_args!(
                "the bitmap's events are {}, the superblock's {events}",
                sb.events
            ),
        ),
    }
    findings.add_if(
        sb.events_cleared > sb.events,
        "bitmap-events-cleared",
        format_args!(
            "bits were cleared at event {}, after the bitmap's {}",
            sb.events_cleared, sb.events
        ),
    );
}

fn check_state(sb: &BitmapSb, findings: &mut Findings) {
    findings.add_if(
        sb.state.contains(StateBits::WRITE_ERROR),
        "bitmap-write-error",
        "writing the bitmap failed, so it may be behind; the C driver does not load it",
    );
}

fn check_size(sb: &BitmapSb, member: &Superblock<'_>, findings: &mut Findings) {
    let Some(wanted) = sync_size(member) else {
        return;
    };
    findings.add_if(
        sb.sync_size != wanted && sb.kind != Kind::LocklessFirstUse,
        "bitmap-sync-size",
        format_args!("the bitmap covers {} sectors, not {wanted}", sb.sync_size),
    );
}

/// What a bitmap of this array has to cover, if that is settled.
fn sync_size(member: &Superblock<'_>) -> Option<Sectors> {
    let array = member.array();
    if array.reshape.is_some() || array.member_size.is_zero() {
        return None;
    }
    if array.level != Level::Raid10 {
        return Some(array.member_size);
    }
    let layout = Raid10Layout::parse(array.layout?).ok()?;
    let chunk = ChunkSize::new(u32::try_from(array.chunk.get()).ok()?).ok()?;
    let chunk = PowerOfTwoChunk::new(chunk, PAGE).ok()?;
    let members = MemberCount::new(array.raid_disks)?;
    let raid10 = Raid10::new(layout, chunk, members, array.member_size).ok()?;
    Some(raid10.array_size())
}

fn check_cells(bitmap: &Bitmap, findings: &mut Findings) {
    let unknown = bitmap
        .cells()
        .filter(|state| *state == State::Unknown)
        .count();
    findings.add_if(
        unknown != 0,
        "bitmap-unknown-cells",
        format_args!("{unknown} chunks have a byte that is no state; they will be synced"),
    );
}

/// Whether the bitmap fits what is kept for it, a lockless one with its header, and whether that is there to be kept.
pub(super) fn check_room(sb: &BitmapSb, extents: &Extents, findings: &mut Findings) {
    let room = extents.bitmap_room(sb).unwrap_or(Sectors::ZERO);
    let needed = sb.kind.needed(sb.sync_size).unwrap_or(Sectors::ZERO);
    // Where it does not even reach what it needs, the areas collide.
    findings.add_if(
        sb.reserved > room && needed <= room,
        "bitmap-reserve",
        format_args!(
            "{} sectors are kept for the bitmap, and {room} are free there",
            sb.reserved
        ),
    );
    let room = if sb.reserved.is_zero() {
        room
    } else {
        room.min(sb.reserved)
    };
    let Kind::Lockless(chunk) = sb.kind else {
        findings.add_if(
            needed > sb.reserved && !sb.reserved.is_zero(),
            "bitmap-too-long",
            format_args!(
                "the bitmap needs {needed} sectors, and {} are kept for it",
                sb.reserved
            ),
        );
        return;
    };
    let (chunks, capacity) = (chunk.count(sb.sync_size), lockless_capacity(room));
    findings.add_if(
        chunks > capacity,
        "bitmap-too-long",
        format_args!("{chunks} chunks need a byte each, and there is room for {capacity}"),
    );
}
