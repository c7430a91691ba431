// SPDX-License-Identifier: GPL-2.0

//! Decisions that trade one good for another.
//!
//! | module | what | where it is from |
//! |---|---|---|
//! | [`calm`] | when an array is no longer written to | `safemode_timer` |
//! | [`throttle`] | how fast to resync, when to record progress | `md_do_sync()` |
//! | [`errors`] | when a member has erred too often, when the last copy is kept | raid1-10.c, `error_handler` |
//! | [`seat`] | which spare fills which slot | `hot_add_disk` |
//!
//! Nothing here reads a clock: callers pass the time.

pub mod calm;
pub mod errors;
pub mod seat;
pub mod throttle;

pub use calm::{Calm, Moment, Seen, Ticks};
pub use errors::{
    mirror_loss, FailFast, LastDevice, MirrorLoss, ReadErrorVerdict, ReadErrors, Survivors,
};
pub use seat::{choose_seat, Alike, Fill, Seating, Seats, SlotView};
pub use throttle::{Checkpoint, Millis, OtherIo, Pace, SyncLimits, SyncUnit, Throttle};
