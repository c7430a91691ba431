// SPDX-License-Identifier: GPL-2.0

//! Cases of [`mirror`](crate::mirror): which copy is read, how much of which copies is written, what follows an error.

use core::num::NonZeroU32;

use super::{ensure, Case, Suite, Verdict};
use crate::mirror::balance::{choose_raid1, Candidate, Media, ReadOrder, Stream};
use crate::mirror::retry::{blocks, pages, CopyIndex, Repair};
use crate::mirror::write::{
    plan_write, BadBlocks, Behind, Gate, Kind, Pace, Readers, Target, WritePlan,
};
use crate::mirror::{Clear, Place, Reads, Seat};
use crate::units::{Sector, SectorRange, Sectors, Slot};

/// The suite of mirror plans.
pub static SUITE: Suite = Suite {
    name: "mirror",
    cases: &[
        Case {
            name: "bad_blocks_cut_requests",
            run: bad_blocks_cut_requests,
        },
        Case {
            name: "reads_choose_a_copy",
            run: reads_choose_a_copy,
        },
        Case {
            name: "writes_avoid_bad_blocks",
            run: writes_avoid_bad_blocks,
        },
        Case {
            name: "repair_goes_around",
            run: repair_goes_around,
        },
        Case {
            name: "pieces_cover_their_range",
            run: pieces_cover_their_range,
        },
    ],
};

const START: Sector = Sector::new(1000);
const LENGTH: Sectors = Sectors::new(8);

fn place(slot: u16) -> Place {
    Place {
        slot: Slot::new(slot),
        seat: Seat::Main,
    }
}

fn range(start: u64, length: u64) -> Option<SectorRange> {
    SectorRange::new(Sector::new(start), Sectors::new(length))
}

fn bad_blocks_cut_requests() -> Verdict {
    let table = [
        (992, 8, Clear::All),
        (1008, 8, Clear::All),
        (1007, 8, Clear::Before(Sectors::new(7))),
        (1001, 1, Clear::Before(Sectors::new(1))),
        (1000, 1, Clear::NotBefore(Sectors::new(1))),
        (999, 4, Clear::NotBefore(Sectors::new(3))),
        (999, 100, Clear::NotBefore(LENGTH)),
    ];
    for (start, length, want) in table {
        let clear = Clear::of(START, LENGTH, range(start, length));
        ensure(clear == want, "what is left of the request", start)?;
    }
    Ok(())
}

fn candidate(slot: u16) -> Candidate {
    Candidate {
        copy: place(slot),
        start: START,
        valid_below: Sector::MAX,
        bad: None,
        reads: Reads::Normal,
        media: Media::Rotating,
        in_flight: 1,
        head: Sector::ZERO,
        stream: Stream::NONE,
    }
}

/// Slot and length of the read. Of two candidates at a time: a table of them would not fit the stack.
fn chosen(order: ReadOrder, candidates: [&Candidate; 2]) -> Option<(u16, u64)> {
    choose_raid1(LENGTH, order, candidates.into_iter().copied())
        .map(|choice| (choice.copy.slot.get(), choice.length.get()))
}

fn reads_choose_a_copy() -> Verdict {
    let close = Candidate {
        head: Sector::new(990),
        ..candidate(1)
    };
    let stale = Candidate {
        valid_below: Sector::new(1007),
        ..close
    };
    let slow = Candidate {
        reads: Reads::WriteMostly,
        ..close
    };
    let holed = Candidate {
        bad: range(1003, 1),
        ..close
    };
    let blind = Candidate {
        bad: range(995, 7),
        ..candidate(0)
    };
    let far = candidate(0);
    let any = ReadOrder::Any;
    ensure(
        chosen(any, [&far, &close]) == Some((1, 8)),
        "the closest",
        0,
    )?;
    ensure(
        chosen(ReadOrder::First, [&far, &close]) == Some((0, 8)),
        "the first",
        1,
    )?;
    ensure(
        chosen(any, [&far, &stale]) == Some((0, 8)),
        "not one that is not recovered",
        2,
    )?;
    ensure(
        chosen(any, [&far, &slow]) == Some((0, 8)),
        "not a write-mostly one",
        3,
    )?;
    ensure(
        chosen(any, [&far, &holed]) == Some((0, 8)),
        "not one with bad blocks",
        4,
    )?;
    ensure(
        chosen(any, [&blind, &holed]) == Some((1, 3)),
        "the longest",
        5,
    )?;
    ensure(
        chosen(any, [&blind, &slow]) == Some((1, 8)),
        "a write-mostly one in need",
        6,
    )?;
    let bounded = chosen(ReadOrder::First, [&blind, &close]);
    ensure(
        bounded == Some((1, 2)),
        "no further than the bad blocks of the first",
        7,
    )?;
    ensure(chosen(any, [&blind, &stale]).is_none(), "none at all", 8)
}

