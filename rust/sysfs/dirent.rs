// SPDX-License-Identifier: GPL-2.0

//! The directory entry of one attribute, kept so that pollers can be told of a change from any context.
//!
//! C header: [`include/linux/kernfs.h`](srctree/include/linux/kernfs.h)

use crate::bindings;
use core::{ffi::CStr, ptr::NonNull};
use kernel::str::CStrExt as _;

/// A reference to an attribute's directory entry. It outlives the file, so a late notification is harmless.
///
/// # Invariants
///
/// The pointer is to a live `kernfs_node` of which this value owns one reference.
pub struct Dirent(NonNull<bindings::kernfs_node>);

// SAFETY: References to kernfs nodes may be used and put from any context.
unsafe impl Send for Dirent {}
// SAFETY: `notify` is thread-safe.
unsafe impl Sync for Dirent {}

impl Dirent {
    /// # Safety
    ///
    /// `directory` must be a live kernfs directory.
    pub(super) unsafe fn find(directory: *mut bindings::kernfs_node, name: &CStr) -> Option<Self> {
        // SAFETY: The directory is alive by the precondition; no namespace is asked for.
        let node = unsafe {
            bindings::kernfs_find_and_get_ns(directory, name.as_char_ptr(), core::ptr::null())
        };
        // INVARIANT: `kernfs_find_and_get_ns` returns a counted reference or null.
        NonNull::new(node).map(Self)
    }

    /// Wakes who polls the attribute (`POLLPRI`). Any context, with any lock held.
    pub fn notify(&self) {
        // SAFETY: By the type invariant the node is alive.
        unsafe { bindings::kernfs_notify(self.0.as_ptr()) };
    }
}

impl Drop for Dirent {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns one reference.
        unsafe { bindings::kernfs_put(self.0.as_ptr()) };
    }
}
