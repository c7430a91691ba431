// SPDX-License-Identifier: GPL-2.0

//! The thread that runs passes: looks what is due, gives spares their places, and draws the consequences of a pass.

use super::{
    pass::{Ended, Job, Running},
    travel,
    turns::Turns,
    Syncing,
};
use crate::{
    array::{config::Config, hotplug::QUIET, Array, Configuration},
    bitmap::Backend,
    log::Text,
    personality::mirror::Mirror,
};
use core::ffi::CStr;
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    block::major::DeviceNumber,
    sync::kthread::{Me, Thread, Work},
};
use md_core::{
    policy::Fill,
    state::{
        clean::Change,
        member::{Event as MemberEvent, Member as MemberKind},
        pass::{Action, Pass},
        sync::{Access, Env, Event, Neighbours, Recovery, Request, Resync, Sync},
        Next,
    },
    units::{Sector, Sectors},
};

/// Where a reshape is, is recorded at least this often, as in C.
pub(super) const RECORD_MS: u64 = 10_000;

/// The work of the thread.
pub(crate) struct Syncer {
    array: Arc<Array>,
    syncing: Arc<Syncing>,
}

impl Syncer {
    /// Starts the thread.
    pub(crate) fn start(
        name: &CStr,
        array: Arc<Array>,
        syncing: Arc<Syncing>,
    ) -> Result<Thread<Self>> {
        Thread::start(name, Self { array, syncing })
    }

    /// What is to be done now, if anything. May sleep.
    #[inline(never)]
    fn begin(&self) -> Option<Job> {
        if !matches!(self.syncing.machine(), Sync::Requested(_)) {
            return None;
        }
        let wants_seats = self.array.configure().ok()?.wants_seats();
        let mut config = if wants_seats {
            self.array.reconfigure().ok()?
        } else {
            self.array.configure().ok()?
        };
        if wants_seats {
            config.arrange_seats();
            if config.wants_seats() {
                // Who was replaced can leave now.
                config.arrange_seats();
            }
        }
        if !config.syncs_by(&self.syncing) {
            // The array has stopped, or got another level with passes of its own.
            return None;
        }
        let layout = config.running.as_ref().and_then(|running| running.mirror)?;
        let env = config.sync_env();
        let turns = &self.array.registry.turns;
        let ticket = config
            .disks()
            .and_then(|disks| Turns::queue_up(turns, self.syncing.clone(), disks));
        let ticket = ticket
            .inspect_err(|error| pr_warn!("no memory to begin a pass: {error:?}\n"))
            .ok()?;
        let neighbours = if self.syncing.is_blocked() {
            Neighbours::Syncing
        } else {
            Neighbours::Quiet
        };
        self.syncing.set_env(Env { neighbours, ..env });
        // Nothing but this starts a pass, so there is none to be in the way.
        let Ok(Sync::Active(pass)) = self.syncing.step(Event::Choose) else {
            return None;
        };
        self.syncing.inner.lock().last = pass.action.word();
        let (start, end) = config.extent(pass, &self.syncing);
        // With the configuration locked: who halts the array next records this, not how far the pass before was.
        self.syncing.begin_at(pass.action, start, end);
        self.array.place().with_name(|name| {
            let word = Text(pass.action.word());
            let at = start.get();
            match neighbours {
                Neighbours::Quiet => pr_info!("{name}: {word} begins at {at}\n"),
                Neighbours::Syncing => {
                    pr_info!("{name}: {word} waits for another array on the same disk\n")
                }
            }
        });
        self.array.registry.events.notify();
        Some(Job {
            array: self.array.clone(),
            syncing: self.syncing.clone(),
            action: pass.action,
            start,
            end,
            _ticket: ticket,
            bitmap: config.bitmap_for(pass.action),
            full: config.is_full(pass.action),
            layout,
            moving: config.moving().cloned(),
        })
    }

