// SPDX-License-Identifier: GPL-2.0

//! Gates, wait queues, threads, timers and pools.

use crate::device::LONG;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full},
        Arc,
    },
    time::{delay::fsleep, Delta},
};
use kernel_ext::{
    alloc::{
        mempool::{Mempool, Wait},
        noio::NoIo,
    },
    sync::{
        gated::{Entry, Gated},
        kthread::{Me, Thread, Work},
        percpu_ref::{Activity, Gate, Guard, OnZero},
        timer::{jiffies, Expire, Timer},
        wait::{Outcome, WaitQueue},
    },
};

/// Counts, and wakes whoever waits for the count.
#[pin_data]
struct Bell {
    #[pin]
    queue: WaitQueue,
    rings: Atomic<i32>,
}

impl Bell {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                queue <- WaitQueue::new(),
                rings: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    fn ring(&self) {
        self.rings.fetch_add(1, Full);
        self.queue.wake_all();
    }

    fn rings(&self) -> i32 {
        self.rings.load(Acquire)
    }

    fn heard(&self, count: i32) -> bool {
        self.queue.wait_timeout(LONG, || self.rings() >= count) == Outcome::True
    }
}

/// Rings a bell.
struct Ringer(Arc<Bell>);

impl OnZero for Ringer {
    fn zero(&self) {
        self.0.ring();
    }
}

impl Expire for Ringer {
    fn expired(&self) {
        self.0.ring();
    }
}

impl Work for Ringer {
    fn run(&self, _me: &Me) {
        self.0.ring();
    }
}

/// Keeps something for a while, in a thread: rings when it has begun, sleeps, rings again, and lets go.
struct Keeper<T: Send + Sync + 'static> {
    take: fn(&T) -> Option<KeptFor>,
    from: Arc<T>,
    bell: Arc<Bell>,
    /// Lets go when this rings; without it, after a while.
    until: Option<Arc<Bell>>,
}

