// SPDX-License-Identifier: GPL-2.0

//! The layout words of raid4, raid5 and raid6 (`ALGORITHM_*` in raid5.h).

use core::fmt;

/// The layout word is not one that the level knows; EIO in C md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLayout(pub u32);

impl fmt::Display for UnknownLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layout {} not supported", self.0)
    }
}

macro_rules! layout_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$item_doc])* $item,)*
        }

        impl $name {
            /// Every layout, in the order of the words.
            pub const ALL: &'static [Self] = &[$(Self::$item),*];

            /// Reads a layout word.
            ///
            /// # Errors
            ///
            /// [`UnknownLayout`].
            pub const fn parse(word: u32) -> Result<Self, UnknownLayout> {
                match word {
                    $($word => Ok(Self::$item),)*
                    _ => Err(UnknownLayout(word)),
                }
            }

            /// The layout word.
            pub const fn word(self) -> u32 {
                match self {
                    $(Self::$item => $word,)*
                }
            }
        }
    };
}

layout_words! {
    /// Where raid5 puts parity and data.
    Raid5Layout {
        /// P moves down from the last member, data begins with the first.
        LeftAsymmetric = 0,
        /// P moves up from the first member, data begins with the first.
        RightAsymmetric = 1,
        /// P moves down from the last member, data begins behind it: the default.
        LeftSymmetric = 2,
        /// P moves up from the first member, data begins behind it.
        RightSymmetric = 3,
        /// P is on the first member.
        ParityFirst = 4,
        /// P is on the last member, as in raid4.
        ParityLast = 5,
    }
}

layout_words! {
    /// Where raid6 puts parity and data.
    Raid6Layout {
        /// P moves down from the last member, Q is behind it, data begins with the first.
        LeftAsymmetric = 0,
        /// P moves up from the first member, Q is behind it, data begins with the first.
        RightAsymmetric = 1,
        /// P moves down from the last member, Q is behind it, data begins behind Q: the default.
        LeftSymmetric = 2,
        /// P moves up from the first member, Q is behind it, data begins behind Q.
        RightSymmetric = 3,
        /// P and Q are on the first two members.
        ParityFirst = 4,
        /// P and Q are on the last two members.
        ParityLast = 5,
        /// DDF PRL=6 RLQ=1: as right-asymmetric, with Q in DDF's order.
        RotatingZeroRestart = 8,
        /// DDF PRL=6 RLQ=2: as left-asymmetric but one row ahead, with Q in DDF's order.
        RotatingNRestart = 9,
        /// DDF PRL=6 RLQ=3: as left-symmetric but Q is before P, with Q in DDF's order.
        RotatingNContinue = 10,
        /// raid5's left-asymmetric on all members but the last, which holds Q.
        LeftAsymmetric6 = 16,
        /// raid5's right-asymmetric on all members but the last, which holds Q.
        RightAsymmetric6 = 17,
        /// raid5's left-symmetric on all members but the last, which holds Q.
        LeftSymmetric6 = 18,
        /// raid5's right-symmetric on all members but the last, which holds Q.
        RightSymmetric6 = 19,
        /// P is on the first member, Q on the last.
        ParityFirst6 = 20,
    }
}

/// A level with parity and its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParityLayout {
    /// Level 4, which ignores its layout word: P is on the last member.
    Raid4,
    /// Level 5.
    Raid5(Raid5Layout),
    /// Level 6.
    Raid6(Raid6Layout),
}

impl ParityLayout {
    /// How many members of a row hold parity, and how many may fail.
    pub const fn parities(self) -> u16 {
        match self {
            Self::Raid4 | Self::Raid5(_) => 1,
            Self::Raid6(_) => 2,
        }
    }
}

impl Raid5Layout {
    /// The raid6 layout that keeps every chunk of this one in its place and adds Q on a further member.
    pub const fn with_q_last(self) -> Raid6Layout {
        match self {
            Self::LeftAsymmetric => Raid6Layout::LeftAsymmetric6,
            Self::RightAsymmetric => Raid6Layout::RightAsymmetric6,
            Self::LeftSymmetric => Raid6Layout::LeftSymmetric6,
            Self::RightSymmetric => Raid6Layout::RightSymmetric6,
            Self::ParityFirst => Raid6Layout::ParityFirst6,
            Self::ParityLast => Raid6Layout::ParityLast,
        }
    }
}

impl Raid6Layout {
    /// The raid5 layout that is left when the last member goes, where that member holds nothing but Q.
    pub const fn without_q_last(self) -> Option<Raid5Layout> {
        match self {
            Self::LeftAsymmetric6 => Some(Raid5Layout::LeftAsymmetric),
            Self::RightAsymmetric6 => Some(Raid5Layout::RightAsymmetric),
            Self::LeftSymmetric6 => Some(Raid5Layout::LeftSymmetric),
            Self::RightSymmetric6 => Some(Raid5Layout::RightSymmetric),
            Self::ParityFirst6 => Some(Raid5Layout::ParityFirst),
            Self::ParityLast => Some(Raid5Layout::ParityLast),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_outside_the_table_are_refused() {
        let six: Vec<u32> = (0..64).filter(|w| Raid6Layout::parse(*w).is_ok()).collect();
        assert_eq!(six, [0, 1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 18, 19, 20]);
        let five: Vec<u32> = (0..64).filter(|w| Raid5Layout::parse(*w).is_ok()).collect();
        assert_eq!(five, [0, 1, 2, 3, 4, 5]);
        assert_eq!(Raid5Layout::parse(u32::MAX), Err(UnknownLayout(u32::MAX)));
    }

    #[test]
    fn adding_and_removing_q_are_inverse() {
        for five in Raid5Layout::ALL {
            assert_eq!(five.with_q_last().without_q_last(), Some(*five));
        }
    }
}
