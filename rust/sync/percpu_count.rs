// SPDX-License-Identifier: GPL-2.0

//! Counts what is lent out, without a shared cache line.
//!
//! [`Outstanding`] is what a pool keeps so that it can wait, when it is dropped, for the last element to come back.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::{ffi, prelude::*, time::delay::fsleep, time::Delta};

/// A counter with a cell for each CPU.
///
/// # Invariants
///
/// `cells` is a per-CPU allocation owned by this value. The sum of the cells is the number of lends without a return.
pub(crate) struct Outstanding {
    cells: NonNull<ffi::c_long>,
}

// SAFETY: The cells are changed only by per-CPU instructions, from any CPU.
unsafe impl Send for Outstanding {}
// SAFETY: As above.
unsafe impl Sync for Outstanding {}

impl Outstanding {
    /// A counter at zero.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: May sleep; has no other precondition.
        let cells = unsafe { bindings::kernel_ext_alloc_percpu_long() };
        // INVARIANT: Just allocated, and zeroed by the allocator.
        Ok(Self {
            cells: NonNull::new(cells).ok_or(ENOMEM)?,
        })
    }

    /// One more is lent out.
    #[inline(always)]
    pub(crate) fn lend(&self) {
        // SAFETY: By the type invariant the cells are alive.
        unsafe { bindings::kernel_ext_this_cpu_inc(self.cells.as_ptr()) };
    }

    /// One came back; the caller must not touch the pool afterwards.
    ///
    /// # Safety
    ///
    /// `this` must be alive until this call, and a `lend` of it must be open. The counter may be gone when this
    /// returns.
    #[inline(always)]
    pub(crate) unsafe fn take_back(this: NonNull<Self>) {
        // SAFETY: By the precondition the counter is alive, and stays so until the decrement shows.
        unsafe { bindings::kernel_ext_this_cpu_dec_release((*this.as_ptr()).cells.as_ptr()) };
    }

    /// Sleeps until everything is back. Nothing is lent any more, as the borrow is exclusive.
    pub(crate) fn wait(&mut self) {
        // A return that the sum misses only makes it larger, so zero means that all have returned.
        // SAFETY: By the type invariant the cells are alive.
        while unsafe { bindings::kernel_ext_percpu_sum(self.cells.as_ptr()) } != 0 {
            fsleep(Delta::from_millis(1));
        }
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the cells are ours.
        unsafe { bindings::kernel_ext_free_percpu(self.cells.as_ptr().cast()) };
    }
}
