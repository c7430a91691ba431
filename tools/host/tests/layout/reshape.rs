// SPDX-License-Identifier: GPL-2.0

//! Reshapes run on simulated members: at every step, a crash must find the old data where a restart reads it.
//!
//! A member is a map from absolute sector (data offset included) to the array sector whose data lies there. Only first
//! sectors of pages are kept, which all chunks are multiples of.

use super::{members, power_chunk};
use md_core::{
    layout::{
        mirror::{Placement, Raid10, Raid10Layout},
        raid456::{Held, ParityLayout, Raid456, Raid5Layout, Raid6Layout},
        reshape::{
            raid10_slack, raid5_offset_change, Direction, Geometry, Metadata, Next, OffsetChange,
            Position, Raid10Reshape, Raid10ReshapeError, Raid5Reshape, Raid5ReshapeError,
            Raid5Step, ResumeError, Watch,
        },
        MemberSector,
    },
    units::{Sector, SectorRange, Sectors, Slot},
};
use proptest::{prelude::*, sample::select};
use std::collections::HashMap;

const PAGE: usize = 8;
/// The data offset of the previous geometry.
const OLD_OFFSET: u64 = 1 << 20;

/// What lies on the members: (slot, absolute sector) -> array sector.
type Disks = HashMap<(u16, u64), u64>;

fn absolute(place: MemberSector, offset: u64) -> (u16, u64) {
    (place.slot.get(), place.sector.get() + offset)
}

fn pages(start: u64, end: u64) -> impl Iterator<Item = u64> {
    (start..end).step_by(PAGE)
}

fn raid5(layout: ParityLayout, chunk: u32, count: u16, available: u64) -> Raid456 {
    Raid456::new(
        layout,
        power_chunk(chunk),
        members(count),
        Sectors::new(available),
    )
    .expect("an array")
}

fn shifted(offset: i64) -> u64 {
    OLD_OFFSET
        .checked_add_signed(offset)
        .expect("a small change")
}

/// The part of the array that is ahead of `mark`.
fn ahead(position: &Position, mark: Sector, size: Sectors) -> (u64, u64) {
    match position.direction() {
        Direction::Forward => (mark.get(), size.get()),
        Direction::Backward => (0, mark.get()),
    }
}

fn data_at(array: &Raid456, sector: u64) -> MemberSector {
    array
        .locate(Sector::new(sector))
        .expect("inside the array")
        .data
}

/// What `step` writes where: data of below `size` out of its source on the old members, garbage behind it.
fn raid5_writes(
    step: &Raid5Step,
    (old, new): (&Raid456, &Raid456),
    disks: &Disks,
    offset: i64,
    size: Sectors,
) -> Vec<((u16, u64), u64)> {
    let read = |page: u64| {
        let source = step.source.expect("a source for old data");
        let place = data_at(old, page);
        let range = SectorRange::new(place.sector, Sectors::new(PAGE as u64)).expect("a page");
        assert!(
            source.contains(range),
            "page {page} is not in the source {source:?}"
        );
        disks.get(&absolute(place, OLD_OFFSET)).copied()
    };
    let content = |place| match new.holds(place) {
        Held::Data(page) if page.get() < size.get() => {
            assert_eq!(
                read(page.get()),
                Some(page.get()),
                "the source was overwritten"
            );
            page.get()
        }
        // Parity or zeroes: whatever it is, it destroys what was there.
        _ => u64::MAX,
    };
    let mut writes = Vec::new();
    for slot in new.members().slots() {
        for sector in pages(step.target.start().get(), step.target.end().get()) {
            let place = MemberSector {
                slot,
                sector: Sector::new(sector),
            };
            writes.push((absolute(place, shifted(offset)), content(place)));
        }
    }
    writes
}

/// After a crash now, a restart reads everything ahead of the safe position from the old members.
fn raid5_can_restart(position: &Position, old: &Raid456, disks: &Disks, size: Sectors) {
    let (from, to) = ahead(position, position.safe(), size);
    for page in pages(from, to) {
        let there = disks
            .get(&absolute(data_at(old, page), OLD_OFFSET))
            .copied();
        assert_eq!(
            there,
            Some(page),
            "a restart from {} cannot read {page}",
            position.safe()
        );
    }
}

