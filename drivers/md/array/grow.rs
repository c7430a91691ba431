// SPDX-License-Identifier: GPL-2.0

//! A running array gets another shape at once: more or fewer slots, more or less of each member.
//!
//! The level starts anew, on the members it will have, while I/O is held back; only when it has started does it take
//! the place of the one at work, and do the settings change. What is refused changes nothing.

use super::{config::Config, reshape::ShapeChange, Array, Configuration};
use crate::{
    member::entry::Entry,
    personality::{Personality, Seated, Shape},
};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::block::major::DeviceNumber;
use md_core::{
    format::level::Level,
    layout::mirror::Placement,
    mirror::serial::Policy,
    state::{
        array::{Access, Array as State},
        member::{Member as MemberState, Place},
        shape::{member_size, packed, resync_after},
        sync::Sync,
        Metadata,
    },
    units::{Sectors, Slot},
    words::{
        array::{ArraySize, MetadataVersion},
        ioctl::{ArrayInfo, DiskInfo, InfoChange},
    },
};

/// The most slots that a superblock can have, and one more.
pub(super) const fn slots_end(metadata: MetadataVersion) -> u16 {
    match metadata {
        MetadataVersion::V0 { .. } => md_core::format::sb0::DEVICES_MAX,
        MetadataVersion::V1 { .. } => md_core::format::sb1::MAX_DEVICES,
        MetadataVersion::None | MetadataVersion::External(_) => u16::MAX,
    }
}

impl Configuration<'_> {
    /// `EBUSY` while a pass is under way, `EROFS` for an array that is not writable, `EINVAL` for one that does not
    /// run.
    pub(super) fn may_change_shape(&self) -> Result {
        let running = self.running.as_ref().ok_or(EINVAL)?;
        let State::Running { access, .. } = running.tracking.state() else {
            return Err(EINVAL);
        };
        if !matches!(access, Access::Writable(_)) {
            return Err(EROFS);
        }
        let sync = running.sync.as_ref();
        if sync.is_some_and(|sync| matches!(sync.state.machine(), Sync::Active(_))) {
            return Err(EBUSY);
        }
        if self.is_reshaping() {
            return Err(EBUSY);
        }
        Ok(())
    }

    /// The members that the level has now, each in the place that `place` gives it.
    pub(super) fn seated_at(&self, place: impl Fn(Place) -> Place) -> Result<KVec<Seated>> {
        let mut members = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for mut seated in self.members.iter().filter_map(Entry::seated) {
            seated.place = place(seated.place);
            members.push(seated, GFP_KERNEL)?;
        }
        Ok(members)
    }

    /// Whether somebody sits in a slot.
    pub(super) fn is_occupied(&self, slot: Slot) -> bool {
        let mut places = self.members.iter().filter_map(|entry| entry.state.place());
        places.any(|place| place.slot == slot)
    }
}

impl Array {
    /// Starts a level of this shape on these members in the place of the one at work. I/O must be held back.
    ///
    /// What the level says; then nothing has changed. What the disk announces does not change: it is the stacked limits
    /// of all members that ever were in the array.
    fn replace_level(
        &self,
        config: &mut Configuration<'_>,
        shape: &Shape,
        members: KVec<Seated>,
    ) -> Result {
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        self.put_level(config, Personality::start(name, shape, members)?)
    }

    /// A level that has started takes the place of the one at work. I/O must be held back. `EINVAL` when it offers less
    /// than is to be presented; then nothing has changed.
    pub(super) fn put_level(
        &self,
        config: &mut Configuration<'_>,
        personality: Personality,
    ) -> Result {
        let offered = personality.size();
        let size = config.presented(offered).ok_or(EINVAL)?;
        let mirror = personality.mirror();
        let failures = mirror.map(|mirror| mirror.failures().clone());
        let layout = mirror.map(|mirror| *mirror.layout());
        let moving = mirror.and_then(|mirror| mirror.moving().cloned());
        let (level, geometry) = (personality.level(), personality.geometry());
        let live = config.live_mut()?.as_mut().ok_or(EINVAL)?;
        // Nobody uses it: I/O is held back, and passes were excluded.
        drop(live.replace_personality(personality));
        config.end_moving();
        let running = config.running.as_mut().ok_or(EINVAL)?;
        running.level = level;
        running.geometry = geometry;
        running.failures = failures;
        running.mirror = layout;
        running.moving = moving;
        running.offered = offered;
        running.size = size;
        self.place()
            .with_disk(|disk| disk.set_capacity_and_notify(size.get()));
        Ok(())
    }

    /// Presents another part of what the level offers. `E2BIG` for more than that.
    pub(crate) fn resize(&self, config: &mut Configuration<'_>, wanted: ArraySize) -> Result {
        let running = config.running.as_mut().ok_or(EBUSY)?;
        let size = presented(wanted, running.offered).ok_or(E2BIG)?;
        running.size = size;
        self.place()
            .with_disk(|disk| disk.set_capacity_and_notify(size.get()));
        Ok(())
    }

