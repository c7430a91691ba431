// SPDX-License-Identifier: GPL-2.0

//! Members that come to a running array, fail in it, and leave it.

use super::{Array, Configuration};
use crate::{error::OrErrno, log::Text, member::entry::Entry};
use kernel::{prelude::*, str::CString, sync::ArcBorrow};
use kernel_ext::block::{limits::LimitsUpdate, major::DeviceNumber};
use md_core::{
    format::level::Level,
    state::{
        clean::Change,
        member::{Duty, Env, Event, Loss, Member as State, Pending, Place, Record, Run, Seat},
        sync::{Access as SyncAccess, Resync},
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
        let failed = self.fail(index).or_errno();
        self.serve();
        failed
    }
}

impl Configuration<'_> {
    /// Whether members are to leave or get places: failed ones have theirs still, or a spare could have one.
    pub(crate) fn wants_seats(&self) -> bool {
        let Some(running) = &self.running else {
            return false;
        };
        let env = self.sync_env();
        if running.thread.is_none() || env.access == SyncAccess::ReadOnly {
            return false;
        }
        self.members.iter().any(is_leaving)
            || (env.resync == Resync::NotDue
                && self.degraded() > 0
                && self.members.iter().any(is_free)
                && self.empty_slot().is_some())
    }

    /// The first slot without a member.
    fn empty_slot(&self) -> Option<Slot> {
        let has_member = |slot: Slot| {
            let mut places = self.members.iter().filter_map(|entry| entry.state.place());
            places.any(|place| place.slot == slot && place.seat == Seat::Main)
        };
        (0..self.raid_disks)
            .map(Slot::new)
            .find(|slot| !has_member(*slot))
    }

    /// Failed members give up their places. I/O must be held back.
    pub(super) fn release_failed(&mut self) {
        let array = self.array;
        for index in 0..self.members.len() {
            if self.members.get(index).is_some_and(is_leaving) {
                // One that cannot leave yet is looked at again.
                let _ = array.detach(self, index);
            }
        }
    }

    /// Failed members give up their places, and spares take them. I/O must be held back.
    pub(crate) fn arrange_seats(&mut self) {
        let array = self.array;
        self.release_failed();
        if self.resync_due() == Resync::Due {
            return;
        }
        for index in 0..self.members.len() {
            let Some(slot) = self.empty_slot() else {
                break;
            };
            if self.members.get(index).is_some_and(is_free) {
                let place = Place {
                    slot,
                    seat: Seat::Main,
                };
                if let Err(error) = array.attach(self, index, place) {
                    pr_warn!("a spare cannot be used: {error:?}\n");
                }
            }
        }
        self.record_devices();
    }
}

/// The level of a running array.
fn level_of(config: &Configuration<'_>) -> Option<Level> {
    config.running.as_ref().map(|running| running.level)
}

/// Whether a member has failed, all know, and it still has its place.
fn is_leaving(entry: &Entry) -> bool {
    matches!(
        entry.state,
        State::Faulty {
            was: Duty::Place(_),
            record: Record::Done,
        }
    )
}

/// Whether a member can have a place.
fn is_free(entry: &Entry) -> bool {
    matches!(entry.state, State::Spare { .. })
}

impl Array {
    /// A spare gets a place, to be rebuilt there. I/O must be held back.
    fn attach(&self, config: &mut Configuration<'_>, index: usize, place: Place) -> Result {
        let entry = config.members.get_mut(index).ok_or(ENODEV)?;
        let before = entry.state;
        let next = before.step(Event::Place(place), &QUIET).or_errno()?;
        self.stack_limits(entry)?;
        entry.state = next.after(before);
        let seated = entry.seated().ok_or(EINVAL)?;
        let members = config.in_slots()?;
        let live = config.live_mut()?.as_mut().ok_or(ENODEV)?;
        let mirror = live.personality_mut().mirror_mut().ok_or(EINVAL)?;
        mirror.seat_member(seated)?;
        live.set_members(members);
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

    /// Has a member give up its place.
    fn detach(&self, config: &mut Configuration<'_>, index: usize) -> Result {
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
        if let Some(entry) = config.members.get_mut(index) {
            entry.state = next;
        }
        let members = config.in_slots()?;
        if let Some(live) = config.live_mut()? {
            live.set_members(members);
            if let Some(mirror) = live.personality_mut().mirror_mut() {
                mirror.vacate(place);
            }
        }
        Ok(())
    }

    /// `ADD_NEW_DISK` on a running array: the device becomes a spare.
    ///
    /// `EINVAL` when it has no superblock, for a level that takes none, and for a re-add, which takes a bitmap;
    /// `ENOSPC` when it is too small.
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
        if !takes_spares || info.state & DiskInfo::STATE_SYNC != 0 {
            return Err(EINVAL);
        }
        let mut entry = Entry::import(this, number, config.metadata)?;
        if entry.device().is_read_only() {
            return Err(EROFS);
        }
        if entry.data.size < config.component_size {
            return Err(ENOSPC);
        }
        entry.state = State::Spare { last: None };
        entry.set_write_mostly(info.state & DiskInfo::STATE_WRITE_MOSTLY != 0);
        entry.failfast = info.state & DiskInfo::STATE_FAIL_FAST != 0;
        let wanted = u32::try_from(info.number).ok().map(MemberNumber::new);
        this.bind_spare(config, entry, wanted)?;
        config.due = Change::Devices;
        config.renumber_v0();
        config.serve();
        config.look_for_work();
        Ok(())
    }
}
