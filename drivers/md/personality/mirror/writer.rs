// SPDX-License-Identifier: GPL-2.0

//! The writes of a pass, submitted by a thread of their own.
//!
//! Devices that have memory only copy in whoever submits to them. So the thread of the pass reads on meanwhile. It is
//! no worker, which would be woken on the CPU of who has something for it, and that one goes on there.

use super::resync::Step;
use core::ffi::CStr;
use kernel::prelude::*;
use kernel_ext::{
    block::{
        bio_set::NewBio,
        parked::{Parked, Was},
        plug::plugged,
    },
    sync::kthread::{Me, Thread, Work},
};

/// Submits writes. Dropping it waits for the thread; what that has not submitted yet is dropped.
pub(super) struct Writer(Thread<Writes>);

struct Writes(Parked<NewBio<Step>>);

impl Work for Writes {
    fn run(&self, _me: &Me) {
        plugged(|| self.0.take_all().for_each(NewBio::submit));
    }
}

impl Writer {
    /// Starts the thread. May sleep.
    pub(super) fn start(name: &CStr) -> Result<Self> {
        Ok(Self(Thread::start(name, Writes(Parked::new()))?))
    }

    /// Has a write submitted soon.
    pub(super) fn submit(&self, bio: NewBio<Step>) {
        if self.0.work().0.push(bio) == Was::Empty {
            // Until it has taken them it will look again.
            self.0.wake();
        }
    }
}
