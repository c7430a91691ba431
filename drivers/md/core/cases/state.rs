// SPDX-License-Identifier: GPL-2.0

//! Cases of [`state`](crate::state): what the sysfs words show and do, the order of sync passes, event counts, the
//! life of a member, and the takeover matrix.

use super::{ensure, Case, Suite, Verdict};
use crate::format::level::Level;
use crate::state::admit::{Admission, Io, IoRefusal};
use crate::state::array::{Access, Array, Failure};
use crate::state::clean::{Before, Change, Dirtiness, Rollback, Settled, Spares, SuperUpdate};
use crate::state::member::{self, Loss, Member, Pending, Place, Run, Seat};
use crate::state::pass::{Action, Pass};
use crate::state::sync::{self, choose, Neighbours, Recovery, Request, Reshape, Resync, Sync};
use crate::state::takeover::{
    takeover, Bitmap, LastSlot, LayoutNumber, Others, Slots, Source, Zones,
};
use crate::state::Health;
use crate::units::{Events, Sector, Sectors, Slot};
use crate::words::array::ArrayState;
use crate::words::sync::SyncAction;

mod request;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "state",
    cases: &[
        Case {
            name: "array_state_shown",
            run: array_state_shown,
        },
        Case {
            name: "array_state_written_inactive",
            run: request::of_inactive,
        },
        Case {
            name: "array_state_written_writable",
            run: request::of_writable,
        },
        Case {
            name: "array_state_written_read_only",
            run: request::of_read_only,
        },
        Case {
            name: "io_admitted",
            run: io_admitted,
        },
        Case {
            name: "events_of_superblock_updates",
            run: events_of_updates,
        },
        Case {
            name: "sync_precedence",
            run: sync_precedence,
        },
        Case {
            name: "sync_words",
            run: sync_words,
        },
        Case {
            name: "member_life",
            run: member_life,
        },
        Case {
            name: "member_refusals",
            run: member_refusals,
        },
        Case {
            name: "takeover_matrix",
            run: takeover_matrix,
        },
    ],
};

/// A writable array.
const fn writable(dirtiness: Dirtiness) -> Array {
    Array::running(Access::Writable(dirtiness), Failure::Intact)
}

/// A read-only array, and one that is until the first write.
const READ_ONLY: Array = Array::running(Access::ReadOnly, Failure::Intact);
const READ_AUTO: Array = Array::running(Access::ReadAuto, Failure::Intact);

fn array_state_shown() -> Verdict {
    let shown = [
        (Array::Clear, ArrayState::Clear),
        (Array::Inactive, ArrayState::Inactive),
        (READ_ONLY, ArrayState::Readonly),
        (READ_AUTO, ArrayState::ReadAuto),
        (writable(Dirtiness::Clean), ArrayState::Clean),
        (writable(Dirtiness::WritePending), ArrayState::WritePending),
        (writable(Dirtiness::Active), ArrayState::Active),
        (writable(Dirtiness::ActiveIdle), ArrayState::ActiveIdle),
        (
            Array::running(Access::Writable(Dirtiness::Clean), Failure::Broken),
            ArrayState::Broken,
        ),
        (
            Array::running(Access::Writable(Dirtiness::Active), Failure::Broken),
            ArrayState::Active,
        ),
        (
            Array::running(Access::ReadOnly, Failure::Broken),
            ArrayState::Readonly,
        ),
    ];
    for (n, (array, word)) in (0u64..).zip(shown) {
        ensure(array.shown() == word, "the word shown", n)?;
    }
    Ok(())
}

