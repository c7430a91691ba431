// SPDX-License-Identifier: GPL-2.0

//! Striping over unequal members, against a simulation chunk by chunk.

use super::chunk;
use md_core::{
    layout::{
        raid0::{OrderPolicy, Raid0, Raid0Error, Zone, ZoneOrder},
        BeyondEnd,
    },
    units::{Sector, SectorRange, Sectors, Slot},
};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, HashSet};

type Array = Raid0<Vec<Zone>, Vec<Slot>>;

fn build(chunk_len: u32, lengths: &[u64], policy: OrderPolicy) -> Result<Array, Raid0Error> {
    let lengths: Vec<_> = lengths.iter().copied().map(Sectors::new).collect();
    let needs = Raid0::needs(chunk(chunk_len), &lengths)?;
    let zones = vec![Zone::EMPTY; needs.zones];
    let slots = vec![Slot::new(0); needs.slots];
    Raid0::build(chunk(chunk_len), &lengths, policy, zones, slots)
}

fn recorded(order: ZoneOrder) -> OrderPolicy {
    OrderPolicy {
        recorded: Some(order),
        default_layout: None,
    }
}

/// The place (slot, chunk on the member) of each chunk of the array in turn.
fn simulate(chunk_len: u64, lengths: &[u64], order: ZoneOrder) -> Vec<(u16, u64)> {
    let chunks: Vec<u64> = lengths.iter().map(|len| len / chunk_len).collect();
    let mut places = Vec::new();
    let longest = chunks.iter().copied().max().unwrap_or(0);
    let mut zone_start = 0;
    let mut zone_members = usize::MAX;
    for row in 0..longest {
        let there: Vec<u16> = (0u16..)
            .zip(&chunks)
            .filter(|(_, len)| **len > row)
            .map(|(slot, _)| slot)
            .collect();
        if there.len() != zone_members {
            zone_members = there.len();
            zone_start = places.len();
        }
        for _ in 0..there.len() {
            let number = match order {
                ZoneOrder::Original => places.len(),
                ZoneOrder::Alternate => places.len() - zone_start,
            };
            places.push((there[number % there.len()], row));
        }
    }
    places
}

fn orders() -> impl Strategy<Value = ZoneOrder> {
    prop_oneof![Just(ZoneOrder::Original), Just(ZoneOrder::Alternate)]
}

/// Few different lengths, so that zones of several members are common.
fn lengths() -> impl Strategy<Value = Vec<u64>> {
    vec(
        prop_oneof![4 => (0u64..5).prop_map(|n| n * 37), 1 => 0u64..200],
        1..9,
    )
}

proptest! {
    #[test]
    fn maps_as_the_simulation(chunk_len in 1u32..30, lengths in lengths(), order in orders()) {
        let array = build(chunk_len, &lengths, recorded(order)).expect("an array");
        let c = u64::from(chunk_len);
        // Where the orders do not differ the array says Original, and the simulation agrees for either.
        let places = simulate(c, &lengths, order);
        let size = array.array_size().get();
        prop_assert_eq!(size, lengths.iter().map(|len| (len / c * c) & !(c - 1)).sum::<u64>());
        prop_assert!(size <= places.len() as u64 * c);
        for at in 0..size {
            let run = array.map(Sector::new(at)).expect("inside the array");
            let (slot, row) = places[(at / c) as usize];
            prop_assert_eq!(run.slot.get(), slot);
            prop_assert_eq!(run.sector.get(), row * c + at % c);
            prop_assert_eq!(run.len.get(), c - at % c);
            prop_assert!(run.sector.get() < lengths[usize::from(slot)]);
        }
        prop_assert_eq!(array.map(Sector::new(size)), Err(BeyondEnd));
    }

    #[test]
    fn no_place_is_used_twice(chunk_len in 1u32..30, lengths in lengths(), order in orders()) {
        let array = build(chunk_len, &lengths, recorded(order)).expect("an array");
        let mut seen = HashSet::new();
        for at in 0..array.array_size().get() {
            let run = array.map(Sector::new(at)).expect("inside the array");
            prop_assert!(seen.insert((run.slot.get(), run.sector.get())));
        }
    }

    #[test]
    fn spreading_covers_what_mapping_covers(
        chunk_len in 1u32..30,
        lengths in lengths(),
        order in orders(),
        from in 0.0..1.0f64,
        part in 0.0..1.0f64,
    ) {
        let array = build(chunk_len, &lengths, recorded(order)).expect("an array");
        let size = array.array_size().get();
        prop_assume!(size > 0);
        let start = (size as f64 * from) as u64;
        let len = (((size - start) as f64 * part) as u64).max(1);
        let mut by_map: BTreeMap<u16, HashSet<u64>> = BTreeMap::new();
        for at in start..start + len {
            let run = array.map(Sector::new(at)).expect("inside the array");
            by_map.entry(run.slot.get()).or_default().insert(run.sector.get());
        }
        let mut by_spread: BTreeMap<u16, HashSet<u64>> = BTreeMap::new();
        let mut at = start;
        while at < start + len {
            let range = SectorRange::new(Sector::new(at), Sectors::new(start + len - at)).expect("a range");
            let spread = array.spread(range).expect("inside the array");
            at += spread.covered().get();
            let mut touched = HashSet::new();
            for piece in spread {
                prop_assert!(touched.insert(piece.slot.get()), "one piece a member");
                for sector in piece.range.start().get()..piece.range.end().get() {
                    prop_assert!(by_spread.entry(piece.slot.get()).or_default().insert(sector));
                }
            }
        }
        prop_assert_eq!(by_map, by_spread);
    }
}

#[test]
fn several_zones_need_an_order() {
    let unknown = OrderPolicy::default();
    let by_parameter = OrderPolicy {
        recorded: None,
        default_layout: Some(ZoneOrder::Alternate),
    };
    let both = OrderPolicy {
        recorded: Some(ZoneOrder::Original),
        ..by_parameter
    };
    assert_eq!(
        build(8, &[80, 80, 160, 160], unknown).err(),
        Some(Raid0Error::UnknownOrder)
    );
    let order = |policy| build(8, &[80, 80, 160, 160], policy).map(|array| array.order());
    assert_eq!(order(by_parameter), Ok(ZoneOrder::Alternate));
    assert_eq!(order(both), Ok(ZoneOrder::Original));
    // One zone, or one member in the second: both orders are the same.
    assert_eq!(
        build(8, &[80, 80], unknown).map(|array| array.order()),
        Ok(ZoneOrder::Original)
    );
    assert_eq!(
        build(8, &[80, 160], unknown).map(|array| array.order()),
        Ok(ZoneOrder::Original)
    );
    // Lengths that are equal in chunks make one zone.
    assert_eq!(
        build(8, &[80, 87], unknown).map(|array| array.zone_count()),
        Ok(1)
    );
}

#[test]
fn wrong_storage_and_impossible_members_are_named() {
    assert_eq!(
        build(8, &[], OrderPolicy::default()).err(),
        Some(Raid0Error::NoMembers)
    );
    let long = build(8, &[u64::MAX, u64::MAX], OrderPolicy::default());
    assert_eq!(long.err(), Some(Raid0Error::TooLong));
    let lengths = [Sectors::new(80); 2];
    let short = Raid0::build(
        chunk(8),
        &lengths,
        OrderPolicy::default(),
        vec![],
        vec![Slot::new(0); 2],
    );
    assert_eq!(short.err(), Some(Raid0Error::StorageMismatch));
}
