// SPDX-License-Identifier: GPL-2.0

//! One member of an array: spare, rebuilding, in sync, journal, faulty.
//!
//! What C md keeps in `raid_disk`, `saved_raid_disk`, `recovery_offset` and the flags `In_sync`, `Faulty`, `Journal`,
//! `Replacement` and `Blocked` is one value here, so that a member cannot be faulty and in sync, or rebuilding without
//! a slot. Flags that combine with any state (write-mostly, failfast, want-replacement) are not part of it.
//!
//! Behaviour follows `md_error()`, the `error_handler`s, `rdev_removeable()`, `remove_and_add_spares()`,
//! `md_reap_sync_thread()` and `state_store()` of C md.

use core::fmt;

use super::Next;
use crate::units::{Sector, Slot};

/// Which of the two chairs of a slot a member sits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The member of the slot.
    Main,
    /// The one that is to replace it.
    Replacement,
}

/// A place in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The slot.
    pub slot: Slot,
    /// Which chair of it.
    pub seat: Seat,
}

/// What a faulty member was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It has no slot now; `last` is the one it may be re-added to with the help of a bitmap.
    Spare {
        /// C md's `saved_raid_disk`.
        last: Option<Slot>,
    },
    /// It still occupies this place.
    Place(Place),
    /// The journal.
    Journal,
}

/// Whether everybody who must know of a failure knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The survivors' superblocks (or the external manager) do not say so yet: no write to the failed region may be
    /// acknowledged, and the member may not leave. C md's `Blocked`.
    Pending,
    /// They do.
    Done,
}

/// The state of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// It holds no data of the array.
    Spare {
        /// The slot it may be re-added to with the help of a bitmap.
        last: Option<Slot>,
    },
    /// Its data is valid below `upto`.
    Rebuilding {
        /// Its place.
        place: Place,
        /// First sector of its data that is not recovered; [`Sector::MAX`] when all is.
        upto: Sector,
    },
    /// All its data is valid.
    InSync(Place),
    /// It holds the write journal.
    Journal {
        /// Where the journal was last checkpointed.
        tail: Sector,
    },
    /// It failed; nothing is read from it or written to it.
    Faulty {
        /// What it was.
        was: Duty,
        /// Whether that is recorded.
        record: Record,
    },
}

impl Member {
    /// The place it occupies, if any. A faulty member occupies its place until it is detached.
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Rebuilding { place, .. }
            | Self::InSync(place)
            | Self::Faulty {
                was: Duty::Place(place),
                ..
            } => Some(*place),
            _ => None,
        }
    }

    /// Whether data below `end` (exclusive) can be read from it.
    pub fn can_read_below(&self, end: Sector) -> bool {
        match self {
            Self::InSync(_) => true,
            Self::Rebuilding { upto, .. } => end <= *upto,
            Self::Spare { .. } | Self::Journal { .. } | Self::Faulty { .. } => false,
        }
    }

    /// Whether data writes go to it.
    pub const fn takes_writes(&self) -> bool {
        matches!(self, Self::InSync(_) | Self::Rebuilding { .. })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spare { last: None } => f.write_str("Spare"),
            Self::Spare { last: Some(_) } => f.write_str("Spare (last slot known)"),
            Self::Rebuilding { place, upto } => {
                let part = if *upto == Sector::MAX { "all" } else { "part" };
                write!(f, "Rebuilding {:?}, {part} recovered", place.seat)
            }
            Self::InSync(place) => write!(f, "InSync {:?}", place.seat),
            Self::Journal { .. } => f.write_str("Journal"),
            Self::Faulty { was, record } => {
                let was = match was {
                    Duty::Spare { last: None } => "spare",
                    Duty::Spare { last: Some(_) } => "spare (last slot known)",
                    Duty::Place(_) => "placed",
                    Duty::Journal => "journal",
                };
                let record = match record {
                    Record::Pending => "unrecorded",
                    Record::Done => "recorded",
                };
                write!(f, "Faulty {was}, {record}")
            }
        }
    }
}

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It gets a place and is to be recovered from the start.
    Place(Place),
    /// It gets a place with valid data: found so at assembly, or re-added to an array that missed nothing.
    Join(Place),
    /// Recovery has made its data valid below this sector; a lower one than before is ignored.
    Advance(Sector),
    /// The personality takes it into service after a recovery.
    Activate,
    /// It failed, or was said to have.
    Fail,
    /// Its failure is recorded, or the administrator declared it so (`-blocked`, `remove`).
    Acknowledge,
    /// It is to give up its place.
    Detach,
    /// The administrator asks for it to be taken back (`re-add`).
    Readd,
    /// A replacement takes the main seat, recovered or not: nobody has it any more.
    Promote,
    /// The array is complete: what a member once was no longer counts.
    Forget,
    /// The administrator distrusts its data (`-insync`).
    Distrust,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(_) => f.write_str("Place"),
            Self::Join(_) => f.write_str("Join"),
            Self::Advance(upto) if *upto == Sector::MAX => f.write_str("Advance to the end"),
            Self::Advance(_) => f.write_str("Advance"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Whether I/O to the member is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// None: C md's `nr_pending == 0`.
    None,
    /// Some.
    Some,
}

