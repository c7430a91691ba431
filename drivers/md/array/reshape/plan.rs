// SPDX-License-Identifier: GPL-2.0

//! What an array is to be reshaped to, before it is: each part of it is looked at when it is said.

use super::super::{config::Config, grow::slots_end, run::unsigned, Array, Configuration};
use crate::{
    log::Text,
    member::{entry::Entry, Health},
    personality::mirror::raid10::geometry_of,
};
use kernel::prelude::*;
use md_core::{
    format::{
        level::Level,
        sb1::{ArrayState, Direction as Recorded},
    },
    layout::{
        mirror::{Placement, Raid10},
        reshape::{raid10_slack, Direction, Raid10Reshape},
    },
    state::{
        array::{Access, Array as State},
        member::{Member as MemberState, Place, Seat},
        sync::Reshape,
        Metadata,
    },
    units::{Sector, Sectors, Slot},
    words::{
        array::{MetadataVersion, ReshapeDirection},
        bitmap::BitmapKind,
    },
};

/// What is to change of the shape of a running array.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ShapeChange {
    /// The number of slots.
    Slots(u16),
    /// The layout word.
    Layout(i32),
    /// The chunk, in sectors.
    Chunk(u32),
}

/// Says why an array is not reshaped.
pub(super) fn refused(name: &str, why: &dyn core::fmt::Display) -> Error {
    pr_warn!("{name}: not reshaped: {}\n", Text(why));
    EINVAL
}

impl Config {
    pub(super) fn direction(&self) -> Direction {
        match self.reshape_direction {
            ReshapeDirection::Forwards => Direction::Forward,
            ReshapeDirection::Backwards => Direction::Backward,
        }
    }

    /// The slots before and after what the settings say.
    fn slots(&self) -> (i32, i32) {
        let slots = i32::from(self.raid_disks);
        if self.is_reshaping() {
            (self.old_raid_disks(), slots)
        } else {
            (slots, slots.saturating_add(self.delta_disks))
        }
    }

    /// The most slots that a reshape under way has, before or after.
    pub(in crate::array) fn most_slots(&self) -> u16 {
        let (before, after) = self.slots();
        u16::try_from(before.max(after)).unwrap_or(self.raid_disks)
    }

    /// The geometries before and after what the settings say. `EINVAL` for one that cannot be.
    pub(super) fn geometries(&self, name: &str) -> Result<(Raid10, Raid10)> {
        let (before, after) = self.slots();
        let of = |word, chunk: u32, slots| {
            let chunk = Sectors::new(u64::from(chunk));
            geometry(name, unsigned(word), chunk, slots, self.component_size)
        };
        Ok((
            of(self.layout.now, self.chunk.now, before)?,
            of(self.layout.new, self.chunk.new, after)?,
        ))
    }

