// SPDX-License-Identifier: GPL-2.0

//! The settings of an array, as user space makes them before the array runs.

use super::run::Running;
use crate::member::{entry::Entry, Member};
use core::num::NonZeroI64;
use kernel::prelude::*;
use kernel_ext::block::major::DeviceNumber;
use md_core::{
    format::{ident::Uuid, level::Level},
    mirror::serial::Policy,
    state::{
        array::Array as State,
        clean::{Change, Rollback},
        member::Member as MemberState,
    },
    units::{Events, Sector, Sectors, Slot},
    words::{
        array::{ArraySize, MetadataVersion, ReshapeDirection, SafeModeDelay},
        bitmap::BitmapKind,
        ioctl::ArrayInfo,
        level::LevelText,
        number::SectorOrNone,
    },
};

/// What says which personality an array is to get.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LevelSetting {
    /// Nothing yet.
    Unset,
    /// What was written to `md/level`; it need not name a level.
    Text(LevelText),
    /// The number in an ioctl or a superblock.
    Level(Level),
}

/// A property of the array's shape: what it is, and what a reshape is to make of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape<T> {
    /// Its value now.
    pub(crate) now: T,
    /// Its value when the reshape is done.
    pub(crate) new: T,
}

/// Members that left with the settings of an array.
pub(super) struct Departed {
    _members: KVec<Entry>,
    _leaving: KVec<Entry>,
}

/// The settings and the members of an array.
pub(crate) struct Config {
    pub(crate) level: LevelSetting,
    pub(crate) new_level: i32,
    /// The kind of bitmap it has, or is to have if media say that there is one.
    pub(crate) bitmap: BitmapKind,
    /// Where its bitmap is, in sectors from a member's superblock.
    pub(crate) bitmap_at: Option<NonZeroI64>,
    pub(crate) layout: Shape<i32>,
    pub(crate) chunk: Shape<u32>,
    /// Slots now; in a reshape those there will be, and so for an inactive array that is told of one.
    pub(crate) raid_disks: u16,
    /// What an intended reshape adds to the number of slots.
    pub(crate) delta_disks: i32,
    pub(crate) uuid: Uuid,
    /// What the array uses of each member; zero when it is not known yet.
    pub(crate) component_size: Sectors,
    /// Where a resync would begin; [`Sector::MAX`] when the array is in sync.
    pub(crate) resync_start: Sector,
    pub(crate) metadata: MetadataVersion,
    pub(crate) safe_mode_delay: Option<SafeModeDelay>,
    pub(crate) reshape_position: SectorOrNone,
    pub(crate) reshape_direction: ReshapeDirection,
    /// How often a reshape under way did not get on.
    pub(crate) reshape_tries: u32,
    pub(crate) array_size: ArraySize,
    pub(crate) max_read_errors: u32,
    pub(crate) ppl: bool,
    pub(crate) fail_last_dev: bool,
    /// Which writes of a running raid1 wait for others.
    pub(crate) serialize: Policy,
    /// Bytes; zero when it follows the members.
    pub(crate) logical_block_size: u32,
    /// When the array was created, in seconds since the epoch; zero when it has no identity yet.
    pub(crate) ctime: u64,
    /// When a superblock was last written, in seconds since the epoch.
    pub(crate) utime: u64,
    /// How often the superblocks were written; zero for a new array.
    pub(crate) events: Events,
    /// Whether `layout` is known, and not only zero.
    pub(crate) layout_known: bool,
    /// The number of the disk (`md_minor`), which version 0.90 superblocks ask for the next time.
    pub(crate) preferred_minor: u32,
    /// Why the superblocks are to be written, besides clean and dirty.
    pub(crate) due: Change,
    /// Whether the next record may take back the last one's event.
    pub(super) rollback: Rollback,
    /// The members, in the order they were added.
    pub(crate) members: KVec<Entry>,
    /// What the array holds while it runs.
    pub(crate) running: Option<Running>,
    /// Files of the level before are being removed: the array neither starts, stops nor gets another level meanwhile.
    pub(super) files_leave: bool,
    /// Members that have left, to be dropped when the configuration is not locked any more.
    leaving: KVec<Entry>,
}

