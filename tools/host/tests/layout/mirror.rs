// SPDX-License-Identifier: GPL-2.0

//! raid1 and raid10, against the formulas of the C driver, for every layout of up to ten members.

use super::{members, power_chunk};
use md_core::{
    layout::{
        mirror::{Placement, Raid1, Raid10, Raid10Error, Raid10Layout, RecoveryStep},
        BeyondEnd, MemberSector,
    },
    units::{Sector, Sectors, Slot},
};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const MOST_MEMBERS: u64 = 10;

/// A geometry in the terms of raid10.c, counting chunks.
#[derive(Clone, Copy, Debug)]
struct Model {
    disks: u64,
    near: u64,
    far: u64,
    offset: bool,
    kind: u64,
    rows: u64,
}

impl Model {
    fn word(self) -> u32 {
        (self.near | self.far << 8 | u64::from(self.offset) << 16 | self.kind << 17) as u32
    }

    fn set_size(self) -> u64 {
        match self.kind {
            0 => self.disks,
            1 => self.disks / self.far,
            _ => self.near * self.far,
        }
    }

    fn array_chunks(self) -> u64 {
        self.rows * self.disks / self.near
    }

    /// `__raid10_find_phys`.
    fn copies(self, chunk: u64) -> Vec<(u64, u64)> {
        let size = self.set_size();
        let last_start = (self.disks / size - 1) * size;
        let last_size = size + self.disks % size;
        let mut dev = chunk * self.near % self.disks;
        let mut row = chunk * self.near / self.disks * if self.offset { self.far } else { 1 };
        let stride = if self.offset { 1 } else { self.rows };
        let mut all = Vec::new();
        for _ in 0..self.near {
            let (mut d, mut s) = (dev, row);
            all.push((d, s));
            for _ in 1..self.far {
                let set = d / size;
                d += self.near;
                d = if self.disks % size != 0 && d > last_start {
                    (d - last_start) % last_size + last_start
                } else {
                    d % size + size * set
                };
                s += stride;
                all.push((d, s));
            }
            dev += 1;
            if dev >= self.disks {
                dev = 0;
                row += 1;
            }
        }
        all
    }

    /// Whether C md loses data or redundancy with this geometry.
    fn is_broken(self) -> bool {
        let mut owners = HashMap::new();
        (0..self.array_chunks()).any(|chunk| {
            let copies = self.copies(chunk);
            let distinct: HashSet<u64> = copies.iter().map(|(dev, _)| *dev).collect();
            let taken = copies
                .iter()
                .any(|place| owners.insert(*place, chunk).is_some());
            distinct.len() < copies.len() || taken
        })
    }
}

fn all_models(rows: u64) -> impl Iterator<Item = Model> {
    (2..=MOST_MEMBERS).flat_map(move |disks| {
        (1..=disks).flat_map(move |near| {
            (1..=disks / near).flat_map(move |far| {
                [false, true].into_iter().flat_map(move |offset| {
                    (0..3).map(move |kind| Model {
                        disks,
                        near,
                        far,
                        offset,
                        kind,
                        rows,
                    })
                })
            })
        })
    })
}

fn build(model: Model, chunk: u32) -> Result<Raid10, Raid10Error> {
    let layout = Raid10Layout::parse(model.word()).expect("a layout word");
    let available = Sectors::new(model.rows * model.far * u64::from(chunk));
    let count = members(model.disks.try_into().expect("few members"));
    Raid10::new(layout, power_chunk(chunk), count, available)
}

#[test]
fn exactly_the_broken_layouts_are_refused() {
    let (mut refused, mut taken) = (0, 0);
    // Enough rows for every chunk to start on every member in turn.
    for model in all_models(2 * MOST_MEMBERS) {
        let array = build(model, 8);
        if model.near * model.far < 2 {
            assert_eq!(array.err(), Some(Raid10Error::TooFewCopies));
        } else if model.is_broken() {
            assert!(array.is_err(), "{model:?} loses data");
            refused += 1;
        } else {
            assert!(array.is_ok(), "{model:?} is sound");
            taken += 1;
        }
    }
    assert!(
        refused > 50 && taken > 200,
        "{refused} refused, {taken} taken"
    );
}

#[test]
fn copies_are_where_c_puts_them_and_come_back() {
    const CHUNK: u64 = 8;
    for model in all_models(7) {
        let Ok(array) = build(model, CHUNK as u32) else {
            continue;
        };
        assert_eq!(array.array_size().get(), model.array_chunks() * CHUNK);
        assert_eq!(array.member_size().get(), model.rows * model.far * CHUNK);
        let mut held = HashMap::new();
        for at in 0..array.array_size().get() {
            let copies = array.copies(Sector::new(at)).expect("inside the array");
            assert_eq!(copies.len() as u64, model.near * model.far);
            let unstriped = model.near == model.disks;
            let run = if unstriped {
                array.array_size().get() - at
            } else {
                CHUNK - at % CHUNK
            };
            assert_eq!(copies.run().get(), run);
            let want: Vec<_> = model.copies(at / CHUNK);
            let want: Vec<_> = want
                .into_iter()
                .map(|(dev, row)| (dev, row * CHUNK + at % CHUNK))
                .collect();
            let got: Vec<_> = copies
                .map(|copy| (u64::from(copy.slot.get()), copy.sector.get()))
                .collect();
            assert_eq!(got, want, "{model:?} sector {at}");
            held.extend(got.into_iter().map(|place| (place, at)));
        }
        for slot in 0..model.disks as u16 + 1 {
            for sector in 0..array.member_size().get() + CHUNK {
                let place = MemberSector {
                    slot: Slot::new(slot),
                    sector: Sector::new(sector),
                };
                let want = held
                    .get(&(u64::from(slot), sector))
                    .copied()
                    .map(Sector::new);
                assert_eq!(
                    array.array_sector(place),
                    want,
                    "{model:?} slot {slot} sector {sector}"
                );
            }
        }
    }
}

