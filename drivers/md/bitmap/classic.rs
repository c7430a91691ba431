// SPDX-License-Identifier: GPL-2.0

//! The classic bitmap: a bit for each chunk on media, and a counter in memory that says when it may be cleared.
//!
//! A write sets the bit of a chunk whose counter is zero and waits until media have it; a write to a chunk whose bit
//! media have waits for nothing. The daemon clears bits two of its periods after the last write.
//!
//! # Ordering
//!
//! * A bit is set on media before its chunk is written to: [`pages`].
//! * What was written is durable on all members before a bit is cleared on any.
//! * The superblock says up to which event bits were cleared before any of them is.

mod counters;
mod daemon;
mod load;
mod pages;
mod resize;

use super::{
    store::Store, Backend, Carrier, Conditions, Hold, Outcome, Setting, Started, Stats, SyncAnswer,
};
use counters::Counters;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc, SpinLock,
    },
    time::Jiffies,
};
use kernel_ext::{alloc::mempool::Wait, sync::wait::WaitQueue};
use md_core::{
    bitmap::{
        classic::Geometry,
        counter::{self, events_cleared, Daemon, StartWrite, Sync, Waiters},
        geometry::ChunkSpan,
    },
    format::bitmap::BitmapSb,
    units::{BitmapChunk, Events, Sector, SectorRange, Sectors},
    words::{
        bitmap::{BitmapKind, TimeBase},
        mdstat::Reads,
    },
};
use pages::{Pages, Place, Writing};

/// What a pass is told beyond the end of the array.
const BEYOND: SyncAnswer = SyncAnswer {
    needed: false,
    sectors: Sectors::new(8),
};

/// A classic bitmap.
pub(crate) struct Classic {
    conditions: Conditions,
    geometry: Geometry,
    counters: Counters,
    pages: Pages,
    store: Store,
    /// What its superblock says, but for the events.
    superblock: Pin<KBox<SpinLock<BitmapSb>>>,
    /// The event count when a bit was last cleared.
    cleared: Atomic<u64>,
    /// That count is not on media yet.
    cleared_due: Atomic<bool>,
    /// There are counters that are not clear, so the daemon is to run.
    active: Atomic<bool>,
    daemon_ran: Atomic<Jiffies>,
    /// Milliseconds.
    daemon_sleep: Atomic<u64>,
    /// Who waits for room in a counter.
    overflow: Pin<KBox<WaitQueue>>,
    /// Up to where the pass under way has cleared needs.
    checkpoint: Atomic<u64>,
    /// How many writes may be behind on write-mostly members.
    backlog: Atomic<u32>,
    /// The most writes that were behind on write-mostly members.
    most_behind: Atomic<u32>,
}

impl Classic {
    /// Marks one chunk for a write. `EAGAIN` when that must not wait and would.
    fn start_chunk(&self, chunk: BitmapChunk, wait: Wait) -> Result {
        loop {
            let place = match wait {
                Wait::Yes => self.counters.make(chunk).ok_or(EINVAL)?,
                Wait::No => self.counters.find(chunk).ok_or(EAGAIN)?,
            };
            let started = place.update(|counter| match counter.start_write() {
                StartWrite::Wait => Err(()),
                StartWrite::Go(next) => Ok((next, false)),
                StartWrite::SetBits(next) => Ok((next, true)),
            });
            match started {
                Ok(false) => return Ok(()),
                Ok(true) => {
                    self.set_bits(self.geometry.shared(chunk, place.grain));
                    return Ok(());
                }
                Err(()) if wait == Wait::No => return Err(EAGAIN),
                Err(()) => {
                    let has_room = || !matches!(place.load().start_write(), StartWrite::Wait);
                    self.overflow.wait_io(has_room);
                }
            }
        }
    }

    fn set_bits(&self, chunks: Option<ChunkSpan>) {
        for chunk in chunks.iter().flat_map(|span| span.iter()) {
            self.pages.set(chunk);
        }
        self.activate();
    }

    /// Brings to media what is due, or all of it if they hold something else. May sleep.
    ///
    /// `EIO` when no member in sync took it; it stays due then, as with `ENOMEM`.
    fn write(&self, writing: &mut Writing<'_>) -> Result {
        if writing.place() == Place::Displaced {
            self.come_back(writing)?;
        }
        writing.write(&self.store)
    }

    /// There is something for the daemon.
    fn activate(&self) {
        if !self.active.load(Relaxed) {
            self.active.store(true, Release);
            self.conditions.call_thread();
        }
    }

    fn end_chunk(&self, chunk: BitmapChunk) {
        let health = self.conditions.health();
        let ended = self.counters.find(chunk).map(|place| {
            let ended = place.update(|counter| {
                let end = counter.end_write(health)?;
                Ok::<_, counter::NoWriteInFlight>((end.counter, (end.daemon, end.waiters)))
            });
            if matches!(ended, Ok((Daemon::Look, _))) {
                place.look();
            }
            ended
        });
        match ended {
            Some(Ok((_, Waiters::Wake))) => self.overflow.wake_all(),
            Some(Ok((_, Waiters::None))) | None => {}
            Some(Err(why)) => kernel::pr_warn_once!("{}\n", crate::log::Text(why)),
        }
    }

