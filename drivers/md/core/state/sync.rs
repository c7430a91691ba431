// SPDX-License-Identifier: GPL-2.0

//! The sync action: what `sync_action` shows and accepts, and which pass comes next.
//!
//! [`Sync`] is the machine, [`choose`] the order of precedence: reshape, then resync, then recovery, then what was
//! asked for. A request that loses to a more urgent pass is kept and looked at after it (C md drops it, or lets
//! `check` take the place of a pending resync).
//!
//! Behaviour follows `action_store()`, `md_sync_action()`, `md_check_recovery()`, `md_choose_sync_action()` and
//! `md_reap_sync_thread()` of C md.

use core::fmt;

use super::pass::{Action, Pass, Phase, Stop};
use super::Next;
use crate::units::Sector;
use crate::words::sync::SyncAction;

/// What is asked for, in rising order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Look whether anything is due.
    Look,
    /// The administrator wants a repair.
    Repair,
    /// The administrator wants a check.
    Check,
    /// The bitmap found chunks whose parity is not built.
    LazyRecover,
    /// The bitmap found chunks that need a resync.
    Resync,
}

impl Request {
    /// All requests.
    pub const ALL: [Self; 5] = [
        Self::Look,
        Self::Repair,
        Self::Check,
        Self::LazyRecover,
        Self::Resync,
    ];
}

/// The state of the sync machinery of one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Nothing runs, nothing is asked for.
    Idle,
    /// Nothing may run.
    Frozen {
        /// What to look at when it may again.
        pending: Option<Request>,
    },
    /// Something is asked for and will be looked at.
    Requested(Request),
    /// A pass is under way.
    Active(Pass),
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("Idle"),
            Self::Frozen { pending: None } => f.write_str("Frozen"),
            Self::Frozen {
                pending: Some(request),
            } => write!(f, "Frozen, then {request:?}"),
            Self::Requested(request) => write!(f, "Requested {request:?}"),
            Self::Active(pass) => {
                match pass.phase {
                    Phase::Waiting => write!(f, "{:?} waiting", pass.action),
                    Phase::Running(_) => write!(f, "{:?} running", pass.action),
                    Phase::Reaping => write!(f, "{:?} reaping", pass.action),
                }?;
                match pass.stop {
                    None => Ok(()),
                    Some(stop) => write!(f, ", {stop:?}"),
                }?;
                match pass.after {
                    Request::Look => Ok(()),
                    after => write!(f, ", then {after:?}"),
                }
            }
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A word was written to `sync_action`.
    Write(SyncAction),
    /// A part of the driver asks for a pass.
    Need(Request),
    /// The array's thread looks for work.
    Choose,
    /// No other array that shares a device is syncing any more.
    Unblocked,
    /// Everything below this sector is done.
    Progress(Sector),
    /// The pass cannot go on: a member failed.
    Interrupt,
    /// The pass's thread has ended.
    Ended,
    /// Its result has been collected and recorded.
    Reaped,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(word) => write!(f, "Write `{word}`"),
            Self::Need(request) => write!(f, "Need {request:?}"),
            Self::Progress(_) => f.write_str("Progress"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Whether the array's data may be changed by a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Writable,
    /// It may not: no pass can run.
    ReadOnly,
}

impl Access {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Writable, Self::ReadOnly];
}

/// Whether the array is between two geometries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reshape {
    /// It is not, and the level can reshape.
    Possible,
    /// It is not, and the level cannot.
    Unsupported,
    /// It is, and can go on.
    Ready,
    /// It is, and cannot go on: nothing may run.
    Stuck,
}

impl Reshape {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Possible, Self::Unsupported, Self::Ready, Self::Stuck];
}

/// Whether the superblock asks for a resync (`resync_offset` below the end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// It does not.
    NotDue,
    /// It does.
    Due,
}

impl Resync {
    /// Both.
    pub const ALL: [Self; 2] = [Self::NotDue, Self::Due];
}

/// Whether a placed member lacks data (after spares have been given places).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// None does.
    NotDue,
    /// At least one does.
    Due,
}

impl Recovery {
    /// Both.
    pub const ALL: [Self; 2] = [Self::NotDue, Self::Due];
}

/// Whether another array that shares a device is syncing and this one must wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// None.
    Quiet,
    /// One is.
    Syncing,
}

impl Neighbours {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Quiet, Self::Syncing];
}

/// What the machine depends on. Levels without redundancy have no sync machinery at all (`EINVAL` in C md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// Whether the array is writable.
    pub access: Access,
    /// Whether it is being reshaped.
    pub reshape: Reshape,
    /// Whether a resync is due.
    pub resync: Resync,
    /// Whether a recovery is due.
    pub recovery: Recovery,
    /// Whether it has to wait.
    pub neighbours: Neighbours,
}

