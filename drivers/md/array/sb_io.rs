// SPDX-License-Identifier: GPL-2.0

//! Writing superblocks.
//!
//! An update is one pass over the members that work. A member whose superblock cannot be written has failed, which is
//! itself to be recorded: the pass is repeated until all that is written agrees with what is known.

use super::{
    config::Config,
    run::unsigned,
    tracking::{more_of, Tracking},
    Configuration,
};
use crate::{
    error::OrErrno,
    log::Text,
    member::{entry::Entry, superblock::Superblock, Health},
};
use kernel::prelude::*;
use kernel_ext::block::{bdev::Target, bio::Flags, sync_io::PagePart};
use md_core::{
    format::{
        ident::SbTime,
        sb0::{self, InternalBitmap, Numbering, Record, Seat, Standing},
        sb1::{
            self, ArrayState, Clustering, JournalUse, MemberState, Progress, ResyncPoint, Role,
            Update,
        },
        BlockSize,
    },
    policy::Fill,
    state::{
        array::{Access, Array as State},
        clean::{Before, Change, Dirtiness, Role as Placing, Settled, SuperUpdate},
        member::{Member as MemberKind, Record as Known, Seat as Chair},
        Health as ArrayHealth,
    },
    units::{Sector, Sectors, SECTOR_SHIFT},
    words::{
        array::{MetadataVersion, ReshapeDirection},
        number::SectorOrNone,
    },
};

/// Superblocks go to media before anything that relies on them.
const DURABLE: Flags = Flags::PREFLUSH
    .with(Flags::FUA)
    .with(Flags::META)
    .with(Flags::SYNC);

/// Whether all superblocks of a pass were written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    /// A member failed.
    NotAll,
}

impl Configuration<'_> {
    /// Brings the superblocks up to date, if they are not, and lets go on who waited for that. May sleep.
    pub(crate) fn record(&mut self) {
        let Some(tracking) = self
            .running
            .as_ref()
            .map(|running| running.tracking.clone())
        else {
            return;
        };
        loop {
            let (state, due) = tracking.take_due();
            let change = more_of(due, core::mem::replace(&mut self.due, Change::None));
            if change == Change::None {
                break;
            }
            if self.is_external() {
                // A program keeps the metadata. It reads the states of array and members, and says when it has
                // recorded them: `active` lets writers go, `-blocked` acknowledges a failure.
                continue;
            }
            if !state.is_writable() {
                // Nothing is written, so nobody relies on what the superblocks say.
                self.acknowledge_failures(&tracking);
                self.due = change;
                break;
            }
            // A member may hang in this: what it is about can be seen meanwhile.
            self.publish();
            let written = self.write_superblocks(state, change);
            if written == Written::NotAll && self.note_failures() {
                self.due = change;
                continue;
            }
            if written == Written::All {
                self.position_is_recorded();
            }
            self.acknowledge_bad_blocks();
            self.acknowledge_failures(&tracking);
            tracking.recorded(state);
        }
    }

    /// What was written of the members' bad blocks is recorded. With external metadata it is for the program to say so.
    fn acknowledge_bad_blocks(&self) {
        if self.is_external() {
            return;
        }
        for entry in &self.members {
            entry.acknowledge_bad_blocks(self.events);
        }
    }

    /// The failures there are have been recorded.
    fn acknowledge_failures(&mut self, tracking: &Tracking) {
        for entry in &mut self.members {
            if let MemberKind::Faulty { was, .. } = entry.state {
                entry.state = MemberKind::Faulty {
                    was,
                    record: Known::Done,
                };
                entry.member.set_health(Health::Failed);
            }
        }
        tracking.wake();
    }
}

fn is_clean(state: State) -> bool {
    matches!(
        state,
        State::Running {
            access: Access::Writable(Dirtiness::Clean),
            ..
        }
    )
}

