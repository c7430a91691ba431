// SPDX-License-Identifier: GPL-2.0

//! A lockless bitmap for another size of its array.
//!
//! Chunks stay as long as they are while their cells fit; else they double as often as needed, and what becomes of the
//! cells is `md_core::bitmap::resize`. New space was never written.
//!
//! # Ordering
//!
//! Media are given the bridge between the cells, the header, the cells, each when all members have what is before
//! ([`Core::replace`]), so that either driver finds after a crash what it may believe. Nothing of the old bitmap is
//! written from the first of these on, whoever still uses it.

use super::{load, page::Asked, Core, Lockless};
use crate::{
    bitmap::{store::Store, Setting},
    log::Text,
};
use core::num::NonZeroU32;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Relaxed, Release},
        Arc,
    },
};
use kernel_ext::alloc::{cells::CellPage, page::PageBuf};
use md_core::{
    bitmap::{
        cell::{follow_up, Cell, Step},
        geometry::{Area, GeometryError, PageIndex, HEADER_BYTES},
        resize::Resize,
    },
    units::BitmapChunk,
};

const HEADER: usize = HEADER_BYTES as usize;

impl Lockless {
    /// One like this for `setting.data`; its cells are those of this one when it takes its place. `ENOSPC` when it does
    /// not fit where this one is, `ENOMEM`.
    pub(super) fn for_size(&self, setting: Setting<'_>) -> Result<Arc<Self>> {
        let name = setting.name;
        Self::with(name, self.core.for_size(setting)?)
    }

    /// Takes the place of `old` on media. May sleep. `EIO` when no member takes it.
    pub(super) fn take_place(&self, old: &Self) -> Result {
        let (new, old) = (&*self.core, &*old.core);
        let _cleaning = old.cleaning.lock();
        old.write_header()?;
        old.store.retire();
        new.replace(old).inspect_err(|_| old.stay())?;
        // What media do not take of this is due, and the bridge is there.
        let _ = new.write_due();
        self.answer(new.needs());
        Ok(())
    }
}

impl Core {
    fn for_size(&self, mut setting: Setting<'_>) -> Result<Self> {
        let store = Store::new(core::mem::take(&mut setting.carriers))?;
        let mut header = *self.header.lock();
        let area = Area {
            data: setting.data,
            space: header.reserved.min(store.room()),
            page: load::PAGE,
            block: setting.block,
        };
        let geometry = self.geometry.resized(&area).map_err(|why| {
            pr_warn!("{}: {}\n", setting.name, Text(why));
            match why {
                GeometryError::NoSpace
                | GeometryError::DataTooLarge
                | GeometryError::ChunkTooSmall { .. } => ENOSPC,
                GeometryError::NoData | GeometryError::ChunkSize(_) | GeometryError::BlockSize => {
                    EINVAL
                }
            }
        })?;
        header.sync_size = setting.data;
        header.daemon_sleep_s = NonZeroU32::new(self.daemon_sleep.load(Relaxed)).ok_or(EINVAL)?;
        let pages = load::pages(&geometry, |_| PageBuf::zeroed(GFP_KERNEL))?;
        let this = Self::made(&setting, store, geometry, pages, header)?;
        let idle = self.barrier_idle.load(Relaxed);
        this.barrier_idle.store(idle, Relaxed);
        this.barrier_idle_jiffies
            .store(super::seconds(idle), Relaxed);
        Ok(this)
    }

    /// Takes the cells of `old`, and has media hold either bitmap and then this one, but for cells that are due. An
    /// error when no member takes it.
    fn replace(&self, old: &Self) -> Result {
        let resize = Resize {
            from: old.geometry,
            to: self.geometry,
            redundancy: self.redundancy,
            fill: Cell::Unwritten,
        };
        self.take_cells(old, &resize);
        if resize.moves_cells() {
            self.write_bridge(old, &resize)?;
        }
        let mut header = self.header.lock();
        self.put_header(&mut header)
    }

    /// No other takes the place of this one. Media have cells that are true under both headers, and perhaps the other.
    fn stay(&self) {
        self.store.revive();
        for page in &self.pages {
            page.mark_all(self.unit);
        }
        let header = self.put_header(&mut self.header.lock());
        // Members that did not take it have failed.
        let _ = header.and_then(|()| self.write_due());
    }

    /// The cell of a chunk. One without a place would be a defect.
    fn cell_of(&self, chunk: BitmapChunk) -> Cell {
        self.place(chunk)
            .map_or(Cell::NeedSync, |(page, at)| page.cell(at))
    }

    fn take_cells(&self, old: &Self, resize: &Resize) {
        self.cleared.store(old.cleared.load(Acquire), Release);
        if let Some(page) = self.pages.first() {
            page.cells().store(0, &old.header_bytes());
        }
        let until = self.busy_until();
        for (index, page) in (0..).zip(&self.pages) {
            let chunks = self.geometry.chunks_on(PageIndex(index));
            let chunks = chunks.iter().flat_map(|span| span.iter());
            for (chunk, at) in chunks.zip(page.held()) {
                if let Some(cell) = resize.cell(chunk, |chunk| old.cell_of(chunk)) {
                    page.set_cell(at, cell);
                }
            }
            page.mark_all(self.unit);
            if page.has_dirty() {
                page.touch(until);
            }
        }
    }

    /// What is before the cells.
    fn header_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        if let Some(page) = self.pages.first() {
            page.cells().read(0, &mut bytes);
        }
        bytes
    }

    /// Writes what is true of both bitmaps where this one has cells; behind that only the old one has any.
    fn write_bridge(&self, old: &Self, resize: &Resize) -> Result {
        let mut batch = self.store.batch();
        for (index, page) in self.pages.iter().enumerate() {
            let end = old.pages.get(index).map_or(0, |page| page.held().end);
            let end = end.max(page.held().end);
            let mut bytes = PageBuf::zeroed(GFP_KERNEL)?;
            let start = index.saturating_mul(bytes.len());
            for (at, byte) in bytes.iter_mut().enumerate().take(end) {
                let number = start.saturating_add(at).checked_sub(HEADER);
                let number = number.map(|number| BitmapChunk::new(number as u64));
                let cell =
                    number.and_then(|number| resize.bridge(number, |chunk| old.cell_of(chunk)));
                *byte = cell.map_or(0, Cell::to_byte);
            }
            if let (0, Some(to)) = (index, bytes.get_mut(..HEADER)) {
                to.copy_from_slice(&old.header_bytes());
            }
            let cells = Arc::new(CellPage::from(bytes), GFP_KERNEL)?;
            let parts = self.unit.parts(self.unit.bits(&(0..end)));
            batch.write(u64::try_from(index)?, &cells, parts)?;
        }
        batch.wait()
    }

    /// What the cells ask for as they are.
    fn needs(&self) -> Asked {
        let env = self.env();
        let mut asked = Asked::NOTHING;
        for page in &self.pages {
            asked.daemon |= page.has_dirty();
            for at in page.held() {
                asked = asked.and(follow_up(page.cell(at), Step::Stay, &env).into());
            }
        }
        asked
    }
}