/// What must not happen, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// A pass is under way. C md: `EBUSY`.
    Busy,
    /// The level cannot reshape. C md: `EINVAL`.
    CannotReshape,
    /// No pass is under way.
    NoPass,
    /// The pass is not in the phase for this.
    WrongPhase,
    /// Progress went backwards.
    Backwards,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "a sync pass is under way",
            Self::CannotReshape => "the level cannot be reshaped",
            Self::NoPass => "no sync pass is under way",
            Self::WrongPhase => "the sync pass is in another phase",
            Self::Backwards => "the progress of the sync pass went backwards",
        })
    }
}

/// The pass to start for `request`, and what remains to be looked at after it; `None` when nothing is to be done.
pub fn choose(request: Request, env: &Env) -> Option<(Action, Request)> {
    if env.access == Access::ReadOnly || env.reshape == Reshape::Stuck {
        return None;
    }
    if env.reshape == Reshape::Ready {
        return Some((Action::Reshape, request));
    }
    match (env.resync, env.recovery, request) {
        // A resync from the superblock covers what a bitmap asks for.
        (Resync::Due, _, Request::Resync | Request::LazyRecover) => {
            Some((Action::Resync, Request::Look))
        }
        (Resync::Due, _, _) => Some((Action::Resync, request)),
        (_, Recovery::Due, _) => Some((Action::Recover, request)),
        (_, _, Request::Look) => None,
        (_, _, Request::Resync) => Some((Action::Resync, Request::Look)),
        (_, _, Request::LazyRecover) => Some((Action::LazyRecover, Request::Look)),
        (_, _, Request::Check) => Some((Action::Check, Request::Look)),
        (_, _, Request::Repair) => Some((Action::Repair, Request::Look)),
    }
}

impl Sync {
    /// The word `sync_action` shows.
    pub fn shown(&self, env: &Env) -> SyncAction {
        match self {
            Self::Frozen { .. }
            | Self::Active(Pass {
                stop: Some(Stop::Freeze),
                ..
            }) => SyncAction::Frozen,
            Self::Idle => SyncAction::Idle,
            Self::Requested(request) => {
                choose(*request, env).map_or(SyncAction::Idle, |(action, _)| action.word())
            }
            Self::Active(_) if env.access == Access::ReadOnly => SyncAction::Idle,
            Self::Active(pass) => pass.action.word(),
        }
    }

    /// The state after `event`.
    pub fn step(self, event: Event, env: &Env) -> Result<Next<Self>, Illegal> {
        match (self, event) {
            (Self::Active(pass), event) => pass.step(event).map(|to| Next::from(self, to)),
            (_, Event::Write(word)) => self.write(word, env).map(|to| Next::from(self, to)),
            (_, Event::Need(request)) => Ok(Next::from(self, self.need(request))),
            (_, Event::Choose) => Ok(Next::from(self, self.look(env))),
            // A member may fail, or a neighbour fall silent, whenever it likes.
            (_, Event::Interrupt | Event::Unblocked) => Ok(Next::Stay),
            (_, Event::Progress(_) | Event::Ended | Event::Reaped) => Err(Illegal::NoPass),
        }
    }

    /// What would be looked at next.
    fn pending(self) -> Option<Request> {
        match self {
            Self::Idle | Self::Active(_) => None,
            Self::Frozen { pending } => pending,
            Self::Requested(request) => Some(request),
        }
    }

    fn write(self, word: SyncAction, env: &Env) -> Result<Self, Illegal> {
        let pending = self.pending();
        let request = match word {
            SyncAction::Frozen => return Ok(Self::Frozen { pending }),
            SyncAction::Reshape if env.reshape == Reshape::Unsupported => {
                return Err(Illegal::CannotReshape)
            }
            SyncAction::Check => Request::Check,
            SyncAction::Repair => Request::Repair,
            SyncAction::Idle | SyncAction::Resync | SyncAction::Recover | SyncAction::Reshape => {
                Request::Look
            }
        };
        Ok(Self::Requested(pending.map_or(request, |p| p.max(request))))
    }

    fn need(self, request: Request) -> Self {
        let request = self.pending().map_or(request, |p| p.max(request));
        match self {
            Self::Frozen { .. } => Self::Frozen {
                pending: Some(request),
            },
            _ => Self::Requested(request),
        }
    }

