// SPDX-License-Identifier: GPL-2.0

//! An array's write-intent bitmap: made when the array starts or an administrator asks for one, told of what it depends
//! on, gone with the array.
//!
//! The bitmap is reached by I/O through the running array, by the configuration through [`Running`](super::run), and by
//! the files that show it through [`BitmapSlot`], which takes no lock that anybody holds for long: so the files may be
//! removed with the configuration locked.

use super::{config::Config, Array, Configuration};
use crate::{
    bitmap::{self, Backend, Carrier, Setting},
    member::{entry::Entry, Health as MemberHealth},
    personality::{mirror::Mirror, Personality},
};
use core::num::NonZeroI64;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Full},
        Arc, SpinLock,
    },
};
use kernel_ext::sysfs::{Kobject, Uevent};
use md_core::{
    bitmap::cell::Redundancy,
    format::{sb1::CrashLog, BlockSize},
    layout::mirror::Placement,
    state::{member::Member as MemberKind, Health},
    units::{Sector, Sectors, Slot},
    words::{
        array::MetadataVersion,
        bitmap::{BitmapKind, BitmapLocation, LocationRequest},
    },
};

/// Where the bitmap of an array with version 1 superblocks is that is added without saying where.
const BITMAP_AT_V1: i64 = 2;

/// Where files find the bitmap.
#[pin_data]
pub(crate) struct BitmapSlot {
    #[pin]
    bitmap: SpinLock<Option<Arc<dyn Backend>>>,
    /// `md/bitmap/` is there. It stays until the array leaves the system: who writes to `location` waits for locks
    /// that its removal would be waited for with.
    has_directory: Atomic<bool>,
}

impl BitmapSlot {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            bitmap <- new_spinlock!(None),
            has_directory: Atomic::new(false),
        })
    }

    /// The bitmap now.
    pub(crate) fn get(&self) -> Option<Arc<dyn Backend>> {
        self.bitmap.lock().clone()
    }

    fn set(&self, bitmap: Option<Arc<dyn Backend>>) {
        let before = core::mem::replace(&mut *self.bitmap.lock(), bitmap);
        // Not under the lock: it may be the last reference.
        drop(before);
    }

    /// Shows the files of every array that runs, those of a kind of bitmap, or none of that.
    fn show(&self, directory: &Kobject<Array>, kind: Option<BitmapKind>) {
        use crate::control::sysfs::{
            bitmap::{COMMON, INTERNAL},
            llbitmap::LLBITMAP,
        };
        let common = kind != Some(BitmapKind::Llbitmap);
        if common && !self.has_directory.xchg(true, Full) && directory.add_group(&COMMON).is_err() {
            pr_warn!("md/bitmap cannot be shown\n");
            self.has_directory.xchg(false, Full);
            return;
        }
        if kind == Some(BitmapKind::Bitmap) && directory.merge_group(&INTERNAL).is_err() {
            pr_warn!("the files of a bitmap cannot be shown\n");
        }
        if !common && directory.add_group(&LLBITMAP).is_err() {
            pr_warn!("md/llbitmap cannot be shown\n");
        }
        directory.uevent(Uevent::Change);
    }

    /// Takes away the files of a kind of bitmap.
    fn hide(&self, directory: &Kobject<Array>, kind: BitmapKind) {
        use crate::control::sysfs::{bitmap::INTERNAL, llbitmap::LLBITMAP};
        match kind {
            BitmapKind::None => {}
            BitmapKind::Bitmap => directory.unmerge_group(&INTERNAL),
            BitmapKind::Llbitmap => directory.remove_group(&LLBITMAP),
        }
    }
}

impl Array {
    /// Where files find the bitmap.
    pub(crate) fn bitmap(&self) -> &BitmapSlot {
        &self.bitmap
    }

    /// Makes the bitmap that the superblocks name ready for I/O. May sleep.
    ///
    /// `EINVAL` when there is none to be read, or the array was told to have none.
    pub(super) fn load_bitmap(
        &self,
        name: &str,
        config: &mut Config,
        personality: &Personality,
    ) -> Result<Option<Arc<dyn Backend>>> {
        let Some(offset) = config.bitmap_at else {
            return Ok(None);
        };
        if personality.mirror().is_none() {
            return Ok(None);
        }
        if config.bitmap == BitmapKind::None {
            pr_warn!("{name}: has a bitmap, and bitmap_type is none\n");
            return Err(EINVAL);
        }
        let moving = personality.mirror().and_then(Mirror::moving);
        // One that is reshaped has the bitmap that it will have then.
        let size = moving.map_or(personality.size(), |moving| {
            moving.reshape().target().array_size()
        });
        let bitmap = config.open_bitmap(name, offset, size, None)?;
        config.bitmap = bitmap.kind();
        Ok(Some(bitmap))
    }

