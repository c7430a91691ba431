// SPDX-License-Identifier: GPL-2.0

//! A running raid10 gets another geometry, and its data moves.
//!
//! What it is to become is collected first: the number of slots, the layout, the chunk, where the data of each
//! member is to begin. Each is looked at when it is said. [`Array::start_reshape`] makes the level anew, with both
//! geometries, while I/O is held back; then a pass moves the data ([`travel`](crate::sync)), and when it is done
//! the level is made anew with the new geometry alone. What is refused changes nothing.

mod plan;

pub(super) use plan::has_moved;
pub(crate) use plan::ShapeChange;

use super::{
    config::Config,
    run::{signed, unsigned},
    Array, Configuration,
};
use crate::{
    bitmap::Backend,
    member::{entry::Entry, Health, Member},
    personality::{
        mirror::{has_enough, moving::Moving},
        Personality, Reshaping, Seated, Shape,
    },
    sync::MOST_TRIES,
};
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{block::limits::LimitsUpdate, sysfs::Uevent};
use md_core::{
    format::level::Level,
    layout::{
        mirror::{Placement, Raid10},
        reshape::{Raid10Reshape, Raid10ReshapeError},
    },
    policy::Fill,
    state::{
        clean::Change,
        member::{Member as MemberState, Place},
        shape::resync_after,
        sync::{Reshape, Sync},
    },
    units::Sectors,
    words::number::SectorOrNone,
};
use plan::{is_at_start, refused};

/// What a reshape begins with.
struct Prepared {
    reshape: Raid10Reshape,
    /// Spares that get slots.
    spares: KVec<(usize, Place)>,
    /// The members that I/O goes to.
    on: KVec<Arc<Member>>,
    personality: Personality,
    /// The bitmap for the size that the array will have.
    bitmap: Option<Arc<dyn Backend>>,
}

impl Config {
    /// The reshape under way.
    pub(crate) fn moving(&self) -> Option<&Arc<Moving>> {
        self.running.as_ref()?.moving.as_ref()
    }

    /// The shape to start with. `EINVAL` for a reshape that cannot go on.
    pub(super) fn shape(&self, name: &str) -> Result<Shape> {
        let reshaping = match self.reshape_position {
            SectorOrNone::At(position) if self.level() == Some(Level::Raid10) => {
                let (previous, new) = self.geometries(name)?;
                let slack = self.slack(self.placed());
                let reshape = Raid10Reshape::under_way(previous, new, self.direction(), slack);
                let reshape = reshape.map_err(|why| refused(name, &why))?;
                Some(Reshaping { reshape, position })
            }
            _ => None,
        };
        Ok(Shape {
            level: self.level().ok_or(EINVAL)?,
            chunk: Sectors::new(u64::from(self.chunk.now)),
            layout: self.layout_known.then(|| unsigned(self.layout.now)),
            raid_disks: self.raid_disks,
            member_size: self.component_size,
            serialize: self.serialize,
            reshaping,
        })
    }

    /// A crash came when superblocks were to say for the first time that there is a reshape, and some do not: they
    /// do not know where their data was to go. Nothing has moved for good, so there is none.
    pub(super) fn settle_reshape(&mut self, name: &str) -> Result {
        let SectorOrNone::At(position) = self.reshape_position else {
            return Ok(());
        };
        if self.level() != Some(Level::Raid10) {
            return Ok(());
        }
        let (previous, new) = self.geometries(name)?;
        let (direction, slack) = (self.direction(), self.slack(self.placed()));
        let lacks = Raid10Reshape::under_way(previous, new, direction, slack)
            == Err(Raid10ReshapeError::SlackTooSmall);
        if !lacks || !is_at_start(previous, new, direction, position) {
            return Ok(());
        }
        pr_warn!("{name}: the reshape had not begun on all members, and is given up\n");
        self.raid_disks = previous.members().get();
        self.set_reshape_position(SectorOrNone::None);
        for entry in &mut self.members {
            entry.data.new_offset = entry.data.offset;
            if entry
                .slot()
                .is_some_and(|slot| !previous.members().has(slot))
            {
                entry.take_slot(None);
            }
        }
        Ok(())
    }

