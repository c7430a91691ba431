// SPDX-License-Identifier: GPL-2.0

//! Being told that the machine is about to reboot, halt or power off.
//!
//! C header: [`include/linux/reboot.h`](srctree/include/linux/reboot.h)

use crate::bindings;
use kernel::{error::to_result, ffi, prelude::*, sync::Arc, types::Opaque};

/// What is done before the machine goes down.
pub trait Reboot: Send + Sync + 'static {
    /// Runs in task context and may sleep; every further notifier and the reboot itself wait for it.
    fn reboot(&self);
}

/// A registered notifier. Dropping it unregisters, waiting for a running call.
///
/// # Invariants
///
/// `inner` is at a fixed address and its `block` is registered.
pub struct Notifier<T: Reboot> {
    inner: KBox<Inner<T>>,
}

#[repr(C)]
struct Inner<T: Reboot> {
    block: Opaque<bindings::notifier_block>,
    data: Arc<T>,
}

// SAFETY: The block belongs to the notifier chain, which has its own lock; the data is `Send` and `Sync`.
unsafe impl<T: Reboot> Send for Notifier<T> {}
// SAFETY: As above; there are no methods.
unsafe impl<T: Reboot> Sync for Notifier<T> {}

/// Called before notifiers of a smaller number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(i32);

impl Priority {
    /// Before every other notifier.
    pub const FIRST: Self = Self(i32::MAX);
}

impl<T: Reboot> Notifier<T> {
    /// Registers `data`. May sleep.
    pub fn register(data: Arc<T>, priority: Priority) -> Result<Self> {
        let inner = KBox::new(
            Inner {
                block: Opaque::new(bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    next: core::ptr::null_mut(),
                    priority: priority.0,
                }),
                data,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The block is initialised, and boxed, so it stays in place until it is unregistered in `drop`.
        to_result(unsafe { bindings::register_reboot_notifier(inner.block.get()) })?;
        // INVARIANT: Just registered.
        Ok(Self { inner })
    }

    /// # Safety
    ///
    /// Only for `notifier_block.notifier_call`: `block` is the first field of a registered `Inner<T>`.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        _event: ffi::c_ulong,
        _command: *mut ffi::c_void,
    ) -> ffi::c_int {
        // SAFETY: `block` is the first field of `Inner`, which is `repr(C)` and alive while registered.
        let inner = unsafe { &*block.cast::<Inner<T>>() };
        inner.data.reboot();
        0 // NOTIFY_DONE
    }
}

impl<T: Reboot> Drop for Notifier<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the block is registered. The call only fails for one that is not.
        unsafe { bindings::unregister_reboot_notifier(self.inner.block.get()) };
    }
}
