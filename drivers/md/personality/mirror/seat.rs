// SPDX-License-Identifier: GPL-2.0

//! The members of a mirror at work, and what read balancing must know of them.

use super::{super::Seated, walk::Located};
use crate::member::{
    bad_blocks::Known,
    marks::{Mark, Marks},
    Health, Member,
};
use kernel::sync::{
    atomic::{Atomic, Relaxed},
    Arc,
};
use kernel_ext::block::bdev::{BlockDevice, Target};
use md_core::{
    layout::reshape::Geometry,
    mirror::{
        balance::{Candidate, Media, Stream},
        write::{BadBlocks, Gate, Target as WriteTarget},
        Place,
    },
    units::{Sector, SectorRange, Sectors, SECTOR_SHIFT},
};

/// A member in its place.
pub(crate) struct Seat {
    pub(super) member: Arc<Member>,
    pub(super) place: Place,
    /// Where its data begins: in a reshape the first of the two places it has. Sectors of its data are counted from
    /// there.
    offset: Sector,
    /// From there to the data of the previous geometry; nothing but in a reshape.
    to_previous: Sectors,
    /// The same for the new geometry.
    to_new: Sectors,
    media: Media,
    in_flight: Atomic<u32>,
    /// Where its last read ended.
    head: Atomic<u64>,
    /// Where the sequence of reads began that ended at `head`.
    stream: Atomic<u64>,
}

impl Seat {
    /// A member whose data has one place, or two while the array is `moving`.
    pub(super) fn new(seated: Seated, moving: bool) -> Self {
        let new_offset = if moving {
            seated.new_offset
        } else {
            seated.offset
        };
        let offset = seated.offset.min(new_offset);
        let from_offset = |to: Sector| to.distance_from(offset).unwrap_or(Sectors::ZERO);
        let (to_previous, to_new) = (from_offset(seated.offset), from_offset(new_offset));
        seated.member.set_valid_below(seated.valid_below);
        let device = seated.member.device();
        let media = if device.is_rotational() {
            Media::Rotating
        } else {
            let bytes = u64::from(device.optimal_io_size());
            Media::Solid {
                optimal: Sectors::new(bytes >> SECTOR_SHIFT),
            }
        };
        Self {
            media,
            place: seated.place,
            offset,
            to_previous,
            to_new,
            in_flight: Atomic::new(0),
            head: Atomic::new(0),
            stream: Atomic::new(u64::MAX),
            member: seated.member,
        }
    }

    /// The sector of its data that a layout of this geometry means.
    #[inline]
    pub(super) fn at(&self, sector: Sector, geometry: Geometry) -> Sector {
        sector.saturating_add(match geometry {
            Geometry::Previous => self.to_previous,
            Geometry::New => self.to_new,
        })
    }

    /// Where a sector of its data lies on the device.
    #[inline]
    pub(super) fn on_device(&self, sector: Sector) -> Sector {
        self.offset.saturating_add(Sectors::new(sector.get()))
    }

    /// What is known of these sectors of its data.
    #[inline]
    pub(super) fn known(&self, start: Sector, length: Sectors) -> Known {
        if !self.member.has_bad_blocks() {
            return Known::Good;
        }
        let Some(range) = SectorRange::new(self.on_device(start), length) else {
            return Known::Good;
        };
        let in_data = |bad: SectorRange| {
            let start = bad
                .start()
                .distance_from(self.offset)
                .unwrap_or(Sectors::ZERO);
            SectorRange::new(Sector::new(start.get()), bad.len()).unwrap_or(bad)
        };
        match self.member.known(range) {
            Known::Good => Known::Good,
            Known::Recorded(bad) => Known::Recorded(in_data(bad)),
            Known::Unrecorded(bad) => Known::Unrecorded(in_data(bad)),
        }
    }

    #[inline]
    fn stream(&self) -> Stream {
        let (start, end) = (self.stream.load(Relaxed), self.head.load(Relaxed));
        match end.checked_sub(start) {
            Some(length) => Stream::NONE.after(Sector::new(start), Sectors::new(length)),
            None => Stream::NONE,
        }
    }

    /// The seat as one to be written from `start`; `None` when its failure is known to all.
    #[inline]
    pub(super) fn write_target(&self, start: Sector, length: Sectors) -> Option<WriteTarget> {
        let gate = match self.member.health() {
            Health::Failed => return None,
            _ if self.member.is_blocked() => Gate::Blocked,
            _ => Gate::Open,
        };
        Some(WriteTarget {
            place: self.place,
            start,
            gate,
            bad: self.heeded(start, length),
            reads: self.member.reads(),
        })
    }

