// SPDX-License-Identifier: GPL-2.0

//! Plugs: what a task submits is held back until it has submitted all, so that it can be handled together.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::parked::{Linked, Parked, Taken};
use crate::bindings;
use kernel::{sync::Arc, types::Opaque};

/// Runs `f` with a plug, so that lower devices see the bios that it submits together.
pub fn plugged<T>(f: impl FnOnce() -> T) -> T {
    let plug = Opaque::<bindings::blk_plug>::uninit();
    // SAFETY: `plug` is memory for a plug, stays where it is, and is finished below by the same task.
    unsafe { bindings::blk_start_plug(plug.get()) };
    let result = f();
    // SAFETY: Started above.
    unsafe { bindings::blk_finish_plug(plug.get()) };
    result
}

/// Why a plug is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The task has submitted all, or there is enough.
    Done,
    /// The task is about to sleep: what is done now must not sleep.
    Schedule,
}

/// Somebody for whom tasks hold back bios.
pub trait Unplug: Send + Sync + Sized + 'static {
    /// What is held back.
    type Item: Linked + Send;

    /// Takes up what a task held back, in the order in which it came.
    fn unplug(this: Arc<Self>, items: Taken<Self::Item>, reason: Reason);
}

/// What a plug holds back for one owner. All zeroes is a valid value.
#[repr(C)]
struct Held<U: Unplug> {
    callback: bindings::blk_plug_cb,
    owner: Option<Arc<U>>,
    items: Parked<U::Item>,
    count: u32,
}

/// Holds back `item` until the current task's plug is pulled, or `limit` items are held back for the same owner.
/// Gives `item` back when there is no plug, or no memory.
pub fn hold_back<U: Unplug>(owner: &Arc<U>, item: U::Item, limit: u32) -> Result<(), U::Item> {
    let key: *const U = &**owner;
    // The size of a structure fits.
    let size = size_of::<Held<U>>() as core::ffi::c_int;
    // SAFETY: The function frees the memory; the size is that of a structure that starts with the callback.
    let raw =
        unsafe { bindings::blk_check_plugged(Some(pulled::<U>), key.cast_mut().cast(), size) };
    if raw.is_null() {
        return Err(item);
    }
    let held = raw.cast::<Held<U>>();
    // SAFETY: The memory is zeroed when it is new, else it is what we left; plugs are used by their own task only,
    // which does not sleep before the end of this function.
    let full = unsafe {
        if (*held).owner.is_none() {
            (*held).owner = Some(owner.clone());
        }
        (*held).items.push(item);
        (*held).count += 1;
        (*held).count >= limit
    };
    if full {
        // SAFETY: The callback is on the list of the plug, and nobody calls it once it is off.
        unsafe { bindings::kernel_ext_list_del(&raw mut (*raw).list) };
        // SAFETY: It is off the list, and this is the one call of it.
        unsafe { pulled::<U>(raw, false) };
    }
    Ok(())
}

/// # Safety
///
/// Only as the callback of a `Held<U>`, once, off the list of its plug.
unsafe extern "C" fn pulled<U: Unplug>(
    raw: *mut bindings::blk_plug_cb,
    from_schedule: bindings::bool_,
) {
    let held = raw.cast::<Held<U>>();
    // SAFETY: The callback is ours, and the owner and the list were set up when it was made.
    let (owner, items) = unsafe { ((*held).owner.take(), (*held).items.take_all()) };
    // SAFETY: The memory came from `kzalloc`; owner and items were moved out.
    unsafe { bindings::kfree(raw.cast()) };
    let reason = if from_schedule {
        Reason::Schedule
    } else {
        Reason::Done
    };
    if let Some(owner) = owner {
        U::unplug(owner, items, reason);
    }
}
