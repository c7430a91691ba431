// SPDX-License-Identifier: GPL-2.0

//! Writing a 0.90 superblock: all of it, from scratch, as `super_90_sync` does.

use core::fmt;

use zerocopy::byteorder::native_endian::U32;
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::raw::{Count, Raw};
use super::view::{
    DeviceCounts, DiskState, MINOR_AT_REST, MINOR_RESHAPING, SB_BITMAP_PRESENT, SB_CLEAN,
};
use super::{ArrayState, DEVICES_MAX};
use crate::format::ident::{SbTime, Uuid};
use crate::format::sb1::ResyncPoint;
use crate::format::SB_MAGIC;
use crate::units::{MemberNumber, Sector, Sectors, Slot};

/// The number of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Its driver.
    pub major: u32,
    /// Its number among the driver's.
    pub minor: u32,
}

/// What a member is to the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In sync with its slot.
    InSync(Slot),
    /// Being rebuilt in its slot. Kept only while a reshape is under way; else the format can only say "spare".
    Rebuilding(Slot),
    /// No slot.
    Spare,
    /// Failed.
    Faulty,
}

/// A member to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The device it is now.
    pub device: DeviceNumber,
    /// What it is to the array.
    pub standing: Standing,
    /// Read only when nothing else has the data.
    pub write_mostly: bool,
    /// Fail at the first error while others have the data.
    pub failfast: bool,
}

/// Whether a bitmap lies behind the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalBitmap {
    /// It does.
    Present,
    /// It does not.
    Absent,
}

/// Why a superblock cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer than 4096 bytes were given.
    BlockTooShort,
    /// More members, or a slot further up, than there are descriptors. C md writes beyond the table.
    TooManyDevices(MemberNumber),
    /// Two members in one slot.
    SlotTaken(MemberNumber),
    /// The member the superblock is for is not among the members.
    NotAMember,
    /// A chunk of 4 GiB or more.
    Chunk(Sectors),
    /// Members of 4 TiB or more.
    MemberSize(Sectors),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BlockTooShort => write!(f, "fewer than 4096 bytes"),
            Self::TooManyDevices(number) => write!(f, "no descriptor for member {number}"),
            Self::SlotTaken(number) => write!(f, "two members in slot {number}"),
            Self::NotAMember => write!(f, "superblock of a device that is no member"),
            Self::Chunk(chunk) => write!(f, "chunk of {chunk} sectors"),
            Self::MemberSize(size) => write!(f, "members of {size} sectors"),
        }
    }
}

impl core::error::Error for RecordError {}

/// Gives members their numbers, in the order they are asked for: a slot's number to who fills it, and to the others
/// the numbers from `raid_disks` on. A member's number can change from one record to the next.
#[derive(Clone, Copy, Debug)]
pub struct Numbering {
    next_spare: u32,
    reshaping: bool,
}

impl Numbering {
    /// For a record of `array`.
    pub fn new(array: &ArrayState) -> Self {
        Self {
            next_spare: u32::from(array.raid_disks),
            reshaping: array.reshape.is_some(),
        }
    }

    /// The number of the next member.
    pub fn number(&mut self, standing: Standing) -> MemberNumber {
        MemberNumber::new(match self.slot(standing) {
            Some(slot) => u32::from(slot.get()),
            None => {
                let number = self.next_spare;
                self.next_spare = number.saturating_add(1);
                number
            }
        })
    }

    /// The slot that the record can say a member fills.
    fn slot(&self, standing: Standing) -> Option<Slot> {
        match standing {
            Standing::InSync(slot) => Some(slot),
            Standing::Rebuilding(slot) if self.reshaping => Some(slot),
            Standing::Rebuilding(_) | Standing::Spare | Standing::Faulty => None,
        }
    }
}

