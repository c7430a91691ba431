// SPDX-License-Identifier: GPL-2.0

//! A page of a lockless bitmap in memory: its cells, who is inside, and what of it is not on media.
//!
//! # Ordering
//!
//! A write may go to the members when its cell takes back what media promise *on media*. What is in memory but not
//! there yet is said by `unsettled`, a bit for each unit that a page is written in:
//!
//! * whoever changes a cell sets the bit, then the cell (a full barrier), under the lock of the page; so who sees the
//!   new cell without that lock sees the bit;
//! * whoever writes the unit takes it from `due` before the write begins, and clears the bit after all members have
//!   it, unless the unit is due again. Both are under the lock, and there is one writer at a time.
//!
//! Who finds the cell as it has to be and the bit clear has nothing to wait for: that is the path of all writes but the
//! first to a chunk, and it takes no lock.

use core::ops::Range;
use kernel::{
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, SpinLock,
    },
    time::Jiffies,
};
use kernel_ext::{
    alloc::{cells::CellPage, page::PageBuf},
    block::sync_io::PagePart,
    sync::percpu_ref::Gate,
};
use md_core::bitmap::{
    barrier::{Freshness, Instant},
    cell::{follow_up, step, Action, Cell, Env, FollowUp, Step, Timer, Wanted},
    page::{effect, infect, Change, Due, Effect, Mark},
};

/// Bytes of a page that are written together: the array's logical block, or more when a page has more than 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit(u32);

impl Unit {
    const MIN: usize = PAGE_SIZE / 32;

    /// For an array with logical blocks of this many bytes, a power of two up to a page.
    pub(super) fn of(block: u32) -> Result<Self> {
        let bytes = usize::try_from(block)?.max(Self::MIN);
        if !bytes.is_power_of_two() || bytes > PAGE_SIZE {
            return Err(EINVAL);
        }
        Ok(Self(bytes.trailing_zeros()))
    }

    /// The bit of the unit that `at` is in.
    const fn bit(self, at: usize) -> u32 {
        // A page has at most 32 units.
        1_u32.wrapping_shl((at >> self.0) as u32)
    }

    /// The bits of the units of a range that is not empty.
    pub(super) const fn bits(self, range: &Range<usize>) -> u32 {
        let (first, last) = (self.bit(range.start), self.bit(range.end.saturating_sub(1)));
        // From the lower bit to the higher, both included.
        (last | last.wrapping_sub(1)) & !first.wrapping_sub(1)
    }

    /// The bytes of the unit that `at` is in.
    const fn around(self, at: usize) -> Range<usize> {
        let start = (at >> self.0) << self.0;
        start..start + (1 << self.0)
    }

    /// The first of a page, as a part of it: that with the superblock.
    pub(super) fn first(self) -> Option<PagePart> {
        self.parts(1).next()
    }

    /// Runs of units in `bits`, as parts of a page.
    pub(super) fn parts(self, bits: u32) -> impl Iterator<Item = PagePart> {
        let sectors = 1 << (self.0 - 9);
        let mut rest = bits;
        core::iter::from_fn(move || {
            let first = rest.trailing_zeros();
            let count = rest.checked_shr(first)?.trailing_ones();
            let run = u32::MAX.checked_shr(32 - count)?.checked_shl(first)?;
            rest &= !run;
            PagePart::new(first * sectors, count * sectors)
        })
    }
}

/// What changes of cells ask for besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The daemon is to come.
    pub(super) daemon: bool,
    /// A pass is.
    pub(super) pass: bool,
    /// A byte was no cell.
    pub(super) strange: bool,
}

impl Asked {
    pub(super) const NOTHING: Self = Self {
        daemon: false,
        pass: false,
        strange: false,
    };

    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            daemon: self.daemon | other.daemon,
            pass: self.pass | other.pass,
            strange: self.strange | other.strange,
        }
    }
}

impl From<FollowUp> for Asked {
    fn from(follow_up: FollowUp) -> Self {
        Self {
            daemon: follow_up.timer == Timer::Arm,
            pass: follow_up.wanted != Wanted::Nothing,
            strange: false,
        }
    }
}

