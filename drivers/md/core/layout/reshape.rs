// SPDX-License-Identifier: GPL-2.0

//! Positions while an array changes from one geometry to another, in either direction.
//!
//! A reshape copies the array to itself: it reads through the *previous* geometry and writes through the *new* one.
//! [`Position`] says how far it is, and with that which of the two a request has to use. How far a step may go, and
//! when the superblocks have to be written before it, is the business of [`Raid5Reshape`] and [`Raid10Reshape`].

mod raid10;
mod raid5;

pub use raid10::{raid10_slack, Part, Raid10Reshape, Raid10ReshapeError, Raid10Step, WINDOW};
pub use raid5::{
    raid5_offset_change, OffsetChange, Raid5Reshape, Raid5ReshapeError, Raid5Step, ResumeError,
    Watch,
};

use super::chunk::MemberCount;
use crate::units::{Sector, SectorRange, Sectors};

/// The way a reshape walks through the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From sector 0 up: growing, or data moving towards the start of the members.
    Forward,
    /// From the end down: shrinking, or data moving towards the end of the members.
    Backward,
}

impl Direction {
    /// Whether a change of the number of members can go this way: a forward step never writes more of a member than
    /// it has read only if the rows get longer, a backward one only if they get shorter.
    fn fits(self, previous: MemberCount, new: MemberCount) -> bool {
        match self {
            Self::Forward => new.get() >= previous.get(),
            Self::Backward => new.get() <= previous.get(),
        }
    }
}

/// The geometry that a part of the array has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Geometry {
    /// As it was before the reshape.
    Previous,
    /// As it will be after the reshape.
    New,
}

/// Where a sector is, seen from a reshape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// Not reached yet: previous geometry.
    Ahead,
    /// Copied, but the superblocks do not say so yet: the request waits until they do.
    Inside,
    /// Copied and recorded: new geometry.
    Behind,
}

/// Whether the superblocks have to be written before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// The step would overwrite what a restart from the recorded position still has to read.
    WriteFirst,
    /// The step is safe; the superblocks are written every 10 seconds all the same.
    NotNeeded,
}

/// What a reshape does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<S> {
    /// This step.
    Step(S),
    /// Nothing: all is copied.
    Done,
}

/// How far a reshape is, in array sectors.
///
/// Going forward, all below `progress` is copied and all below `safe` is recorded as copied; going backward, all from
/// `progress` and from `safe` on.
///
/// # Invariants
///
/// `safe` is not further in the direction of travel than `progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    direction: Direction,
    progress: Sector,
    safe: Sector,
}

impl Position {
    /// The start of a reshape of the first `size` sectors of an array.
    pub const fn start(direction: Direction, size: Sectors) -> Self {
        Self::resumed(
            direction,
            match direction {
                Direction::Forward => Sector::ZERO,
                Direction::Backward => Sector::new(size.get()),
            },
        )
    }

    /// A reshape that goes on from the position in the superblocks.
    pub const fn resumed(direction: Direction, recorded: Sector) -> Self {
        // INVARIANT: both are the same.
        Self {
            direction,
            progress: recorded,
            safe: recorded,
        }
    }

    /// The way of travel.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Up to where the array is copied: what the superblocks are to record next.
    pub const fn progress(&self) -> Sector {
        self.progress
    }

    /// Up to where the superblocks say that it is.
    pub const fn safe(&self) -> Sector {
        self.safe
    }

    /// After a step that got to `progress`. Steps never go back, so a position behind changes nothing.
    #[must_use]
    pub fn advanced(self, progress: Sector) -> Self {
        let progress = match self.direction {
            Direction::Forward => self.progress.max(progress),
            Direction::Backward => self.progress.min(progress),
        };
        // INVARIANT: `progress` only moves away from `safe`.
        Self { progress, ..self }
    }

    /// After the superblocks on all members have recorded `recorded`, an earlier [`Position::progress`].
    #[must_use]
    pub fn recorded(self, recorded: Sector) -> Self {
        let safe = match self.direction {
            Direction::Forward => self.safe.max(recorded.min(self.progress)),
            Direction::Backward => self.safe.min(recorded.max(self.progress)),
        };
        // INVARIANT: bounded by `progress` just above.
        Self { safe, ..self }
    }

