// SPDX-License-Identifier: GPL-2.0

//! What an administrator may ask of an array by writing to `array_state`.
//!
//! [`Array::request`] judges a word: it answers with the work to do and the state that follows, or refuses by name.
//!
//! Behaviour follows `array_state_store()`, `restart_array()` and `md_set_readonly()` of C md, but for one thing:
//! where C ignores that a read-auto array cannot become writable (journal missing, read-only member) and reports
//! success, the refusal is reported here.

use core::fmt;

use super::array::{Access, Array, Failure, StartAs};
use super::clean::{self, Dirtiness, Writes};
use super::{Metadata, Next};
use crate::words::array::ArrayStateRequest;

/// Whether anything but the writer of the word has the array open (file systems, stacked devices).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openers {
    /// Nobody.
    None,
    /// Somebody.
    Some,
}

impl Openers {
    /// Both.
    pub const ALL: [Self; 2] = [Self::None, Self::Some];
}

/// Whether the members allow the array to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writability {
    /// They do.
    Allowed,
    /// The array has a journal, and its device is missing or faulty.
    JournalMissing,
    /// A member is a read-only device.
    MemberReadOnly,
}

impl Writability {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Allowed, Self::JournalMissing, Self::MemberReadOnly];
}

/// What a request depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// Others that hold the array open.
    pub openers: Openers,
    /// Data writes in flight.
    pub writes: Writes,
    /// Who writes the superblock.
    pub metadata: Metadata,
    /// What the members allow.
    pub writability: Writability,
}

/// What the driver has to do before the new state holds. If the work fails the state stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Start the array from its configuration.
    Start(StartAs),
    /// Stop it; keep members and configuration.
    Stop,
    /// Stop it if it runs, release the members, forget the configuration, remove the device.
    Dismantle,
    /// Stop sync and writes, mark the superblocks clean.
    StopWrites,
    /// Let the sync thread look again; writes are admitted from now on.
    AllowWrites,
    /// Write the superblocks clean.
    MarkClean,
    /// Writers that waited for the external manager may go.
    ReleaseWriters,
    /// Only the state changes.
    Relabel,
}

/// The answer to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Accepted; nothing to do.
    Nothing,
    /// Do `work`; when it has succeeded the array is in state `then`.
    Do {
        /// The work.
        work: Work,
        /// The state after it.
        then: Array,
    },
}

/// Why a word is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An array that does not run cannot be marked clean. C md: `EINVAL`.
    NotRunning,
    /// Somebody has the array open. C md: `EBUSY`.
    InUse,
    /// Writes are in flight, so it cannot be marked clean. C md: `EBUSY`.
    WritesInFlight,
    /// The external manager has yet to record the array as dirty. C md: `EBUSY`.
    ManagerPending,
    /// It is read-only. C md: `ENXIO`.
    AlreadyReadOnly,
    /// It has a journal whose device is missing or faulty. C md: `EINVAL`.
    JournalMissing,
    /// A member is a read-only device. C md: `EROFS`.
    MemberReadOnly,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "the array is not running",
            Self::InUse => "the array is in use",
            Self::WritesInFlight => "writes are in flight",
            Self::ManagerPending => "the metadata manager has not recorded the array as dirty yet",
            Self::AlreadyReadOnly => "the array is read-only already",
            Self::JournalMissing => "the journal device is missing or faulty",
            Self::MemberReadOnly => "a member is a read-only device",
        })
    }
}

impl Array {
    /// Judges `word` written to `array_state`.
    pub fn request(self, word: ArrayStateRequest, env: &Env) -> Result<Plan, Refusal> {
        match word {
            ArrayStateRequest::Clear => self.close(env).map(|()| Plan::Do {
                work: Work::Dismantle,
                then: Self::Clear,
            }),
            ArrayStateRequest::Inactive => self.deactivate(env),
            ArrayStateRequest::Readonly => self.make_read_only(env),
            ArrayStateRequest::ReadAuto => self.make_read_auto(env),
            ArrayStateRequest::Clean => self.make_clean(env),
            ArrayStateRequest::Active => self.make_active(env),
        }
    }

    /// A writable array may be closed only if nobody else has it open.
    fn close(self, env: &Env) -> Result<(), Refusal> {
        match (self, env.openers) {
            (
                Self::Running {
                    access: Access::Writable(_),
                    ..
                },
                Openers::Some,
            ) => Err(Refusal::InUse),
            _ => Ok(()),
        }
    }

    fn deactivate(self, env: &Env) -> Result<Plan, Refusal> {
        self.close(env)?;
        Ok(match self {
            Self::Clear | Self::Inactive => Plan::Nothing,
            Self::Running { .. } => Plan::Do {
                work: Work::Stop,
                then: Self::Inactive,
            },
        })
    }

