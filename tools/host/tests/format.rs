// SPDX-License-Identifier: GPL-2.0

//! Properties of the on-disk formats: what is written is read, what is damaged is refused and never panics, and what is
//! accepted lies on the member.

use core::num::{NonZeroI32, NonZeroU32};

use md_core::format::badblocks;
use md_core::format::bitmap::{BitAt, BitOrder, BitmapSb, ChunkSize, Kind, StateBits};
use md_core::format::extents::{Area, Extents};
use md_core::format::ident::{SbTime, Uuid};
use md_core::format::journal::{Content, MetaBlock, Payload, Seed, Sequence, Writer};
use md_core::format::level::Level;
use md_core::format::ppl::{self, Header, NewHeader};
use md_core::format::sb0::{self, InternalBitmap, Record, Sb0, Seat, Standing};
use md_core::format::sb1::{
    ArrayState, BadBlocks, BitmapPlace, Clustering, CrashLog, DataPlace, Device, Direction,
    Identity, JournalUse, MemberState, MinorVersion, NewBadBlockLog, Progress, Reshape,
    ResyncPoint, Role, Sb1, Update,
};
use md_core::format::{BlockSize, NewFeatures};
use md_core::units::{BitmapChunk, Events, MemberNumber, Sector, SectorRange, Sectors, Slot};
use proptest::prelude::*;

const MEMBER: Sectors = Sectors::new(1 << 22);
const DEVICE: Device = Device {
    sectors: MEMBER,
    block: BlockSize::SECTOR,
};

/// No rebuild of the members here has come further.
const UPTO_MAX: u64 = 1 << 20;

/// The length of a journal.
const RING: Sectors = Sectors::new(1 << 20);

fn levels() -> impl Strategy<Value = Level> {
    prop_oneof![
        prop::sample::select(vec![-1, 0, 1, 4, 5, 6, 10]),
        any::<i32>()
    ]
    .prop_map(Level::from_number)
}

/// What arrays use of each member; zero, which is all of it, is for [`Sb1`]'s own tests.
fn member_sizes() -> impl Strategy<Value = u64> {
    prop_oneof![UPTO_MAX..1_u64 << 40, Just(u64::MAX)]
}

/// Up to where a resync, or a rebuild, may have come on members of this size.
fn resync_points(size: u64) -> impl Strategy<Value = ResyncPoint> {
    // All ones is how "done" is written.
    prop_oneof![
        Just(ResyncPoint::Done),
        (0..=size.min(u64::MAX - 1)).prop_map(|at| ResyncPoint::From(Sector::new(at)))
    ]
}

fn reshapes() -> impl Strategy<Value = Option<Reshape>> {
    let fields = (
        0..u64::MAX,
        -100..100_i32,
        levels(),
        any::<u32>(),
        any::<u32>(),
        any::<bool>(),
    );
    let reshape = fields.prop_map(
        |(position, delta_disks, new_level, new_layout, new_chunk, backwards)| Reshape {
            position: Sector::new(position),
            delta_disks,
            new_level,
            new_layout,
            new_chunk: Sectors::new(new_chunk.into()),
            // Only a reshape that keeps the number of members can go either way.
            direction: match (delta_disks, backwards) {
                (i32::MIN..0, _) | (0, true) => Direction::Backwards,
                _ => Direction::Forwards,
            },
        },
    );
    prop::option::of(reshape)
}

prop_compose! {
    fn arrays()(
        updated in any::<u64>(),
        events in any::<u64>(),
        level in levels(),
        layout in any::<u32>(),
        chunk in any::<u32>(),
        (member_size, resync) in member_sizes().prop_flat_map(|size| (Just(size), resync_points(size))),
        raid_disks in 101..1800_u16,
        block_shift in prop::option::of(9..17_u32),
        reshape in reshapes(),
    ) -> ArrayState {
        let reshape = reshape.map(|reshape| Reshape {
            position: reshape.position.min(Sector::new(member_size)),
            ..reshape
        });
        ArrayState {
            updated: SbTime::from_raw(updated),
            events: Events::new(events),
            resync,
            level,
            layout: Some(layout),
            chunk: Sectors::new(chunk.into()),
            member_size: Sectors::new(member_size),
            raid_disks,
            block_size: block_shift.and_then(|shift| BlockSize::new(1 << shift)),
            reshape,
            journal: JournalUse::Without,
            clustering: Clustering::Single,
        }
    }
}

