// SPDX-License-Identifier: GPL-2.0

//! The lockless bitmap's cell: what is known about one chunk of the array, and how that changes.
//!
//! A chunk's [`Cell`] is one byte on media. [`step`] is the whole machine: eight states, ten actions, and the
//! environment that C md looks at only after its table lookup. [`follow_up`] says what else a step asks for. The table
//! in `Documentation/states/llbitmap.md` is generated from these two.
//!
//! What a cell promises: *no user data was ever written here* (so there is nothing to sync), or *all copies agree, and
//! parity is right* (so it need not be synced), or neither.
//!
//! The bytes are those of `enum llbitmap_state` in `drivers/md/md-llbitmap.c` of Linux 7.2; behaviour follows
//! `llbitmap_state_machine()`, `llbitmap_init_state()` and `llbitmap_skip_sync_blocks()` there.

use core::fmt;

use crate::state::Health;

/// The state of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cell {
    /// Never written, or discarded: no user data, copies may differ, parity is not built.
    Unwritten = 0,
    /// Written, and all copies agree.
    Clean = 1,
    /// Being written, or written lately.
    Dirty = 2,
    /// Written, and copies may differ.
    NeedSync = 3,
    /// Written, and being synced.
    Syncing = 4,
    /// Never written; parity is to be built ahead of the first write.
    NeedSyncUnwritten = 5,
    /// Never written; parity is being built.
    SyncingUnwritten = 6,
    /// Never written, and parity is right.
    CleanUnwritten = 7,
}

impl Cell {
    /// All states, in the order of their bytes.
    pub const ALL: [Self; 8] = [
        Self::Unwritten,
        Self::Clean,
        Self::Dirty,
        Self::NeedSync,
        Self::Syncing,
        Self::NeedSyncUnwritten,
        Self::SyncingUnwritten,
        Self::CleanUnwritten,
    ];

    /// The byte on media.
    #[inline]
    pub const fn to_byte(self) -> u8 {
        // Lossless: the enum is `repr(u8)`.
        self as u8
    }

    /// Reads a byte from media. A byte that is no state tells nothing about its chunk, which therefore needs a sync.
    #[inline]
    pub const fn parse(byte: u8) -> Parsed {
        let cell = match byte {
            0 => Self::Unwritten,
            1 => Self::Clean,
            2 => Self::Dirty,
            3 => Self::NeedSync,
            4 => Self::Syncing,
            5 => Self::NeedSyncUnwritten,
            6 => Self::SyncingUnwritten,
            7 => Self::CleanUnwritten,
            _ => {
                return Parsed {
                    cell: Self::NeedSync,
                    finding: Some(UnknownByte(byte)),
                }
            }
        };
        Parsed {
            cell,
            finding: None,
        }
    }

    /// Whether the parity of this chunk can be relied on, so that a small write may update it (`blocks_synced`).
    #[inline]
    pub const fn is_synced(self) -> bool {
        matches!(self, Self::Clean | Self::Dirty | Self::CleanUnwritten)
    }

    /// The cell promises that no user data was ever written to the chunk.
    #[inline]
    pub const fn promises_no_data(self) -> bool {
        matches!(
            self,
            Self::Unwritten
                | Self::NeedSyncUnwritten
                | Self::SyncingUnwritten
                | Self::CleanUnwritten
        )
    }

