// SPDX-License-Identifier: GPL-2.0

//! A verified view of a 0.90 superblock. The checks are those of `super_90_load`; and no number may lie outside the
//! table of descriptors, which C md indexes unchecked.

use core::fmt;
use core::num::NonZeroI32;

use zerocopy::FromBytes as _;

use super::raw::{fold, Raw, RawDisk};
use super::*;
use crate::format::bits::bit_set;
use crate::format::bounds::{settle, ReshapeBeyondEnd};
use crate::format::extents::{Claims, Extents, ExtentsError};
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::sb1::{
    BadBlocks, BitmapPlace, Clustering, CrashLog, DataPlace, Direction, JournalUse, Progress,
    Reshape, ResyncPoint, Role, Strays,
};
use crate::format::SB_MAGIC;
use crate::units::{Events, MemberNumber, SectorRange, Slot};

/// Superblock state: the array is in sync (`MD_SB_CLEAN`).
pub(super) const SB_CLEAN: u32 = 1 << 0;
/// Superblock state: the array belongs to a cluster (`MD_SB_CLUSTERED`).
const SB_CLUSTERED: u32 = 1 << 5;
/// Superblock state: a bitmap lies behind the superblock (`MD_SB_BITMAP_PRESENT`).
pub(super) const SB_BITMAP_PRESENT: u32 = 1 << 8;
/// The minor version of an array at rest.
pub(super) const MINOR_AT_REST: u32 = 90;
/// The minor version of an array that is being reshaped.
pub(super) const MINOR_RESHAPING: u32 = 91;

/// Why bytes are not a 0.90 superblock to use. C md answers `EINVAL` to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sb0Error {
    /// Fewer than 4096 bytes were given.
    BlockTooShort,
    /// The member is too short to have a superblock.
    DeviceTooShort(Sectors),
    /// No superblock: the magic number is another.
    Magic(u32),
    /// Written by a host of the other byte order.
    ForeignEndian,
    /// Neither 0.90 nor 0.91.
    Version {
        /// Before the dot.
        major: u32,
        /// Behind it.
        minor: u32,
    },
    /// Not 1 to 27 slots.
    RaidDisks(u32),
    /// A reshape from a number of slots that no array has.
    DeltaDisks(i32),
    /// The checksum does not match.
    Checksum {
        /// The one in the superblock.
        stored: u32,
        /// The one its bytes have.
        computed: u32,
    },
    /// The member's number has no descriptor.
    Number(u32),
    /// The member is shorter than the array uses.
    DataBeyondDevice,
    /// A reshape is at this sector, which the array does not have.
    ReshapePosition(Sector),
    /// The member has no room for data.
    Areas(ExtentsError),
}

