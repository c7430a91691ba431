// SPDX-License-Identifier: GPL-2.0

//! Requests that came back with an error and wait for the array's thread.
//!
//! They keep the array from changing, so they are kept apart from it: who changes the array waits for them, while the
//! thread works on them.

use super::{read::Read, write::Write};
use crate::array::live::Live;
use kernel::{prelude::*, sync::Arc};
use kernel_ext::block::{fan::Fan, parked::Parked};

/// Requests with errors.
pub(crate) struct Failures {
    reads: Parked<Fan<Read>>,
    writes: Parked<Fan<Write>>,
}

impl Failures {
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                reads: Parked::new(),
                writes: Parked::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Any context.
    pub(super) fn park_read(&self, fan: Fan<Read>, live: &Live) {
        self.reads.push(fan);
        live.wake_thread();
    }

    /// Any context.
    pub(super) fn park_write(&self, fan: Fan<Write>, live: &Live) {
        self.writes.push(fan);
        live.wake_thread();
    }

    /// The failures behind these writes. Taken before the members' failures are recorded, and settled after it: a
    /// write that fails meanwhile waits for the next record.
    pub(crate) fn take_writes(&self) -> Settling {
        Settling(self.writes.take_all())
    }

    /// Reads from other copies. May sleep.
    pub(crate) fn retry_reads(&self) {
        for fan in self.reads.take_all() {
            Read::retry(fan);
        }
    }
}

/// Writes that end when the failure of their members is recorded.
pub(crate) struct Settling(kernel_ext::block::parked::Taken<Fan<Write>>);

impl Settling {
    /// The failure is recorded.
    pub(crate) fn settle(self) {
        for fan in self.0 {
            Write::settle(fan);
        }
    }
}
