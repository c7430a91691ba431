// SPDX-License-Identifier: GPL-2.0

//! What else a 1.x superblock places on a member: the bad-block log, the partial parity log, a journal.

use md_core::{
    format::{
        badblocks,
        bitmap::BitmapSb,
        extents::{Area, LogUse},
        journal::{MetaBlock, Seed, BLOCK_BYTES},
        ppl::Header,
        sb1::{BadBlocks, CrashLog, PplKind, PplPlace, Progress, Sb1, Unplaced},
        BlockSize,
    },
    units::Sectors,
};
use serde::Serialize;
use serde_json::{json, Map, Value};

use super::tree;
use crate::{failure::Failure, ppl, source::Source};

pub fn describe(
    source: &Source,
    sb: &Sb1<'_, Unplaced>,
    bitmap: Option<&BitmapSb>,
    all: &mut Map<String, Value>,
) -> Result<(), Failure> {
    if let Some(described) = bad_blocks(source, sb, bitmap)? {
        all.insert("bad_blocks".to_owned(), described);
    }
    if let CrashLog::Ppl(place) = sb.member().crash_log {
        all.insert("ppl".to_owned(), tree(&Ppl::read(source, sb, &place)?));
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
    unit_sectors: Option<u64>,
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
    sb: &Sb1<'_, Unplaced>,
    bitmap: Option<&BitmapSb>,
) -> Result<Option<Value>, Failure> {
    let extents = match sb.place() {
        Ok(sb) => sb.extents(),
        Err(error) => return Ok(Some(json!({"use": format!("no, {error}")}))),
    };
    // The log lies on the member, since the superblock was accepted.
    let Some(place) = extents.range(Area::BadBlockLog).ok().flatten() else {
        return Ok(None);
    };
    let verdict = extents.log_use(bitmap);
    let recorded = sb.member().bad_blocks == BadBlocks::Recorded;
    let (mut ranges, mut broken) = (Vec::new(), None);
    if let (true, Ok(LogUse::Usable(log))) = (recorded, verdict) {
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
    Ok(Some(tree(&BadBlocksFields {
        at_sector: place.start().get(),
        length_sectors: place.len().get(),
        unit_sectors: verdict
            .ok()
            .and_then(LogUse::place)
            .map(|log| 1 << log.shift),
        recorded,
        usable: match verdict {
            Ok(LogUse::Usable(_) | LogUse::Absent) => "yes".to_owned(),
            Ok(LogUse::InsideLocklessBitmap(_)) => "no, lies inside the lockless bitmap".to_owned(),
            Ok(LogUse::Inside(area, _)) => format!("no, lies inside the {area}"),
            Err(error) => format!("no, {error}"),
        },
        ranges,
        broken,
    })))
}

#[derive(Serialize)]
struct Ppl {
    at_sector: Option<u64>,
    length_sectors: u16,
    ring: bool,
    /// Of the newest header: where it is, what it says; else why there is none.
    header: String,
    header_at_sector: Option<u64>,
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
    fn read(source: &Source, sb: &Sb1<'_, Unplaced>, place: &PplPlace) -> Result<Self, Failure> {
        let mut described = Self {
            at_sector: place.range.map(|range| range.start().get()),
            length_sectors: place.sectors,
            ring: place.kind == PplKind::Multiple,
            header: format!("none: {} sectors are no room for one", place.sectors),
            header_at_sector: None,
            generation: None,
            writes: Vec::new(),
        };
        let Some(range) = place.range else {
            return Ok(described);
        };
        let area = ppl::Area::read(source, range, sb.set_uuid())?;
        described.header = match (&area.newest, &area.stop) {
            (Some(_), _) => "valid".to_owned(),
            (None, Some(stop)) => stop.to_string(),
            (None, None) => "none".to_owned(),
        };
        if let Some((found, bytes)) = &area.newest {
            described.header_at_sector = Some(range.start().saturating_add(found.at).get());
            described.generation = Some(found.generation);
            let header = Header::parse(bytes, BlockSize::SECTOR, area.room(range.len()));
            let writes = header.iter().flat_map(Header::writes);
            described.writes = writes.map(PplWrite::of).collect();
        }
        Ok(described)
    }
}

impl PplWrite {
    fn of(write: md_core::format::ppl::Write) -> Self {
        Self {
            sector: write.data.get(),
            length_sectors: write.data_len.get(),
            parity_length_sectors: write.parity_len.get(),
            parity_slot: write.parity_slot.get(),
        }
    }
}

#[derive(Serialize)]
struct Journal {
    tail_sector: u64,
    block_at_tail: String,
    sequence: Option<u64>,
}

fn journal(source: &Source, sb: &Sb1<'_, Unplaced>, tail: Sectors) -> Result<Journal, Failure> {
    let data = sb.member().data;
    let at = data.offset.saturating_add(tail);
    let bytes = source.read(at, BLOCK_BYTES as u64, "the journal's tail")?;
    let block = MetaBlock::parse(&bytes, Seed::of(sb.set_uuid()), data.size);
    Ok(Journal {
        tail_sector: tail.get(),
        block_at_tail: block
            .as_ref()
            .map_or_else(ToString::to_string, |_| "valid".to_owned()),
        sequence: block.ok().map(|block| block.sequence().0),
    })
}
