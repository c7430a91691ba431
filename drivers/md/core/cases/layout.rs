// SPDX-License-Identifier: GPL-2.0

//! Cases for [`crate::layout`]: pictures of arrays, checked in both directions.
//!
//! [`pictures`] has them and says how to read them.

mod pictures;

use super::{ensure, Case, Failure, Suite, Verdict};
use crate::{
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        linear::{Linear, Rounding},
        mirror::{Placement, Raid1, Raid10, Raid10Error, Raid10Layout},
        raid0::{OrderPolicy, Raid0, Raid0Error, Zone, ZoneOrder},
        raid456::{Held, ParityLayout, Raid456, Raid5Layout, Raid6Layout},
        reshape::{Direction, Location, Metadata, Next, OffsetChange, Position, Raid5Reshape},
        MemberSector,
    },
    units::{Sector, SectorRange, Sectors, Slot},
};
use pictures::{Picture, MIRRORS, PARITIES, ZONES};

/// Pictures and tables of every level.
pub static SUITE: Suite = Suite {
    name: "layout",
    cases: &[
        Case {
            name: "linear_concatenates",
            run: linear_concatenates,
        },
        Case {
            name: "raid0_zones",
            run: raid0_zones,
        },
        Case {
            name: "raid0_needs_an_order",
            run: raid0_needs_an_order,
        },
        Case {
            name: "raid0_odd_chunk_loses_the_masked_bits",
            run: raid0_odd_chunk_loses_the_masked_bits,
        },
        Case {
            name: "raid0_spreads_a_discard",
            run: raid0_spreads_a_discard,
        },
        Case {
            name: "raid1_is_everywhere",
            run: raid1_is_everywhere,
        },
        Case {
            name: "raid10_pictures",
            run: raid10_pictures,
        },
        Case {
            name: "raid10_refuses_what_collides",
            run: raid10_refuses_what_collides,
        },
        Case {
            name: "parity_pictures",
            run: parity_pictures,
        },
        Case {
            name: "parity_exponents",
            run: parity_exponents,
        },
        Case {
            name: "reshape_locations",
            run: reshape_locations,
        },
        Case {
            name: "reshape_grows_by_a_member",
            run: reshape_grows_by_a_member,
        },
        Case {
            name: "reshape_records_before_it_overwrites",
            run: reshape_records_before_it_overwrites,
        },
    ],
};

/// Sectors in a chunk of a picture, and a sector that is looked at in each.
const CHUNK: u32 = 8;
const INSIDE: u64 = 3;

/// A case cannot be set up: its own numbers are wrong.
const SETUP: Failure = Failure {
    what: "the case itself is wrong",
    at: 0,
};

fn chunk(sectors: u32) -> Result<ChunkSize, Failure> {
    ChunkSize::new(sectors).map_err(|_| SETUP)
}

fn power_chunk() -> Result<PowerOfTwoChunk, Failure> {
    PowerOfTwoChunk::new(chunk(CHUNK)?, Sectors::new(8)).map_err(|_| SETUP)
}

fn members(count: usize) -> Result<MemberCount, Failure> {
    u16::try_from(count)
        .ok()
        .and_then(MemberCount::new)
        .ok_or(SETUP)
}

/// A sector of chunk number `chunk`, of the array or of a member.
fn in_chunk(chunk: u64) -> Sector {
    Sector::new(
        chunk
            .saturating_mul(u64::from(CHUNK))
            .saturating_add(INSIDE),
    )
}

/// The chunk number that a character of a picture stands for.
fn number(glyph: u8) -> Option<u64> {
    char::from(glyph)
        .to_digit(36)
        .filter(|_| !glyph.is_ascii_uppercase())
        .map(u64::from)
}

/// What a picture shows at a place.
fn shown(picture: Picture, at: MemberSector) -> Option<u8> {
    let row = at
        .sector
        .get()
        .checked_sub(INSIDE)?
        .checked_div(u64::from(CHUNK))?;
    let line = picture.get(usize::try_from(row).ok()?)?;
    line.get(usize::from(at.slot.get())).copied()
}

/// Every place of a picture with its character.
fn places(picture: Picture) -> impl Iterator<Item = (MemberSector, u8)> {
    (0u64..).zip(picture).flat_map(|(row, line)| {
        (0u16..).zip(*line).map(move |(slot, glyph)| {
            let place = MemberSector {
                slot: Slot::new(slot),
                sector: in_chunk(row),
            };
            (place, *glyph)
        })
    })
}

