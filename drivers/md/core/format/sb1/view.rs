// SPDX-License-Identifier: GPL-2.0

//! A verified view of a 1.x superblock. The checks are those of `super_1_load` and of the first `super_1_validate`,
//! and some that C md leaves out: every place named must lie on the member and keep out of the others' way, every
//! position must be one that there is, and every count must be one an array has.

use core::num::NonZeroI32;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::FromBytes as _;

use super::raw::{checksum, Raw};
use super::values::*;
use super::{written_bytes, Device, MinorVersion, Sb1Error};
use super::{BAD_BLOCK_LOG_SECTORS_MAX, BLOCK_BYTES, HEADER_BYTES, MAX_DEVICES};
use crate::format::bounds::{settle, ReshapeBeyondEnd};
use crate::format::extents::{Claims, Extents, ExtentsError};
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::ppl;
use crate::format::{BlockSize, NewFeatures, SB_MAGIC};
use crate::units::{Events, MemberNumber, Sector, SectorRange, Sectors};

/// `devflags`: read only when nothing else has the data.
pub(super) const WRITE_MOSTLY: u8 = 1;
/// `devflags`: fail at the first error while others have the data.
pub(super) const FAILFAST: u8 = 2;
/// What `resync_offset` holds when there is nothing to resync.
pub(super) const IN_SYNC: u64 = u64::MAX;
/// The shortest `data_size`.
const DATA_SECTORS_MIN: Sectors = Sectors::new(10);

/// Nobody has looked whether the areas that a superblock names overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unplaced;

/// A superblock that passed every check, still in the bytes it was read into. `Sb1<Unplaced>` passed all but the last:
/// that the areas which it names keep out of each other's way.
#[derive(Clone, Copy)]
pub struct Sb1<'a, A = Extents> {
    content: Content<'a>,
    areas: A,
}

/// What it says, and where it lies.
#[derive(Clone, Copy)]
struct Content<'a> {
    raw: &'a Raw,
    roles: &'a [U16],
    minor: MinorVersion,
    features: Features,
    array: ArrayState,
    member: MemberState,
    strays: Strays,
    bad_block_log: Option<BadBlockLog>,
    range: SectorRange,
    device: Sectors,
}

impl<'a> Sb1<'a> {
    /// Checks the first 4096 of `bytes`, read from where a 1.`minor` superblock lies on `device`.
    pub fn parse(
        bytes: &'a [u8],
        minor: MinorVersion,
        device: Device,
        new: NewFeatures,
    ) -> Result<Self, Sb1Error> {
        Sb1::read(bytes, minor, device, new)?
            .place()
            .map_err(Sb1Error::Areas)
    }

    /// Where everything on the member lies.
    pub fn extents(&self) -> Extents {
        self.areas
    }
}

impl<'a> Sb1<'a, Unplaced> {
    /// As [`Sb1::parse`], but for the areas.
    pub fn read(
        bytes: &'a [u8],
        minor: MinorVersion,
        device: Device,
        new: NewFeatures,
    ) -> Result<Self, Sb1Error> {
        let block = bytes
            .first_chunk::<BLOCK_BYTES>()
            .ok_or(Sb1Error::BlockTooShort)?;
        let superblock = minor
            .superblock(device.sectors)
            .ok_or(Sb1Error::DeviceTooShort(device.sectors))?;
        let (raw, roles, max_dev) = split(block)?;
        let features = check_header(raw, superblock)?;
        check_bytes(block, raw, max_dev, new)?;
        let range = range_of(superblock, max_dev, device)?;
        let here = Here {
            minor,
            device,
            superblock,
            end: range.end(),
        };
        let mut array = array_state(raw, features)?;
        check_combinations(features, array.level)?;
        let bad_block_log = bad_block_log(raw, features, here)?;
        // What ended moves nothing any more.
        let moves = if array.reshape.is_some() {
            features
        } else {
            features.without(Features::NEW_OFFSET)
        };
        let mut member = member_state(raw, moves, own_role(raw, roles), here)?;
        let strays = settle(&mut array, &mut member)
            .map_err(|ReshapeBeyondEnd(at)| Sb1Error::ReshapePosition(at))?;
        Ok(Self {
            content: Content {
                raw,
                roles,
                minor,
                features,
                array,
                member,
                strays,
                bad_block_log,
                range,
                device: device.sectors,
            },
            areas: Unplaced,
        })
    }

