// SPDX-License-Identifier: GPL-2.0

//! Properties of `md_core::bitmap`: geometry, resize, block rule, and the classic counter against a model of the 16-bit
//! word C md keeps.

use md_core::bitmap::barrier::{
    Barrier, Event as BarrierEvent, Gate, Illegal, Outcome as BarrierOutcome, Wake,
};
use md_core::bitmap::cell::{step, Action, Cell, Env, Phase, Redundancy, Step};
use md_core::bitmap::classic;
use md_core::bitmap::counter::{
    Age, ClearedOnMedia, Counter, Daemon, Need, Outcome, StartWrite, Sync, Waiters, WRITES_MAX,
};
use md_core::bitmap::geometry::{
    Area, ChunkShift, Geometry, GeometryError, PageIndex, PageShift, HEADER_BYTES,
};
use md_core::bitmap::page::{apply, write_due, Due, Effect, Mark};
use md_core::bitmap::resize::Resize;
use md_core::format::BlockSize;
use md_core::state::Health;
use md_core::units::{BitmapChunk, Sector, SectorRange, Sectors};
use proptest::prelude::*;

fn area() -> impl Strategy<Value = Area> {
    let data = prop_oneof![1u64..1 << 16, 1u64..1 << 44];
    (data, 3u64..600, 12u32..=16, 9u32..=12).prop_map(|(data, space, page, block)| Area {
        data: Sectors::new(data),
        space: Sectors::new(space),
        page: PageShift::new(page).expect("between 4 and 64 KiB"),
        block: BlockSize::new(1 << block).expect("at most 4 KiB"),
    })
}

fn geometry() -> impl Strategy<Value = (Area, Geometry)> {
    area().prop_filter_map("too large for its space", |area| {
        Some((area, Geometry::choose(&area).ok()?))
    })
}

fn range_in(data: Sectors) -> impl Strategy<Value = SectorRange> {
    let data = data.get();
    (0..data, 1..=data).prop_map(|(start, len)| {
        SectorRange::new(Sector::new(start), Sectors::new(len)).expect("not empty, not near 2^64")
    })
}

fn geometry_and_range() -> impl Strategy<Value = (Geometry, SectorRange)> {
    geometry().prop_flat_map(|(area, g)| (Just(g), range_in(area.data)))
}

fn live(redundancy: Redundancy, health: Health) -> Env {
    Env {
        redundancy,
        health,
        phase: Phase::Live,
    }
}

fn redundancy() -> impl Strategy<Value = Redundancy> {
    prop::sample::select(Redundancy::ALL.to_vec())
}

fn cell() -> impl Strategy<Value = Cell> {
    prop::sample::select(Cell::ALL.to_vec())
}

/// A bitmap of so many sectors with chunks of `1 << shift`.
fn stored(data: u64, shift: u32) -> Geometry {
    let area = Area {
        data: Sectors::new(data),
        space: Sectors::new(64),
        page: PageShift::FOUR_KIB,
        block: BlockSize::SECTOR,
    };
    Geometry::stored(&area, Sectors::new(1 << shift)).expect("it fits")
}

/// Whether a cell promises nothing that `source` does not: that there is no data, or that copies agree.
fn promises_as(cell: Cell, source: Cell, redundancy: Redundancy) -> bool {
    let silent = source == Cell::Unwritten && redundancy == Redundancy::Mirror;
    (!cell.promises_no_data() || source.promises_no_data())
        && (!cell.promises_sync() || source.promises_sync() || silent)
}

