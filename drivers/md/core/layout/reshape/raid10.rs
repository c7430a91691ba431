// SPDX-License-Identifier: GPL-2.0

//! Reshape of raid10 (`reshape_request` in raid10.c): up to a window of one chunk at a time.
//!
//! raid10 never writes over what it reads: it demands that the data offset of every member moves by at least a row,
//! the *slack*.

use super::{Direction, Geometry, Metadata, Next, Position};
use crate::{
    layout::mirror::{Placement, Raid10, Raid10Error},
    units::{Sector, SectorRange, Sectors, Slot},
};
use core::fmt;

/// The longest step, in array sectors (`RESYNC_SECTORS`: 64 KiB); a power of two.
pub const WINDOW: Sectors = Sectors::new(128);

/// Why a reshape cannot start; EINVAL in C md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid10ReshapeError {
    /// One of the layouts has sections of far copies.
    HasSections,
    /// The number of copies would change.
    CopiesChange,
    /// More members go forward and fewer go backward; only with as many is the direction free.
    WrongDirection,
    /// The array does not end with a whole new chunk.
    ChunkDoesNotDivideArray,
    /// The data offsets do not move by a row of chunks with its copies.
    SlackTooSmall,
    /// Both geometries together have less room than the array has now: `array_size` has to be reduced first. C md
    /// looks at this going backward only, and going forward copies the rest to where there is no array.
    ArrayTooLarge,
    /// The common size cannot be computed.
    Geometry(Raid10Error),
    /// It is to go on behind the end of what both geometries have.
    BeyondEnd,
}

impl fmt::Display for Raid10ReshapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HasSections => "a raid10 array with far copies cannot be reshaped",
            Self::CopiesChange => "a reshape cannot change the number of copies",
            Self::WrongDirection => "the reshape has to go the other way",
            Self::ChunkDoesNotDivideArray => "the array is not a multiple of the new chunk size",
            Self::SlackTooSmall => "offset difference not enough to reshape",
            Self::ArrayTooLarge => "array size must be reduced before number of disks",
            Self::Geometry(error) => return error.fmt(f),
            Self::BeyondEnd => "the reshape is behind the end of the array",
        })
    }
}

/// The slack of a reshape, from the (old, new) data offsets of all members: the least that any of them moves against
/// the direction of travel.
pub fn raid10_slack(
    direction: Direction,
    offsets: impl Iterator<Item = (Sector, Sector)>,
) -> Sectors {
    offsets
        .map(|(old, new)| match direction {
            Direction::Forward => old.distance_from(new),
            Direction::Backward => new.distance_from(old),
        })
        .map(|slack| slack.unwrap_or(Sectors::ZERO))
        .min()
        .unwrap_or(Sectors::ZERO)
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid10Step {
    /// Whether the superblocks have to be written first.
    pub metadata: Metadata,
    /// The array sectors to copy, inside one chunk of either geometry.
    pub range: SectorRange,
    /// [`Position::progress`] after the step.
    pub progress: Sector,
    /// How much of the array is done after the step: what `sync_completed` counts.
    pub completed: Sectors,
}

/// A range of the array that is in one geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which.
    pub geometry: Geometry,
    /// The same, to be asked.
    pub layout: &'a Raid10,
    /// How long the range is, not zero unless the request is.
    pub length: Sectors,
}

/// The reshape of a raid10 array.
///
/// # Invariants
///
/// Neither layout has sections, both have the same number of copies, and the slack is at least a row with its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid10Reshape {
    previous: Raid10,
    new: Raid10,
    direction: Direction,
    slack: Sectors,
    common_size: Sectors,
    /// What the new geometry would have with the smaller number of members; not less than the common size.
    smaller_size: Sectors,
}

impl Raid10Reshape {
    /// A reshape of an array that presents `array_size` sectors.
    ///
    /// # Errors
    ///
    /// All of [`Raid10ReshapeError`] but [`Raid10ReshapeError::BeyondEnd`].
    pub fn new(
        previous: Raid10,
        new: Raid10,
        direction: Direction,
        slack: Sectors,
        array_size: Sectors,
    ) -> Result<Self, Raid10ReshapeError> {
        Self::check(&previous, &new, array_size)?;
        let this = Self::under_way(previous, new, direction, slack)?;
        if this.common_size < array_size {
            return Err(Raid10ReshapeError::ArrayTooLarge);
        }
        Ok(this)
    }

