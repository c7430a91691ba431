// SPDX-License-Identifier: GPL-2.0

//! Writes: every copy gets them, in one request.
//!
//! A write is submitted when media say that its chunks may differ ([`marking`]), and acknowledged when all copies have
//! it. One that failed is tried again block by block ([`narrow`]); what fails again is bad, or the copy is given up.
//! The write waits until that is on media: otherwise a crash could bring back what the copy held before as good.
//!
//! A write to slow (write-mostly) members may be behind on them: it is acknowledged when all others have it, and goes
//! on with a copy of its data. It stays in its bucket and in the bitmap until they have it, too, and whoever overlaps
//! it waits ([`serial`]). If one of the others has failed it is not acknowledged early.
//!
//! [`marking`]: super::marking
//! [`narrow`]: super::narrow
//! [`serial`]: super::serial

use super::{
    super::single::fit,
    barrier::WritePass,
    marking::Marking,
    moving::Postponed,
    read::{ending, sent_fail_fast},
    seat::{Copy, Seat},
    serial::{Serial, Ticket},
    walk::Located,
    Mirror,
};
use crate::{
    array::{live::Live, tracking::Writing},
    bitmap::{Intent, WriteIntent},
    member::{marks::Mark, Health, Member},
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bdev::Target,
        bio::{Bio, Flags, Op, Setup},
        fan::{Early, Fan, Leg, Request},
        status::Status,
    },
    sync::gated::Entered,
};
use md_core::{
    mirror::{
        retry::{after_write, makes_safe, on_write_error, Ending, OnWriteError, Others},
        write::{plan_write, write_fail_fast, Behind, Kind, Pace, Readers, WritePlan},
        Place, Reads,
    },
    policy::FailFast,
    units::{Sector, SectorRange, Sectors},
};

/// A write under way. Fields are dropped in this order: the bitmap forgets it and the bucket is left before the array
/// may become clean.
pub(crate) struct Write {
    intent: WriteIntent<WritePass>,
    _writing: Writing,
    /// What others wait for, if they do.
    ticket: Option<Ticket>,
    /// A member that can be read has it. Kept of writes that lag, until they are acknowledged.
    safe: Atomic<bool>,
    /// Something is to be done about one that is not slow, before it ends. Kept as `safe` is.
    torn: Atomic<bool>,
    /// A copy that had failed was written in the end, block by block.
    pub(super) rescued: Option<Place>,
}

impl Request for Write {
    type Leg = Copy;

    #[inline]
    fn leg_done(&self, leg: Leg<'_, Self>) {
        if self.lags() && leg.is_original() {
            self.note(&leg);
        }
    }

    /// All but slow members have it.
    fn originals_done(&self) -> Early {
        let is_safe = self.safe.load(Relaxed) && !self.torn.load(Relaxed);
        if self.lags() && is_safe && !self.is_hopeless() {
            Early::End(Status::OK)
        } else {
            Early::Wait
        }
    }

    fn finish(fan: Fan<Self>) {
        let mut unfinished = None;
        for leg in fan.legs() {
            let is_unfinished = if leg.op() == Op::Discard {
                // Devices may ignore it.
                false
            } else if leg.status().is_ok() {
                fan.seat_to_heal(&leg).is_some()
            } else {
                let has_failed = Self::has_failed(&fan, &leg);
                if has_failed {
                    fan.failed(&leg);
                }
                has_failed
            };
            if is_unfinished {
                unfinished = Some(leg.target().member.clone());
            }
        }
        let outcome = outcome(&fan);
        if let (None, Outcome::Ends(status)) = (&unfinished, outcome) {
            return fan.complete(status);
        }
        let live = fan.live().clone();
        match (live.personality().mirror(), unfinished) {
            (Some(mirror), Some(member)) => mirror.failures.park_torn(fan, &member),
            (Some(mirror), None) => mirror.failures.park_write(fan, &live),
            (None, _) => fan.complete(Status::IO_ERROR),
        }
    }
}

