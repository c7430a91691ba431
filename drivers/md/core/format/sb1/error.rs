// SPDX-License-Identifier: GPL-2.0

//! Why a 1.x superblock is refused, or cannot be written.

use core::fmt;

use crate::format::extents::ExtentsError;
use crate::units::{Sector, Sectors};

/// Why bytes are not a superblock to use. C md answers `EINVAL` to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sb1Error {
    /// Fewer than 4096 bytes were given.
    BlockTooShort,
    /// The member has no room for a superblock of this minor version.
    DeviceTooShort(Sectors),
    /// No superblock: the magic number is another.
    Magic(u32),
    /// The major version is not 1.
    MajorVersion(u32),
    /// Roles for more devices than fit.
    MaxDev(u32),
    /// It says that it lies elsewhere: a copy, or the member changed size.
    SuperOffset(Sector),
    /// These features are unknown.
    UnknownFeatures(u32),
    /// The checksum does not match.
    Checksum {
        /// The one in the superblock.
        stored: u32,
        /// The one its bytes have.
        computed: u32,
    },
    /// Room for less than 10 sectors of data.
    DataSize(Sectors),
    /// Reserved bytes are set; perhaps a newer feature.
    Padding,
    /// The data starts before the end of the superblock in front of it.
    DataOverSuperblock(Sector),
    /// The data would reach beyond the member, or into the superblock behind it.
    DataBeyondDevice,
    /// A reshape moves the data to a place that is not on the member.
    NewOffset(i32),
    /// Not 1 to 1920 slots.
    RaidDisks(u32),
    /// A reshape from a number of slots that no array has.
    DeltaDisks(i32),
    /// A reshape is at this sector, which the array does not have.
    ReshapePosition(Sector),
    /// Not a logical block size.
    BlockSize(u32),
    /// Bad blocks are recorded, but no log is named.
    BadBlockLogMissing,
    /// The bad-block log is longer than 8 sectors.
    BadBlockLogSize(u16),
    /// The bad-block log does not lie on the member.
    BadBlockLogPlace(i32),
    /// The unit of the bad-block log does not fit 64 bits.
    BadBlockShift(u8),
    /// The bitmap does not lie on the member.
    BitmapPlace(i32),
    /// The partial parity log does not lie on the member.
    PplPlace(i16),
    /// A partial parity log together with a bitmap, a journal, or its other kind.
    PplNotAlone,
    /// A raid0 layout on another level.
    Raid0Layout,
    /// The member is a journal of an array without one.
    JournalWithoutFeature,
    /// Areas overlap. C md answers so where it notices, when the array starts or the area is written.
    Areas(ExtentsError),
}

impl fmt::Display for Sb1Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BlockTooShort => write!(f, "fewer than 4096 bytes"),
            Self::DeviceTooShort(len) => write!(f, "no room for a superblock in {len} sectors"),
            Self::Magic(magic) => write!(f, "no superblock: magic is {magic:#010x}"),
            Self::MajorVersion(major) => write!(f, "major version is {major}, not 1"),
            Self::MaxDev(max) => write!(f, "roles for {max} devices do not fit"),
            Self::SuperOffset(at) => write!(f, "superblock belongs at sector {at}"),
            Self::UnknownFeatures(bits) => write!(f, "unknown features {bits:#x}"),
            Self::Checksum { stored, computed } => {
                write!(f, "checksum is {computed:#010x}, stored {stored:#010x}")
            }
            Self::DataSize(len) => write!(f, "room for data is only {len} sectors"),
            Self::Padding => write!(f, "reserved bytes are set, perhaps a new feature"),
            Self::DataOverSuperblock(at) => {
                write!(f, "data at sector {at} lies over the superblock")
            }
            Self::DataBeyondDevice => write!(f, "data reaches beyond its place on the member"),
            Self::NewOffset(by) => write!(f, "reshape moves data by {by} sectors, off the member"),
            Self::RaidDisks(n) => write!(f, "array of {n} slots"),
            Self::DeltaDisks(n) => write!(f, "reshape adds {n} slots, more than there are"),
            Self::ReshapePosition(at) => {
                write!(f, "reshape at sector {at}, behind the end of the array")
            }
            Self::BlockSize(n) => write!(f, "logical block size {n}"),
            Self::BadBlockLogMissing => write!(f, "bad blocks are recorded but there is no log"),
            Self::BadBlockLogSize(n) => write!(f, "bad-block log of {n} sectors"),
            Self::BadBlockLogPlace(by) => write!(
                f,
                "bad-block log at {by} sectors from the superblock, off the member"
            ),
            Self::BadBlockShift(n) => write!(f, "bad-block unit of 2^{n} sectors"),
            Self::BitmapPlace(by) => write!(
                f,
                "bitmap at {by} sectors from the superblock, off the member"
            ),
            Self::PplPlace(by) => write!(
                f,
                "partial parity log at {by} sectors from the superblock, off the member"
            ),
            Self::PplNotAlone => write!(
                f,
                "partial parity log beside a bitmap, a journal or another kind"
            ),
            Self::Raid0Layout => write!(f, "raid0 layout on another level"),
            Self::JournalWithoutFeature => write!(f, "journal of an array without journal"),
            Self::Areas(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Sb1Error {}

/// Why an update cannot be written. None of them happens to values that the driver keeps within the format's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// Fewer than 4096 bytes were given, or they hold no 1.x superblock.
    NotASuperblock,
    /// A member's number is 1920 or more.
    TooManyDevices(u32),
    /// The chunk is longer than 2^32 sectors.
    Chunk(Sectors),
    /// A reshape moves the data further than the format can say.
    NewOffset,
    /// Bad blocks are to be recorded on a member without a log. C md fails the member.
    NoBadBlockLog,
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotASuperblock => write!(f, "no superblock to update"),
            Self::TooManyDevices(number) => write!(f, "no room for the role of member {number}"),
            Self::Chunk(chunk) => write!(f, "chunk of {chunk} sectors"),
            Self::NewOffset => write!(f, "new data offset too far from the old one"),
            Self::NoBadBlockLog => write!(f, "no log to record bad blocks in"),
        }
    }
}

impl core::error::Error for UpdateError {}
