// SPDX-License-Identifier: GPL-2.0

//! What a disk can be asked to do, and the C side of it.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{bio::Bio, disk::DiskRef};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::{from_result, to_result},
    ffi,
    prelude::*,
    sync::{Arc, ArcBorrow},
};

/// Whether writing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether partitions must be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaChange {
    /// They must.
    Changed,
    /// They need not.
    Same,
}

/// A disk geometry for tools that still ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Heads.
    pub heads: u8,
    /// Sectors a track.
    pub sectors: u8,
}

/// The driver of a bio-based disk. All functions but `submit_bio` and `release` may sleep.
pub trait Operations: Send + Sync + Sized + 'static {
    /// Takes over a bio for the disk. Runs in the submitting task, possibly with I/O of its own held back; it may sleep
    /// unless the bio says not to wait.
    fn submit_bio(this: ArcBorrow<'_, Self>, bio: Bio);

    /// Somebody opens the disk.
    fn open(this: ArcBorrow<'_, Self>, disk: &DiskRef) -> Result;

    /// An opener closed the disk. Must not wait for the disk's removal.
    fn release(this: ArcBorrow<'_, Self>);

    /// An ioctl that the block layer does not know; `argument` is a number or a user address.
    fn ioctl(
        this: ArcBorrow<'_, Self>,
        disk: OpenDisk<'_>,
        command: u32,
        argument: usize,
    ) -> Result;

    /// The argument of `command` as a 32-bit process passed it, as a 64-bit one would.
    fn compat_argument(command: u32, argument: usize) -> usize;

    /// Whether the media changed since this was last asked.
    fn check_events(this: ArcBorrow<'_, Self>) -> MediaChange;

    /// The geometry to report.
    const GEOMETRY: Geometry;

    /// The disk is about to be made read-only or writable by `BLKROSET`.
    fn set_read_only(this: ArcBorrow<'_, Self>, to: ReadOnly) -> Result;
}

/// The disk an ioctl came through.
#[derive(Clone, Copy)]
pub struct OpenDisk<'a> {
    bdev: *mut bindings::block_device,
    _borrow: PhantomData<&'a DiskRef>,
}

impl OpenDisk<'_> {
    /// Writes the page cache of the device to it. May sleep.
    pub fn sync(&self) -> Result {
        // SAFETY: The device is open for the duration of the ioctl.
        to_result(unsafe { bindings::sync_blockdev(self.bdev) })
    }
}

/// Has the block layer read the partitions again if the media changed. May sleep; to be called from `open`.
pub fn check_media_change(disk: &DiskRef) {
    // SAFETY: The disk is alive, and its open lock is held by the open that is running.
    unsafe { bindings::disk_check_media_change(disk.as_raw()) };
}

/// The C side of disks with data `T`.
pub(super) struct Vtable<T: Operations>(PhantomData<T>);

impl<T: Operations> Vtable<T> {
    pub(super) const OPS: bindings::block_device_operations = {
        // SAFETY: The structure consists of pointers that may be null.
        let mut ops: bindings::block_device_operations = unsafe { core::mem::zeroed() };
        ops.owner = (&raw const bindings::__this_module).cast_mut();
        ops.submit_bio = Some(Self::submit_bio);
        ops.open = Some(Self::open);
        ops.release = Some(Self::release);
        ops.ioctl = Some(Self::ioctl);
        ops.compat_ioctl = Some(Self::compat_ioctl);
        ops.getgeo = Some(Self::getgeo);
        ops.check_events = Some(Self::check_events);
        ops.set_read_only = Some(Self::set_read_only);
        ops.free_disk = Some(Self::free_disk);
        ops
    };

    /// # Safety
    ///
    /// `disk` must be a live disk made by `Disk::<T>::add`.
    unsafe fn data<'a>(disk: *mut bindings::gendisk) -> ArcBorrow<'a, T> {
        // SAFETY: The data is an `Arc<T>` that lives until `free_disk`.
        unsafe { ArcBorrow::from_raw((*disk).private_data.cast::<T>()) }
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.submit_bio`.
    unsafe extern "C" fn submit_bio(bio: *mut bindings::bio) {
        let Some(bio) = NonNull::new(bio) else {
            return;
        };
        // SAFETY: The block layer hands over a bio for a live disk of this type.
        let this = unsafe { Self::data((*(*bio.as_ptr()).bi_bdev).bd_disk) };
        // SAFETY: As above: the bio is ours to end.
        T::submit_bio(this, unsafe { Bio::from_raw(bio) });
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.open`.
    unsafe extern "C" fn open(
        disk: *mut bindings::gendisk,
        _mode: bindings::blk_mode_t,
    ) -> ffi::c_int {
        // SAFETY: The block layer passes a live disk of this type.
        let (this, disk) = unsafe { (Self::data(disk), DiskRef::from_raw(disk)) };
        from_result(|| T::open(this, disk).map(|()| 0))
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.release`.
    unsafe extern "C" fn release(disk: *mut bindings::gendisk) {
        // SAFETY: The block layer passes a live disk of this type.
        T::release(unsafe { Self::data(disk) });
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.ioctl`.
    unsafe extern "C" fn ioctl(
        bdev: *mut bindings::block_device,
        _mode: bindings::blk_mode_t,
        command: ffi::c_uint,
        argument: ffi::c_ulong,
    ) -> ffi::c_int {
        // SAFETY: The block layer passes an open device of a live disk of this type.
        let this = unsafe { Self::data((*bdev).bd_disk) };
        let disk = OpenDisk {
            bdev,
            _borrow: PhantomData,
        };
        from_result(|| T::ioctl(this, disk, command, argument).map(|()| 0))
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.compat_ioctl`.
    unsafe extern "C" fn compat_ioctl(
        bdev: *mut bindings::block_device,
        mode: bindings::blk_mode_t,
        command: ffi::c_uint,
        argument: ffi::c_ulong,
    ) -> ffi::c_int {
        let argument = T::compat_argument(command, argument);
        // SAFETY: The same preconditions.
        unsafe { Self::ioctl(bdev, mode, command, argument) }
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.getgeo`.
    unsafe extern "C" fn getgeo(
        disk: *mut bindings::gendisk,
        geometry: *mut kernel::bindings::hd_geometry,
    ) -> ffi::c_int {
        let Geometry { heads, sectors } = T::GEOMETRY;
        let geometry = geometry.cast::<bindings::hd_geometry>();
        let per_cylinder = u64::from(heads) * u64::from(sectors);
        // SAFETY: The block layer passes a live disk and a structure to fill.
        unsafe {
            let capacity = (*(*disk).part0).bd_nr_sectors;
            (*geometry).heads = heads;
            (*geometry).sectors = sectors;
            // The field has 16 bits, and always had: what does not fit is cut off.
            (*geometry).cylinders = capacity.checked_div(per_cylinder).unwrap_or(0) as u16;
        }
        0
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.check_events`.
    unsafe extern "C" fn check_events(
        disk: *mut bindings::gendisk,
        _clearing: ffi::c_uint,
    ) -> ffi::c_uint {
        // SAFETY: The block layer passes a live disk of this type.
        match T::check_events(unsafe { Self::data(disk) }) {
            MediaChange::Changed => bindings::DISK_EVENT_MEDIA_CHANGE,
            MediaChange::Same => 0,
        }
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.set_read_only`.
    unsafe extern "C" fn set_read_only(
        bdev: *mut bindings::block_device,
        read_only: bindings::bool_,
    ) -> ffi::c_int {
        // SAFETY: The block layer passes an open device of a live disk of this type.
        let this = unsafe { Self::data((*bdev).bd_disk) };
        let to = if read_only {
            ReadOnly::Yes
        } else {
            ReadOnly::No
        };
        from_result(|| T::set_read_only(this, to).map(|()| 0))
    }

    /// # Safety
    ///
    /// Only for `block_device_operations.free_disk`.
    unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
        // SAFETY: The disk was added by `Disk::<T>::add`, which stored an `Arc<T>`; this is called once, last.
        drop(unsafe { Arc::from_raw((*disk).private_data.cast::<T>()) });
    }
}
