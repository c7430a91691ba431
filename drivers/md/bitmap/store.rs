// SPDX-License-Identifier: GPL-2.0

//! Where a bitmap is kept: the same bytes on every member that carries it.
//!
//! Sectors are counted from the bitmap's superblock. What is written goes to all carriers at once, in a [`Batch`];
//! there is one batch at a time, so no two writes of a page are under way together. Nothing is written beyond the room
//! that a carrier has for it: behind that are data, a superblock or a bad-block log.
//!
//! # Ordering
//!
//! Each write is durable when it has ended (`FUA`). What must be durable before it, such as data that a mark was
//! about, is made so by [`Store::flush_caches`], on all carriers before any of them gets the write.

use super::Carrier;
use crate::{
    log::Text,
    member::{Health, Member},
};
use core::pin::Pin;
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        lock::mutex::MutexGuard,
        Arc, Mutex, SpinLock,
    },
};
use kernel_ext::{
    alloc::{
        cells::CellPage,
        page::{PageBuf, PAGE_SECTORS},
    },
    block::{
        bdev::{BlockDevice, Target},
        bio::{Dataless, Flags, Setup},
        bio_set::{BioSet, Complete, CompletedBio, NewBio},
        plug::plugged,
        sync_io::PagePart,
    },
    sync::wait::WaitQueue,
};
use md_core::units::{Sector, Sectors};

/// Writes that can be made without memory, one after the other. A page for vectors goes with each.
const RESERVE: u16 = 2;

/// Of each write.
const DURABLE: Flags = Flags::SYNC.with(Flags::META).with(Flags::FUA);

/// How far a batch is.
#[pin_data]
struct Progress {
    /// Writes under way, and one for whoever still submits.
    left: Atomic<i32>,
    #[pin]
    ended: WaitQueue,
}

impl Progress {
    fn end_one(&self) {
        // Full: what was written is on media for who sees that all have ended.
        if self.left.fetch_sub(1, Full) == 1 {
            self.ended.wake_all();
        }
    }
}

/// A write or a flush of one carrier.
struct Step {
    member: Arc<Member>,
    progress: Arc<Progress>,
}

impl Target for Step {
    fn device(&self) -> &BlockDevice {
        self.member.device()
    }
}

impl Complete for Step {
    fn complete(mut bio: CompletedBio<Self>) {
        let failed = !bio.status().is_ok();
        let step = bio.value();
        if failed {
            step.member.report_failure();
        }
        let progress = step.progress.clone();
        // The bio may be the last of its set, which goes when the batch has ended.
        drop(bio);
        progress.end_one();
    }
}

/// The carriers of a bitmap.
pub(super) struct Store {
    carriers: Pin<KBox<SpinLock<Arc<KVec<Carrier>>>>>,
    progress: Arc<Progress>,
    /// Held by the batch under way.
    turn: Pin<KBox<Mutex<()>>>,
    /// Nothing is written any more: written under `turn`.
    retired: Atomic<bool>,
    bios: BioSet<Step>,
}

impl Store {
    /// A bitmap on these members. May sleep.
    pub(super) fn new(carriers: KVec<Carrier>) -> Result<Self> {
        let carriers = Arc::new(carriers, GFP_KERNEL)?;
        let progress = pin_init!(Progress {
            left: Atomic::new(0),
            ended <- WaitQueue::new(),
        });
        Ok(Self {
            carriers: KBox::pin_init(new_spinlock!(carriers), GFP_KERNEL)?,
            progress: Arc::pin_init(progress, GFP_KERNEL)?,
            turn: KBox::pin_init(new_mutex!(()), GFP_KERNEL)?,
            retired: Atomic::new(false),
            bios: BioSet::new(RESERVE)?,
        })
    }

    /// The bitmap is on these members from now on. May sleep, waiting for a batch that is under way.
    pub(super) fn set_carriers(&self, carriers: KVec<Carrier>) -> Result {
        let carriers = Arc::new(carriers, GFP_KERNEL)?;
        let _turn = self.turn.lock();
        let before = core::mem::replace(&mut *self.carriers.lock(), carriers);
        // Not under the spin lock: it may be the last reference.
        drop(before);
        Ok(())
    }

    /// Whether a carrier is such.
    pub(super) fn has_carrier(&self, is: impl Fn(&Carrier) -> bool) -> bool {
        self.carriers().iter().any(is)
    }

    /// Another bitmap takes the place of this one: what anybody writes of it from now on goes nowhere. May sleep,
    /// waiting for a batch that is under way.
    pub(super) fn retire(&self) {
        let _turn = self.turn.lock();
        self.retired.store(true, Relaxed);
    }

    /// No other bitmap has taken its place after all.
    pub(super) fn revive(&self) {
        let _turn = self.turn.lock();
        self.retired.store(false, Relaxed);
    }

    fn carriers(&self) -> Arc<KVec<Carrier>> {
        self.carriers.lock().clone()
    }

    /// The least room that a carrier has.
    pub(super) fn room(&self) -> Sectors {
        let carriers = self.carriers();
        let rooms = carriers.iter().map(|carrier| carrier.room);
        rooms.min().unwrap_or(Sectors::ZERO)
    }

