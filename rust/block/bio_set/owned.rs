// SPDX-License-Identifier: GPL-2.0

//! A bio of a set, before and after it is under way.

use super::{Complete, Data, Inner, Pad};
use crate::{
    alloc::{
        cells::CellPage,
        page::{PageBuf, Pages},
    },
    bindings,
    block::{
        bio::{merge_status, sealed, Bio, Flags, Head},
        parked::Linked,
        status::Status,
        sync_io::PagePart,
    },
    sync::percpu_count::Outstanding,
};
use core::{marker::PhantomData, ops::Deref, ptr::NonNull};
use kernel::{page::PAGE_SIZE, prelude::*};

/// A bio of a set that is not under way.
///
/// # Invariants
///
/// The bio has a live pad of type `Pad<T>` and is ours; `bi_private` is null or a bio that waits for this one.
pub(super) struct Owned<T: Complete>(NonNull<bindings::bio>, PhantomData<T>);

// SAFETY: Bios may be submitted and freed from any task, and the value is `Send` and `Sync` by its bound.
unsafe impl<T: Complete> Send for Owned<T> {}
// SAFETY: As above.
unsafe impl<T: Complete> Sync for Owned<T> {}

impl<T: Complete> Owned<T> {
    /// Takes over a fresh bio of the set of `inner`, and puts what goes with it in front of it.
    ///
    /// # Safety
    ///
    /// The bio must be ours, from a set with pads of type `Pad<T>`, without a pad and without a parent.
    #[inline(always)]
    pub(super) unsafe fn new(raw: NonNull<bindings::bio>, inner: &Inner, value: T) -> Self {
        inner.outstanding.lend();
        let data = Data::None;
        // SAFETY: There is room for the pad in front of the bio, and it is ours.
        unsafe { Pad::<T>::of(raw.as_ptr()).write(Pad { value, data }) };
        // SAFETY: The bio is ours.
        unsafe { (*raw.as_ptr()).bi_end_io = Some(ended::<T>) };
        // INVARIANT: The pad was just written; `bi_private` of a fresh bio is null.
        Self(raw, PhantomData)
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> *mut bindings::bio {
        self.0.as_ptr()
    }

    /// Has the pad own what the data lies in.
    pub(super) fn set_data(&mut self, data: Data) {
        // SAFETY: By the type invariant the pad is live and ours.
        unsafe { (*self.pad()).data = data };
    }

    #[inline(always)]
    fn pad(&self) -> *mut Pad<T> {
        // SAFETY: By the type invariant.
        unsafe { Pad::of(self.0.as_ptr()) }
    }

    pub(super) fn set_parent(&self, parent: &mut Bio) {
        // SAFETY: The parent is ours, and nobody else chains to it now. `ended` gives back what this takes.
        unsafe { bindings::kernel_ext_bio_inc_remaining(parent.as_raw()) };
        // SAFETY: The bio is ours.
        // INVARIANT: The parent waits, by the count just taken.
        unsafe { (*self.0.as_ptr()).bi_private = parent.as_raw().cast() };
    }

    pub(super) fn add_pages(&self, pages: &[PageBuf], sectors: u32) -> Result {
        let mut left = usize::try_from(sectors)?.checked_mul(512).ok_or(EINVAL)?;
        if left > pages.len().saturating_mul(PAGE_SIZE) {
            return Err(EINVAL);
        }
        for page in pages {
            let bytes = left.min(PAGE_SIZE);
            if bytes == 0 {
                break;
            }
            // SAFETY: The bio is ours and has a vector for each page; the page is in the linear mapping.
            unsafe {
                bindings::bio_add_virt_nofail(
                    self.0.as_ptr(),
                    page.address().cast(),
                    u32::try_from(bytes)?,
                );
            }
            left -= bytes;
        }
        Ok(())
    }

    pub(super) fn add_cells(&self, page: &CellPage, part: PagePart) {
        // SAFETY: The bio is ours and has one vector; the part is inside the page, which is in the linear mapping.
        unsafe {
            bindings::bio_add_virt_nofail(
                self.0.as_ptr(),
                page.address().byte_add(part.skip_bytes()).cast(),
                part.bytes(),
            );
        }
    }

    #[inline(always)]
    fn head(&self) -> &Head {
        // SAFETY: By the type invariant the bio is ours, and has a device.
        unsafe { Head::from_raw(self.0.as_ptr()) }
    }

    fn parent(&self) -> *mut bindings::bio {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).bi_private.cast() }
    }
}

impl<T: Complete> Drop for Owned<T> {
    fn drop(&mut self) {
        let parent = self.parent();
        // SAFETY: By the type invariant the pad is live and ours.
        unsafe { self.pad().drop_in_place() };
        // SAFETY: `bi_pool` is the `raw` field of the `Inner` of the set, and lies first in it.
        let inner = unsafe { (*self.0.as_ptr()).bi_pool.cast::<Inner>() };
        // SAFETY: The bio is ours.
        unsafe { bindings::bio_put(self.0.as_ptr()) };
        // SAFETY: The set waits for this bio, which is back now.
        unsafe { Outstanding::take_back(NonNull::new_unchecked(&raw mut (*inner).outstanding)) };
        if !parent.is_null() {
            // SAFETY: Gives back what `set_parent` took.
            unsafe { bindings::bio_endio(parent) };
        }
    }
}

