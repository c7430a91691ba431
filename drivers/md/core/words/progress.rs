// SPDX-License-Identifier: GPL-2.0

//! The progress line of `/proc/mdstat`, with the arithmetic of its percentage, remaining time and speed.

use core::fmt;

use crate::units::{Sector, Sectors};

/// The line about what is going on in a running array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncLine {
    /// Nothing is; no line.
    Nothing,
    /// Another node of the cluster works.
    Remote(RemoteKind),
    /// A resync is needed and has not started.
    Pending,
    /// It waits for another array on the same devices.
    Delayed,
    /// It runs.
    Running(SyncProgress),
}

/// What another node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteKind {
    /// It fills a member.
    Recover,
    /// It changes the shape.
    Reshape,
    /// It makes copies agree.
    Resync,
}

/// What runs, as the line calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// Change of shape.
    Reshape,
    /// Comparison.
    Check,
    /// Resync, or repair.
    Resync,
    /// Filling of a member.
    Recovery,
}

/// An action that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// What runs.
    pub kind: SyncKind,
    /// Where it is, without what is still in flight.
    pub position: Sector,
    /// The length of the whole, in the units of `position`.
    pub total: Sectors,
    /// How fast it was of late.
    pub rate: Rate,
}

/// What was done since a mark about 30 s ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Whole seconds since the mark; 0 counts as 1.
    pub seconds: u64,
    /// What was done in them.
    pub done: Sectors,
}

impl Rate {
    fn seconds_at_least_1(self) -> u64 {
        self.seconds.max(1)
    }

    /// KiB per second.
    pub fn kib_per_second(self) -> u64 {
        self.done.to_kib() / self.seconds_at_least_1()
    }
}

/// The characters of the bar, without its arrow head.
const BAR_WIDTH: usize = 20;

impl SyncProgress {
    /// The position once more, never beyond the end.
    fn done(&self) -> u64 {
        self.position.get().min(self.total.get())
    }

    /// Progress in thousandths, 0 to 1000.
    ///
    /// C md divides both numbers by 1024 first and adds one to the divisor; small arrays therefore never show 100 %.
    pub fn per_mille(&self) -> u64 {
        let done = u128::from(self.done() >> 10);
        let total = u128::from(self.total.get() >> 10);
        // At most 1000, for done <= total.
        u64::try_from(done * 1000 / (total + 1)).unwrap_or(1000)
    }

    /// Seconds until the end at the present rate.
    ///
    /// The arithmetic of C md: the amount per mark is taken in 32nds, and one is added so that it is never zero.
    pub fn remaining_seconds(&self) -> u64 {
        let left = self.total.get().saturating_sub(self.done());
        let per_mark = self.rate.done.get() / 32 + 1;
        (left / per_mark).saturating_mul(self.rate.seconds_at_least_1()) >> 5
    }
}

impl fmt::Display for SyncKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reshape => "reshape",
            Self::Check => "check",
            Self::Resync => "resync",
            Self::Recovery => "recovery",
        })
    }
}

impl fmt::Display for SyncProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_mille = self.per_mille();
        let filled = usize::try_from(per_mille / 50)
            .unwrap_or(BAR_WIDTH)
            .min(BAR_WIDTH);
        let empty = BAR_WIDTH.saturating_sub(filled);
        write!(f, "[{:=<filled$}>{:.<empty$}]  {} =", "", "", self.kind)?;
        write!(f, "{:3}.{}% ", per_mille / 10, per_mille % 10)?;
        write!(f, "({}/{})", self.done() / 2, self.total.to_kib())?;
        let left = self.remaining_seconds();
        write!(f, " finish={}.{}min", left / 60, (left % 60) / 6)?;
        write!(f, " speed={}K/sec", self.rate.kib_per_second())
    }
}

impl fmt::Display for SyncLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Remote(RemoteKind::Recover) => f.write_str("\trecover=REMOTE"),
            Self::Remote(RemoteKind::Reshape) => f.write_str("\treshape=REMOTE"),
            Self::Remote(RemoteKind::Resync) => f.write_str("\tresync=REMOTE"),
            Self::Pending => f.write_str("\tresync=PENDING"),
            Self::Delayed => f.write_str("\tresync=DELAYED"),
            Self::Running(progress) => progress.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(position: u64, total: u64, rate: (u64, u64)) -> SyncProgress {
        SyncProgress {
            kind: SyncKind::Resync,
            position: Sector::new(position),
            total: Sectors::new(total),
            rate: Rate {
                seconds: rate.0,
                done: Sectors::new(rate.1),
            },
        }
    }

    #[test]
    fn a_line_as_c_md_prints_it() {
        assert_eq!(
            progress(1 << 20, 1 << 22, (10, 400_000)).to_string(),
            "[====>................]  resync = 24.9% (524288/2097152) finish=1.3min speed=20000K/sec"
        );
        assert_eq!(
            progress(0, 2048, (0, 0)).to_string(),
            "[>....................]  resync =  0.0% (0/1024) finish=1.0min speed=0K/sec"
        );
    }

    #[test]
    fn the_ends_of_the_scale() {
        let huge = progress(u64::MAX, u64::MAX, (u64::MAX, 0));
        assert_eq!((huge.per_mille(), huge.remaining_seconds()), (999, 0));
        assert_eq!(progress(9, 0, (1, 1)).per_mille(), 0);
        assert_eq!(
            progress(0, u64::MAX, (u64::MAX, 0)).remaining_seconds(),
            u64::MAX >> 5
        );
        let over = progress(4096, 2048, (1, 1)).to_string();
        assert!(over.contains("(1024/1024)"), "{over}");
    }
}
