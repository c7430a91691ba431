// SPDX-License-Identifier: GPL-2.0

//! Block devices: disks of our own, and the devices below them.

pub mod badblocks;
pub mod bdev;
pub mod bio;
pub mod bio_set;
pub mod disk;
pub mod fan;
pub mod holder;
pub mod limits;
pub mod major;
mod operations;
pub mod parked;
pub mod plug;
pub mod status;
pub mod sync_io;