    /// By how much the data of these members moves at least.
    pub(super) fn slack<'a>(&self, members: impl Iterator<Item = &'a Entry>) -> Sectors {
        let offsets = members.map(|entry| (entry.data.offset, entry.data.new_offset));
        raid10_slack(self.direction(), offsets)
    }

    pub(super) fn placed(&self) -> impl Iterator<Item = &Entry> {
        let is_placed = |entry: &&Entry| entry.seated().is_some();
        self.members.iter().filter(is_placed)
    }

    /// Whether the array as it is could be reshaped to what the settings say, wherever the data is to go.
    ///
    /// `EBUSY` with a bitmap that cannot follow, `EINVAL` for superblocks that cannot say where the reshape is, for a
    /// geometry that cannot be, and when some data has no copy in sync.
    pub(super) fn check_reshape(&self, name: &str) -> Result<(Raid10, Raid10)> {
        if self.metadata_kind() != Metadata::Native {
            return Err(refused(name, &"no superblock could say how far it is"));
        }
        let running = self.running.as_ref().ok_or(EINVAL)?;
        let bitmap = running.bitmap.as_ref().map(|bitmap| bitmap.kind());
        if bitmap == Some(BitmapKind::Llbitmap) {
            pr_warn!("{name}: not reshaped: a lockless bitmap cannot follow\n");
            return Err(EBUSY);
        }
        let (previous, new) = self.geometries(name)?;
        Raid10Reshape::check(&previous, &new, running.size).map_err(|why| refused(name, &why))?;
        let in_sync = |slot| self.in_sync_of(slot).is_some();
        if !previous.has_enough(in_sync) {
            return Err(refused(name, &"some data has no copy on a member in sync"));
        }
        Ok((previous, new))
    }

    /// Spares for slots that come, and the slots. `EINVAL` when there are too few.
    pub(super) fn spares_for(
        &self,
        name: &str,
        slots: core::ops::Range<u16>,
    ) -> Result<KVec<(usize, Place)>> {
        let mut chosen = KVec::with_capacity(usize::from(slots.end), GFP_KERNEL)?;
        let is_spare = |entry: &Entry| {
            matches!(entry.state, MemberState::Spare { .. })
                && entry.member.health() == Health::Working
                && entry.data.size >= self.component_size
        };
        // Those that came last first, as elsewhere.
        let spares = (0..self.members.len()).rev();
        let spares = spares.filter(|&index| self.members.get(index).is_some_and(is_spare));
        for (slot, index) in Iterator::zip(slots.clone(), spares) {
            let place = Place {
                slot: Slot::new(slot),
                seat: Seat::Main,
            };
            chosen.push((index, place), GFP_KERNEL)?;
        }
        if chosen.len() < slots.len() {
            return Err(refused(name, &"there are not enough spares"));
        }
        Ok(chosen)
    }

    /// Whether data moves past its end, or into what lies before it on the device.
    fn fits_at(&self, entry: &Entry, to: Sector) -> Result<bool> {
        let data = entry.data;
        if let Some(up) = to.distance_from(data.offset) {
            let end = up.checked_add(self.component_size);
            return Ok(end.is_some_and(|end| end <= data.size));
        }
        if !matches!(self.metadata, MetadataVersion::V1 { .. }) {
            return Ok(false);
        }
        let bitmap = self
            .backend()
            .map_or(Sectors::ZERO, |bitmap| bitmap.length());
        entry.is_free_from(to, self.bitmap_at, bitmap)
    }
}

impl Array {
    /// Something of the shape of a running array is to be another, when a reshape has been started that is.
    ///
    /// `EINVAL` and `EBUSY` as C has them for levels that cannot, `EROFS` for a read-only array, `EBUSY` while it is
    /// reshaped and as [`Config::check_reshape`] says, `EINVAL` for what cannot be.
    pub(crate) fn plan_shape(&self, config: &mut Configuration<'_>, change: ShapeChange) -> Result {
        let running = config.running.as_ref().ok_or(EINVAL)?;
        if running.level != Level::Raid10 {
            return Err(EBUSY);
        }
        let State::Running { access, .. } = running.tracking.state() else {
            return Err(EINVAL);
        };
        if !matches!(access, Access::Writable(_)) {
            return Err(EROFS);
        }
        if config.is_reshaping() {
            return Err(EBUSY);
        }
        let before = (config.layout, config.chunk, config.delta_disks);
        let direction = config.reshape_direction;
        match change {
            ShapeChange::Slots(slots) => config.plan_slots(slots)?,
            ShapeChange::Layout(word) => config.layout.new = word,
            ShapeChange::Chunk(sectors) => config.chunk.new = sectors,
        }
        let now = (config.layout.now, config.chunk.now, 0);
        let planned = (config.layout.new, config.chunk.new, config.delta_disks);
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let checked = if planned == now {
            Ok(())
        } else {
            config.check_reshape(name).map(drop)
        };
        checked.inspect_err(|_| {
            (config.layout, config.chunk, config.delta_disks) = before;
            config.reshape_direction = direction;
        })
    }

