// SPDX-License-Identifier: GPL-2.0

//! Where fans come from.

use super::{layout::Header, Fan, Request};
use crate::{
    alloc::mempool::{RawPool, Wait},
    block::bio::Bio,
};
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};
use kernel::prelude::*;

/// A source of fans. Dropping it sleeps until all its fans are gone.
pub struct FanPool<R: Request> {
    pool: KBox<RawPool>,
    legs: u16,
    _requests: PhantomData<fn(R) -> R>,
}

impl<R: Request> FanPool<R> {
    /// A pool that can always give `reserve` fans, one after the other if need be, with up to `legs` legs each.
    pub fn new(reserve: u16, legs: u16) -> Result<Self> {
        let bytes = Header::<R>::bytes(legs).ok_or(EINVAL)?;
        Ok(Self {
            pool: KBox::new(RawPool::new(reserve, bytes)?, GFP_KERNEL)?,
            legs,
            _requests: PhantomData,
        })
    }

    /// How many legs a fan can have.
    pub fn legs(&self) -> u16 {
        self.legs
    }

    /// Room for a fan; `None` when there is no memory and we must not wait. Under memory pressure this waits for
    /// earlier fans to end, so they must be under way.
    #[inline]
    pub fn room(&self, wait: Wait) -> Option<Room<'_, R>> {
        // INVARIANT: The blocks of the pool have the size of a header and `legs` slots.
        self.pool
            .alloc(wait)
            .map(|block| Room { block, pool: self })
    }
}

/// Memory for a fan. Dropping it gives it back.
///
/// # Invariants
///
/// `block` is of `pool`, owned by this value, and has the size of a header and as many slots as the pool says.
#[must_use]
pub struct Room<'a, R: Request> {
    block: NonNull<u8>,
    pool: &'a FanPool<R>,
}

impl<R: Request> Room<'_, R> {
    /// A fan without legs in it. The parent is counted in the statistics of its disk.
    #[inline(always)]
    pub fn fan(self, parent: Bio, request: R) -> Fan<R> {
        let this = ManuallyDrop::new(self);
        let header = this.block.cast::<Header<R>>();
        let (legs, pool) = (this.pool.legs, NonNull::from(&*this.pool.pool));
        // SAFETY: By the type invariant the block is ours, and large enough.
        unsafe { header.write(Header::new(parent, request, legs, pool)) };
        // INVARIANT: A header was just written; no slot is in use.
        Fan(header)
    }
}

impl<R: Request> Drop for Room<'_, R> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the block is of this pool, and ours.
        unsafe { RawPool::free(NonNull::from(&*self.pool.pool), self.block) };
    }
}
