// SPDX-License-Identifier: GPL-2.0

//! `md/bitmap/`: files about the write-intent bitmap.

use super::{line, writable};
use crate::array::Array;
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::sysfs::{Attribute, Group, Page};
use md_core::words::bitmap::{BitmapLocation, LocationRequest};

/// What every running array has, whatever its kind of bitmap.
///
/// It is removed with the configuration locked, so its functions must not take that lock.
pub(crate) static COMMON: Group<Array> = Group::new(Some(c"bitmap"), &[Some(&LOCATION), None]);

static LOCATION: Attribute<Array> = writable(c"location", location_show, location_store);

fn location_show(_this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    line(page, BitmapLocation::None)
}

/// An array without redundancy has no use for a bitmap.
fn location_store(_this: ArcBorrow<'_, Array>, text: &[u8]) -> Result {
    match LocationRequest::parse(text) {
        Ok(LocationRequest::None) => Ok(()),
        _ => Err(EINVAL),
    }
}
