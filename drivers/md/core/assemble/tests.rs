// SPDX-License-Identifier: GPL-2.0

//! Tests of [`assemble`](super): who is freshest and who is kicked, who takes which place, what
//! starts, who comes back.

use std::vec::Vec;

use super::*;
use crate::format::ident::SbTime;
use crate::format::sb1::{Direction, Reshape};
use crate::units::Sector;

const OURS: Uuid = Uuid::new([1; 16]);
const THEIRS: Uuid = Uuid::new([2; 16]);

fn array(level: Level, raid_disks: u16, events: u64) -> ArrayState {
    ArrayState {
        updated: SbTime::default(),
        events: Events::new(events),
        resync: ResyncPoint::Done,
        level,
        layout: Some(2),
        chunk: Sectors::new(128),
        member_size: Sectors::new(1000),
        raid_disks,
        block_size: None,
        reshape: None,
        journal: JournalUse::Without,
        clustering: Clustering::Single,
    }
}

/// A member in sync with `slot`, its number the same.
fn ok(slot: u16, events: u64) -> Member {
    Member {
        uuid: OURS,
        number: Some(MemberNumber::new(u32::from(slot))),
        role: Role::Active(Slot::new(slot)),
        needs_events: true,
        progress: Progress::Settled,
        replacement: false,
        data_size: Sectors::new(1000),
        has_ppl: false,
        array: array(Level::Raid5, 3, events),
    }
}

fn spare(number: u32, events: u64) -> Member {
    Member {
        number: Some(MemberNumber::new(number)),
        role: Role::Spare,
        needs_events: false,
        ..ok(0, events)
    }
}

fn rebuilt_upto(slot: u16, events: u64, upto: u64) -> Member {
    Member {
        progress: Progress::Recovering {
            upto: Sectors::new(upto),
        },
        ..ok(slot, events)
    }
}

fn foreign(member: Member) -> Member {
    Member {
        uuid: THEIRS,
        ..member
    }
}

fn journal(number: u32, events: u64) -> Member {
    let mut member = Member {
        role: Role::Journal,
        needs_events: true,
        ..spare(number, events)
    };
    member.progress = Progress::Journal {
        tail: Sectors::new(64),
    };
    member.array.journal = JournalUse::With;
    member
}

fn in_sync(slot: u16) -> Verdict {
    active(slot, Seat::Main, SlotProgress::InSync)
}

fn active(slot: u16, seat: Seat, progress: SlotProgress) -> Verdict {
    Verdict::Active(Place {
        slot: Slot::new(slot),
        seat,
        progress,
    })
}

fn not_fresh(events: u64) -> Verdict {
    Verdict::Kicked(Kick::NotFresh(Events::new(events)))
}

/// Elects among `members`; the freshest's table gives the members `roles` in the order of their numbers.
fn elected(members: &[Member], roles: &[Role]) -> Result<(usize, Vec<Verdict>), NoStart> {
    let mut candidates: Vec<_> = members.iter().copied().map(Candidate::new).collect();
    let role_in = |_, number: MemberNumber| roles.get(usize::try_from(number.get()).ok()?).copied();
    let CandidateIndex(freshest) = elect(&mut candidates, role_in)?;
    Ok((
        freshest,
        candidates
            .iter()
            .map(|candidate| candidate.verdict)
            .collect(),
    ))
}

#[track_caller]
fn check(members: &[Member], roles: &[Role], freshest: usize, verdicts: &[Verdict]) {
    assert_eq!(elected(members, roles), Ok((freshest, verdicts.to_vec())));
}

const fn slot(n: u16) -> Role {
    Role::Active(Slot::new(n))
}

#[test]
fn who_is_freshest_and_who_is_kicked() {
    use Verdict::{Faulty, Spare};
    let all = &[slot(0), slot(1), slot(2)];
    let two_failed = &[slot(0), slot(1), Role::Faulty];
    check(
        &[ok(0, 7), ok(1, 7), ok(2, 7)],
        all,
        0,
        &[in_sync(0), in_sync(1), in_sync(2)],
    );
    check(
        &[ok(0, 6), ok(1, 7), ok(2, 7)],
        all,
        1,
        &[in_sync(0), in_sync(1), in_sync(2)],
    );
    check(
        &[ok(0, 7), ok(1, 7), ok(2, 5)],
        all,
        0,
        &[in_sync(0), in_sync(1), not_fresh(5)],
    );
    check(
        &[ok(0, 7), ok(1, 7), ok(2, 6)],
        two_failed,
        0,
        &[in_sync(0), in_sync(1), Faulty],
    );
    check(
        &[ok(0, 7), spare(3, 1)],
        &[slot(0), slot(1), slot(2), Role::Spare],
        0,
        &[in_sync(0), Spare],
    );
    check(&[spare(3, 9), ok(0, 7)], all, 1, &[Spare, in_sync(0)]);
    let other = Verdict::Kicked(Kick::Uuid(THEIRS));
    check(
        &[ok(0, 7), foreign(ok(1, 99))],
        all,
        0,
        &[in_sync(0), other],
    );
    check(
        &[foreign(spare(3, 7)), ok(0, 7)],
        all,
        1,
        &[other, in_sync(0)],
    );
    assert_eq!(elected(&[], all), Err(NoStart::NoMember));
    assert_eq!(elected(&[spare(0, 7)], all), Err(NoStart::NoMember));
}