impl Config {
    /// That of an array that nothing is known of, but which number its disk has.
    pub(super) fn new(preferred_minor: u32) -> Self {
        Self {
            level: LevelSetting::Unset,
            new_level: 0,
            bitmap: BitmapKind::Bitmap,
            bitmap_at: None,
            layout: Shape::default(),
            chunk: Shape::default(),
            raid_disks: 0,
            delta_disks: 0,
            uuid: Uuid::default(),
            component_size: Sectors::ZERO,
            resync_start: Sector::ZERO,
            metadata: MetadataVersion::None,
            safe_mode_delay: None,
            reshape_position: SectorOrNone::None,
            reshape_direction: ReshapeDirection::Forwards,
            reshape_tries: 0,
            array_size: ArraySize::Default,
            max_read_errors: 0,
            ppl: false,
            fail_last_dev: false,
            serialize: Policy::Behind,
            logical_block_size: 0,
            ctime: 0,
            utime: 0,
            events: Events::ZERO,
            layout_known: false,
            preferred_minor,
            due: Change::None,
            rollback: Rollback::Forbidden,
            members: KVec::new(),
            running: None,
            files_leave: false,
            leaving: KVec::new(),
        }
    }

    /// Forgets every setting. The members are to be dropped when the configuration is not locked any more.
    pub(super) fn reset(&mut self) -> Departed {
        let fresh = Self::new(self.preferred_minor);
        let forgotten = core::mem::replace(self, fresh);
        Departed {
            _members: forgotten.members,
            _leaving: forgotten.leaving,
        }
    }

    /// Keeps a member that left until it can be dropped.
    pub(crate) fn leave(&mut self, entry: Entry) -> Result {
        Ok(self.leaving.push(entry, GFP_KERNEL)?)
    }

    /// The members that have left.
    pub(super) fn departed(&mut self) -> KVec<Entry> {
        core::mem::take(&mut self.leaving)
    }

    /// The entry of a member; `ENODEV` when it has left.
    pub(crate) fn entry(&mut self, member: &Member) -> Result<&mut Entry> {
        self.members
            .iter_mut()
            .find(|entry| core::ptr::eq(&*entry.member, member))
            .ok_or(ENODEV)
    }

    /// Where the entry of a member is; `ENODEV` when it has left.
    pub(crate) fn position(&self, member: &Member) -> Result<usize> {
        self.members
            .iter()
            .position(|entry| core::ptr::eq(&*entry.member, member))
            .ok_or(ENODEV)
    }

    /// Where the entry of a device is.
    pub(crate) fn index_of(&self, device: DeviceNumber) -> Option<usize> {
        self.members
            .iter()
            .position(|entry| entry.device().number() == device)
    }

    /// A member leaves the array.
    pub(crate) fn remove(&mut self, member: &Member) -> Result {
        let position = self.position(member)?;
        self.leaving.reserve(1, GFP_KERNEL)?;
        let entry = self.members.remove(position).map_err(|_| ENODEV)?;
        self.leave(entry)
    }

    /// The level, if what was set names one.
    pub(crate) fn level(&self) -> Option<Level> {
        match &self.level {
            LevelSetting::Unset => None,
            LevelSetting::Text(text) => text.level(),
            LevelSetting::Level(level) => Some(*level),
        }
    }

    /// `EBUSY` for an array that runs.
    pub(crate) fn refuse_running(&self) -> Result {
        if self.running.is_some() {
            Err(EBUSY)
        } else {
            Ok(())
        }
    }

    /// `EBUSY` while files of the level before are being removed.
    pub(super) fn refuse_leaving_files(&self) -> Result {
        if self.files_leave {
            Err(EBUSY)
        } else {
            Ok(())
        }
    }

    /// The state of the array as a whole.
    pub(crate) fn state(&self) -> State {
        match &self.running {
            Some(running) => running.tracking.state(),
            None if self.members.is_empty()
                && self.raid_disks == 0
                && self.component_size.is_zero() =>
            {
                State::Clear
            }
            None => State::Inactive,
        }
    }

    /// How many slots have no member in sync; in a reshape of the geometry that has more.
    pub(crate) fn degraded(&self) -> u16 {
        let slots = self.most_slots_in_use();
        let has = |slot: &u16| self.in_sync_of(Slot::new(*slot)).is_some();
        let in_sync = (0..slots).filter(has).count();
        slots.saturating_sub(u16::try_from(in_sync).unwrap_or(u16::MAX))
    }

    /// How many slots there are, those that a reshape takes away included.
    fn most_slots_in_use(&self) -> u16 {
        if self.is_reshaping() {
            self.most_slots()
        } else {
            self.raid_disks
        }
    }

    /// A member in sync of a slot: the main one, or a replacement about to take its place.
    pub(crate) fn in_sync_of(&self, slot: Slot) -> Option<&Entry> {
        self.members
            .iter()
            .find(|entry| matches!(entry.state, MemberState::InSync(place) if place.slot == slot))
    }

