// SPDX-License-Identifier: GPL-2.0

//! Clean/dirty tracking, safe mode, and the event arithmetic of a superblock update.
//!
//! An array is *clean* while no write is in flight and its superblocks say so. The first write marks it dirty and
//! waits until that is on media; when writes have ceased for the safe-mode delay it is marked clean again. Levels
//! without redundancy are always clean and never come here.
//!
//! [`Dirtiness`] is the machine, [`SuperUpdate::decide`] the arithmetic. Behaviour follows `md_write_start()`,
//! `md_write_end()`, `set_in_sync()` and `md_update_sb()` of C md.

use core::fmt;

use super::{Health, Metadata, Next};
use crate::units::Events;

/// How the array stands between clean and dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dirtiness {
    /// No write in flight; the superblocks say clean, or will once the due update is written.
    Clean,
    /// A write arrived and waits until the superblocks (or the external manager) say dirty.
    WritePending,
    /// Dirty, and written to lately.
    Active,
    /// Dirty, and no write for the safe-mode delay: becomes clean as soon as no write is in flight.
    ActiveIdle,
}

impl Dirtiness {
    /// All states.
    pub const ALL: [Self; 4] = [
        Self::Clean,
        Self::WritePending,
        Self::Active,
        Self::ActiveIdle,
    ];
}

impl fmt::Display for Dirtiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "Clean",
            Self::WritePending => "WritePending",
            Self::Active => "Active",
            Self::ActiveIdle => "ActiveIdle",
        })
    }
}

/// What happens to the dirtiness of a running, writable array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write is about to be issued.
    WriteStart,
    /// The superblocks with the dirty mark are on media, or the manager wrote `active`.
    Recorded,
    /// The safe-mode delay has passed without a write.
    DelayPassed,
    /// The array is to be clean as soon as it can be: a signal, a reboot, `array_state=clean`, a stop.
    Settle,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 4] = [
        Self::WriteStart,
        Self::Recorded,
        Self::DelayPassed,
        Self::Settle,
    ];
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WriteStart => "WriteStart",
            Self::Recorded => "Recorded",
            Self::DelayPassed => "DelayPassed",
            Self::Settle => "Settle",
        })
    }
}

/// Whether data writes are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// None.
    Quiet,
    /// At least one.
    InFlight,
}

impl Writes {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Quiet, Self::InFlight];
}

/// What the step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// Data writes in flight. A writer counts itself before [`Event::WriteStart`], so that nobody who looks afterwards
    /// takes the array for quiet.
    pub writes: Writes,
    /// Who records the dirty mark.
    pub metadata: Metadata,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// The array cannot become clean yet. C md: `EBUSY` for `array_state=clean`.
    WritesInFlight,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WritesInFlight => "the array cannot be marked clean while writes are in flight",
        })
    }
}

impl Dirtiness {
    /// The state after `event`.
    ///
    /// Moving to [`Dirtiness::WritePending`], [`Dirtiness::Active`] from clean, or [`Dirtiness::Clean`] makes a
    /// superblock update due ([`Change::CleanOnly`]); see [`Dirtiness::update_due`].
    pub fn step(self, event: Event, env: &Env) -> Result<Next<Self>, Illegal> {
        match event {
            Event::WriteStart => Ok(self.write_starts(env.metadata)),
            Event::Recorded => Ok(match self {
                Self::WritePending => Next::To(Self::Active),
                _ => Next::Stay,
            }),
            Event::DelayPassed => Ok(self.delay_passed(env)),
            Event::Settle => self.settle(env.writes),
        }
    }

    /// Without superblocks there is nothing to wait for, so the pending state is skipped.
    fn write_starts(self, metadata: Metadata) -> Next<Self> {
        match (self, metadata) {
            (Self::Clean, Metadata::None) | (Self::ActiveIdle, _) => Next::To(Self::Active),
            (Self::Clean, Metadata::Native | Metadata::External) => Next::To(Self::WritePending),
            (Self::WritePending | Self::Active, _) => Next::Stay,
        }
    }

    /// An external manager is told (`active-idle`) and writes `clean` itself; otherwise the driver marks the array
    /// clean at once if it can, and later, through `Settle`, if it cannot.
    fn delay_passed(self, env: &Env) -> Next<Self> {
        match (self, env.metadata, env.writes) {
            (Self::Active, Metadata::None | Metadata::Native, Writes::Quiet) => {
                Next::To(Self::Clean)
            }
            (Self::Active, _, _) => Next::To(Self::ActiveIdle),
            (Self::ActiveIdle, Metadata::None | Metadata::Native, Writes::Quiet) => {
                Next::To(Self::Clean)
            }
            (Self::Clean | Self::WritePending | Self::ActiveIdle, _, _) => Next::Stay,
        }
    }