#[test]
fn a_member_one_event_behind_keeps_only_what_both_say() {
    let unknown = Verdict::Kicked(Kick::NumberUnknown(MemberNumber::new(2)));
    check(
        &[ok(0, 7), ok(2, 6)],
        &[slot(0), slot(1)],
        0,
        &[in_sync(0), unknown],
    );
    check(
        &[ok(0, 7), ok(2, 6)],
        &[slot(0), slot(1), Role::Spare],
        0,
        &[in_sync(0), Verdict::Spare],
    );
    check(
        &[ok(0, 7), ok(2, 6)],
        &[slot(0), slot(1), slot(1)],
        0,
        &[in_sync(0), Verdict::Spare],
    );
    // The freshest was about to rebuild a spare in slot 2: it holds nothing yet.
    check(
        &[ok(0, 7), spare(2, 6)],
        &[slot(0), slot(1), slot(2)],
        0,
        &[in_sync(0), Verdict::Spare],
    );
    // As fresh as the freshest: its own word counts.
    check(&[ok(0, 7), ok(2, 7)], &[], 0, &[in_sync(0), in_sync(2)]);
}

#[test]
fn places() {
    let all = &[slot(0), slot(1), slot(2)];
    let part = SlotProgress::Upto(Sectors::new(40));
    check(
        &[ok(0, 7), rebuilt_upto(1, 7, 40)],
        all,
        0,
        &[in_sync(0), active(1, Seat::Main, part)],
    );
    let replacing = Member {
        replacement: true,
        ..rebuilt_upto(0, 7, 40)
    };
    check(
        &[ok(0, 7), replacing],
        all,
        0,
        &[in_sync(0), active(0, Seat::Replacement, part)],
    );
    let taken = Verdict::Kicked(Kick::SlotTaken(Slot::new(0)));
    check(&[ok(0, 7), ok(0, 7)], all, 0, &[in_sync(0), taken]);
    check(
        &[rebuilt_upto(0, 7, 40), ok(0, 7)],
        all,
        0,
        &[taken, in_sync(0)],
    );
    check(&[ok(0, 6), ok(0, 7)], all, 1, &[taken, in_sync(0)]);
    check(&[ok(0, 7), ok(3, 7)], all, 0, &[in_sync(0), Verdict::Spare]);
    let short = Member {
        data_size: Sectors::new(999),
        ..ok(1, 7)
    };
    let too_short = Verdict::Kicked(Kick::TooShort(Sectors::new(999)));
    check(&[ok(0, 7), short], all, 0, &[in_sync(0), too_short]);
    let mut linear = [ok(0, 7), short];
    for member in &mut linear {
        member.array.level = Level::Linear;
    }
    check(&linear, all, 0, &[in_sync(0), in_sync(1)]);
    let mut raid6 = ok(1, 7);
    raid6.array.level = Level::Raid6;
    check(
        &[ok(0, 7), raid6],
        all,
        0,
        &[in_sync(0), Verdict::Kicked(Kick::Shape)],
    );
}

#[test]
fn slots_that_a_reshape_takes_away_still_count() {
    let mut shrinking = [ok(0, 7), ok(3, 7), ok(4, 7)];
    for member in &mut shrinking {
        member.array.reshape = Some(Reshape {
            position: Sector::new(8),
            delta_disks: -1,
            new_level: Level::Raid5,
            new_layout: 2,
            new_chunk: Sectors::new(128),
            direction: Direction::Backwards,
        });
    }
    check(
        &shrinking,
        &[],
        0,
        &[in_sync(0), in_sync(3), Verdict::Spare],
    );
}

#[test]
fn journals() {
    let tail = Sectors::new(64);
    let mut data = ok(0, 7);
    data.array.journal = JournalUse::With;
    let second = Verdict::Kicked(Kick::SecondJournal);
    let unwanted = Verdict::Kicked(Kick::JournalUnwanted);
    check(
        &[data, journal(3, 7)],
        &[],
        0,
        &[in_sync(0), Verdict::Journal { tail }],
    );
    check(&[data, journal(3, 5)], &[], 0, &[in_sync(0), not_fresh(5)]);
    check(
        &[data, journal(3, 7), journal(4, 7)],
        &[],
        0,
        &[in_sync(0), Verdict::Journal { tail }, second],
    );
    let mut without = journal(3, 7);
    without.array.journal = JournalUse::Without;
    check(&[ok(0, 7), without], &[], 0, &[in_sync(0), unwanted]);
}

