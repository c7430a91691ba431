// SPDX-License-Identifier: GPL-2.0

//! How fast a resync goes and when its progress is recorded: the loop of `md_do_sync()`.

use crate::units::{Sector, Sectors};
use crate::words::progress::Rate;

/// A point in time, in milliseconds of a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// Whole seconds from `earlier` to `self`; 0 when the clock did go back.
    pub(super) const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// What bounds a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncLimits {
    /// Below this speed it never waits for other I/O (`sync_speed_min`), KiB/s.
    pub min_kib_per_second: u32,
    /// Above this speed it always waits (`sync_speed_max`), KiB/s.
    pub max_kib_per_second: u32,
    /// Requests it may have in flight while others use the array (`sync_io_depth`).
    pub io_depth: u32,
    /// The length of such a request.
    pub unit: SyncUnit,
}

impl SyncLimits {
    /// Defaults of `/proc/sys/dev/raid/`: 1000, 200000 and 32.
    pub const fn system_default(unit: SyncUnit) -> Self {
        Self {
            min_kib_per_second: 1000,
            max_kib_per_second: 200_000,
            io_depth: 32,
            unit,
        }
    }

    /// Whether so much in flight is within `io_depth`.
    pub fn allows(&self, in_flight: Sectors) -> bool {
        let unit = match self.unit {
            SyncUnit::Stripe => 8,
            SyncUnit::Window => 128,
        };
        in_flight.get() < u64::from(self.io_depth) * unit
    }
}

/// The length of one request of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncUnit {
    /// 4 KiB of each member: raid4, raid5, raid6.
    Stripe,
    /// 64 KiB: raid1, raid10.
    Window,
}

/// Whether anyone but the resync uses the array or its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherIo {
    /// Nobody does.
    Idle,
    /// Somebody does.
    Busy,
}

/// How a resync goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Continue,
    /// After [`Throttle::PAUSE_MS`]; then ask again.
    Pause,
    /// When nothing is in flight any more.
    Drain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: Millis,
    done: u64,
}

/// The speed control of one resync: how much was done since a mark that is between 30 and 33 seconds old, once it has
/// run that long.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// The latest marks, oldest first.
    marks: [Mark; Self::MARKS],
    /// What speed is measured from.
    base: Mark,
    issued: u64,
    checked: u64,
}

impl Throttle {
    const MARKS: usize = 10;
    const MARK_STEP_MS: u64 = 3000;
    /// How often speed is looked at: every 32 pages of 4 KiB.
    const WINDOW_SECTORS: u64 = 256;
    /// How long a resync that is too fast pauses.
    pub const PAUSE_MS: u64 = 500;

    /// Begins to measure.
    pub const fn new(now: Millis) -> Self {
        let base = Mark { at: now, done: 0 };
        Self {
            marks: [base; Self::MARKS],
            base,
            issued: 0,
            checked: 0,
        }
    }

    /// Counts what has been sent to the members. Returns whether [`Self::pace`] is to be asked now.
    #[must_use]
    pub const fn issue(&mut self, length: Sectors) -> bool {
        self.issued = self.issued.saturating_add(length.get());
        self.checked.saturating_add(Self::WINDOW_SECTORS) <= self.issued
    }

    fn done(&self, in_flight: Sectors) -> u64 {
        self.issued.saturating_sub(in_flight.get())
    }

    /// Decides how to go on, with so much of what was issued still in flight.
    ///
    /// `others` is asked only when it matters: finding out costs a walk over all members.
    pub fn pace(
        &mut self,
        now: Millis,
        in_flight: Sectors,
        limits: &SyncLimits,
        others: impl FnOnce() -> OtherIo,
    ) -> Pace {
        self.checked = self.issued;
        self.step_marks(now, in_flight);
        let speed = self.kib_per_second(now, in_flight);
        if speed <= u64::from(limits.min_kib_per_second) {
            return Pace::Continue;
        }
        if speed > u64::from(limits.max_kib_per_second) {
            return Pace::Pause;
        }
        if !limits.allows(in_flight) && others() == OtherIo::Busy {
            return Pace::Drain;
        }
        Pace::Continue
    }

    fn step_marks(&mut self, now: Millis, in_flight: Sectors) {
        let done = self.done(in_flight);
        let [.., newest] = &self.marks;
        if now.0 < newest.at.0.saturating_add(Self::MARK_STEP_MS) {
            return;
        }
        let [oldest, ..] = self.marks;
        self.base = oldest;
        self.marks.rotate_left(1);
        let [.., newest] = &mut self.marks;
        *newest = Mark { at: now, done };
    }

    /// The speed the limits are held against: rounded up, and never zero.
    fn kib_per_second(&self, now: Millis, in_flight: Sectors) -> u64 {
        let kib = self.done(in_flight).saturating_sub(self.base.done) / 2;
        (kib / (now.seconds_since(self.base.at) + 1)).saturating_add(1)
    }

