// SPDX-License-Identifier: GPL-2.0

//! Keeps writes and resync out of each other's way.
//!
//! The array is cut into units of [`UNIT`] sectors, which share [`BUCKETS`] buckets. In one bucket there are either
//! writes or resync requests at any time. Reads take no part: resync writes what it has read.
//!
//! Neither starves the other: new writes wait behind a resync request that has been announced, and no resync request
//! is announced while writes wait. Who is in a bucket, or announced, holds a value whose drop ends that.

use super::Mirror;
use crate::array::live::Live;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        Arc,
    },
};
use kernel_ext::{
    alloc::mempool::Wait,
    sync::{gated::Entered, wait::WaitQueue},
};
use md_core::units::{Sector, Sectors};

/// Sectors of a unit of the array, 64 MiB: no write crosses the boundary between two.
pub(crate) const UNIT: u32 = 1 << 17;
const BUCKETS: u32 = 1024;

/// How much lies between a sector and the next boundary of a unit.
pub(super) fn left_in_unit(at: Sector) -> Sectors {
    let unit = u64::from(UNIT);
    Sectors::new(unit - at.get() % unit)
}

/// Who is about in a bucket: writes under way, writes that wait, and resync requests, each in bits of its own.
#[derive(Clone, Copy)]
struct Count(u64);

impl Count {
    const WRITE: u64 = 1;
    const WAITING: u64 = 1 << 24;
    const RESYNC: u64 = 1 << 44;

    const fn has_writes(self) -> bool {
        self.0 % Self::WAITING != 0
    }

    const fn has_waiting(self) -> bool {
        self.0 % Self::RESYNC >= Self::WAITING
    }

    const fn has_resync(self) -> bool {
        self.0 >= Self::RESYNC
    }
}

/// The buckets of an array.
pub(super) struct Barriers {
    buckets: KVec<Atomic<u64>>,
    changed: Arc<WaitQueue>,
}

impl Barriers {
    pub(super) fn new() -> Result<Self> {
        let mut buckets = KVec::with_capacity(BUCKETS as usize, GFP_KERNEL)?;
        for _ in 0..BUCKETS {
            buckets.push(Atomic::new(0), GFP_KERNEL)?;
        }
        Ok(Self {
            buckets,
            changed: Arc::pin_init(WaitQueue::new(), GFP_KERNEL)?,
        })
    }

    /// The bucket of a sector. Neighbouring units are in different ones.
    fn bucket(&self, at: Sector) -> Result<&Atomic<u64>> {
        let unit = at.get() / u64::from(UNIT);
        let index = usize::try_from(unit % u64::from(BUCKETS))?;
        self.buckets.get(index).ok_or(EINVAL)
    }

    /// Adds `what` unless `is_barred`.
    fn try_add(bucket: &Atomic<u64>, what: u64, is_barred: fn(Count) -> bool) -> bool {
        let mut count = bucket.load(Relaxed);
        while !is_barred(Count(count)) {
            // Full: what was written before the others left is seen by who comes after them.
            match bucket.cmpxchg(count, count.wrapping_add(what), Full) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    fn enter_write(&self, bucket: &Atomic<u64>, wait: Wait) -> Result {
        if Self::try_add(bucket, Count::WRITE, Count::has_resync) {
            return Ok(());
        }
        if wait == Wait::No {
            return Err(EAGAIN);
        }
        bucket.fetch_add(Count::WAITING, Full);
        loop {
            self.changed
                .wait_io(|| !Count(bucket.load(Acquire)).has_resync());
            // Stops waiting and goes in, in one step.
            let enters = Count::WRITE.wrapping_sub(Count::WAITING);
            if Self::try_add(bucket, enters, Count::has_resync) {
                self.changed.wake_all();
                return Ok(());
            }
        }
    }

    fn leave(&self, at: Sector, what: u64) {
        if let Ok(bucket) = self.bucket(at) {
            let before = Count(bucket.fetch_sub(what, Full));
            let matters = before.has_resync() || before.has_waiting();
            if matters {
                self.changed.wake_all();
            }
        }
    }

    /// Sleeps until `condition` is true, which may depend on buckets and on the requests of a resync.
    pub(super) fn wait(&self, condition: impl FnMut() -> bool) {
        self.changed.wait_idle(condition);
    }

    /// Where a resync waits, for who does not have the array at hand.
    pub(super) fn waiters(&self) -> Arc<WaitQueue> {
        self.changed.clone()
    }

    /// Something changed that a resync waits for. Any context.
    pub(super) fn wake(&self) {
        self.changed.wake_all();
    }
}

/// A write in a bucket, until this is dropped. It also keeps the array from changing.
pub(super) struct WritePass {
    live: Entered<Live>,
    at: Sector,
}

impl WritePass {
    /// Waits until no resync request is in the bucket of `at`, and goes in. May sleep if it may wait. `EAGAIN` when it
    /// must not and would, `EINVAL` for an array that is no mirror.
    pub(super) fn enter(live: &Entered<Live>, at: Sector, wait: Wait) -> Result<Self> {
        let barriers = &live.personality().mirror().ok_or(EINVAL)?.barriers;
        barriers.enter_write(barriers.bucket(at)?, wait)?;
        Ok(Self {
            live: live.clone(),
            at,
        })
    }

    /// The running array.
    pub(super) fn live(&self) -> &Entered<Live> {
        &self.live
    }

    /// The level at work.
    #[inline]
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.live.personality().mirror()
    }
}

impl AsRef<Live> for WritePass {
    #[inline]
    fn as_ref(&self) -> &Live {
        &self.live
    }
}

impl Drop for WritePass {
    #[inline]
    fn drop(&mut self) {
        if let Some(mirror) = self.mirror() {
            mirror.barriers.leave(self.at, Count::WRITE);
        }
    }
}

/// A resync request that is announced in a bucket, until this is dropped. It also keeps the array from changing.
pub(crate) struct ResyncPass {
    live: Entered<Live>,
    at: Sector,
}

impl ResyncPass {
    /// Announces a resync request at `at`; `None` while writes wait for others.
    pub(crate) fn announce(live: &Entered<Live>, at: Sector) -> Option<Self> {
        let barriers = &live.personality().mirror()?.barriers;
        let bucket = barriers.bucket(at).ok()?;
        Barriers::try_add(bucket, Count::RESYNC, Count::has_waiting).then(|| Self {
            live: live.clone(),
            at,
        })
    }

    /// Whether the writes that were under way have ended, so that the request may begin.
    pub(crate) fn is_clear(&self) -> bool {
        let bucket = self
            .mirror()
            .and_then(|mirror| mirror.barriers.bucket(self.at).ok());
        bucket.is_none_or(|bucket| !Count(bucket.load(Acquire)).has_writes())
    }

    /// The level at work.
    pub(crate) fn mirror(&self) -> Option<&Mirror> {
        self.live.personality().mirror()
    }

    /// The running array.
    pub(crate) fn live(&self) -> &Entered<Live> {
        &self.live
    }
}

/// Waits until no writes wait where a resync request is to be announced. May sleep.
pub(crate) fn let_through(live: &Entered<Live>, at: Sector) {
    let barriers = live.personality().mirror().map(|mirror| &mirror.barriers);
    let Some((barriers, Ok(bucket))) = barriers.map(|all| (all, all.bucket(at))) else {
        return;
    };
    barriers.wait(|| !Count(bucket.load(Acquire)).has_waiting());
}

impl Drop for ResyncPass {
    fn drop(&mut self) {
        if let Some(mirror) = self.mirror() {
            mirror.barriers.leave(self.at, Count::RESYNC);
        }
    }
}
