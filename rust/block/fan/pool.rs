// SPDX-License-Identifier: GPL-2.0

//! Where fans come from.

use super::{layout::Header, Fan, Request};
use crate::{
    alloc::mempool::{RawPool, Wait},
    block::bio::Bio,
};
use core::{marker::PhantomData, ptr::NonNull};
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

    /// A fan without legs, and the parent counted in the statistics of its disk. Both values come back when there
    /// is no memory and we must not wait. Under memory pressure this waits for earlier fans to end, so they must be
    /// under way.
    #[inline]
    pub fn alloc(&self, parent: Bio, request: R, wait: Wait) -> Result<Fan<R>, (Bio, R)> {
        let Some(block) = self.pool.alloc(wait) else {
            return Err((parent, request));
        };
        let header = block.cast::<Header<R>>();
        // SAFETY: The block is ours, and has the size of a header and `legs` slots.
        unsafe {
            header.write(Header::new(
                parent,
                request,
                self.legs,
                NonNull::from(&*self.pool),
            ))
        };
        // INVARIANT: A header was just written; no slot is in use.
        Ok(Fan(header))
    }
}
