// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is: arrays that share a disk do not sync at the same time.
//!
//! Passes queue up in one line for all arrays. One goes as soon as none before it has a disk in common with it, so each
//! waits only for those that came earlier, and no two can wait for each other.

use super::Syncing;
use kernel::{
    prelude::*,
    sync::{new_mutex, Arc, Mutex},
};
use kernel_ext::block::major::DeviceNumber;

struct Waiting {
    syncing: Arc<Syncing>,
    /// Whole disks.
    disks: KVec<DeviceNumber>,
}

impl Waiting {
    fn shares_with(&self, other: &Self) -> bool {
        self.disks.iter().any(|disk| other.disks.contains(disk))
    }
}

/// The line.
#[pin_data]
pub(crate) struct Turns {
    #[pin]
    line: Mutex<KVec<Waiting>>,
}

impl Turns {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { line <- new_mutex!(KVec::new()) }),
            GFP_KERNEL,
        )
    }

    /// A pass on these disks queues up; [`Syncing::is_blocked`] says whether it has to wait. May sleep.
    pub(super) fn queue_up(
        this: &Arc<Self>,
        syncing: Arc<Syncing>,
        disks: KVec<DeviceNumber>,
    ) -> Result<Ticket> {
        let waiting = Waiting {
            syncing: syncing.clone(),
            disks,
        };
        let mut line = this.line.lock();
        line.push(waiting, GFP_KERNEL)?;
        look(&line);
        Ok(Ticket {
            turns: this.clone(),
            syncing,
        })
    }
}

/// Tells each pass in the line whether it has to wait.
fn look(line: &[Waiting]) {
    for (at, ticket) in line.iter().enumerate() {
        let mut before = line.iter().take(at);
        let blocked = before.any(|other| other.shares_with(ticket));
        ticket.syncing.set_blocked(blocked);
    }
}

/// A place in the line, until it is dropped. May sleep then.
pub(crate) struct Ticket {
    turns: Arc<Turns>,
    syncing: Arc<Syncing>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.turns.line.lock();
        let ours = line
            .iter()
            .position(|ticket| Arc::ptr_eq(&ticket.syncing, &self.syncing));
        let ticket = ours.and_then(|at| line.remove(at).ok());
        look(&line);
        drop(line);
        self.syncing.set_blocked(false);
        // Its memory is not to be freed under the lock.
        drop(ticket);
    }
}
