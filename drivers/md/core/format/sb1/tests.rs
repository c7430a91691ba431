// SPDX-License-Identifier: GPL-2.0

//! Tests of [`sb1`](super): the bytes of a superblock, what is written and read back, updates, what is refused.

use core::num::NonZeroI32;
use std::vec::Vec;

use super::*;
use crate::format::extents::{Area, ExtentsError, LogUse};
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::NewFeatures;
use crate::units::{Events, MemberNumber, Slot};

mod places;

const DEVICE: Device = Device {
    sectors: Sectors::new(204_800),
    block: BlockSize::SECTOR,
};

fn array() -> ArrayState {
    ArrayState {
        updated: SbTime::from_raw(0x0000_1234_6543_2100),
        events: Events::new(0x1122),
        resync: ResyncPoint::Done,
        level: Level::Raid5,
        layout: Some(2),
        chunk: Sectors::new(1024),
        member_size: Sectors::new(200_704),
        raid_disks: 3,
        block_size: BlockSize::new(4096),
        reshape: None,
        journal: JournalUse::Without,
        clustering: Clustering::Single,
    }
}

fn member() -> MemberState {
    MemberState {
        superblock: Sector::new(8),
        data: DataPlace::at_rest(Sector::new(2048), Sectors::new(202_752)),
        progress: Progress::Settled,
        replacement: false,
        write_mostly: false,
        failfast: true,
        corrected_reads: 5,
        crash_log: CrashLog::Bitmap(BitmapPlace {
            offset: NonZeroI32::new(8).expect("not zero"),
            start: Sector::new(16),
        }),
        bad_blocks: BadBlocks::Unrecorded,
    }
}

fn identity() -> Identity {
    let mut set_name = [0; 32];
    set_name[..6].copy_from_slice(b"host:0");
    Identity {
        set_uuid: Uuid::new(*b"0123456789abcdef"),
        set_name,
        created: SbTime::from_raw(77),
        device_uuid: Uuid::new(*b"fedcba9876543210"),
        number: MemberNumber::new(1),
        max_dev: 4,
        bad_block_log: Some(NewBadBlockLog {
            offset: 16,
            sectors: 8,
            shift: 0,
        }),
    }
}

fn roles() -> [(MemberNumber, Role); 3] {
    [0, 1, 2].map(|n| (MemberNumber::new(n.into()), Role::Active(Slot::new(n))))
}

fn block(array: &ArrayState, member: &MemberState) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    identity().create(&mut block).expect("a block");
    Update { array, member }
        .apply(&mut block, roles())
        .expect("values that fit");
    block
}

fn parse(block: &[u8]) -> Result<Sb1<'_>, Sb1Error> {
    Sb1::parse(block, MinorVersion::V1_2, DEVICE, NewFeatures::Refuse)
}

/// `block` after an update that changes nothing.
fn rewritten(sb: &Sb1<'_>, block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    let update = Update {
        array: sb.array(),
        member: sb.member(),
    };
    update
        .apply(&mut block, sb.roles())
        .expect("what was read can be written");
    block
}

/// `block` with `value` at byte `at`, summed anew.
fn with(block: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block[at..at + value.len()].copy_from_slice(value);
    resum(&mut block);
    block
}

fn resum(block: &mut [u8]) {
    let max_dev = u32::from_le_bytes(block[220..224].try_into().expect("4 bytes"));
    let used = (HEADER_BYTES + 2 * usize::try_from(max_dev).expect("a length")).min(block.len());
    let sum = raw::checksum(&block[..used]);
    block[216..220].copy_from_slice(&sum.to_le_bytes());
}

