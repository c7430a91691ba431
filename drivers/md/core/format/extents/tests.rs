// SPDX-License-Identifier: GPL-2.0

//! Tests of [`extents`](super): which areas of a member may not overlap, and how much room each has.

use core::num::{NonZeroI32, NonZeroU32};
use std::vec::Vec;

use super::*;
use crate::format::bitmap::{ChunkSize, Kind, StateBits};
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::sb1::{
    ArrayState, BitmapPlace, Clustering, Device, Identity, JournalUse, MemberState, MinorVersion,
    NewBadBlockLog, PplKind, PplPlace, ResyncPoint, Role, Sb1, Sb1Error, Update,
};
use crate::format::{BlockSize, NewFeatures};
use crate::units::{Events, MemberNumber, Slot};

const DEVICE: Sectors = Sectors::new(204_800);
const SYNC_SIZE: Sectors = Sectors::new(200_000);

/// A 1.2 member as the cases place things on it, all in sectors of the member.
#[derive(Clone, Copy)]
struct Layout {
    data: u64,
    crash_log: CrashLog,
    log: Option<u64>,
    bad_blocks: BadBlocks,
    role: Role,
}

const PLAIN: Layout = Layout {
    data: 2048,
    crash_log: CrashLog::None,
    log: None,
    bad_blocks: BadBlocks::Unrecorded,
    role: Role::Active(Slot::new(0)),
};

fn bitmap_at(start: u64) -> CrashLog {
    let offset = i32::try_from(start).expect("near") - 8;
    let offset = NonZeroI32::new(offset).expect("not where the superblock starts");
    CrashLog::Bitmap(BitmapPlace {
        offset,
        start: Sector::new(start),
    })
}

fn ppl_at(start: u64, sectors: u16) -> CrashLog {
    let offset = i16::try_from(start).expect("near") - 8;
    CrashLog::Ppl(PplPlace {
        kind: PplKind::Single,
        offset,
        sectors,
        range: None,
    })
}

fn bitmap_sb(kind: Kind, reserved: u64) -> BitmapSb {
    BitmapSb {
        kind,
        uuid: Uuid::default(),
        events: Events::ZERO,
        events_cleared: Events::ZERO,
        sync_size: SYNC_SIZE,
        state: StateBits::default(),
        daemon_sleep_s: NonZeroU32::MIN,
        write_behind: 0,
        reserved: Sectors::new(reserved),
    }
}

fn chunk(sectors: u64) -> ChunkSize {
    ChunkSize::from_sectors(Sectors::new(sectors)).expect("a chunk size")
}

fn block(layout: Layout) -> Vec<u8> {
    let log = layout.log.map(|at| NewBadBlockLog {
        offset: i32::try_from(at).expect("near") - 8,
        sectors: 8,
        shift: 0,
    });
    let journal = layout.role == Role::Journal;
    let array = ArrayState {
        updated: SbTime::default(),
        events: Events::new(1),
        resync: ResyncPoint::Done,
        level: Level::Raid5,
        layout: Some(2),
        chunk: Sectors::new(128),
        member_size: SYNC_SIZE,
        raid_disks: 3,
        block_size: None,
        reshape: None,
        journal: if journal {
            JournalUse::With
        } else {
            JournalUse::Without
        },
        clustering: Clustering::Single,
    };
    let member = MemberState {
        superblock: Sector::new(8),
        data: DataPlace::at_rest(
            Sector::new(layout.data),
            Sectors::new(204_800 - layout.data),
        ),
        progress: if journal {
            Progress::Journal {
                tail: Sectors::ZERO,
            }
        } else {
            Progress::Settled
        },
        replacement: false,
        write_mostly: false,
        failfast: false,
        corrected_reads: 0,
        crash_log: layout.crash_log,
        bad_blocks: layout.bad_blocks,
    };
    let identity = Identity {
        set_uuid: Uuid::default(),
        set_name: [0; 32],
        created: SbTime::default(),
        device_uuid: Uuid::default(),
        number: MemberNumber::ZERO,
        max_dev: 128,
        bad_block_log: log,
    };
    let mut block = vec![0; 4096];
    identity.create(&mut block).expect("a block");
    let update = Update {
        array: &array,
        member: &member,
    };
    update
        .apply(&mut block, [(MemberNumber::ZERO, layout.role)])
        .expect("values that fit");
    block
}

