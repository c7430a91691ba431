// SPDX-License-Identifier: GPL-2.0

//! The writes of a pass, submitted by a worker.
//!
//! Devices that have memory only copy in whoever submits to them. So the thread of the pass reads on meanwhile.

use super::resync::Step;
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::{impl_has_work, new_work, Work, WorkItem},
};
use kernel_ext::{
    block::{
        bio_set::NewBio,
        parked::{Parked, Was},
        plug::plugged,
    },
    workqueue::OwnedQueue,
};

/// Submits writes. Dropping it waits until all of them are submitted.
pub(super) struct Writer {
    waiting: Arc<Waiting>,
    /// No other pass has this one: a member may be an array whose own pass writes when memory is short.
    queue: OwnedQueue,
}

#[pin_data]
struct Waiting {
    writes: Parked<NewBio<Step>>,
    #[pin]
    work: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Waiting { self.work }
}

impl WorkItem for Waiting {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        plugged(|| this.writes.take_all().for_each(NewBio::submit));
    }
}

impl Writer {
    /// May sleep.
    pub(super) fn new() -> Result<Self> {
        let waiting = Arc::pin_init(
            pin_init!(Waiting {
                writes: Parked::new(),
                work <- new_work!("Writer::work"),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self {
            waiting,
            queue: OwnedQueue::new(c"md_resync")?,
        })
    }

    /// Has a write submitted soon.
    pub(super) fn submit(&self, bio: NewBio<Step>) {
        if self.waiting.writes.push(bio) == Was::Empty {
            // While it is queued already, it has not begun to take what waits.
            let _ = self.queue.enqueue(self.waiting.clone());
        }
    }
}