fn io_admitted() -> Verdict {
    let broken = Array::running(Access::Writable(Dirtiness::Clean), Failure::Broken);
    let rows = [
        (Array::Inactive, Io::Read, Err(IoRefusal::NotRunning)),
        (READ_ONLY, Io::Write, Err(IoRefusal::ReadOnly)),
        (READ_ONLY, Io::EmptyFlush, Ok(Admission::Complete)),
        (READ_AUTO, Io::Write, Ok(Admission::Reopen)),
        (writable(Dirtiness::Clean), Io::Write, Ok(Admission::Track)),
        (
            writable(Dirtiness::WritePending),
            Io::Write,
            Ok(Admission::Track),
        ),
        (writable(Dirtiness::Active), Io::Write, Ok(Admission::Serve)),
        (broken, Io::Write, Err(IoRefusal::Broken)),
        (broken, Io::Read, Ok(Admission::Serve)),
    ];
    for (n, (array, io, expected)) in (0u64..).zip(rows) {
        ensure(array.admit(io) == expected, "the admission of an I/O", n)?;
    }
    Ok(())
}

/// A superblock update: events, change, health, whether settled, rollback; then events, who else is written, rollback.
type UpdateRow = (
    (u64, Change, Health, Settled, Rollback),
    (u64, Spares, Rollback),
);

const UPDATES: [UpdateRow; 6] = [
    (
        (
            8,
            Change::CleanOnly,
            Health::Complete,
            Settled::No,
            Rollback::Forbidden,
        ),
        (9, Spares::Skip, Rollback::Allowed),
    ),
    (
        (
            9,
            Change::CleanOnly,
            Health::Complete,
            Settled::Yes,
            Rollback::Allowed,
        ),
        (8, Spares::Skip, Rollback::Forbidden),
    ),
    (
        (
            9,
            Change::CleanOnly,
            Health::Complete,
            Settled::Yes,
            Rollback::Forbidden,
        ),
        (10, Spares::Skip, Rollback::Allowed),
    ),
    (
        (
            1,
            Change::CleanOnly,
            Health::Complete,
            Settled::Yes,
            Rollback::Allowed,
        ),
        (2, Spares::Skip, Rollback::Allowed),
    ),
    (
        (
            9,
            Change::CleanOnly,
            Health::Degraded,
            Settled::Yes,
            Rollback::Allowed,
        ),
        (10, Spares::Write, Rollback::Forbidden),
    ),
    (
        (
            9,
            Change::Devices,
            Health::Complete,
            Settled::Yes,
            Rollback::Allowed,
        ),
        (10, Spares::Write, Rollback::Forbidden),
    ),
];

fn events_of_updates() -> Verdict {
    for (n, (before, (after, spares, left))) in (0u64..).zip(UPDATES) {
        let (events, change, health, settled, rollback) = before;
        let update = SuperUpdate::decide(&Before {
            events: Events::new(events),
            change,
            health,
            settled,
            rollback,
        });
        let expected = SuperUpdate {
            events: Events::new(after),
            spares,
            rollback: left,
        };
        ensure(update == expected, "the event count of an update", n)?;
    }
    Ok(())
}

/// Nothing due, nothing in the way.
const CALM: sync::Env = sync::Env {
    access: sync::Access::Writable,
    reshape: Reshape::Possible,
    resync: Resync::NotDue,
    recovery: Recovery::NotDue,
    neighbours: Neighbours::Quiet,
};

fn sync_precedence() -> Verdict {
    let resync = sync::Env {
        resync: Resync::Due,
        recovery: Recovery::Due,
        ..CALM
    };
    let recovery = sync::Env {
        recovery: Recovery::Due,
        ..CALM
    };
    let reshape = sync::Env {
        reshape: Reshape::Ready,
        ..resync
    };
    let rows = [
        (
            Request::Check,
            reshape,
            Some((Action::Reshape, Request::Check)),
        ),
        (
            Request::Check,
            sync::Env {
                reshape: Reshape::Stuck,
                ..resync
            },
            None,
        ),
        (
            Request::Check,
            sync::Env {
                access: sync::Access::ReadOnly,
                ..resync
            },
            None,
        ),
        (
            Request::Check,
            resync,
            Some((Action::Resync, Request::Check)),
        ),
        (
            Request::LazyRecover,
            resync,
            Some((Action::Resync, Request::Look)),
        ),
        (
            Request::LazyRecover,
            recovery,
            Some((Action::Recover, Request::LazyRecover)),
        ),
        (
            Request::LazyRecover,
            CALM,
            Some((Action::LazyRecover, Request::Look)),
        ),
        (Request::Check, CALM, Some((Action::Check, Request::Look))),
        (Request::Repair, CALM, Some((Action::Repair, Request::Look))),
        (Request::Look, CALM, None),
    ];
    for (n, (request, env, expected)) in (0u64..).zip(rows) {
        ensure(choose(request, &env) == expected, "the pass chosen", n)?;
    }
    Ok(())
}

