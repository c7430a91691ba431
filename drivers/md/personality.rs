// SPDX-License-Identifier: GPL-2.0

//! The RAID levels at work. What is particular to one is in its own file; which one serves a level is said once, in
//! [`Personality::start`].

mod linear;
mod raid0;
mod single;

pub(crate) use raid0::DEFAULT_LAYOUT;

use crate::{array::live::Live, error::not_supported, member::Member};
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
    units::{Sector, Sectors},
    words::mdstat::Geometry,
};
use raid0::Raid0;

/// The levels that are implemented.
pub(crate) const LEVELS: &[Level] = &[Level::Linear, Level::Raid0];

/// A member in its slot, as a level starts with it.
pub(crate) struct Seated {
    /// The device.
    pub(crate) member: Arc<Member>,
    /// Where its data begins.
    pub(crate) offset: Sector,
    /// How much room it has for data.
    pub(crate) size: Sectors,
}

/// What the configuration says of the array to be started.
pub(crate) struct Shape {
    /// The level.
    pub(crate) level: Level,
    /// The chunk; zero for none.
    pub(crate) chunk: Sectors,
    /// The layout word, if the superblock has one.
    pub(crate) layout: Option<u32>,
}

/// The largest logical block, in bytes: superblocks and bitmaps are handled by the page.
const LOGICAL_BLOCK_MAX: u32 = 4096;

/// One level at work in one array.
pub(crate) trait AtWork: Send + Sync {
    /// Serves a read, a write, a discard or the like: it ends when the members have done their part. May sleep.
    fn submit(&self, live: &Entered<Live>, bio: Bio);

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
}

impl Personality {
    /// Starts a level on the members of all its slots, in slot order; `None` for a slot without a member.
    ///
    /// `EINVAL` for a shape the level cannot have or a member it cannot do without, `EOPNOTSUPP` for a level that is
    /// not implemented or a layout that must be told.
    pub(crate) fn start(array: &str, shape: &Shape, slots: KVec<Option<Seated>>) -> Result<Self> {
        match shape.level {
            Level::Linear => Ok(Self::Linear(Linear::start(shape, all(array, slots)?)?)),
            Level::Raid0 => Ok(Self::Raid0(Raid0::start(array, shape, all(array, slots)?)?)),
            Level::Raid1 | Level::Raid4 | Level::Raid5 | Level::Raid6 | Level::Raid10 => {
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
        }
    }

    /// The level.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Linear(_) => Level::Linear,
            Self::Raid0(_) => Level::Raid0,
        }
    }

    /// Serves a bio that has data or a range.
    #[inline]
    pub(crate) fn submit(&self, live: &Entered<Live>, bio: Bio) {
        match self {
            Self::Linear(linear) => linear.submit(live, bio),
            Self::Raid0(raid0) => raid0.submit(live, bio),
        }
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

/// The members of a level that cannot do without any.
fn all(array: &str, slots: KVec<Option<Seated>>) -> Result<KVec<Seated>> {
    let wanted = slots.len();
    let mut members = KVec::with_capacity(wanted, GFP_KERNEL)?;
    for seated in slots.into_iter().flatten() {
        members.push(seated, GFP_KERNEL)?;
    }
    if members.len() < wanted {
        pr_warn!(
            "{array}: only {} of {wanted} members are there\n",
            members.len()
        );
        return Err(EINVAL);
    }
    Ok(members)
}
