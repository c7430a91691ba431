// SPDX-License-Identifier: GPL-2.0

//! The requests of a pass over a mirror: read one copy and write the others, or read all and compare.
//!
//! The thread of the pass does all the thinking. What the devices do arrives in a list, from interrupts; a request
//! holds its place in the array ([`ResyncPass`]) from before its first read until after its last write.

use super::{barrier::ResyncPass, seat::Seat, Mirror};
use crate::{
    array::live::Live,
    member::{Health, Member},
};
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    alloc::page::{Pages, PAGE_SECTORS},
    block::{
        bdev::{BlockDevice, Target},
        bio::{Direction, Setup},
        bio_set::{BioSet, Complete, CompletedBio},
        parked::Parked,
    },
    sync::gated::Entered,
};
use md_core::{
    state::{member::Place, pass::Action},
    units::{Sector, Sectors},
    words::mdstat::Reads,
};

/// Sectors of a request, 64 KiB; mismatches are counted in these.
pub(crate) const WINDOW: u32 = 128;

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
        done.push(bio);
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
}

impl Mode {
    pub(crate) fn of(action: Action) -> Self {
        match action {
            Action::Resync => Self::CopyToAll,
            Action::Recover | Action::LazyRecover | Action::Reshape => Self::CopyToNew,
            Action::Check => Self::Compare,
            Action::Repair => Self::Mend,
        }
    }

    const fn compares(self) -> bool {
        matches!(self, Self::Compare | Self::Mend)
    }
}

/// Where requests are made.
pub(crate) struct Engine {
    bios: BioSet<Step>,
    pub(crate) done: Arc<Done>,
    pub(crate) mode: Mode,
    /// Sectors sent to members, by which others' I/O is told from ours.
    pub(crate) sent: u64,
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

/// A request.
pub(crate) struct Window {
    pass: ResyncPass,
    pub(crate) start: Sector,
    pub(crate) sectors: u32,
    index: usize,
    stage: Stage,
    copies: KVec<Copy>,
    /// What differed.
    found: Sectors,
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
    pub(crate) fn new(mode: Mode) -> Result<Self> {
        Ok(Self {
            bios: BioSet::new(64)?,
            done: Arc::new(Parked::new(), GFP_KERNEL)?,
            mode,
            sent: 0,
        })
    }

    fn step(&self, window: &Window, seat: &Seat, to: Direction) -> Step {
        Step {
            member: seat.member.clone(),
            place: seat.place,
            window: window.index,
            to,
            done: self.done.clone(),
            live: window.pass.live().clone(),
        }
    }

    fn read(&mut self, window: &Window, seat: &Seat) -> Result {
        let pages = usize::try_from(window.sectors.div_ceil(PAGE_SECTORS))?;
        let pages = Pages::zeroed(pages, GFP_KERNEL)?;
        let step = self.step(window, seat, Direction::Read);
        let mut bio = self
            .bios
            .with_pages(Direction::Read, pages, window.sectors, step)?;
        bio.set_sector(seat.on_device(window.start).get());
        self.sent += u64::from(window.sectors);
        bio.submit();
        Ok(())
    }

    fn write(&mut self, window: &Window, seat: &Seat, pages: Arc<Pages>) -> Result {
        let step = self.step(window, seat, Direction::Write);
        let mut bio = self.bios.write_shared(pages, window.sectors, step)?;
        bio.set_sector(seat.on_device(window.start).get());
        self.sent += u64::from(window.sectors);
        bio.submit();
        Ok(())
    }
}

impl Window {
    /// A request that waits for its turn.
    pub(crate) fn new(pass: ResyncPass, index: usize, start: Sector, sectors: u32) -> Self {
        Self {
            pass,
            start,
            sectors,
            index,
            stage: Stage::Announced,
            copies: KVec::new(),
            found: Sectors::ZERO,
            spoiled: false,
        }
    }

    /// The first sector behind it.
    pub(crate) fn end(&self) -> Sector {
        self.start
            .saturating_add(Sectors::new(u64::from(self.sectors)))
    }

    /// The place it holds.
    pub(crate) fn pass(&self) -> &ResyncPass {
        &self.pass
    }

    /// Whether it could begin now.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Announced) && self.pass.is_clear()
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