fn progresses() -> impl Strategy<Value = Progress> {
    let upto = (0..=UPTO_MAX).prop_map(Sectors::new);
    prop_oneof![
        Just(Progress::Settled),
        upto.clone().prop_map(|upto| Progress::Recovering { upto }),
        upto.prop_map(|upto| Progress::RecoveringByBitmap { upto }),
    ]
}

fn crash_logs() -> impl Strategy<Value = CrashLog> {
    prop_oneof![
        Just(CrashLog::None),
        // Between the superblock, at most 8 sectors long, and the data.
        prop_oneof![-8..0, 8..92_i32].prop_filter_map("on the member", |offset: i32| {
            let start = Sector::new(8).checked_offset(offset.into())?;
            Some(CrashLog::Bitmap(BitmapPlace {
                offset: NonZeroI32::new(offset)?,
                start,
            }))
        }),
    ]
}

prop_compose! {
    fn members()(
        offset in 100..1_000_000_u64,
        size in 10..1_000_000_u64,
        new_offset in 100..1_000_000_u64,
        progress in progresses(),
        flags in any::<[bool; 3]>(),
        corrected_reads in any::<u32>(),
        crash_log in crash_logs(),
        recorded in any::<bool>(),
    ) -> MemberState {
        let [replacement, write_mostly, failfast] = flags;
        MemberState {
            superblock: Sector::new(8),
            data: DataPlace {
                offset: Sector::new(offset),
                size: Sectors::new(size),
                recorded: Sectors::new(size),
                new_offset: Sector::new(new_offset),
            },
            progress,
            replacement,
            write_mostly,
            failfast,
            corrected_reads,
            crash_log,
            bad_blocks: if recorded { BadBlocks::Recorded } else { BadBlocks::Unrecorded },
        }
    }
}

/// A superblock of these values, on bytes that already held something.
fn sb1_block(array: &ArrayState, member: &MemberState, max_dev: u16, noise: u8) -> Vec<u8> {
    let mut block = vec![0; 4096];
    let identity = Identity {
        set_uuid: Uuid::new([noise; 16]),
        set_name: [noise; 32],
        created: SbTime::from_raw(noise.into()),
        device_uuid: Uuid::new([!noise; 16]),
        number: MemberNumber::new(noise.into()),
        max_dev,
        bad_block_log: Some(NewBadBlockLog {
            offset: 24,
            sectors: 8,
            shift: 0,
        }),
    };
    identity.create(&mut block).expect("a block");
    let roles =
        (0..max_dev.min(60)).map(|n| (MemberNumber::new(n.into()), Role::Active(Slot::new(n))));
    Update { array, member }
        .apply(&mut block, roles)
        .expect("values that fit");
    let used = 256 + 2 * usize::from(max_dev);
    block[used..].fill(noise);
    block
}

fn parse(block: &[u8]) -> Option<Sb1<'_>> {
    Sb1::parse(block, MinorVersion::V1_2, DEVICE, NewFeatures::Refuse).ok()
}

/// The reshape's new offset is on disk only while there is a reshape.
fn on_disk(array: &ArrayState, mut member: MemberState) -> MemberState {
    if array.reshape.is_none() {
        member.data.new_offset = member.data.offset;
    }
    member
}

