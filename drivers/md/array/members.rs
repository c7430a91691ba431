// SPDX-License-Identifier: GPL-2.0

//! Members coming to an array that does not run.

use super::{Array, Config, Configuration};
use crate::{log::Text, member::entry::Entry};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::block::major::DeviceNumber;
use md_core::{
    state::member::Member as State,
    units::{MemberNumber, Sector, Slot},
    words::{array::MetadataVersion, ioctl::DiskInfo},
};

/// The most members a version 0.90 array can have.
const V0_DEVICES_MAX: u16 = md_core::format::sb0::DEVICES_MAX;

impl Array {
    /// Whether two members belong to the same array; `EINVAL` when not.
    fn same_array(&self, one: &Entry, other: &Entry) -> Result {
        let (Some(first), Some(second)) = (one.view()?, other.view()?) else {
            return Ok(());
        };
        let Some(kick) = second.assembly().stranger_to(&first.assembly()) else {
            return Ok(());
        };
        let device = Text(other.device().name());
        self.place
            .with_name(|name| pr_warn!("{name}: {device} is not added: it {}\n", Text(kick)));
        Err(EINVAL)
    }

    /// Adds a device whose superblock says what it is. May sleep.
    ///
    /// `EINVAL` when it has none that fits the other members, `EEXIST` when it is a member, `EBUSY` when its number
    /// is taken or too large, the superblocks are full, or somebody else has the device.
    pub(crate) fn import(
        this: ArcBorrow<'_, Self>,
        config: &mut Configuration<'_>,
        number: DeviceNumber,
    ) -> Result {
        let mut entry = Entry::import(this, number, config.metadata)?;
        if config.raid_disks == 0 {
            // What its slot is will be judged when all members are there: `mdadm --incremental` gives up on an array
            // that knows before.
            entry.take_slot(None);
        }
        this.join(config, entry)
    }

    /// Makes a device whose superblock says what it is a member.
    pub(super) fn join(&self, config: &mut Configuration<'_>, entry: Entry) -> Result {
        if let Some(other) = config.members.first() {
            self.same_array(other, &entry)?;
        }
        let number = config.number_for(&entry)?;
        self.bind(config, entry, number)
    }

    /// `ADD_NEW_DISK` for an array whose shape was told by `SET_ARRAY_INFO`: the device is what `info` says. May sleep.
    ///
    /// `EINVAL` for an array with superblocks, `EBUSY` when the number is taken.
    pub(crate) fn place_by_info(
        this: ArcBorrow<'_, Self>,
        config: &mut Configuration<'_>,
        number: DeviceNumber,
        info: &DiskInfo,
    ) -> Result {
        if config.metadata != MetadataVersion::None {
            return Err(EINVAL);
        }
        let wanted = u32::try_from(info.number).map_err(|_| EINVAL)?;
        let wanted = MemberNumber::new(wanted);
        if config.members.iter().any(|other| other.number == wanted) {
            return Err(EBUSY);
        }
        let slot = u16::try_from(info.raid_disk).ok();
        let slot = slot.filter(|&slot| slot < config.raid_disks);
        let mut entry = Entry::import(this, number, config.metadata)?;
        entry.take_slot(slot.map(Slot::new));
        if let (Some(place), true) = (entry.state.place(), info.state & DiskInfo::STATE_SYNC == 0) {
            entry.state = State::Rebuilding {
                place,
                upto: Sector::ZERO,
            };
        }
        entry.set_write_mostly(info.state & DiskInfo::STATE_WRITE_MOSTLY != 0);
        entry.failfast = info.state & DiskInfo::STATE_FAIL_FAST != 0;
        this.bind(config, entry, wanted)
    }

    /// Makes a device a member of a running array that is not used yet: somebody gives it a slot later. May sleep.
    ///
    /// `EROFS` for a read-only device, `ENOSPC` when it is too small, and what [`Array::import`] says.
    pub(crate) fn bind_to_running(
        this: ArcBorrow<'_, Self>,
        config: &mut Configuration<'_>,
        number: DeviceNumber,
    ) -> Result {
        let mut entry = Entry::import(this, number, config.metadata)?;
        if entry.device().is_read_only() {
            return Err(EROFS);
        }
        if let Some(other) = config.members.first() {
            this.same_array(other, &entry)?;
        }
        let redundant = config
            .running
            .as_ref()
            .is_some_and(|running| running.sync.is_some());
        // With a program that keeps the metadata it has no size yet.
        let size = entry.data.size;
        if redundant && !size.is_zero() && size < config.component_size {
            return Err(ENOSPC);
        }
        entry.take_slot(None);
        this.bind_spare(config, entry, None)
    }

    /// Makes a device a spare of a running array. A superblock of version 1 says what its number is, and nobody writes
    /// that again: by another its slot would not be found in the table of slots. Elsewhere it gets the number that was
    /// asked for, if that is free.
    pub(super) fn bind_spare(
        &self,
        config: &mut Configuration<'_>,
        entry: Entry,
        wanted: Option<MemberNumber>,
    ) -> Result {
        let number = match config.metadata {
            MetadataVersion::V1 { .. } => config.number_for(&entry)?,
            _ => config.number_of_spare(wanted)?,
        };
        self.bind(config, entry, number)
    }

    /// Makes a device a member.
    fn bind(
        &self,
        config: &mut Configuration<'_>,
        mut entry: Entry,
        number: MemberNumber,
    ) -> Result {
        if config.index_of(entry.device().number()).is_some() {
            return Err(EEXIST);
        }
        if config.is_v0() && config.members.len() >= usize::from(V0_DEVICES_MAX) {
            // Their superblocks have no room for another.
            return Err(EBUSY);
        }
        entry.number = number;
        config.members.reserve(1, GFP_KERNEL)?;
        self.place()
            .with_both(|disk, directory| entry.present(directory, disk))
            .unwrap_or(Err(ENODEV))?;
        let size = entry.data.size;
        let shrinks = config.running.is_none() && size < config.component_size;
        if !size.is_zero() && (config.component_size.is_zero() || shrinks) {
            config.component_size = size;
        }
        config.members.push(entry, GFP_KERNEL)?;
        self.registry.events.notify();
        Ok(())
    }
}

impl Config {
    /// The number of a new spare: behind the slots, as those are for members that have one.
    fn number_of_spare(&self, wanted: Option<MemberNumber>) -> Result<MemberNumber> {
        let taken = |number| self.members.iter().any(|other| other.number == number);
        let first = u32::from(self.raid_disks);
        let free = |number: &MemberNumber| number.get() >= first && !taken(*number);
        let lowest = || (first..=u32::MAX).map(MemberNumber::new).find(free);
        wanted.filter(free).or_else(lowest).ok_or(EBUSY)
    }

    /// The number of a new member: what its superblock says, or the first that is free.
    fn number_for(&self, entry: &Entry) -> Result<MemberNumber> {
        let taken = |number| self.members.iter().any(|other| other.number == number);
        let stated = match entry.view()? {
            Some(view) => view.number(),
            None => None,
        };
        let number = match stated {
            Some(number) if taken(number) => return Err(EBUSY),
            Some(number) => number,
            None => (0..=u32::MAX)
                .map(MemberNumber::new)
                .find(|number| !taken(*number))
                .ok_or(EBUSY)?,
        };
        match self.metadata {
            MetadataVersion::V0 { .. } if number.get() >= u32::from(V0_DEVICES_MAX) => Err(EBUSY),
            _ => Ok(number),
        }
    }
}
