// SPDX-License-Identifier: GPL-2.0

//! Reshape of raid4, raid5 and raid6 (`reshape_request` in raid5.c): whole rows of the larger chunk at a time.

use super::{Direction, Metadata, Next, Position};
use crate::{
    layout::raid456::Raid456,
    units::{Sector, SectorRange, Sectors},
};
use core::fmt;

/// By how many sectors `data_offset` changes, new minus old, on the member where that is worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffsetChange(pub i64);

/// The change of offset that counts for a reshape, from the (old, new) data offsets of all members: writing runs
/// ahead of reading the most where the data moves up the most (forward) or the least (backward).
pub fn raid5_offset_change(
    direction: Direction,
    offsets: impl Iterator<Item = (Sector, Sector)>,
) -> OffsetChange {
    let changes = offsets.map(|(old, new)| match new.distance_from(old) {
        Some(up) => i64::try_from(up.get()).unwrap_or(i64::MAX),
        None => i64::try_from(old.get().saturating_sub(new.get()))
            .map_or(i64::MIN, |down| down.saturating_neg()),
    });
    OffsetChange(
        match direction {
            Direction::Forward => changes.max(),
            Direction::Backward => changes.min(),
        }
        .unwrap_or(0),
    )
}

/// Why a reshape cannot start; EINVAL in C md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid5ReshapeError {
    /// The numbers of parities differ: that is a takeover first.
    LevelChanges,
    /// More data members go forward and fewer go backward; only with as many is the direction free.
    WrongDirection,
    /// The array would get smaller than it is now: `array_size` has to be reduced first.
    ArrayTooLarge,
    /// A row of new chunks exceeds 2^64 sectors.
    TooLong,
}

impl fmt::Display for Raid5ReshapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LevelChanges => "a reshape cannot change the number of parities",
            Self::WrongDirection => "the reshape has to go the other way",
            Self::ArrayTooLarge => "array size must be reduced before number of disks",
            Self::TooLong => "a stripe exceeds 2^64 sectors",
        })
    }
}

/// Why a reshape cannot go on after a restart; EINVAL in C md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// The recorded position is not at the start of a row.
    NotOnStripeBoundary,
    /// The rows to read and to write are the same: user space has to restore its backup first.
    TooEarly,
    /// Nothing but the order of data changes: it is only safe with user space taking backups, which starts the array
    /// read-only first.
    InPlace,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOnStripeBoundary => "reshape_position not on a stripe boundary",
            Self::TooEarly => "reshape_position too early for auto-recovery",
            Self::InPlace => "in-place reshape must be started in read-only mode",
        })
    }
}

/// Whether user space watches over an in-place reshape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The array starts read-only, as mdadm does it.
    ReadOnlyStart,
    /// The array starts writable.
    None,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid5Step {
    /// Whether the superblocks have to be written first.
    pub metadata: Metadata,
    /// The rows to write, in member sectors of the new geometry.
    pub target: SectorRange,
    /// The rows to read, in member sectors of the previous geometry; `None` where the target lies behind the old data
    /// and takes zeroes only.
    pub source: Option<SectorRange>,
    /// [`Position::progress`] after the step.
    pub progress: Sector,
    /// How much of the members is done after the step: what `sync_completed` counts.
    pub completed: Sectors,
}

/// The reshape of a parity array.
///
/// # Invariants
///
/// Both geometries have the same number of parities, and `unit * data members` of neither exceeds 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid5Reshape {
    previous: Raid456,
    new: Raid456,
    direction: Direction,
    offset: OffsetChange,
    /// The larger chunk.
    unit: u64,
    /// What is used of each member: whole units.
    member_size: u64,
    common_size: Sectors,
}

/// The member sectors that the rule of safety compares.
struct Reach {
    write: u64,
    read: u64,
    safe: u64,
}

impl Raid5Reshape {
    /// A reshape of an array that has `array_size` sectors at present.
    ///
    /// # Errors
    ///
    /// All of [`Raid5ReshapeError`].
    pub fn new(
        previous: Raid456,
        new: Raid456,
        direction: Direction,
        offset: OffsetChange,
        array_size: Sectors,
    ) -> Result<Self, Raid5ReshapeError> {
        if previous.layout().parities() != new.layout().parities() {
            return Err(Raid5ReshapeError::LevelChanges);
        }
        if !direction.fits(previous.members(), new.members()) {
            return Err(Raid5ReshapeError::WrongDirection);
        }
        let (old_chunk, new_chunk) = (previous.chunk().size(), new.chunk().size());
        let unit = old_chunk.sectors().max(new_chunk.sectors());
        let used = previous.member_size().min(new.member_size());
        let used = new_chunk.round_down(old_chunk.round_down(used));
        let sized = |array: &Raid456| used.checked_mul(u64::from(array.data_members().get()));
        let row = |array: &Raid456| unit.checked_mul(u64::from(array.data_members().get()));
        let rows = row(&previous).and_then(|_| row(&new));
        let (Some(old_size), Some(new_size), Some(_)) = (sized(&previous), sized(&new), rows)
        else {
            return Err(Raid5ReshapeError::TooLong);
        };
        if new_size < array_size {
            return Err(Raid5ReshapeError::ArrayTooLarge);
        }
        // INVARIANT: both clauses were checked above.
        Ok(Self {
            previous,
            new,
            direction,
            offset,
            unit: unit.get(),
            member_size: used.get(),
            common_size: old_size.min(new_size),
        })
    }