    /// Draws the consequences of a pass. May sleep.
    #[inline(never)]
    fn end(&self, job: &Job, ended: Ended) {
        if ended == Ended::Early {
            // It may have been told to stop before; then this changes nothing.
            let _ = self.syncing.step(Event::Interrupt);
        }
        let reaping = self.syncing.step(Event::Ended);
        let succeeded = matches!(reaping, Ok(Sync::Active(pass)) if pass.succeeded());
        self.syncing.forget_range(job.action, succeeded);
        let config = match job.action {
            // Where it is, is recorded with I/O held back; and when it is done the level is put in its place.
            Action::Reshape => self.array.reconfigure(),
            _ => self.array.configure(),
        };
        if let Ok(mut config) = config {
            config.collect_pass(job, succeeded);
            // The bitmap may have something to forget, for which nobody else would wake the array's thread.
            config.wake_service();
            self.syncing.set_env(config.sync_env());
        }
        // In this phase it is legal, and the next always is.
        let _ = self.syncing.step(Event::Reaped);
        if succeeded {
            // Members that were replaced are to leave.
            let _ = self.syncing.step(Event::Need(Request::Look));
        }
        self.array.registry.events.notify();
        self.array.place().with_name(|name| {
            let how = if succeeded { "done" } else { "interrupted" };
            pr_info!("{name}: {} {how}\n", Text(job.action.word()));
        });
    }
}

impl Work for Syncer {
    fn run(&self, me: &Me) {
        while !me.should_stop() {
            let Some(job) = self.begin() else {
                return;
            };
            // A signal from before this pass would have it fail for want of a thread.
            me.flush_signals();
            match Running::new(job) {
                Ok(mut running) => {
                    self.syncing.await_turn();
                    let ended = running.run();
                    self.end(&running.job, ended);
                }
                Err(error) => {
                    pr_warn!("no memory for a sync pass: {error:?}\n");
                    // Without the job there is nothing to collect.
                    let _ = self.syncing.step(Event::Ended);
                    let _ = self.syncing.step(Event::Reaped);
                    // Whoever wakes this next has it try again.
                    let _ = self.syncing.step(Event::Need(Request::Look));
                    return;
                }
            }
        }
    }
}

impl Job {
    /// Records how far the pass is. May sleep.
    pub(super) fn checkpoint(&self, done: Sector) {
        if let Ok(mut config) = self.array.configure() {
            config.note_progress(self.action, done);
            config.serve();
        }
    }
}

