// SPDX-License-Identifier: GPL-2.0

//! Numbers below `/proc/sys`.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use crate::{bindings, params::Int};
use core::{ffi::CStr, ptr::NonNull};
use kernel::prelude::*;

/// A registered directory of numbers. Dropping it removes them, waiting for running reads and writes.
///
/// # Invariants
///
/// `header` is what `register_sysctl_sz` returned for `entries`, which stay in place.
pub struct Table {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
}

// SAFETY: The table belongs to the sysctl core, which has its own lock; we only keep it alive.
unsafe impl Send for Table {}
// SAFETY: As above; there are no methods.
unsafe impl Sync for Table {}

impl Table {
    /// Registers `numbers` (any integer, signed, as `proc_dointvec` reads it) with file mode `mode` below
    /// `/proc/sys/<path>`. May sleep.
    pub fn register(
        path: &'static CStr,
        mode: u16,
        numbers: &[(&'static CStr, &'static Int)],
    ) -> Result<Self> {
        let mut entries = KVec::with_capacity(numbers.len(), GFP_KERNEL)?;
        for (name, value) in numbers {
            entries.push(
                bindings::ctl_table {
                    procname: name.as_char_ptr(),
                    data: value.as_ptr(),
                    maxlen: size_of::<kernel::ffi::c_int>() as kernel::ffi::c_int,
                    mode,
                    proc_handler: Some(bindings::proc_dointvec),
                    ..pin_init::zeroed()
                },
                GFP_KERNEL,
            )?;
        }
        // SAFETY: The entries are initialised, their names and values are static, and the vector's buffer does not
        // move while `Self` owns it.
        let header = unsafe {
            bindings::register_sysctl_sz(path.as_char_ptr(), entries.as_ptr(), entries.len())
        };
        // INVARIANT: As registered; null means that it was not.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: entries,
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the table is registered; this returns when nobody uses an entry any more.
        unsafe { bindings::unregister_sysctl_table(self.header.as_ptr()) };
    }
}
