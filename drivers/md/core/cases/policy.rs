// SPDX-License-Identifier: GPL-2.0

//! Cases of [`policy`](crate::policy).

use super::{ensure, Case, Suite, Verdict};
use crate::policy::{choose_seat, mirror_loss, Alike, Calm, Checkpoint, Fill, LastDevice, Millis};
use crate::policy::{MirrorLoss, OtherIo, Pace, ReadErrorVerdict, ReadErrors, Seats, SlotView};
use crate::policy::{Moment, Seen, Ticks};
use crate::policy::{Survivors, SyncLimits, SyncUnit, Throttle};
use crate::state::member::Seat;
use crate::units::{Sector, Sectors, Slot};

/// The suite of policies.
pub static SUITE: Suite = Suite {
    name: "policy",
    cases: &[
        Case {
            name: "speed_limits",
            run: speed_limits,
        },
        Case {
            name: "checkpoints",
            run: checkpoints,
        },
        Case {
            name: "safe_mode_delay",
            run: safe_mode_delay,
        },
        Case {
            name: "read_errors_decay",
            run: read_errors_decay,
        },
        Case {
            name: "spares_find_seats",
            run: spares_find_seats,
        },
        Case {
            name: "last_copies",
            run: last_copies,
        },
    ],
};

/// Looks between the end of a delay and its beginning do not shorten it; a new, shorter one holds at once.
fn safe_mode_delay() -> Verdict {
    // When, what was seen, the delay, and what is left of it.
    let table = [
        (usize::MAX - 9, Seen::Written, 200, 200),
        (usize::MAX - 4, Seen::Nothing, 200, 195),
        (10, Seen::Nothing, 200, 180),
        (20, Seen::Written, 200, 200),
        (219, Seen::Nothing, 200, 1),
        (219, Seen::Nothing, 100, 0),
        (220, Seen::Nothing, 200, 0),
        (900, Seen::Nothing, 200, 0),
        (901, Seen::Written, 200, 200),
    ];
    let mut calm = Calm::default();
    for (at, (now, seen, delay, want)) in (0_u64..).zip(table) {
        let left = calm.look(Moment(now), seen, Ticks(delay));
        let left = left.map_or(0, usize::from);
        ensure(left == want, "what is left of the delay", at)?;
    }
    Ok(())
}

fn speed_limits() -> Verdict {
    // Issued after one second, still in flight, others; the divisor is two seconds.
    let table = [
        (8_092, 4096, OtherIo::Busy, Pace::Continue),
        (8_096, 4096, OtherIo::Busy, Pace::Drain),
        (40_000, 4095, OtherIo::Busy, Pace::Continue),
        (40_000, 4096, OtherIo::Busy, Pace::Drain),
        (40_000, 4096, OtherIo::Idle, Pace::Continue),
        (800_000, 0, OtherIo::Idle, Pace::Pause),
        (799_996, 0, OtherIo::Idle, Pace::Continue),
    ];
    let limits = SyncLimits::system_default(SyncUnit::Window);
    for (issued, in_flight, others, want) in table {
        let mut throttle = Throttle::new(Millis(0));
        let due = throttle.issue(Sectors::new(issued));
        ensure(due, "a window was issued", issued)?;
        let pace = throttle.pace(Millis(1000), Sectors::new(in_flight), &limits, || others);
        ensure(pace == want, "the pace", issued)?;
    }
    Ok(())
}

fn checkpoints() -> Verdict {
    let table = [
        (100, u64::MAX, 0, false),
        (101, u64::MAX, 0, true),
        (0, u64::MAX, 299_999, false),
        (0, u64::MAX, 300_000, true),
        (50, 101, 0, false),
        (50, 100, 0, true),
    ];
    for (position, pause_at, now, want) in table {
        let checkpoint = Checkpoint {
            position: Sector::new(position),
            recorded: Sector::ZERO,
            total: Sectors::new(1600),
            pause_at: Sector::new(pause_at),
            recorded_at: Millis(0),
        };
        ensure(
            checkpoint.is_due(Millis(now)) == want,
            "a checkpoint is due",
            position,
        )?;
    }
    Ok(())
}

fn read_errors_decay() -> Verdict {
    const HOUR: u64 = 3_600_000;
    // Hours after 20 errors, and the count the next one makes.
    for (hours, want) in [
        (0, 21),
        (1, 11),
        (2, 6),
        (4, 2),
        (5, 1),
        (31, 1),
        (32, 1),
        (1 << 40, 1),
    ] {
        let mut errors = ReadErrors::NONE;
        for _ in 0..20 {
            let verdict = errors.record(Millis(0), 20);
            ensure(
                verdict == ReadErrorVerdict::Tolerate,
                "20 are tolerated",
                hours,
            )?;
        }
        let verdict = errors.record(Millis(hours * HOUR), 20);
        let fails = verdict == ReadErrorVerdict::FailMember;
        ensure(
            errors.count() == want,
            "the count halves by the hour",
            hours,
        )?;
        ensure(fails == (want > 20), "only too many fail the member", hours)?;
    }
    Ok(())
}

fn spares_find_seats() -> Verdict {
    use Seats::{Empty, Taken, WantsReplacement};
    let table = [
        (
            [Taken, Empty, Empty],
            Some(2),
            Some((2, Seat::Main, Fill::ByBitmap)),
        ),
        (
            [Taken, Empty, Empty],
            Some(0),
            Some((1, Seat::Main, Fill::Full)),
        ),
        (
            [Taken, Empty, Empty],
            None,
            Some((1, Seat::Main, Fill::Full)),
        ),
        (
            [WantsReplacement, Taken, Empty],
            None,
            Some((2, Seat::Main, Fill::Full)),
        ),
        (
            [Taken, WantsReplacement, Taken],
            Some(1),
            Some((1, Seat::Replacement, Fill::Full)),
        ),
        ([Taken, Taken, Taken], Some(1), None),
    ];
    for (at, (seats, last, want)) in (0_u64..).zip(table) {
        let slots = (0..).zip(seats).map(|(slot, seats)| SlotView {
            slot: Slot::new(slot),
            seats,
        });
        let seating = choose_seat(last.map(Slot::new), Alike::SameSlot, slots);
        let got =
            seating.map(|seating| (seating.place.slot.get(), seating.place.seat, seating.fill));
        ensure(got == want, "the seat", at)?;
    }
    Ok(())
}

fn last_copies() -> Verdict {
    let table = [
        (Survivors::Enough, LastDevice::Keep, MirrorLoss::Degrades),
        (Survivors::Enough, LastDevice::Fail, MirrorLoss::Degrades),
        (
            Survivors::TooFew,
            LastDevice::Keep,
            MirrorLoss::BreaksKeeping,
        ),
        (
            Survivors::TooFew,
            LastDevice::Fail,
            MirrorLoss::BreaksFailing,
        ),
    ];
    for (at, (survivors, last_device, want)) in (0_u64..).zip(table) {
        ensure(
            mirror_loss(survivors, last_device) == want,
            "what a failure does",
            at,
        )?;
    }
    Ok(())
}