/// Units, a bit for each.
#[derive(Default)]
struct Marks {
    /// To be written.
    due: u32,
    /// Being written.
    writing: u32,
}

/// When a page was used, in jiffies, or one of these.
const IDLE: Jiffies = 0;
const FLUSH: Jiffies = Jiffies::MAX;

/// A page of cells.
#[pin_data]
pub(super) struct Page {
    cells: Arc<CellPage>,
    /// The bytes that are cells.
    held: Range<usize>,
    /// Writers enter it until their writes have ended; the daemon suspends it.
    pub(super) gate: Gate,
    unsettled: Atomic<u32>,
    /// Until when its cells are not to be cleaned.
    used: Atomic<Jiffies>,
    #[pin]
    marks: SpinLock<Marks>,
}

impl Page {
    /// A page as it was read from media, of which these bytes are cells.
    pub(super) fn new(page: PageBuf, held: Range<usize>) -> Result<Pin<KBox<Self>>> {
        let cells = Arc::new(CellPage::from(page), GFP_KERNEL)?;
        let gate = Gate::new(())?;
        KBox::pin_init(
            pin_init!(Self {
                cells,
                held,
                gate,
                unsettled: Atomic::new(0),
                used: Atomic::new(IDLE),
                marks <- new_spinlock!(Marks::default()),
            }),
            GFP_KERNEL,
        )
    }

    /// Its bytes.
    pub(super) fn cells(&self) -> &Arc<CellPage> {
        &self.cells
    }

    /// Which of them are cells.
    pub(super) fn held(&self) -> Range<usize> {
        self.held.clone()
    }

    /// Whether its cells go on up to `end`.
    #[inline]
    pub(super) fn holds(&self, end: usize) -> bool {
        end <= self.held.end
    }

    /// The cell at a byte. Any context.
    #[inline]
    pub(super) fn cell(&self, at: usize) -> Cell {
        Cell::parse(self.cells.load(at)).cell
    }

    /// Whether a write needs no change of the cell at a byte. Any context.
    #[inline]
    pub(super) fn is_marked(&self, at: usize) -> bool {
        // A chunk that needs a sync is left to `act`, which asks for it.
        matches!(self.cell(at), Cell::Dirty | Cell::Syncing)
    }

    /// Whether media have what was done to the cells of a range. To be asked after the cells were looked at. Any
    /// context.
    #[inline]
    pub(super) fn is_settled(&self, range: &Range<usize>, unit: Unit) -> bool {
        // Acquire, and so are loads of cells: see the top.
        let unsettled = self.unsettled.load(Acquire);
        unsettled == 0 || unsettled & unit.bits(range) == 0
    }

    /// It is being used, and will not be idle before `until`.
    #[inline]
    pub(super) fn touch(&self, until: Jiffies) {
        if self.used.load(Relaxed) != until {
            self.used.store(until, Relaxed);
        }
    }

    /// Its cells are to be cleaned as soon as may be.
    pub(super) fn hurry(&self) {
        self.used.store(FLUSH, Release);
    }

    /// Its cells are about to be cleaned. Whoever makes one dirty after this says so again.
    pub(super) fn rest(&self) {
        self.used.store(IDLE, Relaxed);
    }

    /// When it is due for the daemon.
    pub(super) fn freshness(&self) -> Freshness {
        match self.used.load(Acquire) {
            IDLE => Freshness::Idle,
            FLUSH => Freshness::Flush,
            until => Freshness::UsedUntil(Instant(until as u64)),
        }
    }

    /// Does `action` to the cells of a range.
    pub(super) fn act(&self, range: Range<usize>, action: Action, env: &Env, unit: Unit) -> Asked {
        let mut marks = self.marks.lock();
        range
            .map(|at| self.act_on(&mut marks, at, action, env, unit))
            .fold(Asked::NOTHING, Asked::and)
    }