impl fmt::Display for Sb0Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BlockTooShort => write!(f, "fewer than 4096 bytes"),
            Self::DeviceTooShort(len) => write!(f, "no room for a superblock in {len} sectors"),
            Self::Magic(magic) => write!(f, "no superblock: magic is {magic:#010x}"),
            Self::ForeignEndian => write!(f, "superblock of a host with the other byte order"),
            Self::Version { major, minor } => {
                write!(f, "version is {major}.{minor}, not 0.90 or 0.91")
            }
            Self::RaidDisks(n) => write!(f, "array of {n} slots"),
            Self::DeltaDisks(n) => write!(f, "reshape adds {n} slots, more than there are"),
            Self::Checksum { stored, computed } => {
                write!(f, "checksum is {computed:#010x}, stored {stored:#010x}")
            }
            Self::Number(number) => write!(f, "member number {number} has no descriptor"),
            Self::DataBeyondDevice => write!(f, "member is shorter than the array uses"),
            Self::ReshapePosition(at) => {
                write!(f, "reshape at sector {at}, behind the end of the array")
            }
            Self::Areas(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Sb0Error {}

/// The state bits of a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskState(u32);

impl DiskState {
    /// Failed.
    pub const FAULTY: Self = Self(1 << 0);
    /// Has a slot.
    pub const ACTIVE: Self = Self(1 << 1);
    /// In sync with it.
    pub const SYNC: Self = Self(1 << 2);
    /// There is no such device.
    pub const REMOVED: Self = Self(1 << 3);
    /// Read only when nothing else has the data.
    pub const WRITE_MOSTLY: Self = Self(1 << 9);
    /// Fail at the first error while others have the data.
    pub const FAILFAST: Self = Self(1 << 10);

    /// The bits `raw`.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

bit_set!(DiskState);

/// What a superblock says of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number, which is its place in the table unless the table is broken.
    pub number: MemberNumber,
    /// The device it was when the superblock was written.
    pub device: DeviceNumber,
    /// Its slot if it has one, else its number.
    pub raid_disk: u32,
    /// Its state.
    pub state: DiskState,
}

impl Descriptor {
    fn of(raw: &RawDisk) -> Self {
        Self {
            number: MemberNumber::new(raw.number.get()),
            device: DeviceNumber {
                major: raw.major.get(),
                minor: raw.minor.get(),
            },
            raid_disk: raw.raid_disk.get(),
            state: DiskState::from_raw(raw.state.get()),
        }
    }

    /// Its role. A device that has a slot without being in sync keeps it only while a reshape is under way, which is
    /// also how far it is then taken to be rebuilt: not at all.
    fn role(self, reshaping: bool) -> Role {
        let in_slot = self.state.contains(DiskState::SYNC)
            || (reshaping && self.state.contains(DiskState::ACTIVE));
        match u16::try_from(self.raid_disk) {
            _ if self.state.contains(DiskState::FAULTY) => Role::Faulty,
            Ok(slot) if in_slot && slot < DEVICES_MAX => Role::Active(Slot::new(slot)),
            _ => Role::Spare,
        }
    }
}

/// How many devices there are of each kind, as a superblock counts them. Nothing depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// Members that are there.
    pub all: u32,
    /// Those in a slot.
    pub active: u32,
    /// Those that have not failed.
    pub working: u32,
    /// Those that have, and slots without a member.
    pub failed: u32,
    /// Those without a slot.
    pub spare: u32,
}

/// A superblock that passed every check, still in the bytes it was read into.
#[derive(Clone, Copy)]
pub struct Sb0<'a> {
    raw: &'a Raw,
    own: &'a RawDisk,
    array: ArrayState,
    member: MemberState,
    strays: Strays,
    range: SectorRange,
    extents: Extents,
}

impl<'a> Sb0<'a> {
    /// Checks the first 4096 of `bytes`, read from where [`superblock`] says on a member of `device` sectors.
    pub fn parse(bytes: &'a [u8], device: Sectors) -> Result<Self, Sb0Error> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Sb0Error::BlockTooShort)?;
        let range =
            superblock(device).and_then(|start| SectorRange::new(start, SUPERBLOCK_SECTORS));
        let range = range.ok_or(Sb0Error::DeviceTooShort(device))?;
        check_header(raw)?;
        let number = raw.this_disk.number.get();
        let own = usize::try_from(number)
            .ok()
            .and_then(|index| raw.disks.get(index));
        let own = own.ok_or(Sb0Error::Number(number))?;
        let mut array = array_state(raw)?;
        let mut member = member_state(raw, own, range.start())?;
        let strays = settle(&mut array, &mut member)
            .map_err(|ReshapeBeyondEnd(at)| Sb0Error::ReshapePosition(at))?;
        let extents = Extents::verify(Claims {
            device,
            superblock: range,
            array: &array,
            member: &member,
            log: None,
        });
        Ok(Self {
            raw,
            own,
            array,
            member,
            strays,
            range,
            extents: extents.map_err(Sb0Error::Areas)?,
        })
    }

    /// Where everything on the member lies.
    pub fn extents(&self) -> Extents {
        self.extents
    }

    /// What it had stored that reaches too far.
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// The name of the array.
    pub fn set_uuid(&self) -> Uuid {
        Uuid::new(self.raw.uuid())
    }

    /// When the array was made.
    pub fn created(&self) -> SbTime {
        SbTime::from_raw(u64::from(self.raw.ctime.get()))
    }

    /// 90, or 91 while a reshape is under way.
    pub fn minor_version(&self) -> u32 {
        self.raw.minor_version.get()
    }

    /// The version's last part, which nothing uses.
    pub fn patch_version(&self) -> u32 {
        self.raw.patch_version.get()
    }

