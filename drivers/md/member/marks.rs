// SPDX-License-Identifier: GPL-2.0

//! Marks of a member: what an administrator, or I/O that went wrong, has said of it. I/O looks at them without a lock.

use super::Member;
use kernel::sync::atomic::{Acquire, Full};

/// Something a member is marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is read only when nothing else can be.
    WriteMostly,
    /// Its device is not to retry while others have the data.
    FailFast,
    /// Writes to it wait until somebody has taken note of something.
    Blocked,
    /// A write to it has failed: its bad blocks are heeded when it is written.
    WriteError,
    /// It is to be replaced when there is a spare.
    WantReplacement,
    /// A program records its bad blocks.
    ExternalBadBlocks,
    /// Marks were set by I/O since the array's thread last looked.
    News,
}

impl Mark {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Several marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks(u32);

impl Marks {
    /// These.
    pub(crate) const fn of(marks: &[Mark]) -> Self {
        let (mut bits, mut rest) = (0, marks);
        while let [mark, others @ ..] = rest {
            bits |= mark.bit();
            rest = others;
        }
        Self(bits)
    }
}

impl Member {
    /// Whether it has a mark. Any context.
    #[inline]
    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.has_any(Marks::of(&[mark]))
    }

    /// Whether it has one of these marks. Any context.
    #[inline]
    pub(crate) fn has_any(&self, marks: Marks) -> bool {
        // Acquire: what was done before the mark was set is seen with it.
        self.marks.load(Acquire) & marks.0 != 0
    }

    /// Marks it, or takes a mark away; whether it had the mark. Any context.
    pub(crate) fn mark(&self, mark: Mark, has: bool) -> bool {
        let mut marks = self.marks.load(Acquire);
        loop {
            let new = if has {
                marks | mark.bit()
            } else {
                marks & !mark.bit()
            };
            match self.marks.cmpxchg(marks, new, Full) {
                Ok(before) => return before & mark.bit() != 0,
                Err(now) => marks = now,
            }
        }
    }

    /// A write to it failed. The first time it is also to be replaced, which is for the array's thread to see to.
    pub(crate) fn mark_write_error(&self) {
        self.mark(Mark::WriteError, true);
        if !self.mark(Mark::WantReplacement, true) {
            self.mark(Mark::News, true);
        }
    }
}
