// SPDX-License-Identifier: GPL-2.0

//! The bad sectors of a member, and the log on the device that outlives a crash.
//!
//! The list itself is the member's, for I/O to look at without a lock. What is in it is acknowledged when the log says
//! it too: until then no write of these sectors may end, as a crash would bring back what they held before.

use super::{
    superblock::{usable_log, View},
    Member,
};
use crate::log::Text;
use core::fmt;
use kernel::prelude::*;
use kernel_ext::{
    alloc::page::{PageBuf, PAGE_SECTORS},
    block::{
        badblocks::{Ack, BadBlocks, Check, Entry, Range, RawEntry, MAX_ENTRIES},
        bdev::{BlockDevice, Target},
        bio::Flags,
        sync_io::PagePart,
    },
};
use md_core::{
    format::{
        badblocks::{encode, entries},
        bitmap::BitmapSb,
        extents::LogUse,
        sb1::{BadBlockLog, BadBlocks as Recorded, CrashLog, Sb1},
    },
    units::{Events, Sector, SectorRange, Sectors},
};

/// The place of a member's log.
pub(crate) struct Log {
    place: BadBlockLog,
    part: PagePart,
    page: PageBuf,
    /// The list was copied, but what was copied is not on media.
    unwritten: bool,
}

/// What is known of a range of a member's sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing bad.
    Good,
    /// This is the first that is bad, and all that is bad is in the log.
    Recorded(SectorRange),
    /// This is the first that is bad, and something is not in the log yet.
    Unrecorded(SectorRange),
}

impl Log {
    /// Finds the log that a superblock names, reads it, and puts its list in use. `None` for a member that has none.
    /// May sleep.
    ///
    /// `EINVAL` when it makes no sense, or lies where something else does; `EIO`.
    pub(super) fn read(member: &Member, view: &View<'_>) -> Result<Option<Self>> {
        let View::V1(superblock) = view else {
            return Ok(None);
        };
        let device = member.device();
        let Some(place) = usable(device, superblock)? else {
            return Ok(None);
        };
        let sectors = u32::try_from(place.range.len().get())?.min(PAGE_SECTORS);
        let mut log = Self {
            place,
            part: PagePart::new(0, sectors).ok_or(EINVAL)?,
            page: PageBuf::zeroed(GFP_KERNEL)?,
            unwritten: false,
        };
        // As in C the unit is that of the log only if something is in it.
        let recorded = superblock.member().bad_blocks == Recorded::Recorded;
        let shift = if recorded { place.shift } else { 0 };
        log.place.shift = shift;
        member.bad_blocks.set_shift(Some(shift));
        if recorded {
            log.load(member)?;
        }
        Ok(Some(log))
    }

    fn load(&mut self, member: &Member) -> Result {
        let device = member.device();
        let at = self.place.range.start().get();
        device
            .read_wait(at, &mut self.page, self.part, Flags::META)
            .to_result()?;
        let log = self.page.get(..self.bytes()).ok_or(EINVAL)?;
        for entry in entries(log, self.place.shift) {
            let bad = entry.map_err(|error| refused(device, error))?;
            member
                .bad_blocks
                .add(range(bad), Ack::Acknowledged)
                .map_err(|_| refused(device, "too many bad blocks"))?;
        }
        // What was just read need not be written.
        member.bad_blocks.copy(&mut []);
        Ok(())
    }

    fn bytes(&self) -> usize {
        // At most a page.
        usize::try_from(self.place.range.len().get())
            .map_or(0, |sectors| sectors.saturating_mul(512))
            .min(self.page.len())
    }

    /// The log has moved with the superblock.
    pub(super) fn follow(&mut self, view: &View<'_>) {
        if let View::V1(superblock) = view {
            if let Some(place) = usable_log(superblock) {
                self.place.range = place.range;
            }
        }
    }

    /// Writes what changed of the list since this was last called. May sleep. `EIO`, `ENOSPC` when it does not fit.
    ///
    /// It goes to media before the superblock that says that there is something in it.
    pub(crate) fn write(&mut self, member: &Member) -> Result {
        let list = &member.bad_blocks;
        if !list.is_changed() && !self.unwritten {
            return Ok(());
        }
        let mut raw = KVec::from_elem(RawEntry::default(), MAX_ENTRIES, GFP_KERNEL)?;
        self.unwritten = true;
        let count = list.copy(&mut raw);
        if count == 0 {
            // The superblock will say that the log is not to be read.
            self.unwritten = false;
            return Ok(());
        }
        let shift = self.place.shift;
        let bad = raw
            .iter()
            .take(count)
            .filter_map(|raw| in_sectors((*raw).into(), shift));
        let bytes = self.bytes();
        let log = self.page.get_mut(..bytes).ok_or(EINVAL)?;
        encode(log, shift, bad).map_err(|error| {
            refused(member.device(), error);
            ENOSPC
        })?;
        let at = self.place.range.start().get();
        let durable = Flags::FUA.with(Flags::META).with(Flags::SYNC);
        member
            .device()
            .write_wait(at, &self.page, self.part, durable)
            .to_result()?;
        self.unwritten = false;
        Ok(())
    }
}