    /// Gives a running mirror another number of slots; that of a raid10 is the business of a reshape, to be
    /// started. I/O must be held back.
    ///
    /// Members close up, and replacements stay with the ones they replace. `EINVAL` for a level that cannot or a number
    /// that superblocks cannot have, `EBUSY` for less than the members in slots, or while a pass is under way.
    pub(crate) fn set_raid_disks(&self, config: &mut Configuration<'_>, slots: u16) -> Result {
        let level = config.running.as_ref().map(|running| running.level);
        if level == Some(Level::Raid10) && slots == config.raid_disks && !config.is_reshaping() {
            // What was planned before is not to be.
            config.delta_disks = 0;
        }
        if slots == config.raid_disks {
            return Ok(());
        }
        if level == Some(Level::Raid10) {
            return self.plan_shape(config, ShapeChange::Slots(slots));
        }
        let running = config.running.as_ref().ok_or(EINVAL)?;
        if running.level != Level::Raid1 {
            return Err(EINVAL);
        }
        config.may_change_shape()?;
        if slots == 0 || slots >= slots_end(config.metadata) {
            return Err(EINVAL);
        }
        // Failed members are in nobody's way, once all know.
        config.serve();
        config.release_failed();
        let occupied = (0..config.raid_disks).filter(|&slot| config.is_occupied(Slot::new(slot)));
        if occupied.count() > usize::from(slots) {
            return Err(EBUSY);
        }
        let closed = |config: &Configuration<'_>, slot| packed(slot, |at| config.is_occupied(at));
        let members = config.seated_at(|place| Place {
            slot: closed(config, place.slot),
            ..place
        })?;
        let name = self.place().name().ok_or(ENODEV)?;
        let shape = Shape {
            raid_disks: slots,
            ..config.shape(name.to_str().map_err(|_| EINVAL)?)?
        };
        self.replace_level(config, &shape, members)?;
        self.unlink_slots(config);
        let mut places = KVec::with_capacity(config.members.len(), GFP_KERNEL)?;
        for entry in &config.members {
            let slot = entry.slot().map(|slot| closed(config, slot));
            places.push(slot, GFP_KERNEL)?;
        }
        for (entry, slot) in config.members.iter_mut().zip(places) {
            if let Some(slot) = slot {
                entry.state = moved(entry.state, slot);
            }
        }
        config.raid_disks = slots;
        for entry in &config.members {
            self.link_slot(entry);
        }
        self.after_change(config);
        Ok(())
    }

    /// Uses another part of each member of a running mirror, all that there is for `None`. I/O must be held back.
    ///
    /// `EINVAL` for a level that uses what there is, a layout that depends on it, or when the array would be smaller
    /// than it is set to be, `ENOSPC` when a member is too small, `EBUSY` while a pass is under way.
    pub(crate) fn set_member_size(
        &self,
        config: &mut Configuration<'_>,
        wanted: Option<Sectors>,
    ) -> Result {
        let running = config.running.as_ref().ok_or(EINVAL)?;
        let before = running.mirror.ok_or(EINVAL)?;
        if before.is_fixed() {
            return Err(EINVAL);
        }
        config.may_change_shape()?;
        let rooms = config.members.iter().map(|entry| entry.data.size);
        let size = member_size(rooms, wanted).map_err(|_| ENOSPC)?;
        if size == config.component_size {
            return Ok(());
        }
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let members = config.seated_at(|place| place)?;
        let shape = Shape {
            member_size: size,
            ..config.shape(name)?
        };
        let personality = Personality::start(name, &shape, members)?;
        let after = *personality.mirror().ok_or(EINVAL)?.layout();
        let (start, end) = (before.array_size(), after.array_size());
        config.presented(end).ok_or(EINVAL)?;
        let bitmap = config.resized_bitmap(name, end)?;
        // What media say of the array is at no time about more than the bitmap on media covers.
        if let Some(bitmap) = bitmap.as_ref().filter(|_| end > start) {
            self.supersede_bitmap(config, bitmap)?;
        }
        self.put_level(config, personality)?;
        config.component_size = after.member_size();
        config.set_resync_start(resync_after(config.resync_start, start, end));
        self.after_change(config);
        if let Some(bitmap) = bitmap.as_ref().filter(|_| end <= start) {
            self.supersede_bitmap(config, bitmap)?;
        }
        Ok(())
    }

    /// A member of a running array has more or less room for data: as much as its device has for `None`.
    ///
    /// `EINVAL` for less than is used of each member (`EBUSY` for one at work that has a superblock), `EBUSY` when a
    /// superblock at the end of the device cannot follow.
    pub(crate) fn set_room(
        &self,
        config: &mut Configuration<'_>,
        index: usize,
        wanted: Option<Sectors>,
    ) -> Result {
        let has_passes = |running: &super::run::Running| running.sync.is_some();
        let resizable = config.running.as_ref().is_some_and(has_passes);
        let used = config.component_size;
        let persistent = config.metadata_kind() == Metadata::Native;
        let entry = config.members.get_mut(index).ok_or(ENODEV)?;
        if entry.slot().is_some() && !resizable {
            return Err(EINVAL);
        }
        let has_place = entry.slot().is_some();
        // All there is can be had by one at work only.
        if wanted.map_or(!has_place, |wanted| wanted < used) {
            return Err(if has_place && persistent {
                EBUSY
            } else {
                EINVAL
            });
        }
        let room = entry.follow_device()?;
        let size = wanted.map_or(room, |wanted| wanted.min(room));
        if size < used {
            return Err(EINVAL);
        }
        entry.set_size(size)?;
        config.record_devices();
        Ok(())
    }