impl Pending {
    /// Both.
    pub const ALL: [Self; 2] = [Self::None, Self::Some];
}

/// What the failure of a member in sync would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that the level, or the administrator (`fail_last_dev`), would not accept.
    Acceptable,
    /// It is the last copy of a mirror and is kept: a member that answers sometimes is better than none.
    LastCopy,
}

impl Loss {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Acceptable, Self::LastCopy];
}

/// Whether the array runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// It does not.
    Stopped,
    /// It does.
    Running,
}

impl Run {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stopped, Self::Running];
}

/// What a step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// I/O in flight to this member.
    pub pending: Pending,
    /// What its failure would cost.
    pub loss: Loss,
    /// Whether the array runs.
    pub run: Run,
}

/// What must not happen to a member, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// It has a place already. C md: `EBUSY`.
    HasPlace,
    /// It has no place.
    NoPlace,
    /// It is faulty.
    Faulty,
    /// It is the journal, which has no slot.
    Journal,
    /// Its data is in use; fail it first. C md: `EBUSY`.
    InSync,
    /// It is not being rebuilt.
    NotRebuilding,
    /// Its recovery is not complete.
    Incomplete,
    /// It is not a replacement.
    NotReplacement,
    /// I/O to it is in flight. C md: `EBUSY`.
    IoInFlight,
    /// Its failure is not recorded yet. C md: `EBUSY`.
    Unrecorded,
    /// It is the last copy, and stays: the array is broken instead. C md: `EBUSY`.
    LastCopy,
    /// It is not a faulty member that has left a slot. C md: `EBUSY`.
    NotReaddable,
    /// The array runs.
    Running,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HasPlace => "the member has a place already",
            Self::NoPlace => "the member has no place",
            Self::Faulty => "the member is faulty",
            Self::Journal => "the member is the journal",
            Self::InSync => "the member is in sync",
            Self::NotRebuilding => "the member is not being rebuilt",
            Self::Incomplete => "the recovery of the member is not complete",
            Self::NotReplacement => "the member is not a replacement",
            Self::IoInFlight => "I/O to the member is in flight",
            Self::Unrecorded => "the failure of the member is not recorded yet",
            Self::LastCopy => "the member holds the last copy of the data",
            Self::NotReaddable => "the member has no slot to be re-added to",
            Self::Running => "the array is running",
        })
    }
}

impl Member {
    /// The state after `event`.
    pub fn step(self, event: Event, env: &Env) -> Result<Next<Self>, Illegal> {
        match event {
            Event::Place(place) => self.take(Self::Rebuilding {
                place,
                upto: Sector::ZERO,
            }),
            Event::Join(place) => self.take(Self::InSync(place)),
            Event::Advance(to) => self.advance(to),
            Event::Activate => self.activate(),
            Event::Fail => self.fail(env.loss),
            Event::Acknowledge => Ok(self.acknowledge()),
            Event::Detach => self.detach(env.pending),
            Event::Readd => self.readd(),
            Event::Promote => self.promote(),
            Event::Forget => Ok(self.forget()),
            Event::Distrust => self.distrust(env.run),
        }
    }

    fn take(self, then: Self) -> Result<Next<Self>, Illegal> {
        match self {
            Self::Spare { .. } => Ok(Next::To(then)),
            Self::Rebuilding { .. } | Self::InSync(_) => Err(Illegal::HasPlace),
            Self::Journal { .. } => Err(Illegal::Journal),
            Self::Faulty { .. } => Err(Illegal::Faulty),
        }
    }

