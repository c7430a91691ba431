// SPDX-License-Identifier: GPL-2.0

//! The work of an array's thread: what follows from failures, and the way back to clean.
//!
//! All of it is done with the configuration locked, and by whoever has it locked if need be. Nobody waits for I/O of
//! the array while holding it: such I/O may be waiting for this.

use super::{Array, Configuration};
use crate::{
    bitmap::Backend,
    log::Text,
    member::{marks::Mark, Health},
    personality::mirror::{failures::Settling, has_enough},
};
use core::ffi::CStr;
use kernel::{prelude::*, sync::Arc, time::msecs_to_jiffies};
use kernel_ext::sync::kthread::{Me, Thread, Work};
use md_core::{
    policy::{mirror_loss, LastDevice, MirrorLoss, Survivors},
    state::{
        array::{Access, Array as State},
        clean::{Change, Dirtiness},
        member::{Env, Event, Illegal, Member as MemberKind, Pending, Run},
        pass::Action,
        sync::{Access as SyncAccess, Event as SyncEvent, Request, Sync},
        Next,
    },
    units::Slot,
    words::array::SafeModeDelay,
};

/// In how many milliseconds the thread looks again for what is to be recorded, when it did not record all of it.
const AGAIN_MS: u32 = 20;

/// The thread of an array.
pub(crate) struct Service(Arc<Array>);

impl Service {
    /// Starts the thread.
    pub(super) fn start(name: &CStr, array: Arc<Array>) -> Result<Thread<Self>> {
        Thread::start(name, Self(array))
    }
}

impl Work for Service {
    fn run(&self, _me: &Me) {
        let bitmap = self.0.configure().ok().and_then(|mut config| {
            config.serve();
            config.bitmap_at_work()
        });
        if let Some(bitmap) = bitmap {
            bitmap.daemon();
        }
    }
}

/// Why a member is to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// It erred.
    Errors,
    /// An administrator, or a program, says so.
    Word,
}

