// SPDX-License-Identifier: GPL-2.0

//! Writers, the daemon and media of one page of a lockless bitmap, run in many orders: nobody sleeps for ever, the
//! daemon cleans no cell that is written to, and whenever the power is cut, media promise no more than is true.
//!
//! The orders are those of a machine where all see memory change in the same order; weaker ones are not tried. Each
//! defect that the model can be given must be found, or the model shows nothing.

mod gate;
mod page;
mod truth;

use md_core::bitmap::cell::{Action, Cell};
use shuttle::{
    rand::{thread_rng, Rng as _},
    sync::Arc,
    thread,
};

use gate::{Gate, Suspension};
use page::{Page, CELLS};
use truth::{Truth, LIVE};

/// What the model does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    /// The daemon that gives up wakes nobody.
    SilentGiveUp,
    /// A cell changes before it is noted that media lack the change.
    CellBeforeMark,
    /// A unit that became due again while it was written counts as written.
    SettledWhileDue,
    /// A writer leaves when its mark is on media, not when its data is.
    EarlyLeave,
}

struct Array {
    gate: Gate,
    page: Page,
    truth: Truth,
    defect: Defect,
}

impl Array {
    /// A write to a chunk, as `Lockless::start_write` and `Marking` make it.
    fn write(&self, at: usize) {
        self.gate.enter();
        if !self.page.is_marked(at) {
            self.page
                .act(std::iter::once(at), Action::StartWrite, &LIVE);
        }
        // The array fails a write whose mark media refuse; here it is tried again.
        while !self.page.is_settled(at) && !self.page.write_due(&self.truth) {}
        if self.defect == Defect::EarlyLeave {
            self.gate.leave();
        }
        self.truth.send(at, self.page.on_media(at));
        thread::yield_now();
        self.truth.end(at);
        if self.defect != Defect::EarlyLeave {
            self.gate.leave();
        }
    }

    /// A visit of the daemon.
    fn clean(&self) {
        if self.gate.suspend() == Suspension::GaveUp {
            return;
        }
        self.truth.check_quiet();
        self.page.act(0..CELLS, Action::Daemon, &LIVE);
        self.gate.resume();
        self.page.write_due(&self.truth);
    }
}

/// Writers and the daemon on a page where all states are that a chunk may rest in.
fn scenario(defect: Defect) {
    let cells = [Cell::Unwritten, Cell::Clean, Cell::Dirty, Cell::Clean];
    let array = Arc::new(Array {
        gate: Gate::new(defect),
        page: Page::new(cells, defect),
        truth: Truth::default(),
        defect,
    });
    let writer = |_| {
        let array = Arc::clone(&array);
        thread::spawn(move || {
            for _ in 0..2 {
                array.write(thread_rng().gen_range(0..CELLS));
            }
        })
    };
    let mut threads: Vec<_> = (0..3).map(writer).collect();
    let daemon = Arc::clone(&array);
    let visits = thread_rng().gen_range(1..=3);
    threads.push(thread::spawn(move || {
        (0..visits).for_each(|_| daemon.clean())
    }));
    for thread in threads {
        thread.join().expect("no panic");
    }
    while !array.page.write_due(&array.truth) {}
    for at in 0..CELLS {
        let (memory, media) = (array.page.cell(at), Cell::parse(array.page.on_media(at)));
        assert_eq!(memory, media.cell, "chunk {at} when all is written");
    }
}

#[test]
fn every_order_keeps_the_promises() {
    shuttle::check_random(|| scenario(Defect::None), 1000);
    shuttle::check_pct(|| scenario(Defect::None), 1000, 3);
}

/// Whether some order shows the defect.
fn is_found(defect: Defect) -> bool {
    let run = move || shuttle::check_random(move || scenario(defect), 5000);
    std::panic::catch_unwind(run).is_err()
}

#[test]
fn defects_are_found() {
    for defect in [
        Defect::SilentGiveUp,
        Defect::CellBeforeMark,
        Defect::SettledWhileDue,
        Defect::EarlyLeave,
    ] {
        assert!(is_found(defect), "no order shows {defect:?}");
    }
}
