// SPDX-License-Identifier: GPL-2.0

//! Work queues of one's own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{ffi::CStr, ops::Deref, ptr::NonNull};
use kernel::{prelude::*, workqueue::Queue};

/// A work queue that runs its work even when memory is short. Dropping it finishes what is queued.
///
/// # Invariants
///
/// The pointer is to a work queue that this value owns.
pub struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A work queue may be used and destroyed from any task.
unsafe impl Send for OwnedQueue {}
// SAFETY: Queueing is thread-safe.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Creates a queue whose workers run on any CPU (`WQ_MEM_RECLAIM | WQ_UNBOUND`). May sleep.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The format takes one C string.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                bindings::wq_flags_WQ_MEM_RECLAIM | bindings::wq_flags_WQ_UNBOUND,
                0,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: As allocated; null means that it was not.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// Waits until all work queued before the call has ended. May sleep; not from work of this queue.
    pub fn flush(&self) {
        // SAFETY: By the type invariant the queue is alive.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) };
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant the queue lives as long as `self` is borrowed.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is ours; this waits for its work.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
