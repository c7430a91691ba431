// SPDX-License-Identifier: GPL-2.0

//! Files about the shape and the size of an array.

use super::{line, writable};
use crate::{
    array::{
        config::{Config, Shape},
        reshape::ShapeChange,
        Array,
    },
    error::OrErrno,
};
use core::fmt;
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::sysfs::{Attribute, Page};
use md_core::{
    units::SECTOR_SHIFT,
    words::{
        array::{parse_layout, parse_raid_disks, ArraySize, ReshapeDirection},
        number::{parse_kib, parse_u64, Radix, Reshaping, SectorOrNone},
    },
};

type This<'a> = ArcBorrow<'a, Array>;

pub(super) static LAYOUT: Attribute<Array> = writable(c"layout", layout_show, layout_store);

fn layout_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    line(page, reshaping(&config, config.layout))
}

fn layout_store(this: This<'_>, text: &[u8]) -> Result {
    let layout = parse_layout(text).or_errno()?;
    let mut config = this.configure()?;
    if config.running.is_some() {
        return this.plan_shape(&mut config, ShapeChange::Layout(layout));
    }
    let changes_now = !config.is_reshaping();
    config.layout.set(layout, changes_now);
    config.layout_known = true;
    Ok(())
}

pub(super) static CHUNK_SIZE: Attribute<Array> =
    writable(c"chunk_size", chunk_size_show, chunk_size_store);

fn chunk_size_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    let bytes = |sectors| u64::from(sectors) << SECTOR_SHIFT;
    let chunk = Shape {
        now: bytes(config.chunk.now),
        new: bytes(config.chunk.new),
    };
    line(page, reshaping(&config, chunk))
}

/// Bytes. What the superblock, which counts sectors in 32 bits, cannot hold is refused.
fn chunk_size_store(this: This<'_>, text: &[u8]) -> Result {
    let bytes = parse_u64(text, Radix::Decimal).or_errno()?;
    let sectors = u32::try_from(bytes >> SECTOR_SHIFT).map_err(|_| EINVAL)?;
    let mut config = this.configure()?;
    if config.running.is_some() {
        return this.plan_shape(&mut config, ShapeChange::Chunk(sectors));
    }
    let changes_now = !config.is_reshaping();
    config.chunk.set(sectors, changes_now);
    Ok(())
}

impl<T: Copy> Shape<T> {
    /// Sets what the property is to be; what it is changes along while no reshape is under way.
    fn set(&mut self, value: T, changes_now: bool) {
        self.new = value;
        if changes_now {
            self.now = value;
        }
    }
}

/// A property as it is printed: with its old value while a reshape replaces it.
fn reshaping<T: fmt::Display + PartialEq>(config: &Config, shape: Shape<T>) -> Reshaping<T> {
    let differs = config.is_reshaping() && shape.now != shape.new;
    if differs {
        Reshaping {
            new: shape.new,
            old: Some(shape.now),
        }
    } else {
        Reshaping {
            new: shape.now,
            old: None,
        }
    }
}

pub(super) static RAID_DISKS: Attribute<Array> =
    writable(c"raid_disks", raid_disks_show, raid_disks_store);

/// Nothing while there are no slots.
fn raid_disks_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    if config.raid_disks == 0 {
        return Ok(());
    }
    let old = (config.is_reshaping() && config.delta_disks != 0).then(|| config.old_raid_disks());
    line(
        page,
        Reshaping {
            new: i32::from(config.raid_disks),
            old,
        },
    )
}

fn raid_disks_store(this: This<'_>, text: &[u8]) -> Result {
    let slots = parse_raid_disks(text).or_errno()?;
    let mut config = this.reconfigure()?;
    if config.running.is_some() {
        return this.set_raid_disks(&mut config, slots);
    }
    if config.is_reshaping() {
        let delta = i32::from(slots).saturating_sub(config.old_raid_disks());
        config.delta_disks = delta;
        config.reshape_direction = if delta < 0 {
            ReshapeDirection::Backwards
        } else {
            ReshapeDirection::Forwards
        };
    }
    config.raid_disks = slots;
    Ok(())
}

pub(super) static COMPONENT_SIZE: Attribute<Array> =
    writable(c"component_size", component_size_show, component_size_store);

fn component_size_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.component_size.to_kib())
}

/// KiB; zero is all there is for an array that runs. One that does not can be made smaller; `ENOSPC` for larger.
fn component_size_store(this: This<'_>, text: &[u8]) -> Result {
    let size = parse_kib(text).or_errno()?;
    let mut config = this.reconfigure()?;
    if config.running.is_some() {
        return this.set_member_size(&mut config, (!size.is_zero()).then_some(size));
    }
    if !config.component_size.is_zero() && config.component_size <= size {
        return Err(ENOSPC);
    }
    config.component_size = size;
    Ok(())
}

pub(super) static ARRAY_SIZE: Attribute<Array> =
    writable(c"array_size", array_size_show, array_size_store);

fn array_size_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.array_size)
}

fn array_size_store(this: This<'_>, text: &[u8]) -> Result {
    let size = ArraySize::parse(text).or_errno()?;
    let mut config = this.configure()?;
    if config.running.is_some() {
        this.resize(&mut config, size)?;
    }
    config.array_size = size;
    Ok(())
}

pub(super) static RESHAPE_POSITION: Attribute<Array> = writable(
    c"reshape_position",
    reshape_position_show,
    reshape_position_store,
);

fn reshape_position_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.reshape_position)
}

/// A sector; `none` can be read, but not written.
fn reshape_position_store(this: This<'_>, text: &[u8]) -> Result {
    let sector = parse_u64(text, Radix::Decimal).or_errno()?;
    let position = SectorOrNone::from_stored(md_core::units::Sector::new(sector));
    let mut config = this.configure()?;
    config.refuse_running()?;
    config.set_reshape_position(position);
    Ok(())
}

pub(super) static RESHAPE_DIRECTION: Attribute<Array> = writable(
    c"reshape_direction",
    reshape_direction_show,
    reshape_direction_store,
);

fn reshape_direction_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.reshape_direction)
}

/// `EBUSY` once the number of slots is to change: that says the direction.
fn reshape_direction_store(this: This<'_>, text: &[u8]) -> Result {
    let direction = ReshapeDirection::parse(text).or_errno()?;
    let mut config = this.configure()?;
    if config.reshape_direction == direction {
        return Ok(());
    }
    if config.delta_disks != 0 || config.moving().is_some() {
        return Err(EBUSY);
    }
    if config.is_v0() {
        return Err(EINVAL);
    }
    config.reshape_direction = direction;
    Ok(())
}
