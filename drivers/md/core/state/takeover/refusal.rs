// SPDX-License-Identifier: GPL-2.0

//! Why a takeover is refused.

use core::fmt;

use crate::format::level::Level;

/// Why a level does not take over an array. C md: `EINVAL` unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The new level takes over nothing.
    NoTakeover,
    /// It does not take over this level.
    Source(Level),
    /// The array has a bitmap. C md: `EBUSY`.
    HasBitmap,
    /// The new level cannot read this layout.
    Layout,
    /// The array has the wrong number of slots.
    Slots,
    /// The wrong number of members is missing.
    Missing,
    /// The member on the last slot is in the way: it holds the parity that is to go.
    LastSlotTaken,
    /// Members that are not in sync are in the way of a level that needs each of its members.
    OtherMembers,
    /// A raid0 array with more than one zone.
    Zones,
    /// No chunk size divides the size of the array.
    Size,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTakeover => f.write_str("the level takes over no other"),
            Self::Source(level) => {
                write!(f, "the level does not take over level {}", level.number())
            }
            Self::HasBitmap => f.write_str("the array has a bitmap"),
            Self::Layout => f.write_str("the layout does not allow it"),
            Self::Slots => f.write_str("the number of slots does not allow it"),
            Self::Missing => f.write_str("the number of missing members does not allow it"),
            Self::LastSlotTaken => f.write_str("the parity member is still there"),
            Self::OtherMembers => {
                f.write_str("members that are not in use are to be removed first")
            }
            Self::Zones => f.write_str("the array has more than one zone"),
            Self::Size => f.write_str("no chunk size divides the size of the array"),
        }
    }
}
