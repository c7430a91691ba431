// SPDX-License-Identifier: GPL-2.0

//! Plans for I/O to mirrors, shared by raid1 and raid10: which copy to read ([`balance`]), which copies to write and
//! how much ([`mod@write`]), which writes wait for others ([`serial`]), what to do after an error ([`retry`]), the way
//! of a pass over the array ([`route`]).
//!
//! A copy is known by its [`Place`]; where it lies is the business of [`layout::mirror`](crate::layout::mirror). The
//! driver builds the views while it holds the members, calls a function here, and acts on the answer. Members that are
//! missing or faulty, and copies already tried, are not among the views.

pub mod balance;
pub mod retry;
pub mod route;
pub mod serial;
pub mod write;

use crate::units::{Sector, SectorRange, Sectors};

pub use crate::state::member::{Place, Seat};
pub use crate::words::mdstat::Reads;

/// How much of a request lies before or behind the first bad blocks it meets on one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// There are no bad blocks in it.
    All,
    /// So much before the first bad block; never zero.
    Before(Sectors),
    /// Nothing: it begins with so much that is bad, cut off at the end of the request; never zero.
    NotBefore(Sectors),
}

impl Clear {
    /// Judges a request of `length` at `start` against the first run of bad blocks that overlaps it.
    pub fn of(start: Sector, length: Sectors, bad: Option<SectorRange>) -> Self {
        let end = start.saturating_add(length);
        let Some(bad) = bad.filter(|bad| bad.start() < end && start < bad.end()) else {
            return Self::All;
        };
        match bad.start().distance_from(start) {
            Some(before) if !before.is_zero() => Self::Before(before),
            _ => Self::NotBefore(bad.end().distance_from(start).unwrap_or(length).min(length)),
        }
    }

    /// How much of a request of `length` can be done at once.
    pub const fn usable(self, length: Sectors) -> Sectors {
        match self {
            Self::All => length,
            Self::Before(before) => before.min(length),
            Self::NotBefore(_) => Sectors::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_blocks_cut_a_request() {
        let clear = |start, length| {
            let bad = SectorRange::new(Sector::new(start), Sectors::new(length));
            Clear::of(Sector::new(100), Sectors::new(10), bad)
        };
        assert_eq!(clear(90, 10), Clear::All);
        assert_eq!(clear(110, 1), Clear::All);
        assert_eq!(clear(109, 9), Clear::Before(Sectors::new(9)));
        assert_eq!(clear(100, 1), Clear::NotBefore(Sectors::new(1)));
        assert_eq!(clear(90, 14), Clear::NotBefore(Sectors::new(4)));
        assert_eq!(clear(90, 99), Clear::NotBefore(Sectors::new(10)));
        assert_eq!(Clear::of(Sector::MAX, Sectors::new(10), None), Clear::All);
    }
}
