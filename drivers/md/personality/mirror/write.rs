// SPDX-License-Identifier: GPL-2.0

//! Writes: every copy gets them, in one request.
//!
//! A write is acknowledged when all copies have it. A copy that fails is given up, and the write waits until that is
//! on the survivors' superblocks: otherwise a crash could bring back the stale copy as a good one.

use super::{super::single::fit, barrier::WritePass, read::ending, seat::Copy, Mirror};
use crate::{
    array::{live::Live, tracking::Writing},
    member::Health,
};
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bdev::Target,
        bio::{Bio, Flags, Op, Setup},
        fan::{Fan, Request},
        status::Status,
    },
    sync::gated::Entered,
};
use md_core::{
    mirror::{
        retry::{makes_safe, Ending},
        write::{plan_write, Behind, Kind, Readers, WritePlan},
        Place,
    },
    units::{Sector, Sectors},
};

/// A write under way. Fields are dropped in this order: the bucket is left before the array may become clean.
pub(crate) struct Write {
    pass: WritePass,
    _writing: Writing,
}

impl Request for Write {
    type Leg = Copy;

    fn finish(fan: Fan<Self>) {
        let mut failed = false;
        for leg in fan.legs() {
            if leg.op() != Op::Discard && ending(leg.status(), leg.flags()) == Ending::Error {
                leg.target().member.report_failure();
                failed = true;
            }
        }
        if !failed {
            let status = outcome(&fan);
            return fan.complete(status);
        }
        let live = fan.pass.live().clone();
        match live.personality().mirror() {
            Some(mirror) => mirror.failures.park_write(fan, &live),
            None => fan.complete(Status::IO_ERROR),
        }
    }
}

/// How a write ended whose copies have: well, if one that can be read has it. A discard that no device wants is done.
fn outcome(fan: &Fan<Write>) -> Status {
    let (Some(mirror), Some(parent)) = (fan.pass.mirror(), fan.parent()) else {
        return Status::IO_ERROR;
    };
    if parent.op() == Op::Discard {
        return Status::OK;
    }
    let length = Sectors::new(u64::from(parent.sectors()));
    let mut worst = Status::IO_ERROR;
    for leg in fan.legs() {
        let valid = mirror
            .seat(leg.target().place)
            .map_or(Sector::ZERO, |seat| seat.member.valid_below());
        let end = leg.target().at.saturating_add(length);
        if makes_safe(ending(leg.status(), leg.flags()), end, valid) {
            return Status::OK;
        }
        if !leg.status().is_ok() {
            worst = leg.status();
        }
    }
    worst
}

impl Write {
    /// A write in its bucket.
    pub(super) fn new(pass: WritePass, writing: Writing) -> Self {
        Self {
            pass,
            _writing: writing,
        }
    }

    /// The failure of its copies is recorded: the write ends with what the others have.
    pub(super) fn settle(fan: Fan<Self>) {
        let status = outcome(&fan);
        fan.complete(status);
    }
}

impl Mirror {
    /// Serves a write or a discard that is counted as `writing`. May sleep.
    pub(super) fn write(&self, live: &Entered<Live>, bio: Bio, writing: Writing) {
        let start = Sector::new(bio.sector());
        let Ok(pass) = WritePass::enter(live, start) else {
            return bio.end(Status::IO_ERROR);
        };
        let length = match self.plan(live, &bio) {
            Ok(length) => length,
            Err(status) => return bio.end(status),
        };
        let Some(bio) = fit(bio, length) else {
            return;
        };
        match self.writes.alloc(bio, Write::new(pass, writing), Wait::Yes) {
            Ok(fan) => self.send(fan, start),
            Err((bio, _)) => bio.end(Status::AGAIN),
        }
    }

    /// How much can be written at once. Waits while a member is being given up.
    fn plan(&self, live: &Entered<Live>, bio: &Bio) -> Result<Sectors, Status> {
        let start = Sector::new(bio.sector());
        let length = Sectors::new(u64::from(bio.sectors()));
        let kind = match bio.op() {
            Op::Discard => Kind::Discard,
            _ if bio.flags().contains(Flags::ATOMIC) => Kind::Atomic,
            _ => Kind::Data,
        };
        let (copies, length) = self.copies(start, length).ok_or(Status::IO_ERROR)?;
        loop {
            let copies = copies.clone();
            let targets = copies.filter_map(|copy| copy.seat.write_target(copy.at));
            // Without known bad blocks every copy is written, so there is no fate to note.
            match plan_write(length, kind, &NOT_BEHIND, targets, |_, _| {}) {
                WritePlan::Write { length, .. } => return Ok(length),
                WritePlan::Wait { on, .. } => self.wait_recorded(live, on),
                WritePlan::Fail { .. } | WritePlan::CannotSplit => return Err(Status::IO_ERROR),
            }
        }
    }

    /// Waits until the failure of a member is recorded.
    pub(super) fn wait_recorded(&self, live: &Entered<Live>, on: Place) {
        live.wake_thread();
        live.tracking().wait(|| {
            self.seat(on)
                .is_none_or(|seat| seat.member.health() != Health::Failing)
        });
    }

    /// Sends a write to all copies that work.
    fn send(&self, mut fan: Fan<Write>, start: Sector) {
        let Some(parent) = fan.parent() else {
            return;
        };
        let discard = parent.op() == Op::Discard;
        let length = Sectors::new(u64::from(parent.sectors()));
        let Some((copies, _)) = self.copies(start, length) else {
            return fan.complete(Status::IO_ERROR);
        };
        for copy in copies {
            let member = &copy.seat.member;
            if member.health() == Health::Failed
                || (discard && member.device().max_discard_sectors() == 0)
            {
                continue;
            }
            let leg = Copy {
                member: member.clone(),
                place: copy.seat.place,
                at: copy.at,
            };
            match fan.add_leg(leg) {
                Ok(mut leg) => leg.set_sector(copy.on_device().get()),
                Err(error) => return fan.complete(error.into()),
            }
        }
        fan.submit();
    }
}

/// No write is behind: that takes a bitmap.
const NOT_BEHIND: Behind = Behind {
    limit: 0,
    in_flight: 0,
    readers: Readers::None,
    copy_max: Sectors::ZERO,
};