struct Misses(u16);

impl Redundancy for Misses {
    fn has_enough(&self, works: &SlotSet) -> bool {
        works.count_below(3) + self.0 >= 3
    }

    fn holds_only_parity(&self, slot: Slot) -> bool {
        slot.get() == 2
    }
}

fn started(members: &[Member], policy: Policy) -> Result<Plan, NoStart> {
    let mut candidates: Vec<_> = members.iter().copied().map(Candidate::new).collect();
    let CandidateIndex(freshest) = elect(&mut candidates, |_, _| None)?;
    let array = members[freshest].array;
    start(
        &array,
        &candidates,
        &Misses(if array.level == Level::Raid1 { 2 } else { 1 }),
        policy,
    )
}

fn dirty(mut member: Member) -> Member {
    member.array.resync = ResyncPoint::From(Sector::ZERO);
    member
}

#[test]
fn whether_it_starts() {
    use Policy::{RefuseDirtyDegraded as Refuse, StartDirtyDegraded as Risk};
    let outcome = |members: &[Member], policy| {
        started(members, policy).map(|p| (p.degraded, p.next, p.dirty_degraded))
    };
    let (clean, all_dirty) = (
        [ok(0, 7), ok(1, 7), ok(2, 7)],
        [ok(0, 7), ok(1, 7), ok(2, 7)].map(dirty),
    );
    assert_eq!(
        outcome(&clean, Refuse),
        Ok((0, Next::Nothing, DirtyDegraded::No))
    );
    assert_eq!(
        outcome(&clean[..2], Refuse),
        Ok((1, Next::Recover, DirtyDegraded::No))
    );
    assert_eq!(
        outcome(&clean[..1], Refuse),
        Err(NoStart::TooFew {
            in_sync: 1,
            slots: 3
        })
    );
    assert_eq!(
        outcome(&all_dirty, Refuse),
        Ok((0, Next::Resync, DirtyDegraded::No))
    );
    assert_eq!(
        outcome(&all_dirty[..2], Refuse),
        Err(NoStart::DirtyDegraded { missing: 1 })
    );
    assert_eq!(
        outcome(&all_dirty[..2], Risk),
        Ok((1, Next::Resync, DirtyDegraded::Risked))
    );
    let ppl = [ok(0, 7), ok(1, 7)].map(|m| dirty(Member { has_ppl: true, ..m }));
    assert_eq!(
        outcome(&ppl, Refuse),
        Ok((1, Next::Resync, DirtyDegraded::MendedByPpl))
    );
    // A slot of parity that is being rebuilt is not missed, one of data is.
    let parity = [ok(0, 7), ok(1, 7), rebuilt_upto(2, 7, 40)].map(dirty);
    assert_eq!(
        outcome(&parity, Refuse),
        Ok((1, Next::Resync, DirtyDegraded::No))
    );
    let data = [ok(0, 7), rebuilt_upto(1, 7, 40), ok(2, 7)].map(dirty);
    assert_eq!(
        outcome(&data, Refuse),
        Err(NoStart::DirtyDegraded { missing: 1 })
    );
}

#[test]
fn what_comes_first() {
    let next = |members: &[Member]| {
        started(members, Policy::RefuseDirtyDegraded).map(|plan| (plan.degraded, plan.next))
    };
    let whole = [ok(0, 7), ok(1, 7), ok(2, 7)];
    // Nothing is degraded, but a replacement is only half of what it replaces.
    let replacement = Member {
        replacement: true,
        ..rebuilt_upto(1, 7, 40)
    };
    let [a, b, c] = whole;
    assert_eq!(next(&[a, b, c, replacement]), Ok((0, Next::Recover)));
    // One that is done waits for nothing.
    let done = Member {
        replacement: true,
        ..ok(1, 7)
    };
    assert_eq!(next(&[a, b, c, done]), Ok((0, Next::Nothing)));
    // A resync comes before the rebuild, a reshape before both.
    let all_dirty = [a, b, c, replacement].map(dirty);
    assert_eq!(next(&all_dirty), Ok((0, Next::Resync)));
    let reshaping = |mut member: Member| {
        member.array.reshape = Some(Reshape {
            position: Sector::new(64),
            delta_disks: 0,
            new_level: Level::Raid5,
            new_layout: 2,
            new_chunk: Sectors::new(256),
            direction: Direction::Forwards,
        });
        member
    };
    assert_eq!(next(&whole.map(reshaping)), Ok((0, Next::Reshape)));
    assert_eq!(next(&all_dirty.map(reshaping)), Ok((0, Next::Reshape)));
    assert_eq!(next(&[a, b].map(reshaping)), Ok((1, Next::Reshape)));
}

