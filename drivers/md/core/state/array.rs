// SPDX-License-Identifier: GPL-2.0

//! The life of an array, and what `array_state` shows.
//!
//! [`Array`] is the machine. What an administrator asks for by a word is judged in [`request`](super::request), I/O in
//! [`admit`](super::admit); what happens otherwise (a start that succeeded, a failure that broke redundancy) goes
//! through [`Array::step`].
//!
//! Behaviour follows `array_state_show()`, `do_md_run()`, `do_md_stop()` and `md_error()` of C md.

use core::fmt;

use super::clean::{self, Dirtiness};
use super::Next;
use crate::words::array::ArrayState;

/// How a running array may be accessed. One that is not writable is clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Writes are refused.
    ReadOnly,
    /// Writes are admitted and turn the array writable.
    ReadAuto,
    /// Writes are admitted.
    Writable(Dirtiness),
}

/// Whether the array still has all its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It has.
    Intact,
    /// More members failed than the level survives. Stays until the array is stopped.
    Broken,
}

/// The array as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Array {
    /// Neither members nor geometry.
    Clear,
    /// Something is configured; nothing runs.
    Inactive,
    /// A personality serves I/O.
    Running {
        /// What I/O it admits.
        access: Access,
        /// Whether it lost data.
        failure: Failure,
    },
}

impl Array {
    /// Every state there is.
    pub const ALL: [Self; 14] = [
        Self::Clear,
        Self::Inactive,
        Self::running(Access::ReadOnly, Failure::Intact),
        Self::running(Access::ReadAuto, Failure::Intact),
        Self::running(Access::Writable(Dirtiness::Clean), Failure::Intact),
        Self::running(Access::Writable(Dirtiness::WritePending), Failure::Intact),
        Self::running(Access::Writable(Dirtiness::Active), Failure::Intact),
        Self::running(Access::Writable(Dirtiness::ActiveIdle), Failure::Intact),
        Self::running(Access::ReadOnly, Failure::Broken),
        Self::running(Access::ReadAuto, Failure::Broken),
        Self::running(Access::Writable(Dirtiness::Clean), Failure::Broken),
        Self::running(Access::Writable(Dirtiness::WritePending), Failure::Broken),
        Self::running(Access::Writable(Dirtiness::Active), Failure::Broken),
        Self::running(Access::Writable(Dirtiness::ActiveIdle), Failure::Broken),
    ];

    /// Shorthand for [`Array::Running`].
    pub const fn running(access: Access, failure: Failure) -> Self {
        Self::Running { access, failure }
    }

    /// Whether it runs and may be written to.
    pub const fn is_writable(self) -> bool {
        matches!(
            self,
            Self::Running {
                access: Access::Writable(_),
                ..
            }
        )
    }

    /// The word `array_state` shows. `broken` shows only where `clean` would.
    pub const fn shown(self) -> ArrayState {
        match self {
            Self::Clear => ArrayState::Clear,
            Self::Inactive => ArrayState::Inactive,
            Self::Running {
                access: Access::ReadOnly,
                ..
            } => ArrayState::Readonly,
            Self::Running {
                access: Access::ReadAuto,
                ..
            } => ArrayState::ReadAuto,
            Self::Running {
                access: Access::Writable(dirtiness),
                failure,
            } => match (dirtiness, failure) {
                (Dirtiness::Clean, Failure::Intact) => ArrayState::Clean,
                (Dirtiness::Clean, Failure::Broken) => ArrayState::Broken,
                (Dirtiness::WritePending, _) => ArrayState::WritePending,
                (Dirtiness::Active, _) => ArrayState::Active,
                (Dirtiness::ActiveIdle, _) => ArrayState::ActiveIdle,
            },
        }
    }
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("Clear"),
            Self::Inactive => f.write_str("Inactive"),
            Self::Running { access, failure } => {
                match access {
                    Access::ReadOnly => f.write_str("ReadOnly"),
                    Access::ReadAuto => f.write_str("ReadAuto"),
                    Access::Writable(dirtiness) => dirtiness.fmt(f),
                }?;
                match failure {
                    Failure::Intact => Ok(()),
                    Failure::Broken => f.write_str(", broken"),
                }
            }
        }
    }
}

/// How to start an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAs {
    /// Refusing writes.
    ReadOnly,
    /// Read-only until the first write.
    ReadAuto,
    /// Writable.
    Writable,
}

impl StartAs {
    /// All three.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::ReadAuto, Self::Writable];