/// How many places of a picture show `chunk`.
fn count_of(picture: Picture, chunk: u64) -> usize {
    places(picture)
        .filter(|(_, glyph)| number(*glyph) == Some(chunk))
        .count()
}

fn linear_concatenates() -> Verdict {
    // Rounded to 40, 0 and 24 sectors.
    let mut lengths = [Sectors::new(47), Sectors::new(7), Sectors::new(24)];
    let rounding = Rounding::Chunks(chunk(CHUNK)?);
    let linear = Linear::from_lengths(&mut lengths[..], rounding).map_err(|_| SETUP)?;
    ensure(
        linear.array_size().get() == 64,
        "sum of the rounded lengths",
        64,
    )?;
    for (at, slot, sector, len) in [
        (0, 0, 0, 40),
        (39, 0, 39, 1),
        (40, 2, 0, 24),
        (63, 2, 23, 1),
    ] {
        let run = linear.map(Sector::new(at)).map_err(|_| SETUP)?;
        let got = (run.slot.get(), run.sector.get(), run.len.get());
        ensure(got == (slot, sector, len), "member, sector and run", at)?;
    }
    ensure(linear.map(Sector::new(64)).is_err(), "beyond the end", 64)
}

const MOST_ZONES: usize = 3;
const MOST_SLOTS: usize = 8;

/// Builds a raid0 array on the stack and hands it to `check`.
fn with_raid0(
    lengths: &[Sectors],
    chunk: ChunkSize,
    policy: OrderPolicy,
    check: impl FnOnce(Result<Raid0<&mut [Zone], &mut [Slot]>, Raid0Error>) -> Verdict,
) -> Verdict {
    let mut zones = [Zone::EMPTY; MOST_ZONES];
    let mut slots = [Slot::new(0); MOST_SLOTS];
    let needs = Raid0::needs(chunk, lengths).map_err(|_| SETUP)?;
    let zones = zones.get_mut(..needs.zones).ok_or(SETUP)?;
    let slots = slots.get_mut(..needs.slots).ok_or(SETUP)?;
    check(Raid0::build(chunk, lengths, policy, zones, slots))
}

/// Lengths in chunks as lengths in sectors, a few sectors over.
fn lengths_of<'a>(chunks: &[u64], storage: &'a mut [Sectors; 4]) -> &'a [Sectors] {
    for (len, chunks) in storage.iter_mut().zip(chunks) {
        *len = Sectors::new(in_chunk(*chunks).get());
    }
    storage.get(..chunks.len()).unwrap_or(&[])
}

fn recorded(order: ZoneOrder) -> OrderPolicy {
    OrderPolicy {
        recorded: Some(order),
        default_layout: None,
    }
}

fn raid0_zones() -> Verdict {
    for (chunks, order, picture) in ZONES {
        let mut storage = [Sectors::ZERO; 4];
        let lengths = lengths_of(chunks, &mut storage);
        with_raid0(lengths, chunk(CHUNK)?, recorded(*order), |array| {
            let array = array.map_err(|_| SETUP)?;
            let total: u64 = chunks.iter().sum();
            ensure(
                array.array_size().get() == total * u64::from(CHUNK),
                "size",
                total,
            )?;
            for chunk in 0..total {
                let run = array.map(in_chunk(chunk)).map_err(|_| SETUP)?;
                let at = MemberSector {
                    slot: run.slot,
                    sector: run.sector,
                };
                let glyph = shown(picture, at).and_then(number);
                ensure(glyph == Some(chunk), "the chunk is elsewhere", chunk)?;
                ensure(
                    run.len.get() == u64::from(CHUNK) - INSIDE,
                    "run to the end of the chunk",
                    chunk,
                )?;
            }
            let end = Sector::new(array.array_size().get());
            ensure(array.map(end).is_err(), "beyond the end", end.get())
        })?;
    }
    Ok(())
}

