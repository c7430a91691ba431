// SPDX-License-Identifier: GPL-2.0

//! Tests of [`sb0`](super): the words of a superblock, what is written and read back, what is refused.

use core::num::NonZeroI32;
use std::vec::Vec;

use super::*;
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::sb1::{
    BitmapPlace, Clustering, CrashLog, Direction, JournalUse, Progress, Reshape, ResyncPoint, Role,
};
use crate::units::{Events, MemberNumber, Slot};

const DEVICE: Sectors = Sectors::new(204_900);

fn array() -> ArrayState {
    ArrayState {
        updated: SbTime::from_raw(99),
        events: Events::new(0x5_0000_0007),
        resync: ResyncPoint::Done,
        level: Level::Raid5,
        layout: Some(2),
        chunk: Sectors::new(128),
        member_size: Sectors::new(204_672),
        raid_disks: 3,
        block_size: None,
        reshape: None,
        journal: JournalUse::Without,
        clustering: Clustering::Single,
    }
}

fn record(array: &ArrayState) -> Record<'_> {
    Record {
        array,
        set_uuid: Uuid::new(*b"0123456789abcdef"),
        created: SbTime::from_raw(77),
        preferred_minor: 3,
        patch_version: 0,
        bitmap: InternalBitmap::Absent,
    }
}

fn seat(minor: u32, standing: Standing) -> Seat {
    Seat {
        device: DeviceNumber { major: 8, minor },
        standing,
        write_mostly: false,
        failfast: false,
    }
}

fn in_sync(slot: u16) -> Standing {
    Standing::InSync(Slot::new(slot))
}

fn written(record: &Record<'_>, seats: &[Seat], this: usize) -> Vec<u8> {
    let mut block = vec![0xee; BLOCK_BYTES];
    record
        .write(&mut block, seats.iter().copied(), this)
        .expect("a record that fits");
    block
}

fn healthy() -> Vec<u8> {
    written(
        &record(&array()),
        &[0, 1, 2].map(|n| seat(n.into(), in_sync(n))),
        1,
    )
}

fn word(block: &[u8], index: usize) -> u32 {
    u32::from_ne_bytes(block[index * 4..index * 4 + 4].try_into().expect("4 bytes"))
}

fn with(block: &[u8], index: usize, value: u32) -> Vec<u8> {
    let mut block = block.to_vec();
    block[index * 4..index * 4 + 4].copy_from_slice(&value.to_ne_bytes());
    block[38 * 4..39 * 4].fill(0);
    let sum: u64 = (0..1024).map(|i| u64::from(word(&block, i))).sum();
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    block[38 * 4..39 * 4]
        .copy_from_slice(&u32::try_from(folded).expect("a small sum").to_ne_bytes());
    block
}

/// The words where `mdp_super_t` has them.
/// All devices, the active, working, failed and spare ones.
fn counts(sb: &Sb0<'_>) -> [u32; 5] {
    let DeviceCounts {
        all,
        active,
        working,
        failed,
        spare,
    } = sb.counts();
    [all, active, working, failed, spare]
}

#[test]
fn the_words_of_a_superblock() {
    let block = healthy();
    let words = [
        (0, 0xa92b_4efc),
        (1, 0),
        (2, 90),
        (6, 77),
        (7, 5),
        (8, 102_336),
        (9, 3),
        (10, 3),
        (11, 3),
        (32, 99),
        (33, 1),
        (34, 3),
        (35, 3),
        (36, 0),
        (37, 0),
        (43, u32::MAX),
        (64, 2),
        (65, 65536),
        (160, 1),
        (161, 8),
        (162, 1),
        (163, 1),
        (164, 6),
        (992, 1),
        (996, 6),
    ];
    for (index, value) in words {
        assert_eq!(word(&block, index), value, "word {index}");
    }
    assert_eq!(block[20..24], *b"0123");
    assert_eq!(block[52..64], *b"456789abcdef");
    let events = [39, 41]
        .map(|at| u64::from_ne_bytes(block[at * 4..at * 4 + 8].try_into().expect("8 bytes")));
    assert_eq!(events, [0x5_0000_0007; 2]);
    assert_eq!(with(&block, 0, 0xa92b_4efc), block);
}

#[test]
fn what_is_written_is_read() {
    let block = healthy();
    let sb = Sb0::parse(&block, DEVICE).expect("a good superblock");
    assert_eq!(*sb.array(), array());
    assert_eq!(
        (sb.number(), sb.role()),
        (MemberNumber::new(1), Role::Active(Slot::new(1)))
    );
    assert_eq!(
        (sb.set_uuid(), sb.created()),
        (Uuid::new(*b"0123456789abcdef"), SbTime::from_raw(77))
    );
    assert_eq!(sb.member().superblock, Sector::new(204_672));
    assert_eq!(sb.member().data.size, Sectors::new(204_672));
    assert_eq!(counts(&sb), [3, 3, 3, 0, 0]);
    assert!(sb.needs_events() && sb.same_array(&sb));
}