/// The fields where `struct mdp_superblock_1` has them.
#[test]
fn the_bytes_of_a_superblock() {
    let block = block(&array(), &member());
    let fields: &[(usize, &[u8])] = &[
        (
            0,
            &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        ),
        (16, b"0123456789abcdef"),
        (32, b"host:0\0\0"),
        (
            64,
            &[
                77, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0x10, 3, 0, 0, 0, 0, 0,
            ],
        ),
        (88, &[0, 4, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0]),
        (
            128,
            &[0, 8, 0, 0, 0, 0, 0, 0, 0, 0x18, 3, 0, 0, 0, 0, 0, 8, 0],
        ),
        (160, &[1, 0, 0, 0, 5, 0, 0, 0]),
        (168, b"fedcba9876543210"),
        (184, &[2, 0, 8, 0, 16, 0, 0, 0]),
        (
            192,
            &[
                0, 0x21, 0x43, 0x65, 0x34, 0x12, 0, 0, 0x22, 0x11, 0, 0, 0, 0, 0, 0,
            ],
        ),
        (208, &[0xff; 8]),
        (220, &[4, 0, 0, 0, 0, 0x10, 0, 0]),
        (256, &[0, 0, 1, 0, 2, 0, 0xff, 0xff, 0, 0]),
    ];
    for (at, bytes) in fields {
        assert_eq!(&block[*at..at + bytes.len()], *bytes, "at byte {at}");
    }
    // The sum, added up by hand: all words below 2^32 in 64 bits, the carries folded in once.
    let sum: u64 = block[..264]
        .chunks(4)
        .map(|w| u64::from(u32::from_le_bytes(w.try_into().expect("4 bytes"))))
        .sum();
    let stored = u32::from_le_bytes(block[216..220].try_into().expect("4 bytes"));
    let sum = sum - u64::from(stored);
    assert_eq!(
        u64::from(stored),
        ((sum & 0xffff_ffff) + (sum >> 32)) & 0xffff_ffff
    );
}

#[test]
fn an_odd_table_ends_in_half_a_word() {
    let block = with(&block(&array(), &member()), 220, &[3]);
    let even: u32 = raw::checksum(&block[..260]);
    assert_eq!(raw::checksum(&block[..262]), even.wrapping_add(2));
    assert_eq!(parse(&block).map(|sb| sb.max_dev()), Ok(3));
}

#[test]
fn what_is_written_is_read() {
    let block = block(&array(), &member());
    let sb = parse(&block).expect("a good superblock");
    assert_eq!((*sb.array(), *sb.member()), (array(), member()));
    assert_eq!(sb.set_uuid(), identity().set_uuid);
    assert_eq!(
        (sb.set_name(), sb.created(), sb.device_uuid()),
        (&b"host:0"[..], SbTime::from_raw(77), identity().device_uuid)
    );
    assert_eq!(
        (sb.number(), sb.role()),
        (Some(MemberNumber::new(1)), Role::Active(Slot::new(1)))
    );
    assert_eq!(sb.role_of(MemberNumber::new(3)), Some(Role::Spare));
    assert_eq!(sb.role_of(MemberNumber::new(4)), None);
    assert_eq!(
        sb.roles().filter(|(_, role)| role.needs_events()).count(),
        3
    );
    let usage = sb.extents().log_use(None).expect("a log");
    let log = usage.place().expect("a log");
    assert_eq!(
        (log.range.start(), log.range.len(), log.shift),
        (Sector::new(24), Sectors::new(8), 0)
    );
}

#[test]
fn every_progress_crash_log_and_reshape_round_trips() {
    let upto = Sectors::new(4096);
    let ppl = |kind| {
        CrashLog::Ppl(PplPlace {
            kind,
            offset: 24,
            sectors: 256,
            range: crate::units::SectorRange::new(Sector::new(32), Sectors::new(256)),
        })
    };
    let mut growing = array();
    growing.reshape = Some(Reshape {
        position: Sector::new(6144),
        delta_disks: -2,
        new_level: Level::Raid6,
        new_layout: 8,
        new_chunk: Sectors::new(128),
        direction: Direction::Backwards,
    });
    for progress in [
        Progress::Settled,
        Progress::Recovering { upto },
        Progress::RecoveringByBitmap { upto },
    ] {
        for crash_log in [
            CrashLog::None,
            member().crash_log,
            ppl(PplKind::Single),
            ppl(PplKind::Multiple),
        ] {
            for array in [array(), growing] {
                let mut member = MemberState {
                    progress,
                    crash_log,
                    replacement: true,
                    ..member()
                };
                if array.reshape.is_some() {
                    member.data.new_offset = Sector::new(1024);
                }
                member.bad_blocks = BadBlocks::Recorded;
                let block = block(&array, &member);
                let sb = parse(&block).expect("a good superblock");
                assert_eq!((*sb.array(), *sb.member()), (array, member));
            }
        }
    }
}

