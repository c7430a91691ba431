// SPDX-License-Identifier: GPL-2.0

//! A running array gets another level, and no data moves.
//!
//! What may become what is said by [`md_core::state::takeover`]. The new level starts on the members in their new slots
//! while I/O is held back; with it come the thread, the passes and the tracking of clean and dirty that it needs. Only
//! when all of them are there do they take the places of the old, and do the settings change.

use super::{
    config::{LevelSetting, Shape as Property},
    grow::{moved, slots_end},
    run::{signed, unsigned},
    Array, Configuration,
};
use crate::{
    control::sysfs::redundancy::REDUNDANCY,
    error::OrErrno,
    log::Text,
    member::entry::Entry,
    personality::{Personality, Seated, Shape, LEVELS},
};
use kernel::prelude::*;
use kernel_ext::{alloc::page::PAGE_SECTORS, sysfs::Parting};
use md_core::{
    format::level::Level,
    layout::mirror::Placement,
    mirror::serial::Policy,
    state::{
        admit::Held,
        array::{Access, Array as State},
        clean::Dirtiness,
        member::{Member as MemberState, Place, Seat},
        takeover::{
            takeover, Bitmap, Chunk, LastSlot, LayoutNumber, Others, Slots, Source, Takeover,
        },
    },
    units::{Sector, Sectors, Slot},
    words::array::{MetadataVersion, SafeModeDelay},
};

/// Files that have to wait until no lock is held. Until they are gone the array neither starts nor stops, so the
/// directory they are in stays.
pub(super) struct LeavingFiles<'a> {
    array: &'a Array,
    files: Option<Parting<Array>>,
}

impl Drop for LeavingFiles<'_> {
    fn drop(&mut self) {
        drop(self.files.take());
        self.array.config.lock().files_leave = false;
    }
}

impl Array {
    /// Gives a running array another level. I/O must be held back.
    ///
    /// `EROFS` for an array that is not writable, `EBUSY` while a pass is under way or for one that has a bitmap,
    /// `EINVAL` for what is not the name of a level that is there, and where the levels or the members do not allow it.
    /// Then nothing has changed.
    pub(crate) fn take_over(&self, config: &mut Configuration<'_>, to: Option<Level>) -> Result {
        config.refuse_leaving_files()?;
        config.may_change_shape()?;
        let to = to.filter(|level| LEVELS.contains(level)).ok_or(EINVAL)?;
        config.serve();
        let made = takeover(to, &config.source()?).inspect_err(|refusal| {
            self.place().with_name(|name| {
                pr_warn!("{name}: stays what it is: {}\n", Text(refusal));
            });
        });
        let Some(made) = made.or_errno()? else {
            return Ok(());
        };
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let personality =
            Personality::start(name, &config.shape_of(&made), config.seated_for(&made)?)?;
        self.exchange(name, config, &made, personality)?;
        pr_info!("{name}: level {} now\n", made.level.number());
        self.announce_level();
        self.after_change(config);
        Ok(())
    }

    /// Puts a level in the place of the one at work.
    fn exchange(
        &self,
        name: &str,
        config: &mut Configuration<'_>,
        made: &Takeover,
        personality: Personality,
    ) -> Result {
        // Nothing is written: it is clean, and says so, before what keeps account of it goes.
        config.leave_clean();
        let had_passes = config
            .running
            .as_ref()
            .is_some_and(|old| old.sync.is_some());
        let has_passes = personality.mirror().is_some();
        let state = config.state_after(has_passes && !had_passes)?;
        let (live, running) = self.bring_up(name, config, personality, state)?;
        if let Err(error) = self.announce(config, live.personality()) {
            drop(live);
            // Its threads end when the locks are free.
            config.retired = Some(running);
            config.part_with_files(!had_passes && has_passes);
            return Err(error);
        }
        let size = running.size;
        let layout = running.mirror;
        drop(config.live_mut()?.replace(live));
        config.retired = config.running.replace(running);
        if let Some(old) = &config.retired {
            // Who waits for a range looks again.
            old.tracking.set_held(Held::NONE);
        }
        config.part_with_files(had_passes && !has_passes);
        self.unlink_slots(config);
        config.become_level(made);
        if let Some(layout) = layout {
            config.component_size = layout.member_size();
        }
        for entry in &config.members {
            self.link_slot(entry);
        }
        self.place()
            .with_disk(|disk| disk.set_capacity_and_notify(size.get()));
        Ok(())
    }

    /// Tells who polls `level`.
    fn announce_level(&self) {
        let file = self
            .place()
            .with_directory(|directory| directory.dirent(c"level"));
        if let Some(file) = file.flatten() {
            file.notify();
        }
    }
}

