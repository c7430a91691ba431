// SPDX-License-Identifier: GPL-2.0

//! Properties of `md_core::policy`.

use std::collections::VecDeque;

use md_core::policy::{
    choose_seat, Alike, Fill, Millis, OtherIo, Pace, ReadErrorVerdict, ReadErrors,
};
use md_core::policy::{Seats, SlotView, SyncLimits, SyncUnit, Throttle};
use md_core::state::member::Seat;
use md_core::units::{Sectors, Slot};
use proptest::prelude::*;

/// The marks of `md_do_sync()` as C has them: a ring and two positions in it.
struct CMarks {
    mark: [u64; 10],
    mark_cnt: [u64; 10],
    last_mark: usize,
    resync_mark: u64,
    resync_mark_cnt: u64,
}

impl CMarks {
    fn speed(&mut self, now: u64, issued: u64, in_flight: u64) -> u64 {
        if now >= self.mark[self.last_mark] + 3000 {
            let next = (self.last_mark + 1) % 10;
            self.resync_mark = self.mark[next];
            self.resync_mark_cnt = self.mark_cnt[next];
            self.mark[next] = now;
            self.mark_cnt[next] = issued - in_flight;
            self.last_mark = next;
        }
        let done = issued - in_flight;
        (done - self.resync_mark_cnt) / 2 / ((now - self.resync_mark) / 1000 + 1) + 1
    }
}

fn seats() -> impl Strategy<Value = Seats> {
    prop_oneof![
        Just(Seats::Empty),
        Just(Seats::Taken),
        Just(Seats::WantsReplacement)
    ]
}

proptest! {
    #[test]
    fn the_pace_is_that_of_c(
        min in 1_u32..100_000,
        spread in 0_u32..400_000,
        io_depth in 1_u32..64,
        steps in proptest::collection::vec((0_u64..4000, 256_u64..2_000_000, any::<bool>()), 1..60),
    ) {
        let limits = SyncLimits {
            min_kib_per_second: min,
            max_kib_per_second: min + spread,
            io_depth,
            unit: SyncUnit::Window,
        };
        let mut throttle = Throttle::new(Millis(5));
        let mut c = CMarks { mark: [5; 10], mark_cnt: [0; 10], last_mark: 0, resync_mark: 5, resync_mark_cnt: 0 };
        let (mut now, mut issued, mut finished) = (5, 0, 0);
        for (millis, length, busy) in steps {
            now += millis;
            // What was sent last is in flight, all before is done: the count of what is done never falls.
            finished = finished.max(issued);
            issued += length;
            prop_assert!(throttle.issue(Sectors::new(length)));
            let in_flight = issued - finished;
            let speed = c.speed(now, issued, in_flight);
            let others = if busy { OtherIo::Busy } else { OtherIo::Idle };
            let pace = throttle.pace(Millis(now), Sectors::new(in_flight), &limits, || others);
            let want = if speed <= u64::from(min) {
                Pace::Continue
            } else if speed > u64::from(min + spread) {
                Pace::Pause
            } else if in_flight >= u64::from(io_depth) * 128 && busy {
                Pace::Drain
            } else {
                Pace::Continue
            };
            prop_assert_eq!(pace, want);
        }
    }

    #[test]
    fn a_pause_always_ends(issued in 256_u64..1 << 40, max in 1_u32..1 << 20) {
        let limits = SyncLimits {
            min_kib_per_second: 1,
            max_kib_per_second: max,
            io_depth: 32,
            unit: SyncUnit::Stripe,
        };
        let mut throttle = Throttle::new(Millis(0));
        prop_assert!(throttle.issue(Sectors::new(issued)));
        let mut pauses = VecDeque::new();
        // Marks move on: after 33 s without anything done, speed is at its lowest.
        for millis in (0..66_000).step_by(500) {
            pauses.push_back(throttle.pace(Millis(millis), Sectors::ZERO, &limits, || OtherIo::Idle));
        }
        prop_assert_eq!(pauses.pop_back(), Some(Pace::Continue));
    }

    #[test]
    fn read_errors_never_go_beyond_what_was_recorded(
        times in proptest::collection::vec(0_u64..20_000_000, 1..50),
        max in 0_u32..30,
    ) {
        let mut errors = ReadErrors::NONE;
        let mut now = 0;
        for (recorded, step) in (1_u32..).zip(times) {
            now += step;
            let verdict = errors.record(Millis(now), max);
            prop_assert!((1..=recorded).contains(&errors.count()));
            prop_assert_eq!(verdict == ReadErrorVerdict::FailMember, errors.count() > max);
        }
    }

    #[test]
    fn a_seat_is_free_and_the_first_of_its_kind(
        seats in proptest::collection::vec(seats(), 0..12),
        last in proptest::option::of(0_u16..14),
    ) {
        let slots = (0..).zip(&seats).map(|(slot, seats)| SlotView { slot: Slot::new(slot), seats: *seats });
        match choose_seat(last.map(Slot::new), Alike::SameSlot, slots) {
            None => prop_assert!(seats.iter().all(|seats| *seats == Seats::Taken)),
            Some(seating) => {
                let slot = usize::from(seating.place.slot.get());
                let kind = match seating.place.seat {
                    Seat::Main => Seats::Empty,
                    Seat::Replacement => Seats::WantsReplacement,
                };
                prop_assert_eq!(seats[slot], kind);
                let own = last == Some(seating.place.slot.get()) && kind == Seats::Empty;
                prop_assert_eq!(seating.fill == Fill::ByBitmap, own);
                let first = seats.iter().position(|seats| *seats == kind);
                prop_assert!(own || first == Some(slot));
                prop_assert!(kind == Seats::Empty || !seats.contains(&Seats::Empty));
            }
        }
    }
}
