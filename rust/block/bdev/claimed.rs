// SPDX-License-Identifier: GPL-2.0

//! Opening and claiming a device.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{BlockDevice, Target};
use crate::{bindings, block::major::DeviceNumber};
use core::{ops::Deref, ptr::NonNull};
use kernel::{error::from_err_ptr, ffi, prelude::*};

/// Who else may claim a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody.
    Exclusive,
    /// Others that claim it as shared: members of a container whose metadata is managed outside of the kernel.
    Shared,
}

/// What the block layer compares to know one holder from another: an address. Not empty, so that each has its own.
struct Holder(#[expect(dead_code, reason = "has only an address")] u8);

/// The holder of all shared claims.
static SHARED: Holder = Holder(0);

/// A device that we opened for reading and writing, and claimed. Dropping it gives it back. May sleep.
///
/// # Invariants
///
/// `file` is an open block device that this value closes; `bdev` is the device of `file`; `holder` is what an
/// exclusive claim was made with.
pub struct ClaimedDevice {
    file: NonNull<bindings::file>,
    bdev: NonNull<bindings::block_device>,
    holder: Option<KBox<Holder>>,
}

// SAFETY: A file may be closed by any task; all else is shared borrows of a `BlockDevice`, which is `Sync`.
unsafe impl Send for ClaimedDevice {}
// SAFETY: As above.
unsafe impl Sync for ClaimedDevice {}

impl ClaimedDevice {
    /// Opens and claims a device. May sleep.
    ///
    /// `ENXIO` when there is none, `EBUSY` when another holder has it, or what its driver says.
    pub fn open(number: DeviceNumber, claim: Claim) -> Result<Self> {
        let holder = match claim {
            Claim::Exclusive => Some(KBox::new(Holder(0), GFP_KERNEL)?),
            Claim::Shared => None,
        };
        let address: *const Holder = holder.as_deref().unwrap_or(&SHARED);
        let mode = bindings::kernel_ext_BLK_OPEN_READ | bindings::kernel_ext_BLK_OPEN_WRITE;
        // SAFETY: The address outlives the claim: it is a static, or owned by the value returned.
        let file = from_err_ptr(unsafe {
            bindings::bdev_file_open_by_dev(
                number.as_raw(),
                mode,
                address.cast_mut().cast::<ffi::c_void>(),
                core::ptr::null(),
            )
        })?;
        // SAFETY: The file was just opened as a block device.
        let bdev = unsafe { bindings::file_bdev(file) };
        // INVARIANT: Both were just obtained; neither is null when opening succeeds.
        Ok(Self {
            file: NonNull::new(file).ok_or(ENXIO)?,
            bdev: NonNull::new(bdev).ok_or(ENXIO)?,
            holder,
        })
    }

    /// How it was claimed.
    pub fn claim(&self) -> Claim {
        match self.holder {
            Some(_) => Claim::Exclusive,
            None => Claim::Shared,
        }
    }
}

impl Deref for ClaimedDevice {
    type Target = BlockDevice;

    #[inline(always)]
    fn deref(&self) -> &BlockDevice {
        // SAFETY: By the type invariant the device is open, and so alive.
        unsafe { BlockDevice::from_raw(self.bdev.as_ptr()) }
    }
}

impl Target for ClaimedDevice {
    #[inline(always)]
    fn device(&self) -> &BlockDevice {
        self
    }
}

impl Drop for ClaimedDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the file is ours to close. The claim ends in this call, before `holder` is
        // freed.
        unsafe { bindings::bdev_fput(self.file.as_ptr()) };
    }
}
