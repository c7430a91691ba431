// SPDX-License-Identifier: GPL-2.0

//! The counters of a classic bitmap: one for each chunk, changed by compare-exchange and without any lock.
//!
//! They are allocated by the page, when the first of a page is written to. Without memory for a page each half of its
//! chunks shares one counter, for as long as the bitmap lives.

use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        SetOnce,
    },
};
use kernel_ext::alloc::noio::NoIo;
use md_core::{
    bitmap::{
        classic::{Geometry, Grain},
        counter::Counter,
    },
    units::BitmapChunk,
};

/// The counters of a page.
enum Cells {
    /// One for each chunk.
    Fine(KVec<Atomic<i16>>),
    /// One for each half.
    Coarse([Atomic<i16>; 2]),
}

struct Block {
    cells: SetOnce<Cells>,
    /// The daemon has something to age in it.
    look: Atomic<bool>,
}

/// A counter.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    block: &'a Block,
    cell: &'a Atomic<i16>,
    /// How many chunks it stands for.
    pub(super) grain: Grain,
}

impl Place<'_> {
    /// Its value now.
    pub(super) fn load(&self) -> Counter {
        counter(self.cell.load(Acquire))
    }

    /// Changes it by `step`, which answers with the new value and something for the caller, or `Err` to leave it.
    /// A full barrier when it changes.
    pub(super) fn update<T, E>(
        &self,
        mut step: impl FnMut(Counter) -> core::result::Result<(Counter, T), E>,
    ) -> core::result::Result<T, E> {
        let mut word = self.cell.load(Acquire);
        loop {
            let (next, answer) = step(counter(word))?;
            match self.cell.cmpxchg(word, self::word(next), Full) {
                Ok(_) => return Ok(answer),
                Err(now) => word = now,
            }
        }
    }

    /// Has the daemon look at it.
    pub(super) fn look(&self) {
        self.block.look.store(true, Relaxed);
    }
}

/// The counter of a word in memory. There is no other word but by a defect; then the chunk is taken to need a sync.
fn counter(word: i16) -> Counter {
    let bytes = word.to_ne_bytes();
    Counter::from_word(u16::from_ne_bytes(bytes)).unwrap_or_else(|bad| {
        kernel::pr_warn_once!("{}\n", crate::log::Text(bad));
        Counter::loaded(md_core::bitmap::counter::Need::Needed)
    })
}

fn word(counter: Counter) -> i16 {
    i16::from_ne_bytes(counter.to_word().to_ne_bytes())
}

/// All counters of a bitmap.
pub(super) struct Counters {
    blocks: KVec<Block>,
    geometry: Geometry,
    /// Pages there are.
    used: Atomic<u64>,
}