    /// The sectors that both geometries have: the size of the array while the reshape runs. New rows hold zeroes
    /// beyond.
    pub const fn common_size(&self) -> Sectors {
        self.common_size
    }

    /// The start position.
    pub const fn start(&self) -> Position {
        Position::start(self.direction, self.common_size)
    }

    /// Takes up a reshape from the position in the superblocks.
    ///
    /// # Errors
    ///
    /// All of [`ResumeError`].
    pub fn resume(&self, recorded: Sector, watch: Watch) -> Result<Position, ResumeError> {
        let row = |data: u16| self.unit.saturating_mul(u64::from(data));
        let new_row = row(self.new.data_members().get());
        let old_row = row(self.previous.data_members().get());
        if recorded.get().checked_rem(new_row) != Some(0) {
            return Err(ResumeError::NotOnStripeBoundary);
        }
        if self.previous.members() == self.new.members() {
            if self.offset.0.unsigned_abs() < self.unit && watch == Watch::None {
                return Err(ResumeError::InPlace);
            }
            return Ok(Position::resumed(self.direction, recorded));
        }
        // Whole units, so neither product exceeds `recorded`.
        let rows = |row: u64| {
            let count = recorded.get().checked_div(row).unwrap_or(0);
            count.saturating_mul(self.unit)
        };
        let (mut write, mut read) = (rows(new_row), rows(old_row));
        match self.offset.0 {
            up @ 0.. => write = write.saturating_add(up.unsigned_abs()),
            down => read = read.saturating_add(down.unsigned_abs()),
        }
        let too_early = match self.direction {
            Direction::Backward => write <= read,
            Direction::Forward => write >= read,
        };
        if too_early {
            return Err(ResumeError::TooEarly);
        }
        Ok(Position::resumed(self.direction, recorded))
    }

    /// The next step from `position`, or that there is none.
    pub fn next(&self, position: &Position) -> Next<Raid5Step> {
        let data = u64::from(self.new.data_members().get());
        // How far into each member the new rows go up to here.
        let here = position.progress().get().checked_div(data).unwrap_or(0);
        let target = match self.direction {
            Direction::Forward => (here < self.member_size).then_some(here),
            Direction::Backward => here.checked_sub(self.unit),
        };
        let step = target.and_then(|target| {
            let range = SectorRange::new(Sector::new(target), Sectors::new(self.unit))?;
            let end = range.end().get();
            let (progress, completed) = match self.direction {
                Direction::Forward => (end, end),
                Direction::Backward => (target, self.member_size.saturating_sub(target)),
            };
            Some(Raid5Step {
                metadata: self.metadata(position),
                target: range,
                source: self.source(range),
                progress: Sector::new(progress.saturating_mul(data)),
                completed: Sectors::new(completed),
            })
        });
        step.map_or(Next::Done, Next::Step)
    }

    /// The superblocks go first when the step would write over what a restart reads (`safe` behind `write`), unless
    /// it writes over what it reads itself: then only a backup in user space helps, and recording gains nothing.
    fn metadata(&self, position: &Position) -> Metadata {
        let Reach { write, read, safe } = self.reach(position);
        let overwrites = match self.direction {
            Direction::Forward => safe < write && read > write,
            Direction::Backward => safe > write && read < write,
        };
        if overwrites {
            Metadata::WriteFirst
        } else {
            Metadata::NotNeeded
        }
    }

    /// The most advanced member sector to write, and the least advanced ones to read now and after a restart.
    fn reach(&self, position: &Position) -> Reach {
        let per_member = |at: Sector, array: &Raid456| array.data_members().split(at.get()).0;
        let write = per_member(position.progress(), &self.new);
        let read = per_member(position.progress(), &self.previous);
        let safe = per_member(position.safe(), &self.previous);
        let mut reach = match self.direction {
            Direction::Forward => Reach {
                write: write.saturating_add(self.unit),
                read: read.saturating_sub(self.unit),
                safe: safe.saturating_sub(self.unit),
            },
            Direction::Backward => Reach {
                write: write.saturating_sub(self.unit),
                read: read.saturating_add(self.unit),
                safe: safe.saturating_add(self.unit),
            },
        };
        let change = self.offset.0.unsigned_abs();
        if self.offset.0 < 0 {
            reach.read = reach.read.saturating_add(change);
            reach.safe = reach.safe.saturating_add(change);
        } else {
            reach.write = reach.write.saturating_add(change);
        }
        reach
    }

    /// The rows of the previous geometry that hold the data of these rows of the new one.
    fn source(&self, target: SectorRange) -> Option<SectorRange> {
        let data = u64::from(self.new.data_members().get());
        let first = target.start().get().checked_mul(data)?;
        let end = target
            .end()
            .get()
            .checked_mul(data)?
            .min(self.common_size.get());
        let len = Sectors::new(end.checked_sub(first)?);
        self.previous
            .rows_of(SectorRange::new(Sector::new(first), len)?)
    }
}
