// SPDX-License-Identifier: GPL-2.0

//! Cases of [`assemble`](crate::assemble), two members each to keep the stack small; the full tables are its unit
//! tests.

use super::{ensure, Case, Suite, Verdict};
use crate::assemble::{
    elect, judge_returning, Candidate, Kick, Member, NoStart, Return, SlotSet, Verdict as Judged,
};
use crate::format::ident::{SbTime, Uuid};
use crate::format::level::Level;
use crate::format::sb1::{ArrayState, Clustering, JournalUse, Progress, ResyncPoint, Role};
use crate::units::{Events, MemberNumber, Sectors, Slot};

/// Every case of assembling.
pub(super) const SUITE: Suite = Suite {
    name: "assemble",
    cases: &[
        Case {
            name: "a_member_two_events_behind_is_kicked",
            run: not_fresh,
        },
        Case {
            name: "a_member_one_event_behind_was_failed",
            run: failed_meanwhile,
        },
        Case {
            name: "a_spare_is_not_promoted_by_the_freshest",
            run: not_promoted,
        },
        Case {
            name: "spares_alone_make_no_array",
            run: spares_alone,
        },
        Case {
            name: "a_member_returns_by_the_bitmap_or_not_at_all",
            run: returning,
        },
        Case {
            name: "slot_sets_count",
            run: slot_sets,
        },
    ],
};

fn member(slot: u16, events: u64) -> Member {
    Member {
        uuid: Uuid::default(),
        number: Some(MemberNumber::new(u32::from(slot))),
        role: Role::Active(Slot::new(slot)),
        needs_events: true,
        progress: Progress::Settled,
        replacement: false,
        data_size: Sectors::new(1000),
        has_ppl: false,
        array: ArrayState {
            updated: SbTime::default(),
            events: Events::new(events),
            resync: ResyncPoint::Done,
            level: Level::Raid1,
            layout: Some(0),
            chunk: Sectors::ZERO,
            member_size: Sectors::new(1000),
            raid_disks: 2,
            block_size: None,
            reshape: None,
            journal: JournalUse::Without,
            clustering: Clustering::Single,
        },
    }
}

fn spare(events: u64) -> Member {
    Member {
        role: Role::Spare,
        needs_events: false,
        ..member(1, events)
    }
}

/// What becomes of `second` beside a member in slot 0 at 7 events, whose table gives number 1 `role`.
fn beside(second: Member, role: Role) -> Result<Judged, NoStart> {
    let mut candidates = [Candidate::new(member(0, 7)), Candidate::new(second)];
    elect(&mut candidates, |_, _| Some(role))?;
    let [_, second] = candidates;
    Ok(second.verdict)
}

fn not_fresh() -> Verdict {
    let verdict = beside(member(1, 5), Role::Active(Slot::new(1)));
    ensure(
        verdict == Ok(Judged::Kicked(Kick::NotFresh(Events::new(5)))),
        "kicked",
        5,
    )?;
    let verdict = beside(member(1, 6), Role::Active(Slot::new(1)));
    ensure(matches!(verdict, Ok(Judged::Active(_))), "taken", 6)
}

fn failed_meanwhile() -> Verdict {
    ensure(
        beside(member(1, 6), Role::Faulty) == Ok(Judged::Faulty),
        "known as failed",
        6,
    )
}

fn not_promoted() -> Verdict {
    ensure(
        beside(spare(6), Role::Active(Slot::new(1))) == Ok(Judged::Spare),
        "still a spare",
        6,
    )
}

fn spares_alone() -> Verdict {
    let outcome = elect(&mut [Candidate::new(spare(7))], |_, _| None);
    ensure(outcome == Err(NoStart::NoMember), "no member has a slot", 7)
}

fn returning() -> Verdict {
    let back = |events, cleared: Option<u64>| {
        judge_returning(&member(1, events), Events::new(9), cleared.map(Events::new))
    };
    ensure(back(8, None) == Return::Spare, "without a bitmap", 8)?;
    ensure(
        back(5, Some(6)) == Return::Spare,
        "bits were cleared without it",
        5,
    )?;
    ensure(
        matches!(back(6, Some(6)), Return::ByBitmap(_)),
        "by the bitmap",
        6,
    )?;
    ensure(
        matches!(back(9, None), Return::UpToDate(_)),
        "up to date",
        9,
    )
}

fn slot_sets() -> Verdict {
    let mut set = SlotSet::default();
    for slot in [0, 63, 64, 1919, 1920] {
        set.insert(Slot::new(slot));
    }
    ensure(set.count_below(1920) == 4, "four slots", 1920)?;
    ensure(set.count_below(64) == 2, "two slots below 64", 64)
}
