// SPDX-License-Identifier: GPL-2.0

//! The quantities md counts in, each as a type of its own.
//!
//! A sector is always 512 bytes, whatever the logical block size of a device. A [`Sector`] is a *position*, a
//! [`Sectors`] is a *length*: adding two positions, or passing a length where a position is meant, does not compile.
//! All arithmetic is checked; nothing converts from a bare integer without saying so by `new`.

use core::fmt;

/// Bytes in a sector.
pub const SECTOR_SIZE: u32 = 512;
/// `log2` of [`SECTOR_SIZE`].
pub const SECTOR_SHIFT: u32 = 9;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name($int);

        impl $name {
            /// The value zero.
            pub const ZERO: Self = Self(0);
            /// The largest value; C md's `MaxSector` where the unit is a sector.
            pub const MAX: Self = Self(<$int>::MAX);

            /// Gives a bare number its unit.
            #[inline]
            pub const fn new(value: $int) -> Self {
                Self(value)
            }

            /// The bare number.
            #[inline]
            pub const fn get(self) -> $int {
                self.0
            }

            /// Whether this is zero.
            #[inline]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit! {
    /// A position, in sectors of 512 bytes, on a device or in an array.
    Sector(u64)
}
unit! {
    /// A length, in sectors of 512 bytes.
    Sectors(u64)
}
unit! {
    /// The number of a member's role in the array: `0..raid_disks`.
    Slot(u16)
}
unit! {
    /// A member's number in the superblock's tables (`desc_nr`, `dev_number`); not its slot.
    MemberNumber(u32)
}
unit! {
    /// The superblock's event counter.
    Events(u64)
}
unit! {
    /// The index of a bitmap chunk (one classic bit, one llbitmap byte).
    BitmapChunk(u64)
}

impl Sector {
    /// `self + length`, or `None` beyond 2^64.
    #[inline]
    pub const fn checked_add(self, length: Sectors) -> Option<Self> {
        match self.0.checked_add(length.0) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// `self - length`, or `None` below zero.
    #[inline]
    pub const fn checked_sub(self, length: Sectors) -> Option<Self> {
        match self.0.checked_sub(length.0) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// `self + length`, stopping at [`Sector::MAX`].
    #[inline]
    pub const fn saturating_add(self, length: Sectors) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// The position `offset` sectors away in either direction (on-disk offsets are signed), or `None` out of range.
    #[inline]
    pub const fn checked_offset(self, offset: i64) -> Option<Self> {
        match self.0.checked_add_signed(offset) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// The distance from `earlier` up to `self`, or `None` when `earlier` lies behind `self`.
    #[inline]
    pub const fn distance_from(self, earlier: Self) -> Option<Sectors> {
        match self.0.checked_sub(earlier.0) {
            Some(v) => Some(Sectors(v)),
            None => None,
        }
    }
}

impl Sectors {
    /// `self + other`, or `None` beyond 2^64.
    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// `self - other`, or `None` below zero.
    #[inline]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// `self * factor`, or `None` beyond 2^64.
    #[inline]
    pub const fn checked_mul(self, factor: u64) -> Option<Self> {
        match self.0.checked_mul(factor) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// The smaller of two lengths.
    #[inline]
    pub const fn min(self, other: Self) -> Self {
        if self.0 < other.0 {
            self
        } else {
            other
        }
    }

    /// The larger of two lengths.
    #[inline]
    pub const fn max(self, other: Self) -> Self {
        if self.0 > other.0 {
            self
        } else {
            other
        }
    }

    /// The length in bytes, or `None` beyond 2^64.
    #[inline]
    pub const fn to_bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE as u64)
    }

    /// Whole sectors in `bytes`, or `None` when `bytes` is not a multiple of a sector.
    #[inline]
    pub const fn from_bytes_exact(bytes: u64) -> Option<Self> {
        if bytes % SECTOR_SIZE as u64 == 0 {
            Some(Self(bytes >> SECTOR_SHIFT))
        } else {
            None
        }
    }

    /// Sectors needed to hold `bytes`.
    #[inline]
    pub const fn from_bytes_ceil(bytes: u64) -> Self {
        Self(bytes.div_ceil(SECTOR_SIZE as u64))
    }

    /// The length in KiB, as the ABI prints sizes; an odd last sector is dropped, as C md does.
    #[inline]
    pub const fn to_kib(self) -> u64 {
        self.0 / 2
    }

    /// The length of `kib` KiB, or `None` beyond 2^64 sectors.
    #[inline]
    pub const fn from_kib(kib: u64) -> Option<Self> {
        match kib.checked_mul(2) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }
}

impl Events {
    /// The next event count; it stays at the largest value rather than wrap.
    #[inline]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether a member at `self` is recent enough for an array at `array`: C md accepts one event behind
    /// (a crash between two members' superblock writes).
    #[inline]
    pub const fn is_fresh_for(self, array: Self) -> bool {
        self.0.saturating_add(1) >= array.0
    }
}

/// A non-empty run of sectors that does not reach beyond 2^64.
///
/// # Invariants
///
/// `start + len` does not overflow and `len` is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorRange {
    start: Sector,
    len: Sectors,
}

impl SectorRange {
    /// The run of `len` sectors at `start`, or `None` when it is empty or reaches beyond 2^64.
    #[inline]
    pub const fn new(start: Sector, len: Sectors) -> Option<Self> {
        if len.is_zero() || start.checked_add(len).is_none() {
            return None;
        }
        // INVARIANT: both clauses were checked just above.
        Some(Self { start, len })
    }

