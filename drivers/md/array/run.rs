// SPDX-License-Identifier: GPL-2.0

//! Starting and stopping an array.

use super::{
    config::{Config, LevelSetting},
    live::Live,
    service::Service,
    tracking::{Kept, Tracking},
    Array, Configuration,
};
use crate::{
    bitmap::Backend,
    control::{params::START_RO, sysfs::redundancy::REDUNDANCY},
    log::Text,
    member::{entry::Entry, Member},
    personality::{
        mirror::{failures::Failures, moving::Moving, Layout},
        Personality, Seated,
    },
    sync::{thread::Syncer, Syncing},
};
use kernel::{prelude::*, str::CString, sync::Arc};
use kernel_ext::{
    block::disk::ReadOnly,
    module::ModuleRef,
    sync::kthread::{Thread, Waker},
};
use md_core::{
    format::level::Level,
    layout::mirror::Placement,
    mirror::serial::Policy,
    state::{
        admit::Held,
        array::{Access, Array as State, Failure, StartAs},
        member::Seat,
        sync::Event as SyncEvent,
        Metadata,
    },
    units::{Sector, Sectors},
    words::{
        array::{MetadataVersion, SafeModeDelay},
        level::level_name,
        mdstat::Geometry,
    },
};

/// How many corrected read errors fail a member, until told otherwise.
const MAX_READ_ERRORS: u32 = 20;

/// What a running array holds besides its [`Live`].
pub(crate) struct Running {
    /// What I/O it admits, whether it is clean, and whether it is broken.
    pub(crate) tracking: Arc<Tracking>,
    /// Its level.
    pub(crate) level: Level,
    /// What `/proc/mdstat` tells of its shape.
    pub(crate) geometry: Geometry,
    /// The size it presents.
    pub(crate) size: Sectors,
    /// The size its level offers.
    pub(super) offered: Sectors,
    /// Where the copies lie, for a mirror; in a reshape, where they will.
    pub(crate) mirror: Option<Layout>,
    /// The reshape under way.
    pub(crate) moving: Option<Arc<Moving>>,
    /// Requests that wait for the thread.
    pub(super) failures: Option<Arc<Failures>>,
    /// The write-intent bitmap, if it has one.
    pub(crate) bitmap: Option<Arc<dyn Backend>>,
    /// The passes of a level that has any.
    pub(crate) sync: Option<SyncSide>,
    /// The thread, for a level that can lose members. Dropping it waits for it: not with the configuration locked.
    pub(super) thread: Option<Thread<Service>>,
    _module: ModuleRef,
}

impl SyncSide {
    /// What everybody sees of the passes.
    pub(super) fn syncing(&self) -> Arc<Syncing> {
        self.state.clone()
    }
}

/// What runs the passes of an array.
pub(crate) struct SyncSide {
    /// What everybody sees of them.
    pub(crate) state: Arc<Syncing>,
    /// The thread that runs them. Dropping it waits for it: not with the configuration locked.
    pub(crate) thread: Thread<Syncer>,
}

