// SPDX-License-Identifier: GPL-2.0

//! Reads: one copy is chosen; when it cannot be read a worker turns to the next, and then has the first mended.

use super::{
    super::single::fit,
    mend::Spot,
    seat::{Copy, Seat},
    walk::Located,
    Mirror,
};
use crate::{
    array::live::Live,
    log::Text,
    member::{marks::Mark, Health, Member},
};
use kernel::prelude::*;
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bdev::Target,
        bio::{Bio, Flags, Setup},
        fan::{Fan, Leg, Request},
        status::Status,
    },
    sync::gated::Entered,
};
use md_core::{
    layout::reshape::Geometry,
    mirror::{
        balance::{read_order, Choice, ReadOrder, RemoteResync},
        retry::{after_read, on_read_error, Access, AfterRead, Ending, OnReadError, Others},
        Place, Reads,
    },
    policy::FailFast,
    units::{Sector, SectorRange, Sectors},
};

/// A read under way.
pub(crate) struct Read {
    live: Entered<Live>,
    start: Sector,
    length: Sectors,
    /// The copy that was read first: copies are tried in turn, until it would be the turn of this one again.
    first: Place,
    /// The copy that is read now.
    now: Place,
    /// Where its copies are, whatever a reshape does meanwhile.
    geometry: Geometry,
}

impl Request for Read {
    type Leg = Copy;

    #[inline]
    fn leg_done(&self, leg: Leg<'_, Self>) {
        if let Some(seat) = self.mirror().and_then(|m| m.seat(leg.target().place)) {
            seat.read_ends();
        }
    }

    #[inline]
    fn finish(fan: Fan<Self>) {
        let status = fan
            .legs()
            .next()
            .map_or(Status::IO_ERROR, |leg| leg.status());
        if status.is_ok() {
            return fan.complete(status);
        }
        fan_failed(fan, status);
    }
}

/// A read did not go well. Any context.
fn fan_failed(fan: Fan<Read>, status: Status) {
    let Some((flags, member)) = fan
        .legs()
        .next()
        .map(|leg| (leg.flags(), leg.target().member.clone()))
    else {
        return fan.complete(status);
    };
    let fail_fast = sent_fail_fast(&member, flags);
    let others = if fan.has_others() {
        Others::Some
    } else {
        Others::None
    };
    let live = fan.live.clone();
    let mirror = live.personality().mirror();
    match (after_read(ending(status, flags), fail_fast, others), mirror) {
        (AfterRead::Retry, Some(mirror)) => mirror.failures.park_read(fan, &member),
        (AfterRead::End, _) | (_, None) => fan.complete(status),
    }
}

/// Whether a request was sent for its device to give up early.
pub(super) fn sent_fail_fast(member: &Member, flags: Flags) -> FailFast {
    if member.has(Mark::FailFast) && flags.contains(Flags::FAILFAST) {
        FailFast::Yes
    } else {
        FailFast::No
    }
}

/// What the end of a request says of the member.
pub(super) fn ending(status: Status, flags: Flags) -> Ending {
    match status {
        Status::OK => Ending::Ok,
        Status::INVALID => Ending::Harmless,
        // The second is said by a device that does not know how not to wait.
        Status::AGAIN | Status::NOT_SUPPORTED if flags.contains(Flags::NOWAIT) => Ending::Harmless,
        _ if flags.contains(Flags::RAHEAD) => Ending::Harmless,
        _ => Ending::Error,
    }
}

impl Read {
    fn mirror(&self) -> Option<&Mirror> {
        self.live.personality().mirror()
    }

