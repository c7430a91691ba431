// SPDX-License-Identifier: GPL-2.0

//! Where a sector of an array lies on its members, for every level, and back.
//!
//! Each level is a *verified* value: it is built once from the numbers of a superblock, and building is where every
//! impossible geometry is refused by name. Mapping afterwards can fail in one way only, [`BeyondEnd`].
//!
//! Sectors on a member are counted from the start of its data area: the driver adds the member's `data_offset`.
//!
//! - [`chunk`]: chunk lengths and member counts, with the division they are used for.
//! - [`linear`], [`raid0`]: no redundancy; members may differ in length.
//! - [`mirror`]: raid1 and raid10 behind one trait.
//! - [`raid456`]: rotating parity.
//! - [`reshape`]: positions while an array changes from one geometry to another.

pub mod chunk;
pub mod linear;
pub mod mirror;
pub mod raid0;
pub mod raid456;
pub mod reshape;

use crate::units::{Sector, Sectors, Slot};
use core::fmt;

/// A sector on one member, counted from the start of the member's data area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberSector {
    /// The member.
    pub slot: Slot,
    /// The position in its data area.
    pub sector: Sector,
}

/// A run of array sectors that lies on one member without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRun {
    /// The member.
    pub slot: Slot,
    /// The first sector, in the member's data area.
    pub sector: Sector,
    /// The length of the run, never zero.
    pub len: Sectors,
}

/// The sector lies at or beyond the end of the array.
///
/// The request is failed with EIO; the C driver stops the machine here for raid0 (`BUG()` in `find_zone`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondEnd;

impl fmt::Display for BeyondEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sector lies beyond the end of the array")
    }
}
