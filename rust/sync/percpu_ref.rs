// SPDX-License-Identifier: GPL-2.0

//! Reference counts that cost next to nothing while nobody asks for their value.
//!
//! [`Gate`] lets users in until it is closed, and can then wait for the last to leave; [`Gate::suspend`] does both, and
//! opens it again by itself. [`Activity`] counts what goes on, and is sometimes asked whether anything does.
//!
//! C header: [`include/linux/percpu-refcount.h`](srctree/include/linux/percpu-refcount.h)

use super::wait::{Outcome, WaitQueue};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Release},
        Mutex,
    },
    time::Jiffies,
    types::Opaque,
};

/// Told when a count reaches zero. May run in an interrupt.
pub trait OnZero: Send + Sync + 'static {
    /// The last user left.
    fn zero(&self);
}

impl OnZero for () {
    fn zero(&self) {}
}

#[pin_data(PinnedDrop)]
#[repr(C)]
struct Inner<Z: OnZero> {
    /// First, as the release function gets a pointer to it.
    #[pin]
    raw: Opaque<bindings::percpu_ref>,
    #[pin]
    zero: WaitQueue,
    on_zero: Z,
}

// SAFETY: The count is thread-safe, and so is the rest by its bounds.
unsafe impl<Z: OnZero> Send for Inner<Z> {}
// SAFETY: As above.
unsafe impl<Z: OnZero> Sync for Inner<Z> {}

impl<Z: OnZero> Inner<Z> {
    fn new(on_zero: Z) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|raw| {
                let flags = bindings::PERCPU_REF_ALLOW_REINIT;
                // SAFETY: `raw` is memory for a count.
                to_result(unsafe {
                    bindings::percpu_ref_init(raw, Some(released::<Z>), flags, bindings::GFP_KERNEL)
                })
            }),
            zero <- WaitQueue::new(),
            on_zero,
        }? Error)
    }

    /// Whether the count is zero, if it is kept in one place at this time; false when it is not.
    #[inline]
    fn is_zero(&self) -> bool {
        // SAFETY: The count is alive.
        unsafe { bindings::percpu_ref_is_zero(self.raw.get()) }
    }
}

#[pinned_drop]
impl<Z: OnZero> PinnedDrop for Inner<Z> {
    fn drop(self: Pin<&mut Self>) {
        // The last put, and the release function, run under RCU.
        // SAFETY: May sleep; has no other precondition.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: The count was initialised, is zero, and nobody uses it any more.
        unsafe { bindings::percpu_ref_exit(self.raw.get()) };
    }
}

/// # Safety
///
/// Only for the counts in `Inner<Z>`.
unsafe extern "C" fn released<Z: OnZero>(raw: *mut bindings::percpu_ref) {
    // SAFETY: The count is the first field of `Inner`, which lives for an RCU grace period after this starts.
    let inner = unsafe { &*raw.cast::<Inner<Z>>() };
    inner.on_zero.zero();
    inner.zero.wake_all();
}

/// One user of a count. Dropping it leaves.
///
/// # Invariants
///
/// This owns one count of `inner`, which is not freed before the count is zero.
pub struct Guard<Z: OnZero = ()>(NonNull<Inner<Z>>);

// SAFETY: A count may be given back from anywhere.
unsafe impl<Z: OnZero> Send for Guard<Z> {}
// SAFETY: There is only `clone` for a shared borrow, which is thread-safe.
unsafe impl<Z: OnZero> Sync for Guard<Z> {}

impl<Z: OnZero> Clone for Guard<Z> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant the count is alive, and not zero.
        unsafe { bindings::kernel_ext_percpu_ref_get((*self.0.as_ptr()).raw.get()) };
        // INVARIANT: Just counted.
        Self(self.0)
    }
}

impl<Z: OnZero> Drop for Guard<Z> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the count is alive, and one of it is ours.
        unsafe { bindings::kernel_ext_percpu_ref_put((*self.0.as_ptr()).raw.get()) };
    }
}

/// The states of a gate's door.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// Somebody is closing or opening it.
    Moving,
    Closed,
}

/// What is behind a gate, in one allocation.
#[pin_data]
struct Inside<Z: OnZero> {
    #[pin]
    count: Inner<Z>,
    /// C wants closing and opening strictly in turn.
    door: Atomic<i32>,
}

/// Lets users in while it is open. Dropping it closes it and sleeps until all have left.
pub struct Gate<Z: OnZero = ()>(Pin<KBox<Inside<Z>>>);

impl<Z: OnZero> Gate<Z> {
    /// An open gate.
    pub fn new(on_zero: Z) -> Result<Self> {
        let init = try_pin_init!(Inside {
            count <- Inner::new(on_zero),
            door: Atomic::new(Door::Open as i32),
        }? Error);
        Ok(Self(KBox::pin_init(init, GFP_KERNEL)?))
    }

    /// Lets one in, unless the gate is closed.
    #[inline]
    pub fn enter(&self) -> Option<Guard<Z>> {
        let inner = &self.0.count;
        // SAFETY: The count is alive.
        let entered = unsafe { bindings::kernel_ext_percpu_ref_tryget_live(inner.raw.get()) };
        // INVARIANT: Just counted.
        entered.then(|| Guard(NonNull::from(inner)))
    }

    /// Lets one in, when the gate opens if it is closed. May sleep.
    #[inline]
    pub fn enter_wait(&self) -> Guard<Z> {
        loop {
            if let Some(guard) = self.enter() {
                return guard;
            }
            // Acquire: pairs with the Release in `move_door`.
            let is_open = || self.0.door.load(Acquire) == Door::Open as i32;
            self.0.count.zero.wait_io(is_open);
        }
    }