    fn settle(self, writes: Writes) -> Result<Next<Self>, Illegal> {
        match (self, writes) {
            (Self::Clean, _) => Ok(Next::Stay),
            // The writer that waits for the record counts as a write although it has not been issued.
            (Self::WritePending, _) | (_, Writes::InFlight) => Err(Illegal::WritesInFlight),
            (Self::Active | Self::ActiveIdle, Writes::Quiet) => Ok(Next::To(Self::Clean)),
        }
    }

    /// The superblock update that becomes due by going from `self` to `next`.
    pub fn update_due(self, next: Self) -> Change {
        match (self, next) {
            (Self::Clean, Self::Clean) => Change::None,
            (Self::Clean, _) | (_, Self::Clean) => Change::CleanOnly,
            _ => Change::None,
        }
    }
}

/// Why a superblock update is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not; one is written all the same when forced, and then counts as [`Change::Devices`].
    None,
    /// Only clean/dirty or a checkpoint changed (`MD_SB_CHANGE_CLEAN`): spares may sleep.
    CleanOnly,
    /// Members or geometry changed, or the update was forced (`MD_SB_CHANGE_DEVS`).
    Devices,
}

impl Change {
    /// All three.
    pub const ALL: [Self; 3] = [Self::None, Self::CleanOnly, Self::Devices];
}

/// Whether the last update was a pure clean-to-dirty step, so that the next may take the event back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// C md's `can_decrease_events`.
    Allowed,
    /// The event count must grow.
    Forbidden,
}

impl Rollback {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Allowed, Self::Forbidden];
}

/// Whether the array is clean and fully synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Clean, and no resync is due: C md's `in_sync && resync_offset == MaxSector`.
    Yes,
    /// Dirty, or a resync is due.
    No,
}

impl Settled {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Yes, Self::No];
}

/// Whether spares take part in an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spares {
    /// Their superblocks are written too.
    Write,
    /// Those that are at most one event behind sleep.
    Skip,
}

/// What an update starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// The array's event count.
    pub events: Events,
    /// Why the update is due.
    pub change: Change,
    /// Whether the array is degraded.
    pub health: Health,
    /// Whether it is clean and synced now.
    pub settled: Settled,
    /// What the update before this one left.
    pub rollback: Rollback,
}

/// What a superblock update writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperUpdate {
    /// The array's new event count.
    pub events: Events,
    /// Whether spares are written.
    pub spares: Spares,
    /// To be kept for the next update.
    pub rollback: Rollback,
}

impl SuperUpdate {
    /// Decides on event count and spares.
    ///
    /// A clean array that goes dirty and clean again returns to the event count its sleeping spares still carry.
    /// A degraded array writes its spares always: one that sleeps might look fresh enough to be re-added without
    /// recovery.
    pub fn decide(before: &Before) -> Self {
        let spares = match (before.change, before.health) {
            (Change::CleanOnly, Health::Complete) => Spares::Skip,
            _ => Spares::Write,
        };
        if spares == Spares::Skip
            && before.settled == Settled::Yes
            && before.rollback == Rollback::Allowed
        {
            if let Some(events) = previous(before.events) {
                return Self {
                    events,
                    spares,
                    rollback: Rollback::Forbidden,
                };
            }
        }
        let rollback = match spares {
            Spares::Skip => Rollback::Allowed,
            Spares::Write => Rollback::Forbidden,
        };
        Self {
            events: before.events.next(),
            spares,
            rollback,
        }
    }

    /// Whether the superblock of a member that carries event count `has` is written.
    ///
    /// A member already at the new count is left alone; a spare one behind may sleep when spares do.
    pub fn writes(&self, has: Events, role: Role) -> bool {
        if has == self.events {
            return false;
        }
        let sleeps = role == Role::Spare && self.spares == Spares::Skip;
        !(sleeps && has.get().checked_add(1) == Some(self.events.get()))
    }
}

/// The count before `events`; zero is never reached, it is what an array has that was never written.
fn previous(events: Events) -> Option<Events> {
    match events.get() {
        0 | 1 => None,
        n => n.checked_sub(1).map(Events::new),
    }
}

