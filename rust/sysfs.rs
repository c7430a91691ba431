// SPDX-License-Identifier: GPL-2.0

//! Kernel objects and their attribute files.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

mod attribute;
mod dirent;
mod kobject;
mod parting;

pub use attribute::{Attribute, Group, Page, Show, Store};
pub use dirent::Dirent;
pub(crate) use kobject::RawKobject;
pub use kobject::{Access, AsKobject, Kobject, Payload, Uevent};
pub use parting::Parting;