    /// The copy to try after the present one has failed, if any is left.
    fn next_copy<'a>(&self, mirror: &'a Mirror) -> Option<Located<'a>> {
        let (copies, _) = mirror.copies_in(self.geometry, self.start, self.length)?;
        // Those behind the present one, around, up to the first that was tried.
        let behind = copies
            .clone()
            .skip_while(|copy| copy.seat.place != self.now);
        Iterator::chain(behind.skip(1), copies)
            .take_while(|copy| ![self.first, self.now].contains(&copy.seat.place))
            .find(|copy| copy.is_readable(self.length))
    }

    /// Whether another copy is there, tried or not.
    fn has_others(&self) -> bool {
        let copies = self
            .mirror()
            .and_then(|mirror| mirror.copies_in(self.geometry, self.start, self.length));
        copies.is_some_and(|(mut copies, _)| {
            copies.any(|copy| copy.seat.place != self.now && copy.is_valid(self.length))
        })
    }

    /// Reads from the next copy after an error, and says what is to be mended. May sleep.
    pub(super) fn turn_to_next(fan: Fan<Self>) -> Option<Spot> {
        let mirror = fan.mirror()?;
        let member = mirror.seat(fan.now)?.member.clone();
        let tracking = fan.live.tracking();
        let access = if tracking.is_writable() {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let marked = if member.has(Mark::FailFast) {
            FailFast::Yes
        } else {
            FailFast::No
        };
        let errors = || member.count_read_error(tracking.max_read_errors());
        let then = on_read_error(access, marked, errors);
        let live = fan.live.clone();
        let spot = (then == OnReadError::Correct).then(|| Spot {
            live: live.clone(),
            start: fan.start,
            length: fan.length,
            place: fan.now,
        });
        if then == OnReadError::FailMember {
            pr_warn!("{}: too many read errors\n", Text(member.device().name()));
            member.report_failure();
            live.wake_thread();
        }
        Self::retry(fan);
        spot
    }

    /// Reads from the next copy after an error; fails when there is none. May sleep.
    fn retry(mut fan: Fan<Self>) {
        let live = fan.live.clone();
        let Some(mirror) = live.personality().mirror() else {
            return fan.complete(Status::IO_ERROR);
        };
        let Some(copy) = fan.next_copy(mirror) else {
            pr_err!(
                "unrecoverable I/O read error for block {}\n",
                fan.start.get()
            );
            return fan.complete(Status::IO_ERROR);
        };
        pr_info!(
            "redirecting sector {} to {}\n",
            fan.start.get(),
            Text(copy.seat.member.device().name())
        );
        fan.clear_legs();
        fan.now = copy.seat.place;
        // A worker may wait.
        let _ = mirror.await_behind(copy.seat, fan.start, fan.length, Wait::Yes);
        send(fan, copy, FailFast::No);
    }
}

/// Submits a read to the copy it is to be read from.
fn send(mut fan: Fan<Read>, copy: Located<'_>, fail_fast: FailFast) {
    let leg = Copy {
        member: copy.seat.member.clone(),
        place: copy.seat.place,
        at: copy.at,
        length: fan.length,
    };
    match fan.add_leg(leg) {
        Ok(mut leg) => {
            leg.set_sector(copy.on_device().get());
            if fail_fast == FailFast::Yes && copy.seat.member.has(Mark::FailFast) {
                leg.add_flags(Flags::FAILFAST);
            }
        }
        Err(error) => return fan.complete(error.into()),
    }
    copy.seat.read_starts(copy.at, fan.length);
    fan.submit();
}

impl Mirror {
    /// Serves a read.
    pub(super) fn read(&self, live: &Entered<Live>, bio: Bio) {
        let start = Sector::new(bio.sector());
        let length = Sectors::new(u64::from(bio.sectors()));
        let end = start.saturating_add(length);
        let order = read_order(end, live.tracking().resynced(), RemoteResync::Elsewhere);
        let wait = bio.wait();
        let Choice {
            copy,
            length,
            fail_fast,
        } = match self.choose_settled(live, start, length, order, wait) {
            Ok(choice) => choice,
            Err(error) => return bio.end(error.into()),
        };
        let Some(bio) = fit(bio, length) else {
            return;
        };
        if let Err(error) = self.await_behind(copy.seat, start, length, wait) {
            return bio.end(error.into());
        }
        let Some(room) = self.reads.room(wait) else {
            return bio.end(Status::AGAIN);
        };
        let read = Read {
            live: live.clone(),
            start,
            length,
            first: copy.seat.place,
            now: copy.seat.place,
            geometry: copy.geometry,
        };
        send(room.fan(bio, read), copy, fail_fast);
    }

    /// A slow member may not have yet what was acknowledged: waits until it has what is read. May sleep if it may wait;
    /// `EAGAIN` when it must not and would.
    #[inline]
    fn await_behind(&self, seat: &Seat, start: Sector, length: Sectors, wait: Wait) -> Result {
        let is_slow = seat.member.reads() == Reads::WriteMostly;
        let (Some(serial), true) = (&self.serial, is_slow) else {
            return Ok(());
        };
        SectorRange::new(start, length).map_or(Ok(()), |range| serial.await_behind(range, wait))
    }

    /// The copy to read. While it is not decided what becomes of a member without which there is none, that is waited
    /// for. May sleep if it may wait; `EAGAIN` when it must not and would, `EIO` when there is none.
    fn choose_settled(
        &self,
        live: &Live,
        start: Sector,
        length: Sectors,
        order: ReadOrder,
        wait: Wait,
    ) -> Result<Choice<Located<'_>>> {
        loop {
            if let Some(choice) = self.choose(start, length, order) {
                return Ok(choice);
            }
            let (mut copies, _) = self.copies(start, length).ok_or(EIO)?;
            let undecided = copies.find(|copy| copy.seat.member.health() == Health::Failing);
            let undecided = undecided.ok_or(EIO)?;
            if wait == Wait::No {
                return Err(EAGAIN);
            }
            let member = &undecided.seat.member;
            live.wake_thread();
            live.tracking().wait(|| member.health() != Health::Failing);
        }
    }
}