/// All that a superblock says, but for the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'v> {
    /// The state of the array. Its block size and journal have no place in the format.
    pub array: &'v ArrayState,
    /// The name of the array.
    pub set_uuid: Uuid,
    /// When it was made.
    pub created: SbTime,
    /// The number of the block device it likes to have.
    pub preferred_minor: u32,
    /// The version's last part, kept from the superblock the array was assembled from.
    pub patch_version: u32,
    /// Whether it has a bitmap.
    pub bitmap: InternalBitmap,
}

impl Record<'_> {
    /// Writes the superblock of the `this`-th of `seats` into `block`. On an error `block` must not be written out.
    pub fn write<S>(&self, block: &mut [u8], seats: S, this: usize) -> Result<(), RecordError>
    where
        S: IntoIterator<Item = Seat>,
    {
        let (raw, _) = Raw::mut_from_prefix(block).map_err(|_| RecordError::BlockTooShort)?;
        raw.as_mut_bytes().fill(0);
        self.write_constant(raw)?;
        self.write_state(raw);
        self.write_reshape(raw)?;
        let own = self.write_seats(raw, seats, this)?;
        let own = usize::try_from(own.get())
            .ok()
            .and_then(|index| raw.disks.get(index));
        raw.this_disk = *own.ok_or(RecordError::NotAMember)?;
        raw.sb_csum = U32::new(raw.checksum());
        Ok(())
    }

    fn write_constant(&self, raw: &mut Raw) -> Result<(), RecordError> {
        let array = self.array;
        let size = u32::try_from(array.member_size.to_kib())
            .map_err(|_| RecordError::MemberSize(array.member_size))?;
        raw.magic = U32::new(SB_MAGIC);
        raw.minor_version = U32::new(if array.reshape.is_some() {
            MINOR_RESHAPING
        } else {
            MINOR_AT_REST
        });
        raw.patch_version = U32::new(self.patch_version);
        raw.set_uuid(self.set_uuid.bytes());
        raw.ctime = seconds(self.created);
        raw.level = word(array.level.number());
        raw.size = U32::new(size);
        raw.raid_disks = U32::new(u32::from(array.raid_disks));
        raw.md_minor = U32::new(self.preferred_minor);
        raw.layout = U32::new(array.layout.unwrap_or(u32::MAX));
        raw.chunk_size = chunk_bytes(array.chunk)?;
        Ok(())
    }

    fn write_state(&self, raw: &mut Raw) {
        let array = self.array;
        raw.utime = seconds(array.updated);
        raw.events = Count::new(array.events.get());
        let mut state = match self.bitmap {
            InternalBitmap::Present => SB_BITMAP_PRESENT,
            InternalBitmap::Absent => 0,
        };
        // A checkpoint beyond what 32 bits can say is cut, which repeats some of the resync. One at the start is left
        // out, as by C while the array is written to: without its event it counts for nothing, and so does its place.
        let (checkpoint, event) = match array.resync {
            ResyncPoint::Done => {
                state |= SB_CLEAN;
                (u32::MAX, raw.events)
            }
            ResyncPoint::From(Sector::ZERO) => (0, Count::new(0)),
            ResyncPoint::From(at) => (u32::try_from(at.get()).unwrap_or(u32::MAX), raw.events),
        };
        raw.state = U32::new(state);
        raw.recovery_cp = U32::new(checkpoint);
        raw.cp_events = event;
    }

    fn write_reshape(&self, raw: &mut Raw) -> Result<(), RecordError> {
        let Some(reshape) = self.array.reshape else {
            return Ok(());
        };
        raw.reshape_position = Count::new(reshape.position.get());
        raw.new_level = word(reshape.new_level.number());
        raw.delta_disks = word(reshape.delta_disks);
        raw.new_layout = U32::new(reshape.new_layout);
        raw.new_chunk = chunk_bytes(reshape.new_chunk)?;
        Ok(())
    }

    /// Writes the descriptors; returns the number of the `this`-th.
    fn write_seats<S>(
        &self,
        raw: &mut Raw,
        seats: S,
        this: usize,
    ) -> Result<MemberNumber, RecordError>
    where
        S: IntoIterator<Item = Seat>,
    {
        let mut numbering = Numbering::new(self.array);
        let mut counts = DeviceCounts::default();
        let mut own = None;
        for (index, seat) in seats.into_iter().enumerate() {
            let slot = numbering.slot(seat.standing);
            let number = numbering.number(seat.standing);
            write_seat(raw, number, slot, seat)?;
            counts.add(seat.standing, slot);
            if index == this {
                own = Some(number);
            }
        }
        self.write_missing(raw, &mut counts);
        counts.write(raw);
        own.ok_or(RecordError::NotAMember)
    }

    /// Marks every slot without a member as removed.
    fn write_missing(&self, raw: &mut Raw, counts: &mut DeviceCounts) {
        for (disk, number) in raw.disks.iter_mut().zip(0..self.array.raid_disks) {
            if disk.state.get() == 0 {
                disk.number = U32::new(u32::from(number));
                disk.raid_disk = disk.number;
                disk.state = U32::new(DiskState::REMOVED.with(DiskState::FAULTY).to_raw());
                counts.failed = counts.failed.saturating_add(1);
            }
        }
    }
}

