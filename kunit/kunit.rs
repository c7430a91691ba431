// SPDX-License-Identifier: GPL-2.0

//! KUnit suites of the project, for kernels with `CONFIG_KUNIT=y`.
//!
//! The tables of `md_core` are walked here as `cargo test` walks them on a host; the abstractions of `kernel_ext`
//! are tried on real kernel objects. Bios go to two RAM disks, `/dev/ram0` and `/dev/ram1`, whose contents are
//! overwritten; opening them loads their driver. A third one is below a disk that user space may play with.
//!
//! Only assertions in the body of a `#[test]` are caught; helpers return what is to be asserted.

#![deny(unsafe_code)]

mod block;
mod cells;
mod core_cases;
mod device;
mod disk;
mod fan;
mod sync;
mod sysfs;
mod system;
mod toy;

use kernel::prelude::*;

module! {
    type: Tests,
    name: "md_kunit",
    authors: ["The rmd authors"],
    description: "KUnit suites of the md driver in Rust",
    license: "GPL",
}

/// The suites run when the module is loaded; what is left to do is to show something to user space.
struct Tests {
    _shown: system::Shown,
    _toy: toy::Toy,
}

impl kernel::Module for Tests {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _shown: system::Shown::new()?,
            _toy: toy::Toy::new()?,
        })
    }
}
