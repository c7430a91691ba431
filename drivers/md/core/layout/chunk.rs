// SPDX-License-Identifier: GPL-2.0

//! Chunk lengths and member counts: the two numbers every map divides by.
//!
//! A division is the dearest step of a map, and nearly every chunk and many member counts are powers of two, so both
//! types find that out once, when they are built, and shift from then on.

use crate::units::{Sector, Sectors, Slot};
use core::{
    fmt,
    num::{NonZeroU16, NonZeroU32},
};

/// Divides by a number that never changes.
///
/// # Invariants
///
/// `shift` is `log2(by)` where `by` is a power of two, and [`Divider::NO_SHIFT`] where it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Divider {
    by: NonZeroU32,
    shift: u32,
}

impl Divider {
    const NO_SHIFT: u32 = u32::MAX;

    const fn new(by: NonZeroU32) -> Self {
        let shift = if by.is_power_of_two() {
            by.trailing_zeros()
        } else {
            Self::NO_SHIFT
        };
        // INVARIANT: both clauses were decided just above.
        Self { by, shift }
    }

    const fn is_power_of_two(self) -> bool {
        self.shift != Self::NO_SHIFT
    }

    /// Quotient and remainder.
    #[inline]
    fn split(self, value: u64) -> (u64, u32) {
        if self.is_power_of_two() {
            // `wrapping_shr` because it cannot panic; by the type invariant the shift is below 32.
            let mask = self.by.get().wrapping_sub(1);
            return (value.wrapping_shr(self.shift), low_u32(value) & mask);
        }
        let by = u64::from(self.by.get());
        (value / by, low_u32(value % by))
    }
}

/// The low half: the whole value where it is a remainder of a 32-bit division.
#[inline]
const fn low_u32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The low half: the whole value where it is a remainder of a 16-bit division.
#[inline]
const fn low_u16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Why a chunk length does not fit the level; EINVAL in C md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The level needs a chunk length and there is none.
    Missing,
    /// raid10 and raid4/5/6 address by shifts.
    NotPowerOfTwo,
    /// raid10 and raid4/5/6 work in whole pages.
    SmallerThanPage,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the level needs a chunk size",
            Self::NotPowerOfTwo => "the chunk size is not a power of two",
            Self::SmallerThanPage => "the chunk size is smaller than a page",
        })
    }
}

/// The length of a chunk in sectors: at least 1, not always a power of two (raid0 and linear take any).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSize(Divider);

impl ChunkSize {
    /// A chunk of `sectors` sectors.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Missing`] for zero, which superblocks of linear and raid1 arrays carry for "no chunks".
    pub const fn new(sectors: u32) -> Result<Self, ChunkError> {
        match NonZeroU32::new(sectors) {
            Some(sectors) => Ok(Self(Divider::new(sectors))),
            None => Err(ChunkError::Missing),
        }
    }

    /// The length in sectors.
    #[inline]
    pub fn sectors(self) -> Sectors {
        Sectors::new(u64::from(self.0.by.get()))
    }

    /// The number of the chunk that holds `at`, and the offset of `at` in it.
    #[inline]
    pub fn split(self, at: Sector) -> (u64, Sectors) {
        let (chunk, offset) = self.0.split(at.get());
        (chunk, Sectors::new(u64::from(offset)))
    }

    /// `len` rounded down to whole chunks.
    pub fn round_down(self, len: Sectors) -> Sectors {
        let (_, rest) = self.0.split(len.get());
        Sectors::new(len.get().saturating_sub(u64::from(rest)))
    }

    /// `len` with the bits of `chunk - 1` cleared: rounding down as C md's `raid0_size` does it.
    ///
    /// Equal to [`ChunkSize::round_down`] for a power of two. For any other chunk it loses up to a chunk, and arrays
    /// made by the C driver have just that size.
    pub fn mask_down(self, len: Sectors) -> Sectors {
        let mask = u64::from(self.0.by.get()).saturating_sub(1);
        Sectors::new(len.get() & !mask)
    }
}

/// A chunk length that is a power of two and at least a page, as raid10 and raid4/5/6 need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerOfTwoChunk(ChunkSize);