impl DeviceCounts {
    /// Counts a member; there are at most 27.
    fn add(&mut self, standing: Standing, slot: Option<Slot>) {
        let one_more = |count: &mut u32| *count = count.saturating_add(1);
        one_more(&mut self.all);
        match (standing, slot) {
            (Standing::Faulty, _) => {}
            (_, Some(_)) => {
                one_more(&mut self.active);
                one_more(&mut self.working);
            }
            (_, None) => {
                one_more(&mut self.spare);
                one_more(&mut self.working);
            }
        }
    }

    fn write(self, raw: &mut Raw) {
        raw.nr_disks = U32::new(self.all);
        raw.active_disks = U32::new(self.active);
        raw.working_disks = U32::new(self.working);
        raw.failed_disks = U32::new(self.failed);
        raw.spare_disks = U32::new(self.spare);
    }
}

fn write_seat(
    raw: &mut Raw,
    number: MemberNumber,
    slot: Option<Slot>,
    seat: Seat,
) -> Result<(), RecordError> {
    let too_many = RecordError::TooManyDevices(number);
    let index = usize::try_from(number.get()).map_err(|_| too_many)?;
    let disk = raw.disks.get_mut(index).ok_or(too_many)?;
    if disk.state.get() != 0 {
        return Err(RecordError::SlotTaken(number));
    }
    let mut state = match (seat.standing, slot) {
        (Standing::Faulty, _) => DiskState::FAULTY,
        (Standing::InSync(_), _) => DiskState::ACTIVE.with(DiskState::SYNC),
        (_, Some(_)) => DiskState::ACTIVE,
        (_, None) => DiskState::default(),
    };
    if seat.write_mostly {
        state = state.with(DiskState::WRITE_MOSTLY);
    }
    if seat.failfast {
        state = state.with(DiskState::FAILFAST);
    }
    disk.number = U32::new(number.get());
    disk.major = U32::new(seat.device.major);
    disk.minor = U32::new(seat.device.minor);
    // Who has no slot gets its number there, as old versions expect.
    disk.raid_disk = disk.number;
    disk.state = U32::new(state.to_raw());
    Ok(())
}

fn seconds(time: SbTime) -> U32 {
    U32::new(u32::try_from(time.seconds()).unwrap_or(u32::MAX))
}

fn word(value: i32) -> U32 {
    U32::from_bytes(value.to_ne_bytes())
}

fn chunk_bytes(chunk: Sectors) -> Result<U32, RecordError> {
    let bytes = chunk.to_bytes().and_then(|bytes| u32::try_from(bytes).ok());
    bytes.map(U32::new).ok_or(RecordError::Chunk(chunk))
}

const _: () = assert!(
    DEVICES_MAX < 32,
    "the counts and numbers of descriptors fit anything"
);
