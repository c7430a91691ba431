// SPDX-License-Identifier: GPL-2.0

//! The P/Q oracle against whole rows of every raid6 layout: whatever two members are lost, they come back.

use md_core::{
    gf256::{inverse, multiply, Change, Exponent, Syndrome},
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        raid456::{ParityLayout, Raid456, Raid6Layout, Role, Roles, SyndromeBlock},
    },
    units::{Sector, Sectors, Slot},
};
use proptest::{collection::vec, prelude::*, sample::select};

/// A product by long division of polynomials.
fn long_product(a: u8, b: u8) -> u8 {
    let mut product = (0..8)
        .filter(|bit| b >> bit & 1 == 1)
        .fold(0u16, |sum, bit| sum ^ u16::from(a) << bit);
    for bit in (8..16).rev() {
        if product >> bit & 1 == 1 {
            product ^= 0x11d << (bit - 8);
        }
    }
    product as u8
}

#[test]
fn products_of_all_pairs() {
    for a in 0..=255 {
        for b in 0..=255 {
            assert_eq!(multiply(a, b), long_product(a, b));
        }
        assert_eq!(
            inverse(a).map(|inverse| long_product(a, inverse)),
            (a != 0).then_some(1)
        );
    }
}

fn roles(layout: Raid6Layout, members: u16, row: u64) -> Roles {
    let chunk = ChunkSize::new(8).expect("a chunk size");
    let chunk = PowerOfTwoChunk::new(chunk, Sectors::new(8)).expect("a page");
    let members = MemberCount::new(members).expect("members");
    Raid456::new(ParityLayout::Raid6(layout), chunk, members, Sectors::new(8))
        .expect("an array")
        .roles_at(Sector::new(row * 8))
}

fn exponent(roles: &Roles, slot: u16) -> Exponent {
    let exponent = roles.exponent(Slot::new(slot)).expect("a data member");
    Exponent::new(exponent).expect("below 255")
}

/// The syndrome of the data members of a row but the lost ones.
fn rest(roles: &Roles, row: &[u8], lost: &[u16]) -> Syndrome {
    Syndrome::of(
        (0u16..)
            .zip(row)
            .filter_map(|(slot, byte)| match roles.role(Slot::new(slot)) {
                Some(Role::Data(_)) if !lost.contains(&slot) => {
                    Some((exponent(roles, slot), *byte))
                }
                _ => None,
            }),
    )
}

/// What is on the lost members, from the others alone.
fn recover(roles: &Roles, row: &[u8], lost: [u16; 2]) -> [u8; 2] {
    let mut row = row.to_vec();
    for slot in lost {
        // Nothing of a lost member may be used.
        row[usize::from(slot)] ^= 0xff;
    }
    let (p, q) = (
        usize::from(roles.p().get()),
        usize::from(roles.q().expect("raid6").get()),
    );
    let rest_of = |row: &[u8]| rest(roles, row, &lost);
    let [x, y] = lost;
    let role = |slot| roles.role(Slot::new(slot)).expect("a member");
    match (role(x), role(y)) {
        (Role::Data(_), Role::Data(_)) => {
            let stored = Syndrome {
                p: row[p],
                q: row[q],
            };
            let (first, second) = rest_of(&row)
                .two_data(stored, (exponent(roles, x), exponent(roles, y)))
                .expect("two members");
            row[usize::from(x)] = first;
            row[usize::from(y)] = second;
        }
        (Role::Data(_), Role::Q) => row[usize::from(x)] = rest_of(&row).data_from_p(row[p]),
        (Role::Q, Role::Data(_)) => row[usize::from(y)] = rest_of(&row).data_from_p(row[p]),
        (Role::Data(_), Role::P) => {
            row[usize::from(x)] = rest_of(&row).data_from_q(row[q], exponent(roles, x))
        }
        (Role::P, Role::Data(_)) => {
            row[usize::from(y)] = rest_of(&row).data_from_q(row[q], exponent(roles, y))
        }
        _ => {}
    }
    let whole = rest(roles, &row, &[]);
    row[p] = whole.p;
    row[q] = whole.q;
    [row[usize::from(x)], row[usize::from(y)]]
}

proptest! {
    #[test]
    fn any_two_members_come_back(
        layout in select(Raid6Layout::ALL),
        row in 0u64..50,
        mut bytes in vec(any::<u8>(), 4..14),
    ) {
        let members = u16::try_from(bytes.len()).expect("few members");
        let roles = roles(layout, members, row);
        let whole = rest(&roles, &bytes, &[]);
        bytes[usize::from(roles.p().get())] = whole.p;
        bytes[usize::from(roles.q().expect("raid6").get())] = whole.q;
        for x in 0..members {
            for y in (0..members).filter(|y| *y != x) {
                let want = [bytes[usize::from(x)], bytes[usize::from(y)]];
                prop_assert_eq!(recover(&roles, &bytes, [x, y]), want);
            }
        }
    }

    /// Horner's rule over the blocks in the order that the kernel's routines take, from the last one down.
    #[test]
    fn blocks_in_syndrome_order_give_q(
        layout in select(Raid6Layout::ALL),
        row in 0u64..50,
        bytes in vec(any::<u8>(), 4..14),
    ) {
        let roles = roles(layout, u16::try_from(bytes.len()).expect("few members"), row);
        let blocks: Vec<u8> = roles.syndrome_blocks().map(|block| match block {
            SyndromeBlock::Data(slot) => bytes[usize::from(slot.get())],
            SyndromeBlock::Zero => 0,
        }).collect();
        let q = blocks.iter().rev().fold(0, |sum, byte| long_product(sum, 2) ^ byte);
        prop_assert_eq!(rest(&roles, &bytes, &[]).q, q);
    }

    #[test]
    fn a_change_is_a_new_syndrome(layout in select(Raid6Layout::ALL), mut bytes in vec(any::<u8>(), 4..14), new: u8) {
        let roles = roles(layout, u16::try_from(bytes.len()).expect("few members"), 3);
        let slot = roles.data_slots().last().expect("a data member").get();
        let old = std::mem::replace(&mut bytes[usize::from(slot)], new);
        let after = rest(&roles, &bytes, &[]);
        bytes[usize::from(slot)] = old;
        prop_assert_eq!(rest(&roles, &bytes, &[]).updated(exponent(&roles, slot), Change { old, new }), after);
    }
}