proptest! {
    #[test]
    fn sb1_written_is_read(array in arrays(), member in members(), max_dev in 0..=1920_u16, noise: u8) {
        let member = on_disk(&array, member);
        let block = sb1_block(&array, &member, max_dev, noise);
        let sb = parse(&block).expect("what was written is good");
        // A raid0's layout is meant since it was written; no other level can lack one.
        prop_assert_eq!(*sb.array(), array);
        prop_assert_eq!(*sb.member(), member);
        prop_assert_eq!(sb.max_dev(), max_dev);
    }

    #[test]
    fn sb1_encode_of_parse_is_the_same(array in arrays(), member in members(), max_dev in 0..=1920_u16, noise: u8) {
        let block = sb1_block(&array, &on_disk(&array, member), max_dev, noise);
        let sb = parse(&block).expect("what was written is good");
        let mut copy = block.clone();
        let update = Update { array: sb.array(), member: sb.member() };
        prop_assert_eq!(update.apply(&mut copy, sb.roles()), Ok(max_dev));
        prop_assert_eq!(copy, block);
    }

    #[test]
    fn sb1_flipped_bits_are_noticed(array in arrays(), member in members(), at in 0..376_usize, bit in 0..8_u8) {
        let mut block = sb1_block(&array, &on_disk(&array, member), 60, 1);
        block[at] ^= 1 << bit;
        prop_assert!(parse(&block).is_none(), "byte {}", at);
    }

    #[test]
    fn sb1_damaged_but_summed_never_panics(
        array in arrays(),
        member in members(),
        damage in prop::collection::vec((0..256_usize, any::<u8>()), 1..12),
        minor in 0..3_u32,
        sectors in 0..(1_u64 << 23),
    ) {
        let mut block = sb1_block(&array, &on_disk(&array, member), 60, 1);
        for (at, value) in damage {
            block[at] = value;
        }
        resum(&mut block);
        let minor = MinorVersion::from_number(minor).expect("0 to 2");
        let device = Device { sectors: Sectors::new(sectors), block: BlockSize::PAGE };
        if let Ok(sb) = Sb1::parse(&block, minor, device, NewFeatures::Ignore) {
            in_bounds(&sb, device.sectors);
            let mut copy = block.clone();
            let update = Update { array: sb.array(), member: sb.member() };
            update.apply(&mut copy, sb.roles()).expect("what was read can be written");
            let again = Sb1::parse(&copy, minor, device, NewFeatures::Refuse).expect("what was written is good");
            prop_assert_eq!((again.array(), again.member()), (sb.array(), sb.member()));
        }
    }

    #[test]
    fn random_bytes_are_nothing(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(parse(&bytes).is_none());
        prop_assert!(Sb0::parse(&bytes, MEMBER).is_err());
        prop_assert!(BitmapSb::parse(&bytes).is_err());
        prop_assert!(Header::parse(&bytes, BlockSize::SECTOR, Sectors::MAX).is_err());
        prop_assert!(MetaBlock::parse(&bytes, Seed::of(Uuid::default()), RING).is_err());
        prop_assert!(badblocks::entries(&bytes, 0).count() <= bytes.len() / 8);
    }

    #[test]
    fn sb0_written_is_read(
        mut array in arrays(),
        raid_disks in 1..=27_u16,
        minutes in any::<u32>(),
        this in 0..27_usize,
        bitmap: bool,
    ) {
        array.raid_disks = raid_disks;
        array.updated = SbTime::from_raw(minutes.into());
        array.chunk = Sectors::new(array.chunk.get() % (1 << 22));
        array.member_size = Sectors::new((array.member_size.get() % MEMBER.get()) & !255).max(Sectors::new(256));
        array.layout = if array.level == Level::Raid0 { None } else { array.layout };
        array.block_size = None;
        array.reshape = None;
        if let ResyncPoint::From(at) = array.resync {
            array.resync = ResyncPoint::From(Sector::new(at.get().min(array.member_size.get())));
        }
        let record = Record {
            array: &array,
            set_uuid: Uuid::new([3; 16]),
            created: SbTime::from_raw(5),
            preferred_minor: 127,
            patch_version: 0,
            bitmap: if bitmap { InternalBitmap::Present } else { InternalBitmap::Absent },
        };
        let this = this % usize::from(raid_disks);
        let seats = (0..raid_disks).map(|n| Seat {
            device: sb0::DeviceNumber { major: 8, minor: n.into() },
            standing: Standing::InSync(Slot::new(n)),
            write_mostly: n % 2 == 0,
            failfast: n % 3 == 0,
        });
        let mut block = vec![0x77; 4096];
        record.write(&mut block, seats, this).expect("values that fit");
        let sb = Sb0::parse(&block, MEMBER).expect("what was written is good");
        prop_assert_eq!(*sb.array(), array);
        prop_assert_eq!(sb.number(), MemberNumber::new(u32::try_from(this).expect("small")));
        prop_assert_eq!(sb.member().write_mostly, this % 2 == 0);
        prop_assert!(sb.extents().data_room() <= MEMBER);
    }

    #[test]
    fn sb0_damaged_but_summed_never_panics(damage in prop::collection::vec((0..1024_usize, any::<u32>()), 1..20)) {
        let mut words = [0_u32; 1024];
        (words[0], words[2], words[10], words[38]) = (0xa92b_4efc, 90, 3, 0);
        for (at, value) in damage {
            // Small values reach further than random ones.
            words[at] = if value % 2 == 0 { value } else { value % 32 };
        }
        words[38] = 0;
        let sum: u64 = words.iter().map(|&word| u64::from(word)).sum();
        words[38] = folded(sum);
        let block: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if let Ok(sb) = Sb0::parse(&block, MEMBER) {
            prop_assert!(sb.number().get() < 27);
            prop_assert!((1..=27).contains(&sb.array().raid_disks));
            prop_assert_eq!(sb.descriptors().count(), 27);
            let _ = (sb.role(), sb.counts(), sb.extents());
        }
    }

    #[test]
    fn bitmaps_round_trip(
        version in 0..4_u8,
        shift in 0..22_u32,
        numbers in any::<[u64; 3]>(),
        state in any::<u32>(),
        (sleep, behind, reserved) in (1..u32::MAX, 0..=16383_u32, any::<u32>()),
        noise: u8,
    ) {
        let chunk = ChunkSize::from_sectors(Sectors::new(1 << shift)).expect("a chunk size");
        let kind = match version {
            0 => Kind::HostEndian(chunk),
            1 => Kind::Classic(chunk),
            2 => Kind::Clustered { chunk, nodes: reserved },
            _ => Kind::Lockless(chunk),
        };
        let [events, events_cleared, sync_size] = numbers;
        let state = StateBits::from_raw(state).without(StateBits::FIRST_USE).without(StateBits::SHUTDOWN);
        let sb = BitmapSb {
            kind,
            uuid: Uuid::new([noise; 16]),
            events: Events::new(events),
            events_cleared: Events::new(events_cleared),
            sync_size: Sectors::new(sync_size),
            state,
            daemon_sleep_s: NonZeroU32::new(sleep).expect("not zero"),
            write_behind: behind,
            reserved: Sectors::new(reserved.into()),
        };
        let mut bytes = vec![noise; 300];
        sb.encode(&mut bytes).expect("values that fit");
        prop_assert_eq!(BitmapSb::parse(&bytes), Ok(sb));
        prop_assert!(bytes[256..].iter().all(|&byte| byte == noise));
        prop_assert!(kind.needed(Sectors::new(sync_size)).is_some());
    }

    #[test]
    fn every_chunk_has_a_bit_of_its_own(a in 0..10_000_u64, b in 0..10_000_u64) {
        for order in [BitOrder::LittleEndian, BitOrder::Host] {
            let at = |chunk| BitAt::of(BitmapChunk::new(chunk), order);
            prop_assert_eq!(at(a) == at(b), a == b);
        }
    }

    #[test]
    fn bad_blocks_cover_what_was_bad(
        bad in prop::collection::vec((0..1_u64 << 50, 1..5000_u64), 0..60),
        shift in 0..8_u8,
    ) {
        let range = |&(start, len): &(u64, u64)| SectorRange::new(Sector::new(start), Sectors::new(len));
        let bad: Vec<_> = bad.iter().filter_map(range).collect();
        let mut log = vec![0; 4096];
        let entries = badblocks::encode(&mut log, shift, bad.iter().copied()).expect("few enough");
        let read: Vec<_> = badblocks::entries(&log, shift).collect::<Result<_, _>>().expect("what was written is good");
        prop_assert_eq!(read.len(), entries);
        for range in bad {
            let mut at = range.start();
            while at < range.end() {
                let entry = read.iter().find(|entry| entry.start() <= at && at < entry.end());
                at = entry.expect("a bad sector is in the log").end();
            }
        }
    }

    #[test]
    fn ppl_headers_round_trip(
        writes in prop::collection::vec((0..1_u64 << 60, 0..8000_u64, 0..8000_u64, any::<u16>(), any::<u32>()), 0..148),
        damage in prop::option::of((0..4096_usize, 0..8_u8)),
        generation: u64,
    ) {
        let writes: Vec<_> = writes.iter().map(|&(data, data_len, parity_len, slot, checksum)| ppl::Write {
            data: Sector::new(data),
            data_len: Sectors::new(data_len),
            parity_len: Sectors::new(parity_len),
            parity_slot: Slot::new(slot),
            checksum,
        }).collect();
        let mut bytes = vec![0xaa; 4096];
        let header = NewHeader { signature: 9, generation, block: BlockSize::SECTOR };
        header.write(&mut bytes, writes.iter().copied()).expect("values that fit");
        if let Some((at, bit)) = damage {
            bytes[at] ^= 1 << bit;
            prop_assert!(Header::parse(&bytes, BlockSize::SECTOR, Sectors::MAX).is_err());
        } else {
            let header = Header::parse(&bytes, BlockSize::SECTOR, Sectors::MAX).expect("what was written is good");
            prop_assert_eq!(header.generation(), generation);
            prop_assert_eq!(header.writes().collect::<Vec<_>>(), writes);
        }
    }

    #[test]
    fn journal_blocks_round_trip(
        payloads in prop::collection::vec((0..3_u8, any::<u64>(), prop::collection::vec(any::<u32>(), 1..20)), 0..60),
        damage in prop::option::of((0..4096_usize, 0..8_u8)),
        seq: u64,
    ) {
        let seed = Seed::of(Uuid::new([1; 16]));
        let mut bytes = vec![0xaa; 4096];
        let mut writer = Writer::start(&mut bytes, Sequence(seq), Sector::new(24)).expect("a block");
        let mut kept = 0;
        for (kind, at, sums) in &payloads {
            let pushed = match kind {
                0 => writer.push_blocks(Content::Data(Sector::new(*at)), sums),
                1 => writer.push_blocks(Content::Parity(Sector::new(*at)), sums),
                _ => writer.push_flush(&[Sector::new(*at)]),
            };
            if pushed.is_err() {
                break;
            }
            kept += 1;
        }
        writer.finish(seed).expect("a block");
        if let Some((at, bit)) = damage {
            bytes[at] ^= 1 << bit;
            prop_assert!(MetaBlock::parse(&bytes, seed, RING).is_err());
            return Ok(());
        }
        let block = MetaBlock::parse(&bytes, seed, RING).expect("what was written is good");
        prop_assert_eq!(block.sequence(), Sequence(seq));
        prop_assert_eq!(block.payloads().count(), kept);
        for (read, (kind, at, sums)) in block.payloads().zip(&payloads) {
            match (read, kind) {
                (Payload::Blocks { content: Content::Data(to), sums: read, .. }, 0)
                | (Payload::Blocks { content: Content::Parity(to), sums: read, .. }, 1) => {
                    prop_assert_eq!(to.get(), *at);
                    prop_assert!(read.iter().eq(sums.iter().copied()));
                }
                (Payload::Flush { stripes, .. }, 2) => prop_assert!(stripes.iter().eq([Sector::new(*at)])),
                (read, kind) => prop_assert!(false, "{read:?} was written as {kind}"),
            }
        }
    }

    #[test]
    fn journal_blocks_of_noise_never_panic(noise in prop::collection::vec(any::<u8>(), 4064), size in 0..5000_u32) {
        let seed = Seed::of(Uuid::default());
        let mut bytes = vec![0; 4096];
        Writer::start(&mut bytes, Sequence(1), Sector::ZERO).and_then(|w| w.finish(seed)).expect("a block");
        bytes[12..16].copy_from_slice(&size.to_le_bytes());
        for (place, byte) in bytes[32..].iter_mut().zip(noise) {
            // Mostly small numbers, so that types and sizes are often right.
            *place = if byte < 128 { byte % 3 } else { byte };
        }
        bytes[4..8].fill(0);
        let sum = seed.sum(&bytes);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        if let Ok(block) = MetaBlock::parse(&bytes, seed, RING) {
            prop_assert!(block.payload_len().get() % 8 == 0);
        }
    }
}

