// SPDX-License-Identifier: GPL-2.0

//! What a superblock says that no array can be.

use md_core::{
    format::{
        level::Level,
        sb0::{Descriptor, DiskState, Sb0},
        sb1::{Progress, Reshape, Role, Sb1, Unplaced},
    },
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{Raid10, Raid10Layout},
        raid0::ZoneOrder,
        raid456::{ParityLayout, Raid456, Raid5Layout, Raid6Layout},
    },
    units::{MemberNumber, Sectors},
};
use std::collections::BTreeMap;

use super::{bitmap::PAGE, Findings};
use crate::{found::Superblock, names};

pub(super) fn check(sb: &Superblock<'_>, findings: &mut Findings) {
    let array = sb.array();
    check_level(array.level, findings);
    check_shape(&Shape::now(sb), findings);
    if let Some(reshape) = array.reshape {
        if reshape.new_level != array.level {
            check_level(reshape.new_level, findings);
        }
        check_shape(&Shape::after(sb, reshape), findings);
    }
    check_slots(sb, findings);
    match sb {
        Superblock::V0(sb) => check_descriptors(sb, findings),
        Superblock::V1(sb) => check_roles(sb, findings),
    }
}

fn check_level(level: Level, findings: &mut Findings) {
    findings.add_if(
        matches!(level, Level::Unsupported(_)),
        "level-unsupported",
        format_args!("level {} has no personality", names::level(level)),
    );
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
    /// What it uses of each member; `None` on a member that cannot tell.
    member_size: Option<Sectors>,
}

impl Shape {
    /// As the array is, or was before the reshape under way.
    fn now(sb: &Superblock<'_>) -> Self {
        let array = sb.array();
        let delta = array.reshape.map_or(0, |reshape| reshape.delta_disks);
        // Verified: it is a number of slots that an array has.
        let slots = u16::try_from(i32::from(array.raid_disks) - delta).unwrap_or(array.raid_disks);
        Self {
            level: array.level,
            layout: array.layout,
            chunk: array.chunk,
            slots,
            member_size: used(sb, array.level),
        }
    }

    /// As the reshape makes it.
    fn after(sb: &Superblock<'_>, reshape: Reshape) -> Self {
        let array = sb.array();
        Self {
            level: reshape.new_level,
            layout: Some(reshape.new_layout),
            chunk: reshape.new_chunk,
            slots: array.raid_disks,
            member_size: used(sb, reshape.new_level),
        }
    }

    fn name(&self) -> String {
        names::level(self.level)
    }

    /// Finds room for data on each member; why there is none.
    fn hold_data(&self) -> Result<(), String> {
        match self.member_size {
            Some(Sectors::ZERO) => Err("nothing of its members is used".to_owned()),
            Some(used) if is_striped(self.level) && used < self.chunk => Err(format!(
                "a chunk of {} sectors does not fit into the {used} used of a member",
                self.chunk
            )),
            _ => Ok(()),
        }
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
        let (Some(member_size), true) = (
            self.member_size,
            chunk.sectors().get().is_power_of_two() && (parity.is_some() || mirror.is_some()),
        ) else {
            return Ok(());
        };
        let chunk = PowerOfTwoChunk::new(chunk, PAGE).map_err(|error| error.to_string())?;
        if let Some(layout) = parity {
            let raid = Raid456::new(layout, chunk, members, member_size);
            return raid.map(|_| ()).map_err(|error| error.to_string());
        }
        mirror.map_or(Ok(()), |layout| {
            let raid = Raid10::new(layout, chunk, members, member_size);
            raid.map(|_| ()).map_err(|error| error.to_string())
        })
    }
}

/// What an array of this level uses of each member; `None` on a journal, which cannot tell how much there is.
fn used(sb: &Superblock<'_>, level: Level) -> Option<Sectors> {
    let is_journal = matches!(sb.member().progress, Progress::Journal { .. });
    match level {
        Level::Unsupported(_) => None,
        Level::Linear | Level::Raid0 => (!is_journal).then_some(sb.member().data.size),
        _ => Some(sb.array().member_size),
    }
}