/// A raid5 reshape from end to end. `is_critical` says of a step that user space has to hold a backup.
fn run_raid5(
    reshape: &Raid5Reshape,
    old: &Raid456,
    new: &Raid456,
    offset: i64,
    is_critical: impl Fn(&Position) -> bool,
) {
    let size = reshape.common_size();
    let mut disks: Disks = pages(0, old.array_size().get())
        .map(|sector| (absolute(data_at(old, sector), OLD_OFFSET), sector))
        .collect();
    let mut position = reshape.start();
    let mut steps = 0;
    while let Next::Step(step) = reshape.next(&position) {
        if step.metadata == Metadata::WriteFirst {
            position = position.recorded(position.progress());
        }
        let writes = raid5_writes(&step, (old, new), &disks, offset, size);
        disks.extend(writes);
        if !is_critical(&position) {
            raid5_can_restart(&position, old, &disks, size);
        }
        position = position.advanced(step.progress);
        steps += 1;
    }
    assert!(steps > 0);
    for page in pages(0, size.get()) {
        assert_eq!(position.geometry(Sector::new(page)), Geometry::New);
        let there = disks
            .get(&absolute(data_at(new, page), shifted(offset)))
            .copied();
        assert_eq!(there, Some(page), "sector {page} is lost");
    }
}

fn parity_layouts() -> impl Strategy<Value = (ParityLayout, ParityLayout)> {
    let five = || select(Raid5Layout::ALL).prop_map(ParityLayout::Raid5);
    let six = || select(Raid6Layout::ALL).prop_map(ParityLayout::Raid6);
    prop_oneof![(five(), five()), (six(), six())]
}

fn directed(first: u16, second: u16) -> (u16, u16, Direction) {
    let direction = if first <= second {
        Direction::Forward
    } else {
        Direction::Backward
    };
    (first, second, direction)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With the data moved by a unit against the direction of travel, no step ever needs a backup.
    #[test]
    fn raid5_with_offset_is_safe_at_every_step(
        layouts in parity_layouts(),
        counts in (4u16..8, 4u16..8).prop_map(|(a, b)| directed(a, b)),
        chunks in (3u32..6, 3u32..6),
        units in 12u64..20,
        more in 0u64..3,
    ) {
        let (old_count, new_count, direction) = counts;
        let unit = 8u64 << chunks.0.max(chunks.1) >> 3;
        let available = units * unit;
        let old = raid5(layouts.0, 1 << chunks.0, old_count, available);
        let new = raid5(layouts.1, 1 << chunks.1, new_count, available);
        // Three units: one each for what C takes off the positions to read, plus the step itself.
        let by = i64::try_from(unit * (3 + more)).expect("small");
        let offset = match direction {
            Direction::Forward => -by,
            Direction::Backward => by,
        };
        let common = old.array_size().min(new.array_size());
        let reshape = Raid5Reshape::new(old, new, direction, OffsetChange(offset), common).expect("a reshape");
        prop_assert_eq!(reshape.common_size(), common);
        run_raid5(&reshape, &old, &new, offset, |_| false);
    }

    /// Without, only the first steps are critical: those that write where they read.
    #[test]
    fn raid5_without_offset_is_safe_past_the_critical_section(
        layouts in parity_layouts(),
        old_count in 4u16..7,
        more in 1u16..4,
        direction in select(&[Direction::Forward, Direction::Backward][..]),
        units in 20u64..40,
    ) {
        let (from, to) = match direction {
            Direction::Forward => (old_count, old_count + more),
            Direction::Backward => (old_count + more, old_count),
        };
        let old = raid5(layouts.0, 8, from, units * 8);
        let new = raid5(layouts.1, 8, to, units * 8);
        let common = old.array_size().min(new.array_size());
        let reshape = Raid5Reshape::new(old, new, direction, OffsetChange(0), common).expect("a reshape");
        let per_member = |array: &Raid456, at: Sector| i128::from(at.get() / u64::from(array.data_members().get()));
        run_raid5(&reshape, &old, &new, 0, |position| {
            let read = per_member(&old, position.progress());
            let write = per_member(&new, position.progress());
            match direction {
                Direction::Forward => read - 8 <= write + 8,
                Direction::Backward => read + 8 >= write - 8,
            }
        });
    }

    #[test]
    fn raid10_is_safe_at_every_step(
        words in prop_oneof![
            (select(&[0x102u32, 0x10201][..]), select(&[0x102u32, 0x10201][..])),
            (select(&[0x103u32, 0x10301][..]), select(&[0x103u32, 0x10301][..])),
        ],
        counts in (3u16..8, 3u16..8).prop_map(|(a, b)| directed(a, b)),
        chunks in (3u32..8, 3u32..8),
        rows in 6u64..14,
    ) {
        let (old_count, new_count, direction) = counts;
        let large = 1u64 << chunks.0.max(chunks.1);
        let array = |word, chunk: u32, count| {
            let layout = Raid10Layout::parse(word).expect("a layout word");
            let available = Sectors::new(rows * 6 * large);
            Raid10::new(layout, power_chunk(1 << chunk), members(count), available).expect("an array")
        };
        let old = array(words.0, chunks.0, old_count);
        let new = array(words.1, chunks.1, new_count);
        let row = |array: &Raid10| array.chunk().sectors().get() * u64::from(array.layout().far());
        let by = i64::try_from(row(&old).max(row(&new))).expect("small");
        let offset = match direction {
            Direction::Forward => -by,
            Direction::Backward => by,
        };
        let slack = Sectors::new(by.unsigned_abs());
        let smaller = old.array_size().min(new.array_size());
        let current = match direction {
            Direction::Forward => Sectors::ZERO,
            // The array was made smaller beforehand, to whole chunks of both kinds.
            Direction::Backward => Sectors::new(smaller.get() / (large * 6) * (large * 6) / 2),
        };
        let reshape = Raid10Reshape::new(old, new, direction, slack, current).expect("a reshape");
        run_raid10(&reshape, &old, &new, offset);
    }
}

