// SPDX-License-Identifier: GPL-2.0

//! Reference counts that cost next to nothing while nobody asks for their value.
//!
//! [`Gate`] lets users in until it is closed, and can then wait for the last to leave. [`Activity`] counts what
//! goes on, and is sometimes asked whether anything does.
//!
//! C header: [`include/linux/percpu-refcount.h`](srctree/include/linux/percpu-refcount.h)

use super::wait::WaitQueue;
use crate::bindings;
use core::ptr::NonNull;
use kernel::{error::to_result, new_mutex, prelude::*, sync::Mutex, types::Opaque};

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

/// Whether a gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Closed,
}

/// Lets users in while it is open. Dropping it closes it and sleeps until all have left.
pub struct Gate<Z: OnZero = ()> {
    inner: Pin<KBox<Inner<Z>>>,
    /// Serialises closing and opening, which C wants strictly in turn.
    door: Pin<KBox<Mutex<Door>>>,
}

impl<Z: OnZero> Gate<Z> {
    /// An open gate.
    pub fn new(on_zero: Z) -> Result<Self> {
        Ok(Self {
            inner: KBox::pin_init(Inner::new(on_zero), GFP_KERNEL)?,
            door: KBox::pin_init(new_mutex!(Door::Open), GFP_KERNEL)?,
        })
    }

    /// Lets one in, unless the gate is closed.
    #[inline]
    pub fn enter(&self) -> Option<Guard<Z>> {
        // SAFETY: The count is alive.
        let entered = unsafe { bindings::kernel_ext_percpu_ref_tryget_live(self.inner.raw.get()) };
        // INVARIANT: Just counted.
        entered.then(|| Guard(NonNull::from(&*self.inner)))
    }

    /// Closes the gate; `EBUSY` when it is closed. Those inside stay. May sleep.
    pub fn close(&self) -> Result {
        let mut door = self.door.lock();
        if *door == Door::Closed {
            return Err(EBUSY);
        }
        // SAFETY: The count is alive and not killed, by the state of the door.
        unsafe { bindings::percpu_ref_kill_and_confirm(self.inner.raw.get(), None) };
        *door = Door::Closed;
        Ok(())
    }

    /// Opens the gate; `EBUSY` when it is open. May sleep.
    pub fn open(&self) -> Result {
        let mut door = self.door.lock();
        if *door == Door::Open {
            return Err(EBUSY);
        }
        // SAFETY: The count is alive and killed, by the state of the door.
        unsafe { bindings::percpu_ref_resurrect(self.inner.raw.get()) };
        *door = Door::Open;
        Ok(())
    }

    /// Whether the gate is closed and all have left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inner.is_zero()
    }

    /// Sleeps until the gate is closed and all have left.
    pub fn wait_empty(&self) {
        self.inner.zero.wait(|| self.inner.is_zero());
    }

    /// As [`Gate::wait_empty`]; `ERESTARTSYS` when a signal came first.
    pub fn wait_empty_interruptible(&self) -> Result {
        self.inner.zero.wait_interruptible(|| self.inner.is_zero())
    }
}

impl<Z: OnZero> Drop for Gate<Z> {
    fn drop(&mut self) {
        // Already closed is as good.
        let _ = self.close();
        self.wait_empty();
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
