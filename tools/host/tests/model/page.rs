// SPDX-License-Identifier: GPL-2.0

//! A page of a lockless bitmap, with the media behind it: the protocol of `drivers/md/bitmap/llbitmap/page.rs`, over
//! the same decisions of md_core.

use md_core::bitmap::{
    cell::{step, Action, Cell, Env, Step},
    page::{effect, infect, Change, Due, Effect, Mark},
};
use shuttle::{
    rand::{thread_rng, Rng as _},
    sync::{
        atomic::{AtomicU32, AtomicU8, Ordering::SeqCst},
        Mutex, MutexGuard,
    },
};

use super::{truth::Truth, Defect};

/// Two units of two cells.
pub(super) const CELLS: usize = 4;
const UNIT: usize = 2;

#[derive(Default)]
struct Marks {
    due: u32,
    writing: u32,
}

pub(super) struct Page {
    cells: [AtomicU8; CELLS],
    unsettled: AtomicU32,
    marks: Mutex<Marks>,
    /// One batch of writes at a time; what media hold.
    media: Mutex<[u8; CELLS]>,
    defect: Defect,
}

const fn bit(at: usize) -> u32 {
    1 << (at / UNIT)
}

fn around(at: usize) -> std::ops::Range<usize> {
    let start = at / UNIT * UNIT;
    start..start + UNIT
}

impl Page {
    /// As memory and media have it after a start.
    pub(super) fn new(cells: [Cell; CELLS], defect: Defect) -> Self {
        let bytes = cells.map(Cell::to_byte);
        Self {
            cells: bytes.map(AtomicU8::new),
            unsettled: AtomicU32::new(0),
            marks: Mutex::new(Marks::default()),
            media: Mutex::new(bytes),
            defect,
        }
    }

    pub(super) fn cell(&self, at: usize) -> Cell {
        Cell::parse(self.cells[at].load(SeqCst)).cell
    }

    /// Whether a write needs no change.
    pub(super) fn is_marked(&self, at: usize) -> bool {
        matches!(self.cell(at), Cell::Dirty | Cell::Syncing)
    }

    /// Whether media have what was done to a cell; to be asked after the cell was looked at.
    pub(super) fn is_settled(&self, at: usize) -> bool {
        self.unsettled.load(SeqCst) & bit(at) == 0
    }

    /// Does `action` to cells.
    pub(super) fn act(&self, range: impl Iterator<Item = usize>, action: Action, env: &Env) {
        let mut marks = self.marks.lock().expect("no panic");
        for at in range {
            self.act_on(&mut marks, at, action, env);
        }
    }

    fn act_on(&self, marks: &mut MutexGuard<'_, Marks>, at: usize, action: Action, env: &Env) {
        let from = self.cell(at);
        let Step::To(to) = step(from, action, env) else {
            return;
        };
        let mark = if marks.due & bit(at) != 0 {
            Mark::Marked
        } else {
            Mark::Unmarked
        };
        let others = around(at).filter(|other| *other != at);
        let others = others.map(|other| self.cell(other));
        let effect = effect(Change { from, to, action }, mark, others, env);
        if self.defect == Defect::CellBeforeMark {
            self.change(at, from, to);
            self.mark(marks, at, effect, action);
        } else {
            self.mark(marks, at, effect, action);
            self.change(at, from, to);
        }
        if matches!(effect, Effect::MarkAndInfect(_)) {
            for other in around(at) {
                let from = self.cell(other);
                if let Step::To(to) = infect(from, env) {
                    self.change(other, from, to);
                }
            }
        }
    }

    /// Under the lock nobody else changes cells.
    fn change(&self, at: usize, from: Cell, to: Cell) {
        let (from, to) = (from.to_byte(), to.to_byte());
        let changed = self.cells[at].compare_exchange(from, to, SeqCst, SeqCst);
        assert!(changed.is_ok(), "a cell changed without the lock");
    }

    fn mark(&self, marks: &mut MutexGuard<'_, Marks>, at: usize, effect: Effect, action: Action) {
        let due = match effect {
            Effect::None if action == Action::Daemon => Due::Soon,
            Effect::None => return,
            Effect::Mark(due) | Effect::MarkAndInfect(due) => due,
        };
        marks.due |= bit(at);
        if due == Due::Before {
            let unsettled = self.unsettled.load(SeqCst);
            self.unsettled.store(unsettled | bit(at), SeqCst);
        }
    }

    /// Writes all that is due and waits for it; now and then media refuse. True when they did not.
    pub(super) fn write_due(&self, truth: &Truth) -> bool {
        let mut media = self.media.lock().expect("no panic");
        let writing = {
            let mut marks = self.marks.lock().expect("no panic");
            marks.writing = std::mem::take(&mut marks.due);
            marks.writing
        };
        let works = thread_rng().gen_bool(0.8);
        for at in (0..CELLS).filter(|at| writing & bit(*at) != 0) {
            // Each unit reaches the medium at a moment of its own.
            if works {
                media[at] = self.cells[at].load(SeqCst);
                truth.check_media(at, media[at]);
            }
        }
        let mut marks = self.marks.lock().expect("no panic");
        let written = std::mem::take(&mut marks.writing);
        if works {
            let kept = if self.defect == Defect::SettledWhileDue {
                0
            } else {
                marks.due
            };
            let unsettled = self.unsettled.load(SeqCst) & (!written | kept);
            self.unsettled.store(unsettled, SeqCst);
        } else {
            marks.due |= written;
        }
        works
    }

    /// What a crash would leave of a cell.
    pub(super) fn on_media(&self, at: usize) -> u8 {
        self.media.lock().expect("no panic")[at]
    }
}
