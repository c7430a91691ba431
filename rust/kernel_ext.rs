// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the parts of the kernel that an md driver needs and the `kernel` crate lacks.
//!
//! A staging area: files and items are named and placed as `rust/kernel` would have them, so that each can move there.
//! All unsafe code and all bindings of the project live in this crate; nothing of `bindings` is re-exported.

#![deny(unsafe_op_in_unsafe_fn)]
#![deny(missing_docs)]

#[allow(
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    //! `kernel::bindings` and, generated beside it, what that lacks.
    pub(crate) use kernel::bindings::*;
    include!(env!("RMD_BINDINGS_FILE"));
}

/// What the printing macros of the `kernel` crate put before each message.
const __LOG_PREFIX: &[u8] = b"md\0";

pub mod alloc;
pub mod block;
pub mod capability;
pub mod module;
pub mod params;
pub mod random;
pub mod reboot;
pub mod sync;
pub mod sysctl;
pub mod sysfs;
pub mod time;
pub mod uapi;
pub mod workqueue;
