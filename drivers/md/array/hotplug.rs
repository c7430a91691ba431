// SPDX-License-Identifier: GPL-2.0

//! Members that come to a running array, fail in it, and leave it.

use super::{service::By, Array, Configuration};
use crate::{
    error::OrErrno,
    log::Text,
    member::{entry::Entry, marks::Mark, Health},
};
use kernel::{prelude::*, str::CString, sync::ArcBorrow};
use kernel_ext::block::{limits::LimitsUpdate, major::DeviceNumber};
use md_core::{
    assemble::{judge_returning, Return, Seat as Chair, SlotProgress},
    format::level::Level,
    policy::{Fill, Seating},
    state::{
        clean::Change,
        member::{Env, Event, Loss, Member as State, Pending, Run, Seat},
    },
    units::{MemberNumber, Slot},
    words::ioctl::DiskInfo,
};

/// What a member's step depends on when I/O is held back.
pub(crate) const QUIET: Env = Env {
    pending: Pending::None,
    loss: Loss::Acceptable,
    run: Run::Running,
};

impl Configuration<'_> {
    /// Something about members changed that superblocks say.
    pub(crate) fn record_devices(&mut self) {
        self.due = Change::Devices;
        self.serve();
    }

    /// An administrator says that a member has failed. `EBUSY` when the array cannot do without it, `ENODEV` when it
    /// does not run.
    pub(crate) fn declare_faulty(&mut self, index: usize) -> Result {
        let Some(running) = &self.running else {
            return Err(ENODEV);
        };
        if running.thread.is_none() {
            // Levels without redundancy fail with the member, so it stays.
            return Err(EBUSY);
        }
        // Those that I/O has found to fail are no copies to fall back on.
        self.note_failures();
        let failed = self.fail(index, By::Word).or_errno();
        self.serve();
        failed
    }
}

/// The level of a running array.
fn level_of(config: &Configuration<'_>) -> Option<Level> {
    config.running.as_ref().map(|running| running.level)
}

