// SPDX-License-Identifier: GPL-2.0

//! When an array counts as no longer written to: the safe-mode delay of md.c, which re-arms `safemode_timer` by each
//! write.

use core::num::NonZeroUsize;

/// Since when nobody has been seen writing. Looking more often than asked to changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calm {
    /// The time of the last look that saw a write, in the caller's ticks.
    since: usize,
}

impl Calm {
    /// How many ticks of `delay` are left at `now`, if there was a write since the last look when `written`; `None`
    /// when the delay has passed. Ticks are words, and may wrap around.
    pub fn look(&mut self, now: usize, written: bool, delay: usize) -> Option<NonZeroUsize> {
        if written {
            self.since = now;
        }
        NonZeroUsize::new(delay.saturating_sub(now.wrapping_sub(self.since)))
    }
}