proptest! {
    /// The cells fit behind the header, and half the chunk would not have fitted (or is below the smallest).
    #[test]
    fn the_chosen_chunk_is_the_smallest_that_fits(area in area()) {
        let room = area.space.get() * 512 - HEADER_BYTES;
        match Geometry::choose(&area) {
            Ok(g) => {
                prop_assert!(g.chunks() <= room);
                prop_assert_eq!(g.chunks(), area.data.get().div_ceil(g.chunk().length().get()));
                let half = area.data.get().div_ceil(g.chunk().length().get() / 2);
                prop_assert!(g.chunk().get() == 7 || half > room);
                prop_assert!(g.pages() * area.page.bytes() < HEADER_BYTES + g.chunks() + area.page.bytes());
                prop_assert_eq!(Geometry::stored(&area, g.chunk().length()), Ok(g));
            }
            Err(why) => {
                prop_assert_eq!(why, GeometryError::DataTooLarge);
                prop_assert!(area.data.get().div_ceil(1 << 31) > room);
            }
        }
    }

    /// Each chunk has one place, and `chunks_on` finds it there.
    #[test]
    fn places_and_pages_agree((_, g) in geometry(), at in any::<prop::sample::Index>()) {
        let count = usize::try_from(g.chunks()).expect("a few thousand");
        let chunk = BitmapChunk::new(u64::try_from(at.index(count)).expect("fits"));
        let place = g.place(chunk).expect("a chunk of the bitmap");
        prop_assert!(place.page.0 < g.pages());
        prop_assert!(u64::from(place.block) < g.blocks_per_page());
        let on = g.chunks_on(place.page).expect("a page of the bitmap");
        prop_assert!(on.first() <= chunk && chunk <= on.last());
        prop_assert_eq!(g.place(BitmapChunk::new(g.chunks())), None);
        prop_assert_eq!(g.chunks_on(PageIndex(g.pages())), None);
    }

    /// Pages partition the chunks.
    #[test]
    fn pages_hold_every_chunk_once((_, g) in geometry()) {
        let mut next = 0;
        for page in 0..g.pages() {
            let Some(span) = g.chunks_on(PageIndex(page)) else { continue };
            prop_assert_eq!(span.first().get(), next);
            next = span.last().get() + 1;
        }
        prop_assert_eq!(next, g.chunks());
    }

    /// A write touches a chunk exactly when they share a sector; a discard covers it exactly when nothing remains.
    #[test]
    fn touched_and_covered_are_what_they_say((g, range) in geometry_and_range()) {
        let touched = g.touched(range).expect("it starts within the data");
        let covered = g.covered(range);
        for n in [touched.first().get(), touched.last().get()].into_iter().flat_map(|n| n.saturating_sub(1)..=n + 1) {
            let chunk = BitmapChunk::new(n);
            let Some(sectors) = g.sectors_of(chunk) else { continue };
            let inside = touched.first() <= chunk && chunk <= touched.last();
            prop_assert_eq!(inside, sectors.overlaps(range));
            let wholly = covered.is_some_and(|c| c.first() <= chunk && chunk <= c.last());
            prop_assert_eq!(wholly, range.contains(sectors));
        }
    }

    /// What the new cell promises holds for every old cell it is made of, whatever the two geometries are.
    #[test]
    fn resize_promises_no_more_than_its_sources(
        cells in prop::collection::vec(cell(), 1..200),
        (old_shift, new_shift) in (7u32..10, 7u32..12),
        growth in 0u64..20_000,
        short in 0u64..128,
        redundancy in redundancy(),
    ) {
        let count = u64::try_from(cells.len()).expect("small");
        let data = (count << old_shift) - short;
        let (from, to) = (stored(data, old_shift), stored(data + growth, new_shift));
        let resize = Resize { from, to, redundancy, fill: Cell::Unwritten };
        let read = |chunk: BitmapChunk| cells[usize::try_from(chunk.get()).expect("small")];
        for chunk in to.all().iter() {
            let new = resize.cell(chunk, read).expect("a chunk of the new bitmap");
            prop_assert!(!matches!(new, Cell::Syncing | Cell::SyncingUnwritten));
            for source in resize.sources(chunk).into_iter().flat_map(|span| span.iter()) {
                let old = read(source);
                prop_assert!(promises_as(new, old, redundancy));
                prop_assert!(!matches!(old, Cell::NeedSync | Cell::Syncing) || new == Cell::NeedSync);
                prop_assert!(old != Cell::Dirty || matches!(new, Cell::Dirty | Cell::NeedSync));
            }
        }
        prop_assert_eq!(resize.cell(BitmapChunk::new(to.chunks()), read), None);
    }

    /// Media are between two geometries when the machine dies: each cell is the one before or after the step under way.
    /// Read with the header that is there, they promise nothing untrue of any sector.
    #[test]
    fn a_resize_that_is_cut_short_promises_nothing_untrue(
        cells in prop::collection::vec(cell(), 1..200),
        (old_shift, doubled) in (7u32..10, 1u32..4),
        growth in 0u64..40_000,
        redundancy in redundancy(),
        torn in prop::collection::vec(any::<bool>(), 700),
        header_is_new in any::<bool>(),
    ) {
        let count = u64::try_from(cells.len()).expect("small");
        let data = count << old_shift;
        let (from, to) = (stored(data, old_shift), stored(data + growth, old_shift + doubled));
        let resize = Resize { from, to, redundancy, fill: Cell::Unwritten };
        prop_assert!(resize.moves_cells());
        let read = |chunk: BitmapChunk| cells[usize::try_from(chunk.get()).expect("small")];
        let on_media = |number: BitmapChunk| {
            let bridge = resize.bridge(number, read);
            let other = if header_is_new {
                resize.cell(number, read)
            } else {
                (number.get() < from.chunks()).then(|| read(number))
            };
            let arrived = torn.get(usize::try_from(number.get()).expect("small")).copied();
            if arrived.unwrap_or_default() { bridge } else { other }
        };
        let said = if header_is_new { to } else { from };
        for number in said.all().iter() {
            let found = on_media(number).expect("a cell for each chunk that the header says");
            let sectors = said.sectors_of(number).expect("a chunk");
            for source in from.touched(sectors).into_iter().flat_map(|span| span.iter()) {
                prop_assert!(promises_as(found, read(source), redundancy));
            }
        }
    }

    /// The block rule, against one written down from the description: marks, infection, and what it may touch.
    #[test]
    fn the_block_rule_holds(
        mut block in prop::collection::vec(0u8..10, 1..64),
        at in any::<prop::sample::Index>(),
        action in prop::sample::select(Action::ALL.to_vec()),
        marked in any::<bool>(),
        redundancy in redundancy(),
        degraded in any::<bool>(),
    ) {
        let env = live(redundancy, if degraded { Health::Degraded } else { Health::Complete });
        let position = at.index(block.len());
        let before = block.clone();
        let mark = if marked { Mark::Marked } else { Mark::Unmarked };
        let Some(effect) = apply(&mut block, position, action, mark, &env) else {
            prop_assert_eq!(&block, &before);
            return Ok(());
        };
        let hot = before.iter().enumerate().any(|(n, b)| n != position && (*b == 2 || *b == 3 || *b > 7));
        // A byte that is no state is taken for NeedSync; repairing it is no write to a quiet chunk.
        let was = if before[position] > 7 { 3 } else { before[position] };
        let became = block[position] != was && (block[position] == 2 || block[position] == 3);
        let infects = action == Action::StartWrite && became && !degraded && (marked || hot);
        prop_assert_eq!(matches!(effect, Effect::MarkAndInfect(_)), infects);
        for (n, (old, new)) in before.iter().zip(&block).enumerate() {
            let quiet = [0, 1, 7].contains(old);
            let infected = if *old == 0 && redundancy == Redundancy::Parity { 3 } else { 2 };
            if n != position {
                prop_assert_eq!(*new, if infects && quiet { infected } else { *old });
            }
        }
    }

    /// After any history, a crash leaves a chunk that may be inconsistent marked, as long as writes of the bitmap that
    /// are due before their cause are made and all others are lost.
    #[test]
    fn a_crash_loses_no_mark(
        actions in prop::collection::vec(prop::sample::select(Action::ALL.to_vec()), 1..40),
        redundancy in redundancy(),
    ) {
        let env = live(redundancy, Health::Complete);
        // What is true of the chunk, what memory says, what media say.
        let (mut data, mut agree) = (false, false);
        let (mut memory, mut media) = (Cell::Unwritten, Cell::Unwritten);
        for action in actions {
            let from = memory;
            if let Step::To(to) = step(memory, action, &env) {
                memory = to;
            }
            if write_due(from, memory) == Due::Before {
                media = memory;
            }
            match action {
                Action::StartWrite => (data, agree) = (true, false),
                Action::Discard => (data, agree) = (false, false),
                // The daemon comes when no write is in flight, the end of a sync when it was made.
                Action::Daemon if from == Cell::Dirty => agree = true,
                Action::EndSync if from == Cell::SyncingUnwritten => agree = true,
                // A new member has none of the parity built ahead; a stale bitmap knows nothing.
                Action::ClearUnwritten if !data => agree = false,
                Action::Stale => agree = false,
                _ => {}
            }
            let after = match step(media, Action::Reload, &env) {
                Step::To(to) => to,
                _ => media,
            };
            prop_assert!(!(data && after.promises_no_data()), "{} {} {}, media {}", from, action, memory, media);
            prop_assert!(agree || !after.promises_sync(), "{} {} {}, media {}", from, action, memory, media);
        }
    }
}

