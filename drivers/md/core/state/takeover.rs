// SPDX-License-Identifier: GPL-2.0

//! Level takeover: a new level takes over an array on line, without moving data.
//!
//! [`takeover`] answers with the geometry that results, or refuses by name. The conditions are those of the
//! personalities' `takeover` methods and of `level_store()` in C md.
//!
//! | new level | from |
//! |---|---|
//! | raid0 | raid4, raid5 (parity last) without the parity member |
//! | raid0 | raid10 of two near copies with every mirror missing; raid1 with one member left |
//! | raid1 | raid5 of two members |
//! | raid4 | raid0 of one zone; raid5 with parity last |
//! | raid5 | raid0 of one zone; raid1 of two slots; raid4; raid6 whose Q is on the last slot |
//! | raid6 | raid5, at most one member missing, 3 to 253 slots |
//! | raid10 | raid0 of one zone |
//!
//! An array with a bitmap never becomes raid0, nor does one with members that are not in use. None gets more slots than
//! its superblocks can tell of.

mod refusal;

pub use refusal::Refusal;

use super::Health;
use crate::format::level::Level;
use crate::units::{Sectors, Slot};

/// The layout number of a superblock; its meaning depends on the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutNumber(pub u32);

impl LayoutNumber {
    /// Levels without a choice, and levels 4.
    pub const NONE: Self = Self(0);
    /// Level 5, the default: parity moves left, data continues after it.
    pub const LEFT_SYMMETRIC: Self = Self(2);
    /// Levels 5 and 6: parity on the last slot (or the last two).
    pub const PARITY_N: Self = Self(5);
    /// Level 10: two near copies, one far copy.
    pub const NEAR_2: Self = Self(0x102);
}

/// A number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slots(pub u16);

/// Whether the last slot has a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSlot {
    /// It has none.
    Empty,
    /// It has one.
    Taken,
}

/// Whether the array has a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bitmap {
    /// None.
    None,
    /// One of any kind.
    Some,
}

/// Whether there are members besides the ones in sync: spares, failed ones, replacements, ones that are being rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// None.
    None,
    /// At least one.
    Some,
}

/// Whether a raid0 array has members of equal use only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zones {
    /// One zone over all members, or not raid0.
    One,
    /// More.
    Several,
}

/// The array to be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its level.
    pub level: Level,
    /// Its layout.
    pub layout: LayoutNumber,
    /// Its slots.
    pub slots: Slots,
    /// How many of them have no member in sync.
    pub missing: Slots,
    /// Whether the last has a member.
    pub last_slot: LastSlot,
    /// Its members that are not in sync.
    pub others: Others,
    /// Its bitmap.
    pub bitmap: Bitmap,
    /// Its raid0 zones.
    pub zones: Zones,
    /// Its size.
    pub size: Sectors,
    /// The smallest chunk the new level can serve: a page, or the stripe size of levels 4, 5 and 6.
    pub chunk_min: Sectors,
    /// More slots than its superblocks can tell of: an array that gets more has fewer than this.
    pub slots_end: Slots,
}

/// What becomes of the chunk size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// It stays.
    Keep,
    /// The new level has none.
    None,
    /// It becomes this.
    New(Sectors),
}

/// How members change slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renumber {
    /// They stay; one beyond the new number of slots becomes a spare.
    Keep,
    /// Every other slot: `n` becomes `n / 2`.
    Halve,
    /// Room for mirrors: `n` becomes `2 n`.
    Double,
    /// The one member becomes slot 0.
    First,
}

/// The array after the takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The new level.
    pub level: Level,
    /// The new layout.
    pub layout: LayoutNumber,
    /// The new number of slots.
    pub slots: Slots,
    /// The chunk size.
    pub chunk: Chunk,
    /// What is used of each member, where that is not what it was.
    pub member_size: Option<Sectors>,
    /// Where the members go.
    pub renumber: Renumber,
    /// Whether slots are empty afterwards, so that a recovery is due.
    pub health: Health,
}

