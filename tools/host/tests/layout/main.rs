// SPDX-License-Identifier: GPL-2.0

//! Properties of the layouts: every sector has its place, each place has its sector, and both maps agree.
//!
//! Where a module compares with a model, the model is written from the formulas of the C driver with plain arithmetic,
//! or simulates the array chunk by chunk; it shares no code with what it checks.

mod linear;
mod mirror;
mod raid0;
mod raid456;
mod reshape;
mod reshape_power;

use md_core::{
    layout::chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
    units::Sectors,
};

/// A page of 4 KiB.
const PAGE: Sectors = Sectors::new(8);

fn chunk(sectors: u32) -> ChunkSize {
    ChunkSize::new(sectors).expect("a chunk size")
}

fn power_chunk(sectors: u32) -> PowerOfTwoChunk {
    PowerOfTwoChunk::new(chunk(sectors), PAGE).expect("a power of two of at least a page")
}

fn members(count: u16) -> MemberCount {
    MemberCount::new(count).expect("at least one member")
}