impl Write {
    /// The running array.
    pub(super) fn live(&self) -> &Entered<Live> {
        self.intent.pass().live()
    }

    /// The level at work.
    #[inline]
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.intent.pass().mirror()
    }

    /// The seat of a copy that was written where it was bad. Any context.
    #[inline]
    fn seat_to_heal(&self, leg: &Leg<'_, Self>) -> Option<&Seat> {
        let copy = leg.target();
        if !copy.member.has_bad_blocks() {
            return None;
        }
        let seat = self.mirror()?.seat(copy.place)?;
        seat.has_bad(copy.at, copy.length).then_some(seat)
    }

    /// What was written where it was bad is good. The array's thread is to record that; not in an interrupt.
    pub(super) fn heal(fan: &Fan<Self>) {
        for leg in fan.legs().filter(|leg| leg.status().is_ok()) {
            if let Some(seat) = fan.seat_to_heal(&leg) {
                seat.heal(leg.target().at, leg.target().length);
            }
        }
    }

    /// Whether a copy was not written, and that is not to stay so. Any context.
    fn has_failed(fan: &Fan<Self>, leg: &Leg<'_, Self>) -> bool {
        let others = if fan.legs().any(|other| other.status().is_ok()) {
            Others::Some
        } else {
            Others::None
        };
        after_write(ending(leg.status(), leg.flags()), others) == Ending::Error
    }

    /// A copy was not written: its member is marked, or given up. Any context.
    fn failed(&self, leg: &Leg<'_, Self>) {
        let member = &leg.target().member;
        member.mark_write_error();
        let fail_fast = sent_fail_fast(member, leg.flags());
        // Who has failed is decided by the array's thread, which knows of others.
        if on_write_error(Ending::Error, fail_fast, Others::Some) == OnWriteError::FailMember {
            member.report_failure();
        }
    }
}

/// How a write ends whose copies have ended.
#[derive(Clone, Copy)]
enum Outcome {
    Ends(Status),
    /// Only members have it that may have failed since: the array's thread decides which of them stay.
    Undecided,
}

/// How a write ended whose copies have: well, if a member that works and can be read has it. A discard that no device
/// wants is done.
fn outcome(fan: &Fan<Write>) -> Outcome {
    let (Some(mirror), Some(parent), false) = (fan.mirror(), fan.parent(), fan.is_hopeless())
    else {
        return Outcome::Ends(Status::IO_ERROR);
    };
    if parent.op() == Op::Discard {
        return Outcome::Ends(Status::OK);
    }
    let (mut worst, mut undecided) = (Status::IO_ERROR, false);
    for leg in fan.legs() {
        let copy = leg.target();
        let seat = mirror.seat(copy.place);
        let end = copy.at.saturating_add(copy.length);
        let ended = if fan.rescued == Some(copy.place) {
            Ending::Ok
        } else {
            ending(leg.status(), leg.flags())
        };
        if seat.is_some_and(|seat| makes_safe(ended, end, seat.member.valid_below())) {
            match copy.member.health() {
                Health::Working => return Outcome::Ends(Status::OK),
                Health::Failing => undecided = true,
                Health::Failed => {}
            }
        }
        if !leg.status().is_ok() {
            worst = leg.status();
        }
    }
    if undecided {
        Outcome::Undecided
    } else {
        Outcome::Ends(worst)
    }
}

/// Whether it is to be recorded yet what failed of a write's copies.
fn is_unrecorded(fan: &Fan<Write>) -> bool {
    fan.legs()
        .filter(|leg| !leg.status().is_ok() && leg.op() != Op::Discard)
        .any(|leg| {
            let copy = leg.target();
            let seat = fan.mirror().and_then(|mirror| mirror.seat(copy.place));
            seat.is_some_and(|seat| seat.is_unrecorded(copy.at, copy.length))
        })
}

