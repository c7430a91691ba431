// SPDX-License-Identifier: GPL-2.0

//! Bios that come to a disk of ours.
//!
//! A [`Bio`] must be ended or passed on exactly once, so all that does so takes it by value; one that is dropped is
//! ended with an error. Bios that we make are in [`bio_set`](super::bio_set) and [`fan`](super::fan).
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

mod head;
mod op;

pub(crate) use self::head::{merge_status, sealed};
pub use self::{
    head::{Head, Setup},
    op::{Dataless, Direction, Flags, Op},
};

use super::{bdev::BlockDevice, status::Status};
use crate::bindings;
use core::{ops::Deref, ptr::NonNull};
use kernel::{ffi, pr_warn_once};

/// A part of a bio, relative to its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Sectors before the part.
    pub skip: u32,
    /// Sectors in the part.
    pub sectors: u32,
}

/// A bio that we own and have to end.
///
/// # Invariants
///
/// The bio has a device, was not ended by us, and only this value may change or end it.
#[must_use = "a bio that is dropped ends with an error"]
#[repr(transparent)]
pub struct Bio(NonNull<bindings::bio>);

// SAFETY: A bio may be ended from any task and from interrupts.
unsafe impl Send for Bio {}
// SAFETY: A shared borrow only reads.
unsafe impl Sync for Bio {}

impl Bio {
    /// # Safety
    ///
    /// `raw` must be a bio with a device that the caller owns and may end; ownership passes to the result.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the precondition.
        Self(raw)
    }

    /// Gives up the ownership without ending the bio.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<bindings::bio> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// Ends the bio. An error that a chained bio left takes precedence.
    ///
    /// What is chained to the bio may still be running: its submitter hears of it when the last of them has ended.
    #[inline(always)]
    pub fn end(self, status: Status) {
        let raw = self.into_raw().as_ptr();
        // SAFETY: By the type invariant the bio has not ended.
        unsafe { merge_status(raw, status) };
        // SAFETY: By the type invariant ending it is our right, and ownership was given up above.
        unsafe { bindings::bio_endio(raw) };
    }

    /// Splits the bio so that what is returned obeys the limits of its disk's queue; the rest is submitted to the
    /// disk again. `None` when that failed, and the bio was ended. May sleep.
    #[inline]
    pub fn split_to_limits(self) -> Option<Self> {
        // SAFETY: By the type invariant the bio is ours; the call consumes it.
        let front = unsafe { bindings::bio_split_to_limits(self.into_raw().as_ptr()) };
        // INVARIANT: The bio returned is ours to end; it is the same one, or a new one chained to it.
        NonNull::new(front).map(Self)
    }

    /// Keeps the first `sectors` and submits the rest to the disk again, which takes it up after the caller returns.
    /// The whole bio when it is not longer. `None` when the split failed, and the bio was ended. May sleep.
    ///
    /// The memory comes from the pool of the disk itself, which lives as long as bios can reach the disk.
    pub fn split_front(self, sectors: u32) -> Option<Self> {
        if sectors >= self.sectors() {
            return Some(self);
        }
        if sectors == 0 || self.flags().contains(Flags::ATOMIC) {
            self.end(Status::INVALID);
            return None;
        }
        let raw = self.into_raw().as_ptr();
        // SAFETY: The bio has a device, whose disk has a pool for splits from its allocation on.
        let pool = unsafe { &raw mut (*(*(*raw).bi_bdev).bd_disk).bio_split };
        // SAFETY: The bio is ours and longer than `sectors`; the call consumes it, and returns the front, chained
        // to it.
        let front = unsafe { bindings::bio_submit_split_bioset(raw, sectors, pool) };
        // INVARIANT: The front is ours to end.
        NonNull::new(front).map(Self)
    }

    /// Sends the bio on to `device` at `sector`. Its submitter hears from that device directly.
    ///
    /// The device must be kept open until then: for an array that is so because it cannot stop while it is open.
    #[inline]
    pub fn remap(self, device: &BlockDevice, sector: u64) {
        let (from, old) = (self.device().number(), self.sector());
        let raw = self.into_raw().as_ptr();
        // SAFETY: The bio is ours, and the device is alive.
        unsafe { bindings::kernel_ext_bio_set_dev(raw, device.as_raw()) };
        // SAFETY: The bio is ours.
        unsafe { (*raw).bi_iter.bi_sector = sector };
        // SAFETY: The bio is ours, and ownership passes to the block layer.
        unsafe { bindings::kernel_ext_submit_bio_remapped(raw, from.as_raw(), old) };
    }

    /// Submits the bio to its disk again. From within `submit_bio` that takes effect after it returns.
    pub fn resubmit(self) {
        // SAFETY: By the type invariant the bio is ours; ownership passes to the block layer.
        unsafe { bindings::submit_bio_noacct(self.into_raw().as_ptr()) };
    }

    /// Starts counting the bio in the statistics of its disk, if the disk keeps any.
    #[inline]
    pub fn start_accounting(&self) -> Accounting {
        if !self.device().keeps_statistics() {
            return Accounting(None);
        }
        // SAFETY: The bio is alive and has a device.
        Accounting(Some(unsafe {
            bindings::bio_start_io_acct(self.0.as_ptr())
        }))
    }
}

impl Deref for Bio {
    type Target = Head;

    #[inline(always)]
    fn deref(&self) -> &Head {
        // SAFETY: By the type invariant, for as long as `self` is borrowed.
        unsafe { Head::from_raw(self.0.as_ptr()) }
    }
}

// SAFETY: By the type invariant only the exclusive borrower of this value changes the bio.
unsafe impl sealed::Raw for Bio {
    #[inline(always)]
    fn raw(&self) -> *mut bindings::bio {
        self.0.as_ptr()
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        pr_warn_once!("a bio was dropped, not ended\n");
        // INVARIANT: The copy is the only one that is used from here on.
        Self(self.0).end(Status::IO_ERROR);
    }
}

/// The statistics of a bio in flight.
#[must_use = "a bio that is counted in must be counted out"]
pub struct Accounting(Option<ffi::c_ulong>);

impl Accounting {
    /// Counts the bio out; to be called just before it ends, while it still has its size.
    #[inline]
    pub fn end(self, bio: &Bio) {
        if let Some(start) = self.0 {
            // SAFETY: The bio is alive and has a device.
            unsafe {
                bindings::bio_end_io_acct_remapped(bio.0.as_ptr(), start, bio.device().as_raw())
            };
        }
    }
}
