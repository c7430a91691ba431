// SPDX-License-Identifier: GPL-2.0

//! The limits that a disk announces to those above it.
//!
//! [`Limits`] is built from defaults and the devices below, then applied; [`LimitsUpdate`] changes those in force.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{bdev::BlockDevice, disk::DiskRef};
use crate::bindings;
use core::{
    ffi::CStr,
    mem::MaybeUninit,
    ops::{BitOr, Deref, DerefMut},
};
use kernel::{error::to_result, prelude::*};

/// What a disk can do beyond reading and writing (`BLK_FEAT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Features(bindings::blk_features_t);

impl Features {
    /// It may have a volatile write cache, so flushes must reach it.
    pub const WRITE_CACHE: Self = Self(bindings::kernel_ext_BLK_FEAT_WRITE_CACHE);
    /// It takes writes that go through the cache.
    pub const FUA: Self = Self(bindings::kernel_ext_BLK_FEAT_FUA);
    /// It has a seek time.
    pub const ROTATIONAL: Self = Self(bindings::BLK_FEAT_ROTATIONAL);
    /// It counts its I/O itself.
    pub const IO_STAT: Self = Self(bindings::kernel_ext_BLK_FEAT_IO_STAT);
    /// It obeys [`Flags::NOWAIT`](super::bio::Flags::NOWAIT).
    pub const NOWAIT: Self = Self(bindings::kernel_ext_BLK_FEAT_NOWAIT);
    /// Data must not change while it is written.
    pub const STABLE_WRITES: Self = Self(bindings::kernel_ext_BLK_FEAT_STABLE_WRITES);
    /// It takes peer-to-peer memory of PCI devices.
    pub const PCI_P2PDMA: Self = Self(bindings::kernel_ext_BLK_FEAT_PCI_P2PDMA);
    /// It takes atomic writes.
    pub const ATOMIC_WRITES: Self = Self(bindings::kernel_ext_BLK_FEAT_ATOMIC_WRITES);
    /// Writes of less than a stripe are expensive.
    pub const PARTIAL_STRIPES_EXPENSIVE: Self =
        Self(bindings::kernel_ext_BLK_FEAT_RAID_PARTIAL_STRIPES_EXPENSIVE);
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A set of limits.
pub struct Limits(bindings::queue_limits);

impl Limits {
    /// The most generous limits, to be narrowed by stacking.
    pub fn stacking() -> Self {
        let mut raw = MaybeUninit::<bindings::queue_limits>::zeroed();
        // SAFETY: The call fills in a zeroed structure, for which zeroes are valid.
        unsafe { bindings::blk_set_stacking_limits(raw.as_mut_ptr()) };
        // SAFETY: All bytes are initialised, and any are valid.
        Self(unsafe { raw.assume_init() })
    }

    /// Adds features.
    pub fn add_features(&mut self, features: Features) -> &mut Self {
        self.0.features |= features.0;
        self
    }

    /// Removes features.
    pub fn remove_features(&mut self, features: Features) -> &mut Self {
        self.0.features &= !features.0;
        self
    }

    /// The smallest unit of transfer, in bytes.
    pub fn logical_block_size(&self) -> u32 {
        self.0.logical_block_size
    }

    /// Sets the smallest unit of transfer, in bytes.
    pub fn set_logical_block_size(&mut self, bytes: u32) -> &mut Self {
        self.0.logical_block_size = bytes;
        self
    }

    /// Sets the smallest unit that is written without a read first, in bytes.
    pub fn set_physical_block_size(&mut self, bytes: u32) -> &mut Self {
        self.0.physical_block_size = bytes;
        self
    }

    /// Sets the smallest preferred size of transfers, in bytes.
    pub fn set_io_min(&mut self, bytes: u32) -> &mut Self {
        self.0.io_min = bytes;
        self
    }

    /// The preferred size of large transfers, in bytes.
    pub fn io_opt(&self) -> u32 {
        self.0.io_opt
    }

    /// Sets the preferred size of large transfers, in bytes.
    pub fn set_io_opt(&mut self, bytes: u32) -> &mut Self {
        self.0.io_opt = bytes;
        self
    }

    /// Sets the unit, in sectors, that no bio crosses; 0 for none.
    pub fn set_chunk_sectors(&mut self, sectors: u32) -> &mut Self {
        self.0.chunk_sectors = sectors;
        self
    }

