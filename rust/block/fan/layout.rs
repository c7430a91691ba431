// SPDX-License-Identifier: GPL-2.0

//! How a fan lies in memory: a header, then its slots.

use super::{leg_ended, Request};
use crate::{
    alloc::{mempool::RawPool, noio::NoIo, page::Pages},
    bindings,
    block::{
        bdev::Target,
        bio::{Accounting, Bio, Flags},
        status::Status,
    },
};
use core::{cell::UnsafeCell, ptr::NonNull};
use kernel::{
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// The part of a fan that there is once.
pub struct Header<R: Request> {
    /// Legs under way.
    pub(super) remaining: Atomic<i32>,
    /// Those of them that use the data of the parent; not kept when all do.
    pub(super) borrowers: Atomic<i32>,
    /// Slots in use.
    pub(super) used: u16,
    pub(super) capacity: u16,
    /// Whether some legs do not use the data of the parent.
    pub(super) mixed: bool,
    /// Until it has ended. Cells, as one leg may end it while others look at the rest of the header.
    parent: UnsafeCell<Option<Bio>>,
    accounting: UnsafeCell<Option<Accounting>>,
    pub(super) copy: Option<Copy>,
    /// Where the parent was to go, for tracing.
    pub(super) from: bindings::dev_t,
    pub(super) from_sector: u64,
    pub(super) pool: NonNull<RawPool>,
    /// For lists of fans.
    pub(super) next: *mut Header<R>,
    pub(super) request: R,
}

impl<R: Request> Header<R> {
    /// Bytes from the header to the first slot.
    const SLOTS: usize = {
        assert!(
            align_of::<Self>() <= align_of::<u64>() && align_of::<Slot<R>>() <= align_of::<u64>()
        );
        size_of::<Self>().next_multiple_of(align_of::<u64>())
    };

    /// The size of a fan with so many slots.
    pub(super) fn bytes(slots: u16) -> Option<usize> {
        size_of::<Slot<R>>()
            .checked_mul(slots.into())?
            .checked_add(Self::SLOTS)
    }

    #[inline(always)]
    pub(super) fn new(parent: Bio, request: R, capacity: u16, pool: NonNull<RawPool>) -> Self {
        Self {
            remaining: Atomic::new(0),
            borrowers: Atomic::new(0),
            used: 0,
            capacity,
            mixed: false,
            accounting: UnsafeCell::new(Some(parent.start_accounting())),
            from: parent.device().number().as_raw(),
            from_sector: parent.sector(),
            parent: UnsafeCell::new(Some(parent)),
            copy: None,
            pool,
            next: core::ptr::null_mut(),
            request,
        }
    }

    /// # Safety
    ///
    /// `header` must be in a block with room for a slot at `index`.
    #[inline(always)]
    pub(super) unsafe fn slot(header: NonNull<Self>, index: u16) -> NonNull<Slot<R>> {
        // SAFETY: The slots follow the header at `SLOTS`, by the precondition in the same allocation.
        unsafe {
            header
                .byte_add(Self::SLOTS)
                .cast::<Slot<R>>()
                .add(index.into())
        }
    }

    /// The index of a slot of this fan.
    #[inline(always)]
    pub(super) fn index(header: NonNull<Self>, slot: NonNull<Slot<R>>) -> u16 {
        let bytes = slot.addr().get() - header.addr().get() - Self::SLOTS;
        // A fan has at most `u16::MAX` slots.
        (bytes / size_of::<Slot<R>>()) as u16
    }

    /// Sets the counts for the legs that are there.
    #[inline(always)]
    pub(super) fn start(&self) {
        // Relaxed: nobody else has the fan before the first leg is submitted.
        self.remaining.store(self.used.into(), Relaxed);
        if self.mixed {
            // INVARIANT: As many as there are slots with `borrows`.
            let borrowers = (0..self.used).map(|index| {
                // SAFETY: The slots in use are initialised and not under way.
                i32::from(unsafe { (*Self::slot(NonNull::from(self), index).as_ptr()).borrows })
            });
            self.borrowers.store(borrowers.sum(), Relaxed);
        }
    }

    /// The parent, unless it has ended.
    ///
    /// # Safety
    ///
    /// No leg is under way.
    #[inline(always)]
    pub(super) unsafe fn parent(&self) -> Option<&Bio> {
        // SAFETY: Only a leg could change it.
        unsafe { (*self.parent.get()).as_ref() }
    }

    /// Ends the parent, if it has not ended.
    ///
    /// # Safety
    ///
    /// No leg under way uses the data of the parent, and nobody else calls this or `parent` now.
    #[inline]
    pub(super) unsafe fn end_parent(&self, status: Status) {
        // SAFETY: By the precondition the two cells are ours.
        let (parent, accounting) =
            unsafe { ((*self.parent.get()).take(), (*self.accounting.get()).take()) };
        if let Some(parent) = parent {
            if let Some(accounting) = accounting {
                accounting.end(&parent);
            }
            parent.end(status);
        }
    }
}

/// The part of a fan that there is for each leg.
#[repr(C)]
pub(super) struct Slot<R: Request> {
    /// First, as `bi_end_io` gets a pointer to it.
    pub(super) bio: bindings::bio,
    pub(super) target: R::Leg,
    /// Whether the bio uses the data of the parent.
    pub(super) borrows: bool,
}

impl<R: Request> Slot<R> {
    /// Makes the slot a clone of `source`. `ENOMEM` when that fails; then the slot stays unused.
    ///
    /// # Safety
    ///
    /// `slot` must be unused memory of the fan of `header`; `source` must be a live bio that belongs to a cgroup,
    /// as all do that have or had a device.
    #[inline(always)]
    pub(super) unsafe fn init(
        slot: NonNull<Self>,
        header: NonNull<Header<R>>,
        source: *mut bindings::bio,
        target: R::Leg,
        borrows: bool,
    ) -> Result {
        let device = target.device().as_raw();
        let slot = slot.as_ptr();
        // SAFETY: The slot is memory of ours; no reference to it is made.
        let bio = unsafe { &raw mut (*slot).bio };
        // Without a device at first: with one, the bio would be charged to the cgroup of the current task, just to be
        // moved to that of the source.
        let (none, gfp) = (core::ptr::null_mut(), bindings::kernel_ext_GFP_NOIO);
        // SAFETY: `bio` is memory for a bio, and the source is alive.
        let ret = unsafe { bindings::bio_init_clone(none, bio, source, gfp) };
        if ret != 0 {
            // Out of line.
            return to_result(ret);
        }
        // SAFETY: The slot is ours, and the device is alive.
        unsafe {
            (*bio).bi_bdev = device;
            bindings::kernel_ext_bio_clone_blkg_association(bio, source);
            (*bio).bi_end_io = Some(leg_ended::<R>);
            (*bio).bi_private = header.as_ptr().cast();
            (&raw mut (*slot).target).write(target);
            (&raw mut (*slot).borrows).write(borrows);
        }
        Ok(())
    }

    /// Makes the slot unused.
    ///
    /// # Safety
    ///
    /// The slot must be initialised, and its bio not under way.
    #[inline(always)]
    pub(super) unsafe fn clear(slot: NonNull<Self>) {
        let slot = slot.as_ptr();
        // SAFETY: The bio is initialised and ours; it may have ended or not have been submitted.
        unsafe { bindings::bio_uninit(&raw mut (*slot).bio) };
        // SAFETY: The target is live and ours.
        unsafe { (&raw mut (*slot).target).drop_in_place() };
    }
}

/// A copy of the data of a bio.
///
/// # Invariants
///
/// `bio` is a bio of ours from `bio_kmalloc`, whose vectors are in `pages`.
pub(super) struct Copy {
    bio: NonNull<bindings::bio>,
    _pages: Pages,
}

impl Copy {
    pub(super) fn of(source: &Bio) -> Result<Self> {
        let _noio = NoIo::enter();
        let bytes = usize::try_from(source.sectors())?
            .checked_mul(512)
            .ok_or(EINVAL)?;
        let pages = Pages::zeroed(bytes.div_ceil(PAGE_SIZE), GFP_KERNEL)?;
        let vecs = u16::try_from(pages.len())?;
        // SAFETY: May sleep; has no other precondition.
        let raw = unsafe { bindings::bio_kmalloc(vecs, bindings::kernel_ext_GFP_NOIO) };
        let bio = NonNull::new(raw).ok_or(ENOMEM)?;
        let opf =
            bindings::req_op_REQ_OP_WRITE | (source.flags().as_raw() & !Flags::PREFLUSH.as_raw());
        // The device only serves to find the cgroup that legs are charged to.
        let device = source.device().as_raw();
        // SAFETY: The vectors follow the bio in its allocation, and there are `vecs` of them.
        unsafe { bindings::bio_init(raw, device, raw.add(1).cast(), vecs, opf) };
        // SAFETY: Both are alive and have a device.
        unsafe { bindings::kernel_ext_bio_clone_blkg_association(raw, source.as_raw()) };
        let mut left = bytes;
        for page in pages.iter() {
            let part = left.min(PAGE_SIZE);
            // SAFETY: There is a vector for each page, and the page is in the linear mapping. `part` fits in 32 bits.
            unsafe { bindings::bio_add_virt_nofail(raw, page.address().cast(), part as u32) };
            left -= part;
        }
        // SAFETY: Both are alive and have data of the same size.
        unsafe { bindings::bio_copy_data(raw, source.as_raw()) };
        // INVARIANT: As just made.
        Ok(Self { bio, _pages: pages })
    }

    pub(super) fn as_raw(&self) -> *mut bindings::bio {
        self.bio.as_ptr()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the bio is ours.
        unsafe { bindings::bio_uninit(self.bio.as_ptr()) };
        // SAFETY: By the type invariant it is `kmalloc` memory.
        unsafe { bindings::kfree(self.bio.as_ptr().cast()) };
    }
}
