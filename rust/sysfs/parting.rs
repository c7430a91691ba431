// SPDX-License-Identifier: GPL-2.0

//! Files that leave an object which stays, when whoever decides it has no lock any more.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use super::{AsKobject, Group, Kobject, Payload, RawKobject};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::sync::Arc;

/// The files of a group that are to be removed. Dropping it removes them, waiting for their running functions: the
/// caller must hold no lock that one of them takes. May sleep.
///
/// It keeps the memory of the object, but not its directory: that is to stay meanwhile.
///
/// # Invariants
///
/// The pointer is to a live kernel object with payload `T`, of which this value owns one reference.
pub struct Parting<T: Payload> {
    object: NonNull<bindings::kobject>,
    group: &'static Group<T>,
    _payload: PhantomData<Arc<T>>,
}

// SAFETY: Kernel objects may be used and released from any task; the payload is `Send` and `Sync` by its bound.
unsafe impl<T: Payload> Send for Parting<T> {}

impl<T: Payload> Kobject<T> {
    /// Takes the files of `group` away when the value is dropped.
    pub fn part_with(&self, group: &'static Group<T>) -> Parting<T> {
        let RawKobject(object) = self.as_kobject();
        // SAFETY: `self` owns a reference, so the object is alive; the call counts another.
        unsafe { bindings::kobject_get(object) };
        // INVARIANT: The reference that was just counted is this value's.
        Parting {
            // SAFETY: The object that a `Kobject` stands for is not null.
            object: unsafe { NonNull::new_unchecked(object) },
            group,
            _payload: PhantomData,
        }
    }
}

impl<T: Payload> Drop for Parting<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the object is alive; the group is static. Without a directory, or without the
        // files, the call only warns.
        unsafe { bindings::sysfs_remove_group(self.object.as_ptr(), self.group.as_raw()) };
        // SAFETY: By the type invariant this value owns one reference, given back here.
        unsafe { bindings::kobject_put(self.object.as_ptr()) };
    }
}
