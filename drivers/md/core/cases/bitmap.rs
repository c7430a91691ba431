// SPDX-License-Identifier: GPL-2.0

//! Cases of [`bitmap`](crate::bitmap): the lockless cell machine against tables written down independently of it, and
//! the rules around it.

use super::{ensure, Case, Suite, Verdict};
use crate::bitmap::barrier::{Barrier, Event, Outcome, Wake};
use crate::bitmap::cell::{
    follow_up, initial, step, Action, Cell, Contents, Env, Phase, Redundancy, Step, Timer, Wanted,
};
use crate::bitmap::counter::{Age, ClearedOnMedia, Counter};
use crate::bitmap::geometry::{Area, Geometry, PageShift};
use crate::bitmap::page::{apply, infect, write_due, Due, Effect, Mark};
use crate::bitmap::resize::merge;
use crate::format::BlockSize;
use crate::state::Health;
use crate::units::{Sector, SectorRange, Sectors};

/// The suite.
pub static SUITE: Suite = Suite {
    name: "bitmap",
    cases: &[
        Case {
            name: "cell_table_of_7_2",
            run: cell_table,
        },
        Case {
            name: "cell_table_of_the_first_posting",
            run: cell_table_v4,
        },
        Case {
            name: "cell_first_use",
            run: cell_first_use,
        },
        Case {
            name: "cell_follow_up",
            run: cell_follow_up,
        },
        Case {
            name: "cell_unknown_bytes",
            run: cell_unknown_bytes,
        },
        Case {
            name: "block_infection",
            run: block_infection,
        },
        Case {
            name: "block_due_before",
            run: block_due_before,
        },
        Case {
            name: "geometry_counts_the_header",
            run: geometry_header,
        },
        Case {
            name: "discard_spares_partial_chunks",
            run: discard_partial,
        },
        Case {
            name: "merge_keeps_needs",
            run: merge_keeps_needs,
        },
        Case {
            name: "counter_words",
            run: counter_words,
        },
        Case {
            name: "barrier_walk",
            run: barrier_walk,
        },
    ],
};

/// No change.
const O: u8 = 0xff;

/// Linux 7.2: rows are states by byte, columns actions in the order of [`Action::ALL`], entries the byte of the next
/// state, for a mirror with all its members.
#[rustfmt::skip]
const TABLE: [[u8; 10]; 8] = [
    // write start end abort reload daemon discard stale proactive clear
    [2, O, O, O, O, O, O, O, 5, O], // 0 Unwritten
    [2, O, O, O, O, O, 0, 3, O, O], // 1 Clean
    [O, O, O, O, 3, 1, 0, 3, O, O], // 2 Dirty
    [O, 4, O, O, O, O, 0, O, O, O], // 3 NeedSync
    [O, 4, 2, 3, 3, O, 0, 3, O, O], // 4 Syncing
    [3, 6, O, 0, 0, O, 0, 0, O, 0], // 5 NeedSyncUnwritten
    [4, 6, 7, 0, 0, O, 0, 0, O, 0], // 6 SyncingUnwritten
    [2, O, O, O, O, O, 0, 0, O, 0], // 7 CleanUnwritten
];

/// The first posting of the series: five states, the first eight actions.
#[rustfmt::skip]
const TABLE_V4: [[u8; 8]; 5] = [
    [2, O, O, O, O, O, O, O],
    [2, O, O, O, O, O, 0, 3],
    [O, O, O, O, 3, 1, 0, 3],
    [O, 4, O, O, O, O, 0, O],
    [O, 4, 2, 3, 3, O, 0, 3],
];

/// A row and a column of a table, as an input to report.
fn at(cell: Cell, action: usize) -> u64 {
    u64::from(cell.to_byte()) << 8 | u64::try_from(action).unwrap_or(u64::MAX)
}

/// The byte after a step, or `None` when it must not happen.
fn next_byte(cell: Cell, action: Action, env: &Env) -> Option<u8> {
    match step(cell, action, env) {
        Step::Stay => Some(cell.to_byte()),
        Step::To(to) => Some(to.to_byte()),
        Step::Illegal => None,
    }
}

