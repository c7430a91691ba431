// SPDX-License-Identifier: GPL-2.0

//! Allocating without starting I/O.
//!
//! Whoever serves I/O must not wait for memory that only I/O can free. Between `NoIo::enter` and the drop of its
//! result, `GFP_KERNEL` means `GFP_NOIO` for the current task.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::bindings;
use kernel::{ffi, types::NotThreadSafe};

/// The current task allocates without starting I/O while this is alive. Scopes nest; they must end in reverse order,
/// which block structure gives when a value is not moved out of its block.
#[must_use = "the scope ends when this is dropped"]
pub struct NoIo {
    saved: ffi::c_uint,
    _not_send: NotThreadSafe,
}

impl NoIo {
    /// Starts the scope.
    #[inline]
    pub fn enter() -> Self {
        Self {
            // SAFETY: Changes a flag of the current task only.
            saved: unsafe { bindings::kernel_ext_memalloc_noio_save() },
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for NoIo {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The value is not `Send`, so this is the task that started the scope.
        unsafe { bindings::kernel_ext_memalloc_noio_restore(self.saved) };
    }
}
