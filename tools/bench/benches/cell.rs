// SPDX-License-Identifier: GPL-2.0

//! How long one step of the lockless bitmap's cell takes, and of what else a write to an array goes through.
//!
//! Cells and actions come from a multiplicative generator, so that the branch predictor cannot learn them.

use criterion::{criterion_group, criterion_main, Criterion};
use md_core::bitmap::cell::{follow_up, step, Action, Cell, Env, Phase, Redundancy};
use md_core::bitmap::counter::Counter;
use md_core::bitmap::geometry::{Area, Geometry, PageShift};
use md_core::bitmap::page::{apply, Mark};
use md_core::format::BlockSize;
use md_core::state::Health;
use md_core::units::{Sector, SectorRange, Sectors};
use std::hint::black_box;

const ENV: Env = Env {
    redundancy: Redundancy::Parity,
    health: Health::Complete,
    phase: Phase::Live,
};

struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(self.0 >> 40).expect("24 bits")
    }
}

fn cell(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cell");
    let mut sequence = Sequence(1);
    group.bench_function("floor (generator)", |b| {
        b.iter(|| black_box(sequence.next()))
    });
    group.bench_function("step and follow-up, any action", |b| {
        b.iter(|| {
            let n = sequence.next();
            let cell = Cell::parse((n % 8) as u8).cell;
            let to = step(cell, Action::ALL[(n >> 3) % 10], black_box(&ENV));
            (to, follow_up(cell, to, &ENV))
        })
    });
    group.bench_function("step, start of a write", |b| {
        b.iter(|| {
            let cell = Cell::parse((sequence.next() % 8) as u8).cell;
            step(cell, Action::StartWrite, black_box(&ENV))
        })
    });
    group.bench_function("write to a dirty cell of a 512-byte block", |b| {
        let mut block = [2u8; 512];
        b.iter(|| {
            apply(
                &mut block,
                sequence.next() % 512,
                Action::StartWrite,
                Mark::Marked,
                black_box(&ENV),
            )
        })
    });
    group.bench_function("infection of a 512-byte block", |b| {
        b.iter(|| {
            let mut block = black_box([1u8; 512]);
            apply(&mut block, 7, Action::StartWrite, Mark::Marked, &ENV)
        })
    });
    group.finish();
}

fn chunks(criterion: &mut Criterion) {
    let area = Area {
        data: Sectors::new(1 << 33),
        space: Sectors::new(256),
        page: PageShift::FOUR_KIB,
        block: BlockSize::SECTOR,
    };
    let geometry = Geometry::choose(&area).expect("it fits");
    let mut sequence = Sequence(1);
    criterion.bench_function("chunks and pages of a write", |b| {
        b.iter(|| {
            let start = Sector::new(u64::try_from(sequence.next()).expect("24 bits") << 8);
            let range = SectorRange::new(start, Sectors::new(256))?;
            black_box(geometry).pages_of(geometry.touched(range)?)
        })
    });
    criterion.bench_function("classic counter, start and end of a write", |b| {
        b.iter(|| {
            let counter = Counter::from_word(black_box(2)).expect("a counter");
            (counter.start_write(), counter.end_write(Health::Complete))
        })
    });
}

criterion_group!(benches, cell, chunks);
criterion_main!(benches);