fn raid0_needs_an_order() -> Verdict {
    let size = chunk(CHUNK)?;
    for (chunks, needed) in [
        (&[3u64, 5, 5][..], true),
        (&[3, 5], false),
        (&[5, 5, 5], false),
    ] {
        let mut storage = [Sectors::ZERO; 4];
        let lengths = lengths_of(chunks, &mut storage);
        with_raid0(lengths, size, OrderPolicy::default(), |array| {
            let unknown = matches!(array, Err(Raid0Error::UnknownOrder));
            ensure(unknown == needed, "an order is needed", u64::from(needed))
        })?;
    }
    Ok(())
}

fn raid0_odd_chunk_loses_the_masked_bits() -> Verdict {
    // 1000 sectors are 41 chunks of 24, 984; without the bits of 23 that is 968.
    let lengths = [Sectors::new(1000); 2];
    with_raid0(&lengths, chunk(24)?, OrderPolicy::default(), |array| {
        let size = array.map_err(|_| SETUP)?.array_size().get();
        ensure(size == 2 * 968, "size as C computes it", size)
    })
}

fn raid0_spreads_a_discard() -> Verdict {
    let mut storage = [Sectors::ZERO; 4];
    let lengths = lengths_of(&[3, 5, 5], &mut storage);
    with_raid0(
        lengths,
        chunk(CHUNK)?,
        recorded(ZoneOrder::Original),
        |array| {
            let array = array.map_err(|_| SETUP)?;
            // From the middle of chunk 7 to the middle of chunk 11, as far as the first zone goes: 7 and 8.
            let range = |start, end| {
                let len = Sectors::new(u64::saturating_sub(end, start));
                SectorRange::new(Sector::new(start), len).ok_or(SETUP)
            };
            let mut pieces = array.spread(range(60, 92)?).map_err(|_| SETUP)?;
            ensure(
                pieces.covered().get() == 12,
                "up to the end of the zone",
                72,
            )?;
            for (slot, start, end) in [(1, 20, 24), (2, 16, 24)] {
                let piece = pieces.next().map(|piece| (piece.slot, piece.range));
                ensure(
                    piece == Some((Slot::new(slot), range(start, end)?)),
                    "piece",
                    start,
                )?;
            }
            ensure(pieces.next().is_none(), "no further piece", 0)?;
            // The rest: chunks 9 (member 2), 10 (member 1) and half of 11 (member 2).
            let mut pieces = array.spread(range(72, 92)?).map_err(|_| SETUP)?;
            for (slot, start, end) in [(1, 24, 32), (2, 24, 36)] {
                let piece = pieces.next().map(|piece| (piece.slot, piece.range));
                ensure(
                    piece == Some((Slot::new(slot), range(start, end)?)),
                    "piece",
                    start,
                )?;
            }
            ensure(pieces.next().is_none(), "no further piece", 1)
        },
    )
}

fn raid1_is_everywhere() -> Verdict {
    let array = Raid1::new(members(3)?, Sectors::new(100));
    let copies = array.copies(Sector::new(40)).map_err(|_| SETUP)?;
    ensure(copies.run().get() == 60, "run to the end", 60)?;
    for (slot, copy) in (0u16..).zip(copies) {
        ensure(
            copy.slot.get() == slot && copy.sector.get() == 40,
            "the same sector",
            u64::from(slot),
        )?;
    }
    ensure(
        array.copies(Sector::new(100)).is_err(),
        "beyond the end",
        100,
    )?;
    ensure(array.has_enough(|slot| slot.get() == 2), "one is enough", 2)?;
    ensure(!array.has_enough(|_| false), "none is not", 0)
}

fn raid10(word: u32, count: usize, chunks: u64) -> Result<Result<Raid10, Raid10Error>, Failure> {
    let layout = Raid10Layout::parse(word).map_err(|_| SETUP)?;
    let available = Sectors::new(in_chunk(chunks).get());
    Ok(Raid10::new(
        layout,
        power_chunk()?,
        members(count)?,
        available,
    ))
}

fn raid10_pictures() -> Verdict {
    for (word, chunks, picture) in MIRRORS {
        let count = picture.first().map_or(0, |line| line.len());
        let array = raid10(*word, count, *chunks)?.map_err(|_| SETUP)?;
        for (place, glyph) in places(picture) {
            let want = number(glyph).map(in_chunk);
            ensure(
                array.array_sector(place) == want,
                "inverse map",
                u64::from(*word),
            )?;
        }
        let total = array.array_size().get() / u64::from(CHUNK);
        for chunk in 0..total {
            let copies = array.copies(in_chunk(chunk)).map_err(|_| SETUP)?;
            ensure(
                copies.len() == count_of(picture, chunk),
                "number of copies",
                u64::from(*word),
            )?;
            for copy in copies {
                let glyph = shown(picture, copy).and_then(number);
                ensure(glyph == Some(chunk), "forward map", u64::from(*word))?;
            }
        }
        ensure(
            count_of(picture, total) == 0,
            "size of the array",
            u64::from(*word),
        )?;
    }
    Ok(())
}

