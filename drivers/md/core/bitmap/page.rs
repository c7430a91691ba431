// SPDX-License-Identifier: GPL-2.0

//! Which block of the lockless bitmap a step makes due for writing, and what else in the block it takes along.
//!
//! A page of the bitmap is written by *blocks* (the array's logical block size), each holding one byte per chunk. A
//! step that takes a promise back must be on media before what it announces happens: [`write_due`]. A block that is
//! written over and over costs a write for every new chunk, so the second chunk to become dirty in a block *infects*
//! the rest of it: all its quiet cells become dirty at once, and until the daemon cleans them writes to the block's
//! chunks are free.
//!
//! The rule follows `llbitmap_write()` and `llbitmap_set_page_dirty()` of `drivers/md/md-llbitmap.c`, with two changes:
//! - C leaves a block alone when a chunk becomes `Syncing` by a first write during a proactive sync, or `Unwritten`
//!   by a
//!   discard or by the start of a recovery. After a crash media would then promise what is not so.
//! - C infects on every way to `Dirty` or `NeedSync`, also at load and at the end of a sync, which makes quiet chunks
//!   need
//!   a sync; here only writes infect.

use super::cell::{step, Action, Cell, Env, Phase, Step};
use crate::state::Health;

/// When the block of a changed cell has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At any time, or never: media are more cautious than memory.
    Whenever,
    /// With the next flush: what it saves is work after a crash.
    Soon,
    /// Before the step's cause takes effect (the data write, the discard, the recovery).
    Before,
}

impl Due {
    /// Whether the block is to be marked as due for writing.
    #[inline]
    pub const fn marks(self) -> bool {
        matches!(self, Self::Soon | Self::Before)
    }
}

/// When a block has to be written because one of its cells went from `from` to `to`.
#[inline]
pub const fn write_due(from: Cell, to: Cell) -> Due {
    let takes_back = (from.promises_no_data() && !to.promises_no_data())
        || (from.promises_sync() && !to.promises_sync());
    if takes_back {
        return Due::Before;
    }
    match to {
        Cell::Dirty | Cell::NeedSync | Cell::NeedSyncUnwritten => Due::Soon,
        _ => Due::Whenever,
    }
}

/// Whether a block waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It does not.
    Unmarked,
    /// It does.
    Marked,
}

/// What a changed cell does to its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The block is due for writing.
    Mark(Due),
    /// It is, and every other cell of it takes [`infect`].
    MarkAndInfect(Due),
}

/// A cell that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: Cell,
    /// What it is.
    pub to: Cell,
    /// Why.
    pub action: Action,
}

/// What `change` does to a block marked `mark` whose other cells are `others`.
///
/// `others` is consumed only as far as needed.
pub fn effect(
    change: Change,
    mark: Mark,
    others: impl IntoIterator<Item = Cell>,
    env: &Env,
) -> Effect {
    let due = write_due(change.from, change.to);
    if !due.marks() {
        return Effect::None;
    }
    // A byte that is only repaired is no write to a quiet chunk. Whatever infects is due before its cause, and so is
    // what it infects.
    let writes = change.action == Action::StartWrite
        && change.from != change.to
        && matches!(change.to, Cell::Dirty | Cell::NeedSync);
    // While a member is missing nothing is cleaned, so an infected chunk would be synced for nothing.
    if !writes || env.health == Health::Degraded {
        return Effect::Mark(due);
    }
    let hot = |cell| matches!(cell, Cell::Dirty | Cell::NeedSync);
    if mark == Mark::Marked || others.into_iter().any(hot) {
        Effect::MarkAndInfect(due)
    } else {
        Effect::Mark(due)
    }
}

/// What infection does to a cell: the same as a write to its chunk, but only if the chunk is quiet.
///
/// The caller applies [`follow_up`](super::cell::follow_up) to the answer as to any other.
#[inline]
pub fn infect(cell: Cell, env: &Env) -> Step {
    if env.health == Health::Degraded || matches!(env.phase, Phase::FirstUse(_)) {
        return Step::Stay;
    }
    match cell {
        Cell::Unwritten | Cell::Clean | Cell::CleanUnwritten => step(cell, Action::StartWrite, env),
        Cell::Dirty
        | Cell::NeedSync
        | Cell::Syncing
        | Cell::NeedSyncUnwritten
        | Cell::SyncingUnwritten => Step::Stay,
    }
}

