// SPDX-License-Identifier: GPL-2.0

//! The intent to write, as a value: it permits the write, and its drop ends it.

use super::{Backend, Hold, Started};
use crate::array::live::Live;
use kernel::prelude::*;
use kernel_ext::alloc::mempool::Wait;
use md_core::units::SectorRange;

/// What a write does to the chunks it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It writes data.
    Write,
    /// It discards data.
    Discard,
}

/// The right to write a range. Dropping it ends the write for the bitmap, and then gives up `pass`, which keeps the
/// array as it is meanwhile: fields are dropped in this order. That may happen in an interrupt.
#[must_use = "a write without its intent is not in the bitmap"]
pub(crate) struct WriteIntent<P: AsRef<Live>> {
    marked: Option<Marked>,
    pass: P,
}

/// A write that the bitmap of an array knows of.
struct Marked {
    range: SectorRange,
    started: Started,
}

impl<P: AsRef<Live>> WriteIntent<P> {
    /// Marks the chunks of `range`, in sectors of what a resync walks over. Nothing to do for an array without bitmap.
    /// May sleep if it may wait; `EAGAIN` when it must not and would.
    #[inline]
    pub(crate) fn begin(pass: P, range: SectorRange, intent: Intent, wait: Wait) -> Result<Self> {
        let live = pass.as_ref();
        let marked = match live.bitmap() {
            None => None,
            Some(bitmap) => Some(Marked::begin(live, bitmap, range, intent, wait)?),
        };
        Ok(Self { marked, pass })
    }

    /// What keeps the array as it is.
    #[inline]
    pub(crate) fn pass(&self) -> &P {
        &self.pass
    }

    /// Whether what protects the write is on media, so that it may be submitted. Once true it stays so. Any context.
    #[inline]
    pub(crate) fn is_on_media(&self) -> bool {
        let Some(marked) = &self.marked else {
            return true;
        };
        let bitmap = self.pass.as_ref().bitmap();
        marked.started.on_media || bitmap.is_none_or(|bitmap| bitmap.is_on_media(marked.range))
    }
}

impl Marked {
    #[inline]
    fn begin(
        live: &Live,
        bitmap: &dyn Backend,
        range: SectorRange,
        intent: Intent,
        wait: Wait,
    ) -> Result<Self> {
        let started = match intent {
            Intent::Write => bitmap.start_write(range, wait)?,
            Intent::Discard => bitmap.start_discard(range, wait)?,
        };
        answer_call(live, bitmap);
        Ok(Self { range, started })
    }

    /// Tells the bitmap that the write has ended, if it is not told by what it holds.
    #[inline]
    fn end(&self, live: &Live) {
        if !matches!(self.started.hold, Hold::Marks) {
            return;
        }
        // The bitmap of a running array changes only while nobody has entered, so it is the one that began it.
        let Some(bitmap) = live.bitmap() else {
            return;
        };
        bitmap.end_write(self.range);
        answer_call(live, bitmap);
    }
}

/// Wakes the array's thread if the bitmap has something for it. Any context.
#[inline]
pub(crate) fn answer_call(live: &Live, bitmap: &dyn Backend) {
    if bitmap.conditions().take_thread_call() {
        live.wake_thread();
    }
}

impl<P: AsRef<Live>> Drop for WriteIntent<P> {
    #[inline]
    fn drop(&mut self) {
        if let Some(marked) = &self.marked {
            marked.end(self.pass.as_ref());
        }
    }
}
