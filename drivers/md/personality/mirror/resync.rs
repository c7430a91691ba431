// SPDX-License-Identifier: GPL-2.0

//! The requests of a pass over a mirror: read one copy and write the others, or read all and compare.
//!
//! The thread of the pass does all the thinking. It submits the reads, and another the writes ([`Writer`]). What the
//! devices do arrives in a list, from interrupts; a request holds its place in the array ([`ResyncPass`]) from before
//! its first read until after its last write.

use super::{ahead::Part, barrier::ResyncPass, walk::Located, writer::Writer, Side};
use crate::{
    array::live::Live,
    member::{Health, Member},
};
use core::ffi::CStr;
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    alloc::page::{Pages, PAGE_SECTORS},
    block::{
        bdev::{BlockDevice, Target},
        bio::{Direction, Setup},
        bio_set::{BioSet, Complete, CompletedBio},
        parked::{Parked, Was},
    },
    sync::gated::Entered,
};
use md_core::{
    state::{member::Place, pass::Action},
    units::{Sector, SectorRange, Sectors},
};

/// Sectors of the longest request, 64 KiB. What differs is counted by the request.
pub(super) const WINDOW: u32 = 128;

/// What the devices have done.
pub(crate) type Done = Parked<CompletedBio<Step>>;

/// A read or write of one copy.
pub(crate) struct Step {
    member: Arc<Member>,
    place: Place,
    /// Which request it belongs to.
    pub(crate) window: usize,
    to: Direction,
    done: Arc<Done>,
    live: Entered<Live>,
}

impl Target for Step {
    fn device(&self) -> &BlockDevice {
        self.member.device()
    }
}

impl Complete for Step {
    fn complete(mut bio: CompletedBio<Self>) {
        let step = bio.value();
        let (done, live) = (step.done.clone(), step.live.clone());
        // Who found it empty has woken the pass, which has not taken it yet.
        if done.push(bio) == Was::Filled {
            return;
        }
        if let Some(mirror) = live.personality().mirror() {
            mirror.wake_resync();
        }
    }
}

/// What a pass does with the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Writes one copy over all others.
    CopyToAll,
    /// Writes one copy over those of members that are being rebuilt.
    CopyToNew,
    /// Compares.
    Compare,
    /// Compares, and writes over what differs.
    Mend,
    /// Writes one copy of the previous geometry over all copies of the new one.
    Move,
}

impl Mode {
    pub(crate) fn of(action: Action) -> Self {
        match action {
            Action::Resync => Self::CopyToAll,
            Action::Recover | Action::LazyRecover => Self::CopyToNew,
            Action::Reshape => Self::Move,
            Action::Check => Self::Compare,
            Action::Repair => Self::Mend,
        }
    }

    const fn compares(self) -> bool {
        matches!(self, Self::Compare | Self::Mend)
    }

    /// The geometry that it writes; all read the previous one, which is the only one but in a reshape.
    pub(super) const fn writes(self) -> Side {
        match self {
            Self::Move => Side::New,
            _ => Side::Previous,
        }
    }
}

/// Requests to members that can be made without memory, one after the other.
const RESERVE: u16 = 8;

/// Where requests are made.
pub(crate) struct Engine {
    /// Goes before the bios, some of which it may have.
    writer: Writer,
    bios: BioSet<Step>,
    pub(crate) done: Arc<Done>,
    pub(crate) mode: Mode,
    /// Sectors sent to members, by which others' I/O is told from ours.
    pub(crate) sent: u64,
    /// Pages of whole requests that are over, for those to come.
    spare: KVec<Pages>,
}

/// How a request goes on.
pub(crate) enum Turn {
    /// It waits for the devices, or for writes that were there first.
    Waits,
    /// It is done; so many sectors differed.
    Done(Sectors),
    /// No copy could be read: the pass cannot go on.
    Failed,
}

/// What was read of one copy.
struct Copy {
    place: Place,
    pages: Arc<Pages>,
}