#[test]
fn raid0_keeps_its_layout() {
    let mut raid0 = ArrayState {
        level: Level::Raid0,
        ..array()
    };
    let first = block(&raid0, &member());
    assert_eq!(
        parse(&first).map(|sb| sb.features().contains(Features::RAID0_LAYOUT)),
        Ok(true)
    );
    raid0.layout = None;
    let second = block(&raid0, &member());
    assert_eq!(parse(&second).map(|sb| sb.array().layout), Ok(None));
}

#[test]
fn an_update_keeps_what_it_does_not_own() {
    let mut block = block(&array(), &member());
    for byte in block.iter_mut().skip(300) {
        *byte = 0x5a;
    }
    let before = block.clone();
    let roles = [(MemberNumber::new(20), Role::Journal)];
    assert_eq!(
        Update {
            array: &array(),
            member: &member()
        }
        .apply(&mut block, roles),
        Ok(21)
    );
    assert_eq!(block[16..72], before[16..72]);
    assert_eq!(block[298..], before[298..]);
    assert_eq!(block[296..298], [0xfd, 0xff]);
    assert_eq!(parse(&block).map(|sb| sb.role()), Ok(Role::Spare));
}

#[test]
fn an_update_that_does_not_fit_changes_nothing() {
    let good = block(&array(), &member());
    let refused = |array: &ArrayState, member: &MemberState, number: u32| {
        let mut block = good.clone();
        let outcome =
            Update { array, member }.apply(&mut block, [(MemberNumber::new(number), Role::Spare)]);
        assert_eq!(block, good);
        outcome
    };
    assert_eq!(
        refused(&array(), &member(), 1920),
        Err(UpdateError::TooManyDevices(1920))
    );
    let chunk = Sectors::new(1 << 32);
    assert_eq!(
        refused(&ArrayState { chunk, ..array() }, &member(), 0),
        Err(UpdateError::Chunk(chunk))
    );
    let mut no_log = with(&good, 188, &[0; 4]);
    let recorded = MemberState {
        bad_blocks: BadBlocks::Recorded,
        ..member()
    };
    let update = Update {
        array: &array(),
        member: &recorded,
    };
    assert_eq!(
        update.apply(&mut no_log, roles()),
        Err(UpdateError::NoBadBlockLog)
    );
    assert_eq!(
        update.apply(&mut [0; BLOCK_BYTES], roles()),
        Err(UpdateError::NotASuperblock)
    );
}

#[test]
fn what_is_refused() {
    let good = block(&array(), &member());
    let refused = |at: usize, value: &[u8]| parse(&with(&good, at, value)).map(|_| ());
    let table: &[(usize, &[u8], Sb1Error)] = &[
        (0, &[0; 4], Sb1Error::Magic(0)),
        (4, &[2], Sb1Error::MajorVersion(2)),
        (8, &[1, 32], Sb1Error::UnknownFeatures(8192)),
        (8, &[1, 16], Sb1Error::Raid0Layout),
        (8, &[1, 4], Sb1Error::PplNotAlone),
        (8, &[0, 12], Sb1Error::PplNotAlone),
        (8, &[0, 6], Sb1Error::PplNotAlone),
        (12, &[1], Sb1Error::Padding),
        (255, &[1], Sb1Error::Padding),
        (92, &[0; 4], Sb1Error::RaidDisks(0)),
        (92, &[0x81, 7], Sb1Error::RaidDisks(1921)),
        (96, &[0xef, 0xff, 0xff, 0xff], Sb1Error::BitmapPlace(-17)),
        (96, &[0, 0, 4, 0], Sb1Error::BitmapPlace(262_144)),
        (128, &[8, 0], Sb1Error::DataOverSuperblock(Sector::new(8))),
        (128, &[1, 8], Sb1Error::DataBeyondDevice),
        (128, &[0xff; 8], Sb1Error::DataBeyondDevice),
        (136, &[9, 0, 0], Sb1Error::DataSize(Sectors::new(9))),
        (144, &[0], Sb1Error::SuperOffset(Sector::ZERO)),
        (185, &[64], Sb1Error::BadBlockShift(64)),
        (186, &[9], Sb1Error::BadBlockLogSize(9)),
        (188, &[0, 0, 4, 0], Sb1Error::BadBlockLogPlace(262_144)),
        (224, &[1, 0], Sb1Error::BlockSize(1)),
        (258, &[0xfd, 0xff], Sb1Error::JournalWithoutFeature),
    ];
    for (at, value, wanted) in table {
        assert_eq!(refused(*at, value), Err(*wanted), "byte {at}");
    }
    let mut torn = good.clone();
    torn[200] ^= 1;
    assert!(matches!(parse(&torn), Err(Sb1Error::Checksum { .. })));
    assert!(matches!(
        parse(&with(&good, 220, &[0x81, 7])),
        Err(Sb1Error::MaxDev(1921))
    ));
    assert!(matches!(parse(&good[1..]), Err(Sb1Error::BlockTooShort)));
    let newer = with(&good, 12, &[1]);
    assert!(Sb1::parse(&newer, MinorVersion::V1_2, DEVICE, NewFeatures::Ignore).is_ok());
}

