// SPDX-License-Identifier: GPL-2.0

//! A raid10 is reshaped while it is read and written, and its power is cut at any moment: no block may be lost.
//!
//! The machine does what the driver does, in steps that come in any order: blocks are read by the previous geometry,
//! their copies are written by the new one, one after the other, several steps at once; positions are recorded; others
//! write and read meanwhile. Members have caches, of which a power cut keeps any part. [`Rules`] are what the driver
//! promises to keep; a machine that breaks any one of them is caught.

use super::{members, power_chunk};
use md_core::{
    layout::{
        mirror::{Placement, Raid10, Raid10Layout},
        reshape::{Direction, Geometry, Metadata, Next, Position, Raid10Reshape},
        MemberSector,
    },
    units::{Sector, SectorRange, Sectors},
};
use std::collections::{HashMap, VecDeque};

const PAGE: u64 = 8;
/// The data offset of the previous geometry.
const OLD_OFFSET: u64 = 1 << 20;
/// Steps under way at the same time.
const DEPTH: usize = 4;

/// A place on a member: slot, and sector of the device.
type Spot = (u16, u64);

/// What a place holds: a page of the array, and which write of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    page: u64,
    version: u32,
}

/// What is kept.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// A step that would overwrite what the recorded position protects waits for another record.
    record_first: bool,
    /// Caches are flushed before a position is recorded.
    flush: bool,
    /// Reads that began before have ended before a position is recorded.
    drain: bool,
    /// A write waits where it is copied and not recorded.
    writes_wait: bool,
    /// The position passes a step when all before it have ended, too.
    in_order: bool,
    /// Writes and steps keep out of each other's way.
    exclusion: bool,
}

const KEPT: Rules = Rules {
    record_first: true,
    flush: true,
    drain: true,
    writes_wait: true,
    in_order: true,
    exclusion: true,
};

/// xorshift, so that a failure is its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("small")
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }
}

/// Blocks on their way to the new geometry.
struct Step {
    range: SectorRange,
    progress: Sector,
    /// What is left to be written; `None` before it was read.
    left: Option<Vec<(Spot, Block)>>,
}

impl Step {
    fn is_done(&self) -> bool {
        self.left.as_ref().is_some_and(Vec::is_empty)
    }
}

/// A write of a page that is under way.
struct Write {
    block: Block,
    left: Vec<Spot>,
}

/// A read of a page that is under way.
struct Read {
    page: u64,
    spot: Spot,
    /// What had been acknowledged when it began.
    floor: u32,
}

struct Machine {
    reshape: Raid10Reshape,
    rules: Rules,
    random: Random,
    new_offset: u64,
    /// What a power cut leaves.
    media: HashMap<Spot, Block>,
    /// What it may leave besides, in the order it was written.
    cached: HashMap<Spot, Vec<Block>>,
    recorded: Sector,
    /// What I/O goes by.
    position: Position,
    /// The same, as if all steps had been done.
    issued: Position,
    steps: VecDeque<Step>,
    writes: Vec<Write>,
    reads: Vec<Read>,
    acknowledged: HashMap<u64, u32>,
    begun: HashMap<u64, u32>,
    wants_record: bool,
    cuts: u32,
}

impl Machine {
    fn new(reshape: Raid10Reshape, new_offset: u64, rules: Rules, seed: u64) -> Self {
        let mut this = Self {
            reshape,
            rules,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            new_offset,
            media: HashMap::new(),
            cached: HashMap::new(),
            recorded: reshape.start().progress(),
            position: reshape.start(),
            issued: reshape.start(),
            steps: VecDeque::new(),
            writes: Vec::new(),
            reads: Vec::new(),
            acknowledged: HashMap::new(),
            begun: HashMap::new(),
            wants_record: false,
            cuts: 0,
        };
        for page in this.pages() {
            for spot in this.spots(Geometry::Previous, page) {
                this.media.insert(spot, Block { page, version: 0 });
            }
        }
        this
    }

    fn pages(&self) -> impl Iterator<Item = u64> {
        (0..self.reshape.common_size().get()).step_by(PAGE as usize)
    }

    fn spots(&self, geometry: Geometry, page: u64) -> Vec<Spot> {
        let offset = match geometry {
            Geometry::Previous => OLD_OFFSET,
            Geometry::New => self.new_offset,
        };
        let copies = self.reshape.layout(geometry).copies(Sector::new(page));
        let spot = |copy: MemberSector| (copy.slot.get(), copy.sector.get() + offset);
        copies.expect("inside the array").map(spot).collect()
    }

