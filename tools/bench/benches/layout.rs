// SPDX-License-Identifier: GPL-2.0

//! How long one map takes, for every level. Each runs once or more for a request, so it has to cost next to nothing.
//!
//! The sectors come from a multiplicative generator, so neither the branch predictor nor the cache of divisions is fed
//! the same one twice.

use criterion::{criterion_group, criterion_main, Criterion};
use md_core::{
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        linear::{Linear, Rounding},
        mirror::{Placement, Raid1, Raid10, Raid10Layout},
        raid0::{OrderPolicy, Raid0, Zone, ZoneOrder},
        raid456::{ParityLayout, Raid456, Raid5Layout, Raid6Layout},
        reshape::{Direction, Position},
        MemberSector,
    },
    units::{Sector, Sectors, Slot},
};
use std::hint::black_box;

/// 1 TiB members.
const MEMBER: Sectors = Sectors::new(1 << 31);

struct Sequence(u64);

impl Sequence {
    fn next(&mut self, size: Sectors) -> Sector {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        Sector::new((self.0 >> 16) % size.get())
    }
}

/// Measures `map` over sectors below `size`, and the generator alone as the floor.
fn run<T>(criterion: &mut Criterion, name: &str, size: Sectors, map: impl Fn(Sector) -> T) {
    let mut sequence = Sequence(1);
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| map(black_box(sequence.next(size))))
    });
}

fn chunk(sectors: u32) -> ChunkSize {
    ChunkSize::new(sectors).expect("a chunk size")
}

fn power_chunk() -> PowerOfTwoChunk {
    PowerOfTwoChunk::new(chunk(1024), Sectors::new(8)).expect("a page or more")
}

fn members(count: u16) -> MemberCount {
    MemberCount::new(count).expect("a member")
}

fn generator(criterion: &mut Criterion) {
    run(criterion, "generator_alone", MEMBER, |at| at);
}

fn linear(criterion: &mut Criterion) {
    for count in [2, 16, 1920] {
        let array = Linear::from_lengths(vec![MEMBER; count], Rounding::Exact).expect("an array");
        run(
            criterion,
            &format!("linear_{count}"),
            array.array_size(),
            |at| array.map(at),
        );
    }
}

fn raid0(criterion: &mut Criterion) {
    let equal = vec![MEMBER; 4];
    let five = vec![MEMBER; 5];
    let unequal: Vec<_> = (1..=8)
        .map(|part| Sectors::new(MEMBER.get() / part))
        .collect();
    for (name, chunk_len, lengths) in [
        ("raid0_4", 1024, &equal),
        ("raid0_5", 1024, &five),
        ("raid0_5_odd_chunk", 1000, &five),
        ("raid0_8_zones", 1024, &unequal),
    ] {
        let needs = Raid0::needs(chunk(chunk_len), lengths).expect("members");
        let zones = vec![Zone::EMPTY; needs.zones];
        let slots = vec![Slot::new(0); needs.slots];
        let policy = OrderPolicy {
            recorded: Some(ZoneOrder::Original),
            default_layout: None,
        };
        let array =
            Raid0::build(chunk(chunk_len), lengths, policy, zones, slots).expect("an array");
        run(criterion, name, array.array_size(), |at| array.map(at));
    }
}

fn mirrors(criterion: &mut Criterion) {
    let array = Raid1::new(members(2), MEMBER);
    run(criterion, "raid1_2_all_copies", MEMBER, |at| {
        array.copies(at).map(Iterator::last)
    });
    for (name, word, count) in [
        ("raid10_n2_4", 0x102, 4),
        ("raid10_n2_5", 0x102, 5),
        ("raid10_f2_4", 0x201, 4),
        ("raid10_o2_5", 0x1_0201, 5),
        ("raid10_f2_sets_7", 0x4_0201, 7),
    ] {
        let layout = Raid10Layout::parse(word).expect("a layout word");
        let array = Raid10::new(layout, power_chunk(), members(count), MEMBER).expect("an array");
        run(
            criterion,
            &format!("{name}_all_copies"),
            array.array_size(),
            |at| array.copies(at).map(Iterator::last),
        );
        run(
            criterion,
            &format!("{name}_inverse"),
            array.member_size(),
            |sector| {
                array.array_sector(MemberSector {
                    slot: Slot::new(1),
                    sector,
                })
            },
        );
    }
}

fn parities(criterion: &mut Criterion) {
    for (name, layout, count) in [
        (
            "raid5_ls_4",
            ParityLayout::Raid5(Raid5Layout::LeftSymmetric),
            4,
        ),
        (
            "raid5_ls_5",
            ParityLayout::Raid5(Raid5Layout::LeftSymmetric),
            5,
        ),
        (
            "raid6_ls_6",
            ParityLayout::Raid6(Raid6Layout::LeftSymmetric),
            6,
        ),
        (
            "raid6_ddf_n_continue_9",
            ParityLayout::Raid6(Raid6Layout::RotatingNContinue),
            9,
        ),
    ] {
        let array = Raid456::new(layout, power_chunk(), members(count), MEMBER).expect("an array");
        run(criterion, name, array.array_size(), |at| array.locate(at));
        run(
            criterion,
            &format!("{name}_inverse"),
            array.member_size(),
            |sector| {
                array.holds(MemberSector {
                    slot: Slot::new(1),
                    sector,
                })
            },
        );
    }
}

fn reshape(criterion: &mut Criterion) {
    let middle = Sector::new(MEMBER.get() / 2);
    let position = Position::resumed(Direction::Forward, middle)
        .advanced(middle.saturating_add(Sectors::new(1 << 20)));
    run(criterion, "reshape_locate", MEMBER, |at| {
        position.locate(at)
    });
}

criterion_group!(layout, generator, linear, raid0, mirrors, parities, reshape);
criterion_main!(layout);