    fn make_read_only(self, env: &Env) -> Result<Plan, Refusal> {
        self.close(env)?;
        match self {
            Self::Clear | Self::Inactive => Ok(Self::start(StartAs::ReadOnly)),
            Self::Running {
                access: Access::ReadOnly,
                ..
            } => Err(Refusal::AlreadyReadOnly),
            Self::Running { access, failure } => {
                Self::may_stop_writes(access, env)?;
                Ok(Plan::Do {
                    work: Work::StopWrites,
                    then: Self::running(Access::ReadOnly, failure),
                })
            }
        }
    }

    fn make_read_auto(self, env: &Env) -> Result<Plan, Refusal> {
        self.close(env)?;
        match self {
            Self::Clear | Self::Inactive => Ok(Self::start(StartAs::ReadAuto)),
            Self::Running {
                access: Access::ReadAuto,
                ..
            } => Ok(Plan::Nothing),
            Self::Running {
                access: Access::ReadOnly,
                failure,
            } => {
                Self::may_write(env)?;
                Ok(Plan::Do {
                    work: Work::Relabel,
                    then: Self::running(Access::ReadAuto, failure),
                })
            }
            Self::Running { access, failure } => {
                Self::may_stop_writes(access, env)?;
                Ok(Plan::Do {
                    work: Work::StopWrites,
                    then: Self::running(Access::ReadAuto, failure),
                })
            }
        }
    }

    fn make_clean(self, env: &Env) -> Result<Plan, Refusal> {
        let clean = Access::Writable(Dirtiness::Clean);
        match self {
            Self::Clear | Self::Inactive => Err(Refusal::NotRunning),
            Self::Running {
                access: Access::Writable(dirtiness),
                failure,
            } => {
                let env = clean::Env {
                    writes: env.writes,
                    metadata: env.metadata,
                };
                match dirtiness.step(clean::Event::Settle, &env) {
                    Ok(Next::Stay) => Ok(Plan::Nothing),
                    Ok(Next::To(_)) => Ok(Plan::Do {
                        work: Work::MarkClean,
                        then: Self::running(clean, failure),
                    }),
                    Err(_) => Err(Refusal::WritesInFlight),
                }
            }
            Self::Running { failure, .. } => {
                Self::may_write(env)?;
                Ok(Plan::Do {
                    work: Work::AllowWrites,
                    then: Self::running(clean, failure),
                })
            }
        }
    }

    fn make_active(self, env: &Env) -> Result<Plan, Refusal> {
        match self {
            Self::Clear | Self::Inactive => Ok(Self::start(StartAs::Writable)),
            Self::Running {
                access: Access::Writable(Dirtiness::WritePending),
                failure,
            } => Ok(Plan::Do {
                work: Work::ReleaseWriters,
                then: Self::running(Access::Writable(Dirtiness::Active), failure),
            }),
            Self::Running {
                access: Access::Writable(_),
                ..
            } => Ok(Plan::Nothing),
            Self::Running { failure, .. } => {
                Self::may_write(env)?;
                let then = Self::running(Access::Writable(Dirtiness::Clean), failure);
                Ok(Plan::Do {
                    work: Work::AllowWrites,
                    then,
                })
            }
        }
    }

    const fn start(how: StartAs) -> Plan {
        // Whether it can start at all is found out by starting it.
        Plan::Do {
            work: Work::Start(how),
            then: Self::running(how.access(), Failure::Intact),
        }
    }

    fn may_stop_writes(access: Access, env: &Env) -> Result<(), Refusal> {
        // The driver waits for its own superblock write; it cannot wait for a program.
        match (access, env.metadata) {
            (Access::Writable(Dirtiness::WritePending), Metadata::External) => {
                Err(Refusal::ManagerPending)
            }
            _ => Ok(()),
        }
    }

    fn may_write(env: &Env) -> Result<(), Refusal> {
        match env.writability {
            Writability::Allowed => Ok(()),
            Writability::JournalMissing => Err(Refusal::JournalMissing),
            Writability::MemberReadOnly => Err(Refusal::MemberReadOnly),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Env = Env {
        openers: Openers::None,
        writes: Writes::Quiet,
        metadata: Metadata::Native,
        writability: Writability::Allowed,
    };

    #[test]
    fn openers_hold_only_a_writable_array() {
        let env = Env {
            openers: Openers::Some,
            ..QUIET
        };
        for word in [
            ArrayStateRequest::Clear,
            ArrayStateRequest::Inactive,
            ArrayStateRequest::Readonly,
            ArrayStateRequest::ReadAuto,
        ] {
            for state in Array::ALL {
                let writable = matches!(
                    state,
                    Array::Running {
                        access: Access::Writable(_),
                        ..
                    }
                );
                assert_eq!(
                    state.request(word, &env) == Err(Refusal::InUse),
                    writable,
                    "{state} {word:?}"
                );
            }
        }
    }

    #[test]
    fn active_releases_the_waiting_writer() {
        let state = Array::running(Access::Writable(Dirtiness::WritePending), Failure::Intact);
        let then = Array::running(Access::Writable(Dirtiness::Active), Failure::Intact);
        assert_eq!(
            state.request(ArrayStateRequest::Active, &QUIET),
            Ok(Plan::Do {
                work: Work::ReleaseWriters,
                then
            })
        );
    }
}
