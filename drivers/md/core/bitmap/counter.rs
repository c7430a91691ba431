// SPDX-License-Identifier: GPL-2.0

//! The classic bitmap's counter: how many writes are in flight to a chunk, and when its bit may be cleared.
//!
//! A chunk's bit on media is set before the first write to it and cleared two daemon passes after the last. In memory C
//! md keeps 16 bits per chunk: bit 15 *needs a sync*, bit 14 *is being synced*, and a count that is 0 when the bit is
//! clear, 1 or 2 when it is set and no write is in flight (2 ages to 1, 1 to 0), and 2 plus the writes otherwise. Here
//! that is [`Counter`], and each event a method that answers with the new counter and what else is to be done.
//!
//! Follows `bitmap_start_write()`, `bitmap_end_write()`, `bitmap_daemon_work()`, `__bitmap_start_sync()` and
//! `__bitmap_end_sync()` of `drivers/md/md-bitmap.c`.

use core::fmt;

use crate::state::Health;
use crate::units::Events;

/// *Needs a sync*.
const NEEDED: u16 = 1 << 15;
/// *Is being synced*.
const RESYNC: u16 = 1 << 14;
/// The largest count.
const COUNT_MAX: u16 = RESYNC - 1;
/// The count of a chunk whose bit is set and that has no write in flight.
const SET: u16 = 2;
/// The most writes that can be in flight to one chunk.
pub const WRITES_MAX: u16 = COUNT_MAX - SET;

/// How a chunk stands to syncing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It needs none.
    None,
    /// It needs one.
    Needed,
    /// It is being synced.
    Syncing,
    /// It is being synced, and will need it again: a member missed a write meanwhile.
    Again,
}

impl Need {
    /// All four.
    pub const ALL: [Self; 4] = [Self::None, Self::Needed, Self::Syncing, Self::Again];

    const fn bits(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Needed => NEEDED,
            Self::Syncing => RESYNC,
            Self::Again => NEEDED | RESYNC,
        }
    }

    const fn with_need(self) -> Self {
        match self {
            Self::None | Self::Needed => Self::Needed,
            Self::Syncing | Self::Again => Self::Again,
        }
    }
}

/// Writes in flight to one chunk: at most [`WRITES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes(u16);

impl Writes {
    /// None.
    pub const NONE: Self = Self(0);

    /// `count` writes, or `None` when a counter cannot hold as many.
    pub const fn new(count: u16) -> Option<Self> {
        if count <= WRITES_MAX {
            Some(Self(count))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The counter of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// The bit on media is clear.
    Clear,
    /// The bit is set; nothing happened for one daemon pass.
    Aged,
    /// The bit is set.
    Set {
        /// How it stands to syncing.
        need: Need,
        /// The writes in flight.
        writes: Writes,
    },
}

/// A word that no counter is: it needs a sync, or is being synced, but its bit is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWord(pub u16);

impl fmt::Display for BadWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x} is no bitmap counter", self.0)
    }
}

/// A write ended that never started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWriteInFlight;

impl fmt::Display for NoWriteInFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a write ended on a bitmap chunk that has none in flight")
    }
}

/// The answer to a write that wants to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartWrite {
    /// The counter is full: wait until a write ends.
    Wait,
    /// Go on with this counter.
    Go(Counter),
    /// The same, and set the bits on media of all chunks the counter stands for, before the write is issued.
    SetBits(Counter),
}

/// The answer to a write that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndWrite {
    /// The counter.
    pub counter: Counter,
    /// Whether the daemon has to look at it.
    pub daemon: Daemon,
    /// Whether writers may wait for a full counter.
    pub waiters: Waiters,
}

/// Whether the daemon has something to age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It has not.
    Leave,
    /// It has: mark the counter's page.
    Look,
}

/// Whether somebody waits for room in a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiters {
    /// Nobody can.
    None,
    /// Somebody may.
    Wake,
}

