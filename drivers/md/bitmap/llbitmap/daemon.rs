// SPDX-License-Identifier: GPL-2.0

//! The daemon of a lockless bitmap: cells that were written to, and not lately, become clean.
//!
//! # Ordering
//!
//! A clean cell on media promises that all copies agree. So, for pages that are suspended:
//!
//! 1. no write is under way to their chunks, and none that ended left out a member, or the array is degraded;
//! 2. what was written is durable: the members' caches are emptied;
//! 3. the superblock says up to which event cells were cleaned, so that a member that left before does not come back
//!    without what it missed;
//! 4. the cells become clean, in memory, then on media.

use super::{page::Page, seconds, Core};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Full, Relaxed, Release},
        Arc,
    },
    time::Jiffies,
};
use kernel_ext::sync::{
    kthread::{Me, Work},
    percpu_ref::Suspension,
    timer::jiffies,
};
use md_core::{
    bitmap::{
        barrier::{Instant, Turn},
        cell::{Action, Cell},
    },
    state::Health,
};

/// Pages that are suspended together.
const GROUP: usize = 8;

/// Seconds that the daemon waits at least for writers to leave a page, which takes a grace period of RCU to find out.
const PATIENCE: u32 = 5;

/// The daemon's work.
pub(super) struct Daemon(pub(super) Arc<Core>);

impl Work for Daemon {
    fn run(&self, me: &Me) {
        let core = &self.0;
        let (now, next) = (jiffies(), core.next.load(Acquire));
        if next != 0 && next <= now {
            // Cells that become dirty from here on have it come again. Full: those that did before are seen below.
            core.next.xchg(0, Full);
            if core.clean(|page, now| page.freshness().turn(now)) == Again::Yes {
                core.arm();
            }
        }
        let next = core.next.load(Acquire);
        me.set_period((next != 0).then(|| next.saturating_sub(jiffies()).max(1)));
    }
}

/// Whether the daemon has to come again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

impl Core {
    /// The daemon comes after its period. False when it comes anyway.
    pub(super) fn arm(&self) -> bool {
        let next = jiffies().saturating_add(seconds(self.daemon_sleep.load(Relaxed)));
        // Full: the cells are dirty before the daemon looks at them.
        self.next.cmpxchg(0, next.max(1), Full).is_ok()
    }

    /// Cleans the pages whose turn it is.
    fn clean(&self, turn: impl Fn(&Page, Instant) -> Turn) -> Again {
        let _cleaning = self.cleaning.lock();
        let now = Instant(jiffies() as u64);
        let turns = || self.pages.iter().map(|page| (&**page, turn(page, now)));
        let mut again = turns().any(|(_, turn)| turn == Turn::Later);
        if self.conditions.health() == Health::Degraded {
            // Missing members need what is dirty: it stays so until they are back.
            let is_used = turns().any(|(_, turn)| turn != Turn::Leave);
            return if is_used { Again::Yes } else { Again::No };
        }
        let mut due = turns()
            .filter(|(_, turn)| *turn == Turn::Clean)
            .map(|(page, _)| page);
        let mut cleaned = false;
        loop {
            let mut suspended: [Option<Suspended<'_>>; GROUP] = [const { None }; GROUP];
            let mut any = false;
            for (place, page) in suspended.iter_mut().zip(due.by_ref()) {
                any = true;
                *place = self.suspend(page);
                again |= place.is_none();
            }
            if !any {
                break;
            }
            let suspended = suspended.iter().flatten();
            match self.clean_suspended(suspended) {
                Ok(()) => cleaned = true,
                Err(_) => again = true,
            }
        }
        if cleaned && self.write_due().is_err() {
            again = true;
        }
        // Pages that came into use meanwhile were left out, and need not have had a cell changed, which brings the
        // daemon back.
        again |= turns().any(|(_, turn)| turn != Turn::Leave);
        if again {
            Again::Yes
        } else {
            Again::No
        }
    }

    /// Keeps writers out of a page. `None` when those inside do not leave.
    fn suspend<'a>(&self, page: &'a Page) -> Option<Suspended<'a>> {
        let limit: Jiffies = seconds(self.daemon_sleep.load(Relaxed).max(PATIENCE));
        let suspension = page.gate.suspend(limit).inspect_err(|_| {
            pr_warn!("a bitmap page is not left by writers in time\n");
        });
        Some(Suspended {
            page,
            _suspension: suspension.ok()?,
        })
    }

    fn clean_suspended<'a>(
        &self,
        suspended: impl Iterator<Item = &'a Suspended<'a>> + Clone,
    ) -> Result {
        if suspended.clone().any(|it| it.page.has_dirty()) {
            self.store.flush_caches()?;
            if self.conditions.health() == Health::Degraded {
                return Err(EAGAIN);
            }
            self.note_events()?;
        }
        let env = self.env();
        for it in suspended {
            it.page.rest();
            it.page.act(it.page.held(), Action::Daemon, &env, self.unit);
        }
        Ok(())
    }

    /// Cells are about to be cleaned: members that left before now cannot be brought up to date by the bitmap.
    fn note_events(&self) -> Result {
        let events = self.conditions.events().get();
        let before = self.cleared.load(Relaxed);
        if before < events {
            self.cleared.store(events, Release);
            // It is to be said again: nothing is clean before it was.
            self.write_header()
                .inspect_err(|_| self.cleared.store(before, Release))?;
        }
        Ok(())
    }

    /// Cleans all there is, whenever it was used, and brings all that is due to media.
    pub(super) fn settle(&self) {
        for page in &self.pages {
            page.hurry();
        }
        self.next.xchg(0, Full);
        // What is not clean is synced after the next start.
        let _ = self.clean(|_, _| Turn::Clean);
        let _ = self.write_due();
    }
}

/// A page without writers.
struct Suspended<'a> {
    page: &'a Page,
    _suspension: Suspension<'a>,
}

impl Page {
    /// Whether there is something to clean.
    pub(super) fn has_dirty(&self) -> bool {
        self.held().any(|at| self.cell(at) == Cell::Dirty)
    }
}
