// SPDX-License-Identifier: GPL-2.0

//! Superblocks 1.0, 1.1 and 1.2 (`struct mdp_superblock_1`): little-endian, 256 bytes and two more per device.
//!
//! [`Sb1`] is a verified view of one that was read; as `Sb1<Unplaced>`, which only who inspects a member needs, nobody
//! has looked yet whether the areas it names overlap. What it says of the array ([`ArrayState`]) and of the member
//! ([`MemberState`]) are plain values, and the same values are what [`Update`] writes. [`Identity`] makes a new one.
//!
//! The minor version is not stored; it is where the superblock lies ([`MinorVersion`]).

mod error;
mod raw;
mod update;
mod values;
mod view;

pub use error::{Sb1Error, UpdateError};
pub use update::{relocate, Identity, NewBadBlockLog, Update};
pub use values::{
    ArrayState, BadBlockLog, BadBlocks, BitmapPlace, Clustering, CrashLog, DataPlace, Direction,
    Features, JournalUse, MemberState, PplKind, PplPlace, Progress, Reshape, ResyncPoint, Role,
    Strays,
};
pub use view::{Sb1, Unplaced};

use super::BlockSize;
use crate::units::{Sector, Sectors};

/// How much of a member is read for a superblock, whatever its size.
pub const BLOCK_BYTES: usize = 4096;
/// The fixed part, before the roles.
pub const HEADER_BYTES: usize = 256;
/// Devices whose roles fit in the block; C md's `max_disks`.
pub const MAX_DEVICES: u16 = 1920;
/// Sectors of the longest bad-block log.
pub const BAD_BLOCK_LOG_SECTORS_MAX: u16 = 8;

const _: () = assert!(HEADER_BYTES + 2 * MAX_DEVICES as usize == BLOCK_BYTES);

/// Where on a member the superblock lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinorVersion {
    /// 1.0: 8 to 12 KiB before the end.
    V1_0,
    /// 1.1: at the start.
    V1_1,
    /// 1.2: 4 KiB from the start.
    V1_2,
}

impl MinorVersion {
    /// The version 1.`number`.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::V1_0),
            1 => Some(Self::V1_1),
            2 => Some(Self::V1_2),
            _ => None,
        }
    }

    /// The number behind the dot.
    pub const fn number(self) -> u32 {
        match self {
            Self::V1_0 => 0,
            Self::V1_1 => 1,
            Self::V1_2 => 2,
        }
    }

    /// Where the superblock lies on a member of `device` sectors, or `None` when it is too short to have one.
    pub fn superblock(self, device: Sectors) -> Option<Sector> {
        let start = match self {
            Self::V1_0 => device.get().checked_sub(16)? & !7,
            Self::V1_1 => 0,
            Self::V1_2 => 8,
        };
        // Eight sectors are read.
        (start.checked_add(8)? <= device.get()).then_some(Sector::new(start))
    }
}

/// What must be known of a member to judge its superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its length.
    pub sectors: Sectors,
    /// Its logical block size; superblocks are written in whole blocks.
    pub block: BlockSize,
}

/// The bytes to write for a superblock with roles for `max_dev` devices: whole blocks of the member.
pub fn written_bytes(max_dev: u16, block: BlockSize) -> u64 {
    block.round_up(256 + 2 * u64::from(max_dev))
}

/// The length a member of `device` sectors can give to data under a 1.0 superblock: what lies before the superblock
/// less room for a bitmap and 4 KiB for a bad-block log (`super_1_rdev_size_change`). Zero when nothing is left.
pub fn data_room_1_0(device: Sectors) -> Sectors {
    /// One GiB in sectors.
    const GIB: u64 = 2 << 20;
    let bitmap = match device.get() {
        0..128 => 0,
        len if len - 128 >= 200 * GIB => 256,
        len if len - 8 > 8 * GIB => 128,
        _ => 8,
    };
    let room = MinorVersion::V1_0
        .superblock(device)
        .and_then(|at| at.checked_sub(Sectors::new(bitmap + 8)));
    Sectors::new(room.map_or(0, Sector::get))
}

#[cfg(test)]
mod tests;
