// SPDX-License-Identifier: GPL-2.0

//! I/O that is waited for, a page at a time: superblocks, and the repair of single pages.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::{
    bdev::BlockDevice,
    bio::{Direction, Flags},
    status::Status,
};
use crate::{
    alloc::page::{PageBuf, PAGE_SECTORS},
    bindings,
};
use core::mem::MaybeUninit;
use kernel::error::{to_result, Result};

/// A part of a page, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePart {
    /// Sectors before the part.
    skip: u32,
    /// Sectors in the part.
    sectors: u32,
}

impl PagePart {
    /// The whole page.
    pub const WHOLE: Self = Self {
        skip: 0,
        sectors: PAGE_SECTORS,
    };

    /// A part, or `None` when it is empty or not inside a page.
    pub const fn new(skip: u32, sectors: u32) -> Option<Self> {
        if sectors == 0 || skip >= PAGE_SECTORS || sectors > PAGE_SECTORS - skip {
            return None;
        }
        Some(Self { skip, sectors })
    }

    /// Sectors before the part.
    pub const fn skip(self) -> u32 {
        self.skip
    }

    /// Sectors in the part.
    pub const fn sectors(self) -> u32 {
        self.sectors
    }

    /// Bytes before the part. Less than a page.
    pub(crate) const fn skip_bytes(self) -> usize {
        (self.skip * 512) as usize
    }

    /// Bytes in the part. At most a page.
    pub(crate) const fn bytes(self) -> u32 {
        self.sectors * 512
    }
}

impl BlockDevice {
    /// Reads a part of a page from `sector` on, and waits for it. May sleep.
    pub fn read_wait(
        &self,
        sector: u64,
        page: &mut PageBuf,
        part: PagePart,
        flags: Flags,
    ) -> Status {
        // SAFETY: The page is borrowed exclusively until the read has ended.
        unsafe { self.page_wait(Direction::Read, sector, page, part, flags) }
    }

    /// Writes a part of a page at `sector`, and waits for it. May sleep.
    pub fn write_wait(&self, sector: u64, page: &PageBuf, part: PagePart, flags: Flags) -> Status {
        // SAFETY: The page does not change while it is borrowed, which is until the write has ended.
        unsafe { self.page_wait(Direction::Write, sector, page, part, flags) }
    }

    /// # Safety
    ///
    /// For a read the borrow of `page` must be exclusive.
    unsafe fn page_wait(
        &self,
        to: Direction,
        sector: u64,
        page: &PageBuf,
        part: PagePart,
        flags: Flags,
    ) -> Status {
        let mut bio = MaybeUninit::<bindings::bio>::uninit();
        let mut vec = MaybeUninit::<bindings::bio_vec>::uninit();
        let raw = bio.as_mut_ptr();
        // SAFETY: Both are memory of ours that outlives the bio; the device is alive.
        unsafe {
            bindings::bio_init(
                raw,
                self.as_raw(),
                vec.as_mut_ptr(),
                1,
                to.as_raw() | flags.as_raw(),
            );
        }
        // SAFETY: The bio is initialised and has one vector. The part is inside the page, which is in the linear
        // mapping.
        unsafe {
            (*raw).bi_iter.bi_sector = sector;
            let start = page.address().byte_add(part.skip_bytes());
            bindings::bio_add_virt_nofail(raw, start.cast(), part.bytes());
        }
        // SAFETY: The bio is ready; when this returns it has ended.
        unsafe { bindings::submit_bio_wait(raw) };
        // SAFETY: The bio is initialised, and nobody else has it any more.
        let status = Status::from_raw(unsafe { (*raw).bi_status });
        // SAFETY: As above; this is the last use.
        unsafe { bindings::bio_uninit(raw) };
        status
    }

    /// Empties the volatile cache of the device, and waits for it. May sleep.
    pub fn flush_wait(&self) -> Result {
        // SAFETY: The device is alive.
        to_result(unsafe { bindings::blkdev_issue_flush(self.as_raw()) })
    }
}
