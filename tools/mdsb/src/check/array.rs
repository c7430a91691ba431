// SPDX-License-Identifier: GPL-2.0

//! What a superblock says that no array can be.

use md_core::{
    format::{
        level::Level,
        sb0::{DiskState, Sb0},
        sb1::{ArrayState, Reshape, Role, Sb1, Unplaced},
    },
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{Raid10, Raid10Layout},
        raid456::{ParityLayout, Raid456, Raid5Layout, Raid6Layout},
    },
    units::{MemberNumber, Sectors, Slot},
};

use super::{bitmap::PAGE, Findings};
use crate::{found::Superblock, names};

pub(super) fn check(sb: &Superblock<'_>, findings: &mut Findings) {
    let array = sb.array();
    let level = names::level(array.level);
    findings.add_if(
        matches!(array.level, Level::Unsupported(_)),
        "level-unsupported",
        format_args!("level {level} has no personality"),
    );
    check_shape(&Shape::now(array), findings);
    if let Some(reshape) = array.reshape {
        check_shape(&Shape::after(array, reshape), findings);
    }
    if let Role::Active(slot) = sb.role() {
        let slots = slots(sb);
        findings.add_if(
            u32::from(slot.get()) >= slots,
            "slot-beyond-array",
            format_args!("this member fills slot {slot} of an array with {slots}"),
        );
    }
    match sb {
        Superblock::V0(sb) => check_descriptors(sb, findings),
        Superblock::V1(sb) => check_roles(sb, findings),
    }
}

/// The slots the array has, or had before a reshape that takes some away.
fn slots(sb: &Superblock<'_>) -> u32 {
    let array = sb.array();
    let fewer = array
        .reshape
        .map_or(0, |reshape| reshape.delta_disks.min(0).unsigned_abs());
    u32::from(array.raid_disks) + fewer
}

/// What lays an array out.
struct Shape {
    level: Level,
    layout: Option<u32>,
    chunk: Sectors,
    slots: u16,
    member_size: Sectors,
}

impl Shape {
    /// As the array is, or was before the reshape under way.
    fn now(array: &ArrayState) -> Self {
        let delta = array.reshape.map_or(0, |reshape| reshape.delta_disks);
        // Verified: it is a number of slots that an array has.
        let slots = u16::try_from(i32::from(array.raid_disks) - delta).unwrap_or(array.raid_disks);
        Self {
            level: array.level,
            layout: array.layout,
            chunk: array.chunk,
            slots,
            member_size: array.member_size,
        }
    }

    /// As the reshape makes it.
    fn after(array: &ArrayState, reshape: Reshape) -> Self {
        Self {
            level: reshape.new_level,
            layout: Some(reshape.new_layout),
            chunk: reshape.new_chunk,
            slots: array.raid_disks,
            member_size: array.member_size,
        }
    }

    fn name(&self) -> String {
        names::level(self.level)
    }

    /// Lays the array out; why that cannot be. What is said of layout and chunk alone is not said again.
    fn lay_out(&self) -> Result<(), String> {
        let sectors = u32::try_from(self.chunk.get()).ok();
        let chunk = sectors.and_then(|sectors| ChunkSize::new(sectors).ok());
        let (Some(chunk), Some(members)) = (chunk, MemberCount::new(self.slots)) else {
            return Ok(());
        };
        let parity = match (self.level, self.layout) {
            (Level::Raid4, _) => Some(ParityLayout::Raid4),
            (Level::Raid5, Some(word)) => Raid5Layout::parse(word).ok().map(ParityLayout::Raid5),
            (Level::Raid6, Some(word)) => Raid6Layout::parse(word).ok().map(ParityLayout::Raid6),
            _ => None,
        };
        let mirror = match (self.level, self.layout) {
            (Level::Raid10, Some(word)) => Raid10Layout::parse(word).ok(),
            _ => None,
        };
        if parity.is_none() && mirror.is_none() || !chunk.sectors().get().is_power_of_two() {
            return Ok(());
        }
        let chunk = PowerOfTwoChunk::new(chunk, PAGE).map_err(|error| error.to_string())?;
        if let Some(layout) = parity {
            let raid = Raid456::new(layout, chunk, members, self.member_size);
            return raid.map(|_| ()).map_err(|error| error.to_string());
        }
        mirror.map_or(Ok(()), |layout| {
            let raid = Raid10::new(layout, chunk, members, self.member_size);
            raid.map(|_| ()).map_err(|error| error.to_string())
        })
    }
}

fn check_shape(shape: &Shape, findings: &mut Findings) {
    check_layout(shape.level, shape.layout, findings);
    check_chunk(shape.level, shape.chunk, findings);
    if let Err(why) = shape.lay_out() {
        findings.add(
            "geometry-impossible",
            format_args!("{} of {} slots: {why}", shape.name(), shape.slots),
        );
    }
}

fn check_layout(level: Level, layout: Option<u32>, findings: &mut Findings) {
    let Some(word) = layout else {
        return;
    };
    let known = match level {
        Level::Raid5 => Raid5Layout::parse(word).is_ok(),
        Level::Raid6 => Raid6Layout::parse(word).is_ok(),
        Level::Raid10 => Raid10Layout::parse(word).is_ok(),
        _ => true,
    };
    findings.add_if(
        !known,
        "layout-unknown",
        format_args!("{} has no layout {word:#x}", names::level(level)),
    );
}

fn check_chunk(level: Level, chunk: Sectors, findings: &mut Findings) {
    let striped = matches!(
        level,
        Level::Raid0 | Level::Raid4 | Level::Raid5 | Level::Raid6 | Level::Raid10
    );
    let name = names::level(level);
    findings.add_if(
        striped && chunk.is_zero(),
        "chunk-missing",
        format_args!("{name} without a chunk size"),
    );
    let power_needed = striped && level != Level::Raid0 && !chunk.is_zero();
    findings.add_if(
        power_needed && !chunk.get().is_power_of_two(),
        "chunk-size",
        format_args!("{name} with a chunk of {chunk} sectors, no power of two"),
    );
}

fn check_roles(sb: &Sb1<'_, Unplaced>, findings: &mut Findings) {
    let number = sb.stored_number();
    findings.add_if(
        sb.number().is_none(),
        "number-beyond-table",
        format_args!(
            "member number {number} has no entry in the table of {} roles",
            sb.max_dev()
        ),
    );
    for (number, role) in sb.roles() {
        if let Role::Reserved(raw) = role {
            findings.add(
                "role-reserved",
                format_args!("member number {number} has the role {raw:#06x}"),
            );
        }
    }
    let fillers = |slot: Slot| {
        sb.roles()
            .filter(|(_, role)| *role == Role::Active(slot))
            .count()
    };
    for slot in 0..sb.array().raid_disks {
        // A member and its replacement share a slot.
        findings.add_if(
            fillers(Slot::new(slot)) > 2,
            "slot-crowded",
            format_args!("more than two members fill slot {slot}"),
        );
    }
}

fn check_descriptors(sb: &Sb0<'_>, findings: &mut Findings) {
    let mut present = 0;
    for (index, disk) in (0..).map(MemberNumber::new).zip(sb.descriptors()) {
        let used = disk.device.major != 0 || disk.device.minor != 0;
        if used && !disk.state.contains(DiskState::REMOVED) {
            present += 1;
            findings.add_if(
                disk.number != index,
                "descriptor-number",
                format_args!(
                    "descriptor {index} is that of member number {}",
                    disk.number
                ),
            );
        }
    }
    let devices = sb.counts().all;
    findings.add_if(
        devices != present,
        "device-count",
        format_args!("{devices} devices are counted, {present} described"),
    );
}