    /// The cell on media promises, even after a crash, that copies agree and parity is right.
    ///
    /// `Dirty` does not: a crash turns it into `NeedSync`.
    #[inline]
    pub const fn promises_sync(self) -> bool {
        matches!(self, Self::Clean | Self::CleanUnwritten)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A byte on media that is no [`Cell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownByte(pub u8);

impl fmt::Display for UnknownByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bitmap byte {:#04x} is no state; its chunk will be synced",
            self.0
        )
    }
}

/// A byte read from media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The cell to work with.
    pub cell: Cell,
    /// What was wrong with the byte; when set, `cell` is to be written back.
    pub finding: Option<UnknownByte>,
}

/// What happens to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// User data is about to be written to it.
    StartWrite,
    /// A sync pass reached it.
    StartSync,
    /// A sync pass ended well, or was checkpointed behind it.
    EndSync,
    /// A sync pass ended before it.
    AbortSync,
    /// The bitmap was loaded.
    Reload,
    /// The daemon found its page unused for a while, with no write in flight.
    Daemon,
    /// All of it was discarded.
    Discard,
    /// The bitmap was loaded and is older than the array.
    Stale,
    /// The administrator wants parity built ahead of writes (levels 4, 5 and 6).
    ProactiveSync,
    /// A new member is about to be recovered: parity of chunks without data will not be.
    ClearUnwritten,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 10] = [
        Self::StartWrite,
        Self::StartSync,
        Self::EndSync,
        Self::AbortSync,
        Self::Reload,
        Self::Daemon,
        Self::Discard,
        Self::Stale,
        Self::ProactiveSync,
        Self::ClearUnwritten,
    ];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How the array keeps data redundant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redundancy {
    /// Copies (levels 1 and 10): a first write makes all of them agree where it wrote.
    Mirror,
    /// Parity (levels 4, 5 and 6): it must have been built before a write can keep it right.
    Parity,
}

impl Redundancy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mirror, Self::Parity];
}

/// What is known of the members' data when the bitmap is used for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing.
    Unknown,
    /// The administrator says that all copies agree (`--assume-clean`).
    AssumedClean,
    /// Every member was filled with zeroes, of which the parity is zero.
    Zeroed,
}

impl Contents {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::AssumedClean, Self::Zeroed];
}

/// Where the bitmap is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being loaded for the first time ever: what media say about cells means nothing.
    FirstUse(Contents),
    /// In use.
    Live,
    /// Being torn down: the daemon will not run again.
    Shutdown,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 5] = [
        Self::FirstUse(Contents::Unknown),
        Self::FirstUse(Contents::AssumedClean),
        Self::FirstUse(Contents::Zeroed),
        Self::Live,
        Self::Shutdown,
    ];
}

/// What a step depends on besides cell and action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// The kind of level.
    pub redundancy: Redundancy,
    /// Whether a member is missing.
    pub health: Health,
    /// Where the bitmap is in its life.
    pub phase: Phase,
}

impl Env {
    /// Every environment there is.
    pub fn all() -> impl Iterator<Item = Self> {
        Redundancy::ALL.into_iter().flat_map(|redundancy| {
            Health::ALL.into_iter().flat_map(move |health| {
                Phase::ALL.into_iter().map(move |phase| Self {
                    redundancy,
                    health,
                    phase,
                })
            })
        })
    }
}

/// What becomes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do.
    Stay,
    /// It becomes this one, different from what it was.
    To(Cell),
    /// Must not happen: the caller is wrong about where the bitmap is in its life, or about the level.
    Illegal,
}

/// The cell every chunk starts with when the bitmap is used for the first time.
#[inline]
pub const fn initial(redundancy: Redundancy, contents: Contents) -> Cell {
    match (contents, redundancy) {
        (Contents::AssumedClean, _) => Cell::Clean,
        (Contents::Zeroed, Redundancy::Parity) => Cell::CleanUnwritten,
        (Contents::Zeroed, Redundancy::Mirror) | (Contents::Unknown, _) => Cell::Unwritten,
    }
}

/// One step of one cell.
#[inline]
pub fn step(cell: Cell, action: Action, env: &Env) -> Step {
    let to = match env.phase {
        Phase::FirstUse(contents) => match action {
            Action::Reload => initial(env.redundancy, contents),
            // No I/O, no sync and no daemon before the bitmap is loaded; a first bitmap cannot be stale.
            _ => return Step::Illegal,
        },
        Phase::Shutdown if matches!(action, Action::Reload | Action::Stale) => {
            return Step::Illegal
        }
        Phase::Live | Phase::Shutdown => match action {
            Action::StartWrite => start_write(cell, env),
            Action::StartSync => start_sync(cell, env.health),
            Action::EndSync => end_sync(cell),
            Action::AbortSync | Action::Reload => abort_sync(cell, action),
            Action::Daemon => daemon(cell, env),
            Action::Discard => Cell::Unwritten,
            Action::Stale => stale(cell),
            Action::ClearUnwritten => clear_unwritten(cell),
            Action::ProactiveSync => match env.redundancy {
                Redundancy::Mirror => return Step::Illegal,
                Redundancy::Parity => proactive_sync(cell),
            },
        },
    };
    if to == cell {
        Step::Stay
    } else {
        Step::To(to)
    }
}

fn start_write(cell: Cell, env: &Env) -> Cell {
    match (cell, env.health, env.redundancy) {
        // What is written while a member is missing, that member will need.
        (Cell::Unwritten | Cell::Clean | Cell::CleanUnwritten, Health::Degraded, _) => {
            Cell::NeedSync
        }
        // The first write to a chunk without parity: build it, with this data in it.
        (Cell::Unwritten, Health::Complete, Redundancy::Parity) => Cell::NeedSync,
        (Cell::Unwritten | Cell::Clean | Cell::CleanUnwritten, Health::Complete, _) => Cell::Dirty,
        (Cell::NeedSyncUnwritten, _, _) => Cell::NeedSync,
        (Cell::SyncingUnwritten, _, _) => Cell::Syncing,
        (Cell::Dirty | Cell::NeedSync | Cell::Syncing, _, _) => cell,
    }
}

fn start_sync(cell: Cell, health: Health) -> Cell {
    match (cell, health) {
        (Cell::NeedSync, _) => Cell::Syncing,
        // The daemon leaves dirty chunks alone while a member is missing, so they are what it missed.
        (Cell::Dirty, Health::Degraded) => Cell::Syncing,
        (Cell::NeedSyncUnwritten, _) => Cell::SyncingUnwritten,
        _ => cell,
    }
}

fn end_sync(cell: Cell) -> Cell {
    match cell {
        // Writes may be in flight to it, hence not clean yet.
        Cell::Syncing => Cell::Dirty,
        Cell::SyncingUnwritten => Cell::CleanUnwritten,
        _ => cell,
    }
}

fn abort_sync(cell: Cell, action: Action) -> Cell {
    match cell {
        Cell::Syncing => Cell::NeedSync,
        Cell::NeedSyncUnwritten | Cell::SyncingUnwritten => Cell::Unwritten,
        Cell::Dirty if action == Action::Reload => Cell::NeedSync,
        _ => cell,
    }
}

/// A member that is missing has not seen what the dirty chunks hold, so they stay marked. The daemon does not start
/// while the array is degraded or the bitmap is going; this covers the daemon that was under way.
fn daemon(cell: Cell, env: &Env) -> Cell {
    match (cell, env.health, env.phase) {
        (Cell::Dirty, Health::Complete, Phase::Live) => Cell::Clean,
        _ => cell,
    }
}

fn stale(cell: Cell) -> Cell {
    match cell {
        Cell::Clean | Cell::Dirty | Cell::Syncing => Cell::NeedSync,
        Cell::NeedSyncUnwritten | Cell::SyncingUnwritten | Cell::CleanUnwritten => Cell::Unwritten,
        Cell::Unwritten | Cell::NeedSync => cell,
    }
}

fn clear_unwritten(cell: Cell) -> Cell {
    match cell {
        Cell::NeedSyncUnwritten | Cell::SyncingUnwritten | Cell::CleanUnwritten => Cell::Unwritten,
        _ => cell,
    }
}

fn proactive_sync(cell: Cell) -> Cell {
    match cell {
        Cell::Unwritten => Cell::NeedSyncUnwritten,
        _ => cell,
    }
}

/// Whether the daemon's timer must be running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// It need not.
    Leave,
    /// Start it (after `daemon_sleep`) unless it runs.
    Arm,
}

/// The pass to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Nothing,
    /// A resync (mirrors).
    Resync,
    /// Building parity where it is missing (levels 4, 5 and 6).
    LazyRecover,
}

/// What a step asks for besides the new cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// The daemon's timer.
    pub timer: Timer,
    /// The sync pass.
    pub wanted: Wanted,
}

/// What follows from having taken `step` away from `cell`.
///
/// A chunk that needs a sync asks for it whenever it is looked at, so that a request lost on the way is made again.
/// (C md asks also when the need has just been met.)
#[inline]
pub fn follow_up(cell: Cell, step: Step, env: &Env) -> FollowUp {
    let to = match step {
        Step::Illegal => {
            return FollowUp {
                timer: Timer::Leave,
                wanted: Wanted::Nothing,
            }
        }
        Step::Stay => cell,
        Step::To(to) => to,
    };
    let wanted = match (to, env.health, env.redundancy) {
        // While a member is missing there is nothing to sync with; the recovery to come looks at every chunk.
        (_, Health::Degraded, _) => Wanted::Nothing,
        (Cell::NeedSync | Cell::NeedSyncUnwritten, _, Redundancy::Mirror) => Wanted::Resync,
        (Cell::NeedSync | Cell::NeedSyncUnwritten, _, Redundancy::Parity) => Wanted::LazyRecover,
        _ => Wanted::Nothing,
    };
    let timer = match (step, env.phase) {
        (Step::To(Cell::Dirty), Phase::Live | Phase::FirstUse(_)) => Timer::Arm,
        _ => Timer::Leave,
    };
    FollowUp { timer, wanted }
}

/// A pass over the array, as far as skipping chunks goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Resync that nobody asked for by word.
    Resync,
    /// Building parity that is missing.
    LazyRecover,
    /// Recovery of a member, check or repair: every chunk with data is looked at.
    Full,
    /// Moving data to a new geometry: chunks of the bitmap mean nothing to it.
    Reshape,
}

impl Pass {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Resync, Self::LazyRecover, Self::Full, Self::Reshape];
}

/// Whether a pass looks at a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// It does.
    Sync,
    /// It goes on with the next.
    Skip,
}

/// Whether `pass` looks at a chunk in state `cell`.
///
/// C md skips unwritten chunks in a reshape too, which then leaves them behind.
#[inline]
pub const fn visit(cell: Cell, pass: Pass, health: Health) -> Visit {
    match (pass, cell, health) {
        (Pass::Reshape, _, _) => Visit::Sync,
        (_, Cell::Unwritten | Cell::CleanUnwritten, _) => Visit::Skip,
        (Pass::Resync | Pass::LazyRecover, Cell::Clean | Cell::Dirty, Health::Complete) => {
            Visit::Skip
        }
        _ => Visit::Sync,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_and_the_rest_need_a_sync() {
        for byte in 0..=u8::MAX {
            let parsed = Cell::parse(byte);
            match parsed.finding {
                None => assert_eq!(parsed.cell.to_byte(), byte),
                Some(finding) => {
                    assert!(byte > 7);
                    assert_eq!((finding, parsed.cell), (UnknownByte(byte), Cell::NeedSync));
                }
            }
        }
    }

    #[test]
    fn no_step_goes_where_it_is() {
        for env in Env::all() {
            for cell in Cell::ALL {
                for action in Action::ALL {
                    assert_ne!(
                        step(cell, action, &env),
                        Step::To(cell),
                        "{cell} {action} {env:?}"
                    );
                }
            }
        }
    }

    /// After a write has started, no cell may promise that there is no data, or that a crash leaves copies equal.
    #[test]
    fn a_write_takes_every_promise_back() {
        for env in Env::all().filter(|env| !matches!(env.phase, Phase::FirstUse(_))) {
            for cell in Cell::ALL {
                let to = match step(cell, Action::StartWrite, &env) {
                    Step::To(to) => to,
                    Step::Stay => cell,
                    Step::Illegal => panic!("a write is always legal"),
                };
                assert!(
                    !to.promises_no_data() && !to.promises_sync(),
                    "{cell} -> {to}"
                );
            }
        }
    }

    /// Only a finished sync, a quiet daemon or a first load may promise more than was known before.
    #[test]
    fn promises_are_made_only_by_those_who_know() {
        for env in Env::all() {
            for cell in Cell::ALL {
                for action in Action::ALL {
                    let Step::To(to) = step(cell, action, &env) else {
                        continue;
                    };
                    if to.promises_sync() && !cell.promises_sync() {
                        let knows = matches!(action, Action::EndSync | Action::Daemon)
                            || matches!(env.phase, Phase::FirstUse(c) if c != Contents::Unknown);
                        assert!(knows, "{cell} {action} {env:?} -> {to}");
                    }
                    if to.promises_no_data() && !cell.promises_no_data() {
                        let knows =
                            action == Action::Discard || matches!(env.phase, Phase::FirstUse(_));
                        assert!(knows, "{cell} {action} {env:?} -> {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_a_reshape_visits_unwritten_chunks() {
        for pass in Pass::ALL {
            for health in Health::ALL {
                let skips = visit(Cell::Unwritten, pass, health) == Visit::Skip;
                assert_eq!(skips, pass != Pass::Reshape);
                assert_eq!(visit(Cell::NeedSync, pass, health), Visit::Sync);
            }
        }
    }

    #[test]
    fn a_degraded_array_asks_for_no_pass() {
        let env = Env {
            redundancy: Redundancy::Mirror,
            health: Health::Degraded,
            phase: Phase::Live,
        };
        for cell in Cell::ALL {
            for action in Action::ALL {
                assert_eq!(
                    follow_up(cell, step(cell, action, &env), &env).wanted,
                    Wanted::Nothing
                );
            }
        }
    }
}
