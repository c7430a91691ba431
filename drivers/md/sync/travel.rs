// SPDX-License-Identifier: GPL-2.0

//! What a reshape adds to a pass: its requests end in the order they began, and it records where it is before it
//! overwrites what a restart from the last record would read.
//!
//! A pass counts the sectors it has done, whichever way a reshape goes; the position is told by [`Moving`].

use super::{
    pass::{Drain, Job, Running},
    thread::RECORD_MS,
};
use crate::{
    array::live::Live,
    personality::mirror::{ahead::Upcoming, moving::Moving, resync::Window, Mirror},
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};
use kernel_ext::sync::gated::Entered;
use md_core::{
    layout::reshape::{Direction, Metadata, Next, Position},
    policy::Millis,
    units::{Sector, Sectors},
};

/// The part of a pass that is particular to a reshape.
pub(super) struct Travel {
    moving: Arc<Moving>,
    /// Where the next step begins.
    issued: Sector,
    /// The requests under way, by the place they have among all, in the order they began; and whether they have
    /// ended.
    order: KVec<(usize, bool)>,
}

impl Travel {
    /// Of a pass with so many requests at a time.
    pub(super) fn new(moving: Arc<Moving>, depth: usize) -> Result<Self> {
        Ok(Self {
            issued: moving.position().progress(),
            moving,
            order: KVec::with_capacity(depth, GFP_KERNEL)?,
        })
    }

    /// How many sectors are done.
    pub(super) fn done(&self) -> Sector {
        let progress = self.moving.position().progress();
        Sector::new(self.moving.reshape().completed(progress).get())
    }

    /// The position as if all that is under way had been done.
    fn ahead(&self) -> Position {
        let safe = self.moving.position().safe();
        Position::resumed(self.moving.reshape().direction(), safe).advanced(self.issued)
    }

    /// Whether something is done that is not recorded.
    fn has_unrecorded(&self) -> bool {
        self.ahead().safe() != self.issued
    }
}

impl Running {
    /// What comes next in a reshape; `None` when something else is to be done before.
    pub(super) fn upcoming_step(&mut self, live: &Entered<Live>) -> Option<Upcoming> {
        let (now, cursor) = (self.now(), self.next);
        let last = self.checkpoint.recorded_at;
        let travel = self.travel.as_mut()?;
        let is_due = travel.moving.is_record_wanted() || now.0 >= last.0.saturating_add(RECORD_MS);
        if is_due && travel.has_unrecorded() {
            self.draining = Some(Drain::Checkpoint);
            return None;
        }
        let Next::Step(step) = travel.moving.reshape().next(&travel.ahead()) else {
            return Some(Upcoming::End);
        };
        if step.metadata == Metadata::WriteFirst {
            self.draining = Some(Drain::Checkpoint);
            return None;
        }
        let upcoming = Mirror::upcoming_step(live, &step, cursor);
        if matches!(upcoming, Upcoming::Part(..)) {
            travel.issued = step.progress;
        }
        Some(upcoming)
    }

    /// A request was begun that has this place.
    pub(super) fn depart(&mut self, index: usize) {
        if let Some(travel) = &mut self.travel {
            // There is room: there are no more of them than places.
            let _ = travel.order.push((index, false), GFP_KERNEL);
        }
    }

    /// A request has ended. The position passes what has ended with all before it; after a failure it stays. False
    /// for other passes.
    pub(super) fn arrive(&mut self, index: usize) -> bool {
        let Some(travel) = &mut self.travel else {
            return false;
        };
        for (place, ended) in travel.order.iter_mut() {
            *ended |= *place == index;
        }
        while let Some(place) = self.next_arrival() {
            let window = self.release(place);
            let passed = window.as_ref().and_then(Window::range);
            if let (Some(travel), Some(range), false) = (&self.travel, passed, self.failed) {
                travel
                    .moving
                    .advance(match travel.moving.reshape().direction() {
                        Direction::Forward => range.end(),
                        Direction::Backward => range.start(),
                    });
            }
            // Whoever waits for the position to pass is waked while the bucket is still held: it is let in after.
            if let Some(window) = window {
                window.pass().live().tracking().wake();
                self.engine.recycle(window);
            }
        }
        true
    }

    /// The next request that is over: in order, unless the pass has failed.
    fn next_arrival(&mut self) -> Option<usize> {
        let failed = self.failed;
        let travel = self.travel.as_mut()?;
        let at = travel.order.iter().position(|(_, ended)| *ended)?;
        if at > 0 && !failed {
            return None;
        }
        let (place, _) = travel.order.remove(at).ok()?;
        Some(place)
    }

    /// Records where a reshape is. Nothing is under way. May sleep, waiting for all I/O.
    pub(super) fn record_position(&mut self, done: Sector, now: Millis) {
        self.checkpoint.recorded = done;
        self.checkpoint.recorded_at = now;
        match self.job.record_position() {
            Ok(()) => self.job.syncing.completed.store(done.get(), Relaxed),
            Err(_) => self.failed = true,
        }
        self.job.syncing.notify_completed();
    }

    /// Has nobody wait for a record while the pass rests.
    pub(super) fn record_before_rest(&mut self) {
        let unrecorded = self.travel.as_ref().is_some_and(Travel::has_unrecorded);
        if unrecorded {
            self.record();
        }
    }
}

impl Job {
    /// Records where the reshape is, with I/O held back: what was read by the previous geometry behind that is read
    /// no more. `EIO` when superblocks do not say so then, `ENODEV` for an array that was stopped.
    fn record_position(&self) -> Result {
        let mut config = self.array.reconfigure()?;
        config.note_position();
        config.serve();
        let moving = self.moving.as_ref().ok_or(EINVAL)?;
        let position = moving.position();
        if position.safe() == position.progress() {
            Ok(())
        } else {
            Err(EIO)
        }
    }
}

/// How much of a reshape is left, in the sectors a pass counts.
pub(super) fn extent(moving: &Moving) -> (Sector, Sector) {
    let at = |done: Sectors| Sector::new(done.get());
    let reshape = moving.reshape();
    (
        at(reshape.completed(moving.position().progress())),
        at(reshape.common_size()),
    )
}