    /// Whether `at` is not behind `mark` in the direction of travel.
    fn is_ahead(self, at: Sector, mark: Sector) -> bool {
        match self.direction {
            Direction::Forward => at >= mark,
            Direction::Backward => at < mark,
        }
    }

    /// Where a sector is.
    #[inline]
    pub fn locate(self, at: Sector) -> Location {
        if self.is_ahead(at, self.progress) {
            Location::Ahead
        } else if self.is_ahead(at, self.safe) {
            Location::Inside
        } else {
            Location::Behind
        }
    }

    /// The geometry in which a sector is at present.
    #[inline]
    pub fn geometry(self, at: Sector) -> Geometry {
        match self.locate(at) {
            Location::Ahead => Geometry::Previous,
            Location::Inside | Location::Behind => Geometry::New,
        }
    }

    /// Whether all of `range` is still ahead. Asked again once a stripe is held: the reshape may have moved on while
    /// the request waited for it.
    pub fn is_range_ahead(self, range: SectorRange) -> bool {
        match self.direction {
            Direction::Forward => range.start() >= self.progress,
            Direction::Backward => range.end() <= self.progress,
        }
    }

    /// Whether `range` has sectors in both geometries; such a request waits for the reshape to pass (raid10).
    pub fn splits(self, range: SectorRange) -> bool {
        range.start() < self.progress && self.progress < range.end()
    }

    /// Whether a write to `range` touches what is copied but not recorded: after a crash its sectors would be read in
    /// the previous geometry, so the superblocks go first (raid10).
    pub fn write_waits_for_metadata(self, range: SectorRange) -> bool {
        match self.direction {
            Direction::Forward => range.end() > self.safe && range.start() < self.progress,
            Direction::Backward => range.start() < self.safe && range.end() > self.progress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, len: u64) -> SectorRange {
        SectorRange::new(Sector::new(start), Sectors::new(len)).expect("a range")
    }

    #[test]
    fn forward_leaves_the_new_geometry_below() {
        let position = Position::start(Direction::Forward, Sectors::new(1000))
            .advanced(Sector::new(300))
            .recorded(Sector::new(200));
        let at = |sector| position.locate(Sector::new(sector));
        assert_eq!(
            (at(199), at(200), at(299), at(300)),
            (
                Location::Behind,
                Location::Inside,
                Location::Inside,
                Location::Ahead
            )
        );
        assert!(position.splits(range(299, 2)) && !position.splits(range(300, 2)));
        assert!(position.write_waits_for_metadata(range(199, 2)));
        assert!(!position.write_waits_for_metadata(range(198, 2)));
        assert!(!position.write_waits_for_metadata(range(300, 2)));
    }

    #[test]
    fn backward_leaves_the_new_geometry_above() {
        let position = Position::start(Direction::Backward, Sectors::new(1000))
            .advanced(Sector::new(300))
            .recorded(Sector::new(400));
        let at = |sector| position.locate(Sector::new(sector));
        assert_eq!(
            (at(299), at(300), at(399), at(400)),
            (
                Location::Ahead,
                Location::Inside,
                Location::Inside,
                Location::Behind
            )
        );
        assert!(position.is_range_ahead(range(298, 2)) && !position.is_range_ahead(range(299, 2)));
        assert!(position.write_waits_for_metadata(range(399, 2)));
        assert!(!position.write_waits_for_metadata(range(400, 2)));
        assert!(!position.write_waits_for_metadata(range(298, 2)));
    }

    #[test]
    fn records_never_pass_the_progress_nor_go_back() {
        let position =
            Position::resumed(Direction::Forward, Sector::new(50)).advanced(Sector::new(80));
        assert_eq!(position.recorded(Sector::new(90)).safe(), Sector::new(80));
        assert_eq!(position.recorded(Sector::new(10)).safe(), Sector::new(50));
        assert_eq!(
            position.advanced(Sector::new(10)).progress(),
            Sector::new(80)
        );
    }
}
