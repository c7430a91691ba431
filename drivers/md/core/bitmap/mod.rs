// SPDX-License-Identifier: GPL-2.0

//! Write-intent bitmaps: which chunks of an array may differ between members.
//!
//! Two kinds exist. The *lockless* bitmap keeps one byte per chunk, its [`cell`], whose states also say which chunks
//! were never written; the *classic* bitmap keeps one bit per chunk on media and a [`counter`] in memory.
//!
//! - [`cell`]: the states of a lockless chunk and every transition between them.
//! - [`page`]: which block of the lockless bitmap a transition makes due for writing, and what it infects.
//! - [`geometry`]: chunk size, pages, and which chunks an I/O covers, of the lockless bitmap.
//! - [`resize`]: cells under a new geometry.
//! - [`barrier`]: how writers and the daemon keep out of each other's way on one page.
//! - [`counter`]: the classic counter and when a bit on media may be cleared.
//! - [`classic`]: chunk size and pages of the classic bitmap.
//!
//! The formats are in [`format::bitmap`](crate::format::bitmap).

use crate::units::Sectors;

pub mod barrier;
pub mod cell;
pub mod classic;
pub mod counter;
pub mod geometry;
pub mod page;
pub mod resize;

/// What a bitmap answers a pass that comes to a sector of the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Whether copies may differ there.
    pub needed: bool,
    /// For how many sectors from there this holds; never zero.
    pub sectors: Sectors,
}

impl SyncAnswer {
    /// All is to be done: what is answered without a bitmap.
    pub const ALL: Self = Self {
        needed: true,
        sectors: Sectors::MAX,
    };
}