    /// Where a page is at present.
    fn here(&self, page: u64) -> Vec<Spot> {
        let part = self
            .reshape
            .part(&self.position, Sector::new(page), Sectors::new(PAGE));
        assert_eq!(part.length, Sectors::new(PAGE), "positions are whole pages");
        self.spots(part.geometry, page)
    }

    fn seen(&self, spot: Spot) -> Option<Block> {
        let cached = self.cached.get(&spot).and_then(|blocks| blocks.last());
        cached.or_else(|| self.media.get(&spot)).copied()
    }

    fn version(map: &HashMap<u64, u32>, page: u64) -> u32 {
        map.get(&page).copied().unwrap_or(0)
    }

    fn some_page(&mut self) -> u64 {
        let count = self.pages().count();
        // Near the position most of the time, where it matters.
        let index = if self.random.one_in(4) {
            self.random.below(count)
        } else {
            let near = usize::try_from(self.position.progress().get() / PAGE).expect("small");
            (near + self.random.below(24))
                .saturating_sub(12)
                .min(count - 1)
        };
        index as u64 * PAGE
    }

    /// Does something; an error is what was lost.
    fn turn(&mut self) -> Result<(), String> {
        match self.random.below(10) {
            0 => self.issue()?,
            1 | 2 => self.begin_step()?,
            3..=5 => self.write_some(),
            6 => self.begin_write(),
            7 => self.go_on_writing(),
            8 if self.random.one_in(2) => self.begin_read(),
            8 => self.end_read()?,
            _ if self.wants_record || self.random.one_in(8) => self.record()?,
            _ => {}
        }
        self.retire();
        Ok(())
    }

    fn issue(&mut self) -> Result<(), String> {
        if self.wants_record || self.steps.len() >= DEPTH {
            return Ok(());
        }
        let Next::Step(step) = self.reshape.next(&self.issued) else {
            return Ok(());
        };
        if step.metadata == Metadata::WriteFirst && self.rules.record_first {
            if self.issued.safe() == self.issued.progress() {
                return Err(format!("it never gets on from {}", self.issued.safe()));
            }
            self.wants_record = true;
            return Ok(());
        }
        self.issued = self.issued.advanced(step.progress);
        self.steps.push_back(Step {
            range: step.range,
            progress: step.progress,
            left: None,
        });
        Ok(())
    }

    /// A step reads, when no write is where it is.
    fn begin_step(&mut self) -> Result<(), String> {
        let index = self.random.below(DEPTH);
        let Some(step) = self.steps.get(index).filter(|step| step.left.is_none()) else {
            return Ok(());
        };
        let range = step.range;
        let writes = |page| self.writes.iter().any(|write| write.block.page == page);
        let pages = (range.start().get()..range.end().get()).step_by(PAGE as usize);
        if self.rules.exclusion && pages.clone().any(writes) {
            return Ok(());
        }
        let mut left = Vec::new();
        for page in pages {
            let copies = self.spots(Geometry::Previous, page);
            let from = copies[self.random.below(copies.len())];
            let block = self.seen(from).filter(|block| block.page == page);
            let block = block.ok_or_else(|| format!("a step finds no page {page} at {from:?}"))?;
            let to = self.spots(Geometry::New, page);
            left.extend(to.into_iter().map(|spot| (spot, block)));
        }
        if let Some(step) = self.steps.get_mut(index) {
            step.left = Some(left);
        }
        Ok(())
    }

    /// A step writes some of its copies.
    fn write_some(&mut self) {
        let (index, count) = (self.random.below(DEPTH), 1 + self.random.below(16));
        for _ in 0..count {
            let some = self.random.below(usize::MAX);
            let left = self
                .steps
                .get_mut(index)
                .and_then(|step| step.left.as_mut());
            let Some(left) = left.filter(|left| !left.is_empty()) else {
                return;
            };
            let (spot, block) = left.swap_remove(some % left.len());
            self.cached.entry(spot).or_default().push(block);
        }
    }

    /// Steps that have ended let the position pass.
    fn retire(&mut self) {
        loop {
            let done = match self.rules.in_order {
                true => self.steps.front().filter(|step| step.is_done()).map(|_| 0),
                false => self.steps.iter().position(Step::is_done),
            };
            let Some(step) = done.and_then(|index| self.steps.remove(index)) else {
                return;
            };
            self.position = self.position.advanced(step.progress);
        }
    }