    /// The same, verified.
    ///
    /// # Errors
    ///
    /// Two of the areas that it names overlap.
    pub fn place(self) -> Result<Sb1<'a>, ExtentsError> {
        let content = self.content;
        let areas = Extents::verify(Claims {
            device: content.device,
            superblock: content.range,
            array: &content.array,
            member: &content.member,
            log: content.bad_block_log,
        })?;
        Ok(Sb1 { content, areas })
    }
}

impl<'a, A> Sb1<'a, A> {
    /// Where it lies, as the version says it.
    pub fn minor_version(&self) -> MinorVersion {
        self.content.minor
    }

    /// The feature map.
    pub fn features(&self) -> Features {
        self.content.features
    }

    /// The name of the array; the same on all members.
    pub fn set_uuid(&self) -> Uuid {
        Uuid::new(self.content.raw.set_uuid)
    }

    /// The name given to the array for people, usually `host:name`, up to its first zero byte.
    pub fn set_name(&self) -> &'a [u8] {
        self.content
            .raw
            .set_name
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
    }

    /// When the array was made.
    pub fn created(&self) -> SbTime {
        SbTime::from_raw(self.content.raw.ctime.get())
    }

    /// What it says of the array.
    pub fn array(&self) -> &ArrayState {
        &self.content.array
    }

    /// What it says of this member.
    pub fn member(&self) -> &MemberState {
        &self.content.member
    }

    /// The name of this member; the driver only keeps it.
    pub fn device_uuid(&self) -> Uuid {
        Uuid::new(self.content.raw.device_uuid)
    }

    /// This member's number in the table of roles, or `None` when the table does not reach it: a spare.
    pub fn number(&self) -> Option<MemberNumber> {
        let number = MemberNumber::new(self.content.raw.dev_number.get());
        self.role_entry(number).map(|_| number)
    }

    /// The number as stored, in the table or not.
    pub fn stored_number(&self) -> MemberNumber {
        MemberNumber::new(self.content.raw.dev_number.get())
    }

    /// This member's role.
    pub fn role(&self) -> Role {
        own_role(self.content.raw, self.content.roles)
    }

    /// The role this superblock gives to the member `number`, or `None` beyond its table.
    pub fn role_of(&self, number: MemberNumber) -> Option<Role> {
        self.role_entry(number)
    }

    /// Every entry of the table of roles, with its number.
    pub fn roles(&self) -> impl Iterator<Item = (MemberNumber, Role)> + Clone + 'a {
        (0..).map(MemberNumber::new).zip(
            self.content
                .roles
                .iter()
                .map(|raw| Role::from_raw(raw.get())),
        )
    }

    /// How many entries the table has (`max_dev`).
    pub fn max_dev(&self) -> u16 {
        // By construction no table is longer than `MAX_DEVICES`.
        u16::try_from(self.content.roles.len()).unwrap_or(MAX_DEVICES)
    }

    /// What it had stored that reaches too far.
    pub fn strays(&self) -> Strays {
        self.content.strays
    }

    /// The checksum.
    pub fn checksum(&self) -> u32 {
        self.content.raw.sb_csum.get()
    }

    /// The sectors the superblock takes: whole logical blocks of the member.
    pub fn range(&self) -> SectorRange {
        self.content.range
    }

    fn role_entry(&self, number: MemberNumber) -> Option<Role> {
        let entry = self
            .content
            .roles
            .get(usize::try_from(number.get()).ok()?)?;
        Some(Role::from_raw(entry.get()))
    }
}

/// The member a superblock lies on, and where.
#[derive(Clone, Copy)]
struct Here {
    minor: MinorVersion,
    device: Device,
    superblock: Sector,
    /// First sector behind the superblock.
    end: Sector,
}

