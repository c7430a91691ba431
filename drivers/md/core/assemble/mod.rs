// SPDX-License-Identifier: GPL-2.0

//! Which of the members at hand make up an array, and whether it may start.
//!
//! [`elect`] finds the freshest superblock and gives every other member its [`Verdict`] by it (C md's `analyze_sbs` and
//! the assembling part of `validate_super`). [`start`] then says whether enough are there (the common part of the
//! personalities' `run`). [`judge_returning`] is for a member that comes to an array that already runs.

use core::fmt;

use crate::format::ident::Uuid;
use crate::format::level::Level;
use crate::format::sb0::Sb0;
use crate::format::sb1::{
    ArrayState, Clustering, CrashLog, JournalUse, Progress, ResyncPoint, Role, Sb1,
};
use crate::units::{Events, MemberNumber, Sectors, Slot};

mod slots;
mod starting;

pub use slots::SlotSet;
pub use starting::{
    start, startable, Access, DirtyDegraded, Next, NoStart, Plan, Policy, Redundancy,
};

/// What a superblock says of a member, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The array it says it belongs to.
    pub uuid: Uuid,
    /// Its number in the tables of roles; `None` when its own table does not reach it.
    pub number: Option<MemberNumber>,
    /// The role its own superblock gives it.
    pub role: Role,
    /// Whether it takes part in the choice of the freshest, and must be fresh itself.
    pub needs_events: bool,
    /// How far it is, by its own superblock.
    pub progress: Progress,
    /// Whether it takes over from another member in its slot.
    pub replacement: bool,
    /// Its room for data.
    pub data_size: Sectors,
    /// Whether it has a partial parity log.
    pub has_ppl: bool,
    /// What it says of the array.
    pub array: ArrayState,
}

impl Member {
    /// Of a member with a 1.x superblock.
    pub fn of_sb1(sb: &Sb1<'_>) -> Self {
        let (array, member) = (*sb.array(), sb.member());
        Self {
            uuid: sb.set_uuid(),
            number: sb.number(),
            role: sb.role(),
            needs_events: sb.role().needs_events(),
            progress: member.progress,
            replacement: member.replacement,
            data_size: member.data.size,
            has_ppl: matches!(member.crash_log, CrashLog::Ppl(_)),
            array,
        }
    }

    /// Of a member with a 0.90 superblock.
    pub fn of_sb0(sb: &Sb0<'_>) -> Self {
        let (array, member) = (*sb.array(), sb.member());
        Self {
            uuid: sb.set_uuid(),
            number: Some(sb.number()),
            role: sb.role(),
            needs_events: sb.needs_events(),
            progress: member.progress,
            replacement: false,
            data_size: member.data.size,
            has_ppl: false,
            array,
        }
    }

    fn events(&self) -> Events {
        self.array.events
    }

    /// Why it cannot be in the array of `reference`, if it cannot.
    pub fn stranger_to(&self, reference: &Self) -> Option<Kick> {
        let shape = |array: &ArrayState| (array.level, array.layout, array.chunk);
        // One of them may not have heard that a reshape has ended.
        let next = |array: &ArrayState| {
            let reshape = array.reshape?;
            Some((
                reshape.new_level,
                Some(reshape.new_layout),
                reshape.new_chunk,
            ))
        };
        let follows = |array: &ArrayState, before: &ArrayState| {
            array.reshape.is_none() && next(before) == Some(shape(array))
        };
        let (own, other) = (&self.array, &reference.array);
        if self.uuid != reference.uuid {
            Some(Kick::Uuid(self.uuid))
        } else if shape(own) != shape(other) && !follows(own, other) && !follows(other, own) {
            Some(Kick::Shape)
        } else {
            None
        }
    }
}

/// Where a member works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its slot.
    pub slot: Slot,
    /// First or second in it.
    pub seat: Seat,
    /// How much of it is in sync.
    pub progress: SlotProgress,
}

/// Which of the two places of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The member of the slot.
    Main,
    /// The one that takes over from it.
    Replacement,
}

/// How much of a member in a slot is in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotProgress {
    /// All of it.
    InSync,
    /// Up to here; the rest must be rebuilt, all of it.
    Upto(Sectors),
    /// Up to here; the rest must be rebuilt where the bitmap says.
    UptoByBitmap(Sectors),
}

impl SlotProgress {
    fn of(progress: Progress) -> Self {
        match progress {
            Progress::Settled | Progress::Journal { .. } => Self::InSync,
            Progress::Recovering { upto } => Self::Upto(upto),
            Progress::RecoveringByBitmap { upto } => Self::UptoByBitmap(upto),
        }
    }
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// [`elect`] has not looked at it.
    Unjudged,
    /// It works in a slot.
    Active(Place),
    /// It is the journal; replay starts at the tail.
    Journal {
        /// Sectors from the start of its data.
        tail: Sectors,
    },
    /// It waits.
    Spare,
    /// The array knows it as failed.
    Faulty,
    /// It cannot be in the array.
    Kicked(Kick),
}

