// SPDX-License-Identifier: GPL-2.0

//! What is true of the data, beside what the bitmap says of it.

use md_core::{
    bitmap::cell::{step, Action, Cell, Env, Phase, Redundancy, Step},
    state::Health,
};
use shuttle::sync::Mutex;

use super::page::CELLS;

pub(super) const LIVE: Env = Env {
    redundancy: Redundancy::Mirror,
    health: Health::Complete,
    phase: Phase::Live,
};

#[derive(Clone, Copy, Default)]
struct Chunk {
    /// Data writes that were sent to the members and have not ended: copies may differ.
    in_flight: u32,
    has_data: bool,
}

#[derive(Default)]
pub(super) struct Truth(Mutex<[Chunk; CELLS]>);

impl Truth {
    /// A data write goes to the members; `media` is what a crash would leave of its cell.
    pub(super) fn send(&self, at: usize, media: u8) {
        let mut chunks = self.0.lock().expect("no panic");
        chunks[at].in_flight += 1;
        chunks[at].has_data = true;
        check(&chunks[at], at, media);
    }

    pub(super) fn end(&self, at: usize) {
        self.0.lock().expect("no panic")[at].in_flight -= 1;
    }

    /// A cell is brought to media.
    pub(super) fn check_media(&self, at: usize, media: u8) {
        check(&self.0.lock().expect("no panic")[at], at, media);
    }

    /// The daemon is about to clean cells.
    pub(super) fn check_quiet(&self) {
        let chunks = self.0.lock().expect("no panic");
        let busy = chunks.iter().any(|chunk| chunk.in_flight > 0);
        assert!(!busy, "the daemon cleans under a write");
    }
}

/// After a crash now, the bitmap must not promise more than is true.
fn check(chunk: &Chunk, at: usize, media: u8) {
    let cell = Cell::parse(media).cell;
    let after = match step(cell, Action::Reload, &LIVE) {
        Step::To(to) => to,
        Step::Stay | Step::Illegal => cell,
    };
    let agree = chunk.in_flight == 0;
    assert!(
        agree || !after.promises_sync(),
        "chunk {at}: a write is in flight, media say {cell}"
    );
    assert!(
        !(chunk.has_data && after.promises_no_data()),
        "chunk {at} has data, media say {cell}"
    );
}
