// SPDX-License-Identifier: GPL-2.0

//! The write-intent bitmaps. What is particular to one kind is behind [`Backend`]; which one serves a kind is said
//! once, in [`create`], when the bitmap is made. An array without a bitmap has no backend at all.
//!
//! # Ordering
//!
//! No data is written before media say that its chunk may differ between members. A write begins with a
//! [`WriteIntent`], which marks its chunks; while [`WriteIntent::is_on_media`] is false the write waits
//! ([`Backend::write_out`] is what it waits for). The marks stay until the intent is dropped, which is after the write
//! has ended on all members.

pub(crate) mod classic;
mod intent;
pub(crate) mod llbitmap;
mod store;

pub(crate) use intent::{answer_call, Intent, WriteIntent};
pub(crate) use llbitmap::MarkedPages;
pub(crate) use md_core::bitmap::SyncAnswer;

use crate::{log::Text, member::Member};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc,
    },
};
use kernel_ext::alloc::mempool::Wait;
use md_core::{
    bitmap::cell::Redundancy,
    format::{bitmap::BitmapSb, ident::Uuid, BlockSize},
    state::{pass::Action, Health},
    units::{Events, Sector, SectorRange, Sectors},
    words::bitmap::BitmapKind,
};

/// What all backends know of their array. The configuration writes it, I/O reads it.
pub(crate) struct Conditions {
    degraded: Atomic<bool>,
    slot_empty: Atomic<bool>,
    events: Atomic<u64>,
    wants_pass: Atomic<bool>,
    wants_thread: Atomic<bool>,
}

impl Conditions {
    /// Those of an array in this state.
    pub(crate) const fn new(health: Health, events: Events) -> Self {
        Self {
            degraded: Atomic::new(matches!(health, Health::Degraded)),
            slot_empty: Atomic::new(false),
            events: Atomic::new(events.get()),
            wants_pass: Atomic::new(false),
            wants_thread: Atomic::new(false),
        }
    }

    /// Whether every slot has a member in sync. Any context.
    #[inline]
    pub(crate) fn health(&self) -> Health {
        // Acquire: pairs with `set_health`; what was done for the new health is seen with it.
        if self.degraded.load(Acquire) {
            Health::Degraded
        } else {
            Health::Complete
        }
    }

    /// Whether every slot has a member that works, in sync or being rebuilt: as long as one has none, a pass must leave
    /// what that one will need. Any context.
    pub(crate) fn slots(&self) -> Health {
        if self.slot_empty.load(Acquire) {
            Health::Degraded
        } else {
            Health::Complete
        }
    }

    /// A member came, was rebuilt, or failed. With the configuration locked.
    pub(crate) fn set_health(&self, health: Health, slots: Health) {
        self.slot_empty.store(slots == Health::Degraded, Release);
        self.degraded.store(health == Health::Degraded, Release);
    }

    /// The event count of the superblocks. Any context.
    #[inline]
    pub(crate) fn events(&self) -> Events {
        Events::new(self.events.load(Acquire))
    }

    /// Superblocks are about to be written with this count. With the configuration locked.
    pub(crate) fn set_events(&self, events: Events) {
        self.events.store(events.get(), Release);
    }

    /// Chunks were found that a pass must look at. Any context.
    pub(crate) fn request_pass(&self) {
        self.wants_pass.store(true, Release);
        self.call_thread();
    }

    /// There is something for the array's thread. Any context. Who can wakes it soon.
    pub(crate) fn call_thread(&self) {
        self.wants_thread.store(true, Release);
    }

    /// Whether the array's thread is to be woken, which is said once. Any context.
    #[inline]
    pub(crate) fn take_thread_call(&self) -> bool {
        self.wants_thread.load(Relaxed) && self.wants_thread.xchg(false, Full)
    }

    /// Whether a pass was asked for, which is said once.
    pub(crate) fn take_pass_request(&self) -> bool {
        self.wants_pass.load(Acquire) && self.wants_pass.xchg(false, Full)
    }
}

/// How a pass left some sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All copies agree.
    #[allow(dead_code, reason = "for levels that finish chunks one by one")]
    Done,
    /// They may not.
    Aborted,
}

