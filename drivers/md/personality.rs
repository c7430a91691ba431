// SPDX-License-Identifier: GPL-2.0

//! The RAID levels at work. What is particular to one is in its own file; which one serves a level is said once, in
//! [`Personality::start`].

mod linear;
pub(crate) mod mirror;
mod raid0;
mod single;

pub(crate) use raid0::DEFAULT_LAYOUT;

use crate::{
    array::{live::Live, tracking::Writing},
    error::not_supported,
    member::Member,
};
use core::ffi::CStr;
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    block::{
        bdev::Target,
        bio::Bio,
        limits::{Features, Limits},
    },
    sync::gated::Entered,
};
use linear::Linear;
use md_core::{
    format::level::Level,
    layout::reshape::Raid10Reshape,
    mirror::serial::Policy,
    state::{
        member::{Place, Seat},
        takeover::Zones,
    },
    units::{Sector, Sectors, Slot},
    words::mdstat::Geometry,
};
use mirror::{moving::Postponed, Mirror};
use raid0::Raid0;

/// The levels that are implemented.
pub(crate) const LEVELS: &[Level] = &[Level::Linear, Level::Raid0, Level::Raid1, Level::Raid10];

/// A member in its place, as a level starts with it.
pub(crate) struct Seated {
    /// The device.
    pub(crate) member: Arc<Member>,
    /// Where its data begins.
    pub(crate) offset: Sector,
    /// Where what a reshape has moved begins; it counts only in one.
    pub(crate) new_offset: Sector,
    /// How much room it has for data.
    pub(crate) size: Sectors,
    /// Which place it has.
    pub(crate) place: Place,
    /// Up to where its data is valid; [`Sector::MAX`] when it is in sync.
    pub(crate) valid_below: Sector,
}

/// What the configuration says of the array to be started.
pub(crate) struct Shape {
    /// The level.
    pub(crate) level: Level,
    /// The chunk; zero for none.
    pub(crate) chunk: Sectors,
    /// The layout word, if the superblock has one.
    pub(crate) layout: Option<u32>,
    /// The number of slots.
    pub(crate) raid_disks: u16,
    /// What is used of each member; zero for levels that use all.
    pub(crate) member_size: Sectors,
    /// Which writes of a raid1 wait for others.
    pub(crate) serialize: Policy,
    /// The reshape under way of a raid10. What else is said is from before it, but for the number of slots.
    pub(crate) reshaping: Option<Reshaping>,
}

/// A reshape of a raid10.
pub(crate) struct Reshaping {
    /// From what to what.
    pub(crate) reshape: Raid10Reshape,
    /// Where superblocks say that it is.
    pub(crate) position: Sector,
}

/// The largest logical block, in bytes: superblocks and bitmaps are handled by the page.
const LOGICAL_BLOCK_MAX: u32 = 4096;

/// One level at work in one array.
pub(crate) trait AtWork: Send + Sync {
    /// The size it offers.
    fn size(&self) -> Sectors;

    /// What the disk is to announce, from the limits stacked of the members.
    fn limits(&self, limits: &mut Limits);

    /// What `/proc/mdstat` tells of its shape.
    fn geometry(&self) -> Geometry;
}

/// The level of a running array.
pub(crate) enum Personality {
    Linear(Linear),
    Raid0(Raid0),
    Mirror(KBox<Mirror>),
}

impl Personality {
    /// Starts a level on the members that have a place, in no particular order.
    ///
    /// `EINVAL` for a shape the level cannot have or a member it cannot do without, `EOPNOTSUPP` for a level that is
    /// not implemented or a layout that must be told.
    pub(crate) fn start(array: &str, shape: &Shape, members: KVec<Seated>) -> Result<Self> {
        match shape.level {
            Level::Linear => {
                let members = all(array, shape.raid_disks, members)?;
                Ok(Self::Linear(Linear::start(shape, members)?))
            }
            Level::Raid0 => {
                let members = all(array, shape.raid_disks, members)?;
                Ok(Self::Raid0(Raid0::start(array, shape, members)?))
            }
            Level::Raid1 | Level::Raid10 => {
                let mirror = Mirror::start(array, shape, members)?;
                Ok(Self::Mirror(KBox::new(mirror, GFP_KERNEL)?))
            }
            Level::Raid4 | Level::Raid5 | Level::Raid6 => {
                pr_warn!(
                    "{array}: level {} is not implemented yet\n",
                    shape.level.number()
                );
                Err(not_supported())
            }
            Level::Unsupported(level) => {
                pr_warn!("{array}: there is no level {}\n", level.number());
                Err(EINVAL)
            }
        }
    }