/// `check` runs, `frozen` stops it for good, `idle` lets the recovery that is due by then start.
fn sync_words() -> Verdict {
    use sync::Event::{Choose, Ended, Reaped, Write};
    let due = sync::Env {
        recovery: Recovery::Due,
        ..CALM
    };
    let walk = [
        (Write(SyncAction::Check), CALM, SyncAction::Check),
        (Choose, CALM, SyncAction::Check),
        (Write(SyncAction::Frozen), CALM, SyncAction::Frozen),
        (Ended, CALM, SyncAction::Frozen),
        (Reaped, CALM, SyncAction::Frozen),
        (Choose, due, SyncAction::Frozen),
        (Write(SyncAction::Idle), due, SyncAction::Recover),
        (Choose, due, SyncAction::Recover),
        (Ended, CALM, SyncAction::Recover),
        (Reaped, CALM, SyncAction::Idle),
        (Choose, CALM, SyncAction::Idle),
    ];
    let mut state = Sync::Idle;
    for (n, (event, env, shown)) in (0u64..).zip(walk) {
        let Ok(next) = state.step(event, &env) else {
            return ensure(false, "a legal event", n);
        };
        state = next.after(state);
        ensure(state.shown(&env) == shown, "the word shown", n)?;
        if matches!(state, Sync::Active(Pass { .. })) {
            let busy = state.step(Write(SyncAction::Repair), &env);
            ensure(
                busy == Err(sync::Illegal::Busy),
                "other words are refused meanwhile",
                n,
            )?;
        }
    }
    ensure(state == Sync::Idle, "idle in the end", 0)
}

const MAIN: Place = Place {
    slot: Slot::new(2),
    seat: Seat::Main,
};
const ENV: member::Env = member::Env {
    pending: Pending::None,
    loss: Loss::Acceptable,
    run: Run::Running,
};

/// A spare is built up, fails, leaves, comes back, and becomes a stranger once the array is complete without it.
fn member_life() -> Verdict {
    use member::Event::{
        Acknowledge, Activate, Advance, Detach, Fail, Forget, Place as Put, Readd,
    };
    let spare = Member::Spare { last: None };
    let faulty = |was, record| Member::Faulty { was, record };
    let left = member::Duty::Spare {
        last: Some(MAIN.slot),
    };
    let walk = [
        (
            Put(MAIN),
            Member::Rebuilding {
                place: MAIN,
                upto: Sector::ZERO,
            },
        ),
        (
            Advance(Sector::MAX),
            Member::Rebuilding {
                place: MAIN,
                upto: Sector::MAX,
            },
        ),
        (Activate, Member::InSync(MAIN)),
        (
            Fail,
            faulty(member::Duty::Place(MAIN), member::Record::Pending),
        ),
        (
            Acknowledge,
            faulty(member::Duty::Place(MAIN), member::Record::Done),
        ),
        (Detach, faulty(left, member::Record::Done)),
        (
            Readd,
            Member::Spare {
                last: Some(MAIN.slot),
            },
        ),
        (Forget, spare),
    ];
    let mut member = spare;
    for (n, (event, then)) in (0u64..).zip(walk) {
        let Ok(next) = member.step(event, &ENV) else {
            return ensure(false, "a legal event", n);
        };
        member = next.after(member);
        ensure(member == then, "the state of the member", n)?;
    }
    Ok(())
}

