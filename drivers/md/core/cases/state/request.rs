// SPDX-License-Identifier: GPL-2.0

//! What the words written to `array_state` do to an array, by what the array is.

use super::{writable, READ_AUTO, READ_ONLY};
use crate::cases::{ensure, Verdict};
use crate::state::array::Array;
use crate::state::clean::{Dirtiness, Writes};
use crate::state::request::{Env, Openers, Plan, Refusal, Work, Writability};
use crate::state::Metadata;
use crate::words::array::{ArrayState, ArrayStateRequest as Ask};

/// What a word leads to: work and the word shown after it, nothing, or a refusal.
type Answer = Result<Option<(Work, ArrayState)>, Refusal>;
type Row = (Array, Ask, Env, Answer);

const NOTHING: Answer = Ok(None);

const fn does(work: Work, then: ArrayState) -> Answer {
    Ok(Some((work, then)))
}

const CALM: Env = Env {
    openers: Openers::None,
    writes: Writes::Quiet,
    metadata: Metadata::Native,
    writability: Writability::Allowed,
};
const OPEN: Env = Env {
    openers: Openers::Some,
    ..CALM
};
const BUSY: Env = Env {
    writes: Writes::InFlight,
    ..CALM
};
const EXTERNAL: Env = Env {
    metadata: Metadata::External,
    ..CALM
};
const NO_JOURNAL: Env = Env {
    writability: Writability::JournalMissing,
    ..CALM
};

const CLEAN: Array = writable(Dirtiness::Clean);
const PENDING: Array = writable(Dirtiness::WritePending);
const ACTIVE: Array = writable(Dirtiness::Active);

fn answer(array: Array, word: Ask, env: &Env) -> Answer {
    array.request(word, env).map(|plan| match plan {
        Plan::Nothing => None,
        Plan::Do { work, then } => Some((work, then.shown())),
    })
}

fn each_answers(rows: &[Row]) -> Verdict {
    for (n, (array, word, env, expected)) in (0u64..).zip(rows) {
        ensure(
            answer(*array, *word, env) == *expected,
            "the answer to a word",
            n,
        )?;
    }
    Ok(())
}

static INACTIVE_ROWS: [Row; 3] = [
    (Array::Inactive, Ask::Clean, CALM, Err(Refusal::NotRunning)),
    (Array::Inactive, Ask::Inactive, CALM, NOTHING),
    (
        Array::Inactive,
        Ask::Clear,
        OPEN,
        does(Work::Dismantle, ArrayState::Clear),
    ),
];

pub(super) fn of_inactive() -> Verdict {
    each_answers(&INACTIVE_ROWS)
}

static WRITABLE_ROWS: [Row; 10] = [
    (ACTIVE, Ask::Clear, OPEN, Err(Refusal::InUse)),
    (
        ACTIVE,
        Ask::Inactive,
        CALM,
        does(Work::Stop, ArrayState::Inactive),
    ),
    (
        ACTIVE,
        Ask::Readonly,
        CALM,
        does(Work::StopWrites, ArrayState::Readonly),
    ),
    (
        ACTIVE,
        Ask::ReadAuto,
        CALM,
        does(Work::StopWrites, ArrayState::ReadAuto),
    ),
    (
        ACTIVE,
        Ask::Clean,
        CALM,
        does(Work::MarkClean, ArrayState::Clean),
    ),
    (ACTIVE, Ask::Clean, BUSY, Err(Refusal::WritesInFlight)),
    (CLEAN, Ask::Clean, CALM, NOTHING),
    (CLEAN, Ask::Active, CALM, NOTHING),
    (
        PENDING,
        Ask::Active,
        CALM,
        does(Work::ReleaseWriters, ArrayState::Active),
    ),
    (
        PENDING,
        Ask::Readonly,
        EXTERNAL,
        Err(Refusal::ManagerPending),
    ),
];

pub(super) fn of_writable() -> Verdict {
    each_answers(&WRITABLE_ROWS)
}

static READ_ONLY_ROWS: [Row; 6] = [
    (
        READ_ONLY,
        Ask::Readonly,
        CALM,
        Err(Refusal::AlreadyReadOnly),
    ),
    (
        READ_ONLY,
        Ask::ReadAuto,
        CALM,
        does(Work::Relabel, ArrayState::ReadAuto),
    ),
    (
        READ_ONLY,
        Ask::Active,
        CALM,
        does(Work::AllowWrites, ArrayState::Clean),
    ),
    (
        READ_ONLY,
        Ask::Active,
        NO_JOURNAL,
        Err(Refusal::JournalMissing),
    ),
    (
        READ_ONLY,
        Ask::Clear,
        OPEN,
        does(Work::Dismantle, ArrayState::Clear),
    ),
    (READ_AUTO, Ask::ReadAuto, CALM, NOTHING),
];

pub(super) fn of_read_only() -> Verdict {
    each_answers(&READ_ONLY_ROWS)
}
