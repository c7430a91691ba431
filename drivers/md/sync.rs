// SPDX-License-Identifier: GPL-2.0

//! Resync, recovery, check and repair: one pass at a time, by a thread of the array.
//!
//! [`Syncing`] is what everybody sees of it: the machine of `md_core::state::sync`, how far the pass is, and the
//! limits an administrator sets. [`thread`] starts and ends passes, [`pass`] runs one, [`turns`] has those wait
//! that share a disk, [`travel`] is what a reshape adds.

mod pass;
pub(crate) mod thread;
mod travel;
pub(crate) mod turns;

use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        new_spinlock, Arc, SpinLock,
    },
};
use kernel_ext::{
    sync::wait::WaitQueue,
    sysfs::{Dirent, Kobject},
};
use md_core::{
    state::{
        pass::{Action, Pass, Phase},
        sync::{Access, Env, Event, Illegal, Neighbours, Recovery, Request, Reshape, Resync, Sync},
    },
    units::{Sector, Sectors},
    words::{
        progress::{Rate, SyncKind, SyncLine, SyncProgress},
        sync::{Limit, SyncAction, SyncCompleted, SyncMax, SyncSpeed},
    },
};

use crate::array::Array;

/// How often a reshape is begun again that does not get on, until somebody writes to `sync_action`.
pub(crate) const MOST_TRIES: u32 = 3;

/// How long a look at what is due may take before nobody waits for it any more.
const LOOK_MS: u32 = 5000;

/// What an administrator sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Where a check or repair begins.
    pub(crate) min: Sector,
    /// Where a pass pauses.
    pub(crate) max: SyncMax,
    /// KiB/s that a pass gets even when the array is busy.
    pub(crate) speed_min: Limit,
    /// KiB/s that a pass gets at most.
    pub(crate) speed_max: Limit,
    /// Requests in flight while the array is busy.
    pub(crate) io_depth: Limit,
    /// Whether to go on while another array on the same disks does.
    pub(crate) force_parallel: bool,
}

struct Inner {
    machine: Sync,
    env: Env,
    settings: Settings,
    last: SyncAction,
    rate: Rate,
    /// Where the pass under way waits for its requests, to be told that it is to stop.
    pass: Option<Arc<WaitQueue>>,
}

/// Files whose pollers are told.
struct Files {
    action: Option<Dirent>,
    completed: Option<Dirent>,
    degraded: Option<Dirent>,
}

/// The sync side of a running array.
#[pin_data]
pub(crate) struct Syncing {
    #[pin]
    inner: SpinLock<Inner>,
    /// Told of every change of the machine and of the settings.
    #[pin]
    changed: WaitQueue,
    files: Files,
    /// The pass is to end before it is done.
    stopping: Atomic<bool>,
    /// The pass is to wait for one of another array.
    blocked: Atomic<bool>,
    /// Everything below is issued.
    position: Atomic<u64>,
    /// Everything below is done and recorded.
    completed: Atomic<u64>,
    /// The length of the pass; zero without one.
    total: Atomic<u64>,
    in_flight: Atomic<u64>,
    mismatches: Atomic<u64>,
}

