// SPDX-License-Identifier: GPL-2.0

//! Lists of bad sectors, as all block drivers keep them.
//!
//! A range is acknowledged when it is recorded in metadata, so that a crash cannot bring back stale data.
//!
//! C header: [`include/linux/badblocks.h`](srctree/include/linux/badblocks.h)

use crate::{alloc::page::PageBuf, bindings};
use core::ffi::CStr;
use kernel::{error::to_result, ffi, prelude::*, types::Opaque};

/// Whether a range is recorded in metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It is.
    Acknowledged,
    /// Not yet.
    Unacknowledged,
}

/// A range of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first sector.
    pub start: u64,
    /// How many.
    pub sectors: u64,
}

/// What is known of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing bad.
    Good,
    /// All that is bad in it is acknowledged; the first of that.
    Acknowledged(Range),
    /// Something bad in it is not acknowledged; the first that is bad.
    Unacknowledged(Range),
}

/// An entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// At most 512 sectors.
    pub range: Range,
    /// Whether it is recorded.
    pub ack: Ack,
}

/// The form of an entry inside the list: 1 bit acknowledged, 54 bits sector, 9 bits length less one.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct RawEntry(u64);

impl From<RawEntry> for Entry {
    fn from(RawEntry(raw): RawEntry) -> Self {
        Self {
            range: Range {
                start: (raw >> 9) & ((1 << 54) - 1),
                sectors: (raw & 0x1ff) + 1,
            },
            ack: match raw >> 63 {
                0 => Ack::Unacknowledged,
                _ => Ack::Acknowledged,
            },
        }
    }
}

/// How many entries a list can have.
pub const MAX_ENTRIES: usize = kernel::page::PAGE_SIZE / 8;

/// A list of bad ranges.
#[pin_data(PinnedDrop)]
pub struct BadBlocks {
    #[pin]
    raw: Opaque<bindings::badblocks>,
}

// SAFETY: The list has its own lock.
unsafe impl Send for BadBlocks {}
// SAFETY: As above.
unsafe impl Sync for BadBlocks {}

impl BadBlocks {
    /// An empty list, in use.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|raw: *mut bindings::badblocks| {
                // SAFETY: `raw` is memory for a list, for which zeroes are valid.
                unsafe { raw.write_bytes(0, 1) };
                // SAFETY: As above.
                to_result(unsafe { bindings::badblocks_init(raw, 1) })
            }),
        }? Error)
    }

    /// What is known of `range`.
    #[inline]
    pub fn check(&self, range: Range) -> Check {
        if self.is_empty() {
            return Check::Good;
        }
        let (mut start, mut sectors) = (0, 0);
        // SAFETY: The list is initialised; both results are memory of ours.
        let found = unsafe {
            bindings::badblocks_check(
                self.raw.get(),
                range.start,
                range.sectors,
                &mut start,
                &mut sectors,
            )
        };
        match found {
            0 => Check::Good,
            1.. => Check::Acknowledged(Range { start, sectors }),
            _ => Check::Unacknowledged(Range { start, sectors }),
        }
    }

    /// Adds a range. `ENOSPC` when it does not fit into the list.
    pub fn add(&self, range: Range, ack: Ack) -> Result {
        let ack = (ack == Ack::Acknowledged).into();
        // SAFETY: The list is initialised.
        let fits =
            unsafe { bindings::badblocks_set(self.raw.get(), range.start, range.sectors, ack) };
        fits.then_some(()).ok_or(ENOSPC)
    }

    /// Removes a range. Not in an interrupt, nor with interrupts disabled: it enables them. `ENOSPC` when that would
    /// split an entry and there is no room for another.
    pub fn remove(&self, range: Range) -> Result {
        // SAFETY: The list is initialised.
        let fits = unsafe { bindings::badblocks_clear(self.raw.get(), range.start, range.sectors) };
        fits.then_some(()).ok_or(ENOSPC)
    }

    /// Acknowledges all that was in the list when [`BadBlocks::copy`] was called last and did not change since. Not
    /// in an interrupt, nor with interrupts disabled: it enables them.
    pub fn ack_all(&self) {
        // SAFETY: The list is initialised.
        unsafe { bindings::ack_all_badblocks(self.raw.get()) };
    }

    /// How many entries there are.
    #[inline]
    pub fn count(&self) -> usize {
        // SAFETY: The list is initialised; a racy read, as in C.
        let count = unsafe { (&raw const (*self.raw.get()).count).read_volatile() };
        usize::try_from(count).unwrap_or(0)
    }

    /// Whether there are no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether there may be entries that are not acknowledged.
    #[inline]
    pub fn has_unacknowledged(&self) -> bool {
        // SAFETY: The list is initialised; a racy read, as in C.
        unsafe { (&raw const (*self.raw.get()).unacked_exist).read_volatile() != 0 }
    }

    /// Whether the list changed since it was copied.
    pub fn is_changed(&self) -> bool {
        // SAFETY: The list is initialised; a racy read, as in C.
        unsafe { (&raw const (*self.raw.get()).changed).read_volatile() != 0 }
    }

    /// The unit of entries, as a power of two of sectors; `None` when the list is out of use.
    pub fn shift(&self) -> Option<u8> {
        // SAFETY: The list is initialised; a racy read, as in C.
        let shift = unsafe { (&raw const (*self.raw.get()).shift).read_volatile() };
        u8::try_from(shift).ok()
    }

    /// Sets the unit of entries, or puts the list out of use. To be done while nobody else uses it.
    pub fn set_shift(&self, shift: Option<u8>) {
        let shift = shift.map_or(-1, ffi::c_int::from);
        // SAFETY: The list is initialised; a racy write, as in C.
        unsafe { (&raw mut (*self.raw.get()).shift).write_volatile(shift) };
    }

    /// Copies the entries to `out`, as far as they fit, and takes note that they were seen. How many were copied.
    pub fn copy(&self, out: &mut [RawEntry]) -> usize {
        let max = ffi::c_int::try_from(out.len()).unwrap_or(ffi::c_int::MAX);
        // SAFETY: `out` has room for `max` entries, which are transparent.
        let copied = unsafe {
            bindings::kernel_ext_badblocks_copy(self.raw.get(), out.as_mut_ptr().cast(), max)
        };
        usize::try_from(copied).unwrap_or(0)
    }

    /// Prints all entries, or only those that are not acknowledged, one on a line. How many bytes that took.
    pub fn show(&self, page: &mut PageBuf, only: Option<Ack>) -> usize {
        let unacknowledged = (only == Some(Ack::Unacknowledged)).into();
        // SAFETY: The list is initialised, and the page is one.
        let bytes = unsafe {
            bindings::badblocks_show(self.raw.get(), page.address().cast(), unacknowledged)
        };
        usize::try_from(bytes).unwrap_or(0)
    }

    /// Adds what a line of text says: a sector and a number of sectors. `EINVAL` for anything else, `ENOSPC`.
    pub fn store(&self, text: &CStr, ack: Ack) -> Result {
        let unacknowledged = (ack == Ack::Unacknowledged).into();
        // SAFETY: The list is initialised, and the text is terminated.
        let stored = unsafe {
            bindings::badblocks_store(
                self.raw.get(),
                text.as_char_ptr(),
                text.count_bytes(),
                unacknowledged,
            )
        };
        to_result(i32::try_from(stored.min(0)).unwrap_or(0))
    }
}

#[pinned_drop]
impl PinnedDrop for BadBlocks {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The list is initialised and ours.
        unsafe { bindings::badblocks_exit(self.raw.get()) };
    }
}
