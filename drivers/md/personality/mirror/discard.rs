// SPDX-License-Identifier: GPL-2.0

//! Discards of whole stripes of a raid10: one request for each member, however many chunks they are. All others go the
//! way of writes.

use super::{
    super::single::fit,
    barrier,
    barrier::WritePass,
    moving::Postponed,
    seat::Copy,
    write::{intent_of, Write},
    Layout, Mirror,
};
use crate::{
    array::{live::Live, tracking::Writing},
    member::Health,
};
use kernel::prelude::*;
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bdev::Target,
        bio::{Bio, Setup},
        fan::{Fan, FanPool},
        status::Status,
    },
    sync::gated::Entered,
};
use md_core::{
    layout::mirror::{Placement, Raid10, Stripes},
    units::{Sector, Sectors},
};

/// The most requests one discard is made of. With more members or copies, discards are done by the chunk.
const LEGS: u16 = 128;
/// Such discards that can be made without memory, one after the other.
const RESERVE: u16 = 2;

/// Where discards of whole stripes are made.
pub(super) fn pool(raid10: &Raid10) -> Result<Option<FanPool<Write>>> {
    let seats = raid10.members().get().saturating_mul(2);
    let legs = seats.saturating_mul(raid10.sections());
    if legs > LEGS {
        return Ok(None);
    }
    FanPool::new(RESERVE, legs).map(Some)
}

impl Mirror {
    /// Serves a discard that is counted as `writing`, as a write unless it has whole stripes; none are discarded at
    /// once in a reshape. May sleep.
    pub(super) fn discard(
        &self,
        live: &Entered<Live>,
        bio: Bio,
        writing: Writing,
    ) -> Option<Postponed> {
        let start = Sector::new(bio.sector());
        let length = Sectors::new(u64::from(bio.sectors())).min(barrier::left_in_unit(start));
        let stripes = match (&self.layout, &self.stripes, &self.moving) {
            (Layout::Raid10(raid10), Some(pool), None) => {
                let stripes = raid10.whole_stripes(start, length);
                stripes.map(|stripes| (stripes, pool))
            }
            _ => None,
        };
        match stripes {
            // It may have to wait in several places; who asks again waits.
            Some(_) if bio.wait() == Wait::No => bio.end(Status::AGAIN),
            Some((stripes, pool)) => self.discard_stripes(live, bio, writing, stripes, pool),
            None => return self.write(live, bio, writing),
        }
        None
    }

    fn discard_stripes(
        &self,
        live: &Entered<Live>,
        bio: Bio,
        writing: Writing,
        stripes: Stripes,
        pool: &FanPool<Write>,
    ) {
        let Ok(pass) = WritePass::enter(live, Sector::new(bio.sector()), Wait::Yes) else {
            return bio.end(Status::IO_ERROR);
        };
        self.await_records(live);
        let Some(bio) = fit(bio, stripes.length) else {
            return;
        };
        let Ok(intent) = intent_of(pass, &bio) else {
            return bio.end(Status::IO_ERROR);
        };
        let Some(room) = pool.room(Wait::Yes) else {
            return bio.end(Status::AGAIN);
        };
        let mut fan = room.fan(bio, Write::new(intent, writing, None));
        match self.add_runs(&mut fan, stripes) {
            Ok(()) => self.submit_marked(fan),
            Err(error) => fan.complete(error.into()),
        }
    }

    /// Waits until no failure of a member is waiting to be recorded.
    fn await_records(&self, live: &Entered<Live>) {
        while let Some(seat) = self.seats().find(|seat| seat.member.is_blocked()) {
            self.wait_recorded(live, seat.place);
        }
    }

    fn add_runs(&self, fan: &mut Fan<Write>, stripes: Stripes) -> Result {
        for seat in self.seats() {
            let member = &seat.member;
            if member.health() == Health::Failed || member.device().max_discard_sectors() == 0 {
                continue;
            }
            for run in stripes.runs() {
                let mut leg = fan.add_leg(Copy {
                    member: member.clone(),
                    place: seat.place,
                    at: run.start(),
                    length: run.len(),
                })?;
                leg.set_sector(seat.on_device(run.start()).get());
                leg.set_sectors(u32::try_from(run.len().get())?)?;
            }
        }
        Ok(())
    }
}