    /// The bad blocks that a write heeds. Those of a member that has not failed a write are written over, which may
    /// heal them.
    #[inline]
    fn heeded(&self, start: Sector, length: Sectors) -> BadBlocks {
        if !self.member.has(Mark::WriteError) {
            return BadBlocks::None;
        }
        match self.known(start, length) {
            Known::Good => BadBlocks::None,
            Known::Recorded(bad) => BadBlocks::Recorded(bad),
            Known::Unrecorded(bad) => BadBlocks::Unrecorded(bad),
        }
    }

    /// Whether a write leaves it out: all of it is bad, and that is recorded.
    #[inline]
    pub(super) fn is_left_out(&self, start: Sector, length: Sectors) -> bool {
        match self.heeded(start, length) {
            BadBlocks::Recorded(bad) => {
                bad.start() <= start && start.saturating_add(length) <= bad.end()
            }
            BadBlocks::None | BadBlocks::Unrecorded(_) => false,
        }
    }

    /// Whether [`Seat::write_target`] has nothing to say but where it is: nothing holds writes back, no bad block is
    /// heeded, and it does not lag. True of most seats at most times.
    #[inline]
    pub(super) fn takes_any_write(&self) -> bool {
        const HEEDED: Marks = Marks::of(&[Mark::Blocked, Mark::WriteError, Mark::WriteMostly]);
        self.member.health() == Health::Working && !self.member.has_any(HEEDED)
    }

    /// Whether writes wait for something about its member to be recorded.
    pub(super) fn holds_back(&self, start: Sector, length: Sectors) -> bool {
        self.write_target(start, length).is_some_and(|target| {
            target.gate == Gate::Blocked || matches!(target.bad, BadBlocks::Unrecorded(_))
        })
    }

    /// Whether it is to be recorded yet that its member has failed, or that something of it is bad there. Of one that
    /// is known to have failed nothing more is recorded.
    pub(super) fn is_unrecorded(&self, start: Sector, length: Sectors) -> bool {
        self.member.health() != Health::Failed
            && (self.member.is_blocked()
                || matches!(self.known(start, length), Known::Unrecorded(_)))
    }

    /// Whether something of it is bad there. Any context.
    pub(super) fn has_bad(&self, start: Sector, length: Sectors) -> bool {
        self.known(start, length) != Known::Good
    }

    /// A write to it went well: what was bad there is good. Not in an interrupt.
    pub(super) fn heal(&self, start: Sector, length: Sectors) -> bool {
        if !self.has_bad(start, length) {
            return false;
        }
        if let Some(range) = SectorRange::new(self.on_device(start), length) {
            self.member.note_good(range);
        }
        true
    }

    /// A read begins.
    #[inline]
    pub(super) fn read_starts(&self, start: Sector, length: Sectors) {
        // Relaxed, and not together: a wrong guess costs time only.
        self.in_flight.fetch_add(1, Relaxed);
        if self.head.load(Relaxed) != start.get() {
            self.stream.store(start.get(), Relaxed);
        }
        self.head.store(start.saturating_add(length).get(), Relaxed);
    }

    /// A read has ended.
    #[inline]
    pub(super) fn read_ends(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}

impl<'a> Located<'a> {
    /// The same as one to be read; `None` when its member has failed.
    #[inline]
    pub(super) fn candidate(self, length: Sectors) -> Option<Candidate<Self>> {
        let Located { seat, at, .. } = self;
        if seat.member.health() != Health::Working {
            return None;
        }
        Some(Candidate {
            copy: self,
            start: at,
            valid_below: seat.member.valid_below(),
            bad: match seat.known(at, length) {
                Known::Good => None,
                Known::Recorded(bad) | Known::Unrecorded(bad) => Some(bad),
            },
            reads: seat.member.reads(),
            media: seat.media,
            in_flight: seat.in_flight.load(Relaxed),
            head: Sector::new(seat.head.load(Relaxed)),
            stream: seat.stream(),
        })
    }
}

/// A leg: its member and place, and where it begins in the member's data.
pub(crate) struct Copy {
    pub(super) member: Arc<Member>,
    pub(super) place: Place,
    pub(super) at: Sector,
    pub(super) length: Sectors,
}

impl Target for Copy {
    #[inline]
    fn device(&self) -> &BlockDevice {
        self.member.device()
    }
}
