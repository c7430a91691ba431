// SPDX-License-Identifier: GPL-2.0

//! Properties of assembling: one member to a seat, nobody in sync who missed two events, no promotion by hearsay, and a
//! verdict that does not depend on the order in which members are found.

use md_core::assemble::{elect, Candidate, Kick, Member, NoStart, Seat, SlotProgress, Verdict};
use md_core::format::ident::{SbTime, Uuid};
use md_core::format::level::Level;
use md_core::format::sb1::{ArrayState, Clustering, JournalUse, Progress, ResyncPoint, Role};
use md_core::units::{Events, MemberNumber, Sectors, Slot};
use proptest::prelude::*;

const SLOTS: u16 = 5;

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![
        4 => (0..SLOTS + 2).prop_map(|slot| Role::Active(Slot::new(slot))),
        1 => Just(Role::Spare),
        1 => Just(Role::Faulty),
        1 => Just(Role::Journal),
    ]
}

prop_compose! {
    fn members()(
        number in 0..10_u32,
        role in roles(),
        events in 96..102_u64,
        recovering in any::<bool>(),
        replacement in any::<bool>(),
        stranger in prop::bool::weighted(0.1),
        data_size in 990..1010_u64,
        has_journal in any::<bool>(),
    ) -> Member {
        let progress = match (role, recovering) {
            (Role::Journal, _) => Progress::Journal { tail: Sectors::ZERO },
            (_, true) => Progress::Recovering { upto: Sectors::new(10) },
            (_, false) => Progress::Settled,
        };
        Member {
            uuid: Uuid::new([u8::from(stranger); 16]),
            number: Some(MemberNumber::new(number)),
            role,
            needs_events: role.needs_events(),
            progress,
            replacement,
            data_size: Sectors::new(data_size),
            has_ppl: false,
            array: ArrayState {
                updated: SbTime::default(),
                events: Events::new(events),
                resync: ResyncPoint::Done,
                level: Level::Raid6,
                layout: Some(2),
                chunk: Sectors::new(128),
                member_size: Sectors::new(1000),
                raid_disks: SLOTS,
                block_size: None,
                reshape: None,
                journal: if has_journal { JournalUse::With } else { JournalUse::Without },
                clustering: Clustering::Single,
            },
        }
    }
}

/// What becomes of `members` under a freshest that knows each number as `table` says.
fn judged(members: &[Member], table: &[Role]) -> Result<Vec<Candidate>, NoStart> {
    let mut candidates: Vec<_> = members.iter().copied().map(Candidate::new).collect();
    elect(&mut candidates, |_, number| {
        table.get(usize::try_from(number.get()).ok()?).copied()
    })?;
    Ok(candidates)
}

proptest! {
    #[test]
    fn every_verdict_has_its_reason(
        members in prop::collection::vec(members(), 0..12),
        table in prop::collection::vec(roles(), 10),
    ) {
        let mut candidates: Vec<_> = members.iter().copied().map(Candidate::new).collect();
        let Ok(freshest) = elect(&mut candidates, |_, n| table.get(usize::try_from(n.get()).ok()?).copied()) else {
            prop_assert!(members.iter().all(|member| !member.needs_events));
            return Ok(());
        };
        let freshest = members[freshest.0];
        prop_assert!(freshest.needs_events);
        let mut seats = Vec::new();
        for (candidate, member) in candidates.iter().zip(&members) {
            prop_assert_eq!(candidate.member, *member);
            let ours = member.uuid == freshest.uuid;
            let fresh = member.array.events.is_fresh_for(freshest.array.events);
            match candidate.verdict {
                Verdict::Unjudged => prop_assert!(false, "everyone is judged"),
                Verdict::Active(place) => {
                    prop_assert!(ours && fresh && member.role == Role::Active(place.slot));
                    prop_assert!(place.slot < Slot::new(SLOTS) && member.data_size >= Sectors::new(1000));
                    prop_assert_eq!(place.seat == Seat::Replacement, member.replacement);
                    prop_assert_eq!(place.progress == SlotProgress::InSync, member.progress == Progress::Settled);
                    prop_assert!(!seats.contains(&(place.slot, place.seat)), "one member to a seat");
                    seats.push((place.slot, place.seat));
                }
                Verdict::Journal { .. } => prop_assert!(ours && fresh && member.role == Role::Journal),
                Verdict::Spare | Verdict::Faulty => prop_assert!(ours),
                Verdict::Kicked(Kick::Uuid(uuid)) => prop_assert!(!ours && uuid == member.uuid),
                Verdict::Kicked(Kick::NotFresh(_)) => prop_assert!(!fresh && member.needs_events),
                Verdict::Kicked(Kick::SlotTaken(slot)) => prop_assert_eq!(member.role, Role::Active(slot)),
                Verdict::Kicked(Kick::SecondJournal | Kick::JournalUnwanted) => {
                    prop_assert_eq!(member.role, Role::Journal)
                }
                Verdict::Kicked(Kick::TooShort(size)) => prop_assert!(size < Sectors::new(1000)),
                Verdict::Kicked(Kick::Shape | Kick::NumberUnknown(_)) => prop_assert!(false, "all know all"),
            }
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(
        (members, shuffled) in prop::collection::vec(members(), usize::from(SLOTS)).prop_flat_map(|members| {
            let members = one_to_a_slot(members);
            (Just(members.clone()), Just(members).prop_shuffle())
        }),
    ) {
        let table: Vec<_> = (0..SLOTS).map(|slot| Role::Active(Slot::new(slot))).collect();
        let found = judged(&members, &table).expect("all have a slot");
        let otherwise = judged(&shuffled, &table).expect("all have a slot");
        for candidate in found {
            prop_assert!(otherwise.contains(&candidate), "{candidate:?}");
        }
    }
}

/// The same members in one array, each in a slot of its own, so that no tie is left to their order.
fn one_to_a_slot(members: Vec<Member>) -> Vec<Member> {
    let place = |(slot, member): (u16, Member)| Member {
        uuid: Uuid::default(),
        number: Some(MemberNumber::new(slot.into())),
        role: Role::Active(Slot::new(slot)),
        needs_events: true,
        ..member
    };
    (0..SLOTS).zip(members).map(place).collect()
}
