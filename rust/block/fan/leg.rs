// SPDX-License-Identifier: GPL-2.0

//! The legs of a fan, from outside.

use super::{layout::Slot, Request};
use crate::{
    bindings,
    block::bio::{sealed, Flags, Head, Op, Part},
};
use core::{ops::Deref, ptr::NonNull};
use kernel::prelude::*;

/// A leg that can be looked at: its bio, through `Deref`, and what goes with it.
pub struct Leg<'a, R: Request> {
    slot: &'a Slot<R>,
    index: u16,
}

impl<'a, R: Request> Leg<'a, R> {
    #[inline(always)]
    pub(super) fn new(slot: &'a Slot<R>, index: u16) -> Self {
        Self { slot, index }
    }

    /// The place of the leg among those of its fan, in the order in which they were added.
    #[inline(always)]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Whether it uses the data of the parent, not a copy.
    #[inline(always)]
    pub fn is_original(&self) -> bool {
        self.slot.borrows
    }

    /// What goes with it.
    #[inline(always)]
    pub fn target(&self) -> &'a R::Leg {
        &self.slot.target
    }
}

impl<R: Request> Deref for Leg<'_, R> {
    type Target = Head;

    #[inline(always)]
    fn deref(&self) -> &Head {
        // SAFETY: The bio is initialised and has a device, and the slot is borrowed.
        unsafe { Head::from_raw((&raw const self.slot.bio).cast_mut()) }
    }
}

/// A leg that is being set up ([`Setup`](crate::block::bio::Setup)).
///
/// # Invariants
///
/// The slot is initialised and exclusively borrowed, and its bio is not under way.
pub struct LegSetup<'a, R: Request> {
    slot: NonNull<Slot<R>>,
    _borrow: core::marker::PhantomData<&'a mut R>,
}

impl<R: Request> LegSetup<'_, R> {
    /// # Safety
    ///
    /// `slot` must be initialised and not under way, and exclusively borrowed for the lifetime of the result.
    #[inline(always)]
    pub(super) unsafe fn new(slot: NonNull<Slot<R>>) -> Self {
        // INVARIANT: By the precondition.
        Self {
            slot,
            _borrow: core::marker::PhantomData,
        }
    }

    /// Keeps only `part` of the data; the sector moves with it.
    ///
    /// `EINVAL` when it is not inside, is empty, or would cut an atomic write.
    pub fn trim(&mut self, part: Part) -> Result {
        let fits = part.skip.checked_add(part.sectors);
        if part.sectors == 0 || fits.is_none_or(|end| end > self.sectors()) {
            return Err(EINVAL);
        }
        if part.sectors != self.sectors() && self.flags().contains(Flags::ATOMIC) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant the bio is ours, and the part is inside.
        unsafe {
            bindings::bio_trim(
                sealed::Raw::raw(self),
                part.skip.into(),
                part.sectors.into(),
            )
        };
        Ok(())
    }

    /// Has the leg cover `sectors` sectors, whatever its parent does.
    ///
    /// `EINVAL` for an operation with data, and when they are none or too many.
    pub fn set_sectors(&mut self, sectors: u32) -> Result {
        if sectors == 0 || !matches!(self.op(), Op::Discard) {
            return Err(EINVAL);
        }
        let bytes = sectors.checked_mul(512).ok_or(EINVAL)?;
        // SAFETY: By the type invariant the bio is ours, and it has no data that would have to have this size.
        unsafe { (*sealed::Raw::raw(self)).bi_iter.bi_size = bytes };
        Ok(())
    }
}

impl<R: Request> Deref for LegSetup<'_, R> {
    type Target = Head;

    #[inline(always)]
    fn deref(&self) -> &Head {
        // SAFETY: By the type invariant.
        unsafe { Head::from_raw(sealed::Raw::raw(self)) }
    }
}

// SAFETY: By the type invariant only the exclusive borrower of this value changes the bio.
unsafe impl<R: Request> sealed::Raw for LegSetup<'_, R> {
    #[inline(always)]
    fn raw(&self) -> *mut bindings::bio {
        // SAFETY: The slot is live; no reference is made.
        unsafe { &raw mut (*self.slot.as_ptr()).bio }
    }
}