/// The log that a member may use.
fn usable(device: &BlockDevice, superblock: &Sb1<'_>) -> Result<Option<BadBlockLog>> {
    let mut bitmap = None;
    if let CrashLog::Bitmap(place) = superblock.member().crash_log {
        let mut page = PageBuf::zeroed(GFP_KERNEL)?;
        let one = PagePart::new(0, 1).ok_or(EINVAL)?;
        let read = device.read_wait(place.start.get(), &mut page, one, Flags::META);
        if read.is_ok() {
            bitmap = BitmapSb::parse(&page[..]).ok();
        }
    }
    let recorded = superblock.member().bad_blocks == Recorded::Recorded;
    let usage = match superblock.extents().log_use(bitmap.as_ref()) {
        Ok(usage) => usage,
        Err(error) if recorded => return Err(refused(device, error)),
        // It is not for us to say so: the log is left alone.
        Err(_) => LogUse::Absent,
    };
    match usage {
        LogUse::Usable(log) => Ok(Some(log)),
        LogUse::Absent => Ok(None),
        LogUse::InsideLocklessBitmap(_) | LogUse::Inside(..) => {
            pr_info!(
                "{}: its bad-block log is not used, as something else lies there\n",
                Text(device.name())
            );
            Ok(None)
        }
    }
}

fn refused(device: &BlockDevice, why: impl fmt::Display) -> Error {
    pr_warn!("{}: {}\n", Text(device.name()), Text(why));
    EINVAL
}

fn range(bad: SectorRange) -> Range {
    Range {
        start: bad.start().get(),
        sectors: bad.len().get(),
    }
}

fn sectors(bad: Range) -> Option<SectorRange> {
    SectorRange::new(Sector::new(bad.start), Sectors::new(bad.sectors))
}

/// An entry of the list, which counts in units of the log.
fn in_sectors(entry: Entry, shift: u8) -> Option<SectorRange> {
    let unit = 1_u64.checked_shl(u32::from(shift))?;
    sectors(Range {
        start: entry.range.start.checked_mul(unit)?,
        sectors: entry.range.sectors.checked_mul(unit)?,
    })
}

impl Member {
    /// What is known of these sectors of its device. Any context.
    #[inline]
    pub(crate) fn known(&self, of: SectorRange) -> Known {
        match self.bad_blocks.check(range(of)) {
            Check::Good => Known::Good,
            Check::Acknowledged(bad) => sectors(bad).map_or(Known::Good, Known::Recorded),
            Check::Unacknowledged(bad) => sectors(bad).map_or(Known::Good, Known::Unrecorded),
        }
    }

    /// Whether it has any bad sectors. Any context.
    #[inline]
    pub(crate) fn has_bad_blocks(&self) -> bool {
        !self.bad_blocks.is_empty()
    }

    /// These sectors of its device hold no data of the array any more; the array's thread is to record that.
    ///
    /// `ENOSPC` when it cannot be noted, which leaves only to fail the member.
    pub(crate) fn note_bad(&self, bad: SectorRange) -> Result {
        self.bad_blocks.add(range(bad), Ack::Unacknowledged)
    }

    /// As [`Member::note_bad`], by somebody who has recorded it, or will.
    pub(crate) fn note_recorded(&self, bad: SectorRange) -> Result {
        self.bad_blocks.add(range(bad), Ack::Acknowledged)
    }

    /// These sectors of its device hold data of the array again. Not in an interrupt.
    pub(crate) fn note_good(&self, good: SectorRange) {
        // Without room for the split the rest of the entry stays bad, which is safe.
        let _ = self.bad_blocks.remove(range(good));
    }

    /// The list, for who shows it.
    pub(crate) fn bad_blocks(&self) -> &BadBlocks {
        &self.bad_blocks
    }
}

/// What the configuration does with the list of a member.
impl super::entry::Entry {
    /// Whether the list changed since it was last written.
    pub(crate) fn has_news_of_bad_blocks(&self) -> bool {
        self.log.is_some() && self.member.bad_blocks.is_changed()
    }

    /// The superblock of this event is on media, if it is the member's, and the log before it: writes of what is bad
    /// may go on.
    pub(crate) fn acknowledge_bad_blocks(&self, recorded: Events) {
        let is_written = self.log.as_ref().is_some_and(|log| !log.unwritten);
        if is_written && self.events == recorded {
            self.member.bad_blocks.ack_all();
        }
    }
}
