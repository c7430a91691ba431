// SPDX-License-Identifier: GPL-2.0

//! One bio fanned out to several devices.
//!
//! A [`Fan`] is one block of memory with all that an incoming bio needs until it ends: the bio itself (the parent), a
//! value of the driver ([`Request`]), and room for a bio to each of a few devices (the legs), which are clones of the
//! parent. There is one allocation, however many legs there are, and no lock.
//!
//! Whoever has a `Fan` has it alone. [`Fan::submit`] gives it to the block layer; when the last leg has ended it
//! comes back, whole, at [`Request::finish`]. There it is completed, parked for a thread, or given new legs and
//! submitted again. The parent cannot end while a leg uses its data.

mod layout;
mod leg;
mod pool;

pub use self::{
    leg::{Leg, LegSetup},
    pool::{FanPool, Room},
};

use self::layout::{Copy, Header, Slot};
use super::{
    bdev::Target,
    bio::{Bio, Head},
    parked::Linked,
    status::Status,
};
use crate::{alloc::mempool::RawPool, bindings};
use core::{
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};
use kernel::{pr_warn_once, prelude::*, sync::atomic::Full};

/// What to do with the parent while legs that do not use its data are still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// It waits for them.
    Wait,
    /// It ends now.
    End(Status),
}

/// What goes with a fan. The functions may run in an interrupt: they must not sleep, nor take locks that others
/// take with interrupts on. The same holds for the drop of the value and of its legs.
pub trait Request: Sized + Send + Sync + 'static {
    /// What goes with a leg, and keeps its device open.
    type Leg: Target + Send + Sync + 'static;

    /// A leg ended; others may still be under way, and end at the same time.
    #[inline]
    fn leg_done(&self, _leg: Leg<'_, Self>) {}

    /// The last leg that uses the data of the parent ended, in a fan that also has others (see
    /// [`Fan::add_copy_leg`]).
    #[inline]
    fn originals_done(&self) -> Early {
        Early::Wait
    }

    /// All legs have ended.
    fn finish(fan: Fan<Self>);
}

/// A fan that is not under way.
///
/// # Invariants
///
/// The header is live, in a block of its pool with room for its slots, and owned by this value alone. The first
/// `used` slots are initialised, and their bios are not under way.
#[must_use = "a fan that is dropped ends its parent with an error"]
pub struct Fan<R: Request>(NonNull<Header<R>>);

// SAFETY: All that is in a fan is `Send` and `Sync`.
unsafe impl<R: Request> Send for Fan<R> {}
// SAFETY: As above.
unsafe impl<R: Request> Sync for Fan<R> {}

impl<R: Request> Fan<R> {
    #[inline(always)]
    fn header(&self) -> &Header<R> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn header_mut(&mut self) -> &mut Header<R> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_mut() }
    }

    /// The parent, unless it has ended.
    #[inline]
    pub fn parent(&self) -> Option<&Bio> {
        // SAFETY: By the type invariant no leg is under way.
        unsafe { self.header().parent() }
    }

    /// The data that legs were made of: the parent, or the copy of its data once it has ended.
    #[inline]
    pub fn data(&self) -> Option<&Head> {
        let copy = self.header().copy.as_ref();
        match self.parent() {
            Some(parent) => Some(parent),
            // SAFETY: The copy lives as long as the fan, and has the device of the parent. Nobody changes it.
            None => copy.map(|copy| unsafe { Head::from_raw(copy.as_raw()) }),
        }
    }

    /// Adds a leg to the device of `target`, with the operation, flags, range and data of the parent.
    ///
    /// `ENOSPC` when the fan is full, `EINVAL` when the parent has ended, `ENOMEM`.
    #[inline(always)]
    pub fn add_leg(&mut self, target: R::Leg) -> Result<LegSetup<'_, R>> {
        let source = self.parent().ok_or(EINVAL)?.as_raw();
        // SAFETY: The parent does not end before the leg: `borrows` is set.
        unsafe { self.push(source, target, true) }
    }

    /// Copies the data of the parent, for legs that go on after the parent has ended. May sleep.
    ///
    /// `EINVAL` when the parent has ended or is too large, `ENOMEM`.
    pub fn copy_data(&mut self) -> Result {
        let copy = Copy::of(self.parent().ok_or(EINVAL)?)?;
        if self.header().used != 0 {
            return Err(EBUSY);
        }
        self.header_mut().copy = Some(copy);
        Ok(())
    }

    /// As [`Fan::add_leg`], with the copy of the data: the parent may end earlier than this leg.
    ///
    /// `EINVAL` also when there is no copy.
    pub fn add_copy_leg(&mut self, target: R::Leg) -> Result<LegSetup<'_, R>> {
        let source = self.header().copy.as_ref().ok_or(EINVAL)?.as_raw();
        // SAFETY: The copy lives as long as the fan, and does not change while there are legs.
        unsafe { self.push(source, target, false) }
    }

    /// # Safety
    ///
    /// `source` must be a live bio that keeps its data until the leg has ended.
    #[inline(always)]
    unsafe fn push(
        &mut self,
        source: *mut bindings::bio,
        target: R::Leg,
        borrows: bool,
    ) -> Result<LegSetup<'_, R>> {
        let (index, capacity) = (self.header().used, self.header().capacity);
        if index >= capacity {
            return Err(ENOSPC);
        }
        // SAFETY: By the type invariant there is room for this slot.
        let slot = unsafe { Header::slot(self.0, index) };
        // SAFETY: The slot is ours and unused, the device is held by `target`, and the source is as promised.
        unsafe { Slot::init(slot, self.0, source, target, borrows)? };
        let header = self.header_mut();
        // INVARIANT: The slot was just initialised.
        header.used = index + 1;
        header.mixed |= !borrows;
        // SAFETY: The slot is initialised, and borrowed from `self`.
        Ok(unsafe { LegSetup::new(slot) })
    }

    /// The legs, as they were set up or as they ended.
    pub fn legs(&self) -> impl Iterator<Item = Leg<'_, R>> {
        (0..self.header().used).map(|index| {
            // SAFETY: By the type invariant the slot is initialised.
            unsafe { Leg::new(&*Header::slot(self.0, index).as_ptr(), index) }
        })
    }

    /// Drops the legs, so that others can be added.
    #[inline]
    pub fn clear_legs(&mut self) {
        let used = core::mem::replace(&mut self.header_mut().used, 0);
        self.header_mut().mixed = false;
        for index in 0..used {
            // SAFETY: By the type invariant the slot was initialised and its bio is not under way; it is unused now.
            unsafe { Slot::clear(Header::slot(self.0, index)) };
        }
    }

    /// Submits the legs. [`Request::finish`] gets the fan when they have ended; without legs, at once.
    #[inline]
    pub fn submit(self) {
        let header = self.0;
        let (used, from, from_sector) = (
            self.header().used,
            self.header().from,
            self.header().from_sector,
        );
        if used == 0 {
            return R::finish(self);
        }
        self.header().start();
        core::mem::forget(self);
        for index in 0..used {
            // SAFETY: By the type invariant the slot is initialised. Its leg is not submitted yet, so the fan is
            // alive.
            let bio = unsafe { &raw mut (*Header::slot(header, index).as_ptr()).bio };
            // SAFETY: The bio is ready; the block layer gives it to `leg_ended`.
            unsafe { bindings::kernel_ext_submit_bio_remapped(bio, from, from_sector) };
        }
    }

    /// Ends the parent, if it has not ended. No leg is under way, so nobody uses its data.
    #[inline]
    pub fn end_parent(&mut self, status: Status) {
        // The legs use its data no more, but would if they were submitted again.
        self.clear_legs();
        // SAFETY: By the type invariant no leg is under way, and the borrow is exclusive.
        unsafe { self.header_mut().end_parent(status) };
    }

    /// Ends the parent and frees everything.
    #[inline]
    pub fn complete(self, status: Status) {
        // The drop would look at the legs and the parent once more.
        let mut this = ManuallyDrop::new(self);
        // SAFETY: Nobody uses `this` any more.
        unsafe { this.dissolve(status) };
    }

    /// Ends the parent, if it has not ended, and frees everything.
    ///
    /// # Safety
    ///
    /// The fan must not be used any more.
    #[inline]
    unsafe fn dissolve(&mut self, status: Status) {
        self.end_parent(status);
        let pool = self.header().pool;
        // SAFETY: By the type invariant the header is live and ours; by the precondition this is the end of it.
        unsafe { self.0.drop_in_place() };
        // SAFETY: By the type invariant the block is of this pool.
        unsafe { RawPool::free(pool, self.0.cast()) };
    }
}

