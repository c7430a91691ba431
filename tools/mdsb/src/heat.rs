// SPDX-License-Identifier: GPL-2.0

//! The chunks of a bitmap as a grid of tiles, each standing for a run of chunks.

use crate::cells::{Bitmap, State};

/// A run of chunks.
pub struct Tile {
    /// The first of them.
    pub first: u64,
    /// How many are in each state, from the least to the most urgent; states that do not occur are left out.
    pub counts: Vec<(State, u64)>,
}

impl Tile {
    /// The most urgent state in it: one dirty chunk among thousands must be seen.
    pub fn worst(&self) -> Option<State> {
        self.counts.last().map(|(state, _)| *state)
    }

    pub fn chunks(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// A grid of tiles, row by row.
pub struct Grid {
    pub tiles: Vec<Tile>,
    /// How many chunks a tile stands for; the last may have fewer.
    pub chunks_per_tile: u64,
}

/// At most this many tiles in all.
pub struct TilesMax(pub u64);

impl Grid {
    pub fn of(bitmap: &Bitmap, most: &TilesMax) -> Self {
        let chunks_per_tile = bitmap.chunks.div_ceil(most.0.max(1)).max(1);
        let mut tiles: Vec<Tile> = Vec::new();
        let mut cells = bitmap.cells().zip(0..).peekable();
        while let Some(&(_, first)) = cells.peek() {
            let run = std::iter::from_fn(|| cells.next_if(|(_, at)| at - first < chunks_per_tile));
            tiles.push(tile(first, bitmap.states(), run.map(|(state, _)| state)));
        }
        Self {
            tiles,
            chunks_per_tile,
        }
    }
}

fn tile(first: u64, states: &[State], cells: impl Iterator<Item = State>) -> Tile {
    let mut counts: Vec<(State, u64)> = states.iter().map(|&state| (state, 0)).collect();
    for cell in cells {
        if let Some((_, count)) = counts.iter_mut().find(|(state, _)| *state == cell) {
            *count += 1;
        }
    }
    counts.retain(|(_, count)| *count != 0);
    Tile { first, counts }
}

/// How a state looks.
pub struct Look {
    /// Its letter where there is no colour.
    pub glyph: char,
    /// Its colour.
    pub rgb: [u8; 3],
}

impl Look {
    pub fn of(state: State) -> Self {
        use md_core::{bitmap::cell::Cell, format::bitmap::Bit};
        let (glyph, rgb) = match state {
            State::Cell(Cell::Unwritten) => ('.', [0xd9, 0xdd, 0xe2]),
            State::Cell(Cell::CleanUnwritten) => ('_', [0xa3, 0xc9, 0xb8]),
            State::Bit(Bit::Clean) | State::Cell(Cell::Clean) => ('-', [0x3f, 0x9a, 0x6c]),
            State::Cell(Cell::SyncingUnwritten) => ('s', [0x9c, 0xc0, 0xe8]),
            State::Cell(Cell::NeedSyncUnwritten) => ('n', [0xee, 0xc5, 0x8a]),
            State::Bit(Bit::Dirty) | State::Cell(Cell::Dirty) => ('D', [0xe0, 0xa1, 0x1b]),
            State::Cell(Cell::Syncing) => ('S', [0x2f, 0x74, 0xc0]),
            State::Cell(Cell::NeedSync) => ('N', [0xd1, 0x49, 0x3f]),
            State::Unknown => ('?', [0x8a, 0x2d, 0x8f]),
        };
        Self { glyph, rgb }
    }
}