/// Why a member is not taken. C md removes it from the array with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kick {
    /// It belongs to this array.
    Uuid(Uuid),
    /// It says another level, layout or chunk size.
    Shape,
    /// It missed writes. If it has a slot, it may come back once the array runs ([`judge_returning`]).
    NotFresh(Events),
    /// The freshest superblock has no entry for its number (`EUCLEAN`).
    NumberUnknown(MemberNumber),
    /// It is a journal, and the array has none.
    JournalUnwanted,
    /// There already is a journal.
    SecondJournal,
    /// A better member fills its place.
    SlotTaken(Slot),
    /// It is shorter than what the array uses of each member.
    TooShort(Sectors),
}

impl fmt::Display for Kick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Uuid(uuid) => write!(f, "belongs to array {uuid}"),
            Self::Shape => write!(f, "has another level, layout or chunk size"),
            Self::NotFresh(events) => write!(f, "is not fresh: its events are {events}"),
            Self::NumberUnknown(number) => write!(
                f,
                "has number {number}, which the freshest member does not know"
            ),
            Self::JournalUnwanted => write!(f, "is a journal of an array without journal"),
            Self::SecondJournal => write!(f, "is a second journal"),
            Self::SlotTaken(slot) => write!(f, "is in slot {slot}, which a better member fills"),
            Self::TooShort(size) => write!(f, "has room for only {size} sectors"),
        }
    }
}

/// A member and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What its superblock says.
    pub member: Member,
    /// What becomes of it.
    pub verdict: Verdict,
}

impl Candidate {
    /// A member to be judged.
    pub fn new(member: Member) -> Self {
        Self {
            member,
            verdict: Verdict::Unjudged,
        }
    }
}

/// The place of a member among the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateIndex(pub usize);

/// Judges every candidate by the freshest, and returns which that is.
///
/// `role_in(freshest, number)` looks `number` up in the table of roles of the freshest superblock. A member that is one
/// event behind is taken, but only in a role that both give it: it may have been failed by the write it missed.
///
/// # Errors
///
/// [`NoStart::NoMember`] when none has a slot or is a journal (C md: `EINVAL`).
pub fn elect(
    candidates: &mut [Candidate],
    role_in: impl Fn(CandidateIndex, MemberNumber) -> Option<Role>,
) -> Result<CandidateIndex, NoStart> {
    let (index, freshest) = find_freshest(candidates).ok_or(NoStart::NoMember)?;
    for candidate in candidates.iter_mut() {
        candidate.verdict = judge(&candidate.member, &freshest, |number| {
            role_in(index, number)
        });
    }
    settle_conflicts(candidates);
    Ok(index)
}

/// The newest of those that have a slot or are a journal, the first of them if several are. Who does not fit the
/// newest seen before it is passed over, however new: a member of another array must not take this one over.
fn find_freshest(candidates: &[Candidate]) -> Option<(CandidateIndex, Member)> {
    let eligible = candidates
        .iter()
        .map(|candidate| candidate.member)
        .enumerate()
        .filter(|(_, m)| m.needs_events);
    eligible.fold(None, |best, (index, member)| match best {
        Some((_, best_member)) if member.stranger_to(&best_member).is_some() => best,
        Some((_, best_member)) if member.events() <= best_member.events() => best,
        _ => Some((CandidateIndex(index), member)),
    })
}

fn judge(
    member: &Member,
    freshest: &Member,
    role_in: impl Fn(MemberNumber) -> Option<Role>,
) -> Verdict {
    if let Some(kick) = member.stranger_to(freshest) {
        return Verdict::Kicked(kick);
    }
    let events = member.events();
    if member.needs_events && !events.is_fresh_for(freshest.events()) {
        return Verdict::Kicked(Kick::NotFresh(events));
    }
    let role = match member.number {
        None => Role::Spare,
        Some(number) if events < freshest.events() => match role_in(number) {
            Some(role) => agreed_role(member.role, role),
            None => return Verdict::Kicked(Kick::NumberUnknown(number)),
        },
        Some(_) => member.role,
    };
    match role {
        Role::Spare | Role::Reserved(_) => Verdict::Spare,
        Role::Faulty => Verdict::Faulty,
        Role::Journal => judge_journal(member),
        Role::Active(slot) => judge_active(member, slot, &freshest.array),
    }
}

/// The role of a member that missed the last event. The freshest superblock can take a role away, but not give one: a
/// spare that was about to be rebuilt when everything stopped holds nothing yet. (C md takes it as in sync, since its
/// own superblock does not say how far the rebuild is.)
fn agreed_role(own: Role, freshest: Role) -> Role {
    match (own, freshest) {
        (_, Role::Faulty) => Role::Faulty,
        (own, freshest) if own == freshest => own,
        _ => Role::Spare,
    }
}

