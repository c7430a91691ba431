// SPDX-License-Identifier: GPL-2.0

//! The devices below a disk of ours: opening, claiming, and what can be asked of them.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

mod claimed;

pub use self::claimed::{Claim, ClaimedDevice};

use super::{disk::DiskRef, major::DeviceNumber};
use crate::{
    bindings,
    sysfs::{AsKobject, RawKobject},
};
use core::{ffi::CStr, fmt};
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};

/// Something that keeps a block device open for as long as it lives. Bios that are given one carry it until they end.
pub trait Target {
    /// The device.
    fn device(&self) -> &BlockDevice;
}

impl<T: Target> Target for Arc<T> {
    #[inline(always)]
    fn device(&self) -> &BlockDevice {
        T::device(self)
    }
}

/// A block device that is kept alive by somebody: a whole disk or a partition.
#[repr(transparent)]
pub struct BlockDevice(Opaque<bindings::block_device>);

// SAFETY: All methods take `&self`, and are thread-safe in C or read what does not change.
unsafe impl Send for BlockDevice {}
// SAFETY: As above.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// # Safety
    ///
    /// `raw` must be a device that lives for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::block_device) -> &'a Self {
        // SAFETY: By the precondition; the wrapper is transparent.
        unsafe { &*raw.cast() }
    }

    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::block_device {
        self.0.get()
    }

    /// A copy of one of the limits of the device's queue. Limits may change at any time, as in C.
    #[inline(always)]
    pub(crate) fn limit<V: Copy>(&self, field: fn(&bindings::queue_limits) -> V) -> V {
        // SAFETY: A device lives no longer than its queue.
        field(unsafe { &(*(*self.as_raw()).bd_queue).limits })
    }

    /// Its number.
    #[inline(always)]
    pub fn number(&self) -> DeviceNumber {
        // SAFETY: The number never changes.
        DeviceNumber::from_raw(unsafe { (*self.as_raw()).bd_dev })
    }

    /// Whether its disk is still there: a disk that is pulled out stays open, and fails all I/O.
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        // SAFETY: A device lives no longer than its disk.
        unsafe { bindings::disk_live((*self.as_raw()).bd_disk) }
    }

    /// The name of its directory in sysfs: the name in `/dev` with `!` for `/`.
    pub fn sysfs_name(&self) -> &CStr {
        // SAFETY: The object was named before anybody could find the device, and keeps that name.
        unsafe { CStr::from_char_ptr((*self.as_kobject().0).name) }
    }

    /// The name in `/dev`, as `%pg` prints it.
    pub fn name(&self) -> impl fmt::Display + '_ {
        Name(self)
    }

    /// The number of the partition; 0 for a whole disk.
    pub fn partition(&self) -> u8 {
        // SAFETY: The device is alive; the lower eight bits never change.
        let flags = unsafe { bindings::atomic_read(&raw const (*self.as_raw()).__bd_flags) };
        // The mask keeps eight bits.
        (flags & 0xff) as u8
    }

    /// The size in sectors of 512 bytes.
    #[inline]
    pub fn sectors(&self) -> u64 {
        // SAFETY: The device is alive; the size may change under us, as in C.
        unsafe { (&raw const (*self.as_raw()).bd_nr_sectors).read_volatile() }
    }

    /// Whether writing is refused, by the device or its disk.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: The device is alive.
        unsafe { bindings::kernel_ext_bdev_read_only(self.as_raw()) }
    }

    /// The smallest unit of transfer, in bytes.
    #[inline]
    pub fn logical_block_size(&self) -> u32 {
        self.limit(|limits| limits.logical_block_size)
    }

    /// The smallest unit that is written without a read first, in bytes.
    pub fn physical_block_size(&self) -> u32 {
        self.limit(|limits| limits.physical_block_size)
    }

    /// The preferred size of large transfers, in bytes; 0 when there is none.
    #[inline]
    pub fn optimal_io_size(&self) -> u32 {
        self.limit(|limits| limits.io_opt)
    }

    /// Whether it has a seek time.
    #[inline]
    pub fn is_rotational(&self) -> bool {
        self.limit(|limits| limits.features) & bindings::BLK_FEAT_ROTATIONAL != 0
    }

    /// Whether it has a volatile write cache that the user did not declare harmless.
    pub fn has_write_cache(&self) -> bool {
        self.limit(|limits| limits.features) & bindings::kernel_ext_BLK_FEAT_WRITE_CACHE != 0
            && self.limit(|limits| limits.flags)
                & bindings::kernel_ext_BLK_FLAG_WRITE_CACHE_DISABLED
                == 0
    }

    /// Whether the disk counts I/O.
    #[inline(always)]
    pub fn keeps_statistics(&self) -> bool {
        self.limit(|limits| limits.features) & bindings::kernel_ext_BLK_FEAT_IO_STAT != 0
    }

    /// The largest discard, in sectors; 0 when it has none.
    #[inline]
    pub fn max_discard_sectors(&self) -> u32 {
        self.limit(|limits| limits.max_discard_sectors)
    }

    /// The unit of discards, in bytes.
    pub fn discard_granularity(&self) -> u32 {
        self.limit(|limits| limits.discard_granularity)
    }

    /// The largest write-zeroes, in sectors; 0 when it has none.
    #[inline]
    pub fn max_write_zeroes_sectors(&self) -> u32 {
        self.limit(|limits| limits.max_write_zeroes_sectors)
    }

    /// Whether write-zeroes was found not to work, for the device to be taken as without it.
    pub fn disable_write_zeroes(&self) {
        // SAFETY: The device lives no longer than its queue; the racy store of a word is what C does.
        unsafe {
            (&raw mut (*(*self.as_raw()).bd_queue).limits.max_write_zeroes_sectors)
                .write_volatile(0);
        }
    }

    /// Whether both are on one disk.
    pub fn same_disk(&self, other: &Self) -> bool {
        // SAFETY: Both are alive; the disk of a device never changes.
        unsafe { core::ptr::eq((*self.as_raw()).bd_disk, (*other.as_raw()).bd_disk) }
    }

    /// The device of a whole disk.
    #[inline(always)]
    pub fn of_disk(disk: &DiskRef) -> &Self {
        // SAFETY: The device of the whole disk lives as long as the disk.
        unsafe { Self::from_raw((*disk.as_raw()).part0) }
    }

    /// The device of the whole disk; the same device when it is not a partition.
    pub fn whole(&self) -> &Self {
        // SAFETY: The disk of a live device is alive, and the device of the whole disk with it.
        unsafe { Self::from_raw((*(*self.as_raw()).bd_disk).part0) }
    }

    /// Sectors of all I/O that ended on the device since it appeared. Partitions are also counted on the whole.
    pub fn sectors_done(&self) -> u64 {
        // SAFETY: The device is alive.
        unsafe { bindings::kernel_ext_bdev_sectors_done(self.as_raw()) }
    }

    /// How many bios of the device are under way, as far as it counts them.
    pub fn in_flight(&self) -> u32 {
        // SAFETY: The device is alive.
        unsafe { bindings::bdev_count_inflight(self.as_raw()) }
    }

    /// Writes its page cache to it. May sleep.
    pub fn sync(&self) -> Result {
        // SAFETY: The device is alive.
        to_result(unsafe { bindings::sync_blockdev(self.as_raw()) })
    }

    /// Drops what is clean of its page cache. May sleep.
    pub fn invalidate(&self) {
        // SAFETY: The device is alive.
        unsafe { bindings::invalidate_bdev(self.as_raw()) };
    }
}

impl AsKobject for BlockDevice {
    fn as_kobject(&self) -> RawKobject {
        // SAFETY: The object is a part of the device, which is alive.
        RawKobject(unsafe { &raw mut (*self.as_raw()).bd_device.kobj })
    }
}

/// Prints as `%pg` does.
struct Name<'a>(&'a BlockDevice);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: The disk of a live device is alive.
        let disk = unsafe { DiskRef::from_raw((*self.0.as_raw()).bd_disk) };
        let name = disk.name().to_str().map_err(|_| fmt::Error)?;
        f.write_str(name)?;
        match self.0.partition() {
            0 => Ok(()),
            part if name.ends_with(|last: char| last.is_ascii_digit()) => write!(f, "p{part}"),
            part => write!(f, "{part}"),
        }
    }
}
