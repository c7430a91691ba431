// SPDX-License-Identifier: GPL-2.0

//! What a pass does with sectors of which no copy can be read as a whole: it saves what can be saved, page by page, and
//! records as bad what cannot, so that the members go on without it.

use super::{
    mend::PAGE,
    resync::{Mode, Turn, Window},
    walk::Located,
    Mirror,
};
use crate::member::Health;
use kernel::prelude::*;
use kernel_ext::{alloc::page::PageBuf, block::sync_io::PagePart};
use md_core::{
    mirror::retry::pages,
    units::{SectorRange, Sectors},
};

impl Window {
    /// Does the request in this thread. May sleep.
    #[inline(never)]
    pub(super) fn salvage(&self, mirror: &Mirror, mode: Mode) -> Turn {
        let (Some(range), Ok(mut page)) = (
            SectorRange::new(self.start, self.length()),
            PageBuf::zeroed(GFP_KERNEL),
        ) else {
            return Turn::Failed;
        };
        // Nothing is bad only because a member has failed, or may have: then the pass starts again without it.
        let length = self.length();
        if !mirror.has_source(self.start, length) {
            return Turn::Failed;
        }
        for piece in pages(range, PAGE) {
            if self.salvage_page(mirror, mode, piece, &mut page).is_none() {
                return Turn::Failed;
            }
        }
        Turn::Done(Sectors::ZERO)
    }

    /// `None` when a copy neither gets the data nor is recorded as bad.
    #[inline(never)]
    fn salvage_page(
        &self,
        mirror: &Mirror,
        mode: Mode,
        range: SectorRange,
        page: &mut PageBuf,
    ) -> Option<()> {
        let length = range.len();
        let part = PagePart::new(0, u32::try_from(length.get()).ok()?)?;
        let source = mirror
            .readable(range.start(), length)
            .find(|copy| copy.read(page, part));
        let is_target = |copy: &Located<'_>| match self.target {
            _ if copy.seat.member.health() != Health::Working => false,
            Some(place) => copy.seat.place == place,
            None => matches!(mode, Mode::CopyToAll | Mode::Move) || !copy.is_valid(length),
        };
        // The previous geometry still has what nobody takes in the new one.
        let mut is_kept = mode != Mode::Move || source.is_none();
        let copies = mirror.written(mode.writes(), range.start(), length);
        for copy in copies.filter(is_target) {
            let is_source = mode != Mode::Move
                && source.is_some_and(|source| source.seat.place == copy.seat.place);
            if is_source || (source.is_some() && copy.write(page, part)) {
                is_kept = true;
                if copy.seat.heal(copy.at, length) {
                    self.pass().live().wake_thread();
                }
                continue;
            }
            let bad = SectorRange::new(copy.on_device(), length)?;
            copy.seat.member.note_bad(bad).ok()?;
            self.pass().live().wake_thread();
        }
        is_kept.then_some(())
    }
}
