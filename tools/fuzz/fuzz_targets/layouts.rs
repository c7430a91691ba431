// SPDX-License-Identifier: GPL-2.0

//! Layout words and the geometries they make: whatever is accepted maps every sector without a panic.

#![no_main]

use fuzz::number;
use libfuzzer_sys::fuzz_target;
use md_core::{
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{Placement, Raid10, Raid10Layout},
        raid0::ZoneOrder,
        raid456::{Held, ParityLayout, Raid456, Raid5Layout, Raid6Layout},
    },
    units::{Sector, Sectors, Slot},
};

struct Shape {
    word: u32,
    chunk: PowerOfTwoChunk,
    members: MemberCount,
    available: Sectors,
    at: Sector,
}

/// Takes a shape off the input: word, chunk, members, length, position.
fn shape(input: &mut &[u8]) -> Option<Shape> {
    let word = u32::try_from(number(input) & 0xff_ffff).ok()?;
    let chunk = ChunkSize::new(1 << (number(input) % 32)).ok()?;
    Some(Shape {
        word,
        chunk: PowerOfTwoChunk::new(chunk, Sectors::new(8)).ok()?,
        members: MemberCount::new(u16::try_from(number(input) & 0xffff).ok()?)?,
        available: Sectors::new(number(input)),
        at: Sector::new(number(input)),
    })
}

fn raid10(shape: &Shape) {
    let Ok(layout) = Raid10Layout::parse(shape.word) else {
        return;
    };
    assert_eq!(layout.word(), shape.word);
    let Ok(raid) = Raid10::new(layout, shape.chunk, shape.members, shape.available) else {
        return;
    };
    if let Ok(copies) = raid.copies(shape.at) {
        for copy in copies.take(300) {
            assert_eq!(raid.array_sector(copy), Some(shape.at));
        }
    }
}

fn parity(shape: &Shape) {
    let layouts = [
        Some(ParityLayout::Raid4),
        Raid5Layout::parse(shape.word).ok().map(ParityLayout::Raid5),
        Raid6Layout::parse(shape.word).ok().map(ParityLayout::Raid6),
    ];
    for layout in layouts.into_iter().flatten() {
        let Ok(raid) = Raid456::new(layout, shape.chunk, shape.members, shape.available) else {
            continue;
        };
        let _ = raid.roles_at(shape.at);
        if let Ok(located) = raid.locate(shape.at) {
            assert_eq!(raid.holds(located.data), Held::Data(shape.at));
        }
        let _ = raid.is_parity_only(Slot::new(0));
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    if let Some(shape) = shape(&mut input) {
        let order = ZoneOrder::from_word(shape.word);
        assert!(order.is_none_or(|order| order.word() == shape.word));
        raid10(&shape);
        parity(&shape);
    }
});
