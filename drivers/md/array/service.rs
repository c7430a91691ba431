// SPDX-License-Identifier: GPL-2.0

//! The work of an array's thread: what follows from failures, and the way back to clean.
//!
//! All of it is done with the configuration locked, and by whoever has it locked if need be. Nobody waits for I/O of
//! the array while holding it: such I/O may be waiting for this.

use super::{Array, Configuration};
use crate::{log::Text, member::Health};
use core::ffi::CStr;
use kernel::{prelude::*, sync::Arc, time::msecs_to_jiffies};
use kernel_ext::sync::kthread::{Me, Thread, Work};
use md_core::{
    policy::{mirror_loss, LastDevice, MirrorLoss, Survivors},
    state::{
        array::{Access, Array as State},
        clean::{Change, Dirtiness},
        member::{Env, Event, Illegal, Member as MemberKind, Pending, Run, Seat},
        sync::{Access as SyncAccess, Event as SyncEvent, Request, Sync},
        Next,
    },
    units::Slot,
    words::array::SafeModeDelay,
};

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
        if let Ok(mut config) = self.0.configure() {
            config.serve();
        }
    }
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
        let settling = failures.as_ref().map(|failures| failures.take_writes());
        if self.note_failures() {
            self.due = Change::Devices;
        }
        self.calm_down();
        self.record();
        if let Some(settling) = settling {
            settling.settle();
        }
        if let Some(failures) = failures {
            failures.retry_reads();
        }
        self.announce_state(state);
        self.wake_syncer();
    }

    /// Something may be due that a pass does.
    pub(crate) fn look_for_work(&self) {
        if let Some(sync) = self
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref())
        {
            // It is legal in every state.
            let _ = sync.state.step(SyncEvent::Need(Request::Look));
        }
        self.wake_syncer();
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
        let delay = self.safe_mode_delay.map_or(0, SafeModeDelay::ms);
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
        let waits = delay != 0 && is_dirty(tracking.state()) && !tracking.calm_down();
        let pending = matches!(
            tracking.state(),
            State::Running {
                access: Access::Writable(Dirtiness::WritePending),
                ..
            }
        );
        if let Some(thread) = &running.thread {
            let again = (waits || (pending && delay != 0)).then(|| msecs_to_jiffies(delay));
            thread.set_period(again);
        }
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
                any |= self.fail(index).is_ok();
            }
        }
        any
    }

    /// Gives up a member. The survivors' superblocks are to be written next.
    ///
    /// An error when it is the last copy and stays; the array is broken then.
    pub(crate) fn fail(&mut self, index: usize) -> core::result::Result<(), Illegal> {
        let loss = self.loss_of(index);
        let config = &mut *self.config;
        let Some(entry) = config.members.get_mut(index) else {
            return Ok(());
        };
        if let (MemberKind::InSync(_), MirrorLoss::BreaksKeeping | MirrorLoss::BreaksFailing) =
            (entry.state, loss)
        {
            if let Some(running) = &config.running {
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
                pr_crit!(
                    "disk failure on {}, disabling device\n",
                    Text(entry.device().name())
                );
                entry.notify_state();
            }
            Ok(Next::Stay) => return Ok(()),
            Err(why) => {
                pr_crit!("{}: {}\n", Text(entry.device().name()), Text(why));
                entry.member.set_health(Health::Working);
                if let Some(running) = &config.running {
                    running.tracking.wake();
                }
                return Err(why);
            }
        }
        config.due = Change::Devices;
        config.renumber_v0();
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
                    && matches!(entry.state, MemberKind::InSync(place)
                        if place.slot == slot && place.seat == Seat::Main)
            })
        };
        // Every slot of a raid1 holds all the data.
        let enough = (0..self.raid_disks).any(|slot| works(Slot::new(slot)));
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
