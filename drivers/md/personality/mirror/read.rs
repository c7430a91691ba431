// SPDX-License-Identifier: GPL-2.0

//! Reads: one copy is chosen; when it cannot be read the array's thread turns to the next.

use super::{super::single::fit, seat::Copy, walk::Located, Mirror};
use crate::{array::live::Live, log::Text};
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
    mirror::{
        balance::{read_order, RemoteResync},
        retry::{after_read, AfterRead, Ending, Others},
        Place,
    },
    policy::FailFast,
    units::{Sector, Sectors},
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
}

impl Request for Read {
    type Leg = Copy;

    #[inline]
    fn leg_done(&self, leg: Leg<'_, Self>) {
        if let Some(seat) = self.mirror().and_then(|m| m.seat(leg.target().place)) {
            seat.read_ends();
        }
    }

    fn finish(fan: Fan<Self>) {
        let (status, ending) = fan
            .legs()
            .next()
            .map_or((Status::IO_ERROR, Ending::Error), |leg| {
                (leg.status(), ending(leg.status(), leg.flags()))
            });
        let others = match fan.next_copy() {
            Some(_) => Others::Some,
            None => Others::None,
        };
        match after_read(ending, FailFast::No, others) {
            AfterRead::End => fan.complete(status),
            AfterRead::Retry => {
                let live = fan.live.clone();
                match live.personality().mirror() {
                    Some(mirror) => mirror.failures.park_read(fan, &live),
                    None => fan.complete(status),
                }
            }
        }
    }
}

/// What the end of a request says of the member.
pub(super) fn ending(status: Status, flags: Flags) -> Ending {
    match status {
        Status::OK => Ending::Ok,
        Status::INVALID => Ending::Harmless,
        _ if flags.contains(Flags::RAHEAD) => Ending::Harmless,
        _ => Ending::Error,
    }
}

impl Read {
    fn mirror(&self) -> Option<&Mirror> {
        self.live.personality().mirror()
    }

    /// The copy to try after the present one has failed, if any is left.
    fn next_copy(&self) -> Option<Place> {
        let (copies, _) = self.mirror()?.copies(self.start, self.length)?;
        // Those behind the present one, around, up to the first that was tried.
        let behind = copies
            .clone()
            .skip_while(|copy| copy.seat.place != self.now);
        Iterator::chain(behind.skip(1), copies)
            .take_while(|copy| ![self.first, self.now].contains(&copy.seat.place))
            .find(|copy| copy.is_readable(self.length))
            .map(|copy| copy.seat.place)
    }

    /// A copy of what is read.
    fn located<'a>(&self, mirror: &'a Mirror, place: Place) -> Option<Located<'a>> {
        let (mut copies, _) = mirror.copies(self.start, self.length)?;
        copies.find(|copy| copy.seat.place == place)
    }

    /// Reads from the next copy after an error; fails when there is none. May sleep.
    pub(super) fn retry(mut fan: Fan<Self>) {
        let Some(place) = fan.next_copy() else {
            pr_err!(
                "unrecoverable I/O read error for block {}\n",
                fan.start.get()
            );
            return fan.complete(Status::IO_ERROR);
        };
        let live = fan.live.clone();
        let seat = live
            .personality()
            .mirror()
            .and_then(|mirror| mirror.seat(place));
        let Some(seat) = seat else {
            return fan.complete(Status::IO_ERROR);
        };
        pr_info!(
            "redirecting sector {} to {}\n",
            fan.start.get(),
            Text(seat.member.device().name())
        );
        fan.clear_legs();
        fan.now = place;
        send(fan, place);
    }
}

/// Submits a read to the copy it is to be read from.
fn send(mut fan: Fan<Read>, place: Place) {
    let live = fan.live.clone();
    let mirror = live.personality().mirror();
    let Some(copy) = mirror.and_then(|mirror| fan.located(mirror, place)) else {
        return fan.complete(Status::IO_ERROR);
    };
    let leg = Copy {
        member: copy.seat.member.clone(),
        place,
        at: copy.at,
    };
    match fan.add_leg(leg) {
        Ok(mut leg) => leg.set_sector(copy.on_device().get()),
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
        let Some(choice) = self.choose(start, length, order) else {
            return bio.end(Status::IO_ERROR);
        };
        let Some(bio) = fit(bio, choice.length) else {
            return;
        };
        let read = Read {
            live: live.clone(),
            start,
            length: choice.length,
            first: choice.place,
            now: choice.place,
        };
        match self.reads.alloc(bio, read, Wait::Yes) {
            Ok(fan) => send(fan, choice.place),
            Err((bio, _)) => bio.end(Status::AGAIN),
        }
    }
}
