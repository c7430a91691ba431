// SPDX-License-Identifier: GPL-2.0

//! Pages of bytes that anybody may change one by one, while devices read them.

use super::page::PageBuf;
use core::mem::ManuallyDrop;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Relaxed},
};

/// The bytes of a page, each an atomic of its own.
#[repr(C, align(4096))]
struct Cells([Atomic<i8>; PAGE_SIZE]);

/// A page whose bytes are atomics. A bio that writes it to a device does not borrow it: what a device gets of a byte
/// that changes meanwhile is its old or its new value.
///
/// Offsets beyond the page do nothing and read as zero.
///
/// # Invariants
///
/// The bytes are on the heap, in memory that the kernel maps linearly.
pub struct CellPage(KBox<Cells>);

impl From<PageBuf> for CellPage {
    /// The same page, to be shared from now on.
    fn from(page: PageBuf) -> Self {
        let raw = ManuallyDrop::new(page).address();
        // SAFETY: The memory is that of a `PageBuf` nobody owns any more: allocated by `kmalloc` with the size and
        // alignment of a page, which are those of `Cells`. All bytes are initialised, and any byte is an atomic.
        // INVARIANT: As that of `PageBuf`.
        Self(unsafe { KBox::from_raw(raw.cast()) })
    }
}

impl CellPage {
    /// The address of the first byte.
    pub(crate) fn address(&self) -> *mut u8 {
        self.0 .0.as_ptr().cast_mut().cast()
    }

    fn cell(&self, at: usize) -> Option<&Atomic<i8>> {
        self.0 .0.get(at)
    }

    /// The byte at `at`. What was written before it was set is seen after this (acquire).
    #[inline]
    pub fn load(&self, at: usize) -> u8 {
        self.cell(at).map_or(0, |cell| byte(cell.load(Acquire)))
    }

    /// Turns the byte at `at` from `old` to `new`; the byte as it is when it was not `old`. A full barrier on success.
    #[inline]
    pub fn compare_exchange(&self, at: usize, old: u8, new: u8) -> core::result::Result<(), u8> {
        let Some(cell) = self.cell(at) else {
            return Err(0);
        };
        match cell.cmpxchg(signed(old), signed(new), Full) {
            Ok(_) => Ok(()),
            Err(now) => Err(byte(now)),
        }
    }

    /// Sets the bytes from `at` on. A reader may see some of them old and some new.
    pub fn store(&self, at: usize, bytes: &[u8]) {
        for (offset, new) in bytes.iter().enumerate() {
            if let Some(cell) = at.checked_add(offset).and_then(|at| self.cell(at)) {
                cell.store(signed(*new), Relaxed);
            }
        }
    }

    /// The bytes from `at` on, each as it was at some time during the call.
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        for (offset, to) in bytes.iter_mut().enumerate() {
            *to = at.checked_add(offset).map_or(0, |at| self.load(at));
        }
    }
}

const fn byte(signed: i8) -> u8 {
    u8::from_ne_bytes(signed.to_ne_bytes())
}

const fn signed(byte: u8) -> i8 {
    i8::from_ne_bytes([byte])
}
