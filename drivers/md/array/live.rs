// SPDX-License-Identifier: GPL-2.0

//! A running array as I/O sees it.
//!
//! [`Live`] is behind the array's [`Gated`](kernel_ext::sync::gated::Gated): every bio uses it from its submission to
//! its end, and it changes only while there is none.

use super::{
    service::Service,
    tracking::{NotBegun, Tracking, Writing},
    Array,
};
use crate::{
    bitmap::{Backend, MarkedPages},
    member::{Health, Member},
    personality::{mirror::moving::Postponed, Personality},
};
use kernel::{
    pr_warn_once,
    prelude::*,
    sync::{Arc, ArcBorrow},
    workqueue::{HasWork, WorkItem},
};
use kernel_ext::{
    alloc::mempool::Wait,
    block::{
        bdev::{BlockDevice, Target},
        bio::{Bio, Dataless, Flags, Op, Setup},
        bio_set::{BioSet, Complete, CompletedBio},
        status::Status,
    },
    sync::{
        gated::{Entered, Entry},
        kthread::Waker,
    },
};
use md_core::{state::admit::Admission, units::Sector};

/// Flush bios that can be made without memory, for one flush after the other.
const FLUSH_RESERVE: u16 = 16;

/// What a running array is to I/O.
pub(crate) struct Live {
    personality: Personality,
    members: KVec<Arc<Member>>,
    flushes: BioSet<Flushed>,
    tracking: Arc<Tracking>,
    thread: Option<Waker<Service>>,
    bitmap: Option<Arc<dyn Backend>>,
    /// Of `bitmap`, for all writes to look at.
    marked_pages: Option<MarkedPages>,
}

impl Live {
    /// An array of these members, in slot order, at work.
    pub(super) fn new(
        personality: Personality,
        members: KVec<Arc<Member>>,
        tracking: Arc<Tracking>,
        thread: Option<Waker<Service>>,
    ) -> Result<Self> {
        Ok(Self {
            personality,
            members,
            flushes: BioSet::without_data(FLUSH_RESERVE)?,
            tracking,
            thread,
            bitmap: None,
            marked_pages: None,
        })
    }

    /// Its write-intent bitmap, if it has one.
    #[inline]
    pub(crate) fn bitmap(&self) -> Option<&dyn Backend> {
        self.bitmap.as_deref()
    }

    /// Where its writes look first, if its bitmap is of a kind that has this.
    #[inline]
    pub(crate) fn marked_pages(&self) -> Option<&MarkedPages> {
        self.marked_pages.as_ref()
    }

    /// Its write-intent bitmap is another now, or none.
    pub(super) fn set_bitmap(&mut self, bitmap: Option<Arc<dyn Backend>>) {
        self.marked_pages = bitmap.as_ref().and_then(|bitmap| bitmap.marked_pages());
        self.bitmap = bitmap;
    }

    /// The level at work.
    pub(crate) fn personality(&self) -> &Personality {
        &self.personality
    }

    /// The level at work, to be changed.
    pub(super) fn personality_mut(&mut self) -> &mut Personality {
        &mut self.personality
    }

    /// Another level is at work. The one before comes back.
    pub(super) fn replace_personality(&mut self, personality: Personality) -> Personality {
        core::mem::replace(&mut self.personality, personality)
    }

    /// The members that I/O goes to are others now.
    pub(super) fn set_members(&mut self, members: KVec<Arc<Member>>) {
        self.members = members;
    }