impl Counters {
    /// Counters that are all clear.
    pub(super) fn new(geometry: Geometry) -> Result<Self> {
        let count = usize::try_from(geometry.counter_pages())?;
        let mut blocks = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let block = Block {
                cells: SetOnce::new(),
                look: Atomic::new(false),
            };
            blocks.push(block, GFP_KERNEL)?;
        }
        Ok(Self {
            blocks,
            geometry,
            used: Atomic::new(0),
        })
    }

    /// The counter of a chunk, if its page is there: without one it is clear.
    pub(super) fn find(&self, chunk: BitmapChunk) -> Option<Place<'_>> {
        let (block, index) = self.block(chunk)?;
        place(block, index, self.geometry.counters_per_page())
    }

    /// The counter of a chunk, whose page is made if it is not there. May sleep. `None` beyond the last chunk.
    pub(super) fn make(&self, chunk: BitmapChunk) -> Option<Place<'_>> {
        let (block, index) = self.block(chunk)?;
        let per_page = self.geometry.counters_per_page();
        loop {
            if let Some(place) = place(block, index, per_page) {
                return Some(place);
            }
            let cells = self.page(chunk).map_or_else(
                |_| Cells::Coarse([Atomic::new(0), Atomic::new(0)]),
                Cells::Fine,
            );
            // Somebody else may be faster; then theirs is used as soon as it is there.
            if block.cells.populate(cells) {
                self.used.fetch_add(1, Relaxed);
            }
        }
    }

    /// A page of counters, for the chunks there are.
    fn page(&self, chunk: BitmapChunk) -> Result<KVec<Atomic<i16>>> {
        let per_page = self.geometry.counters_per_page();
        let first = chunk.get() & !per_page.wrapping_sub(1);
        let count = self.geometry.chunks().saturating_sub(first).min(per_page);
        let count = usize::try_from(count)?;
        // A write must not wait for memory that only writing could free.
        let _no_io = NoIo::enter();
        let flags = GFP_KERNEL | __GFP_NOWARN;
        let mut cells = KVec::with_capacity(count, flags)?;
        for _ in 0..count {
            cells.push(Atomic::new(0), flags)?;
        }
        Ok(cells)
    }

    fn block(&self, chunk: BitmapChunk) -> Option<(&Block, usize)> {
        if chunk.get() >= self.geometry.chunks() {
            return None;
        }
        let per_page = self.geometry.counters_per_page();
        let block = usize::try_from(chunk.get().checked_div(per_page)?).ok()?;
        let index = usize::try_from(chunk.get() & per_page.wrapping_sub(1)).ok()?;
        Some((self.blocks.get(block)?, index))
    }

    /// Calls `act` with the first chunk and the counter of each that the daemon was told to look at.
    pub(super) fn for_each_marked(&self, mut act: impl FnMut(BitmapChunk, Place<'_>)) {
        for (index, block) in self.blocks.iter().enumerate() {
            if block.look.load(Relaxed) && block.look.xchg(false, Full) {
                self.for_each_of(index, block, &mut act);
            }
        }
    }

    /// Whether the daemon was told to look at any.
    pub(super) fn has_marked(&self) -> bool {
        self.blocks.iter().any(|block| block.look.load(Relaxed))
    }

    /// Calls `act` with each counter that the daemon was told to look at, and leaves it so.
    pub(super) fn peek_marked(&self, mut act: impl FnMut(Counter)) {
        for (index, block) in self.blocks.iter().enumerate() {
            if block.look.load(Relaxed) {
                self.for_each_of(index, block, &mut |_, place| act(place.load()));
            }
        }
    }

    /// Calls `act` with the first chunk and the counter of each that there is.
    pub(super) fn for_each(&self, mut act: impl FnMut(BitmapChunk, Place<'_>)) {
        for (index, block) in self.blocks.iter().enumerate() {
            self.for_each_of(index, block, &mut act);
        }
    }

    fn for_each_of(
        &self,
        index: usize,
        block: &Block,
        act: &mut impl FnMut(BitmapChunk, Place<'_>),
    ) {
        let per_page = self.geometry.counters_per_page();
        let first = u64::try_from(index).map_or(u64::MAX, |index| index.saturating_mul(per_page));
        let (cells, grain, stride) = match block.cells.as_ref() {
            None => return,
            Some(Cells::Fine(cells)) => (&cells[..], Grain::Chunk, 1),
            Some(Cells::Coarse(cells)) => (&cells[..], Grain::HalfPage, per_page >> 1),
        };
        for (cell, chunk) in cells.iter().zip((0..).map(|n| n * stride + first)) {
            let place = Place { block, cell, grain };
            act(BitmapChunk::new(chunk), place);
        }
    }

    /// Pages there are.
    pub(super) fn used_pages(&self) -> u64 {
        self.used.load(Relaxed)
    }
}

fn place(block: &Block, index: usize, per_page: u64) -> Option<Place<'_>> {
    let half = usize::try_from(per_page >> 1).ok()?;
    let (cell, grain) = match block.cells.as_ref()? {
        Cells::Fine(cells) => (cells.get(index)?, Grain::Chunk),
        Cells::Coarse(cells) => (cells.get(usize::from(index >= half))?, Grain::HalfPage),
    };
    Some(Place { block, cell, grain })
}
