// SPDX-License-Identifier: GPL-2.0

//! Tests of what [`sb1`](super::super) does with positions that reach too far, and with areas that overlap.

use super::*;

/// What is read of `block`: positions, and what was stored in their place.
fn read(block: &[u8]) -> (ResyncPoint, Progress, Strays) {
    let sb = parse(block).expect("a good superblock");
    (sb.array().resync, sb.member().progress, sb.strays())
}

#[test]
fn a_resync_ends_with_the_members() {
    let from = |level, resync: u64| {
        let array = ArrayState {
            level,
            resync: ResyncPoint::From(Sector::new(resync)),
            ..array()
        };
        let (resync, _, strays) = read(&block(&array, &member()));
        (resync, strays.resync.map(Sector::get))
    };
    let upto = |at| ResyncPoint::From(Sector::new(at));
    assert_eq!(from(Level::Raid5, 200_704), (upto(200_704), None));
    assert_eq!(from(Level::Raid5, 200_705), (upto(200_704), Some(200_705)));
    // That of raid10 counts sectors of the array.
    assert_eq!(from(Level::Raid10, 602_112), (upto(602_112), None));
    assert_eq!(
        from(Level::Raid10, u64::MAX - 1),
        (upto(602_112), Some(u64::MAX - 1))
    );
    let (resync, ..) = read(&with(&block(&array(), &member()), 208, &[0xff; 8]));
    assert_eq!(resync, ResyncPoint::Done);
}

#[test]
fn a_rebuild_ends_with_the_member() {
    let upto = |sectors| {
        let member = MemberState {
            progress: Progress::Recovering {
                upto: Sectors::new(sectors),
            },
            ..member()
        };
        let (_, progress, strays) = read(&block(&array(), &member));
        let Progress::Recovering { upto } = progress else {
            panic!("{progress:?}");
        };
        (upto.get(), strays.recovered.map(Sectors::get))
    };
    assert_eq!(upto(200_704), (200_704, None));
    assert_eq!(upto(200_705), (200_704, Some(200_705)));
    // This is how C md says that all of it is rebuilt.
    assert_eq!(upto(u64::MAX), (200_704, None));
    // What the level does not bound, the member does.
    let all = ArrayState {
        member_size: Sectors::ZERO,
        ..array()
    };
    let member = MemberState {
        progress: Progress::RecoveringByBitmap {
            upto: Sectors::new(202_753),
        },
        ..member()
    };
    let (_, progress, _) = read(&block(&all, &member));
    let upto = Sectors::new(202_752);
    assert_eq!(progress, Progress::RecoveringByBitmap { upto });
}

#[test]
fn a_journal_is_replayed_from_a_block_of_it() {
    let array = ArrayState {
        journal: JournalUse::With,
        ..array()
    };
    let journal = |tail| {
        let member = MemberState {
            progress: Progress::Journal {
                tail: Sectors::new(tail),
            },
            crash_log: CrashLog::None,
            ..member()
        };
        let mut block = vec![0; BLOCK_BYTES];
        identity().create(&mut block).expect("a block");
        let update = Update {
            array: &array,
            member: &member,
        };
        update
            .apply(&mut block, [(MemberNumber::new(1), Role::Journal)])
            .expect("values that fit");
        let (_, progress, strays) = read(&block);
        let Progress::Journal { tail } = progress else {
            panic!("{progress:?}");
        };
        (tail.get(), strays.tail.map(Sectors::get))
    };
    assert_eq!(journal(8), (8, None));
    assert_eq!(journal(202_744), (202_744, None));
    // As C md: whatever cannot be is the start.
    for stray in [9, 202_748, 202_752, u64::MAX] {
        assert_eq!(journal(stray), (0, Some(stray)));
    }
}

#[test]
fn data_settles_where_a_reshape_has_moved_it() {
    let place = |to: u64, size: u64| DataPlace {
        size: Sectors::new(size),
        new_offset: Sector::new(to),
        ..DataPlace::at_rest(Sector::new(2048), Sectors::new(10_000))
    };
    let settled = |to, size| {
        let settled = place(to, size).settled();
        assert_eq!(settled.offset, settled.new_offset);
        assert_eq!(settled.size, settled.recorded);
        (settled.offset.get(), settled.size.get())
    };
    assert_eq!(settled(2048, 10_000), (2048, 10_000));
    assert_eq!(settled(2000, 10_000), (2000, 10_048));
    // The end stays where it was, whether the loss was counted before or not.
    assert_eq!(settled(2148, 10_000), (2148, 9900));
    assert_eq!(settled(2148, 9900), (2148, 9900));
}

#[test]
fn a_reshape_is_somewhere_in_the_array() {
    let at = |delta_disks, position| {
        let mut array = reshaping(delta_disks, Direction::Forwards);
        if let Some(reshape) = &mut array.reshape {
            reshape.position = Sector::new(position);
        }
        parse(&block(&array, &member())).map(|_| ())
    };
    // Three members, or as many as there were before.
    assert_eq!(at(1, 3 * 200_704), Ok(()));
    let beyond = |position| Err(Sb1Error::ReshapePosition(Sector::new(position)));
    assert_eq!(at(1, 3 * 200_704 + 1), beyond(3 * 200_704 + 1));
    assert_eq!(at(-1, 4 * 200_704), Ok(()));
    assert_eq!(at(-1, 4 * 200_704 + 1), beyond(4 * 200_704 + 1));
}

#[test]
fn a_partial_parity_log_has_room_for_a_stripe() {
    let range = |sectors| {
        let member = MemberState {
            crash_log: CrashLog::Ppl(PplPlace {
                kind: PplKind::Single,
                offset: 24,
                sectors,
                range: None,
            }),
            ..member()
        };
        let block = block(&array(), &member);
        let sb = parse(&block).expect("a good superblock");
        assert_eq!(rewritten(&sb, &block), block);
        match sb.member().crash_log {
            CrashLog::Ppl(place) => place.range.map(|range| range.len().get()),
            other => panic!("{other:?}"),
        }
    };
    for short in [0, 1, 7, 8, 15] {
        assert_eq!(range(short), None, "{short}");
    }
    assert_eq!(range(16), Some(16));
}

#[test]
fn what_overlaps_is_not_verified() {
    let bitmap = |offset: i32| {
        let offset = NonZeroI32::new(offset).expect("not zero");
        let member = MemberState {
            crash_log: CrashLog::Bitmap(BitmapPlace {
                offset,
                start: Sector::new(16),
            }),
            ..member()
        };
        block(&array(), &member)
    };
    let over = bitmap(2040);
    let overlap = ExtentsError::Overlap {
        first: Area::Data,
        second: Area::Bitmap,
    };
    assert_eq!(parse(&over).map(|_| ()), Err(Sb1Error::Areas(overlap)));
    // Who inspects it can still read what it says.
    let read = Sb1::read(&over, MinorVersion::V1_2, DEVICE, NewFeatures::Refuse);
    let read = read.expect("good but for its areas");
    assert_eq!(*read.array(), array());
    assert_eq!(read.place().map(|_| ()), Err(overlap));
    assert!(parse(&bitmap(2039)).is_ok());
}