impl Array {
    /// Starts the array on its members. May sleep.
    ///
    /// `EBUSY` when it runs, `EINVAL` without members or with ones that make no array, and what its level says.
    pub(crate) fn run(&self, config: &mut Configuration<'_>, start: StartAs) -> Result {
        if config.running.is_some() {
            return Err(EBUSY);
        }
        config.refuse_leaving_files()?;
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
        config.check_rooms(name)?;
        let shape = config.shape(name)?;
        let personality = Personality::start(name, &shape, config.seated()?)?;
        self.announce(config, &personality)?;
        let state = State::running(start.access(), Failure::Intact);
        self.go_live(name, config, personality, state)?;
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

    /// Sets what the disk announces of itself.
    pub(super) fn announce(
        &self,
        config: &mut Configuration<'_>,
        personality: &Personality,
    ) -> Result {
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
        name: &str,
        config: &mut Configuration<'_>,
        personality: Personality,
        state: State,
    ) -> Result {
        if personality.level() == Level::Raid1 && config.degraded() + 1 == config.raid_disks {
            // One copy alone agrees with itself.
            config.resync_start = Sector::MAX;
        }
        // It may be known by its name only.
        config.level = LevelSetting::Level(personality.level());
        config.new_level = personality.level().number();
        let bitmap = self.load_bitmap(name, config, &personality)?;
        let (mut live, mut running) = self.bring_up(name, config, personality, state)?;
        live.set_bitmap(bitmap.clone());
        running.bitmap = bitmap.clone();
        let size = running.size;
        if let Some(layout) = &running.mirror {
            if running.moving.is_none() {
                // Of the last chunk of a raid10 only whole ones are used.
                config.component_size = layout.member_size();
            }
        }
        for entry in &config.members {
            // What was read from the device before may be older than what the array writes. What somebody wrote to the
            // device and cannot be written is no reason to be without the array.
            if let Err(error) = entry.device().sync() {
                pr_warn!("{name}: {}: {error:?}\n", Text(entry.device().name()));
            }
            entry.device().invalidate();
        }
        config.safe_mode_delay = Some(SafeModeDelay::DEFAULT);
        running.tracking.set_resynced(config.resync_start);
        *config.live_mut()? = Some(live);
        config.running = Some(running);
        config.set_max_read_errors(MAX_READ_ERRORS);
        self.show_bitmap(bitmap.as_ref());
        for entry in &config.members {
            self.link_slot(entry);
        }
        self.place()
            .with_disk(|disk| disk.set_capacity_and_notify(size.get()));
        self.media_changed();
        self.place().with_disk(|disk| disk.notify_change());
        self.notify_state();
        self.registry.events.notify();
        // Nobody else would have the array's thread look at what it found on media.
        config.heed_bitmap();
        config.look_for_work();
        Ok(())
    }

    /// Makes what runs of an array with a level, on the members that have slots; nobody knows of it yet. A level that
    /// has passes gets their files.
    pub(super) fn bring_up(
        &self,
        name: &str,
        config: &Configuration<'_>,
        personality: Personality,
        state: State,
    ) -> Result<(Live, Running)> {
        let module = ModuleRef::get().ok_or(ENODEV)?;
        let offered = personality.size();
        let size = config.presented(offered).ok_or(EINVAL)?;
        let tracking = Tracking::new(state, kept(&personality), config.metadata_kind())?;
        let thread = config.start_thread(name, &personality)?;
        let mut running = Running {
            tracking: tracking.clone(),
            level: personality.level(),
            geometry: personality.geometry(),
            size,
            offered,
            mirror: personality.mirror().map(|mirror| *mirror.layout()),
            moving: personality
                .mirror()
                .and_then(|mirror| mirror.moving().cloned()),
            failures: personality.mirror().map(|mirror| mirror.failures().clone()),
            bitmap: None,
            sync: self.start_sync(name, config, &personality)?,
            thread: None,
            _module: module,
        };
        let waker: Option<Waker<Service>> = thread.as_ref().map(Thread::waker);
        running.thread = thread;
        let live = Live::new(personality, config.in_slots()?, tracking, waker)?;
        Ok((live, running))
    }

    /// Starts what runs the passes of a level that has any.
    fn start_sync(
        &self,
        name: &str,
        config: &Config,
        personality: &Personality,
    ) -> Result<Option<SyncSide>> {
        if personality.mirror().is_none() {
            return Ok(None);
        }
        let array = config.members.first().ok_or(EINVAL)?.member.array.clone();
        let state = self
            .place()
            .with_directory(|directory| {
                // They stay when the array is stopped and kept, so they may be there.
                if directory.dirent(c"sync_action").is_none() {
                    directory.add_group(&REDUNDANCY)?;
                }
                Syncing::new(directory)
            })
            .ok_or(ENODEV)??;
        let name = CString::try_from_fmt(fmt!("{name}_resync"))?;
        let thread = Syncer::start(&name, array, state.clone())?;
        Ok(Some(SyncSide { state, thread }))
    }

    /// Links `rdN` to a member that has a slot.
    pub(super) fn link_slot(&self, entry: &Entry) {
        let main = entry.state.place().filter(|place| place.seat == Seat::Main);
        if let (Some(place), Some(target)) = (main, entry.directory()) {
            // Tools can do without the link.
            let _ = self.place().with_directory(|directory| {
                let name = CString::try_from_fmt(fmt!("rd{}", place.slot.get()))?;
                directory.add_link(target, &name)
            });
        }
    }

    pub(super) fn unlink_slots(&self, config: &Config) {
        for slot in config.members.iter().filter_map(Entry::slot) {
            self.place().with_directory(|directory| {
                if let Ok(name) = CString::try_from_fmt(fmt!("rd{}", slot.get())) {
                    directory.remove_link(&name);
                }
            });
        }
    }

    /// Stops a running array; members and settings stay. Nothing for one that does not run. May sleep.
    ///
    /// `EBUSY` when I/O is not held back.
    pub(crate) fn halt(&self, config: &mut Configuration<'_>) -> Result {
        if config.running.is_none() {
            return Ok(());
        }
        config.live_mut()?;
        config.refuse_leaving_files()?;
        config.serve();
        config.keep_progress();
        // One that waits, for its turn or to go on, would do so for ever.
        config.interrupt_pass();
        config.settle_bitmap();
        config.leave_clean();
        config.end_moving();
        if let Some(running) = &config.running {
            // Who waits for a range finds that there is no array any more.
            running.tracking.set_held(Held::NONE);
        }
        drop(config.live_mut()?.take());
        config.retired = config.running.take();
        config.serialize = Policy::Behind;
        self.hide_bitmap();
        self.unlink_slots(config);
        self.place().with_disk(|disk| {
            disk.set_capacity_and_notify(0);
            disk.set_read_only(ReadOnly::No);
        });
        self.media_changed();
        self.notify_state();
        self.registry.events.notify();
        Ok(())
    }

    /// Changes what I/O a running array admits.
    pub(crate) fn set_access(&self, config: &mut Configuration<'_>, state: State) {
        config.serve();
        if !state.is_writable() {
            config.keep_progress();
            config.interrupt_pass();
            config.settle_bitmap();
            config.leave_clean();
        }
        if let Some(running) = &config.running {
            running.tracking.set(state);
        }
        config.serve();
        config.look_for_work();
        let read_only = matches!(
            state,
            State::Running {
                access: Access::ReadOnly,
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
}

impl Configuration<'_> {
    /// The array halts in the middle of a pass, with I/O held back: what is done need not be done again.
    fn keep_progress(&mut self) {
        let sync = self
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref());
        let progress =
            sync.and_then(|sync| Some((sync.state.under_way()?, sync.state.completed())));
        if let Some((action, done)) = progress {
            self.note_progress(action, done);
        }
    }

    /// A pass under way stops where it is.
    fn interrupt_pass(&self) {
        if let Some(sync) = self
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref())
        {
            // It is legal in every state.
            let _ = sync.state.step(SyncEvent::Interrupt);
        }
    }

    /// Marks the superblocks clean. `EBUSY` while writes are in flight. May sleep.
    pub(crate) fn mark_clean(&mut self) -> Result {
        if self
            .running
            .as_ref()
            .is_some_and(|running| !running.tracking.settle())
        {
            return Err(EBUSY);
        }
        self.serve();
        Ok(())
    }

    /// Marks the superblocks clean, if no write is in flight. May sleep.
    pub(super) fn leave_clean(&mut self) {
        if let Some(running) = &self.running {
            running.tracking.settle();
        }
        self.record();
    }
}

/// Whether the writes of a level make the array dirty.
fn kept(personality: &Personality) -> Kept {
    if personality.mirror().is_some() {
        Kept::Track
    } else {
        Kept::AlwaysClean
    }
}

impl Config {
    /// That members whose metadata a program keeps have room for what the array has on them: others may have what lies
    /// behind. `EINVAL` when one does not.
    fn check_rooms(&self, name: &str) -> Result {
        if !self.is_external() || !self.level().is_some_and(Level::is_redundant) {
            return Ok(());
        }
        let mut placed = self.members.iter().filter(|entry| entry.slot().is_some());
        let small = placed.find(|entry| entry.data.size < self.component_size);
        small.map_or(Ok(()), |entry| {
            pr_warn!("{name}: {} is too small\n", Text(entry.device().name()));
            Err(EINVAL)
        })
    }

