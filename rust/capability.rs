// SPDX-License-Identifier: GPL-2.0

//! What the calling task is allowed to do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use crate::bindings;

/// A capability of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `CAP_SYS_ADMIN`
    SysAdmin,
}

/// Whether the current task has `capability` in the initial user namespace. Task context only.
pub fn capable(capability: Capability) -> bool {
    let number = match capability {
        Capability::SysAdmin => bindings::CAP_SYS_ADMIN,
    };
    // SAFETY: An FFI call without requirements beyond task context.
    unsafe { bindings::capable(number as kernel::ffi::c_int) }
}
