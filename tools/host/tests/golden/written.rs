// SPDX-License-Identifier: GPL-2.0

//! What is parsed and written back is what was there: `encode(parse(x)) == x`.

use md_core::{
    format::{
        bitmap::BitmapSb,
        journal::{MetaBlock, Payload, Seed, Writer},
        level::Level,
        ppl::{self, Found, NewHeader, Owner, Search},
        sb0::{Descriptor, DiskState, InternalBitmap, Record, Sb0, Seat, Standing},
        sb1::{CrashLog, Progress, Update},
        BlockSize,
    },
    units::{SectorRange, Slot},
};

use std::ops::Range;

use super::{bitmap, images, Image};

#[test]
fn superblocks_of_1_x() {
    for image in images() {
        let Some(minor) = image.minor() else {
            continue;
        };
        let block = image.superblock();
        let sb = image.sb1(&block, minor);
        let mut again = block.clone();
        let update = Update {
            array: sb.array(),
            member: sb.member(),
        };
        update
            .apply(&mut again, sb.roles())
            .unwrap_or_else(|error| panic!("{}: {error}", image.name));
        same(&image, &block, &again);
    }
}

/// Panics, naming the bytes that differ.
fn same(image: &Image, block: &[u8], again: &[u8]) {
    assert_eq!(block.len(), again.len());
    let pairs = block.iter().zip(again).enumerate();
    let differing: Vec<_> = pairs.filter(|(_, (was, is))| was != is).collect();
    assert!(
        differing.is_empty(),
        "{}: bytes that differ, as they were and are: {differing:x?}",
        image.name
    );
}

#[test]
fn superblocks_of_0_90() {
    for image in images().filter(|image| image.minor().is_none()) {
        let block = image.superblock();
        let sb = image.sb0(&block);
        let record = Record {
            array: sb.array(),
            set_uuid: sb.set_uuid(),
            created: sb.created(),
            preferred_minor: sb.preferred_minor(),
            patch_version: sb.patch_version(),
            bitmap: match sb.member().crash_log {
                CrashLog::Bitmap(_) => InternalBitmap::Present,
                CrashLog::None | CrashLog::Ppl(_) => InternalBitmap::Absent,
            },
        };
        let seats = seats(&sb);
        let own = sb
            .descriptors()
            .filter(is_present)
            .position(|disk| disk.number == sb.number());
        let mut again = vec![0; block.len()];
        record
            .write(&mut again, seats, own.expect("itself"))
            .unwrap_or_else(|error| panic!("{}: {error}", image.name));
        if matches!(sb.array().level, Level::Linear | Level::Raid0) {
            // No driver ever updated it: mdadm leaves the checkpoint out, and the "no layout" of raid0.
            for field in [CHECKSUM, CHECKPOINT_EVENTS, CHECKPOINT, LAYOUT] {
                again[field.clone()].copy_from_slice(&block[field]);
            }
        }
        same(&image, &block, &again);
    }
}

/// The bytes of words 38, 41 and 42, 43, and 64.
const CHECKSUM: Range<usize> = 152..156;
const CHECKPOINT_EVENTS: Range<usize> = 164..172;
const CHECKPOINT: Range<usize> = 172..176;
const LAYOUT: Range<usize> = 256..260;

fn is_present(disk: &Descriptor) -> bool {
    disk.device.major != 0 && !disk.state.contains(DiskState::REMOVED)
}

fn seats(sb: &Sb0<'_>) -> Vec<Seat> {
    let seat = |disk: Descriptor| Seat {
        device: disk.device,
        standing: if disk.state.contains(DiskState::FAULTY) {
            Standing::Faulty
        } else if disk.state.contains(DiskState::SYNC) {
            Standing::InSync(Slot::new(u16::try_from(disk.raid_disk).expect("a slot")))
        } else {
            Standing::Spare
        },
        write_mostly: disk.state.contains(DiskState::WRITE_MOSTLY),
        failfast: disk.state.contains(DiskState::FAILFAST),
    };
    sb.descriptors().filter(is_present).map(seat).collect()
}

#[test]
fn bitmap_superblocks() {
    for image in images() {
        let Some(at) = bitmap::place(&image) else {
            continue;
        };
        let bytes = image.read(at, 256);
        let sb = BitmapSb::parse(&bytes).expect("a bitmap");
        // Neither the padding nor the name of a cluster is in use.
        let mut again = vec![0; 256];
        sb.encode(&mut again).expect("it fits");
        same(&image, &bytes, &again);
    }
}