    /// Whether there is a setting that keeps the array in the system when nobody uses it.
    pub(super) fn is_configured(&self) -> bool {
        self.raid_disks != 0 || self.ctime != 0 || !self.members.is_empty()
    }

    /// Whether the array has a shape: ioctls that are about one give `ENODEV` otherwise.
    pub(crate) fn has_shape(&self) -> bool {
        self.raid_disks != 0 || self.is_external()
    }

    /// Whether a program keeps the metadata.
    pub(crate) fn is_external(&self) -> bool {
        matches!(self.metadata, MetadataVersion::External(_))
    }

    /// Whether superblocks are of version 0.90, which knows no direction of a reshape.
    pub(crate) fn is_v0(&self) -> bool {
        matches!(self.metadata, MetadataVersion::V0 { .. })
    }

    /// Whether superblocks are of a format that has a logical block size.
    pub(crate) fn metadata_has_block_size(&self) -> bool {
        matches!(self.metadata, MetadataVersion::V1 { .. })
    }

    /// The number of slots before an intended reshape.
    pub(crate) fn old_raid_disks(&self) -> i32 {
        i32::from(self.raid_disks).saturating_sub(self.delta_disks)
    }

    /// A reshape is to go on from `position`: nothing of the shape changes until told otherwise.
    pub(crate) fn set_reshape_position(&mut self, position: SectorOrNone) {
        self.reshape_position = position;
        self.delta_disks = 0;
        self.reshape_direction = ReshapeDirection::Forwards;
        self.layout.new = self.layout.now;
        self.chunk.new = self.chunk.now;
        if let LevelSetting::Level(level) = self.level {
            self.new_level = level.number();
        }
    }

    /// Whether `shape` may change at once, because no reshape is under way.
    pub(crate) fn is_reshaping(&self) -> bool {
        self.reshape_position != SectorOrNone::None
    }

    /// Takes what `SET_ARRAY_INFO` says of an array to be assembled (`raid_disks` zero) or created.
    ///
    /// `EINVAL` for metadata or a shape that cannot be.
    pub(crate) fn set_array_info(&mut self, info: &ArrayInfo, now: u64) -> Result {
        let persistent = info.not_persistent == 0;
        if info.raid_disks == 0 {
            self.metadata = assembled(info, persistent)?;
        } else {
            self.create_v0(info, persistent)?;
        }
        self.ctime = now;
        Ok(())
    }

    /// A version 0.90 array is to be created from the numbers of an ioctl.
    fn create_v0(&mut self, info: &ArrayInfo, persistent: bool) -> Result {
        let raid_disks = u16::try_from(info.raid_disks).map_err(|_| EINVAL)?;
        let size = u64::try_from(info.size).map_err(|_| EINVAL)?;
        let component_size = Sectors::from_kib(size).ok_or(EINVAL)?;
        let chunk = u32::try_from(info.chunk_size).map_err(|_| EINVAL)? >> 9;
        self.metadata = if persistent {
            MetadataVersion::V0 { minor: 90 }
        } else {
            MetadataVersion::None
        };
        self.level = LevelSetting::Level(Level::from_number(info.level));
        self.new_level = info.level;
        self.component_size = component_size;
        self.raid_disks = raid_disks;
        self.delta_disks = 0;
        let clean = info.state & ArrayInfo::STATE_CLEAN != 0;
        self.resync_start = if clean { Sector::MAX } else { Sector::ZERO };
        self.layout = Shape {
            now: info.layout,
            new: info.layout,
        };
        self.layout_known = true;
        self.chunk = Shape {
            now: chunk,
            new: chunk,
        };
        self.set_reshape_position(SectorOrNone::None);
        self.uuid = Uuid::new(kernel_ext::random::bytes());
        Ok(())
    }
}

/// The metadata that `SET_ARRAY_INFO` names for superblocks to be read.
fn assembled(info: &ArrayInfo, persistent: bool) -> Result<MetadataVersion> {
    let minor = u32::try_from(info.minor_version).map_err(|_| EINVAL)?;
    match (info.major_version, persistent) {
        (0 | 1, false) => Ok(MetadataVersion::None),
        (0, true) => Ok(MetadataVersion::V0 { minor }),
        (1, true) => Ok(MetadataVersion::V1 { minor }),
        (version, _) => {
            pr_warn!("superblock version {version} is not known\n");
            Err(EINVAL)
        }
    }
}