impl Write {
    /// A write in its bucket, whose chunks are marked. Others wait for it if it has a ticket.
    pub(super) fn new(
        intent: WriteIntent<WritePass>,
        writing: Writing,
        ticket: Option<Ticket>,
    ) -> Self {
        Self {
            intent,
            _writing: writing,
            ticket,
            safe: Atomic::new(false),
            torn: Atomic::new(false),
            rescued: None,
        }
    }

    /// Whether the array is broken. Its last copy may not have taken the record of what the others missed: put together
    /// from what media say, the array would have the data from before. The array is broken before a failure that could
    /// not be recorded is known to writers, and then those that have left that member out end after this.
    #[inline]
    fn is_hopeless(&self) -> bool {
        self.live().tracking().is_broken()
    }

    /// Whether it may end before slow members have it.
    #[inline]
    fn lags(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::lags)
    }

    /// Whether a copy on `member` is one that the write does not wait for.
    fn is_behind_on(&self, copy: &Located<'_>) -> bool {
        self.lags() && copy.seat.member.reads() == Reads::WriteMostly
    }

    /// Keeps what the end of a copy means to a write that lags. Any context.
    fn note(&self, leg: &Leg<'_, Self>) {
        let copy = leg.target();
        let end = copy.at.saturating_add(copy.length);
        let ended = ending(leg.status(), leg.flags());
        let seat = self.mirror().and_then(|mirror| mirror.seat(copy.place));
        let is_safe = seat.is_some_and(|seat| makes_safe(ended, end, seat.member.valid_below()));
        if is_safe && copy.member.health() == Health::Working {
            // The count of what is under way orders this before the look at it.
            self.safe.store(true, Relaxed);
        }
        if ended != Ending::Ok || self.seat_to_heal(leg).is_some() {
            self.torn.store(true, Relaxed);
        }
    }

    /// Whether media say that its chunks may differ.
    pub(super) fn is_marked(&self) -> bool {
        self.intent.is_on_media()
    }

    /// The failure of its copies is recorded: the write ends with what the others have. It comes back when others
    /// have failed meanwhile, which is to be recorded, too; and while a program that keeps the metadata has not said
    /// that it has recorded the failure.
    pub(super) fn settle(fan: Fan<Self>) -> Option<Fan<Self>> {
        match outcome(&fan) {
            Outcome::Ends(status) if fan.is_hopeless() || !is_unrecorded(&fan) => {
                fan.complete(status);
                None
            }
            Outcome::Ends(_) | Outcome::Undecided => Some(fan),
        }
    }
}

impl Mirror {
    /// Serves a write or a discard that is counted as `writing`. May sleep if it may wait. What comes back has to wait
    /// until the reshape has recorded how far it is.
    pub(super) fn write(
        &self,
        live: &Entered<Live>,
        bio: Bio,
        writing: Writing,
    ) -> Option<Postponed> {
        let pass = match WritePass::enter(live, Sector::new(bio.sector()), bio.wait()) {
            Ok(pass) => pass,
            Err(error) => {
                bio.end(refusal(error));
                return None;
            }
        };
        let bio = match &self.moving {
            None => bio,
            // In the bucket: here the position does not pass any more.
            Some(moving) => match Self::admit(moving, live, bio) {
                Ok(bio) => bio,
                Err(postponed) => return Some(postponed),
            },
        };
        self.write_in(live, bio, writing, pass);
        None
    }

    fn write_in(&self, live: &Entered<Live>, bio: Bio, writing: Writing, pass: WritePass) {
        let (start, wait) = (Sector::new(bio.sector()), bio.wait());
        let plan = self.plan(live, &bio);
        let length = match plan {
            Planned::Write(length, _) | Planned::Fail(length) => length,
            Planned::Refuse(status) => return bio.end(status),
        };
        let Some(bio) = fit(bio, length) else {
            return;
        };
        let Planned::Write(length, pace) = plan else {
            return bio.end(Status::IO_ERROR);
        };
        let ticket = match self.ticket(live, start, length, pace, wait) {
            Ok(ticket) => ticket,
            Err(error) => return bio.end(refusal(error)),
        };
        let intent = match intent_of(pass, &bio) {
            Ok(intent) => intent,
            Err(error) => return bio.end(refusal(error)),
        };
        let Some(room) = self.writes.room(wait) else {
            return bio.end(Status::AGAIN);
        };
        let fan = room.fan(bio, Write::new(intent, writing, ticket));
        self.send(copied(fan), start);
    }

