// SPDX-License-Identifier: GPL-2.0

//! Starting and stopping an array.

use super::{
    config::{Config, LevelSetting},
    live::Live,
    Array, Configuration,
};
use crate::{
    control::{params::START_RO, sysfs::bitmap::COMMON},
    log::Text,
    member::{entry::Entry, Member},
    personality::{Personality, Seated, Shape},
};
use kernel::{prelude::*, str::CString, sync::Arc};
use kernel_ext::{block::disk::ReadOnly, module::ModuleRef, sysfs::Uevent};
use md_core::{
    assemble::{elect, Candidate, CandidateIndex},
    format::sb1::{ArrayState, ResyncPoint},
    state::{
        array::{Array as State, Failure, StartAs},
        member::{Member as MemberState, Seat},
    },
    units::{Sector, Sectors, Slot},
    words::{
        array::{ArraySize, SafeModeDelay},
        number::SectorOrNone,
    },
};

/// How many corrected read errors fail a member, until told otherwise.
const MAX_READ_ERRORS: u32 = 20;

/// What a running array holds besides its [`Live`].
pub(crate) struct Running {
    /// What I/O it admits, and whether it is broken.
    pub(crate) state: State,
    /// The size it offers.
    pub(crate) size: Sectors,
    _module: ModuleRef,
}

impl Array {
    /// Starts the array on its members. May sleep.
    ///
    /// `EBUSY` when it runs, `EINVAL` without members or with ones that make no array, and what its level says.
    pub(crate) fn run(&self, config: &mut Configuration<'_>, start: StartAs) -> Result {
        if config.running.is_some() {
            return Err(EBUSY);
        }
        if config.members.is_empty() {
            return Err(EINVAL);
        }
        if config.raid_disks == 0 {
            self.assemble(config)?;
        }
        let start = if start == StartAs::Writable {
            self.preferred_start(config)
        } else {
            start
        };
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let shape = config.shape()?;
        let personality = Personality::start(name, &shape, config.seated()?)?;
        self.announce(config, &personality)?;
        self.go_live(
            config,
            personality,
            State::running(start.access(), Failure::Intact),
        )?;
        if start != StartAs::Writable {
            let read_only = start == StartAs::ReadOnly;
            self.place().set_read_only(if read_only {
                ReadOnly::Yes
            } else {
                ReadOnly::No
            });
        }
        Ok(())
    }

    /// As what an array starts that is to be writable: a read-only member, or `start_ro`, holds it back.
    fn preferred_start(&self, config: &Config) -> StartAs {
        if config
            .members
            .iter()
            .any(|entry| entry.device().is_read_only())
        {
            StartAs::ReadOnly
        } else if START_RO.get() != 0 {
            StartAs::ReadAuto
        } else {
            StartAs::Writable
        }
    }

    /// Decides from the members' superblocks what the array is, and removes those that do not belong to it.
    fn assemble(&self, config: &mut Configuration<'_>) -> Result {
        let mut candidates = config.candidates()?;
        let freshest = elect(&mut candidates, |CandidateIndex(index), number| {
            let entry = config.members.get(index)?;
            entry.view().ok()??.role_of(number)
        });
        let CandidateIndex(freshest) = freshest.map_err(|reason| {
            self.place()
                .with_name(|name| pr_warn!("{name}: {}\n", Text(reason)));
            EINVAL
        })?;
        let (state, created, uuid) = {
            let view = config
                .members
                .get(freshest)
                .ok_or(EINVAL)?
                .view()?
                .ok_or(EINVAL)?;
            let assembly = view.assembly();
            (assembly.array, view.created(), assembly.uuid)
        };
        config.adopt(&state);
        config.ctime = created;
        config.uuid = uuid;
        self.keep_only_chosen(config, &candidates)
    }

