// SPDX-License-Identifier: GPL-2.0

//! The devices below an array.
//!
//! [`Member`] is what I/O uses: it keeps the device open. What the array knows of a member is an
//! [`Entry`](entry::Entry) of its configuration.

pub(crate) mod bad_blocks;
pub(crate) mod entry;
mod errors;
pub(crate) mod extent;
pub(crate) mod marks;
pub(crate) mod superblock;

use crate::array::Array;
use errors::Errors;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Release},
        Arc,
    },
    workqueue::Queue,
};
use kernel_ext::block::{
    badblocks::BadBlocks,
    bdev::{BlockDevice, ClaimedDevice, Target},
};
use marks::Mark;
use md_core::{units::Sector, words::mdstat::Reads};

/// A device that belongs to an array.
#[pin_data]
pub(crate) struct Member {
    /// The array.
    pub(crate) array: Arc<Array>,
    device: Arc<ClaimedDevice>,
    health: Atomic<u32>,
    marks: Atomic<u32>,
    valid_below: Atomic<u64>,
    #[pin]
    bad_blocks: BadBlocks,
    #[pin]
    errors: Errors,
}

/// Whether a member can be used, as I/O sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It can.
    Working,
    /// It has failed, and the survivors' superblocks do not say so yet: writes wait for that.
    Failing,
    /// It has failed.
    Failed,
}

impl Member {
    fn new(array: Arc<Array>, device: Arc<ClaimedDevice>) -> Result<Arc<Self>> {
        let this = Arc::pin_init(
            try_pin_init!(Self {
                array,
                device,
                health: Atomic::new(Health::Working as u32),
                marks: Atomic::new(0),
                valid_below: Atomic::new(0),
                bad_blocks <- BadBlocks::new(),
                errors <- Errors::new(),
            }? Error),
            GFP_KERNEL,
        )?;
        // Until a log is found there is nowhere to record what is bad.
        this.bad_blocks.set_shift(None);
        Ok(this)
    }

    /// Who does what cannot be done where it is found to be needed.
    pub(crate) fn workers(&self) -> &Queue {
        self.array.registry.workers()
    }

    /// Whether it can be used. Any context.
    #[inline]
    pub(crate) fn health(&self) -> Health {
        // Acquire: pairs with `set_health`; who sees that a failure is recorded goes on after the record.
        match self.health.load(Acquire) {
            word if word == Health::Working as u32 => Health::Working,
            word if word == Health::Failing as u32 => Health::Failing,
            _ => Health::Failed,
        }
    }

    /// Whether writes to it wait: for its failure to be recorded, or for whoever blocked it.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        match self.health() {
            Health::Working => self.has(Mark::Blocked),
            Health::Failing => true,
            Health::Failed => false,
        }
    }

    /// I/O failed: the array's thread decides what becomes of the member. Any context.
    pub(crate) fn report_failure(&self) {
        // Full: what the caller found is seen by the thread. A member that has failed already stays as it is.
        let _ = self
            .health
            .cmpxchg(Health::Working as u32, Health::Failing as u32, Full);
    }

    /// Has the array's thread look after the array, if it runs and nobody holds its I/O back. Any context.
    pub(crate) fn wake_thread(&self) {
        self.array.wake_thread();
    }

    /// The configuration decided.
    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(health as u32, Release);
    }

    /// Up to where its data is valid; [`Sector::MAX`] when it is in sync.
    #[inline]
    pub(crate) fn valid_below(&self) -> Sector {
        Sector::new(self.valid_below.load(Acquire))
    }

    /// Its data has become valid up to there.
    pub(crate) fn set_valid_below(&self, upto: Sector) {
        // Release: the data is there for who sees it.
        self.valid_below.store(upto.get(), Release);
    }

    /// Whether it is read only when nothing else can be.
    pub(crate) fn reads(&self) -> Reads {
        if self.has(Mark::WriteMostly) {
            Reads::WriteMostly
        } else {
            Reads::Normal
        }
    }

    /// The array it belongs to has a say in how it is read.
    pub(crate) fn set_reads(&self, reads: Reads) {
        self.mark(Mark::WriteMostly, reads == Reads::WriteMostly);
    }
}

impl Target for Member {
    #[inline]
    fn device(&self) -> &BlockDevice {
        &self.device
    }
}