    /// Another place for the data of a member, for a reshape to move it to.
    ///
    /// `EBUSY` while a pass is under way or the array is reshaped, `EINVAL` against the direction of travel or for
    /// an array that cannot be reshaped, `E2BIG` where there is no room.
    pub(crate) fn plan_offset(
        &self,
        config: &mut Configuration<'_>,
        index: usize,
        to: Sector,
    ) -> Result {
        if config.is_syncing() || config.moving().is_some() {
            return Err(EBUSY);
        }
        let entry = config.members.get(index).ok_or(ENODEV)?;
        let from = entry.data.offset;
        let can = config.reshape_env() == Reshape::Possible;
        if to != from {
            let wanted = if to > from {
                ReshapeDirection::Backwards
            } else {
                ReshapeDirection::Forwards
            };
            if !can || config.reshape_direction != wanted {
                return Err(EINVAL);
            }
            if !config.fits_at(entry, to)? {
                return Err(E2BIG);
            }
        }
        let entry = config.members.get_mut(index).ok_or(ENODEV)?;
        entry.data.new_offset = to;
        Ok(())
    }
}

impl Configuration<'_> {
    /// Another number of slots is to be. `EBUSY` while a pass is under way, `EINVAL` for a number that superblocks
    /// cannot have, or one that the data of members is to move against.
    fn plan_slots(&mut self, slots: u16) -> Result {
        if slots == 0 || slots >= slots_end(self.metadata) {
            return Err(EINVAL);
        }
        if self.is_syncing() {
            return Err(EBUSY);
        }
        let moves_against = |entry: &Entry| {
            let (from, to) = (entry.data.offset, entry.data.new_offset);
            (slots > self.raid_disks && to > from) || (slots < self.raid_disks && to < from)
        };
        if self.members.iter().any(moves_against) {
            return Err(EINVAL);
        }
        self.delta_disks = i32::from(slots) - i32::from(self.raid_disks);
        match self.delta_disks {
            0 => {}
            1.. => self.reshape_direction = ReshapeDirection::Forwards,
            _ => self.reshape_direction = ReshapeDirection::Backwards,
        }
        Ok(())
    }
}

/// Whether a reshape of which a superblock tells has moved anything for good.
pub(in crate::array) fn has_moved(name: &str, array: &ArrayState) -> bool {
    let Some(reshape) = array.reshape else {
        return false;
    };
    let direction = match reshape.direction {
        Recorded::Forwards => Direction::Forward,
        Recorded::Backwards => Direction::Backward,
    };
    let slots = i32::from(array.raid_disks);
    let of = |word, chunk, slots| geometry(name, word, chunk, slots, array.member_size);
    let before = slots.saturating_sub(reshape.delta_disks);
    let previous = of(array.layout.unwrap_or(0), array.chunk, before);
    let new = of(reshape.new_layout, reshape.new_chunk, slots);
    let (Ok(previous), Ok(new)) = (previous, new) else {
        return true;
    };
    !is_at_start(previous, new, direction, reshape.position)
}

/// A geometry of so many slots, as settings and superblocks count them. `EINVAL` for one that cannot be.
fn geometry(
    name: &str,
    word: u32,
    chunk: Sectors,
    slots: i32,
    member_size: Sectors,
) -> Result<Raid10> {
    let slots = u16::try_from(slots).map_err(|_| EINVAL)?;
    geometry_of(name, word, chunk, slots, member_size)
}

/// Whether a reshape at `position` has moved nothing for good, wherever the data of members is to go.
pub(super) fn is_at_start(
    previous: Raid10,
    new: Raid10,
    direction: Direction,
    position: Sector,
) -> bool {
    let any = Raid10Reshape::under_way(previous, new, direction, Sectors::MAX);
    any.is_ok_and(|reshape| reshape.is_at_start(position))
}
