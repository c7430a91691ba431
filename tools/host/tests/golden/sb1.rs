// SPDX-License-Identifier: GPL-2.0

//! A 1.x superblock as `mdadm --examine` prints it.

use md_core::{
    format::{
        bitmap::BitmapSb,
        extents::Area,
        level::Level,
        sb1::{BadBlocks, CrashLog, MinorVersion, Progress, Role, Sb1},
    },
    units::{Sector, SectorRange, Slot},
};

use super::{
    array,
    listing::{level, short_length, Fields, Ours},
    size, Image,
};

pub(super) fn examine(image: &Image, sb: &Sb1<'_>) -> Fields {
    let mut ours = Ours::default();
    let array = sb.array();
    array::examine(&mut ours, array, sb.created(), sb.checksum());
    ours.add("Version", format!("1.{}", sb.minor_version().number()));
    ours.add("Feature Map", format!("{:#x}", sb.features().to_raw()));
    ours.add("Array UUID", sb.set_uuid());
    ours.add("Name", name(sb));
    ours.add("Device UUID", sb.device_uuid());
    if let Some(size) = size::array_size(array) {
        ours.add("Array Size", format!("{} KiB", size.to_kib()));
    }
    places(&mut ours, image, sb);
    logs(&mut ours, sb);
    roles(&mut ours, sb);
    ours.0
}

fn name(sb: &Sb1<'_>) -> String {
    String::from_utf8(sb.set_name().to_vec()).expect("a name in ASCII")
}

fn places(ours: &mut Ours, image: &Image, sb: &Sb1<'_>) {
    let (array, member) = (sb.array(), sb.member());
    let data = member.data;
    ours.add("Avail Dev Size", format!("{} sectors", data.recorded));
    let used = array.member_size;
    // mdadm knows that raid0 uses all there is, and forgets it of linear.
    let differs = used != data.recorded && array.level != Level::Raid0;
    ours.add_if(differs, "Used Dev Size", format!("{used} sectors"));
    ours.add_if(
        !data.offset.is_zero(),
        "Data Offset",
        format!("{} sectors", data.offset),
    );
    ours.add_if(
        data.new_offset != data.offset,
        "New Offset",
        format!("{} sectors", data.new_offset),
    );
    ours.add("Super Offset", format!("{} sectors", member.superblock));
    if let Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto } = member.progress {
        ours.add("Recovery Offset", format!("{upto} sectors"));
    }
    let (before, after) = unused(image, sb);
    let unused = format!("before={before} sectors, after={after} sectors");
    // Nothing is said of nothing, nor while a reshape moves the data.
    let said = (before, after) != (0, 0) && data.new_offset == data.offset;
    ours.add_if(said, "Unused Space", unused);
}

fn bad_block_log(sb: &Sb1<'_>) -> Option<SectorRange> {
    sb.extents()
        .range(Area::BadBlockLog)
        .expect("on the member")
}

/// The sectors before and behind the data that nothing uses, as mdadm reckons.
fn unused(image: &Image, sb: &Sb1<'_>) -> (u64, u64) {
    /// What mdadm keeps for a superblock and the write-intent log it might get, in sectors.
    const SUPERBLOCK: u64 = 72;
    let (array, member) = (sb.array(), sb.member());
    let (data, at) = (member.data, member.superblock.get());
    let log = bad_block_log(sb);
    let used = match array.level {
        Level::Linear | Level::Raid0 => data.size,
        _ => array.member_size,
    };
    let end = data.offset.saturating_add(used).get();
    if sb.minor_version() == MinorVersion::V1_0 {
        let bitmap = match member.crash_log {
            CrashLog::Bitmap(place) => Some(place.start.get()),
            CrashLog::None | CrashLog::Ppl(_) => None,
        };
        let starts = [log.map(|log| log.start().get()), bitmap];
        let limit = starts.into_iter().flatten().fold(at, u64::min);
        return (data.offset.get(), limit.saturating_sub(end));
    }
    // mdadm forgets to count bitmap and partial parity log from the superblock.
    let crash_log = match member.crash_log {
        CrashLog::None => 0,
        CrashLog::Bitmap(place) => {
            u64::from(place.offset.get().unsigned_abs()) + bitmap_length(image, place.start)
        }
        CrashLog::Ppl(place) => u64::from(place.offset.unsigned_abs()) + u64::from(place.sectors),
    };
    let log_end = log.map_or(0, |log| log.end().get());
    let first = crash_log.max(log_end).max(at + SUPERBLOCK);
    let mut after = image.device.sectors.get() - end;
    if sb.role() == Role::Journal {
        // A journal uses all whole blocks.
        after = (image.device.sectors.get() - data.offset.get()) % 8;
    }
    (data.offset.get() - first, after)
}