/// Bytes as header and table of roles, the table cut at `max_dev`.
fn split(block: &[u8; BLOCK_BYTES]) -> Result<(&Raw, &[U16], u16), Sb1Error> {
    let (raw, rest) = Raw::ref_from_prefix(block).map_err(|_| Sb1Error::BlockTooShort)?;
    if raw.magic.get() != SB_MAGIC {
        return Err(Sb1Error::Magic(raw.magic.get()));
    }
    if raw.major_version.get() != 1 {
        return Err(Sb1Error::MajorVersion(raw.major_version.get()));
    }
    let stored = raw.max_dev.get();
    let too_many = Sb1Error::MaxDev(stored);
    let max_dev = u16::try_from(stored).map_err(|_| too_many)?;
    let (roles, _) =
        <[U16]>::ref_from_prefix_with_elems(rest, usize::from(max_dev)).map_err(|_| too_many)?;
    Ok((raw, roles, max_dev))
}

fn check_header(raw: &Raw, superblock: Sector) -> Result<Features, Sb1Error> {
    let stored = Sector::new(raw.super_offset.get());
    if stored != superblock {
        return Err(Sb1Error::SuperOffset(stored));
    }
    Features::from_raw(raw.feature_map.get()).map_err(Sb1Error::UnknownFeatures)
}

fn check_bytes(block: &[u8], raw: &Raw, max_dev: u16, new: NewFeatures) -> Result<(), Sb1Error> {
    let used = block
        .get(..HEADER_BYTES + 2 * usize::from(max_dev))
        .ok_or(Sb1Error::BlockTooShort)?;
    let (stored, computed) = (raw.sb_csum.get(), checksum(used));
    if stored != computed {
        return Err(Sb1Error::Checksum { stored, computed });
    }
    let padding_set = raw.pad0.get() != 0 || raw.pad3 != [0; 28];
    if padding_set && new == NewFeatures::Refuse {
        return Err(Sb1Error::Padding);
    }
    Ok(())
}

fn check_combinations(features: Features, level: Level) -> Result<(), Sb1Error> {
    if features.contains(Features::RAID0_LAYOUT) && level != Level::Raid0 {
        return Err(Sb1Error::Raid0Layout);
    }
    let ppl = Features::PPL.with(Features::MULTIPLE_PPLS);
    let others = Features::BITMAP_OFFSET.with(Features::JOURNAL);
    if features.contains(ppl) || (features.intersects(ppl) && features.intersects(others)) {
        return Err(Sb1Error::PplNotAlone);
    }
    Ok(())
}

/// The whole blocks that a superblock takes.
fn range_of(superblock: Sector, max_dev: u16, device: Device) -> Result<SectorRange, Sb1Error> {
    let len = Sectors::from_bytes_ceil(written_bytes(max_dev, device.block));
    let range =
        SectorRange::new(superblock, len).filter(|range| range.end().get() <= device.sectors.get());
    range.ok_or(Sb1Error::DeviceTooShort(device.sectors))
}

fn own_role(raw: &Raw, roles: &[U16]) -> Role {
    let entry = usize::try_from(raw.dev_number.get())
        .ok()
        .and_then(|number| roles.get(number));
    entry.map_or(Role::Spare, |entry| Role::from_raw(entry.get()))
}

/// The 32 bits of a signed field.
fn signed(field: zerocopy::byteorder::little_endian::U32) -> i32 {
    i32::from_le_bytes(field.to_bytes())
}

fn array_state(raw: &Raw, features: Features) -> Result<ArrayState, Sb1Error> {
    let stored = raw.raid_disks.get();
    let raid_disks = u16::try_from(stored)
        .ok()
        .filter(|n| (1..=MAX_DEVICES).contains(n));
    let raid_disks = raid_disks.ok_or(Sb1Error::RaidDisks(stored))?;
    let block_size = match raw.logical_block_size.get() {
        0 => None,
        bytes => Some(BlockSize::new(bytes).ok_or(Sb1Error::BlockSize(bytes))?),
    };
    let level = Level::from_number(signed(raw.level));
    let layout_meant = level != Level::Raid0 || features.contains(Features::RAID0_LAYOUT);
    Ok(ArrayState {
        updated: SbTime::from_raw(raw.utime.get()),
        events: Events::new(raw.events.get()),
        resync: match raw.resync_offset.get() {
            IN_SYNC => ResyncPoint::Done,
            from => ResyncPoint::From(Sector::new(from)),
        },
        level,
        layout: layout_meant.then_some(raw.layout.get()),
        chunk: Sectors::new(u64::from(raw.chunksize.get())),
        member_size: Sectors::new(raw.size.get()),
        raid_disks,
        block_size,
        reshape: reshape(raw, features, raid_disks)?,
        journal: if features.contains(Features::JOURNAL) {
            JournalUse::With
        } else {
            JournalUse::Without
        },
        clustering: if features.contains(Features::CLUSTERED) {
            Clustering::Clustered
        } else {
            Clustering::Single
        },
    })
}

