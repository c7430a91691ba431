// SPDX-License-Identifier: GPL-2.0

//! Module parameters.

use crate::{
    array::registry::{Registry, Wanted},
    driver::DRIVER,
    error::OrErrno,
};
use kernel::{pr_warn_once, prelude::*};
use kernel_ext::params::{Bool, Command, Int, Number};
use md_core::words::{name::ArrayName, number::parse_positive_int};

/// New arrays start read-only until the first write. Decimal and not negative, unlike the other numbers.
pub(crate) static START_RO: Number = Number::new(0, start_ro);
/// Parity arrays that are both dirty and degraded are started.
pub(crate) static START_DIRTY_DEGRADED: Int = Int::new(0);
/// Opening a node whose array does not exist creates it.
pub(crate) static CREATE_ON_OPEN: Bool = Bool::new(true);
/// Stopping an array leaves its disk until the last close. mdadm turns this off.
pub(crate) static LEGACY_ASYNC_DEL_GENDISK: Bool = Bool::new(true);
/// Version 1 superblocks with unknown fields set are refused.
pub(crate) static CHECK_NEW_FEATURE: Bool = Bool::new(true);
/// Writing a name creates the array.
pub(crate) static NEW_ARRAY: Command = Command::new(new_array);

fn start_ro(text: &[u8]) -> Result<i32> {
    parse_positive_int(text).or_errno()
}

/// `new_array`: `mdN` or `md_NAME`.
///
/// `E2BIG` for a name that is too long, `EINVAL` for one that is none of these, `EEXIST` for one in use.
fn new_array(text: &[u8]) -> Result {
    let name = ArrayName::parse(text).or_errno()?;
    create(Wanted::by_name(name)?)
}

/// Creates an array, for whatever reason.
pub(super) fn create(wanted: Wanted) -> Result {
    // Parameters on the module's command line are set before there is a driver.
    let driver = DRIVER.get().ok_or(ENODEV)?;
    if LEGACY_ASYNC_DEL_GENDISK.get() {
        pr_warn_once!("legacy_async_del_gendisk is set: it is meant for mdadm before 4.5\n");
    }
    Registry::create(&driver.registry, wanted)
}
