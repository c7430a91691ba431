// SPDX-License-Identifier: GPL-2.0

//! What the superblocks of the members make of an array that is to start.

use super::{
    config::{Config, LevelSetting},
    hotplug::QUIET,
    reshape::has_moved,
    run::signed,
    Array, Configuration,
};
use crate::{
    error::{Errno, OrErrno},
    log::Text,
};
use core::num::NonZeroI64;
use kernel::prelude::*;
use md_core::{
    assemble::{elect, startable, Candidate, CandidateIndex, NoStart},
    format::sb1::{ArrayState, CrashLog, Direction, MemberState, ResyncPoint},
    state::member::Event,
    units::{Sector, Sectors},
    words::{array::ReshapeDirection, number::SectorOrNone},
};

impl Array {
    /// Decides from the members' superblocks what the array is, and removes those that do not belong to it.
    pub(super) fn assemble(&self, config: &mut Configuration<'_>) -> Result {
        let mut candidates = config.candidates()?;
        let freshest = elect(&mut candidates, |CandidateIndex(index), number| {
            let entry = config.members.get(index)?;
            entry.view().ok()??.role_of(number)
        });
        let refuse = |reason: NoStart| {
            self.place()
                .with_name(|name| pr_warn!("{name}: {}\n", Text(reason)));
            reason.errno()
        };
        let CandidateIndex(freshest) = freshest.map_err(refuse)?;
        let (state, created, uuid, bitmap_at) = {
            let view = config
                .members
                .get(freshest)
                .ok_or(EINVAL)?
                .view()?
                .ok_or(EINVAL)?;
            let assembly = view.assembly();
            startable(&assembly.array).map_err(refuse)?;
            let bitmap_at = bitmap_of(&view.member());
            (assembly.array, view.created(), assembly.uuid, bitmap_at)
        };
        config.adopt(&state);
        config.bitmap_at = bitmap_at;
        config.ctime = created;
        config.uuid = uuid;
        self.keep_only_chosen(config, &candidates)?;
        // A replacement alone is what there is of its slot.
        while let Some(index) = config.orphaned_replacement() {
            let entry = config.members.get_mut(index).ok_or(EINVAL)?;
            let next = entry.state.step(Event::Promote, &QUIET).or_errno()?;
            entry.state = next.after(entry.state);
        }
        let name = self.place().name().ok_or(ENODEV)?;
        config.settle_reshape(name.to_str().map_err(|_| EINVAL)?)
    }

    /// Gives each member the place it was judged to have; those without go away.
    fn keep_only_chosen(&self, config: &mut Configuration<'_>, candidates: &[Candidate]) -> Result {
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let mut kept = KVec::with_capacity(config.members.len(), GFP_KERNEL)?;
        let members = core::mem::take(&mut config.members);
        for (mut entry, candidate) in members.into_iter().zip(candidates) {
            // It did not hear that the reshape has ended: its data is where it was to go.
            if !config.is_reshaping() && has_moved(name, &candidate.member.array) {
                entry.data = entry.data.settled();
            }
            if entry.adopt(candidate.verdict).is_some() {
                kept.push(entry, GFP_KERNEL)?;
                continue;
            }
            if let md_core::assemble::Verdict::Kicked(kick) = candidate.verdict {
                let device = entry.device();
                self.place().with_name(|name| {
                    pr_warn!(
                        "{name}: {} is left out: it {}\n",
                        Text(device.name()),
                        Text(kick)
                    );
                });
            }
            config.leave(entry)?;
        }
        config.members = kept;
        Ok(())
    }
}

impl Config {
    /// What the superblocks say of each member, to be judged.
    fn candidates(&self) -> Result<KVec<Candidate>> {
        let mut candidates = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for entry in &self.members {
            let view = entry.view()?.ok_or(EINVAL)?;
            candidates.push(Candidate::new(view.assembly()), GFP_KERNEL)?;
        }
        Ok(candidates)
    }

    /// Takes the settings that a superblock gives.
    fn adopt(&mut self, state: &ArrayState) {
        self.level = LevelSetting::Level(state.level);
        self.new_level = state.level.number();
        self.raid_disks = state.raid_disks;
        let chunk = |chunk: Sectors| u32::try_from(chunk.get()).unwrap_or(u32::MAX);
        self.layout.now = state.layout.map_or(0, signed);
        self.layout.new = self.layout.now;
        self.layout_known = state.layout.is_some();
        self.chunk.now = chunk(state.chunk);
        self.chunk.new = self.chunk.now;
        self.component_size = state.member_size;
        self.events = state.events;
        self.utime = state.updated.seconds();
        self.reshape_position = SectorOrNone::None;
        self.delta_disks = 0;
        self.reshape_direction = ReshapeDirection::Forwards;
        if let Some(reshape) = state.reshape {
            self.reshape_position = SectorOrNone::from_stored(reshape.position);
            self.delta_disks = reshape.delta_disks;
            self.layout.new = signed(reshape.new_layout);
            self.chunk.new = chunk(reshape.new_chunk);
            self.reshape_direction = match reshape.direction {
                Direction::Forwards => ReshapeDirection::Forwards,
                Direction::Backwards => ReshapeDirection::Backwards,
            };
        }
        self.resync_start = match state.resync {
            ResyncPoint::Done => Sector::MAX,
            ResyncPoint::From(at) => at,
        };
        if let Some(block) = state.block_size {
            self.logical_block_size = block.bytes();
        }
    }
}

/// Where the superblock of a member says that the bitmap is.
fn bitmap_of(member: &MemberState) -> Option<NonZeroI64> {
    match member.crash_log {
        CrashLog::Bitmap(place) => Some(place.offset.into()),
        CrashLog::None | CrashLog::Ppl(_) => None,
    }
}
