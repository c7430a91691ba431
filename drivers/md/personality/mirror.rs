// SPDX-License-Identifier: GPL-2.0

//! The mirror engine: copies of every sector, placed by `md_core::layout::mirror`.
//!
//! It serves raid1 and raid10. What is particular to one of them is in [`raid1`] or [`raid10`], and nowhere else.
//!
//! A [`Seat`] is a member in its place. Its failure is an atomic that I/O sets and looks at; the table of seats
//! itself changes only while no I/O is under way. A [`Walk`] goes over the copies of a range. Requests that fail go
//! to [`Failures`] for the array's thread. While a raid10 is reshaped there are two layouts, and [`Moving`] says
//! which of them holds where.

pub(crate) mod ahead;
pub(crate) mod barrier;
mod discard;
pub(crate) mod failures;
mod marking;
mod mend;
pub(crate) mod moving;
mod narrow;
mod raid1;
pub(crate) mod raid10;
mod read;
pub(crate) mod resync;
mod salvage;
pub(crate) mod seat;
mod serial;
mod walk;
mod write;
mod writer;

use super::{AtWork, Reshaping, Seated, Shape};
use crate::{
    array::{live::Live, tracking::Writing},
    member::Health,
};
use barrier::Barriers;
use failures::Failures;
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    block::{
        bdev::Target,
        bio::{Bio, Op},
        fan::FanPool,
        limits::{Features, Limits},
    },
    sync::{gated::Entered, wait::WaitQueue},
};
use marking::Marking;
use md_core::{
    format::level::Level,
    layout::{
        mirror::{Placement, Raid1, Raid10},
        reshape::{Geometry as Side, Part},
    },
    mirror::{
        balance::{Choice, ReadOrder},
        serial::Policy,
    },
    state::member::{Place, Seat as Chair},
    units::{Sector, Sectors, Slot},
    words::mdstat::Geometry,
};
use moving::{Moving, Postponed};
use read::Read;
use seat::Seat;
use serial::Serial;
use walk::{Located, Walk};
use write::Write;

pub(crate) use md_core::layout::mirror::MirrorLayout as Layout;

/// Requests that can be made without memory, one after the other.
const RESERVE: u16 = 16;

/// A mirror at work.
pub(crate) struct Mirror {
    /// Where its data lies; in a reshape, where it will.
    layout: Layout,
    /// The reshape under way.
    moving: Option<Arc<Moving>>,
    /// Main members by slot, then replacements by slot.
    seats: KVec<Option<Seat>>,
    /// How many replacements there are.
    replacements: u16,
    barriers: Barriers,
    failures: Arc<Failures>,
    marking: Arc<Marking>,
    /// Writes that others wait for, of a raid1.
    serial: Option<Arc<Serial>>,
    reads: FanPool<Read>,
    writes: FanPool<Write>,
    /// Discards of whole stripes, for a layout that has any.
    stripes: Option<FanPool<Write>>,
}

impl Mirror {
    /// `EINVAL` when some data has no copy in sync, or for a shape that cannot be.
    pub(super) fn start(array: &str, shape: &Shape, members: KVec<Seated>) -> Result<Self> {
        let reshaping = shape.reshaping.as_ref();
        let layout = match (shape.level, reshaping) {
            (Level::Raid10, Some(Reshaping { reshape, .. })) => Layout::Raid10(*reshape.target()),
            (Level::Raid10, None) => Layout::Raid10(raid10::layout(array, shape)?),
            _ => raid1::layout(shape)?,
        };
        let moving = match reshaping {
            Some(reshaping) => Some(raid10::moving(array, reshaping)?),
            None => None,
        };
        let holds = |slot| members.iter().any(|seated| seated.is_in_sync(slot));
        if !has_enough(&layout, moving.as_ref(), holds) {
            pr_warn!("{array}: some data has no copy on a member in sync\n");
            return Err(EINVAL);
        }
        let before = moving.as_ref().map(|moving| moving.reshape().previous());
        let before = before.map_or(0, |previous| previous.members().get());
        let slots = usize::from(layout.members().get().max(before));
        let mut seats = KVec::with_capacity(2 * slots, GFP_KERNEL)?;
        for _ in 0..2 * slots {
            seats.push(None, GFP_KERNEL)?;
        }
        let legs = layout.copy_count().checked_mul(2).ok_or(EINVAL)?;
        let mut this = Self {
            layout,
            moving,
            seats,
            replacements: 0,
            barriers: Barriers::new()?,
            failures: Failures::new()?,
            marking: Marking::new()?,
            serial: match &layout {
                Layout::Raid1(_) => Some(Serial::new(shape.serialize)?),
                Layout::Raid10(_) => None,
            },
            reads: FanPool::new(RESERVE, 1)?,
            writes: FanPool::new(RESERVE, legs)?,
            stripes: match &layout {
                Layout::Raid1(_) => None,
                Layout::Raid10(raid10) => discard::pool(raid10)?,
            },
        };
        for seated in members {
            this.seat_member(seated)?;
        }
        Ok(this)
    }

