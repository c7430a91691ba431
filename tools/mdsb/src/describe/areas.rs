// SPDX-License-Identifier: GPL-2.0

//! What else a 1.x superblock places on a member: the bad-block log, the partial parity log, a journal.

use md_core::{
    format::{
        badblocks,
        extents::{Extents, LogUse},
        journal::{MetaBlock, Seed},
        ppl,
        sb1::{BadBlockLog, BadBlocks, CrashLog, PplKind, Progress, Sb1},
        BlockSize,
    },
    units::Sectors,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::tree;
use crate::{failure::Failure, source::Source};

pub fn describe(
    source: &Source,
    sb: &Sb1<'_>,
    extents: &Extents,
    all: &mut Map<String, Value>,
) -> Result<(), Failure> {
    if let Some(log) = sb.bad_block_log() {
        let described = bad_blocks(source, sb, extents, log)?;
        all.insert("bad_blocks".to_owned(), tree(&described));
    }
    if let CrashLog::Ppl(place) = sb.member().crash_log {
        let header = match place.range {
            Some(range) => source.read(range.start(), ppl::HEADER_BYTES as u64, "the PPL")?,
            None => Vec::new(),
        };
        let ring = place.kind == PplKind::Multiple;
        all.insert("ppl".to_owned(), tree(&Ppl::of(&place, &header, ring)));
    }
    if let Progress::Journal { tail } = sb.member().progress {
        all.insert("journal".to_owned(), tree(&journal(source, sb, tail)?));
    }
    Ok(())
}

#[derive(Serialize)]
struct BadBlocksFields {
    at_sector: u64,
    length_sectors: u64,
    unit_sectors: u64,
    recorded: bool,
    #[serde(rename = "use")]
    usable: String,
    ranges: Vec<Range>,
    broken: Option<String>,
}

#[derive(Serialize)]
struct Range {
    sector: u64,
    length_sectors: u64,
}

fn bad_blocks(
    source: &Source,
    sb: &Sb1<'_>,
    extents: &Extents,
    log: BadBlockLog,
) -> Result<BadBlocksFields, Failure> {
    let verdict = extents.verify();
    let recorded = sb.member().bad_blocks == BadBlocks::Recorded;
    let (mut ranges, mut broken) = (Vec::new(), None);
    if recorded && verdict == Ok(LogUse::Usable(log)) {
        let length = log.range.len().to_bytes().unwrap_or(0);
        let bytes = source.read(log.range.start(), length, "the bad-block log")?;
        for entry in badblocks::entries(&bytes, log.shift) {
            match entry {
                Ok(range) => ranges.push(Range {
                    sector: range.start().get(),
                    length_sectors: range.len().get(),
                }),
                Err(error) => broken = Some(error.to_string()),
            }
        }
    }
    Ok(BadBlocksFields {
        at_sector: log.range.start().get(),
        length_sectors: log.range.len().get(),
        unit_sectors: 1 << log.shift,
        recorded,
        usable: match verdict {
            Ok(LogUse::Usable(_) | LogUse::Absent) => "yes".to_owned(),
            Ok(LogUse::InsideLocklessBitmap(_)) => "no, lies inside the lockless bitmap".to_owned(),
            Ok(LogUse::Inside(area, _)) => format!("no, lies inside the {area}"),
            Err(error) => format!("no, {error}"),
        },
        ranges,
        broken,
    })
}

#[derive(Serialize)]
struct Ppl {
    at_sector: Option<u64>,
    length_sectors: u16,
    ring: bool,
    header: String,
    generation: Option<u64>,
    writes: Vec<PplWrite>,
}

#[derive(Serialize)]
struct PplWrite {
    sector: u64,
    length_sectors: u64,
    parity_length_sectors: u64,
    parity_slot: u16,
}

impl Ppl {
    fn of(place: &md_core::format::sb1::PplPlace, header: &[u8], ring: bool) -> Self {
        let parsed = ppl::Header::parse(header, BlockSize::SECTOR);
        let writes = parsed.iter().flat_map(ppl::Header::writes);
        Self {
            at_sector: place.range.map(|range| range.start().get()),
            length_sectors: place.sectors,
            ring,
            header: parsed
                .as_ref()
                .map_or_else(ToString::to_string, |_| "valid".to_owned()),
            generation: parsed.as_ref().ok().map(ppl::Header::generation),
            writes: writes
                .map(|write| PplWrite {
                    sector: write.data.get(),
                    length_sectors: write.data_len.get(),
                    parity_length_sectors: write.parity_len.get(),
                    parity_slot: write.parity_slot.get(),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct Journal {
    tail_sector: u64,
    block_at_tail: String,
    sequence: Option<u64>,
}

fn journal(source: &Source, sb: &Sb1<'_>, tail: Sectors) -> Result<Journal, Failure> {
    let at = sb.member().data.offset.saturating_add(tail);
    let bytes = source.read(
        at,
        md_core::format::journal::BLOCK_BYTES as u64,
        "the journal's tail",
    )?;
    let block = MetaBlock::parse(&bytes, Seed::of(sb.set_uuid()));
    Ok(Journal {
        tail_sector: tail.get(),
        block_at_tail: block
            .as_ref()
            .map_or_else(ToString::to_string, |_| "valid".to_owned()),
        sequence: block.ok().map(|block| block.sequence().0),
    })
}
