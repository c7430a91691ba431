// SPDX-License-Identifier: GPL-2.0

//! What user space talks to that is neither a block device nor sysfs.

pub mod events;
pub mod proc;