    /// What was done since the mark, for `/proc/mdstat` and `sync_speed`.
    pub fn rate(&self, now: Millis, in_flight: Sectors) -> Rate {
        Rate {
            seconds: now.seconds_since(self.base.at),
            done: Sectors::new(self.done(in_flight).saturating_sub(self.base.done)),
        }
    }
}

/// The progress of a resync, as far as recording it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where it is now.
    pub position: Sector,
    /// Up to where it is recorded.
    pub recorded: Sector,
    /// The length of the whole.
    pub total: Sectors,
    /// Where it is to pause (`sync_max`); [`Sector::MAX`] for nowhere.
    pub pause_at: Sector,
    /// When it was last recorded.
    pub recorded_at: Millis,
}

impl Checkpoint {
    /// Progress is recorded at least this often.
    pub const INTERVAL_MS: u64 = 5 * 60 * 1000;

    /// Whether progress is to be recorded now: after a sixteenth of the whole, after 5 minutes, and when less is left
    /// to the pause than has been done since the last time.
    pub const fn is_due(&self, now: Millis) -> bool {
        let unrecorded = self.position.get().saturating_sub(self.recorded.get());
        let to_pause = self.pause_at.get().saturating_sub(self.recorded.get());
        unrecorded > self.total.get() >> 4
            || now.0 >= self.recorded_at.0.saturating_add(Self::INTERVAL_MS)
            || unrecorded.saturating_mul(2) >= to_pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SyncLimits = SyncLimits::system_default(SyncUnit::Window);

    #[test]
    fn a_slow_resync_never_waits() {
        let mut throttle = Throttle::new(Millis(0));
        assert!(throttle.issue(Sectors::new(1000)));
        let pace = throttle.pace(Millis(1000), Sectors::ZERO, &LIMITS, || OtherIo::Busy);
        assert_eq!(pace, Pace::Continue);
    }

    #[test]
    fn between_the_limits_it_gives_way_when_deep_in_flight() {
        let pace = |in_flight, others| {
            let mut throttle = Throttle::new(Millis(0));
            assert!(throttle.issue(Sectors::new(100_000)));
            throttle.pace(Millis(1000), Sectors::new(in_flight), &LIMITS, || others)
        };
        assert_eq!(pace(0, OtherIo::Busy), Pace::Continue);
        assert_eq!(pace(4095, OtherIo::Busy), Pace::Continue);
        assert_eq!(pace(4096, OtherIo::Busy), Pace::Drain);
        assert_eq!(pace(4096, OtherIo::Idle), Pace::Continue);
    }

    #[test]
    fn too_fast_pauses_until_it_is_not() {
        let mut throttle = Throttle::new(Millis(0));
        assert!(throttle.issue(Sectors::new(1_000_000)));
        let mut now = 0;
        while throttle.pace(Millis(now), Sectors::ZERO, &LIMITS, || OtherIo::Idle) == Pace::Pause {
            now += Throttle::PAUSE_MS;
        }
        // 500000 KiB at 200000 KiB/s; the divisor is a second ahead.
        assert_eq!(now, 2000);
    }

    #[test]
    fn speed_is_that_of_the_last_half_minute() {
        let mut throttle = Throttle::new(Millis(0));
        for second in 0..100 {
            let length = if second < 50 { 20_000 } else { 2_000 };
            assert!(throttle.issue(Sectors::new(length)));
            let _ = throttle.pace(Millis(second * 1000), Sectors::ZERO, &LIMITS, || {
                OtherIo::Idle
            });
        }
        let rate = throttle.rate(Millis(99_000), Sectors::ZERO);
        assert!((30..=33).contains(&rate.seconds), "{rate:?}");
        assert_eq!(rate.kib_per_second(), 1000);
    }

    #[test]
    fn the_window_is_looked_at_once() {
        let mut throttle = Throttle::new(Millis(0));
        assert!(!throttle.issue(Sectors::new(255)));
        assert!(throttle.issue(Sectors::new(1)));
        let _ = throttle.pace(Millis(0), Sectors::ZERO, &LIMITS, || OtherIo::Idle);
        assert!(!throttle.issue(Sectors::new(1)));
    }

    #[test]
    fn checkpoints() {
        let fresh = Checkpoint {
            position: Sector::new(100),
            recorded: Sector::new(0),
            total: Sectors::new(1600),
            pause_at: Sector::MAX,
            recorded_at: Millis(0),
        };
        assert!(!fresh.is_due(Millis(0)));
        assert!(fresh.is_due(Millis(300_000)));
        assert!(Checkpoint {
            position: Sector::new(101),
            ..fresh
        }
        .is_due(Millis(0)));
        assert!(Checkpoint {
            pause_at: Sector::new(200),
            ..fresh
        }
        .is_due(Millis(0)));
        assert!(!Checkpoint {
            pause_at: Sector::new(201),
            ..fresh
        }
        .is_due(Millis(0)));
    }
}