/// What verifying the superblock makes of it.
fn verified(layout: Layout) -> Result<Extents, ExtentsError> {
    let block = block(layout);
    let device = Device {
        sectors: DEVICE,
        block: BlockSize::SECTOR,
    };
    match Sb1::parse(&block, MinorVersion::V1_2, device, NewFeatures::Refuse) {
        Ok(sb) => Ok(sb.extents()),
        Err(Sb1Error::Areas(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn extents(layout: Layout) -> Extents {
    verified(layout).expect("nothing overlaps")
}

/// How the log of a verified superblock may be used, with this bitmap.
fn log_use(layout: Layout, bitmap: Option<&BitmapSb>) -> Result<LogUse, ExtentsError> {
    verified(layout)?.log_use(bitmap)
}

/// What becomes of the areas when the bitmap is this one.
fn with_bitmap(layout: Layout, bitmap: &BitmapSb) -> Result<(), ExtentsError> {
    verified(layout)?.with_bitmap(bitmap).map(|_| ())
}

fn overlap<T>(first: Area, second: Area) -> Result<T, ExtentsError> {
    Err(ExtentsError::Overlap { first, second })
}

#[test]
fn what_keeps_apart_is_accepted() {
    let layout = Layout {
        crash_log: bitmap_at(16),
        log: Some(24),
        ..PLAIN
    };
    let classic = bitmap_sb(Kind::Classic(chunk(128)), 8);
    let usable = log_use(layout, Some(&classic));
    assert!(matches!(usable, Ok(LogUse::Usable(log)) if log.range.start() == Sector::new(24)));
    assert_eq!(log_use(PLAIN, None), Ok(LogUse::Absent));
}

#[test]
fn overlaps_are_named() {
    // 128 roles make the superblock one sector, 8..9.
    let bitmap = |start, kind| {
        let layout = Layout {
            crash_log: bitmap_at(start),
            ..PLAIN
        };
        with_bitmap(layout, &bitmap_sb(kind, 8))
    };
    assert_eq!(bitmap(9, Kind::Classic(chunk(128))), Ok(()));
    assert_eq!(
        bitmap(7, Kind::Classic(chunk(8))),
        overlap(Area::Superblock, Area::Bitmap)
    );
    assert_eq!(bitmap(2047, Kind::Classic(chunk(128))), Ok(()));
    assert_eq!(
        bitmap(2047, Kind::Classic(chunk(8))),
        overlap(Area::Data, Area::Bitmap)
    );
    // Without the bitmap's own superblock: its first sector.
    let first = |start| {
        let layout = Layout {
            crash_log: bitmap_at(start),
            ..PLAIN
        };
        verified(layout).map(|_| ())
    };
    assert_eq!((first(7), first(2047)), (Ok(()), Ok(())));
    assert_eq!(first(2048), overlap(Area::Data, Area::Bitmap));
    let ppl = |start, len| {
        let layout = Layout {
            crash_log: ppl_at(start, len),
            ..PLAIN
        };
        verified(layout).map(|_| ())
    };
    assert_eq!(ppl(16, 2032), Ok(()));
    assert_eq!(ppl(16, 2033), overlap(Area::Data, Area::Ppl));
    assert_eq!(ppl(8, 16), overlap(Area::Superblock, Area::Ppl));
}

#[test]
fn a_log_inside_a_lockless_bitmap_is_absent() {
    let lockless = Layout {
        crash_log: bitmap_at(16),
        log: Some(24),
        ..PLAIN
    };
    let inside = |layout, kind| {
        matches!(
            log_use(layout, Some(&bitmap_sb(kind, 256))),
            Ok(LogUse::InsideLocklessBitmap(_))
        )
    };
    assert!(inside(lockless, Kind::LocklessFirstUse));
    assert!(inside(lockless, Kind::Lockless(chunk(128))));
    assert!(inside(
        Layout {
            bad_blocks: BadBlocks::Recorded,
            ..lockless
        },
        Kind::Lockless(chunk(128))
    ));
    assert!(!inside(lockless, Kind::Classic(chunk(65536))));
    assert!(!inside(
        Layout {
            log: Some(272),
            ..lockless
        },
        Kind::Lockless(chunk(128))
    ));
}

#[test]
fn a_log_elsewhere_is_absent_unless_it_is_in_use() {
    let in_data = Layout {
        log: Some(2040 + 1),
        ..PLAIN
    };
    assert!(matches!(
        log_use(in_data, None),
        Ok(LogUse::Inside(Area::Data, _))
    ));
    let recorded = Layout {
        bad_blocks: BadBlocks::Recorded,
        ..in_data
    };
    assert_eq!(
        log_use(recorded, None),
        Err(ExtentsError::RecordedBadBlocksIn(Area::Data))
    );
    let in_journal = Layout {
        role: Role::Journal,
        ..in_data
    };
    assert!(matches!(
        log_use(in_journal, None),
        Ok(LogUse::Inside(Area::Journal, _))
    ));
}

#[test]
fn the_first_kib_of_a_lockless_bitmap_counts() {
    // 2048 chunks and 1024 bytes before them: 6 sectors from 2042 on touch the data at 2048 no sooner than a seventh.
    let lockless = |start| {
        let sb = bitmap_sb(Kind::Lockless(chunk(128)), 4);
        let layout = Layout {
            crash_log: bitmap_at(start),
            ..PLAIN
        };
        with_bitmap(layout, &sb)
    };
    assert_eq!(
        Kind::Lockless(chunk(128)).needed(SYNC_SIZE),
        Some(Sectors::new(6))
    );
    assert_eq!(lockless(2042), Ok(()));
    assert_eq!(lockless(2043), overlap(Area::Data, Area::Bitmap));
}

#[test]
fn the_room_of_a_bitmap_ends_where_something_begins() {
    let room = |start, reserved| {
        let sb = bitmap_sb(Kind::LocklessFirstUse, reserved);
        let layout = Layout {
            crash_log: bitmap_at(start),
            ..PLAIN
        };
        extents(layout).bitmap_room(&sb)
    };
    assert_eq!(room(16, 256), Some(Sectors::new(256)));
    assert_eq!(room(2000, 256), Some(Sectors::new(48)));
    assert_eq!(room(0, 256), Some(Sectors::new(8)));
    let sb = bitmap_sb(Kind::LocklessFirstUse, 8);
    assert_eq!(extents(PLAIN).bitmap_room(&sb), None);
}

#[test]
fn a_bitmap_goes_where_nothing_else_is() {
    let sectors = |room: Option<Sectors>| room.map(Sectors::get);
    let at = |layout, start| {
        let extents = extents(layout);
        let start = Sector::new(start);
        let classic = extents.room_for_bitmap(start);
        (sectors(classic), sectors(extents.room_for_lockless(start)))
    };
    // 128 roles make the superblock one sector, 8..9; the data begins at 2048.
    assert_eq!(at(PLAIN, 8), (None, None));
    assert_eq!(at(PLAIN, 9), (Some(2039), Some(2039)));
    assert_eq!(at(PLAIN, 2047), (Some(1), Some(1)));
    assert_eq!(at(PLAIN, 2048), (None, None));
    assert_eq!(at(PLAIN, 0), (Some(8), Some(8)));
    assert_eq!(at(PLAIN, 204_800), (None, None));
    // A log of bad blocks at 24..32 is in the way of a classic bitmap only.
    let with_log = Layout {
        log: Some(24),
        ..PLAIN
    };
    assert_eq!(at(with_log, 16), (Some(8), Some(2032)));
    assert_eq!(at(with_log, 24), (None, Some(2024)));
    assert_eq!(at(with_log, 31), (None, Some(2017)));
    assert_eq!(at(with_log, 32), (Some(2016), Some(2016)));
    let with_ppl = Layout {
        crash_log: ppl_at(100, 28),
        ..PLAIN
    };
    assert_eq!(at(with_ppl, 16), (Some(84), Some(84)));
    assert_eq!(at(with_ppl, 127), (None, None));
    assert_eq!(at(with_ppl, 128), (Some(1920), Some(1920)));
}

#[test]
fn data_may_grow_to_the_end() {
    assert_eq!(extents(PLAIN).data_room(), Sectors::new(204_800 - 2048));
    // A member that is too short for the array is for who assembles it to refuse.
    let short = Layout {
        data: 4802,
        ..PLAIN
    };
    assert_eq!(extents(short).data_room(), Sectors::new(199_998));
}
