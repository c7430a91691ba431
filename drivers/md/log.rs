// SPDX-License-Identifier: GPL-2.0

//! Values of `core::fmt` in the kernel's log, whose macros have a `Display` of their own.

use core::fmt;

/// Prints what it wraps.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> kernel::fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
