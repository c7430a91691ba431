// SPDX-License-Identifier: GPL-2.0

//! When a member has erred too often, when the last copy is kept, and when a device may give up early.
//!
//! The rules of raid1-10.c and of `error_handler` in raid1.c and raid10.c.

use super::throttle::Millis;
use crate::state::member::Loss;

/// The corrected read errors of one member; the count halves with every whole hour between two errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadErrors {
    count: u32,
    last: Option<Millis>,
}

/// Whether a member may go on being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadErrorVerdict {
    /// It may: correct the error.
    Tolerate,
    /// It has erred too often: fail it.
    FailMember,
}

impl ReadErrors {
    /// `max_read_errors` of a new array.
    pub const DEFAULT_MAX: u32 = 20;

    /// No error so far.
    pub const NONE: Self = Self {
        count: 0,
        last: None,
    };

    /// The count, as of the last error.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Counts an error.
    pub fn record(&mut self, now: Millis, max: u32) -> ReadErrorVerdict {
        if let Some(last) = self.last {
            let hours = u32::try_from(now.seconds_since(last) / 3600).unwrap_or(u32::MAX);
            self.count = self.count.checked_shr(hours).unwrap_or(0);
        }
        self.last = Some(now);
        self.count = self.count.saturating_add(1);
        if self.count > max {
            ReadErrorVerdict::FailMember
        } else {
            ReadErrorVerdict::Tolerate
        }
    }
}

/// Whether a mirror may lose its last copy (`fail_last_dev`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastDevice {
    /// It is kept, whatever its errors.
    Keep,
    /// It fails like any other.
    Fail,
}

/// Whether data survives without a member; see `has_enough` of [`crate::layout::mirror::Placement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// There is another copy in sync of all it holds.
    Enough,
    /// There is not.
    TooFew,
}

/// Whether the array is broken by a failure, and whether the member is failed all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorLoss {
    /// The member fails; the array goes on.
    Degrades,
    /// It was the last copy of something and stays; the array is broken.
    BreaksKeeping,
    /// It was the last copy of something and fails; the array is broken.
    BreaksFailing,
}

impl MirrorLoss {
    /// What this means to the member.
    pub const fn to_member(self) -> Loss {
        match self {
            Self::BreaksKeeping => Loss::LastCopy,
            Self::Degrades | Self::BreaksFailing => Loss::Acceptable,
        }
    }
}

/// What the failure of a member in sync does to a mirror. A member not in sync always just [`MirrorLoss::Degrades`].
pub const fn mirror_loss(survivors: Survivors, last_device: LastDevice) -> MirrorLoss {
    match (survivors, last_device) {
        (Survivors::Enough, _) => MirrorLoss::Degrades,
        (Survivors::TooFew, LastDevice::Keep) => MirrorLoss::BreaksKeeping,
        (Survivors::TooFew, LastDevice::Fail) => MirrorLoss::BreaksFailing,
    }
}

/// Whether a request may ask the device to fail fast: only when another member could serve in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailFast {
    /// The device should try hard.
    No,
    /// It may give up at the first error.
    Yes,
}

impl FailFast {
    /// For a member that is marked failfast when `Yes`, with so many members that could serve the request.
    #[must_use]
    pub const fn among(self, able: u32) -> Self {
        match self {
            Self::Yes if able > 1 => Self::Yes,
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_errors_decay_by_the_hour() {
        let mut errors = ReadErrors::NONE;
        let hour = 3_600_000;
        for _ in 0..20 {
            assert_eq!(errors.record(Millis(0), 20), ReadErrorVerdict::Tolerate);
        }
        let mut one_more = errors;
        assert_eq!(
            one_more.record(Millis(hour - 1), 20),
            ReadErrorVerdict::FailMember
        );
        assert_eq!(
            errors.record(Millis(2 * hour), 20),
            ReadErrorVerdict::Tolerate
        );
        assert_eq!(errors.count(), 6);
        assert_eq!(
            errors.record(Millis(100 * hour), 20),
            ReadErrorVerdict::Tolerate
        );
        assert_eq!(errors.count(), 1);
        let mut intolerant = ReadErrors::NONE;
        assert_eq!(
            intolerant.record(Millis(5), 0),
            ReadErrorVerdict::FailMember
        );
    }

    #[test]
    fn the_last_copy_is_kept_unless_told_otherwise() {
        let loss = mirror_loss(Survivors::TooFew, LastDevice::Keep);
        assert_eq!(
            (loss, loss.to_member()),
            (MirrorLoss::BreaksKeeping, Loss::LastCopy)
        );
        let loss = mirror_loss(Survivors::TooFew, LastDevice::Fail);
        assert_eq!(
            (loss, loss.to_member()),
            (MirrorLoss::BreaksFailing, Loss::Acceptable)
        );
        let loss = mirror_loss(Survivors::Enough, LastDevice::Keep);
        assert_eq!(
            (loss, loss.to_member()),
            (MirrorLoss::Degrades, Loss::Acceptable)
        );
        assert_eq!(FailFast::Yes.among(1), FailFast::No);
        assert_eq!(FailFast::Yes.among(2), FailFast::Yes);
        assert_eq!(FailFast::No.among(2), FailFast::No);
    }
}