#[test]
fn who_gets_which_number() {
    let seats = [
        seat(0, in_sync(0)),
        seat(1, Standing::Faulty),
        seat(2, Standing::Spare),
        seat(3, Standing::Rebuilding(Slot::new(1))),
    ];
    let block = written(&record(&array()), &seats, 3);
    let sb = Sb0::parse(&block, DEVICE).expect("a good superblock");
    let rows: Vec<_> = sb
        .descriptors()
        .take(6)
        .map(|d| (d.number.get(), d.device.minor, d.state.to_raw()))
        .collect();
    assert_eq!(
        rows,
        [
            (0, 0, 6),
            (1, 0, 9),
            (2, 0, 9),
            (3, 1, 1),
            (4, 2, 0),
            (5, 3, 0)
        ]
    );
    assert_eq!(
        (sb.number(), sb.role()),
        (MemberNumber::new(5), Role::Spare)
    );
    assert_eq!(sb.role_of(MemberNumber::new(3)), Some(Role::Faulty));
    assert_eq!(counts(&sb), [4, 1, 3, 2, 2]);
    let mut numbering = Numbering::new(sb.array());
    assert_eq!(
        seats.map(|seat| numbering.number(seat.standing).get()),
        [0, 3, 4, 5]
    );
}

#[test]
fn a_reshape_keeps_the_slot_of_who_is_rebuilt() {
    // Long enough that the position takes both of its words.
    let device = Sectors::new(1 << 34);
    let mut reshaping = array();
    reshaping.member_size = DATA_SECTORS_MAX;
    reshaping.reshape = Some(Reshape {
        position: Sector::new(0x3_0000_0001),
        delta_disks: 1,
        new_level: Level::Raid6,
        new_layout: 18,
        new_chunk: Sectors::new(64),
        direction: Direction::Forwards,
    });
    let seats = [
        seat(0, in_sync(0)),
        seat(1, Standing::Rebuilding(Slot::new(1))),
    ];
    let block = written(&record(&reshaping), &seats, 1);
    let sb = Sb0::parse(&block, device).expect("a good superblock");
    assert_eq!((sb.minor_version(), *sb.array()), (91, reshaping));
    assert_eq!(sb.role(), Role::Active(Slot::new(1)));
    assert_eq!(
        sb.member().progress,
        Progress::Recovering {
            upto: Sectors::ZERO
        }
    );
    let broken = with(&block, 47, 3);
    assert_eq!(
        Sb0::parse(&broken, device).map(|_| ()),
        Err(Sb0Error::DeltaDisks(3))
    );
    reshaping.member_size = Sectors::new(0x1_0000_0000);
    let beyond = written(&record(&reshaping), &seats, 1);
    assert_eq!(
        Sb0::parse(&beyond, device).map(|_| ()),
        Err(Sb0Error::ReshapePosition(Sector::new(0x3_0000_0001)))
    );
}

#[test]
fn a_resync_ends_with_the_members() {
    let resync = |at: u64| {
        let resync = ResyncPoint::From(Sector::new(at));
        let array = ArrayState { resync, ..array() };
        let block = written(&record(&array), &[seat(0, in_sync(0))], 0);
        let sb = Sb0::parse(&block, DEVICE).expect("a good superblock");
        (sb.array().resync, sb.strays().resync.map(Sector::get))
    };
    let end = ResyncPoint::From(Sector::new(204_672));
    assert_eq!(resync(204_672), (end, None));
    assert_eq!(resync(204_680), (end, Some(204_680)));
}

#[test]
fn a_slot_without_sync_means_nothing_at_rest() {
    let active_only = with(&healthy(), 164, DiskState::ACTIVE.to_raw());
    let sb = Sb0::parse(&active_only, DEVICE).expect("a good superblock");
    assert_eq!(
        (sb.role(), sb.member().progress),
        (Role::Spare, Progress::Settled)
    );
}

#[test]
fn the_checkpoint_counts_only_at_its_event() {
    let resync = ResyncPoint::From(Sector::new(4096));
    let dirty = ArrayState { resync, ..array() };
    let block = written(&record(&dirty), &[seat(0, in_sync(0))], 0);
    assert_eq!(
        Sb0::parse(&block, DEVICE).map(|sb| sb.array().resync),
        Ok(resync)
    );
    let later = with(&block, 39, 9);
    let start = ResyncPoint::From(Sector::ZERO);
    assert_eq!(
        Sb0::parse(&later, DEVICE).map(|sb| sb.array().resync),
        Ok(start)
    );
}

