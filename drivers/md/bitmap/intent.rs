// SPDX-License-Identifier: GPL-2.0

//! The intent to write, as a value: it permits the write, and its drop ends it.

use super::{Backend, Hold, Started};
use crate::array::live::Live;
use kernel::prelude::*;
use kernel_ext::{alloc::mempool::Wait, sync::percpu_ref::Guard};
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
    marks: Marks,
    pass: P,
}

/// What a write has in the bitmap of its array.
enum Marks {
    /// There is no bitmap.
    None,
    /// Marks that were on media before it began, in a page that it is inside of.
    Found(#[expect(dead_code, reason = "kept for its drop")] Guard),
    /// Marks that were made for it.
    Made(Made),
}

/// A write that the bitmap of an array was told of.
struct Made {
    range: SectorRange,
    started: Started,
}

impl<P: AsRef<Live>> WriteIntent<P> {
    /// Marks the chunks of `range`, in sectors of what a resync walks over. Nothing to do for an array without bitmap.
    /// May sleep if it may wait; `EAGAIN` when it must not and would.
    #[inline]
    pub(crate) fn begin(pass: P, range: SectorRange, intent: Intent, wait: Wait) -> Result<Self> {
        let live = pass.as_ref();
        let marks = match live.bitmap() {
            None => Marks::None,
            Some(bitmap) => match Marks::find(live, range, intent) {
                Some(found) => found,
                None => Marks::make(live, bitmap, range, intent, wait)?,
            },
        };
        Ok(Self { marks, pass })
    }

    /// What keeps the array as it is.
    #[inline]
    pub(crate) fn pass(&self) -> &P {
        &self.pass
    }

    /// Whether what protects the write is on media, so that it may be submitted. Once true it stays so. Any context.
    #[inline]
    pub(crate) fn is_on_media(&self) -> bool {
        match &self.marks {
            Marks::None | Marks::Found(_) => true,
            Marks::Made(made) => made.is_on_media(self.pass.as_ref()),
        }
    }
}

impl Marks {
    /// Without anything to do, which most writes have not.
    #[inline]
    fn find(live: &Live, range: SectorRange, intent: Intent) -> Option<Self> {
        let pages = live.marked_pages()?;
        match intent {
            Intent::Write => pages.enter(range).map(Self::Found),
            Intent::Discard => None,
        }
    }

    fn make(
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
        Ok(Self::Made(Made { range, started }))
    }
}

impl Made {
    fn is_on_media(&self, live: &Live) -> bool {
        let bitmap = live.bitmap();
        self.started.on_media || bitmap.is_none_or(|bitmap| bitmap.is_on_media(self.range))
    }

    /// Tells the bitmap that the write has ended, if it is not told by what it holds.
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
        if let Marks::Made(made) = &self.marks {
            made.end(self.pass.as_ref());
        }
    }
}