impl Takeover {
    /// The slot of a member that was in `slot`; `None` when it becomes a spare.
    pub fn slot_of(&self, slot: Slot) -> Option<Slot> {
        let slot = match self.renumber {
            Renumber::Keep => slot.get(),
            Renumber::Halve => slot.get() / 2,
            Renumber::Double => slot.get().checked_mul(2)?,
            Renumber::First => 0,
        };
        (slot < self.slots.0).then_some(Slot::new(slot))
    }
}

/// The geometry of `source` under level `to`; `None` when it is that level already.
pub fn takeover(to: Level, source: &Source) -> Result<Option<Takeover>, Refusal> {
    if to == source.level {
        return Ok(None);
    }
    match to {
        Level::Linear | Level::Unsupported(_) => Err(Refusal::NoTakeover),
        Level::Raid0 => raid0(source),
        Level::Raid1 => raid1(source),
        Level::Raid4 => raid4(source),
        Level::Raid5 => raid5(source),
        Level::Raid6 => raid6(source),
        Level::Raid10 => raid10(source),
    }
    .map(Some)
}

fn raid0(s: &Source) -> Result<Takeover, Refusal> {
    if s.bitmap == Bitmap::Some {
        return Err(Refusal::HasBitmap);
    }
    let done = Takeover {
        level: Level::Raid0,
        layout: LayoutNumber::NONE,
        slots: s.slots,
        chunk: Chunk::Keep,
        member_size: None,
        renumber: Renumber::Keep,
        health: Health::Complete,
    };
    let done = match s.level {
        Level::Raid4 => without_parity(s, done),
        Level::Raid5 if s.layout == LayoutNumber::PARITY_N => without_parity(s, done),
        Level::Raid5 => Err(Refusal::Layout),
        Level::Raid10 => without_mirrors(s, done),
        Level::Raid1 => last_mirror(s, done),
        other => Err(Refusal::Source(other)),
    }?;
    match s.others {
        Others::Some => Err(Refusal::OtherMembers),
        // The size stays what it was, whatever room the members have.
        Others::None => Ok(Takeover {
            member_size: s.each_of(done.slots),
            ..done
        }),
    }
}

fn without_parity(s: &Source, done: Takeover) -> Result<Takeover, Refusal> {
    if s.missing != Slots(1) {
        return Err(Refusal::Missing);
    }
    match s.last_slot {
        LastSlot::Taken => Err(Refusal::LastSlotTaken),
        LastSlot::Empty => Ok(Takeover {
            slots: fewer(s.slots)?,
            ..done
        }),
    }
}

fn without_mirrors(s: &Source, done: Takeover) -> Result<Takeover, Refusal> {
    let half = Slots(s.slots.0 / 2);
    if s.layout != LayoutNumber::NEAR_2 {
        Err(Refusal::Layout)
    } else if s.slots.0 % 2 != 0 {
        Err(Refusal::Slots)
    } else if s.missing != half {
        Err(Refusal::Missing)
    } else {
        Ok(Takeover {
            slots: half,
            renumber: Renumber::Halve,
            ..done
        })
    }
}

fn last_mirror(s: &Source, done: Takeover) -> Result<Takeover, Refusal> {
    if s.missing != fewer(s.slots)? {
        return Err(Refusal::Missing);
    }
    Ok(Takeover {
        slots: Slots(1),
        chunk: Chunk::New(chunk_of(s)?),
        renumber: Renumber::First,
        ..done
    })
}

fn raid1(s: &Source) -> Result<Takeover, Refusal> {
    match (s.level, s.slots) {
        (Level::Raid5, Slots(2)) => Ok(Takeover {
            level: Level::Raid1,
            layout: LayoutNumber::NONE,
            slots: s.slots,
            chunk: Chunk::None,
            member_size: None,
            renumber: Renumber::Keep,
            health: health(s.missing),
        }),
        (Level::Raid5, _) => Err(Refusal::Slots),
        (other, _) => Err(Refusal::Source(other)),
    }
}