    fn begin_write(&mut self) {
        let page = self.some_page();
        let range = SectorRange::new(Sector::new(page), Sectors::new(PAGE)).expect("a page");
        let stepped = self.steps.iter().any(|step| step.range.overlaps(range));
        if self.rules.exclusion && stepped {
            return;
        }
        if self.writes.iter().any(|write| write.block.page == page) {
            return;
        }
        if self.rules.writes_wait && self.position.write_waits_for_metadata(range) {
            self.wants_record = true;
            return;
        }
        let version = Self::version(&self.begun, page) + 1;
        self.begun.insert(page, version);
        self.writes.push(Write {
            block: Block { page, version },
            left: self.here(page),
        });
    }

    /// A write reaches another copy, for good; with the last one it is acknowledged.
    fn go_on_writing(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let index = self.random.below(self.writes.len());
        let write = &mut self.writes[index];
        let spot = write.left.swap_remove(self.random.below(write.left.len()));
        let block = write.block;
        if write.left.is_empty() {
            self.acknowledged.insert(block.page, block.version);
            self.writes.swap_remove(index);
        }
        self.cached.remove(&spot);
        self.media.insert(spot, block);
    }

    fn begin_read(&mut self) {
        let page = self.some_page();
        let copies = self.here(page);
        let spot = copies[self.random.below(copies.len())];
        let floor = Self::version(&self.acknowledged, page);
        self.reads.push(Read { page, spot, floor });
    }

    fn end_read(&mut self) -> Result<(), String> {
        if self.reads.is_empty() {
            return Ok(());
        }
        let Read { page, spot, floor } =
            self.reads.swap_remove(self.random.below(self.reads.len()));
        match self.seen(spot) {
            Some(block) if block.page == page && block.version >= floor => Ok(()),
            other => Err(format!(
                "a read of page {page}, write {floor}, finds {other:?}"
            )),
        }
    }

    /// Records the position, when no step is under way.
    fn record(&mut self) -> Result<(), String> {
        self.wants_record = true;
        if !self.steps.is_empty() {
            return Ok(());
        }
        if self.rules.drain {
            while !self.reads.is_empty() {
                self.end_read()?;
            }
            while !self.writes.is_empty() {
                self.go_on_writing();
            }
        }
        if self.rules.flush {
            let cached = core::mem::take(&mut self.cached);
            for (spot, blocks) in cached {
                self.media.extend(blocks.last().map(|block| (spot, *block)));
            }
        }
        self.recorded = self.position.progress();
        self.position = self.position.recorded(self.recorded);
        self.issued = self.issued.recorded(self.recorded);
        self.wants_record = false;
        Ok(())
    }

    /// The power is cut, and comes back.
    fn cut(&mut self) -> Result<(), String> {
        self.cuts += 1;
        let mut cached: Vec<_> = core::mem::take(&mut self.cached).into_iter().collect();
        cached.sort_by_key(|(spot, _)| *spot);
        for (spot, blocks) in cached {
            let kept = self.random.below(blocks.len() + 1);
            self.media
                .extend(kept.checked_sub(1).map(|index| (spot, blocks[index])));
        }
        self.steps.clear();
        self.writes.clear();
        self.reads.clear();
        self.wants_record = false;
        self.position = self
            .reshape
            .resume(self.recorded)
            .expect("inside the array");
        self.issued = self.position;
        self.check("after a power cut")
    }

    /// That every copy of each page holds a write that is not older than the last that was acknowledged.
    fn check(&self, when: &str) -> Result<(), String> {
        for page in self.pages() {
            let versions =
                Self::version(&self.acknowledged, page)..=Self::version(&self.begun, page);
            for spot in self.here(page) {
                let there = self.seen(spot);
                let good = |block: Block| block.page == page && versions.contains(&block.version);
                if !there.is_some_and(good) {
                    return Err(format!(
                        "{when} at {}, recorded {}: page {page} is {there:?} at {spot:?}, not {versions:?}",
                        self.position.progress(),
                        self.recorded,
                    ));
                }
            }
        }
        Ok(())
    }

    /// The whole reshape, with so many power cuts.
    fn run(&mut self, cuts: u32) -> Result<(), String> {
        let size = self.reshape.common_size();
        while self.reshape.completed(self.position.safe()) < size {
            if self.cuts < cuts && self.random.one_in(150) {
                self.cut()?;
            }
            self.turn()?;
            let at_end = self.reshape.completed(self.position.progress()) == size;
            if at_end {
                self.record()?;
            }
        }
        self.check("at the end")
    }
}

/// Arrays before and after, and which way.
struct Case {
    words: (u32, u32),
    counts: (u16, u16),
    chunks: (u32, u32),
    direction: Direction,
}

