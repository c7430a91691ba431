// SPDX-License-Identifier: GPL-2.0

//! Writes whose chunks are not marked on media yet.
//!
//! A worker brings the marks of all that wait to media at once, and submits them. Who comes meanwhile waits for the
//! next turn; a write whose marks are on media never comes here.

use super::write::Write;
use crate::{array::live::Live, bitmap::answer_call, member::Health};
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::{impl_has_work, new_work, Work, WorkItem},
};
use kernel_ext::{
    block::{
        fan::Fan,
        parked::{Parked, Was},
        plug::plugged,
        status::Status,
    },
    sync::gated::Entered,
};

/// Writes that wait for their marks.
#[pin_data]
pub(super) struct Marking {
    writes: Parked<Fan<Write>>,
    #[pin]
    work: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Marking { self.work }
}

impl WorkItem for Marking {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut writes = this.writes.take_all();
        let Some(first) = writes.next() else {
            return;
        };
        // They all belong to the array, which does not change before they have ended.
        let live = first.live().clone();
        let result = mark(&live);
        plugged(|| {
            for write in Iterator::chain(core::iter::once(first), writes) {
                match result {
                    Ok(()) if write.is_marked() => write.submit(),
                    Ok(()) => Self::park(&this, write),
                    Err(_) => write.complete(Status::IO_ERROR),
                }
            }
        });
    }
}

impl Marking {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                writes: Parked::new(),
                work <- new_work!("Marking::work"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has a write wait for its marks. Any context.
    pub(super) fn park(this: &Arc<Self>, write: Fan<Write>) {
        let live = write.live().clone();
        if this.writes.push(write) == Was::Empty {
            live.queue_marking(this.clone());
        }
    }
}

/// Brings to media what was marked before. May sleep.
///
/// When it returns, members that did not take it have failed and that is recorded: their data is not believed, so it
/// does not matter that they have no marks.
fn mark(live: &Entered<Live>) -> Result {
    let result = live.bitmap().map_or(Ok(()), |bitmap| bitmap.write_out());
    let failing = || {
        live.members()
            .any(|member| member.health() == Health::Failing)
    };
    if let Some(bitmap) = live.bitmap() {
        answer_call(live, bitmap);
    }
    if failing() {
        live.wake_thread();
        live.tracking().wait(|| !failing());
    }
    result
}
