// SPDX-License-Identifier: GPL-2.0

//! Pools with a reserve, so that I/O makes progress without free memory.
//!
//! C header: [`include/linux/mempool.h`](srctree/include/linux/mempool.h)

use crate::{bindings, sync::percpu_count::Outstanding};
use core::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};
use kernel::{ffi, prelude::*};

/// Whether an allocation may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It waits until an element comes back, so it succeeds.
    Yes,
    /// It fails rather than sleep.
    No,
}

impl Wait {
    #[inline(always)]
    pub(crate) const fn gfp(self) -> bindings::gfp_t {
        match self {
            Self::Yes => bindings::kernel_ext_GFP_NOIO,
            Self::No => bindings::GFP_NOWAIT,
        }
    }
}

/// A pool of blocks of one size.
///
/// # Invariants
///
/// `raw` is a live pool of `kmalloc` memory. `outstanding` counts the blocks that are not in it.
pub(crate) struct RawPool {
    raw: NonNull<bindings::mempool>,
    outstanding: Outstanding,
}

// SAFETY: The pool has its own lock.
unsafe impl Send for RawPool {}
// SAFETY: As above.
unsafe impl Sync for RawPool {}

impl RawPool {
    pub(crate) fn new(reserve: u16, bytes: usize) -> Result<Self> {
        let outstanding = Outstanding::new()?;
        // SAFETY: The pair of functions takes the size as its data.
        let raw = unsafe {
            bindings::mempool_create_node_noprof(
                reserve.into(),
                Some(bindings::mempool_kmalloc),
                Some(bindings::mempool_kfree),
                core::ptr::without_provenance_mut::<ffi::c_void>(bytes),
                bindings::GFP_KERNEL,
                bindings::NUMA_NO_NODE,
            )
        };
        // INVARIANT: Just created; nothing is lent yet.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            outstanding,
        })
    }

    /// A block of the size of the pool, which must go back by [`RawPool::free`].
    #[inline(always)]
    pub(crate) fn alloc(&self, wait: Wait) -> Option<NonNull<u8>> {
        // SAFETY: By the type invariant the pool is alive.
        let block = unsafe { bindings::mempool_alloc_noprof(self.raw.as_ptr(), wait.gfp()) };
        let block = NonNull::new(block.cast())?;
        self.outstanding.lend();
        Some(block)
    }

    /// # Safety
    ///
    /// `block` must come from [`RawPool::alloc`] of the pool `this`, which may be gone when this returns.
    #[inline(always)]
    pub(crate) unsafe fn free(this: NonNull<Self>, block: NonNull<u8>) {
        let this = this.as_ptr();
        // SAFETY: The pool is alive, as it waits for this block before it goes.
        unsafe { bindings::mempool_free(block.as_ptr().cast(), (*this).raw.as_ptr()) };
        // SAFETY: The counter is alive until this call, which returns the block that was lent.
        unsafe { Outstanding::take_back(NonNull::new_unchecked(&raw mut (*this).outstanding)) };
    }
}

impl Drop for RawPool {
    /// Sleeps until all blocks are back.
    fn drop(&mut self) {
        self.outstanding.wait();
        // SAFETY: By the type invariant the pool is ours, and all its blocks are back.
        unsafe { bindings::mempool_destroy(self.raw.as_ptr()) };
    }
}

/// A pool of values of one type. Dropping it sleeps until all values are back.
pub struct Mempool<T> {
    pool: KBox<RawPool>,
    _values: PhantomData<fn(T) -> T>,
}

impl<T> Mempool<T> {
    /// A pool that can always give `reserve` values, one after the other if need be.
    pub fn new(reserve: u16) -> Result<Self> {
        const { assert!(align_of::<T>() <= align_of::<u64>()) };
        Ok(Self {
            pool: KBox::new(RawPool::new(reserve, size_of::<T>().max(1))?, GFP_KERNEL)?,
            _values: PhantomData,
        })
    }

    /// Puts `value` into memory of the pool, or gives it back when there is none and we must not wait.
    #[inline]
    pub fn alloc(&self, value: T, wait: Wait) -> Result<Pooled<T>, T> {
        let Some(block) = self.pool.alloc(wait) else {
            return Err(value);
        };
        let block = block.cast::<T>();
        // SAFETY: The block has the size of a `T`, the alignment of `kmalloc`, and is ours.
        unsafe { block.write(value) };
        // INVARIANT: As just written.
        Ok(Pooled {
            value: block,
            pool: NonNull::from(&*self.pool),
        })
    }
}

/// A value in memory of a pool.
///
/// # Invariants
///
/// `value` is a live value in a block of `pool`, owned by this.
pub struct Pooled<T> {
    value: NonNull<T>,
    pool: NonNull<RawPool>,
}

// SAFETY: Owns a `T`; the pool may be used from anywhere.
unsafe impl<T: Send> Send for Pooled<T> {}
// SAFETY: Shares a `T`; the pool may be used from anywhere.
unsafe impl<T: Sync> Sync for Pooled<T> {}

impl<T> Deref for Pooled<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for Pooled<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for Pooled<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the value is live and ours.
        unsafe { self.value.drop_in_place() };
        // SAFETY: By the type invariant the block came from the pool.
        unsafe { RawPool::free(self.pool, self.value.cast()) };
    }
}