/// The answer to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Nothing to do.
    Stay,
    /// It will be looked at again with this counter.
    Again(Counter),
    /// Clear the bit on media.
    ClearBit,
}

/// Whether a chunk has to be synced now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It can be skipped.
    Skip,
    /// It has to.
    Needed,
}

/// How a sync of a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// It did not happen.
    Aborted,
}

impl Outcome {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Done, Self::Aborted];
}

impl Counter {
    /// The counter of a word of memory.
    pub const fn from_word(word: u16) -> Result<Self, BadWord> {
        let need = match (word & NEEDED != 0, word & RESYNC != 0) {
            (false, false) => Need::None,
            (true, false) => Need::Needed,
            (false, true) => Need::Syncing,
            (true, true) => Need::Again,
        };
        match (word & COUNT_MAX, need) {
            (0, Need::None) => Ok(Self::Clear),
            (1, Need::None) => Ok(Self::Aged),
            (0 | 1, _) => Err(BadWord(word)),
            (count, need) => Ok(Self::Set {
                need,
                writes: Writes(count.saturating_sub(SET)),
            }),
        }
    }

    /// The word it is kept in.
    pub const fn to_word(self) -> u16 {
        match self {
            Self::Clear => 0,
            Self::Aged => 1,
            // At most `COUNT_MAX`, by the bound of `Writes`.
            Self::Set { need, writes } => need.bits() | writes.0.saturating_add(SET),
        }
    }

    /// The counter of a chunk whose bit is set on media at load.
    pub const fn loaded(need: Need) -> Self {
        Self::Set {
            need,
            writes: Writes::NONE,
        }
    }

    /// Its chunk may differ, whoever says so: it needs a sync, and its bit is to be set.
    #[must_use]
    pub const fn needed(self) -> Self {
        match self {
            Self::Clear | Self::Aged => Self::loaded(Need::Needed),
            Self::Set { need, writes } => Self::Set {
                need: need.with_need(),
                writes,
            },
        }
    }

    /// A write wants to start.
    pub const fn start_write(self) -> StartWrite {
        let one = Self::Set {
            need: Need::None,
            writes: Writes(1),
        };
        match self {
            Self::Clear => StartWrite::SetBits(one),
            Self::Aged => StartWrite::Go(one),
            Self::Set {
                writes: Writes(WRITES_MAX..),
                ..
            } => StartWrite::Wait,
            Self::Set { need, writes } => StartWrite::Go(Self::Set {
                need,
                writes: Writes(writes.0.saturating_add(1)),
            }),
        }
    }

    /// A write ended. One that a missing member did not see leaves the chunk in need of a sync.
    pub const fn end_write(self, health: Health) -> Result<EndWrite, NoWriteInFlight> {
        let Self::Set {
            need,
            writes: Writes(count @ 1..),
        } = self
        else {
            return Err(NoWriteInFlight);
        };
        let need = match health {
            Health::Complete => need,
            Health::Degraded => need.with_need(),
        };
        let counter = Self::Set {
            need,
            writes: Writes(count.saturating_sub(1)),
        };
        let waiters = if count >= WRITES_MAX {
            Waiters::Wake
        } else {
            Waiters::None
        };
        Ok(EndWrite {
            counter,
            daemon: counter.daemon(),
            waiters,
        })
    }

    /// Whether the daemon can age it.
    const fn daemon(self) -> Daemon {
        match self {
            Self::Aged
            | Self::Set {
                need: Need::None,
                writes: Writes::NONE,
            } => Daemon::Look,
            Self::Clear | Self::Set { .. } => Daemon::Leave,
        }
    }

    /// The daemon looks at it.
    pub const fn age(self, media: ClearedOnMedia) -> Age {
        match (self, media) {
            (Self::Aged, ClearedOnMedia::Recorded) => Age::ClearBit,
            (Self::Aged, ClearedOnMedia::Due)
            | (
                Self::Set {
                    need: Need::None,
                    writes: Writes::NONE,
                },
                _,
            ) => Age::Again(Self::Aged),
            (Self::Clear | Self::Set { .. }, _) => Age::Stay,
        }
    }