    /// A member of a running linear array is added at its end. I/O must be held back.
    ///
    /// `EINVAL` when its superblock does not say that it has the next slot.
    pub(super) fn append(
        this: ArcBorrow<'_, Self>,
        config: &mut Configuration<'_>,
        number: DeviceNumber,
        info: &DiskInfo,
    ) -> Result {
        let mut entry = Entry::import(this, number, config.metadata)?;
        let next = Slot::new(config.raid_disks);
        let asked = info.state & DiskInfo::STATE_SYNC == 0
            || info.raid_disk == i32::from(config.raid_disks);
        let room = slots_end(config.metadata);
        if entry.slot() != Some(next) || !asked || config.raid_disks >= room {
            return Err(EINVAL);
        }
        if entry.device().is_read_only() {
            return Err(EROFS);
        }
        entry.take_slot(Some(next));
        let name = this.place().name().ok_or(ENODEV)?;
        let mut members = config.seated_at(|place| place)?;
        members.push(entry.seated().ok_or(EINVAL)?, GFP_KERNEL)?;
        let shape = Shape {
            raid_disks: config.raid_disks.saturating_add(1),
            ..config.shape(name.to_str().map_err(|_| EINVAL)?)?
        };
        let member = entry.member.clone();
        this.join(config, entry)?;
        let position = config.position(&member)?;
        let stacked = match config.members.get(position) {
            Some(entry) => this.stack_limits(entry),
            None => Err(ENODEV),
        };
        let grown = stacked.and_then(|()| this.replace_level(config, &shape, members));
        if let Err(error) = grown {
            config.remove(&member)?;
            return Err(error);
        }
        config.raid_disks = shape.raid_disks;
        let members = config.in_slots()?;
        if let Some(live) = config.live_mut()? {
            live.set_members(members);
        }
        if let Some(entry) = config.members.get(position) {
            this.link_slot(entry);
        }
        this.after_change(config);
        Ok(())
    }

    /// `SET_ARRAY_INFO` on a running array: one thing may change. I/O must be held back.
    pub(crate) fn update_info(&self, config: &mut Configuration<'_>, wanted: &ArrayInfo) -> Result {
        let now = config.array_info();
        match now.change_to(wanted).map_err(|_| EINVAL)? {
            InfoChange::Nothing => Ok(()),
            InfoChange::Size(kib) => {
                let size = Sectors::from_kib(u64::from(kib)).ok_or(EINVAL)?;
                self.set_member_size(config, (!size.is_zero()).then_some(size))
            }
            InfoChange::RaidDisks(slots) => {
                let slots = u16::try_from(slots).map_err(|_| EINVAL)?;
                self.set_raid_disks(config, slots)
            }
            InfoChange::Bitmap { present: true } => self.add_default_bitmap(config),
            InfoChange::Bitmap { present: false } => {
                config.refuse_busy()?;
                self.remove_bitmap(config)
            }
            InfoChange::Layout(word) if config.has_raid10() => {
                self.plan_shape(config, ShapeChange::Layout(word))
            }
            InfoChange::Layout(_) => Err(EINVAL),
        }
    }

    /// Which writes of a running raid1 wait for others is another policy now. I/O must be held back. `EINVAL` for
    /// another level.
    pub(crate) fn set_serialize(&self, config: &mut Configuration<'_>, policy: Policy) -> Result {
        let live = config.live_mut()?.as_mut().ok_or(EINVAL)?;
        let mirror = live.personality_mut().mirror_mut().ok_or(EINVAL)?;
        mirror.set_serialize(policy)?;
        config.serialize = policy;
        Ok(())
    }

    /// The shape has changed: superblocks say so, and there may be something to do.
    pub(super) fn after_change(&self, config: &mut Configuration<'_>) {
        config.renumber_v0();
        config.record_devices();
        config.look_for_work();
        self.notify_state();
        self.registry.events.notify();
    }
}

impl Config {
    fn has_raid10(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.level == Level::Raid10)
    }

    /// How much of what a level offers is presented; `None` when it is less than is to be.
    pub(super) fn presented(&self, offered: Sectors) -> Option<Sectors> {
        presented(self.array_size, offered)
    }
}

fn presented(wanted: ArraySize, offered: Sectors) -> Option<Sectors> {
    match wanted {
        ArraySize::Default => Some(offered),
        ArraySize::Fixed(size) => (size <= offered).then_some(size),
    }
}

/// A member in another slot.
pub(super) fn moved(state: MemberState, slot: Slot) -> MemberState {
    match state {
        MemberState::InSync(place) => MemberState::InSync(Place { slot, ..place }),
        MemberState::Rebuilding { place, upto } => MemberState::Rebuilding {
            place: Place { slot, ..place },
            upto,
        },
        other => other,
    }
}