    /// Whether a reshape of an array that presents `array_size` sectors could be, wherever its data is to go.
    ///
    /// # Errors
    ///
    /// [`Raid10ReshapeError::HasSections`], [`Raid10ReshapeError::CopiesChange`],
    /// [`Raid10ReshapeError::ChunkDoesNotDivideArray`].
    pub fn check(
        previous: &Raid10,
        new: &Raid10,
        array_size: Sectors,
    ) -> Result<(), Raid10ReshapeError> {
        check_shape(previous, new)?;
        if new.chunk().size().round_down(array_size) != array_size {
            return Err(Raid10ReshapeError::ChunkDoesNotDivideArray);
        }
        Ok(())
    }

    /// A reshape that superblocks say is under way.
    ///
    /// # Errors
    ///
    /// Those of [`Raid10Reshape::new`] that have nothing to do with what the array presents.
    pub fn under_way(
        previous: Raid10,
        new: Raid10,
        direction: Direction,
        slack: Sectors,
    ) -> Result<Self, Raid10ReshapeError> {
        check_shape(&previous, &new)?;
        if !direction.fits(previous.members(), new.members()) {
            return Err(Raid10ReshapeError::WrongDirection);
        }
        if row_len(&previous).max(row_len(&new)) > slack {
            return Err(Raid10ReshapeError::SlackTooSmall);
        }
        let members = if previous.members().get() < new.members().get() {
            previous.members()
        } else {
            new.members()
        };
        let smaller = Raid10::new(new.layout(), new.chunk(), members, previous.member_size())
            .map_err(Raid10ReshapeError::Geometry)?;
        let smaller_size = smaller.array_size();
        // INVARIANT: all clauses were checked above.
        Ok(Self {
            previous,
            new,
            direction,
            slack,
            common_size: smaller_size.min(previous.array_size()),
            smaller_size,
        })
    }

    /// The sectors that both geometries have: the size of the array while the reshape runs.
    pub const fn common_size(&self) -> Sectors {
        self.common_size
    }

    /// The geometry before.
    pub const fn previous(&self) -> &Raid10 {
        &self.previous
    }

    /// The geometry afterwards.
    pub const fn target(&self) -> &Raid10 {
        &self.new
    }

    /// One of the two.
    pub const fn layout(&self, geometry: Geometry) -> &Raid10 {
        match geometry {
            Geometry::Previous => &self.previous,
            Geometry::New => &self.new,
        }
    }

    /// The way of travel.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// The start position.
    pub const fn start(&self) -> Position {
        Position::start(self.direction, self.common_size)
    }

    /// The position that superblocks have recorded.
    ///
    /// Going backward, C md begins at the size of the new geometry with the smaller number of members, though the
    /// previous one may end before: smaller chunks can use what is left of an odd number of members. What it copied
    /// there is behind the end of the array, so a reshape that is still there is at its start.
    ///
    /// # Errors
    ///
    /// [`Raid10ReshapeError::BeyondEnd`].
    pub fn resume(&self, recorded: Sector) -> Result<Position, Raid10ReshapeError> {
        let (common, recorded) = (self.common_size.get(), recorded.get());
        let known = match self.direction {
            Direction::Forward => common,
            Direction::Backward => self.smaller_size.get(),
        };
        if recorded > known {
            return Err(Raid10ReshapeError::BeyondEnd);
        }
        let recorded = Sector::new(recorded.min(common));
        Ok(Position::resumed(self.direction, recorded))
    }

    /// Whether a reshape of which superblocks have recorded this position has copied nothing of the array for good.
    pub fn is_at_start(&self, recorded: Sector) -> bool {
        self.resume(recorded) == Ok(self.start())
    }

    /// How much of the array is copied at `position`.
    pub fn completed(&self, position: Sector) -> Sectors {
        Sectors::new(match self.direction {
            Direction::Forward => position.get(),
            Direction::Backward => self.common_size.get().saturating_sub(position.get()),
        })
    }

