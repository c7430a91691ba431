// SPDX-License-Identifier: GPL-2.0

//! Concatenation.

use super::chunk;
use md_core::{
    layout::{
        linear::{Linear, Rounding},
        BeyondEnd,
    },
    units::{Sector, Sectors},
};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn sectors_follow_member_by_member(lengths in vec(0u64..100, 1..12), round in 0u32..20) {
        let rounding = match round {
            0 => Rounding::Exact,
            some => Rounding::Chunks(chunk(some)),
        };
        let rounded = |len: u64| if round == 0 { len } else { len / u64::from(round) * u64::from(round) };
        let table: Vec<_> = lengths.iter().copied().map(Sectors::new).collect();
        let linear = Linear::from_lengths(table, rounding).expect("an array");
        let mut at = 0;
        for (slot, len) in lengths.iter().enumerate() {
            for sector in 0..rounded(*len) {
                let run = linear.map(Sector::new(at)).expect("inside the array");
                prop_assert_eq!(usize::from(run.slot.get()), slot);
                prop_assert_eq!(run.sector.get(), sector);
                prop_assert_eq!(run.len.get(), rounded(*len) - sector);
                at += 1;
            }
        }
        prop_assert_eq!(linear.array_size().get(), at);
        prop_assert_eq!(linear.map(Sector::new(at)), Err(BeyondEnd));
        prop_assert_eq!(linear.map(Sector::MAX), Err(BeyondEnd));
    }

    #[test]
    fn growing_equals_making_it_longer(lengths in vec(0u64..1 << 40, 2..12), round in 1u32..4096) {
        let rounding = Rounding::Chunks(chunk(round));
        let table: Vec<_> = lengths.iter().copied().map(Sectors::new).collect();
        let (last, before) = table.split_last().expect("two members");
        let small = Linear::from_lengths(before.to_vec(), rounding).expect("an array");
        let grown = small.grown(vec![Sectors::ZERO; table.len()], *last, rounding).expect("a longer array");
        let whole = Linear::from_lengths(table, rounding).expect("an array");
        prop_assert_eq!(grown.array_size(), whole.array_size());
        for at in [0, small.array_size().get(), whole.array_size().get().saturating_sub(1), whole.array_size().get()] {
            prop_assert_eq!(grown.map(Sector::new(at)), whole.map(Sector::new(at)));
        }
    }
}
