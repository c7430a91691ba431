// SPDX-License-Identifier: GPL-2.0

//! Rotating parity, for every level and layout.

use super::{members, power_chunk};
use md_core::{
    layout::{
        raid456::{
            Held, ParityLayout, Raid456, Raid456Error, Raid5Layout, Raid6Layout, Role,
            SyndromeBlock,
        },
        BeyondEnd, MemberSector,
    },
    units::{Sector, SectorRange, Sectors, Slot},
};
use proptest::{prelude::*, sample::select};
use std::collections::HashSet;

fn all_layouts() -> Vec<ParityLayout> {
    let mut all = vec![ParityLayout::Raid4];
    all.extend(Raid5Layout::ALL.iter().copied().map(ParityLayout::Raid5));
    all.extend(Raid6Layout::ALL.iter().copied().map(ParityLayout::Raid6));
    all
}

fn build(layout: ParityLayout, count: u16, available: u64) -> Raid456 {
    Raid456::new(
        layout,
        power_chunk(8),
        members(count),
        Sectors::new(available),
    )
    .expect("an array")
}

fn fewest(layout: ParityLayout) -> u16 {
    2 * layout.parities()
}

fn place(slot: u16, sector: u64) -> MemberSector {
    MemberSector {
        slot: Slot::new(slot),
        sector: Sector::new(sector),
    }
}

/// `raid5_compute_sector`: (data, P, Q) of data chunk `index` in row `row`.
fn model(layout: ParityLayout, n: u64, row: u64, index: u64) -> (u64, u64, Option<u64>) {
    let d = n - u64::from(layout.parities());
    let step_over = |p: u64| if index >= p { index + 1 } else { index };
    let two_over = |p: u64| match p {
        p if p == n - 1 => (index + 1, p, Some(0)),
        p if index >= p => (index + 2, p, Some(p + 1)),
        p => (index, p, Some(p + 1)),
    };
    let five = |layout, n: u64| {
        let down = n - 1 - row % n;
        let up = row % n;
        match layout {
            Raid5Layout::LeftAsymmetric => (step_over(down), down),
            Raid5Layout::RightAsymmetric => (step_over(up), up),
            Raid5Layout::LeftSymmetric => ((down + 1 + index) % n, down),
            Raid5Layout::RightSymmetric => ((up + 1 + index) % n, up),
            Raid5Layout::ParityFirst => (index + 1, 0),
            Raid5Layout::ParityLast => (index, n - 1),
        }
    };
    let (down, up) = (n - 1 - row % n, row % n);
    let six = |layout| {
        let (data, p) = five(layout, n - 1);
        (data, p, Some(n - 1))
    };
    match layout {
        ParityLayout::Raid4 => (index, d, None),
        ParityLayout::Raid5(layout) => {
            let (data, p) = five(layout, n);
            (data, p, None)
        }
        ParityLayout::Raid6(layout) => match layout {
            Raid6Layout::LeftAsymmetric => two_over(down),
            Raid6Layout::RightAsymmetric | Raid6Layout::RotatingZeroRestart => two_over(up),
            Raid6Layout::LeftSymmetric => ((down + 2 + index) % n, down, Some((down + 1) % n)),
            Raid6Layout::RightSymmetric => ((up + 2 + index) % n, up, Some((up + 1) % n)),
            Raid6Layout::ParityFirst => (index + 2, 0, Some(1)),
            Raid6Layout::ParityLast => (index, d, Some(d + 1)),
            Raid6Layout::RotatingNRestart => two_over(n - 1 - (row + 1) % n),
            Raid6Layout::RotatingNContinue => {
                ((down + 1 + index) % n, down, Some((down + n - 1) % n))
            }
            Raid6Layout::LeftAsymmetric6 => six(Raid5Layout::LeftAsymmetric),
            Raid6Layout::RightAsymmetric6 => six(Raid5Layout::RightAsymmetric),
            Raid6Layout::LeftSymmetric6 => six(Raid5Layout::LeftSymmetric),
            Raid6Layout::RightSymmetric6 => six(Raid5Layout::RightSymmetric),
            Raid6Layout::ParityFirst6 => six(Raid5Layout::ParityFirst),
        },
    }
}

