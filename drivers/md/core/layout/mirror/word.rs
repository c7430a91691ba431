// SPDX-License-Identifier: GPL-2.0

//! The layout word of raid10.
//!
//! Bits 0-7 near copies, 8-15 far copies, 16 the spread of the far copies, 17-18 the kind of far sets; the rest zero
//! (`setup_geo` in raid10.c). mdadm's `n2`, `f2` and `o2` are 0x102, 0x201 and 0x10201.

use core::fmt;

/// Where on the members the far copies lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarSpread {
    /// Each set of copies fills a section of the members of its own.
    Far,
    /// The far copies of a row of chunks are the rows right behind it.
    Offset,
}

/// The groups of members inside which the far copies of a chunk move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarSets {
    /// Kind 0: all members are one set.
    Whole,
    /// Kind 1: sets of `members / far copies`, the first attempt at smaller sets, which mostly gave no redundancy.
    MembersByFar,
    /// Kind 2: sets of `near copies * far copies`, and the last set takes what is left over.
    Copies,
}

/// Why a layout word is refused; EINVAL in C md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutWordError {
    /// A bit from 19 on is set.
    UnknownBits,
    /// Kind 3 of far sets.
    UnknownFarSets,
    /// No near copies; the original itself counts as one.
    NoNearCopies,
    /// No far copies; the original itself counts as one.
    NoFarCopies,
}

impl fmt::Display for LayoutWordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownBits => "unknown bits in the raid10 layout",
            Self::UnknownFarSets => "unknown kind of far sets in the raid10 layout",
            Self::NoNearCopies => "the raid10 layout has no near copies",
            Self::NoFarCopies => "the raid10 layout has no far copies",
        })
    }
}

/// A layout word taken apart. Whether a number of members can carry it is decided by [`super::Raid10::new`].
///
/// # Invariants
///
/// `near` and `far` are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid10Layout {
    near: u8,
    far: u8,
    spread: FarSpread,
    sets: FarSets,
}

impl Raid10Layout {
    /// The word of an array made without a layout: two near copies.
    pub const DEFAULT_WORD: u32 = 0x102;

    /// Reads a layout word.
    ///
    /// # Errors
    ///
    /// All of [`LayoutWordError`].
    pub fn parse(word: u32) -> Result<Self, LayoutWordError> {
        let [near, far, flags, high] = word.to_le_bytes();
        if high != 0 || flags & !7 != 0 {
            return Err(LayoutWordError::UnknownBits);
        }
        if near == 0 {
            return Err(LayoutWordError::NoNearCopies);
        }
        if far == 0 {
            return Err(LayoutWordError::NoFarCopies);
        }
        // INVARIANT: both were compared with zero just above.
        Ok(Self {
            near,
            far,
            spread: if flags & 1 == 0 {
                FarSpread::Far
            } else {
                FarSpread::Offset
            },
            sets: match flags >> 1 {
                0 => FarSets::Whole,
                1 => FarSets::MembersByFar,
                2 => FarSets::Copies,
                _ => return Err(LayoutWordError::UnknownFarSets),
            },
        })
    }

    /// The layout word.
    pub const fn word(self) -> u32 {
        let spread = match self.spread {
            FarSpread::Far => 0,
            FarSpread::Offset => 1,
        };
        let sets = match self.sets {
            FarSets::Whole => 0,
            FarSets::MembersByFar => 2,
            FarSets::Copies => 4,
        };
        u32::from_le_bytes([self.near, self.far, spread | sets, 0])
    }

    /// Copies on neighbouring members, never zero.
    pub fn near(self) -> u16 {
        u16::from(self.near)
    }

    /// Copies further down the members, never zero.
    pub fn far(self) -> u16 {
        u16::from(self.far)
    }

    /// All copies of a chunk.
    pub fn copies(self) -> u16 {
        // 255 * 255 fits.
        self.near().saturating_mul(self.far())
    }

    /// Where the far copies lie.
    pub const fn spread(self) -> FarSpread {
        self.spread
    }

    /// The groups that the far copies move in.
    pub const fn sets(self) -> FarSets {
        self.sets
    }

    /// Whether the far copies fill sections whose place depends on the length of the members; such an array can be
    /// neither resized nor reshaped (EINVAL in C md).
    pub const fn has_sections(self) -> bool {
        self.far > 1 && matches!(self.spread, FarSpread::Far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_parses_comes_back() {
        for word in 0..0x80000 {
            if let Ok(layout) = Raid10Layout::parse(word) {
                assert_eq!(layout.word(), word);
            }
        }
    }

    #[test]
    fn bad_words_are_named() {
        assert_eq!(
            Raid10Layout::parse(0x8_0102),
            Err(LayoutWordError::UnknownBits)
        );
        assert_eq!(
            Raid10Layout::parse(0x8000_0102),
            Err(LayoutWordError::UnknownBits)
        );
        assert_eq!(
            Raid10Layout::parse(0x6_0201),
            Err(LayoutWordError::UnknownFarSets)
        );
        assert_eq!(
            Raid10Layout::parse(0x100),
            Err(LayoutWordError::NoNearCopies)
        );
        assert_eq!(
            Raid10Layout::parse(0x002),
            Err(LayoutWordError::NoFarCopies)
        );
    }
}
