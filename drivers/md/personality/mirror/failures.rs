// SPDX-License-Identifier: GPL-2.0

//! Requests that came back with an error.
//!
//! They keep the array from changing, so they are kept apart from it: who changes the array waits for them, while
//! workers and the array's thread deal with them.
//!
//! * Reads: a worker sends them to another copy at once. Another mends the copies that could not be read
//!   ([`mend`](super::mend)): it waits for writes, which may take as long as a member does, and nobody else is to.
//! * Writes: a third finds out block by block what is bad ([`narrow`](super::narrow)), and what is good again. Then
//!   they wait for the array's thread to record what was found.

use super::{mend::Spot, narrow::narrow, read::Read, write::Write};
use crate::{array::live::Live, member::Member};
use kernel::{
    prelude::*,
    sync::{new_mutex, Arc, Mutex},
    workqueue::{impl_has_work, new_work, Work, WorkItem},
};
use kernel_ext::block::{
    fan::Fan,
    parked::{Parked, Taken},
};

/// Requests with errors.
#[pin_data]
pub(crate) struct Failures {
    reads: Parked<Fan<Read>>,
    torn: Parked<Fan<Write>>,
    writes: Parked<Fan<Write>>,
    #[pin]
    spots: Mutex<KVec<Spot>>,
    #[pin]
    reading: Work<Self, 1>,
    #[pin]
    writing: Work<Self, 2>,
    #[pin]
    mending: Work<Self, 3>,
}

impl_has_work! {
    impl HasWork<Self, 1> for Failures { self.reading }
    impl HasWork<Self, 2> for Failures { self.writing }
    impl HasWork<Self, 3> for Failures { self.mending }
}

impl WorkItem<1> for Failures {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        for spot in this.reads.take_all().filter_map(Read::turn_to_next) {
            // It keeps the array until the other worker has it, or does not need it.
            let live = spot.live.clone();
            // Without memory for it the copy stays as it is.
            let _ = this.spots.lock().push(spot, GFP_NOWAIT);
            if let Some(member) = live.members().next() {
                // As below.
                let _ = member.workers().enqueue::<_, 3>(this.clone());
            };
        }
    }
}

impl WorkItem<3> for Failures {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        loop {
            let next = this.spots.lock().pop();
            match next {
                Some(spot) => spot.mend(),
                None => return,
            }
        }
    }
}

impl WorkItem<2> for Failures {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        for fan in this.torn.take_all() {
            Write::heal(&fan);
            let live = fan.live().clone();
            this.park_write(narrow(fan), &live);
        }
    }
}

impl Failures {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                reads: Parked::new(),
                torn: Parked::new(),
                writes: Parked::new(),
                spots <- new_mutex!(KVec::new()),
                reading <- new_work!("Failures::reading"),
                writing <- new_work!("Failures::writing"),
                mending <- new_work!("Failures::mending"),
            }),
            GFP_KERNEL,
        )
    }

    /// A read that failed on `member`. Any context.
    pub(super) fn park_read(self: &Arc<Self>, fan: Fan<Read>, member: &Member) {
        self.reads.push(fan);
        // It is not queued twice; a worker that is at it takes this up, too.
        let _ = member.workers().enqueue::<_, 1>(self.clone());
    }

    /// A write that failed on `member`, or made good what was bad there. Any context.
    pub(super) fn park_torn(self: &Arc<Self>, fan: Fan<Write>, member: &Member) {
        self.torn.push(fan);
        // As above.
        let _ = member.workers().enqueue::<_, 2>(self.clone());
    }

    /// A write that ends when what failed of it is recorded. Any context.
    pub(super) fn park_write(&self, fan: Fan<Write>, live: &Live) {
        self.writes.push(fan);
        live.wake_thread();
    }

    /// The failures behind these writes. Taken before the members' failures and bad blocks are recorded, and settled
    /// after it: a write that fails meanwhile waits for the next record.
    pub(crate) fn take_writes(self: &Arc<Self>) -> Settling {
        Settling {
            writes: self.writes.take_all(),
            failures: self.clone(),
        }
    }
}

/// Writes that end when the failure of their members is recorded.
pub(crate) struct Settling {
    writes: Taken<Fan<Write>>,
    failures: Arc<Failures>,
}

impl Settling {
    /// The failure is recorded. Whether there are writes that have to wait for another record.
    pub(crate) fn settle(self) -> bool {
        let mut any = false;
        for fan in self.writes.filter_map(Write::settle) {
            any = true;
            self.failures.writes.push(fan);
        }
        any
    }
}