impl Syncing {
    /// Nothing runs; somebody is to look whether anything is due.
    pub(crate) fn new(directory: &Kobject<Array>) -> Result<Arc<Self>> {
        let files = Files {
            action: directory.dirent(c"sync_action"),
            completed: directory.dirent(c"sync_completed"),
            degraded: directory.dirent(c"degraded"),
        };
        let inner = Inner {
            machine: Sync::Requested(Request::Look),
            env: Env {
                access: Access::ReadOnly,
                reshape: Reshape::Unsupported,
                resync: Resync::NotDue,
                recovery: Recovery::NotDue,
                neighbours: Neighbours::Quiet,
            },
            settings: Settings {
                min: Sector::ZERO,
                max: SyncMax::Max,
                speed_min: Limit::System,
                speed_max: Limit::System,
                io_depth: Limit::System,
                force_parallel: false,
            },
            last: SyncAction::Idle,
            rate: Rate {
                seconds: 0,
                done: Sectors::ZERO,
            },
            pass: None,
        };
        Arc::pin_init(
            pin_init!(Self {
                inner <- new_spinlock!(inner),
                changed <- WaitQueue::new(),
                files,
                stopping: Atomic::new(false),
                blocked: Atomic::new(false),
                position: Atomic::new(0),
                completed: Atomic::new(0),
                total: Atomic::new(0),
                in_flight: Atomic::new(0),
                mismatches: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Moves the machine; what it depends on is what was last told by [`Syncing::set_env`].
    pub(crate) fn step(&self, event: Event) -> core::result::Result<Sync, Illegal> {
        let mut inner = self.inner.lock();
        let next = inner.machine.step(event, &inner.env)?;
        let before = inner.machine.shown(&inner.env);
        inner.machine = next.after(inner.machine);
        let stopping = matches!(inner.machine, Sync::Active(Pass { stop: Some(_), .. }));
        // Release: who sees it sees why.
        self.stopping.store(stopping, Release);
        let (machine, after) = (inner.machine, inner.machine.shown(&inner.env));
        let pass = inner.pass.clone();
        drop(inner);
        self.changed.wake_all();
        if let Some(pass) = pass {
            pass.wake_all();
        }
        if before != after {
            self.notify_action();
        }
        Ok(machine)
    }

    /// Where the pass waits for its requests, from now on.
    fn set_waiters(&self, waiters: Option<Arc<WaitQueue>>) {
        let before = core::mem::replace(&mut self.inner.lock().pass, waiters);
        drop(before);
    }

    /// What the machine depends on.
    pub(crate) fn set_env(&self, env: Env) {
        self.inner.lock().env = env;
    }

    /// The state of the machine.
    pub(crate) fn machine(&self) -> Sync {
        self.inner.lock().machine
    }

    /// What `sync_action` shows.
    pub(crate) fn shown(&self) -> SyncAction {
        let inner = self.inner.lock();
        inner.machine.shown(&inner.env)
    }

    /// Whether the pass is to end before it is done. Any context.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Acquire)
    }

    /// Whether the pass is to wait for one of another array.
    fn is_blocked(&self) -> bool {
        self.blocked.load(Acquire) && !self.settings().force_parallel
    }

    fn set_blocked(&self, blocked: bool) {
        // Release: what the other pass did on the shared disk is over for who sees that it has ended.
        self.blocked.store(blocked, Release);
        self.changed.wake_all();
    }

    /// Waits until the pass may go on, or is to stop.
    fn await_turn(&self) {
        self.wait(|| self.is_stopping() || !self.is_blocked());
        // Legal in every phase; one that is to stop ends all the same.
        let _ = self.step(Event::Unblocked);
    }

    /// Waits until a pass that was told to stop has.
    pub(crate) fn await_stopped(&self) {
        self.changed.wait_idle(|| !self.is_stopping());
    }

    /// Waits until somebody has looked what is due, for a while.
    pub(crate) fn await_looked(&self) {
        let limit = kernel::time::msecs_to_jiffies(LOOK_MS);
        self.changed
            .wait_timeout(limit, || !matches!(self.machine(), Sync::Requested(_)));
    }

    /// Sleeps until `condition` is true, which depends on machine or settings.
    fn wait(&self, condition: impl FnMut() -> bool) {
        self.changed.wait_idle(condition);
    }

    /// The settings.
    pub(crate) fn settings(&self) -> Settings {
        self.inner.lock().settings
    }

    /// Changes the settings.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.inner.lock().settings);
        self.changed.wake_all();
    }

    /// A pass has ended: the range that was set for it counts no more, and a check that was interrupted goes on from
    /// there.
    fn forget_range(&self, action: Action, succeeded: bool) {
        let requested = matches!(action, Action::Check | Action::Repair);
        let done = self.completed();
        self.set(|settings| match (succeeded, requested) {
            (true, true) => {
                settings.min = Sector::ZERO;
                settings.max = SyncMax::Max;
            }
            (true, false) => settings.max = SyncMax::Max,
            (false, true) => settings.min = done,
            (false, false) => {}
        });
    }

    /// What the last pass was.
    pub(crate) fn last_action(&self) -> SyncAction {
        self.inner.lock().last
    }

    /// Sectors that differed in the last check or repair.
    pub(crate) fn mismatches(&self) -> u64 {
        self.mismatches.load(Relaxed)
    }

    fn notify_action(&self) {
        notify(&self.files.action);
    }

    fn notify_completed(&self) {
        notify(&self.files.completed);
    }

    /// Tells who polls `degraded`.
    pub(crate) fn notify_degraded(&self) {
        notify(&self.files.degraded);
    }

    /// What the pass does that is under way.
    pub(crate) fn under_way(&self) -> Option<Action> {
        match self.machine() {
            Sync::Active(pass) => Some(pass.action),
            _ => None,
        }
    }

    /// A pass begins: nothing of it is done.
    fn begin_at(&self, action: Action, start: Sector, end: Sector) {
        self.position.store(start.get(), Relaxed);
        self.completed.store(start.get(), Relaxed);
        self.total.store(end.get(), Relaxed);
        self.in_flight.store(0, Relaxed);
        if matches!(action, Action::Check | Action::Repair) {
            self.mismatches.store(0, Relaxed);
        }
    }

    /// Up to where everything is done, while a pass is under way.
    pub(crate) fn completed(&self) -> Sector {
        Sector::new(self.completed.load(Relaxed))
    }

    /// What `sync_completed` shows.
    pub(crate) fn shown_completed(&self) -> SyncCompleted {
        match self.machine() {
            Sync::Active(Pass {
                phase: Phase::Waiting,
                ..
            }) => SyncCompleted::Delayed,
            Sync::Active(_) => SyncCompleted::At {
                done: self.completed(),
                total: Sectors::new(self.total.load(Relaxed)),
            },
            _ => SyncCompleted::None,
        }
    }

    /// What `sync_speed` shows.
    pub(crate) fn shown_speed(&self) -> SyncSpeed {
        match self.machine() {
            Sync::Active(_) => SyncSpeed::KibPerSecond(self.inner.lock().rate.kib_per_second()),
            _ => SyncSpeed::None,
        }
    }

    /// What `/proc/mdstat` says; `due` is whether a resync is.
    pub(crate) fn line(&self, due: Resync) -> SyncLine {
        let inner = self.inner.lock();
        match (inner.machine, due) {
            (Sync::Active(pass), _) => match pass.phase {
                Phase::Waiting => SyncLine::Delayed,
                Phase::Running(_) | Phase::Reaping => SyncLine::Running(SyncProgress {
                    kind: kind(pass.action),
                    position: self.position_done(),
                    total: Sectors::new(self.total.load(Relaxed)),
                    rate: inner.rate,
                }),
            },
            (_, Resync::Due) => SyncLine::Pending,
            (_, Resync::NotDue) => SyncLine::Nothing,
        }
    }

    fn position_done(&self) -> Sector {
        let in_flight = self.in_flight.load(Relaxed);
        Sector::new(self.position.load(Relaxed).saturating_sub(in_flight))
    }
}

fn notify(file: &Option<Dirent>) {
    if let Some(file) = file {
        file.notify();
    }
}

fn kind(action: Action) -> SyncKind {
    match action {
        Action::Resync | Action::Repair => SyncKind::Resync,
        Action::Recover | Action::LazyRecover => SyncKind::Recovery,
        Action::Check => SyncKind::Check,
        Action::Reshape => SyncKind::Reshape,
    }
}
