// SPDX-License-Identifier: GPL-2.0

//! Whether an array whose members are judged may start, and how.

use core::fmt;

use super::{is_dirty, supported, Candidate, SlotProgress, SlotSet, Verdict};
use crate::format::level::Level;
use crate::format::sb1::{ArrayState, Clustering, JournalUse, ResyncPoint};
use crate::units::{Sector, Slot};

/// What the layout of the array can do without members.
pub trait Redundancy {
    /// Whether all data can be had from the slots in `works`, which are in sync.
    fn has_enough(&self, works: &SlotSet) -> bool;

    /// Whether `slot` holds nothing but parity: raid4's last, for example. A rebuild of it needs no reconstruction.
    fn holds_only_parity(&self, slot: Slot) -> bool {
        let _ = slot;
        false
    }
}

/// What to do with an array of level 4, 5 or 6 that is dirty and misses members: the parity that would stand in for
/// their data may be wrong (module parameter `start_dirty_degraded`, `ok_start_degraded`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Do not start it.
    RefuseDirtyDegraded,
    /// Start it; data may be wrong.
    StartDirtyDegraded,
}

/// Why an array does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStart {
    /// No member has a slot (`EINVAL`).
    NoMember,
    /// There is no personality for its level (`EINVAL`).
    Level(Level),
    /// It belongs to a cluster (`ENOENT` in a kernel without md-cluster).
    Clustered,
    /// A reshape is at this sector, and the driver cannot go on with it: what is behind the sector is laid out
    /// otherwise than what is before (`EINVAL` on levels that C md does not reshape either).
    Reshaping {
        /// The level.
        level: Level,
        /// The next sector of the array to move.
        position: Sector,
    },
    /// Too many slots have no member in sync (`EIO`; `EINVAL` on raid1).
    TooFew {
        /// Slots whose member is in sync.
        in_sync: u16,
        /// Slots.
        slots: u16,
    },
    /// Dirty, and this many members short, none of them a log of the writes under way (`EIO`).
    DirtyDegraded {
        /// Slots without a member in sync.
        missing: u16,
    },
}

impl fmt::Display for NoStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoMember => write!(f, "no member has a slot"),
            Self::Level(level) => write!(f, "no personality for level {}", level.number()),
            Self::Clustered => write!(f, "array of a cluster"),
            Self::Reshaping { position, .. } => {
                write!(
                    f,
                    "a reshape is under way at sector {position}, which is not supported"
                )
            }
            Self::TooFew { in_sync, slots } => {
                write!(f, "only {in_sync} of {slots} slots have a member in sync")
            }
            Self::DirtyDegraded { missing } => {
                write!(f, "dirty, and {missing} members are missing")
            }
        }
    }
}

impl core::error::Error for NoStart {}

/// Whether the array may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    ReadWrite,
    /// Its journal is missing: what was logged is not on the members.
    ReadOnlyWithoutJournal,
}

/// Whether the array starts although its parity may be wrong where a member is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirtyDegraded {
    /// It is clean, or nothing is missing, or it keeps no parity.
    No,
    /// Yes, and the partial parity log mends it.
    MendedByPpl,
    /// Yes, because it was told to.
    Risked,
}

/// What to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Make the members agree again.
    Resync,
    /// Look for spares to rebuild the missing members on, or go on with a rebuild, be it that of a replacement.
    Recover,
    /// Go on with the reshape, before anything else: until it is done a resync or a rebuild does not know where to
    /// look.
    Reshape,
}

/// How an array starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The slots whose member is in sync.
    pub in_sync: SlotSet,
    /// Slots without a member in sync (`mddev->degraded`).
    pub degraded: u16,
    /// Where to go on with the resync.
    pub resync: ResyncPoint,
    /// Whether it may be written.
    pub access: Access,
    /// Whether its data may be wrong.
    pub dirty_degraded: DirtyDegraded,
    /// What to do first.
    pub next: Next,
}