/// The 16-bit word of C md and what its functions do to it, without locks and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u16);

impl Word {
    const NEEDED: u16 = 0x8000;
    const RESYNC: u16 = 0x4000;
    const MAX: u16 = 0x3fff;

    fn start_write(&mut self) -> Option<bool> {
        if self.0 & Self::MAX == Self::MAX {
            return None;
        }
        let sets = self.0 == 0;
        if self.0 <= 1 {
            self.0 = 2;
        }
        self.0 += 1;
        Some(sets)
    }

    fn end_write(&mut self, degraded: bool) -> bool {
        if degraded {
            self.0 |= Self::NEEDED;
        }
        self.0 -= 1;
        self.0 <= 2
    }

    fn age(&mut self, need_sync: bool) -> bool {
        if self.0 == 1 && !need_sync {
            self.0 = 0;
            return true;
        }
        if self.0 == 1 || self.0 == 2 {
            self.0 = 1;
        }
        false
    }

    fn start_sync(&mut self, degraded: bool) -> bool {
        if self.0 & Self::RESYNC != 0 {
            return true;
        }
        let needed = self.0 & Self::NEEDED != 0;
        if needed && !degraded {
            self.0 = (self.0 | Self::RESYNC) & !Self::NEEDED;
        }
        needed
    }

