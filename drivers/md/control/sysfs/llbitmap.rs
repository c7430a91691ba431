// SPDX-License-Identifier: GPL-2.0

//! `md/llbitmap/`: files about a lockless bitmap.
//!
//! They take no lock of the array, so they may be removed with the configuration locked.

use super::{line, writable};
use crate::{array::Array, bitmap::llbitmap::Lockless, error::OrErrno};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::sysfs::{Attribute, Group, Page};
use md_core::words::bitmap::{parse_seconds, NO_LLBITMAP};

/// What an array with a lockless bitmap has besides.
pub(crate) static LLBITMAP: Group<Array> = Group::new(
    Some(c"llbitmap"),
    &[
        Some(&BITS),
        Some(&METADATA),
        Some(&DAEMON_SLEEP),
        Some(&BARRIER_IDLE),
        Some(&PROACTIVE_SYNC),
        None,
    ],
);

static BITS: Attribute<Array> = Attribute::new(c"bits", 0o444, Some(bits_show), None);
static METADATA: Attribute<Array> = Attribute::new(c"metadata", 0o444, Some(metadata_show), None);
static DAEMON_SLEEP: Attribute<Array> =
    writable(c"daemon_sleep", daemon_sleep_show, daemon_sleep_store);
static BARRIER_IDLE: Attribute<Array> =
    writable(c"barrier_idle", barrier_idle_show, barrier_idle_store);
static PROACTIVE_SYNC: Attribute<Array> =
    Attribute::new(c"proactive_sync", 0o200, None, Some(proactive_sync_store));

/// Calls `f` with the bitmap of an array, if it has a lockless one.
fn with<R>(this: ArcBorrow<'_, Array>, f: impl FnOnce(&Lockless) -> R) -> Option<R> {
    let bitmap = this.bitmap().get()?;
    bitmap.lockless().map(f)
}

fn bits_show(this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    match with(this, Lockless::bits) {
        Some(bits) => line(page, bits),
        None => line(page, NO_LLBITMAP),
    }
}

fn metadata_show(this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    match with(this, Lockless::metadata) {
        Some(metadata) => line(page, metadata),
        None => line(page, NO_LLBITMAP),
    }
}

fn daemon_sleep_show(this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    line(page, with(this, Lockless::daemon_sleep).ok_or(ENODEV)?)
}

fn daemon_sleep_store(this: ArcBorrow<'_, Array>, text: &[u8]) -> Result {
    let seconds = parse_seconds(text).or_errno()?;
    with(this, |bitmap| bitmap.set_daemon_sleep(seconds)).ok_or(ENODEV)
}

fn barrier_idle_show(this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    line(page, with(this, Lockless::barrier_idle).ok_or(ENODEV)?)
}

fn barrier_idle_store(this: ArcBorrow<'_, Array>, text: &[u8]) -> Result {
    let seconds = parse_seconds(text).or_errno()?;
    with(this, |bitmap| bitmap.set_barrier_idle(seconds)).ok_or(ENODEV)
}

/// Whatever is written.
fn proactive_sync_store(this: ArcBorrow<'_, Array>, _text: &[u8]) -> Result {
    with(this, Lockless::proactive_sync).unwrap_or(Err(ENODEV))
}