#[test]
fn every_layout_maps_as_c_does_and_back() {
    for layout in all_layouts() {
        for count in fewest(layout)..=12 {
            let rows = 3 * u64::from(count) + 1;
            let array = build(layout, count, rows * 8 + 5);
            let data = u64::from(count - layout.parities());
            assert_eq!(array.member_size().get(), rows * 8);
            assert_eq!(array.array_size().get(), rows * 8 * data);
            for at in 0..array.array_size().get() {
                let (row, index, offset) = (at / 8 / data, at / 8 % data, at % 8);
                let located = array.locate(Sector::new(at)).expect("inside the array");
                let (slot, p, q) = model(layout, u64::from(count), row, index);
                assert_eq!(
                    located.data,
                    place(slot as u16, row * 8 + offset),
                    "{layout:?} {count} sector {at}"
                );
                assert_eq!(
                    u64::from(located.roles.p().get()),
                    p,
                    "{layout:?} {count} row {row}"
                );
                assert_eq!(
                    located.roles.q().map(|q| u64::from(q.get())),
                    q,
                    "{layout:?} {count} row {row}"
                );
                assert_eq!(located.run.get(), 8 - offset);
                assert_eq!(array.holds(located.data), Held::Data(Sector::new(at)));
            }
            assert_eq!(
                array.locate(Sector::new(array.array_size().get())),
                Err(BeyondEnd)
            );
            assert_eq!(array.holds(place(0, rows * 8)), Held::Nothing);
            assert_eq!(array.holds(place(count, 0)), Held::Nothing);
        }
    }
}

#[test]
fn every_row_has_each_role_once() {
    for layout in all_layouts() {
        for count in fewest(layout)..=12 {
            let array = build(layout, count, 8);
            let mut parity_always = vec![true; usize::from(count)];
            for row in 0..3 * u64::from(count) {
                let roles = array.roles_at(Sector::new(row * 8));
                let mut seen = HashSet::new();
                for slot in array.members().slots() {
                    let role = roles.role(slot).expect("a member");
                    assert!(
                        seen.insert(format!("{role:?}")),
                        "{layout:?} {count} row {row}: two hold {role:?}"
                    );
                    match role {
                        Role::P => assert_eq!(slot, roles.p()),
                        Role::Q => assert_eq!(Some(slot), roles.q()),
                        Role::Data(index) => {
                            assert!(index < array.data_members().get());
                            assert_eq!(roles.data_slots().nth(usize::from(index)), Some(slot));
                            parity_always[usize::from(slot.get())] = false;
                        }
                    }
                }
                assert_eq!(roles.role(Slot::new(count)), None);
            }
            for (slot, always) in (0u16..).zip(parity_always) {
                assert_eq!(
                    array.is_parity_only(Slot::new(slot)),
                    always,
                    "{layout:?} {count} slot {slot}"
                );
            }
        }
    }
}

/// `raid6_d0` and `raid6_idx_to_slot`: the exponent of each data member.
fn model_exponents(n: u16, p: u16, q: u16, ddf: bool) -> Vec<(u16, u16)> {
    let first = if ddf || q == n - 1 { 0 } else { q + 1 };
    let mut count = 0;
    let mut all = Vec::new();
    for step in 0..n {
        let member = (first + step) % n;
        let is_parity = member == p || member == q;
        if !is_parity {
            all.push((count, member));
        }
        if ddf || !is_parity {
            count += 1;
        }
    }
    all
}

