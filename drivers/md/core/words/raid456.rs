// SPDX-License-Identifier: GPL-2.0

//! The attributes raid4, raid5 and raid6 add to `md/`.

use core::fmt;

use super::number::{parse_i32, parse_u64, Radix};
use super::WordError;

word_list! {
    /// `journal_mode`.
    pub enum JournalMode {
        /// Data goes through the journal to the members before a write ends.
        WriteThrough = "write-through",
        /// A write ends when it is in the journal.
        WriteBack = "write-back",
    }
}

/// `journal_mode` as it reads: both words, the current one in brackets.
#[derive(Clone, Copy, Debug)]
pub struct JournalChoice(pub JournalMode);

impl fmt::Display for JournalChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            JournalMode::WriteThrough => "[write-through] write-back",
            JournalMode::WriteBack => "write-through [write-back]",
        })
    }
}

/// `rmw_level`: when parity is computed from what changes instead of from all data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RmwLevel {
    /// Never.
    Never,
    /// When it reads less.
    Fewer,
    /// Also when it reads as much.
    Prefer,
}

impl RmwLevel {
    /// Reads 0, 1 or 2.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        match parse_u64(written, Radix::Decimal)? {
            0 => Ok(Self::Never),
            1 => Ok(Self::Fewer),
            2 => Ok(Self::Prefer),
            _ => Err(WordError::OutOfRange),
        }
    }
}

impl fmt::Display for RmwLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "0",
            Self::Fewer => "1",
            Self::Prefer => "2",
        })
    }
}

/// A whole number of an attribute with bounds.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
fn bounded(written: &[u8], bounds: core::ops::RangeInclusive<u32>) -> Result<u32, WordError> {
    match u32::try_from(parse_u64(written, Radix::Decimal)?) {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(WordError::OutOfRange),
    }
}

/// `stripe_cache_size`: how many stripes are kept in memory, 17 to 32768.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_stripe_cache_size(written: &[u8]) -> Result<u32, WordError> {
    bounded(written, 17..=32768)
}

/// `group_thread_cnt`: worker threads per NUMA node, 0 to 8192.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_group_thread_cnt(written: &[u8]) -> Result<u32, WordError> {
    bounded(written, 0..=8192)
}

/// `preread_bypass_threshold`: at most the size of the stripe cache.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_preread_bypass_threshold(
    written: &[u8],
    stripe_cache_size: u32,
) -> Result<u32, WordError> {
    bounded(written, 0..=stripe_cache_size)
}

/// `skip_copy`: any number; not 0 is on.
///
/// # Errors
///
/// [`WordError::NotANumber`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_skip_copy(written: &[u8]) -> Result<bool, WordError> {
    parse_u64(written, Radix::Decimal).map(|number| number != 0)
}

/// `ppl_write_hint`: a number for the device, of no meaning to the driver.
///
/// # Errors
///
/// [`WordError::NotANumber`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_ppl_write_hint(written: &[u8]) -> Result<i32, WordError> {
    parse_i32(written, Radix::Decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert_eq!(parse_stripe_cache_size(b"16"), Err(WordError::OutOfRange));
        assert_eq!(parse_stripe_cache_size(b"17\n"), Ok(17));
        assert_eq!(
            parse_stripe_cache_size(b"32769"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(parse_group_thread_cnt(b"8193"), Err(WordError::OutOfRange));
        assert_eq!(
            parse_preread_bypass_threshold(b"257", 256),
            Err(WordError::OutOfRange)
        );
        assert_eq!(parse_skip_copy(b"7"), Ok(true));
    }

    #[test]
    fn words() {
        assert_eq!(
            JournalMode::parse(b"write-back\n"),
            Ok(JournalMode::WriteBack)
        );
        assert_eq!(
            JournalChoice(JournalMode::WriteBack).to_string(),
            "write-through [write-back]"
        );
        for text in ["0", "1", "2"] {
            assert_eq!(
                RmwLevel::parse(text.as_bytes())
                    .map(|level| level.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
        assert_eq!(RmwLevel::parse(b"3"), Err(WordError::OutOfRange));
    }
}
