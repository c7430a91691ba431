// SPDX-License-Identifier: GPL-2.0

//! Waiting for a condition that others make true.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use crate::bindings;
use kernel::{error::to_result, ffi, prelude::*, static_lock_class, time::Jiffies, types::Opaque};

/// A queue of tasks that wait.
///
/// Whoever makes a condition true must wake the queue afterwards; the wake-up orders the change before the check.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    raw: Opaque<bindings::wait_queue_head>,
}

// SAFETY: The queue has its own lock.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

/// Why a wait with a time limit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The condition is true.
    True,
    /// The time is over, and the condition is false.
    TimedOut,
}

/// How a task sleeps.
#[derive(Clone, Copy)]
struct Sleep {
    state: u32,
    /// Whether it counts as waiting for I/O.
    io: bool,
}

const PLAIN: Sleep = Sleep {
    state: bindings::TASK_UNINTERRUPTIBLE,
    io: false,
};
const IO: Sleep = Sleep { io: true, ..PLAIN };
const IDLE: Sleep = Sleep {
    state: bindings::TASK_IDLE,
    io: false,
};
const INTERRUPTIBLE: Sleep = Sleep {
    state: bindings::TASK_INTERRUPTIBLE,
    io: false,
};

/// As long as it takes.
const FOREVER: ffi::c_long = ffi::c_long::MAX;

impl WaitQueue {
    /// An empty queue.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|raw| {
                // SAFETY: `raw` is memory for a queue; name and lock class are static. The lock is taken last, so
                // that one class serves all queues.
                unsafe {
                    bindings::__init_waitqueue_head(raw, c"md".as_char_ptr(), static_lock_class!().as_ptr());
                }
            }),
        })
    }

    /// Sleeps until `condition` is true. It is called while the task is set to sleep, so it must not sleep itself.
    #[inline]
    pub fn wait(&self, condition: impl FnMut() -> bool) {
        // Cannot fail: no signal ends this sleep.
        let _ = self.until(PLAIN, FOREVER, condition);
    }

    /// As [`WaitQueue::wait`], counted as waiting for I/O.
    #[inline]
    pub fn wait_io(&self, condition: impl FnMut() -> bool) {
        // Cannot fail: no signal ends this sleep.
        let _ = self.until(IO, FOREVER, condition);
    }

    /// As [`WaitQueue::wait`], not counted as load.
    #[inline]
    pub fn wait_idle(&self, condition: impl FnMut() -> bool) {
        // Cannot fail: no signal ends this sleep.
        let _ = self.until(IDLE, FOREVER, condition);
    }

    /// As [`WaitQueue::wait`]; `ERESTARTSYS` when a signal came first.
    #[inline]
    pub fn wait_interruptible(&self, condition: impl FnMut() -> bool) -> Result {
        self.until(INTERRUPTIBLE, FOREVER, condition).map(|_| ())
    }

    /// As [`WaitQueue::wait`], for `limit` at most.
    pub fn wait_timeout(&self, limit: Jiffies, condition: impl FnMut() -> bool) -> Outcome {
        // No signal ends this sleep, so an error does not happen.
        self.until(PLAIN, ticks(limit), condition)
            .unwrap_or(Outcome::TimedOut)
    }

    /// As [`WaitQueue::wait_interruptible`], for `limit` at most.
    pub fn wait_interruptible_timeout(
        &self,
        limit: Jiffies,
        condition: impl FnMut() -> bool,
    ) -> Result<Outcome> {
        self.until(INTERRUPTIBLE, ticks(limit), condition)
    }

    #[inline]
    fn until(
        &self,
        how: Sleep,
        limit: ffi::c_long,
        mut condition: impl FnMut() -> bool,
    ) -> Result<Outcome> {
        if condition() {
            return Ok(Outcome::True);
        }
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is memory for an entry.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };
        let mut left = limit;
        let outcome = loop {
            // SAFETY: Queue and entry are alive; the entry is taken off below, before it goes out of scope. On a
            // signal the call takes it off itself.
            let signal = unsafe {
                bindings::prepare_to_wait_event(
                    self.raw.get(),
                    entry.get(),
                    how.state as ffi::c_int,
                )
            };
            if condition() {
                break Ok(Outcome::True);
            }
            if left == 0 {
                break Ok(Outcome::TimedOut);
            }
            if how.state == bindings::TASK_INTERRUPTIBLE {
                if let Err(error) = to_result(i32::try_from(signal).unwrap_or(0)) {
                    break Err(error);
                }
            }
            left = sleep(how, left);
        };
        // SAFETY: As above. This also sets the task to run, and does nothing to an entry that is off the queue.
        unsafe { bindings::finish_wait(self.raw.get(), entry.get()) };
        outcome
    }

    /// Wakes all.
    #[inline]
    pub fn wake_all(&self) {
        self.wake(0);
    }

    /// Wakes one.
    #[inline]
    pub fn wake_one(&self) {
        self.wake(1);
    }

    #[inline]
    fn wake(&self, count: ffi::c_int) {
        // SAFETY: The queue is alive; the call takes its lock with interrupts off.
        unsafe {
            bindings::__wake_up(
                self.raw.get(),
                bindings::TASK_NORMAL,
                count,
                core::ptr::null_mut(),
            );
        }
    }

    /// Whether anybody waits. Ordered after what the caller did before, so that `false` means that whoever comes
    /// later sees that.
    #[inline]
    pub fn has_sleeper(&self) -> bool {
        // SAFETY: The queue is alive.
        unsafe { bindings::kernel_ext_wq_has_sleeper(self.raw.get()) }
    }
}

/// A time that the scheduler can count down; one that is too long is for ever.
fn ticks(limit: Jiffies) -> ffi::c_long {
    ffi::c_long::try_from(limit).unwrap_or(FOREVER)
}

/// Sleeps until woken, or until `left` is over; what is left then.
#[inline]
fn sleep(how: Sleep, left: ffi::c_long) -> ffi::c_long {
    if how.io {
        // SAFETY: The task is prepared to sleep.
        unsafe { bindings::io_schedule_timeout(left) }
    } else {
        // SAFETY: As above.
        unsafe { bindings::schedule_timeout(left) }
    }
}