/// Whether `array`, as the freshest of the judged `candidates` describes it, may start.
///
/// # Errors
///
/// A named reason; the members stay as judged.
pub fn start(
    array: &ArrayState,
    candidates: &[Candidate],
    redundancy: &impl Redundancy,
    policy: Policy,
) -> Result<Plan, NoStart> {
    supported(array)?;
    let tally = Tally::of(candidates, redundancy);
    let slots = array.raid_disks;
    let in_sync = tally.in_sync.count_below(slots);
    let degraded = slots.saturating_sub(in_sync);
    if !redundancy.has_enough(&tally.in_sync) {
        return Err(NoStart::TooFew { in_sync, slots });
    }
    let resync = resync(array, in_sync);
    let dirty_degraded = dirty_degraded(array.level, resync, degraded, &tally, policy)?;
    let without_journal = array.journal == JournalUse::With && !tally.journal;
    Ok(Plan {
        in_sync: tally.in_sync,
        degraded,
        resync,
        access: if without_journal {
            Access::ReadOnlyWithoutJournal
        } else {
            Access::ReadWrite
        },
        dirty_degraded,
        next: match resync {
            _ if array.reshape.is_some() => Next::Reshape,
            _ if !array.level.is_redundant() => Next::Nothing,
            ResyncPoint::From(_) => Next::Resync,
            ResyncPoint::Done if degraded > 0 || tally.rebuilding => Next::Recover,
            ResyncPoint::Done => Next::Nothing,
        },
    })
}

/// Whether a driver that reshapes raid10 only can start `array`, as the freshest superblock describes it.
///
/// # Errors
///
/// [`NoStart::Clustered`], [`NoStart::Reshaping`].
pub fn startable(array: &ArrayState) -> Result<(), NoStart> {
    match (array.clustering, array.reshape) {
        (Clustering::Clustered, _) => Err(NoStart::Clustered),
        (Clustering::Single, Some(reshape))
            if (array.level, reshape.new_level) == (Level::Raid10, Level::Raid10) =>
        {
            Ok(())
        }
        (Clustering::Single, Some(reshape)) => Err(NoStart::Reshaping {
            level: array.level,
            position: reshape.position,
        }),
        (Clustering::Single, None) => Ok(()),
    }
}

/// Where resync goes on. One mirror alone agrees with itself.
fn resync(array: &ArrayState, in_sync: u16) -> ResyncPoint {
    if !array.level.is_redundant() || (array.level == Level::Raid1 && in_sync == 1) {
        ResyncPoint::Done
    } else {
        array.resync
    }
}

/// What counts among the members.
struct Tally {
    in_sync: SlotSet,
    /// Slots that are being rebuilt and hold only parity.
    rebuilding_parity: u16,
    /// A member is being rebuilt; if it is a replacement, its slot may be in sync all the same.
    rebuilding: bool,
    journal: bool,
    has_ppl: bool,
}

impl Tally {
    fn of(candidates: &[Candidate], redundancy: &impl Redundancy) -> Self {
        let mut tally = Self {
            in_sync: SlotSet::default(),
            rebuilding_parity: 0,
            rebuilding: false,
            journal: false,
            has_ppl: false,
        };
        for Candidate { member, verdict } in candidates {
            match verdict {
                Verdict::Active(place) if place.progress == SlotProgress::InSync => {
                    tally.in_sync.insert(place.slot);
                    tally.has_ppl |= member.has_ppl;
                }
                Verdict::Active(place) => {
                    tally.rebuilding = true;
                    if redundancy.holds_only_parity(place.slot) {
                        tally.rebuilding_parity = tally.rebuilding_parity.saturating_add(1);
                    }
                }
                Verdict::Journal { .. } => tally.journal = true,
                Verdict::Unjudged | Verdict::Spare | Verdict::Faulty | Verdict::Kicked(_) => {}
            }
        }
        tally
    }
}

fn dirty_degraded(
    level: Level,
    resync: ResyncPoint,
    degraded: u16,
    tally: &Tally,
    policy: Policy,
) -> Result<DirtyDegraded, NoStart> {
    // Only where parity stands in for data does a missing member plus wrong parity make wrong data.
    if !level.has_parity() || !is_dirty(resync) || degraded <= tally.rebuilding_parity {
        return Ok(DirtyDegraded::No);
    }
    match policy {
        _ if tally.has_ppl => Ok(DirtyDegraded::MendedByPpl),
        Policy::StartDirtyDegraded => Ok(DirtyDegraded::Risked),
        Policy::RefuseDirtyDegraded => Err(NoStart::DirtyDegraded { missing: degraded }),
    }
}