/// One action on the cell at `position` of `block`, and its effect on the rest of the block: the rule above applied to
/// plain bytes. `None` when `position` is beyond the block or the action illegal; then nothing changed.
pub fn apply(
    block: &mut [u8],
    position: usize,
    action: Action,
    mark: Mark,
    env: &Env,
) -> Option<Effect> {
    let byte = block.get_mut(position)?;
    let parsed = Cell::parse(*byte);
    let from = parsed.cell;
    let to = match step(from, action, env) {
        Step::Illegal => return None,
        Step::To(to) => to,
        Step::Stay if parsed.finding.is_none() => return Some(Effect::None),
        Step::Stay => from,
    };
    *byte = to.to_byte();
    let (before, rest) = block.split_at_checked(position).unwrap_or_default();
    let others = before.iter().chain(rest.iter().skip(1));
    let others = others.map(|byte| Cell::parse(*byte).cell);
    let effect = effect(Change { from, to, action }, mark, others, env);
    if matches!(effect, Effect::MarkAndInfect(_)) {
        for byte in block.iter_mut() {
            if let Step::To(to) = infect(Cell::parse(*byte).cell, env) {
                *byte = to.to_byte();
            }
        }
    }
    Some(effect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitmap::cell::Redundancy;

    const ENV: Env = Env {
        redundancy: Redundancy::Mirror,
        health: Health::Complete,
        phase: Phase::Live,
    };

    /// What media say after a crash, when a change has not been written.
    fn after_crash(cell: Cell, env: &Env) -> Cell {
        match step(
            cell,
            Action::Reload,
            &Env {
                phase: Phase::Live,
                ..*env
            },
        ) {
            Step::To(to) => to,
            _ => cell,
        }
    }

    /// Unless a change is due before its cause, a crash that loses it must leave media no less cautious than memory.
    #[test]
    fn a_change_that_may_be_lost_loses_no_caution() {
        for env in Env::all().filter(|env| env.phase == Phase::Live) {
            for from in Cell::ALL {
                for action in Action::ALL {
                    let Step::To(to) = step(from, action, &env) else {
                        continue;
                    };
                    if write_due(from, to) == Due::Before {
                        continue;
                    }
                    let (lost, kept) = (after_crash(from, &env), after_crash(to, &env));
                    assert!(
                        !lost.promises_no_data() || kept.promises_no_data(),
                        "{from} {action} {to}"
                    );
                    assert!(
                        !lost.promises_sync() || kept.promises_sync(),
                        "{from} {action} {to}"
                    );
                }
            }
        }
    }

    /// Infected cells are written with the block, so it must be due no later than each of them is.
    #[test]
    fn what_is_infected_is_due_as_soon_as_the_block() {
        for env in Env::all() {
            for from in Cell::ALL {
                for action in Action::ALL {
                    let to = match step(from, action, &env) {
                        Step::To(to) => to,
                        // An unknown byte that is repaired.
                        Step::Stay => from,
                        Step::Illegal => continue,
                    };
                    let change = Change { from, to, action };
                    let infects = effect(change, Mark::Marked, [], &env);
                    assert!(
                        !matches!(infects, Effect::MarkAndInfect(due) if due != Due::Before),
                        "{change:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_repaired_byte_infects_nothing() {
        let mut block = [0xffu8, 1, 2];
        let effect = apply(&mut block, 0, Action::StartWrite, Mark::Marked, &ENV);
        assert_eq!((effect, block), (Some(Effect::Mark(Due::Soon)), [3, 1, 2]));
    }

    #[test]
    fn the_second_write_to_a_block_infects_it() {
        let mut block = [0u8, 1, 3, 4, 7, 0];
        let first = apply(&mut [0u8; 4], 1, Action::StartWrite, Mark::Unmarked, &ENV);
        assert_eq!(first, Some(Effect::Mark(Due::Before)));
        let second = apply(&mut block, 0, Action::StartWrite, Mark::Unmarked, &ENV);
        assert_eq!(second, Some(Effect::MarkAndInfect(Due::Before)));
        assert_eq!(block, [2, 2, 3, 4, 2, 2]);
    }

    #[test]
    fn a_marked_block_is_infected_without_a_hot_cell() {
        let env = Env {
            redundancy: Redundancy::Parity,
            ..ENV
        };
        let mut block = [0u8, 1, 0];
        apply(&mut block, 1, Action::StartWrite, Mark::Marked, &env);
        assert_eq!(block, [3, 2, 3]);
    }

    #[test]
    fn neither_load_nor_a_degraded_array_infects() {
        let mut block = [2u8, 1, 2];
        apply(&mut block, 0, Action::Reload, Mark::Marked, &ENV);
        assert_eq!(block, [3, 1, 2]);
        let degraded = Env {
            health: Health::Degraded,
            ..ENV
        };
        apply(&mut block, 1, Action::StartWrite, Mark::Marked, &degraded);
        assert_eq!(block, [3, 3, 2]);
    }

    #[test]
    fn an_unknown_byte_is_repaired_and_nothing_is_out_of_bounds() {
        let mut block = [0xffu8, 1];
        assert_eq!(
            apply(&mut block, 0, Action::Daemon, Mark::Unmarked, &ENV),
            Some(Effect::Mark(Due::Soon))
        );
        assert_eq!(block, [3, 1]);
        assert_eq!(
            apply(&mut block, 2, Action::StartWrite, Mark::Unmarked, &ENV),
            None
        );
    }
}