    /// Shows the files that belong to the bitmap of an array that has just started, or got another.
    pub(super) fn show_bitmap(&self, bitmap: Option<&Arc<dyn Backend>>) {
        self.bitmap.set(bitmap.cloned());
        let kind = bitmap.map(|bitmap| bitmap.kind());
        self.place()
            .with_directory(|directory| self.bitmap.show(directory, kind));
    }

    /// The opposite: `location` stays.
    pub(super) fn hide_bitmap(&self) {
        let Some(bitmap) = self.bitmap.get() else {
            return;
        };
        self.bitmap.set(None);
        self.place()
            .with_directory(|directory| self.bitmap.hide(directory, bitmap.kind()));
    }

    /// Waits until the array's threads have looked what is due, which they do whenever something changed, so that
    /// nobody is told it was busy because of that. May sleep.
    pub(crate) fn await_no_request(&self) -> Result {
        let config = self.configure()?;
        let running = config.running.as_ref().filter(|_| config.is_writable());
        let sync = running.and_then(|running| running.sync.as_ref());
        let state = sync.map(|sync| sync.state.clone());
        drop(config);
        if let Some(state) = state {
            state.await_looked();
        }
        Ok(())
    }

    /// What `bitmap/location` is told: adds a classic bitmap to a running array, or removes the one it has.
    ///
    /// `EBUSY` for an array that has a bitmap or is busy with a pass, `EINVAL` for a place that holds none or a level
    /// that takes none, `EROFS` for a read-only array. On an error the array is as it was.
    pub(crate) fn move_bitmap(
        &self,
        config: &mut Configuration<'_>,
        request: LocationRequest,
    ) -> Result {
        config.refuse_busy()?;
        match request {
            LocationRequest::None if config.bitmap_at.is_none() => Ok(()),
            LocationRequest::None => self.remove_bitmap(config),
            LocationRequest::At(_) if config.bitmap_at.is_some() => Err(EBUSY),
            LocationRequest::At(offset) => self.add_bitmap(config, offset),
        }
    }

    /// Adds the classic bitmap that somebody has written at so many sectors from the superblocks. I/O is held back.
    pub(crate) fn add_bitmap(&self, config: &mut Configuration<'_>, offset: NonZeroI64) -> Result {
        if config.bitmap_at.is_some() {
            return Err(EEXIST);
        }
        if matches!(config.metadata, MetadataVersion::V0 { .. })
            && offset.get() != i64::from(md_core::format::sb0::BITMAP_OFFSET)
        {
            return Err(EINVAL);
        }
        let name = self.place().name().ok_or(ENODEV)?;
        let name = name.to_str().map_err(|_| EINVAL)?;
        let live = config.live_mut()?.as_ref().ok_or(ENODEV)?;
        if live.personality().mirror().is_none() {
            return Err(EINVAL);
        }
        let size = live.personality().size();
        let bitmap = config.open_bitmap(name, offset, size, Some(BitmapKind::Bitmap))?;
        config
            .live_mut()?
            .as_mut()
            .ok_or(ENODEV)?
            .set_bitmap(Some(bitmap.clone()));
        config.bitmap_at = Some(offset);
        config.bitmap = BitmapKind::Bitmap;
        if let Some(running) = &mut config.running {
            running.bitmap = Some(bitmap.clone());
        }
        // Nothing is written before the bitmap says so, and the superblocks that there is one.
        config.record_devices();
        self.show_bitmap(Some(&bitmap));
        Ok(())
    }

    /// A bitmap takes the place of the one it was made of, on media and at work. I/O is held back. `EIO` when no member
    /// takes it; then the old one stays at work.
    pub(super) fn supersede_bitmap(
        &self,
        config: &mut Configuration<'_>,
        bitmap: &Arc<dyn Backend>,
    ) -> Result {
        let running = config.running.as_ref().ok_or(EINVAL)?;
        let old = running.bitmap.as_ref().ok_or(EINVAL)?.clone();
        // Superblocks may have been written since it was made.
        bitmap.conditions().set_events(config.events);
        config.tell_health(&**bitmap);
        bitmap.supersede(&*old)?;
        let running = config.running.as_mut().ok_or(EINVAL)?;
        running.bitmap = Some(bitmap.clone());
        if let Some(live) = config.live_mut()? {
            live.set_bitmap(Some(bitmap.clone()));
        }
        self.bitmap.set(Some(bitmap.clone()));
        Ok(())
    }