fn raid10_refuses_what_collides() -> Verdict {
    let refused = [
        (0x101, 4, Raid10Error::TooFewCopies),
        (0x105, 4, Raid10Error::MoreCopiesThanMembers),
        (0x203, 5, Raid10Error::MoreCopiesThanMembers),
        (0x2_0301, 4, Raid10Error::CopiesShareMember),
        (0x2_0202, 5, Raid10Error::CopiesShareMember),
        (0x4_0202, 9, Raid10Error::NearCopiesCrossSets),
        (0x1_0202, 5, Raid10Error::NearCopiesHitOffset),
    ];
    for (word, count, error) in refused {
        ensure(
            raid10(word, count, 8)? == Err(error),
            "a named refusal",
            u64::from(word),
        )?;
    }
    Ok(())
}

fn parity(layout: ParityLayout, count: usize, chunks: u64) -> Result<Raid456, Failure> {
    let available = Sectors::new(in_chunk(chunks).get());
    Raid456::new(layout, power_chunk()?, members(count)?, available).map_err(|_| SETUP)
}

fn parity_pictures() -> Verdict {
    for (index, (layout, picture)) in (0u64..).zip(PARITIES) {
        let count = picture.first().map_or(0, |line| line.len());
        let rows = u64::try_from(picture.len()).map_err(|_| SETUP)?;
        let array = parity(*layout, count, rows)?;
        for (place, glyph) in places(picture) {
            let want = match glyph {
                b'P' => Held::P,
                b'Q' => Held::Q,
                _ => number(glyph).map_or(Held::Nothing, |chunk| Held::Data(in_chunk(chunk))),
            };
            ensure(array.holds(place) == want, "inverse map", index)?;
        }
        let total = array.array_size().get() / u64::from(CHUNK);
        for chunk in 0..total {
            let located = array.locate(in_chunk(chunk)).map_err(|_| SETUP)?;
            let glyph = shown(picture, located.data).and_then(number);
            ensure(glyph == Some(chunk), "forward map", index)?;
        }
        ensure(count_of(picture, total) == 0, "size of the array", index)?;
    }
    Ok(())
}

/// Layout, row, exponent of each of 6 members (-1 for parity).
static EXPONENTS: &[(Raid6Layout, u64, [i32; 6])] = &[
    (Raid6Layout::LeftSymmetric, 0, [-1, 0, 1, 2, 3, -1]),
    (Raid6Layout::LeftSymmetric, 1, [0, 1, 2, 3, -1, -1]),
    (Raid6Layout::LeftSymmetric, 2, [1, 2, 3, -1, -1, 0]),
    (Raid6Layout::RightAsymmetric, 2, [2, 3, -1, -1, 0, 1]),
    (Raid6Layout::ParityFirst, 7, [-1, -1, 0, 1, 2, 3]),
    (Raid6Layout::ParityFirst6, 7, [-1, 0, 1, 2, 3, -1]),
    (Raid6Layout::RotatingZeroRestart, 2, [0, 1, -1, -1, 4, 5]),
    (Raid6Layout::RotatingNRestart, 1, [0, 1, 2, -1, -1, 5]),
    (Raid6Layout::RotatingNContinue, 1, [0, 1, 2, -1, -1, 5]),
];

fn parity_exponents() -> Verdict {
    for (layout, row, exponents) in EXPONENTS {
        let array = parity(ParityLayout::Raid6(*layout), exponents.len(), 8)?;
        let roles = array.roles_at(in_chunk(*row));
        for (slot, exponent) in (0u16..).zip(exponents) {
            let want = u16::try_from(*exponent).ok();
            ensure(
                roles.exponent(Slot::new(slot)) == want,
                "exponent",
                u64::from(layout.word()),
            )?;
        }
    }
    Ok(())
}

