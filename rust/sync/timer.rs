// SPDX-License-Identifier: GPL-2.0

//! Something to be done at a later time, to the jiffy.
//!
//! C header: [`include/linux/timer.h`](srctree/include/linux/timer.h)

use crate::bindings;
use kernel::{prelude::*, static_lock_class, time::Jiffies, types::Opaque};

/// The current time in jiffies; it wraps.
#[inline]
pub fn jiffies() -> Jiffies {
    // SAFETY: A counter of word size that the kernel updates in one store.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// What a timer does.
pub trait Expire: Send + Sync + 'static {
    /// The time has come. Runs in a soft interrupt: it must not sleep.
    fn expired(&self);
}

/// A timer. Dropping it waits for it, if it is running, and disarms it; not to be done from within.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Timer<E: Expire> {
    /// First, as the function gets a pointer to it.
    #[pin]
    raw: Opaque<bindings::timer_list>,
    value: E,
}

// SAFETY: Timers may be set from anywhere; the value is `Send` and `Sync` by its bound.
unsafe impl<E: Expire> Send for Timer<E> {}
// SAFETY: As above.
unsafe impl<E: Expire> Sync for Timer<E> {}

impl<E: Expire> Timer<E> {
    /// A timer that is not armed.
    pub fn new(value: E) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|raw| {
                // SAFETY: `raw` is memory for a timer; name and lock class are static.
                unsafe {
                    bindings::timer_init_key(
                        raw,
                        Some(fired::<E>),
                        0,
                        c"md_timer".as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    );
                }
            }),
            value,
        })
    }

    /// What it does.
    pub fn value(&self) -> &E {
        &self.value
    }

    /// Arms the timer for a time, or moves it there.
    #[inline]
    pub fn arm_at(&self, when: Jiffies) {
        // SAFETY: The timer is initialised and pinned.
        unsafe { bindings::mod_timer(self.raw.get(), when) };
    }

    /// Arms the timer for `delay` from now, or moves it there.
    #[inline]
    pub fn arm_after(&self, delay: Jiffies) {
        self.arm_at(jiffies().wrapping_add(delay));
    }

    /// Disarms the timer, and waits for it if it is running. Not from the timer itself, nor while holding what it
    /// takes.
    pub fn cancel(&self) {
        // SAFETY: The timer is initialised and pinned.
        unsafe { bindings::timer_delete_sync(self.raw.get()) };
    }
}

#[pinned_drop]
impl<E: Expire> PinnedDrop for Timer<E> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer is initialised; after this it does not run and cannot be armed.
        unsafe { bindings::timer_shutdown_sync(self.raw.get()) };
    }
}

/// # Safety
///
/// Only for timers in `Timer<E>`.
unsafe extern "C" fn fired<E: Expire>(raw: *mut bindings::timer_list) {
    // SAFETY: The C timer is the first field of `Timer`, which waits for this before it goes.
    let timer = unsafe { &*raw.cast::<Timer<E>>() };
    timer.value.expired();
}
