// SPDX-License-Identifier: GPL-2.0

//! What all kinds of bios have in common.

use super::{
    op::{Flags, Op},
    Part,
};
use crate::{
    alloc::mempool::Wait,
    bindings,
    block::{bdev::BlockDevice, status::Status},
};
use core::mem::MaybeUninit;
use kernel::types::Opaque;

/// The readable part of a bio that nobody else changes at this time, except that its status may turn into an error
/// while bios chained to it end.
#[repr(transparent)]
pub struct Head(Opaque<bindings::bio>);

impl Head {
    /// # Safety
    ///
    /// For `'a`, `raw` must be an initialised bio with a device, and only the holder of the borrow may change it.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::bio) -> &'a Self {
        // SAFETY: By the precondition; the wrapper is transparent.
        unsafe { &*raw.cast() }
    }

    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::bio {
        self.0.get()
    }

    #[inline(always)]
    fn opf(&self) -> bindings::blk_opf_t {
        // SAFETY: A `Head` is an initialised bio that does not change while it is borrowed.
        unsafe { (*self.0.get()).bi_opf }
    }

    /// The operation.
    #[inline(always)]
    pub fn op(&self) -> Op {
        Op::from_raw(self.opf())
    }

    /// Whether the operation changes the device: a write, a discard and the like.
    #[inline(always)]
    pub fn is_write(&self) -> bool {
        self.opf() & 1 != 0
    }

    /// The flags.
    #[inline(always)]
    pub fn flags(&self) -> Flags {
        Flags::from_raw(self.opf())
    }

    /// The first sector on the device, in units of 512 bytes.
    #[inline(always)]
    pub fn sector(&self) -> u64 {
        // SAFETY: As in `opf`.
        unsafe { (*self.0.get()).bi_iter.bi_sector }
    }

    /// The length in sectors of 512 bytes; zero for a flush.
    #[inline(always)]
    pub fn sectors(&self) -> u32 {
        // SAFETY: As in `opf`.
        unsafe { (*self.0.get()).bi_iter.bi_size >> 9 }
    }

    /// The sector after the last.
    #[inline(always)]
    pub fn end_sector(&self) -> u64 {
        self.sector().saturating_add(u64::from(self.sectors()))
    }

    /// Does `part` of the bio on `device` at `sector`, and waits for it. The bio itself stays as it is.
    ///
    /// `flags` are added to those of the bio.
    pub fn do_part(&self, part: Part, device: &BlockDevice, sector: u64, flags: Flags) -> Status {
        let fits = part.skip.checked_add(part.sectors);
        if part.sectors == 0 || fits.is_none_or(|end| end > self.sectors()) {
            return Status::INVALID;
        }
        let mut clone = MaybeUninit::<bindings::bio>::uninit();
        let raw = clone.as_mut_ptr();
        // SAFETY: `raw` is memory for a bio, the source is alive, and its vectors outlive the clone, which ends
        // below.
        let ret = unsafe {
            bindings::bio_init_clone(
                device.as_raw(),
                raw,
                self.as_raw(),
                bindings::kernel_ext_GFP_NOIO,
            )
        };
        if let Err(error) = kernel::error::to_result(ret) {
            return error.into();
        }
        // SAFETY: The clone is ours, and the part was checked to be inside it. An atomic one may be cut when it is
        // retried.
        unsafe {
            (*raw).bi_opf = ((*raw).bi_opf | flags.as_raw())
                & !Flags::ATOMIC
                    .with(Flags::NOWAIT)
                    .with(Flags::PREFLUSH)
                    .as_raw();
            bindings::bio_trim(raw, part.skip.into(), part.sectors.into());
            (*raw).bi_iter.bi_sector = sector;
        }
        // SAFETY: The clone is ready to be submitted; when this returns it has ended.
        unsafe { bindings::submit_bio_wait(raw) };
        // SAFETY: The clone has ended and is still initialised.
        let status = Status::from_raw(unsafe { (*raw).bi_status });
        // SAFETY: As above; this is the last use.
        unsafe { bindings::bio_uninit(raw) };
        status
    }

    /// Whether who handles it may wait.
    #[inline(always)]
    pub fn wait(&self) -> Wait {
        if self.flags().contains(Flags::NOWAIT) {
            Wait::No
        } else {
            Wait::Yes
        }
    }

    /// How it ended, or, before that, the first error of what is chained to it.
    #[inline(always)]
    pub fn status(&self) -> Status {
        // SAFETY: As in `opf`; volatile because ends of chained bios write it.
        Status::from_raw(unsafe { (&raw const (*self.0.get()).bi_status).read_volatile() })
    }

    /// The device it is for.
    #[inline(always)]
    pub fn device(&self) -> &BlockDevice {
        // SAFETY: A `Head` has a device, which lives as long as the bio is not ended.
        unsafe { BlockDevice::from_raw((*self.0.get()).bi_bdev) }
    }
}

/// Turns the status of a bio into `status` if that is an error and there was none.
///
/// # Safety
///
/// `raw` must be a bio that has not ended.
#[inline(always)]
pub(crate) unsafe fn merge_status(raw: *mut bindings::bio, status: Status) {
    if !status.is_ok() {
        // SAFETY: The bio is alive by the precondition.
        let place = unsafe { &raw mut (*raw).bi_status };
        // SAFETY: `place` is a live byte. A racing writer stores another error, and either will do.
        unsafe {
            if place.read_volatile() == Status::OK.as_raw() {
                place.write_volatile(status.as_raw());
            }
        }
    }
}

/// Bios that are still being set up.
pub(crate) mod sealed {
    use crate::bindings;

    /// # Safety
    ///
    /// `raw` must return an initialised bio that nobody but the implementor's exclusive borrower may change.
    pub unsafe trait Raw {
        /// The bio.
        fn raw(&self) -> *mut bindings::bio;
    }
}

/// What can be changed in a bio before it is submitted.
pub trait Setup: sealed::Raw {
    /// Sets the first sector on the device.
    #[inline(always)]
    fn set_sector(&mut self, sector: u64) {
        // SAFETY: The borrow is exclusive.
        unsafe { (*self.raw()).bi_iter.bi_sector = sector };
    }

    /// Adds flags.
    #[inline(always)]
    fn add_flags(&mut self, flags: Flags) {
        // SAFETY: The borrow is exclusive.
        unsafe { (*self.raw()).bi_opf |= flags.as_raw() };
    }

    /// Removes flags.
    #[inline(always)]
    fn clear_flags(&mut self, flags: Flags) {
        // SAFETY: The borrow is exclusive.
        unsafe { (*self.raw()).bi_opf &= !flags.as_raw() };
    }
}

impl<T: sealed::Raw> Setup for T {}