    fn look(self, env: &Env) -> Self {
        let Self::Requested(request) = self else {
            return self;
        };
        let Some((action, after)) = choose(request, env) else {
            return match request {
                // Nobody else knows of it, and it can be met later.
                Request::Resync | Request::LazyRecover => self,
                Request::Look | Request::Repair | Request::Check => Self::Idle,
            };
        };
        let phase = match env.neighbours {
            Neighbours::Quiet => Phase::Running(Sector::ZERO),
            Neighbours::Syncing => Phase::Waiting,
        };
        Self::Active(Pass {
            action,
            phase,
            stop: None,
            after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: Env = Env {
        access: Access::Writable,
        reshape: Reshape::Possible,
        resync: Resync::NotDue,
        recovery: Recovery::NotDue,
        neighbours: Neighbours::Quiet,
    };

    fn run(start: Sync, events: &[Event], env: &Env) -> Result<Sync, Illegal> {
        events.iter().try_fold(start, |sync, event| {
            sync.step(*event, env).map(|next| next.after(sync))
        })
    }

    #[test]
    fn what_a_bitmap_asks_for_waits_until_it_may_be_done() {
        let read_only = Env {
            access: Access::ReadOnly,
            ..ENV
        };
        let asked = Sync::Requested(Request::Resync);
        assert_eq!(run(asked, &[Event::Choose], &read_only), Ok(asked));
        let begun = run(asked, &[Event::Choose], &ENV);
        assert!(matches!(begun, Ok(Sync::Active(pass)) if pass.action == Action::Resync));
        let check = Sync::Requested(Request::Check);
        assert_eq!(run(check, &[Event::Choose], &read_only), Ok(Sync::Idle));
    }

    #[test]
    fn precedence() {
        let all = Env {
            reshape: Reshape::Ready,
            resync: Resync::Due,
            recovery: Recovery::Due,
            ..ENV
        };
        let pick = |env: Env| choose(Request::Check, &env).map(|(action, _)| action);
        assert_eq!(pick(all), Some(Action::Reshape));
        assert_eq!(
            pick(Env {
                reshape: Reshape::Possible,
                ..all
            }),
            Some(Action::Resync)
        );
        assert_eq!(
            pick(Env {
                recovery: Recovery::Due,
                ..ENV
            }),
            Some(Action::Recover)
        );
        assert_eq!(pick(ENV), Some(Action::Check));
        assert_eq!(
            pick(Env {
                reshape: Reshape::Stuck,
                ..all
            }),
            None
        );
    }

    #[test]
    fn idle_starts_what_is_due() {
        let env = Env {
            recovery: Recovery::Due,
            ..ENV
        };
        let state = run(
            Sync::Idle,
            &[Event::Write(SyncAction::Idle), Event::Choose],
            &env,
        );
        assert!(matches!(
            state,
            Ok(Sync::Active(Pass {
                action: Action::Recover,
                ..
            }))
        ));
        assert_eq!(
            run(
                Sync::Idle,
                &[Event::Write(SyncAction::Idle), Event::Choose],
                &ENV
            ),
            Ok(Sync::Idle)
        );
    }

    #[test]
    fn frozen_stops_and_stays() {
        let events = [
            Event::Write(SyncAction::Check),
            Event::Choose,
            Event::Write(SyncAction::Frozen),
            Event::Ended,
            Event::Reaped,
            Event::Choose,
        ];
        assert_eq!(
            run(Sync::Idle, &events, &ENV),
            Ok(Sync::Frozen {
                pending: Some(Request::Look)
            })
        );
    }

    #[test]
    fn a_check_asked_for_during_a_resync_comes_after_it() {
        let env = Env {
            resync: Resync::Due,
            ..ENV
        };
        let resync = run(
            Sync::Idle,
            &[Event::Write(SyncAction::Check), Event::Choose],
            &env,
        );
        let Ok(resync) = resync else {
            panic!("{resync:?}")
        };
        assert_eq!(resync.shown(&env), SyncAction::Resync);
        assert_eq!(
            run(resync, &[Event::Ended, Event::Reaped], &ENV),
            Ok(Sync::Requested(Request::Check))
        );
    }

    #[test]
    fn other_words_are_refused_while_a_pass_runs() {
        let Ok(running) = run(
            Sync::Idle,
            &[Event::Write(SyncAction::Check), Event::Choose],
            &ENV,
        ) else {
            panic!("no pass")
        };
        for word in [
            SyncAction::Resync,
            SyncAction::Recover,
            SyncAction::Check,
            SyncAction::Repair,
            SyncAction::Reshape,
        ] {
            assert_eq!(running.step(Event::Write(word), &ENV), Err(Illegal::Busy));
        }
    }
}