#[test]
fn one_mirror_left_is_clean() {
    let mut left = dirty(ok(1, 7));
    left.array.level = Level::Raid1;
    let plan = started(&[left], Policy::RefuseDirtyDegraded).expect("one mirror is enough");
    assert_eq!(
        (plan.resync, plan.degraded, plan.next),
        (ResyncPoint::Done, 2, Next::Recover)
    );
}

#[test]
fn without_its_journal_it_is_read_only() {
    let access =
        |members: &[Member]| started(members, Policy::RefuseDirtyDegraded).map(|plan| plan.access);
    let mut members = [ok(0, 7), ok(1, 7), journal(3, 7)];
    members[0].array.journal = JournalUse::With;
    assert_eq!(access(&members), Ok(Access::ReadWrite));
    assert_eq!(access(&members[..2]), Ok(Access::ReadOnlyWithoutJournal));
}

#[test]
fn what_no_driver_here_starts() {
    let mut member = ok(0, 7);
    member.array.level = Level::from_number(-4);
    assert_eq!(
        started(&[member], Policy::StartDirtyDegraded),
        Err(NoStart::Level(Level::from_number(-4)))
    );
    let mut member = ok(0, 7);
    member.array.clustering = Clustering::Clustered;
    assert_eq!(
        started(&[member], Policy::StartDirtyDegraded),
        Err(NoStart::Clustered)
    );
}

#[test]
fn who_did_not_hear_that_a_reshape_has_ended_belongs_to_the_array() {
    let done = ok(0, 7);
    let mut late = ok(1, 6);
    late.array.reshape = Some(Reshape {
        position: Sector::new(64),
        delta_disks: 0,
        new_level: done.array.level,
        new_layout: done.array.layout.unwrap_or(0),
        new_chunk: done.array.chunk,
        direction: Direction::Forwards,
    });
    late.array.chunk = Sectors::new(done.array.chunk.get() * 2);
    assert_eq!(late.stranger_to(&done), None);
    assert_eq!(done.stranger_to(&late), None);
    late.array.reshape = None;
    assert_eq!(late.stranger_to(&done), Some(Kick::Shape));
    assert_eq!(done.stranger_to(&late), Some(Kick::Shape));
}

#[test]
fn what_a_driver_that_reshapes_raid10_starts() {
    let mut array = ok(0, 7).array;
    assert_eq!(startable(&array), Ok(()));
    array.reshape = Some(Reshape {
        position: Sector::new(64),
        delta_disks: 1,
        new_level: Level::Raid5,
        new_layout: 2,
        new_chunk: Sectors::new(128),
        direction: Direction::Forwards,
    });
    let reshaping = NoStart::Reshaping {
        level: Level::Raid5,
        position: Sector::new(64),
    };
    assert_eq!(startable(&array), Err(reshaping));
    if let Some(reshape) = &mut array.reshape {
        reshape.new_level = Level::Raid10;
    }
    assert!(startable(&array).is_err(), "raid5 does not become raid10");
    array.level = Level::Raid10;
    assert_eq!(startable(&array), Ok(()));
    array.clustering = Clustering::Clustered;
    assert_eq!(startable(&array), Err(NoStart::Clustered));
}

#[test]
fn who_comes_back() {
    let place = Place {
        slot: Slot::new(1),
        seat: Seat::Main,
        progress: SlotProgress::InSync,
    };
    let back = |member: &Member, now, cleared: Option<u64>| {
        judge_returning(member, Events::new(now), cleared.map(Events::new))
    };
    assert_eq!(back(&ok(1, 7), 7, None), Return::UpToDate(place));
    assert_eq!(back(&ok(1, 6), 7, None), Return::Spare);
    assert_eq!(back(&ok(1, 6), 9, Some(6)), Return::ByBitmap(place));
    assert_eq!(back(&ok(1, 5), 9, Some(6)), Return::Spare);
    assert_eq!(back(&ok(1, 9), 9, Some(6)), Return::UpToDate(place));
    assert_eq!(back(&spare(4, 9), 9, None), Return::Spare);
    assert_eq!(
        back(
            &Member {
                role: Role::Faulty,
                ..ok(1, 9)
            },
            9,
            None
        ),
        Return::Faulty
    );
    assert_eq!(
        back(&journal(3, 9), 9, None),
        Return::Journal {
            tail: Sectors::new(64)
        }
    );
}
