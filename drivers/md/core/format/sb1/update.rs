// SPDX-License-Identifier: GPL-2.0

//! Writing a 1.x superblock: what `super_1_sync` rewrites at each update, and the constant part of a new one.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::raw::{checksum, Raw};
use super::values::*;
use super::view::{FAILFAST, IN_SYNC, WRITE_MOSTLY};
use super::{UpdateError, BAD_BLOCK_LOG_SECTORS_MAX, BLOCK_BYTES, HEADER_BYTES, MAX_DEVICES};
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::SB_MAGIC;
use crate::units::{MemberNumber, Sector, Sectors};

/// Everything that an update of one member's superblock changes. The rest of the block stays as it is: names,
/// creation time, this member's number, the place of the bad-block log, and whatever lies behind the roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'v> {
    /// The same for all members.
    pub array: &'v ArrayState,
    /// For the member the superblock lies on.
    pub member: &'v MemberState,
}

impl Update<'_> {
    /// Writes into `block`, the superblock as it was read or last written, and sums it.
    ///
    /// `roles` are the members there are; every other number becomes a spare's. The table grows when it must and never
    /// shrinks. Returns how many roles it has then. On an error the block is unchanged.
    pub fn apply<R>(&self, block: &mut [u8], roles: R) -> Result<u16, UpdateError>
    where
        R: IntoIterator<Item = (MemberNumber, Role)> + Clone,
    {
        let block = block
            .first_chunk_mut::<BLOCK_BYTES>()
            .ok_or(UpdateError::NotASuperblock)?;
        let max_dev = self.table_len(block, roles.clone())?;
        let (raw, table) = halves(block)?;
        let fields = self.checked_fields(raw)?;
        self.write_array(raw, fields);
        self.write_member(raw, fields);
        raw.max_dev = U32::new(u32::from(max_dev));
        write_roles(table, max_dev, roles);
        sum(block, max_dev)?;
        Ok(max_dev)
    }

    /// How long the table of roles must be.
    fn table_len<R>(&self, block: &mut [u8; BLOCK_BYTES], roles: R) -> Result<u16, UpdateError>
    where
        R: IntoIterator<Item = (MemberNumber, Role)>,
    {
        let (raw, _) = halves(block)?;
        let stored = u16::try_from(raw.max_dev.get())
            .ok()
            .filter(|&n| n <= MAX_DEVICES);
        roles.into_iter().try_fold(
            stored.ok_or(UpdateError::NotASuperblock)?,
            |len, (number, _)| {
                let number = number.get();
                let index = u16::try_from(number).ok().filter(|&n| n < MAX_DEVICES);
                index
                    .map(|index| len.max(index + 1))
                    .ok_or(UpdateError::TooManyDevices(number))
            },
        )
    }

    /// The values that might not fit, converted before anything is written.
    fn checked_fields(&self, raw: &Raw) -> Result<Fields, UpdateError> {
        let chunk = |sectors: Sectors| {
            u32::try_from(sectors.get()).map_err(|_| UpdateError::Chunk(sectors))
        };
        if self.member.bad_blocks == BadBlocks::Recorded
            && (raw.bblog_offset.get() == 0 || raw.bblog_size.get() == 0)
        {
            return Err(UpdateError::NoBadBlockLog);
        }
        let data = self.member.data;
        let forwards = data
            .new_offset
            .distance_from(data.offset)
            .map(|by| i64::try_from(by.get()));
        let backwards = data
            .offset
            .distance_from(data.new_offset)
            .map(|by| i64::try_from(by.get()).map(|by| -by));
        let by = forwards
            .or(backwards)
            .and_then(Result::ok)
            .and_then(|by| i32::try_from(by).ok());
        let moved = self.array.reshape.is_some() && data.new_offset != data.offset;
        Ok(Fields {
            chunk: chunk(self.array.chunk)?,
            new_chunk: self
                .array
                .reshape
                .map_or(Ok(0), |reshape| chunk(reshape.new_chunk))?,
            new_offset: if moved {
                Some(by.ok_or(UpdateError::NewOffset)?)
            } else {
                None
            },
        })
    }

    fn write_array(&self, raw: &mut Raw, fields: Fields) {
        let array = self.array;
        raw.feature_map = U32::new(self.features(fields).to_raw());
        raw.pad0 = U32::ZERO;
        raw.pad3 = [0; 28];
        raw.utime = U64::new(array.updated.to_raw());
        raw.events = U64::new(array.events.get());
        raw.resync_offset = U64::new(match array.resync {
            ResyncPoint::Done => IN_SYNC,
            ResyncPoint::From(sector) => sector.get(),
        });
        raw.raid_disks = U32::new(u32::from(array.raid_disks));
        raw.size = U64::new(array.member_size.get());
        raw.chunksize = U32::new(fields.chunk);
        raw.level = from_signed(array.level.number());
        if let Some(layout) = array.layout {
            raw.layout = U32::new(layout);
        }
        raw.logical_block_size = U32::new(array.block_size.map_or(0, |size| size.bytes()));
        if let Some(reshape) = array.reshape {
            raw.reshape_position = U64::new(reshape.position.get());
            raw.new_layout = U32::new(reshape.new_layout);
            raw.delta_disks = from_signed(reshape.delta_disks);
            raw.new_level = from_signed(reshape.new_level.number());
            raw.new_chunk = U32::new(fields.new_chunk);
        }
    }

    fn write_member(&self, raw: &mut Raw, fields: Fields) {
        let member = self.member;
        raw.super_offset = U64::new(member.superblock.get());
        raw.data_offset = U64::new(member.data.offset.get());
        raw.data_size = U64::new(member.data.recorded.get());
        if let Some(by) = fields.new_offset {
            raw.new_offset = from_signed(by);
        }
        raw.recovery_or_tail = U64::new(match member.progress {
            Progress::Settled => 0,
            Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto } => upto.get(),
            Progress::Journal { tail } => tail.get(),
        });
        raw.cnt_corrected_read = U32::new(member.corrected_reads);
        raw.devflags = with_bit(raw.devflags, WRITE_MOSTLY, member.write_mostly);
        raw.devflags = with_bit(raw.devflags, FAILFAST, member.failfast);
        match member.crash_log {
            CrashLog::None => {}
            CrashLog::Bitmap(place) => raw.bitmap_or_ppl = from_signed(place.offset.get()),
            CrashLog::Ppl(place) => {
                let ([o0, o1], [s0, s1]) =
                    (place.offset.to_le_bytes(), place.sectors.to_le_bytes());
                raw.bitmap_or_ppl = U32::from_bytes([o0, o1, s0, s1]);
            }
        }
    }

    /// The feature map that the values call for.
    ///
    /// Unlike C md's, an update keeps the layout of a raid0 array that has one: without the bit an array with members
    /// of several sizes does not start again.
    fn features(&self, fields: Fields) -> Features {
        let (array, member) = (self.array, self.member);
        let progress = match member.progress {
            Progress::Settled | Progress::Journal { .. } => Features::NONE,
            Progress::Recovering { .. } => Features::RECOVERY_OFFSET,
            Progress::RecoveringByBitmap { .. } => {
                Features::RECOVERY_OFFSET.with(Features::RECOVERY_BITMAP)
            }
        };
        let crash_log = match member.crash_log {
            CrashLog::None => Features::NONE,
            CrashLog::Bitmap(_) => Features::BITMAP_OFFSET,
            CrashLog::Ppl(PplPlace {
                kind: PplKind::Single,
                ..
            }) => Features::PPL,
            CrashLog::Ppl(PplPlace {
                kind: PplKind::Multiple,
                ..
            }) => Features::MULTIPLE_PPLS,
        };
        let backwards = |r: Reshape| r.delta_disks == 0 && r.direction == Direction::Backwards;
        progress
            .with(crash_log)
            .with_if(Features::REPLACEMENT, member.replacement)
            .with_if(Features::RESHAPE_ACTIVE, array.reshape.is_some())
            .with_if(
                Features::RESHAPE_BACKWARDS,
                array.reshape.is_some_and(backwards),
            )
            .with_if(Features::NEW_OFFSET, fields.new_offset.is_some())
            .with_if(
                Features::CLUSTERED,
                array.clustering == Clustering::Clustered,
            )
            .with_if(
                Features::BAD_BLOCKS,
                member.bad_blocks == BadBlocks::Recorded,
            )
            .with_if(Features::JOURNAL, array.journal == JournalUse::With)
            .with_if(
                Features::RAID0_LAYOUT,
                array.level == Level::Raid0 && array.layout.is_some(),
            )
    }
}