    /// Adds a classic bitmap where the format of the superblocks has a place for one. I/O is held back.
    pub(super) fn add_default_bitmap(&self, config: &mut Configuration<'_>) -> Result {
        config.refuse_busy()?;
        let offset = match config.metadata {
            MetadataVersion::V0 { .. } => i64::from(md_core::format::sb0::BITMAP_OFFSET),
            _ => BITMAP_AT_V1,
        };
        self.add_bitmap(config, NonZeroI64::new(offset).ok_or(EINVAL)?)
    }

    /// Removes the bitmap. I/O is held back.
    pub(crate) fn remove_bitmap(&self, config: &mut Configuration<'_>) -> Result {
        if config.bitmap_at.is_none() {
            return Err(ENOENT);
        }
        config.settle_bitmap();
        self.hide_bitmap();
        if let Some(live) = config.live_mut()? {
            live.set_bitmap(None);
        }
        if let Some(running) = &mut config.running {
            running.bitmap = None;
        }
        config.bitmap_at = None;
        config.bitmap = BitmapKind::None;
        config.record_devices();
        self.show_bitmap(None);
        Ok(())
    }
}

impl Configuration<'_> {
    /// `EBUSY` when the array does not run, or a pass is under way; `EROFS` when it may not be written.
    pub(crate) fn refuse_busy(&self) -> Result {
        let running = self.running.as_ref().ok_or(EBUSY)?;
        if running
            .sync
            .as_ref()
            .is_some_and(|sync| sync.state.under_way().is_some())
        {
            return Err(EBUSY);
        }
        if self.is_reshaping() {
            return Err(EBUSY);
        }
        if self.is_writable() {
            Ok(())
        } else {
            Err(EROFS)
        }
    }

    /// Has the bitmap forget what need not be kept, while no I/O is under way. May sleep.
    pub(super) fn settle_bitmap(&mut self) {
        if !self.is_writable() {
            return;
        }
        if let Some(bitmap) = self.backend().cloned() {
            self.tell_bitmap();
            self.aside(|| bitmap.settle());
        }
    }
}

impl Config {
    fn is_writable(&self) -> bool {
        self.state().is_writable()
    }

    /// Reads the bitmap of a kind, or of the kind that media say, at so many sectors from the superblocks.
    fn open_bitmap(
        &self,
        name: &str,
        offset: NonZeroI64,
        data: Sectors,
        kind: Option<BitmapKind>,
    ) -> Result<Arc<dyn Backend>> {
        let kind = match kind {
            Some(kind) => kind,
            None => bitmap::kind_on_media(name, self.carriers(offset, BitmapKind::Bitmap)?)?,
        };
        let bitmap = bitmap::create(kind, self.bitmap_setting(name, offset, data, kind)?)?;
        self.tell_health(&*bitmap);
        Ok(bitmap)
    }

