// SPDX-License-Identifier: GPL-2.0

//! What an array tells of itself to those who must not wait: `/proc/mdstat`, `GET_ARRAY_INFO` and `GET_DISK_INFO`.
//!
//! Whoever has the configuration locked may be waiting for a member, and a member may hang. So the configuration leaves
//! a [`Status`] behind: whenever it is unlocked after a change, and before superblocks are written with it locked. What
//! changes without the configuration, I/O and passes, is looked at when it is asked for.

use super::{config::Config, run::SyncSide, tracking::Tracking, Array, Configuration};
use crate::{bitmap::Backend, member::entry::Entry, sync::Syncing};
use kernel::{prelude::*, sync::Arc};
use md_core::{
    format::level::Level,
    state::{
        array::{Access, Array as State},
        clean::Dirtiness,
        member::{Member as MemberState, Seat},
        sync::Resync,
    },
    units::{MemberNumber, Sectors, Slot},
    words::{
        array::MetadataVersion,
        ioctl::{ArrayInfo, DiskInfo},
        mdstat::{BitmapView, Geometry, MemberView, Reads, Role, SlotHealth, SyncLine},
        name::ShortText,
    },
};

/// The longest name of a member: of a disk, and what a partition adds to it.
const MEMBER_NAME_LEN: usize = 40;

/// An array as it was when its configuration last changed.
pub(crate) struct Status {
    listing: Listing,
    /// What `GET_ARRAY_INFO` answers, but for clean or dirty.
    info: ArrayInfo,
    /// Whether the array has a shape to be asked for.
    has_shape: bool,
    /// The array at work.
    pub(crate) running: Option<Running>,
}

/// What `/proc/mdstat` lists.
#[derive(PartialEq)]
pub(crate) struct Listing {
    /// What metadata the array has.
    pub(crate) metadata: MetadataVersion,
    /// How many slots it has.
    pub(crate) raid_disks: u16,
    /// How many of them have no member in sync.
    pub(crate) degraded: u16,
    /// Its members, in the order they were added.
    pub(crate) members: KVec<Member>,
    /// What a running array presents.
    pub(crate) shape: Option<Shape>,
    resync: Resync,
}

/// What a running array presents.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    /// Its level.
    pub(crate) level: Level,
    /// What its level adds.
    pub(crate) geometry: Geometry,
    /// Its size.
    pub(crate) size: Sectors,
}

/// One member.
#[derive(PartialEq)]
pub(crate) struct Member {
    name: Option<ShortText<MEMBER_NAME_LEN>>,
    role: Role,
    reads: Reads,
    size: Sectors,
    /// The slot that it has current data of.
    in_sync: Option<Slot>,
    number: MemberNumber,
    info: DiskInfo,
}

/// What is asked of a running array without its configuration.
pub(crate) struct Running {
    tracking: Arc<Tracking>,
    bitmap: Option<Arc<dyn Backend>>,
    sync: Option<Arc<Syncing>>,
}

impl Status {
    /// What `config` says of its array.
    pub(super) fn of(config: &Config) -> Result<Self> {
        let mut members = KVec::with_capacity(config.members.len(), GFP_KERNEL)?;
        for entry in &config.members {
            members.push(Member::of(entry, config.disk_info_of(entry)), GFP_KERNEL)?;
        }
        let running = config.running.as_ref();
        Ok(Self {
            listing: Listing {
                metadata: config.metadata,
                raid_disks: config.raid_disks,
                degraded: config.degraded(),
                members,
                shape: running.map(|running| Shape {
                    level: running.level,
                    geometry: running.geometry,
                    size: running.size,
                }),
                resync: config.resync_due(),
            },
            info: config.array_info(),
            has_shape: config.has_shape(),
            running: running.map(|running| Running {
                tracking: running.tracking.clone(),
                bitmap: running.bitmap.clone(),
                sync: running.sync.as_ref().map(SyncSide::syncing),
            }),
        })
    }

    /// What is listed; `None` for an array with neither slots nor members, which is not worth a line.
    pub(crate) fn listing(&self) -> Option<&Listing> {
        (self.listing.raid_disks != 0 || !self.listing.members.is_empty()).then_some(&self.listing)
    }

    /// The state of the array as a whole; `None` when it does not run.
    pub(crate) fn state(&self) -> Option<State> {
        self.running
            .as_ref()
            .map(|running| running.tracking.state())
    }