/// Has a superblock say that it lies at `at`, and sums it. On an error the block is unchanged.
pub fn relocate(block: &mut [u8], at: Sector) -> Result<(), UpdateError> {
    let block = block
        .first_chunk_mut::<BLOCK_BYTES>()
        .ok_or(UpdateError::NotASuperblock)?;
    let (raw, _) = halves(block)?;
    let max_dev = u16::try_from(raw.max_dev.get())
        .ok()
        .filter(|&n| n <= MAX_DEVICES);
    let max_dev = max_dev.ok_or(UpdateError::NotASuperblock)?;
    raw.super_offset = U64::new(at.get());
    sum(block, max_dev)
}

/// Values in the width they have on disk.
#[derive(Clone, Copy)]
struct Fields {
    chunk: u32,
    new_chunk: u32,
    /// `None` when no reshape moves the data.
    new_offset: Option<i32>,
}

fn halves(block: &mut [u8; BLOCK_BYTES]) -> Result<(&mut Raw, &mut [U16]), UpdateError> {
    let (raw, rest) = Raw::mut_from_prefix(block).map_err(|_| UpdateError::NotASuperblock)?;
    if raw.magic.get() != SB_MAGIC || raw.major_version.get() != 1 {
        return Err(UpdateError::NotASuperblock);
    }
    let table = <[U16]>::mut_from_bytes(rest).map_err(|_| UpdateError::NotASuperblock)?;
    Ok((raw, table))
}

