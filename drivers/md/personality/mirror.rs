// SPDX-License-Identifier: GPL-2.0

//! The mirror engine: copies of every sector, placed by `md_core::layout::mirror`.
//!
//! A [`Seat`] is a member in its place. Its failure is an atomic that I/O sets and looks at; the table of seats itself
//! changes only while no I/O is under way. Requests that fail go to [`Failures`] for the array's thread.

pub(crate) mod barrier;
pub(crate) mod failures;
mod read;
pub(crate) mod resync;
pub(crate) mod seat;
mod write;

use super::{AtWork, Seated, Shape};
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
        bio::Bio,
        fan::FanPool,
        limits::{Features, Limits},
    },
    sync::gated::Entered,
};
use md_core::{
    layout::{
        chunk::MemberCount,
        mirror::{Placement, Raid1},
    },
    state::member::{Place, Seat as Chair},
    units::{Sector, Sectors},
    words::mdstat::Geometry,
};
use read::Read;
use seat::Seat;
use write::Write;

/// Requests that can be made without memory, one after the other.
const RESERVE: u16 = 64;

/// A mirror at work.
pub(crate) struct Mirror {
    placement: Raid1,
    /// Main members by slot, then replacements by slot.
    seats: KVec<Option<Seat>>,
    barriers: Barriers,
    failures: Arc<Failures>,
    reads: FanPool<Read>,
    writes: FanPool<Write>,
}

impl Mirror {
    /// `EINVAL` without a member in sync, or for a shape that cannot be.
    pub(super) fn start(array: &str, shape: &Shape, members: KVec<Seated>) -> Result<Self> {
        let count = MemberCount::new(shape.raid_disks).ok_or(EINVAL)?;
        let in_sync = members.iter().filter(|seated| seated.is_in_sync()).count();
        if in_sync == 0 {
            pr_warn!("{array}: no member is in sync\n");
            return Err(EINVAL);
        }
        let slots = usize::from(shape.raid_disks);
        let mut seats = KVec::with_capacity(2 * slots, GFP_KERNEL)?;
        for _ in 0..2 * slots {
            seats.push(None, GFP_KERNEL)?;
        }
        let legs = shape.raid_disks.checked_mul(2).ok_or(EINVAL)?;
        let mut this = Self {
            placement: Raid1::new(count, shape.member_size),
            seats,
            barriers: Barriers::new()?,
            failures: Failures::new()?,
            reads: FanPool::new(RESERVE, 1)?,
            writes: FanPool::new(RESERVE, legs)?,
        };
        for seated in members {
            this.seat_member(seated)?;
        }
        Ok(this)
    }

    fn index(&self, place: Place) -> usize {
        let slots = usize::from(self.placement.members().get());
        let slot = usize::from(place.slot.get());
        match place.seat {
            Chair::Main => slot,
            Chair::Replacement => slots + slot,
        }
    }

    /// The members in their places.
    fn seats(&self) -> impl Iterator<Item = &Seat> + Clone {
        self.seats.iter().flatten()
    }

    fn seat(&self, place: Place) -> Option<&Seat> {
        self.seats.get(self.index(place))?.as_ref()
    }

    /// Gives a member its place. `EBUSY` when somebody has it, `EINVAL` when there is none such.
    pub(crate) fn seat_member(&mut self, seated: Seated) -> Result {
        let index = self.index(seated.place);
        let seat = self.seats.get_mut(index).ok_or(EINVAL)?;
        if seat.is_some() {
            return Err(EBUSY);
        }
        *seat = Some(Seat::new(seated));
        Ok(())
    }

    /// The member of a place has left.
    pub(crate) fn vacate(&mut self, place: Place) {
        let index = self.index(place);
        if let Some(seat) = self.seats.get_mut(index) {
            *seat = None;
        }
    }

    /// A resync has something to look at. Any context.
    pub(crate) fn wake_resync(&self) {
        self.barriers.wake();
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
}

impl AtWork for Mirror {
    #[inline]
    fn submit(&self, live: &Entered<Live>, bio: Bio, writing: Option<Writing>) {
        match writing {
            Some(writing) => self.write(live, bio, writing),
            None => self.read(live, bio),
        }
    }

    fn size(&self) -> Sectors {
        self.placement.array_size()
    }

    fn limits(&self, limits: &mut Limits) {
        limits.add_features(Features::ATOMIC_WRITES | Features::PCI_P2PDMA);
        limits.set_chunk_sectors(barrier::UNIT);
        limits.set_max_write_zeroes_sectors(0);
    }

    fn geometry(&self) -> Geometry {
        Geometry::Raid1
    }
}

impl Seated {
    /// Whether all its data is valid.
    fn is_in_sync(&self) -> bool {
        self.valid_below == Sector::MAX
            && self.place.seat == Chair::Main
            && self.member.health() == Health::Working
    }
}