    /// Reads a page from the first carrier that is in sync and can read it; those that cannot have failed. May sleep.
    ///
    /// `EIO` when there is none. What lies beyond the room of the carrier reads as zeroes.
    pub(super) fn read(&self, page: u64) -> Result<PageBuf> {
        let mut buffer = PageBuf::zeroed(GFP_KERNEL)?;
        let carriers = self.carriers();
        let readable =
            |carrier: &&Carrier| carrier.in_sync && carrier.member.health() == Health::Working;
        for carrier in carriers.iter().filter(readable) {
            let Some((at, part)) = carrier.part_of(page) else {
                continue;
            };
            let device = carrier.member.device();
            let status = device.read_wait(at.get(), &mut buffer, part, Flags::META);
            if status.is_ok() {
                return Ok(buffer);
            }
            pr_warn!("{}: cannot read the bitmap\n", Text(device.name()));
            carrier.member.report_failure();
        }
        Err(EIO)
    }

    /// Starts a batch. May sleep, waiting for the one before.
    pub(super) fn batch(&self) -> Batch<'_> {
        let turn = self.turn.lock();
        self.progress.left.store(1, Relaxed);
        Batch {
            store: self,
            carriers: self.carriers(),
            _turn: turn,
        }
    }

    /// What all carriers in sync were given before is durable on them. May sleep.
    ///
    /// `EIO` when that is not so on one of them, `ENOMEM`: nothing may be forgotten then, as that one may come back
    /// and lack it. One whose failure is recorded does not count: the array is degraded, or has another in its place.
    pub(super) fn flush_caches(&self) -> Result {
        let mut batch = self.batch();
        let carriers = batch.carriers.clone();
        let count = |health| {
            let counts = |carrier: &&Carrier| carrier.in_sync && carrier.member.health() == health;
            carriers.iter().filter(counts).count()
        };
        let asked = count(Health::Working);
        let mut result = Err(EIO);
        if count(Health::Failing) == 0 {
            batch.flush()?;
            result = batch.wait();
        }
        if count(Health::Working) < asked {
            result = Err(EIO);
        }
        if result.is_err() {
            // No I/O of the array need come by to say so.
            for carrier in carriers.iter() {
                carrier.member.wake_thread();
            }
        }
        result
    }
}

impl Carrier {
    /// Where a page of the bitmap is on the device, and how much of it is there.
    fn part_of(&self, page: u64) -> Option<(Sector, PagePart)> {
        let skip = Sectors::new(page.checked_mul(u64::from(PAGE_SECTORS))?);
        let left = self.room.get().checked_sub(skip.get())?;
        let sectors = u32::try_from(left)
            .unwrap_or(PAGE_SECTORS)
            .min(PAGE_SECTORS);
        let at = self.start.checked_add(skip)?;
        PagePart::new(0, sectors).map(|part| (at, part))
    }

    /// Where `part` of a page of the bitmap is on the device; `None` when it is not wholly inside the room.
    fn place_of(&self, page: u64, part: PagePart) -> Option<Sector> {
        let (at, there) = self.part_of(page)?;
        let end = part.skip().checked_add(part.sectors())?;
        if end > there.sectors() {
            return None;
        }
        at.checked_add(Sectors::new(u64::from(part.skip())))
    }
}

/// Writes to all carriers. Dropping it waits for them.
#[must_use = "a batch is to be waited for"]
pub(super) struct Batch<'a> {
    store: &'a Store,
    carriers: Arc<KVec<Carrier>>,
    _turn: MutexGuard<'a, ()>,
}

impl Batch<'_> {
    /// Submits something to each carrier that works.
    fn each(&self, make: impl Fn(&Carrier, Step) -> Result<Option<NewBio<Step>>>) -> Result {
        if self.store.retired.load(Relaxed) {
            return Ok(());
        }
        for carrier in self.carriers.iter() {
            if carrier.member.health() != Health::Working {
                continue;
            }
            let step = Step {
                member: carrier.member.clone(),
                progress: self.store.progress.clone(),
            };
            let Some(mut bio) = make(carrier, step)? else {
                continue;
            };
            bio.add_flags(Flags::SYNC);
            self.store.progress.left.fetch_add(1, Relaxed);
            bio.submit();
        }
        Ok(())
    }

    /// Writes parts of a page, from the page of the bitmap it is. Not to be called by who submits I/O of the array,
    /// whose bios are held back until it returns.
    ///
    /// A carrier without room for it has failed. An error only when there is no memory for a bio.
    pub(super) fn write(
        &self,
        page: u64,
        cells: &Arc<CellPage>,
        parts: impl Iterator<Item = PagePart>,
    ) -> Result {
        for part in parts {
            plugged(|| {
                self.each(|carrier, step| {
                    let Some(at) = carrier.place_of(page, part) else {
                        let name = carrier.member.device().name();
                        pr_warn!("{}: no room for the bitmap\n", Text(name));
                        carrier.member.report_failure();
                        return Ok(None);
                    };
                    let mut bio = self.store.bios.write_cells(cells.clone(), part, step)?;
                    bio.set_sector(at.get());
                    bio.add_flags(DURABLE);
                    Ok(Some(bio))
                })
            })?;
        }
        Ok(())
    }

    fn flush(&self) -> Result {
        self.each(|_, step| self.store.bios.dataless(Dataless::Flush, 0, step).map(Some))
    }

    /// Waits for what was written so far. More can be written then, and goes after it.
    ///
    /// `EIO` when no carrier that is in sync has it all. Carriers without it have failed: the array's thread is to be
    /// woken.
    pub(super) fn wait(&mut self) -> Result {
        self.drain();
        self.store.progress.left.store(1, Relaxed);
        let kept =
            |carrier: &Carrier| carrier.in_sync && carrier.member.health() == Health::Working;
        if self.carriers.iter().any(kept) {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    fn drain(&self) {
        let progress = &self.store.progress;
        progress.end_one();
        // Acquire: pairs with `end_one`.
        progress.ended.wait_io(|| progress.left.load(Acquire) == 0);
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.drain();
    }
}
