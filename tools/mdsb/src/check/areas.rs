// SPDX-License-Identifier: GPL-2.0

//! What a superblock places on a member: whether it overlaps, and whether the logs hold what they should.

use md_core::format::{
    badblocks,
    bitmap::BitmapSb,
    extents::{Area, Extents, ExtentsError, LogUse},
    journal::{MetaBlock, Seed, BLOCK_BYTES},
    ppl::Stop,
    sb1::{BadBlocks, CrashLog, Progress, Sb1, Unplaced},
};

use super::{bitmap::check_room, Findings};
use crate::{failure::Failure, found::Superblock, ppl, source::Source};

pub(super) fn check(
    source: &Source,
    sb: &Superblock<'_>,
    bitmap: Option<&BitmapSb>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    check_data(sb, findings);
    let log = match sb.extents() {
        Ok(extents) => placed(&extents, bitmap, findings),
        Err(error) => {
            findings.add("areas-collide", error);
            LogUse::Absent
        }
    };
    if let Superblock::V1(sb) = sb {
        check_bad_blocks(source, sb, log, findings)?;
        check_ppl(source, sb, findings)?;
        check_journal(source, sb, findings)?;
    }
    Ok(())
}

/// Whether the member has room for what the array uses of it.
fn check_data(sb: &Superblock<'_>, findings: &mut Findings) {
    let (needed, room) = (sb.array().member_size, sb.member().data.size);
    let journal = matches!(sb.member().progress, Progress::Journal { .. });
    findings.add_if(
        needed > room && !journal,
        "data-too-short",
        format_args!(
            "the array uses {needed} sectors of each member, and there is room for {room}"
        ),
    );
}

/// Checks what else depends on the places, and tells how the bad-block log may be used.
fn placed(extents: &Extents, bitmap: Option<&BitmapSb>, findings: &mut Findings) -> LogUse {
    if let Some(bitmap) = bitmap {
        check_room(bitmap, extents, findings);
        match extents.with_bitmap(bitmap) {
            // That was named when it was read.
            Ok(_) | Err(ExtentsError::OffDevice(Area::Bitmap)) => {}
            Err(error) => findings.add("areas-collide", error),
        }
    }
    let log = match extents.log_use(bitmap) {
        Ok(log) => log,
        Err(error @ ExtentsError::RecordedBadBlocksIn(_)) => {
            findings.add("areas-collide", error);
            LogUse::Absent
        }
        // The bitmap's, named above.
        Err(_) => LogUse::Absent,
    };
    match log {
        LogUse::InsideLocklessBitmap(log) => findings.add(
            "bad-block-log-in-lockless-bitmap",
            format_args!(
                "the bad-block log at sector {} lies inside the lockless bitmap, where mdadm 4.6 puts it; \
                 it must be neither read nor written",
                log.range.start()
            ),
        ),
        LogUse::Inside(area, log) => findings.add(
            "bad-block-log-misplaced",
            format_args!("the bad-block log at sector {} lies inside the {area}", log.range.start()),
        ),
        LogUse::Absent | LogUse::Usable(_) => {}
    }
    log
}

fn check_bad_blocks(
    source: &Source,
    sb: &Sb1<'_, Unplaced>,
    log: LogUse,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let (LogUse::Usable(log), BadBlocks::Recorded) = (log, sb.member().bad_blocks) else {
        return Ok(());
    };
    let length = log.range.len().to_bytes().unwrap_or(0);
    let bytes = source.read(log.range.start(), length, "the bad-block log")?;
    for entry in badblocks::entries(&bytes, log.shift) {
        match entry {
            Err(error) => findings.add("bad-block-entry", error),
            Ok(range) => findings.add_if(
                range.end().get() > source.sectors.get(),
                "bad-block-off-device",
                format_args!(
                    "bad block at sector {} lies beyond the member",
                    range.start()
                ),
            ),
        }
    }
    Ok(())
}

fn check_ppl(
    source: &Source,
    sb: &Sb1<'_, Unplaced>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let CrashLog::Ppl(place) = sb.member().crash_log else {
        return Ok(());
    };
    let Some(range) = place.range else {
        findings.add(
            "ppl-missing",
            format_args!(
                "the array uses a partial parity log, and {} sectors are no room for one",
                place.sectors
            ),
        );
        return Ok(());
    };
    let area = ppl::Area::read(source, range, sb.set_uuid())?;
    match area.stop {
        // What comes behind the newest log is what was there before.
        _ if area.newest.is_some() => {}
        Some(Stop::Foreign(_)) => findings.add(
            "ppl-signature",
            "the partial parity log is that of another array",
        ),
        Some(stop) => findings.add("ppl-header", format_args!("partial parity log: {stop}")),
        None => {}
    }
    Ok(())
}

fn check_journal(
    source: &Source,
    sb: &Sb1<'_, Unplaced>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Progress::Journal { tail } = sb.member().progress else {
        return Ok(());
    };
    let data = sb.member().data;
    let at = data.offset.saturating_add(tail);
    let bytes = source.read(at, BLOCK_BYTES as u64, "the tail of the journal")?;
    match MetaBlock::parse(&bytes, Seed::of(sb.set_uuid()), data.size) {
        Err(error) => findings.add(
            "journal-tail",
            format_args!("at sector {tail} of the journal: {error}"),
        ),
        Ok(block) => findings.add_if(
            block.position().get() != tail.get(),
            "journal-position",
            format_args!(
                "the block at sector {tail} of the journal belongs at {}",
                block.position()
            ),
        ),
    }
    Ok(())
}