#[test]
fn bad_blocks_need_a_log() {
    let recorded = MemberState {
        bad_blocks: BadBlocks::Recorded,
        ..member()
    };
    let good = block(&array(), &recorded);
    assert_eq!(
        parse(&with(&good, 188, &[0])).map(|_| ()),
        Err(Sb1Error::BadBlockLogMissing)
    );
    assert_eq!(
        parse(&with(&good, 186, &[0])).map(|_| ()),
        Err(Sb1Error::BadBlockLogMissing)
    );
    let unrecorded = block(&array(), &member());
    assert!(parse(&with(&unrecorded, 188, &[0]))
        .is_ok_and(|sb| sb.extents().log_use(None) == Ok(LogUse::Absent)));
}

fn reshaping(delta_disks: i32, direction: Direction) -> ArrayState {
    ArrayState {
        reshape: Some(Reshape {
            position: Sector::ZERO,
            delta_disks,
            new_level: Level::Raid5,
            new_layout: 2,
            new_chunk: Sectors::new(1024),
            direction,
        }),
        ..array()
    }
}

/// The flag means something only where the number of slots does not say the direction.
#[test]
fn the_direction_of_a_reshape() {
    let cases = [
        (-2, Direction::Backwards, false),
        (0, Direction::Backwards, true),
        (0, Direction::Forwards, false),
        (1, Direction::Forwards, false),
    ];
    for (delta, direction, flag) in cases {
        let block = block(&reshaping(delta, direction), &member());
        let sb = parse(&block).expect("a good superblock");
        assert_eq!(
            sb.features().contains(Features::RESHAPE_BACKWARDS),
            flag,
            "{delta}"
        );
        assert_eq!(sb.array().reshape.map(|r| r.direction), Some(direction));
        let flagged = with(&block, 8, &[block[8] | 32]);
        let read = parse(&flagged).map(|sb| sb.array().reshape.map(|r| r.direction));
        let wanted = if delta == 0 {
            Direction::Backwards
        } else {
            direction
        };
        assert_eq!(read, Ok(Some(wanted)), "{delta}");
    }
}

#[test]
fn data_that_a_reshape_moves_up_stays_recorded() {
    let mut member = member();
    member.data.new_offset = Sector::new(4096);
    let block = block(&reshaping(0, Direction::Backwards), &member);
    let sb = parse(&block).expect("a good superblock");
    let size = Sectors::new(204_800 - 4096);
    let wanted = DataPlace {
        size,
        ..member.data
    };
    assert_eq!(sb.member().data, wanted);
    assert_eq!(rewritten(&sb, &block), block);
}

/// A position of all ones is no reshape, so nothing moves the data, whatever the features say.
#[test]
fn without_a_reshape_data_stays_where_it_is() {
    let mut member = member();
    member.data.new_offset = Sector::new(4096);
    let moved = block(&reshaping(0, Direction::Backwards), &member);
    let done = with(&moved, 104, &[0xff; 8]);
    let sb = parse(&done).expect("a good superblock");
    assert!(sb.features().contains(Features::NEW_OFFSET));
    let data = sb.member().data;
    assert_eq!((sb.array().reshape, data.new_offset), (None, data.offset));
    let again = rewritten(&sb, &done);
    assert_eq!(parse(&again).map(|sb| *sb.member()), Ok(*sb.member()));
}

