// SPDX-License-Identifier: GPL-2.0

//! Bios that we make, each with a value of ours beside it.
//!
//! [`BioSet`] makes a [`NewBio`], which is submitted; its end arrives as a [`CompletedBio`] at
//! [`Complete::complete`]. The value lies in front of the bio, in the same memory, and keeps the device of the bio
//! open ([`Target`]).
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

mod owned;

pub use self::owned::{CompletedBio, NewBio};

use self::owned::Owned;
use super::sync_io::PagePart;
use super::{
    bdev::Target,
    bio::{Bio, Dataless, Direction},
};
use crate::{
    alloc::{cells::CellPage, page::Pages},
    bindings,
    sync::percpu_count::Outstanding,
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};

/// What goes with a bio, and what is done when it ends.
pub trait Complete: Target + Sized + Send + Sync + 'static {
    /// The bio ended. May run in an interrupt: it must not sleep, nor take locks that others take with interrupts on.
    fn complete(bio: CompletedBio<Self>);
}

/// What the data of a bio lies in.
enum Data {
    /// There is none, or it is that of the parent.
    None,
    Owned(Pages),
    Shared {
        _pages: Arc<Pages>,
    },
    Cells {
        _page: Arc<CellPage>,
    },
}

/// What lies in front of each bio.
#[repr(C)]
struct Pad<T> {
    value: T,
    data: Data,
}

impl<T> Pad<T> {
    /// Bytes from the pad to its bio.
    const BYTES: usize = {
        assert!(align_of::<Self>() <= align_of::<bindings::bio>());
        size_of::<Self>().next_multiple_of(align_of::<bindings::bio>())
    };

    /// # Safety
    ///
    /// `bio` must be of a set with pads of this type.
    #[inline(always)]
    unsafe fn of(bio: *mut bindings::bio) -> *mut Self {
        // SAFETY: The pad is so many bytes before the bio, in the same allocation.
        unsafe { bio.byte_sub(Self::BYTES).cast() }
    }
}

/// What all bios of a set refer to.
#[pin_data]
#[repr(C)]
struct Inner {
    /// First, as `bi_pool` points to it.
    #[pin]
    raw: Opaque<bindings::bio_set>,
    takes_data: bool,
    outstanding: Outstanding,
}

// SAFETY: The set has its own locks.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

/// A source of bios with values of type `T`. Dropping it sleeps until all its bios have ended.
///
/// # Invariants
///
/// `inner.raw` was initialised with a front pad for `T`; `inner.outstanding` counts the bios that are not in it.
pub struct BioSet<T: Complete> {
    inner: Pin<KBox<Inner>>,
    _values: PhantomData<fn(T) -> T>,
}

impl<T: Complete> BioSet<T> {
    /// A set that can always give `reserve` bios, one after the other if need be. A page of memory goes with each.
    pub fn new(reserve: u16) -> Result<Self> {
        Self::with(reserve, bindings::BIOSET_NEED_BVECS)
    }

    /// As [`BioSet::new`], for bios without data only, which have no page.
    pub fn without_data(reserve: u16) -> Result<Self> {
        Self::with(reserve, 0)
    }

    fn with(reserve: u16, flags: u32) -> Result<Self> {
        let bytes = u32::try_from(Pad::<T>::BYTES)?;
        let init = try_pin_init!(Inner {
            raw <- Opaque::try_ffi_init(|raw: *mut bindings::bio_set| {
                // SAFETY: The memory is valid for writes and zeroing is what the call expects of it.
                unsafe { raw.write_bytes(0, 1) };
                let flags = flags.try_into()?;
                // SAFETY: As above.
                to_result(unsafe { bindings::bioset_init(raw, reserve.into(), bytes, flags) })
            }),
            takes_data: flags & bindings::BIOSET_NEED_BVECS != 0,
            outstanding: Outstanding::new()?,
        }? Error);
        // INVARIANT: Just initialised.
        Ok(Self {
            inner: KBox::pin_init(init, GFP_KERNEL)?,
            _values: PhantomData,
        })
    }

    /// `EINVAL` when there are to be vectors and the set has none.
    fn alloc(&self, value: T, vecs: u16, opf: bindings::blk_opf_t) -> Result<NewBio<T>> {
        if vecs > 0 && !self.inner.takes_data {
            return Err(EINVAL);
        }
        let device = value.device().as_raw();
        let gfp = bindings::kernel_ext_GFP_NOIO;
        // SAFETY: The set is alive, and the device is: `value` holds it.
        let raw =
            unsafe { bindings::bio_alloc_bioset(device, vecs, opf, gfp, self.inner.raw.get()) };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: A fresh bio of this set.
        Ok(NewBio(unsafe { Owned::new(raw, &self.inner, value) }))
    }

