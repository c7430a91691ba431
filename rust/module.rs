// SPDX-License-Identifier: GPL-2.0

//! The module this code is part of.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::bindings;

/// Keeps the module from being unloaded.
///
/// # Invariants
///
/// This value owns one reference to the module.
pub struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference; `None` while the module is being unloaded. Any context.
    pub fn get() -> Option<Self> {
        // SAFETY: The module of running code is alive.
        let got = unsafe { bindings::try_module_get(&raw mut bindings::__this_module) };
        // INVARIANT: Just taken.
        got.then_some(Self(()))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::module_put(&raw mut bindings::__this_module) };
    }
}
