// SPDX-License-Identifier: GPL-2.0

//! Every pair of levels in every environment, against a table of what the `takeover` methods of C md do.

use md_core::{
    format::level::Level,
    state::{
        takeover::{
            takeover, Bitmap, Chunk, LastSlot, LayoutNumber, Others, Refusal, Renumber, Slots,
            Source, Takeover, Zones,
        },
        Health,
    },
    units::Sectors,
};

/// Something that has to hold, and why it is refused otherwise.
type Need = (fn(&Source) -> bool, Refusal);

/// What becomes of an array.
struct Row {
    to: Level,
    from: Level,
    needs: &'static [Need],
    layout: fn(u32) -> u32,
    slots: fn(u32) -> u32,
    chunk: fn(u64) -> Chunk,
    /// Who shares the size of the array evenly: the members it has, those it gets, or nobody.
    shares: Shares,
    renumber: Renumber,
    health: fn(&Source) -> Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shares {
    Nobody,
    Before,
    After,
}

const NO_BITMAP: Need = (|s| s.bitmap == Bitmap::None, Refusal::HasBitmap);
const NO_OTHERS: Need = (|s| s.others == Others::None, Refusal::OtherMembers);
const ONE_MISSING: Need = (|s| s.missing.0 == 1, Refusal::Missing);
const AT_MOST_ONE_MISSING: Need = (|s| s.missing.0 < 2, Refusal::Missing);
const PARITY_GONE: Need = (|s| s.last_slot == LastSlot::Empty, Refusal::LastSlotTaken);
const PARITY_LAST: Need = (|s| s.layout.0 == 5, Refusal::Layout);
const ONE_ZONE: Need = (|s| s.zones == Zones::One, Refusal::Zones);
const TWO_SLOTS: Need = (|s| s.slots.0 == 2, Refusal::Slots);
const A_SLOT: Need = (|s| s.slots.0 > 0, Refusal::Slots);
const ROOM_FOR_ONE: Need = (
    |s| u32::from(s.slots.0) + 1 < u32::from(s.slots_end.0),
    Refusal::Slots,
);
const ROOM_FOR_MIRRORS: Need = (
    |s| u32::from(s.slots.0) * 2 < u32::from(s.slots_end.0),
    Refusal::Slots,
);
/// A chunk of a page or more divides the array; a size of zero has any.
const A_CHUNK: Need = (|s| s.size.get() % 8 == 0, Refusal::Size);

fn keep(_: u64) -> Chunk {
    Chunk::Keep
}

/// 64 KiB, halved until it divides the array.
fn dividing(size: u64) -> Chunk {
    let mut chunk = 128;
    while size % chunk != 0 {
        chunk /= 2;
    }
    Chunk::New(Sectors::new(chunk))
}

fn complete(_: &Source) -> Health {
    Health::Complete
}

fn degraded(_: &Source) -> Health {
    Health::Degraded
}

fn as_it_was(s: &Source) -> Health {
    if s.missing.0 == 0 {
        Health::Complete
    } else {
        Health::Degraded
    }
}

/// Without its last slot: whoever was missing there is not missed any more.
fn as_it_was_without_the_last(s: &Source) -> Health {
    let gone = u16::from(s.last_slot == LastSlot::Empty);
    if s.missing.0 <= gone {
        Health::Complete
    } else {
        Health::Degraded
    }
}

const TABLE: [Row; 12] = [
    Row {
        to: Level::Raid0,
        from: Level::Raid4,
        needs: &[NO_BITMAP, ONE_MISSING, PARITY_GONE, A_SLOT, NO_OTHERS],
        layout: |_| 0,
        slots: |n| n - 1,
        chunk: keep,
        shares: Shares::After,
        renumber: Renumber::Keep,
        health: complete,
    },
    Row {
        to: Level::Raid0,
        from: Level::Raid5,
        needs: &[
            NO_BITMAP,
            PARITY_LAST,
            ONE_MISSING,
            PARITY_GONE,
            A_SLOT,
            NO_OTHERS,
        ],
        layout: |_| 0,
        slots: |n| n - 1,
        chunk: keep,
        shares: Shares::After,
        renumber: Renumber::Keep,
        health: complete,
    },
    Row {
        to: Level::Raid0,
        from: Level::Raid10,
        needs: &[
            NO_BITMAP,
            (|s| s.layout.0 == 0x102, Refusal::Layout),
            (|s| s.slots.0 & 1 == 0, Refusal::Slots),
            (|s| s.missing.0 == s.slots.0 >> 1, Refusal::Missing),
            NO_OTHERS,
        ],
        layout: |_| 0,
        slots: |n| n / 2,
        chunk: keep,
        shares: Shares::After,
        renumber: Renumber::Halve,
        health: complete,
    },
    Row {
        to: Level::Raid0,
        from: Level::Raid1,
        needs: &[
            NO_BITMAP,
            A_SLOT,
            (|s| s.missing.0 + 1 == s.slots.0, Refusal::Missing),
            A_CHUNK,
            NO_OTHERS,
        ],
        layout: |_| 0,
        slots: |_| 1,
        chunk: dividing,
        shares: Shares::After,
        renumber: Renumber::First,
        health: complete,
    },
    Row {
        to: Level::Raid1,
        from: Level::Raid5,
        needs: &[TWO_SLOTS],
        layout: |_| 0,
        slots: |n| n,
        chunk: |_| Chunk::None,
        shares: Shares::Nobody,
        renumber: Renumber::Keep,
        health: as_it_was,
    },
    Row {
        to: Level::Raid4,
        from: Level::Raid0,
        needs: &[ONE_ZONE, ROOM_FOR_ONE],
        layout: |_| 5,
        slots: |n| n + 1,
        chunk: keep,
        shares: Shares::Before,
        renumber: Renumber::Keep,
        health: degraded,
    },
    Row {
        to: Level::Raid4,
        from: Level::Raid5,
        needs: &[PARITY_LAST],
        layout: |_| 0,
        slots: |n| n,
        chunk: keep,
        shares: Shares::Nobody,
        renumber: Renumber::Keep,
        health: as_it_was,
    },
    Row {
        to: Level::Raid5,
        from: Level::Raid0,
        needs: &[ONE_ZONE, ROOM_FOR_ONE],
        layout: |_| 5,
        slots: |n| n + 1,
        chunk: keep,
        shares: Shares::Before,
        renumber: Renumber::Keep,
        health: degraded,
    },
    Row {
        to: Level::Raid5,
        from: Level::Raid1,
        needs: &[TWO_SLOTS, AT_MOST_ONE_MISSING, A_CHUNK],
        layout: |_| 2,
        slots: |n| n,
        chunk: dividing,
        shares: Shares::Nobody,
        renumber: Renumber::Keep,
        health: as_it_was,
    },
    Row {
        to: Level::Raid5,
        from: Level::Raid4,
        needs: &[],
        layout: |_| 5,
        slots: |n| n,
        chunk: keep,
        shares: Shares::Nobody,
        renumber: Renumber::Keep,
        health: as_it_was,
    },
    Row {
        to: Level::Raid5,
        from: Level::Raid6,
        needs: &[
            (|s| matches!(s.layout.0, 5 | 16..=20), Refusal::Layout),
            A_SLOT,
        ],
        layout: |word| if word == 5 { 5 } else { word - 16 },
        slots: |n| n - 1,
        chunk: keep,
        shares: Shares::Nobody,
        renumber: Renumber::Keep,
        health: as_it_was_without_the_last,
    },
    Row {
        to: Level::Raid6,
        from: Level::Raid5,
        needs: &[
            AT_MOST_ONE_MISSING,
            (|s| s.slots.0 >= 3 && s.slots.0 <= 253, Refusal::Slots),
            (|s| s.layout.0 <= 5, Refusal::Layout),
        ],
        layout: |word| if word == 5 { 5 } else { word + 16 },
        slots: |n| n + 1,
        chunk: keep,
        shares: Shares::Nobody,
        renumber: Renumber::Keep,
        health: degraded,
    },
];

const RAID10: Row = Row {
    to: Level::Raid10,
    from: Level::Raid0,
    needs: &[
        ONE_ZONE,
        (|s| s.missing.0 == 0, Refusal::Missing),
        ROOM_FOR_MIRRORS,
    ],
    layout: |_| 0x102,
    slots: |n| n * 2,
    chunk: keep,
    shares: Shares::Before,
    renumber: Renumber::Double,
    health: degraded,
};

fn levels() -> [Level; 8] {
    [-1, 0, 1, 4, 5, 6, 10, -4].map(Level::from_number)
}

/// What the table says.
fn expected(to: Level, s: &Source) -> Result<Option<Takeover>, Refusal> {
    if to == s.level {
        return Ok(None);
    }
    let row = TABLE.iter().chain([&RAID10]);
    let Some(row) = row
        .into_iter()
        .find(|row| (row.to, row.from) == (to, s.level))
    else {
        return Err(match to {
            Level::Linear | Level::Unsupported(_) => Refusal::NoTakeover,
            // Whatever the level is, raid0 looks at the bitmap first.
            Level::Raid0 if s.bitmap == Bitmap::Some => Refusal::HasBitmap,
            _ => Refusal::Source(s.level),
        });
    };
    if let Some((_, refusal)) = row.needs.iter().find(|(holds, _)| !holds(s)) {
        return Err(*refusal);
    }
    let slots = u16::try_from((row.slots)(s.slots.0.into())).expect("room was asked for");
    let share =
        |members: u16| (members > 0).then(|| Sectors::new(s.size.get() / u64::from(members)));
    Ok(Some(Takeover {
        level: to,
        layout: LayoutNumber((row.layout)(s.layout.0)),
        slots: Slots(slots),
        chunk: (row.chunk)(s.size.get()),
        member_size: match row.shares {
            Shares::Nobody => None,
            Shares::Before => share(s.slots.0),
            Shares::After => share(slots),
        },
        renumber: row.renumber,
        health: (row.health)(s),
    }))
}

/// Every environment of an array of `level`.
fn environments(level: Level, visit: &mut impl FnMut(&Source)) {
    let layouts = (0..24).chain([0x101, 0x102, 0x103, 0x202, 0x10102, u32::MAX]);
    let slots = [0, 1, 2, 3, 4, 5, 8, 252, 253, 254, 0x7fff, 0x8000, u16::MAX];
    for layout in layouts {
        for slots in slots {
            let half = slots / 2;
            for missing in [0, 1, 2, 3, half, half + 1, slots.saturating_sub(1)] {
                for size in [0, 1 << 20, (1 << 20) + 16, (1 << 20) + 4, 7] {
                    for bits in 0..16 {
                        visit(&Source {
                            level,
                            layout: LayoutNumber(layout),
                            slots: Slots(slots),
                            missing: Slots(missing),
                            last_slot: [LastSlot::Empty, LastSlot::Taken][bits & 1],
                            others: [Others::None, Others::Some][bits >> 1 & 1],
                            bitmap: [Bitmap::None, Bitmap::Some][bits >> 2 & 1],
                            zones: [Zones::One, Zones::Several][bits >> 3],
                            size: Sectors::new(size),
                            chunk_min: Sectors::new(8),
                            slots_end: Slots(u16::MAX),
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn every_pair_of_levels_in_every_environment() {
    let mut made = std::collections::BTreeSet::new();
    for from in levels() {
        environments(from, &mut |source| {
            for to in levels() {
                let answer = takeover(to, source);
                assert_eq!(answer, expected(to, source), "{to:?} over {source:?}");
                if matches!(answer, Ok(Some(_))) {
                    made.insert((to.number(), from.number()));
                }
            }
        });
    }
    // No row of the table is without an environment in which it holds.
    assert_eq!(made.len(), TABLE.len() + 1);
}
