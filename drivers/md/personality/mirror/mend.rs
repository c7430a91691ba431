// SPDX-License-Identifier: GPL-2.0

//! The repair of what could not be read: another copy is written over it, and it is read once more.
//!
//! Only the bucket is kept from being written meanwhile, so that what is read from one copy is still what the others
//! are to hold. All other I/O goes on, and reads even of these sectors.

use super::{
    barrier::{self, ResyncPass},
    walk::Located,
    Mirror,
};
use crate::{array::live::Live, log::Text, member::Health};
use core::num::NonZeroU32;
use kernel::prelude::*;
use kernel_ext::{
    alloc::{
        noio::NoIo,
        page::{PageBuf, PAGE_SECTORS},
    },
    block::{bdev::Target, bio::Flags, sync_io::PagePart},
    sync::gated::Entered,
};
use md_core::{
    mirror::{
        retry::{pages, CopyIndex, Repair},
        Place,
    },
    units::{Sector, SectorRange, Sectors},
};

pub(super) const PAGE: NonZeroU32 = match NonZeroU32::new(PAGE_SECTORS) {
    Some(sectors) => sectors,
    None => NonZeroU32::MIN,
};

/// Sectors of the array that could not be read from one copy.
pub(super) struct Spot {
    pub(super) live: Entered<Live>,
    pub(super) start: Sector,
    pub(super) length: Sectors,
    pub(super) place: Place,
}

impl Spot {
    /// Mends the copy page by page, as long as there is something to mend it with. May sleep.
    pub(super) fn mend(self) {
        let _no_io = NoIo::enter();
        let (Some(range), Ok(mut page)) = (
            SectorRange::new(self.start, self.length),
            PageBuf::zeroed(GFP_KERNEL),
        ) else {
            return;
        };
        let Some(mirror) = self.live.personality().mirror() else {
            return;
        };
        let pass = loop {
            match ResyncPass::announce(&self.live, self.start) {
                Some(pass) => break pass,
                None => barrier::let_through(&self.live, self.start),
            }
        };
        mirror.wait_resync(|| pass.is_clear());
        for part in pages(range, PAGE) {
            if self.mend_page(mirror, part, &mut page).is_none() {
                break;
            }
        }
    }

    /// `None` when nothing more is to be mended.
    fn mend_page(&self, mirror: &Mirror, range: SectorRange, page: &mut PageBuf) -> Option<()> {
        let (walk, length) = mirror.copies(range.start(), range.len())?;
        let part = PagePart::new(0, u32::try_from(length.get()).ok()?)?;
        let mut copies = KVec::new();
        for copy in walk {
            copies.push(copy, GFP_KERNEL).ok()?;
        }
        let failed = copies
            .iter()
            .position(|copy| copy.seat.place == self.place)?;
        let count = u16::try_from(copies.len()).ok()?;
        let repair = Repair::new(count, CopyIndex(u16::try_from(failed).ok()?))?;
        let copy = |index: CopyIndex| copies.get(usize::from(index.0));
        let source = repair.sources().find(|index| {
            copy(*index).is_some_and(|copy| copy.is_readable(length) && copy.read(page, part))
        });
        let Some(source) = source else {
            // Nobody has it: whoever reads it is told, until it is written.
            copy(CopyIndex(u16::try_from(failed).ok()?))?.lose(length, &self.live);
            return None;
        };
        for copy in repair.rewrites(source).filter_map(copy) {
            if copy.seat.member.health() == Health::Working && !copy.write(page, part) {
                copy.seat.member.mark_write_error();
                copy.lose(length, &self.live);
            }
        }
        for copy in repair.rewrites(source).filter_map(copy) {
            if copy.seat.member.health() == Health::Working && copy.is_readable(length) {
                copy.prove(page, part, length, &self.live);
            }
        }
        Some(())
    }
}

impl Located<'_> {
    pub(super) fn read(&self, page: &mut PageBuf, part: PagePart) -> bool {
        let device = self.seat.member.device();
        let at = self.on_device().get();
        device.read_wait(at, page, part, Flags::NONE).is_ok()
    }

    pub(super) fn write(&self, page: &PageBuf, part: PagePart) -> bool {
        let device = self.seat.member.device();
        let at = self.on_device().get();
        device.write_wait(at, page, part, Flags::SYNC).is_ok()
    }

    /// Reads back what was written.
    fn prove(&self, page: &mut PageBuf, part: PagePart, length: Sectors, live: &Live) {
        let member = &self.seat.member;
        if !self.read(page, part) {
            return self.lose(length, live);
        }
        member.add_corrected(u32::try_from(length.get()).unwrap_or(u32::MAX));
        pr_info!(
            "read error corrected ({} sectors at {} on {})\n",
            length.get(),
            self.on_device().get(),
            Text(member.device().name())
        );
    }

    /// The copy does not hold these sectors; if that cannot be recorded the member has failed.
    pub(super) fn lose(&self, length: Sectors, live: &Live) {
        let member = &self.seat.member;
        let noted = SectorRange::new(self.on_device(), length)
            .is_some_and(|bad| member.note_bad(bad).is_ok());
        if !noted {
            member.report_failure();
        }
        live.wake_thread();
    }
}
