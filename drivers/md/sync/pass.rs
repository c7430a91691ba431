// SPDX-License-Identifier: GPL-2.0

//! One pass over the array, from its start to its end or until it is stopped.

use super::{travel::Travel, turns::Ticket, Syncing};
use crate::{
    array::{live::Live, Array},
    bitmap::{Backend, Outcome, SyncAnswer},
    control::sysctl::{SPEED_LIMIT_MAX, SPEED_LIMIT_MIN, SYNC_IO_DEPTH},
    log::Text,
    personality::mirror::{
        ahead::{Ahead, Upcoming},
        barrier,
        moving::Moving,
        resync::{Engine, Mode, Turn, Window},
        Layout, Mirror,
    },
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{atomic::Relaxed, Arc},
    time::{msecs_to_jiffies, Instant, Monotonic},
};
use kernel_ext::{
    block::plug::plugged,
    params::Int,
    sync::gated::{Entered, Entry},
};
use md_core::{
    layout::mirror::Placement,
    mirror::route::{done_below, Cursor},
    policy::{Checkpoint, Millis, OtherIo, Pace, SyncLimits, SyncUnit, Throttle},
    state::pass::Action,
    units::{Sector, SectorRange, Sectors},
    words::sync::{Limit, SyncMax},
};

/// Requests under way at the same time.
const DEPTH: usize = 32;
/// Others use the members when they move so many sectors that we did not ask for.
const OTHERS_SECTORS: u64 = 64;

/// What a pass is to do.
pub(super) struct Job {
    pub(super) array: Arc<Array>,
    pub(super) syncing: Arc<Syncing>,
    pub(super) action: Action,
    pub(super) start: Sector,
    pub(super) end: Sector,
    /// Keeps others on the same disks waiting until the consequences of this pass are drawn.
    pub(super) _ticket: Ticket,
    pub(super) bitmap: Option<Arc<dyn Backend>>,
    /// All of it is to be done, whatever the bitmap says.
    pub(super) full: bool,
    /// Where the copies lie.
    pub(super) layout: Layout,
    /// The reshape that the array is in.
    pub(super) moving: Option<Arc<Moving>>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was done.
    Complete,
    /// It was stopped, or could not go on.
    Early,
}

/// A pass under way.
pub(super) struct Running {
    pub(super) job: Job,
    pub(super) engine: Engine,
    windows: KVec<Option<Window>>,
    in_flight: usize,
    pub(super) next: Cursor,
    throttle: Throttle,
    began: Instant<Monotonic>,
    pub(super) checkpoint: Checkpoint,
    moved: u64,
    /// A request failed, or a member did: nothing more is issued.
    pub(super) failed: bool,
    /// How many members had failed when it began.
    lost: usize,
    /// Nothing is issued until nothing is under way.
    pub(super) draining: Option<Drain>,
    /// What is particular to a reshape.
    pub(super) travel: Option<Travel>,
}

/// Why a pass waits until nothing is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// Others need the members.
    Yield,
    /// It is too fast.
    Pause,
    /// Its progress is to be recorded.
    Checkpoint,
}

impl Running {
    /// On the heap, and made apart from what runs it: there is little room on the stack of who submits to a device.
    #[inline(never)]
    pub(super) fn new(job: Job) -> Result<KBox<Self>> {
        let mut windows = KVec::with_capacity(DEPTH, GFP_KERNEL)?;
        for _ in 0..DEPTH {
            windows.push(None, GFP_KERNEL)?;
        }
        let moving = job.moving.clone().filter(|_| job.action == Action::Reshape);
        let travel = match moving {
            Some(moving) => Some(Travel::new(moving, DEPTH)?),
            None => None,
        };
        let writer = CString::try_from_fmt(fmt!("{}_writer", Text(job.array.name)))?;
        let live = job.array.live().enter_wait();
        let mirror = live.as_ref().and_then(|live| live.personality().mirror());
        job.syncing.set_waiters(mirror.map(Mirror::resync_waiters));
        let lost = mirror.map_or(0, Mirror::members_lost);
        drop(live);
        let running = Self {
            lost,
            engine: Engine::new(Mode::of(job.action), &writer)?,
            windows,
            in_flight: 0,
            next: Cursor::new(job.start),
            throttle: Throttle::new(Millis(0)),
            began: Instant::now(),
            checkpoint: Checkpoint {
                position: job.start,
                recorded: job.start,
                total: Sectors::new(job.end.get()),
                pause_at: Sector::MAX,
                recorded_at: Millis(0),
            },
            moved: 0,
            failed: false,
            draining: None,
            travel,
            job,
        };
        let running = KBox::new(running, GFP_KERNEL)?;
        if let Some(bitmap) = &running.job.bitmap {
            bitmap.begin_pass(running.job.action);
        }
        Ok(running)
    }

