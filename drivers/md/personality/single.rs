// SPDX-License-Identifier: GPL-2.0

//! I/O of which each part goes to one member: all of linear and raid0.

use super::Seated;
use crate::{array::live::Live, log::Text, member::Member};
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bdev::Target,
        bio::{Bio, Op, Part, Setup},
        fan::{Fan, FanPool, Request},
        status::Status,
    },
    sync::gated::Entered,
};
use md_core::{
    layout::{raid0::Piece, BeyondEnd, MemberRun},
    units::{Sector, Sectors},
};

/// Requests that can be made without memory, one after the other.
const RESERVE: u16 = 16;
/// The same for requests that go to several members.
const RANGES_RESERVE: u16 = 4;

/// A request with one member, or a discard with several; it keeps the array from changing while it is under way.
pub(super) struct Single {
    live: Option<Entered<Live>>,
}

impl Request for Single {
    type Leg = Arc<Member>;

    fn finish(fan: Fan<Self>) {
        let failed = fan
            .legs()
            .map(|leg| leg.status())
            .find(|status| !status.is_ok());
        fan.complete(failed.unwrap_or(Status::OK));
    }
}

/// A request that is ready to be sent.
#[must_use = "a request that is not sent fails"]
pub(super) struct Ready(Fan<Single>);

impl Ready {
    /// Sends it. It takes over the entry of whoever prepared it: a second one would have its price.
    #[inline]
    pub(super) fn submit(self, live: Entered<Live>) {
        let Self(mut fan) = self;
        fan.live = Some(live);
        fan.submit();
    }
}

/// The members of a level, by slot.
pub(super) struct Members {
    list: KVec<(Arc<Member>, Sector)>,
    pool: FanPool<Single>,
    /// For requests without data that go to several members.
    ranges: FanPool<Single>,
}

impl Members {
    /// These members, in slot order, and the room each has for data.
    pub(super) fn of(slots: KVec<Seated>) -> Result<(KVec<Sectors>, Self)> {
        let mut lengths = KVec::with_capacity(slots.len(), GFP_KERNEL)?;
        let mut list = KVec::with_capacity(slots.len(), GFP_KERNEL)?;
        for seated in slots {
            lengths.push(seated.size, GFP_KERNEL)?;
            list.push((seated.member, seated.offset), GFP_KERNEL)?;
        }
        let pool = FanPool::new(RESERVE, 1)?;
        let legs = u16::try_from(list.len()).map_err(|_| EINVAL)?;
        let ranges = FanPool::new(RANGES_RESERVE, legs)?;
        Ok((lengths, Self { list, pool, ranges }))
    }

    /// Prepares the front of a bio, which is mapped to `run`; the rest goes back to the disk. `None` when there is
    /// nothing to send: then the bio has ended.
    #[inline(always)]
    pub(super) fn prepare(
        &self,
        live: &Live,
        bio: Bio,
        run: core::result::Result<MemberRun, BeyondEnd>,
    ) -> Option<Ready> {
        match run {
            Ok(run) => self.to_member(live, fit(bio, run.len)?, run),
            Err(_) => ended(bio, Status::IO_ERROR),
        }
    }

    /// Prepares to discard one range of each member that has a part of the bio; otherwise as [`Members::prepare`].
    pub(super) fn prepare_discard(
        &self,
        live: &Live,
        bio: Bio,
        pieces: impl Iterator<Item = Piece>,
    ) -> Option<Ready> {
        let Some(room) = self.ranges.room(bio.wait()) else {
            return ended(bio, Status::AGAIN);
        };
        let mut fan = room.fan(bio, Single { live: None });
        let mut any = false;
        for piece in pieces {
            match self.add_piece(live, &mut fan, piece) {
                Ok(added) => any |= added,
                Err(error) => {
                    fan.complete(error.into());
                    return None;
                }
            }
        }
        if any {
            return Some(Ready(fan));
        }
        fan.complete(Status::OK);
        None
    }

    /// True when the member takes discards: data that is not dropped is as good as data that is.
    fn add_piece(&self, live: &Live, fan: &mut Fan<Single>, piece: Piece) -> Result<bool> {
        let seat = self.list.get(usize::from(piece.slot.get()));
        let (member, offset) = seat.ok_or(EIO)?;
        if let Some(parent) = fan.parent().filter(|_| !member.device().is_live()) {
            break_array(live, parent, member);
            return Err(EIO);
        }
        if !can_discard(member) {
            return Ok(false);
        }
        let start = Sectors::new(piece.range.start().get());
        let sector = offset.checked_add(start).ok_or(EIO)?;
        let sectors = u32::try_from(piece.range.len().get()).map_err(|_| EIO)?;
        let mut leg = fan.add_leg(member.clone())?;
        leg.trim(Part { skip: 0, sectors })?;
        leg.set_sector(sector.get());
        Ok(true)
    }

    /// Prepares a bio that lies in one run of a member.
    #[inline(always)]
    fn to_member(&self, live: &Live, bio: Bio, run: MemberRun) -> Option<Ready> {
        let Some((member, offset)) = self.list.get(usize::from(run.slot.get())) else {
            return ended(bio, Status::IO_ERROR);
        };
        let Some(sector) = offset.checked_add(Sectors::new(run.sector.get())) else {
            return ended(bio, Status::IO_ERROR);
        };
        if !member.device().is_live() {
            break_array(live, &bio, member);
            return ended(bio, Status::IO_ERROR);
        }
        if bio.op() == Op::Discard && !can_discard(member) {
            // Data that is not dropped is as good as data that is.
            return ended(bio, Status::OK);
        }
        let Some(room) = self.pool.room(bio.wait()) else {
            return ended(bio, Status::AGAIN);
        };
        let mut fan = room.fan(bio, Single { live: None });
        match fan.add_leg(member.clone()) {
            Ok(mut leg) => leg.set_sector(sector.get()),
            Err(error) => {
                fan.complete(error.into());
                return None;
            }
        }
        Some(Ready(fan))
    }
}

/// Ends a bio of which nothing is to be sent.
fn ended(bio: Bio, status: Status) -> Option<Ready> {
    bio.end(status);
    None
}

/// A member is gone: what it had is lost, so nothing is written to the rest any more.
#[cold]
fn break_array(live: &Live, bio: &Bio, member: &Arc<Member>) {
    if live.tracking().set_broken() {
        pr_crit!(
            "{}: {} is gone, failing the array\n",
            Text(bio.device().name()),
            Text(member.device().name())
        );
    }
}

fn can_discard(member: &Arc<Member>) -> bool {
    member.device().max_discard_sectors() != 0
}

/// The front of a bio that fits in a run; the rest goes back to the disk. One that must not wait is not cut: one part
/// could be done then and the other refused.
pub(super) fn fit(bio: Bio, run: Sectors) -> Option<Bio> {
    match u32::try_from(run.get()) {
        Ok(run) if run < bio.sectors() && bio.wait() == Wait::No => {
            bio.end(Status::AGAIN);
            None
        }
        Ok(run) if run < bio.sectors() => bio.split_front(run),
        // A bio has at most 2^32 - 1 bytes.
        _ => Some(bio),
    }
}
