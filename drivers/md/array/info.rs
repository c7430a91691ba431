// SPDX-License-Identifier: GPL-2.0

//! What the ioctls tell of an array.

use super::{
    config::{Config, LevelSetting},
    status::is_clean,
};
use crate::member::entry::Entry;
use md_core::{
    state::member::Member as MemberState,
    words::{
        array::MetadataVersion,
        ioctl::{ArrayInfo, DiskInfo, Version},
    },
};

/// The number an array without a level reports (`LEVEL_NONE`).
const LEVEL_NONE: i32 = -1_000_000;

impl Config {
    /// The answer to `GET_ARRAY_INFO`.
    pub(crate) fn array_info(&self) -> ArrayInfo {
        let (major_version, minor_version, not_persistent) = match self.metadata {
            MetadataVersion::None | MetadataVersion::External(_) => (0, 90, 1),
            MetadataVersion::V0 { minor } => (0, minor, 0),
            MetadataVersion::V1 { minor } => (1, minor, 0),
        };
        let faulty = self.count(|state| matches!(state, MemberState::Faulty { .. }));
        let in_sync = self.count(|state| matches!(state, MemberState::InSync(_)));
        let journals = self.count(|state| matches!(state, MemberState::Journal { .. }));
        let all = self.count(|_| true);
        let working = all.saturating_sub(faulty);
        ArrayInfo {
            major_version,
            minor_version: i32::try_from(minor_version).unwrap_or(i32::MAX),
            patch_version: Version::CURRENT.patchlevel,
            ctime: u32::try_from(self.ctime).unwrap_or(u32::MAX),
            level: match self.level {
                LevelSetting::Level(level) => level.number(),
                LevelSetting::Unset | LevelSetting::Text(_) => LEVEL_NONE,
            },
            // Larger members have their size in sysfs only.
            size: i32::try_from(self.component_size.to_kib()).unwrap_or(-1),
            nr_disks: all,
            raid_disks: i32::from(self.raid_disks),
            md_minor: i32::try_from(self.preferred_minor).unwrap_or(-1),
            not_persistent,
            utime: u32::try_from(self.utime).unwrap_or(u32::MAX),
            state: self.state_bits(),
            active_disks: in_sync,
            working_disks: working,
            failed_disks: faulty,
            spare_disks: working.saturating_sub(in_sync).saturating_sub(journals),
            layout: self.layout.now,
            chunk_size: i32::try_from(u64::from(self.chunk.now) << 9).unwrap_or(i32::MAX),
        }
    }

    fn state_bits(&self) -> i32 {
        let running = self.running.as_ref();
        let bit = |set: bool, bit: i32| if set { bit } else { 0 };
        bit(is_clean(self.state()), ArrayInfo::STATE_CLEAN)
            | bit(
                running.is_some_and(|running| running.bitmap.is_some()),
                ArrayInfo::STATE_BITMAP_PRESENT,
            )
    }

    fn count(&self, is: impl Fn(&MemberState) -> bool) -> i32 {
        let count = self.members.iter().filter(|entry| is(&entry.state)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// The answer to `GET_DISK_INFO` for a member.
    pub(super) fn disk_info_of(&self, entry: &Entry) -> DiskInfo {
        let mut state = match entry.state {
            MemberState::Faulty { .. } => DiskInfo::STATE_FAULTY,
            MemberState::InSync(_) => DiskInfo::STATE_ACTIVE | DiskInfo::STATE_SYNC,
            MemberState::Journal { .. } => DiskInfo::STATE_JOURNAL,
            MemberState::Spare { .. } | MemberState::Rebuilding { .. } => 0,
        };
        if entry.write_mostly {
            state |= DiskInfo::STATE_WRITE_MOSTLY;
        }
        if entry.failfast {
            state |= DiskInfo::STATE_FAIL_FAST;
        }
        let device = entry.device().number();
        DiskInfo {
            number: i32::try_from(entry.number.get()).unwrap_or(i32::MAX),
            major: i32::try_from(device.major()).unwrap_or(-1),
            minor: i32::try_from(device.minor()).unwrap_or(-1),
            raid_disk: entry.slot().map_or(-1, |slot| i32::from(slot.get())),
            state,
        }
    }
}
