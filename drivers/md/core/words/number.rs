// SPDX-License-Identifier: GPL-2.0

//! The number syntax of the kernel's attributes.
//!
//! The functions accept and refuse what `kstrtoull()` and its relatives do (lib/kstrtox.c): a leading `+`, no blanks,
//! one trailing newline; a value beyond the type is [`WordError::TooLarge`] even when garbage follows it, anything
//! else that is no number is [`WordError::NotANumber`].

use core::fmt;

use super::{line, WordError};
use crate::units::{Sector, Sectors};

/// How digits are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Radix {
    /// Base 10.
    Decimal,
    /// Base 16 after `0x`, base 8 after `0`, base 10 otherwise (C's base 0).
    Detect,
}

impl Radix {
    fn base_and_digits(self, text: &[u8]) -> (u32, &[u8]) {
        match (self, text) {
            (Self::Detect, [b'0', b'x' | b'X', digits @ ..])
                if digits.first().is_some_and(u8::is_ascii_hexdigit) =>
            {
                (16, digits)
            }
            (Self::Detect, [b'0', ..]) => (8, text),
            _ => (10, text),
        }
    }
}

/// The number `text` begins with, and the rest of the text.
///
/// # Errors
///
/// [`WordError::NotANumber`] without a digit, [`WordError::TooLarge`] beyond 64 bits.
pub(crate) fn leading(text: &[u8], radix: Radix) -> Result<(u64, &[u8]), WordError> {
    let (base, text) = radix.base_and_digits(text);
    let digit = |byte: &u8| char::from(*byte).to_digit(base);
    let count = text.iter().take_while(|byte| digit(byte).is_some()).count();
    let (digits, rest) = text.split_at_checked(count).ok_or(WordError::NotANumber)?;
    if digits.is_empty() {
        return Err(WordError::NotANumber);
    }
    let append = |value: u64, byte: &u8| {
        value
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit(byte)?))
    };
    let value = digits
        .iter()
        .try_fold(0, append)
        .ok_or(WordError::TooLarge)?;
    Ok((value, rest))
}

fn whole(text: &[u8], radix: Radix) -> Result<u64, WordError> {
    match leading(text, radix)? {
        (value, []) => Ok(value),
        _ => Err(WordError::NotANumber),
    }
}

/// `kstrtoull()`.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::TooLarge`].
pub fn parse_u64(written: &[u8], radix: Radix) -> Result<u64, WordError> {
    let text = line(written);
    whole(text.strip_prefix(b"+").unwrap_or(text), radix)
}

/// `kstrtouint()`.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::TooLarge`].
pub fn parse_u32(written: &[u8], radix: Radix) -> Result<u32, WordError> {
    u32::try_from(parse_u64(written, radix)?).map_err(|_| WordError::TooLarge)
}

/// `kstrtoll()`.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::TooLarge`].
pub fn parse_i64(written: &[u8], radix: Radix) -> Result<i64, WordError> {
    match line(written).strip_prefix(b"-") {
        Some(text) => 0_i64
            .checked_sub_unsigned(whole(text, radix)?)
            .ok_or(WordError::TooLarge),
        None => i64::try_from(parse_u64(written, radix)?).map_err(|_| WordError::TooLarge),
    }
}

/// `kstrtoint()`.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::TooLarge`].
pub fn parse_i32(written: &[u8], radix: Radix) -> Result<i32, WordError> {
    i32::try_from(parse_i64(written, radix)?).map_err(|_| WordError::TooLarge)
}

/// A decimal number that C md keeps in an `int` and prints with `%d`: it must not read back negative.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::TooLarge`] beyond 32 bits, [`WordError::OutOfRange`] beyond `INT_MAX`.
pub fn parse_positive_int(written: &[u8]) -> Result<i32, WordError> {
    i32::try_from(parse_u32(written, Radix::Decimal)?).map_err(|_| WordError::OutOfRange)
}

