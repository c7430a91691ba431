// SPDX-License-Identifier: GPL-2.0

//! Which copies to write, and how much at once.
//!
//! Known bad blocks are not written: a copy whose bad blocks begin the request is left out for as long as they last,
//! one whose bad blocks come later ends the request there. Nothing may be written while a failure that user space or
//! the superblocks do not know of yet could make the write unsafe. The rules are those of `raid1_write_request()` and
//! its counterpart in raid10.c, but for one: members to wait for are looked up by their place, where raid10.c looks
//! at the wrong ones.

use super::{Clear, Place, Reads};
use crate::policy::FailFast;
use crate::units::{Sector, SectorRange, Sectors};

/// A copy to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which copy.
    pub place: Place,
    /// Where the request begins in the member's data.
    pub start: Sector,
    /// Whether writes to the member are held back.
    pub gate: Gate,
    /// What is known of its bad blocks.
    pub bad: BadBlocks,
    /// Whether it may lag behind the others.
    pub reads: Reads,
}

/// Whether writes to a member are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They are not.
    Open,
    /// Until user space, or the superblocks, have taken note of something (`blocked`).
    Blocked,
}

/// The first run of bad blocks in a request, in the member's data.
///
/// Only members that have seen a write error are asked: others are written over their bad blocks, which may heal them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBlocks {
    /// None, or not to be heeded.
    None,
    /// These, recorded in the metadata.
    Recorded(SectorRange),
    /// These, not recorded yet.
    Unrecorded(SectorRange),
}

/// What becomes of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is written.
    Write,
    /// It is bad where the request begins, and known to be.
    Skip,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data.
    Data,
    /// Data that must not be split.
    Atomic,
    /// A discard.
    Discard,
}

/// Whether write-mostly members may be written later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The most writes that may be behind (`bitmap/backlog`); 0 without a bitmap.
    pub limit: u32,
    /// Writes that are behind now.
    pub in_flight: u32,
    /// Whether a reader waits for them to finish.
    pub readers: Readers,
    /// The most data that can be copied for one write.
    pub copy_max: Sectors,
}

/// Whether a reader waits for writes that are behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// None does.
    None,
    /// Some do.
    Waiting,
}

/// How a write is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePlan {
    /// Wait until nothing holds this copy back, then plan again.
    Wait {
        /// The copy.
        on: Place,
        /// What holds it back.
        why: Hold,
    },
    /// Write `length` now, to the copies with [`Fate::Write`]; the rest is another request.
    Write {
        /// How much, never zero.
        length: Sectors,
        /// Whether the write may end before write-mostly members have it.
        pace: Pace,
    },
    /// No copy can take the first `length`: fail these.
    Fail {
        /// How much, never zero.
        length: Sectors,
    },
    /// It must not be split and cannot be done whole: fail it.
    CannotSplit,
}

/// What holds a copy back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its member is blocked.
    Blocked,
    /// It has bad blocks that are not recorded.
    UnrecordedBadBlocks,
}

/// When a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When all copies have it.
    Together,
    /// When all but the write-mostly ones have it. Its data must be copied first; if it cannot be, write together.
    Behind,
}

impl Target {
    fn hold(&self) -> Option<Hold> {
        match (self.gate, self.bad) {
            (Gate::Blocked, _) => Some(Hold::Blocked),
            (Gate::Open, BadBlocks::Unrecorded(_)) => Some(Hold::UnrecordedBadBlocks),
            (Gate::Open, BadBlocks::None | BadBlocks::Recorded(_)) => None,
        }
    }

    fn clear(&self, length: Sectors) -> Clear {
        match self.bad {
            BadBlocks::None => Clear::All,
            BadBlocks::Recorded(bad) | BadBlocks::Unrecorded(bad) => {
                Clear::of(self.start, length, Some(bad))
            }
        }
    }
}

impl Behind {
    fn is_allowed(&self) -> bool {
        self.readers == Readers::None && self.in_flight < self.limit && !self.copy_max.is_zero()
    }
}

/// Plans a write of `length`, not zero, to `targets`, and tells `note` what becomes of each. What was noted holds only
/// when the answer is [`WritePlan::Write`].
pub fn plan_write(
    length: Sectors,
    kind: Kind,
    behind: &Behind,
    targets: impl Iterator<Item = Target>,
    mut note: impl FnMut(Place, Fate),
) -> WritePlan {
    let mut most = length;
    let mut writers = Writers::None;
    for target in targets {
        if let Some(why) = target.hold() {
            return WritePlan::Wait {
                on: target.place,
                why,
            };
        }
        let fate = match target.clear(most) {
            Clear::All => Fate::Write,
            Clear::Before(before) => {
                most = before;
                Fate::Write
            }
            Clear::NotBefore(bad) => {
                most = bad;
                Fate::Skip
            }
        };
        if fate == Fate::Write {
            writers = writers.and(target.reads);
        }
        note(target.place, fate);
    }
    if most < length && kind == Kind::Atomic {
        return WritePlan::CannotSplit;
    }
    match writers {
        Writers::None => WritePlan::Fail { length: most },
        Writers::Mixed if kind != Kind::Discard && behind.is_allowed() => {
            lagging(most, kind, behind)
        }
        Writers::Normal | Writers::WriteMostly | Writers::Mixed => WritePlan::Write {
            length: most,
            pace: Pace::Together,
        },
    }
}

/// A write whose slow copies may be behind: it is cut to what can be copied, unless it must not be.
fn lagging(length: Sectors, kind: Kind, behind: &Behind) -> WritePlan {
    if length > behind.copy_max && kind == Kind::Atomic {
        return WritePlan::Write {
            length,
            pace: Pace::Together,
        };
    }
    WritePlan::Write {
        length: length.min(behind.copy_max),
        pace: Pace::Behind,
    }
}