    /// Which writes wait for others is another policy now. `EINVAL` for a level that has none.
    pub(crate) fn set_serialize(&mut self, policy: Policy) -> Result {
        let serial = self.serial.as_mut().ok_or(EINVAL)?;
        *serial = Serial::new(policy)?;
        Ok(())
    }

    /// Where its data lies.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The level it serves.
    pub(crate) fn level(&self) -> Level {
        match self.layout {
            Layout::Raid1(_) => Level::Raid1,
            Layout::Raid10(_) => Level::Raid10,
        }
    }

    fn index(&self, place: Place) -> usize {
        let slots = self.seats.len() / 2;
        let slot = usize::from(place.slot.get());
        match place.seat {
            Chair::Main => slot,
            Chair::Replacement => slots + slot,
        }
    }

    /// The seats up to the last that may have a member: those of replacements only if there is one.
    #[inline]
    fn filled(&self) -> &[Option<Seat>] {
        let seats = match self.replacements {
            0 => self.seats.get(..self.seats.len() / 2),
            _ => None,
        };
        seats.unwrap_or(&self.seats)
    }

    /// The members in their places.
    fn seats(&self) -> impl Iterator<Item = &Seat> + Clone {
        self.seats.iter().flatten()
    }

    fn seat(&self, place: Place) -> Option<&Seat> {
        self.seats.get(self.index(place))?.as_ref()
    }

    /// The member and the replacement of a slot.
    fn seats_of(&self, slot: Slot) -> [Option<&Seat>; 2] {
        [Chair::Main, Chair::Replacement].map(|seat| self.seat(Place { slot, seat }))
    }

    /// By which layout of a raid10 what begins at `start` is served at present, and how much of it.
    #[inline]
    fn part<'a>(&'a self, raid10: &'a Raid10, start: Sector, length: Sectors) -> Part<'a> {
        let length = length.min(barrier::left_in_unit(start));
        match &self.moving {
            None => Part {
                geometry: Side::Previous,
                layout: raid10,
                length,
            },
            Some(moving) => moving.part(start, length),
        }
    }

    /// The copies of what begins at `start`, and how far all of them go on, at most `length`: no request is longer,
    /// or crosses a unit of the barrier. `None` beyond the end of the array.
    #[inline]
    fn copies(&self, start: Sector, length: Sectors) -> Option<(Walk<'_>, Sectors)> {
        match &self.layout {
            Layout::Raid1(raid1) => self.same(raid1, start, length),
            Layout::Raid10(raid10) => self.spread(&self.part(raid10, start, length), start),
        }
    }

    /// The same in one of the two geometries of an array that is reshaped, wherever the reshape is. Others have one.
    fn copies_in(&self, side: Side, start: Sector, length: Sectors) -> Option<(Walk<'_>, Sectors)> {
        match (&self.layout, &self.moving) {
            (Layout::Raid10(_), Some(moving)) => {
                let part = Part {
                    geometry: side,
                    layout: moving.reshape().layout(side),
                    length: length.min(barrier::left_in_unit(start)),
                };
                self.spread(&part, start)
            }
            _ => self.copies(start, length),
        }
    }

    #[inline]
    fn same(&self, raid1: &Raid1, start: Sector, length: Sectors) -> Option<(Walk<'_>, Sectors)> {
        let left = raid1.array_size().get().checked_sub(start.get())?;
        let seats = self.filled().iter();
        let length = length.min(barrier::left_in_unit(start));
        Some((
            Walk::Same { seats, at: start },
            length.min(Sectors::new(left)),
        ))
    }

    #[inline]
    fn spread(&self, part: &Part<'_>, start: Sector) -> Option<(Walk<'_>, Sectors)> {
        let mains = part.layout.copies(start).ok()?;
        let run = mains.run();
        let replacements = (self.replacements > 0).then(|| mains.clone());
        let walk = Walk::Spread {
            mains,
            replacements,
            seats: &self.seats,
            geometry: part.geometry,
        };
        Some((walk, part.length.min(run)))
    }