    fn advance(self, to: Sector) -> Result<Next<Self>, Illegal> {
        match self {
            Self::Rebuilding { place, upto } => Ok(Next::from(
                self,
                Self::Rebuilding {
                    place,
                    upto: upto.max(to),
                },
            )),
            Self::Faulty { .. } => Err(Illegal::Faulty),
            Self::Spare { .. } | Self::InSync(_) | Self::Journal { .. } => {
                Err(Illegal::NotRebuilding)
            }
        }
    }

    fn activate(self) -> Result<Next<Self>, Illegal> {
        match self {
            Self::Rebuilding { place, upto } if upto == Sector::MAX => {
                Ok(Next::To(Self::InSync(place)))
            }
            Self::Rebuilding { .. } => Err(Illegal::Incomplete),
            Self::InSync(_) => Ok(Next::Stay),
            Self::Faulty { .. } => Err(Illegal::Faulty),
            Self::Spare { .. } | Self::Journal { .. } => Err(Illegal::NotRebuilding),
        }
    }

    fn fail(self, loss: Loss) -> Result<Next<Self>, Illegal> {
        let was = match self {
            Self::Faulty { .. } => return Ok(Next::Stay),
            Self::InSync(_) if loss == Loss::LastCopy => return Err(Illegal::LastCopy),
            Self::InSync(place) | Self::Rebuilding { place, .. } => Duty::Place(place),
            Self::Spare { last } => Duty::Spare { last },
            Self::Journal { .. } => Duty::Journal,
        };
        Ok(Next::To(Self::Faulty {
            was,
            record: Record::Pending,
        }))
    }

    fn acknowledge(self) -> Next<Self> {
        match self {
            Self::Faulty { was, .. } => Next::from(
                self,
                Self::Faulty {
                    was,
                    record: Record::Done,
                },
            ),
            _ => Next::Stay,
        }
    }

    /// A member that left its place remembers the slot: with a bitmap it needs only what it missed.
    fn detach(self, pending: Pending) -> Result<Next<Self>, Illegal> {
        let then = match self {
            Self::Spare { .. }
            | Self::Faulty {
                was: Duty::Spare { .. },
                ..
            } => return Ok(Next::Stay),
            Self::InSync(_) => return Err(Illegal::InSync),
            Self::Journal { .. } => return Err(Illegal::Journal),
            Self::Faulty {
                record: Record::Pending,
                ..
            } => return Err(Illegal::Unrecorded),
            Self::Rebuilding { place, .. } => Self::Spare {
                last: Some(place.slot),
            },
            Self::Faulty {
                was: Duty::Place(place),
                record,
            } => Self::Faulty {
                was: Duty::Spare {
                    last: Some(place.slot),
                },
                record,
            },
            Self::Faulty {
                was: Duty::Journal,
                record,
            } => Self::Faulty {
                was: Duty::Spare { last: None },
                record,
            },
        };
        match pending {
            Pending::None => Ok(Next::To(then)),
            Pending::Some => Err(Illegal::IoInFlight),
        }
    }

    fn readd(self) -> Result<Next<Self>, Illegal> {
        match self {
            Self::Faulty {
                was: Duty::Spare { last: Some(slot) },
                ..
            } => Ok(Next::To(Self::Spare { last: Some(slot) })),
            _ => Err(Illegal::NotReaddable),
        }
    }

    fn promote(self) -> Result<Next<Self>, Illegal> {
        let main = |place: Place| match place.seat {
            Seat::Replacement => Ok(Place {
                seat: Seat::Main,
                ..place
            }),
            Seat::Main => Err(Illegal::NotReplacement),
        };
        match self {
            Self::InSync(place) => Ok(Next::To(Self::InSync(main(place)?))),
            // Its main member is gone: it is what is left of the slot.
            Self::Rebuilding { place, upto } => {
                let place = main(place)?;
                Ok(Next::To(Self::Rebuilding { place, upto }))
            }
            Self::Faulty { .. } => Err(Illegal::Faulty),
            Self::Spare { .. } | Self::Journal { .. } => Err(Illegal::NotReplacement),
        }
    }

