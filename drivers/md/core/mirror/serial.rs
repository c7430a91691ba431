// SPDX-License-Identifier: GPL-2.0

//! Which writes wait for others: a member gets writes to the same sectors in the order in which they were acknowledged.
//!
//! Without writes behind that follows from itself, as a write ends when all members have it. A write that is behind on
//! slow members ends earlier: what overlaps it waits until they have it, and so do reads of slow members. An
//! administrator may have all writes wait for those that they overlap, so that members agree even where programs write
//! to the same sectors at a time.

use crate::units::SectorRange;

use super::write::Pace;

/// Which writes are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Those that are behind.
    Behind,
    /// All (`serialize_policy`).
    All,
}

/// What a write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asks {
    /// Which writes are waited for.
    pub policy: Policy,
    /// Whether it is to be behind.
    pub pace: Pace,
    /// Whether there are fewer writes behind than there may be.
    pub may_lag: bool,
    /// Whether there is room for one more that others can wait for.
    pub has_room: bool,
}

/// What a write gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It waits, and asks again.
    Wait,
    /// It goes, with all members together; nobody waits for it.
    Go,
    /// It goes, at this pace; those that overlap it wait for it.
    Noted(Pace),
}

/// Whether a write to `range` goes while there are those of `noted`.
pub fn admit(
    range: SectorRange,
    asks: Asks,
    noted: impl IntoIterator<Item = SectorRange>,
) -> Answer {
    if noted.into_iter().any(|other| other.overlaps(range)) {
        return Answer::Wait;
    }
    match (asks.policy, asks.pace) {
        (Policy::All, _) if !asks.has_room => Answer::Wait,
        (_, Pace::Behind) if asks.may_lag && asks.has_room => Answer::Noted(Pace::Behind),
        (Policy::All, _) => Answer::Noted(Pace::Together),
        (Policy::Behind, _) => Answer::Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Sector, Sectors};

    fn range(start: u64, length: u64) -> SectorRange {
        SectorRange::new(Sector::new(start), Sectors::new(length)).expect("a range")
    }

    const LAGS: Asks = Asks {
        policy: Policy::Behind,
        pace: Pace::Behind,
        may_lag: true,
        has_room: true,
    };
    const TOGETHER: Asks = Asks {
        pace: Pace::Together,
        ..LAGS
    };
    const ALL: Asks = Asks {
        policy: Policy::All,
        ..TOGETHER
    };

    #[test]
    fn what_overlaps_waits() {
        let noted = [range(0, 8), range(100, 8)];
        for asks in [LAGS, TOGETHER, ALL] {
            for (start, length) in [(0, 1), (7, 1), (99, 2), (90, 100), (107, 9)] {
                assert_eq!(admit(range(start, length), asks, noted), Answer::Wait);
            }
            for (start, length) in [(8, 92), (108, 1)] {
                assert_ne!(admit(range(start, length), asks, noted), Answer::Wait);
            }
        }
    }

    #[test]
    fn others_wait_for_what_lags_or_for_all() {
        let none = || [].into_iter();
        assert_eq!(
            admit(range(0, 8), LAGS, none()),
            Answer::Noted(Pace::Behind)
        );
        assert_eq!(admit(range(0, 8), TOGETHER, none()), Answer::Go);
        assert_eq!(
            admit(range(0, 8), ALL, none()),
            Answer::Noted(Pace::Together)
        );
        let both = Asks {
            pace: Pace::Behind,
            ..ALL
        };
        assert_eq!(
            admit(range(0, 8), both, none()),
            Answer::Noted(Pace::Behind)
        );
    }

    #[test]
    fn with_too_many_behind_or_no_room_none_lags() {
        let none = || [].into_iter();
        let many = Asks {
            may_lag: false,
            ..LAGS
        };
        assert_eq!(admit(range(0, 8), many, none()), Answer::Go);
        let full = Asks {
            has_room: false,
            ..LAGS
        };
        assert_eq!(admit(range(0, 8), full, none()), Answer::Go);
        let full = Asks {
            policy: Policy::All,
            ..full
        };
        assert_eq!(admit(range(0, 8), full, none()), Answer::Wait);
        let many = Asks {
            policy: Policy::All,
            ..many
        };
        assert_eq!(
            admit(range(0, 8), many, none()),
            Answer::Noted(Pace::Together)
        );
    }
}
