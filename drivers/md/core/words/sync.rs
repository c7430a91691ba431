// SPDX-License-Identifier: GPL-2.0

//! The attributes of arrays with redundancy: `sync_action` and what belongs to it.

use core::fmt;
use core::num::NonZeroU32;

use super::number::{leading, parse_positive_int, parse_sector, Radix};
use super::{line, WordError};
use crate::units::{BitmapChunk, Sector, Sectors};

word_list! {
    /// `sync_action` and `last_sync_action`. What a written word leads to is decided by [`crate::state::sync`].
    pub enum SyncAction {
        /// Make all copies and parity agree.
        Resync = "resync",
        /// Fill a new member.
        Recover = "recover",
        /// Compare and count.
        Check = "check",
        /// Compare, count and rewrite.
        Repair = "repair",
        /// Change the shape.
        Reshape = "reshape",
        /// Nothing runs and nothing may start.
        Frozen = "frozen",
        /// Nothing runs; written: stop what runs, then look again whether something is due.
        Idle = "idle",
    }
}

/// A limit that is either the array's own or the one of `/proc/sys/dev/raid` (`sync_speed_min`, `sync_speed_max` in
/// KiB/s, `sync_io_depth` in requests).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// The system's.
    #[default]
    System,
    /// The array's own; at most `INT_MAX`.
    Local(NonZeroU32),
}

impl Limit {
    /// Reads `system` or a number above zero.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`] for 0 and beyond `INT_MAX` (`EINVAL`),
    /// [`WordError::TooLarge`] (`ERANGE`).
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        if line(written) == b"system" {
            return Ok(Self::System);
        }
        let limit = parse_positive_int(written)?.unsigned_abs();
        NonZeroU32::new(limit)
            .map(Self::Local)
            .ok_or(WordError::OutOfRange)
    }

    /// The limit in force when the system's is `system`.
    pub const fn effective(self, system: u32) -> u32 {
        match self {
            Self::System => system,
            Self::Local(limit) => limit.get(),
        }
    }

    /// What the attribute reads as: the limit in force and where it comes from.
    pub const fn shown(self, system: u32) -> ShownLimit {
        ShownLimit {
            limit: self,
            system,
        }
    }
}

/// A [`Limit`] as it reads: `1000 (system)` or `5000 (local)`.
#[derive(Clone, Copy, Debug)]
pub struct ShownLimit {
    limit: Limit,
    system: u32,
}

impl fmt::Display for ShownLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.limit {
            Limit::System => "system",
            Limit::Local(_) => "local",
        };
        write!(f, "{} ({source})", self.limit.effective(self.system))
    }
}

/// `sync_speed`: KiB/s since the last mark, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncSpeed {
    /// Nothing runs.
    None,
    /// KiB per second.
    KibPerSecond(u64),
}

impl fmt::Display for SyncSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::KibPerSecond(speed) => speed.fmt(f),
        }
    }
}

/// `sync_completed`: how far the action has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncCompleted {
    /// Nothing runs.
    None,
    /// It waits for another array on the same devices.
    Delayed,
    /// It runs.
    At {
        /// The position up to which everything is done and recorded.
        done: Sector,
        /// The length of the whole.
        total: Sectors,
    },
}

impl fmt::Display for SyncCompleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Delayed => f.write_str("delayed"),
            Self::At { done, total } => write!(f, "{done} / {total}"),
        }
    }
}

/// `sync_max`: where the action pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMax {
    /// Nowhere: `max`.
    Max,
    /// Before this sector; never [`Sector::MAX`].
    At(Sector),
}

impl SyncMax {
    /// Reads `max` or a sector. That it is a multiple of the chunk is for the caller to see to.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`], both `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        if line(written) == b"max" {
            return Ok(Self::Max);
        }
        match parse_sector(written).map_err(WordError::invalid)? {
            Sector::MAX => Ok(Self::Max),
            sector => Ok(Self::At(sector)),
        }
    }
}

impl fmt::Display for SyncMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::At(sector) => sector.fmt(f),
        }
    }
}

/// `sync_min`: where a check or repair starts, rounded down to 4 KiB.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`], both `EINVAL`.
pub fn parse_sync_min(written: &[u8]) -> Result<Sector, WordError> {
    let sector = parse_sector(written).map_err(WordError::invalid)?;
    Ok(Sector::new(sector.get() & !7))
}

/// `sync_force_parallel`: 0 or 1.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`], both `EINVAL`.
pub fn parse_force_parallel(written: &[u8]) -> Result<bool, WordError> {
    match super::number::parse_i64(written, Radix::Decimal).map_err(WordError::invalid)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WordError::OutOfRange),
    }
}

/// A non-empty run of bitmap chunks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// First chunk.
    pub first: BitmapChunk,
    /// Last chunk, not before `first`.
    pub last: BitmapChunk,
}

