// SPDX-License-Identifier: GPL-2.0

//! The intent to write, as a value: it permits the write, and its drop ends it.

use super::{Backend, Hold};
use crate::array::live::Live;
use kernel::prelude::*;
use kernel_ext::{alloc::mempool::Wait, sync::gated::Entered};
use md_core::units::SectorRange;

/// What a write does to the chunks it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It writes data.
    Write,
    /// It discards data.
    Discard,
}

/// The right to write a range. Dropping it ends the write for the bitmap, which may happen in an interrupt.
#[must_use = "a write without its intent is not in the bitmap"]
pub(crate) struct WriteIntent(Option<Held>);

/// A write that the bitmap of an array knows of.
struct Held {
    live: Entered<Live>,
    range: SectorRange,
    intent: Intent,
    hold: Hold,
    /// What protects it was on media before it began.
    protected: bool,
}

impl WriteIntent {
    /// Marks the chunks of `range`, in sectors of what a resync walks over. Nothing to do for an array without bitmap.
    /// May sleep if it may wait; `EAGAIN` when it must not and would.
    #[inline]
    pub(crate) fn begin(
        live: &Entered<Live>,
        range: SectorRange,
        intent: Intent,
        wait: Wait,
    ) -> Result<Self> {
        match live.bitmap() {
            None => Ok(Self(None)),
            Some(bitmap) => Self::mark(live, bitmap, range, intent, wait),
        }
    }

    fn mark(
        live: &Entered<Live>,
        bitmap: &dyn Backend,
        range: SectorRange,
        intent: Intent,
        wait: Wait,
    ) -> Result<Self> {
        let hold = match intent {
            Intent::Write => bitmap.start_write(range, wait)?,
            Intent::Discard => bitmap.start_discard(range, wait)?,
        };
        if bitmap.conditions().take_thread_call() {
            live.wake_thread();
        }
        Ok(Self(Some(Held {
            live: live.clone(),
            range,
            intent,
            hold,
            protected: bitmap.is_on_media(range),
        })))
    }

    /// Whether what protects the write is on media, so that it may be submitted. Once true it stays so. Any context.
    #[inline]
    pub(crate) fn is_on_media(&self) -> bool {
        self.0.as_ref().is_none_or(Held::is_on_media)
    }
}

impl Held {
    #[inline]
    fn is_on_media(&self) -> bool {
        self.protected
            || self
                .live
                .bitmap()
                .is_none_or(|bitmap| bitmap.is_on_media(self.range))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The bitmap of a running array changes only while nobody has entered, so it is the one that began it.
        let Some(bitmap) = self.live.bitmap() else {
            return;
        };
        let hold = core::mem::take(&mut self.hold);
        match self.intent {
            Intent::Write => bitmap.end_write(self.range, hold),
            Intent::Discard => bitmap.end_discard(self.range, hold),
        }
        if bitmap.conditions().take_thread_call() {
            self.live.wake_thread();
        }
    }
}
