// SPDX-License-Identifier: GPL-2.0

//! `md/bitmap/`: files about the write-intent bitmap.

use super::{line, writable};
use crate::{
    array::Array,
    bitmap::{classic::Classic, Backend},
    error::OrErrno,
};
use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow},
};
use kernel_ext::sysfs::{Attribute, Group, Page};
use md_core::words::bitmap::{
    parse_backlog, parse_chunksize, parse_space, BitmapMetadata, CanClear, LocationRequest,
    TimeBase,
};

/// What every array has from its first run on, unless its bitmap is lockless.
pub(crate) static COMMON: Group<Array> = Group::new(Some(c"bitmap"), &[Some(&LOCATION), None]);

/// What an array with a classic bitmap has besides.
///
/// These are removed with the configuration locked, so their functions must not take that lock.
pub(crate) static INTERNAL: Group<Array> = Group::new(
    Some(c"bitmap"),
    &[
        Some(&SPACE),
        Some(&TIME_BASE),
        Some(&BACKLOG),
        Some(&CHUNKSIZE),
        Some(&METADATA),
        Some(&CAN_CLEAR),
        Some(&MAX_BACKLOG_USED),
        None,
    ],
);

type This<'a> = ArcBorrow<'a, Array>;

static LOCATION: Attribute<Array> = writable(c"location", location_show, location_store);

fn location_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.bitmap_location())
}

fn location_store(this: This<'_>, text: &[u8]) -> Result {
    let request = LocationRequest::parse(text).or_errno()?;
    this.await_no_request()?;
    let mut config = this.reconfigure()?;
    this.move_bitmap(&mut config, request)
}

/// The bitmap, for as long as it is looked at. `ENOENT` when it has just gone.
fn bitmap(this: &Array) -> Result<Arc<dyn Backend>> {
    this.bitmap().get().ok_or(ENOENT)
}

/// Does something with the classic bitmap.
fn with<R>(this: &Array, act: impl FnOnce(&Classic) -> Result<R>) -> Result<R> {
    act(bitmap(this)?.classic().ok_or(ENOENT)?)
}

static SPACE: Attribute<Array> = writable(
    c"space",
    |this, page| line(page, with(&this, |bitmap| Ok(bitmap.space()))?.get()),
    |this, text| {
        let space = parse_space(text).or_errno()?;
        with(&this, |bitmap| bitmap.set_space(space))
    },
);

static TIME_BASE: Attribute<Array> = writable(
    c"time_base",
    |this, page| line(page, with(&this, |bitmap| Ok(bitmap.time_base()))?),
    |this, text| {
        let time = TimeBase::parse(text).or_errno()?;
        with(&this, |bitmap| {
            bitmap.set_time_base(time);
            Ok(())
        })?;
        this.wake_thread();
        Ok(())
    },
);

static BACKLOG: Attribute<Array> = writable(
    c"backlog",
    |this, page| line(page, with(&this, |bitmap| Ok(bitmap.backlog()))?),
    |this, text| {
        let writes = parse_backlog(text).or_errno()?;
        with(&this, |bitmap| bitmap.set_backlog(writes))
    },
);

static CHUNKSIZE: Attribute<Array> = writable(
    c"chunksize",
    |this, page| {
        let chunk = with(&this, |bitmap| Ok(bitmap.chunk()))?;
        line(page, chunk.to_bytes().unwrap_or(u64::MAX))
    },
    // It is fixed when the bitmap is made.
    |_, text| {
        parse_chunksize(text).or_errno()?;
        Err(EBUSY)
    },
);

static METADATA: Attribute<Array> = writable(
    c"metadata",
    |_, page| line(page, BitmapMetadata::Internal.as_str()),
    // As above.
    |_, text| {
        BitmapMetadata::parse(text).or_errno()?;
        Err(EBUSY)
    },
);

static CAN_CLEAR: Attribute<Array> = writable(
    c"can_clear",
    |this, page| {
        let word = match with(&this, |bitmap| Ok(bitmap.can_clear()))? {
            true => CanClear::True,
            false => CanClear::False,
        };
        line(page, word.as_str())
    },
    |this, text| {
        let word = CanClear::parse(text).or_errno()?;
        with(&this, |bitmap| bitmap.set_can_clear(word == CanClear::True))
    },
);

static MAX_BACKLOG_USED: Attribute<Array> = writable(
    c"max_backlog_used",
    |this, page| line(page, with(&this, |bitmap| Ok(bitmap.most_behind()))?),
    // Whatever is written.
    |this, _| {
        with(&this, |bitmap| {
            bitmap.forget_most_behind();
            Ok(())
        })
    },
);
