// SPDX-License-Identifier: GPL-2.0

//! The pictures that the layout cases check against.
//!
//! A picture has a line for each row of chunks and a column for each member. `0`-`9` and `a`-`z` are the array's
//! chunks, `P` and `Q` parity, `.` nothing. They were drawn from the formulas of the C driver (`create_strip_zones`
//! with `map_sector`, `__raid10_find_phys`, `raid5_compute_sector`).

use crate::layout::{
    raid0::ZoneOrder,
    raid456::{ParityLayout, Raid5Layout, Raid6Layout},
};

pub(super) type Picture = &'static [&'static [u8]];

/// Lengths in chunks, order, picture.
pub(super) static ZONES: &[(&[u64], ZoneOrder, Picture)] = &[
    (
        &[3, 5, 5],
        ZoneOrder::Original,
        &[b"012", b"345", b"678", b".a9", b".cb"],
    ),
    (
        &[3, 5, 5],
        ZoneOrder::Alternate,
        &[b"012", b"345", b"678", b".9a", b".bc"],
    ),
    (
        &[1, 4, 4, 4],
        ZoneOrder::Original,
        &[b"0123", b".645", b".978", b".cab"],
    ),
    (
        &[1, 4, 4, 4],
        ZoneOrder::Alternate,
        &[b"0123", b".456", b".789", b".abc"],
    ),
    (
        &[4, 1, 2],
        ZoneOrder::Original,
        &[b"012", b"4.3", b"5..", b"6.."],
    ),
    (
        &[4, 1, 2],
        ZoneOrder::Alternate,
        &[b"012", b"3.4", b"5..", b"6.."],
    ),
    (&[2, 2, 2], ZoneOrder::Alternate, &[b"012", b"345"]),
];

/// Layout word, chunks on each member, picture.
pub(super) static MIRRORS: &[(u32, u64, Picture)] = &[
    (0x102, 3, &[b"0011", b"2233", b"4455"]),
    (0x102, 4, &[b"001", b"122", b"334", b"455"]),
    (0x102, 3, &[b"00112", b"23344", b"5566."]),
    (0x103, 4, &[b"0001", b"1122", b"2333", b"444."]),
    (0x201, 4, &[b"0123", b"4567", b"3012", b"7456"]),
    (0x201, 4, &[b"01234", b"56789", b"40123", b"95678"]),
    (0x201, 5, &[b"0123", b"4567", b"3012", b"7456"]),
    (0x301, 6, &[b"012", b"345", b"201", b"534", b"120", b"453"]),
    (0x1_0201, 4, &[b"0123", b"3012", b"4567", b"7456"]),
    (0x1_0201, 4, &[b"01234", b"40123", b"56789", b"95678"]),
    (
        0x1_0301,
        6,
        &[b"0123", b"3012", b"2301", b"4567", b"7456", b"6745"],
    ),
    (0x202, 4, &[b"0011", b"2233", b"1100", b"3322"]),
    (0x202, 4, &[b"00112", b"23344", b"12001", b"44233"]),
    (0x1_0202, 4, &[b"0011", b"1100", b"2233", b"3322"]),
    (0x4_0201, 4, &[b"01234", b"56789", b"10423", b"65978"]),
    (0x5_0201, 4, &[b"01234", b"10423", b"56789", b"65978"]),
    (0x2_0201, 4, &[b"0123", b"4567", b"1032", b"5476"]),
];

/// Layout, picture of 4 members (one parity) or 5 (two).
pub(super) static PARITIES: &[(ParityLayout, Picture)] = &[
    (
        ParityLayout::Raid4,
        &[b"012P", b"345P", b"678P", b"9abP", b"cdeP"],
    ),
    (
        ParityLayout::Raid5(Raid5Layout::LeftAsymmetric),
        &[b"012P", b"34P5", b"6P78", b"P9ab", b"cdeP"],
    ),
    (
        ParityLayout::Raid5(Raid5Layout::RightAsymmetric),
        &[b"P012", b"3P45", b"67P8", b"9abP", b"Pcde"],
    ),
    (
        ParityLayout::Raid5(Raid5Layout::LeftSymmetric),
        &[b"012P", b"45P3", b"8P67", b"P9ab", b"cdeP"],
    ),
    (
        ParityLayout::Raid5(Raid5Layout::RightSymmetric),
        &[b"P012", b"5P34", b"78P6", b"9abP", b"Pcde"],
    ),
    (
        ParityLayout::Raid5(Raid5Layout::ParityFirst),
        &[b"P012", b"P345", b"P678", b"P9ab", b"Pcde"],
    ),
    (
        ParityLayout::Raid5(Raid5Layout::ParityLast),
        &[b"012P", b"345P", b"678P", b"9abP", b"cdeP"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::LeftAsymmetric),
        &[b"Q012P", b"345PQ", b"67PQ8", b"9PQab", b"PQcde", b"QfghP"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RightAsymmetric),
        &[b"PQ012", b"3PQ45", b"67PQ8", b"9abPQ", b"QcdeP", b"PQfgh"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::LeftSymmetric),
        &[b"Q012P", b"345PQ", b"78PQ6", b"bPQ9a", b"PQcde", b"QfghP"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RightSymmetric),
        &[b"PQ012", b"5PQ34", b"78PQ6", b"9abPQ", b"QcdeP", b"PQfgh"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::ParityFirst),
        &[b"PQ012", b"PQ345", b"PQ678", b"PQ9ab", b"PQcde", b"PQfgh"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::ParityLast),
        &[b"012PQ", b"345PQ", b"678PQ", b"9abPQ", b"cdePQ", b"fghPQ"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RotatingZeroRestart),
        &[b"PQ012", b"3PQ45", b"67PQ8", b"9abPQ", b"QcdeP", b"PQfgh"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RotatingNRestart),
        &[b"012PQ", b"34PQ5", b"6PQ78", b"PQ9ab", b"QcdeP", b"fghPQ"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RotatingNContinue),
        &[b"012QP", b"45QP3", b"8QP67", b"QP9ab", b"PcdeQ", b"fghQP"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::LeftAsymmetric6),
        &[b"012PQ", b"34P5Q", b"6P78Q", b"P9abQ", b"cdePQ", b"fgPhQ"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RightAsymmetric6),
        &[b"P012Q", b"3P45Q", b"67P8Q", b"9abPQ", b"PcdeQ", b"fPghQ"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::LeftSymmetric6),
        &[b"012PQ", b"45P3Q", b"8P67Q", b"P9abQ", b"cdePQ", b"ghPfQ"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::RightSymmetric6),
        &[b"P012Q", b"5P34Q", b"78P6Q", b"9abPQ", b"PcdeQ", b"hPfgQ"],
    ),
    (
        ParityLayout::Raid6(Raid6Layout::ParityFirst6),
        &[b"P012Q", b"P345Q", b"P678Q", b"P9abQ", b"PcdeQ", b"PfghQ"],
    ),
];
