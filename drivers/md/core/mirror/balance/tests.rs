// SPDX-License-Identifier: GPL-2.0

//! Tests of [`balance`](super): which copy is chosen, and how much is read from it.

use super::*;
use crate::mirror::Seat;
use crate::units::Slot;

const LENGTH: Sectors = Sectors::new(8);

fn candidate(slot: u16) -> Candidate {
    Candidate {
        copy: Place {
            slot: Slot::new(slot),
            seat: Seat::Main,
        },
        start: Sector::new(1000),
        valid_below: Sector::MAX,
        bad: None,
        reads: Reads::Normal,
        media: Media::Rotating,
        in_flight: 1,
        head: Sector::new(0),
        stream: Stream::NONE,
    }
}

fn bad(start: u64, length: u64) -> Option<SectorRange> {
    SectorRange::new(Sector::new(start), Sectors::new(length))
}

fn raid1(order: ReadOrder, candidates: &[Candidate]) -> Option<(u16, u64)> {
    choose_raid1(LENGTH, order, candidates.iter().copied())
        .map(|choice| (choice.copy.slot.get(), choice.length.get()))
}

fn raid10(copies: Copies, candidates: &[Candidate]) -> Option<(u16, u64)> {
    choose_raid10(LENGTH, ReadOrder::Any, copies, candidates.iter().copied())
        .map(|choice| (choice.copy.slot.get(), choice.length.get()))
}

#[test]
fn what_is_not_resynced_is_read_from_one_place() {
    let order = |end, resynced| {
        read_order(
            Sector::new(end),
            Sector::new(resynced),
            RemoteResync::Elsewhere,
        )
    };
    assert_eq!(order(8, 8), ReadOrder::Any);
    assert_eq!(order(9, 8), ReadOrder::First);
    let remote = read_order(Sector::new(8), Sector::MAX, RemoteResync::Here);
    assert_eq!(remote, ReadOrder::First);

    let near = Candidate {
        head: Sector::new(1000),
        in_flight: 0,
        ..candidate(1)
    };
    assert_eq!(raid1(ReadOrder::First, &[candidate(0), near]), Some((0, 8)));
    let stale = Candidate {
        valid_below: Sector::new(1007),
        ..candidate(0)
    };
    assert_eq!(raid1(ReadOrder::First, &[stale, near]), Some((1, 8)));
}

#[test]
fn bad_blocks_of_the_first_copy_bound_the_others() {
    let holed = Candidate {
        bad: bad(996, 7),
        ..candidate(0)
    };
    assert_eq!(
        raid1(ReadOrder::First, &[holed, candidate(1)]),
        Some((1, 3))
    );
    let later = Candidate {
        bad: bad(1002, 1),
        ..candidate(0)
    };
    assert_eq!(
        raid1(ReadOrder::First, &[later, candidate(1)]),
        Some((0, 2))
    );
    assert_eq!(raid1(ReadOrder::First, &[holed]), None);
}

#[test]
fn heads_prefer_what_is_close_and_streams() {
    let close = Candidate {
        head: Sector::new(900),
        ..candidate(1)
    };
    assert_eq!(raid1(ReadOrder::Any, &[candidate(0), close]), Some((1, 8)));
    let streaming = Candidate {
        head: Sector::new(1000),
        in_flight: 9,
        ..candidate(0)
    };
    assert_eq!(raid1(ReadOrder::Any, &[close, streaming]), Some((0, 8)));
    let idle = Candidate {
        in_flight: 0,
        ..candidate(2)
    };
    assert_eq!(
        raid1(ReadOrder::Any, &[candidate(0), close, idle]),
        Some((2, 8))
    );
}

#[test]
fn solid_members_share_by_load() {
    let optimal = Sectors::new(64);
    let solid = |slot, in_flight| Candidate {
        media: Media::Solid { optimal },
        in_flight,
        ..candidate(slot)
    };
    assert_eq!(
        raid1(ReadOrder::Any, &[solid(0, 3), solid(1, 2)]),
        Some((1, 8))
    );
    let short = Stream::NONE.after(Sector::new(992), LENGTH);
    let long = Stream::NONE.after(Sector::new(1000 - 64), optimal);
    let streaming = |stream| Candidate {
        stream,
        ..solid(0, 0)
    };
    assert_eq!(
        raid1(ReadOrder::Any, &[solid(1, 0), streaming(short)]),
        Some((0, 8))
    );
    assert_eq!(
        raid1(ReadOrder::Any, &[streaming(long), solid(1, 0)]),
        Some((1, 8))
    );
    assert_eq!(
        raid1(ReadOrder::Any, &[streaming(long), solid(1, 1)]),
        Some((0, 8))
    );
}