fn raid4(s: &Source) -> Result<Takeover, Refusal> {
    match s.level {
        Level::Raid0 => with_parity(s, Level::Raid4),
        Level::Raid5 if s.layout == LayoutNumber::PARITY_N => {
            Ok(same_members(s, Level::Raid4, LayoutNumber::NONE))
        }
        Level::Raid5 => Err(Refusal::Layout),
        other => Err(Refusal::Source(other)),
    }
}

fn raid5(s: &Source) -> Result<Takeover, Refusal> {
    match s.level {
        Level::Raid0 => with_parity(s, Level::Raid5),
        Level::Raid4 => Ok(same_members(s, Level::Raid5, LayoutNumber::PARITY_N)),
        Level::Raid1 => from_mirror(s),
        Level::Raid6 => without_q(s),
        other => Err(Refusal::Source(other)),
    }
}

/// A raid0 array gets an empty slot for the parity.
fn with_parity(s: &Source, level: Level) -> Result<Takeover, Refusal> {
    match s.zones {
        Zones::Several => Err(Refusal::Zones),
        Zones::One => Ok(Takeover {
            slots: s.more_slots(s.slots.0.checked_add(1))?,
            member_size: s.each_of(s.slots),
            health: Health::Degraded,
            ..same_members(s, level, LayoutNumber::PARITY_N)
        }),
    }
}

fn from_mirror(s: &Source) -> Result<Takeover, Refusal> {
    if s.slots != Slots(2) {
        return Err(Refusal::Slots);
    }
    if s.missing > Slots(1) {
        return Err(Refusal::Missing);
    }
    let chunk = Chunk::New(chunk_of(s)?);
    Ok(Takeover {
        chunk,
        ..same_members(s, Level::Raid5, LayoutNumber::LEFT_SYMMETRIC)
    })
}

/// Layouts 16 to 20 are level 5's 0 to 4 with Q on the last slot; layout 5 is its own counterpart.
fn without_q(s: &Source) -> Result<Takeover, Refusal> {
    let layout = match s.layout.0 {
        5 => s.layout,
        n @ 16..=20 => LayoutNumber(n ^ 16),
        _ => return Err(Refusal::Layout),
    };
    let slots = fewer(s.slots)?;
    // The member on the last slot, when there is one, becomes a spare; a missing one is not missed any more.
    let missing = match s.last_slot {
        LastSlot::Taken => s.missing,
        LastSlot::Empty => Slots(s.missing.0.saturating_sub(1)),
    };
    Ok(Takeover {
        slots,
        health: health(missing),
        ..same_members(s, Level::Raid5, layout)
    })
}

fn raid6(s: &Source) -> Result<Takeover, Refusal> {
    if s.level != Level::Raid5 {
        return Err(Refusal::Source(s.level));
    }
    if s.missing > Slots(1) {
        return Err(Refusal::Missing);
    }
    if !(3..=253).contains(&s.slots.0) {
        return Err(Refusal::Slots);
    }
    let layout = match s.layout.0 {
        5 => s.layout,
        n @ 0..=4 => LayoutNumber(n | 16),
        _ => return Err(Refusal::Layout),
    };
    Ok(Takeover {
        slots: s.more_slots(s.slots.0.checked_add(1))?,
        health: Health::Degraded,
        ..same_members(s, Level::Raid6, layout)
    })
}

fn raid10(s: &Source) -> Result<Takeover, Refusal> {
    if s.level != Level::Raid0 {
        return Err(Refusal::Source(s.level));
    }
    if s.zones == Zones::Several {
        return Err(Refusal::Zones);
    }
    if s.missing != Slots(0) {
        return Err(Refusal::Missing);
    }
    Ok(Takeover {
        slots: s.more_slots(s.slots.0.checked_mul(2))?,
        member_size: s.each_of(s.slots),
        renumber: Renumber::Double,
        health: Health::Degraded,
        ..same_members(s, Level::Raid10, LayoutNumber::NEAR_2)
    })
}

fn same_members(s: &Source, level: Level, layout: LayoutNumber) -> Takeover {
    Takeover {
        level,
        layout,
        slots: s.slots,
        chunk: Chunk::Keep,
        member_size: None,
        renumber: Renumber::Keep,
        health: health(s.missing),
    }
}