/// `kstrtobool()`: judged by the first letter (`1 y t e` on, `0 n f d` off), `on` and `of(f)` by two.
///
/// # Errors
///
/// [`WordError::UnknownWord`].
pub fn parse_bool(written: &[u8]) -> Result<bool, WordError> {
    match line(written) {
        [b'1' | b'y' | b'Y' | b't' | b'T' | b'e' | b'E', ..] | [b'o' | b'O', b'n' | b'N', ..] => {
            Ok(true)
        }
        [b'0' | b'n' | b'N' | b'f' | b'F' | b'd' | b'D', ..] | [b'o' | b'O', b'f' | b'F', ..] => {
            Ok(false)
        }
        _ => Err(WordError::UnknownWord),
    }
}

/// A length written in KiB (`component_size`, `dev-X/size`).
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] for a length beyond 2^64 sectors.
pub fn parse_kib(written: &[u8]) -> Result<Sectors, WordError> {
    let kib = parse_u64(written, Radix::Decimal).map_err(WordError::invalid)?;
    Sectors::from_kib(kib).ok_or(WordError::OutOfRange)
}

/// A position in sectors (`dev-X/offset`, `new_offset`, `ppl_sector`, `suspend_lo`, `suspend_hi`).
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::TooLarge`]. The member attributes answer `EINVAL` for both.
pub fn parse_sector(written: &[u8]) -> Result<Sector, WordError> {
    parse_u64(written, Radix::Decimal).map(Sector::new)
}

/// How many decimals of a fixed-point number are kept; further digits are read and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimals {
    /// Thousandths (`safe_mode_delay`).
    Three,
    /// Ten-thousandths (`bitmap/time_base`).
    Four,
}

impl Decimals {
    const fn count(self) -> usize {
        match self {
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

/// A fixed-point number such as `5`, `0.2`, `.5` or `5.`, in units of its last kept decimal.
///
/// C md (`strict_strtoul_scaled()`) also reads an empty line and a lone `.` as 0 and wraps silently; these are refused.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] beyond 64 bits.
pub fn parse_scaled(written: &[u8], decimals: Decimals) -> Result<u64, WordError> {
    let text = line(written);
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return Err(WordError::NotANumber);
    }
    let kept = fraction
        .iter()
        .chain(core::iter::repeat(&b'0'))
        .take(decimals.count());
    whole
        .iter()
        .chain(kept)
        .try_fold(0_u64, |value, byte| {
            value
                .checked_mul(10)?
                .checked_add(u64::from(byte.wrapping_sub(b'0')))
        })
        .ok_or(WordError::OutOfRange)
}

/// A position that can also be absent: `none`, or a sector (`resync_start`, `recovery_start`, `reshape_position`).
///
/// C md stores absence as the largest sector and so do disks; writing that number means `none` here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorOrNone {
    /// There is no such position.
    None,
    /// The position, never [`Sector::MAX`].
    At(Sector),
}

impl SectorOrNone {
    /// The value for a position as superblocks store it, where [`Sector::MAX`] is "none".
    pub fn from_stored(sector: Sector) -> Self {
        if sector == Sector::MAX {
            Self::None
        } else {
            Self::At(sector)
        }
    }

    /// The position as superblocks store it.
    pub const fn to_stored(self) -> Sector {
        match self {
            Self::None => Sector::MAX,
            Self::At(sector) => sector,
        }
    }

    /// Reads `none` or a number. `resync_start` tells `ERANGE` from `EINVAL`, `recovery_start` answers `EINVAL` only.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::TooLarge`].
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        if line(written) == b"none" {
            return Ok(Self::None);
        }
        parse_sector(written).map(Self::from_stored)
    }
}

impl fmt::Display for SectorOrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::At(sector) => sector.fmt(f),
        }
    }
}

/// A property of the array's shape, with its old value while a reshape is replacing it: `new`, or `new (old)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshaping<T> {
    /// The value the array has, or is going to have.
    pub new: T,
    /// The value it had, while a reshape is under way and only if it differs.
    pub old: Option<T>,
}

