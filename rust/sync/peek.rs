// SPDX-License-Identifier: GPL-2.0

//! A value that one task changes at a time, and that others may look at while that one waits for something.

use core::{
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};
use kernel::{
    prelude::*,
    sync::{lock::mutex::MutexGuard, new_mutex, Mutex},
};

/// A mutex whose owner can let others look at the value. Lock order: the turn, then the value.
#[pin_data]
pub struct PeekMutex<T> {
    /// Who may change the value.
    #[pin]
    turn: Mutex<()>,
    /// Held by who has the turn, but while that one waits.
    #[pin]
    value: Mutex<T>,
}

/// The right to change the value. Dropping it gives it up.
pub struct PeekMutexGuard<'a, T> {
    /// Always there, but inside [`PeekMutexGuard::aside`].
    value: ManuallyDrop<MutexGuard<'a, T>>,
    mutex: &'a PeekMutex<T>,
    _turn: MutexGuard<'a, ()>,
}

/// The value, to be looked at.
pub struct Peeked<'a, T>(MutexGuard<'a, T>);

impl<T> PeekMutex<T> {
    /// A mutex around `value`.
    pub fn new(value: T) -> impl PinInit<Self> {
        pin_init!(Self {
            turn <- new_mutex!((), "PeekMutex::turn"),
            value <- new_mutex!(value, "PeekMutex::value"),
        })
    }

    /// Waits for who changes the value. May sleep.
    pub fn lock(&self) -> PeekMutexGuard<'_, T> {
        self.with_turn(self.turn.lock())
    }

    /// As [`PeekMutex::lock`], unless somebody changes the value. May sleep until nobody looks.
    pub fn try_lock(&self) -> Option<PeekMutexGuard<'_, T>> {
        Some(self.with_turn(self.turn.try_lock()?))
    }

    fn with_turn<'a>(&'a self, turn: MutexGuard<'a, ()>) -> PeekMutexGuard<'a, T> {
        PeekMutexGuard {
            value: ManuallyDrop::new(self.value.lock()),
            mutex: self,
            _turn: turn,
        }
    }

    /// The value as it is now, which need not be how who changes it leaves it. Waits for that one only until it waits
    /// itself ([`PeekMutexGuard::aside`]). May sleep.
    pub fn peek(&self) -> Peeked<'_, T> {
        Peeked(self.value.lock())
    }
}

impl<T> PeekMutexGuard<'_, T> {
    /// Does something that takes long, while others may look at the value and nobody changes it. May sleep.
    pub fn aside<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // SAFETY: It is there, and not used before it is replaced below: nobody but `f` runs meanwhile, which does not
        // have `self`, and the kernel does not unwind.
        unsafe { ManuallyDrop::drop(&mut self.value) };
        let result = f();
        self.value = ManuallyDrop::new(self.mutex.value.lock());
        result
    }
}

impl<T> Drop for PeekMutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: It is there, and not used any more. The turn is given up after it.
        unsafe { ManuallyDrop::drop(&mut self.value) };
    }
}

impl<T> Deref for PeekMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Unpin> DerefMut for PeekMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Deref for Peeked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
