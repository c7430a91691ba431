// SPDX-License-Identifier: GPL-2.0

//! A lockless bitmap and the passes over its array: resync, recovery, check and repair.

use super::{Core, Lockless, Outcome, SyncAnswer};
use md_core::{
    bitmap::{
        cell::{visit, Action as CellAction, Cell, Pass, Visit},
        geometry::ChunkSpan,
    },
    state::pass::Action,
    units::{BitmapChunk, Sector, SectorRange, Sectors},
};

/// Chunks that are looked at in one go.
const LOOK: usize = 4096;

/// What a pass is told beyond the end of the array.
const BEYOND: SyncAnswer = SyncAnswer {
    needed: true,
    sectors: Sectors::new(8),
};

fn kind(action: Action) -> Pass {
    match action {
        Action::Resync => Pass::Resync,
        Action::LazyRecover => Pass::LazyRecover,
        Action::Recover | Action::Check | Action::Repair => Pass::Full,
        Action::Reshape => Pass::Reshape,
    }
}

impl Core {
    /// How many sectors from `at` a pass has nothing to do for.
    pub(super) fn skip(&self, at: Sector, action: Action) -> Sectors {
        let (pass, health) = (kind(action), self.conditions.health());
        let Some(first) = self.geometry.chunk_of(at) else {
            return Sectors::ZERO;
        };
        let mut upto = at;
        for chunk in (first.get()..self.geometry.chunks()).take(LOOK) {
            let chunk = BitmapChunk::new(chunk);
            let skipped = self
                .place(chunk)
                .is_some_and(|(page, at)| visit(page.cell(at), pass, health) == Visit::Skip);
            match self.geometry.sectors_of(chunk) {
                Some(range) if skipped => upto = range.end(),
                _ => break,
            }
        }
        upto.distance_from(at).unwrap_or(Sectors::ZERO)
    }
}

impl Lockless {
    /// A pass begins.
    pub(super) fn begin(&self, action: Action) {
        if action != Action::Recover {
            return;
        }
        // The parity of chunks without data will not be there on the new member.
        let asked = self
            .core
            .act(self.core.geometry.all(), CellAction::ClearUnwritten);
        self.answer(asked);
        // A member that did not take it has failed.
        let _ = self.core.write_due();
    }

    /// A pass comes to `at`.
    pub(super) fn start_chunk(&self, at: Sector) -> SyncAnswer {
        let geometry = &self.core.geometry;
        let place = geometry.chunk_of(at).and_then(|chunk| {
            let span = ChunkSpan::new(chunk, chunk)?;
            Some((span, geometry.sectors_of(chunk)?, self.core.place(chunk)?))
        });
        let Some((span, range, (page, offset))) = place else {
            return BEYOND;
        };
        self.core.act(span, CellAction::StartSync);
        let cell = page.cell(offset);
        SyncAnswer {
            needed: matches!(cell, Cell::Syncing | Cell::SyncingUnwritten),
            sectors: range.end().distance_from(at).unwrap_or(BEYOND.sectors),
        }
    }

    /// A pass leaves `range`. What it has done of a chunk counts when all of the chunk is done: at a checkpoint.
    pub(super) fn leave(&self, range: SectorRange, outcome: Outcome) {
        if outcome == Outcome::Done {
            return;
        }
        if let Some(span) = self.core.geometry.touched(range) {
            let asked = self.core.act(span, CellAction::AbortSync);
            self.answer(asked);
        }
    }

    /// Everything below `upto` was synced: chunks that are wholly below have ended.
    pub(super) fn synced_below(&self, upto: Sector) {
        if let Some(span) = self.core.geometry.below(upto) {
            self.finish(span);
        }
    }

    /// The pass has ended. What it did not come to the end of was left as aborted; the rest is done.
    pub(super) fn end(&self) {
        self.finish(self.core.geometry.all());
    }

    /// Nothing of the pass is under way.
    fn finish(&self, span: ChunkSpan) {
        // What becomes dirty between the daemon's flush and its change of cells would become clean though the copies
        // that the pass wrote may be in a member's cache.
        let cleaning = self.core.cleaning.lock();
        let asked = self.core.act(span, CellAction::EndSync);
        if asked.daemon {
            for (page, _) in self.core.each(span) {
                page.hurry();
            }
        }
        drop(cleaning);
        self.answer(asked);
        // A member that did not take it has failed.
        let _ = self.core.write_due();
    }
}
