// SPDX-License-Identifier: GPL-2.0

//! Major numbers of block devices.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use core::{ffi::CStr, marker::PhantomData};
use kernel::{error::to_result, prelude::*};

/// The number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// `0..=4095`
    major: u32,
    /// `0..=MINOR_MAX`
    minor: u32,
}

/// The largest minor number (`MINORMASK`).
pub const MINOR_MAX: u32 = (1 << bindings::MINORBITS) - 1;

impl DeviceNumber {
    /// The device of this major and minor number, or `None` when the kernel's device number cannot hold them.
    pub const fn new(major: u32, minor: u32) -> Option<Self> {
        if minor > MINOR_MAX || major >= 1 << (32 - bindings::MINORBITS) {
            return None;
        }
        Some(Self { major, minor })
    }

    /// The device of a number as user space passes it (`new_decode_dev`: 12 bits of major, 20 of minor).
    pub const fn from_user(number: u32) -> Self {
        Self {
            major: (number & 0xfff00) >> 8,
            minor: (number & 0xff) | ((number >> 12) & 0xfff00),
        }
    }

    pub(crate) const fn from_raw(number: bindings::dev_t) -> Self {
        Self {
            major: number >> bindings::MINORBITS,
            minor: number & MINOR_MAX,
        }
    }

    #[allow(dead_code, reason = "for devices below an array")]
    pub(crate) const fn as_raw(self) -> bindings::dev_t {
        (self.major << bindings::MINORBITS) | self.minor
    }

    /// The major number.
    pub const fn major(self) -> u32 {
        self.major
    }

    /// The minor number.
    pub const fn minor(self) -> u32 {
        self.minor
    }
}

/// What happens when somebody opens a node of a major whose minor has no disk.
pub trait Probe: 'static {
    /// May create the disk. Runs in the opening task, under the lock of the list of majors; it may sleep, but may
    /// neither register nor unregister a major.
    fn probe(number: DeviceNumber);
}

/// A registered major number. Dropping it unregisters, waiting for a running probe.
///
/// # Invariants
///
/// `number` is registered under `name`.
pub struct Major<P: Probe> {
    number: u32,
    name: &'static CStr,
    _probe: PhantomData<fn(P)>,
}

impl<P: Probe> Major<P> {
    /// Registers `number`, or a free one when there is no number, as `name` in `/proc/devices`. May sleep.
    ///
    /// `EBUSY` when the number is taken.
    pub fn register(number: Option<u32>, name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is static and the function lives as long as the module.
        let status = unsafe {
            bindings::__register_blkdev(number.unwrap_or(0), name.as_char_ptr(), Some(Self::probe))
        };
        to_result(status.min(0))?;
        Ok(Self {
            // INVARIANT: With a number given the call returns zero, otherwise the number it chose.
            number: match number {
                Some(number) => number,
                None => u32::try_from(status).map_err(|_| EINVAL)?,
            },
            name,
            _probe: PhantomData,
        })
    }

    /// The major number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// # Safety
    ///
    /// Only as the probe function of a registered major.
    unsafe extern "C" fn probe(number: bindings::dev_t) {
        P::probe(DeviceNumber::from_raw(number));
    }
}

impl<P: Probe> Drop for Major<P> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the number is registered under this name.
        unsafe { bindings::unregister_blkdev(self.number, self.name.as_char_ptr()) };
    }
}