    pub(super) fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0))
    }

    /// Runs the pass. It is to be dropped when the pass is over for everybody: that waits for several RCU grace
    /// periods. May sleep.
    pub(super) fn run(&mut self) -> Ended {
        loop {
            plugged(|| {
                self.collect();
                self.issue();
            });
            if self.gives_up() {
                self.give_up();
            }
            if self.in_flight > 0 {
                self.wait();
            } else if self.is_over() {
                break;
            } else {
                self.drained();
            }
        }
        self.failed |= self.has_lost_a_member();
        let complete = !self.failed && self.next.at >= self.job.end;
        // What failed lies somewhere behind the last record.
        let done = match &self.travel {
            // Its requests end in order.
            Some(travel) => travel.done(),
            None if self.failed => self.checkpoint.recorded,
            None => self.next.at,
        };
        self.tell_bitmap(done, complete);
        self.job.syncing.completed.store(done.get(), Relaxed);
        if complete {
            Ended::Complete
        } else {
            Ended::Early
        }
    }

    /// A request did not do what it was to do, or it is not known whether it did.
    fn abort(&self, window: &Window) {
        if let (Some(bitmap), Some(range)) = (&self.job.bitmap, window.range()) {
            bitmap.end_sync(range, Outcome::Aborted);
        }
    }

    fn is_over(&self) -> bool {
        self.failed || self.next.at >= self.job.end || self.job.syncing.is_stopping()
    }

    /// Sleeps until there is something to do for a request.
    fn wait(&self) {
        let Some(window) = self.windows.iter().flatten().next() else {
            return;
        };
        let live = window.live().clone();
        let ready = || {
            !self.engine.done.is_empty()
                || self.gives_up()
                || self.windows.iter().flatten().any(Window::is_ready)
        };
        if let Some(mirror) = live.personality().mirror() {
            mirror.wait_resync(ready);
        }
    }

    /// Whether the pass is to stop, and has requests that have not begun: they wait for writes that were there first,
    /// which may take as long as a member does, or a program that is to record something. Those of a reshape end in
    /// order.
    fn gives_up(&self) -> bool {
        let stops = self.failed || self.job.syncing.is_stopping();
        stops && self.travel.is_none() && self.windows.iter().flatten().any(Window::is_announced)
    }

    /// Takes requests back that have not begun. The pass is where the first of them is.
    fn give_up(&mut self) {
        for index in 0..self.windows.len() {
            let window = self.windows.get(index).and_then(Option::as_ref);
            let Some(from) = window.filter(|it| it.is_announced()).map(|it| it.from) else {
                continue;
            };
            if from <= self.next.at {
                self.next = Cursor::new(from);
            }
            drop(self.release(index));
        }
    }

    /// Has every request go on that can.
    fn collect(&mut self) {
        for mut bio in self.engine.done.take_all() {
            let index = bio.value().window;
            let Some(window) = self.windows.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            let turn = window.advance(&mut self.engine, bio);
            self.turn(index, turn);
        }
        for index in 0..self.windows.len() {
            if let Some(window) = self.windows.get_mut(index).and_then(Option::as_mut) {
                let turn = window.begin(&mut self.engine);
                self.turn(index, turn);
            }
        }
    }

    fn turn(&mut self, index: usize, turn: Turn) {
        match turn {
            Turn::Waits => return,
            Turn::Done(found) => {
                let mismatches = &self.job.syncing.mismatches;
                mismatches.fetch_add(found.get(), Relaxed);
            }
            Turn::Failed => self.failed = true,
        }
        if self.arrive(index) {
            return;
        }
        if let Some(window) = self.release(index) {
            if self.failed {
                self.abort(&window);
            }
            self.engine.recycle(window);
        }
    }

    /// Takes out a request that is over.
    pub(super) fn release(&mut self, index: usize) -> Option<Window> {
        let window = self.windows.get_mut(index).and_then(Option::take)?;
        self.in_flight = self.in_flight.saturating_sub(1);
        let share = window.share.get();
        self.job.syncing.in_flight.fetch_sub(share, Relaxed);
        Some(window)
    }

    /// Issues what can be.
    fn issue(&mut self) {
        while !self.is_over() && self.draining.is_none() && self.next.at < self.pause_at() {
            let free = self.windows.iter().position(Option::is_none);
            let Some(index) = free else {
                return;
            };
            let cursor = self.next;
            match self.upcoming() {
                Some(Upcoming::Part(part, next)) => {
                    self.next = next;
                    self.begin(index, Window::new(index, part, cursor.at));
                }
                Some(Upcoming::Skip(next)) => self.pass_over(next),
                Some(Upcoming::Blocked(_) | Upcoming::End) | None => return,
            }
            if self.next == cursor {
                return;
            }
            self.job.syncing.position.store(self.next.at.get(), Relaxed);
        }
    }

    fn begin(&mut self, index: usize, mut window: Window) {
        let share = window.share;
        let turn = window.begin(&mut self.engine);
        if let Some(slot) = self.windows.get_mut(index) {
            *slot = Some(window);
        }
        self.depart(index);
        self.in_flight += 1;
        let in_flight = &self.job.syncing.in_flight;
        in_flight.fetch_add(share.get(), Relaxed);
        self.turn(index, turn);
        self.watch(share);
    }

    /// What the bitmap says of the sectors of the array at `at`. What was never written nobody needs, not even who has
    /// nothing yet.
    fn ask(&self, at: Sector) -> SyncAnswer {
        let Some(bitmap) = &self.job.bitmap else {
            return SyncAnswer::ALL;
        };
        match bitmap.skip_sync(at, self.job.action) {
            Sectors::ZERO => {
                let answer = bitmap.start_sync(at);
                SyncAnswer {
                    needed: answer.needed || self.job.full,
                    ..answer
                }
            }
            sectors => SyncAnswer {
                needed: false,
                sectors,
            },
        }
    }

    /// Below which sector of the array every copy is done when all that is below `at` is.
    fn done_below(&self, at: Sector) -> Sector {
        let layout = &self.job.layout;
        done_below(Mirror::route(layout, self.job.action), layout, at)
    }

    /// Nothing is to be done up to there.
    fn pass_over(&mut self, next: Cursor) {
        self.next = next;
        self.checkpoint.position = next.at;
    }

    /// Whether a member failed since the pass began, known to the configuration or not: it did not get all that the
    /// others did. A pass that was told to stop does not wait for who holds I/O back, and takes it that one has.
    fn has_lost_a_member(&self) -> bool {
        let live = match self.job.array.live().enter() {
            Entry::Entered(live) => Some(live),
            Entry::Suspended if !self.job.syncing.is_stopping() => {
                self.job.array.live().enter_wait()
            }
            Entry::Suspended | Entry::Empty => None,
        };
        let mirror = live.as_ref().and_then(|live| live.personality().mirror());
        mirror.is_none_or(|mirror| mirror.members_lost() > self.lost)
    }

    /// Tells the bitmap how far the pass came, and that it has ended. Nothing is under way.
    fn tell_bitmap(&self, done: Sector, complete: bool) {
        let Some(bitmap) = &self.job.bitmap else {
            return;
        };
        let below = self.done_below(done);
        let end = Sector::new(self.job.layout.array_size().get());
        let left = end
            .distance_from(below)
            .and_then(|left| SectorRange::new(below, left));
        if let Some(left) = left.filter(|_| !complete) {
            // Chunks of it may have been begun.
            bitmap.end_sync(left, Outcome::Aborted);
        }
        bitmap.end_pass();
    }

    /// Where the pass is to pause.
    fn pause_at(&self) -> Sector {
        match self.job.syncing.settings().max {
            SyncMax::Max => Sector::MAX,
            SyncMax::At(sector) => sector,
        }
    }

    /// What is next; `None` when others must be let through first.
    fn upcoming(&mut self) -> Option<Upcoming> {
        let live = match self.job.array.live().enter() {
            Entry::Entered(live) => live,
            Entry::Suspended if self.in_flight == 0 => self.enter_wait()?,
            Entry::Suspended => return None,
            Entry::Empty => {
                self.failed = true;
                return None;
            }
        };
        // It may have been stopped while this waited.
        if self.job.syncing.is_stopping() {
            return None;
        }
        let bitmap = self.job.bitmap.as_ref();
        let ahead = Ahead {
            action: self.job.action,
            cursor: self.next,
            limit: self.job.end.min(self.pause_at()),
            chunk: bitmap.map_or(Sectors::MAX, |bitmap| bitmap.chunk()),
        };
        loop {
            let upcoming = if self.travel.is_some() {
                self.upcoming_step(&live)?
            } else {
                Mirror::upcoming(&live, &ahead, |at| self.ask(at))
            };
            match upcoming {
                Upcoming::Blocked(at) if self.in_flight == 0 => barrier::let_through(&live, at),
                Upcoming::End => {
                    // The limit is not reached, or this would not be asked.
                    self.failed = true;
                    return None;
                }
                upcoming => return Some(upcoming),
            }
        }
    }

    fn enter_wait(&mut self) -> Option<Entered<Live>> {
        let live = self.job.array.live().enter_wait();
        self.failed |= live.is_none();
        live
    }

    /// Looks at speed and progress after something was issued.
    fn watch(&mut self, length: Sectors) {
        let now = self.now();
        self.checkpoint.position = self.next.at;
        self.checkpoint.pause_at = self.pause_at();
        if self.throttle.issue(length) {
            self.pace(now);
        }
        if self.draining.is_none() && self.checkpoint.is_due(now) {
            self.draining = Some(Drain::Checkpoint);
        }
    }

    fn pace(&mut self, now: Millis) {
        let in_flight = Sectors::new(self.job.syncing.in_flight.load(Relaxed));
        let limits = self.limits();
        let (moved, sent) = (self.moved_by_others(), &mut self.moved);
        let others = || {
            if moved > sent.saturating_add(OTHERS_SECTORS) {
                *sent = moved;
                OtherIo::Busy
            } else {
                OtherIo::Idle
            }
        };
        let pace = self.throttle.pace(now, in_flight, &limits, others);
        self.job.syncing.inner.lock().rate = self.throttle.rate(now, in_flight);
        self.draining = match pace {
            Pace::Continue => None,
            Pace::Drain => Some(Drain::Yield),
            Pace::Pause => Some(Drain::Pause),
        };
    }

    /// What the members have moved that we did not ask for.
    fn moved_by_others(&self) -> u64 {
        let window = self.windows.iter().flatten().next();
        let live = window.map(|window| window.live().clone());
        let moved = live
            .as_ref()
            .and_then(|live| live.personality().mirror())
            .map_or(0, |mirror| mirror.moved());
        moved.saturating_sub(self.engine.sent)
    }

    fn limits(&self) -> SyncLimits {
        let settings = self.job.syncing.settings();
        let effective =
            |limit: Limit, system: &Int| limit.effective(u32::try_from(system.get()).unwrap_or(0));
        SyncLimits {
            min_kib_per_second: effective(settings.speed_min, &SPEED_LIMIT_MIN),
            max_kib_per_second: effective(settings.speed_max, &SPEED_LIMIT_MAX),
            io_depth: effective(settings.io_depth, &SYNC_IO_DEPTH),
            unit: SyncUnit::Window,
        }
    }

    /// Nothing is under way, and the pass is not over.
    fn drained(&mut self) {
        match self.draining.take() {
            Some(Drain::Yield) => {}
            Some(Drain::Pause) => {
                self.record_before_rest();
                let syncing = &self.job.syncing;
                let pause = msecs_to_jiffies(u32::try_from(Throttle::PAUSE_MS).unwrap_or(500));
                syncing
                    .changed
                    .wait_timeout(pause, || syncing.is_stopping());
                let now = self.now();
                self.pace(now);
            }
            Some(Drain::Checkpoint) => self.record(),
            None if self.next.at >= self.pause_at() => self.pause(),
            None => {}
        }
    }

    /// Records how far the pass is.
    pub(super) fn record(&mut self) {
        if self.has_lost_a_member() {
            self.failed = true;
            return;
        }
        let now = self.now();
        let done = self.next.at;
        if self.travel.is_some() {
            return self.record_position(done, now);
        }
        self.checkpoint.recorded = done;
        self.checkpoint.recorded_at = now;
        self.job.syncing.completed.store(done.get(), Relaxed);
        if let Some(bitmap) = &self.job.bitmap {
            bitmap.checkpoint(self.done_below(done));
        }
        self.job.checkpoint(done);
        self.job.syncing.notify_completed();
    }

    /// Waits at the point where the pass is to pause.
    fn pause(&mut self) {
        self.record();
        if self.failed {
            return;
        }
        let syncing = self.job.syncing.clone();
        syncing.wait(|| syncing.is_stopping() || self.next.at < self.pause_at());
    }
}

impl Window {
    /// The running array.
    fn live(&self) -> &Entered<Live> {
        self.pass().live()
    }
}