impl Source {
    /// What each of so many members has of the data, when they share it evenly.
    fn each_of(&self, members: Slots) -> Option<Sectors> {
        let each = self.size.get().checked_div(u64::from(members.0))?;
        Some(Sectors::new(each))
    }

    /// So many slots, if superblocks can tell of them.
    fn more_slots(&self, slots: Option<u16>) -> Result<Slots, Refusal> {
        let slots = slots.map(Slots).filter(|slots| *slots < self.slots_end);
        slots.ok_or(Refusal::Slots)
    }
}

/// The largest power of two up to 64 KiB that divides the array's size.
fn chunk_of(s: &Source) -> Result<Sectors, Refusal> {
    const LARGEST: u64 = 128;
    let size = s.size.get();
    let chunk = if size == 0 {
        LARGEST
    } else {
        1 << size.trailing_zeros().min(LARGEST.trailing_zeros())
    };
    let chunk = Sectors::new(chunk);
    if chunk < s.chunk_min {
        return Err(Refusal::Size);
    }
    Ok(chunk)
}

fn health(missing: Slots) -> Health {
    match missing {
        Slots(0) => Health::Complete,
        Slots(_) => Health::Degraded,
    }
}

fn fewer(slots: Slots) -> Result<Slots, Refusal> {
    slots.0.checked_sub(1).map(Slots).ok_or(Refusal::Slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(level: Level, layout: u32, slots: u16, missing: u16) -> Source {
        Source {
            level,
            layout: LayoutNumber(layout),
            slots: Slots(slots),
            missing: Slots(missing),
            last_slot: LastSlot::Taken,
            others: Others::None,
            bitmap: Bitmap::None,
            zones: Zones::One,
            size: Sectors::new(1 << 20),
            chunk_min: Sectors::new(8),
            slots_end: Slots(u16::MAX),
        }
    }

    fn geometry(to: Level, source: &Source) -> Result<(u32, u16, Chunk), Refusal> {
        takeover(to, source)
            .map(|t| t.map_or((0, 0, Chunk::Keep), |t| (t.layout.0, t.slots.0, t.chunk)))
    }

    #[test]
    fn raid5_and_raid6_are_inverse() {
        for layout in 0..=5 {
            let up = geometry(Level::Raid6, &source(Level::Raid5, layout, 4, 0));
            let expected = if layout == 5 { 5 } else { layout + 16 };
            assert_eq!(up, Ok((expected, 5, Chunk::Keep)));
            let down = geometry(Level::Raid5, &source(Level::Raid6, expected, 5, 1));
            assert_eq!(down, Ok((layout, 4, Chunk::Keep)));
        }
        assert_eq!(
            geometry(Level::Raid5, &source(Level::Raid6, 2, 5, 0)),
            Err(Refusal::Layout)
        );
    }

    #[test]
    fn raid6_has_at_most_254_slots() {
        let slots = |n| geometry(Level::Raid6, &source(Level::Raid5, 2, n, 0)).map(|(_, n, _)| n);
        assert_eq!(slots(2), Err(Refusal::Slots));
        assert_eq!((slots(3), slots(253)), (Ok(4), Ok(254)));
        assert_eq!(slots(254), Err(Refusal::Slots));
    }

    #[test]
    fn raid0_needs_the_parity_member_gone() {
        let gone = Source {
            last_slot: LastSlot::Empty,
            ..source(Level::Raid4, 0, 4, 1)
        };
        assert_eq!(geometry(Level::Raid0, &gone), Ok((0, 3, Chunk::Keep)));
        assert_eq!(
            geometry(Level::Raid0, &source(Level::Raid4, 0, 4, 1)),
            Err(Refusal::LastSlotTaken)
        );
        for missing in [0, 2] {
            assert_eq!(
                geometry(Level::Raid0, &source(Level::Raid4, 0, 4, missing)),
                Err(Refusal::Missing)
            );
        }
        assert_eq!(
            geometry(
                Level::Raid0,
                &Source {
                    bitmap: Bitmap::Some,
                    ..gone
                }
            ),
            Err(Refusal::HasBitmap)
        );
    }

    #[test]
    fn a_mirror_gets_the_largest_chunk_that_fits() {
        let chunk = |size| {
            let s = Source {
                size: Sectors::new(size),
                ..source(Level::Raid1, 0, 2, 0)
            };
            geometry(Level::Raid5, &s).map(|(_, _, chunk)| chunk)
        };
        assert_eq!(chunk(1 << 20), Ok(Chunk::New(Sectors::new(128))));
        assert_eq!(chunk((1 << 20) + 16), Ok(Chunk::New(Sectors::new(16))));
        assert_eq!(chunk((1 << 20) + 4), Err(Refusal::Size));
    }

    #[test]
    fn raid10_and_raid0_are_inverse() {
        assert_eq!(
            geometry(Level::Raid10, &source(Level::Raid0, 0, 3, 0)),
            Ok((0x102, 6, Chunk::Keep))
        );
        assert_eq!(
            geometry(Level::Raid0, &source(Level::Raid10, 0x102, 6, 3)),
            Ok((0, 3, Chunk::Keep))
        );
        assert_eq!(
            geometry(Level::Raid0, &source(Level::Raid10, 0x102, 6, 2)),
            Err(Refusal::Missing)
        );
    }

    #[test]
    fn superblocks_can_tell_of_all_slots() {
        let made = |from, layout, slots, to| {
            let missing = if to == Level::Raid0 { slots / 2 } else { 0 };
            let s = Source {
                slots_end: Slots(27),
                ..source(from, layout, slots, missing)
            };
            geometry(to, &s).map(|(_, slots, _)| slots)
        };
        for (from, layout, to, most) in [
            (Level::Raid0, 0, Level::Raid10, 13),
            (Level::Raid0, 0, Level::Raid4, 25),
            (Level::Raid0, 0, Level::Raid5, 25),
            (Level::Raid5, 2, Level::Raid6, 25),
        ] {
            assert_eq!(made(from, layout, most, to), Ok(26));
            assert_eq!(made(from, layout, most + 1, to), Err(Refusal::Slots));
        }
        // What gets no more of them is as good as it was.
        assert_eq!(made(Level::Raid4, 0, 27, Level::Raid5), Ok(27));
        assert_eq!(made(Level::Raid10, 0x102, 28, Level::Raid0), Ok(14));
    }

    #[test]
    fn members_move_and_keep_what_they_have() {
        let moves = |to, source: &Source, slots: [u16; 3]| {
            let made = takeover(to, source).expect("a takeover")?;
            let slots = slots.map(|slot| made.slot_of(Slot::new(slot)).map(Slot::get));
            Some((made.member_size.map(Sectors::get), slots))
        };
        assert_eq!(
            moves(Level::Raid10, &source(Level::Raid0, 0, 4, 0), [0, 1, 3]),
            Some((Some(1 << 18), [Some(0), Some(2), Some(6)]))
        );
        assert_eq!(
            moves(Level::Raid0, &source(Level::Raid10, 0x102, 8, 4), [1, 2, 7]),
            Some((Some(1 << 18), [Some(0), Some(1), Some(3)]))
        );
        assert_eq!(
            moves(Level::Raid0, &source(Level::Raid1, 0, 3, 2), [0, 1, 2]),
            Some((Some(1 << 20), [Some(0), Some(0), Some(0)]))
        );
        assert_eq!(
            moves(Level::Raid5, &source(Level::Raid6, 18, 4, 0), [0, 2, 3]),
            Some((None, [Some(0), Some(2), None]))
        );
    }

    #[test]
    fn nothing_but_its_members_goes_into_a_raid0() {
        let spare = Source {
            others: Others::Some,
            ..source(Level::Raid1, 0, 2, 1)
        };
        assert_eq!(geometry(Level::Raid0, &spare), Err(Refusal::OtherMembers));
    }
}