impl PowerOfTwoChunk {
    /// Takes `chunk` for a level that shifts, on a machine with pages of `page` sectors.
    ///
    /// # Errors
    ///
    /// [`ChunkError::NotPowerOfTwo`], [`ChunkError::SmallerThanPage`].
    pub fn new(chunk: ChunkSize, page: Sectors) -> Result<Self, ChunkError> {
        if !chunk.0.is_power_of_two() {
            return Err(ChunkError::NotPowerOfTwo);
        }
        if chunk.sectors() < page {
            return Err(ChunkError::SmallerThanPage);
        }
        Ok(Self(chunk))
    }

    /// The same length without the promise.
    #[inline]
    pub const fn size(self) -> ChunkSize {
        self.0
    }

    /// The length in sectors.
    #[inline]
    pub fn sectors(self) -> Sectors {
        self.0.sectors()
    }

    /// The number of the chunk that holds `at`, and the offset of `at` in it.
    #[inline]
    pub fn split(self, at: Sector) -> (u64, Sectors) {
        // By construction the shift is there; this keeps the optimiser from emitting the division.
        let shift = self.0 .0.by.trailing_zeros();
        let mask = u64::from(self.0 .0.by.get()).wrapping_sub(1);
        (at.get().wrapping_shr(shift), Sectors::new(at.get() & mask))
    }

    /// The first sector of chunk number `chunk`, or `None` beyond 2^64.
    #[inline]
    pub fn start_of(self, chunk: u64) -> Option<Sector> {
        chunk
            .checked_mul(u64::from(self.0 .0.by.get()))
            .map(Sector::new)
    }
}

/// How many members an array has; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberCount(Divider);

impl MemberCount {
    /// A single member.
    pub const ONE: Self = Self(Divider::new(NonZeroU32::MIN));

    /// A count of `members`, or `None` for zero.
    pub fn new(members: u16) -> Option<Self> {
        NonZeroU16::new(members).map(|members| Self(Divider::new(NonZeroU32::from(members))))
    }

    /// The count.
    #[inline]
    pub const fn get(self) -> u16 {
        low_u16(self.0.by.get())
    }

    /// `value / count` and `value % count`.
    #[inline]
    pub fn split(self, value: u64) -> (u64, u16) {
        let (row, index) = self.0.split(value);
        (row, low_u16(index))
    }

    /// Whether `slot` is one of the members.
    #[inline]
    pub const fn has(self, slot: Slot) -> bool {
        slot.get() < self.get()
    }

    /// Every slot, in order.
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (0..self.get()).map(Slot::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_agrees_with_plain_division() {
        for by in [1u32, 2, 3, 7, 8, 24, 128, 1000, 1 << 31, u32::MAX] {
            let divider = Divider::new(NonZeroU32::new(by).expect("not zero"));
            for value in [0, 1, 23, 24, 25, u64::from(u32::MAX) + 1, u64::MAX] {
                let (quotient, rest) = divider.split(value);
                assert_eq!(quotient, value / u64::from(by));
                assert_eq!(u64::from(rest), value % u64::from(by));
            }
        }
    }

    #[test]
    fn masking_loses_more_than_rounding_unless_a_power_of_two() {
        let odd = ChunkSize::new(24).expect("a chunk");
        assert_eq!(odd.round_down(Sectors::new(1007)), Sectors::new(984));
        // 984 = 0b11_1101_1000, and the bits of 23 = 0b1_0111 go.
        assert_eq!(odd.mask_down(Sectors::new(984)), Sectors::new(968));
        let even = ChunkSize::new(8).expect("a chunk");
        assert_eq!(
            even.round_down(Sectors::new(1007)),
            even.mask_down(Sectors::new(1007))
        );
    }

    #[test]
    fn shifting_levels_refuse_odd_and_small_chunks() {
        let page = Sectors::new(8);
        let chunk = |sectors| ChunkSize::new(sectors).and_then(|c| PowerOfTwoChunk::new(c, page));
        assert_eq!(chunk(0), Err(ChunkError::Missing));
        assert_eq!(chunk(24), Err(ChunkError::NotPowerOfTwo));
        assert_eq!(chunk(4), Err(ChunkError::SmallerThanPage));
        assert!(chunk(8).is_ok());
    }
}