    /// Whether, and how, a reshape may be.
    pub(crate) fn reshape_env(&self) -> Reshape {
        let Some(running) = &self.running else {
            return Reshape::Unsupported;
        };
        if running.level != Level::Raid10 {
            return Reshape::Unsupported;
        }
        if running.moving.is_none() {
            return Reshape::Possible;
        }
        let in_sync = |slot| self.in_sync_of(slot).is_some();
        let enough = running
            .mirror
            .is_some_and(|layout| has_enough(&layout, running.moving.as_ref(), in_sync));
        if enough && self.reshape_tries < MOST_TRIES {
            Reshape::Ready
        } else {
            Reshape::Stuck
        }
    }
}

impl Configuration<'_> {
    /// Whoever waits for the reshape waits no more: the level that knows of it goes.
    pub(super) fn end_moving(&self) {
        if let (Some(moving), Some(running)) = (self.moving(), &self.running) {
            moving.end();
            running.tracking.wake();
        }
    }

    /// The next superblocks are to say where the reshape is; what is copied is durable before. Nothing while I/O is
    /// not held back: what was read by the previous geometry may be read still. May sleep.
    pub(crate) fn note_position(&mut self) {
        let Some(moving) = self.moving().cloned() else {
            return;
        };
        if self.live_mut().is_err() {
            return;
        }
        for entry in &self.members {
            let works = entry.member.health() == Health::Working;
            if entry.slot().is_some() && works && entry.device().flush_wait().is_err() {
                entry.member.report_failure();
            }
        }
        self.reshape_position = SectorOrNone::At(moving.position().progress());
        self.due = Change::Devices;
    }

    /// All superblocks say what the settings do.
    pub(super) fn position_is_recorded(&self) {
        if let (Some(moving), SectorOrNone::At(at)) = (self.moving(), self.reshape_position) {
            moving.set_recorded(at);
            if let Some(running) = &self.running {
                running.tracking.wake();
            }
        }
    }

    /// A pass of a reshape has ended before its end, though nobody said so. After some that did not get on it is
    /// not begun again by itself.
    pub(crate) fn note_halt(&mut self, before: Sectors, machine: Sync) {
        let interrupted = matches!(machine, Sync::Active(pass) if pass.was_interrupted());
        let Some(moving) = self.moving().filter(|_| interrupted) else {
            return;
        };
        let position = moving.position().progress();
        let tries = if moving.reshape().completed(position) > before {
            0
        } else {
            self.reshape_tries.saturating_add(1)
        };
        self.reshape_tries = tries;
        if tries == MOST_TRIES {
            let at = position.get();
            self.array.place.with_name(|name| {
                pr_crit!("{name}: the reshape does not get on at sector {at}\n");
            });
        }
    }

    /// All is copied: the new geometry is the array's.
    pub(crate) fn finish_reshape(&mut self) {
        let array = self.array;
        let end = array.complete_reshape(self);
        if end.is_err() {
            self.reshape_tries = self.reshape_tries.saturating_add(1);
        }
        array.place.with_name(|name| match end {
            Ok(()) => pr_info!("{name}: reshaped\n"),
            Err(error) => pr_warn!("{name}: the reshape cannot be completed: {error:?}\n"),
        });
    }
}