/// A bio that was not submitted yet. Dropping it frees it.
#[must_use = "a bio that is dropped is not submitted"]
pub struct NewBio<T: Complete>(pub(super) Owned<T>);

impl<T: Complete> NewBio<T> {
    /// Submits the bio; the rest happens at [`Complete::complete`], if `wait` is not wanted.
    #[inline]
    pub fn submit(self) {
        let raw = self.0 .0.as_ptr();
        core::mem::forget(self);
        // SAFETY: The bio is ready, and ownership passes to the block layer, which gives it to `ended`.
        unsafe { bindings::submit_bio_noacct(raw) };
    }

    /// Submits the bio, reporting that it was made from `from`, and counts it as I/O of the current task.
    #[inline]
    pub fn submit_remapped(self, from: &Head) {
        let (number, sector) = (from.device().number().as_raw(), from.sector());
        let raw = self.0 .0.as_ptr();
        core::mem::forget(self);
        // SAFETY: As in `submit`.
        unsafe { bindings::kernel_ext_submit_bio_remapped(raw, number, sector) };
    }

    /// Passes the bio to code that takes bios from above, which ends it; that arrives at [`Complete::complete`].
    pub fn into_bio(self) -> Bio {
        let raw = self.0 .0;
        core::mem::forget(self);
        // SAFETY: The bio is ours, has a device, and its end goes to `ended`.
        unsafe { Bio::from_raw(raw) }
    }

    /// Submits the bio and waits for it. May sleep. [`Complete::complete`] is not called.
    pub fn submit_wait(self) -> CompletedBio<T> {
        let raw = self.0 .0.as_ptr();
        let parent = self.0.parent();
        // SAFETY: The bio is ready; when this returns it has ended and is ours again.
        unsafe { bindings::submit_bio_wait(raw) };
        // SAFETY: The bio is ours. The call used both fields for itself.
        unsafe { (*raw).bi_private = parent.cast() };
        CompletedBio(self.0)
    }
}

impl<T: Complete> Deref for NewBio<T> {
    type Target = Head;

    #[inline(always)]
    fn deref(&self) -> &Head {
        self.0.head()
    }
}

// SAFETY: The bio is owned and not submitted, so only the exclusive borrower of this value changes it.
unsafe impl<T: Complete> sealed::Raw for NewBio<T> {
    fn raw(&self) -> *mut bindings::bio {
        self.0 .0.as_ptr()
    }
}

/// A bio that has ended. Dropping it frees it, and lets its parent go on.
pub struct CompletedBio<T: Complete>(Owned<T>);

impl<T: Complete> CompletedBio<T> {
    /// How it ended.
    #[inline]
    pub fn status(&self) -> Status {
        self.0.head().status()
    }

    /// The flags it was submitted with.
    pub fn flags(&self) -> Flags {
        self.0.head().flags()
    }

    /// What went with it.
    #[inline]
    pub fn value(&mut self) -> &mut T {
        // SAFETY: The pad is live, and ours.
        unsafe { &mut (*self.0.pad()).value }
    }

    /// The pages that it owned.
    pub fn take_pages(&mut self) -> Option<Pages> {
        // SAFETY: The pad is live, and ours.
        let data = unsafe { &mut (*self.0.pad()).data };
        match core::mem::replace(data, Data::None) {
            Data::Owned(pages) => Some(pages),
            other => {
                *data = other;
                None
            }
        }
    }

    /// Has the parent end with the error of this bio, if there is a parent and an error.
    pub fn tell_parent(&self) {
        let parent = self.0.parent();
        if !parent.is_null() {
            // SAFETY: The parent waits for this bio, so it has not ended.
            unsafe { merge_status(parent, self.status()) };
        }
    }
}

macro_rules! linked {
    ($bio:ident) => {
        // SAFETY: `bi_next` is for the owner of a bio.
        unsafe impl<T: Complete> Linked for $bio<T> {
            type Node = bindings::bio;

            fn into_node(self) -> NonNull<bindings::bio> {
                let node = self.0 .0;
                core::mem::forget(self);
                node
            }

            unsafe fn from_node(node: NonNull<bindings::bio>) -> Self {
                // SAFETY: By the precondition it was one of these. Who submits a bio is to leave the link null.
                unsafe { (*node.as_ptr()).bi_next = core::ptr::null_mut() };
                // INVARIANT: The node is what `into_node` gave.
                Self(Owned(node, PhantomData))
            }

            unsafe fn next(node: NonNull<bindings::bio>) -> *mut *mut bindings::bio {
                // SAFETY: The bio is alive.
                unsafe { &raw mut (*node.as_ptr()).bi_next }
            }
        }
    };
}

linked!(NewBio);
linked!(CompletedBio);

/// # Safety
///
/// Only for `bi_end_io` of bios of a `BioSet<T>`.
unsafe extern "C" fn ended<T: Complete>(bio: *mut bindings::bio) {
    // SAFETY: The block layer passes the bio that was submitted, so it is not null.
    let bio = unsafe { NonNull::new_unchecked(bio) };
    // INVARIANT: The block layer gives back a bio that was submitted with its pad in place.
    T::complete(CompletedBio(Owned(bio, PhantomData)));
}
