// SPDX-License-Identifier: GPL-2.0

//! The pure logic of md: on-disk formats, layouts, state machines and plans.
//!
//! Nothing here knows the kernel: no locks, no clock (callers pass `now`), no logging (the reason is returned), no
//! allocation (callers supply buffers). The same files build as a Kbuild crate inside the module and as a cargo crate
//! under `tools/`, where they are unit-, property- and fuzz-tested.
//!
//! A function here decides; the driver acts on what it returns.

#![cfg_attr(not(any(test, MODULE)), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(unreachable_pub)]

pub mod assemble;
pub mod bitmap;
pub mod cases;
pub mod format;
pub mod gf256;
pub mod layout;
pub mod mirror;
pub mod policy;
pub mod state;
pub mod units;
pub mod words;