/// The sectors of a bitmap as mdadm reckons: bits, even of a lockless one, whose chunk it takes for bytes.
fn bitmap_length(image: &Image, at: Sector) -> u64 {
    let sb = BitmapSb::parse(&image.read(at, 256)).expect("a bitmap");
    let chunk = sb.kind.chunk().expect("a chunk").sectors().get();
    let chunk_bytes = if sb.kind.is_lockless() {
        chunk
    } else {
        chunk * 512
    };
    let bits = (sb.sync_size.get() * 512).div_ceil(chunk_bytes);
    (256 + bits.div_ceil(8)).next_multiple_of(4096) / 512
}

fn logs(ours: &mut Ours, sb: &Sb1<'_>) {
    match sb.member().crash_log {
        CrashLog::None => {}
        CrashLog::Bitmap(place) => {
            ours.add(
                "Internal Bitmap",
                format!("{} sectors from superblock", place.offset),
            );
            let start = sb
                .member()
                .superblock
                .checked_offset(i64::from(place.offset.get()));
            assert_eq!(start, Some(place.start));
        }
        CrashLog::Ppl(place) => ours.add(
            "PPL",
            format!(
                "{} sectors at offset {} sectors from superblock",
                place.sectors, place.offset
            ),
        ),
    }
    if let Some(log) = bad_block_log(sb) {
        let offset = i128::from(log.start().get()) - i128::from(sb.member().superblock.get());
        let present = match sb.member().bad_blocks {
            BadBlocks::Recorded => " - bad blocks present.",
            BadBlocks::Unrecorded => "",
        };
        let entries = log.len().get() * 64;
        ours.add(
            "Bad Block Log",
            format!("{entries} entries available at offset {offset} sectors{present}"),
        );
    }
}

fn roles(ours: &mut Ours, sb: &Sb1<'_>) {
    let member = sb.member();
    let flags = [
        (member.write_mostly, "write-mostly"),
        (member.failfast, "failfast"),
    ];
    let flags: Vec<&str> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    ours.add_if(!flags.is_empty(), "Flags", flags.join(" "));
    let role = match sb.role() {
        Role::Active(slot) if member.replacement => format!("Replacement device {slot}"),
        Role::Active(slot) => format!("Active device {slot}"),
        Role::Journal => "Journal".to_owned(),
        Role::Spare => "spare".to_owned(),
        other => panic!("no case has the role {other:?}"),
    };
    ours.add("Device Role", role);
    let slots = sb.array().raid_disks + array::leaving(sb.array());
    let slots = (0..slots).map(|slot| {
        let fillers = sb
            .roles()
            .filter(|(_, role)| *role == Role::Active(Slot::new(slot)));
        ['.', 'A', 'R'][fillers.count()]
    });
    ours.add("Array State", slots.collect::<String>());
}

pub(super) fn export(sb: &Sb1<'_>) -> Fields {
    let mut ours = Ours::default();
    let array = sb.array();
    ours.add("MD_LEVEL", level(array.level));
    ours.add("MD_DEVICES", array.raid_disks);
    ours.add("MD_NAME", name(sb));
    if let Some(size) = size::array_size(array) {
        ours.add("MD_ARRAY_SIZE", short_length(size.get()));
    }
    ours.add("MD_UUID", sb.set_uuid());
    ours.add("MD_UPDATE_TIME", array.updated.seconds());
    ours.add("MD_DEV_UUID", sb.device_uuid());
    ours.add("MD_EVENTS", array.events);
    ours.0
}