    fn end_sync(&mut self, aborted: bool) {
        if self.0 & Self::RESYNC != 0 {
            self.0 &= !Self::RESYNC;
            if aborted {
                self.0 |= Self::NEEDED;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    StartWrite,
    EndWrite(Health),
    Age(ClearedOnMedia),
    StartSync(Health),
    EndSync(Outcome),
}

fn happens() -> impl Strategy<Value = Happens> {
    let health = || prop::sample::select(Health::ALL.to_vec());
    prop_oneof![
        4 => Just(Happens::StartWrite),
        4 => health().prop_map(Happens::EndWrite),
        3 => prop::sample::select(ClearedOnMedia::ALL.to_vec()).prop_map(Happens::Age),
        2 => health().prop_map(Happens::StartSync),
        2 => prop::sample::select(Outcome::ALL.to_vec()).prop_map(Happens::EndSync),
    ]
}

/// One event on both; the counter after it.
fn both(counter: Counter, word: &mut Word, happens: Happens) -> Result<Counter, TestCaseError> {
    match happens {
        Happens::StartWrite => match counter.start_write() {
            StartWrite::Wait => {
                prop_assert_eq!(word.start_write(), None);
                Ok(counter)
            }
            StartWrite::Go(next) => {
                prop_assert_eq!(word.start_write(), Some(false));
                Ok(next)
            }
            StartWrite::SetBits(next) => {
                prop_assert_eq!(word.start_write(), Some(true));
                Ok(next)
            }
        },
        Happens::EndWrite(health) => match counter.end_write(health) {
            Err(_) => {
                prop_assert!(word.0 & Word::MAX <= 2);
                Ok(counter)
            }
            Ok(end) => {
                let pending = word.end_write(health == Health::Degraded);
                prop_assert_eq!(end.daemon == Daemon::Look, pending);
                Ok(end.counter)
            }
        },
        Happens::Age(media) => {
            let cleared = word.age(media == ClearedOnMedia::Due);
            let age = counter.age(media);
            prop_assert_eq!(age == Age::ClearBit, cleared);
            Ok(match age {
                Age::Stay => counter,
                Age::Again(next) => next,
                Age::ClearBit => Counter::Clear,
            })
        }
        Happens::StartSync(health) => {
            // What a degraded array adds is not in C.
            let (next, sync) = counter.start_sync(health, Health::Complete);
            prop_assert_eq!(
                sync == Sync::Needed,
                word.start_sync(health == Health::Degraded)
            );
            Ok(next)
        }
        Happens::EndSync(outcome) => {
            word.end_sync(outcome == Outcome::Aborted);
            Ok(counter.end_sync(outcome).0)
        }
    }
}

proptest! {
    #[test]
    fn the_counter_is_the_word_of_c(history in prop::collection::vec(happens(), 1..200)) {
        let (mut counter, mut word) = (Counter::Clear, Word(0));
        for event in history {
            counter = both(counter, &mut word, event)?;
            prop_assert_eq!(counter.to_word(), word.0, "after {:?}", event);
        }
    }

    /// From any word, near the limit too.
    #[test]
    fn one_step_from_any_word(raw in any::<u16>(), event in happens()) {
        let Ok(counter) = Counter::from_word(raw) else { return Ok(()) };
        let mut word = Word(raw);
        let next = both(counter, &mut word, event)?;
        prop_assert_eq!(next.to_word(), word.0);
    }

    /// Chunks that share a counter partition the bitmap.
    #[test]
    fn shared_counters_partition(data in 1u64..1 << 24, shift in 0u32..12, at in any::<prop::sample::Index>()) {
        let chunk = ChunkShift::of(Sectors::new(1 << shift)).expect("small");
        let g = classic::Geometry::new(Sectors::new(data), chunk, PageShift::FOUR_KIB, classic::Header::Super)
            .expect("valid");
        let n = u64::try_from(at.index(usize::try_from(g.chunks()).expect("fits"))).expect("fits");
        for grain in [classic::Grain::Chunk, classic::Grain::HalfPage] {
            let span = g.shared(BitmapChunk::new(n), grain).expect("a chunk of the bitmap");
            prop_assert!(span.first().get() <= n && n <= span.last().get());
            for other in [span.first(), span.last()] {
                prop_assert_eq!(g.shared(other, grain), Some(span));
            }
        }
    }

    /// Nobody is inside with the daemon, everybody inside is counted, and whoever shuts the gate opens it with a wake.
    #[test]
    fn the_barrier_keeps_the_daemon_alone(
        events in prop::collection::vec(prop::sample::select(BarrierEvent::ALL.to_vec()), 1..200),
    ) {
        let mut barrier = Barrier::OPEN;
        let (mut inside, mut suspended) = (0u32, false);
        for event in events {
            match (event, barrier.step(event)) {
                (BarrierEvent::Enter, Ok(BarrierOutcome::Wait)) => prop_assert!(suspended),
                (BarrierEvent::Leave, Err(why)) => prop_assert_eq!((why, inside), (Illegal::NobodyInside, 0)),
                (_, Ok(BarrierOutcome::Moved(next, wake))) => {
                    match event {
                        BarrierEvent::Enter => inside += 1,
                        BarrierEvent::Leave => inside -= 1,
                        BarrierEvent::Suspend => suspended = true,
                        BarrierEvent::GiveUp | BarrierEvent::Resume => suspended = false,
                    }
                    let opened = barrier.gate() != Gate::Open && next.gate() == Gate::Open;
                    prop_assert_eq!(opened, wake == Wake::Writers);
                    barrier = next;
                }
                (_, Ok(BarrierOutcome::Wait)) => prop_assert!(false, "only a writer waits"),
                (_, Err(_)) => {}
            }
            prop_assert_eq!(barrier.writers(), inside);
            prop_assert_eq!(barrier.gate() != Gate::Open, suspended);
            prop_assert_eq!(barrier.gate() == Gate::Shut, suspended && inside == 0);
        }
    }
}

#[test]
fn a_full_counter_makes_writers_wait_and_wakes_them() {
    let full = Counter::from_word(0x3fff).expect("a counter");
    assert_eq!(full.start_write(), StartWrite::Wait);
    let end = full.end_write(Health::Complete).expect("a write in flight");
    assert_eq!(end.waiters, Waiters::Wake);
    assert!(
        matches!(end.counter, Counter::Set { need: Need::None, writes } if writes.get() == WRITES_MAX - 1)
    );
}
