// SPDX-License-Identifier: GPL-2.0

//! The ioctls of `<linux/raid/md_u.h>`: numbers, what each needs, and the structures they carry.
//!
//! The structures hold native C `int`s, so the same layout serves 32-bit callers.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An ioctl the driver answers. Every other number gets `ENOTTY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ioctl {
    /// Version of the interface; "is this md?".
    RaidVersion,
    /// State of the array: [`ArrayInfo`].
    GetArrayInfo,
    /// State of one member: [`DiskInfo`].
    GetDiskInfo,
    /// Path of the bitmap file, 4096 bytes.
    GetBitmapFile,
    /// Add a member: [`DiskInfo`].
    AddNewDisk,
    /// Remove a member; the argument is its device number.
    HotRemoveDisk,
    /// Configure, or change, the array: [`ArrayInfo`] or a null pointer.
    SetArrayInfo,
    /// Add a spare to an array with 0.90 superblocks; the argument is its device number.
    HotAddDisk,
    /// Fail a member; the argument is its device number.
    SetDiskFaulty,
    /// Add or remove a bitmap file; the argument is a file descriptor or -1.
    SetBitmapFile,
    /// Start the array. The argument is ignored.
    RunArray,
    /// Stop the array and forget it.
    StopArray,
    /// Make the array read-only.
    StopArrayRo,
    /// Make the array writable.
    RestartArrayRw,
    /// A clustered member is not there.
    ClusteredDiskNack,
}

/// Which protection an ioctl runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// None: a snapshot of what is there.
    Nothing,
    /// The configuration lock.
    Lock,
    /// All I/O held back, and the configuration lock.
    SuspendAndLock,
}

/// Who may use an ioctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Anyone who can open the device.
    Anyone,
    /// `CAP_SYS_ADMIN`, else `EACCES` (not `EPERM`).
    Admin,
}

/// What an ioctl does on an array without raid_disks and without external metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfigured {
    /// It is carried out.
    Allowed,
    /// `ENODEV`.
    NoDevice,
}

/// What an ioctl does on a running read-only array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenReadOnly {
    /// It is carried out.
    Allowed,
    /// Only to bring back a member that has data (`MD_DISK_SYNC`); otherwise as [`Self::NeedsWritable`].
    OnlyReAdd,
    /// `EROFS`; an array that is read-only until its first write becomes writable first.
    NeedsWritable,
}

impl Ioctl {
    /// Every ioctl there is.
    pub const ALL: [Self; 15] = [
        Self::RaidVersion,
        Self::GetArrayInfo,
        Self::GetDiskInfo,
        Self::GetBitmapFile,
        Self::AddNewDisk,
        Self::HotRemoveDisk,
        Self::SetArrayInfo,
        Self::HotAddDisk,
        Self::SetDiskFaulty,
        Self::SetBitmapFile,
        Self::RunArray,
        Self::StopArray,
        Self::StopArrayRo,
        Self::RestartArrayRw,
        Self::ClusteredDiskNack,
    ];

    /// The command number (`_IO*(MD_MAJOR, ...)`).
    pub const fn number(self) -> u32 {
        match self {
            Self::RaidVersion => 0x800c_0910,
            Self::GetArrayInfo => 0x8048_0911,
            Self::GetDiskInfo => 0x8014_0912,
            Self::GetBitmapFile => 0x9000_0915,
            Self::AddNewDisk => 0x4014_0921,
            Self::HotRemoveDisk => 0x0922,
            Self::SetArrayInfo => 0x4048_0923,
            Self::HotAddDisk => 0x0928,
            Self::SetDiskFaulty => 0x0929,
            Self::SetBitmapFile => 0x4004_092b,
            Self::RunArray => 0x400c_0930,
            Self::StopArray => 0x0932,
            Self::StopArrayRo => 0x0933,
            Self::RestartArrayRw => 0x0934,
            Self::ClusteredDiskNack => 0x0935,
        }
    }