    /// What `/proc/mdstat` counts of the bitmap.
    pub(crate) fn bitmap(&self) -> Option<BitmapView<'static>> {
        let stats = self.running.as_ref()?.bitmap.as_ref()?.stats()?;
        Some(BitmapView {
            used_pages: stats.used_pages,
            pages: stats.pages,
            page_bytes: u32::try_from(kernel::page::PAGE_SIZE).unwrap_or(u32::MAX),
            chunk_bytes: stats.chunk.to_bytes().unwrap_or(u64::MAX),
            file: None,
        })
    }

    /// What `/proc/mdstat` says of passes.
    pub(crate) fn sync_line(&self) -> SyncLine {
        let sync = self
            .running
            .as_ref()
            .and_then(|running| running.sync.as_ref());
        sync.map_or(SyncLine::Nothing, |sync| sync.line(self.listing.resync))
    }

    /// The answer to `GET_ARRAY_INFO`. `ENODEV` when there is no shape to tell of.
    pub(crate) fn array_info(&self) -> Result<ArrayInfo> {
        if !self.has_shape {
            return Err(ENODEV);
        }
        let mut info = self.info;
        info.state &= !ArrayInfo::STATE_CLEAN;
        if self.state().is_some_and(is_clean) {
            info.state |= ArrayInfo::STATE_CLEAN;
        }
        Ok(info)
    }

    /// The answer to `GET_DISK_INFO` for the member of a number. `ENODEV` when there is no shape to tell of.
    pub(crate) fn disk_info(&self, number: i32) -> Result<DiskInfo> {
        if !self.has_shape {
            return Err(ENODEV);
        }
        let wanted = u32::try_from(number).map(MemberNumber::new);
        let mut members = self.listing.members.iter();
        let found = members.find(|member| Ok(member.number) == wanted);
        Ok(found.map_or_else(|| DiskInfo::absent(number), |member| member.info))
    }
}

/// Whether a crash now would leave the array as it is.
pub(super) fn is_clean(state: State) -> bool {
    match state {
        State::Clear | State::Inactive => false,
        State::Running {
            access: Access::Writable(dirtiness),
            ..
        } => dirtiness == Dirtiness::Clean,
        State::Running { .. } => true,
    }
}

impl Listing {
    /// Whether each slot has a member with current data.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotHealth> + Clone + '_ {
        (0..self.raid_disks).map(Slot::new).map(|slot| {
            let mut members = self.members.iter();
            if members.any(|member| member.in_sync == Some(slot)) {
                SlotHealth::InSync
            } else {
                SlotHealth::Missing
            }
        })
    }
}

impl Member {
    fn of(entry: &Entry, info: DiskInfo) -> Self {
        Self {
            name: ShortText::new(entry.device().sysfs_name().to_bytes()).ok(),
            role: match entry.state {
                MemberState::Faulty { .. } => Role::Faulty,
                MemberState::Spare { .. } => Role::Spare,
                MemberState::Journal { .. } => Role::Journal,
                MemberState::InSync(place) | MemberState::Rebuilding { place, .. } => {
                    match place.seat {
                        Seat::Main => Role::InSlot,
                        Seat::Replacement => Role::Replacement,
                    }
                }
            },
            reads: if entry.write_mostly {
                Reads::WriteMostly
            } else {
                Reads::Normal
            },
            size: entry.data.size,
            in_sync: match entry.state {
                MemberState::InSync(place) => Some(place.slot),
                _ => None,
            },
            number: entry.number,
            info,
        }
    }

    /// How it is listed.
    pub(crate) fn view(&self) -> MemberView<'_> {
        MemberView {
            name: self.name.as_ref().map_or("?", ShortText::as_str),
            number: Some(self.number),
            role: self.role,
            reads: self.reads,
            size: self.size,
        }
    }
}

impl Array {
    /// What the array tells of itself. Waits for nobody, unless memory was short when this was last to be kept.
    pub(crate) fn status(&self) -> Result<Arc<Status>> {
        if let Some(status) = &*self.status.lock() {
            return Ok(status.clone());
        }
        let config = self.look()?;
        Ok(Arc::new(Status::of(&config)?, GFP_KERNEL)?)
    }
}

impl Configuration<'_> {
    /// Leaves behind what is to be told of the array, if that changed; pollers of `/proc/mdstat` look after that. May
    /// sleep.
    pub(super) fn publish(&mut self) {
        if !core::mem::take(&mut self.config.changed) {
            return;
        }
        let status = Status::of(&self.config);
        let status = status.and_then(|status| Ok(Arc::new(status, GFP_KERNEL)?));
        let mut place = self.array.status.lock();
        let before = core::mem::replace(&mut *place, status.ok());
        let is_news = match (&before, &*place) {
            (Some(before), Some(now)) => before.listing != now.listing,
            _ => true,
        };
        drop(place);
        drop(before);
        if is_news {
            self.array.registry.events.notify();
        }
    }
}
