// SPDX-License-Identifier: GPL-2.0

//! What a superblock places on a member: whether it overlaps, and whether the logs hold what they should.

use md_core::format::{
    badblocks,
    extents::{Extents, LogUse},
    journal::{MetaBlock, Seed, BLOCK_BYTES},
    ppl,
    sb1::{BadBlocks, CrashLog, Progress, Sb1},
    BlockSize,
};

use super::Findings;
use crate::{failure::Failure, found::Superblock, source::Source};

pub(super) fn check(
    source: &Source,
    sb: &Superblock<'_>,
    extents: &Extents,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let log = match extents.verify() {
        Ok(log) => log,
        Err(error) => {
            findings.add("areas-collide", error);
            LogUse::Absent
        }
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
    if let Superblock::V1(sb) = sb {
        check_bad_blocks(source, sb, log, findings)?;
        check_ppl(source, sb, findings)?;
        check_journal(source, sb, findings)?;
    }
    Ok(())
}

fn check_bad_blocks(
    source: &Source,
    sb: &Sb1<'_>,
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

fn check_ppl(source: &Source, sb: &Sb1<'_>, findings: &mut Findings) -> Result<(), Failure> {
    let CrashLog::Ppl(place) = sb.member().crash_log else {
        return Ok(());
    };
    let Some(range) = place.range else {
        findings.add(
            "ppl-missing",
            "the array uses a partial parity log, and this member has no room for one",
        );
        return Ok(());
    };
    let bytes = source.read(
        range.start(),
        ppl::HEADER_BYTES as u64,
        "the partial parity log",
    )?;
    match ppl::Header::parse(&bytes, BlockSize::SECTOR) {
        Err(error) => findings.add("ppl-header", format_args!("partial parity log: {error}")),
        Ok(header) => findings.add_if(
            header.signature() != ppl::signature(sb.set_uuid()),
            "ppl-signature",
            "the partial parity log is that of another array",
        ),
    }
    Ok(())
}

fn check_journal(source: &Source, sb: &Sb1<'_>, findings: &mut Findings) -> Result<(), Failure> {
    let Progress::Journal { tail } = sb.member().progress else {
        return Ok(());
    };
    let at = sb.member().data.offset.saturating_add(tail);
    let bytes = source.read(at, BLOCK_BYTES as u64, "the tail of the journal")?;
    match MetaBlock::parse(&bytes, Seed::of(sb.set_uuid())) {
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