    /// A sync pass reaches it. While a slot has no member the need is left for the recovery to come.
    ///
    /// While the array is degraded a chunk that was written and not cleared needs it, too: the member that comes back
    /// may have had that write in its cache alone. C skips it.
    pub const fn start_sync(self, slots: Health, array: Health) -> (Self, Sync) {
        let (need, writes) = match (self, array) {
            (Self::Clear, _)
            | (Self::Aged, Health::Complete)
            | (
                Self::Set {
                    need: Need::None, ..
                },
                Health::Complete,
            ) => return (self, Sync::Skip),
            (Self::Aged, Health::Degraded) => (Need::Needed, Writes::NONE),
            (
                Self::Set {
                    need: Need::None,
                    writes,
                },
                Health::Degraded,
            ) => (Need::Needed, writes),
            (Self::Set { need, writes }, _) => (need, writes),
        };
        let need = match (need, slots) {
            (Need::Needed, Health::Complete) => Need::Syncing,
            (need, _) => need,
        };
        (Self::Set { need, writes }, Sync::Needed)
    }

    /// A sync pass leaves it.
    pub const fn end_sync(self, outcome: Outcome) -> (Self, Daemon) {
        let Self::Set {
            need: need @ (Need::Syncing | Need::Again),
            writes,
        } = self
        else {
            return (self, Daemon::Leave);
        };
        let need = match (need, outcome) {
            (Need::Syncing, Outcome::Done) => Need::None,
            _ => Need::Needed,
        };
        let counter = Self::Set { need, writes };
        (counter, counter.daemon())
    }
}

/// Whether the bitmap superblock on media has the present `events_cleared`.
///
/// A member older than `events_cleared` is not taken back by bitmap, because bits of what it missed may be gone. Hence
/// the value has to be on its way to media, ahead of the bits, before any bit is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearedOnMedia {
    /// It has, or will before any bit written after it.
    Recorded,
    /// It has to be written first.
    Due,
}

impl ClearedOnMedia {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Recorded, Self::Due];
}

