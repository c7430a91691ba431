// SPDX-License-Identifier: GPL-2.0

//! Memory: what `kernel::alloc` lacks.

pub mod cells;
pub mod mempool;
pub mod noio;
pub mod page;