impl Configuration<'_> {
    /// Writes one update to all members that are due for it.
    fn write_superblocks(&mut self, state: State, change: Change) -> Written {
        let native = matches!(
            self.metadata,
            MetadataVersion::V0 { .. } | MetadataVersion::V1 { .. }
        );
        if !native {
            return Written::All;
        }
        let update = SuperUpdate::decide(&Before {
            events: self.events,
            change,
            health: if self.degraded() == 0 {
                ArrayHealth::Complete
            } else {
                ArrayHealth::Degraded
            },
            settled: if is_clean(state) && self.resync_start == Sector::MAX {
                Settled::Yes
            } else {
                Settled::No
            },
            rollback: self.rollback,
        });
        let goes_back = update.events < self.events;
        self.events = update.events;
        self.rollback = update.rollback;
        self.utime = kernel_ext::time::real_seconds();
        let Ok(array) = self.array_state(state) else {
            return Written::All;
        };
        let mut written = Written::All;
        if !goes_back {
            written = self.write_bitmap_super();
        }
        for index in 0..self.members.len() {
            if self.is_due(index, &update) && self.write_superblock(index, &array).is_err() {
                written = Written::NotAll;
            }
        }
        if goes_back && self.write_bitmap_super() == Written::NotAll {
            written = Written::NotAll;
        }
        written
    }

    /// The superblock of the bitmap is at no time behind those of the members, which would make it out of date: it is
    /// written before them when events go on, and after them when they go back.
    fn write_bitmap_super(&mut self) -> Written {
        self.tell_bitmap();
        if let Some(bitmap) = self.backend().cloned() {
            self.aside(|| bitmap.update_super());
        }
        let failed = |entry: &Entry| {
            entry.member.health() == Health::Failing
                && !matches!(entry.state, MemberKind::Faulty { .. })
        };
        if self.members.iter().any(failed) {
            Written::NotAll
        } else {
            Written::All
        }
    }

    /// Writes the superblock of one member. A failure is the member's.
    fn write_superblock(&mut self, index: usize, array: &ArrayState) -> Result {
        let result = self.write_what_is_known(index, array);
        if let Some(entry) = self.members.get_mut(index) {
            match result {
                Ok(()) => {
                    entry.events = array.events;
                    if matches!(entry.state, MemberKind::InSync(_)) {
                        entry.in_sync_at = array.events;
                    }
                }
                Err(_) => {
                    pr_warn!("{}: superblock not written\n", Text(entry.device().name()));
                    entry.member.report_failure();
                }
            }
        }
        result
    }

    /// Writes log and superblock of one member. Both are out of the table of members meanwhile.
    fn write_what_is_known(&mut self, index: usize, array: &ArrayState) -> Result {
        let Some(entry) = self.members.get_mut(index) else {
            return Ok(());
        };
        let member = entry.member.clone();
        // First the log: until the superblock names it, nobody reads what is in it.
        if let Some(mut log) = entry.log.take() {
            let logged = self.aside(|| log.write(&member));
            if let Some(entry) = self.members.get_mut(index) {
                entry.log = Some(log);
            }
            logged?;
        }
        let Some(entry) = self.members.get_mut(index) else {
            return Ok(());
        };
        let mut superblock = core::mem::replace(&mut entry.superblock, Superblock::None);
        let written = match self.compose(index, &mut superblock, array) {
            Ok(Some(part)) => self.aside(|| superblock.write(member.device(), part, DURABLE)),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Some(entry) = self.members.get_mut(index) {
            entry.superblock = superblock;
        }
        written
    }
}

impl Config {
    /// Whether a member gets the update.
    fn is_due(&self, index: usize, update: &SuperUpdate) -> bool {
        let Some(entry) = self.members.get(index) else {
            return false;
        };
        let role = match entry.state {
            MemberKind::Faulty { .. } => return false,
            MemberKind::Spare { .. } => Placing::Spare,
            _ => Placing::Placed,
        };
        update.writes(entry.events, role)
    }

    /// What all superblocks say of the array.
    fn array_state(&self, state: State) -> Result<ArrayState> {
        let resync = match self.resync_start {
            _ if !is_clean(state) => ResyncPoint::From(Sector::ZERO),
            Sector::MAX => ResyncPoint::Done,
            at => ResyncPoint::From(at),
        };
        Ok(ArrayState {
            updated: SbTime::new(self.utime, 0).unwrap_or_default(),
            events: self.events,
            resync,
            level: self.level().ok_or(EINVAL)?,
            layout: self.layout_known.then_some(self.layout.now as u32),
            chunk: Sectors::new(u64::from(self.chunk.now)),
            member_size: self.component_size,
            raid_disks: self.raid_disks,
            block_size: BlockSize::new(self.logical_block_size),
            reshape: self.reshape_state(),
            journal: JournalUse::Without,
            clustering: Clustering::Single,
        })
    }

    /// The reshape that superblocks are to tell of.
    fn reshape_state(&self) -> Option<sb1::Reshape> {
        let SectorOrNone::At(position) = self.reshape_position else {
            return None;
        };
        Some(sb1::Reshape {
            position,
            delta_disks: self.delta_disks,
            new_level: self.level()?,
            new_layout: unsigned(self.layout.new),
            new_chunk: Sectors::new(u64::from(self.chunk.new)),
            direction: match self.reshape_direction {
                ReshapeDirection::Forwards => sb1::Direction::Forwards,
                ReshapeDirection::Backwards => sb1::Direction::Backwards,
            },
        })
    }

