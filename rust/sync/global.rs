// SPDX-License-Identifier: GPL-2.0

//! A value that callbacks without a context argument can reach.

use crate::bindings;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        rcu, Arc,
    },
};

/// A place for one shared value, empty until it is published and again after the publication is dropped.
///
/// # Invariants
///
/// The pointer is null or came from `Arc::into_raw` of a [`Publication`] that has not finished its drop; it is only
/// cleared an RCU grace period before that `Arc` is dropped.
pub struct Global<T: Send + Sync + 'static> {
    value: Atomic<*const T>,
}

// SAFETY: The place only hands out shared references to a `T` that is `Send` and `Sync`.
unsafe impl<T: Send + Sync> Sync for Global<T> {}

impl<T: Send + Sync + 'static> Global<T> {
    /// An empty place.
    pub const fn new() -> Self {
        // INVARIANT: Null.
        Self {
            value: Atomic::new(core::ptr::null()),
        }
    }

    /// Puts `value` here for as long as the returned publication lives. `EBUSY` when there is one already.
    pub fn publish(&'static self, value: Arc<T>) -> Result<Publication<T>> {
        if !self.value.load(Relaxed).is_null() {
            return Err(EBUSY);
        }
        // INVARIANT: From `into_raw`, and the publication returned below clears it. Release: pairs with the Acquire in
        // `get`, so that who sees the pointer sees the value.
        self.value.store(Arc::into_raw(value), Release);
        Ok(Publication { place: self })
    }

    /// The value, if there is one. Any context.
    pub fn get(&self) -> Option<Arc<T>> {
        let _rcu = rcu::read_lock();
        // Acquire: pairs with the Release in `publish`.
        let value = self.value.load(Acquire);
        if value.is_null() {
            return None;
        }
        // SAFETY: By the type invariant the pointer came from `Arc::into_raw`, and its reference is not dropped before
        // a grace period that began after the pointer was cleared; this read-side section saw it set.
        let borrowed = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(value) });
        Some(Arc::clone(&borrowed))
    }
}

impl<T: Send + Sync> Default for Global<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps a value published. Dropping it waits for readers on the way to the value, and may therefore sleep.
pub struct Publication<T: Send + Sync + 'static> {
    place: &'static Global<T>,
}

impl<T: Send + Sync> Drop for Publication<T> {
    fn drop(&mut self) {
        let value = self.place.value.load(Relaxed);
        // INVARIANT: Null again.
        self.place.value.store(core::ptr::null(), Relaxed);
        // SAFETY: An FFI call without requirements, in a context that may sleep.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: The pointer came from `Arc::into_raw` in `publish`; a grace period after it was cleared nobody is
        // between loading it and taking a reference of their own.
        drop(unsafe { Arc::from_raw(value) });
    }
}