/// As C writes an array that is being written to: the checkpoint has no event.
#[test]
fn a_dirty_array_has_no_checkpoint() {
    let resync = ResyncPoint::From(Sector::ZERO);
    let dirty = ArrayState { resync, ..array() };
    let block = written(&record(&dirty), &[seat(0, in_sync(0))], 0);
    assert_eq!(
        [33, 41, 42, 43].map(|index| word(&block, index)),
        [0, 0, 0, 0]
    );
    assert_eq!(
        Sb0::parse(&block, DEVICE).map(|sb| sb.array().resync),
        Ok(resync)
    );
}

#[test]
fn a_bitmap_lies_behind_the_superblock() {
    let array = array();
    let record = Record {
        bitmap: InternalBitmap::Present,
        ..record(&array)
    };
    let block = written(&record, &[seat(0, in_sync(0))], 0);
    let place = BitmapPlace {
        offset: NonZeroI32::new(8).expect("not zero"),
        start: Sector::new(204_680),
    };
    let crash_log = Sb0::parse(&block, DEVICE).map(|sb| sb.member().crash_log);
    assert_eq!(crash_log, Ok(CrashLog::Bitmap(place)));
}

#[test]
fn what_is_refused() {
    let good = healthy();
    let refused = |index, value| Sb0::parse(&with(&good, index, value), DEVICE).map(|_| ());
    assert_eq!(refused(0, 0), Err(Sb0Error::Magic(0)));
    assert_eq!(
        refused(0, 0xa92b_4efc_u32.swap_bytes()),
        Err(Sb0Error::ForeignEndian)
    );
    assert_eq!(
        refused(1, 1),
        Err(Sb0Error::Version {
            major: 1,
            minor: 90
        })
    );
    assert_eq!(
        refused(2, 92),
        Err(Sb0Error::Version {
            major: 0,
            minor: 92
        })
    );
    assert_eq!(refused(8, 102_337), Err(Sb0Error::DataBeyondDevice));
    assert_eq!(refused(10, 0), Err(Sb0Error::RaidDisks(0)));
    assert_eq!(refused(10, 28), Err(Sb0Error::RaidDisks(28)));
    assert_eq!(refused(992, 27), Err(Sb0Error::Number(27)));
    let mut torn = good.clone();
    torn[4095] ^= 1;
    assert!(matches!(
        Sb0::parse(&torn, DEVICE),
        Err(Sb0Error::Checksum { .. })
    ));
    assert!(matches!(
        Sb0::parse(&good, Sectors::new(127)),
        Err(Sb0Error::DeviceTooShort(_))
    ));
    assert!(matches!(
        Sb0::parse(&good[1..], DEVICE),
        Err(Sb0Error::BlockTooShort)
    ));
}

#[test]
fn a_folded_checksum_is_as_good() {
    let mut block = healthy();
    let sum = word(&block, 38);
    let once = (sum & 0xffff) + (sum >> 16);
    let folded = (once & 0xffff) + (once >> 16);
    block[38 * 4..39 * 4].copy_from_slice(&folded.to_ne_bytes());
    assert!(Sb0::parse(&block, DEVICE).is_ok());
}

#[test]
fn what_cannot_be_written() {
    let base = array();
    let write = |record: &Record<'_>, seats: &[Seat], this| {
        record.write(&mut [0; BLOCK_BYTES], seats.iter().copied(), this)
    };
    let spares: Vec<_> = (0..25).map(|n| seat(n, Standing::Spare)).collect();
    assert_eq!(write(&record(&base), &spares[..24], 0), Ok(()));
    assert_eq!(
        write(&record(&base), &spares, 0),
        Err(RecordError::TooManyDevices(MemberNumber::new(27)))
    );
    let twice = [seat(0, in_sync(1)), seat(1, in_sync(1))];
    assert_eq!(
        write(&record(&base), &twice, 0),
        Err(RecordError::SlotTaken(MemberNumber::new(1)))
    );
    assert_eq!(
        write(&record(&base), &twice[..1], 1),
        Err(RecordError::NotAMember)
    );
    let member_size = Sectors::new(1 << 33);
    let long = ArrayState {
        member_size,
        ..base
    };
    assert_eq!(
        write(&record(&long), &twice[..1], 0),
        Err(RecordError::MemberSize(member_size))
    );
}

#[test]
fn where_superblocks_lie() {
    let at = |device: u64| superblock(Sectors::new(device)).map(Sector::get);
    assert_eq!(
        [at(127), at(128), at(255), at(256), at(204_900)],
        [None, Some(0), Some(0), Some(128), Some(204_672)]
    );
}

#[test]
fn room_before_the_superblock() {
    assert_eq!(data_room(Sectors::new(204_800)), Sectors::new(204_672));
    assert_eq!(data_room(Sectors::new(100)), Sectors::ZERO);
    assert_eq!(data_room(Sectors::new(1 << 40)), DATA_SECTORS_MAX);
}