fn reshape_locations() -> Verdict {
    use Location::{Ahead, Behind, Inside};
    let cases = [
        (
            Direction::Forward,
            200,
            [(199, Behind), (200, Inside), (299, Inside), (300, Ahead)],
        ),
        (
            Direction::Backward,
            400,
            [(299, Ahead), (300, Inside), (399, Inside), (400, Behind)],
        ),
    ];
    for (direction, safe, sectors) in cases {
        let position = Position::start(direction, Sectors::new(1000))
            .advanced(Sector::new(300))
            .recorded(Sector::new(safe));
        for (at, want) in sectors {
            ensure(position.locate(Sector::new(at)) == want, "location", at)?;
        }
    }
    Ok(())
}

/// From 3 members to 4 with the data offset kept: rows of 2 chunks become rows of 3.
///
/// C compares member sectors: where the step writes (`progress / 3 + 8`), where it reads (`progress / 2 - 8`), and what
/// is recorded (here 0 throughout). Up to the step at 96 it writes to 40 and reads from 40 at most: user space has a
/// backup. From 120 on it writes to 48 and reads from 52 on, so recording the progress makes a restart safe.
fn reshape_grows_by_a_member() -> Verdict {
    let layout = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    let (old, new) = (parity(layout, 3, 20)?, parity(layout, 4, 20)?);
    let reshape = Raid5Reshape::new(
        old,
        new,
        Direction::Forward,
        OffsetChange(0),
        old.array_size(),
    )
    .map_err(|_| SETUP)?;
    let mut position = reshape.start();
    for at in (0..480).step_by(24) {
        let Next::Step(step) = reshape.next(&position) else {
            return ensure(false, "a step", at);
        };
        ensure(position.progress().get() == at, "position", at)?;
        ensure(step.target.start().get() == at / 3, "target", at)?;
        let source = step.source.map(|source| source.start().get());
        let want = (at < 320).then_some(at / 2 / 8 * 8);
        ensure(source == want, "source", at)?;
        let metadata = if at >= 120 {
            Metadata::WriteFirst
        } else {
            Metadata::NotNeeded
        };
        ensure(step.metadata == metadata, "metadata", at)?;
        position = position.advanced(step.progress);
    }
    ensure(reshape.next(&position) == Next::Done, "done", 480)
}

/// Direction, members before and after, recorded, reached, and whether the superblocks go first. In member sectors the
/// step writes from `w`, reads from `r`, and a restart reads from `s`.
const RECORDS: [(Direction, usize, usize, u64, u64, Metadata); 8] = [
    // w 24, r 24, s 8: it overwrites what it reads itself.
    (Direction::Forward, 2, 3, 16, 32, Metadata::NotNeeded),
    // w 32, r 40, s 32: what a restart reads begins where the step ends.
    (Direction::Forward, 2, 3, 40, 48, Metadata::NotNeeded),
    (Direction::Forward, 2, 3, 32, 48, Metadata::WriteFirst),
    (Direction::Forward, 2, 3, 48, 48, Metadata::NotNeeded),
    // The same mirrored: w 24, r 24, s 32.
    (Direction::Backward, 3, 2, 48, 32, Metadata::NotNeeded),
    // w 40, r 32, s 40.
    (Direction::Backward, 3, 2, 64, 48, Metadata::NotNeeded),
    (Direction::Backward, 3, 2, 80, 48, Metadata::WriteFirst),
    (Direction::Backward, 3, 2, 48, 48, Metadata::NotNeeded),
];

fn reshape_records_before_it_overwrites() -> Verdict {
    let layout = ParityLayout::Raid5(Raid5Layout::LeftSymmetric);
    for (n, (direction, old, new, recorded, reached, wanted)) in (0u64..).zip(RECORDS) {
        let (old, new) = (parity(layout, old, 20)?, parity(layout, new, 20)?);
        let size = old.array_size().min(new.array_size());
        let reshape =
            Raid5Reshape::new(old, new, direction, OffsetChange(0), size).map_err(|_| SETUP)?;
        let position =
            Position::resumed(direction, Sector::new(recorded)).advanced(Sector::new(reached));
        let Next::Step(step) = reshape.next(&position) else {
            return ensure(false, "a step", n);
        };
        ensure(step.metadata == wanted, "whether to record first", n)?;
    }
    Ok(())
}
