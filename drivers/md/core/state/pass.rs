// SPDX-License-Identifier: GPL-2.0

//! One pass over an array: what it does, how far it is, why it stops.
//!
//! Part of the machine in [`sync`](super::sync); see there.

use super::sync::{Event, Illegal, Request, Sync};
use crate::units::Sector;
use crate::words::sync::SyncAction;

/// A pass over the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the copies, or the parity, agree with the data: after a crash, or for a new array.
    Resync,
    /// Rebuild members that have a place but lack data.
    Recover,
    /// Build the parity of chunks that were written before it existed (lockless bitmap, levels 4, 5 and 6).
    LazyRecover,
    /// Compare, count mismatches.
    Check,
    /// Compare, write where it differs.
    Repair,
    /// Move the data to a new geometry.
    Reshape,
}

impl Action {
    /// All passes.
    pub const ALL: [Self; 6] = [
        Self::Resync,
        Self::Recover,
        Self::LazyRecover,
        Self::Check,
        Self::Repair,
        Self::Reshape,
    ];

    /// The word `sync_action` shows for it.
    pub const fn word(self) -> SyncAction {
        match self {
            Self::Resync => SyncAction::Resync,
            Self::Recover | Self::LazyRecover => SyncAction::Recover,
            Self::Check => SyncAction::Check,
            Self::Repair => SyncAction::Repair,
            Self::Reshape => SyncAction::Reshape,
        }
    }
}

/// Why a pass stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A member failed, or the pass itself did: look again afterwards.
    Interrupted,
    /// `idle` was written: forget what was asked for, then look again.
    Idle,
    /// `frozen` was written, or the array is being stopped: look no more.
    Freeze,
}

impl Stop {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Interrupted, Self::Idle, Self::Freeze];
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another array that shares a device is syncing.
    Waiting,
    /// At work; everything below this sector is done.
    Running(Sector),
    /// The thread has ended; its result is being collected.
    Reaping,
}

/// A pass under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What it does.
    pub action: Action,
    /// How far it is.
    pub phase: Phase,
    /// Whether it is to stop, or has stopped, before its end.
    pub stop: Option<Stop>,
    /// What to look at after it.
    pub after: Request,
}

impl Pass {
    /// The state after `event`, which concerns this pass.
    pub(super) fn step(self, event: Event) -> Result<Sync, Illegal> {
        match event {
            Event::Write(SyncAction::Frozen) => Ok(self.stopping(Stop::Freeze)),
            Event::Write(SyncAction::Idle) => Ok(self.idled()),
            Event::Write(_) => Err(Illegal::Busy),
            Event::Need(request) => Ok(Sync::Active(Self {
                after: self.after.max(request),
                ..self
            })),
            Event::Choose => Ok(Sync::Active(self)),
            Event::Unblocked => Ok(match self.phase {
                Phase::Waiting => Sync::Active(Self {
                    phase: Phase::Running(Sector::ZERO),
                    ..self
                }),
                _ => Sync::Active(self),
            }),
            Event::Progress(to) => self.progress(to),
            Event::Interrupt => Ok(match self.stop {
                None => self.stopping(Stop::Interrupted),
                Some(_) => Sync::Active(self),
            }),
            Event::Ended if self.phase == Phase::Reaping => Err(Illegal::WrongPhase),
            Event::Ended => Ok(Sync::Active(Self {
                phase: Phase::Reaping,
                ..self
            })),
            Event::Reaped => self.reaped(),
        }
    }

    fn stopping(self, stop: Stop) -> Sync {
        Sync::Active(Self {
            stop: Some(stop),
            ..self
        })
    }

    /// `idle` thaws; a thread that has ended already keeps its result, so only the freeze is taken back.
    fn idled(self) -> Sync {
        match (self.phase, self.stop) {
            (Phase::Reaping, None | Some(Stop::Interrupted)) => Sync::Active(Self {
                after: Request::Look,
                ..self
            }),
            _ => Sync::Active(Self {
                stop: Some(Stop::Idle),
                after: Request::Look,
                ..self
            }),
        }
    }

    fn progress(self, to: Sector) -> Result<Sync, Illegal> {
        match self.phase {
            Phase::Running(done) if to < done => Err(Illegal::Backwards),
            Phase::Running(_) => Ok(Sync::Active(Self {
                phase: Phase::Running(to),
                ..self
            })),
            Phase::Waiting | Phase::Reaping => Err(Illegal::WrongPhase),
        }
    }

    /// Something may have become due meanwhile, so the machine looks again unless it is frozen.
    fn reaped(self) -> Result<Sync, Illegal> {
        match (self.phase, self.stop) {
            (Phase::Waiting | Phase::Running(_), _) => Err(Illegal::WrongPhase),
            (Phase::Reaping, Some(Stop::Freeze)) => Ok(Sync::Frozen {
                pending: Some(self.after),
            }),
            (Phase::Reaping, _) => Ok(Sync::Requested(self.after)),
        }
    }

    /// Whether it has stopped before its end, though nobody said that it should.
    pub const fn was_interrupted(&self) -> bool {
        matches!(self.stop, Some(Stop::Interrupted))
    }

    /// Whether the pass did all it set out to do, so that members it rebuilt may go into service.
    pub const fn succeeded(&self) -> bool {
        matches!((self.phase, self.stop), (Phase::Reaping, None))
    }
}