    /// Sets the largest transfer, in sectors.
    pub fn set_max_hw_sectors(&mut self, sectors: u32) -> &mut Self {
        self.0.max_hw_sectors = sectors;
        self
    }

    /// Sets the largest discard, in sectors; 0 for none.
    pub fn set_max_discard_sectors(&mut self, sectors: u32) -> &mut Self {
        self.0.max_hw_discard_sectors = sectors;
        self
    }

    /// Sets the unit of discards, in bytes.
    pub fn set_discard_granularity(&mut self, bytes: u32) -> &mut Self {
        self.0.discard_granularity = bytes;
        self
    }

    /// Sets the largest write-zeroes, in sectors, plain and by unmapping; 0 for none.
    pub fn set_max_write_zeroes_sectors(&mut self, sectors: u32) -> &mut Self {
        self.0.max_write_zeroes_sectors = sectors;
        self.0.max_hw_wzeroes_unmap_sectors = sectors;
        self
    }

    /// Narrows the limits to what `device` can do from sector `start` on. `disk` is named in warnings.
    pub fn stack(&mut self, device: &BlockDevice, start: u64, disk: &CStr) -> &mut Self {
        // SAFETY: The device is alive, and the name is terminated.
        unsafe {
            bindings::queue_limits_stack_bdev(
                &mut self.0,
                device.as_raw(),
                start,
                disk.as_char_ptr(),
            );
        }
        self
    }

    /// Takes over the protection information of `device`, which must be the same on all devices.
    ///
    /// `EINVAL` when it differs from that of those before; then there is none.
    pub fn stack_integrity(&mut self, device: &BlockDevice) -> Result {
        // SAFETY: The device is alive.
        let same = unsafe {
            bindings::kernel_ext_queue_limits_stack_integrity_bdev(&mut self.0, device.as_raw())
        };
        same.then_some(()).ok_or(EINVAL)
    }

    /// Puts the limits in force on `disk`. May sleep. `EINVAL` when they contradict each other.
    ///
    /// No bio may be under way in the disk, or the bio must not depend on what changes.
    pub fn apply(mut self, disk: &DiskRef) -> Result {
        // SAFETY: A live disk has a queue.
        let queue = unsafe { (*disk.as_raw()).queue };
        // SAFETY: The queue is alive.
        to_result(unsafe { bindings::queue_limits_set(queue, &mut self.0) })
    }
}

/// A change of the limits of `disk`; others wait meanwhile. Dropping it changes nothing.
///
/// # Invariants
///
/// The lock of the limits of the disk's queue is held by this value.
#[must_use = "an update that is dropped changes nothing"]
pub struct LimitsUpdate<'a> {
    disk: &'a DiskRef,
    limits: Limits,
    _not_send: kernel::types::NotThreadSafe,
}

impl<'a> LimitsUpdate<'a> {
    /// Starts a change from the limits in force. May sleep.
    pub fn start(disk: &'a DiskRef) -> Self {
        let mut raw = MaybeUninit::<bindings::queue_limits>::zeroed();
        // SAFETY: A live disk has a queue; the call takes its lock and fills in the structure.
        unsafe {
            bindings::kernel_ext_queue_limits_start_update(
                (*disk.as_raw()).queue,
                raw.as_mut_ptr(),
            );
        }
        // INVARIANT: The lock was just taken.
        Self {
            disk,
            // SAFETY: Just filled in.
            limits: Limits(unsafe { raw.assume_init() }),
            _not_send: kernel::types::NotThreadSafe,
        }
    }

    /// Puts the changed limits in force. `EINVAL` when they contradict each other.
    ///
    /// No bio may be under way in the disk, or the bio must not depend on what changes.
    pub fn commit(mut self) -> Result {
        // SAFETY: A live disk has a queue.
        let queue = unsafe { (*self.disk.as_raw()).queue };
        // SAFETY: By the type invariant the lock is held; the call releases it.
        let status = unsafe { bindings::queue_limits_commit_update(queue, &mut self.limits.0) };
        core::mem::forget(self);
        to_result(status)
    }
}

impl Deref for LimitsUpdate<'_> {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.limits
    }
}

impl DerefMut for LimitsUpdate<'_> {
    fn deref_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }
}

impl Drop for LimitsUpdate<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held; a live disk has a queue.
        unsafe { bindings::kernel_ext_queue_limits_cancel_update((*self.disk.as_raw()).queue) };
    }
}
