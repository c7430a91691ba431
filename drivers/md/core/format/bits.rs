// SPDX-License-Identifier: GPL-2.0

//! Words on disk whose bits each say something.

/// Gives a type that holds a `u32` the operations of a set of bits.
macro_rules! bit_set {
    ($name:ident) => {
        impl $name {
            /// The word on disk.
            pub const fn to_raw(self) -> u32 {
                self.0
            }

            /// Whether every bit of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether a bit of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The bits of both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits of `self` that are not in `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }
    };
}

pub(super) use bit_set;