fn member_refusals() -> Verdict {
    use member::{Event, Illegal};
    let in_sync = Member::InSync(MAIN);
    let part = Member::Rebuilding {
        place: MAIN,
        upto: Sector::new(8),
    };
    let unrecorded = Member::Faulty {
        was: member::Duty::Place(MAIN),
        record: member::Record::Pending,
    };
    let recorded = Member::Faulty {
        was: member::Duty::Place(MAIN),
        record: member::Record::Done,
    };
    let last = member::Env {
        loss: Loss::LastCopy,
        ..ENV
    };
    let io = member::Env {
        pending: Pending::Some,
        ..ENV
    };
    let rows = [
        (in_sync, Event::Fail, last, Illegal::LastCopy),
        (in_sync, Event::Detach, ENV, Illegal::InSync),
        (in_sync, Event::Place(MAIN), ENV, Illegal::HasPlace),
        (in_sync, Event::Promote, ENV, Illegal::NotReplacement),
        (in_sync, Event::Distrust, ENV, Illegal::Running),
        (part, Event::Activate, ENV, Illegal::Incomplete),
        (part, Event::Detach, io, Illegal::IoInFlight),
        (unrecorded, Event::Detach, ENV, Illegal::Unrecorded),
        (recorded, Event::Detach, io, Illegal::IoInFlight),
        (recorded, Event::Readd, ENV, Illegal::NotReaddable),
        (recorded, Event::Place(MAIN), ENV, Illegal::Faulty),
    ];
    for (n, (member, event, env, why)) in (0u64..).zip(rows) {
        ensure(member.step(event, &env) == Err(why), "the refusal", n)?;
    }
    Ok(())
}

/// Each takeover there is, with the conditions just right: from, layout, slots, missing, to, layout, slots.
const TAKEOVERS: [(Level, u32, u16, u16, Level, u32, u16); 14] = [
    (Level::Raid4, 0, 4, 1, Level::Raid0, 0, 3),
    (Level::Raid5, 5, 4, 1, Level::Raid0, 0, 3),
    (Level::Raid10, 0x102, 4, 2, Level::Raid0, 0, 2),
    (Level::Raid1, 0, 2, 1, Level::Raid0, 0, 1),
    (Level::Raid5, 2, 2, 0, Level::Raid1, 0, 2),
    (Level::Raid0, 0, 3, 0, Level::Raid4, 5, 4),
    (Level::Raid5, 5, 4, 0, Level::Raid4, 0, 4),
    (Level::Raid0, 0, 3, 0, Level::Raid5, 5, 4),
    (Level::Raid1, 0, 2, 0, Level::Raid5, 2, 2),
    (Level::Raid4, 0, 4, 0, Level::Raid5, 5, 4),
    (Level::Raid6, 18, 5, 0, Level::Raid5, 2, 4),
    (Level::Raid6, 5, 5, 0, Level::Raid5, 5, 4),
    (Level::Raid5, 2, 4, 0, Level::Raid6, 18, 5),
    (Level::Raid0, 0, 3, 0, Level::Raid10, 0x102, 6),
];

fn takeover_matrix() -> Verdict {
    for (n, (from, layout, slots, missing, to, new_layout, new_slots)) in (0u64..).zip(TAKEOVERS) {
        let source = Source {
            level: from,
            layout: LayoutNumber(layout),
            slots: Slots(slots),
            missing: Slots(missing),
            last_slot: if missing == 0 {
                LastSlot::Taken
            } else {
                LastSlot::Empty
            },
            others: Others::None,
            bitmap: Bitmap::None,
            zones: Zones::One,
            size: Sectors::new(1 << 20),
            chunk_min: Sectors::new(8),
            slots_end: Slots(u16::MAX),
        };
        let Ok(Some(made)) = takeover(to, &source) else {
            return ensure(false, "a takeover", n);
        };
        let right = (made.level, made.layout.0, made.slots.0) == (to, new_layout, new_slots);
        ensure(right, "the geometry after a takeover", n)?;
    }
    Ok(())
}