fn reshape(raw: &Raw, features: Features, raid_disks: u16) -> Result<Option<Reshape>, Sb1Error> {
    // C md keeps "no reshape" as a position of all ones.
    if !features.contains(Features::RESHAPE_ACTIVE) || raw.reshape_position.get() == u64::MAX {
        return Ok(None);
    }
    let delta_disks = signed(raw.delta_disks);
    let old_disks = i32::from(raid_disks).checked_sub(delta_disks);
    if !old_disks.is_some_and(|n| (1..=i32::from(MAX_DEVICES)).contains(&n)) {
        return Err(Sb1Error::DeltaDisks(delta_disks));
    }
    let flagged = delta_disks == 0 && features.contains(Features::RESHAPE_BACKWARDS);
    let backwards = delta_disks < 0 || flagged;
    Ok(Some(Reshape {
        position: Sector::new(raw.reshape_position.get()),
        delta_disks,
        new_level: Level::from_number(signed(raw.new_level)),
        new_layout: raw.new_layout.get(),
        new_chunk: Sectors::new(u64::from(raw.new_chunk.get())),
        direction: if backwards {
            Direction::Backwards
        } else {
            Direction::Forwards
        },
    }))
}

fn member_state(
    raw: &Raw,
    features: Features,
    role: Role,
    here: Here,
) -> Result<MemberState, Sb1Error> {
    if role == Role::Journal && !features.contains(Features::JOURNAL) {
        return Err(Sb1Error::JournalWithoutFeature);
    }
    let recorded = features.contains(Features::BAD_BLOCKS);
    Ok(MemberState {
        superblock: here.superblock,
        data: data_place(raw, features, here)?,
        progress: progress(raw, features, role),
        replacement: features.contains(Features::REPLACEMENT),
        write_mostly: raw.devflags & WRITE_MOSTLY != 0,
        failfast: raw.devflags & FAILFAST != 0,
        corrected_reads: raw.cnt_corrected_read.get(),
        crash_log: crash_log(raw, features, here)?,
        bad_blocks: if recorded {
            BadBlocks::Recorded
        } else {
            BadBlocks::Unrecorded
        },
    })
}

fn progress(raw: &Raw, features: Features, role: Role) -> Progress {
    let upto = Sectors::new(raw.recovery_or_tail.get());
    if role == Role::Journal {
        Progress::Journal { tail: upto }
    } else if !features.contains(Features::RECOVERY_OFFSET) {
        Progress::Settled
    } else if features.contains(Features::RECOVERY_BITMAP) {
        Progress::RecoveringByBitmap { upto }
    } else {
        Progress::Recovering { upto }
    }
}

fn data_place(raw: &Raw, features: Features, here: Here) -> Result<DataPlace, Sb1Error> {
    let offset = Sector::new(raw.data_offset.get());
    let recorded = Sectors::new(raw.data_size.get());
    if recorded < DATA_SECTORS_MIN {
        return Err(Sb1Error::DataSize(recorded));
    }
    let moved = features.contains(Features::RESHAPE_ACTIVE.with(Features::NEW_OFFSET));
    let by = if moved { signed(raw.new_offset) } else { 0 };
    let new_offset = offset
        .checked_offset(i64::from(by))
        .ok_or(Sb1Error::NewOffset(by))?;
    let end = here.data_end();
    // As the C driver: a 1.0 member counts from its start, the others from the start of the data. Where the data is
    // to go in a reshape it may be shorter until that ends.
    let limit = match here.minor {
        MinorVersion::V1_0 => Some(Sectors::new(end.get())),
        MinorVersion::V1_1 | MinorVersion::V1_2 => end.distance_from(offset),
    };
    if limit.is_none_or(|limit| limit < recorded) {
        return Err(Sb1Error::DataBeyondDevice);
    }
    for start in [offset, new_offset] {
        if here.minor != MinorVersion::V1_0 && start < here.end {
            return Err(Sb1Error::DataOverSuperblock(start));
        }
        // A 1.0 superblock from mdadm counts `data_size` from the start of the member even when the data starts
        // behind it, so `size` is cut there instead; a member that then is too short is found when it is assembled.
        let room = end.distance_from(start);
        if room.is_none_or(|room| room < DATA_SECTORS_MIN) {
            return Err(Sb1Error::DataBeyondDevice);
        }
    }
    let room = end.distance_from(offset.max(new_offset));
    Ok(DataPlace {
        offset,
        size: room.map_or(recorded, |room| room.min(recorded)),
        recorded,
        new_offset,
    })
}

