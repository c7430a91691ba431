// SPDX-License-Identifier: GPL-2.0

//! Changes of shape that need no reshape: how much of each member is used, and how many slots a mirror has.

use crate::units::{Sector, Sectors, Slot};

/// A member is too small for what is to be used of each. C md: `ENOSPC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// What is to be used of each member: `wanted`, or all that the smallest of them has.
///
/// # Errors
///
/// [`NoRoom`], also when there is no room at all.
pub fn member_size(
    rooms: impl IntoIterator<Item = Sectors>,
    wanted: Option<Sectors>,
) -> Result<Sectors, NoRoom> {
    let smallest = rooms.into_iter().min().unwrap_or(Sectors::ZERO);
    let size = wanted.unwrap_or(smallest);
    if size.is_zero() || size > smallest {
        return Err(NoRoom);
    }
    Ok(size)
}

/// From where copies may differ after the size of the array has changed from `before` to `after`: nobody has made the
/// new space agree.
pub fn resync_after(resync: Sector, before: Sectors, after: Sectors) -> Sector {
    if after > before {
        resync.min(Sector::new(before.get()))
    } else {
        resync
    }
}

/// The slot that the occupant of `slot` gets when the empty slots below it are closed up.
pub fn packed(slot: Slot, is_occupied: impl Fn(Slot) -> bool) -> Slot {
    let below = (0..slot.get()).filter(|&other| is_occupied(Slot::new(other)));
    // There are no more of them than `slot`.
    Slot::new(below.fold(0, |count: u16, _| count.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let rooms = || [100, 80, 90].map(Sectors::new);
        assert_eq!(member_size(rooms(), None), Ok(Sectors::new(80)));
        assert_eq!(
            member_size(rooms(), Some(Sectors::new(80))),
            Ok(Sectors::new(80))
        );
        assert_eq!(
            member_size(rooms(), Some(Sectors::new(2))),
            Ok(Sectors::new(2))
        );
        for none in [81, 0, u64::MAX] {
            assert_eq!(member_size(rooms(), Some(Sectors::new(none))), Err(NoRoom));
        }
        assert_eq!(member_size([], None), Err(NoRoom));
    }

    #[test]
    fn only_new_space_is_resynced() {
        let (small, large) = (Sectors::new(100), Sectors::new(200));
        let at = Sector::new;
        assert_eq!(resync_after(Sector::MAX, small, large), at(100));
        assert_eq!(resync_after(at(40), small, large), at(40));
        assert_eq!(resync_after(Sector::MAX, large, small), Sector::MAX);
        assert_eq!(resync_after(at(40), large, small), at(40));
    }

    #[test]
    fn empty_slots_close_up() {
        let occupied = |slot: Slot| matches!(slot.get(), 1 | 2 | 5);
        let after = |slot| packed(Slot::new(slot), occupied).get();
        assert_eq!([after(1), after(2), after(5)], [0, 1, 2]);
    }
}
