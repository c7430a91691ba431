// SPDX-License-Identifier: GPL-2.0

//! The bad-block log of a 1.x member: little-endian entries of 64 bits, a start of 54 bits above a length of 10, both
//! counted in units of `1 << shift` sectors from the start of the member; all ones ends the list.

use core::fmt;

use crate::units::{Sector, SectorRange, Sectors};

/// What ends the list and fills the rest of it.
const END: u64 = u64::MAX;
/// The bits of an entry that hold its length.
const LENGTH_BITS: u32 = 10;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;

/// Why a log cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBlocksError {
    /// An entry of no length. C md answers `EINVAL`.
    Empty(u64),
    /// An entry beyond 2^64 sectors. C md shifts the high bits out and goes on.
    Beyond(u64),
    /// The unit is more than 2^63 sectors (`EINVAL`).
    Shift(u8),
    /// The list does not fit the log. C md stops adding entries, and the write fails.
    Full,
}

impl fmt::Display for BadBlocksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty(entry) => write!(f, "bad-block entry {entry:#x} has no length"),
            Self::Beyond(entry) => write!(f, "bad-block entry {entry:#x} lies beyond any device"),
            Self::Shift(shift) => write!(f, "bad-block unit of 2^{shift} sectors"),
            Self::Full => write!(f, "bad-block log is full"),
        }
    }
}

impl core::error::Error for BadBlocksError {}

/// The ranges in `log`, up to the end mark or the last whole entry. After an error nothing more comes.
pub fn entries(
    log: &[u8],
    shift: u8,
) -> impl Iterator<Item = Result<SectorRange, BadBlocksError>> + '_ {
    let words = log
        .chunks_exact(ENTRY_BYTES)
        .filter_map(|entry| entry.first_chunk());
    let used = words
        .map(|entry| u64::from_le_bytes(*entry))
        .take_while(|&entry| entry != END);
    used.scan(false, move |failed, entry| {
        if *failed {
            return None;
        }
        let range = decode(entry, shift);
        *failed = range.is_err();
        Some(range)
    })
}

fn decode(entry: u64, shift: u8) -> Result<SectorRange, BadBlocksError> {
    let length = entry & LENGTH_MASK;
    if length == 0 {
        return Err(BadBlocksError::Empty(entry));
    }
    let unit = 1_u64
        .checked_shl(u32::from(shift))
        .ok_or(BadBlocksError::Shift(shift))?;
    let start = (entry >> LENGTH_BITS).checked_mul(unit).map(Sector::new);
    let length = length.checked_mul(unit).map(Sectors::new);
    start
        .zip(length)
        .and_then(|(start, len)| SectorRange::new(start, len))
        .ok_or(BadBlocksError::Beyond(entry))
}

/// Writes `bad` as the whole of `log`, in order; returns how many entries that took.
///
/// A range that is not whole units grows to them, and one longer than 1023 units becomes several entries. On an error
/// the contents of `log` are not a list and must not be written out.
pub fn encode<I>(log: &mut [u8], shift: u8, bad: I) -> Result<usize, BadBlocksError>
where
    I: IntoIterator<Item = SectorRange>,
{
    let unit = 1_u64
        .checked_shl(u32::from(shift))
        .ok_or(BadBlocksError::Shift(shift))?;
    log.fill(0xff);
    let mut free = log.chunks_exact_mut(ENTRY_BYTES);
    let mut written = 0;
    for range in bad {
        let mut at = range.start().get() / unit;
        let end = range.end().get().div_ceil(unit);
        while at < end {
            let length = (end - at).min(LENGTH_MASK);
            let entry = at
                .checked_mul(1 << LENGTH_BITS)
                .ok_or(BadBlocksError::Beyond(at))?
                | length;
            free.next()
                .ok_or(BadBlocksError::Full)?
                .copy_from_slice(&entry.to_le_bytes());
            at = at.saturating_add(length);
            written += 1;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, len: u64) -> SectorRange {
        SectorRange::new(Sector::new(start), Sectors::new(len)).expect("a range")
    }

    fn list(log: &[u8], shift: u8) -> Result<std::vec::Vec<SectorRange>, BadBlocksError> {
        entries(log, shift).collect()
    }

    #[test]
    fn an_entry_is_start_over_length() {
        let mut log = [0xff; 512];
        log[..8].copy_from_slice(&((0x1234_u64 << 10) | 8).to_le_bytes());
        assert_eq!(list(&log, 0), Ok(vec![range(0x1234, 8)]));
        assert_eq!(list(&log, 3), Ok(vec![range(0x1234 << 3, 64)]));
    }

    #[test]
    fn an_empty_log_and_a_full_one() {
        assert_eq!(list(&[0xff; 4096], 0), Ok(vec![]));
        let mut log = [0; 16];
        assert_eq!(encode(&mut log, 0, [range(0, 1), range(8, 1)]), Ok(2));
        assert_eq!(list(&log, 0), Ok(vec![range(0, 1), range(8, 1)]));
        assert_eq!(
            encode(&mut log, 0, [range(0, 1), range(8, 1), range(16, 1)]),
            Err(BadBlocksError::Full)
        );
    }

    #[test]
    fn bad_entries_are_named_and_end_the_list() {
        let mut log = [0xff; 24];
        log[..8].copy_from_slice(&(7_u64 << 10).to_le_bytes());
        assert_eq!(
            entries(&log, 0).next(),
            Some(Err(BadBlocksError::Empty(7 << 10)))
        );
        assert_eq!(entries(&log, 0).count(), 1);
        let far = (u64::MAX << 10) | 1;
        log[..8].copy_from_slice(&far.to_le_bytes());
        assert_eq!(list(&log, 0), Ok(vec![range(u64::MAX >> 10, 1)]));
        assert_eq!(list(&log, 11), Err(BadBlocksError::Beyond(far)));
        assert_eq!(list(&log, 64), Err(BadBlocksError::Shift(64)));
    }

    #[test]
    fn long_ranges_are_cut_and_odd_ones_grow() {
        let mut log = [0; 64];
        assert_eq!(encode(&mut log, 0, [range(5, 2000)]), Ok(2));
        assert_eq!(list(&log, 0), Ok(vec![range(5, 1023), range(1028, 977)]));
        assert_eq!(encode(&mut log, 3, [range(7, 2)]), Ok(1));
        assert_eq!(list(&log, 3), Ok(vec![range(0, 16)]));
        assert_eq!(
            encode(&mut log, 0, [range(1 << 54, 1)]),
            Err(BadBlocksError::Beyond(1 << 54))
        );
    }
}