impl Configuration<'_> {
    /// What the choice of a pass depends on.
    pub(crate) fn sync_env(&self) -> Env {
        let rebuilding = |kind: &MemberKind| matches!(kind, MemberKind::Rebuilding { .. });
        Env {
            access: if self.state().is_writable() {
                Access::Writable
            } else {
                Access::ReadOnly
            },
            reshape: self.reshape_env(),
            resync: self.resync_due(),
            recovery: if self.members.iter().any(|entry| rebuilding(&entry.state)) {
                Recovery::Due
            } else {
                Recovery::NotDue
            },
            neighbours: Neighbours::Quiet,
        }
    }

    /// Where a pass begins and ends.
    fn extent(&self, pass: Pass, syncing: &Syncing) -> (Sector, Sector) {
        let recovered = |kind: &MemberKind| match kind {
            MemberKind::Rebuilding { upto, .. } => Some(*upto),
            _ => None,
        };
        if let (Action::Reshape, Some(moving)) = (pass.action, self.moving()) {
            return travel::extent(moving);
        }
        let start = match pass.action {
            // The bitmap says what is to be done, wherever it is.
            Action::Resync if self.has_bitmap() => Sector::ZERO,
            Action::Resync => self.resync_start,
            Action::Recover => self
                .members
                .iter()
                .filter_map(|entry| recovered(&entry.state))
                .min()
                .unwrap_or(Sector::ZERO),
            _ => syncing.settings().min,
        };
        let layout = self
            .running
            .as_ref()
            .and_then(|running| running.mirror.as_ref());
        let end = layout.map_or(Sector::ZERO, |layout| Mirror::extent(layout, pass.action));
        (start.min(end), end)
    }

    /// The bitmap that a pass goes by. What one says of the array is as true of its copies elsewhere.
    fn bitmap_for(&self, action: Action) -> Option<Arc<dyn Backend>> {
        let bitmap = self.running.as_ref()?.bitmap.clone();
        bitmap.filter(|_| action != Action::Reshape)
    }

    fn has_bitmap(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.bitmap.is_some())
    }

    /// Whether all is to be done, whatever the bitmap says: an administrator wants it so, or a member has nothing yet.
    fn is_full(&self, action: Action) -> bool {
        match action {
            Action::Check | Action::Repair => true,
            Action::Resync | Action::Reshape => false,
            Action::Recover | Action::LazyRecover => self.members.iter().any(|entry| {
                matches!(entry.state, MemberKind::Rebuilding { .. }) && entry.fill == Fill::Full
            }),
        }
    }

    /// Copies agree up to there.
    pub(crate) fn set_resync_start(&mut self, at: Sector) {
        self.resync_start = at;
        if let Some(running) = &self.running {
            running.tracking.set_resynced(at);
        }
    }

    /// A pass is that far.
    pub(crate) fn note_progress(&mut self, action: Action, done: Sector) {
        match action {
            Action::Resync => {
                let done = self.resync_start.max(done);
                self.set_resync_start(done);
            }
            Action::Recover => self.advance_members(done),
            Action::Reshape => self.note_position(),
            _ => return,
        }
        if self.due == Change::None {
            self.due = Change::CleanOnly;
        }
    }

    /// Members that are being rebuilt are valid up to there.
    fn advance_members(&mut self, upto: Sector) {
        for entry in &mut self.members {
            let step = entry.state.step(MemberEvent::Advance(upto), &QUIET);
            // Those that are not being rebuilt have their own state.
            if let Ok(Next::To(next)) = step {
                entry.state = next;
                entry.member.set_valid_below(upto);
            }
        }
    }

    /// A pass has ended: its result becomes the array's.
    fn collect_pass(&mut self, job: &Job, succeeded: bool) {
        if !succeeded {
            self.note_progress(job.action, job.syncing.completed());
            if job.action == Action::Reshape {
                self.note_halt(Sectors::new(job.start.get()), job.syncing.machine());
            }
        } else {
            match job.action {
                Action::Resync | Action::Repair => {
                    self.set_resync_start(Sector::MAX);
                }
                Action::Recover => {
                    self.advance_members(Sector::MAX);
                    self.activate_members();
                    job.syncing.notify_degraded();
                }
                Action::Reshape => self.finish_reshape(),
                Action::Check | Action::LazyRecover => {}
            }
        }
        self.due = Change::Devices;
        self.serve();
    }

    /// Members that were rebuilt go into service.
    fn activate_members(&mut self) {
        for entry in &mut self.members {
            let step = entry.state.step(MemberEvent::Activate, &QUIET);
            // Those that are not being rebuilt stay what they are.
            if let Ok(next) = step {
                entry.state = next.after(entry.state);
                entry.fill = Fill::ByBitmap;
                entry.notify_state();
            }
        }
        if self.tell_carriers().is_err() {
            pr_warn!("no memory to tell a bitmap of its members\n");
        }
        if self.degraded() == 0 {
            // The bitmap forgets what those that are not here have missed.
            for entry in &mut self.members {
                let forgotten = entry.state.step(MemberEvent::Forget, &QUIET);
                entry.state = forgotten.map_or(entry.state, |next| next.after(entry.state));
            }
        }
        self.retire_replaced();
        self.renumber_v0();
    }
}

impl Config {
    /// Whether the passes are those of the running array.
    fn syncs_by(&self, syncing: &Arc<Syncing>) -> bool {
        let running = self.running.as_ref();
        let sync = running.and_then(|running| running.sync.as_ref());
        sync.is_some_and(|sync| Arc::ptr_eq(&sync.state, syncing))
    }

    /// The disks that the members are on, of which several may be on one.
    fn disks(&self) -> Result<KVec<DeviceNumber>> {
        let mut disks = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for entry in &self.members {
            disks.push(entry.device().whole().number(), GFP_KERNEL)?;
        }
        Ok(disks)
    }

    /// Whether copies may differ.
    pub(crate) fn resync_due(&self) -> Resync {
        let layout = self
            .running
            .as_ref()
            .and_then(|running| running.mirror.as_ref());
        let end = layout.map_or(Sector::ZERO, |layout| {
            Mirror::extent(layout, Action::Resync)
        });
        if self.resync_start < end {
            Resync::Due
        } else {
            Resync::NotDue
        }
    }
}
