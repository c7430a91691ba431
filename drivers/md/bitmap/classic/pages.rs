// SPDX-License-Identifier: GPL-2.0

//! The bytes of a classic bitmap: superblock and bits, as they are to be on media, and what of that is.
//!
//! # Ordering
//!
//! [`FilePage::wanted`] is what media are to hold. A bit in [`FilePage::there`] is set only while it is set in `wanted`
//! and media say so too: a write to its chunk waits for nothing. Bits are cleared in both, and what is wanted is copied
//! for a write to media, only by who holds [`Pages::writing`] until that write has ended; so media do not lose a bit
//! that is in `there`.

use super::super::store::Store;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        lock::mutex::MutexGuard,
        Arc, Mutex,
    },
};
use kernel_ext::{
    alloc::{
        cells::CellPage,
        noio::NoIo,
        page::{PageBuf, PAGE_SECTORS},
    },
    block::sync_io::PagePart,
};
use md_core::{
    bitmap::geometry::ChunkSpan,
    format::{
        bitmap::{Bit, BitAt, BitOrder, SB_BYTES},
        BlockSize,
    },
    units::{BitmapChunk, Sectors, SECTOR_SHIFT},
};

const PAGE_BYTES: u64 = kernel::page::PAGE_SIZE as u64;

struct FilePage {
    wanted: Arc<CellPage>,
    there: CellPage,
    /// A bit for each block that is to be written.
    due: Atomic<u32>,
}

/// All pages of a bitmap.
pub(super) struct Pages {
    pages: KVec<FilePage>,
    order: BitOrder,
    /// Sectors of a block, in which media are written.
    block: u32,
    /// Sectors of superblock and bits.
    sectors: Sectors,
    writing: Pin<KBox<Mutex<Place>>>,
}

/// Whether these pages are what media are to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Held,
    /// Another bitmap takes it, or has: nothing of this one is written, whoever still uses it.
    Taken,
    /// Another was to take it, and did not. Media may hold any part of either.
    Displaced,
}

/// The right to write to media, and to clear bits.
pub(super) struct Writing<'a> {
    pages: &'a Pages,
    place: MutexGuard<'a, Place>,
}

/// A page as it was when its write began.
struct Sent {
    index: usize,
    copy: Arc<CellPage>,
    due: u32,
}

impl Pages {
    /// The pages of a bitmap of so many bytes, as they were read from media.
    pub(super) fn new(
        read: KVec<PageBuf>,
        bytes: u64,
        order: BitOrder,
        block: BlockSize,
    ) -> Result<Self> {
        let block = (block.bytes() >> SECTOR_SHIFT).clamp(1, PAGE_SECTORS);
        let sectors = Sectors::from_bytes_ceil(bytes);
        let mut pages = KVec::with_capacity(read.len(), GFP_KERNEL)?;
        for page in read {
            let there = CellPage::from(PageBuf::zeroed(GFP_KERNEL)?);
            there.store(0, &page[..]);
            let page = FilePage {
                wanted: Arc::new(CellPage::from(page), GFP_KERNEL)?,
                there,
                due: Atomic::new(0),
            };
            pages.push(page, GFP_KERNEL)?;
        }
        Ok(Self {
            pages,
            order,
            block,
            sectors,
            writing: KBox::pin_init(new_mutex!(Place::Held), GFP_KERNEL)?,
        })
    }

