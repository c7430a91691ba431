// SPDX-License-Identifier: GPL-2.0

//! P and Q of raid6, a byte at a time: the oracle that fast code is checked against.
//!
//! `P = D0 + D1 + ...` and `Q = 2^0 D0 + 2^1 D1 + ...` over GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1
//! (0x11d), where addition is XOR and 2 generates all 255 non-zero elements (H. Peter Anvin, "The mathematics of
//! RAID-6"; lib/raid/raid6 in the kernel).
//!
//! Which exponent belongs to which member depends on the layout: [`crate::layout::raid456::Roles::exponent`].

use core::fmt;

/// The field's polynomial without its x^8, which shifting out takes care of.
const POLYNOMIAL: u8 = 0x1d;

/// How many different exponents there are: a raid6 row has at most this many data members.
pub const EXPONENTS: u8 = 255;

/// `2 * a`.
const fn double(a: u8) -> u8 {
    let carry = a >> 7;
    // Without branches on data, as the vector code does it.
    (a << 1) ^ (carry.wrapping_neg() & POLYNOMIAL)
}

/// `a * b`.
pub const fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// `a` to the power `n`.
const fn power(a: u8, n: u8) -> u8 {
    let (mut base, mut n, mut result) = (a, n, 1);
    while n != 0 {
        if n & 1 == 1 {
            result = multiply(result, base);
        }
        base = multiply(base, base);
        n >>= 1;
    }
    result
}

/// `1 / a`, or `None` for zero. The 254th power, since the 255th of every other element is 1.
pub const fn inverse(a: u8) -> Option<u8> {
    if a == 0 {
        None
    } else {
        Some(power(a, EXPONENTS - 1))
    }
}

/// The exponent of the generator that a data block has in Q, below [`EXPONENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exponent(u8);

impl Exponent {
    /// Takes an exponent, or `None` from 255 on, where the powers of the generator repeat.
    pub fn new(exponent: u16) -> Option<Self> {
        u8::try_from(exponent)
            .ok()
            .filter(|exponent| *exponent < EXPONENTS)
            .map(Self)
    }

    /// The factor: 2 to this power.
    pub const fn factor(self) -> u8 {
        power(2, self.0)
    }
}

/// P and Q of one byte of each data block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syndrome {
    /// The XOR of the data.
    pub p: u8,
    /// The weighted sum of the data.
    pub q: u8,
}

/// What a data byte was and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub old: u8,
    /// After.
    pub new: u8,
}

/// The two lost blocks have the same exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameExponent;

impl fmt::Display for SameExponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two lost blocks have the same exponent")
    }
}

impl Syndrome {
    /// The syndrome of these data bytes; blocks that are left out count as zero.
    pub fn of(data: impl Iterator<Item = (Exponent, u8)>) -> Self {
        data.fold(Self::default(), |sum, (exponent, byte)| Self {
            p: sum.p ^ byte,
            q: sum.q ^ multiply(exponent.factor(), byte),
        })
    }

    /// After a data byte changed: what a read-modify-write does.
    #[must_use]
    pub const fn updated(self, exponent: Exponent, Change { old, new }: Change) -> Self {
        let change = old ^ new;
        Self {
            p: self.p ^ change,
            q: self.q ^ multiply(exponent.factor(), change),
        }
    }

    /// A lost data byte, from P; `self` is the syndrome of the rest. Q, if lost too, is [`Syndrome::of`] all data
    /// then.
    pub const fn data_from_p(self, p: u8) -> u8 {
        self.p ^ p
    }

    /// A lost data byte, from Q; `self` is the syndrome of the rest. P, if lost too, is [`Syndrome::of`] all data
    /// then.
    pub fn data_from_q(self, q: u8, lost: Exponent) -> u8 {
        // A power of the generator is never zero, so it has an inverse.
        inverse(lost.factor()).map_or(0, |inverse| multiply(self.q ^ q, inverse))
    }

    /// Two lost data bytes, from the `stored` P and Q; `self` is the syndrome of the rest.
    ///
    /// # Errors
    ///
    /// [`SameExponent`].
    pub fn two_data(
        self,
        stored: Self,
        lost: (Exponent, Exponent),
    ) -> Result<(u8, u8), SameExponent> {
        let (x, y) = (lost.0.factor(), lost.1.factor());
        // Dx + Dy = p and x Dx + y Dy = q, hence (x + y) Dx = q + y p.
        let (p, q) = (self.p ^ stored.p, self.q ^ stored.q);
        let inverse = inverse(x ^ y).ok_or(SameExponent)?;
        let first = multiply(inverse, q ^ multiply(y, p));
        Ok((first, first ^ p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_reaches_every_element_once() {
        let mut seen = [false; 256];
        for exponent in 0..255 {
            let factor = Exponent::new(exponent).expect("below 255").factor();
            let before = core::mem::replace(&mut seen[usize::from(factor)], true);
            assert!(!before && factor != 0);
        }
        assert_eq!(Exponent::new(255), None);
        assert_eq!(Exponent::new(256), None);
    }

    #[test]
    fn inverses() {
        assert_eq!(inverse(0), None);
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a).expect("not zero")), 1);
        }
    }
}