fn judge_journal(member: &Member) -> Verdict {
    match (member.array.journal, member.progress) {
        (JournalUse::With, Progress::Journal { tail }) => Verdict::Journal { tail },
        // Its own superblock does not call it a journal, so it has no tail to replay from.
        (JournalUse::With, _) | (JournalUse::Without, _) => Verdict::Kicked(Kick::JournalUnwanted),
    }
}

fn judge_active(member: &Member, slot: Slot, array: &ArrayState) -> Verdict {
    if slot.get() >= slots_in_use(array) {
        return Verdict::Spare;
    }
    // Levels without redundancy use all of each member, whatever the superblock says of a size.
    if array.level.is_redundant() && member.data_size < array.member_size {
        return Verdict::Kicked(Kick::TooShort(member.data_size));
    }
    let seat = if member.replacement {
        Seat::Replacement
    } else {
        Seat::Main
    };
    Verdict::Active(Place {
        slot,
        seat,
        progress: SlotProgress::of(member.progress),
    })
}

/// The slots of the array, and those a reshape is taking away.
fn slots_in_use(array: &ArrayState) -> u16 {
    let leaving = array
        .reshape
        .map_or(0, |reshape| reshape.delta_disks.min(0).unsigned_abs());
    array
        .raid_disks
        .saturating_add(u16::try_from(leaving).unwrap_or(u16::MAX))
}

/// Leaves one member in each seat, and one journal.
fn settle_conflicts(candidates: &mut [Candidate]) {
    for later in 1..candidates.len() {
        let Some((earlier, [this, ..])) = candidates.split_at_mut_checked(later) else {
            return;
        };
        for other in earlier {
            settle(other, this);
        }
    }
}

/// If both want the same place, the one that is older, or not in sync, or else the second, goes.
fn settle(first: &mut Candidate, second: &mut Candidate) {
    let kick = match (first.verdict, second.verdict) {
        (Verdict::Active(a), Verdict::Active(b)) if (a.slot, a.seat) == (b.slot, b.seat) => {
            Kick::SlotTaken(a.slot)
        }
        (Verdict::Journal { .. }, Verdict::Journal { .. }) => Kick::SecondJournal,
        _ => return,
    };
    let worth = |candidate: &Candidate| {
        (
            candidate.member.events(),
            candidate.member.progress == Progress::Settled,
        )
    };
    let loser = if worth(second) > worth(first) {
        first
    } else {
        second
    };
    loser.verdict = Verdict::Kicked(kick);
}

/// How a member comes back to an array that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// As a spare: nothing of what it holds can be used.
    Spare,
    /// The array knows it as failed.
    Faulty,
    /// It is the journal.
    Journal {
        /// Sectors from the start of its data.
        tail: Sectors,
    },
    /// To the slot it had; it missed nothing but perhaps the rest of its rebuild.
    UpToDate(Place),
    /// To the slot it had; what it missed is in the bitmap.
    ByBitmap(Place),
}

/// Judges `member`, whose superblock belongs to the array, when it is added while the array runs.
///
/// `array_events` is the array's event count; `events_cleared` that of its bitmap, `None` without a bitmap. Before that
/// count bits were cleared without the member, so the bitmap cannot bring it up to date.
pub fn judge_returning(
    member: &Member,
    array_events: Events,
    events_cleared: Option<Events>,
) -> Return {
    let events = member.events();
    let usable_from = events_cleared.unwrap_or(array_events);
    match member.role {
        _ if events < usable_from => Return::Spare,
        Role::Spare | Role::Reserved(_) => Return::Spare,
        Role::Faulty => Return::Faulty,
        Role::Journal => match member.progress {
            Progress::Journal { tail } => Return::Journal { tail },
            _ => Return::Spare,
        },
        Role::Active(slot) => {
            let seat = if member.replacement {
                Seat::Replacement
            } else {
                Seat::Main
            };
            let place = Place {
                slot,
                seat,
                progress: SlotProgress::of(member.progress),
            };
            if events < array_events {
                Return::ByBitmap(place)
            } else {
                Return::UpToDate(place)
            }
        }
    }
}

/// Whether an array of this level is assembled by this driver.
fn supported(array: &ArrayState) -> Result<(), NoStart> {
    match (array.level, array.clustering) {
        (Level::Unsupported(_), _) => Err(NoStart::Level(array.level)),
        (_, Clustering::Clustered) => Err(NoStart::Clustered),
        (_, Clustering::Single) => Ok(()),
    }
}

/// An array at rest has nothing to resync.
fn is_dirty(resync: ResyncPoint) -> bool {
    resync != ResyncPoint::Done
}

#[cfg(test)]
mod tests;
