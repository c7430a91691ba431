// SPDX-License-Identifier: GPL-2.0

//! The calendar clock.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::bindings;

/// Seconds since the epoch; zero before it. Any context.
pub fn real_seconds() -> u64 {
    // SAFETY: An FFI call without requirements.
    u64::try_from(unsafe { bindings::ktime_get_real_seconds() }).unwrap_or(0)
}