impl Configuration<'_> {
    /// `EBUSY` while the program that keeps the metadata has something to record about a member: writes wait for
    /// that, and who takes a member out waits for writes. That may be the program itself, before it has come to all
    /// members.
    pub(crate) fn awaits_program(&self) -> Result {
        let is_unrecorded = |entry: &Entry| {
            let member = &entry.member;
            // Of one that is known to have failed nothing more is recorded.
            member.health() != Health::Failed
                && (member.is_blocked() || member.bad_blocks().has_unacknowledged())
        };
        let mut placed = self.members.iter().filter(|entry| entry.slot().is_some());
        if self.running.is_some() && self.is_external() && placed.any(is_unrecorded) {
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Whether a member of a running array can get a slot, or lose the one it has; the place that it would have, if it
    /// gets one.
    ///
    /// `EBUSY` for a member that has a place or works in it, or while a pass is under way; `EEXIST` when there is no
    /// place to be had or lost; `ENOSPC` beyond the slots, and for a member that is too small; `EINVAL` for a level
    /// whose members cannot change.
    pub(crate) fn may_set_slot(&self, index: usize, slot: Option<Slot>) -> Result<Option<Seating>> {
        let running = self.running.as_ref();
        let changes = running.is_some_and(|running| running.thread.is_some());
        let entry = self.members.get(index).ok_or(ENODEV)?;
        let Some(slot) = slot else {
            entry.slot().ok_or(EEXIST)?;
            return match entry.state {
                _ if !changes => Err(EINVAL),
                State::InSync(_) => Err(EBUSY),
                _ => self.awaits_program().map(|()| None),
            };
        };
        if entry.slot().is_some() || self.is_syncing() || self.is_reshaping() {
            return Err(EBUSY);
        }
        if !changes {
            return Err(EINVAL);
        }
        if slot.get() >= self.raid_disks || entry.data.size < self.component_size {
            return Err(ENOSPC);
        }
        self.seat_in(entry, slot).ok_or(EEXIST).map(Some)
    }

    /// The slot of a member that comes back and needs only what the bitmap names; `None` when it needs everything.
    fn slot_of_returning(&self, entry: &mut Entry) -> Result<Option<Slot>> {
        let judged = {
            let Some(view) = entry.view()? else {
                return Ok(None);
            };
            let member = view.assembly();
            if member.uuid != self.uuid {
                return Ok(None);
            }
            let cleared = self.backend().map(|bitmap| bitmap.events_cleared());
            judge_returning(&member, self.events, cleared)
        };
        entry.fill = Fill::Full;
        let place = match judged {
            Return::UpToDate(place) | Return::ByBitmap(place) if place.seat == Chair::Main => place,
            _ => return Ok(None),
        };
        if matches!(place.progress, SlotProgress::Upto(_)) {
            return Ok(None);
        }
        entry.fill = Fill::ByBitmap;
        Ok(Some(place.slot))
    }

    /// A member enters a state, and what follows from that is done; on an error it is as it was.
    pub(super) fn enter_state<R>(
        &mut self,
        index: usize,
        next: State,
        follow: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        let entry = self.members.get_mut(index).ok_or(ENODEV)?;
        let before = core::mem::replace(&mut entry.state, next);
        let result = follow(self);
        if let (Err(_), Some(entry)) = (&result, self.members.get_mut(index)) {
            entry.state = before;
        }
        result
    }

    /// The level at work, the bitmap and whoever asks for all members get one that has a place now; nothing changes on
    /// an error.
    fn seat(&mut self, index: usize) -> Result {
        let entry = self.members.get(index).ok_or(ENODEV)?;
        let seated = entry.seated().ok_or(EINVAL)?;
        let members = self.in_slots()?;
        self.tell_carriers()?;
        let live = self.live_mut()?.as_mut().ok_or(ENODEV)?;
        let mirror = live.personality_mut().mirror_mut().ok_or(EINVAL)?;
        mirror.seat_member(seated)?;
        live.set_members(members);
        Ok(())
    }

    /// Whether the bitmap, if there is one, still has all that a member may have missed: while others had all slots, or
    /// when the array was reshaped, it forgot.
    fn is_remembered(&self, entry: &Entry) -> bool {
        self.backend()
            .is_none_or(|bitmap| entry.in_sync_at >= bitmap.events_cleared())
    }
}

/// The slot that a member without one had.
fn last_slot(entry: &Entry) -> Option<Slot> {
    match entry.state {
        State::Spare { last } => last,
        _ => None,
    }
}

impl Array {
    /// A spare gets a place, to be rebuilt there. I/O must be held back.
    pub(super) fn attach(
        &self,
        config: &mut Configuration<'_>,
        index: usize,
        seating: Seating,
    ) -> Result {
        let remembered = config
            .members
            .get(index)
            .is_some_and(|entry| last_slot(entry).is_some() && config.is_remembered(entry));
        let entry = config.members.get_mut(index).ok_or(ENODEV)?;
        let before = entry.state;
        let next = before
            .step(Event::Place(seating.place), &QUIET)
            .or_errno()?;
        if !remembered || seating.fill == Fill::Full {
            entry.fill = Fill::Full;
        }
        self.stack_limits(entry)?;
        // In a place without a seat it would have nothing, and nothing would be written to it.
        config.enter_state(index, next.after(before), |config| config.seat(index))?;
        if let Some(bitmap) = config.backend() {
            // The new member has none of it.
            bitmap.write_all();
        }
        if let Some(entry) = config.members.get(index) {
            self.link_slot(entry);
        }
        Ok(())
    }

    /// The disk announces what the new member can do, too.
    pub(super) fn stack_limits(&self, entry: &Entry) -> Result {
        let stacked = self.place().with_disk(|disk| {
            let mut limits = LimitsUpdate::start(disk);
            limits.stack(entry.device(), entry.data.offset.get(), disk.name());
            limits.commit()
        });
        stacked.unwrap_or(Err(ENODEV))
    }

    /// A member leaves a running array. I/O must be held back.
    ///
    /// `EBUSY` while its data is in use, `EINVAL` for a level that cannot do without any.
    pub(crate) fn hot_remove(&self, config: &mut Configuration<'_>, index: usize) -> Result {
        let Some(running) = &config.running else {
            return Err(ENODEV);
        };
        if running.thread.is_none() {
            let placed = config.members.get(index).and_then(Entry::slot);
            return Err(if placed.is_some() { EBUSY } else { EINVAL });
        }
        // Its failure may not be recorded yet.
        config.serve();
        self.detach(config, index)?;
        let entry = config.members.get(index).ok_or(ENODEV)?;
        entry.state.may_leave().or_errno()?;
        let member = entry.member.clone();
        self.place().with_name(|name| {
            pr_info!("{name}: removed {}\n", Text(entry.device().name()));
        });
        config.remove(&member)?;
        config.due = Change::Devices;
        config.renumber_v0();
        config.serve();
        self.registry.events.notify();
        Ok(())
    }

    /// `slot` of a member of a running array: `none` takes the place away, a number gives one to a spare. I/O must be
    /// held back.
    ///
    /// What [`Configuration::may_set_slot`] says, and `EBUSY` for a member that cannot lose its place.
    pub(crate) fn set_slot(
        &self,
        config: &mut Configuration<'_>,
        index: usize,
        slot: Option<Slot>,
    ) -> Result {
        let Some(seating) = config.may_set_slot(index, slot)? else {
            config.serve();
            self.detach(config, index).map_err(|_| EBUSY)?;
            config.record_devices();
            config.look_for_work();
            return Ok(());
        };
        self.attach(config, index, seating)?;
        if let Some(entry) = config.members.get(index) {
            entry.notify_state();
        }
        // The pass is started by who asked for this.
        config.record_devices();
        Ok(())
    }

    /// A failed member that has left its place becomes a spare that had a place, and is brought up to date.
    ///
    /// `EINVAL` for an array that does not run, `EBUSY` for a member that has not left a place.
    pub(crate) fn readd(&self, config: &mut Configuration<'_>, index: usize) -> Result {
        if config.running.is_none() {
            return Err(EINVAL);
        }
        let entry = config.members.get_mut(index).ok_or(ENODEV)?;
        let next = entry.state.step(Event::Readd, &QUIET).map_err(|_| EBUSY)?;
        entry.state = next.after(entry.state);
        entry.member.set_health(Health::Working);
        entry.notify_state();
        config.renumber_v0();
        config.record_devices();
        config.look_for_work();
        Ok(())
    }

    /// Has a member give up its place.
    pub(super) fn detach(&self, config: &mut Configuration<'_>, index: usize) -> Result {
        let entry = config.members.get(index).ok_or(ENODEV)?;
        let Some(place) = entry.state.place() else {
            return Ok(());
        };
        let next = entry.state.step(Event::Detach, &QUIET).or_errno()?;
        let next = next.after(entry.state);
        if place.seat == Seat::Main {
            let name = CString::try_from_fmt(fmt!("rd{}", place.slot.get()))?;
            self.place()
                .with_directory(|directory| directory.remove_link(&name));
        }
        let members = config.enter_state(index, next, |config| config.in_slots())?;
        if let Some(entry) = config.members.get_mut(index) {
            entry.member.mark(Mark::WantReplacement, false);
        }
        if let Some(live) = config.live_mut()? {
            live.set_members(members);
            if let Some(mirror) = live.personality_mut().mirror_mut() {
                mirror.vacate(place);
            }
        }
        config.tell_carriers()
    }

    /// `ADD_NEW_DISK` on a running array: the device becomes a spare.
    ///
    /// One that was a member before comes back as such, if it lacks only what the bitmap names. `EINVAL` when it is to
    /// and cannot, when it has no superblock, and for a level that takes none; `ENOSPC` when it is too small.
    pub(crate) fn hot_add(
        this: ArcBorrow<'_, Self>,
        config: &mut Configuration<'_>,
        number: DeviceNumber,
        info: &DiskInfo,
    ) -> Result {
        if level_of(config) == Some(Level::Linear) {
            return Self::append(this, config, number, info);
        }
        let takes_spares = config
            .running
            .as_ref()
            .is_some_and(|running| running.thread.is_some());
        if !takes_spares {
            return Err(EINVAL);
        }
        let mut entry = Entry::import(this, number, config.metadata)?;
        if entry.device().is_read_only() {
            return Err(EROFS);
        }
        if entry.data.size < config.component_size {
            return Err(ENOSPC);
        }
        let last = config.slot_of_returning(&mut entry)?;
        let asked = u16::try_from(info.raid_disk).map(Slot::new).ok();
        if info.state & DiskInfo::STATE_SYNC != 0 && (last.is_none() || last != asked) {
            // Who asks makes it a new member then.
            return Err(EINVAL);
        }
        entry.state = State::Spare { last };
        if !config.is_reshaping() {
            // It may have left in the middle of a reshape that has ended without it.
            entry.data.new_offset = entry.data.offset;
        }
        entry.set_write_mostly(info.state & DiskInfo::STATE_WRITE_MOSTLY != 0);
        entry.set_failfast(info.state & DiskInfo::STATE_FAIL_FAST != 0);
        let wanted = u32::try_from(info.number).ok().map(MemberNumber::new);
        this.bind_spare(config, entry, wanted)?;
        config.due = Change::Devices;
        config.renumber_v0();
        config.serve();
        config.look_for_work();
        Ok(())
    }
}
