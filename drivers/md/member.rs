// SPDX-License-Identifier: GPL-2.0

//! The devices below an array.
//!
//! [`Member`] is what I/O uses: it keeps the device open. What the array knows of a member is an
//! [`Entry`](entry::Entry) of its configuration.

pub(crate) mod entry;
pub(crate) mod superblock;

use crate::array::Array;
use kernel::sync::Arc;
use kernel_ext::block::bdev::{BlockDevice, ClaimedDevice, Target};

/// A device that belongs to an array.
pub(crate) struct Member {
    /// The array.
    pub(crate) array: Arc<Array>,
    device: Arc<ClaimedDevice>,
}

impl Target for Member {
    #[inline]
    fn device(&self) -> &BlockDevice {
        &self.device
    }
}
