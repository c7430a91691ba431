// SPDX-License-Identifier: GPL-2.0

//! A classic bitmap as it is found on media.

use super::{counters::Counters, pages::Pages, Classic};
use crate::{
    bitmap::{store::Store, Conditions, Setting},
    log::Text,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{atomic::Atomic, Arc},
};
use kernel_ext::{
    alloc::page::PageBuf,
    sync::{timer::jiffies, wait::WaitQueue},
};
use md_core::{
    bitmap::{
        classic::{Geometry, Header},
        counter::{Counter, Need},
        geometry::{ChunkShift, PageShift},
    },
    format::bitmap::{Bit, BitOrder, BitmapSb, Freshness, Kind},
    state::Health,
    units::{BitmapChunk, Events, Sector, Sectors},
};

/// `log2` of a page of memory.
const PAGE: PageShift = match PageShift::new(kernel::page::PAGE_SHIFT as u32) {
    Some(shift) => shift,
    None => PageShift::FOUR_KIB,
};

/// What a superblock says of the bits behind it.
struct Found {
    superblock: BitmapSb,
    geometry: Geometry,
    order: BitOrder,
    freshness: Freshness,
}

impl Classic {
    /// Reads a bitmap, and marks what it says as in need of a sync. May sleep.
    ///
    /// `EINVAL` when there is none of this array and of a version that is known, or when it does not fit; `EIO` when
    /// it cannot be read, or a stale one not be written.
    pub(in crate::bitmap) fn load(setting: Setting<'_>) -> Result<Arc<Self>> {
        let (name, block) = (setting.name, setting.block);
        let (resync_start, health, events) = (setting.resync_start, setting.health, setting.events);
        let (uuid, data) = (setting.uuid, setting.data);
        let store = Store::new(setting.carriers)?;
        let first = store.read(0)?;
        let found = Found::parse(name, &first, uuid, events, data)?;
        let bytes = found.geometry.bytes();
        if Sectors::from_bytes_ceil(bytes) > store.room() {
            pr_warn!("{name}: the bitmap does not fit between superblock and data\n");
            return Err(EINVAL);
        }
        let pages = read_rest(&store, first, found.geometry.file_pages())?;
        let pages = Pages::new(pages, bytes, found.order, block)?;
        let cleared = match found.freshness {
            Freshness::Fresh => found.superblock.events_cleared,
            Freshness::Stale => events,
        };
        let superblock = BitmapSb {
            events_cleared: cleared,
            ..found.superblock
        };
        let conditions = Conditions::new(health, events);
        let this = Self::made(conditions, found.geometry, pages, store, superblock)?;
        if found.freshness == Freshness::Stale {
            pr_warn!("{name}: the bitmap is out of date, everything is resynced\n");
            this.pages.set_all(this.geometry.chunks());
        }
        // Without a member to come back, or to be rebuilt, what is in sync need not be looked at for one.
        let start = match health {
            Health::Complete => resync_start,
            Health::Degraded => Sector::ZERO,
        };
        this.take_bits(start)?;
        Ok(this)
    }

    /// A bitmap of these pages, as its superblock says; no chunk has a counter yet.
    pub(super) fn made(
        conditions: Conditions,
        geometry: Geometry,
        pages: Pages,
        store: Store,
        superblock: BitmapSb,
    ) -> Result<Arc<Self>> {
        let sleep = u64::from(superblock.daemon_sleep_s.get()).saturating_mul(1000);
        Ok(Arc::new(
            Self {
                conditions,
                counters: Counters::new(geometry)?,
                geometry,
                pages,
                store,
                superblock: KBox::pin_init(new_spinlock!(superblock), GFP_KERNEL)?,
                cleared: Atomic::new(superblock.events_cleared.get()),
                cleared_due: Atomic::new(false),
                active: Atomic::new(false),
                daemon_ran: Atomic::new(jiffies()),
                daemon_sleep: Atomic::new(sleep),
                overflow: KBox::pin_init(WaitQueue::new(), GFP_KERNEL)?,
                checkpoint: Atomic::new(0),
                backlog: Atomic::new(superblock.write_behind),
                most_behind: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// Gives the chunks whose bit is set a counter.
    fn take_bits(&self, resync_start: Sector) -> Result {
        let length = self.chunk().get();
        for number in 0..self.geometry.chunks() {
            let chunk = BitmapChunk::new(number);
            if self.pages.get(chunk) == Bit::Clean {
                continue;
            }
            let end = number.saturating_add(1).saturating_mul(length);
            let need = if end >= resync_start.get() {
                Need::Needed
            } else {
                Need::None
            };
            self.mark(chunk, need)?;
        }
        Ok(())
    }

    /// A chunk has its bit set, and such a need. Nobody else knows of the bitmap yet.
    pub(super) fn mark(&self, chunk: BitmapChunk, need: Need) -> Result {
        let place = self.counters.make(chunk).ok_or(EINVAL)?;
        // Chunks that share a counter need what any of them does.
        let _ = place.update(|counter| {
            let merged = match (counter, need) {
                (Counter::Clear | Counter::Aged, _) => Counter::loaded(need),
                (set, Need::None) => set,
                (set, _) => set.needed(),
            };
            Ok::<_, core::convert::Infallible>((merged, ()))
        });
        place.look();
        // Those of chunks that share the counter are cleared with it, so they are set with it.
        let shared = self.geometry.shared(chunk, place.grain);
        for other in shared.iter().flat_map(|span| span.iter()) {
            if self.pages.get(other) == Bit::Clean {
                self.pages.set(other);
            }
        }
        self.active.store(true, kernel::sync::atomic::Release);
        Ok(())
    }
}

impl Found {
    fn parse(
        name: &str,
        page: &PageBuf,
        uuid: md_core::format::ident::Uuid,
        events: Events,
        data: Sectors,
    ) -> Result<Self> {
        let refuse = |why: &dyn core::fmt::Display| {
            pr_warn!("{name}: bitmap refused: {}\n", Text(why));
            EINVAL
        };
        let superblock = BitmapSb::parse(&page[..]).map_err(|why| refuse(&why))?;
        let (chunk, order) = match superblock.kind {
            Kind::HostEndian(chunk) => (chunk, BitOrder::Host),
            Kind::Classic(chunk) => (chunk, BitOrder::LittleEndian),
            Kind::Clustered { .. } => return Err(refuse(&"it is clustered")),
            Kind::Lockless(_) | Kind::LocklessFirstUse => {
                return Err(refuse(&"it is lockless"));
            }
        };
        let freshness = superblock
            .freshness(uuid, events)
            .map_err(|why| refuse(&why))?;
        let shift = ChunkShift::of(chunk.sectors()).ok_or(EINVAL)?;
        let geometry =
            Geometry::new(data, shift, PAGE, Header::Super).map_err(|why| refuse(&why))?;
        let write_error = superblock
            .state
            .contains(md_core::format::bitmap::StateBits::WRITE_ERROR);
        Ok(Self {
            superblock: BitmapSb {
                sync_size: data,
                ..superblock
            },
            geometry,
            order,
            freshness: if write_error {
                Freshness::Stale
            } else {
                freshness
            },
        })
    }
}

/// The pages behind the first.
fn read_rest(store: &Store, first: PageBuf, count: u64) -> Result<KVec<PageBuf>> {
    let mut pages = KVec::with_capacity(usize::try_from(count)?, GFP_KERNEL)?;
    pages.push(first, GFP_KERNEL)?;
    for page in 1..count {
        pages.push(store.read(page)?, GFP_KERNEL)?;
    }
    Ok(pages)
}