/// The members that are going to be written. Behind makes sense only with some of each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    None,
    Normal,
    WriteMostly,
    Mixed,
}

impl Writers {
    const fn and(self, reads: Reads) -> Self {
        match (self, reads) {
            (Self::None | Self::Normal, Reads::Normal) => Self::Normal,
            (Self::None | Self::WriteMostly, Reads::WriteMostly) => Self::WriteMostly,
            _ => Self::Mixed,
        }
    }
}

/// Whether a write to a member marked failfast may fail fast: not to one that may lag, and not to the last that works.
pub const fn write_fail_fast(marked: FailFast, reads: Reads, working: u32) -> FailFast {
    match reads {
        Reads::WriteMostly => FailFast::No,
        Reads::Normal => marked.among(working),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Seat;
    use crate::units::Slot;

    const LENGTH: Sectors = Sectors::new(64);
    const NO_BEHIND: Behind = Behind {
        limit: 0,
        in_flight: 0,
        readers: Readers::None,
        copy_max: Sectors::new(2048),
    };

    fn target(slot: u16) -> Target {
        Target {
            place: Place {
                slot: Slot::new(slot),
                seat: Seat::Main,
            },
            start: Sector::new(1000),
            gate: Gate::Open,
            bad: BadBlocks::None,
            reads: Reads::Normal,
        }
    }

    fn range(start: u64, length: u64) -> SectorRange {
        SectorRange::new(Sector::new(start), Sectors::new(length)).expect("a range")
    }

    fn plan(kind: Kind, behind: &Behind, targets: &[Target]) -> (WritePlan, Vec<Fate>) {
        let mut fates = Vec::new();
        let targets = targets.iter().copied();
        let plan = plan_write(LENGTH, kind, behind, targets, |_, fate| fates.push(fate));
        (plan, fates)
    }

    fn write(length: u64, pace: Pace) -> WritePlan {
        WritePlan::Write {
            length: Sectors::new(length),
            pace,
        }
    }

    #[test]
    fn bad_blocks_narrow_and_leave_out() {
        let late = Target {
            bad: BadBlocks::Recorded(range(1010, 4)),
            ..target(0)
        };
        let early = Target {
            bad: BadBlocks::Recorded(range(990, 15)),
            ..target(1)
        };
        let data = |targets: &[Target]| plan(Kind::Data, &NO_BEHIND, targets);
        assert_eq!(data(&[target(0), target(1)]).0, write(64, Pace::Together));
        assert_eq!(data(&[late, target(1)]).0, write(10, Pace::Together));
        assert_eq!(
            data(&[late, early]),
            (write(5, Pace::Together), vec![Fate::Write, Fate::Skip])
        );
        assert_eq!(
            data(&[early, late]),
            (write(5, Pace::Together), vec![Fate::Skip, Fate::Write])
        );
        assert_eq!(
            data(&[early]).0,
            WritePlan::Fail {
                length: Sectors::new(5)
            }
        );
        assert_eq!(data(&[]).0, WritePlan::Fail { length: LENGTH });
        assert_eq!(
            plan(Kind::Atomic, &NO_BEHIND, &[late, target(1)]).0,
            WritePlan::CannotSplit
        );
    }

    #[test]
    fn what_is_not_recorded_holds_everything_up() {
        let blocked = Target {
            gate: Gate::Blocked,
            ..target(1)
        };
        let unrecorded = Target {
            bad: BadBlocks::Unrecorded(range(1060, 9)),
            ..target(1)
        };
        for (held, why) in [
            (blocked, Hold::Blocked),
            (unrecorded, Hold::UnrecordedBadBlocks),
        ] {
            let (plan, _) = plan(Kind::Data, &NO_BEHIND, &[target(0), held]);
            assert_eq!(
                plan,
                WritePlan::Wait {
                    on: held.place,
                    why
                }
            );
        }
    }

    #[test]
    fn write_mostly_members_may_lag() {
        let slow = Target {
            reads: Reads::WriteMostly,
            ..target(1)
        };
        let both = [target(0), slow];
        let behind = Behind {
            limit: 1,
            ..NO_BEHIND
        };
        assert_eq!(plan(Kind::Data, &behind, &both).0, write(64, Pace::Behind));
        assert_eq!(
            plan(Kind::Discard, &behind, &both).0,
            write(64, Pace::Together)
        );
        assert_eq!(
            plan(Kind::Data, &behind, &[slow]).0,
            write(64, Pace::Together)
        );
        assert_eq!(
            plan(Kind::Data, &NO_BEHIND, &both).0,
            write(64, Pace::Together)
        );
        let full = Behind {
            in_flight: 1,
            ..behind
        };
        assert_eq!(plan(Kind::Data, &full, &both).0, write(64, Pace::Together));
        let read = Behind {
            readers: Readers::Waiting,
            ..behind
        };
        assert_eq!(plan(Kind::Data, &read, &both).0, write(64, Pace::Together));
        let small = Behind {
            copy_max: Sectors::new(16),
            ..behind
        };
        assert_eq!(plan(Kind::Data, &small, &both).0, write(16, Pace::Behind));
        assert_eq!(
            plan(Kind::Atomic, &small, &both).0,
            write(64, Pace::Together)
        );
    }

    #[test]
    fn failing_fast_needs_another_member() {
        assert_eq!(
            write_fail_fast(FailFast::Yes, Reads::Normal, 2),
            FailFast::Yes
        );
        assert_eq!(
            write_fail_fast(FailFast::Yes, Reads::Normal, 1),
            FailFast::No
        );
        assert_eq!(
            write_fail_fast(FailFast::Yes, Reads::WriteMostly, 2),
            FailFast::No
        );
    }
}