    /// By which geometry what begins at `start` is served, and how much of `length` that holds for.
    ///
    /// A write holds its part for as long as no step that touches the part is under way; a read may find its copies
    /// overwritten once the superblocks have recorded a position behind it, so they wait for such reads first.
    #[inline]
    pub fn part(&self, position: &Position, start: Sector, length: Sectors) -> Part<'_> {
        let geometry = position.geometry(start);
        let to_position = position.progress().distance_from(start);
        let to_position = to_position.filter(|left| !left.is_zero());
        Part {
            geometry,
            layout: self.layout(geometry),
            length: to_position.map_or(length, |left| length.min(left)),
        }
    }

    /// Whether every sector of the array has a copy on a member for which `works` holds, wherever the reshape is.
    pub fn has_enough(&self, works: impl Fn(Slot) -> bool) -> bool {
        self.previous.has_enough(&works) && self.new.has_enough(&works)
    }

    /// The next step from `position`, or that there is none.
    pub fn next(&self, position: &Position) -> Next<Raid10Step> {
        let size = self.common_size.get();
        let progress = position.progress().get();
        let bounds = match self.direction {
            Direction::Forward => (progress, self.window_end(progress).min(size)),
            Direction::Backward => (self.window_start(progress), progress),
        };
        let len = Sectors::new(bounds.1.saturating_sub(bounds.0));
        let Some(range) = SectorRange::new(Sector::new(bounds.0), len) else {
            return Next::Done;
        };
        let (progress, completed) = match self.direction {
            Direction::Forward => (range.end(), bounds.1),
            Direction::Backward => (range.start(), size.saturating_sub(bounds.0)),
        };
        Next::Step(Raid10Step {
            metadata: self.metadata(position),
            range,
            progress,
            completed: Sectors::new(completed),
        })
    }

    /// Steps end at multiples of this, so each is in one chunk of both geometries: both chunks are powers of two, and
    /// so is this.
    fn unit(&self) -> u64 {
        let (previous, new) = (self.previous.chunk().sectors(), self.new.chunk().sectors());
        previous.min(new).min(WINDOW).get()
    }

    fn window_end(&self, from: u64) -> u64 {
        let into = from & self.unit().saturating_sub(1);
        from.saturating_add(self.unit().saturating_sub(into))
    }

    fn window_start(&self, to: u64) -> u64 {
        let last = to.saturating_sub(1);
        last.saturating_sub(last & self.unit().saturating_sub(1))
    }

    /// The superblocks go first when the step may write where a restart from the recorded position may read, unless
    /// they say already where the reshape is: another record would change nothing, and who makes one and asks again
    /// would do so for ever.
    ///
    /// The step is safe then. What is compared are whole rows, of all members; with the least slack a row that the
    /// step writes to and one that a restart reads may be the same, but what the step writes in it does not lie on
    /// what a restart reads on that member: not on what is ahead of the step, and not on its own range, which nobody
    /// else writes meanwhile. The tests look at every step of many shapes for that.
    fn metadata(&self, position: &Position) -> Metadata {
        if position.safe() == position.progress() {
            return Metadata::NotNeeded;
        }
        let (progress, safe) = (position.progress().get(), position.safe().get());
        let slack = self.slack.get();
        let overwrites = match self.direction {
            Direction::Forward => {
                let next = member_end(&self.new, progress);
                let safe = member_start(&self.previous, safe);
                next > safe.saturating_add(slack)
            }
            Direction::Backward => {
                let next = member_start(&self.new, progress.saturating_sub(1));
                let safe = member_end(&self.previous, safe.saturating_sub(1));
                next.saturating_add(slack) < safe
            }
        };
        if overwrites {
            Metadata::WriteFirst
        } else {
            Metadata::NotNeeded
        }
    }
}

/// What of a shape can be seen without knowing where data is to go.
fn check_shape(previous: &Raid10, new: &Raid10) -> Result<(), Raid10ReshapeError> {
    if previous.layout().has_sections() || new.layout().has_sections() {
        return Err(Raid10ReshapeError::HasSections);
    }
    if previous.copy_count() != new.copy_count() {
        return Err(Raid10ReshapeError::CopiesChange);
    }
    Ok(())
}

/// A chunk with its far copies, on one member.
fn row_len(array: &Raid10) -> Sectors {
    let far = u64::from(array.layout().far());
    Sectors::new(array.chunk().sectors().get().saturating_mul(far))
}

/// The number of array chunks up to here, counted as near copies over all members.
fn rows(array: &Raid10, chunks: u64) -> (u64, u16) {
    let places = chunks.saturating_mul(u64::from(array.layout().near()));
    array.members().split(places)
}

/// The first member sector that can hold anything of the chunk of array sector `at`.
fn member_start(array: &Raid10, at: u64) -> u64 {
    let (chunk, _) = array.chunk().split(Sector::new(at));
    rows(array, chunk).0.saturating_mul(row_len(array).get())
}

/// The first member sector behind anything of the chunk of array sector `at`.
fn member_end(array: &Raid10, at: u64) -> u64 {
    let (chunk, _) = array.chunk().split(Sector::new(at));
    let (full, rest) = rows(array, chunk.saturating_add(1));
    let count = full.saturating_add(u64::from(rest > 0));
    count.saturating_mul(row_len(array).get())
}
