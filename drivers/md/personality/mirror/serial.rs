// SPDX-License-Identifier: GPL-2.0

//! Writes that others wait for: those that end before slow members have them, and all if an administrator wants it so.
//! What waits for what is said by [`md_core::mirror::serial`].
//!
//! Ranges are noted with the lock held, by tasks; a range is forgotten by one store, in any context, so the lock is
//! never taken by who could be an interrupt. Who waits does so in its bucket: what it waits for is submitted already,
//! or waits for its marks only, and neither depends on it.

use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc, SpinLock,
    },
};
use kernel_ext::{alloc::mempool::Wait, sync::wait::WaitQueue};
use md_core::{
    mirror::{
        serial::{admit, Answer, Asks, Policy},
        write::{Pace, Readers},
    },
    units::{Sector, SectorRange, Sectors},
};

/// The most writes that others can wait for at a time.
const ROOM: u16 = 512;

/// A range that is written, or none.
struct Slot {
    start: Atomic<u64>,
    /// Zero for none.
    end: Atomic<u64>,
}

impl Slot {
    fn range(&self) -> Option<SectorRange> {
        let end = self.end.load(Acquire);
        let start = self.start.load(Relaxed);
        let length = end.checked_sub(start)?;
        SectorRange::new(Sector::new(start), Sectors::new(length))
    }
}

/// The writes of one array that others wait for.
#[pin_data]
pub(super) struct Serial {
    policy: Policy,
    slots: KVec<Slot>,
    /// Held by who notes a range: how many slots from the first one were ever in use since all were free.
    #[pin]
    noting: SpinLock<usize>,
    noted: Atomic<u32>,
    behind: Atomic<u32>,
    /// Reads that wait.
    readers: Atomic<u32>,
    #[pin]
    changed: WaitQueue,
}

/// A write that others wait for, until this is dropped. Any context.
pub(super) struct Ticket {
    serial: Arc<Serial>,
    slot: usize,
    pace: Pace,
}

impl Serial {
    pub(super) fn new(policy: Policy) -> Result<Arc<Self>> {
        let mut slots = KVec::with_capacity(usize::from(ROOM), GFP_KERNEL)?;
        for _ in 0..ROOM {
            let slot = Slot {
                start: Atomic::new(0),
                end: Atomic::new(0),
            };
            slots.push(slot, GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                policy,
                slots,
                noting <- new_spinlock!(0),
                noted: Atomic::new(0),
                behind: Atomic::new(0),
                readers: Atomic::new(0),
                changed <- WaitQueue::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Writes that are behind now.
    pub(super) fn behind(&self) -> u32 {
        self.behind.load(Relaxed)
    }

    /// Whether reads wait for them.
    pub(super) fn readers(&self) -> Readers {
        if self.readers.load(Relaxed) == 0 {
            Readers::None
        } else {
            Readers::Waiting
        }
    }

    fn is_quiet(&self) -> bool {
        // Acquire: who writes after another write was acknowledged sees that one here, or what it did.
        self.noted.load(Acquire) == 0
    }

    fn overlaps(&self, range: SectorRange) -> bool {
        let mut noted = self.slots.iter().filter_map(Slot::range);
        !self.is_quiet() && noted.any(|other| other.overlaps(range))
    }

    /// Has a write wait for those that it overlaps, and others for it if need be. `most` is how many may be behind.
    /// May sleep if it may wait; `EAGAIN` when it must not and would.
    #[inline]
    pub(super) fn enter(
        this: &Arc<Self>,
        range: SectorRange,
        pace: Pace,
        most: u32,
        wait: Wait,
    ) -> Result<Option<Ticket>> {
        if this.policy == Policy::Behind && pace == Pace::Together && this.is_quiet() {
            return Ok(None);
        }
        loop {
            match Self::try_enter(this, range, pace, most) {
                Ok(ticket) => return Ok(ticket),
                Err(Waits) if wait == Wait::No => return Err(EAGAIN),
                Err(Waits) => this.changed.wait_io(|| {
                    let has_room = this.noted.load(Acquire) < u32::from(ROOM);
                    has_room && !this.overlaps(range)
                }),
            }
        }
    }

    fn try_enter(
        this: &Arc<Self>,
        range: SectorRange,
        pace: Pace,
        most: u32,
    ) -> core::result::Result<Option<Ticket>, Waits> {
        let mut used = this.noting.lock();
        if this.is_quiet() {
            *used = 0;
        }
        let in_use = this.slots.iter().take(*used);
        let free = in_use
            .clone()
            .position(|slot| slot.end.load(Acquire) == 0)
            .unwrap_or(*used);
        let asks = Asks {
            policy: this.policy,
            pace,
            may_lag: this.behind() < most,
            has_room: free < usize::from(ROOM),
        };
        let pace = match admit(range, asks, in_use.filter_map(Slot::range)) {
            Answer::Wait => return Err(Waits),
            Answer::Go => return Ok(None),
            Answer::Noted(pace) => pace,
        };
        let slot = this.slots.get(free).ok_or(Waits)?;
        *used = (*used).max(free + 1);
        slot.start.store(range.start().get(), Relaxed);
        slot.end.store(range.end().get(), Release);
        this.noted.fetch_add(1, Full);
        if pace == Pace::Behind {
            this.behind.fetch_add(1, Relaxed);
        }
        Ok(Some(Ticket {
            serial: this.clone(),
            slot: free,
            pace,
        }))
    }

    /// A read of a member that writes are behind on waits for those that it overlaps. May sleep if it may wait;
    /// `EAGAIN` when it must not and would.
    pub(super) fn await_behind(&self, range: SectorRange, wait: Wait) -> Result {
        if !self.overlaps(range) {
            return Ok(());
        }
        if wait == Wait::No {
            return Err(EAGAIN);
        }
        self.readers.fetch_add(1, Relaxed);
        self.changed.wait_io(|| !self.overlaps(range));
        self.readers.fetch_sub(1, Relaxed);
        Ok(())
    }
}

/// A write that waits.
struct Waits;

impl Ticket {
    /// Whether the write may end before slow members have it.
    #[inline]
    pub(super) fn lags(&self) -> bool {
        self.pace == Pace::Behind
    }

    /// It ends when all members have it, after all.
    pub(super) fn keep_together(&mut self) {
        if self.lags() {
            self.pace = Pace::Together;
            self.serial.behind.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.keep_together();
        if let Some(slot) = self.serial.slots.get(self.slot) {
            // Release: who writes there next sees that the members have this one.
            slot.end.store(0, Release);
        }
        self.serial.noted.fetch_sub(1, Full);
        self.serial.changed.wake_all();
    }
}