/// The new `events_cleared` when a write ends, or `None` when it stays.
///
/// It advances only while all members see the writes; with `Some` the superblock is [`ClearedOnMedia::Due`].
pub fn events_cleared(cleared: Events, array: Events, health: Health) -> Option<Events> {
    match health {
        Health::Complete if cleared < array => Some(array),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Counter> {
        let set = Need::ALL.into_iter().flat_map(|need| {
            [0, 1, 2, WRITES_MAX - 1, WRITES_MAX]
                .into_iter()
                .map(move |n| Counter::Set {
                    need,
                    writes: Writes(n),
                })
        });
        [Counter::Clear, Counter::Aged].into_iter().chain(set)
    }

    #[test]
    fn every_word_is_a_counter_or_refused() {
        for word in 0..=u16::MAX {
            match Counter::from_word(word) {
                Ok(counter) => assert_eq!(counter.to_word(), word),
                Err(BadWord(bad)) => assert!(bad == word && word & COUNT_MAX < 2 && word >= RESYNC),
            }
        }
    }

    #[test]
    fn a_write_sets_the_bit_only_when_it_is_clear() {
        for counter in all() {
            let answer = counter.start_write();
            assert_eq!(
                matches!(answer, StartWrite::SetBits(_)),
                counter == Counter::Clear
            );
            if let StartWrite::Go(next) | StartWrite::SetBits(next) = answer {
                let in_c = counter.to_word().max(counter.to_word() & !COUNT_MAX | SET) + 1;
                assert_eq!(next.to_word(), in_c, "{counter:?}");
            }
        }
    }

    #[test]
    fn writes_balance() {
        for health in Health::ALL {
            for counter in all() {
                match counter.end_write(health) {
                    Err(NoWriteInFlight) => assert!(counter.to_word() & COUNT_MAX <= SET),
                    Ok(end) => {
                        let flag = if health == Health::Degraded {
                            NEEDED
                        } else {
                            0
                        };
                        assert_eq!(end.counter.to_word(), (counter.to_word() | flag) - 1);
                        assert_eq!(end.daemon == Daemon::Look, end.counter.to_word() <= SET);
                    }
                }
            }
        }
    }

    #[test]
    fn a_bit_is_cleared_two_passes_after_the_last_write_and_after_the_superblock() {
        let idle = Counter::loaded(Need::None);
        assert_eq!(
            idle.age(ClearedOnMedia::Recorded),
            Age::Again(Counter::Aged)
        );
        assert_eq!(
            Counter::Aged.age(ClearedOnMedia::Due),
            Age::Again(Counter::Aged)
        );
        assert_eq!(Counter::Aged.age(ClearedOnMedia::Recorded), Age::ClearBit);
        for counter in all().filter(|c| *c != Counter::Aged) {
            for media in ClearedOnMedia::ALL {
                assert_ne!(counter.age(media), Age::ClearBit, "{counter:?}");
            }
        }
    }

    fn healths() -> impl Iterator<Item = (Health, Health)> {
        let each = |slots| Health::ALL.into_iter().map(move |array| (slots, array));
        Health::ALL.into_iter().flat_map(each)
    }

    #[test]
    fn while_degraded_what_was_written_waits_for_the_member_that_may_lack_it() {
        for counter in [Counter::Aged, Counter::loaded(Need::None)] {
            let (left, sync) = counter.start_sync(Health::Degraded, Health::Degraded);
            assert_eq!((left, sync), (Counter::loaded(Need::Needed), Sync::Needed));
            let (begun, _) = counter.start_sync(Health::Complete, Health::Degraded);
            assert_eq!(begun, Counter::loaded(Need::Syncing));
            let (done, _) = begun.end_sync(Outcome::Done);
            assert_eq!(done, Counter::loaded(Need::None));
            let (_, sync) = counter.start_sync(Health::Complete, Health::Complete);
            assert_eq!(sync, Sync::Skip);
        }
    }

    #[test]
    fn a_need_survives_everything_but_a_finished_sync() {
        for counter in all() {
            let needs = |c: Counter| c.to_word() & (NEEDED | RESYNC) != 0;
            for (slots, array) in healths() {
                let may_lack = array == Health::Degraded && counter != Counter::Clear;
                let (started, sync) = counter.start_sync(slots, array);
                assert_eq!(sync == Sync::Needed, needs(counter) || may_lack);
                assert_eq!(needs(started), sync == Sync::Needed);
            }
            let (aborted, _) = counter.end_sync(Outcome::Aborted);
            assert_eq!(needs(aborted), needs(counter));
        }
        let again = Counter::loaded(Need::Again).end_sync(Outcome::Done);
        assert_eq!(again, (Counter::loaded(Need::Needed), Daemon::Leave));
    }

    #[test]
    fn what_is_said_to_differ_needs_a_sync_and_keeps_its_writes() {
        for counter in all() {
            let next = counter.needed();
            for (slots, array) in healths() {
                assert_eq!(next.start_sync(slots, array).1, Sync::Needed);
            }
            let count = |c: Counter| (c.to_word() & COUNT_MAX).max(SET);
            assert_eq!(count(next), count(counter));
        }
    }

    #[test]
    fn events_cleared_advances_only_while_complete() {
        let (old, new) = (Events::new(4), Events::new(6));
        assert_eq!(events_cleared(old, new, Health::Complete), Some(new));
        assert_eq!(events_cleared(old, new, Health::Degraded), None);
        assert_eq!(events_cleared(new, new, Health::Complete), None);
    }
}
