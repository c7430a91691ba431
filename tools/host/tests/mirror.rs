// SPDX-License-Identifier: GPL-2.0

//! Properties of `md_core::mirror`: no plan reads or writes what must not be, and none gives up while a copy is left.

use std::num::NonZeroU32;

use md_core::mirror::balance::{
    choose_raid1, choose_raid10, Candidate, Choice, Copies, Media, ReadOrder, Stream,
};
use md_core::mirror::retry::{blocks, pages, CopyIndex, Repair};
use md_core::mirror::write::{
    plan_write, BadBlocks, Behind, Fate, Gate, Kind, Pace, Readers, Target, WritePlan,
};
use md_core::mirror::{Clear, Place, Reads, Seat};
use md_core::policy::FailFast;
use md_core::units::{Sector, SectorRange, Sectors, Slot};
use proptest::prelude::*;

const START: u64 = 1000;

fn range(start: u64, length: u64) -> Option<SectorRange> {
    SectorRange::new(Sector::new(start), Sectors::new(length))
}

fn bad() -> impl Strategy<Value = Option<SectorRange>> {
    let some = (START - 20..START + 60, 1_u64..40);
    prop_oneof![2 => Just(None), 3 => some.prop_map(|(start, length)| range(start, length))]
}

fn reads() -> impl Strategy<Value = Reads> {
    prop_oneof![3 => Just(Reads::Normal), 1 => Just(Reads::WriteMostly)]
}

fn place(slot: u16) -> Place {
    Place {
        slot: Slot::new(slot),
        seat: Seat::Main,
    }
}

prop_compose! {
    fn candidate()(
        bad in bad(),
        valid_below in prop_oneof![3 => Just(u64::MAX), 1 => START..START + 64],
        reads in reads(),
        optimal in proptest::option::of(0_u64..128),
        in_flight in 0_u32..4,
        head in START - 50..START + 50,
        streamed in proptest::option::of((START - 300..START, 1_u64..300)),
    ) -> Candidate {
        Candidate {
            copy: place(0),
            start: Sector::new(START),
            valid_below: Sector::new(valid_below),
            bad,
            reads,
            media: optimal.map_or(Media::Rotating, |optimal| Media::Solid { optimal: Sectors::new(optimal) }),
            in_flight,
            head: Sector::new(head),
            stream: streamed.map_or(Stream::NONE, |(start, length)| {
                Stream::NONE.after(Sector::new(start), Sectors::new(length))
            }),
        }
    }
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    proptest::collection::vec(candidate(), 0..6).prop_map(|candidates| {
        (0..)
            .zip(candidates)
            .map(|(slot, one)| Candidate {
                copy: place(slot),
                ..one
            })
            .collect()
    })
}

/// Whether sector `at` of a candidate is known to be good and valid.
fn is_good(candidate: &Candidate, at: u64) -> bool {
    let is_bad = candidate
        .bad
        .is_some_and(|bad| bad.start().get() <= at && at < bad.end().get());
    !is_bad && at < candidate.valid_below.get()
}