    /// Waits for what a write overlaps, and has others wait for it if need be. May sleep if it may wait; `EAGAIN` when
    /// it must not and would.
    #[inline]
    fn ticket(
        &self,
        live: &Entered<Live>,
        start: Sector,
        length: Sectors,
        pace: Pace,
        wait: Wait,
    ) -> Result<Option<Ticket>> {
        let (Some(serial), Some(range)) = (&self.serial, SectorRange::new(start, length)) else {
            return Ok(None);
        };
        let (pace, most) = match (pace, wait) {
            (Pace::Behind, Wait::Yes) => {
                let most = live.bitmap().map_or(0, |bitmap| bitmap.backlog());
                (Pace::Behind, most)
            }
            // Who is behind with a write first copies its data, which takes memory.
            (Pace::Together, _) | (_, Wait::No) => (Pace::Together, 0),
        };
        let ticket = Serial::enter(serial, range, pace, most, wait)?;
        let lags = ticket.as_ref().is_some_and(Ticket::lags);
        if let Some(bitmap) = live.bitmap().filter(|_| lags) {
            bitmap.note_behind(serial.behind());
        }
        Ok(ticket)
    }

    /// How many writes may be behind, and are.
    #[inline]
    fn behind(&self, live: &Entered<Live>) -> Behind {
        let Some(serial) = &self.serial else {
            return NOT_BEHIND;
        };
        match live.bitmap().map_or(0, |bitmap| bitmap.backlog()) {
            0 => NOT_BEHIND,
            limit => Behind {
                limit,
                in_flight: serial.behind(),
                readers: serial.readers(),
                copy_max: COPY_MAX,
            },
        }
    }

    /// How much can be written at once. Waits while something about a member is being recorded.
    fn plan(&self, live: &Entered<Live>, bio: &Bio) -> Planned {
        let start = Sector::new(bio.sector());
        let length = Sectors::new(u64::from(bio.sectors()));
        let kind = match bio.op() {
            Op::Discard => Kind::Discard,
            _ if bio.flags().contains(Flags::ATOMIC) => Kind::Atomic,
            _ => Kind::Data,
        };
        let Some((copies, length)) = self.copies(start, length) else {
            return Planned::Refuse(Status::IO_ERROR);
        };
        if self.filled().iter().flatten().all(Seat::takes_any_write) {
            return Planned::Write(length, Pace::Together);
        }
        loop {
            let behind = self.behind(live);
            let targets = copies
                .clone()
                .filter_map(|copy| copy.seat.write_target(copy.at, length));
            // What is left out is what is bad all through then, which `send` sees for itself.
            match plan_write(length, kind, &behind, targets, |_, _| {}) {
                WritePlan::Write { length, pace } => return Planned::Write(length, pace),
                WritePlan::Fail { length } => return Planned::Fail(length),
                WritePlan::CannotSplit => return Planned::Refuse(Status::IO_ERROR),
                WritePlan::Wait { .. } if live.tracking().is_broken() => {
                    return Planned::Refuse(Status::IO_ERROR);
                }
                WritePlan::Wait { .. } if bio.wait() == Wait::No => {
                    return Planned::Refuse(Status::AGAIN);
                }
                WritePlan::Wait { on, .. } => {
                    if let Some(copy) = copies.clone().find(|copy| copy.seat.place == on) {
                        wait_recorded(live, copy, length);
                    }
                }
            }
        }
    }

