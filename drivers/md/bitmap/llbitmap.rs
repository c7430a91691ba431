// SPDX-License-Identifier: GPL-2.0

//! The lockless bitmap: a byte for each chunk, all of them in memory, changed one by one while writes go on.
//!
//! What a byte means and how it changes is `md_core::bitmap::cell`; see also `Documentation/llbitmap.md`.
//!
//! # Ordering
//!
//! * A cell takes back what media promise before the write that makes it untrue is sent: [`page`].
//! * A write is inside the page of its cells from before it changes them until it has ended on all members. The daemon
//!   suspends a page, so that no such write is under way, before it makes dirty cells clean; before that the members'
//!   caches are emptied, and the superblock says up to which event cells were cleaned: [`daemon`].
//! * The superblock says that the bitmap is up to date after the cells are ([`Core::write_header`]).

mod daemon;
mod facts;
mod load;
mod page;
mod pass;
mod resize;

use super::{
    store::Store, Backend, Carrier, Conditions, Hold, Outcome, Setting, Started, Stats, SyncAnswer,
};
use core::{num::NonZeroU32, ops::Range};
use daemon::Daemon;
use kernel::{
    pr_warn_once,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, Mutex,
    },
    time::{msecs_to_jiffies, Jiffies},
};
use kernel_ext::{
    alloc::{mempool::Wait, noio::NoIo},
    sync::{kthread::Thread, percpu_ref::Guard, timer::jiffies},
};
use md_core::{
    bitmap::{
        cell::{Action as CellAction, Env, Phase, Redundancy},
        geometry::{ChunkSpan, Geometry, PageIndex},
    },
    format::bitmap::{BitmapSb, Kind, StateBits, SB_BYTES},
    state::pass::Action,
    units::{BitmapChunk, Events, Sector, SectorRange, Sectors},
    words::bitmap::BitmapKind,
};
use page::{Asked, Page, Unit};

/// Seconds after the last write to a page before its cells may become clean, until told otherwise.
const BARRIER_IDLE: u32 = 5;