/// What holds for every choice there is.
fn check_choice(
    length: u64,
    candidates: &[Candidate],
    choice: Option<Choice>,
) -> Result<(), TestCaseError> {
    let whole_is_valid = |one: &&Candidate| one.valid_below.get() >= START + length;
    let able = candidates
        .iter()
        .filter(whole_is_valid)
        .filter(|one| is_good(one, START))
        .count();
    let Some(choice) = choice else {
        prop_assert_eq!(able, 0, "a copy was left");
        return Ok(());
    };
    let chosen = &candidates[usize::from(choice.copy.slot.get())];
    prop_assert!(choice.length.get() > 0 && choice.length.get() <= length);
    for at in START..START + choice.length.get() {
        prop_assert!(is_good(chosen, at), "sector {} of {:?}", at, chosen);
    }
    if choice.fail_fast == FailFast::Yes {
        prop_assert!(able > 1, "no other copy");
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_read_is_of_good_sectors_if_there_are_any(candidates in candidates(), length in 1_u64..50) {
        let views = || candidates.iter().copied();
        let sectors = Sectors::new(length);
        check_choice(length, &candidates, choose_raid1(sectors, ReadOrder::Any, views()))?;
        for copies in [Copies::Near, Copies::Far, Copies::NearAndFar] {
            check_choice(length, &candidates, choose_raid10(sectors, ReadOrder::Any, copies, views()))?;
        }
    }

    #[test]
    fn a_write_mostly_member_is_the_last_resort(candidates in candidates(), length in 1_u64..50) {
        let normal = candidates.iter().any(|one| {
            one.reads == Reads::Normal && one.valid_below.get() >= START + length && is_good(one, START)
        });
        if let Some(choice) = choose_raid1(Sectors::new(length), ReadOrder::Any, candidates.iter().copied()) {
            let chosen = &candidates[usize::from(choice.copy.slot.get())];
            prop_assert!(chosen.reads == Reads::Normal || !normal);
        }
    }

    #[test]
    fn without_a_choice_each_sector_has_one_source(candidates in candidates(), length in 1_u64..50) {
        // Read bit by bit as the plans say; then read each sector alone: the same copy must serve it.
        prop_assume!(candidates.iter().all(|one| one.valid_below == Sector::MAX));
        let source = |start: u64, length: u64| {
            let moved = candidates.iter().map(move |one| Candidate { start: Sector::new(start), ..*one });
            choose_raid1(Sectors::new(length), ReadOrder::First, moved)
        };
        let mut at = START;
        while at < START + length {
            let Some(choice) = source(at, START + length - at) else {
                prop_assert!(candidates.iter().all(|one| !is_good(one, at)));
                at += 1;
                continue;
            };
            for sector in at..at + choice.length.get() {
                prop_assert_eq!(source(sector, 1).map(|one| one.copy), Some(choice.copy), "sector {}", sector);
            }
            at += choice.length.get();
        }
    }

    #[test]
    fn a_write_covers_every_good_sector_once(
        copies in proptest::collection::vec((bad(), reads()), 1..5),
        length in 1_u64..50,
        limit in 0_u32..2,
        copy_max in 0_u64..40,
    ) {
        let behind = Behind { limit, in_flight: 0, readers: Readers::None, copy_max: Sectors::new(copy_max) };
        let mut at = START;
        while at < START + length {
            let targets = (0..).zip(&copies).map(|(slot, (bad, reads))| Target {
                place: place(slot),
                start: Sector::new(at),
                gate: Gate::Open,
                bad: bad.map_or(BadBlocks::None, BadBlocks::Recorded),
                reads: *reads,
            });
            let mut fates = Vec::new();
            let rest = Sectors::new(START + length - at);
            let plan = plan_write(rest, Kind::Data, &behind, targets, |_, fate| fates.push(fate));
            let (step, pace) = match plan {
                WritePlan::Write { length, pace } => (length.get(), pace),
                WritePlan::Fail { length } => (length.get(), Pace::Together),
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert!(step > 0 && at + step <= START + length);
            prop_assert_eq!(fates.len(), copies.len());
            for ((bad, _), fate) in copies.iter().zip(&fates) {
                for sector in at..at + step {
                    let is_bad = bad.is_some_and(|bad| bad.start().get() <= sector && sector < bad.end().get());
                    prop_assert_eq!(*fate == Fate::Skip, is_bad, "sector {} of {:?}", sector, bad);
                }
            }
            let writes = fates.contains(&Fate::Write);
            let is_write = matches!(plan, WritePlan::Write { .. });
            prop_assert_eq!(is_write, writes);
            if pace == Pace::Behind {
                prop_assert!(limit > 0 && step <= copy_max);
            }
            at += step;
        }
    }

    #[test]
    fn what_is_clear_agrees_with_looking_at_each_sector(bad in bad(), length in 1_u64..50) {
        let is_bad = |at: u64| bad.is_some_and(|bad| bad.start().get() <= at && at < bad.end().get());
        let run = |want: bool| (START..START + length).take_while(|at| is_bad(*at) == want).count();
        let want = match (u64::try_from(run(false)), u64::try_from(run(true))) {
            (Ok(good), _) if good == length => Clear::All,
            (Ok(0), Ok(blocked)) => Clear::NotBefore(Sectors::new(blocked)),
            (Ok(good), _) => Clear::Before(Sectors::new(good)),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(Clear::of(Sector::new(START), Sectors::new(length), bad), want);
    }

    #[test]
    fn a_repair_writes_what_could_not_be_read(copies in 1_u16..40, failed in 0_u16..40) {
        let Some(repair) = Repair::new(copies, CopyIndex(failed)) else {
            prop_assert!(failed >= copies);
            return Ok(());
        };
        let sources: Vec<_> = repair.sources().collect();
        prop_assert_eq!(sources.len(), usize::from(copies));
        prop_assert_eq!(sources[0], CopyIndex(failed));
        for (tried, source) in sources.iter().enumerate() {
            let mut rewrites: Vec<_> = repair.rewrites(*source).collect();
            rewrites.reverse();
            prop_assert_eq!(&rewrites[..], &sources[..tried]);
        }
    }

    #[test]
    fn pieces_cover_their_range(start in any::<u64>(), length in 1_u64..1000, grain in 1_u32..70) {
        let (Some(whole), Some(grain)) = (range(start, length), NonZeroU32::new(grain)) else {
            return Ok(());
        };
        for (pieces, aligned) in [(pages(whole, grain), false), (blocks(whole, grain), true)] {
            let mut at = whole.start();
            for piece in pieces {
                prop_assert_eq!(piece.start(), at);
                prop_assert!(piece.len().get() <= u64::from(grain.get()));
                let full = piece.end().get() % u64::from(grain.get()) == 0;
                prop_assert!(!aligned || full || piece.end() == whole.end());
                at = piece.end();
            }
            prop_assert_eq!(at, whole.end());
        }
    }
}
