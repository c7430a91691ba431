// SPDX-License-Identifier: GPL-2.0

//! The state machines of an array and of its members.
//!
//! Every machine is an enum that carries its data and one total `step(self, event, &env)`. The answer is a
//! [`Next`] (move, or *nothing to do*) or the machine's own `Illegal` enum (*must not happen*, or refused, by name).
//! The environment is a plain value: who builds it holds the lock under which the answer is applied.
//!
//! - [`admit`]: which data I/O is admitted.
//! - [`mod@array`]: the life of an array, and what `array_state` shows.
//! - [`clean`]: clean/dirty tracking, safe mode, and what a superblock update does to the event counters.
//! - [`member`]: one member device from spare to faulty.
//! - [`pass`]: one pass over the array.
//! - [`request`]: which words `array_state` accepts.
//! - [`sync`]: the sync action (resync, recover, check, repair, reshape) and which one comes next.
//! - [`takeover`]: which level may take over which, and the geometry that results.
//!
//! The tables in `Documentation/states/` are generated from these functions.

pub mod admit;
pub mod array;
pub mod clean;
pub mod member;
pub mod pass;
pub mod request;
pub mod shape;
pub mod sync;
pub mod takeover;

/// Where a machine goes. `Stay` is an answer of its own: the event was legal and there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<S> {
    /// Nothing to do.
    Stay,
    /// The new state; it differs from the old one.
    To(S),
}

impl<S: Copy + PartialEq> Next<S> {
    /// `Stay` when `to` is where the machine already is.
    #[inline]
    pub fn from(current: S, to: S) -> Self {
        if current == to {
            Self::Stay
        } else {
            Self::To(to)
        }
    }

    /// The state after the step, given the state before it.
    #[inline]
    pub fn after(self, current: S) -> S {
        match self {
            Self::Stay => current,
            Self::To(next) => next,
        }
    }
}

/// Whether every slot of the array has a member in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No slot lacks a member in sync.
    Complete,
    /// At least one slot does: C md's `degraded > 0`.
    Degraded,
}

impl Health {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Complete, Self::Degraded];
}

/// Who writes the array's superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Nobody: the array was built without superblocks.
    None,
    /// The driver.
    Native,
    /// A program in user space (`metadata_version` is `external:...`).
    External,
}

impl Metadata {
    /// All three.
    pub const ALL: [Self; 3] = [Self::None, Self::Native, Self::External];
}