/// Whether a member has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has one.
    Placed,
    /// It has none.
    Spare,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envs() -> impl Iterator<Item = Env> {
        Metadata::ALL.into_iter().flat_map(|metadata| {
            Writes::ALL
                .into_iter()
                .map(move |writes| Env { writes, metadata })
        })
    }

    #[test]
    fn a_step_never_names_the_state_it_is_in() {
        for env in envs() {
            for state in Dirtiness::ALL {
                for event in Event::ALL {
                    assert_ne!(
                        state.step(event, &env),
                        Ok(Next::To(state)),
                        "{state} {event} {env:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn clean_is_reached_only_without_writes() {
        for env in envs() {
            for state in Dirtiness::ALL {
                for event in Event::ALL {
                    if state.step(event, &env) == Ok(Next::To(Dirtiness::Clean)) {
                        assert_eq!(env.writes, Writes::Quiet, "{state} {event}");
                        assert_ne!(
                            state,
                            Dirtiness::WritePending,
                            "the waiting write would be lost"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_write_leaves_clean_and_waits_for_the_record() {
        let env = |metadata| Env {
            writes: Writes::Quiet,
            metadata,
        };
        let start = |metadata| Dirtiness::Clean.step(Event::WriteStart, &env(metadata));
        assert_eq!(
            start(Metadata::Native),
            Ok(Next::To(Dirtiness::WritePending))
        );
        assert_eq!(
            start(Metadata::External),
            Ok(Next::To(Dirtiness::WritePending))
        );
        assert_eq!(start(Metadata::None), Ok(Next::To(Dirtiness::Active)));
    }

    #[test]
    fn an_external_array_is_never_marked_clean_by_the_delay() {
        for writes in Writes::ALL {
            for state in Dirtiness::ALL {
                let env = Env {
                    writes,
                    metadata: Metadata::External,
                };
                assert_ne!(
                    state.step(Event::DelayPassed, &env),
                    Ok(Next::To(Dirtiness::Clean))
                );
            }
        }
    }

    fn before(change: Change, settled: Settled, rollback: Rollback) -> Before {
        Before {
            events: Events::new(8),
            change,
            health: Health::Complete,
            settled,
            rollback,
        }
    }

    #[test]
    fn dirty_and_clean_again_returns_to_the_same_count() {
        let dirty =
            SuperUpdate::decide(&before(Change::CleanOnly, Settled::No, Rollback::Forbidden));
        assert_eq!((dirty.events, dirty.spares), (Events::new(9), Spares::Skip));
        let clean = SuperUpdate::decide(&Before {
            events: dirty.events,
            rollback: dirty.rollback,
            ..before(Change::CleanOnly, Settled::Yes, Rollback::Forbidden)
        });
        assert_eq!(
            (clean.events, clean.rollback),
            (Events::new(8), Rollback::Forbidden)
        );
    }

    #[test]
    fn every_update_follows_the_rules() {
        for change in Change::ALL {
            for health in Health::ALL {
                for settled in Settled::ALL {
                    for rollback in Rollback::ALL {
                        for events in [0, 1, 2, 8, u64::MAX].map(Events::new) {
                            check(&Before {
                                events,
                                change,
                                health,
                                settled,
                                rollback,
                            });
                        }
                    }
                }
            }
        }
    }

    fn check(b: &Before) {
        let u = SuperUpdate::decide(b);
        let skips = b.change == Change::CleanOnly && b.health == Health::Complete;
        assert_eq!(u.spares == Spares::Skip, skips, "{b:?}");
        let back = skips
            && b.settled == Settled::Yes
            && b.rollback == Rollback::Allowed
            && b.events > Events::new(1);
        let expected = if back {
            Events::new(b.events.get() - 1)
        } else {
            b.events.next()
        };
        assert_eq!(u.events, expected, "{b:?}");
        assert_ne!(
            u.events,
            Events::ZERO,
            "an update never leaves zero events: {b:?}"
        );
        assert_eq!(u.rollback == Rollback::Allowed, skips && !back, "{b:?}");
    }

    #[test]
    fn spares_sleep_only_one_event_behind() {
        let u = SuperUpdate {
            events: Events::new(9),
            spares: Spares::Skip,
            rollback: Rollback::Allowed,
        };
        assert!(!u.writes(Events::new(8), Role::Spare));
        assert!(!u.writes(Events::new(9), Role::Placed));
        assert!(u.writes(Events::new(8), Role::Placed));
        assert!(u.writes(Events::new(7), Role::Spare));
        assert!(u.writes(Events::new(10), Role::Spare));
    }
}
