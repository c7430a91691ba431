// SPDX-License-Identifier: GPL-2.0

//! The walk over the copies of a range that have a member.

use super::seat::Seat;
use crate::member::{bad_blocks::Known, Health};
use core::slice;
use md_core::{
    layout::{mirror::Copies, reshape::Geometry},
    units::{Sector, Sectors},
};

/// A copy of a range.
#[derive(Clone, Copy)]
pub(super) struct Located<'a> {
    /// Whose it is.
    pub(super) seat: &'a Seat,
    /// Where it begins in the member's data.
    pub(super) at: Sector,
    /// The geometry that puts it there.
    pub(super) geometry: Geometry,
}

impl Located<'_> {
    /// Where it begins on the device.
    pub(super) fn on_device(&self) -> Sector {
        self.seat.on_device(self.at)
    }

    /// Whether it is there, works, and is valid for `length`, bad blocks or not.
    pub(super) fn is_valid(&self, length: Sectors) -> bool {
        let end = self.at.saturating_add(length);
        self.seat.member.health() == Health::Working && end <= self.seat.member.valid_below()
    }

    /// Whether it can be read for `length`.
    pub(super) fn is_readable(&self, length: Sectors) -> bool {
        self.is_valid(length) && self.seat.known(self.at, length) == Known::Good
    }
}

/// The copies of a range: of the main members in the order of the layout, then of the replacements.
#[derive(Clone)]
pub(super) enum Walk<'a> {
    /// At the same sector on all members.
    Same {
        /// The seats that are left.
        seats: slice::Iter<'a, Option<Seat>>,
        /// The sector.
        at: Sector,
    },
    /// Where the layout puts them.
    Spread {
        /// The main members' that are left.
        mains: Copies,
        /// The replacements' that are left; `None` where there is no replacement.
        replacements: Option<Copies>,
        /// All seats, main members first.
        seats: &'a [Option<Seat>],
        /// The geometry that is walked.
        geometry: Geometry,
    },
}

impl<'a> Iterator for Walk<'a> {
    type Item = Located<'a>;

    #[inline]
    fn next(&mut self) -> Option<Located<'a>> {
        match self {
            Self::Same { seats, at } => seats.find_map(|seat| {
                seat.as_ref().map(|seat| Located {
                    seat,
                    at: *at,
                    geometry: Geometry::Previous,
                })
            }),
            Self::Spread {
                mains,
                replacements,
                seats,
                geometry,
            } => {
                let geometry = *geometry;
                let located = |copy: md_core::layout::MemberSector, from: usize| {
                    let index = from + usize::from(copy.slot.get());
                    let seat = seats.get(index)?.as_ref()?;
                    Some(Located {
                        seat,
                        at: seat.at(copy.sector, geometry),
                        geometry,
                    })
                };
                mains.find_map(|copy| located(copy, 0)).or_else(|| {
                    let slots = seats.len() / 2;
                    replacements.as_mut()?.find_map(|copy| located(copy, slots))
                })
            }
        }
    }
}
