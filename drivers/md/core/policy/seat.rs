// SPDX-License-Identifier: GPL-2.0

//! Which spare fills which slot: what `hot_add_disk` of raid1.c and raid10.c decides.

use crate::state::member::{Place, Seat};
use crate::units::Slot;

/// What sits in a slot, as far as filling it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// The slot.
    pub slot: Slot,
    /// What sits in it.
    pub seats: Seats,
}

/// What sits in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seats {
    /// No member.
    Empty,
    /// A member.
    Taken,
    /// A member to be replaced (`want_replacement`), without a replacement yet.
    WantsReplacement,
}

/// How much of a member that got a seat must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// What the bitmap names, if there is one: the member had data of the array.
    ByBitmap,
    /// Everything.
    Full,
}

/// The seat for a member, and how to fill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seating {
    /// Where it sits.
    pub place: Place,
    /// How much of it is written.
    pub fill: Fill,
}

/// Which copies have the same data, for [`choose_seat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// All members do (raid1): one that had any slot can be brought up to date in any other.
    AllMembers,
    /// Only what had this slot does.
    SameSlot,
}

/// Finds a seat for a spare: its last slot if that is empty, else the first empty one, else beside the first member
/// that wants to be replaced. `None` is C md's `EEXIST`.
///
/// `slots` are those open to it, in order: all, or just the one user space chose.
pub fn choose_seat(
    last: Option<Slot>,
    alike: Alike,
    slots: impl Iterator<Item = SlotView> + Clone,
) -> Option<Seating> {
    let is_empty = |view: &SlotView| view.seats == Seats::Empty;
    let own = slots
        .clone()
        .find(|view| is_empty(view) && Some(view.slot) == last);
    if let Some(view) = own.or_else(|| slots.clone().find(is_empty)) {
        let fill = match alike {
            Alike::AllMembers if last.is_some() => Fill::ByBitmap,
            Alike::SameSlot if last == Some(view.slot) => Fill::ByBitmap,
            _ => Fill::Full,
        };
        return Some(Seating {
            place: Place {
                slot: view.slot,
                seat: Seat::Main,
            },
            fill,
        });
    }
    let mut slots = slots;
    let view = slots.find(|view| view.seats == Seats::WantsReplacement)?;
    Some(Seating {
        place: Place {
            slot: view.slot,
            seat: Seat::Replacement,
        },
        fill: Fill::Full,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seated(last: Option<u16>, alike: Alike, seats: &[Seats]) -> Option<(u16, Seat, Fill)> {
        let slots = (0..).map(Slot::new).zip(seats.iter().copied());
        let slots = slots.map(|(slot, seats)| SlotView { slot, seats });
        choose_seat(last.map(Slot::new), alike, slots)
            .map(|seating| (seating.place.slot.get(), seating.place.seat, seating.fill))
    }

    #[test]
    fn spares_prefer_their_own_slot() {
        use Seats::{Empty, Taken, WantsReplacement};
        let seats = [WantsReplacement, Empty, Empty];
        let own = |last, alike| seated(last, alike, &seats);
        assert_eq!(
            own(Some(2), Alike::SameSlot),
            Some((2, Seat::Main, Fill::ByBitmap))
        );
        assert_eq!(
            own(Some(0), Alike::SameSlot),
            Some((1, Seat::Main, Fill::Full))
        );
        assert_eq!(
            own(Some(0), Alike::AllMembers),
            Some((1, Seat::Main, Fill::ByBitmap))
        );
        assert_eq!(
            own(None, Alike::AllMembers),
            Some((1, Seat::Main, Fill::Full))
        );
        let full = [Taken, WantsReplacement];
        assert_eq!(
            seated(None, Alike::SameSlot, &full),
            Some((1, Seat::Replacement, Fill::Full))
        );
        assert_eq!(seated(Some(1), Alike::SameSlot, &[Taken, Taken]), None);
    }
}
