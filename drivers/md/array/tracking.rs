// SPDX-License-Identifier: GPL-2.0

//! Whether an array admits I/O, and whether it is clean or dirty: what submitters look at without a lock, and what
//! the array's thread moves.
//!
//! # Ordering
//!
//! No data is written before the superblocks say dirty, and they do not say clean while data is being written:
//!
//! * a writer counts itself in `writes` and then looks at `glance`; whoever makes the array clean changes `glance` and
//!   then looks at `writes`. A full barrier on either side lets at least one of them see the other;
//! * a writer that finds the array clean asks for the record and sleeps in [`Tracking::begin_write`] until
//!   [`Tracking::recorded`] is called, which is after the superblocks are on media.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        barrier::smp_mb,
        new_spinlock, Arc, SpinLock,
    },
    time::Jiffies,
};
use kernel_ext::{
    alloc::mempool::Wait,
    sync::{
        percpu_ref::{Activity, Guard},
        timer::jiffies,
        wait::WaitQueue,
    },
};
use md_core::policy::{Calm, Moment, Seen, Ticks};
use md_core::state::{
    admit::{Admission, Held, Io, IoRefusal},
    array::{Access, Array as State, Event, Failure},
    clean::{self, Change, Dirtiness, Writes},
    Metadata,
};
use md_core::units::Sector;

/// Whether an array's writes make it dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They do: copies may differ after a crash.
    Track,
    /// Without redundancy nothing can differ: it is always clean.
    AlwaysClean,
}

/// What the lock guards.
struct Inner {
    state: State,
    /// What is to be recorded of it.
    due: Change,
    calm: Calm,
}

/// The state of a running array, shared by I/O and configuration.
#[pin_data]
pub(crate) struct Tracking {
    #[pin]
    inner: SpinLock<Inner>,
    /// What of the state matters to I/O, for a look without the lock.
    glance: Atomic<u32>,
    /// Where submitters wait for a change of the state, or of a member's that holds them back.
    #[pin]
    changed: WaitQueue,
    writes: Activity,
    /// There was a write since somebody last looked.
    written: Atomic<bool>,
    kept: Kept,
    metadata: Metadata,
    /// Up to where copies agree.
    resynced: Atomic<u64>,
    /// How many read errors within hours a member may have.
    max_read_errors: Atomic<u32>,
    /// Writes between these wait. They change only while no I/O is under way.
    held_lo: Atomic<u64>,
    held_hi: Atomic<u64>,
}

/// A write under way. The array does not become clean before it is dropped.
pub(crate) struct Writing {
    _count: Option<Guard>,
}

/// Why a write does not begin.
pub(super) enum NotBegun {
    /// The array is read-only or broken.
    Refused,
    /// The array is to be recorded as dirty first, and the write must not wait.
    WouldWait,
}

/// What I/O finds at a glance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Glance {
    Serve,
    Track,
    ReadAuto,
    ReadOnly,
    Broken,
}

impl Glance {
    const ALL: [Self; 5] = [
        Self::Serve,
        Self::Track,
        Self::ReadAuto,
        Self::ReadOnly,
        Self::Broken,
    ];

    fn of(state: State) -> Self {
        match state.admit(Io::Write) {
            Ok(Admission::Serve | Admission::Complete) => Self::Serve,
            Ok(Admission::Track) => Self::Track,
            Ok(Admission::Reopen) => Self::ReadAuto,
            Err(IoRefusal::Broken) => Self::Broken,
            Err(IoRefusal::ReadOnly | IoRefusal::NotRunning) => Self::ReadOnly,
        }
    }

    fn from_word(word: u32) -> Self {
        Self::ALL
            .into_iter()
            .find(|glance| *glance as u32 == word)
            .unwrap_or(Self::ReadOnly)
    }
}