#[test]
fn bad_blocks_and_write_mostly_are_last_resorts() {
    let holed = |slot, start| Candidate {
        bad: bad(start, 1),
        ..candidate(slot)
    };
    let slow = Candidate {
        reads: Reads::WriteMostly,
        in_flight: 0,
        ..candidate(2)
    };
    assert_eq!(raid1(ReadOrder::Any, &[slow, candidate(0)]), Some((0, 8)));
    assert_eq!(
        raid1(ReadOrder::Any, &[holed(0, 1002), holed(1, 1005), slow]),
        Some((1, 5))
    );
    assert_eq!(raid1(ReadOrder::Any, &[holed(0, 1000), slow]), Some((2, 8)));
    let slow_holed = Candidate {
        bad: bad(1003, 1),
        ..slow
    };
    assert_eq!(raid1(ReadOrder::Any, &[slow_holed]), Some((2, 3)));
    let stale = Candidate {
        valid_below: Sector::new(1000),
        ..candidate(0)
    };
    assert_eq!(raid1(ReadOrder::Any, &[stale]), None);
}

#[test]
fn devices_may_give_up_early_only_with_another_copy() {
    let fail_fast = |candidates: &[Candidate]| {
        choose_raid1(LENGTH, ReadOrder::Any, candidates.iter().copied())
            .map(|choice| choice.fail_fast)
    };
    assert_eq!(
        fail_fast(&[candidate(0), candidate(1)]),
        Some(FailFast::Yes)
    );
    assert_eq!(fail_fast(&[candidate(0)]), Some(FailFast::No));
    let holed = Candidate {
        bad: bad(1004, 1),
        ..candidate(1)
    };
    assert_eq!(fail_fast(&[candidate(0), holed]), Some(FailFast::No));
}

#[test]
fn raid10_goes_by_its_layout() {
    let at = |slot, start, head, in_flight| Candidate {
        start: Sector::new(start),
        head: Sector::new(head),
        in_flight,
        ..candidate(slot)
    };
    let low = at(0, 1000, 1000, 1);
    let idle = at(1, 9000, 0, 0);
    assert_eq!(raid10(Copies::Near, &[low, idle]), Some((0, 8)));
    assert_eq!(
        raid10(Copies::Near, &[at(0, 1000, 0, 1), idle]),
        Some((1, 8))
    );
    assert_eq!(raid10(Copies::Far, &[idle, low]), Some((0, 8)));
    assert_eq!(raid10(Copies::NearAndFar, &[low, idle]), Some((1, 8)));
    let solid = Candidate {
        media: Media::Solid {
            optimal: Sectors::ZERO,
        },
        ..at(2, 50, 0, 7)
    };
    assert_eq!(raid10(Copies::Far, &[low, idle, solid]), Some((2, 8)));
    let holed = Candidate {
        bad: bad(1004, 1),
        ..low
    };
    assert_eq!(raid10(Copies::Near, &[holed]), Some((0, 4)));
}

#[test]
fn replacements_are_read_once_recovered() {
    let main = candidate(0);
    let place = Place {
        seat: Seat::Replacement,
        ..main.copy
    };
    let replacement = Candidate {
        copy: place,
        valid_below: Sector::new(1008),
        ..main
    };
    assert_eq!(
        prefer_replacement(LENGTH, Some(main), Some(replacement)),
        Some(replacement)
    );
    let behind = Candidate {
        valid_below: Sector::new(1007),
        ..replacement
    };
    assert_eq!(
        prefer_replacement(LENGTH, Some(main), Some(behind)),
        Some(main)
    );
    assert_eq!(prefer_replacement(LENGTH, None, Some(behind)), None);
}