/// What the table and its footnotes say; `None` for what must not happen. Names of states are bytes here.
fn expected(from: u8, entry: u8, action: Action, env: &Env) -> Option<u8> {
    let degraded = env.health == Health::Degraded;
    let parity = env.redundancy == Redundancy::Parity;
    let gone = env.phase == Phase::Shutdown;
    match action {
        // Footnote 1.
        Action::StartWrite if entry == 2 && (degraded || (parity && from == 0)) => Some(3),
        // Footnote 2.
        Action::StartSync if from == 2 && degraded => Some(4),
        // The daemon does nothing while the array is degraded or the bitmap is being torn down.
        Action::Daemon if degraded || gone => Some(from),
        Action::ProactiveSync if !parity => None,
        Action::Reload | Action::Stale if gone => None,
        _ if entry == O => Some(from),
        _ => Some(entry),
    }
}

fn cell_table() -> Verdict {
    for env in Env::all().filter(|env| !matches!(env.phase, Phase::FirstUse(_))) {
        for (cell, row) in Cell::ALL.into_iter().zip(TABLE) {
            for (n, (action, entry)) in Action::ALL.into_iter().zip(row).enumerate() {
                let right =
                    next_byte(cell, action, &env) == expected(cell.to_byte(), entry, action, &env);
                ensure(right, "the transition of the table", at(cell, n))?;
            }
        }
    }
    Ok(())
}

fn cell_table_v4() -> Verdict {
    for redundancy in Redundancy::ALL {
        let env = Env {
            redundancy,
            health: Health::Complete,
            phase: Phase::Live,
        };
        for (cell, row) in Cell::ALL.into_iter().zip(TABLE_V4) {
            for (n, (action, entry)) in Action::ALL.into_iter().zip(row).enumerate() {
                let first_write = cell == Cell::Unwritten && action == Action::StartWrite;
                let next = match entry {
                    O => cell.to_byte(),
                    _ if first_write && redundancy == Redundancy::Parity => 3,
                    next => next,
                };
                ensure(
                    next_byte(cell, action, &env) == Some(next),
                    "the transition of the first posting",
                    at(cell, n),
                )?;
            }
        }
    }
    Ok(())
}

fn cell_first_use() -> Verdict {
    for env in Env::all() {
        let Phase::FirstUse(contents) = env.phase else {
            continue;
        };
        let first = match (contents, env.redundancy) {
            (Contents::AssumedClean, _) => 1,
            (Contents::Zeroed, Redundancy::Parity) => 7,
            _ => 0,
        };
        ensure(
            initial(env.redundancy, contents).to_byte() == first,
            "the first cell",
            u64::from(first),
        )?;
        for cell in Cell::ALL {
            for (n, action) in Action::ALL.into_iter().enumerate() {
                let next = if action == Action::Reload {
                    Some(first)
                } else {
                    None
                };
                ensure(
                    next_byte(cell, action, &env) == next,
                    "only a load is legal on first use",
                    at(cell, n),
                )?;
            }
        }
    }
    Ok(())
}

/// A cell that needs a sync after a step asks for it unless the array is degraded; a dirty one for the daemon.
fn cell_follow_up() -> Verdict {
    for env in Env::all() {
        for cell in Cell::ALL {
            for (n, action) in Action::ALL.into_iter().enumerate() {
                let taken = step(cell, action, &env);
                let Some(to) = next_byte(cell, action, &env) else {
                    continue;
                };
                let needy = [3, 5].contains(&to);
                let wanted = match (env.health, env.redundancy) {
                    (Health::Complete, Redundancy::Mirror) if needy => Wanted::Resync,
                    (Health::Complete, Redundancy::Parity) if needy => Wanted::LazyRecover,
                    _ => Wanted::Nothing,
                };
                let follow = follow_up(cell, taken, &env);
                ensure(follow.wanted == wanted, "the pass asked for", at(cell, n))?;
                let arms = to == 2 && taken != Step::Stay && env.phase != Phase::Shutdown;
                ensure(
                    (follow.timer == Timer::Arm) == arms,
                    "the daemon's timer",
                    at(cell, n),
                )?;
            }
        }
    }
    Ok(())
}