const CASES: &[Case] = &[
    case((0x102, 0x102), (4, 5), (16, 16), Direction::Forward),
    case((0x102, 0x102), (3, 5), (8, 32), Direction::Forward),
    case((0x103, 0x10301), (4, 6), (16, 8), Direction::Forward),
    case((0x102, 0x10201), (4, 4), (16, 16), Direction::Forward),
    case((0x102, 0x102), (4, 4), (16, 64), Direction::Backward),
    case((0x10201, 0x102), (5, 4), (16, 16), Direction::Backward),
    case((0x102, 0x102), (6, 3), (32, 8), Direction::Backward),
    // Copies of one chunk are in two rows, and then with the least slack there is nothing to record for some steps
    // that reach past it.
    case((0x102, 0x102), (3, 3), (16, 32), Direction::Forward),
    case((0x103, 0x103), (4, 5), (16, 16), Direction::Forward),
    case((0x103, 0x103), (5, 4), (16, 16), Direction::Backward),
    case((0x102, 0x102), (3, 3), (32, 16), Direction::Backward),
];

const fn case(
    words: (u32, u32),
    counts: (u16, u16),
    chunks: (u32, u32),
    direction: Direction,
) -> Case {
    Case {
        words,
        counts,
        chunks,
        direction,
    }
}

fn machine(case: &Case, more_slack: u64, rules: Rules, seed: u64) -> Machine {
    let large = u64::from(case.chunks.0.max(case.chunks.1));
    let array = |word, chunk, count| {
        let layout = Raid10Layout::parse(word).expect("a layout word");
        let available = Sectors::new(8 * large);
        Raid10::new(layout, power_chunk(chunk), members(count), available).expect("an array")
    };
    let old = array(case.words.0, case.chunks.0, case.counts.0);
    let new = array(case.words.1, case.chunks.1, case.counts.1);
    let row = |array: &Raid10| array.chunk().sectors().get() * u64::from(array.layout().far());
    let slack = row(&old).max(row(&new)) + more_slack * PAGE;
    let new_offset = match case.direction {
        Direction::Forward => OLD_OFFSET - slack,
        Direction::Backward => OLD_OFFSET + slack,
    };
    let slack = Sectors::new(slack);
    let reshape = Raid10Reshape::new(old, new, case.direction, slack, Sectors::ZERO);
    Machine::new(reshape.expect("a reshape"), new_offset, rules, seed)
}

#[test]
fn no_block_is_lost_wherever_the_power_is_cut() {
    for (number, case) in CASES.iter().enumerate() {
        for seed in 1..=60 {
            let mut machine = machine(case, seed % 3 * 4, KEPT, seed);
            let cuts = u32::try_from(seed % 7).expect("small");
            let lost = machine.run(cuts);
            assert_eq!(lost, Ok(()), "case {number}, seed {seed}");
        }
    }
}

#[test]
fn every_rule_is_needed() {
    let broken = [
        Rules {
            record_first: false,
            ..KEPT
        },
        Rules {
            flush: false,
            ..KEPT
        },
        Rules {
            drain: false,
            ..KEPT
        },
        Rules {
            writes_wait: false,
            ..KEPT
        },
        Rules {
            in_order: false,
            ..KEPT
        },
        Rules {
            exclusion: false,
            ..KEPT
        },
    ];
    for rules in broken {
        let loses = |seed| {
            let case = &CASES[usize::try_from(seed).expect("small") % CASES.len()];
            machine(case, 0, rules, seed).run(4).is_err()
        };
        assert!((1..=400).any(loses), "nothing was lost with {rules:?}");
    }
}

/// What begins before the position and goes on behind it is served in two parts.
#[test]
fn a_request_across_the_position_is_in_two_parts() {
    let of = |direction, at: u64| {
        let case = case((0x102, 0x102), (4, 4), (16, 16), direction);
        let reshape = machine(&case, 0, KEPT, 1).reshape;
        let position = reshape.resume(Sector::new(at)).expect("a position");
        let part = |start, length| {
            let part = reshape.part(&position, Sector::new(start), Sectors::new(length));
            (part.geometry, part.length.get())
        };
        [part(at - 8, 16), part(at, 8), part(at - 8, 8)]
    };
    let (previous, new) = (Geometry::Previous, Geometry::New);
    assert_eq!(
        of(Direction::Forward, 64),
        [(new, 8), (previous, 8), (new, 8)]
    );
    assert_eq!(
        of(Direction::Backward, 64),
        [(previous, 8), (new, 8), (previous, 8)]
    );
}