impl Array {
    /// Begins to reshape a running array to what the settings say. I/O must be held back.
    ///
    /// `EBUSY` while a pass is under way or with a bitmap that cannot follow, `EROFS` for a read-only array,
    /// `EINVAL` for a shape that cannot be, without the spares it takes, or where data does not move far enough.
    pub(crate) fn start_reshape(&self, config: &mut Configuration<'_>) -> Result {
        config.may_change_shape()?;
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        config.serve();
        let Prepared {
            reshape,
            spares,
            on,
            personality,
            bitmap,
        } = self.prepare_reshape(config, name)?;
        let (before, after) = (
            reshape.previous().array_size(),
            reshape.target().array_size(),
        );
        // What media say of the array is at no time about more than the bitmap on media covers.
        if let Some(bitmap) = bitmap.as_ref().filter(|_| after > before) {
            self.supersede_bitmap(config, bitmap)?;
        }
        self.put_level(config, personality)?;
        config.raid_disks = reshape.target().members().get();
        config.reshape_position = SectorOrNone::At(reshape.start().progress());
        config.reshape_tries = 0;
        for (at, place) in spares {
            if let Some(entry) = config.members.get_mut(at) {
                entry.state = MemberState::InSync(place);
                entry.fill = Fill::ByBitmap;
                entry.notify_state();
            }
            if let Some(entry) = config.members.get(at) {
                self.link_slot(entry);
            }
        }
        if let Some(live) = config.live_mut()? {
            live.set_members(on);
        }
        config.spread_bitmap();
        self.after_change(config);
        if let Some(bitmap) = bitmap.as_ref().filter(|_| after <= before) {
            self.supersede_bitmap(config, bitmap)?;
        }
        Ok(())
    }

    /// Makes all that a reshape begins with. Nothing has changed after it, but what the disk announces.
    fn prepare_reshape(&self, config: &mut Configuration<'_>, name: &str) -> Result<Prepared> {
        let (previous, new) = config.check_reshape(name)?;
        let added = previous.members().get()..new.members().get();
        let spares = config.spares_for(name, added)?;
        let chosen = spares.iter().filter_map(|(at, _)| config.members.get(*at));
        let slack = config.slack(Iterator::chain(config.placed(), chosen));
        let size = config.running.as_ref().map_or(Sectors::ZERO, |it| it.size);
        let reshape = Raid10Reshape::new(previous, new, config.direction(), slack, size);
        let reshape = reshape.map_err(|why| refused(name, &why))?;
        let bitmap = if new.array_size() == previous.array_size() {
            None
        } else {
            config.resized_bitmap(name, new.array_size())?
        };
        let shape = Shape {
            raid_disks: new.members().get(),
            reshaping: Some(Reshaping {
                reshape,
                position: reshape.start().progress(),
            }),
            ..config.shape(name)?
        };
        let mut members = config.seated_at(|place| place)?;
        let mut on = config.in_slots()?;
        for (at, place) in &spares {
            let entry = config.members.get(*at).ok_or(ENODEV)?;
            self.stack_limits(entry)?;
            members.push(entry.seated_in(*place), GFP_KERNEL)?;
            on.push(entry.member.clone(), GFP_KERNEL)?;
        }
        let personality = Personality::start(name, &shape, members)?;
        config.presented(personality.size()).ok_or(EINVAL)?;
        Ok(Prepared {
            reshape,
            spares,
            on,
            personality,
            bitmap,
        })
    }

