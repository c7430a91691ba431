// SPDX-License-Identifier: GPL-2.0

//! Pages that may be the data of a bio.
//!
//! They are reached through ordinary slices. A page moves into the bio that reads into it and comes back when that
//! has ended, so that nobody looks at a page while a device writes to it.

use core::ops::{Deref, DerefMut};
use kernel::{alloc::Flags, page::PAGE_SIZE, prelude::*};

/// Sectors of 512 bytes in a page.
pub const PAGE_SECTORS: u32 = (PAGE_SIZE / 512) as u32;

/// The bytes of a page, where a page belongs.
#[repr(C, align(4096))]
struct Bytes([u8; PAGE_SIZE]);

/// A page of memory.
///
/// # Invariants
///
/// The bytes are on the heap, in memory that the kernel maps linearly.
pub struct PageBuf(KBox<Bytes>);

impl PageBuf {
    /// A page of zeroes.
    pub fn zeroed(flags: Flags) -> Result<Self> {
        let mut page = KBox::<Bytes>::new_uninit(flags)?;
        // SAFETY: The memory is ours and has this size.
        unsafe { page.as_mut_ptr().write_bytes(0, 1) };
        // INVARIANT: `KBox` allocates with `kmalloc`.
        // SAFETY: All bytes were just initialised.
        Ok(Self(unsafe { page.assume_init() }))
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> *mut u8 {
        self.0 .0.as_ptr().cast_mut()
    }
}

impl Deref for PageBuf {
    type Target = [u8; PAGE_SIZE];

    fn deref(&self) -> &Self::Target {
        &self.0 .0
    }
}

impl DerefMut for PageBuf {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0 .0
    }
}

/// A number of pages that one bio can carry.
pub struct Pages(KVec<PageBuf>);

impl Pages {
    /// The most that one bio can carry (`BIO_MAX_VECS`).
    pub const MAX: usize = 256;

    /// As many pages of zeroes. `EINVAL` for more than [`Pages::MAX`].
    pub fn zeroed(count: usize, flags: Flags) -> Result<Self> {
        if count > Self::MAX {
            return Err(EINVAL);
        }
        let mut pages = KVec::with_capacity(count, flags)?;
        for _ in 0..count {
            pages.push(PageBuf::zeroed(flags)?, flags)?;
        }
        Ok(Self(pages))
    }

    /// How many sectors fit in.
    pub fn sectors(&self) -> u32 {
        u32::try_from(self.0.len()).map_or(0, |pages| pages.saturating_mul(PAGE_SECTORS))
    }
}

impl Deref for Pages {
    type Target = [PageBuf];

    fn deref(&self) -> &[PageBuf] {
        &self.0
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [PageBuf] {
        &mut self.0
    }
}