    /// The access of an array just started so; it starts clean.
    pub const fn access(self) -> Access {
        match self {
            Self::ReadOnly => Access::ReadOnly,
            Self::ReadAuto => Access::ReadAuto,
            Self::Writable => Access::Writable(Dirtiness::Clean),
        }
    }
}

/// What happens to an array other than by a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It got a first member or a geometry.
    Configured,
    /// It lost its last member and its geometry.
    Emptied,
    /// It was started.
    Started(StartAs),
    /// It was stopped, configuration kept.
    Stopped,
    /// The first write reached a read-auto array, or something else asked for it to be writable.
    Reopened,
    /// More members failed than the level survives.
    Broke,
    /// Clean/dirty tracking moved.
    Tracked(clean::Event),
}

impl Event {
    /// All events.
    pub const ALL: [Self; 12] = [
        Self::Configured,
        Self::Emptied,
        Self::Started(StartAs::ReadOnly),
        Self::Started(StartAs::ReadAuto),
        Self::Started(StartAs::Writable),
        Self::Stopped,
        Self::Reopened,
        Self::Broke,
        Self::Tracked(clean::Event::WriteStart),
        Self::Tracked(clean::Event::Recorded),
        Self::Tracked(clean::Event::DelayPassed),
        Self::Tracked(clean::Event::Settle),
    ];
}

/// What must not happen to an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// It has no configuration to start from.
    NothingToStart,
    /// It runs already, or still.
    Running,
    /// It does not run.
    NotRunning,
    /// Clean/dirty tracking of an array that is not writable.
    NotWritable,
    /// Clean/dirty tracking refused the event.
    Tracking(clean::Illegal),
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToStart => f.write_str("there is no configuration to start from"),
            Self::Running => f.write_str("the array is running"),
            Self::NotRunning => f.write_str("the array is not running"),
            Self::NotWritable => f.write_str("the array is not writable"),
            Self::Tracking(why) => why.fmt(f),
        }
    }
}

impl Array {
    /// The state after `event`.
    pub fn step(self, event: Event, env: &clean::Env) -> Result<Next<Self>, Illegal> {
        match self {
            Self::Clear => match event {
                Event::Configured => Ok(Next::To(Self::Inactive)),
                Event::Emptied => Ok(Next::Stay),
                Event::Started(_) => Err(Illegal::NothingToStart),
                Event::Stopped | Event::Reopened | Event::Broke | Event::Tracked(_) => {
                    Err(Illegal::NotRunning)
                }
            },
            Self::Inactive => match event {
                Event::Configured => Ok(Next::Stay),
                Event::Emptied => Ok(Next::To(Self::Clear)),
                Event::Started(how) => Ok(Next::To(Self::running(how.access(), Failure::Intact))),
                Event::Stopped | Event::Reopened | Event::Broke | Event::Tracked(_) => {
                    Err(Illegal::NotRunning)
                }
            },
            Self::Running { access, failure } => Self::step_running(access, failure, event, env),
        }
    }

    fn step_running(
        access: Access,
        failure: Failure,
        event: Event,
        env: &clean::Env,
    ) -> Result<Next<Self>, Illegal> {
        let current = Self::running(access, failure);
        match event {
            Event::Configured => Ok(Next::Stay),
            Event::Emptied | Event::Started(_) => Err(Illegal::Running),
            Event::Stopped => Ok(Next::To(Self::Inactive)),
            Event::Broke => Ok(Next::from(current, Self::running(access, Failure::Broken))),
            Event::Reopened => Ok(match access {
                Access::Writable(_) => Next::Stay,
                _ => Next::To(Self::running(Access::Writable(Dirtiness::Clean), failure)),
            }),
            Event::Tracked(event) => {
                let Access::Writable(dirtiness) = access else {
                    return Err(Illegal::NotWritable);
                };
                let next = dirtiness.step(event, env).map_err(Illegal::Tracking)?;
                Ok(Next::from(
                    current,
                    Self::running(Access::Writable(next.after(dirtiness)), failure),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_but_suspended_is_shown_by_some_state() {
        for word in ArrayState::ALL {
            let shown = Array::ALL.iter().any(|state| state.shown() == *word);
            assert_eq!(shown, *word != ArrayState::Suspended, "{word}");
        }
    }

    #[test]
    fn a_broken_array_shows_it_only_when_clean() {
        let broken = |d| Array::running(Access::Writable(d), Failure::Broken).shown();
        assert_eq!(broken(Dirtiness::Clean), ArrayState::Broken);
        assert_eq!(broken(Dirtiness::Active), ArrayState::Active);
    }
}