    /// First sector.
    #[inline]
    pub const fn start(self) -> Sector {
        self.start
    }

    /// Last sector.
    #[inline]
    pub const fn last(self) -> Sector {
        // By the type invariant neither wraps.
        Sector::new(
            self.start
                .get()
                .wrapping_add(self.len.get().wrapping_sub(1)),
        )
    }

    /// Length, never zero.
    #[inline]
    pub const fn len(self) -> Sectors {
        self.len
    }

    /// A range is never empty; here because of `len`.
    #[inline]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// First sector behind the range.
    #[inline]
    pub const fn end(self) -> Sector {
        // By the type invariant the saturation never happens.
        self.start.saturating_add(self.len)
    }

    /// Whether the two ranges share a sector.
    #[inline]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.get() < other.end().get() && other.start.get() < self.end().get()
    }

    /// Whether `other` lies wholly inside `self`.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.start.get() <= other.start.get() && other.end().get() <= self.end().get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, len: u64) -> SectorRange {
        SectorRange::new(Sector::new(start), Sectors::new(len)).expect("a valid range")
    }

    #[test]
    fn ranges_refuse_empty_and_wrapping() {
        assert_eq!(SectorRange::new(Sector::ZERO, Sectors::ZERO), None);
        assert_eq!(SectorRange::new(Sector::MAX, Sectors::new(1)), None);
        assert_eq!(range(u64::MAX - 1, 1).end(), Sector::MAX);
        assert_eq!(range(u64::MAX - 1, 1).last(), Sector::new(u64::MAX - 1));
        assert_eq!(range(8, 8).last(), Sector::new(15));
    }

    #[test]
    fn neighbours_do_not_overlap() {
        assert!(!range(0, 8).overlaps(range(8, 8)));
        assert!(range(0, 9).overlaps(range(8, 8)));
        assert!(range(0, 16).contains(range(8, 8)));
        assert!(!range(0, 15).contains(range(8, 8)));
    }

    #[test]
    fn one_event_behind_is_fresh() {
        assert!(Events::new(6).is_fresh_for(Events::new(7)));
        assert!(!Events::new(5).is_fresh_for(Events::new(7)));
        assert!(Events::MAX.is_fresh_for(Events::MAX));
    }

    #[test]
    fn bytes_and_kib() {
        assert_eq!(Sectors::from_bytes_exact(513), None);
        assert_eq!(Sectors::from_bytes_ceil(513), Sectors::new(2));
        assert_eq!(Sectors::new(3).to_kib(), 1);
        assert_eq!(Sectors::from_kib(u64::MAX), None);
        assert_eq!(Sectors::MAX.to_bytes(), None);
    }

    #[test]
    fn offsets_are_signed_and_checked() {
        assert_eq!(Sector::new(8).checked_offset(-8), Some(Sector::ZERO));
        assert_eq!(Sector::new(8).checked_offset(-9), None);
        assert_eq!(Sector::new(8).distance_from(Sector::new(9)), None);
    }
}
