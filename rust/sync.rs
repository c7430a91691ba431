// SPDX-License-Identifier: GPL-2.0

//! Synchronisation: what `kernel::sync` lacks.

pub mod gated;
pub mod global;
pub mod kthread;
pub mod peek;
pub(crate) mod percpu_count;
pub mod percpu_ref;
pub mod timer;
pub mod wait;
