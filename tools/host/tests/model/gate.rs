// SPDX-License-Identifier: GPL-2.0

//! A gate as [`Barrier`] has it: those who wait are woken as its answers say, and by nothing else, so that a wakeup
//! which it forgets leaves somebody asleep for ever.

use md_core::bitmap::barrier::{Barrier, Event, Gate as Door, Outcome, Wake};
use shuttle::{
    rand::{thread_rng, Rng as _},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

use super::Defect;

pub(super) struct Gate {
    barrier: Mutex<Barrier>,
    writers: Condvar,
    daemon: Condvar,
    defect: Defect,
}

/// Whether the daemon has the page for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspension {
    Alone,
    GaveUp,
}

impl Gate {
    pub(super) fn new(defect: Defect) -> Self {
        Self {
            barrier: Mutex::new(Barrier::OPEN),
            writers: Condvar::new(),
            daemon: Condvar::new(),
            defect,
        }
    }

    /// Waits until the gate lets a writer in.
    pub(super) fn enter(&self) {
        let mut barrier = self.barrier.lock().expect("no panic");
        while self.step(&mut barrier, Event::Enter) == Outcome::Wait {
            barrier = self.writers.wait(barrier).expect("no panic");
        }
    }

    pub(super) fn leave(&self) {
        let mut barrier = self.barrier.lock().expect("no panic");
        self.step(&mut barrier, Event::Leave);
    }

    /// Closes the gate and waits until all have left, or until some time is over.
    pub(super) fn suspend(&self) -> Suspension {
        let mut barrier = self.barrier.lock().expect("no panic");
        self.step(&mut barrier, Event::Suspend);
        if thread_rng().gen_bool(0.4) {
            drop(barrier);
            // Whatever may happen in that time.
            thread::yield_now();
            barrier = self.barrier.lock().expect("no panic");
            if barrier.gate() != Door::Shut {
                self.step(&mut barrier, Event::GiveUp);
                return Suspension::GaveUp;
            }
        }
        while barrier.gate() != Door::Shut {
            barrier = self.daemon.wait(barrier).expect("no panic");
        }
        assert_eq!(barrier.writers(), 0, "the daemon is not alone");
        Suspension::Alone
    }

    pub(super) fn resume(&self) {
        let mut barrier = self.barrier.lock().expect("no panic");
        self.step(&mut barrier, Event::Resume);
    }

    fn step(&self, barrier: &mut MutexGuard<'_, Barrier>, event: Event) -> Outcome {
        let outcome = barrier.step(event).expect("nobody breaks the rules");
        if let Outcome::Moved(next, wake) = outcome {
            **barrier = next;
            match wake {
                Wake::None => {}
                Wake::Daemon => self.daemon.notify_one(),
                Wake::Writers if event == Event::GiveUp && self.defect == Defect::SilentGiveUp => {}
                Wake::Writers => self.writers.notify_all(),
            }
        }
        outcome
    }
}