fn cell_unknown_bytes() -> Verdict {
    for byte in 0..=u8::MAX {
        let parsed = Cell::parse(byte);
        let known = byte < 8;
        ensure(
            parsed.finding.is_none() == known,
            "a finding for bytes above 7",
            byte.into(),
        )?;
        let read = if known { byte } else { 3 };
        ensure(
            parsed.cell.to_byte() == read,
            "the cell of a byte",
            byte.into(),
        )?;
    }
    Ok(())
}

const fn live(redundancy: Redundancy, health: Health) -> Env {
    Env {
        redundancy,
        health,
        phase: Phase::Live,
    }
}

fn block_infection() -> Verdict {
    let cases: [(Env, [u8; 8]); 4] = [
        (
            live(Redundancy::Mirror, Health::Complete),
            [2, 2, 2, 3, 4, 5, 6, 2],
        ),
        (
            live(Redundancy::Parity, Health::Complete),
            [3, 2, 2, 3, 4, 5, 6, 2],
        ),
        (
            live(Redundancy::Mirror, Health::Degraded),
            [0, 1, 2, 3, 4, 5, 6, 7],
        ),
        (
            live(Redundancy::Parity, Health::Degraded),
            [0, 1, 2, 3, 4, 5, 6, 7],
        ),
    ];
    for (n, (env, infected)) in cases.into_iter().enumerate() {
        for (cell, byte) in Cell::ALL.into_iter().zip(infected) {
            let next = match infect(cell, &env) {
                Step::To(to) => to,
                _ => cell,
            };
            ensure(next.to_byte() == byte, "an infected cell", at(cell, n))?;
        }
    }
    let env = live(Redundancy::Mirror, Health::Complete);
    let mut quiet = [1u8; 16];
    let effect = apply(&mut quiet, 3, Action::StartWrite, Mark::Unmarked, &env);
    ensure(
        effect == Some(Effect::Mark(Due::Before)),
        "the first write only marks",
        3,
    )?;
    let effect = apply(&mut quiet, 4, Action::StartWrite, Mark::Unmarked, &env);
    ensure(
        effect == Some(Effect::MarkAndInfect(Due::Before)),
        "the second infects",
        4,
    )?;
    ensure(quiet == [2; 16], "the whole block is dirty", 16)
}

/// What takes a promise back that media make must be on media first.
fn block_due_before() -> Verdict {
    let no_data = [true, false, false, false, false, true, true, true];
    let synced = [false, true, false, false, false, false, false, true];
    for (from, (no_data_from, synced_from)) in
        Cell::ALL.into_iter().zip(no_data.into_iter().zip(synced))
    {
        for (n, (to, (no_data_to, synced_to))) in Cell::ALL
            .into_iter()
            .zip(no_data.into_iter().zip(synced))
            .enumerate()
        {
            let before = (no_data_from && !no_data_to) || (synced_from && !synced_to);
            ensure(
                (write_due(from, to) == Due::Before) == before,
                "due before its cause",
                at(from, n),
            )?;
        }
    }
    Ok(())
}

/// An area of `space` sectors for `data` sectors.
const fn area(data: u64, space: u64) -> Area {
    Area {
        data: Sectors::new(data),
        space: Sectors::new(space),
        page: PageShift::FOUR_KIB,
        block: BlockSize::SECTOR,
    }
}