    fn at_work(&self) -> &dyn AtWork {
        match self {
            Self::Linear(linear) => linear,
            Self::Raid0(raid0) => raid0,
            Self::Mirror(mirror) => &**mirror,
        }
    }

    /// The level.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Linear(_) => Level::Linear,
            Self::Raid0(_) => Level::Raid0,
            Self::Mirror(mirror) => mirror.level(),
        }
    }

    /// Whether all of a raid0 is on all members alike; other levels have no zones.
    pub(crate) fn zones(&self) -> Zones {
        match self {
            Self::Raid0(raid0) => raid0.zones(),
            Self::Linear(_) | Self::Mirror(_) => Zones::One,
        }
    }

    /// The mirror engine, for levels that are mirrors.
    #[inline]
    pub(crate) fn mirror(&self) -> Option<&Mirror> {
        match self {
            Self::Mirror(mirror) => Some(mirror),
            Self::Linear(_) | Self::Raid0(_) => None,
        }
    }

    /// The mirror engine, to be changed.
    pub(crate) fn mirror_mut(&mut self) -> Option<&mut Mirror> {
        match self {
            Self::Mirror(mirror) => Some(mirror),
            Self::Linear(_) | Self::Raid0(_) => None,
        }
    }

    /// Serves a read, a write, a discard or the like: it ends when the members have done their part. All but a read
    /// come with their count, to be kept until then. May sleep if the bio may wait. What comes back is to be
    /// submitted again, and has to wait before that.
    ///
    /// Each level has one function of its own below this, so that none pays for the registers of another.
    #[inline(always)]
    pub(crate) fn submit(
        live: Entered<Live>,
        bio: Bio,
        writing: Option<Writing>,
    ) -> Option<Postponed> {
        let ready = match live.personality() {
            Self::Linear(linear) => linear.prepare(&live, bio),
            Self::Raid0(raid0) => raid0.prepare(&live, bio),
            Self::Mirror(mirror) => return mirror.submit(&live, bio, writing),
        };
        if let Some(ready) = ready {
            ready.submit(live);
        }
        None
    }

    /// Has a disk that has its limits announce what it does now.
    pub(crate) fn announce(&self, limits: &mut Limits) {
        self.at_work().limits(limits);
    }

    /// The size it offers.
    pub(crate) fn size(&self) -> Sectors {
        self.at_work().size()
    }

    /// What `/proc/mdstat` tells of its shape.
    pub(crate) fn geometry(&self) -> Geometry {
        self.at_work().geometry()
    }

    /// The limits the disk is to announce, for members whose data begins at these offsets.
    ///
    /// `EINVAL` when the members' logical blocks are larger than a page, or their integrity profiles differ.
    pub(crate) fn limits<'a>(
        &self,
        name: &CStr,
        members: impl Iterator<Item = (&'a Arc<Member>, Sector)>,
        logical_block_size: u32,
    ) -> Result<Limits> {
        let mut limits = Limits::stacking();
        limits.add_features(Features::WRITE_CACHE | Features::FUA | Features::IO_STAT);
        self.at_work().limits(&mut limits);
        if logical_block_size != 0 {
            limits.set_logical_block_size(logical_block_size);
        }
        for (member, offset) in members {
            limits.stack(member.device(), offset.get(), name);
            limits.stack_integrity(member.device())?;
        }
        if limits.logical_block_size() > LOGICAL_BLOCK_MAX {
            return Err(EINVAL);
        }
        Ok(limits)
    }
}

/// The members of a level that cannot do without any, in slot order.
fn all(array: &str, slots: u16, mut members: KVec<Seated>) -> Result<KVec<Seated>> {
    let mut ordered = KVec::with_capacity(usize::from(slots), GFP_KERNEL)?;
    for slot in (0..slots).map(Slot::new) {
        let main = Place {
            slot,
            seat: Seat::Main,
        };
        let position = members
            .iter()
            .position(|seated| seated.place == main && seated.valid_below == Sector::MAX);
        if let Some(seated) = position.and_then(|at| members.remove(at).ok()) {
            ordered.push(seated, GFP_KERNEL)?;
        }
    }
    if ordered.len() < usize::from(slots) {
        let there = ordered.len();
        pr_warn!("{array}: only {there} of {slots} members are there\n");
        return Err(EINVAL);
    }
    Ok(ordered)
}
