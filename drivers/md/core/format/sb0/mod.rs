// SPDX-License-Identifier: GPL-2.0

//! The superblock 0.90 (`mdp_super_t`): 4096 bytes of host-endian words near the end of each member,
//! with a descriptor for each of at most 27 devices. Version 0.91 is the same while a reshape is under way.
//!
//! [`Sb0`] is a verified view; it gives the same [`ArrayState`] and [`MemberState`] as a 1.x superblock
//! does. Nothing of an old superblock is kept by an update: a [`Record`] writes all of it from scratch.

mod raw;
mod record;
mod view;

pub use record::{DeviceNumber, InternalBitmap, Numbering, Record, RecordError, Seat, Standing};
pub use view::{Descriptor, DeviceCounts, DiskState, Sb0, Sb0Error};

use super::sb1::{ArrayState, MemberState};
use crate::units::{Sector, Sectors};

/// Bytes of the superblock.
pub const BLOCK_BYTES: usize = 4096;
/// Sectors of the superblock.
const SUPERBLOCK_SECTORS: Sectors = Sectors::new(8);
/// Devices that have a descriptor (`MD_SB_DISKS`).
pub const DEVICES_MAX: u16 = 27;
/// Where a bitmap starts, in sectors from the superblock.
pub const BITMAP_OFFSET: i32 = 8;
/// Room for a bitmap behind the superblock, in sectors.
pub const BITMAP_ROOM: Sectors = Sectors::new(120);
/// What is kept for metadata at the end of a member, and what its length is rounded down to (`MD_RESERVED_SECTORS`).
const RESERVED_SECTORS: u64 = 128;
/// The longest data of a member of any level but raid0: its size has 32 bits and counts KiB.
pub const DATA_SECTORS_MAX: Sectors = Sectors::new((2 << 32) - 2);

/// Where the superblock lies on a member of `device` sectors, or `None` when it is too short to have one.
pub fn superblock(device: Sectors) -> Option<Sector> {
    (device.get() & !(RESERVED_SECTORS - 1))
        .checked_sub(RESERVED_SECTORS)
        .map(Sector::new)
}

/// The length a member of `device` sectors can give to data: what lies before the superblock, as far as a size can
/// say. Zero when nothing is left.
pub fn data_room(device: Sectors) -> Sectors {
    let before = superblock(device).map_or(0, Sector::get);
    Sectors::new(before).min(DATA_SECTORS_MAX)
}

#[cfg(test)]
mod tests;