fn check_shape(shape: &Shape, findings: &mut Findings) {
    check_layout(shape.level, shape.layout, findings);
    check_chunk(shape.level, shape.chunk, findings);
    if let Err(why) = shape.hold_data().and_then(|()| shape.lay_out()) {
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
        // Zero is mdadm's word for an order that nobody recorded.
        Level::Raid0 => word == 0 || ZoneOrder::from_word(word).is_some(),
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

fn is_striped(level: Level) -> bool {
    level == Level::Raid0 || level == Level::Raid10 || level.has_parity()
}

fn check_chunk(level: Level, chunk: Sectors, findings: &mut Findings) {
    let striped = is_striped(level);
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
    let journals = sb.roles().filter(|(_, role)| *role == Role::Journal);
    findings.add_if(
        journals.count() > 1,
        "journal-crowded",
        "more than one member is the journal",
    );
}

/// Who is in which slot.
fn check_slots(sb: &Superblock<'_>, findings: &mut Findings) {
    let slots = slots(sb);
    // A member and its replacement share a slot; 0.90 has no replacements.
    let (roles, most): (Vec<(MemberNumber, Role)>, usize) = match sb {
        Superblock::V0(sb) => (present(sb).collect(), 1),
        Superblock::V1(sb) => (sb.roles().collect(), 2),
    };
    let mut fillers: BTreeMap<u16, usize> = BTreeMap::new();
    for (number, role) in roles {
        let Role::Active(slot) = role else {
            continue;
        };
        findings.add_if(
            u32::from(slot.get()) >= slots,
            "slot-beyond-array",
            format_args!("member number {number} fills slot {slot} of an array with {slots}"),
        );
        *fillers.entry(slot.get()).or_default() += 1;
    }
    for (slot, count) in fillers.into_iter().filter(|(_, count)| *count > most) {
        findings.add(
            "slot-crowded",
            format_args!("{count} members fill slot {slot}"),
        );
    }
}

/// The descriptors of members that are there, by their place in the table.
fn described<'a>(sb: &Sb0<'a>) -> impl Iterator<Item = (MemberNumber, Descriptor)> + 'a {
    let all = (0..).map(MemberNumber::new).zip(sb.descriptors());
    all.filter(|(_, disk)| {
        let used = disk.device.major != 0 || disk.device.minor != 0;
        used && !disk.state.contains(DiskState::REMOVED)
    })
}

/// Their roles.
fn present<'b>(sb: &'b Sb0<'_>) -> impl Iterator<Item = (MemberNumber, Role)> + 'b {
    described(sb).filter_map(|(number, _)| Some((number, sb.role_of(number)?)))
}

fn check_descriptors(sb: &Sb0<'_>, findings: &mut Findings) {
    for (index, disk) in described(sb) {
        findings.add_if(
            disk.number != index,
            "descriptor-number",
            format_args!(
                "descriptor {index} is that of member number {}",
                disk.number
            ),
        );
    }
    check_counts(sb, findings);
    findings.add_if(
        sb.stored_own() != sb.own(),
        "descriptor-own",
        format_args!(
            "the member describes itself in another way than its table describes number {}",
            sb.number()
        ),
    );
}

fn works(state: DiskState) -> bool {
    !state.contains(DiskState::FAULTY)
}

fn check_counts(sb: &Sb0<'_>, findings: &mut Findings) {
    let count = |is_one: fn(DiskState) -> bool| {
        described(sb).filter(|(_, disk)| is_one(disk.state)).count()
    };
    // Of the failed ones mdadm and drivers have different notions.
    let counts = sb.counts();
    let kinds = [
        ("", counts.all, count(|_| true)),
        (
            "active ",
            counts.active,
            count(|state| works(state) && state.contains(DiskState::ACTIVE)),
        ),
        ("working ", counts.working, count(works)),
        (
            "spare ",
            counts.spare,
            count(|state| works(state) && !state.contains(DiskState::ACTIVE)),
        ),
    ];
    for (kind, counted, described) in kinds {
        findings.add_if(
            usize::try_from(counted) != Ok(described),
            "device-count",
            format_args!("{counted} {kind}devices are counted, {described} described"),
        );
    }
}
