// SPDX-License-Identifier: GPL-2.0

//! A lockless bitmap as it is found on media, or made when it is used for the first time.

use super::{daemon::Daemon, Core, Lockless, Page, Unit, BARRIER_IDLE};
use crate::{
    bitmap::{store::Store, Conditions, Setting},
    log::Text,
};
use core::ops::Range;
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{atomic::Atomic, Arc},
};
use kernel_ext::{alloc::page::PageBuf, sync::kthread::Thread};
use md_core::{
    bitmap::{
        cell::{initial, Action, Contents, Redundancy},
        geometry::{Area, Geometry, GeometryError, PageIndex, PageShift, HEADER_BYTES},
    },
    format::{
        bitmap::{BitmapSb, ChunkSize, Freshness, Kind, StateBits},
        BlockSize,
    },
    units::Sectors,
};

/// `log2` of a page of memory.
pub(super) const PAGE: PageShift = match PageShift::new(kernel::page::PAGE_SHIFT as u32) {
    Some(shift) => shift,
    None => PageShift::FOUR_KIB,
};

/// Sectors for a bitmap whose superblock does not say, as C md has it for version 1 superblocks.
const DEFAULT_SPACE: Sectors = Sectors::new(6);

impl Lockless {
    /// Reads the bitmap and starts its daemon. Nothing is written: what has to be is due. May sleep.
    ///
    /// `EINVAL` when media hold no lockless bitmap of this array, or one that does not fit it; `ENOSPC` when there is
    /// no room for one; `EIO` when no member can be read.
    pub(in super::super) fn load(setting: Setting<'_>) -> Result<Arc<Self>> {
        let name = setting.name;
        Self::with(name, Core::load(setting)?)
    }

    /// Starts the daemon of the bitmap of an array.
    pub(super) fn with(array: &str, core: Core) -> Result<Arc<Self>> {
        let name = CString::try_from_fmt(fmt!("{array}_bitmap"))?;
        let core = Arc::new(core, GFP_KERNEL)?;
        let daemon = Thread::start(&name, Daemon(core.clone()))?;
        Ok(Arc::new(Self { core, daemon }, GFP_KERNEL)?)
    }
}

impl Core {
    fn load(mut setting: Setting<'_>) -> Result<Self> {
        let name = setting.name;
        let store = Store::new(core::mem::take(&mut setting.carriers))?;
        let first = store.read(0)?;
        let refuse = |why: &dyn core::fmt::Display| pr_warn!("{name}: {}\n", Text(why));
        let mut header = BitmapSb::parse(&first[..]).map_err(|why| {
            refuse(&why);
            EINVAL
        })?;
        let freshness = header.freshness(setting.uuid, setting.events);
        let freshness = freshness.map_err(|why| {
            refuse(&why);
            EINVAL
        })?;
        let geometry = geometry(&header, setting.data, &store, setting.block);
        let geometry = geometry.map_err(|why| {
            refuse(&why);
            match why {
                GeometryError::NoSpace => ENOSPC,
                _ => EINVAL,
            }
        })?;
        header.sync_size = setting.data;
        if header.reserved.is_zero() {
            header.reserved = DEFAULT_SPACE.min(store.room());
        }
        let pages = pages(&geometry, |index| store.read(index))?;
        let first_use = (header.kind == Kind::LocklessFirstUse).then(|| contents(&header));
        let core = Self::made(&setting, store, geometry, pages, header)?;
        match first_use {
            Some(contents) => core.begin_anew(contents),
            None => core.judge(name, freshness),
        }
        Ok(core)
    }