    /// Puts the level with the new geometry in the place of the one with both. I/O must be held back. On an error the
    /// array is as it was: all copied, and superblocks may say so.
    fn complete_reshape(&self, config: &mut Configuration<'_>) -> Result {
        let moving = config.moving().cloned().ok_or(EINVAL)?;
        // First all members say that all is copied: whoever does not know yet that the reshape has ended knows that.
        config.note_position();
        config.serve();
        let position = moving.position();
        let reshape = *moving.reshape();
        if reshape.completed(position.safe()) < reshape.common_size() {
            return Err(EIO);
        }
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let new = *reshape.target();
        let word = new.layout().word();
        let shape = Shape {
            chunk: new.chunk().sectors(),
            layout: Some(word),
            raid_disks: new.members().get(),
            reshaping: None,
            ..config.shape(name)?
        };
        let mut members = KVec::with_capacity(config.members.len(), GFP_KERNEL)?;
        let stays = |seated: &Seated| new.members().has(seated.place.slot);
        for mut seated in config
            .members
            .iter()
            .filter_map(Entry::seated)
            .filter(stays)
        {
            seated.offset = seated.new_offset;
            members.push(seated, GFP_KERNEL)?;
        }
        let personality = Personality::start(name, &shape, members)?;
        self.put_level(config, personality)?;
        self.unlink_slots(config);
        config.become_reshaped(&new);
        for entry in &config.members {
            self.link_slot(entry);
        }
        config.forget_absent();
        config.differ_in_new_space(reshape.common_size(), new.array_size());
        match config.in_slots() {
            Ok(on) => {
                if let Some(live) = config.live_mut()? {
                    live.set_members(on);
                }
            }
            Err(_) => pr_warn!("{name}: members that have left are flushed on\n"),
        }
        config.spread_bitmap();
        self.announce_reshaped(config)?;
        self.after_change(config);
        Ok(())
    }

    /// What the disk announces of its geometry changes.
    fn announce_reshaped(&self, config: &mut Configuration<'_>) -> Result {
        let live = config.live_mut()?.as_ref().ok_or(EINVAL)?;
        let personality = live.personality();
        let announced = self.place().with_disk(|disk| {
            let mut limits = LimitsUpdate::start(disk);
            personality.announce(&mut limits);
            limits.commit()
        });
        if !matches!(announced, Some(Ok(()))) {
            self.place().with_name(|name| {
                pr_warn!("{name}: the disk announces the limits of before\n");
            });
        }
        self.place()
            .with_directory(|directory| directory.uevent(Uevent::Change));
        Ok(())
    }
}

impl Configuration<'_> {
    /// The settings are those after a reshape. Members that have no slot any more are spares.
    fn become_reshaped(&mut self, new: &Raid10) {
        let word = signed(new.layout().word());
        let chunk = u32::try_from(new.chunk().sectors().get()).unwrap_or(u32::MAX);
        (self.layout.now, self.layout.new) = (word, word);
        (self.chunk.now, self.chunk.new) = (chunk, chunk);
        self.layout_known = true;
        self.set_reshape_position(SectorOrNone::None);
        self.component_size = new.member_size();
        for entry in &mut self.members {
            entry.data = entry.data.settled();
            if entry.slot().is_some_and(|slot| !new.members().has(slot)) {
                entry.state = match entry.state {
                    faulty @ MemberState::Faulty { .. } => faulty,
                    _ => MemberState::Spare { last: None },
                };
                entry.fill = Fill::Full;
                entry.notify_state();
            }
        }
    }

    /// Who was not here missed what has moved, of which the bitmap knows nothing. All superblocks of those that were
    /// have been written since.
    fn forget_absent(&self) {
        if let Some(bitmap) = self.backend() {
            bitmap.forget_absent();
        }
    }

    /// Nobody has made the space agree that the array has got. A bitmap that was read since the reshape began does
    /// not know that of it.
    fn differ_in_new_space(&mut self, before: Sectors, after: Sectors) {
        self.set_resync_start(resync_after(self.resync_start, before, after));
        let Some(bitmap) = self.backend().filter(|_| after > before) else {
            return;
        };
        let chunk = bitmap.chunk().get();
        let first = before.get().checked_div(chunk).unwrap_or(0);
        let last = bitmap.chunks().saturating_sub(1);
        if bitmap.mark_dirty(first, last).is_err() {
            pr_warn!("a bitmap does not take what is to be resynced\n");
        }
    }

    /// The bitmap is on the members there are now, and those that came have none of it.
    fn spread_bitmap(&mut self) {
        if self.tell_carriers().is_err() {
            pr_warn!("no memory to tell a bitmap of its members\n");
        }
        if let Some(bitmap) = self.backend() {
            bitmap.write_all();
        }
    }
}