fn write_roles<R>(table: &mut [U16], max_dev: u16, roles: R)
where
    R: IntoIterator<Item = (MemberNumber, Role)>,
{
    for entry in table.iter_mut().take(usize::from(max_dev)) {
        *entry = U16::new(Role::Spare.to_raw());
    }
    for (number, role) in roles {
        let entry = usize::try_from(number.get())
            .ok()
            .and_then(|index| table.get_mut(index));
        if let Some(entry) = entry {
            *entry = U16::new(role.to_raw());
        }
    }
}

fn sum(block: &mut [u8; BLOCK_BYTES], max_dev: u16) -> Result<(), UpdateError> {
    let used = block
        .get(..HEADER_BYTES + 2 * usize::from(max_dev))
        .ok_or(UpdateError::NotASuperblock)?;
    let sum = checksum(used);
    let (raw, _) = halves(block)?;
    raw.sb_csum = U32::new(sum);
    Ok(())
}

fn from_signed(value: i32) -> U32 {
    U32::from_bytes(value.to_le_bytes())
}

fn with_bit(byte: u8, bit: u8, set: bool) -> u8 {
    if set {
        byte | bit
    } else {
        byte & !bit
    }
}

/// The constant part of a new superblock, which userspace writes when it makes an array or adds a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the array.
    pub set_uuid: Uuid,
    /// Its name for people, ended by a zero byte unless it fills the field.
    pub set_name: [u8; 32],
    /// When it was made.
    pub created: SbTime,
    /// The name of the member.
    pub device_uuid: Uuid,
    /// The member's number in the table of roles.
    pub number: MemberNumber,
    /// How long the table is, 0 to 1920.
    pub max_dev: u16,
    /// Where bad blocks are to be logged, or `None` for nowhere.
    pub bad_block_log: Option<NewBadBlockLog>,
}

/// The place of a bad-block log relative to its superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBadBlockLog {
    /// Sectors from the superblock.
    pub offset: i32,
    /// Its length, at most 8 sectors.
    pub sectors: u16,
    /// Entries count in units of `1 << shift` sectors.
    pub shift: u8,
}

impl Identity {
    /// Makes `block` a new superblock, all zero but for this; [`Update::apply`] then writes the rest.
    pub fn create(&self, block: &mut [u8]) -> Result<(), UpdateError> {
        let block = block
            .first_chunk_mut::<BLOCK_BYTES>()
            .ok_or(UpdateError::NotASuperblock)?;
        if self.max_dev > MAX_DEVICES {
            return Err(UpdateError::TooManyDevices(u32::from(self.max_dev)));
        }
        if self
            .bad_block_log
            .is_some_and(|log| log.sectors > BAD_BLOCK_LOG_SECTORS_MAX)
        {
            return Err(UpdateError::NoBadBlockLog);
        }
        block.as_mut_bytes().fill(0);
        let (raw, _) = Raw::mut_from_prefix(block).map_err(|_| UpdateError::NotASuperblock)?;
        raw.magic = U32::new(SB_MAGIC);
        raw.major_version = U32::new(1);
        raw.set_uuid = self.set_uuid.bytes();
        raw.set_name = self.set_name;
        raw.ctime = U64::new(self.created.to_raw());
        raw.device_uuid = self.device_uuid.bytes();
        raw.dev_number = U32::new(self.number.get());
        raw.max_dev = U32::new(u32::from(self.max_dev));
        if let Some(log) = self.bad_block_log {
            raw.bblog_offset = from_signed(log.offset);
            raw.bblog_size = U16::new(log.sectors);
            raw.bblog_shift = log.shift;
        }
        Ok(())
    }
}
