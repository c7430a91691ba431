// SPDX-License-Identifier: GPL-2.0

//! `/sys/block/mdX/md`: which files there are, and what must hold before one is read or written.

mod array;
pub(crate) mod bitmap;
pub(crate) mod llbitmap;
mod member;
pub(crate) mod redundancy;
mod shape;
mod state;

use crate::array::{life::Use, Array};
use core::fmt;
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::{
    capability::{capable, Capability},
    sysfs::{Access, Attribute, Group, Page, Payload, Show, Store},
};

/// Files that every array has, from its creation on.
static DEFAULT: Group<Array> = Group::new(
    None,
    &[
        Some(&array::LEVEL),
        Some(&array::NEW_LEVEL),
        Some(&array::BITMAP_TYPE),
        Some(&shape::LAYOUT),
        Some(&shape::RAID_DISKS),
        Some(&array::UUID),
        Some(&shape::CHUNK_SIZE),
        Some(&shape::COMPONENT_SIZE),
        Some(&array::RESYNC_START),
        Some(&array::METADATA_VERSION),
        Some(&array::NEW_DEV),
        Some(&array::SAFE_MODE_DELAY),
        Some(&state::ARRAY_STATE),
        Some(&shape::RESHAPE_POSITION),
        Some(&shape::RESHAPE_DIRECTION),
        Some(&shape::ARRAY_SIZE),
        Some(&array::MAX_READ_ERRORS),
        Some(&array::CONSISTENCY_POLICY),
        Some(&array::FAIL_LAST_DEV),
        Some(&array::SERIALIZE_POLICY),
        Some(&array::LOGICAL_BLOCK_SIZE),
        None,
    ],
);

impl Payload for Array {
    const GROUPS: &'static [Option<&'static Group<Self>>] = &[Some(&DEFAULT), None];

    type Guard<'a> = Use;

    fn enter(this: ArcBorrow<'_, Self>, access: Access) -> Result<Use> {
        if access == Access::Store && !capable(Capability::SysAdmin) {
            return Err(EACCES);
        }
        Array::use_by(this).ok_or(EBUSY)
    }
}

/// A file that everybody can read and only root can write.
const fn writable(name: &'static CStr, show: Show<Array>, store: Store<Array>) -> Attribute<Array> {
    Attribute::new(name, 0o644, Some(show), Some(store))
}

/// Prints a line.
fn line(page: &mut Page<'_>, value: impl fmt::Display) -> Result {
    fmt::Write::write_fmt(page, format_args!("{value}\n")).map_err(|_| EIO)
}
