// SPDX-License-Identifier: GPL-2.0

//! What user space is told of a lockless bitmap, and what it may set.

use super::{load::has_parity, Lockless};
use core::num::NonZeroU32;
use kernel::{
    prelude::*,
    sync::atomic::{Full, Relaxed},
};
use md_core::{
    bitmap::cell::Action,
    words::bitmap::{LlbitmapBits, LlbitmapMetadata},
};

impl Lockless {
    /// How many chunks are in each state.
    pub(crate) fn bits(&self) -> LlbitmapBits {
        let mut bits = LlbitmapBits::default();
        for page in &self.core.pages {
            for at in page.held() {
                let state = usize::from(page.cell(at).to_byte());
                if let Some(count) = bits.chunks.get_mut(state) {
                    *count += 1;
                }
            }
        }
        bits
    }

    /// Its shape.
    pub(crate) fn metadata(&self) -> LlbitmapMetadata {
        let geometry = &self.core.geometry;
        LlbitmapMetadata {
            chunksize: geometry.chunk().length(),
            chunkshift: geometry.chunk().get(),
            chunks: geometry.chunks(),
            offset: self.core.offset,
            daemon_sleep: self.daemon_sleep(),
        }
    }

    /// The daemon's period in seconds.
    pub(crate) fn daemon_sleep(&self) -> u32 {
        self.core.daemon_sleep.load(Relaxed)
    }

    /// Sets the daemon's period, in force at once. It is recorded with the next superblock.
    pub(crate) fn set_daemon_sleep(&self, seconds: NonZeroU32) {
        self.core.daemon_sleep.store(seconds.get(), Relaxed);
        if self.core.next.xchg(0, Full) != 0 {
            self.core.arm();
            self.daemon.wake();
        }
    }

    /// Seconds after the last write to a page before its cells may become clean.
    pub(crate) fn barrier_idle(&self) -> u32 {
        self.core.barrier_idle.load(Relaxed)
    }

    /// Sets that time, in force for pages that are used from now on.
    pub(crate) fn set_barrier_idle(&self, seconds: NonZeroU32) {
        self.core.barrier_idle.store(seconds.get(), Relaxed);
        let jiffies = super::seconds(seconds.get());
        self.core.barrier_idle_jiffies.store(jiffies, Relaxed);
    }

    /// Asks for parity to be built ahead of the first writes. `EINVAL` for an array of copies.
    pub(crate) fn proactive_sync(&self) -> Result {
        if !has_parity(self.core.redundancy) {
            return Err(EINVAL);
        }
        let asked = self
            .core
            .act(self.core.geometry.all(), Action::ProactiveSync);
        self.answer(asked);
        Ok(())
    }
}