/// What `/proc/mdstat` counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stats {
    /// Pages of memory in use.
    pub(crate) used_pages: u64,
    /// Pages there could be.
    pub(crate) pages: u64,
    /// The length of a chunk.
    pub(crate) chunk: Sectors,
}

/// What a write under way holds of its bitmap.
pub(crate) enum Hold {
    /// Nothing: it covers no chunk.
    None,
    /// Marks: the backend is told when the write ends.
    Marks,
    /// Pages of a lockless bitmap that the daemon stays out of until this is dropped, which is all there is to do.
    Pages(#[expect(dead_code, reason = "kept for its drop")] llbitmap::Inside),
}

/// A write that has begun.
pub(crate) struct Started {
    /// What is held until it ends.
    pub(crate) hold: Hold,
    /// Whether its marks were on media before it began, so that it need not wait.
    pub(crate) on_media: bool,
}

/// One write-intent bitmap of one running array, covering the sectors that a resync walks over.
///
/// Methods may sleep unless they say otherwise. None of them takes the configuration, which may be locked by the
/// caller.
pub(crate) trait Backend: Send + Sync {
    /// Its kind.
    fn kind(&self) -> BitmapKind;

    /// What it knows of the array.
    fn conditions(&self) -> &Conditions;

    /// Where to look first whether a write needs anything of this at all, for a kind that can say so at once.
    fn marked_pages(&self) -> Option<MarkedPages> {
        None
    }

    /// A write to `range` begins: marks its chunks, and keeps the marks until it ends.
    ///
    /// An error when they cannot be marked, so that the write must not happen, `EAGAIN` if it must not wait and would.
    /// Then nothing is marked.
    fn start_write(&self, range: SectorRange, wait: Wait) -> Result<Started>;

    /// Whether the marks of a write that was started are on media. Any context.
    fn is_on_media(&self, range: SectorRange) -> bool;

    /// A write or a discard ended that held [`Hold::Marks`]. May run in an interrupt: does not sleep.
    fn end_write(&self, _range: SectorRange) {}

    /// As [`Backend::start_write`], for a discard.
    fn start_discard(&self, range: SectorRange, wait: Wait) -> Result<Started> {
        self.start_write(range, wait)
    }

    /// Brings to media what was marked before the call. An error when no member took it: what waits must fail.
    ///
    /// Members that did not take it are reported as failed; the caller acknowledges nothing before that is recorded.
    fn write_out(&self) -> Result;

    /// How many sectors from `at` a pass need not even ask about; zero when it must.
    fn skip_sync(&self, _at: Sector, _action: Action) -> Sectors {
        Sectors::ZERO
    }

    /// Whether the parity of the chunk at `at` was ever built. Any context.
    #[allow(dead_code, reason = "for levels with parity")]
    fn is_synced(&self, _at: Sector) -> bool {
        true
    }

    /// A pass begins.
    fn begin_pass(&self, _action: Action) {}

    /// A pass comes to `at`. While the array is degraded a recovery must not take back what other members need.
    fn start_sync(&self, at: Sector) -> SyncAnswer;

    /// A pass leaves `range`.
    fn end_sync(&self, range: SectorRange, outcome: Outcome);

    /// Everything below `upto` was synced and is on media: called at checkpoints.
    fn checkpoint(&self, upto: Sector);

    /// The pass has ended, however it did.
    fn end_pass(&self);

    /// The period tick of the array's thread.
    fn daemon(&self) {}

    /// In how many milliseconds [`Backend::daemon`] is to be called, if at all.
    fn daemon_due(&self) -> Option<u64> {
        None
    }

    /// The superblocks are about to be written with the events of [`Conditions`]: writes its own before them.
    fn update_super(&self);

    /// It is on these members now. I/O is held back, unless they only differ in being in sync.
    fn set_carriers(&self, carriers: KVec<Carrier>);

    /// A new member has none of it: all of it is to be written again.
    fn write_all(&self);

    /// No write is under way, and none will be: media are to say that nothing differs.
    fn settle(&self);