    /// The copies of what begins at `start` and goes on for `length`, as far as one request may; none beyond the end.
    fn copies_of(&self, start: Sector, length: Sectors) -> impl Iterator<Item = Located<'_>> {
        let copies = self.copies(start, length).into_iter();
        copies.flat_map(|(copies, _)| copies)
    }

    /// The same in one of the two geometries of an array that is reshaped.
    fn located(
        &self,
        side: Side,
        start: Sector,
        length: Sectors,
    ) -> impl Iterator<Item = Located<'_>> {
        let copies = self.copies_in(side, start, length).into_iter();
        copies.flat_map(|(copies, _)| copies)
    }

    /// The copy to read, and how much of it.
    #[inline]
    fn choose(
        &self,
        start: Sector,
        length: Sectors,
        order: ReadOrder,
    ) -> Option<Choice<Located<'_>>> {
        match &self.layout {
            Layout::Raid1(_) => {
                let (copies, length) = self.copies(start, length)?;
                raid1::choose(length, order, copies)
            }
            // The position is looked at once: both the copies and how far they go depend on it.
            Layout::Raid10(raid10) => {
                let part = self.part(raid10, start, length);
                raid10::choose(self, &part, order, start)
            }
        }
    }

    /// Gives a member its place. `EBUSY` when somebody has it, `EINVAL` when there is none such.
    pub(crate) fn seat_member(&mut self, seated: Seated) -> Result {
        let index = self.index(seated.place);
        let moving = self.moving.is_some();
        let seat = self.seats.get_mut(index).ok_or(EINVAL)?;
        if seat.is_some() {
            return Err(EBUSY);
        }
        let is_replacement = seated.place.seat == Chair::Replacement;
        *seat = Some(Seat::new(seated, moving));
        self.replacements += u16::from(is_replacement);
        Ok(())
    }

    /// The member of a place has left.
    pub(crate) fn vacate(&mut self, place: Place) {
        let index = self.index(place);
        let left = self.seats.get_mut(index).and_then(Option::take);
        if left.is_some_and(|seat| seat.place.seat == Chair::Replacement) {
            self.replacements = self.replacements.saturating_sub(1);
        }
    }

    /// A resync has something to look at. Any context.
    pub(crate) fn wake_resync(&self) {
        self.barriers.wake();
    }

    /// Where [`Mirror::wait_resync`] sleeps.
    pub(crate) fn resync_waiters(&self) -> Arc<WaitQueue> {
        self.barriers.waiters()
    }

    /// Sleeps until `condition` is true; it is looked at after [`Mirror::wake_resync`] and when a bucket changes.
    pub(crate) fn wait_resync(&self, condition: impl FnMut() -> bool) {
        self.barriers.wait(condition);
    }

    /// What members have moved, in sectors, whoever asked them to.
    pub(crate) fn moved(&self) -> u64 {
        let done = |seat: &Seat| seat.member.device().whole().sectors_done();
        self.seats().map(done).fold(0, u64::wrapping_add)
    }

    /// Requests that came back with an error.
    pub(crate) fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }

    /// Serves a bio; see [`Personality::submit`](super::Personality::submit).
    #[inline(never)]
    pub(super) fn submit(
        &self,
        live: &Entered<Live>,
        bio: Bio,
        writing: Option<Writing>,
    ) -> Option<Postponed> {
        match writing {
            Some(writing) if bio.op() == Op::Discard => self.discard(live, bio, writing),
            Some(writing) => self.write(live, bio, writing),
            None => {
                self.read(live, bio);
                None
            }
        }
    }
}

/// Whether every sector has a copy on a member for which `works` holds, wherever a reshape is.
pub(crate) fn has_enough(
    layout: &Layout,
    moving: Option<&Arc<Moving>>,
    works: impl Fn(Slot) -> bool,
) -> bool {
    match moving {
        Some(moving) => moving.reshape().has_enough(works),
        None => layout.has_enough(works),
    }
}

impl AtWork for Mirror {
    fn size(&self) -> Sectors {
        let moving = self.moving.as_ref();
        moving.map_or(self.layout.array_size(), |moving| {
            moving.reshape().common_size()
        })
    }

    fn limits(&self, limits: &mut Limits) {
        limits.add_features(Features::NOWAIT | Features::ATOMIC_WRITES | Features::PCI_P2PDMA);
        limits.set_max_write_zeroes_sectors(0);
        match &self.layout {
            Layout::Raid1(_) => raid1::limits(limits),
            Layout::Raid10(raid10) => raid10::limits(raid10, limits),
        }
    }

    fn geometry(&self) -> Geometry {
        match &self.layout {
            Layout::Raid1(_) => Geometry::Raid1,
            Layout::Raid10(raid10) => Geometry::Raid10(raid10::geometry(raid10)),
        }
    }
}

impl Seated {
    /// Whether it is the member of a slot, and all its data is valid.
    fn is_in_sync(&self, slot: Slot) -> bool {
        let main = Place {
            slot,
            seat: Chair::Main,
        };
        self.valid_below == Sector::MAX
            && self.place == main
            && self.member.health() == Health::Working
    }
}