/// A request: a range of the array, in one run of its copies.
pub(crate) struct Window {
    pass: ResyncPass,
    pub(super) start: Sector,
    sectors: u32,
    /// Where the pass was when it was issued.
    pub(crate) from: Sector,
    /// How much of the pass it is.
    pub(crate) share: Sectors,
    /// The member that is to be filled; `None` for all that the mode is about.
    pub(super) target: Option<Place>,
    index: usize,
    stage: Stage,
    copies: KVec<Copy>,
    /// The copies that could not be read, when all are.
    unread: KVec<Place>,
    /// What differed.
    found: Sectors,
    /// Copies that were written and can be read.
    good: u32,
    /// Something could not be read or written: it fails when nothing of it is under way any more.
    spoiled: bool,
}

enum Stage {
    /// Others write where it is to begin.
    Announced,
    /// So many reads are under way.
    Reading(u32),
    /// So many writes are under way.
    Writing(u32),
}

impl Engine {
    /// Starts the writer, a thread of this name. May sleep.
    pub(crate) fn new(mode: Mode, writer: &CStr) -> Result<Self> {
        Ok(Self {
            writer: Writer::start(writer)?,
            bios: BioSet::new(RESERVE)?,
            done: Arc::new(Parked::new(), GFP_KERNEL)?,
            mode,
            sent: 0,
            spare: KVec::new(),
        })
    }

    /// Pages to read into. What those of whole requests held before is read over, all of it.
    fn pages(&mut self, sectors: u32) -> Result<Pages> {
        let spare = if sectors == WINDOW {
            self.spare.pop()
        } else {
            None
        };
        let count = usize::try_from(sectors.div_ceil(PAGE_SECTORS))?;
        spare.map_or_else(|| Pages::zeroed(count, GFP_KERNEL), Ok)
    }

    /// Keeps the pages of a request that is over. There are never more than were in use at once.
    pub(crate) fn recycle(&mut self, window: Window) {
        if window.sectors != WINDOW {
            return;
        }
        for copy in window.copies {
            let Some(pages) = Arc::into_unique_or_drop(copy.pages) else {
                continue;
            };
            let mut pages = Pin::into_inner(pages);
            if let Ok(none) = Pages::zeroed(0, GFP_KERNEL) {
                // Without memory for it they are freed.
                let _ = self
                    .spare
                    .push(core::mem::replace(&mut *pages, none), GFP_KERNEL);
            }
        }
    }

    fn step(&self, window: &Window, copy: Located<'_>, to: Direction) -> Step {
        Step {
            member: copy.seat.member.clone(),
            place: copy.seat.place,
            window: window.index,
            to,
            done: self.done.clone(),
            live: window.pass.live().clone(),
        }
    }

    fn read(&mut self, window: &Window, copy: Located<'_>) -> Result {
        let pages = self.pages(window.sectors)?;
        let step = self.step(window, copy, Direction::Read);
        let mut bio = self
            .bios
            .with_pages(Direction::Read, pages, window.sectors, step)?;
        bio.set_sector(copy.on_device().get());
        self.sent += u64::from(window.sectors);
        bio.submit();
        Ok(())
    }

    fn write(&mut self, window: &Window, copy: Located<'_>, pages: Arc<Pages>) -> Result {
        let step = self.step(window, copy, Direction::Write);
        let mut bio = self.bios.write_shared(pages, window.sectors, step)?;
        bio.set_sector(copy.on_device().get());
        self.sent += u64::from(window.sectors);
        self.writer.submit(bio);
        Ok(())
    }
}

impl Window {
    /// A request that waits for its turn.
    pub(crate) fn new(index: usize, part: Part, from: Sector) -> Self {
        Self {
            from,
            pass: part.pass,
            start: part.array,
            sectors: part.sectors,
            share: part.share,
            target: part.target,
            index,
            stage: Stage::Announced,
            copies: KVec::new(),
            unread: KVec::new(),
            found: Sectors::ZERO,
            good: 0,
            spoiled: false,
        }
    }