    /// Moves the door from one side to the other; `EBUSY` when it is not there.
    fn move_door(
        &self,
        from: Door,
        to: Door,
        act: impl FnOnce(*mut bindings::percpu_ref),
    ) -> Result {
        let door = &self.0.door;
        // Full: whoever moved it before has done with the count.
        door.cmpxchg(from as i32, Door::Moving as i32, Full)
            .map_err(|_| EBUSY)?;
        act(self.0.count.raw.get());
        // Release: who sees the door there sees the count so, too.
        door.store(to as i32, Release);
        Ok(())
    }

    /// Closes the gate; `EBUSY` when it is closed. Those inside stay. May sleep.
    pub fn close(&self) -> Result {
        self.move_door(Door::Open, Door::Closed, |count| {
            // SAFETY: The count is alive and not killed, by the state of the door.
            unsafe { bindings::percpu_ref_kill_and_confirm(count, None) }
        })
    }

    /// Opens the gate; `EBUSY` when it is open. May sleep.
    pub fn open(&self) -> Result {
        self.move_door(Door::Closed, Door::Open, |count| {
            // SAFETY: The count is alive and killed, by the state of the door.
            unsafe { bindings::percpu_ref_resurrect(count) }
        })?;
        self.0.count.zero.wake_all();
        Ok(())
    }

    /// Whether the gate is closed and all have left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.count.is_zero()
    }

    /// Sleeps until the gate is closed and all have left.
    pub fn wait_empty(&self) {
        self.0.count.zero.wait(|| self.is_empty());
    }

    /// As [`Gate::wait_empty`]; `ERESTARTSYS` when a signal came first.
    pub fn wait_empty_interruptible(&self) -> Result {
        self.0.count.zero.wait_interruptible(|| self.is_empty())
    }

    /// Closes the gate and sleeps until all have left, for `limit` at most. It opens again, and lets in who waits,
    /// when the result is dropped, or at once when the time is over: `ETIMEDOUT` then, `EBUSY` when it is closed.
    pub fn suspend(&self, limit: Jiffies) -> Result<Suspension<'_, Z>> {
        self.close()?;
        let suspension = Suspension(self);
        match self.0.count.zero.wait_timeout(limit, || self.is_empty()) {
            Outcome::True => Ok(suspension),
            Outcome::TimedOut => Err(ETIMEDOUT),
        }
    }
}

impl<Z: OnZero> Drop for Gate<Z> {
    fn drop(&mut self) {
        // Already closed is as good.
        let _ = self.close();
        self.wait_empty();
    }
}

/// A gate that is closed, until this is dropped.
pub struct Suspension<'a, Z: OnZero = ()>(&'a Gate<Z>);

impl<Z: OnZero> Drop for Suspension<'_, Z> {
    /// May sleep.
    fn drop(&mut self) {
        // It is closed, and nobody else opens it.
        let _ = self.0.open();
    }
}

/// Counts what goes on. Dropping it sleeps until nothing does.
pub struct Activity<Z: OnZero = ()> {
    inner: Pin<KBox<Inner<Z>>>,
    /// How many look at the count at this time; while any do, it is kept in one place.
    probes: Pin<KBox<Mutex<u32>>>,
}

impl<Z: OnZero> Activity<Z> {
    /// Nothing goes on. `on_zero` is only told of zeroes while somebody looks.
    pub fn new(on_zero: Z) -> Result<Self> {
        let inner = KBox::pin_init(Inner::new(on_zero), GFP_KERNEL)?;
        // The count starts at one, for an owner who may close it. Nobody closes this one.
        // SAFETY: The count is alive, and not kept in one place, so this does not release it.
        unsafe { bindings::kernel_ext_percpu_ref_put(inner.raw.get()) };
        Ok(Self {
            inner,
            probes: KBox::pin_init(new_mutex!(0), GFP_KERNEL)?,
        })
    }

    /// One more goes on until the guard is dropped.
    #[inline]
    pub fn start(&self) -> Guard<Z> {
        // SAFETY: The count is alive.
        unsafe { bindings::kernel_ext_percpu_ref_get(self.inner.raw.get()) };
        // INVARIANT: Just counted.
        Guard(NonNull::from(&*self.inner))
    }

    /// Gathers the count in one place, so that it can be asked. Sleeps for an RCU grace period when it is the first.
    pub fn probe(&self) -> Probe<'_, Z> {
        let mut probes = self.probes.lock();
        if *probes == 0 {
            // SAFETY: The count is alive.
            unsafe { bindings::percpu_ref_switch_to_atomic_sync(self.inner.raw.get()) };
        }
        *probes = probes.saturating_add(1);
        // INVARIANT: Just counted.
        Probe(self)
    }
}

impl<Z: OnZero> Drop for Activity<Z> {
    fn drop(&mut self) {
        let probe = self.probe();
        self.inner.zero.wait(|| probe.is_idle());
        core::mem::forget(probe);
    }
}

/// A look at an [`Activity`].
///
/// # Invariants
///
/// It is one of `probes`.
pub struct Probe<'a, Z: OnZero>(&'a Activity<Z>);

impl<Z: OnZero> Probe<'_, Z> {
    /// Whether nothing goes on. Whoever starts something must see that we found nothing by other means than this.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.0.inner.is_zero()
    }
}

impl<Z: OnZero> Drop for Probe<'_, Z> {
    /// May sleep.
    fn drop(&mut self) {
        let mut probes = self.0.probes.lock();
        *probes = probes.saturating_sub(1);
        if *probes == 0 {
            // SAFETY: The count is alive.
            unsafe { bindings::percpu_ref_switch_to_percpu(self.0.inner.raw.get()) };
        }
    }
}