    /// The ioctl with this command number; `None` is `ENOTTY`.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|ioctl| ioctl.number() == number)
    }

    /// Who may use it. Checked before anything else.
    pub const fn privilege(self) -> Privilege {
        match self {
            Self::RaidVersion | Self::GetArrayInfo | Self::GetDiskInfo => Privilege::Anyone,
            _ => Privilege::Admin,
        }
    }

    /// Which protection it runs under.
    pub const fn protection(self) -> Protection {
        match self {
            Self::RaidVersion
            | Self::GetArrayInfo
            | Self::GetDiskInfo
            | Self::GetBitmapFile
            | Self::SetDiskFaulty => Protection::Nothing,
            Self::AddNewDisk
            | Self::HotAddDisk
            | Self::HotRemoveDisk
            | Self::SetArrayInfo
            | Self::SetBitmapFile => Protection::SuspendAndLock,
            Self::RunArray
            | Self::StopArray
            | Self::StopArrayRo
            | Self::RestartArrayRw
            | Self::ClusteredDiskNack => Protection::Lock,
        }
    }

    /// What it does on an array that is not configured.
    pub const fn unconfigured(self) -> Unconfigured {
        match self {
            Self::RaidVersion
            | Self::GetBitmapFile
            | Self::SetDiskFaulty
            | Self::SetArrayInfo
            | Self::AddNewDisk
            | Self::StopArray
            | Self::RunArray
            | Self::SetBitmapFile => Unconfigured::Allowed,
            Self::GetArrayInfo
            | Self::GetDiskInfo
            | Self::HotRemoveDisk
            | Self::HotAddDisk
            | Self::StopArrayRo
            | Self::RestartArrayRw
            | Self::ClusteredDiskNack => Unconfigured::NoDevice,
        }
    }

    /// What it does on a running read-only array.
    pub const fn when_read_only(self) -> WhenReadOnly {
        match self {
            Self::AddNewDisk => WhenReadOnly::OnlyReAdd,
            Self::HotAddDisk | Self::RunArray | Self::SetBitmapFile | Self::ClusteredDiskNack => {
                WhenReadOnly::NeedsWritable
            }
            _ => WhenReadOnly::Allowed,
        }
    }

    /// Whether other openers of the disk are in the way (`EBUSY`): the page cache is written back first and nobody may
    /// open the disk meanwhile.
    pub const fn closes_disk(self) -> bool {
        matches!(self, Self::StopArray | Self::StopArrayRo)
    }

    /// Whether the argument is a number and not a pointer, hence not to be converted for 32-bit callers.
    pub const fn argument_is_number(self) -> bool {
        matches!(
            self,
            Self::HotRemoveDisk | Self::HotAddDisk | Self::SetDiskFaulty | Self::SetBitmapFile
        )
    }
}

/// `mdu_version_t`, 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Version {
    /// 0.
    pub major: i32,
    /// 90.
    pub minor: i32,
    /// 3: 1.x superblocks, internal bitmaps, little-endian bitmap superblocks.
    pub patchlevel: i32,
}

impl Version {
    /// The version of this interface.
    pub const CURRENT: Self = Self {
        major: 0,
        minor: 90,
        patchlevel: 3,
    };
}

/// `mdu_array_info_t`, 72 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ArrayInfo {
    /// Superblock format, 0 or 1.
    pub major_version: i32,
    /// Its variant.
    pub minor_version: i32,
    /// [`Version::patchlevel`].
    pub patch_version: i32,
    /// Time of creation, seconds since 1970, stopped at the largest.
    pub ctime: u32,
    /// Level number.
    pub level: i32,
    /// Used size of a member in KiB; -1 when it does not fit.
    pub size: i32,
    /// Members of any kind.
    pub nr_disks: i32,
    /// Slots.
    pub raid_disks: i32,
    /// Minor number of the array.
    pub md_minor: i32,
    /// 1 when the driver keeps no superblocks.
    pub not_persistent: i32,
    /// Time of the last superblock write, as `ctime`.
    pub utime: u32,
    /// `STATE_*` bits.
    pub state: i32,
    /// Members in sync.
    pub active_disks: i32,
    /// Members not failed.
    pub working_disks: i32,
    /// Members failed.
    pub failed_disks: i32,
    /// Members neither failed, nor in sync, nor a journal.
    pub spare_disks: i32,
    /// Layout number.
    pub layout: i32,
    /// Chunk in bytes.
    pub chunk_size: i32,
}

impl ArrayInfo {
    /// Bit of [`Self::state`]: nothing unwritten (`MD_SB_CLEAN`).
    pub const STATE_CLEAN: i32 = 1;
    /// Bit of [`Self::state`]: there are nodes (`MD_SB_CLUSTERED`).
    pub const STATE_CLUSTERED: i32 = 1 << 5;
    /// Bit of [`Self::state`]: there is a bitmap on the members (`MD_SB_BITMAP_PRESENT`).
    pub const STATE_BITMAP_PRESENT: i32 = 1 << 8;
}

/// What `SET_ARRAY_INFO` asks of a running array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoChange {
    /// Nothing differs.
    Nothing,
    /// What is used of each member, in KiB; zero for all there is.
    Size(u32),
    /// Another number of slots.
    RaidDisks(i32),
    /// Another layout.
    Layout(i32),
    /// A bitmap on the members, or none any more.
    Bitmap {
        /// Whether there is to be one.
        present: bool,
    },
}

/// More than one thing differs, or one that cannot change. C md: `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOneChange;

