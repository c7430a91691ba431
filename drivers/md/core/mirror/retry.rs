// SPDX-License-Identifier: GPL-2.0

//! What to do after an error: read another copy, correct the one that erred, or find out block by block what is bad.
//!
//! The rules are those of `raid1_end_read_request()`, `handle_read_error()`, `fix_read_error()` and
//! `narrow_write_error()` in raid1.c and raid10.c.

use core::num::NonZeroU32;

use crate::policy::{FailFast, ReadErrorVerdict};
use crate::units::{Sector, SectorRange, Sectors};

/// How a request to one copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well. So does any discard, whatever its status: a device may ignore it.
    Ok,
    /// With an error of the member.
    Error,
    /// With an error that says nothing of the member: read-ahead, which may always fail, or a request the device finds
    /// invalid. It is neither retried nor recorded, unless other copies have the write: [`after_write`].
    Harmless,
}

/// Whether another member could be read instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// One could.
    Some,
    /// This is the last.
    None,
}

/// What to do with a read that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRead {
    /// End the request with its outcome.
    End,
    /// Hand it to the array's thread, which may sleep: [`on_read_error`].
    Retry,
}

/// Judges a read that came back. `fail_fast` is how it was sent.
pub const fn after_read(ending: Ending, fail_fast: FailFast, others: Others) -> AfterRead {
    match (ending, fail_fast, others) {
        (Ending::Ok, _, _) => AfterRead::End,
        // The device was told to give up early, so its error means little.
        (_, FailFast::Yes, _) => AfterRead::Retry,
        (Ending::Harmless, FailFast::No, _) => AfterRead::End,
        // Rather an error than an array without members.
        (Ending::Error, FailFast::No, Others::None) => AfterRead::End,
        (Ending::Error, FailFast::No, Others::Some) => AfterRead::Retry,
    }
}

/// Whether members may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They may.
    ReadWrite,
    /// They may not.
    ReadOnly,
}

/// What to do about the member a read failed on, before the request is read from another copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReadError {
    /// Leave it alone, but do not read this request from it again.
    Avoid,
    /// Fail it. If the array keeps it as its last copy, do not read this request from it again.
    FailMember,
    /// With all other I/O held back, correct it page by page: [`pages`], [`Repair`].
    Correct,
}

/// Decides about the member a read failed on. `errors` counts the error; it is called only where errors are corrected.
pub fn on_read_error(
    access: Access,
    marked: FailFast,
    errors: impl FnOnce() -> ReadErrorVerdict,
) -> OnReadError {
    match (access, marked) {
        (Access::ReadOnly, _) => OnReadError::Avoid,
        (Access::ReadWrite, FailFast::Yes) => OnReadError::FailMember,
        (Access::ReadWrite, FailFast::No) => match errors() {
            ReadErrorVerdict::FailMember => OnReadError::FailMember,
            ReadErrorVerdict::Tolerate => OnReadError::Correct,
        },
    }
}

/// The number of a copy in the order the driver keeps copies in; not a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyIndex(pub u16);

/// The correction of one page of a copy that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    copies: u16,
    failed: u16,
}

impl Repair {
    /// For an array of `copies` copies of which `failed` could not be read, or `None` when it is not one of them.
    pub const fn new(copies: u16, failed: CopyIndex) -> Option<Self> {
        if failed.0 < copies {
            Some(Self {
                copies,
                failed: failed.0,
            })
        } else {
            None
        }
    }

    /// The copies to try to read, in order: first the failed one once more, then those after it, around.
    ///
    /// When none can be read, the page is recorded as bad on the failed copy and correction ends.
    pub fn sources(self) -> impl Iterator<Item = CopyIndex> + Clone {
        (self.failed..self.copies)
            .chain(0..self.failed)
            .map(CopyIndex)
    }

    /// The copies to write the page to, and then to read it back from, once it was read from `source`: all that were
    /// tried in vain, the failed one last. None when the failed one could be read after all.
    pub fn rewrites(self, source: CopyIndex) -> impl Iterator<Item = CopyIndex> + Clone {
        let tried = if source.0 >= self.failed {
            (self.failed..source.0, 0..0)
        } else {
            (self.failed..self.copies, 0..source.0)
        };
        tried.1.rev().chain(tried.0.rev()).map(CopyIndex)
    }
}