#[test]
fn enough_is_a_copy_of_everything() {
    for model in all_models(MOST_MEMBERS) {
        let Ok(array) = build(model, 8) else { continue };
        for failed in 0u32..1 << model.disks {
            let works = |dev: u64| failed >> dev & 1 == 0;
            let want = (0..model.array_chunks())
                .all(|chunk| model.copies(chunk).iter().any(|(dev, _)| works(*dev)));
            let got = array.has_enough(|slot| works(u64::from(slot.get())));
            assert_eq!(got, want, "{model:?} failed {failed:b}");
        }
    }
}

#[test]
fn recovery_and_resync_walk_over_everything_once() {
    for model in all_models(5) {
        let Ok(array) = build(model, 8) else { continue };
        let end = Sector::new(array.array_size().get());
        let mut at = Sector::ZERO;
        while let Some(step) = array.resync_step(at, end) {
            at = at.saturating_add(step);
        }
        assert_eq!(at, end);
        for slot in array.members().slots() {
            let mut at = Sector::ZERO;
            loop {
                let place = MemberSector { slot, sector: at };
                match array.recovery_step(place, Sector::MAX) {
                    RecoveryStep::Done => break,
                    RecoveryStep::Unused { len } => {
                        assert_eq!(array.array_sector(place), None);
                        at = at.saturating_add(len);
                    }
                    RecoveryStep::Copy { array: from, len } => {
                        for sector in 0..len.get() {
                            let offset = Sectors::new(sector);
                            let copies = array
                                .copies(from.saturating_add(offset))
                                .expect("inside the array");
                            let wanted = MemberSector {
                                slot,
                                sector: at.saturating_add(offset),
                            };
                            assert!(copies.clone().any(|copy| copy == wanted));
                            assert!(copies.except(slot).all(|copy| copy.slot != slot));
                        }
                        at = at.saturating_add(len);
                    }
                }
            }
            assert_eq!(at.get(), array.member_size().get());
        }
    }
}

#[test]
fn sections_can_be_neither_resized() {
    let array = |word| {
        let layout = Raid10Layout::parse(word).expect("a layout word");
        Raid10::new(layout, power_chunk(8), members(4), Sectors::new(64)).expect("an array")
    };
    assert_eq!(
        array(0x201).resized(Sectors::new(128)),
        Err(Raid10Error::HasSections)
    );
    let longer = array(0x102)
        .resized(Sectors::new(131))
        .map(|array| array.array_size().get());
    assert_eq!(longer, Ok(256));
    let longer = array(0x10201)
        .resized(Sectors::new(136))
        .map(|array| array.member_size().get());
    assert_eq!(longer, Ok(128));
}

proptest! {
    #[test]
    fn large_arrays_come_back(
        disks in 2u16..200,
        near in 1u16..8,
        far in 1u16..8,
        offset: bool,
        kind in 0u32..3,
        shift in 3u32..16,
        available in 0u64..1 << 50,
        at: u64,
    ) {
        let word = u32::from(near) | u32::from(far) << 8 | u32::from(offset) << 16 | kind << 17;
        let layout = Raid10Layout::parse(word).expect("a layout word");
        let array = Raid10::new(layout, power_chunk(1 << shift), members(disks), Sectors::new(available));
        prop_assume!(array.is_ok());
        let array = array.expect("just checked");
        prop_assert!(array.member_size().get() <= available);
        prop_assume!(!array.array_size().is_zero());
        let at = Sector::new(at % array.array_size().get());
        let mut slots = HashSet::new();
        for copy in array.copies(at).expect("inside the array") {
            prop_assert!(copy.slot.get() < disks);
            prop_assert!(slots.insert(copy.slot.get()), "two copies on one member");
            prop_assert!(copy.sector.get() < array.member_size().get());
            prop_assert_eq!(array.array_sector(copy), Some(at));
        }
        prop_assert_eq!(slots.len(), usize::from(near * far));
    }

    #[test]
    fn raid1_is_the_same_everywhere(count in 1u16..300, size in 1u64..u64::MAX, at: u64) {
        let array = Raid1::new(members(count), Sectors::new(size));
        let at = Sector::new(at % size);
        let copies = array.copies(at).expect("inside the array");
        prop_assert_eq!(copies.run().get(), size - at.get());
        let copies: Vec<_> = copies.collect();
        prop_assert_eq!(copies.len(), usize::from(count));
        for (slot, copy) in (0u16..).zip(copies) {
            prop_assert_eq!(copy, MemberSector { slot: Slot::new(slot), sector: at });
            prop_assert_eq!(array.array_sector(copy), Some(at));
        }
        prop_assert_eq!(array.copies(Sector::new(size)).err(), Some(BeyondEnd));
        let stranger = MemberSector { slot: Slot::new(count), sector: at };
        prop_assert_eq!(array.array_sector(stranger), None);
    }
}