    /// A bitmap of these pages, as its superblock says.
    pub(super) fn made(
        setting: &Setting<'_>,
        store: Store,
        geometry: Geometry,
        pages: KVec<Pin<KBox<Page>>>,
        header: BitmapSb,
    ) -> Result<Self> {
        Ok(Self {
            conditions: Conditions::new(setting.health, setting.events),
            geometry,
            redundancy: setting.redundancy,
            unit: Unit::of(setting.block.bytes())?,
            offset: setting.offset,
            pages,
            store,
            cleared: Atomic::new(header.forgotten_before(setting.events).get()),
            daemon_sleep: Atomic::new(header.daemon_sleep_s.get()),
            barrier_idle: Atomic::new(BARRIER_IDLE),
            barrier_idle_jiffies: Atomic::new(super::seconds(BARRIER_IDLE)),
            next: Atomic::new(0),
            fresh: Atomic::new(header.kind == Kind::LocklessFirstUse),
            header: KBox::pin_init(new_mutex!(header), GFP_KERNEL)?,
            cleaning: KBox::pin_init(new_mutex!(()), GFP_KERNEL)?,
        })
    }

    /// The bitmap is used for the first time: what media say of cells means nothing.
    fn begin_anew(&self, contents: Contents) {
        for page in &self.pages {
            page.fill(initial(self.redundancy, contents));
            page.mark_all(self.unit);
        }
    }

    /// What the cells mean now, after whatever happened since they were written.
    fn judge(&self, name: &str, freshness: Freshness) {
        let action = match freshness {
            Freshness::Fresh => Action::Reload,
            Freshness::Stale => {
                pr_warn!("{name}: the bitmap is out of date, all that was written is resynced\n");
                Action::Stale
            }
        };
        let asked = self.act(self.geometry.all(), action);
        if asked.strange {
            pr_warn!("{name}: bitmap bytes that are no state: their chunks will be synced\n");
        }
        if asked.pass {
            self.conditions.request_pass();
        }
    }
}

/// What a new bitmap is told of the members' data.
fn contents(header: &BitmapSb) -> Contents {
    if header.state.contains(StateBits::CLEAN) {
        Contents::AssumedClean
    } else {
        Contents::Unknown
    }
}

/// The geometry that a superblock says, or the one to begin with.
fn geometry(
    header: &BitmapSb,
    data: Sectors,
    store: &Store,
    block: BlockSize,
) -> core::result::Result<Geometry, GeometryError> {
    let room = store.room();
    let reserved = if header.reserved.is_zero() {
        DEFAULT_SPACE
    } else {
        header.reserved
    };
    let mut area = Area {
        data,
        space: reserved.min(room),
        page: PAGE,
        block,
    };
    match header.kind {
        Kind::LocklessFirstUse => Geometry::choose(&area),
        Kind::Lockless(chunk) => {
            // C md may use a little more than is reserved; what there is room for is as good.
            area.space = room;
            Geometry::stored(&area, chunk.sectors())
        }
        _ => Err(GeometryError::ChunkSize(Sectors::ZERO)),
    }
}

/// All pages, each made of what `page` has for its number.
pub(super) fn pages(
    geometry: &Geometry,
    page: impl Fn(u64) -> Result<PageBuf>,
) -> Result<KVec<Pin<KBox<Page>>>> {
    let count = usize::try_from(geometry.pages())?;
    let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
    for index in 0..geometry.pages() {
        let page = Page::new(page(index)?, cells_on(geometry, index)?)?;
        pages.push(page, GFP_KERNEL)?;
    }
    Ok(pages)
}

/// Which bytes of a page are cells.
fn cells_on(geometry: &Geometry, index: u64) -> Result<Range<usize>> {
    let Some(span) = geometry.chunks_on(PageIndex(index)) else {
        // The header may fill a page.
        let header = usize::try_from(HEADER_BYTES)?.min(PAGE_SIZE);
        return Ok(header..header);
    };
    let first = geometry.place(span.first()).ok_or(EINVAL)?.offset;
    let last = geometry.place(span.last()).ok_or(EINVAL)?.offset;
    Ok(usize::try_from(first)?..usize::try_from(last)? + 1)
}

/// The chunk size as a superblock says it.
pub(super) fn chunk_size(geometry: &Geometry) -> Option<ChunkSize> {
    ChunkSize::from_sectors(geometry.chunk().length())
}

/// Whether the redundancy of an array needs parity to be built.
pub(super) fn has_parity(redundancy: Redundancy) -> bool {
    redundancy == Redundancy::Parity
}