    /// A bio without data, for `sectors` sectors (none for a flush).
    pub fn dataless(&self, op: Dataless, sectors: u32, value: T) -> Result<NewBio<T>> {
        let bio = self.alloc(value, 0, op.as_raw())?;
        // SAFETY: The bio is ours, and has no vectors that would have to have this size.
        unsafe { (*bio.0.raw()).bi_iter.bi_size = bytes_of(op, sectors)? };
        Ok(bio)
    }

    /// A bio without data that `parent` waits for: whoever submitted `parent` hears of its end only after this has
    /// ended.
    ///
    /// Errors reach `parent` only by [`CompletedBio::tell_parent`].
    pub fn child(
        &self,
        parent: &mut Bio,
        op: Dataless,
        sectors: u32,
        value: T,
    ) -> Result<NewBio<T>> {
        let bio = self.dataless(op, sectors, value)?;
        // SAFETY: Both are ours.
        unsafe {
            bindings::kernel_ext_bio_clone_blkg_association(bio.0.raw(), parent.as_raw());
        }
        bio.0.set_parent(parent);
        Ok(bio)
    }

    /// A bio with the operation, range and data of `parent`, which waits for it as for [`BioSet::child`].
    pub fn clone_of(&self, parent: &mut Bio, value: T) -> Result<NewBio<T>> {
        let device = value.device().as_raw();
        // SAFETY: The set, the device and the parent are alive; the parent keeps the data until this has ended.
        let raw = unsafe {
            bindings::bio_alloc_clone(
                device,
                parent.as_raw(),
                bindings::kernel_ext_GFP_NOIO,
                self.inner.raw.get(),
            )
        };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: A fresh bio of this set.
        let bio = NewBio(unsafe { Owned::new(raw, &self.inner, value) });
        bio.0.set_parent(parent);
        Ok(bio)
    }

    /// A bio that moves the first `sectors` sectors of `pages`, and owns them until it has ended.
    ///
    /// `EINVAL` when there are not so many.
    pub fn with_pages(
        &self,
        to: Direction,
        pages: Pages,
        sectors: u32,
        value: T,
    ) -> Result<NewBio<T>> {
        let vecs = u16::try_from(pages.len())?;
        let mut bio = self.alloc(value, vecs, to.as_raw())?;
        bio.0.add_pages(&pages, sectors)?;
        // The bytes stay where they are when their owner moves.
        bio.0.set_data(Data::Owned(pages));
        Ok(bio)
    }

    /// A bio that writes the first `sectors` sectors of `pages`, which others may write and read meanwhile.
    ///
    /// `EINVAL` when there are not so many.
    pub fn write_shared(&self, pages: Arc<Pages>, sectors: u32, value: T) -> Result<NewBio<T>> {
        let vecs = u16::try_from(pages.len())?;
        let mut bio = self.alloc(value, vecs, Direction::Write.as_raw())?;
        bio.0.add_pages(&pages, sectors)?;
        // The bytes stay where they are when their owner moves.
        bio.0.set_data(Data::Shared { _pages: pages });
        Ok(bio)
    }

    /// A bio that writes a part of a page of cells, which others may change meanwhile.
    pub fn write_cells(&self, page: Arc<CellPage>, part: PagePart, value: T) -> Result<NewBio<T>> {
        let mut bio = self.alloc(value, 1, Direction::Write.as_raw())?;
        bio.0.add_cells(&page, part);
        // The bytes stay where they are when their owner moves.
        bio.0.set_data(Data::Cells { _page: page });
        Ok(bio)
    }
}

impl<T: Complete> Drop for BioSet<T> {
    fn drop(&mut self) {
        // SAFETY: Nothing is moved out.
        let inner = unsafe { self.inner.as_mut().get_unchecked_mut() };
        inner.outstanding.wait();
        // SAFETY: By the type invariant the set is initialised, and all its bios are back.
        unsafe { bindings::bioset_exit(inner.raw.get()) };
    }
}

/// The size in bytes of a bio without data.
fn bytes_of(op: Dataless, sectors: u32) -> Result<u32> {
    match op {
        Dataless::Flush if sectors != 0 => Err(EINVAL),
        _ => sectors.checked_mul(512).ok_or(EINVAL),
    }
}