#[test]
fn reshapes_come_from_arrays_that_exist() {
    let growing = reshaping(2, Direction::Forwards);
    let good = block(&growing, &member());
    assert!(parse(&good).is_ok_and(|sb| sb.array().reshape == growing.reshape));
    assert_eq!(
        parse(&with(&good, 112, &[3])).map(|_| ()),
        Err(Sb1Error::DeltaDisks(3))
    );
    assert_eq!(
        parse(&with(&good, 112, &[0, 0, 0, 0x80])).map(|_| ()),
        Err(Sb1Error::DeltaDisks(i32::MIN))
    );
    let at_rest = with(&good, 104, &[0xff; 8]);
    assert_eq!(parse(&at_rest).map(|sb| sb.array().reshape), Ok(None));
}

#[test]
fn where_superblocks_lie() {
    let at =
        |minor: MinorVersion, device: u64| minor.superblock(Sectors::new(device)).map(Sector::get);
    assert_eq!(at(MinorVersion::V1_0, 204_800), Some(204_784));
    assert_eq!(at(MinorVersion::V1_0, 204_807), Some(204_784));
    assert_eq!(at(MinorVersion::V1_0, 15), None);
    assert_eq!(at(MinorVersion::V1_0, 16), Some(0));
    assert_eq!(at(MinorVersion::V1_1, 8), Some(0));
    assert_eq!(at(MinorVersion::V1_1, 7), None);
    assert_eq!(at(MinorVersion::V1_2, 16), Some(8));
    assert_eq!(at(MinorVersion::V1_2, 15), None);
    assert_eq!(
        (0..4)
            .filter_map(MinorVersion::from_number)
            .map(MinorVersion::number)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn room_under_a_superblock_at_the_end() {
    let room = |device: u64| data_room_1_0(Sectors::new(device)).get();
    assert_eq!(room(100), 80 - 8);
    assert_eq!(room(204_800), 204_784 - 8 - 8);
    assert_eq!(room((8 << 21) + 8), (8 << 21) - 8 - 8 - 8);
    assert_eq!(room((8 << 21) + 16), (8 << 21) - 128 - 8);
    assert_eq!(room((200 << 21) + 128), (200 << 21) + 112 - 256 - 8);
    assert_eq!(room(10), 0);
}

#[test]
fn data_before_a_superblock_at_the_end_stops_there_and_stays_recorded() {
    let device = Device {
        sectors: Sectors::new(1000),
        block: BlockSize::SECTOR,
    };
    let superblock = MinorVersion::V1_0.superblock(device.sectors).expect("room");
    let data = DataPlace::at_rest(Sector::new(100), Sectors::new(976));
    let member = MemberState {
        superblock,
        data,
        crash_log: CrashLog::None,
        ..member()
    };
    let mut block = block(&array(), &member);
    block[188..192].copy_from_slice(&(-8_i32).to_le_bytes());
    resum(&mut block);
    let sb = Sb1::parse(&block, MinorVersion::V1_0, device, NewFeatures::Refuse)
        .expect("a good superblock");
    let size = Sectors::new(984 - 100);
    assert_eq!(sb.member().data, DataPlace { size, ..data });
    assert_eq!(rewritten(&sb, &block), block);
}

#[test]
fn a_superblock_follows_the_end_of_its_device() {
    let mut member = member();
    member.superblock = MinorVersion::V1_0
        .superblock(DEVICE.sectors)
        .expect("a place");
    member.crash_log = CrashLog::None;
    member.data.offset = Sector::ZERO;
    member.data.new_offset = Sector::ZERO;
    member.data.size = Sectors::new(200_704);
    let mut moved = block(&array(), &member);
    moved[188..192].copy_from_slice(&(-8_i32).to_le_bytes());
    resum(&mut moved);
    let larger = Device {
        sectors: Sectors::new(409_600),
        ..DEVICE
    };
    let at = MinorVersion::V1_0
        .superblock(larger.sectors)
        .expect("a place");
    relocate(&mut moved, at).expect("a superblock");
    let parse = |device| Sb1::parse(&moved, MinorVersion::V1_0, device, NewFeatures::Refuse);
    assert_eq!(parse(larger).expect("a superblock").member().superblock, at);
    assert!(parse(DEVICE).is_err());
    assert_eq!(
        relocate(&mut [0; BLOCK_BYTES], at),
        Err(UpdateError::NotASuperblock)
    );
}