fn run_raid10(reshape: &Raid10Reshape, old: &Raid10, new: &Raid10, offset: i64) {
    let size = reshape.common_size();
    let copies =
        |array: &Raid10, sector| array.copies(Sector::new(sector)).expect("inside the array");
    let mut disks: Disks = pages(0, old.array_size().get())
        .flat_map(|sector| {
            copies(old, sector).map(move |copy| (absolute(copy, OLD_OFFSET), sector))
        })
        .collect();
    let mut position = reshape.start();
    let mut done = 0;
    while let Next::Step(step) = reshape.next(&position) {
        if step.metadata == Metadata::WriteFirst {
            // As the driver does, which asks again.
            assert_ne!(position.safe(), position.progress(), "it never gets on");
            position = position.recorded(position.progress());
            continue;
        }
        assert!(copies(old, step.range.start().get()).run() >= step.range.len());
        assert!(copies(new, step.range.start().get()).run() >= step.range.len());
        for page in pages(step.range.start().get(), step.range.end().get()) {
            for copy in copies(new, page) {
                disks.insert(absolute(copy, shifted(offset)), page);
            }
        }
        let (from, to) = ahead(&position, position.safe(), size);
        for page in pages(from, to) {
            for copy in copies(old, page) {
                let there = disks.get(&absolute(copy, OLD_OFFSET)).copied();
                assert_eq!(
                    there,
                    Some(page),
                    "a restart from {} cannot read {page}",
                    position.safe()
                );
            }
        }
        position = position.advanced(step.progress);
        done += step.range.len().get();
        assert_eq!(step.completed.get(), done);
    }
    assert_eq!(done, size.get());
    for page in pages(0, size.get()) {
        for copy in copies(new, page) {
            assert_eq!(
                disks.get(&absolute(copy, shifted(offset))).copied(),
                Some(page),
                "sector {page} is lost"
            );
        }
    }
}