    /// The members that have a place, and data of the array.
    fn seated(&self) -> Result<KVec<Seated>> {
        let mut members = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for seated in self.members.iter().filter_map(Entry::seated) {
            members.push(seated, GFP_KERNEL)?;
        }
        Ok(members)
    }

    /// Starts the thread of a level that needs one.
    fn start_thread(
        &self,
        name: &str,
        personality: &Personality,
    ) -> Result<Option<Thread<Service>>> {
        if personality.mirror().is_none() {
            return Ok(None);
        }
        let level = level_name(personality.level()).unwrap_or("md");
        let name = CString::try_from_fmt(fmt!("{name}_{level}"))?;
        let array = self.members.first().ok_or(EINVAL)?.member.array.clone();
        Service::start(&name, array).map(Some)
    }

    /// Who writes the superblocks.
    pub(crate) fn metadata_kind(&self) -> Metadata {
        match self.metadata {
            MetadataVersion::None => Metadata::None,
            MetadataVersion::External(_) => Metadata::External,
            MetadataVersion::V0 { .. } | MetadataVersion::V1 { .. } => Metadata::Native,
        }
    }

    /// The members that have a slot, for I/O that all of them get.
    pub(super) fn in_slots(&self) -> Result<KVec<Arc<Member>>> {
        let mut members = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for entry in self.members.iter().filter(|entry| entry.slot().is_some()) {
            members.push(entry.member.clone(), GFP_KERNEL)?;
        }
        Ok(members)
    }
}

/// The number that user space sees for a layout word.
pub(super) fn signed(word: u32) -> i32 {
    i32::from_ne_bytes(word.to_ne_bytes())
}

/// The layout word of the number that user space sees.
pub(super) fn unsigned(number: i32) -> u32 {
    u32::from_ne_bytes(number.to_ne_bytes())
}