impl<R: Request> Deref for Fan<R> {
    type Target = R;

    #[inline(always)]
    fn deref(&self) -> &R {
        &self.header().request
    }
}

impl<R: Request> DerefMut for Fan<R> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut R {
        &mut self.header_mut().request
    }
}

impl<R: Request> Drop for Fan<R> {
    fn drop(&mut self) {
        if self.parent().is_some() {
            pr_warn_once!("a fan was dropped, not completed\n");
        }
        // SAFETY: This is the drop.
        unsafe { self.dissolve(Status::IO_ERROR) };
    }
}

/// # Safety
///
/// Only for `bi_end_io` of legs of a `Fan<R>`.
unsafe extern "C" fn leg_ended<R: Request>(bio: *mut bindings::bio) {
    // SAFETY: A leg is the first field of its slot, and points to the header of its fan, which lives until all legs
    // ended.
    let (slot, header) = unsafe {
        (
            NonNull::new_unchecked(bio.cast::<Slot<R>>()),
            NonNull::new_unchecked((*bio).bi_private.cast::<Header<R>>()),
        )
    };
    // SAFETY: The fan is under way: its header and this slot are only read by anybody, but for atomics.
    let (shared, leg) = unsafe { (header.as_ref(), slot.as_ref()) };
    let borrows = leg.borrows;
    shared
        .request
        .leg_done(Leg::new(leg, Header::index(header, slot)));
    if shared.mixed && borrows && shared.borrowers.fetch_sub(1, Full) == 1 {
        if let Early::End(status) = shared.request.originals_done() {
            // SAFETY: Only the last borrower comes here, and the fan does not finish before this leg is counted out
            // below; nobody else looks at the parent meanwhile.
            unsafe { shared.end_parent(status) };
        }
    }
    // Full: what the other legs did to the request is seen by `finish`, and what we did by the last of them.
    if shared.remaining.fetch_sub(1, Full) == 1 {
        // INVARIANT: All legs have ended, so the fan is ours alone.
        R::finish(Fan(header));
    }
}

// SAFETY: `next` is a field of the header, used by nobody else while the fan is owned by the list.
unsafe impl<R: Request> Linked for Fan<R> {
    type Node = Header<R>;

    fn into_node(self) -> NonNull<Header<R>> {
        let node = self.0;
        core::mem::forget(self);
        node
    }

    unsafe fn from_node(node: NonNull<Header<R>>) -> Self {
        // INVARIANT: The node is what `into_node` gave.
        Self(node)
    }

    unsafe fn next(node: NonNull<Header<R>>) -> *mut *mut Header<R> {
        // SAFETY: The node is live.
        unsafe { &raw mut (*node.as_ptr()).next }
    }
}