/// The pieces of a range.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    start: Sector,
    end: Sector,
    grain: u64,
    cut: Cut,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    FromStart,
    AtMultiples,
}

impl Iterator for Pieces {
    type Item = SectorRange;

    fn next(&mut self) -> Option<SectorRange> {
        let into = match self.cut {
            Cut::FromStart => 0,
            Cut::AtMultiples => self.start.get().checked_rem(self.grain)?,
        };
        let step = Sectors::new(self.grain.saturating_sub(into));
        let length = step.min(self.end.distance_from(self.start)?);
        let piece = SectorRange::new(self.start, length)?;
        self.start = piece.end();
        Some(piece)
    }
}

/// The pages of a failed read, as they are corrected: from its first sector on, each `page` long but the last.
pub fn pages(range: SectorRange, page: NonZeroU32) -> Pieces {
    Pieces {
        start: range.start(),
        end: range.end(),
        grain: u64::from(page.get()),
        cut: Cut::FromStart,
    }
}

/// The blocks of a failed write, as they are written once more one by one: cut at multiples of `block`. What fails
/// again is recorded as bad.
pub fn blocks(range: SectorRange, block: NonZeroU32) -> Pieces {
    Pieces {
        start: range.start(),
        end: range.end(),
        grain: u64::from(block.get()),
        cut: Cut::AtMultiples,
    }
}

/// The granularity of a member's bad-block list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBlockGrain {
    /// There is no list: any failure of a write fails the member.
    NoList,
    /// `1 << shift` sectors.
    Shift(u8),
}

/// The block to narrow a failed write down to: what the list can record, in whole logical blocks of the device.
pub fn narrowing_block(grain: BadBlockGrain, logical_block: NonZeroU32) -> NonZeroU32 {
    let recordable = match grain {
        BadBlockGrain::NoList => 1,
        BadBlockGrain::Shift(shift) => 1_u32.checked_shl(u32::from(shift)).unwrap_or(u32::MAX),
    };
    let block = recordable.checked_next_multiple_of(logical_block.get());
    block.and_then(NonZeroU32::new).unwrap_or(logical_block)
}

/// How a write ended for one copy, given whether others have it. A copy that lacks what another has was not written,
/// whatever the error says of its member; C leaves them different.
pub const fn after_write(ending: Ending, others: Others) -> Ending {
    match (ending, others) {
        (Ending::Harmless, Others::Some) => Ending::Error,
        _ => ending,
    }
}

/// What to do about a member a write failed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWriteError {
    /// Nothing: the error says nothing of the member.
    Ignore,
    /// Fail it.
    FailMember,
    /// Note that it has seen a write error, ask for its replacement, and find out block by block what is bad.
    Narrow,
}

/// Decides about the member a write failed on. `fail_fast` is how the write was sent, `others` whether the array works
/// without the member.
pub const fn on_write_error(ending: Ending, fail_fast: FailFast, others: Others) -> OnWriteError {
    match (ending, fail_fast, others) {
        (Ending::Ok | Ending::Harmless, _, _) => OnWriteError::Ignore,
        (Ending::Error, FailFast::Yes, Others::Some) => OnWriteError::FailMember,
        (Ending::Error, _, _) => OnWriteError::Narrow,
    }
}