    /// The number of the block device the array likes to have (`md_minor`).
    pub fn preferred_minor(&self) -> u32 {
        self.raw.md_minor.get()
    }

    /// What it says of the array.
    pub fn array(&self) -> &ArrayState {
        &self.array
    }

    /// What it says of this member.
    pub fn member(&self) -> &MemberState {
        &self.member
    }

    /// This member's number.
    pub fn number(&self) -> MemberNumber {
        MemberNumber::new(self.raw.this_disk.number.get())
    }

    /// This member's role.
    pub fn role(&self) -> Role {
        Descriptor::of(self.own).role(self.minor_version() >= MINOR_RESHAPING)
    }

    /// The role this superblock gives to the member `number`, or `None` when it has no descriptor.
    pub fn role_of(&self, number: MemberNumber) -> Option<Role> {
        let disk = self.raw.disks.get(usize::try_from(number.get()).ok()?)?;
        Some(Descriptor::of(disk).role(self.minor_version() >= MINOR_RESHAPING))
    }

    /// The sectors the superblock takes.
    pub fn range(&self) -> SectorRange {
        self.range
    }

    /// Whether this member must be as recent as the array: it has a slot, in sync or not.
    pub fn needs_events(&self) -> bool {
        Descriptor::of(self.own)
            .state
            .intersects(DiskState::SYNC.with(DiskState::ACTIVE))
    }

    /// The descriptor of this member, that of its number in the table: what it is.
    pub fn own(&self) -> Descriptor {
        Descriptor::of(self.own)
    }

    /// What this member's superblock has as its own descriptor besides; of that only the number counts.
    pub fn stored_own(&self) -> Descriptor {
        Descriptor::of(&self.raw.this_disk)
    }

    /// Every descriptor.
    pub fn descriptors(&self) -> impl Iterator<Item = Descriptor> + 'a {
        self.raw.disks.iter().map(Descriptor::of)
    }

    /// What the superblock counts of its devices.
    pub fn counts(&self) -> DeviceCounts {
        let raw = self.raw;
        DeviceCounts {
            all: raw.nr_disks.get(),
            active: raw.active_disks.get(),
            working: raw.working_disks.get(),
            failed: raw.failed_disks.get(),
            spare: raw.spare_disks.get(),
        }
    }

    /// The checksum.
    pub fn checksum(&self) -> u32 {
        self.raw.sb_csum.get()
    }

    /// Whether all that never changes in an array is the same in both superblocks: the first 32 words but `nr_disks`
    /// (`md_sb_equal`).
    pub fn same_array(&self, other: &Sb0<'_>) -> bool {
        let constant = |raw: &'_ Raw| {
            let numbers = [
                raw.magic,
                raw.major_version,
                raw.minor_version,
                raw.patch_version,
                raw.gvalid_words,
                raw.ctime,
                raw.level,
                raw.size,
                raw.raid_disks,
                raw.md_minor,
                raw.not_persistent,
            ];
            (numbers, raw.uuid(), raw.gstate_creserved)
        };
        constant(self.raw) == constant(other.raw)
    }
}

fn check_header(raw: &Raw) -> Result<(), Sb0Error> {
    match raw.magic.get() {
        SB_MAGIC => {}
        magic if magic == SB_MAGIC.swap_bytes() => return Err(Sb0Error::ForeignEndian),
        magic => return Err(Sb0Error::Magic(magic)),
    }
    let (major, minor) = (raw.major_version.get(), raw.minor_version.get());
    if major != 0 || !(MINOR_AT_REST..=MINOR_RESHAPING).contains(&minor) {
        return Err(Sb0Error::Version { major, minor });
    }
    let (stored, computed) = (raw.sb_csum.get(), raw.checksum());
    if fold(stored) != fold(computed) {
        return Err(Sb0Error::Checksum { stored, computed });
    }
    Ok(())
}

fn signed(word: u32) -> i32 {
    i32::from_ne_bytes(word.to_ne_bytes())
}

fn chunk(bytes: u32) -> Sectors {
    Sectors::new(u64::from(bytes >> 9))
}