    /// A write that all members have ended: those older than this can be brought up to date no more, once bits are
    /// cleared.
    fn note_events(&self) {
        let (events, health) = (self.conditions.events(), self.conditions.health());
        let cleared = Events::new(self.cleared.load(Relaxed));
        if let Some(now) = events_cleared(cleared, events, health) {
            self.cleared.store(now.get(), Release);
            self.cleared_due.store(true, Release);
        }
    }

    fn end_sync_chunk(&self, chunk: BitmapChunk, outcome: counter::Outcome) {
        if let Some(place) = self.counters.find(chunk) {
            let ended = place.update(|counter| match counter.end_sync(outcome) {
                (next, _) if next == counter => Err(()),
                answer => Ok(answer),
            });
            if ended.is_ok() && outcome == counter::Outcome::Done {
                self.note_synced();
            }
            if ended == Ok(Daemon::Look) {
                place.look();
                self.activate();
            }
        }
    }

    /// What a chunk needed is forgotten: those that have left before now cannot be brought up to date any more. The
    /// place of one may be somebody else's.
    fn note_synced(&self) {
        let events = self.conditions.events().get();
        if self.cleared.load(Relaxed) < events {
            self.cleared.store(events, Release);
            self.cleared_due.store(true, Release);
        }
    }

    /// From where on chunks are of no interest: the last one there is, if there is one.
    fn chunks_below(&self, upto: Sector) -> u64 {
        match self.geometry.chunk_of(upto) {
            Some(chunk) => chunk.get(),
            None => self.geometry.chunks(),
        }
    }

    /// How often the daemon runs.
    pub(crate) fn time_base(&self) -> TimeBase {
        TimeBase::from_ms(self.daemon_sleep.load(Relaxed))
    }

    /// Changes how often the daemon runs; the array's thread is to be woken, so that it does from now on.
    pub(crate) fn set_time_base(&self, time: TimeBase) {
        self.daemon_sleep.store(time.ms(), Relaxed);
        if let Ok(seconds) = time.to_stored_seconds().try_into() {
            self.superblock.lock().daemon_sleep_s = seconds;
        }
    }

    /// The length of a chunk.
    pub(crate) fn chunk(&self) -> Sectors {
        self.geometry.chunk().length()
    }

    /// What is kept for it on members.
    pub(crate) fn space(&self) -> Sectors {
        self.superblock.lock().reserved
    }

    /// Says what is kept for it on members. `EFBIG` when it needs more.
    pub(crate) fn set_space(&self, space: Sectors) -> Result {
        if space < Sectors::from_bytes_ceil(self.geometry.bytes()) {
            return Err(EFBIG);
        }
        self.superblock.lock().reserved = space;
        Ok(())
    }

    /// How many writes may be behind.
    pub(crate) fn backlog(&self) -> u32 {
        self.backlog.load(Relaxed)
    }

    /// Says how many writes may be behind. `EINVAL` without a member that may be.
    pub(crate) fn set_backlog(&self, writes: u32) -> Result {
        let may_be = |carrier: &Carrier| carrier.member.reads() == Reads::WriteMostly;
        if writes != 0 && !self.store.has_carrier(may_be) {
            return Err(EINVAL);
        }
        self.superblock.lock().write_behind = writes;
        self.backlog.store(writes, Relaxed);
        Ok(())
    }

    /// The most writes that were behind.
    pub(crate) fn most_behind(&self) -> u32 {
        self.most_behind.load(Relaxed)
    }

    /// Counts anew what the most is.
    pub(crate) fn forget_most_behind(&self) {
        self.most_behind.store(0, Relaxed);
    }

    /// Whether bits may be cleared: not once the superblock would have to be written first.
    pub(crate) fn can_clear(&self) -> bool {
        !self.cleared_due.load(Acquire)
    }

    /// Says whether bits may be cleared. `EBUSY` while a member is missing.
    pub(crate) fn set_can_clear(&self, can_clear: bool) -> Result {
        if !can_clear {
            self.cleared_due.store(true, Release);
            return Ok(());
        }
        match self.conditions.health() {
            md_core::state::Health::Degraded => Err(EBUSY),
            md_core::state::Health::Complete => {
                self.cleared.store(self.conditions.events().get(), Release);
                self.cleared_due.store(false, Release);
                Ok(())
            }
        }
    }
}

impl Backend for Classic {
    fn kind(&self) -> BitmapKind {
        BitmapKind::Bitmap
    }

    fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    fn backlog(&self) -> u32 {
        Self::backlog(self)
    }

    fn note_behind(&self, writes: u32) {
        // A peak that two tasks find at a time may be noted too low: it is only shown.
        if writes > self.most_behind() {
            self.most_behind.store(writes, Relaxed);
        }
    }