    /// What a bitmap of a kind is told that is so many sectors from the superblocks.
    fn bitmap_setting<'a>(
        &self,
        name: &'a str,
        offset: NonZeroI64,
        data: Sectors,
        kind: BitmapKind,
    ) -> Result<Setting<'a>> {
        Ok(Setting {
            name,
            uuid: self.uuid,
            offset: offset.get(),
            data,
            resync_start: self.resync_start,
            block: BlockSize::new(self.logical_block_size).unwrap_or(BlockSize::SECTOR),
            health: self.health(),
            events: self.events,
            redundancy: Redundancy::Mirror,
            carriers: self.carriers(offset, kind)?,
        })
    }

    /// The bitmap for another size of the array; `None` without one. Nothing is changed yet.
    ///
    /// `ENOSPC` when it does not fit.
    pub(super) fn resized_bitmap(
        &self,
        name: &str,
        data: Sectors,
    ) -> Result<Option<Arc<dyn Backend>>> {
        let running = self.running.as_ref().ok_or(EINVAL)?;
        let (Some(bitmap), Some(offset)) = (&running.bitmap, self.bitmap_at) else {
            return Ok(None);
        };
        let setting = self.bitmap_setting(name, offset, data, bitmap.kind())?;
        Ok(Some(bitmap.resized(setting)?))
    }

    /// The members that have a slot, as a bitmap of a kind sees them that is so many sectors from the superblocks.
    fn carriers(&self, offset: NonZeroI64, kind: BitmapKind) -> Result<KVec<Carrier>> {
        let mut carriers = KVec::with_capacity(self.members.len(), GFP_KERNEL)?;
        for entry in &self.members {
            if let Some(carrier) = entry.carrier(offset, kind)? {
                carriers.push(carrier, GFP_KERNEL)?;
            }
        }
        Ok(carriers)
    }

    /// Whether every slot has a member in sync.
    fn health(&self) -> Health {
        if self.degraded() == 0 {
            Health::Complete
        } else {
            Health::Degraded
        }
    }

    /// Whether every slot has a member that works.
    fn slots_health(&self) -> Health {
        let works = |slot: Slot| {
            let mut states = self.members.iter().map(|entry| entry.state);
            states.any(|state| {
                matches!(state, MemberKind::InSync(place) | MemberKind::Rebuilding { place, .. }
                    if place.slot == slot)
            })
        };
        if (0..self.raid_disks).map(Slot::new).all(works) {
            Health::Complete
        } else {
            Health::Degraded
        }
    }

    /// The bitmap at work.
    pub(super) fn backend(&self) -> Option<&Arc<dyn Backend>> {
        self.running.as_ref()?.bitmap.as_ref()
    }

    /// Tells the bitmap what it depends on.
    pub(super) fn tell_bitmap(&self) {
        if let Some(bitmap) = self.backend() {
            bitmap.conditions().set_events(self.events);
            self.tell_health(&**bitmap);
        }
    }

    /// Tells a bitmap which members there are.
    fn tell_health(&self, bitmap: &dyn Backend) {
        let conditions = bitmap.conditions();
        conditions.set_health(self.health(), self.slots_health());
    }

    /// Tells the bitmap which members it is on now, and which of them are in sync.
    pub(crate) fn tell_carriers(&self) -> Result {
        if let (Some(bitmap), Some(offset)) = (self.backend(), self.bitmap_at) {
            bitmap.set_carriers(self.carriers(offset, bitmap.kind())?);
            self.tell_bitmap();
        }
        Ok(())
    }

    /// What `bitmap/location` shows.
    pub(crate) fn bitmap_location(&self) -> BitmapLocation {
        self.bitmap_at
            .map_or(BitmapLocation::None, BitmapLocation::At)
    }

    /// What superblocks say of the bitmap, given what they said when they were read.
    pub(super) fn crash_log(&self, read: CrashLog) -> CrashLog {
        let offset = self
            .bitmap_at
            .and_then(|offset| core::num::NonZeroI32::try_from(offset).ok());
        match (offset, read) {
            (Some(offset), _) => CrashLog::Bitmap(md_core::format::sb1::BitmapPlace {
                offset,
                // Superblocks do not say it.
                start: Sector::ZERO,
            }),
            (None, CrashLog::Bitmap(_)) => CrashLog::None,
            (None, read) => read,
        }
    }
}

impl Entry {
    /// The member as a bitmap of a kind sees it that is so many sectors from its superblock; `None` when it has no slot
    /// or has failed.
    ///
    /// `EINVAL` when the place is not on the device, or somebody else's.
    fn carrier(&self, offset: NonZeroI64, kind: BitmapKind) -> Result<Option<Carrier>> {
        let in_sync = match self.state {
            MemberKind::InSync(_) => true,
            MemberKind::Rebuilding { .. } => false,
            _ => return Ok(None),
        };
        if self.member.health() == MemberHealth::Failed {
            return Ok(None);
        }
        let view = self.view()?.ok_or(EINVAL)?;
        let extents = view.extents();
        let start = view
            .member()
            .superblock
            .checked_offset(offset.get())
            .ok_or(EINVAL)?;
        let room = match kind {
            BitmapKind::Llbitmap => extents.room_for_lockless(start),
            BitmapKind::None | BitmapKind::Bitmap => extents.room_for_bitmap(start),
        };
        let room = room.ok_or(EINVAL)?;
        // Where data is to move to there is no room any more.
        let to_new = self.data.new_offset.distance_from(start);
        let room = to_new.map_or(room, |to_new| room.min(to_new));
        Ok(Some(Carrier {
            member: self.member.clone(),
            start,
            room,
            in_sync,
        }))
    }
}