impl Configuration<'_> {
    /// The array as a takeover sees it. `EINVAL` when it does not run.
    fn source(&mut self) -> Result<Source> {
        let zones = self
            .live_mut()?
            .as_ref()
            .ok_or(EINVAL)?
            .personality()
            .zones();
        let running = self.running.as_ref().ok_or(EINVAL)?;
        let last = self.raid_disks.checked_sub(1).ok_or(EINVAL)?;
        let others = |entry: &Entry| {
            !matches!(
                entry.state,
                MemberState::InSync(Place {
                    seat: Seat::Main,
                    ..
                })
            )
        };
        Ok(Source {
            level: running.level,
            layout: LayoutNumber(unsigned(self.layout.now)),
            slots: Slots(self.raid_disks),
            missing: Slots(self.degraded()),
            last_slot: if self.is_occupied(Slot::new(last)) {
                LastSlot::Taken
            } else {
                LastSlot::Empty
            },
            others: if self.members.iter().any(others) {
                Others::Some
            } else {
                Others::None
            },
            bitmap: if self.bitmap_at.is_some() {
                Bitmap::Some
            } else {
                Bitmap::None
            },
            zones,
            size: running.offered,
            chunk_min: Sectors::new(u64::from(PAGE_SECTORS)),
            slots_end: Slots(slots_end(self.metadata)),
        })
    }

    fn shape_of(&self, made: &Takeover) -> Shape {
        Shape {
            level: made.level,
            chunk: Sectors::new(u64::from(self.chunk_of(made))),
            layout: Some(made.layout.0),
            raid_disks: made.slots.0,
            member_size: made.member_size.unwrap_or(self.component_size),
            serialize: Policy::Behind,
            reshaping: None,
        }
    }

    /// In sectors.
    fn chunk_of(&self, made: &Takeover) -> u32 {
        match made.chunk {
            Chunk::Keep => self.chunk.now,
            Chunk::None => 0,
            Chunk::New(chunk) => u32::try_from(chunk.get()).unwrap_or(u32::MAX),
        }
    }

    /// The members in their new slots.
    fn seated_for(&self, made: &Takeover) -> Result<KVec<Seated>> {
        let mut members = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for mut seated in self.members.iter().filter_map(Entry::seated) {
            if let Some(slot) = made.slot_of(seated.place.slot) {
                seated.place.slot = slot;
                if let Some(room) = self.room_for(made) {
                    seated.size = seated.size.min(room);
                }
                members.push(seated, GFP_KERNEL)?;
            }
        }
        Ok(members)
    }

    /// How much room a member has at most for a level that uses all there is: what was used of it, if its superblock
    /// can say that.
    fn room_for(&self, made: &Takeover) -> Option<Sectors> {
        let uses_all = made.level == Level::Raid0;
        let can_say = !matches!(self.metadata, MetadataVersion::V0 { .. });
        made.member_size.filter(|_| uses_all && can_say)
    }

    /// The state with the new level, which begins clean. A program that keeps the metadata does not expect that an
    /// array that had no such thing becomes dirty: it is from the start, and stays so.
    fn state_after(&mut self, begins_tracking: bool) -> Result<State> {
        let running = self.running.as_ref().ok_or(EINVAL)?;
        let State::Running { failure, .. } = running.tracking.state() else {
            return Err(EINVAL);
        };
        let external = begins_tracking && self.is_external();
        let dirtiness = if external {
            self.safe_mode_delay = Some(SafeModeDelay::OFF);
            Dirtiness::Active
        } else {
            Dirtiness::Clean
        };
        Ok(State::running(Access::Writable(dirtiness), failure))
    }

    /// The settings are those of the new level. Members that have no slot any more become spares.
    fn become_level(&mut self, made: &Takeover) {
        let room = self.room_for(made);
        let layout = signed(made.layout.0);
        let chunk = self.chunk_of(made);
        self.level = LevelSetting::Level(made.level);
        self.new_level = made.level.number();
        self.layout = Property {
            now: layout,
            new: layout,
        };
        self.layout_known = true;
        self.serialize = Policy::Behind;
        self.chunk = Property {
            now: chunk,
            new: chunk,
        };
        self.raid_disks = made.slots.0;
        if let Some(size) = made.member_size {
            self.component_size = size;
        }
        for entry in &mut self.members {
            if let Some(place) = entry.state.place() {
                entry.state = match made.slot_of(place.slot) {
                    Some(slot) => moved(entry.state, slot),
                    None => MemberState::Spare { last: None },
                };
            }
            if let Some(room) = room.filter(|room| *room < entry.data.size) {
                entry.data = entry.data.with_size(room);
            }
        }
        if made.level == Level::Raid0 {
            // Nothing can differ any more.
            self.set_resync_start(Sector::MAX);
        }
        let resync_start = self.resync_start;
        self.set_resync_start(resync_start);
        let max = self.max_read_errors;
        self.set_max_read_errors(max);
    }

    /// The files of passes go once the locks are free, if the array has none any more.
    fn part_with_files(&mut self, are_to_go: bool) {
        if !are_to_go {
            return;
        }
        let array = self.array;
        let files = array
            .place()
            .with_directory(|directory| directory.part_with(&REDUNDANCY));
        self.files_leave = files.is_some();
        self.files = files.map(|files| LeavingFiles {
            array,
            files: Some(files),
        });
    }
}