    /// Waits until nothing about a member is to be recorded. May sleep.
    pub(super) fn wait_recorded(&self, live: &Entered<Live>, on: Place) {
        live.wake_thread();
        live.tracking()
            .wait(|| self.seat(on).is_none_or(|seat| !seat.member.is_blocked()));
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
            let ignores = discard && member.device().max_discard_sectors() == 0;
            if member.health() == Health::Failed
                || ignores
                || copy.seat.is_left_out(copy.at, length)
            {
                continue;
            }
            let leg = Copy {
                member: member.clone(),
                place: copy.seat.place,
                at: copy.at,
                length,
            };
            let leg = if fan.is_behind_on(&copy) {
                fan.add_copy_leg(leg)
            } else {
                fan.add_leg(leg)
            };
            match leg {
                Ok(mut leg) => {
                    leg.set_sector(copy.on_device().get());
                    // Either all members take it or none.
                    leg.clear_flags(Flags::NOWAIT);
                    if member.has(Mark::FailFast) && self.may_give_up(member, start, length) {
                        leg.add_flags(Flags::FAILFAST);
                    }
                }
                Err(error) => return fan.complete(error.into()),
            }
        }
        self.submit_marked(fan);
    }

    /// Whether a member marked failfast may give up a write early.
    #[cold]
    fn may_give_up(&self, member: &Member, start: Sector, length: Sectors) -> bool {
        let working = self
            .copies_of(start, length)
            .filter(|copy| copy.is_valid(length))
            .fold(0_u32, |count, _| count.saturating_add(1));
        write_fail_fast(FailFast::Yes, member.reads(), working) == FailFast::Yes
    }

    /// Submits a write when its chunks are marked on media.
    #[inline]
    pub(super) fn submit_marked(&self, fan: Fan<Write>) {
        if fan.is_marked() {
            fan.submit();
        } else {
            Marking::park(&self.marking, fan);
        }
    }
}

/// What can be done of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Planned {
    /// So much can be written at once, at this pace.
    Write(Sectors, Pace),
    /// So much cannot be written anywhere.
    Fail(Sectors),
    /// Nothing of it can be done.
    Refuse(Status),
}

/// Waits until nothing about the copy is to be recorded, or nothing is recorded any more. May sleep.
fn wait_recorded(live: &Entered<Live>, copy: Located<'_>, length: Sectors) {
    let tracking = live.tracking();
    live.wake_thread();
    tracking.wait(|| tracking.is_broken() || !copy.seat.holds_back(copy.at, length));
}

/// How a bio ends that is not begun.
fn refusal(error: Error) -> Status {
    if error == EAGAIN {
        Status::AGAIN
    } else {
        Status::IO_ERROR
    }
}

/// Has the bitmap mark the chunks of a write. May sleep if the bio may wait; `EAGAIN` when it must not and would.
#[inline]
pub(super) fn intent_of(pass: WritePass, bio: &Bio) -> Result<WriteIntent<WritePass>> {
    let length = Sectors::new(u64::from(bio.sectors()));
    let range = SectorRange::new(Sector::new(bio.sector()), length).ok_or(EINVAL)?;
    let intent = match bio.op() {
        Op::Discard => Intent::Discard,
        _ => Intent::Write,
    };
    WriteIntent::begin(pass, range, intent, bio.wait())
}

/// Copies the data of a write that lags. Without memory for it the write ends when all members have it. May sleep.
fn copied(mut fan: Fan<Write>) -> Fan<Write> {
    if fan.lags() && fan.copy_data().is_err() {
        if let Some(ticket) = &mut fan.ticket {
            ticket.keep_together();
        }
    }
    fan
}

/// The most data that a write copies to be behind with it: a mebibyte, as in C.
const COPY_MAX: Sectors = Sectors::new(2048);

/// No write is behind: that takes a bitmap, and slow members of a raid1.
const NOT_BEHIND: Behind = Behind {
    limit: 0,
    in_flight: 0,
    readers: Readers::None,
    copy_max: Sectors::ZERO,
};
