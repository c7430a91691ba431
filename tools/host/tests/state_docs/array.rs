// SPDX-License-Identifier: GPL-2.0

//! The tables of `md_core::state::array`.

use md_core::state::admit::Io;
use md_core::state::array::{Array, Event};
use md_core::state::clean;
use md_core::state::request::{Env, Openers, Plan, Writability};
use md_core::state::Metadata;
use md_core::words::array::ArrayStateRequest;

use crate::render::{check, grouped, next, table, Shown, LEGEND};

const WORDS: [ArrayStateRequest; 6] = [
    ArrayStateRequest::Clear,
    ArrayStateRequest::Inactive,
    ArrayStateRequest::Readonly,
    ArrayStateRequest::ReadAuto,
    ArrayStateRequest::Clean,
    ArrayStateRequest::Active,
];

/// What may be in the way of a word, by name.
fn word_envs() -> [(&'static str, Env); 6] {
    let calm = Env {
        openers: Openers::None,
        writes: clean::Writes::Quiet,
        metadata: Metadata::Native,
        writability: Writability::Allowed,
    };
    [
        ("nothing in the way", calm),
        (
            "opened by somebody",
            Env {
                openers: Openers::Some,
                ..calm
            },
        ),
        (
            "writes in flight",
            Env {
                writes: clean::Writes::InFlight,
                ..calm
            },
        ),
        (
            "external metadata",
            Env {
                metadata: Metadata::External,
                ..calm
            },
        ),
        (
            "journal missing",
            Env {
                writability: Writability::JournalMissing,
                ..calm
            },
        ),
        (
            "member read-only",
            Env {
                writability: Writability::MemberReadOnly,
                ..calm
            },
        ),
    ]
}

fn words() -> String {
    grouped(
        &word_envs(),
        |(name, _)| name.to_string(),
        |(_, env)| {
            table(&WORDS.map(Shown), &Array::ALL, |word, state| {
                match state.request(word.0, env) {
                    Ok(Plan::Nothing) => String::new(),
                    Ok(Plan::Do { work, then }) => format!("{work:?}: {then}"),
                    Err(why) => format!("*{why:?}*"),
                }
            })
        },
    )
}

fn events() -> String {
    let track = clean::Env {
        writes: clean::Writes::Quiet,
        metadata: Metadata::Native,
    };
    table(&Event::ALL.map(Shown), &Array::ALL, |event, state| {
        next(&state.step(event.0, &track))
    })
}

fn admission() -> String {
    table(&Io::ALL.map(Shown), &Array::ALL, |io, state| {
        match state.admit(io.0) {
            Ok(admission) => format!("{admission:?}"),
            Err(why) => format!("*{why:?}*"),
        }
    })
}

#[test]
fn array() {
    let mut out =
        format!("# An array\n\n`md_core::state::array::Array`. {LEGEND}\n## Shown as\n\n");
    out.push_str(&table(&["array_state"], &Array::ALL, |_, state| {
        state.shown().to_string()
    }));
    out.push_str("\n## Words written to `array_state`\n");
    out.push_str(&words());
    out.push_str("\n## Events\n");
    out.push_str("\nWith native metadata and no write in flight; tracking otherwise as in [clean.md](clean.md).\n\n");
    out.push_str(&events());
    out.push_str("\n## Admission of I/O\n\n");
    out.push_str(&admission());
    check("array.md", &out);
}
