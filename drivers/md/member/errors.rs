// SPDX-License-Identifier: GPL-2.0

//! The read errors of a member: how many were mended, and whether it errs too often.

use super::Member;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        new_spinlock, SpinLock,
    },
    time::{Instant, Monotonic},
};
use md_core::policy::{Millis, ReadErrorVerdict, ReadErrors};

/// What is counted of read errors.
#[pin_data]
pub(super) struct Errors {
    /// Sectors that were mended, since the array was made.
    corrected: Atomic<u32>,
    #[pin]
    recent: SpinLock<ReadErrors>,
    since: Instant<Monotonic>,
}

impl Errors {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            corrected: Atomic::new(0),
            recent <- new_spinlock!(ReadErrors::NONE),
            since: Instant::now(),
        })
    }
}

impl Member {
    /// The sectors that were mended after read errors (`errors`).
    pub(crate) fn corrected(&self) -> u32 {
        self.errors.corrected.load(Relaxed)
    }

    /// So many sectors were mended since the array was made.
    pub(crate) fn set_corrected(&self, sectors: u32) {
        self.errors.corrected.store(sectors, Relaxed);
    }

    /// So many more sectors were mended.
    pub(crate) fn add_corrected(&self, sectors: u32) {
        self.errors.corrected.fetch_add(sectors, Relaxed);
    }

    /// Counts a read error; `max` is `max_read_errors`. Not in an interrupt.
    pub(crate) fn count_read_error(&self, max: u32) -> ReadErrorVerdict {
        let age = self.errors.since.elapsed().as_millis();
        let now = Millis(u64::try_from(age).unwrap_or(0));
        self.errors.recent.lock().record(now, max)
    }
}