    fn forget(self) -> Next<Self> {
        match self {
            Self::Spare { .. } => Next::from(self, Self::Spare { last: None }),
            Self::Faulty {
                was: Duty::Spare { .. },
                record,
            } => Next::from(
                self,
                Self::Faulty {
                    was: Duty::Spare { last: None },
                    record,
                },
            ),
            _ => Next::Stay,
        }
    }

    fn distrust(self, run: Run) -> Result<Next<Self>, Illegal> {
        match (self, run) {
            (Self::InSync(_) | Self::Rebuilding { .. }, Run::Running) => Err(Illegal::Running),
            (Self::InSync(place) | Self::Rebuilding { place, .. }, Run::Stopped) => {
                Ok(Next::To(Self::Spare {
                    last: Some(place.slot),
                }))
            }
            (Self::Spare { .. }, _) => Err(Illegal::NoPlace),
            (Self::Journal { .. }, _) => Err(Illegal::Journal),
            (Self::Faulty { .. }, _) => Err(Illegal::Faulty),
        }
    }

    /// Whether the member may be released from the array altogether.
    pub const fn may_leave(&self) -> Result<(), Illegal> {
        match self {
            Self::Spare { .. }
            | Self::Faulty {
                was: Duty::Spare { .. },
                ..
            } => Ok(()),
            Self::Journal { .. } => Err(Illegal::Journal),
            Self::Rebuilding { .. } | Self::InSync(_) | Self::Faulty { .. } => {
                Err(Illegal::HasPlace)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: Env = Env {
        pending: Pending::None,
        loss: Loss::Acceptable,
        run: Run::Running,
    };
    const PLACE: Place = Place {
        slot: Slot::new(1),
        seat: Seat::Main,
    };

    fn run(start: Member, events: &[Event]) -> Result<Member, Illegal> {
        events.iter().try_fold(start, |member, event| {
            member.step(*event, &ENV).map(|next| next.after(member))
        })
    }

    #[test]
    fn a_spare_is_recovered_into_service() {
        let events = [
            Event::Place(PLACE),
            Event::Advance(Sector::new(64)),
            Event::Advance(Sector::MAX),
            Event::Activate,
        ];
        assert_eq!(
            run(Member::Spare { last: None }, &events),
            Ok(Member::InSync(PLACE))
        );
        assert_eq!(
            run(
                Member::Spare { last: None },
                &[Event::Place(PLACE), Event::Activate]
            ),
            Err(Illegal::Incomplete)
        );
    }

    #[test]
    fn a_failed_member_leaves_only_when_recorded_and_may_come_back() {
        let start = Member::InSync(PLACE);
        assert_eq!(
            run(start, &[Event::Fail, Event::Detach]),
            Err(Illegal::Unrecorded)
        );
        let back = [Event::Fail, Event::Acknowledge, Event::Detach, Event::Readd];
        assert_eq!(
            run(start, &back),
            Ok(Member::Spare {
                last: Some(PLACE.slot)
            })
        );
        let forgotten = [
            Event::Fail,
            Event::Acknowledge,
            Event::Detach,
            Event::Forget,
            Event::Readd,
        ];
        assert_eq!(run(start, &forgotten), Err(Illegal::NotReaddable));
    }

    #[test]
    fn the_last_copy_is_kept() {
        let env = Env {
            loss: Loss::LastCopy,
            ..ENV
        };
        assert_eq!(
            Member::InSync(PLACE).step(Event::Fail, &env),
            Err(Illegal::LastCopy)
        );
        let rebuilding = Member::Rebuilding {
            place: PLACE,
            upto: Sector::ZERO,
        };
        assert!(rebuilding.step(Event::Fail, &env).is_ok());
    }

    #[test]
    fn progress_never_goes_back() {
        let at = |n| Member::Rebuilding {
            place: PLACE,
            upto: Sector::new(n),
        };
        assert_eq!(
            at(8).step(Event::Advance(Sector::new(7)), &ENV),
            Ok(Next::Stay)
        );
        assert_eq!(
            at(8).step(Event::Advance(Sector::new(9)), &ENV),
            Ok(Next::To(at(9)))
        );
    }

    #[test]
    fn reads_stop_where_recovery_stands() {
        let member = Member::Rebuilding {
            place: PLACE,
            upto: Sector::new(8),
        };
        assert!(member.can_read_below(Sector::new(8)));
        assert!(!member.can_read_below(Sector::new(9)));
        assert!(member.takes_writes());
    }
}