impl Configuration<'_> {
    /// Does what is to be done. May sleep.
    pub(crate) fn serve(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        let failures = running.failures.clone();
        let state = running.tracking.state();
        // Taken before the members are looked at: the failures behind them are recorded below.
        let settling = failures.map(|failures| failures.take_writes());
        if self.note_failures() || self.note_bad_blocks() {
            self.due = Change::Devices;
        }
        self.note_marks();
        self.tell_bitmap();
        self.calm_down();
        self.record();
        if settling.is_some_and(Settling::settle) {
            self.come_back();
        }
        self.announce_state(state);
        self.heed_bitmap();
        self.wake_syncer();
    }

    /// Something was found out while the last was being recorded. Who did may not have told the array's thread yet:
    /// it looks again soon. A program that keeps the metadata tells when it has recorded something.
    fn come_back(&self) {
        let thread = self
            .running
            .as_ref()
            .and_then(|running| running.thread.as_ref());
        if let Some(thread) = thread.filter(|_| !self.is_external()) {
            thread.set_period(Some(msecs_to_jiffies(AGAIN_MS)));
        }
    }

    /// Has the array's thread look after the array now, whatever it was waiting for.
    pub(crate) fn wake_service(&self) {
        let running = self.running.as_ref();
        if let Some(thread) = running.and_then(|running| running.thread.as_ref()) {
            thread.wake();
        }
    }

    /// The bitmap may have found chunks that a pass must look at.
    pub(super) fn heed_bitmap(&self) {
        let bitmap = self.backend();
        if bitmap.is_some_and(|bitmap| bitmap.conditions().take_pass_request()) {
            self.need(self.bitmap_request());
            self.wake_syncer();
        }
    }

    /// What a bitmap asks for that found chunks whose copies may differ, whatever superblocks say.
    fn bitmap_request(&self) -> Request {
        // While a member is missing there may be nothing to sync with, and the recovery to come looks at all chunks. A
        // resync that goes on comes by, as chunks behind it need none again but by the loss of a member. And one member
        // agrees with itself.
        if self.is_resyncing() || self.degraded() != 0 || self.raid_disks < 2 {
            Request::Look
        } else {
            Request::Resync
        }
    }

    /// Whether a resync is under way that was not told to stop.
    fn is_resyncing(&self) -> bool {
        let running = self.running.as_ref();
        let sync = running.and_then(|running| running.sync.as_ref());
        sync.is_some_and(|sync| {
            matches!(
                sync.state.machine(),
                Sync::Active(pass) if pass.action == Action::Resync && pass.stop.is_none()
            )
        })
    }

    /// The bitmap that has something to clear now and then; none while nothing may be written.
    fn bitmap_at_work(&self) -> Option<Arc<dyn Backend>> {
        let running = self.running.as_ref()?;
        let writable = running.tracking.state().is_writable();
        running.bitmap.clone().filter(|_| writable)
    }

    /// Something may be due that a pass does.
    pub(crate) fn look_for_work(&self) {
        self.need_a_look();
        self.wake_syncer();
    }

    fn need_a_look(&self) {
        self.need(Request::Look);
    }

    fn need(&self, request: Request) {
        if let Some(sync) = self
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref())
        {
            // It is legal in every state.
            let _ = sync.state.step(SyncEvent::Need(request));
        }
    }

    /// What asks for a pass makes an array writable that waits for its first write.
    pub(crate) fn thaw(&mut self) {
        if let Some(running) = &self.running {
            running.tracking.reopen();
        }
        self.serve();
    }

    /// Wakes the thread of passes if there is something to look at, and it may be done.
    pub(crate) fn wake_syncer(&self) {
        let Some(sync) = self
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref())
        else {
            return;
        };
        let env = self.sync_env();
        sync.state.set_env(env);
        if env.access == SyncAccess::Writable && matches!(sync.state.machine(), Sync::Requested(_))
        {
            sync.thread.wake();
        }
    }

    /// Tells who polls, if the state is not what it was.
    fn announce_state(&self, before: State) {
        let Some(running) = &self.running else {
            return;
        };
        if running.tracking.state().shown() != before.shown() {
            self.array.notify_state();
        }
    }

    /// Makes an array clean that was not written for the safe-mode delay, and has itself called again otherwise.
    fn calm_down(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        let delay = msecs_to_jiffies(self.safe_mode_delay.map_or(0, SafeModeDelay::ms));
        let is_dirty = |state| {
            matches!(
                state,
                State::Running {
                    access: Access::Writable(Dirtiness::Active | Dirtiness::ActiveIdle),
                    ..
                }
            )
        };
        let tracking = &running.tracking;
        let dirty = delay != 0 && is_dirty(tracking.state());
        let waits = if dirty {
            tracking.calm_down(delay)
        } else {
            None
        };
        let pending = matches!(
            tracking.state(),
            State::Running {
                access: Access::Writable(Dirtiness::WritePending),
                ..
            }
        );
        if let Some(thread) = &running.thread {
            let again = waits.or((pending && delay != 0).then_some(delay));
            let bitmap = self.bitmap_at_work();
            let daemon = bitmap.and_then(|bitmap| bitmap.daemon_due());
            let daemon = daemon.map(|ms| msecs_to_jiffies(u32::try_from(ms).unwrap_or(u32::MAX)));
            thread.set_period(Iterator::chain(again.into_iter(), daemon).min());
        }
    }

    /// Sees to members that I/O has marked: they may be replaced now.
    fn note_marks(&self) {
        for entry in &self.members {
            if entry.member.mark(Mark::News, false) {
                entry.notify_state();
                self.need_a_look();
            }
        }
    }

    /// How many read errors within hours a member may have.
    pub(crate) fn set_max_read_errors(&mut self, max: u32) {
        self.max_read_errors = max;
        if let Some(running) = &self.running {
            running.tracking.set_max_read_errors(max);
        }
    }

    /// Whether a pass is under way.
    pub(crate) fn is_syncing(&self) -> bool {
        self.running
            .as_ref()
            .and_then(|running| running.sync.as_ref())
            .is_some_and(|sync| sync.state.under_way().is_some())
    }

    /// Whether bad blocks are recorded as soon as the array is served.
    pub(crate) fn records_bad_blocks(&self) -> bool {
        self.state().is_writable() && !self.is_external()
    }

    /// Writers that wait for something about a member look again.
    pub(crate) fn wake_writers(&self) {
        if let Some(running) = &self.running {
            running.tracking.wake();
        }
    }

    /// Tells who polls the members' bad blocks. True when there are any to be recorded.
    fn note_bad_blocks(&self) -> bool {
        let mut any = false;
        for entry in &self.members {
            if entry.has_news_of_bad_blocks() && !matches!(entry.state, MemberKind::Faulty { .. }) {
                entry.notify_bad_blocks();
                any = true;
            }
        }
        any
    }

    /// Gives up members that I/O has found to fail. True when there were any.
    pub(super) fn note_failures(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.members.len() {
            let failing = self.members.get(index).is_some_and(|entry| {
                entry.member.health() == Health::Failing
                    && !matches!(entry.state, MemberKind::Faulty { .. })
            });
            if failing {
                any |= self.fail(index, By::Errors).is_ok();
            }
        }
        any
    }

    /// Gives up a member. The survivors' superblocks are to be written next.
    ///
    /// An error when it is the last copy and stays. If its errors were the reason the array is broken then; a word that
    /// is not followed changes nothing.
    pub(crate) fn fail(&mut self, index: usize, by: By) -> core::result::Result<(), Illegal> {
        let loss = self.loss_of(index);
        let array = self.array;
        let config = &mut *self.config;
        let Some(entry) = config.members.get_mut(index) else {
            return Ok(());
        };
        if let (MemberKind::InSync(_), MirrorLoss::BreaksKeeping | MirrorLoss::BreaksFailing) =
            (entry.state, loss)
        {
            let is_refused = (loss, by) == (MirrorLoss::BreaksKeeping, By::Word);
            if let Some(running) = config.running.as_ref().filter(|_| !is_refused) {
                running.tracking.set_broken();
            }
        }
        let env = Env {
            pending: Pending::Some,
            loss: loss.to_member(),
            run: Run::Running,
        };
        match entry.state.step(Event::Fail, &env) {
            Ok(Next::To(next)) => {
                entry.state = next;
                entry.member.set_health(Health::Failing);
                let device = Text(entry.device().name());
                array.place.with_name(|name| {
                    pr_crit!("{name}: disk failure on {device}, disabling device\n");
                });
                entry.notify_state();
            }
            Ok(Next::Stay) => return Ok(()),
            Err(why) => {
                let device = Text(entry.device().name());
                array
                    .place
                    .with_name(|name| pr_crit!("{name}: {device}: {}\n", Text(why)));
                entry.member.set_health(Health::Working);
                if let Some(running) = &config.running {
                    running.tracking.wake();
                }
                return Err(why);
            }
        }
        config.due = Change::Devices;
        config.renumber_v0();
        // Before the failure is recorded: a write that the member missed ends after that, and leaves its marks.
        config.tell_bitmap();
        if let Some(sync) = config
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref())
        {
            // Both are legal in every state.
            let _ = sync.state.step(SyncEvent::Interrupt);
            let _ = sync.state.step(SyncEvent::Need(Request::Look));
            sync.state.notify_degraded();
        }
        self.array.registry.events.notify();
        Ok(())
    }

    /// What the failure of a member would do to the array.
    fn loss_of(&self, index: usize) -> MirrorLoss {
        let last = if self.fail_last_dev {
            LastDevice::Fail
        } else {
            LastDevice::Keep
        };
        let works = |slot: Slot| {
            self.members.iter().enumerate().any(|(other, entry)| {
                other != index
                    && matches!(entry.state, MemberKind::InSync(place) if place.slot == slot)
            })
        };
        let enough = self.running.as_ref().is_some_and(|running| {
            let layout = running.mirror.as_ref();
            layout.is_some_and(|layout| has_enough(layout, running.moving.as_ref(), works))
        });
        mirror_loss(
            if enough {
                Survivors::Enough
            } else {
                Survivors::TooFew
            },
            last,
        )
    }
}