    /// Pages of `bytes` bytes with no bit set, and the superblock of another bitmap.
    pub(super) fn blank(other: &Self, bytes: u64, count: u64) -> Result<Self> {
        let mut pages = KVec::with_capacity(usize::try_from(count)?, GFP_KERNEL)?;
        for _ in 0..count {
            pages.push(PageBuf::zeroed(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let superblock = other.super_bytes();
        if let Some(to) = pages.first_mut().and_then(|page| page.get_mut(..SB_BYTES)) {
            to.copy_from_slice(&superblock);
        }
        let block = BlockSize::new(other.block << SECTOR_SHIFT).ok_or(EINVAL)?;
        Self::new(pages, bytes, other.order, block)
    }

    /// The page of a byte, and where in the page it is.
    fn page_of(&self, byte: u64) -> Option<(&FilePage, usize)> {
        let page = self.pages.get(usize::try_from(byte / PAGE_BYTES).ok()?)?;
        Some((page, usize::try_from(byte % PAGE_BYTES).ok()?))
    }

    /// The block of a byte of a page, as a bit of `due`.
    fn block_of(&self, at: usize) -> u32 {
        let sector = u32::try_from(at >> SECTOR_SHIFT).unwrap_or(0);
        1_u32.wrapping_shl(sector.checked_div(self.block).unwrap_or(0))
    }

    /// Wants the bit of a chunk set. Any context.
    pub(super) fn set(&self, chunk: BitmapChunk) {
        let at = BitAt::of(chunk, self.order);
        let Some((page, byte)) = self.page_of(at.byte) else {
            return;
        };
        replace(&page.wanted, byte, |old| old | at.mask);
        or(&page.due, self.block_of(byte));
    }

    /// Whether media say that the bit of a chunk is set. Any context.
    pub(super) fn is_there(&self, chunk: BitmapChunk) -> bool {
        let at = BitAt::of(chunk, self.order);
        self.page_of(at.byte)
            .is_some_and(|(page, byte)| page.there.load(byte) & at.mask != 0)
    }

    /// Whether the bit of a chunk is wanted.
    pub(super) fn get(&self, chunk: BitmapChunk) -> Bit {
        let at = BitAt::of(chunk, self.order);
        match self.page_of(at.byte) {
            Some((page, byte)) if page.wanted.load(byte) & at.mask != 0 => Bit::Dirty,
            _ => Bit::Clean,
        }
    }

    /// The superblock as it is to be.
    pub(super) fn super_bytes(&self) -> [u8; SB_BYTES] {
        let mut bytes = [0; SB_BYTES];
        if let Some(page) = self.pages.first() {
            page.wanted.read(0, &mut bytes);
        }
        bytes
    }

    /// Wants the bits of all chunks set.
    pub(super) fn set_all(&self, chunks: u64) {
        for chunk in 0..chunks {
            self.set(BitmapChunk::new(chunk));
        }
    }

    /// All is to be written.
    pub(super) fn touch_all(&self) {
        for page in &self.pages {
            page.due.store(u32::MAX, Release);
        }
    }

    /// Waits for who writes to media. May sleep.
    pub(super) fn writing(&self) -> Writing<'_> {
        Writing {
            pages: self,
            place: self.writing.lock(),
        }
    }
}

impl Writing<'_> {
    /// Clears the bits of chunks, unless `confirm` says otherwise once nobody can rely on them any more. Media do not
    /// change before [`Writing::write`].
    pub(super) fn clear(&self, chunks: ChunkSpan, confirm: impl FnOnce() -> bool) {
        for chunk in chunks.iter() {
            self.change(chunk, |page, byte, mask| {
                replace(&page.there, byte, |old| old & !mask);
                replace(&page.wanted, byte, |old| old & !mask);
            });
        }
        if confirm() {
            return;
        }
        // Media have them still; but who looked meanwhile found that they do not.
        for chunk in chunks.iter() {
            self.pages.set(chunk);
        }
    }

    fn change(&self, chunk: BitmapChunk, act: impl FnOnce(&FilePage, usize, u8)) {
        let at = BitAt::of(chunk, self.pages.order);
        if let Some((page, byte)) = self.pages.page_of(at.byte) {
            act(page, byte, at.mask);
            or(&page.due, self.pages.block_of(byte));
        }
    }

    /// Replaces the superblock, to be written next.
    pub(super) fn set_super(&self, bytes: &[u8; SB_BYTES]) {
        if let Some(page) = self.pages.pages.first() {
            page.wanted.store(0, bytes);
            or(&page.due, 1);
        }
    }

    /// Whether media hold this bitmap.
    pub(super) fn place(&self) -> Place {
        *self.place
    }

    /// Says whether they do.
    pub(super) fn set_place(&mut self, place: Place) {
        *self.place = place;
    }

    /// Brings to media what is due. May sleep.
    ///
    /// `EIO` when no member in sync took it; it stays due then, as with `ENOMEM`.
    pub(super) fn write(&self, store: &Store) -> Result {
        if self.place() == Place::Taken {
            return Ok(());
        }
        // What frees memory may wait for this.
        let _no_io = NoIo::enter();
        let mut sent = KVec::new();
        let result = self.send(store, &mut sent);
        for sent in &sent {
            let Some(page) = self.pages.pages.get(sent.index) else {
                continue;
            };
            match result {
                Ok(()) => self.arrived(page, sent),
                Err(_) => or(&page.due, sent.due),
            }
        }
        result
    }

    fn send(&self, store: &Store, sent: &mut KVec<Sent>) -> Result {
        let pages = &self.pages.pages;
        let mut batch = store.batch();
        for (index, page) in pages.iter().enumerate() {
            if page.due.load(Acquire) == 0 {
                continue;
            }
            // Before the page is taken off, so that it stays due when there is no memory.
            let mut copy = PageBuf::zeroed(GFP_KERNEL)?;
            sent.reserve(1, GFP_KERNEL)?;
            // Full: pairs with `set`; the copy has every bit whose block was due.
            let due = page.due.xchg(0, Full);
            page.wanted.read(0, &mut copy[..]);
            let copy = Arc::new(CellPage::from(copy), GFP_KERNEL).inspect_err(|_| {
                or(&page.due, due);
            })?;
            let parts = self.parts(index, due);
            let written = batch.write(u64::try_from(index)?, &copy, parts);
            sent.push(Sent { index, copy, due }, GFP_KERNEL)?;
            written?;
        }
        if sent.is_empty() {
            return Ok(());
        }
        batch.wait()
    }

    /// The blocks of a page that are due and hold something of the bitmap.
    fn parts(&self, index: usize, due: u32) -> impl Iterator<Item = PagePart> {
        let block = self.pages.block;
        let before = u64::try_from(index).map_or(u64::MAX, |index| {
            index.saturating_mul(PAGE_BYTES >> SECTOR_SHIFT)
        });
        let used = self.pages.sectors.get().saturating_sub(before);
        let blocks = PAGE_SECTORS.checked_div(block).unwrap_or(1);
        (0..blocks)
            .filter(move |number| due.wrapping_shr(*number) & 1 == 1)
            .map(move |number| number.saturating_mul(block))
            .filter(move |skip| u64::from(*skip) < used)
            .filter_map(move |skip| PagePart::new(skip, block))
    }

    /// What was sent is on media.
    fn arrived(&self, page: &FilePage, sent: &Sent) {
        let block = usize::try_from(self.pages.block).unwrap_or(1) << SECTOR_SHIFT;
        let blocks = kernel::page::PAGE_SIZE.checked_div(block).unwrap_or(1);
        for number in 0..blocks {
            if sent.due.wrapping_shr(u32::try_from(number).unwrap_or(0)) & 1 == 0 {
                continue;
            }
            for byte in (number * block..).take(block) {
                replace(&page.there, byte, |_| sent.copy.load(byte));
            }
        }
    }
}

/// Sets bits. A full barrier, whether they were set or not: who takes them off sees what was done before.
fn or(word: &Atomic<u32>, bits: u32) {
    let mut old = word.load(Relaxed);
    while let Err(now) = word.cmpxchg(old, old | bits, Full) {
        old = now;
    }
}

/// Changes a byte of a page.
fn replace(page: &CellPage, at: usize, change: impl Fn(u8) -> u8) {
    let mut old = page.load(at);
    loop {
        let new = change(old);
        if new == old {
            return;
        }
        match page.compare_exchange(at, old, new) {
            Ok(()) => return,
            Err(now) => old = now,
        }
    }
}
