// SPDX-License-Identifier: GPL-2.0

//! When an array counts as no longer written to: the safe-mode delay of md.c, which re-arms `safemode_timer` by each
//! write.

use core::num::NonZeroUsize;

/// A point of time, in ticks of the caller's clock, which is a word wide and may wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment(pub usize);

/// A length of time, in ticks of the caller's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks(pub usize);

/// What a look at the array saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Somebody wrote since the last look.
    Written,
    /// Nobody did.
    Nothing,
}

/// Since when nobody has been seen writing. Looking more often than asked to changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calm {
    /// The time of the last look that saw a write.
    since: Moment,
}

impl Calm {
    /// How many ticks of `delay` are left at `now`; `None` when the delay has passed.
    pub fn look(&mut self, now: Moment, seen: Seen, delay: Ticks) -> Option<NonZeroUsize> {
        if seen == Seen::Written {
            self.since = now;
        }
        let passed = now.0.wrapping_sub(self.since.0);
        NonZeroUsize::new(delay.0.saturating_sub(passed))
    }
}