    /// A bitmap of the same kind for another size of the array, with the same marks; new space is marked. Nothing is
    /// changed on media before [`Backend::supersede`]. I/O is held back, and no pass is under way.
    ///
    /// `ENOSPC` when it does not fit where this one is.
    fn resized(&self, setting: Setting<'_>) -> Result<Arc<dyn Backend>>;

    /// Takes the place of `old`, of which it was made, on media. An error when no member takes it.
    fn supersede(&self, old: &dyn Backend) -> Result;

    /// How many writes may be behind on slow members; zero for a kind that has no such number.
    fn backlog(&self) -> u32 {
        0
    }

    /// So many writes are behind now.
    fn note_behind(&self, _writes: u32) {}

    /// How much of the room of a member it takes.
    fn length(&self) -> Sectors {
        Sectors::ZERO
    }

    /// The length of a chunk, a power of two: a shorter range that crosses no multiple of it has one answer.
    fn chunk(&self) -> Sectors;

    /// How many chunks there are.
    fn chunks(&self) -> u64 {
        u64::MAX
    }

    /// Marks the chunks from `first` to `last` as different. `EINVAL` when there are not so many.
    fn mark_dirty(&self, first: u64, last: u64) -> Result;

    /// What is counted of it.
    fn stats(&self) -> Option<Stats>;

    /// The same as a lockless bitmap, if it is one.
    fn lockless(&self) -> Option<&llbitmap::Lockless> {
        None
    }

    /// The same as a classic bitmap, if it is one.
    fn classic(&self) -> Option<&classic::Classic> {
        None
    }

    /// The event count before which it forgot what members missed: those older cannot be brought up to date by it.
    fn events_cleared(&self) -> Events;

    /// Members that are not here have missed what no mark tells of. It is on media with the next superblocks. With the
    /// configuration locked.
    fn forget_absent(&self);
}

/// A member that the bitmap is on.
pub(crate) struct Carrier {
    /// The member.
    pub(crate) member: Arc<Member>,
    /// Where the bitmap begins on the device.
    pub(crate) start: Sector,
    /// How much room there is up to whatever comes next on the device; nothing of the bitmap may be beyond.
    pub(crate) room: Sectors,
    /// Whether the member is in sync, so that what it has may be believed.
    pub(crate) in_sync: bool,
}

/// Where the bitmap of an array is, and what it is for.
pub(crate) struct Setting<'a> {
    /// The array's name, for the log.
    pub(crate) name: &'a str,
    /// Whose bitmap it is.
    pub(crate) uuid: Uuid,
    /// Sectors from a member's superblock to the bitmap.
    #[allow(dead_code, reason = "for bitmaps that show it")]
    pub(crate) offset: i64,
    /// What it covers.
    pub(crate) data: Sectors,
    /// Copies agree below this sector but for what the bitmap says; those above need a resync anyway.
    pub(crate) resync_start: Sector,
    /// Bytes of the array's logical block.
    pub(crate) block: BlockSize,
    /// Whether every slot has a member in sync.
    pub(crate) health: Health,
    /// The event count of the array's superblocks.
    pub(crate) events: Events,
    /// Whether parity makes the array redundant, or copies do.
    #[allow(dead_code, reason = "for bitmaps of levels with parity")]
    pub(crate) redundancy: Redundancy,
    /// The members that have a slot.
    pub(crate) carriers: KVec<Carrier>,
}

/// The kind of the bitmap that is on media. May sleep. `EINVAL` when there is none, `EIO` when it cannot be read.
pub(crate) fn kind_on_media(name: &str, carriers: KVec<Carrier>) -> Result<BitmapKind> {
    let page = store::Store::new(carriers)?.read(0)?;
    match BitmapSb::parse(&page[..]) {
        Ok(superblock) if superblock.kind.is_lockless() => Ok(BitmapKind::Llbitmap),
        Ok(_) => Ok(BitmapKind::Bitmap),
        Err(why) => {
            pr_warn!("{name}: bitmap refused: {}\n", Text(why));
            Err(EINVAL)
        }
    }
}

/// Reads the bitmap of a kind from media and makes it ready for I/O. May sleep.
///
/// `EINVAL` when media hold no bitmap of that kind for this array, `EOPNOTSUPP` for a kind that is not implemented.
pub(crate) fn create(kind: BitmapKind, setting: Setting<'_>) -> Result<Arc<dyn Backend>> {
    match kind {
        BitmapKind::None => Err(EINVAL),
        BitmapKind::Bitmap => Ok(classic::Classic::load(setting)?),
        BitmapKind::Llbitmap => Ok(llbitmap::Lockless::load(setting)?),
    }
}