/// Whether a copy that was written counts as a place the data is safe in: its member must be recovered beyond the end
/// of the write. Copies that may lag count, but are not waited for.
pub fn makes_safe(ending: Ending, end: Sector, valid_below: Sector) -> bool {
    ending == Ending::Ok && end <= valid_below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_that_come_back() {
        use AfterRead::{End, Retry};
        for (ending, fail_fast, others, want) in [
            (Ending::Ok, FailFast::Yes, Others::Some, End),
            (Ending::Error, FailFast::Yes, Others::None, Retry),
            (Ending::Harmless, FailFast::No, Others::Some, End),
            (Ending::Error, FailFast::No, Others::None, End),
            (Ending::Error, FailFast::No, Others::Some, Retry),
        ] {
            assert_eq!(after_read(ending, fail_fast, others), want);
        }
    }

    #[test]
    fn a_copy_that_lacks_what_another_has_was_not_written() {
        use Ending::{Error, Harmless, Ok};
        for (ending, others, want) in [
            (Ok, Others::Some, Ok),
            (Error, Others::None, Error),
            (Harmless, Others::None, Harmless),
            (Harmless, Others::Some, Error),
        ] {
            assert_eq!(after_write(ending, others), want);
        }
    }

    #[test]
    fn errors_are_counted_only_where_they_are_corrected() {
        let never = || panic!("not to be counted");
        assert_eq!(
            on_read_error(Access::ReadOnly, FailFast::Yes, never),
            OnReadError::Avoid
        );
        assert_eq!(
            on_read_error(Access::ReadWrite, FailFast::Yes, never),
            OnReadError::FailMember
        );
        let counted = |verdict| on_read_error(Access::ReadWrite, FailFast::No, || verdict);
        assert_eq!(counted(ReadErrorVerdict::Tolerate), OnReadError::Correct);
        assert_eq!(
            counted(ReadErrorVerdict::FailMember),
            OnReadError::FailMember
        );
    }

    #[test]
    fn a_page_goes_around_the_copies() {
        let repair = Repair::new(4, CopyIndex(2)).expect("one of four");
        let numbers = |copies: Vec<CopyIndex>| copies.iter().map(|copy| copy.0).collect::<Vec<_>>();
        assert_eq!(numbers(repair.sources().collect()), [2, 3, 0, 1]);
        for (source, want) in [
            (2, vec![]),
            (3, vec![2]),
            (0, vec![3, 2]),
            (1, vec![0, 3, 2]),
        ] {
            assert_eq!(numbers(repair.rewrites(CopyIndex(source)).collect()), want);
        }
        assert_eq!(Repair::new(2, CopyIndex(2)), None);
    }

    fn pieces(
        start: u64,
        length: u64,
        cut: fn(SectorRange, NonZeroU32) -> Pieces,
    ) -> Vec<(u64, u64)> {
        let range = SectorRange::new(Sector::new(start), Sectors::new(length)).expect("a range");
        let grain = NonZeroU32::new(8).expect("not zero");
        cut(range, grain)
            .map(|piece| (piece.start().get(), piece.len().get()))
            .collect()
    }

    #[test]
    fn pages_from_the_start_and_blocks_at_multiples() {
        assert_eq!(pieces(3, 18, pages), [(3, 8), (11, 8), (19, 2)]);
        assert_eq!(pieces(3, 18, blocks), [(3, 5), (8, 8), (16, 5)]);
        assert_eq!(pieces(3, 2, blocks), [(3, 2)]);
        assert_eq!(pieces(u64::MAX - 3, 3, blocks), [(u64::MAX - 3, 3)]);
    }

    #[test]
    fn narrowing_needs_whole_logical_blocks() {
        let sectors = |count| NonZeroU32::new(count).expect("not zero");
        let block = |grain, logical| narrowing_block(grain, sectors(logical)).get();
        assert_eq!(block(BadBlockGrain::NoList, 8), 8);
        assert_eq!(block(BadBlockGrain::Shift(0), 1), 1);
        assert_eq!(block(BadBlockGrain::Shift(3), 1), 8);
        assert_eq!(block(BadBlockGrain::Shift(0), 8), 8);
        assert_eq!(block(BadBlockGrain::Shift(200), 8), 8);
    }

    #[test]
    fn writes_that_come_back() {
        assert_eq!(
            on_write_error(Ending::Harmless, FailFast::Yes, Others::Some),
            OnWriteError::Ignore
        );
        assert_eq!(
            on_write_error(Ending::Error, FailFast::Yes, Others::Some),
            OnWriteError::FailMember
        );
        assert_eq!(
            on_write_error(Ending::Error, FailFast::Yes, Others::None),
            OnWriteError::Narrow
        );
        assert_eq!(
            on_write_error(Ending::Error, FailFast::No, Others::Some),
            OnWriteError::Narrow
        );
        assert!(makes_safe(Ending::Ok, Sector::new(8), Sector::new(8)));
        assert!(!makes_safe(Ending::Ok, Sector::new(9), Sector::new(8)));
    }
}