/// The carries of a sum added in once.
fn folded(sum: u64) -> u32 {
    let low = u32::try_from(sum & 0xffff_ffff).expect("32 bits");
    low.wrapping_add(u32::try_from(sum >> 32).expect("few carries"))
}

fn resum(block: &mut [u8]) {
    let max_dev = u32::from_le_bytes(block[220..224].try_into().expect("4 bytes"));
    let used = usize::try_from(max_dev).map_or(4096, |n| 256 + 2 * n.min(1920));
    block[216..220].fill(0);
    let words = block[..used].chunks(4).map(|word| match *word {
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        _ => 0,
    });
    let sum = folded(words.sum());
    block[216..220].copy_from_slice(&sum.to_le_bytes());
}

/// The areas of a member that nothing may share, whatever the bitmap says; the bad-block log may be unused.
const FIRM: [Area; 6] = [
    Area::Superblock,
    Area::Data,
    Area::NewData,
    Area::Journal,
    Area::Bitmap,
    Area::Ppl,
];

/// Everything an accepted superblock names lies on the member.
fn in_bounds(sb: &Sb1<'_>, device: Sectors) {
    let (array, member) = (sb.array(), sb.member());
    assert!((1..=1920).contains(&array.raid_disks));
    assert!(sb.range().end().get() <= device.get());
    for start in [member.data.offset, member.data.new_offset] {
        assert!(start
            .checked_add(member.data.size)
            .is_some_and(|end| end.get() <= device.get()));
    }
    let extents = sb.extents();
    for area in FIRM.into_iter().chain([Area::BadBlockLog]) {
        let range = extents.range(area).expect("it lies on the member");
        assert!(range.is_none_or(|range| range.end().get() <= device.get()));
    }
    assert!(extents.data_room() <= device);
    apart(&extents);
    positions(array, member);
}