impl<T: fmt::Display> fmt::Display for Reshaping<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.old {
            Some(old) => write!(f, "{} ({old})", self.new),
            None => self.new.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_kstrtox() {
        for (text, want) in [
            (&b"0"[..], Ok(0)),
            (b"+7\n", Ok(7)),
            (b"18446744073709551615", Ok(u64::MAX)),
            (b"18446744073709551616", Err(WordError::TooLarge)),
            (b"18446744073709551616x", Err(WordError::TooLarge)),
            (b"7 ", Err(WordError::NotANumber)),
            (b" 7", Err(WordError::NotANumber)),
            (b"++7", Err(WordError::NotANumber)),
            (b"-7", Err(WordError::NotANumber)),
            (b"7\n\n", Err(WordError::NotANumber)),
            (b"", Err(WordError::NotANumber)),
            (b"0x10", Err(WordError::NotANumber)),
        ] {
            assert_eq!(parse_u64(text, Radix::Decimal), want, "{text:?}");
        }
        for (text, want) in [
            (&b"0x1F"[..], Ok(31)),
            (b"017", Ok(15)),
            (b"0", Ok(0)),
            (b"08", Err(WordError::NotANumber)),
            (b"0x", Err(WordError::NotANumber)),
            (b"0xg", Err(WordError::NotANumber)),
        ] {
            assert_eq!(parse_u64(text, Radix::Detect), want, "{text:?}");
        }
    }

    #[test]
    fn signed_numbers_have_their_own_limits() {
        assert_eq!(
            parse_i64(b"-9223372036854775808", Radix::Decimal),
            Ok(i64::MIN)
        );
        assert_eq!(
            parse_i64(b"-9223372036854775809", Radix::Decimal),
            Err(WordError::TooLarge)
        );
        assert_eq!(parse_i64(b"-0", Radix::Decimal), Ok(0));
        assert_eq!(
            parse_i64(b"-+1", Radix::Decimal),
            Err(WordError::NotANumber)
        );
        assert_eq!(
            parse_i32(b"2147483648", Radix::Decimal),
            Err(WordError::TooLarge)
        );
        assert_eq!(
            parse_positive_int(b"2147483648"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(parse_positive_int(b"4294967296"), Err(WordError::TooLarge));
    }

    #[test]
    fn fixed_point_needs_a_digit() {
        for (text, want) in [
            (&b"5"[..], Ok(5000)),
            (b"0.2\n", Ok(200)),
            (b".5", Ok(500)),
            (b"5.", Ok(5000)),
            (b"0.20199", Ok(201)),
            (b"", Err(WordError::NotANumber)),
            (b".", Err(WordError::NotANumber)),
            (b"1.2.3", Err(WordError::NotANumber)),
            (b"-1", Err(WordError::NotANumber)),
            (b"18446744073709552", Err(WordError::OutOfRange)),
        ] {
            assert_eq!(parse_scaled(text, Decimals::Three), want, "{text:?}");
        }
        assert_eq!(parse_scaled(b"0.2", Decimals::Four), Ok(2000));
    }

    #[test]
    fn kib_must_fit_in_sectors() {
        assert_eq!(parse_kib(b"4"), Ok(Sectors::new(8)));
        assert_eq!(
            parse_kib(b"9223372036854775808"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(
            parse_kib(b"99999999999999999999"),
            Err(WordError::OutOfRange)
        );
    }

    #[test]
    fn the_largest_sector_is_none() {
        assert_eq!(SectorOrNone::parse(b"none\n"), Ok(SectorOrNone::None));
        assert_eq!(
            SectorOrNone::parse(b"18446744073709551615"),
            Ok(SectorOrNone::None)
        );
        assert_eq!(SectorOrNone::None.to_string(), "none");
        assert_eq!(SectorOrNone::parse(b"nonesuch"), Err(WordError::NotANumber));
    }

    #[test]
    fn bools_go_by_their_first_letters() {
        assert_eq!(parse_bool(b"1"), Ok(true));
        assert_eq!(parse_bool(b"No\n"), Ok(false));
        assert_eq!(parse_bool(b"on"), Ok(true));
        assert_eq!(parse_bool(b"off"), Ok(false));
        assert_eq!(parse_bool(b"o"), Err(WordError::UnknownWord));
        assert_eq!(parse_bool(b""), Err(WordError::UnknownWord));
        assert_eq!(parse_bool(b"2"), Err(WordError::UnknownWord));
    }
}