#[test]
fn data_enters_q_in_c_order() {
    for layout in Raid6Layout::ALL {
        let ddf = matches!(layout.word(), 8..=10);
        for count in 4..=12 {
            let array = build(ParityLayout::Raid6(*layout), count, 8);
            for row in 0..2 * u64::from(count) {
                let roles = array.roles_at(Sector::new(row * 8));
                let (p, q) = (roles.p().get(), roles.q().expect("raid6 has Q").get());
                let want = model_exponents(count, p, q, ddf);
                let by_block: Vec<_> = (0u16..)
                    .zip(roles.syndrome_blocks())
                    .filter_map(|(exponent, block)| match block {
                        SyndromeBlock::Data(slot) => Some((exponent, slot.get())),
                        SyndromeBlock::Zero => None,
                    })
                    .collect();
                assert_eq!(by_block, want, "{layout:?} {count} row {row}");
                let blocks = roles.syndrome_blocks().count();
                assert_eq!(blocks, usize::from(if ddf { count } else { count - 2 }));
                for (exponent, member) in want {
                    assert_eq!(roles.exponent(Slot::new(member)), Some(exponent));
                }
                assert_eq!(roles.exponent(roles.p()), None);
                assert_eq!(roles.exponent(Slot::new(q)), None);
            }
        }
    }
}

#[test]
fn a_further_member_for_q_moves_nothing() {
    for five in Raid5Layout::ALL {
        let old = build(ParityLayout::Raid5(*five), 5, 256);
        let new = build(ParityLayout::Raid6(five.with_q_last()), 6, 256);
        assert_eq!(old.array_size(), new.array_size());
        for at in (0..old.array_size().get()).map(Sector::new) {
            let (old, new) = (
                old.locate(at).expect("inside"),
                new.locate(at).expect("inside"),
            );
            assert_eq!((old.data, old.roles.p()), (new.data, new.roles.p()));
            assert_eq!(new.roles.q(), Some(Slot::new(5)));
        }
    }
}

#[test]
fn too_few_members_are_refused() {
    for layout in all_layouts() {
        for count in 1..=4 {
            let array = Raid456::new(layout, power_chunk(8), members(count), Sectors::new(64));
            assert_eq!(array.is_ok(), count >= fewest(layout), "{layout:?} {count}");
        }
    }
    let five = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    let long = Raid456::new(five, power_chunk(8), members(4), Sectors::MAX);
    assert_eq!(long, Err(Raid456Error::TooLong));
}

proptest! {
    #[test]
    fn large_arrays_come_back(
        layout in select(all_layouts()),
        more in 0u16..300,
        shift in 3u32..16,
        available in 0u64..1 << 50,
        at: u64,
    ) {
        let count = members(fewest(layout) + more);
        let array = Raid456::new(layout, power_chunk(1 << shift), count, Sectors::new(available)).expect("an array");
        prop_assume!(!array.array_size().is_zero());
        let at = Sector::new(at % array.array_size().get());
        let located = array.locate(at).expect("inside the array");
        prop_assert!(located.data.sector.get() < array.member_size().get());
        prop_assert_eq!(array.holds(located.data), Held::Data(at));
        prop_assert_ne!(located.data.slot, located.roles.p());
        prop_assert_ne!(Some(located.data.slot), located.roles.q());
        let p = MemberSector { slot: located.roles.p(), ..located.data };
        prop_assert_eq!(array.holds(p), Held::P);
    }

    #[test]
    fn rows_hold_the_whole_range(
        layout in select(all_layouts()),
        more in 0u16..6,
        start in 0u64..2000,
        len in 1u64..2000,
    ) {
        let array = build(layout, fewest(layout) + more, 256);
        let range = SectorRange::new(Sector::new(start), Sectors::new(len)).expect("a range");
        let inside: Vec<u64> = (start..start + len)
            .filter_map(|at| array.locate(Sector::new(at)).ok())
            .map(|located| located.data.sector.get() / 8)
            .collect();
        let rows = array.rows_of(range).map(|rows| (rows.start().get() / 8, rows.end().get() / 8));
        let want = inside.first().zip(inside.last()).map(|(first, last)| (*first, last + 1));
        prop_assert_eq!(rows, want);
    }
}
