// SPDX-License-Identifier: GPL-2.0

//! Cases for [`crate::gf256`]: products and syndromes worked out by polynomial division, and every pair of losses.

use super::{ensure, Case, Failure, Suite, Verdict};
use crate::{
    gf256::{inverse, multiply, Change, Exponent, Syndrome},
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        raid456::{ParityLayout, Raid456, Raid6Layout},
    },
    units::{Sector, Sectors},
};

/// The field, the syndromes and the recoveries.
pub static SUITE: Suite = Suite {
    name: "gf256",
    cases: &[
        Case {
            name: "products",
            run: products,
        },
        Case {
            name: "powers_of_two",
            run: powers_of_two,
        },
        Case {
            name: "syndrome_of_known_bytes",
            run: syndrome_of_known_bytes,
        },
        Case {
            name: "q_in_both_orders",
            run: q_in_both_orders,
        },
        Case {
            name: "every_pair_of_losses",
            run: every_pair_of_losses,
        },
    ],
};

/// A case cannot be set up: its own numbers are wrong.
const SETUP: Failure = Failure {
    what: "the case itself is wrong",
    at: 0,
};

const DATA: [u8; 7] = [0x00, 0x01, 0xff, 0x80, 0x1d, 0xa5, 0x5a];
const STORED: Syndrome = Syndrome { p: 0x9c, q: 0x7a };

fn exponent(value: u16) -> Result<Exponent, Failure> {
    Exponent::new(value).ok_or(SETUP)
}

fn products() -> Verdict {
    for (a, b, product) in [
        (2, 0x80, 0x1d),
        (0x53, 0xca, 0x8f),
        (0xff, 0xff, 0xe2),
        (0x8e, 2, 1),
        (0, 0xff, 0),
    ] {
        ensure(multiply(a, b) == product, "product", u64::from(a))?;
        ensure(
            multiply(b, a) == product,
            "product, turned around",
            u64::from(a),
        )?;
    }
    ensure(
        inverse(2) == Some(0x8e) && inverse(0).is_none(),
        "inverse",
        2,
    )
}

fn powers_of_two() -> Verdict {
    let powers = [
        (0, 0x01),
        (1, 0x02),
        (7, 0x80),
        (8, 0x1d),
        (25, 0x03),
        (127, 0xcc),
        (200, 0x1c),
        (254, 0x8e),
    ];
    for (n, power) in powers {
        ensure(exponent(n)?.factor() == power, "power", u64::from(n))?;
    }
    ensure(
        Exponent::new(255).is_none(),
        "no more than 255 exponents",
        255,
    )
}

/// The data without the blocks for which `is_lost`.
fn rest(is_lost: impl Fn(u16) -> bool) -> Syndrome {
    let blocks = (0u16..).zip(DATA).filter(|(n, _)| !is_lost(*n));
    Syndrome::of(blocks.filter_map(|(n, byte)| Some((Exponent::new(n)?, byte))))
}

fn syndrome_of_known_bytes() -> Verdict {
    ensure(rest(|_| false) == STORED, "P and Q", 0)?;
    let [.., last] = DATA;
    let changed = STORED.updated(
        exponent(6)?,
        Change {
            old: last,
            new: 0x77,
        },
    );
    ensure(
        changed.updated(
            exponent(6)?,
            Change {
                old: 0x77,
                new: last,
            },
        ) == STORED,
        "a change and back",
        6,
    )?;
    ensure(changed.p == 0x9c ^ 0x5a ^ 0x77, "a change of P", 6)
}

/// Layout, row, Q of the data 0x11 0x22 0x33 0x44 in the order of the array, on 6 members.
static ROWS: &[(Raid6Layout, u64, u8)] = &[
    (Raid6Layout::LeftSymmetric, 2, 0x83),
    (Raid6Layout::RightAsymmetric, 2, 0xf2),
    (Raid6Layout::RotatingZeroRestart, 2, 0x2a),
    (Raid6Layout::RotatingNRestart, 1, 0xf1),
    (Raid6Layout::RotatingNContinue, 1, 0x53),
];

fn q_in_both_orders() -> Verdict {
    let chunk = ChunkSize::new(8).and_then(|chunk| PowerOfTwoChunk::new(chunk, Sectors::new(8)));
    let members = MemberCount::new(6).ok_or(SETUP)?;
    for (layout, row, q) in ROWS {
        let layout = ParityLayout::Raid6(*layout);
        let array = Raid456::new(layout, chunk.map_err(|_| SETUP)?, members, Sectors::new(64))
            .map_err(|_| SETUP)?;
        let roles = array.roles_at(Sector::new(row * 8));
        let blocks = roles.data_slots().zip([0x11, 0x22, 0x33, 0x44]);
        let syndrome = Syndrome::of(
            blocks.filter_map(|(slot, byte)| Some((Exponent::new(roles.exponent(slot)?)?, byte))),
        );
        ensure(
            syndrome == Syndrome { p: 0x44, q: *q },
            "P and Q of a row",
            u64::from(*q),
        )?;
    }
    Ok(())
}

fn every_pair_of_losses() -> Verdict {
    for (x, first) in (0u16..).zip(DATA) {
        let rest_x = rest(|n| n == x);
        ensure(
            rest_x.data_from_p(STORED.p) == first,
            "data and Q lost",
            u64::from(x),
        )?;
        ensure(
            rest_x.data_from_q(STORED.q, exponent(x)?) == first,
            "data and P lost",
            u64::from(x),
        )?;
        for (y, second) in (0u16..).zip(DATA) {
            let got = rest(|n| n == x || n == y).two_data(STORED, (exponent(x)?, exponent(y)?));
            let want = (x != y).then_some((first, second));
            ensure(got.ok() == want, "two data lost", u64::from(x))?;
        }
    }
    Ok(())
}
