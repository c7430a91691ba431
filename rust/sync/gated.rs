// SPDX-License-Identifier: GPL-2.0

//! A value that many use at once, at the cost of a per-CPU count, and that changes only while nobody does.

use super::{
    percpu_ref::{Gate, Guard},
    wait::WaitQueue,
};
use core::{cell::UnsafeCell, ops::Deref, pin::Pin, ptr::NonNull};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        lock::mutex::MutexGuard,
        new_mutex, Mutex,
    },
};

/// A value behind a gate, or nothing behind it. Dropping it waits until all users have left.
///
/// # Invariants
///
/// `value` is only written, and `&mut` to it only exists, while `suspension` is held, the gate is closed and everybody
/// has left it. `value` is boxed, so users' pointers to it stay valid when this moves. `gate` is declared before it, so
/// it is dropped first, which waits for the users.
pub struct Gated<T: Send + Sync + 'static> {
    gate: Gate,
    value: KBox<UnsafeCell<Option<T>>>,
    open: Atomic<bool>,
    opened: Pin<KBox<WaitQueue>>,
    suspension: Pin<KBox<Mutex<()>>>,
}

// SAFETY: Sending it sends the value, which is `Send`.
unsafe impl<T: Send + Sync> Send for Gated<T> {}
// SAFETY: By the type invariant a shared `Gated` only gives out `&T`, or `&mut T` to one at a time with no `&T` about.
unsafe impl<T: Send + Sync> Sync for Gated<T> {}

/// How an attempt to enter ended.
pub enum Entry<T: Send + Sync + 'static> {
    /// The value may be used until this is dropped.
    Entered(Entered<T>),
    /// There is no value.
    Empty,
    /// The value is about to change.
    Suspended,
}

impl<T: Send + Sync> Gated<T> {
    /// An open gate with nothing behind it.
    pub fn new() -> Result<Self> {
        Ok(Self {
            gate: Gate::new(())?,
            value: KBox::new(UnsafeCell::new(None), GFP_KERNEL)?,
            open: Atomic::new(true),
            opened: KBox::pin_init(WaitQueue::new(), GFP_KERNEL)?,
            suspension: KBox::pin_init(new_mutex!(()), GFP_KERNEL)?,
        })
    }

    /// Uses the value. Any context.
    #[inline]
    pub fn enter(&self) -> Entry<T> {
        let Some(guard) = self.gate.enter() else {
            return Entry::Suspended;
        };
        // SAFETY: Inside the gate nobody writes the value, by the type invariant.
        match unsafe { &*self.value.get() } {
            // INVARIANT: The guard keeps the gate from becoming empty.
            Some(value) => Entry::Entered(Entered {
                value: NonNull::from(value),
                _guard: guard,
            }),
            None => Entry::Empty,
        }
    }

    /// Uses the value, waiting while it changes; `None` when there is none. May sleep.
    pub fn enter_wait(&self) -> Option<Entered<T>> {
        loop {
            match self.enter() {
                Entry::Entered(entered) => return Some(entered),
                Entry::Empty => return None,
                // Acquire: pairs with the Release in the drop of `Suspended`.
                Entry::Suspended => self.opened.wait(|| self.open.load(Acquire)),
            }
        }
    }

    /// Keeps new users out and waits until all have left. May sleep; not to be called by a user.
    pub fn suspend(&self) -> Suspended<'_, T> {
        let lock = self.suspension.lock();
        self.open.store(false, Release);
        // The gate is open: closing and opening it happens only under the lock.
        let _ = self.gate.close();
        self.gate.wait_empty();
        // INVARIANT: The lock is held, the gate is closed, and all have left.
        Suspended {
            gated: self,
            _lock: lock,
        }
    }
}

/// A user of a value.
///
/// # Invariants
///
/// `value` points behind the gate that `_guard` was let in by, which therefore does not become empty.
pub struct Entered<T: Send + Sync + 'static> {
    value: NonNull<T>,
    _guard: Guard,
}

// SAFETY: It gives out `&T` of a `T` that is `Sync`, and the guard may be dropped anywhere.
unsafe impl<T: Send + Sync> Send for Entered<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Entered<T> {}

impl<T: Send + Sync> Clone for Entered<T> {
    #[inline]
    fn clone(&self) -> Self {
        // INVARIANT: Another guard of the same gate.
        Self {
            value: self.value,
            _guard: self._guard.clone(),
        }
    }
}

impl<T: Send + Sync> Deref for Entered<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the gate is not empty, so the value is neither written nor dropped.
        unsafe { self.value.as_ref() }
    }
}

/// A value that nobody uses. Dropping this lets users in again.
///
/// # Invariants
///
/// The gate of `gated` is closed and empty, and its lock is held by `_lock`.
pub struct Suspended<'a, T: Send + Sync + 'static> {
    gated: &'a Gated<T>,
    _lock: MutexGuard<'a, ()>,
}

impl<T: Send + Sync> Suspended<'_, T> {
    /// The value, to be changed, put there or taken away.
    pub fn value(&mut self) -> &mut Option<T> {
        // SAFETY: By the type invariant nobody else has access, and `&mut self` makes this reference the only one.
        unsafe { &mut *self.gated.value.get() }
    }
}

impl<T: Send + Sync> Drop for Suspended<'_, T> {
    fn drop(&mut self) {
        // The gate is closed, so this does not fail.
        let _ = self.gated.gate.open();
        // Release: pairs with the Acquire in `enter_wait`.
        self.gated.open.store(true, Release);
        self.gated.opened.wake_all();
    }
}
