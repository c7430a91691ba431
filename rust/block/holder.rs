// SPDX-License-Identifier: GPL-2.0

//! The `holders` and `slaves` links between a disk and the devices below it.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{bdev::ClaimedDevice, disk::DiskRef};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*, sync::Arc};

/// The links of one device. Dropping it removes them, which must be done while the disk is in the system. May sleep.
///
/// # Invariants
///
/// `disk` was linked to `device`, and this value owns a reference to it.
pub struct HolderLink {
    device: Arc<ClaimedDevice>,
    disk: NonNull<bindings::gendisk>,
}

// SAFETY: Links may be removed, and disks released, by any task.
unsafe impl Send for HolderLink {}
// SAFETY: There is nothing to do with a shared borrow.
unsafe impl Sync for HolderLink {}

impl HolderLink {
    /// Links `device` below `disk`, which must have been added. May sleep.
    ///
    /// `EINVAL` when `device` is on `disk` itself, `ENODEV` when its disk is being removed.
    pub fn new(device: Arc<ClaimedDevice>, disk: &DiskRef) -> Result<Self> {
        let raw = disk.as_raw();
        // SAFETY: Both are alive.
        to_result(unsafe { bindings::bd_link_disk_holder(device.as_raw(), raw) })?;
        // SAFETY: The disk is alive.
        unsafe { bindings::get_device(&raw mut (*(*raw).part0).bd_device) };
        // INVARIANT: Just linked and referenced.
        Ok(Self {
            device,
            disk: NonNull::new(raw).ok_or(EINVAL)?,
        })
    }
}

impl Drop for HolderLink {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the two are linked and alive.
        unsafe { bindings::bd_unlink_disk_holder(self.device.as_raw(), self.disk.as_ptr()) };
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::put_disk(self.disk.as_ptr()) };
    }
}