#[test]
fn the_worst_member_decides_the_offset() {
    let pairs =
        [(100, 90), (100, 130), (100, 100)].map(|(old, new)| (Sector::new(old), Sector::new(new)));
    assert_eq!(
        raid5_offset_change(Direction::Forward, pairs.into_iter()),
        OffsetChange(30)
    );
    assert_eq!(
        raid5_offset_change(Direction::Backward, pairs.into_iter()),
        OffsetChange(-10)
    );
    assert_eq!(
        raid10_slack(Direction::Forward, pairs.into_iter()),
        Sectors::ZERO
    );
    assert_eq!(
        raid10_slack(Direction::Forward, pairs.into_iter().take(1)),
        Sectors::new(10)
    );
    assert_eq!(
        raid10_slack(Direction::Backward, pairs.into_iter().skip(1).take(1)),
        Sectors::new(30)
    );
}

#[test]
fn a_restart_must_be_past_the_critical_section() {
    let layout = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    let (old, new) = (raid5(layout, 8, 4, 800), raid5(layout, 8, 5, 800));
    let reshape = |offset| {
        Raid5Reshape::new(
            old,
            new,
            Direction::Forward,
            OffsetChange(offset),
            old.array_size(),
        )
        .expect("a reshape")
    };
    // Rows of 3 chunks become rows of 4: position 96 is new row 3 and old row 4.
    let resume = |offset, at| {
        reshape(offset)
            .resume(Sector::new(at), Watch::None)
            .map(|p| p.progress().get())
    };
    assert_eq!(resume(0, 100), Err(ResumeError::NotOnStripeBoundary));
    assert_eq!(resume(0, 64), Err(ResumeError::TooEarly));
    assert_eq!(resume(0, 96), Ok(96));
    assert_eq!(resume(-8, 64), Ok(64));
    assert_eq!(resume(8, 96), Err(ResumeError::TooEarly));
}

#[test]
fn a_restart_backwards_must_write_behind_what_it_reads() {
    let layout = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    let (old, new) = (raid5(layout, 8, 5, 800), raid5(layout, 8, 4, 800));
    // Rows of 4 chunks become rows of 3, and the data moves down by a unit.
    let reshape = Raid5Reshape::new(
        old,
        new,
        Direction::Backward,
        OffsetChange(-8),
        new.array_size(),
    )
    .expect("a reshape");
    let resume = |at| {
        let position = reshape.resume(Sector::new(at), Watch::None);
        position.map(|position| position.progress().get())
    };
    // 96 is new row 4 and old row 3, which lies a unit higher: the same place.
    assert_eq!(resume(96), Err(ResumeError::TooEarly));
    assert_eq!(resume(120), Ok(120));
}

/// The superblocks are written a unit before it would be too late, as by C, and no sooner.
#[test]
fn superblocks_are_written_when_they_must_be() {
    let layout = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    let (old, new) = (raid5(layout, 8, 4, 800), raid5(layout, 8, 5, 800));
    let common = old.array_size();
    let change = OffsetChange(-24);
    let reshape = Raid5Reshape::new(old, new, Direction::Forward, change, common);
    let reshape = reshape.expect("a reshape");
    let (mut position, mut recorded) = (reshape.start(), Vec::new());
    while let Next::Step(step) = reshape.next(&position) {
        if step.metadata == Metadata::WriteFirst {
            recorded.push(position.progress().get());
            position = position.recorded(position.progress());
        }
        position = position.advanced(step.progress);
    }
    // From position s on, those p with p / 4 + 8 > s / 3 - 8 + 24, in steps of 32.
    assert_eq!(recorded[..4], [96, 192, 320, 480]);
}

#[test]
fn an_in_place_restart_needs_a_watch() {
    let of = |five| raid5(ParityLayout::Raid5(five), 8, 4, 800);
    let (old, new) = (
        of(Raid5Layout::LeftSymmetric),
        of(Raid5Layout::RightAsymmetric),
    );
    let resume = |offset, watch| {
        Raid5Reshape::new(
            old,
            new,
            Direction::Forward,
            OffsetChange(offset),
            old.array_size(),
        )
        .expect("a reshape")
        .resume(Sector::new(24), watch)
        .map(|position| position.safe().get())
    };
    assert_eq!(resume(0, Watch::None), Err(ResumeError::InPlace));
    assert_eq!(resume(0, Watch::ReadOnlyStart), Ok(24));
    assert_eq!(resume(-8, Watch::None), Ok(24));
}

