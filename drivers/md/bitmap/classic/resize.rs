// SPDX-License-Identifier: GPL-2.0

//! A classic bitmap for another size of its array.
//!
//! Chunks stay as long as they are while their bits fit; else they double, and each is marked that has a part that was.
//!
//! # Ordering
//!
//! What is written is not written at once, and bits mean other chunks when those double. So the superblock first says
//! that the bitmap is out of date, and takes it back when all bits are on media: after a crash in between, all is
//! resynced. When no member takes the new one, the old one stays at work, and media say that it is out of date until
//! they have all of it again.

use super::{
    pages::{Pages, Place, Writing},
    Classic,
};
use crate::bitmap::{store::Store, Conditions, Setting};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Relaxed},
        Arc,
    },
};
use md_core::{
    bitmap::counter::{Counter, Need},
    format::bitmap::{Bit, BitmapSb, ChunkSize, Kind, StateBits},
    units::{BitmapChunk, Events, Sector, SectorRange, Sectors},
};

impl Classic {
    /// One like this for `setting.data`. `ENOSPC` when it does not fit where this one is, `ENOMEM`.
    pub(super) fn for_size(&self, setting: Setting<'_>) -> Result<Arc<Self>> {
        let store = Store::new(setting.carriers)?;
        let mut superblock = *self.superblock.lock();
        let room = match superblock.reserved {
            Sectors::ZERO => store.room(),
            reserved => reserved.min(store.room()),
        };
        let geometry = self
            .geometry
            .resized(setting.data, room)
            .map_err(|_| EINVAL)?;
        let bytes = geometry.bytes();
        if Sectors::from_bytes_ceil(bytes) > room {
            pr_warn!("{}: there is no room for a larger bitmap\n", setting.name);
            return Err(ENOSPC);
        }
        let chunk = ChunkSize::from_sectors(geometry.chunk().length()).ok_or(EINVAL)?;
        superblock.sync_size = setting.data;
        superblock.events_cleared = Events::new(self.cleared.load(Acquire));
        superblock.kind = match superblock.kind {
            Kind::HostEndian(_) => Kind::HostEndian(chunk),
            _ => Kind::Classic(chunk),
        };
        let conditions = Conditions::new(setting.health, setting.events);
        let pages = Pages::blank(&self.pages, bytes, geometry.file_pages())?;
        let this = Self::made(conditions, geometry, pages, store, superblock)?;
        // It may be no whole number of seconds, as superblocks have it.
        let sleep = self.daemon_sleep.load(Relaxed);
        this.daemon_sleep.store(sleep, Relaxed);
        this.most_behind.store(self.most_behind(), Relaxed);
        this.take_marks(self)?;
        Ok(this)
    }

    /// Marks what is marked in `old`, and the space that it does not cover.
    fn take_marks(&self, old: &Self) -> Result {
        let length = old.geometry.chunk().length();
        for number in 0..old.geometry.chunks() {
            let chunk = BitmapChunk::new(number);
            if old.pages.get(chunk) == Bit::Clean {
                continue;
            }
            let need = match old.counters.find(chunk).map(|place| place.load()) {
                Some(
                    Counter::Clear
                    | Counter::Aged
                    | Counter::Set {
                        need: Need::None, ..
                    },
                ) => Need::None,
                // One without a counter would be a defect.
                Some(Counter::Set { .. }) | None => Need::Needed,
            };
            let start = Sector::new(number.saturating_mul(length.get()));
            self.mark_range(SectorRange::new(start, length), need)?;
        }
        let end = old.geometry.data();
        let new = self.geometry.data().get().checked_sub(end.get());
        let new = new.map(Sectors::new).filter(|new| !new.is_zero());
        let start = Sector::new(end.get());
        self.mark_range(
            new.and_then(|new| SectorRange::new(start, new)),
            Need::Needed,
        )
    }

    fn mark_range(&self, range: Option<SectorRange>, need: Need) -> Result {
        let chunks = range.and_then(|range| self.geometry.touched(range));
        for chunk in chunks.iter().flat_map(|span| span.iter()) {
            self.mark(chunk, need)?;
        }
        Ok(())
    }

    /// Takes the place of `old` on media. May sleep. `EIO` when no member takes it; then media are given `old` again.
    pub(super) fn take_place(&self, old: &Self) -> Result {
        old.make_way()?;
        self.replace_other().inspect_err(|_| {
            let mut writing = old.pages.writing();
            writing.set_place(Place::Displaced);
            // Who writes next tries again if this fails.
            let _ = old.write(&mut writing);
        })
    }

    /// Media say that this bitmap is out of date, and are given no more of it.
    fn make_way(&self) -> Result {
        let mut writing = self.pages.writing();
        // All of it first, if media hold something else: that ends with a superblock that believes it.
        self.write(&mut writing)?;
        self.put_super(&stale(self.super_now()), &writing);
        let result = self.write(&mut writing);
        match result {
            Ok(()) => writing.set_place(Place::Taken),
            Err(_) => self.compose_super(&writing),
        }
        result
    }

    /// Has media hold this bitmap, which say that it is out of date until they have all of it.
    fn replace_other(&self) -> Result {
        let writing = self.pages.writing();
        self.write_anew(&writing)?;
        self.compose_super(&writing);
        writing.write(&self.store)
    }

    /// No other has taken the place of this one after all: has media hold all bits again. The superblock that believes
    /// them is due then. May sleep.
    pub(super) fn come_back(&self, writing: &mut Writing<'_>) -> Result {
        // Some members may have the other, complete.
        self.put_super(&stale(self.super_now()), writing);
        writing.write(&self.store)?;
        self.write_anew(writing)?;
        writing.set_place(Place::Held);
        self.compose_super(writing);
        Ok(())
    }

    /// Writes all, and a superblock that says that it is out of date.
    fn write_anew(&self, writing: &Writing<'_>) -> Result {
        self.pages.touch_all();
        self.put_super(&stale(self.super_now()), writing);
        writing.write(&self.store)
    }
}

/// A superblock that says of its bits that they are out of date.
fn stale(superblock: BitmapSb) -> BitmapSb {
    BitmapSb {
        state: superblock.state.with(StateBits::STALE),
        ..superblock
    }
}
