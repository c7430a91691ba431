// SPDX-License-Identifier: GPL-2.0

//! Bitmaps and bad-block logs as mdadm prints them.

use md_core::{
    bitmap::cell::Cell,
    format::{
        badblocks,
        bitmap::{dirty_chunks, BitOrder, BitmapSb, Kind, LOCKLESS_DATA_AT, MAGIC},
        sb1::{BadBlocks, CrashLog},
    },
    units::{Sector, SectorRange},
};

use super::{
    images,
    listing::{self, chunk_length, Fields, Ours},
    sb0, Image,
};

/// Where the member's bitmap starts.
pub(super) fn place(image: &Image) -> Option<Sector> {
    let block = image.superblock();
    let log = match image.minor() {
        Some(minor) => image.sb1(&block, minor).member().crash_log,
        None => image.sb0(&block).member().crash_log,
    };
    match log {
        CrashLog::Bitmap(place) => Some(place.start),
        CrashLog::None | CrashLog::Ppl(_) => None,
    }
}

/// The whole bitmap, from its superblock on.
fn read(image: &Image, at: Sector) -> (BitmapSb, Vec<u8>) {
    let sb = BitmapSb::parse(&image.read(at, 256))
        .unwrap_or_else(|error| panic!("{}: {error}", image.name));
    let needed = sb.kind.needed(sb.sync_size).and_then(|len| len.to_bytes());
    let needed = usize::try_from(needed.expect("a bitmap in use")).expect("a short bitmap");
    (sb, image.read(at, needed))
}

#[test]
fn what_examine_bitmap_prints_agrees() {
    let (mut classic, mut lockless) = (0, 0);
    for image in images() {
        let at = place(&image);
        assert_eq!(
            at.is_some(),
            image.listing.listing("mdadm --examine-bitmap").is_some(),
            "{}",
            image.name
        );
        let Some(at) = at else {
            continue;
        };
        let mut theirs = listing::fields(&image, "mdadm --examine-bitmap");
        theirs.remove("Filename").expect("the name of the device");
        let (sb, bytes) = read(&image, at);
        listing::compare(&image, &theirs, &examine(&image, &sb, &bytes));
        if sb.kind.is_lockless() {
            check_lockless(&image, &sb, &bytes);
            lockless += 1;
        } else {
            classic += 1;
        }
    }
    assert!(
        classic > 50 && lockless > 20,
        "{classic} classic, {lockless} lockless bitmaps"
    );
}

fn examine(image: &Image, sb: &BitmapSb, bytes: &[u8]) -> Fields {
    let mut ours = Ours::default();
    ours.add("Magic", format!("{MAGIC:x}"));
    ours.add("Version", sb.kind.version());
    if sb.kind.is_lockless() {
        // mdadm 4.6 knows no more of it.
        return ours.0;
    }
    let chunk = sb.kind.chunk().expect("a chunk").sectors();
    let chunks = sb.sync_size.get().div_ceil(chunk.get());
    let uuid = match image.minor() {
        Some(_) => sb.uuid.to_string(),
        None => sb0::uuid(sb.uuid),
    };
    ours.add("UUID", uuid);
    ours.add("Events", sb.events);
    ours.add("Events Cleared", sb.events_cleared);
    ours.add(
        "State",
        if sb.state == Default::default() {
            "OK"
        } else {
            "Out of date"
        },
    );
    ours.add(
        "Chunksize",
        chunk_length(chunk.to_bytes().expect("a length")),
    );
    ours.add("Daemon", format!("{}s flush period", sb.daemon_sleep_s));
    let mode = match sb.write_behind {
        0 => "Normal".to_owned(),
        most => format!("Allow write behind, max {most}"),
    };
    ours.add("Write Mode", mode);
    ours.add("Sync Size", sb.sync_size.to_kib());
    assert!(matches!(sb.kind, Kind::Classic(_)));
    let dirty = dirty_chunks(bytes, chunks, BitOrder::LittleEndian).count();
    let share = dirty as f64 * 100.0 / chunks as f64;
    ours.add(
        "Bitmap",
        format!("{chunks} bits (chunks), {dirty} dirty ({share:.1}%)"),
    );
    ours.0
}

/// mdadm prints nothing of the cells; they must at least be cells.
fn check_lockless(image: &Image, sb: &BitmapSb, bytes: &[u8]) {
    let start = usize::try_from(LOCKLESS_DATA_AT).expect("1024");
    let chunks = sb.kind.chunk().expect("a chunk").count(sb.sync_size);
    assert_eq!(
        bytes[start..].len() as u64,
        chunks.next_multiple_of(512),
        "{}",
        image.name
    );
    for byte in bytes[start..]
        .iter()
        .take(usize::try_from(chunks).expect("a few"))
    {
        assert_eq!(Cell::parse(*byte).finding, None, "{}", image.name);
    }
}

#[test]
fn what_is_written_is_in_the_cells() {
    let cells = |name: &str| {
        let image = images().find(|image| image.name == name).expect("a case");
        let (sb, bytes) = read(&image, place(&image).expect("a bitmap"));
        let chunks =
            usize::try_from(sb.kind.chunk().expect("a chunk").count(sb.sync_size)).expect("a few");
        bytes[1024..][..chunks]
            .iter()
            .map(|byte| Cell::parse(*byte).cell)
            .collect::<Vec<_>>()
    };
    // Chunks of 64 KiB; written at 2 MiB, then, without the other member, at 3, 7, 8 and 15 MiB.
    let degraded = cells("degraded-1.2-lockless/0");
    for (chunk, cell) in degraded.iter().enumerate() {
        let written = [48, 112, 128, 240].contains(&chunk);
        assert_eq!(*cell == Cell::NeedSync, written, "chunk {chunk} is {cell}");
    }
    assert_ne!(degraded[32], Cell::Unwritten);
}

#[test]
fn what_examine_badblocks_prints_agrees() {
    let mut recorded = 0;
    for image in images() {
        let text = image
            .listing
            .listing("mdadm --examine-badblocks")
            .expect("a listing");
        let Some(minor) = image.minor() else {
            assert_eq!(text, "mdadm: 0.90 metadata does not support badblocks\n");
            continue;
        };
        let block = image.superblock();
        let sb = image.sb1(&block, minor);
        let usage = sb.extents().log_use(None).expect("a log");
        let log = usage.place().expect("a log");
        if sb.member().bad_blocks == BadBlocks::Unrecorded {
            assert!(
                text.starts_with("Bad-blocks list is empty in"),
                "{}: {text}",
                image.name
            );
            continue;
        }
        let bytes = image.read(log.range.start(), 4096);
        let ranges = badblocks::entries(&bytes, log.shift).map(|range| range.expect("a range"));
        let ranges: Vec<SectorRange> = ranges.collect();
        let ours: Vec<String> = ranges
            .iter()
            .map(|range| format!("{} for {} sectors", range.start(), range.len()))
            .collect();
        let theirs: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(theirs, ours, "{}", image.name);
        recorded += 1;
        let mut again = [0; 4096];
        badblocks::encode(&mut again, log.shift, ranges).expect("the list fits");
        assert_eq!(again[..], bytes[..], "{}", image.name);
    }
    assert_eq!(recorded, 2, "members with bad blocks");
}
