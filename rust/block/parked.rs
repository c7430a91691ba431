// SPDX-License-Identifier: GPL-2.0

//! Bios that wait for a thread to take them up.
//!
//! [`Parked`] is filled from anywhere, interrupts included, without a lock and without memory, and is emptied at
//! once.

use super::bio::Bio;
use crate::bindings;
use core::ptr::NonNull;
use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};

/// Something that has room for a link to another of its kind.
///
/// # Safety
///
/// `into_node` must give up the ownership, and `from_node` take it back. `next` must return a field of a node that
/// nobody else uses in between.
pub unsafe trait Linked: Sized {
    /// What is linked.
    #[doc(hidden)]
    type Node;

    #[doc(hidden)]
    fn into_node(self) -> NonNull<Self::Node>;

    /// # Safety
    ///
    /// `node` must come from `into_node`, once.
    #[doc(hidden)]
    unsafe fn from_node(node: NonNull<Self::Node>) -> Self;

    /// # Safety
    ///
    /// `node` must come from `into_node` and not have been given to `from_node`.
    #[doc(hidden)]
    unsafe fn next(node: NonNull<Self::Node>) -> *mut *mut Self::Node;
}

// SAFETY: `bi_next` is for the owner of a bio.
unsafe impl Linked for Bio {
    type Node = bindings::bio;

    fn into_node(self) -> NonNull<bindings::bio> {
        self.into_raw()
    }

    unsafe fn from_node(node: NonNull<bindings::bio>) -> Self {
        // SAFETY: By the precondition it was a `Bio`. The block layer expects the link to be null.
        unsafe {
            (*node.as_ptr()).bi_next = core::ptr::null_mut();
            Self::from_raw(node)
        }
    }

    unsafe fn next(node: NonNull<bindings::bio>) -> *mut *mut bindings::bio {
        // SAFETY: The bio is alive.
        unsafe { &raw mut (*node.as_ptr()).bi_next }
    }
}

/// A list that anybody may add to and take from.
///
/// # Invariants
///
/// `first` is null or a node owned by the list; following `next`, all nodes are, until null.
pub struct Parked<T: Linked> {
    first: Atomic<*mut T::Node>,
}

// SAFETY: A list owns what is in it.
unsafe impl<T: Linked + Send> Send for Parked<T> {}
// SAFETY: Values pass through the list by value only.
unsafe impl<T: Linked + Send> Sync for Parked<T> {}

/// What a list was before something was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// Empty: somebody may have to be woken.
    Empty,
    /// Not empty.
    Filled,
}

impl<T: Linked> Parked<T> {
    /// An empty list.
    pub const fn new() -> Self {
        Self {
            first: Atomic::new(core::ptr::null_mut()),
        }
    }

    /// Adds a value.
    pub fn push(&self, value: T) -> Was {
        let node = value.into_node();
        let mut first = self.first.load(Relaxed);
        loop {
            // SAFETY: The node is ours until it is in the list.
            unsafe { T::next(node).write(first) };
            // Release: pairs with `take_all`, which sees the node as we left it.
            match self.first.cmpxchg(first, node.as_ptr(), Release) {
                Ok(_) if first.is_null() => return Was::Empty,
                Ok(_) => return Was::Filled,
                Err(now) => first = now,
            }
        }
    }

    /// Whether nothing is there at this moment.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.load(Acquire).is_null()
    }

    /// Takes all there is, to be had in the order in which it was added.
    pub fn take_all(&self) -> Taken<T> {
        // Full, of which Acquire pairs with `push`.
        let mut rest = self.first.xchg(core::ptr::null_mut(), Full);
        let mut first = core::ptr::null_mut();
        while let Some(node) = NonNull::new(rest) {
            // SAFETY: By the type invariant the node was owned by the list, and is ours now.
            unsafe {
                rest = T::next(node).read();
                T::next(node).write(first);
            }
            first = node.as_ptr();
        }
        // INVARIANT: The nodes are ours, linked in reverse.
        Taken { first }
    }
}

impl<T: Linked> Default for Parked<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked> Drop for Parked<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// What was taken from a list. What is not used up is dropped.
///
/// # Invariants
///
/// `first` is null or a node owned by this; following `next`, all nodes are, until null.
pub struct Taken<T: Linked> {
    first: *mut T::Node,
}

// SAFETY: Owns what is in it.
unsafe impl<T: Linked + Send> Send for Taken<T> {}

impl<T: Linked> Iterator for Taken<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let node = NonNull::new(self.first)?;
        // SAFETY: By the type invariant.
        self.first = unsafe { T::next(node).read() };
        // SAFETY: By the type invariant the node is ours, and it is off the list now.
        Some(unsafe { T::from_node(node) })
    }
}

impl<T: Linked> Drop for Taken<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