    /// The members that I/O goes to.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter()
    }

    /// Has a worker submit writes that wait for their bitmap. Any context.
    pub(crate) fn queue_marking<W>(&self, work: Arc<W>)
    where
        W: WorkItem<Pointer = Arc<W>> + HasWork<W> + Send + Sync + 'static,
    {
        if let Some(member) = self.members.first() {
            // It is queued only while it is not.
            let _ = member
                .array
                .registry
                .marked_writes
                .enqueue::<Arc<W>, 0>(work);
        }
    }

    /// Whether the array admits I/O, and whether it is clean.
    pub(crate) fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// The same for somebody who lets the array go meanwhile.
    pub(crate) fn share_tracking(&self) -> Arc<Tracking> {
        self.tracking.clone()
    }

    /// There is work for the array's thread. Any context.
    pub(crate) fn wake_thread(&self) {
        if let Some(thread) = &self.thread {
            thread.wake();
        }
    }

    /// Sends an empty flush to every member, and gives back the bio without the request for one: `None` when it was
    /// nothing but that. It ends after all the flushes; what they report is for the log only, as the data that they
    /// would have made durable was acknowledged before.
    fn flush(&self, mut bio: Bio) -> Option<Bio> {
        // One that is failing may be the last copy, and stay.
        let is_used = |member: &&Arc<Member>| member.health() != Health::Failed;
        for member in self.members.iter().filter(is_used) {
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
    fn complete(mut bio: CompletedBio<Self>) {
        if !bio.status().is_ok() && bio.value().0.health() == Health::Working {
            pr_warn_once!("a member did not take a flush; data in its cache may be lost\n");
        }
    }
}

/// Takes over a bio that reached the array's disk. May sleep unless the bio says not to wait.
pub(crate) fn submit(this: ArcBorrow<'_, Array>, bio: Bio) {
    let live = match this.live().enter() {
        Entry::Entered(live) => Some(live),
        Entry::Empty => None,
        Entry::Suspended if bio.wait() == Wait::No => return bio.end(Status::AGAIN),
        Entry::Suspended => this.live().enter_wait(),
    };
    match live {
        Some(live) => serve(this, live, bio),
        None => bio.end(Status::IO_ERROR),
    }
}

fn serve(this: ArcBorrow<'_, Array>, live: Entered<Live>, bio: Bio) {
    let Some(mut bio) = bio.split_to_limits() else {
        return;
    };
    bio.clear_flags(Flags::NOMERGE);
    if bio.op() == Op::Read {
        // Reads are not put off.
        let _ = Personality::submit(live, bio, None);
        return;
    }
    if bio.op() == Op::Write && bio.sectors() == 0 {
        return serve_flush(&live, bio);
    }
    let range = (Sector::new(bio.sector()), Sector::new(bio.end_sector()));
    if live.tracking.held().holds(range.0, range.1) {
        return wait_for_range(this, live, bio);
    }
    let flushes = bio.flags().contains(Flags::PREFLUSH);
    if flushes && bio.wait() == Wait::No {
        return bio.end(Status::AGAIN);
    }
    let writing = match live.begin_write(this, bio.wait()) {
        Ok(writing) => writing,
        Err(NotBegun::WouldWait) => return bio.end(Status::AGAIN),
        Err(NotBegun::Refused) => return bio.end(Status::IO_ERROR),
    };
    let bio = if flushes { live.flush(bio) } else { Some(bio) };
    let put_off = bio.and_then(|bio| Personality::submit(live, bio, Some(writing)));
    if let Some(bio) = put_off.and_then(Postponed::wait) {
        submit(this, bio);
    }
}

/// A write waits until its sectors are not held any more. It must not keep the array from changing meanwhile.
#[cold]
fn wait_for_range(this: ArcBorrow<'_, Array>, live: Entered<Live>, bio: Bio) {
    if bio.wait() == Wait::No {
        return bio.end(Status::AGAIN);
    }
    let tracking = live.tracking.clone();
    drop(live);
    let (start, end) = (Sector::new(bio.sector()), Sector::new(bio.end_sector()));
    tracking.wait(|| !tracking.held().holds(start, end));
    submit(this, bio);
}

/// An empty flush changes nothing, so it does not make the array dirty.
fn serve_flush(live: &Live, bio: Bio) {
    match live.tracking.admit_flush() {
        Ok(Admission::Complete) => bio.end(Status::OK),
        // Nothing remains of an empty bio after its flush.
        Ok(_) => drop(live.flush(bio)),
        Err(_) => bio.end(Status::IO_ERROR),
    }
}

impl Live {
    /// Counts a write; before that the array becomes writable and dirty, if it is not. May sleep if it may wait.
    fn begin_write(
        &self,
        array: ArcBorrow<'_, Array>,
        wait: Wait,
    ) -> core::result::Result<Writing, NotBegun> {
        self.tracking.begin_write(wait, || match &self.thread {
            Some(thread) => thread.wake(),
            None => array.notify_state(),
        })
    }
}