    /// Reads the first copy behind `after` that can be.
    fn read_next(&mut self, engine: &mut Engine, after: Option<Place>) -> Turn {
        let live = self.pass.live().clone();
        let Some(mirror) = live.personality().mirror() else {
            return Turn::Failed;
        };
        let mut seats = mirror.sources(self.end());
        let seat = match after {
            None => seats.next(),
            Some(place) => seats.skip_while(|seat| seat.place != place).nth(1),
        };
        let Some(seat) = seat else {
            return Turn::Failed;
        };
        match engine.read(self, seat) {
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
        for seat in mirror.sources(self.end()) {
            match engine.read(self, seat) {
                Ok(()) => reads += 1,
                Err(_) => self.spoiled = true,
            }
        }
        self.stage = Stage::Reading(reads);
        if reads == 0 {
            return Turn::Failed;
        }
        Turn::Waits
    }

    /// One of its reads or writes has ended.
    pub(crate) fn advance(&mut self, engine: &mut Engine, mut bio: CompletedBio<Step>) -> Turn {
        let status = bio.status();
        let pages = bio.take_pages();
        let step = bio.value();
        let (place, to) = (step.place, step.to);
        if !status.is_ok() && to == Direction::Write {
            step.member.report_failure();
            step.live.wake_thread();
        }
        drop(bio);
        match (to, status.is_ok()) {
            (Direction::Read, true) => self.keep(place, pages),
            (Direction::Read, false) if !engine.mode.compares() => {
                return self.read_next(engine, Some(place));
            }
            // What cannot be read cannot be compared.
            (Direction::Read, false) => self.spoiled = true,
            (Direction::Write, _) => {}
        }
        self.count_down(engine)
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
    fn have_read(&mut self, engine: &mut Engine) -> Turn {
        let live = self.pass.live().clone();
        let Some(mirror) = live.personality().mirror() else {
            return Turn::Failed;
        };
        let Some(source) = self.copies.first() else {
            return Turn::Failed;
        };
        let (from, pages) = (source.place, source.pages.clone());
        let differs = |seat: &Seat| self.differs(seat.place, &pages);
        let end = self.end();
        let mode = engine.mode;
        let is_target = |seat: &&Seat| match mode {
            Mode::CopyToAll => true,
            Mode::CopyToNew => seat.member.valid_below() < end,
            Mode::Compare => false,
            Mode::Mend => differs(seat),
        };
        let mismatch = mode.compares() && mirror.targets(from).any(differs);
        let (mut writes, mut unwritten) = (0, false);
        for seat in mirror.targets(from).filter(is_target) {
            match engine.write(self, seat, pages.clone()) {
                Ok(()) => writes += 1,
                Err(_) => unwritten = true,
            }
        }
        self.spoiled |= unwritten;
        if mismatch {
            self.found = Sectors::new(u64::from(WINDOW));
        }
        self.stage = Stage::Writing(writes);
        if writes == 0 {
            return self.result();
        }
        Turn::Waits
    }

    /// Whether what was read of a copy is not what the pages hold.
    fn differs(&self, place: Place, pages: &Pages) -> bool {
        let copy = self.copies.iter().find(|copy| copy.place == place);
        copy.is_some_and(|copy| !same(&copy.pages, pages))
    }
}

fn same(one: &Pages, other: &Pages) -> bool {
    let mut pages = one.iter().zip(other.iter());
    pages.all(|(one, other)| one[..] == other[..])
}

impl Mirror {
    /// The copies that a pass may read up to `end`, in order: those read like any other first.
    fn sources(&self, end: Sector) -> impl Iterator<Item = &Seat> {
        let readable = move |seat: &&Seat| self.is_readable(seat.place, end);
        let with = move |reads: Reads| {
            self.seats()
                .filter(readable)
                .filter(move |seat| seat.member.reads() == reads)
        };
        Iterator::chain(with(Reads::Normal), with(Reads::WriteMostly))
    }

    /// The other copies of what was read from one.
    fn targets(&self, from: Place) -> impl Iterator<Item = &Seat> {
        self.seats()
            .filter(move |seat| seat.place != from && seat.member.health() == Health::Working)
    }
}