/// The pages that a write is inside of.
pub(crate) enum Inside {
    /// One, as most writes are.
    One(#[expect(dead_code, reason = "kept for its drop")] Guard),
    /// Any number. Boxed, as what most writes carry about is to be small.
    Several(#[expect(dead_code, reason = "kept for its drop")] KBox<KVec<Guard>>),
}

/// The pages, for writes that need no more of the bitmap than that it lets them be.
pub(crate) struct MarkedPages(Arc<Core>);

impl MarkedPages {
    /// Goes inside the page of `range` if a write there has nothing else to do, which is so for most: it has one cell,
    /// which is marked, in memory and on media. `None` says nothing. Any context.
    #[inline]
    pub(crate) fn enter(&self, range: SectorRange) -> Option<Guard> {
        self.0.enter_marked(range)
    }
}

/// What came of going inside.
struct Entered {
    inside: Inside,
    asked: Asked,
    /// Media have what was done to the cells.
    settled: bool,
}

/// A lockless bitmap at work. Dropping it stops its daemon.
pub(crate) struct Lockless {
    core: Arc<Core>,
    daemon: Thread<Daemon>,
}

/// What the daemon shares with everybody else.
struct Core {
    conditions: Conditions,
    geometry: Geometry,
    redundancy: Redundancy,
    unit: Unit,
    offset: i64,
    pages: KVec<Pin<KBox<Page>>>,
    store: Store,
    /// What the superblock says, but for the events.
    header: Pin<KBox<Mutex<BitmapSb>>>,
    /// The event count when a cell was last cleaned.
    cleared: Atomic<u64>,
    /// Seconds.
    daemon_sleep: Atomic<u32>,
    /// Seconds.
    barrier_idle: Atomic<u32>,
    /// The same in jiffies, for writes.
    barrier_idle_jiffies: Atomic<Jiffies>,
    /// When the daemon comes next, in jiffies; zero when it need not.
    next: Atomic<Jiffies>,
    /// Media say still that the bitmap was never used.
    fresh: Atomic<bool>,
    /// Held by who cleans cells, and by who makes those dirty that a pass has synced. Outside of pages, the header
    /// and batches; the configuration may be locked, and is not taken under it.
    cleaning: Pin<KBox<Mutex<()>>>,
}

fn seconds(seconds: u32) -> Jiffies {
    msecs_to_jiffies(seconds.saturating_mul(1000))
}

impl Core {
    fn env(&self) -> Env {
        Env {
            redundancy: self.redundancy,
            health: self.conditions.health(),
            phase: Phase::Live,
        }
    }

    /// The pages of a run of chunks, each with the bytes of those chunks.
    fn each(&self, span: ChunkSpan) -> impl Iterator<Item = (&Page, Range<usize>)> {
        let pages = self.geometry.pages_of(span);
        let indices = pages.map(|pages| pages.first.0..=pages.last.0);
        indices.into_iter().flatten().filter_map(move |index| {
            let page = self.pages.get(usize::try_from(index).ok()?)?;
            let on = self.geometry.chunks_on(PageIndex(index))?;
            let first = self.geometry.place(span.first().max(on.first()))?;
            let last = self.geometry.place(span.last().min(on.last()))?;
            let range = usize::try_from(first.offset).ok()?..usize::try_from(last.offset).ok()? + 1;
            Some((&**page, range))
        })
    }

    /// The page of a run of chunks and their bytes, when that is one page: what a write covers, most of the time.
    #[inline]
    fn one_page(&self, span: ChunkSpan) -> Option<(&Page, Range<usize>)> {
        let (page, first) = self.place(span.first())?;
        let end = first.checked_add(usize::try_from(span.chunks()).ok()?)?;
        page.holds(end).then_some((page, first..end))
    }

    /// Does `action` to the cells of a run of chunks.
    fn act(&self, span: ChunkSpan, action: CellAction) -> Asked {
        let env = self.env();
        self.each(span)
            .map(|(page, range)| page.act(range, action, &env, self.unit))
            .fold(Asked::NOTHING, Asked::and)
    }

    /// The page and the byte of a chunk.
    #[inline]
    fn place(&self, chunk: BitmapChunk) -> Option<(&Page, usize)> {
        let place = self.geometry.place(chunk)?;
        let page = self.pages.get(usize::try_from(place.page.0).ok()?)?;
        Some((page, usize::try_from(place.offset).ok()?))
    }

    /// Until when a page is not idle that is used now.
    #[inline]
    fn busy_until(&self) -> Jiffies {
        jiffies().saturating_add(self.barrier_idle_jiffies.load(Relaxed))
    }

    /// See [`MarkedPages::enter`].
    #[inline]
    fn enter_marked(&self, range: SectorRange) -> Option<Guard> {
        let (page, at) = self.geometry.only_cell(range)?;
        let (page, at) = (usize::try_from(page).ok()?, usize::try_from(at).ok()?);
        let page: &Page = self.pages.get(page)?;
        let inside = page.gate.enter()?;
        // The cell is looked at before what is not on media: see `Page`.
        let ready = page.is_marked(at) && page.is_settled(&(at..at + 1), self.unit);
        ready.then(|| {
            page.touch(self.busy_until());
            inside
        })
    }

    /// Goes inside the pages of `span` and does `action` to its cells. May sleep while the daemon has one of them, if
    /// it may wait; `EAGAIN` when it must not and would, or `span` has several.
    #[inline]
    fn enter(&self, span: ChunkSpan, action: CellAction, wait: Wait) -> Result<Entered> {
        let (page, range) = match (self.one_page(span), wait) {
            (Some(one), _) => one,
            (None, Wait::Yes) => return self.enter_all(span, action),
            (None, Wait::No) => return Err(EAGAIN),
        };
        let inside = Inside::One(match wait {
            Wait::Yes => page.gate.enter_wait(),
            Wait::No => page.gate.enter().ok_or(EAGAIN)?,
        });
        page.touch(self.busy_until());
        let asked = self.act_inside(page, &range, action);
        Ok(Entered {
            inside,
            asked,
            settled: page.is_settled(&range, self.unit),
        })
    }

    /// As [`Core::enter`], for any number of pages, in their order, as the daemon takes them.
    #[cold]
    fn enter_all(&self, span: ChunkSpan, action: CellAction) -> Result<Entered> {
        let _no_io = NoIo::enter();
        let (until, mut pages, mut asked) = (self.busy_until(), KVec::new(), Asked::NOTHING);
        let mut settled = true;
        for (page, range) in self.each(span) {
            pages.push(page.gate.enter_wait(), GFP_KERNEL)?;
            page.touch(until);
            asked = asked.and(self.act_inside(page, &range, action));
            settled &= page.is_settled(&range, self.unit);
        }
        Ok(Entered {
            inside: Inside::Several(KBox::new(pages, GFP_KERNEL)?),
            asked,
            settled,
        })
    }

    /// Does `action` to cells of a page that the caller is inside of. Without a lock for a write that needs no change.
    #[inline]
    fn act_inside(&self, page: &Page, range: &Range<usize>, action: CellAction) -> Asked {
        if action == CellAction::StartWrite && range.clone().all(|at| page.is_marked(at)) {
            return Asked::NOTHING;
        }
        page.act(range.clone(), action, &self.env(), self.unit)
    }

    /// Writes all that is due, and waits for it. May sleep; not for who submits I/O of the array.
    fn write_due(&self) -> Result {
        let mut batch = self.store.batch();
        let mut result = Ok(());
        for (index, page) in (0_u64..).zip(&self.pages) {
            let parts = page.take_due(self.unit);
            result = result.and(batch.write(index, page.cells(), parts));
        }
        result = result.and(batch.wait());
        for page in &self.pages {
            page.written(&result);
        }
        drop(batch);
        self.conditions.call_thread();
        result
    }

    /// Writes the superblock, with the events of the array's, after the cells: whoever finds it believes them. May
    /// sleep; not for who submits I/O of the array.
    fn write_header(&self) -> Result {
        let mut header = self.header.lock();
        self.write_due()?;
        self.put_header(&mut header)
    }

    /// Writes the superblock alone.
    fn put_header(&self, header: &mut BitmapSb) -> Result {
        header.events = self.conditions.events();
        // The count of events may go back by one when the array becomes clean again.
        let cleared = self.cleared.load(Acquire).min(header.events.get());
        self.cleared.store(cleared, Release);
        // Never zero on media: that is what C md leaves, of which `BitmapSb::forgotten_before` believes nothing.
        header.events_cleared = Events::new(cleared.max(1));
        header.daemon_sleep_s =
            NonZeroU32::new(self.daemon_sleep.load(Relaxed)).unwrap_or(NonZeroU32::MIN);
        header.state = header.state.without(StateBits::FIRST_USE);
        header.state = header
            .state
            .without(StateBits::CLEAN.with(StateBits::STALE));
        if let Some(chunk) = load::chunk_size(&self.geometry) {
            header.kind = Kind::Lockless(chunk);
        }
        let page = self.pages.first().ok_or(EINVAL)?;
        let mut batch = self.store.batch();
        let mut bytes = [0; SB_BYTES];
        page.cells().read(0, &mut bytes);
        header.encode(&mut bytes).map_err(|_| EINVAL)?;
        page.cells().store(0, &bytes);
        batch.write(0, page.cells(), self.unit.first().into_iter())?;
        batch.wait()?;
        self.fresh.store(false, Relaxed);
        Ok(())
    }
}

impl Lockless {
    /// Sees to it that what was asked for happens.
    fn answer(&self, asked: Asked) {
        if asked.pass {
            self.core.conditions.request_pass();
        }
        if asked.strange {
            pr_warn_once!("bitmap bytes that are no state: their chunks will be synced\n");
        }
        if asked.daemon {
            self.rouse();
        }
    }

    /// The daemon comes after its period, unless it comes before.
    fn rouse(&self) {
        if self.core.next.load(Relaxed) == 0 && self.core.arm() {
            self.daemon.wake();
        }
    }

    #[inline]
    fn start(&self, span: Option<ChunkSpan>, action: CellAction, wait: Wait) -> Result<Started> {
        let Some(span) = span else {
            return Ok(Started {
                hold: Hold::None,
                on_media: true,
            });
        };
        let entered = self.core.enter(span, action, wait)?;
        if entered.asked != Asked::NOTHING {
            self.answer(entered.asked);
        }
        Ok(Started {
            hold: Hold::Pages(entered.inside),
            on_media: entered.settled,
        })
    }
}

impl Backend for Lockless {
    fn kind(&self) -> BitmapKind {
        BitmapKind::Llbitmap
    }

    fn conditions(&self) -> &Conditions {
        &self.core.conditions
    }

    fn lockless(&self) -> Option<&Lockless> {
        Some(self)
    }

    fn marked_pages(&self) -> Option<MarkedPages> {
        Some(MarkedPages(self.core.clone()))
    }

    fn start_write(&self, range: SectorRange, wait: Wait) -> Result<Started> {
        let span = self.core.geometry.touched(range);
        self.start(span, CellAction::StartWrite, wait)
    }

    fn is_on_media(&self, range: SectorRange) -> bool {
        let Some(span) = self.core.geometry.touched(range) else {
            return true;
        };
        let is_settled =
            |(page, range): (&Page, Range<usize>)| page.is_settled(&range, self.core.unit);
        match self.core.one_page(span) {
            Some(one) => is_settled(one),
            None => self.core.each(span).all(is_settled),
        }
    }

    fn start_discard(&self, range: SectorRange, wait: Wait) -> Result<Started> {
        let span = self.core.geometry.covered(range);
        let started = self.start(span, CellAction::Discard, wait)?;
        // It may touch more chunks than it covers.
        Ok(Started {
            on_media: self.is_on_media(range),
            ..started
        })
    }

    fn write_out(&self) -> Result {
        self.core.write_due()?;
        // A crash would have the bitmap made anew, without the marks.
        if self.core.fresh.load(Relaxed) {
            self.core.write_header()?;
        }
        Ok(())
    }

    fn skip_sync(&self, at: Sector, action: Action) -> Sectors {
        self.core.skip(at, action)
    }

    fn is_synced(&self, at: Sector) -> bool {
        let place = self.core.geometry.chunk_of(at);
        let place = place.and_then(|chunk| self.core.place(chunk));
        place.is_some_and(|(page, at)| page.cell(at).is_synced())
    }

    fn begin_pass(&self, action: Action) {
        self.begin(action);
    }

    fn start_sync(&self, at: Sector) -> SyncAnswer {
        self.start_chunk(at)
    }

    fn end_sync(&self, range: SectorRange, outcome: Outcome) {
        self.leave(range, outcome);
    }

    fn checkpoint(&self, upto: Sector) {
        self.synced_below(upto);
    }

    fn end_pass(&self) {
        self.end();
    }

    fn update_super(&self) {
        // Members that did not take it have failed.
        let _ = self.core.write_header();
    }

    fn set_carriers(&self, carriers: KVec<Carrier>) {
        if self.core.store.set_carriers(carriers).is_err() {
            pr_warn!("no memory for the members of a bitmap\n");
        }
    }

    fn write_all(&self) {
        for page in &self.core.pages {
            page.mark_all(self.core.unit);
        }
    }

    fn settle(&self) {
        self.core.settle();
    }

    fn resized(&self, setting: Setting<'_>) -> Result<Arc<dyn Backend>> {
        Ok(self.for_size(setting)?)
    }

    fn supersede(&self, old: &dyn Backend) -> Result {
        self.take_place(old.lockless().ok_or(EINVAL)?)
    }

    fn chunk(&self) -> Sectors {
        self.core.geometry.chunk().length()
    }

    fn mark_dirty(&self, first: u64, last: u64) -> Result {
        let span = ChunkSpan::new(BitmapChunk::new(first), BitmapChunk::new(last));
        let span = span.filter(|span| span.last().get() < self.core.geometry.chunks());
        let started = self.start(Some(span.ok_or(EINVAL)?), CellAction::StartWrite, Wait::Yes)?;
        let result = self.write_out();
        drop(started);
        result
    }

    fn stats(&self) -> Option<Stats> {
        let pages = self.core.pages.len() as u64;
        Some(Stats {
            used_pages: pages,
            pages,
            chunk: self.chunk(),
        })
    }

    fn events_cleared(&self) -> Events {
        Events::new(self.core.cleared.load(Acquire))
    }

    fn forget_absent(&self) {
        // The daemon stores the same, and takes it back when it could not be recorded: superblocks then say it next.
        self.core
            .cleared
            .store(self.core.conditions.events().get(), Release);
    }
}