fn writes_avoid_bad_blocks() -> Verdict {
    let target = |slot, bad| Target {
        place: place(slot),
        start: START,
        gate: Gate::Open,
        bad,
        reads: Reads::Normal,
    };
    let behind = Behind {
        limit: 0,
        in_flight: 0,
        readers: Readers::None,
        copy_max: Sectors::new(2048),
    };
    let recorded =
        |start, length| range(start, length).map_or(BadBlocks::None, BadBlocks::Recorded);
    let together = |length| WritePlan::Write {
        length: Sectors::new(length),
        pace: Pace::Together,
    };
    let table = [
        ([BadBlocks::None, BadBlocks::None], Kind::Data, together(8)),
        (
            [recorded(1005, 1), BadBlocks::None],
            Kind::Data,
            together(5),
        ),
        (
            [recorded(998, 4), recorded(1005, 1)],
            Kind::Data,
            together(2),
        ),
        (
            [recorded(1005, 1), recorded(998, 4)],
            Kind::Data,
            together(2),
        ),
        (
            [recorded(1005, 1), BadBlocks::None],
            Kind::Atomic,
            WritePlan::CannotSplit,
        ),
        (
            [recorded(998, 4), recorded(998, 5)],
            Kind::Data,
            WritePlan::Fail {
                length: Sectors::new(2),
            },
        ),
    ];
    for (at, (bad, kind, want)) in (0_u64..).zip(table) {
        let targets = (0..).zip(bad).map(|(slot, bad)| target(slot, bad));
        let plan = plan_write(LENGTH, kind, &behind, targets, |_, _| ());
        ensure(plan == want, "the plan", at)?;
    }
    Ok(())
}

fn repair_goes_around() -> Verdict {
    const COPIES: u16 = 5;
    for failed in 0..COPIES {
        let Some(repair) = Repair::new(COPIES, CopyIndex(failed)) else {
            return ensure(false, "a copy of the array", failed.into());
        };
        for (tried, source) in repair.sources().enumerate() {
            let rewritten = repair.rewrites(source);
            ensure(
                rewritten.clone().count() == tried,
                "all tried are rewritten",
                source.0.into(),
            )?;
            for (from_end, copy) in repair.sources().take(tried).enumerate() {
                let mirrored = rewritten.clone().nth(tried - 1 - from_end);
                ensure(
                    mirrored == Some(copy),
                    "in the reverse order",
                    source.0.into(),
                )?;
            }
        }
        ensure(
            repair.sources().count() == COPIES.into(),
            "all are tried",
            failed.into(),
        )?;
    }
    ensure(
        Repair::new(COPIES, CopyIndex(COPIES)).is_none(),
        "no copy of the array",
        0,
    )
}

fn pieces_cover_their_range() -> Verdict {
    let Some(grain) = NonZeroU32::new(8) else {
        return ensure(false, "8 is not 0", 8);
    };
    for start in 0..16 {
        for length in 1..32 {
            let Some(whole) = range(start, length) else {
                return ensure(false, "a range", start);
            };
            for pieces in [pages(whole, grain), blocks(whole, grain)] {
                let mut at = whole.start();
                for piece in pieces {
                    ensure(piece.start() == at, "pieces follow each other", start)?;
                    ensure(piece.len() <= Sectors::new(8), "none is too long", start)?;
                    at = piece.end();
                }
                ensure(at == whole.end(), "they end with the range", start)?;
            }
            let crosses =
                |piece: SectorRange| piece.start().get() / 8 != (piece.end().get() - 1) / 8;
            ensure(
                !blocks(whole, grain).any(crosses),
                "no block crosses a multiple",
                start,
            )?;
        }
    }
    Ok(())
}