fn geometry_header() -> Verdict {
    // 128 KiB less the header are 130048 cells.
    let cases = [
        (130_048 * 128, 7, 130_048),
        (130_048 * 128 + 1, 8, 65_025),
        (131_072 * 128, 8, 65_536),
    ];
    for (data, shift, chunks) in cases {
        let Ok(geometry) = Geometry::choose(&area(data, 256)) else {
            return ensure(false, "a geometry for 128 KiB", data);
        };
        ensure(
            (geometry.chunk().get(), geometry.chunks()) == (shift, chunks),
            "chunk size and count",
            data,
        )?;
        ensure(geometry.pages() <= 32, "pages within the area", data)?;
    }
    Ok(())
}

fn discard_partial() -> Verdict {
    let Ok(geometry) = Geometry::choose(&area(1 << 20, 256)) else {
        return ensure(false, "a geometry", 0);
    };
    // Start and length of a discard; first and last chunk of which nothing remains.
    let cases = [
        (0, 128, Some((0, 0))),
        (0, 127, None),
        (64, 128, None),
        (64, 192, Some((1, 1))),
        (0, 192, Some((0, 0))),
        ((1 << 20) - 1, 1, None),
        ((1 << 20) - 128, 128, Some((8191, 8191))),
    ];
    for (start, len, chunks) in cases {
        let range = SectorRange::new(Sector::new(start), Sectors::new(len));
        let covered = range.and_then(|range| geometry.covered(range));
        let covered = covered.map(|span| (span.first().get(), span.last().get()));
        ensure(covered == chunks, "chunks that a discard covers", start)?;
    }
    Ok(())
}

fn merge_keeps_needs() -> Verdict {
    for redundancy in Redundancy::ALL {
        for a in Cell::ALL {
            for (n, b) in Cell::ALL.into_iter().enumerate() {
                let merged = merge(a, b, redundancy);
                let needs = |c| matches!(c, Cell::NeedSync | Cell::Syncing);
                ensure(
                    !(needs(a) || needs(b)) || merged == Cell::NeedSync,
                    "a need for a sync",
                    at(a, n),
                )?;
                let dirty = a == Cell::Dirty || b == Cell::Dirty;
                ensure(
                    !dirty || matches!(merged, Cell::Dirty | Cell::NeedSync),
                    "a dirty part",
                    at(a, n),
                )?;
            }
        }
    }
    Ok(())
}

fn counter_words() -> Verdict {
    for word in 0..=u16::MAX {
        let valid = word & 0x3fff >= 2 || word < 2;
        let read = Counter::from_word(word).map(Counter::to_word);
        ensure(
            read.ok() == valid.then_some(word),
            "a word is read as it was written",
            word.into(),
        )?;
    }
    ensure(
        Counter::Aged.age(ClearedOnMedia::Recorded) == Age::ClearBit,
        "an aged bit is cleared",
        1,
    )?;
    ensure(
        Counter::Aged.age(ClearedOnMedia::Due) != Age::ClearBit,
        "but not before the superblock",
        1,
    )
}

/// Two writers inside, the daemon waits for both; then a writer waits for the daemon.
fn barrier_walk() -> Verdict {
    let walk = [
        (Event::Enter, Some(Wake::None)),
        (Event::Enter, Some(Wake::None)),
        (Event::Suspend, Some(Wake::None)),
        (Event::Enter, None),
        (Event::Leave, Some(Wake::None)),
        (Event::Leave, Some(Wake::Daemon)),
        (Event::Enter, None),
        (Event::Resume, Some(Wake::Writers)),
        (Event::Enter, Some(Wake::None)),
        (Event::Suspend, Some(Wake::None)),
        (Event::GiveUp, Some(Wake::Writers)),
        (Event::Leave, Some(Wake::None)),
    ];
    let mut barrier = Barrier::OPEN;
    for (n, (event, wake)) in (0u64..).zip(walk) {
        match (barrier.step(event), wake) {
            (Ok(Outcome::Wait), None) => {}
            (Ok(Outcome::Moved(next, woken)), Some(wake)) if woken == wake => barrier = next,
            _ => return ensure(false, "a step at the barrier", n),
        }
    }
    ensure(barrier == Barrier::OPEN, "the barrier is as it was", 0)
}