    fn start_write(&self, range: SectorRange, wait: Wait) -> Result<Started> {
        let chunks = self.geometry.touched(range);
        let each = || chunks.iter().flat_map(|span| span.iter());
        for (started, chunk) in each().enumerate() {
            let result = self.start_chunk(chunk, wait);
            if result.is_err() {
                each().take(started).for_each(|chunk| self.end_chunk(chunk));
            }
            result?;
        }
        Ok(Started {
            hold: Hold::Marks,
            on_media: self.is_on_media(range),
        })
    }

    fn is_on_media(&self, range: SectorRange) -> bool {
        let chunks = self.geometry.touched(range);
        let mut chunks = chunks.iter().flat_map(|span| span.iter());
        chunks.all(|chunk| self.pages.is_there(chunk))
    }

    fn end_write(&self, range: SectorRange) {
        self.note_events();
        let chunks = self.geometry.touched(range);
        for chunk in chunks.iter().flat_map(|span| span.iter()) {
            self.end_chunk(chunk);
        }
    }

    fn write_out(&self) -> Result {
        self.write(&mut self.pages.writing())
    }

    fn begin_pass(&self, _action: md_core::state::pass::Action) {
        self.checkpoint.store(0, Relaxed);
    }

    fn start_sync(&self, at: Sector) -> SyncAnswer {
        let Some(chunk) = self.geometry.chunk_of(at) else {
            return BEYOND;
        };
        let length = self.chunk().get();
        let sectors = Sectors::new(length - (at.get() & length.wrapping_sub(1)));
        let place = self.counters.find(chunk);
        let (slots, array) = (self.conditions.slots(), self.conditions.health());
        let needed = place.is_some_and(|place| {
            let started = place.update(|counter| match counter.start_sync(slots, array) {
                (next, sync) if next == counter => Err(sync),
                answer => Ok(answer),
            });
            started.unwrap_or_else(|sync| sync) == Sync::Needed
        });
        SyncAnswer { needed, sectors }
    }

    fn end_sync(&self, range: SectorRange, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Done => counter::Outcome::Done,
            Outcome::Aborted => counter::Outcome::Aborted,
        };
        let chunks = self.geometry.touched(range);
        for chunk in chunks.iter().flat_map(|span| span.iter()) {
            self.end_sync_chunk(chunk, outcome);
        }
    }

    fn checkpoint(&self, upto: Sector) {
        let end = self.chunks_below(upto);
        let done = self.checkpoint.xchg(end, Full);
        for chunk in done..end {
            self.end_sync_chunk(BitmapChunk::new(chunk), counter::Outcome::Done);
        }
    }

    fn end_pass(&self) {
        self.counters
            .for_each(|chunk, _| self.end_sync_chunk(chunk, counter::Outcome::Done));
    }

    fn daemon(&self) {
        self.run_daemon_when_due();
    }

    fn daemon_due(&self) -> Option<u64> {
        self.active
            .load(Acquire)
            .then(|| self.daemon_sleep.load(Relaxed))
    }

    fn update_super(&self) {
        let mut writing = self.pages.writing();
        self.compose_super(&writing);
        // Members that did not take it have failed, which is recorded next.
        let _ = self.write(&mut writing);
    }

    fn set_carriers(&self, carriers: KVec<Carrier>) {
        if self.store.set_carriers(carriers).is_err() {
            pr_warn!("no memory for the members of a bitmap\n");
        }
    }

    fn write_all(&self) {
        self.pages.touch_all();
        // Members that did not take it have failed.
        let _ = self.write_out();
    }

    fn settle(&self) {
        self.settle_now();
    }

    fn length(&self) -> Sectors {
        Sectors::from_bytes_ceil(self.geometry.bytes())
    }

    fn chunk(&self) -> Sectors {
        Self::chunk(self)
    }

    fn chunks(&self) -> u64 {
        self.geometry.chunks()
    }

    fn mark_dirty(&self, first: u64, last: u64) -> Result {
        let span = ChunkSpan::new(BitmapChunk::new(first), BitmapChunk::new(last));
        let span = span
            .filter(|_| last < self.geometry.chunks())
            .ok_or(EINVAL)?;
        for chunk in span.iter() {
            self.need(chunk)?;
        }
        self.write_out()
    }

    fn stats(&self) -> Option<Stats> {
        Some(Stats {
            used_pages: self.counters.used_pages(),
            pages: self.geometry.counter_pages(),
            chunk: self.chunk(),
        })
    }

    fn events_cleared(&self) -> Events {
        Events::new(self.cleared.load(Acquire))
    }

    fn forget_absent(&self) {
        self.note_synced();
    }

    fn resized(&self, setting: Setting<'_>) -> Result<Arc<dyn Backend>> {
        Ok(self.for_size(setting)?)
    }

    fn supersede(&self, old: &dyn Backend) -> Result {
        self.take_place(old.classic().ok_or(EINVAL)?)
    }

    fn classic(&self) -> Option<&Classic> {
        Some(self)
    }
}