#[test]
fn partial_parity_logs() {
    let (mut headers, mut writes, mut behind) = (0, 0, 0);
    for image in images() {
        let Some(log) = ppl(&image) else {
            continue;
        };
        // Each log up to the newest, which is what a start would recover from.
        for found in &log.headers {
            let at = log.area.start().saturating_add(found.at);
            let bytes = image.read(at, ppl::HEADER_BYTES);
            let room = log.area.len().checked_sub(found.at).expect("in the area");
            let header = ppl::Header::parse(&bytes, BlockSize::SECTOR, room)
                .unwrap_or_else(|error| panic!("{}: {error}", image.name));
            assert_eq!(header.generation(), found.generation, "{}", image.name);
            let new = NewHeader {
                signature: header.signature(),
                generation: header.generation(),
                block: BlockSize::SECTOR,
            };
            let mut again = vec![0; bytes.len()];
            new.write(&mut again, header.writes()).expect("it fits");
            same(&image, &bytes, &again);
            check_parity(&image, &header, at.get());
            writes += header.writes().count();
        }
        let generations: Vec<u64> = log.headers.iter().map(|found| found.generation).collect();
        assert!(generations.is_sorted(), "{}: {generations:?}", image.name);
        headers += 1;
        behind += usize::from(log.headers.len() > 1);
    }
    assert!(
        headers >= 3 && writes > 0 && behind > 0,
        "{headers} areas, {writes} writes, {behind} areas with several logs"
    );
}

struct Log {
    area: SectorRange,
    /// From the start of the area to the newest.
    headers: Vec<Found>,
}

fn ppl(image: &Image) -> Option<Log> {
    let block = image.superblock();
    let sb = image.sb1(&block, image.minor()?);
    let CrashLog::Ppl(place) = sb.member().crash_log else {
        return None;
    };
    let area = place.range.expect("room for the log");
    let owner = Owner::Array(ppl::signature(sb.set_uuid()));
    let mut search = Search::new(area.len(), owner, BlockSize::SECTOR);
    let mut headers = Vec::new();
    while let Some(by) = search.place() {
        let at = area.start().saturating_add(by);
        if search.take(&image.read(at, ppl::HEADER_BYTES)).is_ok() {
            headers.extend(search.newest());
        }
    }
    assert_eq!(headers.last().copied(), search.newest(), "{}", image.name);
    Some(Log { area, headers })
}

/// The partial parity behind a header has the sums that its entries say.
fn check_parity(image: &Image, header: &ppl::Header<'_>, start: u64) {
    let mut at = start + 8;
    for write in header.writes() {
        let bytes = usize::try_from(write.parity_len.to_bytes().expect("a length")).expect("short");
        let parity = image.read(md_core::units::Sector::new(at), bytes);
        assert_eq!(
            ppl::parity_sum([&parity[..]]),
            write.checksum,
            "{}",
            image.name
        );
        at += write.parity_len.get();
    }
}

#[test]
fn journals() {
    let (mut blocks, mut payloads) = (0, 0);
    for image in images() {
        let block = image.superblock();
        let Some(sb) = image.minor().map(|minor| image.sb1(&block, minor)) else {
            continue;
        };
        let Progress::Journal { tail } = sb.member().progress else {
            continue;
        };
        let seed = Seed::of(sb.set_uuid());
        let ring = sb.member().data.size;
        let mut at = sb.member().data.offset.saturating_add(tail);
        // The ring from its tail on, as far as it was written.
        while let Ok(meta) = MetaBlock::parse(&image.read(at, 4096), seed, ring) {
            check_meta(&image, meta, &image.read(at, 4096), seed);
            blocks += 1;
            payloads += meta.payloads().count();
            at = at
                .saturating_add(meta.payload_len())
                .saturating_add(md_core::units::Sectors::new(8));
        }
    }
    assert!(
        blocks > 0 && payloads > 0,
        "{blocks} meta blocks, {payloads} payloads"
    );
}

fn check_meta(image: &Image, meta: MetaBlock<'_>, bytes: &[u8], seed: Seed) {
    let mut again = vec![0; bytes.len()];
    let mut writer = Writer::start(&mut again, meta.sequence(), meta.position()).expect("a block");
    for payload in meta.payloads() {
        match payload {
            Payload::Blocks { content, sums, .. } => {
                writer
                    .push_blocks(content, &sums.iter().collect::<Vec<_>>())
                    .expect("room");
            }
            Payload::Flush { stripes, .. } => {
                writer
                    .push_flush(&stripes.iter().collect::<Vec<_>>())
                    .expect("room");
            }
        }
    }
    writer.finish(seed).expect("a block");
    same(image, bytes, &again);
}
