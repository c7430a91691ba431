// SPDX-License-Identifier: GPL-2.0

//! A counter of events with a queue of tasks that poll for the next one.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)

use crate::bindings;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::atomic::{Atomic, Full, Relaxed},
    types::Opaque,
};

/// Events that a polled file tells of.
///
/// # Invariants
///
/// `queue` is an initialised wait queue; it is boxed, so it stays in place.
pub struct Events {
    count: Atomic<i32>,
    closed: Atomic<bool>,
    queue: KBox<Opaque<bindings::wait_queue_head_t>>,
}

// SAFETY: A wait queue has its own lock; the rest are atomics.
unsafe impl Send for Events {}
// SAFETY: As above.
unsafe impl Sync for Events {}

const READABLE: bindings::__poll_t = bindings::POLLIN | bindings::POLLRDNORM;
const EXCEPTION: bindings::__poll_t = bindings::POLLERR | bindings::POLLPRI;

impl Events {
    /// No event yet.
    pub fn new() -> Result<Self> {
        let queue = KBox::new(Opaque::uninit(), GFP_KERNEL)?;
        // INVARIANT: Initialised here.
        // SAFETY: The box is memory of a wait queue; name and key are static.
        unsafe {
            bindings::__init_waitqueue_head(
                Opaque::get(&queue),
                c"md events".as_char_ptr(),
                static_lock_class!().as_ptr(),
            )
        };
        Ok(Self {
            count: Atomic::new(0),
            closed: Atomic::new(false),
            queue,
        })
    }

    /// How many events there were, wrapping.
    pub(super) fn count(&self) -> i32 {
        self.count.load(Relaxed)
    }

    /// Counts an event and wakes who polls. Any context.
    pub fn notify(&self) {
        // Full: the count is changed before the queue is looked at; pairs with the barrier of `poll_wait`.
        self.count.fetch_add(1, Full);
        self.wake();
    }

    fn wake(&self) {
        // SAFETY: The queue was initialised by `new` (type invariant).
        unsafe {
            bindings::__wake_up(
                self.queue.get(),
                bindings::TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }

    /// Sends every poller away and waits until the last has gone. May sleep. Pollers must still be able to call
    /// [`Events::poll`], as that is what tells them to go.
    pub(super) fn close(&self) {
        // Full: a poller that is on the queue too late to be seen below sees this; pairs with the barrier of
        // `poll_wait`.
        self.closed.xchg(true, Full);
        while self.has_sleepers() {
            self.wake();
            kernel::time::delay::fsleep(kernel::time::Delta::from_millis(1));
        }
        // The last one to leave may still be inside the queue's lock, which this takes.
        self.wake();
    }

    fn has_sleepers(&self) -> bool {
        let queue = self.queue.get();
        // SAFETY: The queue was initialised by `new`; a racy look at its list head is what `waitqueue_active` is.
        unsafe {
            let head = &raw const (*queue).head;
            core::ptr::read_volatile(&raw const (*head).next) != head.cast_mut()
        }
    }

    /// Registers the poller and tells whether there was an event since `seen`.
    ///
    /// # Safety
    ///
    /// `file` and `table` must be those of a running poll operation.
    pub(super) unsafe fn poll(
        &self,
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
        seen: i32,
    ) -> bindings::__poll_t {
        // SAFETY: The file and table are valid by the precondition. The queue outlives the registration: `close` waits
        // for it to end.
        unsafe { bindings::poll_wait(file, self.queue.get(), table) };
        if self.count() == seen && !self.closed.load(Relaxed) {
            READABLE
        } else {
            READABLE | EXCEPTION
        }
    }
}
