// SPDX-License-Identifier: GPL-2.0

//! A running array as I/O sees it.
//!
//! [`Live`] is behind the array's [`Gated`](kernel_ext::sync::gated::Gated): every bio uses it from its submission to
//! its end, and it changes only while there is none.

use super::Array;
use crate::{member::Member, personality::Personality};
use kernel::{
    pr_warn_once,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow,
    },
};
use kernel_ext::{
    block::{
        bdev::{BlockDevice, Target},
        bio::{Bio, Dataless, Flags, Op, Setup},
        bio_set::{BioSet, Complete, CompletedBio},
        status::Status,
    },
    sync::gated::{Entered, Entry},
};
use md_core::state::{
    admit::{Admission, Io},
    array::{Access, Array as State, Failure},
    clean::Dirtiness,
};

/// Flush bios that can be made without memory, for one flush after the other.
const FLUSH_RESERVE: u16 = 64;

/// What a running array is to I/O.
pub(crate) struct Live {
    personality: Personality,
    members: KVec<Arc<Member>>,
    flushes: BioSet<Flushed>,
    admits: Admits,
}

impl Live {
    /// An array of these members, in slot order, at work.
    pub(super) fn new(
        personality: Personality,
        members: KVec<Arc<Member>>,
        state: State,
    ) -> Result<Self> {
        Ok(Self {
            personality,
            members,
            flushes: BioSet::new(FLUSH_RESERVE)?,
            admits: Admits::new(state),
        })
    }

    /// The level at work.
    pub(crate) fn personality(&self) -> &Personality {
        &self.personality
    }

    /// The array's state changed in what I/O it admits. Any context.
    pub(super) fn set_state(&self, state: State) {
        self.admits.set(state);
    }

    /// Sends an empty flush to every member, and gives back the bio without the request for one: `None` when it was
    /// nothing but that. It ends after all the flushes; what they report is for the log only, as the data that they
    /// would have made durable was acknowledged before.
    fn flush(&self, mut bio: Bio) -> Option<Bio> {
        for member in &self.members {
            match self
                .flushes
                .child(&mut bio, Dataless::Flush, 0, Flushed(member.clone()))
            {
                Ok(flush) => flush.submit(),
                Err(_) => {
                    bio.end(Status::RESOURCE);
                    return None;
                }
            }
        }
        if bio.sectors() == 0 {
            bio.end(Status::OK);
            return None;
        }
        bio.clear_flags(Flags::PREFLUSH);
        Some(bio)
    }
}

/// A member that is being flushed.
struct Flushed(Arc<Member>);

impl Target for Flushed {
    fn device(&self) -> &BlockDevice {
        self.0.device()
    }
}

impl Complete for Flushed {
    fn complete(bio: CompletedBio<Self>) {
        if !bio.status().is_ok() {
            pr_warn_once!("a member did not take a flush; data in its cache may be lost\n");
        }
    }
}

/// Which I/O is admitted, for a look without a lock.
struct Admits(Atomic<u32>);

impl Admits {
    const ALL: u32 = 0;
    const READ_ONLY: u32 = 1;
    const READ_AUTO: u32 = 2;
    const BROKEN: u32 = 3;

    fn new(state: State) -> Self {
        Self(Atomic::new(Self::encode(state)))
    }

    fn set(&self, state: State) {
        self.0.store(Self::encode(state), Relaxed);
    }

    fn encode(state: State) -> u32 {
        match state {
            State::Running {
                failure: Failure::Broken,
                ..
            } => Self::BROKEN,
            State::Running {
                access: Access::ReadOnly,
                ..
            } => Self::READ_ONLY,
            State::Running {
                access: Access::ReadAuto,
                ..
            } => Self::READ_AUTO,
            _ => Self::ALL,
        }
    }

    fn state(&self) -> State {
        let writable = Access::Writable(Dirtiness::Active);
        match self.0.load(Relaxed) {
            Self::ALL => State::running(writable, Failure::Intact),
            Self::READ_AUTO => State::running(Access::ReadAuto, Failure::Intact),
            Self::READ_ONLY => State::running(Access::ReadOnly, Failure::Intact),
            _ => State::running(writable, Failure::Broken),
        }
    }
}

/// Takes over a bio that reached the array's disk. May sleep unless the bio says not to wait.
pub(crate) fn submit(this: ArcBorrow<'_, Array>, bio: Bio) {
    let live = match this.live().enter() {
        Entry::Entered(live) => Some(live),
        Entry::Empty => None,
        Entry::Suspended if bio.flags().contains(Flags::NOWAIT) => {
            bio.end(Status::AGAIN);
            return;
        }
        Entry::Suspended => this.live().enter_wait(),
    };
    match live {
        Some(live) => serve(this, live, bio),
        None => bio.end(Status::IO_ERROR),
    }
}

fn serve(this: ArcBorrow<'_, Array>, live: Entered<Live>, bio: Bio) {
    let io = match bio.op() {
        Op::Read => Io::Read,
        Op::Write if bio.sectors() == 0 => Io::EmptyFlush,
        _ => Io::Write,
    };
    match live.admits.state().admit(io) {
        Ok(Admission::Serve | Admission::Track) => {}
        Ok(Admission::Complete) => return bio.end(Status::OK),
        Ok(Admission::Reopen) => this.reopen(),
        Err(_) => return bio.end(Status::IO_ERROR),
    }
    let Some(mut bio) = bio.split_to_limits() else {
        return;
    };
    bio.clear_flags(Flags::NOMERGE);
    let bio = if bio.flags().contains(Flags::PREFLUSH) {
        live.flush(bio)
    } else {
        Some(bio)
    };
    if let Some(bio) = bio {
        live.personality.submit(&live, bio);
    }
}