impl Tracking {
    /// Starts in `state`.
    pub(super) fn new(state: State, kept: Kept, metadata: Metadata) -> Result<Arc<Self>> {
        let writes = Activity::new(())?;
        let this = Arc::pin_init(
            pin_init!(Self {
                inner <- new_spinlock!(Inner { state, due: Change::None, calm: Calm::default() }),
                glance: Atomic::new(Glance::ReadOnly as u32),
                changed <- WaitQueue::new(),
                writes,
                written: Atomic::new(false),
                kept,
                metadata,
                resynced: Atomic::new(u64::MAX),
                max_read_errors: Atomic::new(0),
                held_lo: Atomic::new(0),
                held_hi: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;
        this.show(state);
        Ok(this)
    }

    /// The state now.
    pub(crate) fn state(&self) -> State {
        self.inner.lock().state
    }

    /// Up to where copies agree; [`Sector::MAX`] when they do everywhere.
    #[inline]
    pub(crate) fn resynced(&self) -> Sector {
        Sector::new(self.resynced.load(Acquire))
    }

    /// Copies agree up to there.
    pub(crate) fn set_resynced(&self, upto: Sector) {
        self.resynced.store(upto.get(), Release);
    }

    /// How many read errors within hours a member may have.
    pub(crate) fn max_read_errors(&self) -> u32 {
        self.max_read_errors.load(Relaxed)
    }

    pub(super) fn set_max_read_errors(&self, max: u32) {
        self.max_read_errors.store(max, Relaxed);
    }

    /// Whether members may be written.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.glance(), Glance::Serve | Glance::Track)
    }

    /// Whether more has failed than the level survives.
    pub(crate) fn is_broken(&self) -> bool {
        self.glance() == Glance::Broken
    }

    /// The sectors where writes wait.
    #[inline]
    pub(crate) fn held(&self) -> Held {
        Held {
            lo: Sector::new(self.held_lo.load(Acquire)),
            hi: Sector::new(self.held_hi.load(Acquire)),
        }
    }

    /// Writes wait in other sectors. I/O must be held back.
    pub(crate) fn set_held(&self, held: Held) {
        self.held_lo.store(held.lo.get(), Release);
        self.held_hi.store(held.hi.get(), Release);
        self.changed.wake_all();
    }

    /// Lets I/O see `state`; called with the lock held, or before anybody else knows of this.
    fn show(&self, state: State) {
        let glance = match Glance::of(state) {
            Glance::Track if self.kept == Kept::AlwaysClean => Glance::Serve,
            glance => glance,
        };
        // Release: pairs with the look of submitters; what was done for the new state is seen with it.
        self.glance.store(glance as u32, Release);
    }

    fn glance(&self) -> Glance {
        Glance::from_word(self.glance.load(Acquire))
    }

    /// Whether an empty flush is to be served, completed at once, or refused.
    pub(super) fn admit_flush(&self) -> core::result::Result<Admission, IoRefusal> {
        match self.glance() {
            Glance::Serve | Glance::Track | Glance::ReadAuto => Ok(Admission::Serve),
            Glance::ReadOnly => Ok(Admission::Complete),
            Glance::Broken => Err(IoRefusal::Broken),
        }
    }

    /// Counts a write, after the array is recorded as dirty; `wake` wakes the array's thread, which records. May sleep
    /// if it may wait.
    #[inline]
    pub(super) fn begin_write(
        &self,
        wait: Wait,
        wake: impl Fn(),
    ) -> core::result::Result<Writing, NotBegun> {
        let count = match self.kept {
            Kept::Track => {
                let count = self.writes.start();
                // Pairs with the barrier in `settle`: the count is seen by who makes the array clean, or its new state
                // here.
                smp_mb();
                Some(count)
            }
            Kept::AlwaysClean => None,
        };
        // Acquire: as in `glance`, of which this is the one answer that most writes get.
        if self.glance.load(Acquire) != Glance::Serve as u32 {
            self.await_writable(wait, wake)?;
        }
        if !self.written.load(Relaxed) {
            self.written.store(true, Relaxed);
        }
        Ok(Writing { _count: count })
    }

    /// Waits until a write that is counted may go on.
    #[cold]
    fn await_writable(&self, wait: Wait, wake: impl Fn()) -> core::result::Result<(), NotBegun> {
        loop {
            match self.glance() {
                Glance::Serve => return Ok(()),
                Glance::Broken | Glance::ReadOnly => return Err(NotBegun::Refused),
                _ if wait == Wait::No => return Err(NotBegun::WouldWait),
                seen @ (Glance::Track | Glance::ReadAuto) => {
                    self.ask_for(seen);
                    wake();
                    self.changed.wait_io(|| self.glance() != seen);
                }
            }
        }
    }

    /// Moves an array that a write found to be clean, or read-only until the first write, towards dirty.
    fn ask_for(&self, seen: Glance) {
        let event = match seen {
            Glance::ReadAuto => Event::Reopened,
            _ => Event::Tracked(clean::Event::WriteStart),
        };
        // Somebody else's writer may have been faster, or a stop: whatever it is, the caller looks again.
        let _ = self.step(event, Writes::InFlight);
    }

    /// The state changes by an event.
    fn step(&self, event: Event, writes: Writes) -> core::result::Result<(), ()> {
        let mut inner = self.inner.lock();
        let env = clean::Env {
            writes,
            metadata: self.metadata,
        };
        let next = inner.state.step(event, &env).map_err(|_| ())?;
        let next = next.after(inner.state);
        self.replace(&mut inner, next);
        Ok(())
    }

    fn replace(&self, inner: &mut Inner, next: State) {
        let due = due(inner.state, next);
        inner.due = more_of(inner.due, due);
        inner.state = next;
        self.show(next);
        self.changed.wake_all();
    }

    /// An array that is read-only until the first write becomes writable.
    pub(super) fn reopen(&self) {
        if self.glance() == Glance::ReadAuto {
            self.ask_for(Glance::ReadAuto);
        }
    }

    /// Something else decided what the state is.
    pub(crate) fn set(&self, state: State) {
        self.replace(&mut self.inner.lock(), state);
    }

    /// More failed than the level survives. True when that is news. Does not sleep.
    pub(crate) fn set_broken(&self) -> bool {
        let mut inner = self.inner.lock();
        let State::Running { access, failure } = inner.state else {
            return false;
        };
        self.replace(&mut inner, State::running(access, Failure::Broken));
        failure != Failure::Broken
    }

    /// The state to be recorded, and why it is to be; that is said once.
    pub(super) fn take_due(&self) -> (State, Change) {
        let mut inner = self.inner.lock();
        (
            inner.state,
            core::mem::replace(&mut inner.due, Change::None),
        )
    }

    /// `state` is on media: who waited for that goes on.
    pub(super) fn recorded(&self, state: State) {
        let mut inner = self.inner.lock();
        if inner.state != state {
            return;
        }
        if let State::Running {
            access: Access::Writable(Dirtiness::WritePending),
            failure,
        } = state
        {
            // Not by `step`, which would ask for another record.
            let active = State::running(Access::Writable(Dirtiness::Active), failure);
            inner.state = active;
            self.show(active);
        }
        self.changed.wake_all();
    }

    /// Whether there was a write since the last time this was asked.
    fn take_written(&self) -> bool {
        self.written.xchg(false, kernel::sync::atomic::Full)
    }

    /// Without a write for the safe-mode delay, in jiffies, the array becomes clean, if it is for the driver to make it
    /// so. Sleeps as [`Tracking::settle`]. In how many jiffies this is to be called again; earlier does no harm.
    pub(super) fn calm_down(&self, delay: Jiffies) -> Option<Jiffies> {
        let seen = if self.take_written() {
            Seen::Written
        } else {
            Seen::Nothing
        };
        let now = Moment(jiffies());
        let left = self.inner.lock().calm.look(now, seen, Ticks(delay));
        let again = left.map_or(delay, usize::from);
        if self.metadata != Metadata::External {
            return (left.is_some() || !self.settle()).then_some(again);
        }
        // The program that keeps the metadata sees `active-idle`, and writes `clean`. Both steps are legal in each
        // state of a dirty array.
        if seen == Seen::Written {
            let _ = self.step(Event::Tracked(clean::Event::WriteStart), Writes::InFlight);
        } else if left.is_none() {
            let _ = self.step(Event::Tracked(clean::Event::DelayPassed), Writes::Quiet);
        }
        Some(again)
    }

    /// Makes the array clean, if no write is in flight. Sleeps for an RCU grace period. True when it is clean.
    pub(super) fn settle(&self) -> bool {
        if self.kept == Kept::AlwaysClean {
            return true;
        }
        let probe = self.writes.probe();
        let mut inner = self.inner.lock();
        let State::Running {
            access: Access::Writable(dirtiness),
            failure,
        } = inner.state
        else {
            return true;
        };
        if dirtiness == Dirtiness::Clean {
            return true;
        }
        if dirtiness == Dirtiness::WritePending || !probe.is_idle() {
            return false;
        }
        let before = inner.state;
        let clean = State::running(Access::Writable(Dirtiness::Clean), failure);
        self.show(clean);
        // Pairs with the barrier in `begin_write`.
        smp_mb();
        if !probe.is_idle() {
            self.show(before);
            return false;
        }
        self.replace(&mut inner, clean);
        true
    }

    /// Sleeps until `condition` is true; it is looked at whenever the state changes or [`Tracking::wake`] is called.
    pub(crate) fn wait(&self, condition: impl FnMut() -> bool) {
        self.changed.wait_io(condition);
    }

    /// Has who waits look again. Any context.
    pub(crate) fn wake(&self) {
        self.changed.wake_all();
    }
}

/// What is to be recorded when `before` becomes `after`.
fn due(before: State, after: State) -> Change {
    match (dirtiness(before), dirtiness(after)) {
        (Some(before), Some(after)) => before.update_due(after),
        _ => Change::None,
    }
}

fn dirtiness(state: State) -> Option<Dirtiness> {
    match state {
        State::Running {
            access: Access::Writable(dirtiness),
            ..
        } => Some(dirtiness),
        // What is not writable is clean.
        State::Running { .. } => Some(Dirtiness::Clean),
        State::Clear | State::Inactive => None,
    }
}

/// The one of two reasons for a record that includes the other.
pub(super) fn more_of(one: Change, other: Change) -> Change {
    match (one, other) {
        (Change::Devices, _) | (_, Change::Devices) => Change::Devices,
        (Change::CleanOnly, _) | (_, Change::CleanOnly) => Change::CleanOnly,
        (Change::None, Change::None) => Change::None,
    }
}
