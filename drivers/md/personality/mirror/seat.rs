// SPDX-License-Identifier: GPL-2.0

//! The members of a mirror at work, and what read balancing must know of them.

use super::super::Seated;
use crate::member::{Health, Member};
use kernel::sync::{
    atomic::{Atomic, Relaxed},
    Arc,
};
use kernel_ext::block::bdev::{BlockDevice, Target};
use md_core::{
    mirror::{
        balance::{Candidate, Media, Stream},
        write::{BadBlocks, Gate, Target as WriteTarget},
        Place,
    },
    units::{Sector, Sectors, SECTOR_SHIFT},
};

/// A member in its place.
pub(crate) struct Seat {
    pub(super) member: Arc<Member>,
    pub(super) place: Place,
    offset: Sector,
    media: Media,
    in_flight: Atomic<u32>,
    /// Where its last read ended.
    head: Atomic<u64>,
    /// Where the sequence of reads began that ended at `head`.
    stream: Atomic<u64>,
}

impl Seat {
    pub(super) fn new(seated: Seated) -> Self {
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
            offset: seated.offset,
            in_flight: Atomic::new(0),
            head: Atomic::new(0),
            stream: Atomic::new(u64::MAX),
            member: seated.member,
        }
    }

    /// Where a sector of its data lies on the device.
    pub(super) fn on_device(&self, sector: Sector) -> Sector {
        self.offset.saturating_add(Sectors::new(sector.get()))
    }

    /// The seat as one that could be read from `start`; `None` when its member has failed.
    pub(super) fn candidate(&self, start: Sector) -> Option<Candidate> {
        if self.member.health() != Health::Working {
            return None;
        }
        Some(Candidate {
            place: self.place,
            start,
            valid_below: self.member.valid_below(),
            bad: None,
            reads: self.member.reads(),
            media: self.media,
            in_flight: self.in_flight.load(Relaxed),
            head: Sector::new(self.head.load(Relaxed)),
            stream: self.stream(),
        })
    }

    fn stream(&self) -> Stream {
        let (start, end) = (self.stream.load(Relaxed), self.head.load(Relaxed));
        match end.checked_sub(start) {
            Some(length) => Stream::NONE.after(Sector::new(start), Sectors::new(length)),
            None => Stream::NONE,
        }
    }

    /// The seat as one to be written from `start`; `None` when its failure is known to all.
    pub(super) fn write_target(&self, start: Sector) -> Option<WriteTarget> {
        let gate = match self.member.health() {
            Health::Working => Gate::Open,
            Health::Failing => Gate::Blocked,
            Health::Failed => return None,
        };
        Some(WriteTarget {
            place: self.place,
            start,
            gate,
            bad: BadBlocks::None,
            reads: self.member.reads(),
        })
    }

    /// A read begins.
    pub(super) fn read_starts(&self, start: Sector, length: Sectors) {
        // Relaxed, and not together: a wrong guess costs time only.
        self.in_flight.fetch_add(1, Relaxed);
        if self.head.load(Relaxed) != start.get() {
            self.stream.store(start.get(), Relaxed);
        }
        self.head.store(start.saturating_add(length).get(), Relaxed);
    }

    /// A read has ended.
    pub(super) fn read_ends(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A leg: its member and place, and where it begins in the member's data.
pub(crate) struct Copy {
    pub(super) member: Arc<Member>,
    pub(super) place: Place,
    pub(super) at: Sector,
}

impl Target for Copy {
    #[inline]
    fn device(&self) -> &BlockDevice {
        self.member.device()
    }
}