impl Here {
    /// Where data must end: before a superblock at the end of the member, else at the end.
    fn data_end(self) -> Sector {
        match self.minor {
            MinorVersion::V1_0 => self.superblock,
            MinorVersion::V1_1 | MinorVersion::V1_2 => Sector::new(self.device.sectors.get()),
        }
    }

    /// The run of `len` sectors at `by` sectors from the superblock, if it lies on the member.
    fn range(self, by: i32, len: Sectors) -> Option<SectorRange> {
        let range = SectorRange::new(self.superblock.checked_offset(i64::from(by))?, len)?;
        (range.end().get() <= self.device.sectors.get()).then_some(range)
    }
}

fn crash_log(raw: &Raw, features: Features, here: Here) -> Result<CrashLog, Sb1Error> {
    if features.intersects(Features::PPL.with(Features::MULTIPLE_PPLS)) {
        let multiple = features.contains(Features::MULTIPLE_PPLS);
        let kind = if multiple {
            PplKind::Multiple
        } else {
            PplKind::Single
        };
        return ppl_place(raw, kind, here).map(CrashLog::Ppl);
    }
    let offset = NonZeroI32::new(signed(raw.bitmap_or_ppl));
    // C md takes an offset of zero for "no bitmap".
    let Some(offset) = offset.filter(|_| features.contains(Features::BITMAP_OFFSET)) else {
        return Ok(CrashLog::None);
    };
    let range = here
        .range(offset.get(), Sectors::new(1))
        .ok_or(Sb1Error::BitmapPlace(offset.get()))?;
    Ok(CrashLog::Bitmap(BitmapPlace {
        offset,
        start: range.start(),
    }))
}

fn ppl_place(raw: &Raw, kind: PplKind, here: Here) -> Result<PplPlace, Sb1Error> {
    let [o0, o1, s0, s1] = raw.bitmap_or_ppl.to_bytes();
    let offset = i16::from_le_bytes([o0, o1]);
    let sectors = u16::from_le_bytes([s0, s1]);
    let len = Sectors::new(u64::from(sectors));
    let range = if len < ppl::AREA_SECTORS_MIN {
        None
    } else {
        let range = here.range(i32::from(offset), len);
        Some(range.ok_or(Sb1Error::PplPlace(offset))?)
    };
    Ok(PplPlace {
        kind,
        offset,
        sectors,
        range,
    })
}

fn bad_block_log(
    raw: &Raw,
    features: Features,
    here: Here,
) -> Result<Option<BadBlockLog>, Sb1Error> {
    let (offset, sectors) = (signed(raw.bblog_offset), raw.bblog_size.get());
    if offset == 0 || sectors == 0 {
        let needed = features.contains(Features::BAD_BLOCKS);
        return if needed {
            Err(Sb1Error::BadBlockLogMissing)
        } else {
            Ok(None)
        };
    }
    if sectors > BAD_BLOCK_LOG_SECTORS_MAX {
        return Err(Sb1Error::BadBlockLogSize(sectors));
    }
    if raw.bblog_shift >= 64 {
        return Err(Sb1Error::BadBlockShift(raw.bblog_shift));
    }
    let range = here
        .range(offset, Sectors::new(u64::from(sectors)))
        .ok_or(Sb1Error::BadBlockLogPlace(offset))?;
    Ok(Some(BadBlockLog {
        range,
        shift: raw.bblog_shift,
    }))
}
