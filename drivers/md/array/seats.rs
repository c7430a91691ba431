// SPDX-License-Identifier: GPL-2.0

//! Who sits where in a running array: spares get places, members that are replaced leave, and what replaced them takes
//! their place.

use super::{hotplug::QUIET, Array, Config, Configuration};
use crate::{
    error::OrErrno,
    log::Text,
    member::{entry::Entry, marks::Mark, Health},
};
use kernel::prelude::*;
use md_core::{
    format::level::Level,
    policy::{choose_seat, Alike, Seating, Seats, SlotView},
    state::{
        clean::Change,
        member::{Duty, Event, Member as State, Place, Record, Seat},
        sync::{Access as SyncAccess, Resync},
    },
    units::Slot,
};

impl Configuration<'_> {
    /// Whether members are to leave or get places: failed ones have theirs still, or a spare could have one.
    pub(crate) fn wants_seats(&self) -> bool {
        let Some(running) = &self.running else {
            return false;
        };
        let env = self.sync_env();
        if running.thread.is_none() || env.access == SyncAccess::ReadOnly || self.is_reshaping() {
            return false;
        }
        self.members.iter().any(is_leaving)
            || self.replaced().is_some()
            || self.orphaned_replacement().is_some()
            || (env.resync == Resync::NotDue
                && self
                    .members
                    .iter()
                    .any(|entry| self.seat_for(entry).is_some()))
    }

    /// Failed members give up their places. I/O must be held back.
    pub(super) fn release_failed(&mut self) {
        let array = self.array;
        for index in 0..self.members.len() {
            if self.members.get(index).is_some_and(is_leaving) {
                // One that cannot leave yet is looked at again.
                let _ = array.detach(self, index);
            }
        }
    }

    /// Failed members give up their places, and spares take them. I/O must be held back.
    pub(crate) fn arrange_seats(&mut self) {
        let array = self.array;
        self.retire_replaced();
        self.serve();
        self.release_failed();
        while let Some(index) = self.orphaned_replacement() {
            if let Err(error) = array.promote(self, index) {
                array.place.with_name(|name| {
                    pr_warn!("{name}: a replacement cannot take its place: {error:?}\n");
                });
                break;
            }
        }
        if self.resync_due() == Resync::NotDue {
            self.seat_spares();
        }
        self.record_devices();
    }

    /// Gives spares the slots there are: to the last that came first, as in C, whose list grows at its head.
    fn seat_spares(&mut self) {
        let array = self.array;
        for index in (0..self.members.len()).rev() {
            let seat = self
                .members
                .get(index)
                .and_then(|entry| self.seat_for(entry));
            if let Some(seating) = seat {
                if let Err(error) = array.attach(self, index, seating) {
                    array
                        .place
                        .with_name(|name| pr_warn!("{name}: a spare cannot be used: {error:?}\n"));
                }
            }
        }
    }

    /// Members whose replacement is recovered are in service no more. Their superblocks are to be written next.
    pub(crate) fn retire_replaced(&mut self) {
        let array = self.array;
        while let Some(index) = self.replaced() {
            let Some(entry) = self.members.get_mut(index) else {
                return;
            };
            // A replacement in sync holds all that it does.
            let Ok(next) = entry.state.step(Event::Fail, &QUIET) else {
                return;
            };
            entry.state = next.after(entry.state);
            entry.member.set_health(Health::Failing);
            entry.notify_state();
            array.place.with_name(|name| {
                pr_info!("{name}: {} is replaced\n", Text(entry.device().name()));
            });
            self.due = Change::Devices;
        }
    }
}

impl Config {
    /// A member that works and whose replacement is in sync.
    fn replaced(&self) -> Option<usize> {
        let in_sync = |slot| {
            let replacement = Place {
                slot,
                seat: Seat::Replacement,
            };
            self.members
                .iter()
                .any(|entry| entry.state == State::InSync(replacement))
        };
        self.members.iter().position(|entry| match entry.state {
            State::InSync(place) | State::Rebuilding { place, .. } => {
                place.seat == Seat::Main && in_sync(place.slot)
            }
            _ => false,
        })
    }

    /// A replacement that works, in a slot without a member.
    pub(super) fn orphaned_replacement(&self) -> Option<usize> {
        let has_main = |slot| {
            let mut places = self.members.iter().filter_map(|entry| entry.state.place());
            places.any(|place| place.slot == slot && place.seat == Seat::Main)
        };
        self.members.iter().position(|entry| match entry.state {
            State::InSync(place) | State::Rebuilding { place, .. } => {
                place.seat == Seat::Replacement && !has_main(place.slot)
            }
            _ => false,
        })
    }

    /// The place that a spare could have. It has none while a program that keeps the metadata has not said where its
    /// data is.
    fn seat_for(&self, entry: &Entry) -> Option<Seating> {
        if entry.data.size < self.component_size {
            return None;
        }
        let slots = (0..self.raid_disks).map(|slot| self.slot_view(Slot::new(slot)));
        self.seat_among(entry, slots)
    }

    /// The place that a spare could have in this slot.
    pub(super) fn seat_in(&self, entry: &Entry, slot: Slot) -> Option<Seating> {
        self.seat_among(entry, core::iter::once(self.slot_view(slot)))
    }

    fn seat_among(
        &self,
        entry: &Entry,
        slots: impl Iterator<Item = SlotView> + Clone,
    ) -> Option<Seating> {
        let State::Spare { last } = entry.state else {
            return None;
        };
        let alike = match self.level() {
            Some(Level::Raid1) => Alike::AllMembers,
            _ => Alike::SameSlot,
        };
        choose_seat(last, alike, slots)
    }

    fn slot_view(&self, slot: Slot) -> SlotView {
        let sits = |seat: Seat| {
            self.members
                .iter()
                .find(move |entry| entry.state.place() == Some(Place { slot, seat }))
        };
        let seats = match (sits(Seat::Main), sits(Seat::Replacement)) {
            (None, None) => Seats::Empty,
            (Some(main), None)
                if main.state.takes_writes() && main.member.has(Mark::WantReplacement) =>
            {
                Seats::WantsReplacement
            }
            _ => Seats::Taken,
        };
        SlotView { slot, seats }
    }
}

/// Whether a member has failed, all know, and it still has its place.
fn is_leaving(entry: &Entry) -> bool {
    matches!(
        entry.state,
        State::Faulty {
            was: Duty::Place(_),
            record: Record::Done,
        }
    )
}

impl Array {
    /// A replacement takes the place of a member that has left. I/O must be held back.
    fn promote(&self, config: &mut Configuration<'_>, index: usize) -> Result {
        let before = config.members.get(index).ok_or(ENODEV)?.state;
        let place = before.place().ok_or(EINVAL)?;
        let next = before.step(Event::Promote, &QUIET).or_errno()?;
        config.enter_state(index, next.after(before), |config| {
            let entry = config.members.get(index).ok_or(ENODEV)?;
            let seated = entry.seated().ok_or(EINVAL)?;
            let members = config.in_slots()?;
            let live = config.live_mut()?.as_mut().ok_or(ENODEV)?;
            let mirror = live.personality_mut().mirror_mut().ok_or(EINVAL)?;
            mirror.vacate(place);
            mirror.seat_member(seated)?;
            live.set_members(members);
            Ok(())
        })?;
        if let Some(entry) = config.members.get(index) {
            self.link_slot(entry);
            entry.notify_state();
        }
        Ok(())
    }
}