    /// Its sectors, in the array.
    pub(crate) fn range(&self) -> Option<SectorRange> {
        SectorRange::new(self.start, self.length())
    }

    pub(super) fn length(&self) -> Sectors {
        Sectors::new(u64::from(self.sectors))
    }

    /// The place it holds.
    pub(crate) fn pass(&self) -> &ResyncPass {
        &self.pass
    }

    /// Whether it has not begun.
    pub(crate) fn is_announced(&self) -> bool {
        matches!(self.stage, Stage::Announced)
    }

    /// Whether it could begin now.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_announced() && self.pass.is_clear()
    }

    /// Begins it, when it can.
    pub(crate) fn begin(&mut self, engine: &mut Engine) -> Turn {
        if !self.is_ready() {
            return Turn::Waits;
        }
        if engine.mode.compares() {
            self.read_all(engine)
        } else {
            self.read_next(engine, None)
        }
    }

    /// Reads the first copy behind `after` that can be. Without one it saves what can be saved.
    fn read_next(&mut self, engine: &mut Engine, after: Option<Place>) -> Turn {
        let live = self.pass.live().clone();
        let Some(mirror) = live.personality().mirror() else {
            return Turn::Failed;
        };
        let Some(copy) = mirror.next_source(self.start, self.length(), after) else {
            return self.salvage(mirror, engine.mode);
        };
        match engine.read(self, copy) {
            Ok(()) => {
                self.stage = Stage::Reading(1);
                Turn::Waits
            }
            Err(_) => Turn::Failed,
        }
    }

    fn read_all(&mut self, engine: &mut Engine) -> Turn {
        let live = self.pass.live().clone();
        let Some(mirror) = live.personality().mirror() else {
            return Turn::Failed;
        };
        let mut reads = 0;
        let length = self.length();
        for copy in mirror.readable(self.start, length) {
            match engine.read(self, copy) {
                Ok(()) => reads += 1,
                Err(_) => self.spoiled = true,
            }
        }
        self.stage = Stage::Reading(reads);
        if reads == 0 {
            // What is known to be bad on all copies is no news.
            return self.result();
        }
        Turn::Waits
    }

    /// One of its reads or writes has ended.
    pub(crate) fn advance(&mut self, engine: &mut Engine, mut bio: CompletedBio<Step>) -> Turn {
        let status = bio.status();
        let pages = bio.take_pages();
        let step = bio.value();
        let (place, to) = (step.place, step.to);
        if to == Direction::Write {
            self.written(engine.mode, place, status.is_ok());
        }
        drop(bio);
        match (to, status.is_ok()) {
            (Direction::Read, true) => self.keep(place, pages),
            (Direction::Read, false) if !engine.mode.compares() => {
                return self.read_next(engine, Some(place));
            }
            // What cannot be read differs: it is written, by a check too.
            (Direction::Read, false) => {
                self.spoiled |= self.unread.push(place, GFP_KERNEL).is_err();
            }
            (Direction::Write, _) => {}
        }
        self.count_down(engine)
    }

    /// A copy was written, or was not: then it does not hold what it should, which is recorded.
    fn written(&mut self, mode: Mode, place: Place, well: bool) {
        let (live, length) = (self.pass.live(), self.length());
        let mirror = live.personality().mirror();
        let mut copies = mirror
            .into_iter()
            .flat_map(|mirror| mirror.located(mode.writes(), self.start, length));
        let copy = copies.find(|copy| copy.seat.place == place);
        let Some(copy) = copy else {
            return;
        };
        let member = &copy.seat.member;
        // One that is about to be withdrawn takes what it was given with it.
        let stays = member.health() == Health::Working && member.valid_below() == Sector::MAX;
        let is_good = well && stays;
        if !well {
            copy.seat.member.mark_write_error();
            copy.lose(length, live);
        } else if copy.seat.heal(copy.at, length) {
            live.wake_thread();
        }
        self.good = self.good.saturating_add(u32::from(is_good));
    }

    /// Keeps what was read. Without memory for that the copy is left out, as if it could not be read.
    fn keep(&mut self, place: Place, pages: Option<Pages>) {
        let Some(pages) = pages else {
            return;
        };
        if let Ok(pages) = Arc::new(pages, GFP_KERNEL) {
            // As above.
            let _ = self.copies.push(Copy { place, pages }, GFP_KERNEL);
        }
    }

    fn count_down(&mut self, engine: &mut Engine) -> Turn {
        match self.stage {
            Stage::Announced => Turn::Waits,
            Stage::Reading(1) => self.have_read(engine),
            Stage::Reading(left) => {
                self.stage = Stage::Reading(left.saturating_sub(1));
                Turn::Waits
            }
            // What no member has by the new geometry, the previous one still has.
            Stage::Writing(1) if engine.mode == Mode::Move && self.good == 0 => Turn::Failed,
            Stage::Writing(1) => self.result(),
            Stage::Writing(left) => {
                self.stage = Stage::Writing(left.saturating_sub(1));
                Turn::Waits
            }
        }
    }

    /// Nothing of it is under way any more.
    fn result(&self) -> Turn {
        if self.spoiled {
            Turn::Failed
        } else {
            Turn::Done(self.found)
        }
    }

    /// All reads have ended: writes what is to be written.
    #[inline(never)]
    fn have_read(&mut self, engine: &mut Engine) -> Turn {
        let live = self.pass.live().clone();
        let Some(mirror) = live.personality().mirror() else {
            return Turn::Failed;
        };
        // Of those that were compared it is the first in the order of the layout, whichever came first.
        let all = mirror.located(Side::Previous, self.start, self.length());
        let mut read = all.filter_map(|copy| self.copy_of(copy.seat.place));
        let Some(source) = read.next() else {
            return Turn::Failed;
        };
        let (from, pages) = (source.place, source.pages.clone());
        let differs = |copy: Located<'_>| self.differs(copy.seat.place, &pages);
        let (start, length) = (self.start, self.length());
        let mode = engine.mode;
        let is_target = |copy: &Located<'_>| match mode {
            Mode::CopyToAll | Mode::Move => true,
            Mode::CopyToNew => match self.target {
                Some(place) => copy.seat.place == place,
                None => copy.seat.member.valid_below() < copy.at.saturating_add(length),
            },
            Mode::Compare => self.unread.contains(&copy.seat.place),
            Mode::Mend => differs(*copy),
        };
        let differing = mirror
            .targets(mode, start, length, from)
            .filter(|copy| differs(*copy));
        let differing = differing.fold(0_u64, |count, _| count.saturating_add(1));
        let (mut writes, mut unwritten) = (0, false);
        for copy in mirror.targets(mode, start, length, from).filter(is_target) {
            match engine.write(self, copy, pages.clone()) {
                Ok(()) => writes += 1,
                Err(_) => unwritten = true,
            }
        }
        self.spoiled |= unwritten;
        if mode.compares() {
            self.found = Sectors::new(length.get().saturating_mul(differing));
        }
        self.stage = Stage::Writing(writes);
        match (writes, mode) {
            // As above: all that were to have it may be failing just now, and one of them come to stay.
            (0, Mode::Move) => Turn::Failed,
            (0, _) => self.result(),
            _ => Turn::Waits,
        }
    }

    /// Whether what was read of a copy is not what the pages hold.
    fn differs(&self, place: Place, pages: &Pages) -> bool {
        let copy = self.copy_of(place);
        copy.is_some_and(|copy| !same(&copy.pages, pages)) || self.unread.contains(&place)
    }

    /// What was read of a copy.
    fn copy_of(&self, place: Place) -> Option<&Copy> {
        self.copies.iter().find(|copy| copy.place == place)
    }
}

fn same(one: &Pages, other: &Pages) -> bool {
    let mut pages = one.iter().zip(other.iter());
    pages.all(|(one, other)| one[..] == other[..])
}