/// What a keeper keeps.
enum KeptFor {
    Gate(#[expect(dead_code, reason = "kept for its drop")] Guard),
    Activity(#[expect(dead_code, reason = "kept for its drop")] Guard),
}

impl<T: Send + Sync + 'static> Work for Keeper<T> {
    fn run(&self, _me: &Me) {
        let kept = (self.take)(&self.from);
        self.bell.ring();
        match &self.until {
            Some(bell) => bell.queue.wait(|| bell.rings() > 0),
            None => fsleep(Delta::from_millis(30)),
        }
        self.bell.ring();
        drop(kept);
    }
}

/// Runs until it is told to stop.
struct Spinner(Arc<Bell>);

impl Work for Spinner {
    fn run(&self, me: &Me) {
        self.0.ring();
        while !me.should_stop() {
            fsleep(Delta::from_millis(1));
        }
        self.0.ring();
    }
}

#[kunit_tests(kernel_ext_sync)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in() -> Result {
        let bell = Bell::new()?;
        let gate = Gate::new(Ringer(bell.clone()))?;
        let first = gate.enter().ok_or(EINVAL)?;
        assert_eq!(gate.open(), Err(EBUSY));
        gate.close()?;
        assert_eq!(gate.close(), Err(EBUSY));
        assert!(gate.enter().is_none());
        assert!(!gate.is_empty());
        let second = first.clone();
        drop(first);
        assert!(!gate.is_empty());
        drop(second);
        gate.wait_empty();
        assert!(gate.is_empty());
        assert!(bell.heard(1));
        gate.open()?;
        assert!(gate.enter().is_some());
        assert!(!gate.is_empty());
        Ok(())
    }

    #[test]
    fn a_gate_waits_for_a_thread_inside() -> Result {
        let bell = Bell::new()?;
        let gate = Arc::new(Gate::<()>::new(())?, GFP_KERNEL)?;
        let keeper = Keeper {
            take: |gate: &Gate<()>| gate.enter().map(KeptFor::Gate),
            from: gate.clone(),
            bell: bell.clone(),
            until: None,
        };
        let thread = Thread::start(c"md_kunit", keeper)?;
        thread.wake();
        assert!(bell.heard(1));
        gate.close()?;
        gate.wait_empty();
        // The thread left after its second ring, not before.
        assert_eq!(bell.rings(), 2);
        gate.open()?;
        thread.wake();
        assert!(bell.heard(3));
        // Dropping the gate waits as well, here in the thread or here.
        drop(thread);
        assert_eq!(bell.rings(), 4);
        Ok(())
    }

    #[test]
    fn gates_close_and_open_under_users() -> Result {
        let gate = Gate::<()>::new(())?;
        for _ in 0..20 {
            let guard = gate.enter().ok_or(EINVAL)?;
            gate.close()?;
            drop(guard);
            gate.wait_empty_interruptible()?;
            gate.open()?;
        }
        Ok(())
    }

    #[test]
    fn activity_is_seen_by_probes() -> Result {
        let activity = Activity::<()>::new(())?;
        let one = activity.start();
        let probe = activity.probe();
        assert!(!probe.is_idle());
        drop(one);
        assert!(probe.is_idle());
        let inner = activity.probe();
        let two = activity.start();
        assert!(!inner.is_idle() && !probe.is_idle());
        drop(inner);
        drop(probe);
        drop(two);
        assert!(activity.probe().is_idle());
        let three = activity.start();
        let again = three.clone();
        drop(three);
        assert!(!activity.probe().is_idle());
        drop(again);
        assert!(activity.probe().is_idle());
        Ok(())
    }

    #[test]
    fn activity_of_a_thread_is_seen() -> Result {
        let (bell, go) = (Bell::new()?, Bell::new()?);
        let activity = Arc::new(Activity::<()>::new(())?, GFP_KERNEL)?;
        let keeper = Keeper {
            take: |activity: &Activity<()>| Some(KeptFor::Activity(activity.start())),
            from: activity.clone(),
            bell: bell.clone(),
            until: Some(go.clone()),
        };
        let thread = Thread::start(c"md_kunit", keeper)?;
        thread.wake();
        assert!(bell.heard(1));
        assert!(!activity.probe().is_idle());
        go.ring();
        drop(thread);
        assert_eq!(bell.rings(), 2);
        assert!(activity.probe().is_idle());
        Ok(())
    }

    #[test]
    fn a_gated_value_changes_alone() -> Result {
        let gated = Arc::new(Gated::<i32>::new()?, GFP_KERNEL)?;
        assert!(matches!(gated.enter(), Entry::Empty));
        *gated.suspend().value() = Some(1);
        let user = gated.enter_wait().ok_or(EINVAL)?;
        assert_eq!((*user, *user.clone()), (1, 1));
        drop(user);
        let mut suspended = gated.suspend();
        assert!(matches!(gated.enter(), Entry::Suspended));
        *suspended.value() = Some(2);
        drop(suspended);
        assert_eq!(gated.enter_wait().as_deref(), Some(&2));
        *gated.suspend().value() = None;
        assert!(gated.enter_wait().is_none());
        Ok(())
    }

    #[test]
    fn waits_end_in_time() -> Result {
        let bell = Bell::new()?;
        let before = jiffies();
        assert_eq!(bell.queue.wait_timeout(5, || false), Outcome::TimedOut);
        assert!(jiffies().wrapping_sub(before) >= 5);
        assert_eq!(bell.queue.wait_timeout(0, || true), Outcome::True);
        assert_eq!(bell.queue.wait_timeout(0, || false), Outcome::TimedOut);
        assert_eq!(
            bell.queue.wait_interruptible_timeout(2, || false)?,
            Outcome::TimedOut
        );
        assert!(!bell.queue.has_sleeper());
        Ok(())
    }

    #[test]
    fn a_timer_fires_once() -> Result {
        let bell = Bell::new()?;
        let timer = KBox::pin_init(Timer::new(Ringer(bell.clone())), GFP_KERNEL)?;
        timer.arm_after(2);
        assert!(bell.heard(1));
        fsleep(Delta::from_millis(30));
        assert_eq!(bell.rings(), 1);
        timer.arm_after(25);
        timer.cancel();
        fsleep(Delta::from_millis(250));
        assert_eq!(bell.rings(), 1);
        timer.arm_after(25);
        drop(timer);
        fsleep(Delta::from_millis(250));
        assert_eq!(bell.rings(), 1);
        Ok(())
    }

    #[test]
    fn a_thread_runs_when_woken() -> Result {
        let bell = Bell::new()?;
        let thread = Thread::start(c"md_kunit", Ringer(bell.clone()))?;
        fsleep(Delta::from_millis(10));
        assert_eq!(bell.rings(), 0);
        assert!(!thread.is_current());
        thread.wake();
        assert!(bell.heard(1));
        let waker = thread.waker();
        waker.wake();
        assert!(bell.heard(2));
        fsleep(Delta::from_millis(20));
        assert_eq!(bell.rings(), 2);
        // It sleeps for ever, and is not to.
        thread.set_period(Some(1));
        assert!(bell.heard(6));
        drop(thread);
        let rings = bell.rings();
        waker.wake();
        fsleep(Delta::from_millis(20));
        assert_eq!(bell.rings(), rings);
        Ok(())
    }

    #[test]
    fn a_thread_is_stopped_while_it_runs() -> Result {
        let bell = Bell::new()?;
        let thread = Thread::start(c"md_kunit", Spinner(bell.clone()))?;
        thread.wake();
        assert!(bell.heard(1));
        drop(thread);
        assert_eq!(bell.rings(), 2);
        // One that never ran is stopped, too.
        drop(Thread::start(c"md_kunit", Spinner(bell.clone()))?);
        assert_eq!(bell.rings(), 2);
        Ok(())
    }

    #[test]
    fn pools_lend_and_drop() -> Result {
        let _noio = NoIo::enter();
        let pool = Mempool::<[u64; 8]>::new(2)?;
        let mut held = KVec::new();
        for index in 0..64 {
            let value = pool.alloc([index; 8], Wait::Yes).map_err(|_| ENOMEM)?;
            held.push(value, GFP_KERNEL)?;
        }
        assert!(held
            .iter()
            .zip(0..)
            .all(|(value, index)| **value == [index; 8]));
        let bell = Bell::new()?;
        let bells = Mempool::<Arc<Bell>>::new(1)?;
        let lent = bells.alloc(bell, Wait::No).map_err(|_| ENOMEM)?;
        lent.ring();
        assert_eq!(lent.rings(), 1);
        drop(lent);
        drop(held);
        // Both pools are dropped here; they would wait for ever for a value that did not come back.
        Ok(())
    }
}
