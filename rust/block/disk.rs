// SPDX-License-Identifier: GPL-2.0

//! Disks whose driver takes bios directly (no request queue).
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{major::DeviceNumber, operations::Vtable};
use crate::{
    bindings,
    sysfs::{AsKobject, RawKobject},
};
use core::{ffi::CStr, fmt, marker::PhantomData, ops::Deref, ptr::NonNull};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
    static_lock_class,
    str::NullTerminatedFormatter,
    sync::Arc,
};

pub use super::operations::{
    check_media_change, Geometry, MediaChange, OpenDisk, Operations, ReadOnly,
};

/// Bytes of a disk's name, its terminating NUL included (`DISK_NAME_LEN`).
pub const NAME_LEN: usize = bindings::DISK_NAME_LEN as usize;

/// The device numbers of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The whole disk.
    pub first: DeviceNumber,
    /// How many minors the disk and its partitions have; further partitions get numbers elsewhere.
    pub minors: u32,
}

/// A disk that is present in the system. Dropping it removes it: nobody can open it any more, and what is left of it
/// goes when the last opener closes it.
///
/// # Invariants
///
/// `raw` was added; its `private_data` is an `Arc<T>` that `free_disk` gives back; this value owns one reference.
pub struct Disk<T: Operations> {
    raw: NonNull<bindings::gendisk>,
    _data: PhantomData<Arc<T>>,
}

// SAFETY: A disk may be used and removed from any task; the data is `Send` and `Sync` by its bound.
unsafe impl<T: Operations> Send for Disk<T> {}
// SAFETY: All methods that take `&self` are thread-safe in C.
unsafe impl<T: Operations> Sync for Disk<T> {}

/// A disk that is not yet in the system. Dropping it gives it up.
///
/// # Invariants
///
/// `raw` is an allocated disk that was not added; this value owns its only reference.
struct Unborn(NonNull<bindings::gendisk>);

impl Drop for Unborn {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours; a disk that was not added does not call `free_disk`.
        unsafe { bindings::put_disk(self.0.as_ptr()) };
    }
}

impl<T: Operations> Disk<T> {
    /// Adds a disk of capacity zero. May sleep, and may be opened before this returns.
    ///
    /// `EINVAL` when the name does not fit or the numbers do not, `EEXIST` when the name is taken.
    pub fn add(numbers: Numbers, name: fmt::Arguments<'_>, data: Arc<T>) -> Result<Self> {
        // SAFETY: No limits means the defaults; the lock class is static.
        let raw = from_err_ptr(unsafe {
            bindings::__blk_alloc_disk(
                core::ptr::null_mut(),
                bindings::NUMA_NO_NODE,
                static_lock_class!().as_ptr(),
            )
        })?;
        // INVARIANT: Just allocated.
        let unborn = Unborn(NonNull::new(raw).ok_or(ENOMEM)?);

        // SAFETY: Nobody else has the disk yet.
        let disk = unsafe { &mut *raw };
        disk.major = i32::try_from(numbers.first.major()).map_err(|_| EINVAL)?;
        disk.first_minor = i32::try_from(numbers.first.minor()).map_err(|_| EINVAL)?;
        disk.minors = i32::try_from(numbers.minors).map_err(|_| EINVAL)?;
        disk.fops = &Vtable::<T>::OPS;
        disk.events |= bindings::DISK_EVENT_MEDIA_CHANGE as u16;
        let mut writer = NullTerminatedFormatter::new(&mut disk.disk_name).ok_or(EINVAL)?;
        fmt::Write::write_fmt(&mut writer, name).map_err(|_| EINVAL)?;

        let data = Arc::into_raw(data);
        disk.private_data = data.cast_mut().cast();
        // SAFETY: The disk is set up, and its data lives until `free_disk`.
        let added = to_result(unsafe {
            bindings::device_add_disk(core::ptr::null_mut(), raw, core::ptr::null_mut())
        });
        if let Err(error) = added {
            // SAFETY: `free_disk` is only called for disks that were added, so the reference is still ours.
            drop(unsafe { Arc::from_raw(data) });
            return Err(error);
        }
        let raw = unborn.0;
        core::mem::forget(unborn);
        // INVARIANT: Just added; the only reference moves here.
        Ok(Self {
            raw,
            _data: PhantomData,
        })
    }
}

impl<T: Operations> Deref for Disk<T> {
    type Target = DiskRef;

    fn deref(&self) -> &DiskRef {
        // SAFETY: By the type invariant the disk is alive as long as this value.
        unsafe { DiskRef::from_raw(self.raw.as_ptr()) }
    }
}

impl<T: Operations> Drop for Disk<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the disk was added, and it is removed only here.
        unsafe { bindings::del_gendisk(self.raw.as_ptr()) };
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::put_disk(self.raw.as_ptr()) };
    }
}

impl<T: Operations> AsKobject for Disk<T> {
    fn as_kobject(&self) -> RawKobject {
        (**self).as_kobject()
    }
}

/// A live disk of any driver.
#[repr(transparent)]
pub struct DiskRef(kernel::types::Opaque<bindings::gendisk>);

impl DiskRef {
    /// # Safety
    ///
    /// `raw` must be a disk that lives for `'a`.
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::gendisk) -> &'a Self {
        // SAFETY: By the precondition; the wrapper is transparent.
        unsafe { &*raw.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::gendisk {
        self.0.get()
    }

    /// The name, as in `/dev`.
    pub fn name(&self) -> &CStr {
        // SAFETY: The name was terminated before the disk was added and never changes.
        unsafe { CStr::from_char_ptr((&raw const (*self.as_raw()).disk_name).cast()) }
    }

    /// Sets the capacity, in sectors of 512 bytes, and tells user space when it changed. May sleep.
    pub fn set_capacity_and_notify(&self, sectors: u64) {
        // SAFETY: The disk is alive; the call takes its own lock.
        unsafe { bindings::set_capacity_and_notify(self.as_raw(), sectors) };
    }

    /// Makes the whole disk read-only or writable, and tells user space when that changed. May sleep.
    pub fn set_read_only(&self, to: ReadOnly) {
        // SAFETY: The disk is alive.
        unsafe { bindings::set_disk_ro(self.as_raw(), to == ReadOnly::Yes) };
    }

    /// Tells user space that the disk changed (`KOBJ_CHANGE`). May sleep.
    pub fn notify_change(&self) {
        // SAFETY: The disk is alive and was added.
        unsafe {
            bindings::kobject_uevent(self.as_kobject().0, bindings::kobject_action_KOBJ_CHANGE)
        };
    }

    /// Writes the page cache of the disk to it. May sleep.
    pub fn sync(&self) -> Result {
        // SAFETY: The disk is alive, and its first partition, which is the whole disk, with it.
        to_result(unsafe { bindings::sync_blockdev((*self.as_raw()).part0) })
    }

    /// The logical block size, in bytes.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: The disk is alive, and its queue with it; a racy read of the limit is what C does.
        unsafe { (*(*self.as_raw()).queue).limits.logical_block_size }
    }
}

impl AsKobject for DiskRef {
    fn as_kobject(&self) -> RawKobject {
        // SAFETY: The disk is alive, and its first partition, which holds the device, with it.
        RawKobject(unsafe { &raw mut (*(*self.as_raw()).part0).bd_device.kobj })
    }
}
