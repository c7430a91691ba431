// SPDX-License-Identifier: GPL-2.0

//! What user space says to the driver and hears from it. Parses with `md_core::words`, then calls [`crate::array`].

pub(crate) mod disk;
mod ioctl;
pub(crate) mod mdstat;
pub(crate) mod params;
pub(crate) mod sysctl;
pub(crate) mod sysfs;