fn array_state(raw: &Raw) -> Result<ArrayState, Sb0Error> {
    let stored = raw.raid_disks.get();
    let raid_disks = u16::try_from(stored)
        .ok()
        .filter(|n| (1..=DEVICES_MAX).contains(n));
    let raid_disks = raid_disks.ok_or(Sb0Error::RaidDisks(stored))?;
    let level = Level::from_number(signed(raw.level.get()));
    let clustered = raw.state.get() & SB_CLUSTERED != 0;
    Ok(ArrayState {
        updated: SbTime::from_raw(u64::from(raw.utime.get())),
        events: Events::new(raw.events.get()),
        resync: resync(raw),
        level,
        layout: (level != Level::Raid0).then_some(raw.layout.get()),
        chunk: chunk(raw.chunk_size.get()),
        member_size: used_size(raw),
        raid_disks,
        block_size: None,
        reshape: reshape(raw, raid_disks)?,
        journal: JournalUse::Without,
        clustering: if clustered {
            Clustering::Clustered
        } else {
            Clustering::Single
        },
    })
}

/// The used length of a member, two sectors to a KiB.
fn used_size(raw: &Raw) -> Sectors {
    Sectors::new(2 * u64::from(raw.size.get()))
}

fn resync(raw: &Raw) -> ResyncPoint {
    if raw.state.get() & SB_CLEAN != 0 {
        ResyncPoint::Done
    } else if raw.events.get() == raw.cp_events.get() {
        ResyncPoint::From(Sector::new(u64::from(raw.recovery_cp.get())))
    } else {
        // The checkpoint is older than the superblock: something was written since.
        ResyncPoint::From(Sector::ZERO)
    }
}

fn reshape(raw: &Raw, raid_disks: u16) -> Result<Option<Reshape>, Sb0Error> {
    if raw.minor_version.get() < MINOR_RESHAPING || raw.reshape_position.get() == u64::MAX {
        return Ok(None);
    }
    let delta_disks = signed(raw.delta_disks.get());
    let old_disks = i32::from(raid_disks).checked_sub(delta_disks);
    if !old_disks.is_some_and(|n| (1..=i32::from(DEVICES_MAX)).contains(&n)) {
        return Err(Sb0Error::DeltaDisks(delta_disks));
    }
    Ok(Some(Reshape {
        position: Sector::new(raw.reshape_position.get()),
        delta_disks,
        new_level: Level::from_number(signed(raw.new_level.get())),
        new_layout: raw.new_layout.get(),
        new_chunk: chunk(raw.new_chunk.get()),
        direction: if delta_disks < 0 {
            Direction::Backwards
        } else {
            Direction::Forwards
        },
    }))
}

fn member_state(raw: &Raw, own: &RawDisk, start: Sector) -> Result<MemberState, Sb0Error> {
    let mut size = Sectors::new(start.get());
    if raw.level.get() != 0 {
        size = size.min(DATA_SECTORS_MAX);
        if size < used_size(raw) {
            return Err(Sb0Error::DataBeyondDevice);
        }
    }
    let own = Descriptor::of(own);
    let reshaping = raw.minor_version.get() >= MINOR_RESHAPING;
    let settled =
        own.state.contains(DiskState::SYNC) || !reshaping || !own.state.contains(DiskState::ACTIVE);
    let has_bitmap = raw.state.get() & SB_BITMAP_PRESENT != 0;
    let bitmap = start
        .checked_offset(i64::from(BITMAP_OFFSET))
        .zip(NonZeroI32::new(BITMAP_OFFSET));
    Ok(MemberState {
        superblock: start,
        data: DataPlace::at_rest(Sector::ZERO, size),
        progress: if settled {
            Progress::Settled
        } else {
            Progress::Recovering {
                upto: Sectors::ZERO,
            }
        },
        replacement: false,
        write_mostly: own.state.contains(DiskState::WRITE_MOSTLY),
        failfast: own.state.contains(DiskState::FAILFAST),
        corrected_reads: 0,
        crash_log: match bitmap {
            Some((start, offset)) if has_bitmap => CrashLog::Bitmap(BitmapPlace { offset, start }),
            _ => CrashLog::None,
        },
        bad_blocks: BadBlocks::Unrecorded,
    })
}
