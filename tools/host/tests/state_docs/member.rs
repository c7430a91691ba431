// SPDX-License-Identifier: GPL-2.0

//! The tables of `md_core::state::member`.

use md_core::state::member::{Duty, Env, Event, Loss, Member, Pending, Place, Record, Run, Seat};
use md_core::units::{Sector, Slot};

use crate::render::{check, grouped, next, table, LEGEND};

const MAIN: Place = Place {
    slot: Slot::new(0),
    seat: Seat::Main,
};
const REPLACEMENT: Place = Place {
    slot: Slot::new(0),
    seat: Seat::Replacement,
};

fn states() -> [Member; 12] {
    let left = Duty::Spare {
        last: Some(MAIN.slot),
    };
    [
        Member::Spare { last: None },
        Member::Spare {
            last: Some(MAIN.slot),
        },
        Member::Rebuilding {
            place: MAIN,
            upto: Sector::ZERO,
        },
        Member::Rebuilding {
            place: MAIN,
            upto: Sector::MAX,
        },
        Member::InSync(MAIN),
        Member::InSync(REPLACEMENT),
        Member::Journal { tail: Sector::ZERO },
        Member::Faulty {
            was: Duty::Place(MAIN),
            record: Record::Pending,
        },
        Member::Faulty {
            was: Duty::Place(MAIN),
            record: Record::Done,
        },
        Member::Faulty {
            was: Duty::Journal,
            record: Record::Done,
        },
        Member::Faulty {
            was: left,
            record: Record::Done,
        },
        Member::Faulty {
            was: Duty::Spare { last: None },
            record: Record::Done,
        },
    ]
}

const EVENTS: [Event; 12] = [
    Event::Place(MAIN),
    Event::Join(MAIN),
    Event::Advance(Sector::new(8)),
    Event::Advance(Sector::MAX),
    Event::Activate,
    Event::Fail,
    Event::Acknowledge,
    Event::Detach,
    Event::Readd,
    Event::Promote,
    Event::Forget,
    Event::Distrust,
];

/// What may be in the way of an event, by name.
fn envs() -> [(&'static str, Env); 4] {
    let calm = Env {
        pending: Pending::None,
        loss: Loss::Acceptable,
        run: Run::Running,
    };
    [
        ("array running", calm),
        (
            "array stopped",
            Env {
                run: Run::Stopped,
                ..calm
            },
        ),
        (
            "I/O in flight to the member",
            Env {
                pending: Pending::Some,
                ..calm
            },
        ),
        (
            "the member holds the last copy",
            Env {
                loss: Loss::LastCopy,
                ..calm
            },
        ),
    ]
}

#[test]
fn member() {
    let states = states();
    let text = grouped(
        &envs(),
        |(name, _)| name.to_string(),
        |(_, env)| {
            table(&EVENTS, &states, |event, state| {
                next(&state.step(*event, env))
            })
        },
    );
    check(
        "member.md",
        &format!("# A member\n\n`md_core::state::member::Member`. {LEGEND}{text}"),
    );
}
