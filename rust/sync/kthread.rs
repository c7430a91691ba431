// SPDX-License-Identifier: GPL-2.0

//! Threads that do what is to be done each time they are woken.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use super::wait::WaitQueue;
use crate::bindings;
use core::{ffi::CStr, marker::PhantomData, ptr::NonNull};
use kernel::{
    error::from_err_ptr,
    ffi,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Full, Relaxed},
        Arc,
    },
    time::Jiffies,
    types::NotThreadSafe,
};

/// A period that never ends.
const FOREVER: Jiffies = Jiffies::MAX;

/// What a thread does.
pub trait Work: Send + Sync + 'static {
    /// The thread was woken, or its time was over. Runs in the thread; may sleep.
    fn run(&self, me: &Me);
}

impl<W: Work> Work for Arc<W> {
    fn run(&self, me: &Me) {
        W::run(self, me);
    }
}

/// The thread, to the code that runs in it.
///
/// # Invariants
///
/// `period` is that of the thread, and outlives this.
pub struct Me {
    period: NonNull<Atomic<Jiffies>>,
    _not_send: NotThreadSafe,
}

impl Me {
    /// Whether the owner waits for the thread to end, so that a long run should return.
    #[inline]
    pub fn should_stop(&self) -> bool {
        // SAFETY: A `Me` exists in kernel threads only.
        unsafe { bindings::kthread_should_stop() }
    }

    /// Whether somebody sent `SIGKILL`, the only signal that arrives.
    #[inline]
    pub fn signal_pending(&self) -> bool {
        // SAFETY: Asks about the current task.
        unsafe { bindings::kernel_ext_signal_pending() }
    }

    /// Has the thread run again after `period` at the latest, or only when it is woken. In force until told otherwise.
    pub fn set_period(&self, period: Option<Jiffies>) {
        // SAFETY: By the type invariant.
        let own = unsafe { self.period.as_ref() };
        // Relaxed: a number by itself, read by this task.
        own.store(period.unwrap_or(FOREVER), Relaxed);
    }

    /// Forgets signals. They are also forgotten before each run.
    pub fn flush_signals(&self) {
        // SAFETY: Changes the current task only.
        unsafe { bindings::kernel_ext_flush_signals() };
    }
}

/// What thread and owner share.
#[pin_data]
struct Shared<W: Work> {
    #[pin]
    queue: WaitQueue,
    woken: AtomicFlag,
    /// In jiffies; the largest is for ever.
    period: Atomic<Jiffies>,
    work: W,
}

/// Wakes a thread from anywhere, interrupts included; does nothing after the thread ended.
pub struct Waker<W: Work>(Arc<Shared<W>>);

impl<W: Work> Clone for Waker<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Work> Waker<W> {
    /// Has the thread run once more, from now on.
    #[inline]
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl<W: Work> Shared<W> {
    #[inline]
    fn wake(&self) {
        // Full: what the caller did before is seen by the run, which takes the flag by an exchange.
        if !self.woken.xchg(true, Full) {
            self.queue.wake_all();
        }
    }
}

/// A thread. Dropping it asks it to end and waits for that; not to be done from within.
///
/// # Invariants
///
/// `task` is a kernel thread that ends only when it is asked to, which only this does; `shared` is what it was given.
pub struct Thread<W: Work> {
    task: NonNull<bindings::task_struct>,
    shared: Arc<Shared<W>>,
    _work: PhantomData<W>,
}

// SAFETY: A thread may be stopped by any task.
unsafe impl<W: Work> Send for Thread<W> {}
// SAFETY: A shared borrow can only wake, which is thread-safe.
unsafe impl<W: Work> Sync for Thread<W> {}

impl<W: Work> Thread<W> {
    /// Starts a thread that waits to be woken. May sleep.
    pub fn start(name: &CStr, work: W) -> Result<Self> {
        let shared = Arc::pin_init(
            pin_init!(Shared {
                queue <- WaitQueue::new(),
                woken: AtomicFlag::new(false),
                period: Atomic::new(FOREVER),
                work,
            }),
            GFP_KERNEL,
        )?;
        let data: *const Shared<W> = &*shared;
        // SAFETY: The format takes one C string. The data outlives the thread: `shared` is dropped after it has
        // ended.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(main::<W>),
                data.cast_mut().cast::<ffi::c_void>(),
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        // SAFETY: The thread was just created and waits to be started.
        unsafe { bindings::wake_up_process(task) };
        // INVARIANT: `main` returns only when it should stop.
        Ok(Self {
            task: NonNull::new(task).ok_or(ENOMEM)?,
            shared,
            _work: PhantomData,
        })
    }

    /// Has the thread run once more, from now on.
    #[inline]
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// A handle to wake the thread by.
    pub fn waker(&self) -> Waker<W> {
        Waker(self.shared.clone())
    }

    /// What it does.
    pub fn work(&self) -> &W {
        &self.shared.work
    }

    /// Has the thread run at least this often, or only when it is woken. One that sleeps longer runs now, and sleeps
    /// so long from then on.
    pub fn set_period(&self, period: Option<Jiffies>) {
        let period = period.unwrap_or(FOREVER);
        // Full: a thread that goes to sleep after this sees the new one, and one that does not is woken.
        let before = self.shared.period.xchg(period, Full);
        if period < before && !self.is_current() {
            self.wake();
        }
    }

    /// Whether this is called in the thread itself.
    pub fn is_current(&self) -> bool {
        let current: *const kernel::task::Task = &**kernel::current!();
        core::ptr::eq(current.cast(), self.task.as_ptr())
    }
}

impl<W: Work> Drop for Thread<W> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the thread has not ended; when this returns it has.
        unsafe { bindings::kthread_stop(self.task.as_ptr()) };
    }
}

/// # Safety
///
/// Only for threads that `Thread::<W>::start` creates.
unsafe extern "C" fn main<W: Work>(data: *mut ffi::c_void) -> ffi::c_int {
    // SAFETY: The data outlives the thread.
    let shared = unsafe { &*data.cast::<Shared<W>>() };
    // INVARIANT: The data outlives the thread.
    let me = Me {
        period: NonNull::from(&shared.period),
        _not_send: NotThreadSafe,
    };
    // SAFETY: Changes the current task, a kernel thread.
    unsafe { bindings::kernel_ext_allow_signal(bindings::SIGKILL as ffi::c_int) };
    while !me.should_stop() {
        if me.signal_pending() {
            me.flush_signals();
        }
        let period = shared.period.load(Relaxed);
        // Interruptible, so as not to count as load; a signal makes it run, as in C.
        let _ = shared
            .queue
            .wait_interruptible_timeout(period, || shared.woken.load(Relaxed) || me.should_stop());
        // Full: pairs with `wake`.
        shared.woken.xchg(false, Full);
        if !me.should_stop() {
            shared.work.run(&me);
        }
    }
    0
}
