// SPDX-License-Identifier: GPL-2.0

//! How a bio ended.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use crate::bindings;
use core::fmt;
use kernel::error::{Error, Result};

/// The outcome of a bio (`blk_status_t`): a newtype, not an enum, because the block layer may know more than we do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(u8);

impl Status {
    /// Success.
    pub const OK: Self = Self(bindings::kernel_ext_BLK_STS_OK);
    /// The device does not have this operation.
    pub const NOT_SUPPORTED: Self = Self(bindings::kernel_ext_BLK_STS_NOTSUPP);
    /// The device did not answer in time.
    pub const TIMEOUT: Self = Self(bindings::kernel_ext_BLK_STS_TIMEOUT);
    /// The (thinly provisioned) device is full.
    pub const NO_SPACE: Self = Self(bindings::kernel_ext_BLK_STS_NOSPC);
    /// The path to the device failed.
    pub const TRANSPORT: Self = Self(bindings::kernel_ext_BLK_STS_TRANSPORT);
    /// The device failed in a critical way.
    pub const TARGET: Self = Self(bindings::kernel_ext_BLK_STS_TARGET);
    /// The medium is bad at this place.
    pub const MEDIUM: Self = Self(bindings::kernel_ext_BLK_STS_MEDIUM);
    /// Data and its protection information disagree.
    pub const PROTECTION: Self = Self(bindings::kernel_ext_BLK_STS_PROTECTION);
    /// Out of memory or another resource.
    pub const RESOURCE: Self = Self(bindings::kernel_ext_BLK_STS_RESOURCE);
    /// Any other error.
    pub const IO_ERROR: Self = Self(bindings::kernel_ext_BLK_STS_IOERR);
    /// The bio must not wait, and would have had to.
    pub const AGAIN: Self = Self(bindings::kernel_ext_BLK_STS_AGAIN);
    /// The device is gone or going.
    pub const OFFLINE: Self = Self(bindings::kernel_ext_BLK_STS_OFFLINE);
    /// The size or the alignment is not possible on this device.
    pub const INVALID: Self = Self(bindings::kernel_ext_BLK_STS_INVAL);

    #[inline(always)]
    pub(crate) const fn from_raw(raw: bindings::blk_status_t) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) const fn as_raw(self) -> bindings::blk_status_t {
        self.0
    }

    /// Whether the bio succeeded.
    #[inline(always)]
    pub const fn is_ok(self) -> bool {
        self.0 == Self::OK.0
    }

    /// The first error of two outcomes.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, later: Self) -> Self {
        if self.is_ok() {
            later
        } else {
            self
        }
    }

    /// The outcome with the errno that user space would see.
    pub fn to_result(self) -> Result {
        // SAFETY: Any value is allowed; unknown ones become `EIO`, with a warning.
        kernel::error::to_result(unsafe { bindings::blk_status_to_errno(self.0) })
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        // SAFETY: Any errno is allowed; unknown ones become `IO_ERROR`.
        Self(unsafe { bindings::errno_to_blk_status(error.to_errno()) })
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blk_status {}", self.0)
    }
}
