// SPDX-License-Identifier: GPL-2.0

//! Which data I/O an array admits in which state.
//!
//! [`Array::admit`] answers for one I/O that reached the array's block device. Behaviour follows `md_submit_bio()` and
//! `md_write_start()` of C md.

use core::fmt;

use super::array::{Access, Array, Failure};
use super::clean::Dirtiness;
use crate::units::Sector;

/// A kind of data I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Reads data.
    Read,
    /// Changes data: write, write zeroes, discard.
    Write,
    /// A flush without data.
    EmptyFlush,
}

impl Io {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::EmptyFlush];
}

/// What is to happen with an I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Serve it. A write counts as in flight from here on.
    Serve,
    /// Complete it successfully at once: no member can hold unwritten data.
    Complete,
    /// First apply [`Event::Reopened`](super::array::Event::Reopened), then judge again.
    Reopen,
    /// First apply [`WriteStart`](super::clean::Event::WriteStart) and wait for the record.
    Track,
}

/// Why I/O is refused; the block layer sees an I/O error for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoRefusal {
    /// The array does not run.
    NotRunning,
    /// It is read-only.
    ReadOnly,
    /// It is broken: a write could only make matters worse.
    Broken,
}

impl fmt::Display for IoRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "the array is not running",
            Self::ReadOnly => "the array is read-only",
            Self::Broken => "the array is broken",
        })
    }
}

/// Sectors of the array where writes wait (`suspend_lo`, `suspend_hi`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The first.
    pub lo: Sector,
    /// The first behind them; none are held when it is not above `lo`.
    pub hi: Sector,
}

impl Held {
    /// None.
    pub const NONE: Self = Self {
        lo: Sector::ZERO,
        hi: Sector::ZERO,
    };

    /// Whether a write to sectors `start` up to `end`, exclusively, waits. C md also holds the one that ends where the
    /// range begins.
    pub fn holds(self, start: Sector, end: Sector) -> bool {
        self.lo < self.hi && start < self.hi && end > self.lo
    }
}

impl Array {
    /// Judges an I/O that reached the array's block device.
    pub fn admit(self, io: Io) -> Result<Admission, IoRefusal> {
        let Self::Running { access, failure } = self else {
            return Err(IoRefusal::NotRunning);
        };
        match (io, failure, access) {
            (Io::Read, _, _) => Ok(Admission::Serve),
            (_, Failure::Broken, _) => Err(IoRefusal::Broken),
            (Io::Write, _, Access::ReadOnly) => Err(IoRefusal::ReadOnly),
            (Io::EmptyFlush, _, Access::ReadOnly) => Ok(Admission::Complete),
            (Io::EmptyFlush, _, _) => Ok(Admission::Serve),
            (Io::Write, _, Access::ReadAuto) => Ok(Admission::Reopen),
            (Io::Write, _, Access::Writable(Dirtiness::Clean | Dirtiness::WritePending)) => {
                Ok(Admission::Track)
            }
            (Io::Write, _, Access::Writable(Dirtiness::Active | Dirtiness::ActiveIdle)) => {
                Ok(Admission::Serve)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_writes() {
        let at = Sector::new;
        let held = Held {
            lo: at(100),
            hi: at(200),
        };
        let cases = [
            (90, 100, false),
            (90, 101, true),
            (100, 101, true),
            (150, 160, true),
            (0, 1000, true),
            (199, 200, true),
            (200, 201, false),
        ];
        for (start, end, waits) in cases {
            assert_eq!(held.holds(at(start), at(end)), waits, "{start}..{end}");
        }
        let none = Held {
            lo: at(200),
            hi: at(200),
        };
        assert!(!none.holds(at(0), at(1000)));
        assert!(!Held::NONE.holds(at(0), at(1000)));
    }

    #[test]
    fn writes_reach_members_only_of_a_dirty_array() {
        for state in Array::ALL {
            if state.admit(Io::Write) == Ok(Admission::Serve) {
                let dirty = [Dirtiness::Active, Dirtiness::ActiveIdle];
                assert!(
                    dirty
                        .iter()
                        .any(|d| state == Array::running(Access::Writable(*d), Failure::Intact)),
                    "{state}"
                );
            }
        }
    }

    #[test]
    fn reads_need_nothing_but_a_running_array() {
        for state in Array::ALL {
            let running = matches!(state, Array::Running { .. });
            assert_eq!(state.admit(Io::Read).is_ok(), running, "{state}");
        }
    }

    #[test]
    fn a_read_only_array_completes_an_empty_flush() {
        let state = Array::running(Access::ReadOnly, Failure::Intact);
        assert_eq!(state.admit(Io::EmptyFlush), Ok(Admission::Complete));
        assert_eq!(state.admit(Io::Write), Err(IoRefusal::ReadOnly));
    }
}
