// SPDX-License-Identifier: GPL-2.0

//! An array's presence in the system: its disk, and the `md/` directory of that.

use super::Array;
use core::fmt;
use kernel::{
    prelude::*,
    str::CString,
    sync::{new_mutex, Arc, Completion, Mutex},
};
use kernel_ext::{
    block::disk::{Disk, DiskRef, Numbers, ReadOnly},
    sysfs::{Dirent, Kobject, Uevent},
};

/// The disk and what hangs below it. Dropping it removes both; the directory goes first.
pub(crate) struct Node {
    directory: Kobject<Array>,
    disk: Disk<Array>,
}

impl Node {
    /// On an error the disk that was made comes back: its removal waits for a running open.
    fn create(
        numbers: Numbers,
        name: fmt::Arguments<'_>,
        array: Arc<Array>,
    ) -> Result<Self, (Error, Option<Disk<Array>>)> {
        let disk = Disk::add(numbers, name, array.clone()).map_err(|error| (error, None))?;
        match Kobject::add(&disk, c"md", array) {
            Ok(directory) => {
                directory.uevent(Uevent::Add);
                Ok(Self { directory, disk })
            }
            Err(error) => Err((error, Some(disk))),
        }
    }
}

/// Where the node is, once it was created and until it is removed.
#[pin_data]
pub(crate) struct Place {
    #[pin]
    node: Mutex<Option<Node>>,
    /// Who polls `array_state`; by itself, as the array's thread must not wait for `node`.
    #[pin]
    state: Mutex<Option<Dirent>>,
    /// The node is complete, or will never be.
    #[pin]
    created: Completion,
}

impl Place {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            node <- new_mutex!(None),
            state <- new_mutex!(None),
            created <- Completion::new(),
        })
    }

    /// Creates the node. May sleep. Whoever opens the disk meanwhile waits in [`Place::await_creation`], so nobody
    /// sees the disk without its directory.
    pub(super) fn create(
        &self,
        numbers: Numbers,
        name: fmt::Arguments<'_>,
        array: Arc<Array>,
    ) -> Result {
        let mut node = self.node.lock();
        let created = Node::create(numbers, name, array);
        self.created.complete_all();
        let created = match created {
            Ok(created) => created,
            Err((error, leftover)) => {
                // The disk's removal waits for whoever opens it: not under the lock.
                drop(node);
                drop(leftover);
                return Err(error);
            }
        };
        *self.state.lock() = created.directory.dirent(c"array_state");
        *node = Some(created);
        Ok(())
    }

    /// Waits until the node is complete. Not by its lock, which is held while members are opened: who opens the disk
    /// has a lock of the same kind as theirs.
    pub(crate) fn await_creation(&self) {
        self.created.wait_for_completion();
    }

    /// Takes the node out, so that it can be dropped without any lock held.
    pub(super) fn take(&self) -> Option<Node> {
        self.node.lock().take()
    }

    /// Does something with the disk, if it is there. May sleep.
    pub(crate) fn with_disk<R>(&self, act: impl FnOnce(&DiskRef) -> R) -> Option<R> {
        self.node.lock().as_ref().map(|node| act(&node.disk))
    }

    /// Does something with the `md/` directory, if it is there. May sleep.
    pub(crate) fn with_directory<R>(&self, act: impl FnOnce(&Kobject<Array>) -> R) -> Option<R> {
        self.node.lock().as_ref().map(|node| act(&node.directory))
    }

    /// Does something with the disk and the `md/` directory, if they are there. May sleep.
    pub(crate) fn with_both<R>(
        &self,
        act: impl FnOnce(&DiskRef, &Kobject<Array>) -> R,
    ) -> Option<R> {
        let node = self.node.lock();
        node.as_ref().map(|node| act(&node.disk, &node.directory))
    }

    /// The array's name; `None` once it is removed.
    pub(crate) fn name(&self) -> Option<CString> {
        self.with_disk(|disk| CString::try_from(disk.name()).ok())
            .flatten()
    }

    /// Does something with the array's name; nothing once it is removed.
    pub(crate) fn with_name(&self, act: impl FnOnce(&str)) {
        self.with_disk(|disk| act(disk.name().to_str().unwrap_or("md?")));
    }

    /// Makes the disk read-only or writable.
    pub(crate) fn set_read_only(&self, to: ReadOnly) {
        self.with_disk(|disk| disk.set_read_only(to));
    }

    pub(super) fn notify_state(&self) {
        if let Some(state) = &*self.state.lock() {
            state.notify();
        }
    }
}
