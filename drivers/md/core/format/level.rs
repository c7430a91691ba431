// SPDX-License-Identifier: GPL-2.0

//! The level of an array, as superblocks and ioctls number it.
//!
//! The words of sysfs are in [`words`](crate::words); which layouts a level has is in [`layout`](crate::layout).

/// A personality of this driver, or a level it has none for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Members one behind the other (-1).
    Linear,
    /// Striping (0).
    Raid0,
    /// Mirroring (1).
    Raid1,
    /// Striping, one member only for parity (4).
    Raid4,
    /// Striping, rotating parity (5).
    Raid5,
    /// Striping, two rotating syndromes (6).
    Raid6,
    /// Striped mirrors (10).
    Raid10,
    /// A number without a personality here.
    Unsupported(UnsupportedLevel),
}

/// The number of a level that is none of the named ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnsupportedLevel(i32);

impl UnsupportedLevel {
    /// The removed `multipath` personality (`LEVEL_MULTIPATH`).
    pub const MULTIPATH: Self = Self(-4);
    /// The removed `faulty` personality (`LEVEL_FAULTY`).
    pub const FAULTY: Self = Self(-5);
    /// A container of external metadata, which is not an array (mdadm's `LEVEL_CONTAINER`).
    pub const CONTAINER: Self = Self(-100);

    /// The number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl Level {
    /// The level numbered `number` on disk and in ioctls.
    pub const fn from_number(number: i32) -> Self {
        match number {
            -1 => Self::Linear,
            0 => Self::Raid0,
            1 => Self::Raid1,
            4 => Self::Raid4,
            5 => Self::Raid5,
            6 => Self::Raid6,
            10 => Self::Raid10,
            other => Self::Unsupported(UnsupportedLevel(other)),
        }
    }

    /// The number on disk and in ioctls.
    pub const fn number(self) -> i32 {
        match self {
            Self::Linear => -1,
            Self::Raid0 => 0,
            Self::Raid1 => 1,
            Self::Raid4 => 4,
            Self::Raid5 => 5,
            Self::Raid6 => 6,
            Self::Raid10 => 10,
            Self::Unsupported(level) => level.0,
        }
    }

    /// Whether members can be missing while the array works, hence whether there is anything to resync.
    pub const fn is_redundant(self) -> bool {
        matches!(
            self,
            Self::Raid1 | Self::Raid4 | Self::Raid5 | Self::Raid6 | Self::Raid10
        )
    }

    /// Whether parity is kept: raid4, raid5 or raid6.
    pub const fn has_parity(self) -> bool {
        matches!(self, Self::Raid4 | Self::Raid5 | Self::Raid6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for number in -200..200 {
            assert_eq!(Level::from_number(number).number(), number);
        }
        assert_eq!(
            Level::from_number(-100),
            Level::Unsupported(UnsupportedLevel::CONTAINER)
        );
    }

    #[test]
    fn parity_levels_are_redundant() {
        for number in -5..11 {
            let level = Level::from_number(number);
            assert!(level.is_redundant() || !level.has_parity(), "{level:?}");
        }
    }
}