    /// Has the superblock of one member say what is known. What part of it is to be written; none when there is no
    /// superblock.
    fn compose(
        &self,
        index: usize,
        superblock: &mut Superblock,
        array: &ArrayState,
    ) -> Result<Option<PagePart>> {
        let entry = self.members.get(index).ok_or(EINVAL)?;
        let described = entry.description(superblock)?;
        let member = MemberState {
            crash_log: self.crash_log(described.crash_log),
            ..described
        };
        let part = match superblock {
            Superblock::None => return Ok(None),
            Superblock::V0(block) => {
                self.compose_v0(index, &mut block[..], array)?;
                PagePart::WHOLE
            }
            Superblock::V1(_, block) => {
                let block_size = BlockSize::new(entry.device().logical_block_size());
                let roles = self
                    .members
                    .iter()
                    .map(|entry| (entry.number, entry.role()));
                let update = Update {
                    array,
                    member: &member,
                };
                let max_dev = update.apply(&mut block[..], roles).or_errno()?;
                let bytes = sb1::written_bytes(max_dev, block_size.ok_or(EINVAL)?);
                let sectors = u32::try_from(bytes >> SECTOR_SHIFT)?;
                PagePart::new(0, sectors).ok_or(EINVAL)?
            }
        };
        Ok(Some(part))
    }

    fn compose_v0(&self, index: usize, block: &mut [u8], array: &ArrayState) -> Result {
        let record = Record {
            array,
            set_uuid: self.uuid,
            created: SbTime::new(self.ctime, 0).unwrap_or_default(),
            preferred_minor: self.preferred_minor,
            patch_version: 0,
            bitmap: match self.bitmap_at {
                Some(_) => InternalBitmap::Present,
                None => InternalBitmap::Absent,
            },
        };
        record
            .write(block, self.members.iter().map(Entry::seat_v0), index)
            .or_errno()
    }

    /// Version 0.90 numbers members by what they are: new numbers, after one has changed.
    pub(crate) fn renumber_v0(&mut self) {
        if !self.is_v0() {
            return;
        }
        let Ok(array) = self.array_state(State::Inactive) else {
            return;
        };
        let mut numbering = Numbering::new(&array);
        for entry in &mut self.members {
            entry.number = numbering.number(entry.seat_v0().standing);
        }
    }
}

impl Entry {
    /// What its superblock is to say of it.
    fn description(&self, superblock: &Superblock) -> Result<MemberState> {
        let whole = MemberState {
            superblock: Sector::ZERO,
            data: self.data,
            progress: Progress::Settled,
            replacement: matches!(
                self.state.place(),
                Some(place) if place.seat == Chair::Replacement
            ),
            write_mostly: self.write_mostly,
            failfast: self.failfast,
            corrected_reads: self.member.corrected(),
            crash_log: sb1::CrashLog::None,
            bad_blocks: sb1::BadBlocks::Unrecorded,
        };
        let Some(view) = superblock.view(self.device())? else {
            return Ok(whole);
        };
        let read = view.member();
        Ok(MemberState {
            progress: match self.state {
                MemberKind::Rebuilding { upto, .. } => {
                    let upto = Sectors::new(upto.get());
                    match self.fill {
                        Fill::ByBitmap => Progress::RecoveringByBitmap { upto },
                        Fill::Full => Progress::Recovering { upto },
                    }
                }
                _ => Progress::Settled,
            },
            superblock: read.superblock,
            crash_log: read.crash_log,
            bad_blocks: if self.member.has_bad_blocks() {
                sb1::BadBlocks::Recorded
            } else {
                sb1::BadBlocks::Unrecorded
            },
            ..whole
        })
    }

    /// What the table of roles says of it.
    fn role(&self) -> Role {
        match self.state {
            MemberKind::Faulty { .. } => Role::Faulty,
            MemberKind::InSync(place) | MemberKind::Rebuilding { place, .. } => {
                Role::Active(place.slot)
            }
            MemberKind::Journal { .. } => Role::Journal,
            MemberKind::Spare { .. } => Role::Spare,
        }
    }

    /// What a version 0.90 superblock says of it.
    fn seat_v0(&self) -> Seat {
        let number = self.device().number();
        Seat {
            device: sb0::DeviceNumber {
                major: number.major(),
                minor: number.minor(),
            },
            standing: match self.state {
                MemberKind::Faulty { .. } => Standing::Faulty,
                MemberKind::InSync(place) => Standing::InSync(place.slot),
                MemberKind::Rebuilding { place, .. } => Standing::Rebuilding(place.slot),
                MemberKind::Journal { .. } | MemberKind::Spare { .. } => Standing::Spare,
            },
            write_mostly: self.write_mostly,
            failfast: self.failfast,
        }
    }
}
