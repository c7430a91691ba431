// SPDX-License-Identifier: GPL-2.0

//! The tables of `md_core::state::sync`.

use md_core::state::pass::{Action, Pass, Phase, Stop};
use md_core::state::sync::{
    choose, Access, Env, Event, Neighbours, Recovery, Request, Reshape, Resync, Sync,
};
use md_core::units::Sector;
use md_core::words::sync::SyncAction;

use crate::render::{check, grouped, next, table, Shown, LEGEND};

const CALM: Env = Env {
    access: Access::Writable,
    reshape: Reshape::Possible,
    resync: Resync::NotDue,
    recovery: Recovery::NotDue,
    neighbours: Neighbours::Quiet,
};

fn states() -> Vec<Sync> {
    let pass = |phase, stop| {
        Sync::Active(Pass {
            action: Action::Check,
            phase,
            stop,
            after: Request::Look,
        })
    };
    let running = Phase::Running(Sector::new(8));
    let mut states = vec![
        Sync::Idle,
        Sync::Frozen { pending: None },
        Sync::Frozen {
            pending: Some(Request::Check),
        },
    ];
    states.extend([
        Sync::Requested(Request::Look),
        Sync::Requested(Request::Check),
    ]);
    for stop in [
        None,
        Some(Stop::Interrupted),
        Some(Stop::Idle),
        Some(Stop::Freeze),
    ] {
        states.extend([Phase::Waiting, running, Phase::Reaping].map(|phase| pass(phase, stop)));
    }
    states
}

fn events() -> Vec<Event> {
    let mut events: Vec<_> = SyncAction::ALL
        .iter()
        .map(|word| Event::Write(*word))
        .collect();
    events.extend([
        Event::Need(Request::Resync),
        Event::Choose,
        Event::Unblocked,
        Event::Progress(Sector::new(16)),
        Event::Interrupt,
        Event::Ended,
        Event::Reaped,
    ]);
    events
}

/// The environments of a step, by name.
fn step_envs() -> [(&'static str, Env); 3] {
    [
        ("nothing due", CALM),
        (
            "another array on the same device is syncing",
            Env {
                neighbours: Neighbours::Syncing,
                ..CALM
            },
        ),
        (
            "level without reshape",
            Env {
                reshape: Reshape::Unsupported,
                ..CALM
            },
        ),
    ]
}

/// The environments of a choice, by name.
fn choice_envs() -> [(&'static str, Env); 7] {
    [
        ("nothing due", CALM),
        (
            "recovery due",
            Env {
                recovery: Recovery::Due,
                ..CALM
            },
        ),
        (
            "resync due",
            Env {
                resync: Resync::Due,
                ..CALM
            },
        ),
        (
            "resync and recovery due",
            Env {
                resync: Resync::Due,
                recovery: Recovery::Due,
                ..CALM
            },
        ),
        (
            "reshape under way",
            Env {
                reshape: Reshape::Ready,
                resync: Resync::Due,
                ..CALM
            },
        ),
        (
            "reshape stuck",
            Env {
                reshape: Reshape::Stuck,
                resync: Resync::Due,
                ..CALM
            },
        ),
        (
            "array read-only",
            Env {
                access: Access::ReadOnly,
                resync: Resync::Due,
                ..CALM
            },
        ),
    ]
}

fn steps() -> String {
    let (events, states) = (events(), states());
    grouped(
        &step_envs(),
        |(name, _)| name.to_string(),
        |(_, env)| {
            table(&events, &states, |event, state| {
                next(&state.step(*event, env))
            })
        },
    )
}

fn choices() -> String {
    let rows = choice_envs();
    let names = rows.map(|(name, _)| name);
    table(&Request::ALL.map(Shown), &names, |request, row| {
        let env = rows
            .iter()
            .find(|(name, _)| name == row)
            .map(|(_, env)| *env)
            .expect("a row of the table");
        match choose(request.0, &env) {
            None => String::new(),
            Some((action, Request::Look)) => format!("{action:?}"),
            Some((action, after)) => format!("{action:?} > {after:?}"),
        }
    })
}

#[test]
fn sync_action() {
    let mut out =
        format!("# The sync action\n\n`md_core::state::sync::Sync`. {LEGEND}\n## Steps\n");
    out.push_str(&steps());
    out.push_str(
        "\n## The pass chosen\n\nColumns: what is asked for. After `>`: \
         what is looked at after the pass.\n\n",
    );
    out.push_str(&choices());
    check("sync.md", &out);
}