    /// Gives each member the place it was judged to have; those without go away.
    fn keep_only_chosen(&self, config: &mut Configuration<'_>, candidates: &[Candidate]) -> Result {
        let mut kept = KVec::with_capacity(config.members.len(), GFP_KERNEL)?;
        let members = core::mem::take(&mut config.members);
        for (mut entry, candidate) in members.into_iter().zip(candidates) {
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

    /// Sets what the disk announces of itself.
    fn announce(&self, config: &mut Configuration<'_>, personality: &Personality) -> Result {
        let block = self.place().with_disk(|disk| -> Result<u32> {
            let members = config
                .members
                .iter()
                .filter(|entry| entry.slot().is_some())
                .map(|entry| (&entry.member, entry.data.offset));
            let limits = personality.limits(disk.name(), members, config.logical_block_size)?;
            let block = limits.logical_block_size();
            limits.apply(disk)?;
            Ok(block)
        });
        let block = block.ok_or(ENODEV)??;
        // A new array records the block size that its data is written with.
        if config.metadata_has_block_size() && config.events.is_zero() {
            config.logical_block_size = block;
        }
        Ok(())
    }

    /// Lets I/O in.
    fn go_live(
        &self,
        config: &mut Configuration<'_>,
        personality: Personality,
        state: State,
    ) -> Result {
        let module = ModuleRef::get().ok_or(ENODEV)?;
        let offered = personality.size();
        let size = match config.array_size {
            ArraySize::Default => offered,
            ArraySize::Fixed(size) if size <= offered => size,
            ArraySize::Fixed(_) => return Err(EINVAL),
        };
        let live = Live::new(personality, config.in_slots()?, state)?;
        for entry in &config.members {
            // What was read from the device before may be older than what the array writes.
            entry.device().sync()?;
            entry.device().invalidate();
        }
        config.safe_mode_delay = Some(SafeModeDelay::DEFAULT);
        config.max_read_errors = MAX_READ_ERRORS;
        config.running = Some(Running {
            state,
            size,
            _module: module,
        });
        *self.live.suspend().value() = Some(live);
        self.place().with_directory(|directory| {
            if directory.add_group(&COMMON).is_ok() {
                directory.uevent(Uevent::Change);
            }
        });
        self.link_slots(config);
        self.place()
            .with_disk(|disk| disk.set_capacity_and_notify(size.get()));
        self.media_changed();
        self.place().with_disk(|disk| disk.notify_change());
        self.notify_state();
        self.registry.events.notify();
        Ok(())
    }

    /// Links `rdN` to the member of each slot.
    fn link_slots(&self, config: &Config) {
        for entry in &config.members {
            if let (Some(slot), Some(target)) = (entry.slot(), entry.directory()) {
                // Tools can do without the link.
                let _ = self.place().with_directory(|directory| {
                    let name = CString::try_from_fmt(fmt!("rd{}", slot.get()))?;
                    directory.add_link(target, &name)
                });
            }
        }
    }

    fn unlink_slots(&self, config: &Config) {
        for slot in config.members.iter().filter_map(Entry::slot) {
            self.place().with_directory(|directory| {
                if let Ok(name) = CString::try_from_fmt(fmt!("rd{}", slot.get())) {
                    directory.remove_link(&name);
                }
            });
        }
    }

    /// Stops a running array; members and settings stay. Nothing for one that does not run. May sleep.
    pub(crate) fn halt(&self, config: &mut Configuration<'_>) {
        if config.running.is_none() {
            return;
        }
        // Waits for all I/O: whoever holds the configuration must not be waited for by any.
        let live = self.live.suspend().value().take();
        drop(live);
        config.running = None;
        // Their functions take no lock of the array, so waiting for them here is safe.
        self.place()
            .with_directory(|directory| directory.remove_group(&COMMON));
        self.unlink_slots(config);
        self.place().with_disk(|disk| {
            disk.set_capacity_and_notify(0);
            disk.set_read_only(ReadOnly::No);
        });
        self.media_changed();
        self.notify_state();
        self.registry.events.notify();
    }

    /// Changes what I/O a running array admits.
    pub(crate) fn set_access(&self, config: &mut Configuration<'_>, state: State) {
        if let Some(running) = &mut config.running {
            running.state = state;
        }
        if let kernel_ext::sync::gated::Entry::Entered(live) = self.live.enter() {
            live.set_state(state);
        }
        let read_only = matches!(
            state,
            State::Running {
                access: md_core::state::array::Access::ReadOnly,
                ..
            }
        );
        self.place().set_read_only(if read_only {
            ReadOnly::Yes
        } else {
            ReadOnly::No
        });
        self.notify_state();
    }

    /// Presents another part of what the level offers. `E2BIG` for more than that.
    pub(crate) fn resize(&self, config: &mut Configuration<'_>, wanted: ArraySize) -> Result {
        let kernel_ext::sync::gated::Entry::Entered(live) = self.live.enter() else {
            return Err(EBUSY);
        };
        let offered = live.personality().size();
        drop(live);
        let size = match wanted {
            ArraySize::Default => offered,
            ArraySize::Fixed(size) if size <= offered => size,
            ArraySize::Fixed(_) => return Err(E2BIG),
        };
        if let Some(running) = &mut config.running {
            running.size = size;
        }
        self.place()
            .with_disk(|disk| disk.set_capacity_and_notify(size.get()));
        Ok(())
    }

    /// The first write reached an array that was read-only until then.
    pub(crate) fn reopen(&self) {
        let Ok(mut config) = self.configure() else {
            return;
        };
        self.set_access(
            &mut config,
            State::running(StartAs::Writable.access(), Failure::Intact),
        );
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
        self.layout.now = state.layout.map_or(0, signed);
        self.layout.new = self.layout.now;
        self.layout_known = state.layout.is_some();
        self.chunk.now = u32::try_from(state.chunk.get()).unwrap_or(u32::MAX);
        self.chunk.new = self.chunk.now;
        self.component_size = state.member_size;
        self.events = state.events;
        self.utime = state.updated.seconds();
        self.reshape_position = SectorOrNone::None;
        self.resync_start = match state.resync {
            ResyncPoint::Done => Sector::MAX,
            ResyncPoint::From(at) => at,
        };
        if let Some(block) = state.block_size {
            self.logical_block_size = block.bytes();
        }
    }

    /// The shape to start with.
    fn shape(&self) -> Result<Shape> {
        Ok(Shape {
            level: self.level().ok_or(EINVAL)?,
            chunk: Sectors::new(u64::from(self.chunk.now)),
            layout: self.layout_known.then(|| unsigned(self.layout.now)),
        })
    }

    /// The member in sync of each slot.
    fn seated(&self) -> Result<KVec<Option<Seated>>> {
        let mut slots = KVec::with_capacity(usize::from(self.raid_disks), GFP_KERNEL)?;
        for slot in 0..self.raid_disks {
            let seated = self.main_of(Slot::new(slot)).map(|entry| Seated {
                member: entry.member.clone(),
                offset: entry.data.offset,
                size: entry.data.size,
            });
            slots.push(seated, GFP_KERNEL)?;
        }
        Ok(slots)
    }

    /// The member in sync of a slot.
    fn main_of(&self, slot: Slot) -> Option<&Entry> {
        self.members.iter().find(|entry| {
            matches!(entry.state, MemberState::InSync(place)
                if place.slot == slot && place.seat == Seat::Main)
        })
    }

    /// The members that have a slot, for I/O that all of them get.
    fn in_slots(&self) -> Result<KVec<Arc<Member>>> {
        let mut members = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for entry in self.members.iter().filter(|entry| entry.slot().is_some()) {
            members.push(entry.member.clone(), GFP_KERNEL)?;
        }
        Ok(members)
    }
}

/// The number that user space sees for a layout word.
fn signed(word: u32) -> i32 {
    i32::from_ne_bytes(word.to_ne_bytes())
}

/// The layout word of the number that user space sees.
fn unsigned(number: i32) -> u32 {
    u32::from_ne_bytes(number.to_ne_bytes())
}