/// The C driver begins behind the end of an odd number of members whose smaller chunks use what was left.
#[test]
fn a_raid10_goes_on_where_the_c_driver_began() {
    let layout = Raid10Layout::parse(0x102).expect("a layout word");
    let array = |chunk, count| {
        let available = Sectors::new(160);
        Raid10::new(layout, power_chunk(chunk), members(count), available).expect("an array")
    };
    let at = |(old, new): (Raid10, Raid10), direction, recorded| {
        let slack = Sectors::new(32);
        let reshape = Raid10Reshape::under_way(old, new, direction, slack).expect("a reshape");
        let resumed = reshape.resume(Sector::new(recorded));
        let resumed = resumed.map(|position| (position.progress().get(), position.safe().get()));
        (resumed, reshape.is_at_start(Sector::new(recorded)))
    };
    // 15 chunks in 2 copies are 7 of 32 sectors, and 30 are 15 of 16.
    let (large, small) = (array(32, 3), array(16, 3));
    assert_eq!(
        (large.array_size().get(), small.array_size().get()),
        (224, 240)
    );
    let start = (Ok((224, 224)), true);
    let beyond = (Err(Raid10ReshapeError::BeyondEnd), false);
    let back = Direction::Backward;
    for recorded in [224, 232, 240] {
        assert_eq!(at((large, small), back, recorded), start);
    }
    assert_eq!(at((large, small), back, 248), beyond);
    assert_eq!(at((large, small), back, 216), (Ok((216, 216)), false));
    // Where the new geometry ends before the previous one there is nothing between.
    assert_eq!(at((small, large), back, 224), start);
    assert_eq!(at((small, large), back, 232), beyond);
    let onward = Direction::Forward;
    assert_eq!(at((large, small), onward, 0), (Ok((0, 0)), true));
    assert_eq!(at((large, small), onward, 232), beyond);
}

#[test]
fn impossible_reshapes_are_named() {
    let five = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    let six = ParityLayout::Raid6(Raid6Layout::LeftSymmetric);
    let (small, large) = (raid5(five, 8, 4, 800), raid5(five, 8, 5, 800));
    let start = |old, new, direction, size| {
        Raid5Reshape::new(old, new, direction, OffsetChange(0), Sectors::new(size))
            .map(|r| r.common_size().get())
    };
    assert_eq!(
        start(small, raid5(six, 8, 5, 800), Direction::Forward, 0),
        Err(Raid5ReshapeError::LevelChanges)
    );
    assert_eq!(
        start(small, large, Direction::Backward, 0),
        Err(Raid5ReshapeError::WrongDirection)
    );
    assert_eq!(
        start(large, small, Direction::Backward, 3200),
        Err(Raid5ReshapeError::ArrayTooLarge)
    );
    assert_eq!(start(large, small, Direction::Backward, 2400), Ok(2400));

    let ten = |word, count| {
        let layout = Raid10Layout::parse(word).expect("a layout word");
        Raid10::new(layout, power_chunk(8), members(count), Sectors::new(800)).expect("an array")
    };
    let start = |old, new, slack, size| {
        Raid10Reshape::new(
            old,
            new,
            Direction::Forward,
            Sectors::new(slack),
            Sectors::new(size),
        )
        .err()
    };
    assert_eq!(
        start(ten(0x201, 4), ten(0x102, 4), 64, 0),
        Some(Raid10ReshapeError::HasSections)
    );
    assert_eq!(
        start(ten(0x102, 4), ten(0x103, 4), 64, 0),
        Some(Raid10ReshapeError::CopiesChange)
    );
    assert_eq!(
        start(ten(0x102, 5), ten(0x102, 4), 64, 0),
        Some(Raid10ReshapeError::WrongDirection)
    );
    assert_eq!(
        start(ten(0x102, 4), ten(0x102, 5), 64, 804),
        Some(Raid10ReshapeError::ChunkDoesNotDivideArray)
    );
    assert_eq!(
        start(ten(0x102, 4), ten(0x10201, 4), 8, 800),
        Some(Raid10ReshapeError::SlackTooSmall)
    );
    assert_eq!(start(ten(0x102, 4), ten(0x10201, 4), 16, 800), None);
    assert_eq!(ten(0x102, 4).members().slots().last(), Some(Slot::new(3)));
}
