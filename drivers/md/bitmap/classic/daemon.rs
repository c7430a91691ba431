// SPDX-License-Identifier: GPL-2.0

//! Clearing bits, and the superblock.

use super::{pages::Writing, Classic};
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Full, Relaxed, Release},
    time::msecs_to_jiffies,
};
use kernel_ext::sync::timer::jiffies;
use md_core::{
    bitmap::{
        counter::{Age, ClearedOnMedia, Counter},
        geometry::ChunkSpan,
    },
    format::bitmap::{BitmapSb, StateBits, SB_BYTES},
    state::Health,
    units::{BitmapChunk, Events},
};

/// How often a counter is aged until its bit is cleared, and once more for what ended meanwhile.
const AGES: u32 = 3;

impl Classic {
    /// Runs the daemon if its time has come. May sleep.
    pub(super) fn run_daemon_when_due(&self) {
        if !self.active.load(Acquire) {
            return;
        }
        let sleep = u32::try_from(self.daemon_sleep.load(Relaxed)).unwrap_or(u32::MAX);
        let now = jiffies();
        let passed = now.wrapping_sub(self.daemon_ran.load(Relaxed));
        if passed < msecs_to_jiffies(sleep) {
            return;
        }
        self.daemon_ran.store(now, Relaxed);
        if self.age_all().is_err() {
            kernel::pr_warn_once!("a bitmap could not be written\n");
        }
    }

    /// Ages all counters that are due for it, and clears the bits of those that are old enough. May sleep.
    fn age_all(&self) -> Result {
        // Before the counters are looked at: who sets a bit from now on sets this again.
        self.active.store(false, Release);
        let mut writing = self.pages.writing();
        let clears = self.may_clear().inspect_err(|_| self.stay_active())?;
        if clears {
            // Members that have left may lack what is forgotten now, though nothing was written since they did.
            self.note_synced();
        }
        if self.cleared_due.xchg(false, Full) {
            self.compose_super(&writing);
            self.write(&mut writing).inspect_err(|_| {
                self.cleared_due.store(true, Release);
                self.stay_active();
            })?;
        }
        self.counters.for_each_marked(|chunk, place| {
            let aged = place.update(|counter| match counter.age(ClearedOnMedia::Recorded) {
                Age::Stay => Err(false),
                Age::ClearBit => Err(true),
                Age::Again(next) => Ok((next, ())),
            });
            match aged {
                Err(false) => {}
                Ok(()) => place.look(),
                Err(true) if !clears => place.look(),
                Err(true) => {
                    let Some(chunks) = self.geometry.shared(chunk, place.grain) else {
                        return;
                    };
                    // A write that comes meanwhile keeps its bits.
                    writing.clear(chunks, || {
                        let cleared = place.update(|counter| match counter {
                            Counter::Aged => Ok((Counter::Clear, ())),
                            _ => Err(()),
                        });
                        cleared.is_ok()
                    });
                }
            }
        });
        if self.counters.has_marked() || self.cleared_due.load(Acquire) {
            self.active.store(true, Release);
        }
        self.write(&mut writing).inspect_err(|_| self.stay_active())
    }

    fn stay_active(&self) {
        self.active.store(true, Release);
    }

    /// Whether bits that are old enough may be cleared: all members have what they were about. May sleep.
    ///
    /// While the array is degraded none may: the member that is missing may have had it in its cache alone, and comes
    /// back by the bitmap. An error when a member did not empty its cache.
    fn may_clear(&self) -> Result<bool> {
        if !self.has_old() {
            return Ok(false);
        }
        if self.conditions.health() == Health::Complete {
            self.store.flush_caches()?;
        }
        // It may have become degraded meanwhile, by a member whose failure was not known.
        Ok(self.conditions.health() == Health::Complete)
    }

    /// Whether a bit is about to be cleared.
    fn has_old(&self) -> bool {
        let mut any = false;
        self.counters
            .peek_marked(|counter| any |= counter == Counter::Aged);
        any
    }

    /// Clears what can be cleared, without regard to its age.
    pub(super) fn settle_now(&self) {
        for _ in 0..AGES {
            if self.age_all().is_err() {
                break;
            }
        }
        let mut writing = self.pages.writing();
        self.compose_super(&writing);
        // Members that did not take it have failed.
        let _ = self.write(&mut writing);
    }

    /// Puts the present state of things into the superblock, to be written next. May sleep.
    pub(super) fn compose_super(&self, writing: &Writing<'_>) {
        self.put_super(&self.super_now(), writing);
    }

    /// The superblock of the present state of things.
    pub(super) fn super_now(&self) -> BitmapSb {
        let mut superblock = *self.superblock.lock();
        let events = self.conditions.events();
        let cleared = Events::new(self.cleared.load(Acquire)).min(events);
        self.cleared.store(cleared.get(), Release);
        superblock.events = events;
        superblock.events_cleared = cleared;
        superblock.state = superblock
            .state
            .without(StateBits::STALE)
            .without(StateBits::WRITE_ERROR);
        superblock
    }

    /// Has a superblock written next.
    pub(super) fn put_super(&self, superblock: &BitmapSb, writing: &Writing<'_>) {
        let mut bytes: [u8; SB_BYTES] = self.pages.super_bytes();
        match superblock.encode(&mut bytes) {
            Ok(()) => writing.set_super(&bytes),
            Err(why) => pr_warn!("bitmap superblock: {}\n", crate::log::Text(why)),
        }
    }

    /// A chunk may differ. `EINVAL` beyond the last.
    pub(super) fn need(&self, chunk: BitmapChunk) -> Result {
        let place = self.counters.make(chunk).ok_or(EINVAL)?;
        // It does not fail.
        let _ = place.update(|counter| Ok::<_, core::convert::Infallible>((counter.needed(), ())));
        let shared: Option<ChunkSpan> = self.geometry.shared(chunk, place.grain);
        self.set_bits(shared);
        Ok(())
    }
}