impl ArrayInfo {
    /// The change that leads from what a running array says of itself to `wanted`. What the counts and the low bits of
    /// the state say is not looked at.
    ///
    /// # Errors
    ///
    /// [`NotOneChange`].
    pub fn change_to(&self, wanted: &Self) -> Result<InfoChange, NotOneChange> {
        let chunk = |info: &Self| info.chunk_size >> 9;
        let fixed = |info: &Self| {
            (
                info.major_version,
                info.minor_version,
                info.ctime,
                info.level,
                info.not_persistent == 0,
                info.state & !0x1ff,
            )
        };
        if fixed(self) != fixed(wanted) || chunk(self) != chunk(wanted) {
            return Err(NotOneChange);
        }
        let bitmap = |info: &Self| info.state & Self::STATE_BITMAP_PRESENT != 0;
        // A size that does not fit is -1 and says nothing.
        let size = u32::try_from(wanted.size).ok();
        let changes = [
            size.filter(|_| self.size != wanted.size)
                .map(InfoChange::Size),
            (self.raid_disks != wanted.raid_disks)
                .then_some(InfoChange::RaidDisks(wanted.raid_disks)),
            (self.layout != wanted.layout).then_some(InfoChange::Layout(wanted.layout)),
            (bitmap(self) != bitmap(wanted)).then_some(InfoChange::Bitmap {
                present: bitmap(wanted),
            }),
        ];
        let mut changes = changes.into_iter().flatten();
        match (changes.next(), changes.next()) {
            (None, _) => Ok(InfoChange::Nothing),
            (Some(change), None) => Ok(change),
            (Some(_), Some(_)) => Err(NotOneChange),
        }
    }
}

/// `mdu_disk_info_t`, 20 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DiskInfo {
    /// The member's number in the superblock; the key of `GET_DISK_INFO`.
    pub number: i32,
    /// Major number of its device.
    pub major: i32,
    /// Minor number of its device.
    pub minor: i32,
    /// Its slot, or -1.
    pub raid_disk: i32,
    /// `STATE_*` bits.
    pub state: i32,
}

impl DiskInfo {
    /// Bit of [`Self::state`]: failed (`MD_DISK_FAULTY`).
    pub const STATE_FAULTY: i32 = 1;
    /// Bit of [`Self::state`]: has a slot and is in use (`MD_DISK_ACTIVE`).
    pub const STATE_ACTIVE: i32 = 1 << 1;
    /// Bit of [`Self::state`]: holds current data (`MD_DISK_SYNC`).
    pub const STATE_SYNC: i32 = 1 << 2;
    /// Bit of [`Self::state`]: there is no such member (`MD_DISK_REMOVED`).
    pub const STATE_REMOVED: i32 = 1 << 3;
    /// Bit of [`Self::state`]: a clustered member to be confirmed (`MD_DISK_CLUSTER_ADD`).
    pub const STATE_CLUSTER_ADD: i32 = 1 << 4;
    /// Bit of [`Self::state`]: a candidate of a cluster (`MD_DISK_CANDIDATE`).
    pub const STATE_CANDIDATE: i32 = 1 << 5;
    /// Bit of [`Self::state`]: not to be read if anything else can be (`MD_DISK_WRITEMOSTLY`).
    pub const STATE_WRITE_MOSTLY: i32 = 1 << 9;
    /// Bit of [`Self::state`]: its device is not to retry (`MD_DISK_FAILFAST`).
    pub const STATE_FAIL_FAST: i32 = 1 << 10;
    /// Bit of [`Self::state`]: the write journal (`MD_DISK_JOURNAL`).
    pub const STATE_JOURNAL: i32 = 1 << 18;

    /// The answer to a `number` no member has. It is no error.
    pub const fn absent(number: i32) -> Self {
        Self {
            number,
            major: 0,
            minor: 0,
            raid_disk: -1,
            state: Self::STATE_REMOVED,
        }
    }
}

