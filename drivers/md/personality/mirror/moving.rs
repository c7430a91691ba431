// SPDX-License-Identifier: GPL-2.0

//! A raid10 between two geometries: how far the reshape is, and what waits for it.
//!
//! Requests go by the position as they find it when they begin. What makes that right:
//!
//! * a step of the reshape holds its bucket from before it reads until the position has passed it, so where a write
//!   is in its bucket the position does not pass;
//! * what is read by the previous geometry stays where it is until a position behind it is recorded, and that is
//!   done with I/O held back: so a read keeps the geometry that it began with;
//! * a write to what is copied, but not recorded as copied, waits until it is ([`Postponed`]): after a crash these
//!   sectors are read where they were before.

use super::Mirror;
use crate::array::{live::Live, tracking::Tracking};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc,
    },
};
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bio::{Bio, Flags},
        status::Status,
    },
};
use md_core::{
    layout::reshape::{Part, Position, Raid10Reshape},
    units::{Sector, SectorRange, Sectors},
};

/// A reshape under way.
pub(crate) struct Moving {
    reshape: Raid10Reshape,
    progress: Atomic<u64>,
    safe: Atomic<u64>,
    /// Somebody waits for the position to be recorded.
    wanted: Atomic<bool>,
    /// The array has stopped, or has one geometry now.
    over: Atomic<bool>,
}

impl Moving {
    /// A reshape that superblocks say is at `position`.
    pub(super) fn new(reshape: Raid10Reshape, position: Position) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                reshape,
                progress: Atomic::new(position.progress().get()),
                safe: Atomic::new(position.safe().get()),
                wanted: Atomic::new(false),
                over: Atomic::new(false),
            },
            GFP_KERNEL,
        )?)
    }

    /// What becomes of what.
    pub(crate) fn reshape(&self) -> &Raid10Reshape {
        &self.reshape
    }

    /// How far it is. Any context.
    #[inline]
    pub(crate) fn position(&self) -> Position {
        // In this order: what is recorded is never further than what is done.
        let safe = Sector::new(self.safe.load(Acquire));
        let progress = Sector::new(self.progress.load(Acquire));
        Position::resumed(self.reshape.direction(), safe).advanced(progress)
    }

    /// All is copied up to there. The caller holds the buckets of what the position passes.
    pub(crate) fn advance(&self, progress: Sector) {
        // Release: who sees the position sees the copies.
        self.progress.store(progress.get(), Release);
    }

    /// Superblocks say that it is there. Whoever reads by the previous geometry behind that has ended. Who waits is
    /// to be woken after this.
    pub(crate) fn set_recorded(&self, at: Sector) {
        self.safe.store(at.get(), Release);
        self.wanted.store(false, Release);
    }

    /// Whether somebody waits for the position to be recorded.
    pub(crate) fn is_record_wanted(&self) -> bool {
        self.wanted.load(Acquire)
    }

    /// The array stops, or has one geometry now. Who waits is to be woken after this.
    pub(crate) fn end(&self) {
        self.over.store(true, Release);
    }

    /// By which geometry what begins at `start` is served at present, and how much of it.
    #[inline]
    pub(super) fn part(&self, start: Sector, length: Sectors) -> Part<'_> {
        self.reshape.part(&self.position(), start, length)
    }
}

/// The sectors of a write.
#[derive(Clone, Copy)]
struct Claim {
    range: SectorRange,
    /// It is to be written as one.
    whole: bool,
}

impl Claim {
    fn of(bio: &Bio) -> Option<Self> {
        let length = Sectors::new(u64::from(bio.sectors()));
        Some(Self {
            range: SectorRange::new(Sector::new(bio.sector()), length)?,
            whole: bio.flags().contains(Flags::ATOMIC),
        })
    }

    /// Whether it can be written as far as it is in one geometry.
    fn is_admitted(self, moving: &Moving) -> bool {
        let position = moving.position();
        let part = moving
            .reshape
            .part(&position, self.range.start(), self.range.len());
        if self.whole && part.length < self.range.len() {
            return false;
        }
        let range = SectorRange::new(self.range.start(), part.length);
        range.is_none_or(|range| !position.write_waits_for_metadata(range))
    }
}

/// A write that is to be submitted again when the reshape has recorded how far it is. It keeps nothing from changing.
#[must_use = "a write that is not submitted again is lost"]
pub(crate) struct Postponed {
    bio: Bio,
    claim: Claim,
    moving: Arc<Moving>,
    tracking: Arc<Tracking>,
}

impl Postponed {
    /// Waits until the write can be submitted again, and gives it back; `None` when it must not wait: then it has
    /// ended. May sleep.
    pub(crate) fn wait(self) -> Option<Bio> {
        if self.bio.wait() == Wait::No {
            self.bio.end(Status::AGAIN);
            return None;
        }
        let moving = &self.moving;
        self.tracking.wait(|| {
            let is_over = moving.over.load(Acquire) || self.tracking.is_broken();
            let ends = is_over || self.claim.is_admitted(moving);
            if !ends {
                // Each time: a record takes the wish back, and the pass may have got into the range again by the time
                // of this look. A record that comes meanwhile wakes after it has done so, so the wish is not lost.
                moving.wanted.store(true, Release);
            }
            ends
        });
        Some(self.bio)
    }
}

impl Mirror {
    /// The reshape under way.
    pub(crate) fn moving(&self) -> Option<&Arc<Moving>> {
        self.moving.as_ref()
    }

    /// A write that is in its bucket: whether it is to leave that, and wait for the reshape.
    pub(super) fn admit(
        moving: &Arc<Moving>,
        live: &Live,
        bio: Bio,
    ) -> core::result::Result<Bio, Postponed> {
        match Claim::of(&bio) {
            Some(claim) if !claim.is_admitted(moving) => Err(Postponed {
                bio,
                claim,
                moving: moving.clone(),
                tracking: live.share_tracking(),
            }),
            _ => Ok(bio),
        }
    }
}