/// No two areas of what was accepted share a sector, but for the two places of data that a reshape moves.
fn apart(extents: &Extents) {
    let range = |area| extents.range(area).expect("on the member");
    let there: Vec<_> = FIRM
        .into_iter()
        .filter_map(|area| Some((area, range(area)?)))
        .collect();
    for (index, (area, range)) in there.iter().enumerate() {
        for (other, others) in &there[..index] {
            let moved = (*other, *area) == (Area::Data, Area::NewData);
            assert!(moved || !range.overlaps(*others), "{other} and {area}");
        }
    }
}

/// Every position is one of what it is about.
fn positions(array: &ArrayState, member: &MemberState) {
    let used = match array.member_size {
        Sectors::ZERO => member.data.size,
        size => size,
    };
    let all = |slots: u64| used.get().saturating_mul(slots);
    if let ResyncPoint::From(at) = array.resync {
        let slots = match array.level {
            Level::Raid1 | Level::Raid4 | Level::Raid5 | Level::Raid6 => 1,
            _ => array.raid_disks,
        };
        assert!(at.get() <= all(slots.into()));
    }
    if let Some(reshape) = array.reshape {
        let before = i64::from(array.raid_disks) - i64::from(reshape.delta_disks);
        let slots = before.max(array.raid_disks.into()).unsigned_abs();
        assert!(reshape.position.get() <= all(slots));
    }
    match member.progress {
        Progress::Settled => {}
        Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto } => {
            assert!(upto <= used);
        }
        Progress::Journal { tail } => {
            assert_eq!(tail.get() % 8, 0);
            assert!(tail.get() + 8 <= member.data.size.get());
        }
    }
}