// The layout of the interface.
const _: () = assert!(size_of::<Version>() == 12);
const _: () = assert!(size_of::<ArrayInfo>() == 72);
const _: () = assert!(size_of::<DiskInfo>() == 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_may_change() {
        let now = ArrayInfo {
            major_version: 1,
            minor_version: 2,
            ctime: 7,
            level: 1,
            size: 1000,
            raid_disks: 2,
            chunk_size: 0,
            state: ArrayInfo::STATE_CLEAN,
            utime: 9,
            ..ArrayInfo::default()
        };
        let change = |to: fn(&mut ArrayInfo)| {
            let mut wanted = now;
            to(&mut wanted);
            now.change_to(&wanted)
        };
        assert_eq!(change(|_| {}), Ok(InfoChange::Nothing));
        assert_eq!(
            change(|info| (info.state, info.utime, info.nr_disks) = (0, 0, 5)),
            Ok(InfoChange::Nothing)
        );
        assert_eq!(change(|info| info.size = 0), Ok(InfoChange::Size(0)));
        assert_eq!(change(|info| info.size = -1), Ok(InfoChange::Nothing));
        assert_eq!(
            change(|info| info.raid_disks = -3),
            Ok(InfoChange::RaidDisks(-3))
        );
        assert_eq!(change(|info| info.layout = 4), Ok(InfoChange::Layout(4)));
        assert_eq!(
            change(|info| info.state |= ArrayInfo::STATE_BITMAP_PRESENT),
            Ok(InfoChange::Bitmap { present: true })
        );
        let refused: [fn(&mut ArrayInfo); 8] = [
            |info| (info.size, info.raid_disks) = (0, 3),
            |info| (info.layout, info.raid_disks) = (1, 3),
            |info| info.level = 5,
            |info| info.ctime = 8,
            |info| info.minor_version = 1,
            |info| info.not_persistent = 1,
            |info| info.chunk_size = 4096,
            |info| info.state |= 1 << 9,
        ];
        for to in refused {
            assert_eq!(change(to), Err(NotOneChange));
        }
    }

    #[test]
    fn numbers_are_unique_and_carry_the_size_of_their_structure() {
        for ioctl in Ioctl::ALL {
            assert_eq!(Ioctl::from_number(ioctl.number()), Some(ioctl));
            assert_eq!(ioctl.number() >> 8 & 0xff, 9);
        }
        let size = |ioctl: Ioctl| usize::try_from(ioctl.number() >> 16 & 0x3fff).expect("14 bits");
        assert_eq!(size(Ioctl::RaidVersion), size_of::<Version>());
        assert_eq!(size(Ioctl::GetArrayInfo), size_of::<ArrayInfo>());
        assert_eq!(size(Ioctl::SetArrayInfo), size_of::<ArrayInfo>());
        assert_eq!(size(Ioctl::GetDiskInfo), size_of::<DiskInfo>());
        assert_eq!(size(Ioctl::AddNewDisk), size_of::<DiskInfo>());
        assert_eq!(size(Ioctl::GetBitmapFile), 4096);
        // An `int`, and a structure nobody reads.
        assert_eq!(size(Ioctl::SetBitmapFile), 4);
        assert_eq!(size(Ioctl::RunArray), 12);
    }

    #[test]
    fn retired_ioctls_are_refused() {
        // RAID_AUTORUN, CLEAR_ARRAY, SET_DISK_INFO, WRITE_RAID_INFO, (UN)PROTECT_ARRAY, HOT_GENERATE_ERROR.
        for number in [
            0x0914,
            0x0920,
            0x0924,
            0x0925,
            0x0926,
            0x0927,
            0x092a,
            0,
            u32::MAX,
        ] {
            assert_eq!(Ioctl::from_number(number), None);
        }
    }

    #[test]
    fn needs_are_those_of_md_ioctl() {
        use Ioctl::*;
        let with = |want: fn(Ioctl) -> bool| {
            Ioctl::ALL
                .into_iter()
                .filter(|one| want(*one))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            with(|one| one.protection() == Protection::SuspendAndLock),
            [
                AddNewDisk,
                HotRemoveDisk,
                SetArrayInfo,
                HotAddDisk,
                SetBitmapFile
            ]
        );
        assert_eq!(
            with(|one| one.protection() == Protection::Nothing),
            [
                RaidVersion,
                GetArrayInfo,
                GetDiskInfo,
                GetBitmapFile,
                SetDiskFaulty
            ]
        );
        assert_eq!(
            with(|one| one.unconfigured() == Unconfigured::NoDevice),
            [
                GetArrayInfo,
                GetDiskInfo,
                HotRemoveDisk,
                HotAddDisk,
                StopArrayRo,
                RestartArrayRw,
                ClusteredDiskNack
            ]
        );
        assert_eq!(
            with(|one| one.when_read_only() == WhenReadOnly::NeedsWritable),
            [HotAddDisk, SetBitmapFile, RunArray, ClusteredDiskNack]
        );
        assert_eq!(with(Ioctl::closes_disk), [StopArray, StopArrayRo]);
        assert_eq!(
            with(Ioctl::argument_is_number),
            [HotRemoveDisk, HotAddDisk, SetDiskFaulty, SetBitmapFile]
        );
    }

    #[test]
    fn three_ioctls_are_for_anyone() {
        let anyone = |ioctl: &&Ioctl| ioctl.privilege() == Privilege::Anyone;
        assert_eq!(Ioctl::ALL.iter().filter(anyone).count(), 3);
    }
}
