// SPDX-License-Identifier: GPL-2.0

//! The barrier of one page of the lockless bitmap, between writers and the daemon.
//!
//! A writer *enters* the page before it changes a cell and *leaves* it when its data write is done. The daemon
//! *suspends* the page, which lets no one else in, waits until those inside have left, cleans the cells, and
//! *resumes* it. Whoever wants in meanwhile waits. [`Barrier::step`] is the protocol; the driver holds the same three
//! facts in a reference counter and a wait queue; `tools/host/tests/model` runs this one in many orders.
//!
//! [`Freshness`] is when a page is due for the daemon.
//!
//! Follows `llbitmap_raise_barrier()`, `llbitmap_suspend_timeout()`, `llbitmap_resume()` and
//! `md_llbitmap_daemon_fn()` of `drivers/md/md-llbitmap.c`. C does not wake those who wait when the daemon gives up,
//! and re-arms the daemon for ever for pages that nobody uses.

use core::fmt;

/// Whether the page lets writers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It does.
    Open,
    /// It does not; the daemon waits for those inside.
    Draining,
    /// It does not; nobody is inside but the daemon.
    Shut,
}

/// The barrier of a page.
///
/// # Invariants
///
/// A shut page has no writers, a draining one at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barrier {
    gate: Gate,
    writers: u32,
}

/// What somebody does at the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A writer wants in.
    Enter,
    /// A writer leaves.
    Leave,
    /// The daemon wants the page for itself.
    Suspend,
    /// The daemon has waited long enough.
    GiveUp,
    /// The daemon is done.
    Resume,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 5] = [
        Self::Enter,
        Self::Leave,
        Self::Suspend,
        Self::GiveUp,
        Self::Resume,
    ];
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The writer waits until it is woken, then tries again. The barrier is as it was.
    Wait,
    /// The barrier as it is now, and whom to wake.
    Moved(Barrier, Wake),
}

/// Whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Nobody.
    None,
    /// The daemon: the last writer has left.
    Daemon,
    /// All writers that wait.
    Writers,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// More leave than entered.
    NobodyInside,
    /// The page is suspended already: there is one daemon.
    Suspended,
    /// The page is not suspended.
    NotSuspended,
    /// Somebody is still inside.
    NotDrained,
    /// More writers than can be counted.
    TooMany,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NobodyInside => "a writer left a bitmap page that it never entered",
            Self::Suspended => "the bitmap page is suspended already",
            Self::NotSuspended => "the bitmap page is not suspended",
            Self::NotDrained => "writers are still inside the bitmap page",
            Self::TooMany => "too many writers inside the bitmap page",
        })
    }
}

impl Default for Barrier {
    fn default() -> Self {
        Self::OPEN
    }
}

impl Barrier {
    /// Open and empty.
    pub const OPEN: Self = Self {
        gate: Gate::Open,
        writers: 0,
    };

    /// Whether it lets writers in.
    pub const fn gate(self) -> Gate {
        self.gate
    }

    /// The writers inside.
    pub const fn writers(self) -> u32 {
        self.writers
    }

    /// One step.
    pub const fn step(self, event: Event) -> Result<Outcome, Illegal> {
        match event {
            Event::Enter => self.enter(),
            Event::Leave => self.leave(),
            Event::Suspend => match (self.gate, self.writers) {
                (Gate::Open, 0) => Ok(self.moved(Gate::Shut, Wake::None)),
                (Gate::Open, _) => Ok(self.moved(Gate::Draining, Wake::None)),
                (Gate::Draining | Gate::Shut, _) => Err(Illegal::Suspended),
            },
            Event::GiveUp => match self.gate {
                Gate::Open => Err(Illegal::NotSuspended),
                // The last writer left just now; the daemon gives the page back all the same.
                Gate::Draining | Gate::Shut => Ok(self.moved(Gate::Open, Wake::Writers)),
            },
            Event::Resume => match self.gate {
                Gate::Open => Err(Illegal::NotSuspended),
                Gate::Draining => Err(Illegal::NotDrained),
                Gate::Shut => Ok(self.moved(Gate::Open, Wake::Writers)),
            },
        }
    }

    const fn enter(self) -> Result<Outcome, Illegal> {
        match (self.gate, self.writers.checked_add(1)) {
            (Gate::Draining | Gate::Shut, _) => Ok(Outcome::Wait),
            (Gate::Open, Some(writers)) => Ok(Outcome::Moved(Self { writers, ..self }, Wake::None)),
            (Gate::Open, None) => Err(Illegal::TooMany),
        }
    }

    const fn leave(self) -> Result<Outcome, Illegal> {
        match (self.writers.checked_sub(1), self.gate) {
            (None, _) => Err(Illegal::NobodyInside),
            (Some(0), Gate::Draining) => Ok(Outcome::Moved(
                Self {
                    gate: Gate::Shut,
                    writers: 0,
                },
                Wake::Daemon,
            )),
            (Some(writers), _) => Ok(Outcome::Moved(Self { writers, ..self }, Wake::None)),
        }
    }

    const fn moved(self, gate: Gate, wake: Wake) -> Outcome {
        Outcome::Moved(Self { gate, ..self }, wake)
    }
}

/// A point in time, in whatever unit the driver counts; it does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

/// When a page is due for the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing was written since the daemon cleaned it.
    Idle,
    /// It was written; `barrier_idle` after the last write it is due.
    UsedUntil(Instant),
    /// It is due at once: the array is being stopped, or a sync pass has ended.
    Flush,
}

/// What the daemon does with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, and it need not come back for it.
    Leave,
    /// Nothing yet: come back.
    Later,
    /// Suspend and clean it.
    Clean,
}

impl Freshness {
    /// What the daemon does with a page at `now`.
    pub fn turn(self, now: Instant) -> Turn {
        match self {
            Self::Idle => Turn::Leave,
            Self::UsedUntil(until) if now < until => Turn::Later,
            Self::UsedUntil(_) | Self::Flush => Turn::Clean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks every state reachable with up to three writers.
    #[test]
    fn the_daemon_is_alone_and_nobody_sleeps_for_ever() {
        let mut seen = vec![Barrier::OPEN];
        let mut at = 0;
        while let Some(barrier) = seen.get(at).copied() {
            at += 1;
            assert_eq!(
                barrier.gate == Gate::Shut,
                barrier.gate != Gate::Open && barrier.writers == 0
            );
            for event in Event::ALL {
                let Ok(Outcome::Moved(next, wake)) = barrier.step(event) else {
                    continue;
                };
                let opens = barrier.gate != Gate::Open && next.gate == Gate::Open;
                assert_eq!(opens, wake == Wake::Writers, "{barrier:?} {event:?}");
                let drained = barrier.gate == Gate::Draining && next.gate == Gate::Shut;
                assert_eq!(drained, wake == Wake::Daemon, "{barrier:?} {event:?}");
                if next.writers <= 3 && !seen.contains(&next) {
                    seen.push(next);
                }
            }
        }
        assert_eq!(
            seen.len(),
            4 + 3 + 1,
            "open with 0 to 3, draining with 1 to 3, shut"
        );
    }

    #[test]
    fn an_idle_page_does_not_bring_the_daemon_back() {
        assert_eq!(Freshness::Idle.turn(Instant(u64::MAX)), Turn::Leave);
        assert_eq!(
            Freshness::UsedUntil(Instant(5)).turn(Instant(4)),
            Turn::Later
        );
        assert_eq!(
            Freshness::UsedUntil(Instant(5)).turn(Instant(5)),
            Turn::Clean
        );
    }
}
