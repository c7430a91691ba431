// SPDX-License-Identifier: GPL-2.0

//! `/proc/sys/dev/raid`: limits for arrays that have none of their own.

use kernel::prelude::*;
use kernel_ext::{params::Int, sysctl::Table};

/// KiB a second that resync gets even when the array is busy.
pub(crate) static SPEED_LIMIT_MIN: Int = Int::new(1000);
/// KiB a second that resync gets at most.
pub(crate) static SPEED_LIMIT_MAX: Int = Int::new(200_000);
/// Resync requests in flight while the array is busy.
pub(crate) static SYNC_IO_DEPTH: Int = Int::new(32);

/// Puts the limits below `/proc/sys/dev/raid`.
pub(crate) fn register() -> Result<Table> {
    Table::register(
        c"dev/raid",
        0o644,
        &[
            (c"speed_limit_min", &SPEED_LIMIT_MIN),
            (c"speed_limit_max", &SPEED_LIMIT_MAX),
            (c"sync_io_depth", &SYNC_IO_DEPTH),
        ],
    )
}