    fn act_on(&self, marks: &mut Marks, at: usize, action: Action, env: &Env, unit: Unit) -> Asked {
        let byte = self.cells.load(at);
        let parsed = Cell::parse(byte);
        let (from, strange) = (parsed.cell, parsed.finding.is_some());
        let step = step(from, action, env);
        let asked = Asked {
            strange,
            ..follow_up(from, step, env).into()
        };
        let to = match step {
            Step::Illegal => return Asked::NOTHING,
            Step::Stay if !strange => return asked,
            Step::Stay => from,
            Step::To(to) => to,
        };
        let mark = if marks.due & unit.bit(at) != 0 {
            Mark::Marked
        } else {
            Mark::Unmarked
        };
        let others = unit
            .around(at)
            .filter(|other| self.held.contains(other) && *other != at);
        let others = others.map(|other| self.cell(other));
        let effect = effect(Change { from, to, action }, mark, others, env);
        self.mark(marks, unit.bit(at), effect, action);
        // Under the lock nobody else changes cells.
        let _ = self.cells.compare_exchange(at, byte, to.to_byte());
        match effect {
            Effect::MarkAndInfect(_) => self.infect_around(at, env, unit).and(asked),
            Effect::None | Effect::Mark(_) => asked,
        }
    }

    /// Notes, before a cell changes, that its unit is to be written.
    fn mark(&self, marks: &mut Marks, bit: u32, effect: Effect, action: Action) {
        let due = match effect {
            // Media would promise less than could be; after a crash all of that would be synced.
            Effect::None if action == Action::Daemon => Due::Soon,
            Effect::None => return,
            Effect::Mark(due) | Effect::MarkAndInfect(due) => due,
        };
        marks.due |= bit;
        if due == Due::Before {
            // Relaxed: ordered by the change of the cell, and by the lock.
            let unsettled = self.unsettled.load(Relaxed);
            self.unsettled.store(unsettled | bit, Relaxed);
        }
    }

    fn infect_around(&self, at: usize, env: &Env, unit: Unit) -> Asked {
        let mut asked = Asked::NOTHING;
        for other in unit.around(at).filter(|other| self.held.contains(other)) {
            let byte = self.cells.load(other);
            let from = Cell::parse(byte).cell;
            let step = infect(from, env);
            if let Step::To(to) = step {
                // Under the lock nobody else changes cells.
                let _ = self.cells.compare_exchange(other, byte, to.to_byte());
                asked = asked.and(follow_up(from, step, env).into());
            }
        }
        asked
    }

    /// All of it is to be written: cells before what relies on them.
    pub(super) fn mark_all(&self, unit: Unit) {
        let mut marks = self.marks.lock();
        // Behind its cells there may be no room.
        let held = unit.bits(&(0..self.held.end));
        marks.due = held;
        self.unsettled.store(held, Relaxed);
    }

    /// Gives all cells one value. Nobody else knows of the page yet.
    pub(super) fn fill(&self, cell: Cell) {
        for at in self.held() {
            self.set_cell(at, cell);
        }
    }

    /// Gives a cell a value. Nobody else knows of the page yet.
    pub(super) fn set_cell(&self, at: usize, cell: Cell) {
        self.cells.store(at, &[cell.to_byte()]);
    }

    /// What is to be written, which is said once; [`Page::written`] is to follow.
    pub(super) fn take_due(&self, unit: Unit) -> impl Iterator<Item = PagePart> {
        let mut marks = self.marks.lock();
        marks.writing = core::mem::take(&mut marks.due);
        unit.parts(marks.writing)
    }

    /// What was taken has been written, or is to be taken again.
    pub(super) fn written(&self, how: &Result) {
        let mut marks = self.marks.lock();
        let written = core::mem::take(&mut marks.writing);
        match how {
            Ok(()) => {
                let unsettled = self.unsettled.load(Relaxed) & (!written | marks.due);
                // Release: who sees the bit clear goes on after the write.
                self.unsettled.store(unsettled, Release);
            }
            Err(_) => marks.due |= written,
        }
    }
}