/// The ranges written to `bitmap_set_bits`: `chunk` or `first-last`, separated by blanks, in base 10, 8 or 16.
///
/// C md acts on the part before the first error, reports success whatever was written, and steps through every number
/// of a range however large. Here all of it is checked against the bitmap before any of it is acted on.
#[derive(Clone, Copy, Debug)]
pub struct ChunkRanges<'a> {
    text: &'a [u8],
    chunks: BitmapChunk,
}

impl<'a> ChunkRanges<'a> {
    /// Reads ranges for a bitmap of `chunks` chunks. An empty text has no ranges.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`]; [`WordError::OutOfRange`] for a range that is reversed or reaches beyond the
    /// bitmap. Both `EINVAL`.
    pub fn parse(written: &'a [u8], chunks: BitmapChunk) -> Result<Self, WordError> {
        let ranges = Self {
            text: line(written),
            chunks,
        };
        let mut rest = ranges;
        while let Some(range) = rest.take_range() {
            range?;
        }
        Ok(ranges)
    }

    fn take_range(&mut self) -> Option<Result<ChunkRange, WordError>> {
        self.text = self.text.trim_ascii_start();
        if self.text.is_empty() {
            return None;
        }
        let word = self
            .text
            .split(u8::is_ascii_whitespace)
            .next()
            .unwrap_or_default();
        self.text = self.text.get(word.len()..).unwrap_or_default();
        Some(self.range_of(word))
    }

    fn range_of(&self, word: &[u8]) -> Result<ChunkRange, WordError> {
        let number = |text| leading(text, Radix::Detect).map_err(WordError::invalid);
        let (first, rest) = number(word)?;
        let last = match rest.split_first() {
            None => first,
            Some((b'-', rest)) => match number(rest)? {
                (last, []) => last,
                _ => return Err(WordError::NotANumber),
            },
            Some(_) => return Err(WordError::NotANumber),
        };
        if first > last || last >= self.chunks.get() {
            return Err(WordError::OutOfRange);
        }
        Ok(ChunkRange {
            first: BitmapChunk::new(first),
            last: BitmapChunk::new(last),
        })
    }
}

impl Iterator for ChunkRanges<'_> {
    type Item = ChunkRange;

    fn next(&mut self) -> Option<ChunkRange> {
        // `parse` has walked the whole text, so no error is left to drop here.
        self.take_range()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_say_where_they_come_from() {
        assert_eq!(Limit::parse(b"system\n"), Ok(Limit::System));
        assert_eq!(Limit::System.shown(1000).to_string(), "1000 (system)");
        let local = Limit::parse(b"5000").expect("a limit");
        assert_eq!(
            (local.shown(1000).to_string().as_str(), local.effective(7)),
            ("5000 (local)", 5000)
        );
        assert_eq!(Limit::parse(b"0"), Err(WordError::OutOfRange));
        assert_eq!(Limit::parse(b"4294967295"), Err(WordError::OutOfRange));
        assert_eq!(Limit::parse(b"systematic"), Err(WordError::NotANumber));
    }

    #[test]
    fn progress_words() {
        let running = SyncCompleted::At {
            done: Sector::new(8),
            total: Sectors::new(64),
        };
        assert_eq!(running.to_string(), "8 / 64");
        assert_eq!(SyncMax::parse(b"max"), Ok(SyncMax::Max));
        assert_eq!(
            SyncMax::parse(b"18446744073709551616"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(parse_sync_min(b"15"), Ok(Sector::new(8)));
        assert_eq!(parse_force_parallel(b"2"), Err(WordError::OutOfRange));
        assert_eq!(SyncAction::parse(b"idle\n"), Ok(SyncAction::Idle));
    }

    fn ranges(text: &[u8]) -> Result<Vec<(u64, u64)>, WordError> {
        let ranges = ChunkRanges::parse(text, BitmapChunk::new(100))?;
        Ok(ranges
            .map(|range| (range.first.get(), range.last.get()))
            .collect())
    }

    #[test]
    fn bits_are_given_as_chunks_and_ranges() {
        assert_eq!(
            ranges(b"1 3-5\t0x10-017777777777777777777777\n"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(
            ranges(b" 1 3-5\t0x10-0x1f 010\n"),
            Ok(vec![(1, 1), (3, 5), (16, 31), (8, 8)])
        );
        assert_eq!(ranges(b""), Ok(vec![]));
        assert_eq!(ranges(b"99-99"), Ok(vec![(99, 99)]));
        assert_eq!(ranges(b"1 100"), Err(WordError::OutOfRange));
        assert_eq!(ranges(b"5-3"), Err(WordError::OutOfRange));
        assert_eq!(
            ranges(b"0-18446744073709551615"),
            Err(WordError::OutOfRange)
        );
        for text in [&b"x"[..], b"1-", b"-1", b"1,2", b"1-2-3", b"1 - 2"] {
            assert_eq!(ranges(text), Err(WordError::NotANumber), "{text:?}");
        }
    }
}
